//! 10005 领购信息: the next pair, what is left, and the segments of stock.

use taxdisk_protocol::kind::InvoiceKind;

use crate::dialects::nisec::document::commands::gpxxcx::{self, Purchased};
use crate::dialects::nisec::document::{AnswerError, Document, FieldError};

/// Business id.
pub const ID: &str = "10005";

/// The request: kpzdbs, fplxdm.
///
/// # Errors
/// The terminal is not configured or cannot be written.
pub fn request(terminal: &str, kind: InvoiceKind) -> Result<Document, FieldError> {
    super::begin(ID, "查询领购信息", terminal, kind).finish()
}

/// The stock. Nothing left is the refusal `NoStock`.
///
/// # Errors
/// A refusal, or an answer that is none.
pub fn answer(bytes: &[u8], kind: InvoiceKind) -> Result<Purchased, AnswerError> {
    let data = super::fields(bytes, ID)?;
    gpxxcx::read(&data, kind, "lgxx")
}
