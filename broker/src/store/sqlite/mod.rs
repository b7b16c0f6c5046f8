//! The embedded store: tables in a SQLite file, and beside it the log that makes each commit durable (`log`, decision 0040).
//!
//! A commit goes through its guards (`guard`), into the log (`log`), and is told; the tables take it a moment later, beside many
//! others (`tables`, decision 0055). What they have not taken yet is found in memory (`unseen`). A few connections read beside
//! the one that writes. One process at a time has the file: whoever comes second is told so.
//!
//! Read first: [`SqliteStore`], `writer`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row};
use taxdisk_protocol::api::EvidenceView;
use taxdisk_protocol::chain::StoredEntry;
use taxdisk_protocol::ids::{JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Event, Job};
use taxdisk_protocol::link::Owner;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;

use super::chain::{self, Verified};
use super::encoding::{damaged, json, text};
use super::vault::Vault;
use super::{DeliveryFilter, EVIDENCE_VIEWS, Head, Page, Store, StoreError, evidence_view, fresh_ledger, schema};
use crate::core::Restored;
use crate::core::change::{Change, NumberKey, OriginalKey};
use crate::core::operations::{OperationFilter, OperationRow};
use crate::core::types::JobFilter;
use crate::core::webhooks::{AnnouncementRow, DeliveryRow, WebhookRow};

pub mod backup;
mod commit;
mod guard;
mod lists;
mod log;
mod operations;
mod rechain;
mod rekey;
mod restore;
mod rows;
mod tables;
#[cfg(test)]
mod tests;
mod unseen;
mod webhooks;
mod writer;

use guard::Guard;
use log::Log;
use tables::Tables;
use unseen::{HalfWay, Unseen, WAITS};
use writer::Writer;

/// Readers beside the writer: lists and single jobs are short, and two cores serve no more at once.
const READERS: u32 = 4;
/// How long a reader waits for a lock, seconds. With a write-ahead log readers never wait for the writer, only for a checkpoint.
const BUSY_S: u64 = 10;
/// How long an opening waits for a process that is ending.
const LOCK: Duration = Duration::from_secs(5);

/// The log is cut when it has grown by so much, bytes: a start that follows a loss of power reads no more than about that.
const CUT_BYTES: usize = 32 << 20;
/// …and when nothing was committed for so long: whoever copies the files of a broker at rest finds everything in the tables.
const REST: Duration = Duration::from_secs(5);
/// Pages of the write-ahead log of the tables, from which on the writer itself brings them back; the keeper begins earlier.
const CHECKPOINT_PAGES: &str = "16384";
/// Memory for pages that a transaction changes, KiB (negative: SQLite's way to say so). What does not fit is written early.
const CACHE: &str = "-32768";

/// A store in one SQLite file, and the log beside it.
#[derive(Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    /// For what the next decisions need, while the writer is busy with the last ones.
    lookup: Mutex<SqliteConnection>,
    readers: SqlitePool,
    ledger: String,
    ancestors: Vec<String>,
    vault: Vault,
    /// Dropped, it ends the keeper.
    stop: watch::Sender<()>,
    keeper: JoinHandle<()>,
}

/// What the store and its keeper both use.
#[derive(Debug)]
struct Shared {
    file: PathBuf,
    /// Whoever holds this may wait for the tables, and nobody the other way round.
    writer: Mutex<Writer>,
    tables: Arc<Mutex<Tables>>,
    unseen: Arc<std::sync::Mutex<Unseen>>,
    /// Something was committed.
    written: Notify,
    /// Held as long as the store is open.
    _lock: File,
}

impl SqliteStore {
    /// Opens `sqlite:/path/file.db`; makes the file and its tables if they are not there, and enters what its log holds more than
    /// they.
    ///
    /// # Errors
    /// The files cannot be opened, another process has them, they do not belong together, or a newer version wrote them.
    pub async fn open(url: &str) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_with(url, Vault::default()).await
    }

    /// As [`SqliteStore::open`]; contents are sealed and opened with these keys.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], or a content is sealed with another key.
    pub async fn open_with(url: &str, vault: Vault) -> Result<SqliteStore, StoreError> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("cache_size", CACHE)
            // What a savepoint would have to take back: no file is worth that.
            .pragma("temp_store", "MEMORY")
            .busy_timeout(busy())
            .disable_statement_logging();
        let file = options.get_filename().to_owned();
        let lock = lock(&file).await?;
        private(&file)?;
        let mut connection = options.connect().await?;
        schema::sqlite()
            .run(&mut connection)
            .await
            .map_err(|error| StoreError::Damaged(format!("the tables cannot be brought up to date: {error}")))?;
        rechain::to_version_2(&mut connection).await?;
        // If we stop between making the tables and naming the ledger, the next start names it: nothing refers to a name before.
        let fresh = fresh_ledger();
        sqlx::query("INSERT INTO meta (name, value) VALUES ('ledger', ?1) ON CONFLICT DO NOTHING")
            .bind(fresh)
            .execute(&mut connection)
            .await?;
        let ledger: String =
            sqlx::query_scalar("SELECT value FROM meta WHERE name = 'ledger'").fetch_one(&mut connection).await?;
        let moved: Option<String> =
            sqlx::query_scalar("SELECT value FROM meta WHERE name = 'moved_to'").fetch_optional(&mut connection).await?;
        if moved.is_some() {
            return Err(StoreError::Damaged(
                "this ledger was moved to PostgreSQL and lives there; nothing is issued from here".to_owned(),
            ));
        }
        let ancestors: Option<String> =
            sqlx::query_scalar("SELECT value FROM meta WHERE name = 'ancestors'").fetch_optional(&mut connection).await?;
        let ancestors = ancestors.map_or(Ok(Vec::new()), |text| json("ancestors of the ledger", &text))?;
        let applied: i64 = sqlx::query_scalar("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'applied'")
            .fetch_one(&mut connection)
            .await?;
        // All until here is on the medium. From here on the log is what makes a commit durable, not the tables.
        sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut connection).await?;
        let mut log = Log::open(&log::beside(&file), &ledger, applied).await?;
        let unseen = Arc::new(std::sync::Mutex::new(Unseen::after(applied)));
        let mut tables = Tables::new(connection, applied, Arc::clone(&unseen), vault.clone());
        tables.catch_up(&mut log).await?;
        let options = options.read_only(true);
        let lookup = Mutex::new(options.connect().await?);
        let guard = Guard::new(options.connect().await?).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options);
        let (tables, written) = (Arc::new(Mutex::new(tables)), Notify::new());
        let writer = Mutex::new(Writer::new(log, guard, Arc::clone(&tables), Arc::clone(&unseen), vault.clone()));
        let shared = Arc::new(Shared { file, writer, tables, unseen, written, _lock: lock });
        let (stop, stopped) = watch::channel(());
        let keeper = tokio::spawn(keep(Arc::clone(&shared), stopped));
        Ok(SqliteStore { shared, lookup, readers, ledger, ancestors, vault, stop, keeper })
    }

    /// Closes the connections and leaves everything in the one file, on the medium.
    ///
    /// # Errors
    /// It cannot be written there; what was committed is in the log.
    pub async fn close(self) -> Result<(), StoreError> {
        let SqliteStore { shared, lookup, readers, stop, keeper, .. } = self;
        drop(stop);
        // It never panics, and nobody else ends it.
        let _ = keeper.await;
        readers.close().await;
        lookup.into_inner().close().await?;
        let Some(Shared { writer, tables, unseen, .. }) = Arc::into_inner(shared) else { return Ok(()) };
        let (guard, mut log) = writer.into_inner().into_parts();
        guard.close().await?;
        let Some(tables) = Arc::into_inner(tables) else { return Ok(()) };
        let mut tables = tables.into_inner();
        let mut in_the_file = false;
        if unseen::lock(&unseen).whole().is_ok() {
            tables.settle().await?;
            // It flushes both before it empties the write-ahead log; busy: somebody beside us still reads from that.
            let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut tables.connection).await?;
            in_the_file = busy == 0;
        }
        let applied = tables.applied();
        tables.into_connection().close().await?;
        if in_the_file {
            log.cut(applied).await?;
        }
        log.close().await
    }

    /// The readers, once they see all that was committed.
    async fn readers(&self) -> Result<&SqlitePool, StoreError> {
        let any = {
            let unseen = self.unseen();
            unseen.whole()?;
            unseen.any()
        };
        if any {
            // A task of its own: a caller who hangs up must not break it off half-way.
            let shared = Arc::clone(&self.shared);
            let settled = tokio::spawn(async move { shared.tables.lock().await.settle().await }).await;
            settled.map_err(|error| StoreError::Stale(format!("a commit was cut off: {error}")))??;
        }
        Ok(&self.readers)
    }

    fn unseen(&self) -> MutexGuard<'_, Unseen> {
        unseen::lock(&self.shared.unseen)
    }
}

impl Shared {
    /// Brings the tables on, if something has waited long enough, and cuts a log that is long, or at rest. True: nothing is left
    /// to do.
    async fn tend(&self, rest: bool) -> Result<bool, StoreError> {
        let due = unseen::lock(&self.unseen).is_due();
        let applied = {
            let mut tables = self.tables.lock().await;
            if due {
                tables.settle().await?;
            }
            tables.applied()
        };
        let bytes = self.writer.lock().await.bytes();
        if bytes < CUT_BYTES && !(rest && bytes > 0) {
            // What came while the log was cut is not in its bytes.
            return Ok(bytes == 0 && !unseen::lock(&self.unseen).any());
        }
        // Meanwhile commits go on; what they write leaves the log another time.
        flush_wal(self.file.clone()).await?;
        let mut checkpoint = SqliteConnectOptions::new()
            .filename(&self.file)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(busy())
            .disable_statement_logging()
            .connect()
            .await?;
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut checkpoint).await?;
        checkpoint.close().await?;
        self.writer.lock().await.cut(applied).await?;
        Ok(rest)
    }
}

/// Brings the tables on, after whatever was committed.
async fn keep(shared: Arc<Shared>, mut stopped: watch::Receiver<()>) {
    loop {
        let mut since = tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = shared.written.notified() => Instant::now(),
        };
        loop {
            tokio::select! {
                biased;
                _ = stopped.changed() => return,
                () = shared.written.notified() => since = Instant::now(),
                () = tokio::time::sleep(WAITS) => {}
            }
            match shared.tend(since.elapsed() >= REST).await {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => {
                    tracing::error!(%error, "the tables cannot be brought up to the log; nothing more is answered");
                    drop(HalfWay::on(&shared.unseen));
                    return;
                }
            }
        }
    }
}

/// What was written to the tables so far is on the medium when this returns: what is not in their write-ahead log any more,
/// SQLite has flushed before it took it from there (`synchronous=NORMAL`).
///
/// The file itself is never opened beside SQLite: closing it would take from this process all of SQLite's locks on it (POSIX),
/// and another process, a `backup` that ends, would take itself for the last one and remove the write-ahead log under us.
async fn flush_wal(file: PathBuf) -> Result<(), StoreError> {
    let mut wal = file.into_os_string();
    wal.push("-wal");
    let flushed = tokio::task::spawn_blocking(move || match File::open(&wal) {
        Ok(wal) => wal.sync_data(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    });
    flushed.await.map_err(std::io::Error::other).flatten().map_err(|error| StoreError::Database(sqlx::Error::Io(error)))
}

/// The right to have the file open, for one process.
async fn lock(file: &Path) -> Result<File, StoreError> {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    let broken = |error: std::io::Error| StoreError::Database(sqlx::Error::Io(error));
    let lock = File::options().write(true).create(true).truncate(false).open(&name).map_err(broken)?;
    let end = Instant::now() + LOCK;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(std::fs::TryLockError::Error(error)) => return Err(broken(error)),
            // Whoever had it may be ending.
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < end => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(StoreError::Damaged(format!("{} is in use by another process; nothing was changed", file.display())));
            }
        }
    }
}

fn busy() -> Duration {
    Duration::from_secs(BUSY_S)
}

/// Makes a file that is not there for its owner alone; SQLite gives what it makes beside it the same mode.
fn private(file: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = File::options().write(true).create_new(true).mode(0o600).open(file);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(StoreError::Database(sqlx::Error::Io(error))),
        _ => Ok(()),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let done = self.shared.writer.lock().await.commit(changes).await;
        self.shared.written.notify_one();
        done
    }

    /// False once the tables could not be written: what is committed is in the log, and the next start enters it.
    fn leads(&self) -> bool {
        self.unseen().whole().is_ok()
    }

    async fn restore(&self) -> Result<Restored, StoreError> {
        let mut tables = self.shared.tables.lock().await;
        tables.settle().await?;
        restore::restore(&mut tables.connection, &self.vault).await
    }

    fn ledger(&self) -> &str {
        &self.ledger
    }

    fn ancestors(&self) -> &[String] {
        &self.ancestors
    }

    async fn jobs_by_key(&self, keys: &[JobKey]) -> Result<HashMap<JobKey, Arc<Job>>, StoreError> {
        // First what the connection does not see yet: it sees what is gone from there.
        let mut jobs: HashMap<JobKey, Arc<Job>> = {
            let unseen = self.unseen();
            keys.iter().filter_map(|key| Some((key.clone(), unseen.job(key)?.clone()))).collect()
        };
        let wanted = keys.iter().filter(|key| !jobs.contains_key(*key));
        let wanted: Vec<[&str; 2]> = wanted.map(|key| [key.seller.as_str(), key.serial.as_str()]).collect();
        if wanted.is_empty() {
            return Ok(jobs);
        }
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT jobs.body FROM json_each(?1) AS wanted CROSS JOIN jobs \
             ON jobs.seller = wanted.value ->> 0 AND jobs.serial = wanted.value ->> 1",
        )
        .bind(text(&wanted))
        .fetch_all(&mut *self.lookup.lock().await)
        .await?;
        for body in rows {
            let job = self.vault.job(&body)?;
            jobs.insert(job.key.clone(), Arc::new(job));
        }
        Ok(jobs)
    }

    async fn number_owners(&self, numbers: &[NumberKey]) -> Result<HashMap<NumberKey, Owner>, StoreError> {
        let mut owners: HashMap<NumberKey, Owner> = {
            let unseen = self.unseen();
            numbers.iter().filter_map(|number| Some((number.clone(), unseen.owner(number)?.clone()))).collect()
        };
        let others: Vec<&NumberKey> = numbers.iter().filter(|number| !owners.contains_key(*number)).collect();
        owners.extend(guard::owners(&mut *self.lookup.lock().await, &others).await?);
        Ok(owners)
    }

    async fn jobs_about(&self, originals: &[OriginalKey]) -> Result<HashMap<OriginalKey, Vec<Arc<Job>>>, StoreError> {
        if originals.is_empty() {
            return Ok(HashMap::new());
        }
        self.readers().await?;
        let wanted: Vec<[String; 4]> = originals
            .iter()
            .map(|key| [key.seller.to_string(), key.kind.to_string(), key.pair.code.to_string(), key.pair.number.to_string()])
            .collect();
        // The expressions are those of the index `jobs_about`, word for word.
        let rows = sqlx::query(
            "SELECT wanted.key, jobs.body FROM json_each(?1) AS wanted CROSS JOIN jobs INDEXED BY jobs_about \
             ON jobs.seller = wanted.value ->> 0 AND json_extract(jobs.body, '$.kind') = wanted.value ->> 1 \
             AND json_extract(jobs.body, '$.original.code') = wanted.value ->> 2 \
             AND json_extract(jobs.body, '$.original.number') = wanted.value ->> 3 \
             WHERE json_extract(jobs.body, '$.original.code') IS NOT NULL",
        )
        .bind(text(&wanted))
        .fetch_all(&mut *self.lookup.lock().await)
        .await?;
        let mut about: HashMap<OriginalKey, Vec<Arc<Job>>> = HashMap::new();
        for row in rows {
            let index = usize::try_from(row.try_get::<i64, _>(0)?).map_err(|error| damaged("original", error))?;
            let job = Arc::new(self.vault.job(row.try_get(1)?)?);
            if let Some(key) = originals.get(index) {
                let jobs = about.entry(key.clone()).or_default();
                // The same original may have been asked for twice.
                if !jobs.iter().any(|known| known.key == job.key) {
                    jobs.push(job);
                }
            }
        }
        Ok(about)
    }

    async fn operations(&self, filter: &OperationFilter, limit: u32) -> Result<Vec<OperationRow>, StoreError> {
        self.operation_page(filter, limit).await
    }

    async fn job(&self, key: &JobKey) -> Result<Option<Arc<Job>>, StoreError> {
        if let Some(job) = self.unseen().job(key) {
            return Ok(Some(job.clone()));
        }
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM jobs WHERE seller = ?1 AND serial = ?2")
            .bind(key.seller.as_str())
            .bind(key.serial.as_str())
            .fetch_optional(&self.readers)
            .await?;
        body.map(|body| self.vault.job(&body).map(Arc::new)).transpose()
    }

    async fn jobs(&self, filter: &JobFilter, cursor: Option<&str>, limit: u32) -> Result<Page, StoreError> {
        self.job_page(filter, cursor, limit).await
    }

    async fn events(&self, key: &JobKey) -> Result<Vec<Event>, StoreError> {
        let rows =
            sqlx::query("SELECT body, content FROM events WHERE seller = ?1 AND serial = ?2 AND serial <> '' ORDER BY sequence")
                .bind(key.seller.as_str())
                .bind(key.serial.as_str())
                .fetch_all(self.readers().await?)
                .await?;
        rows.iter().map(|row| self.vault.event(row.try_get(0)?, row.try_get(1)?)).collect()
    }

    async fn evidence(&self, key: &JobKey) -> Result<Vec<EvidenceView>, StoreError> {
        let rows = sqlx::query(
            "SELECT body, content FROM events WHERE seller = ?1 AND serial = ?2 AND serial <> '' AND what = 'evidence' \
             ORDER BY sequence DESC LIMIT ?3",
        )
        .bind(key.seller.as_str())
        .bind(key.serial.as_str())
        .bind(EVIDENCE_VIEWS)
        .fetch_all(self.readers().await?)
        .await?;
        let events: Result<Vec<Event>, StoreError> =
            rows.iter().rev().map(|row| self.vault.event(row.try_get(0)?, row.try_get(1)?)).collect();
        Ok(events?.into_iter().filter_map(evidence_view).collect())
    }

    async fn announcements(&self, after: u64, limit: u32) -> Result<Vec<AnnouncementRow>, StoreError> {
        self.announcements_after(after, limit).await
    }

    async fn last_announcement(&self) -> Result<u64, StoreError> {
        self.announcement_tip().await
    }

    async fn webhooks(&self) -> Result<(Vec<WebhookRow>, Vec<DeliveryRow>), StoreError> {
        self.all_webhooks().await
    }

    async fn deliveries(&self, webhook: &str, filter: &DeliveryFilter, limit: u32) -> Result<Vec<DeliveryRow>, StoreError> {
        self.delivery_page(webhook, filter, limit).await
    }

    async fn chains(&self) -> Result<Vec<Head>, StoreError> {
        let rows = sqlx::query(
            "SELECT events.seller, events.sequence, events.hash FROM events JOIN (SELECT seller, max(sequence) AS sequence FROM events \
             GROUP BY seller) AS last ON last.seller = events.seller AND last.sequence = events.sequence",
        )
        .fetch_all(self.readers().await?)
        .await?;
        rows.iter().map(|row| Ok(Head { seller: row.try_get(0)?, sequence: row.try_get(1)?, hash: row.try_get(2)? })).collect()
    }

    async fn entries(&self, seller: &str, after: i64, limit: u32) -> Result<Vec<StoredEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT sequence, at, serial, revision, what, body, content, content_hash, hash FROM events \
             WHERE seller = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
        )
        .bind(seller)
        .bind(after)
        .bind(limit)
        .fetch_all(self.readers().await?)
        .await?;
        let entry = |row: &SqliteRow| {
            Ok(StoredEntry {
                seller: seller.to_owned(),
                sequence: row.try_get(0)?,
                at: row.try_get(1)?,
                serial: row.try_get(2)?,
                revision: row.try_get(3)?,
                what: row.try_get(4)?,
                body: row.try_get(5)?,
                content: self.vault.open_content(row.try_get(6)?)?.map(Cow::into_owned),
                content_hash: row.try_get(7)?,
                hash: row.try_get(8)?,
            })
        };
        rows.iter().map(entry).collect()
    }

    async fn verify(&self, seller: Option<&TaxpayerNumber>) -> Result<Verified, StoreError> {
        /// Entries read at a time.
        const STEP: i64 = 1000;
        let seller = seller.map_or("", TaxpayerNumber::as_str);
        let mut checker = chain::Checker::default();
        loop {
            let rows = sqlx::query(
                "SELECT sequence, at, serial, revision, what, body, content, content_hash, hash FROM events \
                 WHERE seller = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
            )
            .bind(seller)
            .bind(checker.head.0)
            .bind(STEP)
            .fetch_all(self.readers().await?)
            .await?;
            if rows.is_empty() {
                return Ok(checker.whole());
            }
            for row in &rows {
                let entry = chain::Entry {
                    seller,
                    sequence: row.try_get(0)?,
                    at: row.try_get(1)?,
                    serial: row.try_get(2)?,
                    revision: row.try_get(3)?,
                    what: row.try_get(4)?,
                    body: row.try_get(5)?,
                    content_hash: row.try_get(7)?,
                };
                let content = self.vault.open_content(row.try_get(6)?)?;
                if !checker.fits(&chain::Row { entry, content: content.as_deref(), hash: row.try_get(8)? }) {
                    return Ok(checker.broken());
                }
            }
        }
    }
}
