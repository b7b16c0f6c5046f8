//! GPXXCX 购票信息查询: the next pair, what is left, and the segments of stock.

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;

use super::super::card::Card;
use super::super::element::Element;
use super::super::errors::{AnswerError, BadAnswer, Refusal};
use super::super::fields::Fields;
use super::super::writer::{Document, FieldError, Writer};
use crate::disk::{Segment, Stock};

/// Business id.
pub const ID: &str = "GPXXCX";

/// Stock with its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchased {
    /// The next pair and what is left in all.
    pub stock: Stock,
    /// Segment by segment, the current one first; empty where the component does not list them.
    pub segments: Vec<Segment>,
}

/// The request: DISK4, fplxdm.
///
/// # Errors
/// A password cannot be written.
pub fn request(card: &Card<'_>, kind: InvoiceKind) -> Result<Document, FieldError> {
    let mut writer = Writer::nisec(ID, "购票信息查询");
    card.write(&mut writer);
    writer.plain("fplxdm", kind.fplxdm());
    writer.finish()
}

/// The stock. Nothing left is the refusal `NoStock`, whether the component refuses or answers with a zero.
///
/// # Errors
/// A refusal, or an answer that is none.
pub fn answer(bytes: &[u8], kind: InvoiceKind) -> Result<Purchased, AnswerError> {
    let data = super::fields(bytes, ID)?;
    read(&data, kind, "fpdxx")
}

/// The fields; SKServer calls the list otherwise.
pub(crate) fn read(data: &Element, kind: InvoiceKind, list: &str) -> Result<Purchased, AnswerError> {
    let fields = Fields(data);
    fields.same_kind(kind)?;
    let remaining = fields.required("zsyfs")?;
    if remaining == 0 {
        // The pair beside a zero is that of the last invoice, or none: it is not the next one.
        return Err(no_stock(kind).into());
    }
    let stock = Stock { current: fields.pair("dqfpdm", "dqfphm")?, remaining };
    let mut segments = match fields.0.child(list)? {
        Some(element) if !element.is_bare() => {
            element.groups()?.into_iter().map(|group| segment(Fields(group))).collect::<Result<Vec<_>, _>>()?
        }
        _ => Vec::new(),
    };
    segments.sort_by_key(|segment| !holds(segment, &stock));
    Ok(Purchased { stock, segments })
}

fn segment(group: Fields<'_>) -> Result<Segment, BadAnswer> {
    let segment = Segment {
        code: group.required("fpdm")?,
        first: group.number("qshm")?,
        last: group.number("zzhm")?,
        remaining: group.required("syfs")?,
    };
    if segment.first > segment.last {
        return Err(BadAnswer(format!("a segment of stock runs from {} to {}", segment.first, segment.last)));
    }
    Ok(segment)
}

/// Whether the next pair comes from this segment.
pub(crate) fn holds(segment: &Segment, stock: &Stock) -> bool {
    segment.code == stock.current.code && (segment.first..=segment.last).contains(&stock.current.number)
}

fn no_stock(kind: InvoiceKind) -> Refusal {
    Refusal {
        class: DeviceClass::NoStock,
        code: "zsyfs=0".to_owned(),
        text: format!("no blank invoice of kind {kind} is left on the disk"),
        tries_left: None,
        absent_in_query: false,
    }
}
