//! `cargo xtask bench`: starts the measurements of the tests crate on release binaries, and with `--record` publishes what they
//! saw: a file of docs/bench, pictures of it, and its part of docs/performance.md.

use clap::{Args, ValueEnum};

mod build;
mod picture;
mod record;

use crate::{needs, workspace};
use record::Record;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Which measurements.
    which: Which,
    /// Write docs/bench/NAME.json, its pictures, and its part of docs/performance.md.
    #[arg(long)]
    record: bool,
    /// Handed on to the measurement, behind `--`: `--rounds 5`, `--only "end to end"`, `--without-peers`, `--agents 10000`, `--plain`,
    /// `--jobs 1000000`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// Memory of an agent at rest, what the whole path adds to a disk, and how busy it keeps slow ones.
    First,
    /// Accepts and jobs a second of the broker over both stores, beside the machine's limits and the queues that are installed.
    Broker,
    /// What a job costs behind millions of finished jobs and beside thousands of idle agents, and how soon a broker starts.
    Growth,
    /// The paths of every job one by one: how often a second, and how many allocations.
    Hot,
    /// Many idle agents on one broker: memory of a link, and the time until all are back after a kill.
    Links,
    /// Signed requests at a steady rate into portal, broker, agents and simulated disks.
    Portal,
    /// Start of a broker whose ledger holds millions of finished jobs.
    Restart,
    /// Every page of the broker's console and every list of its API over a ledger of a million jobs.
    Console,
    /// How long the programs take to build from nothing, and how large they are.
    Build,
}

/// What must be built, and which program measures it.
struct Plan {
    packages: &'static [&'static str],
    /// An example of the broker that fills a ledger.
    filler: Option<&'static str>,
    binary: &'static str,
}

impl Which {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn plan(self) -> Option<Plan> {
        let (packages, filler, binary): (&[&str], _, _) = match self {
            Which::First => (&["taxdisk-broker", "taxdisk-agent", "taxdisk"], None, "bench_first"),
            Which::Broker => (&["taxdisk-broker"], None, "bench_broker"),
            Which::Growth => (&["taxdisk-broker"], Some("finished_jobs"), "bench_growth"),
            Which::Hot => (&[], None, "hot"),
            Which::Links => (&["taxdisk-broker"], None, "bench_links"),
            Which::Portal => (&["taxdisk-broker", "taxdisk-agent", "taxdisk-portal"], None, "bench_portal"),
            Which::Restart => (&["taxdisk-broker"], Some("finished_jobs"), "bench_restart"),
            Which::Console => (&["taxdisk-broker"], Some("mixed_jobs"), "bench_console"),
            Which::Build => return None,
        };
        Some(Plan { packages, filler, binary })
    }
}

/// Builds the release binaries and runs the measurements, which print their own figures.
///
/// # Errors
/// A build fails, a figure is beyond its bound, or what was seen cannot be written down.
pub(crate) fn run(args: &BenchArgs) -> Result<(), String> {
    let name = args.which.name();
    let Some(plan) = args.which.plan() else {
        let seen = build::measure()?;
        return if args.record { seen.publish(&name, &command(&name, &args.options)) } else { Ok(()) };
    };
    if matches!(args.which, Which::Broker) {
        needs::programs(&[needs::POSTGRES])?;
    }
    if !plan.packages.is_empty() {
        let mut build = vec!["build", "--release"];
        plan.packages.iter().for_each(|package| build.extend(["-p", package]));
        workspace::run(workspace::cargo(&build))?;
    }
    if let Some(filler) = plan.filler {
        workspace::run(workspace::cargo(&["build", "--release", "-p", "taxdisk-broker", "--example", filler]))?;
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let seen = folder.path().join("seen.json");
    let mut bench = workspace::cargo(&["run", "--release", "-p", "taxdisk-tests", "--bin", plan.binary, "--"]);
    bench.args(&args.options).env("TAXDISK_TEST_BINARIES", workspace::target().join("release"));
    bench.env("TAXDISK_TEST_RECORD", &seen);
    workspace::run(bench)?;
    if args.record { Record::read(&seen)?.publish(&name, &command(&name, &args.options)) } else { Ok(()) }
}

/// The command that makes the same figures again.
fn command(name: &str, options: &[String]) -> String {
    // A folder of this machine says nothing to others.
    let option = |option: &String| if option.contains('/') { " FOLDER".to_owned() } else { format!(" {option}") };
    let options: String = options.iter().map(option).collect();
    let behind = if options.is_empty() { "" } else { " --" };
    format!("cargo xtask bench {name} --record{behind}{options}")
}
