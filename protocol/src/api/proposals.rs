//! What waits for a second person, where a broker asks for one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BulkFilter, ReconcileJobRequest, ReconcileNumberRequest, SettleRequest};

/// Something that one person asked for and another one must confirm before it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalView {
    /// Its id.
    pub id: String,
    /// Who asked: a key's id, or `console:NAME`.
    pub by: String,
    /// RFC 3339.
    pub at: String,
    /// After this moment nobody confirms it any more. RFC 3339.
    pub expires_at: String,
    /// Why.
    pub reason: String,
    /// What is to be done.
    pub what: Proposed,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Proposed {
    /// A decision on an unsettled job.
    Settle {
        /// Seller of the job.
        seller: String,
        /// Its serial number.
        serial: String,
        /// The decision.
        request: SettleRequest,
    },
    /// A bulk re-issue.
    BulkReissue {
        /// The caller's key of it.
        key: String,
        /// Which jobs.
        filter: BulkFilter,
    },
    /// Whose a number of unknown origin is, after a restore.
    ReconcileNumber {
        /// The decision.
        request: ReconcileNumberRequest,
    },
    /// What became of an attempt that an agent remembers as unsettled, after a restore.
    ReconcileJob {
        /// Seller of the job.
        seller: String,
        /// Its serial number.
        serial: String,
        /// The decision.
        request: ReconcileJobRequest,
    },
    /// A disk is let go unread, after a restore.
    ReleaseUnread {
        /// The number inside the disk.
        disk: String,
    },
}

/// Why a proposal is declined or withdrawn; kept in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DeclineRequest {
    /// Why.
    pub reason: String,
}
