//! The operator's routes: first users of a tenant, and what was applied for.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::{Application, Decision, System, TEXT_MAX, User, minted};
use crate::admin::{Answer, Failed, OperatorKey, change, claim, written};
use crate::console::accounts::PortalAccounts;
use crate::console::roles::Role;
use crate::core::act::random_token;
use crate::ledger::Unavailable;
use crate::model::{Caller, Switches};
use crate::portal::Portal;
use crate::sign::PublicKey;

/// The routes; whoever adds them checks the operator's key.
pub fn routes() -> Router<Arc<Portal>> {
    Router::new()
        .route("/admin/v1/tenants/{id}/users", post(add_user))
        .route("/admin/v1/tenants/{id}/users/{login}/password-link", post(password_link))
        .route("/admin/v1/tenants/{id}/users/{login}/end-factor", post(end_factor))
        .route("/admin/v1/applications", get(applications))
        .route("/admin/v1/applications/{id}/approve", post(approve))
        .route("/admin/v1/applications/{id}/refuse", post(refuse))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    /// Signs in to the console by this name.
    #[serde(default)]
    login: String,
    /// What he may do there; needed with a login.
    #[serde(default)]
    roles: Vec<Role>,
}

/// Makes a user; his key is in the answer and nowhere else, and so is the link by which he sets his first password.
async fn add_user(State(portal): State<Arc<Portal>>, Path(tenant): Path<String>, Json(new): Json<NewUser>) -> Answer {
    if new.name.trim().is_empty() || new.name.chars().count() > TEXT_MAX {
        return Err(Failed(StatusCode::UNPROCESSABLE_ENTITY, format!("a name has 1 to {TEXT_MAX} characters")));
    }
    let key = minted("tpu", portal.config.environment);
    if new.login.is_empty() != new.roles.is_empty() {
        return Err(Failed(StatusCode::UNPROCESSABLE_ENTITY, "a login needs roles, and roles a login".to_owned()));
    }
    let user = User {
        id: format!("us_{}", random_token()),
        tenant,
        name: new.name,
        key_hash: OperatorKey::of(&key).0,
        login: new.login,
        roles: new.roles,
        disabled: false,
    };
    let account = user.account();
    let mut shown = json!({ "id": user.id, "tenant": user.tenant, "name": user.name, "key": key });
    change(&portal, move |directory, _| {
        let changed = directory.with_user(user.clone())?;
        Ok((changed, vec![written("user", &user.id, &user)]))
    })
    .await?;
    // If we stop here, the user has no password and nobody can sign in as him: another link is asked for.
    if let Some(account) = account {
        shown["password_url"] = json!(invited(&portal, &account).await?);
    }
    Ok(Json(shown))
}

/// A link by which somebody sets his password, once; earlier ones end.
async fn invited(portal: &Arc<Portal>, account: &str) -> Result<String, Failed> {
    let token = PortalAccounts(portal.clone()).invite(account).await.map_err(|_| Failed::from(Unavailable))?;
    Ok(format!("{}/console/password/{token}", portal.public_url))
}

/// A new link for a user who lost his password.
async fn password_link(State(portal): State<Arc<Portal>>, Path((tenant, login)): Path<(String, String)>) -> Answer {
    let unknown = || Failed(StatusCode::NOT_FOUND, format!("tenant {tenant:?} has no login {login:?}"));
    let account = portal.directory().user_by_login(&tenant, &login).and_then(|user| user.account()).ok_or_else(unknown)?;
    Ok(Json(json!({ "password_url": invited(&portal, &account).await? })))
}

/// Takes the second factor of a user away, who lost his telephone and his recovery codes; it stands in the tenant's history.
async fn end_factor(State(portal): State<Arc<Portal>>, Path((tenant, login)): Path<(String, String)>) -> Answer {
    let unknown = || Failed(StatusCode::NOT_FOUND, format!("tenant {tenant:?} has no login {login:?}"));
    let account = portal.directory().user_by_login(&tenant, &login).and_then(|user| user.account()).ok_or_else(unknown)?;
    let ended = PortalAccounts(portal.clone()).take_factor_away(&account, "operator").await;
    ended.map_err(|_| Failed::from(Unavailable))?;
    Ok(Json(json!({ "login": login, "second_factor": false })))
}

async fn applications(State(portal): State<Arc<Portal>>) -> Answer {
    let directory = portal.directory();
    Ok(Json(json!(directory.applications().map(AsRef::as_ref).collect::<Vec<&Application>>())))
}

/// Gives the appid and the syscode. The same again gives the same.
async fn approve(State(portal): State<Arc<Portal>>, Path(id): Path<String>) -> Answer {
    let application = found(&portal, &id)?;
    let wish = &application.wish;
    let keys = wish.public_keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|wrong| Failed(StatusCode::UNPROCESSABLE_ENTITY, wrong))?;
    // What this store refuses anyway burns no name.
    given(&portal.directory(), &application, 0).map_err(|wrong| Failed(StatusCode::CONFLICT, wrong))?;
    claim(&portal, &application.tenant, &wish.appid, &wish.syscode, &keys).await?;
    // If we stop here, the names are claimed for this tenant, and the same call again goes on.
    change(&portal, move |directory, now| {
        let application = directory.application(&id).ok_or("there is no such application")?;
        if matches!(application.decision, Decision::Approved { .. }) {
            return Ok((directory.clone(), Vec::new()));
        }
        let (changed, application) = given(directory, application, now)?;
        let mut rows = vec![written("application", &id, &application)];
        if let Some(known) = changed.caller(&application.wish.appid) {
            rows.push(written("caller", &known.caller.appid, &known.caller));
        }
        if let Some(system) = changed.system(&application.wish.syscode) {
            rows.push(written("system", &system.syscode, system.as_ref()));
        }
        Ok((changed, rows))
    })
    .await?;
    Ok(Json(json!(found(&portal, &application.id)?.as_ref())))
}

/// The directory with what was applied for.
fn given(
    directory: &crate::model::Directory,
    application: &Application,
    now: i64,
) -> Result<(crate::model::Directory, Application), String> {
    if let Decision::Approved { .. } = application.decision {
        return Ok((directory.clone(), application.clone()));
    }
    if let Decision::Refused { .. } = application.decision {
        return Err("it was refused; the user applies again".to_owned());
    }
    let wish = &application.wish;
    if directory.caller(&wish.appid).is_some() {
        return Err(format!("appid {} is given already", wish.appid));
    }
    if directory.system(&wish.syscode).is_some() {
        return Err(format!("syscode {} is given already", wish.syscode));
    }
    let caller = Caller {
        appid: wish.appid.clone(),
        tenant: application.tenant.clone(),
        public_keys: wish.public_keys.clone(),
        disabled: false,
        switches: Switches::default(),
    };
    let mut changed = directory.with_caller(caller)?;
    if !wish.syscode.is_empty() {
        changed = changed.with_system(System::new(&wish.syscode, &application.tenant, wish))?;
    }
    let application = Application { decision: Decision::Approved { at: now }, ..application.clone() };
    Ok((changed.with_application(application.clone())?, application))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

async fn refuse(State(portal): State<Arc<Portal>>, Path(id): Path<String>, Json(why): Json<Reason>) -> Answer {
    if why.reason.trim().is_empty() || why.reason.chars().count() > TEXT_MAX {
        return Err(Failed(StatusCode::UNPROCESSABLE_ENTITY, format!("a reason has 1 to {TEXT_MAX} characters")));
    }
    found(&portal, &id)?;
    let name = id.clone();
    change(&portal, move |directory, now| {
        let application = directory.application(&id).ok_or("there is no such application")?;
        if matches!(application.decision, Decision::Approved { .. }) {
            return Err("it was approved: what was given stays given; disable the caller instead".to_owned());
        }
        let decision = Decision::Refused { at: now, reason: why.reason.clone() };
        let refused = Application { decision, ..application.as_ref().clone() };
        Ok((directory.with_application(refused.clone())?, vec![written("application", &id, &refused)]))
    })
    .await?;
    Ok(Json(json!(found(&portal, &name)?.as_ref())))
}

fn found(portal: &Portal, id: &str) -> Result<Arc<Application>, Failed> {
    let unknown = || Failed(StatusCode::NOT_FOUND, format!("there is no application {id:?}"));
    portal.directory().application(id).cloned().ok_or_else(unknown)
}
