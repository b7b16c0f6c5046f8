//! What the simulation of the whole system found (`cargo xtask sim`), told as short stories of one agent.

use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::link::{AgentFrame, AttemptRef, AttemptResult, OpenAttempt};

use super::fake::{FakeDisk, Fault, KIND, pair};
use super::scenarios::repeated;
use super::world::{World, key};
use crate::core::disk::commands::Command;
use crate::core::records::{Owner, Record, View};

/// Found by the simulation: an agent that came back to a disk settled its own attempt before the grant, and entered what it found
/// beside it as another program's. It was the invoice of a job that another agent had begun meanwhile; the grant listed that, the
/// number was "another program's" already, and a job that was issued was told not to be.
#[test]
fn i1_numbers_that_are_read_before_the_grant_are_not_entered_as_another_programs() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.exclusive = true;
    world.broker.requeue = false;
    world.disk.faults.push_back(Fault::LostBefore);
    world.submit("A1", false);
    while world.disk.issues_sent() == 0 {
        world.step();
    }
    world.crash();
    // Meanwhile the disk was at another agent.
    world.disk.other_agent(key("B1"), "公司", "20.00");
    let attempt = AttemptRef { key: key("B1"), attempt: 1 };
    let mut assignment = repeated(&attempt, 7);
    (assignment.invoice.buyer.name, assignment.invoice.totals.gross, assignment.mark) = ("公司".into(), "20.00".into(), None);
    let agent = "ag_0000000000000002".parse().unwrap();
    let open = OpenAttempt { assignment, epoch: 1, agent, expected: Some(pair(10)), named: None };
    world.broker.open.insert(("B1".to_owned(), 1), open);
    // The grant comes only after the disk was read.
    world.link = false;
    for _ in 0..60 {
        world.step();
    }
    world.link = true;
    world.run();
    assert!(matches!(world.result("B1", 1), Some(AttemptResult::Issued { pair: found, .. }) if *found == pair(10)));
    let owner = world.journal.owner(&world.number(), KIND, pair(10));
    assert!(matches!(&owner, Some(Owner::Ours(attempt)) if attempt.key == key("B1")), "{owner:?}");
}

/// A component executed late, after its attempt had ended as unsettled. The number was entered as another program's, so that
/// neither the agent nor a person could give it to its job any more.
#[test]
fn number_of_an_unsettled_attempt_is_never_entered_as_another_programs() {
    for marked in [true, false] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.disk.fence = Some(Fence::None);
        world.broker.requeue = false;
        world.disk.faults.push_back(Fault::RunsLate(1_000));
        world.submit("A1", marked);
        world.run();
        assert!(matches!(world.result("A1", 1), Some(AttemptResult::Unsettled { .. })));
        // Now it runs, and the numbers have moved when the next job comes.
        world.disk.late.as_mut().unwrap().1 = 0;
        world.disk.stock().unwrap();
        let told = world.frames.len();
        world.submit_as("A2", marked, "公司", "20.00");
        world.run();
        assert_eq!(world.issued("A2"), Some(pair(11)), "marked: {marked}");
        let owner = world.journal.owner(&world.number(), KIND, pair(10));
        if marked {
            assert_eq!(world.issued("A1"), Some(pair(10)), "its mark proves it");
            assert!(matches!(&owner, Some(Owner::Ours(attempt)) if attempt.key == key("A1")));
        } else {
            assert_eq!(owner, None, "nobody's, until somebody knows");
            let again = world.frames[told..].iter().filter(|frame| match frame {
                AgentFrame::Outcome { attempt, .. } => attempt.key == key("A1"),
                _ => false,
            });
            assert_eq!(again.count(), 0, "nothing new is known of it");
        }
    }
}

/// A ledger that went back twice to the same copy numbers attempts alike. The index answered the new attempt
/// with the old one's outcome, the broker knew no such attempt, and the job stayed handed over for ever.
#[test]
fn attempt_whose_number_was_given_before_is_given_back_and_comes_again_under_the_next() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.broker.requeue = false;
    world.disk.faults.push_back(Fault::NotSent(DeviceClass::InvalidRequest));
    world.submit("A1", true);
    world.run();
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::NotIssued { .. })));
    let (disk, told) = (world.number(), world.frames.len());
    let attempt = AttemptRef { key: key("A1"), attempt: 1 };
    // This broker knows one outcome of each number; what is told now is looked at here.
    world.link = false;
    world.command(Command::Assign { disk, epoch: 1, assignment: repeated(&attempt, 50) });
    for _ in 0..40 {
        world.step();
    }
    let answer = world.frames[told..].iter().find_map(|frame| match frame {
        AgentFrame::Outcome { sequence, outcome, .. } => Some((*sequence, outcome.clone())),
        _ => None,
    });
    assert!(matches!(answer, Some((50, AttemptResult::GivenBack { .. }))), "{answer:?}");
    assert_eq!(world.disk.issues_sent(), 1, "it was begun under a number that the index has");
}

/// The accounts went on past a number that may be an open attempt's, and with the journal lost once more nobody knew where to
/// look: the attempt was told never begun, and its job was issued again.
#[test]
fn i1_what_is_unsettled_tells_where_to_look_from_before_the_accounts_go_on() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.broker.requeue = false;
    world.disk.faults.push_back(Fault::LostAfter);
    world.submit("A1", false);
    while world.disk.issues_sent() == 0 {
        world.step();
    }
    // The journal goes, and with it what the broker had not heard yet: which number was expected.
    world.journal = Default::default();
    world.crash();
    world.broker.open.values_mut().for_each(|open| open.expected = None);
    let from = world.frames.len();
    world.run();
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::Unsettled { .. })));
    let told = &world.frames[from..];
    let outcome =
        told.iter().position(|frame| matches!(frame, AgentFrame::Outcome { expected, .. } if *expected == Some(pair(10))));
    let accounted = told.iter().position(|frame| matches!(frame, AgentFrame::Accounted { last, .. } if *last == pair(10)));
    assert!(outcome.is_some_and(|outcome| accounted.is_none_or(|accounted| outcome < accounted)), "{told:?}");
}

/// Found by the simulation (seed 100824): an agent that had lost its journal heard an assignment once more before the grant, and
/// gave back what it did not know. At the grant it answered with that instead of reading, and entered the job's own number as
/// another program's.
#[test]
fn i10_what_began_before_the_journal_was_lost_is_read_and_not_given_back() {
    for told_before in [true, false] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.exclusive = true;
        world.broker.requeue = false;
        world.disk.other_agent(key("B1"), "公司", "20.00");
        let attempt = AttemptRef { key: key("B1"), attempt: 1 };
        let mut assignment = repeated(&attempt, 7);
        (assignment.invoice.buyer.name, assignment.invoice.totals.gross, assignment.mark) = ("公司".into(), "20.00".into(), None);
        world.link = false;
        for _ in 0..60 {
            world.step();
        }
        let disk = world.number();
        world.command(Command::Assign { disk: disk.clone(), epoch: 1, assignment: assignment.clone() });
        for _ in 0..60 {
            world.step();
        }
        let given_back =
            |frame: &AgentFrame| matches!(frame, AgentFrame::Outcome { outcome: AttemptResult::GivenBack { .. }, .. });
        assert!(world.frames.iter().any(given_back));
        if told_before {
            let ids = world.journal.outbox(&disk).into_iter().map(|(id, _)| id).collect();
            world.journal.append(&[Record::Acked { ids }]).unwrap();
        }
        let agent = "ag_0000000000000002".parse().unwrap();
        let open = OpenAttempt { assignment, epoch: 1, agent, expected: Some(pair(10)), named: None };
        world.broker.open.insert(("B1".to_owned(), 1), open);
        world.broker.epoch = 1;
        world.broker.last = Some(pair(9));
        world.link = true;
        world.run();
        let result = world.result("B1", 1);
        assert!(matches!(result, Some(AttemptResult::Issued { pair: found, .. }) if *found == pair(10)), "{result:?}");
        let owner = world.journal.owner(&disk, KIND, pair(10));
        assert!(matches!(&owner, Some(Owner::Ours(attempt)) if attempt.key == key("B1")), "{owner:?}");
    }
}
