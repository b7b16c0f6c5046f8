//! Connections: one look-up of the name, every address judged, and the connection goes to the very address that was judged.
//!
//! Nothing looks the name up a second time between the judgement and the connect, so a name that changes its mind in between
//! (DNS rebinding) changes nothing. Spellings that only a resolver takes for an address (`127.1`, `0x7f000001`) go through the
//! same judgement, since it is about what the resolver answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::{Proxy, address};

/// Addresses of one name that are tried at most; the first ones, as the resolver orders them.
const MAX_TRIES: usize = 4;
/// Longest head of a proxy's answer, bytes.
const MAX_PROXY_HEAD_BYTES: usize = 8 * 1024;

/// Turns a name into addresses. The system's resolver, unless a test plays one.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of `host`, each with `port`.
    ///
    /// # Errors
    /// The name is not known, or nobody could be asked.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Why there is no connection. Written for whoever gave the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The name is not known.
    #[error("the name {0} cannot be resolved: {1}")]
    Name(String, String),
    /// Every address of the name is one that is not called.
    #[error("{host} is {address}, which is not called: {why}")]
    Forbidden {
        /// Name.
        host: String,
        /// The first of its addresses.
        address: IpAddr,
        /// What it is.
        why: &'static str,
    },
    /// Nobody answers there.
    #[error("no connection to {0}: {1}")]
    Refused(String, String),
    /// The certificate, or the other side's TLS.
    #[error("no TLS with {0}: {1}")]
    Tls(String, String),
    /// The proxy does not let it through.
    #[error("the proxy gives no connection: {0}")]
    Proxy(String),
    /// It took too long.
    #[error("no connection to {0} within {1} ms")]
    Slow(String, u128),
}

/// What makes connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    resolver: Arc<dyn Resolve>,
    allowed: Vec<ipnet::IpNet>,
    tls: TlsConnector,
    proxy: Option<Proxy>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(
        resolver: Arc<dyn Resolve>,
        allowed: Vec<ipnet::IpNet>,
        tls: Arc<ClientConfig>,
        proxy: Option<Proxy>,
        limit: Duration,
    ) -> Connector {
        Connector(Arc::new(Inner { resolver, allowed, tls: TlsConnector::from(tls), proxy, limit }))
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let tls = uri.scheme_str() == Some("https");
            let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
            match tokio::time::timeout(inner.limit, inner.connect(&host, port, tls)).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectError::Slow(host, inner.limit.as_millis())),
            }
        })
    }
}

impl Inner {
    async fn connect(&self, host: &str, port: u16, tls: bool) -> Result<Stream, ConnectError> {
        let addresses = self.addresses(host, port).await?;
        let mut last = String::new();
        for address in addresses.into_iter().take(MAX_TRIES) {
            match self.open(address).await {
                Ok(stream) => return self.secured(stream, host, tls).await,
                Err(error @ ConnectError::Proxy(_)) => return Err(error),
                Err(error) => last = error.to_string(),
            }
        }
        Err(ConnectError::Refused(host.to_owned(), last))
    }

    /// The addresses that may be called, of one look-up.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let name = |error: String| ConnectError::Name(host.to_owned(), error);
        let found = match host.parse::<IpAddr>() {
            Ok(literal) => vec![SocketAddr::new(literal, port)],
            Err(_) => self.resolver.resolve(host, port).await.map_err(|error| name(error.to_string()))?,
        };
        let mut refused = None;
        let mut good = Vec::new();
        for found in found {
            match address::forbidden(found.ip(), &self.allowed) {
                None => good.push(found),
                Some(why) => {
                    refused.get_or_insert(ConnectError::Forbidden { host: host.to_owned(), address: found.ip(), why });
                }
            }
        }
        match (good.is_empty(), refused) {
            (false, _) => Ok(good),
            (true, Some(refused)) => Err(refused),
            (true, None) => Err(name("it has no address".to_owned())),
        }
    }

    async fn open(&self, address: SocketAddr) -> Result<TcpStream, ConnectError> {
        let refused = |error: io::Error| ConnectError::Refused(address.to_string(), error.to_string());
        let stream = match &self.proxy {
            None => TcpStream::connect(address).await.map_err(refused)?,
            Some(proxy) => tunnel(proxy, address).await?,
        };
        stream.set_nodelay(true).map_err(refused)?;
        Ok(stream)
    }

    async fn secured(&self, stream: TcpStream, host: &str, tls: bool) -> Result<Stream, ConnectError> {
        if !tls {
            return Ok(Stream::Plain(TokioIo::new(stream)));
        }
        let failed = |error: String| ConnectError::Tls(host.to_owned(), error);
        // The name that the caller wrote is checked, never the one that an address claims to have.
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| failed(error.to_string()))?;
        Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
    }
}

/// Asks the proxy for a connection to the judged address itself, so that the proxy looks nothing up either.
async fn tunnel(proxy: &Proxy, address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let failed = |text: String| ConnectError::Proxy(text);
    let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await.map_err(|error| failed(error.to_string()))?;
    let authorization = match &proxy.credentials {
        Some(credentials) => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
            format!("proxy-authorization: Basic {encoded}\r\n")
        }
        None => String::new(),
    };
    let request = format!("CONNECT {address} HTTP/1.1\r\nhost: {address}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
    let mut head = Vec::new();
    // Byte by byte, so that nothing of what comes after the head is taken.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_PROXY_HEAD_BYTES {
            return Err(failed(format!("its answer is longer than {MAX_PROXY_HEAD_BYTES} bytes")));
        }
        head.push(stream.read_u8().await.map_err(|error| failed(error.to_string()))?);
    }
    let status = String::from_utf8_lossy(&head);
    let line = status.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some(code) if code.starts_with('2') && code.len() == 3 => Ok(stream),
        _ => Err(failed(format!("it answers {line:?}"))),
    }
}

/// A connection, with or without TLS.
pub(super) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}
