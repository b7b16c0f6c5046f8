//! `/find`: a request by what its receipt says, where the code cannot be scanned (yonyou-open-api.md, section 5.3).
//!
//! | written | shown |
//! |---|---|
//! | extraction code | the page of the code, as a scan shows it |
//! | serial number, total and date | the form, if the buyer is not known yet; else the state, the buyer masked, and no file |
//!
//! An extraction code is random. Serial number, total and date of another one's receipt may be guessed, so they open no file and
//! name no extraction code. Whatever is not found, misspelt, ambiguous or revoked is answered alike: one page, one status, and
//! never sooner than [`MISS_TAKES`]. How often one address and all together may ask is limited.

use std::sync::Arc;
use std::time::{Duration, Instant};

use askama::Template;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use rust_decimal::Decimal;

use super::code::parts_of;
use super::form;
use super::sale::Sale;
use super::shell::Shell;
use super::state::State;
use crate::core::links::{self, Kind};
use crate::core::request::{Phase, Request as Stored};
use crate::ledger::Unavailable;
use crate::portal::Portal;
use crate::post::words::{masked_name, masked_number};
use crate::store::StoreError;
use crate::wire::form::Form;

/// Where it is.
pub(super) const PATH: &str = "/find";
/// How long an answer takes at least that found nothing: longer than any look-up, so its time does not say why.
const MISS_TAKES: Duration = Duration::from_millis(400);
/// Characters of a field at most; a serial number has 64.
const FIELD_MAX: usize = 64;
/// Requests of all tenants under one serial number that are looked at.
const SAME_SERIAL_MAX: u32 = 100;

/// What was written.
#[derive(Debug, Default)]
struct Wanted {
    extraction: String,
    serial: String,
    total: String,
    date: String,
}

impl Wanted {
    fn of(form: &Form) -> Wanted {
        let field = |name: &str| form.get(name).unwrap_or_default().trim().chars().take(FIELD_MAX).collect::<String>();
        Wanted { extraction: field("extraction"), serial: field("serial"), total: field("total"), date: field("date") }
    }

    /// `113`, `113.00`, `¥1,130.00`.
    fn amount(&self) -> Option<Decimal> {
        let plain: String = self.total.chars().filter(|c| !matches!(c, '¥' | '￥' | ',' | '，' | ' ' | '元')).collect();
        Decimal::from_str_exact(&plain).ok()
    }
}

/// What was found.
enum Found {
    /// The code of a request, as an address of this portal.
    Code(String),
    /// A request without a page of its own.
    State(Box<Stored>),
    /// Nothing, or nothing that may be told.
    Nothing,
}

pub(super) async fn answer(portal: Arc<Portal>, shell: Shell, request: Request<Body>) -> Response<Body> {
    match *request.method() {
        Method::GET | Method::HEAD => return page(&shell, &Wanted::default(), false, StatusCode::OK),
        Method::POST => {}
        _ => return shell.notice(StatusCode::METHOD_NOT_ALLOWED, "not_allowed", ""),
    }
    let began = Instant::now();
    if portal.finds.admit(super::address(&request), began).is_err() {
        return shell.notice(StatusCode::TOO_MANY_REQUESTS, "too_often", "nothing_changed");
    }
    let form = match form::read(&shell, request).await {
        Ok(form) => form,
        Err(page) => return *page,
    };
    let wanted = Wanted::of(&form);
    match found(&portal, &wanted).await {
        Ok(Found::Code(path)) => shell.see_other(&path),
        Ok(Found::State(request)) => state(&portal, &shell, &request).await,
        Ok(Found::Nothing) => {
            tokio::time::sleep_until((began + MISS_TAKES).into()).await;
            page(&shell, &wanted, true, StatusCode::NOT_FOUND)
        }
        Err(Unavailable) => shell.notice(StatusCode::SERVICE_UNAVAILABLE, "busy", "nothing_changed"),
    }
}

async fn found(portal: &Portal, wanted: &Wanted) -> Result<Found, Unavailable> {
    let all = matching(portal, wanted).await.map_err(|error| {
        tracing::error!(%error, "the store cannot be read");
        Unavailable
    })?;
    // Of two nobody can say whose receipt it is.
    let [request] = all.as_slice() else { return Ok(Found::Nothing) };
    let by_extraction = !wanted.extraction.is_empty();
    let parts = parts_of(portal, request).await.map_err(|_| Unavailable)?;
    if by_extraction || request.qr.is_some() && parts.iter().all(|part| part.phase == Phase::Buyer) {
        return Ok(code(portal, request).await?.map_or(Found::Nothing, Found::Code));
    }
    Ok(Found::State(Box::new(request.clone())))
}

async fn matching(portal: &Portal, wanted: &Wanted) -> Result<Vec<Stored>, StoreError> {
    let mut db = portal.readers.get().await?;
    if !wanted.extraction.is_empty() {
        let digits: String = wanted.extraction.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        return db.requests_by_extraction(&digits, 2).await;
    }
    let (Some(amount), date) = (wanted.amount(), wanted.date.replace('/', "-")) else { return Ok(Vec::new()) };
    let mut all = db.requests_by_serial(&wanted.serial, SAME_SERIAL_MAX).await?;
    // A till's receipt bears the number of its order: the serial number is made of it later, where nobody sees it.
    all.extend(db.requests_by_order(&wanted.serial, SAME_SERIAL_MAX).await?);
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|request| seen.insert((request.tenant.clone(), request.serial.clone())));
    all.retain(|request| request.parent.is_none() && request.gross == amount && dates(request).contains(&date));
    Ok(all)
}

/// Days that a receipt may bear: of the sale as the merchant wrote it, of the request, of the invoice; `2027-01-15`.
fn dates(request: &Stored) -> Vec<String> {
    let beijing = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    let asked = jiff::Timestamp::from_millisecond(request.created_at).ok();
    let asked = asked.map(|time| time.to_zoned(beijing).date().to_string()).unwrap_or_default();
    let issued = request.issued.as_ref().and_then(|issued| issued.issued_at.get(..8)).unwrap_or_default();
    let issued = jiff::civil::Date::strptime("%Y%m%d", issued).map(|date| date.to_string()).unwrap_or_default();
    // One that is not known is not "".
    let all = [request.document.text("RQSJ").replace('/', "-"), asked, issued];
    all.into_iter().filter(|date| !date.is_empty()).collect()
}

/// The address of the code of a request. `None`: it ended or was revoked, and a search brings nothing back.
async fn code(portal: &Portal, request: &Stored) -> Result<Option<String>, Unavailable> {
    let (key, valid_ms) = (portal.links.clone(), portal.config.links.code_valid_ms());
    let (tenant, serial) = (request.tenant.clone(), request.serial.clone());
    let link = portal.ledger.run(move |session| {
        Box::pin(async move {
            let latest = session.db.links_of(Kind::Code, &tenant, &serial).await?.pop();
            if !latest.is_some_and(|link| link.is_open(session.now)) {
                return Ok(None);
            }
            links::current(session, &key, Kind::Code, &tenant, &serial, valid_ms).await
        })
    });
    Ok(link.await?.map(|link| portal.url(&link).replacen(&portal.public_url, "", 1)))
}

#[derive(Template)]
#[template(path = "pages/find.html")]
struct FindPage<'a> {
    shell: &'a Shell,
    wanted: &'a Wanted,
    missed: bool,
}

fn page(shell: &Shell, wanted: &Wanted, missed: bool, status: StatusCode) -> Response<Body> {
    shell.page(status, &FindPage { shell, wanted, missed })
}

#[derive(Template)]
#[template(path = "pages/found.html")]
struct FoundPage<'a> {
    shell: &'a Shell,
    sale: &'a Sale,
    state: State,
    more: &'static str,
    rows: Vec<(&'static str, String)>,
}

/// Where it stands, without anything that could be guessed for.
async fn state(portal: &Portal, shell: &Shell, request: &Stored) -> Response<Body> {
    let Ok(parts) = parts_of(portal, request).await else {
        return shell.notice(StatusCode::SERVICE_UNAVAILABLE, "busy", "nothing_changed");
    };
    let first = &parts[0];
    let mut rows = vec![
        (shell.t("buyer"), masked_name(first.document.text("GMF_MC"))),
        (shell.t("buyer_number"), masked_number(first.document.text("GMF_NSRSBH"))),
        (shell.t("serial"), request.serial.clone()),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    let (sale, state) = (Sale::of(portal, request), State::of_all(&parts));
    let more = match state {
        State::Issued => shell.t("find_files"),
        // Their texts speak of a page that renews itself; this one does not.
        State::Queued | State::Checking | State::Issuing => shell.t("find_later"),
        State::Merchant | State::Returned | State::Offline { .. } => state.more(shell.lang()),
    };
    shell.page(StatusCode::OK, &FoundPage { shell, sale: &sale, state, more, rows })
}
