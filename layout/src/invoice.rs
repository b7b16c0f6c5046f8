//! What documents are made of: an issued invoice with everything that the device said of it.

use taxdisk_protocol::ids::{DiskNumber, SerialNumber, TaxpayerNumber};
use taxdisk_protocol::invoice::Invoice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::mark::marked_remark;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::rules::{LINES_MAX, TEXT_CHARS_MAX};

use crate::error::LayoutError;

/// The longest cipher text (密文) that is laid out, characters. 84, 108 and 112 are known (invoice-rules.md, section 2).
pub const CIPHER_CHARS_MAX: usize = 224;
/// The longest QR content, bytes. That of an invoice is under 100; more would make modules too fine to scan from paper.
pub const QR_BYTES_MAX: usize = 256;

/// An issued invoice, and what its documents say beside its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedInvoice {
    /// 发票请求流水号.
    pub serial: SerialNumber,
    /// 发票种类.
    pub kind: InvoiceKind,
    /// 发票代码, 发票号码.
    pub pair: NumberPair,
    /// 开票日期: the disk's clock, `yyyyMMddHHmmss`, China's time.
    pub issued_at: String,
    /// 机器编号: the number of the disk that signed.
    pub machine: DiskNumber,
    /// 校验码 (jym): 20 digits on ordinary invoices, none on special ones; `None` where the device did not say it.
    pub check_code: Option<String>,
    /// 密文 (fp_mw) of the cipher area, opaque; `None` where the device did not say it.
    pub cipher: Option<String>,
    /// QR content (ewm) as the device or the cloud gave it. Without it a real invoice carries no QR code: it is never made up.
    pub qr_text: Option<String>,
    /// 销方.
    pub seller: Seller,
    /// The content that was signed. The amounts of a red invoice are negative.
    pub invoice: Invoice,
    /// The mark at the end of the printed remark, if the disk was given one ([`taxdisk_protocol::mark`]).
    pub mark: Option<String>,
    /// The invoice that a red one reverses; `None` on a blue one.
    pub original: Option<NumberPair>,
    /// 信息表编号 of a red special invoice.
    pub notice: Option<String>,
    /// A simulated disk signed: every document says 样票 / SAMPLE.
    pub simulated: bool,
}

/// 销方, as printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seller {
    /// 名称.
    pub name: String,
    /// 纳税人识别号.
    pub taxpayer_number: TaxpayerNumber,
    /// 地址、电话; may be empty.
    pub address_phone: String,
    /// 开户行及账号; may be empty.
    pub bank_account: String,
}

impl IssuedInvoice {
    /// 备注 as printed: the original of a red invoice, the caller's remark, the mark.
    pub(crate) fn remark(&self) -> String {
        let remark = marked_remark(&self.invoice.remark, self.mark.as_deref());
        let reference = match (self.original, &self.notice) {
            (Some(_), Some(notice)) if self.kind.is_special() => {
                (notice.clone(), format!("开具红字增值税专用发票信息表编号{notice}"))
            }
            (Some(pair), _) => (pair.number.to_string(), format!("对应正数发票代码:{}号码:{}", pair.code, pair.number)),
            (None, _) => return remark,
        };
        match reference {
            // The caller, or the component, has written it already.
            (key, _) if self.invoice.remark.contains(&key) => remark,
            (_, text) if remark.is_empty() => text,
            (_, text) => format!("{text} {remark}"),
        }
    }

    /// Red: it reverses another one.
    pub(crate) fn is_red(&self) -> bool {
        self.original.is_some() || self.invoice.totals.gross.fen() < 0
    }

    /// 校验码; a special invoice has none.
    pub(crate) fn check_code(&self) -> &str {
        if self.kind.is_special() { "" } else { self.check_code.as_deref().unwrap_or_default() }
    }

    /// Refuses what is beyond every limit, before any work is done with it.
    pub(crate) fn check(&self) -> Result<(), LayoutError> {
        let lines = self.invoice.lines.len();
        if lines > LINES_MAX {
            return Err(LayoutError::TooMany { field: "lines", found: lines, limit: LINES_MAX, unit: "lines" });
        }
        let time = &self.issued_at;
        if time.len() != 14 || taxdisk_protocol::time::Timestamp::from_disk(time).is_none() {
            return Err(LayoutError::NotATime);
        }
        for (field, text) in self.texts() {
            let limit = if field == "cipher" { CIPHER_CHARS_MAX } else { TEXT_CHARS_MAX };
            let found = text.chars().count();
            if found > limit {
                return Err(LayoutError::TooMany { field, found, limit, unit: "characters" });
            }
            if let Some((position, character)) = text.chars().enumerate().find(|(_, c)| is_forbidden(*c)) {
                return Err(LayoutError::Control { field, character, position });
            }
        }
        Ok(())
    }

    /// Every text that comes from outside, with its name.
    fn texts(&self) -> Vec<(&'static str, &str)> {
        let (buyer, seller, invoice) = (&self.invoice.buyer, &self.seller, &self.invoice);
        let mut texts = vec![
            ("buyer.name", buyer.name.as_str()),
            ("buyer.address_phone", &buyer.address_phone),
            ("buyer.bank_account", &buyer.bank_account),
            ("seller.name", &seller.name),
            ("seller.address_phone", &seller.address_phone),
            ("seller.bank_account", &seller.bank_account),
            ("remark", &invoice.remark),
            ("clerk", &invoice.clerk),
            ("payee", &invoice.payee),
            ("reviewer", &invoice.reviewer),
            ("check_code", self.check_code.as_deref().unwrap_or_default()),
            ("cipher", self.cipher.as_deref().unwrap_or_default()),
            ("qr_text", self.qr_text.as_deref().unwrap_or_default()),
            ("notice", self.notice.as_deref().unwrap_or_default()),
            ("mark", self.mark.as_deref().unwrap_or_default()),
        ];
        for line in &invoice.lines {
            let code = line.goods_code.as_deref().unwrap_or_default();
            texts.extend([("line.name", line.name.as_str()), ("line.specification", &line.specification)]);
            texts.extend([("line.unit", line.unit.as_str()), ("line.goods_code", code)]);
        }
        texts
    }
}

/// Control characters, and what XML 1.0 excludes.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}')
}
