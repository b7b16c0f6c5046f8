//! What the chores need beside Rust. It is installed where that is possible without asking (root on Debian), otherwise the
//! command to do it is named.

use std::process::Command;

use crate::workspace;

/// A C compiler: the cryptography and SQLite are partly C.
pub(crate) const COMPILER: (&str, &str) = ("cc", "gcc libc6-dev");
/// libFuzzer is C++.
pub(crate) const CPP_COMPILER: (&str, &str) = ("c++", "g++");
/// systemd's own checkers.
pub(crate) const SYSTEMD: (&str, &str) = ("systemd-analyze", "systemd");
/// Packs Debian packages; the compiler's own package brings readelf.
pub(crate) const DPKG: (&str, &str) = ("dpkg-deb", "dpkg");
/// Asks our TLS from outside.
pub(crate) const OPENSSL: (&str, &str) = ("openssl", "openssl");
/// Renders manual pages.
pub(crate) const MAN: (&str, &str) = ("man", "man-db");
/// Makes a clean Debian in a folder.
pub(crate) const DEBOOTSTRAP: (&str, &str) = ("debootstrap", "debootstrap");
/// Runs the guest of `cargo xtask vm`.
pub(crate) const QEMU: (&str, &str) = ("qemu-system-x86_64", "qemu-system-x86");
/// The tests start a PostgreSQL server of their own. Debian keeps its programs out of the path.
pub(crate) const POSTGRES: (&str, &str) = ("initdb", "postgresql");
/// Runs three PostgreSQL servers as one.
pub(crate) const PATRONI: (&str, &str) = ("patroni", "patroni");
/// Gives programs another clock.
pub(crate) const FAKETIME: (&str, &str) = ("faketime", "faketime");
/// Counts the instructions of a program.
pub(crate) const VALGRIND: (&str, &str) = ("valgrind", "valgrind");
/// Lists the system calls of a program, for losses of power.
pub(crate) const STRACE: (&str, &str) = ("strace", "strace");
/// Keeps what Patroni has agreed upon.
pub(crate) const ETCD: (&str, &str) = ("etcd", "etcd-server");
/// Runs the reference library of Standard Webhooks.
const PYTHON: (&str, &str) = ("python3", "python3 python3-venv");
/// Calls out of the API's description, with what it stands on.
const SCHEMATHESIS: &[&str] = &[
    "anyio==4.16.0",
    "certifi==2026.10.19.post1",
    "charset-normalizer==3.5.3",
    "click==8.5.1",
    "graphql-core==3.3.2",
    "harfile==0.6.0",
    "hypothesis==6.170.17",
    "hypothesis-graphql==0.13.5",
    "idna==3.20",
    "iniconfig==2.3.1",
    "jsonschema_rs==0.60.3",
    "markdown-it-py==4.3.0",
    "MarkupSafe==3.0.4",
    "mdurl==0.1.2",
    "packaging==26.4",
    "pluggy==1.7.0",
    "Pygments==2.21.0",
    "pyrate-limiter==4.5.1",
    "pytest==9.2.0",
    "PyYAML==6.0.4",
    "requests==2.34.2",
    "rich==15.0.0",
    "schemathesis==4.32.5",
    "sortedcontainers==2.4.0",
    "typing_extensions==4.16.0",
    "urllib3==2.8.0",
    "Werkzeug==3.1.9",
];
/// That library, as pip names it.
const STANDARD_WEBHOOKS: &str = "standardwebhooks==1.1.0";
/// The reader of OFD that the layout's tests ask, and what it stands on, without what it needs for other ends.
const OFD_READER: &[&str] = &[
    "easyofd==20260427",
    "xmltodict==1.0.4",
    "loguru==0.7.3",
    "pillow==13.0.0",
    "reportlab==5.1.0",
    "fonttools==4.68.0",
    "pymupdf==2.0",
    "pyasn1==0.6.5",
    "charset-normalizer==3.5.3",
];
/// The JWS library that the portal's integrator is written with, and what it stands on.
const JWS: &[&str] = &["PyJWT==2.15.1", "cryptography==50.0.2", "cffi==2.1.1", "pycparser==3.12"];
/// The mail server that the portal's tests send to, and what it stands on.
const SMTP_SERVER: &[&str] = &["aiosmtpd==1.4.6", "atpublic==9.0.0", "attrs==26.1.0"];
/// Draw PDF, read its text, and read QR codes.
pub(crate) const POPPLER: (&str, &str) = ("pdftoppm", "poppler-utils");
pub(crate) const ZBAR: (&str, &str) = ("zbarimg", "zbar-tools");
/// Shows the portal's pages to the walks of `tests/browser`, Chinese ones too.
const CHROMIUM: (&str, &str) = ("chromium", "chromium fontconfig fonts-wqy-microhei");
/// Runs those walks; npm brings what they are written with.
const NODE: (&str, &str) = ("node", "nodejs");
const NPM: (&str, &str) = ("npm", "npm");
/// The oldest Node.js that Playwright takes (`engines` of playwright-core).
const NODE_MAJOR: u32 = 20;
/// Runs programs of Windows.
pub(crate) const WINE: (&str, &str) = ("wine", "wine wine64");
/// Writes packages of the Windows installer, and unpacks them.
pub(crate) const WIXL: (&str, &str) = ("wixl", "wixl");
pub(crate) const MSITOOLS: (&str, &str) = ("msiextract", "msitools");
/// Packs archives that Windows opens by itself.
pub(crate) const ZIP: (&str, &str) = ("zip", "zip");
/// Unpacks the guest's kernel.
pub(crate) const XZ: (&str, &str) = ("xz", "xz-utils");

/// Makes sure that these programs are there, given with the Debian package of each.
///
/// # Errors
/// One is missing and cannot be installed; the text says how to.
pub(crate) fn programs(wanted: &[(&str, &str)]) -> Result<(), String> {
    install(wanted, on_path)
}

/// The same for programs that must be Debian's own, whatever else of that name comes before them in the path.
///
/// # Errors
/// As [`programs`].
pub(crate) fn debian(wanted: &[(&str, &str)]) -> Result<(), String> {
    install(wanted, |program| std::path::Path::new("/usr/bin").join(program).is_file())
}

fn install(wanted: &[(&str, &str)], is_there: impl Fn(&str) -> bool) -> Result<(), String> {
    let missing: Vec<&(&str, &str)> = wanted.iter().filter(|(program, _)| !is_there(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|(_, packages)| packages.split(' ')).collect();
    let names: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let how = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    if !rustix::process::geteuid().is_root() || !on_path("apt-get") {
        return Err(format!("{} is missing. Install it, on Debian with:\n  sudo {how}", names.join(", ")));
    }
    println!("{} is missing; installing {}", names.join(", "), packages.join(", "));
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]);
    workspace::run(update)?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages);
    workspace::run(install)
}

/// Makes sure that the reference library of Standard Webhooks for Python is there, in a folder of its own below `target/`.
///
/// # Errors
/// Python is missing, or the package cannot be installed.
pub(crate) fn reference_verifier() -> Result<(), String> {
    python("standardwebhooks", "standardwebhooks", &[STANDARD_WEBHOOKS])
}

/// Makes sure that the independent reader of OFD is there, in a folder of its own below `target/`.
///
/// # Errors
/// Python is missing, or the packages cannot be installed.
pub(crate) fn ofd_reader() -> Result<(), String> {
    python("easyofd", "easyofd.ofd", OFD_READER)
}

/// Makes sure that the integrator's JWS library is there, in a folder of its own below `target/`.
///
/// # Errors
/// Python is missing, or the packages cannot be installed.
pub(crate) fn jws_library() -> Result<(), String> {
    python("jws", "jwt, cryptography", JWS)
}

/// Makes sure that the mail server of the portal's tests is there, in a folder of its own below `target/`.
///
/// # Errors
/// Python is missing, or the packages cannot be installed.
pub(crate) fn smtp_server() -> Result<(), String> {
    python("aiosmtpd", "aiosmtpd.smtp", SMTP_SERVER)
}

/// Makes sure that there is Schemathesis, which makes calls out of the API's description, in a folder of its own below `target/`.
///
/// # Errors
/// Python is missing, or the packages cannot be installed.
pub(crate) fn schemathesis() -> Result<(), String> {
    python("schemathesis", "schemathesis", SCHEMATHESIS)
}

/// Makes sure that there is a browser, and what drives it: the packages that `tests/browser/package-lock.json` names.
///
/// # Errors
/// A program is missing or too old, or the packages cannot be installed.
pub(crate) fn browser() -> Result<(), String> {
    programs(&[CHROMIUM, NPM])?;
    node()?;
    let folder = workspace::root().join("tests/browser");
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let wanted = std::fs::read_to_string(folder.join("package-lock.json")).map_err(told)?;
    // Written last: an installation that was cut off is made again.
    let done = folder.join("node_modules/.taxdisk-installed");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("installing the packages of tests/browser");
    let mut install = Command::new(NPM.0);
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
    workspace::output(install)?;
    std::fs::write(done, wanted).map_err(told)
}

/// Makes sure that there is a Node.js that runs the walks of `tests/browser` and the samples of `docs/samples`.
///
/// # Errors
/// It is missing or too old.
pub(crate) fn node() -> Result<(), String> {
    programs(&[NODE])?;
    let mut version = Command::new(NODE.0);
    version.arg("--version");
    let version = workspace::output(version)?;
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < NODE_MAJOR) {
        return Err(format!("Node.js {NODE_MAJOR} or later is needed for the tests; node is {}", version.trim()));
    }
    Ok(())
}

/// Makes `target/tools/NAME` a Python environment that can import `module`.
fn python(name: &str, module: &str, packages: &[&str]) -> Result<(), String> {
    let folder = workspace::target().join("tools").join(name);
    let python = folder.join("bin/python");
    let is_there = || {
        let mut check = Command::new(&python);
        check.args(["-c", &format!("import {module}")]);
        workspace::output(check).is_ok()
    };
    if is_there() {
        return Ok(());
    }
    programs(&[PYTHON])?;
    println!("installing {} for Python into {}", packages.join(", "), folder.display());
    let mut make = Command::new(PYTHON.0);
    make.args(["-m", "venv"]).arg(&folder);
    workspace::output(make)?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]).args(packages);
    workspace::output(install)?;
    if is_there() { Ok(()) } else { Err(format!("{name} was installed and cannot be imported")) }
}

/// Makes sure that rustfmt and clippy are there.
///
/// # Errors
/// They are missing and cannot be added.
pub(crate) fn rust_components() -> Result<(), String> {
    if on_path("cargo-fmt") && on_path("cargo-clippy") {
        return Ok(());
    }
    if !on_path("rustup") {
        return Err("rustfmt and clippy are missing. Install them with your Rust, or use rustup.".to_owned());
    }
    let mut command = Command::new("rustup");
    command.args(["component", "add", "rustfmt", "clippy"]);
    workspace::run(command)
}

pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let postgres = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    std::env::split_paths(&path).chain(postgres).any(|folder| folder.join(program).is_file())
}
