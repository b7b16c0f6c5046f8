//! The first process of the guest that `cargo xtask vm` boots: makes a bare Linux usable, runs the checks one after the
//! other, says what came of them in the words of cargo's own tests, and switches the machine off.
//!
//! It refuses to run as anything but the first process: it mounts, loads modules and powers off.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

mod checks;
mod devices;
mod machine;

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
    let (mut passed, mut failed, mut filtered) = (0, 0, 0);
    if let Err(error) = &made {
        println!("test the_machine_is_ready ... FAILED\n{error}");
        failed += 1;
    }
    let checks = if made.is_ok() { checks::ALL } else { &[] };
    for (name, check) in checks {
        if only.as_deref().is_some_and(|part| !name.contains(part)) {
            filtered += 1;
            continue;
        }
        let begun = Instant::now();
        // The message of a panic goes to the console by itself.
        let good = catch_unwind(AssertUnwindSafe(check)).is_ok();
        *if good { &mut passed } else { &mut failed } += 1;
        println!("test {name} ... {} ({} ms)", if good { "ok" } else { "FAILED" }, begun.elapsed().as_millis());
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {filtered} filtered out; finished in {:.2}s",
        started.elapsed().as_secs_f64()
    );
    machine::power_off()
}
