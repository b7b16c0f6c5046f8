//! A broker in this process, and a client that speaks just enough HTTP/1.1 to be rude.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use taxdisk_broker::config::Config;
use taxdisk_broker::http::{self, Edge};
use taxdisk_broker::ledger::{Clock, JobFilter, Ledger, Settings};
use taxdisk_broker::serve;
use taxdisk_protocol::api::{KeyRequest, Role, SellerBody};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const SELLER: &str = "911101080000000007";
pub const OTHER_SELLER: &str = "91110000MA0000001L";
/// Generous: only a broken broker reaches it.
pub const BOUND: Duration = Duration::from_secs(20);

pub struct Broker {
    pub address: SocketAddr,
    pub ledger: Ledger,
    /// An administrator's key.
    pub admin: String,
    /// A platform's key for all sellers.
    pub platform: String,
    pub stop: watch::Sender<bool>,
    pub serving: JoinHandle<()>,
    pub edge: Edge,
    folder: tempfile::TempDir,
}

impl Broker {
    pub async fn start() -> Broker {
        Broker::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Broker {
        Broker::start_at(Ledger::system_clock(), change).await
    }

    /// With these settings of the ledger.
    pub async fn start_set(settings: Settings) -> Broker {
        Broker::start_with_all(Ledger::system_clock(), settings, |_| {}).await
    }

    /// With a clock of the test's own.
    pub async fn start_at(clock: Clock, change: impl FnOnce(&mut Config)) -> Broker {
        Broker::start_with_all(clock, Settings::default(), change).await
    }

    async fn start_with_all(clock: Clock, settings: Settings, change: impl FnOnce(&mut Config)) -> Broker {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.limits.stop_s = 2;
        change(&mut config);
        let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let settings = Settings { silence_ms: config.silence().as_millis() as i64, ..settings };
        let ledger = Ledger::open(&url, settings, clock).await.unwrap();
        let body =
            SellerBody { name: "测试".to_owned(), disk_trouble: Default::default(), mark: true, warnings: Default::default() };
        ledger.put_seller(&SELLER.parse().unwrap(), body, "test").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let tokens = http::tokens::Tokens::of(&config.tokens).unwrap();
        let edge = Edge::new(ledger.clone(), &config, stopping.clone()).with_tokens(tokens);
        let edge = edge.with_scrape(http::scrape::Scrape::of(&config.metrics).unwrap());
        let router = http::router(edge.clone());
        let limits = config.limits.clone();
        let serving = tokio::spawn(async move { serve::run(listener, None, router, &limits, stopping).await });
        let mut broker = Broker { address, ledger, admin: String::new(), platform: String::new(), stop, serving, edge, folder };
        broker.admin = broker.key(Role::Admin, &[], None).await;
        broker.platform = broker.key(Role::Platform, &[], None).await;
        broker
    }

    /// As `store.url`.
    pub fn store_url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("ledger.db").display())
    }

    pub async fn key(&self, role: Role, sellers: &[&str], valid_s: Option<u64>) -> String {
        let sellers = sellers.iter().map(ToString::to_string).collect();
        let request = KeyRequest { name: "test".to_owned(), role, sellers, actions: Vec::new(), valid_s, owner: None };
        self.ledger.create_key(request, "test").await.unwrap().key
    }

    /// One call with the platform's key.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.call_as(&self.platform, method, path, body).await
    }

    pub async fn call_as(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let text = body.map(ToString::to_string).unwrap_or_default();
        let json = if body.is_some() { "content-type: application/json\r\n" } else { "" };
        let head = format!("authorization: Bearer {key}\r\n{json}content-length: {}\r\n", text.len());
        self.raw(method, path, &head, text.as_bytes()).await
    }

    /// One call with a head of the caller's own.
    pub async fn raw(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: broker\r\nconnection: close\r\n{head}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (reader, mut writer) = stream.split();
        let write = async {
            // An early answer may close the connection under a long body.
            let _ = writer.write_all(body).await;
        };
        let ((), answer) = tokio::join!(write, tokio::time::timeout(BOUND, Answer::read(reader)));
        answer.expect("the broker answers within the bound")
    }

    pub async fn submit(&self, serial: &str) -> Answer {
        self.call("POST", "/v1/jobs", Some(&job(serial))).await
    }

    /// All jobs of the ledger.
    pub async fn stored(&self) -> usize {
        self.ledger.jobs(&JobFilter::default(), None, 500).await.unwrap().jobs.len()
    }
}

/// A job that breaks no rule.
pub fn job(serial: &str) -> Value {
    json!({
        "seller": SELLER, "serial": serial, "kind": "025",
        "invoice": {
            "buyer": { "name": "个人" },
            "lines": [{ "name": "咖啡", "goods_code": "3070401000000000000", "quantity": "1", "price": "200.00",
                        "net": "200.00", "rate": "0.13", "tax": "26.00" }],
            "totals": { "net": "200.00", "tax": "26.00", "gross": "226.00" },
            "clerk": "王五",
        },
    })
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// As it came.
    pub raw_head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn read(mut reader: impl AsyncRead + Unpin) -> Answer {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        // A reset after the answer is no concern of the answer.
        while let Ok(count) = reader.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..count]);
        }
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let raw_head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let head = raw_head.to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = &bytes[end + 4..];
        let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_vec() };
        Answer { status, head, raw_head, body }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A problem document of this code; its body.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str().unwrap()), (status, code), "{body}");
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        for field in ["type", "title", "detail", "issued", "retry", "who"] {
            assert!(body[field].is_string(), "{field} is missing: {body}");
        }
        assert_eq!(body["status"], status);
        body
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a chunk has a length");
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
}

/// Waits until `holds`, within the bound.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + BOUND;
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "not within the bound: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
