//! `cargo xtask advisories`: known weaknesses of what the programs are made of, by the RustSec database.
//!
//! The tests hold the lock file against bans, licences and sources, and need no network for it. Advisories change every day and
//! do: so they are a chore of their own, for whoever is on line, and for a pipeline once a day. What cannot be looked up is
//! said as that, and is no good answer: it ends with 2, a weakness with 1.

use std::process::{Command, Output};

use crate::workspace;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// Nothing that `deny.toml` does not know.
    Nothing,
    /// Weaknesses, as cargo-deny prints them.
    Some(String),
    /// It could not be looked up, and why.
    Unknown(String),
}

/// Asks cargo-deny.
///
/// # Errors
/// A weakness is known. Where nothing could be looked up, the process ends with 2.
pub(crate) fn run() -> Result<(), String> {
    let asked =
        Command::new("cargo").args(["deny", "--color", "never", "check", "advisories"]).current_dir(workspace::root()).output();
    let found = match asked {
        Ok(output) => judged(output.status.success(), &text(&output)),
        Err(error) => Found::Unknown(format!("cargo does not start: {error}")),
    };
    match found {
        Found::Nothing => {
            println!("No advisory is known of what is in Cargo.lock, beyond those that deny.toml gives a reason for.");
            Ok(())
        }
        Found::Some(text) => Err(format!("advisories are known of what is in Cargo.lock:\n{text}")),
        Found::Unknown(why) => {
            eprintln!("xtask: NOT CHECKED: {why}");
            std::process::exit(2);
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// What cargo-deny's answer means. It ends with the same code for a weakness and for a database that it could not fetch.
fn judged(success: bool, text: &str) -> Found {
    if success {
        return Found::Nothing;
    }
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if has(&["no such command: `deny`", "no such subcommand"]) {
        return Found::Unknown("cargo-deny is not installed: `cargo install cargo-deny --locked`".to_owned());
    }
    // A weakness has a line that names it; only then was there a database to find it in.
    if has(&["error[vulnerability]", "error[unmaintained]", "error[unsound]", "error[yanked]", "error[notice]"]) {
        return Found::Some(text.trim().to_owned());
    }
    if has(&["failed to fetch advisory database", "failed to load advisory database", "failed to clone", "failed to fetch"]) {
        return Found::Unknown(format!("the advisory database cannot be reached; try again on line:\n{}", text.trim()));
    }
    Found::Unknown(format!("cargo-deny could not do it:\n{}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_looked_up_is_no_good_answer_and_no_weakness() {
        assert_eq!(judged(true, "advisories ok"), Found::Nothing);
        let weak = "error[vulnerability]: Something bad\n  ├ ID: RUSTSEC-2026-0001\nadvisories FAILED";
        assert!(matches!(judged(false, weak), Found::Some(text) if text.contains("RUSTSEC-2026-0001")));
        let away = "[ERROR] failed to fetch advisory database https://github.com/rustsec/advisory-db: could not resolve host";
        assert!(matches!(judged(false, away), Found::Unknown(why) if why.contains("cannot be reached")));
        let absent = "error: no such command: `deny`";
        assert!(matches!(judged(false, absent), Found::Unknown(why) if why.contains("cargo install cargo-deny")));
        assert!(matches!(judged(false, "thread panicked"), Found::Unknown(_)), "anything else neither");
    }
}
