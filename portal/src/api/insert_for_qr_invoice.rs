//! `insertForQRInvoice`: a code for the consumer (yonyou-open-api.md, section 1.13). With a buyer the invoice is issued at once;
//! without one it waits for whoever opens the link.

use rand::Rng as _;
use sha2::{Digest as _, Sha256};

use super::blue::{self, Manner};
use super::{Call, delivery, verdict};
use crate::core::insert::{self, Refusal, Verdict};
use crate::core::links::{self, Kind};
use crate::core::request::{CallbackTarget, Delivery, QrCode};
use crate::document::fields::Form;
use crate::document::{Document, read, split};
use crate::wire::json::Json;
use crate::wire::reply::Reply;

pub(super) async fn run(call: Call) -> Reply {
    let Some(json) = call.json.clone().filter(|json| matches!(json, Json::Object(_))) else {
        return Reply::invalid("JSON", "请求体：应为 JSON 对象，Content-Type 应为 application/json（规则 json）");
    };
    apply(call, &json, Manner::Single).await.unwrap_or_else(|reply| reply)
}

/// Makes a code for one document.
pub(super) async fn apply(call: Call, json: &Json, manner: Manner) -> Result<Reply, Reply> {
    let refused = |serial: &str, faults: &[crate::document::Fault]| verdict::refused(&[Refusal::faults(serial, faults)]);
    let mut document = read::document(json, Form::Qr).map_err(|faults| refused(&blue::serial_of(json), &faults))?;
    if document.serial.is_empty() {
        document.serial = derived_serial(&call.tenant().id, &document)
            .ok_or_else(|| Reply::invalid("INVALID_DATA", "FPQQLSH：与 LYID 不能同时为空（规则 required）"))?;
    }
    let mut delivery = Delivery::default();
    let mut refused_address = None;
    match document.text("URL") {
        "" => {}
        url => match delivery::callable(&call, url) {
            Ok(()) => delivery.urls.push(CallbackTarget { url: url.to_owned(), ncc: None }),
            Err(why) => refused_address = Some(why),
        },
    }
    delivery.emails.extend(document.text("EMAIL").split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()));
    let digits: u64 = rand::thread_rng().gen_range(100_000_000_000..1_000_000_000_000);
    let qr = QrCode { code: digits.to_string() };
    let incoming = blue::incoming_of(&call, document, manner, delivery, Some(qr))?;
    let batch = blue::batch(&call, vec![incoming], true);
    let (key, valid_ms) = (call.portal.links.clone(), call.portal.config.links.code_valid_ms());
    let (verdicts, link) = call
        .change(move |session| {
            Box::pin(async move {
                let verdicts = insert::insert(session, &batch).await?;
                // Durable together with the request: a code that is named opens something.
                let link = match verdicts.as_slice() {
                    [Verdict::Taken(seen) | Verdict::Repeat(seen)] if seen.request.qr.is_some() => {
                        let (tenant, serial) = (&seen.request.tenant, &seen.request.serial);
                        links::current(session, &key, Kind::Code, tenant, serial, valid_ms).await?
                    }
                    _ => None,
                };
                Ok((verdicts, link))
            })
        })
        .await?;
    let seen = match verdicts.as_slice() {
        [Verdict::Taken(seen) | Verdict::Repeat(seen)] => seen,
        _ => return Ok(verdict::reply(&call, &verdicts, None)),
    };
    // A serial number that came by another road has no code; it is what it was.
    let Some(qr) = &seen.request.qr else { return Ok(verdict::reply(&call, &verdicts, None)) };
    let data = [
        ("qrcode", Json::text(link.as_ref().map(|link| call.portal.url(link)).unwrap_or_default())),
        ("invoicecode", Json::text(&qr.code)),
        ("fpqqlsh", Json::text(&seen.request.serial)),
    ];
    let data = Json::Object(data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let mut reply = verdict::reply(&call, &verdicts, refused_address.as_deref());
    if matches!(verdicts.as_slice(), [Verdict::Taken(_)]) {
        "操作成功".clone_into(&mut reply.msg);
    }
    if link.is_none() {
        let warning = Json::text("二维码已由平台撤销，未生成新的二维码；开票状态请按本流水号查询");
        reply = reply.extra("subcode", Json::text("CODE_REVOKED")).extra("warning", warning);
    }
    Ok(reply.member("data", data))
}

/// Without a serial number the source id makes one: the same document gets the same.
fn derived_serial(tenant: &str, document: &Document) -> Option<String> {
    let source = Some(document.text("LYID")).filter(|source| !source.is_empty())?;
    let digest = Sha256::digest(format!("qr-v1\n{tenant}\n{source}").as_bytes());
    Some(split::base32(&digest, 20))
}
