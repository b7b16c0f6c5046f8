//! What the core asks its shell to do, one at a time, and what it hears back.

use std::sync::Arc;

use taxdisk_drivers::disk::{Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, Limits, OfflineTotals, Stock};
use taxdisk_drivers::operation::{OperationAnswer, PasswordKind};
use taxdisk_protocol::api::DiskReport;
use taxdisk_protocol::capabilities::{Capabilities, Fence};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::invoice::Invoice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, Assignment};
use taxdisk_protocol::number::NumberPair;

use super::ladder::Rung;
use super::operation::{JobLink, OrderReport, What};
use super::records::Record;

/// An assignment whose content was parsed: what an issuing command and a comparison need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// As the broker sent it.
    pub assignment: Assignment,
    /// Its content, parsed.
    pub invoice: Invoice,
    /// The remark with our mark, exactly as it goes to the disk.
    pub remark: String,
}

/// A disk that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who it is.
    pub identity: Identity,
    /// What it can express.
    pub capabilities: Capabilities,
    /// When nothing older can run on it.
    pub fence: Fence,
    /// Dialect.
    pub dialect: String,
    /// Opening it proves these passwords.
    pub proves: Vec<PasswordKind>,
}

/// Why a call to the disk gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The disk or its line said so.
    Disk(DiskError),
    /// The disk's thread did not come back in time. What it was doing may still happen.
    Hung,
    /// The disk's thread is still at an earlier call.
    Busy,
    /// The disk's thread has ended, or the disk was never opened. Nothing of it can still write.
    Gone(String),
}

impl Trouble {
    /// Class for people and routing. Proves nothing.
    pub fn class(&self) -> DeviceClass {
        match self {
            Trouble::Disk(error) => error.class,
            Trouble::Hung | Trouble::Busy => DeviceClass::Link,
            Trouble::Gone(_) => DeviceClass::NotPresent,
        }
    }

    /// Text for people.
    pub fn text(&self) -> String {
        match self {
            Trouble::Disk(error) => error.text.clone(),
            Trouble::Hung => "the disk's driver did not come back within its time".into(),
            Trouble::Busy => "the disk's driver is still at an earlier command".into(),
            Trouble::Gone(text) => text.clone(),
        }
    }

    /// The device's own code, if it gave one.
    pub fn code(&self) -> Option<String> {
        match self {
            Trouble::Disk(error) => error.code.clone(),
            _ => None,
        }
    }
}

/// What the shell must do now. Exactly one is in flight at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open the port and read who is behind it.
    Open,
    /// Let go of the disk.
    Close,
    /// Reset the device behind the closed port.
    Reset,
    /// Bring the line back to a known state.
    Resync,
    /// Read the current pair of a kind.
    Stock(InvoiceKind),
    /// Read the limits of a kind.
    Limits(InvoiceKind),
    /// Read one number and compare what is found with each of these.
    Query {
        /// Kind.
        kind: InvoiceKind,
        /// Which.
        pair: NumberPair,
        /// Requests to compare with.
        against: Vec<Arc<Request>>,
    },
    /// Ask a component that knows requests which invoice it issued for this one.
    Find {
        /// Kind.
        kind: InvoiceKind,
        /// The request, as the component was given it.
        request: String,
    },
    /// Check the lease once more, then send the issuing command once.
    Issue {
        /// What.
        request: Arc<Request>,
        /// The journalled pair.
        expected: NumberPair,
        /// Epoch under which it was assigned.
        epoch: u64,
    },
    /// Read what waits for upload.
    Totals,
    /// Send this changing command once. Its intent is durable.
    Operate(Box<Send>),
    /// Open the port with one of the two passwords of a change under way, at most once with each: that it is tried is durable
    /// before it is. Answered as [`Effect::Open`].
    Try {
        /// The operation.
        id: String,
        /// The new password.
        new: bool,
    },
    /// Keep this password of a change, durably; the other one is not used any more.
    Keep {
        /// The operation.
        id: String,
        /// The new password.
        new: bool,
    },
    /// Make these durable together, then answer.
    Write(Vec<Record>),
    /// Nothing to do before this time (milliseconds of the boot clock) or the next command.
    Wait {
        /// When to look again; `None`: at the next command only.
        until_ms: Option<u64>,
    },
    /// The worker's work is over.
    Stop,
}

/// A changing command, ready to be sent but for its passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    /// The operation.
    pub id: String,
    /// What.
    pub what: What,
    /// The journalled pair (blank void).
    pub expected: Option<NumberPair>,
    /// Sum without tax of the invoice that is voided, as it was read.
    pub net: Option<taxdisk_protocol::money::Amount>,
    /// The attempt that it is done for, and the epoch under which it may begin; the lease is checked once more right before.
    pub job: Option<JobLink>,
    /// Epoch under which the broker asked for it; the lease counts for it too.
    pub remote: Option<u64>,
}

/// What came of the effect in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "handed over one at a time and never kept in numbers")]
pub enum Answer {
    /// Of [`Effect::Open`] and [`Effect::Try`].
    Opened(Result<Box<Opened>, Trouble>),
    /// Of [`Effect::Resync`], [`Effect::Close`], [`Effect::Reset`] and [`Effect::Keep`].
    Done(Result<(), Trouble>),
    /// Of [`Effect::Stock`].
    Stock(Result<Stock, Trouble>),
    /// Of [`Effect::Limits`].
    Limits(Result<Limits, Trouble>),
    /// Of [`Effect::Query`]: what was found, and one comparison for each request asked for.
    Query(Result<Option<Found>, Trouble>),
    /// Of [`Effect::Find`].
    Find(Result<Vec<FoundInvoice>, Trouble>),
    /// Of [`Effect::Issue`].
    Issue(Issue),
    /// Of [`Effect::Totals`].
    Totals(Result<OfflineTotals, Trouble>),
    /// Of [`Effect::Operate`].
    Operated(Operated),
    /// Of [`Effect::Write`].
    Written(Result<(), String>),
    /// Of [`Effect::Wait`].
    Woken,
}

impl Answer {
    /// What went wrong, for people; `None`: nothing did.
    pub fn failure(&self) -> Option<String> {
        match self {
            Answer::Opened(Err(trouble))
            | Answer::Done(Err(trouble))
            | Answer::Stock(Err(trouble))
            | Answer::Limits(Err(trouble))
            | Answer::Query(Err(trouble))
            | Answer::Totals(Err(trouble))
            | Answer::Operated(Operated::Trouble(trouble))
            | Answer::Issue(Issue::Trouble(trouble, _)) => Some(trouble.text()),
            Answer::Operated(Operated::Answer(OperationAnswer::InDoubt(error) | OperationAnswer::NotSent(error)))
            | Answer::Issue(Issue::Answer(
                IssueAnswer::InDoubt(error) | IssueAnswer::Refused(error) | IssueAnswer::NotSent(error),
                _,
            )) => Some(error.text.clone()),
            _ => None,
        }
    }
}

/// A number that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What the disk gave.
    pub invoice: FoundInvoice,
    /// How it compares with each request, in their order.
    pub comparisons: Vec<Comparison>,
}

/// What came of an issuing command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issue {
    /// The lease was over: nothing was sent.
    Withheld(String),
    /// The disk's thread took the command and came back.
    Answer(IssueAnswer, u64),
    /// It was handed to the disk's thread and did not come back well, or it was refused by it.
    Trouble(Trouble, u64),
}

/// What came of an operation's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operated {
    /// Nothing was sent.
    Withheld(String),
    /// The disk's thread took the command and came back.
    Answer(OperationAnswer),
    /// It was handed to the disk's thread and did not come back well.
    Trouble(Trouble),
}

/// What the core tells the outside. Frames that carry an id are durable before they are told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "told one at a time and never kept in numbers")]
pub enum Told {
    /// For the broker.
    Frame(AgentFrame),
    /// The disk's report changed.
    Report(Box<DiskReport>),
    /// What came of an order. If something was sent, this is durable.
    Order(Box<OrderReport>),
    /// No disk answers behind the port.
    Away {
        /// Class.
        class: DeviceClass,
        /// For people.
        text: String,
    },
    /// A reading failed, and this is done about it.
    Climbed(Rung),
}
