//! 0B 发票作废: voids an issued invoice (zflx 1), or the next blank (zflx 0). Changes the disk.
//!
//! zflx 0 voids the *current* blank whatever number stands in the request, so a repeat burns the next one: the driver reads
//! the current pair just before, and a person or the accounting reads it afterwards.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;

use super::super::fields::{BadAnswer, FieldError, FieldReader};
use super::{Subject, expect_kind};
use crate::secret::Secret;

/// Command number.
pub const CODE: u8 = 0x0B;

const ANSWER_BYTES: usize = 549;

/// zflx: what is voided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// 0: the current blank. The pair in the request is what the caller expects; the device does not look at it.
    Blank,
    /// 1: an invoice that was issued.
    Issued,
}

impl Target {
    pub(in super::super) fn digit(self) -> &'static str {
        match self {
            Target::Blank => "0",
            Target::Issued => "1",
        }
    }
}

/// # Errors
/// A code of 10 digits, or a field that does not fit.
pub fn request(
    subject: &Subject<'_>,
    certificate_password: &Secret,
    kind: InvoiceKind,
    target: Target,
    pair: NumberPair,
    operator: &str,
) -> Result<Vec<u8>, FieldError> {
    let mut writer = subject.begin(kind);
    writer.password("certificate password", certificate_password);
    if pair.code.width() != 12 {
        writer.refuse("code", format!("{} has 10 digits; this interface can only void codes of 12 digits", pair.code));
    }
    writer.text("", target.digit(), 1).text("code", pair.code.as_str(), 12).text("number", &pair.number.to_string(), 8);
    writer.text("operator", operator, 20).text("machine number", subject.machine, 12);
    writer.finish()
}

/// The time of voiding, where the disk tells.
///
/// # Errors
/// Wrong length, another kind, or another pair than asked for.
pub fn answer(data: &[u8], kind: InvoiceKind, pair: NumberPair) -> Result<Option<String>, BadAnswer> {
    let mut reader = FieldReader::exact(data, ANSWER_BYTES)?;
    expect_kind(&mut reader, kind)?;
    let voided = reader.pair()?;
    if voided != pair {
        return Err(BadAnswer(format!("the disk says that it voided {voided}, {pair} was asked for")));
    }
    Ok(reader.told(14))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::vectors;
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn vectors_9_and_10() {
        let pair: NumberPair = "011002000107 00000088".parse().unwrap();
        let data = request(&subject(), &Secret::new("12345678"), InvoiceKind::Roll, Target::Issued, pair, "张三").unwrap();
        assert_eq!(vectors::frames_of(CODE, &data), vectors::frames("9 request"));
        let blank = request(&subject(), &Secret::new("12345678"), InvoiceKind::Roll, Target::Blank, pair, "张三").unwrap();
        let differ: Vec<usize> = (0..data.len()).filter(|at| data[*at] != blank[*at]).collect();
        assert_eq!((differ, blank[51]), (vec![51], b'0'));
        let data = vectors::answer_data("10 answer");
        assert_eq!(answer(&data, InvoiceKind::Roll, pair).unwrap().as_deref(), Some("20260302103000"));
        assert!(answer(&data, InvoiceKind::Roll, pair.successor().unwrap()).is_err());
        assert!(answer(&data, InvoiceKind::PaperOrdinary, pair).is_err());
        assert!(answer(&data[1..], InvoiceKind::Roll, pair).is_err());
    }
}
