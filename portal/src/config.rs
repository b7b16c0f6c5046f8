//! The portal's configuration: defaults, then a TOML file, then the environment (`TAXDISK__SECTION__KEY`), then the command line.
//!
//! A key that is not known is an error. Plain HTTP on anything but loopback is refused before a socket is opened.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use taxdisk_protocol::api::DiskTrouble;
use taxdisk_web::keyring::Keyring;

use crate::console::roles::Role;
use crate::core::callback::SCHEDULE_MINUTES;

/// What a portal runs with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Production or test. A store remembers which, and is never opened as the other one.
    pub environment: Environment,
    /// Where it listens.
    pub listen: Listen,
    /// Certificate and key; needed unless it listens on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// What it keeps.
    pub store: Store,
    /// What belongs to production and what to test; both name the same one.
    pub registry: Registry,
    /// The broker behind it.
    pub broker: Broker,
    /// Callbacks to merchants.
    pub callbacks: Callbacks,
    /// Messages to people: when they are tried again, and how many at once.
    pub deliveries: Deliveries,
    /// Mail. Left out: none is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<Mail>,
    /// Short messages. Left out: none is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sms: Option<Sms>,
    /// WeChat card packs. Left out: none is touched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wechat: Option<Wechat>,
    /// Public links to invoices.
    pub links: Links,
    /// The merchants' console.
    pub console: Console,
    /// How long invoices are kept whose buyer asks for their removal.
    pub retention: Retention,
    /// Limits of the edge.
    pub limits: Limits,
    /// What is written to standard error, as `info` or `taxdisk_portal=debug`.
    pub log: Log,
}

/// The merchants' console under `/console`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Whoever has one of these roles sets up a second factor before he reaches any page but his own.
    pub require_second_factor: Vec<Role>,
}

/// How long invoices are kept whose buyer asks for their removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days since the last change of an issued invoice.
    pub issued_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { issued_days: 3653 }
    }
}

/// Production or test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Legal invoices.
    #[default]
    Production,
    /// Simulated disks; everything that is shown says so.
    Test,
}

impl Environment {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Environment::Production => "production",
            Environment::Test => "test",
        }
    }
}

/// Where the portal listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// IP address and port; port 0 takes a free one.
    pub address: String,
    /// How consumers and merchants reach it, for links; the bound address if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
}

impl Default for Listen {
    fn default() -> Self {
        Listen { address: "127.0.0.1:8480".to_owned(), public_url: None }
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
}

/// What the portal keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite:/path/to/portal.db`, or `postgres://user@host/database`.
    pub url: String,
    /// Keys that second factors are sealed with: a file, or `credential:NAME` for one of systemd. Left out: they are not sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
}

impl Store {
    /// The keys of [`Store::key_file`].
    ///
    /// # Errors
    /// Says what is wrong with the file, and what mends it.
    pub fn keys(&self) -> Result<Keyring, ConfigError> {
        let Some(setting) = &self.key_file else { return Ok(Keyring::default()) };
        Keyring::load(setting).map_err(|error| ConfigError(error.to_string()))
    }
}

impl Default for Store {
    fn default() -> Self {
        Store { url: "sqlite:/var/lib/taxdisk-portal/portal.db".to_owned(), key_file: None }
    }
}

/// The registry of credentials, which the portals of both environments share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// `sqlite:/path/to/credentials.db`, or `postgres://user@host/database`. Left out: there is one environment only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The broker behind the portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Its HTTP API.
    pub url: String,
    /// File with a key of the role platform (administrator, if the portal shall know the disks' limits).
    pub key_file: PathBuf,
    /// Where the broker reaches this portal for its webhooks; the bound address if left out. `""`: by asking alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// PEM: authorities instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM: a certificate for a broker that asks callers for one (`tls.client_authority` there), and its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    /// PEM: its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// Calls to the broker at the same time.
    pub concurrency: usize,
    /// How often the disks are asked for, seconds.
    pub disks_s: u64,
    /// Policy of a seller that the broker does not know yet: what waits for a disk fails after so many seconds.
    pub fail_after_s: u32,
}

impl Default for Broker {
    fn default() -> Self {
        Broker {
            url: "http://127.0.0.1:8470".to_owned(),
            key_file: PathBuf::from("/etc/taxdisk/portal.key"),
            webhook_url: None,
            ca_file: None,
            client_certificate: None,
            client_key: None,
            concurrency: 32,
            disks_s: 15,
            fail_after_s: 30 * 60,
        }
    }
}

/// Callbacks to merchants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Callbacks {
    /// `http://` too: everybody on the way reads the invoices.
    pub allow_http: bool,
    /// Private networks that may be called all the same, as `10.1.0.0/16`.
    pub allow_networks: Vec<String>,
    /// PEM: authorities instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Waits between attempts, seconds. The default is published; other values are for tests.
    pub schedule_s: Vec<u64>,
    /// Connection and answer together, seconds (published: 10).
    pub limit_s: u64,
    /// Callbacks under way at the same time.
    pub concurrency: usize,
}

impl Default for Callbacks {
    fn default() -> Self {
        Callbacks {
            allow_http: false,
            allow_networks: Vec::new(),
            ca_file: None,
            schedule_s: SCHEDULE_MINUTES.iter().map(|minutes| minutes * 60).collect(),
            limit_s: 10,
            concurrency: 32,
        }
    }
}

/// Limits of the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections. When there are so many, the one that has been open longest without a signature, key or session is cut
    /// off for the next.
    pub connections: usize,
    /// Of them, those of one address that have shown no signature, key or session; more of them push out each other. Behind a
    /// proxy all consumers are one address.
    pub strangers_per_address: usize,
    /// Body of a request, bytes.
    pub body_bytes: usize,
    /// Head and body of a request must be there within so many seconds.
    pub read_s: u64,
    /// An answer is given within so many seconds, as `9999` if need be. Old clients give up after 30.
    pub request_s: u64,
    /// Signed requests of one appid in the long run, a second.
    pub appid_requests_per_s: u32,
    /// Signed requests of one appid at once, after a rest.
    pub appid_burst_requests: u32,
    /// Scans of offline codes from one address in the long run, a minute; a burst of as many after a rest.
    pub scans_per_min: u32,
    /// Searches (`/find`) from one address in the long run, a minute; a burst of ten minutes' worth after a rest.
    pub finds_per_min: u32,
    /// Searches (`/find`) from all addresses together, a minute; a burst of as many after a rest.
    pub all_finds_per_min: u32,
    /// Reservations that are sent from one address in the long run, a minute; a burst of as many after a rest.
    pub reserves_per_min: u32,
    /// Reservations from all addresses together, a minute; a burst of as many after a rest.
    pub all_reserves_per_min: u32,
    /// How long running requests may end when the portal stops, seconds.
    pub stop_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 2000,
            strangers_per_address: 1000,
            body_bytes: 4 << 20,
            read_s: 15,
            request_s: 20,
            appid_requests_per_s: 200,
            appid_burst_requests: 400,
            // A shop's whole network, or a mobile operator's, may be one address.
            scans_per_min: 240,
            finds_per_min: 2,
            all_finds_per_min: 120,
            // A hotel's guests come through its network: a bus of them is one address.
            reserves_per_min: 60,
            all_reserves_per_min: 600,
            stop_s: 10,
        }
    }
}

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Filter.
    pub filter: String,
    /// JSON lines instead of lines for people.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Log { filter: "info".to_owned(), json: false }
    }
}

/// A configuration that cannot be used; names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Reads and checks a configuration.
///
/// # Errors
/// A file that is not there, a key that is not known, a value that cannot work.
pub fn load(file: Option<&Path>, listen: Option<String>) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = file {
        if !file.exists() {
            return Err(ConfigError(format!("{} does not exist", file.display())));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    figment = figment.merge(Env::prefixed("TAXDISK__").split("__"));
    if let Some(listen) = listen {
        figment = figment.merge(Serialized::default("listen.address", listen));
    }
    let config: Config = figment.extract().map_err(|error| ConfigError(error.to_string()))?;
    config.check()?;
    Ok(config)
}

impl Config {
    /// The bound address, parsed.
    ///
    /// # Errors
    /// It is none.
    pub fn address(&self) -> Result<SocketAddr, ConfigError> {
        let address = &self.listen.address;
        address.parse().map_err(|_| ConfigError(format!("listen.address: {address:?} is no IP address and port")))
    }

    /// How long an answer may take.
    pub fn request_limit(&self) -> Duration {
        Duration::from_secs(self.limits.request_s)
    }

    /// Private networks that may be called, parsed.
    ///
    /// # Errors
    /// One of them is none.
    pub fn callback_networks(&self) -> Result<Vec<ipnet::IpNet>, ConfigError> {
        let wrong = |text: &str| ConfigError(format!("callbacks.allow_networks: {text:?} is no network like 10.1.0.0/16"));
        self.callbacks.allow_networks.iter().map(|text| text.parse().map_err(|_| wrong(text))).collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let address = self.address()?;
        self.callback_networks()?;
        if self.tls.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(ConfigError("tls.certificate and tls.key are needed unless it listens on loopback".to_owned()));
        }
        self.check_deliveries()?;
        let least = [
            ("broker.concurrency", self.broker.concurrency as u64),
            ("broker.disks_s", self.broker.disks_s),
            ("broker.fail_after_s", u64::from(self.broker.fail_after_s)),
            ("callbacks.concurrency", self.callbacks.concurrency as u64),
            ("callbacks.limit_s", self.callbacks.limit_s),
            ("deliveries.concurrency", self.deliveries.concurrency as u64),
            ("links.valid_days", u64::from(self.links.valid_days)),
            ("links.code_valid_days", u64::from(self.links.code_valid_days)),
            ("limits.connections", self.limits.connections as u64),
            ("limits.strangers_per_address", self.limits.strangers_per_address as u64),
            ("limits.body_bytes", self.limits.body_bytes as u64),
            ("limits.read_s", self.limits.read_s),
            ("limits.request_s", self.limits.request_s),
            ("limits.appid_requests_per_s", u64::from(self.limits.appid_requests_per_s)),
            ("limits.appid_burst_requests", u64::from(self.limits.appid_burst_requests)),
            ("limits.scans_per_min", u64::from(self.limits.scans_per_min)),
            ("limits.finds_per_min", u64::from(self.limits.finds_per_min)),
            ("limits.all_finds_per_min", u64::from(self.limits.all_finds_per_min)),
            ("limits.reserves_per_min", u64::from(self.limits.reserves_per_min)),
            ("limits.all_reserves_per_min", u64::from(self.limits.all_reserves_per_min)),
        ];
        if self.broker.fail_after_s > DiskTrouble::FAIL_AFTER_MAX_S {
            return Err(ConfigError(format!("broker.fail_after_s is at most {} (30 days)", DiskTrouble::FAIL_AFTER_MAX_S)));
        }
        match least.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(ConfigError(format!("{key} must be above 0"))),
            None => Ok(()),
        }
    }
}

mod deliveries;

pub use deliveries::{Deliveries, Language, Links, Mail, Security, Sms, Wechat};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portal.toml");
        std::fs::write(&file, text).unwrap();
        load(Some(&file), None)
    }

    #[test]
    fn what_is_not_known_or_cannot_work_is_refused() {
        assert!(loaded("[limits]\nconections = 5").unwrap_err().0.contains("conections"));
        assert!(loaded("[listen]\naddress = \"localhost\"").unwrap_err().0.contains("listen.address"));
        assert!(loaded("[listen]\naddress = \"0.0.0.0:1\"").unwrap_err().0.contains("tls.certificate"));
        assert!(loaded("[callbacks]\nlimit_s = 0").unwrap_err().0.contains("callbacks.limit_s"));
        assert!(load(Some(Path::new("/nonexistent.toml")), None).unwrap_err().0.contains("does not exist"));
        let config = loaded("environment = \"test\"").unwrap();
        assert_eq!(config.environment, Environment::Test);
        assert_eq!(config.callbacks.schedule_s[..3], [60, 600, 600]);
    }
}
