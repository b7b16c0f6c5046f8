//! What a disk can express, as data. The agent reports it with the disk; the broker refuses at submission what no disk of the
//! seller can express. Nothing is cut or replaced silently on a legal document.

use serde::{Deserialize, Serialize};

/// Which characters a disk's fields can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CharacterSet {
    /// GBK as the code page 936 has it: one or two bytes a character.
    Gbk,
    /// Everything that Unicode has.
    Unicode,
}

/// When is it certain that nothing sent earlier can still run on the device (architecture, section 5)?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fence {
    /// A byte stream to one device: after the silence time and a good handshake nothing older can still run.
    Ordered,
    /// The device says which command it ran.
    Token,
    /// A server or bridge may still execute what it took: absence stays unknown.
    None,
}

/// The widths, in bytes of the disk's character set, of the text fields of an invoice. `None`: the dialect has no such field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Widths {
    /// Names of buyer and seller.
    pub party_name: u16,
    /// A taxpayer number.
    pub taxpayer_number: u16,
    /// Address and telephone.
    pub address_phone: Option<u16>,
    /// Bank and account.
    pub bank_account: Option<u16>,
    /// Item name.
    pub item_name: u16,
    /// Specification.
    pub specification: Option<u16>,
    /// Unit.
    pub unit: Option<u16>,
    /// Remark, with our mark in it.
    pub remark: u16,
    /// Clerk, payee and reviewer, each.
    pub person: u16,
    /// An amount as text, sign and point included.
    pub amount: u16,
    /// A price or quantity as text, sign and point included.
    pub price: u16,
}

/// What a disk, as its dialect drives it, can express.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Capabilities {
    /// Characters of the text fields.
    pub characters: CharacterSet,
    /// Widths of the text fields, bytes.
    pub widths: Widths,
    /// The most lines of an invoice, a discount pair counted as the dialect transmits it.
    pub max_lines: u16,
    /// Discount lines exist. If not, a pair is merged into one line.
    pub discount_lines: bool,
    /// Goods codes exist, and with them the fields that came at the same time: why a rate is zero, and the deduction.
    pub goods_codes: bool,
    /// Decimals of price and quantity; the dialect writes all of them.
    pub price_decimals: u8,
    /// Decimals of a tax rate as a fraction (2: 0.13 but not 0.015).
    pub rate_decimals: u8,
    /// One operator field only: clerk, payee and reviewer cannot be told apart.
    pub single_person: bool,
    /// The remark can be read back, so that our mark proves whose an invoice is.
    pub remark_readable: bool,
    /// The issuing command carries the expected pair, and the device checks it.
    pub carries_pair: bool,
    /// Issued invoices can be voided.
    pub void: bool,
    /// Red invoices can be issued.
    pub red: bool,
}
