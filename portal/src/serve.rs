//! Sockets of the portal: accepts connections within a limit, does TLS, and sends each request to its part.
//!
//! On compatible paths everything is HTTP 200 with JSON, a panic of a part too: it is answered as `9999`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::config::{ConfigError, Limits, Tls};
use crate::portal::Portal;
use crate::{api, hooks, pages};

/// Headers of a request at most.
const MAX_HEADERS: usize = 64;
/// Head of a request, and buffer of a connection, at most, bytes. A token alone may have 16 KiB.
const MAX_HEAD_BYTES: usize = 48 * 1024;
/// Pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// TLS 1.2 and 1.3: integrators' systems are old.
///
/// # Errors
/// Names the file that cannot be used.
pub fn acceptor(files: &Tls) -> Result<TlsAcceptor, ConfigError> {
    let wrong = |key: &str, path: &Path, error: &dyn std::fmt::Display| {
        ConfigError(format!("tls.{key}: {} cannot be used: {error}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong("certificate", &files.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong("key", &files.key, &error))?;
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("key", &files.key, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong("key", &files.key, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Authorities of a PEM file.
///
/// # Errors
/// Names the file that cannot be used.
pub fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| ConfigError(format!("ca_file: {} cannot be used: {error}", file.display())))
}

/// Sends a request to its part.
async fn route(portal: Arc<Portal>, admin: Router, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if api::is_compatible(&path) {
        // In a task of its own: a panic there is an answer here.
        return tokio::spawn(api::answer(portal, request)).await.unwrap_or_else(|error| {
            tracing::error!(%error, path, "an interface broke");
            api::busy()
        });
    }
    match path.as_str() {
        hooks::PATH => hooks::receive(portal, request).await,
        "/healthz" => plain(StatusCode::OK, "ok"),
        "/platform-key.pem" => match portal.platform_key.as_ref().and_then(crate::platform_key::PlatformKey::public_pem) {
            Some(pem) => plain(StatusCode::OK, &pem),
            None => plain(StatusCode::NOT_FOUND, "no key"),
        },
        _ if path.starts_with("/admin/") || path.starts_with("/tenant/") => match admin.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        _ if path.starts_with("/q/") => pages::code(portal, request).await,
        _ if path.starts_with("/i/") => pages::invoice(portal, request).await,
        _ => plain(StatusCode::NOT_FOUND, "there is no such page"),
    }
}

/// A short text.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(axum::http::header::CONTENT_TYPE, axum::http::HeaderValue::from_static("text/plain;charset=UTF-8"));
    response
}

/// Serves until `stopping` turns true; then lets running requests end, for at most `limits.stop_s`.
pub async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    portal: Arc<Portal>,
    admin: Router,
    limits: &Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let header = Duration::from_secs(limits.read_s);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = stopped(&mut stopping) => break,
        };
        let (stream, peer, permit) = accepted;
        let (tls, portal, admin, stop) = (tls.clone(), portal.clone(), admin.clone(), stopping.clone());
        connections.spawn(async move {
            let _permit = permit;
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else { return connection(stream, peer, portal, admin, header, stop).await };
            match tokio::time::timeout(header, tls.accept(stream)).await {
                Ok(Ok(stream)) => connection(stream, peer, portal, admin, header, stop).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
            }
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(limits.stop_s), all).await.is_err() {
        connections.shutdown().await;
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that who could say so is gone: that is the end too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// The next connection, once there is room: until then new ones wait in the system's queue.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return std::future::pending().await };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) => {
                tracing::error!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<S>(
    stream: S,
    peer: SocketAddr,
    portal: Arc<Portal>,
    admin: Router,
    header: Duration,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (portal, admin) = (portal.clone(), admin.clone());
        async move { Ok::<_, Infallible>(route(portal, admin, request.map(Body::new)).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
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
