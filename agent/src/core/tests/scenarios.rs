//! Named situations: each ends in the truth or stays unsettled, and never doubles.

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::job::GENERATION_EPOCHS;
use taxdisk_protocol::link::{AgentFrame, AttemptRef, AttemptResult, Forgotten, OpenAttempt};

use super::fake::{FakeDisk, Fault, KIND, pair, pair_on};
use super::world::{World, attempt_key, key};
use crate::core::disk::commands::Command;
use crate::core::effect::Effect;
use crate::core::records::{Base, Owner, Record, View};

const CLASSES: [DeviceClass; 15] = [
    DeviceClass::NoStock,
    DeviceClass::Locked,
    DeviceClass::OverInvoiceLimit,
    DeviceClass::OverOfflineTime,
    DeviceClass::OverOfflineCount,
    DeviceClass::OverOfflineAmount,
    DeviceClass::Clock,
    DeviceClass::NumberMismatch,
    DeviceClass::Duplicate,
    DeviceClass::InProgress,
    DeviceClass::NotPresent,
    DeviceClass::Unsupported,
    DeviceClass::InvalidRequest,
    DeviceClass::Link,
    DeviceClass::DeviceFault,
];

fn one(fault: Fault, marked: bool) -> World {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.disk.faults.push_back(fault);
    world.broker.requeue = false;
    world.submit("A1", marked);
    world.run();
    world
}

#[test]
fn clean_run_reads_the_stock_once_per_invoice_and_keeps_the_numbers() {
    let mut world = World::new(FakeDisk::used(10, 99));
    for serial in ["A1", "A2", "A3"] {
        world.submit(serial, true);
    }
    world.run();
    assert_eq!(["A1", "A2", "A3"].map(|serial| world.issued(serial)), [Some(pair(10)), Some(pair(11)), Some(pair(12))]);
    assert_eq!(world.disk.issues_sent(), 3);
    let work = world.disk.log.iter().skip_while(|line| !line.starts_with("issue")).cloned().collect::<Vec<_>>();
    assert_eq!(
        work[..5],
        ["issue 91350100M000100Y43/A1#1", "stock", "issue 91350100M000100Y43/A2#1", "stock", "issue 91350100M000100Y43/A3#1"]
    );
    assert_eq!(world.journal.accounting(&world.number(), KIND).unwrap().base, Base::Last(pair(12)));
}

#[test]
fn answer_lost_after_signing_is_found_by_reading() {
    let world = one(Fault::LostAfter, true);
    assert!(
        matches!(world.result("A1", 1), Some(AttemptResult::Issued { pair: found, settled: true, .. }) if *found == pair(10))
    );
    assert_eq!(world.disk.issues_sent(), 1);
}

#[test]
fn answer_lost_before_signing_is_proven_not_issued() {
    let world = one(Fault::LostBefore, true);
    assert!(
        matches!(world.result("A1", 1), Some(AttemptResult::NotIssued { class: DeviceClass::Link, .. })),
        "{:?}",
        world.result("A1", 1)
    );
    assert_eq!(world.disk.issues_sent(), 1);
    // Resync first, then the current pair, the positive control, the expected number, and the current pair again.
    let after = world.disk.log.iter().skip_while(|line| !line.starts_with("issue")).skip(1).take(5).cloned().collect::<Vec<_>>();
    assert_eq!(after, ["resync", "stock", "query 00000009", "query 00000010", "stock"]);
}

#[test]
fn every_error_class_after_signing_is_still_found_issued() {
    for class in CLASSES {
        let world = one(Fault::ErrorAfter(class), true);
        assert_eq!(world.issued("A1"), Some(pair(10)), "{class}");
        assert_eq!(world.disk.issues_sent(), 1, "{class}");
    }
}

#[test]
fn every_error_class_before_signing_is_proven_by_reading() {
    for class in CLASSES {
        let world = one(Fault::ErrorBefore(class), true);
        assert!(
            matches!(world.result("A1", 1), Some(AttemptResult::NotIssued { class: told, .. }) if *told == class),
            "{class}: {:?}",
            world.result("A1", 1)
        );
        let after =
            world.disk.log.iter().skip_while(|line| !line.starts_with("issue")).skip(1).take(5).cloned().collect::<Vec<_>>();
        assert_eq!(
            after,
            ["resync", "stock", "query 00000009", "query 00000010", "stock"],
            "{class} was believed without reading"
        );
    }
}

#[test]
fn refusal_before_the_last_byte_needs_no_reading() {
    let world = one(Fault::NotSent(DeviceClass::InvalidRequest), true);
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::NotIssued { class: DeviceClass::InvalidRequest, .. })));
    assert!(world.disk.ledger.len() == 1 && world.disk.issues_sent() == 1);
}

#[test]
fn foreign_took_the_expected_number_so_that_ours_got_the_next() {
    for fault in [Fault::ForeignThenLost { equal: false }, Fault::ForeignThenOk { equal: false }] {
        let world = one(fault, true);
        assert_eq!(world.issued("A1"), Some(pair(11)));
        assert_eq!(world.journal.owner(&world.number(), KIND, pair(10)), Some(Owner::Foreign));
    }
}

#[test]
fn equal_foreign_invoice_is_never_adopted_with_marks_on() {
    let world = one(Fault::ForeignThenNothing { equal: true }, true);
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::NotIssued { .. })), "{:?}", world.result("A1", 1));
    assert_eq!(world.journal.owner(&world.number(), KIND, pair(10)), Some(Owner::Foreign));
    let world = one(Fault::ForeignThenLost { equal: true }, true);
    assert_eq!(world.issued("A1"), Some(pair(11)));
}

#[test]
fn equal_invoice_without_marks_stays_unsettled() {
    for fault in [Fault::ForeignThenNothing { equal: true }, Fault::LostAfter, Fault::ForeignThenLost { equal: true }] {
        let world = one(fault.clone(), false);
        assert!(matches!(world.result("A1", 1), Some(AttemptResult::Unsettled { .. })), "{fault:?}: {:?}", world.result("A1", 1));
        assert_eq!(world.journal.owner(&world.number(), KIND, pair(10)), None, "an undecided number is nobody's");
    }
}

/// Found by the simulation (seed 45442): a person said that the number was the attempt's, the number was entered as another
/// program's beside it, the ledger went back to before the decision, and the attempt was told *not issued*.
#[test]
fn i1_what_was_decided_once_at_the_broker_is_never_absent_again() {
    let mut world = one(Fault::LostAfter, false);
    let disk = world.number();
    let [attempt] = <[_; 1]>::try_from(world.journal.unsettled(&disk)).unwrap();
    world.command(Command::Settled { disk: disk.clone(), attempt: attempt.clone(), pair: None });
    world.submit_as("A2", false, "客户", "20.00");
    let listed = std::mem::take(&mut world.broker.open);
    world.run();
    assert!(world.journal.unsettled(&disk).is_empty());
    // A survey from further back reads the number once more: nobody told whose it is.
    let entered = Record::Owned { disk, kind: KIND, pair: pair(10), owner: Owner::Foreign, reverses: None };
    world.journal.append(&[entered]).unwrap();
    // Twice: what is unsettled once more stays so.
    for _ in 0..2 {
        world.broker.open = listed.clone();
        world.broker.results.remove(&attempt_key(&attempt));
        world.broker_grants_anew();
        world.run();
        let result = world.result("A1", 1);
        assert!(matches!(result, Some(AttemptResult::Unsettled { .. })), "{result:?}");
    }
}

#[test]
fn exclusive_disk_without_marks_is_settled_by_equal_content() {
    for (fault, expected) in [(Fault::LostAfter, Some(pair(10))), (Fault::LostBefore, None)] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.exclusive = true;
        world.broker.requeue = false;
        world.disk.faults.push_back(fault);
        world.submit("A1", false);
        world.run();
        assert_eq!(world.issued("A1"), expected);
    }
}

/// Found by the simulation (seed 43028): another agent had issued the equal invoice, and the ledger had forgotten that job.
#[test]
fn i10_an_equal_invoice_is_not_adopted_once_the_ledger_went_back() {
    for (epoch, adopted) in [(GENERATION_EPOCHS, None), (0, Some(pair(10)))] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.exclusive = true;
        world.broker.requeue = false;
        world.disk.faults.push_back(Fault::LostAfter);
        world.submit("A1", false);
        while world.disk.issues_sent() == 0 {
            world.step();
        }
        world.crash();
        world.broker.epoch += epoch;
        world.broker_grants_anew();
        world.run();
        assert_eq!(world.issued("A1"), adopted, "{:?}", world.result("A1", 1));
    }
}

#[test]
fn ok_with_another_pair_is_proven_by_its_fiscal_code_even_without_marks() {
    let world = one(Fault::ForeignThenOk { equal: false }, false);
    assert_eq!(world.issued("A1"), Some(pair(11)));
    let world = one(Fault::ForeignThenOk { equal: true }, false);
    assert_eq!(world.issued("A1"), Some(pair(11)), "the equal one of the other program was preferred");
}

#[test]
fn two_equal_coffees_the_first_never_executed() {
    for marked in [true, false] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.disk.faults.push_back(Fault::LostBefore);
        world.submit("A1", marked);
        world.submit("A2", marked);
        world.run();
        assert!(matches!(world.result("A1", 1), Some(AttemptResult::NotIssued { .. })), "marked {marked}");
        assert_eq!(world.disk.of(&key("A1")).len() + world.disk.of(&key("A2")).len(), 2, "marked {marked}");
    }
}

#[test]
fn two_equal_open_attempts_without_marks_on_an_exclusive_disk_are_not_guessed() {
    // The journal is lost while both are open; the disk holds one of them.
    let mut world = World::new(FakeDisk::used(10, 99));
    world.exclusive = true;
    world.disk.faults.push_back(Fault::LostAfter);
    world.submit("A1", false);
    world.submit("A2", false);
    run_until_issue(&mut world);
    world.crash();
    world.journal = Default::default();
    world.broker.open.values_mut().for_each(|open| open.expected = None);
    world.run();
    for serial in ["A1", "A2"] {
        assert!(
            matches!(world.result(serial, 1), Some(AttemptResult::Unsettled { text, .. }) if text.contains("no mark tells")),
            "{serial}: {:?}",
            world.result(serial, 1)
        );
    }
}

fn run_until_issue(world: &mut World) {
    for _ in 0..500 {
        world.step();
        if matches!(world.last_effect, Some(Effect::Issue { .. })) {
            return;
        }
    }
    panic!("nothing was issued");
}

#[test]
fn command_that_runs_late_is_waited_for() {
    let world = one(Fault::RunsLate(8), true);
    assert_eq!(world.issued("A1"), Some(pair(10)), "it was read before the line was brought back: {:?}", world.disk.log);
}

#[test]
fn failing_queries_keep_it_open_until_one_answers() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.disk.faults.push_back(Fault::LostAfter);
    world.submit("A1", true);
    run_until_issue(&mut world);
    world.disk.bad_queries = 7;
    for _ in 0..30 {
        world.step();
        if world.disk.bad_queries > 0 {
            assert_eq!(world.result("A1", 1), None, "a failing query was taken for an answer");
        }
    }
    world.run();
    assert_eq!(world.issued("A1"), Some(pair(10)));
    assert_eq!(world.disk.issues_sent(), 1);
}

#[test]
fn absence_without_a_positive_control_proves_nothing() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.disk.faults.push_back(Fault::LostBefore);
    world.submit("A1", true);
    run_until_issue(&mut world);
    world.disk.blind = true;
    world.broker.requeue = false;
    world.run();
    // The roll had an invoice at first contact, so that the journal knows only a beginning; with a known one it must be found.
    let mut known = World::new(FakeDisk::used(10, 99));
    known.submit("A0", true);
    known.run();
    known.disk.faults.push_back(Fault::LostBefore);
    known.submit("A1", true);
    run_until_issue(&mut known);
    known.disk.blind = true;
    known.run();
    assert!(matches!(known.result("A1", 1), Some(AttemptResult::Unsettled { .. })), "{:?}", known.result("A1", 1));
}

#[test]
fn unmoved_pair_suffices_on_a_roll_that_has_no_invoice_yet() {
    let mut world = World::new(FakeDisk::new(1, 99));
    world.disk.faults.push_back(Fault::LostBefore);
    world.broker.requeue = false;
    world.submit("A1", true);
    world.run();
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::NotIssued { .. })), "{:?}", world.result("A1", 1));
}

#[test]
fn moved_disk_that_denies_the_expected_number_is_not_believed() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit("A0", true);
    world.run();
    world.disk.faults.push_back(Fault::LostAfter);
    world.submit("A1", true);
    run_until_issue(&mut world);
    world.disk.blind = true;
    world.run();
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::Unsettled { .. })), "{:?}", world.result("A1", 1));
    // When the disk sees again, the broker's next question settles it.
    world.disk.blind = false;
    world.crash();
    world.run();
    assert_eq!(world.issued("A1"), Some(pair(11)));
}

#[test]
fn no_fence_makes_absence_unknown() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.disk.fence = Some(taxdisk_protocol::capabilities::Fence::None);
    world.disk.faults.push_back(Fault::LostBefore);
    world.submit("A1", true);
    world.run();
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::Unsettled { .. })));
}

/// A server that keeps requests, without a fence and without a mark that could be read.
fn at_a_server(fault: Fault) -> World {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.disk.fence = Some(taxdisk_protocol::capabilities::Fence::None);
    world.disk.keeps_requests = true;
    world.disk.marks_readable = false;
    world.disk.faults.push_back(fault);
    world.broker.requeue = false;
    world.submit("A1", true);
    world.run();
    world
}

#[test]
fn component_that_keeps_requests_is_asked_by_request_and_believed_when_it_names_an_invoice() {
    for (fault, number) in [(Fault::LostAfter, 10), (Fault::ForeignThenLost { equal: true }, 11)] {
        let world = at_a_server(fault.clone());
        let result = world.result("A1", 1);
        assert!(
            matches!(result, Some(AttemptResult::Issued { pair: found, settled: true, .. }) if *found == pair(number)),
            "{fault:?}: {result:?}"
        );
        assert!(world.disk.log.contains(&"find A1".to_owned()) && world.disk.issues_sent() == 1);
    }
}

#[test]
fn refusal_of_a_component_to_this_very_command_is_proven_by_reading() {
    let refused = at_a_server(Fault::Refused);
    assert!(matches!(refused.result("A1", 1), Some(AttemptResult::NotIssued { class: DeviceClass::Locked, .. })));
    let signed = at_a_server(Fault::RefusedAfter);
    assert!(matches!(signed.result("A1", 1), Some(AttemptResult::Issued { pair: found, .. }) if *found == pair(10)));
    assert!(refused.disk.issues_sent() == 1 && signed.disk.issues_sent() == 1);
}

#[test]
fn request_that_a_component_rewrote_makes_no_invoice_foreign() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.disk.fence = Some(taxdisk_protocol::capabilities::Fence::None);
    (world.disk.keeps_requests, world.disk.rewrites_requests) = (true, true);
    world.disk.faults.push_back(Fault::RefusedAfter);
    world.submit("A1", true);
    world.run();
    let result = world.result("A1", 1);
    assert!(matches!(result, Some(AttemptResult::Issued { pair: found, .. }) if *found == pair(10)), "{result:?}");
    assert_eq!((world.disk.issues_sent(), world.issued("A1")), (1, Some(pair(10))));
}

#[test]
fn component_that_names_nothing_may_still_execute_it() {
    for fault in [Fault::LostBefore, Fault::ForeignThenNothing { equal: true }] {
        let world = at_a_server(fault.clone());
        let result = world.result("A1", 1);
        assert!(matches!(result, Some(AttemptResult::Unsettled { .. })), "{fault:?}: {result:?}");
        assert_eq!(world.disk.issues_sent(), 1);
    }
}

#[test]
fn stock_runs_out_on_the_expected_number() {
    for fault in [Fault::LostAfter, Fault::ErrorAfter(DeviceClass::NoStock)] {
        let mut world = World::new(FakeDisk::used(10, 10));
        world.disk.faults.push_back(fault);
        world.submit("A1", true);
        world.run();
        assert_eq!(world.issued("A1"), Some(pair(10)));
    }
    let mut world = World::new(FakeDisk::used(10, 10));
    world.disk.faults.push_back(Fault::ForeignThenNothing { equal: true });
    world.broker.requeue = false;
    world.submit("A1", true);
    world.run();
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::NotIssued { .. })), "{:?}", world.result("A1", 1));
}

#[test]
fn roll_changes_under_a_lost_answer() {
    for (code, first) in [("011002000108", 500), ("011002000107", 300), ("011002000107", 2)] {
        for (fault, expected) in [(Fault::LostAfter, pair(10)), (Fault::ForeignThenLost { equal: true }, pair_on(code, first))] {
            let mut world = World::new(FakeDisk::used(10, 10));
            world.disk.rolls.push_back((pair_on(code, first), first + 4));
            world.disk.faults.push_back(fault);
            world.submit("A1", true);
            world.submit("A2", true);
            world.run();
            assert_eq!(world.issued("A1"), Some(expected), "{code} {first}");
            assert!(world.issued("A2").is_some());
        }
    }
}

#[test]
fn foreign_numbers_between_are_entered_before_the_next_command() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit("A1", true);
    world.run();
    for _ in 0..3 {
        world.disk.foreign("别人", "7.77");
    }
    world.submit("A2", true);
    world.run();
    assert_eq!(world.issued("A2"), Some(pair(14)));
    for number in 11..14 {
        assert_eq!(world.journal.owner(&world.number(), KIND, pair(number)), Some(Owner::Foreign), "{number}");
    }
    let entered: usize =
        world.frames.iter().map(|frame| if let AgentFrame::Accounted { entries, .. } = frame { entries.len() } else { 0 }).sum();
    assert!(entered >= 3, "the broker was not told");
}

#[test]
fn disk_that_shows_a_consumed_number_again_issues_nothing() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit("A1", true);
    world.run();
    world.disk.rolls[0].0 = pair(10);
    world.submit("A2", true);
    for _ in 0..60 {
        world.step();
    }
    assert_eq!(world.disk.issues_sent(), 1, "{:?}", world.disk.log);
}

#[test]
fn lost_journal_is_settled_by_reading() {
    for fault in [Fault::LostAfter, Fault::LostBefore] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.submit("A0", true);
        world.run();
        world.disk.faults.push_back(fault);
        world.submit("A1", true);
        run_until_issue(&mut world);
        world.crash();
        world.journal = Default::default();
        world.run();
        assert_eq!(world.disk.of(&key("A1")).len(), 1);
        assert!(world.issued("A1").is_some());
    }
}

#[test]
fn rolled_back_and_cloned_journals_never_issue_again() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit("A0", true);
    world.run();
    let old = world.journal.clone();
    world.submit("A1", true);
    world.submit("A2", true);
    run_until_issue(&mut world);
    world.crash();
    world.journal = old;
    world.run();
    assert_eq!((world.disk.of(&key("A1")).len(), world.disk.of(&key("A2")).len()), (1, 1));
    assert!(world.issued("A1").is_some() && world.issued("A2").is_some());
}

#[test]
fn duplicate_assign_after_the_confirmation_is_answered_from_the_index() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit("A1", true);
    world.run();
    let first = world.frames.iter().find_map(|frame| {
        if let AgentFrame::Outcome { attempt, sequence, .. } = frame { Some((attempt.clone(), *sequence)) } else { None }
    });
    let (attempt, sequence) = first.unwrap();
    let disk = world.number();
    for restart in [false, true] {
        if restart {
            world.crash();
            world.run();
        }
        let assignment = repeated(&attempt, sequence);
        let told = world.frames.len();
        world.command(Command::Assign { disk: disk.clone(), epoch: 1 + u64::from(restart), assignment });
        world.run();
        let again = world.frames[told..].iter().any(|frame| match frame {
            AgentFrame::Outcome { outcome: AttemptResult::Issued { pair: found, .. }, .. } => *found == pair(10),
            _ => false,
        });
        assert!(again, "restart {restart}: no answer");
        assert_eq!(world.disk.issues_sent(), 1, "restart {restart}");
    }
}

pub(super) fn repeated(attempt: &AttemptRef, sequence: u64) -> taxdisk_protocol::link::Assignment {
    let mut invoice = taxdisk_protocol::api::InvoiceBody::default();
    invoice.buyer.name = "个人".into();
    invoice.totals.gross = "10.00".into();
    taxdisk_protocol::link::Assignment {
        attempt: attempt.clone(),
        sequence,
        operation: Default::default(),
        kind: KIND,
        invoice,
        content_hash: "h".into(),
        original: None,
        mark: Some(taxdisk_protocol::mark::mark(&attempt.key)),
        trace: None,
    }
}

#[test]
fn old_sequence_that_the_index_does_not_know_is_read_and_never_run() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit("A1", true);
    world.run();
    let disk = world.number();
    let attempt = AttemptRef { key: key("B9"), attempt: 1 };
    world.command(Command::Assign { disk, epoch: 1, assignment: repeated(&attempt, 1) });
    world.run();
    assert!(matches!(world.result("B9", 1), Some(AttemptResult::GivenBack { .. })));
    assert_eq!(world.disk.issues_sent(), 1);
}

#[test]
fn serial_that_was_issued_is_not_issued_by_a_new_attempt() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit("A1", true);
    world.run();
    // A ledger that went back assigns it again.
    let attempt = AttemptRef { key: key("A1"), attempt: 2 };
    let disk = world.number();
    world.command(Command::Assign { disk, epoch: 1, assignment: repeated(&attempt, 99) });
    world.run();
    assert!(matches!(world.result("A1", 2), Some(AttemptResult::Issued { pair: found, .. }) if *found == pair(10)));
    assert_eq!(world.disk.issues_sent(), 1);
}

#[test]
fn staged_job_is_given_back_when_the_link_goes_and_told_at_the_next_grant() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit("A1", true);
    world.submit("A2", true);
    run_until_issue(&mut world);
    world.broker_acts();
    assert!(world.broker.open.contains_key(&("A2".to_owned(), 1)), "A2 is not staged");
    world.link = false;
    world.command(Command::LinkDown);
    for _ in 0..20 {
        world.step();
    }
    assert_eq!(world.disk.issues_sent(), 1, "it began without a link");
    assert_eq!(world.journal.outbox(&world.number()).len(), 2, "running one and staged one wait to be told");
    world.link = true;
    world.crash();
    world.run();
    assert!(matches!(world.result("A2", 1), Some(AttemptResult::GivenBack { .. })));
    assert!(world.issued("A1").is_some() && world.issued("A2").is_some());
}

#[test]
fn nothing_begins_under_a_dead_lease_or_an_old_epoch() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.run();
    world.lease_dead = true;
    world.submit("A1", true);
    for _ in 0..40 {
        world.step();
    }
    assert_eq!(world.disk.issues_sent(), 0, "it began under a dead lease");
    world.lease_dead = false;
    world.run();
    assert_eq!(world.disk.issues_sent(), 1);
    let disk = world.number();
    let attempt = AttemptRef { key: key("A9"), attempt: 1 };
    world.command(Command::Assign { disk, epoch: 77, assignment: repeated(&attempt, 50) });
    world.run();
    assert!(matches!(world.result("A9", 1), Some(AttemptResult::GivenBack { .. })));
    assert_eq!(world.disk.issues_sent(), 1, "it began under an epoch that was not granted here");
}

#[test]
fn lease_that_dies_while_the_intent_becomes_durable_sends_nothing() {
    for way in ["lease", "link", "grant", "epoch"] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.broker.requeue = false;
        world.submit("A1", true);
        for _ in 0..200 {
            world.step();
            if world.journal.open(&world.number()).len() == 1 {
                break;
            }
        }
        assert_eq!((world.journal.open(&world.number()).len(), world.disk.issues_sent()), (1, 0));
        let disk = world.number();
        match way {
            "lease" => world.lease_dead = true,
            "link" => world.command(Command::LinkDown),
            "grant" => world.command(Command::Deny { disk, reason: "two claim it".into() }),
            _ => world.command(Command::Grant {
                disk,
                epoch: 9,
                accounted: Vec::new(),
                open: Vec::new(),
                forgotten: Forgotten::default(),
            }),
        }
        world.step();
        for _ in 0..20 {
            world.step();
        }
        assert_eq!(world.disk.issues_sent(), 0, "{way}");
        assert!(matches!(world.result("A1", 1), Some(AttemptResult::GivenBack { .. })), "{way}: {:?}", world.result("A1", 1));
    }
}

#[test]
fn hung_driver_is_waited_for_and_the_port_not_opened_again() {
    for (fault, expected) in [(Fault::HungAfter, true), (Fault::HungBefore, false)] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.disk.faults.push_back(fault);
        world.broker.requeue = false;
        world.submit("A1", true);
        run_until_issue(&mut world);
        for _ in 0..400 {
            world.step();
            assert!(!matches!(world.last_effect, Some(Effect::Open | Effect::Close)), "the port was opened under a hung driver");
            if world.is_done() {
                break;
            }
        }
        world.run();
        assert_eq!(world.issued("A1").is_some(), expected);
        assert_eq!(world.disk.issues_sent(), 1);
    }
}

#[test]
fn wrong_password_stops_durably_until_a_person_acts() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.disk.faults.push_back(Fault::LostAfter);
    world.submit("A1", true);
    run_until_issue(&mut world);
    world.disk.bad_password = true;
    for _ in 0..20 {
        world.step();
    }
    let tried = world.disk.log.len();
    assert!(world.journal.password_stop("ttyS0").is_some(), "the stop is not durable");
    world.crash();
    for _ in 0..50 {
        world.step();
    }
    assert_eq!(world.disk.log.len(), tried, "a refused password was sent again");
    world.disk.bad_password = false;
    world.command(Command::SecretChanged);
    world.run();
    assert_eq!(world.issued("A1"), Some(pair(10)));
    assert_eq!(world.disk.issues_sent(), 1);
}

#[test]
fn late_outcome_of_another_agent_makes_that_number_be_read() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.run();
    // Agent A issued B1 as 10 on this disk; here it was entered as foreign before anybody told.
    let request = world_request("B1");
    world.disk.issue(&request).unwrap();
    world.submit("A1", true);
    world.run();
    assert_eq!(world.journal.owner(&world.number(), KIND, pair(10)), Some(Owner::Foreign));
    let open = OpenAttempt {
        assignment: request.assignment.clone(),
        epoch: 1,
        agent: "ag_0000000000000002".parse().unwrap(),
        expected: None,
        named: Some(pair(10)),
    };
    let disk = world.number();
    world.command(Command::Settle { disk, epoch: 1, open });
    world.run();
    assert!(
        matches!(world.result("B1", 1), Some(AttemptResult::Issued { pair: found, .. }) if *found == pair(10)),
        "{:?}",
        world.result("B1", 1)
    );
    assert!(world.disk.log.iter().any(|line| line == "query 00000010"));
}

fn world_request(serial: &str) -> crate::core::effect::Request {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit(serial, true);
    run_until_issue(&mut world);
    match world.last_effect {
        Some(Effect::Issue { request, .. }) => (*request).clone(),
        _ => unreachable!("run_until_issue ends at an issue"),
    }
}

#[test]
fn other_disk_behind_the_port_never_uses_the_old_grant() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.run();
    let old = world.number();
    world.disk.number = Some("499000999999".into());
    world.command(Command::SecretChanged);
    for _ in 0..20 {
        world.link = false;
        world.step();
    }
    world.link = true;
    let attempt = AttemptRef { key: key("A9"), attempt: 1 };
    world.command(Command::Assign { disk: old, epoch: 1, assignment: repeated(&attempt, 50) });
    let new = world.number();
    world.command(Command::Assign { disk: new, epoch: 1, assignment: repeated(&attempt, 51) });
    for _ in 0..40 {
        world.context(|core, context| {
            let effect = core.next(context);
            assert!(!matches!(effect, Effect::Issue { .. }), "a job began on a disk that was never granted");
            core.answer(crate::core::effect::Answer::Woken, context);
        });
    }
    assert_eq!(world.disk.issues_sent(), 0);
}

#[test]
fn roll_that_came_and_went_unseen_proves_nothing() {
    let mut world = World::new(FakeDisk::used(10, 10));
    world.disk.rolls.push_back((pair_on("011002000108", 500), 501));
    world.disk.rolls.push_back((pair_on("011002000109", 700), 799));
    world.disk.faults.push_back(Fault::ForeignThenLost { equal: false });
    world.submit("A1", true);
    run_until_issue(&mut world);
    // Ours is the first of the middle roll; another program took its last.
    world.disk.foreign("别人", "7.77");
    world.run();
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::Unsettled { .. })), "{:?}", world.result("A1", 1));
}

#[test]
fn pair_that_moves_under_the_reading_is_read_on() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.disk.faults.push_back(Fault::LostBefore);
    world.broker.requeue = false;
    world.submit("A1", true);
    run_until_issue(&mut world);
    while world.disk.log.last().is_none_or(|line| line != "query 00000010") {
        world.step();
    }
    world.disk.foreign("别人", "7.77");
    while world.result("A1", 1).is_none() {
        world.step();
    }
    assert_eq!(world.journal.owner(&world.number(), KIND, pair(10)), Some(Owner::Foreign));
    assert_eq!(world.journal.accounting(&world.number(), KIND).unwrap().base, Base::Last(pair(10)));
}
