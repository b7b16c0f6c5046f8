//! The two links that reach people: `/q/<token>`, where a consumer names the buyer of a code, and `/i/<token>`, the file of an
//! invoice. Tokens are 128 random bits; a wrong one and an unknown one look the same.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use crate::core::claim::{self, Buyer, Claimed};
use crate::core::request::{Phase, Request as Stored};
use crate::portal::Portal;
use crate::serve::plain;
use crate::store::StoreError;
use crate::wire::form::Form;

/// A form at most, bytes.
const MAX_FORM_BYTES: usize = 16 * 1024;
/// What a token that leads nowhere is told.
const INVALID: &str = "二维码无效，请联系商户";

/// `/q/<token>`: a form until the buyer is known, the state afterwards. A second scan never issues again.
pub async fn code(portal: Arc<Portal>, request: Request<Body>) -> Response<Body> {
    let token = request.uri().path().trim_start_matches("/q/").to_owned();
    if request.method() == Method::POST {
        return claimed(&portal, token, request).await;
    }
    let found = by_code(&portal, &token).await;
    match found {
        Ok(Some(stored)) => page(&shown(&portal, &stored)),
        Ok(None) => plain(StatusCode::NOT_FOUND, INVALID),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "系统繁忙，请稍后再试"),
    }
}

async fn by_code(portal: &Portal, token: &str) -> Result<Option<Stored>, StoreError> {
    portal.readers.get().await?.request_by_code(token).await
}

async fn by_share(portal: &Portal, token: &str) -> Result<Option<Stored>, StoreError> {
    portal.readers.get().await?.request_by_share(token).await
}

async fn claimed(portal: &Portal, token: String, request: Request<Body>) -> Response<Body> {
    let Ok(body) = Limited::new(request.into_body(), MAX_FORM_BYTES).collect().await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "表单过大");
    };
    let Ok(form) = Form::parse(&body.to_bytes()) else { return plain(StatusCode::BAD_REQUEST, "表单不是 UTF-8 编码") };
    let field = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
    let buyer = Buyer {
        name: field("GMF_MC"),
        taxpayer_number: field("GMF_NSRSBH"),
        address_phone: field("GMF_DZDH"),
        bank_account: field("GMF_YHZH"),
    };
    let done = portal.ledger.run(move |session| Box::pin(async move { claim::claim(session, &token, &buyer).await })).await;
    match done {
        Ok(Claimed::Done(stored)) => page(&shown(portal, &stored)),
        Ok(Claimed::Unknown) => plain(StatusCode::NOT_FOUND, INVALID),
        Ok(Claimed::Wrong(faults)) => {
            let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
            plain(StatusCode::UNPROCESSABLE_ENTITY, &texts.join("；"))
        }
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "系统繁忙，请稍后再试"),
    }
}

fn shown(portal: &Portal, stored: &Stored) -> String {
    let seller = portal
        .directory()
        .tenant(&stored.tenant)
        .and_then(|tenant| tenant.seller(&stored.seller).map(|seller| seller.name.clone()));
    let head = format!("<h1>{}</h1><p>价税合计 ¥{:.2}</p>", escaped(&seller.unwrap_or_default()), stored.gross);
    let body = match stored.phase {
        Phase::Buyer => FORM.to_owned(),
        Phase::Plan => "<p>已提交，开票中</p>".to_owned(),
        Phase::Issued => {
            let pair = stored.pair().unwrap_or_default();
            format!(
                "<p>开票成功</p><p>发票代码 {} 号码 {}</p><p><a href=\"/i/{}\">下载 PDF</a></p>",
                pair.code, pair.number, stored.share
            )
        }
        _ => format!("<p>{}</p>", stored.status_text()),
    };
    format!("{head}{body}")
}

const FORM: &str = "<form method=\"post\"><p><label>购方名称 <input name=\"GMF_MC\" required maxlength=\"100\"></label></p>\
<p><label>纳税人识别号（个人可不填） <input name=\"GMF_NSRSBH\" maxlength=\"20\"></label></p>\
<p><label>地址、电话 <input name=\"GMF_DZDH\" maxlength=\"100\"></label></p>\
<p><label>开户行及账号 <input name=\"GMF_YHZH\" maxlength=\"100\"></label></p><p><button>开票</button></p></form>";

fn page(body: &str) -> Response<Body> {
    let html = format!(
        "<!DOCTYPE html><html lang=\"zh-CN\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>电子发票</title>{body}</html>"
    );
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html;charset=UTF-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; form-action 'self'; frame-ancestors 'none'"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// `/i/<token>`: the PDF of an issued invoice.
pub async fn invoice(portal: Arc<Portal>, request: Request<Body>) -> Response<Body> {
    let token = request.uri().path().trim_start_matches("/i/").to_owned();
    let found = by_share(&portal, &token).await;
    let stored = match found {
        Ok(Some(stored)) if stored.phase == Phase::Issued => stored,
        Ok(_) => return plain(StatusCode::NOT_FOUND, "链接无效"),
        Err(_) => return plain(StatusCode::SERVICE_UNAVAILABLE, "系统繁忙，请稍后再试"),
    };
    match portal.pdf(&stored).await {
        Ok(document) => {
            let mut response = Response::new(Body::from(document.bytes));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(document.content_type));
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => plain(StatusCode::NOT_FOUND, &error.to_string()),
    }
}
