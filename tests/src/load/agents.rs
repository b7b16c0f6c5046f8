//! Agents that speak the true link and have a disk that issues at once: hello, challenge, proof, welcome, disks, pings, and an
//! outcome for each job that is handed over. They keep nothing: they are load, not agents.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::link::{LINK_PATH, MAX_FRAME_BYTES, SUBPROTOCOL, proof_message};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::http::{Connection, request};

/// An agent that is enrolled, and its only disk.
#[derive(Debug, Clone)]
pub struct Agent {
    id: AgentId,
    ledger: String,
    key: SigningKey,
    /// Of the disk.
    pub seller: String,
    /// Number inside the disk.
    pub disk: String,
    /// The next join counter.
    pub join: u64,
}

/// Callers that wait until the outcome of a job is durable at the broker, by serial number.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged(Rc<RefCell<HashMap<String, oneshot::Sender<()>>>>);

impl Acknowledged {
    /// Wakes when the outcome of this job is acknowledged. Enter before the job is submitted.
    pub fn enter(&self, serial: &str) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.0.borrow_mut().insert(serial.to_owned(), sender);
        receiver
    }

    fn acknowledge(&self, serial: &str) {
        if let Some(waiting) = self.0.borrow_mut().remove(serial) {
            // Who does not wait any more was cut off by the end of the run.
            let _ = waiting.send(());
        }
    }
}

/// Enrols so many agents, each with a disk of its own; disk `index` is of seller `index` modulo the number of sellers.
///
/// # Errors
/// The broker refused, or broke off.
pub async fn enrol<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    connect: impl AsyncFn() -> std::io::Result<S> + Clone + 'static,
    admin: &str,
    count: usize,
    sellers: &[String],
) -> std::io::Result<Vec<Agent>> {
    /// Requests at the same time: they share commits.
    const AT_ONCE: usize = 64;
    let next = Rc::new(RefCell::new(0..count));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE.min(count) {
        let (next, admin, sellers, connect) = (next.clone(), admin.to_owned(), sellers.to_vec(), connect.clone());
        running.spawn_local(async move {
            let mut made = Vec::new();
            let mut connection = Connection::over(connect().await?);
            loop {
                let Some(index) = next.borrow_mut().next() else { return Ok::<_, std::io::Error>(made) };
                let body = json!({ "name": format!("load {index}") }).to_string();
                let code = post(&mut connection, "/v1/enrollments", &admin, &body).await?;
                let key = SigningKey::from_bytes(&rand::random());
                let public_key = STANDARD.encode(key.verifying_key().as_bytes());
                let body = json!({ "code": code["code"], "public_key": public_key, "version": "0.1.0" }).to_string();
                let enrolled = post(&mut connection, "/v1/agents/enroll", &admin, &body).await?;
                let id = enrolled["agent"].as_str().and_then(|id| id.parse().ok());
                made.push(Agent {
                    id: id.ok_or_else(|| std::io::Error::other(format!("no agent in {enrolled}")))?,
                    ledger: enrolled["ledger"].as_str().unwrap_or_default().to_owned(),
                    key,
                    seller: sellers[index % sellers.len()].clone(),
                    disk: format!("66{index:010}"),
                    join: 1,
                });
            }
        });
    }
    let mut agents = Vec::with_capacity(count);
    while let Some(done) = running.join_next().await {
        agents.extend(done.map_err(std::io::Error::other)??);
    }
    agents.sort_by(|a, b| a.disk.cmp(&b.disk));
    Ok(agents)
}

/// Sends a body; the answer must be a success.
///
/// # Errors
/// It is none, or the connection broke.
pub async fn post<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    path: &str,
    key: &str,
    body: &str,
) -> std::io::Result<Value> {
    send(connection, "POST", path, key, body).await
}

/// As [`post`], with another method.
///
/// # Errors
/// As [`post`].
pub async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    method: &str,
    path: &str,
    key: &str,
    body: &str,
) -> std::io::Result<Value> {
    let answer = connection.call(&request(method, path, key, "application/json", body.as_bytes())).await?;
    if !(200..300).contains(&answer.status) {
        let text = String::from_utf8_lossy(answer.body).into_owned();
        return Err(std::io::Error::other(format!("{path}: {} {text}", answer.status)));
    }
    Ok(serde_json::from_slice(answer.body).unwrap_or_default())
}

/// The parts of the broker's frames that an agent of this kind looks at.
#[derive(Deserialize)]
struct Heard<'a> {
    #[serde(rename = "type", borrow)]
    kind: &'a str,
    #[serde(default)]
    epoch: u64,
    #[serde(default, borrow)]
    assignment: Option<HeardAssignment<'a>>,
    #[serde(default, borrow)]
    ids: Vec<&'a str>,
    #[serde(default, borrow)]
    nonce: Option<&'a str>,
}

#[derive(Deserialize)]
struct HeardAssignment<'a> {
    seller: &'a str,
    serial: &'a str,
    attempt: u32,
    sequence: u64,
}

/// A link that is up.
pub struct Link<S> {
    socket: WebSocketStream<S>,
    disk: String,
    /// The last number that the disk issued.
    number: u64,
}

impl Agent {
    /// Joins over this stream and reports the disk. `issued`: the disk's last number.
    ///
    /// # Errors
    /// The broker refused, or the stream broke.
    pub async fn join<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: S, issued: u64) -> Result<Link<S>, Error> {
        let mut request = format!("ws://broker{LINK_PATH}").into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().map_err(|_| Error::AttackAttempt)?);
        let config = WebSocketConfig::default()
            .read_buffer_size(2048)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MAX_FRAME_BYTES)
            .max_message_size(Some(MAX_FRAME_BYTES));
        let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
        let mut link = Link { socket, disk: self.disk.clone(), number: issued };
        let join = self.join;
        self.join += 1;
        let hello = json!({ "type": "hello", "agent": self.id, "version": "0.1.0", "protocol": [1], "join": join,
                            "journal": { "id": "j1", "sequence": 5 } });
        link.say(hello.to_string()).await?;
        let challenge = link.hear().await?;
        let nonce = serde_json::from_str::<Heard<'_>>(&challenge).ok().and_then(|heard| heard.nonce.map(str::to_owned));
        let Some(nonce) = nonce else { return Err(Error::Io(std::io::Error::other(challenge))) };
        let signature = self.key.sign(&proof_message(&self.ledger, &self.id, join, &nonce));
        let proof = json!({ "type": "proof", "signature": STANDARD.encode(signature.to_bytes()) });
        link.say(proof.to_string()).await?;
        let welcome = link.hear().await?;
        if !welcome.contains("\"welcome\"") {
            return Err(Error::Io(std::io::Error::other(welcome)));
        }
        link.say(self.report().to_string()).await?;
        Ok(link)
    }

    fn report(&self) -> Value {
        let capabilities = json!({
            "characters": "gbk", "max_lines": 100, "discount_lines": true, "goods_codes": true, "price_decimals": 8,
            "rate_decimals": 3, "single_person": false, "remark_readable": true, "carries_pair": true, "red": true,
            "operations": ["void"], "widths": { "party_name": 100, "taxpayer_number": 20, "address_phone": 100,
            "bank_account": 100, "item_name": 92, "specification": 40, "unit": 22, "remark": 130, "person": 16, "amount": 20,
            "price": 20 },
        });
        json!({ "type": "disks", "disks": [{
            "disk": self.disk, "taxpayer": self.seller, "taxpayer_name": "测试", "kinds": ["025"], "capabilities": capabilities,
            "fence": "ordered", "dialect": "zc", "port": "/dev/ttyS0", "health": { "ready": true },
            "stock": [{ "kind": "025", "remaining": 90_000_000 }],
        }] })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    async fn say(&mut self, text: String) -> Result<(), Error> {
        self.socket.send(Message::text(text)).await
    }

    /// The next text; pings are answered on the way.
    async fn hear(&mut self) -> Result<String, Error> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_)) | None => return Err(Error::ConnectionClosed),
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Waits for the grant of its disk.
    ///
    /// # Errors
    /// The link ended before.
    pub async fn granted(&mut self) -> Result<(), Error> {
        while !self.hear().await?.contains("\"grant\"") {}
        Ok(())
    }

    /// Issues whatever is handed over, until the link ends. Gives the last number that was issued.
    pub async fn work(&mut self, acknowledged: &Acknowledged) -> u64 {
        loop {
            let Ok(text) = self.hear().await else { return self.number };
            let Ok(heard) = serde_json::from_str::<Heard<'_>>(&text) else { continue };
            match (heard.kind, heard.assignment) {
                ("assign", Some(assignment)) => {
                    let Ok(()) = self.issue(heard.epoch, &assignment).await else { return self.number };
                }
                ("ack", _) => heard.ids.iter().for_each(|serial| acknowledged.acknowledge(serial)),
                _ => {}
            }
        }
    }

    async fn issue(&mut self, epoch: u64, assignment: &HeardAssignment<'_>) -> Result<(), Error> {
        self.number += 1;
        let HeardAssignment { seller, serial, attempt, sequence } = assignment;
        let (disk, number) = (&self.disk, self.number);
        let pair = format!(r#"{{"code":"011002000107","number":"{number:08}"}}"#);
        let attempt = format!(r#"{{"seller":"{seller}","serial":"{serial}","attempt":{attempt}}}"#);
        let started = format!(r#"{{"type":"started","disk":"{disk}","epoch":{epoch},"attempt":{attempt},"expected":{pair}}}"#);
        let signature = "5".repeat(160);
        let result = format!(
            r#"{{"result":"issued","pair":{pair},"issued_at":"20260101120000","fiscal_code":"12345678901234567890","signature""#
        ) + &format!(r#":"{signature}","settled":false}}"#);
        let outcome = format!(r#"{{"type":"outcome","id":"{serial}","disk":"{disk}","epoch":{epoch},"sequence":{sequence},"#)
            + &format!(r#""attempt":{attempt},"expected":{pair},"readings":[],"disk_ms":1,"outcome":{result}}}"#);
        self.socket.feed(Message::text(started)).await?;
        self.socket.send(Message::text(outcome)).await
    }
}
