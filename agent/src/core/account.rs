//! Accounting (I5): enters every number that was consumed since the last accounted one as ours or foreign.
//!
//! What it refuses to do: step over a number in silence, or go on when the disk contradicts what is durable (a blank number
//! that was consumed before).

use sha2::{Digest, Sha256};

use taxdisk_drivers::disk::{FoundInvoice, NumberStatus};
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::Accounted;
use taxdisk_protocol::mark::find_mark;
use taxdisk_protocol::number::NumberPair;

use super::records::{Accounting, Base, Owner, View};
use super::walk::Survey;

/// One number that was read and entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Code and number.
    pub pair: NumberPair,
    /// Whose it is.
    pub owner: Owner,
    /// Status as the disk gave it.
    pub status: &'static str,
    /// Hash over what was read, hex.
    pub digest: String,
    /// The invoice that it reverses, where the disk tells.
    pub reverses: Option<NumberPair>,
}

/// What a survey means for the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// Numbers that were read and entered, in their order.
    pub entries: Vec<Entry>,
    /// Up to where all is accounted for now; `None`: nothing is known to advance.
    pub base: Option<Base>,
    /// What a person should know.
    pub note: Option<String>,
    /// The disk contradicts what is durable: nothing may be issued until it does not.
    pub contradiction: Option<String>,
}

/// The bases to start from: the journal's and the broker's. On one code the higher one; on two codes both, since it cannot be
/// told which is newer.
pub fn bases(journal: Option<Accounting>, broker: &[Accounted], kind: InvoiceKind) -> Vec<Base> {
    let journal = journal.map(|accounting| accounting.base);
    let broker = broker.iter().find(|accounted| accounted.kind == kind).map(|accounted| Base::Last(accounted.last));
    match (journal, broker) {
        (None, None) => Vec::new(),
        (Some(base), None) | (None, Some(base)) => vec![base],
        (Some(ours), Some(theirs)) => match (ours.next(), theirs.next()) {
            (Some(our), Some(their)) if our.code == their.code => vec![if our.number >= their.number { ours } else { theirs }],
            _ => vec![ours, theirs],
        },
    }
}

/// Does the current pair follow the accounted one, so that nothing needs to be read?
pub fn follows(bases: &[Base], current: NumberPair) -> bool {
    matches!(bases, [base] if base.next() == Some(current))
}

/// Status as it is told.
pub fn status_text(status: NumberStatus) -> &'static str {
    match status {
        NumberStatus::Positive => "positive",
        NumberStatus::Negative => "negative",
        NumberStatus::BlankVoid => "blank_void",
        NumberStatus::PositiveVoid => "positive_void",
        NumberStatus::NegativeVoid => "negative_void",
    }
}

pub(super) fn digest(invoice: &FoundInvoice) -> String {
    let text = serde_json::to_vec(invoice).expect("a found invoice holds text and integers only, which JSON always holds");
    hex::encode(Sha256::digest(text))
}

/// Enters what a survey found. `ours`: numbers that settling proved to be an attempt's or an operation's; `open`: numbers that
/// may be an attempt's and stay nobody's until a person or a better reading decides.
pub fn enter(
    survey: &Survey,
    ours: &[(NumberPair, Owner)],
    open: &[NumberPair],
    remaining_before: Option<u32>,
    disk: &DiskNumber,
    view: &dyn View,
) -> Accounts {
    let kind = survey.plan.kind;
    let mut notes = Vec::new();
    let mut entries = Vec::new();
    for (pair, found) in &survey.numbers {
        let Some(found) = found else { continue };
        let proven = ours.iter().find(|(number, _)| number == pair).map(|(_, owner)| owner.clone());
        let known = view.owner(disk, kind, *pair);
        if (known.is_some() && proven.is_none()) || (proven.is_none() && is_history(survey, *pair)) {
            continue;
        }
        if open.contains(pair) && proven.is_none() {
            notes.push(format!("{pair} may be an open attempt's; it stays undecided"));
            continue;
        }
        if proven.is_none()
            && let Some(mark) = find_mark(&found.invoice.remark)
        {
            notes.push(format!("{pair} carries the mark {mark}, which no open attempt on this disk has"));
        }
        entries.push(Entry {
            pair: *pair,
            owner: proven.unwrap_or(Owner::Foreign),
            status: status_text(found.invoice.status),
            digest: digest(&found.invoice),
            reverses: found.invoice.original,
        });
    }
    let contradiction = contradiction(survey, disk, view);
    if let Some(fall) = unexplained_fall(survey, remaining_before) {
        notes.push(format!("{fall} more blank invoices are gone than numbers were found consumed"));
    }
    if survey.cut {
        notes.push(format!("more than {} numbers would have to be read; the rest was not", super::walk::NUMBERS_MAX));
    }
    let base = if contradiction.is_some() { None } else { next_base(survey) };
    Accounts { entries, base, note: (!notes.is_empty()).then(|| notes.join("; ")), contradiction }
}

/// Lies before the first number that we ever had to account for.
fn is_history(survey: &Survey, pair: NumberPair) -> bool {
    let bases = &survey.plan.bases;
    let before = |base: &Base| base.last().is_some_and(|last| last.code == pair.code && pair.number <= last.number);
    bases.is_empty() || bases.iter().any(before)
}

/// The numbers that were consumed since the bases.
fn consumed(survey: &Survey) -> u64 {
    survey.numbers.iter().filter(|(pair, found)| found.is_some() && !is_history(survey, **pair)).count() as u64
}

/// How many more blank invoices are gone than numbers were found. `None`: explained, or it cannot be told (stock was added).
pub fn unexplained_fall(survey: &Survey, remaining_before: Option<u32>) -> Option<u64> {
    let fall = u64::from(remaining_before?.checked_sub(survey.remaining)?);
    fall.checked_sub(consumed(survey)).filter(|rest| *rest > 0)
}

fn contradiction(survey: &Survey, disk: &DiskNumber, view: &dyn View) -> Option<String> {
    let current = survey.current?;
    if survey.present(current).is_some() || view.owner(disk, survey.plan.kind, current).is_some() {
        return Some(format!("the disk shows {current} as its next number, but that number was consumed before"));
    }
    None
}

fn next_base(survey: &Survey) -> Option<Base> {
    let starts = survey.plan.bases.iter().filter_map(|base| base.next());
    let Some(current) = survey.current else {
        // No stock: as far as the numbers go without a hole.
        return starts.filter_map(|start| survey.run(start).0.last().copied()).next_back().map(Base::Last);
    };
    // Unmoved: what was known of the last number stays known, whether it could be found now or not.
    if let Some(base) = survey.plan.bases.iter().find(|base| base.next() == Some(current)) {
        return Some(*base);
    }
    match current.predecessor() {
        Some(before) if survey.present(before).is_some() => Some(Base::Last(before)),
        _ => Some(Base::From(current)),
    }
}
