//! What the paths of every job cost, in instructions and allocations, beside what `tests/hot.json` says that they may. Both are
//! counted by valgrind on the development build: they do not depend on how busy a machine is.
//!
//! `TAXDISK_BLESS=1 cargo test -p taxdisk-tests --test hot` writes the file anew.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;

use serde::{Deserialize, Serialize};
use taxdisk_tests::hot::{PATHS, Path};

/// More than this above the figure of the file fails, percent. Hash tables with a seed of their own, and processors with other
/// instructions for copies, make some of it.
const TOLERANCE: u64 = 8;

/// What one passage costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Cost {
    instructions: u64,
    allocations: u64,
}

fn cost(path: &Path) -> Cost {
    let mut command = Command::new("valgrind");
    command.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--collect-atstart=no",
        "--toggle-collect=*hot::measured*",
    ]);
    command.arg(env!("CARGO_BIN_EXE_hot")).args([path.name, &path.times.to_string()]);
    let output = command.output().expect("valgrind, which `cargo xtask test` installs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", path.name);
    let printed = String::from_utf8_lossy(&output.stdout);
    let counts: Vec<u64> = printed.split_whitespace().map(|count| count.parse().unwrap()).collect();
    let [done, allocations] = counts[..] else { panic!("{}: {printed}", path.name) };
    let collected = said.lines().find_map(|line| line.split_once("Collected :")).unwrap_or_else(|| panic!("{said}")).1;
    Cost { instructions: collected.trim().parse::<u64>().unwrap() / done, allocations: allocations / done }
}

#[test]
fn no_path_of_every_job_costs_more_than_it_did() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/hot.json");
    let seen: BTreeMap<&str, Cost> = PATHS.iter().map(|path| (path.name, cost(path))).collect();
    let text = serde_json::to_string_pretty(&seen).unwrap() + "\n";
    println!("{text}");
    if std::env::var_os("TAXDISK_BLESS").is_some() {
        std::fs::write(file, text).unwrap();
        return;
    }
    let may: BTreeMap<String, Cost> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(may.keys().map(String::as_str).collect::<Vec<_>>(), seen.keys().copied().collect::<Vec<_>>());
    let above = |seen: u64, may: u64| seen * 100 > may * (100 + TOLERANCE);
    let more: Vec<String> = seen
        .iter()
        .filter(|(name, cost)| {
            above(cost.instructions, may[**name].instructions) || above(cost.allocations, may[**name].allocations)
        })
        .map(|(name, cost)| format!("{name}: {cost:?}, {:?} before", may[*name]))
        .collect();
    assert!(
        more.is_empty(),
        "more than {TOLERANCE} % above tests/hot.json, so either it became slower or the file is old: {more:#?}"
    );
}
