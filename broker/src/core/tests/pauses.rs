//! Pause, drain and resume.

use super::*;
use crate::core::Scope;
use taxdisk_protocol::api::{PauseMode, PauseRequest};

fn scope() -> Scope {
    Scope::Disk(DISK.parse().unwrap())
}

fn pause(world: &mut World, scope: Scope, mode: PauseMode) {
    world.ok(Input::Pause(scope, mode, PauseRequest { reason: "paper".to_owned() }, "k1".to_owned()));
}

fn resume(world: &mut World, scope: Scope) {
    world.ok(Input::Resume(scope, PauseRequest::default(), "k1".to_owned()));
}

fn entries(world: &World, what: &str) -> usize {
    world.audits.iter().filter(|(name, _)| *name == what).count()
}

#[test]
fn a_paused_disk_keeps_what_it_has_begun_gives_back_the_rest_and_gets_nothing() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    for n in 1..=3 {
        world.submit(&format!("A{n}"));
    }
    let work = world.assigned(session);
    world.started(session, &work[0], 1);
    pause(&mut world, scope(), PauseMode::Pause);
    assert_eq!(world.recalls(session), ["A2"]);
    world.outcome(session, &work[1], given_back());
    world.outcome(session, &work[0], issued(1));
    assert!(world.assigned(session).is_empty());
    assert_eq!((world.state("A1"), world.waiting("A2")), (JobState::Issued, Some(Waiting::Paused)));
    let job = world.jobs[&key("A2")].clone();
    let text = world.core.view(&job).waiting_text.unwrap();
    assert!(text.contains("paper") && text.contains("k1") && text.contains(DISK), "{text}");
    resume(&mut world, scope());
    assert_eq!(world.assigned(session).len(), 2);
    assert_eq!((entries(&world, "pause"), entries(&world, "resume")), (1, 1));
}

#[test]
fn a_job_that_was_begun_after_all_ends_at_its_disk() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    pause(&mut world, scope(), PauseMode::Pause);
    // The recall crossed the beginning: the agent says nothing to it and goes on.
    world.started(session, &work, 1);
    assert_eq!(world.state("A1"), JobState::Assigned);
    world.outcome(session, &work, issued(1));
    assert_eq!(world.state("A1"), JobState::Issued);
}

#[test]
fn the_pauses_of_agent_and_seller_keep_their_disks_and_survive_a_restart() {
    for scope in [Scope::Agent(agent('a')), Scope::Seller(seller().parse().unwrap())] {
        let mut world = World::new();
        world.connect('a', DISK);
        pause(&mut world, scope.clone(), PauseMode::Pause);
        world.restart(Settings::default());
        let session = world.connect('a', DISK);
        world.submit("A1");
        assert!(world.assigned(session).is_empty(), "{scope}");
        assert_eq!(world.waiting("A1"), Some(Waiting::Paused), "{scope}");
        resume(&mut world, scope);
        assert_eq!(world.assigned(session).len(), 1);
    }
}

#[test]
fn the_pause_of_one_agent_leaves_the_disk_of_another_alone() {
    let mut world = World::new();
    let a = world.connect('a', DISK);
    let b = world.connect('b', "662222222222");
    pause(&mut world, Scope::Agent(agent('a')), PauseMode::Pause);
    for n in 1..=3 {
        world.submit(&format!("A{n}"));
    }
    assert_eq!((world.assigned(a).len(), world.assigned(b).len()), (0, 2));
}

#[test]
fn a_drain_is_over_once_when_every_attempt_is_proven() {
    let mut world = World::new();
    let session = world.connect('a', DISK);
    world.submit("A1");
    let work = world.assigned(session).remove(0);
    world.started(session, &work, 1);
    pause(&mut world, scope(), PauseMode::Drain);
    world.outcome_with(session, &work, unsettled(), vec![absent(1)]);
    world.pass_ms(60_000);
    assert_eq!(entries(&world, "drained"), 0, "what is not settled must still be read on this disk");
    world.outcome(session, &work, found(1));
    world.pass_ms(60_000);
    assert_eq!(entries(&world, "drained"), 1);
    assert!(world.core.pauses()[0].drained_at.is_some());
    // Asked again, as a person does who looks whether it is over.
    pause(&mut world, scope(), PauseMode::Drain);
    assert_eq!((entries(&world, "drain"), entries(&world, "drained")), (1, 1));
    world.restart(Settings::default());
    assert!(world.core.pauses()[0].drained_at.is_some());
}

#[test]
fn a_pause_needs_a_reason_and_something_that_exists() {
    let mut world = World::new();
    world.connect('a', DISK);
    let refused = |world: &mut World, scope: Scope, reason: &str| {
        let request = PauseRequest { reason: reason.to_owned() };
        world.input(Input::Pause(scope, PauseMode::Pause, request, "k1".to_owned())).unwrap_err().code
    };
    assert_eq!(refused(&mut world, scope(), " "), "invalid_parameter");
    assert_eq!(refused(&mut world, Scope::Disk("669999999999".parse().unwrap()), "why"), "not_found");
    assert_eq!(refused(&mut world, Scope::Agent(agent('c')), "why"), "not_found");
    assert!(world.core.pauses().is_empty());
}
