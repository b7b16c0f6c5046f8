//! `/kiosk`: a self-service terminal (自助终端一体机) whose scanner types what it reads into a field, and presses enter.
//!
//! What was scanned is read here and never followed: only a code or a link of this portal's own address opens something, and the
//! terminal never leaves the page. The invoice is the answer to the form, so no address that opens it stays in the history of a
//! machine that the next person uses. Every page that was scanned for is cleared after [`CLEARS_S`]; the language goes with it.

use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, Uri};

use super::code::{self, Looked, parts_of};
use super::form;
use super::offline;
use super::sale::money;
use super::shell::{Shell, framing};
use super::state::State;
use crate::core::links::Kind;
use crate::core::request::{Phase, Request as Stored};
use crate::portal::Portal;
use crate::post::words::masked_name;
use crate::store::StoreError;

/// Where it is.
pub(super) const PATH: &str = "/kiosk";
/// What was scanned for is shown for so long, seconds.
const CLEARS_S: u32 = 60;
/// Longest text that a scanner gives, bytes: an offline code has 600 at most.
const SCAN_MAX: usize = 2048;

/// An address of ours, as far as its text tells.
#[derive(Debug, PartialEq, Eq)]
enum Own {
    /// `/q/<token>`.
    Code(String),
    /// `/i/<token>`.
    Invoice(String),
    /// `/qrcode-connector?…`: its query.
    Offline(String),
}

impl Own {
    /// Reads what was scanned. `None`: it is not an address of ours.
    fn of(public_url: &str, scanned: &str) -> Option<Own> {
        let scanned = scanned.trim();
        if scanned.len() > SCAN_MAX {
            return None;
        }
        let (ours, given): (Uri, Uri) = (public_url.parse().ok()?, scanned.parse().ok()?);
        if ours.scheme()? != given.scheme()? || place(&ours)? != place(&given)? {
            return None;
        }
        let path = given.path().strip_prefix(ours.path().trim_end_matches('/'))?;
        if path == offline::PATH {
            return Some(Own::Offline(given.query()?.to_owned()));
        }
        let token = |prefix: &str| path.strip_prefix(prefix)?.split('/').next().map(str::to_owned);
        token("/q/").map(Own::Code).or_else(|| token("/i/").map(Own::Invoice))
    }
}

/// Host and port. `None`: there is none, or a user is named before it.
fn place(uri: &Uri) -> Option<(String, u16)> {
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let port = authority.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    Some((authority.host().to_ascii_lowercase(), port))
}

/// What a scan leads to.
enum Seen {
    /// These invoices, in whatever state.
    Sale(Vec<Stored>),
    /// Nobody has named the buyer yet.
    Unclaimed,
    /// It was good once.
    Ended,
    Nothing,
}

pub(super) async fn answer(portal: Arc<Portal>, shell: Shell, request: Request<Body>) -> Response<Body> {
    match *request.method() {
        Method::GET | Method::HEAD => return said(&shell, StatusCode::OK, "", ""),
        Method::POST => {}
        _ => return said(&shell, StatusCode::METHOD_NOT_ALLOWED, "not_allowed", ""),
    }
    if portal.scans.admit(super::address(&request), Instant::now()).is_err() {
        return said(&shell, StatusCode::TOO_MANY_REQUESTS, "too_often", "");
    }
    let form = match form::read(&shell, request).await {
        Ok(form) => form,
        Err(page) => return *page,
    };
    let scanned = form.get("scan").unwrap_or_default();
    let Some(own) = Own::of(&portal.public_url, scanned) else {
        return said(&shell, StatusCode::UNPROCESSABLE_ENTITY, "kiosk_foreign", "kiosk_foreign_more");
    };
    match seen(&portal, own).await {
        Ok(Seen::Sale(parts)) => shown(&portal, &shell, &parts, scanned.trim()).await,
        Ok(Seen::Unclaimed) => said(&shell, StatusCode::OK, "kiosk_form", "kiosk_form_more"),
        Ok(Seen::Ended) => said(&shell, StatusCode::GONE, "ended_code", ""),
        Ok(Seen::Nothing) => said(&shell, StatusCode::NOT_FOUND, "invalid_code", ""),
        Err(error) => {
            tracing::error!(%error, "the store cannot be read");
            said(&shell, StatusCode::SERVICE_UNAVAILABLE, "busy", "same_safe")
        }
    }
}

async fn seen(portal: &Portal, own: Own) -> Result<Seen, StoreError> {
    let parts = match own {
        Own::Code(token) => match code::found(portal, &token).await? {
            Looked::Open(found) => found.parts,
            Looked::Ended => return Ok(Seen::Ended),
            Looked::Nothing => return Ok(Seen::Nothing),
        },
        Own::Invoice(token) => match super::found(portal, Kind::Invoice, &token).await? {
            super::Found::Open(stored) if stored.phase == Phase::Issued => vec![*stored],
            super::Found::Ended => return Ok(Seen::Ended),
            super::Found::Open(_) | super::Found::Nothing => return Ok(Seen::Nothing),
        },
        Own::Offline(query) => match offline::known(portal, &query).await? {
            Some(offline::Order::Known(request)) => parts_of(portal, &request).await?,
            Some(offline::Order::New) => return Ok(Seen::Unclaimed),
            Some(offline::Order::Ended) => return Ok(Seen::Ended),
            None => return Ok(Seen::Nothing),
        },
    };
    let unclaimed = parts.iter().all(|part| part.phase == Phase::Buyer);
    Ok(if unclaimed { Seen::Unclaimed } else { Seen::Sale(parts) })
}

/// An invoice of the page.
struct Shown {
    rows: Vec<(&'static str, String)>,
    /// Where its files are; empty: its link was revoked.
    link: String,
}

impl Shown {
    fn of(portal: &Portal, shell: &Shell, part: &Stored, link: String) -> Shown {
        let directory = portal.directory();
        let known = directory.tenant(&part.tenant).and_then(|tenant| tenant.seller(&part.seller));
        let own = |field: &str, kept: Option<&str>| match part.document.text(field) {
            "" => kept.unwrap_or_default().to_owned(),
            given => given.to_owned(),
        };
        let amount = |amount: Option<rust_decimal::Decimal>| amount.map(money).unwrap_or_default();
        let pair = part.pair().unwrap_or_default();
        let mut rows = vec![
            (shell.t("buyer"), masked_name(part.document.text("GMF_MC"))),
            (shell.t("net"), amount(part.document.net)),
            (shell.t("tax"), amount(part.document.tax)),
            (shell.t("total"), money(part.gross)),
            (shell.t("seller"), own("XSF_MC", known.map(|seller| seller.name.as_str()))),
            (shell.t("seller_address"), own("XSF_DZDH", known.map(|seller| seller.address_phone.as_str()))),
            (shell.t("code"), pair.code),
            (shell.t("number"), pair.number),
        ];
        rows.retain(|(_, value)| !value.is_empty());
        Shown { rows, link }
    }
}

#[derive(Template)]
#[template(path = "pages/kiosk.html")]
struct KioskPage<'a> {
    shell: &'a Shell,
    /// One thing to say, and what it means; empty: nothing.
    title: &'a str,
    more: &'a str,
    class: &'a str,
    invoices: Vec<Shown>,
    /// What was scanned, so that another language shows the same; empty: nothing was.
    scanned: &'a str,
    /// The page is cleared after so many seconds; none: there is nothing to clear.
    clears_s: Option<u32>,
}

fn said(shell: &Shell, status: StatusCode, title: &'static str, more: &'static str) -> Response<Body> {
    let text = |key: &'static str| if key.is_empty() { "" } else { shell.t(key) };
    let clears_s = Some(CLEARS_S).filter(|_| !title.is_empty());
    let (title, more) = (text(title), text(more));
    shell.page(status, &KioskPage { shell, title, more, class: "", invoices: Vec::new(), scanned: "", clears_s })
}

async fn shown(portal: &Portal, shell: &Shell, parts: &[Stored], scanned: &str) -> Response<Body> {
    let state = State::of_all(parts);
    let (mut title, mut more) = (state.title(shell.lang), state.more(shell.lang));
    let mut invoices = Vec::new();
    for part in parts.iter().filter(|_| state.is_issued()) {
        let Ok(link) = portal.link(part).await else {
            return said(shell, StatusCode::SERVICE_UNAVAILABLE, "busy", "same_safe");
        };
        let link = link.map(|link| link.replacen(&portal.public_url, "", 1)).unwrap_or_default();
        (title, more) = (shell.t("state_issued"), shell.t(if link.is_empty() { "link_revoked" } else { "kiosk_ready" }));
        invoices.push(Shown::of(portal, shell, part, link));
    }
    if matches!(state, State::Queued | State::Checking | State::Issuing) {
        // Their texts speak of a page that renews itself; this one is cleared.
        more = shell.t("kiosk_later");
    }
    let page = KioskPage { shell, title, more, class: state.class(), invoices, scanned, clears_s: Some(CLEARS_S) };
    framing(shell.page(StatusCode::OK, &page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_addresses_are_read() {
        let own = |text: &str| Own::of("https://fp.example", text);
        let code = || Some(Own::Code("abc".to_owned()));
        for good in ["https://fp.example/q/abc", " https://FP.example:443/q/abc\r\n", "https://fp.example/q/abc?lang=en#x"] {
            assert_eq!(own(good), code(), "{good}");
        }
        assert_eq!(own("https://fp.example/i/abc/pdf"), Some(Own::Invoice("abc".to_owned())));
        assert_eq!(own("https://fp.example/qrcode-connector?a=b&c"), Some(Own::Offline("a=b&c".to_owned())));
        for foreign in [
            "",
            "abc",
            "/q/abc",
            "//fp.example/q/abc",
            "http://fp.example/q/abc",
            "https://fp.example.evil.example/q/abc",
            "https://fp.example@evil.example/q/abc",
            "https://evil.example@fp.example/q/abc",
            "https://evil.example/https://fp.example/q/abc",
            "https://fp.example:8443/q/abc",
            "https://fp.example\\@evil.example/q/abc",
            "https://fp.example/console/invoices",
            "https://fp.example/qrcode-connector",
            "javascript:alert(1)//https://fp.example/q/abc",
            "https:fp.example/q/abc",
        ] {
            assert_eq!(own(foreign), None, "{foreign}");
        }
        assert_eq!(own(&format!("https://fp.example/q/{}", "a".repeat(SCAN_MAX))), None);
        assert_eq!(Own::of("https://fp.example/tax", "https://fp.example/tax/q/abc"), code(), "below a path");
        assert_eq!(Own::of("https://fp.example/tax", "https://fp.example/q/abc"), None);
        assert_eq!(Own::of("http://127.0.0.1:8480", "http://127.0.0.1:8480/q/abc"), code());
    }
}
