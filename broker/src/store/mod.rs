//! What is durable. A store keeps what the core decided, whole commits or nothing, and decides nothing itself.
//!
//! The table of events is append-only and chained by hash per seller ([`chain`]); everything else can be rebuilt from it and is
//! written in the same transaction for now. Two stores behind one trait pass one suite (`conformance`):
//! [`sqlite`] embedded, [`postgres`] for several brokers.
//!
//! It refuses a commit whose guards do not hold ([`StoreError::Stale`]) and then leaves nothing behind. It never repeats a
//! commit.
//!
//! Read first: [`Store`].

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use taxdisk_protocol::api::EvidenceView;
use taxdisk_protocol::chain::StoredEntry;
use taxdisk_protocol::event::DeliveryState;
use taxdisk_protocol::ids::{JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Event, Job};
use taxdisk_protocol::link::Owner;
use taxdisk_protocol::time::Timestamp;
use taxdisk_web::keyring::Shut;

use crate::core::Restored;
use crate::core::change::{Change, NumberKey, OriginalKey};
use crate::core::operations::{OperationFilter, OperationRow};
use crate::core::types::JobFilter;
use crate::core::webhooks::{AnnouncementRow, DeliveryRow, WebhookRow};

pub mod audit;
#[cfg(test)]
mod audit_tests;
pub mod chain;
pub mod check;
#[cfg(test)]
pub(crate) mod conformance;
mod encoding;
pub mod envelope;
mod fold;
pub mod migrate;
pub mod outline;
pub mod postgres;
mod schema;
pub mod sqlite;
pub mod vault;

/// Most jobs of one page.
pub const PAGE_JOBS: u32 = 500;

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A guard of the commit does not hold; nothing was kept. With one writer this is a fault of ours, never of the caller.
    #[error("a guard of the commit does not hold: {0}")]
    Stale(String),
    /// The database failed. After a commit nobody knows whether it is durable: the process must end and read it again.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// What is stored cannot be read: damaged, or written by a newer version.
    #[error("what is stored cannot be read: {0}")]
    Damaged(String),
    /// A commit would be on one server only, where two were asked for.
    #[error("the database does not keep every commit on a second server: {0}")]
    Unreplicated(String),
    /// Another broker leads this database, or may: nothing was kept. Whatever is in memory here is to be thrown away.
    #[error("another broker leads this database now")]
    Fenced,
    /// A sealed text was not opened: its key is not there, or it is not what was sealed.
    #[error(transparent)]
    Shut(#[from] Shut),
    /// The cursor of a page is not one of ours.
    #[error("this cursor was not made here")]
    Cursor,
}

/// One page of jobs, newest first.
#[derive(Debug, Default)]
pub struct Page {
    /// Jobs.
    pub jobs: Vec<Arc<Job>>,
    /// For the next page.
    pub cursor: Option<String>,
}

/// Which deliveries of an endpoint, the newest event first. Everything that is given must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// Events before this position.
    pub before: Option<u64>,
    /// This event.
    pub position: Option<u64>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Events at or after.
    pub since: Option<Timestamp>,
    /// Events before.
    pub until: Option<Timestamp>,
}

/// What the broker keeps for ever.
#[async_trait]
pub trait Store: Send + Sync {
    /// Commits everything or nothing, durably when it returns. Called by one writer only.
    async fn commit(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// Everything that the core holds in memory.
    async fn restore(&self) -> Result<Restored, StoreError>;

    /// Is what is read here, and what is in memory, still the newest there is? False once another broker may have written.
    fn leads(&self) -> bool {
        true
    }

    /// Random id of this ledger, made with it.
    fn ledger(&self) -> &str;

    /// Ids that this ledger had before it was restored, oldest first.
    fn ancestors(&self) -> &[String] {
        &[]
    }

    /// Jobs by key; those that are not there are left out.
    async fn jobs_by_key(&self, keys: &[JobKey]) -> Result<HashMap<JobKey, Arc<Job>>, StoreError>;

    /// Owners of numbers; those without one are left out.
    async fn number_owners(&self, numbers: &[NumberKey]) -> Result<HashMap<NumberKey, Owner>, StoreError>;

    /// Void and red jobs by what they are about, in any state; an original without any is left out.
    async fn jobs_about(&self, originals: &[OriginalKey]) -> Result<HashMap<OriginalKey, Vec<Arc<Job>>>, StoreError>;

    /// Operations, newest first, at most `limit`.
    async fn operations(&self, filter: &OperationFilter, limit: u32) -> Result<Vec<OperationRow>, StoreError>;

    /// One job.
    async fn job(&self, key: &JobKey) -> Result<Option<Arc<Job>>, StoreError>;

    /// A page of jobs.
    async fn jobs(&self, filter: &JobFilter, cursor: Option<&str>, limit: u32) -> Result<Page, StoreError>;

    /// All events of a job, oldest first.
    async fn events(&self, key: &JobKey) -> Result<Vec<Event>, StoreError>;

    /// Evidence of a job, oldest first.
    async fn evidence(&self, key: &JobKey) -> Result<Vec<EvidenceView>, StoreError>;

    /// Announcements after a position, oldest first, at most `limit`. A position that is visible has no smaller one that becomes
    /// visible later: a reader that goes on from the last one it saw misses nothing.
    async fn announcements(&self, after: u64, limit: u32) -> Result<Vec<AnnouncementRow>, StoreError>;

    /// The last position that was ever given; 0: none.
    async fn last_announcement(&self) -> Result<u64, StoreError>;

    /// All endpoints, and all deliveries that wait.
    async fn webhooks(&self) -> Result<(Vec<WebhookRow>, Vec<DeliveryRow>), StoreError>;

    /// Deliveries of an endpoint, the newest event first.
    async fn deliveries(&self, webhook: &str, filter: &DeliveryFilter, limit: u32) -> Result<Vec<DeliveryRow>, StoreError>;

    /// The last entry of every chain.
    async fn chains(&self) -> Result<Vec<Head>, StoreError>;

    /// Entries of a chain (`""`: the broker's own) after this sequence, in order, at most `limit`.
    async fn entries(&self, seller: &str, after: i64, limit: u32) -> Result<Vec<StoredEntry>, StoreError>;

    /// Recomputes the chain of a seller (`None`: the broker's own).
    async fn verify(&self, seller: Option<&TaxpayerNumber>) -> Result<chain::Verified, StoreError>;
}

/// A new id for a ledger.
pub(crate) fn fresh_ledger() -> String {
    format!("lg_{}", hex::encode(rand::random::<[u8; 8]>()))
}

/// The last entry of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Seller; empty for the broker's own chain.
    pub seller: String,
    /// Its sequence.
    pub sequence: i64,
    /// Its link, hex.
    pub hash: String,
}

/// The longest evidence list that an answer carries; all of it stays in the store.
pub(crate) const EVIDENCE_VIEWS: i64 = 200;

/// Evidence as the API shows it.
pub(crate) fn evidence_view(event: Event) -> Option<EvidenceView> {
    match event.what {
        taxdisk_protocol::job::What::Evidence { attempt, kind, from, body, .. } => {
            Some(EvidenceView { at: event.at.to_string(), from, attempt, what: kind.as_str().to_owned(), body })
        }
        _ => None,
    }
}
