//! 13 发票统计信息查询: monthly totals of a kind. Two layouts exist; which one it is, the length must tell (section 6.4).

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;

use super::super::fields::{BadAnswer, FieldError, FieldReader};
use super::{Subject, expect_kind};

/// Command number.
pub const CODE: u8 = 0x13;

const HEAD_BYTES: usize = 6;
const SHORT_MONTH_BYTES: usize = 202;
const LONG_MONTH_BYTES: usize = 210;

/// Totals of one month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Month {
    /// First and last day, `yyyyMMdd`.
    pub period: (String, String),
    /// Stock at the beginning, bought, given back, positive, positive voided, negative, negative voided, blank voided, stock at
    /// the end. `None`: not told.
    pub counts: [Option<u32>; 9],
    /// Amount and tax of positive, positive voided, negative, negative voided. `None`: not told.
    pub sums: [(Option<Amount>, Option<Amount>); 4],
}

/// From and to are days, `yyyyMMdd`.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>, kind: InvoiceKind, from: &str, to: &str) -> Result<Vec<u8>, FieldError> {
    let mut writer = subject.begin(kind);
    writer.text("from", from, 8).text("to", to, 8).text("machine number", subject.machine, 12);
    writer.finish()
}

/// # Errors
/// The length fits neither layout or both (then nothing is guessed), another kind, or a number in it is none.
pub fn answer(data: &[u8], kind: InvoiceKind) -> Result<Vec<Month>, BadAnswer> {
    let body = data.len().saturating_sub(HEAD_BYTES);
    let (month_bytes, amount_width) = match (body % SHORT_MONTH_BYTES, body % LONG_MONTH_BYTES) {
        (0, 0) if body == 0 => (SHORT_MONTH_BYTES, 12),
        (0, 1..) => (SHORT_MONTH_BYTES, 12),
        (1.., 0) => (LONG_MONTH_BYTES, 14),
        _ => return Err(BadAnswer(format!("monthly totals of {} bytes cannot be told apart: two layouts exist", data.len()))),
    };
    let months = body / month_bytes;
    let mut reader = FieldReader::exact(data, HEAD_BYTES + months * month_bytes)?;
    expect_kind(&mut reader, kind)?;
    reader.bytes(3);
    (0..months).map(|_| month(&mut reader, amount_width)).collect()
}

fn month(reader: &mut FieldReader<'_>, amount_width: usize) -> Result<Month, BadAnswer> {
    let period = (reader.text(8), reader.text(8));
    let mut counts = [None; 9];
    for count in &mut counts {
        *count = reader.told_value("fs", 10)?;
    }
    let mut sums = [(None, None); 4];
    for (amount, tax) in &mut sums {
        *amount = reader.told_value("je", amount_width)?;
        *tax = reader.told_value("se", 12)?;
    }
    Ok(Month { period, counts, sums })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::fields::FieldWriter;
    use super::super::samples::subject;
    use super::*;

    fn totals(months: usize, amount_width: usize) -> Vec<u8> {
        let mut writer = FieldWriter::new();
        writer.text("", "025", 3).empty(3);
        for _ in 0..months {
            writer.text("", "20260201", 8).text("", "20260228", 8);
            for count in 0..9 {
                writer.text("", &count.to_string(), 10);
            }
            for sum in ["226.00", "0.00", "1.00", "2.00"] {
                writer.text("", sum, amount_width).text("", "26.00", 12);
            }
        }
        writer.finish().unwrap()
    }

    #[test]
    fn both_layouts_are_told_by_their_length() {
        assert_eq!(request(&subject(), InvoiceKind::Roll, "20260201", "20260228").unwrap().len(), 71);
        for width in [12, 14] {
            let months = answer(&totals(2, width), InvoiceKind::Roll).unwrap();
            assert_eq!(months.len(), 2);
            assert_eq!(months[1].counts[8], Some(8));
            assert_eq!(months[1].sums[0].0.unwrap().to_string(), "226.00");
            assert_eq!(months[0].period.0, "20260201");
        }
        assert_eq!(answer(&totals(0, 12), InvoiceKind::Roll).unwrap(), []);
    }

    #[test]
    fn what_fits_neither_or_both_is_not_guessed() {
        assert!(answer(&totals(2, 12)[..409], InvoiceKind::Roll).is_err());
        // 105 short months are 101 long ones.
        assert!(answer(&totals(105, 12), InvoiceKind::Roll).is_err());
        assert!(answer(b"", InvoiceKind::Roll).is_err());
    }
}
