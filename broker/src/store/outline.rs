//! What a store holds, in outline: counts, and of single rows what names no person and no invoice.
//!
//! It reads over one connection that cannot write, and needs no lead and no key: a broker may serve meanwhile, or not be able to
//! start at all. Each field that is shown is picked by its name; what a newer version adds is not shown by itself.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use taxdisk_protocol::api::DiskReport;
use taxdisk_protocol::job::{Attempt, Job};
use taxdisk_protocol::time::Timestamp;

use super::StoreError;
use super::encoding::word;
use super::postgres::Database;
use crate::core::change::AgentRow;

/// One question of a store that has lost its server, or whose tables are very large.
const READ: Duration = Duration::from_secs(30);
/// Attempts of a job that are shown, the last ones.
const ATTEMPTS: usize = 5;

/// How many there are of what is counted. The place of a job never comes down, so the last one says how many there are.
const COUNTS: &str = "SELECT 'sellers', count(*) FROM sellers UNION ALL SELECT 'issue points', count(*) FROM issue_points \
     UNION ALL SELECT 'agents', count(*) FROM agents UNION ALL SELECT 'disks', count(*) FROM disk_reports \
     UNION ALL SELECT 'keys', count(*) FROM api_keys UNION ALL SELECT 'people', count(*) FROM users \
     UNION ALL SELECT 'webhooks', count(*) FROM webhooks UNION ALL SELECT 'version of the tables', max(version) FROM _sqlx_migrations";
const JOBS: &str = "SELECT state, count(*) FROM jobs GROUP BY state";
const OPERATIONS: &str = "SELECT state, count(*) FROM operations GROUP BY state";
const DELIVERIES: &str = "SELECT state, count(*) FROM deliveries GROUP BY state";
const ENDED: &str = "SELECT body, place FROM jobs WHERE state IN ('failed', 'cancelled', 'voided') ORDER BY place DESC LIMIT 50";
const AGENTS: &str = "SELECT body, CAST(0 AS bigint) FROM agents ORDER BY agent LIMIT 500";
const DISKS: &str = "SELECT report, seen_at FROM disk_reports ORDER BY disk LIMIT 500";
const OWNERS: &str = "SELECT disk || ' ' || owner, epoch FROM disk_fences WHERE owner IS NOT NULL";
const ENTRIES: &str = "SELECT what, at FROM events WHERE seller = '' ORDER BY sequence DESC LIMIT 200";
const NEWEST: &str = "SELECT what, at FROM events WHERE seller = '' ORDER BY sequence DESC LIMIT 1";
const LEDGER: &str = "SELECT value, CAST(0 AS bigint) FROM meta WHERE name = 'ledger'";

/// A connection that only reads.
#[derive(Debug)]
pub struct Outline(Reader);

#[derive(Debug)]
enum Reader {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

/// Rows of one text and one number each, which is all that is asked here.
type Rows = Vec<(String, i64)>;

impl Outline {
    /// Opens the store of `store.url`. Nothing is made, and no table is changed.
    ///
    /// # Errors
    /// There is no such file, or no server answers.
    pub async fn open(url: &str) -> Result<Outline, StoreError> {
        if url.starts_with("sqlite:") {
            let options =
                SqliteConnectOptions::from_str(url)?.read_only(true).create_if_missing(false).disable_statement_logging();
            return Ok(Outline(Reader::Sqlite(options.connect().await?)));
        }
        Ok(Outline(Reader::Postgres(Box::new(Database::look(url).await?))))
    }

    /// When the broker's own chain got its newest entry. `None`: it has none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn newest_entry(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.rows(NEWEST, NEWEST).await?.first().map(|(_, at)| Timestamp(*at)))
    }

    /// The clock of the database's server. `None`: it is a file.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn server_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        if matches!(self.0, Reader::Sqlite(_)) {
            return Ok(None);
        }
        let now = "SELECT 'now', CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)";
        Ok(self.rows(now, now).await?.first().map(|(_, at)| Timestamp(*at)))
    }

    /// Everything, as JSON. What cannot be read says why in its place.
    pub async fn read(&mut self) -> Value {
        let ledger = self.rows(LEDGER, LEDGER).await.map(|rows| rows.into_iter().next().map(|(name, _)| name));
        let open_sqlite = "SELECT body, place FROM jobs WHERE live = 1 ORDER BY place LIMIT 50";
        let open = self.rows(open_sqlite, "SELECT body, place FROM jobs WHERE live ORDER BY place LIMIT 50").await;
        let problems_sqlite = "SELECT coalesce(json_extract(body, '$.problem.code'), 'none'), count(*) FROM jobs \
             WHERE state IN ('failed', 'cancelled', 'voided') GROUP BY 1";
        // Its JSON cannot hold every text that a body may; a quote inside of a text has a backslash before it.
        let problems_postgres = "SELECT coalesce(substring(body FROM '\"problem\":\\{\"code\":\"([a-z_]+)\"'), 'none'), count(*) FROM jobs \
             WHERE state IN ('failed', 'cancelled', 'voided') GROUP BY 1";
        let problems = self.rows(problems_sqlite, problems_postgres).await;
        let owners = self.rows(OWNERS, OWNERS).await.unwrap_or_default();
        json!({
            "ledger": shown(ledger, |name| json!(name)),
            "rows": self.counted(COUNTS).await,
            "jobs": self.counted(JOBS).await,
            "problems_of_jobs_that_ended_without_an_invoice": shown(problems, counts),
            "operations": self.counted(OPERATIONS).await,
            "deliveries": self.counted(DELIVERIES).await,
            "oldest_open_jobs": shown(open, jobs),
            "newest_jobs_that_ended_without_an_invoice": shown(self.rows(ENDED, ENDED).await, jobs),
            "agents": shown(self.rows(AGENTS, AGENTS).await, |rows| rows.iter().map(|(body, _)| agent(body)).collect()),
            "disks": shown(self.rows(DISKS, DISKS).await, |rows| disks(&rows, &owners)),
        })
    }

    /// The newest entries of the broker's own chain: what was done and when, without by whom and to what.
    pub async fn entries(&mut self) -> Value {
        let entry = |(what, at): &(String, i64)| json!({ "at": Timestamp(*at).to_string(), "what": what });
        shown(self.rows(ENTRIES, ENTRIES).await, |rows| rows.iter().map(entry).collect())
    }

    async fn counted(&mut self, query: &'static str) -> Value {
        shown(self.rows(query, query).await, counts)
    }

    async fn rows(&mut self, sqlite: &'static str, postgres: &'static str) -> Result<Rows, StoreError> {
        let asked = async {
            match &mut self.0 {
                Reader::Sqlite(connection) => sqlx::query_as(sqlite).fetch_all(connection).await,
                Reader::Postgres(connection) => sqlx::query_as(postgres).fetch_all(&mut **connection).await,
            }
        };
        let late = |_| StoreError::Database(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        Ok(tokio::time::timeout(READ, asked).await.map_err(late)??)
    }
}

fn shown<T>(read: Result<T, StoreError>, show: impl FnOnce(T) -> Value) -> Value {
    read.map_or_else(|error| json!({ "trouble": error.to_string() }), show)
}

fn counts(rows: Rows) -> Value {
    json!(rows.into_iter().collect::<BTreeMap<String, i64>>())
}

fn jobs(rows: Rows) -> Value {
    rows.iter().map(|(body, place)| job(body, *place)).collect()
}

/// What cannot be read is told without a word of it: an error would quote it.
fn damaged() -> Value {
    json!("it cannot be read; `taxdisk-broker check` says more")
}

/// Texts are left out: what a disk answers may repeat what it was given.
fn job(body: &str, place: i64) -> Value {
    let Ok(job) = serde_json::from_str::<Job>(body) else { return damaged() };
    let left_off = job.attempts.len().saturating_sub(ATTEMPTS);
    json!({
        "place": place,
        "operation": word(&job.operation),
        "kind": job.kind.to_string(),
        "priority": word(&job.priority),
        "state": word(&job.state),
        "revision": job.revision,
        "versions": job.versions.len(),
        "waiting": job.waiting.as_ref().map(word),
        "problem": job.problem.as_ref().map(|problem| json!({ "code": problem.code, "class": problem.class.as_ref().map(word) })),
        "evidence": job.evidence_count,
        "attempts_before": left_off,
        "attempts": job.attempts.iter().skip(left_off).map(attempt).collect::<Value>(),
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "attempt": attempt.attempt,
        "disk": attempt.disk.to_string(),
        "agent": attempt.agent.to_string(),
        "epoch": attempt.epoch,
        "sequence": attempt.sequence,
        "assigned_at": attempt.assigned_at.to_string(),
        "started_at": attempt.started_at.map(|at| at.to_string()),
        "ended_at": attempt.ended_at.map(|at| at.to_string()),
        "state": attempt.state.as_str(),
        "class": attempt.class.as_ref().map(word),
        "disk_ms": attempt.disk_ms,
    })
}

/// Without what people call the PC, which may be somebody's name.
fn agent(body: &str) -> Value {
    let Ok(agent) = serde_json::from_str::<AgentRow>(body) else { return damaged() };
    json!({
        "agent": agent.agent.to_string(),
        "version": agent.version,
        "enrolled_at": agent.enrolled_at.to_string(),
        "seen_at": agent.seen_at.map(|at| at.to_string()),
        "revoked": agent.revoked,
        "journal": agent.journal,
        "journal_sequence": agent.journal_sequence,
        "join": agent.join,
        "alarms": agent.alarms.len(),
    })
}

fn disks(rows: &[(String, i64)], owners: &[(String, i64)]) -> Value {
    rows.iter().map(|(report, seen_at)| disk(report, *seen_at, owners)).collect()
}

/// Without whose it is, and without its next number.
fn disk(report: &str, seen_at: i64, owners: &[(String, i64)]) -> Value {
    let Ok(report) = serde_json::from_str::<DiskReport>(report) else { return damaged() };
    let owner = owners.iter().find_map(|(row, epoch)| Some((row.strip_prefix(&report.disk)?.strip_prefix(' ')?, *epoch)));
    let stock = report.stock.iter().map(|stock| {
        json!({ "kind": stock.kind, "remaining": stock.remaining, "issue_deadline": stock.issue_deadline, "upload_day": stock.upload_day })
    });
    json!({
        "disk": report.disk,
        "seen_at": Timestamp(seen_at).to_string(),
        "last_agent": owner.map(|(agent, _)| agent),
        "epoch": owner.map(|(_, epoch)| epoch),
        "dialect": report.dialect,
        "port": report.port,
        "kinds": report.kinds,
        "ready": report.health.ready,
        "class": report.health.class.as_ref().map(word),
        "stock": stock.collect::<Value>(),
        "clock_offset_s": report.clock_offset_s,
        "memory_percent": report.memory_percent,
        "password_tries": report.password_tries,
        "sequence": report.sequence,
    })
}
