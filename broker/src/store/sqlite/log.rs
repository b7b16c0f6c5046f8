//! The log: what was decided, in its order, durable by one short write before anybody is told (decision 0040).
//!
//! It lies beside the tables in a file of its own, `ledger.db.log`, a SQLite file as well: torn pages, checksums and barriers are
//! that library's work. The tables take every commit at once, but reach the medium later and in large pieces; an entry leaves the
//! log only after they have. A start enters anew what the medium has not seen: the tables know the last entry that is in them.
//!
//! An entry is the text of a commit's changes, a line of JSON each (serde writes no line breaks). Of a job it holds the event
//! alone, in three lines: key, event and content as the chain has them; the job follows from them.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::Event;

use super::super::encoding::{json, text};
use super::super::vault::Vault;
use super::super::{StoreError, chain};
use crate::core::change::Change;

/// Ends the name of a log, behind that of its tables' file.
pub(super) const SUFFIX: &str = ".log";

/// The log of the tables in `file`.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    connection: SqliteConnection,
    /// The last entry that was ever written.
    last: i64,
    /// Bytes since it was last cut, about.
    bytes: usize,
}

impl Log {
    /// Opens the log in `file`, or makes it, for the ledger whose tables hold all entries up to `applied`.
    ///
    /// # Errors
    /// It holds entries of another ledger: nothing of it is used.
    pub(super) async fn open(file: &Path, ledger: &str, applied: i64) -> Result<Log, StoreError> {
        let fresh = !file.exists();
        super::private(file)?;
        let options = options(file).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let mut connection = options.synchronous(SqliteSynchronous::Full).connect().await?;
        for sql in [
            "CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, changes TEXT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS ledger (id TEXT NOT NULL)",
        ] {
            sqlx::query(sql).execute(&mut connection).await?;
        }
        if fresh {
            // Its name must survive what its entries survive.
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(sqlx::Error::Io)?;
        }
        let last: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM entries").fetch_one(&mut connection).await?;
        let of: Option<String> = sqlx::query_scalar("SELECT id FROM ledger").fetch_optional(&mut connection).await?;
        if of.as_deref() != Some(ledger) {
            if last.is_some() {
                return Err(StoreError::Damaged(format!(
                    "{} is the log of ledger {}, but the tables are those of {ledger}; put back the file that belongs to it",
                    file.display(),
                    of.unwrap_or_default()
                )));
            }
            let mut change = connection.begin().await?;
            sqlx::query("DELETE FROM ledger").execute(&mut *change).await?;
            sqlx::query("INSERT INTO ledger (id) VALUES (?1)").bind(ledger).execute(&mut *change).await?;
            change.commit().await?;
        }
        Ok(Log { connection, last: last.unwrap_or(applied).max(applied), bytes: 0 })
    }

    /// The last entry that was ever written; what the tables may say they hold.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// Bytes that were written since it was last cut, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Durable when it returns.
    pub(super) async fn append(&mut self, changes: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO entries (id, changes) VALUES (?1, ?2)")
            .bind(self.last + 1)
            .bind(changes)
            .execute(&mut self.connection)
            .await?;
        self.last += 1;
        self.bytes += changes.len();
        Ok(())
    }

    /// The entry after this one, as its changes; jobs are still to be made of their events.
    ///
    /// # Errors
    /// Entries are missing, or one cannot be read.
    pub(super) async fn after(&mut self, applied: i64, vault: &Vault) -> Result<Option<Vec<Logged>>, StoreError> {
        let row = sqlx::query("SELECT id, changes FROM entries WHERE id > ?1 ORDER BY id LIMIT 1")
            .bind(applied)
            .fetch_optional(&mut self.connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        if row.try_get::<i64, _>(0)? != applied + 1 {
            return Err(StoreError::Damaged(format!("the log lacks entry {}", applied + 1)));
        }
        decode(row.try_get(1)?, vault).map(Some)
    }

    /// Takes away the entries up to `id`: the tables hold them on the medium.
    pub(super) async fn cut(&mut self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM entries WHERE id <= ?1").bind(id).execute(&mut self.connection).await?;
        self.bytes = 0;
        Ok(())
    }

    /// `synchronous` and journal.
    #[cfg(test)]
    pub(super) async fn mode(&mut self) -> (i64, String) {
        let synchronous = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut self.connection).await;
        let journal = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut self.connection).await;
        (synchronous.expect("a pragma"), journal.expect("a pragma"))
    }

    pub(super) async fn close(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(file).busy_timeout(super::busy()).disable_statement_logging()
}

/// Copies a log that a broker may be writing, into the new file `to`. What leaves it meanwhile is in the tables already, which
/// are to be copied afterwards.
pub(super) async fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    super::private(to)?;
    let mut connection = options(from).read_only(true).connect().await?;
    sqlx::query("VACUUM INTO ?1").bind(to.to_string_lossy().into_owned()).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Whether a log holds more than its tables; both are copies that nobody writes.
pub(super) async fn holds_more(log: &Path, tables: &Path) -> Result<bool, StoreError> {
    let mut connection = options(log).connect().await?;
    let last: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM entries").fetch_one(&mut connection).await?;
    connection.close().await?;
    let mut connection = options(tables).connect().await?;
    let applied: Option<i64> = sqlx::query_scalar("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'applied'")
        .fetch_optional(&mut connection)
        .await?;
    connection.close().await?;
    Ok(last > applied)
}

/// A change as the log has it.
#[derive(Debug)]
pub(super) enum Logged {
    /// What is complete in itself.
    Change(Change),
    /// What happened to a job.
    Event(JobKey, Event),
}

/// Begins the line of an event.
const EVENT: &str = "event ";
/// Begins the line of any other change.
const CHANGE: &str = "change ";
/// Begins the line of a person whose second factor is sealed.
const USER: &str = "user ";

/// The text of a commit. `drafts` are the rows that its changes make in chains, one place each.
pub(super) fn encode(changes: &[Change], drafts: &[Option<chain::Draft<'_>>], vault: &Vault) -> Result<String, StoreError> {
    let mut entry = String::with_capacity(changes.len() * 1024);
    for (change, draft) in changes.iter().zip(drafts) {
        match (change, draft) {
            // Both texts are written already: the chain hashes them.
            (Change::Job { job, .. }, Some(draft)) => {
                let content = draft.content.as_deref().unwrap_or_default();
                for part in [EVENT, &text(&job.key), "\n", &draft.body, "\n", content, "\n"] {
                    entry.push_str(part);
                }
            }
            (Change::User(row), _) if row.factor.is_some() && vault.current().is_some() => {
                for part in [USER, &vault.user_text(row)?, "\n"] {
                    entry.push_str(part);
                }
            }
            (other, _) => {
                for part in [CHANGE, &text(other), "\n"] {
                    entry.push_str(part);
                }
            }
        }
    }
    Ok(entry)
}

fn decode(entry: &str, vault: &Vault) -> Result<Vec<Logged>, StoreError> {
    let (mut logged, mut lines) = (Vec::new(), entry.lines());
    while let Some(line) = lines.next() {
        if let Some(change) = line.strip_prefix(CHANGE) {
            logged.push(Logged::Change(json("change of the log", change)?));
        } else if let Some(user) = line.strip_prefix(USER) {
            logged.push(Logged::Change(Change::User(vault.user(user)?)));
        } else if let (Some(key), Some(body), Some(content)) = (line.strip_prefix(EVENT), lines.next(), lines.next()) {
            let event = vault.event(body, Some(content).filter(|content| !content.is_empty()))?;
            logged.push(Logged::Event(json("key of the log", key)?, event));
        } else {
            return Err(StoreError::Damaged("an entry of the log is no entry".to_owned()));
        }
    }
    Ok(logged)
}
