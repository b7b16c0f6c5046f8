//! Lists as tables: CSV and workbooks, written by [`crate::files::table`], so that no cell of any export is a formula.

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

    pub(super) fn disposition(self) -> &'static str {
        match self {
            Form::Csv => "attachment; filename=\"invoices.csv\"",
            Form::Xlsx => "attachment; filename=\"invoices.xlsx\"",
        }
    }
}

/// A table of these requests.
///
/// # Errors
/// Those of the writer.
pub(super) fn requests(form: Form, lang: Lang, rows: &[Row]) -> Result<Vec<u8>, TableError> {
    let heads = ["created", "serial", "kind", "org", "buyer", "gross", "state", "number"];
    let columns =
        heads.map(|key| Column { heading: words::text(lang, key), aliases: &[], required: false, number: key == "gross" });
    let cells = |row: &Row| {
        [&row.created, &row.serial, &row.kind, &row.org, &row.buyer, &row.gross, &row.state, &row.number]
            .map(String::clone)
            .to_vec()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    match form {
        Form::Csv => table::write_csv(&columns, &rows),
        Form::Xlsx => table::write_xlsx(&columns, &rows),
    }
}
