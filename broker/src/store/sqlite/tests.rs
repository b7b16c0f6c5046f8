//! The suite over SQLite files.
#![allow(clippy::unwrap_used)]

use sqlx::{ConnectOptions, Connection};

use super::*;
use crate::store::conformance::{Bench, suite_of};

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        Files { folder: tempfile::tempdir().unwrap() }
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("ledger.db").display())
    }
}

impl Bench for Files {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.url()).await.unwrap()
    }

    async fn reopen(&self, store: SqliteStore) -> SqliteStore {
        store.close().await.unwrap();
        self.open().await
    }

    async fn damage(&self, seller: &str, sequence: i64) {
        let mut connection = SqliteConnectOptions::from_str(&self.url()).unwrap().connect().await.unwrap();
        sqlx::query("UPDATE events SET body = replace(body, 'hash of', 'hash Of') WHERE seller = ?1 AND sequence = ?2")
            .bind(seller)
            .bind(sequence)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
}

suite_of!(Files::new());

#[tokio::test]
async fn every_commit_is_flushed_to_the_medium() {
    let files = Files::new();
    let store = files.open().await;
    let mut writer = store.writer.lock().await;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut writer.connection).await.unwrap();
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut writer.connection).await.unwrap();
    assert_eq!((synchronous, journal.as_str()), (2, "wal"));
}

#[tokio::test]
async fn a_second_writer_on_the_same_file_fails_closed() {
    let files = Files::new();
    let (first, second) = (files.open().await, files.open().await);
    let accept = |serial, place| crate::store::conformance::accept(serial, place).1;
    first.commit(&[accept("A1", 1)]).await.unwrap();
    second.commit(&[accept("A2", 2)]).await.unwrap();
    // The first one still believes in its own head of the chain.
    assert!(matches!(first.commit(&[accept("A3", 3)]).await, Err(StoreError::Stale(_))));
    assert!(
        first
            .job(&"A3".parse().map(|serial| JobKey { seller: "911101080000000007".parse().unwrap(), serial }).unwrap())
            .await
            .unwrap()
            .is_none()
    );
}
