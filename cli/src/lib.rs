//! The command line over the broker's API, for administrators and for programs (`--json`).
//!
//! It speaks the public HTTP API only and keeps no state of its own: whatever it was doing when it was stopped may simply be
//! run again. It judges no invoice and decides nothing about an attempt; it shows what the broker says, in whole sentences.
//! It never suggests a new serial number.
//!
//! Read first: [`northwind`] (the sample orders as jobs), `failure` (how trouble is told) and `import`.
#![forbid(unsafe_code)]

pub mod northwind;
pub mod transliterate;

mod args;
mod client;
mod commands;
mod failure;
mod import;
mod output;

use std::ffi::OsString;

use clap::Parser;

/// Exit code: done.
pub const EXIT_OK: u8 = 0;
/// Exit code: asked for, but not done; the text says why.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: the command line is wrong.
pub const EXIT_USAGE: u8 = 2;

/// Runs one command line and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let args = match args::Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help and version come this way too; a closed output is no reason to fail.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE } else { EXIT_OK };
        }
    };
    let json = args.global.json;
    match commands::run(args) {
        Ok(code) => code,
        Err(failure) => {
            failure.print(json);
            failure.exit_code()
        }
    }
}
