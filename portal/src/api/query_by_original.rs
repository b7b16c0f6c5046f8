//! `queryInvoiceStatusByysfpqqlsh`: what became of the parts of a serial number (yonyou-open-api.md, section 1.6). `data` is
//! the part that is least advanced, `datas` are all of them.

use super::{Call, status};
use crate::core::request::Request;
use crate::wire::json::Json;
use crate::wire::reply::{Code, Reply};

pub(super) async fn run(call: Call) -> Reply {
    query(call).await.unwrap_or_else(|reply| reply)
}

async fn query(call: Call) -> Result<Reply, Reply> {
    let serial = call.required("ysfpqqlsh")?;
    let tenant = call.tenant().id.clone();
    let found = status::find(&mut *call.db().await?, &tenant, &serial).await?;
    let Some((_, parts)) = found else {
        return Ok(Reply::new(Code::Unknown, "数据不存在"));
    };
    let Some(least) = status::least(&parts) else { return Err(Reply::busy()) };
    let reply = Reply::success().member("data", row(&call, least));
    Ok(reply.extra("datas", Json::List(parts.iter().map(|part| row(&call, part)).collect())))
}

fn row(call: &Call, part: &Request) -> Json {
    let mut row = vec![("fpqqlsh".to_owned(), Json::text(&part.serial))];
    row.extend(status::published(part));
    let ours = status::ours(call, part);
    // This name spells the layout member otherwise; both are there.
    if let Some((_, layout)) = ours.iter().find(|(name, _)| name == "bsstatus") {
        row.push(("bstatus".to_owned(), layout.clone()));
    }
    row.extend(ours);
    row.extend(status::numbers(part));
    Json::Object(row)
}
