//! Whom a document is for, and the settings that no disk tells.

use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};

use super::writer::Writer;
use crate::secret::Secret;

/// The disk that a document is for, and its two passwords: DISK4 of the facts.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// 税控盘编号 (skpbh).
    pub disk: &'a DiskNumber,
    /// Its taxpayer (nsrsbh).
    pub taxpayer: &'a TaxpayerNumber,
    /// 税控盘口令 (skpkl).
    pub disk_password: &'a Secret,
    /// 数字证书密码 (keypwd).
    pub certificate_password: &'a Secret,
}

impl Card<'_> {
    /// nsrsbh, skpbh, skpkl, keypwd, as most commands begin.
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.plain("nsrsbh", self.taxpayer.as_str());
        self.write_without_taxpayer(writer);
    }

    /// skpbh, skpkl, keypwd, as FPKJ begins.
    pub(super) fn write_without_taxpayer(&self, writer: &mut Writer) {
        writer.plain("skpbh", self.disk.as_str());
        writer.secret("skpkl", self.disk_password);
        writer.secret("keypwd", self.certificate_password);
    }
}

/// What an invoice says besides its content. It does not change from one invoice to the next.
#[derive(Debug, Clone)]
pub struct Issuing {
    /// 销货单位地址电话 (xhdwdzdh), at most 100 bytes of GBK; may be empty.
    pub seller_address_phone: String,
    /// 销货单位银行账号 (xhdwyhzh), at most 100 bytes of GBK; may be empty.
    pub seller_bank_account: String,
    /// 编码表版本号 (bmbbbh): the version of the table that the goods codes are taken from.
    pub goods_table: String,
    /// 开票机号 (kpjh), 0 to 65535; 0 is the main machine.
    pub machine: String,
    /// 签名参数 (qmcs): 16 digits whose meaning is unknown; the component's installation shows them.
    pub signature_parameters: String,
    /// The most lines of a paper invoice (004, 007). More need a list (清单), which is not written.
    pub paper_lines: u16,
}

impl Default for Issuing {
    fn default() -> Issuing {
        Issuing {
            seller_address_phone: String::new(),
            seller_bank_account: String::new(),
            goods_table: "13.0".to_owned(),
            machine: "0".to_owned(),
            signature_parameters: "0000004282000000".to_owned(),
            paper_lines: 8,
        }
    }
}
