//! 30 获取离线数据: invoices that wait for upload.

use taxdisk_protocol::money::Amount;

use super::super::fields::{BadAnswer, FieldReader};
use crate::disk::OfflineTotals;

/// Command number.
pub const CODE: u8 = 0x30;

const ANSWER_BYTES: usize = 51;

/// # Errors
/// Wrong length, or a number in it is none.
pub fn answer(data: &[u8]) -> Result<OfflineTotals, BadAnswer> {
    let mut reader = FieldReader::exact(data, ANSWER_BYTES)?;
    let count = reader.value("wscfpzs", 8)?;
    let first = reader.told(14);
    let sum = reader.told_value("wscfpljje", 14)?;
    match (count, sum) {
        (0, None) => Ok(OfflineTotals { count, first, sum: Amount::ZERO }),
        (_, Some(sum)) => Ok(OfflineTotals { count, first, sum }),
        (_, None) => Err(BadAnswer(format!("the disk tells {count} invoices that wait for upload, but not their sum"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::vectors;
    use super::*;

    #[test]
    fn vector_18() {
        assert_eq!(vectors::frames_of(CODE, &[]), vectors::frames("18 request"));
        let totals = answer(&vectors::answer_data("18 answer")).unwrap();
        assert_eq!((totals.count, totals.sum.to_string().as_str()), (3, "678.00"));
        assert_eq!(totals.first.as_deref(), Some("20260302101530"));
        assert!(answer(&[0; 51]).is_err(), "an empty count is not zero");
        let mut none = [0; 51];
        none[0] = b'0';
        assert_eq!(answer(&none).unwrap().sum, Amount::ZERO);
        none[0] = b'2';
        assert!(answer(&none).is_err());
    }
}
