//! Sockets of a service: accepts connections within a limit, does TLS, hands requests to the router, and ends gracefully.
//!
//! Every wait on a peer has a bound: the handshake, the head of a request, a write that does not move. It knows nothing of what
//! is served.
//!
//! Read first: [`run`], [`Bounds`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::crowd::{Crowd, Place, Wanted};

/// Headers of a request at most.
const MAX_HEADERS: usize = 64;
/// A peer that takes no byte for so long is cut off: slow readers must not hold connections for ever.
const WRITE_STALL: Duration = Duration::from_secs(60);
/// A peer whose handshake failed is listened to for so long: it may be about to send what it asks for.
const LINGER: Duration = Duration::from_secs(2);
/// Pause after the system refused a connection (no file descriptors left, say): it would refuse the next one too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a service allows its peers.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Open connections. When there are so many, the one that has been open longest without showing a good credential is cut
    /// off for the next; where all of them have shown one, new ones wait.
    pub connections: usize,
    /// Of them, those of one address that have shown no good credential yet; more push out each other.
    pub strangers_per_address: usize,
    /// A handshake, and the head of a request, must be there within this time.
    pub header: Duration,
    /// Head of a request, and buffer of a connection, bytes.
    pub head_bytes: usize,
    /// How long running requests may end when the service stops.
    pub stop: Duration,
}

/// Who sends a request; in its extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Room for one connection, in the extensions of its requests; whoever upgrades one holds it beyond the upgrade.
#[derive(Debug, Clone)]
pub struct Room(Option<Arc<Place>>);

impl Room {
    /// Whoever is at the other end has shown who he is: his connection is not cut off to make room for another.
    pub fn vouch(&self) {
        if let Some(place) = &self.0 {
            place.vouch();
        }
    }

    /// For a stream that takes no connection of its own.
    pub fn none() -> Room {
        Room(None)
    }
}

/// Returns when the service stops.
pub async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that who could say so is gone: that is the end too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Serves `router` on `listener` until `stopping` turns true; then lets running requests end, for at most `bounds.stop`.
pub async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    bounds: Bounds,
    stopping: watch::Receiver<bool>,
) {
    // No grace: whoever means well sends his request at once.
    let crowd = Crowd::new(bounds.connections, bounds.strangers_per_address, Duration::ZERO);
    let mut connections = JoinSet::new();
    let mut stop = stopping.clone();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = accept(&listener, &crowd) => accepted,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer, room, wanted) = accepted;
        let (tls, router, stopping) = (tls.clone(), router.clone(), stopping.clone());
        connections.spawn(async move {
            // Answers are small and somebody waits for each.
            let _ = stream.set_nodelay(true);
            let serve = async {
                let Some(tls) = tls else { return connection(stream, peer, room, router, bounds, stopping).await };
                match tokio::time::timeout(bounds.header, tls.accept(stream).into_fallible()).await {
                    Ok(Ok(stream)) => connection(stream, peer, room, router, bounds, stopping).await,
                    Ok(Err((error, stream))) => {
                        tracing::debug!(%peer, %error, "TLS handshake failed");
                        hear_out(stream).await;
                    }
                    Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                }
            };
            tokio::select! {
                () = serve => {}
                () = wanted.wait() => tracing::debug!(%peer, "cut off for another: it had shown no credential"),
            }
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.stop, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut off at the end");
        connections.shutdown().await;
    }
}

/// Reads what a peer still sends whose handshake failed. By TLS 1.3 a client sends its request before it hears that its
/// certificate is not taken; a socket that is closed over unread bytes is reset, and the peer sees that instead of the alert.
async fn hear_out(mut stream: TcpStream) {
    let _ = tokio::time::timeout(LINGER, async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    })
    .await;
}

/// The next connection, once there is room for it; those behind it wait in the system's queue.
async fn accept(listener: &TcpListener, crowd: &Arc<Crowd>) -> (TcpStream, SocketAddr, Room, Wanted) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (place, wanted) = crowd.enter(peer.ip()).await;
                return (stream, peer, Room(Some(Arc::new(place))), wanted);
            }
            Err(error) => {
                tracing::error!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one stream until it ends.
pub async fn connection<S>(
    stream: S,
    peer: SocketAddr,
    room: Room,
    router: Router,
    bounds: Bounds,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, room) = (router.clone(), room.clone());
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(room);
            Ok::<_, Infallible>(match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            })
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header)
        .max_headers(MAX_HEADERS)
        .max_buf_size(bounds.head_bytes)
        .serve_connection(TokioIo::new(Moving::new(stream, WRITE_STALL)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection broke");
    }
}

/// A stream whose writes fail when the peer takes nothing for a time.
struct Moving<S> {
    stream: S,
    bound: Duration,
    stalled: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<S> Moving<S> {
    fn new(stream: S, bound: Duration) -> Moving<S> {
        Moving { stream, bound, stalled: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<std::io::Result<T>>) -> Poll<std::io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let bound = self.bound;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(bound)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the peer takes no bytes")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Moving<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Moving<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, result)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_cut_off() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut near = Moving::new(near, Duration::from_millis(50));
        near.write_all(&[1; 16]).await.unwrap();
        let start = tokio::time::Instant::now();
        assert_eq!(near.write_all(b"x").await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(50));
        far.read_exact(&mut [0; 16]).await.unwrap();
        near.write_all(b"x").await.unwrap();
        assert!(near.stalled.is_none());
    }
}
