//! 预约二维码: a code on the merchant's wall; guests write before or while they stay what invoice they will want, and a clerk
//! makes it when they leave. Nothing is issued without a clerk.
//!
//! One reservation, one invoice: its serial number is made together with it; attached to a draft, it takes the draft's. A clerk
//! takes a reservation before he edits it ([`hold`]); a second one sees who has it. The hold ends by itself ([`super::hold`]), is
//! released, or ends with the invoice: [`issue`] writes the request and marks the reservation as used in one transaction. If we
//! stop before its commit, neither is written, and the clerk sends the same form again.

mod setup;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::act;
use super::claim::Buyer;
use super::hold::Hold;
use super::insert::{self, Batch, Refusal, Verdict};
use super::request::Phase;
use crate::document::{Fault, exact, split};
use crate::files::customers::BuyerType;
use crate::files::goods::text_faults;
use crate::files::{Customer, Entry as _, Goods};
use crate::ledger::Session;
use crate::store::StoreError;

pub use setup::{Field, Item, MAX_FIELDS, MAX_ITEMS, MAX_SETUPS, Pricing, Setup, configure, disable};

/// Reservations of an organisation that wait at most; a stranger cannot fill the disk of the portal.
pub const MAX_UNUSED: i64 = 5_000;
/// A name or an answer at most, characters.
const MAX_TEXT: usize = 100;
/// Characters of a form's key: 128 bits, base64url.
const FORM_KEY_CHARS: usize = 22;

/// A form as a guest sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Made when the form was shown: the same form sent again is the same reservation.
    pub form_key: String,
    /// 企业, 非企业性单位 or 个人.
    pub kind: BuyerType,
    /// The buyer.
    pub buyer: Buyer,
    /// Telephone.
    pub phone: String,
    /// Mail address.
    pub mail: String,
    /// For each item: quantity, and unit price or amount with tax; by its pricing.
    pub amounts: Vec<(Option<Decimal>, Option<Decimal>)>,
    /// Answers to the merchant's own fields, in their order.
    pub answers: Vec<String>,
}

/// One line that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// What is sold.
    pub goods: Goods,
    /// Quantity, where the guest wrote one.
    #[serde(default, with = "exact::option")]
    pub quantity: Option<Decimal>,
    /// Yuan with tax, where it is known.
    #[serde(default, with = "exact::option")]
    pub gross: Option<Decimal>,
}

/// Who made the invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The clerk's account.
    pub person: String,
    /// Milliseconds.
    pub at: i64,
    /// Serial number of the invoice, where the reservation was attached to a draft that had one; empty: the reservation's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
}

/// What a guest wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Tenant.
    pub tenant: String,
    /// Serial number of the one invoice that it can become.
    pub serial: String,
    /// ORGCODE of the issue point.
    pub orgcode: String,
    /// Token of its code.
    pub setup: String,
    /// Key of its form.
    pub form_key: String,
    /// 序号, counted by organisation from 1.
    pub number: i64,
    /// 企业, 非企业性单位 or 个人.
    pub kind: BuyerType,
    /// The buyer.
    pub buyer: Buyer,
    /// Telephone.
    pub phone: String,
    /// Mail address.
    pub mail: String,
    /// What is wanted.
    pub lines: Vec<Wanted>,
    /// 备注.
    pub remark: String,
    /// The merchant's own fields and their answers.
    pub answers: Vec<(String, String)>,
    /// Milliseconds.
    pub created_at: i64,
    /// Who has it.
    pub hold: Option<Hold>,
    /// Who made its invoice.
    pub used: Option<Used>,
}

impl Reservation {
    /// Serial number of the invoice that it became, or would become by itself.
    pub fn invoice_serial(&self) -> &str {
        match &self.used {
            Some(used) if !used.serial.is_empty() => &used.serial,
            _ => &self.serial,
        }
    }
}

/// Which reservations a clerk looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Tenant.
    pub tenant: String,
    /// ORGCODE.
    pub orgcode: String,
    /// Part of the buyer's name, telephone or mail address, or the number; empty: all.
    pub word: String,
    /// Used, unused, or both.
    pub used: Option<bool>,
    /// Numbers below this one.
    pub before: i64,
    /// Rows at most.
    pub limit: u32,
}

/// What reserving did.
#[derive(Debug, Clone)]
pub enum Reserved {
    /// It is there, now or since the form was sent before.
    Done(Box<Reservation>),
    /// No such code.
    Unknown,
    /// The merchant took the code down. Nothing is reserved.
    Disabled,
    /// Too many wait; the merchant must work on them first. Nothing is reserved.
    Full,
    /// The form is wrong. Nothing is reserved.
    Wrong(Vec<Fault>),
}

/// Reserves.
///
/// # Errors
/// Those of the store.
pub async fn reserve(session: &mut Session, token: &str, sent: &Sent) -> Result<Reserved, StoreError> {
    let Some(setup) = session.db.setup(token).await? else { return Ok(Reserved::Unknown) };
    // The key is looked up before anything is validated: a form that is sent again is answered whatever happened since.
    if let Some(known) = session.db.reservation_by_form(&sent.form_key).await? {
        return Ok(if known.setup == setup.token { Reserved::Done(Box::new(known)) } else { Reserved::Unknown });
    }
    if setup.disabled_at.is_some() {
        return Ok(Reserved::Disabled);
    }
    let lines = match checked(&setup, sent) {
        Ok(lines) => lines,
        Err(faults) => return Ok(Reserved::Wrong(faults)),
    };
    let (last, unused) = session.db.reservation_counts(&setup.tenant, &setup.orgcode).await?;
    if unused >= MAX_UNUSED {
        return Ok(Reserved::Full);
    }
    let reservation = Reservation {
        serial: serial(&setup.tenant, &sent.form_key),
        tenant: setup.tenant,
        orgcode: setup.orgcode,
        setup: setup.token,
        form_key: sent.form_key.clone(),
        number: last + 1,
        kind: sent.kind,
        buyer: sent.buyer.clone(),
        phone: sent.phone.clone(),
        mail: sent.mail.clone(),
        lines,
        remark: setup.remark,
        answers: setup.fields.into_iter().map(|field| field.label).zip(sent.answers.iter().cloned()).collect(),
        created_at: session.now,
        hold: None,
        used: None,
    };
    session.db.put_reservation(&reservation).await?;
    Ok(Reserved::Done(Box::new(reservation)))
}

/// The serial number of a reservation's invoice.
fn serial(tenant: &str, form_key: &str) -> String {
    use sha2::Digest as _;
    split::base32(&sha2::Sha256::digest(format!("reservation-v1\n{tenant}\n{form_key}").as_bytes()), 20)
}

/// Reads what a guest wrote: what he wants. Nothing is reserved.
///
/// # Errors
/// Everything that is wrong with it.
pub fn checked(setup: &Setup, sent: &Sent) -> Result<Vec<Wanted>, Vec<Fault>> {
    let mut faults = Vec::new();
    let key_fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if sent.form_key.len() != FORM_KEY_CHARS || !sent.form_key.bytes().all(key_fits) {
        faults.push(Fault::new("form_key", "form", "表单已失效，请重新扫码"));
    }
    let cells = [
        sent.kind.text(),
        &sent.buyer.name,
        &sent.buyer.taxpayer_number,
        &sent.buyer.address_phone,
        &sent.buyer.bank_account,
        &sent.mail,
        &sent.phone,
    ];
    const NAMES: [&str; 7] = ["type", "GMF_MC", "GMF_NSRSBH", "GMF_DZDH", "GMF_YHZH", "EMAIL", "PHONE"];
    if let Err(found) = Customer::read(&cells.map(str::to_owned)) {
        faults.extend(found.into_iter().map(|(place, text)| Fault::new(place.map_or("", |at| NAMES[at]), "buyer", text)));
    }
    if sent.mail.is_empty() && sent.phone.is_empty() {
        faults.push(Fault::new("PHONE", "required", "请填写手机或邮箱，以便商户找到预约并发送发票"));
    }
    for (index, field) in setup.fields.iter().enumerate() {
        let answer = sent.answers.get(index).map_or("", String::as_str);
        let name = format!("answers[{index}]");
        if field.required && answer.trim().is_empty() {
            faults.push(Fault::new(name.clone(), "required", format!("{}：必填", field.label)));
        }
        faults.extend(text_faults(answer, MAX_TEXT).into_iter().map(|text| Fault::new(name.clone(), "text", text)));
    }
    let mut entered = Decimal::ZERO;
    let mut lines = Vec::with_capacity(setup.items.len());
    for (index, item) in setup.items.iter().enumerate() {
        let given = sent.amounts.get(index).copied().unwrap_or_default();
        let (quantity, gross, by_guest) = match wanted(&item.pricing, given) {
            Ok(wanted) => wanted,
            Err(text) => {
                faults.push(Fault::new(format!("items[{index}]"), "amount", text));
                continue;
            }
        };
        if by_guest {
            entered += gross.unwrap_or_default();
        }
        lines.push(Wanted { goods: item.goods.clone(), quantity, gross });
    }
    if entered > setup.limit {
        let text = format!("填写的金额合计 {entered:.2} 元，超过商户设置的上限 {:.2} 元", setup.limit);
        faults.push(Fault::new("items", "amount_limit", text));
    }
    if faults.is_empty() { Ok(lines) } else { Err(faults) }
}

type Amounts = (Option<Decimal>, Option<Decimal>, bool);

/// Quantity and amount of an item, and whether the guest wrote it.
fn wanted(pricing: &Pricing, (quantity, money): (Option<Decimal>, Option<Decimal>)) -> Result<Amounts, String> {
    let positive = |value: Option<Decimal>, what: &str, decimals: u32| match value {
        Some(value) if value > Decimal::ZERO && value == value.round_dp(decimals) => Ok(value),
        _ => Err(format!("{what}应大于 0，至多 {decimals} 位小数")),
    };
    match pricing {
        Pricing::Fixed { gross } => Ok((None, Some(*gross), false)),
        Pricing::Clerk => Ok((None, None, false)),
        Pricing::Amount => Ok((None, Some(positive(money, "金额", 2)?), true)),
        Pricing::Quantity => {
            let quantity = positive(quantity, "数量", 6)?;
            let price = positive(money, "单价", 6)?;
            let product = quantity.checked_mul(price).ok_or("金额超出范围")?;
            let gross = crate::document::derive::cents(product);
            Ok((Some(quantity), Some(positive(Some(gross), "金额", 2)?), true))
        }
    }
}

/// What taking a reservation did.
#[derive(Debug, Clone)]
pub enum Taken {
    /// This clerk has it.
    Held(Box<Reservation>),
    /// Somebody else has it.
    Other(Hold),
    /// It is an invoice, or on its way to be one.
    Used(Box<Reservation>),
    /// No such reservation of this tenant.
    Unknown,
}

/// A clerk takes a reservation, or keeps it for longer.
///
/// # Errors
/// Those of the store.
pub async fn hold(session: &mut Session, tenant: &str, serial: &str, person: &str) -> Result<Taken, StoreError> {
    let Some(mut reservation) = session.db.reservation(tenant, serial).await? else { return Ok(Taken::Unknown) };
    if reservation.used.is_some() {
        return Ok(Taken::Used(Box::new(reservation)));
    }
    if let Some(other) = reservation.hold.take_if(|hold| hold.is_of_another(person, session.now)) {
        return Ok(Taken::Other(other));
    }
    reservation.hold = Some(Hold::of(person, session.now));
    session.db.put_reservation(&reservation).await?;
    Ok(Taken::Held(Box::new(reservation)))
}

/// A clerk gives a reservation back. False: he does not have it; nothing was done.
///
/// # Errors
/// Those of the store.
pub async fn release(session: &mut Session, tenant: &str, serial: &str, person: &str) -> Result<bool, StoreError> {
    let Some(mut reservation) = session.db.reservation(tenant, serial).await? else { return Ok(false) };
    if reservation.hold.as_ref().is_none_or(|hold| hold.person != person) {
        return Ok(false);
    }
    reservation.hold = None;
    session.db.put_reservation(&reservation).await?;
    Ok(true)
}

/// What the issue screen did.
#[derive(Debug, Clone)]
pub enum Issued {
    /// What became of the one document.
    Verdict(Box<Verdict>),
    /// Somebody else has the reservation. No invoice was asked for.
    Other(Hold),
    /// The clerk's hold has ended; he looks again and takes it again. No invoice was asked for.
    NotHeld,
}

/// Issues what the issue screen holds: by hand, from the reservation whose serial number it has, or with a reservation `attached`
/// to a draft that has a serial number of its own. However a reservation is used, it becomes one invoice: whoever comes second is
/// told, and nothing is asked for.
///
/// # Errors
/// Those of the store.
pub async fn issue(session: &mut Session, batch: &Batch, person: &str, attached: Option<&str>) -> Result<Issued, StoreError> {
    let refused = |serial: &str, subcode: &'static str, text: &str| {
        Ok(Issued::Verdict(Box::new(Verdict::Refused(Refusal::new(serial, subcode, text)))))
    };
    let [document] = batch.documents.as_slice() else { return refused("", "INVALID_DATA", "一次只能开具一张发票") };
    let reservation = session.db.reservation(&batch.tenant, attached.unwrap_or(&document.serial)).await?;
    if attached.is_some() && reservation.is_none() {
        return refused(&document.serial, "RESERVATION", "没有这条预约，本次未开票");
    }
    // A serial number that is known is answered, whoever asks: a second click, the back button, another tab.
    let known = session.db.request(&batch.tenant, &document.serial).await?;
    let known = known.is_some_and(|known| known.phase != Phase::Deleted);
    if let Some(reservation) = reservation.as_ref().filter(|_| !known) {
        // Its invoice is another one. What was sent back of it is corrected there, so that is final.
        if reservation.used.is_some() && reservation.invoice_serial() != document.serial {
            return refused(&document.serial, "RESERVATION", "该预约已用于另一张发票，本次未开票");
        }
        match &reservation.hold {
            Some(hold) if hold.is_of_another(person, session.now) => return Ok(Issued::Other(hold.clone())),
            Some(hold) if hold.is_of(person, session.now) => {}
            _ if reservation.used.is_some() => {}
            _ => return Ok(Issued::NotHeld),
        }
        if let insert::Content::Blue(Ok(parts)) = &document.content
            && parts.iter().any(|part| part.orgcode != reservation.orgcode)
        {
            return refused(&document.serial, "ORGANISATION", "该预约属于另一开票组织，本次未开票");
        }
    }
    let Some(verdict) = insert::insert(session, batch).await?.pop() else {
        return refused(&document.serial, "INVALID_DATA", "没有单据");
    };
    if let (Some(mut reservation), Verdict::Taken(_)) = (reservation, &verdict) {
        let serial = attached.map(|_| document.serial.clone()).unwrap_or_default();
        reservation.used = Some(Used { person: person.to_owned(), at: session.now, serial });
        reservation.hold = None;
        session.db.put_reservation(&reservation).await?;
    }
    Ok(Issued::Verdict(Box::new(verdict)))
}

/// A new form's key, and a new code's token.
pub fn new_key() -> String {
    act::random_token()
}
