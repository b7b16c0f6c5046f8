//! Where the tenant's system is called back for requests that name no address of their own, and a button that tries it. The
//! address goes through the same guarded client as every callback (`taxdisk_web::outbound`): no private networks, no
//! redirections.

use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::note;
use crate::callback::send;
use crate::console::actions::unavailable;
use crate::console::shell::Shell;
use crate::console::shell::either;
use crate::console::{Console, Posted, Shared, Visitor, Who, page, see_other, shell, words};
use crate::core::callback::{TENANT_ADDRESS, TenantAddress};
use crate::store::StoreError;

/// Characters of an address at most, as in a request (yonyou-open-api.md, section 1.5).
const URL_MAX: usize = 500;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/settings/callbacks", get(show).post(save)).route("/console/settings/callbacks/test", post(test))
}

/// What the address answered.
struct Tried {
    good: bool,
    status: String,
    ms: u64,
    text: String,
}

#[derive(Template)]
#[template(path = "console/settings/callbacks.html")]
struct Page {
    shell: Shell,
    url: String,
    /// What calls are signed with can be fetched there; empty: they are not signed.
    key_url: String,
    /// Callers whose list of hosts does not name this one: their requests are not called back there.
    unlisted: Vec<String>,
    tried: Option<Tried>,
}

async fn address(console: &Console, tenant: &str) -> Result<String, StoreError> {
    let stored = console.portal.readers.get().await?.setting(TENANT_ADDRESS, tenant).await?;
    let Some(body) = stored else { return Ok(String::new()) };
    let address: TenantAddress =
        serde_json::from_str(&body).map_err(|error| StoreError::Damaged(format!("{TENANT_ADDRESS}: {error}")))?;
    Ok(address.url)
}

async fn made(console: &Console, visitor: &Visitor, tried: Option<Tried>) -> Result<Response<Body>, Response<Body>> {
    let url = address(console, visitor.tenant()).await;
    let url = url.map_err(|_| shell::busy(console, visitor))?;
    let host = console.portal.outbound.target(&url).map(|target| target.host().to_owned()).unwrap_or_default();
    let directory = console.portal.directory();
    let own = directory.callers().filter(|known| known.caller.tenant == visitor.tenant());
    let unlisted = own.filter(|known| {
        let hosts = &known.caller.switches.callback_hosts;
        !host.is_empty() && !hosts.is_empty() && !hosts.iter().any(|listed| listed.eq_ignore_ascii_case(&host))
    });
    let unlisted = unlisted.map(|known| known.caller.appid.clone()).collect();
    let saved = visitor.query.get("done").map(|_| words::text(visitor.language, "callback_saved").to_owned());
    let key_url = match console.portal.platform_key {
        Some(_) => format!("{}/platform-key.pem", console.portal.public_url),
        None => String::new(),
    };
    let shell = Shell::new(console, visitor, "menu_callbacks").with_notice(saved, true);
    Ok(page(&Page { shell, url, key_url, unlisted, tried }))
}

async fn show(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    either(made(&console, &visitor, None).await)
}

async fn save(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let wrong = |text: String| shell::told(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, text);
    // A POST without the field is no wish to have no address.
    let Some(url) = form.get("url").map(|url| url.trim().to_owned()) else {
        return shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, "callback_missing");
    };
    if url.len() > URL_MAX {
        return shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, "callback_long");
    }
    if !url.is_empty()
        && let Err(refused) = console.portal.outbound.target(&url)
    {
        return wrong(format!("{} {refused}", words::text(visitor.language, "callback_refused")));
    }
    let who = visitor.clone();
    let work = console.portal.ledger.run(move |session| {
        Box::pin(async move {
            let body = serde_json::to_string(&TenantAddress { url: url.clone() })
                .map_err(|error| StoreError::Damaged(format!("{TENANT_ADDRESS}: {error}")))?;
            session.db.put_setting(TENANT_ADDRESS, who.tenant(), &body).await?;
            note(session, &who, "callback", &url).await
        })
    });
    either(work.await.map_err(unavailable(&console, &visitor)).map(|()| see_other("/console/settings/callbacks?done=saved")))
}

/// Tries the address that is saved, and none that the form names: what is tried is what will be called.
async fn test(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    either(
        async {
            let url = address(&console, visitor.tenant()).await;
            let url = url.map_err(|_| shell::busy(&console, &visitor))?;
            if url.is_empty() {
                return Err(shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, "callback_none"));
            }
            if console.tests.admit(visitor.tenant(), Instant::now()).is_err() {
                return Err(shell::notice(&console, &visitor, StatusCode::TOO_MANY_REQUESTS, "callback_too_often"));
            }
            let (attempt, good) = send::test(&console.portal, &url).await;
            let status = attempt.status.map(|status| format!("HTTP {status}")).unwrap_or_default();
            made(&console, &visitor, Some(Tried { good, status, ms: attempt.ms, text: attempt.text })).await
        }
        .await,
    )
}
