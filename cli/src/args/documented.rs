//! Every command of `taxdisk` that the documentation shows is one that this command line takes.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use super::Args;

/// Pages for people, in both languages.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages: Vec<PathBuf> = ["README.md", "README.zh.md"].map(|page| root.join(page)).into();
    for folder in ["docs", "docs/zh"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        pages.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    pages
}

/// The commands in a page: lines of blocks, and what stands between backticks.
fn commands(page: &str) -> Vec<&str> {
    let mut block = false;
    let mut commands = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
        } else if block {
            commands.push(line.trim());
        } else {
            commands.extend(line.split('`').skip(1).step_by(2));
        }
    }
    commands.retain(|command| command.starts_with("taxdisk "));
    commands
}

/// Words as a shell takes them, up to a comment or a pipe. Quotes within words do not occur.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = command.trim();
    while !rest.is_empty() && !rest.starts_with(['#', '|', '>']) {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (word, after) = match quote {
            Some(quote) => rest[1..].split_once(quote).unwrap_or((&rest[1..], "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// Why this is no command, if it is none. What a text leaves out is not asked for.
fn wrong(command: &str) -> Option<String> {
    let words = words(command);
    match Args::try_parse_from(&words) {
        Ok(_) => None,
        Err(error) => match error.kind() {
            ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => None,
            _ => Some(error.to_string()),
        },
    }
}

#[test]
fn every_command_that_is_shown_exists() {
    let mut seen = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for command in commands(&text) {
            seen += 1;
            assert_eq!(wrong(command), None, "{}: {command}", page.display());
        }
    }
    assert!(seen > 50, "the commands are found: {seen}");
}

#[test]
fn what_does_not_exist_is_found() {
    let page = "text `taxdisk job lst` and `taxdisk-agent x`\n```\n$ no\ntaxdisk disk drain 1 --resaon \"a b\"   # note\n```\n";
    assert_eq!(commands(page), ["taxdisk job lst", "taxdisk disk drain 1 --resaon \"a b\"   # note"]);
    assert!(commands(page).into_iter().all(|command| wrong(command).is_some()));
    assert_eq!(words("taxdisk a --b \"c d\" | jq # e"), ["taxdisk", "a", "--b", "c d"]);
    for good in ["taxdisk disk operate", "taxdisk disk drain 1 --reason \"a b\" --wait", "taxdisk job settle S N"] {
        assert_eq!(wrong(good), None, "{good}");
    }
}
