//! The delivery log of a webhook: what was told, what waits and what was given up; one event or all that were given up are sent
//! again, under the ids that they had.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::Response;
use axum::routing::{get, post};
use taxdisk_protocol::error::Code;
use taxdisk_protocol::event::{DeliveryState, DeliveryView, ReplayRequest};

use super::jobs::{Choice, query, url};
use super::outside::caller;
use super::roles::Action;
use super::shell::Shell;
use super::{Console, Page, Posted, Shared, Visitor, Who, either, page, refused, see_other, shell, words};
use crate::http::Refused;

/// Deliveries of a page.
const PAGE: u32 = 50;

const STATES: [DeliveryState; 3] = [DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Failed];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/webhooks/{id}", get(list)).route("/console/webhooks/{id}/replay", post(replay))
}

struct Row {
    event: String,
    kind: String,
    serial: String,
    url: String,
    state: String,
    class: &'static str,
    next: String,
    tries: u64,
    /// Of the last attempt: when, its status or why there was none, how long it took.
    at: String,
    said: String,
    ms: String,
}

#[derive(Template)]
#[template(path = "console/deliveries.html")]
struct Deliveries {
    shell: Shell,
    id: String,
    address: String,
    states: Vec<Choice>,
    rows: Vec<Row>,
    next: Option<String>,
    may_operate: bool,
}

fn row(shell: &Shell, view: DeliveryView) -> Row {
    let last = view.attempts.last();
    let status = last.and_then(|one| one.status).map(|status| status.to_string()).unwrap_or_default();
    let said = last.map(|one| format!("{status} {}", one.text).trim().to_owned()).unwrap_or_default();
    let serial = view.serial.unwrap_or_default();
    Row {
        url: view.seller.filter(|_| !serial.is_empty()).map(|seller| url(&seller, &serial)).unwrap_or_default(),
        serial,
        kind: view.kind,
        state: shell.t(&format!("delivery_{}", words::word(&view.state))).to_owned(),
        class: match view.state {
            DeliveryState::Delivered => "good",
            DeliveryState::Waiting => "warn",
            DeliveryState::Failed => "bad",
        },
        next: view.next_at.as_deref().map(words::time_of).unwrap_or_default(),
        tries: view.tries,
        at: last.map(|one| words::time_of(&one.at)).unwrap_or_default(),
        ms: last.map(|one| one.ms.to_string()).unwrap_or_default(),
        said,
        event: view.event,
    }
}

async fn list(State(console): Shared, Extension(visitor): Who, Path(id): Path<String>) -> Response<Body> {
    either(listed(&console, &visitor, &id).await)
}

async fn listed(console: &Console, visitor: &Visitor, id: &str) -> Page {
    let told = |refusal| refused(console, visitor, refusal);
    let state = visitor.query.get("state").unwrap_or_default();
    let wanted = STATES.into_iter().find(|known| words::word(known) == state);
    if wanted.is_none() && !state.is_empty() {
        let why = Refused::new(Code::InvalidParameter, "state: waiting, delivered or failed");
        return Err(shell::problem(console, visitor, why));
    }
    let hooks = &console.edge.hooks;
    let hook = hooks.show(id, &caller(visitor)).await.map_err(told)?;
    let cursor = visitor.query.get("cursor").filter(|cursor| !cursor.is_empty());
    let found = hooks.deliveries(id, wanted, cursor, PAGE, &caller(visitor)).await.map_err(told)?;
    let shell = Shell::new(visitor, "deliveries");
    let states = STATES.into_iter().map(|one| Choice {
        label: shell.t(&format!("delivery_{}", words::word(&one))).to_owned(),
        chosen: wanted == Some(one),
        value: words::word(&one),
    });
    Ok(page(&Deliveries {
        id: hook.id,
        address: hook.url,
        states: states.collect(),
        rows: found.deliveries.into_iter().map(|view| row(&shell, view)).collect(),
        next: found.cursor.map(|cursor| format!("state={}&cursor={}", query(state), query(&cursor))),
        may_operate: visitor.may(Action::Operate),
        shell,
    }))
}

/// Sends again: the event that the form names, or without one all that were given up.
async fn replay(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Path(id): Path<String>,
) -> Response<Body> {
    let step: Page = async {
        let event = form.get("event").filter(|event| !event.is_empty()).map(str::to_owned);
        let request = ReplayRequest { failed: event.is_none(), event, ..ReplayRequest::default() };
        let answer = console.edge.hooks.replay(&id, request, &caller(&visitor)).await;
        let answer = answer.map_err(|refusal| refused(&console, &visitor, refusal))?;
        tracing::info!(webhook = id, queued = answer.queued, by = visitor.by(), "deliveries replayed");
        Ok(see_other(&format!("/console/webhooks/{}?done=done_replayed", query(&id))))
    }
    .await;
    either(step)
}
