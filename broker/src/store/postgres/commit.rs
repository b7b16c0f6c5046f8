//! One commit: one transaction that first locks the lease at our term, then all rows of a table in one statement, every guard
//! counted.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::{Postgres, Row};
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::Job;
use taxdisk_protocol::kind::InvoiceKind;

use super::super::encoding::{damaged, json, text, word};
use super::super::fold::{self, Head, JobRow};
use super::super::{StoreError, chain};
use super::database::bounded;
use super::lease::Lease;
use super::{Writer, webhooks};
use crate::core::change::{CONTENTS_SLICE, Change, DiskFenceRow, DiskReportRow, NumberKey, NumberRow, ReconcileRow};

/// A whole commit. Longer than any lock or statement of it may take on the server.
const COMMIT: Duration = Duration::from_secs(25);

type Sql = Query<'static, Postgres, PgArguments>;

/// Columns of the events of a commit.
#[derive(Default)]
struct Events {
    sellers: Vec<String>,
    sequences: Vec<i64>,
    at: Vec<i64>,
    serials: Vec<String>,
    revisions: Vec<i64>,
    what: Vec<String>,
    bodies: Vec<String>,
    contents: Vec<Option<String>>,
    content_hashes: Vec<String>,
    hashes: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Rows<'a> {
    jobs: HashMap<&'a JobKey, JobRow<'a>>,
    events: Events,
    numbers: HashMap<&'a NumberKey, &'a NumberRow>,
    fences: BTreeMap<&'a str, &'a DiskFenceRow>,
    reports: BTreeMap<&'a str, &'a DiskReportRow>,
    accounted: BTreeMap<(&'a str, InvoiceKind), String>,
}

impl Writer {
    /// After anything but a guard that does not hold, nobody knows what is durable: the store takes no more.
    pub(super) async fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Fenced);
        }
        let done = bounded(COMMIT, self.attempt(changes)).await;
        self.broken = !matches!(done, Ok(()) | Err(StoreError::Stale(_)));
        done
    }

    async fn attempt(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut heads = self.known_heads(changes).await?;
        let mut transaction = self.connection.begin().await?;
        let written = match fenced(&mut transaction, &self.lease).await {
            Ok(()) => write(&mut transaction, changes, &mut heads).await,
            refused => refused,
        };
        if let Err(error) = written {
            // Now, and not with the next commit: the lease's row is locked until then.
            transaction.rollback().await?;
            return Err(error);
        }
        #[cfg(test)]
        if let Some(stall) = &self.stall {
            stall.wait().await;
        }
        // If we stop before this returns, the next leader reads what became durable; nobody was told anything yet.
        transaction.commit().await?;
        self.heads.extend(heads);
        Ok(())
    }

    /// The last entries of all chains that this commit adds to; those that are not known yet are read in one statement.
    async fn known_heads(&mut self, changes: &[Change]) -> Result<HashMap<String, Head>, StoreError> {
        let (mut heads, mut unknown) = (HashMap::new(), Vec::new());
        for change in changes {
            let seller = match change {
                Change::Job { job, .. } => job.key.seller.as_str(),
                Change::Audit(audit) => audit.seller.as_ref().map_or("", |seller| seller.as_str()),
                _ => continue,
            };
            if heads.contains_key(seller) {
                continue;
            }
            let known = self.heads.get(seller).copied();
            if known.is_none() {
                unknown.push(seller.to_owned());
            }
            heads.insert(seller.to_owned(), known.unwrap_or((0, chain::ROOT)));
        }
        if unknown.is_empty() {
            return Ok(heads);
        }
        let rows = sqlx::query(
            "SELECT wanted.seller, last.sequence, last.hash FROM unnest($1::text[]) AS wanted (seller) CROSS JOIN LATERAL \
             (SELECT sequence, hash FROM events WHERE events.seller = wanted.seller ORDER BY sequence DESC LIMIT 1) AS last",
        )
        .bind(unknown)
        .fetch_all(&mut self.connection)
        .await?;
        for row in rows {
            let hash = row.try_get::<&[u8], _>(2)?.try_into().map_err(|error| damaged("hash of an event", error))?;
            heads.insert(row.try_get(0)?, (row.try_get(1)?, hash));
        }
        Ok(heads)
    }
}

/// Locks the lease at our term. Shared: a takeover changes this row, so it waits until we are done; after it, our term is not
/// there any more.
pub(in super::super) async fn fenced(connection: &mut PgConnection, lease: &Lease) -> Result<(), StoreError> {
    let leads: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM leases WHERE name = 'ledger' AND term = $1 AND holder = $2 FOR SHARE")
            .bind(lease.term())
            .bind(lease.holder())
            .fetch_optional(connection)
            .await?;
    if leads.is_some() {
        return Ok(());
    }
    lease.lose();
    Err(StoreError::Fenced)
}

async fn write(connection: &mut PgConnection, changes: &[Change], heads: &mut HashMap<String, Head>) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    let mut hooks = webhooks::Rows::default();
    let mut end = None;
    for change in changes {
        if hooks.take(change) {
            continue;
        }
        match change {
            Change::Job { job, event } => {
                fold::take_job(&mut rows.jobs, job, event)?;
                rows.events.push(heads, change);
            }
            Change::Audit(_) => rows.events.push(heads, change),
            Change::EndContents(until) => end = Some(*until),
            Change::Number(row) => {
                let known = rows.numbers.insert(&row.key, row);
                if known.is_some_and(|known| known.owner != row.owner) {
                    return Err(StoreError::Stale(ANOTHER_OWNER.to_owned()));
                }
            }
            Change::DiskFence(row) => {
                rows.fences.insert(row.disk.as_str(), row);
            }
            Change::DiskReport(row) => {
                rows.reports.insert(row.disk.as_str(), row);
            }
            Change::Accounted(disk, kind, pair) => {
                rows.accounted.insert((disk.as_str(), *kind), pair.to_string());
            }
            other => seldom(connection, other).await?,
        }
    }
    hooks.write(connection).await?;
    jobs(connection, rows.jobs).await?;
    events(connection, rows.events).await?;
    numbers(connection, rows.numbers.into_values().collect()).await?;
    fences(connection, rows.fences.into_values().collect()).await?;
    reports(connection, rows.reports.into_values().collect()).await?;
    accounted(connection, rows.accounted).await?;
    // Last: a job that goes on in this very commit keeps its content.
    match end {
        Some(until) => end_contents(connection, until).await,
        None => Ok(()),
    }
}

/// Ends the contents of jobs that can change no more. The hash in the chain stays, and with it the chain. The bodies are parted
/// here: the database's own JSON cannot hold every text that an invoice may.
async fn end_contents(connection: &mut PgConnection, until: u64) -> Result<(), StoreError> {
    let due = sqlx::query(
        "SELECT place, seller, serial, body FROM jobs WHERE NOT live AND NOT ended AND served <= $1 ORDER BY served, place LIMIT $2",
    )
    .bind(i64::try_from(until).unwrap_or(i64::MAX))
    .bind(i64::from(CONTENTS_SLICE))
    .fetch_all(&mut *connection)
    .await?;
    let (mut places, mut sellers, mut serials, mut bodies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in due {
        let mut body: serde_json::Value = json("job", row.try_get(3)?)?;
        if let Some(fields) = body.as_object_mut() {
            fields.remove("invoice");
        }
        places.push(row.try_get::<i64, _>(0)?);
        sellers.push(row.try_get::<String, _>(1)?);
        serials.push(row.try_get::<String, _>(2)?);
        bodies.push(body.to_string());
    }
    if places.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE events SET content = NULL FROM unnest($1::text[], $2::text[]) AS due (seller, serial) \
         WHERE events.seller = due.seller AND events.serial = due.serial AND events.serial <> '' \
         AND what IN ('accepted', 'reissued') AND content IS NOT NULL",
    )
    .bind(sellers)
    .bind(serials)
    .execute(&mut *connection)
    .await?;
    let count = places.len();
    let query = sqlx::query(
        "UPDATE jobs SET body = due.body, ended = true FROM unnest($1::bigint[], $2::text[]) AS due (place, body) \
         WHERE jobs.place = due.place",
    )
    .bind(places)
    .bind(bodies);
    taken(connection, query, count, "a job whose content ends is gone").await
}

impl Events {
    fn push(&mut self, heads: &mut HashMap<String, Head>, change: &Change) {
        let Some((draft, (sequence, hash))) = fold::chained(heads, change) else { return };
        self.content_hashes.push(draft.content_hash());
        self.sellers.push(draft.seller);
        self.sequences.push(sequence);
        self.at.push(draft.at);
        self.serials.push(draft.serial);
        self.revisions.push(draft.revision);
        self.what.push(draft.what.to_owned());
        self.bodies.push(draft.body);
        self.contents.push(draft.content);
        self.hashes.push(hash.to_vec());
    }
}

/// What a void or red job is about, as a column; it never changes.
fn about(job: &Job) -> String {
    job.original.as_ref().map(|original| format!("{} {}", original.code, original.number)).unwrap_or_default()
}

/// The jobs' rows, each guarded by the revision that its first event starts from.
async fn jobs(connection: &mut PgConnection, jobs: HashMap<&JobKey, JobRow<'_>>) -> Result<(), StoreError> {
    let (fresh, known): (Vec<_>, Vec<_>) = jobs.into_values().partition(|row| row.base == 0);
    let common = |sql: &'static str, rows: &[JobRow<'_>]| {
        let column = |text: fn(&JobRow<'_>) -> String| rows.iter().map(text).collect::<Vec<String>>();
        let number = |number: fn(&JobRow<'_>) -> u64| rows.iter().map(|row| number(row) as i64).collect::<Vec<i64>>();
        sqlx::query(sql)
            .bind(column(|row| row.job.key.seller.to_string()))
            .bind(column(|row| row.job.key.serial.to_string()))
            .bind(column(|row| word(&row.job.state)))
            .bind(rows.iter().map(|row| row.job.is_live()).collect::<Vec<bool>>())
            .bind(number(|row| row.job.revision))
            // Numbers of disks are letters and digits; a column of arrays of different lengths cannot travel as an array.
            .bind(column(|row| row.job.attempts.iter().map(|attempt| attempt.disk.as_str()).collect::<Vec<_>>().join(",")))
            .bind(column(|row| text(row.job)))
            .bind(column(|row| row.job.problem.as_ref().map_or_else(String::new, |problem| problem.code.clone())))
            .bind(column(|row| {
                row.job.problem.as_ref().and_then(|problem| problem.class).map_or_else(String::new, |class| word(&class))
            }))
    };
    if !fresh.is_empty() {
        // A key that exists already breaks the unique index and with it the whole commit.
        let query = common(
            "INSERT INTO jobs (seller, serial, state, live, revision, disks, body, problem, problem_class, place, kind, \
             accepted_at, about, served) \
             SELECT seller, serial, state, live, revision, string_to_array(disks, ','), body, problem, class, place, kind, \
             accepted_at, about, coalesce((SELECT value::bigint FROM meta WHERE name = 'served'), 0) \
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::bigint[], $6::text[], $7::text[], $8::text[], \
             $9::text[], $10::bigint[], $11::text[], $12::bigint[], $13::text[]) \
             AS new (seller, serial, state, live, revision, disks, body, problem, class, place, kind, accepted_at, about)",
            &fresh,
        )
        .bind(fresh.iter().map(|row| row.job.place as i64).collect::<Vec<i64>>())
        .bind(fresh.iter().map(|row| row.job.kind.to_string()).collect::<Vec<String>>())
        .bind(fresh.iter().map(|row| row.job.accepted_at.0).collect::<Vec<i64>>())
        .bind(fresh.iter().map(|row| about(row.job)).collect::<Vec<String>>());
        taken(connection, query, fresh.len(), "a new job exists already").await?;
    }
    if !known.is_empty() {
        let query = common(
            "UPDATE jobs SET state = new.state, live = new.live, revision = new.revision, body = new.body, \
             disks = string_to_array(new.disks, ','), ended = false, problem = new.problem, problem_class = new.class, \
             served = coalesce((SELECT value::bigint FROM meta WHERE name = 'served'), 0) \
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::bigint[], $6::text[], $7::text[], $8::text[], \
             $9::text[], $10::bigint[]) AS new (seller, serial, state, live, revision, disks, body, problem, class, base) \
             WHERE jobs.seller = new.seller AND jobs.serial = new.serial AND jobs.revision = new.base",
            &known,
        )
        .bind(known.iter().map(|row| row.base as i64).collect::<Vec<i64>>());
        taken(connection, query, known.len(), "a job is not at the revision that its event starts from").await?;
    }
    Ok(())
}

async fn events(connection: &mut PgConnection, events: Events) -> Result<(), StoreError> {
    let count = events.sellers.len();
    if count == 0 {
        return Ok(());
    }
    let query = sqlx::query(
        "INSERT INTO events (seller, sequence, at, serial, revision, what, body, content, content_hash, hash) \
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], \
         $8::text[], $9::text[], $10::bytea[])",
    )
    .bind(events.sellers)
    .bind(events.sequences)
    .bind(events.at)
    .bind(events.serials)
    .bind(events.revisions)
    .bind(events.what)
    .bind(events.bodies)
    .bind(events.contents)
    .bind(events.content_hashes)
    .bind(events.hashes);
    taken(connection, query, count, "an event of the chain was written by somebody else").await
}

/// For a number that is there with another owner, in the table or earlier in the same commit.
const ANOTHER_OWNER: &str = "a number has another owner";

async fn numbers(connection: &mut PgConnection, rows: Vec<&NumberRow>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let column = |text: fn(&NumberRow) -> String| rows.iter().map(|row| text(row)).collect::<Vec<String>>();
    let query = sqlx::query(
        "INSERT INTO numbers (disk, kind, code, number, owner, status, digest) SELECT * FROM unnest($1::text[], $2::text[], \
         $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) ON CONFLICT (disk, kind, code, number) \
         DO UPDATE SET status = excluded.status WHERE numbers.owner = excluded.owner",
    )
    .bind(column(|row| row.key.disk.to_string()))
    .bind(column(|row| row.key.kind.to_string()))
    .bind(column(|row| row.key.pair.code.to_string()))
    .bind(column(|row| row.key.pair.number.to_string()))
    .bind(column(|row| text(&row.owner)))
    .bind(column(|row| text(&row.status)))
    .bind(column(|row| text(&row.digest)));
    taken(connection, query, rows.len(), ANOTHER_OWNER).await
}

async fn fences(connection: &mut PgConnection, rows: Vec<&DiskFenceRow>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "INSERT INTO disk_fences (disk, epoch, sequence, owner) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], \
         $4::text[]) ON CONFLICT (disk) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, \
         owner = excluded.owner WHERE disk_fences.epoch <= excluded.epoch AND disk_fences.sequence <= excluded.sequence",
    )
    .bind(rows.iter().map(|row| row.disk.to_string()).collect::<Vec<String>>())
    .bind(rows.iter().map(|row| row.epoch as i64).collect::<Vec<i64>>())
    .bind(rows.iter().map(|row| row.sequence as i64).collect::<Vec<i64>>())
    .bind(rows.iter().map(|row| row.owner.as_ref().map(ToString::to_string)).collect::<Vec<Option<String>>>());
    taken(connection, query, rows.len(), "epoch or sequence of a disk would fall").await
}

async fn reports(connection: &mut PgConnection, rows: Vec<&DiskReportRow>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "INSERT INTO disk_reports (disk, seen_at, report) SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]) \
         ON CONFLICT (disk) DO UPDATE SET seen_at = excluded.seen_at, report = excluded.report",
    )
    .bind(rows.iter().map(|row| row.disk.to_string()).collect::<Vec<String>>())
    .bind(rows.iter().map(|row| row.seen_at.0).collect::<Vec<i64>>())
    .bind(rows.iter().map(|row| text(&row.report)).collect::<Vec<String>>());
    taken(connection, query, rows.len(), "disk report").await
}

async fn accounted(connection: &mut PgConnection, rows: BTreeMap<(&str, InvoiceKind), String>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let count = rows.len();
    let (mut disks, mut kinds, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for ((disk, kind), pair) in rows {
        disks.push(disk.to_owned());
        kinds.push(kind.to_string());
        pairs.push(pair);
    }
    let query = sqlx::query(
        "INSERT INTO accounted (disk, kind, pair) SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) \
         ON CONFLICT (disk, kind) DO UPDATE SET pair = excluded.pair",
    )
    .bind(disks)
    .bind(kinds)
    .bind(pairs);
    taken(connection, query, count, "accounted pair").await
}

/// Runs a statement whose every row must be taken.
pub(super) async fn taken(connection: &mut PgConnection, query: Sql, rows: usize, guard: &str) -> Result<(), StoreError> {
    let done = query.execute(connection).await.map_err(|error| match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => StoreError::Stale(guard.to_owned()),
        _ => StoreError::Database(error),
    })?;
    if done.rows_affected() == rows as u64 { Ok(()) } else { Err(StoreError::Stale(guard.to_owned())) }
}

/// Changes that administrators make: one statement each. Names that people write stand as JSON.
async fn seldom(connection: &mut PgConnection, change: &Change) -> Result<(), StoreError> {
    let query = match change {
        Change::Seller(row) => sqlx::query(
            "INSERT INTO sellers (seller, body) VALUES ($1, $2) ON CONFLICT (seller) DO UPDATE SET body = excluded.body",
        )
        .bind(row.seller.to_string())
        .bind(text(&row.body)),
        Change::IssuePoint(row) => sqlx::query(
            "INSERT INTO issue_points (seller, point, body) VALUES ($1, $2, $3) \
             ON CONFLICT (seller, point) DO UPDATE SET body = excluded.body",
        )
        .bind(row.seller.to_string())
        .bind(row.point.to_string())
        .bind(text(&row.body)),
        Change::DiskAssignment(disk, body) => sqlx::query(
            "INSERT INTO disk_assignments (disk, body) VALUES ($1, $2) ON CONFLICT (disk) DO UPDATE SET body = excluded.body",
        )
        .bind(disk.to_string())
        .bind(text(body)),
        Change::Agent(row) => {
            sqlx::query("INSERT INTO agents (agent, body) VALUES ($1, $2) ON CONFLICT (agent) DO UPDATE SET body = excluded.body")
                .bind(row.agent.to_string())
                .bind(text(row))
        }
        Change::Notice { notice, on: true } => {
            sqlx::query("INSERT INTO notices (name, body) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET body = excluded.body")
                .bind(notice.name())
                .bind(text(notice))
        }
        Change::Notice { notice, on: false } => {
            // What a seller did not count yet has no row: there is nothing to take away.
            sqlx::query("DELETE FROM notices WHERE name = $1").bind(notice.name()).execute(connection).await?;
            return Ok(());
        }
        Change::Enrollment(row) => sqlx::query("INSERT INTO enrollments (hash, name, expires_at) VALUES ($1, $2, $3)")
            .bind(row.hash.clone())
            .bind(text(&row.name))
            .bind(row.expires_at.0),
        Change::EnrollmentUsed { hash, agent } => {
            sqlx::query("UPDATE enrollments SET used_by = $2 WHERE hash = $1 AND used_by IS NULL")
                .bind(hash.clone())
                .bind(agent.to_string())
        }
        Change::Key(row) => sqlx::query(
            "INSERT INTO api_keys (id, hash, name, role, sellers, created_at, expires_at, revoked_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at",
        )
        .bind(row.id.clone())
        .bind(row.hash.clone())
        .bind(text(&row.name))
        .bind(word(&row.role))
        .bind(text(&row.sellers))
        .bind(row.created_at.0)
        .bind(row.expires_at.map(|at| at.0))
        .bind(row.revoked_at.map(|at| at.0)),
        Change::Reconcile(ReconcileRow { what, key, body: None }) => {
            // A row that is not there is as good as removed.
            sqlx::query("DELETE FROM reconcile WHERE what = $1 AND key = $2").bind(*what).bind(key).execute(connection).await?;
            return Ok(());
        }
        Change::Reconcile(ReconcileRow { what, key, body: Some(body) }) => sqlx::query(
            "INSERT INTO reconcile (what, key, body) VALUES ($1, $2, $3) ON CONFLICT (what, key) DO UPDATE SET body = excluded.body",
        )
        .bind(*what)
        .bind(key.clone())
        .bind(body.clone()),
        Change::Bulk(row) => sqlx::query(
            "INSERT INTO bulk_reissues (key, body) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
        )
        .bind(row.view.key.clone())
        .bind(text(row)),
        Change::Served(hours) => sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('served', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(hours.to_string()),
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
    let guard = match change {
        Change::EnrollmentUsed { .. } => "an enrolment code was used already",
        _ => "the row exists already",
    };
    taken(connection, query, 1, guard).await
}
