//! FPCX 发票查询: the invoices of a range of numbers (cxfs 0).
//!
//! The query by dates (cxfs 1) is not made: other products read the same digit as a request serial (B.4), and nobody here
//! needs dates.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::{InvoiceCode, InvoiceNumber};

use super::super::card::Card;
use super::super::element::Element;
use super::super::envelope::parse_answer;
use super::super::errors::{AnswerError, BadAnswer};
use super::super::fields::Fields;
use super::super::found::read_invoice;
use super::super::writer::{Document, FieldError, Writer};
use crate::disk::FoundInvoice;

/// Business id.
pub const ID: &str = "FPCX";

/// The most numbers of one question. An invoice of 100 lines is a document of about 40 KB, so that the answer stays below
/// [`MAX_ANSWER_BYTES`](super::super::MAX_ANSWER_BYTES).
pub const MAX_RANGE: u32 = 20;

/// Numbers of one code from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Code.
    pub code: InvoiceCode,
    /// First number.
    pub first: InvoiceNumber,
    /// Last number.
    pub last: InvoiceNumber,
}

impl Range {
    /// How many numbers it holds; 0 when it ends before it begins.
    pub fn count(&self) -> u32 {
        (self.last.value() + 1).saturating_sub(self.first.value())
    }

    /// Code, first and last, as cxtj has them.
    pub(crate) fn condition(&self) -> String {
        format!("{}{}{}", self.code, self.first, self.last)
    }
}

/// A longer range in parts that can be asked for.
///
/// # Errors
/// It is empty, or holds more than `limit` numbers.
pub(crate) fn parts(range: Range, limit: u32) -> Result<Vec<Range>, FieldError> {
    if !(1..=limit).contains(&range.count()) {
        let reason = format!("{} numbers: 1 to {limit} can be asked for at once", range.count());
        return Err(FieldError { field: "range".to_owned(), reason });
    }
    let part = |first: u32| {
        let last = (first + MAX_RANGE - 1).min(range.last.value());
        Some(Range { code: range.code, first: InvoiceNumber::new(first)?, last: InvoiceNumber::new(last)? })
    };
    Ok((range.first.value()..=range.last.value()).step_by(MAX_RANGE as usize).filter_map(part).collect())
}

/// The request: DISK4, fplxdm, cxfs 0, cxtj, cxlx 0 (uploaded or not).
///
/// # Errors
/// The range is empty or above [`MAX_RANGE`].
pub fn request(card: &Card<'_>, kind: InvoiceKind, range: Range) -> Result<Document, FieldError> {
    let mut writer = Writer::nisec(ID, "发票查询");
    if !(1..=MAX_RANGE).contains(&range.count()) {
        writer.refuse("range", format!("{} numbers: one question may be for 1 to {MAX_RANGE}", range.count()));
    }
    card.write(&mut writer);
    writer.plain("fplxdm", kind.fplxdm());
    writer.plain("cxfs", "0");
    writer.plain("cxtj", &range.condition());
    writer.plain("cxlx", "0");
    writer.finish()
}

/// The invoices of the range in the order of their numbers. An empty list is the device's own word that there are none:
/// its code for "no data", or a count of zero. A success that says neither is an error.
///
/// # Errors
/// Any other refusal; an answer that is none, is cut, or is about other numbers.
pub fn answer(bytes: &[u8], kind: InvoiceKind, range: Range) -> Result<Vec<FoundInvoice>, AnswerError> {
    match parse_answer(bytes)?.success(ID) {
        Ok(data) => Ok(read(&data, kind, range)?),
        Err(error) if error.is_absent() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn read(data: &Element, kind: InvoiceKind, range: Range) -> Result<Vec<FoundInvoice>, BadAnswer> {
    let fields = Fields(data);
    fields.same_kind(kind)?;
    let groups = fields.groups("fpxx")?.ok_or_else(|| BadAnswer("the answer has no fpxx".to_owned()))?;
    let found = groups.into_iter().map(|group| read_invoice(Fields(group))).collect::<Result<Vec<_>, _>>()?;
    within(found, range)
}

/// Sorts, and refuses what was not asked for or comes twice.
pub(crate) fn within(mut found: Vec<FoundInvoice>, range: Range) -> Result<Vec<FoundInvoice>, BadAnswer> {
    found.sort_by_key(|invoice| invoice.pair);
    for invoice in &found {
        let pair = invoice.pair;
        if pair.code != range.code || !(range.first..=range.last).contains(&pair.number) {
            let (code, first, last) = (range.code, range.first, range.last);
            return Err(BadAnswer(format!("the answer holds {pair}, which is not in {code} {first} to {last}")));
        }
    }
    if found.windows(2).any(|two| two[0].pair == two[1].pair) {
        return Err(BadAnswer("the answer holds the same invoice twice".to_owned()));
    }
    Ok(found)
}
