//! The operator's calls about messages and links; behind the operator's key like all of `/admin`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::core::links;
use crate::core::outbox::{self, Channel, Resent};
use crate::portal::Portal;
use crate::store::StoreError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resend {
    channel: Channel,
    address: String,
}

/// The routes under `/admin/v1/requests`.
pub fn routes() -> Router<Arc<Portal>> {
    Router::new()
        .route("/admin/v1/requests/{tenant}/{serial}/messages", get(messages).post(resend))
        .route("/admin/v1/requests/{tenant}/{serial}/links", get(list).post(renew))
        .route("/admin/v1/requests/{tenant}/{serial}/links/revoke", post(revoke))
}

fn failed(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({ "detail": detail }))).into_response()
}

fn away() -> Response {
    failed(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer; the same again is safe")
}

async fn messages(State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Response {
    let read = async { portal.readers.get().await?.messages_of(&tenant, &serial).await };
    match read.await {
        Ok(messages) => Json(json!({ "messages": messages })).into_response(),
        Err(_) => away(),
    }
}

async fn resend(
    State(portal): State<Arc<Portal>>,
    Path((tenant, serial)): Path<(String, String)>,
    Json(wanted): Json<Resend>,
) -> Response {
    let done = portal
        .ledger
        .run(move |session| {
            Box::pin(async move { outbox::resend(session, &tenant, &serial, wanted.channel, &wanted.address, "operator").await })
        })
        .await;
    match done {
        Ok(Resent::Queued(id)) => (StatusCode::ACCEPTED, Json(json!({ "id": id }))).into_response(),
        Ok(Resent::Waiting(id)) => (StatusCode::ACCEPTED, Json(json!({ "id": id, "repeated": true }))).into_response(),
        Ok(Resent::Unknown) => failed(StatusCode::NOT_FOUND, "there is no such request"),
        Ok(Resent::NotIssued(_)) => failed(StatusCode::CONFLICT, "no invoice exists; nothing was sent"),
        Ok(Resent::Address(why)) => failed(StatusCode::UNPROCESSABLE_ENTITY, why),
        Ok(Resent::TooMany(why)) => failed(StatusCode::TOO_MANY_REQUESTS, &why),
        Err(_) => away(),
    }
}

async fn list(State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Response {
    let read = async { portal.readers.get().await?.links_of(&tenant, &serial).await };
    match read.await {
        Ok(links) => Json(json!({ "links": links })).into_response(),
        Err(_) => away(),
    }
}

async fn renew(State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Response {
    let known = async { portal.readers.get().await?.request(&tenant, &serial).await };
    match known.await {
        Ok(Some(request)) if request.issued.is_some() => {}
        Ok(_) => return failed(StatusCode::NOT_FOUND, "there is no such invoice"),
        Err::<_, StoreError>(_) => return away(),
    }
    let (key, valid_ms) = (portal.links.clone(), portal.config.links.valid_ms());
    let (of, number) = (tenant.clone(), serial.clone());
    let done = portal
        .ledger
        .run(move |session| Box::pin(async move { links::renew(session, &key, &of, &number, valid_ms, "operator").await }))
        .await;
    match done {
        Ok(link) => {
            let token = portal.links.token(&tenant, &serial, link.generation);
            let url = format!("{}/i/{token}", portal.public_url);
            (StatusCode::CREATED, Json(json!({ "url": url, "expires_at": link.expires_at }))).into_response()
        }
        Err(_) => away(),
    }
}

async fn revoke(State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Response {
    let done = portal
        .ledger
        .run(move |session| Box::pin(async move { links::revoke(session, &tenant, &serial, "operator").await }))
        .await;
    match done {
        Ok(revoked) => Json(json!({ "revoked": revoked })).into_response(),
        Err(_) => away(),
    }
}
