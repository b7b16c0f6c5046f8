//! Wire types of what administrators ask of a disk besides issuing: uploads, period reports, clears, and readings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OfflineView, StockView};
use crate::capabilities::DiskOperation;
use crate::class::DeviceClass;

/// What is asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Upload of what was issued off line.
    Upload,
    /// 抄报: the period's report.
    Report,
    /// 清卡: the unlock after it.
    Clear,
    /// Reads what is left, of every kind. Changes nothing.
    Stock,
    /// Brings the line back to a known state and reads everything that the disk tells. Changes nothing.
    SelfTest,
}

impl OperationKind {
    /// Every one.
    pub const ALL: [OperationKind; 5] =
        [OperationKind::Upload, OperationKind::Report, OperationKind::Clear, OperationKind::Stock, OperationKind::SelfTest];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            OperationKind::Upload => "upload",
            OperationKind::Report => "report",
            OperationKind::Clear => "clear",
            OperationKind::Stock => "stock",
            OperationKind::SelfTest => "self_test",
        }
    }

    /// The command that it sends; `None`: it only reads.
    pub fn command(self) -> Option<DiskOperation> {
        match self {
            OperationKind::Upload => Some(DiskOperation::Upload),
            OperationKind::Report => Some(DiskOperation::Report),
            OperationKind::Clear => Some(DiskOperation::Clear),
            OperationKind::Stock | OperationKind::SelfTest => None,
        }
    }
}

impl std::fmt::Display for OperationKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operation that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationRequest {
    /// The caller's key of this operation on this disk, 1 to 64 letters, digits and `-_.`: sent twice, it is done once. A dry
    /// run and the operation itself may have the same key.
    pub key: String,
    /// What.
    pub operation: OperationKind,
    /// Invoice kind of an upload, report or clear. May be left out of a disk that is licensed for one kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Why; kept in the ledger.
    pub reason: String,
    /// Read, judge and say what would be done; send nothing that changes the disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// A person has read why it was refused and wants it all the same, where the refusal offers that (`anyway`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anyway: bool,
}

/// Why an operation is cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct OperationCancel {
    /// Kept in the ledger.
    #[serde(default)]
    pub reason: String,
    /// One that was handed over is no longer waited for, because its disk will not come back: it ends as `unsettled`, since it
    /// may have been sent. Refused while the disk has an agent, which is being asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abandon: bool,
}

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// It waits for its disk, or for what the disk has at hand.
    Queued,
    /// It was handed to the disk's agent, which has not said how it ended.
    Running,
    /// Done, or read, or, of a dry run, allowed.
    Done,
    /// Nothing was sent; `result` says why, and whether a person may overrule it.
    Refused,
    /// Proven: it had no effect, and can have none later.
    Failed,
    /// Reading the disk cannot tell whether it took effect. It is never sent again by itself; a person looks at both readings.
    Unsettled,
    /// Withdrawn before it was handed over.
    Cancelled,
}

impl OperationState {
    /// Nothing more comes of it.
    pub fn is_ended(self) -> bool {
        !matches!(self, OperationState::Queued | OperationState::Running)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            OperationState::Queued => "queued",
            OperationState::Running => "running",
            OperationState::Done => "done",
            OperationState::Refused => "refused",
            OperationState::Failed => "failed",
            OperationState::Unsettled => "unsettled",
            OperationState::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for OperationState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came of an operation at its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum OperationVerdict {
    /// It only read.
    Read,
    /// Dry run: it would be sent.
    Allowed {
        /// What the disk may still refuse it for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// Nothing was sent.
    Refused {
        /// Class.
        class: DeviceClass,
        /// Whose fault and what to do.
        text: String,
        /// A person may confirm that it shall be done all the same.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        anyway: bool,
    },
    /// It took effect.
    Done {
        /// Proven by reading the disk; otherwise by its clean answer alone, where no reading shows it.
        read: bool,
    },
    /// Proven: it had no effect.
    NotDone {
        /// Class.
        class: DeviceClass,
        /// For people.
        text: String,
    },
    /// Reading cannot tell.
    Unsettled {
        /// Class.
        class: DeviceClass,
        /// For people.
        text: String,
    },
}

impl OperationVerdict {
    /// The state that it ends an operation in.
    pub fn state(&self) -> OperationState {
        match self {
            OperationVerdict::Read | OperationVerdict::Allowed { .. } | OperationVerdict::Done { .. } => OperationState::Done,
            OperationVerdict::Refused { .. } => OperationState::Refused,
            OperationVerdict::NotDone { .. } => OperationState::Failed,
            OperationVerdict::Unsettled { .. } => OperationState::Unsettled,
        }
    }

    /// For people; empty where the verdict says it all.
    pub fn text(&self) -> String {
        match self {
            OperationVerdict::Read | OperationVerdict::Done { .. } => String::new(),
            OperationVerdict::Allowed { warnings } => warnings.join("; "),
            OperationVerdict::Refused { text, .. }
            | OperationVerdict::NotDone { text, .. }
            | OperationVerdict::Unsettled { text, .. } => text.clone(),
        }
    }
}

/// What was read of a disk for an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct OperationReadings {
    /// Stock, dates and limits per kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stock: Vec<StockView>,
    /// What waits for upload, where it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<OfflineView>,
    /// Attempts that were unsettled on the disk then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<String>,
}

/// How an operation ended, with what was read before and after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationResultView {
    /// In short.
    #[serde(flatten)]
    pub verdict: OperationVerdict,
    /// Readings before.
    #[serde(default)]
    pub before: OperationReadings,
    /// Readings after; empty where nothing was sent.
    #[serde(default)]
    pub after: OperationReadings,
}

/// An operation as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationView {
    /// Its id, made of disk, key and `dry_run`.
    pub id: String,
    /// The caller's key.
    pub key: String,
    /// Disk.
    pub disk: String,
    /// Seller of the disk, where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// What.
    pub operation: OperationKind,
    /// Invoice kind, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Nothing is sent that changes the disk.
    pub dry_run: bool,
    /// A person overruled a refusal beforehand.
    pub anyway: bool,
    /// Where it is.
    pub state: OperationState,
    /// Counts its changes.
    pub revision: u64,
    /// What it waits for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Id of the key that asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Asked at, RFC 3339.
    pub at: String,
    /// Changed at, RFC 3339.
    pub changed_at: String,
    /// The agent that has it, or had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The agent said that it was about to send the command, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// How it ended at the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<OperationResultView>,
    /// What another agent than the disk's owner said of it later. It is evidence, and changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<OperationResultView>,
    /// Key of the bulk operation that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<String>,
    /// Known already: this is where it is now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

/// Operations, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct OperationPage {
    /// Operations.
    pub operations: Vec<OperationView>,
    /// For the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One operation of many disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkOperationRequest {
    /// The caller's key, 1 to 56 letters, digits and `-_.`: each disk takes part once for each key.
    pub key: String,
    /// Disks of this seller; all disks if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// What.
    pub operation: OperationKind,
    /// This kind only; every licensed kind of each disk if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Why; kept in the ledger with each operation.
    pub reason: String,
    /// Only say what would be done with each disk. No disk is asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// As in a single operation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anyway: bool,
}

/// What a bulk operation does with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkOperationAction {
    /// It is handed over, as soon as what the disk has at hand has ended.
    Run,
    /// It waits for the disk, which is not connected.
    Wait,
    /// Nothing is left to do there: it is not asked.
    Nothing,
    /// This key was asked of it before.
    Repeated,
    /// It cannot.
    Refused,
}

/// One disk and kind of a bulk operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkOperationLine {
    /// Disk.
    pub disk: String,
    /// Its seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Invoice kind, where the operation is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What is done.
    pub action: BulkOperationAction,
    /// Id of its operation, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Where that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<OperationState>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// A bulk operation, or what it would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkOperationView {
    /// The caller's key.
    pub key: String,
    /// Nothing was asked.
    pub dry_run: bool,
    /// Each disk and kind.
    pub lines: Vec<BulkOperationLine>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DueWhat {
    /// 抄报 of a period that is over.
    Report,
    /// 清卡, before the lock date.
    Clear,
    /// The last day on which the disk issues (开票截止日期).
    LockDate,
    /// The day by which invoices must be uploaded (上传截止日).
    Upload,
    /// How long invoices may wait for their upload (离线时长).
    OfflineTime,
    /// How much they may come to (离线累计金额).
    OfflineAmount,
    /// How many may wait.
    OfflineCount,
}

impl DueWhat {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            DueWhat::Report => "report",
            DueWhat::Clear => "clear",
            DueWhat::LockDate => "lock_date",
            DueWhat::Upload => "upload",
            DueWhat::OfflineTime => "offline_time",
            DueWhat::OfflineAmount => "offline_amount",
            DueWhat::OfflineCount => "offline_count",
        }
    }
}

/// How something that is due stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DueState {
    /// Its time is over: the disk refuses, or will.
    Overdue,
    /// Somebody must act until then.
    Due,
    /// Nothing is left to do now.
    Done,
}

/// One line of the calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DueView {
    /// Disk.
    pub disk: String,
    /// Its seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Invoice kind.
    pub kind: String,
    /// What.
    pub what: DueWhat,
    /// The last good moment, RFC 3339; absent where there is none, or none that the disk tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// How it stands.
    pub state: DueState,
    /// For people.
    pub text: String,
}
