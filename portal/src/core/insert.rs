//! New requests (yonyou-open-api.md, section 4): the key is looked up before anything else, a repeat is answered with what became
//! of the first one, and a batch is taken whole or not at all.

use taxdisk_protocol::api::{JobSubmission, Operation, PairBody};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::rules;

use super::outbox::Delivered;
use super::request::{Delivery, NEVER, Phase, QrCode, Request, Voiding};
use super::{act, red};
use crate::document::{Document, Fault, canonical, submission};
use crate::ledger::Session;
use crate::model::Suspected;
use crate::store::StoreError;

/// A request that looks like an earlier one counts as suspected for so long, milliseconds.
const SUSPECTED_MS: i64 = 24 * 3600 * 1000;

/// One document that comes in.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// FPQQLSH.
    pub serial: String,
    /// Seller; of reds it is that of the blue invoice.
    pub seller: String,
    /// Canonical text.
    pub canonical: String,
    /// What it asks for, if it can be taken.
    pub content: Content,
    /// Where results go.
    pub delivery: Delivery,
    /// Makes a code for the consumer.
    pub qr: Option<QrCode>,
}

/// What a document asks for.
#[derive(Debug, Clone)]
pub enum Content {
    /// One blue invoice or, split, several. Faults: it breaks rules, and is refused unless it is known already.
    Blue(Result<Vec<Part>, Vec<Fault>>),
    /// Reverses an invoice of this tenant, whole or in part.
    Red(Box<red::Ask>),
}

/// One invoice to be.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its serial number: the document's, or one made of it.
    pub serial: String,
    /// ORGCODE of the issue point.
    pub orgcode: String,
    /// What is printed.
    pub document: Document,
    /// The broker's job.
    pub job: JobSubmission,
    /// False: the buyer comes later.
    pub complete: bool,
}

/// A batch that comes in.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Tenant.
    pub tenant: String,
    /// Caller.
    pub appid: String,
    /// Name of the interface.
    pub interface: &'static str,
    /// The documents.
    pub documents: Vec<Incoming>,
    /// False: a person approves first.
    pub audited: bool,
    /// What happens to what looks like a duplicate.
    pub suspected: Suspected,
    /// A repeat of what a device failed is a re-issue.
    pub reissue_on_repeat: bool,
}

/// What became of one document.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Taken now.
    Taken(Box<Seen>),
    /// Known already; nothing was done.
    Repeat(Box<Seen>),
    /// Not taken.
    Refused(Refusal),
}

/// A request as it stands, with its parts if it was split.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The request; the plan, if it was split.
    pub request: Request,
    /// The parts; the request itself if it was not split.
    pub parts: Vec<Request>,
    /// It looks like this earlier one.
    pub suspected: Option<String>,
    /// A repeat named other addresses; the first ones stay.
    pub delivery_ignored: bool,
}

/// Why a document was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Serial number.
    pub serial: String,
    /// Finer cause.
    pub subcode: &'static str,
    /// For people.
    pub text: String,
    /// The original, on a conflict.
    pub original: Option<Box<Request>>,
    /// Names of fields that differ from the original.
    pub differences: Vec<String>,
}

impl Refusal {
    /// A refusal without an original.
    pub fn new(serial: &str, subcode: &'static str, text: impl Into<String>) -> Refusal {
        Refusal { serial: serial.to_owned(), subcode, text: text.into(), original: None, differences: Vec::new() }
    }

    /// Broken rules.
    pub fn faults(serial: &str, faults: &[Fault]) -> Refusal {
        let text: Vec<String> = faults.iter().take(10).map(ToString::to_string).collect();
        Refusal::new(serial, "INVALID_DATA", text.join("；"))
    }
}

/// Takes a batch whole, or nothing of it.
///
/// # Errors
/// Those of the store.
pub async fn insert(session: &mut Session, batch: &Batch) -> Result<Vec<Verdict>, StoreError> {
    let mut planned = Vec::with_capacity(batch.documents.len());
    for (index, document) in batch.documents.iter().enumerate() {
        let twice = batch.documents[..index].iter().any(|other| other.serial == document.serial);
        planned.push(if twice {
            Plan::Refuse(Refusal::new(&document.serial, "SERIAL_TWICE", "同一批次内流水号重复"))
        } else {
            plan(session, batch, document).await?
        });
    }
    let refused = planned.iter().any(|plan| matches!(plan, Plan::Refuse(_)));
    let mut verdicts = Vec::with_capacity(planned.len());
    for (plan, document) in planned.into_iter().zip(&batch.documents) {
        verdicts.push(match plan {
            Plan::Refuse(refusal) => Verdict::Refused(refusal),
            Plan::Repeat(seen) => Verdict::Repeat(Box::new(repeat(session, batch, document, *seen).await?)),
            Plan::Take { .. } if refused => {
                Verdict::Refused(Refusal::new(&document.serial, "BATCH_REFUSED", "同批次其他单据有误，整批未受理"))
            }
            Plan::Take { parts, before } => Verdict::Taken(Box::new(take(session, batch, document, parts, before).await?)),
        });
    }
    Ok(verdicts)
}

enum Plan {
    Take { parts: Vec<Part>, before: Option<Box<Request>> },
    Repeat(Box<Seen>),
    Refuse(Refusal),
}

/// Decides on a document without writing anything.
async fn plan(session: &mut Session, batch: &Batch, document: &Incoming) -> Result<Plan, StoreError> {
    let own = (batch.tenant.as_str(), document.serial.as_str());
    // Most are one invoice under the document's own serial number: who has the job's is asked in the same go.
    let single = match &document.content {
        Content::Blue(Ok(parts)) if parts.len() == 1 && parts[0].serial == document.serial => Some(&parts[0].job),
        _ => None,
    };
    let mut named = match single {
        Some(job) => session.db.requests_named(own, (&job.seller, &job.serial)).await?,
        None => session.db.request(own.0, own.1).await?.into_iter().collect(),
    };
    let known = named.iter().position(|other| (other.tenant.as_str(), other.serial.as_str()) == own);
    let before = match known.map(|index| named.swap_remove(index)) {
        Some(known) if known.phase != Phase::Deleted => return repeated(session, document, known).await,
        other => other,
    };
    let parts = match &document.content {
        Content::Blue(Ok(parts)) => parts.clone(),
        Content::Blue(Err(faults)) => return Ok(Plan::Refuse(Refusal::faults(&document.serial, faults))),
        Content::Red(ask) => match red::prepare(session, &batch.tenant, &document.serial, ask).await? {
            Ok(part) => vec![part],
            Err(refusal) => return Ok(Plan::Refuse(refusal)),
        },
    };
    for part in &parts {
        // The plan itself is found above; its parts and their jobs must be nobody else's.
        let taken = part.serial != document.serial && session.db.request(&batch.tenant, &part.serial).await?.is_some();
        let job = match single {
            Some(_) => named.pop(),
            None => session.db.request_by_job(&part.job.seller, &part.job.serial).await?,
        };
        if taken || job.is_some_and(|other| other.tenant != batch.tenant || other.serial != part.serial) {
            return Ok(Plan::Refuse(Refusal::new(&document.serial, "SERIAL_COLLISION", "拆分后的流水号已被占用，请联系平台")));
        }
    }
    if let Some(before) = &before
        && let Err(text) = may_follow(before, &parts)
    {
        return Ok(Plan::Refuse(Refusal::new(&document.serial, "REVISION_KIND", text)));
    }
    Ok(Plan::Take { parts, before: before.map(Box::new) })
}

/// A content that follows one that was sent back goes to the same job, which keeps its kind.
fn may_follow(before: &Request, parts: &[Part]) -> Result<(), &'static str> {
    if !before.at_broker {
        return Ok(());
    }
    match parts {
        [part]
            if part.job.operation == before.job.operation
                && part.job.kind == before.job.kind
                && part.job.seller == before.job.seller
                && part.job.original == before.job.original =>
        {
            Ok(())
        }
        _ => Err("该流水号退回前已提交税控端，修改后的单据须保持销方、发票类型和单张开票不变"),
    }
}

/// The serial number is known.
async fn repeated(session: &mut Session, document: &Incoming, known: Request) -> Result<Plan, StoreError> {
    let operation = |canonical: &str| {
        crate::wire::json::Json::parse(canonical).ok().and_then(|json| {
            json.get("head").and_then(|head| head.get("operation")).and_then(|value| value.as_text().map(str::to_owned))
        })
    };
    if known.hash == canonical::hash(&document.canonical) {
        let parts = parts_of(session, &known).await?;
        let delivery_ignored = document.delivery != Delivery::default() && document.delivery != known.delivery;
        return Ok(Plan::Repeat(Box::new(Seen { request: known, parts, suspected: None, delivery_ignored })));
    }
    let other = operation(&known.canonical) != operation(&document.canonical);
    let (subcode, text) = match other {
        true => ("SERIAL_OTHER_OPERATION", "该流水号已用于另一种操作（蓝票或红票），本次未受理"),
        false => ("SERIAL_CONFLICT", "该流水号对应的原请求内容不同，本次未受理；请查询原请求或先退回原请求后再提交"),
    };
    let differences = if other { Vec::new() } else { canonical::differences(&known.canonical, &document.canonical) };
    let refusal = Refusal { original: Some(Box::new(known)), differences, ..Refusal::new(&document.serial, subcode, text) };
    Ok(Plan::Refuse(refusal))
}

/// The parts of a plan, or the request itself.
///
/// # Errors
/// Those of the store.
pub async fn parts_of(session: &mut Session, request: &Request) -> Result<Vec<Request>, StoreError> {
    if request.phase != Phase::Plan {
        return Ok(vec![request.clone()]);
    }
    let mut parts = Vec::with_capacity(request.parts.len());
    for serial in &request.parts {
        parts.extend(session.db.request(&request.tenant, serial).await?);
    }
    Ok(parts)
}

async fn repeat(session: &mut Session, batch: &Batch, document: &Incoming, mut seen: Seen) -> Result<Seen, StoreError> {
    if batch.reissue_on_repeat && seen.request.may_reissue() {
        seen.request = act::requeue(session, seen.request, &batch.appid, "repeat").await?;
        seen.parts = vec![seen.request.clone()];
    }
    debug_assert_eq!(seen.request.serial, document.serial);
    Ok(seen)
}

/// Writes a document that is taken.
async fn take(
    session: &mut Session,
    batch: &Batch,
    document: &Incoming,
    parts: Vec<Part>,
    before: Option<Box<Request>>,
) -> Result<Seen, StoreError> {
    let split = parts.len() > 1;
    let fingerprint = fingerprint(&batch.tenant, document, &parts);
    let similar = match batch.suspected {
        Suspected::Off => None,
        _ => session.db.similar(&batch.tenant, &fingerprint, session.now - SUSPECTED_MS).await?,
    };
    let suspected = similar.map(|similar| similar.parent.unwrap_or(similar.serial)).filter(|other| *other != document.serial);
    let has_source = parts.iter().any(|part| !part.document.text("LYID").is_empty());
    let hold = match batch.suspected {
        Suspected::Hold => true,
        Suspected::Auto => has_source,
        Suspected::Warn | Suspected::Off => false,
    };
    let held_for = suspected.clone().filter(|_| hold);
    let mut written = Vec::with_capacity(parts.len());
    for part in parts {
        let phase = match () {
            () if !part.complete => Phase::Buyer,
            () if held_for.is_some() || !batch.audited => Phase::Approval,
            () => Phase::Forwarding,
        };
        let mut request = request(session, batch, document, part, before.as_deref());
        request.phase = phase;
        request.due_at = if phase == Phase::Forwarding { session.now } else { NEVER };
        request.held_for.clone_from(&held_for);
        request.parent = split.then(|| document.serial.clone());
        request.fingerprint.clone_from(&fingerprint);
        // The code leads to the plan, which leads to its parts.
        request.qr = request.qr.filter(|_| !split);
        session.db.put_request(&request).await?;
        session.note(&batch.tenant, &request.serial, &batch.appid, "accepted", &request.canonical).await?;
        written.push(request);
    }
    session.wake_courier();
    let Some(first) = written.first().filter(|_| !split) else {
        return plan_row(session, batch, document, written, suspected).await;
    };
    Ok(Seen { request: first.clone(), parts: written, suspected, delivery_ignored: false })
}

/// The row of a document that was split: what its serial number stands for, stored with its parts in one transaction.
async fn plan_row(
    session: &mut Session,
    batch: &Batch,
    document: &Incoming,
    written: Vec<Request>,
    suspected: Option<String>,
) -> Result<Seen, StoreError> {
    let first = written[0].clone();
    let request = Request {
        serial: document.serial.clone(),
        job_serial: format!("*{}", document.serial),
        parent: None,
        parts: written.iter().map(|part| part.serial.clone()).collect(),
        phase: Phase::Plan,
        due_at: NEVER,
        fingerprint: String::new(),
        qr: document.qr.clone(),
        gross: written.iter().map(|part| part.gross).sum(),
        ..first
    };
    session.db.put_request(&request).await?;
    session.note(&batch.tenant, &request.serial, &batch.appid, "split", &request.parts.join(" ")).await?;
    Ok(Seen { request, parts: written, suspected, delivery_ignored: false })
}

fn request(session: &Session, batch: &Batch, document: &Incoming, part: Part, before: Option<&Request>) -> Request {
    let gross = part.document.gross;
    Request {
        tenant: batch.tenant.clone(),
        serial: part.serial,
        interface: batch.interface.to_owned(),
        appid: batch.appid.clone(),
        seller: part.job.seller.clone(),
        orgcode: part.orgcode,
        job_serial: part.job.serial.clone(),
        operation: part.job.operation,
        fplx: part.document.kind,
        revision: before.map_or(1, |before| before.revision + 1),
        canonical: document.canonical.clone(),
        hash: canonical::hash(&document.canonical),
        fingerprint: String::new(),
        original: part.job.original.clone(),
        document: part.document,
        job: part.job,
        gross,
        parent: None,
        parts: Vec::new(),
        phase: Phase::Forwarding,
        at_broker: before.is_some_and(|before| before.at_broker),
        job_revision: before.map_or(0, |before| before.job_revision),
        attempt: before.map_or(0, |before| before.attempt),
        reissued_at: before.map_or_else(Vec::new, |before| before.reissued_at.clone()),
        tries: 0,
        waiting: None,
        held_for: None,
        failure: None,
        issued: None,
        voiding: Voiding::No,
        reversed: rust_decimal::Decimal::ZERO,
        delivery: document.delivery.clone(),
        qr: document.qr.clone(),
        delivered: Delivered::default(),
        created_at: session.now,
        changed_at: session.now,
        due_at: NEVER,
        asked_at: 0,
        erased_at: 0,
    }
}

/// Equal for requests that say the same under other serial numbers: tenant, seller, source id, total and lines.
fn fingerprint(tenant: &str, document: &Incoming, parts: &[Part]) -> String {
    if matches!(document.content, Content::Red(_)) {
        return String::new();
    }
    let lines = crate::wire::json::Json::parse(&document.canonical).ok();
    let lines = lines.as_ref().and_then(|json| json.get("items")).map(ToString::to_string).unwrap_or_default();
    let source = parts.first().map_or("", |part| part.document.text("LYID"));
    canonical::hash(&format!("{tenant}\n{}\n{source}\n{lines}", document.seller))
}

/// The job's serial number at the broker, whose alphabet is narrower: the caller's own where that fits, else one made of it.
pub fn job_serial(tenant: &str, serial: &str) -> String {
    use sha2::Digest as _;
    if serial.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return serial.to_owned();
    }
    let digest = sha2::Sha256::digest(format!("job-v1\n{tenant}\n{serial}").as_bytes());
    crate::document::split::base32(&digest, 20)
}

/// Judges a job by the broker's rules, before anything is answered.
///
/// # Errors
/// All broken rules, by the fields that the caller knows.
pub fn judge(job: &JobSubmission) -> Result<(), Vec<Fault>> {
    rules::parse(job).map(|_| ()).map_err(|breaches| breaches.iter().map(submission::fault).collect())
}

/// Kind and pair that a red or void needs.
pub(super) fn about(blue: &Request) -> Option<(InvoiceKind, PairBody)> {
    Some((blue.job.kind.parse().ok()?, blue.pair().filter(|_| blue.operation == Operation::Issue)?))
}
