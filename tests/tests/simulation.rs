//! The simulation as `cargo xtask test` runs it: a fixed range of seeds, its determinism, and planted faults that it has to
//! notice.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use taxdisk_tests::sim::knobs::Knobs;
use taxdisk_tests::sim::plants::{PLANTS, plant};
use taxdisk_tests::sim::trace::STATES;
use taxdisk_tests::sim::{minimize, run};

/// Seeds of one thread of the test; there are [`THREADS`].
const SEEDS_EACH: u64 = 1000;
const THREADS: u64 = 2;

#[test]
fn invariants_hold_in_every_world_and_rare_states_are_reached() {
    let workers = (0..THREADS).map(|thread| {
        std::thread::spawn(move || {
            let mut states: BTreeMap<&'static str, u64> = BTreeMap::new();
            for seed in (0..SEEDS_EACH).map(|index| index * THREADS + thread) {
                let knobs = Knobs::of(seed);
                assert!(knobs.jobs >= 20, "a world has at least 20 jobs");
                let outcome = run(&knobs, false);
                assert_eq!(outcome.violation, None, "seed {seed}: cargo xtask sim -- --seed {seed}");
                outcome.trace.states.iter().for_each(|(name, count)| *states.entry(name).or_default() += count);
            }
            states
        })
    });
    let workers: Vec<_> = workers.collect();
    let reached: Vec<BTreeMap<&'static str, u64>> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    for state in STATES {
        assert!(reached.iter().any(|states| states.contains_key(state)), "{state} was never reached: nothing is proven of it");
    }
    let kinds: usize = (0..SEEDS_EACH * THREADS).map(|seed| Knobs::of(seed).faults.len()).sum();
    assert!(kinds as u64 >= 3 * SEEDS_EACH * THREADS, "fewer than three kinds of fault a world");
}

/// Worlds in which the production cores once failed; what was wrong is in the changelog.
#[test]
fn worlds_that_found_a_defect_are_clean() {
    for seed in [
        746, 2692, 3057, 3268, 3601, 3990, 4013, 4192, 5984, 6765, 6810, 8080, 8649, 8678, 11590, 11759, 12053, 17258, 20958,
        21466, 21724, 23582, 24199, 29832, 36872, 41756, 42564, 42983, 43028, 44626, 45026, 45442, 46162, 51720, 100824,
    ] {
        assert_eq!(run(&Knobs::first(seed), false).violation, None, "cargo xtask sim -- --seed {seed} --first");
    }
    for seed in [101377, 104175] {
        assert_eq!(run(&Knobs::of(seed), false).violation, None, "cargo xtask sim -- --seed {seed}");
    }
}

#[test]
fn the_same_seed_twice_is_the_same_to_the_last_bit() {
    let mut hashes = Vec::new();
    for seed in [1, 2, 3, 5, 8, 13, 21, 34] {
        let knobs = Knobs::of(seed);
        let (first, again) = (run(&knobs, false), run(&knobs, true));
        assert_eq!((first.hash, first.virtual_ms), (again.hash, again.virtual_ms), "seed {seed}");
        hashes.push(first.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 8, "the hash tells worlds apart");
}

#[test]
fn planted_faults_are_noticed() {
    if !plant(Some("none")) {
        // Built without the switch, as a release is: then no guard can be taken out, which is what is asked of it.
        assert!(!plant(Some(PLANTS[0].name)));
        return;
    }
    // The fastest ones; `cargo xtask sim -- --plants` tries all.
    for name in ["resend_after_time_out", "report_before_durable", "other_content_repeated", "unsettled_is_failure"] {
        plant(Some(name));
        let caught = (0..400).find(|seed| run(&Knobs::of(*seed), false).violation.is_some());
        plant(None);
        assert!(caught.is_some(), "{name} went unnoticed in 400 worlds");
    }
}

#[test]
fn a_failure_shrinks_and_is_the_same_failure() {
    if !plant(Some("report_before_durable")) {
        return;
    }
    let seed = (0..400).find(|seed| run(&Knobs::of(*seed), false).violation.is_some()).unwrap();
    let whole = Knobs::of(seed);
    let small = minimize(&whole, 60);
    let (before, after) = (run(&whole, false).violation.unwrap(), run(&small, false).violation.unwrap());
    plant(None);
    assert_eq!(before.invariant, after.invariant);
    assert!(small.jobs < whole.jobs || small.faults.len() < whole.faults.len() || small.chaos_ms < whole.chaos_ms);
}
