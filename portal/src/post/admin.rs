//! The operator's calls about messages and links; behind the operator's key like all of `/admin`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::core::links::{self, Kind};
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
        .merge(of_kind("links", Kind::Invoice))
        .merge(of_kind("codes", Kind::Code))
}

/// The calls about links of one kind.
fn of_kind(name: &str, kind: Kind) -> Router<Arc<Portal>> {
    let path = format!("/admin/v1/requests/{{tenant}}/{{serial}}/{name}");
    Router::new()
        .route(
            &path,
            get(move |portal, request| list(kind, portal, request)).post(move |portal, request| renew(kind, portal, request)),
        )
        .route(&format!("{path}/revoke"), post(move |portal, request| revoke(kind, portal, request)))
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

async fn list(kind: Kind, State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Response {
    let read = async { portal.readers.get().await?.links_of(kind, &tenant, &serial).await };
    match read.await {
        Ok(links) => Json(json!({ "links": links })).into_response(),
        Err(_) => away(),
    }
}

async fn renew(kind: Kind, State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Response {
    let known = async { portal.readers.get().await?.request(&tenant, &serial).await };
    match known.await {
        Ok(Some(request)) if kind == Kind::Invoice && request.issued.is_some() => {}
        Ok(Some(request)) if kind == Kind::Code && request.qr.is_some() => {}
        Ok(_) => return failed(StatusCode::NOT_FOUND, "there is no such invoice or code"),
        Err::<_, StoreError>(_) => return away(),
    }
    let key = portal.links.clone();
    let valid_ms = match kind {
        Kind::Invoice => portal.config.links.valid_ms(),
        Kind::Code => portal.config.links.code_valid_ms(),
    };
    let done = portal
        .ledger
        .run(move |session| {
            Box::pin(async move { links::renew(session, &key, kind, &tenant, &serial, valid_ms, "operator").await })
        })
        .await;
    match done {
        Ok(link) => {
            let url = portal.url(&link);
            (StatusCode::CREATED, Json(json!({ "url": url, "expires_at": link.expires_at }))).into_response()
        }
        Err(_) => away(),
    }
}

async fn revoke(kind: Kind, State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Response {
    let done = portal
        .ledger
        .run(move |session| Box::pin(async move { links::revoke(session, kind, &tenant, &serial, "operator").await }))
        .await;
    match done {
        Ok(revoked) => Json(json!({ "revoked": revoked })).into_response(),
        Err(_) => away(),
    }
}
