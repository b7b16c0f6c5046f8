//! What a code on the wall asks: set up by the merchant, valid until it is taken down.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::MAX_TEXT;
use crate::document::{Fault, exact};
use crate::files::Goods;
use crate::files::goods::text_faults;
use crate::ledger::Session;
use crate::store::StoreError;

/// Codes on the wall of one organisation at most.
pub const MAX_SETUPS: usize = 50;
/// Items of a code at most: a form on a telephone shows no more.
pub const MAX_ITEMS: usize = 20;
/// Fields of the merchant's own at most.
pub const MAX_FIELDS: usize = 10;
/// 备注 at most, characters (BZ).
const MAX_REMARK: usize = 200;

/// Who says how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Pricing {
    /// 固定金额: yuan with tax.
    Fixed {
        /// The amount.
        #[serde(with = "exact")]
        gross: Decimal,
    },
    /// The guest writes the amount with tax.
    Amount,
    /// The guest writes quantity and unit price with tax.
    Quantity,
    /// The guest writes nothing; the clerk knows.
    Clerk,
}

/// 固定发票项目: one that the guest can see and cannot change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What is sold.
    pub goods: Goods,
    /// How much.
    pub pricing: Pricing,
}

/// 自定义字段.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// What is asked: 房号.
    pub label: String,
    /// Must be answered.
    pub required: bool,
}

/// What a code on the wall asks. Valid until it is disabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Of its address: 128 random bits, base64url.
    pub token: String,
    /// Tenant.
    pub tenant: String,
    /// ORGCODE of the issue point.
    pub orgcode: String,
    /// What the merchant calls it.
    pub name: String,
    /// 固定发票项目.
    pub items: Vec<Item>,
    /// What all amounts of a guest may sum up to, yuan with tax.
    #[serde(with = "exact")]
    pub limit: Decimal,
    /// 备注 of the invoice.
    pub remark: String,
    /// Shows 序号, by which the clerk finds the reservation.
    pub numbered: bool,
    /// 自定义字段.
    pub fields: Vec<Field>,
    /// Milliseconds.
    pub created_at: i64,
    /// When it was disabled, milliseconds.
    pub disabled_at: Option<i64>,
}

impl Setup {
    /// What is wrong with it, for the merchant.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut add = |field: &str, rule: &str, text: String| faults.push(Fault::new(field, rule, text));
        if self.name.trim().is_empty() || self.name.chars().count() > MAX_TEXT {
            add("name", "required", format!("名称应为 1 至 {MAX_TEXT} 个字符"));
        }
        if self.items.len() > MAX_ITEMS {
            add("items", "too_many_lines", format!("最多 {MAX_ITEMS} 个项目"));
        }
        if self.fields.len() > MAX_FIELDS {
            add("fields", "too_many", format!("最多 {MAX_FIELDS} 个自定义字段"));
        }
        for (index, field) in self.fields.iter().enumerate() {
            let twice = self.fields[..index].iter().any(|other| other.label == field.label);
            if field.label.trim().is_empty() || field.label.chars().count() > MAX_TEXT || twice {
                add("fields", "label", format!("字段名应为 1 至 {MAX_TEXT} 个字符且不重复"));
            }
        }
        for text in text_faults(&self.remark, MAX_REMARK) {
            add("BZ", "remark", text);
        }
        if self.limit <= Decimal::ZERO || self.limit != self.limit.round_dp(2) {
            add("limit", "amount", "客户填写金额的上限应大于 0，至多两位小数".to_owned());
        }
        for (index, item) in self.items.iter().enumerate() {
            if let Pricing::Fixed { gross } = item.pricing
                && (gross <= Decimal::ZERO || gross != gross.round_dp(2))
            {
                add(&format!("items[{index}].XMJSHJ"), "amount", "固定金额应大于 0，至多两位小数".to_owned());
            }
        }
        faults
    }
}

/// Makes a code on the wall, or changes what it asks; reservations that exist stay as they are.
///
/// # Errors
/// Those of the store. `Ok(Err(_))`: what is wrong with it.
pub async fn configure(session: &mut Session, setup: &Setup) -> Result<Result<(), Vec<Fault>>, StoreError> {
    let faults = setup.faults();
    if !faults.is_empty() {
        return Ok(Err(faults));
    }
    let known = session.db.setup(&setup.token).await?;
    if known.as_ref().is_some_and(|known| known.tenant != setup.tenant || known.orgcode != setup.orgcode) {
        return Ok(Err(vec![Fault::new("token", "unknown", "没有这个预约二维码")]));
    }
    // Decided here, in the writer: a form that was opened before the code was taken down must not hang it up again.
    if known.as_ref().is_some_and(|known| known.disabled_at.is_some()) {
        return Ok(Err(vec![Fault::new("token", "disabled", "该预约二维码已停用，不能再修改或启用")]));
    }
    if known.is_none() && session.db.setups(&setup.tenant, &setup.orgcode).await?.len() >= MAX_SETUPS {
        return Ok(Err(vec![Fault::new("token", "too_many", format!("每个组织最多 {MAX_SETUPS} 个预约二维码"))]));
    }
    session.db.put_setup(setup).await?;
    Ok(Ok(()))
}

/// Takes a code down, for ever: printed ones lie about. False: no such code of this tenant.
///
/// # Errors
/// Those of the store.
pub async fn disable(session: &mut Session, tenant: &str, token: &str) -> Result<bool, StoreError> {
    let Some(mut setup) = session.db.setup(token).await?.filter(|setup| setup.tenant == tenant) else { return Ok(false) };
    if setup.disabled_at.is_none() {
        setup.disabled_at = Some(session.now);
        session.db.put_setup(&setup).await?;
    }
    Ok(true)
}
