//! `batchQueryInvoiceStatus`: what became of up to 20 serial numbers (yonyou-open-api.md, section 1.15), in the order of the
//! request, each once.

use super::{Call, status};
use crate::wire::json::Json;
use crate::wire::reply::Reply;

/// Serial numbers of one query at most (published).
const MAX_SERIALS: usize = 20;

pub(super) async fn run(call: Call) -> Reply {
    query(call).await.unwrap_or_else(|reply| reply)
}

async fn query(call: Call) -> Result<Reply, Reply> {
    let wrong = |rule: &str, text: &str| Reply::invalid("PARAMETER", format!("fpqqlshs：{text}（规则 {rule}）"));
    let text = call.required("fpqqlshs")?;
    let Json::List(list) = Json::parse(&text).map_err(|error| wrong("json", &error.to_string()))? else {
        return Err(wrong("array", "应为流水号的 JSON 数组"));
    };
    let mut serials: Vec<String> = Vec::new();
    for entry in &list {
        let serial = entry.scalar().ok_or_else(|| wrong("array", "数组中应为流水号"))?;
        if !serials.iter().any(|known| known == serial) {
            serials.push(serial.to_owned());
        }
    }
    if serials.is_empty() || list.len() > MAX_SERIALS {
        return Err(wrong("too_many_serials", &format!("应为 1 至 {MAX_SERIALS} 个流水号")));
    }
    let tenant = call.tenant().id.clone();
    let mut found = Vec::with_capacity(serials.len());
    let mut db = call.db().await?;
    for serial in &serials {
        found.push(status::find(&mut *db, &tenant, serial).await?);
    }
    let rows = serials.iter().zip(&found).map(|(serial, found)| {
        let least = found.as_ref().and_then(|(_, parts)| status::least(parts));
        let (code, msg) = if least.is_some() { ("0000", "success") } else { ("1002", "数据不存在") };
        let mut row = vec![
            ("code".to_owned(), Json::text(code)),
            ("msg".to_owned(), Json::text(msg)),
            ("fpqqlsh".to_owned(), Json::text(serial)),
        ];
        if let Some(least) = least {
            row.extend(status::published(least));
            row.extend(status::ours(&call, least));
        }
        Json::Object(row)
    });
    Ok(Reply::success().member("data", Json::List(rows.collect())))
}
