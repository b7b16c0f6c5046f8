//! The program `taxdisk-portal`. All of it is in the library, so that tests run the same code.
#![forbid(unsafe_code)]

use clap::Parser;

fn main() -> std::process::ExitCode {
    taxdisk_portal::cli::run(taxdisk_portal::cli::Cli::parse())
}
