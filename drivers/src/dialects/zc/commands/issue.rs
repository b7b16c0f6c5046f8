//! 0A 发票开具: issues an invoice with the disk's own current number. Changes the disk; the request carries neither number nor
//! serial, so it must never be sent twice (section 6.2).
//!
//! What this command cannot carry is refused with the field's name, before a byte is sent. Nothing is rounded, cut or left
//! out, with one exception that the rules fix: a discount pair becomes one line, because the line has no mark for it.

use rust_decimal::Decimal;
use taxdisk_protocol::invoice::{Invoice, Line, LineKind, ZeroRate};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;

use super::super::config::RedSign;
use super::super::fields::{BadAnswer, FieldError, FieldReader, FieldWriter, quotient};
use super::{Subject, expect_kind};
use crate::disk::Signed;
use crate::secret::Secret;

/// Command number.
pub const CODE: u8 = 0x0A;

/// Bytes of an item name: 10 Chinese characters.
pub const ITEM_NAME_BYTES: usize = 20;
/// Bytes of an amount, a price or a quantity as text.
pub const NUMBER_BYTES: usize = 12;
/// Bytes of the remark, our mark included.
pub const REMARK_BYTES: usize = 80;
/// Bytes of the one operator field.
pub const PERSON_BYTES: usize = 20;
/// Decimals of price and quantity.
pub const PRICE_DECIMALS: u32 = 3;
/// Decimals of a rate: 0.13, but not 0.015.
pub const RATE_DECIMALS: u32 = 2;

const ANSWER_BYTES: usize = 569;

/// The invoice that a red one reverses, and the sign that the device wants.
#[derive(Debug, Clone, Copy)]
pub struct Red {
    /// The original.
    pub original: NumberPair,
    /// Sign of the amounts on this line.
    pub sign: RedSign,
}

/// What the command is made of.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whose disk.
    pub subject: Subject<'a>,
    /// 证书口令.
    pub certificate_password: &'a Secret,
    /// Name of the seller, as the disk has it.
    pub seller_name: &'a str,
    /// Kind to issue.
    pub kind: InvoiceKind,
    /// Content.
    pub invoice: &'a Invoice,
    /// Remark with our mark in it.
    pub remark: &'a str,
    /// Set on a red invoice.
    pub red: Option<Red>,
    /// The most lines, after discount pairs were merged.
    pub max_lines: u16,
}

/// One line as it goes out: a discount pair is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentLine<'a> {
    /// Where it stands in the invoice, for refusals.
    pub index: usize,
    /// Item name.
    pub name: &'a str,
    /// Price without tax.
    pub price: Option<Decimal>,
    /// Quantity.
    pub quantity: Option<Decimal>,
    /// Net amount, discount taken off.
    pub net: Amount,
    /// Rate.
    pub rate: Decimal,
    /// Tax, discount taken off.
    pub tax: Amount,
}

/// The lines as they go out: each discount pair summed into one line, its price net ÷ quantity at three decimals, half up.
///
/// # Errors
/// A discount without its line, or a sum out of range.
pub fn merge_discounts(lines: &[Line]) -> Result<Vec<SentLine<'_>>, FieldError> {
    let refuse = |index: usize, problem: &str| FieldError { field: format!("lines[{index}]"), problem: problem.to_owned() };
    let mut merged = Vec::with_capacity(lines.len());
    let mut rest = lines.iter().enumerate().peekable();
    while let Some((index, line)) = rest.next() {
        let mut sent = SentLine {
            index,
            name: &line.name,
            price: line.price.map(|price| price.decimal()),
            quantity: line.quantity.map(|quantity| quantity.decimal()),
            net: line.net,
            rate: line.rate.decimal(),
            tax: line.tax,
        };
        match line.kind {
            LineKind::Normal => {}
            LineKind::Discount => return Err(refuse(index, "a discount line must follow the line that it belongs to")),
            LineKind::Discounted => {
                let Some((_, discount)) = rest.next_if(|(_, next)| next.kind == LineKind::Discount) else {
                    return Err(refuse(index, "the discount line of this line is missing"));
                };
                if discount.rate != line.rate || discount.name != line.name {
                    return Err(refuse(
                        index + 1,
                        "a discount line must have the name and the rate of the line that it belongs to",
                    ));
                }
                let sum = |left: Amount, right| left.checked_add(right).ok_or_else(|| refuse(index, "its sum is out of range"));
                sent.net = sum(line.net, discount.net)?;
                sent.tax = sum(line.tax, discount.tax)?;
                sent.price = sent.quantity.and_then(|quantity| quotient(sent.net.decimal(), quantity, PRICE_DECIMALS));
            }
        }
        merged.push(sent);
    }
    Ok(merged)
}

/// # Errors
/// The first field that this command cannot carry.
pub fn request(request: &Request<'_>) -> Result<Vec<u8>, FieldError> {
    let Request { subject, invoice, .. } = request;
    let lines = merge_discounts(&invoice.lines)?;
    let mut writer = FieldWriter::new();
    refuse_what_has_no_field(&mut writer, invoice);
    if lines.is_empty() || lines.len() > usize::from(request.max_lines) {
        let problem = format!("{} lines; this disk takes 1 to {} on one invoice", lines.len(), request.max_lines);
        writer.refuse("lines", problem);
    }
    match request.red {
        None if invoice.totals.gross <= Amount::ZERO => {
            writer.refuse("totals.gross", "a positive invoice must be above zero");
        }
        Some(_) if invoice.totals.gross >= Amount::ZERO => {
            writer.refuse("totals.gross", "a red invoice must be below zero");
        }
        Some(red) if red.original.code.width() != 12 => {
            let problem = format!("{} has 10 digits; this interface can only reverse codes of 12 digits", red.original.code);
            writer.refuse("original.code", problem);
        }
        _ => {}
    }
    let buyer_number = invoice.buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    writer
        .password("certificate password", request.certificate_password)
        .text("seller.taxpayer_number", subject.taxpayer.as_str(), 20)
        .text("seller.name", request.seller_name, 80)
        .text("disk number", subject.disk.as_str(), 12)
        .password("disk password", subject.password)
        .text("kind", request.kind.fplxdm(), 3)
        .text("", if request.red.is_some() { "1" } else { "0" }, 1)
        .text("buyer.taxpayer_number", buyer_number, 20)
        .text("buyer.name", &invoice.buyer.name, 80)
        .text("lines", &lines.len().to_string(), 4);
    let signed = |amount: Amount| match request.red {
        // The content of a red invoice is negative; some devices want it without the sign (section 6.2).
        Some(Red { sign: RedSign::Positive, .. }) => amount.abs(),
        _ => amount,
    };
    for line in &lines {
        write_line(&mut writer, line, request.red.is_some_and(|red| red.sign == RedSign::Positive));
    }
    writer
        .amount("totals.net", signed(invoice.totals.net), NUMBER_BYTES)
        .amount("totals.tax", signed(invoice.totals.tax), NUMBER_BYTES)
        .amount("totals.gross", signed(invoice.totals.gross), NUMBER_BYTES)
        .text("remark", request.remark, REMARK_BYTES)
        .text("clerk", &invoice.clerk, PERSON_BYTES);
    match request.red {
        Some(red) => {
            writer.text("original.code", red.original.code.as_str(), 12);
            writer.text("original.number", &red.original.number.to_string(), 8);
        }
        None => {
            writer.empty(12).text("", "00000000", 8);
        }
    }
    writer.text("machine number", subject.machine, 12);
    writer.finish()
}

fn write_line(writer: &mut FieldWriter, line: &SentLine<'_>, unsigned: bool) {
    let field = |name: &str| format!("lines[{}].{name}", line.index);
    let sign = |value: Decimal| if unsigned { value.abs() } else { value };
    let amount = |value: Amount| if unsigned { value.abs() } else { value };
    writer.text(field("name"), line.name, ITEM_NAME_BYTES);
    write_number(writer, field("price"), line.price.map(sign));
    write_number(writer, field("quantity"), line.quantity.map(sign));
    let Some(gross) = line.net.checked_add(line.tax) else {
        writer.refuse(field("net"), "net and tax together are out of range");
        return;
    };
    let gross_price = line.quantity.and_then(|quantity| quotient(gross.decimal(), quantity, PRICE_DECIMALS));
    writer.amount(field("net"), amount(line.net), NUMBER_BYTES).decimal(field("rate"), line.rate, RATE_DECIMALS, 6).amount(
        field("tax"),
        amount(line.tax),
        NUMBER_BYTES,
    );
    write_number(writer, field("price"), gross_price.map(sign));
    writer.amount(field("net"), amount(gross), NUMBER_BYTES);
}

/// A price or quantity; one that the line does not have stays empty.
fn write_number(writer: &mut FieldWriter, field: String, value: Option<Decimal>) {
    match value {
        Some(value) => writer.decimal(field, value, PRICE_DECIMALS, NUMBER_BYTES),
        None => writer.empty(NUMBER_BYTES),
    };
}

/// The line has no field for these, and a legal document must not lose them silently.
fn refuse_what_has_no_field(writer: &mut FieldWriter, invoice: &Invoice) {
    const NO_FIELD: &str = "this disk has no field for it: leave it out, or use another disk";
    let mut refuse = |present: bool, field: String| {
        if present {
            writer.refuse(field, NO_FIELD);
        }
    };
    refuse(!invoice.buyer.address_phone.is_empty(), "buyer.address_phone".to_owned());
    refuse(!invoice.buyer.bank_account.is_empty(), "buyer.bank_account".to_owned());
    for (name, person) in [("payee", &invoice.payee), ("reviewer", &invoice.reviewer)] {
        refuse(!person.is_empty() && *person != invoice.clerk, name.to_owned());
    }
    for (index, line) in invoice.lines.iter().enumerate() {
        refuse(!line.specification.is_empty(), format!("lines[{index}].specification"));
        refuse(!line.unit.is_empty(), format!("lines[{index}].unit"));
        refuse(line.goods_code.is_some(), format!("lines[{index}].goods_code"));
        refuse(line.deduction.is_some(), format!("lines[{index}].deduction"));
        refuse(line.zero_rate.is_some_and(|reason| reason != ZeroRate::Ordinary), format!("lines[{index}].zero_rate"));
    }
}

/// # Errors
/// Wrong length, another kind, or a pair that is none.
pub fn answer(data: &[u8], kind: InvoiceKind) -> Result<Signed, BadAnswer> {
    let mut reader = FieldReader::exact(data, ANSWER_BYTES)?;
    expect_kind(&mut reader, kind)?;
    let pair = reader.pair()?;
    let issued_at = reader.text(8) + &reader.text(6);
    Ok(Signed { pair, issued_at, fiscal_code: reader.text(20), signature: reader.text(512), printed: Printed::default() })
}

#[cfg(test)]
mod tests;
