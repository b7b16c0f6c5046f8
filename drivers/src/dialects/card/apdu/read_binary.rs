//! B0 READ BINARY: reads the file that was selected.

use super::Command;

/// The first bytes of the file.
pub fn first(bytes: u8) -> Command {
    Command::fetches(0x00, 0xB0, [0, 0], bytes)
}
