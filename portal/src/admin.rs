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

use crate::application;
use crate::core::request::{Phase, Request as Stored};
use crate::core::{act, callback};
use crate::ledger::Unavailable;
use crate::model::{Caller, Directory, Tenant};
use crate::portal::Portal;
use crate::registry::{Claimed, Credential};
use crate::serve::vouch;
use crate::sign::PublicKey;
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

/// What a call is refused with.
pub(crate) struct Failed(pub(crate) StatusCode, pub(crate) String);

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

impl From<Claimed> for Failed {
    fn from(refused: Claimed) -> Failed {
        match &refused {
            Claimed::Environment(..) | Claimed::Tenant(_) => Failed(StatusCode::CONFLICT, refused.to_string()),
            Claimed::Unavailable(error) => {
                tracing::error!(%error, "the registry of credentials cannot be asked");
                Failed(StatusCode::SERVICE_UNAVAILABLE, refused.to_string())
            }
        }
    }
}

/// What a call answers.
pub(crate) type Answer = Result<Json<Value>, Failed>;

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
        .merge(crate::post::admin::routes())
        .merge(application::admin::routes())
        .merge(crate::buyers::routes())
        .layer(middleware::from_fn_with_state(portal.clone(), authorized))
        .layer(Extension(key))
        .with_state(portal.clone())
        .merge(application::tenant::router(portal))
}

/// The key of a request.
pub(crate) fn bearer(request: &Request<Body>) -> Option<String> {
    let given = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    given.strip_prefix("Bearer ").map(str::to_owned)
}

async fn authorized(
    State(portal): State<Arc<Portal>>,
    Extension(key): Extension<OperatorKey>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let refused = |text: &str| Failed(StatusCode::UNAUTHORIZED, text.to_owned()).into_response();
    let Some(given) = bearer(&request) else { return refused("send Authorization: Bearer and the operator's key") };
    if application::is_of_other("tpo", &given, portal.config.environment) {
        return refused("this key is of the other environment");
    }
    if OperatorKey::of(&given).0.as_bytes().ct_eq(key.0.as_bytes()).into() {
        vouch(request.extensions());
        return next.run(request).await;
    }
    refused("send Authorization: Bearer and the operator's key")
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
    change(&portal, move |directory, _| Ok((directory.with_tenant(tenant.clone())?, vec![written("tenant", &id, &tenant)])))
        .await?;
    Ok(Json(shown))
}

async fn put_caller(State(portal): State<Arc<Portal>>, Path(appid): Path<String>, Json(mut caller): Json<Caller>) -> Answer {
    caller.appid.clone_from(&appid);
    let shown = json!(caller);
    let unprocessable = |wrong| Failed(StatusCode::UNPROCESSABLE_ENTITY, wrong);
    // What this store refuses anyway burns no name.
    portal.directory().with_caller(caller.clone()).map_err(unprocessable)?;
    let keys = caller.public_keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>, _>>();
    claim(&portal, &caller.tenant, &appid, "", &keys.map_err(unprocessable)?).await?;
    change(&portal, move |directory, _| Ok((directory.with_caller(caller.clone())?, vec![written("caller", &appid, &caller)])))
        .await?;
    Ok(Json(shown))
}

/// Claims a caller's names and keys for this environment and his tenant, before they are stored. Without a registry this store
/// alone decides, and the start said so.
pub(crate) async fn claim(portal: &Portal, tenant: &str, appid: &str, syscode: &str, keys: &[PublicKey]) -> Result<(), Claimed> {
    let Some(registry) = &portal.registry else { return Ok(()) };
    let names = [Credential::Appid(appid.to_owned()), Credential::Syscode(syscode.to_owned())];
    let mut credentials: Vec<Credential> = keys.iter().map(Credential::key).collect();
    credentials.extend(names.into_iter().filter(|one| *one != Credential::Syscode(String::new())));
    registry.claim(tenant, &credentials).await
}

/// A setting to be written: kind, name, JSON.
pub(crate) type Row = (&'static str, String, Result<String, serde_json::Error>);

/// See [`Row`].
pub(crate) fn written<T: serde::Serialize>(kind: &'static str, name: &str, value: &T) -> Row {
    (kind, name.to_owned(), serde_json::to_string(value))
}

/// Checks, stores, and only then shows: inside the writer, so that two changes never overwrite each other. `with` gets everybody
/// who is known and the time (milliseconds), and gives everybody who is known then and what is to be written.
pub(crate) async fn change(
    portal: &Arc<Portal>,
    with: impl Fn(&Directory, i64) -> Result<(Directory, Vec<Row>), String> + Send + 'static,
) -> Result<(), Failed> {
    let inside = portal.clone();
    let done = portal.ledger.run(move |session| {
        Box::pin(async move {
            let (directory, rows) = match with(&inside.directory(), session.now) {
                Ok(changed) => changed,
                Err(wrong) => return Ok(Err(wrong)),
            };
            for (kind, name, body) in rows {
                let body = body.map_err(|error| StoreError::Damaged(format!("{kind}: {error}")))?;
                session.db.put_setting(kind, &name, &body).await?;
            }
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
    // A link takes a reader of its own: whoever holds one and waits for another can wait for ever.
    drop(db);
    if request.phase == Phase::Issued {
        // `null`: it was revoked.
        shown["share_url"] = json!(portal.link(&request).await?);
    }
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
