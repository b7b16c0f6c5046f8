//! A door: forwards what comes to the broker that leads.
//!
//! Bodies are streamed both ways and never kept. A request that reached the leader may have been done although no answer came;
//! the caller is told `not_ready`, and the same again is safe (I6). Nothing is sent a second time from here. Whatever is under
//! way ends when the leader's term ends, so that callers and agents come back at once to the next one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use taxdisk_protocol::error::Code;
use taxdisk_protocol::link::LINK_PATH;
use tokio::sync::watch;

use super::connect::Connector;
use super::{HOST, Leader, PEER, Role, SECRET, cut_with_term, no_leader, over};
use crate::http::{Peer, Refused, surface};
use crate::serve::Room;

/// An idle connection to the leader is kept so long; shorter than the leader keeps it, so that no request is written into a
/// closing one.
const IDLE: Duration = Duration::from_secs(10);
/// Idle connections to the leader at most.
const IDLE_CONNECTIONS: usize = 256;
/// The leader's own bound on a call, and so much more for the way: its answer is the better one.
const WAY: Duration = Duration::from_secs(5);
/// Buffer of an agent's link, each way, bytes: links are many and idle.
const LINK_BUFFER_BYTES: usize = 4 * 1024;

/// Headers that concern one connection only (RFC 9110, 7.6.1).
const HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The way to whoever leads.
pub struct Door {
    client: Client<Connector, Body>,
    bound: Duration,
}

impl Door {
    /// A door whose calls take at most `request_time`; `tls` for leaders that speak it inside.
    pub fn new(request_time: Duration, tls: Option<Arc<rustls::ClientConfig>>) -> Door {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_timer(TokioTimer::new())
            .build(Connector::new(tls));
        Door { client, bound: request_time + WAY }
    }

    /// Forwards a request; gives the leader's answer.
    pub async fn forward(&self, leader: &Leader, mut request: Request, role: watch::Receiver<Role>) -> Response {
        let upgrade = is_link(&request).then(|| request.extensions_mut().remove::<OnUpgrade>()).flatten();
        let room = request.extensions().get::<Room>().cloned();
        let shows_who = surface::shows_who(request.method(), request.uri().path());
        let sent = match outward(leader, request, upgrade.is_some()) {
            Ok(request) => self.client.request(request),
            Err(why) => return Refused::new(Code::InvalidParameter, why).into_response(),
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(self.bound, sent) => answer,
            () = over(role.clone(), leader.term) => return no_leader(),
        };
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::warn!(leader = leader.url, error = because(&error), "the leader does not answer");
                return no_leader();
            }
            Err(_) => {
                let detail =
                    format!("the call took longer than {} s; send it again with the same serial number", self.bound.as_secs());
                return Refused::new(Code::Timeout, detail).into_response();
            }
        };
        // The leader looked at what was shown. A link is vouched for before its proof: who does not prove is sent away by the
        // leader.
        let good = response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(room) = room.as_ref().filter(|_| shows_who && good) {
            room.vouch();
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(upgrade) = upgrade else { return no_leader() };
            let inner = hyper::upgrade::on(&mut response);
            tokio::spawn(tunnel(upgrade, inner, room, role, leader.term));
            let (mut parts, _) = response.into_parts();
            parts.extensions = Default::default();
            return Response::from_parts(parts, Body::empty());
        }
        without_hop(response.headers_mut());
        cut_with_term(response.map(Body::new), role, leader.term)
    }
}

/// Only the agents' link is ever upgraded.
fn is_link(request: &Request) -> bool {
    let websocket =
        request.headers().get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket && request.uri().path() == LINK_PATH
}

/// The request as the leader gets it.
fn outward(leader: &Leader, request: Request, upgrade: bool) -> Result<Request, String> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri =
        format!("{}{path}", leader.url).parse::<Uri>().map_err(|error| format!("the path cannot be forwarded: {error}"))?;
    let peer = parts.extensions.get::<Peer>().copied();
    parts.extensions = Default::default();
    without_hop(&mut parts.headers);
    // The client names the host; a caller that waits for `100 Continue` has had it from us.
    parts.headers.remove(header::EXPECT);
    parts.headers.remove(HOST);
    if let Some(host) = parts.headers.remove(header::HOST) {
        parts.headers.insert(HOST, host);
    }
    if upgrade {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    let mut secret = HeaderValue::from_str(&leader.secret).map_err(|error| error.to_string())?;
    secret.set_sensitive(true);
    parts.headers.insert(SECRET, secret);
    parts.headers.remove(PEER);
    if let Some(peer) = peer.and_then(|peer| HeaderValue::from_str(&peer.0.to_string()).ok()) {
        parts.headers.insert(PEER, peer);
    }
    Ok(Request::from_parts(parts, body))
}

/// Takes out what concerns one connection only, and what `Connection` names as such.
fn without_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

/// Carries an agent's link, as bytes, until either end or the term ends. Silence is watched by agent and leader.
async fn tunnel(outer: OnUpgrade, inner: OnUpgrade, room: Option<Room>, role: watch::Receiver<Role>, term: i64) {
    let _room = room;
    let carry = async {
        let (outer, inner): (Upgraded, Upgraded) = tokio::try_join!(outer, inner).map_err(std::io::Error::other)?;
        let (mut outer, mut inner) = (TokioIo::new(outer), TokioIo::new(inner));
        tokio::io::copy_bidirectional_with_sizes(&mut outer, &mut inner, LINK_BUFFER_BYTES, LINK_BUFFER_BYTES).await
    };
    tokio::select! {
        ended = carry => if let Err(error) = ended {
            tracing::debug!(%error, "a forwarded link broke");
        },
        () = over(role, term) => tracing::debug!(term, "a forwarded link ends with its leader"),
    }
}

fn because(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn leader() -> Leader {
        Leader { term: 1, url: "http://127.0.0.1:9".to_owned(), secret: "s".to_owned() }
    }

    #[test]
    fn what_concerns_one_connection_is_not_forwarded() {
        let request = Request::get("/v1/jobs?limit=1")
            .header("connection", "keep-alive, x-mine")
            .header("x-mine", "1")
            .header("te", "trailers")
            .header("upgrade", "h2c")
            .header("transfer-encoding", "chunked")
            .header("expect", "100-continue")
            .header("host", "door")
            .header("authorization", "Bearer k")
            // Nobody outside says whose connection this is, or that he is a broker.
            .header(PEER, "203.0.113.9:1")
            .header(SECRET, "guess")
            .header(HOST, "evil")
            .extension(Peer("192.0.2.1:5".parse().unwrap()))
            .body(Body::empty())
            .unwrap();
        assert!(!is_link(&request));
        let request = outward(&leader(), request, false).unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:9/v1/jobs?limit=1");
        let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", SECRET, HOST, PEER]);
        assert_eq!(request.headers()[HOST], "door", "the consoles' guard against other sites compares it");
        assert_eq!(
            (&request.headers()[SECRET], &request.headers()[PEER]),
            (&"s".parse().unwrap(), &"192.0.2.1:5".parse().unwrap())
        );
    }

    #[test]
    fn only_the_agents_link_is_upgraded() {
        let ask = |path: &str, upgrade: &str| Request::get(path).header("upgrade", upgrade).body(Body::empty()).unwrap();
        assert!(is_link(&ask(LINK_PATH, "WebSocket")));
        assert!(!is_link(&ask(LINK_PATH, "h2c")) && !is_link(&ask("/v1/jobs", "websocket")));
        let request = outward(&leader(), ask(LINK_PATH, "websocket"), true).unwrap();
        assert_eq!(
            (&request.headers()["connection"], &request.headers()["upgrade"]),
            (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
    }
}
