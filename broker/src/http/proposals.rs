//! What waits for a second person, where a broker asks for one (`[two_persons]`).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use taxdisk_protocol::api::{BulkView, DeclineRequest, JobView, ProposalView};
use taxdisk_protocol::error::Problem;

use super::auth::{Admin, Caller};
use super::body::Strict;
use super::refused::Refused;
use super::{Edge, Path};
use crate::ledger::Confirmed;

/// The answer to what waits now.
pub(super) fn waits(proposal: ProposalView) -> Response {
    tracing::warn!(proposal = proposal.id, by = proposal.by, "waits for a second person");
    (StatusCode::ACCEPTED, Json(proposal)).into_response()
}

/// Lists what waits for a second person, the oldest first.
#[utoipa::path(get, path = "/v1/proposals", tag = "proposals", responses(
    (status = 200, description = "What waits", body = Vec<ProposalView>),
), security(("key" = ["all_sellers"])))]
pub async fn list(State(edge): State<Edge>, caller: Caller) -> Result<Json<Vec<ProposalView>>, Refused> {
    caller.unlimited()?;
    Ok(Json(edge.ledger.proposals().await?))
}

/// Confirms what another person proposed: it is done in the same commit. A key counts as its owner and whoever made it.
#[utoipa::path(post, path = "/v1/proposals/{id}/confirm", tag = "proposals", params(("id" = String, Path, description = "Proposal")), responses(
    (status = 200, description = "The job as it is decided now", body = JobView),
    (status = 202, description = "The bulk re-issue has begun", body = BulkView),
    (status = 204, description = "The decision about a ledger that went back is entered: `GET /v1/reconcile` says what is left"),
    (status = 404, description = "None of this id waits", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The same person proposed it, or it cannot be done any more", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn confirm(State(edge): State<Edge>, Admin(by): Admin, Path(id): Path<String>) -> Result<Response, Refused> {
    let confirmed = by.ledger(&edge).confirm(&id, by.by()).await?;
    tracing::warn!(proposal = id, by = by.by(), "confirmed by a second person");
    Ok(match confirmed {
        Confirmed::Job(job) => Json(job).into_response(),
        Confirmed::Bulk(view) => (StatusCode::ACCEPTED, Json(view)).into_response(),
        Confirmed::Entered => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Declines what waits.
#[utoipa::path(post, path = "/v1/proposals/{id}/decline", tag = "proposals", request_body = DeclineRequest, params(("id" = String, Path, description = "Proposal")), responses(
    (status = 204, description = "It waits no longer"),
    (status = 404, description = "None of this id waits", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn decline(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Path(id): Path<String>,
    Strict(request): Strict<DeclineRequest>,
) -> Result<StatusCode, Refused> {
    by.ledger(&edge).decline(&id, &request.reason, by.by()).await?;
    tracing::info!(proposal = id, by = by.by(), "declined");
    Ok(StatusCode::NO_CONTENT)
}

/// Takes back what one proposed oneself: nothing is done. A key counts as its owner and whoever made it.
#[utoipa::path(post, path = "/v1/proposals/{id}/withdraw", tag = "proposals", request_body = DeclineRequest, params(("id" = String, Path, description = "Proposal")), responses(
    (status = 204, description = "It waits no longer"),
    (status = 403, description = "Somebody else proposed it", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "None of this id waits", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn withdraw(
    State(edge): State<Edge>,
    caller: Caller,
    Path(id): Path<String>,
    Strict(request): Strict<DeclineRequest>,
) -> Result<StatusCode, Refused> {
    caller.ledger(&edge).withdraw(&id, &request.reason, caller.by()).await?;
    tracing::info!(proposal = id, by = caller.by(), "withdrawn");
    Ok(StatusCode::NO_CONTENT)
}
