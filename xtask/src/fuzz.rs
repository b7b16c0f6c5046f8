//! `cargo xtask fuzz`: builds the fuzz targets of `fuzz/` with coverage counters and runs them, one after the other.
//!
//! libFuzzer is compiled with them, so nothing but a C++ compiler is needed. What it finds lies in `fuzz/target/fuzz`; the
//! corpus that is committed (`drivers/tests/corpus`, replayed by `drivers/tests/corpus.rs`) is changed by `--keep-corpus` only.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;
use taxdisk_drivers::hostile::TARGETS;

use crate::{needs, rungs, workspace};

/// Coverage counters and comparisons, as libFuzzer reads them. The same that cargo-fuzz sets.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

/// Named, so that build scripts and macros are compiled without the counters.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The longest input, bytes: a whole conversation, or a document with a few lines.
const MAX_INPUT_BYTES: u32 = 4096;
/// One input may take so long, seconds. All time limits of the drivers are virtual.
const INPUT_LIMIT_S: u32 = 20;
/// Memory of one target, MiB.
const MEMORY_LIMIT_MIB: u32 = 1024;

/// Files and bytes that the committed corpus of one target may have.
const KEPT_FILES: usize = 200;
const KEPT_BYTES: u64 = 300 * 1024;

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Only these targets; left out: all.
    targets: Vec<String>,
    /// How long each runs.
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
    /// Replace the committed corpus by the fewest inputs that reach all the code that was reached.
    #[arg(long)]
    keep_corpus: bool,
    /// Leave docs/proof.md as it is.
    #[arg(long)]
    no_note: bool,
}

/// What libFuzzer said at its end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Figures {
    executions: u64,
    coverage: u64,
    inputs: u64,
    corpus: String,
}

/// Builds and runs.
///
/// # Errors
/// A target crashed, hung or does not exist; the build fails.
pub(crate) fn run(args: &FuzzArgs) -> Result<(), String> {
    let all: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(&name.as_str())) {
        return Err(format!("There is no target {unknown}; there are: {}.", all.join(", ")));
    }
    let chosen: Vec<&str> =
        all.into_iter().filter(|name| args.targets.is_empty() || args.targets.iter().any(|wanted| wanted == name)).collect();
    needs::programs(&[needs::COMPILER, needs::CPP_COMPILER])?;
    build(&chosen)?;
    let mut failed = Vec::new();
    for name in chosen {
        if let Err(text) = fuzz(name, args) {
            println!("{text}");
            failed.push(text);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn folder() -> PathBuf {
    workspace::root().join("fuzz")
}

fn build(targets: &[&str]) -> Result<(), String> {
    let mut cargo = workspace::cargo(&["build", "--release", "--target", TRIPLE]);
    for target in targets {
        cargo.args(["--bin", target]);
    }
    cargo.current_dir(folder()).env("RUSTFLAGS", COVERAGE).env_remove("CARGO_TARGET_DIR");
    workspace::run(cargo)
}

fn binary(name: &str) -> PathBuf {
    folder().join("target").join(TRIPLE).join("release").join(name)
}

fn made(path: PathBuf) -> Result<PathBuf, String> {
    std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn fuzz(name: &str, args: &FuzzArgs) -> Result<(), String> {
    let work = folder().join("target/fuzz");
    let corpus = made(work.join("corpus").join(name))?;
    let artifacts = made(work.join("artifacts").join(name))?;
    let kept = made(workspace::root().join("drivers/tests/corpus").join(name))?;
    let log = made(work.join("logs"))?.join(format!("{name}.log"));
    println!("{name}: {} s; its log: {}", args.seconds, log.display());
    let started = Instant::now();
    // As a low priority: a long run is for idle hours.
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(binary(name)).args([&corpus, &kept]);
    command.arg(format!("-max_total_time={}", args.seconds));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-max_len={MAX_INPUT_BYTES}")).arg(format!("-timeout={INPUT_LIMIT_S}"));
    command.arg(format!("-rss_limit_mb={MEMORY_LIMIT_MIB}")).args(["-len_control=20", "-print_final_stats=1"]);
    let wrong = |error: std::io::Error| format!("{name}: {error}");
    let output = File::create(&log).map_err(wrong)?;
    command.stdin(Stdio::null()).stdout(output.try_clone().map_err(wrong)?).stderr(output);
    let good = command.status().map_err(wrong)?.success();
    let seconds = started.elapsed().as_secs();
    // What an input makes a program print need not be text.
    let said = String::from_utf8_lossy(&std::fs::read(&log).map_err(wrong)?).into_owned();
    let figures = figures(&said).unwrap_or_default();
    println!("{name}: {}, {seconds} s, {}", if good { "no crash" } else { "CRASHED" }, figures.text());
    if good && args.keep_corpus {
        keep(name, &corpus, &kept)?;
    }
    if !args.no_note {
        let (result, crashes) = if good { ("passed", "0 crashes") } else { ("failed", "a crash") };
        rungs::note(&format!("fuzz {name}"), result, &figures.text(), crashes, seconds)?;
    }
    if good {
        return Ok(());
    }
    let why = said.lines().find(|line| line.contains("panicked at") || line.contains("ERROR: libFuzzer")).unwrap_or("no word");
    Err(format!("{name} failed ({why}): its input is in {}", artifacts.display()))
}

impl Figures {
    fn text(&self) -> String {
        let Figures { executions, coverage, inputs, corpus } = self;
        format!("{executions} executions, {coverage} edges, corpus of {inputs} inputs ({corpus})")
    }
}

/// `#12056 DONE cov: 2806 ft: 5133 corp: 372/7283b …` and `stat::number_of_executed_units: 12056`.
fn figures(log: &str) -> Option<Figures> {
    let line = log.lines().rfind(|line| line.starts_with('#') && line.contains(" cov: "))?;
    let after = |key: &str| line.split_once(key).and_then(|(_, rest)| rest.split_whitespace().next());
    let (inputs, corpus) = after(" corp: ")?.split_once('/')?;
    let executed = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let counted = || line.trim_start_matches('#').split_whitespace().next();
    Some(Figures {
        executions: executed.or_else(counted)?.trim().parse().ok()?,
        coverage: after(" cov: ")?.parse().ok()?,
        inputs: inputs.parse().ok()?,
        corpus: corpus.to_owned(),
    })
}

/// The fewest inputs that reach all edges replace those that a run before has kept; what a person put there stays.
fn keep(name: &str, corpus: &Path, kept: &Path) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("{name}: {error}");
    let merged = tempfile::tempdir().map_err(wrong)?;
    let mut command = Command::new(binary(name));
    command.args(["-merge=1", "-set_cover_merge=1", "-use_counters=0"]).arg(format!("-max_len={MAX_INPUT_BYTES}"));
    command.arg(merged.path()).args([corpus, kept]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !command.status().map_err(wrong)?.success() {
        return Err(format!("{name}: the corpus cannot be merged"));
    }
    let files = |folder: &Path| -> Result<Vec<(u64, PathBuf)>, std::io::Error> {
        std::fs::read_dir(folder)?.map(|entry| entry.and_then(|entry| Ok((entry.metadata()?.len(), entry.path())))).collect()
    };
    for (_, old) in files(kept).map_err(wrong)?.iter().filter(|(_, path)| is_made(path)) {
        std::fs::remove_file(old).map_err(wrong)?;
    }
    let by_people = files(kept).map_err(wrong)?;
    let (mut count, mut bytes) = (by_people.len(), by_people.iter().map(|(bytes, _)| bytes).sum::<u64>());
    let mut new = files(merged.path()).map_err(wrong)?;
    // The small ones first: what does not fit costs little.
    new.sort();
    for (size, path) in new {
        if count == KEPT_FILES || bytes + size > KEPT_BYTES {
            break;
        }
        (count, bytes) = (count + 1, bytes + size);
        let Some(file) = path.file_name() else { continue };
        std::fs::copy(&path, kept.join(file)).map_err(wrong)?;
    }
    println!("{name}: {count} inputs, {bytes} bytes, are kept in {}", kept.display());
    Ok(())
}

/// libFuzzer names its inputs by their SHA-1.
fn is_made(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.len() == 40 && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_last_line() {
        let log = "#2\tINITED cov: 5 ft: 5 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                   #12056\tDONE   cov: 2806 ft: 5133 corp: 372/7283b lim: 38 exec/s: 1339 rss: 35Mb\n\
                   stat::number_of_executed_units: 12057\n";
        let found = figures(log).unwrap();
        assert_eq!(found, Figures { executions: 12_057, coverage: 2806, inputs: 372, corpus: "7283b".to_owned() });
        assert_eq!(figures("==1== ERROR: libFuzzer: deadly signal\n"), None);
    }

    #[test]
    fn every_target_has_a_program_and_a_corpus() {
        let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        for (name, _) in TARGETS {
            let source = std::fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
            assert!(source.contains(&format!("run(\"{name}\", bytes)")) && manifest.contains(&format!("name = \"{name}\"")));
            let kept = workspace::root().join("drivers/tests/corpus").join(name);
            let sizes: Vec<u64> = std::fs::read_dir(kept).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
            assert!(!sizes.is_empty() && sizes.len() <= KEPT_FILES && sizes.iter().sum::<u64>() <= KEPT_BYTES, "{name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }

    #[test]
    fn what_a_person_keeps_is_known_by_its_name() {
        assert!(is_made(Path::new("a/0123456789abcdef0123456789abcdef01234567")));
        assert!(!is_made(Path::new("a/empty-refusal")) && !is_made(Path::new("0123456789abcdef0123456789abcdef0123456z")));
    }
}
