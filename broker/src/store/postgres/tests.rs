//! The suite over PostgreSQL, and what only several brokers on one database can do to each other.
#![allow(clippy::unwrap_used)]

use std::str::FromStr;

use serde_json::json;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use taxdisk_protocol::api::{Fault, JobProblem};
use taxdisk_protocol::job::What;
use taxdisk_web::keyring::Shut;
use tokio::sync::Semaphore;

use super::lease::Candidate;
use super::*;
use crate::ledger::Ledger;
use crate::store::check;
use crate::store::conformance::{Bench, accept, assigned_change, cancelled, next, suite_of};
use crate::store::outline::Outline;
use crate::store::vault::with_factor;

/// The server of the end-to-end tests.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../../tests/src/postgres.rs"]
pub(in crate::store) mod server;

use server::Server;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// Stops a commit before its end until the test says so.
#[derive(Debug, Clone)]
pub(super) struct Stall {
    reached: Arc<Semaphore>,
    go: Arc<Semaphore>,
}

impl Stall {
    fn new() -> Stall {
        Stall { reached: Arc::new(Semaphore::new(0)), go: Arc::new(Semaphore::new(0)) }
    }

    pub(super) async fn wait(&self) {
        self.reached.add_permits(1);
        self.go.acquire().await.unwrap().forget();
    }
}

struct Place {
    server: Arc<Server>,
    url: String,
}

impl Place {
    fn new() -> Place {
        let server = Server::shared();
        Place { url: server.database(), server }
    }

    async fn database(&self) -> Database {
        Database::connect(&self.url, false).await.unwrap()
    }

    fn ask(&self, statement: &str) -> String {
        let name = self.url.split(['/', '?']).nth(3).unwrap();
        self.server.ask(name, statement).unwrap()
    }
}

fn candidate(holder: &str, length: Duration) -> Candidate {
    Candidate { holder: holder.to_owned(), url: Some(format!("http://{holder}")), secret: format!("s-{holder}"), length }
}

async fn lead(database: &Database, holder: &str, length: Duration) -> PostgresStore {
    let lease = database.take(&candidate(holder, length)).await.unwrap().unwrap();
    PostgresStore::open(database, Arc::new(lease)).await.unwrap()
}

impl Bench for Place {
    type Store = PostgresStore;

    async fn open(&self) -> PostgresStore {
        lead(&self.database().await, "suite", LONG).await
    }

    async fn reopen(&self, store: PostgresStore) -> PostgresStore {
        store.close().await.unwrap();
        self.open().await
    }

    async fn damage(&self, seller: &str, sequence: i64) {
        let mut connection = PgConnectOptions::from_str(&self.url).unwrap().connect().await.unwrap();
        sqlx::query("UPDATE events SET body = replace(body, 'hash of', 'hash Of') WHERE seller = $1 AND sequence = $2")
            .bind(seller)
            .bind(sequence)
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

suite_of!(Place::new());

/// All contents are sealed.
struct Sealed {
    place: Place,
    vault: Vault,
}

impl Sealed {
    fn new() -> Sealed {
        Sealed { place: Place::new(), vault: Vault::parse(&crate::store::vault::new_key()).unwrap() }
    }

    async fn lead(&self, vault: Vault) -> PostgresStore {
        let database = self.place.database().await;
        let lease = database.take(&candidate("suite", LONG)).await.unwrap().unwrap();
        PostgresStore::open_with(&database, Arc::new(lease), vault).await.unwrap()
    }
}

impl Bench for Sealed {
    type Store = PostgresStore;

    async fn open(&self) -> PostgresStore {
        self.lead(self.vault.clone()).await
    }

    async fn reopen(&self, store: PostgresStore) -> PostgresStore {
        store.close().await.unwrap();
        self.open().await
    }

    async fn damage(&self, seller: &str, sequence: i64) {
        self.place.damage(seller, sequence).await;
    }
}

mod sealed {
    use super::Sealed;
    use crate::store::conformance::suite_of;

    suite_of!(Sealed::new());
}

#[tokio::test]
async fn no_row_holds_a_sealed_content_and_a_new_key_seals_all_of_them() {
    let bench = Sealed::new();
    let store = bench.open().await;
    let (anna, secret) = with_factor("anna");
    store.commit(&[accept("A1", 1).1, Change::User(anna)]).await.unwrap();
    let plain = &format!(
        "SELECT (SELECT count(*) FROM jobs WHERE body LIKE '%引号%') + (SELECT count(*) FROM events WHERE content LIKE '%引号%') \
         + (SELECT count(*) FROM users WHERE body LIKE '%{secret}%')"
    );
    assert_eq!(bench.place.ask(plain).trim(), "0");
    store.close().await.unwrap();
    let store = bench.lead(Vault::default()).await;
    assert!(matches!(store.restore().await, Err(StoreError::Shut(Shut::Missing(_)))), "without the key none is read");
    store.close().await.unwrap();
    let store = bench.open().await;
    assert_eq!(store.rekey(true).await.unwrap(), 3);
    assert_eq!(bench.place.ask(plain).trim(), "3");
    assert_eq!(store.rekey(false).await.unwrap(), 3);
    assert_eq!(bench.place.ask(plain).trim(), "0");
    assert!(check::check(&store).await.unwrap().is_whole());
}

fn key(serial: &str) -> JobKey {
    JobKey { seller: "911101080000000007".parse().unwrap(), serial: serial.parse().unwrap() }
}

/// Makes the lease look as if its holder had been silent for long.
fn expire(place: &Place) {
    place.ask("UPDATE leases SET renewed_at = renewed_at - interval '1 day'");
}

#[tokio::test]
async fn the_outline_is_the_same_of_both_stores_and_needs_no_lead() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let (here, there) = (crate::store::sqlite::SqliteStore::open(&file).await.unwrap(), place.open().await);
    let (assigned, one) = accept("A1", 1);
    let (withdrawn, two) = accept("A2", 2);
    let (failed, three) = accept("A3", 3);
    let problem = JobProblem { code: "policy".to_owned(), fault: Fault::Policy, class: None, text: "张三".to_owned() };
    let what = What::Failed { problem };
    let changes =
        [vec![one, two, three, cancelled(&withdrawn), next(&failed, what).1], assigned_change(&assigned).into()].concat();
    here.commit(&changes).await.unwrap();
    there.commit(&changes).await.unwrap();
    // Who reads beside the broker sees what it has written to the tables; a page makes it do so.
    assert_eq!(here.chains().await.unwrap().len(), 1);
    let mut outlines = Vec::new();
    for url in [&file, &place.url] {
        let mut outline = Outline::open(url).await.unwrap();
        let mut read = outline.read().await;
        let own = [read["ledger"].take(), read["rows"]["version of the tables"].take()];
        assert!(own[0].as_str().unwrap().starts_with("lg_") && own[1].as_i64() >= Some(11), "{own:?}");
        assert!(outline.newest_entry().await.unwrap().is_none(), "the broker did nothing by itself");
        outlines.push((read, outline.entries().await));
    }
    let (read, entries) = &outlines[1];
    assert!(!read.to_string().contains("trouble") && !read.to_string().contains("张三"), "{read}");
    assert_eq!(read["jobs"], json!({ "assigned": 1, "cancelled": 1, "failed": 1 }));
    assert_eq!(read["problems_of_jobs_that_ended_without_an_invoice"], json!({ "none": 1, "policy": 1 }));
    assert_eq!(read["oldest_open_jobs"][0]["attempts"][0]["epoch"], 1);
    assert_eq!(read["newest_jobs_that_ended_without_an_invoice"][0]["problem"]["code"], "policy");
    assert_eq!(entries, &json!([]));
    assert_eq!(outlines[0], outlines[1]);
    let told = Outline::open(&place.url).await.unwrap().server_time().await.unwrap().unwrap();
    assert!(told.since_ms((Ledger::system_clock())()).abs() < 60_000, "{told}");
    let mut reader = Database::look(&place.url).await.unwrap();
    assert!(sqlx::query("DELETE FROM jobs").execute(&mut reader).await.is_err(), "it cannot write");
}

#[tokio::test]
async fn one_leads_and_the_others_are_told_who() {
    let place = Place::new();
    let (first, second) = (place.database().await, place.database().await);
    assert!(first.seat().await.unwrap().free);
    let lease = first.take(&candidate("one", LONG)).await.unwrap().unwrap();
    assert!(second.take(&candidate("two", LONG)).await.unwrap().is_none());
    let seat = second.seat().await.unwrap();
    assert_eq!(
        (seat.term, seat.url.as_deref(), seat.secret.as_deref(), seat.free),
        (1, Some("http://one"), Some("s-one"), false)
    );
    assert!(first.renew(&lease).await.unwrap() && lease.holds());
    // Released: the next one need not wait, and hears of it.
    let mut listener = second.listen().await.unwrap();
    first.release(&lease).await.unwrap();
    assert!(!lease.holds());
    listener.recv().await.unwrap();
    let next = second.take(&candidate("two", LONG)).await.unwrap().unwrap();
    assert_eq!(next.term(), 2);
    assert!(!first.renew(&lease).await.unwrap());
    // A late release of the first takes nothing from the second.
    first.release(&lease).await.unwrap();
    assert_eq!(second.seat().await.unwrap().holder.as_deref(), Some("two"));
}

#[tokio::test]
async fn a_deposed_leader_commits_nothing() {
    let place = Place::new();
    let (first, second) = (place.database().await, place.database().await);
    let old = lead(&first, "one", LONG).await;
    old.commit(&[accept("A1", 1).1]).await.unwrap();
    // It was stopped for longer than its lease, and wakes up.
    expire(&place);
    let new = lead(&second, "two", LONG).await;
    assert!(old.leads(), "it does not know yet");
    assert!(matches!(old.commit(&[accept("A2", 2).1]).await, Err(StoreError::Fenced)));
    assert!(!old.leads());
    assert!(matches!(old.commit(&[accept("A3", 3).1]).await, Err(StoreError::Fenced)), "and never again");
    // The new one never sees a trace of it, and goes on with the same chain.
    new.commit(&[accept("A2", 2).1]).await.unwrap();
    assert!(new.job(&key("A3")).await.unwrap().is_none());
    assert!(matches!(new.verify(Some(&key("A1").seller)).await.unwrap(), Verified::Whole { entries: 2, .. }));
    // The same process, led again after it threw everything away, has another term: its old store stays shut.
    expire(&place);
    let again = lead(&first, "one", LONG).await;
    assert!(matches!(old.commit(&[accept("A4", 4).1]).await, Err(StoreError::Fenced)));
    again.commit(&[accept("A4", 3).1]).await.unwrap();
}

#[tokio::test]
async fn a_takeover_waits_for_the_commit_that_runs() {
    let place = Place::new();
    let (first, second) = (place.database().await, place.database().await);
    let old = Arc::new(lead(&first, "one", LONG).await);
    let stall = Stall::new();
    old.writer.lock().await.stall = Some(stall.clone());
    let committing = old.clone();
    let commit = tokio::spawn(async move { committing.commit(&[accept("A1", 1).1]).await });
    stall.reached.acquire().await.unwrap().forget();
    // The lease ends in the middle of the commit. Nobody can change its row: the commit has locked it.
    let candidate = candidate("two", LONG);
    let mut control = second.open().await.unwrap();
    sqlx::query("SET lock_timeout = '100ms'").execute(&mut control).await.unwrap();
    let refused = sqlx::query("UPDATE leases SET term = term + 1").execute(&mut control).await.unwrap_err();
    assert!(refused.as_database_error().unwrap().code().as_deref() == Some("55P03"), "{refused}");
    stall.go.add_permits(1);
    commit.await.unwrap().unwrap();
    expire(&place);
    let new = PostgresStore::open(&second, Arc::new(second.take(&candidate).await.unwrap().unwrap())).await.unwrap();
    assert_eq!(new.restore().await.unwrap().jobs.len(), 1, "what was committed is there");
}

#[tokio::test]
async fn a_leader_that_stops_in_the_middle_of_a_commit_is_passed_over() {
    let place = Place::new();
    let (first, second) = (place.database().await, place.database().await);
    // The row is locked by the commit, so the lease must end by itself.
    let old = Arc::new(lead(&first, "one", Duration::from_millis(500)).await);
    let stall = Stall::new();
    old.writer.lock().await.stall = Some(stall.clone());
    let committing = old.clone();
    let commit = tokio::spawn(async move { committing.commit(&[accept("A1", 1).1]).await });
    stall.reached.acquire().await.unwrap().forget();
    // The server ends a transaction whose owner says nothing; then the row is free.
    let mut new = None;
    for _ in 0..200 {
        if let Ok(Some(lease)) = second.take(&candidate("two", LONG)).await {
            new = Some(PostgresStore::open(&second, Arc::new(lease)).await.unwrap());
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let new = new.expect("a stopped leader keeps nobody from leading");
    assert!(!old.leads());
    stall.go.add_permits(1);
    assert!(matches!(commit.await.unwrap(), Err(StoreError::Database(_))));
    assert!(matches!(old.commit(&[accept("A1", 1).1]).await, Err(StoreError::Fenced)), "a broken store takes no more");
    assert!(new.restore().await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn two_that_compete_never_both_lead() {
    let place = Place::new();
    let databases = [place.database().await, place.database().await, place.database().await];
    for round in 1..=20 {
        let candidates = ["a", "b", "c"].map(|name| candidate(name, LONG));
        let taken =
            futures_util::future::join_all(databases.iter().zip(&candidates).map(|(database, one)| database.take(one))).await;
        let terms: Vec<i64> = taken.into_iter().filter_map(|lease| lease.unwrap()).map(|lease| lease.term()).collect();
        assert_eq!(terms, [round], "one of three, and the term grows");
        expire(&place);
    }
}

#[tokio::test]
async fn free_text_may_hold_what_postgres_text_cannot() {
    let place = Place::new();
    let store = lead(&place.database().await, "one", LONG).await;
    let name = "a\0b".to_owned();
    let row = crate::core::change::EnrollmentRow {
        hash: "h".to_owned(),
        name: name.clone(),
        expires_at: taxdisk_protocol::time::Timestamp(9),
        used_by: None,
        what: Default::default(),
    };
    store.commit(&[Change::Enrollment(row)]).await.unwrap();
    assert_eq!(store.restore().await.unwrap().enrollments[0].name, name);
    let filter = JobFilter { serial_prefix: Some("\0".to_owned()), ..JobFilter::default() };
    assert!(store.jobs(&filter, None, 10).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn commits_are_flushed_whatever_the_database_prefers() {
    let place = Place::new();
    let name = place.url.split(['/', '?']).nth(3).unwrap();
    place.ask(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    place.ask(&format!("ALTER DATABASE {name} SET statement_timeout = 0"));
    let store = lead(&place.database().await, "one", LONG).await;
    let mut writer = store.writer.lock().await;
    for (setting, value) in [
        ("synchronous_commit", "on"),
        ("statement_timeout", "15s"),
        ("lock_timeout", "8s"),
        ("idle_in_transaction_session_timeout", "4s"),
    ] {
        let shown: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&mut writer.connection).await.unwrap();
        assert_eq!(shown, value, "{setting}");
    }
}

#[tokio::test]
async fn a_server_that_would_lose_a_commit_is_refused() {
    let server = Server::start(&["fsync=off"]);
    let refused = Database::connect(&server.database(), false).await.unwrap_err();
    assert!(refused.to_string().contains("fsync"), "{refused}");
    drop(server);
    // One that waits for no second server, where that was asked for; also later, while somebody leads.
    let place = Place::new();
    let refused = Database::connect(&place.url, true).await.unwrap_err();
    assert!(refused.to_string().contains("synchronous_standby_names"), "{refused}");
    let mut database = place.database().await;
    let lease = database.take(&candidate("one", LONG)).await.unwrap().unwrap();
    database.replicated = true;
    assert!(database.renew(&lease).await.is_err());
    assert!(!lease.holds());
    // And nobody begins to lead there.
    let refused = database.take(&candidate("one", LONG)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unreplicated(_)), "{refused}");
}

#[tokio::test]
async fn a_lead_ends_where_the_primary_is_another_server() {
    let place = Place::new();
    let mut database = place.database().await;
    // The same rows under another address, as on a standby that was promoted.
    database.servers.push(database.servers[0].clone());
    let lease = database.take(&candidate("one", LONG)).await.unwrap().unwrap();
    assert!(database.renew(&lease).await.unwrap());
    *database.control.lock().await = None;
    database.primary.store(1, std::sync::atomic::Ordering::Relaxed);
    assert!(!database.renew(&lease).await.unwrap(), "writer and readers of this lead are still at the first server");
    assert!(!lease.holds());
    // It is taken anew there, and everything of it goes there.
    let lease = database.take(&candidate("one", LONG)).await.unwrap().unwrap();
    assert!(lease.server() == 1 && database.renew(&lease).await.unwrap());
}

#[tokio::test]
async fn tables_of_a_newer_version_are_left_alone() {
    let place = Place::new();
    let database = place.database().await;
    place.ask("INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), true, '', 0)");
    let refused = database.take(&candidate("one", LONG)).await.unwrap_err();
    assert!(refused.to_string().contains("newer version"), "{refused}");
    assert!(database.seat().await.unwrap().free);
}

#[tokio::test]
async fn a_commit_costs_the_same_however_many_jobs_there_are() {
    const JOBS: u64 = 3000;
    const STEPS: u64 = 30;
    let place = Place::new();
    let store = place.open().await;
    let accepted: Vec<_> = (0..JOBS).map(|n| accept(&format!("G{n}"), n + 1)).collect();
    // The statement is known to the server well before the table is large, and nobody takes statistics.
    for (job, change) in &accepted[..20] {
        store.commit(std::slice::from_ref(change)).await.unwrap();
        store.commit(&assigned_change(job)).await.unwrap();
    }
    for some in accepted[20..].chunks(500) {
        store.commit(&some.iter().map(|(_, change)| change.clone()).collect::<Vec<_>>()).await.unwrap();
    }
    for (job, _) in &accepted[100..100 + STEPS as usize] {
        store.jobs_by_key(std::slice::from_ref(&job.key)).await.unwrap();
        store.commit(&assigned_change(job)).await.unwrap();
    }
    // What a connection has counted is told when it ends.
    store.close().await.unwrap();
    let ask = |column: &str| {
        let asked = place.ask(&format!("SELECT {column} FROM pg_stat_user_tables WHERE relname = 'jobs'"));
        asked.trim().parse::<u64>().unwrap()
    };
    tokio::time::timeout(Duration::from_secs(60), async {
        while ask("n_tup_ins") < JOBS || ask("n_tup_upd") < 20 + STEPS {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the counts arrive");
    let scanned = ask("seq_tup_read");
    assert!(scanned < JOBS, "{scanned} rows were read one after the other to change {STEPS} of them");
}
