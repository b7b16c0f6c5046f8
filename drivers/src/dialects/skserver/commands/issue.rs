//! 10008 开具: issues one invoice, blue or red. It carries the caller's serial (fpqqlsh).
//!
//! What a server does with a serial that it knows already is said nowhere (B.5), so the same serial is not sent again on
//! any guess of this driver's.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;

use crate::dialects::nisec::document::commands::fpkj;
use crate::dialects::nisec::document::lines::{AMOUNT_BYTES, LineStyle, write_lines};
use crate::dialects::nisec::document::{AnswerError, BadAnswer, Document, FieldError, Issuing, Writer};
use crate::disk::{IssueRequest, Signed};

/// The longest fpqqlsh that every server is known to take, letters and digits (B.3).
const REQUEST_ID_CHARACTERS: usize = 20;

/// Business id.
pub const ID: &str = "10008";

/// The request.
///
/// # Errors
/// A field that does not fit, more lines than the paper has, a red special invoice without its 信息表编号, a serial that is
/// none.
pub fn request(terminal: &str, issuing: &Issuing, request: &IssueRequest<'_>) -> Result<Document, FieldError> {
    let mut writer = super::begin(ID, "发票开具", terminal, request.kind);
    fpkj::check(&mut writer, issuing, request);
    write_serial(&mut writer, request.request_id);
    writer.plain("kplx", fpkj::kplx(request));
    writer.plain("tspz", "00");
    fpkj::write_parties(&mut writer, issuing, request);
    writer.plain("qdbz", "0");
    write_deduction(&mut writer, request);
    write_lines(&mut writer, &request.invoice.lines, LineStyle { zero_rate: "lslbs", deduction: false });
    fpkj::write_totals(&mut writer, request);
    fpkj::write_red(&mut writer, request);
    writer.text("qmcs", "signature parameters", &issuing.signature_parameters, 16);
    writer.finish()
}

/// What the device signed. `net` is what was sent.
///
/// # Errors
/// A refusal; or an answer without a pair, about another kind, sum or serial: then the invoice may exist all the same.
pub fn answer(bytes: &[u8], kind: InvoiceKind, net: Amount, request_id: &str) -> Result<Signed, AnswerError> {
    let data = super::fields(bytes, ID)?;
    match data.text("fpqqlsh")? {
        "" => {}
        told if told == request_id => {}
        _ => return Err(BadAnswer(format!("the answer is for another request than {request_id}")).into()),
    }
    Ok(fpkj::read(&data, kind, net)?)
}

/// fpqqlsh: at most 20 letters and digits.
fn write_serial(writer: &mut Writer, request_id: &str) {
    let fits = (1..=REQUEST_ID_CHARACTERS).contains(&request_id.len());
    if !fits || !request_id.bytes().all(|one| one.is_ascii_alphanumeric()) {
        writer.refuse("request_id", format!("it is not 1 to {REQUEST_ID_CHARACTERS} letters and digits"));
    }
    writer.plain("fpqqlsh", request_id);
}

/// zsfs and kce: a deduction (差额征税) stands at the head here, so there can be one line only.
fn write_deduction(writer: &mut Writer, request: &IssueRequest<'_>) {
    let lines = &request.invoice.lines;
    let deduction = lines.iter().find_map(|line| line.deduction).map(|deduction| deduction.to_string());
    if deduction.is_some() && lines.len() > 1 {
        writer.refuse("lines", "an invoice with a deduction has one line only");
    }
    writer.plain("zsfs", if deduction.is_some() { "2" } else { "0" });
    writer.text("kce", "lines[0].deduction", &deduction.unwrap_or_default(), AMOUNT_BYTES);
}
