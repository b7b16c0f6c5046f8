//! 12 网络监控回传: fetches the clearance after a report (清卡) and unlocks the disk. Changes the disk; over the network.

use taxdisk_protocol::kind::InvoiceKind;

use super::super::fields::FieldError;
use super::Subject;

/// Command number.
pub const CODE: u8 = 0x12;

/// COMMON55, kpjh 5. The answer is empty.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>, kind: InvoiceKind, issuer: &str) -> Result<Vec<u8>, FieldError> {
    let mut writer = subject.common(kind);
    writer.text("issuer number", issuer, 5);
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn fields_in_their_places() {
        let data = request(&subject(), InvoiceKind::Roll, "0").unwrap();
        assert_eq!(data.len(), 60);
        assert_eq!(&data[40..], b"025JQ00000000010\0\0\0\0");
    }
}
