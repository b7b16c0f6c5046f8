//! The operator's side: tenants, callers, what waits for a person, history and callbacks of a request. Not a compatible path: it
//! speaks with true statuses and problem texts, and wants the operator's key.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::core::request::Request as Stored;
use crate::core::{act, callback};
use crate::ledger::Unavailable;
use crate::model::{Caller, Directory, Tenant};
use crate::portal::Portal;
use crate::store::StoreError;

/// Rows of a list at most.
const PAGE: u32 = 200;

/// SHA-256 of the operator's key, hexadecimal.
#[derive(Debug, Clone)]
pub struct OperatorKey(pub String);

impl OperatorKey {
    /// What is stored of a key: it has 256 random bits, so a plain digest is enough.
    pub fn of(key: &str) -> OperatorKey {
        OperatorKey(hex::encode(Sha256::digest(key.trim().as_bytes())))
    }
}

struct Failed(StatusCode, String);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "detail": self.1 }))).into_response()
    }
}

impl From<Unavailable> for Failed {
    fn from(_: Unavailable) -> Failed {
        Failed(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer; the same again is safe".to_owned())
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        tracing::error!(%error, "the store cannot be read");
        Unavailable.into()
    }
}

type Answer = Result<Json<Value>, Failed>;

/// The routes under `/admin/v1`.
pub fn router(portal: Arc<Portal>, key: OperatorKey) -> Router {
    Router::new()
        .route("/admin/v1/tenants", get(tenants))
        .route("/admin/v1/tenants/{id}", put(put_tenant))
        .route("/admin/v1/callers", get(callers))
        .route("/admin/v1/callers/{appid}", put(put_caller))
        .route("/admin/v1/waiting", get(waiting))
        .route("/admin/v1/requests/{tenant}/{serial}", get(show))
        .route("/admin/v1/requests/{tenant}/{serial}/release", post(release))
        .route("/admin/v1/requests/{tenant}/{serial}/reissue", post(reissue))
        .route("/admin/v1/requests/{tenant}/{serial}/replay", post(replay))
        .layer(middleware::from_fn(authorized))
        .layer(Extension(key))
        .with_state(portal)
}

async fn authorized(Extension(key): Extension<OperatorKey>, request: Request<Body>, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).map(OperatorKey::of);
    let good = given.is_some_and(|given| given.0.as_bytes().ct_eq(key.0.as_bytes()).into());
    if good {
        return next.run(request).await;
    }
    Failed(StatusCode::UNAUTHORIZED, "send Authorization: Bearer and the operator's key".to_owned()).into_response()
}

async fn tenants(State(portal): State<Arc<Portal>>) -> Answer {
    let directory = portal.directory();
    Ok(Json(json!(directory.tenants().map(AsRef::as_ref).collect::<Vec<&Tenant>>())))
}

async fn callers(State(portal): State<Arc<Portal>>) -> Answer {
    let directory = portal.directory();
    Ok(Json(json!(directory.callers().map(|known| &known.caller).collect::<Vec<&Caller>>())))
}

async fn put_tenant(State(portal): State<Arc<Portal>>, Path(id): Path<String>, Json(mut tenant): Json<Tenant>) -> Answer {
    tenant.id.clone_from(&id);
    let shown = json!(tenant);
    change(&portal, "tenant", id, shown.clone(), move |directory| directory.with_tenant(tenant.clone())).await?;
    Ok(Json(shown))
}

async fn put_caller(State(portal): State<Arc<Portal>>, Path(appid): Path<String>, Json(mut caller): Json<Caller>) -> Answer {
    caller.appid.clone_from(&appid);
    let shown = json!(caller);
    change(&portal, "caller", appid, shown.clone(), move |directory| directory.with_caller(caller.clone())).await?;
    Ok(Json(shown))
}

/// Checks, stores, and only then shows: inside the writer, so that two changes never overwrite each other.
async fn change(
    portal: &Arc<Portal>,
    kind: &'static str,
    name: String,
    body: Value,
    with: impl Fn(&Directory) -> Result<Directory, String> + Send + 'static,
) -> Result<(), Failed> {
    let inside = portal.clone();
    let done = portal.ledger.run(move |session| {
        Box::pin(async move {
            let directory = match with(&inside.directory()) {
                Ok(directory) => directory,
                Err(wrong) => return Ok(Err(wrong)),
            };
            session.db.put_setting(kind, &name, &body.to_string()).await?;
            inside.set_directory(directory);
            Ok(Ok(()))
        })
    });
    done.await?.map_err(|wrong| Failed(StatusCode::UNPROCESSABLE_ENTITY, wrong))
}

async fn waiting(State(portal): State<Arc<Portal>>) -> Answer {
    let waiting = portal.readers.get().await?.waiting(PAGE).await?;
    Ok(Json(json!(waiting.iter().map(brief).collect::<Vec<_>>())))
}

fn brief(request: &Stored) -> Value {
    json!({
        "tenant": request.tenant, "serial": request.serial, "appid": request.appid, "seller": request.seller,
        "gross": request.gross.to_string(), "status": request.status(), "substate": request.substate(),
        "held_for": request.held_for, "waiting": request.waiting, "failure": request.failure, "issued": request.issued,
        "revision": request.revision, "attempt": request.attempt, "voiding": request.voiding, "parts": request.parts,
        "created_at": request.created_at, "changed_at": request.changed_at,
    })
}

async fn show(State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Answer {
    let mut db = portal.readers.get().await?;
    let request = db.request(&tenant, &serial).await?.ok_or_else(|| unknown(&serial))?;
    let (notes, callbacks) = (db.notes(&tenant, &serial).await?, db.callbacks_of(&tenant, &serial).await?);
    let mut shown = brief(&request);
    shown["share_url"] = json!(portal.share_url(&request));
    Ok(Json(json!({ "request": shown, "notes": notes, "callbacks": callbacks })))
}

async fn release(State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Answer {
    let wanted = serial.clone();
    let released = portal
        .ledger
        .run(move |session| Box::pin(async move { act::release(session, &tenant, &wanted, "operator").await }))
        .await?;
    released.map(|request| Json(brief(&request))).ok_or_else(|| unknown(&serial))
}

async fn reissue(State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Answer {
    let wanted = serial.clone();
    let done = portal
        .ledger
        .run(move |session| {
            Box::pin(async move {
                let Some(request) = session.db.request(&tenant, &wanted).await? else { return Ok(None) };
                let (seller, gross) = (request.seller.clone(), request.gross);
                act::reissue(session, &tenant, "operator", &wanted, &seller, gross).await.map(Some)
            })
        })
        .await?;
    match done {
        None | Some(act::Reissued::NotFound) => Err(unknown(&serial)),
        Some(act::Reissued::AlreadyIssued(request) | act::Reissued::InProgress(request) | act::Reissued::Requeued(request)) => {
            Ok(Json(brief(&request)))
        }
        Some(act::Reissued::NotAllowed(_, text)) => Err(Failed(StatusCode::CONFLICT, text)),
    }
}

async fn replay(State(portal): State<Arc<Portal>>, Path((tenant, serial)): Path<(String, String)>) -> Answer {
    let count =
        portal.ledger.run(move |session| Box::pin(async move { callback::replay(session, &tenant, &serial).await })).await?;
    Ok(Json(json!({ "callbacks": count })))
}

fn unknown(serial: &str) -> Failed {
    Failed(StatusCode::NOT_FOUND, format!("there is no request {serial:?}"))
}
