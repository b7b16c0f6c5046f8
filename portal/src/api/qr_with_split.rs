//! `qr-with-split`: a code for the consumer, split by the disk's limits (yonyou-open-api.md, section 1.14). The plan is made
//! now and kept; its parts wait for the buyer together.

use super::blue::Manner;
use super::{Call, insert_for_qr_invoice};
use crate::wire::json::Json;
use crate::wire::reply::Reply;

pub(super) async fn run(call: Call) -> Reply {
    let json = match call.json_field("requestdatas") {
        Ok(Some(Json::List(list))) if list.len() == 1 => list.into_iter().next().unwrap_or_default(),
        Ok(Some(json @ Json::Object(_))) => json,
        Ok(_) => {
            return Reply::invalid("REQUESTDATAS", "requestdatas：待开票信息为空，应为一张单据的 JSON 文本（规则 required）");
        }
        Err(reply) => return reply,
    };
    insert_for_qr_invoice::apply(call, &json, Manner::Split).await.unwrap_or_else(|reply| reply)
}
