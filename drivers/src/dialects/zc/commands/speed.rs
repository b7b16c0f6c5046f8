//! 18 设置串口波特率: the line's speed. The device answers at the old speed and reopens its port at the new one.

use super::super::fields::{FieldError, FieldWriter};

/// Command number.
pub const CODE: u8 = 0x18;

/// The speeds of the converter, baud. It refuses others with a text.
pub const SPEEDS: [u32; 9] = [300, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];

/// Six digits. The answer is empty.
///
/// # Errors
/// Not a speed of the converter: after a wrong one nobody could talk to it.
pub fn request(speed_baud: u32) -> Result<Vec<u8>, FieldError> {
    let mut writer = FieldWriter::new();
    if !SPEEDS.contains(&speed_baud) {
        writer.refuse("speed", format!("{speed_baud} baud is not possible; one of {SPEEDS:?} is"));
    }
    writer.text("speed", &format!("{speed_baud:06}"), 6);
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::vectors;
    use super::*;

    #[test]
    fn vector_17() {
        assert_eq!(vectors::frames_of(CODE, &request(57_600).unwrap()), vectors::frames("17 request"));
        assert!(request(57_601).is_err() && request(1_000_000).is_err());
    }
}
