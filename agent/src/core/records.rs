//! What the journal keeps, and what the core reads from it. Plain values: how they are made durable is the journal's affair.

use serde::{Deserialize, Serialize};

use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{self, AgentFrame, AttemptRef, AttemptResult};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::trace::Traceparent;
use taxdisk_protocol::undo::Undoing;

use super::operation::{OperationEvidence, OperationIntent, OperationOutcome};

/// Written and durable before an issuing command is sent (architecture, section 5, rule 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Which attempt.
    pub attempt: AttemptRef,
    /// Hash over the content, as the broker sent it.
    pub content_hash: String,
    /// Disk.
    pub disk: DiskNumber,
    /// Kind.
    pub kind: InvoiceKind,
    /// The pair that the disk showed just before.
    pub expected: NumberPair,
    /// Our mark in the remark, if the seller has it on.
    pub mark: Option<String>,
    /// The hand-over in the job's trace: whoever settles it after a restart goes on under it. No decision rests on it.
    #[serde(default, deserialize_with = "taxdisk_protocol::trace::lenient", skip_serializing_if = "Option::is_none")]
    pub trace: Option<Traceparent>,
    /// Epoch of the assignment.
    pub epoch: u64,
    /// Sequence of the assignment.
    pub sequence: u64,
    /// What it does to an earlier invoice; absent in what 0.1 wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing: Option<Undoing>,
    /// RFC 3339, clock of the PC. For people only.
    pub at: String,
}

/// How an attempt ended. Its line is never deleted; the signature and the readings are in the outbox entry only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which attempt.
    pub attempt: AttemptRef,
    /// Disk.
    pub disk: DiskNumber,
    /// Kind.
    pub kind: InvoiceKind,
    /// Epoch of the assignment.
    pub epoch: u64,
    /// Sequence of the assignment.
    pub sequence: u64,
    /// Hash over the content: taken over from the intent when the outcome is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// Our mark in the remark: taken over from the intent, as the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The journalled pair, if it came so far.
    pub expected: Option<NumberPair>,
    /// What it does to an earlier invoice: taken over from the intent where it is not told; absent in what 0.1 wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing: Option<Undoing>,
    /// How.
    pub result: AttemptResult,
    /// RFC 3339, clock of the PC. For people only.
    pub at: String,
}

/// Whose a number is, as the journal keeps it (I10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// This attempt's.
    Ours(AttemptRef),
    /// Another program's, or older than us.
    Foreign,
    /// Consumed by this operation: a blank that was voided.
    Operation(String),
}

impl From<&Owner> for link::Owner {
    /// A broker knows jobs only, and would refuse a frame with a word that it does not know: for it, a number that no job has
    /// is foreign, and the entry's status says that it is a voided blank.
    fn from(owner: &Owner) -> link::Owner {
        match owner {
            Owner::Ours(attempt) => link::Owner::Ours(attempt.clone()),
            Owner::Foreign | Owner::Operation(_) => link::Owner::Foreign,
        }
    }
}

/// Up to where the numbers of one kind of one disk are accounted for (I5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// This number was consumed and it is known whose it is; the next one is its successor.
    Last(NumberPair),
    /// First contact: this was the current number then. What lies before it is history and was not read.
    From(NumberPair),
}

impl Base {
    /// The number that the disk must show next, if nobody else used it. `None` after the last number of a code.
    pub fn next(self) -> Option<NumberPair> {
        match self {
            Base::Last(pair) => pair.successor(),
            Base::From(pair) => Some(pair),
        }
    }

    /// The last number before it, as the link tells it. `None` where a first contact was at number 00000000.
    pub fn last(self) -> Option<NumberPair> {
        match self {
            Base::Last(pair) => Some(pair),
            Base::From(pair) => pair.predecessor(),
        }
    }
}

/// One durable entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// An issuing command is about to be sent.
    Intent(Intent),
    /// An attempt ended, or is unsettled.
    Outcome(Outcome),
    /// A frame for the broker, kept until it is acknowledged.
    Outbox {
        /// Its id, from [`View::fresh_id`].
        id: String,
        /// Disk that it is about.
        disk: DiskNumber,
        /// The frame, complete.
        frame: AgentFrame,
    },
    /// The broker has these.
    Acked {
        /// Ids.
        ids: Vec<String>,
    },
    /// Numbers up to here are accounted for.
    Accounted {
        /// Disk.
        disk: DiskNumber,
        /// Kind.
        kind: InvoiceKind,
        /// Up to where.
        base: Base,
        /// Blank invoices that were left then, if it was read.
        remaining: Option<u32>,
    },
    /// Whose a number is (I10). A number that is one attempt's can never become another's.
    Owned {
        /// Disk.
        disk: DiskNumber,
        /// Kind.
        kind: InvoiceKind,
        /// Number.
        pair: NumberPair,
        /// Whose.
        owner: Owner,
        /// The invoice that it reverses, where it is a red one and the disk tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reverses: Option<NumberPair>,
    },
    /// What was read before a person was asked whether an operation shall be sent although a job is unsettled.
    OperationEvidence(Box<OperationEvidence>),
    /// An operation is about to be sent.
    OperationIntent(OperationIntent),
    /// An operation ended, or is unsettled.
    OperationOutcome(Box<OperationOutcome>),
    /// The broker does not list these as open any more: somebody settled them there.
    SettledElsewhere {
        /// Disk.
        disk: DiskNumber,
        /// Which.
        attempts: Vec<AttemptRef>,
    },
    /// A password was refused: nothing that carries one is sent through this port until a person acts.
    PasswordStop {
        /// Port, as configured.
        port: String,
        /// The device's text, with the tries left where it told.
        text: String,
    },
    /// A person set the passwords of this port.
    PasswordSet {
        /// Port, as configured.
        port: String,
    },
}

/// The legal invoice of a job, as this agent knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedLine {
    /// By which attempt.
    pub attempt: AttemptRef,
    /// On which disk.
    pub disk: DiskNumber,
    /// Kind.
    pub kind: InvoiceKind,
    /// Its pair.
    pub pair: NumberPair,
    /// Disk clock, `yyyyMMddHHmmss`.
    pub issued_at: String,
    /// 税控码.
    pub fiscal_code: String,
}

/// Last accounted state of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounting {
    /// Up to where.
    pub base: Base,
    /// Blank invoices that were left then, if it was read.
    pub remaining: Option<u32>,
}

/// What the core reads of the journal. Everything that it returns is durable.
pub trait View {
    /// The intent of an attempt that has no outcome yet.
    fn intent(&self, attempt: &AttemptRef) -> Option<Intent>;
    /// The outcome of an attempt, the latest one.
    fn outcome(&self, attempt: &AttemptRef) -> Option<Outcome>;
    /// The legal invoice of a job.
    fn issued(&self, key: &JobKey) -> Option<IssuedLine>;
    /// Intents of a disk that have no outcome.
    fn open(&self, disk: &DiskNumber) -> Vec<Intent>;
    /// Up to where a kind is accounted for.
    fn accounting(&self, disk: &DiskNumber, kind: InvoiceKind) -> Option<Accounting>;
    /// Whose a number is. `None`: nobody's yet, which is not the same as foreign.
    fn owner(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<Owner>;
    /// A red invoice on this disk that reverses this number, as far as one was read or issued here.
    fn reversed_by(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<NumberPair>;
    /// Attempts of a disk that ended unsettled.
    fn unsettled(&self, disk: &DiskNumber) -> Vec<AttemptRef>;
    /// This attempt ended unsettled, and the broker said since that it is decided. What was decided is not known here: a number
    /// that belongs to it may stand in the accounts as another program's.
    fn is_decided(&self, disk: &DiskNumber, attempt: &AttemptRef) -> bool;
    /// The operation of a disk that has no outcome.
    fn open_operation(&self, disk: &DiskNumber) -> Option<OperationIntent>;
    /// The operation that has no outcome, of the disk that was behind this port then.
    fn open_operation_at(&self, port: &str) -> Option<OperationIntent>;
    /// The outcome of an operation.
    fn operation_outcome(&self, id: &str) -> Option<OperationOutcome>;
    /// What was read before a person was asked about an operation: by the id of the order that asked.
    fn operation_evidence(&self, id: &str) -> Option<OperationEvidence>;
    /// The last operation of this name and kind on a disk, if it ended unsettled: its id.
    fn unsettled_operation(&self, disk: &DiskNumber, name: DiskOperation, kind: Option<InvoiceKind>) -> Option<String>;
    /// The operation that voids this number, or did: its id.
    fn voided_by(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<String>;
    /// The highest assignment sequence of a disk; 0 before the first.
    fn highest_sequence(&self, disk: &DiskNumber) -> u64;
    /// Outcomes on a disk whose sequence is above this one, in the order of the sequences. Reads the whole index.
    fn outcomes_after(&self, disk: &DiskNumber, sequence: u64) -> Vec<Outcome>;
    /// Frames about a disk that the broker has not acknowledged, oldest first, with their ids.
    fn outbox(&self, disk: &DiskNumber) -> Vec<(String, AgentFrame)>;
    /// Why nothing that carries a password may be sent through this port.
    fn password_stop(&self, port: &str) -> Option<String>;
    /// An id for an outbox entry, never given twice.
    fn fresh_id(&self) -> String;
}
