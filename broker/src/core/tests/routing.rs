//! Which disk a job goes to: limits, stock, strain, and what is asked back because it could go elsewhere.

use super::*;
use taxdisk_protocol::api::{OfflineView, Priority};

const BIG: &str = "662222222222";

fn limited(disk: &str, limit: &str) -> DiskReport {
    let mut report = report(disk);
    report.stock[0].invoice_limit = Some(limit.to_owned());
    report
}

fn submit_of(world: &mut World, serial: &str, gross: &str) -> JobView {
    match world.ok(Input::Submit(Box::new(submission_of(serial, gross).into()))) {
        Reply::Submitted(Submitted::New(view)) => view,
        other => panic!("{other:?}"),
    }
}

fn serials(work: &[(u64, Assignment)]) -> Vec<String> {
    work.iter().map(|(_, assignment)| assignment.attempt.key.serial.to_string()).collect()
}

#[test]
fn a_job_too_large_for_one_disk_goes_to_the_other_and_smaller_ones_pass_it_meanwhile() {
    let mut world = World::new();
    let a = world.join('a');
    world.reports(a, vec![limited(DISK, "100.00")]);
    let big = submit_of(&mut world, "BIG", "100.01");
    assert_eq!((big.state, big.waiting, big.waiting_disk.as_deref()), (JobState::Queued, Some(Waiting::OverLimit), Some(DISK)));
    let text = big.waiting_text.unwrap();
    assert!(text.contains("100.01") && text.contains("100.00") && text.contains(DISK), "{text}");
    submit_of(&mut world, "FIT", "100.00");
    assert_eq!(serials(&world.assigned(a)), ["FIT"]);
    let b = world.join('b');
    world.reports(b, vec![limited(BIG, "1000.00")]);
    assert_eq!(serials(&world.assigned(b)), ["BIG"]);
    assert!(world.assigned(a).is_empty());
}

#[test]
fn a_limit_that_changes_is_heeded_for_jobs_that_wait() {
    let mut world = World::new();
    let a = world.join('a');
    world.reports(a, vec![limited(DISK, "100.00")]);
    submit_of(&mut world, "BIG", "500.00");
    assert!(world.assigned(a).is_empty());
    world.reports(a, vec![limited(DISK, "1000.00")]);
    assert_eq!(serials(&world.assigned(a)), ["BIG"]);
}

#[test]
fn over_by_the_gross_amount_alone_goes_to_a_disk_where_it_surely_fits_and_else_the_disk_decides() {
    // 200.00 net, 226.00 gross: some disks compare the one, some the other.
    let mut world = World::new();
    let a = world.join('a');
    world.reports(a, vec![limited(DISK, "210.00")]);
    world.submit("A1");
    assert_eq!(serials(&world.assigned(a)), ["A1"], "no disk takes it surely: this one is asked, and its refusal is a proof");

    let mut world = World::new();
    let a = world.join('a');
    world.reports(a, vec![limited(DISK, "210.00")]);
    let b = world.join('b');
    world.reports(b, vec![limited(BIG, "226.00")]);
    world.submit("A1");
    assert_eq!((serials(&world.assigned(a)).len(), serials(&world.assigned(b))), (0, vec!["A1".to_owned()]));
}

#[test]
fn no_more_is_handed_over_than_blank_invoices_are_left() {
    let mut world = World::new();
    let session = world.join('a');
    let mut last = report(DISK);
    last.stock[0].remaining = 1;
    world.reports(session, vec![last.clone()]);
    world.submit("A1");
    world.submit("A2");
    let work = world.assigned(session);
    assert_eq!(serials(&work), ["A1"], "the second one would find no blank invoice");
    last.stock[0].current = Some(pair(1).into());
    world.reports(session, vec![last]);
    // The outcome alone says that the last number is gone; nothing is handed over until a report says more.
    world.outcome(session, &work[0], issued(1));
    assert!(world.assigned(session).is_empty());
    assert_eq!(world.waiting("A2"), Some(Waiting::NoStock));
    world.reports(session, vec![report(DISK)]);
    assert_eq!(serials(&world.assigned(session)), ["A2"]);
}

#[test]
fn a_report_from_after_the_signature_is_not_counted_down_again() {
    let mut world = World::new();
    let session = world.join('a');
    let mut two = report(DISK);
    two.stock[0].remaining = 2;
    world.reports(session, vec![two.clone()]);
    world.submit("A1");
    let work = world.assigned(session);
    two.stock[0].remaining = 1;
    two.stock[0].current = Some(pair(2).into());
    world.reports(session, vec![two]);
    world.outcome(session, &work[0], issued(1));
    world.submit("A2");
    assert_eq!(serials(&world.assigned(session)), ["A2"], "one blank invoice is left, as the disk says");
}

#[test]
fn a_disk_in_trouble_gives_back_what_it_has_not_begun_and_another_one_takes_it() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    world.submit("A2");
    let work = world.assigned(a);
    world.started(a, &work[0], 1);
    let b = world.connect('b', BIG);
    world.recalls(a);
    let mut locked = report(DISK);
    locked.health = DiskHealth { ready: false, class: Some(DeviceClass::Locked), text: "locked".to_owned() };
    world.reports(a, vec![locked.clone()]);
    assert_eq!(world.recalls(a), ["A2"], "what has begun is never asked back (I4)");
    world.reports(a, vec![locked]);
    assert!(world.recalls(a).is_empty(), "asked once");
    // Until the agent says so, it stays with that disk.
    assert!(world.assigned(b).is_empty());
    assert_eq!(world.state("A2"), JobState::Assigned);
    world.outcome(a, &work[1], given_back());
    assert_eq!(serials(&world.assigned(b)), ["A2"]);
}

#[test]
fn a_waiting_persons_job_behind_another_is_asked_back_when_a_disk_is_idle() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    let urgent = |serial: &str| JobSubmission { priority: Priority::Waiting, ..submission(serial) };
    world.submit("A1");
    world.ok(Input::Submit(Box::new(urgent("W1").into())));
    let work = world.assigned(a);
    assert_eq!(serials(&work), ["A1", "W1"]);
    world.started(a, &work[0], 1);
    let b = world.connect('b', BIG);
    assert_eq!(world.recalls(a), ["W1"]);
    world.outcome(a, &work[1], given_back());
    assert_eq!(serials(&world.assigned(b)), ["W1"]);
    assert!(world.assigned(a).is_empty());
}

#[test]
fn a_bulk_job_stays_where_it_is_staged() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    world.submit("A1");
    world.submit("A2");
    let work = world.assigned(a);
    world.started(a, &work[0], 1);
    world.connect('b', BIG);
    assert!(world.recalls(a).is_empty());
}

#[test]
fn a_disk_that_fails_again_and_again_rests_and_the_job_says_breaker() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    for _ in 0..2 {
        let work = world.assigned(session).remove(0);
        world.outcome(session, &work, not_issued(DeviceClass::DeviceFault));
        world.reports(session, vec![report(DISK)]);
    }
    assert_eq!(world.waiting("A1"), Some(Waiting::Breaker));
    world.pass_ms(1000);
    assert_eq!(serials(&world.assigned(session)), ["A1"]);
}

#[test]
fn an_offline_limit_that_is_reached_stops_the_disk_and_a_job_must_fit_into_the_rest() {
    let mut world = World::new();
    let session = world.join('a');
    let mut held = report(DISK);
    held.stock[0].offline_amount = Some("1000.00".to_owned());
    held.offline = Some(OfflineView { count: 3, first: None, sum: "800.00".to_owned(), count_limit: None });
    world.reports(session, vec![held.clone()]);
    submit_of(&mut world, "BIG", "200.01");
    submit_of(&mut world, "FIT", "200.00");
    assert_eq!(serials(&world.assigned(session)), ["FIT"]);
    held.offline = Some(OfflineView { count: 4, first: None, sum: "1000.00".to_owned(), count_limit: None });
    world.reports(session, vec![held.clone()]);
    submit_of(&mut world, "ONE", "1.00");
    assert_eq!(world.waiting("ONE"), Some(Waiting::OverLimit));
    held.offline = Some(OfflineView { sum: "0.00".to_owned(), ..OfflineView::default() });
    world.reports(session, vec![held]);
    assert_eq!(serials(&world.assigned(session)), ["BIG"]);
}

#[test]
fn a_disk_that_will_stop_soon_is_used_last() {
    let mut world = World::new();
    let a = world.join('a');
    let mut low = report(DISK);
    low.stock[0].remaining = 5;
    world.reports(a, vec![low]);
    let b = world.connect('b', BIG);
    for n in 1..=3 {
        world.submit(&format!("A{n}"));
    }
    assert_eq!(serials(&world.assigned(b)), ["A1", "A2"]);
    assert_eq!(serials(&world.assigned(a)), ["A3"]);
}

#[test]
fn an_estimate_is_the_median_time_of_the_jobs_before_it_or_nothing() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    for n in 1..=7 {
        world.submit(&format!("A{n}"));
    }
    assert_eq!(world.core.estimate(&key("A7")), None, "no invoice was measured yet");
    for number in 1..=3 {
        let work = world.assigned(session).remove(0);
        world.outcome(session, &work, issued(number));
    }
    // Frames of three assignments were taken one by one: two are at the disk, two are queued before and with A7.
    let estimate = world.core.estimate(&key("A7")).expect("three invoices were measured");
    assert_eq!((estimate.jobs_ahead, estimate.median_ms, estimate.disks), (3, 5, 1));
    assert_eq!(estimate.start, world.now.plus_ms(15).to_string());
    assert_eq!(world.core.estimate(&key("A1")), None, "it is not in the queue");
    let mut locked = report(DISK);
    locked.health = DiskHealth { ready: false, class: Some(DeviceClass::Locked), text: "locked".to_owned() };
    world.reports(session, vec![locked]);
    assert_eq!(world.core.estimate(&key("A7")), None, "no disk can take it: nobody can say");
}
