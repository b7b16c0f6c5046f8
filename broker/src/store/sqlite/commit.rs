//! One commit: all rows of a table in few statements, every guard counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::job::What;
use taxdisk_protocol::kind::InvoiceKind;

use super::super::StoreError;
use super::super::chain::{self, Draft};
use super::super::encoding::{damaged, text, word};
use super::super::fold::{self, Head, JobRow};
use super::super::vault::Vault;
use super::rows::{self, Cell};
use super::{operations, webhooks};
use crate::core::change::{CONTENTS_SLICE, Change, ReconcileRow, SignInRow};

/// Rows of the tables that nearly every commit writes, of one commit or of several. Of a row that changes twice the last word
/// counts.
#[derive(Debug, Default)]
pub(super) struct Rows {
    jobs: HashMap<u64, JobRow>,
    events: Vec<[Cell; 10]>,
    /// Places of jobs, by the disk that they were handed to.
    attempted: BTreeSet<(DiskNumber, u64)>,
    numbers: Vec<[Cell; 7]>,
    fences: BTreeMap<DiskNumber, [Cell; 4]>,
    reports: BTreeMap<DiskNumber, [Cell; 3]>,
    accounted: BTreeMap<(DiskNumber, InvoiceKind), [Cell; 3]>,
    hooks: webhooks::Rows,
}

impl Rows {
    /// The rows of the chains, each at its place in its chain.
    pub(super) fn chain(&mut self, drafts: Vec<Option<Draft<'_>>>, heads: &mut HashMap<String, Head>) {
        self.events.extend(drafts.into_iter().flatten().map(|draft| chained(heads, draft)));
    }

    /// Takes a change of these tables; false: it is of another.
    ///
    /// # Errors
    /// `Stale` if the event of a job does not follow the one before it.
    pub(super) fn take(&mut self, change: &Change) -> Result<bool, StoreError> {
        match change {
            Change::Job { job, event } => {
                fold::take_job(&mut self.jobs, job, event)?;
                if matches!(event.what, What::Assigned { .. } | What::Recovered { .. }) {
                    self.attempted.extend(job.attempts.last().map(|attempt| (attempt.disk.clone(), job.place)));
                }
            }
            // In the chain.
            Change::Audit(_) => {}
            Change::Number(row) => self.numbers.push([
                row.key.disk.as_str().into(),
                row.key.kind.to_string().into(),
                row.key.pair.code.to_string().into(),
                row.key.pair.number.to_string().into(),
                text(&row.owner).into(),
                row.status.as_str().into(),
                row.digest.as_str().into(),
            ]),
            Change::DiskFence(row) => {
                let owner = row.owner.as_ref().map(|owner| owner.as_str());
                let cells = [row.disk.as_str().into(), row.epoch.into(), row.sequence.into(), owner.into()];
                self.fences.insert(row.disk.clone(), cells);
            }
            Change::DiskReport(row) => {
                let cells = [row.disk.as_str().into(), row.seen_at.0.into(), text(&row.report).into()];
                self.reports.insert(row.disk.clone(), cells);
            }
            Change::Accounted(disk, kind, pair) => {
                let cells = [disk.as_str().into(), kind.to_string().into(), pair.to_string().into()];
                self.accounted.insert((disk.clone(), *kind), cells);
            }
            other => return Ok(self.hooks.take(other)),
        }
        Ok(true)
    }

    /// Writes all of them, each under its guard; a guard that does not hold leaves a part of them there.
    pub(super) async fn write(self, connection: &mut SqliteConnection, vault: &Vault) -> Result<(), StoreError> {
        self.hooks.write(connection).await?;
        jobs(connection, self.jobs, vault).await?;
        rows::write(
            connection,
            self.attempted.into_iter().map(|(disk, place)| [disk.as_str().into(), place.into()]).collect(),
            "INSERT OR FAIL INTO attempted (disk, place) VALUES",
            "ON CONFLICT DO UPDATE SET place = excluded.place",
            "a job of a disk",
        )
        .await?;
        rows::write(
            connection,
            self.events,
            "INSERT OR FAIL INTO events (seller, sequence, at, serial, revision, what, body, content, content_hash, hash) VALUES",
            "",
            "an event of the chain was written by somebody else",
        )
        .await?;
        rows::write(
            connection,
            self.numbers,
            "INSERT OR FAIL INTO numbers (disk, kind, code, number, owner, status, digest) VALUES",
            "ON CONFLICT DO UPDATE SET status = excluded.status WHERE owner = excluded.owner",
            "a number has another owner",
        )
        .await?;
        rows::write(
            connection,
            self.fences.into_values().collect(),
            "INSERT OR FAIL INTO disk_fences (disk, epoch, sequence, owner) VALUES",
            "ON CONFLICT DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, owner = excluded.owner \
             WHERE epoch <= excluded.epoch AND sequence <= excluded.sequence",
            "epoch or sequence of a disk would fall",
        )
        .await?;
        rows::write(
            connection,
            self.reports.into_values().collect(),
            "INSERT OR FAIL INTO disk_reports (disk, seen_at, report) VALUES",
            "ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at, report = excluded.report",
            "disk report",
        )
        .await?;
        rows::write(
            connection,
            self.accounted.into_values().collect(),
            "INSERT OR FAIL INTO accounted (disk, kind, pair) VALUES",
            "ON CONFLICT DO UPDATE SET pair = excluded.pair",
            "accounted pair",
        )
        .await
    }
}

/// A change that the tables may take later: what guards it is asked of memory and of single rows ([`super::guard`]).
pub(super) fn may_wait(change: &Change) -> bool {
    matches!(
        change,
        Change::Job { .. }
            | Change::Audit(_)
            | Change::Number(_)
            | Change::DiskFence(_)
            | Change::DiskReport(_)
            | Change::Accounted(..)
            | Change::Announcement(_)
            | Change::Delivery(_)
    )
}

/// The rows that changes make in chains, one place each.
pub(super) fn drafts<'a>(changes: &'a [Change], vault: &Vault) -> Result<Vec<Option<Draft<'a>>>, StoreError> {
    let sealed = |draft: Draft<'a>| Ok(Draft { content: vault.seal_content(draft.content)?, ..draft });
    changes.iter().map(|change| Draft::of(change).map(sealed).transpose()).collect()
}

/// The last entries of the chains that are written to, as they are before it.
pub(super) async fn heads(
    connection: &mut SqliteConnection,
    known: &HashMap<String, Head>,
    drafts: &[Option<Draft<'_>>],
) -> Result<HashMap<String, Head>, StoreError> {
    let mut heads = HashMap::new();
    for draft in drafts.iter().flatten() {
        if !heads.contains_key(draft.seller) {
            let head = match known.get(draft.seller) {
                Some(head) => *head,
                None => head(connection, draft.seller).await?,
            };
            heads.insert(draft.seller.to_owned(), head);
        }
    }
    Ok(heads)
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

/// Writes changes into the tables, each under its guard; a guard that does not hold leaves a part of them there.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    changes: &[Change],
    drafts: Vec<Option<Draft<'_>>>,
    heads: &mut HashMap<String, Head>,
    vault: &Vault,
) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    let (mut end, mut erased) = (None, Vec::new());
    rows.chain(drafts, heads);
    for change in changes {
        match change {
            Change::EndContents(until) => end = Some(*until),
            Change::EndContentsOf(keys) => erased.extend(keys),
            other if rows.take(other)? => {}
            other => seldom(connection, other, vault).await?,
        }
    }
    rows.write(connection, vault).await?;
    // Last: a job that goes on in this very commit keeps its content.
    erase(connection, &erased).await?;
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
        "UPDATE jobs SET body = json_remove(body, '$.invoice', '$.sealed'), ended = 1 WHERE place IN \
         (SELECT place FROM jobs WHERE live = 0 AND ended = 0 AND served <= ?1 ORDER BY served, place LIMIT ?2)",
    ] {
        sqlx::query(sql).bind(until).bind(CONTENTS_SLICE).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Ends the contents of these jobs, evidence included, if they can change no more.
async fn erase(connection: &mut SqliteConnection, keys: &[&JobKey]) -> Result<(), StoreError> {
    for key in keys {
        for sql in [
            "UPDATE events SET content = NULL WHERE seller = ?1 AND serial = ?2 AND serial <> '' AND content IS NOT NULL \
             AND EXISTS (SELECT 1 FROM jobs WHERE jobs.seller = ?1 AND jobs.serial = ?2 AND live = 0)",
            "UPDATE jobs SET body = json_remove(body, '$.invoice', '$.sealed'), ended = 1 \
             WHERE seller = ?1 AND serial = ?2 AND live = 0",
        ] {
            sqlx::query(sql).bind(key.seller.as_str()).bind(key.serial.as_str()).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// The row of an entry, at its place in its chain.
fn chained(heads: &mut HashMap<String, Head>, draft: Draft<'_>) -> [Cell; 10] {
    let (sequence, hash) = fold::chained(heads, &draft);
    let Draft { seller, at, serial, revision, what, body, content, content_hash } = draft;
    [
        seller.into(),
        sequence.into(),
        at.into(),
        serial.into(),
        revision.into(),
        what.into(),
        body.into(),
        content.into(),
        content_hash.into(),
        hex::encode(hash).into(),
    ]
}

/// The jobs' rows, each guarded by the revision that its first event starts from.
async fn jobs(connection: &mut SqliteConnection, jobs: HashMap<u64, JobRow>, vault: &Vault) -> Result<(), StoreError> {
    let mut jobs: Vec<JobRow> = jobs.into_values().collect();
    // In the order of the table: new rows go to its end.
    jobs.sort_unstable_by_key(|row| row.job.place);
    let (mut fresh, mut known, mut accepted) = (Vec::new(), Vec::new(), Vec::new());
    for JobRow { base, job } in jobs {
        let row: [Cell; 8] = [
            job.key.seller.as_str().into(),
            job.key.serial.as_str().into(),
            word(&job.state).into(),
            i64::from(job.is_live()).into(),
            job.revision.into(),
            vault.job_text(&job)?.into(),
            job.place.into(),
            base.into(),
        ];
        if base == 0 {
            accepted.push([job.place.into(), job.kind.to_string().into(), job.accepted_at.0.into()]);
            fresh.push(row);
        } else {
            known.push(row);
        }
    }
    // A key that exists already breaks the unique index and with it the whole commit.
    rows::write(
        connection,
        fresh,
        "WITH new (seller, serial, state, live, revision, body, place, base) AS (VALUES",
        ") INSERT OR FAIL INTO jobs (seller, serial, state, live, revision, body, place, served) SELECT seller, serial, state, live, revision, \
         body, place, coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'served'), 0) FROM new",
        "a new job exists already",
    )
    .await?;
    rows::write(connection, accepted, "INSERT OR FAIL INTO accepted (place, kind, at) VALUES", "", "a place was given already")
        .await?;
    rows::write(
        connection,
        known,
        "WITH new (seller, serial, state, live, revision, body, place, base) AS (VALUES",
        ") UPDATE OR FAIL jobs SET state = new.state, live = new.live, revision = new.revision, body = new.body, ended = 0, \
         served = coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'served'), 0) FROM new \
         WHERE jobs.seller = new.seller AND jobs.serial = new.serial AND jobs.revision = new.base",
        "a job is not at the revision that its event starts from",
    )
    .await
}

/// Changes that administrators make: one statement each.
async fn seldom(connection: &mut SqliteConnection, change: &Change, vault: &Vault) -> Result<(), StoreError> {
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
        Change::Enrollment(row) => sqlx::query("INSERT INTO enrollments (hash, name, expires_at, what) VALUES (?1, ?2, ?3, ?4)")
            .bind(row.hash.clone())
            .bind(row.name.clone())
            .bind(row.expires_at.0)
            .bind(text(&row.what)),
        Change::EnrollmentUsed { hash, agent } => {
            sqlx::query("UPDATE enrollments SET used_by = ?2 WHERE hash = ?1 AND used_by IS NULL")
                .bind(hash.clone())
                .bind(agent.to_string())
        }
        Change::Key(row) => sqlx::query(
            "INSERT INTO api_keys (id, hash, name, role, sellers, created_at, expires_at, revoked_at, actions, used_at, about) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT DO UPDATE SET revoked_at = excluded.revoked_at, used_at = excluded.used_at",
        )
        .bind(row.id.clone())
        .bind(row.hash.clone())
        .bind(row.name.clone())
        .bind(word(&row.role))
        .bind(text(&row.sellers))
        .bind(row.created_at.0)
        .bind(row.expires_at.map(|at| at.0))
        .bind(row.revoked_at.map(|at| at.0))
        .bind(text(&row.actions))
        .bind(row.used_at.map(|at| at.0))
        .bind(text(&row.about)),
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
        Change::User(row) => {
            sqlx::query("INSERT INTO users (name, body) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET body = excluded.body")
                .bind(row.name.clone())
                .bind(vault.user_text(row)?)
        }
        Change::SignIn(SignInRow { what, key, body: None }) => {
            // A row that is not there is as good as removed.
            sqlx::query("DELETE FROM sign_ins WHERE what = ?1 AND key = ?2").bind(*what).bind(key).execute(connection).await?;
            return Ok(());
        }
        Change::SignIn(SignInRow { what, key, body: Some(body) }) => sqlx::query(
            "INSERT INTO sign_ins (what, key, body) VALUES (?1, ?2, ?3) ON CONFLICT (what, key) DO UPDATE SET body = excluded.body",
        )
        .bind(*what)
        .bind(key.clone())
        .bind(body.clone()),
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
        Change::Operation(row) => return operations::put(connection, row).await,
        Change::Job { .. }
        | Change::Audit(_)
        | Change::EndContents(_)
        | Change::EndContentsOf(_)
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
