//! Brings chains of version 1 to version 2 (decision 0015), in one transaction, before the first answer.
//!
//! Version 1 hashed whole events, so that no content could ever end. Every old chain is verified first: one that is broken stays
//! as it is, and the broker does not start. The old head of each chain is entered in the new one, so that a head that somebody
//! noted can still be found.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use taxdisk_protocol::job::Event;

use super::super::StoreError;
use super::super::chain::{self, Hash};
use super::super::encoding::{damaged, json};

/// Rows at a time.
const STEP: i64 = 1000;

pub(super) async fn to_version_2(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let version: Option<String> =
        sqlx::query_scalar("SELECT value FROM meta WHERE name = 'chain'").fetch_optional(&mut *connection).await?;
    match version.as_deref() {
        Some(chain::VERSION) => return Ok(()),
        Some(other) => return Err(StoreError::Damaged(format!("chains of version {other} are not known to this program"))),
        None => {}
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let sellers: Vec<String> = sqlx::query_scalar("SELECT DISTINCT seller FROM events").fetch_all(&mut *transaction).await?;
    let mut heads = BTreeMap::new();
    for seller in sellers {
        heads.insert(seller.clone(), rechain(&mut transaction, &seller).await?);
    }
    for (seller, old) in heads {
        note(&mut transaction, &seller, old).await?;
    }
    sqlx::query("INSERT INTO meta (name, value) VALUES ('chain', ?1)").bind(chain::VERSION).execute(&mut *transaction).await?;
    // If we stop before this is durable, the next start finds version 1 and does it all again.
    transaction.commit().await?;
    Ok(())
}

/// Verifies one chain of version 1 and writes it as version 2. Gives back its old last entry.
async fn rechain(connection: &mut SqliteConnection, seller: &str) -> Result<(i64, Hash), StoreError> {
    let (mut old, mut new) = ((0_i64, chain::ROOT), (0_i64, chain::ROOT));
    loop {
        let rows = sqlx::query(
            "SELECT sequence, at, serial, revision, what, body, hash FROM events WHERE seller = ?1 AND sequence > ?2 \
             ORDER BY sequence LIMIT ?3",
        )
        .bind(seller)
        .bind(old.0)
        .bind(STEP)
        .fetch_all(&mut *connection)
        .await?;
        if rows.is_empty() {
            return Ok(old);
        }
        for row in &rows {
            let entry = chain::Entry {
                seller,
                sequence: row.try_get(0)?,
                at: row.try_get(1)?,
                serial: row.try_get(2)?,
                revision: row.try_get(3)?,
                what: row.try_get(4)?,
                body: row.try_get(5)?,
                content_hash: "",
            };
            let hash = hash_v1(&old.1, &entry);
            if entry.sequence != old.0 + 1 || hex::encode(hash) != row.try_get::<&str, _>(6)? {
                let text = format!("entry {} of the chain of {seller:?} is not as it was written", old.0 + 1);
                return Err(StoreError::Damaged(text));
            }
            old = (entry.sequence, hash);
            let (body, content) = split(&entry)?;
            let content_hash = content.as_deref().map_or_else(String::new, chain::content_hash);
            let entry = chain::Entry { body: &body, content_hash: &content_hash, ..entry };
            new = (entry.sequence, chain::hash(&new.1, &entry));
            sqlx::query(
                "UPDATE events SET body = ?3, content = ?4, content_hash = ?5, hash = ?6 WHERE seller = ?1 AND sequence = ?2",
            )
            .bind(seller)
            .bind(new.0)
            .bind(&body)
            .bind(&content)
            .bind(&content_hash)
            .bind(hex::encode(new.1))
            .execute(&mut *connection)
            .await?;
        }
    }
}

fn split(entry: &chain::Entry<'_>) -> Result<(String, Option<String>), StoreError> {
    if entry.serial.is_empty() {
        return Ok((entry.body.to_owned(), None));
    }
    Ok(json::<Event>("event", entry.body)?.parts())
}

/// Enters in the new chain what the last entry of the old one was.
async fn note(connection: &mut SqliteConnection, seller: &str, old: (i64, Hash)) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT at, hash FROM events WHERE seller = ?1 AND sequence = ?2")
        .bind(seller)
        .bind(old.0)
        .fetch_one(&mut *connection)
        .await?;
    let mut head = chain::ROOT;
    hex::decode_to_slice(row.try_get::<&str, _>(1)?, &mut head).map_err(|error| damaged("hash of an event", error))?;
    let draft = chain::Draft {
        seller,
        at: row.try_get(0)?,
        serial: "",
        revision: 0,
        what: "chain_version",
        body: serde_json::json!({ "from": "1", "to": chain::VERSION, "entries": old.0, "head": hex::encode(old.1) }).to_string(),
        content: None,
        content_hash: String::new(),
    };
    let (sequence, hash) = draft.place((old.0, head));
    sqlx::query(
        "INSERT INTO events (seller, sequence, at, serial, revision, what, body, hash) VALUES (?1, ?2, ?3, '', 0, ?4, ?5, ?6)",
    )
    .bind(seller)
    .bind(sequence)
    .bind(draft.at)
    .bind(draft.what)
    .bind(draft.body)
    .bind(hex::encode(hash))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The hash of version 1.
fn hash_v1(previous: &Hash, entry: &chain::Entry<'_>) -> Hash {
    let mut hasher = Sha256::new_with_prefix("taxdisk chain v1");
    hasher.update(previous);
    for number in [entry.sequence, entry.at, entry.revision] {
        hasher.update(number.to_be_bytes());
    }
    for text in [entry.seller, entry.serial, entry.what, entry.body] {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::str::FromStr;

    use sqlx::ConnectOptions;
    use sqlx::sqlite::SqliteConnectOptions;
    use taxdisk_protocol::ids::JobKey;
    use taxdisk_protocol::job::What;

    use super::super::super::encoding::text;
    use super::*;
    use crate::store::Store;
    use crate::store::chain::Verified;
    use crate::store::sqlite::SqliteStore;

    const SELLER: &str = "911101080000000007";

    /// A ledger as version 0.1.0 wrote it: two jobs, and an entry of the broker's own.
    async fn old_ledger(url: &str) -> SqliteConnection {
        let options = SqliteConnectOptions::from_str(url).unwrap().create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        // What the migrations made then.
        sqlx::raw_sql(include_str!("migrations/0001_ledger.sql")).execute(&mut connection).await.unwrap();
        let mut heads = BTreeMap::from([("", (0, chain::ROOT)), (SELLER, (0, chain::ROOT))]);
        for (seller, serial) in [(SELLER, "A1"), ("", ""), (SELLER, "A2")] {
            let body = match seller {
                "" => r#"{"by":"test"}"#.to_owned(),
                _ => {
                    let (_, change) = crate::store::conformance::accept(serial, 1);
                    let crate::core::change::Change::Job { event, .. } = change else { panic!() };
                    text(&Event { origin: None, ..event })
                }
            };
            let head = heads.get_mut(seller).unwrap();
            let sequence = head.0 + 1;
            let entry =
                chain::Entry { seller, sequence, at: 5, serial, revision: 0, what: "accepted", body: &body, content_hash: "" };
            let hash = hash_v1(&head.1, &entry);
            *head = (sequence, hash);
            sqlx::query("INSERT INTO events VALUES (?1, ?2, 5, ?3, 0, 'accepted', ?4, ?5)")
                .bind(seller)
                .bind(sequence)
                .bind(serial)
                .bind(&body)
                .bind(hex::encode(hash))
                .execute(&mut connection)
                .await
                .unwrap();
        }
        connection
    }

    /// Leaves the file as the program of then did: with the record of its one migration.
    async fn as_then(mut connection: SqliteConnection) {
        let all = crate::store::schema::sqlite();
        let first = all.iter().next().unwrap();
        sqlx::raw_sql(
            "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL \
             DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (?1, ?2, 1, ?3, 0)",
        )
        .bind(first.version)
        .bind(first.description.as_ref())
        .bind(first.checksum.as_ref())
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
    }

    fn url(folder: &tempfile::TempDir) -> String {
        format!("sqlite:{}", folder.path().join("ledger.db").display())
    }

    #[tokio::test]
    async fn old_chains_are_brought_over_whole() {
        let folder = tempfile::tempdir().unwrap();
        as_then(old_ledger(&url(&folder)).await).await;
        for _ in 0..2 {
            let store = SqliteStore::open(&url(&folder)).await.unwrap();
            let seller = SELLER.parse().unwrap();
            assert!(matches!(store.verify(Some(&seller)).await.unwrap(), Verified::Whole { entries: 3, ended: 0, .. }));
            assert!(matches!(store.verify(None).await.unwrap(), Verified::Whole { entries: 2, .. }));
            let key = JobKey { seller, serial: "A2".parse().unwrap() };
            let events = store.events(&key).await.unwrap();
            assert!(matches!(&events[0].what, What::Accepted { invoice: Some(invoice), .. } if !invoice.remark.is_empty()));
            store.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_old_chain_that_was_changed_is_not_made_good() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = old_ledger(&url(&folder)).await;
        let changed = "UPDATE events SET body = replace(body, 'hash of A1', 'hash of B1') WHERE seller = ?1 AND sequence = 1";
        assert_eq!(sqlx::query(changed).bind(SELLER).execute(&mut connection).await.unwrap().rows_affected(), 1);
        as_then(connection).await;
        let error = SqliteStore::open(&url(&folder)).await.unwrap_err();
        assert!(error.to_string().contains("entry 1"), "{error}");
    }
}
