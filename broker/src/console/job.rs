//! One job: what became of each attempt, what was read, who did what, and what may be done with it now.
//!
//! Every act is the ledger's own, with its own guards: a button that is pressed twice, or on a page that is old, does nothing
//! that the same call of the API would not do.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::Response;
use axum::routing::{get, post};
use taxdisk_protocol::api::{
    AttemptView, CancelRequest, DiskView, EvidenceView, JobState, JobView, PairBody, ReissueOutcome, ReissueRequest,
    SettleDecision, SettleReading, SettleRequest,
};
use taxdisk_protocol::error::Code;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::Event;

use super::jobs::{class, url};
use super::roles::Action;
use super::shell::Shell;
use super::{Console, Page, Posted, Shared, Visitor, Who, either, page, refused, see_other, shell, words};
use crate::http::{Refused, parsed};
use crate::ledger::{Asked, CancelAnswer};

/// Events of a job that are shown, the newest ones.
const EVENTS: usize = 200;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/jobs/{seller}/{serial}", get(show))
        .route("/console/jobs/{seller}/{serial}/reissue", post(reissue))
        .route("/console/jobs/{seller}/{serial}/cancel", post(cancel))
        .route("/console/jobs/{seller}/{serial}/settle", post(settle))
}

type Name = Path<(String, String)>;

struct Attempt {
    number: u32,
    disk: String,
    agent: String,
    assigned: String,
    started: String,
    ended: String,
    expected: String,
    result: String,
    class: &'static str,
    text: String,
}

struct Evidence {
    at: String,
    from: String,
    attempt: u32,
    what: String,
    body: String,
}

struct Line {
    at: String,
    what: String,
    by: String,
    from: String,
    reason: String,
}

/// What the page needs to let somebody decide what became of an attempt.
struct Settle {
    attempt: u32,
    disk: String,
    expected: String,
    /// The disk's own last report of its next number, and when it came.
    reported: String,
    reported_at: String,
    online: bool,
    is_void: bool,
    proposal: Option<(String, String, String)>,
}

#[derive(Template)]
#[template(path = "console/job.html")]
struct JobPage {
    shell: Shell,
    url: String,
    job: JobView,
    state: String,
    class: &'static str,
    waiting: String,
    accepted: String,
    changed: String,
    number: String,
    /// Which of the three acts a re-issue would be now.
    act: &'static str,
    may_reissue: bool,
    may_cancel: bool,
    settle: Option<Settle>,
    attempts: Vec<Attempt>,
    evidence: Vec<Evidence>,
    lines: Vec<Line>,
}

fn pair(body: &PairBody) -> String {
    format!("{} {}", body.code, body.number)
}

fn key(seller: &str, serial: &str) -> Result<JobKey, Refused> {
    Ok(JobKey { seller: parsed("seller", seller)?, serial: parsed("serial", serial)? })
}

async fn show(State(console): Shared, Extension(visitor): Who, Path((seller, serial)): Name) -> Response<Body> {
    either(shown(&console, &visitor, &seller, &serial).await)
}

async fn shown(console: &Console, visitor: &Visitor, seller: &str, serial: &str) -> Page {
    let key = key(seller, serial).map_err(|problem| shell::problem(console, visitor, problem))?;
    let told = |refusal| refused(console, visitor, refusal);
    let job = console.edge.ledger.job(&key).await.map_err(told)?;
    let history = console.edge.ledger.history(&key).await.map_err(told)?;
    let settle = match job.state == JobState::Unsettled && visitor.may(Action::Settle) {
        true => settling(&job, console.edge.ledger.disks().await.map_err(told)?),
        false => None,
    };
    let shell = Shell::new(visitor, "job").titled(format!("{} {}", job.seller, job.serial));
    let known = |prefix: &str, word: String| shell.t(&format!("{prefix}_{word}")).to_owned();
    let operates = visitor.may(Action::Operate);
    let terminal = matches!(job.state, JobState::Issued | JobState::Voided | JobState::Failed | JobState::Cancelled);
    Ok(page(&JobPage {
        url: url(&job.seller, &job.serial),
        state: known("state", words::word(&job.state)),
        class: class(job.state),
        waiting: job.waiting.as_ref().map(|reason| known("waiting", words::word(reason))).unwrap_or_default(),
        accepted: words::time_of(&job.accepted_at),
        changed: words::time_of(&job.changed_at),
        number: job.issued.as_ref().map(|issued| format!("{} {}", issued.code, issued.number)).unwrap_or_default(),
        act: act(&job),
        may_reissue: operates,
        may_cancel: operates && !terminal,
        settle,
        attempts: job.attempts.iter().map(|one| attempt(&shell, one)).collect(),
        evidence: job.evidence.iter().map(|one| evidence(&shell, one)).collect(),
        lines: history.iter().rev().take(EVENTS).map(|event| line(&shell, event)).collect(),
        shell,
        job,
    }))
}

/// Which act the core would take, by the job's state. The core decides; this only explains.
fn act(job: &JobView) -> &'static str {
    match job.state {
        JobState::Issued | JobState::Voided => "act_redeliver",
        JobState::Queued | JobState::Assigned => "act_in_progress",
        JobState::Unsettled => "act_settle",
        JobState::Failed | JobState::Cancelled => "act_rerun",
    }
}

fn attempt(shell: &Shell, one: &AttemptView) -> Attempt {
    let time = |at: &Option<String>| at.as_deref().map(words::time_of).unwrap_or_default();
    Attempt {
        number: one.attempt,
        disk: one.disk.clone(),
        agent: one.agent.clone(),
        assigned: words::time_of(&one.assigned_at),
        started: time(&one.started_at),
        ended: time(&one.ended_at),
        expected: one.expected.as_ref().map(pair).unwrap_or_default(),
        result: shell.t(&format!("result_{}", one.result)).to_owned(),
        class: match one.result.as_str() {
            "issued" | "voided" => "good",
            "unsettled" => "bad",
            _ => "",
        },
        text: one.text.clone(),
    }
}

fn evidence(shell: &Shell, one: &EvidenceView) -> Evidence {
    Evidence {
        at: words::time_of(&one.at),
        from: one.from.clone(),
        attempt: one.attempt,
        what: shell.t(&format!("evidence_{}", one.what)).to_owned(),
        body: serde_json::to_string_pretty(&one.body).unwrap_or_default(),
    }
}

fn line(shell: &Shell, event: &Event) -> Line {
    let body = serde_json::to_value(&event.what).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (by, from) = event.origin.as_ref().map(|origin| (origin.by.clone(), origin.from.clone())).unwrap_or_default();
    Line {
        at: words::time(event.at),
        what: shell.t(&format!("event_{}", text("what"))).to_owned(),
        by: if by.is_empty() { text("by") } else { by },
        from,
        reason: text("reason"),
    }
}

/// The attempt that is open, and what its disk said last.
fn settling(job: &JobView, disks: Vec<DiskView>) -> Option<Settle> {
    let open = job.attempts.iter().rev().find(|attempt| matches!(attempt.result.as_str(), "unsettled" | "open"))?;
    let disk = disks.into_iter().find(|disk| disk.report.disk == open.disk);
    let current = |disk: &DiskView| disk.report.stock.iter().find(|stock| stock.kind == job.kind)?.current.as_ref().map(pair);
    Some(Settle {
        attempt: open.attempt,
        disk: open.disk.clone(),
        expected: open.expected.as_ref().map(pair).unwrap_or_default(),
        reported: disk.as_ref().and_then(current).unwrap_or_default(),
        reported_at: disk.as_ref().map(|disk| words::time_of(&disk.seen_at)).unwrap_or_default(),
        online: disk.is_some_and(|disk| disk.online),
        is_void: job.operation == taxdisk_protocol::api::Operation::Void,
        proposal: job.proposal.as_ref().map(|first| (first.by.clone(), first.tax_office.clone(), first.reason.clone())),
    })
}

async fn reissue(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path((seller, serial)): Name,
) -> Response<Body> {
    let step: Page = async {
        let key = key(&seller, &serial).map_err(|problem| shell::problem(&console, &visitor, problem))?;
        let request = ReissueRequest { reason: form.get("reason").unwrap_or_default().to_owned(), invoice: None };
        let answer = visitor.ledger(&console).reissue(&key, request, &visitor.by()).await;
        let answer = answer.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::info!(job = %key, outcome = ?answer.outcome, by = visitor.by(), "re-issue asked");
        let done = match answer.outcome {
            ReissueOutcome::Requeued => "done_requeued",
            ReissueOutcome::AlreadyIssued => "done_already",
            ReissueOutcome::InProgress => "done_in_progress",
            ReissueOutcome::Unsettled => "done_unsettled",
        };
        Ok(see_other(&format!("{}?done={done}", url(&seller, &serial))))
    }
    .await;
    either(step)
}

async fn cancel(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path((seller, serial)): Name,
) -> Response<Body> {
    let step: Page = async {
        let key = key(&seller, &serial).map_err(|problem| shell::problem(&console, &visitor, problem))?;
        if form.get("confirm") != Some("yes") {
            return Err(shell::unconfirmed(&console, &visitor));
        }
        let request = CancelRequest { reason: form.get("reason").unwrap_or_default().to_owned() };
        let answer = visitor.ledger(&console).cancel(&key, request, &visitor.by()).await;
        let answer = answer.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::info!(job = %key, state = ?answer.job().state, by = visitor.by(), "withdrawal asked");
        let done = match answer {
            CancelAnswer::Cancelled(_) => "done_cancelled",
            CancelAnswer::Asked(_) => "done_cancel_asked",
        };
        Ok(see_other(&format!("{}?done={done}", url(&seller, &serial))))
    }
    .await;
    either(step)
}

/// A decision as the form says it. A field that is empty is not sent; the core says which it needs.
fn decision(form: &taxdisk_web::form::Form) -> Result<SettleRequest, Refused> {
    let field = |name: &str| form.get(name).map(str::trim).filter(|text| !text.is_empty());
    let word = |name: &str| field(name).unwrap_or_default().to_owned();
    let bad = |name: &str| Refused::new(Code::InvalidParameter, format!("{name}: say what was decided and what was read"));
    let decision: SettleDecision = serde_json::from_value(word("decision").into()).map_err(|_| bad("decision"))?;
    let expected: SettleReading = serde_json::from_value(word("expected").into()).map_err(|_| bad("expected"))?;
    let pair = field("code").zip(field("number"));
    Ok(SettleRequest {
        decision,
        pair: pair.map(|(code, number)| PairBody { code: code.to_owned(), number: number.to_owned() }),
        current: PairBody { code: word("current_code"), number: word("current_number") },
        expected,
        tax_office: field("tax_office").map(str::to_owned),
        reason: word("reason"),
        revision: parsed("revision", &word("revision"))?,
    })
}

async fn settle(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path((seller, serial)): Name,
) -> Response<Body> {
    let step: Page = async {
        let problem = |problem| shell::problem(&console, &visitor, problem);
        let key = key(&seller, &serial).map_err(problem)?;
        if form.get("confirm") != Some("yes") {
            return Err(shell::unconfirmed(&console, &visitor));
        }
        let request = decision(&form).map_err(problem)?;
        let decision = request.decision;
        let job = visitor.ledger(&console).settle(&key, request, &visitor.by()).await;
        match job.map_err(|refusal| refused(&console, &visitor, refusal))? {
            Asked::Done(job) => {
                tracing::warn!(job = %key, ?decision, state = ?job.state, by = visitor.by(), "settled by hand");
                Ok(see_other(&format!("{}?done=done_settled", url(&seller, &serial))))
            }
            Asked::Proposed(proposal) => {
                tracing::warn!(proposal = proposal.id, by = visitor.by(), "waits for a second person");
                Ok(see_other("/console/proposals?done=done_proposed"))
            }
        }
    }
    .await;
    either(step)
}
