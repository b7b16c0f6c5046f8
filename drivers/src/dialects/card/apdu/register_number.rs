//! F0: the card's number, with a random number and a code over both for the tax office. Changes nothing.

use super::{Command, FISCAL_CLASS};

const ANSWER_BYTES: u8 = 0x10;

/// The command.
pub fn request() -> Command {
    Command::fetches(FISCAL_CLASS, 0xF0, [0, 0], ANSWER_BYTES)
}

/// The card's number. `None` on a wrong length.
pub fn answer(data: &[u8]) -> Option<[u8; 8]> {
    (data.len() == usize::from(ANSWER_BYTES)).then(|| data[4..12].try_into().ok())?
}
