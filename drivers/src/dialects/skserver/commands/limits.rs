//! 10002 监控管理数据: limits and dates of a kind. No answer was ever seen; the names of JKSJCX are expected, and what is not
//! told stays "not told".

use taxdisk_protocol::kind::InvoiceKind;

use crate::dialects::nisec::document::commands::jksjcx;
use crate::dialects::nisec::document::{AnswerError, Document, FieldError};
use crate::disk::Limits;

/// Business id.
pub const ID: &str = "10002";

/// The request: kpzdbs, fplxdm.
///
/// # Errors
/// The terminal is not configured or cannot be written.
pub fn request(terminal: &str, kind: InvoiceKind) -> Result<Document, FieldError> {
    super::begin(ID, "查询监控管理数据", terminal, kind).finish()
}

/// The limits.
///
/// # Errors
/// A refusal, or an answer that is none.
pub fn answer(bytes: &[u8], kind: InvoiceKind) -> Result<Limits, AnswerError> {
    let data = super::fields(bytes, ID)?;
    Ok(jksjcx::read(&data, kind)?)
}
