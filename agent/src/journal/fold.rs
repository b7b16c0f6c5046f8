//! What a record changes: a pure function from (record, what is there) to changed keys. The last guard before the drive:
//! whatever the core decided, a number never gets a second owner, a job never a second invoice, an attempt never a second
//! intent.

use std::collections::BTreeMap;

use taxdisk_protocol::link::AttemptResult;
use taxdisk_protocol::printed::Printed;
use taxdisk_protocol::undo::Undoing;

use super::entry;
use super::reads::{Lookup, Reads};
use crate::core::operation::{OperationIntent, OperationOutcome, OperationResult, What};
use crate::core::records::{Accounting, Intent, IssuedLine, Outcome, Owner, Record, View};
use crate::fault::planted;
use crate::journal::JournalError;

/// Changed keys: `None` deletes.
pub(super) type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// Changes over what is there: later records of one batch see the earlier ones.
pub(super) struct Overlay<'a> {
    pub(super) below: &'a dyn Lookup,
    pub(super) changes: Changes,
}

impl Lookup for Overlay<'_> {
    fn value(&self, key: &str) -> Option<Vec<u8>> {
        match self.changes.get(key) {
            Some(change) => change.clone(),
            None => self.below.value(key),
        }
    }

    fn scan(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let mut entries: BTreeMap<String, Vec<u8>> = self.below.scan(prefix).into_iter().collect();
        for (key, change) in self.changes.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)) {
            match change {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        entries.into_iter().collect()
    }

    fn may_be_damaged(&self) -> bool {
        self.below.may_be_damaged()
    }
}

/// Folds records that belong together.
///
/// # Errors
/// [`JournalError::Conflict`]: a record contradicts what is there; none of them may be written.
pub(super) fn fold(records: &[Record], below: &dyn Lookup) -> Result<Changes, JournalError> {
    let mut overlay = Overlay { below, changes: Changes::new() };
    for record in records {
        fold_one(record, &mut overlay)?;
    }
    Ok(overlay.changes)
}

fn put<T: serde::Serialize>(overlay: &mut Overlay<'_>, key: String, value: &T) {
    let bytes = entry::encode(&key, value);
    overlay.changes.insert(key, Some(bytes));
}

fn conflict<T>(text: String) -> Result<T, JournalError> {
    Err(JournalError::Conflict(text))
}

fn fold_one(record: &Record, overlay: &mut Overlay<'_>) -> Result<(), JournalError> {
    match record {
        Record::Intent(intent) => fold_intent(intent, overlay),
        Record::Outcome(outcome) => fold_outcome(outcome, overlay),
        Record::Outbox { id, disk, frame } => {
            put(overlay, entry::outbox(id), &(disk, frame));
            Ok(())
        }
        Record::Acked { ids } => {
            for id in ids {
                overlay.changes.insert(entry::outbox(id), None);
            }
            Ok(())
        }
        Record::Accounted { disk, kind, base, remaining } => {
            put(overlay, entry::accounting(disk, *kind), &Accounting { base: *base, remaining: *remaining });
            Ok(())
        }
        Record::Owned { disk, kind, pair, owner, reverses } => {
            if let Some(original) = reverses {
                put(overlay, entry::reversal(disk, *kind, *original), pair);
            }
            let known = Reads(&*overlay).owner(disk, *kind, *pair);
            match (known, owner) {
                // The first attempt of the same job stays the owner.
                (Some(Owner::Ours(known)), Owner::Ours(new)) if known.key == new.key => Ok(()),
                (Some(Owner::Operation(known)), Owner::Operation(new)) if known == *new => Ok(()),
                (Some(Owner::Operation(known)), _) => {
                    conflict(format!("{kind} {pair} of disk {disk} was voided as a blank by operation {known}"))
                }
                (Some(Owner::Ours(known)), _) => conflict(format!("{kind} {pair} of disk {disk} belongs to {known} already")),
                _ => {
                    put(overlay, entry::owner(disk, *kind, *pair), owner);
                    Ok(())
                }
            }
        }
        Record::OperationEvidence(evidence) => {
            put(overlay, entry::operation_evidence(&evidence.id), evidence);
            Ok(())
        }
        Record::OperationIntent(intent) => fold_operation(intent, overlay),
        Record::OperationOutcome(outcome) => fold_operation_outcome(outcome, overlay),
        Record::SettledElsewhere { disk, attempts } => {
            for attempt in attempts {
                overlay.changes.insert(entry::unsettled(disk, attempt), None);
                put(overlay, entry::decided(disk, attempt), attempt);
            }
            Ok(())
        }
        Record::PasswordStop { port, text } => {
            put(overlay, entry::password_stop(port), text);
            Ok(())
        }
        Record::PasswordSet { port } => {
            overlay.changes.insert(entry::password_stop(port), None);
            Ok(())
        }
    }
}

fn fold_intent(intent: &Intent, overlay: &mut Overlay<'_>) -> Result<(), JournalError> {
    let reads = Reads(&*overlay);
    if let Some(open) = reads.open(&intent.disk).first() {
        return conflict(format!("{} cannot begin: {} on disk {} has no outcome yet", intent.attempt, open.attempt, intent.disk));
    }
    if let Some(open) = reads.open_operation(&intent.disk) {
        return conflict(format!("{} cannot begin: operation {} on disk {} is open", intent.attempt, open.id, intent.disk));
    }
    if let Some(known) = reads.outcome(&intent.attempt) {
        return conflict(format!("{} cannot begin again: it ended as {:?}", intent.attempt, known.result));
    }
    if let Some(issued) = reads.issued(&intent.attempt.key) {
        return conflict(format!("{} cannot begin: this serial number was issued as {}", intent.attempt, issued.pair));
    }
    raise_sequence(&intent.disk, intent.sequence, overlay);
    put(overlay, entry::open(&intent.disk, &intent.attempt), intent);
    Ok(())
}

fn fold_outcome(outcome: &Outcome, overlay: &mut Overlay<'_>) -> Result<(), JournalError> {
    let reads = Reads(&*overlay);
    if let AttemptResult::Issued { pair, issued_at, fiscal_code, .. } = &outcome.result {
        if let Some(known) = reads.issued(&outcome.attempt.key)
            && (known.pair != *pair || known.disk != outcome.disk || known.kind != outcome.kind)
        {
            return conflict(format!("{} was issued as {} already; it cannot be {pair} too", outcome.attempt.key, known.pair));
        }
        let line = IssuedLine {
            attempt: outcome.attempt.clone(),
            disk: outcome.disk.clone(),
            kind: outcome.kind,
            pair: *pair,
            issued_at: issued_at.clone(),
            fiscal_code: fiscal_code.clone(),
        };
        put(overlay, entry::issued(&outcome.attempt.key), &line);
    } else if let Some(known) = reads.outcome(&outcome.attempt)
        && matches!(known.result, AttemptResult::Issued { .. })
    {
        return conflict(format!("{} is issued; that cannot be taken back", outcome.attempt));
    }
    raise_sequence(&outcome.disk, outcome.sequence, overlay);
    let reads = Reads(&*overlay);
    let intent = reads.one::<Intent>(&entry::open(&outcome.disk, &outcome.attempt));
    let (hash, mark, meant) =
        intent.map_or((None, None, None), |intent| (Some(intent.content_hash), intent.mark, intent.undoing));
    let known = reads.outcome(&outcome.attempt).filter(|known| known.sequence == outcome.sequence);
    let (known_hash, known_mark, known_undoing) =
        known.map_or((None, None, None), |known| (known.content_hash, known.mark, known.undoing));
    let content_hash = outcome.content_hash.clone().or(hash).or(known_hash);
    let mark = outcome.mark.clone().or(mark).or(known_mark);
    let undoing = outcome.undoing.or(meant).or(known_undoing);
    // An attempt that was settled after a restart, when its content was not known any more: its intent tells what it reversed.
    if let (AttemptResult::Issued { pair, .. }, Some(Undoing::Of(original))) = (&outcome.result, undoing) {
        put(overlay, entry::reversal(&outcome.disk, outcome.kind, original), pair);
    }
    overlay.changes.insert(entry::open(&outcome.disk, &outcome.attempt), None);
    if planted("index_purged") {
        overlay.changes.insert(entry::issued(&outcome.attempt.key), None);
        return Ok(());
    }
    put(overlay, entry::outcome(&outcome.attempt), &Outcome { content_hash, mark, undoing, ..compact(outcome) });
    let unsettled = entry::unsettled(&outcome.disk, &outcome.attempt);
    if matches!(outcome.result, AttemptResult::Unsettled { .. }) {
        put(overlay, unsettled, &outcome.attempt);
    } else {
        overlay.changes.insert(unsettled, None);
    }
    Ok(())
}

fn fold_operation(intent: &OperationIntent, overlay: &mut Overlay<'_>) -> Result<(), JournalError> {
    let reads = Reads(&*overlay);
    let disk = &intent.disk;
    if let Some(open) = reads.open(disk).first() {
        return conflict(format!("operation {} cannot begin: {} on disk {disk} has no outcome yet", intent.id, open.attempt));
    }
    if let Some(open) = reads.open_operation(disk) {
        return conflict(format!("operation {} cannot begin: operation {} on disk {disk} is open", intent.id, open.id));
    }
    if reads.operation_outcome(&intent.id).is_some() && !planted("blank_void_repeated") {
        return conflict(format!("operation {} cannot begin again: it has ended", intent.id));
    }
    if let What::Void { kind, pair, .. } = &intent.what {
        if let Some(known) = reads.voided_by(disk, *kind, *pair) {
            return conflict(format!("{pair} cannot be voided again: operation {known} did"));
        }
        put(overlay, entry::void(disk, *kind, *pair), &intent.id);
    }
    put(overlay, entry::operation(disk), intent);
    Ok(())
}

fn fold_operation_outcome(outcome: &OperationOutcome, overlay: &mut Overlay<'_>) -> Result<(), JournalError> {
    let OperationOutcome { intent, result, .. } = outcome;
    let disk = &intent.disk;
    let reads = Reads(&*overlay);
    if reads.open_operation(disk).is_none_or(|open| open.id != intent.id) {
        return conflict(format!("operation {} is not open on disk {disk}: it cannot end", intent.id));
    }
    overlay.changes.insert(entry::operation(disk), None);
    let done = matches!(result, OperationResult::Done { .. });
    if let What::Void { kind, pair, .. } = &intent.what
        && !done
    {
        // An unsettled one may be asked for again: its target's status is read first, and a disk voids a number once.
        overlay.changes.insert(entry::void(disk, *kind, *pair), None);
    }
    if let Some(name) = intent.what.operation() {
        let key = entry::unsettled_operation(disk, name, intent.what.kind());
        match result {
            OperationResult::Unsettled { .. } => put(overlay, key, &intent.id),
            // One that was proven not to have run says nothing about an earlier one.
            OperationResult::NotDone { .. } => {}
            OperationResult::Done { .. } => drop(overlay.changes.insert(key, None)),
        }
    }
    put(overlay, entry::operation_outcome(&intent.id), outcome);
    Ok(())
}

/// The index line without the signature and what is printed (half a kilobyte each, for ever): the disk can be read for them.
fn compact(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    if let AttemptResult::Issued { signature, printed, .. } = &mut outcome.result {
        signature.clear();
        *printed = Printed::default();
    }
    outcome
}

fn raise_sequence(disk: &taxdisk_protocol::ids::DiskNumber, sequence: u64, overlay: &mut Overlay<'_>) {
    let highest = Reads(&*overlay).highest_sequence(disk);
    put(overlay, entry::sequence(disk), &highest.max(sequence));
}
