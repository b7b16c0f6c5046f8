//! What programs outside are given and told: API keys and webhooks.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::Response;
use axum::routing::{get, post};
use taxdisk_protocol::api::{KeyRequest, Role};
use taxdisk_protocol::event::{WebhookRequest, WebhookView};

use super::roles::Action;
use super::shell::Shell;
use super::{Console, Page, Posted, Shared, Visitor, Who, either, page, refused, see_other, shell, words};
use crate::http::keys;
use crate::ledger::Caller;

/// Seconds of a day.
const DAY_S: u64 = 24 * 3600;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/keys", get(list_keys).post(make_key))
        .route("/console/keys/{id}/revoke", post(revoke_key))
        .route("/console/webhooks", get(list_webhooks))
        .route("/console/webhooks/{id}/enable", post(enable))
        .route("/console/webhooks/{id}/disable", post(disable))
}

struct Key {
    id: String,
    name: String,
    role: String,
    sellers: String,
    created: String,
    expires: String,
    revoked: String,
}

#[derive(Template)]
#[template(path = "console/keys.html")]
struct Keys {
    shell: Shell,
    keys: Vec<Key>,
    made: Option<String>,
}

async fn list_keys(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    shown(&console, &visitor, None)
}

fn shown(console: &Console, visitor: &Visitor, made: Option<String>) -> Response<Body> {
    let shell = Shell::new(visitor, "menu_keys");
    let time = |at: Option<String>| at.as_deref().map(words::time_of).unwrap_or_default();
    let keys = console.edge.ledger.keys().into_iter().map(keys::view).map(|key| Key {
        role: shell.t(&format!("key_{}", words::word(&key.role))).to_owned(),
        sellers: key.sellers.join(", "),
        created: words::time_of(&key.created_at),
        expires: time(key.expires_at),
        revoked: time(key.revoked_at),
        id: key.id,
        name: key.name,
    });
    let keys = keys.collect();
    page(&Keys { shell, keys, made })
}

async fn make_key(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let step: Page = async {
        let field = |name: &str| form.get(name).unwrap_or_default().trim();
        let role = match field("role") {
            "admin" => Role::Admin,
            "platform" => Role::Platform,
            _ => return Err(shell::unconfirmed(&console, &visitor)),
        };
        let separators = |c: char| c.is_whitespace() || c == ',';
        let sellers = field("sellers").split(separators).filter(|one| !one.is_empty()).map(str::to_owned).collect();
        let valid_s = field("days").parse::<u32>().ok().map(|days| u64::from(days) * DAY_S);
        let request = KeyRequest { name: field("name").to_owned(), role, sellers, actions: Vec::new(), valid_s, owner: None };
        let made = visitor.ledger(&console).create_key(request, &visitor.by()).await;
        let made = made.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::info!(made = made.id, ?role, by = visitor.by(), "API key made");
        Ok(shown(&console, &visitor, Some(made.key)))
    }
    .await;
    either(step)
}

async fn revoke_key(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    let step: Page = async {
        if form.get("confirm") != Some("yes") {
            return Err(shell::unconfirmed(&console, &visitor));
        }
        let done = visitor.ledger(&console).revoke_key(&id, &visitor.by()).await;
        done.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::info!(revoked = id, by = visitor.by(), "API key revoked");
        Ok(see_other("/console/keys?done=done_saved"))
    }
    .await;
    either(step)
}

struct Webhook {
    id: String,
    url: String,
    description: String,
    events: String,
    enabled: bool,
    why: String,
    waiting: u64,
    delivered: String,
    failing: String,
}

#[derive(Template)]
#[template(path = "console/webhooks.html")]
struct Webhooks {
    shell: Shell,
    webhooks: Vec<Webhook>,
    may_operate: bool,
    may_manage: bool,
}

/// He reaches the endpoints of all sellers, like a key without a limit; what he may do with them is the table of routes.
pub(super) fn caller(visitor: &Visitor) -> Caller {
    Caller { id: visitor.by(), name: visitor.by(), role: Role::Admin, sellers: Vec::new(), actions: Vec::new(), unnoted: false }
}

async fn list_webhooks(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let step: Page = async {
        let all = console.edge.hooks.list(&caller(&visitor)).await.map_err(|refusal| refused(&console, &visitor, refusal))?;
        Ok(page(&Webhooks {
            shell: Shell::new(&visitor, "menu_webhooks"),
            webhooks: all.into_iter().map(webhook).collect(),
            may_operate: visitor.may(Action::Operate),
            may_manage: visitor.may(Action::Manage),
        }))
    }
    .await;
    either(step)
}

fn webhook(view: WebhookView) -> Webhook {
    let time = |at: Option<String>| at.as_deref().map(words::time_of).unwrap_or_default();
    Webhook {
        id: view.id,
        url: view.url,
        description: view.description,
        events: view.events.join(", "),
        enabled: view.enabled,
        why: view.disabled.map(|why| format!("{} {}", words::time_of(&why.at), why.text)).unwrap_or_default(),
        waiting: view.waiting,
        delivered: time(view.delivered_at),
        failing: time(view.failing_since),
    }
}

async fn enable(State(console): Shared, Extension(visitor): Who, Path(id): Path<String>) -> Response<Body> {
    either(switch(&console, &visitor, &id, true).await)
}

async fn disable(State(console): Shared, Extension(visitor): Who, Path(id): Path<String>) -> Response<Body> {
    either(switch(&console, &visitor, &id, false).await)
}

async fn switch(console: &Console, visitor: &Visitor, id: &str, enabled: bool) -> Page {
    let told = |refusal| refused(console, visitor, refusal);
    let hooks = &console.edge.hooks;
    let known = hooks.show(id, &caller(visitor)).await.map_err(told)?;
    let request = WebhookRequest {
        url: known.url,
        description: known.description,
        events: known.events,
        sellers: known.sellers,
        enabled,
        signing: None,
        secret: None,
    };
    hooks.put(id, request, &caller(visitor)).await.map_err(told)?;
    tracing::info!(webhook = id, enabled, by = visitor.by(), "webhook written");
    Ok(see_other("/console/webhooks?done=done_saved"))
}
