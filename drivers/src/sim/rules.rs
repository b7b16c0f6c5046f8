//! What a disk checks on a full invoice that comes through a component: line natures, kinds, reds. invoice-rules.md,
//! sections 3, 4, 6 and 8. The rules marked there as background can be switched in [`ComponentRules`].
//!
//! Reads only. Clock, locks, stock and passwords are checked in [`super::issue`], whichever door an order came through.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;

use super::clock::Stamp;
use super::details::{EntryLine, LineNature};
use super::disk::SimDisk;
use super::issue::IssueOrder;
use super::ledger::EntryStatus;
use super::refusal::{
    ALREADY_REVERSED, BUYER_INCOMPLETE, DISCOUNT_ORDER, DISCOUNT_TOO_LARGE, FIELD_TOO_LONG, LINE_SIGN, NO_NOTICE,
    ORIGINAL_NOT_POSITIVE, ORIGINAL_TOO_OLD, OVER_LIMIT, RED_TOO_LARGE, Refusal, ZERO_TOTAL,
};

/// Tax of a line may stray so far: |je − se ÷ rate| below 0.625 (JSK449).
const TOLERANCE: Decimal = Decimal::from_parts(625, 0, 0, false, 3);
/// Hours of a day, for the age of an original.
const DAY_HOURS: i64 = 24;

/// Rules of full invoices that differ from disk to disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComponentRules {
    /// Most lines of one invoice, list included.
    pub lines: u16,
    /// Most lines of a paper invoice (004, 007) without a list; absent = as [`Self::lines`].
    pub paper_lines: Option<u16>,
    /// fsfpbz: a red's original must be in this disk.
    pub original_here: bool,
    /// fsfpts: and not older than so many days; absent = any age.
    pub red_days: Option<u32>,
    /// A special invoice needs the buyer's number, address and account.
    pub special_needs_buyer: bool,
    /// Texts longer than a disk's record holds are refused.
    pub field_limits: bool,
}

impl Default for ComponentRules {
    fn default() -> Self {
        ComponentRules {
            lines: 100,
            paper_lines: Some(8),
            original_here: true,
            red_days: None,
            special_needs_buyer: true,
            field_limits: true,
        }
    }
}

impl SimDisk {
    pub(super) fn check_full_amounts(&self, order: &IssueOrder) -> Result<(), Refusal> {
        let (config, lines) = (self.config(), &order.lines);
        if !config.kinds.contains(&order.kind) {
            return Err(Refusal::jsk(210));
        }
        if lines.is_empty() {
            return Err(Refusal::jsk(132));
        }
        let paper = matches!(order.kind, InvoiceKind::PaperSpecial | InvoiceKind::PaperOrdinary) && order.details.list != "1";
        let most = config.component.paper_lines.filter(|_| paper).unwrap_or(config.component.lines);
        if lines.len() > usize::from(most) {
            return Err(Refusal::jsk(562));
        }
        if !order.red {
            if order.gross <= Amount::ZERO {
                return Err(ZERO_TOTAL);
            }
            // A component compares the amount without tax, the converter the one with tax (invoice-rules.md, section 3).
            if config.limits.invoice.is_some_and(|limit| order.net > limit) {
                return Err(OVER_LIMIT);
            }
        } else if order.gross >= Amount::ZERO {
            return Err(RED_TOO_LARGE);
        }
        if config.component.field_limits && !fits_the_record(order) {
            return Err(FIELD_TOO_LONG);
        }
        order.check_sums()?;
        lines.iter().try_for_each(|line| self.check_full_line(order, line))?;
        check_discounts(lines, order.red)?;
        let details = &order.details;
        let buyer = [&order.buyer_number, &details.buyer_address, &details.buyer_bank];
        if order.kind.is_special() && config.component.special_needs_buyer && buyer.iter().any(|field| field.is_empty()) {
            return Err(BUYER_INCOMPLETE);
        }
        Ok(())
    }

    fn check_full_line(&self, order: &IssueOrder, line: &EntryLine) -> Result<(), Refusal> {
        let rate = Decimal::from_str_exact(&line.rate).map_err(|_| Refusal::jsk(132))?;
        let licensed = self.config().rates.iter().any(|licensed| licensed.decimal() == rate);
        // Old rates occur on reds of old invoices; a special invoice carries no rate 0.
        if (!licensed && !order.red) || (order.kind.is_special() && rate.is_zero()) {
            return Err(Refusal::jsk(559));
        }
        if line.name.is_empty() || line.price.is_empty() != line.quantity.is_empty() {
            return Err(Refusal::jsk(132));
        }
        let base = line.net.checked_sub(line.deduction.unwrap_or_default()).ok_or_else(|| Refusal::jsk(99))?;
        let fits = match line.tax.decimal().checked_div(rate) {
            Some(taxed) => (base.decimal() - taxed).abs() < TOLERANCE,
            None => line.tax == Amount::ZERO,
        };
        if fits { Ok(()) } else { Err(Refusal::jsk(449)) }
    }

    /// A red through a component: negative, names its original (a special one also its notice), and takes back no more than
    /// is left of it.
    pub(super) fn check_full_red(&self, order: &IssueOrder, now: Stamp) -> Result<(), Refusal> {
        if order.kind.is_special() && order.details.notice.is_empty() {
            return Err(NO_NOTICE);
        }
        let here = self.config().component.original_here;
        let Some(pair) = order.original else {
            // A special one may be known to the tax office only, by its notice.
            return if order.kind.is_special() && !here { Ok(()) } else { Err(ORIGINAL_NOT_POSITIVE) };
        };
        let original = match self.query(order.kind, pair) {
            Ok(original) => original,
            Err(_) if !here => return Ok(()),
            Err(_) => return Err(ORIGINAL_NOT_POSITIVE),
        };
        if original.status != EntryStatus::Positive {
            return Err(ORIGINAL_NOT_POSITIVE);
        }
        let days = self.config().component.red_days.map(i64::from);
        if days.is_some_and(|days| now.hours_since(original.time) > days * DAY_HOURS) {
            return Err(ORIGINAL_TOO_OLD);
        }
        let left = self.reversible(pair, original.gross);
        if left == Amount::ZERO {
            return Err(ALREADY_REVERSED);
        }
        if order.gross.abs() > left { Err(RED_TOO_LARGE) } else { Ok(()) }
    }

    /// What reds may still take back of an original: its total less the standing reds, whichever sign they were written with.
    pub fn reversible(&self, original: taxdisk_protocol::number::NumberPair, gross: Amount) -> Amount {
        let taken = self.ledger().reds_of(original).try_fold(Amount::ZERO, |sum, red| sum.checked_add(red.gross.abs()));
        let left = taken.and_then(|taken| gross.checked_sub(taken)).unwrap_or(Amount::ZERO);
        left.max(Amount::ZERO)
    }
}

/// invoice-rules.md, section 7: the disk's record of a line, and the widest of the head fields that the documents give. In
/// bytes of GBK.
fn fits_the_record(order: &IssueOrder) -> bool {
    let fits = |text: &str, most: usize| encoding_rs::GBK.encode(text).0.len() <= most;
    let line_fits = |line: &EntryLine| {
        fits(&line.name, 92)
            && fits(&line.specification, 40)
            && fits(&line.unit, 22)
            && fits(&line.quantity, 21)
            && fits(&line.price, 21)
            && fits(&line.goods_code, 19)
    };
    fits(&order.buyer_name, 100)
        && fits(&order.buyer_number, 20)
        && fits(&order.remark, 230)
        && fits(&order.details.request_id, 43)
        && order.lines.iter().all(line_fits)
}

/// invoice-rules.md, section 4.
fn check_discounts(lines: &[EntryLine], red: bool) -> Result<(), Refusal> {
    for (index, line) in lines.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| lines.get(before));
        let after = lines.get(index + 1);
        let negative = line.net < Amount::ZERO;
        match line.nature {
            LineNature::Discount => {
                let Some(above) = before.filter(|above| above.nature == LineNature::Discounted) else {
                    return Err(DISCOUNT_ORDER);
                };
                if (&line.name, &line.goods_code, &line.rate) != (&above.name, &above.goods_code, &above.rate)
                    || !line.price.is_empty()
                    || !line.quantity.is_empty()
                {
                    return Err(DISCOUNT_ORDER);
                }
                if line.gross.abs() > above.gross.abs() {
                    return Err(DISCOUNT_TOO_LARGE);
                }
                if negative == red {
                    return Err(LINE_SIGN);
                }
            }
            LineNature::Discounted if after.is_none_or(|after| after.nature != LineNature::Discount) => {
                return Err(DISCOUNT_ORDER);
            }
            _ if negative != red => return Err(LINE_SIGN),
            _ => {}
        }
    }
    Ok(())
}
