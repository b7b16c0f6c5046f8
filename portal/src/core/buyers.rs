//! What a buyer may ask of a merchant: a copy of what the portal keeps about him, and that it is removed.
//!
//! There is no index of buyers, on purpose. Whoever asks waits while all requests and reservations of the tenant are looked
//! through, a slice for each call.
//!
//! Nothing is taken from what goes on: a request whose job may still issue, whose messages or callbacks wait, or about which a
//! task is open, stays whole. Of an issued invoice the law wants the content for years ([`Judged::Contacts`]): until then only
//! what it does not want goes, the addresses that it was sent to. Serial numbers, hashes, numbers of invoices and amounts stay
//! for ever: the same document sent again is known, and sums stay what they were.
//!
//! Read first: [`export`], [`erase`], [`judged`].

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::outbox::{Channel, Standing};
use super::request::{Delivery, NEVER, Phase, Request, Voiding};
use super::reservations::Reservation;
use super::task::TaskState;
use crate::document::Document;
use crate::files::{Customer, Kind};
use crate::ledger::Session;
use crate::store::{Db, Query, StoreError};
use crate::wire::json::Json;

/// Rows that one call looks through at most.
const SLICE: usize = 2_000;
/// Rows that are read at once.
const PAGE: u32 = 200;
/// Characters of a contact at least: fewer stand in half of all remarks.
const CONTACT_CHARS: usize = 5;
/// A reason at most, characters.
const REASON_CHARS: usize = 500;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// What of a document's head says who somebody is, or how he is reached.
const PERSONAL: &[&str] = &["GMF_NSRSBH", "GMF_MC", "GMF_DZDH", "GMF_YHZH", "BZ", "ZDYBZ", "SHMC", "EMAIL", "URL"];

/// Which buyer. Everything that is given must hold, and one thing at least must be given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuyerQuery {
    /// 纳税人识别号, exactly.
    pub taxpayer_number: String,
    /// 名称, exactly.
    pub name: String,
    /// A telephone number or mail address, 5 characters at least.
    pub contact: String,
    /// Where the slice before ended; empty: the first one.
    pub cursor: String,
}

/// Remove what is kept about a buyer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuyerErasure {
    /// Which buyer.
    pub buyer: BuyerQuery,
    /// Why; kept in the history of the tenant, so without the buyer's name.
    pub reason: String,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What becomes of something that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It goes on: nothing is removed.
    Open,
    /// An invoice that must be kept until then (milliseconds): the addresses alone go.
    Contacts(i64),
    /// Everything that names the buyer goes.
    All,
}

/// Where a slice ends.
enum Cursor {
    /// Requests behind this one (acceptance, serial number), the latest first.
    Requests(i64, String),
    /// Reservations behind this serial number.
    Reservations(String),
}

impl Cursor {
    fn parse(text: &str) -> Option<Cursor> {
        if text.is_empty() {
            return Some(Cursor::Requests(NEVER, String::new()));
        }
        match text.split_once(':')? {
            ("reservations", serial) => Some(Cursor::Reservations(serial.to_owned())),
            (at, serial) => Some(Cursor::Requests(at.parse().ok()?, serial.to_owned())),
        }
    }

    fn text(&self) -> String {
        match self {
            Cursor::Requests(at, serial) => format!("{at}:{serial}"),
            Cursor::Reservations(serial) => format!("reservations:{serial}"),
        }
    }
}

impl BuyerQuery {
    /// Without the blanks around what was typed.
    ///
    /// # Errors
    /// Nothing is given, or too little of a contact; for people.
    pub fn checked(&self) -> Result<BuyerQuery, String> {
        let trimmed = |text: &String| text.trim().to_owned();
        let (taxpayer_number, name) = (trimmed(&self.taxpayer_number), trimmed(&self.name));
        let query = BuyerQuery { taxpayer_number, name, contact: trimmed(&self.contact), cursor: self.cursor.clone() };
        if query.taxpayer_number.is_empty() && query.name.is_empty() && query.contact.is_empty() {
            return Err("give a taxpayer number, a name or a contact: nobody's data is everybody's".to_owned());
        }
        if !query.contact.is_empty() && query.contact.chars().count() < CONTACT_CHARS {
            return Err(format!("contact: {CONTACT_CHARS} characters at least"));
        }
        if Cursor::parse(&query.cursor).is_none() {
            return Err("cursor: it was not made here; begin without one".to_owned());
        }
        Ok(query)
    }

    fn fits<'a>(&self, number: &str, name: &str, mut texts: impl Iterator<Item = &'a str>) -> bool {
        (self.taxpayer_number.is_empty() || number.eq_ignore_ascii_case(&self.taxpayer_number))
            && (self.name.is_empty() || name.trim() == self.name)
            && (self.contact.is_empty() || texts.any(|text| text.contains(&self.contact)))
    }

    fn fits_request(&self, request: &Request) -> bool {
        let text = |name: &str| request.document.text(name);
        let sent = request.delivery.emails.iter().chain(&request.delivery.phones).map(String::as_str);
        let texts = ["GMF_DZDH", "GMF_YHZH", "BZ", "EMAIL"].into_iter().map(text).chain(sent);
        self.fits(text("GMF_NSRSBH"), text("GMF_MC"), texts)
    }

    fn fits_reservation(&self, one: &Reservation) -> bool {
        let own = [&one.phone, &one.mail, &one.buyer.address_phone, &one.buyer.bank_account, &one.remark];
        let texts = own.into_iter().chain(one.answers.iter().map(|(_, answer)| answer)).map(String::as_str);
        self.fits(&one.buyer.taxpayer_number, &one.buyer.name, texts)
    }

    fn fits_customer(&self, one: &Customer) -> bool {
        let texts = [&one.address_phone, &one.bank_account, &one.mail, &one.phone];
        self.fits(&one.taxpayer_number, &one.title, texts.into_iter().map(String::as_str))
    }
}

/// What a slice holds of the buyer.
#[derive(Default)]
struct Found {
    requests: Vec<Request>,
    reservations: Vec<Reservation>,
    /// Key of the entry, and the entry.
    customers: Vec<(String, Customer)>,
    cursor: Option<Cursor>,
}

/// Looks through the next slice: requests first, then reservations. Customers are in the first one.
async fn slice(db: &mut dyn Db, tenant: &str, query: &BuyerQuery) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut cursor = Cursor::parse(&query.cursor).unwrap_or(Cursor::Requests(NEVER, String::new()));
    if query.cursor.is_empty() {
        for (key, body) in db.entries(tenant, Kind::Customers).await? {
            let customer: Customer =
                serde_json::from_str(&body).map_err(|error| StoreError::Damaged(format!("customer: {error}")))?;
            if query.fits_customer(&customer) {
                found.customers.push((key, customer));
            }
        }
        // Whoever left his number with a question about an invoice is not named in it.
        if !query.contact.is_empty() {
            for serial in db.serials_by_contact(tenant, &query.contact).await? {
                found.requests.extend(db.request(tenant, &serial).await?.filter(|request| !query.fits_request(request)));
            }
        }
    }
    let mut looked = 0;
    while looked < SLICE {
        let (rows, next) = match &cursor {
            Cursor::Requests(at, serial) => {
                let page = db
                    .list_requests(&Query {
                        tenant: tenant.to_owned(),
                        from: 0,
                        before: (*at, serial.clone()),
                        phases: Vec::new(),
                        orgcode: String::new(),
                        fplx: None,
                        word: None,
                        limit: PAGE,
                    })
                    .await?;
                let last = page.last().map(|last| Cursor::Requests(last.created_at, last.serial.clone()));
                let rows = page.len();
                found.requests.extend(page.into_iter().filter(|request| query.fits_request(request)));
                (rows, last.or_else(|| Some(Cursor::Reservations(String::new()))))
            }
            Cursor::Reservations(serial) => {
                let page = db.reservations_after(tenant, serial, PAGE).await?;
                let last = page.last().map(|last| Cursor::Reservations(last.serial.clone()));
                let rows = page.len();
                found.reservations.extend(page.into_iter().filter(|one| query.fits_reservation(one)));
                (rows, last)
            }
        };
        let Some(next) = next else { return Ok(found) };
        (looked, cursor) = (looked + rows.max(1), next);
    }
    found.cursor = Some(cursor);
    Ok(found)
}

/// A copy of what is kept about a buyer; that it was asked for is noted in the tenant's history, without who he is.
///
/// # Errors
/// Those of the store.
pub async fn export(
    session: &mut Session,
    tenant: &str,
    query: &BuyerQuery,
    history: &str,
    by: &str,
) -> Result<Value, StoreError> {
    let found = slice(session.db.as_mut(), tenant, query).await?;
    let mut requests = Vec::with_capacity(found.requests.len());
    for request in &found.requests {
        let messages = session.db.messages_of(tenant, &request.serial).await?;
        let tasks = session.db.tasks_of(tenant, &request.serial).await?;
        requests.push(json!({
            "serial": request.serial, "seller": request.seller, "status": request.substate(), "created_at": request.created_at,
            "document": request.document, "issued": request.issued, "delivery": request.delivery, "messages": messages,
            "corrections": tasks,
        }));
    }
    let named = serials(&found);
    if !named.is_empty() {
        session.note(tenant, history, by, "buyer_exported", &named.join(" ")).await?;
    }
    let customers: Vec<&Customer> = found.customers.iter().map(|(_, customer)| customer).collect();
    let cursor = found.cursor.as_ref().map(Cursor::text);
    Ok(json!({ "requests": requests, "reservations": found.reservations, "customers": customers, "cursor": cursor }))
}

/// What a history says that it was about: serial numbers, and how many entries of the file of customers.
fn serials(found: &Found) -> Vec<String> {
    let requests = found.requests.iter().map(|request| request.serial.clone());
    let mut named: Vec<String> = requests.chain(found.reservations.iter().map(|one| one.serial.clone())).collect();
    if !found.customers.is_empty() {
        named.push(format!("customers:{}", found.customers.len()));
    }
    named
}

/// What may be removed of a request, as it stands now.
///
/// # Errors
/// Those of the store.
pub async fn judged(session: &mut Session, request: &Request, keep_ms: i64) -> Result<Judged, StoreError> {
    let parts = super::insert::parts_of(session, request).await?;
    let (mut all, now) = (Judged::All, session.now);
    for part in &parts {
        let one = match part.phase {
            Phase::Deleted => Judged::All,
            Phase::Issued if part.voiding == Voiding::Running => Judged::Open,
            Phase::Issued if now < part.changed_at.saturating_add(keep_ms) => {
                Judged::Contacts(part.changed_at.saturating_add(keep_ms))
            }
            Phase::Issued => Judged::All,
            // Failed ones too: they may be issued again. Sent back first, they go.
            _ => Judged::Open,
        };
        all = match (all, one) {
            (Judged::Open, _) | (_, Judged::Open) => Judged::Open,
            (Judged::Contacts(one), Judged::Contacts(other)) => Judged::Contacts(one.max(other)),
            (Judged::Contacts(until), _) | (_, Judged::Contacts(until)) => Judged::Contacts(until),
            (Judged::All, Judged::All) => Judged::All,
        };
        if waits(session, part).await? {
            return Ok(Judged::Open);
        }
    }
    Ok(all)
}

/// Is somebody still to be told, or to answer?
async fn waits(session: &mut Session, request: &Request) -> Result<bool, StoreError> {
    let (tenant, serial) = (&request.tenant, &request.serial);
    let messages = session.db.messages_of(tenant, serial).await?;
    let callbacks = session.db.callbacks_of(tenant, serial).await?;
    let tasks = session.db.tasks_of(tenant, serial).await?;
    Ok(request.due_at < NEVER && request.phase != Phase::Issued
        || messages.iter().any(|message| message.standing == Standing::Waiting && message.channel != Channel::Card)
        || callbacks.iter().any(|callback| callback.due_at < NEVER)
        || tasks.iter().any(|task| task.state == TaskState::Open))
}

/// Removes what is kept about a buyer, where it may go, and notes it in the tenant's history. Serial numbers, hashes, numbers and
/// amounts stay.
///
/// # Errors
/// Those of the store.
pub async fn erase(
    session: &mut Session,
    tenant: &str,
    wanted: &BuyerErasure,
    keep_days: u32,
    history: &str,
    by: &str,
) -> Result<Value, StoreError> {
    let keep_ms = i64::from(keep_days) * DAY_MS;
    let found = slice(session.db.as_mut(), tenant, &wanted.buyer).await?;
    let (mut lines, mut named) = (Vec::new(), Vec::new());
    let mut line = |what: &str, serial: &str, judged: Judged| {
        if judged != Judged::Open {
            named.push(serial.to_owned());
        }
        lines.push(shown(what, serial, judged, wanted.dry_run));
    };
    for request in &found.requests {
        let judged = judged(session, request, keep_ms).await?;
        line("request", &request.serial, judged);
        if wanted.dry_run {
            continue;
        }
        // Parts are requests of the buyer too, and are found by themselves.
        match judged {
            Judged::Open => {}
            Judged::Contacts(_) => without_contacts(session, request.clone()).await?,
            Judged::All => without_buyer(session, request.clone()).await?,
        }
    }
    for one in &found.reservations {
        let invoice = session.db.request(tenant, one.invoice_serial()).await?;
        let judged = match invoice {
            Some(request) => judged(session, &request, keep_ms).await?,
            // A clerk may make its invoice this very moment.
            None if one.hold.is_some() && one.used.is_none() => Judged::Open,
            None => Judged::All,
        };
        // Nothing but the invoice itself must be kept: of a reservation everything goes.
        let judged = if judged == Judged::Open { judged } else { Judged::All };
        line("reservation", &one.serial, judged);
        if judged == Judged::All && !wanted.dry_run {
            session.db.erase_reservation(&anonymous(one.clone())).await?;
        }
    }
    for (key, _) in &found.customers {
        line("customer", "", Judged::All);
        if !wanted.dry_run {
            session.db.remove_entry(tenant, Kind::Customers, key).await?;
        }
    }
    named.retain(|serial| !serial.is_empty());
    if !found.customers.is_empty() {
        named.push(format!("customers:{}", found.customers.len()));
    }
    if !wanted.dry_run && !named.is_empty() {
        let reason: String = wanted.reason.trim().chars().take(REASON_CHARS).collect();
        session.note(tenant, history, by, "buyer_erased", &format!("{reason} | {}", named.join(" "))).await?;
    }
    Ok(json!({ "rows": lines, "cursor": found.cursor.as_ref().map(Cursor::text) }))
}

fn shown(what: &str, serial: &str, judged: Judged, dry_run: bool) -> Value {
    let (erased, kept, until) = match judged {
        Judged::Open => ("nothing", Some("open"), None),
        Judged::Contacts(until) => ("contacts", Some("retention"), Some(until)),
        Judged::All => ("all", None, None),
    };
    let erased = if dry_run { "nothing" } else { erased };
    json!({ "what": what, "serial": serial, "erased": erased, "kept": kept, "until": until })
}

/// The addresses that it was sent to go, and what consumers wrote about it.
async fn without_contacts(session: &mut Session, mut request: Request) -> Result<(), StoreError> {
    request.delivery = Delivery { emails: Vec::new(), phones: Vec::new(), ..request.delivery };
    request.document.head.remove("EMAIL");
    let (tenant, serial) = (request.tenant.clone(), request.serial.clone());
    session.db.put_request(&request).await?;
    session.db.erase_contacts(&tenant, &serial).await
}

/// Everything that names the buyer goes.
async fn without_buyer(session: &mut Session, mut request: Request) -> Result<(), StoreError> {
    for name in PERSONAL {
        request.document.head.remove(*name);
    }
    request.document.unknown.clear();
    request.canonical = operation_alone(&request.canonical);
    if let Some(invoice) = &mut request.job.invoice {
        (invoice.buyer, invoice.remark) = Default::default();
    }
    request.erased_at = session.now;
    let (tenant, serial) = (request.tenant.clone(), request.serial.clone());
    without_contacts(session, request).await?;
    session.db.erase_buyer(&tenant, &serial).await
}

/// A canonical text that says which operation it was and nothing else: a repeat is known by its hash.
fn operation_alone(canonical: &str) -> String {
    let operation = Json::parse(canonical).ok().and_then(|json| {
        json.get("head").and_then(|head| head.get("operation")).and_then(|value| value.as_text().map(str::to_owned))
    });
    json!({ "head": { "operation": operation } }).to_string()
}

/// A reservation of nobody: its number, its form and its serial number stay taken.
fn anonymous(mut one: Reservation) -> Reservation {
    (one.buyer, one.phone, one.mail, one.remark, one.answers) = Default::default();
    one
}

/// Is there nothing in a document that names the buyer?
pub fn is_anonymous(document: &Document) -> bool {
    PERSONAL.iter().all(|name| document.text(name).is_empty()) && document.unknown.is_empty()
}
