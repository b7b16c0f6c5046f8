//! The journal without a drive, for simulation and tests: the same records, the same guards, in a map.
//!
//! What it refuses to do: survive. The agent itself never uses it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, AttemptRef};
use taxdisk_protocol::number::NumberPair;

use super::JournalError;
use super::entry;
use super::fold::fold;
use super::reads::{Lookup, Reads};
use crate::core::operation::{OperationEvidence, OperationIntent, OperationOutcome};
use crate::core::records::{Accounting, Intent, IssuedLine, Outcome, Owner, Record, View};

/// A journal in memory. A clone is what a copy of the folder would be.
#[derive(Debug, Default)]
pub struct Memory {
    entries: BTreeMap<String, Vec<u8>>,
    records: u64,
    ids: AtomicU64,
}

impl Clone for Memory {
    fn clone(&self) -> Memory {
        Memory { entries: self.entries.clone(), records: self.records, ids: AtomicU64::new(self.ids.load(Ordering::SeqCst)) }
    }
}

impl Memory {
    /// Writes records; durable when it returns.
    ///
    /// # Errors
    /// [`JournalError::Conflict`], as the real one.
    pub fn append(&mut self, records: &[Record]) -> Result<(), JournalError> {
        for (key, change) in fold(records, &self.entries)? {
            match change {
                Some(value) => self.entries.insert(key, value),
                None => self.entries.remove(&key),
            };
        }
        self.records += records.len() as u64;
        Ok(())
    }

    /// All frames that the broker has not acknowledged, oldest first: id, disk, frame.
    pub fn pending(&self) -> Vec<(String, DiskNumber, AgentFrame)> {
        Reads(&self.entries).pending()
    }

    /// Is this frame one that the broker has not acknowledged?
    pub fn is_pending(&self, id: &str) -> bool {
        self.entries.contains_key(&entry::outbox(id))
    }

    /// Rises with every record.
    pub fn sequence(&self) -> u64 {
        self.records
    }
}

impl Lookup for BTreeMap<String, Vec<u8>> {
    fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.get(key).cloned()
    }

    fn scan(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let from = self.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        from.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn may_be_damaged(&self) -> bool {
        false
    }
}

impl View for Memory {
    fn intent(&self, attempt: &AttemptRef) -> Option<Intent> {
        Reads(&self.entries).intent(attempt)
    }
    fn outcome(&self, attempt: &AttemptRef) -> Option<Outcome> {
        Reads(&self.entries).outcome(attempt)
    }
    fn issued(&self, key: &JobKey) -> Option<IssuedLine> {
        Reads(&self.entries).issued(key)
    }
    fn open(&self, disk: &DiskNumber) -> Vec<Intent> {
        Reads(&self.entries).open(disk)
    }
    fn accounting(&self, disk: &DiskNumber, kind: InvoiceKind) -> Option<Accounting> {
        Reads(&self.entries).accounting(disk, kind)
    }
    fn owner(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<Owner> {
        Reads(&self.entries).owner(disk, kind, pair)
    }
    fn reversed_by(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<NumberPair> {
        Reads(&self.entries).reversed_by(disk, kind, pair)
    }
    fn unsettled(&self, disk: &DiskNumber) -> Vec<AttemptRef> {
        Reads(&self.entries).unsettled(disk)
    }
    fn is_decided(&self, disk: &DiskNumber, attempt: &AttemptRef) -> bool {
        Reads(&self.entries).is_decided(disk, attempt)
    }
    fn open_operation(&self, disk: &DiskNumber) -> Option<OperationIntent> {
        Reads(&self.entries).open_operation(disk)
    }
    fn open_operation_at(&self, port: &str) -> Option<OperationIntent> {
        Reads(&self.entries).open_operation_at(port)
    }
    fn operation_outcome(&self, id: &str) -> Option<OperationOutcome> {
        Reads(&self.entries).operation_outcome(id)
    }
    fn operation_evidence(&self, id: &str) -> Option<OperationEvidence> {
        Reads(&self.entries).operation_evidence(id)
    }
    fn unsettled_operation(&self, disk: &DiskNumber, name: DiskOperation, kind: Option<InvoiceKind>) -> Option<String> {
        Reads(&self.entries).unsettled_operation(disk, name, kind)
    }
    fn voided_by(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<String> {
        Reads(&self.entries).voided_by(disk, kind, pair)
    }
    fn highest_sequence(&self, disk: &DiskNumber) -> u64 {
        Reads(&self.entries).highest_sequence(disk)
    }
    fn outcomes_after(&self, disk: &DiskNumber, sequence: u64) -> Vec<Outcome> {
        Reads(&self.entries).outcomes_after(disk, sequence)
    }
    fn outbox(&self, disk: &DiskNumber) -> Vec<(String, AgentFrame)> {
        Reads(&self.entries).outbox(disk)
    }
    fn password_stop(&self, port: &str) -> Option<String> {
        Reads(&self.entries).password_stop(port)
    }
    fn fresh_id(&self) -> String {
        format!("m-{:016x}", self.ids.fetch_add(1, Ordering::SeqCst))
    }
}
