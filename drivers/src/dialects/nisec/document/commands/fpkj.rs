//! FPKJ 发票开具: issues one invoice, blue or red (device-xml-and-usb.md, A.4).
//!
//! The component knows no request serial: sent twice, it issues twice. A list (清单) is not written, because what stands in
//! the lines beside one is not known.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;

use super::super::card::{Card, Issuing};
use super::super::element::Element;
use super::super::errors::{AnswerError, BadAnswer};
use super::super::fields::Fields;
use super::super::found;
use super::super::lines::{AMOUNT_BYTES, LineStyle, write_lines};
use super::super::writer::{Document, FieldError, Writer};
use crate::disk::{IssueRequest, Signed};

/// Business id.
pub const ID: &str = "FPKJ";

/// Widths in bytes of GBK (invoice-rules.md, section 7).
pub(crate) const PARTY_BYTES: usize = 100;
pub(crate) const TAXPAYER_BYTES: usize = 20;
pub(crate) const CONTACT_BYTES: usize = 100;
pub(crate) const REMARK_BYTES: usize = 200;
pub(crate) const PERSON_BYTES: usize = 20;

/// Whether the document names the pair that the host expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedPair {
    /// The component knows no such fields.
    Omit,
    /// dqfpdm and dqfphm after qmcs: the device issues nothing if its own pair differs (profile taxdisk-bot, C.4).
    Send,
}

/// The request.
///
/// # Errors
/// A field that does not fit, more lines than the paper has, a red special invoice without its 信息表编号.
pub fn request(
    card: &Card<'_>,
    issuing: &Issuing,
    request: &IssueRequest<'_>,
    pair: ExpectedPair,
) -> Result<Document, FieldError> {
    let mut writer = Writer::nisec(ID, "发票开具");
    check(&mut writer, issuing, request);
    card.write_without_taxpayer(&mut writer);
    writer.plain("fplxdm", request.kind.fplxdm());
    writer.plain("kplx", kplx(request));
    writer.plain("tspz", "00");
    write_parties(&mut writer, issuing, request);
    writer.text("bmbbbh", "goods table version", &issuing.goods_table, 10);
    writer.plain("hsslbs", "0");
    write_lines(&mut writer, &request.invoice.lines, LineStyle { zero_rate: "slbs", deduction: true });
    writer.empty("zhsl");
    write_totals(&mut writer, request);
    for name in ["jmbbh", "zyspmc", "spsm"] {
        writer.empty(name);
    }
    writer.plain("qdbz", "0");
    writer.empty("ssyf");
    writer.text("kpjh", "issuing machine", &issuing.machine, 5);
    write_red(&mut writer, request);
    writer.text("qmcs", "signature parameters", &issuing.signature_parameters, 16);
    if pair == ExpectedPair::Send {
        writer.plain("dqfpdm", request.expected.code.as_str());
        writer.plain("dqfphm", &request.expected.number.to_string());
    }
    writer.finish()
}

/// What the device signed. `net` is what was sent: an answer about another sum is not about this invoice.
///
/// # Errors
/// A refusal; or an answer without a pair, about another kind or another sum: then the invoice may exist all the same.
pub fn answer(bytes: &[u8], kind: InvoiceKind, net: Amount) -> Result<Signed, AnswerError> {
    let data = super::fields(bytes, ID)?;
    Ok(read(&data, kind, net)?)
}

/// The fields, as SKServer names them too.
pub(crate) fn read(data: &Element, kind: InvoiceKind, net: Amount) -> Result<Signed, BadAnswer> {
    let fields = Fields(data);
    fields.same_kind(kind)?;
    let pair = fields.pair("fpdm", "fphm")?;
    // Red sums come back with and without their sign.
    if let Some(signed) = fields.value::<Amount>("hjje")?.filter(|signed| signed.abs() != net.abs()) {
        return Err(BadAnswer(format!(
            "the answer names {pair} with {signed} net, {net} was sent: it belongs to another invoice"
        )));
    }
    Ok(Signed {
        pair,
        issued_at: fields.text("kprq")?,
        fiscal_code: fields.text("skm")?,
        signature: fields.text("qmz")?,
        printed: found::printed(fields),
    })
}

/// Rules of the form that no width shows.
pub(crate) fn check(writer: &mut Writer, issuing: &Issuing, request: &IssueRequest<'_>) {
    let lines = request.invoice.lines.len();
    let paper = matches!(request.kind, InvoiceKind::PaperSpecial | InvoiceKind::PaperOrdinary);
    if lines == 0 {
        writer.refuse("lines", "an invoice needs at least one");
    }
    if paper && lines > usize::from(issuing.paper_lines) {
        let most = issuing.paper_lines;
        writer.refuse("lines", format!("{lines} lines, this paper has {most}: split the invoice, lists are not written"));
    }
    let gross = request.invoice.totals.gross;
    match request.red {
        None if gross <= Amount::ZERO => writer.refuse("totals.gross", "the total of a blue invoice must be above zero"),
        Some(_) if gross >= Amount::ZERO => writer.refuse("totals.gross", "the total of a red invoice must be below zero"),
        Some(red) if request.kind.is_special() && red.notice.is_none() => {
            writer.refuse("red.notice", "a red special invoice needs the number of its information table (信息表编号)");
        }
        _ => {}
    }
}

/// 开票类型.
pub(crate) fn kplx(request: &IssueRequest<'_>) -> &'static str {
    if request.red.is_some() { "1" } else { "0" }
}

/// xhdw* and ghdw*, four fields each.
pub(crate) fn write_parties(writer: &mut Writer, issuing: &Issuing, request: &IssueRequest<'_>) {
    let (seller, buyer) = (request.seller, &request.invoice.buyer);
    writer.plain("xhdwsbh", seller.taxpayer.as_str());
    writer.text("xhdwmc", "seller.name", &seller.taxpayer_name, PARTY_BYTES);
    writer.text("xhdwdzdh", "seller.address_phone", &issuing.seller_address_phone, CONTACT_BYTES);
    writer.text("xhdwyhzh", "seller.bank_account", &issuing.seller_bank_account, CONTACT_BYTES);
    let number = buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    writer.text("ghdwsbh", "buyer.taxpayer_number", number, TAXPAYER_BYTES);
    writer.text("ghdwmc", "buyer.name", &buyer.name, PARTY_BYTES);
    writer.text("ghdwdzdh", "buyer.address_phone", &buyer.address_phone, CONTACT_BYTES);
    writer.text("ghdwyhzh", "buyer.bank_account", &buyer.bank_account, CONTACT_BYTES);
}

/// hjje to kpr.
pub(crate) fn write_totals(writer: &mut Writer, request: &IssueRequest<'_>) {
    let invoice = request.invoice;
    writer.text("hjje", "totals.net", &invoice.totals.net.to_string(), AMOUNT_BYTES);
    writer.text("hjse", "totals.tax", &invoice.totals.tax.to_string(), AMOUNT_BYTES);
    writer.text("jshj", "totals.gross", &invoice.totals.gross.to_string(), AMOUNT_BYTES);
    writer.text("bz", "remark", request.remark, REMARK_BYTES);
    writer.text("skr", "payee", &invoice.payee, PERSON_BYTES);
    writer.text("fhr", "reviewer", &invoice.reviewer, PERSON_BYTES);
    writer.text("kpr", "clerk", &invoice.clerk, PERSON_BYTES);
}

/// tzdbh, yfpdm, yfphm; empty on a blue invoice.
pub(crate) fn write_red(writer: &mut Writer, request: &IssueRequest<'_>) {
    let notice = request.red.and_then(|red| red.notice.as_deref()).unwrap_or("");
    writer.text("tzdbh", "red.notice", notice, 16);
    let original = request.red.map(|red| (red.original.code.to_string(), red.original.number.to_string()));
    let (code, number) = original.unwrap_or_default();
    writer.plain("yfpdm", &code);
    writer.plain("yfphm", &number);
}
