//! `cargo xtask bench first`: starts the measurements of the tests crate on release binaries.

use clap::{Args, ValueEnum};

use crate::workspace;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Which measurements.
    which: Which,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// Size of the agent at rest, and what the whole path adds to a disk.
    First,
}

/// Builds the release binaries and runs the measurements, which print their own figures.
///
/// # Errors
/// A build fails, or a figure is beyond its bound.
pub(crate) fn run(args: &BenchArgs) -> Result<(), String> {
    let Which::First = args.which;
    workspace::run(workspace::cargo(&["build", "--release", "-p", "taxdisk-broker", "-p", "taxdisk-agent", "-p", "taxdisk"]))?;
    let mut bench = workspace::cargo(&["run", "--release", "-p", "taxdisk-tests", "--bin", "bench_first"]);
    bench.env("TAXDISK_TEST_BINARIES", workspace::target().join("release"));
    workspace::run(bench)
}
