//! Files that pages load: built in, named by what is in them, kept by browsers for ever.
//!
//! A file that changes has another name, so no browser shows a new page with an old style.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::Response;
use taxdisk_web::pages::{Asset, STYLE as SHEET};

/// Where they are.
pub const PREFIX: &str = "/assets/";

static FILES: LazyLock<[Asset; 2]> = LazyLock::new(|| {
    let script = include_str!("../assets/page.js");
    [
        Asset::new("style", "css", "text/css;charset=UTF-8", SHEET),
        Asset::new("page", "js", "text/javascript;charset=UTF-8", script),
    ]
});

/// Address of the look of all pages.
pub static STYLE: LazyLock<String> = LazyLock::new(|| format!("{PREFIX}{}", FILES[0].name()));

/// Address of what consumers' pages do better with JavaScript.
pub static SCRIPT: LazyLock<String> = LazyLock::new(|| format!("{PREFIX}{}", FILES[1].name()));

/// The file at a path.
pub fn answer(path: &str) -> Response<Body> {
    let [style, script] = &*FILES;
    Asset::answer(path.strip_prefix(PREFIX).unwrap_or_default(), &[style, script])
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn a_file_is_found_under_its_own_name_alone() {
        assert_eq!(answer(&STYLE).status(), StatusCode::OK);
        assert_eq!(answer(&SCRIPT).status(), StatusCode::OK);
        assert_eq!(answer("/assets/style.css").status(), StatusCode::NOT_FOUND);
        assert_eq!(answer("/assets/../Cargo.toml").status(), StatusCode::NOT_FOUND);
    }
}
