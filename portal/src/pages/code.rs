//! `/q/<token>`: a consumer's code.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::{Found, html};
use crate::core::claim::{self, Buyer, Claimed};
use crate::core::links::Kind;
use crate::core::request::{Phase, Request as Stored};
use crate::portal::Portal;
use crate::post::words::{escaped, money};
use crate::wire::form::Form;

/// A form at most, bytes.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// A form until the buyer is known, the state afterwards. A second scan never issues again.
pub async fn code(portal: Arc<Portal>, request: Request<Body>) -> Response<Body> {
    let token = request.uri().path().trim_start_matches("/q/").to_owned();
    if request.method() == Method::POST {
        return claimed(&portal, token, request).await;
    }
    match super::found(&portal, Kind::Code, &token).await {
        Ok(Found::Open(stored)) => shown(&portal, &stored).await,
        Ok(Found::Ended) => ended(),
        Ok(Found::Nothing) => invalid(),
        Err(_) => busy(),
    }
}

async fn claimed(portal: &Portal, token: String, request: Request<Body>) -> Response<Body> {
    let Ok(body) = Limited::new(request.into_body(), MAX_FORM_BYTES).collect().await else {
        return html::notice(StatusCode::PAYLOAD_TOO_LARGE, "表单过大", "The form is too large.");
    };
    let Ok(form) = Form::parse(&body.to_bytes()) else {
        return html::notice(StatusCode::BAD_REQUEST, "表单不是 UTF-8 编码", "The form is not UTF-8.");
    };
    let field = |name: &str| form.get(name).unwrap_or_default().trim().to_owned();
    let buyer = Buyer {
        name: field("GMF_MC"),
        taxpayer_number: field("GMF_NSRSBH"),
        address_phone: field("GMF_DZDH"),
        bank_account: field("GMF_YHZH"),
    };
    let done = portal.ledger.run(move |session| Box::pin(async move { claim::claim(session, &token, &buyer).await })).await;
    match done {
        Ok(Claimed::Done(stored)) => shown(portal, &stored).await,
        Ok(Claimed::Unknown) => invalid(),
        Ok(Claimed::Ended) => ended(),
        Ok(Claimed::Wrong(faults)) => {
            let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let text = texts.join("；");
            html::notice(StatusCode::UNPROCESSABLE_ENTITY, &text, "Please go back, correct it and send it again.")
        }
        Err(_) => busy(),
    }
}

fn invalid() -> Response<Body> {
    html::notice(StatusCode::NOT_FOUND, "二维码无效，请联系商户", "This code is not valid. Please ask the merchant.")
}

fn ended() -> Response<Body> {
    html::notice(
        StatusCode::GONE,
        "二维码已过期或已撤销，请联系商户",
        "This code has ended or was revoked. Please ask the merchant. Nothing was changed by opening it.",
    )
}

fn busy() -> Response<Body> {
    html::notice(StatusCode::SERVICE_UNAVAILABLE, "系统繁忙，请稍后再试", "Please try again in a moment.")
}

async fn shown(portal: &Portal, stored: &Stored) -> Response<Body> {
    let seller = portal
        .directory()
        .tenant(&stored.tenant)
        .and_then(|tenant| tenant.seller(&stored.seller).map(|seller| seller.name.clone()));
    let seller = escaped(&seller.unwrap_or_default());
    let sample = super::invoice::sample(portal.is_sample());
    let head = format!(
        "{sample}<h1>{seller}</h1><p class=\"sub\">电子发票 Electronic invoice</p><p class=\"sum\">{}</p>",
        money(stored)
    );
    let body = match stored.phase {
        Phase::Buyer => FORM.to_owned(),
        Phase::Plan => "<p class=\"note\">已提交，开票中 Submitted, being issued</p>".to_owned(),
        Phase::Issued => match portal.link(stored).await {
            Ok(Some(link)) => {
                let link = escaped(&link);
                format!(
                    "<p class=\"note good\">开票成功 Issued</p><div class=\"acts\">\
                     <a class=\"button main wide\" href=\"{link}\">查看与下载 View and download</a></div>"
                )
            }
            Ok(None) => "<p class=\"note\">开票成功，下载链接已撤销，请联系商户</p>".to_owned(),
            Err(_) => return busy(),
        },
        Phase::Failed => "<p class=\"note\">开票失败，请联系商户 Not issued, please ask the merchant</p>".to_owned(),
        _ => format!("<p class=\"note\">{}</p>", stored.status_text()),
    };
    html::page(StatusCode::OK, "电子发票", &(head + &body))
}

const FORM: &str = "<form method=\"post\"><label>购方名称 Buyer<input name=\"GMF_MC\" required maxlength=\"100\"></label>\
<label>纳税人识别号（个人可不填） Taxpayer number<input name=\"GMF_NSRSBH\" maxlength=\"20\"></label>\
<label>地址、电话 Address, telephone<input name=\"GMF_DZDH\" maxlength=\"100\"></label>\
<label>开户行及账号 Bank account<input name=\"GMF_YHZH\" maxlength=\"100\"></label><button class=\"main\">开票 Submit</button></form>";
