//! What people decide of a job that reading the disk could not decide.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PairBody;

/// An administrator's decision on an unsettled job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettleRequest {
    /// `issued` or `not_issued`.
    pub decision: SettleDecision,
    /// The pair that was issued; needed for `issued`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairBody>,
    /// First reading: the disk's current pair, as seen.
    pub current: PairBody,
    /// Second reading: what the disk says about the expected pair; for a dead disk, what the tax office's record says.
    pub expected: SettleReading,
    /// The disk is dead, and the second reading is the tax office's record: where it was looked up, and what it says. Then a
    /// second person, with another key, must send the same decision before anything is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_office: Option<String>,
    /// Why; kept in the ledger.
    pub reason: String,
    /// Revision of the job that the administrator looked at.
    pub revision: u64,
}

/// A decision by the tax office's record that waits for a second person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettleProposal {
    /// Key of the first person.
    pub by: String,
    /// RFC 3339.
    pub at: String,
    /// What is decided.
    pub decision: SettleDecision,
    /// The pair that was issued, for `issued`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairBody>,
    /// What the record says.
    pub tax_office: String,
    /// Why.
    pub reason: String,
}

/// What an administrator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettleDecision {
    /// The invoice exists; of a void job: its original is void.
    Issued,
    /// It does not; of a void job: its original is valid.
    NotIssued,
}

/// What the disk says about a pair, as a person read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettleReading {
    /// The number is there and it is this job's.
    PresentOurs,
    /// The number is there and it is somebody else's.
    PresentForeign,
    /// The disk has no such invoice.
    Absent,
    /// Of a void job: the original is void.
    Void,
    /// Of a void job: the original is valid.
    Valid,
}
