//! The body of a callback, and `data` of a status query: the same members (yonyou-open-api.md, sections 1.5 and 3.6).

use rust_decimal::Decimal;
use taxdisk_protocol::api::{IssuedInvoice, Operation};

use crate::core::callback::{Callback, News};
use crate::core::request::Request;
use crate::document::{Line, LineKind};
use crate::layout::Document;
use crate::model::{PdfForm, Switches, Tenant};
use crate::wire::json::Json;

/// What is known about an issued invoice, as an object. Members without a value are left out, but for those of a blue invoice's
/// original, which old clients read.
pub fn data(request: &Request, tenant: Option<&Tenant>) -> Json {
    let mut members: Vec<(String, Json)> = Vec::new();
    let document = &request.document;
    let seller = tenant.and_then(|tenant| tenant.seller(&request.seller));
    let fallback = |name: &str, other: Option<&str>| match document.text(name) {
        "" => other.unwrap_or_default().to_owned(),
        given => given.to_owned(),
    };
    let invoice = request.job.invoice.clone().unwrap_or_default();
    let issued = request.issued.clone();
    let of = |field: fn(&IssuedInvoice) -> &str| issued.as_ref().map(field).unwrap_or_default().to_owned();
    let texts = [
        ("fpqqlsh", request.serial.clone()),
        ("jqbh", of(|issued| &issued.disk)),
        ("fpDm", of(|issued| &issued.code)),
        ("fpHm", of(|issued| &issued.number)),
        ("fpMw", of(IssuedInvoice::cipher)),
        ("jym", of(|issued| &issued.printed.check_code)),
        ("ewm", of(|issued| &issued.printed.qr_text)),
        ("kprq", of(|issued| &issued.issued_at)),
        ("gmfMc", invoice.buyer.name.clone()),
        ("gmfNsrsbh", invoice.buyer.taxpayer_number.clone().unwrap_or_default()),
        ("gmfDzdh", invoice.buyer.address_phone.clone()),
        ("gmfYhzh", invoice.buyer.bank_account.clone()),
        ("xsfMc", fallback("XSF_MC", seller.map(|seller| seller.name.as_str()))),
        ("xsfNsrsbh", request.seller.clone()),
        ("xsfDzdh", fallback("XSF_DZDH", seller.map(|seller| seller.address_phone.as_str()))),
        ("xsfYhzh", fallback("XSF_YHZH", seller.map(|seller| seller.bank_account.as_str()))),
        ("kpr", invoice.clerk.clone()),
        ("fhr", invoice.reviewer.clone()),
        ("skr", invoice.payee.clone()),
        ("bz", invoice.remark.clone()),
        ("zdybz", document.text("ZDYBZ").to_owned()),
        ("lyid", document.text("LYID").to_owned()),
        ("bmbBbh", document.text("BMB_BBH").to_owned()),
        ("ysfpqqlsh", request.parent.clone().unwrap_or_default()),
    ];
    members
        .extend(texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), Json::text(text))));
    let original = request.original.as_ref().filter(|_| request.operation == Operation::Red);
    let (code, number) = original.map_or(("", ""), |pair| (pair.code.as_str(), pair.number.as_str()));
    let paper = request.job.kind.parse().is_ok_and(|kind: taxdisk_protocol::kind::InvoiceKind| !kind.is_electronic());
    let reversed = if request.operation == Operation::Issue && request.remaining().is_zero() { "Y" } else { "N" };
    for (name, value) in [
        ("yfpDm", Json::text(code)),
        ("yfpHm", Json::text(number)),
        ("hjje", amount(document.net.unwrap_or_default())),
        ("hjse", amount(document.tax.unwrap_or_default())),
        ("jshj", amount(request.gross)),
        ("zfbz", Json::text(request.voiding.letter())),
        ("bred", Json::text(reversed)),
        ("fplx", Json::text(request.fplx.to_string())),
        ("fpjz", Json::text(if paper { "1" } else { "0" })),
        ("kplx", Json::integer(i64::from(request.operation == Operation::Red))),
        ("corpId", Json::text(&request.tenant)),
        ("orgId", Json::text(&request.orgcode)),
        ("items", Json::List(document.lines.iter().map(item).collect())),
    ] {
        members.push((name.to_owned(), value));
    }
    Json::Object(members)
}

/// One line.
pub fn item(line: &Line) -> Json {
    let kind = match line.kind {
        LineKind::Normal => 0,
        LineKind::Discount => 1,
        LineKind::Discounted => 2,
    };
    let own_code = if line.own_code.is_empty() { "10" } else { &line.own_code };
    let texts = [
        ("xmmc", line.name.as_str()),
        ("ggxh", &line.specification),
        ("dw", &line.unit),
        ("hh", &line.number),
        ("zkhhh", &line.discount_number),
        ("spbm", &line.goods_code),
        ("zxbm", own_code),
        ("lslbs", &line.zero_rate),
        ("zzstsgl", &line.policy),
    ];
    let numbers = [
        ("xmsl", line.quantity.map(|quantity| Json::decimal(quantity.normalize()))),
        ("xmdj", line.price.map(|price| Json::decimal(price.normalize()))),
        ("xmje", line.net.map(amount)),
        ("xmjshj", Some(amount(line.gross))),
        ("sl", Some(Json::decimal(line.rate.normalize()))),
        ("se", line.tax.map(amount)),
        ("kce", line.deduction.map(amount)),
        ("fphxz", Some(Json::integer(kind))),
        ("yhzcbs", Some(Json::integer(i64::from(line.preferential)))),
    ];
    let mut members: Vec<(String, Json)> = Vec::new();
    members
        .extend(texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), Json::text(text))));
    members.extend(numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Json::Object(members)
}

/// Two decimals, as a number.
pub fn amount(value: Decimal) -> Json {
    Json::Number(format!("{value:.2}"))
}

/// The body of a callback.
pub fn callback(
    callback: &Callback,
    request: &Request,
    tenant: Option<&Tenant>,
    switches: &Switches,
    pdf: Option<&Document>,
    share_url: Option<&str>,
) -> Json {
    let (code, msg) = match &callback.news {
        News::Issued => ("0000", "开票成功"),
        News::Failed { code, msg } => (code.as_str(), msg.as_str()),
        News::Returned { reason } => ("0000", reason.as_str()),
    };
    let mut members = vec![
        ("code".to_owned(), Json::text(code)),
        ("msg".to_owned(), Json::text(msg)),
        ("fpqqlsh".to_owned(), Json::text(&request.serial)),
    ];
    match &callback.news {
        News::Issued => {
            if let (Some(pdf), PdfForm::Base64) = (pdf, switches.pdf) {
                use base64::Engine as _;
                let text = base64::engine::general_purpose::STANDARD.encode(&pdf.bytes);
                members.push(("pdf".to_owned(), Json::text(text)));
            }
            if let Some(url) = share_url.filter(|_| pdf.is_some()) {
                members.push(("shareurl".to_owned(), Json::text(url)));
            }
            // JSON text inside a string, as published.
            members.push(("data".to_owned(), Json::text(data(request, tenant).to_string())));
        }
        News::Failed { .. } => {}
        News::Returned { reason } => {
            members.push(("action".to_owned(), Json::text("returned")));
            members.push(("reason".to_owned(), Json::text(reason)));
        }
    }
    match &callback.target.ncc {
        Some((interface, method)) => ncc(interface, method, &Json::Object(members)),
        None => Json::Object(members),
    }
}

/// NCC 友企联: the whole body as the text of one argument.
fn ncc(interface: &str, method: &str, body: &Json) -> Json {
    let argument = [
        ("agg", Json::Bool(false)),
        ("argType", Json::text("java.lang.String")),
        ("isArray", Json::Bool(false)),
        ("isPrimitive", Json::Bool(false)),
        ("argValue", Json::text(body.to_string())),
    ];
    let object =
        |members: Vec<(&str, Json)>| Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    object(vec![
        ("method", Json::text(method)),
        ("interface", Json::text(interface)),
        ("serviceMethodArgInfo", Json::List(vec![object(argument.to_vec())])),
    ])
}

/// The same members as a form, for callers that are switched to it.
pub fn as_form(body: &Json) -> String {
    let encoded = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => char::from(byte).to_string(),
                b' ' => "+".to_owned(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    let value = |value: &Json| match value {
        Json::Text(text) => encoded(text),
        other => encoded(&other.to_string()),
    };
    let pairs: Vec<String> = body.members().iter().map(|(name, json)| format!("{}={}", encoded(name), value(json))).collect();
    pairs.join("&")
}

/// Did the merchant acknowledge? JSON with the code `0000`; the number 0 and the text `0` are taken too.
pub fn acknowledged(status: u16, body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).ok().map(|text| text.trim_start_matches('\u{feff}').trim());
    let code =
        text.and_then(|text| Json::parse(text).ok()).and_then(|json| json.get("code").and_then(Json::scalar).map(str::to_owned));
    status == 200 && code.is_some_and(|code| matches!(code.as_str(), "0000" | "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_code_of_zeros_with_status_200_is_an_acknowledgement() {
        for good in [r#"{"code":"0000","msg":"ok"}"#, r#"{"code":0}"#, r#" {"code":"0"}"#, "\u{feff}{\"code\":\"0000\"}"] {
            assert!(acknowledged(200, good.as_bytes()), "{good}");
        }
        for bad in
            ["", "ok", "{}", r#"{"code":"9999"}"#, r#"{"code":null}"#, r#"{"code":""}"#, r#"["0000"]"#, r#"{"code":"0000""#]
        {
            assert!(!acknowledged(200, bad.as_bytes()), "{bad}");
        }
        assert!(!acknowledged(500, br#"{"code":"0000"}"#));
        assert!(!acknowledged(302, br#"{"code":"0000"}"#));
    }

    #[test]
    fn forms_are_read_back_as_they_were() {
        let body = Json::Object(vec![("msg".to_owned(), Json::text("开票 成功&=+")), ("code".to_owned(), Json::text("0000"))]);
        let form = crate::wire::form::Form::parse(as_form(&body).as_bytes()).unwrap_or_default();
        assert_eq!((form.get("msg"), form.get("code")), (Some("开票 成功&=+"), Some("0000")));
    }
}
