//! SZSMCX 税种税目查询: the tax items, and with them the rates, that a kind is licensed for.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::TaxRate;

use super::super::card::Card;
use super::super::errors::{AnswerError, BadAnswer};
use super::super::fields::Fields;
use super::super::writer::{Document, FieldError, Writer};

/// Business id.
pub const ID: &str = "SZSMCX";

/// One tax item (税目).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxItem {
    /// 索引号.
    pub index: String,
    /// 代码.
    pub code: String,
    /// 税率.
    pub rate: TaxRate,
    /// 税种名称 and 税目名称.
    pub names: (String, String),
}

/// The request: DISK4, fplxdm.
///
/// # Errors
/// A password cannot be written.
pub fn request(card: &Card<'_>, kind: InvoiceKind) -> Result<Document, FieldError> {
    let mut writer = Writer::nisec(ID, "税种税目查询");
    card.write(&mut writer);
    writer.plain("fplxdm", kind.fplxdm());
    writer.finish()
}

/// The tax items.
///
/// # Errors
/// A refusal, or an answer that is none.
pub fn answer(bytes: &[u8], kind: InvoiceKind) -> Result<Vec<TaxItem>, AnswerError> {
    let data = super::fields(bytes, ID)?;
    let fields = Fields(&data);
    fields.same_kind(kind)?;
    let groups = fields.groups("szsmxx")?.ok_or_else(|| BadAnswer("the answer has no tax items".to_owned()))?;
    let item = |group| {
        let item = Fields(group);
        let names = (item.text("szmc")?, item.text("smmc")?);
        Ok(TaxItem { index: item.text("szsmsyh")?, code: item.text("szsmdm")?, rate: item.required("sl")?, names })
    };
    groups.into_iter().map(item).collect()
}
