//! The broker's end of the agent link: one WebSocket for each agent, from its proof to its end.
//!
//! The hub proves who an agent is, carries frames both ways, notices silence, and tells the ledger exactly once that a link has
//! ended. It decides nothing about disks or jobs and keeps nothing: what it has read and not handed in was not acknowledged, and
//! the agent sends it again.
//!
//! Read first: [`Hub`], [`join`] (who is let in) and [`session`] (what happens then).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, State, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use taxdisk_protocol::api::AgentView;
use taxdisk_protocol::error::Code;
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::link::{MAX_FRAME_BYTES, SUBPROTOCOL};
use taxdisk_web::crowd::{Crowd, Place as Stranger, Wanted};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument;

use crate::config;
use crate::http::{Edge, Peer, Refused};
use crate::ledger::Ledger;
use crate::serve::Room;
use crate::updates::Updates;

mod frame;
pub mod join;
pub mod session;
pub(crate) mod tunnel;

/// Read buffer of a link, bytes: links are many and idle, so it stays small.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Unsent bytes of a link at most: a grant with its open attempts, and one frame more.
const MAX_WRITE_BUFFER_BYTES: usize = 2 * MAX_FRAME_BYTES;

/// A link that has not proven itself keeps its place for so long, whoever else comes: an honest proof takes a round trip or
/// two, and a whole fleet that comes back at once must not push out itself.
const GRACE: Duration = Duration::from_secs(3);

/// Times of a link.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Between two pings.
    pub ping: Duration,
    /// Without a byte, or with a write that does not end, a link is dead after this.
    pub silence: Duration,
    /// From the connection to the proof.
    pub join: Duration,
}

impl Times {
    /// As configured.
    pub fn of(link: &config::Link) -> Times {
        Times {
            ping: Duration::from_secs(link.ping_s),
            silence: Duration::from_secs(link.silence_s),
            join: Duration::from_secs(link.join_s),
        }
    }
}

/// Why a link is to end, for the agent.
#[derive(Debug, Clone)]
struct Ending {
    code: Code,
    reason: String,
}

/// A live link, as others see it.
struct Live {
    link: u64,
    end: mpsc::Sender<Ending>,
    gone: watch::Receiver<()>,
}

/// Live links of agents: one at most for each.
pub struct Hub {
    ledger: Ledger,
    times: Times,
    unproven: Arc<Crowd>,
    pub(crate) tunnels: Arc<tunnel::Tunnels>,
    /// Updates of agents.
    pub updates: Arc<Updates>,
    stopping: watch::Receiver<bool>,
    live: Mutex<Links>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Links {
    last: u64,
    by_agent: HashMap<AgentId, Live>,
    /// Where each came from last. As many as there are agents: only who has proven whose it is stands here.
    addresses: HashMap<AgentId, IpAddr>,
}

/// What a link holds while it is the live one of its agent.
struct Place {
    link: u64,
    end: mpsc::Receiver<Ending>,
    /// Dropped at the very end, when the ledger knows: who waits for the place sees it then.
    _gone: watch::Sender<()>,
}

/// What a link holds until it has proven whose it is: a place among those that have not.
enum Unproven {
    Link(#[allow(dead_code, reason = "held, not read")] Stranger, Option<Wanted>),
    /// Its tunnel holds the place.
    Tunnel(oneshot::Sender<()>),
}

impl Unproven {
    /// Ends when somebody else needs the place. A tunnel sees to that itself.
    async fn wanted(&mut self) {
        match self {
            Unproven::Link(_, wanted) => match wanted.take() {
                Some(wanted) => wanted.wait().await,
                None => std::future::pending().await,
            },
            Unproven::Tunnel(_) => std::future::pending().await,
        }
    }

    /// Gives the place free.
    fn proven(self) {
        match self {
            Unproven::Link(..) => {}
            // Nobody listens: the tunnel has ended, and the link will see it.
            Unproven::Tunnel(tunnel) => drop(tunnel.send(())),
        }
    }
}

impl Hub {
    /// A hub before `ledger`, with the limits of `link`.
    pub fn new(ledger: Ledger, link: &config::Link, updates: &config::Updates, stopping: watch::Receiver<bool>) -> Arc<Hub> {
        Arc::new(Hub {
            updates: Arc::new(Updates::new(ledger.clone(), updates)),
            ledger,
            times: Times::of(link),
            // Behind one address may be a whole office: all of them share the places.
            unproven: Crowd::new(link.unproven, link.unproven, GRACE.min(Duration::from_secs(link.join_s))),
            tunnels: Arc::new(tunnel::Tunnels::new(link.tunnels)),
            stopping,
            live: Mutex::default(),
            count: watch::Sender::new(0),
        })
    }

    /// A place among the links that have not proven whose they are. The one that has had its time without a proof leaves for it.
    async fn room_without_proof(&self, peer: Option<Peer>) -> Result<(Stranger, Wanted), Refused> {
        let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        self.unproven.try_enter(from).await.ok_or_else(|| {
            metrics::counter!("taxdisk_links_refused_total", "reason" => "full").increment(1);
            Refused::new(Code::NotReady, "too many agents are joining; try again in a moment")
        })
    }

    /// Ends the link of an agent, if there is one.
    pub fn end(&self, agent: &AgentId, code: Code, reason: &str) {
        if let Some(live) = self.links().by_agent.get(agent) {
            // Full: somebody else ends it already.
            let _ = live.end.try_send(Ending { code, reason: reason.to_owned() });
        }
    }

    /// Waits until no link is left.
    pub async fn empty(&self) {
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Takes the agent's place. An older link of the same agent is ended first, and the ledger knows of its end before this
    /// returns: a PC that comes back after a broken line does not wait for the silence of its own dead link.
    async fn take_place(&self, agent: &AgentId, from: &str) -> Place {
        loop {
            let mut gone = {
                let mut links = self.links();
                match links.by_agent.get(agent) {
                    None => {
                        links.last += 1;
                        let link = links.last;
                        let (end, end_receiver) = mpsc::channel(1);
                        let (gone_sender, gone) = watch::channel(());
                        if let Ok(address) = from.parse() {
                            links.addresses.insert(agent.clone(), address);
                        }
                        links.by_agent.insert(agent.clone(), Live { link, end, gone });
                        return Place { link, end: end_receiver, _gone: gone_sender };
                    }
                    Some(older) => {
                        let reason = "another link of this agent took over".to_owned();
                        let _ = older.end.try_send(Ending { code: Code::AgentClone, reason });
                        older.gone.clone()
                    }
                }
            };
            // Ends by an error when the sender is dropped: that is the sign.
            while gone.changed().await.is_ok() {}
        }
    }

    /// Adds what only links tell: how each agent stands with updates, and where it is.
    pub fn add_to(&self, agents: &mut [AgentView]) {
        self.updates.add_to(agents);
        let links = self.links();
        for view in agents {
            view.address =
                view.agent.parse().ok().and_then(|agent: AgentId| links.addresses.get(&agent)).map(ToString::to_string);
        }
    }

    /// Gives the place up. The ledger must know of the link's end.
    fn leave_place(&self, agent: &AgentId, place: Place) {
        let mut links = self.links();
        if links.by_agent.get(agent).is_some_and(|live| live.link == place.link) {
            links.by_agent.remove(agent);
            self.updates.forget(agent);
        }
    }

    fn links(&self) -> std::sync::MutexGuard<'_, Links> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /v1/agents/link`.
pub(crate) async fn link(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    room: Option<Extension<Room>>,
    entrant: Option<Extension<tunnel::Entrant>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(error) => {
            return Refused::new(Code::LinkVersion, format!("a WebSocket is expected here: {}", error.body_text()))
                .into_response();
        }
    };
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_message_size(MAX_FRAME_BYTES)
        .protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return Refused::new(Code::LinkVersion, format!("the subprotocol {SUBPROTOCOL} is expected")).into_response();
    }
    let hub = edge.hub.clone();
    let unproven = match entrant.and_then(|entrant| entrant.0.take()) {
        Some(unproven) => unproven,
        None => match hub.room_without_proof(peer.as_ref().map(|peer| peer.0)).await {
            Ok((place, wanted)) => Unproven::Link(place, Some(wanted)),
            Err(refused) => return refused.into_response(),
        },
    };
    let span = tracing::info_span!(parent: None, "link", peer = peer.map(|peer| tracing::field::display(peer.0.0)), agent = tracing::field::Empty);
    hub.count.send_modify(|count| *count += 1);
    let counted = Counted(hub.clone());
    let from = peer.map_or_else(String::new, |peer| peer.0.0.ip().to_canonical().to_string());
    upgrade.on_upgrade(move |socket| {
        async move {
            let _counted = counted;
            session::run(hub, socket, unproven, room.map(|room| room.0), &from).await;
        }
        .instrument(span)
    })
}

/// One link less when it is dropped.
struct Counted(Arc<Hub>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
    }
}
