//! Agents and disks in the console.

use serde_json::json;
use taxdisk_broker::core::people::ConsoleRole;

use super::{Browser, Hands, after};
use crate::link::{Agent, DISK, disks};
use crate::support::{Broker, SELLER, until};

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
    let long = "x".repeat(300);
    let text = browser.post("/console/agents/enroll", &[("name", &long)]).await.text();
    let code = after(&text, "<code>", "</code>").unwrap().to_owned();
    let body = taxdisk_protocol::api::EnrollBody { code, public_key: "k2".to_owned(), version: "1".to_owned() };
    broker.ledger.enroll(body).await.unwrap();
    let agents = broker.ledger.agents().await.unwrap();
    assert!(agents.iter().all(|one| one.name.len() <= 100), "{agents:?}");
    let path = format!("/console/agents/{agent}/revoke");
    assert_eq!(browser.post(&path, &[]).await.status, 422, "not confirmed");
    assert_eq!(browser.post(&path, &[("confirm", "yes")]).await.status, 303);
    let revoked = broker.ledger.agents().await.unwrap().into_iter().find(|one| one.agent == agent);
    assert!(revoked.unwrap().revoked);
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

#[tokio::test]
async fn a_disk_shows_how_its_stock_goes_and_what_is_due() {
    // 2026-02-02: the lock date is in this month, so that a clear is due before it.
    let broker = Broker::start_at(Hands::new().clock(), |_| {}).await;
    let agent = Agent::enrol(&broker).await;
    let mut link = agent.join(&broker, 1).await;
    let mut report = disks();
    report["disks"][0]["stock"][0]["current"] = json!({ "code": "011002000107", "number": "00000001" });
    report["disks"][0]["stock"][0]["issue_deadline"] = json!("20260225");
    link.send(&report).await;
    let grant = link.next().await;
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let path = format!("/console/disks/{DISK}");
    let text = browser.get(&path).await.text();
    assert!(text.contains("Nothing of this kind was issued") && !text.contains("<svg"), "{text}");
    assert!(text.contains("Lock date") && text.contains(">Due<") && text.contains("2026-02-25 23:59:59"), "{text}");
    for n in 1..=3 {
        let serial = format!("A{n}");
        broker.submit(&serial).await;
        let assign = link.next().await;
        let pair = json!({ "code": "011002000107", "number": format!("{n:08}") });
        let attempt = json!({ "seller": SELLER, "serial": serial, "attempt": 1 });
        link.send(&json!({ "type": "started", "disk": DISK, "epoch": grant["epoch"], "attempt": attempt, "expected": pair }))
            .await;
        link.send(&json!({
            "type": "outcome", "id": format!("o{n}"), "disk": DISK, "epoch": grant["epoch"], "readings": [], "disk_ms": 20,
            "sequence": assign["assignment"]["sequence"], "attempt": attempt, "expected": pair,
            "outcome": { "result": "issued", "pair": pair, "issued_at": "20240101120000", "fiscal_code": "1", "signature": "s",
                         "settled": false },
        }))
        .await;
        while link.next().await != json!({ "type": "ack", "ids": [format!("o{n}")] }) {}
    }
    until("the page counts them", || {
        let (mut other, path) = (browser.again(), path.clone());
        async move { other.get(&path).await.text().contains("issued in the last 24 hours 3") }
    })
    .await;
    let text = browser.get(&path).await.text();
    let label = after(&text, "role=\"img\" aria-label=\"", "\"").unwrap();
    assert!(label.contains("Left 97") && label.contains("last 24 hours 3"), "who sees no picture reads it: {label}");
    let line = after(&text, "<polyline points=\"", "\"").unwrap();
    let heights: Vec<f64> = line.split(' ').map(|corner| corner.split_once(',').unwrap().1.parse().unwrap()).collect();
    assert!(heights.len() >= 4 && heights.windows(2).all(|two| two[0] <= two[1]), "a stock only goes down: {line}");
    assert!(text.contains("<td class=\"sum\">3</td><td class=\"sum\">97</td>"), "{text}");
}

#[tokio::test]
async fn a_disk_shows_what_its_agent_tried_rung_by_rung_the_newest_first() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut link = agent.join(&broker, 1).await;
    let mut report = disks();
    let climb = |n: usize, rung: &str, text: &str| json!({ "at": format!("2026-02-03T01:53:{n:02}Z"), "rung": rung, "class": "link", "text": text });
    let mut climbs: Vec<_> = (0..9).map(|n| climb(n, "retry", &format!("silence {n}"))).collect();
    climbs.push(climb(9, "ask_person", "<b>look at the cable</b>"));
    report["disks"][0]["climbs"] = json!(climbs);
    link.send(&report).await;
    assert_eq!(link.next().await["type"], "grant", "what failed lately keeps nothing from work");
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = browser.get(&format!("/console/disks/{DISK}")).await.text();
    let table = after(&text, "Readings that failed lately", "Recent jobs").unwrap();
    assert_eq!(table.matches("read again</span>").count(), 7, "eight of them at most: {table}");
    assert!(!table.contains("silence 1") && table.contains("silence 2"), "the newest stay: {table}");
    assert!(table.contains("2026-02-03 09:53:09") && table.contains("a person must look"), "{table}");
    assert!(table.contains("&#60;b&#62;look at the cable"), "{table}");
    let first = table.find("look at the cable").unwrap();
    assert!(table.find("silence 8").unwrap() > first, "the newest first: {table}");
}

#[tokio::test]
async fn agents_are_counted_by_the_network_that_they_came_from_last() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let table = async |browser: &mut Browser<'_>| {
        let text = browser.get("/console/agents").await.text();
        after(&text, "<tbody>", "</tbody>").unwrap().to_owned()
    };
    let row = |network: &str, online: &str, offline: &str| {
        format!(
            "<th scope=\"row\">{network}</th><td class=\"sum\">1</td><td class=\"sum\">{online}</td><td class=\"sum\">{offline}</td>"
        )
    };
    let bad = "<span class=\"state bad\">1</span>";
    let text = table(&mut browser).await;
    assert!(text.contains(&row("not heard of since the broker&#39;s start", "0", bad)), "{text}");
    let link = agent.join(&broker, 1).await;
    let text = table(&mut browser).await;
    assert!(text.contains(&row("127.0.0.0/24", "1", "0")), "{text}");
    let agents = broker.call("GET", "/v1/agents", None).await.json();
    assert_eq!(agents[0]["address"], "127.0.0.1");
    drop(link);
    until("its link is gone", async || broker.ledger.agents().await.unwrap().iter().all(|one| !one.online)).await;
    let text = table(&mut browser).await;
    assert!(text.contains(&row("127.0.0.0/24", "0", bad)), "a shop that is away is away in its network: {text}");
}

#[tokio::test]
async fn the_overview_shows_the_first_warnings_and_how_many_there_are_more() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut link = agent.join(&broker, 1).await;
    let mut report = disks();
    let one = report["disks"][0].clone();
    report["disks"] = (0..23)
        .map(|n| {
            let mut disk = one.clone();
            disk["disk"] = json!(format!("6612345678{n:02}"));
            disk["stock"][0]["remaining"] = json!(0);
            disk
        })
        .collect();
    link.send(&report).await;
    until("the disks are known", async || broker.ledger.warnings().await.unwrap().len() == 23).await;
    let mut browser = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = browser.get("/console").await.text();
    assert_eq!(text.matches("no blank invoice of kind").count(), 20, "{text}");
    assert!(text.contains("+ 3"), "{text}");
    let text = browser.get("/console/disks").await.text();
    assert_eq!(text.matches("No stock").count(), 23, "{text}");
}

#[tokio::test]
async fn administrators_offer_updates_and_the_agents_they_named_stay_the_only_ones() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let policy = json!({ "channel": "beta", "versions": "*", "agents": [agent.id.as_str()] });
    assert_eq!(broker.call_as(&broker.admin, "PUT", "/v1/updates", Some(&policy)).await.status, 200);
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let offer = [("act", "offer"), ("channel", "stable"), ("versions", "^0.2")];
    assert_eq!(browser.post("/console/agents/updates", &offer).await.status, 303);
    let set = broker.call("GET", "/v1/updates", None).await.json();
    assert_eq!(set["policy"], json!({ "channel": "stable", "versions": "^0.2", "agents": [agent.id.as_str()] }));
    let text = browser.get("/console/agents").await.text();
    assert!(text.contains("stable ^0.2") && text.contains("holds no program"), "{text}");
    let bad = [("act", "offer"), ("channel", "stable"), ("versions", "newest")];
    let refused = browser.post("/console/agents/updates", &bad).await;
    let text = refused.text();
    assert!((400..500).contains(&refused.status) && text.contains("newest"), "{refused:?}");
    assert!(text.contains("Who can help?"), "{text}");
    assert!(!text.contains("invoice") && !text.contains("serial"), "no job is concerned: {text}");
    assert_eq!(browser.post("/console/agents/updates", &[("act", "stop")]).await.status, 303);
    assert_eq!(broker.call("GET", "/v1/updates", None).await.json()["policy"], serde_json::Value::Null);
    let mut operator = Browser::of(&broker, "olga", ConsoleRole::Operator).await;
    assert_eq!(operator.post("/console/agents/updates", &offer).await.status, 403);
}
