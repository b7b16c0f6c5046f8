//! Many jobs at once: which, why, and what became of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::JobState;
use crate::class::DeviceClass;

/// Which jobs a bulk re-issue takes. Everything that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BulkFilter {
    /// Of this seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// In one of these states; empty: failed ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<JobState>,
    /// With this code in `problem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// With this class of the device's error in `problem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DeviceClass>,
    /// Of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// With an attempt on this disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// Accepted at or after, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Accepted before, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Serial numbers that begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

/// Re-issue many jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BulkReissueRequest {
    /// The caller's key of this bulk re-issue, 1 to 64 letters, digits and `-_.`: sent twice, it is done once.
    pub key: String,
    /// Which jobs.
    pub filter: BulkFilter,
    /// Why; kept in the ledger with each job.
    pub reason: String,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a bulk re-issue does with one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// The invoice exists: its result is what the caller gets. Nothing is issued.
    Redeliver,
    /// Proven not issued: it is queued again.
    Rerun,
    /// It is queued or handed over. Nothing is done.
    InProgress,
    /// Unknown: the disk is asked, and perhaps a person must settle it.
    NeedsSettling,
    /// It is not done, for the reason that stands beside it.
    Refused,
}

/// One job of a bulk re-issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkLine {
    /// Seller.
    pub seller: String,
    /// Serial number.
    pub serial: String,
    /// State when it was looked at.
    pub state: JobState,
    /// What is done.
    pub action: BulkAction,
    /// Code of the catalogue, where it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A bulk re-issue, or what it would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkView {
    /// The caller's key.
    pub key: String,
    /// Nothing was done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// All jobs were taken.
    pub done: bool,
    /// Which jobs.
    pub filter: BulkFilter,
    /// Why.
    pub reason: String,
    /// Key of who asked.
    pub by: String,
    /// Begun at, RFC 3339.
    pub at: String,
    /// Jobs that were looked at.
    pub jobs: u64,
    /// How many of each.
    pub totals: BTreeMap<BulkAction, u64>,
    /// Refused, by code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
    /// The first thousand jobs; on a dry run only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<BulkLine>,
}
