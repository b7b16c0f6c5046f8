//! A4 SELECT: chooses the file that the next reading is about.

use super::Command;

/// By its id; the answer is empty.
pub fn by_id(file: u16) -> Command {
    Command::sends(0x00, 0xA4, [0, 0], &file.to_be_bytes())
}

/// By its name, at most 16 bytes; the answer is empty.
pub fn by_name(name: &[u8; 16]) -> Command {
    Command::sends(0x00, 0xA4, [0x04, 0], name)
}
