//! What outsiders are told: with every change that they could act on, in its own turn, and of nothing else.

use super::*;
use crate::core::announcement;

/// Types, serial numbers and revisions of what was told since the last call.
fn told(world: &mut World) -> Vec<(String, String, u64)> {
    world
        .announcements
        .drain(..)
        .map(|told| (told.kind, told.serial.map_or(String::new(), |serial| serial.to_string()), told.revision))
        .collect()
}

fn kinds(world: &mut World) -> Vec<String> {
    told(world).into_iter().map(|(kind, ..)| kind).collect()
}

#[test]
fn every_end_of_a_job_is_told_once_with_its_revision() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    assert_eq!(kinds(&mut world), ["agent.up", "disk.up"]);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.started(session, &work, 7);
    assert_eq!(told(&mut world), [], "accepted, handed over and begun are nobody else's business");
    world.outcome_with(session, &work, unsettled(), vec![absent(7)]);
    world.outcome(session, &work, found(7));
    let revision = world.job("A1").revision;
    let expected = [("job.unsettled".to_owned(), "A1".to_owned(), 4), ("job.issued".to_owned(), "A1".to_owned(), revision)];
    assert_eq!(told(&mut world), expected);
    // The same outcome again: evidence at most, and nothing to tell.
    world.outcome(session, &work, found(7));
    assert_eq!(told(&mut world), []);
    world.submit("A2");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, not_issued(DeviceClass::InvalidRequest));
    assert_eq!(kinds(&mut world), ["job.failed"]);
    world.submit("A3");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, not_issued(DeviceClass::Locked));
    assert_eq!(kinds(&mut world)[0], "job.queued");
}

#[test]
fn an_announcement_shows_the_job_without_buyer_and_lines() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.announcements.clear();
    world.outcome(session, &work, issued(7));
    let told = world.announcements.remove(0);
    assert_eq!(told.body["issued"]["number"], "00000007");
    assert_eq!((&told.body["state"], &told.body["revision"]), (&"issued".into(), &world.job("A1").revision.into()));
    assert!(!told.body.to_string().contains("咖啡") && !told.body.to_string().contains("个人"), "{}", told.body);
    assert!(told.body.to_string().len() < 2000);
}

#[test]
fn what_came_later_overtakes_and_evidence_does_not() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, issued(7));
    let revision = world.job("A1").revision;
    // Another claim for the same attempt is kept as evidence.
    world.outcome(session, &work, issued(8));
    assert!(world.job("A1").revision > revision);
    let events = &world.events[&key("A1")];
    assert_eq!(announcement::overtaken(events, revision), Ok(false));
    assert_eq!(announcement::overtaken(events, revision - 1), Ok(true));
    assert_eq!(announcement::overtaken(events, 0), Ok(true));
    assert_eq!(announcement::overtaken(&[], 0), Ok(false));
    assert!(announcement::overtaken(&events[1..], 0).is_err(), "events of nothing are damage, not silence");
}

#[test]
fn disks_and_agents_are_told_of_when_they_come_and_go() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.announcements.clear();
    world.reports(session, vec![report(DISK)]);
    assert_eq!(told(&mut world), [], "nothing has changed");
    let mut locked = report(DISK);
    locked.health.ready = false;
    locked.health.class = Some(DeviceClass::Locked);
    locked.health.text = "report first".to_owned();
    world.reports(session, vec![locked]);
    let down = world.announcements.remove(0);
    assert_eq!((down.kind.as_str(), &down.body["text"]), ("disk.down", &"report first".into()));
    assert_eq!(down.seller.unwrap().as_str(), SELLER);
    world.reports(session, vec![report(DISK)]);
    assert_eq!(kinds(&mut world), ["disk.up"]);
    world.leave(session, Left::Lost);
    assert_eq!(kinds(&mut world), ["disk.down", "agent.down"]);
    let session = world.connect('a', DISK);
    assert_eq!(kinds(&mut world), ["agent.up", "disk.up"]);
    // Two claimants: nobody issues.
    let other = world.connect('b', DISK);
    assert_eq!(kinds(&mut world), ["agent.up", "disk.down"]);
    world.leave(other, Left::Goodbye);
    assert_eq!(kinds(&mut world), ["disk.up", "agent.down"]);
    world.leave(session, Left::Goodbye);
    assert!(world.announcements.iter().all(|told| told.kind.starts_with("agent") == told.seller.is_none()));
}

#[test]
fn warnings_are_told_when_they_are_raised_and_when_they_are_cleared() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.announcements.clear();
    for remaining in [50, 50, 10, 101] {
        let mut stocked = report(DISK);
        stocked.stock[0].remaining = remaining;
        world.reports(session, vec![stocked]);
    }
    let told: Vec<_> = world.announcements.drain(..).collect();
    let seen: Vec<_> = told.iter().map(|told| (told.kind.as_str(), &told.body["severity"], &told.body["cleared"])).collect();
    let expected = [
        ("disk.warning", &"warning".into(), &false.into()),
        ("disk.warning", &"critical".into(), &false.into()),
        ("disk.warning", &"critical".into(), &true.into()),
    ];
    assert_eq!(seen, expected);
    let first = &told[0];
    assert_eq!(first.seller.as_ref().unwrap().as_str(), SELLER);
    assert_eq!(
        (&first.body["warning"], &first.body["disk"], first.body["kind"].is_string()),
        (&"stock_low".into(), &DISK.into(), true)
    );
    assert!(first.body["text"].as_str().unwrap().starts_with("50 blank invoices"), "{}", first.body);
}
