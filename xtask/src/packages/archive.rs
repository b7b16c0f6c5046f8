//! The archive for hosts without dpkg: the same folders, and an installer.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{COMPRESSION, PACKAGES, architecture, moment};
use crate::workspace;

/// Packs the folders of all packages, which lie side by side, into `OUT/taxdisk-VERSION-ARCHITECTURE.tar.gz`.
///
/// # Errors
/// A file cannot be copied, or tar fails.
pub(super) fn pack(trees: &Path, version: &str, out: &Path) -> Result<PathBuf, String> {
    let name = format!("taxdisk-{version}-{}", architecture());
    let folder = trees.join(&name);
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(told)?;
    for package in &PACKAGES {
        fs::rename(trees.join(package.name), folder.join(package.name)).map_err(told)?;
    }
    let root = workspace::root();
    for (from, mode) in [("systemd/install.sh", 0o755), ("README.md", 0o644), ("LICENSE", 0o644), ("docs/install.md", 0o644)] {
        let to = folder.join(Path::new(from).file_name().unwrap_or_default());
        fs::copy(root.join(from), &to).map_err(|error| format!("{from}: {error}"))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).map_err(told)?;
    }
    let file = out.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--gzip", "--create"]);
    tar.arg(format!("--mtime=@{}", moment())).arg("--file").arg(&file).arg("--directory").arg(trees).arg(&name);
    tar.env("GZIP", format!("-n -{COMPRESSION}"));
    workspace::output(tar)?;
    Ok(file)
}
