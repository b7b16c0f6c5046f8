//! A ledger that went back, and a job of which several attempts are forgotten: of several disks, each with its own doubt.

use super::*;
use taxdisk_protocol::link::{AttemptRef, Forgotten, IndexLine, Owner, RecountedNumbers, SeenNumber};

use taxdisk_protocol::undo::Undoing;

use super::super::types::LineDecision;
use super::reconcile::{forgotten, remembered, seen, yesterday};
use super::undoing::{OTHER, take, void, voided, whole_red};

fn attempt(number: u32, sequence: u64, result: AttemptResult) -> IndexLine {
    IndexLine { attempt: AttemptRef { key: key("A3"), attempt: number }, ..remembered("A3", sequence, result) }
}

fn decide(world: &mut World, decision: LineDecision) -> Result<Reply, Refusal> {
    world.input(Input::DecideLine(key("A3"), LineDecision { reason: "read by hand".to_owned(), ..decision }))
}

fn outcome(world: &mut World, session: SessionId, disk: &str, line: &IndexLine, result: AttemptResult) {
    let frame = AgentFrame::Outcome {
        id: format!("late {}", line.attempt.attempt),
        disk: disk.parse().unwrap(),
        epoch: line.epoch,
        sequence: line.sequence,
        attempt: line.attempt.clone(),
        expected: Some(pair(30)),
        outcome: result,
        readings: Vec::new(),
        disk_ms: 0,
    };
    world.ok(Input::Frame(session, Box::new(frame)));
}

/// After the backup attempt 1 of A3 was at one disk, and a person has settled it, of which its agent has not heard; attempt 2 was
/// at another disk. This is what the two agents tell of them.
fn two_attempts(first: &IndexLine, second: &IndexLine) -> (World, SessionId, SessionId) {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let b = world.comes_back('b', OTHER, 1);
    let a = world.comes_back('a', DISK, 3);
    world.tells_at(b, OTHER, vec![second.clone()], Vec::new(), 20);
    world.tells_at(a, DISK, vec![first.clone(), remembered("A2", 2, issued(8))], Vec::new(), 8);
    world.submit("A3");
    (world, a, b)
}

#[test]
fn i1_two_attempts_in_doubt_are_two_doubts() {
    let lines = [attempt(1, 3, unsettled()), attempt(2, 1, unsettled())];
    for (decided, left) in [(0, 1), (1, 0)] {
        for restarted in [false, true] {
            let (mut world, a, b) = two_attempts(&lines[0], &lines[1]);
            let (disks, sessions, letters) = ([DISK, OTHER], [a, b], ['a', 'b']);
            assert_eq!(world.waiting("A3"), Some(Waiting::Reconcile));
            assert_eq!(decide(&mut world, LineDecision::default()).unwrap_err().code, "invalid_parameter", "which one?");
            decide(&mut world, LineDecision { disk: Some(disks[decided].parse().unwrap()), ..LineDecision::default() }).unwrap();
            let mut session = sessions[left];
            if restarted {
                world.restart(Settings::default());
                session = world.comes_back(letters[left], disks[left], lines[left].sequence);
                let unsettled = vec![lines[left].attempt.clone()];
                assert_eq!(forgotten(&mut world, session), [Forgotten { recounting: false, unsettled }]);
            }
            let handed_out = |world: &mut World| {
                let mut out = world.assigned(sessions[0]);
                out.extend(world.assigned(sessions[1]));
                out.extend(if restarted { world.assigned(session) } else { Vec::new() });
                out.len()
            };
            assert_eq!((world.waiting("A3"), handed_out(&mut world)), (Some(Waiting::Reconcile), 0), "{restarted}");
            outcome(&mut world, session, disks[left], &lines[left], not_issued(DeviceClass::NoStock));
            assert_eq!((world.state("A3"), handed_out(&mut world)), (JobState::Assigned, 1), "both are proven");
            assert!(world.core.reconcile_view().jobs.is_empty());
        }
    }
}

#[test]
fn i3_an_attempt_in_doubt_is_looked_at_although_another_one_issued() {
    // A second invoice, the first one once more, and none.
    for (result, alarms) in [(issued(30), 1), (not_issued(DeviceClass::NoStock), 0)] {
        let lines = [attempt(1, 3, issued(9)), attempt(2, 1, unsettled())];
        let (mut world, _, b) = two_attempts(&lines[0], &lines[1]);
        assert_eq!((world.state("A3"), world.job("A3").issued.as_ref().unwrap().number.as_str()), (JobState::Issued, "00000009"));
        assert_eq!(world.core.reconcile_view().jobs.len(), 1, "the other one may have issued as well");
        outcome(&mut world, b, OTHER, &lines[1], result.clone());
        let told = world.alarms('b').iter().filter(|alarm| alarm.contains("issued another one")).count();
        assert_eq!(told, alarms, "{result:?}");
        assert!(world.core.reconcile_view().jobs.is_empty());
        assert_eq!(world.job("A3").issued.as_ref().unwrap().number, "00000009");
    }
}

#[test]
fn i3_two_remembered_invoices_of_one_job_are_told_of() {
    let (world, ..) = two_attempts(&attempt(1, 3, issued(9)), &attempt(2, 1, issued(30)));
    assert_eq!(world.job("A3").issued.as_ref().unwrap().number, "00000030", "the one that was heard of first");
    assert!(world.alarms('a').iter().any(|alarm| alarm.contains("issued another one")), "{:?}", world.alarms('a'));
    let ours = Owner::Ours(AttemptRef { key: key("A3"), attempt: 1 });
    assert_eq!(world.number(9), Some(&ours), "and both numbers have their owner");
}

#[test]
fn a_person_says_that_an_attempt_issued_as_well() {
    let lines = [attempt(1, 3, issued(9)), attempt(2, 1, unsettled())];
    let (mut world, ..) = two_attempts(&lines[0], &lines[1]);
    decide(&mut world, LineDecision { issued: Some(pair(30)), ..LineDecision::default() }).unwrap();
    assert!(world.alarms('b').iter().any(|alarm| alarm.contains("issued another one")), "{:?}", world.alarms('b'));
    assert!(world.core.reconcile_view().jobs.is_empty());
    assert_eq!(world.job("A3").issued.as_ref().unwrap().number, "00000009");
}

#[test]
fn rows_of_0_1_are_keyed_by_the_attempt_from_then_on() {
    let line = attempt(1, 3, unsettled());
    let (mut world, ..) = two_attempts(&line, &attempt(2, 1, not_issued(DeviceClass::NoStock)));
    let rows = &mut world.restored.reconcile;
    let row = rows.iter_mut().find(|row| row.what == "line").unwrap();
    row.key = key("A3").to_string();
    world.restart(Settings::default());
    let a = world.comes_back('a', DISK, 3);
    assert_eq!(world.waiting("A3"), Some(Waiting::Reconcile), "it is read");
    outcome(&mut world, a, DISK, &line, not_issued(DeviceClass::NoStock));
    let left = world.restored.reconcile.iter().filter(|row| row.what == "line").count();
    assert_eq!(left, 0, "and gone for good, under either key");
}

#[test]
fn i1_an_original_of_unknown_origin_is_undone_at_its_disk_alone() {
    for job in [whole_red("R1", 30), void("V1", 30)] {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        let b = world.comes_back('b', OTHER, 1);
        let a = world.comes_back('a', DISK, 3);
        world.tells_at(b, OTHER, Vec::new(), vec![seen(30, Some("#x"))], 30);
        world.tells_at(a, DISK, vec![remembered("A2", 2, issued(8))], Vec::new(), 8);
        let serial = job.serial.clone();
        take(&mut world, job).unwrap();
        let about = world.job(&serial).about.as_ref().and_then(|about| about.disk.clone());
        assert_eq!(about, Some(OTHER.parse().unwrap()), "only the disk that has it can tell whether it was undone");
    }
}

/// Found by the simulation: a person saw the invoice of attempt 1 on the disk, and gave it to attempt 2 as well.
#[test]
fn i10_the_number_of_one_attempt_is_not_given_to_another_one_of_the_same_job() {
    let (mut world, backup) = yesterday();
    world.go_back(backup, true);
    let a = world.comes_back('a', DISK, 3);
    let lines = vec![attempt(2, 3, issued(9)), attempt(1, 2, unsettled())];
    world.tells_at(a, DISK, lines, Vec::new(), 9);
    let refusal = decide(&mut world, LineDecision { issued: Some(pair(9)), ..LineDecision::default() }).unwrap_err();
    assert_eq!(refusal.code, "settle_contradiction");
    assert_eq!(world.number(9), Some(&Owner::Ours(AttemptRef { key: key("A3"), attempt: 2 })));
    decide(&mut world, LineDecision::default()).unwrap();
    assert_eq!(world.core.reconcile_view().jobs.len(), 1, "what was done is there as before");
}

#[test]
fn i1_an_original_of_unknown_origin_that_is_void_is_not_reversed() {
    for (status, code) in [("positive_void", Some("original_undone")), ("positive", None)] {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        let session = world.comes_back('a', DISK, 4);
        world.tells_at(session, DISK, Vec::new(), vec![SeenNumber { status: status.to_owned(), ..seen(8, Some("#x")) }], 8);
        let red = take(&mut world, whole_red("R1", 8));
        assert_eq!(red.as_ref().err().map(|refusal| refusal.code), code);
        if red.is_ok() {
            let about = world.job("R1").about.as_ref().and_then(|about| about.disk.clone());
            assert_eq!(about, Some(DISK.parse().unwrap()), "only the disk that has it can tell whether it was undone");
        }
        // A void job of it hears from the disk that it is so.
        assert_eq!(take(&mut world, void("V1", 8)).is_ok(), code.is_some());
    }
}

/// Found by the simulation (seed 11590): the red was taken before anybody knew on which disk its original stands.
#[test]
fn i1_a_red_that_waits_ends_when_its_original_is_found_void() {
    for (status, state) in [("positive_void", JobState::Failed), ("positive", JobState::Assigned)] {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        take(&mut world, whole_red("R1", 8)).unwrap();
        let b = world.comes_back('b', OTHER, 1);
        world.tells_at(b, OTHER, Vec::new(), Vec::new(), 20);
        let a = world.comes_back('a', DISK, 4);
        world.tells_at(a, DISK, Vec::new(), vec![SeenNumber { status: status.to_owned(), ..seen(8, Some("#x")) }], 8);
        assert_eq!(world.state("R1"), state, "{status}");
        let problem = world.job("R1").problem.as_ref().map(|problem| problem.code.clone());
        assert_eq!(problem.as_deref(), (state == JobState::Failed).then_some("original_undone"));
    }
}

/// Found by the simulation (seed 11759): the job could not be named, and its invoice could be undone once more by another one.
#[test]
fn a_number_of_unknown_origin_is_given_to_a_job_that_the_ledger_has_forgotten_too() {
    for restarted in [false, true] {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        take(&mut world, void("V1", 5)).unwrap();
        let a = world.comes_back('a', DISK, 4);
        let red =
            SeenNumber { status: "negative".to_owned(), reverses: Some(pair(5)), gross: "-226.00".to_owned(), ..seen(9, None) };
        world.tells_at(a, DISK, Vec::new(), vec![seen(8, Some("#x")), red], 9);
        assert_eq!(world.waiting("V1"), Some(Waiting::Reconcile), "number 9 reversed what it would void");
        assert_eq!(
            world.decide_number(9, Some(key("R1")), false).unwrap_err().code,
            "not_found",
            "it may be a mistake in writing"
        );
        let stranger = JobKey { seller: "91110000MA0000001L".parse().unwrap(), ..key("R1") };
        assert_eq!(world.decide_number(9, Some(stranger), true).unwrap_err().code, "settle_contradiction");
        world.decide_number(9, Some(key("R1")), true).unwrap();
        world.decide_number(8, Some(key("A9")), true).unwrap();
        assert_eq!(world.decide_number(8, Some(key("A9")), true).unwrap_err().code, "not_found", "its origin is known now");
        let problem = world.job("V1").problem.clone().unwrap();
        assert!(problem.code == "original_undone" && problem.text.contains("reversed by job R1"), "{problem:?}");
        if restarted {
            world.restart(Settings::default());
        }
        assert_eq!(take(&mut world, void("V2", 5)).unwrap_err().code, "original_undone");
        take(&mut world, whole_red("R1", 5)).unwrap();
        assert_eq!((world.state("R1"), world.invoice("R1")), (JobState::Issued, pair(9).number.to_string()));
        world.submit("A9");
        assert_eq!((world.state("A9"), world.invoice("A9")), (JobState::Issued, pair(8).number.to_string()));
        assert_eq!(world.core.reconcile_view().numbers, []);
        assert_eq!(take(&mut world, void("V2", 5)).unwrap_err().code, "original_undone");
    }
}

/// Found by the simulation (seed 29832): nobody could say that a forgotten void was done, and the invoice was reversed as well.
#[test]
fn i1_a_person_says_that_a_forgotten_void_was_done() {
    for done in [true, false] {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        let a = world.comes_back('a', DISK, 4);
        let line = IndexLine {
            expected: Some(pair(5)),
            undoing: Some(Undoing::Of(pair(5))),
            ..remembered("V1", 4, AttemptResult::Unsettled { class: DeviceClass::Link, text: String::new() })
        };
        world.tells_at(a, DISK, vec![line, remembered("A2", 2, issued(8))], Vec::new(), 8);
        take(&mut world, whole_red("R1", 5)).unwrap();
        assert_eq!(world.waiting("R1"), Some(Waiting::Reconcile), "the void may have been done");
        let decision =
            LineDecision { issued: done.then_some(pair(5)), reason: "read by hand".to_owned(), ..LineDecision::default() };
        world.input(Input::DecideLine(key("V1"), decision)).unwrap();
        if !done {
            assert_eq!(world.state("R1"), JobState::Assigned, "it was not");
            continue;
        }
        assert_eq!(world.job("R1").problem.as_ref().map(|problem| problem.code.as_str()), Some("original_undone"));
        for restarted in [false, true] {
            assert_eq!(take(&mut world, whole_red("R2", 5)).unwrap_err().code, "original_undone", "restarted: {restarted}");
            world.restart(Settings::default());
        }
        let left = world.core.reconcile_view().jobs;
        assert_eq!((left.len(), left[0].result.as_str()), (1, "voided"), "until the job hears of it from its disk");
    }
}

pub(super) fn epochs(world: &mut World, to: SessionId) -> Vec<u64> {
    world.take(|session, frame| match frame {
        BrokerFrame::Grant { epoch, .. } if session == to => Some(*epoch),
        _ => None,
    })
}

/// Found by the simulation: an assignment of before the backup came to a copy of the agent, under an epoch that was given again.
#[test]
fn i1_no_epoch_of_before_is_given_again_by_a_ledger_that_went_back() {
    let (mut world, backup) = yesterday();
    let before = (0..3).flat_map(|_| {
        let session = world.connect('a', DISK);
        epochs(&mut world, session)
    });
    let before: Vec<u64> = before.collect();
    world.go_back(backup, true);
    for _ in 0..4 {
        let session = world.comes_back('a', DISK, 3);
        let after = epochs(&mut world, session);
        assert!(after.len() == 1 && before.iter().all(|before| *before < after[0]), "{before:?} {after:?}");
    }
}

/// Found by the simulation (seed 104175): an index told first that the void was done, and then of another attempt that was in
/// doubt; the job was taken out of the queue for the second, and nobody put it back.
#[test]
fn a_void_job_that_was_done_goes_on_whatever_else_is_remembered_of_it() {
    let of = |attempt, sequence, result| IndexLine {
        attempt: AttemptRef { key: key("V1"), attempt },
        expected: Some(pair(5)),
        undoing: Some(Undoing::Of(pair(5))),
        ..remembered("V1", sequence, result)
    };
    let done = of(1, 3, voided(5));
    let doubt = of(2, 4, unsettled());
    let orders = [vec![done.clone()], vec![done.clone(), doubt.clone()], vec![doubt.clone(), done], vec![doubt.clone()]];
    for (order, lines) in orders.into_iter().enumerate() {
        let (mut world, backup) = yesterday();
        world.go_back(backup, true);
        take(&mut world, void("V1", 5)).unwrap();
        let a = world.comes_back('a', DISK, 4);
        world.tells_at(a, DISK, lines, Vec::new(), 8);
        let mut work = world.assigned(a);
        if order == 3 {
            assert!(work.iter().all(|(_, assignment)| assignment.attempt.key != key("V1")), "nobody knows yet that it was done");
            outcome(&mut world, a, DISK, &doubt, voided(5));
            work = world.assigned(a);
        }
        let work = work.into_iter().find(|(_, assignment)| assignment.attempt.key == key("V1"));
        world.outcome(a, &work.expect("it goes to the disk, which finds the original void"), voided(5));
        assert_eq!((world.state("V1"), world.core.reconcile_view().jobs.len()), (JobState::Voided, 0), "{order}");
    }
}

/// Found by the simulation (seed 101377): the disk's owner read that an attempt had issued the number, and could not give it to
/// the job because its origin was unknown; and a person could not because the attempt was in doubt.
#[test]
fn i3_a_person_gives_a_number_of_unknown_origin_to_the_job_that_is_in_doubt_about_it() {
    // The number that is in doubt: this one, another one, or the same one at another disk.
    let (waits, fails) = (DeviceClass::Locked, DeviceClass::InvalidRequest);
    for (named, at, class, given) in
        [(7, DISK, waits, true), (7, DISK, fails, true), (8, DISK, waits, false), (7, OTHER, fails, false)]
    {
        let mut world = World::new();
        let a = world.connect('a', at);
        world.submit("A1");
        let work = world.assigned(a).remove(0);
        world.outcome_with(a, &work, not_issued(class), vec![absent(named)]);
        if class == fails {
            world.reports(a, vec![report(DISK), report(OTHER)]);
        }
        let before = world.state("A1");
        let backup = world.backup();
        world.go_back(backup, true);
        // What else the job did was forgotten, and the journal was lost.
        let a = world.join('a');
        world.reports(a, vec![report(DISK), report(OTHER)]);
        for (disk, numbers) in [(DISK, vec![seen(7, None)]), (OTHER, Vec::new())] {
            let epoch = world.restored.fences.iter().find(|fence| fence.disk.as_str() == disk).unwrap().epoch;
            let numbers = RecountedNumbers { kind: InvoiceKind::Roll, seen: numbers, last: Some(pair(8)), complete: true };
            let (disk, lines) = (disk.parse().unwrap(), Vec::new());
            let frame = AgentFrame::Recounted { disk, epoch, lines, numbers: Some(numbers), done: true };
            world.ok(Input::Frame(a, Box::new(frame)));
        }
        // Read once more, it would end the doubt about a number that is nobody's.
        for _ in 0..1 + usize::from(given) {
            world.outcome(a, &work, found(named));
            assert_eq!((world.state("A1"), world.job("A1").is_doubted()), (before, true), "{named} at {at}");
        }
        let answer = world.decide_number(7, Some(key("A1")), false);
        if !given {
            assert_eq!(answer.unwrap_err().code, "settle_contradiction");
            continue;
        }
        answer.unwrap();
        assert_eq!((world.state("A1"), world.invoice("A1")), (JobState::Issued, pair(7).number.to_string()));
        assert!(matches!(world.number(7), Some(Owner::Ours(owner)) if owner.key == key("A1")));
        assert_eq!(world.core.reconcile_view().numbers, []);
        world.outcome(a, &work, found(named));
        world.restart(Settings::default());
        let a = world.join('a');
        world.reports(a, vec![report(DISK)]);
        assert!(world.granted(a)[0].1.is_empty(), "nothing is in doubt any more");
        assert_eq!(world.alarms('a').iter().filter(|alarm| alarm.contains("two owners")).count(), 0);
    }
}
