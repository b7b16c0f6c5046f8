//! What one disk can express: characters, bytes, lines, decimals, fields. Asked before a job is accepted, and again before it
//! is handed to a disk. Nothing is cut or replaced, so what does not fit is refused with its place and its measure.

use std::borrow::Cow;

use rust_decimal::{Decimal, RoundingStrategy};

use super::parse::at;
use super::{Breaches, Job, Rule};
use crate::api::Operation;
use crate::calc;
use crate::capabilities::{Capabilities, CharacterSet, DiskOperation};
use crate::error::Breach;
use crate::gbk;
use crate::invoice::{Invoice, Line, LineKind, ZeroRate};
use crate::mark::marked_remark;
use crate::money::Amount;

/// Characters that a breach names one by one; the rest is counted.
const NAMED_CHARACTERS: usize = 10;

/// What this disk cannot express of a job; empty if it fits. `mark` is what will stand at the end of the remark.
///
/// Licence, stock and limits are not judged here: they change, the dialect does not.
pub fn fits(job: &Job, capabilities: &Capabilities, mark: Option<&str>) -> Vec<Breach> {
    let mut check = Check { capabilities, found: Breaches::default() };
    let able = match job.operation {
        Operation::Issue => true,
        Operation::Void => capabilities.can(DiskOperation::Void),
        Operation::Red => capabilities.red,
    };
    if !able {
        check.found.add(Rule::Operation, "/operation", "this disk cannot do this operation");
    }
    if let Some(invoice) = &job.invoice {
        check.head(invoice, mark);
        check.persons(invoice);
        check.lines(&invoice.lines);
    }
    check.found.0
}

struct Check<'a> {
    capabilities: &'a Capabilities,
    found: Breaches,
}

impl Check<'_> {
    fn head(&mut self, invoice: &Invoice, mark: Option<&str>) {
        let widths = &self.capabilities.widths;
        let buyer = &invoice.buyer;
        self.text(&buyer.name, "/invoice/buyer/name", widths.party_name);
        if let Some(number) = &buyer.taxpayer_number {
            self.text(number.as_str(), "/invoice/buyer/taxpayer_number", widths.taxpayer_number);
        }
        self.field(&buyer.address_phone, "/invoice/buyer/address_phone", widths.address_phone);
        self.field(&buyer.bank_account, "/invoice/buyer/bank_account", widths.bank_account);
        self.remark(&invoice.remark, mark);
        let totals = &invoice.totals;
        self.amount(totals.net, "/invoice/totals/net");
        self.amount(totals.tax, "/invoice/totals/tax");
        self.amount(totals.gross, "/invoice/totals/gross");
    }

    fn remark(&mut self, remark: &str, mark: Option<&str>) {
        const POINTER: &str = "/invoice/remark";
        if !self.characters(remark, POINTER) {
            return;
        }
        let (width, limit) = (self.width(&marked_remark(remark, mark)), self.capabilities.widths.remark);
        if width > usize::from(limit) {
            let mark_bytes = width - self.width(remark);
            let of_which = if mark_bytes > 0 { format!(", of which {mark_bytes} are our mark") } else { String::new() };
            let detail = format!("{width} bytes{of_which}; this disk takes {limit}");
            self.found.add(Rule::TooWide, POINTER, detail);
        }
    }

    fn persons(&mut self, invoice: &Invoice) {
        let width = self.capabilities.widths.person;
        for (name, pointer) in
            [(&invoice.clerk, "/invoice/clerk"), (&invoice.payee, "/invoice/payee"), (&invoice.reviewer, "/invoice/reviewer")]
        {
            self.text(name, pointer, width);
        }
        if !self.capabilities.single_person {
            return;
        }
        for (name, pointer) in [(&invoice.payee, "/invoice/payee"), (&invoice.reviewer, "/invoice/reviewer")] {
            if !name.is_empty() && *name != invoice.clerk {
                let detail = "this disk has one field for clerk, payee and reviewer: leave it out or name the clerk";
                self.found.add(Rule::NotExpressible, pointer, detail);
            }
        }
    }

    fn lines(&mut self, lines: &[Line]) {
        for (index, line) in lines.iter().enumerate() {
            self.line(index, line);
        }
        let transmitted = if self.capabilities.discount_lines {
            Cow::Borrowed(lines)
        } else if let Some(merged) = calc::merged_lines(lines, self.capabilities.price_decimals) {
            self.merged(lines, &merged);
            Cow::Owned(merged)
        } else {
            let detail = "this disk has no discount lines, and these cannot be put together with their lines";
            self.found.add(Rule::NotExpressible, "/invoice/lines", detail);
            return;
        };
        let (count, most) = (transmitted.len(), self.capabilities.max_lines);
        if count > usize::from(most) {
            self.found.add(Rule::TooManyLines, "/invoice/lines", format!("{count} lines; this disk takes {most}"));
        }
    }

    fn line(&mut self, index: usize, line: &Line) {
        let widths = &self.capabilities.widths;
        self.text(&line.name, &at(index, "name"), widths.item_name);
        self.field(&line.specification, &at(index, "specification"), widths.specification);
        self.field(&line.unit, &at(index, "unit"), widths.unit);
        self.decimals(line.rate.decimal(), &at(index, "rate"), self.capabilities.rate_decimals);
        let price_decimals = self.capabilities.price_decimals;
        // Amounts and price of a pair are worked out anew where it is merged: see `merged`.
        if self.capabilities.discount_lines || line.kind == LineKind::Normal {
            self.amount(line.net, &at(index, "net"));
            self.amount(line.tax, &at(index, "tax"));
            self.with_tax(index, line);
            if let Some(price) = line.price {
                self.decimals(price.decimal(), &at(index, "price"), price_decimals);
                self.number(price.decimal(), &at(index, "price"));
            }
        }
        if let Some(quantity) = line.quantity {
            self.decimals(quantity.decimal(), &at(index, "quantity"), price_decimals);
            self.number(quantity.decimal(), &at(index, "quantity"));
        }
        if !self.capabilities.goods_codes {
            self.without_goods_codes(index, line);
        }
    }

    /// Dialects that write amount and price without tax write them with tax beside it, in fields of the same width.
    fn with_tax(&mut self, index: usize, line: &Line) {
        let widths = &self.capabilities.widths;
        let (amount_width, price_width) = (widths.amount, widths.price);
        let gross = line.net.decimal() + line.tax.decimal();
        self.digits(format!("{gross:.2}").len(), &at(index, "net"), amount_width);
        if let Some(price) = line.quantity.and_then(|quantity| gross.checked_div(quantity.decimal())) {
            let decimals = usize::from(self.capabilities.price_decimals);
            let price = price.round_dp_with_strategy(decimals as u32, RoundingStrategy::MidpointAwayFromZero);
            self.digits(format!("{price:.decimals$}").len(), &at(index, "price"), price_width);
        }
    }

    /// Goods codes came with fields of their own; a dialect without them has none of these.
    fn without_goods_codes(&mut self, index: usize, line: &Line) {
        let said = [
            ("goods_code", line.goods_code.is_some()),
            ("zero_rate", line.zero_rate.is_some_and(|mark| mark != ZeroRate::Ordinary)),
            ("deduction", line.deduction.is_some()),
        ];
        for (field, _) in said.into_iter().filter(|(_, said)| *said) {
            self.found.add(Rule::NotExpressible, at(index, field), format!("this disk has no field for {field}"));
        }
    }

    /// The price that follows for a merged pair must still give its amount.
    fn merged(&mut self, lines: &[Line], merged: &[Line]) {
        let places = lines.iter().enumerate().filter(|(_, line)| line.kind != LineKind::Discount);
        for ((index, line), merged) in places.zip(merged) {
            if line.kind != LineKind::Discounted {
                continue;
            }
            self.amount(merged.net, &at(index, "net"));
            self.amount(merged.tax, &at(index, "tax"));
            self.with_tax(index, merged);
            if let (Some(price), Some(quantity)) = (merged.price, merged.quantity) {
                self.decimals(price.decimal(), &at(index, "price"), self.capabilities.price_decimals);
                self.number(price.decimal(), &at(index, "price"));
                let product = price.decimal().checked_mul(quantity.decimal());
                let near = product.is_some_and(|product| (product - merged.net.decimal()).abs() <= Decimal::new(1, 2));
                if !near {
                    let detail = format!(
                        "with its discount this is {} for {quantity}; {} decimals of a price cannot say that",
                        merged.net, self.capabilities.price_decimals
                    );
                    self.found.add(Rule::Decimals, at(index, "price"), detail);
                }
            }
        }
    }

    /// A text whose field may not exist.
    fn field(&mut self, text: &str, pointer: &str, limit: Option<u16>) {
        match limit {
            Some(limit) => self.text(text, pointer, limit),
            None if text.is_empty() => {}
            None => self.found.add(Rule::NotExpressible, pointer, "this disk has no such field: leave it out"),
        }
    }

    fn text(&mut self, text: &str, pointer: &str, limit: u16) {
        let width = self.width(text);
        if self.characters(text, pointer) && width > usize::from(limit) {
            self.found.add(Rule::TooWide, pointer, format!("{width} bytes; this disk takes {limit}"));
        }
    }

    fn characters(&mut self, text: &str, pointer: &str) -> bool {
        if self.capabilities.characters == CharacterSet::Unicode {
            return true;
        }
        let unknown = gbk::unencodable(text);
        if unknown.is_empty() {
            return true;
        }
        let named: Vec<String> = unknown.iter().take(NAMED_CHARACTERS).map(|(place, c)| name_character(*place, *c)).collect();
        let rest = unknown.len().saturating_sub(NAMED_CHARACTERS);
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        self.found.add(Rule::Characters, pointer, format!("not in GBK: {}{more}", named.join(", ")));
        false
    }

    /// Bytes in the disk's character set.
    fn width(&self, text: &str) -> usize {
        match self.capabilities.characters {
            CharacterSet::Unicode => text.len(),
            // What cannot be encoded is a breach of its own.
            CharacterSet::Gbk => gbk::width(text).unwrap_or(0),
        }
    }

    fn amount(&mut self, amount: Amount, pointer: &str) {
        self.digits(amount.to_string().len(), pointer, self.capabilities.widths.amount);
    }

    /// Dialects write a price or quantity with all decimals that they have.
    fn number(&mut self, value: Decimal, pointer: &str) {
        let decimals = usize::from(self.capabilities.price_decimals);
        self.digits(format!("{value:.decimals$}").len(), pointer, self.capabilities.widths.price);
    }

    fn digits(&mut self, width: usize, pointer: &str, limit: u16) {
        let said = |breach: &Breach| breach.code == Rule::TooWide.code() && breach.pointer == pointer;
        if width > usize::from(limit) && !self.found.0.iter().any(said) {
            self.found.add(Rule::TooWide, pointer, format!("{width} characters; this disk takes {limit}"));
        }
    }

    fn decimals(&mut self, value: Decimal, pointer: &str, most: u8) {
        let decimals = value.normalize().scale();
        if decimals > u32::from(most) {
            self.found.add(Rule::Decimals, pointer, format!("{decimals} decimals; this disk takes {most}"));
        }
    }
}

/// A character as people find it again: itself, its code point and its place counted from 1.
fn name_character(place: usize, c: char) -> String {
    format!("{c} (U+{:04X}) at character {}", u32::from(c), place + 1)
}
