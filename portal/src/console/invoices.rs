//! All requests of a tenant, over all schemes: the list with its filters, the approval queue, one request with everything that
//! happened to it, and the export.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Extension, Router};
use taxdisk_protocol::api::{Fault, Operation};
use taxdisk_protocol::kind::InvoiceKind;

use super::roles::Action;
use super::shell::Shell;
use super::words::{self, Lang};
use super::{Console, Shared, Visitor, Who, export, page, see_other, shell};
use crate::core::callback::{self, Attempt};
use crate::core::outbox::Standing;
use crate::core::request::{Phase, Request, Voiding};
use crate::post::words::moment;
use crate::store::{Field, Note, Query, StoreError};
use crate::wire::form::Form;

/// Rows of a page.
const PAGE: u32 = 50;
/// Lines of one invoice that a page shows; the PDF has them all.
const LINES_SHOWN: usize = 100;
/// Rows of an export at most; more are fetched by narrower dates.
const EXPORT_MAX: usize = 10_000;
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
        .route("/console/approval", get(approval))
        .route("/console/invoices/{serial}", get(show))
}

/// A choice of a form.
struct Choice {
    value: String,
    label: String,
    chosen: bool,
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
    class: &'static str,
    pub(super) number: String,
    held_for: String,
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
    export: String,
}

/// A fact of a page: label and value.
struct Fact {
    label: String,
    value: String,
}

struct Sent {
    channel: String,
    address: String,
    standing: String,
    tries: u32,
    answer: String,
}

struct Line {
    name: String,
    quantity: String,
    rate: String,
    net: String,
    tax: String,
}

struct Event {
    time: String,
    who: String,
    what: String,
}

#[derive(Template)]
#[template(path = "console/invoice.html")]
#[allow(clippy::struct_excessive_bools)]
struct ShowPage {
    shell: Shell,
    row: Row,
    facts: Vec<Fact>,
    lines: Vec<Line>,
    /// Address and serial number of each.
    parts: Vec<(String, String)>,
    link: Option<String>,
    revoked: bool,
    messages: Vec<Sent>,
    callbacks: Vec<Sent>,
    events: Vec<Event>,
    may_decide: bool,
    may_send: bool,
    can_release: bool,
    can_return: bool,
    can_reissue: bool,
    can_red: bool,
    can_void: bool,
    red_only: bool,
    issued: bool,
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
    let kind = InvoiceKind::from_yonyou(request.fplx).map_or_else(|| request.fplx.to_string(), |kind| kind.name().to_owned());
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

async fn listed(console: &Console, visitor: &Visitor, query: Query, approval: bool) -> Response<Body> {
    let Ok(requests) = found(console, visitor.tenant(), &visitor.query, &query).await else {
        return shell::notice(console, visitor, StatusCode::SERVICE_UNAVAILABLE, "busy");
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
    let directory = console.portal.directory();
    let sellers = directory.tenant(visitor.tenant()).map(|tenant| tenant.sellers.clone()).unwrap_or_default();
    let orgs = sellers.iter().flat_map(|seller| seller.points.iter().map(|point| (seller.name.clone(), point.orgcode.clone())));
    let page_of = ListPage {
        shell: Shell::new(console, visitor, if approval { "menu_approval" } else { "menu_list" }),
        approval,
        rows: requests.iter().map(|request| row(lang, request)).collect(),
        from: field("from"),
        to: field("to"),
        word: field("word"),
        states: STATES.iter().map(|(name, _)| choice(name, t(&format!("state_{name}")), &field("state"))).collect(),
        orgs: orgs.map(|(seller, org)| choice(&org, format!("{org} · {seller}"), &field("org"))).collect(),
        kinds: (0..=u8::MAX)
            .filter_map(|code| Some((code.to_string(), InvoiceKind::from_yonyou(code)?)))
            .map(|(code, kind)| choice(&code, kind.name().to_owned(), &field("kind")))
            .collect(),
        fields: FIELDS.iter().map(|(name, _)| choice(name, t(&format!("by_{name}")), &field("by"))).collect(),
        next,
        export: kept,
    };
    page(&page_of)
}

async fn csv(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let mut query = match read(visitor.tenant(), &visitor.query) {
        Ok(query) => Query { limit: 200, ..query },
        Err(key) => return shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, key),
    };
    let mut rows: Vec<Row> = Vec::new();
    loop {
        // A reader for each page: an export does not keep one from everybody else.
        let Ok(requests) = found(&console, visitor.tenant(), &visitor.query, &query).await else {
            return shell::notice(&console, &visitor, StatusCode::SERVICE_UNAVAILABLE, "busy");
        };
        rows.extend(requests.iter().map(|request| row(visitor.language, request)));
        let Some(last) = requests.last().filter(|_| requests.len() == 200 && rows.len() < EXPORT_MAX) else { break };
        query.before = (last.created_at, last.serial.clone());
    }
    rows.truncate(EXPORT_MAX);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv;charset=UTF-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"invoices.csv\"")),
    ];
    (headers, export::csv(visitor.language, &rows)).into_response()
}

/// One request, if it is of this tenant.
pub(super) async fn of(console: &Console, visitor: &Visitor, serial: &str) -> Result<Request, Response<Body>> {
    let read = async { console.portal.readers.get().await?.request(visitor.tenant(), serial).await };
    match read.await {
        Ok(Some(request)) => Ok(request),
        Ok(None) => Err(shell::notice(console, visitor, StatusCode::NOT_FOUND, "not_found")),
        Err(_) => Err(shell::notice(console, visitor, StatusCode::SERVICE_UNAVAILABLE, "busy")),
    }
}

async fn show(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    match shown(&console, &visitor, &serial).await {
        Ok(response) | Err(response) => response,
    }
}

async fn shown(console: &Console, visitor: &Visitor, serial: &str) -> Result<Response<Body>, Response<Body>> {
    let busy = || shell::notice(console, visitor, StatusCode::SERVICE_UNAVAILABLE, "busy");
    let request = of(console, visitor, serial).await?;
    let read = async {
        let mut db = console.portal.readers.get().await?;
        let (tenant, serial) = (&request.tenant, &request.serial);
        let messages = db.messages_of(tenant, serial).await?;
        let callbacks = db.callbacks_of(tenant, serial).await?;
        Ok::<_, StoreError>((messages, callbacks, db.notes(tenant, serial).await?))
    };
    let (messages, callbacks, notes) = read.await.map_err(|_| busy())?;
    let issued = request.phase == Phase::Issued && request.operation != Operation::Void;
    let link = if issued { console.portal.link(&request).await.map_err(|_| busy())? } else { None };
    let lang = visitor.language;
    let done = visitor.query.get("done").filter(|done| DONE.contains(done));
    let notice = done.map(|done| words::text(lang, &format!("done_{done}")).to_owned());
    let mut shell = Shell::new(console, visitor, "serial").with_notice(notice, true);
    shell.title = format!("{} {}", shell.title, request.serial);
    let kind = InvoiceKind::from_yonyou(request.fplx);
    let blue = issued && request.operation == Operation::Issue && !matches!(request.voiding, Voiding::Void | Voiding::Running);
    let electronic = kind.is_some_and(InvoiceKind::is_electronic);
    let answer = |attempts: &[Attempt]| attempts.last().map(|last| last.text.clone()).unwrap_or_default();
    Ok(page(&ShowPage {
        row: row(lang, &request),
        facts: facts(lang, &request),
        lines: request.document.lines.iter().take(LINES_SHOWN).map(line).collect(),
        parts: request
            .parts
            .iter()
            .chain(&request.parent)
            .map(|part| (format!("/console/invoices/{}", encoded(part)), part.clone()))
            .collect(),
        revoked: issued && link.is_none(),
        link,
        messages: messages
            .iter()
            .rev()
            .map(|one| Sent {
                channel: words::text(lang, one.channel.as_str()).to_owned(),
                address: one.address.clone(),
                standing: words::text(lang, standing(one.standing)).to_owned(),
                tries: one.tries,
                answer: answer(&one.attempts),
            })
            .collect(),
        callbacks: callbacks
            .iter()
            .rev()
            .map(|one| Sent {
                channel: String::new(),
                address: one.target.url.clone(),
                standing: words::text(lang, told(one.standing)).to_owned(),
                tries: one.tries,
                answer: answer(&one.attempts),
            })
            .collect(),
        events: notes.iter().rev().map(event).collect(),
        may_decide: visitor.may(Action::Decide),
        may_send: visitor.may(Action::Send),
        can_release: request.phase == Phase::Approval,
        can_return: matches!(request.phase, Phase::Approval | Phase::Buyer)
            || request.phase == Phase::Failed && request.failure.as_ref().is_some_and(|failure| !failure.foreign),
        can_reissue: request.may_reissue(),
        can_red: blue && request.reversed.is_zero(),
        can_void: blue && !electronic && request.reversed.is_zero(),
        red_only: blue && electronic,
        issued,
        shell,
    }))
}

/// What an action may say after its redirect.
pub(super) const DONE: &[&str] = &[
    "released",
    "returned",
    "requeued",
    "already",
    "progress",
    "settling",
    "red",
    "red_known",
    "voiding",
    "void",
    "sent",
    "replayed",
];

fn facts(lang: Lang, request: &Request) -> Vec<Fact> {
    let text = |name: &str| request.document.text(name).to_owned();
    let amount = |value: Option<rust_decimal::Decimal>| value.map(|value| format!("{value:.2}")).unwrap_or_default();
    let failure = request.failure.as_ref().map(|failure| {
        let whose = match failure.fault {
            Fault::Request => "fault_request",
            Fault::Disk => "fault_disk",
            Fault::Policy => "fault_policy",
        };
        format!("{} ({}). {}", failure.text, failure.code, words::text(lang, whose))
    });
    let original = request.original.as_ref().map(|pair| format!("{} / {}", pair.code, pair.number));
    let voiding = match request.voiding {
        Voiding::No => String::new(),
        other => other.letter().to_owned(),
    };
    let all = [
        ("reason", failure.unwrap_or_default()),
        ("waiting", request.waiting.clone().unwrap_or_default()),
        ("held", request.held_for.clone().unwrap_or_default()),
        ("seller", format!("{} {}", text("XSF_MC"), request.seller)),
        ("org", request.orgcode.clone()),
        ("buyer", text("GMF_MC")),
        ("buyer_number", text("GMF_NSRSBH")),
        ("net", amount(request.document.net)),
        ("tax", amount(request.document.tax)),
        ("gross", format!("{:.2}", request.gross)),
        ("number", request.pair().map(|pair| format!("{} / {}", pair.code, pair.number)).unwrap_or_default()),
        ("issued_at", request.issued.as_ref().map(|issued| moment(&issued.issued_at)).unwrap_or_default()),
        ("original", original.unwrap_or_default()),
        ("remaining", if request.reversed.is_zero() { String::new() } else { format!("{:.2}", request.remaining()) }),
        ("voiding", voiding),
        ("order", text("LYID")),
        ("extraction", request.qr.as_ref().map(|qr| qr.code.clone()).unwrap_or_default()),
        ("interface", request.interface.clone()),
        ("appid", request.appid.clone()),
        ("attempt", request.attempt.to_string()),
        ("created", time(request.created_at)),
    ];
    let said = all.into_iter().filter(|(_, value)| !value.trim().is_empty());
    said.map(|(label, value)| Fact { label: words::text(lang, label).to_owned(), value }).collect()
}

fn line(line: &crate::document::Line) -> Line {
    let amount = |value: Option<rust_decimal::Decimal>| value.map(|value| format!("{value:.2}")).unwrap_or_default();
    Line {
        name: line.name.clone(),
        quantity: line.quantity.map(|quantity| quantity.normalize().to_string()).unwrap_or_default(),
        rate: format!("{}%", (line.rate * rust_decimal::Decimal::ONE_HUNDRED).normalize()),
        net: amount(line.net),
        tax: amount(line.tax),
    }
}

fn event(note: &Note) -> Event {
    let what = if note.body.is_empty() { note.what.clone() } else { format!("{} {}", note.what, note.body) };
    Event { time: time(note.at), who: note.by.clone(), what: what.chars().take(300).collect() }
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "standing_waiting",
        Standing::Sent => "standing_sent",
        Standing::Failed => "standing_failed",
        Standing::Unavailable => "standing_unavailable",
    }
}

fn told(standing: callback::Standing) -> &'static str {
    match standing {
        callback::Standing::Waiting => "standing_waiting",
        callback::Standing::Delivered => "standing_delivered",
        callback::Standing::Parked => "standing_parked",
    }
}
