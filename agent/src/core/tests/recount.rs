//! A broker whose ledger went back is told what the index holds, and every number since.

use taxdisk_protocol::link::{Accounted, AgentFrame, AttemptResult, IndexLine, RecountedNumbers};
use taxdisk_protocol::undo::Undoing;

use super::fake::{FakeDisk, KIND, pair};
use super::world::World;
use crate::core::disk::commands::Command;

/// A1 is number 10, A2 is 11, and 12 is another program's.
fn worked() -> World {
    let mut world = World::new(FakeDisk::used(10, 99));
    for serial in ["A1", "A2"] {
        world.submit(serial, true);
    }
    world.run();
    world.disk.foreign("张三", "10.00");
    world.frames.clear();
    world
}

fn ask(world: &mut World, epoch: u64) {
    ask_since(world, epoch, 10);
}

fn ask_since(world: &mut World, epoch: u64, last: u32) {
    let (disk, since) = (world.number(), vec![Accounted { kind: KIND, last: pair(last) }]);
    world.command(Command::Recount { disk, epoch, after: 1, since });
    for _ in 0..40 {
        world.step();
    }
}

fn told(world: &World) -> (Vec<IndexLine>, Vec<RecountedNumbers>, Vec<bool>) {
    let (mut all, mut numbers, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for frame in &world.frames {
        if let AgentFrame::Recounted { lines, numbers: of_kind, done, .. } = frame {
            all.extend(lines.iter().cloned());
            numbers.extend(of_kind.clone());
            ends.push(*done);
        }
    }
    (all, numbers, ends)
}

#[test]
fn the_index_is_told_and_every_number_since_is_read() {
    let mut world = worked();
    let before = world.disk.ledger.len();
    let epoch = world.broker.epoch;
    ask(&mut world, epoch);
    let (lines, numbers, ends) = told(&world);
    assert_eq!(lines.len(), 1, "A1 is known there: {lines:?}");
    assert!(matches!(lines[0].result, AttemptResult::Issued { pair: number, .. } if number == pair(11)));
    assert!(lines[0].content_hash.is_some(), "so that other content is noticed");
    assert_eq!(lines[0].undoing, Some(Undoing::Nothing), "so that it holds no void and no red");
    assert_eq!(numbers.len(), 1);
    assert_eq!((numbers[0].last, numbers[0].complete), (Some(pair(12)), true));
    let seen: Vec<_> = numbers[0].seen.iter().map(|one| (one.pair, one.gross.as_str(), one.buyer.as_str())).collect();
    assert_eq!(seen, [(pair(12), "10.00", "张三")], "11 is the index's, 12 nobody's");
    assert_eq!((ends.last(), ends.iter().filter(|done| **done).count()), (Some(&true), 1), "the end comes last, once");
    assert_eq!(world.disk.ledger.len(), before, "nothing is issued for it");
    // A number that was entered as foreign long ago is told too: the ledger has forgotten it.
    world.frames.clear();
    ask(&mut world, epoch);
    assert_eq!(told(&world).1[0].seen.len(), 1);
}

#[test]
fn a_question_under_an_old_grant_is_not_answered_and_a_lost_link_ends_it() {
    let mut world = worked();
    let epoch = world.broker.epoch;
    ask(&mut world, epoch + 1);
    assert!(told(&world).2.is_empty());
    let (disk, since) = (world.number(), Vec::new());
    world.command(Command::Recount { disk, epoch, after: 0, since });
    world.command(Command::LinkDown);
    for _ in 0..40 {
        world.step();
    }
    assert!(told(&world).2.is_empty(), "the next grant asks again");
}

/// Found by the simulation: a disk whose queries found nothing was *recounted*, and what it had issued was issued again.
#[test]
fn i1_a_conversation_that_finds_nothing_is_no_recount() {
    let mut world = worked();
    let epoch = world.broker.epoch;
    world.journal = Default::default();
    world.crash();
    world.run();
    let epoch = world.broker.epoch.max(epoch);
    world.frames.clear();
    world.disk.blind = true;
    ask(&mut world, epoch);
    assert!(told(&world).2.is_empty(), "it was told to be through: {:?}", told(&world));
    world.disk.blind = false;
    for _ in 0..60 {
        world.step();
    }
    let (_, numbers, ends) = told(&world);
    assert_eq!((numbers.len(), ends.last()), (1, Some(&true)));
    let seen: Vec<_> = numbers[0].seen.iter().map(|one| one.pair).collect();
    assert!(seen.contains(&pair(12)), "{seen:?}");
}

/// Found by the simulation (seed 12053): what the index knows is passed over unread, so that it shows nothing of the
/// conversation.
#[test]
fn i1_what_is_known_and_was_not_read_is_no_control() {
    let mut world = worked();
    let epoch = world.broker.epoch;
    world.disk.blind = true;
    ask(&mut world, epoch);
    assert!(told(&world).1.is_empty(), "11 is the index's; 12, which is there, was not found: {:?}", told(&world));
    world.disk.blind = false;
    for _ in 0..60 {
        world.step();
    }
    let (_, numbers, ends) = told(&world);
    assert_eq!((numbers.len(), ends.last()), (1, Some(&true)));
    assert_eq!(numbers[0].seen.iter().map(|one| one.pair).collect::<Vec<_>>(), [pair(12)]);
}

#[test]
fn where_all_is_known_and_nothing_was_there_before_one_of_the_known_is_read() {
    let mut world = World::new(FakeDisk::new(10, 99));
    world.submit("A1", true);
    world.run();
    world.frames.clear();
    assert!(!world.disk.ledger.contains_key(&pair(9)), "the last one that the ledger knew never was an invoice");
    let epoch = world.broker.epoch;
    ask_since(&mut world, epoch, 9);
    let (_, numbers, ends) = told(&world);
    assert_eq!((numbers.len(), ends.last()), (1, Some(&true)), "it does not wait for ever");
    assert_eq!((numbers[0].last, numbers[0].seen.len()), (Some(pair(10)), 0));
}
