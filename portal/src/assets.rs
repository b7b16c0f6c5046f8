//! Files that pages load: built in, named by what is in them, kept by browsers for ever.
//!
//! A file that changes has another name, so no browser shows a new page with an old style.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Where they are.
pub const PREFIX: &str = "/assets/";

/// A file.
#[derive(Debug)]
pub struct Asset {
    /// Its address, with the beginning of its SHA-256.
    pub path: String,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(stem: &str, ending: &str, content_type: &'static str, text: &'static str) -> Asset {
        let hash = hex::encode(&Sha256::digest(text.as_bytes())[..6]);
        Asset { path: format!("{PREFIX}{stem}.{hash}.{ending}"), content_type, text }
    }
}

/// The look of consumers' pages.
pub static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", "text/css;charset=UTF-8", include_str!("../assets/style.css")));

/// What consumers' pages do better with JavaScript.
pub static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("page", "js", "text/javascript;charset=UTF-8", include_str!("../assets/page.js")));

/// The file at a path.
pub fn answer(path: &str) -> Response<Body> {
    let known = [&*STYLE, &*SCRIPT].into_iter().find(|asset| asset.path == path);
    let Some(asset) = known else {
        return crate::serve::plain(StatusCode::NOT_FOUND, "there is no such file");
    };
    let mut response = Response::new(Body::from(asset.text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_under_its_own_name_alone_and_pages_stay_small() {
        assert_eq!(answer(&STYLE.path).status(), StatusCode::OK);
        assert_eq!(answer("/assets/style.css").status(), StatusCode::NOT_FOUND);
        assert_eq!(answer("/assets/../Cargo.toml").status(), StatusCode::NOT_FOUND);
        assert!(STYLE.text.len() + SCRIPT.text.len() < 30 * 1024, "a page has 60 KB for everything");
        assert!(!STYLE.text.contains("url(") && !STYLE.text.contains("@import"), "nothing of others is loaded");
    }
}
