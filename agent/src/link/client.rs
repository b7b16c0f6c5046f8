//! The shell of the link: does what [`super::session::Session`] says with one WebSocket. It decides nothing but the way there:
//! straight, through an HTTP proxy ([`super::proxy`]), or, where what lies between passes no WebSocket, through a tunnel of plain
//! requests (`tunnel`).
//!
//! Everything is bounded: the try to connect by the session, each write by [`WRITE_LIMIT`], what waits to be written by
//! [`WRITES_MAX`], a frame by [`MAX_FRAME_BYTES`]. Buffers are small: the agent is idle nearly all the time.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::SplitStream;
use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use taxdisk_protocol::link::{BrokerFrame, JournalHead, LINK_PATH, MAX_FRAME_BYTES, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use super::session::{Effect, Input, OtherKeys, Session, Standing};
use super::trouble::{self, Stage};
use crate::config::BrokerUrl;
use crate::failure::Failure;
use crate::update::fetch;

/// One frame is written within this time, or the link is given up: a broker that reads nothing for so long is as good as gone.
pub const WRITE_LIMIT: Duration = Duration::from_secs(20);
/// Frames that may wait to be written. The outbox has a window of its own below this.
pub const WRITES_MAX: usize = 256;
/// Inputs that may wait for the link.
pub const INPUTS_MAX: usize = 1024;
/// Read and write buffers, bytes. The library's default is 128 KiB each.
const BUFFER_BYTES: usize = 4096;
/// A WebSocket is open within this, or something between does not pass it. Leaves time for a tunnel within the session's limit.
const UPGRADE_LIMIT: Duration = Duration::from_secs(8);
/// Links through a tunnel until the WebSocket is tried again: a network may have been mended.
const TUNNELS_RUN: u32 = 10;
/// Time to get the last frames out when the agent stops.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);

/// Where to connect.
#[derive(Clone)]
pub struct Dial {
    /// The broker.
    pub url: BrokerUrl,
    /// TLS, where the address asks for it. Trust is not even read for a broker on this PC itself.
    pub tls: Option<Arc<ClientConfig>>,
    /// Proxy on the way.
    pub proxy: Option<ureq::Proxy>,
    net: Net,
    /// Links that still go through a tunnel before the WebSocket is tried again.
    tunnels: Arc<AtomicU32>,
}

/// What carries bytes from here.
#[derive(Clone)]
enum Net {
    /// Sockets of this machine; this client makes plain requests over them, trusted alike.
    Machine(ureq::Agent),
    /// Another network, for streams alone: nothing goes through a tunnel there, and no program is fetched.
    Given(Connector),
}

/// A stream of bytes to a broker, or to the proxy before it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Opens a stream to a host and port on a network of its own. An error says how far it came.
pub type Connector =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, Result<Box<dyn Stream>, (Stage, std::io::Error)>> + Send + Sync>;

impl Dial {
    /// The broker at this address, over another network than this machine's, without TLS and proxy. For tests of the link under
    /// a simulated network.
    pub fn over(url: BrokerUrl, connector: Connector) -> Dial {
        Dial { url, tls: None, proxy: None, net: Net::Given(connector), tunnels: Arc::default() }
    }

    /// The broker at this address, trusted as this file or else the system says, through the configured proxy or else the
    /// environment's.
    ///
    /// # Errors
    /// The file, the system's own trust, or the proxy cannot be used.
    pub fn new(url: BrokerUrl, ca_file: Option<&Path>, proxy: Option<&str>) -> Result<Dial, Failure> {
        let tls = url.tls.then(|| crate::tls::client(ca_file)).transpose()?;
        let proxy = super::proxy::choose(&url, proxy)?;
        let http = crate::tls::http(ca_file, proxy.clone())?;
        Ok(Dial { url, tls, proxy, net: Net::Machine(http), tunnels: Arc::default() })
    }

    /// The WebSocket does not come through: so many of the next links go through a tunnel at once.
    fn tunnel_next(&self, links: u32) {
        self.tunnels.store(links, Ordering::Relaxed);
    }

    /// The next link is to go through a tunnel at once, by this client.
    fn takes_tunnel(&self) -> Option<&ureq::Agent> {
        let Net::Machine(http) = &self.net else { return None };
        let takes = self.tunnels.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        takes.then_some(http)
    }
}

/// The ways to all brokers of a ledger. Each try to connect takes the next one: a broker whose link just ended is the least
/// likely to be there.
#[derive(Clone)]
pub struct Dials {
    all: Vec<Dial>,
    at: usize,
}

impl Dials {
    /// `first`, then the others in turn.
    pub fn new(first: Dial, others: Vec<Dial>) -> Dials {
        let mut all = others;
        all.insert(0, first);
        let at = all.len() - 1;
        Dials { all, at }
    }

    /// The next one.
    fn turn(&mut self) -> Dial {
        self.at = (self.at + 1) % self.all.len();
        self.current().clone()
    }

    /// The one that was tried last.
    fn current(&self) -> &Dial {
        &self.all[self.at]
    }
}

impl From<Dial> for Dials {
    fn from(dial: Dial) -> Dials {
        Dials::new(dial, Vec::new())
    }
}

impl Dials {
    /// The same ways, for plain requests.
    pub fn ways(&self) -> Vec<fetch::Way> {
        let way = |dial: &Dial| match &dial.net {
            Net::Machine(http) => Some(fetch::Way { url: dial.url.clone(), http: http.clone() }),
            Net::Given(_) => None,
        };
        self.all.iter().filter_map(way).collect()
    }
}

/// The addresses, for people.
impl std::fmt::Display for Dials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, dial) in self.all.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, dial.url)?;
        }
        Ok(())
    }
}

/// Opens the connection to the broker: TCP, straight or through the proxy, and TLS over it.
async fn wire(dial: &Dial) -> Result<Box<dyn Stream>, String> {
    let url = &dial.url;
    let (host, port) = dial.proxy.as_ref().map_or((url.host.as_str(), url.port), |proxy| (proxy.host(), proxy.port()));
    let at = |(stage, error): (Stage, std::io::Error)| match &dial.proxy {
        None => trouble::io(url, stage, &error),
        Some(proxy) => format!("The proxy {} cannot be reached ({error}): correct [broker] proxy.", super::proxy::shown(proxy)),
    };
    let mut stream = match &dial.net {
        Net::Machine(_) => tcp(host, port).await.map_err(at)?,
        Net::Given(connector) => connector(host.to_owned(), port).await.map_err(at)?,
    };
    if let Some(proxy) = &dial.proxy {
        super::proxy::connect(&mut stream, url, proxy).await?;
    }
    let Some(tls) = &dial.tls else { return Ok(stream) };
    let name = rustls_pki_types::ServerName::try_from(url.host.clone())
        .map_err(|_| format!("{:?} is no name that a certificate can hold: correct [broker] url.", url.host))?;
    let connector = tokio_rustls::TlsConnector::from(tls.clone());
    Ok(Box::new(connector.connect(name, stream).await.map_err(|error| trouble::io(url, Stage::Tls, &error))?))
}

/// A TCP connection of this machine.
async fn tcp(host: &str, port: u16) -> Result<Box<dyn Stream>, (Stage, std::io::Error)> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(|error| (Stage::Names, error))?.collect();
    let tcp = TcpStream::connect(&*addresses).await.map_err(|error| (Stage::Tcp, error))?;
    tcp.set_nodelay(true).map_err(|error| (Stage::Tcp, error))?;
    Ok(Box::new(tcp))
}

/// Opens the link, by a tunnel where a WebSocket does not come through.
///
/// # Errors
/// One sentence for people.
async fn open(dial: &Dial) -> Result<(Socket, Way), String> {
    if let Some(http) = dial.takes_tunnel() {
        return Ok((through_tunnel(dial, http).await?, Way::Tunnel));
    }
    let stream = wire(dial).await?;
    let upgraded = tokio::time::timeout(UPGRADE_LIMIT, upgrade(dial, stream)).await;
    let text = match upgraded {
        Ok(Ok(socket)) => return Ok((socket, Way::Straight)),
        Ok(Err(error)) if !is_blocked(&error) => return Err(trouble::upgrade(&dial.url, &error)),
        Ok(Err(error)) => trouble::upgrade(&dial.url, &error),
        Err(_) => format!("The WebSocket to {} was not opened within {} s.", dial.url, UPGRADE_LIMIT.as_secs()),
    };
    let Net::Machine(http) = &dial.net else { return Err(text) };
    tracing::info!(broker = %dial.url, "{text} Trying plain requests.");
    match through_tunnel(dial, http).await {
        Ok(socket) => {
            dial.tunnel_next(TUNNELS_RUN);
            Ok((socket, Way::Tunnel))
        }
        // What was wrong first is what a person can mend.
        Err(also) => Err(format!("{text} And plain requests: {also}")),
    }
}

/// Is this the doing of something between us and the broker? The broker's own refusals are not.
fn is_blocked(error: &WsError) -> bool {
    match error {
        WsError::Http(answer) => {
            let kind = answer.headers().get(tokio_tungstenite::tungstenite::http::header::CONTENT_TYPE);
            let broker = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
            // That no upgrade was asked for, the broker says too when something took the request for it away.
            !(broker && matches!(answer.status().as_u16(), 401 | 403 | 429 | 503))
        }
        WsError::Io(_) | WsError::Protocol(_) | WsError::ConnectionClosed => true,
        _ => false,
    }
}

async fn through_tunnel(dial: &Dial, http: &ureq::Agent) -> Result<Socket, String> {
    let stream = super::tunnel::open(http.clone(), &dial.url).await?;
    let upgraded = tokio::time::timeout(UPGRADE_LIMIT, upgrade(dial, Box::new(stream))).await;
    match upgraded {
        Ok(upgraded) => upgraded.map_err(|error| trouble::upgrade(&dial.url, &error)),
        Err(_) => Err(format!("{} did not answer through a tunnel within {} s.", dial.url, UPGRADE_LIMIT.as_secs())),
    }
}

async fn upgrade(dial: &Dial, stream: Box<dyn Stream>) -> Result<Socket, WsError> {
    let mut request = dial.url.websocket(LINK_PATH).into_client_request()?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_FRAME_BYTES)
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
    Ok(socket)
}

/// Source of join counters, and of the keys beside the present one. Ends when the counter is durable.
pub type Joins = Arc<dyn Fn() -> BoxFuture<'static, Result<(u64, JournalHead, OtherKeys), String>> + Send + Sync>;

/// Reads the clock by which the link lives: [`crate::clock::since_boot`], but for tests in virtual time.
pub type Clock = fn() -> Duration;

/// What the link tells the rest of the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkEvent {
    /// The link is up. The number is the highest journal sequence that the broker has heard of.
    Up(Option<u64>),
    /// The broker's ledger was restored from a backup; it is called so from now on.
    Ledger(String),
    /// The broker knows the next key, of this public half, and no other one from now on.
    KeyTaken(String),
    /// It is down.
    Down(String),
    /// A frame for a disk's worker.
    Frame(Box<BrokerFrame>),
    /// These outbox entries are durable at the broker.
    Confirm(Vec<String>),
    /// The broker knew of us at this time since boot.
    Heard(Duration),
}

/// Receives what the link tells. Must not block.
pub type Told = Box<dyn FnMut(LinkEvent) + Send>;

type Socket = WebSocketStream<Box<dyn Stream>>;

/// How the link came to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a WebSocket.
    Straight,
    /// By plain requests.
    Tunnel,
}

struct Opened {
    socket: Socket,
    way: Way,
    join: u64,
    journal: JournalHead,
    others: OtherKeys,
}

enum Connection {
    None,
    Opening(JoinHandle<Result<Opened, String>>),
    Open {
        reader: SplitStream<Socket>,
        writes: mpsc::Sender<Message>,
        writer: JoinHandle<String>,
        way: Way,
        /// A frame came through.
        heard: bool,
    },
}

/// Tries the way to the broker's link once, for `doctor`.
///
/// # Errors
/// One sentence for people.
pub async fn probe(dial: &Dial) -> Result<Way, String> {
    let (mut socket, way) = open(dial).await?;
    // Best effort: the broker also notices a socket that just ends.
    let _ = socket.close(None).await;
    Ok(way)
}

/// Runs the link until [`Input::Leave`] or until nobody can send inputs any more. `clock` is the one that inputs' times are of.
pub async fn drive(
    mut dials: Dials,
    mut session: Session,
    joins: Joins,
    clock: Clock,
    mut inputs: mpsc::Receiver<Input>,
    standing: Arc<Mutex<Standing>>,
    mut told: Told,
) {
    let mut connection = Connection::None;
    let mut leaving = false;
    while !leaving {
        let wait = session.deadline().map(|at| at.saturating_sub(clock()));
        let input = tokio::select! {
            // Not by chance: what happens follows from what came, and can be run again. Nobody starves: our own inputs are few,
            // and each tick puts the next one off. The broker, which could send without end, comes last.
            biased;
            input = inputs.recv() => input.unwrap_or(Input::Leave),
            () = sleep(wait) => Input::Tick,
            input = connection.next() => input,
        };
        leaving = input == Input::Leave;
        connection.note(&input);
        for effect in session.handle(input, clock()) {
            match effect {
                Effect::Connect => connection = Connection::Opening(tokio::spawn(connect(dials.turn(), joins.clone()))),
                Effect::Send(text) => connection.write(Message::Text(text.into())),
                Effect::Ping(number) => connection.write(Message::Ping(Bytes::copy_from_slice(&number.to_be_bytes()))),
                Effect::Close(reason) => {
                    tracing::debug!(reason, "the link's socket is dropped");
                    if connection.is_dumb() {
                        dials.current().tunnel_next(1);
                    }
                    connection.drop_now();
                }
                Effect::Ledger(ledger) => told(LinkEvent::Ledger(ledger)),
                Effect::KeyTaken(public_key) => told(LinkEvent::KeyTaken(public_key)),
                Effect::Up { journal_known } => told(LinkEvent::Up(journal_known)),
                Effect::Down(text) => {
                    if !leaving {
                        connection.drop_now();
                    }
                    told(LinkEvent::Down(text));
                }
                Effect::Deliver(frame) => told(LinkEvent::Frame(frame)),
                Effect::Confirm(ids) => told(LinkEvent::Confirm(ids)),
                Effect::Heard(at) => told(LinkEvent::Heard(at)),
            }
        }
        *standing.lock().unwrap_or_else(PoisonError::into_inner) = session.standing();
    }
    connection.finish().await;
}

async fn connect(dial: Dial, joins: Joins) -> Result<Opened, String> {
    let (socket, way) = open(&dial).await?;
    // Only now, so that a broker that is away costs no write to the drive at every try.
    let (join, journal, others) = joins().await?;
    Ok(Opened { socket, way, join, journal, others })
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

impl Connection {
    /// The next thing that the socket says. Never ends while there is none.
    async fn next(&mut self) -> Input {
        match self {
            Connection::None => std::future::pending().await,
            Connection::Opening(task) => {
                let opened = task.await.unwrap_or_else(|_| Err("The try to connect was broken off.".to_owned()));
                match opened {
                    Ok(Opened { socket, way, join, journal, others }) => {
                        *self = Connection::start(socket, way);
                        Input::Opened { join, journal, others }
                    }
                    Err(text) => {
                        *self = Connection::None;
                        Input::ConnectFailed(text)
                    }
                }
            }
            Connection::Open { reader, writer, .. } => {
                let input = tokio::select! {
                    // Once, at the end: it keeps no frame waiting before.
                    biased;
                    why = writer => Input::Lost(why.unwrap_or_else(|_| "The link's writer has ended.".to_owned())),
                    message = reader.next() => read(message),
                };
                if matches!(input, Input::Lost(_)) {
                    self.drop_now();
                }
                input
            }
        }
    }

    fn note(&mut self, input: &Input) {
        if let (Connection::Open { heard, .. }, Input::Text(_)) = (self, input) {
            *heard = true;
        }
    }

    /// A WebSocket was opened, and no frame ever came through it: something between passes the upgrade and keeps the rest.
    fn is_dumb(&self) -> bool {
        matches!(self, Connection::Open { way: Way::Straight, heard: false, .. })
    }

    fn start(socket: Socket, way: Way) -> Connection {
        let (mut sink, reader) = socket.split();
        let (writes, mut waiting) = mpsc::channel(WRITES_MAX);
        let writer = tokio::spawn(async move {
            while let Some(message) = waiting.recv().await {
                match tokio::time::timeout(WRITE_LIMIT, sink.send(message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return format!("The link broke while writing ({error})."),
                    Err(_) => return format!("The broker took nothing for {} s.", WRITE_LIMIT.as_secs()),
                }
            }
            // Nobody can send any more: say so politely, as far as it goes.
            let _ = tokio::time::timeout(LAST_WORDS_LIMIT, sink.close()).await;
            String::new()
        });
        Connection::Open { reader, writes, writer, way, heard: false }
    }

    fn write(&mut self, message: Message) {
        if let Connection::Open { writes, writer, .. } = self
            && writes.try_send(message).is_err()
        {
            // Full: the writer is stuck, and its end is the session's news that the link is lost.
            writer.abort();
        }
    }

    fn drop_now(&mut self) {
        match std::mem::replace(self, Connection::None) {
            Connection::None => {}
            Connection::Opening(task) => task.abort(),
            Connection::Open { writer, .. } => writer.abort(),
        }
    }

    /// Gets the last frames out.
    async fn finish(self) {
        match self {
            Connection::None => {}
            Connection::Opening(task) => task.abort(),
            Connection::Open { writes, mut writer, .. } => {
                drop(writes);
                if tokio::time::timeout(LAST_WORDS_LIMIT, &mut writer).await.is_err() {
                    writer.abort();
                }
            }
        }
    }
}

fn read(message: Option<Result<Message, WsError>>) -> Input {
    match message {
        Some(Ok(Message::Text(text))) => Input::Text(text.as_str().to_owned()),
        Some(Ok(Message::Pong(payload))) => match <[u8; 8]>::try_from(payload.as_ref()) {
            Ok(number) => Input::Pong(u64::from_be_bytes(number)),
            Err(_) => Input::Heard,
        },
        Some(Ok(Message::Close(close))) => {
            let why = close.map(|close| format!(" ({})", close.reason)).unwrap_or_default();
            Input::Lost(format!("The broker closed the link{why}."))
        }
        Some(Ok(Message::Ping(_) | Message::Frame(_))) => Input::Heard,
        Some(Ok(Message::Binary(_))) => Input::Lost("The broker sent a binary frame; the link knows text only.".to_owned()),
        Some(Err(WsError::Capacity(error))) => {
            Input::Lost(format!("The broker sent a frame above {MAX_FRAME_BYTES} bytes ({error})."))
        }
        Some(Err(error)) => Input::Lost(format!("The link broke ({error}).")),
        None => Input::Lost("The broker hung up.".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn over_another_network_nothing_goes_by_this_machines_sockets() {
        let connector: Connector = Arc::new(|host, port| {
            Box::pin(async move {
                assert_eq!((host.as_str(), port), ("broker", 80));
                Err((Stage::Tcp, std::io::ErrorKind::ConnectionRefused.into()))
            })
        });
        let dial = Dial::over(BrokerUrl { tls: false, host: "broker".to_owned(), port: 80 }, connector);
        dial.tunnel_next(1);
        let refused = open(&dial).await.map(|(_, way)| way).unwrap_err();
        assert_eq!(refused, "Nothing listens at broker:80: the broker is down, or the port is wrong.");
        assert!(Dials::from(dial).ways().is_empty(), "no program is fetched");
    }

    #[test]
    fn each_try_takes_the_next_broker_and_the_first_one_comes_first() {
        let dial = |port: u16| Dial::new(BrokerUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap(), None, None).unwrap();
        let mut dials = Dials::new(dial(1), vec![dial(2), dial(3)]);
        assert_eq!(dials.to_string(), "http://127.0.0.1:1, http://127.0.0.1:2, http://127.0.0.1:3");
        let tried: Vec<u16> = (0..5).map(|_| dials.turn().url.port).collect();
        assert_eq!(tried, [1, 2, 3, 1, 2]);
        let mut alone = Dials::from(dial(7));
        assert_eq!([alone.turn().url.port, alone.turn().url.port], [7, 7]);
    }
}
