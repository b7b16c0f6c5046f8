//! A clean Debian in a folder, for installing the packages into: what this host is, from where this host gets its own packages.
//! The same of another architecture, for programs that run on this host's kernel and not on its libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace;

/// Makes `folder`, unless it is whole already, and gives it.
///
/// # Errors
/// This host is no Debian, is not online, or the user is not root.
pub(super) fn clean(folder: &Path) -> Result<PathBuf, String> {
    with(folder, &["--include=ca-certificates"])
}

/// The same with these words to `debootstrap`.
///
/// # Errors
/// As [`clean`].
pub(super) fn with(folder: &Path, words: &[&str]) -> Result<PathBuf, String> {
    // Written last: one that was cut off is made again.
    let done = folder.with_extension("whole");
    if done.is_file() {
        return Ok(folder.to_owned());
    }
    let (source, suite) = own_source()?;
    println!("making a clean Debian ({suite}) in {}", folder.display());
    let _ = std::fs::remove_dir_all(folder);
    let mut make = Command::new("debootstrap");
    make.arg("--variant=minbase").args(words).arg(&suite).arg(folder).arg(source);
    workspace::output(make)?;
    // The packages that it was made of are not needed again.
    let _ = std::fs::remove_dir_all(folder.join("var/cache/apt/archives"));
    std::fs::write(&done, suite).map_err(|error| format!("{}: {error}", done.display()))?;
    Ok(folder.to_owned())
}

/// Where apt of this host finds the packages of its own release, and that release's name.
fn own_source() -> Result<(String, String), String> {
    let mut ask = Command::new("apt-get");
    ask.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"]);
    let text = workspace::output(ask)?;
    // Updates and security have names with a dash.
    let found = text.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [source, suite, "main"] if !suite.contains('-') => Some((source.to_owned(), suite.to_owned())),
        _ => None,
    });
    found.ok_or_else(|| "apt knows no source of this host's own release: run apt-get update, on Debian.".to_owned())
}
