//! 06 监控数据查询: limits and dates of a kind. An empty field means "not told", never zero.

use taxdisk_protocol::kind::InvoiceKind;

use super::super::fields::{BadAnswer, FieldError, FieldReader};
use super::{Subject, expect_kind};
use crate::disk::Limits;

/// Command number.
pub const CODE: u8 = 0x06;

/// Converters write the offline amount in 12 bytes, registers expect 14: the length of the answer tells (section 6.1).
const SHORT_BYTES: usize = 356;
const LONG_BYTES: usize = 358;

/// COMMON55.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>, kind: InvoiceKind) -> Result<Vec<u8>, FieldError> {
    subject.common(kind).finish()
}

/// # Errors
/// Wrong length, another kind, or a number in it is none.
pub fn answer(data: &[u8], kind: InvoiceKind) -> Result<Limits, BadAnswer> {
    let (expected, amount_width) = if data.len() == LONG_BYTES { (LONG_BYTES, 14) } else { (SHORT_BYTES, 12) };
    let mut reader = FieldReader::exact(data, expected)?;
    expect_kind(&mut reader, kind)?;
    let issue_deadline = reader.told(8);
    let from = reader.text(14);
    let to = reader.text(14);
    let invoice_limit = reader.told_value("dzkpxe", 12)?;
    // zxbsrq 14 and syrl 12: the widths that add up to 356 and 358, and that vector 16 has.
    reader.bytes(14 + 12);
    let upload_day = reader.told_value("scjzrq", 2)?;
    let offline_hours = reader.told_value("lxkpsc", 5)?;
    let offline_amount = reader.told_value("lxzsljje", amount_width)?;
    let period = (!from.is_empty() || !to.is_empty()).then_some((from, to));
    Ok(Limits { issue_deadline, period, invoice_limit, upload_day, offline_hours, offline_amount })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::vectors;
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn vector_16() {
        let frames = vectors::frames_of(CODE, &request(&subject(), InvoiceKind::Roll).unwrap());
        assert_eq!(frames, vectors::frames("16 request"));
        let data = vectors::answer_data("16 answer");
        let limits = answer(&data, InvoiceKind::Roll).unwrap();
        assert_eq!(limits.issue_deadline.as_deref(), Some("20260331"));
        assert_eq!(limits.invoice_limit.unwrap().to_string(), "9999.99");
        assert_eq!(limits.upload_day, Some(15));
        assert_eq!(limits.offline_hours, Some(72));
        assert_eq!(limits.offline_amount.unwrap().to_string(), "500000.00");
        assert!(limits.period.unwrap().0.starts_with("20260201"));
        assert!(answer(&data, InvoiceKind::PaperOrdinary).is_err());
        assert!(answer(&data[..355], InvoiceKind::Roll).is_err());
    }

    #[test]
    fn the_long_form_and_fields_that_are_not_told() {
        let mut long = b"025".to_vec();
        long.resize(84, 0);
        long.extend(b"500000.00");
        long.resize(LONG_BYTES, 0);
        let limits = answer(&long, InvoiceKind::Roll).unwrap();
        assert_eq!(limits.offline_amount.unwrap().to_string(), "500000.00");
        assert_eq!(Limits { offline_amount: None, ..limits }, Limits::default());
        let mut bad = long;
        bad[84] = b'x';
        assert!(answer(&bad, InvoiceKind::Roll).is_err());
    }
}
