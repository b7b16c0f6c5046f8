//! Issuing into trouble: whatever the driver answers must agree with the disk's ledger, and reading must tell the truth.

use super::session::{REQUEST_ID, Session, failed};
use super::{Outcome, Stand, Stop, Trouble, ensure, sample};
use crate::disk::{Comparison, IssueAnswer, IssueRequest};
use crate::sim::LedgerEntry;
use crate::sim::ledger::Origin;

/// Ours, as the disk gives it back.
const REMARK: &str = "一致性 #CONFORM";

/// Issues once with the trouble around it, then settles as the agent does: reopen, resync, read the pair, query the expected
/// number. Guards I1 (one command, at most one number) and what `NotSent` and `Signed` promise.
pub(super) fn issue_and_settle(stand: &mut dyn Stand, trouble: Trouble) -> Outcome {
    let mut session = Session::open(stand)?;
    let invoice = sample::plain(&session.capabilities());
    // A number that must be found later: absence counts only beside it.
    let known = session.issue_well(&invoice, "", None)?.pair;
    let expected = session.stock()?.current;
    let before = session.ledger().len();
    let (capabilities, fence) = (session.capabilities(), session.disk.fence());
    if let Some(why) = trouble.excluded_by(&capabilities, fence) {
        return Err(Stop::NotApplicable(why.to_owned()));
    }
    let remark = sample::fitting(capabilities.widths.remark, REMARK);
    ensure!(session.stand.trouble(trouble), "it can happen to this device, and the stand cannot make it");
    let answer = session.issue(expected, &invoice, &remark, None);
    let mut session = session.reopen()?;
    let entries = session.ledger();
    let new: Vec<_> = entries[before..].iter().filter(|entry| entry.kind == session.kind).collect();
    let is_ours = |entry: &&&LedgerEntry| entry.origin == Origin::Host && entry.remark == remark;
    let ours = new.iter().filter(is_ours).count();
    let theirs = new.len() - ours;
    ensure!(ours <= 1, "one command made {ours} invoices");
    ensure!(theirs == usize::from(trouble == Trouble::ForeignInvoice), "of others there are {theirs} invoices");
    // The trouble came about, or the case has shown nothing.
    let signs = !matches!(trouble, Trouble::LostCommand | Trouble::RefusedBefore | Trouble::PowerCutBefore);
    ensure!(signs || new.is_empty(), "nothing was to be signed, and the ledger has {new:?}");
    ensure!(!signs || !new.is_empty(), "something was to be signed, and the ledger has nothing new");
    match &answer {
        IssueAnswer::Signed(signed) => {
            let told = new.iter().find(is_ours).map(|entry| entry.pair());
            ensure!(told == Some(signed.pair), "it says {signed:?}, the ledger {new:?}");
        }
        IssueAnswer::NotSent(error) => ensure!(ours == 0, "it says that nothing was sent ({error}), and the number is used"),
        // Neither proves anything about the number: the readings below do.
        IssueAnswer::Refused(_) | IssueAnswer::InDoubt(_) => {}
    }
    // A disk that tells no content must prove a lost answer within the call, as nobody can do so later.
    if matches!(trouble, Trouble::LostAnswer | Trouble::PowerCutAfter) && capabilities.numbers_readable {
        ensure!(!matches!(answer, IssueAnswer::Signed(_)), "nothing was answered, and it says signed");
    }
    let current = session.stock()?.current;
    ensure!((current == expected) == new.is_empty(), "the pair reads {current} after {} new numbers", new.len());
    if !capabilities.numbers_readable {
        // The last number is all that is told: it is either the known one or the expected one.
        let last = if new.is_empty() { known } else { expected };
        let found = session.disk.query(session.kind, last).map_err(failed("querying the last number"))?;
        ensure!(found.is_some_and(|found| found.pair == last), "the last number {last} is not found");
        let other = if new.is_empty() { expected } else { known };
        let found = session.disk.query(session.kind, other);
        ensure!(found.is_err(), "numbers_readable = false, and {other} reads {found:?}");
        return Ok(());
    }
    let control = session.disk.query(session.kind, known).map_err(failed("querying a known number"))?;
    ensure!(control.is_some_and(|found| found.pair == known), "the known number {known} is not found");
    let found = session.disk.query(session.kind, expected).map_err(failed("querying the expected number"))?;
    ensure!(found.is_some() != new.is_empty(), "the ledger has {} new numbers, the query says {found:?}", new.len());
    if let Some(found) = found
        && capabilities.remark_readable
    {
        let request = IssueRequest {
            kind: session.kind,
            expected,
            invoice: &invoice,
            remark: &remark,
            seller: &session.seller,
            red: None,
            request_id: REQUEST_ID,
        };
        let equal = session.disk.compare(&request, &found) == Comparison::Equal;
        let is_ours = new.iter().find(is_ours).is_some_and(|entry| entry.pair() == expected);
        ensure!(
            equal == is_ours,
            "compared {}, and it is {}",
            if equal { "equal" } else { "different" },
            if is_ours { "ours" } else { "foreign" }
        );
    }
    Ok(())
}
