//! `cargo xtask bench`: starts the measurements of the tests crate on release binaries.

use clap::{Args, ValueEnum};

use crate::{needs, workspace};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Which measurements.
    which: Which,
    /// Handed on to the measurement: `--rounds 5`, `--only "end to end"`, `--without-peers`, `--agents 10000`, `--plain`, `--jobs 1000000`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// Size of the agent at rest, and what the whole path adds to a disk.
    First,
    /// Accepts and jobs a second of the broker over both stores, beside the queues that are installed here.
    Broker,
    /// Many idle agents on one broker: memory of a link, and the time until all are back after a kill.
    Links,
    /// Signed requests at a steady rate into portal, broker, agents and simulated disks.
    Portal,
    /// Start of a broker whose ledger holds millions of finished jobs.
    Restart,
    /// Every page of the broker's console and every list of its API over a ledger of a million jobs.
    Console,
}

/// Builds the release binaries and runs the measurements, which print their own figures.
///
/// # Errors
/// A build fails, or a figure is beyond its bound.
pub(crate) fn run(args: &BenchArgs) -> Result<(), String> {
    let (packages, binary) = match args.which {
        Which::First => (["taxdisk-broker", "taxdisk-agent", "taxdisk"].as_slice(), "bench_first"),
        Which::Broker => (["taxdisk-broker"].as_slice(), "bench_broker"),
        Which::Links => (["taxdisk-broker"].as_slice(), "bench_links"),
        Which::Portal => (["taxdisk-broker", "taxdisk-agent", "taxdisk-portal"].as_slice(), "bench_portal"),
        Which::Restart => (["taxdisk-broker"].as_slice(), "bench_restart"),
        Which::Console => (["taxdisk-broker"].as_slice(), "bench_console"),
    };
    if matches!(args.which, Which::Broker) {
        needs::programs(&[needs::POSTGRES])?;
    }
    let mut build = vec!["build", "--release"];
    packages.iter().for_each(|package| build.extend(["-p", package]));
    workspace::run(workspace::cargo(&build))?;
    let filler = match args.which {
        Which::Restart => Some("finished_jobs"),
        Which::Console => Some("mixed_jobs"),
        _ => None,
    };
    if let Some(filler) = filler {
        workspace::run(workspace::cargo(&["build", "--release", "-p", "taxdisk-broker", "--example", filler]))?;
    }
    let mut bench = workspace::cargo(&["run", "--release", "-p", "taxdisk-tests", "--bin", binary, "--"]);
    bench.args(&args.options).env("TAXDISK_TEST_BINARIES", workspace::target().join("release"));
    workspace::run(bench)
}
