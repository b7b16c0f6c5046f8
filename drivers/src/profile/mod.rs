//! Device profiles: what a model of device is known by, how it is spoken to, and how long it may think. TOML files; the shipped
//! ones are compiled in (`drivers/profiles`), a folder of the PC extends or changes them.
//!
//! A profile describes; it opens nothing and allows no more than its dialect does. One that is `detection_only` is a name for
//! a device that is never opened and never written to.
//!
//! Read first: [`Profile`], then [`Profiles`], the set that the agent works with.

mod matching;
mod set;

use serde::{Deserialize, Serialize};

use crate::dialects::zc::config::RedSign;

pub use matching::{Pattern, UsbId};
pub use set::{DEFAULT_DIR, FILE_MAX_BYTES, FILES_MAX, ProfileError, Profiles};

/// What goes between the computer and the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A serial port, also over Bluetooth.
    Serial,
    /// USB bulk-only.
    Usb,
    /// A component that answers HTTP.
    Http,
    /// A program that takes a document on standard input and answers on standard output.
    Command,
}

/// How requests are wrapped on the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Serial frames with a CRC, fields of fixed width (type 10).
    ZcFixed,
    /// Serial frames with a CRC around XML documents (type 20).
    ZcXml,
    /// Frames of a fiscal card reader with a sum.
    Card,
    /// USB mass storage bulk-only, profile taxdisk-bot.
    BulkOnly,
    /// One XML document there, one back.
    Document,
}

/// Command languages that profiles can name. [`Dialect::name`] is what a driver calls itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Serial converters.
    Zc,
    /// Fiscal cards behind a reader.
    Card,
    /// 税控开票服务器.
    Skserver,
    /// The 税控盘 component.
    Nisec,
    /// USB disks of the profile taxdisk-bot.
    Bot,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 5] = [Dialect::Zc, Dialect::Card, Dialect::Skserver, Dialect::Nisec, Dialect::Bot];

    /// As in configuration and reports.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Zc => "zc",
            Dialect::Card => "card",
            Dialect::Skserver => "skserver",
            Dialect::Nisec => "nisec",
            Dialect::Bot => "bot",
        }
    }

    /// The dialect of this name.
    pub fn of(name: &str) -> Option<Dialect> {
        Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// Whether the dialect can be spoken with this framing over this transport.
    fn takes(self, transport: Transport, framing: Framing) -> bool {
        match self {
            Dialect::Zc => transport == Transport::Serial && matches!(framing, Framing::ZcFixed | Framing::ZcXml),
            Dialect::Card => (transport, framing) == (Transport::Serial, Framing::Card),
            Dialect::Bot => (transport, framing) == (Transport::Usb, Framing::BulkOnly),
            Dialect::Skserver | Dialect::Nisec => {
                matches!(transport, Transport::Http | Transport::Command) && framing == Framing::Document
            }
        }
    }
}

/// A model of device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Unique name, as in `[[disk]] profile = "…"`.
    pub name: String,
    /// For people.
    pub title: String,
    /// Such a device is shown and never opened; the text says what it needs instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection_only: Option<String>,
    /// Transport.
    pub transport: Transport,
    /// Framing; absent where detection only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framing: Option<Framing>,
    /// Command language; absent where detection only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// What the device is known by.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// Speeds of the line in baud, the usual one first. Serial only.
    #[serde(default)]
    pub speeds_baud: Vec<u32>,
    /// Time limits.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How the model differs from others of its dialect.
    #[serde(default)]
    pub quirks: Quirks,
    /// What opening it needs.
    #[serde(default)]
    pub permissions: Permissions,
}

/// What a device is known by. One hit is enough; an empty match knows nothing, and the device must be configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// `vid:pid` of the device or of the bridge that it is built with. An id does not prove what is behind it.
    pub usb: Vec<UsbId>,
    /// With [`Self::usb`]: serial numbers must be like one of these; empty: any.
    pub usb_serials: Vec<Pattern>,
    /// Names under `/dev/serial/by-id`.
    pub by_id: Vec<Pattern>,
    /// Paths of ports.
    pub ports: Vec<Pattern>,
    /// Addresses of components.
    pub urls: Vec<Pattern>,
    /// Programs (the first word of the command).
    pub commands: Vec<Pattern>,
    /// A device that is known by this match may be asked who it is although nobody configured it. Leave it off unless the
    /// match fits this one model only: what is harmless to a tax disk may not be harmless to what else has such a bridge.
    pub probe: bool,
}

/// Time limits, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// First byte of an answer.
    pub answer_ms: u32,
    /// The same for commands that use the network.
    pub network_ms: u32,
    /// Silence after which a line in doubt is dropped and asked anew.
    pub silence_ms: u32,
    /// The longest that any command may run in the device. Nothing disturbs the device before it has passed.
    pub longest_ms: u32,
}

impl Default for Timeouts {
    /// The published cash register's (device-serial-zc.md, section 4).
    fn default() -> Timeouts {
        Timeouts { answer_ms: 30_000, network_ms: 180_000, silence_ms: 3_500, longest_ms: 180_000 }
    }
}

/// How a model differs from others of its dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// Sign of the amounts of a red invoice.
    pub red_sign: RedSign,
    /// The most lines of one invoice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lines: Option<u16>,
}

/// What opening a device needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Permissions {
    /// The group that may open it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The udev rule that gives it to that group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udev_rule: Option<String>,
}

impl Permissions {
    /// What a person does who may not open the device.
    pub fn advice(&self) -> String {
        match (&self.group, &self.udev_rule) {
            (Some(group), Some(rule)) => format!(
                "add the user that runs this program to the group `{group}` (usermod -aG {group} USER, then restart the program); \
                 if the device is not of that group, put this line into /etc/udev/rules.d/60-taxdisk.rules: {rule}"
            ),
            (Some(group), None) => format!(
                "add the user that runs this program to the group `{group}` (usermod -aG {group} USER, then restart the program)"
            ),
            (None, Some(rule)) => format!("put this line into /etc/udev/rules.d/60-taxdisk.rules: {rule}"),
            (None, None) => "let the user that runs this program open it".to_owned(),
        }
    }
}

/// Names are typed, logged and used as keys.
const NAME_MAX_CHARS: usize = 40;
/// Above an hour, waiting is no time limit any more.
const TIMEOUT_MAX_MS: u32 = 3_600_000;
/// The slowest and the fastest speed that a converter can be set to (device-serial-zc.md, section 1), baud.
const SPEEDS_BAUD: [u32; 9] = [300, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];

impl Profile {
    /// Parses a whole profile.
    ///
    /// # Errors
    /// What is wrong, with line or key.
    pub fn parse(text: &str) -> Result<Profile, String> {
        let profile: Profile = toml::from_str(text).map_err(|error| one_line(&error))?;
        profile.check()?;
        Ok(profile)
    }

    /// Whether the device is shown and never opened.
    pub fn is_detection_only(&self) -> bool {
        self.detection_only.is_some()
    }

    /// The usual speed of its line in baud.
    pub fn speed_baud(&self) -> Option<u32> {
        self.speeds_baud.first().copied()
    }

    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > NAME_MAX_CHARS || !self.name.chars().all(plain) {
            return Err(format!(
                "name = {:?}: a name has 1 to {NAME_MAX_CHARS} lower case letters, digits and hyphens",
                self.name
            ));
        }
        match (self.detection_only.is_some(), self.dialect, self.framing) {
            (true, None, None) if !self.matches.probe => {}
            (true, ..) => {
                return Err(
                    "detection_only: such a device is never spoken to, so dialect, framing and match.probe have no place".into(),
                );
            }
            (false, Some(dialect), Some(framing)) if dialect.takes(self.transport, framing) => {}
            (false, Some(dialect), Some(framing)) => {
                return Err(format!(
                    "dialect = {:?} is not spoken over transport {:?} with framing {framing:?}",
                    dialect.name(),
                    self.transport
                ));
            }
            (false, None, _) => return Err("dialect is missing".into()),
            (false, _, None) => return Err("framing is missing".into()),
        }
        let serial = self.transport == Transport::Serial;
        if !serial && !self.speeds_baud.is_empty() {
            return Err("speeds_baud: only a serial line has a speed".into());
        }
        if serial && self.speeds_baud.is_empty() && self.detection_only.is_none() {
            return Err("speeds_baud is missing".into());
        }
        if let Some(bad) = self.speeds_baud.iter().find(|speed| !SPEEDS_BAUD.contains(speed)) {
            return Err(format!("speeds_baud: {bad} is none of {SPEEDS_BAUD:?}"));
        }
        if !self.matches.usb_serials.is_empty() && self.matches.usb.is_empty() {
            return Err("match.usb_serials: serial numbers alone match nothing, add match.usb".into());
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> Result<(), String> {
        let Timeouts { answer_ms, network_ms, silence_ms, longest_ms } = self.timeouts;
        let times =
            [("answer_ms", answer_ms), ("network_ms", network_ms), ("silence_ms", silence_ms), ("longest_ms", longest_ms)];
        if let Some((key, _)) = times.into_iter().find(|(_, ms)| *ms == 0 || *ms > TIMEOUT_MAX_MS) {
            return Err(format!("timeouts.{key} must be from 1 to {TIMEOUT_MAX_MS}"));
        }
        if longest_ms < answer_ms.max(network_ms) {
            return Err(
                "timeouts.longest_ms must not be below answer_ms and network_ms: a command may run as long as those".into()
            );
        }
        if self.quirks.max_lines.is_some_and(|lines| !(1..=100).contains(&lines)) {
            return Err("quirks.max_lines must be from 1 to 100".into());
        }
        Ok(())
    }
}

/// A TOML error brings a picture of several lines; as one line it keeps line, column and key.
fn one_line(error: &toml::de::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
