//! Operations at disks: asked for, looked at with what was read before and after, withdrawn (decision 22).
//!
//! Nothing that changes a disk is sent that was not judged first. The form asks for a dry run; the operation itself begins from
//! the page of that dry run, while it is fresh, under its key. So what begins is what was judged, and a button that is pressed
//! twice begins one.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use taxdisk_protocol::api::{
    OperationCancel, OperationKind, OperationReadings, OperationRequest, OperationResultView, OperationState, OperationVerdict,
    OperationView,
};
use taxdisk_protocol::error::Code;
use taxdisk_protocol::time::Timestamp;

use super::jobs::{Choice, query};
use super::roles::Action;
use super::shell::Shell;
use super::{Console, Page, Posted, Shared, Visitor, Who, either, page, refused, see_other, shell, words};
use crate::http::{Refused, parsed};
use crate::ledger::OperationFilter;

/// Operations of a page.
const PAGE: u32 = 50;
/// What a dry run found is good for so long, milliseconds: after that the disk is judged anew.
const FRESH_MS: i64 = 15 * 60 * 1000;

const STATES: [OperationState; 7] = [
    OperationState::Queued,
    OperationState::Running,
    OperationState::Done,
    OperationState::Refused,
    OperationState::Failed,
    OperationState::Unsettled,
    OperationState::Cancelled,
];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/operations", get(list).post(ask))
        .route("/console/operations/{id}", get(show))
        .route("/console/operations/{id}/begin", post(begin))
        .route("/console/operations/{id}/cancel", post(cancel))
}

struct Row {
    id: String,
    at: String,
    disk: String,
    what: String,
    kind: String,
    dry_run: bool,
    state: String,
    class: &'static str,
    by: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "console/operations.html")]
struct Operations {
    shell: Shell,
    rows: Vec<Row>,
    states: Vec<Choice>,
    whats: Vec<Choice>,
    disk: String,
    next: Option<String>,
    /// Of what this form asks for: sent twice, it is asked for once.
    key: String,
    may_manage: bool,
}

/// What the disk said of a kind.
struct Stock {
    kind: String,
    current: String,
    remaining: u32,
    limit: String,
    deadline: String,
    period: String,
}

/// What was read once.
struct Reading {
    heading: &'static str,
    stock: Vec<Stock>,
    offline: String,
    unsettled: Vec<String>,
}

/// How it ended, or what another agent said of it later.
struct Ended {
    verdict: &'static str,
    class: &'static str,
    text: String,
    readings: Vec<Reading>,
}

#[derive(Template)]
#[template(path = "console/operation.html")]
struct Operation {
    shell: Shell,
    row: Row,
    seller: String,
    agent: String,
    waiting: String,
    started: String,
    changed: String,
    ended: Option<Ended>,
    late: Option<Ended>,
    may_begin: bool,
    /// To begin would overrule a refusal.
    overrules: bool,
    is_fresh: bool,
    may_cancel: bool,
    may_abandon: bool,
    is_open: bool,
}

/// What a dry run allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    /// It would be sent.
    Allowed,
    /// It was refused, and a person may want it all the same.
    Anyway,
}

fn class(state: OperationState) -> &'static str {
    match state {
        OperationState::Done => "good",
        OperationState::Failed | OperationState::Unsettled | OperationState::Refused => "bad",
        OperationState::Queued | OperationState::Running => "warn",
        OperationState::Cancelled => "",
    }
}

fn row(shell: &Shell, view: &OperationView) -> Row {
    Row {
        id: view.id.clone(),
        at: words::time_of(&view.at),
        disk: view.disk.clone(),
        what: shell.t(&format!("op_{}", view.operation)).to_owned(),
        kind: view.kind.clone().unwrap_or_default(),
        dry_run: view.dry_run,
        state: shell.t(&format!("opstate_{}", view.state)).to_owned(),
        class: class(view.state),
        by: view.by.clone(),
        reason: view.reason.clone(),
    }
}

fn reading(heading: &'static str, readings: &OperationReadings) -> Option<Reading> {
    if *readings == OperationReadings::default() {
        return None;
    }
    let stock = readings.stock.iter().map(|one| Stock {
        kind: one.kind.clone(),
        current: one.current.as_ref().map(|pair| format!("{} {}", pair.code, pair.number)).unwrap_or_default(),
        remaining: one.remaining,
        limit: one.invoice_limit.clone().unwrap_or_default(),
        deadline: one.issue_deadline.clone().unwrap_or_default(),
        period: one.period.as_ref().map(|(from, to)| format!("{from} - {to}")).unwrap_or_default(),
    });
    Some(Reading {
        heading,
        stock: stock.collect(),
        offline: readings.offline.as_ref().map(|held| format!("{} · {}", held.count, held.sum)).unwrap_or_default(),
        unsettled: readings.unsettled.clone(),
    })
}

fn ended(result: &OperationResultView) -> Ended {
    let verdict = match result.verdict {
        OperationVerdict::Read => "verdict_read",
        OperationVerdict::Allowed { .. } => "verdict_allowed",
        OperationVerdict::Refused { .. } => "verdict_refused",
        OperationVerdict::Done { read: true } => "verdict_done_read",
        OperationVerdict::Done { read: false } => "verdict_done",
        OperationVerdict::NotDone { .. } => "verdict_not_done",
        OperationVerdict::Unsettled { .. } => "verdict_unsettled",
    };
    let readings = [("op_before", &result.before), ("op_after", &result.after)];
    Ended {
        verdict,
        class: class(result.verdict.state()),
        text: result.verdict.text(),
        readings: readings.into_iter().filter_map(|(heading, one)| reading(heading, one)).collect(),
    }
}

/// What may begin from the page of an operation: of a dry run that has judged a command, nothing else.
fn begins(view: &OperationView) -> Option<Begins> {
    view.operation.command().filter(|_| view.dry_run)?;
    match view.result.as_ref()?.verdict {
        OperationVerdict::Allowed { .. } => Some(Begins::Allowed),
        OperationVerdict::Refused { anyway: true, .. } => Some(Begins::Anyway),
        _ => None,
    }
}

fn is_fresh(view: &OperationView, now: Timestamp) -> bool {
    view.changed_at.parse::<Timestamp>().is_ok_and(|at| now.since_ms(at) <= FRESH_MS)
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    either(listed(&console, &visitor).await)
}

async fn listed(console: &Console, visitor: &Visitor) -> Page {
    let problem = |problem| shell::problem(console, visitor, problem);
    let field = |name: &str| visitor.query.get(name).unwrap_or_default().trim().to_owned();
    let (disk, state, cursor) = (field("disk"), field("state"), field("cursor"));
    let wrong = |name: &str| problem(Refused::new(Code::InvalidParameter, format!("{name}: it is none that is known here")));
    let wanted = STATES.into_iter().find(|known| known.as_str() == state);
    if wanted.is_none() && !state.is_empty() {
        return Err(wrong("state"));
    }
    let before = match cursor.as_str() {
        "" => None,
        text => Some(text.strip_prefix('o').and_then(|place| place.parse().ok()).ok_or_else(|| wrong("cursor"))?),
    };
    let filter = OperationFilter {
        disk: (!disk.is_empty()).then(|| parsed("disk", &disk)).transpose().map_err(problem)?,
        state: wanted,
        before,
        ..OperationFilter::default()
    };
    let found = console.edge.ledger.operations(&filter, PAGE).await.map_err(|refusal| refused(console, visitor, refusal))?;
    let shell = Shell::new(visitor, "menu_operations");
    let states = STATES.into_iter().map(|one| Choice {
        value: one.as_str().to_owned(),
        label: shell.t(&format!("opstate_{one}")).to_owned(),
        chosen: wanted == Some(one),
    });
    let whats = OperationKind::ALL.into_iter().map(|one| Choice {
        value: one.as_str().to_owned(),
        label: shell.t(&format!("op_{one}")).to_owned(),
        chosen: false,
    });
    Ok(page(&Operations {
        rows: found.operations.iter().map(|view| row(&shell, view)).collect(),
        states: states.collect(),
        whats: whats.collect(),
        next: found.cursor.map(|cursor| format!("disk={}&state={}&cursor={}", query(&disk), query(&state), query(&cursor))),
        disk,
        key: format!("console-{}", hex::encode(rand::random::<[u8; 8]>())),
        may_manage: visitor.may(Action::Manage),
        shell,
    }))
}

async fn show(State(console): Shared, Extension(visitor): Who, Path(id): Path<String>) -> Response<Body> {
    either(shown(&console, &visitor, &id).await)
}

async fn shown(console: &Console, visitor: &Visitor, id: &str) -> Page {
    let view = console.edge.ledger.operation(id).await.map_err(|refusal| refused(console, visitor, refusal))?;
    let shell = Shell::new(visitor, "operation").titled(view.id.clone());
    let time = |at: &Option<String>| at.as_deref().map(words::time_of).unwrap_or_default();
    let manages = visitor.may(Action::Manage);
    Ok(page(&Operation {
        row: row(&shell, &view),
        seller: view.seller.clone().unwrap_or_default(),
        agent: view.agent.clone().unwrap_or_default(),
        waiting: view.waiting.clone().unwrap_or_default(),
        started: time(&view.started_at),
        changed: words::time_of(&view.changed_at),
        ended: view.result.as_ref().map(ended),
        late: view.late.as_ref().map(ended),
        may_begin: manages && begins(&view).is_some(),
        overrules: begins(&view) == Some(Begins::Anyway),
        is_fresh: is_fresh(&view, console.edge.ledger.now()),
        may_cancel: manages && view.state == OperationState::Queued,
        may_abandon: manages && view.state == OperationState::Running,
        is_open: !view.state.is_ended(),
        shell,
    }))
}

/// Asks for a reading, or for a dry run of what changes the disk.
async fn ask(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let problem = |problem| shell::problem(&console, &visitor, problem);
        let field = |name: &str| form.get(name).unwrap_or_default().trim();
        let operation = OperationKind::ALL.into_iter().find(|known| known.as_str() == field("operation"));
        let Some(operation) = operation else {
            return Err(problem(Refused::new(Code::InvalidParameter, "operation: it is none that is known here")));
        };
        let disk = parsed("disk", field("disk")).map_err(problem)?;
        let request = OperationRequest {
            key: field("key").to_owned(),
            operation,
            kind: Some(field("kind")).filter(|kind| !kind.is_empty()).map(str::to_owned),
            reason: field("reason").to_owned(),
            dry_run: operation.command().is_some(),
            anyway: false,
        };
        let view = visitor.ledger(&console).operate(&disk, request, &visitor.by()).await;
        let view = view.map_err(|refusal| refused(&console, &visitor, refusal))?;
        let (id, by) = (&view.id, visitor.by());
        tracing::info!(%disk, operation = id, what = %operation, dry_run = view.dry_run, by, "operation asked");
        Ok(see_other(&format!("/console/operations/{}", view.id)))
    }
    .await;
    either(step)
}

/// Begins what a dry run has judged.
async fn begin(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    let step: Page = async {
        let told = |refusal| refused(&console, &visitor, refusal);
        if form.get("confirm") != Some("yes") {
            return Err(shell::unconfirmed(&console, &visitor));
        }
        let judged = console.edge.ledger.operation(&id).await.map_err(told)?;
        let anyway = match begins(&judged) {
            Some(Begins::Allowed) => false,
            Some(Begins::Anyway) if form.get("anyway") == Some("yes") => true,
            _ => return Err(shell::notice(&console, &visitor, StatusCode::CONFLICT, "operation_not_judged")),
        };
        if !is_fresh(&judged, console.edge.ledger.now()) {
            return Err(shell::notice(&console, &visitor, StatusCode::CONFLICT, "operation_old"));
        }
        let disk = parsed("disk", &judged.disk).map_err(|problem| shell::problem(&console, &visitor, problem))?;
        let request = OperationRequest {
            key: judged.key,
            operation: judged.operation,
            kind: judged.kind,
            reason: judged.reason,
            dry_run: false,
            anyway,
        };
        let view = visitor.ledger(&console).operate(&disk, request, &visitor.by()).await.map_err(told)?;
        tracing::warn!(%disk, operation = view.id, what = %view.operation, anyway, by = visitor.by(), "operation begun");
        Ok(see_other(&format!("/console/operations/{}?done=done_operation", view.id)))
    }
    .await;
    either(step)
}

/// Withdraws one that was not handed over, or stops waiting for one whose disk will not come back.
async fn cancel(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    let step: Page = async {
        if form.get("confirm") != Some("yes") {
            return Err(shell::unconfirmed(&console, &visitor));
        }
        let reason = form.get("reason").unwrap_or_default().to_owned();
        let wish = OperationCancel { reason, abandon: form.get("abandon") == Some("yes") };
        let view = visitor.ledger(&console).cancel_operation(&id, &wish, &visitor.by()).await;
        let view = view.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::info!(operation = view.id, abandon = wish.abandon, by = visitor.by(), "operation cancelled");
        Ok(see_other(&format!("/console/operations/{}?done=done_saved", view.id)))
    }
    .await;
    either(step)
}
