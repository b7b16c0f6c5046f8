//! The binary `taxdisk`. Everything is in the library beside it, so that tests can reach it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(taxdisk_cli::run(std::env::args_os()))
}
