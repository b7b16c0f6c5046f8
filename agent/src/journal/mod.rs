//! The agent's journal: what must survive a power cut.
//!
//! One sled tree, one small value per record, and one thread that writes. A record counts as durable only after the drive
//! itself confirmed it: sled's own `flush` ends in `sync_file_range`, which never reaches the drive's cache, so each flush is
//! followed by `fdatasync` on sled's `db` file (on Windows `FlushFileBuffers`; [`crate::platform`] says why that is no less).
//!
//! What this module refuses to do: confirm early, retry after a failed fsync (the process ends with exit code 1), share the
//! folder with a second process, or repair a damaged record in silence.

mod entry;
mod fold;
mod make;
pub mod memory;
mod reads;
mod show;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, AttemptRef, JournalHead};
use taxdisk_protocol::number::NumberPair;

use reads::{Lookup, Reads};
use writer::Work;

use crate::core::operation::{OperationEvidence, OperationIntent, OperationOutcome};
pub use crate::core::records::{Accounting, Base, Intent, IssuedLine, Outcome, Owner, Record, View};
use crate::platform;

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
    #[error(
        "the journal is damaged ({0}): keep the folder for the support, and start with an empty one; open attempts are then settled by reading the disk"
    )]
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

/// sled's page cache, bytes. The journal reads little and rarely; the agent's whole memory is to stay below 20 MiB.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// The journal. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {
    db: sled::Db,
    work: SyncSender<Work>,
    id: Arc<str>,
    sequence: Arc<AtomicU64>,
    ids: Arc<AtomicU64>,
}

impl Journal {
    /// Opens or makes the journal in `dir` (made if missing, with mode 0700). Blocks.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn open(dir: &Path) -> Result<Journal, JournalError> {
        let folder = dir.to_owned();
        let open = move || {
            // sled keeps seven I/O threads that look for work once a second, without need: work wakes them anyway. They
            // inherit the slack of the thread that starts them, this one or the writer that it starts.
            platform::quiet_idle_threads();
            Journal::open_here(&folder)
        };
        let opening = std::thread::Builder::new().name("journal-open".into()).spawn(open);
        let opening = opening.map_err(|error| JournalError::Io(error.to_string()))?;
        opening.join().unwrap_or_else(|_| Err(JournalError::Corrupt("its file cannot be read".into())))
    }

    fn open_here(dir: &Path) -> Result<Journal, JournalError> {
        let io = |error: std::io::Error| JournalError::Io(format!("{}: {error}", dir.display()));
        if make::is_missing(dir) {
            make::make(dir).map_err(io)?;
        } else {
            platform::private_folder(dir).map_err(io)?;
            make::remove_half_snapshots(dir)?;
        }
        let db = make::open_released(dir)?;
        // The barrier goes over a handle of our own: fsync is per file, not per handle, and so is `FlushFileBuffers`.
        let file = File::options().read(true).write(true).open(dir.join("db")).map_err(io)?;
        let id = match db.value(entry::HEAD_ID) {
            Some(bytes) => entry::decode::<String>(entry::HEAD_ID, &bytes).map_err(JournalError::Corrupt)?,
            None => new_id(&db, &file)?,
        };
        verify(&db)?;
        let sequence = Arc::new(AtomicU64::new(Reads(&db).one(entry::HEAD_SEQUENCE).unwrap_or(0)));
        let ids = Arc::new(AtomicU64::new(sequence.load(Ordering::SeqCst)));
        let work = writer::spawn(db.clone(), file, Arc::clone(&sequence)).map_err(io)?;
        Ok(Journal { db, work, id: id.into(), sequence, ids })
    }

    /// Hands records to the writing thread: all of one call become durable together, in the order of the calls.
    pub fn append(&self, records: Vec<Record>) -> Ticket {
        let (reply, ticket) = sync_channel(1);
        // A closed writer drops the reply, and the ticket says so.
        let _ = self.work.send(Work::Append(records, reply));
        Ticket(ticket)
    }

    /// Id and sequence for `hello`.
    pub fn head(&self) -> JournalHead {
        JournalHead { id: self.id.to_string(), sequence: self.sequence.load(Ordering::SeqCst) }
    }

    /// The next join number, durable before it is returned. Blocks.
    ///
    /// # Errors
    /// [`JournalError::Closed`].
    pub fn join(&self) -> Result<u64, JournalError> {
        let (reply, answer) = sync_channel(1);
        let _ = self.work.send(Work::Join(reply));
        answer.recv().unwrap_or(Err(JournalError::Closed))
    }

    /// All frames that the broker has not acknowledged, oldest first: id, disk, frame. Those of a disk that a worker has open
    /// are sent by that worker after its grant; the link client sends the others after `welcome`.
    pub fn pending(&self) -> Vec<(String, DiskNumber, AgentFrame)> {
        Reads(&self.db).pending()
    }

    /// Something was begun on a disk, and its end is not known here: an attempt or an operation.
    pub fn has_open(&self) -> bool {
        Reads(&self.db).has_open()
    }

    /// Every entry, for people. A damaged one is shown as damaged.
    pub fn lines(&self) -> Box<dyn Iterator<Item = Line> + '_> {
        Box::new(self.db.iter().map(|entry| match entry {
            Ok((key, value)) => show::line(&String::from_utf8_lossy(&key), &value),
            Err(error) => Line { kind: "unknown", key: String::new(), body: Err(error.to_string()) },
        }))
    }
}

fn open_db(dir: &Path) -> Result<sled::Db, JournalError> {
    // No background flushing: the writer flushes, and an idle agent wakes for nothing.
    let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    // sled panics on some kinds of damage; that must read like any other damage.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || config.open()));
    match opened {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
            Err(JournalError::InUse(dir.display().to_string()))
        }
        Ok(Err(sled::Error::Corruption { .. })) => Err(JournalError::Corrupt("its file has a wrong checksum".into())),
        Ok(Err(error)) => Err(JournalError::Io(error.to_string())),
        Err(_) => Err(JournalError::Corrupt("its file cannot be read".into())),
    }
}

/// A new journal gets a random id, by which the broker notices that the old one is gone.
fn new_id(db: &sled::Db, file: &File) -> Result<String, JournalError> {
    if !db.is_empty() {
        return Err(JournalError::Corrupt("it has records but no head".into()));
    }
    let id = hex::encode(rand::random::<[u8; 16]>());
    db.insert(entry::HEAD_ID, entry::encode(entry::HEAD_ID, &id)).map_err(|error| JournalError::Io(error.to_string()))?;
    writer::barrier(db, file);
    Ok(id)
}

/// Reads what decisions will rest on; the long index is checked where it is read.
fn verify(db: &sled::Db) -> Result<(), JournalError> {
    for prefix in ["h/", "o/", "b/", "a/", "s/", "p/", "u/", "v/", "w/", "y/", "z/", "d/", "e/"] {
        for entry in db.scan_prefix(prefix) {
            let (key, value) = entry.map_err(|error| JournalError::Corrupt(error.to_string()))?;
            let key = String::from_utf8_lossy(&key);
            entry::decode::<serde_json::Value>(&key, &value).map_err(JournalError::Corrupt)?;
        }
    }
    Ok(())
}

impl View for Journal {
    fn intent(&self, attempt: &AttemptRef) -> Option<Intent> {
        Reads(&self.db).intent(attempt)
    }
    fn outcome(&self, attempt: &AttemptRef) -> Option<Outcome> {
        Reads(&self.db).outcome(attempt)
    }
    fn issued(&self, key: &JobKey) -> Option<IssuedLine> {
        Reads(&self.db).issued(key)
    }
    fn open(&self, disk: &DiskNumber) -> Vec<Intent> {
        Reads(&self.db).open(disk)
    }
    fn accounting(&self, disk: &DiskNumber, kind: InvoiceKind) -> Option<Accounting> {
        Reads(&self.db).accounting(disk, kind)
    }
    fn owner(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<Owner> {
        Reads(&self.db).owner(disk, kind, pair)
    }
    fn reversed_by(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<NumberPair> {
        Reads(&self.db).reversed_by(disk, kind, pair)
    }
    fn unsettled(&self, disk: &DiskNumber) -> Vec<AttemptRef> {
        Reads(&self.db).unsettled(disk)
    }
    fn is_decided(&self, disk: &DiskNumber, attempt: &AttemptRef) -> bool {
        Reads(&self.db).is_decided(disk, attempt)
    }
    fn open_operation(&self, disk: &DiskNumber) -> Option<OperationIntent> {
        Reads(&self.db).open_operation(disk)
    }
    fn open_operation_at(&self, port: &str) -> Option<OperationIntent> {
        Reads(&self.db).open_operation_at(port)
    }
    fn operation_outcome(&self, id: &str) -> Option<OperationOutcome> {
        Reads(&self.db).operation_outcome(id)
    }
    fn operation_evidence(&self, id: &str) -> Option<OperationEvidence> {
        Reads(&self.db).operation_evidence(id)
    }
    fn unsettled_operation(&self, disk: &DiskNumber, name: DiskOperation, kind: Option<InvoiceKind>) -> Option<String> {
        Reads(&self.db).unsettled_operation(disk, name, kind)
    }
    fn voided_by(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<String> {
        Reads(&self.db).voided_by(disk, kind, pair)
    }
    fn highest_sequence(&self, disk: &DiskNumber) -> u64 {
        Reads(&self.db).highest_sequence(disk)
    }
    fn outcomes_after(&self, disk: &DiskNumber, sequence: u64) -> Vec<Outcome> {
        Reads(&self.db).outcomes_after(disk, sequence)
    }
    fn outbox(&self, disk: &DiskNumber) -> Vec<(String, AgentFrame)> {
        Reads(&self.db).outbox(disk)
    }
    fn password_stop(&self, port: &str) -> Option<String> {
        Reads(&self.db).password_stop(port)
    }
    /// The counter starts at the sequence, and each id that was ever sent was written in a record of its own: none repeats.
    fn fresh_id(&self) -> String {
        format!("{}-{:016x}", &self.id[..8], self.ids.fetch_add(1, Ordering::SeqCst))
    }
}
