//! The roll invoice (卷票, kind 025): a slip of 76 mm, as long as its lines need.
//!
//! The facts give its fields and no form; order and names are those of the sheet. Amounts are without tax and say so, with rate
//! and tax beside them: a price with tax would have to be computed anew, and nothing here is.

use taxdisk_protocol::invoice::Line;

use crate::canvas::{Align, Cell, Ink, MM, Mark, Page, Painter};
use crate::capitals::capitals;
use crate::error::LayoutError;
use crate::fonts::Fonts;
use crate::invoice::IssuedInvoice;
use crate::sheet::{code, watermark};
use crate::words;

const WIDTH: i32 = 76 * MM;
const LEFT: i32 = 5 * MM;
const RIGHT: i32 = 71 * MM;
const SIZE: i32 = 2_700;
const LEADING: i32 = 3_900;
const CODE: i32 = 24 * MM;
/// Right ends of quantity, price, net, rate, tax.
const ENDS: [i32; 5] = [14 * MM, 29 * MM, 45 * MM, 55 * MM, RIGHT];

/// A slip in the making: everything is drawn from the top down, and the page is cut where it ends.
struct Slip<'a> {
    painter: Painter<'a>,
    y: i32,
}

/// The one page of a roll invoice.
pub(crate) fn pages(invoice: &IssuedInvoice, fonts: &Fonts) -> Result<Vec<Page>, LayoutError> {
    let mut slip = Slip { painter: Painter::new(fonts, WIDTH, 0), y: 6 * MM };
    head(&mut slip, invoice)?;
    items(&mut slip, invoice)?;
    foot(&mut slip, invoice)?;
    let mut page = slip.painter.page;
    page.height = slip.y + 5 * MM;
    if invoice.simulated {
        // Only now its height is known; the watermark lies under everything.
        let mut under = Painter::new(fonts, page.width, page.height);
        watermark(&mut under)?;
        page.marks.splice(0..0, under.page.marks);
    }
    Ok(vec![page])
}

impl Slip<'_> {
    fn full(size: i32, align: Align) -> Cell {
        Cell::new(LEFT, RIGHT, size, align)
    }

    /// A label, and a value on as many rows as it needs.
    fn field(&mut self, label: &str, field: &'static str, value: &str) -> Result<(), LayoutError> {
        let glyphs = self.painter.fonts.glyphs("layout", label)?;
        let middle = LEFT + self.painter.fonts.width(&glyphs, SIZE);
        self.painter.text("layout", Cell::new(LEFT, middle, SIZE, Align::Left).form(), self.y, label)?;
        let cell = Cell::new(middle, RIGHT, SIZE, Align::Left);
        let rows = Painter::wrap(self.painter.fonts, field, value, cell.width(), SIZE)?;
        self.painter.rows(cell, self.y, LEADING, &rows);
        self.y += LEADING * i32::try_from(rows.rows.len()).unwrap_or(1);
        Ok(())
    }

    fn rule(&mut self) {
        self.painter.page.marks.push(Mark::Line { from: (LEFT, self.y), to: (RIGHT, self.y), width: 180, ink: Ink::Form });
        self.y += LEADING * 3 / 4;
    }
}

fn head(slip: &mut Slip<'_>, invoice: &IssuedInvoice) -> Result<(), LayoutError> {
    let title = words::title(invoice.kind, invoice.pair.code);
    slip.painter.text("layout", Slip::full(5 * MM, Align::Centre).form(), slip.y, &title)?;
    slip.y += 6 * MM;
    if invoice.simulated {
        let cell = Cell { ink: Ink::Seal, ..Slip::full(3_400, Align::Centre) };
        slip.painter.text("layout", cell, slip.y, "样票 SAMPLE")?;
        slip.y += 5 * MM;
    }
    if invoice.is_red() {
        slip.painter.text("layout", Slip::full(4 * MM, Align::Centre), slip.y, "销项负数")?;
        slip.y += 6 * MM;
    }
    let (buyer, seller) = (&invoice.invoice.buyer, &invoice.seller);
    slip.field("发票代码：", "code", invoice.pair.code.as_str())?;
    slip.field("发票号码：", "number", &invoice.pair.number.to_string())?;
    slip.field("机器编号：", "machine", invoice.machine.as_str())?;
    slip.field("开票日期：", "issued_at", &words::day(&invoice.issued_at))?;
    slip.field("销售方名称：", "seller.name", &seller.name)?;
    slip.field("纳税人识别号：", "seller.taxpayer_number", seller.taxpayer_number.as_str())?;
    slip.field("购买方名称：", "buyer.name", &buyer.name)?;
    let number = buyer.taxpayer_number.as_ref().map_or("", |number| number.as_str());
    slip.field("纳税人识别号：", "buyer.taxpayer_number", number)
}

fn items(slip: &mut Slip<'_>, invoice: &IssuedInvoice) -> Result<(), LayoutError> {
    slip.rule();
    slip.painter.text("layout", Slip::full(SIZE, Align::Left).form(), slip.y, "项目（金额不含税）")?;
    slip.y += LEADING;
    columns(slip, true, ["数量", "单价", "金额", "税率", "税额"].map(str::to_owned))?;
    slip.rule();
    for line in &invoice.invoice.lines {
        let cell = Slip::full(SIZE, Align::Left);
        let title = [line.name.as_str(), line.specification.as_str(), line.unit.as_str()];
        let title: Vec<&str> = title.into_iter().filter(|part| !part.is_empty()).collect();
        let rows = Painter::wrap(slip.painter.fonts, "line.name", &title.join(" "), cell.width(), SIZE)?;
        slip.painter.rows(cell, slip.y, LEADING, &rows);
        slip.y += LEADING * i32::try_from(rows.rows.len()).unwrap_or(1);
        columns(slip, false, values(line))?;
    }
    slip.rule();
    Ok(())
}

fn values(line: &Line) -> [String; 5] {
    let quantity = line.quantity.map(|quantity| quantity.to_string()).unwrap_or_default();
    let price = line.price.map(|price| price.to_string()).unwrap_or_default();
    [quantity, price, line.net.to_string(), words::rate(line), words::tax(line)]
}

fn columns(slip: &mut Slip<'_>, is_form: bool, values: [String; 5]) -> Result<(), LayoutError> {
    let mut left = LEFT;
    for (end, value) in ENDS.into_iter().zip(&values) {
        let cell = Cell::new(left, end - MM / 2, SIZE * 9 / 10, Align::Right);
        let cell = if is_form { cell.form() } else { cell };
        slip.painter.text("line", cell, slip.y, value)?;
        left = end;
    }
    slip.y += LEADING;
    Ok(())
}

fn foot(slip: &mut Slip<'_>, invoice: &IssuedInvoice) -> Result<(), LayoutError> {
    let content = &invoice.invoice;
    slip.field("合计金额：", "totals.net", &words::yuan(content.totals.net))?;
    slip.field("合计税额：", "totals.tax", &words::tax_total(content))?;
    slip.field("价税合计：", "totals.gross", &words::yuan(content.totals.gross))?;
    slip.field("大写：", "totals.gross", &capitals(content.totals.gross))?;
    slip.field("校验码：", "check_code", &words::grouped(invoice.check_code()))?;
    slip.field("备注：", "remark", &invoice.remark())?;
    slip.field("收款人：", "payee", &content.payee)?;
    slip.field("复核：", "reviewer", &content.reviewer)?;
    slip.field("开票人：", "clerk", &content.clerk)?;
    let at = ((WIDTH - CODE) / 2, slip.y);
    code(&mut slip.painter, invoice, at, CODE)?;
    slip.y += CODE;
    Ok(())
}
