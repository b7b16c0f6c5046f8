//! The address for whoever has no client certificate, where callers must show one (`tls.client_certificates = "required"`).
//!
//! Agents prove themselves by their own key, people by password and second factor, and a supervisor asks for health: none of
//! them has a certificate of a caller. They come here, and find what needs no API key; a call that needs one is refused
//! whatever key it brings.
//!
//! Read first: [`is_open`].

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use taxdisk_protocol::error::Code;
use taxdisk_protocol::link::{LINK_PATH, TUNNEL_PATH};
use taxdisk_protocol::update::UPDATES_PATH;

use super::refused::Refused;

/// Paths that need no API key.
const EXACT: &[&str] = &["/v1/agents/enroll", "/v1/agents/retire", "/healthz", "/readyz", "/metrics", "/openapi.json"];

/// Does this path need no API key?
pub fn is_open(path: &str) -> bool {
    let below = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let fetched = below(UPDATES_PATH) && path != UPDATES_PATH;
    path == LINK_PATH || below(TUNNEL_PATH) || below("/console") || fetched || EXACT.contains(&path)
}

/// What of a router is served to whoever has no certificate.
pub fn open_part(router: Router) -> Router {
    router.layer(middleware::from_fn(guard))
}

async fn guard(request: Request, next: Next) -> Response {
    if is_open(request.uri().path()) {
        return next.run(request).await;
    }
    let text = "this address is for agents and people; a call with an API key comes to the broker's other address, with a client \
                certificate that the broker knows (tls.client_authority)";
    Refused::new(Code::Forbidden, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::surface::CALLS;

    #[test]
    fn what_needs_a_key_is_not_open_and_all_else_is() {
        for (method, path, needs, _) in CALLS {
            let keyed = needs.of_key().is_some();
            let path = path.replace(['{', '}'], "");
            // One path, two calls: to offer programs is an administrator's, to fetch one an agent's.
            assert_eq!(is_open(&path), !keyed, "{method} {path}");
        }
        for path in ["/console", "/console/jobs", "/console/assets/style.css"] {
            assert!(is_open(path), "{path}");
        }
        for path in ["/", "/v1/jobs/", "/v1/agents", "/v1/agents/enroll/x", "/console/../v1/jobs", "/consolation", "/v1/updates"]
        {
            assert_eq!(is_open(path), path == "/console/../v1/jobs", "{path}");
        }
    }
}
