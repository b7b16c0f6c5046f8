//! `bsRestartCreate`: makes the file of an invoice again (yonyou-open-api.md, section 1.17). Files are made from what is stored
//! whenever somebody asks for one, so there is nothing to repair; this says whether it works. It never reaches a disk.

use super::Call;
use crate::wire::json::Json;
use crate::wire::reply::{Code, Reply};

pub(super) async fn run(call: Call) -> Reply {
    make(call).await.unwrap_or_else(|reply| reply)
}

async fn make(call: Call) -> Result<Reply, Reply> {
    let number = call.required("fpHm")?;
    // Invoices of a tax disk have a code, and a number alone is that of several; those without one are of no disk.
    let Some(code) = call.parameter("fpDm")? else {
        return Ok(Reply::new(Code::Unknown, "发票不存在（税控发票须同时提供 fpDm）"));
    };
    let tenant = call.tenant().id.clone();
    let found = call.db().await?.request_by_number(&tenant, &code, &number).await?;
    let Some(request) = found else { return Ok(Reply::new(Code::Unknown, "发票不存在")) };
    match call.portal.pdf(&request).await {
        Ok(_) => Ok(Reply::success().extra("bsstatus", Json::text("0"))),
        Err(error) => {
            Ok(Reply::invalid("LAYOUT", format!("版式文件生成失败（{error}），发票不受影响")).extra("bsstatus", Json::text("1")))
        }
    }
}
