//! The agent link, with agents that are played by hand over a real WebSocket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use taxdisk_broker::config::Config;
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::link::{LINK_PATH, MAX_FRAME_BYTES, SUBPROTOCOL, proof_message};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{BOUND, Broker, SELLER, until};

pub const DISK: &str = "661234567890";

pub struct Agent {
    pub id: AgentId,
    pub ledger: String,
    pub key: SigningKey,
}

impl Agent {
    pub async fn enrol(broker: &Broker) -> Agent {
        Agent::enrol_by(broker, &json!({ "name": "till" })).await
    }

    /// By a code that was asked for so.
    pub async fn enrol_by(broker: &Broker, request: &Value) -> Agent {
        let code = broker.call_as(&broker.admin, "POST", "/v1/enrollments", Some(request)).await;
        assert_eq!(code.status, 201, "{code:?}");
        let key = SigningKey::from_bytes(&rand::random());
        let public_key = STANDARD.encode(key.verifying_key().as_bytes());
        let body = json!({ "code": code.json()["code"], "public_key": public_key, "version": "0.1.0" });
        let enrolled = enroll(broker, &body).await;
        assert_eq!(enrolled.status, 201, "{enrolled:?}");
        enroll(broker, &body).await.problem(409, "enrollment_used");
        let enrolled = enrolled.json();
        Agent {
            id: enrolled["agent"].as_str().unwrap().parse().unwrap(),
            ledger: enrolled["ledger"].as_str().unwrap().to_owned(),
            key,
        }
    }

    pub fn hello(&self, join: u64) -> Value {
        json!({ "type": "hello", "agent": self.id, "version": "0.1.0", "protocol": [1], "join": join,
                "journal": { "id": "j1", "sequence": 5 }, "a_newer_field": true })
    }

    pub fn proof(&self, challenge: &Value, join: u64) -> Value {
        let nonce = challenge["nonce"].as_str().unwrap();
        let signature = self.key.sign(&proof_message(&self.ledger, &self.id, join, nonce));
        json!({ "type": "proof", "signature": STANDARD.encode(signature.to_bytes()) })
    }

    pub async fn join(&self, broker: &Broker, join: u64) -> Link {
        let mut link = Link::open(broker).await;
        link.send(&self.hello(join)).await;
        let challenge = link.next().await;
        assert_eq!(challenge["ledger"], self.ledger);
        link.send(&self.proof(&challenge, join)).await;
        let welcome = link.next().await;
        assert_eq!((&welcome["type"], &welcome["protocol"]), (&json!("welcome"), &json!(1)), "{welcome}");
        link
    }
}

pub async fn enroll(broker: &Broker, body: &Value) -> crate::support::Answer {
    let text = body.to_string();
    let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", text.len());
    broker.raw("POST", "/v1/agents/enroll", &head, text.as_bytes()).await
}

pub struct Link(WebSocketStream<TcpStream>);

impl Link {
    pub async fn open(broker: &Broker) -> Link {
        Link::try_open(broker).await.unwrap()
    }

    pub async fn try_open(broker: &Broker) -> Result<Link, Error> {
        let mut request = format!("ws://{}{LINK_PATH}", broker.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let stream = TcpStream::connect(broker.address).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| Link(socket))
    }

    /// Bytes as no WebSocket would write them.
    pub async fn rude(&mut self, bytes: &[u8]) {
        // The broker may be gone already.
        let _ = self.0.get_mut().write_all(bytes).await;
    }

    pub async fn send(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame; pings are answered on the way.
    pub async fn next(&mut self) -> Value {
        self.next_or_end().await.expect("a frame and not the end")
    }

    pub async fn next_or_end(&mut self) -> Option<Value> {
        loop {
            match tokio::time::timeout(BOUND, self.0.next()).await.expect("a frame within the bound") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_)) | Some(Err(_)) | None => return None,
            }
        }
    }

    /// The link is refused with this code, and ends.
    pub async fn refused(mut self, code: &str) {
        let frame = self.next().await;
        assert_eq!((&frame["type"], &frame["code"]), (&json!("refused"), &json!(code)), "{frame}");
        assert_eq!(self.next_or_end().await, None);
    }
}

pub fn disks() -> Value {
    let capabilities = json!({
        "characters": "gbk", "max_lines": 10, "discount_lines": true, "goods_codes": true, "price_decimals": 8, "rate_decimals": 3,
        "single_person": false, "remark_readable": true, "carries_pair": true, "red": true, "operations": ["void"],
        "widths": { "party_name": 100, "taxpayer_number": 20, "address_phone": 100, "bank_account": 100, "item_name": 92,
                    "specification": 40, "unit": 22, "remark": 130, "person": 16, "amount": 20, "price": 20 },
    });
    json!({ "type": "disks", "disks": [{
        "disk": DISK, "taxpayer": SELLER, "taxpayer_name": "测试", "kinds": ["025"], "capabilities": capabilities,
        "fence": "ordered", "dialect": "zc", "port": "/dev/ttyS0", "health": { "ready": true },
        "stock": [{ "kind": "025", "remaining": 100 }],
    }] })
}

async fn is_online(broker: &Broker, agent: &AgentId) -> bool {
    let agents = broker.call("GET", "/v1/agents", None).await.json();
    let found = agents.as_array().unwrap().iter().find(|view| view["agent"] == agent.as_str()).cloned();
    found.is_some_and(|view| view["online"] == true)
}

#[tokio::test]
async fn an_agent_issues_a_job_from_enrolment_to_ack() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    assert_eq!(broker.submit("A1").await.status, 201);
    let mut link = agent.join(&broker, 1).await;
    link.send(&disks()).await;
    let grant = link.next().await;
    assert_eq!((&grant["type"], &grant["disk"]), (&json!("grant"), &json!(DISK)), "{grant}");
    let assign = link.next().await;
    assert_eq!((&assign["type"], &assign["assignment"]["serial"]), (&json!("assign"), &json!("A1")), "{assign}");
    let pair = json!({ "code": "011002000107", "number": "00000001" });
    let attempt = json!({ "seller": SELLER, "serial": "A1", "attempt": 1 });
    link.send(&json!({ "type": "started", "disk": DISK, "epoch": grant["epoch"], "attempt": attempt, "expected": pair })).await;
    let outcome = json!({
        "type": "outcome", "id": "o1", "disk": DISK, "epoch": grant["epoch"], "sequence": assign["assignment"]["sequence"],
        "attempt": attempt, "expected": pair, "readings": [], "disk_ms": 20,
        "outcome": { "result": "issued", "pair": pair, "issued_at": "20240101120000", "fiscal_code": "1", "signature": "s", "settled": false },
    });
    let poll = format!("/v1/jobs/{SELLER}/A1?wait=30s");
    let report = async {
        link.send(&outcome).await;
        loop {
            let frame = link.next().await;
            if frame["type"] == "ack" {
                return frame;
            }
        }
    };
    let (job, ack) = tokio::join!(broker.call("GET", &poll, None), report);
    assert_eq!(ack["ids"], json!(["o1"]));
    assert_eq!((&job.json()["state"], &job.json()["issued"]["number"]), (&json!("issued"), &json!("00000001")), "{job:?}");
    assert_eq!(broker.call("GET", &format!("/v1/jobs?disk={DISK}"), None).await.json()["jobs"][0]["serial"], "A1");
    link.send(&json!({ "type": "goodbye" })).await;
    assert_eq!(link.next_or_end().await, None);
    until("the agent is gone", || async { !is_online(&broker, &agent.id).await }).await;
}

#[tokio::test]
async fn only_a_fresh_signature_of_the_enrolled_key_opens() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut first = Link::open(&broker).await;
    first.send(&agent.hello(1)).await;
    let heard = agent.proof(&first.next().await, 1);
    let forger = Agent { id: agent.id.clone(), ledger: agent.ledger.clone(), key: SigningKey::from_bytes(&[7; 32]) };
    let elsewhere = Agent { id: agent.id.clone(), ledger: "lg_0000000000000000".to_owned(), key: agent.key.clone() };
    type Make<'a> = Box<dyn Fn(&Value) -> Value + 'a>;
    let makers: [Make<'_>; 5] = [
        Box::new(|challenge| forger.proof(challenge, 1)),
        Box::new(|_| heard.clone()),
        Box::new(|challenge| elsewhere.proof(challenge, 1)),
        Box::new(|challenge| agent.proof(challenge, 2)),
        Box::new(|_| json!({ "type": "proof", "signature": "" })),
    ];
    for make in makers {
        let mut link = Link::open(&broker).await;
        link.send(&agent.hello(1)).await;
        let challenge = link.next().await;
        link.send(&make(&challenge)).await;
        link.refused("agent_proof").await;
    }
    assert!(!is_online(&broker, &agent.id).await);
    first.send(&heard).await;
    assert_eq!(first.next().await["type"], "welcome", "the proof was good for the link that asked for it");
}

#[tokio::test]
async fn versions_order_and_strangers_are_checked_before_the_proof() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut newer = agent.hello(1);
    newer["protocol"] = json!([2, 3]);
    let mut stranger = agent.hello(1);
    stranger["agent"] = json!("ag_0123456789abcdef");
    let cases = [
        (newer, "link_version"),
        (stranger, "agent_unknown"),
        (json!({ "type": "goodbye" }), "link_order"),
        (json!(7), "link_order"),
    ];
    for (frame, code) in cases {
        let mut link = Link::open(&broker).await;
        link.send(&frame).await;
        link.refused(code).await;
    }
}

#[tokio::test]
async fn a_link_that_proves_nothing_ends_and_makes_room() {
    let broker = Broker::start_with(|config: &mut Config| (config.link.join_s, config.link.unproven) = (1, 1)).await;
    let silent = Link::open(&broker).await;
    let Err(Error::Http(response)) = Link::try_open(&broker).await else { panic!("there was room for a second link") };
    assert_eq!(response.status(), 503);
    silent.refused("timeout").await;
    let agent = Agent::enrol(&broker).await;
    agent.join(&broker, 1).await;
}

#[tokio::test]
async fn a_silent_link_is_dead_and_a_pinged_one_lives() {
    let broker = Broker::start_with(|config: &mut Config| (config.link.ping_s, config.link.silence_s) = (1, 2)).await;
    let silent = Agent::enrol(&broker).await;
    let lively = Agent::enrol(&broker).await;
    let silent_link = silent.join(&broker, 1).await;
    let mut lively_link = lively.join(&broker, 1).await;
    assert!(is_online(&broker, &silent.id).await);
    // Reading answers the broker's pings; the silent one's socket stays open and is never read.
    tokio::select! {
        frame = lively_link.next_or_end() => panic!("the lively link got {frame:?}"),
        () = until("the silent link is dead", || async { !is_online(&broker, &silent.id).await }) => {}
    }
    assert!(is_online(&broker, &lively.id).await);
    drop(silent_link);
}

#[tokio::test]
async fn unknown_types_are_answered_and_nonsense_ends_the_link() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut link = agent.join(&broker, 1).await;
    link.send(&json!({ "type": "weather", "rain": 1 })).await;
    assert_eq!(link.next().await, json!({ "type": "unsupported", "of": "weather" }));
    link.send(&disks()).await;
    assert_eq!(link.next().await["type"], "grant", "the link went on");
    link.send(&agent.hello(2)).await;
    link.refused("link_order").await;
    let mut link = agent.join(&broker, 2).await;
    link.0.send(Message::text("nonsense")).await.unwrap();
    link.refused("link_order").await;
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_the_link() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut link = agent.join(&broker, 1).await;
    let long = format!("{{\"type\":\"{}\"}}", "x".repeat(MAX_FRAME_BYTES));
    // The broker may close before it has read all of it.
    let _ = link.0.send(Message::text(long)).await;
    if let Some(frame) = link.next_or_end().await {
        assert_eq!((&frame["type"], &frame["code"]), (&json!("refused"), &json!("body_too_large")), "{frame}");
    }
    until("the agent is gone", || async { !is_online(&broker, &agent.id).await }).await;
}

#[tokio::test]
async fn a_newer_link_of_the_same_agent_takes_over_at_once() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut first = agent.join(&broker, 1).await;
    first.send(&disks()).await;
    let epoch = first.next().await["epoch"].as_u64().unwrap();
    let mut second = agent.join(&broker, 2).await;
    first.refused("agent_clone").await;
    second.send(&disks()).await;
    let grant = second.next().await;
    assert_eq!(grant["type"], "grant", "{grant}");
    assert!(grant["epoch"].as_u64().unwrap() > epoch);
    assert!(is_online(&broker, &agent.id).await);
}

#[tokio::test]
async fn a_revoked_agent_loses_its_link_and_gets_no_other() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let mut link = agent.join(&broker, 1).await;
    let path = format!("/v1/agents/{}/revoke", agent.id);
    assert_eq!(broker.call_as(&broker.admin, "POST", &path, None).await.status, 204);
    if let Some(frame) = link.next_or_end().await {
        assert_eq!(frame["code"], "agent_revoked", "{frame}");
    }
    let mut again = Link::open(&broker).await;
    again.send(&agent.hello(2)).await;
    again.refused("agent_revoked").await;
}

#[tokio::test]
async fn a_broker_that_stops_ends_its_links_with_a_word() {
    let broker = Broker::start().await;
    let agent = Agent::enrol(&broker).await;
    let link = agent.join(&broker, 1).await;
    broker.stop.send(true).unwrap();
    link.refused("not_ready").await;
    tokio::time::timeout(BOUND, broker.edge.hub.empty()).await.unwrap();
    broker.serving.await.unwrap();
}
