//! Many rows in few statements. Every row's columns are bound: a document of JSON that holds all of them is read again for each
//! column of each row, which was most of the time of a commit.
//!
//! Statements come in a few sizes only, so that each is prepared once for the life of the connection.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Sqlite};

use super::super::StoreError;

/// Rows of one statement, largest first. 256 rows of 10 columns are 2,560 parameters; SQLite takes 32,766.
const SIZES: [usize; 5] = [256, 64, 16, 4, 1];

/// One column of one row.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Null,
    Number(i64),
    Text(String),
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Cell {
        Cell::Number(number)
    }
}

/// Counts of ours stay far below 2⁶³.
impl From<u64> for Cell {
    fn from(number: u64) -> Cell {
        Cell::Number(number.cast_signed())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Null, Into::into)
    }
}

/// Writes all rows, `before` and `after` being the statement around `(…), (…)`; every row must be taken.
///
/// Statements say `OR FAIL`: one that breaks off takes nothing back, as the whole transaction is taken back then; for another end
/// SQLite would copy every page that a statement changes.
pub(super) async fn write<const COLUMNS: usize>(
    connection: &mut SqliteConnection,
    rows: Vec<[Cell; COLUMNS]>,
    before: &'static str,
    after: &'static str,
    guard: &str,
) -> Result<(), StoreError> {
    let mut rows = rows.into_iter();
    while let Some(size) = SIZES.into_iter().find(|size| *size <= rows.len()) {
        let mut query = sqlx::query::<Sqlite>(AssertSqlSafe(statement(before, after, COLUMNS, size)));
        for cell in rows.by_ref().take(size).flatten() {
            query = match cell {
                Cell::Null => query.bind(None::<i64>),
                Cell::Number(number) => query.bind(number),
                Cell::Text(text) => query.bind(text),
            };
        }
        let done = query.execute(&mut *connection).await.map_err(|error| match &error {
            sqlx::Error::Database(inner) if inner.is_unique_violation() => StoreError::Stale(guard.to_owned()),
            _ => StoreError::Database(error),
        })?;
        if done.rows_affected() != size as u64 {
            return Err(StoreError::Stale(guard.to_owned()));
        }
    }
    Ok(())
}

/// Only texts of this program and counts go into it.
fn statement(before: &str, after: &str, columns: usize, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    format!("{before} {} {after}", vec![row; rows].join(","))
}
