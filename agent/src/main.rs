//! `taxdisk-agent`: the daemon on the PC with the tax disk. Everything is in the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    taxdisk_agent::cli::main()
}
