//! JKSJCX 监控数据查询: limits and dates of a kind.

use taxdisk_protocol::kind::InvoiceKind;

use super::super::card::Card;
use super::super::element::Element;
use super::super::errors::{AnswerError, BadAnswer};
use super::super::fields::Fields;
use super::super::writer::{Document, FieldError, Writer};
use crate::disk::Limits;

/// Business id.
pub const ID: &str = "JKSJCX";

/// The request: DISK4, fplxdm.
///
/// # Errors
/// A password cannot be written.
pub fn request(card: &Card<'_>, kind: InvoiceKind) -> Result<Document, FieldError> {
    let mut writer = Writer::nisec(ID, "监控数据查询");
    card.write(&mut writer);
    writer.plain("fplxdm", kind.fplxdm());
    writer.finish()
}

/// The limits.
///
/// # Errors
/// A refusal, or an answer that is none.
pub fn answer(bytes: &[u8], kind: InvoiceKind) -> Result<Limits, AnswerError> {
    let data = super::fields(bytes, ID)?;
    Ok(read(&data, kind)?)
}

/// The fields, as SKServer names them too.
pub(crate) fn read(data: &Element, kind: InvoiceKind) -> Result<Limits, BadAnswer> {
    let fields = Fields(data);
    fields.same_kind(kind)?;
    let period = fields.told("bsqsrq")?.zip(fields.told("bszzrq")?);
    Ok(Limits {
        issue_deadline: fields.told("kpjzsj")?,
        period,
        invoice_limit: fields.value("dzkpxe")?,
        // 0 to 31; no month has a day 0.
        upload_day: fields.value("scjzrq")?.filter(|day| *day != 0),
        offline_hours: fields.value("lxkpsc")?,
        offline_amount: fields.value("lxzsljje")?,
    })
}
