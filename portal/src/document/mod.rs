//! An invoice as 用友's clients write it, from JSON to what the broker is asked for.
//!
//! In this order (yonyou-open-api.md, section 3.1): [`read`] takes the fields by a table and normalises them, [`mod@derive`]
//! fills amounts that were left empty and checks those that were not, [`discount`] pairs discount lines, [`submission`] makes the
//! broker's job, and `taxdisk_protocol::rules` judges it as the broker will. [`canonical`] is what makes two requests the same;
//! [`split`] cuts a long one, [`red`] reverses an issued one.
//!
//! All of it is pure. Money is exact; nothing is cut; every fault names its field and the rule that it breaks, and all faults of
//! a document are found in one go.
//!
//! Read first: [`Document`], [`Fault`].

pub mod canonical;
pub mod derive;
pub mod discount;
pub mod exact;
pub mod fields;
pub mod read;
pub mod red;
pub mod split;
pub mod submission;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `JSHJ`, `items[0].XMJE`.
    pub field: String,
    /// A stable name of the rule.
    pub rule: String,
    /// For people: what is wrong, and what would be right.
    pub text: String,
}

impl Fault {
    /// A fault of a field.
    pub fn new(field: impl Into<String>, rule: &str, text: impl Into<String>) -> Fault {
        Fault { field: field.into(), rule: rule.to_owned(), text: text.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}：{}（规则 {}）", self.field, self.text, self.rule)
    }
}

/// 发票行性质.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub enum LineKind {
    /// 0.
    #[default]
    Normal,
    /// 1.
    Discount,
    /// 2.
    Discounted,
}

/// One line. `None` and empty: not given, as long as nothing was derived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Line {
    /// FPHXZ.
    pub kind: LineKind,
    /// XMMC.
    pub name: String,
    /// XMBM.
    pub item_code: String,
    /// GGXH.
    pub specification: String,
    /// DW.
    pub unit: String,
    /// XMSL.
    #[serde(default, with = "exact::option")]
    pub quantity: Option<Decimal>,
    /// XMDJ, without tax.
    #[serde(default, with = "exact::option")]
    pub price: Option<Decimal>,
    /// XMJE.
    #[serde(default, with = "exact::option")]
    pub net: Option<Decimal>,
    /// XMJSHJ.
    #[serde(with = "exact")]
    pub gross: Decimal,
    /// SL.
    #[serde(with = "exact")]
    pub rate: Decimal,
    /// SE.
    #[serde(default, with = "exact::option")]
    pub tax: Option<Decimal>,
    /// HH.
    pub number: String,
    /// ZKHHH.
    pub discount_number: String,
    /// SPBM, 19 digits.
    pub goods_code: String,
    /// ZXBM.
    pub own_code: String,
    /// YHZCBS.
    pub preferential: bool,
    /// LSLBS.
    pub zero_rate: String,
    /// ZZSTSGL.
    pub policy: String,
    /// KCE.
    #[serde(default, with = "exact::option")]
    pub deduction: Option<Decimal>,
}

/// Head and lines of one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Document {
    /// FPQQLSH.
    pub serial: String,
    /// FPLX, 1 if left out.
    pub kind: u8,
    /// Text fields of the head by their names, without those that are empty.
    pub head: BTreeMap<String, String>,
    /// JSHJ.
    #[serde(with = "exact")]
    pub gross: Decimal,
    /// HJJE.
    #[serde(default, with = "exact::option")]
    pub net: Option<Decimal>,
    /// HJSE.
    #[serde(default, with = "exact::option")]
    pub tax: Option<Decimal>,
    /// The lines, in their order.
    pub lines: Vec<Line>,
    /// Members that this program does not know, as JSON; kept, never a reason to refuse.
    pub unknown: BTreeMap<String, String>,
}

impl Document {
    /// A text of the head; empty if it was not given.
    pub fn text(&self, name: &str) -> &str {
        self.head.get(name).map_or("", String::as_str)
    }
}
