//! 商品档案: what is sold (invoice-rules.md, sections 1, 3 and 6).

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use taxdisk_protocol::api::{BuyerBody, InvoiceBody, LineBody, TotalsBody};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::{gbk, rules};

use super::{Column, Entry, Kind, key};
use crate::document::{Line, derive, exact, fields, submission};
use crate::wire::number;

/// Digits of a unit price, and decimals among them (XMDJ).
const PRICE: (u32, u32) = (15, 6);
/// Digits of a rate, and decimals among them (SL).
const RATE: (u32, u32) = (9, 6);

/// Something that is sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goods {
    /// 商品名称 (XMMC).
    pub name: String,
    /// 规格型号 (GGXH).
    #[serde(default)]
    pub specification: String,
    /// 单位 (DW).
    #[serde(default)]
    pub unit: String,
    /// 含税单价: yuan with tax for one unit, as a person at a counter knows it.
    #[serde(default, with = "exact::option")]
    pub price: Option<Decimal>,
    /// 税率 (SL), a fraction: 0.13.
    #[serde(with = "exact")]
    pub rate: Decimal,
    /// 税收分类编码 (SPBM), 19 digits.
    pub goods_code: String,
    /// 享受优惠政策 (YHZCBS).
    #[serde(default)]
    pub preferential: bool,
    /// 优惠政策名称 (ZZSTSGL), `免税`.
    #[serde(default)]
    pub policy: String,
    /// 零税率标识 (LSLBS): empty, 0, 1, 2 or 3.
    #[serde(default)]
    pub zero_rate: String,
}

const fn column(heading: &'static str, aliases: &'static [&'static str], required: bool, number: bool) -> Column {
    Column { heading, aliases, required, number }
}

const NAME: usize = 0;
const SPECIFICATION: usize = 1;
const UNIT: usize = 2;
const PRICE_PLACE: usize = 3;
const RATE_PLACE: usize = 4;
const GOODS_CODE: usize = 5;
const PREFERENTIAL: usize = 6;
const POLICY: usize = 7;
const ZERO_RATE: usize = 8;

impl Entry for Goods {
    const KIND: Kind = Kind::Goods;
    const COLUMNS: &'static [Column] = &[
        column("商品名称", &["name", "XMMC", "项目名称"], true, false),
        column("规格型号", &["specification", "GGXH"], false, false),
        column("单位", &["unit", "DW", "计量单位"], false, false),
        column("含税单价", &["price", "单价（含税）", "单价(含税)"], false, true),
        column("税率", &["rate", "SL"], true, true),
        column("税收分类编码", &["tax_code", "SPBM", "商品编码"], true, false),
        column("享受优惠政策", &["preferential", "YHZCBS"], false, true),
        column("优惠政策名称", &["policy", "ZZSTSGL"], false, false),
        column("零税率标识", &["zero_rate", "LSLBS"], false, true),
    ];

    fn read(cells: &[String]) -> Result<Goods, Vec<(Option<usize>, String)>> {
        let mut faults = Vec::new();
        for (place, name) in [(NAME, "XMMC"), (SPECIFICATION, "GGXH"), (UNIT, "DW"), (POLICY, "ZZSTSGL")] {
            let max = fields::LINE.iter().find(|(known, _)| *known == name).map_or(0, |(_, max)| *max);
            faults.extend(text_faults(&cells[place], max).into_iter().map(|text| (Some(place), text)));
        }
        let price = match cells[PRICE_PLACE].as_str() {
            "" => None,
            text => match exact_decimal(text, PRICE) {
                Ok(price) if price > Decimal::ZERO => Some(price),
                Ok(_) => {
                    faults.push((Some(PRICE_PLACE), "单价应大于 0；没有固定单价时请留空".to_owned()));
                    None
                }
                Err(text) => {
                    faults.push((Some(PRICE_PLACE), text));
                    None
                }
            },
        };
        let rate = rate(&cells[RATE_PLACE]).unwrap_or_else(|text| {
            faults.push((Some(RATE_PLACE), text));
            Decimal::ZERO
        });
        let goods_code = &cells[GOODS_CODE];
        if goods_code.len() != fields::GOODS_CODE_DIGITS || !goods_code.bytes().all(|byte| byte.is_ascii_digit()) {
            let text = format!("税收分类编码应为 {} 位数字", fields::GOODS_CODE_DIGITS);
            faults.push((Some(GOODS_CODE), text));
        }
        let preferential = match cells[PREFERENTIAL].as_str() {
            "" | "0" | "否" => false,
            "1" | "是" => true,
            _ => {
                faults.push((Some(PREFERENTIAL), "应为 0（否）或 1（是）".to_owned()));
                false
            }
        };
        let zero_rate = cells[ZERO_RATE].clone();
        if !matches!(zero_rate.as_str(), "" | "0" | "1" | "2" | "3") {
            let text = "应为空、0（出口退税）、1（免税）、2（不征收）或 3（普通零税率）";
            faults.push((Some(ZERO_RATE), text.to_owned()));
        } else if !zero_rate.is_empty() && !rate.is_zero() {
            faults.push((Some(ZERO_RATE), "只有税率为 0 的商品才有零税率标识".to_owned()));
        }
        let policy = cells[POLICY].clone();
        if !policy.is_empty() && !preferential {
            faults.push((Some(POLICY), "填写优惠政策名称时，享受优惠政策应为 1".to_owned()));
        }
        let goods = Goods {
            name: cells[NAME].clone(),
            specification: cells[SPECIFICATION].clone(),
            unit: cells[UNIT].clone(),
            price,
            rate,
            goods_code: goods_code.clone(),
            preferential,
            policy,
            zero_rate,
        };
        if faults.is_empty() {
            faults = goods.judge();
        }
        if faults.is_empty() { Ok(goods) } else { Err(faults) }
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.specification.clone(),
            self.unit.clone(),
            self.price.map(|price| price.normalize().to_string()).unwrap_or_default(),
            self.rate.normalize().to_string(),
            self.goods_code.clone(),
            if self.preferential { "1" } else { "0" }.to_owned(),
            self.policy.clone(),
            self.zero_rate.clone(),
        ]
    }

    fn key(&self) -> String {
        key(&[&self.name, &self.specification])
    }
}

impl Goods {
    /// The line that it makes: `gross` yuan with tax, or price times quantity.
    pub fn line(&self, quantity: Option<Decimal>, gross: Decimal) -> Line {
        Line {
            name: self.name.clone(),
            specification: self.specification.clone(),
            unit: self.unit.clone(),
            quantity,
            gross,
            rate: self.rate,
            goods_code: self.goods_code.clone(),
            preferential: self.preferential,
            zero_rate: self.zero_rate.clone(),
            policy: self.policy.clone(),
            ..Line::default()
        }
    }

    /// The rules of an invoice, asked with a trial invoice that holds one line of it.
    fn judge(&self) -> Vec<(Option<usize>, String)> {
        let gross = Decimal::ONE_HUNDRED;
        let tax = derive::cents(gross * self.rate / (Decimal::ONE + self.rate));
        let net = gross - tax;
        let zero_rate = match self.zero_rate.as_str() {
            "0" => Some("export"),
            "1" => Some("exempt"),
            "2" => Some("not_taxed"),
            "3" => Some("ordinary"),
            _ => None,
        };
        let line = LineBody {
            name: self.name.clone(),
            goods_code: Some(self.goods_code.clone()),
            specification: self.specification.clone(),
            unit: self.unit.clone(),
            net: submission::money(net),
            rate: self.rate.normalize().to_string(),
            tax: submission::money(tax),
            zero_rate: zero_rate.map(str::to_owned),
            ..LineBody::default()
        };
        let trial = InvoiceBody {
            buyer: BuyerBody { name: "个人".to_owned(), ..BuyerBody::default() },
            lines: vec![line],
            totals: TotalsBody { net: submission::money(net), tax: submission::money(tax), gross: submission::money(gross) },
            ..InvoiceBody::default()
        };
        let breaches = rules::parse_invoice(&trial, InvoiceKind::ElectronicOrdinary).err().unwrap_or_default();
        let place = |field: &str| match field.rsplit('.').next() {
            Some("XMMC") => Some(NAME),
            Some("GGXH") => Some(SPECIFICATION),
            Some("DW") => Some(UNIT),
            Some("SL" | "SE") => Some(RATE_PLACE),
            Some("SPBM") => Some(GOODS_CODE),
            Some("LSLBS") => Some(ZERO_RATE),
            _ => None,
        };
        breaches.iter().map(submission::fault).map(|fault| (place(&fault.field), fault.text)).collect()
    }
}

/// Decimals of a number from which on they are the dust of a spreadsheet's float, not something that a person wrote.
const DUST_DECIMALS: u32 = 13;

/// A decimal of so many digits and decimals. The dust of a float is taken away; what a person wrote is never rounded.
pub(crate) fn exact_decimal(text: &str, (digits, decimals): (u32, u32)) -> Result<Decimal, String> {
    let value = number::decimal(text, digits, decimals).map_err(|error| error.to_string())?;
    match Decimal::from_str_exact(text) {
        Ok(written) if written != value && written.scale() < DUST_DECIMALS => Err(format!("“{text}”的小数超过 {decimals} 位")),
        _ => Ok(value),
    }
}

/// A rate as a fraction (`0.13`) or in percent (`13%`).
fn rate(text: &str) -> Result<Decimal, String> {
    let (digits, percent) = match text.strip_suffix(['%', '％']) {
        Some(digits) => (digits.trim_end(), true),
        None => (text, false),
    };
    if digits.is_empty() {
        return Err("必填，不能为空".to_owned());
    }
    let value = exact_decimal(digits, RATE)?;
    let value = if percent { value / Decimal::ONE_HUNDRED } else { value };
    if value < Decimal::ZERO || value >= Decimal::ONE {
        return Err("税率应为小数或百分数，例如 0.06 或 6%，而不是 6".to_owned());
    }
    if value != value.round_dp(RATE.1) {
        return Err(format!("税率的小数超过 {} 位", RATE.1));
    }
    Ok(value.normalize())
}

/// What is wrong with a text that is printed.
pub(crate) fn text_faults(text: &str, max: usize) -> Vec<String> {
    let mut faults = Vec::new();
    let length = text.chars().count();
    if length > max {
        faults.push(format!("长度为 {length}，最多 {max} 个字符"));
    }
    if let Some(place) = text.chars().position(char::is_control) {
        faults.push(format!("第 {} 个字符是控制字符（例如换行）", place + 1));
    } else if let Some((place, c)) = gbk::unencodable(text).first() {
        faults.push(format!("第 {} 个字符“{c}”（U+{:04X}）不在 GBK 字符集中，税控设备无法打印", place + 1, u32::from(*c)));
    }
    faults
}
