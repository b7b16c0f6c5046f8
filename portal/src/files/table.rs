//! Tables of texts: CSV (RFC 4180, UTF-8 with or without a byte order mark, or GBK as Excel in China writes it) and XLSX.
//!
//! Everything is bounded before it is held: bytes of the file, bytes that a workbook inflates to, rows, columns, bytes of a cell.
//! A workbook is read as a stream of cells, so that a single cell in its last corner allocates nothing.

use std::io::{Cursor, Read as _};

use calamine::{DataRef, Reader as _, Xlsx};
use rust_decimal::Decimal;
use rust_xlsxwriter::{Format, Workbook};
use taxdisk_protocol::gbk;

use super::{Column, MAX_ENTRIES};

/// A file at most, bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;
/// A workbook inflated at most, bytes: a thousandfold bomb ends here.
const MAX_INFLATED_BYTES: u64 = 64 * 1024 * 1024;
/// Parts of a workbook at most.
const MAX_PARTS: usize = 200;
/// Columns at most; the files have nine.
const MAX_COLUMNS: usize = 64;
/// A cell at most, bytes; the longest field has 254 characters.
const MAX_CELL_BYTES: usize = 4096;
/// Significant digits that a number of a spreadsheet holds exactly.
const EXACT_DIGITS: usize = 15;

/// A cell as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cell {
    /// Nothing.
    #[default]
    Empty,
    /// Text, as it was written.
    Text(String),
    /// A number of a spreadsheet, in its shortest exact form.
    Number(String),
    /// A date, a truth value or an error of a spreadsheet: what was written is lost.
    Other(&'static str),
}

/// A file that cannot be read at all. Written for whoever sent it; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Too long.
    #[error("文件过大：最多 {} MB", MAX_FILE_BYTES / 1024 / 1024)]
    TooLarge,
    /// Inflates to more than is read.
    #[error("工作簿解压后过大：最多 {} MB", MAX_INFLATED_BYTES / 1024 / 1024)]
    Inflated,
    /// Too many rows.
    #[error("行数过多：最多 {} 行", MAX_ENTRIES)]
    Rows,
    /// Too many columns.
    #[error("列数过多：最多 {MAX_COLUMNS} 列")]
    Columns,
    /// A cell is too long.
    #[error("第 {0} 行有单元格过长：最多 {MAX_CELL_BYTES} 字节")]
    Cell(usize),
    /// Neither a workbook nor a text.
    #[error("不是可读取的 CSV（UTF-8 或 GBK）或 XLSX 文件：{0}")]
    Unreadable(String),
}

/// Rows with their places as a spreadsheet counts them, from 1. Rows without any content are left out.
pub type Rows = Vec<(usize, Vec<Cell>)>;

/// Reads a file: a workbook if it begins like one, else CSV.
///
/// # Errors
/// It cannot be read, or is beyond a limit.
pub fn read(file: &[u8]) -> Result<Rows, TableError> {
    if file.len() > MAX_FILE_BYTES {
        return Err(TableError::TooLarge);
    }
    if file.starts_with(b"PK\x03\x04") { read_xlsx(file) } else { read_csv(file) }
}

fn read_csv(file: &[u8]) -> Result<Rows, TableError> {
    let unreadable = |why: &str| TableError::Unreadable(why.to_owned());
    let file = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
    let text = match std::str::from_utf8(file) {
        Ok(text) => text.to_owned(),
        Err(_) => decode_gbk(file).ok_or_else(|| unreadable("既不是 UTF-8 也不是 GBK 编码"))?,
    };
    if text.contains('\0') {
        return Err(unreadable("含有空字节"));
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut rows = Rows::new();
    for (index, record) in reader.records().enumerate() {
        let row = index + 1;
        let record = record.map_err(|error| unreadable(&error.to_string()))?;
        if record.len() > MAX_COLUMNS {
            return Err(TableError::Columns);
        }
        if record.iter().any(|cell| cell.len() > MAX_CELL_BYTES) {
            return Err(TableError::Cell(row));
        }
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        // One more: the heading.
        if rows.len() > MAX_ENTRIES {
            return Err(TableError::Rows);
        }
        let cell = |text: &str| if text.is_empty() { Cell::Empty } else { Cell::Text(unguarded(text)) };
        rows.push((row, record.iter().map(cell).collect()));
    }
    Ok(rows)
}

/// GBK, exactly: a byte that stands for nothing is not replaced.
fn decode_gbk(bytes: &[u8]) -> Option<String> {
    let text = gbk::decode_lenient(bytes);
    (gbk::encode(&text).as_deref() == Some(bytes)).then_some(text)
}

fn read_xlsx(file: &[u8]) -> Result<Rows, TableError> {
    let unreadable = |why: &dyn std::fmt::Display| TableError::Unreadable(why.to_string());
    bounded(file)?;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(file)).map_err(|error| unreadable(&error))?;
    let sheet = book.sheet_names().first().cloned().ok_or_else(|| unreadable(&"没有工作表"))?;
    let mut cells = book.worksheet_cells_reader(&sheet).map_err(|error| unreadable(&error))?;
    let mut rows = Rows::new();
    while let Some(cell) = cells.next_cell().map_err(|error| unreadable(&error))? {
        let (row, column) = cell.get_position();
        let (row, column) = (row as usize + 1, column as usize);
        let value = match cell.get_value() {
            DataRef::Empty => Cell::Empty,
            DataRef::String(text) => Cell::Text(text.clone()),
            DataRef::SharedString(text) => Cell::Text((*text).to_owned()),
            DataRef::Int(value) => Cell::Number(value.to_string()),
            // Rust writes the shortest decimal that is this float, which is what the person typed if it had 15 digits.
            DataRef::Float(value) => Cell::Number(value.to_string()),
            DataRef::Bool(_) => Cell::Other("逻辑值"),
            DataRef::Error(_) => Cell::Other("错误值"),
            _ => Cell::Other("日期"),
        };
        match &value {
            Cell::Empty => continue,
            Cell::Text(text) if text.trim().is_empty() => continue,
            Cell::Text(text) | Cell::Number(text) if text.len() > MAX_CELL_BYTES => return Err(TableError::Cell(row)),
            _ => {}
        }
        if column >= MAX_COLUMNS {
            return Err(TableError::Columns);
        }
        if rows.last().is_none_or(|(last, _)| *last != row) {
            if rows.last().is_some_and(|(last, _)| *last > row) {
                return Err(unreadable(&"行的次序不对"));
            }
            if rows.len() > MAX_ENTRIES {
                return Err(TableError::Rows);
            }
            rows.push((row, Vec::new()));
        }
        let (_, cells) = rows.last_mut().expect("a row was pushed above if there was none");
        if cells.len() <= column {
            cells.resize(column + 1, Cell::Empty);
        }
        cells[column] = value;
    }
    Ok(rows)
}

/// Inflates every part once, without keeping it: sizes that a workbook states about itself are not believed.
fn bounded(file: &[u8]) -> Result<(), TableError> {
    let unreadable = |error: &dyn std::fmt::Display| TableError::Unreadable(error.to_string());
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).map_err(|error| unreadable(&error))?;
    if archive.len() > MAX_PARTS {
        return Err(TableError::Inflated);
    }
    let mut left = MAX_INFLATED_BYTES;
    for index in 0..archive.len() {
        let part = archive.by_index(index).map_err(|error| unreadable(&error))?;
        let read = std::io::copy(&mut part.take(left + 1), &mut std::io::sink()).map_err(|error| unreadable(&error))?;
        left = left.checked_sub(read).ok_or(TableError::Inflated)?;
    }
    Ok(())
}

/// Beginnings that a spreadsheet takes for a formula (OWASP, CSV injection), also in full width.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A text that no spreadsheet calculates: an apostrophe before what would be a formula, and before an apostrophe, so that
/// [`unguarded`] gives every text back.
fn guarded(text: &str) -> String {
    let guard = text.starts_with(FORMULA) || text.starts_with('\'');
    format!("{}{text}", if guard { "'" } else { "" })
}

/// What [`guarded`] was given.
fn unguarded(text: &str) -> String {
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(FORMULA) || rest.starts_with('\'') => rest.to_owned(),
        _ => text.to_owned(),
    }
}

/// CSV with a byte order mark, so that spreadsheets read Chinese; no cell is a formula.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn write_csv(columns: &[Column], rows: &[Vec<String>]) -> Result<Vec<u8>, TableError> {
    let failed = |error: csv::Error| TableError::Unreadable(error.to_string());
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer("\u{FEFF}".as_bytes().to_vec());
    writer.write_record(columns.iter().map(|column| column.heading)).map_err(failed)?;
    for row in rows {
        let cells = columns.iter().zip(row).map(|(column, cell)| {
            // A sum below zero stays a number.
            let number = column.number && cell.parse::<Decimal>().is_ok();
            if number { cell.clone() } else { guarded(cell) }
        });
        writer.write_record(cells).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| TableError::Unreadable(error.to_string()))
}

/// A workbook. Texts are texts, so that a tax code keeps its digits; numbers are numbers where a spreadsheet holds them exactly.
///
/// # Errors
/// The writer refuses it.
pub fn write_xlsx(columns: &[Column], rows: &[Vec<String>]) -> Result<Vec<u8>, TableError> {
    let failed = |error: rust_xlsxwriter::XlsxError| TableError::Unreadable(error.to_string());
    let mut book = Workbook::new();
    let (bold, text) = (Format::new().set_bold(), Format::new().set_num_format("@"));
    let sheet = book.add_worksheet();
    sheet.set_freeze_panes(1, 0).map_err(failed)?;
    for (place, column) in (0..).zip(columns) {
        sheet.write_string_with_format(0, place, column.heading, &bold).map_err(failed)?;
        sheet.set_column_width(place, 20).map_err(failed)?;
        if !column.number {
            // Cells that a person adds below stay texts too.
            sheet.set_column_format(place, &text).map_err(failed)?;
        }
    }
    for (row, cells) in (1..).zip(rows) {
        for ((place, column), cell) in (0..).zip(columns).zip(cells) {
            if cell.is_empty() {
                continue;
            }
            match column.number.then(|| as_number(cell)).flatten() {
                Some(number) => sheet.write_number(row, place, number).map_err(failed)?,
                None => sheet.write_string_with_format(row, place, cell, &text).map_err(failed)?,
            };
        }
    }
    book.save_to_buffer().map_err(failed)
}

/// A float that is read back as the same decimal.
fn as_number(text: &str) -> Option<f64> {
    let exact = text.parse::<Decimal>().ok()?;
    if exact.mantissa().unsigned_abs().to_string().len() > EXACT_DIGITS {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    (number.to_string().parse::<Decimal>().ok()? == exact).then_some(number)
}
