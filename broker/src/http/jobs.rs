//! Calls about jobs: submit, show (with long poll), list, re-issue, cancel, settle.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use taxdisk_protocol::api::{
    BulkReissueRequest, BulkView, CancelRequest, JobPage, JobState, JobSubmission, JobView, ProposalView, ReissueAnswer,
    ReissueRequest, SettleRequest,
};
use taxdisk_protocol::error::{Code, Problem};
use taxdisk_protocol::ids::JobKey;

use super::auth::{Admin, Caller};
use super::body::{self, Strict};
use super::refused::Refused;
use super::{Edge, Path, Query, Traced, json, parsed, proposals};
use crate::config::MAX_WAIT_S;
use crate::ledger::{Asked, CancelAnswer, JobFilter, Submitted, Until};
use crate::serve::stopped;

/// Jobs of one page, if the caller does not say.
const PAGE_JOBS: u32 = 100;
/// Jobs of one page at most.
const MAX_PAGE_JOBS: u32 = 500;

/// Submits one job.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = JobSubmission, responses(
    (status = 201, description = "Accepted", body = JobView),
    (status = 200, description = "Known with this content: the job as it is now, `repeated` is true", body = JobView),
    (status = 409, description = "Known with other content (`differences`)", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "Longer than 1 MiB", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Unknown fields, wrong types or broken rules, all of them", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn submit(State(edge): State<Edge>, caller: Caller, request: Request) -> Result<(StatusCode, Json<JobView>), Refused> {
    let (parts, body) = request.into_parts();
    body::expect(&parts.headers, &["application/json"])?;
    let bytes = body::read(&parts.headers, body).await?;
    let submission = read_submission(&edge, &caller, &bytes).await?;
    if let (Ok(seller), Ok(serial)) = (submission.seller.parse(), submission.serial.parse()) {
        // Only what is a key: a caller's own text stays out of the log.
        tracing::Span::current().record("job", tracing::field::display(JobKey { seller, serial }));
    }
    let traced = parts.extensions.get::<Traced>().cloned().unwrap_or_default();
    let (status, job) = accept(&edge, &caller, submission, &traced, false).await?;
    traced.answers(&job);
    Ok((status, Json(job)))
}

/// Reads a submission. A text that cannot be read says of its job, where it names one that exists, whether an invoice exists.
pub(crate) async fn read_submission(edge: &Edge, caller: &Caller, bytes: &[u8]) -> Result<JobSubmission, Refused> {
    match json::parse::<JobSubmission>(bytes) {
        Ok(submission) => Ok(submission),
        Err(refused) => Err(about_known(edge, caller, bytes, refused).await),
    }
}

/// The refusal of a text that cannot be read, and whether an invoice exists of the job that it names.
pub(crate) async fn about_known(edge: &Edge, caller: &Caller, bytes: &[u8], refused: Refused) -> Refused {
    match known(edge, caller, bytes).await {
        Some(job) => refused.about(&job),
        None => refused,
    }
}

async fn known(edge: &Edge, caller: &Caller, bytes: &[u8]) -> Option<JobView> {
    #[derive(Deserialize)]
    struct Named {
        seller: String,
        serial: String,
    }
    let named: Named = serde_json::from_slice(bytes).ok()?;
    caller.may(&named.seller).ok()?;
    let key = JobKey { seller: named.seller.parse().ok()?, serial: named.serial.parse().ok()? };
    edge.ledger.job(&key).await.ok()
}

/// Hands a submission to the ledger; `of_many`: the call holds others too.
pub(crate) async fn accept(
    edge: &Edge,
    caller: &Caller,
    submission: JobSubmission,
    traced: &Traced,
    of_many: bool,
) -> Result<(StatusCode, JobView), Refused> {
    caller.may(&submission.seller)?;
    let at = traced.acceptance(of_many);
    match caller.ledger(edge).submit_traced(submission, Some(at)).await? {
        Submitted::New(job) => {
            let key = format_args!("{}/{}", job.seller, job.serial);
            tracing::info!(job = %key, kind = job.kind, trace_id = job.trace_id, "job accepted");
            traced.accepted(at, &job);
            Ok((StatusCode::CREATED, job))
        }
        Submitted::Repeated(job) => {
            // Under the trace of the first submission, which this line joins to the request's own.
            tracing::info!(job = %format_args!("{}/{}", job.seller, job.serial), trace_id = job.trace_id, "job known");
            Ok((StatusCode::OK, job))
        }
    }
}

/// The job that a path names, if the caller may see it.
#[derive(Debug)]
pub struct Named {
    key: JobKey,
    caller: Caller,
    traced: Traced,
}

impl Named {
    /// The answer is this job.
    fn with(&self, job: JobView) -> Json<JobView> {
        self.traced.answers(&job);
        Json(job)
    }
}

impl FromRequestParts<Edge> for Named {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, edge: &Edge) -> Result<Self, Refused> {
        let caller = Caller::from_request_parts(parts, edge).await?;
        let Path((seller, serial)) = Path::<(String, String)>::from_request_parts(parts, edge).await?;
        caller.may(&seller)?;
        let key = JobKey { seller: parsed("seller", &seller)?, serial: parsed("serial", &serial)? };
        tracing::Span::current().record("job", tracing::field::display(&key));
        let traced = parts.extensions.get::<Traced>().cloned().unwrap_or_default();
        Ok(Named { key, caller, traced })
    }
}

/// How long to wait for a job.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Long poll: `30s` or `500ms`, at most 55 s. Answers when the job has ended, or with `revision` when it has changed; at the
    /// latest after this time, with the job as it is then.
    wait: Option<String>,
    /// The revision that the caller knows.
    revision: Option<u64>,
}

pub(crate) fn duration(text: &str) -> Result<Duration, Refused> {
    let (digits, unit_ms) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => (text, 1000),
    };
    let millis = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit_ms));
    match millis {
        Some(millis) if millis <= MAX_WAIT_S * 1000 => Ok(Duration::from_millis(millis)),
        _ => Err(Refused::new(
            Code::InvalidParameter,
            format!("wait: {text:?} is not a time of at most {MAX_WAIT_S}s, as in 30s or 500ms"),
        )),
    }
}

/// Shows one job with its attempts and evidence.
#[utoipa::path(get, path = "/v1/jobs/{seller}/{serial}", tag = "jobs", params(
    ("seller" = String, Path, description = "Taxpayer number"), ("serial" = String, Path, description = "Serial number"), Wait,
), responses(
    (status = 200, description = "The job", body = JobView),
    (status = 404, description = "There is no such job", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn show(State(edge): State<Edge>, named: Named, Query(wait): Query<Wait>) -> Result<Json<JobView>, Refused> {
    let Some(time) = wait.wait.as_deref().map(duration).transpose()? else {
        return Ok(named.with(edge.ledger.job(&named.key).await?));
    };
    let until = wait.revision.map_or(Until::Ended, Until::After);
    let mut stopping = edge.stopping.clone();
    tokio::select! {
        job = edge.ledger.job_when(&named.key, until, time) => Ok(named.with(job?)),
        // A broker that stops does not hold its callers up.
        () = stopped(&mut stopping) => Ok(named.with(edge.ledger.job(&named.key).await?)),
    }
}

/// Which jobs to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Taxpayer number.
    seller: Option<String>,
    /// `queued`, `assigned`, `unsettled`, `issued`, `failed` or `cancelled`; several with commas.
    state: Option<String>,
    /// Invoice kind, three digits.
    kind: Option<String>,
    /// Queued, and for this reason: `no_disk`, `disk_offline`, `no_stock`, `locked`, `over_limit`, `password`, `disk_fault`,
    /// `contested`, `settling`, `backlog`, `breaker` or `paused`. A page may hold fewer jobs than asked, and go on all the same.
    waiting: Option<String>,
    /// Disk that an attempt ran on.
    disk: Option<String>,
    /// Accepted at or after, RFC 3339.
    since: Option<String>,
    /// The beginning of the serial number.
    serial: Option<String>,
    /// Jobs of a page, 1 to 500; 100 if left out.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// Lists jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(Filter), responses(
    (status = 200, description = "A page", body = JobPage),
    (status = 400, description = "A parameter that is not known or not right", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn list(State(edge): State<Edge>, caller: Caller, Query(query): Query<Filter>) -> Result<Json<JobPage>, Refused> {
    let mut filter = JobFilter { sellers: caller.sellers().to_vec(), ..JobFilter::default() };
    if let Some(seller) = &query.seller {
        caller.may(seller)?;
        filter.sellers = vec![parsed("seller", seller)?];
    }
    for state in query.state.iter().flat_map(|states| states.split(',')) {
        let known = serde_json::from_value::<JobState>(state.into());
        filter.states.push(known.map_err(|error| Refused::new(Code::InvalidParameter, format!("state: {error}")))?);
    }
    if let Some(waiting) = &query.waiting {
        let known = serde_json::from_value(waiting.as_str().into());
        filter.waiting = Some(known.map_err(|error| Refused::new(Code::InvalidParameter, format!("waiting: {error}")))?);
        if filter.states.iter().any(|state| *state != JobState::Queued) {
            return Err(Refused::new(Code::InvalidParameter, "waiting: only queued jobs wait; leave `state` out"));
        }
        filter.states = vec![JobState::Queued];
    }
    filter.kind = query.kind.as_deref().map(|kind| parsed("kind", kind)).transpose()?;
    filter.disk = query.disk.as_deref().map(|disk| parsed("disk", disk)).transpose()?;
    filter.since = query.since.as_deref().map(|since| parsed("since", since)).transpose()?;
    filter.serial_prefix = query.serial;
    let limit = query.limit.unwrap_or(PAGE_JOBS);
    if !(1..=MAX_PAGE_JOBS).contains(&limit) {
        return Err(Refused::new(Code::InvalidParameter, format!("limit: {limit} is not between 1 and {MAX_PAGE_JOBS}")));
    }
    Ok(Json(edge.ledger.jobs(&filter, query.cursor.as_deref(), limit).await?))
}

/// Asks for the same job again. Issues only what is proven not issued.
#[utoipa::path(post, path = "/v1/jobs/{seller}/{serial}/reissue", tag = "jobs", params(
    ("seller" = String, Path, description = "Taxpayer number"), ("serial" = String, Path, description = "Serial number"),
), request_body = ReissueRequest, responses(
    (status = 200, description = "What was done", body = ReissueAnswer),
    (status = 409, description = "Other content, and not proven not issued", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn reissue(
    State(edge): State<Edge>,
    named: Named,
    Strict(request): Strict<ReissueRequest>,
) -> Result<Json<ReissueAnswer>, Refused> {
    let answer = named.caller.ledger(&edge).reissue(&named.key, request, named.caller.by()).await?;
    tracing::info!(job = %named.key, outcome = ?answer.outcome, by = named.caller.by(), "re-issue asked");
    named.traced.answers(&answer.job);
    Ok(Json(answer))
}

/// Re-issues many jobs by a filter, or says what that would do (`dry_run`). The same key again answers with the one that was
/// begun.
#[utoipa::path(post, path = "/v1/jobs:reissue", tag = "jobs", request_body = BulkReissueRequest, responses(
    (status = 200, description = "What it would do, or how far the one with this key has come", body = BulkView),
    (status = 202, description = "It has begun (`BulkView`): `GET /v1/jobs:reissue/{key}` says how far it has come. Where two persons are asked for (`two_persons.bulk_reissue`), it waits for the second one", body = ProposalView),
    (status = 409, description = "The key is another bulk re-issue's", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn reissue_bulk(
    State(edge): State<Edge>,
    caller: Caller,
    Strict(request): Strict<BulkReissueRequest>,
) -> Result<Response, Refused> {
    if let Some(seller) = &request.filter.seller {
        caller.may(seller)?;
    }
    let view = match caller.ledger(&edge).reissue_bulk(request, caller.by(), caller.sellers()).await? {
        Asked::Done(view) => view,
        Asked::Proposed(proposal) => return Ok(proposals::waits(*proposal)),
    };
    if !view.dry_run {
        tracing::warn!(key = view.key, by = caller.by(), "bulk re-issue");
    }
    let status = if view.done || view.dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(view)).into_response())
}

/// Says how far a bulk re-issue has come.
#[utoipa::path(get, path = "/v1/jobs:reissue/{key}", tag = "jobs", params(("key" = String, Path, description = "The caller's key of it")), responses(
    (status = 200, description = "As it is now", body = BulkView),
    (status = 404, description = "There is none with this key", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn show_bulk(State(edge): State<Edge>, caller: Caller, Path(key): Path<String>) -> Result<Json<BulkView>, Refused> {
    Ok(Json(edge.ledger.bulk(&key, caller.sellers()).await?))
}

/// Withdraws a job.
#[utoipa::path(post, path = "/v1/jobs/{seller}/{serial}/cancel", tag = "jobs", params(
    ("seller" = String, Path, description = "Taxpayer number"), ("serial" = String, Path, description = "Serial number"),
), request_body = CancelRequest, responses(
    (status = 200, description = "It is cancelled", body = JobView),
    (status = 202, description = "It was handed over; the agent is asked to give it back, and the job says how it ends", body = JobView),
    (status = 409, description = "It is issued or failed", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn cancel(
    State(edge): State<Edge>,
    named: Named,
    request: Request<Body>,
) -> Result<(StatusCode, Json<JobView>), Refused> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body).await?;
    // The reason may be left out, and the body with it.
    let request = if bytes.is_empty() {
        CancelRequest::default()
    } else {
        body::expect(&parts.headers, &["application/json"])?;
        json::parse(&bytes)?
    };
    let answer = named.caller.ledger(&edge).cancel(&named.key, request, named.caller.by()).await?;
    tracing::info!(job = %named.key, state = ?answer.job().state, by = named.caller.by(), "withdrawal asked");
    Ok(match answer {
        CancelAnswer::Cancelled(job) => (StatusCode::OK, named.with(job)),
        CancelAnswer::Asked(job) => (StatusCode::ACCEPTED, named.with(job)),
    })
}

/// An administrator ends an unsettled job, with both readings and a reason.
#[utoipa::path(post, path = "/v1/jobs/{seller}/{serial}/settle", tag = "jobs", params(
    ("seller" = String, Path, description = "Taxpayer number"), ("serial" = String, Path, description = "Serial number"),
), request_body = SettleRequest, responses(
    (status = 200, description = "The job as it is now", body = JobView),
    (status = 202, description = "Two persons are asked for (`two_persons.settle`): it waits for the second one, and nothing is decided", body = ProposalView),
    (status = 409, description = "It is not unsettled, or has changed since", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn settle(
    State(edge): State<Edge>,
    Admin(_): Admin,
    named: Named,
    Strict(request): Strict<SettleRequest>,
) -> Result<Response, Refused> {
    let decision = request.decision;
    match named.caller.ledger(&edge).settle(&named.key, request, named.caller.by()).await? {
        Asked::Done(job) => {
            tracing::warn!(job = %named.key, ?decision, by = named.caller.by(), "settled by hand");
            Ok(named.with(job).into_response())
        }
        Asked::Proposed(proposal) => Ok(proposals::waits(*proposal)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_with_their_unit_and_bounded() {
        assert_eq!(duration("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("2").unwrap(), Duration::from_secs(2));
        assert_eq!(duration("55s").unwrap(), Duration::from_secs(55));
        for bad in ["56s", "55001ms", "", "s", "-1s", "1.5s", "18446744073709551615s", "1h"] {
            assert_eq!(duration(bad).unwrap_err().0.code, "invalid_parameter", "{bad}");
        }
    }
}
