//! `callBackByEmail` and `callBackBySms`: send the invoice again (yonyou-open-api.md, section 1.16). They queue a message and
//! nothing else: the invoice and its state are not touched, and nothing is issued. Several addresses are separated by commas.

use super::{Call, status};
use crate::core::outbox::{self, Channel, Resent};
use crate::core::request::Phase;
use crate::wire::json::Json;
use crate::wire::reply::{Code, Reply};

/// Addresses of one call at most.
const MAX_ADDRESSES: usize = 5;

pub(super) async fn email(call: Call) -> Reply {
    let address = call.required("email");
    send(call, address, Channel::Mail, "email", "邮件").await.unwrap_or_else(|reply| reply)
}

pub(super) async fn sms(call: Call) -> Reply {
    let mut address = Err(Reply::invalid("PARAMETER", "phone、mobile 或 sms：必填其一"));
    for name in ["phone", "mobile", "sms"] {
        match call.parameter(name) {
            Ok(Some(value)) => address = Ok(value),
            Ok(None) => {}
            Err(reply) => return reply,
        }
    }
    send(call, address, Channel::Sms, "phone", "短信").await.unwrap_or_else(|reply| reply)
}

async fn send(call: Call, address: Result<String, Reply>, channel: Channel, field: &str, what: &str) -> Result<Reply, Reply> {
    let serial = call.required("fpqqlsh")?;
    let addresses: Vec<String> =
        address?.split([',', '，']).map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
    if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
        return Err(Reply::invalid("PARAMETER", format!("{field}：1 至 {MAX_ADDRESSES} 个地址（规则 delivery）")));
    }
    let tenant = call.tenant().id.clone();
    let found = status::find(&mut *call.db().await?, &tenant, &serial).await?;
    let Some((_, parts)) = found else {
        return Ok(Reply::new(Code::Unknown, "数据不存在").member("fpqqlsh", Json::text(serial)));
    };
    if let Some(request) = parts.iter().find(|part| part.phase != Phase::Issued) {
        let text = format!("流水号 {serial} 的状态为{}，尚未开票成功，不能发送{what}", request.status_text());
        return Err(Reply::invalid("NOT_ISSUED", text));
    }
    let configured = match channel {
        Channel::Mail => call.portal.config.mail.is_some(),
        Channel::Sms => call.portal.config.sms.is_some(),
        Channel::Card => call.portal.config.wechat.is_some(),
    };
    if !configured {
        return Err(Reply::invalid("NOT_AVAILABLE", format!("本平台尚未开通{what}发送，发票不受影响")));
    }
    for address in &addresses {
        outbox::checked(channel, address)
            .map_err(|why| Reply::invalid("PARAMETER", format!("{field}：{why}（规则 delivery）")))?;
    }
    for part in parts {
        for address in &addresses {
            let (tenant, address, appid) = (tenant.clone(), address.clone(), call.known.caller.appid.clone());
            let serial = part.serial.clone();
            let queued = call.portal.ledger.run(move |session| {
                Box::pin(async move { outbox::resend(session, &tenant, &serial, channel, &address, &appid).await })
            });
            match queued.await.map_err(|_| Reply::busy())? {
                Resent::Queued(_) | Resent::Waiting(_) => {}
                Resent::TooMany(why) => return Err(Reply::invalid("TOO_MANY", format!("{why}，发票不受影响"))),
                Resent::Address(why) => return Err(Reply::invalid("PARAMETER", format!("{field}：{why}（规则 delivery）"))),
                // It was issued a moment ago, and an invoice never ceases to exist.
                Resent::Unknown | Resent::NotIssued(_) => return Err(Reply::busy()),
            }
        }
    }
    Ok(Reply::new(Code::Ok, format!("{what}已进入发送队列")))
}
