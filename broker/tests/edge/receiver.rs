//! A receiver of webhooks that does what a test says, rude things included.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to do with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// 204.
    Take,
    /// This status, with these further headers.
    Status(u16, &'static str),
    /// 200 and bytes that are no JSON.
    Garbage,
    /// 200 and a body that does not end.
    Endless,
    /// Read, and say nothing until the caller gives up.
    Stall,
    /// Close in the middle of the head.
    CutHead,
    /// Close in the middle of the body of a 200.
    CutBody,
    /// Close without a word.
    Close,
}

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Got {
    pub headers: HashMap<String, String>,
    pub raw: Vec<u8>,
    pub body: Value,
}

impl Got {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }

    pub fn serial(&self) -> &str {
        self.body["data"]["serial"].as_str().unwrap_or("")
    }

    pub fn revision(&self) -> u64 {
        self.body["data"]["revision"].as_u64().unwrap_or(0)
    }
}

type Rule = Arc<Mutex<dyn FnMut(&Got) -> Manner + Send>>;

#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    rule: Arc<Mutex<Rule>>,
}

impl Receiver {
    pub async fn start(rule: impl FnMut(&Got) -> Manner + Send + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rule: Rule = Arc::new(Mutex::new(rule));
        let receiver =
            Receiver { address: listener.local_addr().unwrap(), got: Arc::default(), rule: Arc::new(Mutex::new(rule)) };
        let serving = receiver.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        receiver
    }

    /// From now on.
    pub fn behave(&self, rule: impl FnMut(&Got) -> Manner + Send + 'static) {
        *self.rule.lock().unwrap() = Arc::new(Mutex::new(rule));
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Some(got) = read(&mut stream).await {
            let rule = self.rule.lock().unwrap().clone();
            let manner = rule.lock().unwrap()(&got);
            self.got.lock().unwrap().push(got);
            let answer = match manner {
                Manner::Take => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                Manner::Status(status, headers) => format!("HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\n\r\n"),
                Manner::Garbage => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n\x01}{\"\x7f".to_owned(),
                Manner::Endless => {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await;
                    while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
                    return;
                }
                Manner::Stall => {
                    let _ = stream.read(&mut [0; 1]).await;
                    return;
                }
                Manner::CutHead => "HTTP/1.1 200 OK\r\ncontent-le".to_owned(),
                Manner::CutBody => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned(),
                Manner::Close => String::new(),
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            if matches!(manner, Manner::CutHead | Manner::CutBody | Manner::Close) {
                return;
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let headers: HashMap<String, String> = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers["content-length"].parse().unwrap();
            if bytes.len() >= end + 4 + length {
                let raw = bytes[end + 4..].to_vec();
                let body = serde_json::from_slice(&raw).unwrap();
                return Some(Got { headers, raw, body });
            }
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}
