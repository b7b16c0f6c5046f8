//! What a ledger that went back has still to find out, and what people decide of it. Administrators only.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use taxdisk_protocol::api::{
    PairBody, ProposalView, ReconcileJobRequest, ReconcileNumberRequest, ReconcileView, ReleaseRequest, SettleDecision,
};
use taxdisk_protocol::error::{Code, Problem};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::number::NumberPair;

use super::auth::Admin;
use super::body::Strict;
use super::refused::Refused;
use super::{Edge, Path, parsed, proposals};
use crate::core::change::NumberKey;
use crate::ledger::{Asked, LineDecision, NumberDecision};

/// Shows disks, attempts and numbers that are not accounted for since the ledger went back.
#[utoipa::path(get, path = "/v1/reconcile", tag = "reconcile", responses(
    (status = 200, description = "Empty lists: nothing is left", body = ReconcileView),
), security(("key" = ["admin"])))]
pub async fn show(State(edge): State<Edge>, _: Admin) -> Result<Json<ReconcileView>, Refused> {
    Ok(Json(edge.ledger.reconcile().await?))
}

/// What is left once it is entered, or what waits for a second person.
async fn left(edge: &Edge, asked: Asked<()>) -> Result<Response, Refused> {
    match asked {
        Asked::Done(()) => Ok(Json(edge.ledger.reconcile().await?).into_response()),
        Asked::Proposed(proposal) => Ok(proposals::waits(*proposal)),
    }
}

fn pair(body: &PairBody) -> Result<NumberPair, Refused> {
    Ok(NumberPair { code: parsed("pair.code", &body.code)?, number: parsed("pair.number", &body.number)? })
}

/// Says whose a number of unknown origin is.
#[utoipa::path(post, path = "/v1/reconcile/numbers", tag = "reconcile", request_body = ReconcileNumberRequest, responses(
    (status = 200, description = "Entered; jobs that waited for it go on. What is left", body = ReconcileView),
    (status = 202, description = "Two persons are asked for (`two_persons.reconcile`): it waits for the second one, and nothing is decided", body = ProposalView),
    (status = 404, description = "There is no such number, or no such job", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The job cannot have this invoice", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn number(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Strict(request): Strict<ReconcileNumberRequest>,
) -> Result<Response, Refused> {
    let number =
        NumberKey { disk: parsed("disk", &request.disk)?, kind: parsed("kind", &request.kind)?, pair: pair(&request.pair)? };
    let key = |job: &taxdisk_protocol::api::JobName| {
        Ok::<_, Refused>(JobKey { seller: parsed("job.seller", &job.seller)?, serial: parsed("job.serial", &job.serial)? })
    };
    let job = request.job.as_ref().map(key).transpose()?;
    tracing::warn!(disk = request.disk, pair = %number.pair, by = by.by(), "a number of unknown origin is to be decided");
    let decision = NumberDecision { number, job, forgotten: request.forgotten, reason: request.reason };
    left(&edge, by.ledger(&edge).decide_number(decision).await?).await
}

/// Says what became of an attempt that an agent remembers as unsettled.
#[utoipa::path(post, path = "/v1/reconcile/jobs/{seller}/{serial}", tag = "reconcile", params(
    ("seller" = String, Path, description = "Taxpayer number"), ("serial" = String, Path, description = "Serial number"),
), request_body = ReconcileJobRequest, responses(
    (status = 200, description = "Entered. What is left", body = ReconcileView),
    (status = 202, description = "Two persons are asked for (`two_persons.reconcile`): it waits for the second one, and nothing is decided", body = ProposalView),
    (status = 400, description = "Several attempts are in doubt: `attempt` or `disk` must say which", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No agent remembers such an attempt", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The decision contradicts what the agent remembers", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn job(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Path((seller, serial)): Path<(String, String)>,
    Strict(request): Strict<ReconcileJobRequest>,
) -> Result<Response, Refused> {
    let key = JobKey { seller: parsed("seller", &seller)?, serial: parsed("serial", &serial)? };
    let issued = match (request.decision, &request.pair) {
        (SettleDecision::Issued, Some(body)) => Some(pair(body)?),
        (SettleDecision::NotIssued, None) => None,
        _ => {
            return Err(Refused::new(Code::InvalidParameter, "`pair` belongs to the decision `issued` and to no other"));
        }
    };
    let disk = request.disk.as_ref().map(|disk| parsed("disk", disk)).transpose()?;
    let decision = LineDecision { attempt: request.attempt, disk, issued, reason: request.reason };
    left(&edge, by.ledger(&edge).decide_line(&key, decision).await?).await
}

/// Lets a seller go on although this disk was not read. Only where no number of it since the backup can be an invoice of a job
/// that is sent again: otherwise one sale may get two invoices.
#[utoipa::path(post, path = "/v1/reconcile/disks/{number}/release-unread", tag = "reconcile",
    params(("number" = String, Path, description = "The number inside the disk")), request_body = ReleaseRequest, responses(
    (status = 200, description = "Entered. What is left", body = ReconcileView),
    (status = 202, description = "Two persons are asked for (`two_persons.reconcile`): it waits for the second one, and nothing is decided", body = ProposalView),
    (status = 404, description = "This disk does not wait to be recounted", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn release(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Path(number): Path<String>,
    Strict(request): Strict<ReleaseRequest>,
) -> Result<Response, Refused> {
    let disk: DiskNumber = parsed("number", &number)?;
    tracing::warn!(%disk, by = by.by(), "a disk is to be released unread");
    left(&edge, by.ledger(&edge).release_disk(&disk, &request.reason).await?).await
}
