//! `cargo xtask test-long`: long forms of tests that the ladder has, and tests that need more than it has. Each run is entered in
//! docs/proof.md.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::{FAULT_POINTS, Filtered, Outcome, is_good, run_tests};
use crate::{needs, packages, release, windows, workspace};

/// Which long run.
#[derive(Debug, Args)]
pub(crate) struct LongArgs {
    /// Run only this one; left out: all.
    name: Option<String>,
    /// What this run is told in addition.
    #[arg(skip)]
    more: Vec<(&'static str, String)>,
}

/// For how long.
#[derive(Debug, Args)]
pub(crate) struct TortureArgs {
    /// Minutes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: u32,
}

impl TortureArgs {
    /// The long run that does it.
    pub(crate) fn long(&self) -> LongArgs {
        LongArgs { more: vec![("TAXDISK_TEST_TORTURE_MINUTES", self.minutes.to_string())], ..LongArgs::of("torture") }
    }
}

impl LongArgs {
    /// This long run alone.
    pub(crate) fn of(name: &str) -> LongArgs {
        LongArgs { name: Some(name.to_owned()), more: Vec::new() }
    }
}
/// Runs what is too long for every day.
///
/// # Errors
/// One failed, or there is none of that name.
pub(crate) fn test_long(args: &LongArgs) -> Result<(), String> {
    needs::programs(&[needs::COMPILER, needs::POSTGRES])?;
    let chosen: Vec<&Long> = LONG.iter().filter(|long| args.name.as_deref().is_none_or(|name| name == long.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = LONG.iter().map(|long| long.name).collect();
        return Err(format!("There is no such long run; there are: {}.", names.join(", ")));
    }
    workspace::run(workspace::cargo(&[&["build", "--workspace", "--all-targets"], FAULT_POINTS.as_slice()].concat()))?;
    let mut failed = Vec::new();
    for long in chosen {
        needs::programs(long.programs)?;
        if long.binary == "browser" {
            needs::browser()?;
        }
        let made = long.made.make()?;
        let started = Instant::now();
        let mut command = workspace::cargo(&[&["test", "--workspace", "--test", long.binary], FAULT_POINTS.as_slice()].concat());
        command.args(["--", "--nocapture", long.test]).envs(long.env.iter().copied());
        command.envs(made).envs(args.more.iter().map(|(name, value)| (name, value)));
        let outcome = run_tests(vec![command], Duration::from_secs(long.budget_s), Filtered::IsMeant, "");
        let seconds = started.elapsed().as_secs();
        let result = if is_good(&outcome) { "passed" } else { "FAILED" };
        println!("{}: {result}, {} tests, {seconds} s", long.name, outcome.passed);
        note_long(&workspace::root().join("docs/proof.md"), long, &outcome, seconds)?;
        if !is_good(&outcome) {
            failed.push(format!("{}: {}", long.name, outcome.trouble.join("; ")));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// A test of the tests crate in its long form.
struct Long {
    name: &'static str,
    /// Test binary of the tests crate.
    binary: &'static str,
    /// Module of it.
    test: &'static str,
    /// What it needs beside PostgreSQL.
    programs: &'static [(&'static str, &'static str)],
    /// What is made for it first.
    made: Made,
    /// For the table.
    size: &'static str,
    /// What makes the test long.
    env: &'static [(&'static str, &'static str)],
    budget_s: u64,
}

/// What a long run needs beside the programs.
enum Made {
    Nothing,
    /// The programs of the version before this one.
    Previous,
    /// Packages of two versions, a clean Debian, and the programs of the version before this one.
    Packages,
    /// The agent for Windows.
    Windows,
    /// What makes calls out of the API's description.
    Schemathesis,
}

impl Made {
    /// Makes it; gives the variables that name it.
    fn make(&self) -> Result<Vec<(&'static str, PathBuf)>, String> {
        Ok(match self {
            Made::Nothing => Vec::new(),
            Made::Previous => vec![("TAXDISK_TEST_PREVIOUS", release::previous()?)],
            Made::Packages => {
                let (packages, debian) = packages::for_test()?;
                let previous = ("TAXDISK_TEST_PREVIOUS", release::previous()?);
                vec![("TAXDISK_TEST_PACKAGES", packages), ("TAXDISK_TEST_DEBIAN", debian), previous]
            }
            Made::Schemathesis => {
                needs::schemathesis()?;
                Vec::new()
            }
            Made::Windows => windows::for_test()?,
        })
    }
}

/// The long runs: long forms of tests that `cargo xtask test` runs too, and those that need more than the ladder has.
const LONG: [Long; 14] = [
    Long {
        name: "torture",
        binary: "long",
        test: "torture::",
        programs: &[needs::FAKETIME],
        made: Made::Nothing,
        size: "ten minutes of kills, stops, a full and a read-only drive, jumping clocks, no file descriptors",
        env: &[("TAXDISK_TEST_TORTURE_MINUTES", "10")],
        budget_s: 3600,
    },
    Long {
        name: "api",
        binary: "long",
        test: "api::",
        programs: &[],
        made: Made::Schemathesis,
        size: "calls made out of the API's description, good and bad, 100 for each; then a job is issued",
        env: &[("TAXDISK_TEST_API_EXAMPLES", "100")],
        budget_s: 1800,
    },
    Long {
        name: "windows",
        binary: "long",
        test: "windows::",
        programs: &[needs::WINE],
        made: Made::Windows,
        size: "the agent for Windows under Wine: 100 jobs over COM and over SKServer, 61 kills at points, bridge, service, MSI",
        env: &[("TAXDISK_TEST_WINDOWS_JOBS", "100"), ("TAXDISK_TEST_WINDOWS_ROUNDS", "6")],
        budget_s: 1800,
    },
    Long {
        name: "power",
        binary: "power",
        test: "",
        programs: &[needs::STRACE],
        made: Made::Nothing,
        size: "10,000 losses of power in a recording of each: a journal, one that is being made, a ledger, a portal's store",
        env: &[("TAXDISK_TEST_POWER_CUTS", "10000")],
        budget_s: 1800,
    },
    Long {
        name: "kill-at-random",
        binary: "end_to_end",
        test: "kill::",
        programs: &[],
        made: Made::Nothing,
        size: "200 kills of the agent, 100 of the broker",
        env: &[("TAXDISK_TEST_AGENT_KILLS", "200"), ("TAXDISK_TEST_BROKER_KILLS", "100")],
        budget_s: 4 * 3600,
    },
    Long {
        name: "portal",
        binary: "end_to_end",
        test: "portal_storm::",
        programs: &[],
        made: Made::Nothing,
        size: "1,000 requests with repeats; portal, broker and agent killed",
        env: &[("TAXDISK_TEST_STORM_REQUESTS", "1000"), ("TAXDISK_TEST_STORM_KILLS", "150")],
        budget_s: 3600,
    },
    Long {
        name: "browser",
        binary: "browser",
        test: "",
        programs: &[],
        made: Made::Nothing,
        size: "every walk in both languages at both widths",
        env: &[("TAXDISK_TEST_EVERYWHERE", "1")],
        budget_s: 1800,
    },
    Long {
        name: "fleet",
        binary: "end_to_end",
        test: "fleet::three_brokers",
        programs: &[],
        made: Made::Nothing,
        size: "3 brokers, PostgreSQL, 200 agents, 20,000 jobs",
        env: &[
            ("TAXDISK_TEST_FLEET_AGENTS", "200"),
            ("TAXDISK_TEST_FLEET_JOBS", "20000"),
            ("TAXDISK_TEST_FLEET_TURNS", "40"),
            ("TAXDISK_TEST_FLEET_PAUSE_MS", "2400"),
        ],
        budget_s: 2 * 3600,
    },
    Long {
        name: "updates",
        binary: "end_to_end",
        test: "updates::",
        programs: &[],
        made: Made::Nothing,
        size: "versions that do not end by themselves have their whole minute",
        env: &[("TAXDISK_TEST_TRIAL_MS", "60000")],
        budget_s: 1200,
    },
    Long {
        name: "patroni",
        binary: "long",
        test: "patroni::",
        programs: &[needs::PATRONI, needs::ETCD],
        made: Made::Nothing,
        size: "3 servers, the primary killed 6 times under 20 agents and 2,000 jobs",
        env: &[],
        budget_s: 3600,
    },
    Long {
        name: "upgrade",
        binary: "long",
        test: "upgrade::",
        programs: &[],
        made: Made::Previous,
        size: "from the previous version: broker first, agents first, both over a crash",
        env: &[],
        budget_s: 3600,
    },
    Long {
        name: "model",
        binary: "model",
        test: "",
        programs: &[],
        made: Made::Nothing,
        size: "one, two and three jobs; breaks, crashes and moves, exhaustively",
        env: &[("TAXDISK_TEST_MODEL", "full")],
        budget_s: 1800,
    },
    Long {
        name: "network",
        binary: "network",
        test: "",
        programs: &[],
        made: Made::Nothing,
        size: "2,000 worlds of hub and agents over a network that breaks, in virtual time",
        env: &[("TAXDISK_TEST_NETWORK_SEEDS", "2000")],
        budget_s: 3600,
    },
    Long {
        name: "packages",
        binary: "long",
        test: "packages::",
        programs: &[needs::DPKG, needs::DEBOOTSTRAP],
        made: Made::Packages,
        size: "four Debian packages in a clean Debian: installed, used, upgraded, removed, purged; data of the version before",
        env: &[],
        budget_s: 900,
    },
];

/// Heading of the section of docs/proof.md that long runs are entered in.
const LONG_HEADING: &str = "## Long runs";

/// Enters a long run with its day under the heading; the line of the run before it goes.
fn note_long(file: &Path, long: &Long, outcome: &Outcome, seconds: u64) -> Result<(), String> {
    let old = std::fs::read_to_string(file).unwrap_or_default();
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let result = if is_good(outcome) { "passed" } else { "failed" };
    let row = format!("| {} | {day} | {result} | {} | {} | {seconds} |", long.name, long.size, outcome.passed);
    std::fs::write(file, with_long_row(&old, long.name, &row)).map_err(|error| format!("{}: {error}", file.display()))
}

/// Enters what another chore ran for long.
///
/// # Errors
/// The page cannot be written.
pub(crate) fn note(name: &str, result: &str, size: &str, tests: &str, seconds: u64) -> Result<(), String> {
    let file = workspace::root().join("docs/proof.md");
    let old = std::fs::read_to_string(&file).unwrap_or_default();
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let row = format!("| {name} | {day} | {result} | {size} | {tests} | {seconds} |");
    std::fs::write(&file, with_long_row(&old, name, &row)).map_err(|error| format!("{}: {error}", file.display()))
}

fn with_long_row(old: &str, name: &str, row: &str) -> String {
    let mut text = if old.contains(LONG_HEADING) {
        old.to_owned()
    } else {
        let head = "| run | day | result | size | tests | seconds |\n|---|---|---|---|---|---|\n";
        format!(
            "{}{LONG_HEADING}\n\nWritten by `cargo xtask test-long` and `cargo xtask fuzz`.\n\n{head}",
            if old.is_empty() { String::new() } else { format!("{old}\n") }
        )
    };
    let start = format!("| {name} |");
    if let Some(line) = text.lines().find(|line| line.starts_with(&start)).map(str::to_owned) {
        return text.replace(&line, row);
    }
    let after = text.rfind("|---|\n").map_or(text.len(), |at| at + "|---|\n".len());
    text.insert_str(after, &format!("{row}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_replaces_its_own_line_and_no_other() {
        let first = with_long_row("# Proof\n", "a", "| a | 1 |");
        let second = with_long_row(&first, "b", "| b | 1 |");
        let third = with_long_row(&second, "a", "| a | 2 |");
        assert!(
            third.starts_with("# Proof\n")
                && third.contains("| a | 2 |")
                && third.contains("| b | 1 |")
                && !third.contains("| a | 1 |")
        );
        assert_eq!(third.matches(LONG_HEADING).count(), 1);
    }
}
