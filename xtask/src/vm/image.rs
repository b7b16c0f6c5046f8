//! What the guest finds when it starts: its first process, the shipped programs, their shared libraries, the modules.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::Archive;
use super::kernel::Kernel;
use crate::workspace;

/// Where the shipped programs lie.
pub(super) const PROGRAMS_FOLDER: &str = "bin";
/// Binaries of this workspace and where the guest has them.
const PROGRAMS: [(&str, &str); 3] =
    [("vm_guest", "init"), ("taxdisk-agent", "bin/taxdisk-agent"), ("taxdisk-broker", "bin/taxdisk-broker")];
/// Folders that the first process mounts on or writes to.
const FOLDERS: [&str; 6] = ["proc", "sys", "dev", "tmp", "run", "etc"];

/// Writes the archive.
///
/// # Errors
/// A program is not built, or something cannot be read or written.
pub(crate) fn write(to: &Path, kernel: &Kernel) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let file = File::create(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    let failed = |error: std::io::Error| format!("{}: {error}", to.display());
    for folder in FOLDERS {
        archive.folder(folder).map_err(failed)?;
    }
    let mut libraries = BTreeSet::new();
    for (name, place) in PROGRAMS {
        let built = workspace::binary(name);
        if !built.is_file() {
            return Err(format!("{} is not built: leave out --built", built.display()));
        }
        libraries.extend(shared_libraries(&built)?);
        archive.file(place, &read(&stripped(&built, work.path())?)?).map_err(failed)?;
    }
    for library in libraries {
        archive.file(&library.to_string_lossy(), &read(&library)?).map_err(failed)?;
    }
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        archive.file(&format!("lib/modules/{name}"), &read(module)?).map_err(failed)?;
        order.push_str(&name);
        order.push('\n');
    }
    archive.file("modules.order", order.as_bytes()).map_err(failed)?;
    archive.finish().map_err(failed)
}

/// A copy without its debug information, which is most of it. The code is what was built.
fn stripped(built: &Path, folder: &Path) -> Result<PathBuf, String> {
    let to = folder.join(built.file_name().ok_or("a program without a name")?);
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&to).arg(built);
    workspace::run(strip)?;
    Ok(to)
}

/// The loader and the libraries that a program names, as the loader itself finds them.
fn shared_libraries(program: &Path) -> Result<Vec<PathBuf>, String> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program).env("LC_ALL", "C.UTF-8");
    Ok(libraries_in(&workspace::output(ldd)?))
}

/// Paths in what `ldd` prints: `name => /path (0x…)`, and `/path (0x…)` for the loader.
fn libraries_in(text: &str) -> Vec<PathBuf> {
    let words = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(PathBuf::from).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_taken_from_what_ldd_prints_and_the_kernels_own_is_not() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        let found = libraries_in(text);
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from));
    }
}
