//! Settling: from a survey of the disk to what became of each open attempt.
//!
//! What this file refuses to do: call an attempt *not issued* because a query failed, because time passed, because the
//! journal has no record, or because of the class of an error; and call it *issued* because an equal invoice exists (I3, I10).

use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::link::AttemptResult;
use taxdisk_protocol::number::NumberPair;

use super::account::{self, Accounts};
use super::compare::{Fit, Open, fit};
use super::records::{Base, Owner, View};
use super::walk::{Plan, Survey};
use crate::fault::planted;

/// What the disk and its configuration allow to conclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// When nothing older can run on it.
    pub fence: Fence,
    /// The mark can be read back.
    pub mark_readable: bool,
    /// No other program uses this disk.
    pub exclusive: bool,
    /// First epoch of the broker's ledger as it is. One that went back forgot what was assigned before: an equal invoice may
    /// be that of a job which another agent issued and nobody remembers here, and `exclusive` says nothing of it.
    pub ledger_since: u64,
}

/// What a survey decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// One result for each open attempt, in their order.
    pub results: Vec<AttemptResult>,
    /// What it means for the accounts.
    pub accounts: Accounts,
}

/// What must be read to settle these attempts.
pub fn plan(kind: taxdisk_protocol::kind::InvoiceKind, opens: &[Open], bases: Vec<Base>) -> Plan {
    let named = |open: &Open| [open.named, open.signed.as_ref().map(|signed| signed.pair)];
    Plan {
        kind,
        bases,
        starts: opens.iter().filter_map(|open| open.expected).collect(),
        also: opens.iter().flat_map(named).flatten().collect(),
        against: opens.iter().filter_map(|open| open.request.clone()).collect(),
        ask: Vec::new(),
        resync: true,
        recount: false,
    }
}

/// Decides.
pub fn decide(
    survey: &Survey,
    opens: &[Open],
    rules: Rules,
    remaining_before: Option<u32>,
    disk: &DiskNumber,
    view: &dyn View,
) -> Decision {
    let fits: Vec<Vec<(NumberPair, Fit)>> = opens.iter().map(|open| fits_of(open, survey, rules, disk, view)).collect();
    let mut ours = Vec::new();
    let mut undecided: Vec<NumberPair> = Vec::new();
    let mut results = Vec::new();
    for (index, open) in opens.iter().enumerate() {
        let exclusive = rules.exclusive && (open.epoch >= rules.ledger_since || planted("forgotten_is_adopted"));
        let result = match verdict(index, &fits, exclusive) {
            Verdict::Issued(pair) => {
                ours.push((pair, Owner::Ours(open.attempt.clone())));
                issued(survey, pair)
            }
            Verdict::Doubtful(text) => {
                undecided.extend(fits[index].iter().map(|(pair, _)| *pair));
                unsettled(open, text)
            }
            Verdict::Nothing => match absence(survey, open, rules, remaining_before, disk, view) {
                Ok(()) => nothing_issued(open),
                Err(text) => unsettled(open, text),
            },
        };
        results.push(result);
    }
    let accounts = account::enter(survey, &ours, &undecided, remaining_before, disk, view);
    Decision { results, accounts }
}

enum Verdict {
    Issued(NumberPair),
    Doubtful(String),
    Nothing,
}

fn fits_of(open: &Open, survey: &Survey, rules: Rules, disk: &DiskNumber, view: &dyn View) -> Vec<(NumberPair, Fit)> {
    let against = &survey.plan.against;
    let index = open.request.as_ref().and_then(|request| against.iter().position(|other| other == request));
    let present = survey.numbers.iter().filter_map(|(pair, found)| found.as_ref().map(|found| (*pair, found)));
    let fits = present.map(|(pair, found)| (pair, fit(open, index, found, rules.mark_readable, disk, view)));
    fits.filter(|(pair, fit)| {
        // History from before our time can only be ours if it carries the mark.
        *fit != Fit::No && (*fit == Fit::Proof || !is_control(survey, open, *pair))
    })
    .collect()
}

/// The accounted pair is read as a positive control: it is somebody's already, unless the attempt began before it.
fn is_control(survey: &Survey, open: &Open, pair: NumberPair) -> bool {
    let before = |base: &Base| base.last().is_some_and(|last| last.code == pair.code && pair.number <= last.number);
    let began_before = open.expected.is_some_and(|expected| expected.code == pair.code && expected.number <= pair.number);
    !began_before && survey.plan.bases.iter().any(before)
}

fn verdict(index: usize, fits: &[Vec<(NumberPair, Fit)>], exclusive: bool) -> Verdict {
    let mine = &fits[index];
    let odd = mine.iter().find_map(|(_, fit)| if let Fit::Odd(text) = fit { Some(text) } else { None });
    let proofs: Vec<NumberPair> = mine.iter().filter(|(_, fit)| *fit == Fit::Proof).map(|(pair, _)| *pair).collect();
    let others_fit = |pair: NumberPair, proven_only: bool| {
        let fits_too = |(number, fit): &(NumberPair, Fit)| *number == pair && (*fit == Fit::Proof || !proven_only);
        fits.iter().enumerate().any(|(other, fits)| other != index && fits.iter().any(fits_too))
    };
    match (proofs.as_slice(), odd) {
        ([pair], None) if !others_fit(*pair, true) => return Verdict::Issued(*pair),
        ([], None) => {}
        ([], Some(text)) => return Verdict::Doubtful(text.clone()),
        (pairs, _) => {
            let list: Vec<String> = pairs.iter().map(ToString::to_string).collect();
            return Verdict::Doubtful(format!("more than one reading claims to be this attempt's: {}", list.join(", ")));
        }
    }
    match mine.as_slice() {
        [] => Verdict::Nothing,
        // I10: unowned (compare.rs), on a disk that nobody else uses, and the sole open attempt that it fits.
        [(pair, Fit::Equal)] if (exclusive || planted("equal_is_adopted")) && !others_fit(*pair, false) => Verdict::Issued(*pair),
        [(pair, _)] => Verdict::Doubtful(format!("{pair} holds an equal invoice, which may be another's: no mark tells")),
        several => Verdict::Doubtful(format!("{} equal invoices were found, and no mark tells whose they are", several.len())),
    }
}

/// Is it proven that no number that was read, or could be read, is this attempt's? The error says what is missing.
fn absence(
    survey: &Survey,
    open: &Open,
    rules: Rules,
    remaining_before: Option<u32>,
    disk: &DiskNumber,
    view: &dyn View,
) -> Result<(), String> {
    if rules.fence == Fence::None && !open.ended && !planted("fence_ignored") {
        return Err("nothing was found, but the component may still execute what it took".into());
    }
    // The ledger went back and lists it again. Its number may have been entered as another program's since.
    if view.is_decided(disk, &open.attempt) && !planted("decided_is_absent") {
        return Err("it was decided at the broker once, which has forgotten how: only a person can say it again".into());
    }
    if survey.cut {
        return Err("too many numbers were consumed to read them all".into());
    }
    let Some(start) = open.expected.or_else(|| survey.plan.bases.first().and_then(|base| base.next())) else {
        return Err("no accounted number is known from which to read".into());
    };
    if survey.current == Some(start) {
        if survey.present(start).is_some() {
            return Err(format!("the disk shows {start} as blank and as issued"));
        }
        // Unmoved. A found invoice proves that this conversation finds what is there.
        return if control(survey, start) || virgin(survey, disk, view) || planted("no_positive_control") {
            Ok(())
        } else {
            Err("no known invoice was found in the same conversation, so that an absence proves nothing".into())
        };
    }
    let (run, reaches) = survey.run(start);
    if reaches {
        // Every number up to the current one was read, and each is somebody else's.
        return Ok(());
    }
    // A pair that was read as the current one was consumed if the disk moved on. One that only follows the accounted one may
    // never have existed: the roll may end before it.
    if run.is_empty() && open.expected.is_some() {
        return Err(format!("the disk moved on from {start}, but says that it has no such invoice"));
    }
    // Another roll. Ours could be in what cannot be seen, unless the fall of the stock is explained to the last one.
    match remaining_before {
        Some(before) if before >= survey.remaining && account::unexplained_fall(survey, remaining_before).is_none() => Ok(()),
        _ => Err("the roll changed, and the numbers that were found do not explain the fall of the stock".into()),
    }
}

/// A known invoice of this kind and code width was found in this conversation.
fn control(survey: &Survey, near: NumberPair) -> bool {
    survey.numbers.iter().any(|(pair, found)| found.is_some() && pair.code.width() == near.code.width())
}

/// No invoice of this kind is known at all: the roll was blank at first contact, and is now.
fn virgin(survey: &Survey, disk: &DiskNumber, view: &dyn View) -> bool {
    let blank = |base: &Base| match base {
        Base::From(_) => base.last().is_none_or(|last| survey.absent(last) && view.owner(disk, survey.plan.kind, last).is_none()),
        Base::Last(_) => false,
    };
    !survey.plan.bases.is_empty() && survey.plan.bases.iter().all(blank)
}

fn issued(survey: &Survey, pair: NumberPair) -> AttemptResult {
    let (issued_at, fiscal_code, signature, printed) = survey.present(pair).map_or_else(Default::default, |found| {
        let read = found.invoice.clone();
        (read.issued_at, read.fiscal_code, read.signature, read.printed)
    });
    AttemptResult::Issued { pair, issued_at, fiscal_code, signature, printed, settled: true }
}

fn unsettled(open: &Open, text: String) -> AttemptResult {
    let class = open.doubt.as_ref().map_or(DeviceClass::DeviceFault, |doubt| doubt.class);
    AttemptResult::Unsettled { class, text }
}

fn nothing_issued(open: &Open) -> AttemptResult {
    match &open.doubt {
        Some(doubt) => AttemptResult::NotIssued { class: doubt.class, code: doubt.code.clone(), text: doubt.text.clone() },
        None if open.begun => AttemptResult::NotIssued {
            class: DeviceClass::Link,
            code: None,
            text: "it was cut off; the disk was read and holds nothing of it".into(),
        },
        None => AttemptResult::GivenBack { text: "it was never begun; the disk was read and holds nothing of it".into() },
    }
}
