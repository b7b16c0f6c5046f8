//! Lists by the reason that jobs wait for: what is looked at for a page does not grow with the jobs that wait.

use super::*;
use crate::core::types::JobFilter;
use crate::core::waiting::WaitingPage;
use taxdisk_protocol::api::Priority;

const OTHER: &str = "662222222222";

fn filter(waiting: Waiting) -> JobFilter {
    JobFilter { waiting: Some(waiting), states: vec![JobState::Queued], ..JobFilter::default() }
}

fn submit(world: &mut World, jobs: std::ops::Range<usize>) {
    let input = |number: usize| {
        let mut submission = submission(&format!("N{number}"));
        // Both priorities: two runs of one lane.
        submission.priority = if number.is_multiple_of(3) { Priority::Waiting } else { Priority::Bulk };
        Input::Submit(Box::new(submission.into()))
    };
    assert!(world.batch(jobs.map(input).collect()).iter().all(Result::is_ok));
}

fn serials(page: &WaitingPage) -> Vec<&str> {
    page.jobs.iter().map(|job| job.key.serial.as_str()).collect()
}

#[test]
fn a_page_looks_at_its_own_jobs_and_one_more_however_many_wait() {
    let mut world = World::new();
    for jobs in [0..200, 200..1000] {
        submit(&mut world, jobs.clone());
        let page = world.core.waiting_page(&filter(Waiting::NoDisk), u64::MAX, 50).unwrap();
        assert_eq!((page.jobs.len(), page.looked), (50, 51), "of {} jobs", jobs.end);
        assert_eq!(page.jobs[0].key.serial.as_str(), format!("N{}", jobs.end - 1), "the newest first");
        // Of another reason none is looked at at all.
        let page = world.core.waiting_page(&filter(Waiting::NoStock), u64::MAX, 50).unwrap();
        assert_eq!((page.jobs.len(), page.looked, page.before), (0, 0, None));
    }
}

#[test]
fn the_pages_together_hold_every_job_that_waits_so_once_and_in_order() {
    let mut world = World::new();
    submit(&mut world, 0..25);
    let (mut before, mut seen) = (u64::MAX, Vec::new());
    loop {
        let page = world.core.waiting_page(&filter(Waiting::NoDisk), before, 4).unwrap();
        seen.extend(page.jobs.iter().map(|job| job.key.serial.to_string()));
        match page.before {
            Some(next) => before = next,
            None => break,
        }
    }
    assert_eq!(seen, (0..25).rev().map(|number| format!("N{number}")).collect::<Vec<_>>());
}

#[test]
fn jobs_of_two_reasons_are_told_apart() {
    let mut world = World::new();
    let a = world.join('a');
    let mut limited = report(DISK);
    limited.stock[0].invoice_limit = Some("100.00".to_owned());
    world.reports(a, vec![limited]);
    for (serial, gross) in [("BIG1", "500.00"), ("FIT1", "50.00"), ("BIG2", "600.00"), ("FIT2", "60.00"), ("FIT3", "70.00")] {
        world.ok(Input::Submit(Box::new(submission_of(serial, gross).into())));
    }
    // One runs and one is staged; the third is behind them.
    let page = world.core.waiting_page(&filter(Waiting::Backlog), u64::MAX, 10).unwrap();
    assert_eq!(serials(&page), ["FIT3"]);
    let page = world.core.waiting_page(&filter(Waiting::OverLimit), u64::MAX, 10).unwrap();
    assert_eq!((serials(&page), page.before), (vec!["BIG2", "BIG1"], None));
    // What else is asked for holds too.
    let asked = |change: fn(&mut JobFilter)| {
        let mut filter = filter(Waiting::OverLimit);
        change(&mut filter);
        serials(&world.core.waiting_page(&filter, u64::MAX, 10).unwrap()).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(asked(|filter| filter.serial_prefix = Some("BIG1".to_owned())), ["BIG1"]);
    assert_eq!(asked(|filter| filter.serial = Some("BIG2".parse().unwrap())), ["BIG2"]);
    assert_eq!(asked(|filter| filter.disk = Some(OTHER.parse().unwrap())), Vec::<String>::new());
    assert_eq!(asked(|filter| filter.since = Some(Timestamp(i64::MAX))), Vec::<String>::new());
    assert_eq!(asked(|filter| filter.until = Some(Timestamp(0))), Vec::<String>::new());
    assert_eq!(asked(|filter| filter.problem = Some("disk_refused".to_owned())), Vec::<String>::new());
    assert_eq!(asked(|filter| filter.sellers = vec!["91110000MA0000001L".parse().unwrap()]), Vec::<String>::new());
}

#[test]
fn reasons_that_may_be_a_single_jobs_own_are_left_to_the_store() {
    let world = World::new();
    for waiting in [Waiting::Settling, Waiting::Reconcile] {
        assert!(world.core.waiting_page(&filter(waiting), u64::MAX, 10).is_none());
    }
}
