//! Manual pages and shell completions, made from the definitions that parse the command line, so that they are never out of date.

use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;

/// Writes a page for every command (section 1) and completions for bash, zsh and fish into a folder, which is made if missing.
///
/// # Errors
/// As the file system says.
pub(super) fn write(to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    clap_mangen::generate_to(Args::command(), to)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Args::command(), "taxdisk", to)?;
    }
    Ok(())
}
