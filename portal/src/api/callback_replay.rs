//! `callback/replay`: sends the callbacks of a request again, under their old ids (yonyou-open-api.md, section 3.6).

use super::Call;
use crate::core::callback;
use crate::wire::json::Json;
use crate::wire::reply::{Code, Reply};

pub(super) async fn run(call: Call) -> Reply {
    replay(call).await.unwrap_or_else(|reply| reply)
}

async fn replay(call: Call) -> Result<Reply, Reply> {
    let serial = call.required("fpqqlsh")?;
    let (tenant, wanted) = (call.tenant().id.clone(), serial.clone());
    let count = call
        .change(move |session| {
            Box::pin(async move {
                if session.db.request(&tenant, &wanted).await?.is_none() {
                    return Ok(None);
                }
                callback::replay(session, &tenant, &wanted).await.map(Some)
            })
        })
        .await?;
    match count {
        None => Ok(Reply::new(Code::Unknown, "数据不存在").member("fpqqlsh", Json::text(serial))),
        Some(count) => Ok(Reply::success().extra("callbacks", Json::integer(i64::try_from(count).unwrap_or(i64::MAX)))),
    }
}
