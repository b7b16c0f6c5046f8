//! The agent's journal: what must survive a power cut.
//!
//! One sled tree, one small value per record, and one thread that writes. A record counts as durable only after the drive
//! itself confirmed it: sled's own `flush` ends in `sync_file_range`, which never reaches the drive's cache, so each flush is
//! followed by `fdatasync` on sled's `db` file.
//!
//! What this module refuses to do: confirm early, retry after a failed fsync (the process ends with exit code 1), share the
//! folder with a second process, or repair a damaged record in silence.

use std::path::Path;

use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, AttemptRef, JournalHead, Owner};
use taxdisk_protocol::number::NumberPair;

pub use crate::core::records::{Accounting, Base, Intent, IssuedLine, Outcome, Record, View};

/// Why the journal cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Another process has it open.
    #[error("the journal in {0} is in use by another agent: stop that one first, or give this one a state folder of its own")]
    InUse(String),
    /// The folder or its files cannot be read or written.
    #[error("the journal cannot be used: {0}")]
    Io(String),
    /// A record is damaged.
    #[error("the journal is damaged ({0}): keep the folder for the support, and start with an empty one; open attempts are then settled by reading the disk")]
    Corrupt(String),
    /// The record contradicts what is durable: the number has another owner.
    #[error("{0}")]
    Conflict(String),
    /// The writing thread has ended.
    #[error("the journal is closed")]
    Closed,
}

/// A write under way.
#[must_use = "a record counts only after wait() returned Ok"]
#[derive(Debug)]
pub struct Ticket(std::sync::mpsc::Receiver<Result<(), JournalError>>);

impl Ticket {
    /// Blocks until the records are on the drive.
    ///
    /// # Errors
    /// [`JournalError::Conflict`] if the records contradict what is durable; nothing of them was written then.
    pub fn wait(self) -> Result<(), JournalError> {
        self.0.recv().unwrap_or(Err(JournalError::Closed))
    }
}

/// One entry, as `journal show` prints it: names and signatures are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is: `intent`, `outcome`, `outbox`, `issued`, `accounted`, `owner`, `sequence`, `password_stop`, `head`.
    pub kind: &'static str,
    /// Key.
    pub key: String,
    /// Content as JSON, redacted; or what is wrong with the entry.
    pub body: Result<serde_json::Value, String>,
}

/// The journal. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {}

impl Journal {
    /// Opens or makes the journal in `dir` (made with mode 0700 if missing). Blocks.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn open(_dir: &Path) -> Result<Journal, JournalError> {
        Err(JournalError::Closed)
    }

    /// Hands records to the writing thread: all of one call become durable together, in the order of the calls.
    pub fn append(&self, _records: Vec<Record>) -> Ticket {
        Ticket(std::sync::mpsc::channel().1)
    }

    /// Id and sequence for `hello`.
    pub fn head(&self) -> JournalHead {
        JournalHead { id: String::new(), sequence: 0 }
    }

    /// The next join number, durable before it is returned. Blocks.
    ///
    /// # Errors
    /// [`JournalError::Closed`].
    pub fn join(&self) -> Result<u64, JournalError> {
        Err(JournalError::Closed)
    }

    /// All frames that the broker has not acknowledged, oldest first: id, disk, frame. Those of a disk that a worker has open
    /// are sent by that worker after its grant; the link client sends the others after `welcome`.
    pub fn pending(&self) -> Vec<(String, DiskNumber, AgentFrame)> {
        Vec::new()
    }

    /// Every entry, for people.
    pub fn lines(&self) -> Box<dyn Iterator<Item = Line> + '_> {
        Box::new(std::iter::empty())
    }
}

impl View for Journal {
    fn intent(&self, _attempt: &AttemptRef) -> Option<Intent> {
        None
    }
    fn outcome(&self, _attempt: &AttemptRef) -> Option<Outcome> {
        None
    }
    fn issued(&self, _key: &JobKey) -> Option<IssuedLine> {
        None
    }
    fn open(&self, _disk: &DiskNumber) -> Vec<Intent> {
        Vec::new()
    }
    fn accounting(&self, _disk: &DiskNumber, _kind: InvoiceKind) -> Option<Accounting> {
        None
    }
    fn owner(&self, _disk: &DiskNumber, _kind: InvoiceKind, _pair: NumberPair) -> Option<Owner> {
        None
    }
    fn highest_sequence(&self, _disk: &DiskNumber) -> u64 {
        0
    }
    fn outbox(&self, _disk: &DiskNumber) -> Vec<(String, AgentFrame)> {
        Vec::new()
    }
    fn password_stop(&self, _port: &str) -> Option<String> {
        None
    }
    fn fresh_id(&self) -> String {
        String::new()
    }
}
