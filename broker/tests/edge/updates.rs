//! Updates of agents: who may say what is offered, who hears of it, and who may fetch it.

use std::path::Path;

use serde_json::{Value, json};
use taxdisk_protocol::api::Role;
use taxdisk_protocol::update::target;

use crate::link::Agent;
use crate::support::{Broker, until};

fn publish(dir: &Path, version: &str) {
    let manifest = json!({
        "format": 1, "product": "taxdisk-agent", "version": version, "channel": "stable", "target": target(),
        "file": format!("agent-{version}"), "size_bytes": 3, "sha256": "0".repeat(64), "from": "0.1.0",
    });
    std::fs::write(dir.join(format!("agent-{version}")), "abc").unwrap();
    std::fs::write(dir.join(format!("agent-{version}.json.minisig")), "signature").unwrap();
    std::fs::write(dir.join(format!("agent-{version}.json")), manifest.to_string()).unwrap();
}

async fn with(dir: &Path) -> Broker {
    Broker::start_with(|config| config.updates.dir = dir.to_owned()).await
}

fn updating(state: &str, text: &str) -> Value {
    json!({ "type": "updating", "update": { "target": target(), "state": state, "text": text } })
}

#[tokio::test]
async fn administrators_say_what_is_offered_and_it_is_entered() {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path(), "0.2.0");
    let broker = with(dir.path()).await;
    let policy = json!({ "channel": "stable", "versions": "^0.2" });
    let platform = broker.key(Role::Platform, &[], None).await;
    broker.call_as(&platform, "PUT", "/v1/updates", Some(&policy)).await.problem(403, "forbidden");
    for bad in [json!({ "channel": "stable", "versions": "newest" }), json!({ "channel": "", "versions": "*" })] {
        broker.call_as(&broker.admin, "PUT", "/v1/updates", Some(&bad)).await.problem(400, "invalid_parameter");
    }
    let stranger = json!({ "channel": "stable", "versions": "*", "agents": ["ag_0123456789abcdef"] });
    broker.call_as(&broker.admin, "PUT", "/v1/updates", Some(&stranger)).await.problem(400, "invalid_parameter");
    assert_eq!(broker.call("GET", "/v1/updates", None).await.json()["policy"], Value::Null);
    for _ in 0..2 {
        let set = broker.call_as(&broker.admin, "PUT", "/v1/updates", Some(&policy)).await;
        assert_eq!((set.status, &set.json()["policy"]), (200, &policy), "{set:?}");
        assert_eq!(set.json()["releases"][0]["offered"], json!(true), "{set:?}");
    }
    assert_eq!(broker.call_as(&broker.admin, "DELETE", "/v1/updates", None).await.status, 204);
    assert_eq!(broker.call("GET", "/v1/updates", None).await.json()["releases"][0]["offered"], json!(false));
    let entries = broker.call_as(&broker.admin, "GET", "/v1/audit?limit=100", None).await.text();
    assert_eq!(entries.matches("\"updates\"").count(), 2, "set once, withdrawn once: {entries}");
}

#[tokio::test]
async fn an_agent_that_speaks_of_updates_is_told_at_once_and_fetches_with_the_word() {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path(), "0.2.0");
    let broker = with(dir.path()).await;
    let (agent, other) = (Agent::enrol(&broker).await, Agent::enrol(&broker).await);
    let mut link = agent.join(&broker, 1).await;
    link.send(&updating("current", "")).await;
    assert_eq!(link.next().await, json!({ "type": "update" }), "nothing is offered");
    let policy = json!({ "channel": "stable", "versions": "*", "agents": [agent.id.as_str()] });
    assert_eq!(broker.call_as(&broker.admin, "PUT", "/v1/updates", Some(&policy)).await.status, 200);
    let offer = link.next().await["offer"].clone();
    assert_eq!(offer["signature"], "signature");
    assert!(offer["manifest"].as_str().unwrap().contains("\"0.2.0\""), "byte for byte as it was signed: {offer}");
    let path = offer["path"].as_str().unwrap();
    let fetched = broker.raw("GET", path, "", b"").await;
    assert_eq!((fetched.status, fetched.text().as_str()), (200, "abc"));
    let (folder, _) = path.rsplit_once('/').unwrap();
    for wrong in
        [format!("{folder}/agent-0.2.0.json"), format!("{folder}/..%2Fagent-0.2.0"), "/v1/updates/0/agent-0.2.0".to_owned()]
    {
        assert_eq!(broker.raw("GET", &wrong, "", b"").await.status, 404, "{wrong}");
    }
    // The others are not meant.
    let mut second = other.join(&broker, 1).await;
    second.send(&updating("current", "")).await;
    assert_eq!(second.next().await, json!({ "type": "update" }));
    // What it says is shown while it is linked.
    link.send(&updating("failed", "it\u{7} did not start")).await;
    link.next().await;
    let shown = || async {
        let agents = broker.call("GET", "/v1/agents", None).await.json();
        agents.as_array().unwrap().iter().find(|view| view["agent"] == agent.id.as_str()).cloned().unwrap()
    };
    assert_eq!(shown().await["update"]["text"], "it did not start");
    drop(link);
    until("it to be forgotten", || async { shown().await["update"].is_null() }).await;
}

#[tokio::test]
async fn an_agent_that_never_spoke_of_updates_hears_nothing_of_them() {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path(), "0.2.0");
    let broker = with(dir.path()).await;
    let agent = Agent::enrol(&broker).await;
    let mut link = agent.join(&broker, 1).await;
    assert_eq!(
        broker.call_as(&broker.admin, "PUT", "/v1/updates", Some(&json!({ "channel": "stable", "versions": "*" }))).await.status,
        200
    );
    // The next frame is the answer to this, and no offer before it.
    link.send(&json!({ "type": "dance" })).await;
    assert_eq!(link.next().await, json!({ "type": "unsupported", "of": "dance" }));
}
