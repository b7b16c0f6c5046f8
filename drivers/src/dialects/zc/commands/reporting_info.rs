//! 05 报税盘信息查询: whose reporting disk it is. Carries the reporting disk's own password, not that of the tax disk.

use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};

use super::super::fields::{BadAnswer, FieldError, FieldReader, FieldWriter};
use crate::secret::Secret;

/// Command number.
pub const CODE: u8 = 0x05;

const ANSWER_BYTES: usize = 267;

/// What a reporting disk tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportingDisk {
    /// Its number.
    pub number: DiskNumber,
    /// The taxpayer that it was issued to.
    pub taxpayer: TaxpayerNumber,
    /// His name.
    pub taxpayer_name: String,
    /// Its clock, `yyyyMMddHHmmss`, where it tells.
    pub clock: Option<String>,
    /// 分发标志 (ffbz) as the device writes it; its values are not documented.
    pub distribution_flag: String,
    /// Version text.
    pub version: String,
}

/// bspkl 8, jqbh 12.
///
/// # Errors
/// Password or machine number do not fit.
pub fn request(password: &Secret, machine: &str) -> Result<Vec<u8>, FieldError> {
    let mut writer = FieldWriter::new();
    writer.password("reporting disk password", password).text("machine number", machine, 12);
    writer.finish()
}

/// # Errors
/// Wrong length, or a number in it is none.
pub fn answer(data: &[u8]) -> Result<ReportingDisk, BadAnswer> {
    let mut reader = FieldReader::exact(data, ANSWER_BYTES)?;
    let number = reader.value("bspbh", 12)?;
    let taxpayer = TaxpayerNumber::from_device(&reader.text(20))
        .map_err(|error| BadAnswer(format!("the reporting disk has a taxpayer number that cannot be read: {error}")))?;
    let taxpayer_name = reader.text(80);
    reader.bytes(11 + 80);
    let clock = reader.told(14);
    reader.bytes(14);
    Ok(ReportingDisk { number, taxpayer, taxpayer_name, clock, distribution_flag: reader.text(2), version: reader.text(10) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn request_and_answer() {
        assert_eq!(request(&Secret::new("66666666"), "JQ0000000001").unwrap(), b"66666666JQ0000000001");
        let mut writer = FieldWriter::new();
        writer.text("", "499000123457", 12).text("", "91110000MA00000019", 20).text("", "示例商贸有限公司", 80);
        writer.text("", "11100000000", 11).text("", "税务局", 80).text("", "20260302101500", 14).empty(14);
        writer.text("", "00", 2).text("", "V1.0", 10).text("", "0", 5).text("", "001", 3).empty(16);
        let data = writer.finish().unwrap();
        let disk = answer(&data).unwrap();
        assert_eq!((disk.number.as_str(), disk.taxpayer_name.as_str()), ("499000123457", "示例商贸有限公司"));
        assert_eq!((disk.clock.as_deref(), disk.version.as_str()), (Some("20260302101500"), "V1.0"));
        assert!(answer(&data[1..]).is_err() && answer(&[0; ANSWER_BYTES]).is_err());
    }
}
