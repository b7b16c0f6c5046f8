//! The edge of the portal, over the sockets of [`taxdisk_web::serve`]: sends each request to its part.
//!
//! On compatible paths everything is HTTP 200 with JSON, a panic of a part too: it is answered as `9999`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, Request, Response, StatusCode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use taxdisk_web::serve::{Bounds, Room};
use taxdisk_web::tls::{Certificate, OLD_TOO};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::config::{ConfigError, Limits, Tls};
use crate::portal::Portal;
use crate::{api, assets, hooks, pages};

/// Head of a request, and buffer of a connection, at most, bytes. A token alone may have 16 KiB.
const MAX_HEAD_BYTES: usize = 48 * 1024;

/// The certificate of the configuration, exchangeable.
///
/// # Errors
/// Names the file that cannot be used.
pub fn certificate(files: &Tls) -> Result<Arc<Certificate>, ConfigError> {
    Certificate::load(&files.certificate, &files.key).map_err(|error| ConfigError(error.0))
}

/// TLS 1.2 and 1.3: integrators' systems are old.
///
/// # Errors
/// When the provider cannot do them; it always can.
pub fn acceptor(certificate: &Arc<Certificate>) -> Result<TlsAcceptor, ConfigError> {
    certificate.acceptor(OLD_TOO).map_err(|error| ConfigError(error.0))
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
        _ if path == "/console" || path.starts_with("/console/") => match admin.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        _ if path.starts_with(assets::PREFIX) => assets::answer(&path),
        _ if pages::is_page(&path) => pages::answer(portal, request).await,
        _ => plain(StatusCode::NOT_FOUND, "there is no such page"),
    }
}

/// Whoever sent this request has shown a good signature, key or session: his connection is not cut off to make room for
/// strangers.
pub(crate) fn vouch(extensions: &Extensions) {
    if let Some(room) = extensions.get::<Room>() {
        room.vouch();
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
    stopping: watch::Receiver<bool>,
) {
    let bounds = Bounds {
        connections: limits.connections,
        strangers_per_address: limits.strangers_per_address,
        header: Duration::from_secs(limits.read_s),
        head_bytes: MAX_HEAD_BYTES,
        stop: Duration::from_secs(limits.stop_s),
    };
    let all = Router::new().fallback(move |request: Request<Body>| route(portal.clone(), admin.clone(), request));
    taxdisk_web::serve::run(listener, tls, all, bounds, stopping).await;
}
