//! The broker's command line: `serve`, `key`, `user`, `store migrate`, `backup`, `restore`, `check`, `config check`, `doctor`,
//! `support`, `openapi`. Exit codes: 0 done, 1 failed, 2 usage, 78 configuration.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use taxdisk_protocol::api::{KeyAction, KeyRequest, KeyView, Role};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{self, ConfigError, Loaded, Overrides};
use crate::http::scrape::Scrape;
use crate::http::tokens::Tokens;
use crate::http::{self, Edge};
use crate::ledger::{Ledger, Settings, TwoPersons};
use crate::ready::{self, Urls};
use crate::store::postgres::lease::{Candidate, Lease};
use crate::store::postgres::{Database, PostgresStore};
use crate::store::vault::Vault;
use crate::tls::{self, Certificate};
use crate::{cluster, logging, metrics, serve, store};

mod copies;
mod doctor;
mod manual;
mod own;
mod support;
mod users;

/// The configuration cannot be used (EX_CONFIG of sysexits.h).
const EXIT_CONFIG: u8 = 78;

/// The broker of taxdisk: the durable queue and ledger of issuing jobs.
#[derive(Debug, Parser)]
#[command(name = "taxdisk-broker", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API and the agent link.
    Serve(Serve),
    /// API keys, written to the store itself: for the first key, and while the broker is stopped.
    #[command(subcommand)]
    Key(Key),
    /// People of the administrators' console, written to the store itself: for the first administrator, and while the broker is
    /// stopped.
    #[command(subcommand)]
    User(users::User),
    /// The ledger's store, while no broker runs.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Copy the ledger into a new file, as it is at one moment, while the broker serves.
    Backup {
        #[command(flatten)]
        file: File,
        /// The new file. Nothing is overwritten.
        to: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put a copy in the place of the ledger, under a new ledger id. The broker must be stopped. After the start nothing is
    /// issued for a seller before his disks have told what the copy does not know.
    Restore {
        #[command(flatten)]
        file: File,
        /// The copy. It is checked first and stays as it is.
        from: PathBuf,
        /// A ledger that is there is moved aside, under a name beside it.
        #[arg(long)]
        replace: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Verify every chain of the ledger, or of a copy of it, and fold every job anew from its events. With SQLite the broker may
    /// serve; with PostgreSQL all brokers are stopped (`taxdisk audit verify` verifies the chains meanwhile).
    Check {
        #[command(flatten)]
        file: File,
        /// A copy, instead of the ledger of the configuration.
        copy: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check configuration, certificate, the ledger's place, the clock and the address, and say how to mend what is wrong.
    Doctor {
        #[command(flatten)]
        file: File,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write one file for whoever helps: checks, configuration, counts, agents, disks; it says what is in it. A broker may run
    /// meanwhile.
    Support {
        #[command(flatten)]
        file: File,
        /// The new file. Nothing is overwritten.
        to: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the description of the HTTP API (OpenAPI 3.1).
    Openapi,
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
struct File {
    /// Configuration file (TOML). Every value can be set in the environment: TAXDISK__STORE__URL=…
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    file: File,
    /// Address to listen on, over the configuration; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Written with the URLs, as JSON, once the broker can answer.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// If there is no administrator's key yet: make one and write it here, readable by the owner only.
    #[arg(long, value_name = "FILE")]
    bootstrap_key_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Make a key and print it; it is shown once.
    Create {
        #[command(flatten)]
        file: File,
        /// What people call it.
        #[arg(long)]
        name: String,
        /// What it may do.
        #[arg(long)]
        role: RoleName,
        /// Taxpayer number of a seller that it is limited to; may be given several times.
        #[arg(long = "seller", value_name = "TAXNO")]
        sellers: Vec<String>,
        /// Action that it is limited to: submit, read, reissue, cancel, settle, operate, webhooks, setup, keys, audit; may be
        /// given several times.
        #[arg(long = "action", value_name = "ACTION")]
        actions: Vec<KeyAction>,
        /// How long it is good, days; for ever if left out.
        #[arg(long, value_name = "DAYS")]
        valid_days: Option<u32>,
        /// Whose it is, a person of the console: where two persons are asked for, the key counts as him.
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List all keys, without their secrets.
    List {
        #[command(flatten)]
        file: File,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key by its id.
    Revoke {
        #[command(flatten)]
        file: File,
        /// Public half of the key.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Submit, read, re-issue and cancel jobs.
    Platform,
    /// Everything.
    Admin,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the configuration and print every value with its source.
    Check {
        #[command(flatten)]
        file: File,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Move the ledger from SQLite to PostgreSQL, whole or not at all. The chains are verified on both sides; the source is shut
    /// for ever afterwards.
    Migrate {
        /// The ledger as it is: sqlite:/path/to/ledger.db
        #[arg(long, value_name = "URL")]
        from: String,
        /// An empty database: postgres://user@host/database
        #[arg(long, value_name = "URL")]
        to: String,
        /// Key file of the ledger, if its contents are sealed (`store.key_file`).
        #[arg(long, value_name = "FILE")]
        key_file: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a new line for the key file (`store.key_file`). Put it first, and start the broker anew: new contents are sealed
    /// with it, and what is older is opened with the lines below.
    NewKey,
    /// Seal all contents with the first key of the key file. The broker must be stopped. Then the lines of older keys may go,
    /// once no copy needs them.
    Rekey {
        #[command(flatten)]
        file: File,
        /// Open all contents instead: nothing is sealed any more.
        #[arg(long)]
        plain: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say that a PostgreSQL database was put back from a copy, before the first broker is started on it. It is checked, and
    /// the ledger gets a new id. After the start nothing is issued for a seller before his disks have told what the copy does
    /// not know. (A SQLite file is put back by `restore`, which does the same.)
    WasPutBack {
        #[command(flatten)]
        file: File,
        /// Which copy, and why; kept in the ledger.
        #[arg(long)]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Other(String),
}

pub(crate) fn failed(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Other(format!("{what}: {error}"))
}

/// Runs a command line to its end.
pub fn run(cli: Cli) -> ExitCode {
    // What it finds is in its exit code.
    if let Command::Doctor { file, json } = &cli.command {
        return match doctor::doctor(load(file, None), *json) {
            Ok(exit) => ExitCode::from(exit),
            Err(_) => ExitCode::FAILURE,
        };
    }
    match execute(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("taxdisk-broker: {failure}");
            match failure {
                Failure::Config(_) => ExitCode::from(EXIT_CONFIG),
                Failure::Other(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Doctor { file, json } => doctor::doctor(load(&file, None), json).map(drop),
        Command::Support { file, to, json } => runtime()?.block_on(support::support(&load(&file, None)?, &to, json)),
        Command::Openapi => print(&http::openapi::document()),
        Command::Surface => print(&serde_json::to_string_pretty(&http::surface::lines()).map_err(|error| failed("JSON", error))?),
        Command::Manual { to } => manual::write(&to).map_err(|error| failed(&to.display().to_string(), error)),
        Command::Config(ConfigCommand::Check { file, json }) => check(&load(&file, None)?, json),
        Command::Key(key) => runtime()?.block_on(keys(key)),
        Command::User(user) => runtime()?.block_on(users::run(user)),
        Command::Store(StoreCommand::Migrate { from, to, key_file, json }) => {
            let vault = key_file.map_or(Ok(Vault::default()), |file| Vault::load(&file));
            runtime()?.block_on(migrate(&from, &to, vault.map_err(|error| ConfigError(error.to_string()))?, json))
        }
        Command::Store(StoreCommand::NewKey) => {
            let key = taxdisk_web::keyring::new_key().ok_or_else(|| failed("no key was made", "the system has no randomness"))?;
            print(&format!("{key}\n"))
        }
        Command::Store(StoreCommand::Rekey { file, plain, json }) => {
            runtime()?.block_on(copies::rekey(&load(&file, None)?, plain, json))
        }
        Command::Store(StoreCommand::WasPutBack { file, reason, json }) => {
            runtime()?.block_on(copies::was_put_back(&load(&file, None)?, &reason, json))
        }
        Command::Backup { file, to, json } => runtime()?.block_on(copies::backup(&load(&file, None)?, &to, json)),
        Command::Restore { file, from, replace, json } => {
            runtime()?.block_on(copies::restore(&load(&file, None)?, &from, replace, json))
        }
        Command::Check { file, copy, json } => runtime()?.block_on(copies::check(&load(&file, None)?, copy.as_deref(), json)),
        Command::Serve(serve) => {
            let loaded = load(&serve.file, serve.listen.clone())?;
            logging::start(&loaded.config.log)?;
            taxdisk_telemetry::start(&loaded.config.traces, "taxdisk-broker", env!("CARGO_PKG_VERSION"))
                .map_err(|error| ConfigError(error.0))?;
            let ended = runtime()?.block_on(serve_until_signal(&loaded, &serve));
            taxdisk_telemetry::flush();
            ended
        }
    }
}

fn load(file: &File, listen: Option<String>) -> Result<Loaded, ConfigError> {
    config::load(file.config.as_deref(), &Overrides { listen })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| failed("the runtime does not start", error))
}

/// Prints to standard output; a reader that closed it early is no failure of ours.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed("standard output", error)),
        _ => Ok(()),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| failed("JSON", error))?;
    print(&format!("{text}\n"))
}

fn check(loaded: &Loaded, json: bool) -> Result<(), Failure> {
    if let Some(tls) = &loaded.config.tls {
        tls::load(tls)?;
    }
    let lines = loaded.lines();
    if json {
        return print_json(&lines);
    }
    let width = |text: fn(&config::Line) -> &str| lines.iter().map(|line| text(line).chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(|line| &line.key), width(|line| &line.value));
    print(&lines.iter().map(|line| format!("{:keys$}  {:values$}  {}\n", line.key, line.value, line.source)).collect::<String>())
}

async fn migrate(from: &str, to: &str, vault: Vault, json: bool) -> Result<(), Failure> {
    let moved = store::migrate::migrate(from, to, vault).await.map_err(|error| failed("store migrate", error))?;
    if json {
        return print_json(&moved);
    }
    let rows: String = moved.rows.iter().map(|(table, rows)| format!("  {table:16}  {rows}\n")).collect();
    let done = if moved.was_there { "was there already and is the same" } else { "was moved" };
    print(&format!("ledger {} {done}; {} chains are whole on both sides; the source is shut\n{rows}", moved.ledger, moved.chains))
}

async fn keys(command: Key) -> Result<(), Failure> {
    let (Key::Create { file, .. } | Key::List { file, .. } | Key::Revoke { file, .. }) = &command;
    let loaded = load(file, None)?;
    let open = Opened::open(&loaded).await?;
    let ledger = open.ledger.of("command line", "");
    let result = tokio::select! {
        result = with_keys(&ledger, command) => result,
        () = open.hold() => Ok(()),
    };
    open.close().await;
    result
}

async fn with_keys(ledger: &Ledger, command: Key) -> Result<(), Failure> {
    match command {
        Key::Create { name, role, sellers, actions, valid_days, owner, json, .. } => {
            let role = match role {
                RoleName::Platform => Role::Platform,
                RoleName::Admin => Role::Admin,
            };
            let valid_s = valid_days.map(|days| u64::from(days) * 24 * 60 * 60);
            let key = ledger.create_key(KeyRequest { name, role, sellers, actions, valid_s, owner }, "command line").await;
            let key = key.map_err(|refusal| failed("no key was made", refusal))?;
            if json { print_json(&key) } else { print(&format!("{}\n", key.key)) }
        }
        Key::List { json, .. } => {
            let keys: Vec<KeyView> = ledger.keys().into_iter().map(http::keys::view).collect();
            if json { print_json(&keys) } else { print(&keys.iter().map(line_of).collect::<String>()) }
        }
        Key::Revoke { id, json, .. } => {
            ledger.revoke_key(&id, "command line").await.map_err(|refusal| failed("not revoked", refusal))?;
            if json { print_json(&serde_json::json!({ "revoked": id })) } else { print(&format!("{id} is revoked\n")) }
        }
    }
}

fn line_of(key: &KeyView) -> String {
    let role = match key.role {
        Role::Platform => "platform",
        Role::Admin => "admin",
    };
    let sellers = if key.sellers.is_empty() { "all sellers".to_owned() } else { key.sellers.join(",") };
    let state = match (&key.revoked_at, &key.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "for ever".to_owned(),
    };
    format!("{}  {role:8}  {sellers}  {state}  {}\n", key.id, key.name)
}

fn settings(loaded: &Loaded) -> Result<Settings, ConfigError> {
    let silence_ms = i64::try_from(loaded.config.silence().as_millis()).unwrap_or(i64::MAX);
    Ok(Settings {
        silence_ms,
        vault: loaded.config.store.vault()?,
        reissues_per_day: loaded.config.reissue.per_day,
        anchor_s: loaded.config.audit.anchor_s,
        retain_hours: Some(u64::from(loaded.config.retention.bodies_days) * 24).filter(|hours| *hours > 0),
        keep_issued_days: loaded.config.retention.issued_days,
        two_persons: TwoPersons {
            settle: loaded.config.two_persons.settle,
            bulk_reissue: loaded.config.two_persons.bulk_reissue,
            reconcile: loaded.config.two_persons.reconcile,
            valid_s: i64::from(loaded.config.two_persons.valid_h) * 3600,
        },
        ..Settings::default()
    })
}

/// A PostgreSQL store that no broker leads: this command does.
struct Led {
    database: Database,
    lease: Arc<Lease>,
    store: PostgresStore,
}

impl Led {
    async fn take(loaded: &Loaded) -> Result<Led, Failure> {
        let vault = loaded.config.store.vault()?;
        let unusable =
            |error: &dyn std::fmt::Display| failed(&format!("the store {} cannot be used", loaded.shown("store.url")), error);
        let database = Database::connect(&loaded.config.store.url, loaded.config.store.replicated).await;
        let database = database.map_err(|error| unusable(&error))?;
        let candidate = Candidate {
            holder: format!("command-{}", hex::encode(rand::random::<[u8; 8]>())),
            url: None,
            secret: String::new(),
            length: Duration::from_secs(loaded.config.cluster.lease_s),
        };
        let lease = database.take(&candidate).await.map_err(|error| unusable(&error))?;
        let lease = lease.ok_or_else(|| unusable(&"a broker leads this database; ask its API, or stop all brokers first"))?;
        let lease = Arc::new(lease);
        match PostgresStore::open_with(&database, lease.clone(), vault).await {
            Ok(store) => Ok(Led { database, lease, store }),
            Err(error) => {
                let _ = database.release(&lease).await;
                Err(unusable(&error))
            }
        }
    }

    /// Does something with the store and gives the lead back.
    async fn with<T>(self, work: impl AsyncFnOnce(&PostgresStore) -> Result<T, Failure>) -> Result<T, Failure> {
        let result = tokio::select! {
            result = work(&self.store) => result,
            () = cluster::lead::hold(&self.database, &self.lease) => Err(Failure::Other("the lead was lost".to_owned())),
        };
        // What is not closed or given back ends by itself.
        let _ = self.store.close().await;
        let _ = self.database.release(&self.lease).await;
        result
    }
}

/// A ledger that this process alone writes.
struct Opened {
    ledger: Ledger,
    /// In PostgreSQL, only who leads writes.
    lead: Option<(Database, Arc<Lease>)>,
}

impl Opened {
    async fn open(loaded: &Loaded) -> Result<Opened, Failure> {
        let url = &loaded.config.store.url;
        let unusable =
            |error: &dyn std::fmt::Display| failed(&format!("the store {} cannot be used", loaded.shown("store.url")), error);
        if !loaded.config.store.is_postgres() {
            let ledger = Ledger::open(url, settings(loaded)?, Ledger::system_clock()).await.map_err(|error| unusable(&error))?;
            return Ok(Opened { ledger, lead: None });
        }
        let led = Led::take(loaded).await?;
        match Ledger::start(Arc::new(led.store), settings(loaded)?, Ledger::system_clock()).await {
            Ok(ledger) => Ok(Opened { ledger, lead: Some((led.database, led.lease)) }),
            Err(error) => {
                let _ = led.database.release(&led.lease).await;
                Err(unusable(&error))
            }
        }
    }

    /// Keeps the lead, as long as it is not dropped.
    async fn hold(&self) {
        match &self.lead {
            Some((database, lease)) => cluster::lead::hold(database, lease).await,
            None => std::future::pending().await,
        }
    }

    async fn close(self) {
        self.ledger.stop().await;
        if let Some((database, lease)) = self.lead {
            // A lease that is not given back ends by itself.
            let _ = database.release(&lease).await;
        }
    }
}

async fn serve_until_signal(loaded: &Loaded, serve: &Serve) -> Result<(), Failure> {
    let config = &loaded.config;
    config.store.check_modes()?;
    let tokens = Tokens::of(&config.tokens)?;
    let scrape = Scrape::of(&config.metrics)?;
    metrics::start();
    let certificate = config.tls.as_ref().map(tls::load).transpose()?;
    let acceptor = match (&config.tls, &certificate) {
        (Some(files), Some(certificate)) => Some(tls::acceptor_of(files, certificate)?),
        _ => None,
    };
    let mut signals = Signals::new()?;
    let address = config.address()?;
    let listener = TcpListener::bind(address).await.map_err(|error| failed(&format!("cannot listen on {address}"), error))?;
    let address = listener.local_addr().map_err(|error| failed("the address is not known", error))?;
    if scrape.is_open() && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(%address, "metrics.token_file is not set: whoever reaches this address reads the figures at /metrics");
    }
    let open = Open::of(config, certificate.as_ref()).await?;
    if config.store.is_postgres() {
        let (ready_file, bootstrap) = (serve.ready_file.clone(), serve.bootstrap_key_file.clone());
        let front = cluster::Front { listener, address, acceptor, certificate, open, ready_file, bootstrap };
        return Box::pin(cluster::serve(loaded, settings(loaded)?, front, &mut signals)).await;
    }
    let ledger = Opened::open(loaded).await?.ledger;
    if let Some(path) = &serve.bootstrap_key_file {
        bootstrap(&ledger.of("command line", ""), path).await?;
    }
    let (stop, stopping) = watch::channel(false);
    let edge = Edge::new(ledger.clone(), config, stopping.clone()).with_tokens(tokens).with_scrape(scrape);
    let hub = edge.hub.clone();
    let hooks = edge.hooks.clone();
    let limits = config.limits.clone();
    let router = http::router(edge);
    let open_address = open.as_ref().map(|open| open.address);
    let opening = open.map(|open| open.serve(router.clone(), &limits, stopping.clone()));
    let serving = tokio::spawn(async move { serve::run(listener, acceptor, router, &limits, stopping).await });
    let upkeep = tokio::spawn(metrics::keep_up());
    let watched = ledger.clone();
    let watchdog = tokio::spawn(ready::pet_watchdog(move || {
        let ledger = watched.clone();
        async move { ledger.is_ready() }
    }));
    let urls = Urls::of(address, config.tls.is_some()).with_open(open_address);
    if let Some(path) = &serve.ready_file {
        let text = serde_json::to_vec(&urls).map_err(|error| failed("JSON", error))?;
        ready::write_whole(path, &text, false).map_err(|error| failed(&path.display().to_string(), error))?;
    }
    eprintln!("taxdisk-broker {} serves {}", env!("CARGO_PKG_VERSION"), urls.url);
    ready::tell_up(&urls);

    let lost = tokio::select! {
        () = signals.wait(certificate.as_slice()) => false,
        () = ledger.ended() => true,
    };
    ready::tell_stopping();
    watchdog.abort();
    upkeep.abort();
    if lost {
        // Nothing that is not durable was answered, and nothing more may be.
        return Err(Failure::Other(
            "the ledger could not be written; the process ends and starts again from what is durable".to_owned(),
        ));
    }
    tracing::info!("stopping");
    let _ = stop.send(true);
    // Links end with a word to the agent; requests run to their end. Both have a bound.
    let _ = tokio::time::timeout(Duration::from_secs(config.limits.stop_s), hub.empty()).await;
    let _ = serving.await;
    if let Some(opening) = opening {
        let _ = opening.await;
    }
    let _ = tokio::time::timeout(Duration::from_secs(config.limits.stop_s), hooks.ended()).await;
    ledger.stop().await;
    if let Some(path) = &serve.ready_file {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// The second address, for whoever has no certificate of a caller (`listen.open_address`).
pub(crate) struct Open {
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    /// Its address.
    pub(crate) address: SocketAddr,
}

impl Open {
    async fn of(config: &config::Config, certificate: Option<&Arc<Certificate>>) -> Result<Option<Open>, Failure> {
        let (Some(address), Some(certificate)) = (config.open_address()?, certificate) else { return Ok(None) };
        let listener = TcpListener::bind(address).await.map_err(|error| failed(&format!("cannot listen on {address}"), error))?;
        let bound = listener.local_addr().map_err(|error| failed("the address is not known", error))?;
        tracing::info!(address = %bound, "agents, browsers and health come here; callers to the other address");
        Ok(Some(Open { listener, acceptor: tls::acceptor(certificate)?, address: bound }))
    }

    /// Serves what needs no key until `stopping` turns true.
    pub(crate) fn serve(
        self,
        router: axum::Router,
        limits: &config::Limits,
        stopping: watch::Receiver<bool>,
    ) -> tokio::task::JoinHandle<()> {
        let (router, limits) = (http::open::open_part(router), limits.clone());
        tokio::spawn(async move { serve::run(self.listener, Some(self.acceptor), router, &limits, stopping).await })
    }
}

/// Makes the first administrator's key. If we stop between making and writing it, `key create` makes another.
pub(crate) async fn bootstrap(ledger: &Ledger, path: &std::path::Path) -> Result<(), Failure> {
    if ledger.has_admin_key() {
        return Ok(());
    }
    let request = KeyRequest {
        name: "first administrator".to_owned(),
        role: Role::Admin,
        sellers: Vec::new(),
        actions: Vec::new(),
        valid_s: None,
        owner: None,
    };
    let key = ledger.create_key(request, "command line").await.map_err(|refusal| failed("no key was made", refusal))?;
    if let Err(error) = ready::write_whole(path, format!("{}\n", key.key).as_bytes(), true) {
        // A key that nobody has must not count as the first one at the next start.
        let _ = ledger.revoke_key(&key.id, "command line").await;
        return Err(failed(&path.display().to_string(), error));
    }
    tracing::info!(key = key.id, file = %path.display(), "the first administrator's key was written");
    Ok(())
}

/// What the process is told from outside.
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let on = |kind| signal(kind).map_err(|error| failed("signals", error));
        Ok(Signals {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Until the process is to stop. SIGHUP reads the certificates again.
    pub(crate) async fn wait(&mut self, certificates: &[Arc<Certificate>]) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => for certificate in certificates {
                    match certificate.reload() {
                        Ok(()) => tracing::info!("a certificate was read again"),
                        Err(error) => tracing::error!(%error, "the certificate in use stays"),
                    }
                },
            }
        }
    }
}
