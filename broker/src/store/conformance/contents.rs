//! Contents that end, and what stays of their jobs.

use taxdisk_protocol::job::{EvidenceKind, NewContent, What};

use super::*;

/// What a buyer asks to be removed: invoice and evidence of jobs that ended, and of no other.
pub(crate) async fn contents_of_named_jobs_end_and_open_ones_stay<B: Bench>(bench: B) {
    let store = bench.open().await;
    let (old, changes) = refused("A1", 1);
    store.commit(&changes).await.unwrap();
    let evidence = What::Evidence {
        attempt: 1,
        kind: EvidenceKind::LateOutcome,
        from: "ag_x".to_owned(),
        named: None,
        cleared: false,
        body: serde_json::json!({ "buyer": "张三" }),
    };
    let (_, evidence) = next(&old, evidence);
    store.commit(&[evidence, accept("A2", 2).1, accept("A3", 3).1]).await.unwrap();
    store.commit(&[Change::EndContentsOf(vec![key("A1"), key("A2"), key("A9")])]).await.unwrap();
    let store = bench.reopen(store).await;
    let has = async |serial| store.job(&key(serial)).await.unwrap().unwrap().invoice.is_some();
    assert_eq!((has("A1").await, has("A2").await, has("A3").await), (false, true, true), "a job that goes on keeps its content");
    let events = store.events(&key("A1")).await.unwrap();
    assert!(matches!(&events[0].what, What::Accepted { invoice: None, hash, .. } if hash == "hash of A1"), "its number is known");
    assert!(!format!("{events:?}").contains("张三"), "what was kept as evidence names him too: {events:?}");
    let checked = check(&store).await.unwrap();
    assert!(checked.is_whole() && checked.ended == 2, "{checked:?}");
}

/// The retention time ends invoices of jobs that ended, and nothing else: the chain and the jobs stay whole.
pub(crate) async fn contents_end_and_the_chain_stays_whole<B: Bench>(bench: B) {
    let store = bench.open().await;
    let (old, accepted) = accept("A1", 1);
    let (_, gone) = next(&old, What::Cancelled { by: "k".to_owned(), reason: String::new() });
    store.commit(&[Change::Served(10)]).await.unwrap();
    store.commit(&[accepted, gone, accept("A2", 2).1]).await.unwrap();
    let (young, accepted) = accept("A3", 3);
    let (_, gone) = next(&young, What::Cancelled { by: "k".to_owned(), reason: String::new() });
    store.commit(&[Change::Served(11)]).await.unwrap();
    store.commit(&[accepted, gone]).await.unwrap();
    store.commit(&[Change::EndContents(9)]).await.unwrap();
    assert!(store.job(&key("A1")).await.unwrap().unwrap().invoice.is_some(), "not due");
    store.commit(&[Change::EndContents(10)]).await.unwrap();
    let has = async |serial| store.job(&key(serial)).await.unwrap().unwrap().invoice.is_some();
    assert_eq!((has("A1").await, has("A2").await, has("A3").await), (false, true, true), "A2 waits, A3 is young");
    let events = store.events(&key("A1")).await.unwrap();
    assert!(matches!(&events[0].what, What::Accepted { invoice: None, hash, .. } if hash == "hash of A1"));
    let checked = check(&store).await.unwrap();
    assert!(checked.is_whole() && checked.ended == 1, "{checked:?}");
    let store = bench.reopen(store).await;
    assert_eq!(store.restore().await.unwrap().served, 11);
    // It comes back with its content, and that one stays.
    let job = store.job(&key("A1")).await.unwrap().unwrap();
    let (hash, fields) = (job.version().hash.clone(), job.version().fields.clone());
    let content = Some(NewContent { invoice: Some(Default::default()), hash, fields });
    let (job, again) =
        next(&job, What::Reissued { by: "k".to_owned(), reason: "r".to_owned(), content, about: None, bulk: None });
    assert_eq!(job.versions.len(), 1, "the same content is no new version");
    store.commit(&[again, Change::EndContents(100)]).await.unwrap();
    assert!(store.job(&key("A1")).await.unwrap().unwrap().invoice.is_some(), "a job that goes on keeps its content");
    assert!(check(&store).await.unwrap().is_whole());
}
