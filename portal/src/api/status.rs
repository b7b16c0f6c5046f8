//! How a request is shown: the published members and our own.

use crate::api::Call;
use crate::core::reasons;
use crate::core::request::{Phase, Request};
use crate::store::{Db, StoreError};
use crate::wire::json::Json;

/// A request as a caller may see it; parts of a plan behind it.
pub(super) async fn find(db: &mut dyn Db, tenant: &str, serial: &str) -> Result<Option<(Request, Vec<Request>)>, StoreError> {
    let Some(request) = db.request(tenant, serial).await? else { return Ok(None) };
    if serial.starts_with('*') || request.phase == Phase::Deleted {
        return Ok(None);
    }
    let mut parts = Vec::new();
    if request.phase == Phase::Plan {
        for serial in &request.parts {
            parts.extend(db.request(tenant, serial).await?);
        }
    } else {
        parts.push(request.clone());
    }
    Ok(Some((request, parts)))
}

/// The part that is least advanced: failed before waiting before running before issued.
pub(super) fn least(parts: &[Request]) -> Option<&Request> {
    let order = |request: &&Request| match request.status() {
        Some(3) => 0,
        Some(1) => 1,
        Some(2) => 2,
        _ => 3,
    };
    parts.iter().min_by_key(order)
}

/// `statuscode`, `status`, `errmsg`: published.
pub(super) fn published(request: &Request) -> Vec<(String, Json)> {
    let mut members = vec![
        ("statuscode".to_owned(), Json::text(request.status().map_or(String::new(), |status| status.to_string()))),
        ("status".to_owned(), Json::text(request.status_text())),
    ];
    let errmsg = request.failure.as_ref().map(|failure| failure.text.clone()).filter(|_| request.phase == Phase::Failed);
    if let Some(errmsg) = errmsg {
        members.push(("errmsg".to_owned(), Json::text(errmsg)));
    }
    members
}

/// `substate` and what else old clients do not know.
pub(super) fn ours(call: &Call, request: &Request) -> Vec<(String, Json)> {
    call.portal.looked_at(request);
    let mut members = vec![("substate".to_owned(), Json::text(request.substate()))];
    if let Some(waiting) = &request.waiting
        && request.status() == Some(2)
    {
        members.push(("substateMsg".to_owned(), Json::text(reasons::told(waiting))));
    }
    if let Some(other) = &request.held_for {
        members.push(("suspectedDuplicateOf".to_owned(), Json::text(other)));
    }
    if request.phase == Phase::Issued {
        let made = call.portal.layout.check(request, Some(call.tenant().as_ref())).is_ok();
        members.push(("bsstatus".to_owned(), Json::text(if made { "0" } else { "1" })));
    }
    members.push(("emailState".to_owned(), Json::text(request.delivered.mail.to_string())));
    members.push(("smsState".to_owned(), Json::text(request.delivered.sms.to_string())));
    if request.delivered.card > 0 {
        members.push(("cardState".to_owned(), Json::text(request.delivered.card.to_string())));
    }
    members
}

/// Code, number and time of an issued invoice.
pub(super) fn numbers(request: &Request) -> Vec<(String, Json)> {
    let Some(issued) = request.issued.as_ref().filter(|_| request.phase == Phase::Issued) else { return Vec::new() };
    [("fpDm", &issued.code), ("fpHm", &issued.number), ("kprq", &issued.issued_at)]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Json::text(text.as_str())))
        .collect()
}
