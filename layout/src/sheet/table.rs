//! The table of items, the sums, and the total in capitals.

use taxdisk_protocol::invoice::Line;
use taxdisk_protocol::money::{Price, Quantity};

use super::{BUYER_END, CAPITALS_END, LARGE, LEFT, NORMAL, RIGHT, RULE, TABLE_END};
use crate::canvas::{Align, Cell, Ink, MM, Mark, Painter, Rows};
use crate::capitals::capitals;
use crate::error::LayoutError;
use crate::fonts::Fonts;
use crate::invoice::IssuedInvoice;
use crate::words;

/// The most lines on the sheet itself (invoice-rules.md, section 6); more make a list.
pub(super) const LINES_ON_SHEET: usize = 8;
/// Smallest text of the table: below it the lines go to the list.
const TABLE_SIZE_MIN: i32 = 1_900;
/// Right ends of the columns.
const ENDS: [i32; 8] = [55_000, 79_000, 89_500, 111_500, 134_500, 162_500, 174_500, RIGHT];
const HEADS: [&str; 8] = ["货物或应税劳务、服务名称", "规格型号", "单 位", "数 量", "单 价", "金 额", "税率", "税 额"];
const HEAD_HEIGHT: i32 = 5_500;
const SUM_HEIGHT: i32 = 5_500;
const PADDING: i32 = 700;

/// The columns of a table of items, on the sheet and on the list.
pub(super) struct Columns {
    /// Right ends of: name, specification, unit, quantity, price, net, rate, tax.
    pub(super) ends: [i32; 8],
    /// Left end of the name.
    pub(super) left: i32,
}

/// A line of the invoice, cut into rows.
pub(super) struct Laid<'a> {
    line: &'a Line,
    name: Rows,
    specification: Rows,
    unit: Rows,
}

impl Columns {
    pub(super) fn cell(&self, column: usize, size: i32, align: Align) -> Cell {
        let left = if column == 0 { self.left } else { self.ends[column - 1] };
        Cell::new(left + PADDING, self.ends[column] - PADDING, size, align)
    }

    /// Cuts name, specification and unit of a line into rows.
    pub(super) fn lay<'a>(&self, fonts: &Fonts, line: &'a Line, size: i32) -> Result<Laid<'a>, LayoutError> {
        let wrap = |field, text, column| Painter::wrap(fonts, field, text, self.cell(column, size, Align::Left).width(), size);
        Ok(Laid {
            line,
            name: wrap("line.name", &line.name, 0)?,
            specification: wrap("line.specification", &line.specification, 1)?,
            unit: wrap("line.unit", &line.unit, 2)?,
        })
    }

    /// Draws a line with its first row around `first`.
    pub(super) fn draw(
        &self,
        painter: &mut Painter<'_>,
        laid: &Laid<'_>,
        size: i32,
        first: i32,
        leading: i32,
    ) -> Result<(), LayoutError> {
        painter.rows(self.cell(0, size, Align::Left), first, leading, &laid.name);
        painter.rows(self.cell(1, size, Align::Left), first, leading, &laid.specification);
        painter.rows(self.cell(2, size, Align::Centre), first, leading, &laid.unit);
        let line = laid.line;
        let quantity = line.quantity.as_ref().map(Quantity::to_string).unwrap_or_default();
        let price = line.price.as_ref().map(Price::to_string).unwrap_or_default();
        let values = [
            ("line.quantity", quantity),
            ("line.price", price),
            ("line.net", line.net.to_string()),
            ("line.rate", words::rate(line)),
            ("line.tax", words::tax(line)),
        ];
        for (column, (field, value)) in values.iter().enumerate() {
            let align = if *field == "line.rate" { Align::Centre } else { Align::Right };
            painter.text(field, self.cell(column + 3, size, align), first, value)?;
        }
        Ok(())
    }
}

impl Laid<'_> {
    /// Rows of the highest column.
    pub(super) fn rows(&self) -> usize {
        self.name.rows.len().max(self.specification.rows.len()).max(self.unit.rows.len())
    }
}

/// Draws the table. True: the lines did not find room, and the table points to a list.
pub(super) fn draw(painter: &mut Painter<'_>, invoice: &IssuedInvoice) -> Result<bool, LayoutError> {
    let columns = Columns { ends: ENDS, left: LEFT };
    for end in &ENDS[..7] {
        painter.line((*end, BUYER_END), (*end, TABLE_END), RULE);
    }
    for (column, head) in HEADS.iter().enumerate() {
        painter.text("layout", columns.cell(column, NORMAL, Align::Centre).form(), BUYER_END + HEAD_HEIGHT / 2, head)?;
    }
    let needs_list = !lines(painter, &columns, invoice)?;
    if needs_list {
        point_to_list(painter, &columns, invoice)?;
    }
    let centre = TABLE_END - SUM_HEIGHT / 2;
    painter.text("layout", columns.cell(0, NORMAL, Align::Centre).form(), centre, "合　　　计")?;
    let totals = &invoice.invoice.totals;
    painter.text("totals.net", columns.cell(5, NORMAL, Align::Right), centre, &words::yuan(totals.net))?;
    painter.text("totals.tax", columns.cell(7, NORMAL, Align::Right), centre, &words::tax_total(&invoice.invoice))?;
    total(painter, invoice)?;
    Ok(needs_list)
}

/// Draws the lines in the largest size in which they all have room. False: there is none.
fn lines(painter: &mut Painter<'_>, columns: &Columns, invoice: &IssuedInvoice) -> Result<bool, LayoutError> {
    let lines = &invoice.invoice.lines;
    if lines.len() > LINES_ON_SHEET {
        return Ok(false);
    }
    let height = TABLE_END - BUYER_END - HEAD_HEIGHT - SUM_HEIGHT;
    let mut size = NORMAL;
    let (laid, leading) = loop {
        let laid: Result<Vec<Laid<'_>>, LayoutError> = lines.iter().map(|line| columns.lay(painter.fonts, line, size)).collect();
        let laid = laid?;
        let rows = i32::try_from(laid.iter().map(Laid::rows).sum::<usize>()).unwrap_or(i32::MAX / 10_000).max(1);
        let leading = (size * 150 / 100).min(height / rows);
        if leading >= size * 115 / 100 {
            break (laid, leading);
        }
        if size <= TABLE_SIZE_MIN {
            return Ok(false);
        }
        size -= 100;
    };
    let mut first = BUYER_END + HEAD_HEIGHT + leading / 2;
    for line in &laid {
        columns.draw(painter, line, size, first, leading)?;
        first += leading * i32::try_from(line.rows()).unwrap_or(1);
    }
    Ok(true)
}

fn point_to_list(painter: &mut Painter<'_>, columns: &Columns, invoice: &IssuedInvoice) -> Result<(), LayoutError> {
    let centre = BUYER_END + HEAD_HEIGHT + 2 * MM;
    painter.text("layout", columns.cell(0, NORMAL, Align::Left), centre, "（详见销货清单）")?;
    let content = &invoice.invoice;
    let rates: Vec<String> = content.lines.iter().map(words::rate).collect();
    // One rate of all lines is worth saying; of several none is.
    if let [first, rest @ ..] = rates.as_slice()
        && rest.iter().all(|rate| rate == first)
    {
        painter.text("line.rate", columns.cell(6, NORMAL, Align::Centre), centre, first)?;
    }
    painter.text("totals.net", columns.cell(5, NORMAL, Align::Right), centre, &content.totals.net.to_string())?;
    let tax = words::tax_total(content);
    painter.text("totals.tax", columns.cell(7, NORMAL, Align::Right), centre, tax.trim_start_matches('¥'))
}

/// 价税合计 in capitals and in figures.
fn total(painter: &mut Painter<'_>, invoice: &IssuedInvoice) -> Result<(), LayoutError> {
    let centre = i32::midpoint(TABLE_END, CAPITALS_END);
    painter.line((ENDS[0], TABLE_END), (ENDS[0], CAPITALS_END), RULE);
    painter.text("layout", Cell::new(LEFT, ENDS[0], NORMAL, Align::Centre).form(), centre, "价税合计（大写）")?;
    // A circle with a cross before the capitals: nothing can be written in front of them.
    let (x, radius) = (ENDS[0] + 4 * MM, 1_500);
    painter.page.marks.push(Mark::Ellipse { centre: (x, centre), radius: (radius, radius), width: 200, ink: Ink::Black });
    let reach = radius * 7 / 10;
    for sign in [-1, 1] {
        let (from, to) = ((x - reach, centre - sign * reach), (x + reach, centre + sign * reach));
        painter.page.marks.push(Mark::Line { from, to, width: 200, ink: Ink::Black });
    }
    let gross = invoice.invoice.totals.gross;
    painter.text("totals.gross", Cell::new(x + 3 * MM, 148 * MM, LARGE, Align::Left), centre, &capitals(gross))?;
    painter.text("layout", Cell::new(149 * MM, 163 * MM, NORMAL, Align::Left).form(), centre, "（小写）")?;
    painter.text("totals.gross", Cell::new(163 * MM, RIGHT - MM, LARGE, Align::Left), centre, &words::yuan(gross))
}
