//! What is written while it is recorded, and what must be there of it after a cut: one numbered piece after the other, each
//! confirmed once the store said that it is durable.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use taxdisk_agent::core::records::{Intent, Outcome, Owner, Record, View};
use taxdisk_agent::journal::Journal;
use taxdisk_broker::core::change::{Change, NumberKey, NumberRow};
use taxdisk_broker::store::Store;
use taxdisk_broker::store::sqlite::SqliteStore;
use taxdisk_portal::core::outbox::Delivered;
use taxdisk_portal::core::request::{Delivery, Phase, Request, Voiding};
use taxdisk_portal::document::Document;
use taxdisk_portal::store::{Db, Note, StoreError, UsedToken, open};
use taxdisk_protocol::api::{InvoiceBody, JobSubmission, Operation, Priority};
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::{Event, Job, What};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, AttemptRef, AttemptResult};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;
use taxdisk_protocol::time::Timestamp;

const DISK: &str = "499000123456";
const SELLER: &str = "91350100M000100Y43";
/// The journal's folder in that of the agent's state, which is there before.
const JOURNAL: &str = "journal";
/// The ledger's file in its folder.
const LEDGER: &str = "ledger.db";
/// That of the portal.
const PORTAL: &str = "portal.db";
/// Who asks the portal.
const TENANT: &str = "T1";

fn key(piece: u64) -> JobKey {
    JobKey { seller: SELLER.parse().unwrap(), serial: format!("A{piece}").parse().unwrap() }
}

fn attempt(piece: u64) -> AttemptRef {
    AttemptRef { key: key(piece), attempt: 1 }
}

fn pair(piece: u64) -> NumberPair {
    format!("011002000107 {piece:08}").parse().unwrap()
}

fn confirm(piece: u64) {
    let mut out = std::io::stdout().lock();
    // One call of `write`, which the recording finds.
    out.write_all(format!("confirmed {piece}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Two confirmations a job: its intent, and its outcome with number and outbox entry.
pub fn write_journal(folder: &Path, jobs: u64) {
    let journal = Journal::open(&folder.join(JOURNAL)).unwrap();
    for job in 1..=jobs {
        let (disk, kind) = (DISK.parse().unwrap(), InvoiceKind::Roll);
        let intent = Intent {
            attempt: attempt(job),
            content_hash: "h".into(),
            disk,
            kind,
            expected: pair(job),
            mark: None,
            trace: None,
            epoch: 1,
            sequence: job,
            undoing: None,
            at: String::new(),
        };
        journal.append(vec![Record::Intent(intent)]).wait().unwrap();
        confirm(2 * job - 1);
        let result = AttemptResult::Issued {
            pair: pair(job),
            issued_at: String::new(),
            fiscal_code: "F".repeat(60),
            signature: String::new(),
            printed: Printed::default(),
            settled: false,
        };
        let outcome = Outcome {
            attempt: attempt(job),
            disk: DISK.parse().unwrap(),
            kind,
            epoch: 1,
            sequence: job,
            content_hash: None,
            mark: None,
            expected: None,
            undoing: None,
            result,
            at: String::new(),
        };
        let (owner, disk) = (Owner::Ours(attempt(job)), DISK.parse().unwrap());
        let owned = Record::Owned { disk, kind, pair: pair(job), owner, reverses: None };
        let outbox = Record::Outbox { id: journal.fresh_id(), disk: DISK.parse().unwrap(), frame: AgentFrame::Goodbye };
        journal.append(vec![owned, Record::Outcome(outcome), outbox]).wait().unwrap();
        confirm(2 * job);
    }
}

/// Everything that was confirmed is there, what was written together is there together, and the journal goes on.
///
/// # Errors
/// What is missing.
pub fn check_journal(folder: &Path, confirmed: u64) -> Result<(), String> {
    let journal = Journal::open(&folder.join(JOURNAL)).map_err(|error| error.to_string())?;
    let disk = DISK.parse().unwrap();
    // One piece more than was confirmed may be there.
    let last = confirmed / 2 + 1;
    for job in 1..=last {
        let is_there = journal.outcome(&attempt(job)).is_some();
        let parts = [journal.owner(&disk, InvoiceKind::Roll, pair(job)).is_some(), journal.issued(&key(job)).is_some()];
        if parts != [is_there; 2] {
            return Err(format!("of job {job} only a part is there: {is_there} {parts:?}"));
        }
        if 2 * job <= confirmed && !is_there {
            return Err(format!("the outcome of job {job} is lost"));
        }
        if 2 * job - 1 <= confirmed && !is_there && journal.open(&disk).iter().all(|intent| intent.attempt != attempt(job)) {
            return Err(format!("the intent of job {job} is lost"));
        }
    }
    let outcomes = (1..=last).filter(|job| journal.outcome(&attempt(*job)).is_some()).count();
    if journal.pending().len() != outcomes {
        return Err(format!("{} frames are in the outbox of {outcomes} outcomes", journal.pending().len()));
    }
    journal.join().map(drop).map_err(|error| format!("it does not go on: {error}"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn url(folder: &Path, file: &str) -> String {
    format!("sqlite:{}", folder.join(file).display())
}

fn accept(piece: u64) -> Change {
    let what = What::Accepted {
        key: key(piece),
        operation: Operation::Issue,
        kind: InvoiceKind::Roll,
        issue_point: None,
        priority: Priority::Bulk,
        original: None,
        about: None,
        invoice: Some(InvoiceBody { remark: "备注".repeat(40), ..InvoiceBody::default() }),
        hash: format!("hash of {piece}"),
        fields: [("/kind", "00")].into_iter().collect(),
        mark: None,
        place: piece,
        trace: None,
    };
    let event = Event { revision: 0, at: Timestamp(piece as i64), origin: None, what };
    Change::Job { job: Arc::new(Job::accept(&event).unwrap()), event }
}

fn number(piece: u64) -> NumberKey {
    NumberKey { disk: DISK.parse().unwrap(), kind: InvoiceKind::Roll, pair: pair(piece) }
}

/// One confirmation a commit: a job, and a number with its owner.
pub fn write_ledger(folder: &Path, commits: u64) {
    runtime().block_on(async {
        let store = SqliteStore::open(&url(folder, LEDGER)).await.unwrap();
        for piece in 1..=commits {
            let owner = taxdisk_protocol::link::Owner::Ours(attempt(piece));
            let row = NumberRow { key: number(piece), owner, status: "positive".into(), digest: String::new() };
            store.commit(&[accept(piece), Change::Number(row)]).await.unwrap();
            confirm(piece);
        }
        store.close().await.unwrap();
    });
}

/// Everything that was confirmed is there, each commit whole or not at all, and the ledger goes on.
///
/// # Errors
/// What is missing.
pub fn check_ledger(folder: &Path, confirmed: u64) -> Result<(), String> {
    runtime().block_on(async {
        let store = SqliteStore::open(&url(folder, LEDGER)).await.map_err(|error| error.to_string())?;
        let told = |error: taxdisk_broker::store::StoreError| error.to_string();
        let pieces: Vec<u64> = (1..=confirmed + 1).collect();
        let keys: Vec<JobKey> = pieces.iter().map(|piece| key(*piece)).collect();
        let numbers: Vec<NumberKey> = pieces.iter().map(|piece| number(*piece)).collect();
        let (jobs, owners) = (store.jobs_by_key(&keys).await.map_err(told)?, store.number_owners(&numbers).await.map_err(told)?);
        for piece in pieces {
            let parts = (jobs.contains_key(&key(piece)), owners.contains_key(&number(piece)));
            if parts.0 != parts.1 {
                return Err(format!("of commit {piece} only a part is there: {parts:?}"));
            }
            if piece <= confirmed && !parts.0 {
                return Err(format!("commit {piece} is lost"));
            }
        }
        store.restore().await.map_err(told)?;
        store.commit(&[accept(confirmed + 2)]).await.map_err(|error| format!("it does not go on: {error}"))
    })
}

fn request(piece: u64) -> Request {
    Request {
        tenant: TENANT.into(),
        serial: format!("A{piece}"),
        interface: "insertWithArray".into(),
        appid: "APP".into(),
        seller: SELLER.into(),
        orgcode: "A".into(),
        job_serial: format!("A{piece}"),
        operation: Operation::Issue,
        fplx: 1,
        revision: 1,
        canonical: "备注".repeat(40),
        hash: format!("hash of {piece}"),
        fingerprint: "f".into(),
        document: Document::default(),
        job: JobSubmission::default(),
        gross: "106.00".parse().unwrap(),
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
        original: None,
        voiding: Voiding::No,
        reversed: "0".parse().unwrap(),
        delivery: Delivery::default(),
        qr: None,
        delivered: Delivered::default(),
        created_at: piece as i64,
        changed_at: piece as i64,
        due_at: piece as i64,
        asked_at: 0,
        erased_at: 0,
    }
}

fn token(piece: u64) -> UsedToken {
    let token = format!("token of {piece}");
    UsedToken { appid: "APP".into(), token, jti: String::new(), used_for: String::new(), until_s: i64::MAX }
}

/// One confirmation a transaction: a request that was accepted, the line of its history, and the token that it used up.
pub fn write_portal(folder: &Path, requests: u64) {
    runtime().block_on(async {
        let mut db = open(&url(folder, PORTAL)).await.unwrap().writer;
        for piece in 1..=requests {
            put(db.as_mut(), piece).await.unwrap();
            confirm(piece);
        }
    });
}

async fn put(db: &mut dyn Db, piece: u64) -> Result<(), StoreError> {
    let request = request(piece);
    let note = Note { at: piece as i64, by: "APP".into(), what: "accepted".into(), body: "{}".into() };
    db.begin().await?;
    db.put_request(&request).await?;
    db.put_token(&token(piece)).await?;
    db.add_note(TENANT, &request.serial, &note).await?;
    db.commit().await
}

/// Every request that was confirmed is there, with its history and its token and as it was written, and the portal goes on.
///
/// # Errors
/// What is missing.
pub fn check_portal(folder: &Path, confirmed: u64) -> Result<(), String> {
    let told = |error: StoreError| error.to_string();
    runtime().block_on(async {
        let mut db = open(&url(folder, PORTAL)).await.map_err(told)?.writer;
        for piece in 1..=confirmed + 1 {
            let written = request(piece);
            let known = db.request(TENANT, &written.serial).await.map_err(told)?;
            let notes = db.notes(TENANT, &written.serial).await.map_err(told)?.len();
            let tokens = db.used_tokens("APP", &token(piece).token, "").await.map_err(told)?.len();
            if [notes, tokens] != [usize::from(known.is_some()); 2] {
                return Err(format!("of request {piece} only a part is there: {} {notes} {tokens}", known.is_some()));
            }
            if piece <= confirmed && known.as_ref() != Some(&written) {
                return Err(format!("request {piece} is lost, or another one: {known:?}"));
            }
        }
        put(db.as_mut(), confirmed + 2).await.map_err(|error| format!("it does not go on: {error}"))
    })
}
