//! The first process of the guest that `cargo xtask vm` boots: makes a bare Linux usable, runs the checks (two lists side by
//! side that share no device, then what needs the machine for itself), says what came of them in the words of cargo's own
//! tests, and switches the machine off.
//!
//! It refuses to run as anything but the first process: it mounts, loads modules and powers off.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

mod bus;
mod checks;
mod devices;
mod import;
mod machine;
mod modem;
mod outlet;
mod product;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("This is the first process of a test machine: run `cargo xtask vm`.");
        return ExitCode::FAILURE;
    }
    let started = Instant::now();
    let made = machine::prepare();
    let only = machine::argument("taxdisk.only");
    let mut counts = Counts::default();
    match &made {
        Err(error) => {
            println!("test the_machine_is_ready ... FAILED\n{error}");
            counts.failed += 1;
        }
        Ok(()) => {
            let only = only.as_deref();
            std::thread::scope(|scope| {
                let lists = checks::SIDE_BY_SIDE.map(|list| scope.spawn(move || run(list, only)));
                for list in lists {
                    counts.add(list.join().unwrap());
                }
            });
            counts.add(run(checks::ALONE, only));
        }
    }
    let Counts { passed, failed, filtered } = counts;
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {filtered} filtered out; finished in {:.2}s",
        started.elapsed().as_secs_f64()
    );
    machine::power_off()
}

/// What came of the checks.
#[derive(Default)]
struct Counts {
    passed: u32,
    failed: u32,
    filtered: u32,
}

impl Counts {
    fn add(&mut self, more: Counts) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.filtered += more.filtered;
    }
}

fn run(list: &[checks::Check], only: Option<&str>) -> Counts {
    let mut counts = Counts::default();
    for (name, check) in list {
        if only.is_some_and(|part| !name.contains(part)) {
            counts.filtered += 1;
            continue;
        }
        let begun = Instant::now();
        // The message of a panic goes to the console by itself.
        let good = catch_unwind(AssertUnwindSafe(check)).is_ok();
        *if good { &mut counts.passed } else { &mut counts.failed } += 1;
        println!("test {name} ... {} ({} ms)", if good { "ok" } else { "FAILED" }, begun.elapsed().as_millis());
    }
    counts
}
