//! `cargo xtask deb`: Debian packages of the four programs, and an archive with an installer for other hosts.
//!
//! Only what Debian has on every machine is used (dpkg-deb, readelf, tar); see docs/decisions/0037-packages.md. What a package
//! holds stands in [`contents`], what happens at its installation in `systemd/deb`.

mod archive;
mod contents;
mod deb;
mod debian;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{needs, workspace};

/// A program that is shipped, and how it is installed.
struct Package {
    /// Name of package, program and, where there is one, service and account.
    name: &'static str,
    /// Name of its configuration: `/etc/taxdisk/NAME.toml`. None: it is no service.
    service: Option<&'static str>,
    /// One line for lists of packages.
    summary: &'static str,
    /// A paragraph for who looks at it.
    description: &'static str,
    /// Groups that the account is in beside its own.
    groups: &'static str,
    /// Started by its installation: it works as it comes, and for this machine alone.
    starts: bool,
    /// What its folder below `/var/lib` holds, for whoever purges it.
    holds: &'static str,
    /// Pages of `docs/` that come with it.
    docs: &'static [&'static str],
}

/// Of gzip, 1 to 9. Programs as tests build them are ten times as large, and only what is inside matters there.
const COMPRESSION: u8 = if cfg!(test) { 1 } else { 9 };

const PACKAGES: [Package; 4] = [
    Package {
        name: "taxdisk-agent",
        service: Some("agent"),
        summary: "issues Chinese VAT invoices on the tax disks of this PC",
        description: "The daemon on the PC with the tax disk. It takes jobs from a broker over one outbound connection and issues \
                      them on a disk behind USB, a serial line or the maker's component, exactly once.",
        groups: "dialout taxdisk",
        starts: false,
        holds: "the agent's key, the passwords of its disks, and the journal that proves what was issued",
        docs: &["install.md", "devices.md", "errors.md"],
    },
    Package {
        name: "taxdisk-broker",
        service: Some("broker"),
        summary: "durable queue and ledger of invoices that tax disks issue",
        description: "The durable queue and ledger of issuing jobs: programs hand it jobs over HTTP, agents issue them on tax \
                      disks, and a serial number never becomes two invoices.",
        groups: "",
        starts: true,
        holds: "the ledger of all invoices, if it is in SQLite, and the first administrator's key",
        docs: &[
            "install.md",
            "operate.md",
            "integrate.md",
            "backup.md",
            "cluster.md",
            "metrics.md",
            "operations.md",
            "scale.md",
            "webhooks.md",
            "errors.md",
        ],
    },
    Package {
        name: "taxdisk-portal",
        service: Some("portal"),
        summary: "invoice platform for merchants and consumers over a taxdisk broker",
        description: "The platform in front of the broker: pages on which consumers ask for their invoice, the merchant's \
                      console, an API that clients of other platforms know, and the delivery of PDF and OFD.",
        groups: "",
        starts: false,
        holds: "requests, users and keys of all merchants, if they are in SQLite, and the operator's key",
        docs: &["install.md", "portal.md", "console.md", "codes.md", "delivery.md", "environments.md", "schemes.md", "layout.md"],
    },
    Package {
        name: "taxdisk",
        service: None,
        summary: "command line of a taxdisk broker",
        description: "Submits, watches and administers invoicing jobs over the HTTP API of a taxdisk broker.",
        groups: "",
        starts: false,
        holds: "",
        docs: &["errors.md", "northwind.md"],
    },
];

/// What is built, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct DebArgs {
    /// Folder for the packages and the archive [default: target/packages]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Version of the packages; left out: the workspace's, and the commit unless that is tagged
    #[arg(long)]
    version: Option<String>,
    /// Take the development programs as they were built for the tests: with points at which a test can kill them, and large
    #[arg(long)]
    debug: bool,
}

/// Builds the programs and packs them.
///
/// # Errors
/// A build fails, or a program that packs is missing.
pub(crate) fn run(args: &DebArgs) -> Result<(), String> {
    needs::programs(&[needs::COMPILER, needs::DPKG])?;
    let out = args.out.clone().unwrap_or_else(|| workspace::target().join("packages"));
    let version = args.version.clone().map_or_else(this_version, Ok)?;
    let programs = if args.debug {
        workspace::target().join("debug")
    } else {
        let mut cargo = workspace::cargo(&["build", "--release", "--locked"]);
        for package in &PACKAGES {
            cargo.args(["-p", package.name]);
        }
        workspace::run(cargo)?;
        workspace::target().join("release")
    };
    for file in build(&programs, &version, &out)? {
        let bytes = std::fs::metadata(&file).map(|found| found.len()).unwrap_or_default();
        println!("{} ({bytes} bytes)", file.display());
    }
    Ok(())
}

/// Packs programs that are built; gives the packages and, last, the archive.
///
/// # Errors
/// A file is missing, or a packing program failed.
pub(crate) fn build(programs: &Path, version: &str, out: &Path) -> Result<Vec<PathBuf>, String> {
    check_version(version)?;
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut made = Vec::new();
    for package in &PACKAGES {
        let tree = folder.path().join(package.name);
        contents::lay_out(package, programs, &tree)?;
        made.push(deb::pack(package, &tree, version, out)?);
    }
    made.push(archive::pack(folder.path(), version, out)?);
    Ok(made)
}

/// For `test-long packages`: packages of the development programs as two versions, and a clean Debian; gives both folders.
///
/// # Errors
/// Packing failed, or the Debian could not be fetched.
pub(crate) fn for_test() -> Result<(PathBuf, PathBuf), String> {
    let folder = workspace::target().join("packages-test");
    let _ = std::fs::remove_dir_all(folder.join("debs"));
    for (number, version) in [(1, "old"), (2, "new")] {
        build(&workspace::target().join("debug"), &format!("0.1.0+{number}"), &folder.join("debs").join(version))?;
    }
    Ok((folder.join("debs"), debian::clean(&folder.join("debian"))?))
}

/// A Debian of 32 bits in `folder` with these packages in it, which runs on this host's kernel.
///
/// # Errors
/// It could not be fetched.
pub(crate) fn debian_32(folder: &Path, packages: &str) -> Result<PathBuf, String> {
    debian::with(folder, &["--arch=i386", &format!("--include={packages}")])
}

/// As Debian writes architectures.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "armhf",
        other => other,
    }
}

/// deb-version(7), without an epoch.
fn check_version(version: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".+~-".contains(c);
    match version.starts_with(|c: char| c.is_ascii_digit()) && version.chars().all(plain) && version.len() <= 60 {
        true => Ok(()),
        false => Err(format!("{version:?} is no version of a package: digits, letters, . + ~ and -, a digit first.")),
    }
}

fn this_version() -> Result<String, String> {
    let version = env!("CARGO_PKG_VERSION");
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(arguments).current_dir(workspace::root());
        workspace::output(git).map(|text| text.trim().to_owned())
    };
    if git(&["tag", "--points-at", "HEAD"])?.lines().any(|tag| tag == format!("v{version}")) {
        return Ok(version.to_owned());
    }
    let commit = git(&["log", "-1", "--format=%cd.%h", "--date=format:%Y%m%d%H%M"])?;
    Ok(format!("{version}+git{commit}"))
}

/// Time of everything that is packed, seconds: that of the commit, so that the same commit packs the same bytes.
fn moment() -> String {
    let mut git = std::process::Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(workspace::root());
    workspace::output(git).map(|text| text.trim().to_owned()).unwrap_or_else(|_| "0".to_owned())
}
