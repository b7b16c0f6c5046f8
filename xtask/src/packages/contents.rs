//! What a package holds: a folder that looks like the root of the host.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{PACKAGES, Package};
use crate::workspace;

/// Makes the folder.
///
/// # Errors
/// A program was not built, or a file of the workspace is missing.
pub(super) fn lay_out(package: &Package, programs: &Path, tree: &Path) -> Result<(), String> {
    let root = workspace::root();
    let program = programs.join(package.name);
    let installed = tree.join("usr/bin").join(package.name);
    copy(&program, &installed, 0o755)?;
    // Nothing to do for release programs.
    let mut strip = Command::new("strip");
    strip.arg("--strip-all").arg(&installed);
    workspace::output(strip)?;
    if let Some(service) = package.service {
        let (name, units) = (package.name, root.join("systemd"));
        copy(&units.join(format!("{name}.service")), &tree.join(format!("usr/lib/systemd/system/{name}.service")), 0o644)?;
        copy(&units.join(format!("sysusers.d/{name}.conf")), &tree.join(format!("usr/lib/sysusers.d/{name}.conf")), 0o644)?;
        copy(&units.join(format!("tmpfiles.d/{name}.conf")), &tree.join(format!("usr/lib/tmpfiles.d/{name}.conf")), 0o644)?;
        copy(&units.join(format!("config/{service}.toml")), &tree.join(format!("etc/taxdisk/{service}.toml")), 0o644)?;
    }
    match package.service {
        Some("agent") => {
            copy(&root.join("systemd/udev/60-taxdisk.rules"), &tree.join("usr/lib/udev/rules.d/60-taxdisk.rules"), 0o644)?;
            copy_all(&root.join("drivers/profiles"), "toml", &tree.join("usr/share/taxdisk/profiles"))?;
        }
        Some("broker") => {
            copy_all(&root.join("systemd/alerts"), "yml", &tree.join("usr/share/taxdisk/prometheus"))?;
            copy_all(&root.join("systemd/grafana"), "json", &tree.join("usr/share/taxdisk/grafana"))?;
        }
        _ => {}
    }
    manual(package, &installed, tree)?;
    documents(package, &root, tree)
}

/// Manual pages and completions, written by the program itself.
fn manual(package: &Package, program: &Path, tree: &Path) -> Result<(), String> {
    let name = package.name;
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let mut write = Command::new(program);
    write.arg("manual").arg(folder.path());
    workspace::output(write)?;
    // `taxdisk agent` has pages of the name that the program taxdisk-agent has for its own: taxdisk(1) lists that command.
    let others: Vec<&str> =
        PACKAGES.iter().map(|other| other.name).filter(|other| other.starts_with(name) && *other != name).collect();
    for page in files(folder.path(), "1")? {
        let page_name = file_name(&page);
        let is_of = |other: &str| page_name.strip_prefix(other).is_some_and(|rest| rest.starts_with(['.', '-']));
        if others.iter().any(|other| is_of(other)) {
            continue;
        }
        let text = fs::read(&page).map_err(|error| format!("{}: {error}", page.display()))?;
        let file = format!("usr/share/man/man1/{}.gz", file_name(&page));
        put(&tree.join(file), &zipped(&text)?, 0o644)?;
    }
    for (written, place) in [
        (format!("{name}.bash"), format!("usr/share/bash-completion/completions/{name}")),
        (format!("_{name}"), format!("usr/share/zsh/vendor-completions/_{name}")),
        (format!("{name}.fish"), format!("usr/share/fish/vendor_completions.d/{name}.fish")),
    ] {
        copy(&folder.path().join(written), &tree.join(place), 0o644)?;
    }
    Ok(())
}

fn documents(package: &Package, root: &Path, tree: &Path) -> Result<(), String> {
    let folder = tree.join("usr/share/doc").join(package.name);
    let changes = fs::read(root.join("CHANGELOG.md")).map_err(|error| format!("CHANGELOG.md: {error}"))?;
    put(&folder.join("changelog.gz"), &zipped(&changes)?, 0o644)?;
    let copyright = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: taxdisk\n\n\
                     Files: *\nCopyright: the taxdisk maintainers\nLicense: Apache-2.0\n\nLicense: Apache-2.0\n \
                     On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n";
    put(&folder.join("copyright"), copyright.as_bytes(), 0o644)?;
    for page in package.docs {
        copy(&root.join("docs").join(page), &folder.join(page), 0o644)?;
    }
    Ok(())
}

/// Every file below a folder, as paths that begin with `/`, sorted.
pub(super) fn listed(tree: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder)? {
            match entry.is_dir() {
                true => folders.push(entry),
                false => found.push(format!("/{}", entry.strip_prefix(tree).unwrap_or(&entry).display())),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Without name and time, so that the same text packs to the same bytes.
fn zipped(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).and_then(|()| encoder.finish()).map_err(|error| format!("gzip: {error}"))
}

fn copy_all(from: &Path, ending: &str, to: &Path) -> Result<(), String> {
    files(from, ending)?.iter().try_for_each(|file| copy(file, &to.join(file_name(file)), 0o644))
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    make_parent(to)?;
    fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(|error| format!("{}: {error}", to.display()))
}

fn put(to: &Path, content: &[u8], mode: u32) -> Result<(), String> {
    make_parent(to)?;
    fs::write(to, content).map_err(|error| format!("{}: {error}", to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(|error| format!("{}: {error}", to.display()))
}

fn make_parent(file: &Path) -> Result<(), String> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::read_dir(folder).map_err(told)?.map(|entry| entry.map(|entry| entry.path()).map_err(told)).collect()
}

fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = entries(folder)?;
    found.retain(|file| file.extension().is_some_and(|end| end == ending));
    found.sort();
    Ok(found)
}

fn file_name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
