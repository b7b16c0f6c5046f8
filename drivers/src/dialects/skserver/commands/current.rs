//! 10004 当前未开票号: the next pair.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use crate::dialects::nisec::document::{AnswerError, Document, FieldError, Fields};

/// Business id.
pub const ID: &str = "10004";

/// The request: kpzdbs, fplxdm.
///
/// # Errors
/// The terminal is not configured or cannot be written.
pub fn request(terminal: &str, kind: InvoiceKind) -> Result<Document, FieldError> {
    super::begin(ID, "查询当前未开票号", terminal, kind).finish()
}

/// The pair that the next invoice will get.
///
/// # Errors
/// A refusal, or an answer that is none.
pub fn answer(bytes: &[u8], kind: InvoiceKind) -> Result<NumberPair, AnswerError> {
    let data = super::fields(bytes, ID)?;
    Fields(&data).same_kind(kind)?;
    Ok(Fields(&data).pair("dqfpdm", "dqfphm")?)
}
