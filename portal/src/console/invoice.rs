//! One request of a tenant, with everything that happened to it.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Response;
use axum::routing::get;
use axum::{Extension, Router};
use taxdisk_protocol::api::{Fault, Operation};
use taxdisk_protocol::kind::InvoiceKind;

use super::invoices::{Row, encoded, row, time};
use super::roles::Action;
use super::shell::Shell;
use super::words::{self, Lang};
use super::{Console, Shared, Visitor, Who, page, part_red, shell, tasks};
use crate::core::callback::{self, Attempt};
use crate::core::outbox::Standing;
use crate::core::reasons;
use crate::core::request::{Phase, Request, Voiding};
use crate::post::words::moment;
use crate::store::{Note, StoreError};

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/invoices/{serial}", get(show))
}

/// Lines of one invoice that a page shows; the PDF has them all.
const LINES_SHOWN: usize = 100;

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
    can_part_red: bool,
    can_void: bool,
    red_only: bool,
    /// A red of it needs the number of an information table.
    special: bool,
    /// Address of each correction that was asked for.
    tasks: Vec<String>,
    issued: bool,
}

/// One request, if it is of this tenant.
pub(super) async fn of(console: &Console, visitor: &Visitor, serial: &str) -> Result<Request, Response<Body>> {
    let read = async { console.portal.readers.get().await?.request(visitor.tenant(), serial).await };
    match read.await {
        Ok(Some(request)) => Ok(request),
        Ok(None) => Err(shell::not_found(console, visitor)),
        Err(_) => Err(shell::busy(console, visitor)),
    }
}

async fn show(State(console): Shared, Extension(visitor): Who, Path(serial): Path<String>) -> Response<Body> {
    match shown(&console, &visitor, &serial).await {
        Ok(response) | Err(response) => response,
    }
}

async fn shown(console: &Console, visitor: &Visitor, serial: &str) -> Result<Response<Body>, Response<Body>> {
    let busy = || shell::busy(console, visitor);
    let request = of(console, visitor, serial).await?;
    console.portal.looked_at(&request);
    let read = async {
        let mut db = console.portal.readers.get().await?;
        let (tenant, serial) = (&request.tenant, &request.serial);
        let messages = db.messages_of(tenant, serial).await?;
        let callbacks = db.callbacks_of(tenant, serial).await?;
        let tasks = db.tasks_of(tenant, serial).await?;
        Ok::<_, StoreError>((messages, callbacks, db.notes(tenant, serial).await?, tasks))
    };
    let (messages, callbacks, notes, tasks) = read.await.map_err(|_| busy())?;
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
        events: notes.iter().rev().map(|note| event(lang, note)).collect(),
        may_decide: visitor.may(Action::Decide),
        may_send: visitor.may(Action::Send),
        can_release: request.phase == Phase::Approval,
        can_return: matches!(request.phase, Phase::Approval | Phase::Buyer)
            || request.phase == Phase::Failed && request.failure.as_ref().is_some_and(|failure| !failure.foreign),
        can_reissue: request.may_reissue(),
        can_red: blue && request.reversed.is_zero(),
        can_part_red: blue && part_red::is_reversible(&request),
        special: kind.is_some_and(InvoiceKind::is_special),
        tasks: tasks.iter().map(|task| tasks::url(&task.id)).collect(),
        can_void: blue && !electronic && request.reversed.is_zero(),
        red_only: blue && electronic,
        issued,
        shell,
    }))
}

/// What an action may say after its redirect.
const DONE: &[&str] = &[
    "asked",
    "known",
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

/// A reason in the reader's language, and what broker and disk say beside it. What only they know how to say is said in their
/// words alone; why the broker does not answer is the operator's.
fn reason(lang: Lang, kept: &str) -> (&str, &str) {
    match (reasons::of_kept(kept), lang) {
        (Some((reasons::AWAY, _)), Lang::Zh) => (reasons::AWAY.zh, ""),
        (Some((reasons::AWAY, _)), Lang::En) => (reasons::AWAY.en, ""),
        (Some((reason, detail)), Lang::Zh) => (reason.zh, detail),
        (Some((reason, detail)), Lang::En) => (reason.en, detail),
        (None, _) => (kept, ""),
    }
}

fn facts(lang: Lang, request: &Request) -> Vec<Fact> {
    let text = |name: &str| request.document.text(name).to_owned();
    let amount = |value: Option<rust_decimal::Decimal>| value.map(|value| format!("{value:.2}")).unwrap_or_default();
    let failure = request.failure.as_ref().map(|failure| {
        let whose = match failure.fault {
            Fault::Request => "fault_request",
            Fault::Disk => "fault_disk",
            Fault::Policy => "fault_policy",
        };
        let (said, _) = reason(lang, &failure.text);
        format!("{said} ({}). {}", failure.code, words::text(lang, whose))
    });
    let kept = request.failure.as_ref().map(|failure| failure.text.as_str()).or(request.waiting.as_deref()).unwrap_or_default();
    let original = request.original.as_ref().map(|pair| format!("{} / {}", pair.code, pair.number));
    let voiding = match request.voiding {
        Voiding::No => String::new(),
        other => other.letter().to_owned(),
    };
    let all = [
        ("reason", failure.unwrap_or_default()),
        ("waiting", request.waiting.as_deref().map(|text| reason(lang, text).0.to_owned()).unwrap_or_default()),
        ("in_its_words", reason(lang, kept).1.to_owned()),
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

/// A state is named as the list names it, without the revision of the job that brought it. The document that was accepted stands
/// above, line by line; as JSON nobody reads it.
fn event(lang: Lang, note: &Note) -> Event {
    let keys = [format!("state_{}", note.what), format!("what_{}", note.what)];
    // What an earlier version has noted and this one has no words for is shown as it is.
    let named = keys.iter().map(|key| (key, words::text(lang, key))).find(|(key, text)| key.as_str() != *text);
    let what = named.map_or(note.what.as_str(), |(_, text)| text);
    let is_state = named.as_ref().is_some_and(|(key, _)| **key == keys[0]);
    let body = if is_state || note.body.starts_with('{') { "" } else { note.body.as_str() };
    let what = format!("{what} {body}");
    Event { time: time(note.at), who: note.by.clone(), what: what.trim_end().chars().take(300).collect() }
}

/// Key of the text for how a message stands.
pub(super) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "standing_waiting",
        Standing::Sent => "standing_sent",
        Standing::Failed => "standing_failed",
        Standing::Unavailable => "standing_unavailable",
    }
}

/// Key of the text for how a callback stands.
pub(super) fn told(standing: callback::Standing) -> &'static str {
    match standing {
        callback::Standing::Waiting => "standing_waiting",
        callback::Standing::Delivered => "standing_delivered",
        callback::Standing::Parked => "standing_parked",
    }
}
