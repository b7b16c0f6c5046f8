//! 08 购票信息查询: the pair that the next invoice will get, and how many are left.

use taxdisk_protocol::kind::InvoiceKind;

use super::super::fields::{BadAnswer, FieldError, FieldReader};
use super::{Subject, expect_kind};
use crate::disk::Stock;

/// Command number.
pub const CODE: u8 = 0x08;

const ANSWER_BYTES: usize = 35;

/// COMMON55.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    subject.common(kind).finish()
}

/// # Errors
/// Wrong length, another kind, or a number in it is none.
pub fn answer(data: &[u8], kind: InvoiceKind) -> Result<Stock, BadAnswer> {
    let mut reader = FieldReader::exact(data, ANSWER_BYTES)?;
    expect_kind(&mut reader, kind)?;
    Ok(Stock { current: reader.pair()?, remaining: reader.value("zsyfs", 12)? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::vectors;
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn vector_3() {
        let frames = vectors::frames_of(CODE, &request(&subject(), InvoiceKind::Roll).unwrap());
        assert_eq!(frames, vectors::frames("3 request"));
        let data = vectors::answer_data("3 answer");
        let stock = answer(&data, InvoiceKind::Roll).unwrap();
        assert_eq!(stock.current.to_string(), "011002000107 00000088");
        assert_eq!(stock.remaining, 913);
        assert!(answer(&data, InvoiceKind::PaperSpecial).is_err());
        assert!(answer(&data[..34], InvoiceKind::Roll).is_err());
        let mut empty = data;
        empty[3..].fill(0);
        assert!(answer(&empty, InvoiceKind::Roll).is_err(), "an empty pair is no pair");
    }
}
