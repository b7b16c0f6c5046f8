//! The XML form of the commands (type 0x20): the same values as documents (device-serial-zc.md, section 7).
//!
//! A business error comes inside a good answer, as a return code that is not zero: [`refusal`] finds it, so that the layers
//! above see it as they see an `ER`. Commands whose documents are not known are not offered in this form.

mod changes;
mod document;
mod invoices;
mod reads;

pub(super) use changes::{clear, done, refresh_offline, report, void, voided};
pub(super) use invoices::{found, issue, query, signed};
pub(super) use reads::{
    disk_info, disk_number, identity, limits, limits_of, number, offline, offline_of, rates, rates_of, stock, stock_of,
};

use document::{Answer, Document, Element};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::commands::{Subject, checked_password};
use super::fields::BadAnswer;
use crate::secret::Secret;

#[cfg(test)]
mod tests;

/// The business error in an answer, in the form of an `ER` text: `JSK176:无可用发票`. `None`: it is good, or no document.
pub(super) fn refusal(data: &[u8]) -> Option<Vec<u8>> {
    let answer = Answer::read(data).ok()?;
    if answer.is_good() {
        return None;
    }
    let (code, text) = (answer.output.text("returncode"), answer.output.text("returnmsg"));
    // Where the text names its code, as in an ER, the text rules. A bare decimal code is the disk's own.
    let is_number = !code.is_empty() && code.bytes().all(|digit| digit.is_ascii_digit());
    let coded = |prefix: &str| text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|one: char| one.is_ascii_digit()));
    let text = match (is_number, coded("JSK") || coded("-")) {
        (true, false) => format!("JSK{code}:{text}"),
        _ if text.is_empty() => code,
        _ => text,
    };
    Some(encoding_rs::GBK.encode(&text).0.into_owned())
}

/// What an answer to this command says.
fn output(data: &[u8], id: &str) -> Result<Element, BadAnswer> {
    let answer = Answer::read(data)?;
    if answer.id != id {
        return Err(BadAnswer(format!("the disk answered a document {:?}, {id} was asked", answer.id)));
    }
    if !answer.is_good() {
        // The caller has looked for refusals before; this cannot be a good answer whatever else stands in it.
        return Err(BadAnswer("the disk's answer has a return code that is not zero".to_owned()));
    }
    Ok(answer.output)
}

fn expect_kind(output: &Element, kind: InvoiceKind) -> Result<(), BadAnswer> {
    let text = output.text("fplxdm");
    if text == kind.fplxdm() {
        return Ok(());
    }
    Err(BadAnswer(format!("the disk answered for the kind {text:?}, {kind} was asked for")))
}

fn pair(output: &Element) -> Result<NumberPair, BadAnswer> {
    Ok(NumberPair { code: output.value("fpdm")?, number: output.value("fphm")? })
}

impl Document {
    fn password(&mut self, field: &str, element: &str, secret: &Secret) -> &mut Document {
        match checked_password(secret) {
            Ok(bytes) => self.element(element, bytes),
            Err(problem) => self.refuse(field, problem),
        }
    }

    /// jqbh nsrsbh sksbbh sksbkl fplxdm: the beginning of most documents.
    fn common(&mut self, subject: &Subject<'_>, kind: InvoiceKind) -> &mut Document {
        self.text("machine number", "jqbh", subject.machine, 12)
            .text("seller.taxpayer_number", "nsrsbh", subject.taxpayer.as_str(), 20)
            .text("disk number", "sksbbh", subject.disk.as_str(), 12)
            .password("disk password", "sksbkl", subject.password)
            .text("kind", "fplxdm", kind.fplxdm(), 3)
    }
}
