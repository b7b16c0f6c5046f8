//! The routes of a tenant's users, under `/tenant/v1`: applications and keys of their own tenant, and nothing else.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::{Algorithm, Application, Decision, OrgWish, PUBLIC_KEYS_MAX, User, WAITING_MAX, Wish};
use crate::admin::{Answer, Failed, OperatorKey, bearer, change, claim, written};
use crate::core::act::random_token;
use crate::model::Caller;
use crate::portal::Portal;
use crate::serve::vouch;
use crate::sign::PublicKey;

/// The routes.
pub fn router(portal: Arc<Portal>) -> Router {
    Router::new()
        .route("/tenant/v1/applications", get(list).post(apply))
        .route("/tenant/v1/callers/{appid}/public-keys", put(replace_keys))
        .route("/tenant/v1/systems", get(systems))
        .route("/tenant/v1/systems/{syscode}/keys", post(rotate))
        .route("/tenant/v1/systems/{syscode}/wishes", put(wishes))
        .layer(middleware::from_fn_with_state(portal.clone(), authorized))
        .with_state(portal)
}

async fn authorized(State(portal): State<Arc<Portal>>, mut request: Request<Body>, next: Next) -> Response {
    let refused = |text: &str| Failed(StatusCode::UNAUTHORIZED, text.to_owned()).into_response();
    let Some(key) = bearer(&request) else { return refused("send Authorization: Bearer and a user's key") };
    if super::is_of_other("tpu", &key, portal.config.environment) {
        return refused("this key is of the other environment");
    }
    // The key of a person ends with his account: whoever was shut out signs for nobody any more.
    let user = portal.directory().user_by_key(&OperatorKey::of(&key).0).filter(|user| !user.disabled).cloned();
    let Some(user) = user else { return refused("send Authorization: Bearer and a user's key") };
    if !user.may_set_up() {
        let text = "this key is a person's whose roles do not reach settings; an administrator of the tenant does this";
        return Failed(StatusCode::FORBIDDEN, text.to_owned()).into_response();
    }
    vouch(request.extensions());
    request.extensions_mut().insert(user);
    next.run(request).await
}

async fn list(State(portal): State<Arc<Portal>>, Extension(user): Extension<Arc<User>>) -> Answer {
    let directory = portal.directory();
    let own = directory.applications().filter(|application| application.tenant == user.tenant);
    Ok(Json(json!(own.map(AsRef::as_ref).collect::<Vec<&Application>>())))
}

async fn apply(State(portal): State<Arc<Portal>>, Extension(user): Extension<Arc<User>>, Json(wish): Json<Wish>) -> Answer {
    let keys = wish.public_keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>, _>>();
    let wrong = wish.check().and_then(|()| keys.map(drop));
    wrong.map_err(|wrong| Failed(StatusCode::UNPROCESSABLE_ENTITY, wrong))?;
    let id = format!("ap_{}", random_token());
    let application = Application {
        id: id.clone(),
        tenant: user.tenant.clone(),
        user: user.id.clone(),
        at: (portal.clock)(),
        wish,
        decision: Decision::Waiting,
    };
    let shown = json!(application);
    change(&portal, move |directory, _| {
        let own = directory.applications().filter(|other| other.tenant == application.tenant);
        if own.filter(|other| other.decision == Decision::Waiting).count() >= WAITING_MAX {
            return Err(format!("{WAITING_MAX} applications wait already; the operator decides first"));
        }
        Ok((directory.with_application(application.clone())?, vec![written("application", &id, &application)]))
    })
    .await?;
    Ok(Json(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicKeys {
    public_keys: Vec<String>,
}

/// Replaces the public keys of a caller: first both, then the new one alone.
async fn replace_keys(
    State(portal): State<Arc<Portal>>,
    Extension(user): Extension<Arc<User>>,
    Path(appid): Path<String>,
    Json(new): Json<PublicKeys>,
) -> Answer {
    let unprocessable = |wrong: String| Failed(StatusCode::UNPROCESSABLE_ENTITY, wrong);
    let unknown = || Failed(StatusCode::NOT_FOUND, format!("this tenant has no appid {appid:?}"));
    let known = portal.directory().caller(&appid).filter(|known| known.caller.tenant == user.tenant).cloned();
    let known = known.ok_or_else(unknown)?;
    if new.public_keys.is_empty() || new.public_keys.len() > PUBLIC_KEYS_MAX {
        return Err(unprocessable(format!("a caller has 1 to {PUBLIC_KEYS_MAX} public keys")));
    }
    let keys = new.public_keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(unprocessable)?;
    let replaced = |caller: &Caller| Caller { public_keys: new.public_keys.clone(), ..caller.clone() };
    portal.directory().with_caller(replaced(&known.caller)).map_err(unprocessable)?;
    claim(&portal, &user.tenant, &appid, "", &keys).await?;
    let count = keys.len();
    let (public_keys, name) = (new.public_keys.clone(), appid.clone());
    change(&portal, move |directory, _| {
        // As it is now: the operator may have disabled it meanwhile.
        let known = directory.caller(&name).ok_or("there is no such caller")?;
        let caller = Caller { public_keys: public_keys.clone(), ..known.caller.clone() };
        Ok((directory.with_caller(caller.clone())?, vec![written("caller", &name, &caller)]))
    })
    .await?;
    Ok(Json(json!({ "appid": appid, "public_keys": count })))
}

async fn systems(State(portal): State<Arc<Portal>>, Extension(user): Extension<Arc<User>>) -> Answer {
    let directory = portal.directory();
    let own = directory.systems().filter(|system| system.tenant == user.tenant);
    Ok(Json(json!(own.map(|system| system.shown()).collect::<Vec<_>>())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wishes {
    wishes: Vec<OrgWish>,
}

/// Replaces what is wished for each organisation of a syscode: which of mail, short message and callback. One that is not named
/// offers what the platform can.
async fn wishes(
    State(portal): State<Arc<Portal>>,
    Extension(user): Extension<Arc<User>>,
    Path(syscode): Path<String>,
    Json(new): Json<Wishes>,
) -> Answer {
    let unknown = || Failed(StatusCode::NOT_FOUND, format!("this tenant has no syscode {syscode:?}"));
    portal.directory().system(&syscode).filter(|system| system.tenant == user.tenant).ok_or_else(unknown)?;
    let name = syscode.clone();
    change(&portal, move |directory, _| {
        let system = directory.system(&name).ok_or("there is no such syscode")?;
        let tenant = directory.tenant(&system.tenant).ok_or("there is no such tenant")?;
        let is_point = |orgcode: &str| tenant.sellers.iter().any(|seller| seller.points.iter().any(|at| at.orgcode == orgcode));
        let system = system.wishing(new.wishes.clone(), is_point)?;
        let row = written("system", &name, &system);
        Ok((directory.with_system(system)?, vec![row]))
    })
    .await?;
    Ok(Json(portal.directory().system(&syscode).ok_or_else(unknown)?.shown()))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    algorithm: Algorithm,
    /// Older keys are read for so long, seconds.
    overlap_s: i64,
}

impl Default for Rotation {
    fn default() -> Self {
        Rotation { algorithm: Algorithm::default(), overlap_s: super::OVERLAP_MAX_S }
    }
}

/// Makes an order key; its secret is in this answer and nowhere else.
async fn rotate(
    State(portal): State<Arc<Portal>>,
    Extension(user): Extension<Arc<User>>,
    Path(syscode): Path<String>,
    Json(wanted): Json<Rotation>,
) -> Answer {
    let unknown = || Failed(StatusCode::NOT_FOUND, format!("this tenant has no syscode {syscode:?}"));
    portal.directory().system(&syscode).filter(|system| system.tenant == user.tenant).ok_or_else(unknown)?;
    let name = syscode.clone();
    let made = Arc::new(std::sync::Mutex::new(None));
    let inside = made.clone();
    change(&portal, move |directory, now| {
        let mut system = directory.system(&name).ok_or("there is no such syscode")?.as_ref().clone();
        let key = system.rotate(wanted.algorithm, wanted.overlap_s, now / 1000)?;
        *inside.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(key);
        let row = written("system", &name, &system);
        Ok((directory.with_system(system)?, vec![row]))
    })
    .await?;
    let key = made.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let key = key.ok_or_else(|| Failed(StatusCode::INTERNAL_SERVER_ERROR, "no key was made".to_owned()))?;
    Ok(Json(json!({ "syscode": syscode, "kid": key.kid, "algorithm": key.algorithm, "secret": key.secret })))
}
