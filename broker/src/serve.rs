//! Sockets of the broker, over those of [`taxdisk_web::serve`]: what the broker allows its peers.

use std::time::Duration;

use axum::Router;
pub use taxdisk_web::serve::{Bounds, Room, connection, stopped};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::config::Limits;

/// Head of a request, and buffer of a connection, at most, bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 32 * 1024;

impl Limits {
    /// What the sockets allow.
    fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.connections,
            strangers_per_address: self.strangers_per_address,
            header: Duration::from_secs(self.header_s),
            head_bytes: MAX_HEAD_BYTES,
            stop: Duration::from_secs(self.stop_s),
        }
    }
}

/// Serves `router` on `listener` until `stopping` turns true; then lets running requests end, for at most `limits.stop_s`.
pub async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: &Limits,
    stopping: watch::Receiver<bool>,
) {
    taxdisk_web::serve::run(listener, tls, router, limits.bounds(), stopping).await;
}
