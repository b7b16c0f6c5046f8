//! What all pages share, of consumers and of both consoles: the style sheet, language, files with digests in their names,
//! headers, the guard against other sites.
//!
//! It knows no page and no text. Everything here works without JavaScript.

use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse as _;

use crate::form::{self, Form};
use crate::signin::csrf;
use crate::signin::session;

/// The style sheet of all pages: consumers' (`<body class="page">`) and consoles' (`<body class="console">`).
pub const STYLE: &str = include_str!("../assets/style.css");

/// What a page may do: style, scripts, pictures and forms of this origin, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// Language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// 中文.
    Zh,
    /// English.
    En,
}

impl Lang {
    /// As pages and links write it.
    pub fn tag(self) -> &'static str {
        match self {
            Lang::Zh => "zh",
            Lang::En => "en",
        }
    }
}

/// The language that somebody wants: of the link, of his cookie, of his browser; Chinese.
pub fn language(query: &Form, headers: &HeaderMap) -> Lang {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cookies = header(header::COOKIE);
    let cookie = cookies.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == "lang");
    let wanted = query.get("lang").or(cookie.map(|(_, value)| value)).unwrap_or_else(|| header(header::ACCEPT_LANGUAGE));
    if wanted.starts_with("en") { Lang::En } else { Lang::Zh }
}

/// What a link to the same page in another language begins with: `?`, or `?a=b&`; `lang=` and a language follow. What else the
/// query says stays, or whoever changes the language loses what he searched for.
pub fn keeping_query(query: Option<&str>) -> String {
    // Decoded, as whoever reads the query does: an escaped name would win over the link's own.
    let is_lang = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        form::decode(name.as_bytes()).is_ok_and(|name| name == "lang")
    };
    let pairs = query.unwrap_or_default().split('&');
    let kept: String = pairs.filter(|pair| !pair.is_empty() && !is_lang(pair)).flat_map(|pair| [pair, "&"]).collect();
    format!("?{kept}")
}

/// `Set-Cookie` that keeps a language for a year.
pub fn language_cookie(lang: Lang) -> String {
    format!("lang={}; Path=/; SameSite=Lax; Max-Age=31536000", lang.tag())
}

/// Did a page of this origin send the request, by what the browser says?
pub fn from_own_page(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    csrf::from_own_page(text(HeaderName::from_static("sec-fetch-site")), text(header::ORIGIN), text(header::HOST))
}

/// An answer with the headers of every page.
pub fn finished(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// On to another page, by GET.
pub fn see_other(path: &str) -> Response<Body> {
    match HeaderValue::from_str(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A file that pages name. Its name changes with what is in it, so browsers keep it for ever.
#[derive(Debug)]
pub struct Asset {
    name: String,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    /// A text of this type, as `stem-digest.extension`.
    pub fn new(stem: &str, extension: &str, content_type: &'static str, text: &'static str) -> Asset {
        let digest = session::labelled("taxdisk-asset-v1", text);
        let short: String = digest.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        Asset { name: format!("{stem}-{short}.{extension}"), content_type, text }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file of this name, if it is one of these.
    pub fn answer(name: &str, assets: &[&Asset]) -> Response<Body> {
        let Some(asset) = assets.iter().find(|asset| asset.name == name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
            (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        (headers, asset.text).into_response()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_link_goes_before_the_cookie_and_the_browser() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, "en-GB,en".parse().unwrap());
        let query = |text: &str| Form::parse(text.as_bytes()).unwrap();
        assert_eq!(language(&query(""), &headers), Lang::En);
        headers.insert(header::COOKIE, "a=b; lang=zh".parse().unwrap());
        assert_eq!(language(&query(""), &headers), Lang::Zh);
        assert_eq!(language(&query("lang=en"), &headers), Lang::En);
    }

    #[test]
    fn another_language_keeps_the_rest_of_the_query() {
        for (query, kept) in [
            (None, "?"),
            (Some(""), "?"),
            (Some("lang=zh"), "?"),
            (Some("state=failed&lang=zh&after=1-a%26b"), "?state=failed&after=1-a%26b&"),
            (Some("lang&l%61ng=zh&language=x&&a"), "?language=x&a&"),
        ] {
            assert_eq!(keeping_query(query), kept, "{query:?}");
            let other = format!("{}lang=en", keeping_query(query));
            assert_eq!(language(&Form::parse(&other.as_bytes()[1..]).unwrap(), &HeaderMap::new()), Lang::En, "{query:?}");
        }
    }

    #[test]
    fn the_style_sheet_is_one_and_small_and_loads_nothing() {
        // A page has 60 KB for everything (tests/browser).
        assert!(STYLE.len() <= 13 * 1024, "{} bytes", STYLE.len());
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"), "nothing of others is loaded");
    }

    #[test]
    fn a_file_is_found_by_its_whole_name() {
        let asset = Asset::new("console", "css", "text/css;charset=UTF-8", "a { color: red }");
        assert_eq!(Asset::answer(asset.name(), &[&asset]).status(), StatusCode::OK);
        assert_eq!(Asset::answer("console.css", &[&asset]).status(), StatusCode::NOT_FOUND);
        assert_ne!(asset.name(), Asset::new("console", "css", "text/css", "b").name());
    }
}
