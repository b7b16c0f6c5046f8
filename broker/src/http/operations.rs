//! Operations of administrators at a disk: uploads, period reports, clears, readings.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use taxdisk_protocol::api::{
    BulkOperationRequest, BulkOperationView, DueState, DueView, OperationCancel, OperationKind, OperationPage, OperationRequest,
    OperationState, OperationView,
};
use taxdisk_protocol::error::{Code, Problem};
use taxdisk_protocol::ids::DiskNumber;

use super::auth::{Admin, Caller};
use super::body::Strict;
use super::jobs::duration;
use super::refused::Refused;
use super::{Edge, Path, Query, parsed};
use crate::ledger::OperationFilter;
use crate::serve::stopped;

/// Operations of one page, if the caller does not say.
const PAGE: u32 = 100;
/// Operations of one page at most.
const MAX_PAGE: u32 = 500;

/// Asks a disk for an upload, a period report, a clear or a reading. Durable before the answer; it is handed over once what the
/// disk has at hand has ended, and no job is handed over beside it. A dry run says whether it may, and sends nothing that changes
/// the disk.
#[utoipa::path(post, path = "/v1/disks/{number}/operations", tag = "operations", params(("number" = String, Path, description = "The number inside the disk")),
    request_body = OperationRequest, responses(
    (status = 201, description = "Accepted", body = OperationView),
    (status = 200, description = "Known by this key: as it is now, `repeated` is true", body = OperationView),
    (status = 404, description = "No such disk has been seen", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The key is another operation's", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The disk cannot do it", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn create(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Path(number): Path<String>,
    Strict(body): Strict<OperationRequest>,
) -> Result<(StatusCode, Json<OperationView>), Refused> {
    let disk: DiskNumber = parsed("number", &number)?;
    let view = by.ledger(&edge).operate(&disk, body, by.by()).await?;
    tracing::info!(%disk, operation = view.id, what = %view.operation, dry_run = view.dry_run, by = by.by(), "operation asked");
    Ok((if view.repeated { StatusCode::OK } else { StatusCode::CREATED }, Json(view)))
}

/// Which operations.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Of this disk.
    disk: Option<String>,
    /// Of this seller's disks.
    seller: Option<String>,
    /// In this state.
    state: Option<OperationState>,
    /// Only this: `report`, `clear`, `upload`, `stock` or `self_test`.
    operation: Option<OperationKind>,
    /// Of the bulk operation with this key.
    bulk: Option<String>,
    /// Asked at or after, RFC 3339.
    since: Option<String>,
    /// Of the page before.
    cursor: Option<String>,
    /// At most; 100 if absent, 500 at most.
    limit: Option<u32>,
}

/// Lists operations, newest first, of the sellers that the key is for.
#[utoipa::path(get, path = "/v1/operations", tag = "operations", params(Which), responses(
    (status = 200, description = "A page", body = OperationPage),
), security(("key" = [])))]
pub async fn list(State(edge): State<Edge>, caller: Caller, Query(which): Query<Which>) -> Result<Json<OperationPage>, Refused> {
    let limit = which.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Refused::new(Code::InvalidParameter, format!("limit: {limit} is not between 1 and {MAX_PAGE}")));
    }
    let sellers = match &which.seller {
        Some(seller) => {
            caller.may(seller)?;
            vec![parsed("seller", seller)?]
        }
        None => caller.sellers().to_vec(),
    };
    let place = |cursor: &String| cursor.strip_prefix('o').and_then(|place| place.parse().ok());
    let wrong = || Refused::new(Code::InvalidParameter, "cursor: it was not made here");
    let filter = OperationFilter {
        ids: Vec::new(),
        disk: which.disk.as_deref().map(|disk| parsed("disk", disk)).transpose()?,
        sellers,
        state: which.state,
        what: which.operation,
        bulk: which.bulk,
        since: which.since.as_deref().map(|since| parsed("since", since)).transpose()?,
        before: which.cursor.as_ref().map(|cursor| place(cursor).ok_or_else(wrong)).transpose()?,
    };
    Ok(Json(edge.ledger.operations(&filter, limit).await?))
}

/// Lists the operations of a disk, newest first.
#[utoipa::path(get, path = "/v1/disks/{number}/operations", tag = "operations", params(("number" = String, Path, description = "The number inside the disk")), responses(
    (status = 200, description = "The newest hundred; `GET /v1/operations?disk=` has pages", body = OperationPage),
), security(("key" = [])))]
pub async fn of_disk(
    State(edge): State<Edge>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<Json<OperationPage>, Refused> {
    list(State(edge), caller, Query(Which { disk: Some(number), ..Which::default() })).await
}

/// How long to wait.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Long poll: `30s` or `500ms`, at most 55 s. Answers when the operation has ended, at the latest after this time.
    wait: Option<String>,
}

/// Shows one operation.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "operations", params(("id" = String, Path, description = "Its id"), Wait), responses(
    (status = 200, description = "As it is now", body = OperationView),
    (status = 404, description = "There is none with this id", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn show(
    State(edge): State<Edge>,
    caller: Caller,
    Path(id): Path<String>,
    Query(wait): Query<Wait>,
) -> Result<Json<OperationView>, Refused> {
    let view = edge.ledger.operation(&id).await?;
    caller.may(view.seller.as_deref().unwrap_or_default())?;
    let Some(wait) = wait.wait else { return Ok(Json(view)) };
    let wait = duration(&wait)?;
    let mut stopping = edge.stopping.clone();
    tokio::select! {
        ended = edge.ledger.operation_when_ended(&id, wait) => Ok(Json(ended?)),
        // A broker that stops answers at once with what it knows.
        () = stopped(&mut stopping) => Ok(Json(view)),
    }
}

/// Withdraws an operation that was not handed to its disk's agent. With `abandon`, one that was handed over, and whose disk will
/// not come back, is no longer waited for: it ends as `unsettled`, since it may have been sent.
#[utoipa::path(post, path = "/v1/operations/{id}/cancel", tag = "operations", params(("id" = String, Path, description = "Its id")),
    request_body = OperationCancel, responses(
    (status = 200, description = "It is cancelled (abandoned: unsettled), now or before", body = OperationView),
    (status = 409, description = "It was handed over, or it has ended", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn cancel(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Path(id): Path<String>,
    Strict(body): Strict<OperationCancel>,
) -> Result<Json<OperationView>, Refused> {
    let view = by.ledger(&edge).cancel_operation(&id, &body, by.by()).await?;
    tracing::info!(operation = id, abandon = body.abandon, by = by.by(), "operation cancelled");
    Ok(Json(view))
}

/// Asks all disks of a seller, or all disks, or says what would be done with each (`dry_run`). Each disk takes part once for each
/// key.
#[utoipa::path(post, path = "/v1/operations:bulk", tag = "operations", request_body = BulkOperationRequest, responses(
    (status = 200, description = "Each disk and kind, and what is done with it; the operations are durable", body = BulkOperationView),
), security(("key" = ["admin"])))]
pub async fn bulk(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Strict(body): Strict<BulkOperationRequest>,
) -> Result<Json<BulkOperationView>, Refused> {
    let view = by.ledger(&edge).operate_bulk(body, by.by()).await?;
    if !view.dry_run {
        tracing::warn!(key = view.key, lines = view.lines.len(), by = by.by(), "bulk operation");
    }
    Ok(Json(view))
}

/// Which part of the calendar.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// Of this seller's disks.
    seller: Option<String>,
    /// Of this disk.
    disk: Option<String>,
    /// Only what stands so.
    state: Option<DueState>,
}

/// Says what is due when, by disk and kind, from what the disks have reported: period report, clear, lock date, uploads and
/// off-line limits.
#[utoipa::path(get, path = "/v1/calendar", tag = "operations", params(Part), responses(
    (status = 200, description = "The calendar, for the sellers that the key is for", body = Vec<DueView>),
), security(("key" = [])))]
pub async fn calendar(State(edge): State<Edge>, caller: Caller, Query(part): Query<Part>) -> Result<Json<Vec<DueView>>, Refused> {
    let seller = match &part.seller {
        Some(seller) => {
            caller.may(seller)?;
            Some(parsed("seller", seller)?)
        }
        None => None,
    };
    let lines = edge.ledger.calendar(seller).await?.into_iter();
    let wanted = |line: &DueView| {
        caller.may(line.seller.as_deref().unwrap_or_default()).is_ok()
            && part.disk.as_ref().is_none_or(|disk| *disk == line.disk)
            && part.state.is_none_or(|state| state == line.state)
    };
    Ok(Json(lines.filter(wanted).collect()))
}
