//! The administrators' console, as a browser sees it.

mod deliveries;
mod factor;
mod jobs;
mod machines;
mod operations;
mod people;
mod rights;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use taxdisk_broker::core::people::ConsoleRole;
use taxdisk_broker::ledger::Clock;
use taxdisk_protocol::time::Timestamp;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Answer, BOUND, Broker};

pub const PASSWORD: &str = "correct horse battery";

/// A clock that the test turns on.
#[derive(Clone)]
pub struct Hands(Arc<AtomicI64>);

impl Hands {
    pub fn new() -> Hands {
        Hands(Arc::new(AtomicI64::new(1_770_000_000_000)))
    }

    pub fn on(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn clock(&self) -> Clock {
        let hands = self.0.clone();
        Arc::new(move || Timestamp(hands.load(Ordering::SeqCst)))
    }
}

/// A browser: keeps the cookie and the form token of the page that it saw last.
pub struct Browser<'a> {
    broker: &'a Broker,
    pub cookie: Option<String>,
    pub csrf: String,
}

/// Encodes a value of a form.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

pub fn body_of(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

/// An attribute of the first tag that holds `before`.
pub fn after<'t>(html: &'t str, before: &str, end: &str) -> Option<&'t str> {
    html.split_once(before)?.1.split_once(end).map(|(value, _)| value)
}

/// Where an answer leads to.
#[track_caller]
pub fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    after(&format!("{}\r\n", answer.raw_head), "location: ", "\r\n").expect("a location").to_owned()
}

impl<'a> Browser<'a> {
    pub fn new(broker: &'a Broker) -> Browser<'a> {
        Browser { broker, cookie: None, csrf: String::new() }
    }

    /// Another window of it.
    pub fn again(&self) -> Browser<'a> {
        Browser { broker: self.broker, cookie: self.cookie.clone(), csrf: self.csrf.clone() }
    }

    /// One that is signed in as a new person of this role.
    pub async fn of(broker: &'a Broker, name: &str, role: ConsoleRole) -> Browser<'a> {
        broker.ledger.add_user(name, role, "test").await.unwrap();
        let mut browser = Browser::new(broker);
        browser.set_password(name, PASSWORD).await;
        browser.sign_in(name, PASSWORD).await;
        assert!(browser.cookie.is_some());
        browser
    }

    /// By a new link.
    pub async fn set_password(&mut self, name: &str, password: &str) {
        let (token, _) = self.broker.ledger.invite_user(name, "test").await.unwrap();
        let path = format!("/console/password/{token}");
        assert!(self.get(&path).await.text().contains(name));
        let answer = self.post(&path, &[("new", password), ("again", password)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
    }

    pub async fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        let answer = self.post("/console/sign-in", &[("name", name), ("password", password)]).await;
        if answer.status == 303 {
            self.get("/console/account").await;
        }
        answer
    }

    /// Of its session.
    pub fn cookie(&self) -> &str {
        self.cookie.as_deref().expect("it is signed in")
    }

    fn head(&self) -> String {
        let cookie = self.cookie.as_ref().map(|cookie| format!("cookie: {cookie}\r\n")).unwrap_or_default();
        format!("accept-language: en\r\n{cookie}")
    }

    fn keep(&mut self, answer: &Answer) {
        if let Some(set) = after(&answer.head, "set-cookie: taxdisk-broker=", ";") {
            self.cookie = (!set.is_empty()).then(|| format!("taxdisk-broker={}", self.exact(answer, set)));
        }
        if let Some(csrf) = after(&answer.text(), "name=\"csrf\" value=\"", "\"") {
            self.csrf = csrf.to_owned();
        }
    }

    /// Heads are read in lower case; a token is not.
    fn exact(&self, answer: &Answer, lower: &str) -> String {
        let at = answer.raw_head.to_lowercase().find(lower).unwrap();
        answer.raw_head[at..at + lower.len()].to_owned()
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let answer = self.broker.raw("GET", path, &self.head(), b"").await;
        self.keep(&answer);
        answer
    }

    /// A form of the page that was seen last.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf.clone();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(fields);
        self.send(path, &all, "sec-fetch-site: same-origin\r\norigin: http://broker\r\n").await
    }

    /// Fields and a head as they are.
    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)], head: &str) -> Answer {
        let body = body_of(fields);
        let kind = "content-type: application/x-www-form-urlencoded\r\n";
        let head = format!("{}{head}{kind}content-length: {}\r\n", self.head(), body.len());
        let answer = self.broker.raw("POST", path, &head, body.as_bytes()).await;
        self.keep(&answer);
        answer
    }
}

/// The stream that an open overview reads.
pub struct Live {
    stream: TcpStream,
    text: String,
}

impl Live {
    pub async fn open(broker: &Broker, cookie: &str) -> Live {
        let mut stream = TcpStream::connect(broker.address).await.unwrap();
        let request = format!("GET /console/live HTTP/1.1\r\nhost: broker\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Live { stream, text: String::new() }
    }

    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 4096];
        let read = tokio::time::timeout(BOUND, self.stream.read(&mut buffer)).await.expect("within the bound");
        let count = read.unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&buffer[..count]).to_lowercase());
        count > 0
    }

    pub async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            assert!(self.more().await, "it ended before {text}: {}", self.text);
        }
    }

    pub async fn end(&mut self) {
        while self.more().await {}
    }
}
