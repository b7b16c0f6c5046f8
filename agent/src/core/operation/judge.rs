//! What readings say of an operation: before it, whether it may be sent; after it, what became of it.

use taxdisk_drivers::disk::{Limits, NumberStatus};
use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::number::NumberPair;

use super::{OperationIntent, OperationResult, Readings, Refusal, What};
use crate::core::compare::Doubt;
use crate::core::walk::Survey;

pub(in crate::core) fn is_void(status: NumberStatus) -> bool {
    matches!(status, NumberStatus::PositiveVoid | NumberStatus::NegativeVoid)
}

/// The day of a disk's time (`yyyyMMdd…`), comparable as text.
fn day(time: &str) -> Option<&str> {
    time.get(..8).filter(|day| day.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Judges the readings before. `clock`: that of the disk, now.
pub(in crate::core) fn judge_before(what: &What, before: &Readings, clock: Option<&str>) -> Result<Vec<String>, Refusal> {
    let mut warnings = Vec::new();
    let waiting = before.offline.as_ref().map_or(0, |totals| totals.count);
    let limits = what.kind().and_then(|kind| before.limits(kind));
    let deadline = limits.and_then(|limits| limits.issue_deadline.as_deref()).and_then(day);
    let today = clock.and_then(day);
    match what {
        What::Void { pair, .. } => {
            let Some(target) = &before.target else {
                return Err(Refusal::new(
                    DeviceClass::InvalidRequest,
                    format!("the disk has no invoice {pair}: check code, number and kind"),
                ));
            };
            if let (Some(deadline), Some(today)) = (deadline, today)
                && deadline < today
                && !is_void(target.status)
            {
                let text =
                    format!("the disk is locked since {deadline}, by its own clock ({today}): report and clear the period");
                return Err(Refusal::unless_confirmed(DeviceClass::Locked, text));
            }
            match target.status {
                NumberStatus::Positive | NumberStatus::Negative => {}
                NumberStatus::BlankVoid => {
                    return Err(Refusal::new(DeviceClass::InvalidRequest, format!("{pair} is a voided blank, not an invoice")));
                }
                _ => return Err(Refusal::new(DeviceClass::Duplicate, format!("{pair} is void already: nothing is left to do"))),
            }
            let month = |time: &str| time.get(..6).map(str::to_owned);
            if let (Some(issued), Some(now)) = (month(&target.issued_at), clock.and_then(month))
                && issued != now
            {
                warnings.push(format!("{pair} was issued in {issued}: after the period's report a disk voids nothing of it; reverse it by a red invoice"));
            }
        }
        What::Report { .. } if waiting > 0 => {
            return Err(Refusal::unless_confirmed(
                DeviceClass::Locked,
                format!(
                    "{waiting} invoices wait for upload, and a disk reports nothing before they are uploaded: run upload first"
                ),
            ));
        }
        What::Report { .. } => {
            let end = limits.and_then(|limits| limits.period.as_ref()).and_then(|(_, end)| day(end));
            if let (Some(end), Some(today)) = (end, today)
                && today < end
            {
                warnings.push(format!("the period runs until {end}, and by the disk's own clock it is {today}"));
            }
        }
        What::Clear { .. } if waiting > 0 => warnings.push(format!("{waiting} invoices wait for upload")),
        What::Upload { .. } if before.offline.is_none() => {
            return Err(Refusal::new(
                DeviceClass::Unsupported,
                "the disk does not tell what waits for upload, so that nothing could prove an upload",
            ));
        }
        What::Upload { .. } if waiting == 0 => {
            return Err(Refusal::new(DeviceClass::InvalidRequest, "no invoice waits for upload: nothing is left to do"));
        }
        _ => {}
    }
    Ok(warnings)
}

/// What the command's answer was, as far as settling is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::core) enum Heard {
    /// A clean OK.
    Clean,
    /// Unclear, or the process that sent it is gone.
    Doubt(Doubt),
}

impl Heard {
    fn class(&self) -> DeviceClass {
        match self {
            Heard::Clean => DeviceClass::DeviceFault,
            Heard::Doubt(doubt) => doubt.class,
        }
    }

    fn text(&self) -> String {
        match self {
            Heard::Clean => "the disk said that it was done".into(),
            Heard::Doubt(doubt) => doubt.text.clone(),
        }
    }
}

/// After an `Ok` resync on such a line nothing older can still run, so that a reading proves an absence.
fn is_fenced(fence: Fence) -> bool {
    matches!(fence, Fence::Ordered | Fence::Token)
}

fn unsettled(heard: &Heard, text: impl std::fmt::Display) -> OperationResult {
    OperationResult::Unsettled { class: heard.class(), text: format!("{}; {text}", heard.text()) }
}

fn not_done(heard: &Heard) -> OperationResult {
    OperationResult::NotDone { class: heard.class(), text: heard.text() }
}

/// Settles by the readings after. Blank voids and passwords have their own ways: [`judge_blank`], and trying.
pub(in crate::core) fn judge_after(intent: &OperationIntent, after: &Readings, heard: &Heard, fence: Fence) -> OperationResult {
    match &intent.what {
        What::Void { pair, .. } => match after.target.as_ref().map(|target| target.status) {
            Some(status) if is_void(status) => OperationResult::Done { read: true },
            Some(NumberStatus::Positive | NumberStatus::Negative) => match heard {
                Heard::Doubt(_) if is_fenced(fence) => not_done(heard),
                Heard::Doubt(_) => unsettled(heard, "the invoice is not void, but on this line the command may still run"),
                Heard::Clean => unsettled(heard, format!("but {pair} is still valid")),
            },
            _ => unsettled(heard, format!("and {pair} cannot be found any more")),
        },
        What::Report { kind } | What::Clear { kind } | What::RefreshOffline { kind } => {
            let (before, after) = (intent.before.limits(*kind), after.limits(*kind));
            match (before, after) {
                (Some(before), Some(after)) if moved(&intent.what, before, after) => OperationResult::Done { read: true },
                _ if *heard == Heard::Clean => OperationResult::Done { read: false },
                _ => unsettled(heard, "dates and limits of the disk are what they were, which proves nothing"),
            }
        }
        What::Upload { .. } => match (&intent.before.offline, &after.offline) {
            (Some(before), Some(after)) if after.count < before.count => OperationResult::Done { read: true },
            _ if *heard == Heard::Clean => OperationResult::Done { read: false },
            _ => unsettled(heard, "as many invoices wait for upload as before; a second command could stop an upload that runs"),
        },
        What::BlankVoid { .. } | What::ChangePassword { .. } | What::Status | What::Stock | What::Query { .. } => {
            unsettled(heard, "this reading cannot settle it")
        }
    }
}

/// Did that change which only this operation changes? A date that a disk begins to tell, or stops to tell, is no change.
fn moved(what: &What, before: &Limits, after: &Limits) -> bool {
    fn differs<T: PartialEq>(before: &Option<T>, after: &Option<T>) -> bool {
        matches!((before, after), (Some(before), Some(after)) if before != after)
    }
    let later = matches!((&before.issue_deadline, &after.issue_deadline), (Some(before), Some(after)) if after > before);
    match what {
        What::RefreshOffline { .. } => {
            differs(&before.offline_hours, &after.offline_hours) || differs(&before.offline_amount, &after.offline_amount)
        }
        What::Clear { .. } => later || differs(&before.period, &after.period),
        _ => differs(&before.period, &after.period),
    }
}

/// Settles a blank void: by the expected pair with the status blank-void. True: the number is the operation's own.
pub(in crate::core) fn judge_blank(
    expected: NumberPair,
    survey: &Survey,
    heard: &Heard,
    fence: Fence,
) -> (OperationResult, bool) {
    if let Some(found) = survey.present(expected) {
        return match found.invoice.status {
            NumberStatus::BlankVoid => (OperationResult::Done { read: true }, true),
            status => {
                let text = format!(
                    "{expected} is {}: another program took it, and which blank was voided, if any, cannot be told",
                    crate::core::account::status_text(status)
                );
                (unsettled(heard, text), false)
            }
        };
    }
    // A positive control of the same code width in the same conversation, or a roll that has no invoice yet.
    let control = survey.numbers.iter().any(|(pair, found)| found.is_some() && pair.code.width() == expected.code.width())
        || !survey.known.is_empty()
        || survey.plan.bases.iter().all(|base| base.last().is_none() || matches!(base, crate::core::records::Base::From(_)));
    let unmoved = survey.current == Some(expected) && survey.absent(expected);
    if unmoved && control && is_fenced(fence) && matches!(heard, Heard::Doubt(_)) {
        return (not_done(heard), false);
    }
    (unsettled(heard, format!("{expected} cannot be read as a voided blank")), false)
}
