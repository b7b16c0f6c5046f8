//! Void and red jobs: at most one of one original (I1), routed to the disk that has it, linked both ways.

use super::*;
use taxdisk_protocol::api::{PairBody, ReissueOutcome, ReissueRequest, SettleDecision, SettleReading, SettleRequest};

pub(super) const OTHER: &str = "661234567891";

pub(super) fn void(serial: &str, original: u32) -> JobSubmission {
    JobSubmission {
        operation: Operation::Void,
        original: Some(PairBody::from(pair(original))),
        invoice: None,
        ..submission(serial)
    }
}

/// Reverses so much with tax of an original, 13 % in it.
fn red(serial: &str, original: u32, net: &str, tax: &str, gross: &str) -> JobSubmission {
    let mut job = submission(serial);
    let invoice = job.invoice.as_mut().unwrap();
    let line = &mut invoice.lines[0];
    (line.quantity, line.price) = (None, None);
    (line.net, line.tax) = (net.to_owned(), tax.to_owned());
    invoice.totals = TotalsBody { net: net.to_owned(), tax: tax.to_owned(), gross: gross.to_owned() };
    JobSubmission { operation: Operation::Red, original: Some(PairBody::from(pair(original))), ..job }
}

pub(super) fn whole_red(serial: &str, original: u32) -> JobSubmission {
    red(serial, original, "-200.00", "-26.00", "-226.00")
}

pub(super) fn half_red(serial: &str, original: u32) -> JobSubmission {
    red(serial, original, "-100.00", "-13.00", "-113.00")
}

pub(super) fn take(world: &mut World, job: JobSubmission) -> Result<JobView, Refusal> {
    world.input(Input::Submit(Box::new(job.into()))).map(|reply| match reply {
        Reply::Submitted(Submitted::New(view) | Submitted::Repeated(view)) => view,
        other => panic!("{other:?}"),
    })
}

pub(super) fn voided(number: u32) -> AttemptResult {
    AttemptResult::Voided { pair: pair(number), voided_at: "20240102120000".to_owned() }
}

/// A1 was issued as number 7 on [`DISK`].
fn issued_once() -> (World, SessionId) {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    issue(&mut world, session, "A1", 7);
    (world, session)
}

fn issue(world: &mut World, session: SessionId, serial: &str, number: u32) {
    world.submit(serial);
    let work = world.assigned(session).remove(0);
    assert!(world.outcome(session, &work, issued(number)));
}

fn view(world: &mut World, serial: &str) -> JobView {
    let job = world.jobs[&key(serial)].clone();
    world.core.view(&job)
}

#[test]
fn a_void_goes_to_the_disk_that_issued_and_both_jobs_name_each_other() {
    let (mut world, session) = issued_once();
    let other = world.connect('b', OTHER);
    for serial in ["V1", "V1"] {
        let accepted = take(&mut world, void(serial, 7)).unwrap();
        assert_eq!((accepted.original_serial.as_deref(), accepted.disk.as_deref()), (Some("A1"), Some(DISK)));
    }
    assert!(world.assigned(other).is_empty());
    let work = world.assigned(session);
    assert_eq!(work.len(), 1, "the second submission is the same job");
    let assignment = &work[0].1;
    assert_eq!((assignment.operation, assignment.original), (Operation::Void, Some(pair(7))));
    assert_eq!(assignment.invoice, InvoiceBody { clerk: "王五".to_owned(), ..InvoiceBody::default() });
    assert_eq!(assignment.mark, None);
    assert_eq!(view(&mut world, "A1").voided, None, "nothing happened yet");
    assert!(world.outcome(session, &work[0], voided(7)));
    assert_eq!(world.state("V1"), JobState::Voided);
    let original = view(&mut world, "A1");
    assert_eq!(original.state, JobState::Issued, "what was issued stays issued");
    assert_eq!(original.voided.unwrap().serial, "V1");
    assert!(original.reversed_by.is_empty());
    // The same answer again changes nothing.
    let revision = world.job("V1").revision;
    assert!(world.outcome(session, &work[0], voided(7)));
    assert_eq!(world.job("V1").revision, revision);
}

#[test]
fn a_red_is_issued_like_any_invoice_and_reverses_its_original() {
    let (mut world, session) = issued_once();
    take(&mut world, whole_red("R1", 7)).unwrap();
    let work = world.assigned(session).remove(0);
    assert_eq!((work.1.operation, work.1.original), (Operation::Red, Some(pair(7))));
    assert!(work.1.mark.is_some());
    assert!(world.outcome(session, &work, issued(8)));
    let original = view(&mut world, "A1");
    let [reversal] = original.reversed_by.as_slice() else { panic!("{original:?}") };
    assert_eq!((reversal.serial.as_str(), reversal.gross.as_deref()), ("R1", Some("-226.00")));
    assert_eq!(reversal.red, Some(PairBody::from(pair(8))));
    // The red itself can be voided, and is never reversed again.
    assert_eq!(take(&mut world, whole_red("R2", 8)).unwrap_err().breaches[0].code, "original");
    take(&mut world, void("V1", 8)).unwrap();
}

#[test]
fn i1_at_most_one_void_or_full_red_of_one_original_open_or_done() {
    for first in [void("U1", 7), whole_red("U1", 7)] {
        for restarted in [false, true] {
            for done in [false, true] {
                let (mut world, session) = issued_once();
                take(&mut world, first.clone()).unwrap();
                if done {
                    let work = world.assigned(session).remove(0);
                    let result = if first.operation == Operation::Void { voided(7) } else { issued(8) };
                    assert!(world.outcome(session, &work, result));
                }
                if restarted {
                    world.restart(Settings::default());
                }
                for second in [void("U2", 7), whole_red("U2", 7), half_red("U2", 7)] {
                    let refusal = take(&mut world, second.clone()).unwrap_err();
                    assert_eq!(refusal.code, "original_undone", "{first:?}, then {second:?}");
                    // The code keeps the original; the word says what stands in the way.
                    let word = if first.operation == Operation::Void { "voided" } else { "reversed" };
                    assert!(refusal.detail.contains(&format!("{word} by job U1")), "{refusal}");
                }
                assert!(!world.jobs.contains_key(&key("U2")));
                // The same question still has its answer.
                assert!(take(&mut world, first.clone()).unwrap().repeated);
            }
        }
    }
}

#[test]
fn i1_two_voids_in_one_commit_are_one() {
    let (mut world, _) = issued_once();
    let inputs = [void("V1", 7), void("V2", 7), whole_red("R1", 7)];
    let replies = world.batch(inputs.into_iter().map(|job| Input::Submit(Box::new(job.into()))).collect());
    assert_eq!(replies.iter().filter(|reply| reply.is_ok()).count(), 1, "{replies:?}");
}

#[test]
fn a_red_special_invoice_names_its_information_table() {
    let (mut world, _) = issued_once();
    let special = |notice: &str| {
        let mut job = whole_red("R1", 7);
        "004".clone_into(&mut job.kind);
        let invoice = job.invoice.as_mut().unwrap();
        notice.clone_into(&mut invoice.notice);
        invoice.buyer.taxpayer_number = Some("91110000MA0000002P".to_owned());
        "示例路2号 010-1".clone_into(&mut invoice.buyer.address_phone);
        "示例银行 1".clone_into(&mut invoice.buyer.bank_account);
        job
    };
    let refused = take(&mut world, special("")).unwrap_err();
    assert_eq!(
        (refused.code, refused.breaches.iter().map(|breach| breach.code.as_str()).collect::<Vec<_>>()),
        ("invalid_invoice", vec!["notice"])
    );
    let taken = take(&mut world, special("1100190012345678")).unwrap();
    assert_eq!((taken.kind.as_str(), taken.operation), ("004", Operation::Red));
}

#[test]
fn partial_reds_sum_up_to_the_original_at_most() {
    let (mut world, session) = issued_once();
    let more = red("R0", 7, "-200.00", "-26.01", "-226.01");
    assert_eq!(take(&mut world, more).unwrap_err().breaches[0].code, "red_sum");
    take(&mut world, half_red("R1", 7)).unwrap();
    let work = world.assigned(session).remove(0);
    assert!(world.outcome(session, &work, issued(8)));
    assert_eq!(take(&mut world, whole_red("R2", 7)).unwrap_err().code, "original_undone");
    assert_eq!(take(&mut world, void("V1", 7)).unwrap_err().code, "original_undone", "what is reversed in part is not voided");
    take(&mut world, half_red("R2", 7)).unwrap();
    assert_eq!(take(&mut world, half_red("R3", 7)).unwrap_err().code, "original_undone");
    let work = world.assigned(session).remove(0);
    assert!(world.outcome(session, &work, issued(9)));
    assert_eq!(view(&mut world, "A1").reversed_by.len(), 2);
}

#[test]
fn i1_holds_for_an_original_that_was_never_issued_here() {
    for first in [void("U1", 3), half_red("U1", 3)] {
        let (mut world, session) = issued_once();
        let accepted = take(&mut world, first.clone()).unwrap();
        assert_eq!(accepted.original_serial, None);
        for second in [void("U2", 3), half_red("U2", 3)] {
            assert_eq!(take(&mut world, second).unwrap_err().code, "original_undone");
        }
        let work = world.assigned(session).remove(0);
        let result = if first.operation == Operation::Void { voided(3) } else { issued(8) };
        assert!(world.outcome(session, &work, result));
        assert_eq!(take(&mut world, void("U2", 3)).unwrap_err().code, "original_undone");
    }
}

#[test]
fn a_void_whose_disk_is_not_known_is_refused_unless_something_names_it() {
    let (mut world, session) = issued_once();
    world.connect('b', OTHER);
    assert_eq!(take(&mut world, void("V1", 3)).unwrap_err().code, "original_disk_unknown");
    // A disk that has passed the number on its roll is the one.
    let frame = AgentFrame::Accounted {
        id: "n1".to_owned(),
        disk: DISK.parse().unwrap(),
        epoch: 1,
        kind: InvoiceKind::Roll,
        entries: Vec::new(),
        last: pair(7),
        note: None,
    };
    world.ok(Input::Frame(session, Box::new(frame)));
    assert_eq!(take(&mut world, void("V1", 3)).unwrap().disk.as_deref(), Some(DISK));
    assert_eq!(take(&mut world, void("V2", 99)).unwrap_err().code, "original_disk_unknown");
    // And so does an issue point with one disk.
    let point = taxdisk_protocol::api::IssuePointBody { disks: vec![OTHER.to_owned()], ..Default::default() };
    world.ok(Input::PutIssuePoint(seller().parse().unwrap(), "till2".parse().unwrap(), point, "test".to_owned()));
    let named = JobSubmission { issue_point: Some("till2".to_owned()), ..void("V2", 99) };
    assert_eq!(take(&mut world, named).unwrap().disk.as_deref(), Some(OTHER));
}

#[test]
fn electronic_kinds_are_red_only_and_a_void_has_no_content() {
    let (mut world, _) = issued_once();
    let electronic = JobSubmission { kind: "026".to_owned(), ..void("V1", 7) };
    let refusal = take(&mut world, electronic).unwrap_err();
    assert_eq!((refusal.code, refusal.breaches[0].code.as_str()), ("operation_unsupported", "void_kind"));
    let with_content = JobSubmission { invoice: submission("V1").invoice, ..void("V1", 7) };
    assert_eq!(take(&mut world, with_content).unwrap_err().breaches[0].code, "content");
    let without_original = JobSubmission { original: None, ..void("V1", 7) };
    assert_eq!(take(&mut world, without_original).unwrap_err().breaches[0].code, "original");
    // A red special invoice needs a number that cannot be given here.
    let special = JobSubmission { kind: "028".to_owned(), ..whole_red("R1", 7) };
    assert!(take(&mut world, special).is_err());
    assert_eq!(world.jobs.len(), 1);
}

#[test]
fn the_period_rule_goes_by_the_disks_own_clock() {
    let (mut world, session) = issued_once();
    for (clock, taken) in [("20240201000000", false), ("20240131235959", true)] {
        world.reports(session, vec![DiskReport { clock: Some(clock.to_owned()), ..report(DISK) }]);
        match take(&mut world, void("V1", 7)) {
            Ok(_) => assert!(taken, "{clock}"),
            Err(refusal) => assert!(!taken && refusal.breaches[0].code == "void_period", "{clock}: {refusal}"),
        }
    }
}

#[test]
fn an_agent_of_an_older_version_is_sent_neither_void_nor_red() {
    let mut world = World::new();
    let session = world.join('a');
    let old = DiskReport { takes: Vec::new(), ..report(DISK) };
    world.reports(session, vec![old]);
    issue(&mut world, session, "A1", 7);
    take(&mut world, void("V1", 7)).unwrap();
    assert!(world.assigned(session).is_empty());
    assert_eq!(world.waiting("V1"), Some(Waiting::NoDisk));
    // Invoices are issued as before, and the void goes out once the agent is a newer one.
    issue(&mut world, session, "A2", 8);
    world.reports(session, vec![report(DISK)]);
    assert_eq!(world.assigned(session).remove(0).1.operation, Operation::Void);
}

#[test]
fn a_void_needs_no_stock() {
    let (mut world, session) = issued_once();
    let mut empty = report(DISK);
    empty.stock[0].remaining = 0;
    world.reports(session, vec![empty]);
    take(&mut world, void("V1", 7)).unwrap();
    world.submit("A2");
    assert_eq!(world.waiting("A2"), Some(Waiting::NoStock));
    let work = world.assigned(session);
    assert_eq!(work.len(), 1);
    assert_eq!(work[0].1.operation, Operation::Void);
}

#[test]
fn a_void_that_failed_frees_its_original_and_is_asked_for_again_only_while_that_is_free() {
    let (mut world, session) = issued_once();
    take(&mut world, void("V1", 7)).unwrap();
    let work = world.assigned(session).remove(0);
    // The period was reported: waiting would change nothing, and the disk issues as before.
    assert!(world.outcome(session, &work, not_issued(DeviceClass::Locked)));
    assert_eq!(world.state("V1"), JobState::Failed);
    issue(&mut world, session, "A2", 8);
    take(&mut world, whole_red("R1", 7)).unwrap();
    let request = ReissueRequest { reason: "again".to_owned(), invoice: None };
    let again = world.input(Input::Reissue(key("V1"), request.clone(), "k1".to_owned()));
    assert_eq!(again.unwrap_err().code, "original_undone");
    let work = world.assigned(session).remove(0);
    assert!(world.outcome(session, &work, not_issued(DeviceClass::InvalidRequest)));
    match world.ok(Input::Reissue(key("V1"), request.clone(), "k1".to_owned())) {
        Reply::Reissued(answer) => assert_eq!(answer.outcome, ReissueOutcome::Requeued),
        other => panic!("{other:?}"),
    }
    let work = world.assigned(session).remove(0);
    assert_eq!((work.1.attempt.attempt, work.1.original), (2, Some(pair(7))));
    assert!(world.outcome(session, &work, voided(7)));
    match world.ok(Input::Reissue(key("V1"), request, "k1".to_owned())) {
        Reply::Reissued(answer) => assert_eq!(answer.outcome, ReissueOutcome::AlreadyIssued),
        other => panic!("{other:?}"),
    }
}

#[test]
fn i3_an_unsettled_void_holds_its_original_and_is_decided_by_reading_that() {
    let (mut world, session) = issued_once();
    take(&mut world, void("V1", 7)).unwrap();
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, unsettled());
    assert_eq!(take(&mut world, whole_red("R1", 7)).unwrap_err().code, "original_undone");
    let settle = |world: &mut World, decision, expected| {
        let (revision, reason) = (world.job("V1").revision, "seen".to_owned());
        let current = PairBody::from(pair(8));
        let request = SettleRequest { decision, pair: None, current, expected, reason, tax_office: None, revision };
        world.input(Input::Settle(key("V1"), request, "k1".to_owned()))
    };
    for (decision, expected) in [
        (SettleDecision::Issued, SettleReading::Valid),
        (SettleDecision::NotIssued, SettleReading::Void),
        (SettleDecision::NotIssued, SettleReading::Absent),
        (SettleDecision::Issued, SettleReading::PresentOurs),
    ] {
        assert_eq!(settle(&mut world, decision, expected).unwrap_err().code, "settle_contradiction");
    }
    settle(&mut world, SettleDecision::Issued, SettleReading::Void).unwrap();
    assert_eq!(world.state("V1"), JobState::Voided);
    assert_eq!(view(&mut world, "A1").voided.unwrap().serial, "V1");
}

#[test]
fn i4_a_late_word_of_a_void_is_read_by_the_present_owner_before_anything_else() {
    let (mut world, session) = issued_once();
    take(&mut world, void("V1", 7)).unwrap();
    let work = world.assigned(session).remove(0);
    world.leave(session, Left::Goodbye);
    let second = world.connect('b', DISK);
    assert_eq!(world.granted(second)[0].1.len(), 1, "the new owner is asked");
    // It reads a valid invoice; then the first owner's word comes.
    assert!(world.outcome(second, &work, given_back()));
    let again = world.assigned(second).remove(0);
    assert_eq!(again.1.attempt.attempt, 2);
    let first = world.join('a');
    assert!(world.outcome(first, &work, voided(7)));
    assert_eq!(world.state("V1"), JobState::Assigned, "a late word changes no state");
    assert!(world.outcome(second, &again, voided(7)));
    assert_eq!(world.state("V1"), JobState::Voided);
}

#[test]
fn i4_a_void_that_was_called_not_done_and_is_claimed_late_waits_until_its_original_is_read() {
    let (mut world, session) = issued_once();
    take(&mut world, void("V1", 7)).unwrap();
    let work = world.assigned(session).remove(0);
    world.leave(session, Left::Goodbye);
    let second = world.connect('b', DISK);
    assert!(world.outcome(second, &work, not_issued(DeviceClass::InvalidRequest)));
    assert_eq!(world.state("V1"), JobState::Failed);
    let first = world.join('a');
    assert!(world.outcome(first, &work, voided(7)));
    assert_eq!(world.state("V1"), JobState::Failed, "a late word changes no state");
    assert_eq!(world.settles(second).len(), 1, "the owner reads the original");
    // While nobody has read it, nothing else may be done to it.
    assert_eq!(take(&mut world, whole_red("R1", 7)).unwrap_err().code, "original_undone");
    assert!(world.outcome(second, &work, voided(7)));
    assert_eq!(world.state("V1"), JobState::Voided);
    assert_eq!(view(&mut world, "A1").voided.unwrap().serial, "V1");
}

#[test]
fn an_answer_to_another_question_concludes_nothing() {
    for result in [issued(9), voided(8)] {
        let (mut world, session) = issued_once();
        take(&mut world, void("V1", 7)).unwrap();
        let work = world.assigned(session).remove(0);
        world.outcome(session, &work, result);
        assert_eq!(world.state("V1"), JobState::Unsettled);
        assert_eq!(world.alarms('a').len(), 1);
        assert_eq!(world.number(9), None, "no number is given to a void");
    }
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, voided(7));
    assert_eq!(world.state("A1"), JobState::Unsettled);
}
