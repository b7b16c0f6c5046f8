//! A job's life, as a pure function of its events (architecture, section 4).
//!
//! [`Job`] is what the events add up to. [`Job::accept`] makes one from its first event, [`Job::apply`] adds one more, and both
//! refuse what the state, the revision or the epoch does not allow (I9). Nothing here knows a clock, a disk or a store.
//!
//! What it refuses to do: to leave `assigned` or `unsettled` for anything but a proof or `unsettled` (I3, I4); to hand a job over
//! while an earlier attempt is not proven (I4); to change the state for a late outcome (it only counts it).
//!
//! Read first: [`Event`], [`Job`], [`Job::apply`].

use serde::{Deserialize, Serialize};

use crate::api::{InvoiceBody, IssuedInvoice, JobProblem, JobState, Operation, PairBody, Priority, SettleProposal, Waiting};
use crate::class::DeviceClass;
use crate::hash::Fields;
use crate::ids::{AgentId, DiskNumber, IssuePoint, JobKey};
use crate::kind::InvoiceKind;
use crate::number::NumberPair;
use crate::time::Timestamp;
use crate::trace::Traceparent;
use crate::undo::{About, Link, LinkState};

mod apply;
mod event;
mod view;

#[cfg(test)]
mod tests;

pub use apply::TransitionError;
pub use event::{Event, EvidenceKind, NewContent, Next, Origin, What};

/// Attempts of one generation of the ledger: more than any job can have (20 re-issues a day and a disk's troubles between
/// them). A ledger that went back numbers its attempts from the next thousand, so that none is numbered twice.
pub const GENERATION_ATTEMPTS: u32 = 1000;
/// A ledger that went back begins its epochs at the next multiple of so many: none of them was given before, and an epoch tells
/// the agent under which generation of the ledger something was assigned.
pub const GENERATION_EPOCHS: u64 = 1_000_000;

/// One version of the content. Hashes are kept for ever, the body only of the newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// SHA-256 over the canonical form, hex.
    pub hash: String,
    /// Short hash of each field.
    pub fields: Fields,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// No outcome yet.
    Open,
    /// A legal invoice exists.
    Issued,
    /// The original is void.
    Voided,
    /// Proven: none exists.
    NotIssued,
    /// Proven: it was never begun.
    GivenBack,
    /// Not known.
    Unsettled,
}

impl AttemptState {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            AttemptState::Open => "open",
            AttemptState::Issued => "issued",
            AttemptState::Voided => "voided",
            AttemptState::NotIssued => "not_issued",
            AttemptState::GivenBack => "given_back",
            AttemptState::Unsettled => "unsettled",
        }
    }

    /// Nobody can say yet whether it issued.
    pub fn is_open(self) -> bool {
        matches!(self, AttemptState::Open | AttemptState::Unsettled)
    }
}

/// One hand-over of the job to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Rises with every attempt of the job, from 1; after the ledger went back, from the next thousand.
    pub attempt: u32,
    /// Disk.
    pub disk: DiskNumber,
    /// Agent that owned the disk.
    pub agent: AgentId,
    /// Epoch under which it did.
    pub epoch: u64,
    /// Assign sequence of the disk.
    pub sequence: u64,
    /// Version of the content, from 1.
    pub version: u32,
    /// Handed over.
    pub assigned_at: Timestamp,
    /// The agent's intent was durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The last outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The journalled pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<NumberPair>,
    /// A pair that a late outcome names and that the disk's owner has not read yet. While it is here the job is not handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<NumberPair>,
    /// How it stands.
    pub state: AttemptState,
    /// That it issued was found by reading the disk, not by a clean answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Class of the trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DeviceClass>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Milliseconds of the disk's own commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_ms: Option<u64>,
}

/// Re-issues counted on one day, so that a caller in a loop is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReissueCount {
    /// Day (UTC) since 1970-01-01.
    pub day: i64,
    /// On that day.
    pub count: u32,
}

/// A job, folded from its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Seller and serial number.
    pub key: JobKey,
    /// What it asks.
    pub operation: Operation,
    /// Kind.
    pub kind: InvoiceKind,
    /// Who issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_point: Option<IssuePoint>,
    /// How urgent.
    pub priority: Priority,
    /// The invoice that a void or red is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<PairBody>,
    /// What it was found to be about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// The void and red jobs that are about this one's invoice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Place in the queue: rises with every acceptance of the ledger. A job that comes back keeps it.
    pub place: u64,
    /// State.
    pub state: JobState,
    /// Counts the events, from 1.
    pub revision: u64,
    /// All versions of the content, oldest first; never empty.
    pub versions: Vec<Version>,
    /// Body of the newest version, until the retention time ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceBody>,
    /// Our mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Whose way it is on, for whoever looks on: the first submission's, for ever. Its span is the acceptance.
    #[serde(default, deserialize_with = "crate::trace::lenient", skip_serializing_if = "Option::is_none")]
    pub trace: Option<Traceparent>,
    /// Why it was queued (again); what it waits for now is shown by the broker, which knows the disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// A caller wants it withdrawn as soon as it is proven not issued.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_asked: bool,
    /// A decision by the tax office's record, which a second person must confirm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<SettleProposal>,
    /// Hand-overs, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The legal invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedInvoice>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<JobProblem>,
    /// Evidence that was kept.
    #[serde(default)]
    pub evidence_count: u32,
    /// Re-issues today.
    #[serde(default)]
    pub reissues: ReissueCount,
    /// The last bulk re-issue that took this job: the same one takes it once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<String>,
    /// Accepted.
    pub accepted_at: Timestamp,
    /// Last event.
    pub changed_at: Timestamp,
}

impl Job {
    /// The newest version.
    pub fn version(&self) -> &Version {
        self.versions.last().expect("a job is made with one version and versions are never removed")
    }

    /// Was this content ever this job's?
    pub fn had_content(&self, hash: &str) -> bool {
        self.versions.iter().any(|version| version.hash == hash)
    }

    /// An attempt by its number.
    pub fn attempt(&self, attempt: u32) -> Option<&Attempt> {
        self.attempts.iter().find(|found| found.attempt == attempt)
    }

    /// The one attempt of which nobody can say yet whether it issued.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        self.attempts.last().filter(|attempt| attempt.state.is_open())
    }

    /// Every attempt so far is proven not to have issued, and no late outcome says otherwise. Only then may a new one begin (I4).
    pub fn is_proven_not_issued(&self) -> bool {
        self.issued.is_none()
            && !self.state.is_done()
            && self.attempts.iter().all(|attempt| {
                matches!(attempt.state, AttemptState::NotIssued | AttemptState::GivenBack) && attempt.named.is_none()
            })
    }

    /// Whether this job may still void or reverse its original, or did.
    pub fn counts_against_original(&self) -> bool {
        self.operation != Operation::Issue && (self.state.is_done() || self.is_live())
    }

    /// How it stands to its original.
    pub fn link_state(&self) -> LinkState {
        match (self.state.is_done(), self.is_live()) {
            (true, _) => LinkState::Done,
            (false, true) => LinkState::Open,
            (false, false) => LinkState::Gone,
        }
    }

    /// Something can still happen to it by itself: it has not ended, or a late outcome must still be read.
    pub fn is_live(&self) -> bool {
        !self.state.is_terminal() || self.is_doubted()
    }

    /// A late outcome names a pair that the disk's owner has not read yet.
    pub fn is_doubted(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.named.is_some())
    }
}
