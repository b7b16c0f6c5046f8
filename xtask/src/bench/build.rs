//! How long the programs take to build from nothing, as cargo builds them for a release, and how large they are.

#![allow(clippy::float_arithmetic, reason = "sizes are for people")]

use std::time::Instant;

use super::record::{Record, Row};
use crate::workspace;

/// What is built, each in an empty folder.
const BUILDS: [(&str, &[&str]); 2] = [
    ("the agent alone", &["taxdisk-agent"]),
    ("all four programs", &["taxdisk-agent", "taxdisk-broker", "taxdisk-portal", "taxdisk"]),
];

/// Builds and weighs them. The sources of other people's crates are fetched before.
///
/// # Errors
/// A build fails.
pub(super) fn measure() -> Result<Record, String> {
    workspace::run(workspace::cargo(&["fetch", "--locked"]))?;
    let mut record = Record::default();
    for (name, packages) in BUILDS {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut build = vec!["build", "--release", "--locked"];
        packages.iter().for_each(|package| build.extend(["-p", package]));
        let mut build = workspace::cargo(&build);
        build.env("CARGO_TARGET_DIR", folder.path());
        let began = Instant::now();
        workspace::run(build)?;
        let seconds = began.elapsed().as_secs_f64();
        println!("{name}: {seconds:.0} s");
        record.rows.push(Row::new("Release build from nothing", name, "s", seconds.round()));
        if packages.len() == 1 {
            continue;
        }
        for program in packages {
            let file = folder.path().join("release").join(program);
            let bytes = std::fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?.len();
            let megabytes = (f64::from(u32::try_from(bytes / 10_000).unwrap_or(u32::MAX))) / 100.0;
            println!("{program}: {megabytes} MB stripped");
            record.rows.push(Row::new("Programs, stripped", program, "MB", megabytes));
        }
    }
    Ok(record)
}
