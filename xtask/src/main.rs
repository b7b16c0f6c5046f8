//! Chores of the workspace: `cargo xtask demo`, `cargo xtask test` and the rest. `cargo xtask help` lists them.
//!
//! Nothing here is shipped. It starts cargo, the programs of this workspace, and systemd's checkers; it ends only what it
//! started itself, by its process id.
#![forbid(unsafe_code)]

mod advisories;
mod bench;
mod demo;
mod dialect;
mod fuzz;
mod needs;
mod packages;
mod release;
mod reproducible;
mod rungs;
mod sbom;
mod schemes;
mod sign;
mod sim;
mod surface;
mod tidy;
mod vm;
mod windows;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of taxdisk.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = false)]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Issue real sample orders on a simulated tax disk, through broker and agent.
    Demo(demo::DemoArgs),
    /// Pull or plug the simulated disk of a demonstration that was kept running.
    DemoDisk(demo::DiskArgs),
    /// Run every lint and test, in order, within their budgets of time.
    Test(rungs::TestArgs),
    /// Run what is too long for `test`; its dated figures go to docs/proof.md.
    TestLong(rungs::LongArgs),
    /// Kill, stop and starve broker and agent for minutes, and look at the disk's ledger (`test-long torture`).
    Torture(rungs::TortureArgs),
    /// Simulate whole worlds of broker, agents, disks and faults, each from its seed.
    Sim(sim::SimArgs),
    /// Run the fuzz targets of the parsers; their dated figures go to docs/proof.md.
    Fuzz(fuzz::FuzzArgs),
    /// Check files for what no other tool looks at.
    Tidy,
    /// Run the drivers against real USB and tty drivers of Linux, in a virtual machine.
    Vm(vm::VmArgs),
    /// Write the beginning of a driver for another command language.
    NewDialect(dialect::DialectArgs),
    /// Write the pictures of docs/images anew, by the tests in a browser.
    Screenshots,
    /// Measure.
    Bench(bench::BenchArgs),
    /// List every call and page that others reach, with what it needs.
    AuditSurface(surface::SurfaceArgs),
    /// Write what the shipped programs are made of (CycloneDX).
    Sbom(sbom::SbomArgs),
    /// Look up what the programs are made of in the database of known weaknesses (RustSec), by cargo-deny.
    Advisories,
    /// Build the release programs twice, in two places, and compare them byte for byte.
    Reproducible(reproducible::ReproducibleArgs),
    /// Pack the programs as Debian packages, and as an archive with an installer, into target/packages.
    Deb(packages::DebArgs),
    /// Build the agent for Windows on Debian, and try it under Wine.
    Windows(windows::WindowsArgs),
    /// Build the release binaries of a tag into target/releases/TAG, and sign the agent for updates.
    Release(release::ReleaseArgs),
}

fn main() -> ExitCode {
    let done = match Args::parse().chore {
        Chore::Demo(args) => demo::run(&args),
        Chore::DemoDisk(args) => demo::disk(&args),
        Chore::Test(args) => rungs::test(&args),
        Chore::TestLong(args) => rungs::test_long(&args),
        Chore::Torture(args) => rungs::test_long(&args.long()),
        Chore::Sim(args) => sim::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Tidy => tidy_here(),
        Chore::Vm(args) => vm::run(&args),
        Chore::NewDialect(args) => dialect::run(&args),
        Chore::Screenshots => rungs::screenshots(),
        Chore::Bench(args) => bench::run(&args),
        Chore::AuditSurface(args) => surface::run(&args),
        Chore::Sbom(args) => sbom::run(&args),
        Chore::Advisories => advisories::run(),
        Chore::Reproducible(args) => reproducible::run(&args),
        Chore::Deb(args) => packages::run(&args),
        Chore::Windows(args) => windows::run(&args),
        Chore::Release(args) => release::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn tidy_here() -> Result<(), String> {
    let report = tidy::check(&workspace::root());
    println!("{}", report.summary());
    if report.breaches.is_empty() { Ok(()) } else { Err(report.breaches.join("\n")) }
}
