//! `reissue`: the same invoice again after a failure of the device, under the same serial number (yonyou-open-api.md, section
//! 5.8).

use super::issue::{Named, named};
use super::{Call, status};
use crate::core::act::{self, Reissued};
use crate::core::request::{Phase, Request};
use crate::wire::json::Json;
use crate::wire::reply::{Code, Reply};

pub(super) async fn run(call: Call) -> Reply {
    again(call).await.unwrap_or_else(|reply| reply)
}

async fn again(call: Call) -> Result<Reply, Reply> {
    let entries = named(&call)?;
    let (tenant, appid) = (call.tenant().id.clone(), call.known.caller.appid.clone());
    let done = call
        .change(move |session| {
            Box::pin(async move {
                let mut done = Vec::with_capacity(entries.len());
                for Named { serial, seller, gross } in entries {
                    let reissued = act::reissue(session, &tenant, &appid, &serial, &seller, gross).await?;
                    done.push((serial, reissued));
                }
                Ok(done)
            })
        })
        .await?;
    let mut reply = Reply::success();
    let mut rows = Vec::with_capacity(done.len());
    for (serial, reissued) in &done {
        let answer = answer(serial, reissued);
        if answer.code != Code::Ok && reply.code == Code::Ok {
            (reply.code, reply.msg) = (answer.code, answer.msg.clone());
        }
        rows.push(row(&call, serial, &answer));
    }
    // A mixed batch is refused as a whole code, whatever the causes.
    if done.len() > 1 && reply.code != Code::Ok {
        reply.code = Code::Invalid;
    }
    Ok(reply.member("datas", Json::List(rows)))
}

struct Answer<'a> {
    result: &'static str,
    code: Code,
    msg: String,
    request: Option<&'a Request>,
}

fn answer<'a>(serial: &str, reissued: &'a Reissued) -> Answer<'a> {
    let of = |result, code, msg: String, request: Option<&'a Request>| Answer { result, code, msg, request };
    match reissued {
        Reissued::AlreadyIssued(request) => of("ALREADY_ISSUED", Code::Ok, "发票已开具，无需重新开具".to_owned(), Some(request)),
        Reissued::InProgress(request) if request.phase == Phase::Approval => {
            of("IN_PROGRESS", Code::Ok, "待开票，等待审核".to_owned(), Some(request))
        }
        Reissued::InProgress(request) => of("IN_PROGRESS", Code::Ok, "开票中，未重复开票".to_owned(), Some(request)),
        Reissued::Requeued(request) => of("REQUEUED", Code::Ok, "已重新进入开票队列，流水号不变".to_owned(), Some(request)),
        Reissued::NotAllowed(request, text) => {
            of("NOT_ALLOWED", Code::Invalid, format!("流水号 {serial}：{text}"), Some(request))
        }
        Reissued::NotFound => of("NOT_FOUND", Code::Unknown, format!("流水号 {serial} 不存在"), None),
    }
}

fn row(call: &Call, serial: &str, answer: &Answer<'_>) -> Json {
    let mut row = vec![("fpqqlsh".to_owned(), Json::text(serial)), ("result".to_owned(), Json::text(answer.result))];
    if let Some(request) = answer.request {
        row.extend(status::published(request));
        row.extend(status::ours(call, request));
        row.extend(status::numbers(request));
        row.push(("attempt".to_owned(), Json::integer(request.attempt)));
    }
    row.push(("msg".to_owned(), Json::text(&answer.msg)));
    Json::Object(row)
}
