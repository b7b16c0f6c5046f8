//! The answer to a batch: one code for all of it, and what became of each document.

use super::{Call, status};
use crate::core::insert::{Refusal, Seen, Verdict};
use crate::wire::json::Json;
use crate::wire::reply::Reply;

/// Of a batch that was decided.
pub(super) fn reply(call: &Call, verdicts: &[Verdict], refused_address: Option<&str>) -> Reply {
    let rows = Json::List(verdicts.iter().map(|verdict| row(call, verdict)).collect());
    let refusals: Vec<&Refusal> = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::Refused(refusal) => Some(refusal),
            _ => None,
        })
        .collect();
    if let Some(first) = refusals.iter().find(|refusal| refusal.subcode != "BATCH_REFUSED") {
        let texts: Vec<String> = refusals
            .iter()
            .filter(|refusal| refusal.subcode != "BATCH_REFUSED")
            .map(|refusal| format!("流水号 {}：{}", refusal.serial, refusal.text))
            .collect();
        return Reply::invalid(first.subcode, texts.join("；")).extra("datas", rows);
    }
    let all_repeat = verdicts.iter().all(|verdict| matches!(verdict, Verdict::Repeat(_)));
    let mut reply = Reply::success();
    if let ([Verdict::Repeat(seen)], true) = (verdicts, all_repeat) {
        reply.msg = format!("请求已受理过，未重复开票，当前状态：{}", whole_status(seen));
    }
    if let Some(why) = refused_address {
        reply =
            reply.extra("subcode", Json::text("CALLBACK_REFUSED")).extra("warning", Json::text(format!("回调地址不可用：{why}")));
    } else if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Taken(seen) if seen.suspected.is_some())) {
        reply = reply.extra("subcode", Json::text("SUSPECTED_DUPLICATE"));
    } else if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Repeat(seen) if seen.delivery_ignored)) {
        reply = reply.extra("subcode", Json::text("DELIVERY_IGNORED"));
    }
    reply.extra("datas", rows)
}

/// Of documents that could not be read.
pub(super) fn refused(refusals: &[Refusal]) -> Reply {
    let texts: Vec<String> = refusals.iter().map(|refusal| format!("流水号 {}：{}", refusal.serial, refusal.text)).collect();
    let rows = refusals.iter().map(refusal_row).collect();
    let subcode = refusals.first().map_or("INVALID_DATA", |refusal| refusal.subcode);
    Reply::invalid(subcode, texts.join("；")).extra("datas", Json::List(rows))
}

fn whole_status(seen: &Seen) -> &'static str {
    status::least(&seen.parts).map_or("", |request| request.status_text())
}

fn row(call: &Call, verdict: &Verdict) -> Json {
    match verdict {
        Verdict::Taken(seen) => seen_row(call, seen, false),
        Verdict::Repeat(seen) => seen_row(call, seen, true),
        Verdict::Refused(refusal) => refusal_row(refusal),
    }
}

fn seen_row(call: &Call, seen: &Seen, repeat: bool) -> Json {
    let mut members = vec![("fpqqlsh".to_owned(), Json::text(&seen.request.serial)), ("code".to_owned(), Json::text("0000"))];
    if repeat {
        members.push(("repeat".to_owned(), Json::Bool(true)));
    }
    if let Some(least) = status::least(&seen.parts) {
        members.extend(status::published(least));
        members.extend(status::ours(call, least));
        members.extend(status::numbers(least));
    }
    if let Some(other) = &seen.suspected {
        members.push(("subcode".to_owned(), Json::text("SUSPECTED_DUPLICATE")));
        if seen.parts.iter().all(|part| part.held_for.is_none()) {
            members.push(("suspectedDuplicateOf".to_owned(), Json::text(other)));
        }
    }
    Json::Object(members)
}

fn refusal_row(refusal: &Refusal) -> Json {
    let mut members = vec![
        ("fpqqlsh".to_owned(), Json::text(&refusal.serial)),
        ("code".to_owned(), Json::text("1001")),
        ("subcode".to_owned(), Json::text(refusal.subcode)),
        ("msg".to_owned(), Json::text(&refusal.text)),
    ];
    if let Some(original) = &refusal.original {
        members.extend(status::published(original));
    }
    if !refusal.differences.is_empty() {
        let names = refusal.differences.iter().map(|name| Json::text(name.as_str())).collect();
        members.push(("diff".to_owned(), Json::List(names)));
    }
    Json::Object(members)
}
