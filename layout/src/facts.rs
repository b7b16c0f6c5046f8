//! The facts of an invoice as data: JSON and XML, with the member names that integrators of the trade know
//! (yonyou-open-api.md, section 3.6).
//!
//! One list of members makes both forms. Amounts, quantities and rates are numbers, never rounded: they are written digit by
//! digit. Members of a platform (`corpId`, `zdybz`, `bred`) are not facts of the invoice; who knows them adds them.

use std::fmt::Write as _;

use quick_xml::escape::escape;
use serde_json::value::RawValue;
use taxdisk_protocol::invoice::{Line, LineKind, ZeroRate};

use crate::error::LayoutError;
use crate::invoice::IssuedInvoice;
use crate::qr;

/// A value of a member.
enum Value {
    Text(String),
    /// Decimal digits, valid as a JSON number.
    Number(String),
}

type Members = Vec<(&'static str, Value)>;

fn text(value: impl ToString) -> Value {
    Value::Text(value.to_string())
}

fn number(value: impl ToString) -> Value {
    Value::Number(value.to_string())
}

/// The head's members.
fn head(invoice: &IssuedInvoice) -> Members {
    let (content, seller) = (&invoice.invoice, &invoice.seller);
    let buyer = &content.buyer;
    let optional = |value: &Option<String>| text(value.as_deref().unwrap_or_default());
    let original =
        |part: fn(&taxdisk_protocol::number::NumberPair) -> String| text(invoice.original.as_ref().map(part).unwrap_or_default());
    vec![
        ("fpqqlsh", text(&invoice.serial)),
        ("jqbh", text(&invoice.machine)),
        ("fpDm", text(invoice.pair.code)),
        ("fpHm", text(invoice.pair.number)),
        ("fpMw", optional(&invoice.cipher)),
        ("jym", text(invoice.check_code())),
        ("kprq", text(&invoice.issued_at)),
        ("ewm", text(qr::qr_text(invoice).unwrap_or_default())),
        ("gmfMc", text(&buyer.name)),
        ("gmfNsrsbh", text(buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str()))),
        ("gmfDzdh", text(&buyer.address_phone)),
        ("gmfYhzh", text(&buyer.bank_account)),
        ("xsfMc", text(&seller.name)),
        ("xsfNsrsbh", text(&seller.taxpayer_number)),
        ("xsfDzdh", text(&seller.address_phone)),
        ("xsfYhzh", text(&seller.bank_account)),
        ("yfpDm", original(|pair| pair.code.to_string())),
        ("yfpHm", original(|pair| pair.number.to_string())),
        ("hjje", number(content.totals.net)),
        ("hjse", number(content.totals.tax)),
        ("jshj", number(content.totals.gross)),
        ("kpr", text(&content.clerk)),
        ("fhr", text(&content.reviewer)),
        ("skr", text(&content.payee)),
        ("bz", text(invoice.remark())),
        ("fplx", text(invoice.kind.yonyou().map(|code| code.to_string()).unwrap_or_default())),
        ("fpjz", text(if invoice.kind.is_electronic() { "0" } else { "1" })),
        ("kplx", number(i32::from(invoice.is_red()))),
        ("sample", text(if invoice.simulated { "SAMPLE" } else { "" })),
    ]
}

/// A line's members.
fn item(line: &Line) -> Members {
    // Two amounts in range have a sum that is exact as a decimal.
    let gross = line.net.decimal() + line.tax.decimal();
    let kind = match line.kind {
        LineKind::Normal => 0,
        LineKind::Discount => 1,
        LineKind::Discounted => 2,
    };
    let (zero, policy) = match line.zero_rate {
        None => ("", ""),
        Some(ZeroRate::Export) => ("0", ""),
        Some(ZeroRate::Exempt) => ("1", "免税"),
        Some(ZeroRate::NotTaxed) => ("2", "不征税"),
        Some(ZeroRate::Ordinary) => ("3", ""),
    };
    let mut members = vec![
        ("xmmc", text(&line.name)),
        ("ggxh", text(&line.specification)),
        ("dw", text(&line.unit)),
        ("xmje", number(line.net)),
        ("xmjshj", number(gross)),
        ("sl", number(line.rate)),
        ("se", number(line.tax)),
        ("fphxz", number(kind)),
        ("spbm", text(line.goods_code.as_deref().unwrap_or_default())),
        ("yhzcbs", number(i32::from(!policy.is_empty()))),
        ("lslbs", text(zero)),
        ("zzstsgl", text(policy)),
    ];
    members.extend(line.quantity.map(|quantity| ("xmsl", number(quantity))));
    members.extend(line.price.map(|price| ("xmdj", number(price))));
    members.extend(line.deduction.map(|deduction| ("kce", number(deduction))));
    members
}

/// Empty texts are left out, but for the two that old readers expect on every invoice.
fn is_said((name, value): &(&'static str, Value)) -> bool {
    matches!(name, &"yfpDm" | &"yfpHm") || !matches!(value, Value::Text(text) if text.is_empty())
}

/// The facts as one JSON object, `data` of the callback.
///
/// # Errors
/// Beyond a limit, or a character that no document may hold.
pub fn json(invoice: &IssuedInvoice) -> Result<String, LayoutError> {
    invoice.check()?;
    let mut out = String::from("{");
    members_json(&mut out, &head(invoice))?;
    out.push_str(",\"items\":[");
    for (index, line) in invoice.invoice.lines.iter().enumerate() {
        out.push_str(if index > 0 { ",{" } else { "{" });
        members_json(&mut out, &item(line))?;
        out.push('}');
    }
    out.push_str("]}");
    // What is handed out is JSON, whatever this file does.
    RawValue::from_string(out).map(|raw| raw.get().to_owned()).map_err(|error| LayoutError::Defect(format!("JSON: {error}")))
}

fn members_json(out: &mut String, members: &Members) -> Result<(), LayoutError> {
    for (index, (name, value)) in members.iter().filter(|member| is_said(member)).enumerate() {
        let value = match value {
            Value::Number(digits) => digits.clone(),
            Value::Text(text) => serde_json::to_string(text).map_err(|error| LayoutError::Defect(format!("JSON: {error}")))?,
        };
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(out, "{comma}\"{name}\":{value}");
    }
    Ok(())
}

/// The same members as XML: `<invoice>` with one element a member, `<items>` with an `<item>` a line. UTF-8.
///
/// # Errors
/// As [`json`].
pub fn xml(invoice: &IssuedInvoice) -> Result<String, LayoutError> {
    invoice.check()?;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<invoice>\n");
    members_xml(&mut out, "  ", &head(invoice));
    out.push_str("  <items>\n");
    for line in &invoice.invoice.lines {
        out.push_str("    <item>\n");
        members_xml(&mut out, "      ", &item(line));
        out.push_str("    </item>\n");
    }
    out.push_str("  </items>\n</invoice>\n");
    Ok(out)
}

fn members_xml(out: &mut String, indent: &str, members: &Members) {
    for (name, value) in members.iter().filter(|member| is_said(member)) {
        let (Value::Text(value) | Value::Number(value)) = value;
        let _ = writeln!(out, "{indent}<{name}>{}</{name}>", escape(value.as_str()));
    }
}
