//! Does an invoice that was read belong to an attempt? Three answers, and only one of them is proof.
//!
//! What this file refuses to do: take equal content for proof (two sold coffees are equal), or use the time as a criterion.

use std::sync::Arc;

use taxdisk_drivers::disk::{Comparison, Signed};
use taxdisk_protocol::api::InvoiceBody;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::invoice::Invoice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{Assignment, AttemptRef, AttemptResult, OpenAttempt};
use taxdisk_protocol::mark::{find_mark, mark as mark_of, marked_remark};
use taxdisk_protocol::number::NumberPair;

use super::effect::{Found, Request};
use super::records::{Intent, Outcome, Owner, View};
use crate::fault::planted;

/// Turns an invoice's wire form into its domain form; the error is for people.
pub type Parse = fn(&InvoiceBody, InvoiceKind) -> Result<Invoice, String>;

impl Request {
    /// Parses an assignment.
    ///
    /// # Errors
    /// What is wrong with its content, for people.
    pub fn parse(assignment: &Assignment, parse: Parse) -> Result<Request, String> {
        let invoice = parse(&assignment.invoice, assignment.kind)?;
        let remark = marked_remark(&invoice.remark, assignment.mark.as_deref());
        Ok(Request { assignment: assignment.clone(), invoice, remark })
    }
}

/// What an unclear answer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Class.
    pub class: DeviceClass,
    /// The device's code.
    pub code: Option<String>,
    /// For people.
    pub text: String,
}

/// An attempt of which it must be found out whether it issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Which.
    pub attempt: AttemptRef,
    /// Epoch of its assignment.
    pub epoch: u64,
    /// Sequence of its assignment.
    pub sequence: u64,
    /// Kind.
    pub kind: InvoiceKind,
    /// Its content, where it is known and could be parsed.
    pub request: Option<Arc<Request>>,
    /// Its mark, if the seller has it on.
    pub mark: Option<String>,
    /// The journalled pair, from our journal or from the broker.
    pub expected: Option<NumberPair>,
    /// A pair that a late outcome named.
    pub named: Option<NumberPair>,
    /// The device answered OK with this, but not with the expected pair.
    pub signed: Option<Signed>,
    /// An intent exists, here or elsewhere: it may have been sent.
    pub begun: bool,
    /// What the unclear answer said, if there was one in this process.
    pub doubt: Option<Doubt>,
    /// The component's own answer to this very command came: it does not run any more, whatever the fence. Known only in the
    /// process that heard it.
    pub ended: bool,
    /// It ended unsettled before, and is looked at because numbers are accounted for that may be its own: only news is told.
    pub again: bool,
    /// Milliseconds of the disk's commands so far.
    pub disk_ms: u64,
}

impl Open {
    /// From what the broker lists, with what the journal knows.
    pub fn listed(open: &OpenAttempt, view: &dyn View, parse: Parse) -> Open {
        let assignment = &open.assignment;
        let intent = view.intent(&assignment.attempt);
        let earlier = view.outcome(&assignment.attempt).filter(|outcome| outcome.sequence == assignment.sequence);
        let earlier = earlier.and_then(|outcome| outcome.expected);
        let expected = intent.as_ref().map(|intent| intent.expected).or(earlier).or(open.expected);
        Open {
            attempt: assignment.attempt.clone(),
            epoch: open.epoch,
            sequence: assignment.sequence,
            kind: assignment.kind,
            request: Request::parse(assignment, parse).ok().map(Arc::new),
            mark: assignment.mark.clone(),
            expected,
            named: open.named,
            signed: None,
            begun: expected.is_some(),
            doubt: None,
            ended: false,
            again: false,
            disk_ms: 0,
        }
    }

    /// From an intent that the broker does not list: its content is not known here any more.
    pub fn remembered(intent: &Intent) -> Open {
        Open {
            attempt: intent.attempt.clone(),
            epoch: intent.epoch,
            sequence: intent.sequence,
            kind: intent.kind,
            request: None,
            mark: intent.mark.clone(),
            expected: Some(intent.expected),
            named: None,
            signed: None,
            begun: true,
            doubt: None,
            ended: false,
            again: false,
            disk_ms: 0,
        }
    }

    /// From an outcome that is unsettled and known here. `None`: it is not, or nothing tells from which number on to look.
    pub fn unsettled(outcome: Outcome) -> Option<Open> {
        let AttemptResult::Unsettled { class, text } = outcome.result else { return None };
        let intent = Intent {
            attempt: outcome.attempt,
            content_hash: String::new(),
            disk: outcome.disk,
            kind: outcome.kind,
            expected: outcome.expected?,
            mark: outcome.mark,
            trace: None,
            epoch: outcome.epoch,
            sequence: outcome.sequence,
            undoing: outcome.undoing,
            at: outcome.at,
        };
        Some(Open { doubt: Some(Doubt { class, code: None, text }), again: true, ..Open::remembered(&intent) })
    }
}

/// How an invoice on the disk relates to an open attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// Not this attempt's.
    No,
    /// This attempt's, proven.
    Proof,
    /// Equal, but another program may have issued an equal one.
    Equal,
    /// Evidence that contradicts itself: our mark on other content, or a number that has another owner. For a person.
    Odd(String),
}

/// Compares. `index` is the place of this attempt's request in the query's list, if it was in it.
pub fn fit(open: &Open, index: Option<usize>, found: &Found, mark_readable: bool, disk: &DiskNumber, view: &dyn View) -> Fit {
    let pair = found.invoice.pair;
    let owner = view.owner(disk, open.kind, pair);
    if let Some(Owner::Ours(owner)) = &owner {
        return if owner.key == open.attempt.key { Fit::Proof } else { Fit::No };
    }
    let comparison = index.and_then(|index| found.comparisons.get(index));
    // Our request proves that it is ours, mark or no mark. Another one proves nothing: a component may cut or rewrite requests,
    // and an invoice taken for foreign would be issued again.
    if found.invoice.request_id.as_deref() == Some(open.attempt.key.serial.as_str()) {
        return by_request(open, comparison, pair);
    }
    // Of one that is only remembered it may not be known that it is marked: its mark says so itself, and another's that it is
    // not.
    if open.again
        && mark_readable
        && let Some(found) = find_mark(&found.invoice.remark)
    {
        return if found == mark_of(&open.attempt.key) { Fit::Proof } else { Fit::No };
    }
    match open.mark.as_deref().filter(|_| mark_readable) {
        Some(mark) if find_mark(&found.invoice.remark) != Some(mark) => Fit::No,
        Some(_) => match comparison {
            // Without the content at hand the mark alone speaks, and it is exact.
            Some(Comparison::Equal) | None => Fit::Proof,
            Some(Comparison::Different(fields)) => {
                Fit::Odd(format!("{pair} carries the mark of {} but differs in {}", open.attempt.key, fields.join(", ")))
            }
        },
        None => unmarked(open, comparison, found, owner.as_ref()),
    }
}

fn by_request(open: &Open, comparison: Option<&Comparison>, pair: NumberPair) -> Fit {
    match comparison {
        Some(Comparison::Equal) | None => Fit::Proof,
        Some(Comparison::Different(fields)) => {
            Fit::Odd(format!("{pair} was issued for the request of {} but differs in {}", open.attempt.key, fields.join(", ")))
        }
    }
}

fn unmarked(open: &Open, comparison: Option<&Comparison>, found: &Found, owner: Option<&Owner>) -> Fit {
    let pair = found.invoice.pair;
    let before = |expected: NumberPair| expected.code == pair.code && pair.number < expected.number;
    // A number that was consumed before the expected one was read cannot be this attempt's; a foreign one stays foreign.
    if open.expected.is_some_and(before) || owner.is_some() {
        return Fit::No;
    }
    match comparison {
        Some(Comparison::Different(_)) => Fit::No,
        Some(Comparison::Equal) => {
            let signed = |signed: &Signed| {
                signed.pair == pair && !signed.fiscal_code.is_empty() && signed.fiscal_code == found.invoice.fiscal_code
            };
            // A late answer to an earlier attempt may name a number of a roll that is used up.
            let same_roll = open.expected.is_none_or(|expected| expected.code == pair.code);
            let proven = (same_roll && open.signed.as_ref().is_some_and(signed)) || planted("equal_is_proof");
            if proven { Fit::Proof } else { Fit::Equal }
        }
        None => Fit::Odd(format!("{pair} cannot be compared: the content of {} is not known here", open.attempt)),
    }
}
