//! `/qrcode-connector`: an offline code.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};

use super::shell::Shell;
use crate::portal::Portal;

/// Where tills' codes lead (yonyou-open-api.md, section 5.1).
pub(super) const PATH: &str = "/qrcode-connector";

pub(super) async fn answer(_portal: Arc<Portal>, shell: Shell, _request: Request<Body>) -> Response<Body> {
    shell.notice(StatusCode::NOT_FOUND, "invalid_code", "")
}
