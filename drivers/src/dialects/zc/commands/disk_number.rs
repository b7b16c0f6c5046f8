//! 02 税控盘编号查询: the number inside the disk. No password.

use taxdisk_protocol::ids::DiskNumber;

use super::super::fields::{BadAnswer, FieldError, FieldWriter, decode_text, parse};

/// Command number.
pub const CODE: u8 = 0x02;

/// jqbh 12.
///
/// # Errors
/// The machine number does not fit.
pub fn request(machine: &str) -> Result<Vec<u8>, FieldError> {
    let mut writer = FieldWriter::new();
    writer.text("machine number", machine, 12);
    writer.finish()
}

/// The number, not padded.
///
/// # Errors
/// It is no disk number.
pub fn answer(data: &[u8]) -> Result<DiskNumber, BadAnswer> {
    parse("skpbh", &decode_text(data))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::vectors;
    use super::*;

    #[test]
    fn vector_2() {
        assert_eq!(vectors::frames_of(CODE, &request("JQ0000000001").unwrap()), vectors::frames("2 request"));
        assert_eq!(answer(&vectors::answer_data("2 answer")).unwrap().as_str(), "499000123456");
        assert!(answer(b"").is_err());
        assert!(answer(&[0xFF; 12]).is_err());
    }
}
