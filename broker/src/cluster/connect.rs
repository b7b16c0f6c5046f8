//! Connections of a door to the leader, plain or with TLS.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// From the first packet to a usable connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Opens connections; a service as the client wants it.
#[derive(Clone)]
pub(super) struct Connector {
    tls: Option<TlsConnector>,
}

impl Connector {
    /// With `tls`, `https` addresses are reached by it; without, only `http` ones.
    pub(super) fn new(tls: Option<Arc<rustls::ClientConfig>>) -> Connector {
        Connector { tls: tls.map(TlsConnector::from) }
    }

    async fn open(self, to: Uri) -> std::io::Result<TokioIo<Stream>> {
        let wrong = |text: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("{to}: {text}"));
        let host = to.host().ok_or_else(|| wrong("no host"))?.trim_matches(['[', ']']).to_owned();
        let port = to.port_u16().ok_or_else(|| wrong("no port"))?;
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        // Requests are small and somebody waits for each.
        stream.set_nodelay(true)?;
        if to.scheme_str() == Some("http") {
            return Ok(TokioIo::new(Stream::Plain(stream)));
        }
        let tls = self.tls.ok_or_else(|| wrong("the leader speaks TLS inside, and cluster.tls is not set here"))?;
        let name = ServerName::try_from(host).map_err(|_| wrong("no name for a certificate"))?;
        Ok(TokioIo::new(Stream::Tls(Box::new(tls.connect(name, stream).await?))))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let open = self.clone().open(to);
        Box::pin(
            async move { tokio::time::timeout(CONNECT, open).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) },
        )
    }
}

/// A connection to the leader.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
