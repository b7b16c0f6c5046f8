//! `cargo xtask release TAG`: the release binaries of a tag, built from a worktree of exactly that tag, so that upgrades are
//! tested from what was really shipped; and, with a key, the agent signed as brokers offer it (docs/operate.md).

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use semver::Version;

use crate::sign::{self, About, Signer};
use crate::workspace;

/// The programs that are shipped, and the folders of their crates. A tag that is older than one of them does without it.
const PROGRAMS: [(&str, &str); 4] =
    [("taxdisk-broker", "broker"), ("taxdisk-agent", "agent"), ("taxdisk", "cli"), ("taxdisk-portal", "portal")];

/// The version before this one, and its commit: a clone may lack the tag. Changed with every release.
const PREVIOUS: (&str, &str) = ("v0.1.0", "3911cc4");

/// Which release.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// A tag of this repository, such as v0.1.0.
    tag: String,
    /// Secret key of minisign (`minisign -G`); the agent is built to trust it, and signed with it for brokers to offer
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
    /// Another public key that this agent trusts, such as the one that will sign from the next release on; may be repeated
    #[arg(long = "trust", value_name = "KEY", requires = "sign_key")]
    trust: Vec<String>,
    /// Channel of the signed agent
    #[arg(long, default_value = "stable")]
    channel: String,
    /// The oldest version whose agents may go to this one directly; left out: the version before this one
    #[arg(long)]
    from: Option<Version>,
    /// Builds for development, to try the steps: minutes instead of an hour, into a folder of its own, and nothing to ship
    #[arg(long)]
    debug: bool,
}

impl ReleaseArgs {
    /// The folder that it goes to, and cargo's beside it.
    fn folders(&self) -> (PathBuf, PathBuf) {
        let name = if self.debug { format!("{}.debug", self.tag) } else { self.tag.clone() };
        let releases = workspace::target().join("releases");
        (releases.join(&name), releases.join(format!("{name}.build")))
    }
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
    // One that was cut off may have left its folder registered.
    workspace::run(git(&["worktree", "prune"]))?;
    workspace::run(git(&["worktree", "add", "--detach", &tree_text, tag]))?;
    let built = build(&tree, args);
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
    let mut cargo = workspace::cargo(&["build", "--locked", "-p", "taxdisk-broker", "-p", "taxdisk-agent"]);
    cargo.current_dir(&tree).env("CARGO_TARGET_DIR", &to);
    workspace::run(cargo)?;
    Ok(to.join("debug"))
}

fn build(tree: &Path, args: &ReleaseArgs) -> Result<(), String> {
    // Programs that say that they are another version would be offered, and tried by agents, as that one.
    check_version(&tree.join("Cargo.toml"), &args.tag)?;
    // Before an hour of building, so that a wrong password is said at once.
    let signer = args.sign_key.as_deref().map(Signer::read).transpose()?;
    let programs: Vec<&str> =
        PROGRAMS.iter().filter(|(_, folder)| tree.join(folder).join("Cargo.toml").is_file()).map(|(name, _)| *name).collect();
    let (to, built_to) = args.folders();
    let mut cargo = workspace::cargo(&["build", "--locked"]);
    if !args.debug {
        cargo.arg("--release");
    }
    for program in &programs {
        cargo.args(["-p", program]);
    }
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", &built_to);
    if let Some(signer) = &signer {
        let keys: Vec<String> = std::iter::once(signer.public()).chain(args.trust.iter().cloned()).collect();
        cargo.env("TAXDISK_UPDATE_KEYS", keys.join(","));
    }
    workspace::run(cargo)?;
    std::fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
    for program in &programs {
        let from = built_to.join(if args.debug { "debug" } else { "release" }).join(program);
        let bytes = std::fs::copy(&from, to.join(program)).map_err(|error| format!("{}: {error}", from.display()))?;
        println!("{} ({bytes} bytes)", to.join(program).display());
    }
    let Some(signer) = signer else {
        println!("The agent is not signed: without --sign-key it takes no updates and is none.");
        return Ok(());
    };
    let version = version_of(&to.join("taxdisk-agent"))?;
    let before = PREVIOUS.0.trim_start_matches('v').parse::<Version>().map_err(|error| format!("{}: {error}", PREVIOUS.0))?;
    let about = About { channel: args.channel.clone(), from: args.from.clone().unwrap_or(before) };
    for file in sign::publish(&to.join("taxdisk-agent"), &version, &about, &signer, &to.join("updates"))? {
        println!("{}", file.display());
    }
    println!("Signed by {}.", signer.public());
    Ok(())
}

/// The workspace of a tag must be of the version that the tag names.
fn check_version(manifest: &Path, tag: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    // The workspace's own: dependencies have theirs within braces.
    let found = text.lines().find_map(|line| line.strip_prefix("version = ")).map(|version| version.trim().trim_matches('"'));
    match found {
        Some(version) if tag.strip_prefix('v') == Some(version) => Ok(()),
        Some(version) => {
            Err(format!("The tag {tag} holds version {version}: set the version, commit, and tag that as v{version}."))
        }
        None => Err(format!("{} names no version.", manifest.display())),
    }
}

/// The version that a program says it is.
fn version_of(program: &Path) -> Result<Version, String> {
    let mut ask = Command::new(program);
    ask.arg("--version");
    let said = workspace::output(ask)?;
    let word = said.split_whitespace().last().unwrap_or_default();
    word.parse().map_err(|error| format!("{} says that it is {said:?} ({error}).", program.display()))
}

fn git(arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(workspace::root());
    git
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_another_version_is_refused_before_it_is_built() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("Cargo.toml");
        std::fs::write(
            &manifest,
            "[workspace.package]\nversion = \"0.2.0\"\n[workspace.dependencies]\na = { version = \"1\" }\n",
        )
        .unwrap();
        assert_eq!(check_version(&manifest, "v0.2.0"), Ok(()));
        for wrong in ["v0.2.1", "0.2.0", "v0.2.0-try", "release"] {
            assert!(check_version(&manifest, wrong).unwrap_err().contains("v0.2.0"), "{wrong}");
        }
        std::fs::write(&manifest, "[workspace]\n").unwrap();
        assert!(check_version(&manifest, "v0.2.0").unwrap_err().contains("no version"));
        // This workspace's own is found.
        let own = check_version(&workspace::root().join("Cargo.toml"), concat!("v", env!("CARGO_PKG_VERSION")));
        assert_eq!(own, Ok(()));
    }
}
