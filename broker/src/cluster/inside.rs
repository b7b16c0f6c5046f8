//! The leader's internal address: takes what the doors forward, from those only that know the secret of this term.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;
use taxdisk_protocol::error::Code;

use super::{HOST, Node, PEER, Role, SECRET, cut_with_term, no_leader};
use crate::http::{Peer, Refused};
use crate::serve::Room;

/// What the doors see of this node.
pub(super) fn router(node: Arc<Node>) -> Router {
    Router::new().fallback(inside).with_state(node)
}

async fn inside(State(node): State<Arc<Node>>, mut request: Request) -> Response {
    let role = node.role.borrow().clone();
    // A door that is behind the times: nothing is forwarded twice.
    let Role::Leading(leadership) = role else { return no_leader() };
    let shown = request.headers_mut().remove(SECRET);
    let good = shown.is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(leadership.secret.as_bytes())));
    if !good {
        tracing::warn!("a request at the internal address did not show the secret of this term");
        return Refused::new(Code::NotReady, "this address is for the other brokers of the same database").into_response();
    }
    if let Some(room) = request.extensions().get::<Room>() {
        room.vouch();
    }
    if let Some(peer) = request.headers_mut().remove(PEER).and_then(|peer| peer.to_str().ok()?.parse().ok()) {
        request.extensions_mut().insert(Peer(peer));
    }
    if let Some(host) = request.headers_mut().remove(HOST) {
        request.headers_mut().insert(header::HOST, host);
    }
    let response = leadership.answer(request).await;
    cut_with_term(response, node.role.subscribe(), leadership.lease.term())
}
