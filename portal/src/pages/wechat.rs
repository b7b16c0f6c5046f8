//! `/wechat/signature?url=…`: by what WeChat's bridge knows that a form of this portal may ask for the titles that a user keeps
//! in WeChat. The page speaks with the bridge that is built into WeChat's browser; no script of others is loaded.
//!
//! Only pages of this portal are signed for, so nobody uses the account for pages of his own.

use std::time::Instant;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};

use super::shell::guarded;
use crate::portal::Portal;
use crate::wire::form::Form;

/// Longest address that is signed for, bytes.
const URL_MAX: usize = 2048;
/// Where it is.
pub(super) const PATH: &str = "/wechat/signature";

pub(super) async fn answer(portal: &Portal, request: Request<Body>) -> Response<Body> {
    let Some(weixin) = portal.weixin.get().filter(|weixin| weixin.offers_titles()) else {
        return short(StatusCode::NOT_FOUND, "not configured");
    };
    if request.method() != Method::GET {
        return short(StatusCode::METHOD_NOT_ALLOWED, "GET alone");
    }
    if portal.scans.admit(super::address(&request), Instant::now()).is_err() {
        return short(StatusCode::TOO_MANY_REQUESTS, "too often");
    }
    let query = Form::parse(request.uri().query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let url = query.get("url").unwrap_or_default();
    if !is_own(&portal.public_url, url) {
        return short(StatusCode::NOT_FOUND, "no page of this portal");
    }
    match weixin.page_signature(url).await {
        Ok(signature) => {
            let mut response = Response::new(Body::from(serde_json::to_string(&signature).unwrap_or_default()));
            guarded(&mut response, "application/json");
            response
        }
        Err(why) => {
            // No invoice hangs on it: the consumer writes the title himself.
            tracing::warn!(why, "WeChat gave no ticket for pages");
            short(StatusCode::BAD_GATEWAY, "WeChat does not answer")
        }
    }
}

/// An address of a consumer's page of ours, whole but for what follows `#`.
fn is_own(public_url: &str, url: &str) -> bool {
    let Some(rest) = url.strip_prefix(public_url) else { return false };
    let path = rest.split('?').next().unwrap_or_default();
    url.len() <= URL_MAX && super::is_page(path) && url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn short(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    guarded(&mut response, "text/plain;charset=UTF-8");
    response
}
