//! Updates of the agent: what a release is signed over, what a broker offers, and what an agent says of it.
//!
//! A release is a program and a *manifest*: a small JSON document that names the program's version, target, size and hash. The
//! manifest's text is what is signed (minisign), so that whoever holds a good signature of it needs to trust nobody on the way.
//! This module parses; it checks no signature, and decides about no update.

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The program that manifests here are about.
pub const PRODUCT: &str = "taxdisk-agent";
/// The manifests that this version reads.
pub const FORMAT: u32 = 1;
/// Path of programs on the broker; after it come a word that only linked agents are told, and the file's name.
pub const UPDATES_PATH: &str = "/v1/updates";
/// The longest manifest, bytes. One has some 300.
pub const MANIFEST_MAX_BYTES: usize = 4096;
/// The longest signature with its comments, bytes.
pub const SIGNATURE_MAX_BYTES: usize = 2048;
/// The largest program, bytes. Released ones have some 20 MiB.
pub const PROGRAM_MAX_BYTES: u64 = 256 << 20;
/// The longest name of a channel, characters.
const CHANNEL_MAX: usize = 32;
/// The longest name of a file, characters.
const FILE_MAX: usize = 128;

/// What is signed about a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`]. A reader refuses another one: a later format may mean more than it understands.
    pub format: u32,
    /// [`PRODUCT`].
    pub product: String,
    /// Version of the program, as it says itself.
    pub version: Version,
    /// Channel for which it was released, such as `stable`.
    pub channel: String,
    /// System that it runs on, such as `x86_64-linux`.
    pub target: String,
    /// Name of its file, without a folder.
    pub file: String,
    /// Size of the file.
    pub size_bytes: u64,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// The oldest version that may go to this one directly; its journal is read by this one.
    pub from: Version,
}

impl Manifest {
    /// Reads a manifest's text. Whether it is genuine is for the signature to say.
    ///
    /// # Errors
    /// It is no manifest of this format; a sentence for people.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        if text.len() > MANIFEST_MAX_BYTES {
            return Err(format!("The manifest has {} bytes; at most {MANIFEST_MAX_BYTES} are read.", text.len()));
        }
        let manifest: Manifest = serde_json::from_str(text).map_err(|error| format!("This is no manifest ({error})."))?;
        let wrong = |what: &str| Err(format!("The manifest's {what} cannot be used."));
        match &manifest {
            one if one.format != FORMAT => wrong("format"),
            one if one.product != PRODUCT => wrong("product"),
            one if !is_plain(&one.channel, CHANNEL_MAX) => wrong("channel"),
            one if !is_plain(&one.target, CHANNEL_MAX) => wrong("target"),
            one if !is_plain(&one.file, FILE_MAX) => wrong("file"),
            one if one.size_bytes == 0 || one.size_bytes > PROGRAM_MAX_BYTES => wrong("size"),
            one if one.sha256.len() != 64 || !one.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => wrong("hash"),
            one if one.from > one.version => wrong("oldest version"),
            _ => Ok(manifest),
        }
    }
}

/// Letters, digits, `.`, `-`, `_` and `+`, the first one a letter or digit: a name that leads out of no folder.
fn is_plain(text: &str, max: usize) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || ".-_+".contains(c);
    text.len() <= max && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(rest)
}

/// The system that this program was built for.
pub fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Which updates agents are offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdatePolicy {
    /// Channel of the releases.
    pub channel: String,
    /// Versions that may be offered, as Cargo writes ranges: `*`, `^0.2`, `>=0.2.1, <0.4`.
    pub versions: String,
    /// Agents to which it is offered; empty: all. A few first, then the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
}

impl UpdatePolicy {
    /// The most agents that can be named. More are a fleet, and a fleet is all of them.
    pub const AGENTS_MAX: usize = 1000;

    /// The range.
    ///
    /// # Errors
    /// A value cannot be used; what is wrong with which, for people.
    pub fn range(&self) -> Result<VersionReq, String> {
        if !is_plain(&self.channel, CHANNEL_MAX) {
            return Err(format!("channel: {:?} is no name of a channel, such as stable", self.channel));
        }
        if self.agents.len() > UpdatePolicy::AGENTS_MAX {
            return Err(format!("agents: at most {} can be named", UpdatePolicy::AGENTS_MAX));
        }
        self.versions.parse().map_err(|error| format!("versions: {:?} is no range such as ^0.2 ({error})", self.versions))
    }
}

/// A program that an agent may go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateOffer {
    /// The manifest's text, byte for byte as it was signed.
    pub manifest: String,
    /// Its signature, as minisign writes it.
    pub signature: String,
    /// Where the program is on this broker.
    pub path: String,
}

/// What an agent does about updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdateState {
    /// It takes none.
    Off,
    /// Nothing newer is offered.
    Current,
    /// The program is being fetched.
    Fetching,
    /// The program is there and waits for a quiet moment.
    Waiting,
    /// What is offered cannot be taken, or was tried and did not work.
    Failed,
}

impl UpdateState {
    /// All of them.
    pub const ALL: [UpdateState; 5] =
        [UpdateState::Off, UpdateState::Current, UpdateState::Fetching, UpdateState::Waiting, UpdateState::Failed];

    /// Its name in JSON and in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            UpdateState::Off => "off",
            UpdateState::Current => "current",
            UpdateState::Fetching => "fetching",
            UpdateState::Waiting => "waiting",
            UpdateState::Failed => "failed",
        }
    }
}

/// What an agent says about updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentUpdate {
    /// System that it runs on.
    pub target: String,
    /// What it does.
    pub state: UpdateState,
    /// The version that this is about, if one was offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Versions that it tried and left. They are not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedVersion>,
}

/// A version that was tried and left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedVersion {
    /// Which.
    pub version: String,
    /// When, RFC 3339.
    pub at: String,
    /// Why, for people.
    pub reason: String,
}

/// Updates as the API shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdatesView {
    /// What is offered; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<UpdatePolicy>,
    /// Programs in the broker's folder.
    pub releases: Vec<ReleaseView>,
    /// Files of that folder that cannot be offered, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<String>,
}

/// A program that the broker has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseView {
    /// Version.
    pub version: String,
    /// Channel.
    pub channel: String,
    /// System.
    pub target: String,
    /// Size of the program.
    pub size_bytes: u64,
    /// The policy offers it to agents of this target that have an older version.
    pub offered: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str = r#"{"format":1,"product":"taxdisk-agent","version":"0.2.0","channel":"stable","target":"x86_64-linux",
        "file":"taxdisk-agent-0.2.0-x86_64-linux","size_bytes":7,"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","from":"0.1.0"}"#;

    #[test]
    fn a_manifest_is_read_and_each_value_that_could_lead_astray_is_refused() {
        let good = Manifest::parse(GOOD).unwrap();
        assert_eq!((good.version, good.from), (Version::new(0, 2, 0), Version::new(0, 1, 0)));
        for (from, to) in [
            ("\"format\":1", "\"format\":2"),
            ("taxdisk-agent\",\"version", "taxdisk-broker\",\"version"),
            ("\"stable\"", "\"\""),
            ("\"x86_64-linux\"", "\"x86_64/linux\""),
            ("taxdisk-agent-0.2.0", "../taxdisk-agent-0.2.0"),
            ("taxdisk-agent-0.2.0", ".taxdisk-agent-0.2.0"),
            ("\"size_bytes\":7", "\"size_bytes\":0"),
            ("\"size_bytes\":7", "\"size_bytes\":268435457"),
            ("0123456789abcdef\"", "0123456789abcdeg\""),
            ("0123456789abcdef\"", "\""),
            ("\"from\":\"0.1.0\"", "\"from\":\"0.3.0\""),
            ("\"version\":\"0.2.0\"", "\"version\":\"two\""),
        ] {
            assert!(GOOD.contains(from), "{from}");
            assert!(Manifest::parse(&GOOD.replacen(from, to, 1)).is_err(), "{to}");
        }
        assert!(Manifest::parse(&format!("{GOOD}{}", " ".repeat(MANIFEST_MAX_BYTES))).unwrap_err().contains("bytes"));
    }

    #[test]
    fn a_policy_names_a_channel_and_a_range() {
        let policy = |channel: &str, versions: &str| UpdatePolicy {
            channel: channel.to_owned(),
            versions: versions.to_owned(),
            agents: Vec::new(),
        };
        assert!(policy("stable", ">=0.2.1, <0.4").range().unwrap().matches(&Version::new(0, 3, 9)));
        assert!(policy("", "*").range().unwrap_err().starts_with("channel"));
        assert!(policy("stable", "newest").range().unwrap_err().starts_with("versions"));
        let many = UpdatePolicy { agents: vec![String::new(); UpdatePolicy::AGENTS_MAX + 1], ..policy("stable", "*") };
        assert!(many.range().unwrap_err().starts_with("agents"));
    }
}
