//! Disks: what is left on them, until when they may be used, why one takes no jobs; and pause, drain, resume.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::Response;
use axum::routing::{get, post};
use taxdisk_protocol::api::{
    ClimbRung, DiskClimb, DiskView, DueState, DueView, JobState, JobView, PauseMode, PauseOf, PauseRequest, PauseView, StockView,
    Waiting,
};
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;

use super::burn::{Plot, plot};
use super::jobs::url;
use super::roles::Action;
use super::shell::Shell;
use super::{Console, Page, Posted, Shared, Visitor, Who, either, page, refused, see_other, shell, words};
use crate::http::parsed;
use crate::ledger::{JobFilter, Scope};

/// Jobs in trouble that the page of a disk shows.
const ERRORS: u32 = 20;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/disks", get(list))
        .route("/console/disks/{number}", get(show))
        .route("/console/pauses", get(pauses))
        .route("/console/pauses/{of}/{id}", post(pause))
}

struct Stock {
    kind: String,
    current: String,
    remaining: u32,
    limit: String,
    deadline: String,
    trouble: String,
}

struct Row {
    number: String,
    seller: String,
    name: String,
    agent: String,
    online: bool,
    enabled: bool,
    paused: bool,
    warnings: usize,
    health: String,
    backlog: u64,
    stock: Vec<Stock>,
    seen: String,
}

struct Pause {
    of: &'static str,
    id: String,
    mode: String,
    by: String,
    reason: String,
    since: String,
    drained: String,
}

struct Fault {
    url: String,
    serial: String,
    state: String,
    code: String,
    text: String,
    at: String,
}

/// What a disk needs done, and until when.
struct Due {
    kind: String,
    what: String,
    state: String,
    class: &'static str,
    until: String,
    text: String,
}

/// A reading that failed, and what the agent did about it.
struct Climb {
    at: String,
    rung: String,
    class: &'static str,
    text: String,
    code: String,
}

#[derive(Template)]
#[template(path = "console/disks.html")]
struct Disks {
    shell: Shell,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "console/disk.html")]
struct Disk {
    shell: Shell,
    row: Row,
    plots: Vec<Plot>,
    calendar: Vec<Due>,
    warnings: Vec<(String, String, String)>,
    pauses: Vec<Pause>,
    offline: String,
    password_tries: String,
    clock: String,
    dialect: String,
    port: String,
    /// The newest first.
    climbs: Vec<Climb>,
    errors: Vec<Fault>,
    /// Codes of these, and how often each.
    codes: Vec<(String, usize)>,
    may_operate: bool,
}

#[derive(Template)]
#[template(path = "console/pauses.html")]
struct Pauses {
    shell: Shell,
    pauses: Vec<Pause>,
    may_operate: bool,
}

/// Why disks take no job of a kind now.
type Troubles = BTreeMap<DiskNumber, Vec<(InvoiceKind, Waiting)>>;

fn stock(one: &StockView, trouble: String) -> Stock {
    Stock {
        kind: one.kind.clone(),
        current: one.current.as_ref().map(|pair| format!("{} {}", pair.code, pair.number)).unwrap_or_default(),
        remaining: one.remaining,
        limit: one.invoice_limit.clone().unwrap_or_default(),
        deadline: one.issue_deadline.clone().unwrap_or_default(),
        trouble,
    }
}

fn row(shell: &Shell, disk: &DiskView, troubles: &Troubles) -> Row {
    let number: Option<DiskNumber> = disk.report.disk.parse().ok();
    let troubles = number.and_then(|number| troubles.get(&number)).map(Vec::as_slice).unwrap_or_default();
    let trouble = |kind: &str| {
        let found = troubles.iter().find(|(known, _)| known.to_string() == kind);
        found.map(|(_, reason)| shell.t(&format!("waiting_{}", words::word(reason))).to_owned()).unwrap_or_default()
    };
    let report = &disk.report;
    Row {
        number: report.disk.clone(),
        seller: report.taxpayer.clone(),
        name: report.taxpayer_name.clone(),
        agent: disk.agent.clone().unwrap_or_default(),
        online: disk.online,
        enabled: disk.enabled,
        paused: !disk.pauses.is_empty(),
        warnings: disk.warnings.len(),
        health: report.health.text.clone(),
        backlog: disk.backlog,
        stock: report.stock.iter().map(|one| stock(one, trouble(&one.kind))).collect(),
        seen: words::time_of(&disk.seen_at),
    }
}

fn paused(shell: &Shell, pause: &PauseView) -> Pause {
    Pause {
        of: of(pause.of),
        id: pause.id.clone(),
        mode: shell.t(&format!("mode_{}", words::word(&pause.mode))).to_owned(),
        by: pause.by.clone(),
        reason: pause.reason.clone(),
        since: words::time_of(&pause.since),
        drained: pause.drained_at.as_deref().map(words::time_of).unwrap_or_default(),
    }
}

fn of(of: PauseOf) -> &'static str {
    match of {
        PauseOf::Disk => "disk",
        PauseOf::Agent => "agent",
        PauseOf::Seller => "seller",
    }
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let step: Page = async {
        let told = |refusal| refused(&console, &visitor, refusal);
        let disks = console.edge.ledger.disks().await.map_err(told)?;
        let troubles = console.edge.ledger.troubles().await.map_err(told)?;
        let shell = Shell::new(&visitor, "menu_disks");
        let rows = disks.iter().map(|disk| row(&shell, disk, &troubles)).collect();
        Ok(page(&Disks { rows, shell }))
    }
    .await;
    either(step)
}

async fn show(State(console): Shared, Extension(visitor): Who, Path(number): Path<String>) -> Response<Body> {
    either(shown(&console, &visitor, &number).await)
}

async fn shown(console: &Console, visitor: &Visitor, number: &str) -> Page {
    let told = |refusal| refused(console, visitor, refusal);
    let ledger = &console.edge.ledger;
    let disks = ledger.disks().await.map_err(told)?;
    let disk = disks.into_iter().find(|disk| disk.report.disk == number);
    let Some(disk) = disk else { return Err(shell::not_found(console, visitor)) };
    let troubles = ledger.troubles().await.map_err(told)?;
    let known = parsed("number", number).map_err(|problem| shell::problem(console, visitor, problem))?;
    let states = vec![JobState::Failed, JobState::Cancelled];
    let burns = ledger.burn_downs(&known).await.map_err(told)?;
    let filter = JobFilter { disk: Some(known), states, ..JobFilter::default() };
    let failed = ledger.jobs(&filter, None, ERRORS).await.map_err(told)?;
    // A disk that names no seller has no calendar either: there is nothing that could be issued on it.
    let due = match TaxpayerNumber::from_device(&disk.report.taxpayer) {
        Ok(seller) => ledger.calendar(Some(seller)).await.map_err(told)?,
        Err(_) => Vec::new(),
    };
    let shell = Shell::new(visitor, "disk").titled(disk.report.disk.clone());
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in failed.jobs.iter().filter_map(|job| job.problem.as_ref()) {
        *codes.entry(&problem.code).or_default() += 1;
    }
    let report = &disk.report;
    Ok(page(&Disk {
        row: row(&shell, &disk, &troubles),
        plots: burns.iter().map(|burn| plot(&shell, burn, ledger.now())).collect(),
        calendar: due.iter().filter(|line| line.disk == report.disk).map(|line| self::due(&shell, line)).collect(),
        warnings: disk
            .warnings
            .iter()
            .map(|one| {
                let label = shell.t(&format!("warning_{}", one.code.as_str())).to_owned();
                (label, words::said(shell.lang, &one.text), words::time_of(&one.since))
            })
            .collect(),
        pauses: disk.pauses.iter().map(|one| paused(&shell, one)).collect(),
        offline: report.offline.as_ref().map(|one| format!("{} · {}", one.count, one.sum)).unwrap_or_default(),
        password_tries: report.password_tries.map(|tries| tries.to_string()).unwrap_or_default(),
        clock: report.clock.clone().unwrap_or_default(),
        dialect: report.dialect.clone(),
        port: report.port.clone(),
        climbs: report.climbs.iter().rev().map(|one| climb(&shell, one)).collect(),
        errors: failed.jobs.iter().map(|job| fault(&shell, job)).collect(),
        codes: codes.into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
        may_operate: visitor.may(Action::Operate),
        shell,
    }))
}

fn due(shell: &Shell, line: &DueView) -> Due {
    let (state, class) = match line.state {
        DueState::Overdue => ("duestate_overdue", "bad"),
        DueState::Due => ("duestate_due", "warn"),
        DueState::Done => ("duestate_done", "good"),
    };
    Due {
        kind: line.kind.clone(),
        what: shell.t(&format!("due_{}", line.what.as_str())).to_owned(),
        state: shell.t(state).to_owned(),
        class,
        until: line.due.as_deref().map(words::time_of).unwrap_or_default(),
        text: words::said(shell.lang, &line.text),
    }
}

fn climb(shell: &Shell, climb: &DiskClimb) -> Climb {
    Climb {
        at: words::time_of(&climb.at),
        rung: shell.t(&format!("rung_{}", words::word(&climb.rung))).to_owned(),
        class: if climb.rung == ClimbRung::AskPerson { "bad" } else { "warn" },
        text: words::said(shell.lang, &climb.text),
        code: words::word(&climb.class),
    }
}

fn fault(shell: &Shell, job: &JobView) -> Fault {
    Fault {
        url: url(&job.seller, &job.serial),
        serial: job.serial.clone(),
        state: shell.t(&format!("state_{}", words::word(&job.state))).to_owned(),
        code: job.problem.as_ref().map(|problem| problem.code.clone()).unwrap_or_default(),
        text: job.problem.as_ref().map(|problem| problem.text.clone()).unwrap_or_default(),
        at: words::time_of(&job.changed_at),
    }
}

async fn pauses(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let step: Page = async {
        let pauses = console.edge.ledger.pauses().await.map_err(|refusal| refused(&console, &visitor, refusal))?;
        let shell = Shell::new(&visitor, "menu_pauses");
        let pauses = pauses.iter().map(|one| paused(&shell, one)).collect();
        Ok(page(&Pauses { pauses, may_operate: visitor.may(Action::Operate), shell }))
    }
    .await;
    either(step)
}

/// Pause, drain or resume of a disk, an agent's or a seller's disks.
async fn pause(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path((of, id)): Path<(String, String)>,
) -> Response<Body> {
    let step: Page = async {
        let problem = |problem| shell::problem(&console, &visitor, problem);
        let scope = match of.as_str() {
            "disk" => Scope::Disk(parsed("number", &id).map_err(problem)?),
            "agent" => Scope::Agent(parsed("id", &id).map_err(problem)?),
            "seller" => Scope::Seller(parsed("taxno", &id).map_err(problem)?),
            _ => return Err(shell::not_found(&console, &visitor)),
        };
        let mode = match form.get("act") {
            Some("pause") => Some(PauseMode::Pause),
            Some("drain") => Some(PauseMode::Drain),
            Some("resume") => None,
            _ => return Err(shell::unconfirmed(&console, &visitor)),
        };
        let request = PauseRequest { reason: form.get("reason").unwrap_or_default().to_owned() };
        let ledger = visitor.ledger(&console);
        let done = match mode {
            Some(mode) => ledger.pause(scope.clone(), mode, request, &visitor.by()).await,
            None => ledger.resume(scope.clone(), request, &visitor.by()).await,
        };
        done.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::info!(%scope, ?mode, by = visitor.by(), "pause changed");
        let back = if of == "disk" { format!("/console/disks/{id}") } else { "/console/pauses".to_owned() };
        Ok(see_other(&format!("{back}?done=done_saved")))
    }
    .await;
    either(step)
}
