//! The frame of all consumer pages, and the headers that go with them.

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use taxdisk_web::pages::keeping_query;

use super::words::Lang;
use crate::assets;
use crate::portal::Portal;

/// What a page may do: style, script, pictures, forms and calls of this origin, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// The same for a page that sends a file of this origin to the printer.
const FRAMING_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
     frame-src 'self'; base-uri 'none'; frame-ancestors 'none'",
);
/// Of a file that such a page frames. Nothing in it is loaded or run.
const FRAMED_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; base-uri 'none'; frame-ancestors 'self'");

/// What every page knows.
#[derive(Debug, Clone)]
pub(super) struct Shell {
    /// Its language.
    pub(super) lang: Lang,
    /// A simulated disk signs here.
    pub(super) sample: bool,
    /// Inside WeChat, and this platform has an account there.
    pub(super) in_wechat: bool,
    /// Its kept titles may be offered.
    pub(super) picks_titles: bool,
    /// A language was chosen by this address, and is kept.
    chosen: bool,
    /// What a link to this page in another language begins with.
    here: String,
}

/// Another language of a page.
pub(super) struct Offer {
    pub(super) href: String,
    pub(super) lang: Lang,
    pub(super) current: bool,
}

impl Shell {
    pub(super) fn new(portal: &Portal, uri: &Uri, headers: &HeaderMap) -> Shell {
        let chosen = |query: &str| query.split('&').any(|pair| pair.starts_with("lang="));
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let weixin = portal.weixin.get().filter(|_| agent.contains("MicroMessenger"));
        Shell {
            lang: Lang::of(uri.query(), headers),
            sample: portal.is_sample(),
            in_wechat: weixin.is_some(),
            picks_titles: weixin.is_some_and(|weixin| weixin.offers_titles()),
            chosen: uri.query().is_some_and(chosen),
            here: keeping_query(uri.query()),
        }
    }

    /// Of a machine that strangers use one after the other: no choice of language is kept, and none of an earlier one is heard.
    pub(super) fn forgetful(self, uri: &Uri, headers: &HeaderMap) -> Shell {
        let mut headers = headers.clone();
        headers.remove(header::COOKIE);
        Shell { lang: Lang::of(uri.query(), &headers), chosen: false, ..self }
    }

    pub(super) fn lang(&self) -> Lang {
        self.lang
    }

    /// A text.
    pub(super) fn t(&self, key: &'static str) -> &'static str {
        self.lang.text(key)
    }

    /// What the core says in Chinese, in the reader's language.
    pub(super) fn in_words(&self, text: &str) -> String {
        match self.lang {
            Lang::Zh => text.to_owned(),
            Lang::En => crate::english::english(text),
        }
    }

    pub(super) fn style(&self) -> &'static str {
        &assets::STYLE
    }

    pub(super) fn script(&self) -> &'static str {
        &assets::SCRIPT
    }

    pub(super) fn offers(&self) -> [Offer; 2] {
        Lang::ALL.map(|lang| Offer { href: format!("{}lang={}", self.here, lang.code()), lang, current: lang == self.lang })
    }

    /// A page.
    pub(super) fn page(&self, status: StatusCode, page: &impl Template) -> Response<Body> {
        let html = match page.render() {
            Ok(html) => html,
            Err(error) => {
                tracing::error!(%error, "a page could not be made");
                return crate::serve::plain(StatusCode::INTERNAL_SERVER_ERROR, self.t("busy"));
            }
        };
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = status;
        guarded(&mut response, "text/html;charset=UTF-8");
        if self.chosen {
            let cookie = match self.lang {
                Lang::Zh => "lang=zh; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly",
                Lang::En => "lang=en; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly",
            };
            response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_static(cookie));
        }
        response
    }

    /// A page that says one thing, and what it means for the reader.
    pub(super) fn notice(&self, status: StatusCode, title: &'static str, more: &'static str) -> Response<Body> {
        let (title, more) = (self.t(title), if more.is_empty() { "" } else { self.t(more) });
        self.page(status, &Notice { shell: self, title, more })
    }

    /// A page that says one thing, and why in somebody else's words.
    pub(super) fn said(&self, status: StatusCode, title: &'static str, more: &str) -> Response<Body> {
        self.page(status, &Notice { shell: self, title: self.t(title), more })
    }

    /// On to a page, by GET: going back or loading again sends nothing twice.
    pub(super) fn see_other(&self, path: &str) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SEE_OTHER;
        guarded(&mut response, "text/plain;charset=UTF-8");
        if let Ok(path) = HeaderValue::from_str(path) {
            response.headers_mut().insert(header::LOCATION, path);
        }
        response
    }
}

#[derive(Template)]
#[template(path = "pages/notice.html")]
struct Notice<'a> {
    shell: &'a Shell,
    title: &'a str,
    more: &'a str,
}

/// A file. `name`: what it is called where it is saved; ASCII.
pub(super) fn file(content_type: &'static str, name: &str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    guarded(&mut response, content_type);
    if let Ok(value) = HeaderValue::from_str(&format!("inline; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// Lets a page frame files of this origin.
pub(super) fn framing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, FRAMING_POLICY);
    response
}

/// Lets pages of this origin frame a file.
pub(super) fn framed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, FRAMED_POLICY);
    response.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    response
}

/// The headers of everything that is shown.
pub(super) fn guarded(response: &mut Response<Body>, content_type: &'static str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    let plain = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=(), payment=()"),
    ];
    for (name, value) in plain {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
