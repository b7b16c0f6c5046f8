//! From a document to what the writer decides on, for whoever asks: a merchant's system ([`crate::api`]) or a person at the
//! console. Reads no store; everything that a repeat must not be refused for is left to the writer.

use taxdisk_protocol::api::{JobSubmission, Operation, Priority};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::rules;

use crate::core::insert::{self, Content, Incoming, Part};
use crate::core::request::{Delivery, QrCode};
use crate::document::split::{self, Limits};
use crate::document::submission::{self, Context};
use crate::document::{Document, Fault, canonical, derive, discount};
use crate::model::{IssuePoint, Tenant};
use crate::portal::Portal;

/// How a document is turned into invoices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// One document, one invoice.
    Single,
    /// As many as it takes.
    Split,
}

/// Nobody knows yet what a disk of this seller takes, and a plan is never made twice. Nothing was done; the same may be sent
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limits of the seller's disks are not known yet")]
pub struct LimitsUnknown;

/// What a document asks for. Its faults are kept: a repeat is answered whatever they are.
///
/// # Errors
/// It must be split, and nobody knows how.
pub fn incoming(
    portal: &Portal,
    tenant: &Tenant,
    document: Document,
    manner: Manner,
    priority: Priority,
    delivery: Delivery,
    qr: Option<QrCode>,
) -> Result<Incoming, LimitsUnknown> {
    let canonical = canonical::text("blue", &document);
    let (serial, seller) = (document.serial.clone(), document.text("XSF_NSRSBH").to_owned());
    let content = match parts(portal, tenant, document, manner, priority) {
        Ok(parts) => Ok(parts),
        Err(Trouble::Faults(faults)) => Err(faults),
        Err(Trouble::LimitsUnknown) => return Err(LimitsUnknown),
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

fn parts(portal: &Portal, tenant: &Tenant, document: Document, manner: Manner, priority: Priority) -> Result<Vec<Part>, Trouble> {
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
            let limits: Limits = portal.limits(&number, point, kind).ok_or(Trouble::LimitsUnknown)?;
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
        let part = part(&tenant.id, &number, point, kind, document, priority);
        faults.extend(judge(portal, &part, kind).err().into_iter().flatten());
        parts.push(part);
    }
    if faults.is_empty() { Ok(parts) } else { Err(Trouble::Faults(faults)) }
}

fn part(tenant: &str, seller: &str, point: &IssuePoint, kind: InvoiceKind, document: Document, priority: Priority) -> Part {
    let context = Context {
        job_serial: insert::job_serial(tenant, &document.serial),
        seller: seller.to_owned(),
        issue_point: point.broker_point.clone(),
        persons: [point.clerk.clone(), point.payee.clone(), point.reviewer.clone()],
        operation: Operation::Issue,
        original: None,
        priority,
    };
    let job = submission::submission(&document, kind, &context);
    let complete = !document.text("GMF_MC").is_empty();
    Part { serial: document.serial.clone(), orgcode: point.orgcode.clone(), document, job, complete }
}

/// The broker's rules, and what the seller's disks can express, as far as they are known.
fn judge(portal: &Portal, part: &Part, kind: InvoiceKind) -> Result<(), Vec<Fault>> {
    let mut job = part.job.clone();
    if !part.complete
        && let Some(invoice) = &mut job.invoice
    {
        // A consumer names the buyer later; everything else is judged now.
        "个人".clone_into(&mut invoice.buyer.name);
    }
    insert::judge(&job)?;
    on_disks(portal, &job, kind)
}

fn on_disks(portal: &Portal, job: &JobSubmission, kind: InvoiceKind) -> Result<(), Vec<Fault>> {
    let disks = portal.disks();
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
