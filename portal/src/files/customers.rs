//! 客户档案: to whom is sold.

use serde::{Deserialize, Serialize};
use taxdisk_protocol::ids::TaxpayerNumber;

use super::goods::text_faults;
use super::{Column, Entry, Kind, key};

/// What a buyer is; it decides which fields he needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuyerType {
    /// 企业: has a taxpayer number.
    #[default]
    Enterprise,
    /// 非企业性单位: schools, hospitals, authorities; may have no number.
    Institution,
    /// 个人.
    Person,
}

impl BuyerType {
    /// All of them.
    pub const ALL: [BuyerType; 3] = [BuyerType::Enterprise, BuyerType::Institution, BuyerType::Person];

    /// In Chinese.
    pub fn text(self) -> &'static str {
        match self {
            BuyerType::Enterprise => "企业",
            BuyerType::Institution => "非企业性单位",
            BuyerType::Person => "个人",
        }
    }

    fn parse(text: &str) -> Option<BuyerType> {
        BuyerType::ALL.into_iter().find(|kind| kind.text() == text).or(match text {
            "enterprise" => Some(BuyerType::Enterprise),
            "institution" | "非企业" => Some(BuyerType::Institution),
            "person" => Some(BuyerType::Person),
            _ => None,
        })
    }
}

/// A buyer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Customer {
    /// 企业, 非企业性单位 or 个人.
    pub kind: BuyerType,
    /// 购方名称 (GMF_MC).
    pub title: String,
    /// 纳税人识别号 (GMF_NSRSBH); empty where there is none.
    #[serde(default)]
    pub taxpayer_number: String,
    /// 地址、电话 (GMF_DZDH).
    #[serde(default)]
    pub address_phone: String,
    /// 开户行及账号 (GMF_YHZH).
    #[serde(default)]
    pub bank_account: String,
    /// Where the invoice is sent.
    #[serde(default)]
    pub mail: String,
    /// Telephone for messages.
    #[serde(default)]
    pub phone: String,
}

/// The longest mail address (RFC 5321), characters.
const MAX_MAIL: usize = 254;
/// Digits of a telephone number (E.164), with `+`, blanks and hyphens.
const MAX_PHONE: usize = 20;

const TYPE: usize = 0;
const TITLE: usize = 1;
const TAXPAYER_NUMBER: usize = 2;
const ADDRESS_PHONE: usize = 3;
const BANK_ACCOUNT: usize = 4;
const MAIL: usize = 5;
const PHONE: usize = 6;

const fn column(heading: &'static str, aliases: &'static [&'static str], required: bool) -> Column {
    Column { heading, aliases, required, number: false }
}

impl Entry for Customer {
    const KIND: Kind = Kind::Customers;
    const COLUMNS: &'static [Column] = &[
        column("类型", &["type"], true),
        column("购方名称", &["title", "GMF_MC", "抬头", "名称"], true),
        column("纳税人识别号", &["taxpayer_number", "GMF_NSRSBH", "税号"], false),
        column("地址、电话", &["address_phone", "GMF_DZDH", "地址电话"], false),
        column("开户行及账号", &["bank_account", "GMF_YHZH", "开户行账号"], false),
        column("邮箱", &["mail", "email", "电子邮箱"], false),
        column("手机", &["phone", "手机号"], false),
    ];

    fn read(cells: &[String]) -> Result<Customer, Vec<(Option<usize>, String)>> {
        let mut faults = Vec::new();
        for (place, max) in [(TITLE, 100), (ADDRESS_PHONE, 100), (BANK_ACCOUNT, 100)] {
            faults.extend(text_faults(&cells[place], max).into_iter().map(|text| (Some(place), text)));
        }
        let kind = BuyerType::parse(&cells[TYPE]).unwrap_or_else(|| {
            faults.push((Some(TYPE), "应为 企业、非企业性单位 或 个人".to_owned()));
            BuyerType::Person
        });
        if cells[TITLE].is_empty() {
            faults.push((Some(TITLE), "必填，不能为空".to_owned()));
        }
        let number = &cells[TAXPAYER_NUMBER];
        if number.is_empty() {
            if kind == BuyerType::Enterprise {
                faults.push((Some(TAXPAYER_NUMBER), "企业必须填写纳税人识别号".to_owned()));
            }
        } else if number.parse::<TaxpayerNumber>().is_err() {
            let text = "不是纳税人识别号：应为 15 至 20 位数字和大写字母；18 位的还须校验码正确，请核对有无抄错";
            faults.push((Some(TAXPAYER_NUMBER), text.to_owned()));
        }
        if !cells[MAIL].is_empty() && !is_mail(&cells[MAIL]) {
            faults.push((Some(MAIL), "不是邮箱地址".to_owned()));
        }
        if !cells[PHONE].is_empty() && !is_phone(&cells[PHONE]) {
            faults.push((Some(PHONE), "不是电话号码：应为 5 至 15 位数字，可含 + - 和空格".to_owned()));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Customer {
            kind,
            title: cells[TITLE].clone(),
            taxpayer_number: number.clone(),
            address_phone: cells[ADDRESS_PHONE].clone(),
            bank_account: cells[BANK_ACCOUNT].clone(),
            mail: cells[MAIL].clone(),
            phone: cells[PHONE].clone(),
        })
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.text().to_owned(),
            self.title.clone(),
            self.taxpayer_number.clone(),
            self.address_phone.clone(),
            self.bank_account.clone(),
            self.mail.clone(),
            self.phone.clone(),
        ]
    }

    fn key(&self) -> String {
        key(&[&self.title, &self.taxpayer_number])
    }
}

/// Looks like an address that mail can be sent to.
pub fn is_mail(text: &str) -> bool {
    text.chars().count() <= MAX_MAIL && text.parse::<lettre::Address>().is_ok()
}

/// Looks like a telephone number.
pub fn is_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let allowed = |(place, c): (usize, char)| c.is_ascii_digit() || matches!(c, '-' | ' ') || c == '+' && place == 0;
    text.len() <= MAX_PHONE && (5..=15).contains(&digits) && text.char_indices().all(allowed)
}
