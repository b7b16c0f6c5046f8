//! What the broker says about a job, applied to its request. A job's revision orders what is said: an older one changes nothing,
//! and the same one twice changes nothing the second time.
//!
//! The truth wins over everything: an invoice that exists is issued here too, even where the request was sent back meanwhile.

use rust_decimal::Decimal;
use taxdisk_protocol::api::{Fault, JobProblem, JobState, JobView, Operation};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::error::Problem;

use super::callback::{self, News};
use super::outbox;
use super::reasons;
use super::request::{Failure, NEVER, Phase, Request, Voiding};
use crate::ledger::Session;
use crate::store::StoreError;

/// How soon the courier asks again by itself, milliseconds: after as long as the request has waited already, within these. The
/// broker's webhooks tell of the end, and of a request that somebody looks at it asks at once ([`is_stale`]): so a long backlog
/// costs little, and a waiting reason still reaches the merchant within 5 s.
const SOON_MS: i64 = 3_000;
const LATER_MS: i64 = 60_000;
/// What was asked so long ago is asked again when somebody looks, milliseconds.
const STALE_MS: i64 = 2_000;
/// After a failure of ours to reach the broker: 1 s, doubled each time, at most this.
const RETRY_MAX_MS: i64 = 60_000;
/// Failures to reach the broker in a row after which a request that waits there waits for the broker: some 7 s.
const SILENT_TRIES: u32 = 3;

/// Applies what the broker shows.
///
/// # Errors
/// Those of the store.
pub async fn shown(session: &mut Session, tenant: &str, serial: &str, view: &JobView) -> Result<(), StoreError> {
    match session.db.request(tenant, serial).await? {
        Some(request) => become_known(session, request, view).await,
        None => Ok(()),
    }
}

/// The same of a job that the broker told of by itself.
///
/// # Errors
/// Those of the store.
pub async fn told(session: &mut Session, seller: &str, job_serial: &str, view: &JobView) -> Result<(), StoreError> {
    let request = session.db.request_by_job(seller, job_serial).await?;
    let Some(request) = request.filter(|request| request.phase != Phase::Plan) else { return Ok(()) };
    // A re-issue that is still to be handed in: this is what it shall leave behind.
    if request.phase == Phase::Forwarding && request.at_broker && view.revision <= request.job_revision {
        return Ok(());
    }
    become_known(session, request, view).await
}

async fn become_known(session: &mut Session, mut request: Request, view: &JobView) -> Result<(), StoreError> {
    let (tenant, serial) = (request.tenant.clone(), request.serial.clone());
    let (tenant, serial) = (tenant.as_str(), serial.as_str());
    let before = request.phase;
    let news = apply(&mut request, view, session.now);
    session.db.put_request(&request).await?;
    if before != request.phase {
        session.note(tenant, serial, "broker", request.substate(), &view.revision.to_string()).await?;
    }
    if request.operation != Operation::Issue && before != request.phase {
        on_original(session, &request).await?;
    }
    if let Some(news) = news {
        tell(session, &request, &news).await?;
    }
    if before != request.phase {
        outbox::on_issued(session, &request).await?;
    }
    Ok(())
}

/// The broker did not take the job: it broke a rule there, or stands there with another content.
///
/// # Errors
/// Those of the store.
pub async fn refused(session: &mut Session, tenant: &str, serial: &str, problem: &Problem) -> Result<(), StoreError> {
    let Some(mut request) = session.db.request(tenant, serial).await? else { return Ok(()) };
    if request.phase != Phase::Forwarding {
        return Ok(());
    }
    let foreign = problem.code == "conflict";
    let mut text = problem.detail.clone();
    for breach in &problem.breaches {
        text = format!("{text}；{}", crate::document::submission::fault(breach));
    }
    // Asked for too often: not the data's fault.
    let fault = if problem.code == "reissue_limit" { Fault::Policy } else { Fault::Request };
    let text = said(&problem.code, None, &text);
    fail(&mut request, Failure { fault, code: problem.code.clone(), text, foreign }, session.now);
    session.db.put_request(&request).await?;
    session.note(tenant, serial, "broker", "refused", &problem.code).await?;
    if request.operation != Operation::Issue {
        on_original(session, &request).await?;
    }
    let news = failed_news(&request);
    tell(session, &request, &news).await
}

/// The broker knows no such job any more (its ledger was restored from a copy): it is handed in again, under its own serial
/// number, which is safe at any time.
///
/// # Errors
/// Those of the store.
pub async fn lost(session: &mut Session, tenant: &str, serial: &str) -> Result<(), StoreError> {
    let Some(mut request) = session.db.request(tenant, serial).await? else { return Ok(()) };
    if request.status() != Some(2) {
        return Ok(());
    }
    request.phase = Phase::Forwarding;
    (request.at_broker, request.job_revision) = (false, 0);
    request.due_at = session.now;
    session.db.put_request(&request).await?;
    session.note(tenant, serial, "broker", "lost", "").await?;
    session.wake_courier();
    Ok(())
}

/// The broker did not answer, or not yet: the same again later.
///
/// # Errors
/// Those of the store.
pub async fn unreachable(session: &mut Session, tenant: &str, serial: &str, why: &str) -> Result<(), StoreError> {
    let Some(mut request) = session.db.request(tenant, serial).await? else { return Ok(()) };
    if request.due_at == NEVER {
        return Ok(());
    }
    request.tries = request.tries.saturating_add(1);
    let wait = 1_000_i64.saturating_mul(1 << request.tries.min(10)).min(RETRY_MAX_MS);
    request.due_at = session.now + wait;
    // What the broker has is in its line; that is said until it has been silent for a while.
    if request.phase == Phase::Forwarding || request.phase == Phase::Queued && request.tries >= SILENT_TRIES {
        request.waiting = Some(reasons::kept(reasons::AWAY, why));
    }
    session.db.put_request(&request).await
}

/// Should the broker be asked, now that somebody looks at this request? One that was silent is asked at its own pace: however
/// many look, it must be able to come back.
pub fn is_stale(request: &Request, now: i64) -> bool {
    let waits = matches!(request.phase, Phase::Queued | Phase::Issuing | Phase::Settling);
    waits && request.tries == 0 && now - request.asked_at >= STALE_MS
}

/// Pure: what a view makes of a request, and what is worth telling.
pub fn apply(request: &mut Request, view: &JobView, now: i64) -> Option<News> {
    request.at_broker = true;
    request.tries = 0;
    request.asked_at = now;
    if view.revision < request.job_revision {
        request.due_at = next(request, now);
        return None;
    }
    // A requeue that the broker does not know yet: what it shows is the failure that the merchant wants to leave behind.
    let behind = request.phase == Phase::Forwarding && view.revision == request.job_revision && view.state.is_terminal();
    if behind && !view.state.is_done() {
        request.due_at = next(request, now);
        return None;
    }
    request.job_revision = view.revision;
    let before = request.phase;
    request.waiting = None;
    match view.state {
        JobState::Queued => {
            request.phase = Phase::Queued;
            request.waiting = waiting(view);
        }
        JobState::Assigned => request.phase = Phase::Issuing,
        JobState::Unsettled => {
            request.phase = Phase::Settling;
            request.waiting = Some(reasons::kept(reasons::SETTLING, ""));
        }
        JobState::Issued | JobState::Voided => {
            request.phase = Phase::Issued;
            request.failure = None;
            request.issued.clone_from(&view.issued);
        }
        JobState::Failed | JobState::Cancelled if before == Phase::Deleted => {}
        JobState::Failed | JobState::Cancelled => fail(request, failure(view), now),
    }
    if before != request.phase {
        request.changed_at = now;
    }
    request.due_at = next(request, now);
    match (before, request.phase) {
        (before, after) if before == after => None,
        (_, Phase::Issued) => Some(News::Issued),
        (_, Phase::Failed) => Some(failed_news(request)),
        _ => None,
    }
}

fn fail(request: &mut Request, failure: Failure, now: i64) {
    request.phase = Phase::Failed;
    request.failure = Some(failure);
    (request.changed_at, request.due_at) = (now, NEVER);
}

fn failure(view: &JobView) -> Failure {
    let (fault, code, class, text) = match &view.problem {
        Some(JobProblem { code, fault, class, text }) => (*fault, code.as_str(), *class, text.as_str()),
        None => (Fault::Policy, "cancelled", None, ""),
    };
    Failure { fault, code: code.to_owned(), text: said(code, class, text), foreign: false }
}

/// The reason, and what the broker says. What is Chinese already says it itself.
fn said(code: &str, class: Option<DeviceClass>, text: &str) -> String {
    match reasons::failed(code, class) {
        Some(reason) if text.starts_with(|c: char| c.is_ascii()) || text.is_empty() => reasons::kept(reason, text),
        _ => text.to_owned(),
    }
}

fn failed_news(request: &Request) -> News {
    let failure = request.failure.as_ref();
    let data = failure.is_some_and(|failure| failure.fault == Fault::Request);
    let text = failure.map_or_else(String::new, |failure| failure.text.clone());
    News::Failed { code: if data { "1001" } else { "9999" }.to_owned(), msg: text }
}

/// When to look again.
fn next(request: &Request, now: i64) -> i64 {
    match request.phase {
        Phase::Queued | Phase::Issuing | Phase::Settling => now + (now - request.created_at).clamp(SOON_MS, LATER_MS),
        Phase::Forwarding => now + SOON_MS,
        _ => NEVER,
    }
}

/// Why a job waits, for the merchant.
fn waiting(view: &JobView) -> Option<String> {
    Some(reasons::kept(reasons::waiting(view.waiting?), view.waiting_text.as_deref().unwrap_or_default()))
}

async fn tell(session: &mut Session, request: &Request, news: &News) -> Result<(), StoreError> {
    if request.operation == Operation::Void {
        return Ok(());
    }
    // One id for each outcome of each attempt: a failure, a re-issue and its success are three callbacks of two ids.
    let what = match news {
        News::Issued => "issued".to_owned(),
        _ => format!("failed-{}-{}-{}", request.revision, request.attempt, request.job_revision),
    };
    callback::tell(session, request, &what, news).await
}

/// What a red or void did to its blue invoice.
async fn on_original(session: &mut Session, request: &Request) -> Result<(), StoreError> {
    let Some(original) = &request.original else { return Ok(()) };
    let Some(mut blue) = session.db.request_by_number(&request.tenant, &original.code, &original.number).await? else {
        return Ok(());
    };
    match (request.operation, request.phase) {
        (Operation::Void, Phase::Issued) => blue.voiding = Voiding::Void,
        (Operation::Void, Phase::Failed) => blue.voiding = Voiding::Failed,
        (Operation::Void, _) => blue.voiding = Voiding::Running,
        (Operation::Red, Phase::Issued) => {
            let about = session.db.about(&request.tenant, &original.code, &original.number).await?;
            let done = about.iter().filter(|other| other.operation == Operation::Red && other.phase == Phase::Issued);
            blue.reversed = done.map(|red| red.gross).sum::<Decimal>();
        }
        _ => return Ok(()),
    }
    blue.changed_at = session.now;
    session.db.put_request(&blue).await
}
