//! `cargo xtask release TAG`: the release binaries of a tag, built from a worktree of exactly that tag, so that upgrades are
//! tested from what was really shipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::workspace;

/// The programs that are shipped.
const PROGRAMS: [&str; 3] = ["taxdisk-broker", "taxdisk-agent", "taxdisk"];

/// The version before this one, and its commit: a clone may lack the tag. Changed with every release.
const PREVIOUS: (&str, &str) = ("v0.1.0", "3911cc4");

/// Which release.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// A tag of this repository, such as v0.1.0.
    tag: String,
}

/// Builds the tag and copies its programs to `target/releases/TAG`.
///
/// # Errors
/// There is no such tag, or the build fails.
pub(crate) fn run(args: &ReleaseArgs) -> Result<(), String> {
    let tag = &args.tag;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if tag.is_empty() || tag.starts_with('-') || !tag.chars().all(plain) {
        return Err(format!("{tag:?} is not the name of a tag."));
    }
    workspace::output(git(&["rev-parse", "--verify", "--quiet", &format!("refs/tags/{tag}^{{commit}}")]))
        .map_err(|_| format!("There is no tag {tag}. `git tag` lists those that exist."))?;
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let tree = folder.path().join("tree");
    let tree_text = tree.to_string_lossy().into_owned();
    workspace::run(git(&["worktree", "add", "--detach", &tree_text, tag]))?;
    let built = build(&tree, tag);
    // The worktree is registered in the repository: it goes whether the build went well or not.
    let removed = workspace::run(git(&["worktree", "remove", "--force", &tree_text]));
    built.and(removed)
}

/// The programs of the version before this one, with which upgrades are tested; gives their folder. They are built from its
/// commit once, for development as the tests' own are: their data and frames are the same.
///
/// # Errors
/// The clone lacks the commit, or the build fails.
pub(crate) fn previous() -> Result<PathBuf, String> {
    let (version, commit) = PREVIOUS;
    let folder = workspace::target().join("previous").join(version);
    let (tree, to) = (folder.join("tree"), folder.join("build"));
    workspace::output(git(&["rev-parse", "--verify", "--quiet", &format!("{commit}^{{commit}}")])).map_err(|_| {
        format!(
            "This clone does not have commit {commit} (version {version}), from which upgrades are tested: fetch the whole \
             history (`git fetch --unshallow`)."
        )
    })?;
    if !tree.join("Cargo.toml").is_file() {
        workspace::run(git(&["worktree", "prune"]))?;
        workspace::run(git(&["worktree", "add", "--detach", &tree.to_string_lossy(), commit]))?;
    }
    // Nothing to do if they are there already.
    let mut cargo = workspace::cargo(&["build", "--locked", "-p", PROGRAMS[0], "-p", PROGRAMS[1]]);
    cargo.current_dir(&tree).env("CARGO_TARGET_DIR", &to);
    workspace::run(cargo)?;
    Ok(to.join("debug"))
}

fn build(tree: &Path, tag: &str) -> Result<(), String> {
    let built_to = workspace::target().join("releases").join(format!("{tag}.build"));
    let mut cargo = workspace::cargo(&["build", "--release", "--locked"]);
    for program in PROGRAMS {
        cargo.args(["-p", program]);
    }
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", &built_to);
    workspace::run(cargo)?;
    let to = workspace::target().join("releases").join(tag);
    std::fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
    for program in PROGRAMS {
        let from = built_to.join("release").join(program);
        let bytes = std::fs::copy(&from, to.join(program)).map_err(|error| format!("{}: {error}", from.display()))?;
        println!("{} ({bytes} bytes)", to.join(program).display());
    }
    Ok(())
}

fn git(arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(workspace::root());
    git
}
