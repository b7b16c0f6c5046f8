//! `/i/<token>` and below: an issued invoice for whoever was given its link.
//!
//! | path | answer |
//! |---|---|
//! | `/i/<token>` | the page, to clients that ask for HTML; the PDF to all others, as callbacks promise |
//! | `…/pdf`, `…/ofd` | the files |
//! | `…/qr.svg` | the link as a QR code, to carry it from a kiosk to a telephone |
//! | `…/print` | a page for printers |

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use fast_qr::ECL;
use fast_qr::qr::QRBuilder;

use super::{Found, html};
use crate::core::links::Kind;
use crate::core::request::{Phase, Request as Stored, Voiding};
use crate::layout::LayoutError;
use crate::portal::Portal;
use crate::post::words::{escaped, masked_name, masked_number, moment, money};

/// Light modules around a code (ISO/IEC 18004).
const QUIET: usize = 4;

/// Answers.
pub async fn invoice(portal: Arc<Portal>, request: Request<Body>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return html::notice(StatusCode::METHOD_NOT_ALLOWED, "不支持的操作", "Not allowed.");
    }
    let rest = request.uri().path().trim_start_matches("/i/").to_owned();
    let (token, part) = rest.split_once('/').unwrap_or((rest.as_str(), ""));
    let stored = match super::found(&portal, Kind::Invoice, token).await {
        Ok(Found::Open(stored)) if stored.phase == Phase::Issued => stored,
        Ok(Found::Ended) => {
            return html::notice(
                StatusCode::GONE,
                "链接已过期或已撤销，请联系商户",
                "This link has ended or was revoked. Please ask the merchant. The invoice itself is not affected.",
            );
        }
        Ok(Found::Open(_) | Found::Nothing) => return html::notice(StatusCode::NOT_FOUND, "链接无效", "This link is not valid."),
        Err(_) => return html::notice(StatusCode::SERVICE_UNAVAILABLE, "系统繁忙，请稍后再试", "Please try again in a moment."),
    };
    let asks_for_html = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"));
    let pair = stored.pair().unwrap_or_default();
    let mut response = match part {
        "" if asks_for_html => html::page(StatusCode::OK, "电子发票", &view(&portal, &stored, token)),
        "" | "pdf" => made(portal.pdf(&stored).await, &format!("{}-{}.pdf", pair.code, pair.number)),
        "ofd" => made(portal.ofd(&stored).await, &format!("{}-{}.ofd", pair.code, pair.number)),
        "qr.svg" => match qr_svg(&format!("{}/i/{token}", portal.public_url)) {
            Some(svg) => html::file("image/svg+xml", "qr.svg", svg.into_bytes()),
            None => html::notice(StatusCode::NOT_FOUND, "链接过长", "The link is too long for a code."),
        },
        "print" => html::page(StatusCode::OK, "电子发票", &print(&portal, &stored, token)),
        _ => html::notice(StatusCode::NOT_FOUND, "链接无效", "This link is not valid."),
    };
    // One address, two answers: no cache may mix them up.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

fn made(document: Result<crate::layout::Document, LayoutError>, name: &str) -> Response<Body> {
    match document {
        Ok(document) => html::file(document.content_type, name, document.bytes),
        Err(error) => html::notice(StatusCode::NOT_FOUND, &error.to_string(), "The file cannot be made; the invoice is good."),
    }
}

/// What a simulated disk signed says so.
pub(super) fn sample(simulated: bool) -> &'static str {
    if simulated {
        "<p class=\"note\">样票 SAMPLE：由模拟设备生成，不是合法的发票 not a legal invoice</p>"
    } else {
        ""
    }
}

fn facts(portal: &Portal, stored: &Stored) -> String {
    let directory = portal.directory();
    let seller = directory.tenant(&stored.tenant).and_then(|tenant| tenant.seller(&stored.seller));
    let seller = match stored.document.text("XSF_MC") {
        "" => seller.map(|seller| seller.name.clone()).unwrap_or_default(),
        given => given.to_owned(),
    };
    let pair = stored.pair().unwrap_or_default();
    let issued_at = stored.issued.as_ref().map(|issued| moment(&issued.issued_at)).unwrap_or_default();
    let kind = if stored.gross.is_sign_negative() { "红字电子发票 Credit note" } else { "电子发票 Electronic invoice" };
    let mut rows = vec![
        ("购方 Buyer", masked_name(stored.document.text("GMF_MC"))),
        ("购方税号 Tax no.", masked_number(stored.document.text("GMF_NSRSBH"))),
        ("发票代码 Code", pair.code),
        ("发票号码 Number", pair.number),
        ("开票时间 Issued", issued_at),
    ];
    for (name, amount) in [("金额 Net", stored.document.net), ("税额 Tax", stored.document.tax)] {
        rows.push((name, amount.map(|amount| format!("{amount:.2}")).unwrap_or_default()));
    }
    let rows: String = rows
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escaped(value)))
        .collect();
    let state = match (stored.voiding, stored.reversed.is_zero()) {
        (Voiding::Void, _) => "<p class=\"note\">该发票已作废 This invoice was voided</p>",
        (_, false) => "<p class=\"note\">该发票已红冲 A credit note was issued for it</p>",
        _ => "",
    };
    let sample = sample(portal.is_sample());
    format!(
        "{sample}{state}<h1>{}</h1><p class=\"sub\">{kind}</p><p class=\"sum\">{}</p><dl>{rows}</dl>",
        escaped(&seller),
        money(stored)
    )
}

fn view(portal: &Portal, stored: &Stored, token: &str) -> String {
    let token = escaped(token);
    format!(
        "{}<div class=\"acts\"><a class=\"button main wide\" href=\"/i/{token}/pdf\">下载 PDF Download</a>\
         <a class=\"button\" href=\"/i/{token}/ofd\">OFD</a><a class=\"button\" href=\"/i/{token}/print\">打印 Print</a></div>\
         <div class=\"qr\"><img src=\"/i/{token}/qr.svg\" alt=\"本页链接的二维码\"><p>用手机扫码打开本页 Scan to open on a phone</p></div>",
        facts(portal, stored)
    )
}

fn print(portal: &Portal, stored: &Stored, token: &str) -> String {
    let token = escaped(token);
    format!(
        "{}<div class=\"qr\"><img src=\"/i/{token}/qr.svg\" alt=\"发票链接的二维码\"><p>扫码下载发票 Scan to download</p></div>{}",
        facts(portal, stored),
        html::print_button()
    )
}

/// A text as a QR code, one unit a module.
fn qr_svg(text: &str) -> Option<String> {
    let code = QRBuilder::new(text).ecl(ECL::M).build().ok()?;
    let side = code.size + 2 * QUIET;
    let mut path = String::new();
    for (row, modules) in code.data.chunks(code.size).take(code.size).enumerate() {
        for (column, module) in modules.iter().enumerate() {
            if module.value() {
                path += &format!("M{} {}h1v1h-1z", column + QUIET, row + QUIET);
            }
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\"/></svg>"
    ))
}
