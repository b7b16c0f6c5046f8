//! Runs seeds of the simulation and says what was reached; `cargo xtask sim` builds and starts it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use taxdisk_tests::sim::knobs::{Fault, Knobs};
use taxdisk_tests::sim::plants::{PLANTS, plant};
use taxdisk_tests::sim::trace::STATES;
use taxdisk_tests::sim::{Violation, minimize, run, time_line};

/// Tries of `--minimize` at most.
const TRIES: u32 = 3000;
/// Seeds that a planted fault is looked for in at most.
const PLANT_SEEDS: u64 = 4000;

/// Simulate whole worlds of broker, agents, disks, merchants and faults; each follows from its seed.
#[derive(Debug, Parser)]
#[command(name = "sim", bin_name = "cargo xtask sim")]
struct Args {
    /// So many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// Begin at this seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This one seed, with its time line if something is wrong.
    #[arg(long)]
    seed: Option<u64>,
    /// The time line of `--seed` in any case: of one serial number, or `all`.
    #[arg(long, value_name = "SERIAL")]
    line: Option<String>,
    /// Make the world of a failure smaller before it is shown.
    #[arg(long)]
    minimize: bool,
    /// With the kinds of fault of the first simulations only, as seeds of before were.
    #[arg(long)]
    first: bool,
    /// Take out one guard of the production code.
    #[arg(long, value_name = "NAME")]
    plant: Option<String>,
    /// Take out each guard in turn (with `--plant`: that one), and print how many seeds it took to notice.
    #[arg(long)]
    plants: bool,
    /// With `--plants`: these faults on instead of those that a planted fault names, by commas.
    #[arg(long, value_delimiter = ',')]
    with: Vec<String>,
    /// With `--plants`: this guard out too, behind which the others stand.
    #[arg(long, value_name = "NAME")]
    behind: Option<String>,
    /// Append what was reached to docs/proof-runs.jsonl.
    #[arg(long)]
    record: bool,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// The commit, for the record.
    #[arg(long, hide = true, default_value = "unknown")]
    commit: String,
}

/// What a range of seeds came to.
#[derive(Debug, Default)]
struct Tally {
    lives: u64,
    seeds: u64,
    kinds: u64,
    virtual_ms: u64,
    states: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    failures: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic of a simulated world is caught and told as a failure.
    std::panic::set_hook(Box::new(|_| {}));
    if args.plants {
        return plants(&args);
    }
    if let Some(name) = &args.plant {
        let Some(known) = PLANTS.iter().find(|plant| plant.name == name) else {
            eprintln!("there is no planted fault {name}; there are: {}", PLANTS.map(|plant| plant.name).join(", "));
            return ExitCode::from(2);
        };
        if !known.put() {
            eprintln!("this program was built without planted faults");
            return ExitCode::from(2);
        }
    }
    let planted = args.plant.as_ref().and_then(|name| PLANTS.iter().find(|plant| plant.name == name));
    let plain = |seed| if args.first { Knobs::first(seed) } else { Knobs::of(seed) };
    let world = |seed| planted.map_or_else(|| plain(seed), |plant| plant.world(seed));
    if let Some(seed) = args.seed {
        return one(&args, seed, &world(seed));
    }
    let (mut tally, began) = (Tally::default(), Instant::now());
    for seed in args.from..args.from + args.seeds {
        let knobs = world(seed);
        let outcome = run(&knobs, false);
        tally.seeds += 1;
        tally.lives += outcome.lives;
        tally.kinds += knobs.faults.len() as u64;
        tally.virtual_ms += outcome.virtual_ms;
        for (name, count) in &outcome.trace.states {
            *tally.states.entry(name).or_default() += count;
        }
        for (name, count) in &outcome.trace.faults {
            *tally.faults.entry(name).or_default() += count;
        }
        if let Some(violation) = &outcome.violation {
            tally.failures += 1;
            tell(&args, seed, &knobs, violation, !args.keep_going);
            if !args.keep_going {
                return ExitCode::FAILURE;
            }
        }
    }
    let ms = began.elapsed().as_millis().max(1);
    report(&args, &tally, ms)
}

fn one(args: &Args, seed: u64, knobs: &Knobs) -> ExitCode {
    let outcome = run(knobs, args.line.is_some());
    println!("seed {seed}: {} lives, {} virtual s, trace {:016x}", outcome.lives, outcome.virtual_ms / 1000, outcome.hash);
    if let (Some(serial), Some(lines)) = (&args.line, &outcome.trace.lines) {
        let key = format!("{{\"seller\":\"{}\",\"serial\":\"{serial}\"}}", taxdisk_tests::sim::disk::SELLER);
        let key = serde_json::from_str(&key).ok().filter(|_| serial != "all");
        print!("{}", time_line(lines, key.as_ref()));
    }
    match &outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            tell(args, seed, knobs, violation, true);
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong so that it can be seen again.
fn tell(args: &Args, seed: u64, knobs: &Knobs, violation: &Violation, whole: bool) {
    println!(
        "seed {seed}, commit {}: {} is broken after {} ms: {}",
        args.commit, violation.invariant, violation.at_ms, violation.text
    );
    if !whole {
        return;
    }
    let smaller = if args.minimize { minimize(knobs, TRIES) } else { knobs.clone() };
    println!("world: {}", serde_json::to_string(&smaller).unwrap());
    let again = run(&smaller, true);
    let job = again.violation.as_ref().and_then(|violation| violation.job.as_ref());
    if let Some(violation) = again.violation.as_ref().filter(|_| args.minimize) {
        println!("smaller: {} is broken after {} ms: {}", violation.invariant, violation.at_ms, violation.text);
    }
    print!("{}", time_line(&again.trace.lines.unwrap_or_default(), job));
    println!("again: cargo xtask sim -- --seed {seed}{}", if args.first { " --first" } else { "" });
}

fn report(args: &Args, tally: &Tally, ms: u128) -> ExitCode {
    let missing: Vec<&str> = STATES.into_iter().filter(|name| !tally.states.contains_key(name)).collect();
    let lives_s = u128::from(tally.lives) * 1000 / ms;
    println!(
        "{} seeds, {} lives, {} virtual h, {ms} ms: {lives_s} lives/s",
        tally.seeds,
        tally.lives,
        tally.virtual_ms / 3_600_000
    );
    println!("kinds of fault a seed: {}.{}", tally.kinds / tally.seeds.max(1), tally.kinds * 10 / tally.seeds.max(1) % 10);
    println!("faults: {}", serde_json::to_string(&tally.faults).unwrap());
    println!("states: {}", serde_json::to_string(&tally.states).unwrap());
    if args.record {
        let line = serde_json::json!({
            "commit": args.commit, "from": args.from, "seeds": tally.seeds, "lives": tally.lives, "failures": tally.failures,
            "kinds_of_fault": tally.kinds, "faults": tally.faults, "states": tally.states, "virtual_h": tally.virtual_ms / 3_600_000,
            "seconds": u64::try_from(ms / 1000).unwrap_or(u64::MAX), "optimised": !cfg!(debug_assertions),
        });
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/proof-runs.jsonl");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
    if !missing.is_empty() {
        println!("never reached: {}; so nothing is proven of it", missing.join(", "));
        return ExitCode::FAILURE;
    }
    if tally.failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn plants(args: &Args) -> ExitCode {
    if !plant(Some("none")) {
        eprintln!("this program was built without planted faults");
        return ExitCode::from(2);
    }
    let with: Vec<Fault> = Fault::all().filter(|fault| args.with.contains(&fault.name())).collect();
    if with.len() != args.with.len() {
        let names: Vec<String> = Fault::all().map(Fault::name).collect();
        eprintln!("there are these kinds of fault: {}", names.join(", "));
        return ExitCode::from(2);
    }
    let (from, only, behind) = (args.from, args.plant.as_deref(), args.behind.as_deref());
    println!("| planted fault | what is wrong | where | caught by | seeds | s |\n|---|---|---|---|---|---|");
    let mut missed = 0;
    for planted in PLANTS.iter().filter(|plant| only.is_none_or(|only| plant.name == only)) {
        let began = Instant::now();
        let caught = (from..from + PLANT_SEEDS).find_map(|seed| Some((seed, planted.caught(seed, &with, behind)?)));
        let tenths = began.elapsed().as_millis() / 100;
        let (by, seeds) = match &caught {
            Some((seed, violation)) => (violation.invariant, (seed - from + 1).to_string()),
            None => ("nothing", format!("> {PLANT_SEEDS}")),
        };
        missed += u32::from(caught.is_none());
        let behind = behind.or(planted.behind()).map(|first| format!("; `{first}` is out too")).unwrap_or_default();
        println!(
            "| `{}` | {}{behind} | {} | {by} | {seeds} | {}.{} |",
            planted.name,
            planted.what,
            planted.place,
            tenths / 10,
            tenths % 10
        );
    }
    if missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
