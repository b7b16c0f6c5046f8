//! One of several brokers as a process: two addresses, the lead, and an end in good order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::door::Door;
use super::lead::{self, Ambition};
use super::{Node, Role, inside};
use crate::cli::{Failure, Open, Signals, failed};
use crate::config::{Config, Loaded};
use crate::http::scrape::Scrape;
use crate::ledger::Settings;
use crate::ready::{self, Urls};
use crate::store::postgres::Database;
use crate::store::postgres::lease::Candidate;
use crate::tls::{self, Certificate};
use crate::{metrics, serve};

/// What is open before it is known who leads.
pub(crate) struct Front {
    /// For callers and agents.
    pub(crate) listener: TcpListener,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Its TLS.
    pub(crate) acceptor: Option<TlsAcceptor>,
    /// Its certificate.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// The address for whoever has no certificate of a caller.
    pub(crate) open: Option<Open>,
    /// Written once this broker can answer.
    pub(crate) ready_file: Option<PathBuf>,
    /// Where the first administrator's key goes.
    pub(crate) bootstrap: Option<PathBuf>,
}

/// The address for the other brokers.
struct Inside {
    listener: TcpListener,
    url: String,
    acceptor: Option<TlsAcceptor>,
    certificate: Option<Arc<Certificate>>,
    client: Option<Arc<rustls::ClientConfig>>,
}

impl Inside {
    async fn open(config: &Config) -> Result<Inside, Failure> {
        let address = config.internal_address()?;
        let listener = TcpListener::bind(address).await.map_err(|error| failed(&format!("cannot listen on {address}"), error))?;
        let address = listener.local_addr().map_err(|error| failed("the address is not known", error))?;
        let scheme = if config.cluster.tls.is_some() { "https" } else { "http" };
        let url = config.cluster.url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
        let url = url.trim_end_matches('/').to_owned();
        let Some(files) = &config.cluster.tls else {
            return Ok(Inside { listener, url, acceptor: None, certificate: None, client: None });
        };
        let certificate = tls::load_pair(&files.certificate, &files.key)?;
        let acceptor = Some(tls::acceptor(&certificate)?);
        let client = Some(tls::client(&files.authority)?);
        Ok(Inside { listener, url, acceptor, certificate: Some(certificate), client })
    }
}

/// Serves until a signal.
pub(crate) async fn serve(loaded: &Loaded, settings: Settings, front: Front, signals: &mut Signals) -> Result<(), Failure> {
    let config = &loaded.config;
    let inside = Inside::open(config).await?;
    let database = Database::connect(&config.store.url, config.store.replicated).await;
    let database = database.map_err(|error| failed(&format!("the store {} cannot be used", loaded.shown("store.url")), error))?;
    let candidate = Candidate {
        holder: hex::encode(rand::random::<[u8; 8]>()),
        url: Some(inside.url.clone()),
        secret: hex::encode(rand::random::<[u8; 32]>()),
        length: Duration::from_secs(config.cluster.lease_s),
    };
    let scrape = Scrape::of(&config.metrics)?;
    let ambition =
        Ambition { database, candidate, settings, config: config.clone(), bootstrap: front.bootstrap, scrape: scrape.clone() };
    let node = Node::new(Door::new(Duration::from_secs(config.limits.request_s), inside.client), scrape);
    let certificates: Vec<Arc<Certificate>> = front.certificate.iter().chain(&inside.certificate).cloned().collect();

    let (stop, stopping) = watch::channel(false);
    let (stop_leading, leading_stops) = watch::channel(false);
    let open_address = front.open.as_ref().map(|open| open.address);
    let opening = front.open.map(|open| open.serve(node.router(), &config.limits, stopping.clone()));
    let servers =
        [(front.listener, front.acceptor, node.router()), (inside.listener, inside.acceptor, inside::router(node.clone()))].map(
            |(listener, acceptor, router)| {
                let (limits, stopping) = (config.limits.clone(), stopping.clone());
                tokio::spawn(async move { serve::run(listener, acceptor, router, &limits, stopping).await })
            },
        );
    let upkeep = tokio::spawn(metrics::keep_up());
    let watched = node.clone();
    let watchdog = tokio::spawn(ready::pet_watchdog(move || {
        let node = watched.clone();
        async move { node.comes_round() }
    }));
    let leading = lead::run(&ambition, &node, leading_stops);
    tokio::pin!(leading);

    let urls = Urls::of(front.address, config.tls.is_some()).with_open(open_address);
    let ready = announce(&node, &urls, front.ready_file.as_ref());
    let ended = tokio::select! {
        ended = &mut leading => ended.map_err(Failure::Other),
        ended = async { ready.await?; std::future::pending().await } => ended,
        () = signals.wait(&certificates) => Ok(()),
    };
    ready::tell_stopping();
    watchdog.abort();
    upkeep.abort();
    tracing::info!("stopping");
    let _ = stop_leading.send(true);
    if ended.is_ok() {
        // Gives the lead back first: the next leader works while our last answers go out.
        let _ = leading.await;
    }
    let _ = stop.send(true);
    for server in servers.into_iter().chain(opening) {
        let _ = server.await;
    }
    if let Some(path) = &front.ready_file {
        let _ = std::fs::remove_file(path);
    }
    ended
}

/// Says that this broker can answer, as soon as somebody leads.
async fn announce(node: &Arc<Node>, urls: &Urls, file: Option<&PathBuf>) -> Result<(), Failure> {
    let mut role = node.role.subscribe();
    // The node outlives this.
    let _ = role.wait_for(|role| !matches!(role, Role::Waiting)).await;
    if let Some(path) = file {
        let text = serde_json::to_vec(urls).map_err(|error| failed("JSON", error))?;
        ready::write_whole(path, &text, false).map_err(|error| failed(&path.display().to_string(), error))?;
    }
    eprintln!("taxdisk-broker {} serves {}", env!("CARGO_PKG_VERSION"), urls.url);
    ready::tell_up(urls);
    Ok(())
}
