//! Changes of a state as they come: Server-Sent Events for pages that stay open.
//!
//! A stream ends by itself after [`LIFE_MS`]; a browser then connects anew. There is room for so many at once
//! ([`crate::portal`]): a page beyond that is told to ask (`…/state`), which every page does anyway.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode};
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::Semaphore;

use super::shell::guarded;
use super::state::State;
use crate::portal::Portal;

/// How long a stream lasts, milliseconds of the portal's clock.
const LIFE_MS: i64 = 120_000;
/// How often the store is asked for a stream.
const PACE: Duration = Duration::from_secs(1);

/// What a page is told of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its name.
    pub(super) name: &'static str,
    /// Nothing comes after it.
    pub(super) settled: bool,
}

impl Seen {
    pub(super) fn of(state: State) -> Seen {
        Seen { name: state.name(), settled: state.is_settled() }
    }
}

/// The name of the state, for pages that ask.
pub(super) fn now(seen: Seen) -> Response<Body> {
    let mut response = Response::new(Body::from(seen.name));
    guarded(&mut response, "text/plain;charset=UTF-8");
    response
}

/// The state at once, then every change. `room`: of streams of its kind. `look`: reads the state anew; nothing ends the stream.
pub(super) fn stream<L>(portal: &Arc<Portal>, room: &Arc<Semaphore>, first: Seen, look: L) -> Response<Body>
where
    L: Fn() -> BoxFuture<'static, Option<Seen>> + Send + 'static,
{
    let Ok(permit) = room.clone().try_acquire_owned() else {
        let mut response = Response::new(Body::from("ask for /state instead"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        guarded(&mut response, "text/plain;charset=UTF-8");
        return response;
    };
    let portal = portal.clone();
    let ends = (portal.clock)().saturating_add(LIFE_MS);
    // None: nothing was told yet.
    let events = stream::unfold((None::<Seen>, first, look), move |(told, mut seen, look)| {
        let portal = portal.clone();
        let _held = &permit;
        async move {
            while told == Some(seen) {
                if seen.settled || (portal.clock)() >= ends {
                    return None;
                }
                tokio::time::sleep(PACE).await;
                seen = look().await?;
            }
            let event = format!("event: state\ndata: {}\n\n", seen.name);
            Some((Ok::<_, Infallible>(Bytes::from(event)), (Some(seen), seen, look)))
        }
    });
    let mut response = Response::new(Body::from_stream(events));
    guarded(&mut response, "text/event-stream");
    response
}
