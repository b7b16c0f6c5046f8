//! Updates of agents: what is offered to whom, and the programs themselves.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use taxdisk_protocol::error::{Code, Problem};
use taxdisk_protocol::update::{UpdatePolicy, UpdatesView};
use tokio::io::AsyncReadExt;

use super::auth::{Admin, Caller};
use super::body::Strict;
use super::refused::Refused;
use super::{Edge, Path};

/// Read from the drive at a time, bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Shows what agents are offered, and the programs that this broker has.
#[utoipa::path(get, path = "/v1/updates", tag = "agents", responses((status = 200, description = "Updates", body = UpdatesView)), security(("key" = ["all_sellers"])))]
pub async fn show(State(edge): State<Edge>, caller: Caller) -> Result<Json<UpdatesView>, Refused> {
    caller.unlimited()?;
    Ok(Json(edge.hub.updates.view().await?))
}

/// Says which updates agents are offered from now on. Each takes one when it is signed, newer, and nothing is open there.
#[utoipa::path(put, path = "/v1/updates", tag = "agents", request_body = UpdatePolicy, responses(
    (status = 200, description = "Updates as they are now", body = UpdatesView),
    (status = 400, description = "No range of versions", body = Problem, content_type = "application/problem+json"),
), security(("key" = ["admin"])))]
pub async fn put(
    State(edge): State<Edge>,
    Admin(by): Admin,
    Strict(policy): Strict<UpdatePolicy>,
) -> Result<Json<UpdatesView>, Refused> {
    set(&edge, &by, Some(policy)).await?;
    Ok(Json(edge.hub.updates.view().await?))
}

/// Offers nothing any more. What an agent has taken stays.
#[utoipa::path(delete, path = "/v1/updates", tag = "agents", responses((status = 204, description = "Nothing is offered")), security(("key" = ["admin"])))]
pub async fn remove(State(edge): State<Edge>, Admin(by): Admin) -> Result<StatusCode, Refused> {
    set(&edge, &by, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set(edge: &Edge, by: &Caller, policy: Option<UpdatePolicy>) -> Result<(), Refused> {
    tracing::info!(?policy, by = by.by(), "updates of agents changed");
    by.ledger(edge).set_update_policy(policy, by.by()).await?;
    edge.hub.updates.policy_changed();
    Ok(())
}

/// A program. No key: the word in the path is told to linked agents alone, and what they fetch is signed.
pub(crate) async fn fetch(State(edge): State<Edge>, Path((word, file)): Path<(String, String)>) -> Result<Response, Refused> {
    let gone = || Refused::new(Code::NotFound, "there is no such program; the agent is told the place of the next one");
    let (path, size_bytes) = edge.hub.updates.program(&word, &file).await.ok_or_else(gone)?;
    let full = || Refused::new(Code::NotReady, "too many agents fetch a program now; try again in a moment");
    let place = edge.hub.updates.place().ok_or_else(full)?;
    let file = tokio::fs::File::open(path).await.map_err(|error| {
        tracing::error!(%error, file, "a program on offer cannot be read");
        gone()
    })?;
    metrics::counter!("taxdisk_update_downloads_total").increment(1);
    // Held until the body has gone out, or its reader is gone.
    let body = stream::try_unfold((file, place), |(mut file, place)| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((chunk, (file, place))))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size_bytes.to_string()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}
