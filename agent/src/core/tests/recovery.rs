//! A disk that stops answering, a PC that slept: what is tried, and what is left alone.

use taxdisk_protocol::api::ClimbRung;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::link::AttemptResult;

use super::fake::{FakeDisk, Fault, pair};
use super::world::World;
use crate::core::disk::commands::Command;
use crate::core::effect::Effect;
use crate::core::ladder::{Rules, Rung};

/// Steps until the disk is granted, accounted for and idle.
fn idle(rules: Rules) -> World {
    let mut world = World::new(FakeDisk::used(10, 99));
    world.recovery = rules;
    world.run();
    world
}

/// Steps, and gives the effects of this kind that were asked for, with their times.
fn times(world: &mut World, steps: usize, wanted: fn(&Effect) -> bool) -> Vec<u64> {
    let mut seen = Vec::new();
    for _ in 0..steps {
        world.step();
        if world.last_effect.as_ref().is_some_and(wanted) {
            seen.push(world.now_ms);
        }
    }
    seen
}

#[test]
fn a_silent_disk_is_read_again_opened_anew_reset_and_then_a_person_is_asked() {
    let mut world = idle(Rules { can_reset: true, ..Rules::default() });
    world.disk.bad_reads = u32::MAX;
    let mut effects = Vec::new();
    for _ in 0..80 {
        world.step();
        match &world.last_effect {
            Some(Effect::Close) => effects.push("close"),
            Some(Effect::Reset) => effects.push("reset"),
            Some(Effect::Open) => effects.push("open"),
            _ => {}
        }
    }
    assert_eq!(effects, ["close", "open", "close", "reset", "open"]);
    assert_eq!(world.climbed[..9], {
        use Rung::{AskPerson, Reopen, Reset, Retry};
        [Retry, Retry, Reopen, Retry, Retry, Reset, Retry, Retry, AskPerson]
    });
    // The broker's people see the same without the repetitions, and go on seeing it when all is well again.
    let told = |world: &World| world.climbs.iter().map(|climb| climb.rung).collect::<Vec<_>>();
    let all = {
        use ClimbRung::{AskPerson, Reopen, Reset, Retry};
        [Retry, Reopen, Retry, Reset, Retry, AskPerson]
    };
    assert_eq!(told(&world), all);
    assert!(world.climbs.iter().all(|climb| climb.class == DeviceClass::Link && !climb.text.is_empty()), "{:?}", world.climbs);
    // It goes on reading, and is ready at once when the person has mended it.
    world.disk.bad_reads = 0;
    world.submit("A1", true);
    world.run();
    assert_eq!(world.issued("A1"), Some(pair(10)));
    assert_eq!(told(&world), all);
}

#[test]
fn a_port_is_not_closed_while_a_young_attempt_is_open() {
    let mut world = idle(Rules { longest_ms: 600_000, can_reset: true });
    world.disk.faults.push_back(Fault::LostAfter);
    world.submit("A1", true);
    while world.disk.issues_sent() == 0 {
        world.step();
    }
    let sent_ms = world.now_ms;
    world.disk.bad_reads = u32::MAX;
    let closed = times(&mut world, 400, |effect| matches!(effect, Effect::Close | Effect::Reset));
    let first = *closed.first().expect("after the longest time it is opened anew");
    assert!(first - sent_ms >= 600_000, "closed after {} ms", first - sent_ms);
    // Reading went on all the time: it settles as soon as the disk answers.
    world.disk.bad_reads = 0;
    world.run();
    assert_eq!(world.issued("A1"), Some(pair(10)));
    assert_eq!(world.disk.issues_sent(), 1);
}

#[test]
fn a_pc_that_slept_opens_anew_and_begins_nothing_before_the_next_grant() {
    let mut world = idle(Rules::default());
    world.broker.requeue = false;
    world.submit("A1", true);
    // Assigned, and not begun.
    world.broker_acts();
    world.command(Command::Woke(3_600_000));
    let mut effects = Vec::new();
    for _ in 0..4 {
        world.step();
        effects.push(world.last_effect.clone());
    }
    assert_eq!(world.disk.issues_sent(), 0);
    assert!(matches!(world.result("A1", 1), Some(AttemptResult::GivenBack { .. })), "{:?}", world.result("A1", 1));
    let at = |wanted: Effect| effects.iter().position(|effect| *effect == Some(wanted.clone()));
    assert!(at(Effect::Close).is_some() && at(Effect::Close) < at(Effect::Open), "{effects:?}");
    world.run();
    world.submit("A2", true);
    world.run();
    assert_eq!(world.issued("A2"), Some(pair(10)));
}

#[test]
fn a_pc_that_slept_over_a_young_attempt_reads_it_over_the_same_line() {
    let mut world = idle(Rules::default());
    world.broker.requeue = false;
    world.disk.faults.push_back(Fault::LostAfter);
    world.submit("A1", true);
    while world.disk.issues_sent() == 0 {
        world.step();
    }
    world.command(Command::Woke(3_600_000));
    // Found by the simulation: the broker heard nothing of the sleep, assigned under the grant from before, and got it back at
    // once, without end. It hears that the disk was away, and grants anew.
    world.submit("A2", true);
    world.broker_acts();
    assert!(!world.present, "the broker believes in a grant that is over");
    let closed = times(&mut world, 6, |effect| matches!(effect, Effect::Close));
    assert_eq!(closed, [0; 0]);
    world.run();
    assert_eq!((world.issued("A1"), world.issued("A2")), (Some(pair(10)), Some(pair(11))));
    assert_eq!(world.disk.issues_sent(), 2);
}

#[test]
fn a_look_reads_at_once() {
    let mut world = idle(Rules::default());
    let before = world.now_ms;
    let reads = world.disk.log.len();
    world.command(Command::Look);
    world.step();
    assert_eq!(world.last_effect, Some(Effect::Stock(super::fake::KIND)));
    assert!(world.disk.log.len() > reads && world.now_ms - before < 1_000);
}

/// Found by pulling cables under the shipped agent: the disk was plugged in again and stood idle for a minute, then for two.
#[test]
fn a_cable_that_went_under_an_attempt_holds_nothing_once_it_is_back() {
    let mut world = idle(Rules::default());
    world.broker.requeue = false;
    let absent = DeviceClass::NotPresent;
    for (serial, fault) in [("A1", Fault::NotSent(absent)), ("A2", Fault::ErrorBefore(absent))] {
        world.disk.faults.push_back(fault);
        world.submit(serial, true);
        world.run();
        let result = world.result(serial, 1);
        assert!(matches!(result, Some(AttemptResult::NotIssued { class, .. }) if *class == absent), "{serial}: {result:?}");
        let failed_ms = world.now_ms;
        let next = format!("{serial}B");
        world.submit(&next, true);
        world.run();
        assert!(world.issued(&next).is_some(), "{serial}: {:?}", world.result(&next, 1));
        assert!(world.now_ms - failed_ms < 30_000, "{serial}: {} ms", world.now_ms - failed_ms);
    }
}

#[test]
fn a_line_that_went_before_the_command_is_opened_anew() {
    let mut world = idle(Rules::default());
    world.broker.requeue = false;
    world.disk.faults.push_back(Fault::NotSent(DeviceClass::NotPresent));
    world.submit("A1", true);
    let closed = times(&mut world, 12, |effect| matches!(effect, Effect::Close));
    assert_eq!(closed.len(), 1, "{:?}", world.disk.log);
}
