//! The agent's configuration: one TOML file, every value overridable by environment (`TAXDISK__BROKER__URL`), checked once
//! at the edge. After [`Config::load`] only usable values exist.
//!
//! It holds no secret: passwords of disks live in [`crate::secrets`], the agent's key in [`crate::identity`].

mod card;
mod component;
mod disk;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use taxdisk_drivers::profile::{DEFAULT_DIR as DEFAULT_PROFILES_DIR, Profiles};
use taxdisk_telemetry::Traces;

use crate::failure::Failure;

pub use card::{CardSection, CardSetup};
pub use component::{IssuingSection, SkServerSection, SkServerSetup};
pub use disk::{DIALECTS, DiskConfig, MAX_LINES, SPEEDS, Setup};

/// Where the configuration is looked for when nobody says otherwise.
pub const DEFAULT_PATH: &str = crate::platform::DEFAULT_CONFIG;
/// Where the agent keeps its state when nobody says otherwise.
pub const DEFAULT_STATE_DIR: &str = crate::platform::DEFAULT_STATE_DIR;
/// The most keys of releases: the one that signs, and those that follow it.
pub const MAX_UPDATE_KEYS: usize = 8;
/// The most disks of one PC. Each has a thread; a PC has a handful of ports.
pub const MAX_DISKS: usize = 32;
/// The most other brokers that an agent knows. A ledger has two or three brokers.
pub const MAX_OTHERS: usize = 8;
/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The broker.
    pub broker: BrokerConfig,
    /// State of the agent.
    pub state: StateConfig,
    /// The status page.
    pub status: StatusConfig,
    /// Updates.
    pub update: UpdateConfig,
    /// Logs.
    pub log: LogConfig,
    /// Where spans of jobs are sent.
    pub traces: Traces,
    /// Device profiles.
    pub profiles: ProfilesConfig,
    /// Disks at this PC.
    pub disk: Vec<DiskConfig>,
    /// The profiles, read.
    #[serde(skip)]
    pub known: Profiles,
}

/// Device profiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfilesConfig {
    /// Folder of this PC's own profiles (`*.toml`). Only the usual one may be missing.
    pub dir: PathBuf,
}

impl Default for ProfilesConfig {
    fn default() -> ProfilesConfig {
        ProfilesConfig { dir: PathBuf::from(DEFAULT_PROFILES_DIR) }
    }
}

/// The broker. What is left out is taken from the enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerConfig {
    /// `https://host[:port]`, or `http://` on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Addresses of more brokers of the same ledger, where several share one: tried in turn, each after the one before it, when
    /// there is no link.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// PEM file of the certificate authority that alone is trusted; left out: what the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// HTTP proxy on the way: `http://[user:password@]host:port`, or `none`; left out: what the environment says
    /// (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`). With a password in it, the file must be readable by the agent alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
}

impl BrokerConfig {
    /// The other addresses, parsed.
    ///
    /// # Errors
    /// One cannot be used, or there are too many; a sentence for people.
    pub fn others(&self) -> Result<Vec<BrokerUrl>, String> {
        if self.others.len() > MAX_OTHERS {
            return Err(format!("[broker] others names {} brokers; at most {MAX_OTHERS} are allowed.", self.others.len()));
        }
        let parse = |url: &String| BrokerUrl::parse(url).map_err(|text| format!("[broker] others: {text}"));
        self.others.iter().map(parse).collect()
    }
}

/// State of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// Folder, mode 0700: key, journal, secrets, socket.
    pub dir: PathBuf,
    /// A key that is older gets a successor at the next join, days; 0: never by itself.
    pub key_days: u32,
}

/// See [`StateConfig::key_days`]: a key that was copied unseen is good for so long at most.
const KEY_DAYS: u32 = 90;

impl Default for StateConfig {
    fn default() -> StateConfig {
        // systemd names the folder that it made for `StateDirectory=`.
        let dir = std::env::var("STATE_DIRECTORY").ok().filter(|dir| !dir.is_empty() && !dir.contains(':'));
        StateConfig { dir: dir.map_or_else(|| PathBuf::from(DEFAULT_STATE_DIR), PathBuf::from), key_days: KEY_DAYS }
    }
}

/// The status page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatusConfig {
    /// Loopback address at which a browser of this PC finds it, such as `127.0.0.1:8475`; left out: there is none. Every user of
    /// this PC can look at it: it names the disks and their sellers, and no buyer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<std::net::SocketAddr>,
}

/// Updates of this program by itself. What a package manager installed is never updated here, whatever this says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateConfig {
    /// What the broker offers is taken, if it is signed and newer.
    pub enabled: bool,
    /// Public keys as minisign shows them (`RW…`), of which one must have signed; they replace those that are built in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

impl Default for UpdateConfig {
    fn default() -> UpdateConfig {
        UpdateConfig { enabled: true, keys: Vec::new() }
    }
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A tracing filter: `info`, `debug`, `taxdisk_agent=debug,info`.
    pub level: String,
    /// Lines for people or JSON for programs.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// To the systemd journal, each field by itself; lines for people where standard error is not that journal.
    Journal,
}

impl Config {
    /// Reads file and environment. No `path`: the default one, if it is there.
    ///
    /// # Errors
    /// The file is missing or unreadable, a value is wrong or unknown. The text names file and value.
    pub fn load(path: Option<&Path>, state_dir: Option<&Path>) -> Result<Config, Failure> {
        let text = match path {
            Some(path) => text_of(path, Missing::IsWrong)?,
            None => text_of(Path::new(DEFAULT_PATH), Missing::SaysNothing)?,
        };
        let mut figment = Figment::from(Serialized::defaults(Config::default())).merge(Toml::string(&text));
        let ours = |key: &figment::value::UncasedStr| {
            ["broker__", "state__", "status__", "update__", "log__", "profiles__", "disk"]
                .iter()
                .any(|section| key.as_str().to_ascii_lowercase().starts_with(section))
        };
        figment = figment.merge(Env::prefixed("TAXDISK__").filter(ours).split("__"));
        let mut config: Config = figment.extract().map_err(|error| explain(&error, path))?;
        if let Some(dir) = state_dir {
            config.state.dir = dir.to_owned();
        }
        config.check()?;
        config.take_profiles()?;
        Ok(config)
    }

    /// A disk's usable values.
    pub fn setup(&self, disk: &DiskConfig) -> Setup {
        disk.setup(&self.known).expect("loading the configuration checked every disk")
    }

    fn take_profiles(&mut self) -> Result<(), Failure> {
        let dir = &self.profiles.dir;
        if dir != Path::new(DEFAULT_PROFILES_DIR) && !dir.is_dir() {
            return Err(Failure::config(format!("[profiles] dir = {} is no folder.", dir.display())));
        }
        self.known = Profiles::with_dir(dir).map_err(|error| Failure::config(format!("{error}.")))?;
        for disk in &mut self.disk {
            let setup = disk.setup(&self.known).map_err(Failure::config)?;
            disk.fill(&setup);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        if let Some(url) = &self.broker.url {
            BrokerUrl::parse(url).map_err(|text| Failure::config(format!("[broker] url: {text}")))?;
        }
        self.broker.others().map_err(Failure::config)?;
        if let Some(proxy) = self.broker.proxy.as_deref().filter(|proxy| *proxy != crate::link::proxy::NONE) {
            crate::link::proxy::parse(proxy)?;
        }
        if let Some(page) = self.status.page.filter(|page| !page.ip().is_loopback()) {
            return Err(Failure::config(format!(
                "[status] page = \"{page}\" is no loopback address: the page is for this PC alone, such as 127.0.0.1:8475."
            )));
        }
        if self.update.keys.len() > MAX_UPDATE_KEYS {
            return Err(Failure::config(format!("[update] keys names more than {MAX_UPDATE_KEYS} keys.")));
        }
        self.update.keys.iter().try_for_each(|text| crate::update::key(text).map(drop))?;
        if !self.state.dir.is_absolute() {
            let dir = self.state.dir.display();
            return Err(Failure::config(format!(
                "[state] dir = {dir} must be an absolute path, so that it does not move with the caller."
            )));
        }
        if self.disk.len() > MAX_DISKS {
            return Err(Failure::config(format!(
                "There are {} [[disk]] sections; at most {MAX_DISKS} are allowed.",
                self.disk.len()
            )));
        }
        let mut names = BTreeSet::new();
        for name in self.disk.iter().map(DiskConfig::name) {
            if !names.insert(name.clone()) {
                return Err(Failure::config(format!("Two [[disk]] sections name {name}: remove one.")));
            }
        }
        Ok(())
    }
}

/// What a file that is not there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// Somebody named it.
    IsWrong,
    /// Nobody has set anything: an installer makes the service before a person has written the file.
    SaysNothing,
}

fn text_of(path: &Path, missing: Missing) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if missing == Missing::SaysNothing && error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::config(format!(
            "The configuration {} cannot be read ({error}): correct --config or the file's modes.",
            path.display()
        ))),
    }
}

fn explain(error: &figment::Error, path: Option<&Path>) -> Failure {
    let file = path.map_or_else(|| DEFAULT_PATH.to_owned(), |path| path.display().to_string());
    let mut texts = error.clone().into_iter().map(|one| {
        let key = one.path.join(".");
        let kind = one.kind.to_string();
        // A TOML syntax error brings its own picture of several lines; the first says enough.
        let kind = kind.lines().collect::<Vec<_>>().join(" ");
        if key.is_empty() { kind } else { format!("{key}: {kind}") }
    });
    let first = texts.next().unwrap_or_else(|| "unknown".to_owned());
    Failure::config(format!("The configuration is wrong (file {file} or environment TAXDISK__…): {first}."))
}

/// Where the broker is, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// TLS is used.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl BrokerUrl {
    /// Takes `https://host[:port]` and, on loopback only, `http://host[:port]`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<BrokerUrl, String> {
        let wrong = |why: &str| format!("{text:?} is not a broker's address: {why}; write https://host or https://host:port.");
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong("it does not begin with https://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong("path, query and user name have no place in it"));
        }
        let (host, port) = split_port(rest).ok_or_else(|| wrong("host or port cannot be read"))?;
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b)) {
            return Err(wrong("the host name is missing or holds other than letters, digits, - and ."));
        }
        let url = BrokerUrl { tls, host: host.to_owned(), port: port.unwrap_or(if tls { 443 } else { 80 }) };
        if !tls && !url.is_loopback() {
            return Err(format!(
                "{text:?} is not encrypted: plain http is allowed on this PC itself (127.0.0.1, ::1, localhost) only; use https://."
            ));
        }
        Ok(url)
    }

    /// The host is this PC itself.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// `host:port`, with brackets where an address needs them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    /// The address of a path over HTTP.
    pub fn http(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.tls { "https" } else { "http" }, self.authority())
    }

    /// The address of a path over WebSocket.
    pub fn websocket(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.tls { "wss" } else { "ws" }, self.authority())
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.http(""))
    }
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => None,
        Some((host, port)) => Some((host, Some(port.parse().ok().filter(|port| *port > 0)?))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn load(text: &str) -> Result<Config, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), None)
    }

    #[test]
    fn a_file_that_is_named_must_be_there_and_the_default_one_need_not() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none/agent.toml");
        assert_eq!(text_of(&missing, Missing::SaysNothing).unwrap(), "");
        let refused = Config::load(Some(&missing), None).unwrap_err().text;
        assert!(refused.contains("none/agent.toml") && refused.contains("correct --config"), "{refused}");
        assert!(text_of(dir.path(), Missing::SaysNothing).is_err(), "what is there and cannot be read is not nothing");
    }

    #[test]
    fn a_full_file_is_read_and_defaults_fill_the_rest() {
        let config = load(
            "[broker]\nurl = \"https://broker.example\"\n[state]\ndir = \"/tmp/x\"\n[[disk]]\nport = \"/dev/ttyUSB0\"\n[[disk]]\nport = \"/dev/ttyUSB1\"\nspeed = 57600\nmax_lines = 100\nexclusive = true\n",
        )
        .unwrap();
        assert_eq!(config.broker.url.as_deref(), Some("https://broker.example"));
        assert_eq!(
            config.disk[0],
            DiskConfig {
                port: Some("/dev/ttyUSB0".into()),
                profile: Some("zc-converter".into()),
                dialect: Some("zc".into()),
                speed: Some(9600),
                max_lines: Some(10),
                answer_timeout_ms: Some(30_000),
                ..DiskConfig::default()
            }
        );
        assert!(config.disk[1].exclusive);
        assert_eq!((config.disk[1].speed, config.disk[1].max_lines), (Some(57600), Some(100)));
        assert_eq!(config.setup(&config.disk[1]).profile.name, "zc-converter");
    }

    #[test]
    fn wrong_values_are_refused_with_their_name() {
        for (text, part) in [
            ("[broker]\nurl = \"http://broker.example\"\n", "not encrypted"),
            ("[broker]\nothers = [\"https://a\", \"http://broker.example\"]\n", "not encrypted"),
            (
                "[broker]\nothers = [\"https://a\", \"https://a\", \"https://a\", \"https://a\", \"https://a\", \"https://a\", \"https://a\", \"https://a\", \"https://a\"]\n",
                "at most 8",
            ),
            ("[broker]\nproxy = \"socks5://a:1\"\n", "no HTTP proxy"),
            ("[broker]\nurll = \"https://a\"\n", "urll"),
            ("[state]\ndir = \"x\"\n", "absolute"),
            ("[[disk]]\nport = \"ttyUSB0\"\n", "full path"),
            ("[[disk]]\nport = \"/dev/a\"\n[[disk]]\nport = \"/dev/a\"\n", "Two [[disk]]"),
            ("[[disk]]\nport = \"/dev/a\"\ndialect = \"qd\"\n", "dialect"),
            ("[[disk]]\nport = \"/dev/a\"\nspeed = 9601\n", "speed"),
            ("[[disk]]\nport = \"/dev/a\"\nmax_lines = 0\n", "max_lines"),
            ("[[disk]]\nspeed = 9600\n", "port"),
            ("[update]\nkeys = [\"RWQ\"]\n", "no public key"),
            ("[broker\n", "configuration is wrong"),
            ("[profiles]\ndir = \"/nowhere/profiles.d\"\n", "no folder"),
            ("[[disk]]\nport = \"/dev/a\"\nprofile = \"none\"\n", "no profile"),
        ] {
            let failure = load(text).unwrap_err();
            assert_eq!(failure.exit, crate::failure::Exit::Config, "{text}");
            assert!(failure.text.contains(part), "{text}: {}", failure.text);
            assert!(!failure.text.contains('\n'), "{}", failure.text);
        }
    }

    #[test]
    fn a_folder_of_profiles_is_used_and_a_wrong_one_in_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("till.toml");
        let text = format!("[profiles]\ndir = {:?}\n[[disk]]\nport = \"/dev/a\"\nprofile = \"till\"\n", dir.path());
        std::fs::write(&file, "name = \"till\"\nextends = \"zc-converter\"\nspeeds_baud = [2400]\n").unwrap();
        assert_eq!(load(&text).unwrap().disk[0].speed, Some(2400));
        std::fs::write(&file, "name = \"till\"\nextends = \"zc-converter\"\nspeed = 2400\n").unwrap();
        let failure = load(&text).unwrap_err();
        assert!(failure.text.contains("till.toml") && failure.text.contains("`speed`"), "{}", failure.text);
    }

    #[test]
    fn broker_addresses_are_parsed_strictly() {
        let good = BrokerUrl::parse("https://broker.example:8443/").unwrap();
        assert_eq!(good.websocket("/v1/agents/link"), "wss://broker.example:8443/v1/agents/link");
        assert_eq!(BrokerUrl::parse("http://[::1]:80").unwrap().http("/x"), "http://[::1]:80/x");
        assert_eq!(BrokerUrl::parse("https://a").unwrap().port, 443);
        for bad in [
            "broker.example",
            "https://",
            "https://a/b",
            "https://u@a",
            "http://10.0.0.1",
            "https://a:0",
            "https://a:x",
            "https://::1",
            "ftp://a",
        ] {
            assert!(BrokerUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
