//! `cargo xtask reproducible`: the same commit, built twice in two places, is the same program, byte for byte.
//!
//! Each build gets a copy of the sources and a target folder of its own, under paths of different lengths; what the compiler
//! would write of them into a program is taken out (`--remap-path-prefix`). Whoever gets a release can build it and compare. It
//! is two builds from cold: an hour on a small machine for all programs; `--bin taxdisk-bridge` takes a minute.
//!
//! What it refuses to do: call programs the same that were not built twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use sha2::{Digest, Sha256};

use crate::workspace;

/// What is built.
#[derive(Debug, Args)]
pub(crate) struct ReproducibleArgs {
    /// Only this program; give it several times. None: all that are shipped.
    #[arg(long = "bin", value_name = "NAME")]
    bins: Vec<String>,
    /// Where the two builds go; left out: target/reproducible, which is emptied first and afterwards.
    #[arg(long, value_name = "FOLDER")]
    within: Option<PathBuf>,
    /// Compilers at the same time; left out: cargo's own choice.
    #[arg(long, short, value_name = "COUNT")]
    jobs: Option<u32>,
}

/// Programs that are shipped.
const SHIPPED: [&str; 4] = ["taxdisk-agent", "taxdisk-broker", "taxdisk-portal", "taxdisk"];

/// Builds twice and compares.
///
/// # Errors
/// A build fails, or a program differs: it is named, with both digests.
pub(crate) fn run(args: &ReproducibleArgs) -> Result<(), String> {
    let bins: Vec<String> = match args.bins.is_empty() {
        true => SHIPPED.iter().map(ToString::to_string).collect(),
        false => args.bins.clone(),
    };
    let within = args.within.clone().unwrap_or_else(|| workspace::target().join("reproducible"));
    let mut built = Vec::new();
    // Names of different lengths: a path that is left in a program moves everything behind it.
    for place in ["one", "another-place-with-a-longer-name"] {
        let folder = within.join(place);
        let _ = std::fs::remove_dir_all(&folder);
        built.push(build(&folder, &bins, args.jobs)?);
    }
    let [first, second] = built.try_into().map_err(|_| "two builds make two lists".to_owned())?;
    let verdict = compare(&first, &second);
    // What differs is kept, to be looked at.
    if verdict.is_ok() {
        let _ = std::fs::remove_dir_all(&within);
    }
    println!("{}", verdict.map_err(|why| format!("{why}\nBoth builds are kept in {}.", within.display()))?);
    Ok(())
}

/// One build; gives the digest of each program.
fn build(folder: &Path, bins: &[String], jobs: Option<u32>) -> Result<BTreeMap<String, String>, String> {
    let (sources, target) = (folder.join("src"), folder.join("target"));
    std::fs::create_dir_all(&sources).map_err(|error| format!("{}: {error}", sources.display()))?;
    // What is committed, and nothing that lies beside it.
    let archive = folder.join("src.tar");
    done(Command::new("git").args(["archive", "-o"]).arg(&archive).arg("HEAD").current_dir(workspace::root()))?;
    done(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&sources))?;
    let home = std::env::var("CARGO_HOME").ok().or_else(|| std::env::var("HOME").ok().map(|home| format!("{home}/.cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}=/build", sources.display())];
    flags.extend(home.map(|home| format!("--remap-path-prefix={home}=/cargo")));
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked"]).current_dir(&sources);
    cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_INCREMENTAL", "0").env("SOURCE_DATE_EPOCH", "0");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    // C that is compiled in (the database, the cryptography) names its files too.
    let map = format!("-ffile-prefix-map={}=/target -ffile-prefix-map={}=/build", target.display(), sources.display());
    cargo.env("CFLAGS", map);
    for bin in bins {
        cargo.args(["--bin", bin]);
    }
    if let Some(jobs) = jobs {
        cargo.args(["-j", &jobs.to_string()]);
    }
    done(&mut cargo)?;
    let digest = |bin: &String| {
        let file = target.join("release").join(bin);
        let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok((bin.clone(), hex::encode(Sha256::digest(bytes))))
    };
    bins.iter().map(digest).collect()
}

fn done(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
    if status.success() { Ok(()) } else { Err(format!("{:?} failed: {status}", command.get_program())) }
}

/// The same, or which are not.
fn compare(first: &BTreeMap<String, String>, second: &BTreeMap<String, String>) -> Result<String, String> {
    if first.is_empty() || !first.keys().eq(second.keys()) {
        return Err("the two builds did not make the same programs".to_owned());
    }
    let pairs = first.iter().map(|(name, digest)| (name, digest, &second[name]));
    let different: Vec<String> = pairs
        .clone()
        .filter(|(_, one, other)| one != other)
        .map(|(name, one, other)| format!("{name}: {one} and {other}"))
        .collect();
    if !different.is_empty() {
        return Err(format!("not reproducible:\n{}", different.join("\n")));
    }
    Ok(pairs.map(|(name, digest, _)| format!("{digest}  {name}: the same twice")).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect()
    }

    #[test]
    fn a_program_that_differs_is_named_and_none_is_not_the_same() {
        let one = digests(&[("a", "1"), ("b", "2")]);
        assert!(compare(&one, &one).unwrap_or_default().contains("2  b"));
        let other = compare(&one, &digests(&[("a", "1"), ("b", "3")]));
        assert_eq!(other, Err("not reproducible:\nb: 2 and 3".to_owned()));
        assert!(compare(&digests(&[]), &digests(&[])).is_err());
        assert!(compare(&one, &digests(&[("a", "1")])).is_err());
    }
}
