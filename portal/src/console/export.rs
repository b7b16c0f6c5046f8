//! Lists as CSV: UTF-8 with a byte order mark, so that spreadsheets read Chinese, and no cell is a formula.

use super::invoices::Row;
use super::words::{self, Lang};

/// A cell, quoted (RFC 4180). What a spreadsheet would calculate is text: buyers and merchants write these fields.
fn cell(text: &str) -> String {
    let number = text.parse::<rust_decimal::Decimal>().is_ok();
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) && !number;
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

/// A table of these requests.
pub(super) fn csv(lang: Lang, rows: &[Row]) -> String {
    let head = ["created", "serial", "kind", "org", "buyer", "gross", "state", "number"];
    let mut out = String::from("\u{FEFF}");
    let mut line = |cells: &[&str]| {
        out.push_str(&cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(","));
        out.push_str("\r\n");
    };
    line(&head.map(|key| words::text(lang, key)));
    for row in rows {
        line(&[&row.created, &row.serial, &row.kind, &row.org, &row.buyer, &row.gross, &row.state, &row.number]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_sums_stay_numbers() {
        for evil in ["=HYPERLINK(\"x\")", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1"] {
            assert!(cell(evil).starts_with("\"'"), "{evil:?}");
        }
        assert_eq!(cell("-113.00"), "\"-113.00\"");
        assert_eq!(cell("a\"b,c"), "\"a\"\"b,c\"");
    }
}
