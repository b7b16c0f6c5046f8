//! How agents come in: codes that are bound, codes for many, new keys of agents that are there, and the exchange of a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use taxdisk_broker::core::people::ConsoleRole;
use taxdisk_protocol::api::AgentView;
use taxdisk_protocol::link::{fingerprint, key_message, proof_message, retire_message};

use crate::console::Browser;
use crate::link::{Agent, DISK, Link, disks, enroll};
use crate::support::{Broker, OTHER_SELLER, SELLER, job};

fn public(key: &SigningKey) -> String {
    STANDARD.encode(key.verifying_key().as_bytes())
}

fn new_key() -> SigningKey {
    SigningKey::from_bytes(&rand::random())
}

async fn view(broker: &Broker, agent: &Agent) -> AgentView {
    broker.ledger.agents().await.unwrap().into_iter().find(|view| view.agent == agent.id.as_str()).unwrap()
}

async fn code(broker: &Broker, request: Value) -> String {
    let code = broker.call_as(&broker.admin, "POST", "/v1/enrollments", Some(&request)).await;
    assert_eq!(code.status, 201, "{code:?}");
    code.json()["code"].as_str().unwrap().to_owned()
}

/// A merchant who has a PC of his own gets neither another merchant's disk nor his jobs, whatever he says that is plugged in.
#[tokio::test]
async fn an_agent_that_is_bound_gets_no_other_disk_whatever_it_says() {
    let broker = Broker::start().await;
    let other = json!({ "name": "x" });
    assert_eq!(broker.call_as(&broker.admin, "PUT", &format!("/v1/sellers/{OTHER_SELLER}"), Some(&other)).await.status, 200);
    let bound = Agent::enrol_by(&broker, &json!({ "name": "till", "seller": OTHER_SELLER })).await;
    let mut link = bound.join(&broker, 1).await;
    link.send(&disks()).await;
    let denied = link.next().await;
    assert_eq!((&denied["type"], &denied["disk"]), (&json!("deny"), &json!(DISK)), "{denied}");
    assert_eq!(broker.call("POST", "/v1/jobs", Some(&job("A1"))).await.status, 201);
    // The disk is the other seller's, and the agent says that it is its own's.
    let right = Agent::enrol_by(&broker, &json!({ "name": "shop", "seller": SELLER, "disk": DISK })).await;
    let mut right_link = right.join(&broker, 1).await;
    right_link.send(&disks()).await;
    assert_eq!(right_link.next().await["type"], "grant");
    assert_eq!(right_link.next().await["type"], "assign", "only the right one has the job");
    let mut lie = disks();
    lie["disks"][0]["taxpayer"] = json!(OTHER_SELLER);
    let mut second = bound.join(&broker, 2).await;
    second.send(&lie).await;
    assert_eq!(second.next().await["type"], "deny");
    let alarms = view(&broker, &bound).await.alarms;
    assert!(alarms.iter().all(|alarm| alarm.contains("enrolled for seller")) && alarms.len() == 2, "{alarms:?}");
    assert!(view(&broker, &right).await.alarms.is_empty(), "the owner is not disturbed");
    // Another disk of its seller is not the one that it was enrolled for.
    let mut another = disks();
    another["disks"][0]["disk"] = json!("661234567891");
    let mut third = right.join(&broker, 2).await;
    third.send(&another).await;
    assert_eq!(third.next().await["type"], "deny");
}

#[tokio::test]
async fn an_agent_of_a_code_for_many_waits_until_it_is_approved() {
    let broker = Broker::start().await;
    let many = code(&broker, json!({ "name": "tills", "many": 2, "seller": SELLER })).await;
    let mut agents = Vec::new();
    for _ in 0..2 {
        let key = new_key();
        let enrolled = enroll(&broker, &json!({ "code": many, "public_key": public(&key), "version": "1" })).await.json();
        assert_eq!(enrolled["waiting"], true, "{enrolled}");
        agents.push(Agent {
            id: enrolled["agent"].as_str().unwrap().parse().unwrap(),
            ledger: enrolled["ledger"].as_str().unwrap().to_owned(),
            key,
        });
    }
    let third = enroll(&broker, &json!({ "code": many, "public_key": public(&new_key()), "version": "1" })).await;
    third.problem(409, "enrollment_used");
    let mut link = Link::open(&broker).await;
    link.send(&agents[0].hello(1)).await;
    link.refused("agent_waiting").await;
    let seen = view(&broker, &agents[0]).await;
    assert_eq!((seen.waiting, seen.fingerprint), (true, fingerprint(&public(&agents[0].key))));
    assert_eq!(seen.seller.as_deref(), Some(SELLER), "what binds the code binds all of them");
    let path = format!("/v1/agents/{}/approve", agents[0].id);
    broker.call("POST", &path, Some(&json!({}))).await.problem(403, "forbidden");
    assert_eq!(broker.call_as(&broker.admin, "POST", &path, Some(&json!({ "name": "till 1" }))).await.status, 204);
    agents[0].join(&broker, 1).await;
    assert_eq!(view(&broker, &agents[0]).await.name, "till 1");
    let mut link = Link::open(&broker).await;
    link.send(&agents[1].hello(1)).await;
    link.refused("agent_waiting").await;
    // The console approves too, and by somebody who said that he has compared.
    let mut browser = Browser::of(&broker, "anna", ConsoleRole::Administrator).await;
    let page = browser.get("/console/agents").await.text();
    assert!(page.contains("To be approved") && page.contains(&fingerprint(&public(&agents[1].key))), "{page}");
    let path = format!("/console/agents/{}/approve", agents[1].id);
    assert_ne!(browser.post(&path, &[]).await.status, 303);
    assert!(view(&broker, &agents[1]).await.waiting);
    assert_eq!(browser.post(&path, &[("confirm", "yes")]).await.status, 303);
    agents[1].join(&broker, 1).await;
    let made = browser.post("/console/agents/enroll", &[("name", "till 3"), ("seller", "not a number")]).await;
    assert_ne!(made.status, 200, "a seller that is none binds nothing");
    for bad in [json!({ "name": "x", "many": 0 }), json!({ "name": "x", "many": 2, "valid_s": 86_401 })] {
        broker.call_as(&broker.admin, "POST", "/v1/enrollments", Some(&bad)).await.problem(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn an_agent_that_enrols_again_keeps_its_name_and_loses_its_old_key() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut link = agent.join(&broker, 1).await;
    let path = format!("/v1/agents/{}", agent.id);
    assert_eq!(
        broker.call_as(&broker.admin, "POST", &format!("{path}/rename"), Some(&json!({ "name": "counter" }))).await.status,
        204
    );
    broker.call_as(&broker.admin, "POST", &format!("{path}/rename"), Some(&json!({}))).await.problem(400, "invalid_parameter");
    let again = code(&broker, json!({ "name": "", "agent": agent.id })).await;
    let key = new_key();
    let enrolled = enroll(&broker, &json!({ "code": again, "public_key": public(&key), "version": "1" })).await.json();
    assert_eq!(enrolled["agent"], agent.id.as_str());
    let ended = link.next_or_end().await;
    assert!(ended.as_ref().is_none_or(|frame| frame["code"] == "agent_proof"), "{ended:?}");
    let mut old = Link::open(&broker).await;
    old.send(&agent.hello(2)).await;
    let proof = agent.proof(&old.next().await, 2);
    old.send(&proof).await;
    old.refused("agent_proof").await;
    Agent { id: agent.id.clone(), ledger: agent.ledger.clone(), key }.join(&broker, 2).await;
    assert_eq!(view(&broker, &agent).await.name, "counter");
    let unknown = json!({ "name": "", "agent": "ag_0123456789abcdef" });
    assert!(broker.call_as(&broker.admin, "POST", "/v1/enrollments", Some(&unknown)).await.status >= 400);
}

impl Agent {
    /// A proof of all these keys, the newest first.
    fn proof_of(&self, challenge: &Value, join: u64, keys: &[&SigningKey]) -> Value {
        let nonce = challenge["nonce"].as_str().unwrap();
        let message = key_message(&self.ledger, &self.id, join, nonce, &public(keys[0]));
        let sign =
            |key: &&SigningKey| json!({ "public_key": public(key), "signature": STANDARD.encode(key.sign(&message).to_bytes()) });
        let mut proof = self.proof(challenge, join);
        proof["keys"] = keys.iter().map(sign).collect();
        proof
    }

    async fn joins_with(&self, broker: &Broker, join: u64, keys: &[&SigningKey]) -> Value {
        let mut link = Link::open(broker).await;
        link.send(&self.hello(join)).await;
        let proof = self.proof_of(&link.next().await, join, keys);
        link.send(&proof).await;
        link.next().await
    }
}

/// I7 and the agent's part: at each moment the broker knows one key, and the agent holds it, wherever either of them stopped.
#[tokio::test]
async fn a_key_is_exchanged_in_one_commit_and_the_old_one_opens_nothing_more() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let (old, next, later) = (agent.key.clone(), new_key(), new_key());
    let known = async || view(&broker, &agent).await.fingerprint;
    // A stranger's key is not taken, neither alone nor beside a key of the agent's that he names and does not have.
    for keys in [vec![&next], vec![&next, &later]] {
        assert_eq!(agent.joins_with(&broker, 1, &keys).await["code"], "agent_proof");
        assert_eq!(known().await, fingerprint(&public(&old)));
    }
    let welcome = agent.joins_with(&broker, 1, &[&next, &old]).await;
    assert_eq!((&welcome["type"], &welcome["key"]), (&json!("welcome"), &json!(public(&next))), "{welcome}");
    assert_eq!(known().await, fingerprint(&public(&next)));
    // The agent stopped before it heard of it, and comes back after months: with both keys, and once more.
    for join in [2, 3] {
        assert_eq!(agent.joins_with(&broker, join, &[&next, &old]).await["key"], public(&next));
    }
    // A copy that was made before has the old key alone.
    let mut copy = Link::open(&broker).await;
    copy.send(&agent.hello(4)).await;
    let proof = agent.proof(&copy.next().await, 4);
    copy.send(&proof).await;
    copy.refused("agent_proof").await;
    // It is in the chain.
    let chain = broker.call_as(&broker.admin, "GET", "/v1/audit?limit=500", None).await.text();
    assert_eq!(chain.matches("agent_key_exchanged").count(), 1, "{chain}");
}

#[tokio::test]
async fn an_agent_is_retired_by_its_own_key_alone() {
    let broker = Broker::start().await;
    let (agent, other) = (Agent::enrol(&broker).await, Agent::enrol(&broker).await);
    let mut link = agent.join(&broker, 1).await;
    let ask = async |id: &str, signatures: Vec<String>| {
        let text = json!({ "agent": id, "signatures": signatures }).to_string();
        let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", text.len());
        broker.raw("POST", "/v1/agents/retire", &head, text.as_bytes()).await
    };
    let by = |agent: &Agent, message: &[u8]| STANDARD.encode(agent.key.sign(message).to_bytes());
    let message = retire_message(&agent.ledger, &agent.id);
    let id = agent.id.to_string();
    // Another agent's signature, one for another purpose, none at all, one too many, and an agent that nobody knows.
    let good = by(&agent, &message);
    let proof = by(&agent, &proof_message(&agent.ledger, &agent.id, 1, ""));
    for wrong in
        [vec![by(&other, &message)], vec![proof.clone()], vec![], vec![proof.clone(), proof.clone(), proof, good.clone()]]
    {
        ask(&id, wrong).await.problem(403, "agent_proof");
    }
    ask("ag_0000000000000000", vec![good.clone()]).await.problem(403, "agent_unknown");
    assert_eq!(ask(&id, vec!["no base64".to_owned(), good.clone()]).await.status, 204);
    while link.next_or_end().await.is_some() {}
    ask(&id, vec![good]).await.problem(403, "agent_revoked");
    assert!(view(&broker, &agent).await.revoked && !view(&broker, &other).await.revoked);
}
