//! Corrections that consumers asked for: the list, and a clerk's page for each.
//!
//! A task is one clerk's at a time; whoever comes second is told who has it ([`crate::core::task`]). The red is made on the
//! page of the invoice, where its rules are; the invoice that takes its place is made here.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use axum::{Extension, Router};
use taxdisk_protocol::api::{Operation, Priority};

use super::actions::unavailable;
use super::documents::{self, HEAD};
use super::invoices::{Row, encoded, row, time};
use super::roles::Action;
use super::shell::Shell;
use super::shell::either;
use super::words::{self, Lang};
use super::{Console, Posted, Shared, Visitor, Who, page, see_other, shell};
use crate::core::insert::{Batch, Verdict};
use crate::core::request::Request;
use crate::core::task::{self, ANSWER_MAX, Replaced, Stepped, Task, TaskState};
use crate::document::fields::Form as DocumentForm;
use crate::document::read;
use crate::making::{self, Manner};
use crate::model::Suspected;
use crate::store::StoreError;

/// Rows of the list at most: as open ones are ended, later ones come into it.
const LIST_MAX: u32 = 200;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/tasks", get(list))
        .route("/console/tasks/{id}", get(show))
        .route("/console/tasks/{id}/take", post(take))
        .route("/console/tasks/{id}/release", post(give_back))
        .route("/console/tasks/{id}/replace", post(replace))
        .route("/console/tasks/{id}/end", post(end))
}

/// Address of a task.
pub(super) fn url(id: &str) -> String {
    format!("/console/tasks/{}", encoded(id))
}

fn done(id: &str, what: &str) -> Response<Body> {
    see_other(&format!("{}?done={what}", url(id)))
}

struct ListRow {
    url: String,
    created: String,
    serial: String,
    text: String,
    contact: String,
    holder: String,
    answer: String,
}

struct Tab {
    state: &'static str,
    label: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "console/tasks.html")]
struct ListPage {
    shell: Shell,
    tabs: Vec<Tab>,
    open: bool,
    rows: Vec<ListRow>,
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let (lang, now) = (visitor.language, (console.portal.clock)());
    let state = match visitor.query.get("state") {
        Some("done") => TaskState::Done,
        Some("refused") => TaskState::Refused,
        _ => TaskState::Open,
    };
    let read = async { console.portal.readers.get().await?.tasks(visitor.tenant(), state, LIST_MAX).await };
    let Ok(tasks) = read.await else {
        return shell::busy(&console, &visitor);
    };
    let row = |task: &Task| ListRow {
        url: url(&task.id),
        created: time(task.created_at),
        serial: task.serial.clone(),
        text: task.text.clone(),
        contact: task.contact.clone(),
        holder: holder(task, now).unwrap_or_default(),
        answer: format!("{} {}", task.ended_by, task.answer).trim().to_owned(),
    };
    let tab = |other: TaskState, key: &str| Tab {
        state: other.as_str(),
        label: words::text(lang, key).to_owned(),
        current: other == state,
    };
    page(&ListPage {
        shell: Shell::new(&console, &visitor, "menu_tasks"),
        tabs: vec![
            tab(TaskState::Open, "tasks_open"),
            tab(TaskState::Done, "tasks_done"),
            tab(TaskState::Refused, "tasks_refused"),
        ],
        open: state == TaskState::Open,
        rows: tasks.iter().map(row).collect(),
    })
}

/// Who has it now.
fn holder(task: &Task, now: i64) -> Option<String> {
    task.hold.as_ref().filter(|hold| hold.lasts(now)).map(|hold| hold.person.clone())
}

/// A field of the form that issues the corrected invoice.
struct Field {
    name: &'static str,
    label: String,
    value: String,
    required: bool,
}

struct LineFields {
    place: usize,
    name: String,
    specification: String,
    unit: String,
    quantity: String,
    rate: String,
    gross: String,
}

#[derive(Template)]
#[template(path = "console/task.html")]
#[allow(clippy::struct_excessive_bools)]
struct ShowPage {
    shell: Shell,
    url: String,
    text: String,
    contact: String,
    facts: Vec<(String, String)>,
    invoice: Option<Row>,
    reds: Vec<Row>,
    replacement: Option<Row>,
    /// Nobody has ended it.
    open: bool,
    /// This person has it.
    mine: bool,
    may_issue: bool,
    may_decide: bool,
    /// The wrong invoice is reversed or void.
    gone: bool,
    fields: Vec<Field>,
    lines: Vec<LineFields>,
    answer_max: usize,
}

/// What stands around a task.
struct Around {
    task: Task,
    invoice: Option<Request>,
    reds: Vec<Request>,
    replacement: Option<Request>,
}

async fn around(console: &Console, tenant: &str, id: &str) -> Result<Option<Around>, StoreError> {
    let mut db = console.portal.readers.get().await?;
    let Some(task) = db.task(tenant, id).await? else { return Ok(None) };
    let invoice = db.request(tenant, &task.serial).await?;
    let reds = match invoice.as_ref().and_then(Request::pair) {
        Some(pair) => db.about(tenant, &pair.code, &pair.number).await?,
        None => Vec::new(),
    };
    let replacement = db.request(tenant, &task::replacement_serial(tenant, &task.serial)).await?;
    Ok(Some(Around { task, invoice, reds, replacement }))
}

/// The task, if it is of this tenant.
async fn of(console: &Console, visitor: &Visitor, id: &str) -> Result<Around, Response<Body>> {
    match around(console, visitor.tenant(), id).await {
        Ok(Some(around)) => Ok(around),
        Ok(None) => Err(shell::not_found(console, visitor)),
        Err(_) => Err(shell::busy(console, visitor)),
    }
}

/// What a step may say after its redirect.
const DONE: &[&str] = &["task_taken", "task_released", "task_ended", "replaced", "replaced_known"];

async fn show(State(console): Shared, Extension(visitor): Who, Path(id): Path<String>) -> Response<Body> {
    either(async { Ok(page(&shown(&console, &visitor, of(&console, &visitor, &id).await?))) }.await)
}

fn shown(console: &Console, visitor: &Visitor, around: Around) -> ShowPage {
    let (lang, now) = (visitor.language, (console.portal.clock)());
    let Around { task, invoice, reds, replacement } = around;
    let t = |key: &str| words::text(lang, key).to_owned();
    let done = visitor.query.get("done").filter(|done| DONE.contains(done));
    let notice = done.map(|done| t(&format!("done_{done}")));
    let open = task.state == TaskState::Open;
    let state = match task.state {
        TaskState::Open => "tasks_open",
        TaskState::Done => "tasks_done",
        TaskState::Refused => "tasks_refused",
    };
    let until = task.hold.as_ref().filter(|hold| hold.lasts(now)).map(|hold| time(hold.until));
    let facts = [
        ("state", t(state)),
        ("asked_at", time(task.created_at)),
        ("holder", if open { holder(&task, now).unwrap_or_else(|| t("free")) } else { String::new() }),
        ("hold_until", until.unwrap_or_default()),
        ("ended_by", task.ended_by.clone()),
        ("ended_at", if task.ended_at == 0 { String::new() } else { time(task.ended_at) }),
        ("answer", task.answer.clone()),
    ];
    let gone = invoice.as_ref().is_some_and(task::is_gone);
    let form = invoice.as_ref().filter(|_| gone && replacement.is_none());
    ShowPage {
        shell: Shell::new(console, visitor, "task").with_notice(notice, true),
        url: url(&task.id),
        facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (t(key), value)).collect(),
        invoice: invoice.as_ref().map(|request| row(lang, request)),
        reds: reds.iter().filter(|other| other.operation == Operation::Red).map(|red| row(lang, red)).collect(),
        replacement: replacement.as_ref().map(|request| row(lang, request)),
        open,
        mine: open && task.hold.as_ref().is_some_and(|hold| hold.is_of(&visitor.name(), now)),
        may_issue: visitor.may(Action::Issue),
        may_decide: visitor.may(Action::Decide),
        gone,
        fields: form.map(|request| fields(lang, request)).unwrap_or_default(),
        lines: form.map(lines).unwrap_or_default(),
        answer_max: ANSWER_MAX,
        text: task.text,
        contact: task.contact,
    }
}

fn fields(lang: Lang, request: &Request) -> Vec<Field> {
    let field = |(name, label): (&'static str, &'static str)| Field {
        name,
        label: words::text(lang, label).to_owned(),
        value: request.document.text(name).to_owned(),
        required: name == "GMF_MC",
    };
    HEAD.into_iter().map(field).collect()
}

fn lines(request: &Request) -> Vec<LineFields> {
    let lines = &request.document.lines;
    if lines.len() > documents::LINES_MAX {
        // They stay as they are; the buyer and the remark can be corrected all the same.
        return Vec::new();
    }
    let line = |(place, line): (usize, &crate::document::Line)| LineFields {
        place,
        name: line.name.clone(),
        specification: line.specification.clone(),
        unit: line.unit.clone(),
        quantity: line.quantity.map(|quantity| quantity.normalize().to_string()).unwrap_or_default(),
        rate: format!("{}%", (line.rate * rust_decimal::Decimal::ONE_HUNDRED).normalize()),
        gross: format!("{:.2}", line.gross),
    };
    lines.iter().enumerate().map(line).collect()
}

/// What a clerk's step did, as the answer to it.
fn stepped(console: &Console, visitor: &Visitor, id: &str, stepped: Stepped, what: &str) -> Response<Body> {
    let t = |key: &'static str| words::text(visitor.language, key);
    match stepped {
        Stepped::Done(_) => done(id, what),
        Stepped::Other(hold) => {
            shell::refused(console, visitor, format!("{} {} ({})", t("task_other"), hold.person, time(hold.until)))
        }
        Stepped::NotHeld => shell::notice(console, visitor, StatusCode::CONFLICT, "task_not_held"),
        Stepped::Ended(task) => {
            let when = time(task.ended_at);
            shell::refused(console, visitor, format!("{} {} {when} {}", t("task_ended"), task.ended_by, task.answer))
        }
        Stepped::Unknown => shell::not_found(console, visitor),
    }
}

async fn take(State(console): Shared, Extension(visitor): Who, Path(id): Path<String>) -> Response<Body> {
    let (tenant, wanted, by) = (visitor.tenant().to_owned(), id.clone(), visitor.name());
    let work =
        console.portal.ledger.run(move |session| Box::pin(async move { task::take(session, &tenant, &wanted, &by).await }));
    either(work.await.map_err(unavailable(&console, &visitor)).map(|did| stepped(&console, &visitor, &id, did, "task_taken")))
}

async fn give_back(State(console): Shared, Extension(visitor): Who, Path(id): Path<String>) -> Response<Body> {
    let (tenant, wanted, by) = (visitor.tenant().to_owned(), id.clone(), visitor.name());
    let work =
        console.portal.ledger.run(move |session| Box::pin(async move { task::give_back(session, &tenant, &wanted, &by).await }));
    either(work.await.map_err(unavailable(&console, &visitor)).map(|did| stepped(&console, &visitor, &id, did, "task_released")))
}

async fn end(State(console): Shared, Extension(visitor): Who, Extension(form): Posted, Path(id): Path<String>) -> Response<Body> {
    either(
        async {
            // Another tenant's task is unknown, whatever the form says.
            of(&console, &visitor, &id).await?;
            let state = if form.get("how") == Some("refused") { TaskState::Refused } else { TaskState::Done };
            let answer = form.get("answer").unwrap_or_default().trim().to_owned();
            if answer.is_empty() || answer.chars().count() > ANSWER_MAX {
                return Err(shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, "task_answer_needed"));
            }
            let (tenant, wanted, by) = (visitor.tenant().to_owned(), id.clone(), visitor.name());
            let work = console
                .portal
                .ledger
                .run(move |session| Box::pin(async move { task::end(session, &tenant, &wanted, &by, state, &answer).await }));
            let did = work.await.map_err(unavailable(&console, &visitor))?;
            Ok(stepped(&console, &visitor, &id, did, "task_ended"))
        }
        .await,
    )
}

async fn replace(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    either(
        async {
            let around = of(&console, &visitor, &id).await?;
            if form.get("confirm") != Some("yes") {
                return Err(shell::unconfirmed(&console, &visitor));
            }
            let missing = || shell::not_found(&console, &visitor);
            let wrong = around.invoice.ok_or_else(missing)?;
            let tenant = console.portal.directory().tenant(&wrong.tenant).cloned().ok_or_else(missing)?;
            let serial = task::replacement_serial(&wrong.tenant, &wrong.serial);
            let refused = |text: String| shell::refused(&console, &visitor, text);
            let bad = |text: String| refused(format!("{} {text}", words::text(visitor.language, "bad_number")));
            let json = documents::corrected(&wrong.document, &serial, &form).map_err(bad)?;
            let document = read::document(&json, DocumentForm::Blue)
                .map_err(|faults| refused(words::said_all(visitor.language, faults.iter().take(10).map(ToString::to_string))))?;
            // Whoever was sent the wrong one is sent the right one.
            let delivery = wrong.delivery.clone();
            let incoming =
                making::incoming(&console.portal, &tenant, document, Manner::Single, Priority::Waiting, delivery, None)
                    .map_err(|_| shell::busy(&console, &visitor))?;
            let batch = Batch {
                tenant: wrong.tenant.clone(),
                appid: wrong.appid.clone(),
                interface: "correction",
                documents: vec![incoming],
                audited: true,
                // It looks like the one that it replaces, as it should.
                suspected: Suspected::Off,
                reissue_on_repeat: false,
            };
            let (of, wanted, by) = (wrong.tenant, id.clone(), visitor.name());
            let work = console
                .portal
                .ledger
                .run(move |session| Box::pin(async move { task::replace(session, &of, &wanted, &by, &batch).await }));
            match work.await.map_err(unavailable(&console, &visitor))? {
                Replaced::Stepped(did) => Ok(stepped(&console, &visitor, &id, did, "replaced")),
                Replaced::Verdict(verdict) => match *verdict {
                    Verdict::Taken(_) => Ok(done(&id, "replaced")),
                    Verdict::Repeat(_) => Ok(done(&id, "replaced_known")),
                    Verdict::Refused(refusal) => Err(refused(refusal.text)),
                },
            }
        }
        .await,
    )
}
