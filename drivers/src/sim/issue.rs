//! Issuing and voiding: what a disk checks, in its order, and the point of no return.
//!
//! Order of device-serial-zc.md, section 6.2: stock records, amounts, clock, authority and red checks, current number,
//! signing (the ledger's durable append), saving. Whatever goes wrong after signing, the number is consumed.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;

use super::clock::Stamp;
use super::config::{RedSign, Signing};
use super::details::{Details, Door};
use super::disk::{Secret, SimDisk};
use super::ledger::{EntryLine, EntryStatus, LedgerEntry, Origin, VoidMark};
use super::refusal::{
    ALREADY_REPORTED, ALREADY_REVERSED, ALREADY_VOID, NOT_SUPPORTED, OFFLINE_AMOUNT, OFFLINE_COUNT, OFFLINE_TIME,
    ORIGINAL_NOT_POSITIVE, OVER_LIMIT, RED_TOTAL_DIFFERS, Refusal, ZERO_TOTAL,
};

/// What the disk writes for a buyer without a number.
pub const NO_BUYER_NUMBER: &str = "000000000000000";

/// Everything that an issuing command says, already read out of its frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssueOrder {
    /// Kind.
    pub kind: InvoiceKind,
    /// Red (负数).
    pub red: bool,
    /// Buyer's number; empty for a person.
    pub buyer_number: String,
    /// Buyer's name.
    pub buyer_name: String,
    /// Lines.
    pub lines: Vec<EntryLine>,
    /// Sum without tax.
    pub net: Amount,
    /// Sum of tax.
    pub tax: Amount,
    /// Both.
    pub gross: Amount,
    /// Remark.
    pub remark: String,
    /// Operator.
    pub clerk: String,
    /// The original, on reds.
    pub original: Option<NumberPair>,
    /// Who asks.
    pub origin: Origin,
    /// Which interface it came through.
    pub door: Door,
    /// What a full invoice says besides.
    pub details: Box<Details>,
}

/// An invoice that another program could have made: one coffee for a person.
impl Default for IssueOrder {
    fn default() -> Self {
        let fen = |fen| Amount::from_fen(fen).unwrap_or_default();
        IssueOrder {
            kind: InvoiceKind::Roll,
            red: false,
            buyer_number: String::new(),
            buyer_name: "个人".to_owned(),
            lines: vec![EntryLine {
                name: "咖啡".to_owned(),
                price: "9.430".to_owned(),
                quantity: "1.000".to_owned(),
                net: fen(943),
                rate: "0.06".to_owned(),
                tax: fen(57),
                gross_price: "10.000".to_owned(),
                gross: fen(1000),
                ..EntryLine::default()
            }],
            net: fen(943),
            tax: fen(57),
            gross: fen(1000),
            remark: String::new(),
            clerk: "别的程序".to_owned(),
            original: None,
            origin: Origin::Foreign,
            door: Door::Converter,
            details: Box::default(),
        }
    }
}

impl IssueOrder {
    /// Head = sum of the lines, exactly.
    ///
    /// # Errors
    /// 99. Whether every device adds up is unknown; this one does, so that a wrong sum never becomes a legal document.
    pub(super) fn check_sums(&self) -> Result<(), Refusal> {
        let sum =
            |part: fn(&EntryLine) -> Amount| self.lines.iter().try_fold(Amount::ZERO, |sum, line| sum.checked_add(part(line)));
        let adds_up = sum(|line| line.net) == Some(self.net)
            && sum(|line| line.tax) == Some(self.tax)
            && self.net.checked_add(self.tax) == Some(self.gross);
        if adds_up { Ok(()) } else { Err(Refusal::jsk(99)) }
    }
}

/// How the record of a signed invoice ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saving {
    /// As it should.
    Done,
    /// The power goes between signing and saving: the number is used, the converter's own record is missing.
    PowerCut,
}

impl SimDisk {
    /// Issues one invoice. The certificate's password is checked last before signing; `None` skips it (other programs have
    /// their own way in).
    ///
    /// # Errors
    /// Every refusal of a disk. A refusal from here means that nothing was signed.
    pub fn issue(&mut self, order: &IssueOrder, password: Option<&str>, saving: Saving) -> Result<LedgerEntry, Refusal> {
        self.upload();
        match order.door {
            Door::Converter | Door::Card => self.check_amounts(order)?,
            Door::Component => self.check_full_amounts(order)?,
        }
        let now = self.now();
        self.check_clock_and_locks(now)?;
        self.check_offline(order, now)?;
        match order.door {
            Door::Converter if order.red => self.check_red(order)?,
            Door::Component if order.red => self.check_full_red(order, now)?,
            _ => {}
        }
        let pair = self.stock(order.kind)?.current;
        if let Some(password) = password {
            self.check_secret(Secret::Certificate, password)?;
        }
        let zeros = order.buyer_number.is_empty() && order.door == Door::Converter;
        let buyer_number = if zeros { NO_BUYER_NUMBER.to_owned() } else { order.buyer_number.clone() };
        let mut entry = LedgerEntry {
            kind: order.kind,
            code: pair.code,
            number: pair.number,
            status: if order.red { EntryStatus::Negative } else { EntryStatus::Positive },
            buyer_name: order.buyer_name.clone(),
            buyer_number,
            lines: order.lines.clone(),
            net: order.net,
            tax: order.tax,
            gross: order.gross,
            remark: order.remark.clone(),
            clerk: order.clerk.clone(),
            time: now,
            fiscal_code: String::new(),
            signature: String::new(),
            origin: order.origin,
            original: order.original.filter(|_| order.red),
            saved: saving == Saving::Done,
            voided: None,
            details: order.details.clone(),
        };
        entry.fiscal_code = self.fiscal_code(&entry);
        if order.door == Door::Card {
            entry.fiscal_code = in_64_bits(&entry.fiscal_code);
        }
        entry.signature = self.sign(&entry);
        // The point of no return. If we stop before this returns, the number is free or used, and only a query tells.
        self.ledger.append(entry.clone()).map_err(|_| Refusal::jsk(121))?;
        Ok(entry)
    }

    fn check_amounts(&self, order: &IssueOrder) -> Result<(), Refusal> {
        let config = self.config();
        if !config.kinds.contains(&order.kind) {
            return Err(Refusal::jsk(210));
        }
        if order.lines.is_empty() {
            return Err(Refusal::jsk(132));
        }
        if order.lines.len() > usize::from(config.max_lines) {
            return Err(Refusal::jsk(562));
        }
        if !order.red {
            if order.gross <= Amount::ZERO {
                return Err(ZERO_TOTAL);
            }
            if config.limits.invoice.is_some_and(|limit| order.gross > limit) {
                return Err(OVER_LIMIT);
            }
        }
        order.check_sums()?;
        order.lines.iter().try_for_each(|line| self.check_line(line))
    }

    fn check_line(&self, line: &EntryLine) -> Result<(), Refusal> {
        let rate = Decimal::from_str_exact(&line.rate).map_err(|_| Refusal::jsk(132))?;
        if !self.config().rates.iter().any(|licensed| licensed.decimal() == rate) {
            return Err(Refusal::jsk(559));
        }
        if line.name.is_empty() {
            return Err(Refusal::jsk(132));
        }
        let tolerance = Decimal::new(625, 3);
        let fits = match line.tax.decimal().checked_div(rate) {
            Some(taxed) => (line.net.decimal() - taxed).abs() < tolerance,
            None => line.tax == Amount::ZERO,
        };
        if fits { Ok(()) } else { Err(Refusal::jsk(449)) }
    }

    fn check_clock_and_locks(&self, now: Stamp) -> Result<(), Refusal> {
        if self.ledger().entries().last().is_some_and(|last| now < last.time) {
            return Err(Refusal::jsk(506));
        }
        if let Some(code) = self.config().state.locked {
            return Err(Refusal::jsk(code));
        }
        if self.config().limits.deadline.as_deref().is_some_and(|deadline| now.date().as_str() > deadline) {
            return Err(Refusal::jsk(702));
        }
        Ok(())
    }

    fn check_offline(&self, order: &IssueOrder, now: Stamp) -> Result<(), Refusal> {
        let (limits, offline) = (&self.config().limits, self.offline());
        let Some(first) = offline.first else { return Ok(()) };
        let earlier_month = first.month() < now.month();
        if earlier_month && limits.upload_day.is_some_and(|day| now.day() > day) {
            return Err(Refusal::jsk(246));
        }
        if limits.offline_hours.is_some_and(|hours| now.hours_since(first) >= i64::from(hours)) {
            return Err(OFFLINE_TIME);
        }
        if limits.offline_count.is_some_and(|limit| offline.count >= usize::try_from(limit).unwrap_or(usize::MAX)) {
            return Err(OFFLINE_COUNT);
        }
        let sum = if order.red { Some(offline.sum) } else { offline.sum.checked_add(order.gross) };
        if limits.offline_amount.is_some_and(|limit| sum.is_none_or(|sum| sum > limit)) {
            return Err(OFFLINE_AMOUNT);
        }
        Ok(())
    }

    fn check_red(&self, order: &IssueOrder) -> Result<(), Refusal> {
        let pair = order.original.ok_or(ORIGINAL_NOT_POSITIVE)?;
        let original = self.query(order.kind, pair)?;
        if original.status != EntryStatus::Positive {
            return Err(ORIGINAL_NOT_POSITIVE);
        }
        if self.ledger().reds_of(pair).next().is_some() {
            return Err(ALREADY_REVERSED);
        }
        let expected = match self.config().red_sign {
            RedSign::Positive => original.gross.fen(),
            RedSign::Negative => -original.gross.fen(),
        };
        if order.gross.fen() == expected { Ok(()) } else { Err(RED_TOTAL_DIFFERS) }
    }

    /// Burns the current number as a blank.
    ///
    /// # Errors
    /// No stock, locked, an electronic kind, the certificate's password (`None` skips it).
    pub fn void_blank(
        &mut self,
        kind: InvoiceKind,
        operator: &str,
        password: Option<&str>,
        saving: Saving,
    ) -> Result<LedgerEntry, Refusal> {
        self.upload();
        if kind.is_electronic() {
            return Err(NOT_SUPPORTED);
        }
        let now = self.now();
        self.check_clock_and_locks(now)?;
        let pair = self.stock(kind)?.current;
        if let Some(password) = password {
            self.check_secret(Secret::Certificate, password)?;
        }
        let mut entry = LedgerEntry {
            kind,
            code: pair.code,
            number: pair.number,
            status: EntryStatus::BlankVoid,
            buyer_name: String::new(),
            buyer_number: String::new(),
            lines: Vec::new(),
            net: Amount::ZERO,
            tax: Amount::ZERO,
            gross: Amount::ZERO,
            remark: String::new(),
            clerk: operator.to_owned(),
            time: now,
            fiscal_code: String::new(),
            signature: String::new(),
            origin: Origin::Host,
            original: None,
            saved: saving == Saving::Done,
            voided: None,
            details: Box::default(),
        };
        entry.signature = self.sign(&entry);
        entry.voided =
            Some(VoidMark { time: now, operator: operator.to_owned(), signature: entry.signature.clone(), origin: Origin::Host });
        self.ledger.append(entry.clone()).map_err(|_| Refusal::jsk(121))?;
        Ok(entry)
    }

    /// Voids an issued invoice. Only "already void" and "already reported" stand in the way, besides the kind: electronic
    /// ones are never voided.
    ///
    /// # Errors
    /// As said, or unknown (89), or the certificate's password.
    pub fn void_issued(
        &mut self,
        kind: InvoiceKind,
        pair: NumberPair,
        operator: &str,
        password: Option<&str>,
        origin: Origin,
    ) -> Result<VoidMark, Refusal> {
        self.upload();
        if kind.is_electronic() {
            return Err(NOT_SUPPORTED);
        }
        let entry = self.query(kind, pair)?;
        if !matches!(entry.status, EntryStatus::Positive | EntryStatus::Negative) {
            return Err(ALREADY_VOID);
        }
        if self.config().state.reported_at.is_some_and(|reported| entry.time <= reported) {
            return Err(ALREADY_REPORTED);
        }
        let signature = self.sign(entry);
        if let Some(password) = password {
            self.check_secret(Secret::Certificate, password)?;
        }
        let mark = VoidMark { time: self.now(), operator: operator.to_owned(), signature, origin };
        self.ledger.void(kind, pair, mark.clone()).map_err(|_| Refusal::jsk(121))?;
        Ok(mark)
    }

    /// Another program issues on the same disk.
    ///
    /// # Errors
    /// As for any invoice.
    pub fn issue_foreign(&mut self, order: &IssueOrder) -> Result<LedgerEntry, Refusal> {
        self.issue(&IssueOrder { origin: Origin::Foreign, ..order.clone() }, None, Saving::Done)
    }

    fn fiscal_code(&self, entry: &LedgerEntry) -> String {
        match &self.config().signing {
            Signing::Counted { fiscal_code, .. } => fiscal_code.clone(),
            Signing::Derived => {
                let digits = format!("{:020}{:020}", digest(entry, 1), digest(entry, 2));
                digits.chars().rev().step_by(2).collect()
            }
        }
    }

    fn sign(&self, entry: &LedgerEntry) -> String {
        match &self.config().signing {
            Signing::Counted { prefix, .. } => format!("{prefix}{:04}", self.ledger().signatures() + 1),
            Signing::Derived => (0..4).map(|part| format!("{:016x}", digest(entry, part))).collect(),
        }
    }
}

/// A card's fiscal code is a number of 64 bits, shown as 20 digits.
fn in_64_bits(digits: &str) -> String {
    format!("{:020}", digits.parse::<u128>().unwrap_or_default() % (1 << 64))
}

/// FNV-1a over what an invoice says. A stand-in for a signature: it binds nothing, it only tells invoices apart.
fn digest(entry: &LedgerEntry, salt: u64) -> u64 {
    let text = format!("{entry:?}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325 ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15), |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
