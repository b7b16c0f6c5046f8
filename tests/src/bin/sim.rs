//! Runs seeds of the simulation and says what was reached; see `cargo xtask sim --help`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use taxdisk_tests::sim::knobs::Knobs;
use taxdisk_tests::sim::{run, time_line};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let from: u64 = arguments.next().map_or(0, |text| text.parse().unwrap());
    let count: u64 = arguments.next().map_or(1, |text| text.parse().unwrap());
    let began = std::time::Instant::now();
    let mut lives = 0;
    for seed in from..from + count {
        let knobs = Knobs::of(seed);
        let outcome = run(&knobs, false);
        lives += outcome.lives;
        if let Some(violation) = &outcome.violation {
            println!("seed {seed}: {violation:?}\n{knobs:?}");
            if count == 1 {
                let outcome = run(&knobs, true);
                println!("{}", time_line(&outcome.trace.lines.unwrap(), violation.job.as_ref()));
            }
        }
    }
    println!("{lives} lives in {:?}", began.elapsed());
}
