//! The command line of `taxdisk-portal`.

mod buyer;
mod keys;
mod manual;
mod qr;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use taxdisk_web::outbound::{Outbound, Settings};
use taxdisk_web::signin::lockout::FORGOTTEN_MS;
use taxdisk_web::signin::session::ABSOLUTE_MS;
use taxdisk_web::tls::Certificate;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::admin::{self, OperatorKey};
use crate::application;
use crate::broker::BrokerClient;
use crate::config::{self, Config, ConfigError, Environment};
use crate::core::links::{self, LinkKey};
use crate::layout::NationalLayout;
use crate::ledger::{Clock, Ledger};
use crate::model::Directory;
use crate::platform_key::PlatformKey;
use crate::portal::{Parts, Portal};
use crate::post::Channels;
use crate::registry::{Claimed, Credential, Registry};
use crate::store::{self, Db, StoreError};
use crate::{callback, console, courier, disks, hooks, post, sellers, serve};

/// Exit code for a configuration that cannot be used (sysexits.h).
const EXIT_CONFIG: u8 = 78;
/// How often old tokens are forgotten.
const FORGET_EVERY: std::time::Duration = std::time::Duration::from_secs(600);

/// The platform in front of the broker.
#[derive(Debug, Parser)]
#[command(name = "taxdisk-portal", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the portal.
    Serve(Serve),
    /// Check the configuration and print it.
    ConfigCheck {
        /// Configuration file (TOML). Every value can be set in the environment: TAXDISK__STORE__URL=…
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// What a buyer may ask of a merchant: a copy of what is kept about him, and that it is removed.
    #[command(subcommand)]
    Buyer(buyer::Buyer),
    /// Offline codes of tills.
    #[command(subcommand)]
    Qr(qr::Qr),
    /// What is sealed in the store, while no portal runs.
    #[command(subcommand)]
    Store(keys::Keys),
    /// Print every call and page with what it needs, as JSON.
    Surface,
    /// Write manual pages and shell completions into a folder, for packages.
    #[command(hide = true)]
    Manual {
        /// Folder; made if missing.
        to: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// Configuration file (TOML). Every value can be set in the environment: TAXDISK__STORE__URL=…
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on, over the configuration; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Written with the URL, as JSON, once the portal can answer.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// If there is no operator's key yet: make one and write it here, readable by the owner only.
    #[arg(long, value_name = "FILE")]
    operator_key_file: Option<PathBuf>,
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Other(String),
}

/// Runs a command line to its end.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::ConfigCheck { config } => {
            config::load(config.as_deref(), None).map_err(Failure::from).and_then(|config| shown(&config))
        }
        Command::Serve(command) => serve_until_signal(&command),
        Command::Qr(command) => command.run(),
        Command::Store(command) => command.run(),
        Command::Buyer(command) => command.run(),
        Command::Surface => surface(),
        Command::Manual { to } => manual::write(&to).map_err(|error| Failure::Other(format!("{}: {error}", to.display()))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("taxdisk-portal: {failure}");
            match failure {
                Failure::Config(_) => ExitCode::from(EXIT_CONFIG),
                Failure::Store(_) | Failure::Other(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn surface() -> Result<(), Failure> {
    let told = |error: &dyn std::fmt::Display| Failure::Other(error.to_string());
    let text = serde_json::to_string_pretty(&crate::surface::lines()).map_err(|error| told(&error))?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| told(&error))
}

fn shown(config: &Config) -> Result<(), Failure> {
    let mut value = serde_json::to_value(config).map_err(|error| Failure::Other(error.to_string()))?;
    // A store's URL may hold a password.
    if let Some(url) = value.pointer_mut("/store/url")
        && let Some((scheme, host)) = url.as_str().and_then(|text| Some((text.split_once("://")?.0, text.rsplit_once('@')?.1)))
    {
        *url = format!("{scheme}://***@{host}").into();
    }
    let text = serde_json::to_string_pretty(&value).map_err(|error| Failure::Other(error.to_string()))?;
    writeln!(std::io::stdout(), "{text}").map_err(|error| Failure::Other(error.to_string()))
}

fn serve_until_signal(command: &Serve) -> Result<(), Failure> {
    let config = config::load(command.config.as_deref(), command.listen.clone())?;
    let filter = EnvFilter::try_new(&config.log.filter).map_err(|error| ConfigError(format!("log.filter: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error here means that a subscriber is set already.
    let _ = if config.log.json { builder.json().try_init() } else { builder.with_target(false).try_init() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Other(format!("the runtime does not start: {error}")))?;
    runtime.block_on(serving(config, command))
}

async fn serving(config: Config, command: &Serve) -> Result<(), Failure> {
    let clock: Clock = Arc::new(now_ms);
    let broker = BrokerClient::new(&config.broker)?;
    let certificate = config.tls.as_ref().map(serve::certificate).transpose()?;
    let tls = certificate.as_ref().map(serve::acceptor).transpose()?;
    let hangup = signal(SignalKind::hangup()).map_err(|error| Failure::Other(format!("signals: {error}")))?;
    tokio::spawn(reload(hangup, certificate));
    let outbound = Outbound::new(Settings {
        allow_http: config.callbacks.allow_http,
        allow_networks: config.callback_networks()?,
        authorities: config.callbacks.ca_file.as_deref().map(serve::authorities).transpose()?,
        call_limit: std::time::Duration::from_secs(config.callbacks.limit_s),
        connect_limit: std::time::Duration::from_secs(config.callbacks.limit_s),
        ..Settings::default()
    })
    .map_err(|error| ConfigError(format!("callbacks: {error}")))?;
    let keys = config.store.keys()?;
    let mut opened = store::open(&config.store.url).await?;
    crate::factors::check(opened.writer.as_mut(), &keys).await?;
    let registry = match &config.registry.url {
        Some(url) => Some(Registry::open(url, config.environment).await?),
        None => {
            tracing::warn!("registry.url is not set: nothing stops a key of the other environment from being registered here");
            None
        }
    };
    let kept = kept(opened.writer.as_mut(), &config, command.operator_key_file.as_deref()).await?;
    let address = config.address()?;
    let listener = TcpListener::bind(address).await.map_err(|error| Failure::Other(format!("{address}: {error}")))?;
    let bound = listener.local_addr().map_err(|error| Failure::Other(error.to_string()))?;
    let own = format!("http{}://{bound}", if tls.is_some() { "s" } else { "" });
    let public_url = config.listen.public_url.clone().unwrap_or_else(|| own.clone()).trim_end_matches('/').to_owned();
    let ledger = Ledger::start(opened.writer, clock.clone());
    let channels = Channels::new(&config, &outbound, &clock)?;
    let portal = Portal::new(Parts {
        config: config.clone(),
        ledger: ledger.clone(),
        readers: opened.readers.clone(),
        clock: clock.clone(),
        // Nothing but simulated disks stands behind a portal of the test environment.
        layout: Arc::new(NationalLayout { simulated: config.environment == Environment::Test }),
        outbound: outbound.clone(),
        platform_key: kept.platform_key,
        links: kept.links,
        public_url,
        directory: kept.directory,
        disks: kept.disks,
    });
    claim_all(&portal, registry.as_ref()).await?;
    let portal = Arc::new(portal.with_registry(registry).with_weixin(channels.weixin()).with_keys(keys));
    let concurrency = config.broker.concurrency;
    let looks = portal.looks.clone();
    tokio::spawn(courier::run(ledger.behind(), opened.readers.clone(), broker.clone(), clock.clone(), concurrency, looks));
    tokio::spawn(callback::send::run(portal.clone(), outbound));
    tokio::spawn(post::send::run(portal.clone(), channels));
    tokio::spawn(disks::watch(portal.clone(), broker.clone()));
    tokio::spawn(sellers::watch(portal.clone(), broker.clone()));
    tokio::spawn(forget(portal.clone()));
    let hook = config.broker.webhook_url.clone().unwrap_or_else(|| format!("{own}{}", hooks::PATH));
    if !hook.is_empty() {
        tokio::spawn(hooks::register(portal.clone(), broker, hook));
    }
    let (stop, stopping) = watch::channel(false);
    let admin = admin::router(portal.clone(), kept.operator_key).merge(console::router(portal.clone()));
    let limits = config.limits.clone();
    let edge = tokio::spawn(async move { serve::run(listener, tls, portal, admin, &limits, stopping).await });
    if let Some(file) = &command.ready_file {
        let text = serde_json::json!({ "url": own, "environment": config.environment.as_str() }).to_string();
        whole(file, text.as_bytes(), 0o644).map_err(|error| Failure::Other(format!("{}: {error}", file.display())))?;
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(url = own, environment = config.environment.as_str(), "the portal serves");
    let ended_well = tokio::select! {
        () = signalled() => true,
        () = ledger.ended() => false,
    };
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    stop.send_replace(true);
    let _ = edge.await;
    if ended_well { Ok(()) } else { Err(Failure::Other("the store could not be written".to_owned())) }
}

/// Claims what the store holds: it may be older than the registry. A portal with a credential of the other environment does not
/// start.
async fn claim_all(portal: &Portal, registry: Option<&Registry>) -> Result<(), Failure> {
    let Some(registry) = registry else { return Ok(()) };
    let directory = portal.directory();
    let callers = directory.callers().map(|known| {
        let names = std::iter::once(Credential::Appid(known.caller.appid.clone()));
        (known.caller.tenant.clone(), names.chain(known.keys.iter().map(Credential::key)).collect())
    });
    let systems = directory.systems().map(|one| (one.tenant.clone(), vec![Credential::Syscode(one.syscode.clone())]));
    let all: Vec<(String, Vec<Credential>)> = callers.chain(systems).collect();
    for (tenant, credentials) in all {
        registry.claim(&tenant, &credentials).await.map_err(|refused| match refused {
            Claimed::Unavailable(error) => Failure::Store(error),
            other => ConfigError(format!("registry.url: tenant {tenant}: {other}")).into(),
        })?;
    }
    Ok(())
}

/// What the store knows at the start.
struct Kept {
    directory: Directory,
    disks: Vec<taxdisk_protocol::api::DiskView>,
    operator_key: OperatorKey,
    platform_key: Option<PlatformKey>,
    links: LinkKey,
}

async fn kept(db: &mut dyn Db, config: &Config, key_file: Option<&Path>) -> Result<Kept, Failure> {
    let damaged = |what: &str, error: &dyn std::fmt::Display| StoreError::Damaged(format!("{what}: {error}"));
    match one(db, "environment").await? {
        Some(known) if known != config.environment.as_str() => {
            let text = format!("environment: this store is of {known}; test and production never share one");
            return Err(ConfigError(text).into());
        }
        Some(_) => {}
        None => db.put_setting("environment", "name", config.environment.as_str()).await?,
    }
    let mut directory = Directory::default();
    for (id, body) in db.settings("tenant").await? {
        let tenant = serde_json::from_str(&body).map_err(|error| damaged(&id, &error))?;
        directory = directory.with_tenant(tenant).map_err(|error| damaged(&id, &error))?;
    }
    for (appid, body) in db.settings("caller").await? {
        let caller = serde_json::from_str(&body).map_err(|error| damaged(&appid, &error))?;
        directory = directory.with_caller(caller).map_err(|error| damaged(&appid, &error))?;
    }
    for (id, body) in db.settings("user").await? {
        let user = serde_json::from_str(&body).map_err(|error| damaged(&id, &error))?;
        directory = directory.with_user(user).map_err(|error| damaged(&id, &error))?;
    }
    for (id, body) in db.settings("application").await? {
        let application = serde_json::from_str(&body).map_err(|error| damaged(&id, &error))?;
        directory = directory.with_application(application).map_err(|error| damaged(&id, &error))?;
    }
    for (syscode, body) in db.settings("system").await? {
        let system = serde_json::from_str(&body).map_err(|error| damaged(&syscode, &error))?;
        directory = directory.with_system(system).map_err(|error| damaged(&syscode, &error))?;
    }
    // A list of another version is as good as none: it is asked for again.
    let disks = one(db, "disks").await?.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
    let operator_key = match one(db, "operator_key").await? {
        Some(hash) => OperatorKey(hash),
        None => {
            let key = application::minted("tpo", config.environment);
            let hash = OperatorKey::of(&key);
            if let Some(file) = key_file {
                // The file first: a key that is stored and was shown to nobody is lost.
                whole(file, format!("{key}\n").as_bytes(), 0o600)
                    .map_err(|error| Failure::Other(format!("{}: {error}", file.display())))?;
                db.put_setting("operator_key", "first", &hash.0).await?;
            }
            hash
        }
    };
    let platform_key = match one(db, "platform_key").await? {
        Some(text) => PlatformKey::from_text(&text),
        None => {
            let made = PlatformKey::generate();
            if let Some(text) = made.as_ref().and_then(PlatformKey::text) {
                db.put_setting("platform_key", "callback", &text).await?;
            }
            made
        }
    };
    let links = link_key(db, config).await?;
    let adopted = links::adopt_plain_codes(db, now_ms(), config.links.code_valid_ms()).await?;
    if adopted > 0 {
        tracing::info!(codes = adopted, "consumers' codes of an earlier version are stored as hashes now");
    }
    Ok(Kept { directory, disks, operator_key, platform_key, links })
}

/// The key of public links: of its file, or of the store; made if there is none.
async fn link_key(db: &mut dyn Db, config: &Config) -> Result<LinkKey, Failure> {
    let made = || format!("{}\n", hex::encode(rand::random::<[u8; 32]>()));
    let text = match &config.links.key_file {
        Some(file) => {
            let wrong = |error: std::io::Error| ConfigError(format!("links.key_file: {}: {error}", file.display()));
            if !file.exists() {
                whole(file, made().as_bytes(), 0o600).map_err(wrong)?;
            }
            std::fs::read_to_string(file).map_err(wrong)?
        }
        None => match one(db, "link_key").await? {
            Some(text) => text,
            None => {
                let text = made();
                db.put_setting("link_key", "first", &text).await?;
                text
            }
        },
    };
    LinkKey::from_text(&text).ok_or_else(|| ConfigError("links.key_file: 64 hexadecimal digits are needed".to_owned()).into())
}

/// The setting of a kind that has one.
async fn one(db: &mut dyn Db, kind: &str) -> Result<Option<String>, StoreError> {
    Ok(db.settings(kind).await?.pop().map(|(_, body)| body))
}

/// Forgets tokens that no clock takes any more.
async fn forget(portal: Arc<Portal>) {
    loop {
        let before = (portal.clock)() / 1000;
        let done = portal
            .ledger
            .behind()
            .run(move |session| {
                Box::pin(async move {
                    let now = session.now;
                    session.db.forget_sign_ins(now - ABSOLUTE_MS, now, now - FORGOTTEN_MS).await?;
                    session.db.forget_tokens(before).await
                })
            })
            .await;
        if done.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(FORGET_EVERY) => {}
            () = portal.ledger.ended() => return,
        }
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// SIGHUP reads the certificate again; connections that exist stay.
async fn reload(mut hangup: tokio::signal::unix::Signal, certificate: Option<Arc<Certificate>>) {
    while hangup.recv().await.is_some() {
        match certificate.as_ref().map(|certificate| certificate.reload()) {
            None => tracing::info!("there is no certificate to be read again"),
            Some(Ok(())) => tracing::info!("the certificate was read again"),
            Some(Err(error)) => tracing::error!(%error, "the certificate in use stays"),
        }
    }
}

async fn signalled() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Writes a file whole or not at all.
fn whole(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let name = path.file_name().ok_or_else(|| std::io::Error::other("a file name is needed"))?;
    let temporary = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
