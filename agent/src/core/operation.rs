//! The other changing commands (void, blank void, report, clear, upload, refresh, password): what is asked, what is durable
//! before it, and what reading the disk says of it afterwards. Pure; [`super::disk`] performs it.
//!
//! What it refuses to do: call a command *not done* because of an error text or because time passed, call it *done* because
//! nothing contradicts it, and advise to send a command again whose repetition does something else (a blank void takes the next
//! blank; an upload is a toggle on some devices).

mod judge;

use serde::{Deserialize, Serialize};

use taxdisk_drivers::disk::{FoundInvoice, Limits, NumberStatus, OfflineTotals, Stock};
use taxdisk_drivers::operation::PasswordKind;
use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::AttemptRef;
use taxdisk_protocol::mark::find_mark;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;

pub(super) use judge::{Heard, is_void, judge_after, judge_before, judge_blank};

/// What a person asks of a disk. Passwords are never part of it: they lie in the secrets file under the order's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// Reads stock, limits and offline totals. Changes nothing.
    Status,
    /// Reads the stock of every kind. Changes nothing.
    Stock,
    /// Reads one number. Changes nothing.
    Query {
        /// Kind.
        kind: InvoiceKind,
        /// Which.
        pair: NumberPair,
    },
    /// 作废 of an issued invoice.
    Void {
        /// Kind.
        kind: InvoiceKind,
        /// Which.
        pair: NumberPair,
        /// 作废人.
        operator: String,
    },
    /// 作废 of the next blank.
    BlankVoid {
        /// Kind.
        kind: InvoiceKind,
        /// 作废人.
        operator: String,
    },
    /// 抄报.
    Report {
        /// Kind.
        kind: InvoiceKind,
    },
    /// 清卡.
    Clear {
        /// Kind.
        kind: InvoiceKind,
    },
    /// Upload of what was issued off line.
    Upload {
        /// Kind.
        kind: InvoiceKind,
    },
    /// 离线权限更新.
    RefreshOffline {
        /// Kind.
        kind: InvoiceKind,
    },
    /// 口令更改. The passwords are in the secrets file.
    ChangePassword {
        /// Which one.
        which: PasswordKind,
    },
}

impl What {
    /// The command that it sends; `None`: it only reads.
    pub fn operation(&self) -> Option<DiskOperation> {
        Some(match self {
            What::Status | What::Stock | What::Query { .. } => return None,
            What::Void { .. } => DiskOperation::Void,
            What::BlankVoid { .. } => DiskOperation::BlankVoid,
            What::Report { .. } => DiskOperation::Report,
            What::Clear { .. } => DiskOperation::Clear,
            What::Upload { .. } => DiskOperation::Upload,
            What::RefreshOffline { .. } => DiskOperation::RefreshOffline,
            What::ChangePassword { .. } => DiskOperation::ChangePassword,
        })
    }

    /// The kind that it is about.
    pub fn kind(&self) -> Option<InvoiceKind> {
        match self {
            What::Status | What::Stock | What::ChangePassword { .. } => None,
            What::Query { kind, .. }
            | What::Void { kind, .. }
            | What::BlankVoid { kind, .. }
            | What::Report { kind }
            | What::Clear { kind }
            | What::Upload { kind }
            | What::RefreshOffline { kind } => Some(*kind),
        }
    }

    /// What must be read before it, and again after it where that can prove anything.
    pub(super) fn reads(&self, kinds: &[InvoiceKind]) -> Vec<Read> {
        match self {
            What::Status => {
                let of_kinds = kinds.iter().flat_map(|kind| [Read::Stock(*kind), Read::Limits(*kind)]);
                of_kinds.chain([Read::Totals]).collect()
            }
            What::Stock => kinds.iter().map(|kind| Read::Stock(*kind)).collect(),
            What::Query { kind, pair } => vec![Read::Target(*kind, *pair)],
            What::Void { kind, pair, .. } => vec![Read::Limits(*kind), Read::Target(*kind, *pair)],
            What::BlankVoid { kind, .. } => vec![Read::Stock(*kind)],
            What::Report { kind } | What::Clear { kind } | What::Upload { kind } | What::RefreshOffline { kind } => {
                vec![Read::Stock(*kind), Read::Limits(*kind), Read::Totals]
            }
            What::ChangePassword { .. } => Vec::new(),
        }
    }
}

/// An order to a disk's worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id, never used twice: what is known of it is found by it, also after a restart.
    pub id: String,
    /// What.
    pub what: What,
    /// Read and judge; send nothing that changes the disk.
    #[serde(default)]
    pub dry_run: bool,
    /// The person has seen the refusal and confirms that it shall be done all the same, where that is offered.
    #[serde(default)]
    pub anyway: bool,
    /// Epoch under which the broker asked for it; absent where a person at the PC did. It begins under this epoch alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<u64>,
}

/// One reading for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Stock(InvoiceKind),
    Limits(InvoiceKind),
    Totals,
    Target(InvoiceKind, NumberPair),
    /// The expected number of an unsettled job.
    Expected(InvoiceKind, NumberPair),
}

/// Stock and limits of one kind. `None`: the disk did not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindReading {
    /// Kind.
    pub kind: InvoiceKind,
    /// Current pair and what is left; `None` also where no blank invoice is left.
    pub stock: Option<Stock>,
    /// Dates and limits.
    pub limits: Option<Limits>,
}

/// One number as it was read, without buyer and lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Code and number.
    pub pair: NumberPair,
    /// What became of it.
    pub status: NumberStatus,
    /// Disk clock, `yyyyMMddHHmmss`; empty on voided blanks.
    pub issued_at: String,
    /// Sum without tax.
    pub net: Amount,
    /// Sum with tax.
    pub gross: Amount,
    /// Our mark in its remark.
    pub mark: Option<String>,
    /// Voided at, where the disk tells.
    pub voided_at: Option<String>,
    /// The invoice that a red one reverses, where the disk tells.
    pub original: Option<NumberPair>,
}

impl From<&FoundInvoice> for Target {
    fn from(found: &FoundInvoice) -> Target {
        Target {
            pair: found.pair,
            status: found.status,
            issued_at: found.issued_at.clone(),
            net: found.net,
            gross: found.gross,
            mark: find_mark(&found.remark).map(str::to_owned),
            voided_at: found.voided_at.clone(),
            original: found.original,
        }
    }
}

/// The expected number of an unsettled job, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedReading {
    /// Kind.
    pub kind: InvoiceKind,
    /// Which number.
    pub pair: NumberPair,
    /// What is there; `None`: the disk itself says that it has no such invoice, unless `failed` says that it could not be read.
    pub found: Option<Target>,
    /// Why it could not be read. That proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What was read for an operation, before or after it: evidence for a person, and what settling compares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Readings {
    /// Per kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindReading>,
    /// What waits for upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<OfflineTotals>,
    /// The number that it is about; `None` where it was not read or where the disk has no such invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The expected numbers of jobs that were unsettled on the disk then, each as it was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<ExpectedReading>,
    /// Jobs that were unsettled on the disk then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<AttemptRef>,
}

impl Readings {
    pub(super) fn kind(&mut self, kind: InvoiceKind) -> &mut KindReading {
        let at = self.kinds.iter().position(|reading| reading.kind == kind).unwrap_or_else(|| {
            self.kinds.push(KindReading { kind, stock: None, limits: None });
            self.kinds.len() - 1
        });
        &mut self.kinds[at]
    }

    fn limits(&self, kind: InvoiceKind) -> Option<&Limits> {
        self.kinds.iter().find(|reading| reading.kind == kind)?.limits.as_ref()
    }
}

/// Written and durable before an operation is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationIntent {
    /// Id of the order.
    pub id: String,
    /// Disk.
    pub disk: DiskNumber,
    /// Port as configured: a password change must be known before the disk can be asked who it is.
    pub port: String,
    /// What.
    pub what: What,
    /// The pair that the disk showed just before (blank void).
    pub expected: Option<NumberPair>,
    /// A reading can prove which password is the right one (password change).
    pub provable: bool,
    /// Readings before.
    pub before: Readings,
    /// The attempt that it is done for; absent where a person asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobLink>,
    /// Epoch under which the broker asked for it: its outcome is told to the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<u64>,
    /// RFC 3339, clock of the PC. For people only.
    pub at: String,
}

/// The attempt of a void job that an operation is done for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLink {
    /// Which.
    pub attempt: AttemptRef,
    /// Epoch of its assignment.
    pub epoch: u64,
    /// Sequence of its assignment.
    pub sequence: u64,
}

/// What was read while a job is unsettled on a disk, kept before a person is asked whether to go on all the same: a report or a
/// clear may take away what settling would have to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationEvidence {
    /// Id of the order that asked.
    pub id: String,
    /// Disk.
    pub disk: DiskNumber,
    /// What was asked for.
    pub what: What,
    /// What was read.
    pub readings: Readings,
    /// RFC 3339, clock of the PC. For people only.
    pub at: String,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum OperationResult {
    /// It took effect.
    Done {
        /// Proven by reading the disk; otherwise by its clean answer alone, where no reading shows it.
        read: bool,
    },
    /// Proven: it had no effect, and can have none later.
    NotDone {
        /// Class.
        class: DeviceClass,
        /// For people.
        text: String,
    },
    /// Reading cannot tell. For a person, with both readings.
    Unsettled {
        /// Class.
        class: DeviceClass,
        /// For people.
        text: String,
    },
}

/// The line of an operation in the journal; never deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationOutcome {
    /// As it began.
    pub intent: OperationIntent,
    /// How it ended.
    pub result: OperationResult,
    /// Readings after.
    pub after: Readings,
    /// RFC 3339, clock of the PC. For people only.
    pub at: String,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReport {
    /// Id of the order.
    pub id: String,
    /// Disk, where one answered.
    pub disk: Option<DiskNumber>,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Readings before.
    #[serde(default)]
    pub before: Readings,
    /// Readings after; empty where nothing was sent.
    #[serde(default)]
    pub after: Readings,
}

/// What came of an order, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It only read.
    Read,
    /// Dry run: it would be sent.
    Allowed {
        /// What the disk may still refuse it for.
        warnings: Vec<String>,
    },
    /// Nothing was sent.
    Refused {
        /// Class.
        class: DeviceClass,
        /// Whose fault and what to do.
        text: String,
        /// A person may confirm that it shall be done all the same.
        anyway: bool,
    },
    /// It was sent.
    Ended(OperationResult),
}

impl OrderReport {
    /// Of an operation that ended.
    pub fn ended(outcome: &OperationOutcome) -> OrderReport {
        OrderReport {
            id: outcome.intent.id.clone(),
            disk: Some(outcome.intent.disk.clone()),
            verdict: Verdict::Ended(outcome.result.clone()),
            before: outcome.intent.before.clone(),
            after: outcome.after.clone(),
        }
    }
}

/// Why an order is not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) class: DeviceClass,
    pub(super) text: String,
    /// A person may overrule it.
    pub(super) anyway: bool,
}

impl Refusal {
    pub(super) fn new(class: DeviceClass, text: impl Into<String>) -> Refusal {
        Refusal { class, text: text.into(), anyway: false }
    }

    pub(super) fn unless_confirmed(class: DeviceClass, text: impl Into<String>) -> Refusal {
        Refusal { class, text: text.into(), anyway: true }
    }
}
