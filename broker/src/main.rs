//! The program `taxdisk-broker`. All of it is in the library, so that tests run the same code.
#![forbid(unsafe_code)]

use clap::Parser;

#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    taxdisk_broker::cli::run(taxdisk_broker::cli::Cli::parse())
}
