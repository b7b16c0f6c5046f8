//! `cargo xtask windows`: the agent for Windows, built on Debian by Debian's own packages, and tried under Wine.
//!
//! Debian's Rust for the web browser is the newest that it has; with the sources of the standard library beside it and mingw's
//! linker it builds for Windows. It builds into a folder of its own, so that neither toolchain builds anew what the other made.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::{needs, packages, rungs, workspace};

/// Where Debian keeps programs; a toolchain of rustup may come before it in the path.
const DEBIAN_PROGRAMS: &str = "/usr/bin";
/// Windows on 64 bits with the libraries of mingw.
const TARGET: &str = "x86_64-pc-windows-gnu";
/// The same on 32 bits, for the bridge.
const TARGET_32: &str = "i686-pc-windows-gnu";
/// Its linker.
const TOOLCHAIN_32: (&str, &str) = ("i686-w64-mingw32-gcc-win32", "gcc-mingw-w64-i686-win32");
/// Begin and end of every program on 32 bits: the frames of exceptions are registered there. Rust's own toolchains bring them as
/// object files; where the standard library is built from source, they are built from source too.
const STARTUP_32: [&str; 2] = ["rsbegin", "rsend"];
/// Debian's packages: compiler, cargo, the sources of the standard library, and a linker for that target with its C compiler.
const TOOLCHAIN: [(&str, &str); 3] = [
    ("rustc", "rustc-web rust-web-src"),
    ("cargo", "cargo-web"),
    ("x86_64-w64-mingw32-gcc-win32", "gcc-mingw-w64-x86-64-win32 g++-mingw-w64-x86-64-win32"),
];
/// Where the sources of the standard library are expected below the compiler's folder.
const SOURCES: &str = "lib/rustlib/src/rust/library";

/// What is packed.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A version that comes after it, for the test of an upgrade: the same programs.
const NEXT_VERSION: &str = concat!("1", env!("CARGO_PKG_VERSION"));
const AGENT: &str = "taxdisk-agent";
/// Debian's wrapper of it complains of 32-bit programs, which are not run by it here.
const WINE_LOADER: &str = "/usr/lib/wine/wine64";
const BRIDGE: &str = "taxdisk-bridge";

/// What to do with it.
#[derive(Debug, Args)]
pub(crate) struct WindowsArgs {
    /// Install Debian's Wine and run the program under it, against a broker and simulated disks on Linux
    #[arg(long)]
    test: bool,
    /// A program that is shipped: without the points at which tests kill it, and optimised
    #[arg(long, conflicts_with = "test")]
    release: bool,
    /// The programs that are shipped, with their installers: an archive and a package of the Windows installer
    #[arg(long, conflicts_with = "test")]
    package: bool,
}

/// Builds, and tests if asked.
///
/// # Errors
/// A package cannot be installed, or a build or test failed.
pub(crate) fn run(args: &WindowsArgs) -> Result<(), String> {
    if args.test {
        return rungs::test_long(&rungs::LongArgs::of("windows"));
    }
    let kind = if args.release || args.package { Kind::Shipped } else { Kind::WithPoints };
    let agent = build(AGENT, TARGET, kind)?;
    println!("{}", agent.display());
    if args.package {
        needs::programs(&[needs::WIXL, needs::MSITOOLS, needs::ZIP])?;
        // Makers' libraries have 32 bits, and so has what loads them.
        let bridge = build(BRIDGE, TARGET_32, kind)?;
        for file in package(&agent, &bridge, VERSION, UPGRADING, &workspace::target().join("packages"))? {
            println!("{}", file.display());
        }
    }
    Ok(())
}

/// What a program is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With the points at which tests kill it, built fast.
    WithPoints,
    /// To be shipped.
    Shipped,
}

/// Builds a program of this package for a target; gives its file.
///
/// # Errors
/// A package of Debian cannot be installed, or the build failed.
pub(crate) fn build(package: &str, target: &str, kind: Kind) -> Result<PathBuf, String> {
    needs::debian(&TOOLCHAIN)?;
    if target == TARGET_32 {
        needs::debian(&[TOOLCHAIN_32])?;
    }
    let sources = sysroot()?.join(SOURCES);
    if !sources.join("std/Cargo.toml").is_file() {
        return Err(format!("{} is missing: install Debian's rust-web-src of the same version as rustc-web", sources.display()));
    }
    let folder = workspace::target().join("windows");
    let mut cargo = cargo_for(target, "build", "std,panic_abort");
    cargo.args(["--package", package]);
    if target == TARGET_32 {
        let objects = startup(&sources.join("rtstartup"), &folder.join("startup-32"))?;
        cargo.env("CARGO_TARGET_I686_PC_WINDOWS_GNU_RUSTFLAGS", format!("-Lnative={}", objects.display()));
    }
    if kind == Kind::WithPoints && package == BRIDGE {
        // What the bridge is tested with: an example, which is never shipped.
        cargo.args(["--bins", "--examples"]);
    }
    match kind {
        Kind::Shipped => drop(cargo.arg("--release")),
        Kind::WithPoints => drop(cargo.env("CARGO_PROFILE_DEV_DEBUG", "false")),
    }
    if kind == Kind::WithPoints && package == AGENT {
        cargo.args(["--features", "taxdisk-agent/fault-points"]);
    }
    workspace::run(cargo)?;
    let profile = if kind == Kind::Shipped { "release" } else { "debug" };
    let program = folder.join(target).join(profile).join(format!("{package}.exe"));
    if program.is_file() { Ok(program) } else { Err(format!("{} was not built", program.display())) }
}

/// Debian's cargo for a target, into the folder that is kept for it.
fn cargo_for(target: &str, what: &str, standard: &str) -> Command {
    let mut cargo = debian_tool("cargo");
    cargo.args([what, &format!("-Zbuild-std={standard}"), "--target", target, "--target-dir"]);
    cargo.arg(workspace::target().join("windows")).current_dir(workspace::root());
    // The standard library is built by the same stable compiler that Debian built from it; only cargo's switch is not stable.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_INCREMENTAL", "0");
    cargo
}

/// The unit tests of what exists on Windows alone, under Wine.
fn unit_tests(agent: &Path, wine: &Path) -> Result<(), String> {
    // Beside the tests, which are in `deps`, as beside the programs.
    if let Some(folder) = agent.parent() {
        random_numbers(&folder.join("deps/tests.exe"), TOOLCHAIN[2].0)?;
    }
    let mut cargo = cargo_for(TARGET, "test", "std,panic_abort,test");
    cargo.args(["--package", "taxdisk-win32", "--package", BRIDGE, "--lib", "--bins"]);
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "false").env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", WINE_LOADER);
    cargo.env("WINEPREFIX", wine).env("WINEDEBUG", "-all").env("WINEARCH", "win64").env("WINELOADER", WINE_LOADER);
    workspace::run(cargo)
}

/// A program of Debian's toolchain, which finds its own siblings first, and nothing of the toolchain that runs this one.
fn debian_tool(name: &str) -> Command {
    let mut command = Command::new(Path::new(DEBIAN_PROGRAMS).join(name));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{DEBIAN_PROGRAMS}:{path}"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("RUSTUP_") || matches!(&*text, "CARGO" | "RUSTC" | "RUSTFLAGS") {
            command.env_remove(&name);
        }
    }
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH").env_remove("LD_LIBRARY_PATH");
    command
}

/// Builds the objects of [`STARTUP_32`] into a folder, unless they are there; gives the folder.
fn startup(sources: &Path, folder: &Path) -> Result<PathBuf, String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for name in STARTUP_32 {
        let object = folder.join(name).with_extension("o");
        if !object.is_file() {
            let mut compile = debian_tool("rustc");
            compile.env("RUSTC_BOOTSTRAP", "1").args(["--target", TARGET_32, "--crate-type", "lib", "--emit", "obj", "-O", "-o"]);
            compile.arg(&object).arg(sources.join(name).with_extension("rs"));
            workspace::run(compile)?;
        }
    }
    Ok(folder.to_owned())
}

fn sysroot() -> Result<PathBuf, String> {
    let mut ask = debian_tool("rustc");
    ask.args(["--print", "sysroot"]);
    Ok(PathBuf::from(workspace::output(ask)?.trim()))
}

/// For the tests under Wine: what their variables name. The agent and the bridge with its stand-in (beside it, in `examples`);
/// the same bridge of 32 bits; both as packages of the Windows installer, of this version and a later one; a folder in which Wine
/// keeps its drive, and a Debian of 32 bits with a Wine of 32 bits in it: on this Debian it could only be had by making it one of
/// two architectures.
///
/// # Errors
/// Something cannot be installed or built.
pub(crate) fn for_test() -> Result<Vec<(&'static str, PathBuf)>, String> {
    let agent = build(AGENT, TARGET, Kind::WithPoints)?;
    let bridge = build(BRIDGE, TARGET, Kind::WithPoints)?;
    let bridge_32 = build(BRIDGE, TARGET_32, Kind::WithPoints)?;
    random_numbers(&agent, TOOLCHAIN[2].0)?;
    random_numbers(&bridge_32, TOOLCHAIN_32.0)?;
    needs::programs(&[needs::DEBOOTSTRAP])?;
    let debian_32 = packages::debian_32(&workspace::target().join("wine-32"), "wine32")?;
    let wine = workspace::target().join("wine");
    unit_tests(&agent, &wine)?;
    needs::programs(&[needs::COMPILER, needs::WIXL, needs::MSITOOLS, needs::ZIP])?;
    let installers = workspace::target().join("windows/installers");
    let [_, package_now] = package(&agent, &bridge_32, VERSION, WINE_UPGRADING, &installers)?;
    let [_, package_next] = package(&agent, &bridge_32, NEXT_VERSION, WINE_UPGRADING, &installers)?;
    let flushes = workspace::target().join("windows/fsync.so");
    let mut compile = Command::new("cc");
    compile.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&flushes).arg(workspace::root().join("tests/wine/fsync.c"));
    workspace::run(compile)?;
    Ok(vec![
        ("TAXDISK_TEST_WINDOWS_AGENT", agent),
        ("TAXDISK_TEST_WINDOWS_BRIDGE", bridge),
        ("TAXDISK_TEST_WINDOWS_BRIDGE_32", bridge_32),
        ("TAXDISK_TEST_WINE", wine),
        ("TAXDISK_TEST_WINE_FLUSHES", flushes),
        ("TAXDISK_TEST_WINE_32", debian_32),
        ("TAXDISK_TEST_WINDOWS_PACKAGE", package_now),
        ("TAXDISK_TEST_WINDOWS_NEXT_PACKAGE", package_next),
    ])
}

/// Wine before 9 lacks the library from which Rust's standard library takes random numbers: beside the program it gets one.
fn random_numbers(program: &Path, compiler: &str) -> Result<(), String> {
    let mut compile = debian_tool(compiler);
    compile.args(["-O1", "-shared", "-o"]).arg(program.with_file_name("bcryptprimitives.dll"));
    compile.arg(workspace::root().join("tests/wine/bcryptprimitives.c")).arg("-ladvapi32");
    workspace::run(compile)
}

/// What is in both installers beside the programs, from where.
const TEXTS: [(&str, &str); 2] = [("LICENSE.txt", "LICENSE"), ("agent.sample.toml", "installer/windows/agent.sample.toml")];
/// What is in the archive alone.
const SCRIPTS: [(&str, &str); 3] = [
    ("install.ps1", "installer/windows/install.ps1"),
    ("uninstall.ps1", "installer/windows/uninstall.ps1"),
    ("install-windows.md", "docs/install-windows.md"),
];

/// What Windows sets for a package that goes because a newer one comes.
const UPGRADING: &str = "UPGRADINGPRODUCTCODE";
/// Wine sets nothing: there the test does, as a variable of the environment.
const WINE_UPGRADING: &str = "%TAXDISK_TEST_UPGRADING";

/// Makes both installers of a version in a folder; gives their files. While `upgrading` is set, a package that goes takes neither
/// the service nor the PC's key with it.
fn package(agent: &Path, bridge: &Path, version: &str, upgrading: &str, out: &Path) -> Result<[PathBuf; 2], String> {
    let name = format!("taxdisk-windows-{version}");
    let folder = out.join(&name);
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(told(error)),
        _ => std::fs::create_dir_all(&folder).map_err(told)?,
    }
    let programs = [("taxdisk-agent.exe", agent), ("taxdisk-bridge.exe", bridge)];
    let root = workspace::root();
    let texts = TEXTS.iter().chain(&SCRIPTS).map(|(to, from)| (*to, root.join(from)));
    let files: Vec<(&str, PathBuf)> = programs.into_iter().map(|(to, from)| (to, from.to_owned())).chain(texts).collect();
    for (to, from) in &files {
        std::fs::copy(from, folder.join(to)).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    let mut sums = Command::new("sha256sum");
    sums.args(files.iter().map(|(to, _)| to)).current_dir(&folder);
    std::fs::write(folder.join("SHA256SUMS"), workspace::output(sums)?).map_err(told)?;

    let archive = out.join(format!("{name}.zip"));
    let _ = std::fs::remove_file(&archive);
    let mut zip = Command::new("zip");
    zip.args(["--quiet", "--recurse-paths", "-X"]).arg(&archive).arg(&name).current_dir(out);
    workspace::output(zip)?;

    let msi = out.join(format!("taxdisk-agent-{version}.msi"));
    let mut wixl = Command::new("wixl");
    wixl.args(["--arch", "x64", "-D", &format!("Version={version}"), "-D", &format!("Upgrading={upgrading}"), "-o"]).arg(&msi);
    wixl.arg(root.join("installer/windows/taxdisk-agent.wxs")).current_dir(&folder);
    workspace::output(wixl)?;
    check(&msi, &folder, upgrading)?;
    Ok([archive, msi])
}

/// What a package does, in the order in which it has to: an older version goes first; the service is taken away while its program
/// is there, and made when it is; and nothing is changed after the end.
const ORDER: [&str; 7] = [
    "InstallValidate",
    "RemoveExistingProducts",
    "StopServices",
    "TakeServiceAway",
    "RemoveFiles",
    "InstallFiles",
    "MakeService",
];
const END: &str = "InstallFinalize";

/// Whether the table of a package's actions has them in [`ORDER`].
fn in_order(table: &str) -> Result<(), String> {
    let at = |action: &str| {
        let row = table.lines().find_map(|line| line.strip_prefix(action)?.strip_prefix('\t'));
        let number = row.and_then(|row| row.rsplit('\t').next()?.trim().parse::<u32>().ok());
        number.ok_or_else(|| format!("{action} is not among its actions:\n{table}"))
    };
    let mut last = 0;
    for action in ORDER.into_iter().chain([END]) {
        let number = at(action)?;
        if number <= last {
            return Err(format!("{action} comes too early:\n{table}"));
        }
        last = number;
    }
    Ok(())
}

/// The package unpacks to the very files that went in, and runs our two commands at the right moments.
fn check(msi: &Path, folder: &Path, upgrading: &str) -> Result<(), String> {
    let unpacked = folder.with_extension("unpacked");
    let _ = std::fs::remove_dir_all(&unpacked);
    let mut extract = Command::new("msiextract");
    extract.arg("--directory").arg(&unpacked).arg(msi);
    workspace::output(extract)?;
    for name in ["taxdisk-agent.exe", "taxdisk-bridge.exe", "LICENSE.txt", "agent.sample.toml"] {
        let read = |path: PathBuf| std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()));
        if read(folder.join(name))? != read(unpacked.join("taxdisk").join(name))? {
            return Err(format!("{}: {name} is not the file that went in", msi.display()));
        }
    }
    let table = |name: &str| {
        let mut info = Command::new("msiinfo");
        info.arg("export").arg(msi).arg(name);
        workspace::output(info)
    };
    let sequence = table("InstallExecuteSequence")?;
    in_order(&sequence).map_err(|why| format!("{}: {why}", msi.display()))?;
    if !sequence.contains(&format!("TakeServiceAway\tREMOVE=\"ALL\" AND NOT {upgrading}\t")) {
        return Err(format!("{}: an upgrade would take the service and the key away:\n{sequence}", msi.display()));
    }
    let actions = table("CustomAction")?;
    for wanted in ["install --service", "uninstall"] {
        if !actions.lines().any(|line| line.contains(wanted)) {
            return Err(format!("{}: nothing runs `{wanted}`:\n{actions}", msi.display()));
        }
    }
    std::fs::remove_dir_all(&unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Whether this is a script of PowerShell, by a grammar of that language.
    fn is_a_script(text: &str) -> bool {
        let mut parser = tree_sitter::Parser::new();
        parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).unwrap();
        !parser.parse(text, None).unwrap().root_node().has_error()
    }

    #[test]
    fn a_package_that_makes_the_service_after_its_end_is_refused() {
        let table = |make: u32| {
            format!(
                "Action\tCondition\tSequence\ns72\tS255\tI2\nInstallValidate\t\t1400\nRemoveExistingProducts\t\t1450\n\
                 StopServices\tVersionNT\t1900\nTakeServiceAway\tREMOVE=\"ALL\"\t3400\nRemoveFiles\t\t3500\n\
                 InstallFiles\t\t4000\nMakeService\tNOT REMOVE\t{make}\nInstallFinalize\t\t6600\n"
            )
        };
        in_order(&table(5910)).unwrap();
        assert!(in_order(&table(6601)).unwrap_err().contains("InstallFinalize comes too early"));
        assert!(in_order(&table(3900)).unwrap_err().contains("MakeService comes too early"));
        assert!(in_order("Action\tCondition\tSequence\n").unwrap_err().contains("InstallValidate is not among"));
    }

    #[test]
    fn the_scripts_of_the_archive_are_scripts() {
        for (name, from) in SCRIPTS.iter().filter(|(name, _)| name.ends_with(".ps1")) {
            let text = std::fs::read_to_string(workspace::root().join(from)).unwrap();
            assert!(is_a_script(&text), "{name}");
            // The parser is no nodding one: without one brace it is none.
            let (before, after) = text.rsplit_once('}').unwrap();
            assert!(!is_a_script(&format!("{before}{after}")), "{name}");
        }
    }
}
