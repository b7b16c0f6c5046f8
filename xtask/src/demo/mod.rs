//! `cargo xtask demo`: real orders become invoices on a simulated tax disk, through the programs as they are shipped.
//!
//! The simulated disk stands behind a real pseudo-terminal, so that the agent's serial line is the real one. At the end the
//! disk's own ledger is compared with the broker's list: the disk knows nothing of serial numbers, so it cannot be talked
//! into agreeing.

mod broker;
mod compare;
mod faults;
mod portal;
mod site;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::{needs, workspace};
use site::Site;

/// The seller of the demonstration, as the simulated disk has him inside.
pub(crate) const SELLER: &str = "91110000MA0000001L";
/// His name.
pub(crate) const SELLER_NAME: &str = "示例商贸有限公司";
/// The sample.
const ORDERS: &str = "demo/northwind-orders.jsonl";

/// How the demonstration runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// How many orders: a number, or `all` (830).
    #[arg(long, default_value = "50", value_parser = orders, value_name = "N|all")]
    orders: Orders,
    /// Keep everything in this folder, and go on with what is there. Left out: a temporary folder.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Leave broker, agent, portal and disk running.
    #[arg(long)]
    keep: bool,
    /// Kill the agent (kill -9) every so often and start it again, such as 5s.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    kill_agent_every: Option<Duration>,
    /// Pull the disk every so often and plug it in again a second later, such as 7s.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    unplug_every: Option<Duration>,
    /// How long the disk signs one invoice.
    #[arg(long, default_value_t = 20, value_name = "MS")]
    issue_time_ms: u64,
    /// The most lines of one invoice, of a disk that is made now. One order of the sample has 25.
    #[arg(long, default_value_t = 10, value_name = "N")]
    max_lines: u16,
    /// Write letters that GBK lacks with letters that it has. Without it the disk cannot express some of the customers' names.
    #[arg(long)]
    transliterate: bool,
}

/// Steers the disk of a demonstration that was kept.
#[derive(Debug, Args)]
pub(crate) struct DiskArgs {
    /// What to do.
    action: DiskAction,
    /// Folder of the demonstration.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DiskAction {
    /// Pull the disk out.
    Unplug,
    /// Plug it in again.
    Replug,
}

/// Runs the demonstration.
///
/// # Errors
/// A program fails, an order that a disk can express is not issued, or disk and broker differ.
pub(crate) fn run(args: &DemoArgs) -> Result<(), String> {
    needs::programs(&[needs::COMPILER])?;
    let started = Instant::now();
    step("Building broker, agent, portal and command line");
    workspace::run(workspace::cargo(&[
        "build",
        "-p",
        "taxdisk-broker",
        "-p",
        "taxdisk-agent",
        "-p",
        "taxdisk-portal",
        "-p",
        "taxdisk",
    ]))?;
    let built_s = started.elapsed().as_secs();

    let mut site = Site::prepare(args)?;
    let stop = site.on_interrupt();
    let result = play(args, &mut site, &stop);
    if stop.load(Ordering::SeqCst) {
        site.end();
        return Err("Interrupted; everything that was started is ended.".to_owned());
    }
    match &result {
        Ok(()) => {
            println!("Built in {built_s} s; in all {} s.", started.elapsed().as_secs());
            next_steps(args, &site);
            if args.keep {
                site.leave();
                return result;
            }
        }
        Err(_) => eprintln!("{}", site.last_words()),
    }
    site.end();
    result
}

fn play(args: &DemoArgs, site: &mut Site, stop: &AtomicBool) -> Result<(), String> {
    step("Starting a broker with a ledger in SQLite");
    site.start_broker()?;
    println!("  {} (log: {})", site.url(), site.path("broker.log").display());
    step("Starting a simulated tax disk behind a pseudo-terminal, and one behind its maker's component");
    site.start_disk()?;
    site.start_electronic_disk()?;
    println!("  {}", site.path("disk.tty").display());
    step("Creating the seller and enrolling an agent with a single-use code");
    site.enroll()?;
    site.start_agent()?;
    broker::wait_for_disks(site, stop)?;

    let count = args.orders.0.map_or("all".to_owned(), |count| format!("the first {count}"));
    step(&format!("Importing {count} of the 830 sample orders as roll invoices (kind 025)"));
    let imported = {
        let faults = faults::start(args.kill_agent_every, args.unplug_every, site);
        let imported = import(args, site, stop);
        let told = faults.end();
        if !told.is_empty() {
            println!("{told}");
        }
        imported?
    };
    if stop.load(Ordering::SeqCst) {
        return Err("Interrupted.".to_owned());
    }
    // Electronic ones are of the other disk; there are some where an earlier run is gone on with.
    let mut jobs = broker::jobs(site)?;
    jobs.retain(|job| job.kind == "025");
    println!("\n{}", compare::table(&jobs));
    println!("{}", imported.trim_end());
    println!("{}", compare::with_disk(&jobs, &site.path("disk"))?);

    step("Starting the portal: a merchant's system sends orders as it would to a tax cloud");
    site.start_portal()?;
    println!("  {} (log: {})", site.portal_url()?, site.path("portal.log").display());
    println!("{}", portal::play(site, stop)?);
    Ok(())
}

/// Runs the importer as a person would; its report comes back, its progress bar is seen.
fn import(args: &DemoArgs, site: &mut Site, stop: &AtomicBool) -> Result<String, String> {
    let mut command = Command::new(workspace::binary("taxdisk"));
    command.current_dir(workspace::root()).args(import_arguments(args)).envs(site.client_environment());
    let status = site.run_to_end("import", command, "import.txt", stop)?;
    let report = std::fs::read_to_string(site.path("import.txt")).unwrap_or_default();
    // 1: some orders were refused. The report names them; the comparison below judges the rest.
    match status.code() {
        Some(0 | 1) if !report.is_empty() => Ok(report),
        _ => Err(format!("The import failed ({status}).\n{report}")),
    }
}

fn import_arguments(args: &DemoArgs) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["job", "import", ORDERS, "--map", "northwind", "--seller", SELLER, "--wait"].map(str::to_owned).to_vec();
    if let Some(count) = args.orders.0 {
        arguments.extend(["--limit".to_owned(), count.to_string()]);
    }
    if args.transliterate {
        arguments.push("--transliterate".to_owned());
    }
    arguments
}

fn next_steps(args: &DemoArgs, site: &Site) {
    if !args.keep {
        println!("\nEverything is ended again. `cargo xtask demo --keep` leaves it running to be played with.");
        println!("`cargo xtask demo --orders all --transliterate --kill-agent-every 5s --unplug-every 7s` shows the safety.");
        return;
    }
    let state = site.dir().display();
    println!("\nThe broker runs at {}. What to try next:", site.url());
    println!("  export {}", site.client_environment().map(|(name, value)| format!("{name}={value}")).join(" "));
    println!("Submit the same orders again: nothing is issued twice.");
    println!("  {} {}", workspace::binary("taxdisk").display(), import_arguments(args).join(" "));
    println!("Look at a job and at the disk:");
    println!("  {} job show {SELLER} NW10248", workspace::binary("taxdisk").display());
    println!("  {} disk list", workspace::binary("taxdisk").display());
    println!("Pull the disk, submit more, plug it in again:");
    println!("  cargo xtask demo-disk unplug --state {state}");
    println!("  cargo xtask demo-disk replug --state {state}");
    if let Some((agent, command)) = site.agent_process() {
        println!("Kill the agent in the middle of it, and start it again:");
        println!("  kill -9 {agent}");
        println!("  {command}");
    }
    println!("End everything:");
    println!("  kill {}", site.processes().iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
}

/// Pulls or plugs the disk of a demonstration that was kept.
///
/// # Errors
/// There is none in that folder.
pub(crate) fn disk(args: &DiskArgs) -> Result<(), String> {
    let (request, told) = match args.action {
        DiskAction::Unplug => (faults::UNPLUG, "The disk is pulled."),
        DiskAction::Replug => (faults::REPLUG, "The disk is plugged in."),
    };
    faults::ask_disk(&args.state.join("disk.sock"), request)?;
    println!("{told}");
    Ok(())
}

fn step(text: &str) {
    println!("▸ {text}");
}

/// How many orders; `None` is all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Orders(Option<u64>);

fn orders(text: &str) -> Result<Orders, String> {
    if text == "all" {
        return Ok(Orders(None));
    }
    match text.parse() {
        Ok(count) if count > 0 => Ok(Orders(Some(count))),
        _ => Err("a number above 0 or `all` is expected".to_owned()),
    }
}

/// `5s` or `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let (digits, millis) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => (text, 1000),
    };
    match digits.parse::<u64>() {
        Ok(count) if count > 0 && count < 1_000_000 => Ok(Duration::from_millis(count * millis)),
        _ => Err("a time such as 5s or 500ms is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_are_read_as_people_write_them() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("0s").is_err() && duration("five").is_err());
        assert_eq!((orders("all"), orders("7")), (Ok(Orders(None)), Ok(Orders(Some(7)))));
        assert!(orders("0").is_err());
    }
}
