//! Reading the journal, the same over sled and over memory.
//!
//! A damaged value ends the process: to go on as if it were absent could issue an invoice twice.

use serde::de::DeserializeOwned;

use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, AttemptRef};
use taxdisk_protocol::number::NumberPair;

use super::entry;
use crate::core::operation::{OperationEvidence, OperationIntent, OperationOutcome};
use crate::core::records::{Accounting, Intent, IssuedLine, Outcome, Owner, View};

/// Keys and values, sorted by key.
pub(super) trait Lookup {
    /// The value of a key.
    fn value(&self, key: &str) -> Option<Vec<u8>>;
    /// All entries whose key begins so, in order.
    fn scan(&self, prefix: &str) -> Vec<(String, Vec<u8>)>;
    /// Values may be damaged, and their checksums are compared.
    fn may_be_damaged(&self) -> bool {
        true
    }
}

/// [`View`] over any [`Lookup`], but for [`View::fresh_id`], which needs a counter.
pub(super) struct Reads<'a, L: Lookup + ?Sized>(pub(super) &'a L);

/// Ends the process with exit code 1.
pub(super) fn fatal(what: &str) -> ! {
    tracing::error!(what, "the journal cannot be trusted any more; the agent ends and must be started again");
    eprintln!("taxdisk-agent: the journal cannot be trusted any more: {what}");
    std::process::exit(1)
}

impl<L: Lookup + ?Sized> Reads<'_, L> {
    pub(super) fn one<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.0.value(key)?;
        Some(self.decode(key, &bytes))
    }

    fn decode<T: DeserializeOwned>(&self, key: &str, bytes: &[u8]) -> T {
        let decoded = if self.0.may_be_damaged() { entry::decode(key, bytes) } else { entry::decode_whole(key, bytes) };
        decoded.unwrap_or_else(|what| fatal(&what))
    }

    fn all<T: DeserializeOwned>(&self, prefix: &str) -> Vec<(String, T)> {
        let read = |(key, bytes): (String, Vec<u8>)| {
            let value = self.decode(&key, &bytes);
            (key, value)
        };
        self.0.scan(prefix).into_iter().map(read).collect()
    }

    /// Is there an intent, on any disk?
    pub(super) fn has_open(&self) -> bool {
        !self.0.scan("o/").is_empty() || !self.0.scan(entry::OPERATIONS).is_empty()
    }

    /// All outbox entries, oldest first.
    pub(super) fn pending(&self) -> Vec<(String, DiskNumber, AgentFrame)> {
        let entries = self.all::<(DiskNumber, AgentFrame)>(entry::OUTBOX);
        entries.into_iter().map(|(key, (disk, frame))| (key[entry::OUTBOX.len()..].to_owned(), disk, frame)).collect()
    }
}

impl<L: Lookup + ?Sized> View for Reads<'_, L> {
    fn intent(&self, attempt: &AttemptRef) -> Option<Intent> {
        self.all::<Intent>("o/").into_iter().map(|(_, intent)| intent).find(|intent| intent.attempt == *attempt)
    }

    fn outcome(&self, attempt: &AttemptRef) -> Option<Outcome> {
        self.one(&entry::outcome(attempt))
    }

    fn issued(&self, key: &JobKey) -> Option<IssuedLine> {
        self.one(&entry::issued(key))
    }

    fn open(&self, disk: &DiskNumber) -> Vec<Intent> {
        self.all(&entry::open_of(disk)).into_iter().map(|(_, intent)| intent).collect()
    }

    fn accounting(&self, disk: &DiskNumber, kind: InvoiceKind) -> Option<Accounting> {
        self.one(&entry::accounting(disk, kind))
    }

    fn owner(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<Owner> {
        self.one(&entry::owner(disk, kind, pair))
    }

    fn reversed_by(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<NumberPair> {
        self.one(&entry::reversal(disk, kind, pair))
    }

    fn unsettled(&self, disk: &DiskNumber) -> Vec<AttemptRef> {
        self.all(&entry::unsettled_of(disk)).into_iter().map(|(_, attempt)| attempt).collect()
    }

    fn is_decided(&self, disk: &DiskNumber, attempt: &AttemptRef) -> bool {
        self.one::<AttemptRef>(&entry::decided(disk, attempt)).is_some()
    }

    fn open_operation(&self, disk: &DiskNumber) -> Option<OperationIntent> {
        self.one(&entry::operation(disk))
    }

    fn open_operation_at(&self, port: &str) -> Option<OperationIntent> {
        self.all::<OperationIntent>(entry::OPERATIONS).into_iter().map(|(_, intent)| intent).find(|intent| intent.port == port)
    }

    fn operation_outcome(&self, id: &str) -> Option<OperationOutcome> {
        self.one(&entry::operation_outcome(id))
    }

    fn operation_evidence(&self, id: &str) -> Option<OperationEvidence> {
        self.one(&entry::operation_evidence(id))
    }

    fn unsettled_operation(&self, disk: &DiskNumber, name: DiskOperation, kind: Option<InvoiceKind>) -> Option<String> {
        self.one(&entry::unsettled_operation(disk, name, kind))
    }

    fn voided_by(&self, disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair) -> Option<String> {
        self.one(&entry::void(disk, kind, pair))
    }

    fn highest_sequence(&self, disk: &DiskNumber) -> u64 {
        self.one(&entry::sequence(disk)).unwrap_or(0)
    }

    fn outcomes_after(&self, disk: &DiskNumber, sequence: u64) -> Vec<Outcome> {
        let all = self.all::<Outcome>(entry::OUTCOMES).into_iter().map(|(_, outcome)| outcome);
        let mut found: Vec<Outcome> = all.filter(|outcome| outcome.disk == *disk && outcome.sequence > sequence).collect();
        found.sort_by_key(|outcome| outcome.sequence);
        found
    }

    fn outbox(&self, disk: &DiskNumber) -> Vec<(String, AgentFrame)> {
        self.pending().into_iter().filter(|(_, of, _)| of == disk).map(|(id, _, frame)| (id, frame)).collect()
    }

    fn password_stop(&self, port: &str) -> Option<String> {
        self.one(&entry::password_stop(port))
    }

    fn fresh_id(&self) -> String {
        unreachable!("ids are given by the journal, which counts them")
    }
}
