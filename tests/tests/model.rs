//! The model, checked exhaustively; its table held against production; and each of its guards taken out in turn.
//!
//! `TAXDISK_TEST_MODEL=full` walks through the whole bound (`cargo xtask test-long model`); without it the bounds are
//! small. What was counted is printed: `cargo test --workspace --test model -- --nocapture`, with the features of the ladder.
#![allow(clippy::unwrap_used)]

#[path = "model/table.rs"]
mod table;

use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model as _};
use taxdisk_tests::model::properties::{I2, I3_FREE, I4, I7_OWNER, I8};
use taxdisk_tests::model::{Bound, Fence, GUARDS, Guard, Model};

/// One job while a link breaks, or somebody crashes, and the disk moves.
const BREAKS: Bound = Bound { jobs: 1, tries: 2, crashes: 0, breaks: 1, moves: 1, repeats: 0, refusals: 0 };
const CRASHES: Bound = Bound { crashes: 1, breaks: 0, ..BREAKS };
/// Jobs that share a disk: what one of them does to the other.
const TWO_JOBS: Bound = Bound { jobs: 2, moves: 0, ..BREAKS };
const TWO_JOBS_MOVE: Bound = Bound { jobs: 2, tries: 1, breaks: 0, ..BREAKS };
const THREE_JOBS: Bound = Bound { jobs: 3, tries: 1, moves: 0, ..BREAKS };
/// A disk that goes away, and comes back, is what most guards are there for.
const MOVES_TWICE: Bound = Bound { moves: 2, ..BREAKS };

fn is_full() -> bool {
    std::env::var("TAXDISK_TEST_MODEL").is_ok_and(|value| value == "full")
}

/// Walks through all of it; every property must hold, and rare states be reached.
fn check(name: &str, model: Model) {
    let started = Instant::now();
    let checker = model.clone().checker().spawn_bfs().join();
    let (unique, all) = (checker.unique_state_count(), checker.state_count());
    let seconds = started.elapsed().as_secs_f32();
    println!(
        "{name}, fence {:?}: {unique} states, {all} with repeats, {} steps deep, {seconds:.1} s",
        model.fence,
        checker.max_depth()
    );
    for property in model.properties() {
        let found = checker.discovery(property.name);
        if property.expectation == Expectation::Sometimes {
            // Where the disk stays, or every link holds, some of it cannot happen.
            let demanded = model.bound.moves > 0 && model.bound.breaks > 0;
            assert!(found.is_some() || !demanded, "never reached: {}", property.name);
        } else if let Some(path) = found {
            let world = *path.last_state();
            panic!("{} does not hold after {:#?}\n{world:#?}", property.name, path.into_actions());
        }
    }
}

#[test]
fn one_job_a_broken_link_and_a_disk_that_moves() {
    check("one job, a break, a move", Model { ends: true, ..Model::new(BREAKS, Fence::Ordered) });
}

#[test]
fn one_job_at_a_component_that_may_execute_late() {
    check("one job, a break, a move", Model { ends: true, ..Model::new(BREAKS, Fence::None) });
}

#[test]
fn more_jobs_and_crashes() {
    check("two jobs with an attempt each, a move", Model::new(TWO_JOBS_MOVE, Fence::Ordered));
    if is_full() {
        check("one job, a crash, a move", Model::new(CRASHES, Fence::Ordered));
        check("two jobs, a break", Model::new(TWO_JOBS, Fence::Ordered));
        check("three jobs with an attempt each, a break", Model::new(THREE_JOBS, Fence::Ordered));
    }
}

/// A property that misses each guard.
fn missed_by(guard: Guard) -> &'static str {
    match guard {
        Guard::EpochCheck | Guard::BeginLease | Guard::SilenceBeforeGrant | Guard::OneClaimant => I4,
        Guard::NeverSentAgain | Guard::FenceRespected | Guard::JournalSilenceProvesNothing => I4,
        Guard::UnsettledIsNotFailure => I4,
        Guard::IntentBeforeCommand | Guard::DurableBeforeTold => I8,
        Guard::LapseAsks => I3_FREE,
        Guard::OutboxKept => I2,
        Guard::LateOutcomeIgnored => I7_OWNER,
    }
}

#[test]
fn every_guard_is_missed_when_it_is_taken_out() {
    let mut wrong = Vec::new();
    for guard in GUARDS {
        let started = Instant::now();
        let fence =
            if matches!(guard, Guard::FenceRespected | Guard::UnsettledIsNotFailure) { Fence::None } else { Fence::Ordered };
        let twice = matches!(guard, Guard::SilenceBeforeGrant | Guard::OneClaimant);
        let model = Model { without: Some(guard), ..Model::new(if twice { MOVES_TWICE } else { BREAKS }, fence) };
        let checker = model.clone().checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let must_hold: Vec<_> =
            model.properties().into_iter().filter(|property| property.expectation == Expectation::Always).collect();
        let found = must_hold.iter().filter_map(|property| checker.discovery(property.name));
        let path = found.min_by_key(|path| path.clone().into_actions().len());
        let Some(path) = path else {
            wrong.push(format!("nothing misses {guard:?}"));
            continue;
        };
        let world = *path.last_state();
        let broken: Vec<_> =
            must_hold.iter().filter(|property| !(property.condition)(&model, &world)).map(|property| property.name).collect();
        let (actions, states, seconds) = (path.into_actions(), checker.unique_state_count(), started.elapsed().as_secs_f32());
        println!("without {guard:?}: {} steps, {states} states, {seconds:.1} s: {broken:?}\n  {actions:?}", actions.len());
        if !broken.contains(&missed_by(guard)) {
            wrong.push(format!("without {guard:?} this is broken: {broken:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
