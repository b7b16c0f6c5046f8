//! What is done to a request that is known: approved, sent back, re-issued, released (yonyou-open-api.md, sections 1.9 to 1.11
//! and 5.8). Every one of them may come twice; the second one changes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use rust_decimal::Decimal;
use taxdisk_protocol::api::Fault;

use super::callback::{self, News};
use super::request::{NEVER, Phase, Request};
use crate::ledger::Session;
use crate::store::StoreError;

/// Re-queues of one serial number on one day at most.
const REQUEUES_PER_DAY: usize = 20;
/// A day, milliseconds.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// What an approval did.
#[derive(Debug, Clone)]
pub enum Approved {
    /// It goes to the disk now, or went before.
    Done(Box<Request>),
    /// There is no such request.
    Unknown,
    /// Not now; the text names the serial number.
    Refused(&'static str, String),
}

/// 待开票 → 开票中. `gross`: what the caller believes that it approves.
///
/// # Errors
/// Those of the store.
pub async fn approve(
    session: &mut Session,
    tenant: &str,
    appid: &str,
    serial: &str,
    seller: &str,
    gross: Decimal,
) -> Result<Approved, StoreError> {
    let Some(mut request) = session.db.request(tenant, serial).await? else { return Ok(Approved::Unknown) };
    if request.seller != seller {
        return Ok(Approved::Refused("SELLER", format!("流水号 {serial} 的 XSF_NSRSBH 与原请求不符")));
    }
    if request.gross != gross {
        return Ok(Approved::Refused("AMOUNT", format!("流水号 {serial} 的 JSHJ 为 {:.2}，与 {gross:.2} 不符", request.gross)));
    }
    match request.phase {
        Phase::Approval => {
            if let Some(other) = &request.held_for {
                let text = format!("流水号 {serial} 与 {other} 疑似重复，须由人工在控制台放行");
                return Ok(Approved::Refused("SUSPECTED_DUPLICATE", text));
            }
            go(session, &mut request, appid, "approved").await?;
            Ok(Approved::Done(Box::new(request)))
        }
        Phase::Forwarding | Phase::Queued | Phase::Issuing | Phase::Settling | Phase::Issued => {
            Ok(Approved::Done(Box::new(request)))
        }
        Phase::Plan => approve_parts(session, request, appid).await,
        Phase::Buyer | Phase::Failed | Phase::Deleted => {
            let text = format!("流水号 {serial} 的状态为{}，不是待开票", request.status_text());
            Ok(Approved::Refused("NOT_WAITING", text))
        }
    }
}

async fn approve_parts(session: &mut Session, plan: Request, appid: &str) -> Result<Approved, StoreError> {
    for serial in &plan.parts {
        let Some(mut part) = session.db.request(&plan.tenant, serial).await? else { continue };
        if part.held_for.is_some() {
            let text = format!("流水号 {} 疑似重复，须由人工在控制台放行", plan.serial);
            return Ok(Approved::Refused("SUSPECTED_DUPLICATE", text));
        }
        if part.phase == Phase::Approval {
            go(session, &mut part, appid, "approved").await?;
        }
    }
    Ok(Approved::Done(Box::new(plan)))
}

/// A person releases what was held, or approves what waits.
///
/// # Errors
/// Those of the store.
pub async fn release(session: &mut Session, tenant: &str, serial: &str, by: &str) -> Result<Option<Request>, StoreError> {
    let Some(mut request) = session.db.request(tenant, serial).await? else { return Ok(None) };
    if request.phase == Phase::Approval {
        request.held_for = None;
        go(session, &mut request, by, "released").await?;
    }
    Ok(Some(request))
}

async fn go(session: &mut Session, request: &mut Request, by: &str, what: &str) -> Result<(), StoreError> {
    request.phase = Phase::Forwarding;
    (request.due_at, request.changed_at) = (session.now, session.now);
    session.db.put_request(request).await?;
    session.note(&request.tenant, &request.serial, by, what, "").await?;
    session.wake_courier();
    Ok(())
}

/// What sending back did.
#[derive(Debug, Clone)]
pub enum Returned {
    /// It is sent back, now or before.
    Done,
    /// There is no such request.
    Unknown,
    /// Not in this state; the text names the serial number.
    Refused(&'static str, String),
}

/// Sends a request back: from 待开票 (`waiting`) or from 开票失败, where it is proven that no invoice exists. The row stays, and so
/// does the serial number.
///
/// # Errors
/// Those of the store.
pub async fn send_back(
    session: &mut Session,
    tenant: &str,
    appid: &str,
    serial: &str,
    waiting: bool,
) -> Result<Returned, StoreError> {
    let Some(mut request) = session.db.request(tenant, serial).await? else { return Ok(Returned::Unknown) };
    let allowed = match request.phase {
        Phase::Approval | Phase::Buyer => waiting,
        Phase::Failed => request.failure.as_ref().is_some_and(|failure| !failure.foreign),
        Phase::Deleted => return Ok(Returned::Done),
        Phase::Plan => return send_back_parts(session, request, appid, waiting).await,
        _ => false,
    };
    if !allowed {
        let wanted = if waiting { "待开票或开票失败" } else { "开票失败" };
        let text = format!("流水号 {serial} 的状态为{}，不是{wanted}，不允许删除", request.status_text());
        return Ok(Returned::Refused("WRONG_STATE", text));
    }
    request.phase = Phase::Deleted;
    (request.due_at, request.changed_at) = (NEVER, session.now);
    request.held_for = None;
    session.db.put_request(&request).await?;
    session.note(tenant, serial, appid, "returned", "").await?;
    let news = News::Returned { reason: "商户退回".to_owned() };
    callback::tell(session, &request, &format!("returned-{}", request.revision), &news).await?;
    Ok(Returned::Done)
}

/// A plan is sent back whole: every part must be one that can be.
async fn send_back_parts(session: &mut Session, mut plan: Request, appid: &str, waiting: bool) -> Result<Returned, StoreError> {
    let mut parts = Vec::with_capacity(plan.parts.len());
    for serial in &plan.parts {
        let Some(part) = session.db.request(&plan.tenant, serial).await? else { continue };
        let allowed = match part.phase {
            Phase::Approval | Phase::Buyer => waiting,
            Phase::Failed => part.failure.as_ref().is_some_and(|failure| !failure.foreign) && !part.at_broker,
            Phase::Deleted => true,
            _ => false,
        };
        if !allowed {
            let text = format!("流水号 {} 拆分出的 {serial} 的状态为{}，不允许删除", plan.serial, part.status_text());
            return Ok(Returned::Refused("WRONG_STATE", text));
        }
        parts.push(part);
    }
    for part in &mut parts {
        part.phase = Phase::Deleted;
        (part.due_at, part.changed_at) = (NEVER, session.now);
        session.db.put_request(part).await?;
    }
    plan.phase = Phase::Deleted;
    plan.changed_at = session.now;
    session.db.put_request(&plan).await?;
    session.note(&plan.tenant, &plan.serial, appid, "returned", "").await?;
    let news = News::Returned { reason: "商户退回".to_owned() };
    callback::tell(session, &plan, &format!("returned-{}", plan.revision), &news).await?;
    Ok(Returned::Done)
}

/// The three truthful answers to a re-issue, and two refusals (section 5.8).
#[derive(Debug, Clone)]
pub enum Reissued {
    /// The invoice exists.
    AlreadyIssued(Box<Request>),
    /// It waits or runs, or is being settled.
    InProgress(Box<Request>),
    /// Proven not issued, for a reason of the device: in the queue again.
    Requeued(Box<Request>),
    /// Not by this road.
    NotAllowed(Box<Request>, String),
    /// There is no such request.
    NotFound,
}

/// Asks for the same invoice again, under the same serial number.
///
/// # Errors
/// Those of the store.
pub async fn reissue(
    session: &mut Session,
    tenant: &str,
    by: &str,
    serial: &str,
    seller: &str,
    gross: Decimal,
) -> Result<Reissued, StoreError> {
    let Some(request) = session.db.request(tenant, serial).await? else { return Ok(Reissued::NotFound) };
    let mismatch = match () {
        () if request.seller != seller => Some("XSF_NSRSBH 与原请求不符".to_owned()),
        () if request.gross != gross => Some(format!("JSHJ 为 {:.2}，与 {gross:.2} 不符", request.gross)),
        () => None,
    };
    if let Some(text) = mismatch {
        return Ok(Reissued::NotAllowed(Box::new(request), text));
    }
    let text = match request.phase {
        Phase::Issued => return Ok(Reissued::AlreadyIssued(Box::new(request))),
        Phase::Approval | Phase::Buyer | Phase::Forwarding | Phase::Queued | Phase::Issuing | Phase::Settling => {
            return Ok(Reissued::InProgress(Box::new(request)));
        }
        Phase::Failed if request.may_reissue() => {
            let today = request.reissued_at.iter().filter(|at| **at > session.now - DAY_MS).count();
            if today < REQUEUES_PER_DAY {
                return Ok(Reissued::Requeued(Box::new(requeue(session, request, by, "reissue").await?)));
            }
            format!("同一流水号每日最多重新开具 {REQUEUES_PER_DAY} 次")
        }
        Phase::Failed => match &request.failure {
            Some(failure) if failure.fault == Fault::Request && !failure.foreign => {
                "因数据原因失败，请退回（del）后以原流水号提交修改后的单据".to_owned()
            }
            _ => "该流水号在税控端对应其他内容，请联系平台核对".to_owned(),
        },
        Phase::Deleted => "已退回；请以原流水号重新提交单据".to_owned(),
        Phase::Plan => "已拆分；请对拆分后的流水号重新开具".to_owned(),
    };
    Ok(Reissued::NotAllowed(Box::new(request), text))
}

/// Back into the queue, attempt + 1. The caller has made sure that no invoice exists.
///
/// # Errors
/// Those of the store.
pub async fn requeue(session: &mut Session, mut request: Request, by: &str, why: &str) -> Result<Request, StoreError> {
    request.phase = Phase::Forwarding;
    request.attempt += 1;
    request.tries = 0;
    request.failure = None;
    request.reissued_at.retain(|at| *at > session.now - DAY_MS);
    request.reissued_at.push(session.now);
    (request.due_at, request.changed_at) = (session.now, session.now);
    session.db.put_request(&request).await?;
    session.note(&request.tenant, &request.serial, by, "requeued", why).await?;
    session.wake_courier();
    Ok(request)
}

/// 128 random bits, base64url.
pub fn random_token() -> String {
    let mut bytes = [0; 16];
    rand::rngs::OsRng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
