//! 20 VERIFY: shows the card its PIN. Tries are few: it is sent once per session and never after a refusal.

use super::Command;
use crate::secret::Secret;

/// Bytes of a PIN.
pub const PIN_BYTES: usize = 8;

/// The answer is empty.
///
/// # Errors
/// The PIN does not fit. It does not stand in the text.
pub fn request(pin: &Secret, pin_id: u8) -> Result<Command, &'static str> {
    match pin.expose() {
        bytes if (1..=PIN_BYTES).contains(&bytes.len()) => Ok(Command::sends(0x00, 0x20, [0, pin_id], bytes)),
        _ => Err("the PIN does not fit: 1 to 8 bytes are expected"),
    }
}
