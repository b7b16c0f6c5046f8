//! Several brokers on one PostgreSQL database: one leads, the others are doors (decision 0013).
//!
//! The leader has the core, the writer and the links of all agents, whichever broker they came to. A door ends TLS, answers
//! `/healthz` and `/metrics` itself and forwards everything else to the leader: requests, answers and the agents' upgraded
//! connections, as bytes. A leader that cannot write, or whose lease may be over, throws its core away and becomes a door.
//!
//! A door decides nothing, checks no key and keeps nothing. Nobody here answers from what may be old: an answer leaves the
//! leader only while its lease holds by its own clock.
//!
//! Read first: [`Role`], [`Node`], [`lead`] (how the lead is taken and lost), [`door`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use taxdisk_protocol::error::Code;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::http::scrape::Scrape;
use crate::http::{Refused, health};
use crate::store::postgres::lease::Lease;

mod connect;
pub mod door;
mod inside;
pub mod lead;
mod serve;

pub(crate) use serve::{Front, serve};

use door::Door;

/// The header in which a door shows the leader's secret.
const SECRET: &str = "x-taxdisk-cluster";
/// The header in which a door says whose connection it forwards.
const PEER: &str = "x-taxdisk-peer";
/// The header in which a door says which host its caller named: pages of the console are known by it.
const HOST: &str = "x-taxdisk-host";

/// What this broker is at the moment.
#[derive(Clone)]
pub enum Role {
    /// Nobody is known to lead.
    Waiting,
    /// Another one leads.
    Door(Leader),
    /// This one leads.
    Leading(Leadership),
}

/// Another broker that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Its term.
    pub term: i64,
    /// Its internal address, `http://10.0.0.1:8471`.
    pub url: String,
    /// What to show there.
    pub secret: String,
}

/// This broker's own lead.
#[derive(Clone)]
pub struct Leadership {
    lease: Arc<Lease>,
    secret: Arc<str>,
    router: Router,
}

impl Role {
    fn term(&self) -> Option<i64> {
        match self {
            Role::Waiting => None,
            Role::Door(leader) => Some(leader.term),
            Role::Leading(leadership) => Some(leadership.lease.term()),
        }
    }
}

impl Leadership {
    /// Answers a request. What was found out is told only if the lease still holds afterwards.
    async fn answer(&self, request: Request) -> Response {
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if self.lease.holds() { response } else { no_leader() }
    }
}

/// One broker of several.
pub struct Node {
    role: watch::Sender<Role>,
    /// What is missing while nobody leads, for `/readyz`.
    missing: Mutex<&'static str>,
    door: Door,
    /// Who may read its figures.
    scrape: Scrape,
    /// When the loop that looks after the lead last came round.
    began: Instant,
    round_ms: AtomicU64,
}

/// Nobody leads, and nothing is known to be in the way.
const LEADER: &str = "leader";

/// Without a turn for so long, the loop hangs: every wait in it has a shorter bound.
const HANGS: Duration = Duration::from_secs(60);

impl Node {
    /// A node that waits for a leader.
    fn new(door: Door, scrape: Scrape) -> Arc<Node> {
        Arc::new(Node {
            role: watch::Sender::new(Role::Waiting),
            missing: Mutex::new(LEADER),
            door,
            scrape,
            began: Instant::now(),
            round_ms: AtomicU64::new(0),
        })
    }

    /// What keeps this node from work now, if nobody leads.
    fn misses(&self, what: &'static str) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    fn came_round(&self) {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.round_ms.store(passed, Ordering::Relaxed);
    }

    fn comes_round(&self) -> bool {
        let round = Duration::from_millis(self.round_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(round) < HANGS
    }

    /// Changes the role, and says so if it is another one. Links and requests of an older term end with it.
    fn play(&self, role: Role) {
        let (old, new) = (self.role.borrow().term(), role.term());
        let same = match (&*self.role.borrow(), &role) {
            (Role::Waiting, Role::Waiting) => true,
            (Role::Door(old), Role::Door(new)) => old == new,
            _ => false,
        };
        if same {
            return;
        }
        match &role {
            Role::Waiting => tracing::warn!(term = old, "no broker leads"),
            Role::Door(leader) => tracing::info!(term = new, leader = leader.url, "another broker leads"),
            Role::Leading(_) => tracing::info!(term = new, "this broker leads"),
        }
        metrics::gauge!("taxdisk_leads").set(if matches!(role, Role::Leading(_)) { 1.0 } else { 0.0 });
        metrics::gauge!("taxdisk_term").set(new.unwrap_or_default() as f64);
        self.role.send_replace(role);
    }

    /// What others see of this node.
    fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(front).with_state(self.clone())
    }
}

/// A request of a caller or an agent.
async fn front(State(node): State<Arc<Node>>, request: Request) -> Response {
    let role = node.role.borrow().clone();
    match (request.uri().path(), role) {
        ("/healthz", _) => health::alive().await.into_response(),
        (_, Role::Leading(leadership)) => leadership.answer(request).await,
        ("/metrics", _) => match node.scrape.check(request.headers()) {
            Ok(()) => health::figures(None),
            Err(refused) => refused.into_response(),
        },
        ("/readyz", Role::Waiting) => {
            health::not_ready(*node.missing.lock().unwrap_or_else(PoisonError::into_inner)).into_response()
        }
        (_, Role::Door(leader)) => node.door.forward(&leader, request, node.role.subscribe()).await,
        (_, Role::Waiting) => no_leader(),
    }
}

/// Nothing was done, or nobody knows: the same request again is safe.
fn no_leader() -> Response {
    Refused::new(
        Code::NotReady,
        "no broker leads at the moment; send the same again in a few seconds, under the same serial number",
    )
    .into_response()
}

/// Ends when `term` is not the one that this node follows any more.
async fn over(mut role: watch::Receiver<Role>, term: i64) {
    // An error means that the node is gone; that is an end too.
    let _ = role.wait_for(|role| role.term() != Some(term)).await;
}

/// An answer whose body breaks off when `term` is over: nobody takes half an answer for a whole one.
fn cut_with_term(response: Response, role: watch::Receiver<Role>, term: i64) -> Response {
    use futures_util::{StreamExt, stream};
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    if body.is_end_stream() {
        return Response::from_parts(parts, body);
    }
    if let Some(length) = body.size_hint().exact() {
        // A stream does not know its length.
        parts.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    let ended = Box::pin(over(role, term));
    let chunks = stream::unfold(Some((body.into_data_stream(), ended)), |state| async move {
        let (mut chunks, mut ended) = state?;
        tokio::select! {
            chunk = chunks.next() => chunk.map(|chunk| (chunk, Some((chunks, ended)))),
            () = &mut ended => Some((Err(axum::Error::new("the leader of this answer leads no more")), None)),
        }
    });
    Response::from_parts(parts, Body::from_stream(chunks))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Metrics;

    #[tokio::test]
    async fn a_broker_that_does_not_lead_asks_for_the_token_of_the_figures_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef").unwrap();
        let scrape = Scrape::of(&Metrics { token_file: Some(file.path().display().to_string()) }).unwrap();
        let node = Node::new(Door::new(Duration::from_secs(1), None), scrape);
        let asked = async |token: &str| {
            let request = Request::get("/metrics").header(header::AUTHORIZATION, format!("Bearer {token}"));
            node.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
        };
        assert_eq!(asked("0123456789abcdeF").await, StatusCode::UNAUTHORIZED);
        assert_eq!(asked("0123456789abcdef").await, StatusCode::OK);
    }
}
