//! 04 税控盘信息查询: whose disk it is, what it is licensed for, its clock. Carries the disk's password.

use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;

use super::super::fields::{BadAnswer, FieldError, FieldReader, FieldWriter};
use crate::disk::Identity;
use crate::secret::Secret;

/// Command number.
pub const CODE: u8 = 0x04;

const ANSWER_BYTES: usize = 375;

/// skpkl 8, jqbh 12.
///
/// # Errors
/// Password or machine number do not fit.
pub fn request(password: &Secret, machine: &str) -> Result<Vec<u8>, FieldError> {
    let mut writer = FieldWriter::new();
    writer.password("disk password", password).text("machine number", machine, 12);
    writer.finish()
}

/// Kinds that this program does not know are left out: they cannot be asked for.
///
/// # Errors
/// Wrong length, or a number in it is none.
pub fn answer(data: &[u8]) -> Result<Identity, BadAnswer> {
    let mut reader = FieldReader::exact(data, ANSWER_BYTES)?;
    let disk: DiskNumber = reader.value("skpbh", 12)?;
    let taxpayer: TaxpayerNumber = reader.value("nsrsbh", 20)?;
    let taxpayer_name = reader.text(80);
    reader.bytes(11 + 80);
    let kinds = reader.text(30);
    let clock = reader.told(14);
    reader.bytes(14);
    let version = reader.text(10);
    let kinds = kinds.as_bytes().chunks(3).filter_map(|code| std::str::from_utf8(code).ok()?.parse::<InvoiceKind>().ok());
    Ok(Identity { disk, taxpayer, taxpayer_name, kinds: kinds.collect(), clock, version })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::samples;
    use super::*;

    /// Written by hand after section 6: there is no vector for this command.
    pub(crate) fn sample() -> Vec<u8> {
        let mut writer = FieldWriter::new();
        writer.text("", "499000123456", 12).text("", "91110000MA00000019", 20).text("", "示例商贸有限公司", 80);
        writer.text("", "11100000000", 11).text("", "税务局", 80).text("", "004007025999026", 30);
        writer.text("", "20260302101500", 14).text("", "20250101000000", 14).text("", "V1.0", 10).text("", "0", 5);
        writer.text("", "001", 3).empty(16).empty(80);
        writer.finish().unwrap()
    }

    #[test]
    fn request_and_answer() {
        let request = request(samples::subject().password, "JQ0000000001").unwrap();
        assert_eq!(request, b"88888888JQ0000000001");
        let identity = answer(&sample()).unwrap();
        assert_eq!(identity.disk.as_str(), "499000123456");
        assert_eq!(identity.taxpayer_name, "示例商贸有限公司");
        let codes: Vec<&str> = identity.kinds.iter().map(|kind| kind.fplxdm()).collect();
        assert_eq!(codes, ["004", "007", "025", "026"]);
        assert_eq!(identity.clock.as_deref(), Some("20260302101500"));
        assert_eq!(identity.version, "V1.0");
        assert!(answer(&sample()[1..]).is_err());
        assert!(answer(&[0; ANSWER_BYTES]).is_err());
    }

    #[test]
    fn a_missing_or_long_password_is_refused_without_showing_it() {
        assert!(super::request(&Secret::default(), "").unwrap_err().to_string().contains("not set"));
        let error = super::request(&Secret::new("hunter2hunter2"), "").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
