//! 10009 作废: voids an issued invoice, or the next blank.

use taxdisk_protocol::kind::InvoiceKind;

use crate::dialects::nisec::document::commands::fpzf::{self, Target, Voided};
use crate::dialects::nisec::document::{AnswerError, Document, FieldError};

/// Business id.
pub const ID: &str = "10009";

/// The request: kpzdbs, fplxdm, zflx, fpdm, fphm, hjje, zfr.
///
/// # Errors
/// A field that does not fit.
pub fn request(terminal: &str, kind: InvoiceKind, target: Target, operator: &str) -> Result<Document, FieldError> {
    let mut writer = super::begin(ID, "发票作废", terminal, kind);
    fpzf::write_target(&mut writer, target, operator);
    writer.finish()
}

/// The number that was voided. See [`fpzf::answer`].
///
/// # Errors
/// A refusal; or an answer without a pair or about another invoice: then everything is open.
pub fn answer(bytes: &[u8], kind: InvoiceKind, target: Target) -> Result<Voided, AnswerError> {
    let data = super::fields(bytes, ID)?;
    Ok(fpzf::read(&data, kind, target)?)
}
