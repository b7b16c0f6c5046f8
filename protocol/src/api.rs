//! Wire types of the broker's HTTP API, version 1.
//!
//! Text that a caller wrote stays text here: [`crate::rules`] parses it and names every breach at once with a JSON pointer.
//! Money is written as decimal strings (`"226.00"`), never as JSON numbers. Fields that are not known are refused by the
//! broker's edge (a misspelt field on a legal document is an error), not by these types: the agent link, which shares some of
//! them, ignores what it does not know.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::capabilities::{Capabilities, Fence};
use crate::class::DeviceClass;
use crate::number::NumberPair;
use crate::printed::Printed;
pub use crate::undo::UndoneView;

mod agents;
mod dispatch;
mod keys;

pub use agents::{AgentName, AgentView, EnrollBody, EnrolledBody, EnrollmentCode, EnrollmentRequest, RetireBody, TunnelBody};
pub use dispatch::{
    Estimate, OfflineView, PauseMode, PauseOf, PauseRequest, PauseView, Severity, Thresholds, WarningCode, WarningView,
};
pub use keys::{KeyAction, KeyRequest, KeyView, NewKey, Role};
mod bulk;
mod buyers;
mod climbs;
mod operations;
mod proposals;
mod reconcile;
mod sellers;
mod settle;

pub use bulk::{BulkAction, BulkFilter, BulkLine, BulkReissueRequest, BulkView};
pub use buyers::{BuyerErased, BuyerErasure, BuyerExport, BuyerQuery, ErasureLine};
pub use climbs::{CLIMB_TEXT_CHARS, CLIMBS_MAX, ClimbRung, DiskClimb};
pub use operations::{
    BulkOperationAction, BulkOperationLine, BulkOperationRequest, BulkOperationView, DueState, DueView, DueWhat, OperationCancel,
    OperationKind, OperationPage, OperationReadings, OperationRequest, OperationResultView, OperationState, OperationVerdict,
    OperationView,
};
pub use proposals::{DeclineRequest, ProposalView, Proposed};
pub use reconcile::{
    JobName, ReconcileDisk, ReconcileJob, ReconcileJobRequest, ReconcileNumber, ReconcileNumberRequest, ReconcileView,
    ReleaseRequest,
};
pub use sellers::{DiskTrouble, IssuePointBody, IssuePointView, SellerBody, SellerView};
pub use settle::{SettleDecision, SettleProposal, SettleReading, SettleRequest};

/// What a job asks of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// 开具.
    #[default]
    Issue,
    /// 作废.
    Void,
    /// 红冲.
    Red,
}

/// A person who waits comes before bulk work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits at a till.
    Waiting,
    /// Everything else.
    #[default]
    Bulk,
}

/// One job as a caller submits it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct JobSubmission {
    /// Taxpayer number of the seller.
    pub seller: String,
    /// The caller's serial number: 1 to 20 letters and digits, unique per seller, for ever.
    pub serial: String,
    /// What to do; `issue` if left out.
    #[serde(default)]
    pub operation: Operation,
    /// Invoice kind, three digits (`"025"`).
    pub kind: String,
    /// Organisation or terminal that issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_point: Option<String>,
    /// `waiting` before `bulk`.
    #[serde(default)]
    pub priority: Priority,
    /// The invoice that a void or red job is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PairBody>)]
    pub original: Option<PairBody>,
    /// Content; needed for `issue` and `red`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceBody>,
}

/// Code and number as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
pub struct PairBody {
    /// 10 or 12 digits.
    pub code: String,
    /// 8 digits.
    pub number: String,
}

impl From<NumberPair> for PairBody {
    fn from(pair: NumberPair) -> PairBody {
        PairBody { code: pair.code.to_string(), number: pair.number.to_string() }
    }
}

/// Content of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct InvoiceBody {
    /// Who receives it.
    pub buyer: BuyerBody,
    /// What was sold, a discount line directly after its line.
    pub lines: Vec<LineBody>,
    /// The sums.
    pub totals: TotalsBody,
    /// 备注.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
    /// 开票人.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub clerk: String,
    /// 收款人.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payee: String,
    /// 复核人.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reviewer: String,
    /// 信息表编号 (红字增值税专用发票信息表): a red special invoice needs it, no other has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notice: String,
}

/// Who receives an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BuyerBody {
    /// 名称.
    pub name: String,
    /// 纳税人识别号; left out for persons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taxpayer_number: Option<String>,
    /// 地址、电话.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address_phone: String,
    /// 开户行及账号.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bank_account: String,
}

/// One line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct LineBody {
    /// `normal`, `discounted` or `discount`; `normal` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Item name.
    pub name: String,
    /// 商品编码.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goods_code: Option<String>,
    /// 规格型号.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub specification: String,
    /// 单位.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Decimal text; together with `price` or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// Decimal text, without tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// Amount without tax, two decimals.
    pub net: String,
    /// Rate as a fraction: `"0.13"`.
    pub rate: String,
    /// Tax, two decimals.
    pub tax: String,
    /// `export`, `exempt`, `not_taxed` or `ordinary`, where the rate is zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_rate: Option<String>,
    /// 扣除额 (差额征税).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduction: Option<String>,
}

/// The sums of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TotalsBody {
    /// Without tax.
    pub net: String,
    /// Tax.
    pub tax: String,
    /// Net and tax.
    pub gross: String,
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for a disk.
    Queued,
    /// Handed to a disk; it may have issued.
    Assigned,
    /// The outcome is unknown; the disk must be read.
    Unsettled,
    /// A legal invoice exists.
    Issued,
    /// Of a void job: the invoice that it names is void.
    Voided,
    /// Proven not issued; of a void job: proven not void.
    Failed,
    /// Withdrawn before it was handed over, or proven not issued.
    Cancelled,
}

impl JobState {
    /// Nothing more happens by itself.
    pub fn is_terminal(self) -> bool {
        matches!(self, JobState::Issued | JobState::Voided | JobState::Failed | JobState::Cancelled)
    }

    /// It ended without an invoice of its own: few of very many jobs do.
    pub fn is_rare_end(self) -> bool {
        matches!(self, JobState::Failed | JobState::Cancelled | JobState::Voided)
    }

    /// What the job asked for is done: a second time would be once too often.
    pub fn is_done(self) -> bool {
        matches!(self, JobState::Issued | JobState::Voided)
    }
}

/// Why a queued job waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// No disk of the seller has been seen that can issue this kind.
    NoDisk,
    /// The disk or its agent is away.
    DiskOffline,
    /// No blank invoice is left.
    NoStock,
    /// The disk is locked by the period rules.
    Locked,
    /// A limit of the disk is reached.
    OverLimit,
    /// A password must be set by a person at the disk's PC.
    Password,
    /// The disk reports a fault.
    DiskFault,
    /// Two agents claim the disk.
    Contested,
    /// The disk has an attempt that is not settled.
    Settling,
    /// Other jobs of this disk are before it.
    Backlog,
    /// The disk failed several times in a row and rests.
    Breaker,
    /// A person has paused the disk, its agent or the seller.
    Paused,
    /// The ledger went back (a backup was restored): numbers of the seller's disks are still unknown, or one of unknown origin
    /// holds what this job asks for. See `/v1/reconcile`.
    Reconcile,
    /// An operation of an administrator is before it at the disk. See `/v1/operations`.
    Operation,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The content.
    Request,
    /// The disk.
    Disk,
    /// A rule of the seller.
    Policy,
}

/// The legal invoice of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedInvoice {
    /// Code, 10 or 12 digits.
    pub code: String,
    /// Number, 8 digits.
    pub number: String,
    /// Issued at, disk clock, `yyyyMMddHHmmss`.
    pub issued_at: String,
    /// 税控码.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fiscal_code: String,
    /// 签名.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
    /// What the disk gave for the printed form.
    #[serde(default, skip_serializing_if = "Printed::is_empty")]
    pub printed: Printed,
    /// Number of the disk that issued.
    pub disk: String,
}

impl IssuedInvoice {
    /// What belongs into the cipher area: the cipher text, or the 税控码 of a device that gives no other.
    pub fn cipher(&self) -> &str {
        if self.printed.cipher.is_empty() { &self.fiscal_code } else { &self.printed.cipher }
    }
}

/// One hand-over of a job to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// Counts from 1.
    pub attempt: u32,
    /// Disk.
    pub disk: String,
    /// Agent that had the disk.
    pub agent: String,
    /// Fencing epoch under which the disk was owned.
    pub epoch: u64,
    /// Handed over at, RFC 3339.
    pub assigned_at: String,
    /// Work on the disk began at, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Ended at, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The pair that was journalled before the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<PairBody>,
    /// `open`, `issued`, `voided`, `not_issued`, `given_back` or `unsettled`.
    pub result: String,
    /// Class of the trouble, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DeviceClass>,
    /// What people read about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Milliseconds that the disk's own commands took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_ms: Option<u64>,
}

/// A job as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Seller.
    pub seller: String,
    /// Serial number.
    pub serial: String,
    /// What it asks.
    pub operation: Operation,
    /// Invoice kind.
    pub kind: String,
    /// State.
    pub state: JobState,
    /// Grows with every event of the job; a smaller one is older.
    pub revision: u64,
    /// Counts the versions of the content, from 1.
    pub version: u32,
    /// Why it waits, while it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The disk that it waits for, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_disk: Option<String>,
    /// Why it waits, for people, with numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_text: Option<String>,
    /// When it is likely to begin; only where one job is shown, and absent when nobody can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// The agent of an assigned job is away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent_away: bool,
    /// True in the answer to a submission that was known already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// The legal invoice, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedInvoice>,
    /// The invoice that a void or red job is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<PairBody>,
    /// Serial number of the job that issued it; absent where it was issued elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_serial: Option<String>,
    /// The only disk that can do it: that of the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// The job that voided this invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voided: Option<UndoneView>,
    /// The jobs that reversed this invoice, whole or in part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reversed_by: Vec<UndoneView>,
    /// What went wrong, on `failed` and `unsettled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<JobProblem>,
    /// One person has looked up the tax office's record; another one must confirm it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<SettleProposal>,
    /// Content as it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceBody>,
    /// Our mark in the remark, if the seller has it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Hand-overs, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptView>,
    /// Readings and late outcomes that were kept, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceView>,
    /// Id of the trace that its way is recorded under, 32 hex digits: the first submission's `traceparent`, else one of the
    /// broker's. Log lines about the job carry it. Absent of jobs that an older version accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Accepted at, RFC 3339.
    pub accepted_at: String,
    /// Last changed at, RFC 3339.
    pub changed_at: String,
}

/// What went wrong with a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobProblem {
    /// Code of the catalogue.
    pub code: String,
    /// Whose fault.
    pub fault: Fault,
    /// Class of the device's error, if it came from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DeviceClass>,
    /// What people read.
    pub text: String,
}

/// Something that was read or reported about a job and is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceView {
    /// Received at, RFC 3339.
    pub at: String,
    /// From which agent, or `administrator`.
    pub from: String,
    /// About which attempt.
    pub attempt: u32,
    /// What it is: `late_outcome`, `readings`, `frames`, `settled_by_hand`, `contradiction`.
    pub what: String,
    /// Content.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobPage {
    /// Jobs, newest first.
    pub jobs: Vec<JobView>,
    /// Give it back as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One line of the answer to a batch, in the order of the lines sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchLine {
    /// Line of the request, from 1.
    pub line: u64,
    /// HTTP status that this job would have had alone: 201, 200, 409, 422 …
    pub status: u16,
    /// The job, on 200 and 201.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobView>,
    /// The problem, otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<crate::error::Problem>,
}

/// Ask for a re-issue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ReissueRequest {
    /// Why; kept in the ledger.
    pub reason: String,
    /// Other content; allowed only when the job is proven not issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceBody>,
}

/// What a re-issue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReissueOutcome {
    /// Proven not issued; queued again.
    Requeued,
    /// The invoice exists; here it is. Nothing was done.
    AlreadyIssued,
    /// It is queued or handed over. Nothing was done.
    InProgress,
    /// Unknown; the disk is being asked. Nothing was issued.
    Unsettled,
}

/// Answer to a re-issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReissueAnswer {
    /// What was done.
    pub outcome: ReissueOutcome,
    /// The job now.
    pub job: JobView,
}

/// Withdraw a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct CancelRequest {
    /// Why; kept in the ledger.
    #[serde(default)]
    pub reason: String,
}

fn yes() -> bool {
    true
}

/// To whom a disk belongs, over what it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DiskAssignment {
    /// Seller whose jobs the disk takes; must equal the taxpayer number inside the disk.
    pub seller: String,
    /// Jobs are dispatched to it.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// Stock of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct StockView {
    /// Kind.
    pub kind: String,
    /// Next pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<PairBody>,
    /// Blank invoices left.
    pub remaining: u32,
    /// Single-invoice limit, where the disk tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice_limit: Option<String>,
    /// Issuing stops after this day, `yyyyMMdd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_deadline: Option<String>,
    /// 上传截止日: day of the month by which invoices must be uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_day: Option<u8>,
    /// 离线时长: how long invoices may wait for their upload, hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_hours: Option<u32>,
    /// 离线累计金额上限: how much they may come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_amount: Option<String>,
    /// 报税起始, 报税终止: the period that is reported next, as the disk writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<(String, String)>,
}

/// What an agent says of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskReport {
    /// The number inside.
    pub disk: String,
    /// Taxpayer number inside.
    pub taxpayer: String,
    /// Name inside.
    pub taxpayer_name: String,
    /// Licensed kinds.
    pub kinds: Vec<String>,
    /// What it can express.
    pub capabilities: Capabilities,
    /// When nothing older can run on it.
    pub fence: Fence,
    /// Dialect.
    pub dialect: String,
    /// Port, for people.
    pub port: String,
    /// Ready, or why not.
    pub health: DiskHealth,
    /// Stock per kind.
    pub stock: Vec<StockView>,
    /// Disk clock, `yyyyMMddHHmmss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// What was not uploaded yet, where the disk tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<OfflineView>,
    /// Tries of a password that are left, where one was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_tries: Option<u8>,
    /// Used part of the disk's memory, percent, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<u8>,
    /// The disk's clock minus the PC's when it was read last, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_offset_s: Option<i64>,
    /// What jobs the agent takes for this disk. An agent of an older version says nothing, and issues only.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::undo::known_operations")]
    pub takes: Vec<Operation>,
    /// The highest assign sequence that the agent's journal holds for this disk. A ledger that knows less has gone back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// Readings that failed last and what was done about each, the newest last, at most [`CLIMBS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "climbs::known_climbs")]
    pub climbs: Vec<DiskClimb>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Can a disk issue?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskHealth {
    /// It can.
    pub ready: bool,
    /// Class of the trouble, if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DeviceClass>,
    /// What people read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// A disk as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskView {
    /// What the agent said last.
    pub report: DiskReport,
    /// Agent that owns it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Fencing epoch; only grows.
    pub epoch: u64,
    /// A round trip to the disk is known to work now.
    pub online: bool,
    /// Agents that claim it, when there is more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimants: Vec<String>,
    /// Jobs that wait for it.
    pub backlog: u64,
    /// Attempts on it that are open or unsettled.
    pub open_attempts: u64,
    /// Jobs are dispatched to it.
    pub enabled: bool,
    /// Pauses that keep it from work: its own, its agent's, its seller's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<PauseView>,
    /// What will stop it if nobody acts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningView>,
    /// Last report, RFC 3339.
    pub seen_at: String,
}
