//! Issuing into trouble: whatever the driver answers must agree with the disk's ledger, and reading must tell the truth.

use super::session::{REQUEST_ID, Session, failed};
use super::{Outcome, Stand, Stop, Trouble, ensure, sample};
use crate::disk::{Comparison, IssueAnswer, IssueRequest};

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
    if !session.stand.trouble(trouble) {
        return Err(Stop::NotApplicable("this simulated device cannot do that".to_owned()));
    }
    let answer = session.issue(expected, &invoice, REMARK, None);
    let mut session = session.reopen()?;
    let entries = session.ledger();
    let new: Vec<_> = entries[before..].iter().filter(|entry| entry.kind == session.kind).collect();
    let ours = new.iter().filter(|entry| entry.remark == REMARK).count();
    ensure!(ours <= 1, "one command made {ours} invoices");
    match &answer {
        IssueAnswer::Signed(signed) => {
            ensure!(
                ours == 1 && new.iter().any(|entry| entry.pair() == signed.pair && entry.remark == REMARK),
                "it says {signed:?}, the ledger {new:?}"
            );
        }
        IssueAnswer::NotSent(error) => ensure!(ours == 0, "it says that nothing was sent ({error}), and the number is used"),
        // Neither proves anything about the number: the readings below do.
        IssueAnswer::Refused(_) | IssueAnswer::InDoubt(_) => {}
    }
    if matches!(trouble, Trouble::LostCommand | Trouble::LostAnswer | Trouble::PowerCutBefore | Trouble::PowerCutAfter) {
        ensure!(!matches!(answer, IssueAnswer::Signed(_)), "nothing was answered, and it says signed");
    }
    let control = session.disk.query(session.kind, known).map_err(failed("querying a known number"))?;
    ensure!(control.is_some_and(|found| found.pair == known), "the known number {known} is not found");
    let current = session.stock()?.current;
    let found = session.disk.query(session.kind, expected).map_err(failed("querying the expected number"))?;
    ensure!(found.is_some() != new.is_empty(), "the ledger has {} new numbers, the query says {found:?}", new.len());
    ensure!((current == expected) == new.is_empty(), "the pair reads {current} after {} new numbers", new.len());
    if let Some(found) = found
        && session.capabilities().remark_readable
    {
        let request = IssueRequest {
            kind: session.kind,
            expected,
            invoice: &invoice,
            remark: REMARK,
            seller: &session.seller,
            red: None,
            request_id: REQUEST_ID,
        };
        let equal = session.disk.compare(&request, &found) == Comparison::Equal;
        let is_ours = new.iter().any(|entry| entry.pair() == expected && entry.remark == REMARK);
        ensure!(
            equal == is_ours,
            "compared {}, and it is {}",
            if equal { "equal" } else { "different" },
            if is_ours { "ours" } else { "foreign" }
        );
    }
    Ok(())
}
