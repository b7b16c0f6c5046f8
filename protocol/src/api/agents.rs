//! Wire types of agents: how they enrol, for whom they may stand, and how they are shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PauseView;

/// An agent as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// Its id.
    pub agent: String,
    /// What people call the PC.
    pub name: String,
    /// A link is up.
    pub online: bool,
    /// Version of its program.
    #[serde(default)]
    pub version: String,
    /// Disks that it owns.
    pub disks: Vec<String>,
    /// Enrolled at, RFC 3339.
    pub enrolled_at: String,
    /// Last heard, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<String>,
    /// Revoked: its key opens no link.
    #[serde(default)]
    pub revoked: bool,
    /// It enrolled by a code for many and waits until an administrator approves it; its key opens no link before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
    /// The only seller whose disks it may have; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// The only disk that it may have; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// Fingerprint of its key, as the agent shows it too: whoever approves compares them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
    /// What an administrator should know: a journal that went back, a clone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
    /// Its disks are kept from work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseView>,
    /// How it stands with updates; absent while it is away, and for agents of 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<crate::update::AgentUpdate>,
    /// Network address that its link comes from, or came from last; absent where there was none since the broker's start. Behind
    /// a proxy it is the proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Make an enrolment code.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct EnrollmentRequest {
    /// What people call the PC.
    pub name: String,
    /// How long the code is good, seconds; 3600 if left out, at most 7 days, for many at most 1 day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_s: Option<u64>,
    /// The only seller whose disks the agent may have; left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// The only disk that the agent may have; left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// An agent that is there already and gets a new key: its old one opens nothing any more, and it is revoked no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// For so many PCs, instead of one. Each of them waits until it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub many: Option<u32>,
}

/// An enrolment code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrollmentCode {
    /// Shown once.
    pub code: String,
    /// RFC 3339.
    pub expires_at: String,
}

/// What an agent sends to enrol: `POST /v1/agents/enroll`, no API key; the code is the permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrollBody {
    /// The code.
    pub code: String,
    /// Ed25519 public key, base64.
    pub public_key: String,
    /// Version of the agent's program.
    pub version: String,
}

/// Answer to an enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolledBody {
    /// The agent's id from now on.
    pub agent: String,
    /// Id of the broker's ledger.
    pub ledger: String,
    /// It waits until an administrator approves it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
}

/// What an agent sends whose PC gives up: `POST /v1/agents/retire`, no API key; its signature is the permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetireBody {
    /// The agent's id.
    pub agent: String,
    /// By each of its keys, over [`crate::link::retire_message`], base64: in the middle of an exchange it does not know which of
    /// them the broker knows.
    pub signatures: Vec<String>,
}

/// Another name for an agent, or one for an agent that is approved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct AgentName {
    /// What people call the PC, 1 to 100 characters; left out at an approval: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A new tunnel for an agent's link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TunnelBody {
    /// Its name in the path; whoever knows it can use it.
    pub tunnel: String,
}
