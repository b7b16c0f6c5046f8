//! Proofs and anchors over a real store.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::What;
use taxdisk_protocol::proof::{Anchor, check};
use taxdisk_protocol::time::Timestamp;

use super::audit::{prove, verify};
use super::conformance::{accept, next};
use super::sqlite::SqliteStore;
use super::{Store, audit};
use crate::core::change::{Audit, Change};

const SELLER: &str = "911101080000000007";

fn key(serial: &str) -> JobKey {
    JobKey { seller: SELLER.parse().unwrap(), serial: serial.parse().unwrap() }
}

async fn anchor(store: &SqliteStore) {
    let heads = store.chains().await.unwrap().into_iter().filter(|head| !head.seller.is_empty());
    let mut heads: Vec<String> =
        heads.map(|head| taxdisk_protocol::proof::head_digest(&head.seller, head.sequence, &head.hash)).collect();
    heads.sort();
    let body = serde_json::json!(Anchor { ledger: store.ledger().to_owned(), heads });
    let audit = Audit { seller: None, at: Timestamp(9), what: taxdisk_protocol::proof::ANCHOR.into(), body };
    store.commit(&[Change::Audit(audit)]).await.unwrap();
}

/// A1 with two events and others between and after; anchored after the first and at the end.
async fn ledger(folder: &tempfile::TempDir) -> SqliteStore {
    let store = SqliteStore::open(&format!("sqlite:{}", folder.path().join("ledger.db").display())).await.unwrap();
    let (job, first) = accept("A1", 1);
    store.commit(&[first, accept("B1", 2).1]).await.unwrap();
    anchor(&store).await;
    let (_, second): (Arc<_>, _) = next(&job, What::Cancelled { by: "k".to_owned(), reason: "r".to_owned() });
    store.commit(&[accept("B2", 3).1, second]).await.unwrap();
    store
}

#[tokio::test]
async fn a_proof_holds_without_the_ledger_and_one_byte_changed_anywhere_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = ledger(&folder).await;
    assert!(prove(&store, &key("A1")).await.unwrap().is_none(), "its last event is not anchored");
    anchor(&store).await;
    let text = prove(&store, &key("A1")).await.unwrap().unwrap().text();
    let proven = check(&text).unwrap();
    assert_eq!((proven.job.revision, proven.events.len(), proven.anchors.len()), (2, 2, 2));
    assert!(!text.contains("hash of B1") && !text.contains("\"B2\""), "nobody else's entries are shown");
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let noticed = String::from_utf8(bytes).map_or(true, |changed| check(&changed).is_err());
        assert!(noticed, "byte {at}: {:?}", &text[at.saturating_sub(30)..(at + 10).min(text.len())]);
    }
    // Whoever changes it and mends the checksum meets the chain.
    let mut forged: taxdisk_protocol::proof::Proof = serde_json::from_str(&text).unwrap();
    for segment in &mut forged.segments {
        for link in &mut segment.links {
            if let taxdisk_protocol::proof::Link::Entry(entry) = link {
                entry.body = entry.body.replace("k_1", "k_2");
            }
        }
    }
    let (ledger, segments) = (forged.ledger.clone(), forged.segments.clone());
    let mended = taxdisk_protocol::proof::Proof::new(ledger.clone(), SELLER.to_owned(), "A1".to_owned(), segments);
    assert!(check(&mended.text()).unwrap_err().to_string().contains("entry 1"));
    // And an event that is left out leaves a gap.
    let good: taxdisk_protocol::proof::Proof = serde_json::from_str(&text).unwrap();
    let second = vec![good.segments[1].clone()];
    let short = taxdisk_protocol::proof::Proof::new(ledger, SELLER.to_owned(), "A1".to_owned(), second);
    assert!(check(&short.text()).unwrap_err().to_string().contains("do not add up"));
}

#[tokio::test]
async fn a_chain_that_lost_its_end_is_noticed_by_its_anchor() {
    use sqlx::{ConnectOptions, Connection};
    let folder = tempfile::tempdir().unwrap();
    let store = ledger(&folder).await;
    anchor(&store).await;
    let whole = verify(&store, None).await.unwrap();
    assert!(whole.whole && whole.anchored == 2, "{whole:?}");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("ledger.db"));
    let mut connection = options.connect().await.unwrap();
    sqlx::query("DELETE FROM events WHERE seller = ?1 AND sequence = 4").bind(SELLER).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let one = audit::verify(&store, Some(SELLER)).await.unwrap();
    assert!(one.whole, "alone it looks whole");
    let all = verify(&store, None).await.unwrap();
    assert_eq!((all.whole, all.missing), (false, 1));
}
