//! The one frame of all pages, and the headers that go with them.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::post::words::escaped;

/// The style of all pages; on paper without what is for the screen.
const STYLE: &str = "\
*{box-sizing:border-box}\
body{margin:0;background:#f3f5f7;color:#1f2933;font:16px/1.6 -apple-system,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',\
'WenQuanYi Micro Hei',sans-serif}\
main{max-width:560px;margin:0 auto;padding:24px 16px}\
.card{background:#fff;border:1px solid #e3e7ec;border-radius:12px;padding:24px;box-shadow:0 1px 3px rgba(15,23,42,.06)}\
h1{font-size:20px;margin:0 0 4px;overflow-wrap:anywhere}\
.sub{margin:0 0 16px;color:#5b6572;font-size:14px}\
.sum{font-size:32px;font-weight:600;margin:8px 0 16px;font-variant-numeric:tabular-nums}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:8px 16px;margin:0 0 8px;border-top:1px solid #eef1f4;padding-top:16px}\
dt{color:#5b6572}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}\
.acts{display:grid;grid-template-columns:1fr 1fr;gap:12px;margin:20px 0 0}\
.acts .wide{grid-column:1/-1}\
a.button,button{display:block;width:100%;text-align:center;text-decoration:none;font:inherit;padding:11px 16px;border-radius:8px;\
border:1px solid #c3cad3;background:#fff;color:#1f2933;cursor:pointer}\
a.main,button.main{background:#b3261e;border-color:#b3261e;color:#fff}\
a:focus-visible,button:focus-visible,input:focus-visible{outline:3px solid #f2a29d;outline-offset:1px}\
.note{padding:10px 14px;border-left:4px solid #e0a800;background:#fff3cd;color:#5c4400;border-radius:4px;margin:0 0 16px}\
.good{border-color:#2e7d32;background:#e7f5e8;color:#1b4d1e}\
.qr{text-align:center;margin:24px 0 0}.qr img{width:168px;height:168px}.qr p{margin:4px 0 0;font-size:13px;color:#5b6572}\
label{display:block;margin:0 0 14px;font-size:14px;color:#5b6572}\
input{display:block;width:100%;font:inherit;color:#1f2933;padding:10px 12px;margin-top:4px;\
border:1px solid #c3cad3;border-radius:8px}\
@media print{body{background:#fff}main{padding:0;max-width:none}.card{border:0;box-shadow:none;padding:0}.screen{display:none}}";

/// The one script: the button of the print page.
const PRINT: &str = "document.getElementById('print').addEventListener('click',function(){window.print()})";

/// What a page may do: its own style, its own script, its own pictures, its own form, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let named = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())));
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; img-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        named(STYLE),
        named(PRINT)
    );
    HeaderValue::from_str(&policy).expect("hashes in base64 are visible ASCII")
});

/// A page.
pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Response<Body> {
    let html = format!(
        "<!DOCTYPE html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
         <title>{}</title><style>{STYLE}</style></head><body><main><div class=\"card\">{body}</div></main></body></html>",
        escaped(title)
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    guarded(&mut response, "text/html;charset=UTF-8");
    response
}

/// The button that prints, and the script behind it.
pub(super) fn print_button() -> String {
    format!(
        "<div class=\"acts screen\"><button id=\"print\" class=\"main wide\" type=\"button\">打印 Print</button></div>\
         <script>{PRINT}</script>"
    )
}

/// A page that says one thing.
pub(super) fn notice(status: StatusCode, zh: &str, en: &str) -> Response<Body> {
    let body = format!("<h1>{}</h1><p class=\"sub\">{}</p>", escaped(zh), escaped(en));
    page(status, zh, &body)
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

/// The headers of everything that is shown.
fn guarded(response: &mut Response<Body>, content_type: &'static str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
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
