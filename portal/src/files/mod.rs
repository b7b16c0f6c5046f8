//! 商品档案 and 客户档案 of a tenant: what he sells and to whom, so that a person writes no line and no buyer twice.
//!
//! [`goods`] and [`customers`] say what an entry is and which rules it keeps: those of an invoice, asked of
//! `taxdisk_protocol::rules` with the entry on a trial invoice, so that a file never holds what no invoice can. [`table`] turns
//! CSV and workbooks into rows of texts and back, within limits; [`import`](mod@import) finds every fault of a file before
//! anything is written, and then writes all of it or nothing.
//!
//! What is refused: a number that a spreadsheet rounded. A tax code of 19 digits does not fit a spreadsheet's number, so such a
//! cell is a fault with advice, never a code that ends in zeros.
//!
//! Read first: [`Entry`], [`import::read`].

pub mod customers;
pub mod goods;
pub mod import;
pub mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use customers::Customer;
pub use goods::Goods;

/// Entries of one file of a tenant at most.
pub const MAX_ENTRIES: usize = 10_000;

/// Whose fault it is that a row cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Whoever wrote the file: the value itself is wrong.
    Author,
    /// The spreadsheet program: it turned what was written into a number, a date or an error.
    Spreadsheet,
}

impl Whose {
    /// In Chinese.
    pub fn text(self) -> &'static str {
        match self {
            Whose::Author => "填写有误",
            Whose::Spreadsheet => "表格软件改变了内容",
        }
    }
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFault {
    /// Row as a spreadsheet counts, the heading being 1; 0: the file as a whole.
    pub row: usize,
    /// Heading of the column; empty: the row as a whole.
    pub column: String,
    /// Whose fault.
    pub whose: Whose,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl RowFault {
    /// A fault of whoever wrote the file.
    pub fn of_author(row: usize, column: &str, text: impl Into<String>) -> RowFault {
        RowFault { row, column: column.to_owned(), whose: Whose::Author, text: text.into() }
    }
}

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 商品档案.
    Goods,
    /// 客户档案.
    Customers,
}

impl Kind {
    /// As it is written in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Goods => "goods",
            Kind::Customers => "customers",
        }
    }
}

/// A column of a file.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its heading, as it is exported.
    pub heading: &'static str,
    /// Other headings that are understood.
    pub aliases: &'static [&'static str],
    /// A file without it is refused.
    pub required: bool,
    /// A number; a spreadsheet may hold it as one. All others are texts.
    pub number: bool,
}

/// An entry of a file: from texts and back, by the columns of its kind.
pub trait Entry: Sized + Clone + PartialEq + Serialize + serde::de::DeserializeOwned + Send + Sync + 'static {
    /// Which file.
    const KIND: Kind;
    /// The columns, in the order of export.
    const COLUMNS: &'static [Column];

    /// Reads an entry of cells in the order of [`Entry::COLUMNS`], trimmed; absent ones are empty.
    ///
    /// # Errors
    /// All faults: place of the column (`None`: the row as a whole) and text.
    fn read(cells: &[String]) -> Result<Self, Vec<(Option<usize>, String)>>;

    /// The cells, in the order of [`Entry::COLUMNS`].
    fn cells(&self) -> Vec<String>;

    /// What it is known by: an entry with the same key replaces the one before it.
    fn key(&self) -> String;
}

/// A key of several parts; no part can look like two.
pub(crate) fn key(parts: &[&str]) -> String {
    parts.join("\u{1f}")
}
