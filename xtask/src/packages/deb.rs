//! A Debian package of a folder: what it needs, what it says of itself, what runs at its installation.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use md5::{Digest as _, Md5};

use super::{COMPRESSION, Package, architecture, contents, moment};
use crate::workspace;

/// Who answers for the packages.
const MAINTAINER: &str = "taxdisk maintainers <maintainers@example.invalid>";
/// The scripts of a service's package.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Packs a folder into `OUT/NAME_VERSION_ARCHITECTURE.deb`.
///
/// # Errors
/// A tool is missing or failed, or the program needs a library that no package is known for.
pub(super) fn pack(package: &Package, tree: &Path, version: &str, out: &Path) -> Result<PathBuf, String> {
    // The control files lie beside the contents only while they are packed: the archive takes the same folder.
    let control = tree.join("DEBIAN");
    fs::create_dir_all(&control).map_err(|error| format!("{}: {error}", control.display()))?;
    let put = |name: &str, text: &str, mode: u32| {
        let file = control.join(name);
        fs::write(&file, text)
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(mode)))
            .map_err(|error| format!("{}: {error}", file.display()))
    };
    let marker = (package.name == "taxdisk-agent").then(|| tree.join("usr/share/taxdisk-agent"));
    if let Some(folder) = &marker {
        mark(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut files = contents::listed(tree)?;
    files.retain(|file| !file.starts_with("/DEBIAN/"));
    put("control", &about(package, tree, version, &files)?, 0o644)?;
    put("md5sums", &sums(tree, &files)?, 0o644)?;
    let kept: String = files.iter().filter(|file| file.starts_with("/etc/")).map(|file| format!("{file}\n")).collect();
    if !kept.is_empty() {
        put("conffiles", &kept, 0o644)?;
    }
    if package.service.is_some() {
        for name in SCRIPTS {
            put(name, &script(package, name)?, 0o755)?;
        }
    }
    let file = out.join(format!("{}_{version}_{}.deb", package.name, architecture()));
    let mut dpkg = Command::new("dpkg-deb");
    // zstd would be smaller and quicker, and Debian 11 cannot read it.
    dpkg.args(["--root-owner-group", "-Zgzip"]).arg(format!("-z{COMPRESSION}")).arg("--build").arg(tree).arg(&file);
    dpkg.env("SOURCE_DATE_EPOCH", moment());
    let packed = workspace::output(dpkg);
    for folder in std::iter::once(&control).chain(&marker) {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    packed.map(|_| file)
}

/// Says to the agent that dpkg updates it, and not it itself. The archive takes the folder without it.
fn mark(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let file = folder.join("installed-by");
    fs::write(&file, "dpkg\n")?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))
}

/// One of the scripts, for this package.
pub(super) fn script(package: &Package, name: &str) -> Result<String, String> {
    let file = workspace::root().join("systemd/deb").join(name);
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(text
        .replace("@PACKAGE@", package.name)
        .replace("@GROUPS@", package.groups)
        .replace("@START@", if package.starts { "yes" } else { "no" })
        .replace("@HOLDS@", package.holds))
}

fn about(package: &Package, tree: &Path, version: &str, files: &[String]) -> Result<String, String> {
    let bytes: u64 = files
        .iter()
        .map(|file| fs::metadata(tree.join(file.trim_start_matches('/'))).map(|found| found.len()))
        .sum::<std::io::Result<u64>>()
        .map_err(|error| format!("{}: {error}", tree.display()))?;
    let needs = libraries(&tree.join("usr/bin").join(package.name))?;
    let mut text = format!(
        "Package: {}\nVersion: {version}\nArchitecture: {}\nMaintainer: {MAINTAINER}\nInstalled-Size: {}\nDepends: {needs}\n",
        package.name,
        architecture(),
        bytes.div_ceil(1024)
    );
    if package.service.is_some() {
        text.push_str("Recommends: systemd\n");
    }
    let _ = write!(text, "Section: admin\nPriority: optional\nDescription: {}\n", package.summary);
    for line in folded(package.description, 76) {
        let _ = writeln!(text, " {line}");
    }
    Ok(text)
}

/// The packages of the shared libraries that a program is linked against.
fn libraries(program: &Path) -> Result<String, String> {
    let read = |what: &str| {
        let mut readelf = Command::new("readelf");
        readelf.args(["--wide", what]).arg(program).env("LC_ALL", "C");
        workspace::output(readelf)
    };
    let mut needs = Vec::new();
    for line in read("--dynamic")?.lines().filter(|line| line.contains("(NEEDED)")) {
        let library = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(name, _)| name);
        match library {
            "libgcc_s.so.1" => needs.push("libgcc-s1".to_owned()),
            "libc.so.6" | "libm.so.6" | "libpthread.so.0" | "libdl.so.2" | "librt.so.1" => {}
            loader if loader.starts_with("ld-linux") => {}
            other => return Err(format!("{} needs {other}, of which no package is known here.", program.display())),
        }
    }
    needs.insert(0, format!("libc6 (>= {})", newest_glibc(&read("--version-info")?).ok_or("readelf names no GLIBC version")?));
    // Webhooks, callbacks and the broker's own certificate are checked by what the system trusts; without it they do not start.
    needs.push("ca-certificates".to_owned());
    // useradd and its kin, where systemd-sysusers is not there.
    needs.push("passwd".to_owned());
    Ok(needs.join(", "))
}

/// The newest version of glibc that is asked for, as `2.34`.
pub(super) fn newest_glibc(versions: &str) -> Option<String> {
    let numbers = versions.split("GLIBC_").skip(1).filter_map(|rest| {
        let text: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        text.split('.').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<u32>>>()
    });
    let newest = numbers.max()?;
    Some(newest.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
}

fn sums(tree: &Path, files: &[String]) -> Result<String, String> {
    let mut text = String::new();
    for file in files.iter().map(|file| file.trim_start_matches('/')) {
        let bytes = fs::read(tree.join(file)).map_err(|error| format!("{file}: {error}"))?;
        let sum: String = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(text, "{sum}  {file}");
    }
    Ok(text)
}

fn folded(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
