#![allow(clippy::unwrap_used)]

use sqlx::Executor;
use taxdisk_protocol::api::{KeyAction, Role};
use taxdisk_protocol::time::Timestamp;

use super::*;
use crate::core::change::{Audit, Change, KeyRow};
use crate::core::types::JobFilter;
use crate::store::conformance::{accept, assigned_change, cancelled};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::tests::server::Server;

struct Place {
    folder: tempfile::TempDir,
    server: Arc<Server>,
    to: String,
}

impl Place {
    fn new() -> Place {
        let server = Server::shared();
        Place { folder: tempfile::tempdir().unwrap(), to: server.database(), server }
    }

    fn from(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("ledger.db").display())
    }

    async fn source(&self) -> SqliteStore {
        SqliteStore::open(&self.from()).await.unwrap()
    }

    async fn target(&self) -> PostgresStore {
        let database = Database::connect(&self.to, false).await.unwrap();
        let candidate =
            Candidate { holder: "test".to_owned(), url: None, secret: String::new(), length: Duration::from_secs(600) };
        let lease = database.take(&candidate).await.unwrap().expect("the migration gave its lease back");
        PostgresStore::open(&database, Arc::new(lease)).await.unwrap()
    }

    /// More rows than travel together, jobs that ended and that have not, text that needs escaping.
    async fn fill(&self) -> SqliteStore {
        let store = self.source().await;
        let mut changes: Vec<Change> = (1..=1200).map(|place| accept(&format!("A{place}"), place).1).collect();
        let key = KeyRow {
            id: "k_1".to_owned(),
            hash: "h".to_owned(),
            name: "店\" \\ '\n".to_owned(),
            role: Role::Platform,
            sellers: Vec::new(),
            created_at: Timestamp(1),
            expires_at: Some(Timestamp(50)),
            revoked_at: None,
            actions: vec![KeyAction::Read],
            used_at: Some(Timestamp(7)),
            about: crate::core::change::KeyAbout { people: vec!["anna".to_owned()] },
        };
        changes.push(Change::Key(key));
        changes.push(Change::Audit(Audit {
            seller: None,
            at: Timestamp(1),
            what: "note".into(),
            body: serde_json::json!({"by": "test"}),
        }));
        store.commit(&changes).await.unwrap();
        let (one, two) = (accept("A1", 1).0, accept("A2", 2).0);
        store.commit(&[cancelled(&one)]).await.unwrap();
        store.commit(&assigned_change(&two)).await.unwrap();
        store
    }
}

#[tokio::test]
async fn a_ledger_moves_whole_and_the_source_is_shut() {
    let place = Place::new();
    let source = place.fill().await;
    let (ledger, restored) = (source.ledger().to_owned(), source.restore().await.unwrap());
    let refused = migrate(&place.from(), &place.to, Vault::default()).await.unwrap_err();
    assert!(refused.to_string().contains("in use"), "while a broker has it open: {refused}");
    source.close().await.unwrap();
    let moved = migrate(&place.from(), &place.to, Vault::default()).await.unwrap();
    assert_eq!((moved.ledger.as_str(), moved.rows["jobs"], moved.rows["events"], moved.chains), (ledger.as_str(), 1200, 1203, 2));
    assert!(!moved.was_there);

    let target = place.target().await;
    assert_eq!(target.ledger(), ledger);
    let again = target.restore().await.unwrap();
    assert_eq!((again.jobs, again.keys, again.fences), (restored.jobs, restored.keys, restored.fences));
    assert_eq!(again.next_place, 1201);
    // What is only asked for by its columns is found.
    let on_disk = JobFilter { disk: Some("661234567890".parse().unwrap()), ..JobFilter::default() };
    let page = target.jobs(&on_disk, None, 10).await.unwrap();
    assert_eq!(page.jobs.iter().map(|job| job.key.serial.as_str()).collect::<Vec<_>>(), ["A2"]);
    let since = JobFilter { since: Some(page.jobs[0].accepted_at), kind: Some(page.jobs[0].kind), ..JobFilter::default() };
    assert_eq!(target.jobs(&since, None, 500).await.unwrap().jobs.len(), 500);
    // The chain goes on in the target only. A broker of a version that does not look takes nothing more either.
    target.commit(&[accept("B1", 1201).1]).await.unwrap();
    let mut older = SqliteConnectOptions::from_str(&place.from()).unwrap().connect().await.unwrap();
    let next = "INSERT INTO events SELECT seller, max(sequence) + 1, at, serial, revision, what, body, hash, content, content_hash \
                FROM events WHERE seller <> ''";
    let refused = older.execute(next).await.unwrap_err();
    assert!(refused.to_string().contains("moved"), "{refused}");
    assert!(SqliteStore::open(&place.from()).await.unwrap_err().to_string().contains("moved"));
    assert!(migrate(&place.from(), &place.to, Vault::default()).await.unwrap_err().to_string().contains("moved"));
}

#[tokio::test]
async fn a_move_that_broke_off_before_its_end_is_finished_by_the_next() {
    let place = Place::new();
    place.fill().await.close().await.unwrap();
    migrate(&place.from(), &place.to, Vault::default()).await.unwrap();
    // As if we had stopped between the two commits.
    let mut connection = SqliteConnectOptions::from_str(&place.from()).unwrap().connect().await.unwrap();
    connection.execute("DROP TRIGGER moved; DELETE FROM meta WHERE name = 'moved_to'").await.unwrap();
    let moved = migrate(&place.from(), &place.to, Vault::default()).await.unwrap();
    assert!(moved.was_there);
    assert!(SqliteStore::open(&place.from()).await.unwrap_err().to_string().contains("moved"));
    // But if a broker was started on the source meanwhile, the two are not the same any more.
    connection.execute("DROP TRIGGER moved; DELETE FROM meta WHERE name = 'moved_to'").await.unwrap();
    let source = SqliteStore::open(&place.from()).await.unwrap();
    source.commit(&[accept("B1", 1201).1]).await.unwrap();
    source.close().await.unwrap();
    let refused = migrate(&place.from(), &place.to, Vault::default()).await.unwrap_err();
    assert!(refused.to_string().contains("nothing was moved"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_moved_whole_is_not_moved_at_all() {
    let place = Place::new();
    place.fill().await.close().await.unwrap();
    let mut connection = SqliteConnectOptions::from_str(&place.from()).unwrap().connect().await.unwrap();
    connection.execute("UPDATE events SET body = replace(body, 'hash of', 'hash Of') WHERE sequence = 700").await.unwrap();
    let refused = migrate(&place.from(), &place.to, Vault::default()).await.unwrap_err();
    assert!(refused.to_string().contains("broken at entry 700"), "{refused}");
    connection.execute("UPDATE events SET body = replace(body, 'hash Of', 'hash of') WHERE sequence = 700").await.unwrap();
    // A text that the target cannot hold breaks the copy in the middle.
    connection.execute("INSERT INTO sellers VALUES ('X', CAST(x'6100' AS TEXT))").await.unwrap();
    assert!(migrate(&place.from(), &place.to, Vault::default()).await.is_err());
    connection.execute("DELETE FROM sellers WHERE seller = 'X'").await.unwrap();
    let database = place.to.split(['/', '?']).nth(3).unwrap();
    assert_eq!(place.server.ask(database, "SELECT count(*) FROM events").unwrap(), "0");
    let source = SqliteStore::open(&place.from()).await.unwrap();
    source.commit(&[accept("B1", 1201).1]).await.unwrap();
    source.close().await.unwrap();
    // Another ledger in the target, and a broker that leads there.
    let target = place.target().await;
    assert!(migrate(&place.from(), &place.to, Vault::default()).await.unwrap_err().to_string().contains("leads"));
    drop(target);
    place.server.ask(database, "UPDATE leases SET holder = NULL").unwrap();
    assert!(migrate(&place.from(), &place.to, Vault::default()).await.unwrap_err().to_string().contains("another ledger"));
}

#[tokio::test]
async fn no_table_is_forgotten() {
    let place = Place::new();
    drop(place.source().await);
    let mut connection = SqliteConnectOptions::from_str(&place.from()).unwrap().connect().await.unwrap();
    // Lists are read by columns of the jobs there.
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' \
         AND name NOT IN ('meta', '_sqlx_migrations', 'accepted', 'attempted')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for name in tables {
        let table = TABLES.iter().find(|table| table.name == name);
        let table = table.unwrap_or_else(|| panic!("{name} is not moved to PostgreSQL"));
        let columns: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_info(?1)").bind(&name).fetch_all(&mut connection).await.unwrap();
        for column in columns {
            assert!(table.columns.split(", ").any(|moved| moved == column), "{name}.{column} is not moved to PostgreSQL");
        }
    }
}
