//! The other changing commands: a crash at every effect under every fault. None is sent twice; each ends proven or unsettled.

use taxdisk_drivers::disk::NumberStatus;
use taxdisk_drivers::operation::PasswordKind;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::link::{AgentFrame, AttemptRef, Forgotten};

use super::fake::{FakeDisk, Fault, KIND, pair};
use super::world::World;
use crate::core::disk::commands::Command;
use crate::core::effect::Effect;
use crate::core::operation::{OperationResult, Order, Verdict, What};
use crate::core::records::{Owner, View};

fn void() -> What {
    What::Void { kind: KIND, pair: pair(9), operator: "张三".into() }
}

fn blank() -> What {
    What::BlankVoid { kind: KIND, operator: "张三".into() }
}

fn password() -> What {
    What::ChangePassword { which: PasswordKind::Disk }
}

fn all() -> Vec<What> {
    let kind = KIND;
    vec![
        void(),
        blank(),
        What::Report { kind },
        What::Clear { kind },
        What::Upload { kind },
        What::RefreshOffline { kind },
        password(),
    ]
}

fn faults() -> Vec<Option<Fault>> {
    vec![
        None,
        Some(Fault::LostAfter),
        Some(Fault::LostBefore),
        Some(Fault::NotSent(DeviceClass::InvalidRequest)),
        Some(Fault::ErrorAfter(DeviceClass::DeviceFault)),
        Some(Fault::ErrorBefore(DeviceClass::DeviceFault)),
        Some(Fault::ForeignThenLost { equal: false }),
        Some(Fault::HungAfter),
    ]
}

/// A disk that was granted, accounted for, and waits.
fn ready(what: &What) -> World {
    let mut world = World::new(FakeDisk::used(10, 99));
    if let What::Upload { .. } = what {
        world.disk.waiting = 3;
    }
    world.run();
    world
}

fn result(world: &World, id: &str) -> OperationResult {
    match &world.reports[id].verdict {
        Verdict::Ended(result) => result.clone(),
        other => panic!("{id}: {other:?}"),
    }
}

fn ended(what: &What, fault: Option<Fault>) -> (World, OperationResult) {
    let mut world = ready(what);
    world.disk.operation_faults.extend(fault);
    world.order("o1", what.clone());
    world.run();
    let result = result(&world, "o1");
    (world, result)
}

/// Whether it took effect, by the disk itself.
fn took_effect(world: &World, what: &What) -> bool {
    match what {
        What::Void { pair, .. } => world.disk.ledger[pair].status == NumberStatus::PositiveVoid,
        What::BlankVoid { .. } => world.disk.ledger.values().any(|entry| entry.status == NumberStatus::BlankVoid),
        What::Report { .. } => world.disk.periods.0 > 0,
        What::Clear { .. } => world.disk.periods.1 > 0,
        What::Upload { .. } => world.disk.waiting == 0,
        What::RefreshOffline { .. } => world.disk.offline_hours > 0,
        What::ChangePassword { .. } => world.disk.new_password,
        What::Status | What::Stock | What::Query { .. } => false,
    }
}

#[test]
fn clean_operations_are_done_and_end_in_the_journal() {
    for what in all() {
        let (world, result) = ended(&what, None);
        assert!(matches!(result, OperationResult::Done { .. }), "{what:?}: {result:?}");
        assert_eq!(world.journal.operation_outcome("o1").unwrap().result, result);
        assert!(world.journal.open_operation(&world.number()).is_none());
    }
}

#[test]
fn a_clean_void_is_still_proven_by_its_status() {
    let (world, result) = ended(&void(), None);
    assert_eq!(result, OperationResult::Done { read: true });
    assert_eq!(world.disk.log.iter().rev().find(|line| line.starts_with("query")).unwrap(), "query 00000009");
}

#[test]
fn crash_at_every_effect_of_every_operation_and_fault_sends_once_and_ends_in_the_truth() {
    let mut crashes = 0_u32;
    for what in all() {
        for fault in faults() {
            for after in [false, true] {
                for at in 0.. {
                    let mut world = ready(&what);
                    world.disk.operation_faults.extend(fault.clone());
                    let from = world.effects;
                    world.order("o1", what.clone());
                    if !world.crash_at(from + at, after, 2_000) {
                        break;
                    }
                    crashes += 1;
                    // A job waits: it must not begin before the operation is settled.
                    world.submit("A1", true);
                    run_or_stop(&mut world);
                    check(&world, &what, &format!("{what:?}, {fault:?}, crash at {at}, after {after}"));
                }
            }
        }
    }
    assert!(crashes > 300, "only {crashes} crashes were tried");
}

/// A crash right after the second of the two tries leaves both spent: the port is stopped for a person, and that is an end.
fn run_or_stop(world: &mut World) {
    for _ in 0..5_000 {
        let waits = matches!(world.last_effect, Some(Effect::Wait { until_ms: None }));
        if waits && world.journal.password_stop("ttyS0").is_some() {
            return;
        }
        if world.is_done() {
            return world.check();
        }
        world.step();
    }
    panic!("not done after 5000 effects: {:?}", world.disk.log);
}

fn check(world: &World, what: &What, told: &str) {
    assert!(world.disk.operations_sent("o1") <= 1, "{told}: sent twice: {:?}", world.disk.log);
    assert!(world.disk.refused <= 2, "{told}: {} tries of passwords: {:?}", world.disk.refused, world.disk.log);
    let disk = world.number();
    assert!(world.journal.open_operation(&disk).is_none(), "{told}: still open: {:?}", world.disk.log);
    let outcome = world.journal.operation_outcome("o1");
    let Some(outcome) = outcome else {
        assert_eq!(world.disk.operations_sent("o1"), 0, "{told}: sent without an outcome");
        return;
    };
    match outcome.result {
        OperationResult::Done { .. } => assert!(took_effect(world, what), "{told}: told as done"),
        OperationResult::NotDone { .. } => assert!(!took_effect(world, what), "{told}: told as not done"),
        OperationResult::Unsettled { .. } => {}
    }
    for (number, entry) in &world.disk.ledger {
        if entry.status == NumberStatus::BlankVoid && outcome.intent.expected == Some(*number) {
            let owner = world.journal.owner(&disk, KIND, *number);
            assert_eq!(owner, Some(Owner::Operation("o1".into())), "{told}: {number}");
        }
    }
}

#[test]
fn lost_answers_are_settled_by_reading() {
    for (what, fault, done) in [
        (void(), Fault::LostAfter, true),
        (void(), Fault::LostBefore, false),
        (blank(), Fault::LostAfter, true),
        (blank(), Fault::LostBefore, false),
        (password(), Fault::LostAfter, true),
        (password(), Fault::LostBefore, false),
        (password(), Fault::HungAfter, true),
    ] {
        let (world, result) = ended(&what, Some(fault.clone()));
        match result {
            OperationResult::Done { read: true } => assert!(done, "{what:?}, {fault:?}"),
            OperationResult::NotDone { .. } => assert!(!done, "{what:?}, {fault:?}"),
            other => panic!("{what:?}, {fault:?}: {other:?}"),
        }
        assert_eq!(world.secrets.new, world.disk.new_password, "the proven password is the one in use");
    }
}

#[test]
fn periods_and_uploads_in_doubt_are_done_if_it_shows_and_unsettled_otherwise() {
    let kind = KIND;
    for what in [What::Report { kind }, What::Clear { kind }, What::Upload { kind }, What::RefreshOffline { kind }] {
        assert_eq!(ended(&what, Some(Fault::LostAfter)).1, OperationResult::Done { read: true }, "{what:?}");
        let (mut world, result) = ended(&what, Some(Fault::LostBefore));
        assert!(matches!(result, OperationResult::Unsettled { .. }), "{what:?}: {result:?}");
        let report = &world.reports["o1"];
        assert!(!report.before.kinds.is_empty() && !report.after.kinds.is_empty(), "both readings are evidence");
        // It may have taken effect: a second one needs a person's word.
        world.order("o2", what.clone());
        world.run();
        assert!(matches!(world.reports["o2"].verdict, Verdict::Refused { anyway: true, .. }), "{:?}", world.reports["o2"]);
        assert_eq!(world.disk.operations_sent("o2"), 0);
        world.command(Command::Order(Order { id: "o3".into(), what, dry_run: false, anyway: true, remote: None }));
        world.run();
        assert!(matches!(result_of(&world, "o3"), OperationResult::Done { .. }));
    }
}

fn result_of(world: &World, id: &str) -> OperationResult {
    result(world, id)
}

#[test]
fn absence_is_not_proven_on_a_line_without_a_fence() {
    for what in [void(), blank()] {
        let mut world = ready(&what);
        world.crash();
        world.disk.fence = Some(taxdisk_protocol::capabilities::Fence::None);
        world.run();
        world.disk.operation_faults.push_back(Fault::LostBefore);
        world.order("o1", what.clone());
        world.run();
        assert!(matches!(result(&world, "o1"), OperationResult::Unsettled { .. }), "{what:?}");
    }
}

#[test]
fn a_foreign_invoice_at_the_expected_number_leaves_the_blank_void_unsettled() {
    let (world, result) = ended(&blank(), Some(Fault::ForeignThenLost { equal: false }));
    assert!(matches!(&result, OperationResult::Unsettled { text, .. } if text.contains("another program")), "{result:?}");
    assert_eq!(world.journal.owner(&world.number(), KIND, pair(10)), Some(Owner::Foreign));
}

#[test]
fn a_blank_void_owns_its_number_and_the_next_job_gets_the_next() {
    let (mut world, _) = ended(&blank(), Some(Fault::LostAfter));
    assert_eq!(world.journal.owner(&world.number(), KIND, pair(10)), Some(Owner::Operation("o1".into())));
    world.submit("A1", true);
    world.run();
    assert_eq!(world.issued("A1"), Some(pair(11)));
}

#[test]
fn numbers_of_another_program_are_entered_before_a_blank_void() {
    let mut world = ready(&blank());
    world.disk.foreign("别人", "7.77");
    world.order("o1", blank());
    world.run();
    assert_eq!(result(&world, "o1"), OperationResult::Done { read: true });
    assert_eq!(world.journal.owner(&world.number(), KIND, pair(10)), Some(Owner::Foreign));
    assert_eq!(world.journal.operation_outcome("o1").unwrap().intent.expected, Some(pair(11)));
}

#[test]
fn the_same_order_again_is_answered_from_the_journal() {
    let (mut world, result) = ended(&blank(), None);
    world.reports.clear();
    world.order("o1", blank());
    world.run();
    assert_eq!(world.disk.operations_sent("o1"), 1);
    assert_eq!(result_of(&world, "o1"), result);
}

#[test]
fn a_void_number_is_never_voided_again() {
    let (mut world, _) = ended(&void(), None);
    world.order("o2", void());
    world.run();
    assert!(matches!(&world.reports["o2"].verdict, Verdict::Refused { text, .. } if text.contains("already")));
    // Without the journal the disk's own word is enough.
    world.crash();
    world.journal = Default::default();
    world.run();
    world.order("o3", void());
    world.run();
    assert!(matches!(&world.reports["o3"].verdict, Verdict::Refused { class: DeviceClass::Duplicate, .. }));
    assert_eq!(world.disk.operations_sent("o2") + world.disk.operations_sent("o3"), 0);
}

#[test]
fn a_dry_run_sends_nothing_and_says_why_not() {
    for what in all() {
        let mut world = ready(&what);
        world.command(Command::Order(Order { id: "d1".into(), what: what.clone(), dry_run: true, anyway: false, remote: None }));
        world.run();
        assert!(matches!(world.reports["d1"].verdict, Verdict::Allowed { .. }), "{what:?}: {:?}", world.reports["d1"]);
        assert_eq!(world.disk.operations_sent("d1"), 0);
        assert!(world.journal.operation_outcome("d1").is_none());
    }
    let mut world = ready(&void());
    world.order("d2", What::Void { kind: KIND, pair: pair(50), operator: "张三".into() });
    world.order("d3", What::Upload { kind: KIND });
    world.disk.waiting = 2;
    world.run();
    world.disk.waiting = 2;
    world.order("d4", What::Report { kind: KIND });
    world.run();
    assert!(matches!(&world.reports["d2"].verdict, Verdict::Refused { text, .. } if text.contains("no invoice")));
    assert!(matches!(&world.reports["d4"].verdict, Verdict::Refused { text, anyway: true, .. } if text.contains("upload")));
}

#[test]
fn an_operation_waits_for_no_job_and_is_refused_beside_one() {
    let mut world = ready(&void());
    world.submit("A1", true);
    while !matches!(world.last_effect, Some(Effect::Issue { .. })) {
        let effect = world.core.as_ref().map(|core| core.is_quiet());
        world.step();
        if effect == Some(false) && !world.reports.contains_key("o1") {
            world.order("o1", void());
        }
    }
    world.run();
    assert!(matches!(&world.reports["o1"].verdict, Verdict::Refused { class: DeviceClass::InProgress, .. }));
    assert_eq!(world.disk.operations_sent("o1"), 0);
}

#[test]
fn beside_an_unsettled_job_only_a_confirmed_report_is_sent_and_keeps_its_name() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.broker.requeue = false;
    world.disk.faults.push_back(Fault::LostAfter);
    world.submit("A1", false);
    world.run();
    assert_eq!(world.journal.unsettled(&world.number()).len(), 1);
    world.order("o1", void());
    world.order("o2", What::Report { kind: KIND });
    world.command(Command::Order(Order {
        id: "o3".into(),
        what: What::Report { kind: KIND },
        dry_run: false,
        anyway: true,
        remote: None,
    }));
    world.run();
    assert!(matches!(&world.reports["o1"].verdict, Verdict::Refused { anyway: false, .. }));
    assert!(matches!(&world.reports["o2"].verdict, Verdict::Refused { anyway: true, .. }));
    assert_eq!(result(&world, "o3"), OperationResult::Done { read: true });
    let before = world.journal.operation_outcome("o3").unwrap().intent.before;
    assert_eq!(before.unsettled.len(), 1, "what is unsettled is kept with the readings");
    assert_eq!(before.expected.len(), 1, "and so is the number that settling must read");
}

/// Found by the simulation: after a restore the attempt was taken for settled by somebody, and its number, which a component
/// signed later, was entered as another program's.
#[test]
fn i10_an_unsettled_attempt_that_a_ledger_forgot_was_settled_by_nobody() {
    for (recounting, names_it) in [(true, false), (false, true), (false, false)] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.broker.requeue = false;
        world.disk.faults.push_back(Fault::LostAfter);
        world.submit("A1", false);
        world.run();
        let disk = world.number();
        let unsettled = world.journal.unsettled(&disk);
        assert_eq!(unsettled.len(), 1);
        let named = if names_it { unsettled.clone() } else { Vec::new() };
        world.broker.forgotten = Forgotten { recounting, unsettled: named };
        world.broker.open.clear();
        world.broker_grants_anew();
        world.run();
        let kept = recounting || names_it;
        assert_eq!(world.journal.unsettled(&disk).len(), usize::from(kept), "recounting: {recounting}, named: {names_it}");
    }
}

/// An unmarked attempt whose answer was lost: nobody can tell whether number 10 is its own.
fn one_unsettled() -> (World, DiskNumber, AttemptRef) {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.broker.requeue = false;
    world.disk.faults.push_back(Fault::LostAfter);
    world.submit("A1", false);
    world.run();
    let disk = world.number();
    let [attempt] = <[_; 1]>::try_from(world.journal.unsettled(&disk)).unwrap();
    (world, disk, attempt)
}

#[test]
fn what_a_person_settled_at_the_broker_stands_in_the_way_no_longer_and_another_attempt_does() {
    let (mut world, disk, attempt) = one_unsettled();
    let other = AttemptRef { attempt: attempt.attempt + 1, ..attempt.clone() };
    world.command(Command::Settled { disk: disk.clone(), attempt: other, pair: None });
    world.order("o1", What::Report { kind: KIND });
    world.run();
    assert!(matches!(&world.reports["o1"].verdict, Verdict::Refused { anyway: true, .. }));
    world.command(Command::Settled { disk: disk.clone(), attempt: attempt.clone(), pair: None });
    world.order("o2", What::Report { kind: KIND });
    world.run();
    assert!(world.journal.unsettled(&disk).is_empty());
    assert!(!matches!(&world.reports["o2"].verdict, Verdict::Refused { .. }), "{:?}", world.reports["o2"].verdict);
}

/// Found by the simulation (seed 42564): the number was entered as another program's, and a ledger that lost its end believed it.
#[test]
fn i10_a_number_that_a_person_gave_to_an_attempt_is_its_own_here_too() {
    let (mut world, disk, attempt) = one_unsettled();
    world.command(Command::Settled { disk: disk.clone(), attempt: attempt.clone(), pair: Some(pair(10)) });
    world.run();
    assert_eq!(world.journal.owner(&disk, KIND, pair(10)), Some(Owner::Ours(attempt.clone())));
    // What the journal gave to a job stays that job's.
    world.submit("A2", true);
    world.run();
    let owner = world.journal.owner(&disk, KIND, pair(11));
    world.command(Command::Settled { disk: disk.clone(), attempt, pair: Some(pair(11)) });
    world.run();
    assert_eq!((world.issued("A2"), world.journal.owner(&disk, KIND, pair(11))), (Some(pair(11)), owner));
}

/// Found by the simulation (seed 46162): the answer was taken for the frame that was told already, and the broker waited for
/// ever.
#[test]
fn what_is_asked_once_more_is_told_as_something_new() {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.submit("A1", true);
    world.acks = false;
    while world.broker.open.is_empty() {
        world.step();
    }
    let open = world.broker.open.values().next().unwrap().clone();
    world.run();
    let outcomes = |world: &World| -> Vec<String> {
        let id = |frame: &AgentFrame| match frame {
            AgentFrame::Outcome { id, .. } => Some(id.clone()),
            _ => None,
        };
        world.frames.iter().filter_map(id).collect()
    };
    let before = outcomes(&world);
    let (disk, epoch) = (world.number(), world.broker.epoch);
    world.command(Command::Settle { disk, epoch, open });
    world.run();
    let told = outcomes(&world);
    assert_eq!(told.len(), before.len() + 1, "{told:?}");
    assert!(!before.contains(told.last().unwrap()), "{told:?}");
}

#[test]
fn before_a_person_is_asked_beside_an_unsettled_job_its_expected_number_is_read_and_kept() {
    for what in [What::Report { kind: KIND }, What::Clear { kind: KIND }] {
        for bad_queries in [0, 1] {
            let mut world = World::new(FakeDisk::used(10, 99));
            world.broker.requeue = false;
            world.disk.faults.push_back(Fault::LostAfter);
            world.submit("A1", false);
            world.run();
            world.disk.bad_queries = bad_queries;
            world.order("o1", what.clone());
            world.run();
            assert!(matches!(&world.reports["o1"].verdict, Verdict::Refused { anyway: true, .. }), "{:?}", world.reports["o1"]);
            let kept = world.journal.operation_evidence("o1").unwrap();
            assert_eq!(kept.readings, world.reports["o1"].before, "what is shown is what is kept");
            assert!(!kept.readings.kinds.is_empty() && kept.readings.unsettled.len() == 1, "{kept:?}");
            let [expected] = kept.readings.expected.as_slice() else { panic!("{kept:?}") };
            assert_eq!(expected.pair, pair(10));
            // A failing query keeps nobody from reporting, and is not told as an absence.
            assert_eq!((expected.found.is_some(), expected.failed.is_some()), (bad_queries == 0, bad_queries == 1));
            assert_eq!(world.disk.operations_sent("o1"), 0);
        }
    }
}

#[test]
fn a_dry_run_of_a_void_finds_a_red_invoice_of_its_target() {
    let mut world = ready(&void());
    world.disk.foreign_red(pair(9));
    // The number is read and entered before the next job.
    world.submit("A1", true);
    world.run();
    assert_eq!(world.journal.reversed_by(&world.number(), KIND, pair(9)), Some(pair(10)));
    for dry_run in [true, false] {
        let id = format!("d{dry_run}");
        world.command(Command::Order(Order { id: id.clone(), what: void(), dry_run, anyway: true, remote: None }));
        world.run();
        let verdict = &world.reports[&id].verdict;
        assert!(matches!(verdict, Verdict::Refused { text, anyway: false, .. } if text.contains("reversed")), "{verdict:?}");
        assert_eq!(world.disk.operations_sent(&id), 0);
    }
}

#[test]
fn a_dry_run_of_a_void_judges_the_lock_date_by_the_disks_own_clock() {
    // Noon of the lock date, by the disk; what the PC believes plays no part.
    let mut world = World::new(FakeDisk { clock: Some("20260415120000".into()), ..FakeDisk::used(10, 99) });
    world.run();
    let ask = |world: &mut World, id: &str| {
        world.command(Command::Order(Order { id: id.into(), what: void(), dry_run: true, anyway: false, remote: None }));
        world.run();
        world.reports[id].verdict.clone()
    };
    let early = ask(&mut world, "d1");
    assert!(matches!(early, Verdict::Allowed { .. }), "{early:?}");
    world.now_ms += 12 * 60 * 60 * 1_000;
    let late = ask(&mut world, "d2");
    assert!(matches!(&late, Verdict::Refused { text, anyway: true, .. } if text.contains("locked since 20260415")), "{late:?}");
}

#[test]
fn a_dry_run_of_a_report_says_that_the_period_has_not_ended() {
    let mut world = World::new(FakeDisk { clock: Some("20260320120000".into()), ..FakeDisk::used(10, 99) });
    world.run();
    world.command(Command::Order(Order {
        id: "d1".into(),
        what: What::Report { kind: KIND },
        dry_run: true,
        anyway: false,
        remote: None,
    }));
    world.run();
    let verdict = &world.reports["d1"].verdict;
    assert!(matches!(verdict, Verdict::Allowed { warnings } if warnings[0].contains("20260331")), "{verdict:?}");
}

#[test]
fn numbers_that_were_read_without_a_grant_reach_the_broker_at_the_next_one() {
    let (mut world, _) = ended(&blank(), None);
    world.crash();
    // The link is down: the disk is opened all the same, and a person voids one more blank.
    world.link = false;
    while world.core.as_ref().and_then(|core| core.disk()).is_none() {
        world.step();
    }
    for order in ["o2", "o3"] {
        world.order(order, blank());
        while !world.reports.contains_key(order) {
            world.step();
        }
        assert_eq!(result(&world, order), OperationResult::Done { read: true });
    }
    assert_eq!(world.broker.last, Some(pair(10)), "the broker has heard nothing yet");
    world.link = true;
    world.run();
    assert_eq!(world.broker.last, Some(pair(12)));
    assert_eq!(world.broker.entered, [pair(10), pair(11), pair(12)].into(), "voided, each once");
}

/// Found by the simulation: the invoice of an attempt that was open at another agent was entered as another program's, because a
/// person voided a blank before the grant.
#[test]
fn i10_an_operation_before_the_grant_enters_nothing_as_another_programs() {
    for (linked, leased) in [(false, true), (true, false), (true, true)] {
        let mut world = World::new(FakeDisk::used(10, 99));
        world.submit("A1", false);
        world.run();
        world.link = linked;
        if !linked {
            world.crash();
            while world.core.as_ref().and_then(|core| core.disk()).is_none() {
                world.step();
            }
        }
        // A broker that is not heard may have granted the disk to another agent by now, which issues on it.
        world.lease_dead = !leased;
        world.disk.foreign("别人", "7.77");
        let before = world.disk.ledger.len();
        let what = blank();
        world.command(Command::Order(Order { id: "o1".into(), what, dry_run: false, anyway: true, remote: None }));
        for _ in 0..200 {
            world.step();
        }
        let entered = world.journal.owner(&world.number(), KIND, pair(11));
        let told = &world.reports["o1"].verdict;
        if linked && leased {
            assert_eq!((entered, result(&world, "o1")), (Some(Owner::Foreign), OperationResult::Done { read: true }));
            continue;
        }
        assert_eq!(entered, None);
        assert!(matches!(told, Verdict::Refused { text, .. } if text.contains("nothing was sent")), "{told:?}");
        assert_eq!(world.disk.ledger.len(), before, "nothing was voided");
    }
}

#[test]
fn both_passwords_wrong_stops_the_port_and_is_unsettled() {
    let mut world = ready(&password());
    world.disk.operation_faults.push_back(Fault::LostAfter);
    world.order("o1", password());
    while !matches!(world.last_effect, Some(Effect::Operate(_))) {
        world.step();
    }
    // Each was tried before a crash, and neither answer was heard.
    world.secrets.tried = (true, true);
    world.crash();
    for _ in 0..20 {
        world.step();
    }
    assert!(matches!(result(&world, "o1"), OperationResult::Unsettled { .. }));
    assert!(world.journal.password_stop("ttyS0").is_some());
    assert_eq!(world.disk.refused, 0, "neither is tried a second time");
}
