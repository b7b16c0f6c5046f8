//! `/i/<token>` and below: an issued invoice for whoever was given its link.
//!
//! | path | answer |
//! |---|---|
//! | `/i/<token>` | the page, to clients that ask for HTML; the PDF to all others, as callbacks promise |
//! | `…/pdf`, `…/ofd` | the files |
//! | `…/qr.svg` | the link as a QR code, to carry it from a kiosk to a telephone |
//! | `…/print` | a page for printers |
//! | `…/card`, `…/carded` | to WeChat and back, to keep it in the card pack ([`super::card`]) |

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::code::{self, Told};
use super::sale::money;
use super::shell::{self, Shell};
use super::{Found, card};
use crate::core::links::Kind;
use crate::core::request::{Phase, Request as Stored, Voiding};
use crate::layout::LayoutError;
use crate::portal::Portal;
use crate::post::words::{masked_name, masked_number, moment};
use crate::qr;

/// Answers.
pub(super) async fn answer(portal: Arc<Portal>, shell: Shell, request: Request<Body>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return shell.notice(StatusCode::METHOD_NOT_ALLOWED, "not_allowed", "");
    }
    let rest = request.uri().path().trim_start_matches("/i/").to_owned();
    let (token, part) = rest.split_once('/').unwrap_or((rest.as_str(), ""));
    let stored = match super::found(&portal, Kind::Invoice, token).await {
        Ok(Found::Open(stored)) if stored.phase == Phase::Issued => *stored,
        Ok(Found::Ended) => return shell.notice(StatusCode::GONE, "ended_link", "invoice_unaffected"),
        Ok(Found::Open(_) | Found::Nothing) => return shell.notice(StatusCode::NOT_FOUND, "invalid_link", ""),
        Err(_) => return shell.notice(StatusCode::SERVICE_UNAVAILABLE, "busy", "invoice_unaffected"),
    };
    let asks_for_html = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"));
    let pair = stored.pair().unwrap_or_default();
    let (here, query) = (format!("/i/{token}"), request.uri().query());
    let mut response = match part {
        "" if asks_for_html => {
            let mut page = Page::of(&portal, &shell, &stored, token, false);
            page.cards = card::offers(&shell, std::slice::from_ref(&stored), &here);
            page.told = code::told(&shell, query);
            shell.page(StatusCode::OK, &page)
        }
        "card" => card::ask(&portal, &shell, std::slice::from_ref(&stored), &here, query).await,
        "carded" => card::back(&portal, &shell, std::slice::from_ref(&stored), &here, query).await,
        // A kiosk's page prints it.
        "pdf" => shell::framed(made(&shell, portal.pdf(&stored).await, &format!("{}-{}.pdf", pair.code, pair.number))),
        "" => made(&shell, portal.pdf(&stored).await, &format!("{}-{}.pdf", pair.code, pair.number)),
        "ofd" => made(&shell, portal.ofd(&stored).await, &format!("{}-{}.ofd", pair.code, pair.number)),
        "qr.svg" => match qr::svg(&format!("{}/i/{token}", portal.public_url)) {
            Some(svg) => shell::file("image/svg+xml", "qr.svg", svg.into_bytes()),
            None => shell.notice(StatusCode::NOT_FOUND, "no_file", "invoice_unaffected"),
        },
        "print" => shell.page(StatusCode::OK, &Page::of(&portal, &shell, &stored, token, true)),
        _ => shell.notice(StatusCode::NOT_FOUND, "invalid_link", ""),
    };
    // One address, two answers: no cache may mix them up.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

fn made(shell: &Shell, document: Result<crate::layout::Document, LayoutError>, name: &str) -> Response<Body> {
    match document {
        Ok(document) => shell::file(document.content_type, name, document.bytes),
        Err(error) => {
            tracing::warn!(%error, name, "a file could not be made");
            shell.notice(StatusCode::NOT_FOUND, "no_file", "invoice_unaffected")
        }
    }
}

#[derive(Template)]
#[template(path = "pages/invoice.html")]
struct Page<'a> {
    shell: &'a Shell,
    seller: String,
    kind: &'static str,
    /// It is void or reversed; empty: neither.
    changed: &'static str,
    total: String,
    rows: Vec<(&'static str, String)>,
    token: &'a str,
    printed: bool,
    /// To WeChat's card pack.
    cards: Vec<String>,
    told: Option<Told>,
}

impl<'a> Page<'a> {
    fn of(portal: &Portal, shell: &'a Shell, stored: &Stored, token: &'a str, printed: bool) -> Page<'a> {
        let directory = portal.directory();
        let seller = directory.tenant(&stored.tenant).and_then(|tenant| tenant.seller(&stored.seller));
        let seller = match stored.document.text("XSF_MC") {
            "" => seller.map(|seller| seller.name.clone()).unwrap_or_default(),
            given => given.to_owned(),
        };
        let pair = stored.pair().unwrap_or_default();
        let amount = |amount: Option<rust_decimal::Decimal>| amount.map(money).unwrap_or_default();
        let mut rows = vec![
            (shell.t("buyer"), masked_name(stored.document.text("GMF_MC"))),
            (shell.t("buyer_number"), masked_number(stored.document.text("GMF_NSRSBH"))),
            (shell.t("code"), pair.code),
            (shell.t("number"), pair.number),
            (shell.t("issued_at"), stored.issued.as_ref().map(|issued| moment(&issued.issued_at)).unwrap_or_default()),
            (shell.t("net"), amount(stored.document.net)),
            (shell.t("tax"), amount(stored.document.tax)),
        ];
        rows.retain(|(_, value)| !value.is_empty());
        let changed = match (stored.voiding, stored.reversed.is_zero()) {
            (Voiding::Void, _) => shell.t("voided"),
            (_, false) => shell.t("reversed"),
            _ => "",
        };
        let kind = if stored.gross.is_sign_negative() { shell.t("credit_note") } else { shell.t("invoice") };
        Page { shell, seller, kind, changed, total: money(stored.gross), rows, token, printed, cards: Vec::new(), told: None }
    }
}
