//! 销货清单: the list of goods of an invoice with more lines than its sheet holds, A4 upright, as many pages as it needs.

use taxdisk_protocol::money::Amount;

use super::table::{Columns, Laid};
use super::{LARGE, NORMAL, RULE, watermark};
use crate::canvas::{Align, Cell, MM, Page, Painter};
use crate::error::LayoutError;
use crate::fonts::Fonts;
use crate::invoice::IssuedInvoice;
use crate::words;

const WIDTH: i32 = 210 * MM;
const HEIGHT: i32 = 297 * MM;
const LEFT: i32 = 10 * MM;
const RIGHT: i32 = 200 * MM;
/// Right end of the line numbers.
const NUMBERS: i32 = 18 * MM;
const ENDS: [i32; 8] = [69_000, 92_000, 102_000, 122_000, 143_000, 169_000, 180_000, RIGHT];
const HEADS: [&str; 8] = ["货物（劳务）名称", "规格型号", "单位", "数量", "单价", "金额", "税率", "税额"];
/// The table: its top, the head, and where its lines end at the latest.
const TOP: i32 = 48 * MM;
const HEAD: i32 = 7 * MM;
const LINES_END: i32 = 262 * MM;
/// Sums under the lines.
const SUM: i32 = 7 * MM;
const SIZE: i32 = 2_600;
const LEADING: i32 = 3_100;
/// Above and below the rows of a line.
const GAP: i32 = 1_600;

/// The pages of the list.
pub(super) fn pages(invoice: &IssuedInvoice, fonts: &Fonts) -> Result<Vec<Page>, LayoutError> {
    let columns = Columns { ends: ENDS, left: NUMBERS };
    let mut parts: Vec<Vec<Laid<'_>>> = vec![Vec::new()];
    let mut used = 0;
    for line in &invoice.invoice.lines {
        let laid = columns.lay(fonts, line, SIZE)?;
        let height = height(&laid);
        if height > LINES_END - TOP - HEAD {
            return Err(LayoutError::DoesNotFit { field: "line.name" });
        }
        if used + height > LINES_END - TOP - HEAD {
            parts.push(Vec::new());
            used = 0;
        }
        used += height;
        parts.last_mut().expect("it begins with one").push(laid);
    }
    let (count, mut number) = (parts.len(), 0);
    let mut pages = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let mut painter = Painter::new(fonts, WIDTH, HEIGHT);
        if invoice.simulated {
            watermark(&mut painter)?;
        }
        let last = index + 1 == count;
        heading(&mut painter, invoice, index + 1, count)?;
        let end = table(&mut painter, &columns, part, &mut number)?;
        // Lines before this page, to cut this page's sums out of the whole.
        let shown = &invoice.invoice.lines[number - part.len()..number];
        let end =
            sums(&mut painter, &columns, end, "小计", (sum(shown.iter().map(|l| l.net)), sum(shown.iter().map(|l| l.tax))))?;
        if last {
            let totals = &invoice.invoice.totals;
            let end = sums(&mut painter, &columns, end, "总计", (Some(totals.net), Some(totals.tax)))?;
            foot(&mut painter, invoice, end)?;
        }
        pages.push(painter.page);
    }
    Ok(pages)
}

fn height(laid: &Laid<'_>) -> i32 {
    i32::try_from(laid.rows()).unwrap_or(i32::MAX / 10_000) * LEADING + GAP
}

/// `None`: more than an amount holds, which no checked invoice reaches.
fn sum(mut amounts: impl Iterator<Item = Amount>) -> Option<Amount> {
    amounts.try_fold(Amount::ZERO, Amount::checked_add)
}

fn heading(painter: &mut Painter<'_>, invoice: &IssuedInvoice, page: usize, count: usize) -> Result<(), LayoutError> {
    let title = "销售货物或者提供应税劳务、服务清单";
    painter.text("layout", Cell::new(LEFT, RIGHT, 5_600, Align::Centre).form(), 15 * MM, title)?;
    let seller = (invoice.seller.name.as_str(), "seller.name");
    let pair = invoice.pair;
    let rows =
        [("购买方名称：", (invoice.invoice.buyer.name.as_str(), "buyer.name"), 26 * MM), ("销售方名称：", seller, 32 * MM)];
    for (label, (value, field), centre) in rows {
        super::labelled(painter, field, (label, LEFT, LEFT + 6 * NORMAL), centre, RIGHT, value)?;
    }
    let label = format!("所属{}代码：", invoice.kind.name());
    let middle = LEFT + NORMAL * i32::try_from(label.chars().count()).unwrap_or(16);
    super::labelled(painter, "code", (&label, LEFT, middle), 38 * MM, 100 * MM, pair.code.as_str())?;
    super::labelled(painter, "number", ("号码：", 100 * MM, 109 * MM), 38 * MM, 140 * MM, &pair.number.to_string())?;
    let of = format!("共 {count} 页  第 {page} 页");
    painter.text("layout", Cell::new(150 * MM, RIGHT, NORMAL, Align::Right), 38 * MM, &of)?;
    if invoice.is_red() {
        painter.text("layout", Cell::new(LEFT, 60 * MM, LARGE, Align::Left), 44 * MM, "销项负数")?;
    }
    Ok(())
}

/// Draws the table of one page; gives its lower end.
fn table(painter: &mut Painter<'_>, columns: &Columns, part: &[Laid<'_>], number: &mut usize) -> Result<i32, LayoutError> {
    let numbers = Cell::new(LEFT, NUMBERS, SIZE, Align::Centre);
    painter.text("layout", numbers.form(), TOP + HEAD / 2, "序号")?;
    for (column, head) in HEADS.iter().enumerate() {
        painter.text("layout", columns.cell(column, NORMAL, Align::Centre).form(), TOP + HEAD / 2, head)?;
    }
    painter.line((LEFT, TOP), (RIGHT, TOP), RULE);
    let mut y = TOP + HEAD;
    for laid in part {
        *number += 1;
        painter.line((LEFT, y), (RIGHT, y), RULE / 2);
        let first = y + GAP / 2 + LEADING / 2;
        painter.text("layout", numbers, first, &number.to_string())?;
        columns.draw(painter, laid, SIZE, first, LEADING)?;
        y += height(laid);
    }
    painter.line((LEFT, y), (RIGHT, y), RULE);
    sides(painter, TOP, y);
    Ok(y)
}

/// Upright lines of the table between two heights.
fn sides(painter: &mut Painter<'_>, top: i32, bottom: i32) {
    for x in [LEFT, NUMBERS].into_iter().chain(ENDS) {
        painter.line((x, top), (x, bottom), RULE);
    }
}

/// A row of sums; gives its lower end.
fn sums(
    painter: &mut Painter<'_>,
    columns: &Columns,
    top: i32,
    label: &str,
    (net, tax): (Option<Amount>, Option<Amount>),
) -> Result<i32, LayoutError> {
    let centre = top + SUM / 2;
    painter.text("layout", Cell::new(LEFT, ENDS[0], NORMAL, Align::Centre).form(), centre, label)?;
    for (column, amount) in [(5, net), (7, tax)] {
        let text = amount.map(words::yuan).unwrap_or_default();
        painter.text("totals", columns.cell(column, SIZE, Align::Right), centre, &text)?;
    }
    let end = top + SUM;
    sides(painter, top, end);
    painter.line((LEFT, end), (RIGHT, end), RULE);
    Ok(end)
}

fn foot(painter: &mut Painter<'_>, invoice: &IssuedInvoice, top: i32) -> Result<(), LayoutError> {
    let centre = top + 6 * MM;
    painter.text("layout", Cell::new(LEFT, 80 * MM, NORMAL, Align::Left).form(), centre, "销售方（章）：")?;
    let date = words::day(&invoice.issued_at);
    super::labelled(painter, "issued_at", ("填开日期：", 140 * MM, 155 * MM), centre, RIGHT, &date)
}
