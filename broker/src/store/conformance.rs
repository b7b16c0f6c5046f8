//! One suite for every store: what a [`Store`] must do, whatever keeps its rows.
#![allow(clippy::unwrap_used)]

mod contents;
mod lists;

use std::future::Future;
use std::sync::Arc;

use taxdisk_protocol::api::{JobState, KeyAction, Operation, PauseMode, Priority, Role, SellerBody};
use taxdisk_protocol::api::{OperationKind, OperationState};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::event::DeliveryState;
use taxdisk_protocol::ids::{AgentId, DiskNumber, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Event, EvidenceKind, Job, Next, Origin, What};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AttemptRef, Owner};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::time::Timestamp;
use taxdisk_protocol::update::UpdatePolicy;
use taxdisk_web::signin::factor::Factor;

pub(crate) use self::contents::{contents_end_and_the_chain_stays_whole, contents_of_named_jobs_end_and_open_ones_stay};
pub(crate) use self::lists::a_list_holds_what_was_asked_for_and_nothing_else;
use super::chain::{Checker, Verified};
use super::check::check;
use super::{DeliveryFilter, Store, StoreError};
use crate::core::announcement::Announcement;
use crate::core::change::{
    AgentRow, Audit, BulkRow, Change, CodeFor, DiskFenceRow, EnrollmentRow, KeyRow, Notice, NumberKey, NumberRow, OriginalKey,
    ReconcileRow, SellerRow, SignInRow, TroubleRow, UserRow,
};
use crate::core::operations::{OperationFilter, OperationRow};
use crate::core::people::ConsoleRole;
use crate::core::types::JobFilter;
use crate::core::webhooks::{DeliveryRow, WebhookRow, fresh};
use crate::core::{PauseRow, Scope};

/// How a suite gets at a store: an empty one, the same one opened again, and a hand that damages a row behind its back.
pub(crate) trait Bench {
    type Store: Store;
    fn open(&self) -> impl Future<Output = Self::Store>;
    fn reopen(&self, store: Self::Store) -> impl Future<Output = Self::Store>;
    /// Changes the body of the nth event of a seller's chain.
    fn damage(&self, seller: &str, sequence: i64) -> impl Future<Output = ()>;
}

const SELLER: &str = "911101080000000007";

fn key(serial: &str) -> JobKey {
    JobKey { seller: SELLER.parse().unwrap(), serial: serial.parse().unwrap() }
}

fn disk() -> DiskNumber {
    "661234567890".parse().unwrap()
}

fn agent() -> AgentId {
    "ag_aaaaaaaaaaaaaaaa".parse().unwrap()
}

fn pair(number: u32) -> NumberPair {
    format!("011002000107 {number:08}").parse().unwrap()
}

pub(crate) fn accept(serial: &str, place: u64) -> (Arc<Job>, Change) {
    let event = Event {
        revision: 0,
        at: Timestamp(1_700_000_000_000 + place as i64),
        origin: Some(Origin { by: "k_1".to_owned(), from: "192.0.2.1".to_owned() }),
        what: What::Accepted {
            key: key(serial),
            operation: Operation::Issue,
            kind: InvoiceKind::Roll,
            issue_point: None,
            priority: Priority::Bulk,
            original: None,
            about: None,
            invoice: Some(taxdisk_protocol::api::InvoiceBody {
                remark: "引号\" 和 \\ 和 \u{0} 与换行\n".to_owned(),
                ..Default::default()
            }),
            hash: format!("hash of {serial}"),
            fields: [("/kind", "00")].into_iter().collect(),
            mark: Some("#123456789".to_owned()),
            place,
            trace: None,
        },
    };
    let job = Arc::new(Job::accept(&event).unwrap());
    (job.clone(), Change::Job { job, event })
}

pub(crate) fn next(job: &Arc<Job>, what: What) -> (Arc<Job>, Change) {
    let event = Event { revision: job.revision, at: job.changed_at.plus_ms(1), origin: None, what };
    let job = Arc::new(job.apply(&event).unwrap());
    (job.clone(), Change::Job { job, event })
}

/// A job that was just accepted is withdrawn.
pub(crate) fn cancelled(job: &Arc<Job>) -> Change {
    next(job, What::Cancelled { by: "k".to_owned(), reason: String::new() }).1
}

/// A job that was just accepted is handed over.
pub(crate) fn assigned_change(job: &Arc<Job>) -> [Change; 2] {
    [next(job, assigned(1)).1, fence(1, 1)]
}

pub(crate) fn assigned(sequence: u64) -> What {
    What::Assigned { attempt: 1, disk: disk(), agent: agent(), epoch: 1, sequence }
}

/// A job that a disk refused.
pub(crate) fn refused(serial: &str, place: u64) -> (Arc<Job>, [Change; 3]) {
    let (job, accepted) = accept(serial, place);
    let (job, handed) = next(&job, assigned(1));
    let problem = taxdisk_protocol::api::JobProblem {
        code: "disk_refused".to_owned(),
        fault: taxdisk_protocol::api::Fault::Request,
        class: None,
        text: String::new(),
    };
    let failed = What::NotIssued {
        attempt: 1,
        epoch: 1,
        class: DeviceClass::InvalidRequest,
        text: String::new(),
        expected: None,
        disk_ms: 1,
        next: Next::Fail { problem },
    };
    let (job, failed) = next(&job, failed);
    (job, [accepted, handed, failed])
}

pub(crate) fn number(value: u32, owner: Owner) -> Change {
    let key = NumberKey { disk: disk(), kind: InvoiceKind::Roll, pair: pair(value) };
    Change::Number(NumberRow { key, owner, status: "positive".to_owned(), digest: String::new() })
}

pub(crate) fn ours(serial: &str) -> Owner {
    Owner::Ours(AttemptRef { key: key(serial), attempt: 1 })
}

pub(crate) fn fence(epoch: u64, sequence: u64) -> Change {
    Change::DiskFence(DiskFenceRow { disk: disk(), epoch, sequence, owner: Some(agent()) })
}

fn stale(result: Result<(), StoreError>) {
    assert!(matches!(result, Err(StoreError::Stale(_))), "{result:?}");
}

fn seller() -> TaxpayerNumber {
    SELLER.parse().unwrap()
}

async fn entries(store: &impl Store) -> u64 {
    match store.verify(Some(&seller())).await.unwrap() {
        Verified::Whole { entries, .. } => entries,
        broken => panic!("{broken:?}"),
    }
}

fn pause(reason: &str) -> Notice {
    Notice::Pause(PauseRow {
        scope: Scope::Disk(disk()),
        mode: PauseMode::Drain,
        by: "k".to_owned(),
        reason: reason.to_owned(),
        since: Timestamp(5),
        drained_at: Some(Timestamp(6)),
    })
}

fn updates(versions: &str) -> Notice {
    Notice::Updates(UpdatePolicy { channel: "stable".to_owned(), versions: versions.to_owned(), agents: Vec::new() })
}

/// Of another disk each.
fn trouble(number: u8) -> Notice {
    let disk = format!("66999999999{number}").parse().unwrap();
    Notice::Trouble(TroubleRow { disk, kind: InvoiceKind::Roll, since: Timestamp(i64::from(number)) })
}

/// What was committed is there, byte for byte, after the store was opened again.
pub(crate) async fn what_is_committed_is_there_after_a_reopen<B: Bench>(bench: B) {
    let store = bench.open().await;
    let ledger = store.ledger().to_owned();
    let (job, accepted) = accept("A1", 1);
    let (job, handed) = next(&job, assigned(1));
    let agent_row = AgentRow {
        agent: agent(),
        name: "till".to_owned(),
        public_key: "k".to_owned(),
        version: "1".to_owned(),
        enrolled_at: Timestamp(5),
        seen_at: None,
        revoked: false,
        journal: Some("j".to_owned()),
        journal_sequence: 9,
        join: 3,
        alarms: vec!["x".to_owned()],
        bounds: Default::default(),
        waiting: false,
        code: None,
    };
    let body =
        SellerBody { name: "测试".to_owned(), disk_trouble: Default::default(), mark: false, warnings: Default::default() };
    let changes = vec![
        Change::Seller(SellerRow { seller: seller(), body: body.clone() }),
        accepted,
        handed,
        fence(1, 1),
        number(7, Owner::Foreign),
        Change::Accounted(disk(), InvoiceKind::Roll, pair(7)),
        Change::Agent(agent_row.clone()),
        Change::Notice { notice: trouble(1), on: true },
        Change::Notice { notice: trouble(2), on: true },
        Change::Notice { notice: pause("first"), on: true },
        Change::Notice { notice: updates("^1"), on: true },
        Change::Notice { notice: updates("^2"), on: true },
    ];
    store.commit(&changes).await.unwrap();
    // The last word on a name counts; what was never there is taken away without a murmur.
    let notices = [(trouble(1), false), (trouble(3), false), (pause("second\u{0}"), true)];
    store.commit(&notices.map(|(notice, on)| Change::Notice { notice, on })).await.unwrap();
    let (ended, _) = accept("A2", 2);
    let (ended, cancelled) = next(&ended, What::Cancelled { by: "k".to_owned(), reason: String::new() });
    let (_, accepted) = accept("A2", 2);
    store.commit(&[accepted, cancelled]).await.unwrap();
    let store = bench.reopen(store).await;
    assert_eq!(store.ledger(), ledger);
    assert_eq!(store.job(&key("A1")).await.unwrap().unwrap(), job);
    assert_eq!(store.job(&key("A2")).await.unwrap().unwrap(), ended);
    assert_eq!(store.events(&key("A1")).await.unwrap().len(), 2);
    let restored = store.restore().await.unwrap();
    assert_eq!(restored.jobs, std::slice::from_ref(&job), "only what has not ended");
    assert_eq!((restored.next_place, restored.sellers[0].body.clone()), (3, body));
    assert_eq!((restored.fences[0].epoch, restored.fences[0].owner.clone()), (1, Some(agent())));
    assert_eq!((restored.agents, restored.accounted), (vec![agent_row], vec![(disk(), InvoiceKind::Roll, pair(7))]));
    assert_eq!(restored.notices, [pause("second\u{0}"), trouble(2), updates("^2")]);
    // The chain goes on where it ended.
    let (_, started) = next(&job, What::Started { attempt: 1, epoch: 1, expected: pair(8) });
    store.commit(&[started]).await.unwrap();
    assert_eq!(entries(&store).await, 5);
    let known = store.jobs_by_key(&[key("A1"), key("A2"), key("A3")]).await.unwrap();
    assert_eq!((known.len(), known[&key("A1")].revision), (2, 3));
}

/// A guard that does not hold leaves nothing of the whole commit.
pub(crate) async fn a_stale_commit_leaves_nothing<B: Bench>(bench: B) {
    let store = bench.open().await;
    let (job, accepted) = accept("A1", 1);
    store.commit(std::slice::from_ref(&accepted)).await.unwrap();
    let (_, handed) = next(&job, assigned(1));
    store.commit(std::slice::from_ref(&handed)).await.unwrap();
    let (_, other) = accept("A2", 2);
    // The same revision twice; the same key twice; an event of a job that is not there; each beside something good.
    let (ghost, _) = accept("GHOST", 9);
    let (_, ghost) = next(&ghost, assigned(9));
    for bad in [handed, accepted, ghost] {
        stale(store.commit(&[other.clone(), number(5, Owner::Foreign), bad]).await);
        assert!(store.job(&key("A2")).await.unwrap().is_none());
        assert_eq!(store.job(&key("A1")).await.unwrap().unwrap().revision, 2);
        assert!(store.job(&key("GHOST")).await.unwrap().is_none());
        let asked = NumberKey { disk: disk(), kind: InvoiceKind::Roll, pair: pair(5) };
        assert!(store.number_owners(&[asked]).await.unwrap().is_empty());
        assert_eq!(entries(&store).await, 2);
    }
    // The chain was not harmed by what was refused.
    store.commit(&[other]).await.unwrap();
    assert_eq!(entries(&store).await, 3);
}

/// I10 is a guard of the store too.
pub(crate) async fn a_number_has_one_owner<B: Bench>(bench: B) {
    let store = bench.open().await;
    store.commit(&[number(7, ours("A1")), number(8, Owner::Foreign)]).await.unwrap();
    store.commit(&[number(7, ours("A1"))]).await.unwrap();
    stale(store.commit(&[number(9, ours("A2")), number(7, ours("A2"))]).await);
    stale(store.commit(&[number(8, ours("A2"))]).await);
    let keys: Vec<NumberKey> =
        [7, 8, 9].into_iter().map(|value| NumberKey { disk: disk(), kind: InvoiceKind::Roll, pair: pair(value) }).collect();
    let owners = store.number_owners(&keys).await.unwrap();
    assert_eq!(
        (owners.get(&keys[0]), owners.get(&keys[1]), owners.get(&keys[2])),
        (Some(&ours("A1")), Some(&Owner::Foreign), None)
    );
    // Another kind, another disk: another number.
    let other = NumberKey { kind: InvoiceKind::PaperOrdinary, ..keys[0].clone() };
    assert!(store.number_owners(&[other]).await.unwrap().is_empty());
}

/// I7 is a guard of the store too.
/// A void job about this number.
fn accept_void(serial: &str, place: u64, original: u32) -> Change {
    let (_, Change::Job { mut event, .. }) = accept(serial, place) else { unreachable!() };
    if let What::Accepted { operation, original: about, .. } = &mut event.what {
        (*operation, *about) = (Operation::Void, Some(pair(original).into()));
    }
    let job = Arc::new(Job::accept(&event).unwrap());
    Change::Job { job, event }
}

pub(crate) async fn void_and_red_jobs_are_found_by_what_they_are_about<B: Bench>(bench: B) {
    let store = bench.open().await;
    let (_, issue) = accept("A1", 1);
    store.commit(&[issue, accept_void("V1", 2, 7), accept_void("V2", 3, 7), accept_void("V3", 4, 8)]).await.unwrap();
    let store = bench.reopen(store).await;
    let original = |value| OriginalKey { seller: seller(), kind: InvoiceKind::Roll, pair: pair(value) };
    let found = store.jobs_about(&[original(7), original(8), original(9), original(7)]).await.unwrap();
    let serials = |value| {
        let mut serials: Vec<_> =
            found.get(&original(value)).into_iter().flatten().map(|job| job.key.serial.to_string()).collect();
        serials.sort();
        serials
    };
    assert_eq!((serials(7), serials(8)), (vec!["V1".to_owned(), "V2".to_owned()], vec!["V3".to_owned()]));
    assert!(!found.contains_key(&original(9)));
    let other = OriginalKey { kind: InvoiceKind::PaperOrdinary, ..original(7) };
    assert!(store.jobs_about(&[other]).await.unwrap().is_empty());
}

pub(crate) async fn epoch_and_sequence_never_fall<B: Bench>(bench: B) {
    let store = bench.open().await;
    store.commit(&[fence(2, 5)]).await.unwrap();
    stale(store.commit(&[fence(1, 6)]).await);
    stale(store.commit(&[fence(3, 4)]).await);
    store.commit(&[fence(3, 6), fence(3, 7)]).await.unwrap();
    assert_eq!(store.restore().await.unwrap().fences[0].sequence, 7);
}

/// A page that is read while jobs come in neither repeats nor misses one that was there at its begin.
pub(crate) async fn pages_are_stable_under_inserts<B: Bench>(bench: B) {
    let store = bench.open().await;
    for place in 1..=25 {
        store.commit(&[accept(&format!("A{place}"), place).1]).await.unwrap();
    }
    let filter = JobFilter::default();
    let (mut cursor, mut seen, mut place) = (None, Vec::new(), 100);
    loop {
        let page = store.jobs(&filter, cursor.as_deref(), 10).await.unwrap();
        seen.extend(page.jobs.iter().map(|job| job.place));
        store.commit(&[accept(&format!("N{place}"), place).1]).await.unwrap();
        place += 1;
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<u64>>());
    assert!(matches!(store.jobs(&filter, Some("nonsense"), 10).await, Err(StoreError::Cursor)));
    let exact = store.jobs(&JobFilter { serial_prefix: Some("A".to_owned()), ..filter.clone() }, None, 25).await.unwrap();
    assert_eq!((exact.jobs.len(), exact.cursor), (25, None));
    let (job, _) = accept("A7", 7);
    let (_, gone) = next(&job, What::Cancelled { by: "k".to_owned(), reason: String::new() });
    store.commit(&[gone]).await.unwrap();
    let states = |states: Vec<JobState>| JobFilter { states, ..JobFilter::default() };
    assert_eq!(store.jobs(&states(vec![JobState::Cancelled]), None, 10).await.unwrap().jobs[0].key, key("A7"));
    assert_eq!(store.jobs(&states(vec![JobState::Queued]), None, 500).await.unwrap().jobs.len(), 27);
    let stranger = JobFilter { sellers: vec!["110105123456789".parse().unwrap()], ..filter };
    assert!(store.jobs(&stranger, None, 10).await.unwrap().jobs.is_empty());
}

/// A row that was changed behind the store's back is found, and only that one.
pub(crate) async fn the_chain_notices_a_changed_row<B: Bench>(bench: B) {
    let store = bench.open().await;
    for place in 1..=5 {
        store.commit(&[accept(&format!("A{place}"), place).1]).await.unwrap();
    }
    let audit = Audit { seller: None, at: Timestamp(1), what: "note".into(), body: serde_json::json!({ "by": "test" }) };
    store.commit(&[Change::Audit(audit)]).await.unwrap();
    assert_eq!(entries(&store).await, 5);
    bench.damage(SELLER, 3).await;
    assert_eq!(store.verify(Some(&seller())).await.unwrap(), Verified::Broken { sequence: 3 });
    assert!(matches!(store.verify(None).await.unwrap(), Verified::Whole { entries: 1, .. }));
}

/// Two users of one code: one wins, and of the other nothing is kept.
pub(crate) async fn an_enrolment_code_is_used_once<B: Bench>(bench: B) {
    let store = bench.open().await;
    let row = EnrollmentRow {
        hash: "h".to_owned(),
        name: "till".to_owned(),
        expires_at: Timestamp(9),
        used_by: None,
        what: CodeFor::default(),
    };
    store.commit(&[Change::Enrollment(row)]).await.unwrap();
    assert_eq!(store.restore().await.unwrap().enrollments.len(), 1);
    let using = |letter: &str| {
        let agent: AgentId = format!("ag_{}", letter.repeat(16)).parse().unwrap();
        vec![
            Change::Seller(SellerRow {
                seller: seller(),
                body: SellerBody {
                    name: letter.to_owned(),
                    disk_trouble: Default::default(),
                    mark: true,
                    warnings: Default::default(),
                },
            }),
            Change::EnrollmentUsed { hash: "h".to_owned(), agent },
        ]
    };
    let (first, second) = (using("a"), using("b"));
    let (first, second) = tokio::join!(store.commit(&first), store.commit(&second));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let restored = store.restore().await.unwrap();
    assert!(restored.enrollments.is_empty());
    assert_eq!(restored.sellers[0].body.name, if first.is_ok() { "a" } else { "b" });
    stale(store.commit(&using("c")).await);
    stale(store.commit(&[Change::EnrollmentUsed { hash: "unknown".to_owned(), agent: agent() }]).await);
}

/// Keys keep their end and their revocation.
pub(crate) async fn keys_keep_their_end<B: Bench>(bench: B) {
    let store = bench.open().await;
    let row = KeyRow {
        id: "k_1".to_owned(),
        hash: "h".to_owned(),
        name: "shop".to_owned(),
        role: Role::Platform,
        sellers: vec![seller()],
        created_at: Timestamp(1),
        expires_at: Some(Timestamp(50)),
        revoked_at: None,
        actions: vec![KeyAction::Submit, KeyAction::Read],
        used_at: None,
        about: crate::core::change::KeyAbout { people: vec!["anna".to_owned()] },
    };
    store.commit(&[Change::Key(row.clone())]).await.unwrap();
    let store = bench.reopen(store).await;
    assert_eq!(store.restore().await.unwrap().keys, std::slice::from_ref(&row));
    let revoked = KeyRow { revoked_at: Some(Timestamp(40)), used_at: Some(Timestamp(30)), ..row };
    store.commit(&[Change::Key(revoked.clone())]).await.unwrap();
    assert_eq!(store.restore().await.unwrap().keys, [revoked]);
}

/// Evidence comes back in its order, and a job that ended but is doubted is restored.
pub(crate) async fn evidence_and_doubt_outlive_the_end<B: Bench>(bench: B) {
    let store = bench.open().await;
    let (job, refused) = refused("A1", 1);
    store.commit(&refused).await.unwrap();
    assert!(store.restore().await.unwrap().jobs.is_empty());
    let evidence = |named, body: &str| What::Evidence {
        attempt: 1,
        kind: EvidenceKind::LateOutcome,
        from: "ag_x".to_owned(),
        named,
        cleared: false,
        body: serde_json::json!(body),
    };
    let (job, first) = next(&job, evidence(None, "one"));
    let (_, second) = next(&job, evidence(Some(pair(7)), "two"));
    store.commit(&[first, second]).await.unwrap();
    let kept = store.evidence(&key("A1")).await.unwrap();
    assert_eq!(kept.iter().map(|one| one.body.as_str().unwrap()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(kept[0].what, "late_outcome");
    assert_eq!(store.restore().await.unwrap().jobs.len(), 1, "a late outcome must still be read");
}

fn told(serial: &str, revision: u64, at: i64) -> Change {
    Change::Announcement(Announcement {
        at: Timestamp(at),
        kind: "job.issued".to_owned(),
        seller: Some(seller()),
        serial: Some(serial.parse().unwrap()),
        revision,
        body: serde_json::json!({ "state": "issued", "text": "甲\u{0}乙" }),
    })
}

fn webhook(id: &str, cursor: u64) -> WebhookRow {
    WebhookRow {
        id: id.to_owned(),
        url: "https://shop.example/hooks".to_owned(),
        description: String::new(),
        events: vec!["job.*".to_owned()],
        sellers: vec![seller()],
        signing: taxdisk_protocol::event::Signing::Symmetric,
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        old_secret: Some(("whsec_AAAA".to_owned(), Timestamp(9))),
        enabled: true,
        disabled: None,
        cursor,
        failing_since: Some(Timestamp(3)),
        delivered_at: None,
        created_at: Timestamp(1),
        created_by: "k_1".to_owned(),
    }
}

/// An announcement is there with the event that it tells of, or neither is; positions rise without a gap that is filled later.
pub(crate) async fn an_announcement_is_as_durable_as_its_event<B: Bench>(bench: B) {
    let store = bench.open().await;
    assert_eq!((store.last_announcement().await.unwrap(), store.announcements(0, 10).await.unwrap().len()), (0, 0));
    let (job, accepted) = accept("A1", 1);
    let (_, handed) = next(&job, assigned(1));
    store.commit(&[accepted.clone(), told("A1", 1, 10), told("A1", 2, 11)]).await.unwrap();
    // A guard that does not hold takes the announcement with it.
    stale(store.commit(&[told("A9", 1, 12), accepted]).await);
    store.commit(&[handed, told("A1", 3, 13)]).await.unwrap();
    let rows = store.announcements(0, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.announcement.revision).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(rows.is_sorted_by(|a, b| a.position < b.position));
    let Change::Announcement(first) = told("A1", 1, 10) else { unreachable!() };
    assert_eq!((&rows[0].announcement, rows[0].tag.as_str()), (&first, first.tag().as_str()));
    assert_eq!(store.last_announcement().await.unwrap(), rows[2].position);
    assert_eq!(store.announcements(rows[0].position, 1).await.unwrap(), rows[1..2]);
    let store = bench.reopen(store).await;
    assert_eq!(store.announcements(0, 10).await.unwrap(), rows);
    // About nobody in particular.
    store.commit(&[Change::Announcement(Announcement::of(Timestamp(1), "agent.up", None, serde_json::json!({})))]).await.unwrap();
    let last = store.announcements(rows[2].position, 10).await.unwrap();
    assert_eq!((last.len(), last[0].announcement.seller.is_none(), last[0].announcement.serial.is_none()), (1, true, true));
}

/// Endpoints and deliveries are as they were written last; those that wait come back at a start, the rest by the log.
pub(crate) async fn deliveries_outlive_a_restart_and_go_with_their_endpoint<B: Bench>(bench: B) {
    let store = bench.open().await;
    store.commit(&[told("A1", 1, 10), told("A2", 1, 20), told("A3", 1, 30)]).await.unwrap();
    let rows = store.announcements(0, 10).await.unwrap();
    let fresh = |id: &str, n: usize| fresh(id, &rows[n], Timestamp(5));
    let tip = rows[2].position;
    let all = [0, 1, 2].map(|n| Change::Delivery(fresh("wh_a", n)));
    store.commit(&[Change::Webhook(webhook("wh_a", 0)), Change::Webhook(webhook("wh_b", 0))]).await.unwrap();
    store
        .commit(&[all.as_slice(), &[Change::Webhook(webhook("wh_a", tip)), Change::Delivery(fresh("wh_b", 0))]].concat())
        .await
        .unwrap();
    let ended = DeliveryRow { state: DeliveryState::Delivered, tries: 2, ..fresh("wh_a", 1) };
    let given_up = DeliveryRow { state: DeliveryState::Failed, ..fresh("wh_a", 2) };
    // Twice in one commit: the last word counts.
    let twice = [Change::Delivery(fresh("wh_a", 1)), Change::Delivery(ended.clone()), Change::Delivery(given_up.clone())];
    store.commit(&twice).await.unwrap();
    let store = bench.reopen(store).await;
    let (mut hooks, mut waiting) = store.webhooks().await.unwrap();
    hooks.sort_by(|a, b| a.id.cmp(&b.id));
    waiting.sort_by(|a, b| a.webhook.cmp(&b.webhook));
    assert_eq!(hooks, [webhook("wh_a", tip), webhook("wh_b", 0)]);
    assert_eq!(waiting, [fresh("wh_a", 0), fresh("wh_b", 0)]);
    let log = |filter: DeliveryFilter| {
        let store = &store;
        async move { store.deliveries("wh_a", &filter, 10).await.unwrap() }
    };
    assert_eq!(log(DeliveryFilter::default()).await, [given_up.clone(), ended.clone(), fresh("wh_a", 0)]);
    assert_eq!(log(DeliveryFilter { before: Some(tip), ..Default::default() }).await.len(), 2);
    assert_eq!(log(DeliveryFilter { state: Some(DeliveryState::Failed), ..Default::default() }).await, [given_up]);
    assert_eq!(log(DeliveryFilter { position: Some(rows[1].position), ..Default::default() }).await, [ended]);
    let between = DeliveryFilter { since: Some(Timestamp(20)), until: Some(Timestamp(30)), ..Default::default() };
    assert_eq!(log(between).await.len(), 1);
    // Old announcements and ended deliveries may go; what waits never does, and no position comes twice.
    store.commit(&[Change::ForgetAnnouncements { up_to: tip, before: Timestamp(25) }]).await.unwrap();
    assert_eq!(store.announcements(0, 10).await.unwrap(), rows[2..]);
    assert_eq!(log(DeliveryFilter::default()).await.len(), 2);
    store.commit(&[Change::ForgetAnnouncements { up_to: tip, before: Timestamp(99) }]).await.unwrap();
    assert_eq!(store.last_announcement().await.unwrap(), tip);
    assert_eq!(store.webhooks().await.unwrap().1.len(), 2);
    let store = bench.reopen(store).await;
    store.commit(&[told("A4", 1, 40)]).await.unwrap();
    assert!(store.announcements(0, 10).await.unwrap()[0].position > tip);
    store.commit(&[Change::WebhookGone("wh_a".to_owned())]).await.unwrap();
    let (hooks, waiting) = store.webhooks().await.unwrap();
    assert_eq!((hooks, waiting), (vec![webhook("wh_b", 0)], vec![fresh("wh_b", 0)]));
    assert!(store.deliveries("wh_a", &DeliveryFilter::default(), 10).await.unwrap().is_empty());
}

/// Rows of a ledger that went back come, change and go.
pub(crate) async fn what_is_to_be_reconciled_is_kept<B: Bench>(bench: B) {
    let store = bench.open().await;
    let row = |what, key: &str, body: Option<&str>| {
        Change::Reconcile(ReconcileRow { what, key: key.to_owned(), body: body.map(str::to_owned) })
    };
    let rows = [row("disk", "d", Some("1")), row("disk", "e", Some("2")), row("number", "d", Some("3"))];
    store.commit(&rows).await.unwrap();
    store.commit(&[row("disk", "d", Some("4")), row("disk", "e", None), row("line", "nobody", None)]).await.unwrap();
    let store = bench.reopen(store).await;
    let restored = store.restore().await.unwrap();
    let kept: Vec<_> = restored.reconcile.iter().map(|row| (row.what, row.key.as_str(), row.body.as_deref().unwrap())).collect();
    assert_eq!(kept, [("disk", "d", "4"), ("number", "d", "3")]);
}

/// Chains are listed with their heads, and read entry by entry as they are hashed.
pub(crate) async fn chains_are_read_as_they_are_hashed<B: Bench>(bench: B) {
    let store = bench.open().await;
    store.commit(&[accept("A1", 1).1, accept("A2", 2).1]).await.unwrap();
    store
        .commit(&[Change::Audit(Audit { seller: None, at: Timestamp(1), what: "note".into(), body: serde_json::json!({}) })])
        .await
        .unwrap();
    let mut heads = store.chains().await.unwrap();
    heads.sort_by(|a, b| a.seller.cmp(&b.seller));
    assert_eq!(heads.iter().map(|head| (head.seller.as_str(), head.sequence)).collect::<Vec<_>>(), [("", 1), (SELLER, 2)]);
    let mut checker = Checker::default();
    for after in 0..2 {
        let read = store.entries(SELLER, after, 1).await.unwrap();
        assert!(checker.fits(&read[0].row()));
        assert!(read[0].content.as_ref().unwrap().contains("remark") && !read[0].body.contains("remark"));
    }
    assert_eq!(hex::encode(checker.head.1), heads[1].hash);
    assert!(store.entries(SELLER, 2, 1).await.unwrap().is_empty());
}

/// What was written through the store is whole, and a job that is not what its events add up to is found.
pub(crate) async fn a_whole_store_checks_as_whole<B: Bench>(bench: B) {
    let store = bench.open().await;
    let (job, accepted) = accept("A1", 1);
    let (_, handed) = next(&job, assigned(1));
    store.commit(&[accepted, handed, accept("A2", 2).1]).await.unwrap();
    let checked = check(&store).await.unwrap();
    assert!(checked.is_whole(), "{checked:?}");
    assert_eq!((checked.chains, checked.entries, checked.jobs), (1, 3, 2));
    bench.damage(SELLER, 2).await;
    bench.damage(SELLER, 3).await;
    let checked = check(&store).await.unwrap();
    assert_eq!(checked.found, 2, "the chain, and the job: {checked:?}");
}

/// Jobs are found by what went wrong and by when they were accepted.
pub(crate) async fn jobs_are_found_by_their_problem<B: Bench>(bench: B) {
    let store = bench.open().await;
    let (job, accepted) = accept("A1", 1);
    let problem = taxdisk_protocol::api::JobProblem {
        code: "disk_trouble".to_owned(),
        fault: taxdisk_protocol::api::Fault::Disk,
        class: Some(DeviceClass::NoStock),
        text: String::new(),
    };
    let (_, failed) = next(&job, What::Failed { problem });
    store.commit(&[accepted, failed, accept("A2", 2).1]).await.unwrap();
    let count = async |filter: JobFilter| store.jobs(&filter, None, 10).await.unwrap().jobs.len();
    let by = |problem: &str, class| JobFilter { problem: Some(problem.to_owned()), class, ..JobFilter::default() };
    assert_eq!(count(by("disk_trouble", Some(DeviceClass::NoStock))).await, 1);
    assert_eq!(count(by("disk_trouble", Some(DeviceClass::Locked))).await, 0);
    assert_eq!(count(by("disk_refused", None)).await, 0);
    let until = |until| JobFilter { until: Some(Timestamp(until)), ..JobFilter::default() };
    assert_eq!((count(until(1_700_000_000_002)).await, count(until(1_700_000_000_003)).await), (1, 2));
}

/// A bulk re-issue keeps its place.
pub(crate) async fn bulk_re_issues_keep_their_place<B: Bench>(bench: B) {
    let store = bench.open().await;
    let view = taxdisk_protocol::api::BulkView {
        key: "b1".to_owned(),
        dry_run: false,
        done: false,
        filter: Default::default(),
        reason: "r".to_owned(),
        by: "k".to_owned(),
        at: String::new(),
        jobs: 3,
        totals: Default::default(),
        refused: Default::default(),
        lines: Vec::new(),
    };
    let row = BulkRow { view, sellers: vec![seller()], cursor: None };
    store.commit(&[Change::Bulk(row.clone())]).await.unwrap();
    let moved = BulkRow { cursor: Some("p9".to_owned()), ..row };
    store.commit(&[Change::Bulk(moved.clone())]).await.unwrap();
    let store = bench.reopen(store).await;
    assert_eq!(store.restore().await.unwrap().bulks, [moved]);
}

/// People of the console and their way in: the last word counts, and what is gone is gone.
pub(crate) async fn people_and_their_sessions_are_kept<B: Bench>(bench: B) {
    let store = bench.open().await;
    let user = UserRow {
        name: "anna".to_owned(),
        role: ConsoleRole::Viewer,
        password: None,
        shut_out: false,
        created_at: Timestamp(7),
        factor: None,
    };
    let row = |what, key: &str, body: Option<&str>| SignInRow { what, key: key.to_owned(), body: body.map(str::to_owned) };
    store.commit(&[Change::User(user.clone())]).await.unwrap();
    let changed = UserRow { role: ConsoleRole::Auditor, password: Some("$argon2id$x".to_owned()), factor: Factor::new(), ..user };
    store
        .commit(&[
            Change::User(changed.clone()),
            Change::SignIn(row(SignInRow::SESSION, "h", Some("1"))),
            Change::SignIn(row(SignInRow::LINK, "h", Some("2"))),
            Change::SignIn(row(SignInRow::FAILURES, "address 192.0.2.1", Some("3"))),
            Change::SignIn(row(SignInRow::SESSION, "h", Some("4"))),
            Change::SignIn(row(SignInRow::LINK, "h", None)),
            Change::SignIn(row(SignInRow::LINK, "never", None)),
        ])
        .await
        .unwrap();
    let store = bench.reopen(store).await;
    let mut restored = store.restore().await.unwrap();
    restored.sign_ins.sort_by_key(|row| row.what);
    let left = [row(SignInRow::FAILURES, "address 192.0.2.1", Some("3")), row(SignInRow::SESSION, "h", Some("4"))];
    assert_eq!((restored.users, restored.sign_ins), (vec![changed], left.to_vec()));
}

/// An operation is kept as it stands, found by what it is about, and never changed from a revision that it has left.
pub(crate) async fn operations_are_kept_found_and_guarded<B: Bench>(bench: B) {
    let store = bench.open().await;
    let row = |id: &str, place: u64, state, revision| {
        let view = serde_json::json!({
            "id": id, "key": id, "disk": "499000123456", "seller": SELLER, "operation": "report", "kind": "025", "dry_run": false,
            "anyway": false, "state": state, "revision": revision, "by": "k", "reason": "r", "at": "2026-02-03T01:53:00Z",
            "changed_at": "2026-02-03T01:53:00Z", "bulk": "b1",
        });
        let body = serde_json::json!({
            "view": view, "place": place, "disk": "499000123456", "seller": SELLER, "kind": "025", "doubted": false,
        });
        serde_json::from_value::<OperationRow>(body).unwrap()
    };
    let put = |row: &OperationRow| Change::Operation(Box::new(row.clone()));
    let (first, second) = (row("op_1", 1, "queued", 1), row("op_2", 2, "queued", 1));
    store.commit(&[put(&first), put(&second)]).await.unwrap();
    let ended = row("op_1", 1, "done", 2);
    store.commit(&[put(&ended)]).await.unwrap();
    assert!(matches!(store.commit(&[put(&ended)]).await, Err(StoreError::Stale(_))), "the same revision twice");
    assert!(matches!(store.commit(&[put(&first)]).await, Err(StoreError::Stale(_))), "back to an older one");
    let store = bench.reopen(store).await;
    let restored = store.restore().await.unwrap();
    assert_eq!((restored.operations, restored.next_operation), (vec![second.clone()], 3));
    let find = async |filter: OperationFilter| store.operations(&filter, 10).await.unwrap();
    let all = OperationFilter::default;
    assert_eq!(find(all()).await, [second.clone(), ended.clone()], "newest first");
    assert_eq!(find(OperationFilter { before: Some(2), ..all() }).await, std::slice::from_ref(&ended));
    assert_eq!(find(OperationFilter { ids: vec!["op_1".to_owned()], ..all() }).await, std::slice::from_ref(&ended));
    assert_eq!(find(OperationFilter { state: Some(OperationState::Queued), ..all() }).await, std::slice::from_ref(&second));
    assert_eq!(find(OperationFilter { sellers: vec![seller()], bulk: Some("b1".to_owned()), ..all() }).await.len(), 2);
    assert!(find(OperationFilter { what: Some(OperationKind::Clear), ..all() }).await.is_empty());
    assert!(find(OperationFilter { disk: Some("1".parse().unwrap()), ..all() }).await.is_empty());
    let since = |at| OperationFilter { since: Some(Timestamp(at)), ..all() };
    assert_eq!((find(since(1_770_083_580_000)).await.len(), find(since(1_770_083_580_001)).await.len()), (2, 0));
    assert_eq!(store.operations(&all(), 1).await.unwrap().len(), 1);
}

/// Makes one test of each case of the suite.
macro_rules! suite {
    ($bench:expr; $($case:ident)*) => {
        $(#[tokio::test]
        async fn $case() {
            $crate::store::conformance::$case($bench).await;
        })*
    };
}

macro_rules! suite_of {
    ($bench:expr) => {
        $crate::store::conformance::suite! { $bench;
            what_is_committed_is_there_after_a_reopen
            a_stale_commit_leaves_nothing
            a_number_has_one_owner
            void_and_red_jobs_are_found_by_what_they_are_about
            epoch_and_sequence_never_fall
            pages_are_stable_under_inserts
            a_list_holds_what_was_asked_for_and_nothing_else
            the_chain_notices_a_changed_row
            an_enrolment_code_is_used_once
            keys_keep_their_end
            evidence_and_doubt_outlive_the_end
            an_announcement_is_as_durable_as_its_event
            deliveries_outlive_a_restart_and_go_with_their_endpoint
            what_is_to_be_reconciled_is_kept
            chains_are_read_as_they_are_hashed
            a_whole_store_checks_as_whole
            contents_end_and_the_chain_stays_whole
            contents_of_named_jobs_end_and_open_ones_stay
            jobs_are_found_by_their_problem
            bulk_re_issues_keep_their_place
            operations_are_kept_found_and_guarded
            people_and_their_sessions_are_kept
        }
    };
}

pub(crate) use {suite, suite_of};
