//! The store to scale and to fail over: PostgreSQL 15 or newer, every commit flushed (`synchronous_commit` on, `fsync` on;
//! checked, or the store is refused).
//!
//! Several brokers share one database, and one of them leads ([`lease`]): it alone has a [`PostgresStore`], and every commit
//! checks in its own transaction that its term is still the last one. One connection writes; a few read beside it. A commit is a
//! handful of statements however many changes it holds: the rows of a table travel as arrays.
//!
//! Every wait has a bound, on the server and here. A commit whose end is not known breaks the store: it takes no more, and the
//! broker throws away what it has in memory and reads again what is durable.
//!
//! Read first: [`Database`], [`PostgresStore`], [`lease::Lease`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Connection, Postgres, QueryBuilder, Row};
use taxdisk_protocol::api::EvidenceView;
use taxdisk_protocol::chain::StoredEntry;
use taxdisk_protocol::ids::{JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Event, Job};
use taxdisk_protocol::link::Owner;
use tokio::sync::Mutex;

use super::chain::{self, Verified};
use super::encoding::{damaged, json, word};
use super::fold;
use super::vault::Vault;
use super::{DeliveryFilter, EVIDENCE_VIEWS, Head, PAGE_JOBS, Page, Store, StoreError, evidence_view, fresh_ledger};
use crate::core::Restored;
use crate::core::change::{Change, NumberKey, OriginalKey};
use crate::core::operations::{OperationFilter, OperationRow};
use crate::core::types::JobFilter;
use crate::core::webhooks::{AnnouncementRow, DeliveryRow, WebhookRow};

mod back;
mod commit;
mod database;
mod hosts;
mod hot;
pub mod lease;
mod operations;
mod rekey;
mod restore;
#[cfg(test)]
pub(super) mod tests;
mod webhooks;

pub(super) use commit::fenced;
pub use database::Database;
use database::bounded;
use lease::Lease;

/// Connections for readers beside the writer's.
const READERS: u32 = 8;
/// A read that takes longer has lost its server. The server's own bound is shorter.
const READ: Duration = Duration::from_secs(20);

/// The store of the broker that leads.
#[derive(Debug)]
pub struct PostgresStore {
    writer: Mutex<Writer>,
    /// For what the next decisions need, while the writer is busy with the last ones.
    lookup: Mutex<PgConnection>,
    readers: PgPool,
    lease: Arc<Lease>,
    ledger: String,
    ancestors: Vec<String>,
    vault: Vault,
}

/// The connection that writes.
#[derive(Debug)]
struct Writer {
    connection: PgConnection,
    lease: Arc<Lease>,
    /// Last entry of each chain that was written to. Nobody else writes while the term holds.
    heads: HashMap<String, fold::Head>,
    /// A commit ended in a way that nobody knows.
    broken: bool,
    vault: Vault,
    #[cfg(test)]
    stall: Option<tests::Stall>,
}

impl PostgresStore {
    /// The store of the holder of `lease`.
    ///
    /// # Errors
    /// The database failed, or its tables are of a newer version.
    pub async fn open(database: &Database, lease: Arc<Lease>) -> Result<PostgresStore, StoreError> {
        PostgresStore::open_with(database, lease, Vault::default()).await
    }

    /// As [`PostgresStore::open`]; contents are sealed and opened with these keys.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn open_with(database: &Database, lease: Arc<Lease>, vault: Vault) -> Result<PostgresStore, StoreError> {
        // On the server where the lead was taken, and on no other: what another one says may be old.
        let server = lease.server();
        let mut connection = database.open_at(server).await?;
        database::migrate(&mut connection).await?;
        let (ledger, ancestors) = bounded(READ, name(&mut connection)).await?;
        let writer = Writer {
            connection,
            lease: lease.clone(),
            heads: HashMap::new(),
            broken: false,
            vault: vault.clone(),
            #[cfg(test)]
            stall: None,
        };
        let lookup = Mutex::new(database.open_at(server).await?);
        Ok(PostgresStore {
            writer: Mutex::new(writer),
            lookup,
            readers: database.readers(READERS, server),
            lease,
            ledger,
            ancestors,
            vault,
        })
    }

    /// Closes the connections.
    ///
    /// # Errors
    /// The database failed; nothing is lost by it.
    pub async fn close(self) -> Result<(), StoreError> {
        bounded(READ, async {
            self.readers.close().await;
            self.lookup.into_inner().close().await?;
            self.writer.into_inner().connection.close().await
        })
        .await
    }
}

/// The ledger's name, and those that it had before. If we stop between making the tables and naming the ledger, the next leader
/// names it: nothing refers to a name before.
async fn name(connection: &mut PgConnection) -> Result<(String, Vec<String>), StoreError> {
    sqlx::query("INSERT INTO meta (name, value) VALUES ('ledger', $1) ON CONFLICT DO NOTHING")
        .bind(fresh_ledger())
        .execute(&mut *connection)
        .await?;
    // Version 1 was never released for this store.
    sqlx::query(
        "INSERT INTO meta (name, value) SELECT 'chain', $1 WHERE NOT EXISTS (SELECT 1 FROM events) ON CONFLICT DO NOTHING",
    )
    .bind(chain::VERSION)
    .execute(&mut *connection)
    .await?;
    let of = "SELECT value FROM meta WHERE name = $1";
    let version: Option<String> = sqlx::query_scalar(of).bind("chain").fetch_optional(&mut *connection).await?;
    if version.as_deref() != Some(chain::VERSION) {
        return Err(StoreError::Damaged(format!("chains of version {version:?} are not known to this program")));
    }
    let ancestors: Option<String> = sqlx::query_scalar(of).bind("ancestors").fetch_optional(&mut *connection).await?;
    let ancestors = ancestors.map_or(Ok(Vec::new()), |text| json("ancestors of the ledger", &text))?;
    Ok((sqlx::query_scalar(of).bind("ledger").fetch_one(connection).await?, ancestors))
}

/// An entry from [`ENTRY`].
fn stored(seller: &str, row: &PgRow, vault: &Vault) -> Result<StoredEntry, StoreError> {
    Ok(StoredEntry {
        seller: seller.to_owned(),
        sequence: row.try_get(0)?,
        at: row.try_get(1)?,
        serial: row.try_get(2)?,
        revision: row.try_get(3)?,
        what: row.try_get(4)?,
        body: row.try_get(5)?,
        content: vault.open_content(row.try_get(6)?)?.map(Cow::into_owned),
        content_hash: row.try_get(7)?,
        hash: hex::encode(row.try_get::<&[u8], _>(8)?),
    })
}

/// Entries of a chain after a sequence.
const ENTRY: &str = "SELECT sequence, at, serial, revision, what, body, content, content_hash, hash FROM events \
                     WHERE seller = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.writer.lock().await.commit(changes).await
    }

    async fn restore(&self) -> Result<Restored, StoreError> {
        restore::restore(&mut self.writer.lock().await.connection, &self.vault).await
    }

    fn leads(&self) -> bool {
        self.lease.holds()
    }

    fn ledger(&self) -> &str {
        &self.ledger
    }

    fn ancestors(&self) -> &[String] {
        &self.ancestors
    }

    async fn jobs_by_key(&self, keys: &[JobKey]) -> Result<HashMap<JobKey, Arc<Job>>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let sellers: Vec<&str> = keys.iter().map(|key| key.seller.as_str()).collect();
        let serials: Vec<&str> = keys.iter().map(|key| key.serial.as_str()).collect();
        let mut lookup = self.lookup.lock().await;
        let rows: Vec<String> = bounded(
            READ,
            sqlx::query_scalar(
                "SELECT jobs.body FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS rows (seller, serial)) \
                 AS wanted JOIN jobs USING (seller, serial)",
            )
            .bind(sellers)
            .bind(serials)
            .fetch_all(&mut *lookup),
        )
        .await?;
        rows.iter().map(|body| self.vault.job(body).map(|job| (job.key.clone(), Arc::new(job)))).collect()
    }

    async fn jobs_about(&self, originals: &[OriginalKey]) -> Result<HashMap<OriginalKey, Vec<Arc<Job>>>, StoreError> {
        if originals.is_empty() {
            return Ok(HashMap::new());
        }
        let column = |text: fn(&OriginalKey) -> String| originals.iter().map(text).collect::<Vec<String>>();
        let mut lookup = self.lookup.lock().await;
        let rows = bounded(
            READ,
            sqlx::query(
                "SELECT wanted.place, jobs.body FROM unnest($1::text[], $2::text[], $3::text[]) \
                 WITH ORDINALITY AS wanted (seller, kind, about, place) JOIN jobs USING (seller, kind, about) \
                 WHERE jobs.about <> ''",
            )
            .bind(column(|key| key.seller.to_string()))
            .bind(column(|key| key.kind.to_string()))
            .bind(column(|key| format!("{} {}", key.pair.code, key.pair.number)))
            .fetch_all(&mut *lookup),
        )
        .await?;
        let mut about: HashMap<OriginalKey, Vec<Arc<Job>>> = HashMap::new();
        for row in rows {
            let place = usize::try_from(row.try_get::<i64, _>(0)?).map_err(|error| damaged("original", error))?;
            let job = Arc::new(self.vault.job(row.try_get(1)?)?);
            if let Some(key) = place.checked_sub(1).and_then(|index| originals.get(index)) {
                let jobs = about.entry(key.clone()).or_default();
                // The same original may have been asked for twice.
                if !jobs.iter().any(|known| known.key == job.key) {
                    jobs.push(job);
                }
            }
        }
        Ok(about)
    }

    async fn number_owners(&self, numbers: &[NumberKey]) -> Result<HashMap<NumberKey, Owner>, StoreError> {
        if numbers.is_empty() {
            return Ok(HashMap::new());
        }
        let column = |text: fn(&NumberKey) -> String| numbers.iter().map(text).collect::<Vec<String>>();
        let mut lookup = self.lookup.lock().await;
        let rows = bounded(
            READ,
            sqlx::query(
                "SELECT wanted.place, numbers.owner FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
                 WITH ORDINALITY AS wanted (disk, kind, code, number, place) JOIN numbers USING (disk, kind, code, number)",
            )
            .bind(column(|key| key.disk.to_string()))
            .bind(column(|key| key.kind.to_string()))
            .bind(column(|key| key.pair.code.to_string()))
            .bind(column(|key| key.pair.number.to_string()))
            .fetch_all(&mut *lookup),
        )
        .await?;
        let mut owners = HashMap::new();
        for row in rows {
            let place = usize::try_from(row.try_get::<i64, _>(0)?).map_err(|error| damaged("number", error))?;
            let owner = json("owner of a number", row.try_get(1)?)?;
            if let Some(key) = place.checked_sub(1).and_then(|index| numbers.get(index)) {
                owners.insert(key.clone(), owner);
            }
        }
        Ok(owners)
    }

    async fn operations(&self, filter: &OperationFilter, limit: u32) -> Result<Vec<OperationRow>, StoreError> {
        bounded(READ, self.operation_page(filter, limit)).await
    }

    async fn job(&self, key: &JobKey) -> Result<Option<Arc<Job>>, StoreError> {
        let body: Option<String> = bounded(
            READ,
            sqlx::query_scalar("SELECT body FROM jobs WHERE seller = $1 AND serial = $2")
                .bind(key.seller.as_str())
                .bind(key.serial.as_str())
                .fetch_optional(&self.readers),
        )
        .await?;
        body.map(|body| self.vault.job(&body).map(Arc::new)).transpose()
    }

    async fn jobs(&self, filter: &JobFilter, cursor: Option<&str>, limit: u32) -> Result<Page, StoreError> {
        let limit = i64::from(limit.clamp(1, PAGE_JOBS));
        let before: i64 = match cursor {
            None => i64::MAX,
            Some(cursor) => cursor.strip_prefix("p").and_then(|place| place.parse().ok()).ok_or(StoreError::Cursor)?,
        };
        let mut query = filtered(filter, before);
        // One more than asked tells whether there is a next page.
        query.push(" ORDER BY place DESC LIMIT ").push_bind(limit + 1);
        let rows = bounded(READ, query.build().fetch_all(&self.readers)).await?;
        let more = rows.len() as i64 > limit;
        let mut page = Page::default();
        for row in rows.iter().take(limit as usize) {
            page.jobs.push(Arc::new(self.vault.job(row.try_get(1)?)?));
            if more {
                page.cursor = Some(format!("p{}", row.try_get::<i64, _>(0)?));
            }
        }
        Ok(page)
    }

    async fn events(&self, key: &JobKey) -> Result<Vec<Event>, StoreError> {
        let rows = bounded(
            READ,
            sqlx::query("SELECT body, content FROM events WHERE seller = $1 AND serial = $2 AND serial <> '' ORDER BY sequence")
                .bind(key.seller.as_str())
                .bind(key.serial.as_str())
                .fetch_all(&self.readers),
        )
        .await?;
        rows.iter().map(|row| self.vault.event(row.try_get(0)?, row.try_get(1)?)).collect()
    }

    async fn evidence(&self, key: &JobKey) -> Result<Vec<EvidenceView>, StoreError> {
        let rows = bounded(
            READ,
            sqlx::query(
                "SELECT body, content FROM events WHERE seller = $1 AND serial = $2 AND serial <> '' AND what = 'evidence' \
                 ORDER BY sequence DESC LIMIT $3",
            )
            .bind(key.seller.as_str())
            .bind(key.serial.as_str())
            .bind(EVIDENCE_VIEWS)
            .fetch_all(&self.readers),
        )
        .await?;
        let events: Result<Vec<Event>, StoreError> =
            rows.iter().rev().map(|row| self.vault.event(row.try_get(0)?, row.try_get(1)?)).collect();
        Ok(events?.into_iter().filter_map(evidence_view).collect())
    }

    async fn announcements(&self, after: u64, limit: u32) -> Result<Vec<AnnouncementRow>, StoreError> {
        bounded(READ, self.announcements_after(after, limit)).await
    }

    async fn last_announcement(&self) -> Result<u64, StoreError> {
        bounded(READ, self.announcement_tip()).await
    }

    async fn webhooks(&self) -> Result<(Vec<WebhookRow>, Vec<DeliveryRow>), StoreError> {
        bounded(READ, self.all_webhooks()).await
    }

    async fn deliveries(&self, webhook: &str, filter: &DeliveryFilter, limit: u32) -> Result<Vec<DeliveryRow>, StoreError> {
        bounded(READ, self.delivery_page(webhook, filter, limit)).await
    }

    async fn chains(&self) -> Result<Vec<Head>, StoreError> {
        let rows = bounded(
            READ,
            sqlx::query("SELECT DISTINCT ON (seller) seller, sequence, hash FROM events ORDER BY seller, sequence DESC")
                .fetch_all(&self.readers),
        )
        .await?;
        let head = |row: &PgRow| {
            let hash = hex::encode(row.try_get::<&[u8], _>(2)?);
            Ok(Head { seller: row.try_get(0)?, sequence: row.try_get(1)?, hash })
        };
        rows.iter().map(head).collect()
    }

    async fn entries(&self, seller: &str, after: i64, limit: u32) -> Result<Vec<StoredEntry>, StoreError> {
        let query = sqlx::query(ENTRY).bind(seller).bind(after).bind(i64::from(limit));
        let rows = bounded(READ, query.fetch_all(&self.readers)).await?;
        rows.iter().map(|row| stored(seller, row, &self.vault)).collect()
    }

    async fn verify(&self, seller: Option<&TaxpayerNumber>) -> Result<Verified, StoreError> {
        let mut connection = self.readers.acquire().await?;
        verify_on(&mut connection, seller.map_or("", TaxpayerNumber::as_str), &self.vault).await
    }
}

/// Recomputes the chain of a seller (`""`: the broker's own), as this connection sees it.
pub(super) async fn verify_on(connection: &mut PgConnection, seller: &str, vault: &Vault) -> Result<Verified, StoreError> {
    /// Entries read at a time.
    const STEP: i64 = 1000;
    let mut checker = chain::Checker::default();
    loop {
        let query = sqlx::query(ENTRY).bind(seller).bind(checker.head.0).bind(STEP);
        let rows = bounded(READ, query.fetch_all(&mut *connection)).await?;
        if rows.is_empty() {
            return Ok(checker.whole());
        }
        for row in &rows {
            if !checker.fits(&stored(seller, row, vault)?.row()) {
                return Ok(checker.broken());
            }
        }
    }
}

fn filtered(filter: &JobFilter, before: i64) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT place, body FROM jobs WHERE place < ");
    query.push_bind(before);
    if !filter.sellers.is_empty() {
        let sellers: Vec<String> = filter.sellers.iter().map(ToString::to_string).collect();
        query.push(" AND seller = ANY(").push_bind(sellers).push(")");
    }
    if !filter.states.is_empty() {
        let states: Vec<String> = filter.states.iter().map(word).collect();
        query.push(" AND state = ANY(").push_bind(states).push(")");
        if filter.states.iter().all(|state| !state.is_terminal()) {
            query.push(" AND live");
        } else if filter.states.iter().all(|state| state.is_rare_end()) {
            // Word for word what the index `jobs_of_rare_ends` holds: few of very many jobs.
            query.push(" AND state IN ('failed', 'cancelled', 'voided')");
        }
    }
    if let Some(serial) = &filter.serial {
        query.push(" AND serial = ").push_bind(serial.to_string());
    }
    if let Some(prefix) = &filter.serial_prefix {
        query.push(" AND starts_with(serial, ").push_bind(without_nul(prefix)).push(")");
    }
    if let Some(kind) = filter.kind {
        query.push(" AND kind = ").push_bind(kind.to_string());
    }
    if let Some(since) = filter.since {
        query.push(" AND accepted_at >= ").push_bind(since.0);
    }
    if let Some(until) = filter.until {
        query.push(" AND accepted_at < ").push_bind(until.0);
    }
    if let Some(code) = &filter.problem {
        query.push(" AND problem = ").push_bind(without_nul(code));
    }
    if let Some(class) = &filter.class {
        query.push(" AND problem_class = ").push_bind(word(class));
    }
    if let Some(disk) = &filter.disk {
        query.push(" AND ").push_bind(disk.to_string()).push(" = ANY(disks)");
    }
    query
}

/// PostgreSQL's text cannot hold U+0000. No serial number holds it either, nor U+FFFD: what is asked for is found nowhere.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
