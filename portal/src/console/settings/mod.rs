//! What an administrator of a tenant sets: users, callbacks, keys; and what the operator has set up for him. Every change is
//! written to a history of the tenant with who made it, never with a secret.

mod callbacks;
mod keys;
mod organisations;
mod users;
mod wishes;

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};

use super::invoices::time;
use super::shell::Shell;
use super::{Console, Shared, Visitor, Who, page, shell, words};
use crate::admin::Failed;
use crate::ledger::Session;
use crate::store::StoreError;

/// The history of a tenant's settings stands under this name among those of its requests; no serial number has a `*`.
pub(crate) const HISTORY: &str = "*settings";
/// Lines of it that a page shows.
const HISTORY_SHOWN: u32 = 200;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/settings/history", get(history))
        .merge(organisations::routes())
        .merge(callbacks::routes())
        .merge(keys::routes())
        .merge(users::routes())
        .merge(wishes::routes())
}

/// Writes a change into the history; in the transaction that makes it.
async fn note(session: &mut Session, visitor: &Visitor, what: &str, body: &str) -> Result<(), StoreError> {
    session.note(visitor.tenant(), HISTORY, &visitor.name(), what, body).await
}

/// The page for a change that was not made. Refusals of ours are keys of texts, those of the directory are sentences.
fn failed(console: &Console, visitor: &Visitor, failed: &Failed) -> Response<Body> {
    match failed.0 {
        StatusCode::SERVICE_UNAVAILABLE => shell::notice(console, visitor, failed.0, "busy"),
        status => shell::told(console, visitor, status, words::text(visitor.language, &failed.1).to_owned()),
    }
}

struct Event {
    time: String,
    who: String,
    what: String,
    body: String,
}

#[derive(Template)]
#[template(path = "console/settings/history.html")]
struct HistoryPage {
    shell: Shell,
    events: Vec<Event>,
}

async fn history(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let read = async { console.portal.readers.get().await?.latest_notes(visitor.tenant(), HISTORY, HISTORY_SHOWN).await };
    let Ok(notes) = read.await else {
        return shell::busy(&console, &visitor);
    };
    let event = |note: crate::store::Note| Event {
        time: time(note.at),
        who: note.by,
        what: words::text(visitor.language, &format!("set_{}", note.what)).to_owned(),
        body: note.body,
    };
    let events = notes.into_iter().map(event).collect();
    page(&HistoryPage { shell: Shell::new(&console, &visitor, "menu_history"), events })
}
