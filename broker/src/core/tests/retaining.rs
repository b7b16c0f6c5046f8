//! Contents end after served time, never because a clock jumped.

use super::*;

const DAY_MS: i64 = 86_400_000;

fn settings() -> Settings {
    Settings { retain_hours: Some(48), ..Settings::default() }
}

/// Serves so many hours, a minute a tick.
fn serve(world: &mut World, hours: i64) {
    for _ in 0..hours * 60 {
        world.pass_ms(60_000);
    }
}

#[test]
fn contents_end_after_the_time_that_the_broker_served() {
    let mut world = World::with(settings());
    world.pass_ms(1);
    serve(&mut world, 47);
    assert!(world.ended.is_empty());
    serve(&mut world, 3);
    // Only what is 48 hours old: the hours 0, 1 and 2.
    assert_eq!((world.ended.first(), world.ended.last()), (Some(&0), Some(&2)));
    world.ended.clear();
    world.restart(Settings::default());
    serve(&mut world, 100);
    assert!(world.ended.is_empty(), "off unless it is set");
}

#[test]
fn a_clock_that_jumps_ends_nothing() {
    let mut world = World::with(settings());
    serve(&mut world, 2);
    for jump in [3650 * DAY_MS, -3650 * DAY_MS, 40 * DAY_MS] {
        world.pass_ms(jump);
        world.pass_ms(1000);
        world.restart(settings());
        world.pass_ms(jump);
        serve(&mut world, 1);
    }
    assert!(world.ended.is_empty(), "{:?}", world.ended);
    assert!(world.restored.served <= 6);
}

#[test]
fn i6_a_job_whose_content_has_ended_is_issued_again_with_the_same_content_as_the_same_version() {
    use taxdisk_protocol::api::{ReissueOutcome, ReissueRequest};
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.outcome(session, &work, not_issued(DeviceClass::InvalidRequest));
    // Contents end as a batch of their own, with nothing under way.
    world.durable();
    let mut job = (*world.jobs[&key("A1")]).clone();
    job.invoice = None;
    world.jobs.insert(key("A1"), Arc::new(job));
    let ask = |world: &mut World, invoice| {
        let request = ReissueRequest { reason: "fixed".to_owned(), invoice };
        world.input(Input::Reissue(key("A1"), request, "k".to_owned()))
    };
    assert_eq!(ask(&mut world, None).unwrap_err().code, "body_ended");
    let job = world.jobs[&key("A1")].clone();
    assert!(job.had_content(&job.version().hash), "the hashes stay, and answer a submission");
    assert!(matches!(world.ok(Input::Submit(Box::new(submission("A1").into()))), Reply::Submitted(Submitted::Repeated(_))));
    match ask(&mut world, submission("A1").invoice).unwrap() {
        Reply::Reissued(answer) => assert_eq!(answer.outcome, ReissueOutcome::Requeued),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.job("A1").versions.len(), 1);
    assert_eq!(world.assigned(session)[0].1.invoice, submission("A1").invoice.unwrap());
}
