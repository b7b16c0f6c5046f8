//! `queryInvoiceStatus`: what became of a serial number (yonyou-open-api.md, section 1.5).

use super::{Call, status};
use crate::callback::body;
use crate::core::request::Phase;
use crate::wire::json::Json;
use crate::wire::reply::{Code, Reply};

pub(super) async fn run(call: Call) -> Reply {
    query(call).await.unwrap_or_else(|reply| reply)
}

async fn query(call: Call) -> Result<Reply, Reply> {
    let serial = call.required("fpqqlsh")?;
    let tenant = call.tenant().id.clone();
    let found = status::find(&mut *call.db().await?, &tenant, &serial).await?;
    let Some((request, parts)) = found else {
        let reply = Reply::new(Code::Unknown, "数据不存在");
        return Ok(reply.member("fpqqlsh", Json::text(serial)));
    };
    // Of a serial number that was split, the part that needs attention most.
    let Some(shown) = status::least(&parts) else { return Err(Reply::busy()) };
    let mut reply = Reply::success().member("fpqqlsh", Json::text(&request.serial));
    reply.members.extend(status::published(shown));
    if request.phase == Phase::Issued {
        reply = reply.member("data", body::data(&request, Some(call.tenant())));
    }
    reply.extra.extend(status::ours(&call, shown));
    if request.phase == Phase::Plan {
        let serials = request.parts.iter().map(|serial| Json::text(serial.as_str())).collect();
        reply = reply.extra("parts", Json::List(serials));
    }
    Ok(reply)
}
