//! 16 发票实时上传: starts the upload of invoices that were issued off line. Changes the device.
//!
//! It is a toggle: sent a second time while the upload runs, it *stops* it. So it is never a retry; the driver asks first
//! whether anything waits, and does not send it again before it has seen that nothing does.

use taxdisk_protocol::kind::InvoiceKind;

use super::super::fields::FieldError;
use super::Subject;

/// Command number.
pub const CODE: u8 = 0x16;

/// czlx: its values are not documented. The examined converter does not look at it.
const ACTION: &str = "0";

/// nsrsbh 20, skpbh 12, skpkl 8, fplxdm 3, fpzs 10, czlx 1, jqbh 12, kpjh 5. The answer is empty.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>, kind: InvoiceKind, count: u32, issuer: &str) -> Result<Vec<u8>, FieldError> {
    let mut writer = subject.begin(kind);
    writer.text("count", &count.to_string(), 10).text("", ACTION, 1);
    writer.text("machine number", subject.machine, 12).text("issuer number", issuer, 5);
    writer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn fields_in_their_places() {
        let data = request(&subject(), InvoiceKind::Roll, 3, "0").unwrap();
        assert_eq!(data.len(), 71);
        assert_eq!(&data[40..], b"0253\0\0\0\0\0\0\0\0\x000JQ00000000010\0\0\0\0");
    }
}
