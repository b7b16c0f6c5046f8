//! What is made durable and told when something ended: the records and the frame are built together, so that the broker never
//! hears of what is not in the journal.
//!
//! What it refuses to do: delete an index line, or answer a repeated assignment by doing anything.

use taxdisk_protocol::api::{OperationResultView, OperationVerdict};
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, Assignment, AttemptRef, AttemptResult, NumberEntry, OpenAttempt, Reading};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;
use taxdisk_protocol::undo::Undoing;

use super::Context;
use super::account::{Accounts, Entry};
use super::disk::readings;
use super::operation::{OperationResult, OrderReport, Verdict};
use super::records::{Outcome, Owner, Record, View};

/// Facts of an attempt that its outcome names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Which.
    pub attempt: AttemptRef,
    /// Epoch of the assignment.
    pub epoch: u64,
    /// Sequence of the assignment.
    pub sequence: u64,
    /// Kind.
    pub kind: InvoiceKind,
    /// The journalled pair, if it came so far.
    pub expected: Option<NumberPair>,
    /// How.
    pub result: AttemptResult,
    /// Readings that led to it.
    pub readings: Vec<Reading>,
    /// Milliseconds of the disk's commands.
    pub disk_ms: u64,
    /// What it does to an earlier invoice; `None`: not known here, and the intent tells.
    pub undoing: Option<Undoing>,
}

/// Records and frame of an ended attempt. They go into one write.
pub fn ended(ending: Ending, disk: &DiskNumber, context: &Context<'_>) -> (Vec<Record>, AgentFrame) {
    let id = context.view.fresh_id();
    let frame = AgentFrame::Outcome {
        id: id.clone(),
        disk: disk.clone(),
        epoch: ending.epoch,
        sequence: ending.sequence,
        attempt: ending.attempt.clone(),
        expected: ending.expected,
        outcome: ending.result.clone(),
        readings: ending.readings,
        disk_ms: ending.disk_ms,
    };
    let mut records = Vec::new();
    if let AttemptResult::Issued { pair, .. } = &ending.result {
        let reverses = ending.undoing.and_then(Undoing::original);
        records.push(owned(disk, ending.kind, *pair, Owner::Ours(ending.attempt.clone()), reverses));
    }
    records.push(Record::Outcome(Outcome {
        attempt: ending.attempt,
        disk: disk.clone(),
        kind: ending.kind,
        epoch: ending.epoch,
        sequence: ending.sequence,
        content_hash: None,
        mark: None,
        expected: ending.expected,
        undoing: ending.undoing,
        result: ending.result,
        at: context.at.to_owned(),
    }));
    records.push(Record::Outbox { id, disk: disk.clone(), frame: frame.clone() });
    (records, frame)
}

fn owned(disk: &DiskNumber, kind: InvoiceKind, pair: NumberPair, owner: Owner, reverses: Option<NumberPair>) -> Record {
    Record::Owned { disk: disk.clone(), kind, pair, owner, reverses }
}

fn told(entry: &Entry) -> NumberEntry {
    NumberEntry { pair: entry.pair, owner: (&entry.owner).into(), status: entry.status.to_owned(), digest: entry.digest.clone() }
}

/// Numbers that were read before this grant are told under it: they are facts of the disk, whoever owned it then, and the broker
/// enters only what comes under the present epoch. An outcome keeps the epoch of its assignment.
pub fn under(frame: AgentFrame, epoch: u64) -> AgentFrame {
    match frame {
        AgentFrame::Accounted { id, disk, kind, entries, last, note, .. } => {
            AgentFrame::Accounted { id, disk, epoch, kind, entries, last, note }
        }
        frame => frame,
    }
}

/// Records and frame of what a survey entered. No frame where there is nothing to tell.
pub fn accounted(
    accounts: &Accounts,
    kind: InvoiceKind,
    remaining: u32,
    epoch: u64,
    disk: &DiskNumber,
    context: &Context<'_>,
) -> (Vec<Record>, Option<AgentFrame>) {
    let entered = |entry: &Entry| owned(disk, kind, entry.pair, entry.owner.clone(), entry.reverses);
    let mut records: Vec<Record> = accounts.entries.iter().map(entered).collect();
    let before = context.view.accounting(disk, kind).map(|accounting| accounting.base);
    let Some(base) = accounts.base else { return (records, None) };
    records.push(Record::Accounted { disk: disk.clone(), kind, base, remaining: Some(remaining) });
    let news = !accounts.entries.is_empty() || accounts.note.is_some() || before != Some(base);
    let Some(last) = base.last().filter(|_| news) else { return (records, None) };
    let id = context.view.fresh_id();
    let frame = AgentFrame::Accounted {
        id: id.clone(),
        disk: disk.clone(),
        epoch,
        kind,
        entries: accounts.entries.iter().map(told).collect(),
        last,
        note: accounts.note.clone(),
    };
    records.push(Record::Outbox { id, disk: disk.clone(), frame: frame.clone() });
    (records, Some(frame))
}

/// Record and frame of an operation that the broker asked for.
pub fn operated(report: &OrderReport, epoch: u64, disk: &DiskNumber, context: &Context<'_>) -> (Record, AgentFrame) {
    let id = context.view.fresh_id();
    let verdict = match report.verdict.clone() {
        Verdict::Read => OperationVerdict::Read,
        Verdict::Allowed { warnings } => OperationVerdict::Allowed { warnings },
        Verdict::Refused { class, text, anyway } => OperationVerdict::Refused { class, text, anyway },
        Verdict::Ended(OperationResult::Done { read }) => OperationVerdict::Done { read },
        Verdict::Ended(OperationResult::NotDone { class, text }) => OperationVerdict::NotDone { class, text },
        Verdict::Ended(OperationResult::Unsettled { class, text }) => OperationVerdict::Unsettled { class, text },
    };
    let (before, after) = (readings(&report.before), readings(&report.after));
    let result = Box::new(OperationResultView { verdict, before, after });
    let frame = AgentFrame::Operated { id: id.clone(), disk: disk.clone(), epoch, operation: report.id.clone(), result };
    (Record::Outbox { id, disk: disk.clone(), frame: frame.clone() }, frame)
}

/// What the journal already knows of an attempt, told again. `None`: nothing final is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// It still lies in the outbox: tell it once more.
    Tell(AgentFrame),
    /// It was acknowledged before: a new entry, made durable first.
    Write(Vec<Record>, AgentFrame),
}

/// Answers from the index: with what lies in the outbox, if it is there.
pub fn again(assignment: &Assignment, epoch: u64, disk: &DiskNumber, context: &Context<'_>) -> Option<Again> {
    let attempt = &assignment.attempt;
    let of = |frame: &AgentFrame| match frame {
        AgentFrame::Outcome { attempt: of, outcome, .. } => of == attempt && !matches!(outcome, AttemptResult::Unsettled { .. }),
        _ => false,
    };
    let waits = || context.view.outbox(disk).into_iter().find(|(_, frame)| of(frame));
    if known(assignment, context.view).is_some()
        && let Some((_, frame)) = waits()
    {
        return Some(Again::Tell(frame));
    }
    afresh(assignment, epoch, disk, context)
}

/// What ended, and not as unsettled. With another sequence it was another attempt: its number was given twice, by a ledger that
/// went back in between.
fn known(assignment: &Assignment, view: &dyn View) -> Option<Outcome> {
    let known = view.outcome(&assignment.attempt).filter(|outcome| outcome.sequence == assignment.sequence);
    known.filter(|outcome| !matches!(outcome.result, AttemptResult::Unsettled { .. }))
}

/// The index says that it was given back and never began, and the broker has heard that it did: then an older journal than this
/// one knew of it, and only the disk can say what became of it.
pub fn is_contradicted(open: &OpenAttempt, view: &dyn View) -> bool {
    let unbegun = |known: &Outcome| known.expected.is_none() && matches!(known.result, AttemptResult::GivenBack { .. });
    open.expected.is_some() && known(&open.assignment, view).as_ref().is_some_and(unbegun)
}

/// Answers from the index, as something new.
pub fn afresh(assignment: &Assignment, epoch: u64, disk: &DiskNumber, context: &Context<'_>) -> Option<Again> {
    let (attempt, sequence, kind) = (&assignment.attempt, assignment.sequence, assignment.kind);
    let ending = match (known(assignment, context.view), context.view.issued(&attempt.key)) {
        (Some(outcome), _) => Ending {
            attempt: attempt.clone(),
            epoch: outcome.epoch,
            sequence: outcome.sequence,
            kind: outcome.kind,
            expected: outcome.expected,
            result: outcome.result,
            readings: Vec::new(),
            disk_ms: 0,
            undoing: outcome.undoing,
        },
        // Another attempt of the same job issued: there is a legal invoice, whatever the ledger believes (I1).
        (None, Some(line)) if line.disk == *disk && line.kind == kind => Ending {
            attempt: attempt.clone(),
            epoch,
            sequence,
            kind,
            expected: None,
            result: AttemptResult::Issued {
                pair: line.pair,
                issued_at: line.issued_at,
                fiscal_code: line.fiscal_code,
                signature: String::new(),
                printed: Printed::default(),
                settled: true,
            },
            readings: Vec::new(),
            disk_ms: 0,
            undoing: None,
        },
        (None, Some(line)) => Ending {
            attempt: attempt.clone(),
            epoch,
            sequence,
            kind,
            expected: None,
            result: AttemptResult::Unsettled {
                class: taxdisk_protocol::class::DeviceClass::Duplicate,
                text: format!("this serial number was issued as {} {} on disk {}", line.kind, line.pair, line.disk),
            },
            readings: Vec::new(),
            disk_ms: 0,
            undoing: None,
        },
        (None, None) => return None,
    };
    let (records, frame) = ended(ending, disk, context);
    Some(Again::Write(records, frame))
}
