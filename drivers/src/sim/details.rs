//! What a full invoice says beyond a till's receipt: goods codes, discount lines, addresses, accounts, the caller's request.
//!
//! Kept in the ledger beside the older fields; each is left out of the file where it is empty, so that a ledger or an order
//! written before these fields existed reads back unchanged. Nothing here is checked: [`super::rules`] does that.

use serde::{Deserialize, Serialize};
use taxdisk_protocol::money::Amount;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// 发票行性质 (fphxz).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineNature {
    /// 0: an ordinary line.
    #[default]
    Normal,
    /// 1: a discount on the line above it.
    Discount,
    /// 2: a line whose discount follows.
    Discounted,
    /// 6: the one line "see list" of a red invoice with a list.
    SeeList,
}

impl LineNature {
    /// The nature of an fphxz text; empty = ordinary.
    pub fn of(fphxz: &str) -> Option<LineNature> {
        match fphxz {
            "" | "0" => Some(LineNature::Normal),
            "1" => Some(LineNature::Discount),
            "2" => Some(LineNature::Discounted),
            "6" => Some(LineNature::SeeList),
            _ => None,
        }
    }

    /// fphxz.
    pub fn fphxz(self) -> &'static str {
        match self {
            LineNature::Normal => "0",
            LineNature::Discount => "1",
            LineNature::Discounted => "2",
            LineNature::SeeList => "6",
        }
    }
}

/// One line, in the device's own writing (two decimals for amounts; prices and quantities as they came).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct EntryLine {
    /// Item name.
    pub name: String,
    /// Price without tax.
    pub price: String,
    /// Quantity.
    pub quantity: String,
    /// Amount without tax.
    pub net: Amount,
    /// Rate as a fraction.
    pub rate: String,
    /// Tax.
    pub tax: Amount,
    /// Price with tax; empty where the dialect has none.
    pub gross_price: String,
    /// Amount with tax.
    pub gross: Amount,
    /// 发票行性质 (fphxz).
    #[serde(skip_serializing_if = "is_default")]
    pub nature: LineNature,
    /// 规格型号 (ggxh).
    #[serde(skip_serializing_if = "is_default")]
    pub specification: String,
    /// 单位 (dw).
    #[serde(skip_serializing_if = "is_default")]
    pub unit: String,
    /// 商品编码 (spbm).
    #[serde(skip_serializing_if = "is_default")]
    pub goods_code: String,
    /// 自行编码 (zxbm).
    #[serde(skip_serializing_if = "is_default")]
    pub own_code: String,
    /// 优惠政策标识 (yhzcbs).
    #[serde(skip_serializing_if = "is_default")]
    pub preferential: String,
    /// 零税率标识 (slbs, lslbs).
    #[serde(skip_serializing_if = "is_default")]
    pub zero_rate: String,
    /// 增值税特殊管理 (zzstsgl).
    #[serde(skip_serializing_if = "is_default")]
    pub policy: String,
    /// 扣除额 (kcje, kce) of 差额征税.
    #[serde(skip_serializing_if = "is_default")]
    pub deduction: Option<Amount>,
}

/// The head of a full invoice beyond buyer, totals, remark and operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Details {
    /// 请求流水号 (fpqqlsh): the caller's key, where the component takes one.
    #[serde(skip_serializing_if = "is_default")]
    pub request_id: String,
    /// 特殊票种 (tspz): 00, 01, 02 …
    #[serde(skip_serializing_if = "is_default")]
    pub special: String,
    /// 征税方式 (zsfs).
    #[serde(skip_serializing_if = "is_default")]
    pub taxation: String,
    /// Seller's address and telephone.
    #[serde(skip_serializing_if = "is_default")]
    pub seller_address: String,
    /// Seller's bank and account.
    #[serde(skip_serializing_if = "is_default")]
    pub seller_bank: String,
    /// Buyer's address and telephone.
    #[serde(skip_serializing_if = "is_default")]
    pub buyer_address: String,
    /// Buyer's bank and account.
    #[serde(skip_serializing_if = "is_default")]
    pub buyer_bank: String,
    /// 收款人 (skr).
    #[serde(skip_serializing_if = "is_default")]
    pub payee: String,
    /// 复核人 (fhr).
    #[serde(skip_serializing_if = "is_default")]
    pub reviewer: String,
    /// 通知单 or 信息表编号 (tzdbh).
    #[serde(skip_serializing_if = "is_default")]
    pub notice: String,
    /// 清单标志 (qdbz).
    #[serde(skip_serializing_if = "is_default")]
    pub list: String,
    /// 编码表版本号 (bmbbbh).
    #[serde(skip_serializing_if = "is_default")]
    pub code_table: String,
    /// 综合税率 (zhsl).
    #[serde(skip_serializing_if = "is_default")]
    pub overall_rate: String,
    /// 主要商品名称 (zyspmc).
    #[serde(skip_serializing_if = "is_default")]
    pub main_goods: String,
    /// 所属月份 (ssyf).
    #[serde(skip_serializing_if = "is_default")]
    pub month: String,
    /// 开票机号 (kpjh).
    #[serde(skip_serializing_if = "is_default")]
    pub machine_index: String,
    /// 签名参数 (qmcs).
    #[serde(skip_serializing_if = "is_default")]
    pub signature_parameter: String,
}

impl Details {
    /// Nothing but what a till says.
    pub fn is_empty(&self) -> bool {
        is_default(self)
    }
}

/// By which interface an order came in: it decides which rules a disk applies to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// The serial converter: a till's receipt, full reversal only, amounts of reds as [`super::config::RedSign`] says.
    #[default]
    Converter,
    /// A component (XML): full invoices, reds negative and partial ones allowed.
    Component,
    /// The fiscal card reader link: sums by tax index, returns without an original, fiscal codes of 64 bits.
    Card,
}
