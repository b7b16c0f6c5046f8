//! `GET /v1/events`: the stream of events as Server-Sent Events, for who would rather ask than be called.
//!
//! A stream holds no buffer of its own: it reads on from the last position that it sent, and only when the connection takes
//! more. Who does not read is cut off by the connection's own limit ([`crate::serve`]), and resumes with `Last-Event-ID` where
//! he was. The key is looked at again before every batch: a revoked key ends its streams within a heartbeat.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use taxdisk_protocol::error::{Code, Problem};
use taxdisk_protocol::event::{EventBody, is_pattern, is_wanted};
use taxdisk_protocol::ids::TaxpayerNumber;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::auth::Caller;
use super::refused::Refused;
use super::{Edge, Query, parsed};
use crate::core::announcement::Announcement;
use crate::core::webhooks::parse_id;
use crate::serve::stopped;

/// A comment is sent after so long without an event, so that nobody on the way takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that are read at once.
const PAGE: usize = 128;

/// Which events to send.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Taxpayer numbers with commas between; all that the key is for if left out.
    seller: Option<String>,
    /// Types (`job.issued`) or groups (`job.*`) with commas between; all if left out.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Id of the last event that was seen, as the header `Last-Event-ID`; from now on if left out.
    after: Option<String>,
}

struct Stream {
    edge: Edge,
    key: String,
    sellers: Vec<TaxpayerNumber>,
    kinds: Vec<String>,
    position: u64,
    tip: watch::Receiver<u64>,
    ready: VecDeque<Bytes>,
    stopping: watch::Receiver<bool>,
    _room: OwnedSemaphorePermit,
}

/// Sends events as they come (`text/event-stream`). `id` is the event's id, `event` its type, `data` the same JSON as a
/// webhook's body.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(
    Filter, ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event that was seen"),
), responses(
    (status = 200, description = "Events, without an end", body = EventBody, content_type = "text/event-stream"),
    (status = 400, description = "No such event was ever sent", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Too many streams at the same time", body = Problem, content_type = "application/problem+json"),
), security(("key" = [])))]
pub async fn stream(
    State(edge): State<Edge>,
    caller: Caller,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let mut sellers = caller.sellers().to_vec();
    if let Some(wanted) = &filter.seller {
        sellers = Vec::new();
        for seller in wanted.split(',') {
            caller.may(seller)?;
            sellers.push(parsed("seller", seller)?);
        }
    }
    let kinds: Vec<String> = filter.kind.iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned).collect();
    if let Some(bad) = kinds.iter().find(|kind| !is_pattern(kind)) {
        return Err(Refused::new(Code::InvalidParameter, format!("type: {bad:?} is no type of event, as job.issued or job.*")));
    }
    let room = edge.streams.clone().try_acquire_owned();
    let room = room.map_err(|_| Refused::new(Code::NotReady, "too many event streams are open; ask again in a moment"))?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let key = text("authorization").and_then(|value| value.split_once(' ')).map_or("", |(_, key)| key.trim()).to_owned();
    let tip = edge.ledger.feed().tip();
    let newest = *tip.borrow();
    let position = match text("last-event-id").or(filter.after.as_deref()) {
        None => newest,
        Some(id) => begin(&edge, id, newest).await?,
    };
    let stopping = edge.stopping.clone();
    let state = Stream { edge, key, sellers, kinds, position, tip, ready: VecDeque::new(), stopping, _room: room };
    let body = Body::from_stream(stream::unfold(state, Stream::next));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Reverse proxies that collect answers would hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

/// The position of an event that was seen. Its row may be forgotten; a row that is another event is of another ledger.
async fn begin(edge: &Edge, id: &str, tip: u64) -> Result<u64, Refused> {
    let unknown = || Refused::new(Code::InvalidParameter, format!("Last-Event-ID: this ledger never sent {id:?}"));
    let (position, _) = parse_id(id).ok_or_else(unknown)?;
    if position == 0 || position > tip {
        return Err(unknown());
    }
    let found = edge.ledger.feed().after(edge.ledger.store().as_ref(), position - 1, 1).await.map_err(|error| {
        tracing::error!(%error, "the stream of events cannot be read");
        Refused::new(Code::Internal, "the stream of events cannot be read")
    })?;
    match found.first() {
        Some(row) if row.position == position && row.id() != id => Err(unknown()),
        _ => Ok(position),
    }
}

impl Stream {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Stream)> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some((Ok(ready), self));
            }
            if self.edge.ledger.authenticate(&self.key).is_err() || *self.stopping.borrow() {
                return None;
            }
            if *self.tip.borrow_and_update() > self.position {
                self.read().await?;
                continue;
            }
            tokio::select! {
                changed = self.tip.changed() => changed.ok()?,
                () = tokio::time::sleep(HEARTBEAT) => self.ready.push_back(Bytes::from_static(b": heartbeat\n\n")),
                () = stopped(&mut self.stopping) => return None,
            }
        }
    }

    /// Makes the next events ready. `None`: the stream ends; who reads it resumes.
    async fn read(&mut self) -> Option<()> {
        let (feed, store) = (self.edge.ledger.feed(), self.edge.ledger.store().as_ref());
        let rows = feed.after(store, self.position, PAGE).await.ok()?;
        if rows.is_empty() {
            // Everything up to here is forgotten.
            self.position = *self.tip.borrow();
        }
        for row in rows {
            self.position = row.position;
            if !self.wants(&row.announcement) {
                continue;
            }
            let event = feed.seen(store, row).await.ok()?.body();
            let data = serde_json::to_string(&event).ok()?;
            self.ready.push_back(format!("id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.kind).into());
        }
        Some(())
    }

    fn wants(&self, announcement: &Announcement) -> bool {
        let seller = match &announcement.seller {
            Some(seller) => self.sellers.is_empty() || self.sellers.contains(seller),
            None => self.sellers.is_empty(),
        };
        seller && is_wanted(&self.kinds, &announcement.kind)
    }
}
