//! `del`: sends requests back (yonyou-open-api.md, section 1.10), from 待开票 or from a proven failure. The serial number stays
//! taken; a corrected document comes under the same one.

use super::Call;
use crate::core::act::{self, Returned};
use crate::wire::json::Json;
use crate::wire::reply::{Code, Reply};

pub(super) async fn run(call: Call) -> Reply {
    send_back(call).await.unwrap_or_else(|reply| reply)
}

async fn send_back(call: Call) -> Result<Reply, Reply> {
    let mut serials = Vec::new();
    for (index, json) in call.documents()?.iter().enumerate() {
        let serial = json.get("FPQQLSH").or_else(|| json.get("fpqqlsh")).and_then(Json::scalar).map(str::to_owned);
        let wrong = || Reply::invalid("INVALID_DATA", format!("requestdatas[{index}].FPQQLSH：必填，不能为空（规则 required）"));
        serials.push(serial.ok_or_else(wrong)?);
    }
    back(&call, serials, true).await
}

/// Sends requests back; the first that is refused gives the code.
pub(super) async fn back(call: &Call, serials: Vec<String>, waiting: bool) -> Result<Reply, Reply> {
    let (tenant, appid) = (call.tenant().id.clone(), call.known.caller.appid.clone());
    let done = call
        .change(move |session| {
            Box::pin(async move {
                let mut done = Vec::with_capacity(serials.len());
                for serial in serials {
                    let returned = act::send_back(session, &tenant, &appid, &serial, waiting).await?;
                    done.push((serial, returned));
                }
                Ok(done)
            })
        })
        .await?;
    let mut reply = Reply::success();
    let mut rows = Vec::with_capacity(done.len());
    for (serial, returned) in done {
        let (code, text) = match returned {
            Returned::Done => (Code::Ok, "已退回".to_owned()),
            Returned::Unknown => (Code::Unknown, format!("流水号 {serial} 不存在")),
            // Published: a wrong state is 9999.
            Returned::Refused(_, text) => (Code::Undecided, text),
        };
        let row = [("fpqqlsh", serial.as_str()), ("code", code.as_str()), ("msg", text.as_str())];
        rows.push(Json::Object(row.into_iter().map(|(name, value)| (name.to_owned(), Json::text(value))).collect()));
        if code != Code::Ok && reply.code == Code::Ok {
            (reply.code, reply.msg) = (code, text);
            if code == Code::Undecided {
                reply = reply.extra("subcode", Json::text("WRONG_STATE"));
            }
        }
    }
    Ok(reply.extra("datas", Json::List(rows)))
}
