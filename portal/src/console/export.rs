//! Lists as tables: CSV and workbooks, written by [`crate::files::table`], so that no cell of any export is a formula.

use axum::http::HeaderValue;

use super::invoices::Row;
use super::words::{self, Lang};
use crate::files::Column;
use crate::files::table::{self, TableError};

/// A form that a list is exported in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    Xlsx,
}

impl Form {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Csv => "text/csv;charset=UTF-8",
            Form::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// A file of this name, which is plain letters.
    pub(super) fn disposition(self, stem: &str) -> HeaderValue {
        let ending = match self {
            Form::Csv => "csv",
            Form::Xlsx => "xlsx",
        };
        let text = format!("attachment; filename=\"{stem}.{ending}\"");
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"))
    }
}

/// A table with headings by the keys of their texts. `numbers`: which of them are columns of numbers.
///
/// # Errors
/// Those of the writer.
pub(super) fn table(
    form: Form,
    lang: Lang,
    heads: &[&'static str],
    numbers: &[&'static str],
    rows: &[Vec<String>],
) -> Result<Vec<u8>, TableError> {
    let column = |key: &&'static str| Column {
        heading: words::text(lang, key),
        aliases: &[],
        required: false,
        number: numbers.contains(key),
    };
    let columns: Vec<Column> = heads.iter().map(column).collect();
    match form {
        Form::Csv => table::write_csv(&columns, rows),
        Form::Xlsx => table::write_xlsx(&columns, rows),
    }
}

/// A table of these requests.
///
/// # Errors
/// Those of the writer.
pub(super) fn requests(form: Form, lang: Lang, rows: &[Row]) -> Result<Vec<u8>, TableError> {
    let heads = ["created", "serial", "kind", "org", "buyer", "gross", "state", "number"];
    let cells = |row: &Row| {
        [&row.created, &row.serial, &row.kind, &row.org, &row.buyer, &row.gross, &row.state, &row.number]
            .map(String::clone)
            .to_vec()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    table(form, lang, &heads, &["gross"], &rows)
}
