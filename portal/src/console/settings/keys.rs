//! Appids with their public keys, syscodes with their order keys: the list, and rotation. A new key stands beside the old one,
//! and the old one ends, for a public key when it is taken away, for an order key after its overlap.
//!
//! A secret is in the answer that makes it and nowhere else. The form names the latest key that it saw, so that a second click
//! makes no second key: it is told that there is one.

use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::{failed, note};
use crate::admin::{Failed, change, claim, written};
use crate::application::{Algorithm, OVERLAP_MAX_S, OrderKey, PUBLIC_KEYS_MAX, System};
use crate::console::invoices::{encoded, time};
use crate::console::shell::Shell;
use crate::console::shell::either;
use crate::console::{Console, Posted, Shared, Visitor, Who, page, see_other, shell, words};
use crate::model::Caller;
use crate::sign::PublicKey;

/// Characters of a PEM text at most: an RSA key of 8192 bits has 1,500.
const PEM_MAX: usize = 4096;
/// A day, seconds.
const DAY_S: i64 = 24 * 3600;
/// For how many days an old order key can be read on. Receipts are claimed for up to a year.
const OVERLAP_DAYS: [i64; 5] = [0, 7, 30, 90, 400];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/settings/keys", get(show))
        .route("/console/settings/systems/{syscode}/rotate", post(rotate))
        .route("/console/settings/callers/{appid}/add-key", post(add))
        .route("/console/settings/callers/{appid}/end-key", post(end))
}

struct KeyRow {
    kid: u16,
    algorithm: &'static str,
    ends: String,
}

struct SystemRow {
    syscode: String,
    url: String,
    query_url: String,
    keys: Vec<KeyRow>,
    /// The latest key; 0: there is none.
    latest: u16,
}

struct CallerRow {
    appid: String,
    url: String,
    disabled: bool,
    fingerprints: Vec<String>,
    full: bool,
}

#[derive(Template)]
#[template(path = "console/settings/keys.html")]
struct Page {
    shell: Shell,
    systems: Vec<SystemRow>,
    callers: Vec<CallerRow>,
    overlaps: [i64; 5],
    /// A key that was made just now: syscode, key id, secret.
    made: Option<(String, u16, String)>,
}

fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Aes256Gcm => "aes-256-gcm",
        Algorithm::Sm4Gcm => "sm4-gcm",
    }
}

fn made(console: &Console, visitor: &Visitor, key: Option<(String, OrderKey)>) -> Response<Body> {
    let (directory, lang) = (console.portal.directory(), visitor.language);
    let now_s = (console.portal.clock)() / 1000;
    let t = |key: &str| words::text(lang, key).to_owned();
    let key_row = |key: &OrderKey| KeyRow {
        kid: key.kid,
        algorithm: algorithm(key.algorithm),
        ends: match key.read_until_s {
            None => t("key_in_use"),
            Some(until) if until < now_s => t("key_ended"),
            Some(until) => format!("{} {}", t("key_until"), time(until.saturating_mul(1000))),
        },
    };
    let system = |system: &Arc<System>| SystemRow {
        url: format!("/console/settings/systems/{}", encoded(&system.syscode)),
        syscode: system.syscode.clone(),
        query_url: system.query_url.clone(),
        latest: system.keys.last().map_or(0, |key| key.kid),
        keys: system.keys.iter().rev().map(key_row).collect(),
    };
    let done = visitor.query.get("done").filter(|done| matches!(*done, "key_added" | "key_removed"));
    let notice = done.map(&t);
    let page_of = Page {
        shell: Shell::new(console, visitor, "menu_keys").with_notice(notice, true),
        systems: directory.systems().filter(|system| system.tenant == visitor.tenant()).map(system).collect(),
        callers: directory
            .callers()
            .filter(|known| known.caller.tenant == visitor.tenant())
            .map(|known| CallerRow {
                appid: known.caller.appid.clone(),
                url: format!("/console/settings/callers/{}", encoded(&known.caller.appid)),
                disabled: known.caller.disabled,
                fingerprints: known.keys.iter().map(PublicKey::fingerprint).collect(),
                full: known.keys.len() >= PUBLIC_KEYS_MAX,
            })
            .collect(),
        overlaps: OVERLAP_DAYS,
        made: key.map(|(syscode, key)| (syscode, key.kid, key.secret)),
    };
    page(&page_of)
}

async fn show(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    made(&console, &visitor, None)
}

/// Makes an order key.
async fn rotate(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(syscode): Path<String>,
) -> Response<Body> {
    let said = |status, key| shell::notice(&console, &visitor, status, key);
    let own = |system: &Arc<System>| system.tenant == visitor.tenant();
    if !console.portal.directory().system(&syscode).is_some_and(own) {
        return said(StatusCode::NOT_FOUND, "not_found");
    }
    if form.get("confirm") != Some("yes") {
        return said(StatusCode::UNPROCESSABLE_ENTITY, "unconfirmed");
    }
    let wanted = if form.get("algorithm") == Some("sm4-gcm") { Algorithm::Sm4Gcm } else { Algorithm::Aes256Gcm };
    let days: Option<i64> = form.get("overlap").and_then(|days| days.parse().ok()).filter(|days| OVERLAP_DAYS.contains(days));
    let latest: Option<u16> = form.get("latest").and_then(|kid| kid.parse().ok());
    let (Some(days), Some(latest)) = (days, latest) else {
        return said(StatusCode::UNPROCESSABLE_ENTITY, "key_form");
    };
    let overlap_s = (days * DAY_S).min(OVERLAP_MAX_S);
    let cell = Arc::new(Mutex::new(None));
    let (inside, name) = (cell.clone(), syscode.clone());
    let changed = change(&console.portal, move |directory, now| {
        let mut system = directory.system(&name).ok_or("not_found")?.as_ref().clone();
        if system.keys.last().map_or(0, |key| key.kid) != latest {
            return Err("key_made_already".to_owned());
        }
        let key = system.rotate(wanted, overlap_s, now / 1000)?;
        *inside.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        let row = written("system", &name, &system);
        Ok((directory.with_system(system)?, vec![row]))
    });
    if let Err(refused) = changed.await {
        return failed(&console, &visitor, &refused);
    }
    let key = cell.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(key) = key else { return said(StatusCode::SERVICE_UNAVAILABLE, "busy") };
    noted(&console, &visitor, "order_key", format!("{syscode} {} ({days} d)", key.kid)).await;
    made(&console, &visitor, Some((syscode, key)))
}

/// The history of a key that is made already: if we stop before it, the key is there and the line is missing.
async fn noted(console: &Console, visitor: &Visitor, what: &'static str, body: String) {
    let who = visitor.clone();
    let work = console.portal.ledger.run(move |session| Box::pin(async move { note(session, &who, what, &body).await }));
    if work.await.is_err() {
        tracing::error!(what, "a line of the history of settings could not be written");
    }
}

/// The caller, if it is of this tenant.
fn caller(console: &Console, visitor: &Visitor, appid: &str) -> Option<Caller> {
    let directory = console.portal.directory();
    let known = directory.caller(appid).filter(|known| known.caller.tenant == visitor.tenant());
    known.map(|known| known.caller.clone())
}

async fn add(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(appid): Path<String>,
) -> Response<Body> {
    either(added(&console, &visitor, form.get("pem").unwrap_or_default(), &appid).await)
}

async fn added(console: &Console, visitor: &Visitor, pem: &str, appid: &str) -> Result<Response<Body>, Response<Body>> {
    let refused = |status, key: String| failed(console, visitor, &Failed(status, key));
    let wrong = |key: &str| refused(StatusCode::UNPROCESSABLE_ENTITY, key.to_owned());
    let unknown = || shell::not_found(console, visitor);
    let known = caller(console, visitor, appid).ok_or_else(unknown)?;
    let pem = pem.trim().to_owned();
    if pem.len() > PEM_MAX {
        return Err(wrong("key_pem"));
    }
    let key = PublicKey::from_pem(&pem).map_err(|_| wrong("key_pem"))?;
    let print = key.fingerprint();
    // What this store refuses anyway burns no name.
    with_key(&console.portal.directory(), &known.appid, &pem, &print).map_err(|text| wrong(&text))?;
    claim(&console.portal, visitor.tenant(), appid, "", &[key])
        .await
        .map_err(|refused| failed(console, visitor, &Failed::from(refused)))?;
    let (name, inside) = (known.appid.clone(), print.clone());
    let changed = change(&console.portal, move |directory, _| {
        let caller = with_key(directory, &name, &pem, &inside)?;
        Ok((directory.with_caller(caller.clone())?, vec![written("caller", &name, &caller)]))
    });
    changed.await.map_err(|refused| failed(console, visitor, &refused))?;
    noted(console, visitor, "public_key", format!("{appid} + {print}")).await;
    Ok(see_other("/console/settings/keys?done=key_added"))
}

/// The caller with one more key; the same key again changes nothing.
fn with_key(directory: &crate::model::Directory, appid: &str, pem: &str, print: &str) -> Result<Caller, String> {
    let known = directory.caller(appid).ok_or("not_found")?;
    let mut caller = known.caller.clone();
    if known.keys.iter().any(|key| key.fingerprint() == print) {
        return Ok(caller);
    }
    if caller.public_keys.len() >= PUBLIC_KEYS_MAX {
        return Err("key_full".to_owned());
    }
    caller.public_keys.push(pem.to_owned());
    directory.with_caller(caller.clone())?;
    Ok(caller)
}

async fn end(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(appid): Path<String>,
) -> Response<Body> {
    either(ended(&console, &visitor, form.get("fingerprint").unwrap_or_default(), form.get("confirm"), &appid).await)
}

async fn ended(
    console: &Console,
    visitor: &Visitor,
    print: &str,
    confirm: Option<&str>,
    appid: &str,
) -> Result<Response<Body>, Response<Body>> {
    let unknown = || shell::not_found(console, visitor);
    let known = caller(console, visitor, appid).ok_or_else(unknown)?;
    if confirm != Some("yes") {
        return Err(shell::unconfirmed(console, visitor));
    }
    let (name, wanted) = (known.appid.clone(), print.to_owned());
    let changed = change(&console.portal, move |directory, _| {
        let known = directory.caller(&name).ok_or("not_found")?;
        let mut caller = known.caller.clone();
        let Some(place) = known.keys.iter().position(|key| key.fingerprint() == wanted) else {
            return Err("key_unknown".to_owned());
        };
        if known.keys.len() == 1 {
            return Err("key_last".to_owned());
        }
        caller.public_keys.remove(place);
        Ok((directory.with_caller(caller.clone())?, vec![written("caller", &name, &caller)]))
    });
    changed.await.map_err(|refused| failed(console, visitor, &refused))?;
    noted(console, visitor, "public_key", format!("{appid} - {print}")).await;
    Ok(see_other("/console/settings/keys?done=key_removed"))
}
