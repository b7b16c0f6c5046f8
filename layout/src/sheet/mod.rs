//! The national sheet of 增值税发票, 210 × 140 mm: the electronic kinds, and paper kinds as they read on their forms.
//!
//! What stands where is in docs/layout.md. More lines than the table holds go to a list of goods on pages of their own
//! ([`list`]), and the table says so.

mod blocks;
mod list;
mod table;

use crate::canvas::{Align, Cell, Ink, MM, Page, Painter, Run};
use crate::error::LayoutError;
use crate::fonts::Fonts;
use crate::invoice::IssuedInvoice;
use crate::{qr, words};

/// The sheet.
const WIDTH: i32 = 210 * MM;
const HEIGHT: i32 = 140 * MM;
/// The frame.
const LEFT: i32 = 5_500;
const RIGHT: i32 = 204_500;
const TOP: i32 = 31 * MM;
/// Under the buyer, the table, the amount in capitals, the seller.
const BUYER_END: i32 = 53 * MM;
const TABLE_END: i32 = 99 * MM;
const CAPITALS_END: i32 = 105_500;
const BOTTOM: i32 = 127_500;
/// Lines of the form: the frame, and within.
const FRAME: i32 = 350;
const RULE: i32 = 220;
/// Sizes of text: 9 and 8 points.
const LARGE: i32 = 3_175;
const NORMAL: i32 = 2_822;

/// The pages of an invoice.
///
/// # Errors
/// A missing glyph, or a text that does not fit.
pub(crate) fn pages(invoice: &IssuedInvoice, fonts: &Fonts) -> Result<Vec<Page>, LayoutError> {
    let mut painter = Painter::new(fonts, WIDTH, HEIGHT);
    if invoice.simulated {
        watermark(&mut painter)?;
    }
    frame(&mut painter);
    header(&mut painter, invoice)?;
    blocks::draw(&mut painter, invoice)?;
    let needs_list = table::draw(&mut painter, invoice)?;
    let mut pages = vec![painter.page];
    if needs_list {
        pages.extend(list::pages(invoice, fonts)?);
    }
    Ok(pages)
}

/// 样票 SAMPLE across the whole page, under everything else.
pub(crate) fn watermark(painter: &mut Painter<'_>) -> Result<(), LayoutError> {
    let text = "样票 SAMPLE";
    let (width, height) = (painter.page.width, painter.page.height);
    let glyphs = painter.fonts.glyphs("layout", text)?;
    let size = width * 13 / 100;
    let length = painter.fonts.width(&glyphs, size);
    // Turned by 30 degrees about the middle of the page: cos 0.866, sin 0.5.
    let (x, y) = (width / 2 - length * 433 / 1000, height / 2 + length / 4 + size / 4);
    let run = Run { x, y, size, ink: Ink::Watermark, turn: 30, text: text.to_owned(), glyphs };
    painter.run(run);
    Ok(())
}

fn frame(painter: &mut Painter<'_>) {
    for y in [TOP, BOTTOM] {
        painter.line((LEFT, y), (RIGHT, y), FRAME);
    }
    for x in [LEFT, RIGHT] {
        painter.line((x, TOP), (x, BOTTOM), FRAME);
    }
    for y in [BUYER_END, TABLE_END, CAPITALS_END] {
        painter.line((LEFT, y), (RIGHT, y), RULE);
    }
}

/// QR code, machine number, heading with its two lines, seal place, and the four facts to the right.
fn header(painter: &mut Painter<'_>, invoice: &IssuedInvoice) -> Result<(), LayoutError> {
    code(painter, invoice, (8 * MM, 4_500), 19 * MM)?;
    labelled(painter, "machine", ("机器编号：", 8 * MM, 22 * MM), 27_300, 62 * MM, invoice.machine.as_str())?;
    if invoice.is_red() {
        let cell = Cell::new(32 * MM, 66 * MM, 4 * MM, Align::Left);
        painter.text("layout", cell, 13 * MM, "销项负数")?;
    }
    let title = words::title(invoice.kind, invoice.pair.code);
    let cell = Cell::new(62 * MM, 146 * MM, 6_200, Align::Centre).form();
    painter.text("layout", cell, 10_500, &title)?;
    painter.line((72 * MM, 15_600), (136 * MM, 15_600), 300);
    painter.line((72 * MM, 16_600), (136 * MM, 16_600), 300);
    if invoice.simulated {
        seal(painter, (104 * MM, 22 * MM))?;
    }
    let check_code = words::grouped(invoice.check_code());
    let facts = [
        ("发票代码：", "code", invoice.pair.code.to_string()),
        ("发票号码：", "number", invoice.pair.number.to_string()),
        ("开票日期：", "issued_at", words::day(&invoice.issued_at)),
        ("校 验 码：", "check_code", check_code),
    ];
    let mut centre = 8 * MM;
    for (label, field, value) in &facts {
        labelled(painter, field, (label, 149 * MM, 163 * MM), centre, RIGHT, value)?;
        centre += 5_500;
    }
    Ok(())
}

/// A label of the form, and what the invoice says beside it.
fn labelled(
    painter: &mut Painter<'_>,
    field: &'static str,
    (label, left, middle): (&str, i32, i32),
    centre: i32,
    right: i32,
    value: &str,
) -> Result<(), LayoutError> {
    painter.text("layout", Cell::new(left, middle, NORMAL, Align::Left).form(), centre, label)?;
    painter.text(field, Cell::new(middle, right, NORMAL, Align::Left), centre, value)
}

/// The QR code with its upper left corner at `at`. A real invoice without QR content has none: its place stays empty.
pub(crate) fn code(painter: &mut Painter<'_>, invoice: &IssuedInvoice, at: (i32, i32), side: i32) -> Result<(), LayoutError> {
    let Some(text) = qr::qr_text(invoice) else { return Ok(()) };
    let modules = qr::modules(&text)?;
    // At most 177 modules; edges are rounded so that neighbours touch.
    let count = i32::try_from(modules.side).unwrap_or(1);
    let edge = |module: usize| i32::try_from(module).unwrap_or(0) * side / count;
    let boxes = modules.runs().into_iter().map(|(row, column, length)| {
        let (x, y) = (edge(column), edge(row));
        (at.0 + x, at.1 + y, edge(column + length) - x, edge(row + 1) - y)
    });
    painter.page.marks.push(crate::canvas::Mark::Boxes(boxes.collect()));
    Ok(())
}

/// The place of 发票监制章. The tax office's seal is not ours to draw: a sample says that it is one, a real sheet leaves it empty.
fn seal(painter: &mut Painter<'_>, centre: (i32, i32)) -> Result<(), LayoutError> {
    for (radius, width) in [((14 * MM, 7_500), 500), ((12_800, 6_300), 150)] {
        painter.page.marks.push(crate::canvas::Mark::Ellipse { centre, radius, width, ink: Ink::Seal });
    }
    let cell = Cell { ink: Ink::Seal, ..Cell::new(centre.0 - 11 * MM, centre.0 + 11 * MM, 4_600, Align::Centre) };
    painter.text("layout", cell, centre.1 - 1_600, "样票")?;
    painter.text("layout", Cell { size: 2_600, ..cell }, centre.1 + 3_000, "SAMPLE")
}
