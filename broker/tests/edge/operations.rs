//! Operations at a disk: who may ask, what is answered, and the frames of the link, with an agent that is played by hand.

use std::time::Duration;

use serde_json::{Value, json};
use taxdisk_protocol::api::Role;

use super::link::{Agent, DISK, Link, disks};
use super::support::{Broker, OTHER_SELLER, SELLER, until};

fn path() -> String {
    format!("/v1/disks/{DISK}/operations")
}

fn report(key: &str) -> Value {
    json!({ "key": key, "operation": "report", "reason": "month end" })
}

/// Joins with a disk that can report and clear; its grant is read.
pub async fn joined(broker: &Broker, agent: &Agent, join: u64) -> Link {
    let mut link = agent.join(broker, join).await;
    let mut disks = disks();
    disks["disks"][0]["capabilities"]["operations"] = json!(["report", "clear", "dance"]);
    link.send(&disks).await;
    let grant = link.next().await;
    assert_eq!(grant["type"], "grant", "{grant}");
    link
}

#[tokio::test]
async fn an_operation_goes_from_the_call_to_the_disk_and_back() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    broker.call_as(&broker.admin, "POST", &path(), Some(&report("r1"))).await.problem(404, "disk_unknown");
    let mut link = joined(&broker, &agent, 1).await;
    broker.call("POST", &path(), Some(&report("r1"))).await.problem(403, "forbidden");
    let made = broker.call_as(&broker.admin, "POST", &path(), Some(&report("r1"))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!((&made["state"], &made["kind"], &made["seller"]), (&json!("running"), &json!("025"), &json!(SELLER)));
    let id = made["id"].as_str().unwrap().to_owned();
    let operate = link.next().await;
    assert_eq!(
        operate,
        json!({ "type": "operate", "disk": DISK, "epoch": 1, "operation": { "id": id, "what": "report", "kind": "025" } })
    );
    let again = broker.call_as(&broker.admin, "POST", &path(), Some(&report("r1"))).await;
    assert_eq!((again.status, &again.json()["repeated"]), (200, &json!(true)));
    let clear = json!({ "key": "r1", "operation": "clear", "reason": "month end" });
    broker.call_as(&broker.admin, "POST", &path(), Some(&clear)).await.problem(409, "operation_key");
    let upload = json!({ "key": "u1", "operation": "upload", "reason": "month end" });
    broker.call_as(&broker.admin, "POST", &path(), Some(&upload)).await.problem(422, "operation_impossible");
    broker
        .call_as(&broker.admin, "POST", &format!("/v1/operations/{id}/cancel"), Some(&json!({})))
        .await
        .problem(409, "operation_begun");
    // A job waits for it, and says so.
    assert_eq!(broker.submit("A1").await.json()["waiting"], "operation");

    let one = format!("/v1/operations/{id}");
    let wait = format!("{one}?wait=30s");
    let (shown, ()) = tokio::join!(broker.call("GET", &wait, None), async {
        let result = json!({ "verdict": "done", "read": true, "before": {}, "after": {} });
        link.send(&json!({ "type": "operated", "id": "p-1", "disk": DISK, "epoch": 1, "operation": id, "result": result })).await;
        assert_eq!(link.next().await["type"], "assign", "the job goes on");
        assert_eq!(link.next().await, json!({ "type": "ack", "ids": ["p-1"] }));
    });
    let shown = shown.json();
    assert_eq!((&shown["state"], &shown["result"]["verdict"]), (&json!("done"), &json!("done")), "{shown}");
    let listed = broker.call("GET", &path(), None).await.json();
    assert_eq!((listed["operations"].as_array().unwrap().len(), &listed["operations"][0]["id"]), (1, &json!(id)));
    let none = broker.call("GET", "/v1/operations?state=queued", None).await.json();
    assert_eq!(none["operations"], json!([]));
    let other = broker.key(Role::Platform, &[OTHER_SELLER], None).await;
    broker.call_as(&other, "GET", &one, None).await.problem(403, "forbidden");
    assert_eq!(broker.call_as(&other, "GET", "/v1/operations", None).await.json()["operations"], json!([]));
}

#[tokio::test]
async fn an_agent_of_an_older_version_ends_it_and_a_lost_link_asks_again() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut link = joined(&broker, &agent, 1).await;
    broker.call_as(&broker.admin, "POST", &path(), Some(&report("r1"))).await;
    assert_eq!(link.next().await["type"], "operate");
    drop(link);
    let mut link = joined(&broker, &agent, 2).await;
    let asked = link.next().await;
    assert_eq!((&asked["type"], &asked["operation"]["what"]), (&json!("operate"), &json!("report")), "asked again");
    link.send(&json!({ "type": "unsupported", "of": "operate" })).await;
    until("the operation to be refused", async || {
        let listed = broker.call("GET", &path(), None).await.json();
        listed["operations"][0]["state"] == "refused"
    })
    .await;
    let listed = broker.call("GET", &path(), None).await.json();
    assert!(listed["operations"][0]["result"]["text"].as_str().unwrap().contains("update it"), "{listed}");
}

#[tokio::test]
async fn a_queued_operation_waits_for_its_disk_is_listed_in_pages_and_cancelled() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    drop(joined(&broker, &agent, 1).await);
    until("the disk to be offline", async || broker.call("GET", "/v1/disks", None).await.json()[0]["online"] == false).await;
    let mut ids = Vec::new();
    for n in 1..=3 {
        let made = broker.call_as(&broker.admin, "POST", &path(), Some(&report(&format!("r{n}")))).await.json();
        assert_eq!(made["state"], "queued");
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let first = broker.call("GET", "/v1/operations?limit=2", None).await.json();
    assert_eq!((&first["operations"][0]["id"], &first["operations"][1]["id"]), (&json!(ids[2]), &json!(ids[1])));
    let cursor = first["cursor"].as_str().unwrap();
    let second = broker.call("GET", &format!("/v1/operations?limit=2&cursor={cursor}"), None).await.json();
    assert_eq!((&second["operations"][0]["id"], second["cursor"].is_null()), (&json!(ids[0]), true));
    assert!(second["operations"][0]["waiting"].as_str().unwrap().contains("not connected"));
    let cancel = format!("/v1/operations/{}/cancel", ids[1]);
    assert_eq!(broker.call("POST", &cancel, Some(&json!({}))).await.status, 403);
    let cancelled = broker.call_as(&broker.admin, "POST", &cancel, Some(&json!({ "reason": "later" }))).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
    for wrong in ["/v1/operations?cursor=p1", "/v1/operations?limit=0", "/v1/operations?state=lunch"] {
        assert_eq!(broker.call("GET", wrong, None).await.status, 400, "{wrong}");
    }
    broker.call("GET", "/v1/operations/op_0", None).await.problem(404, "not_found");
    // A short wait ends with what is.
    let one = format!("/v1/operations/{}?wait={}ms", ids[0], Duration::from_millis(20).as_millis());
    assert_eq!(broker.call("GET", &one, None).await.json()["state"], "queued");
}
