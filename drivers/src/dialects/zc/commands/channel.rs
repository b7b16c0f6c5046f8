//! 32 安全通道连接测试: asks the device to test its network and certificate. Reads only, but carries both passwords.

use super::super::fields::{FieldError, FieldWriter};
use super::Subject;
use crate::secret::Secret;

/// Command number.
pub const CODE: u8 = 0x32;

/// nsrsbh 20, skpbh 12, skpkl 8, jqbh 12, zskl 8. The answer is empty.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>, certificate_password: &Secret) -> Result<Vec<u8>, FieldError> {
    let mut writer: FieldWriter = subject.without_kind();
    writer.text("machine number", subject.machine, 12).password("certificate password", certificate_password);
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn fields_in_their_places() {
        let data = request(&subject(), &Secret::new("12345678")).unwrap();
        assert_eq!(data, b"91110000MA00000019\x00\x0049900012345688888888JQ000000000112345678");
    }
}
