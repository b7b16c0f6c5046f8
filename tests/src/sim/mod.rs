//! Deterministic simulation of the whole system (`cargo xtask sim`).
//!
//! One thread and virtual time: the production core of the broker (`taxdisk_broker::core`), the production link and disk cores of
//! one to three agents (`taxdisk_agent::link::session`, `taxdisk_agent::core`), simulated disks, merchants and administrators,
//! over a network, drives and cables that fail. Everything that happens follows from a seed, so that a failure happens again.
//!
//! What is simulated, and not production: the disks and their drivers, the broker's writer and store, the agent's shell and
//! journal file, the sockets. What it does not show is told in docs/proof.md.
//!
//! Read first: [`run`], [`knobs::Knobs`], `world`, `oracle`.

mod broker;
pub mod dice;
pub mod disk;
mod faults;
pub mod knobs;
mod oracle;
mod pc;
pub mod people;
pub mod plants;
pub mod store;
pub mod trace;
mod wire;
mod world;

use std::panic::AssertUnwindSafe;

use taxdisk_protocol::ids::JobKey;

use knobs::Knobs;
use trace::{Line, Trace};
pub use world::Violation;

/// How a world ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was wrong, if something was.
    pub violation: Option<Violation>,
    /// Serial numbers that were handed in.
    pub lives: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// Hash over everything that happened.
    pub hash: u64,
    /// Counters, and lines where they were asked for.
    pub trace: Trace,
}

/// Runs the world of these knobs to its end.
pub fn run(knobs: &Knobs, keeps_lines: bool) -> Outcome {
    let mut world = world::World::new(knobs.clone(), keeps_lines);
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| world.run()));
    if let Err(panic) = ran {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        world.violate("panic", None, text);
    }
    Outcome {
        violation: world.violation.clone(),
        lives: world.people.sales.len() as u64,
        virtual_ms: world.now,
        hash: world.trace.hash(),
        trace: world.trace,
    }
}

/// The smallest world found in which the same invariant breaks.
pub fn minimize(knobs: &Knobs, tries: u32) -> Knobs {
    let Some(broken) = run(knobs, false).violation.map(|violation| violation.invariant) else { return knobs.clone() };
    let (mut best, mut left) = (knobs.clone(), tries);
    'again: loop {
        for smaller in best.smaller() {
            // Another seed under smaller knobs often shows the same sooner.
            for offset in 0..4_u64 {
                if left == 0 {
                    return best;
                }
                left -= 1;
                let candidate = Knobs { seed: smaller.seed.wrapping_add(offset * 0x1_0000_0000), ..smaller.clone() };
                if run(&candidate, false).violation.is_some_and(|violation| violation.invariant == broken) {
                    best = candidate;
                    continue 'again;
                }
            }
        }
        return best;
    }
}

/// The time line of one job: its own lines, and every fault.
pub fn time_line(lines: &[Line], job: Option<&JobKey>) -> String {
    let serial = job.map(|key| key.serial.to_string());
    let about = |line: &&Line| {
        line.lane == trace::Lane::Fault
            || serial.as_ref().is_none_or(|serial| {
                // `S1` is not `S12`.
                line.text
                    .match_indices(serial.as_str())
                    .any(|(at, found)| !line.text[at + found.len()..].starts_with(|next: char| next.is_ascii_digit()))
            })
    };
    lines.iter().filter(about).map(|line| format!("{line}\n")).collect()
}
