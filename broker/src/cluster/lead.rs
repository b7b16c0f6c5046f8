//! How the lead is taken, kept and lost.
//!
//! While the lead is held, one task renews the lease; the ledger that serves under it is thrown away as soon as a commit fails,
//! the lease may be over, or the broker stops. Nothing of it is used again: the next lead begins with what is durable.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use tokio::sync::watch;

use super::{LEADER, Leader, Leadership, Node, Role};
use crate::cli::bootstrap;
use crate::config::Config;
use crate::http::scrape::Scrape;
use crate::http::tokens::Tokens;
use crate::http::{self, Edge};
use crate::ledger::{Ledger, Settings};
use crate::serve::stopped;
use crate::store::postgres::lease::{Candidate, Lease};
use crate::store::postgres::{Database, PostgresStore};
use crate::store::{Store, StoreError};

/// Who leads is looked at so often, also when nobody tells.
const LOOK: Duration = Duration::from_secs(1);
/// After a failed renewal.
const RENEW_AGAIN: Duration = Duration::from_millis(250);
/// Agents' links get so long for a last word when the lead ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a broker needs to lead.
pub struct Ambition {
    /// The database.
    pub database: Database,
    /// This process.
    pub candidate: Candidate,
    /// Of the ledger.
    pub settings: Settings,
    /// Of the edge.
    pub config: Config,
    /// Where the first administrator's key goes.
    pub bootstrap: Option<PathBuf>,
    /// Who may read the figures.
    pub scrape: Scrape,
}

/// Why a lead ended.
enum End {
    /// The broker stops.
    Stopped,
    /// It could not go on: the reason is in the log.
    Lost,
}

/// Leads whenever it can, is a door else, until `stopping`. The lead is given back before this returns.
///
/// # Errors
/// The first administrator's key could not be written; everything else is tried again.
pub async fn run(ambition: &Ambition, node: &Arc<Node>, mut stopping: watch::Receiver<bool>) -> Result<(), String> {
    let mut news = News::default();
    let mut trouble = String::new();
    let mut known = Instant::now();
    while !*stopping.borrow() {
        node.came_round();
        match turn(ambition, node, &stopping).await {
            Ok(()) => {
                trouble.clear();
                node.misses(LEADER);
                known = Instant::now();
            }
            Err(Trouble::Key(why)) => return Err(why),
            Err(Trouble::Store(error)) => {
                node.misses(match &error {
                    StoreError::Unreplicated(_) => "replication",
                    StoreError::Database(_) => "database",
                    _ => "ledger",
                });
                // The leader may well go on: its links are cut only when its lease must be over.
                if known.elapsed() > ambition.candidate.length {
                    node.play(Role::Waiting);
                }
                let text = error.to_string();
                if text != trouble {
                    tracing::error!(%error, "it cannot be told who leads");
                    trouble = text;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = news.come(&ambition.database) => {}
            () = stopped(&mut stopping) => {}
        }
    }
    Ok(())
}

enum Trouble {
    Store(StoreError),
    Key(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

/// Looks once who leads; leads until it ends, if nobody does.
async fn turn(ambition: &Ambition, node: &Arc<Node>, stopping: &watch::Receiver<bool>) -> Result<(), Trouble> {
    let seat = ambition.database.seat().await?;
    let own = seat.holder.as_deref() == Some(ambition.candidate.holder.as_str());
    if seat.free || own {
        node.play(Role::Waiting);
        if let Some(lease) = ambition.database.take(&ambition.candidate).await? {
            return lead(ambition, node, Arc::new(lease), stopping.clone()).await;
        }
        return Ok(());
    }
    node.play(match (seat.url, seat.secret) {
        (Some(url), Some(secret)) => Role::Door(Leader { term: seat.term, url, secret }),
        // A command that writes a key: it is gone in a moment.
        _ => Role::Waiting,
    });
    Ok(())
}

/// One lead, from what is durable to its end.
async fn lead(
    ambition: &Ambition,
    node: &Arc<Node>,
    lease: Arc<Lease>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Trouble> {
    let tokens = match Tokens::of(&ambition.config.tokens) {
        Ok(tokens) => tokens,
        // It was good at the start of the process.
        Err(error) => {
            give_back(ambition, &lease).await;
            return Err(Trouble::Key(error.0));
        }
    };
    let (stop_links, links_stopping) = watch::channel(false);
    let serving = async {
        let store: Arc<dyn Store> =
            Arc::new(PostgresStore::open_with(&ambition.database, lease.clone(), ambition.settings.vault.clone()).await?);
        let ledger = Ledger::start(store, ambition.settings.clone(), Ledger::system_clock());
        let ledger = ledger.await.map_err(|error| Trouble::Store(StoreError::Damaged(error.to_string())))?;
        if let Some(path) = &ambition.bootstrap {
            bootstrap(&ledger, path).await.map_err(|error| Trouble::Key(error.to_string()))?;
        }
        Ok::<_, Trouble>(ledger)
    };
    let ledger = tokio::select! {
        ledger = serving => ledger,
        () = keep(&ambition.database, &lease, node) => Err(Trouble::Store(StoreError::Fenced)),
    };
    let ledger = match ledger {
        Ok(ledger) => ledger,
        Err(trouble) => {
            give_back(ambition, &lease).await;
            return Err(trouble);
        }
    };
    let edge =
        Edge::new(ledger.clone(), &ambition.config, links_stopping).with_tokens(tokens).with_scrape(ambition.scrape.clone());
    let hub = edge.hub.clone();
    let secret = ambition.candidate.secret.as_str().into();
    node.play(Role::Leading(Leadership { lease: lease.clone(), secret, router: http::router(edge) }));
    let end = tokio::select! {
        () = keep(&ambition.database, &lease, node) => End::Lost,
        () = ledger.ended() => End::Lost,
        () = stopped(&mut stopping) => End::Stopped,
    };
    if matches!(end, End::Lost) {
        // At once, and before anybody else is told: from here on nothing leaves the old core.
        lease.lose();
        ledger.abandon();
    }
    node.play(Role::Waiting);
    let _ = stop_links.send(true);
    if matches!(end, End::Stopped) {
        // While the lease still holds: what was handed in is committed, agents hear a last word.
        tokio::select! {
            _ = tokio::time::timeout(FAREWELL, hub.empty()) => {}
            () = keep(&ambition.database, &lease, node) => {}
        }
        tokio::select! {
            () = ledger.stop() => {}
            () = keep(&ambition.database, &lease, node) => ledger.abandon(),
        }
    }
    give_back(ambition, &lease).await;
    Ok(())
}

/// Another broker need not wait for the end of a lease that nobody uses.
async fn give_back(ambition: &Ambition, lease: &Lease) {
    if let Err(error) = ambition.database.release(lease).await {
        tracing::warn!(%error, "the lead could not be given back; it ends by itself");
    }
}

/// Renews the lease; returns when it is lost.
async fn keep(database: &Database, lease: &Lease, node: &Node) {
    loop {
        node.came_round();
        let pause = match database.renew(lease).await {
            Ok(true) => LOOK,
            Ok(false) => {
                tracing::error!(term = lease.term(), "another broker leads now");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the lead could not be renewed");
                RENEW_AGAIN
            }
        };
        if !lease.holds() {
            tracing::error!(term = lease.term(), "the lead was not renewed in time");
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Keeps the lease of a command that writes, as long as it is not dropped.
pub async fn hold(database: &Database, lease: &Lease) {
    while database.renew(lease).await.is_ok_and(|renewed| renewed) {
        tokio::time::sleep(LOOK).await;
    }
    std::future::pending().await
}

/// Hears when somebody begins or ceases to lead. Only quicker than looking: what it misses is found by the next look.
#[derive(Default)]
struct News {
    listener: Option<PgListener>,
}

impl News {
    /// Until there is news. Without a listener it makes one, and then waits.
    async fn come(&mut self, database: &Database) {
        if self.listener.is_none() {
            self.listener = database.listen().await.ok();
        }
        match &mut self.listener {
            Some(listener) => {
                if !matches!(listener.try_recv().await, Ok(Some(_))) {
                    self.listener = None;
                }
            }
            None => std::future::pending().await,
        }
    }
}
