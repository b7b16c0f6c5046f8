//! All requests of a tenant, over all schemes: the list with its filters, the approval queue, and the export.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Extension, Router};
use taxdisk_protocol::api::Operation;
use taxdisk_protocol::kind::InvoiceKind;

use super::shell::Shell;
use super::words::{self, Lang};
use super::{Console, Shared, Visitor, Who, export, page, see_other, shell};
use crate::core::request::{Phase, Request, Voiding};
use crate::store::{Field, Query, StoreError};
use crate::wire::form::Form;

/// Rows of a page.
const PAGE: u32 = 50;
/// Rows of it that are read at once.
const EXPORT_PAGE: u32 = 200;
/// A day, milliseconds.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// States to filter by, and the phases that each is.
const STATES: &[(&str, &[&str])] = &[
    ("WAITING_APPROVAL", &["approval"]),
    ("WAITING_BUYER", &["buyer"]),
    ("QUEUED", &["forwarding", "queued"]),
    ("ISSUING", &["issuing"]),
    ("SETTLING", &["settling"]),
    ("FAILED", &["failed"]),
    ("ISSUED", &["issued"]),
    ("RETURNED", &["deleted"]),
    ("SPLIT", &["plan"]),
];

/// Ways to find a request.
const FIELDS: &[(&str, Option<Field>)] = &[
    ("serial", None),
    ("order", Some(Field::Order)),
    ("extraction", Some(Field::Extraction)),
    ("number", Some(Field::Number)),
    ("buyer", Some(Field::Buyer)),
    ("taxpayer", Some(Field::TaxpayerNumber)),
    ("telephone", Some(Field::Telephone)),
    ("mail", Some(Field::Mail)),
];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console", get(home))
        .route("/console/invoices", get(list))
        .route("/console/invoices.csv", get(csv))
        .route("/console/invoices.xlsx", get(xlsx))
        .route("/console/approval", get(approval))
}

/// A choice of a form.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) chosen: bool,
}

/// A row of a list.
pub(super) struct Row {
    pub(super) serial: String,
    pub(super) url: String,
    pub(super) created: String,
    pub(super) kind: String,
    pub(super) org: String,
    pub(super) buyer: String,
    pub(super) gross: String,
    pub(super) state: String,
    pub(super) class: &'static str,
    pub(super) number: String,
    pub(super) held_for: String,
}

#[derive(Template)]
#[template(path = "console/invoices.html")]
struct ListPage {
    shell: Shell,
    approval: bool,
    rows: Vec<Row>,
    from: String,
    to: String,
    word: String,
    states: Vec<Choice>,
    orgs: Vec<Choice>,
    kinds: Vec<Choice>,
    fields: Vec<Choice>,
    /// Query of the next page.
    next: Option<String>,
    /// Not the first page.
    later: bool,
    export: String,
}

async fn home() -> Response<Body> {
    see_other("/console/invoices")
}

/// `2027-01-15 16:00:00`, in the legal time of China.
pub(super) fn time(ms: i64) -> String {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    jiff::Timestamp::from_millisecond(ms)
        .map(|at| at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// The first millisecond of `YYYY-MM-DD` in China.
fn day(text: &str) -> Option<i64> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    Some(date.to_zoned(zone).ok()?.timestamp().as_millisecond())
}

/// What a query string asks for, for this tenant alone.
///
/// # Errors
/// Key of the text that says what is wrong.
fn read(tenant: &str, form: &Form) -> Result<Query, &'static str> {
    let field = |name: &str| form.get(name).unwrap_or_default().trim();
    let date = |name: &str| match field(name) {
        "" => Ok(None),
        text => day(text).map(Some).ok_or("bad_date"),
    };
    let end = date("to")?.map_or(i64::MAX, |day| day.saturating_add(DAY_MS));
    let after: Option<(i64, String)> =
        field("after").split_once('-').and_then(|(at, serial)| Some((at.parse().ok()?, serial.to_owned())));
    let phases = STATES.iter().find(|(name, _)| *name == field("state")).map(|(_, phases)| phases.to_vec());
    let by = FIELDS.iter().find(|(name, _)| *name == field("by")).and_then(|(_, field)| *field);
    Ok(Query {
        tenant: tenant.to_owned(),
        from: date("from")?.unwrap_or(0),
        before: after.filter(|(at, _)| *at < end).unwrap_or((end, String::new())),
        phases: phases.unwrap_or_default(),
        orgcode: field("org").to_owned(),
        fplx: field("kind").parse().ok(),
        word: by.map(|by| (by, field("word").to_owned())).filter(|(_, word)| !word.is_empty()),
        limit: PAGE,
    })
}

/// The serial number that is looked for, if that is how.
fn serial_of(form: &Form) -> Option<&str> {
    let by = form.get("by").unwrap_or("serial");
    form.get("word").map(str::trim).filter(|word| by == "serial" && !word.is_empty())
}

async fn found(console: &Console, tenant: &str, form: &Form, query: &Query) -> Result<Vec<Request>, StoreError> {
    let mut db = console.portal.readers.get().await?;
    match serial_of(form) {
        Some(serial) => Ok(db.request(tenant, serial).await?.into_iter().collect()),
        None => db.list_requests(query).await,
    }
}

/// A row for people.
pub(super) fn row(lang: Lang, request: &Request) -> Row {
    let t = |key: &str| words::text(lang, key).to_owned();
    let kind =
        InvoiceKind::from_yonyou(request.fplx).map_or_else(|| request.fplx.to_string(), |kind| words::said(lang, kind.name()));
    let (kind, substate) = match request.operation {
        Operation::Issue => (kind, request.substate()),
        Operation::Red => (format!("{kind} · {}", t("op_red")), request.substate()),
        // What a void has done is no invoice.
        Operation::Void if request.phase == Phase::Issued => (t("op_void"), "VOIDED"),
        Operation::Void => (t("op_void"), request.substate()),
    };
    let class = match request.phase {
        Phase::Issued => "good",
        Phase::Failed => "bad",
        Phase::Approval | Phase::Buyer | Phase::Settling => "warn",
        _ => "",
    };
    let mut state = t(&format!("state_{substate}"));
    if request.voiding == Voiding::Void {
        state = format!("{state} · {}", t("op_void"));
    }
    Row {
        url: format!("/console/invoices/{}", encoded(&request.serial)),
        serial: request.serial.clone(),
        created: time(request.created_at),
        kind,
        org: request.orgcode.clone(),
        buyer: request.document.text("GMF_MC").to_owned(),
        gross: format!("{:.2}", request.gross),
        state,
        class,
        number: request.pair().map(|pair| format!("{} / {}", pair.code, pair.number)).unwrap_or_default(),
        held_for: request.held_for.clone().unwrap_or_default(),
    }
}

/// For one segment of a path or one value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => out.push(char::from(byte)),
            byte => {
                out.push('%');
                out.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    out
}

/// The query string without the place in the list.
fn kept(form: &Form) -> String {
    let kept = form.fields().iter().filter(|(name, value)| !value.is_empty() && name != "after" && name != "lang");
    kept.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect::<Vec<_>>().join("&")
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let query = match read(visitor.tenant(), &visitor.query) {
        Ok(query) => query,
        Err(key) => return shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, key),
    };
    listed(&console, &visitor, query, false).await
}

async fn approval(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let query = match read(visitor.tenant(), &visitor.query) {
        Ok(query) => Query { phases: vec!["approval"], ..query },
        Err(key) => return shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, key),
    };
    listed(&console, &visitor, query, true).await
}

/// The organisations of the tenant, to choose from by `org` of the query.
pub(super) fn orgs(console: &Console, visitor: &Visitor) -> Vec<Choice> {
    let (directory, chosen) = (console.portal.directory(), visitor.query.get("org").unwrap_or_default().trim());
    let sellers = directory.tenant(visitor.tenant()).map(|tenant| tenant.sellers.as_slice()).unwrap_or_default();
    let choice =
        |seller: &str, org: &str| Choice { value: org.to_owned(), label: format!("{org} · {seller}"), chosen: org == chosen };
    sellers.iter().flat_map(|seller| seller.points.iter().map(|point| choice(&seller.name, &point.orgcode))).collect()
}

async fn listed(console: &Console, visitor: &Visitor, query: Query, approval: bool) -> Response<Body> {
    let Ok(requests) = found(console, visitor.tenant(), &visitor.query, &query).await else {
        return shell::busy(console, visitor);
    };
    let (lang, form) = (visitor.language, &visitor.query);
    let field = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
    let t = |key: &str| words::text(lang, key).to_owned();
    let choice = |value: &str, label: String, chosen: &str| Choice { value: value.to_owned(), label, chosen: value == chosen };
    let kept = kept(form);
    // A full page may have a next one; an empty next page says so itself.
    let next = requests.last().filter(|_| requests.len() == PAGE as usize).map(|last| {
        let place = format!("after={}-{}", last.created_at, encoded(&last.serial));
        if kept.is_empty() { place } else { format!("{kept}&{place}") }
    });
    let page_of = ListPage {
        shell: Shell::new(console, visitor, if approval { "menu_approval" } else { "menu_list" }),
        approval,
        rows: requests.iter().map(|request| row(lang, request)).collect(),
        from: field("from"),
        to: field("to"),
        word: field("word"),
        states: STATES.iter().map(|(name, _)| choice(name, t(&format!("state_{name}")), &field("state"))).collect(),
        orgs: orgs(console, visitor),
        kinds: (0..=u8::MAX)
            .filter_map(|code| Some((code.to_string(), InvoiceKind::from_yonyou(code)?)))
            .map(|(code, kind)| choice(&code, words::said(lang, kind.name()), &field("kind")))
            .collect(),
        fields: FIELDS.iter().map(|(name, _)| choice(name, t(&format!("by_{name}")), &field("by"))).collect(),
        next,
        later: form.get("after").is_some(),
        export: kept,
    };
    page(&page_of)
}

async fn csv(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    exported(&console, &visitor, export::Form::Csv).await
}

async fn xlsx(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    exported(&console, &visitor, export::Form::Xlsx).await
}

async fn exported(console: &Console, visitor: &Visitor, form: export::Form) -> Response<Body> {
    let said = |status, key| shell::notice(console, visitor, status, key);
    let mut query = match read(visitor.tenant(), &visitor.query) {
        Ok(query) => Query { limit: EXPORT_PAGE, ..query },
        Err(key) => return said(StatusCode::UNPROCESSABLE_ENTITY, key),
    };
    let mut rows: Vec<Row> = Vec::new();
    loop {
        // A reader for each page: an export does not keep one from everybody else.
        let Ok(requests) = found(console, visitor.tenant(), &visitor.query, &query).await else {
            return said(StatusCode::SERVICE_UNAVAILABLE, "busy");
        };
        rows.extend(requests.iter().map(|request| row(visitor.language, request)));
        if rows.len() > console.export_rows {
            // A table that lacks rows would be taken for the whole.
            let text = format!("{} ({})", words::text(visitor.language, "too_many_rows"), console.export_rows);
            return shell::told(console, visitor, StatusCode::UNPROCESSABLE_ENTITY, text);
        }
        let Some(last) = requests.last().filter(|_| requests.len() == EXPORT_PAGE as usize) else { break };
        query.before = (last.created_at, last.serial.clone());
    }
    let Ok(table) = export::requests(form, visitor.language, &rows) else {
        return said(StatusCode::INTERNAL_SERVER_ERROR, "busy");
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(form.content_type())),
        (header::CONTENT_DISPOSITION, form.disposition("invoices")),
    ];
    (headers, table).into_response()
}
