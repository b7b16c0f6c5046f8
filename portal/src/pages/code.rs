//! `/q/<token>`: a consumer's code, and what can be done with it.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};

use super::card;
use super::events::{self, Seen};
use super::form::{self, Asks, Filled, Need};
use super::sale::Sale;
use super::shell::{self, Shell};
use super::state::State;
use crate::core::claim::{self, Claimed, Receivers};
use crate::core::links::Kind;
use crate::core::outbox::{self, Channel, Resent};
use crate::core::request::{Phase, Request as Stored};
use crate::core::task::{self, Asked};
use crate::portal::Portal;
use crate::post::words::{masked_name, masked_number};
use crate::qr;
use crate::store::StoreError;
use crate::wire::form::Form;

/// A form until the buyer is known, the state afterwards. A second scan never issues again.
pub(super) async fn answer(portal: Arc<Portal>, shell: Shell, request: Request<Body>) -> Response<Body> {
    let rest = request.uri().path().trim_start_matches("/q/").to_owned();
    let (token, part) = rest.split_once('/').unwrap_or((rest.as_str(), ""));
    let sale = match found(&portal, token).await {
        Ok(Looked::Open(found)) => *found,
        Ok(Looked::Ended) => return ended(&shell),
        Ok(Looked::Nothing) => return shell.notice(StatusCode::NOT_FOUND, "invalid_code", ""),
        Err(_) => return busy(&shell),
    };
    let told = told(&shell, request.uri().query());
    match (request.method().clone(), part) {
        (Method::GET | Method::HEAD, "") => shown(&portal, &shell, &sale, token, told).await,
        (Method::POST, "") => claimed(&portal, &shell, &sale, token, request).await,
        (Method::GET | Method::HEAD, "qr.svg") => {
            drawn(&portal, &shell, token, "image/svg+xml", part, |text| qr::svg(text).map(String::into_bytes))
        }
        (Method::GET | Method::HEAD, "qr.png") => drawn(&portal, &shell, token, "image/png", part, qr::png),
        (Method::GET, "state") => events::now(Seen::of(State::of_all(&sale.parts))),
        (Method::GET, "events") => changes(&portal, &sale, token),
        (Method::GET, "card") => card::ask(&portal, &shell, &sale.parts, &here(token), request.uri().query()).await,
        (Method::GET, "carded") => card::back(&portal, &shell, &sale.parts, &here(token), request.uri().query()).await,
        (Method::POST, "send") => send(&portal, &shell, &sale, token, request).await,
        (Method::POST, "correct") => correct(&portal, &shell, &sale, token, request).await,
        _ => shell.notice(StatusCode::METHOD_NOT_ALLOWED, "not_allowed", ""),
    }
}

fn here(token: &str) -> String {
    format!("/q/{token}")
}

fn changes(portal: &Arc<Portal>, sale: &Found, token: &str) -> Response<Body> {
    let (reads, token) = (portal.clone(), token.to_owned());
    events::stream(portal, &portal.streams, Seen::of(State::of_all(&sale.parts)), move || {
        let (portal, token) = (reads.clone(), token.clone());
        Box::pin(async move {
            match found(&portal, &token).await {
                Ok(Looked::Open(found)) => Some(Seen::of(State::of_all(&found.parts))),
                Ok(Looked::Ended | Looked::Nothing) | Err(_) => None,
            }
        })
    })
}

/// The code itself as a picture, for a merchant who prints it and has no program that draws one.
fn drawn(
    portal: &Portal,
    shell: &Shell,
    token: &str,
    content_type: &'static str,
    name: &str,
    draw: impl FnOnce(&str) -> Option<Vec<u8>>,
) -> Response<Body> {
    match draw(&format!("{}/q/{token}", portal.public_url)) {
        Some(bytes) => shell::file(content_type, name, bytes),
        None => shell.notice(StatusCode::NOT_FOUND, "no_file", ""),
    }
}

/// The request of a code, with the invoices that it stands for.
pub(super) struct Found {
    pub(super) request: Stored,
    pub(super) parts: Vec<Stored>,
}

/// What a code leads to.
pub(super) enum Looked {
    Open(Box<Found>),
    /// It was good once.
    Ended,
    Nothing,
}

pub(super) async fn found(portal: &Portal, token: &str) -> Result<Looked, StoreError> {
    let request = match super::found(portal, Kind::Code, token).await? {
        super::Found::Open(request) => *request,
        super::Found::Ended => return Ok(Looked::Ended),
        super::Found::Nothing => return Ok(Looked::Nothing),
    };
    let parts = parts_of(portal, &request).await?;
    Ok(Looked::Open(Box::new(Found { request, parts })))
}

/// The invoices that a request stands for: its parts, or itself.
pub(super) async fn parts_of(portal: &Portal, request: &Stored) -> Result<Vec<Stored>, StoreError> {
    let mut parts = Vec::new();
    if !request.parts.is_empty() {
        let mut db = portal.readers.get().await?;
        for serial in &request.parts {
            parts.extend(db.request(&request.tenant, serial).await?);
        }
    }
    if parts.is_empty() {
        parts.push(request.clone());
    }
    parts.iter().for_each(|part| portal.looked_at(part));
    Ok(parts)
}

fn ended(shell: &Shell) -> Response<Body> {
    shell.notice(StatusCode::GONE, "ended_code", "nothing_changed")
}

fn busy(shell: &Shell) -> Response<Body> {
    shell.notice(StatusCode::SERVICE_UNAVAILABLE, "busy", "same_safe")
}

/// What the form of a code asks for: an address may be named where the platform can send.
fn asks(portal: &Portal) -> Asks {
    let offered = |configured| if configured { Need::Offered } else { Need::No };
    Asks { email: offered(portal.config.mail.is_some()), phone: offered(portal.config.sms.is_some()) }
}

fn waits_for_buyer(found: &Found) -> bool {
    found.parts.iter().all(|part| part.phase == Phase::Buyer)
}

async fn shown(portal: &Portal, shell: &Shell, found: &Found, token: &str, told: Option<Told>) -> Response<Body> {
    if waits_for_buyer(found) {
        let sale = Sale::of(portal, &found.request);
        return form::empty(shell, &sale, &Filled::empty(), asks(portal), &[], StatusCode::OK);
    }
    state(portal, shell, found, token, told).await
}

async fn claimed(portal: &Portal, shell: &Shell, found: &Found, token: &str, request: Request<Body>) -> Response<Body> {
    let here = here(token);
    if !waits_for_buyer(found) {
        return shell.see_other(&here);
    }
    let form = match form::read(shell, request).await {
        Ok(form) => form,
        Err(page) => return *page,
    };
    let (filled, sale) = (Filled::of(&form), Sale::of(portal, &found.request));
    if let Some(page) = form::before_issuing(shell, &sale, &filled, asks(portal)) {
        return page;
    }
    let (buyer, (emails, phones), token) = (filled.buyer.clone(), filled.addresses(), token.to_owned());
    let receivers = Receivers { emails, phones };
    let done =
        portal.ledger.run(move |session| Box::pin(async move { claim::claim(session, &token, &buyer, &receivers).await })).await;
    match done {
        Ok(Claimed::Done(_)) => shell.see_other(&here),
        Ok(Claimed::Ended) => ended(shell),
        Ok(Claimed::Unknown) => shell.notice(StatusCode::NOT_FOUND, "invalid_code", ""),
        Ok(Claimed::Wrong(faults)) => {
            let faults: Vec<String> = faults.iter().map(|fault| shell.in_words(&fault.text)).collect();
            form::empty(shell, &sale, &filled, asks(portal), &faults, StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(_) => busy(shell),
    }
}

/// What was done by the request before this one.
pub(super) struct Told {
    pub(super) text: &'static str,
    pub(super) good: bool,
}

#[derive(Template)]
#[template(path = "pages/state.html")]
struct StatePage<'a> {
    shell: &'a Shell,
    sale: &'a Sale,
    state: State,
    settled: bool,
    path: String,
    rows: Vec<(&'static str, String)>,
    links: Vec<String>,
    /// To WeChat's card pack: where each invoice goes there.
    cards: Vec<String>,
    sends: bool,
    told: Option<Told>,
}

/// Where it stands. Whoever scans sees the buyer masked: a receipt may have been found in the street.
async fn state(portal: &Portal, shell: &Shell, found: &Found, token: &str, told: Option<Told>) -> Response<Body> {
    let (state, sale) = (State::of_all(&found.parts), Sale::of(portal, &found.request));
    let first = &found.parts[0];
    let mut rows = vec![
        (shell.t("buyer"), masked_name(first.document.text("GMF_MC"))),
        (shell.t("buyer_number"), masked_number(first.document.text("GMF_NSRSBH"))),
        (shell.t("serial"), found.request.serial.clone()),
        (shell.t("extraction"), found.request.qr.as_ref().map(|qr| qr.code.clone()).unwrap_or_default()),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    let mut links = Vec::new();
    for part in found.parts.iter().filter(|_| state.is_issued()) {
        match portal.link(part).await {
            Ok(link) => links.extend(link.map(|link| link.replacen(&portal.public_url, "", 1))),
            Err(_) => return busy(shell),
        }
    }
    let sends = portal.config.mail.is_some() || portal.config.sms.is_some();
    let page = StatePage {
        shell,
        sale: &sale,
        state,
        settled: state.is_settled(),
        path: here(token),
        rows,
        links,
        cards: if state.is_issued() { card::offers(shell, &found.parts, &here(token)) } else { Vec::new() },
        sends,
        told,
    };
    shell.page(StatusCode::OK, &page)
}

/// What the page after an action says: one of a few texts, chosen by the address.
const TOLD: [&str; 12] = [
    "sent",
    "send_off",
    "send_many",
    "need_email",
    "corrected",
    "correct_open",
    "need_text",
    "too_long",
    "card_sent",
    "card_in",
    "card_no",
    "card_off",
];

/// What the query of an address says was done.
pub(super) fn told(shell: &Shell, query: Option<&str>) -> Option<Told> {
    let form = Form::parse(query?.as_bytes()).ok()?;
    let told = form.get("told")?;
    let key = TOLD.into_iter().find(|key| *key == told)?;
    Some(Told { text: shell.t(key), good: matches!(key, "sent" | "corrected" | "card_sent" | "card_in") })
}

/// On to the page at `here`, which says it.
pub(super) fn tell(shell: &Shell, here: &str, key: &'static str) -> Response<Body> {
    debug_assert!(TOLD.contains(&key), "a page says nothing that is not in the list");
    shell.see_other(&format!("{here}?told={key}"))
}

async fn send(portal: &Portal, shell: &Shell, found: &Found, token: &str, request: Request<Body>) -> Response<Body> {
    let form = match form::read(shell, request).await {
        Ok(form) => form,
        Err(page) => return *page,
    };
    let address = form.get("address").unwrap_or_default().trim().to_owned();
    let channel = if address.contains('@') { Channel::Mail } else { Channel::Sms };
    if outbox::checked(channel, &address).is_err() {
        return tell(shell, &here(token), "need_email");
    }
    let configured = match channel {
        Channel::Mail => portal.config.mail.is_some(),
        _ => portal.config.sms.is_some(),
    };
    if !configured {
        return tell(shell, &here(token), "send_off");
    }
    for part in &found.parts {
        let (tenant, serial, address) = (part.tenant.clone(), part.serial.clone(), address.clone());
        let queued = portal.ledger.run(move |session| {
            Box::pin(async move { outbox::resend(session, &tenant, &serial, channel, &address, "consumer").await })
        });
        match queued.await {
            Ok(Resent::Queued(_) | Resent::Waiting(_)) => {}
            Ok(Resent::TooMany(_)) => return tell(shell, &here(token), "send_many"),
            Ok(Resent::Address(_)) => return tell(shell, &here(token), "need_email"),
            Ok(Resent::Unknown | Resent::NotIssued(_)) => return shell.see_other(&here(token)),
            Err(_) => return busy(shell),
        }
    }
    tell(shell, &here(token), "sent")
}

async fn correct(portal: &Portal, shell: &Shell, found: &Found, token: &str, request: Request<Body>) -> Response<Body> {
    let form = match form::read(shell, request).await {
        Ok(form) => form,
        Err(page) => return *page,
    };
    let field = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
    let (text, contact, about) = (field("text"), field("contact"), found.parts[0].clone());
    if text.is_empty() {
        return tell(shell, &here(token), "need_text");
    }
    if text.chars().count() > task::TEXT_MAX || contact.chars().count() > task::CONTACT_MAX {
        return tell(shell, &here(token), "too_long");
    }
    let asked =
        portal.ledger.run(move |session| Box::pin(async move { task::correction(session, &about, &text, &contact).await })).await;
    match asked {
        Ok(Asked::Taken) => tell(shell, &here(token), "corrected"),
        Ok(Asked::OpenAlready) => tell(shell, &here(token), "correct_open"),
        Ok(Asked::NotIssued) => shell.see_other(&here(token)),
        Err(_) => busy(shell),
    }
}
