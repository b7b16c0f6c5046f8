//! 发票 → 推送异常: callbacks, mails and messages of all requests that were tried and did not arrive. The invoices stand, whatever is
//! listed here; what is to be done is done on the page of the request, to which each row leads.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::routing::get;
use axum::{Extension, Router};

use super::invoice::{standing, told};
use super::invoices::{encoded, time};
use super::shell::{Shell, busy};
use super::{Console, Shared, Visitor, Who, page, words};
use crate::core::callback::{Attempt, Callback};
use crate::core::outbox::Message;
use crate::store::StoreError;

/// Rows of each kind at most, the latest.
const SHOWN: u32 = 100;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/console/deliveries", get(list))
}

struct Row {
    at: i64,
    time: String,
    serial: String,
    url: String,
    channel: String,
    address: String,
    standing: String,
    tries: u32,
    answer: String,
}

#[derive(Template)]
#[template(path = "console/deliveries.html")]
struct ListPage {
    shell: Shell,
    rows: Vec<Row>,
    /// There may be more than are shown.
    more: bool,
}

async fn list(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let read = async {
        let mut db = console.portal.readers.get().await?;
        let callbacks = db.troubled_callbacks(visitor.tenant(), SHOWN).await?;
        Ok::<_, StoreError>((callbacks, db.troubled_messages(visitor.tenant(), SHOWN).await?))
    };
    let Ok((callbacks, messages)) = read.await else { return busy(&console, &visitor) };
    let more = callbacks.len() == SHOWN as usize || messages.len() == SHOWN as usize;
    let mut rows: Vec<Row> = callbacks.iter().map(|one| callback_row(&visitor, one)).collect();
    rows.extend(messages.iter().map(|one| message_row(&visitor, one)));
    rows.sort_by_key(|row| std::cmp::Reverse(row.at));
    page(&ListPage { shell: Shell::new(&console, &visitor, "menu_deliveries"), rows, more })
}

fn callback_row(visitor: &Visitor, one: &Callback) -> Row {
    let t = |key: &str| words::text(visitor.language, key).to_owned();
    let (channel, standing) = (t("channel_callback"), t(told(one.standing)));
    row(&one.serial, channel, &one.target.url, standing, (one.created_at, one.tries), &one.attempts)
}

fn message_row(visitor: &Visitor, one: &Message) -> Row {
    let t = |key: &str| words::text(visitor.language, key).to_owned();
    let (channel, standing) = (t(one.channel.as_str()), t(standing(one.standing)));
    row(&one.serial, channel, &one.address, standing, (one.created_at, one.tries), &one.attempts)
}

fn row(
    serial: &str,
    channel: String,
    address: &str,
    standing: String,
    (created, tries): (i64, u32),
    attempts: &[Attempt],
) -> Row {
    let last = attempts.last();
    let at = last.map_or(created, |last| last.at);
    Row {
        at,
        time: time(at),
        serial: serial.to_owned(),
        url: format!("/console/invoices/{}", encoded(serial)),
        channel,
        address: address.to_owned(),
        standing,
        tries,
        answer: last.map(|last| last.text.clone()).unwrap_or_default(),
    }
}
