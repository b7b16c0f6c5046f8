//! `/r/<token>`: a code on a merchant's wall. A guest writes what invoice he will want and confirms it; a clerk makes it when he
//! leaves.
//!
//! The form's key is in its address, made before the form is shown: what is sent twice is one reservation, and whoever has the
//! address sees it, masked, and how far it is. Nothing is issued here.

use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use super::card;
use super::code::{self, Told};
use super::events::{self, Seen};
use super::form::{self, Asks, Filled, Kind, Need, Step};
use super::sale::money;
use super::shell::Shell;
use super::state::State;
use crate::core::request::Request as Stored;
use crate::core::reservations::{self, Pricing, Reservation, Reserved, Sent, Setup, Wanted};
use crate::document::Fault;
use crate::files::customers::BuyerType;
use crate::files::goods::exact_decimal;
use crate::portal::Portal;
use crate::post::words::{masked_name, masked_number};
use crate::store::StoreError;
use crate::wire::form::Form;

/// Where the codes lead.
pub(super) const PATH: &str = "/r/";
/// Longest token and key that are looked up, bytes.
const MAX_TOKEN_BYTES: usize = 64;

pub(super) async fn answer(portal: Arc<Portal>, shell: Shell, request: Request<Body>) -> Response<Body> {
    let rest = request.uri().path().trim_start_matches(PATH).to_owned();
    let mut parts = rest.splitn(3, '/');
    let [token, key, part] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let found = match found(&portal, token, key).await {
        Ok(Some(found)) => found,
        Ok(None) => return shell.notice(StatusCode::NOT_FOUND, "invalid_code", ""),
        Err(_) => return busy(&shell),
    };
    let (here, query) = (format!("{PATH}{token}/{key}"), request.uri().query().map(str::to_owned));
    match (request.method().clone(), key, part) {
        // The key is made here, before the form is shown.
        (Method::GET | Method::HEAD, "", "") => {
            let lang = query.map(|query| format!("?{query}")).unwrap_or_default();
            shell.see_other(&format!("{PATH}{token}/{}{lang}", reservations::new_key()))
        }
        (Method::GET | Method::HEAD, _, "") => match (&found.reservation, found.setup.disabled_at) {
            (Some(reservation), _) => shown(&portal, &shell, &found, reservation, &here, query.as_deref()).await,
            (None, Some(_)) => shell.notice(StatusCode::GONE, "wall_ended", ""),
            (None, None) => empty(&portal, &shell, &found.setup, &Written::default(), &[], StatusCode::OK),
        },
        (Method::POST, key, "") if !key.is_empty() => {
            if portal.reserves.admit(super::address(&request), Instant::now()).is_err() {
                return shell.notice(StatusCode::TOO_MANY_REQUESTS, "too_often", "nothing_reserved");
            }
            reserve(&portal, &shell, &found, (token, key), request).await
        }
        (Method::GET | Method::HEAD, _, _) if found.reservation.is_none() => {
            shell.notice(StatusCode::NOT_FOUND, "invalid_code", "")
        }
        (Method::GET | Method::HEAD, _, "state") => events::now(found.seen()),
        (Method::GET, _, "events") => changes(&portal, found.seen(), token, key),
        (Method::GET, _, "card") => card::ask(&portal, &shell, found.invoices(), &here, query.as_deref()).await,
        (Method::GET, _, "carded") => card::back(&portal, &shell, found.invoices(), &here, query.as_deref()).await,
        _ => shell.notice(StatusCode::METHOD_NOT_ALLOWED, "not_allowed", ""),
    }
}

/// How far a reservation is, for a page that stays open until its guest leaves the merchant.
fn changes(portal: &Arc<Portal>, first: Seen, token: &str, key: &str) -> Response<Body> {
    let (reads, token, key) = (portal.clone(), token.to_owned(), key.to_owned());
    events::stream(portal, &portal.reservation_streams, first, move || {
        let (portal, token, key) = (reads.clone(), token.clone(), key.clone());
        Box::pin(async move { found(&portal, &token, &key).await.ok().flatten().map(|found| found.seen()) })
    })
}

struct Found {
    setup: Setup,
    reservation: Option<Reservation>,
    request: Option<Stored>,
}

impl Found {
    fn seen(&self) -> Seen {
        // No clerk has made an invoice of it.
        self.request.as_ref().map_or(Seen { name: "reserved", settled: false }, |request| Seen::of(State::of(request)))
    }

    fn invoices(&self) -> &[Stored] {
        self.request.as_slice()
    }
}

/// The code of a token, and the reservation of a key if there is one.
async fn found(portal: &Portal, token: &str, key: &str) -> Result<Option<Found>, StoreError> {
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || key.len() > MAX_TOKEN_BYTES {
        return Ok(None);
    }
    let mut db = portal.readers.get().await?;
    let Some(setup) = db.setup(token).await? else { return Ok(None) };
    let reservation = match key {
        "" => None,
        key => db.reservation_by_form(key).await?.filter(|reservation| reservation.setup == setup.token),
    };
    let request = match &reservation {
        Some(reservation) if reservation.used.is_some() => db.request(&reservation.tenant, reservation.invoice_serial()).await?,
        _ => None,
    };
    Ok(Some(Found { setup, reservation, request }))
}

fn busy(shell: &Shell) -> Response<Body> {
    shell.notice(StatusCode::SERVICE_UNAVAILABLE, "busy", "reserve_again")
}

/// One of the two is needed: the clerk finds the guest by it, and the invoice goes there.
const ASKS: Asks = Asks { email: Need::Offered, phone: Need::Offered };

/// A form as it was written.
struct Written {
    filled: Filled,
    /// For each item: quantity, and price or amount.
    amounts: Vec<(String, String)>,
    answers: Vec<String>,
}

impl Default for Written {
    fn default() -> Written {
        Written { filled: Filled::empty(), amounts: Vec::new(), answers: Vec::new() }
    }
}

impl Written {
    fn of(setup: &Setup, form: &Form) -> Written {
        let field = |name: String| form.get(&name).unwrap_or_default().trim().to_owned();
        let amount = |index: usize| (field(format!("quantity.{index}")), field(format!("money.{index}")));
        Written {
            filled: Filled::of(form),
            amounts: (0..setup.items.len()).map(amount).collect(),
            answers: (0..setup.fields.len()).map(|index| field(format!("answer.{index}"))).collect(),
        }
    }

    fn sent(&self, key: &str) -> Sent {
        let decimal = |text: &String| exact_decimal(text, (15, 6)).ok();
        Sent {
            form_key: key.to_owned(),
            kind: match self.filled.kind {
                Some(Kind::Enterprise) => BuyerType::Enterprise,
                Some(Kind::Institution) => BuyerType::Institution,
                Some(Kind::Person) | None => BuyerType::Person,
            },
            buyer: self.filled.buyer.clone(),
            phone: self.filled.phone.clone(),
            mail: self.filled.email.clone(),
            amounts: self.amounts.iter().map(|(quantity, money)| (decimal(quantity), decimal(money))).collect(),
            answers: self.answers.clone(),
        }
    }

    /// All of it as hidden fields, for the step of confirming.
    fn hidden(&self) -> Vec<(String, String)> {
        let buyer = self.filled.hidden().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let amounts = self.amounts.iter().enumerate().flat_map(|(index, (quantity, money))| {
            [(format!("quantity.{index}"), quantity.clone()), (format!("money.{index}"), money.clone())]
        });
        let answers = self.answers.iter().enumerate().map(|(index, answer)| (format!("answer.{index}"), answer.clone()));
        buyer.into_iter().chain(amounts).chain(answers).collect()
    }

    fn at(&self, index: usize) -> (String, String) {
        self.amounts.get(index).cloned().unwrap_or_default()
    }
}

/// An item as the form shows it.
struct Item {
    index: usize,
    name: String,
    unit: String,
    /// Its fixed amount; empty: there is none.
    fixed: String,
    asks_quantity: bool,
    asks_money: bool,
    quantity: String,
    money: String,
}

struct Field {
    index: usize,
    label: String,
    required: bool,
    answer: String,
}

#[derive(Template)]
#[template(path = "pages/reserve.html")]
struct FormPage<'a> {
    shell: &'a Shell,
    seller: String,
    items: Vec<Item>,
    fields: Vec<Field>,
    limit: String,
    filled: &'a Filled,
    asks: Asks,
    faults: &'a [String],
}

/// Who has hung the code up.
fn seller(portal: &Portal, tenant: &str, orgcode: &str) -> String {
    let directory = portal.directory();
    let Some(tenant) = directory.tenant(tenant) else { return String::new() };
    let own = tenant.sellers.iter().find(|seller| seller.points.iter().any(|point| point.orgcode == orgcode));
    own.map(|seller| seller.name.clone()).unwrap_or_default()
}

fn empty(
    portal: &Portal,
    shell: &Shell,
    setup: &Setup,
    written: &Written,
    faults: &[String],
    status: StatusCode,
) -> Response<Body> {
    let item = |(index, item): (usize, &reservations::Item)| {
        let (quantity, money_written) = written.at(index);
        Item {
            index,
            name: item.goods.name.clone(),
            unit: item.goods.unit.clone(),
            fixed: match &item.pricing {
                Pricing::Fixed { gross } => money(*gross),
                Pricing::Amount | Pricing::Quantity | Pricing::Clerk => String::new(),
            },
            asks_quantity: item.pricing == Pricing::Quantity,
            asks_money: matches!(item.pricing, Pricing::Amount | Pricing::Quantity),
            quantity,
            money: money_written,
        }
    };
    let field = |(index, field): (usize, &reservations::Field)| Field {
        index,
        label: field.label.clone(),
        required: field.required,
        answer: written.answers.get(index).cloned().unwrap_or_default(),
    };
    let items: Vec<Item> = setup.items.iter().enumerate().map(item).collect();
    let page = FormPage {
        shell,
        seller: seller(portal, &setup.tenant, &setup.orgcode),
        limit: if items.iter().any(|item| item.asks_money) { money(setup.limit) } else { String::new() },
        items,
        fields: setup.fields.iter().enumerate().map(field).collect(),
        filled: &written.filled,
        asks: ASKS,
        faults,
    };
    shell.page(status, &page)
}

async fn reserve(
    portal: &Portal,
    shell: &Shell,
    found: &Found,
    (token, key): (&str, &str),
    request: Request<Body>,
) -> Response<Body> {
    let setup = &found.setup;
    // Sent again, by the back button or a second tap: what is reserved is shown.
    if found.reservation.is_some() {
        return shell.see_other(&format!("{PATH}{token}/{key}"));
    }
    if setup.disabled_at.is_some() {
        return shell.notice(StatusCode::GONE, "wall_ended", "nothing_reserved");
    }
    let form = match form::read(shell, request).await {
        Ok(form) => form,
        Err(page) => return *page,
    };
    let written = Written::of(setup, &form);
    if written.filled.step() == Step::Change {
        return empty(portal, shell, setup, &written, &[], StatusCode::OK);
    }
    let mut faults = written.filled.faults(ASKS, shell.lang());
    if written.filled.email.is_empty() && written.filled.phone.is_empty() {
        faults.push(shell.t("need_contact").to_owned());
    }
    if !faults.is_empty() {
        return empty(portal, shell, setup, &written, &faults, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let (sent, wanted) = (written.sent(key), token.to_owned());
    let lines = match reservations::checked(setup, &sent) {
        Ok(lines) => lines,
        Err(found) => {
            let faults: Vec<String> = found.iter().map(|fault| said(shell, setup, fault)).collect();
            return empty(portal, shell, setup, &written, &faults, StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    let terms = terms(setup, &lines);
    if written.filled.step() != Step::Issue {
        return confirm(portal, shell, setup, &written, &lines, terms);
    }
    if written.filled.terms != terms {
        // The merchant has set it up anew meanwhile.
        let changed = [shell.t("terms_changed").to_owned()];
        return empty(portal, shell, setup, &written, &changed, StatusCode::CONFLICT);
    }
    let done =
        portal.ledger.run(move |session| Box::pin(async move { reservations::reserve(session, &wanted, &sent).await })).await;
    match done {
        Ok(Reserved::Done(_)) => shell.see_other(&format!("{PATH}{token}/{key}")),
        Ok(Reserved::Unknown) => shell.notice(StatusCode::NOT_FOUND, "invalid_code", ""),
        Ok(Reserved::Disabled) => shell.notice(StatusCode::GONE, "wall_ended", "nothing_reserved"),
        Ok(Reserved::Full) => shell.notice(StatusCode::SERVICE_UNAVAILABLE, "wall_full", "nothing_reserved"),
        Ok(Reserved::Wrong(found)) => {
            let faults: Vec<String> = found.iter().map(|fault| said(shell, setup, fault)).collect();
            empty(portal, shell, setup, &written, &faults, StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(_) => busy(shell),
    }
}

/// Changes with everything that a guest agrees to.
fn terms(setup: &Setup, lines: &[Wanted]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| (&line.goods.name, line.quantity, line.gross)).collect();
    let fields: Vec<_> = setup.fields.iter().map(|field| &field.label).collect();
    hex::encode(&Sha256::digest(format!("{}\n{lines:?}\n{fields:?}", setup.remark))[..8])
}

#[derive(Template)]
#[template(path = "pages/reserve_confirm.html")]
struct ConfirmPage<'a> {
    shell: &'a Shell,
    seller: String,
    filled: &'a Filled,
    /// Lines with their amounts, and the merchant's own fields with what was answered.
    rows: Vec<(String, String)>,
    hidden: Vec<(String, String)>,
    terms: String,
}

/// What would be reserved, to look at. Nothing is stored yet.
fn confirm(portal: &Portal, shell: &Shell, setup: &Setup, written: &Written, lines: &[Wanted], terms: String) -> Response<Body> {
    let mut rows: Vec<(String, String)> = lines.iter().map(|line| (line.goods.name.clone(), amount(shell, line.gross))).collect();
    let answers = setup.fields.iter().map(|field| field.label.clone()).zip(written.answers.iter().cloned());
    rows.extend(answers.filter(|(_, answer)| !answer.is_empty()));
    let page = ConfirmPage {
        shell,
        seller: seller(portal, &setup.tenant, &setup.orgcode),
        filled: &written.filled,
        rows,
        hidden: written.hidden(),
        terms,
    };
    shell.page(StatusCode::OK, &page)
}

/// An amount that a guest or the merchant wrote, or who will.
fn amount(shell: &Shell, gross: Option<Decimal>) -> String {
    gross.map_or_else(|| shell.t("by_clerk").to_owned(), money)
}

/// A fault of the core in the guest's language.
fn said(shell: &Shell, setup: &Setup, fault: &Fault) -> String {
    let index =
        |prefix: &str| -> Option<usize> { fault.field.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')?.parse().ok() };
    if let Some(item) = index("items").and_then(|index| setup.items.get(index)) {
        return format!("{}: {}", item.goods.name, shell.t("bad_amount"));
    }
    if let Some(field) = index("answers").and_then(|index| setup.fields.get(index)) {
        let key = if fault.rule == "required" { "need_answer" } else { "bad_answer" };
        return format!("{}: {}", field.label, shell.t(key));
    }
    match (fault.field.as_str(), fault.rule.as_str()) {
        (_, "amount_limit") => format!("{} {}", shell.t("over_limit"), money(setup.limit)),
        ("form_key", _) => shell.t("form_old").to_owned(),
        ("GMF_NSRSBH", _) => shell.t("number_check").to_owned(),
        ("EMAIL", _) => shell.t("need_email").to_owned(),
        ("PHONE", _) => shell.t("need_phone").to_owned(),
        _ => shell.in_words(&fault.text),
    }
}

#[derive(Template)]
#[template(path = "pages/reserved.html")]
struct ReservedPage<'a> {
    shell: &'a Shell,
    seller: String,
    number: Option<i64>,
    /// What became of its invoice; none: no clerk has made one.
    state: Option<State>,
    link: Option<String>,
    /// It changes by itself no more.
    settled: bool,
    seen: &'static str,
    here: &'a str,
    /// To WeChat's card pack.
    cards: Vec<String>,
    told: Option<Told>,
    rows: Vec<(&'static str, String)>,
    lines: Vec<(String, String)>,
}

/// What was reserved. Whoever sees it sees the buyer masked: the telephone may not be the guest's own.
async fn shown(
    portal: &Portal,
    shell: &Shell,
    found: &Found,
    reservation: &Reservation,
    here: &str,
    query: Option<&str>,
) -> Response<Body> {
    let state = found.request.as_ref().map(State::of);
    let link = match &found.request {
        Some(request) if state.is_some_and(State::is_issued) => match portal.link(request).await {
            Ok(link) => link.map(|link| link.replacen(&portal.public_url, "", 1)),
            Err(_) => return busy(shell),
        },
        _ => None,
    };
    let mut rows = vec![
        (shell.t("buyer"), masked_name(&reservation.buyer.name)),
        (shell.t("buyer_number"), masked_number(&reservation.buyer.taxpayer_number)),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    let seen = found.seen();
    let page = ReservedPage {
        shell,
        seller: seller(portal, &reservation.tenant, &reservation.orgcode),
        number: found.setup.numbered.then_some(reservation.number),
        state,
        link,
        settled: seen.settled,
        seen: seen.name,
        here,
        cards: card::offers(shell, found.invoices(), here),
        told: code::told(shell, query),
        rows,
        lines: reservation.lines.iter().map(|line| (line.goods.name.clone(), amount(shell, line.gross))).collect(),
    };
    shell.page(StatusCode::OK, &page)
}
