//! The one thread that writes. Many callers hand records in; it applies them as one sled batch, flushes, makes the drive
//! confirm, and only then answers.
//!
//! What it refuses to do: flush from two threads (sled's concurrent flushes hung under load), confirm before the drive did,
//! or try a failed fsync again (the kernel may have dropped the pages, so a second success would be a lie).

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use super::entry;
use super::fold::{Changes, Overlay, fold};
use super::reads::{Lookup, Reads, fatal};
use super::{JournalError, Record};

/// Hand-overs that may wait; one per disk and one for the link is usual.
const WAITING_MAX: usize = 1024;
/// Hand-overs that are made durable by one flush. Bounds the time that the first of them waits.
const GROUP_MAX: usize = 256;

pub(super) type Reply = SyncSender<Result<u64, JournalError>>;

/// What the writer is handed.
pub(super) enum Work {
    Append(Vec<Record>, SyncSender<Result<(), JournalError>>),
    Join(Reply),
}

impl Lookup for sled::Db {
    fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.get(key).unwrap_or_else(|error| fatal(&format!("reading {key}: {error}"))).map(|value| value.to_vec())
    }

    fn scan(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let read = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = entry.unwrap_or_else(|error| fatal(&format!("reading {prefix}: {error}")));
            (String::from_utf8_lossy(&key).into_owned(), value.to_vec())
        };
        self.scan_prefix(prefix).map(read).collect()
    }
}

/// Starts the thread. It ends when the last sender is gone.
pub(super) fn spawn(db: sled::Db, file: File, sequence: Arc<AtomicU64>) -> std::io::Result<SyncSender<Work>> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let writer = Writer { db, file, sequence };
    std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&receiver))?;
    Ok(sender)
}

/// Makes everything that was applied so far durable, or ends the process.
pub(super) fn barrier(db: &sled::Db, file: &File) {
    if let Err(error) = db.flush() {
        fatal(&format!("flush failed: {error}"));
    }
    if let Err(error) = file.sync_data() {
        fatal(&format!("fdatasync failed: {error}"));
    }
}

struct Writer {
    db: sled::Db,
    file: File,
    sequence: Arc<AtomicU64>,
}

impl Writer {
    fn run(&self, receiver: &Receiver<Work>) {
        while let Ok(first) = receiver.recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX {
                match receiver.try_recv() {
                    Ok(work) => group.push(work),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            self.write(group);
        }
    }

    fn write(&self, group: Vec<Work>) {
        let mut overlay = Overlay { below: &self.db, changes: Changes::new() };
        let mut sequence = self.sequence.load(Ordering::SeqCst);
        let mut confirm: Vec<Box<dyn FnOnce()>> = Vec::with_capacity(group.len());
        for work in group {
            match work {
                Work::Append(records, reply) => match fold(&records, &overlay) {
                    Ok(changes) => {
                        sequence += records.len() as u64;
                        overlay.changes.extend(changes);
                        confirm.push(Box::new(move || drop(reply.try_send(Ok(())))));
                    }
                    Err(error) => confirm.push(Box::new(move || drop(reply.try_send(Err(error))))),
                },
                Work::Join(reply) => {
                    let join = Reads(&overlay).one::<u64>(entry::HEAD_JOIN).unwrap_or(0) + 1;
                    sequence += 1;
                    overlay.changes.insert(entry::HEAD_JOIN.to_owned(), Some(entry::encode(entry::HEAD_JOIN, &join)));
                    confirm.push(Box::new(move || drop(reply.try_send(Ok(join)))));
                }
            }
        }
        if !overlay.changes.is_empty() {
            overlay.changes.insert(entry::HEAD_SEQUENCE.to_owned(), Some(entry::encode(entry::HEAD_SEQUENCE, &sequence)));
            let mut batch = sled::Batch::default();
            for (key, change) in &overlay.changes {
                match change {
                    Some(value) => batch.insert(key.as_bytes(), value.as_slice()),
                    None => batch.remove(key.as_bytes()),
                }
            }
            // If we stop before the barrier is through, at the next start the batch is there or not there, but whole; nobody
            // was told that it is.
            if let Err(error) = self.db.apply_batch(batch) {
                fatal(&format!("write failed: {error}"));
            }
            barrier(&self.db, &self.file);
            self.sequence.store(sequence, Ordering::SeqCst);
        }
        for confirm in confirm {
            confirm();
        }
    }
}
