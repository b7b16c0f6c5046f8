//! 作废 of a paper invoice (yonyou-open-api.md, section 1.12). The call names the invoice and no serial number, so the void has one
//! of ours, made of code and number: however often it is asked for, it is one job.

use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use taxdisk_protocol::api::{JobSubmission, Operation, Priority};

use super::act;
use super::insert::{self, Refusal};
use super::outbox::Delivered;
use super::request::{Delivery, Phase, Request, Voiding};
use crate::document::{Document, split};
use crate::ledger::Session;
use crate::store::StoreError;

/// Voids an invoice, or says how that stands.
///
/// # Errors
/// Those of the store. The inner error: why not.
pub async fn invalid(
    session: &mut Session,
    tenant: &str,
    appid: &str,
    code: &str,
    number: &str,
) -> Result<Result<Voiding, Refusal>, StoreError> {
    let Some(mut blue) = session.db.request_by_number(tenant, code, number).await? else {
        let swapped = session.db.request_by_number(tenant, number, code).await?.is_some() || code.len() == 8 && number.len() > 8;
        let hint = if swapped { "；发票代码和号码似乎颠倒了：fpDm 是代码，fpHm 是号码" } else { "" };
        let text = format!("没有发票代码 {code}、号码 {number} 的发票{hint}");
        return Ok(Err(Refusal::new("", "ORIGINAL_UNKNOWN", text)));
    };
    let refused = |subcode, text: &str| Ok(Err(Refusal::new(&blue.serial, subcode, text)));
    let Some((kind, original)) = insert::about(&blue) else {
        return refused("VOID_RED", "红字发票不能由本接口作废");
    };
    if kind.is_electronic() {
        return refused("VOID_KIND", "电子发票不能作废，只能红冲（red only）");
    }
    if !blue.reversed.is_zero() {
        return refused("ORIGINAL_REVERSED", "该发票已红冲，不能作废");
    }
    let others = session.db.about(tenant, code, number).await?;
    let open = |other: &&Request| other.operation == Operation::Red && !matches!(other.phase, Phase::Failed | Phase::Deleted);
    if let Some(red) = others.iter().find(open) {
        return refused("ORIGINAL_REVERSED", &format!("该发票正在红冲（流水号 {}），不能作废", red.serial));
    }
    let digest = Sha256::digest(format!("void-v1\n{tenant}\n{code}\n{number}").as_bytes());
    let (serial, job_serial) = (format!("*void:{code}:{number}"), split::base32(&digest, 20));
    match (session.db.request(tenant, &serial).await?, blue.voiding) {
        (Some(_), voiding @ (Voiding::Running | Voiding::Void)) => return Ok(Ok(voiding)),
        // It failed, and no effect exists: the same job again.
        (Some(known), _) => {
            act::requeue(session, known, appid, "invalid").await?;
        }
        (None, _) => {
            let job = JobSubmission {
                seller: blue.seller.clone(),
                serial: job_serial.clone(),
                operation: Operation::Void,
                kind: blue.job.kind.clone(),
                issue_point: blue.job.issue_point.clone(),
                priority: Priority::Bulk,
                original: Some(original.clone()),
                invoice: None,
            };
            if let Err(faults) = insert::judge(&job) {
                return Ok(Err(Refusal::faults(&blue.serial, &faults)));
            }
            let request = Request {
                serial: serial.clone(),
                interface: "invalid".to_owned(),
                appid: appid.to_owned(),
                job_serial,
                operation: Operation::Void,
                revision: 1,
                canonical: String::new(),
                hash: String::new(),
                fingerprint: String::new(),
                document: Document::default(),
                job,
                gross: Decimal::ZERO,
                parent: None,
                parts: Vec::new(),
                phase: Phase::Forwarding,
                at_broker: false,
                job_revision: 0,
                attempt: 0,
                reissued_at: Vec::new(),
                tries: 0,
                waiting: None,
                held_for: None,
                failure: None,
                issued: None,
                original: Some(original),
                voiding: Voiding::No,
                delivery: Delivery::default(),
                qr: None,
                delivered: Delivered::default(),
                created_at: session.now,
                changed_at: session.now,
                due_at: session.now,
                ..blue.clone()
            };
            session.db.put_request(&request).await?;
            session.note(tenant, &serial, appid, "accepted", "").await?;
            session.wake_courier();
        }
    }
    blue.voiding = Voiding::Running;
    blue.changed_at = session.now;
    session.db.put_request(&blue).await?;
    session.note(tenant, &blue.serial, appid, "voiding", "").await?;
    Ok(Ok(Voiding::Running))
}
