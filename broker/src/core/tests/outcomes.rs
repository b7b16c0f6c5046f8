//! How attempts end: I1, I3, I4, I9, I10.

use super::*;
use taxdisk_protocol::api::{DiskTrouble, Fault};
use taxdisk_protocol::link::{AttemptRef, NumberEntry};

fn setup() -> (World, SessionId, (u64, Assignment)) {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    (world, session, work)
}

#[test]
fn i1_an_issued_job_stays_issued_whatever_is_repeated() {
    let (mut world, session, work) = setup();
    assert!(world.outcome(session, &work, issued(7)));
    assert_eq!(world.job("A1").issued.as_ref().unwrap().printed, printed());
    let revision = world.job("A1").revision;
    // Sent again, because its acknowledgement was lost: acknowledged again, nothing more.
    assert!(world.outcome(session, &work, issued(7)));
    assert_eq!(world.job("A1").revision, revision);
    // Another number for the same attempt is a contradiction for people.
    assert!(world.outcome(session, &work, issued(8)));
    assert_eq!(world.job("A1").issued.as_ref().unwrap().number, "00000007");
    assert_eq!((world.state("A1"), world.job("A1").evidence_count), (JobState::Issued, 1));
    assert_eq!(world.alarms('a').len(), 1);
    assert_eq!(world.number(8), None);
}

#[test]
fn i3_an_unknown_outcome_is_a_state_and_is_asked_again_in_every_grant() {
    let (mut world, session, work) = setup();
    world.started(session, &work, 7);
    world.outcome_with(session, &work, unsettled(), vec![absent(7)]);
    assert_eq!(world.state("A1"), JobState::Unsettled);
    assert_eq!(world.job("A1").problem.as_ref().unwrap().code, "outcome_unknown");
    assert_eq!(world.job("A1").evidence_count, 1);
    // The disk goes on with other jobs.
    world.submit("A2");
    assert_eq!(world.assigned(session).len(), 1);
    world.leave(session, Left::Lost);
    let again = world.connect('a', DISK);
    let grant = world.granted(again).remove(0);
    assert_eq!(grant.1.len(), 2);
    assert_eq!(grant.1[0].expected, Some(pair(7)));
    world.outcome(again, &work, found(7));
    assert_eq!(world.state("A1"), JobState::Issued);
    assert_eq!(world.job("A1").issued.as_ref().unwrap().printed, printed());
}

#[test]
fn trouble_of_the_disk_waits_and_the_disk_rests_until_it_says_that_it_is_ready() {
    let (mut world, session, work) = setup();
    world.outcome(session, &work, not_issued(DeviceClass::Locked));
    assert_eq!(world.state("A1"), JobState::Queued);
    assert_eq!(world.job("A1").waiting, Some(Waiting::Locked));
    assert_eq!(world.waiting("A1"), Some(Waiting::Locked));
    assert!(world.assigned(session).is_empty());
    world.reports(session, vec![report(DISK)]);
    let second = world.assigned(session).remove(0);
    assert_eq!(second.1.attempt.attempt, 2);
    // Trouble after trouble: it rests although it says that it is ready, so that attempts do not pile up.
    world.outcome(session, &second, not_issued(DeviceClass::DeviceFault));
    world.reports(session, vec![report(DISK)]);
    assert!(world.assigned(session).is_empty());
    world.pass_ms(1000);
    assert_eq!(world.assigned(session).len(), 1);
}

#[test]
fn no_stock_holds_one_kind_alone() {
    let mut world = World::new();
    let session = world.join('a');
    let mut two = report(DISK);
    two.kinds.push("026".to_owned());
    two.stock.push(StockView { kind: "026".to_owned(), remaining: 5, ..two.stock[0].clone() });
    world.reports(session, vec![two]);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, not_issued(DeviceClass::NoStock));
    assert_eq!(world.waiting("A1"), Some(Waiting::NoStock));
    world.ok(Input::Submit(Box::new(JobSubmission { kind: "026".to_owned(), ..submission("E1") }.into())));
    assert_eq!(world.state("E1"), JobState::Assigned);
}

#[test]
fn failed_says_whose_fault_it_is() {
    let (mut world, session, work) = setup();
    world.outcome(session, &work, not_issued(DeviceClass::OverInvoiceLimit));
    assert_eq!(world.state("A1"), JobState::Failed);
    let problem = world.job("A1").problem.clone().unwrap();
    assert_eq!((problem.code.as_str(), problem.fault), ("disk_refused", Fault::Request));
    let body =
        SellerBody { name: "测试".to_owned(), disk_trouble: DiskTrouble::Fail, mark: true, warnings: Default::default() };
    world.ok(Input::PutSeller(seller().parse().unwrap(), body, "test".to_owned()));
    world.submit("A2");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, not_issued(DeviceClass::NoStock));
    let problem = world.job("A2").problem.clone().unwrap();
    assert_eq!((world.state("A2"), problem.code.as_str(), problem.fault), (JobState::Failed, "disk_trouble", Fault::Disk));
}

#[test]
fn i9_a_wrong_epoch_sequence_or_attempt_changes_nothing() {
    let (mut world, session, work) = setup();
    let before = world.job("A1").clone();
    for (epoch, sequence, attempt) in [(9, 1, 1), (1, 9, 1), (1, 1, 9)] {
        let mut wrong = work.clone();
        (wrong.0, wrong.1.sequence) = (epoch, sequence);
        let frame = AgentFrame::Outcome {
            id: "x".to_owned(),
            disk: DISK.parse().unwrap(),
            epoch,
            sequence,
            attempt: AttemptRef { key: key("A1"), attempt },
            expected: None,
            outcome: issued(7),
            readings: Vec::new(),
            disk_ms: 1,
        };
        world.ok(Input::Frame(session, Box::new(frame)));
    }
    assert_eq!(*world.job("A1"), before);
    assert_eq!(world.audits.iter().filter(|(what, _)| *what == "outcome_of_unknown_attempt").count(), 3);
    // Work that another epoch began is not taken for begun.
    let frame = AgentFrame::Started { disk: DISK.parse().unwrap(), epoch: 9, attempt: work.1.attempt.clone(), expected: pair(7) };
    world.ok(Input::Frame(session, Box::new(frame)));
    assert_eq!(*world.job("A1"), before);
}

#[test]
fn i10_a_number_that_has_an_owner_is_not_adopted() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    world.submit("A2");
    let work = world.assigned(session);
    // Both in one commit: the first one has it.
    world.outcome(session, &work[0], issued(7));
    world.outcome(session, &work[1], found(7));
    assert_eq!((world.state("A1"), world.state("A2")), (JobState::Issued, JobState::Unsettled));
    assert_eq!(world.alarms('a').len(), 1);
    assert_eq!(world.number(7), Some(&Owner::Ours(work[0].1.attempt.clone())));
    // The right number afterwards is taken.
    world.outcome(session, &work[1], found(8));
    assert_eq!(world.state("A2"), JobState::Issued);
}

#[test]
fn i10_within_one_commit_too() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    world.submit("A2");
    let work = world.assigned(session);
    let frames = work
        .iter()
        .map(|(epoch, assignment)| {
            Input::Frame(
                session,
                Box::new(AgentFrame::Outcome {
                    id: assignment.sequence.to_string(),
                    disk: DISK.parse().unwrap(),
                    epoch: *epoch,
                    sequence: assignment.sequence,
                    attempt: assignment.attempt.clone(),
                    expected: None,
                    outcome: issued(7),
                    readings: Vec::new(),
                    disk_ms: 1,
                }),
            )
        })
        .collect();
    world.batch(frames);
    assert_eq!((world.state("A1"), world.state("A2")), (JobState::Issued, JobState::Unsettled));
}

#[test]
fn i10_a_foreign_number_is_never_a_jobs() {
    let (mut world, session, work) = setup();
    let entry = NumberEntry { pair: pair(7), owner: Owner::Foreign, status: "positive".to_owned(), digest: "d".to_owned() };
    let frame = AgentFrame::Accounted {
        id: "m".to_owned(),
        disk: DISK.parse().unwrap(),
        epoch: 1,
        kind: InvoiceKind::Roll,
        entries: vec![entry],
        last: pair(7),
        note: None,
    };
    world.ok(Input::Frame(session, Box::new(frame)));
    assert_eq!(world.restored.accounted[0].2, pair(7));
    world.outcome(session, &work, found(7));
    assert_eq!(world.state("A1"), JobState::Unsettled);
    world.outcome(session, &work, found(8));
    assert_eq!(world.state("A1"), JobState::Issued);
    // Issued directly after the accounted one: it is the accounted one now.
    assert_eq!(world.restored.accounted[0].2, pair(8));
}

#[test]
fn i5_numbers_are_entered_by_the_present_owner_alone_and_only_rise() {
    let (mut world, a, _work) = setup();
    let accounted = |epoch, last| AgentFrame::Accounted {
        id: "m".to_owned(),
        disk: DISK.parse().unwrap(),
        epoch,
        kind: InvoiceKind::Roll,
        entries: Vec::new(),
        last: pair(last),
        note: None,
    };
    world.ok(Input::Frame(a, Box::new(accounted(9, 50))));
    assert!(world.restored.accounted.is_empty(), "another epoch");
    world.ok(Input::Frame(a, Box::new(accounted(1, 50))));
    world.ok(Input::Frame(a, Box::new(accounted(1, 40))));
    assert_eq!(world.restored.accounted[0].2, pair(50));
    assert_eq!(world.audits.iter().filter(|(what, _)| *what == "accounted").count(), 3, "all of it is kept");
}

#[test]
fn i4_what_was_begun_is_not_given_back_without_a_reading() {
    let (mut world, session, work) = setup();
    world.started(session, &work, 7);
    world.outcome(session, &work, given_back());
    assert_eq!(world.state("A1"), JobState::Unsettled);
    world.outcome_with(session, &work, given_back(), vec![absent(7)]);
    assert_eq!(world.state("A1"), JobState::Assigned, "read and proven: handed over again");
    assert_eq!(world.job("A1").attempts.len(), 2);
}

#[test]
fn a_disk_with_too_many_unsettled_attempts_takes_nothing_more() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    for n in 1..=12 {
        world.submit(&format!("A{n}"));
    }
    for _ in 0..12 {
        for work in world.assigned(session) {
            world.outcome(session, &work, unsettled());
        }
    }
    let open = world.jobs.values().filter(|job| job.state == JobState::Unsettled).count();
    assert!((8..=9).contains(&open), "{open}");
    assert!(world.jobs.values().any(|job| job.state == JobState::Queued));
}

/// Found by the simulation: with the clock set back by an hour the disk rested for an hour longer.
#[test]
fn i2_a_clock_that_is_set_back_makes_no_disk_rest_longer() {
    let (mut world, session, work) = setup();
    world.outcome(session, &work, not_issued(DeviceClass::Locked));
    assert!(world.assigned(session).is_empty());
    world.pass_ms(-3_600_000);
    assert!(world.assigned(session).is_empty(), "the jump is no time that passed");
    world.pass_ms(2_000);
    assert_eq!(world.assigned(session).len(), 1);
}

#[test]
fn i2_a_clock_that_is_set_back_keeps_no_moved_disk_from_its_new_agent() {
    let (mut world, session, _) = setup();
    world.leave(session, Left::Lost);
    let other = world.connect('b', DISK);
    assert!(world.granted(other).is_empty(), "the former owner may still begin");
    world.pass_ms(-3_600_000);
    assert!(world.granted(other).is_empty());
    world.pass_ms(Settings::default().silence_ms);
    assert_eq!(world.granted(other).len(), 1);
}
