//! `cargo xtask sim`: the deterministic simulation of the tests crate, on an optimised program with planted faults built in.

use clap::Args;

use crate::workspace;

/// What is handed on to the program `sim`; `cargo xtask sim -- --help` lists it.
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// As the development build is: slower, and built sooner.
    #[arg(long)]
    debug: bool,
    /// `--seeds N`, `--from S`, `--seed S`, `--line SERIAL`, `--minimize`, `--plant NAME`, `--plants`, `--record`,
    /// `--keep-going`, `--first`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Builds the program and runs it.
///
/// # Errors
/// The build fails; an invariant is broken in a seed, or a rare state was never reached.
pub(crate) fn run(args: &SimArgs) -> Result<(), String> {
    let commit = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(workspace::root()).output();
    let commit = commit.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let features = ["--features", "taxdisk-agent/fault-points,taxdisk-broker/fault-points"];
    let mut sim = workspace::cargo(&["run", "--quiet", "-p", "taxdisk-tests", "--bin", "sim"]);
    if !args.debug {
        sim.arg("--release");
    }
    sim.args(features).args(["--", "--commit", commit.trim()]).args(&args.options);
    workspace::run(sim)
}
