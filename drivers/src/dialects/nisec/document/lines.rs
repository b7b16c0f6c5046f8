//! The lines of an invoice: `<fyxm count><group xh>…`, the same fields in both XML dialects but for small differences.

use taxdisk_protocol::invoice::{Line, LineKind, ZeroRate};

use super::errors::BadAnswer;
use super::fields::Fields;
use super::writer::Writer;
use crate::disk::FoundLine;

/// Widths in bytes of GBK (invoice-rules.md, section 7; the narrowest of the issuers' lists).
pub(crate) const ITEM_NAME_BYTES: usize = 90;
pub(crate) const SPECIFICATION_BYTES: usize = 40;
pub(crate) const UNIT_BYTES: usize = 20;
pub(crate) const PRICE_BYTES: usize = 20;
pub(crate) const AMOUNT_BYTES: usize = 18;
/// `0.0150`: what a rate field of 6 holds.
pub(crate) const RATE_DECIMALS: u8 = 4;
/// Decimals of price and quantity.
pub(crate) const PRICE_DECIMALS: u8 = 8;
/// Digits of a goods code.
const GOODS_CODE_DIGITS: usize = 19;

/// How the dialects differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineStyle {
    /// What the mark of a zero rate is called: `slbs` or `lslbs`.
    pub(crate) zero_rate: &'static str,
    /// Every line has its deduction (`kcje`).
    pub(crate) deduction: bool,
}

/// Writes all lines.
pub(crate) fn write_lines(writer: &mut Writer, lines: &[Line], style: LineStyle) {
    writer.open_counted("fyxm", "count", lines.len());
    for (index, line) in lines.iter().enumerate() {
        writer.open_counted("group", "xh", index + 1);
        write_line(writer, index, line, style);
        writer.close();
    }
    writer.close();
}

fn write_line(writer: &mut Writer, index: usize, line: &Line, style: LineStyle) {
    let field = |name: &str| format!("lines[{index}].{name}");
    let number = |value: Option<String>| value.unwrap_or_default();
    writer.plain("fphxz", nature(line.kind));
    writer.text("spmc", &field("name"), &line.name, ITEM_NAME_BYTES);
    writer.empty("spsm");
    writer.text("ggxh", &field("specification"), &line.specification, SPECIFICATION_BYTES);
    writer.text("dw", &field("unit"), &line.unit, UNIT_BYTES);
    writer.text("spsl", &field("quantity"), &number(line.quantity.map(|value| value.to_string())), PRICE_BYTES);
    writer.text("dj", &field("price"), &number(line.price.map(|value| value.to_string())), PRICE_BYTES);
    writer.text("je", &field("net"), &line.net.to_string(), AMOUNT_BYTES);
    if style.deduction {
        writer.text("kcje", &field("deduction"), &number(line.deduction.map(|value| value.to_string())), AMOUNT_BYTES);
    }
    writer.plain("sl", &line.rate.to_string());
    writer.text("se", &field("tax"), &line.tax.to_string(), AMOUNT_BYTES);
    // Amounts and prices of ours are without tax.
    writer.plain("hsbz", "0");
    writer.text("spbm", &field("goods_code"), line.goods_code.as_deref().unwrap_or(""), GOODS_CODE_DIGITS);
    writer.empty("zxbm");
    let (preferential, mark, note) = match line.zero_rate {
        None => ("0", "", ""),
        Some(ZeroRate::Export) => ("0", "0", ""),
        Some(ZeroRate::Exempt) => ("1", "1", "免税"),
        Some(ZeroRate::NotTaxed) => ("1", "2", "不征税"),
        Some(ZeroRate::Ordinary) => ("0", "3", ""),
    };
    writer.plain("yhzcbs", preferential);
    writer.plain(style.zero_rate, mark);
    writer.plain("zzstsgl", note);
}

/// 发票行性质 (fphxz).
pub(crate) fn nature(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Normal => "0",
        LineKind::Discount => "1",
        LineKind::Discounted => "2",
    }
}

/// The lines of an invoice that was read: from the list (清单) where there is one. A voided blank has none.
pub(crate) fn read_lines(invoice: Fields<'_>) -> Result<Vec<FoundLine>, BadAnswer> {
    for name in ["qdxm", "fyxm"] {
        let Some(element) = invoice.0.child(name)? else { continue };
        // An empty element without a count is how some components write "none".
        if element.is_bare() {
            continue;
        }
        let groups = element.groups()?;
        if !groups.is_empty() {
            return groups.into_iter().map(|group| read_line(Fields(group))).collect();
        }
    }
    Ok(Vec::new())
}

fn read_line(line: Fields<'_>) -> Result<FoundLine, BadAnswer> {
    Ok(FoundLine {
        name: line.text("spmc")?,
        price: line.text("dj")?,
        quantity: line.text("spsl")?,
        net: line.amount("je")?,
        rate: line.text("sl")?,
        tax: line.amount("se")?,
        specification: line.text("ggxh")?,
        unit: line.text("dw")?,
        goods_code: line.text("spbm")?,
        nature: line.text("fphxz")?,
    })
}
