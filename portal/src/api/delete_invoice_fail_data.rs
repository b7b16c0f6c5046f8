//! `deleteInvoiceFailData`: sends a failed request back (yonyou-open-api.md, section 1.11). Only 开票失败.

use super::{Call, del};
use crate::wire::reply::Reply;

pub(super) async fn run(call: Call) -> Reply {
    let serial = match call.required("fpqqlsh") {
        Ok(serial) => serial,
        Err(reply) => return reply,
    };
    // One published sample wraps the value in quotes.
    let serial = serial.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map_or(serial.clone(), str::to_owned);
    del::back(&call, vec![serial], false).await.unwrap_or_else(|reply| reply)
}
