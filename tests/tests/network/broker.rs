//! The broker's host: the production ledger, router and hub over the store, served on a simulated socket.

use std::sync::Arc;
use std::time::Duration;

use taxdisk_broker::config::Config;
use taxdisk_broker::http::{self, Edge};
use taxdisk_broker::ledger::{Ledger, Settings};
use taxdisk_broker::serve::{Bounds, Room, connection};
use taxdisk_protocol::time::Timestamp;
use tokio::sync::watch;
use turmoil::net::TcpListener;

use super::store::Durable;
use super::world::{World, now};

/// Where it listens.
pub(crate) const PORT: u16 = 8080;
/// 2026-03-02T10:15:30Z, when every world begins, milliseconds.
const BEGIN_MS: i64 = 1_772_446_530_000;
/// How often the hub is asked who is there.
const LOOK: Duration = Duration::from_secs(1);

/// One life of the broker.
pub(crate) async fn run(world: World) -> turmoil::Result {
    world.note("broker", "starts");
    world.sockets().live();
    let settings = Settings::default();
    let clock = Arc::new(|| Timestamp(BEGIN_MS + i64::try_from(now().as_millis()).unwrap_or(i64::MAX)));
    let ledger = Ledger::start(Arc::new(Durable(world.clone())), settings, clock).await?;
    // Held for as long as the host lives.
    let (_stop, stopping) = watch::channel(false);
    let mut config = Config::default();
    config.console.enabled = false;
    // Counted by the system's clock, which knows nothing of virtual time.
    config.limits.calls_per_key_s = 0;
    let edge = Edge::new(ledger.clone(), &config, stopping.clone());
    let router = http::router(edge);
    tokio::spawn(look(world.clone(), ledger.clone()));
    let bounds = Bounds {
        connections: 100,
        strangers_per_address: 100,
        header: Duration::from_secs(10),
        head_bytes: 32 * 1024,
        stop: Duration::from_secs(2),
    };
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        tokio::select! {
            biased;
            () = ledger.ended() => {
                world.violate("the ledger ended by itself");
                return Ok(());
            }
            accepted = listener.accept() => {
                let (stream, peer) = accepted?;
                let stream = world.sockets().open(stream);
                tokio::spawn(connection(stream, peer, Room::none(), router.clone(), bounds, stopping.clone()));
            }
        }
    }
}

/// Notes whose links the broker believes in.
async fn look(world: World, ledger: Ledger) {
    loop {
        let Ok(agents) = ledger.agents().await else { return };
        agents.iter().for_each(|agent| world.seen_online(&agent.agent, agent.online));
        tokio::time::sleep(LOOK).await;
    }
}
