//! Changes of a state as they come: Server-Sent Events for pages that stay open.
//!
//! A stream ends by itself after [`LIFE_MS`]; a browser then connects anew. There are at most
//! [`STREAMS`](crate::portal::STREAMS): a page beyond that is told to ask (`…/state`), which every page does anyway.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode};
use futures_util::stream;

use super::code::{Looked, found};
use super::shell::guarded;
use super::state::State;
use crate::core::request::Request as Stored;
use crate::portal::Portal;

/// How long a stream lasts, milliseconds of the portal's clock.
const LIFE_MS: i64 = 120_000;
/// How often the store is asked for a stream.
const PACE: Duration = Duration::from_secs(1);

/// The name of the state, for pages that ask.
pub(super) fn now(parts: &[Stored]) -> Response<Body> {
    let mut response = Response::new(Body::from(State::of_all(parts).name()));
    guarded(&mut response, "text/plain;charset=UTF-8");
    response
}

/// The state at once, then every change.
pub(super) fn stream(portal: &Arc<Portal>, token: &str, parts: &[Stored]) -> Response<Body> {
    let Ok(permit) = portal.streams.clone().try_acquire_owned() else {
        let mut response = Response::new(Body::from("ask for /state instead"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        guarded(&mut response, "text/plain;charset=UTF-8");
        return response;
    };
    let (portal, token) = (portal.clone(), token.to_owned());
    let (ends, first) = ((portal.clock)().saturating_add(LIFE_MS), State::of_all(parts));
    // None: nothing was told yet.
    let events = stream::unfold((None::<State>, first), move |(told, mut state)| {
        let (portal, token) = (portal.clone(), token.clone());
        let _held = &permit;
        async move {
            while told == Some(state) {
                if state.is_settled() || (portal.clock)() >= ends {
                    return None;
                }
                tokio::time::sleep(PACE).await;
                match found(&portal, &token).await {
                    Ok(Looked::Open(found)) => state = State::of_all(&found.parts),
                    Ok(Looked::Ended | Looked::Nothing) | Err(_) => return None,
                }
            }
            let event = format!("event: state\ndata: {}\n\n", state.name());
            Some((Ok::<_, Infallible>(Bytes::from(event)), (Some(state), state)))
        }
    });
    let mut response = Response::new(Body::from_stream(events));
    guarded(&mut response, "text/event-stream");
    response
}
