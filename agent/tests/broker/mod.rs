//! A broker that says what a test tells it to: enrolment, health, and the link, over plain TCP or TLS, in a thread of its own.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use futures_util::{SinkExt, StreamExt};
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::link::{AgentFrame, BrokerFrame, proof_message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

pub const AGENT: &str = "ag_00000000000000aa";
pub const LEDGER: &str = "lg_test";
/// Nothing that is waited for takes longer.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What the agent does, as the broker sees it.
#[derive(Debug)]
pub enum Seen {
    /// `POST /v1/agents/enroll` with this body.
    Enrol(String),
    /// A link was opened.
    Link(Link),
}

/// One link, in the test's hand.
#[derive(Debug)]
pub struct Link {
    frames: Receiver<String>,
    say: mpsc::UnboundedSender<Message>,
}

impl Link {
    /// The next frame as text; `None` when the agent hung up.
    pub fn text(&self) -> Option<String> {
        match self.frames.recv_timeout(LIMIT) {
            Ok(text) => Some(text),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the agent says nothing"),
        }
    }

    pub fn frame(&self) -> AgentFrame {
        serde_json::from_str(&self.text().expect("the agent hung up")).unwrap()
    }

    /// Frames up to the first that fits; that one.
    pub fn until(&self, fits: impl Fn(&AgentFrame) -> bool) -> AgentFrame {
        loop {
            let frame = self.frame();
            if fits(&frame) {
                return frame;
            }
        }
    }

    /// The agent hangs up, whatever it still says before.
    pub fn ends(&self) {
        while self.text().is_some() {}
    }

    pub fn say(&self, frame: &BrokerFrame) {
        self.raw(Message::text(serde_json::to_string(frame).unwrap()));
    }

    pub fn raw(&self, message: Message) {
        // The agent may be gone by now; the test sees it by the frames.
        let _ = self.say.send(message);
    }

    /// Goes through the greeting and checks the proof against this public key.
    pub fn welcome(&self, public_key: &str) -> AgentFrame {
        let hello = self.frame();
        let AgentFrame::Hello { agent, join, .. } = &hello else { panic!("{hello:?}") };
        self.say(&BrokerFrame::Challenge { nonce: "bm9uY2U=".into(), ledger: LEDGER.into(), ancestors: Vec::new() });
        let AgentFrame::Proof { signature, .. } = self.frame() else { panic!("no proof") };
        check_proof(public_key, agent, *join, "bm9uY2U=", &signature).unwrap();
        self.say(&BrokerFrame::Welcome { protocol: 1, journal_known: None, updates: false, key: None });
        hello
    }
}

/// Is this the signature of this key over this join?
pub fn check_proof(public_key: &str, agent: &AgentId, join: u64, nonce: &str, signature: &str) -> Result<(), String> {
    let key: [u8; 32] = BASE64.decode(public_key).unwrap().try_into().unwrap();
    let signature = Signature::from_slice(&BASE64.decode(signature).unwrap()).unwrap();
    let key = VerifyingKey::from_bytes(&key).unwrap();
    key.verify(&proof_message(LEDGER, agent, join, nonce), &signature).map_err(|error| error.to_string())
}

/// How the broker answers an enrolment.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn enrolled() -> Answer {
        Answer { status: 201, body: format!(r#"{{"agent":"{AGENT}","ledger":"{LEDGER}"}}"#) }
    }
}

pub struct Broker {
    pub address: SocketAddr,
    pub seen: Receiver<Seen>,
    tls: bool,
}

impl Broker {
    pub fn start() -> Broker {
        Broker::with(Answer::enrolled(), None)
    }

    pub fn with(answer: Answer, tls: Option<rustls::ServerConfig>) -> Broker {
        Broker::at_time(answer, tls, None)
    }

    /// Its clock says this, as RFC 2822 writes it.
    pub fn at_time(answer: Answer, tls: Option<rustls::ServerConfig>, date: Option<&'static str>) -> Broker {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = channel();
        let acceptor = tls.map(|config| tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config)));
        let uses_tls = acceptor.is_some();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (sender, answer, acceptor) = (sender.clone(), answer.clone(), acceptor.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            None => serve(stream, sender, answer, date).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    serve(stream, sender, answer, date).await;
                                }
                            }
                        }
                    });
                }
            });
        });
        Broker { address, seen, tls: uses_tls }
    }

    pub fn url(&self) -> String {
        if self.tls { format!("https://localhost:{}", self.address.port()) } else { format!("http://{}", self.address) }
    }

    pub fn link(&self) -> Link {
        loop {
            if let Seen::Link(link) = self.seen.recv_timeout(LIMIT).expect("no link was opened") {
                return link;
            }
        }
    }

    pub fn enrolment(&self) -> serde_json::Value {
        loop {
            if let Seen::Enrol(body) = self.seen.recv_timeout(LIMIT).expect("no enrolment came") {
                return serde_json::from_str(&body).unwrap();
            }
        }
    }
}

/// Reads a request's head byte by byte, so that nothing of what follows is lost.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut stream: S,
    seen: Sender<Seen>,
    answer: Answer,
    date: Option<&'static str>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    if text.starts_with("GET /v1/agents/link") {
        return link(Replayed { head, at: 0, stream }, seen).await;
    }
    let length = text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let (status, reply) = if text.starts_with("POST /v1/agents/enroll") {
        seen.send(Seen::Enrol(String::from_utf8(body).unwrap())).ok();
        (answer.status, answer.body)
    } else if text.starts_with("GET /readyz") {
        (200, r#"{"ready":true,"missing":[],"version":"0.1.0"}"#.to_owned())
    } else {
        (200, "ok".to_owned())
    };
    let now =
        jiff::fmt::rfc2822::to_string(&jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC)).unwrap().replace("+0000", "GMT");
    let date = date.map_or(now, str::to_owned);
    let reply =
        format!("HTTP/1.1 {status} X\r\nDate: {date}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{reply}", reply.len());
    stream.write_all(reply.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

#[allow(clippy::result_large_err)]
fn agree(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("taxdisk.v1"));
    Ok(response)
}

async fn link<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, seen: Sender<Seen>) {
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, agree).await else { return };
    let (mut sink, mut source) = socket.split();
    let (frames, heard) = channel();
    let (say, mut said) = mpsc::unbounded_channel::<Message>();
    seen.send(Seen::Link(Link { frames: heard, say })).ok();
    loop {
        tokio::select! {
            message = source.next() => match message {
                Some(Ok(Message::Text(text))) => drop(frames.send(text.to_string())),
                Some(Ok(_)) => {}
                _ => return,
            },
            message = said.recv() => match message {
                Some(message) => if sink.send(message).await.is_err() { return },
                // The test let go of the link: the socket ends.
                None => return,
            },
        }
    }
}

/// The head that was read already, then the rest.
struct Replayed<S> {
    head: Vec<u8>,
    at: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.at < self.head.len() {
            let end = self.head.len().min(self.at + buffer.remaining());
            buffer.put_slice(&self.head[self.at..end]);
            self.at = end;
            return std::task::Poll::Ready(Ok(()));
        }
        std::pin::Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        c: &mut std::task::Context<'_>,
        b: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(c, b)
    }
    fn poll_flush(mut self: std::pin::Pin<&mut Self>, c: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(c)
    }
    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, c: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(c)
    }
}
