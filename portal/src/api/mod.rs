//! The compatible paths: `/<prefix>/api/invoiceApply/<name>` under both prefixes. One file for each interface; [`INTERFACES`] is
//! the table.
//!
//! Whatever happens, the answer is HTTP 200 with a JSON object and a numeric `code` (see [`crate::wire::reply`]): old clients
//! book everything else as success. The true status stands in `X-Real-Status`.

mod batch_query;
mod blue;
mod bs_restart_create;
mod call_back_by;
mod callback_replay;
mod del;
mod delete_invoice_fail_data;
mod delivery;
mod insert_for_qr_invoice;
mod insert_with_array;
mod insert_with_split;
mod invalid;
mod issue;
mod params;
mod part_red;
mod qr_with_split;
mod query_by_original;
mod query_invoice_status;
mod red;
mod reissue;
mod status;
mod verdict;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Limited};

pub use params::Call;

use crate::core::replay;
use crate::portal::Portal;
use crate::serve::vouch;
use crate::sign::{self, Rules, Signed};
use crate::wire::form::Form;
use crate::wire::json::Json;
use crate::wire::reply::Reply;

/// The prefixes, which mean the same.
pub const PREFIXES: [&str; 2] = ["invoiceclient-web", "output-tax"];

type Answer = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// An interface.
pub struct Interface {
    /// Its name in the path.
    pub name: &'static str,
    /// It changes something: its tokens are used once.
    pub changes: bool,
    /// Documented in the gateway family only: `message` stands beside `msg`, and success may be `200`.
    pub gateway: bool,
    run: fn(Call) -> Answer,
}

macro_rules! interfaces {
    ($($name:literal $file:ident::$run:ident $($flag:ident)*;)*) => {
        /// Every interface that is served.
        pub const INTERFACES: &[Interface] = &[$(Interface {
            name: $name,
            $($flag: true,)*
            ..Interface { name: "", changes: false, gateway: false, run: |call| Box::pin($file::$run(call)) }
        },)*];
    };
}

interfaces! {
    "insertWithArray" insert_with_array::run changes;
    "insertWithSplit" insert_with_split::run changes;
    "insertForQRInvoice" insert_for_qr_invoice::run changes gateway;
    "qr-with-split" qr_with_split::run changes gateway;
    "red" red::run changes;
    "part-red" part_red::run changes;
    "issue" issue::run changes;
    "del" del::run changes gateway;
    "deleteInvoiceFailData" delete_invoice_fail_data::run changes gateway;
    "invalid" invalid::run changes gateway;
    "reissue" reissue::run changes;
    "callback/replay" callback_replay::run changes;
    "bsRestartCreate" bs_restart_create::run changes gateway;
    "callBackByEmail" call_back_by::email changes gateway;
    "callBackBySms" call_back_by::sms changes gateway;
    "queryInvoiceStatus" query_invoice_status::run;
    "queryInvoiceStatusByysfpqqlsh" query_by_original::run gateway;
    "batchQueryInvoiceStatus" batch_query::run gateway;
}

/// Is this path one of ours? Then its answer is always HTTP 200, whatever goes wrong.
pub fn is_compatible(path: &str) -> bool {
    PREFIXES.iter().any(|prefix| path.trim_start_matches('/').starts_with(prefix))
}

/// Answers a request on a compatible path.
pub async fn answer(portal: Arc<Portal>, request: Request<Body>) -> Response<Body> {
    let limit = portal.config.request_limit();
    let (reply, plain, gateway) = match tokio::time::timeout(limit, answered(portal, request)).await {
        Ok(answered) => answered,
        Err(_) => (Reply::busy(), false, None),
    };
    response(&reply, plain, gateway)
}

/// An answer that was given before anything could be read.
pub fn busy() -> Response<Body> {
    response(&Reply::busy(), false, None)
}

fn response(reply: &Reply, plain: bool, gateway: Option<&str>) -> Response<Body> {
    let mut response = Response::new(Body::from(reply.body(plain, gateway).to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    headers.insert("x-real-status", HeaderValue::from(reply.real_status()));
    if let Some(wait_s) = reply.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answered(portal: Arc<Portal>, request: Request<Body>) -> (Reply, bool, Option<&'static str>) {
    let (parts, body) = request.into_parts();
    let refused = |reply: Reply| (reply, false, None);
    if parts.method != axum::http::Method::POST {
        return refused(Reply::invalid("METHOD", "请使用 POST 方法"));
    }
    let path = parts.uri.path();
    let Some(interface) = interface(path) else {
        return refused(Reply::invalid("NOT_AVAILABLE", "本平台不提供该接口"));
    };
    let query = match Form::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        Ok(query) => query,
        Err(error) => return refused(Reply::invalid("FORM", error.to_string())),
    };
    let appid = query.get_any_case("appid").unwrap_or_default().to_owned();
    let Some(known) = portal.directory().caller(&appid).filter(|known| !known.caller.disabled).cloned() else {
        return refused(Reply::invalid("APPID", "签名校验失败：appid 未登记或已停用"));
    };
    let switches = &known.caller.switches;
    let plain = switches.plain_reply;
    let success = if switches.gateway_success { "200" } else { "0000" };
    let gateway = interface.gateway.then_some(success);
    let limit = portal.config.limits.body_bytes;
    let read =
        tokio::time::timeout(std::time::Duration::from_secs(portal.config.limits.read_s), Limited::new(body, limit).collect());
    let body: Bytes = match read.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return (Reply::invalid("TOO_LARGE", format!("请求超过 {limit} 字节")), plain, gateway);
        }
        Ok(Err(_)) | Err(_) => return (Reply::busy(), plain, gateway),
    };
    let inside = portal.clone();
    let reply = match call(portal, interface, known.clone(), &parts, query, &body) {
        // Only who holds a key uses up a caller's rate: anybody can read an appid. The token is not used up by a refusal.
        Ok(call) => {
            vouch(&parts.extensions);
            match inside.rates.admit(&known.caller.appid, Instant::now()) {
                Ok(()) => (interface.run)(call).await,
                Err(wait_s) => Reply::too_often(wait_s),
            }
        }
        Err(reply) => reply,
    };
    (reply, plain, gateway)
}

fn interface(path: &str) -> Option<&'static Interface> {
    let rest = path.strip_prefix('/')?;
    let name = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)?.strip_prefix("/api/invoiceApply/"))?;
    INTERFACES.iter().find(|interface| interface.name == name.trim_end_matches('/'))
}

/// Reads the parameters and verifies the token.
fn call(
    portal: Arc<Portal>,
    interface: &'static Interface,
    known: Arc<crate::model::KnownCaller>,
    parts: &axum::http::request::Parts,
    query: Form,
    body: &Bytes,
) -> Result<Call, Reply> {
    let is_json =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        });
    let form = match is_json {
        true => Form::default(),
        false => Form::parse(body).map_err(|error| Reply::invalid("FORM", error.to_string()))?,
    };
    let requestdatas: Vec<&str> =
        form.fields().iter().filter(|(name, _)| name == "requestdatas").map(|(_, value)| value.as_str()).collect();
    let signed = Signed {
        path: parts.uri.path(),
        appid: &known.caller.appid,
        requestdatas: &requestdatas,
        nsrsbh: form.get("nsrsbh"),
        body,
    };
    let sign = parts.headers.get("sign").and_then(|value| value.to_str().ok());
    let rules = Rules { ps256: known.caller.switches.ps256, bound: known.caller.switches.bound_claims };
    let verified = sign::verify(sign, &known.keys, rules, &signed, (portal.clock)() / 1000).map_err(|refused| {
        tracing::warn!(appid = known.caller.appid, interface = interface.name, why = refused.subcode(), "sign refused");
        Reply::invalid(refused.subcode(), format!("签名校验失败：{refused}"))
    })?;
    tracing::debug!(appid = known.caller.appid, interface = interface.name, variant = %verified.variant, "call");
    let json = match is_json {
        true => {
            let text = std::str::from_utf8(body).map_err(|_| Reply::invalid("JSON", "请求不是 UTF-8 编码"))?;
            Some(Json::parse(text).map_err(|error| Reply::invalid("JSON", error.to_string()))?)
        }
        false => None,
    };
    let used = replay::Use {
        appid: known.caller.appid.clone(),
        sign: sign.unwrap_or_default().trim().to_owned(),
        jti: verified.jti,
        name: interface.name.to_owned(),
        parameters: params::digest(&query, &form, body),
        until_s: verified.until_s,
    };
    Ok(Call { portal, known, interface, query, form, json, used })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_prefixes_lead_to_every_interface_and_nothing_else_does() {
        for prefix in PREFIXES {
            for one in INTERFACES {
                let found = interface(&format!("/{prefix}/api/invoiceApply/{}", one.name)).map(|found| found.name);
                assert_eq!(found, Some(one.name));
            }
        }
        assert!(interface("/output-tax/api/invoiceApply/insertWithJsonArray").is_none());
        assert!(interface("/other/api/invoiceApply/red").is_none());
        let queries: Vec<&str> = INTERFACES.iter().filter(|one| !one.changes).map(|one| one.name).collect();
        assert_eq!(queries, ["queryInvoiceStatus", "queryInvoiceStatusByysfpqqlsh", "batchQueryInvoiceStatus"]);
    }
}
