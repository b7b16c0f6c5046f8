//! What no other tool checks: words of a module on what it is for, no leftovers, no long lines and files, no floats for
//! money, no paths of one machine, dependencies named in one place, no link of the documentation that leads nowhere.
//!
//! Only the standard library: the tests crate includes this file as a module and fails with the same report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

// Named, because the tests crate reads this file from a folder of its own.
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/threats.rs"]
mod threats;

/// The longest line of a source file, columns. Tables in comments and long literals may be longer.
const LINE_COLUMNS: usize = 130;
/// The longest source file, lines.
const FILE_LINES: usize = 800;
/// Files longer than this are named in the report.
const LONG_FILE_LINES: usize = 500;
/// Folders that hold nothing of ours.
const FOREIGN: [&str; 3] = ["target", ".git", "node_modules"];
/// Places in our own code where the compiler does not look after memory, all of them in `win32` and `bridge` (decision 44).
/// Each further one needs a reason.
const UNSAFE: usize = 44;
/// Crates in which a binary float would sooner or later carry money.
const NO_FLOATS: [&str; 3] = ["protocol/src", "drivers/src", "cli/src"];

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// One sentence each, with file and line.
    pub(crate) breaches: Vec<String>,
    /// Source files and their lines, longest first.
    pub(crate) lengths: Vec<(usize, String)>,
}

impl Report {
    /// Counts, and the long files by name.
    pub(crate) fn summary(&self) -> String {
        let lines: usize = self.lengths.iter().map(|(lines, _)| lines).sum();
        let mut text = format!("tidy: {} Rust files, {lines} lines, {} breaches", self.lengths.len(), self.breaches.len());
        for (lines, file) in self.lengths.iter().take_while(|(lines, _)| *lines > LONG_FILE_LINES) {
            let _ = write!(text, "\n  long: {file} ({lines} lines)");
        }
        text
    }
}

/// Checks every file of the workspace at `root`.
pub(crate) fn check(root: &Path) -> Report {
    let mut report = Report::default();
    let mut files = Vec::new();
    collect(root, &mut files);
    files.sort();
    let (mut markdown, mut alerts, mut unguarded) = (BTreeMap::new(), String::new(), 0);
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        // What is not text (pictures, recordings) is none of ours to read.
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        paths(&name, &text, &mut report);
        if name.ends_with(".rs") {
            source(&name, &text, &mut report);
            unguarded += unguarded_in(&text);
        } else if name.ends_with("Cargo.toml") && name != "Cargo.toml" {
            manifest(&name, &text, &mut report);
        } else if name.ends_with(".md") {
            markdown.insert(name, text);
        } else if name == pages::ALERTS {
            alerts = text;
        }
    }
    report.breaches.extend(pages::breaches(&markdown, &|name| root.join(name).exists()));
    report.breaches.extend(pages::unexplained(&alerts, &markdown));
    report.breaches.extend(threats::breaches(&markdown, &|name| std::fs::read_to_string(root.join(name)).ok()));
    roots(root, &mut report);
    if unguarded != UNSAFE {
        report.breaches.push(format!("{unguarded} places begin an unsafe block, function, trait or impl; {UNSAFE} are known"));
    }
    report.lengths.sort_by(|a, b| b.cmp(a));
    report
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && !FOREIGN.contains(&entry.file_name().to_string_lossy().as_ref()) {
            collect(&path, files);
        } else if kind.is_file() {
            files.push(path);
        }
    }
}

fn source(name: &str, text: &str, report: &mut Report) {
    let mut breach = |line: usize, what: &str| report.breaches.push(format!("{name}:{line}: {what}"));
    if !text.starts_with("//!") && !text.starts_with("#!") {
        breach(1, "the file does not begin with what it is for (//!)");
    }
    // Written apart, so that this file does not find itself.
    let leftovers =
        [concat!("dbg", "!("), concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("XX", "X:")];
    let floats = NO_FLOATS.iter().any(|folder| name.starts_with(folder));
    let mut count = 0;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        count = number;
        let code = line.trim_start();
        if line.ends_with([' ', '\t']) {
            breach(number, "spaces at the end of the line");
        }
        if line.contains('\t') {
            breach(number, "a tab");
        }
        if line.chars().count() > LINE_COLUMNS && !may_be_long(code) {
            breach(number, "the line is longer than 130 columns");
        }
        for leftover in leftovers {
            if line.contains(leftover) {
                breach(number, &format!("{leftover} is left over"));
            }
        }
        let is_float = |word: &str| word == concat!("f", "32") || word == concat!("f", "64");
        if floats && !code.starts_with("//") && code.split(|c: char| !c.is_alphanumeric() && c != '_').any(is_float) {
            breach(number, "a binary float where money is at home");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        breach(count, "the last line has no end");
    }
    if count > FILE_LINES {
        breach(count, "the file is longer than 800 lines: it holds more than one idea");
    }
    report.lengths.push((count, name.to_owned()));
}

/// Rows of tables, in comments or as data, are easier to read unbroken; so are literals that rustfmt leaves alone, such as
/// recorded frames and attributes.
fn may_be_long(code: &str) -> bool {
    code.starts_with("//! |") || code.starts_with("/// |") || code.starts_with("#[") || code.contains('"')
}

/// Absolute paths of the machine that a file was written on. Paths that a system has by its standard are fine.
fn paths(name: &str, text: &str, report: &mut Report) {
    let homes =
        [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("/Us", "ers/")];
    for (index, line) in text.lines().enumerate() {
        for home in homes {
            // After a letter it is a part of a relative path; otherwise it begins at the root of a machine.
            let at_root = line
                .match_indices(home)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c)));
            if at_root {
                report.breaches.push(format!("{name}:{}: a path of one machine ({home})", index + 1));
            }
        }
    }
}

/// Versions of dependencies stand in the root's manifest only, and so do the lints. A workspace of its own has no root.
fn manifest(name: &str, text: &str, report: &mut Report) {
    if text.lines().any(|line| line.trim() == "[workspace]") {
        return;
    }
    let mut section = "";
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let dependency = section.contains("dependencies") && line.contains('=');
        if dependency && !line.contains("workspace = true") && !line.starts_with('#') {
            report.breaches.push(format!("{name}:{}: a dependency that is not taken from the workspace", index + 1));
        }
    }
    if text.contains("[package]") && !text.contains("[lints]\nworkspace = true") {
        report.breaches.push(format!("{name}: the workspace's lints are not used"));
    }
}

/// Places where code says that the compiler need not look.
fn unguarded_in(text: &str) -> usize {
    let begins = ["{", "fn ", "impl ", "trait ", "extern "].map(|what| format!("{}safe {what}", "un"));
    let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    code.map(|line| begins.iter().map(|begin| line.matches(begin.as_str()).count()).sum::<usize>()).sum()
}

/// Crates that exist to hold what is unsafe: the calls of Windows, and the maker's library in a process of its own.
const UNSAFE_CRATES: [&str; 2] = ["win32", "bridge"];

/// Every other crate root forbids unsafe code.
fn roots(root: &Path, report: &mut Report) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for entry in entries.flatten().filter(|entry| entry.path().join("Cargo.toml").is_file()) {
        for file in ["src/lib.rs", "src/main.rs"] {
            let Ok(text) = std::fs::read_to_string(entry.path().join(file)) else { continue };
            let folder = entry.file_name().to_string_lossy().into_owned();
            if !text.contains("#![forbid(unsafe_code)]") && !UNSAFE_CRATES.contains(&folder.as_str()) {
                report.breaches.push(format!("{folder}/{file}: the crate does not forbid unsafe code"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Vec<String> {
        let mut report = Report::default();
        paths(name, text, &mut report);
        if name.ends_with(".rs") {
            source(name, text, &mut report)
        } else {
            manifest(name, text, &mut report)
        }
        report.breaches
    }

    #[test]
    fn each_breach_is_seen_and_a_clean_file_has_none() {
        assert_eq!(found("protocol/src/a.rs", "//! For tests.\nfn f() {}\n"), Vec::<String>::new());
        let long = format!("//! For tests.\nfn f() {{ {} }}\n", "a; ".repeat(60));
        let float = concat!("//! For tests.\nfn f(_: f", "64) {}\n");
        let path = concat!("//! For tests.\n// see /ho", "me/me/file\n");
        for (text, what) in [
            ("fn f() {}\n", "what it is for"),
            ("//! For tests.\nfn f() {} \n", "spaces at the end"),
            ("//! For tests.\n\tfn f() {}\n", "a tab"),
            ("//! For tests.\nfn f() {}", "no end"),
            (concat!("//! For tests.\nfn f() { dbg", "!(1); }\n"), "left over"),
            (float, "binary float"),
            (path, "one machine"),
            (long.as_str(), "130 columns"),
            ("//! For tests.\n".repeat(801).as_str(), "800 lines"),
        ] {
            let found = found("protocol/src/a.rs", text);
            assert!(found.len() == 1 && found[0].contains(what), "{what}: {found:?}");
        }
    }

    #[test]
    fn unsafe_code_is_counted() {
        let block = concat!("let a = un", "safe { b() };\n");
        assert_eq!(unguarded_in(&format!("{block}{block}// {block}")), 2);
        assert_eq!(unguarded_in(concat!("un", "safe fn a() {}\n#![forbid(un", "safe_code)]\n")), 1);
    }

    #[test]
    fn manifests_take_versions_and_lints_from_the_workspace() {
        let good = "[package]\nname = \"x\"\n[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n";
        assert_eq!(found("x/Cargo.toml", good), Vec::<String>::new());
        assert_eq!(found("x/Cargo.toml", &good.replace("serde.workspace = true", "serde = \"1\"")).len(), 1);
        assert_eq!(found("x/Cargo.toml", &good.replace("[lints]", "[other]")).len(), 1);
        assert_eq!(found("x/Cargo.toml", "[workspace]\n[package]\n[dependencies]\nserde = \"1\"\n"), Vec::<String>::new());
    }
}
