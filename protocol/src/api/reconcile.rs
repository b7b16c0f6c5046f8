//! After a ledger went back: what it has still to find out, and what people say of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PairBody, SettleDecision};

/// What a ledger that went back (a restored backup, a lossy failover) has still to find out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ReconcileView {
    /// How often it went back.
    pub generation: u32,
    /// Disks whose numbers are not accounted for yet. Nothing is assigned for their sellers.
    pub disks: Vec<ReconcileDisk>,
    /// Attempts that agents remember and whose serial numbers this ledger has forgotten, or cannot finish yet.
    pub jobs: Vec<ReconcileJob>,
    /// Numbers of unknown origin. A job that asks for the same waits until a person has decided.
    pub numbers: Vec<ReconcileNumber>,
}

/// A disk that was not recounted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReconcileDisk {
    /// Disk.
    pub disk: String,
    /// Seller, if a disk told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// An agent has it now.
    pub online: bool,
    /// The last pairs that the ledger knows, by kind.
    pub since: BTreeMap<String, PairBody>,
}

/// An attempt that an agent remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReconcileJob {
    /// Seller.
    pub seller: String,
    /// Serial number.
    pub serial: String,
    /// Attempt.
    pub attempt: u32,
    /// Disk.
    pub disk: String,
    /// Kind.
    pub kind: String,
    /// `issued`, `voided` or `unsettled`.
    pub result: String,
    /// The invoice, if it was issued or voided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairBody>,
    /// Which agent remembers it; left out: a person said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// A number whose origin nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReconcileNumber {
    /// Disk.
    pub disk: String,
    /// Seller.
    pub seller: String,
    /// Kind.
    pub kind: String,
    /// Code and number.
    pub pair: PairBody,
    /// Status as the disk gave it.
    pub status: String,
    /// The mark in its remark, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Gross amount.
    pub gross: String,
    /// Buyer's name.
    pub buyer: String,
    /// Serial numbers of queued jobs that ask for the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
}

/// Say whose a number of unknown origin is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReconcileNumberRequest {
    /// Disk.
    pub disk: String,
    /// Kind.
    pub kind: String,
    /// Code and number.
    pub pair: PairBody,
    /// Seller and serial number of the job whose invoice it is; left out: it is no job's of this ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// The job was lost with the ledger, and will be sent again. Without it a job that the ledger does not know is refused: a
    /// serial number that is written wrongly would leave the sale without its invoice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
    /// Why; kept in the ledger.
    pub reason: String,
}

/// Seller and serial number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct JobName {
    /// Seller.
    pub seller: String,
    /// Serial number.
    pub serial: String,
}

/// Say what became of a forgotten attempt that is unsettled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReconcileJobRequest {
    /// `issued` or `not_issued`.
    pub decision: SettleDecision,
    /// Which attempt; needed where several of the job are in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// At which disk; needed where two disks have an attempt of the same number in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// The pair that was issued; needed for `issued`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairBody>,
    /// Why; kept in the ledger.
    pub reason: String,
}

/// Let a seller go on although a disk of his was not recounted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ReleaseRequest {
    /// Why no unread number of this disk can be an invoice of a job that is sent again; kept in the ledger.
    pub reason: String,
}
