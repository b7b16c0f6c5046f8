//! Takes one of the paths of every job so often, for whoever counts what that costs; `hot` alone times each of them.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::alloc::System;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use taxdisk_tests::hot::{PATHS, Path, Taken, take};
use taxdisk_tests::load::record::{Record, Row};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A path is taken for so long when it is timed.
const TIME: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;

fn counted(path: &Path, times: u32) -> Taken {
    take(path, times, &mut |once| {
        let region = Region::new(MEMORY);
        let done = once();
        (done, (region.change().allocations + region.change().reallocations) as u64)
    })
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    if let (Some(name), Some(times)) = (arguments.next(), arguments.next()) {
        let path = PATHS.iter().find(|path| path.name == name).expect("a path of that name");
        let Taken { done, allocations } = counted(path, times.parse().unwrap());
        println!("{done} {allocations}");
        return;
    }
    let mut record = Record::default();
    for path in &PATHS {
        let rates: Vec<f64> = (0..ROUNDS).map(|_| rate(path)).collect();
        let taken = counted(path, path.times);
        let allocations = taken.allocations as f64 / taken.done as f64;
        let rate = taxdisk_tests::load::median(rates.clone());
        println!("{:<12} {rate:>10.0} a second, {allocations:>7.0} allocations: {}", path.name, path.what);
        record.rows.push(
            Row::new("Paths of every job, one thread", path.what, "a second", &rates)
                .beside("µs", &[1e6 / rate])
                .beside("allocations", &[allocations]),
        );
    }
    record.leave();
}

fn rate(path: &Path) -> f64 {
    let (mut time, mut done) = (Duration::ZERO, 0);
    while time < TIME {
        let taken = take(path, path.times, &mut |once| {
            let began = Instant::now();
            let done = once();
            time += began.elapsed();
            (done, 0)
        });
        done += taken.done;
    }
    done as f64 / time.as_secs_f64()
}
