//! `insertWithSplit`: blue invoices, as many as the disk's limits ask for (yonyou-open-api.md, section 1.4). `datas` is published
//! here: one object for each resulting invoice, and a repeat shows the same ones.

use super::blue::{self, Manner};
use super::{Call, verdict};
use crate::callback::body;
use crate::core::insert::Verdict;
use crate::core::request::Request;
use crate::wire::json::Json;
use crate::wire::reply::Reply;

pub(super) async fn run(call: Call) -> Reply {
    let (call, verdicts, refused) = match blue::insert(call, Manner::Split).await {
        Ok(done) => done,
        Err(reply) => return reply,
    };
    let mut reply = verdict::reply(&call, &verdicts, refused.as_deref());
    let mut parts = Vec::new();
    for verdict in &verdicts {
        match verdict {
            Verdict::Taken(seen) => parts.extend(seen.parts.iter().map(|part| row(part, false))),
            Verdict::Repeat(seen) => parts.extend(seen.parts.iter().map(|part| row(part, true))),
            Verdict::Refused(_) => return reply,
        }
    }
    reply.extra.retain(|(name, _)| name != "datas");
    reply.member("datas", Json::List(parts))
}

fn row(part: &Request, repeat: bool) -> Json {
    let Json::Object(mut members) = body::data(part, None) else { return Json::Null };
    // Here the organisation and the split itself are told, and there is no invoice yet.
    members.retain(|(name, _)| !matches!(name.as_str(), "yfpDm" | "yfpHm" | "zfbz" | "bred" | "orgId"));
    let status = part.status().map_or(String::new(), |status| status.to_string());
    members.extend([
        ("orgcode".to_owned(), Json::text(&part.orgcode)),
        ("fpzt".to_owned(), Json::text(status)),
        ("lylx".to_owned(), Json::text("2")),
        ("zsfs".to_owned(), Json::text("0")),
        ("splitInvoice".to_owned(), Json::Bool(part.parent.is_some())),
        ("zdrq".to_owned(), Json::integer(part.created_at)),
    ]);
    if part.parent.is_none() {
        members.push(("ysfpqqlsh".to_owned(), Json::text(&part.serial)));
    }
    if repeat {
        members.push(("repeat".to_owned(), Json::Bool(true)));
    }
    Json::Object(members)
}
