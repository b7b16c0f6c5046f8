//! Buyer, cipher area, seller, remark, and the persons under the frame.

use super::{BOTTOM, BUYER_END, CAPITALS_END, LARGE, LEFT, NORMAL, RIGHT, RULE, TOP};
use crate::canvas::{Align, Cell, MM, Painter, Rows, SIZE_MIN};
use crate::error::LayoutError;
use crate::invoice::IssuedInvoice;

/// The narrow columns with a word from top to bottom: 购买方, 密码区, 销售方, 备注.
const BAND: i32 = 6 * MM;
/// Where the right half begins.
const MIDDLE: i32 = 118_500;
/// 12 points.
const CIPHER_SIZE: i32 = 4_230;
/// Characters of a row of the cipher area where its length is none of those known.
const CIPHER_ROW: usize = 28;
/// 7 points.
const SMALL: i32 = 2_470;
/// Space between text and a line of the form.
const PADDING: i32 = 1_200;

/// Everything of the sheet but header and table.
pub(super) fn draw(painter: &mut Painter<'_>, invoice: &IssuedInvoice) -> Result<(), LayoutError> {
    bands(painter)?;
    let (buyer, seller) = (&invoice.invoice.buyer, &invoice.seller);
    let number = buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    let texts = [
        ("buyer.name", buyer.name.as_str()),
        ("buyer.taxpayer_number", number),
        ("buyer.address_phone", &buyer.address_phone),
        ("buyer.bank_account", &buyer.bank_account),
    ];
    party(painter, texts, TOP, BUYER_END)?;
    let texts = [
        ("seller.name", seller.name.as_str()),
        ("seller.taxpayer_number", seller.taxpayer_number.as_str()),
        ("seller.address_phone", &seller.address_phone),
        ("seller.bank_account", &seller.bank_account),
    ];
    party(painter, texts, CAPITALS_END, BOTTOM)?;
    cipher(painter, invoice.cipher.as_deref().unwrap_or_default())?;
    remark(painter, &invoice.remark())?;
    persons(painter, invoice)
}

fn bands(painter: &mut Painter<'_>) -> Result<(), LayoutError> {
    let bands = [
        (LEFT, TOP, BUYER_END, "购买方"),
        (MIDDLE, TOP, BUYER_END, "密码区"),
        (LEFT, CAPITALS_END, BOTTOM, "销售方"),
        (MIDDLE, CAPITALS_END, BOTTOM, "备注"),
    ];
    for (x, top, bottom, word) in bands {
        painter.line((x + BAND, top), (x + BAND, bottom), RULE);
        if x > LEFT {
            painter.line((x, top), (x, bottom), RULE);
        }
        painter.vertical(x + BAND / 2, top, bottom, LARGE, word)?;
    }
    Ok(())
}

/// Four labels and values, one under the other. All values have one size: the largest in which each fits and all have room.
fn party(painter: &mut Painter<'_>, texts: [(&'static str, &str); 4], top: i32, bottom: i32) -> Result<(), LayoutError> {
    const LABELS: [&str; 4] = ["名　　　　称：", "纳税人识别号：", "地 址、电 话：", "开户行及账号："];
    let left = LEFT + BAND + PADDING;
    let value = left + 7 * NORMAL;
    let mut cell = Cell::new(value, MIDDLE - PADDING, LARGE, Align::Left);
    let height = bottom - top - PADDING;
    let fitted = loop {
        let mut fitted = Vec::new();
        for (field, text) in texts {
            fitted.push(Painter::wrap(painter.fonts, field, text, cell.width(), cell.size)?);
        }
        let total: i32 = fitted.iter().map(|rows| block_height(rows, cell.size)).sum();
        // A value on one row in a smaller size reads better than one on two rows, down to 7 points.
        let is_whole = fitted.iter().all(|rows| rows.rows.len() == 1);
        if total <= height && (is_whole || cell.size <= SMALL) {
            break fitted;
        }
        if cell.size <= SIZE_MIN {
            let longest = texts.iter().max_by_key(|(_, text)| text.chars().count());
            return Err(LayoutError::DoesNotFit { field: longest.map_or("buyer", |(field, _)| field) });
        }
        cell.size = (cell.size - 100).max(SIZE_MIN);
    };
    let total: i32 = fitted.iter().map(|rows| block_height(rows, cell.size)).sum();
    let gap = (height - total) / 4;
    let mut y = top + PADDING / 2 + gap / 2;
    for (rows, label) in fitted.iter().zip(LABELS) {
        let first = y + row_height(cell.size) / 2;
        painter.text("layout", Cell::new(left, value, NORMAL, Align::Left).form(), first, label)?;
        painter.rows(cell, first, row_height(cell.size), rows);
        y += block_height(rows, cell.size) + gap;
    }
    Ok(())
}

fn row_height(size: i32) -> i32 {
    size * 115 / 100
}

/// Height of a value. The label beside it needs its own, however small the value is.
fn block_height(rows: &Rows, size: i32) -> i32 {
    let count = i32::try_from(rows.rows.len()).unwrap_or(i32::MAX / 10_000);
    (count * row_height(size)).max(row_height(NORMAL))
}

/// The cipher text in rows of equal length, characters of equal width: people compare it sign by sign.
fn cipher(painter: &mut Painter<'_>, text: &str) -> Result<(), LayoutError> {
    let characters: Vec<char> = text.chars().collect();
    // 84, 108 and 112 are four full rows.
    let in_row = if characters.len().is_multiple_of(4) && (84..=112).contains(&characters.len()) {
        characters.len() / 4
    } else {
        CIPHER_ROW
    };
    let rows = i32::try_from(characters.len().div_ceil(in_row).max(4)).unwrap_or(4);
    let leading = (BUYER_END - TOP - 3 * MM) / rows;
    let size = CIPHER_SIZE.min(leading * 9 / 10);
    let cell = Cell::new(MIDDLE + BAND + 2 * MM, RIGHT - 2 * MM, size, Align::Left);
    let mut centre = TOP + 1_500 + leading / 2;
    for row in characters.chunks(in_row) {
        let text: String = row.iter().collect();
        let glyphs = painter.fonts.mono("cipher", &text)?;
        painter.glyphs("cipher", cell, centre, &text, glyphs)?;
        centre += leading;
    }
    Ok(())
}

fn remark(painter: &mut Painter<'_>, text: &str) -> Result<(), LayoutError> {
    let mut cell = Cell::new(MIDDLE + BAND + PADDING, RIGHT - PADDING, LARGE, Align::Left);
    let height = BOTTOM - CAPITALS_END - 2 * PADDING;
    let rows = loop {
        let rows = Painter::wrap(painter.fonts, "remark", text, cell.width(), cell.size)?;
        let count = i32::try_from(rows.rows.len()).unwrap_or(i32::MAX / 10_000);
        if count * row_height(cell.size) <= height {
            break rows;
        }
        if cell.size <= SIZE_MIN {
            return Err(LayoutError::DoesNotFit { field: "remark" });
        }
        cell.size = (cell.size - 100).max(SIZE_MIN);
    };
    let leading = row_height(cell.size);
    painter.rows(cell, CAPITALS_END + PADDING + leading / 2, leading, &rows);
    Ok(())
}

fn persons(painter: &mut Painter<'_>, invoice: &IssuedInvoice) -> Result<(), LayoutError> {
    let centre = BOTTOM + 4_500;
    let persons = [
        ("收款人：", "payee", 12 * MM, 62 * MM, &invoice.invoice.payee),
        ("复核：", "reviewer", 65 * MM, 108 * MM, &invoice.invoice.reviewer),
        ("开票人：", "clerk", 111 * MM, 156 * MM, &invoice.invoice.clerk),
    ];
    for (label, field, left, right, name) in persons {
        let middle = left + NORMAL * i32::try_from(label.chars().count()).unwrap_or(4);
        super::labelled(painter, field, (label, left, middle), centre, right, name)?;
    }
    painter.text("layout", Cell::new(160 * MM, RIGHT, NORMAL, Align::Left).form(), centre, "销售方：（章）")
}
