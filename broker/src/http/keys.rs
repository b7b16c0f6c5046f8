//! API keys: made, listed and revoked by administrators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use taxdisk_protocol::api::{KeyRequest, KeyView, NewKey};
use taxdisk_protocol::error::Problem;

use super::auth::Admin;
use super::body::Strict;
use super::refused::Refused;
use super::{Edge, Path};
use crate::ledger;

/// Makes a key. It is shown in this answer only.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyRequest, responses(
    (status = 201, description = "The key", body = NewKey),
), security(("key" = ["admin"])))]
pub async fn create(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Strict(request): Strict<KeyRequest>,
) -> Result<(StatusCode, Json<NewKey>), Refused> {
    let role = request.role;
    let key = by.ledger(&edge).create_key(request, by.by()).await?;
    tracing::info!(made = key.id, ?role, by = by.by(), "API key made");
    Ok((StatusCode::CREATED, Json(key)))
}

/// Lists all keys, without their secrets.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", responses((status = 200, description = "All keys", body = Vec<KeyView>)), security(("key" = ["admin"])))]
pub async fn list(State(edge): State<Edge>, _: Admin) -> Json<Vec<KeyView>> {
    Json(edge.ledger.keys().into_iter().map(view).collect())
}

/// A key as the API shows it.
pub fn view(key: ledger::KeyView) -> KeyView {
    KeyView {
        id: key.caller.id,
        name: key.caller.name,
        role: key.caller.role,
        sellers: key.caller.sellers.iter().map(ToString::to_string).collect(),
        created_at: key.created_at.to_string(),
        expires_at: key.expires_at.map(|at| at.to_string()),
        revoked_at: key.revoked_at.map(|at| at.to_string()),
        actions: key.caller.actions,
        used_at: key.used_at.map(|at| at.to_string()),
    }
}

/// Revokes a key: from now on it opens nothing.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path, description = "Public half of the key")), responses(
    (status = 204, description = "Revoked"), (status = 404, description = "There is no such key", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn revoke(State(edge): State<Edge>, Admin(by): Admin, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    by.ledger(&edge).revoke_key(&id, by.by()).await?;
    tracing::info!(revoked = id, by = by.by(), "API key revoked");
    Ok(StatusCode::NO_CONTENT)
}
