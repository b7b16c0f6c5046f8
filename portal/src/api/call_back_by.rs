//! `callBackByEmail` and `callBackBySms`: send the invoice again (yonyou-open-api.md, section 1.16). This platform has no mail
//! server
//! and no provider of messages yet, and says so; the parameters are checked all the same, so that a caller hears what is wrong
//! with them.

use super::{Call, status};
use crate::core::request::Phase;
use crate::wire::json::Json;
use crate::wire::reply::{Code, Reply};

pub(super) async fn email(call: Call) -> Reply {
    let address = call.required("email");
    send(call, address, "邮件").await.unwrap_or_else(|reply| reply)
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
    send(call, address, "短信").await.unwrap_or_else(|reply| reply)
}

async fn send(call: Call, address: Result<String, Reply>, what: &str) -> Result<Reply, Reply> {
    let serial = call.required("fpqqlsh")?;
    address?;
    let tenant = call.tenant().id.clone();
    let found = status::find(&mut *call.db().await?, &tenant, &serial).await?;
    match found {
        None => Ok(Reply::new(Code::Unknown, "数据不存在").member("fpqqlsh", Json::text(serial))),
        Some((request, _)) if request.phase != Phase::Issued => {
            let text = format!("流水号 {serial} 的状态为{}，尚未开票成功，不能发送{what}", request.status_text());
            Err(Reply::invalid("NOT_ISSUED", text))
        }
        Some(_) => Err(Reply::invalid("NOT_AVAILABLE", format!("本平台尚未开通{what}发送，发票不受影响"))),
    }
}
