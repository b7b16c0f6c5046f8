//! 03 报税盘编号查询: the number inside the reporting disk, a second disk that carries period reports. No password.

pub use super::disk_number::{answer, request};

/// Command number.
pub const CODE: u8 = 0x03;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::vectors;
    use super::*;

    #[test]
    fn it_is_like_02_under_its_own_number() {
        let mut expected = vectors::frame("2 request");
        expected[2] = CODE;
        let end = expected.len() - 2;
        let crc = super::super::super::crc::checksum(&expected[..end]).to_be_bytes();
        expected[end..].copy_from_slice(&crc);
        assert_eq!(vectors::frames_of(CODE, &request("JQ0000000001").unwrap()), [expected]);
        assert_eq!(answer(b"499000123457").unwrap().as_str(), "499000123457");
    }
}
