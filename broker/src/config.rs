//! The broker's configuration: defaults, then a TOML file, then the environment (`TAXDISK__SECTION__KEY`), then the command line.
//!
//! Every value can be shown with the place that it came from ([`Loaded::lines`]). A key that is not known is an error: a
//! misspelt limit that is silently ignored protects nobody. Plain HTTP on anything but loopback is refused here, before a
//! socket is opened. This module opens no socket, no store and no certificate.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::Value;
use serde::{Deserialize, Serialize};
use taxdisk_telemetry::Traces;

use crate::core::people::ConsoleRole;
use crate::store::vault::Vault;

mod metrics;
mod webhooks;

pub use metrics::Metrics;
pub use webhooks::Webhooks;

/// The longest time that a caller may ask a job's answer to wait, seconds (`?wait=55s`). Proxies cut silence at 60 s.
pub const MAX_WAIT_S: u64 = 55;

/// What a broker runs with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub listen: Listen,
    /// Certificate and key; needed unless it listens on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The ledger.
    pub store: Store,
    /// Brokers that share one PostgreSQL database.
    pub cluster: Cluster,
    /// Times of the agent link.
    pub link: Link,
    /// Limits of the edge.
    pub limits: Limits,
    /// Webhooks.
    pub webhooks: Webhooks,
    /// The chains.
    pub audit: Audit,
    /// How long contents are kept.
    pub retention: Retention,
    /// Re-issues.
    pub reissue: Reissue,
    /// What takes two persons.
    pub two_persons: TwoPersons,
    /// Updates of agents.
    pub updates: Updates,
    /// Tokens of a login service.
    pub tokens: Tokens,
    /// The administrators' console.
    pub console: Console,
    /// Figures for Prometheus.
    pub metrics: Metrics,
    /// What is written to standard error.
    pub log: Log,
    /// Where spans of jobs are sent.
    pub traces: Traces,
}

/// The chains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Between two anchors, seconds.
    pub anchor_s: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Audit { anchor_s: 3600 }
    }
}

/// How long contents are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Invoices of jobs that ended so many days ago are removed; 0: never. Days of the broker's running time. Serial numbers,
    /// hashes,
    /// invoice numbers and events stay for ever.
    pub bodies_days: u32,
    /// Issued invoices are kept for so many days at least after their last change, whatever their buyer asks.
    pub issued_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { bodies_days: 0, issued_days: 3653 }
    }
}

/// Re-issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reissue {
    /// Of one serial number on one day (UTC).
    pub per_day: u32,
}

impl Default for Reissue {
    fn default() -> Self {
        Reissue { per_day: 20 }
    }
}

/// Updates of agents. What is offered to whom is set by administrators and kept in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Updates {
    /// Folder of the programs, as `cargo xtask release` makes it: each with its manifest and the manifest's signature. It may be
    /// missing. Several brokers each need their own.
    pub dir: PathBuf,
    /// Agents that fetch a program at the same time; others try again later. Each takes a connection and 64 KiB.
    pub downloads: usize,
}

impl Default for Updates {
    fn default() -> Self {
        Updates { dir: PathBuf::from("/var/lib/taxdisk-broker/updates"), downloads: 16 }
    }
}

/// Bearer tokens (OAuth2, OIDC) of a login service, beside the broker's own keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// Who signs them (`iss`); empty: no tokens are taken.
    pub issuer: String,
    /// For whom they must be (`aud`).
    pub audience: String,
    /// The service's keys (JWKS) in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_file: Option<PathBuf>,
    /// Or at its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_url: Option<String>,
    /// Private networks in which that address may be, as 10.1.0.0/16.
    pub allow_networks: Vec<String>,
    /// Algorithms that are taken; none of a secret that both sides share.
    pub algorithms: Vec<String>,
    /// Claim with the role.
    pub role_claim: String,
    /// The word in it that makes an administrator; anything else is a platform.
    pub admin_role: String,
    /// Claim with the sellers, as a list or with spaces; `*` is all. Without it a token is for none.
    pub sellers_claim: String,
    /// Claim with the actions, as `taxdisk:submit`. Without one a token is for nothing.
    pub actions_claim: String,
    /// Clocks may differ by so much, seconds.
    pub leeway_s: u64,
}

impl Default for Tokens {
    fn default() -> Self {
        Tokens {
            issuer: String::new(),
            audience: String::new(),
            keys_file: None,
            keys_url: None,
            allow_networks: Vec::new(),
            algorithms: ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec(),
            role_claim: "taxdisk_role".to_owned(),
            admin_role: "admin".to_owned(),
            sellers_claim: "taxdisk_sellers".to_owned(),
            actions_claim: "scope".to_owned(),
            leeway_s: 30,
        }
    }
}

/// What takes two persons: one proposes, another one confirms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwoPersons {
    /// Decisions on unsettled jobs.
    pub settle: bool,
    /// Bulk re-issues.
    pub bulk_reissue: bool,
    /// What people decide of a ledger that was put back (`taxdisk reconcile`).
    pub reconcile: bool,
    /// A proposal can be confirmed for so long, hours.
    pub valid_h: u32,
}

impl Default for TwoPersons {
    fn default() -> Self {
        TwoPersons { settle: false, bulk_reissue: false, reconcile: false, valid_h: 24 }
    }
}

/// The administrators' console under `/console`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// It is served.
    pub enabled: bool,
    /// Browsers come over HTTPS to a proxy before this broker: cookies are for HTTPS alone then. With a certificate of the
    /// broker's own they are anyway.
    pub https: bool,
    /// Whoever has one of these roles sets up a second factor before he reaches any page but his own.
    pub require_second_factor: Vec<ConsoleRole>,
}

impl Default for Console {
    fn default() -> Self {
        Console { enabled: true, https: false, require_second_factor: Vec::new() }
    }
}

/// Where the broker listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// IP address and port; port 0 takes a free one.
    pub address: String,
    /// A second address, for agents, browsers and health: needed where callers must show a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_address: Option<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Listen { address: "127.0.0.1:8470".to_owned(), open_address: None }
    }
}

/// Files of the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM: the certificate, then its chain.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
    /// PEM: authorities of callers' certificates. Left out: callers are not asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authority: Option<PathBuf>,
    /// Whether callers must show one.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
}

/// Whether callers of `listen.address` must show a certificate of `tls.client_authority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// They may. One of another authority is refused in the handshake all the same.
    #[default]
    Optional,
    /// Who shows none is refused in the handshake; agents and browsers come to `listen.open_address`.
    Required,
}

/// The ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite:/path/to/ledger.db`, or `postgres://user@host/database`.
    pub url: String,
    /// PostgreSQL only: every commit must be on a second server before it counts (`synchronous_standby_names` is set); where it
    /// is not, the broker is not ready.
    pub replicated: bool,
    /// Keys that contents of jobs are sealed with: a file, or `credential:NAME` for one of systemd. Left out: they are not
    /// sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
}

impl Default for Store {
    fn default() -> Self {
        Store { url: "sqlite:/var/lib/taxdisk-broker/ledger.db".to_owned(), replicated: false, key_file: None }
    }
}

impl Store {
    /// The keys of [`Store::key_file`].
    ///
    /// # Errors
    /// Says what is wrong with the file, and what mends it.
    pub fn vault(&self) -> Result<Vault, ConfigError> {
        let Some(setting) = &self.key_file else { return Ok(Vault::default()) };
        Vault::load(setting).map_err(|error| ConfigError(error.to_string()))
    }

    /// Refuses a ledger that every user of the machine can read, or whose folder everybody can change.
    ///
    /// # Errors
    /// Names the file and the command that mends it.
    pub fn check_modes(&self) -> Result<(), ConfigError> {
        let Ok(file) = crate::store::sqlite::backup::file_of(&self.url) else { return Ok(()) };
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned);
        let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", file.display()));
        let files = ["", "-wal", "-shm", ".log", ".log-wal", ".log-shm"].map(beside);
        let wrong = files.into_iter().map(|file| (file, 0o007, "0600")).chain(folder.map(|folder| (folder, 0o002, "0700")));
        for (path, open, mend) in wrong {
            let Ok(found) = std::fs::metadata(&path) else { continue };
            let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o7777;
            // A folder like /tmp lets nobody touch what is another's.
            if mode & open != 0 && mode & 0o1000 == 0 {
                let shown = path.display();
                return Err(ConfigError(format!(
                    "store.url: {shown} has mode {mode:04o}, so every user of this machine can get at the ledger: run \
                     `chmod {mend} {shown}`"
                )));
            }
        }
        Ok(())
    }

    /// Is it a PostgreSQL database? Then several brokers may share it.
    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres://") || self.url.starts_with("postgresql://")
    }
}

/// Brokers that share one PostgreSQL database: one leads, the others forward to its internal address. Without PostgreSQL
/// nothing of it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Internal IP address and port, for the other brokers only; port 0 takes a free one.
    pub listen: String,
    /// Where the others reach it; the bound address if left out. Needed with TLS (its name must be in the certificate) and
    /// behind translated addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A leader that was not heard for so long is replaced, seconds.
    pub lease_s: u64,
    /// TLS between brokers; needed unless all of them are on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClusterTls>,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster { listen: "127.0.0.1:0".to_owned(), url: None, lease_s: 5, tls: None }
    }
}

/// Files for TLS between brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterTls {
    /// PEM: this broker's certificate, then its chain.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: the authority that signs the brokers' certificates.
    pub authority: PathBuf,
}

/// Times of the agent link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// Ping interval, seconds.
    pub ping_s: u64,
    /// Silence after which a link is dead and a disk may move to another agent, seconds. Shorter only in tests: agents begin
    /// jobs up to 45 s after they last heard from the broker.
    pub silence_s: u64,
    /// From the connection to the proof, seconds.
    pub join_s: u64,
    /// Links that have not proven who they are, at the same time.
    pub unproven: usize,
    /// Agents whose network passes no WebSocket and that come over plain requests, at the same time. Each may hold 200 KiB.
    pub tunnels: usize,
}

impl Default for Link {
    fn default() -> Self {
        use taxdisk_protocol::link::{PING_S, SILENCE_S};
        Link { ping_s: PING_S, silence_s: SILENCE_S, join_s: 10, unproven: 64, tunnels: 1000 }
    }
}

/// Limits of the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at the same time, links of agents included. Each takes a file descriptor and about 20 KiB. When there are so
    /// many, the one that has been open longest without a good key, session or proof is cut off for the next.
    pub connections: usize,
    /// Of them, those of one address that have shown no good key, session or proof; more of them push out each other and nobody
    /// else.
    pub strangers_per_address: usize,
    /// Calls of one API key in a second, over ten seconds; more are answered by 429 and when to come again. 0: no limit.
    pub calls_per_key_s: u32,
    /// From a connection's last answer to the head of its next request, seconds. Longer than the time that common clients keep
    /// an idle connection, so that none writes a request into a closing one.
    pub header_s: u64,
    /// From the head of a request to its answer, seconds; longer than the longest wait of 55 s.
    pub request_s: u64,
    /// Batches at the same time. Each holds up to 16 MiB of answers that its caller did not read.
    pub batches: usize,
    /// Failed authentications of one address in a minute; further failures are answered by 429 and cost no log line. Good keys
    /// always pass: behind a proxy all callers share one address.
    pub failures_per_minute: u32,
    /// Event streams (`GET /v1/events`) at the same time.
    pub streams: usize,
    /// From the signal to the end, seconds: running requests and links get this long.
    pub stop_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 4096,
            strangers_per_address: 512,
            calls_per_key_s: 5000,
            header_s: 30,
            request_s: 90,
            batches: 16,
            failures_per_minute: 30,
            streams: 256,
            stop_s: 10,
        }
    }
}

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `human`, `json` or `journal`.
    pub format: LogFormat,
    /// Directives of the filter: `info`, `taxdisk_broker=debug,info`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Log { format: LogFormat::Human, filter: "info".to_owned() }
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
    /// To the systemd journal, each field by itself; lines for people where standard error is not that journal.
    Journal,
}

/// The configuration cannot be used. Ends the process with code 78; the text says which value, from where, and what to set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// What the command line says over file and environment.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<String>,
}

/// A configuration and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    figment: Figment,
    listen_given: bool,
}

/// One value of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `section.key`.
    pub key: String,
    /// The value as text; secrets are hidden.
    pub value: String,
    /// `default`, the file, the variable or the command line.
    pub source: String,
}

/// Reads the configuration. `file` must exist if it is named.
///
/// # Errors
/// Names the value that cannot be used.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError(format!("the configuration file {} does not exist", path.display())));
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    figment = figment.merge(Env::prefixed("TAXDISK__").split("__"));
    if let Some(listen) = &overrides.listen {
        figment = figment.merge(("listen.address", listen.as_str()));
    }
    let config: Config = figment.extract().map_err(|error| ConfigError(explain(&error)))?;
    config.check()?;
    Ok(Loaded { config, figment, listen_given: overrides.listen.is_some() })
}

fn explain(error: &figment::Error) -> String {
    let lines: Vec<String> = error.clone().into_iter().map(|one| one.to_string()).collect();
    lines.join("; ")
}

impl Config {
    /// The address to listen on.
    ///
    /// # Errors
    /// When it is not an IP address and a port.
    pub fn address(&self) -> Result<SocketAddr, ConfigError> {
        let text = &self.listen.address;
        text.parse()
            .map_err(|_| ConfigError(format!("listen.address: {text:?} is not an IP address and a port, as in 127.0.0.1:8470")))
    }

    /// The address for whoever has no certificate of a caller.
    ///
    /// # Errors
    /// When it is not an IP address and a port.
    pub fn open_address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        let wrong = |text: &String| {
            ConfigError(format!("listen.open_address: {text:?} is not an IP address and a port, as in 0.0.0.0:8472"))
        };
        self.listen.open_address.as_ref().map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    /// Callers' certificates and the address for whoever has none belong together.
    fn check_clients(&self) -> Result<(), ConfigError> {
        let Some(tls) = &self.tls else {
            let stray = self.listen.open_address.as_ref();
            return stray
                .map_or(Ok(()), |_| Err(ConfigError("listen.open_address needs tls.certificate and tls.key".to_owned())));
        };
        let required = tls.client_certificates == ClientCertificates::Required;
        let wrong = match (required, &tls.client_authority, self.open_address()?) {
            (true, None, _) => "tls.client_certificates is \"required\": tls.client_authority must name who signs them",
            (true, Some(_), None) => {
                "tls.client_certificates is \"required\": agents and browsers have none. Set listen.open_address, where they are \
                 served"
            }
            (false, _, Some(_)) => "listen.open_address is for tls.client_certificates = \"required\", and for nothing else",
            _ => return Ok(()),
        };
        Err(ConfigError(wrong.to_owned()))
    }

    /// The internal address of several brokers.
    ///
    /// # Errors
    /// When it is not an IP address and a port.
    pub fn internal_address(&self) -> Result<SocketAddr, ConfigError> {
        let text = &self.cluster.listen;
        text.parse()
            .map_err(|_| ConfigError(format!("cluster.listen: {text:?} is not an IP address and a port, as in 10.0.0.1:8471")))
    }

    /// A link is dead after this long without a byte.
    pub fn silence(&self) -> Duration {
        Duration::from_secs(self.link.silence_s)
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.webhooks.check()?;
        let address = self.address()?;
        if self.tls.is_none() && !is_loopback(address.ip()) {
            return Err(ConfigError(format!(
                "listen.address is {address}, which others can reach, and no certificate is set: API keys and invoices would cross \
                 the network in the clear. Set tls.certificate and tls.key, or listen on 127.0.0.1 behind a proxy that does TLS"
            )));
        }
        self.check_clients()?;
        let internal = self.internal_address()?;
        if self.cluster.tls.is_none() && !is_loopback(internal.ip()) {
            return Err(ConfigError(format!(
                "cluster.listen is {internal}, which others can reach, and cluster.tls is not set: API keys and invoices would \
                 cross the network in the clear between the brokers. Set cluster.tls.certificate, key and authority"
            )));
        }
        let least = [
            ("cluster.lease_s", self.cluster.lease_s, 2),
            ("audit.anchor_s", self.audit.anchor_s, 1),
            ("reissue.per_day", u64::from(self.reissue.per_day), 1),
            ("two_persons.valid_h", u64::from(self.two_persons.valid_h), 1),
            ("link.ping_s", self.link.ping_s, 1),
            ("link.silence_s", self.link.silence_s, self.link.ping_s + 1),
            ("link.join_s", self.link.join_s, 1),
            ("link.unproven", self.link.unproven as u64, 1),
            ("updates.downloads", self.updates.downloads as u64, 1),
            ("link.tunnels", self.link.tunnels as u64, 1),
            ("limits.connections", self.limits.connections as u64, 1),
            ("limits.strangers_per_address", self.limits.strangers_per_address as u64, 1),
            ("limits.header_s", self.limits.header_s, 1),
            ("limits.request_s", self.limits.request_s, MAX_WAIT_S + 1),
            ("limits.batches", self.limits.batches as u64, 1),
            ("limits.failures_per_minute", u64::from(self.limits.failures_per_minute), 1),
            ("limits.stop_s", self.limits.stop_s, 1),
        ];
        match least.into_iter().find(|(_, value, least)| value < least) {
            Some((key, value, least)) => Err(ConfigError(format!("{key} is {value}; at least {least} is needed"))),
            None => Ok(()),
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

impl Loaded {
    /// Every value, in the order of the keys, with its source.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Ok(value) = self.figment.find_value("") {
            self.flatten("", &value, &mut lines);
        }
        lines
    }

    /// One value as it may be shown: without secrets.
    pub fn shown(&self, key: &str) -> String {
        self.figment.find_value(key).map(|value| shown(key, &value)).unwrap_or_default()
    }

    fn flatten(&self, key: &str, value: &Value, lines: &mut Vec<Line>) {
        if let Value::Dict(_, fields) = value {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                self.flatten(&key, value, lines);
            }
            return;
        }
        let source = match self.figment.get_metadata(value.tag()) {
            Some(metadata) if metadata.name.contains("environment") => {
                format!("environment TAXDISK__{}", key.to_uppercase().replace('.', "__"))
            }
            Some(metadata) => match metadata.source.as_ref().and_then(figment::Source::file_path) {
                Some(path) => path.display().to_string(),
                None if key == "listen.address" && self.listen_given => "command line".to_owned(),
                None => "default".to_owned(),
            },
            None => "default".to_owned(),
        };
        lines.push(Line { key: key.to_owned(), value: shown(key, value), source });
    }
}

fn shown(key: &str, value: &Value) -> String {
    let text = match value {
        Value::String(_, text) => text.clone(),
        other => serde_json::to_value(other).map_or_else(|_| String::new(), |json| json.to_string()),
    };
    // A store's URL may hold a password between `:` and `@`, or as a parameter.
    let text = if key == "store.url" { without_password(&text) } else { text };
    match (key, text.split_once("://"), text.rsplit_once('@')) {
        ("store.url" | "webhooks.proxy", Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        _ => text,
    }
}

/// `postgres:///ledger?password=…` without it.
fn without_password(url: &str) -> String {
    let Some((before, parameters)) = url.split_once('?') else { return url.to_owned() };
    let shown = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if name.contains("password") => format!("{name}=***"),
        _ => parameter.to_owned(),
    };
    format!("{before}?{}", parameters.split('&').map(shown).collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn loaded(text: &str) -> Result<Loaded, ConfigError> {
        load(Some(file(text).path()), &Overrides::default())
    }

    #[test]
    fn values_say_where_they_came_from() {
        let file = file("[link]\nping_s = 5\n[store]\nurl = \"postgres://me:secret@db/ledger\"\n");
        let loaded = load(Some(file.path()), &Overrides { listen: Some("127.0.0.1:0".to_owned()) }).unwrap();
        let find = |key: &str| loaded.lines().into_iter().find(|line| line.key == key).unwrap();
        assert_eq!(loaded.config.link.ping_s, 5);
        assert_eq!(find("link.ping_s").source, std::fs::canonicalize(file.path()).unwrap().display().to_string());
        assert_eq!(find("link.silence_s").source, "default");
        assert_eq!(find("listen.address").source, "command line");
        assert_eq!(find("listen.address").value, "127.0.0.1:0");
        assert_eq!(find("store.url").value, "postgres://***@db/ledger");
        let url = Value::from("postgres:///ledger?host=/run/a&password=geh%40im@1&sslmode=disable");
        assert_eq!(shown("store.url", &url), "postgres:///ledger?host=/run/a&password=***&sslmode=disable");
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for open in ["0.0.0.0:8470", "192.0.2.1:80", "[::]:8470"] {
            let error = loaded(&format!("[listen]\naddress = \"{open}\"")).unwrap_err();
            assert!(error.0.contains("tls.certificate"), "{error}");
        }
        for closed in ["127.0.0.1:8470", "127.9.9.9:1", "[::1]:8470", "[::ffff:127.0.0.1]:8470"] {
            loaded(&format!("[listen]\naddress = \"{closed}\"")).unwrap();
        }
        loaded("[listen]\naddress = \"0.0.0.0:8470\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"").unwrap();
    }

    #[test]
    fn what_is_not_known_or_cannot_work_is_refused() {
        assert!(loaded("[limits]\nconections = 5").unwrap_err().0.contains("conections"));
        assert!(loaded("[limits]\nconnections = \"many\"").unwrap_err().0.contains("connections"));
        assert!(loaded("[link]\nping_s = 60\nsilence_s = 60").unwrap_err().0.contains("silence_s"));
        assert!(loaded("[limits]\nrequest_s = 55").unwrap_err().0.contains("request_s"));
        assert!(loaded("[listen]\naddress = \"localhost\"").unwrap_err().0.contains("listen.address"));
        assert!(
            load(Some(Path::new("/nonexistent/broker.toml")), &Overrides::default()).unwrap_err().0.contains("does not exist")
        );
    }
}
