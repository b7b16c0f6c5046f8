//! `[disk.issuing]` and `[disk.skserver]`: what full invoices say besides their content, and what an invoicing server does not
//! tell of the disk behind it.

use serde::{Deserialize, Serialize};
use taxdisk_drivers::dialects::nisec::document::Issuing;
use taxdisk_drivers::dialects::skserver::{NumberForm, SkServerConfig};
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;

/// The longest address or bank account, bytes of GBK; a Chinese character has two.
const LINE_MAX_BYTES: usize = 100;
/// Digits of the signature parameters.
const SIGNATURE_DIGITS: usize = 16;

/// What every invoice of this disk says besides its content. Left out: as the driver's usual.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IssuingSection {
    /// Seller's address and telephone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller_address_phone: Option<String>,
    /// Seller's bank and account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller_bank_account: Option<String>,
    /// 编码表版本号.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goods_table: Option<String>,
    /// 开票机号.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<u16>,
    /// 签名参数, 16 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_parameters: Option<String>,
    /// The most lines of a paper invoice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper_lines: Option<u16>,
}

impl IssuingSection {
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, text) in
            [("seller_address_phone", &self.seller_address_phone), ("seller_bank_account", &self.seller_bank_account)]
        {
            let bytes = text.iter().flat_map(|text| text.chars()).map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
            if bytes > LINE_MAX_BYTES {
                return Err(format!("issuing.{key} has {bytes} bytes; {LINE_MAX_BYTES} fit on an invoice."));
            }
        }
        let digits = |text: &String| text.len() == SIGNATURE_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
        if !self.signature_parameters.as_ref().is_none_or(digits) {
            return Err(format!("issuing.signature_parameters must be {SIGNATURE_DIGITS} digits."));
        }
        if self.paper_lines == Some(0) {
            return Err("issuing.paper_lines must be 1 or more.".to_owned());
        }
        Ok(())
    }

    /// As drivers take it.
    pub fn issuing(&self) -> Issuing {
        let usual = Issuing::default();
        let or = |text: &Option<String>, usual: String| text.clone().unwrap_or(usual);
        Issuing {
            seller_address_phone: or(&self.seller_address_phone, usual.seller_address_phone),
            seller_bank_account: or(&self.seller_bank_account, usual.seller_bank_account),
            goods_table: or(&self.goods_table, usual.goods_table),
            machine: self.machine.map_or(usual.machine, |machine| machine.to_string()),
            signature_parameters: or(&self.signature_parameters, usual.signature_parameters),
            paper_lines: self.paper_lines.unwrap_or(usual.paper_lines),
        }
    }
}

/// What an invoicing server does not tell of the disk behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkServerSection {
    /// 开票终端标识: names one disk behind the server.
    pub terminal: String,
    /// Number of that disk.
    pub disk: String,
    /// Its taxpayer's number.
    pub taxpayer: String,
    /// His name, as it stands on invoices.
    pub taxpayer_name: String,
    /// The kinds that it is licensed for, three digits each.
    pub kinds: Vec<String>,
    /// Number of the 税控钥匙, if it is to be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_number: Option<String>,
    /// How a query names a number.
    #[serde(default)]
    pub number_form: NumberForm,
    /// The digit of cxfs by which this product is asked for a request serial, from its maker's document. Left out: it cannot
    /// be, or nobody knows; never found out by trying. It is used only after it was proven on an invoice of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_query: Option<u8>,
}

/// The same, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkServerSetup {
    section: SkServerSection,
    disk: DiskNumber,
    taxpayer: TaxpayerNumber,
    kinds: Vec<InvoiceKind>,
}

impl SkServerSection {
    pub(super) fn parse(&self) -> Result<SkServerSetup, String> {
        if self.terminal.is_empty() {
            return Err("skserver.terminal is empty.".to_owned());
        }
        // 0 asks by number.
        if self.request_query.is_some_and(|digit| !(1..=9).contains(&digit)) {
            return Err("skserver.request_query must be a digit from 1 to 9.".to_owned());
        }
        let disk = self.disk.parse().map_err(|error| format!("skserver.disk: {error}."))?;
        let taxpayer = self.taxpayer.parse().map_err(|error| format!("skserver.taxpayer: {error}."))?;
        if self.kinds.is_empty() {
            return Err("skserver.kinds is empty.".to_owned());
        }
        let kind = |text: &String| text.parse().map_err(|_| format!("skserver.kinds: {text:?} is no kind of invoice."));
        let kinds = self.kinds.iter().map(kind).collect::<Result<_, String>>()?;
        Ok(SkServerSetup { section: self.clone(), disk, taxpayer, kinds })
    }
}

impl SkServerSetup {
    /// The disk that is meant, and its kinds.
    pub fn disk(&self) -> (&DiskNumber, &[InvoiceKind]) {
        (&self.disk, &self.kinds)
    }

    /// As the driver takes it, without password and limits.
    pub fn config(&self) -> SkServerConfig {
        SkServerConfig {
            taxpayer_name: self.section.taxpayer_name.clone(),
            kinds: self.kinds.clone(),
            key_number: self.section.key_number.clone(),
            number_form: self.section.number_form,
            request_query: self.section.request_query,
            ..SkServerConfig::new(self.section.terminal.clone(), self.disk.clone(), self.taxpayer.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn issuing_fills_what_is_left_out_and_checks_widths() {
        let section: IssuingSection = toml::from_str("seller_address_phone = \"示例路1号\"\nmachine = 2").unwrap();
        section.check().unwrap();
        let issuing = section.issuing();
        assert_eq!((issuing.seller_address_phone.as_str(), issuing.machine.as_str()), ("示例路1号", "2"));
        assert_eq!(issuing.signature_parameters, Issuing::default().signature_parameters);
        let long = IssuingSection { seller_bank_account: Some("行".repeat(51)), ..IssuingSection::default() };
        assert!(long.check().unwrap_err().contains("102 bytes"));
        let odd = IssuingSection { signature_parameters: Some("1".into()), ..IssuingSection::default() };
        assert!(odd.check().unwrap_err().contains("16 digits"));
    }

    #[test]
    fn a_servers_disk_is_parsed_strictly() {
        let text = "terminal = \"1\"\ndisk = \"661500000001\"\ntaxpayer = \"91110000MA0000001L\"\ntaxpayer_name = \"示例\"\nkinds = [\"007\"]";
        let good: SkServerSection = toml::from_str(text).unwrap();
        assert_eq!(good.parse().unwrap().config().kinds.len(), 1);
        for (change, part) in [
            (SkServerSection { terminal: String::new(), ..good.clone() }, "terminal"),
            (SkServerSection { disk: "".into(), ..good.clone() }, "skserver.disk"),
            (SkServerSection { taxpayer: "x".into(), ..good.clone() }, "skserver.taxpayer"),
            (SkServerSection { kinds: vec!["x".into()], ..good.clone() }, "skserver.kinds"),
            (SkServerSection { request_query: Some(0), ..good.clone() }, "skserver.request_query"),
        ] {
            assert!(change.parse().unwrap_err().contains(part), "{part}");
        }
    }
}
