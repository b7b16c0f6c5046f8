//! Operations that the broker asks for: a crash at every effect, asked again after every grant. None is sent twice.

use taxdisk_protocol::api::{OperationKind, OperationVerdict};
use taxdisk_protocol::link::{AgentFrame, OperationOrder};

use super::fake::{FakeDisk, Fault, KIND};
use super::world::World;
use crate::core::disk::commands::Command;
use crate::core::records::View;

fn order(id: &str, what: OperationKind) -> OperationOrder {
    let kind = what.command().map(|_| KIND);
    OperationOrder { id: id.into(), what, kind, dry_run: false, anyway: false, settle_only: false }
}

fn ready() -> World {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.run();
    world
}

/// As the broker asks, under the grant of now. `began`: it was told that the command was about to be written.
fn ask(world: &mut World, order: &OperationOrder) {
    let (disk, epoch) = (world.number(), world.broker.epoch);
    let settle_only = order.settle_only || began(world, &order.id);
    let operation = OperationOrder { settle_only, ..order.clone() };
    world.command(Command::Operate { disk, epoch, operation });
}

fn began(world: &World, id: &str) -> bool {
    world.frames.iter().any(|frame| matches!(frame, AgentFrame::Operating { operation, .. } if operation == id))
}

fn verdicts(world: &World, id: &str) -> Vec<OperationVerdict> {
    let of = |frame: &AgentFrame| match frame {
        AgentFrame::Operated { operation, result, .. } if operation == id => Some(result.verdict.clone()),
        _ => None,
    };
    world.frames.iter().filter_map(of).collect()
}

#[test]
fn a_clean_one_is_done_told_durably_and_answered_again_from_the_journal() {
    let mut world = ready();
    ask(&mut world, &order("r1", OperationKind::Report));
    world.run();
    assert!(matches!(verdicts(&world, "r1")[..], [OperationVerdict::Done { .. }]), "{:?}", verdicts(&world, "r1"));
    assert!(began(&world, "r1") && world.reports.is_empty());
    assert_eq!(world.disk.periods.0, 1);
    let settle = OperationOrder { settle_only: true, ..order("r1", OperationKind::Report) };
    ask(&mut world, &settle);
    world.run();
    assert_eq!(verdicts(&world, "r1").len(), 2, "told again");
    assert_eq!(world.disk.periods.0, 1, "and not sent again");
    ask(&mut world, &order("r1", OperationKind::Clear));
    world.run();
    assert!(matches!(verdicts(&world, "r1")[2], OperationVerdict::Refused { .. }), "another operation under its id");
}

#[test]
fn readings_and_dry_runs_send_nothing() {
    let mut world = ready();
    ask(&mut world, &order("s1", OperationKind::Stock));
    ask(&mut world, &order("t1", OperationKind::SelfTest));
    ask(&mut world, &OperationOrder { dry_run: true, ..order("r1", OperationKind::Report) });
    world.run();
    for id in ["s1", "t1"] {
        assert_eq!(verdicts(&world, id), [OperationVerdict::Read]);
    }
    assert!(matches!(verdicts(&world, "r1")[..], [OperationVerdict::Allowed { .. }]));
    assert_eq!(world.disk.periods.0, 0);
}

#[test]
fn crash_at_every_effect_sends_once_and_ends_in_the_truth() {
    let mut crashes = 0_u32;
    let faults = [None, Some(Fault::LostAfter), Some(Fault::LostBefore)];
    for fault in faults {
        for after in [false, true] {
            for at in 0.. {
                let mut world = ready();
                world.disk.operation_faults.extend(fault.clone());
                let from = world.effects;
                let asked = order("r1", OperationKind::Report);
                ask(&mut world, &asked);
                if !world.crash_at(from + at, after, 2_000) {
                    break;
                }
                crashes += 1;
                let at = format!("{fault:?}, crash at {at}, after {after}");
                world.run();
                // The broker asks after the grant, unless it was told.
                if verdicts(&world, "r1").is_empty() {
                    ask(&mut world, &asked);
                    world.run();
                }
                assert!(world.disk.periods.0 <= 1, "{at}: sent twice");
                let ended = verdicts(&world, "r1");
                match ended.last() {
                    Some(OperationVerdict::Done { .. }) => assert_eq!(world.disk.periods.0, 1, "{at}"),
                    Some(OperationVerdict::Unsettled { .. }) => {}
                    other => panic!("{at}: {other:?}"),
                }
                assert!(world.journal.open_operation(&world.number()).is_none(), "{at}");
            }
        }
    }
    assert!(crashes > 20, "only {crashes} crashes were tried");
}

#[test]
fn settle_only_begins_nothing() {
    let mut world = ready();
    ask(&mut world, &OperationOrder { settle_only: true, ..order("r1", OperationKind::Report) });
    world.run();
    assert!(matches!(verdicts(&world, "r1")[..], [OperationVerdict::Unsettled { .. }]));
    assert_eq!(world.disk.periods.0, 0);
}

#[test]
fn it_begins_under_its_own_grant_alone() {
    let mut world = ready();
    ask(&mut world, &order("r1", OperationKind::Report));
    // Another agent may have had the disk, and the operation, in between.
    world.command(Command::LinkDown);
    world.broker_grants_anew();
    world.run();
    assert_eq!((world.disk.periods.0, verdicts(&world, "r1").len()), (0, 0));
    let (disk, epoch) = (world.number(), world.broker.epoch - 1);
    world.command(Command::Operate { disk, epoch, operation: order("r1", OperationKind::Report) });
    world.run();
    assert_eq!(world.disk.periods.0, 0, "an order of an older grant");
    ask(&mut world, &order("r1", OperationKind::Report));
    world.run();
    assert_eq!((world.disk.periods.0, verdicts(&world, "r1").len()), (1, 1));
}

#[test]
fn a_grant_that_goes_while_it_is_read_keeps_it_from_beginning() {
    for at in 0.. {
        let mut world = ready();
        ask(&mut world, &order("r1", OperationKind::Report));
        for _ in 0..at {
            world.step();
        }
        if began(&world, "r1") {
            assert!(at > 1, "the grant was never taken away in time");
            break;
        }
        let intended = world.journal.open_operation(&world.number()).is_some();
        world.command(Command::LinkDown);
        for _ in 0..50 {
            world.step();
        }
        assert_eq!(world.disk.periods.0, 0, "without a grant, {at}");
        // What was not even intended is no failure: it is asked for again under the next grant, and done.
        if !intended {
            assert!(verdicts(&world, "r1").is_empty(), "{at}: {:?}", verdicts(&world, "r1"));
            world.broker_grants_anew();
            world.run();
            ask(&mut world, &order("r1", OperationKind::Report));
            world.run();
            assert!(matches!(verdicts(&world, "r1")[..], [OperationVerdict::Done { .. }]), "{at}");
        }
    }
}
