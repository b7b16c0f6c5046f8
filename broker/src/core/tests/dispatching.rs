//! Which job goes where, and when.

use super::*;
use taxdisk_protocol::api::{DiskAssignment, IssuePointBody, Priority};

fn submit_as(world: &mut World, serial: &str, priority: Priority, point: Option<&str>) {
    let submission = JobSubmission { priority, issue_point: point.map(str::to_owned), ..submission(serial) };
    world.ok(Input::Submit(Box::new(submission.into())));
}

fn serials(work: &[(u64, Assignment)]) -> Vec<String> {
    work.iter().map(|(_, assignment)| assignment.attempt.key.serial.to_string()).collect()
}

#[test]
fn accepted_and_assigned_in_one_commit_and_two_at_a_disk_at_most() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    assert_eq!(world.submit("A1").state, JobState::Assigned);
    assert_eq!(world.submit("A2").state, JobState::Assigned);
    let third = world.submit("A3");
    assert_eq!((third.state, third.waiting), (JobState::Queued, Some(Waiting::Backlog)));
    let work = world.assigned(session);
    assert_eq!(serials(&work), ["A1", "A2"]);
    assert_eq!(work.iter().map(|(_, assignment)| assignment.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(work[0].1.content_hash, world.job("A1").version().hash);
    world.outcome(session, &work[0], issued(1));
    assert_eq!(serials(&world.assigned(session)), ["A3"]);
}

#[test]
fn those_who_wait_come_first_and_bulk_work_never_starves() {
    let mut world = World::new();
    for n in 0..3 {
        submit_as(&mut world, &format!("B{n}"), Priority::Bulk, None);
    }
    for n in 0..10 {
        submit_as(&mut world, &format!("W{n}"), Priority::Waiting, None);
    }
    let session = world.connect('a', DISK);
    let mut order = Vec::new();
    for number in 0..13 {
        // One outcome, one more job.
        let mut work = world.assigned(session);
        order.extend(serials(&work));
        if number == 0 {
            let later = work.remove(1);
            world.outcome(session, &later, issued(500));
        }
        if let Some(first) = work.first().cloned() {
            world.outcome(session, &first, issued(number + 1));
        }
    }
    order.extend(serials(&world.assigned(session)));
    assert_eq!(&order[..12], ["W0", "W1", "W2", "W3", "B0", "W4", "W5", "W6", "W7", "B1", "W8", "W9"]);
}

#[test]
fn first_come_first_served_and_a_job_given_back_keeps_its_place() {
    let mut world = World::new();
    for n in 1..=5 {
        world.submit(&format!("A{n}"));
    }
    let session = world.connect('a', DISK);
    let work = world.assigned(session);
    assert_eq!(serials(&work), ["A1", "A2"]);
    world.outcome(session, &work[0], given_back());
    let again = world.assigned(session);
    assert_eq!(serials(&again), ["A1"], "before A3, where it stood");
    assert_eq!(again[0].1.attempt.attempt, 2);
    assert_eq!(again[0].1.sequence, 3);
}

#[test]
fn an_issue_point_uses_its_disks_alone() {
    let mut world = World::new();
    let body = IssuePointBody { name: String::new(), disks: vec!["662222222222".to_owned()] };
    world.ok(Input::PutIssuePoint(seller().parse().unwrap(), "till-2".parse().unwrap(), body, "test".to_owned()));
    let session = world.connect('a', DISK);
    submit_as(&mut world, "A1", Priority::Bulk, Some("till-2"));
    assert_eq!(world.state("A1"), JobState::Queued);
    assert_eq!(world.waiting("A1"), Some(Waiting::NoDisk));
    let other = world.connect('b', "662222222222");
    assert!(world.assigned(session).is_empty());
    assert_eq!(serials(&world.assigned(other)), ["A1"]);
}

#[test]
fn a_disk_that_cannot_issue_gets_nothing_and_the_job_says_why() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    let mut sick = report(DISK);
    sick.health = DiskHealth { ready: false, class: Some(DeviceClass::Locked), text: "locked".to_owned() };
    world.reports(session, vec![sick]);
    world.submit("A1");
    assert_eq!(world.waiting("A1"), Some(Waiting::Locked));
    let mut empty = report(DISK);
    empty.stock[0].remaining = 0;
    world.reports(session, vec![empty]);
    assert_eq!(world.waiting("A1"), Some(Waiting::NoStock));
    let assignment = DiskAssignment { seller: seller(), enabled: false };
    world.ok(Input::PutDisk(DISK.parse().unwrap(), assignment.clone(), "test".to_owned()));
    world.reports(session, vec![report(DISK)]);
    assert_eq!(world.waiting("A1"), Some(Waiting::NoDisk));
    assert!(world.assigned(session).is_empty());
    world.ok(Input::PutDisk(DISK.parse().unwrap(), DiskAssignment { enabled: true, ..assignment }, "test".to_owned()));
    assert_eq!(serials(&world.assigned(session)), ["A1"]);
}

#[test]
fn two_disks_share_a_queue() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    let b = world.connect('b', "662222222222");
    for n in 1..=4 {
        world.submit(&format!("A{n}"));
    }
    assert_eq!((world.assigned(a).len(), world.assigned(b).len()), (2, 2));
}

#[test]
fn after_a_restart_memory_is_rebuilt_and_nothing_is_handed_over_twice() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    for n in 1..=3 {
        world.submit(&format!("A{n}"));
    }
    let work = world.assigned(session);
    world.outcome(session, &work[0], issued(1));
    world.restart(Settings::default());
    assert_eq!(world.state("A2"), JobState::Assigned);
    let session = world.connect('a', DISK);
    let grants = world.granted(session);
    let open: Vec<_> = grants[0].1.iter().map(|open| open.assignment.attempt.key.serial.as_str()).collect();
    assert_eq!((grants[0].0, open), (2, vec!["A2", "A3"]));
    assert!(world.assigned(session).is_empty());
    // Places go on after the last one, sequences too.
    world.submit("A4");
    assert_eq!(world.job("A4").place, 4);
    for open in &grants[0].1 {
        let of = (open.epoch, open.assignment.clone());
        world.outcome(session, &of, found(open.assignment.sequence as u32 + 1));
    }
    let work = world.assigned(session);
    assert_eq!((serials(&work), work[0].1.sequence, work[0].0), (vec!["A4".to_owned()], 4, 2));
}
