//! 07 授权税率查询: the tax rates that a kind is licensed for.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::TaxRate;

use super::super::fields::{BadAnswer, FieldError, FieldReader};
use super::{Subject, expect_kind};

/// Command number.
pub const CODE: u8 = 0x07;

const RATE_BYTES: usize = 6;

/// COMMON55.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    subject.common(kind).finish()
}

/// # Errors
/// The count does not match the length, another kind, or a rate is none.
pub fn answer(data: &[u8], kind: InvoiceKind) -> Result<Vec<TaxRate>, BadAnswer> {
    let count = data.len().saturating_sub(6) / RATE_BYTES;
    let mut reader = FieldReader::exact(data, 6 + count * RATE_BYTES)?;
    expect_kind(&mut reader, kind)?;
    let told: usize = reader.value("count", 3)?;
    if told != count {
        return Err(BadAnswer(format!("the disk announces {told} tax rates and sends {count}")));
    }
    (0..count).map(|_| reader.value("sl", RATE_BYTES)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn rates_are_read_and_counted() {
        assert_eq!(request(&subject(), InvoiceKind::Roll).unwrap().len(), 55);
        let data = b"0250020.13\0\x000.06\0\0";
        let rates = answer(data, InvoiceKind::Roll).unwrap();
        assert_eq!(rates, ["0.13".parse().unwrap(), "0.06".parse().unwrap()]);
        assert!(answer(b"0250030.13\0\x000.06\0\0", InvoiceKind::Roll).is_err());
        assert!(answer(&data[..17], InvoiceKind::Roll).is_err());
        assert!(answer(b"", InvoiceKind::Roll).is_err());
    }
}
