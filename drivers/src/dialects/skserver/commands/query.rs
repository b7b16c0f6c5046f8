//! 10010 查询: invoices by number, or by the serial of their request where the product has such a query (B.4).

use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;

use super::super::config::NumberForm;
use crate::dialects::nisec::document::commands::fpcx::{MAX_RANGE, Range, within};
use crate::dialects::nisec::document::found::read_invoice;
use crate::dialects::nisec::document::{AnswerError, BadAnswer, Document, Element, FieldError, Fields};
use crate::disk::FoundInvoice;

/// Business id.
pub const ID: &str = "10010";

/// The request for a range of numbers: kpzdbs, fplxdm, cxfs 0, cxtj.
///
/// # Errors
/// The range is empty, above [`MAX_RANGE`], or more than one number where the product takes one only.
pub fn by_number(terminal: &str, kind: InvoiceKind, form: NumberForm, range: Range) -> Result<Document, FieldError> {
    let mut writer = super::begin(ID, "发票查询", terminal, kind);
    let most = if form == NumberForm::CodeFirstLast { MAX_RANGE } else { 1 };
    if !(1..=most).contains(&range.count()) {
        writer.refuse("range", format!("{} numbers: one question may be for 1 to {most}", range.count()));
    }
    writer.plain("cxfs", "0");
    match form {
        NumberForm::CodeFirstLast => writer.plain("cxtj", &range.condition()),
        NumberForm::CodeTildeNumber => writer.plain("cxtj", &format!("{}~{}", range.code, range.first)),
    }
    writer.finish()
}

/// The request for a serial: kpzdbs, fplxdm, cxfs as configured, cxtj the serial.
///
/// # Errors
/// The terminal cannot be written.
pub fn by_request(terminal: &str, kind: InvoiceKind, cxfs: u8, request_id: &str) -> Result<Document, FieldError> {
    let mut writer = super::begin(ID, "发票查询", terminal, kind);
    writer.plain("cxfs", &cxfs.to_string());
    writer.text("cxtj", "request_id", request_id, 20);
    writer.finish()
}

/// The invoices of a range in the order of their numbers. An empty list is the device's own word: its code for "no data",
/// or a count of zero.
///
/// # Errors
/// Any other refusal; an answer that is none, is cut, or is about other numbers or another disk.
pub fn numbers(bytes: &[u8], kind: InvoiceKind, disk: &DiskNumber, range: Range) -> Result<Vec<FoundInvoice>, AnswerError> {
    Ok(within(invoices(bytes, kind, disk)?, range)?)
}

/// The invoices of a serial.
///
/// # Errors
/// As [`numbers`]; an invoice that names another serial.
pub fn request(bytes: &[u8], kind: InvoiceKind, disk: &DiskNumber, serial: &str) -> Result<Vec<FoundInvoice>, AnswerError> {
    let found = invoices(bytes, kind, disk)?;
    if found.iter().any(|invoice| invoice.request_id.as_deref().is_some_and(|told| told != serial)) {
        return Err(BadAnswer(format!("the answer holds an invoice of another request than {serial}")).into());
    }
    Ok(found)
}

fn invoices(bytes: &[u8], kind: InvoiceKind, disk: &DiskNumber) -> Result<Vec<FoundInvoice>, AnswerError> {
    let data = match super::fields(bytes, ID) {
        Ok(data) => data,
        Err(error) if error.is_absent() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Fields(&data).same_kind(kind)?;
    let mut found = Vec::new();
    for group in groups(&data)? {
        let told = group.text("skpbh")?;
        if !told.is_empty() && told != disk.as_str() {
            let text = format!("the server answers with an invoice of disk {told:.20}, {disk} is configured");
            return Err(BadAnswer(text).into());
        }
        found.push(read_invoice(Fields(group))?);
    }
    Ok(found)
}

/// The exact wrapper is not known: groups in kpxx or fpxx, or one invoice in it without a group. Anything else says nothing,
/// least of all "absent".
fn groups(data: &Element) -> Result<Vec<&Element>, BadAnswer> {
    for name in ["kpxx", "fpxx"] {
        let Some(element) = data.child(name)? else { continue };
        if element.child("fpdm")?.is_some() {
            return Ok(vec![element]);
        }
        return element.groups();
    }
    data.groups()
}
