//! Agents and disks in the console.

use taxdisk_broker::core::people::ConsoleRole;

use super::{Browser, after};
use crate::support::{Broker, SELLER};

#[tokio::test]
async fn a_code_of_the_console_enrols_one_agent_which_is_revoked_there() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let text = browser.post("/console/agents/enroll", &[("name", "till 3")]).await.text();
    let code = after(&text, "<code>", "</code>").unwrap().to_owned();
    assert!(text.contains("<svg class=\"qr\"") && text.contains("h1v1h-1z"), "{text}");
    let body = taxdisk_protocol::api::EnrollBody { code, public_key: "k".to_owned(), version: "1".to_owned() };
    let agent = broker.ledger.enroll(body).await.unwrap().agent;
    let text = browser.get("/console/agents").await.text();
    assert!(text.contains("till 3") && text.contains(&agent), "{text}");
    let path = format!("/console/agents/{agent}/revoke");
    assert_eq!(browser.post(&path, &[]).await.status, 422, "not confirmed");
    assert_eq!(browser.post(&path, &[("confirm", "yes")]).await.status, 303);
    assert!(broker.ledger.agents().await.unwrap()[0].revoked);
    let mut viewer = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = viewer.get("/console/agents").await.text();
    assert!(text.contains("Revoked") && !text.contains("/console/agents/enroll"), "{text}");
}

#[tokio::test]
async fn a_seller_is_paused_with_a_reason_and_let_work_again() {
    let broker = Broker::start().await;
    let mut browser = Browser::of(&broker, "olaf", ConsoleRole::Operator).await;
    let path = format!("/console/pauses/seller/{SELLER}");
    assert_eq!(browser.post(&path, &[("reason", "stocktaking")]).await.status, 422, "which act?");
    assert_eq!(browser.post(&path, &[("act", "drain"), ("reason", "stocktaking")]).await.status, 303);
    let text = browser.get("/console/pauses").await.text();
    assert!(text.contains("stocktaking") && text.contains("console:olaf") && text.contains("Draining"), "{text}");
    assert_eq!(browser.post(&path, &[("act", "resume")]).await.status, 303);
    assert!(broker.ledger.pauses().await.unwrap().is_empty());
    assert_eq!(browser.post("/console/pauses/moon/1", &[("act", "resume")]).await.status, 404);
    assert_eq!(browser.get("/console/disks").await.status, 200);
    assert_eq!(browser.get("/console/disks/660000000000").await.status, 404);
}
