//! The commands of the ZC line that this driver offers, one file each (device-serial-zc.md, sections 5 and 6).
//!
//! Each is a pure pair of functions: request → bytes, bytes → answer. Commands that this driver must never send (0x99 erases
//! the converter's database, FB–FE are for the factory) have no file here, and nothing sends a command by a free number.
//!
//! Known by name only, and so not offered: 0D, 0E, 0F, 10, 19, 1A and 1B (rolls and reports by way of a reporting disk, buying
//! rolls). Their fields are not known, and a changing command is not sent on a guess. 14 does nothing on any known device.

pub mod certificate_password;
pub mod channel;
pub mod clear;
pub mod disk_info;
pub mod disk_number;
pub mod issue;
pub mod limits;
pub mod network;
pub mod offline;
pub mod online;
pub mod password;
pub mod query;
pub mod rates;
pub mod rebuild;
pub mod refresh_offline;
pub mod report;
pub mod reporting_info;
pub mod reporting_number;
pub mod speed;
pub mod statistics;
pub mod stock;
pub mod upload;
pub mod upload_errors;
pub mod void;

use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;

use super::fields::{BadAnswer, FieldReader, FieldWriter};
use crate::secret::Secret;

/// Whose disk a command is for. The device refuses when another disk is plugged in.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Taxpayer number in the disk.
    pub taxpayer: &'a TaxpayerNumber,
    /// The disk's number.
    pub disk: &'a DiskNumber,
    /// 税控盘口令.
    pub password: &'a Secret,
    /// 机器编号.
    pub machine: &'a str,
}

impl Subject<'_> {
    /// nsrsbh 20, skpbh 12, skpkl 8: the beginning of nearly every command.
    fn without_kind(&self) -> FieldWriter {
        let mut writer = FieldWriter::new();
        writer
            .text("seller.taxpayer_number", self.taxpayer.as_str(), 20)
            .text("disk number", self.disk.as_str(), 12)
            .password("disk password", self.password);
        writer
    }

    /// The above and fplxdm 3.
    fn begin(&self, kind: InvoiceKind) -> FieldWriter {
        let mut writer = self.without_kind();
        writer.text("kind", kind.fplxdm(), 3);
        writer
    }

    /// COMMON55: the above and jqbh 12.
    fn common(&self, kind: InvoiceKind) -> FieldWriter {
        let mut writer = self.begin(kind);
        writer.text("machine number", self.machine, 12);
        writer
    }
}

impl FieldWriter {
    /// A password of 8 bytes. Its text never appears in a refusal.
    fn password(&mut self, field: &str, secret: &Secret) -> &mut FieldWriter {
        match checked_password(secret) {
            Ok(bytes) => self.bytes(field, bytes, PASSWORD_BYTES),
            Err(problem) => self.refuse(field, problem),
        }
    }
}

/// Bytes of a password field.
const PASSWORD_BYTES: usize = 8;

/// The bytes of a password that fits its field.
pub(super) fn checked_password(secret: &Secret) -> Result<&[u8], &'static str> {
    match secret.expose() {
        [] => Err("it is not set: set it on the computer that has the disk"),
        bytes if bytes.len() > PASSWORD_BYTES || !bytes.iter().all(u8::is_ascii_graphic) => {
            Err("it does not fit: 1 to 8 ASCII characters are expected")
        }
        bytes => Ok(bytes),
    }
}

/// The answer's kind must be the one that was asked for.
fn expect_kind(reader: &mut FieldReader<'_>, kind: InvoiceKind) -> Result<(), BadAnswer> {
    let text = reader.text(3);
    if text == kind.fplxdm() {
        return Ok(());
    }
    Err(BadAnswer(format!("the disk answered for the kind {text:?}, {kind} was asked for")))
}

/// Made-up data of the vectors (device-serial-zc.md, section 10).
#[cfg(test)]
pub(super) mod samples {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::LazyLock;

    static TAXPAYER: LazyLock<TaxpayerNumber> = LazyLock::new(|| TaxpayerNumber::from_device("91110000MA00000019").unwrap());
    static DISK: LazyLock<DiskNumber> = LazyLock::new(|| "499000123456".parse().unwrap());
    static PASSWORD: LazyLock<Secret> = LazyLock::new(|| Secret::new("88888888"));

    pub(in super::super) fn subject() -> Subject<'static> {
        Subject { taxpayer: &TAXPAYER, disk: &DISK, password: &PASSWORD, machine: "JQ0000000001" }
    }
}
