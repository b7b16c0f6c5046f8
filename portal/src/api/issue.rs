//! `issue`: approves requests that wait (yonyou-open-api.md, section 1.9). Entries are independent; the first that is refused
//! gives the code.

use rust_decimal::Decimal;

use super::{Call, status};
use crate::core::act::{self, Approved};
use crate::wire::json::Json;
use crate::wire::number;
use crate::wire::reply::{Code, Reply};

/// Serial number, seller and amount of an entry: what `issue` and `reissue` name a request by.
pub(super) struct Named {
    pub(super) serial: String,
    pub(super) seller: String,
    pub(super) gross: Decimal,
}

/// Reads the entries. An amount that is `null` is not approved anyway.
pub(super) fn named(call: &Call) -> Result<Vec<Named>, Reply> {
    let mut entries = Vec::new();
    for (index, json) in call.documents()?.iter().enumerate() {
        let field = |name: &str| {
            let wrong =
                || Reply::invalid("INVALID_DATA", format!("requestdatas[{index}].{name}：必填，不能为空（规则 required）"));
            json.get(name).and_then(Json::scalar).map(str::to_owned).ok_or_else(wrong)
        };
        let (serial, seller, gross) = (field("FPQQLSH")?, field("XSF_NSRSBH")?, field("JSHJ")?);
        let gross = number::decimal(&gross, 15, 2)
            .map_err(|error| Reply::invalid("INVALID_DATA", format!("requestdatas[{index}].JSHJ：{error}（规则 number）")))?;
        entries.push(Named { serial, seller, gross });
    }
    Ok(entries)
}

pub(super) async fn run(call: Call) -> Reply {
    approve(call).await.unwrap_or_else(|reply| reply)
}

async fn approve(call: Call) -> Result<Reply, Reply> {
    let entries = named(&call)?;
    let (tenant, appid) = (call.tenant().id.clone(), call.known.caller.appid.clone());
    let done = call
        .change(move |session| {
            Box::pin(async move {
                let mut done = Vec::with_capacity(entries.len());
                for Named { serial, seller, gross } in entries {
                    let approved = act::approve(session, &tenant, &appid, &serial, &seller, gross).await?;
                    done.push((serial, approved));
                }
                Ok(done)
            })
        })
        .await?;
    let mut reply = Reply::success();
    let mut rows = Vec::with_capacity(done.len());
    for (serial, approved) in done {
        let mut row = vec![("fpqqlsh".to_owned(), Json::text(&serial))];
        let (code, text) = match approved {
            Approved::Done(request) => {
                row.push(("code".to_owned(), Json::text("0000")));
                row.extend(status::published(&request));
                row.extend(status::ours(&call, &request));
                rows.push(Json::Object(row));
                continue;
            }
            Approved::Unknown => (Code::Unknown, format!("流水号 {serial} 不存在")),
            Approved::Refused(subcode, text) => {
                row.push(("subcode".to_owned(), Json::text(subcode)));
                (Code::Invalid, text)
            }
        };
        row.push(("code".to_owned(), Json::text(code.as_str())));
        row.push(("msg".to_owned(), Json::text(&text)));
        rows.push(Json::Object(row));
        if reply.code == Code::Ok {
            (reply.code, reply.msg) = (code, text);
        }
    }
    Ok(reply.extra("datas", Json::List(rows)))
}
