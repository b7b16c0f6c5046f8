//! One commit: all rows of a table in one statement, every guard counted.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use taxdisk_protocol::ids::JobKey;

use super::super::encoding::{damaged, text, word};
use super::super::fold::{self, Head, JobRow};
use super::super::{StoreError, chain};
use super::{Writer, webhooks};
use crate::core::change::{CONTENTS_SLICE, Change, ReconcileRow};

#[derive(Default)]
struct Rows<'a> {
    jobs: HashMap<&'a JobKey, JobRow<'a>>,
    events: Vec<Value>,
    numbers: Vec<Value>,
    fences: BTreeMap<&'a str, Value>,
    reports: BTreeMap<&'a str, Value>,
    accounted: BTreeMap<(&'a str, String), Value>,
}

impl Writer {
    pub(super) async fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut heads = HashMap::new();
        for change in changes {
            let seller = match change {
                Change::Job { job, .. } => job.key.seller.as_str(),
                Change::Audit(audit) => audit.seller.as_ref().map_or("", |seller| seller.as_str()),
                _ => continue,
            };
            if !heads.contains_key(seller) {
                let head = match self.heads.get(seller) {
                    Some(head) => *head,
                    None => head(&mut self.connection, seller).await?,
                };
                heads.insert(seller.to_owned(), head);
            }
        }
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        write(&mut transaction, changes, &mut heads).await?;
        // If we stop before this returns, the next start reads what became durable; nobody was told anything yet.
        transaction.commit().await?;
        self.heads.extend(heads);
        Ok(())
    }
}

async fn head(connection: &mut SqliteConnection, seller: &str) -> Result<Head, StoreError> {
    let row = sqlx::query("SELECT sequence, hash FROM events WHERE seller = ?1 ORDER BY sequence DESC LIMIT 1")
        .bind(seller)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok((0, chain::ROOT)) };
    let mut hash = [0; 32];
    hex::decode_to_slice(row.try_get::<&str, _>(1)?, &mut hash).map_err(|error| damaged("hash of an event", error))?;
    Ok((row.try_get(0)?, hash))
}

async fn write(
    connection: &mut SqliteConnection,
    changes: &[Change],
    heads: &mut HashMap<String, Head>,
) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    let mut hooks = webhooks::Rows::default();
    let mut end = None;
    for change in changes {
        if hooks.take(change) {
            continue;
        }
        match change {
            Change::EndContents(until) => end = Some(*until),
            Change::Job { job, event } => {
                fold::take_job(&mut rows.jobs, job, event)?;
                rows.events.extend(chained(heads, change));
            }
            Change::Audit(_) => rows.events.extend(chained(heads, change)),
            Change::Number(row) => rows.numbers.push(json!([
                row.key.disk,
                row.key.kind,
                row.key.pair.code,
                row.key.pair.number,
                text(&row.owner),
                row.status,
                row.digest
            ])),
            Change::DiskFence(row) => {
                rows.fences.insert(row.disk.as_str(), json!([row.disk, row.epoch, row.sequence, row.owner]));
            }
            Change::DiskReport(row) => {
                rows.reports.insert(row.disk.as_str(), json!([row.disk, row.seen_at, text(&row.report)]));
            }
            Change::Accounted(disk, kind, pair) => {
                rows.accounted.insert((disk.as_str(), kind.to_string()), json!([disk, kind, pair.to_string()]));
            }
            other => seldom(connection, other).await?,
        }
    }
    hooks.write(connection).await?;
    jobs(connection, rows.jobs).await?;
    insert(
        connection,
        rows.events,
        "INSERT INTO events (seller, sequence, at, serial, revision, what, body, content, content_hash, hash) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, \
         value ->> 8, value ->> 9 FROM json_each(?1)",
        "an event of the chain was written by somebody else",
    )
    .await?;
    insert(
        connection,
        rows.numbers,
        "INSERT INTO numbers (disk, kind, code, number, owner, status, digest) SELECT value ->> 0, value ->> 1, value ->> 2, \
         value ->> 3, value ->> 4, value ->> 5, value ->> 6 FROM json_each(?1) WHERE true \
         ON CONFLICT DO UPDATE SET status = excluded.status WHERE owner = excluded.owner",
        "a number has another owner",
    )
    .await?;
    insert(
        connection,
        rows.fences.into_values().collect(),
        "INSERT INTO disk_fences (disk, epoch, sequence, owner) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 \
         FROM json_each(?1) WHERE true ON CONFLICT DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, \
         owner = excluded.owner WHERE epoch <= excluded.epoch AND sequence <= excluded.sequence",
        "epoch or sequence of a disk would fall",
    )
    .await?;
    insert(
        connection,
        rows.reports.into_values().collect(),
        "INSERT INTO disk_reports (disk, seen_at, report) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1) WHERE true \
         ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at, report = excluded.report",
        "disk report",
    )
    .await?;
    insert(
        connection,
        rows.accounted.into_values().collect(),
        "INSERT INTO accounted (disk, kind, pair) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1) WHERE true \
         ON CONFLICT DO UPDATE SET pair = excluded.pair",
        "accounted pair",
    )
    .await?;
    // Last: a job that goes on in this very commit keeps its content.
    match end {
        Some(until) => end_contents(connection, until).await,
        None => Ok(()),
    }
}

/// Ends the contents of jobs that can change no more. The hash in the chain stays, and with it the chain.
async fn end_contents(connection: &mut SqliteConnection, until: u64) -> Result<(), StoreError> {
    let until = i64::try_from(until).unwrap_or(i64::MAX);
    for sql in [
        "UPDATE events SET content = NULL WHERE content IS NOT NULL AND what IN ('accepted', 'reissued') AND (seller, serial) IN \
         (SELECT seller, serial FROM jobs WHERE live = 0 AND ended = 0 AND served <= ?1 ORDER BY served, place LIMIT ?2)",
        "UPDATE jobs SET body = json_remove(body, '$.invoice'), ended = 1 WHERE place IN \
         (SELECT place FROM jobs WHERE live = 0 AND ended = 0 AND served <= ?1 ORDER BY served, place LIMIT ?2)",
    ] {
        sqlx::query(sql).bind(until).bind(CONTENTS_SLICE).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The row of a change that belongs in a chain, at its place there.
fn chained(heads: &mut HashMap<String, Head>, change: &Change) -> Option<Value> {
    let (draft, (sequence, hash)) = fold::chained(heads, change)?;
    let content_hash = draft.content_hash();
    let chain::Draft { seller, at, serial, revision, what, body, content } = draft;
    Some(json!([seller, sequence, at, serial, revision, what, body, content, content_hash, hex::encode(hash)]))
}

/// The jobs' rows, each guarded by the revision that its first event starts from.
async fn jobs(connection: &mut SqliteConnection, jobs: HashMap<&JobKey, JobRow<'_>>) -> Result<(), StoreError> {
    let (mut fresh, mut known) = (Vec::new(), Vec::new());
    for (key, row) in jobs {
        let job = row.job;
        let body = json!([
            key.seller,
            key.serial,
            word(&job.state),
            u8::from(job.is_live()),
            job.revision,
            text(job),
            job.place,
            row.base
        ]);
        if row.base == 0 { fresh.push(body) } else { known.push(body) }
    }
    // A key that exists already breaks the unique index and with it the whole commit.
    insert(
        connection,
        fresh,
        "INSERT INTO jobs (seller, serial, state, live, revision, body, place, served) SELECT value ->> 0, value ->> 1, value ->> 2, \
         value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
         coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'served'), 0) FROM json_each(?1)",
        "a new job exists already",
    )
    .await?;
    insert(
        connection,
        known,
        "UPDATE jobs SET state = value ->> 2, live = value ->> 3, revision = value ->> 4, body = value ->> 5, ended = 0, \
         served = coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'served'), 0) FROM json_each(?1) \
         WHERE jobs.seller = value ->> 0 AND jobs.serial = value ->> 1 AND jobs.revision = value ->> 7",
        "a job is not at the revision that its event starts from",
    )
    .await
}

/// Writes all rows; every one must be taken.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    rows: Vec<Value>,
    sql: &'static str,
    guard: &str,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let expected = rows.len() as u64;
    let done = sqlx::query(sql).bind(Value::Array(rows).to_string()).execute(connection).await;
    let done = done.map_err(|error| match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => StoreError::Stale(guard.to_owned()),
        _ => StoreError::Database(error),
    })?;
    if done.rows_affected() == expected { Ok(()) } else { Err(StoreError::Stale(guard.to_owned())) }
}

/// Changes that administrators make: one statement each.
async fn seldom(connection: &mut SqliteConnection, change: &Change) -> Result<(), StoreError> {
    let query = match change {
        Change::Seller(row) => {
            sqlx::query("INSERT INTO sellers (seller, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body")
                .bind(row.seller.to_string())
                .bind(text(&row.body))
        }
        Change::IssuePoint(row) => sqlx::query(
            "INSERT INTO issue_points (seller, point, body) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = excluded.body",
        )
        .bind(row.seller.to_string())
        .bind(row.point.to_string())
        .bind(text(&row.body)),
        Change::DiskAssignment(disk, body) => sqlx::query(
            "INSERT INTO disk_assignments (disk, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
        )
        .bind(disk.to_string())
        .bind(text(body)),
        Change::Agent(row) => {
            sqlx::query("INSERT INTO agents (agent, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body")
                .bind(row.agent.to_string())
                .bind(text(row))
        }
        Change::Enrollment(row) => sqlx::query("INSERT INTO enrollments (hash, name, expires_at) VALUES (?1, ?2, ?3)")
            .bind(row.hash.clone())
            .bind(row.name.clone())
            .bind(row.expires_at.0),
        Change::EnrollmentUsed { hash, agent } => {
            sqlx::query("UPDATE enrollments SET used_by = ?2 WHERE hash = ?1 AND used_by IS NULL")
                .bind(hash.clone())
                .bind(agent.to_string())
        }
        Change::Key(row) => sqlx::query(
            "INSERT INTO api_keys (id, hash, name, role, sellers, created_at, expires_at, revoked_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET revoked_at = excluded.revoked_at",
        )
        .bind(row.id.clone())
        .bind(row.hash.clone())
        .bind(row.name.clone())
        .bind(word(&row.role))
        .bind(text(&row.sellers))
        .bind(row.created_at.0)
        .bind(row.expires_at.map(|at| at.0))
        .bind(row.revoked_at.map(|at| at.0)),
        Change::Notice { notice, on: true } => {
            sqlx::query("INSERT INTO notices (name, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body")
                .bind(notice.name())
                .bind(text(notice))
        }
        Change::Notice { notice, on: false } => {
            // What a seller did not count yet has no row: there is nothing to take away.
            sqlx::query("DELETE FROM notices WHERE name = ?1").bind(notice.name()).execute(connection).await?;
            return Ok(());
        }
        Change::Reconcile(ReconcileRow { what, key, body: None }) => {
            // A row that is not there is as good as removed.
            sqlx::query("DELETE FROM reconcile WHERE what = ?1 AND key = ?2").bind(*what).bind(key).execute(connection).await?;
            return Ok(());
        }
        Change::Reconcile(ReconcileRow { what, key, body: Some(body) }) => sqlx::query(
            "INSERT INTO reconcile (what, key, body) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = excluded.body",
        )
        .bind(*what)
        .bind(key.clone())
        .bind(body.clone()),
        Change::Served(hours) => {
            sqlx::query("INSERT INTO meta (name, value) VALUES ('served', ?1) ON CONFLICT DO UPDATE SET value = excluded.value")
                .bind(hours.to_string())
        }
        Change::Bulk(row) => {
            sqlx::query("INSERT INTO bulk_reissues (key, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body")
                .bind(row.view.key.clone())
                .bind(text(row))
        }
        Change::Job { .. }
        | Change::Audit(_)
        | Change::EndContents(_)
        | Change::Number(_)
        | Change::DiskFence(_)
        | Change::DiskReport(_)
        | Change::Accounted(..)
        | Change::Announcement(_)
        | Change::Webhook(_)
        | Change::WebhookGone(_)
        | Change::Delivery(_)
        | Change::ForgetAnnouncements { .. } => return Ok(()),
    };
    let done = query.execute(connection).await.map_err(|error| match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => StoreError::Stale("the row exists already".to_owned()),
        _ => StoreError::Database(error),
    })?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Stale("an enrolment code was used already".to_owned())) }
}
