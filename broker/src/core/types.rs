//! What the edge hands in and gets back: plain values, no behaviour.

use serde::{Deserialize, Serialize};
use taxdisk_protocol::api::{JobState, JobView, KeyAction, Role, Severity, Waiting, WarningCode};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::error::{Breach, Code, Difference, Issued, Problem};
use taxdisk_protocol::ids::{AgentId, DiskNumber, JobKey, SerialNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::JournalHead;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::time::Timestamp;

use super::change::NumberKey;
use crate::store::vault::Vault;

/// Why something was not done. `code` is of the catalogue in `taxdisk_protocol::error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Code of the catalogue.
    pub code: &'static str,
    /// What happened here, for people.
    pub detail: String,
    /// All broken rules (422).
    pub breaches: Vec<Breach>,
    /// All differing fields (409).
    pub differences: Vec<Difference>,
    /// The job as it is, where one exists.
    pub job: Option<Box<JobView>>,
}

impl Refusal {
    /// A refusal without lists.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Refusal {
        Refusal { code, detail: detail.into(), breaches: Vec::new(), differences: Vec::new(), job: None }
    }

    /// The problem document. Where the job is known, its state says whether an invoice exists.
    pub fn problem(&self) -> Problem {
        let code = Code::from_name(self.code).unwrap_or(Code::Internal);
        let problem = Problem::new(code, self.detail.clone())
            .with_breaches(self.breaches.clone())
            .with_differences(self.differences.clone());
        match &self.job {
            None => problem,
            Some(job) => problem.with_issued(match job.state {
                JobState::Issued => Issued::Yes,
                // A void job makes no invoice.
                JobState::Queued | JobState::Voided | JobState::Failed | JobState::Cancelled => Issued::No,
                JobState::Assigned | JobState::Unsettled => Issued::Unknown,
            }),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Refusal {}

/// Answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// Accepted now (201).
    New(JobView),
    /// Known with this content (200); `repeated` is set in the view.
    Repeated(JobView),
}

/// Answer to a withdrawal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelAnswer {
    /// The job is cancelled, now or already before (200).
    Cancelled(JobView),
    /// It was handed over; the agent is asked to give it back. The job says how it ends (202).
    Asked(JobView),
}

impl CancelAnswer {
    /// The job, either way.
    pub fn job(&self) -> &JobView {
        match self {
            CancelAnswer::Cancelled(job) | CancelAnswer::Asked(job) => job,
        }
    }
}

/// Until when a long poll waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The job's revision is above this one.
    After(u64),
    /// The job ended: issued, failed or cancelled.
    Ended,
}

/// Which jobs to list, newest first. Everything that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Of these sellers; empty: of all.
    pub sellers: Vec<TaxpayerNumber>,
    /// In one of these states; empty: in any.
    pub states: Vec<JobState>,
    /// Serial numbers that begin so.
    pub serial_prefix: Option<String>,
    /// Of this kind.
    pub kind: Option<InvoiceKind>,
    /// With an attempt on this disk.
    pub disk: Option<DiskNumber>,
    /// Accepted at or after this moment.
    pub since: Option<Timestamp>,
    /// Queued, and for this reason.
    pub waiting: Option<Waiting>,
    /// Accepted before this moment.
    pub until: Option<Timestamp>,
    /// With this code in its problem.
    pub problem: Option<String>,
    /// With this class in its problem.
    pub class: Option<DeviceClass>,
    /// Exactly this serial number.
    pub serial: Option<SerialNumber>,
}

/// One live link of an agent. Never used twice while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What an agent said at its join, after its proof was checked by the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Who.
    pub agent: AgentId,
    /// Version of its program.
    pub version: String,
    /// Journal.
    pub journal: JournalHead,
    /// Join counter.
    pub join: u64,
    /// What it proved, where an edge looked.
    pub key: Option<Proven>,
}

/// What an agent proved of its keys; base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The key that the ledger knew when the agent was asked.
    pub known: String,
    /// The newest that it has; from this join on the only one.
    pub newest: String,
}

/// An accepted join. The edge sends `welcome` with `journal_known` first and then pumps the session's frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The session; hand it back with every frame.
    pub session: SessionId,
    /// For `welcome`.
    pub journal_known: Option<u64>,
    /// For `welcome`: the key that is known from now on.
    pub public_key: String,
}

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The agent said goodbye: nothing is begun after it.
    Goodbye,
    /// Closed, broken or silent: the agent may still run what it has.
    Lost,
}

/// Who calls the API, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Public half of the key, for logs and the audit.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Sellers it is limited to; empty: all.
    pub sellers: Vec<TaxpayerNumber>,
    /// Actions it is limited to, inside its role; empty: all.
    pub actions: Vec<KeyAction>,
    /// Its use was not noted for a while.
    pub unnoted: bool,
}

impl Caller {
    /// May it see and use this seller's jobs?
    pub fn may_use(&self, seller: &TaxpayerNumber) -> bool {
        self.sellers.is_empty() || self.sellers.contains(seller)
    }
}

/// An API key as lists show it; the secret half is never kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// Who it is.
    pub caller: Caller,
    /// Made at.
    pub created_at: Timestamp,
    /// Good until; for ever if absent.
    pub expires_at: Option<Timestamp>,
    /// Revoked at.
    pub revoked_at: Option<Timestamp>,
    /// Used last, within an hour.
    pub used_at: Option<Timestamp>,
}

/// Settings of the ledger that a configuration may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Silence after which another agent may take a disk whose former owner's link broke, milliseconds.
    pub silence_ms: i64,
    /// An assigned job whose agent is away for so long becomes `unsettled`, milliseconds.
    pub away_limit_ms: i64,
    /// Re-issues of one job on one day (UTC).
    pub reissues_per_day: u32,
    /// Open jobs that are held in memory at most; more are refused with `too_many_open_jobs`.
    pub max_open_jobs: usize,
    /// Inputs of one commit at most.
    pub batch_inputs: usize,
    /// Bytes of the inputs of one commit, about, at most.
    pub batch_bytes: usize,
    /// Inputs that wait for the writer at most; more callers wait before the door.
    pub queue_inputs: usize,
    /// Frames that wait for one agent at most; a slower agent's session is closed.
    pub session_frames: usize,
    /// Long polls at one time.
    pub max_waits: usize,
    /// Contents of jobs that ended so many served hours ago end; never if absent.
    pub retain_hours: Option<u64>,
    /// Between two anchors of the chains, seconds.
    pub anchor_s: u64,
    /// Issued invoices are kept for so many days at least, whatever their buyer asks.
    pub keep_issued_days: u32,
    /// What takes two persons.
    pub two_persons: TwoPersons,
    /// What contents are sealed with at rest. The core knows nothing of it; a store is opened with it.
    pub vault: Vault,
}

/// What takes two persons: one proposes, another one confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoPersons {
    /// Decisions on unsettled jobs.
    pub settle: bool,
    /// Bulk re-issues.
    pub bulk_reissue: bool,
    /// What people decide of a ledger that went back.
    pub reconcile: bool,
    /// A proposal can be confirmed for so long, seconds.
    pub valid_s: i64,
}

impl Default for TwoPersons {
    fn default() -> TwoPersons {
        // A day: whoever is on duty tomorrow at the same hour still sees it.
        TwoPersons { settle: false, bulk_reissue: false, reconcile: false, valid_s: 24 * 3600 }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            silence_ms: (taxdisk_protocol::link::SILENCE_S * 1000) as i64,
            // Long enough for a PC to be restarted or a cable to be found, short enough that somebody is told the same hour.
            away_limit_ms: 15 * 60 * 1000,
            reissues_per_day: 20,
            // About 4 KiB each: 2 GiB, far above any queue that a person would let grow.
            max_open_jobs: 500_000,
            // One fsync is shared by so many callers; more would only make the answer later.
            batch_inputs: 1024,
            batch_bytes: 4 * 1024 * 1024,
            queue_inputs: 2048,
            session_frames: 64,
            max_waits: 10_000,
            // Nobody can take the end off a chain that is older than this without being noticed.
            anchor_s: 3600,
            retain_hours: None,
            // Ten years: what accounting rules ask for in most places.
            keep_issued_days: 3653,
            two_persons: TwoPersons::default(),
            vault: Vault::default(),
        }
    }
}

/// A person's word on a number of unknown origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberDecision {
    /// Which.
    pub number: NumberKey,
    /// Whose it is; `None`: nobody's here.
    pub job: Option<JobKey>,
    /// The job may be one that the ledger has forgotten, and that will be sent again.
    pub forgotten: bool,
    /// Why.
    pub reason: String,
}

/// A person's word on a forgotten attempt of which nobody knows whether it issued.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineDecision {
    /// Which attempt; needed where several of the job are in doubt.
    pub attempt: Option<u32>,
    /// At which disk; needed where two disks have one of the same number.
    pub disk: Option<DiskNumber>,
    /// The invoice, if it was issued; it is on the line's disk.
    pub issued: Option<NumberPair>,
    /// Why.
    pub reason: String,
}

/// How much there is of what, for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Queued jobs by the reason that they wait for.
    pub queued: Vec<(Waiting, u64)>,
    /// Jobs at a disk.
    pub assigned: u64,
    /// Unsettled jobs.
    pub unsettled: u64,
    /// Live sessions of agents.
    pub sessions: u64,
    /// Disks that were ever reported.
    pub disks_known: u64,
    /// Disks that answer now.
    pub disks_online: u64,
    /// Disks that several agents claim.
    pub disks_contested: u64,
    /// Disks that are kept from work by a pause.
    pub disks_paused: u64,
    /// Disks that are connected and take no job of any kind for a reason of their own.
    pub disks_troubled: u64,
    /// Seconds that the oldest queued job has waited; 0 without one.
    pub oldest_queued_s: u64,
    /// Operations that wait for their disk.
    pub operations_queued: u64,
    /// Operations that an agent has and has not answered.
    pub operations_running: u64,
    /// Warnings that are up.
    pub warnings: Vec<(WarningCode, Severity, u64)>,
}
