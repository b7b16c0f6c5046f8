//! FPZF 发票作废: voids an issued invoice, or the next blank.
//!
//! A blank void takes whatever number is current: it must never be repeated on a guess.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;

use super::super::card::{Card, Issuing};
use super::super::element::Element;
use super::super::errors::{AnswerError, BadAnswer};
use super::super::fields::Fields;
use super::super::writer::{Document, FieldError, Writer};
use super::fpkj::PERSON_BYTES;

/// Business id.
pub const ID: &str = "FPZF";

/// What is voided (zflx).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// 0: the next blank, which is expected to be this one.
    Blank(NumberPair),
    /// 1: an issued invoice with its sum without tax.
    Issued(NumberPair, Amount),
}

/// A number that was voided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voided {
    /// Which.
    pub pair: NumberPair,
    /// When, disk clock, where the component tells.
    pub at: Option<String>,
}

/// The request: DISK4, fplxdm, zflx, fpdm, fphm, hjje, zfr, qmcs.
///
/// # Errors
/// A field that does not fit.
pub fn request(
    card: &Card<'_>,
    issuing: &Issuing,
    kind: InvoiceKind,
    target: Target,
    operator: &str,
) -> Result<Document, FieldError> {
    let mut writer = Writer::nisec(ID, "发票作废");
    card.write(&mut writer);
    writer.plain("fplxdm", kind.fplxdm());
    write_target(&mut writer, target, operator);
    writer.text("qmcs", "signature parameters", &issuing.signature_parameters, 16);
    writer.finish()
}

/// The number that was voided. For an issued one it must be the one that was meant; for a blank the caller compares.
///
/// # Errors
/// A refusal; or an answer without a pair or about another invoice: then everything is open.
pub fn answer(bytes: &[u8], kind: InvoiceKind, target: Target) -> Result<Voided, AnswerError> {
    let data = super::fields(bytes, ID)?;
    Ok(read(&data, kind, target)?)
}

/// zflx, fpdm, fphm, hjje, zfr, as SKServer names them too.
pub(crate) fn write_target(writer: &mut Writer, target: Target, operator: &str) {
    let (zflx, pair, net) = match target {
        Target::Blank(pair) => ("0", pair, String::new()),
        Target::Issued(pair, net) => ("1", pair, net.to_string()),
    };
    writer.plain("zflx", zflx);
    writer.plain("fpdm", pair.code.as_str());
    writer.plain("fphm", &pair.number.to_string());
    writer.plain("hjje", &net);
    writer.text("zfr", "operator", operator, PERSON_BYTES);
}

/// The fields, as SKServer names them too.
pub(crate) fn read(data: &Element, kind: InvoiceKind, target: Target) -> Result<Voided, BadAnswer> {
    let fields = Fields(data);
    fields.same_kind(kind)?;
    let voided = Voided { pair: fields.pair("fpdm", "fphm")?, at: fields.told("zfrq")? };
    match target {
        Target::Issued(pair, _) if pair != voided.pair => {
            Err(BadAnswer(format!("the answer says that {} was voided, {pair} was meant", voided.pair)))
        }
        _ => Ok(voided),
    }
}
