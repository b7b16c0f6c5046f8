//! Is the broker alive, can it work, and what are its figures? No key is needed: nothing here names a seller, a buyer or a job.
//! The figures may ask for a token of their own ([`super::scrape`]).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use taxdisk_protocol::error::Problem;

use super::{Edge, Peer};
use crate::ledger::Figures;

/// Answer to `/readyz`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    /// Jobs are accepted.
    pub ready: bool,
    /// What is missing, if not: `ledger`, `stopping`; of several brokers, while none of them leads: `leader` (being chosen),
    /// `database` (it is away), `replication` (commits are on one server only, and `store.replicated` asks for two).
    pub missing: Vec<String>,
    /// Version of the program.
    pub version: String,
}

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "service", responses((status = 200, description = "It runs", body = String)))]
pub async fn alive() -> &'static str {
    "ok\n"
}

/// Jobs are accepted, or what is missing.
#[utoipa::path(get, path = "/readyz", tag = "service", responses(
    (status = 200, description = "Ready", body = Readiness), (status = 503, description = "Not ready", body = Readiness),
))]
pub async fn ready(State(edge): State<Edge>) -> (StatusCode, Json<Readiness>) {
    let mut missing = Vec::new();
    if *edge.stopping.borrow() {
        missing.push("stopping".to_owned());
    }
    if !edge.ledger.is_ready() {
        missing.push("ledger".to_owned());
    }
    readiness(missing)
}

/// Answer of a broker that cannot work for the want of this.
pub(crate) fn not_ready(missing: &str) -> (StatusCode, Json<Readiness>) {
    readiness(vec![missing.to_owned()])
}

fn readiness(missing: Vec<String>) -> (StatusCode, Json<Readiness>) {
    let ready = missing.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, missing, version: env!("CARGO_PKG_VERSION").to_owned() }))
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, description = "Prometheus text format", body = String, content_type = "text/plain"),
    (status = 401, description = "Where `metrics.token_file` is set: its token is missing or wrong", body = Problem, content_type = "application/problem+json"),
))]
pub async fn metrics(State(edge): State<Edge>, peer: Option<Extension<Peer>>, headers: HeaderMap) -> Response {
    if let Err(refused) = edge.scrape.check(&headers) {
        return edge.failed(peer.map(|Extension(peer)| peer), refused).into_response();
    }
    for (state, count) in edge.hub.updates.counts() {
        metrics::gauge!("taxdisk_agent_updates", "state" => state.as_str()).set(count as f64);
    }
    figures(edge.ledger.figures().await.ok().as_ref())
}

/// This process's figures as an answer, with those of its ledger if it has one.
pub(crate) fn figures(of_ledger: Option<&Figures>) -> Response {
    let text = crate::metrics::render(of_ledger);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
