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
    /// Red invoices can be issued.
    pub red: bool,
    /// What it can do besides issuing. Names that this program does not know are left out.
    #[serde(default, deserialize_with = "known")]
    pub operations: Vec<DiskOperation>,
    /// The component keeps the request that an invoice was issued for and finds it by that, as was proven on this disk.
    #[serde(default)]
    pub finds_request: bool,
    /// Any number can be read back with its content; if not, the disk tells its last number only, and no content.
    #[serde(default = "yes")]
    pub numbers_readable: bool,
}

/// Agents from before there were other disks say nothing.
fn yes() -> bool {
    true
}

impl Capabilities {
    /// Whether the disk can do it.
    pub fn can(&self, operation: DiskOperation) -> bool {
        self.operations.contains(&operation)
    }
}

/// What a disk can do besides issuing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskOperation {
    /// 作废 of an issued invoice.
    Void,
    /// 作废 of the next blank.
    BlankVoid,
    /// 抄报.
    Report,
    /// 清卡.
    Clear,
    /// Upload of invoices that were issued off line.
    Upload,
    /// 离线权限更新.
    RefreshOffline,
    /// 口令更改.
    ChangePassword,
}

impl DiskOperation {
    /// As it is written on the wire and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            DiskOperation::Void => "void",
            DiskOperation::BlankVoid => "blank_void",
            DiskOperation::Report => "report",
            DiskOperation::Clear => "clear",
            DiskOperation::Upload => "upload",
            DiskOperation::RefreshOffline => "refresh_offline",
            DiskOperation::ChangePassword => "change_password",
        }
    }
}

impl std::fmt::Display for DiskOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A newer agent may name operations that this program does not know: it must not lose the whole disk for that.
fn known<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<DiskOperation>, D::Error> {
    let names = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(names.into_iter().filter_map(|name| serde_json::from_value(name).ok()).collect())
}
