//! Re-issue, withdrawal, decision by hand.

use super::*;
use taxdisk_protocol::api::{
    CancelRequest, PairBody, ReissueOutcome, ReissueRequest, SettleDecision, SettleReading, SettleRequest,
};
use taxdisk_protocol::link::AttemptRef;

use super::super::change::{KeyAbout, KeyRow};
use super::super::people::{Act, ConsoleRole};
use super::super::types::{CancelAnswer, LineDecision, TwoPersons};

fn reissue(world: &mut World, serial: &str, change: Option<&str>) -> Result<ReissueOutcome, Refusal> {
    let invoice = change.map(|name| {
        let mut invoice = submission(serial).invoice.unwrap();
        invoice.buyer.name = name.to_owned();
        invoice
    });
    let request = ReissueRequest { reason: "fixed".to_owned(), invoice };
    world.input(Input::Reissue(key(serial), request, "k1".to_owned())).map(|reply| match reply {
        Reply::Reissued(answer) => answer.outcome,
        other => panic!("{other:?}"),
    })
}

fn cancel(world: &mut World, serial: &str) -> Result<CancelAnswer, Refusal> {
    let request = CancelRequest { reason: "mistake".to_owned() };
    world.input(Input::Cancel(key(serial), request, "k1".to_owned())).map(|reply| match reply {
        Reply::Cancelled(answer) => answer,
        other => panic!("{other:?}"),
    })
}

fn failed(serial: &str) -> (World, SessionId) {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit(serial);
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, not_issued(DeviceClass::InvalidRequest));
    (world, session)
}

#[test]
fn i6_only_a_proven_failure_is_issued_again_and_its_content_may_change() {
    let (mut world, session) = failed("A1");
    assert_eq!(reissue(&mut world, "A1", Some("公司")).unwrap(), ReissueOutcome::Requeued);
    assert_eq!(world.job("A1").versions.len(), 2);
    let work = world.assigned(session).remove(0);
    assert_eq!((work.1.attempt.attempt, work.1.invoice.buyer.name.as_str()), (2, "公司"));
    assert_eq!(work.1.content_hash, world.job("A1").versions[1].hash);
    // In progress: the same again is told so, other content is a conflict.
    assert_eq!(reissue(&mut world, "A1", Some("公司")).unwrap(), ReissueOutcome::InProgress);
    assert_eq!(reissue(&mut world, "A1", Some("别的")).unwrap_err().code, "conflict");
    world.outcome(session, &work, unsettled());
    assert_eq!(reissue(&mut world, "A1", None).unwrap(), ReissueOutcome::Unsettled);
    assert_eq!(world.settles(session).len(), 1, "the disk is asked");
    world.outcome(session, &work, found(7));
    assert_eq!(reissue(&mut world, "A1", None).unwrap(), ReissueOutcome::AlreadyIssued);
    // Either version is the same question (I6).
    assert!(world.submit("A1").repeated);
    assert_eq!(world.job("A1").attempts.len(), 2);
}

#[test]
fn a_reissue_needs_a_reason_and_valid_content_and_is_limited_a_day() {
    let (mut world, session) = failed("A1");
    let request = ReissueRequest { reason: "  ".to_owned(), invoice: None };
    assert_eq!(world.input(Input::Reissue(key("A1"), request, "k".to_owned())).unwrap_err().code, "reissue_reason");
    let mut invoice = submission("A1").invoice.unwrap();
    invoice.totals.gross = "1.00".to_owned();
    let request = ReissueRequest { reason: "x".to_owned(), invoice: Some(invoice) };
    assert_eq!(world.input(Input::Reissue(key("A1"), request, "k".to_owned())).unwrap_err().code, "invalid_invoice");
    assert_eq!(world.state("A1"), JobState::Failed);
    for _ in 0..20 {
        assert_eq!(reissue(&mut world, "A1", None).unwrap(), ReissueOutcome::Requeued);
        let work = world.assigned(session).remove(0);
        world.outcome(session, &work, not_issued(DeviceClass::InvalidRequest));
    }
    assert_eq!(reissue(&mut world, "A1", None).unwrap_err().code, "reissue_limit");
    world.now = world.now.plus_s(24 * 3600);
    assert_eq!(reissue(&mut world, "A1", None).unwrap(), ReissueOutcome::Requeued);
}

#[test]
fn a_queued_job_is_withdrawn_at_once_and_may_be_issued_again() {
    let mut world = World::new();
    world.submit("A1");
    assert!(matches!(cancel(&mut world, "A1").unwrap(), CancelAnswer::Cancelled(_)));
    assert!(matches!(cancel(&mut world, "A1").unwrap(), CancelAnswer::Cancelled(_)), "twice is once");
    let session = world.connect('a', DISK);
    assert!(world.assigned(session).is_empty());
    assert_eq!(reissue(&mut world, "A1", None).unwrap(), ReissueOutcome::Requeued);
    assert_eq!(world.assigned(session).len(), 1);
}

#[test]
fn i3_a_job_that_was_handed_over_is_withdrawn_only_by_a_proof() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    world.submit("A2");
    let work = world.assigned(session);
    assert!(matches!(cancel(&mut world, "A1").unwrap(), CancelAnswer::Asked(_)));
    assert!(matches!(cancel(&mut world, "A2").unwrap(), CancelAnswer::Asked(_)));
    let recalls = world.take(|_, frame| matches!(frame, BrokerFrame::Recall { .. }).then_some(()));
    assert_eq!((recalls.len(), world.state("A1")), (2, JobState::Assigned));
    world.outcome(session, &work[0], issued(7));
    world.outcome(session, &work[1], given_back());
    assert_eq!((world.state("A1"), world.state("A2")), (JobState::Issued, JobState::Cancelled));
    assert_eq!(cancel(&mut world, "A1").unwrap_err().code, "job_issued");
    let (mut world, _) = failed("A3");
    assert_eq!(cancel(&mut world, "A3").unwrap_err().code, "job_failed");
}

fn request(
    world: &World,
    decision: SettleDecision,
    expected: SettleReading,
    current: u32,
    pair_of: Option<u32>,
) -> SettleRequest {
    SettleRequest {
        decision,
        pair: pair_of.map(|number| PairBody::from(pair(number))),
        current: PairBody::from(pair(current)),
        expected,
        tax_office: None,
        reason: "seen on the disk".to_owned(),
        revision: world.job("A1").revision,
    }
}

fn settle(world: &mut World, request: SettleRequest) -> Result<Reply, Refusal> {
    world.input(Input::Settle(key("A1"), request, "k1".to_owned()))
}

fn hung() -> (World, SessionId) {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.started(session, &work, 7);
    world.outcome(session, &work, unsettled());
    (world, session)
}

#[test]
fn i3_a_decision_by_hand_needs_both_readings_the_revision_and_no_contradiction() {
    use SettleDecision::{Issued, NotIssued};
    use SettleReading::{Absent, PresentForeign, PresentOurs};
    let (mut world, _) = hung();
    for (decision, reading, current, of) in [
        (Issued, Absent, 8, Some(7)),
        (Issued, PresentForeign, 8, Some(7)),
        (NotIssued, PresentOurs, 8, None),
        // The disk's next number is the one that is said to be issued.
        (Issued, PresentOurs, 7, Some(7)),
        // The disk is past the number that is said to be absent.
        (NotIssued, Absent, 8, None),
        // The disk is not past the number that is said to be somebody else's.
        (NotIssued, PresentForeign, 7, None),
        (NotIssued, PresentForeign, 6, None),
    ] {
        let request = request(&world, decision, reading, current, of);
        assert_eq!(settle(&mut world, request).unwrap_err().code, "settle_contradiction", "{decision:?} {reading:?}");
    }
    let stale = SettleRequest { revision: 1, ..request(&world, NotIssued, Absent, 7, None) };
    assert_eq!(settle(&mut world, stale).unwrap_err().code, "settle_revision");
    let mute = SettleRequest { reason: " ".to_owned(), ..request(&world, NotIssued, Absent, 7, None) };
    assert_eq!(settle(&mut world, mute).unwrap_err().code, "settle_needs_readings");
    let current = PairBody { code: "011002000107".to_owned(), number: String::new() };
    let half = SettleRequest { current, ..request(&world, NotIssued, Absent, 7, None) };
    assert_eq!(settle(&mut world, half).unwrap_err().code, "settle_needs_readings");
    let unnamed = request(&world, Issued, PresentOurs, 8, None);
    assert_eq!(settle(&mut world, unnamed).unwrap_err().code, "settle_needs_readings");
    assert_eq!(world.state("A1"), JobState::Unsettled);
    // Past it: that it is somebody else's is no contradiction.
    let foreign = request(&world, NotIssued, PresentForeign, 8, None);
    settle(&mut world, foreign).unwrap();
    assert_eq!(world.state("A1"), JobState::Failed);
}

#[test]
fn a_decision_by_hand_is_kept_as_evidence_and_owns_its_number() {
    let (mut world, session) = hung();
    let asked = request(&world, SettleDecision::Issued, SettleReading::PresentOurs, 8, Some(7));
    settle(&mut world, asked).unwrap();
    assert_eq!((world.state("A1"), world.job("A1").evidence_count), (JobState::Issued, 1));
    // Its agent is told, so that what people ask of the disk is refused no longer.
    let told = world.take(|to, frame| match frame {
        BrokerFrame::Settled { attempt, pair, .. } if to == session => {
            Some((attempt.key.serial.to_string(), attempt.attempt, *pair))
        }
        _ => None,
    });
    assert_eq!(told, [("A1".to_owned(), 1, Some(pair(7)))]);
    // The number is the job's from now on (I10).
    world.submit("A2");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, issued(7));
    assert_eq!(world.state("A2"), JobState::Unsettled);
}

#[test]
fn i10_a_decision_by_hand_takes_no_number_that_another_job_has() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A0");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, issued(6));
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.started(session, &work, 7);
    world.outcome(session, &work, unsettled());
    let asked = request(&world, SettleDecision::Issued, SettleReading::PresentOurs, 8, Some(6));
    assert_eq!(settle(&mut world, asked).unwrap_err().code, "settle_contradiction");
    // The disk gives 8 next: 9 is blank, and so is every number behind it.
    let asked = request(&world, SettleDecision::Issued, SettleReading::PresentOurs, 8, Some(9));
    assert_eq!(settle(&mut world, asked).unwrap_err().code, "settle_contradiction");
    assert_eq!((world.state("A0"), world.state("A1")), (JobState::Issued, JobState::Unsettled));
    assert_eq!(world.number(9), None);
    assert_eq!(world.number(6), Some(&Owner::Ours(AttemptRef { key: key("A0"), attempt: 1 })), "as before");
    let asked = request(&world, SettleDecision::Issued, SettleReading::PresentOurs, 8, Some(7));
    settle(&mut world, asked).unwrap();
    assert_eq!(world.state("A1"), JobState::Issued, "its own number is nobody else's");
}

#[test]
fn settled_as_not_issued_frees_the_serial_number_and_hands_nothing_over() {
    let (mut world, session) = hung();
    let asked = request(&world, SettleDecision::NotIssued, SettleReading::Absent, 7, None);
    settle(&mut world, asked).unwrap();
    assert_eq!(world.state("A1"), JobState::Failed);
    assert!(world.assigned(session).is_empty());
    assert_eq!(reissue(&mut world, "A1", None).unwrap(), ReissueOutcome::Requeued);
    let again = request(&world, SettleDecision::NotIssued, SettleReading::Absent, 7, None);
    assert_eq!(settle(&mut world, again).unwrap_err().code, "settle_not_unsettled");
}

#[test]
fn by_the_tax_offices_record_two_persons_decide() {
    use taxdisk_protocol::api::{SettleDecision::Issued, SettleReading::PresentOurs};
    let mut world = hung().0;
    let ask = |world: &World, by: &str, number: u32| {
        let request = SettleRequest {
            tax_office: Some("looked up on the tax office's site: it exists".to_owned()),
            ..request(world, Issued, PresentOurs, 9, Some(number))
        };
        Input::Settle(key("A1"), request, by.to_owned())
    };
    let code = |result: Result<Reply, Refusal>| result.unwrap_err().code;
    let input = ask(&world, "k_first", 7);
    assert_eq!(code(world.input(input)), "settle_second_person");
    assert_eq!(world.job("A1").proposal.as_ref().unwrap().by, "k_first");
    assert_eq!(world.number(7), None, "nothing is given before the second person");
    // The same person again, and a second one who decides something else, end nothing.
    let input = ask(&world, "k_first", 7);
    assert_eq!(code(world.input(input)), "settle_second_person");
    let input = ask(&world, "k_second", 8);
    assert_eq!(code(world.input(input)), "settle_second_person");
    assert_eq!(world.state("A1"), JobState::Unsettled);
    // Now the first one agrees with the second.
    let input = ask(&world, "k_first", 8);
    world.ok(input);
    assert_eq!((world.state("A1"), world.job("A1").proposal.is_none()), (JobState::Issued, true));
    assert!(world.number(8).is_some());
    let mut world = hung().0;
    let empty = SettleRequest { tax_office: Some(" ".to_owned()), ..request(&world, Issued, PresentOurs, 9, Some(7)) };
    assert_eq!(code(world.input(Input::Settle(key("A1"), empty, "k".to_owned()))), "settle_needs_readings");
}

#[test]
fn a_bulk_re_issue_takes_each_job_once_and_never_one_that_may_be_issued() {
    use super::super::bulk::plan;
    use super::super::change::BulkRow;
    use taxdisk_protocol::api::{BulkAction, BulkFilter, BulkView};
    let (mut world, session) = failed("A1");
    world.submit("A2");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, issued(7));
    world.submit("A3");
    let row = |reason: &str| BulkRow {
        view: BulkView {
            key: "b1".to_owned(),
            dry_run: false,
            done: false,
            filter: BulkFilter::default(),
            reason: reason.to_owned(),
            by: "k1".to_owned(),
            at: String::new(),
            jobs: 0,
            totals: Default::default(),
            refused: Default::default(),
            lines: Vec::new(),
        },
        sellers: Vec::new(),
        cursor: None,
    };
    // A click twice begins it once; another question under the same key is refused.
    assert!(matches!(world.ok(Input::StartBulk(Box::new(row("stock came")))), Reply::Bulk(_, true)));
    assert!(matches!(world.ok(Input::StartBulk(Box::new(row("stock came")))), Reply::Bulk(_, false)));
    assert_eq!(world.input(Input::StartBulk(Box::new(row("other")))).unwrap_err().code, "bulk_key");
    let take = |world: &mut World, serial: &str| match world.ok(Input::ReissueOf(key(serial), "b1".to_owned())) {
        Reply::BulkLine(line) => (line.action, line.refused),
        other => panic!("{other:?}"),
    };
    let now = world.now;
    world.announcements.clear();
    for (serial, action) in [("A1", BulkAction::Rerun), ("A2", BulkAction::Redeliver), ("A3", BulkAction::InProgress)] {
        assert_eq!(plan(world.job(serial), 20, now).action, action, "a dry run says what is done: {serial}");
        assert_eq!(take(&mut world, serial), (action, None), "{serial}");
    }
    let told: Vec<_> = world.announcements.iter().map(|told| (told.kind.as_str(), told.serial.clone(), told.revision)).collect();
    let of = |serial: &str| Some(key(serial).serial);
    let expected = [("job.queued", of("A1"), 4), ("job.issued", of("A2"), world.job("A2").revision)];
    assert_eq!(told, expected, "who asks for all results again gets those that exist");
    let event = world.events[&key("A1")].iter().find(|event| event.what.name() == "reissued").unwrap().clone();
    assert!(matches!(&event.what, taxdisk_protocol::job::What::Reissued { by, reason, bulk: Some(bulk), .. }
        if by == "k1" && reason == "stock came" && bulk == "b1"));
    // It fails again; the slice is repeated after a crash; the job is not taken a second time.
    let work: Vec<_> = world.assigned(session);
    let work = work.iter().find(|work| work.1.attempt.key == key("A1")).unwrap().clone();
    world.outcome(session, &work, not_issued(DeviceClass::InvalidRequest));
    world.restart(Settings::default());
    assert_eq!(take(&mut world, "A1"), (BulkAction::Rerun, None));
    assert_eq!(world.state("A1"), JobState::Failed);
    assert_eq!(world.job("A1").reissues.count, 1);
    // A failure that a reading has put in doubt: an invoice may exist.
    let mut doubted = world.job("A1").clone();
    let attempt = doubted.attempts.last_mut().unwrap();
    attempt.state = taxdisk_protocol::job::AttemptState::Unsettled;
    assert_eq!(plan(&doubted, 20, now).action, BulkAction::NeedsSettling);
    // What would be refused is said so.
    assert_eq!(plan(world.job("A1"), 1, now).refused.as_deref(), Some("reissue_limit"));
}

/// A hung job, at a broker that asks for two persons.
fn hung_for_two() -> World {
    let (mut world, _) = hung();
    let two_persons = TwoPersons { settle: true, bulk_reissue: true, reconcile: true, valid_s: 3600 };
    world.restart(Settings { two_persons, ..Settings::default() });
    for name in ["anna", "bert"] {
        let add = Act::Add { name: name.to_owned(), role: ConsoleRole::Administrator };
        world.ok(Input::People(Box::new(add), "test".to_owned()));
    }
    world
}

fn proposed(reply: Reply) -> String {
    match reply {
        Reply::Proposed(row) => row.id.clone(),
        other => panic!("{other:?}"),
    }
}

fn make_key(world: &mut World, id: &str, owner: Option<&str>, by: &str) -> Result<Reply, Refusal> {
    let row = KeyRow {
        id: id.to_owned(),
        hash: format!("hash of {id}"),
        name: id.to_owned(),
        role: taxdisk_protocol::api::Role::Admin,
        sellers: Vec::new(),
        created_at: world.now,
        expires_at: None,
        revoked_at: None,
        actions: Vec::new(),
        used_at: None,
        about: KeyAbout { people: owner.map(str::to_owned).into_iter().collect() },
    };
    world.input(Input::CreateKey(row, by.to_owned()))
}

fn confirm(world: &mut World, id: &str, by: &str) -> Result<Reply, Refusal> {
    world.input(Input::Confirm(id.to_owned(), by.to_owned()))
}

#[test]
fn what_one_person_proposes_another_one_confirms_and_nobody_his_own() {
    use taxdisk_protocol::api::{SettleDecision::NotIssued, SettleReading::Absent};
    let mut world = hung_for_two();
    make_key(&mut world, "k_anna", Some("anna"), "command line").unwrap();
    make_key(&mut world, "k_made", None, "console:anna").unwrap();
    make_key(&mut world, "k_of_k", None, "k_made").unwrap();
    make_key(&mut world, "k_for_bert", Some("bert"), "console:anna").unwrap();
    make_key(&mut world, "k_bert", Some("bert"), "command line").unwrap();
    assert_eq!(make_key(&mut world, "k_x", Some("nobody"), "command line").unwrap_err().code, "invalid_parameter");
    let ask = |world: &World, by: &str| Input::Settle(key("A1"), request(world, NotIssued, Absent, 7, None), by.to_owned());
    let input = ask(&world, "console:anna");
    let id = proposed(world.ok(input));
    assert_eq!(world.state("A1"), JobState::Unsettled, "nothing is done before");
    let again = ask(&world, "console:anna");
    assert_eq!(proposed(world.ok(again)), id, "a click twice proposes once");
    // Whatever she takes for it: a key that is hers, that she made, that a key of hers made, that she made for another.
    for own in ["console:anna", "k_anna", "k_made", "k_of_k", "k_for_bert"] {
        assert_eq!(confirm(&mut world, &id, own).unwrap_err().code, "second_person", "{own}");
    }
    assert_eq!(world.state("A1"), JobState::Unsettled);
    world.restart(world.core.settings.clone());
    assert_eq!(world.core.proposals(world.now).len(), 1, "it waits over a restart");
    confirm(&mut world, &id, "k_bert").unwrap();
    assert_eq!(world.state("A1"), JobState::Failed);
    assert_eq!(confirm(&mut world, &id, "k_bert").unwrap_err().code, "not_found", "once");
    let said = |what: &str| world.audits.iter().find(|(known, _)| known == what).map(|(_, body)| body.to_string()).unwrap();
    assert!(said("proposed").contains("console:anna") && said("confirmed").contains("k_bert"));
}

#[test]
fn a_proposal_ends_by_time_by_a_word_and_does_nothing_that_cannot_be_done_any_more() {
    use taxdisk_protocol::api::{SettleDecision::NotIssued, SettleReading::Absent};
    let mut world = hung_for_two();
    let ask = |world: &World, by: &str, number: u32| {
        Input::Settle(key("A1"), request(world, NotIssued, Absent, number, None), by.to_owned())
    };
    let late = ask(&world, "console:anna", 7);
    let late = proposed(world.ok(late));
    world.now = world.now.plus_s(3600);
    assert_eq!(confirm(&mut world, &late, "console:bert").unwrap_err().code, "not_found", "its time is over");
    assert!(world.audits.iter().any(|(what, _)| what == "proposal_expired"));
    let declined = ask(&world, "console:anna", 7);
    let declined = proposed(world.ok(declined));
    let decline = |id: &str, reason: &str| Input::Decline(id.to_owned(), reason.to_owned(), "console:bert".to_owned());
    assert_eq!(world.input(decline(&declined, " ")).unwrap_err().code, "invalid_parameter", "with a reason");
    world.ok(decline(&declined, "read it again"));
    assert_eq!(confirm(&mut world, &declined, "console:bert").unwrap_err().code, "not_found");
    // Two of them: the second is about a job that has changed since.
    let one = ask(&world, "console:anna", 7);
    let one = proposed(world.ok(one));
    let other = ask(&world, "console:anna", 6);
    let other = proposed(world.ok(other));
    confirm(&mut world, &one, "console:bert").unwrap();
    assert_eq!(confirm(&mut world, &other, "console:bert").unwrap_err().code, "settle_not_unsettled");
    assert_eq!(world.state("A1"), JobState::Failed);
    let too_late = ask(&world, "console:anna", 7);
    assert_eq!(world.input(too_late).unwrap_err().code, "settle_not_unsettled", "what is decided is not proposed");
}

#[test]
fn whoever_proposed_takes_it_back_and_nobody_what_another_one_proposed() {
    use taxdisk_protocol::api::{SettleDecision::NotIssued, SettleReading::Absent};
    let mut world = hung_for_two();
    make_key(&mut world, "k_anna", Some("anna"), "command line").unwrap();
    let ask = |world: &World| Input::Settle(key("A1"), request(world, NotIssued, Absent, 7, None), "console:anna".to_owned());
    let withdraw = |id: &str, reason: &str, by: &str| Input::Withdraw(id.to_owned(), reason.to_owned(), by.to_owned());
    let input = ask(&world);
    let id = proposed(world.ok(input));
    for other in ["console:bert", "k_nobody", ""] {
        assert_eq!(world.input(withdraw(&id, "mine", other)).unwrap_err().code, "forbidden", "{other}");
    }
    assert_eq!(world.input(withdraw(&id, " ", "console:anna")).unwrap_err().code, "invalid_parameter", "with a reason");
    assert_eq!(world.core.proposals(world.now).len(), 1, "it waits still");
    world.ok(withdraw(&id, "read it wrongly", "k_anna"));
    let (_, entered) = world.audits.iter().find(|(what, _)| what == "withdrawn").expect("it is in the chain");
    let entered = entered.to_string();
    for words in ["k_anna", "console:anna", "read it wrongly", &id] {
        assert!(entered.contains(words), "{words}: {entered}");
    }
    for by in ["console:bert", "console:anna"] {
        assert_eq!(confirm(&mut world, &id, by).unwrap_err().code, "not_found");
        assert_eq!(world.input(withdraw(&id, "again", by)).unwrap_err().code, "not_found");
    }
    world.restart(world.core.settings.clone());
    assert!(world.core.proposals(world.now).is_empty(), "nor is it back after a restart");
    assert_eq!(world.state("A1"), JobState::Unsettled, "nothing was done");
}

#[test]
fn by_the_record_the_two_of_a_proposal_are_the_two_and_one_person_with_two_keys_is_not() {
    use taxdisk_protocol::api::{SettleDecision::Issued, SettleReading::PresentOurs};
    let mut world = hung_for_two();
    let ask = |world: &World, by: &str| {
        let record = Some("looked up on the tax office's site: it exists".to_owned());
        let request = SettleRequest { tax_office: record, ..request(world, Issued, PresentOurs, 9, Some(7)) };
        Input::Settle(key("A1"), request, by.to_owned())
    };
    let input = ask(&world, "console:anna");
    let id = proposed(world.ok(input));
    confirm(&mut world, &id, "console:bert").unwrap();
    assert_eq!(world.state("A1"), JobState::Issued);
    // Without the rule, the record takes two persons all the same: her name and her key are one.
    let (mut world, _) = hung();
    let add = Act::Add { name: "anna".to_owned(), role: ConsoleRole::Administrator };
    world.ok(Input::People(Box::new(add), "test".to_owned()));
    make_key(&mut world, "k_anna", None, "console:anna").unwrap();
    for by in ["console:anna", "k_anna"] {
        let input = ask(&world, by);
        assert_eq!(world.input(input).unwrap_err().code, "settle_second_person", "{by}");
    }
    assert_eq!(world.state("A1"), JobState::Unsettled);
}

#[test]
fn what_people_say_of_a_ledger_that_went_back_takes_two_as_well() {
    let (mut world, backup) = super::reconcile::yesterday();
    world.go_back(backup, true);
    world.core.settings.two_persons.reconcile = true;
    let release = |reason: &str| Input::ReleaseDisk(DISK.parse().unwrap(), reason.to_owned());
    assert_eq!(world.input(release(" ")).unwrap_err().code, "invalid_parameter", "with a reason");
    let id = proposed(world.ok(release("burnt")));
    let session = world.connect_knowing('a', 0);
    assert_eq!(world.asked_to_recount(session).len(), 1, "nothing is released before another person says so");
    assert_eq!(confirm(&mut world, &id, "").unwrap_err().code, "second_person", "nobody has a name of his own here");
    let released = |world: &World| world.audits.iter().any(|(what, _)| *what == "released_unread");
    assert!(!released(&world));
    confirm(&mut world, &id, "console:bert").unwrap();
    assert!(released(&world));
    // What cannot be done is refused then, and waits until it is declined.
    let number = proposed(world.decide_number(77, None, false).unwrap());
    assert_eq!(confirm(&mut world, &number, "console:bert").unwrap_err().code, "not_found");
    assert_eq!(world.core.proposals(world.now).len(), 1);
    let line = Input::DecideLine(key("A9"), LineDecision { reason: "looked".to_owned(), ..LineDecision::default() });
    let line = proposed(world.ok(line));
    assert_eq!(confirm(&mut world, &line, "console:bert").unwrap_err().code, "not_found");
    world.restart(world.core.settings.clone());
    let waiting = world.core.proposals(world.now);
    assert_eq!(waiting.len(), 2, "they wait over a restart: {waiting:?}");
}
