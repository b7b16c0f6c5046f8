//! Webhooks: made, changed, tested and replayed by administrators and platforms, each for the sellers that its key is for.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use taxdisk_protocol::error::{Code, Problem};
use taxdisk_protocol::event::{
    DeliveryPage, DeliveryState, NewWebhook, ReplayAnswer, ReplayRequest, RotateRequest, TestAnswer, WebhookRequest, WebhookView,
};

use super::auth::Caller;
use super::body::{self, Strict};
use super::refused::Refused;
use super::{Edge, Path, Query, json};
use crate::hooks::PAGE_DELIVERIES;

/// Makes an endpoint. A symmetric secret is shown in this answer only.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookRequest, responses(
    (status = 201, description = "Made; it is told of everything from now on", body = NewWebhook),
    (status = 422, description = "The address is not called", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn create(
    State(edge): State<Edge>,
    caller: Caller,
    Strict(request): Strict<WebhookRequest>,
) -> Result<(StatusCode, Json<NewWebhook>), Refused> {
    let made = edge.hooks.create(request, caller.known()).await?;
    tracing::info!(webhook = made.webhook.id, by = caller.by(), "webhook made");
    Ok((StatusCode::CREATED, Json(made)))
}

/// Lists the endpoints that the key may see.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", responses(
    (status = 200, description = "Endpoints", body = Vec<WebhookView>),
), security(("key" = [])))]
pub async fn list(State(edge): State<Edge>, caller: Caller) -> Result<Json<Vec<WebhookView>>, Refused> {
    Ok(Json(edge.hooks.list(caller.known()).await?))
}

/// Shows an endpoint.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "Endpoint")), responses(
    (status = 200, description = "The endpoint", body = WebhookView),
    (status = 404, description = "There is no such endpoint", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn show(State(edge): State<Edge>, caller: Caller, Path(id): Path<String>) -> Result<Json<WebhookView>, Refused> {
    Ok(Json(edge.hooks.show(&id, caller.known()).await?))
}

/// Changes an endpoint. Enabled again, it begins with the events that were kept.
#[utoipa::path(put, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "Endpoint")),
    request_body = WebhookRequest, responses(
    (status = 200, description = "As it is now", body = WebhookView),
    (status = 404, description = "There is no such endpoint", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn put(
    State(edge): State<Edge>,
    caller: Caller,
    Path(id): Path<String>,
    Strict(request): Strict<WebhookRequest>,
) -> Result<Json<WebhookView>, Refused> {
    let view = edge.hooks.put(&id, request, caller.known()).await?;
    tracing::info!(webhook = id, enabled = view.enabled, by = caller.by(), "webhook written");
    Ok(Json(view))
}

/// Deletes an endpoint with its delivery log.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "Endpoint")), responses(
    (status = 204, description = "Deleted"),
    (status = 404, description = "There is no such endpoint", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn remove(State(edge): State<Edge>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    edge.hooks.delete(&id, caller.known()).await?;
    tracing::info!(webhook = id, by = caller.by(), "webhook deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// A body that may be left out.
async fn optional<T: DeserializeOwned + Default>(request: Request<Body>) -> Result<T, Refused> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    body::expect(&parts.headers, &["application/json"])?;
    json::parse(&bytes)
}

/// Gives an endpoint a new secret; the old one signs too for a time, so that receivers can change over.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate", tag = "webhooks", params(("id" = String, Path, description = "Endpoint")),
    request_body = RotateRequest, responses(
    (status = 200, description = "The endpoint and its new secret", body = NewWebhook),
), security(("key" = [])))]
pub async fn rotate(
    State(edge): State<Edge>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Json<NewWebhook>, Refused> {
    let made = edge.hooks.rotate(&id, optional(request).await?, caller.known()).await?;
    tracing::info!(webhook = id, by = caller.by(), "webhook's secret rotated");
    Ok(Json(made))
}

/// Sends a message of type `webhook.test` now and says what came of it.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = String, Path, description = "Endpoint")), responses(
    (status = 200, description = "What came of it", body = TestAnswer),
), security(("key" = [])))]
pub async fn test(State(edge): State<Edge>, caller: Caller, Path(id): Path<String>) -> Result<Json<TestAnswer>, Refused> {
    Ok(Json(edge.hooks.test(&id, caller.known()).await?))
}

/// Sends again what is in the delivery log, with the ids that it had.
#[utoipa::path(post, path = "/v1/webhooks/{id}/replay", tag = "webhooks", params(("id" = String, Path, description = "Endpoint")),
    request_body = ReplayRequest, responses(
    (status = 200, description = "How many", body = ReplayAnswer),
    (status = 404, description = "No such endpoint, or no such event in its log", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn replay(
    State(edge): State<Edge>,
    caller: Caller,
    Path(id): Path<String>,
    Strict(request): Strict<ReplayRequest>,
) -> Result<Json<ReplayAnswer>, Refused> {
    let answer = edge.hooks.replay(&id, request, caller.known()).await?;
    tracing::info!(webhook = id, queued = answer.queued, by = caller.by(), "deliveries replayed");
    Ok(Json(answer))
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// `waiting`, `delivered` or `failed`.
    state: Option<DeliveryState>,
    /// Deliveries of a page, 1 to 200; 50 if left out.
    limit: Option<u32>,
    /// From the page before.
    cursor: Option<String>,
}

/// The delivery log of an endpoint, the newest event first.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks", params(
    ("id" = String, Path, description = "Endpoint"), Filter,
), responses(
    (status = 200, description = "A page", body = DeliveryPage),
    (status = 404, description = "There is no such endpoint", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn deliveries(
    State(edge): State<Edge>,
    caller: Caller,
    Path(id): Path<String>,
    Query(filter): Query<Filter>,
) -> Result<Json<DeliveryPage>, Refused> {
    let limit = filter.limit.unwrap_or(50);
    if !(1..=PAGE_DELIVERIES).contains(&limit) {
        return Err(Refused::new(Code::InvalidParameter, format!("limit: {limit} is not between 1 and {PAGE_DELIVERIES}")));
    }
    let page = edge.hooks.deliveries(&id, filter.state, filter.cursor.as_deref(), limit, caller.known()).await?;
    Ok(Json(page))
}
