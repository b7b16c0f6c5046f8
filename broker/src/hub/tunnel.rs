//! The agent link over plain requests, for networks whose proxies do not pass a WebSocket.
//!
//! A tunnel is one stream of bytes each way: the agent sends its bytes by `POST`, fetches ours by a `GET` that waits for some,
//! and speaks through it exactly what it would speak over TCP: one upgrade, one link. So everything behind it (proof, frames,
//! acknowledgements, assign sequence) is the link's own and exists once. Each request says from which byte on it speaks, so that
//! one whose answer was lost can be sent again: bytes that came before are passed over, bytes that were not fetched are kept.
//!
//! It refuses everything but the link: whoever comes through a tunnel reaches no other call. Who it is, the link's proof tells;
//! until then a tunnel holds a place among the links without proof, and not for long.
//!
//! Read first: [`open`], [`Tunnel`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::FutureExt as _;
use rand::RngCore;
use serde::Deserialize;
use taxdisk_protocol::api::TunnelBody;
use taxdisk_protocol::error::Code;
use taxdisk_protocol::link::{LINK_PATH, TUNNEL_CHUNK_BYTES, TUNNEL_WAIT_S};
use taxdisk_web::crowd::{Place, Wanted};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{Times, Unproven};
use crate::http::{Edge, Path, Peer, Query, Refused, body};
use crate::serve::{self, Bounds, Room};

/// Bytes that may wait in each direction.
const BUFFER_BYTES: usize = TUNNEL_CHUNK_BYTES;
/// The head of the request inside a tunnel must come within this.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// For an agent to fetch why its link was refused.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// All tunnels.
pub(crate) struct Tunnels {
    room: Arc<Semaphore>,
    open: Mutex<HashMap<String, Arc<Tunnel>>>,
}

/// One stream of bytes each way.
struct Tunnel {
    up: tokio::sync::Mutex<Up>,
    down: tokio::sync::Mutex<Down>,
    /// Somebody used it.
    used: Notify,
    /// Its link has proven whose it is.
    proven: AtomicBool,
    /// True at its end, for requests that wait.
    gone: watch::Sender<bool>,
    _room: OwnedSemaphorePermit,
}

/// What comes from the agent.
struct Up {
    taken: u64,
    pipe: WriteHalf<DuplexStream>,
}

/// What goes to the agent.
struct Down {
    /// Place of the first byte of `held` in the stream.
    at: u64,
    /// Sent at least once, not yet known to have arrived.
    held: Bytes,
    pipe: ReadHalf<DuplexStream>,
}

/// Goes with the one link that a tunnel carries: how it says that it has proven who it is.
#[derive(Clone)]
pub(crate) struct Entrant(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Entrant {
    /// `None`: it was taken before.
    pub(super) fn take(&self) -> Option<Unproven> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().map(Unproven::Tunnel)
    }
}

/// From which byte on a request speaks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    at: u64,
}

impl Tunnel {
    /// Whoever knows the name of a tunnel whose link has proven whose it is, is that agent: its requests make no room for
    /// strangers.
    fn vouch(&self, room: Option<Extension<Room>>) {
        if let Some(Extension(room)) = room.filter(|_| self.proven.load(Ordering::Relaxed)) {
            room.vouch();
        }
    }
}

impl Tunnels {
    /// Room for `most` tunnels at one time.
    pub(super) fn new(most: usize) -> Tunnels {
        Tunnels { room: Arc::new(Semaphore::new(most)), open: Mutex::default() }
    }

    fn find(&self, id: &str) -> Result<Arc<Tunnel>, Refused> {
        let found = self.lock().get(id).cloned();
        found.ok_or_else(|| Refused::new(Code::NotFound, "this tunnel has ended: open a new one"))
    }

    fn end(&self, id: &str) {
        if let Some(tunnel) = self.lock().remove(id) {
            tunnel.gone.send_replace(true);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Tunnel>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /v1/agents/tunnel`: a new tunnel to the link.
pub(crate) async fn open(State(edge): State<Edge>, peer: Option<Extension<Peer>>) -> Response {
    let tunnels = edge.hub.tunnels.clone();
    let Ok(room) = tunnels.room.clone().try_acquire_owned() else {
        metrics::counter!("taxdisk_links_refused_total", "reason" => "tunnels_full").increment(1);
        return Refused::new(Code::NotReady, "too many agents use tunnels; try again in a moment").into_response();
    };
    let unproven = match edge.hub.room_without_proof(peer.as_ref().map(|peer| peer.0)).await {
        Ok(unproven) => unproven,
        Err(refused) => return refused.into_response(),
    };
    let (near, far) = tokio::io::duplex(BUFFER_BYTES);
    let (pipe_down, pipe_up) = tokio::io::split(near);
    let tunnel = Arc::new(Tunnel {
        up: tokio::sync::Mutex::new(Up { taken: 0, pipe: pipe_up }),
        down: tokio::sync::Mutex::new(Down { at: 0, held: Bytes::new(), pipe: pipe_down }),
        used: Notify::new(),
        proven: AtomicBool::new(false),
        gone: watch::Sender::new(false),
        _room: room,
    });
    let mut id = [0; 16];
    rand::rngs::OsRng.fill_bytes(&mut id);
    let id = hex::encode(id);
    tunnels.lock().insert(id.clone(), tunnel.clone());
    let peer = peer.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |peer| peer.0.0);
    let (prove, proof) = oneshot::channel();
    tokio::spawn(serve_link(edge.clone(), far, peer, prove));
    tokio::spawn(watch_over(tunnels, id.clone(), tunnel, edge.hub.times, unproven, proof));
    metrics::counter!("taxdisk_tunnels_opened_total").increment(1);
    (StatusCode::CREATED, axum::Json(TunnelBody { tunnel: id })).into_response()
}

/// Serves the link, and nothing else, at the far end.
async fn serve_link(edge: Edge, stream: DuplexStream, peer: SocketAddr, prove: oneshot::Sender<()>) {
    let stopping = edge.stopping.clone();
    let entrant = Entrant(Arc::new(Mutex::new(Some(prove))));
    let router = Router::new().route(LINK_PATH, any(super::link)).layer(Extension(entrant)).with_state(edge);
    let bounds = Bounds {
        connections: 1,
        strangers_per_address: 1,
        header: HEAD_TIME,
        head_bytes: serve::MAX_HEAD_BYTES,
        stop: HEAD_TIME,
    };
    serve::connection(stream, peer, Room::none(), router, bounds, stopping).await;
}

/// Ends a tunnel whose link never proved who it is, and one that nobody uses: its agent is gone, or was cut off.
async fn watch_over(
    tunnels: Arc<Tunnels>,
    id: String,
    tunnel: Arc<Tunnel>,
    times: Times,
    (place, wanted): (Place, Wanted),
    proof: oneshot::Receiver<()>,
) {
    let mut gone = tunnel.gone.subscribe();
    let mut unproven = Some(place);
    let mut wanted = std::pin::pin!(wanted.wait());
    let mut proof = std::pin::pin!(proof.fuse());
    let mut deadline = std::pin::pin!(tokio::time::sleep(HEAD_TIME + times.join));
    loop {
        tokio::select! {
            used = tokio::time::timeout(times.silence, tunnel.used.notified()) => if used.is_err() {
                tracing::info!(silence = ?times.silence, "a tunnel ends: nobody used it");
                break;
            },
            proven = proof.as_mut() => match proven {
                Ok(()) => {
                    tunnel.proven.store(true, Ordering::Relaxed);
                    unproven = None;
                }
                Err(_) => deadline.as_mut().reset(tokio::time::Instant::now() + LAST_WORDS),
            },
            () = deadline.as_mut(), if unproven.is_some() => {
                tracing::info!("a tunnel ends: its link has not proven whose it is");
                break;
            }
            () = wanted.as_mut(), if unproven.is_some() => {
                tracing::info!("a tunnel ends: another agent wants to join, and this one has not proven whose it is");
                break;
            }
            _ = gone.wait_for(|gone| *gone) => return,
        }
    }
    tunnels.end(&id);
}

/// `POST /v1/agents/tunnel/{id}?at=`: bytes of the agent, from the byte `at` of its stream on.
pub(crate) async fn send(
    State(edge): State<Edge>,
    Path(id): Path<String>,
    Query(At { at }): Query<At>,
    room: Option<Extension<Room>>,
    headers: HeaderMap,
    bytes: Body,
) -> Result<Response, Refused> {
    let tunnels = &edge.hub.tunnels;
    let tunnel = tunnels.find(&id)?;
    tunnel.vouch(room);
    let bytes = body::read(&headers, bytes).await?;
    tunnel.used.notify_one();
    let mut up = tunnel.up.lock().await;
    // What came before is passed over: the answer to an earlier request may have been lost.
    let known = up.taken.checked_sub(at).ok_or_else(|| gap(up.taken, at))?;
    let fresh = bytes.get(usize::try_from(known).unwrap_or(usize::MAX)..).unwrap_or_default();
    let mut gone = tunnel.gone.subscribe();
    let mut rest = fresh;
    while !rest.is_empty() {
        // `write` and not `write_all`: a caller that hangs up in the middle must leave no byte passed on and not counted.
        let written = tokio::select! {
            written = up.pipe.write(rest) => written.unwrap_or(0),
            _ = gone.wait_for(|gone| *gone) => 0,
        };
        if written == 0 {
            tunnels.end(&id);
            return Err(ended());
        }
        up.taken += written as u64;
        rest = &rest[written..];
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /v1/agents/tunnel/{id}?at=`: our bytes from the byte `at` on; what lies before has arrived. Waits for some, and answers
/// 204 when none came.
pub(crate) async fn fetch(
    State(edge): State<Edge>,
    Path(id): Path<String>,
    Query(At { at }): Query<At>,
    room: Option<Extension<Room>>,
) -> Result<Response, Refused> {
    let tunnels = &edge.hub.tunnels;
    let tunnel = tunnels.find(&id)?;
    tunnel.vouch(room);
    tunnel.used.notify_one();
    let mut gone = tunnel.gone.subscribe();
    let mut down = tokio::select! {
        down = tunnel.down.lock() => down,
        _ = gone.wait_for(|gone| *gone) => return Err(ended()),
    };
    let arrived = at.checked_sub(down.at).and_then(|count| usize::try_from(count).ok());
    let Some(arrived) = arrived.filter(|arrived| *arrived <= down.held.len()) else { return Err(gap(down.at, at)) };
    down.at = at;
    down.held = down.held.slice(arrived..);
    if down.held.is_empty() {
        let mut buffer = Vec::with_capacity(4096);
        let wait = Duration::from_secs(TUNNEL_WAIT_S);
        let pipe = &mut down.pipe;
        let read = tokio::select! {
            read = tokio::time::timeout(wait, async { pipe.take(TUNNEL_CHUNK_BYTES as u64).read_buf(&mut buffer).await }) => read,
            _ = gone.wait_for(|gone| *gone) => return Err(ended()),
        };
        match read {
            Err(_) => {
                tunnel.used.notify_one();
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            Ok(Ok(count)) if count > 0 => down.held = buffer.into(),
            Ok(_) => {
                tunnels.end(&id);
                return Err(ended());
            }
        }
    }
    tunnel.used.notify_one();
    Ok(([(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")], down.held.clone())
        .into_response())
}

/// `DELETE /v1/agents/tunnel/{id}`: the agent leaves.
pub(crate) async fn close(State(edge): State<Edge>, Path(id): Path<String>) -> StatusCode {
    edge.hub.tunnels.end(&id);
    StatusCode::NO_CONTENT
}

fn ended() -> Refused {
    Refused::new(Code::NotFound, "the link in this tunnel has ended: open a new one")
}

fn gap(known: u64, at: u64) -> Refused {
    Refused::new(Code::InvalidParameter, format!("the stream stands at byte {known}, the request speaks from byte {at} on"))
}
