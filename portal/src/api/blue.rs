//! What insertWithArray, insertWithSplit, insertForQRInvoice and qr-with-split have in common: from a document to what the writer
//! decides on. Reads no store; everything that a repeat must not be refused for is left to the writer.

use taxdisk_protocol::api::{JobSubmission, Operation, Priority};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::rules;

use super::delivery::Deliveries;
use super::{Call, verdict};
use crate::core::insert::{self, Batch, Content, Incoming, Part, Refusal};
use crate::core::request::{Delivery, QrCode};
use crate::document::fields::Form;
use crate::document::split::{self, Limits};
use crate::document::submission::{self, Context};
use crate::document::{Document, Fault, canonical, derive, discount, read};
use crate::model::IssuePoint;
use crate::wire::json::Json;
use crate::wire::reply::Reply;

/// How a document is turned into invoices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// One document, one invoice.
    Single,
    /// As many as it takes.
    Split,
}

/// Takes a batch of blue documents.
pub(super) async fn insert(call: Call, manner: Manner) -> Result<(Call, Vec<insert::Verdict>, Option<String>), Reply> {
    let documents = call.documents()?;
    let audited = call.auto_audit(true)?;
    let mut read = Vec::with_capacity(documents.len());
    let mut refusals = Vec::new();
    for json in &documents {
        match read::document(json, Form::Blue) {
            Ok(document) => read.push(document),
            Err(faults) => refusals.push(Refusal::faults(&serial_of(json), &faults)),
        }
    }
    if !refusals.is_empty() {
        return Err(verdict::refused(&refusals));
    }
    let serials: Vec<String> = read.iter().map(|document| document.serial.clone()).collect();
    let deliveries = Deliveries::read(&call, &serials)?;
    let mut incoming = Vec::with_capacity(read.len());
    for document in read {
        let delivery = deliveries.of(&document.serial);
        incoming.push(incoming_of(&call, document, manner, delivery, None)?);
    }
    let batch = batch(&call, incoming, audited);
    let verdicts = call.change(move |session| Box::pin(async move { insert::insert(session, &batch).await })).await?;
    Ok((call, verdicts, deliveries.refused))
}

/// A batch of this caller.
pub(super) fn batch(call: &Call, documents: Vec<Incoming>, audited: bool) -> Batch {
    let switches = &call.known.caller.switches;
    Batch {
        tenant: call.tenant().id.clone(),
        appid: call.known.caller.appid.clone(),
        interface: call.interface.name,
        documents,
        audited,
        suspected: switches.suspected,
        reissue_on_repeat: switches.reissue_on_repeat,
    }
}

/// The serial number of a document that could not be read.
pub(super) fn serial_of(json: &Json) -> String {
    json.get("FPQQLSH").and_then(Json::scalar).unwrap_or_default().chars().take(40).collect()
}

/// What a document asks for. Its faults are kept: a repeat is answered whatever they are.
pub(super) fn incoming_of(
    call: &Call,
    document: Document,
    manner: Manner,
    delivery: Delivery,
    qr: Option<QrCode>,
) -> Result<Incoming, Reply> {
    let canonical = canonical::text("blue", &document);
    let (serial, seller) = (document.serial.clone(), document.text("XSF_NSRSBH").to_owned());
    let content = match parts(call, document, manner) {
        Ok(parts) => Ok(parts),
        Err(Trouble::Faults(faults)) => Err(faults),
        // Nobody knows yet what a disk of this seller takes, and a plan is never made twice.
        Err(Trouble::LimitsUnknown) => return Err(Reply::busy()),
    };
    Ok(Incoming { serial, seller, canonical, content: Content::Blue(content), delivery, qr })
}

enum Trouble {
    Faults(Vec<Fault>),
    LimitsUnknown,
}

impl From<Vec<Fault>> for Trouble {
    fn from(faults: Vec<Fault>) -> Trouble {
        Trouble::Faults(faults)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        Trouble::Faults(vec![fault])
    }
}

fn parts(call: &Call, document: Document, manner: Manner) -> Result<Vec<Part>, Trouble> {
    let tenant = call.tenant();
    let number = document.text("XSF_NSRSBH").to_owned();
    let seller = tenant.seller(&number).ok_or_else(|| Fault::new("XSF_NSRSBH", "seller", "该税号不属于本 appid 的租户"))?.clone();
    let point = seller
        .point(document.text("ORGCODE"), manner == Manner::Split)
        .map_err(|text| Fault::new("ORGCODE", "issue_point", text))?;
    let kind = submission::kind(document.kind)?;
    let document = discount::pair(derive::derive(document)?)?;
    let documents = match manner {
        Manner::Single => vec![document],
        Manner::Split => {
            let limits: Limits = call.portal.limits(&number, point, kind).ok_or(Trouble::LimitsUnknown)?;
            split::split(&document, limits)?
        }
    };
    let several = documents.len() > 1;
    let mut parts = Vec::with_capacity(documents.len());
    let mut faults = Vec::new();
    for (index, mut document) in documents.into_iter().enumerate() {
        if several {
            document.serial = split::part_serial(&tenant.id, &document.serial, index + 1);
        }
        let part = part(&tenant.id, &number, point, kind, document);
        faults.extend(judge(call, &part, kind).err().into_iter().flatten());
        parts.push(part);
    }
    if faults.is_empty() { Ok(parts) } else { Err(Trouble::Faults(faults)) }
}

fn part(tenant: &str, seller: &str, point: &IssuePoint, kind: InvoiceKind, document: Document) -> Part {
    let context = Context {
        job_serial: insert::job_serial(tenant, &document.serial),
        seller: seller.to_owned(),
        issue_point: point.broker_point.clone(),
        persons: [point.clerk.clone(), point.payee.clone(), point.reviewer.clone()],
        operation: Operation::Issue,
        original: None,
        priority: Priority::Bulk,
    };
    let job = submission::submission(&document, kind, &context);
    let complete = !document.text("GMF_MC").is_empty();
    Part { serial: document.serial.clone(), orgcode: point.orgcode.clone(), document, job, complete }
}

/// The broker's rules, and what the seller's disks can express, as far as they are known.
fn judge(call: &Call, part: &Part, kind: InvoiceKind) -> Result<(), Vec<Fault>> {
    let mut job = part.job.clone();
    if !part.complete
        && let Some(invoice) = &mut job.invoice
    {
        // A consumer names the buyer later; everything else is judged now.
        "个人".clone_into(&mut invoice.buyer.name);
    }
    insert::judge(&job)?;
    on_disks(call, &job, kind)
}

fn on_disks(call: &Call, job: &JobSubmission, kind: InvoiceKind) -> Result<(), Vec<Fault>> {
    let disks = call.portal.disks();
    let own: Vec<_> = disks.iter().filter(|disk| disk.report.taxpayer == job.seller).collect();
    let Ok(parsed) = rules::parse(job) else { return Ok(()) };
    let able: Vec<_> = own.iter().filter(|disk| disk.report.kinds.iter().any(|licensed| licensed == kind.fplxdm())).collect();
    match able.as_slice() {
        [] if own.is_empty() => Ok(()),
        [] => Err(vec![Fault::new("FPLX", "kind_not_licensed", format!("销方的税控设备没有{}的授权", kind.name()))]),
        able => {
            let mut first = None;
            for disk in able {
                let breaches = rules::fits(&parsed, &disk.report.capabilities, None);
                if breaches.is_empty() {
                    return Ok(());
                }
                first.get_or_insert(breaches);
            }
            Err(first.unwrap_or_default().iter().map(submission::fault).collect())
        }
    }
}
