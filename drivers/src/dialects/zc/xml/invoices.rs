//! Documents of issuing and reading one invoice: FPKJ, FPCX. The same checks and widths as in the fixed form.

use rust_decimal::Decimal;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;

use super::super::commands::issue::{self, NUMBER_BYTES, PRICE_DECIMALS, RATE_DECIMALS, SentLine};
use super::super::commands::{Subject, query as fixed_query};
use super::super::config::RedSign;
use super::super::fields::{BadAnswer, FieldError, fixed, quotient};
use super::document::{Document, Element};
use super::{expect_kind, output, pair};
use crate::disk::{FoundInvoice, FoundLine, Signed};

/// 0A.
pub(in super::super) fn issue(request: &issue::Request<'_>) -> Result<Vec<u8>, FieldError> {
    // The fixed form holds the same fields in the same widths: what it refuses is refused here, in the same words.
    issue::request(request)?;
    let issue::Request { subject, invoice, .. } = request;
    let unsigned = request.red.is_some_and(|red| red.sign == RedSign::Positive);
    let amount = |value: Amount| if unsigned { value.abs() } else { value };
    let lines = issue::merge_discounts(&invoice.lines)?;
    let buyer_number = invoice.buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    let mut document = Document::new("FPKJ", "发票开具");
    document
        .text("machine number", "jqbh", subject.machine, 12)
        .password("certificate password", "zskl", request.certificate_password)
        .text("seller.taxpayer_number", "xhdwdm", subject.taxpayer.as_str(), 20)
        .text("seller.name", "xhdwmc", request.seller_name, 80)
        .text("disk number", "sksbbh", subject.disk.as_str(), 12)
        .password("disk password", "sksbkl", subject.password)
        .text("kind", "fplxdm", request.kind.fplxdm(), 3)
        .text("", "kplx", if request.red.is_some() { "1" } else { "0" }, 1)
        // 行业分类: its values are not known; the fixed form has no such field.
        .text("", "hyfl", "", 0)
        .text("buyer.taxpayer_number", "ghdwdm", buyer_number, 20)
        .text("buyer.name", "ghdwmc", &invoice.buyer.name, 80)
        .open(&format!("sfxm count=\"{}\"", lines.len()));
    for (index, line) in lines.iter().enumerate() {
        write_line(&mut document, index + 1, line, unsigned);
    }
    document
        .close("sfxm")
        .text("totals.net", "hjje", &amount(invoice.totals.net).to_string(), NUMBER_BYTES)
        .text("totals.tax", "hjse", &amount(invoice.totals.tax).to_string(), NUMBER_BYTES)
        .text("totals.gross", "jshj", &amount(invoice.totals.gross).to_string(), NUMBER_BYTES)
        .text("remark", "bz", request.remark, issue::REMARK_BYTES)
        .text("clerk", "skr", &invoice.clerk, issue::PERSON_BYTES)
        .text("clerk", "kpr", &invoice.clerk, issue::PERSON_BYTES);
    let original = request.red.map(|red| red.original);
    document.text("original.code", "yfpdm", original.as_ref().map_or("", |pair| pair.code.as_str()), 12).text(
        "original.number",
        "yfphm",
        &original.map_or("00000000".to_owned(), |pair| pair.number.to_string()),
        8,
    );
    document.finish()
}

fn write_line(document: &mut Document, place: usize, line: &SentLine<'_>, unsigned: bool) {
    let field = |name: &str| format!("lines[{}].{name}", line.index);
    let sign = |value: Decimal| if unsigned { value.abs() } else { value };
    let number = |value: Option<Decimal>| value.and_then(|value| fixed(sign(value), PRICE_DECIMALS)).unwrap_or_default();
    let amount = |value: Amount| if unsigned { value.abs() } else { value }.to_string();
    let Some(gross) = line.net.checked_add(line.tax) else {
        document.refuse(&field("net"), "net and tax together are out of range");
        return;
    };
    let gross_price = line.quantity.and_then(|quantity| quotient(gross.decimal(), quantity, PRICE_DECIMALS));
    document
        .open(&format!("group xh=\"{place}\""))
        .text(&field("name"), "xm", line.name, issue::ITEM_NAME_BYTES)
        .text(&field("price"), "dj", &number(line.price), NUMBER_BYTES)
        .text(&field("quantity"), "sl", &number(line.quantity), NUMBER_BYTES)
        .text(&field("net"), "je", &amount(line.net), NUMBER_BYTES)
        .text(&field("rate"), "zsl", &fixed(line.rate, RATE_DECIMALS).unwrap_or_default(), 6)
        .text(&field("tax"), "se", &amount(line.tax), NUMBER_BYTES)
        .text(&field("price"), "hsdj", &number(gross_price), NUMBER_BYTES)
        .text(&field("net"), "hsje", &amount(gross), NUMBER_BYTES)
        .close("group");
}

pub(in super::super) fn signed(data: &[u8], kind: InvoiceKind) -> Result<Signed, BadAnswer> {
    let output = output(data, "FPKJ")?;
    expect_kind(&output, kind)?;
    let issued_at = output.text("kprq") + &output.text("kpsj");
    Ok(Signed {
        pair: pair(&output)?,
        issued_at,
        fiscal_code: output.text("skm"),
        signature: output.text("qmz"),
        printed: Printed::default(),
    })
}

/// 0C.
pub(in super::super) fn query(subject: &Subject<'_>, kind: InvoiceKind, pair: NumberPair) -> Result<Vec<u8>, FieldError> {
    // Refuses codes of 10 digits, as there.
    fixed_query::request(subject, kind, pair)?;
    let mut document = Document::new("FPCX", "发票查询");
    document.common(subject, kind).text("", "cxfs", "0", 1).text(
        "code",
        "cxtj",
        &format!("{}{}{}", pair.code, pair.number, pair.number),
        30,
    );
    document.finish()
}

/// An answer without the invoice is an error: only the disk's own code says that there is none.
pub(in super::super) fn found(data: &[u8], expected: NumberPair) -> Result<FoundInvoice, BadAnswer> {
    let output = output(data, "FPCX")?;
    let mut groups = output.child("fpxx").into_iter().flat_map(|list| list.all("group"));
    let (Some(group), None) = (groups.next(), groups.next()) else {
        return Err(BadAnswer("the disk did not answer with exactly one invoice".to_owned()));
    };
    let found = pair(group)?;
    if found != expected {
        return Err(BadAnswer(format!("the disk answered with the invoice {found}, {expected} was asked for")));
    }
    let lines = group.child("sfxm").into_iter().flat_map(|list| list.all("group"));
    let sum = |name| Ok(group.told_value(name)?.unwrap_or(Amount::ZERO));
    let (code, number) = (group.text("yfpdm"), group.text("yfphm"));
    Ok(FoundInvoice {
        pair: found,
        status: fixed_query::status(&group.text("fpzt"))?,
        issued_at: group.text("kprq") + &group.text("kpsj"),
        fiscal_code: group.text("skm"),
        buyer_name: group.text("ghdwmc"),
        buyer_number: group.text("ghdwdm"),
        lines: lines.map(line).collect::<Result<_, _>>()?,
        net: sum("hjje")?,
        tax: sum("hjse")?,
        gross: sum("jshj")?,
        remark: group.text("bz"),
        clerk: group.told("skr").unwrap_or_else(|| group.text("kpr")),
        voided_at: group.told("zfrq").filter(|time| time.bytes().any(|digit| digit != b'0')),
        signature: group.text("qmz"),
        printed: Printed::default(),
        original: code.parse().ok().zip(number.parse().ok()).map(|(code, number)| NumberPair { code, number }),
        request_id: None,
        buyer_address_phone: String::new(),
        buyer_bank_account: String::new(),
    })
}

fn line(group: &Element) -> Result<FoundLine, BadAnswer> {
    Ok(FoundLine {
        name: group.text("xm"),
        price: group.text("dj"),
        quantity: group.text("sl"),
        net: group.value("je")?,
        rate: group.text("zsl"),
        tax: group.value("se")?,
        ..FoundLine::default()
    })
}
