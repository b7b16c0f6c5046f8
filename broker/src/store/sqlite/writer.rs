//! The one that writes: tables first, under their guards; then the log, durably; then the answer.
//!
//! The tables stay in one transaction over many commits, so that a page that changes often is written once.
//! [`Writer::settle`] ends it, when somebody wants to read what is in it or after a moment; that writes to the system's cache
//! only. What a loss of power takes from there is in the log, and a start enters it again ([`Writer::catch_up`]).
//!
//! What it refuses to do: to go on after anything failed half-way. Nobody knows then what is durable; the next start reads it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::Job;
use taxdisk_protocol::link::Owner;

use super::super::StoreError;
use super::super::fold::Head;
use super::super::vault::Vault;
use super::commit;
use super::log::{self, Log, Logged};
use crate::core::change::{Change, NumberKey, NumberRow};
use crate::fault;

/// The tables' transaction is ended after this time at the latest: no reader waits for more than that to be written.
pub(super) const OPEN: Duration = Duration::from_millis(250);

/// What is committed and in a transaction that is still open, so that other connections do not see it: for those who look up
/// single jobs and numbers.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    pub(super) jobs: HashMap<JobKey, Arc<Job>>,
    pub(super) numbers: HashMap<NumberKey, Owner>,
    /// There is more than that.
    pub(super) any: bool,
}

impl Unseen {
    fn take(&mut self, changes: &[Change]) {
        self.any |= !changes.is_empty();
        for change in changes {
            match change {
                Change::Job { job, .. } => drop(self.jobs.insert(job.key.clone(), job.clone())),
                Change::Number(NumberRow { key, owner, .. }) => drop(self.numbers.insert(key.clone(), owner.clone())),
                _ => {}
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    /// To the tables. Every commit of it reaches the system, not the medium.
    pub(super) connection: SqliteConnection,
    log: Log,
    /// Last entry of each chain that was written to.
    heads: HashMap<String, Head>,
    /// When the tables' transaction was begun, if one is open.
    open: Option<Instant>,
    /// The last entry of the log that an ended transaction holds.
    applied: i64,
    /// Something failed, or was broken off, half-way.
    broken: bool,
    unseen: Arc<Mutex<Unseen>>,
    vault: Vault,
}

impl Writer {
    /// Over tables that hold all entries of the log up to `applied`.
    pub(super) fn new(connection: SqliteConnection, log: Log, applied: i64, unseen: Arc<Mutex<Unseen>>, vault: Vault) -> Writer {
        Writer { connection, log, heads: HashMap::new(), open: None, applied, broken: false, unseen, vault }
    }

    /// Enters what the log holds and the tables do not.
    ///
    /// # Errors
    /// An entry cannot be read, or does not follow from the tables.
    pub(super) async fn catch_up(&mut self) -> Result<(), StoreError> {
        let mut entries = 0_u64;
        let mut at = self.applied;
        while let Some(logged) = self.log.after(at, &self.vault).await? {
            let changes = self.changes(logged).await?;
            self.begin().await?;
            let drafts = commit::drafts(&changes, &self.vault)?;
            let mut heads = commit::heads(&mut self.connection, &self.heads, &drafts).await?;
            commit::write(&mut self.connection, &changes, drafts, &mut heads, &self.vault).await?;
            self.heads.extend(heads);
            entries += 1;
            at += 1;
        }
        if entries > 0 {
            self.settle().await?;
            tracing::info!(entries, "what the tables had not yet on the medium was entered from the log");
        }
        Ok(())
    }

    /// The jobs of an entry, as they are after its events.
    async fn changes(&mut self, logged: Vec<Logged>) -> Result<Vec<Change>, StoreError> {
        let (mut changes, mut jobs) = (Vec::new(), HashMap::<JobKey, Arc<Job>>::new());
        for one in logged {
            let (key, event) = match one {
                Logged::Change(change) => {
                    changes.push(change);
                    continue;
                }
                Logged::Event(key, event) => (key, event),
            };
            let known = match jobs.get(&key) {
                Some(job) => Some(job.clone()),
                None => self.job(&key).await?.map(Arc::new),
            };
            let job = match known {
                None => Job::accept(&event),
                Some(job) => {
                    let mut job = Arc::unwrap_or_clone(job);
                    job.advance(&event).map(|_| job)
                }
            };
            let job = job.map_err(|error| StoreError::Damaged(format!("an event of the log does not follow: {error}")))?;
            let job = Arc::new(job);
            jobs.insert(key, job.clone());
            changes.push(Change::Job { job, event });
        }
        Ok(changes)
    }

    async fn job(&mut self, key: &JobKey) -> Result<Option<Job>, StoreError> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM jobs WHERE seller = ?1 AND serial = ?2")
            .bind(key.seller.as_str())
            .bind(key.serial.as_str())
            .fetch_optional(&mut self.connection)
            .await?;
        body.map(|body| self.vault.job(&body)).transpose()
    }

    /// All or nothing, durable when it returns.
    ///
    /// # Errors
    /// `Stale`: a guard does not hold, and nothing was kept. Anything else: nobody knows.
    pub(super) async fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.whole()?;
        let drafts = commit::drafts(changes, &self.vault)?;
        let entry = log::encode(changes, &drafts, &self.vault)?;
        let mut heads = commit::heads(&mut self.connection, &self.heads, &drafts).await?;
        self.begin().await?;
        // Whoever breaks this off in the middle leaves it so.
        self.broken = true;
        self.run("SAVEPOINT one").await?;
        if let Err(error) = commit::write(&mut self.connection, changes, drafts, &mut heads, &self.vault).await {
            self.run("ROLLBACK TO one").await?;
            self.run("RELEASE one").await?;
            self.broken = !matches!(error, StoreError::Stale(_));
            return Err(error);
        }
        self.run("RELEASE one").await?;
        fault::point("before_log");
        self.log.append(&entry).await?;
        self.broken = false;
        self.heads.extend(heads);
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner).take(changes);
        // What ended would still be shown from memory.
        if changes.iter().any(|change| matches!(change, Change::EndContents(_) | Change::EndContentsOf(_))) {
            self.settle().await?;
        }
        Ok(())
    }

    /// Ends the tables' transaction, so that everybody sees what is in it.
    ///
    /// # Errors
    /// It cannot be ended: nothing more is written or read.
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        self.whole()?;
        if self.open.is_none() {
            return Ok(());
        }
        self.broken = true;
        let applied = self.log.last();
        sqlx::query("UPDATE meta SET value = ?1 WHERE name = 'applied'")
            .bind(applied.to_string())
            .execute(&mut self.connection)
            .await?;
        fault::point("before_settle");
        self.run("COMMIT").await?;
        fault::point("after_settle");
        (self.broken, self.open, self.applied) = (false, None, applied);
        *self.unseen.lock().unwrap_or_else(PoisonError::into_inner) = Unseen::default();
        Ok(())
    }

    /// Nothing failed half-way.
    pub(super) fn is_whole(&self) -> bool {
        !self.broken
    }

    /// A transaction is open for longer than it may be.
    pub(super) fn is_due(&self) -> bool {
        self.open.is_some_and(|since| since.elapsed() >= OPEN)
    }

    /// The last entry of the log that an ended transaction holds, and the bytes of the log since it was last cut.
    pub(super) fn applied(&self) -> (i64, usize) {
        (self.applied, self.log.bytes())
    }

    /// Takes away what the tables hold on the medium.
    pub(super) async fn cut(&mut self, applied: i64) -> Result<(), StoreError> {
        fault::point("before_cut");
        self.log.cut(applied).await?;
        fault::point("after_cut");
        Ok(())
    }

    /// Gives the connections back; the transaction is ended.
    pub(super) fn into_parts(self) -> (SqliteConnection, Log) {
        (self.connection, self.log)
    }

    /// `synchronous` and journal of the log.
    #[cfg(test)]
    pub(super) async fn log_mode(&mut self) -> (i64, String) {
        self.log.mode().await
    }

    fn whole(&self) -> Result<(), StoreError> {
        if self.is_whole() { Ok(()) } else { Err(StoreError::Stale("an earlier commit was not completed".to_owned())) }
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        if self.open.is_none() {
            self.run("BEGIN IMMEDIATE").await?;
            self.open = Some(Instant::now());
        }
        Ok(())
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql).execute(&mut self.connection).await?;
        Ok(())
    }
}
