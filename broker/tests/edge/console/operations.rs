//! Operations at disks in the console: judged first, begun once, withdrawn. The agent is played by hand.

use serde_json::{Value, json};
use taxdisk_broker::core::people::ConsoleRole;
use taxdisk_broker::ledger::OperationFilter;

use super::{Browser, Hands, after, location};
use crate::link::{Agent, DISK, Link};
use crate::operations::joined;
use crate::support::{Broker, until};

const FORM: &str = "/console/operations";
const MINUTE_MS: i64 = 60_000;

/// What the form sends, with a key of its own.
async fn form(browser: &mut Browser<'_>, operation: &'static str) -> Vec<(&'static str, String)> {
    let text = browser.get(&format!("{FORM}?disk={DISK}")).await.text();
    let key = after(&text, "name=\"key\" value=\"", "\"").unwrap().to_owned();
    vec![("key", key), ("disk", DISK.to_owned()), ("operation", operation.to_owned()), ("reason", "month end".to_owned())]
}

async fn post(browser: &mut Browser<'_>, path: &str, fields: &[(&str, String)]) -> crate::support::Answer {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post(path, &fields).await
}

/// The next order of an operation that reaches the agent.
async fn order(link: &mut Link) -> Value {
    loop {
        let frame = link.next().await;
        if frame["type"] == "operate" {
            return frame["operation"].clone();
        }
    }
}

/// The agent says how an operation ended, and hears that it is durable.
async fn ends(link: &mut Link, order: &Value, result: Value) {
    let id = format!("p-{}", order["id"].as_str().unwrap());
    link.send(&json!({
        "type": "operated", "id": id, "disk": DISK, "epoch": 1, "operation": order["id"], "result": result,
    }))
    .await;
    while link.next().await != json!({ "type": "ack", "ids": [id] }) {}
}

async fn asked(broker: &Broker) -> usize {
    broker.ledger.operations(&OperationFilter::default(), 100).await.unwrap().operations.len()
}

#[tokio::test]
async fn what_changes_a_disk_begins_from_a_dry_run_that_allowed_it_and_once() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut link = joined(&broker, &agent, 1).await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let fields = form(&mut browser, "report").await;
    let looked = location(&post(&mut browser, FORM, &fields).await);
    assert_eq!(location(&post(&mut browser, FORM, &fields).await), looked, "pressed twice, asked once");
    let judged = order(&mut link).await;
    assert_eq!((&judged["what"], &judged["dry_run"]), (&json!("report"), &json!(true)), "whatever is asked, it is judged first");
    let begin = format!("{looked}/begin");
    let confirmed = [("confirm", "yes")];
    let answer = browser.post(&begin, &confirmed).await;
    assert_eq!(answer.status, 409, "it is not judged yet: {}", answer.text());
    ends(&mut link, &judged, json!({ "verdict": "allowed", "warnings": ["2 wait for upload"], "before": {}, "after": {} })).await;
    let text = browser.get(&looked).await.text();
    assert!(text.contains("Dry run: it would be sent") && text.contains("2 wait for upload"), "{text}");
    assert_eq!(browser.post(&begin, &[]).await.status, 422, "not confirmed");
    assert_eq!(asked(&broker).await, 1);
    let begun = location(&browser.post(&begin, &confirmed).await);
    assert_eq!(location(&browser.post(&begin, &confirmed).await), begun);
    assert_eq!(asked(&broker).await, 2, "begun once");
    let begun = begun.split('?').next().unwrap().to_owned();
    assert_ne!(begun, looked);
    let real = order(&mut link).await;
    assert_eq!((&real["what"], real["dry_run"].is_null()), (&json!("report"), true), "{real}");
    let stock = |remaining: u32| json!({ "stock": [{ "kind": "025", "remaining": remaining, "issue_deadline": "20300115" }] });
    ends(&mut link, &real, json!({ "verdict": "done", "read": true, "before": stock(77), "after": stock(76) })).await;
    let text = browser.get(&begun).await.text();
    for word in
        ["proven by reading the disk", "Read before", "Read after", ">77<", ">76<", "20300115", "console:anna", "month end"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    // From what was done, and from what only reads, nothing begins.
    assert_eq!(browser.post(&format!("{begun}/begin"), &confirmed).await.status, 409);
    let fields = form(&mut browser, "stock").await;
    let read = location(&post(&mut browser, FORM, &fields).await);
    let reading = order(&mut link).await;
    assert_eq!((&reading["what"], reading["dry_run"].is_null()), (&json!("stock"), true), "a reading changes nothing");
    ends(&mut link, &reading, json!({ "verdict": "read", "before": stock(76), "after": {} })).await;
    assert_eq!(browser.post(&format!("{read}/begin"), &confirmed).await.status, 409);
    let text = browser.get(&format!("{FORM}?state=done")).await.text();
    assert!(text.contains(&begun) && text.contains(&looked) && text.contains(&read), "{text}");
    assert!(!browser.get(&format!("{FORM}?state=failed")).await.text().contains(&begun));
    for wrong in ["state=lunch", "cursor=p1"] {
        assert_eq!(browser.get(&format!("{FORM}?{wrong}")).await.status, 400, "{wrong}");
    }
    let entries = broker.ledger.audit_entries(crate::support::SELLER, 0, 1000).await.unwrap();
    let asked = entries.iter().filter(|entry| entry.what == "operation_asked" && entry.body.contains("console:anna"));
    assert_eq!(asked.count(), 3);
}

#[tokio::test]
async fn a_refusal_is_overruled_only_by_who_says_so_and_an_old_judgement_is_none() {
    let hands = Hands::new();
    let broker = Broker::start_at(hands.clock(), |_| {}).await;
    let agent = Agent::enrol(&broker).await;
    let mut link = joined(&broker, &agent, 1).await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let mut paths = Vec::new();
    for (anyway, text) in [(false, "no licence"), (true, "<b>3 wait for upload</b>"), (true, "again")] {
        let fields = form(&mut browser, "report").await;
        let looked = location(&post(&mut browser, FORM, &fields).await);
        let judged = order(&mut link).await;
        let result = json!({
            "verdict": "refused", "class": "locked", "text": text, "anyway": anyway, "before": {}, "after": {},
        });
        ends(&mut link, &judged, result).await;
        paths.push(looked);
    }
    let text = browser.get(&paths[1]).await.text();
    assert!(text.contains("&#60;b&#62;3 wait") && text.contains("name=\"anyway\""), "what an agent says is text: {text}");
    let both = [("confirm", "yes"), ("anyway", "yes")];
    assert_eq!(browser.post(&format!("{}/begin", paths[0]), &both).await.status, 409, "nobody may overrule this one");
    assert_eq!(browser.post(&format!("{}/begin", paths[1]), &[("confirm", "yes")]).await.status, 409);
    assert_eq!(asked(&broker).await, 3);
    location(&browser.post(&format!("{}/begin", paths[1]), &both).await);
    let real = order(&mut link).await;
    assert_eq!((&real["anyway"], real["dry_run"].is_null()), (&json!(true), true), "{real}");
    hands.on(15 * MINUTE_MS + 1);
    let text = browser.get(&paths[2]).await.text();
    assert!(text.contains("older than 15 minutes") && !text.contains("/begin"), "{text}");
    let answer = browser.post(&format!("{}/begin", paths[2]), &both).await;
    assert!(answer.status == 409 && answer.text().contains("older than 15 minutes"), "{}", answer.text());
    assert_eq!(asked(&broker).await, 4);
}

#[tokio::test]
async fn an_operation_that_waits_is_withdrawn_and_who_may_not_has_no_form() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    drop(joined(&broker, &agent, 1).await);
    until("the disk to be offline", async || !broker.ledger.disks().await.unwrap()[0].online).await;
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let fields = form(&mut browser, "clear").await;
    let path = location(&post(&mut browser, FORM, &fields).await);
    let text = browser.get(&path).await.text();
    assert!(text.contains("is not connected") && text.contains("Withdraw it"), "{text}");
    let mut viewer = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    assert!(!viewer.get(&path).await.text().contains("/cancel"));
    assert!(!viewer.get(FORM).await.text().contains("name=\"key\""));
    let cancel = format!("{path}/cancel");
    assert_eq!(browser.post(&cancel, &[("reason", "not yet")]).await.status, 422, "not confirmed");
    location(&browser.post(&cancel, &[("reason", "not yet"), ("confirm", "yes")]).await);
    assert!(browser.get(&path).await.text().contains("Withdrawn"));
    for wrong in [("disk", "x"), ("operation", "dance"), ("key", ""), ("reason", " ")] {
        let mut fields = form(&mut browser, "clear").await;
        fields.iter_mut().filter(|(name, _)| *name == wrong.0).for_each(|(_, value)| *value = wrong.1.to_owned());
        let answer = post(&mut browser, FORM, &fields).await;
        assert!((400..500).contains(&answer.status), "{wrong:?}: {}", answer.text());
    }
    assert_eq!(asked(&broker).await, 1);
    assert_eq!(browser.get("/console/operations/op_0").await.status, 404);
}
