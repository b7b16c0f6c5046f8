//! 09 口令更改: the disk's password. Changes the disk; a repeat would carry a password that is no longer right and cost a try.

use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};

use super::super::fields::{FieldError, FieldWriter};
use crate::secret::Secret;

/// Command number.
pub const CODE: u8 = 0x09;

/// nsrsbh 20, disk number 12, old 8, new 8, jqbh 12. The answer is empty.
///
/// # Errors
/// A field does not fit. No password stands in the text.
pub fn request(
    taxpayer: &TaxpayerNumber,
    disk: &DiskNumber,
    machine: &str,
    old: &Secret,
    new: &Secret,
) -> Result<Vec<u8>, FieldError> {
    let mut writer = FieldWriter::new();
    writer
        .text("seller.taxpayer_number", taxpayer.as_str(), 20)
        .text("disk number", disk.as_str(), 12)
        .password("old password", old)
        .password("new password", new)
        .text("machine number", machine, 12);
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn both_passwords_stand_side_by_side() {
        let subject = subject();
        let of =
            |old: &str, new: &str| request(subject.taxpayer, subject.disk, subject.machine, &Secret::new(old), &Secret::new(new));
        let data = of("88888888", "1234").unwrap();
        assert_eq!(data, b"91110000MA00000019\x00\x00499000123456888888881234\0\0\0\0JQ0000000001");
        for (old, new) in [("", "1234"), ("88888888", ""), ("88888888", "longer than eight"), ("口令", "1234")] {
            let text = of(old, new).unwrap_err().to_string();
            assert!(!text.contains("8888") && !text.contains("1234") && !text.contains("longer than"), "{text}");
        }
    }
}
