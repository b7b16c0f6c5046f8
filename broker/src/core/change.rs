//! What the core wants kept. A store commits a list of changes whole or not at all.
//!
//! All but jobs travel through serde: the embedded store writes them into its log (`store/sqlite/log.rs`). A field that is added
//! must have a default, so that a log that an older version left is read.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use taxdisk_protocol::api::{
    BulkView, DiskAssignment, DiskReport, IssuePointBody, KeyAction, Role, SellerBody, Severity, WarningCode,
};
use taxdisk_protocol::ids::{AgentId, DiskNumber, IssuePoint, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Event, Job};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::Owner;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::time::Timestamp;
use taxdisk_protocol::update::UpdatePolicy;
use taxdisk_web::signin::factor::Factor;

use super::announcement::Announcement;
use super::operations::OperationRow;
use super::pause::PauseRow;
use super::people::ConsoleRole;
use super::proposals::ProposalRow;
use super::webhooks::{DeliveryRow, WebhookRow};

/// One durable change.
// Nearly all changes are jobs; a box each would only cost an allocation.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// One more event of a job, and the job after it. Guarded: the stored job must be at `event.revision` (0: must not exist).
    /// Never written as it is: the event alone says it all.
    #[serde(skip)]
    Job {
        /// After the event.
        job: Arc<Job>,
        /// The event.
        event: Event,
    },
    /// A seller as it is now.
    Seller(SellerRow),
    /// An issue point as it is now.
    IssuePoint(IssuePointRow),
    /// What a disk said of itself.
    DiskReport(DiskReportRow),
    /// An administrator's word on a disk.
    DiskAssignment(DiskNumber, DiskAssignment),
    /// Epoch and sequence of a disk. Guarded: neither falls.
    DiskFence(DiskFenceRow),
    /// Last accounted pair of a disk and kind.
    Accounted(DiskNumber, InvoiceKind, NumberPair),
    /// A number gets its owner. Guarded: it has none, or this one (I10).
    Number(NumberRow),
    /// An agent as it is now.
    Agent(AgentRow),
    /// A new enrolment code.
    Enrollment(EnrollmentRow),
    /// A code is used. Guarded: it exists and was not used.
    EnrollmentUsed {
        /// Hash of the code.
        hash: String,
        /// Who used it.
        agent: AgentId,
    },
    /// An API key as it is now.
    Key(KeyRow),
    /// A person of the console as it is now.
    User(UserRow),
    /// A session, attempts or a link of the console as it is now, or gone.
    SignIn(SignInRow),
    /// What a ledger that went back has to find out, as it stands now.
    Reconcile(ReconcileRow),
    /// A bulk re-issue as it stands now.
    Bulk(BulkRow),
    /// An operation as it stands now. Guarded: the stored one must be at the revision before (1: must not exist).
    Operation(Box<OperationRow>),
    /// Hours that the broker has served so far. Each job keeps the hour of its last change.
    Served(u64),
    /// Contents of jobs that can change no more, and that last changed in this served hour or before, end: a slice of at most
    /// [`CONTENTS_SLICE`], those that are longest due first.
    EndContents(u64),
    /// Contents of these jobs end, their evidence with them, if they can change no more: somebody may ask that for himself.
    EndContentsOf(Vec<JobKey>),
    /// Something that was done, for the chain.
    Audit(Audit),
    /// Something that outsiders are told of. Gets the next position of the stream.
    Announcement(Announcement),
    /// An endpoint as it is now.
    Webhook(WebhookRow),
    /// An endpoint is gone, with its deliveries.
    WebhookGone(String),
    /// A delivery as it is now.
    Delivery(DeliveryRow),
    /// Announcements and ended deliveries up to a position and before a moment are not needed any more.
    ForgetAnnouncements {
        /// Position.
        up_to: u64,
        /// Moment.
        before: Timestamp,
    },
    /// Something holds from now on (`on`), or no longer. Kept by its name; a warning that turns is an event for people outside.
    Notice {
        /// What.
        notice: Notice,
        /// It holds.
        on: bool,
    },
}

/// Something that holds until it is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// A pause or drain.
    Pause(PauseRow),
    /// An early warning.
    Warning(WarningRow),
    /// Since when a disk is in trouble, where the seller counts it.
    Trouble(TroubleRow),
    /// Which updates agents are offered.
    Updates(UpdatePolicy),
    /// What waits for a second person.
    Proposal(Box<ProposalRow>),
}

impl Notice {
    /// Its name: one row each in a store.
    pub fn name(&self) -> String {
        match self {
            Notice::Pause(row) => format!("pause/{}", row.scope),
            Notice::Warning(row) => {
                let kind = row.kind.map(|kind| kind.to_string()).unwrap_or_default();
                format!("warning/{}/{}/{kind}", row.disk, row.code.as_str())
            }
            Notice::Trouble(row) => format!("trouble/{}/{}", row.disk, row.kind),
            Notice::Updates(_) => "updates".to_owned(),
            Notice::Proposal(row) => format!("proposal/{}", row.id),
        }
    }
}

/// A warning that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningRow {
    /// Disk.
    pub disk: DiskNumber,
    /// What it is about.
    pub code: WarningCode,
    /// Kind, where it is about one.
    pub kind: Option<InvoiceKind>,
    /// How urgent.
    pub severity: Severity,
    /// For people.
    pub text: String,
    /// Raised.
    pub since: Timestamp,
}

/// Since when a kind of a disk is in trouble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleRow {
    /// Disk.
    pub disk: DiskNumber,
    /// Kind.
    pub kind: InvoiceKind,
    /// Since.
    pub since: Timestamp,
}

/// Jobs of one [`Change::EndContents`].
pub const CONTENTS_SLICE: u32 = 200;

/// A bulk re-issue: what was asked, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkRow {
    /// As it is shown.
    pub view: BulkView,
    /// Sellers that the caller's key is limited to; empty: all.
    pub sellers: Vec<TaxpayerNumber>,
    /// The next page of jobs; absent before the first one.
    pub cursor: Option<String>,
}

/// One thing that a ledger that went back has to find out, or has found out (see `core::reconcile`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileRow {
    /// `restored`, `generation`, `disk`, `line` or `number`.
    #[serde(deserialize_with = "ReconcileRow::word")]
    pub what: Word,
    /// Which one: unique together with `what`.
    pub key: String,
    /// JSON; `None` removes the row.
    pub body: Option<String>,
}

impl ReconcileRow {
    /// The names that `what` may have.
    pub const WHATS: [&'static str; 5] = ["restored", "generation", "disk", "line", "number"];

    fn word<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
        word(from, &ReconcileRow::WHATS)
    }
}

/// A seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellerRow {
    /// Taxpayer number.
    pub seller: TaxpayerNumber,
    /// What is known.
    pub body: SellerBody,
}

/// An issue point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuePointRow {
    /// Whose.
    pub seller: TaxpayerNumber,
    /// Its name.
    pub point: IssuePoint,
    /// What is known.
    pub body: IssuePointBody,
}

/// The last report of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskReportRow {
    /// Disk.
    pub disk: DiskNumber,
    /// Report.
    pub report: DiskReport,
    /// When.
    pub seen_at: Timestamp,
}

/// What fences a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFenceRow {
    /// Disk.
    pub disk: DiskNumber,
    /// Last epoch given.
    pub epoch: u64,
    /// Last assign sequence given.
    pub sequence: u64,
    /// Last owner that has not released it cleanly.
    pub owner: Option<AgentId>,
}

/// Key of a number: one owner each (I10).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NumberKey {
    /// Disk.
    pub disk: DiskNumber,
    /// Kind.
    pub kind: InvoiceKind,
    /// Code and number.
    pub pair: NumberPair,
}

/// What a void or red job is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginalKey {
    /// Seller.
    pub seller: TaxpayerNumber,
    /// Kind.
    pub kind: InvoiceKind,
    /// Code and number.
    pub pair: NumberPair,
}

/// A number and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberRow {
    /// Which.
    pub key: NumberKey,
    /// Whose.
    pub owner: Owner,
    /// Status, as read.
    pub status: String,
    /// Hash over what was read; empty for an outcome.
    pub digest: String,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRow {
    /// Its id.
    pub agent: AgentId,
    /// What people call the PC.
    pub name: String,
    /// Public key, base64.
    pub public_key: String,
    /// Version of its program.
    pub version: String,
    /// Enrolled.
    pub enrolled_at: Timestamp,
    /// Last join or leave.
    pub seen_at: Option<Timestamp>,
    /// Revoked.
    pub revoked: bool,
    /// Id of its journal.
    pub journal: Option<String>,
    /// Highest journal sequence heard.
    pub journal_sequence: u64,
    /// Highest join counter proven.
    pub join: u64,
    /// What an administrator should know.
    pub alarms: Vec<String>,
    /// Which disks it may have.
    #[serde(default, skip_serializing_if = "Bounds::is_nothing")]
    pub bounds: Bounds,
    /// It enrolled by a code for many, and nobody has approved it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
    /// Hash of the code for many that it enrolled by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// The disks that an agent may have. Without a bound it may have any: on one PC there may be disks of several sellers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Of this seller only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<TaxpayerNumber>,
    /// This one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskNumber>,
}

impl Bounds {
    /// There is none.
    pub fn is_nothing(&self) -> bool {
        *self == Bounds::default()
    }
}

/// What an enrolment code is for, beyond one new agent. Kept as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeFor {
    /// What the agent may have.
    #[serde(default, skip_serializing_if = "Bounds::is_nothing")]
    pub bounds: Bounds,
    /// An agent that is there already and gets another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// For so many agents, each of which waits for its approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub many: Option<u32>,
}

/// An enrolment code; only its hash is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollmentRow {
    /// SHA-256 of the code, hex.
    pub hash: String,
    /// Name for the agent.
    pub name: String,
    /// Good until.
    pub expires_at: Timestamp,
    /// Who used it.
    pub used_by: Option<AgentId>,
    /// What it is for.
    #[serde(default)]
    pub what: CodeFor,
}

/// An API key; only the hash of its secret half is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Public half.
    pub id: String,
    /// SHA-256 of the whole key, hex. The key holds 256 random bits, so that a slow hash would add nothing.
    pub hash: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Sellers it is limited to; empty: all.
    pub sellers: Vec<TaxpayerNumber>,
    /// Made.
    pub created_at: Timestamp,
    /// Good until.
    pub expires_at: Option<Timestamp>,
    /// Revoked.
    pub revoked_at: Option<Timestamp>,
    /// Actions it is limited to, inside its role; empty: all.
    #[serde(default)]
    pub actions: Vec<KeyAction>,
    /// Used last, within an hour.
    #[serde(default)]
    pub used_at: Option<Timestamp>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "KeyAbout::is_nothing")]
    pub about: KeyAbout,
}

/// What is known of a key besides what it may do. Kept as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAbout {
    /// Persons who have held it in their hands: its owner, and who made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
}

impl KeyAbout {
    /// Nothing is.
    pub fn is_nothing(&self) -> bool {
        *self == KeyAbout::default()
    }
}

/// A person of the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Name that he signs in with.
    pub name: String,
    /// What he may do.
    pub role: ConsoleRole,
    /// Hash of his password (PHC string); none: he has set none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// He may not sign in.
    #[serde(default)]
    pub shut_out: bool,
    /// Made.
    pub created_at: Timestamp,
    /// His second factor, confirmed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<Factor>,
}

impl UserRow {
    /// A sign-in of his asks for a second factor.
    pub fn has_factor(&self) -> bool {
        self.factor.as_ref().is_some_and(Factor::is_confirmed)
    }
}

/// How somebody comes into the console: one session, one count of attempts, or one link (see `core::people`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInRow {
    /// One of [`SignInRow::WHATS`].
    #[serde(deserialize_with = "SignInRow::word")]
    pub what: Word,
    /// Which one: unique together with `what`. Of sessions and links it is the hash of the token.
    pub key: String,
    /// JSON; `None` removes the row.
    pub body: Option<String>,
}

impl SignInRow {
    /// A session.
    pub const SESSION: &'static str = "session";
    /// Attempts that were not proven right.
    pub const FAILURES: &'static str = "failures";
    /// A link for a new password.
    pub const LINK: &'static str = "link";
    /// The names that `what` may have.
    pub const WHATS: [&'static str; 3] = [SignInRow::SESSION, SignInRow::FAILURES, SignInRow::LINK];

    fn word<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
        word(from, &SignInRow::WHATS)
    }
}

/// One of a few words that this program knows.
pub type Word = &'static str;

fn word<'de, D: Deserializer<'de>>(from: D, known: &[Word]) -> Result<Word, D::Error> {
    let text = String::deserialize(from)?;
    let known = known.iter().find(|known| **known == text).copied();
    known.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not known")))
}

/// An entry of the chain that is not a job's event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Chain of this seller; the broker's own chain if absent.
    pub seller: Option<TaxpayerNumber>,
    /// When.
    pub at: Timestamp,
    /// Name.
    pub what: Cow<'static, str>,
    /// Content, with who did it.
    pub body: serde_json::Value,
}
