//! The HTTP API of the broker: one file for each group of calls, and what all of them share.
//!
//! The edge reads, limits, authenticates and writes; every decision about a job is the ledger's. It keeps no state of its own but
//! counters and live links. Every error is a problem document ([`Refused`]), those of unknown paths, wrong methods, slow
//! requests and our own panics included.
//!
//! Read first: [`router`], [`Refused`], [`auth::Caller`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};
use serde::de::DeserializeOwned;
use taxdisk_protocol::error::Code;
use taxdisk_protocol::link::{LINK_PATH, TUNNEL_PATH};
use taxdisk_protocol::update::UPDATES_PATH;
use taxdisk_web::rate::Rates;
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

use crate::config::{self, Config};
use crate::console;
use crate::hooks::Hooks;
use crate::hub::{self, Hub};
use crate::ledger::Ledger;

pub mod agents;
pub mod audit;
pub mod auth;
pub mod batch;
pub mod body;
pub mod buyers;
pub mod disks;
pub mod events;
pub mod health;
pub mod jobs;
pub mod json;
pub mod keys;
pub mod open;
pub mod openapi;
pub mod operations;
pub mod pauses;
pub mod proposals;
pub mod reconcile;
pub mod refused;
pub mod scrape;
pub mod sellers;
pub mod surface;
pub mod tokens;
mod traced;
pub mod updates;
pub mod webhooks;

pub use refused::Refused;
pub use taxdisk_web::serve::Peer;
pub use traced::Traced;

/// What every call can reach. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    /// The broker's state.
    pub ledger: Ledger,
    /// Live links of agents.
    pub hub: Arc<Hub>,
    /// Failed authentications.
    pub failures: Arc<auth::Failures>,
    /// How much each API key may call; none: as much as it likes.
    pub rates: Option<Arc<Rates>>,
    /// Room for batches.
    pub batches: Arc<Semaphore>,
    /// Room for event streams.
    pub streams: Arc<Semaphore>,
    /// Webhooks.
    pub hooks: Hooks,
    /// True as soon as the broker stops.
    pub stopping: watch::Receiver<bool>,
    /// The longest time of a call.
    pub request_time: Duration,
    /// The console.
    pub console: config::Console,
    /// Tokens of a login service, where one is trusted.
    pub tokens: Option<Arc<tokens::Tokens>>,
    /// Who may read the figures.
    pub scrape: scrape::Scrape,
}

impl Edge {
    /// An edge before `ledger`; it stops when `stopping` turns true.
    pub fn new(ledger: Ledger, config: &Config, stopping: watch::Receiver<bool>) -> Edge {
        Edge {
            hub: Hub::new(ledger.clone(), &config.link, &config.updates, stopping.clone()),
            ledger: ledger.clone(),
            failures: Arc::new(auth::Failures::new(config.limits.failures_per_minute)),
            rates: rates(config.limits.calls_per_key_s),
            batches: Arc::new(Semaphore::new(config.limits.batches)),
            streams: Arc::new(Semaphore::new(config.limits.streams)),
            hooks: Hooks::start(ledger.clone(), &config.webhooks, stopping.clone()),
            stopping,
            request_time: Duration::from_secs(config.limits.request_s),
            console: config::Console { https: config.console.https || config.tls.is_some(), ..config.console.clone() },
            tokens: None,
            scrape: scrape::Scrape::default(),
        }
    }

    /// That takes these tokens too.
    #[must_use]
    pub fn with_tokens(self, tokens: Option<Arc<tokens::Tokens>>) -> Edge {
        Edge { tokens, ..self }
    }

    /// That shows its figures to these.
    #[must_use]
    pub fn with_scrape(self, scrape: scrape::Scrape) -> Edge {
        Edge { scrape, ..self }
    }

    /// Counts a failed authentication. Gives back what the caller sees: over the limit, that there were too many.
    pub fn failed(&self, peer: Option<Peer>, refused: Refused) -> Refused {
        metrics::counter!("taxdisk_failed_authentications_total").increment(1);
        if peer.is_some_and(|peer| self.failures.count(peer.0.ip(), Instant::now())) {
            return Refused::new(Code::RateLimited, "too many failed authentications from this address in the last minute");
        }
        tracing::warn!(
            peer = peer.map(|peer| tracing::field::display(peer.0)),
            code = refused.0.code.as_str(),
            "authentication failed"
        );
        refused
    }
}

/// A key may save up the calls of so many seconds.
const BURST_S: u32 = 10;

fn rates(calls_s: u32) -> Option<Arc<Rates>> {
    (calls_s > 0).then(|| Arc::new(Rates::new(calls_s, calls_s.saturating_mul(BURST_S))))
}

/// The id of a request: the caller's `x-request-id` where it is decent, else a random one.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

/// All calls.
pub fn router(edge: Edge) -> Router {
    let pages = if edge.console.enabled { console::router(edge.clone()) } else { Router::new() };
    Router::new()
        .merge(pages)
        .route("/v1/jobs", post(jobs::submit).get(jobs::list))
        .route("/v1/jobs:batch", post(batch::submit))
        .route("/v1/jobs:reissue", post(jobs::reissue_bulk))
        .route("/v1/jobs:reissue/{key}", get(jobs::show_bulk))
        .route("/v1/jobs/{seller}/{serial}", get(jobs::show))
        .route("/v1/jobs/{seller}/{serial}/reissue", post(jobs::reissue))
        .route("/v1/jobs/{seller}/{serial}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{seller}/{serial}/settle", post(jobs::settle))
        .route("/v1/sellers", get(sellers::list))
        .route("/v1/sellers/{taxno}", put(sellers::put).get(sellers::show))
        .route("/v1/sellers/{taxno}/issue-points", get(sellers::list_points))
        .route("/v1/sellers/{taxno}/issue-points/{id}", put(sellers::put_point).get(sellers::show_point))
        .route("/v1/disks", get(disks::list))
        .route("/v1/disks/{number}/assignment", put(disks::assign))
        .route("/v1/disks/{number}/pause", post(pauses::disk::pause))
        .route("/v1/disks/{number}/drain", post(pauses::disk::drain))
        .route("/v1/disks/{number}/resume", post(pauses::disk::resume))
        .route("/v1/disks/{number}/operations", post(operations::create).get(operations::of_disk))
        .route("/v1/operations", get(operations::list))
        .route("/v1/operations:bulk", post(operations::bulk))
        .route("/v1/calendar", get(operations::calendar))
        .route("/v1/operations/{id}", get(operations::show))
        .route("/v1/operations/{id}/cancel", post(operations::cancel))
        .route("/v1/agents/{id}/pause", post(pauses::agent::pause))
        .route("/v1/agents/{id}/drain", post(pauses::agent::drain))
        .route("/v1/agents/{id}/resume", post(pauses::agent::resume))
        .route("/v1/sellers/{taxno}/pause", post(pauses::seller::pause))
        .route("/v1/sellers/{taxno}/drain", post(pauses::seller::drain))
        .route("/v1/sellers/{taxno}/resume", post(pauses::seller::resume))
        .route("/v1/warnings", get(pauses::warnings))
        .route("/v1/updates", get(updates::show).put(updates::put).delete(updates::remove))
        .route(&format!("{UPDATES_PATH}/{{word}}/{{file}}"), get(updates::fetch))
        .route("/v1/agents", get(agents::list))
        .route("/v1/agents/enroll", post(agents::enroll))
        .route("/v1/agents/retire", post(agents::retire))
        .route("/v1/agents/{id}/revoke", post(agents::revoke))
        .route("/v1/agents/{id}/approve", post(agents::approve))
        .route("/v1/agents/{id}/rename", post(agents::rename))
        .route("/v1/enrollments", post(agents::create_enrollment))
        .route("/v1/keys", post(keys::create).get(keys::list))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/events", get(events::stream))
        .route("/v1/webhooks", post(webhooks::create).get(webhooks::list))
        .route("/v1/webhooks/{id}", get(webhooks::show).put(webhooks::put).delete(webhooks::remove))
        .route("/v1/webhooks/{id}/rotate", post(webhooks::rotate))
        .route("/v1/webhooks/{id}/test", post(webhooks::test))
        .route("/v1/webhooks/{id}/replay", post(webhooks::replay))
        .route("/v1/webhooks/{id}/deliveries", get(webhooks::deliveries))
        .route("/v1/audit", get(audit::list))
        .route("/v1/audit/verify", get(audit::verify))
        .route("/v1/audit/proof", post(audit::proof))
        .route("/v1/reconcile", get(reconcile::show))
        .route("/v1/reconcile/numbers", post(reconcile::number))
        .route("/v1/reconcile/jobs/{seller}/{serial}", post(reconcile::job))
        .route("/v1/reconcile/disks/{number}/release-unread", post(reconcile::release))
        .route("/v1/buyers:export", post(buyers::export))
        .route("/v1/buyers:erase", post(buyers::erase))
        .route("/v1/proposals", get(proposals::list))
        .route("/v1/proposals/{id}/confirm", post(proposals::confirm))
        .route("/v1/proposals/{id}/decline", post(proposals::decline))
        .route("/v1/proposals/{id}/withdraw", post(proposals::withdraw))
        .route(LINK_PATH, any(hub::link))
        .route(TUNNEL_PATH, post(hub::tunnel::open))
        .route(&format!("{TUNNEL_PATH}/{{id}}"), post(hub::tunnel::send).get(hub::tunnel::fetch).delete(hub::tunnel::close))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::serve))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(edge.clone(), bound_time))
        .layer(middleware::from_fn(observe))
        // Bodies are limited where they are read, since batches are longer than the rest.
        .layer(DefaultBodyLimit::disable())
        .with_state(edge)
}

async fn no_such_path(request: Request) -> Refused {
    Refused::new(Code::NotFound, format!("there is nothing at {}; the calls are listed at /openapi.json", request.uri().path()))
}

async fn no_such_method(request: Request) -> Refused {
    let (method, path) = (request.method(), request.uri().path());
    Refused::new(Code::MethodNotAllowed, format!("{path} does not take {method}; the calls are listed at /openapi.json"))
}

fn panicked(payload: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("without a text"), "a request made the broker panic");
    // Whether a job was accepted before the panic is not known here; the same request again will tell.
    Refused::new(Code::Internal, "the broker failed at this request; its log says more under this request's id").into_response()
}

async fn bound_time(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(edge.request_time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail =
                format!("the call took longer than {} s; send it again with the same serial number", edge.request_time.as_secs());
            Refused::new(Code::Timeout, detail).into_response()
        }
    }
}

async fn observe(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId(request_id(&request));
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let traced = Traced::of(request.headers());
    let span = tracing::info_span!(
        "request",
        request = &*id.0,
        trace_id = traced.trace_id(),
        %method,
        path = request.uri().path(),
        key = tracing::field::Empty,
        job = tracing::field::Empty
    );
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(traced.clone());
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert("x-request-id", value);
    }
    // A door hands on what the broker that leads has said.
    if !response.headers().contains_key(traced::HEADER) {
        response.headers_mut().insert(traced::HEADER, traced.header());
    }
    let (status, took) = (response.status(), began.elapsed());
    let labels = [("route", route.clone()), ("method", method.to_string()), ("status", status.as_u16().to_string())];
    metrics::counter!("taxdisk_http_requests_total", &labels).increment(1);
    metrics::histogram!("taxdisk_http_request_seconds", "route" => route.clone()).record(took.as_secs_f64());
    let _inside = span.enter();
    let millis = took.as_millis() as u64;
    if status.is_server_error() {
        tracing::warn!(status = status.as_u16(), millis, "answered");
    } else if matches!(route.as_str(), "/healthz" | "/readyz" | "/metrics")
        || route.starts_with(TUNNEL_PATH)
        || status == StatusCode::SWITCHING_PROTOCOLS
    {
        tracing::debug!(status = status.as_u16(), millis, "answered");
    } else {
        tracing::info!(status = status.as_u16(), millis, "answered");
    }
    response
}

/// The caller's own id, if it is short and harmless in a log line; else a random one.
fn request_id(request: &Request) -> Arc<str> {
    let decent =
        |text: &&str| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    match request.headers().get("x-request-id").and_then(|value| value.to_str().ok()).filter(decent) {
        Some(text) => text.into(),
        None => format!("{:016x}", rand::random::<u64>()).into(),
    }
}

/// Parts of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Path(path.0)).map_err(|error| Refused::new(Code::InvalidParameter, error.body_text()))
    }
}

/// Parameters after the question mark. Those that a call does not know are refused.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Query(query.0)).map_err(|error| Refused::new(Code::InvalidParameter, error.body_text()))
    }
}

/// Parses one part of a path or one parameter.
///
/// # Errors
/// `invalid_parameter`, with what the parser said.
pub(crate) fn parsed<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, Refused>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Refused::new(Code::InvalidParameter, format!("{name}: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_problem_that_hides_its_text() {
        async fn broken() -> Response {
            panic!("secret of the inside")
        }
        let router = Router::new().route("/", get(broken)).layer(tower_http::catch_panic::CatchPanicLayer::custom(panicked));
        let request = Request::get("/").body(axum::body::Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&problem["code"], &problem["issued"], &problem["retry"]),
            (&"internal".into(), &"unknown".into(), &"safe".into())
        );
        assert!(!problem.to_string().contains("secret"));
    }
}
