//! The seller's rule on disk trouble: I3, I4.

use super::*;
use crate::core::Scope;
use taxdisk_protocol::api::{DiskTrouble, Fault, PauseMode, PauseRequest};

fn rule(world: &mut World, disk_trouble: DiskTrouble) {
    let body = SellerBody { name: "测试".to_owned(), disk_trouble, mark: true, warnings: Default::default() };
    world.ok(Input::PutSeller(seller().parse().unwrap(), body, "test".to_owned()));
}

fn locked() -> DiskReport {
    let mut locked = report(DISK);
    locked.health = DiskHealth { ready: false, class: Some(DeviceClass::Locked), text: "period not reported".to_owned() };
    locked
}

#[test]
fn a_job_fails_when_its_time_is_over_and_not_before() {
    let mut world = World::new();
    rule(&mut world, DiskTrouble::FailAfter(600));
    let session = world.join('a');
    world.reports(session, vec![locked()]);
    world.submit("A1");
    world.pass_ms(599_000);
    assert_eq!(world.state("A1"), JobState::Queued);
    world.pass_ms(1_000);
    assert_eq!(world.state("A1"), JobState::Failed);
    let problem = world.job("A1").problem.clone().unwrap();
    assert_eq!((problem.code.as_str(), problem.fault, problem.class), ("disk_trouble", Fault::Disk, Some(DeviceClass::Locked)));
    assert!(problem.text.contains("600 s") && problem.text.contains(DISK), "{}", problem.text);
    // Re-issued, it has its whole time again.
    let request = taxdisk_protocol::api::ReissueRequest { reason: "again".to_owned(), invoice: None };
    world.ok(Input::Reissue(key("A1"), request, "k".to_owned()));
    world.pass_ms(599_000);
    assert_eq!(world.state("A1"), JobState::Queued);
}

#[test]
fn by_default_a_job_waits_and_a_new_rule_holds_for_jobs_that_wait() {
    let mut world = World::new();
    let session = world.join('a');
    world.reports(session, vec![locked()]);
    world.submit("A1");
    world.pass_ms(30 * 86_400_000);
    assert_eq!(world.state("A1"), JobState::Queued);
    rule(&mut world, DiskTrouble::FailAfter(3600));
    world.pass_ms(1_000);
    assert_eq!(world.state("A1"), JobState::Failed);
}

#[test]
fn i4_what_was_handed_over_never_fails_by_time() {
    let mut world = World::new();
    rule(&mut world, DiskTrouble::FailAfter(1));
    let session = world.connect('a', DISK);
    for n in 1..=3 {
        world.submit(&format!("A{n}"));
    }
    let work = world.assigned(session);
    world.started(session, &work[0], 1);
    world.leave(session, Left::Lost);
    // Two ticks: the first one sees the trouble.
    world.pass_ms(1_000);
    world.pass_ms(86_400_000);
    assert_eq!(world.state("A1"), JobState::Unsettled, "it may have been issued");
    assert_eq!(world.state("A2"), JobState::Unsettled, "the agent may still begin it");
    assert_eq!(world.state("A3"), JobState::Failed);
}

#[test]
fn i3_a_job_that_a_late_outcome_names_does_not_fail_by_time() {
    let mut world = World::new();
    rule(&mut world, DiskTrouble::FailAfter(1));
    let a = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(a).remove(0);
    world.leave(a, Left::Lost);
    world.pass_ms(120_000);
    let b = world.connect('b', DISK);
    world.outcome(b, &work, not_issued(DeviceClass::Locked));
    assert_eq!(world.state("A1"), JobState::Queued);
    // The old agent comes back and says that it did issue.
    let old = world.join('a');
    world.outcome(old, &work, issued(7));
    assert!(world.job("A1").is_doubted());
    world.leave(b, Left::Goodbye);
    world.pass_ms(1_000);
    world.pass_ms(86_400_000);
    assert_eq!(world.state("A1"), JobState::Queued, "the disk is read first");
}

#[test]
fn a_try_between_two_failures_does_not_set_the_clock_back_and_an_invoice_does() {
    let mut world = World::new();
    rule(&mut world, DiskTrouble::FailAfter(60));
    let session = world.connect('a', DISK);
    world.submit("A1");
    let mut tries = 0;
    for _ in 0..60 {
        if let Some(work) = world.assigned(session).pop() {
            tries += 1;
            world.outcome(session, &work, not_issued(DeviceClass::DeviceFault));
        }
        world.pass_ms(1_000);
    }
    world.pass_ms(1_000);
    assert!(tries >= 3, "{tries}");
    assert_eq!(world.state("A1"), JobState::Failed);
    // An invoice ends the trouble.
    world.pass_ms(300_000);
    world.submit("A2");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, issued(1));
    world.pass_ms(1_000);
    world.submit("A3");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, not_issued(DeviceClass::Locked));
    world.pass_ms(1_000);
    assert_eq!(world.state("A3"), JobState::Queued);
}

#[test]
fn a_pause_is_no_trouble_and_neither_is_another_disk_that_is_busy() {
    let mut world = World::new();
    rule(&mut world, DiskTrouble::FailAfter(60));
    let a = world.join('a');
    world.reports(a, vec![locked()]);
    let scope = Scope::Disk(DISK.parse().unwrap());
    let request = PauseRequest { reason: "paper".to_owned() };
    world.ok(Input::Pause(scope.clone(), PauseMode::Pause, request, "k1".to_owned()));
    world.submit("A1");
    world.pass_ms(1_000);
    world.pass_ms(3_600_000);
    assert_eq!(world.state("A1"), JobState::Queued);
    let b = world.connect('b', "662222222222");
    world.ok(Input::Resume(scope, PauseRequest::default(), "k1".to_owned()));
    for n in 2..=4 {
        world.submit(&format!("A{n}"));
    }
    assert_eq!(world.assigned(b).len(), 2);
    world.pass_ms(3_600_000);
    assert_eq!(world.state("A4"), JobState::Queued, "others are before it at a disk that is well");
}

#[test]
fn after_a_restart_the_time_goes_on() {
    let mut world = World::new();
    rule(&mut world, DiskTrouble::FailAfter(600));
    let session = world.join('a');
    world.reports(session, vec![locked()]);
    world.submit("A1");
    world.pass_ms(400_000);
    world.restart(Settings::default());
    world.pass_ms(199_000);
    assert_eq!(world.state("A1"), JobState::Queued);
    world.pass_ms(1_000);
    assert_eq!(world.state("A1"), JobState::Failed);
}

#[test]
fn a_rule_without_a_sensible_time_is_refused() {
    let mut world = World::new();
    for after_s in [0, DiskTrouble::FAIL_AFTER_MAX_S + 1] {
        let disk_trouble = DiskTrouble::FailAfter(after_s);
        let body = SellerBody { name: "测试".to_owned(), disk_trouble, mark: true, warnings: Default::default() };
        let refusal = world.input(Input::PutSeller(seller().parse().unwrap(), body, "test".to_owned())).unwrap_err();
        assert_eq!(refusal.code, "invalid_parameter");
    }
}
