//! The tables, behind the log: they take what waits ([`Unseen`]) in one transaction over many commits, so that a row that changes
//! often, and a page that holds many, is written once.
//!
//! What they refuse to do: to go on after anything failed half-way. What was told is in the log; the next start enters it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sqlx::sqlite::SqliteConnection;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::Job;

use super::super::StoreError;
use super::super::chain::Draft;
use super::super::fold::Head;
use super::super::vault::Vault;
use super::commit;
use super::log::{Log, Logged};
use super::unseen::{HalfWay, Unseen, lock};
use crate::core::change::Change;
use crate::fault;

/// The connection that writes into the tables. What it commits reaches the system, not the medium.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) connection: SqliteConnection,
    /// The last entry of the log that they hold.
    applied: i64,
    unseen: Arc<Mutex<Unseen>>,
    vault: Vault,
}

impl Tables {
    /// Tables that hold all entries of the log up to `applied`.
    pub(super) fn new(connection: SqliteConnection, applied: i64, unseen: Arc<Mutex<Unseen>>, vault: Vault) -> Tables {
        Tables { connection, applied, unseen, vault }
    }

    /// Enters what the log holds and they do not.
    ///
    /// # Errors
    /// An entry cannot be read, or does not follow from the tables.
    pub(super) async fn catch_up(&mut self, log: &mut Log) -> Result<(), StoreError> {
        let (from, mut at, mut heads) = (self.applied, self.applied, HashMap::new());
        while let Some(logged) = log.after(at, &self.vault).await? {
            if at == from {
                self.run("BEGIN IMMEDIATE").await?;
            }
            let changes = self.changes(logged).await?;
            let drafts = commit::drafts(&changes, &self.vault)?;
            let mut next = commit::heads(&mut self.connection, &heads, &drafts).await?;
            commit::write(&mut self.connection, &changes, drafts, &mut next, &self.vault).await?;
            heads.extend(next);
            at += 1;
        }
        if at > from {
            self.end(at).await?;
            tracing::info!(entries = at - from, "what the tables had not yet on the medium was entered from the log");
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

    /// Takes what waits; everybody sees it when this returns.
    ///
    /// # Errors
    /// It cannot be written, or a guard of the tables does not hold: nothing more is written or read.
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        let given = {
            let mut unseen = lock(&self.unseen);
            unseen.whole()?;
            unseen.give()
        };
        let Some((rows, last)) = given else { return Ok(()) };
        let half_way = HalfWay::on(&self.unseen);
        self.run("BEGIN IMMEDIATE").await?;
        rows.write(&mut self.connection, &self.vault).await?;
        self.end(last).await?;
        half_way.passed();
        Ok(())
    }

    /// Takes a commit whose guards only they can judge, and then the log, durably. Everybody sees it when this returns.
    ///
    /// # Errors
    /// `Stale`: a guard does not hold, and nothing was kept. Anything else: nobody knows.
    pub(super) async fn write(
        &mut self,
        changes: &[Change],
        drafts: Vec<Option<Draft<'_>>>,
        heads: &mut HashMap<String, Head>,
        (log, entry): (&mut Log, &str),
    ) -> Result<(), StoreError> {
        self.settle().await?;
        let half_way = HalfWay::on(&self.unseen);
        self.run("BEGIN IMMEDIATE").await?;
        if let Err(error) = commit::write(&mut self.connection, changes, drafts, heads, &self.vault).await {
            self.run("ROLLBACK").await?;
            if matches!(error, StoreError::Stale(_)) {
                half_way.passed();
            }
            return Err(error);
        }
        fault::point("before_log");
        log.append(entry).await?;
        self.end(log.last()).await?;
        half_way.passed();
        Ok(())
    }

    /// Ends a transaction that holds the log up to this entry.
    async fn end(&mut self, applied: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE meta SET value = ?1 WHERE name = 'applied'")
            .bind(applied.to_string())
            .execute(&mut self.connection)
            .await?;
        fault::point("before_settle");
        self.run("COMMIT").await?;
        fault::point("after_settle");
        self.applied = applied;
        lock(&self.unseen).shown(applied);
        Ok(())
    }

    /// The last entry of the log that they hold.
    pub(super) fn applied(&self) -> i64 {
        self.applied
    }

    /// Gives the connection back.
    pub(super) fn into_connection(self) -> SqliteConnection {
        self.connection
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql).execute(&mut self.connection).await?;
        Ok(())
    }
}
