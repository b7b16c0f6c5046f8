//! A consumer names the buyer of a code (yonyou-open-api.md, section 5.2). The first one counts; every later scan shows what
//! became of it.

use super::insert;
use super::links::{self, Found, Kind};
use super::request::{Phase, Request};
use crate::document::Fault;
use crate::ledger::Session;
use crate::store::StoreError;

/// 购方, as a consumer writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Buyer {
    /// 名称.
    pub name: String,
    /// 纳税人识别号; empty for persons.
    pub taxpayer_number: String,
    /// 地址、电话.
    pub address_phone: String,
    /// 开户行及账号.
    pub bank_account: String,
}

impl Buyer {
    /// What is not empty, by the names of a document's head.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let fields = [
            ("GMF_MC", &self.name),
            ("GMF_NSRSBH", &self.taxpayer_number),
            ("GMF_DZDH", &self.address_phone),
            ("GMF_YHZH", &self.bank_account),
        ];
        fields.into_iter().filter(|(_, value)| !value.is_empty())
    }
}

/// Where the consumer wants the invoice, beside what the merchant named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receivers {
    /// Mail addresses.
    pub emails: Vec<String>,
    /// Telephone numbers.
    pub phones: Vec<String>,
}

/// What a claim did.
#[derive(Debug, Clone)]
pub enum Claimed {
    /// It goes to the disk, now or since an earlier claim.
    Done(Box<Request>),
    /// No such code.
    Unknown,
    /// The code ended, or was revoked.
    Ended,
    /// The buyer cannot be printed.
    Wrong(Vec<Fault>),
}

/// Claims a code.
///
/// # Errors
/// Those of the store.
pub async fn claim(session: &mut Session, token: &str, buyer: &Buyer, receivers: &Receivers) -> Result<Claimed, StoreError> {
    let link = match links::find(session.db.as_mut(), Kind::Code, token, session.now).await? {
        Found::Open(link) => link,
        Found::Ended => return Ok(Claimed::Ended),
        Found::Nothing => return Ok(Claimed::Unknown),
    };
    let Some(request) = session.db.request(&link.tenant, &link.serial).await? else { return Ok(Claimed::Unknown) };
    let mut parts = insert::parts_of(session, &request).await?;
    if parts.iter().any(|part| part.phase != Phase::Buyer) {
        return Ok(Claimed::Done(Box::new(request)));
    }
    for part in &mut parts {
        named(part, buyer);
        if let Err(faults) = insert::judge(&part.job) {
            return Ok(Claimed::Wrong(faults));
        }
    }
    for part in &mut parts {
        part.phase = Phase::Forwarding;
        part.delivery.emails.extend(receivers.emails.iter().cloned());
        part.delivery.phones.extend(receivers.phones.iter().cloned());
        (part.due_at, part.changed_at) = (session.now, session.now);
        session.db.put_request(part).await?;
        session.note(&part.tenant, &part.serial, "consumer", "claimed", "").await?;
    }
    session.wake_courier();
    let shown = if request.phase == Phase::Plan { request } else { parts.swap_remove(0) };
    Ok(Claimed::Done(Box::new(shown)))
}

fn named(part: &mut Request, buyer: &Buyer) {
    part.document.head.extend(buyer.fields().map(|(name, value)| (name.to_owned(), value.clone())));
    if let Some(invoice) = &mut part.job.invoice {
        invoice.buyer.name.clone_from(&buyer.name);
        invoice.buyer.taxpayer_number = Some(buyer.taxpayer_number.clone()).filter(|number| !number.is_empty());
        invoice.buyer.address_phone.clone_from(&buyer.address_phone);
        invoice.buyer.bank_account.clone_from(&buyer.bank_account);
    }
}
