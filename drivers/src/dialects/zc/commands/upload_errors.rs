//! 31 上传出错发票: invoices that the tax office did not take, at most 10 at a time. Reads only.

use taxdisk_protocol::number::NumberPair;

use super::super::fields::{BadAnswer, FieldError, FieldReader};
use super::Subject;

/// Command number.
pub const CODE: u8 = 0x31;

const HEAD_BYTES: usize = 8;
const ENTRY_BYTES: usize = 12 + 8 + 128;

/// What the device says instead of an empty list.
pub const NONE: &str = "无上传错误发票信息";

/// An invoice whose upload failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadError {
    /// Which.
    pub pair: NumberPair,
    /// Why, in the words of the tax office.
    pub reason: String,
}

/// nsrsbh 20, skpbh 12, skpkl 8, jqbh 12.
///
/// # Errors
/// A field does not fit.
pub fn request(subject: &Subject<'_>) -> Result<Vec<u8>, FieldError> {
    let mut writer = subject.without_kind();
    writer.text("machine number", subject.machine, 12);
    writer.finish()
}

/// # Errors
/// The count does not match the length, or a pair is none.
pub fn answer(data: &[u8]) -> Result<Vec<UploadError>, BadAnswer> {
    let count = data.len().saturating_sub(HEAD_BYTES) / ENTRY_BYTES;
    let mut reader = FieldReader::exact(data, HEAD_BYTES + count * ENTRY_BYTES)?;
    let told: usize = reader.value("count", HEAD_BYTES)?;
    if told != count {
        return Err(BadAnswer(format!("the disk announces {told} invoices whose upload failed and sends {count}")));
    }
    (0..count).map(|_| Ok(UploadError { pair: reader.pair()?, reason: reader.text(128) })).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::fields::FieldWriter;
    use super::super::samples::subject;
    use super::*;

    #[test]
    fn entries_are_read_and_counted() {
        assert_eq!(request(&subject()).unwrap().len(), 52);
        let mut writer = FieldWriter::new();
        writer.text("", "1", 8).text("", "011002000107", 12).text("", "00000088", 8).text("", "验签失败", 128);
        let data = writer.finish().unwrap();
        let entries = answer(&data).unwrap();
        assert_eq!((entries[0].pair.to_string().as_str(), entries[0].reason.as_str()), ("011002000107 00000088", "验签失败"));
        let mut wrong = data.clone();
        wrong[0] = b'2';
        assert!(answer(&wrong).is_err() && answer(&data[1..]).is_err() && answer(b"").is_err());
    }
}
