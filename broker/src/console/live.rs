//! What changes while somebody looks: one word a second at most to each open overview, and how much was done lately.
//!
//! The stream says only that something changed; the page asks for itself again, with the session that it has. So nothing is sent
//! that the person may not see any more, and a browser that was away misses nothing.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use futures_util::stream;
use taxdisk_protocol::time::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Shared, Who, shell, token};
use crate::http::Edge;
use crate::serve::stopped;

/// Between two words.
const PACE: Duration = Duration::from_secs(1);
/// Without a change a word comes so often all the same: ages and offline disks change by time alone.
const QUIET: Duration = Duration::from_secs(10);
/// Minutes that are counted.
const MINUTES: usize = 60;
const MINUTE_MS: i64 = 60_000;
/// Announcements that are read at once.
const PAGE: usize = 256;

/// Jobs that ended in a minute.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    number: i64,
    issued: u64,
    failed: u64,
}

/// How many jobs ended lately, counted since this broker began to serve.
#[derive(Debug, Default)]
pub struct Pace {
    minutes: Mutex<VecDeque<Minute>>,
}

/// Jobs that ended in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// With an invoice.
    pub issued: u64,
    /// Without.
    pub failed: u64,
}

impl Pace {
    fn count(&self, kind: &str, at: Timestamp) {
        let (issued, failed) = match kind {
            "job.issued" => (1, 0),
            "job.failed" => (0, 1),
            _ => return,
        };
        let number = at.0.div_euclid(MINUTE_MS);
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        if minutes.back().is_none_or(|last| last.number < number) {
            minutes.push_back(Minute { number, ..Minute::default() });
        }
        if let Some(last) = minutes.back_mut() {
            last.issued += issued;
            last.failed += failed;
        }
        while minutes.len() > MINUTES + 1 {
            minutes.pop_front();
        }
    }

    /// What ended in this many whole minutes before the present one, and in it.
    pub fn lately(&self, minutes: i64, now: Timestamp) -> Ended {
        let first = now.0.div_euclid(MINUTE_MS) - minutes;
        let known = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|minute| minute.number >= first).fold(Ended::default(), |sum, minute| Ended {
            issued: sum.issued + minute.issued,
            failed: sum.failed + minute.failed,
        })
    }
}

/// Counts what is announced, until the broker stops or its ledger ends.
pub(super) fn follow(edge: Edge) -> Arc<Pace> {
    let pace = Arc::new(Pace::default());
    let counted = pace.clone();
    tokio::spawn(async move {
        let mut tip = edge.ledger.feed().tip();
        let mut position = *tip.borrow();
        let mut stopping = edge.stopping.clone();
        loop {
            tokio::select! {
                changed = tip.changed() => if changed.is_err() { return },
                () = edge.ledger.ended() => return,
                () = stopped(&mut stopping) => return,
            }
            while let Ok(rows) = edge.ledger.feed().after(edge.ledger.store().as_ref(), position, PAGE).await {
                let Some(last) = rows.last() else { break };
                position = last.position;
                for row in &rows {
                    counted.count(&row.announcement.kind, row.announcement.at);
                }
            }
        }
    });
    pace
}

struct Live {
    console: Arc<super::Console>,
    token: String,
    tip: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    _room: OwnedSemaphorePermit,
}

/// `GET /console/live`.
pub(super) async fn stream(State(console): Shared, Extension(visitor): Who, headers: HeaderMap) -> Response<Body> {
    let Some(token) = token(&console, &headers).map(str::to_owned) else {
        return shell::notice(&console, &visitor, StatusCode::FORBIDDEN, "signed_out");
    };
    let Ok(room) = console.edge.streams.clone().try_acquire_owned() else { return shell::busy(&console, &visitor) };
    let (tip, stopping) = (console.edge.ledger.feed().tip(), console.edge.stopping.clone());
    let live = Live { console, token, tip, stopping, _room: room };
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::HeaderName::from_static("x-accel-buffering"), "no")];
    (head, Body::from_stream(stream::unfold(live, Live::next))).into_response()
}

impl Live {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Live)> {
        tokio::select! {
            changed = self.tip.changed() => changed.ok()?,
            () = tokio::time::sleep(QUIET) => {}
            () = self.console.edge.ledger.ended() => return None,
            () = stopped(&mut self.stopping) => return None,
        }
        tokio::select! {
            () = tokio::time::sleep(PACE) => {}
            () = stopped(&mut self.stopping) => return None,
        }
        self.tip.mark_unchanged();
        // A stream ends with its session. It is no sign of life of the person: looking does not keep a session open.
        self.console.gate.look(&self.token, self.console.edge.ledger.now().0).await.ok()??;
        Some((Ok(Bytes::from_static(b"event: changed\ndata: \n\n")), self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_counted_by_the_minute_and_forgotten_after_an_hour() {
        let pace = Pace::default();
        let at = |minute: i64| Timestamp(minute * MINUTE_MS);
        pace.count("job.issued", at(1000));
        pace.count("job.issued", at(1001));
        pace.count("job.failed", at(1001));
        pace.count("job.queued", at(1001));
        assert_eq!(pace.lately(0, at(1001)), Ended { issued: 1, failed: 1 });
        assert_eq!(pace.lately(1, at(1001)), Ended { issued: 2, failed: 1 });
        assert_eq!(pace.lately(60, at(1061)), Ended { issued: 1, failed: 1 });
        for minute in 1002..1200 {
            pace.count("job.issued", at(minute));
        }
        assert_eq!(pace.lately(60, at(1199)).issued, 61);
    }
}
