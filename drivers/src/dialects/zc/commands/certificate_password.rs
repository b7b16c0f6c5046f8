//! 1C 证书口令更改: the certificate's password. Changes the disk; a repeat would cost a try.

use super::super::fields::{FieldError, FieldWriter};
use crate::secret::Secret;

/// Command number.
pub const CODE: u8 = 0x1C;

/// old 8, new 8, jqbh 12. The answer is empty.
///
/// # Errors
/// A field does not fit. No password stands in the text.
pub fn request(machine: &str, old: &Secret, new: &Secret) -> Result<Vec<u8>, FieldError> {
    let mut writer = FieldWriter::new();
    writer.password("old password", old).password("new password", new).text("machine number", machine, 12);
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_in_their_places() {
        let data = request("JQ0000000001", &Secret::new("12345678"), &Secret::new("abc")).unwrap();
        assert_eq!(data, b"12345678abc\0\0\0\0\0JQ0000000001");
        assert!(request("", &Secret::default(), &Secret::new("abc")).is_err());
    }
}
