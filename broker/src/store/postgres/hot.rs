//! The tables that nearly every commit writes, in one statement: the lease is locked at our term, every table takes its rows as
//! arrays, and every count is checked by `ledger_guard`, which fails the statement. Where nothing else is in the commit, the
//! statement is the whole transaction: one round trip instead of one for each table and two for its ends.
//!
//! Parts of one statement do not see each other's rows. None of them has to: each writes another table, and of a table each row
//! once.

use std::collections::{BTreeMap, HashMap};

use sqlx::Row;
use sqlx::postgres::PgConnection;
use taxdisk_protocol::job::Job;
use taxdisk_protocol::kind::InvoiceKind;

use super::super::encoding::{text, word};
use super::super::fold::{self, Head, JobRow};
use super::super::vault::Vault;
use super::super::{StoreError, chain};
use super::commit::fenced;
use super::lease::Lease;
use crate::core::announcement::Announcement;
use crate::core::change::{Change, DiskFenceRow, DiskReportRow, NumberKey, NumberRow};

/// `$1`, `$2`: our term and name. The guard of the lease comes first: nothing is written under a lease that is over.
const STATEMENT: &str = "\
WITH lease AS (SELECT 1 FROM leases WHERE name = 'ledger' AND term = $1 AND holder = $2 FOR SHARE), \
served AS (SELECT coalesce((SELECT value::bigint FROM meta WHERE name = 'served'), 0) AS hours), \
fresh AS (INSERT INTO jobs (seller, serial, state, live, revision, disks, body, problem, problem_class, place, kind, \
accepted_at, about, served) SELECT seller, serial, state, live, revision, string_to_array(disks, ','), body, problem, class, \
place, kind, accepted_at, about, hours FROM served, \
unnest($3::text[], $4::text[], $5::text[], $6::bool[], $7::bigint[], $8::text[], \
$9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::bigint[], $15::text[]) \
AS new (seller, serial, state, live, revision, disks, body, problem, class, place, kind, accepted_at, about) RETURNING 1), \
known AS (UPDATE jobs SET state = new.state, live = new.live, revision = new.revision, body = new.body, \
disks = string_to_array(new.disks, ','), ended = false, problem = new.problem, problem_class = new.class, served = hours \
FROM served, unnest($16::text[], $17::text[], $18::text[], $19::bool[], $20::bigint[], $21::text[], $22::text[], $23::text[], \
$24::text[], $25::bigint[]) AS new (seller, serial, state, live, revision, disks, body, problem, class, base) \
WHERE jobs.seller = new.seller AND jobs.serial = new.serial AND jobs.revision = new.base RETURNING 1), \
entered AS (INSERT INTO events (seller, sequence, at, serial, revision, what, body, content, content_hash, hash) \
SELECT * FROM unnest($26::text[], $27::bigint[], $28::bigint[], $29::text[], $30::bigint[], $31::text[], $32::text[], \
$33::text[], $34::text[], $35::bytea[]) RETURNING 1), \
owned AS (INSERT INTO numbers (disk, kind, code, number, owner, status, digest) SELECT * FROM unnest($36::text[], $37::text[], \
$38::text[], $39::text[], $40::text[], $41::text[], $42::text[]) ON CONFLICT (disk, kind, code, number) \
DO UPDATE SET status = excluded.status WHERE numbers.owner = excluded.owner RETURNING 1), \
fences AS (INSERT INTO disk_fences (disk, epoch, sequence, owner) SELECT * FROM unnest($43::text[], $44::bigint[], \
$45::bigint[], $46::text[]) ON CONFLICT (disk) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, \
owner = excluded.owner WHERE disk_fences.epoch <= excluded.epoch AND disk_fences.sequence <= excluded.sequence RETURNING 1), \
reports AS (INSERT INTO disk_reports (disk, seen_at, report) SELECT * FROM unnest($47::text[], $48::bigint[], $49::text[]) \
ON CONFLICT (disk) DO UPDATE SET seen_at = excluded.seen_at, report = excluded.report RETURNING 1), \
pairs AS (INSERT INTO accounted (disk, kind, pair) SELECT * FROM unnest($50::text[], $51::text[], $52::text[]) \
ON CONFLICT (disk, kind) DO UPDATE SET pair = excluded.pair RETURNING 1), \
told AS (INSERT INTO announcements (tag, at, kind, seller, serial, revision, body) \
SELECT tag, at, kind, seller, serial, revision, body FROM unnest($53::text[], $54::bigint[], $55::text[], $56::text[], \
$57::text[], $58::bigint[], $59::text[]) WITH ORDINALITY AS new (tag, at, kind, seller, serial, revision, body, place) \
ORDER BY place RETURNING 1) \
SELECT ledger_guard((SELECT count(*) FROM lease) = 1, 'another broker leads this database'), \
ledger_guard((SELECT count(*) FROM fresh) = cardinality($3), 'a new job exists already'), \
ledger_guard((SELECT count(*) FROM known) = cardinality($16), 'a job is not at the revision that its event starts from'), \
ledger_guard((SELECT count(*) FROM entered) = cardinality($26), 'an event of the chain was written by somebody else'), \
ledger_guard((SELECT count(*) FROM owned) = cardinality($36), 'a number has another owner'), \
ledger_guard((SELECT count(*) FROM fences) = cardinality($43), 'epoch or sequence of a disk would fall'), \
ledger_guard((SELECT count(*) FROM reports) = cardinality($47), 'disk report'), \
ledger_guard((SELECT count(*) FROM pairs) = cardinality($50), 'accounted pair'), \
ledger_guard((SELECT count(*) FROM told) = cardinality($53), 'announcement')";

/// What `ledger_guard` fails with (migration 9).
const GUARD: &str = "TD001";

/// Columns of the events of a commit.
#[derive(Default)]
struct Events<'a> {
    sellers: Vec<&'a str>,
    sequences: Vec<i64>,
    at: Vec<i64>,
    serials: Vec<&'a str>,
    revisions: Vec<i64>,
    what: Vec<&'a str>,
    bodies: Vec<String>,
    contents: Vec<Option<String>>,
    content_hashes: Vec<String>,
    hashes: Vec<Vec<u8>>,
}

impl<'a> Events<'a> {
    fn push(&mut self, heads: &mut HashMap<String, Head>, change: &'a Change, vault: &Vault) -> Result<(), StoreError> {
        let Some(draft) = chain::Draft::of(change) else { return Ok(()) };
        let (sequence, hash) = fold::chained(heads, &draft);
        let chain::Draft { seller, at, serial, revision, what, body, content, content_hash } = draft;
        self.sellers.push(seller);
        self.sequences.push(sequence);
        self.at.push(at);
        self.serials.push(serial);
        self.revisions.push(revision);
        self.what.push(what);
        self.bodies.push(body);
        self.contents.push(vault.seal_content(content)?);
        self.content_hashes.push(content_hash);
        self.hashes.push(hash.to_vec());
        Ok(())
    }
}

/// Rows of the tables that nearly every commit writes. Of a row that changes twice only the last word counts.
#[derive(Default)]
pub(super) struct Rows<'a> {
    jobs: HashMap<u64, JobRow>,
    events: Events<'a>,
    numbers: HashMap<&'a NumberKey, &'a NumberRow>,
    fences: BTreeMap<&'a str, &'a DiskFenceRow>,
    reports: BTreeMap<&'a str, &'a DiskReportRow>,
    accounted: BTreeMap<(&'a str, InvoiceKind), String>,
    announcements: Vec<&'a Announcement>,
}

impl<'a> Rows<'a> {
    /// Takes a change of these tables; false: it is of another.
    pub(super) fn take(
        &mut self,
        change: &'a Change,
        heads: &mut HashMap<String, Head>,
        vault: &Vault,
    ) -> Result<bool, StoreError> {
        match change {
            Change::Job { job, event } => {
                fold::take_job(&mut self.jobs, job, event)?;
                self.events.push(heads, change, vault)?;
            }
            Change::Audit(_) => self.events.push(heads, change, vault)?,
            Change::Number(row) => {
                let known = self.numbers.insert(&row.key, row);
                if known.is_some_and(|known| known.owner != row.owner) {
                    return Err(StoreError::Stale("a number has another owner".to_owned()));
                }
            }
            Change::DiskFence(row) => drop(self.fences.insert(row.disk.as_str(), row)),
            Change::DiskReport(row) => drop(self.reports.insert(row.disk.as_str(), row)),
            Change::Accounted(disk, kind, pair) => drop(self.accounted.insert((disk.as_str(), *kind), pair.to_string())),
            Change::Announcement(announcement) => self.announcements.push(announcement),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Writes all of them, or fails: then nothing of the transaction may stay.
    pub(super) async fn write(self, connection: &mut PgConnection, lease: &Lease, vault: &Vault) -> Result<(), StoreError> {
        let (mut fresh, mut known): (Vec<_>, Vec<_>) = self.jobs.into_values().partition(|row| row.base == 0);
        // In the order of the table, so that new rows go to its end and two commits touch rows in one order.
        for rows in [&mut fresh, &mut known] {
            rows.sort_unstable_by_key(|row| row.job.place);
        }
        let query = sqlx::query(STATEMENT).bind(lease.term()).bind(lease.holder());
        let query = common(query, &fresh, vault)?
            .bind(fresh.iter().map(|row| row.job.place.cast_signed()).collect::<Vec<i64>>())
            .bind(fresh.iter().map(|row| row.job.kind.to_string()).collect::<Vec<String>>())
            .bind(fresh.iter().map(|row| row.job.accepted_at.0).collect::<Vec<i64>>())
            .bind(fresh.iter().map(|row| about(&row.job)).collect::<Vec<String>>());
        let query = common(query, &known, vault)?.bind(known.iter().map(|row| row.base.cast_signed()).collect::<Vec<i64>>());
        let Events { sellers, sequences, at, serials, revisions, what, bodies, contents, content_hashes, hashes } = self.events;
        let query = query.bind(sellers).bind(sequences).bind(at).bind(serials).bind(revisions).bind(what);
        let query = query.bind(bodies).bind(contents).bind(content_hashes).bind(hashes);
        let numbers: Vec<&NumberRow> = self.numbers.into_values().collect();
        let query = query
            .bind(numbers.iter().map(|row| row.key.disk.as_str()).collect::<Vec<&str>>())
            .bind(numbers.iter().map(|row| row.key.kind.to_string()).collect::<Vec<String>>())
            .bind(numbers.iter().map(|row| row.key.pair.code.to_string()).collect::<Vec<String>>())
            .bind(numbers.iter().map(|row| row.key.pair.number.to_string()).collect::<Vec<String>>())
            .bind(numbers.iter().map(|row| text(&row.owner)).collect::<Vec<String>>())
            // What devices write freely stands as JSON.
            .bind(numbers.iter().map(|row| text(&row.status)).collect::<Vec<String>>())
            .bind(numbers.iter().map(|row| text(&row.digest)).collect::<Vec<String>>());
        let fences: Vec<&DiskFenceRow> = self.fences.into_values().collect();
        let query = query
            .bind(fences.iter().map(|row| row.disk.as_str()).collect::<Vec<&str>>())
            .bind(fences.iter().map(|row| row.epoch.cast_signed()).collect::<Vec<i64>>())
            .bind(fences.iter().map(|row| row.sequence.cast_signed()).collect::<Vec<i64>>())
            .bind(fences.iter().map(|row| row.owner.as_ref().map(|owner| owner.as_str())).collect::<Vec<Option<&str>>>());
        let reports: Vec<&DiskReportRow> = self.reports.into_values().collect();
        let query = query
            .bind(reports.iter().map(|row| row.disk.as_str()).collect::<Vec<&str>>())
            .bind(reports.iter().map(|row| row.seen_at.0).collect::<Vec<i64>>())
            .bind(reports.iter().map(|row| text(&row.report)).collect::<Vec<String>>());
        let accounted = self.accounted.into_iter();
        let (pairs_of, pairs): (Vec<(&str, String)>, Vec<String>) =
            accounted.map(|((disk, kind), pair)| ((disk, kind.to_string()), pair)).unzip();
        let (disks, kinds): (Vec<&str>, Vec<String>) = pairs_of.into_iter().unzip();
        let query = query.bind(disks).bind(kinds).bind(pairs);
        let told = &self.announcements;
        let (tags, told_bodies): (Vec<String>, Vec<String>) = told
            .iter()
            .map(|row| {
                let body = row.body.to_string();
                (row.tag_of(&body), body)
            })
            .unzip();
        let query = query
            .bind(tags)
            .bind(told.iter().map(|row| row.at.0).collect::<Vec<i64>>())
            .bind(told.iter().map(|row| row.kind.as_str()).collect::<Vec<&str>>())
            .bind(told.iter().map(|row| row.seller.as_ref().map_or("", |seller| seller.as_str())).collect::<Vec<&str>>())
            .bind(told.iter().map(|row| row.serial.as_ref().map_or("", |serial| serial.as_str())).collect::<Vec<&str>>())
            .bind(told.iter().map(|row| row.revision.cast_signed()).collect::<Vec<i64>>())
            .bind(told_bodies);
        match query.fetch_one(connection).await {
            Ok(row) => {
                // Each guard has failed the statement, or holds.
                let leads: bool = row.try_get(0)?;
                if leads { Ok(()) } else { Err(StoreError::Fenced) }
            }
            Err(error) => Err(refused(error)),
        }
    }
}

type Sql = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// The columns that are written at the first event of a job and at all others.
fn common(query: Sql, rows: &[JobRow], vault: &Vault) -> Result<Sql, StoreError> {
    let problem = |row: &JobRow| row.job.problem.as_ref().map_or_else(String::new, |problem| problem.code.clone());
    let class = |row: &JobRow| {
        let class = row.job.problem.as_ref().and_then(|problem| problem.class);
        class.map_or_else(String::new, |class| word(&class))
    };
    // Numbers of disks are letters and digits; a column of arrays of different lengths cannot travel as an array.
    let disks = |row: &JobRow| row.job.attempts.iter().map(|attempt| attempt.disk.as_str()).collect::<Vec<_>>().join(",");
    let bodies = rows.iter().map(|row| vault.job_text(&row.job)).collect::<Result<Vec<String>, StoreError>>()?;
    Ok(query
        .bind(rows.iter().map(|row| row.job.key.seller.as_str()).collect::<Vec<&str>>())
        .bind(rows.iter().map(|row| row.job.key.serial.as_str()).collect::<Vec<&str>>())
        .bind(rows.iter().map(|row| word(&row.job.state)).collect::<Vec<String>>())
        .bind(rows.iter().map(|row| row.job.is_live()).collect::<Vec<bool>>())
        .bind(rows.iter().map(|row| row.job.revision.cast_signed()).collect::<Vec<i64>>())
        .bind(rows.iter().map(disks).collect::<Vec<String>>())
        .bind(bodies)
        .bind(rows.iter().map(problem).collect::<Vec<String>>())
        .bind(rows.iter().map(class).collect::<Vec<String>>()))
}

/// What a void or red job is about, as a column; it never changes.
fn about(job: &Job) -> String {
    job.original.as_ref().map(|original| format!("{} {}", original.code, original.number)).unwrap_or_default()
}

/// A guard that does not hold, or a row that is there already, is stale; anything else is the database's failure.
fn refused(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(inner) if inner.code().as_deref() == Some(GUARD) => StoreError::Stale(inner.message().to_owned()),
        sqlx::Error::Database(inner) if inner.is_unique_violation() => {
            StoreError::Stale(format!("a row exists already: {}", inner.constraint().unwrap_or_default()))
        }
        _ => StoreError::Database(error),
    }
}

/// Was it the lease? A guard that fails because another broker has written is no fault of this one.
pub(super) async fn explained(connection: &mut PgConnection, lease: &Lease, error: StoreError) -> StoreError {
    match error {
        StoreError::Stale(_) => match fenced(connection, lease).await {
            Ok(()) => error,
            Err(other) => other,
        },
        other => other,
    }
}
