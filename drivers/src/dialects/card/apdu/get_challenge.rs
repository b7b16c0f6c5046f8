//! 84 GET CHALLENGE: a random number of the card. Changes nothing a person would see.

use super::Command;

/// So many random bytes: 4 or 8.
pub fn request(bytes: u8) -> Command {
    Command::fetches(0x00, 0x84, [0, 0], bytes)
}
