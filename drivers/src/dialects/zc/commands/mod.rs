//! The commands of the ZC line that this driver offers, one file each (device-serial-zc.md, sections 5 and 6).
//!
//! Each is a pure pair of functions: request → bytes, bytes → answer. Commands that this driver must never send (0x99 erases
//! the converter's database, FB–FE are for the factory) have no file here, and nothing sends a command by a free number.

pub mod disk_info;
pub mod disk_number;
pub mod issue;
pub mod limits;
pub mod offline;
pub mod online;
pub mod query;
pub mod rates;
pub mod statistics;
pub mod stock;
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
    /// nsrsbh 20, skpbh 12, skpkl 8, fplxdm 3: the beginning of nearly every command.
    fn begin(&self, kind: InvoiceKind) -> FieldWriter {
        let mut writer = FieldWriter::new();
        writer
            .text("seller.taxpayer_number", self.taxpayer.as_str(), 20)
            .text("disk number", self.disk.as_str(), 12)
            .password("disk password", self.password)
            .text("kind", kind.fplxdm(), 3);
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
        match secret.expose() {
            [] => self.refuse(field, "it is not set: set it on the computer that has the disk"),
            bytes if bytes.len() > 8 || !bytes.iter().all(u8::is_ascii_graphic) => {
                self.refuse(field, "it does not fit: 1 to 8 ASCII characters are expected")
            }
            bytes => self.bytes(field, bytes, 8),
        }
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

    static TAXPAYER: LazyLock<TaxpayerNumber> = LazyLock::new(|| "91110000MA00000019".parse().unwrap());
    static DISK: LazyLock<DiskNumber> = LazyLock::new(|| "499000123456".parse().unwrap());
    static PASSWORD: LazyLock<Secret> = LazyLock::new(|| Secret::new("88888888"));

    pub(in super::super) fn subject() -> Subject<'static> {
        Subject { taxpayer: &TAXPAYER, disk: &DISK, password: &PASSWORD, machine: "JQ0000000001" }
    }
}
