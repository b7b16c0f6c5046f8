//! Wire types of API keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Submit, read, re-issue and cancel jobs.
    Platform,
    /// Everything.
    Admin,
}

/// What a key may be limited to, inside its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyAction {
    /// Submit jobs.
    Submit,
    /// Read jobs, disks, sellers, events and the rest.
    Read,
    /// Re-issue jobs.
    Reissue,
    /// Cancel jobs.
    Cancel,
    /// Decide what became of an attempt, and of what a ledger that went back does not know.
    Settle,
    /// Pause, drain and resume; ask disks for reports, clears and readings.
    Operate,
    /// Set up webhooks.
    Webhooks,
    /// Set up sellers, issue points, disks, agents and updates.
    Setup,
    /// Make and revoke keys.
    Keys,
    /// Verify the chains.
    Audit,
}

impl KeyAction {
    /// All actions.
    pub const ALL: [KeyAction; 10] = [
        KeyAction::Submit,
        KeyAction::Read,
        KeyAction::Reissue,
        KeyAction::Cancel,
        KeyAction::Settle,
        KeyAction::Operate,
        KeyAction::Webhooks,
        KeyAction::Setup,
        KeyAction::Keys,
        KeyAction::Audit,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyAction::Submit => "submit",
            KeyAction::Read => "read",
            KeyAction::Reissue => "reissue",
            KeyAction::Cancel => "cancel",
            KeyAction::Settle => "settle",
            KeyAction::Operate => "operate",
            KeyAction::Webhooks => "webhooks",
            KeyAction::Setup => "setup",
            KeyAction::Keys => "keys",
            KeyAction::Audit => "audit",
        }
    }
}

/// Not the name of an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no action: submit, read, reissue, cancel, settle, operate, webhooks, setup, keys or audit")]
pub struct NoAction(String);

impl std::str::FromStr for KeyAction {
    type Err = NoAction;

    fn from_str(text: &str) -> Result<KeyAction, NoAction> {
        KeyAction::ALL.into_iter().find(|action| action.as_str() == text).ok_or_else(|| NoAction(text.to_owned()))
    }
}

/// Make an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRequest {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Sellers it is limited to; empty: all.
    #[serde(default)]
    pub sellers: Vec<String>,
    /// Actions that it is limited to, inside its role; empty: all of the role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<KeyAction>,
    /// How long it is good, seconds; for ever if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_s: Option<u64>,
    /// Whose it is: a person of the console. Where a second person is asked for, the key counts as him, and as whoever makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A new API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewKey {
    /// Public half, for lists and logs.
    pub id: String,
    /// The key itself, shown once: `Authorization: Bearer …`.
    pub key: String,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// An API key as lists show it; its secret half is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Public half.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Sellers it is limited to; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sellers: Vec<String>,
    /// Actions that it is limited to; empty: all of its role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<KeyAction>,
    /// When it was used last, within an hour, RFC 3339; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; good for ever if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// RFC 3339; in force if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}
