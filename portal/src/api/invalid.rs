//! `invalid`: voids a paper invoice (yonyou-open-api.md, section 1.12). The answer says that it has begun; `zfbz` of the status
//! says how it ended.

use super::Call;
use crate::core::request::Voiding;
use crate::core::void;
use crate::wire::json::Json;
use crate::wire::reply::Reply;

pub(super) async fn run(call: Call) -> Reply {
    start(call).await.unwrap_or_else(|reply| reply)
}

async fn start(call: Call) -> Result<Reply, Reply> {
    let json = match call.json_field("requestdatas")? {
        Some(Json::List(list)) if list.len() == 1 => list.into_iter().next().unwrap_or_default(),
        Some(json @ Json::Object(_)) => json,
        _ => return Err(Reply::invalid("REQUESTDATAS", "requestdatas：应为一个 JSON 对象，包含 fpDm 和 fpHm（规则 object）")),
    };
    let field = |name: &str| {
        let wrong = || Reply::invalid("INVALID_DATA", format!("{name}：必填，不能为空（规则 required）"));
        json.get(name).and_then(Json::scalar).map(str::to_owned).ok_or_else(wrong)
    };
    let (code, number) = (field("fpDm")?, field("fpHm")?);
    let (tenant, appid) = (call.tenant().id.clone(), call.known.caller.appid.clone());
    let done = call
        .change(move |session| Box::pin(async move { void::invalid(session, &tenant, &appid, &code, &number).await }))
        .await?;
    let voiding = done.map_err(|refusal| Reply::invalid(refusal.subcode, refusal.text))?;
    let mut reply = Reply::success();
    reply.msg = match voiding {
        Voiding::Void => "该发票已作废".to_owned(),
        _ => "已开始作废，结果请查询 zfbz".to_owned(),
    };
    Ok(reply.extra("zfbz", Json::text(voiding.letter())))
}
