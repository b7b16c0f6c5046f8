//! 1D 发票补录: the converter rebuilds its own records of a period from the disk. Changes the converter, not the disk.

use taxdisk_protocol::kind::InvoiceKind;

use super::super::fields::FieldError;
use super::Subject;

/// Command number.
pub const CODE: u8 = 0x1D;

/// nsrsbh 20, skpbh 12, skpkl 8, fplxdm 3, from 8, to 8, jqbh 12; from and to are days, `yyyyMMdd`. The answer is empty.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>, kind: InvoiceKind, from: &str, to: &str) -> Result<Vec<u8>, FieldError> {
    // The same fields as those of the monthly totals.
    super::statistics::request(subject, kind, from, to)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn fields_in_their_places() {
        let data = request(&subject(), InvoiceKind::Roll, "20260201", "20260228").unwrap();
        assert_eq!(data.len(), 71);
        assert_eq!(&data[40..], b"0252026020120260228JQ0000000001");
    }
}
