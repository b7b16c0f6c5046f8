//! The shell: group commit, long polls, sessions, restarts, keys, over a real SQLite file.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicI64;

use taxdisk_protocol::api::{JobState, Role};
use taxdisk_protocol::link::{Assignment, AttemptResult, JournalHead};

use std::collections::HashMap;

use taxdisk_protocol::job::Job;

use super::*;
use crate::core::Restored;
use crate::core::change::{Change, NumberKey, OriginalKey};
use crate::core::tests::{DISK, issued, key, report, seller, submission};
use crate::core::webhooks::{AnnouncementRow, DeliveryRow, WebhookRow};
use crate::store::chain::Verified;
use crate::store::{DeliveryFilter, Page, StoreError};

struct Place {
    folder: tempfile::TempDir,
    now: Arc<AtomicI64>,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap(), now: Arc::new(AtomicI64::new(1_700_000_000_000)) }
    }

    fn clock(&self) -> Clock {
        let now = self.now.clone();
        Arc::new(move || Timestamp(now.load(Ordering::Relaxed)))
    }

    async fn open(&self, settings: Settings) -> Ledger {
        let url = format!("sqlite:{}", self.folder.path().join("ledger.db").display());
        let ledger = Ledger::open(&url, settings, self.clock()).await.unwrap();
        with_seller(&ledger).await;
        ledger
    }
}

async fn with_seller(ledger: &Ledger) {
    let body =
        SellerBody { name: "测试".to_owned(), disk_trouble: Default::default(), mark: true, warnings: Default::default() };
    ledger.put_seller(&seller().parse().unwrap(), body, "test").await.unwrap();
}

async fn agent(ledger: &Ledger) -> AgentId {
    let request = EnrollmentRequest { name: "till".to_owned(), ..Default::default() };
    let code = ledger.create_enrollment(request, "test").await.unwrap().code;
    let body = EnrollBody { code: code.clone(), public_key: "cHVibGlj".to_owned(), version: "0".to_owned() };
    let enrolled = ledger.enroll(body.clone()).await.unwrap();
    assert_eq!(enrolled.ledger, ledger.id());
    assert_eq!(ledger.enroll(body).await.unwrap_err().code, "enrollment_used");
    enrolled.agent.parse().unwrap()
}

async fn join(ledger: &Ledger, agent: &AgentId, join: u64) -> (SessionId, mpsc::Receiver<Box<BrokerFrame>>) {
    let journal = JournalHead { id: "j".to_owned(), sequence: join };
    let joining = Join { agent: agent.clone(), version: "0".to_owned(), journal, join, key: None };
    let (joined, mut frames) = ledger.join(joining).await.unwrap();
    ledger.receive(joined.session, AgentFrame::Disks { disks: vec![report(DISK)] }).await.unwrap();
    assert!(matches!(frames.recv().await.map(|frame| *frame), Some(BrokerFrame::Grant { .. })));
    (joined.session, frames)
}

fn outcome(epoch: u64, assignment: &Assignment, outcome: AttemptResult) -> AgentFrame {
    AgentFrame::Outcome {
        id: format!("m{}", assignment.sequence),
        disk: DISK.parse().unwrap(),
        epoch,
        sequence: assignment.sequence,
        attempt: assignment.attempt.clone(),
        expected: None,
        outcome,
        readings: Vec::new(),
        disk_ms: 1,
    }
}

#[tokio::test]
async fn the_whole_way_and_again_after_a_restart() {
    let place = Place::new();
    let ledger = place.open(Settings::default()).await;
    let agent = agent(&ledger).await;
    let (session, mut frames) = join(&ledger, &agent, 1).await;
    let Submitted::New(view) = ledger.submit(submission("A1")).await.unwrap() else { panic!("known already") };
    assert_eq!(view.state, JobState::Assigned);
    let waiter = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.job_when(&key("A1"), Until::Ended, Duration::from_secs(30)).await }
    });
    let Some(BrokerFrame::Assign { epoch, assignment, .. }) = frames.recv().await.map(|frame| *frame) else {
        panic!("nothing assigned")
    };
    ledger.receive(session, outcome(epoch, &assignment, issued(7))).await.unwrap();
    assert_eq!(frames.recv().await.map(|frame| *frame), Some(BrokerFrame::Ack { ids: vec!["m1".to_owned()] }));
    let ended = waiter.await.unwrap().unwrap();
    assert_eq!((ended.state, ended.issued.unwrap().number.as_str()), (JobState::Issued, "00000007"));
    assert_eq!(ledger.shared.waits.total(), 0, "a wait leaves nothing behind");
    let id = ledger.id().to_owned();
    ledger.stop().await;
    assert!(!ledger.is_ready());
    assert_eq!(ledger.submit(submission("A2")).await.unwrap_err().code, "not_ready");
    assert_eq!(frames.recv().await.map(|frame| *frame), None, "the session ends with the ledger");
    drop(ledger);
    let ledger = place.open(Settings::default()).await;
    assert_eq!(ledger.id(), id);
    let Submitted::Repeated(view) = ledger.submit(submission("A1")).await.unwrap() else { panic!("forgotten") };
    assert_eq!(view.state, JobState::Issued);
    let chain = ledger.shared.store.verify(Some(&seller().parse().unwrap())).await.unwrap();
    assert!(matches!(chain, Verified::Whole { .. }), "{chain:?}");
}

#[tokio::test]
async fn many_callers_of_one_serial_number_make_one_job() {
    let place = Place::new();
    let ledger = place.open(Settings::default()).await;
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.submit(submission(&format!("A{}", n % 10))).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    for call in calls {
        new += usize::from(matches!(call.await.unwrap(), Submitted::New(_)));
    }
    assert_eq!(new, 10);
    let page = ledger.jobs(&JobFilter::default(), None, 500).await.unwrap();
    assert_eq!((page.jobs.len(), page.cursor), (10, None));
    assert_eq!(page.jobs[0].waiting, Some(taxdisk_protocol::api::Waiting::NoDisk));
}

#[tokio::test]
async fn a_slow_agent_is_cut_off_and_told_again_at_its_next_join() {
    let place = Place::new();
    let ledger = place.open(Settings { session_frames: 2, ..Settings::default() }).await;
    let agent = agent(&ledger).await;
    let (_, mut frames) = join(&ledger, &agent, 1).await;
    // Nobody takes what comes; the third frame finds the queue full.
    ledger.submit(submission("A1")).await.unwrap();
    ledger.submit(submission("A2")).await.unwrap();
    for _ in 0..3 {
        ledger.cancel(&key("A1"), CancelRequest::default(), "test").await.unwrap();
    }
    assert!(matches!(frames.recv().await.map(|frame| *frame), Some(BrokerFrame::Assign { .. })));
    assert!(matches!(frames.recv().await.map(|frame| *frame), Some(BrokerFrame::Assign { .. })));
    assert_eq!(frames.recv().await.map(|frame| *frame), None);
    let view = ledger.job(&key("A2")).await.unwrap();
    assert!(view.agent_away);
    let joining =
        Join { agent, version: "0".to_owned(), journal: JournalHead { id: "j".to_owned(), sequence: 2 }, join: 2, key: None };
    let (joined, mut frames) = ledger.join(joining).await.unwrap();
    ledger.receive(joined.session, AgentFrame::Disks { disks: vec![report(DISK)] }).await.unwrap();
    let Some(BrokerFrame::Grant { open, epoch, .. }) = frames.recv().await.map(|frame| *frame) else { panic!("no grant") };
    assert_eq!((open.len(), epoch), (2, 2));
}

#[tokio::test]
async fn long_polls_end_in_time_and_are_bounded() {
    let place = Place::new();
    let ledger = place.open(Settings { max_waits: 1, ..Settings::default() }).await;
    let wait = |until, wait| {
        let ledger = ledger.clone();
        async move { ledger.job_when(&key("A1"), until, wait).await }
    };
    assert_eq!(wait(Until::Ended, Duration::ZERO).await.unwrap_err().code, "not_found");
    ledger.submit(submission("A1")).await.unwrap();
    assert_eq!(wait(Until::After(0), Duration::from_secs(30)).await.unwrap().revision, 1);
    assert_eq!(wait(Until::Ended, Duration::from_millis(1)).await.unwrap().state, JobState::Queued);
    let first = tokio::spawn(wait(Until::After(1), Duration::from_secs(30)));
    while ledger.shared.waits.total() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(wait(Until::After(1), Duration::from_secs(30)).await.unwrap_err().code, "rate_limited");
    ledger.cancel(&key("A1"), CancelRequest::default(), "test").await.unwrap();
    assert_eq!(first.await.unwrap().unwrap().state, JobState::Cancelled);
}

#[tokio::test]
async fn keys_are_known_by_their_hash_until_they_end() {
    let place = Place::new();
    let ledger = place.open(Settings::default()).await;
    assert!(!ledger.has_admin_key());
    let request = |role, valid_s| KeyRequest {
        name: "n".to_owned(),
        role,
        sellers: vec![seller()],
        actions: Vec::new(),
        valid_s,
        owner: None,
    };
    let admin = ledger.create_key(request(Role::Admin, None), "test").await.unwrap();
    let short = ledger.create_key(request(Role::Platform, Some(60)), "test").await.unwrap();
    assert!(ledger.has_admin_key());
    let caller = ledger.authenticate(&short.key).unwrap();
    assert_eq!((caller.role, caller.id.as_str()), (Role::Platform, short.id.as_str()));
    assert!(caller.may_use(&seller().parse().unwrap()) && !caller.may_use(&"110105123456789".parse().unwrap()));
    assert_eq!(ledger.authenticate("tdk_0_0").unwrap_err().code, "unauthorized");
    place.now.fetch_add(60_000, Ordering::Relaxed);
    assert_eq!(ledger.authenticate(&short.key).unwrap_err().code, "key_expired");
    ledger.revoke_key(&admin.id, "test").await.unwrap();
    assert_eq!(ledger.authenticate(&admin.key).unwrap_err().code, "unauthorized");
    assert!(!ledger.has_admin_key());
    ledger.stop().await;
    // The file and its write-ahead log, before closing writes the one into the other.
    let files = std::fs::read_dir(place.folder.path()).unwrap();
    let bytes: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let held = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(held(&admin.id) && !held(&admin.key), "the key itself is kept nowhere");
    drop(ledger);
}

/// A store whose commits fail from some moment on, or wait at a gate, or that another broker may write.
struct Failing {
    inner: SqliteStore,
    fails: AtomicBool,
    deposed: AtomicBool,
    /// A commit takes a pass if there are gates.
    gate: Option<tokio::sync::Semaphore>,
    /// Changes that came to the gate, by commit.
    came: std::sync::Mutex<Vec<usize>>,
    /// Keys that were looked up.
    asked: std::sync::Mutex<usize>,
    /// Was a commit at the gate when keys were looked up?
    beside: std::sync::Mutex<Vec<bool>>,
    at_gate: AtomicBool,
}

impl Failing {
    async fn open(place: &Place) -> Arc<Failing> {
        Arc::new(Failing::over(place).await)
    }

    /// The first commit may pass; the others wait until they are let.
    async fn gated(place: &Place) -> Arc<Failing> {
        Arc::new(Failing { gate: Some(tokio::sync::Semaphore::new(0)), ..Failing::over(place).await })
    }

    async fn over(place: &Place) -> Failing {
        let url = format!("sqlite:{}", place.folder.path().join("ledger.db").display());
        let inner = SqliteStore::open(&url).await.unwrap();
        let (fails, deposed) = (AtomicBool::new(false), AtomicBool::new(false));
        Failing {
            inner,
            fails,
            deposed,
            gate: None,
            came: Default::default(),
            asked: Default::default(),
            beside: Default::default(),
            at_gate: AtomicBool::new(false),
        }
    }

    fn pass(&self, commits: usize) {
        self.gate.as_ref().expect("a gate").add_permits(commits);
    }

    /// When so many commits have come to the gate.
    async fn came(&self, commits: usize) {
        self.until(|| self.came.lock().unwrap().len() >= commits).await;
    }

    /// When so many keys were looked up, and what waited for that has gone on.
    async fn asked(&self, keys: usize) {
        self.until(|| *self.asked.lock().unwrap() >= keys).await;
        settle().await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        let all = async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("it comes to that");
    }
}

#[async_trait::async_trait]
impl Store for Failing {
    async fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Damaged("the disk is full".to_owned()));
        }
        self.came.lock().unwrap().push(changes.len());
        if let Some(gate) = &self.gate {
            self.at_gate.store(true, Ordering::Relaxed);
            gate.acquire().await.expect("a gate is never closed").forget();
            self.at_gate.store(false, Ordering::Relaxed);
        }
        self.inner.commit(changes).await
    }

    async fn restore(&self) -> Result<Restored, StoreError> {
        self.inner.restore().await
    }

    fn leads(&self) -> bool {
        !self.deposed.load(Ordering::Relaxed)
    }

    fn ledger(&self) -> &str {
        self.inner.ledger()
    }

    async fn jobs_by_key(&self, keys: &[JobKey]) -> Result<HashMap<JobKey, Arc<Job>>, StoreError> {
        self.beside.lock().unwrap().push(self.at_gate.load(Ordering::Relaxed));
        let known = self.inner.jobs_by_key(keys).await;
        *self.asked.lock().unwrap() += keys.len();
        known
    }

    async fn number_owners(
        &self,
        numbers: &[NumberKey],
    ) -> Result<HashMap<NumberKey, taxdisk_protocol::link::Owner>, StoreError> {
        self.inner.number_owners(numbers).await
    }

    async fn jobs_about(&self, originals: &[OriginalKey]) -> Result<HashMap<OriginalKey, Vec<Arc<Job>>>, StoreError> {
        self.inner.jobs_about(originals).await
    }

    async fn operations(
        &self,
        filter: &crate::core::operations::OperationFilter,
        limit: u32,
    ) -> Result<Vec<crate::core::operations::OperationRow>, StoreError> {
        self.inner.operations(filter, limit).await
    }

    async fn job(&self, key: &JobKey) -> Result<Option<Arc<Job>>, StoreError> {
        self.inner.job(key).await
    }

    async fn jobs(&self, filter: &JobFilter, cursor: Option<&str>, limit: u32) -> Result<Page, StoreError> {
        self.inner.jobs(filter, cursor, limit).await
    }

    async fn events(&self, key: &JobKey) -> Result<Vec<taxdisk_protocol::job::Event>, StoreError> {
        self.inner.events(key).await
    }

    async fn evidence(&self, key: &JobKey) -> Result<Vec<taxdisk_protocol::api::EvidenceView>, StoreError> {
        self.inner.evidence(key).await
    }

    async fn announcements(&self, after: u64, limit: u32) -> Result<Vec<AnnouncementRow>, StoreError> {
        self.inner.announcements(after, limit).await
    }

    async fn last_announcement(&self) -> Result<u64, StoreError> {
        self.inner.last_announcement().await
    }

    async fn webhooks(&self) -> Result<(Vec<WebhookRow>, Vec<DeliveryRow>), StoreError> {
        self.inner.webhooks().await
    }

    async fn deliveries(&self, webhook: &str, filter: &DeliveryFilter, limit: u32) -> Result<Vec<DeliveryRow>, StoreError> {
        self.inner.deliveries(webhook, filter, limit).await
    }

    async fn chains(&self) -> Result<Vec<crate::store::Head>, StoreError> {
        self.inner.chains().await
    }

    async fn entries(
        &self,
        seller: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<taxdisk_protocol::chain::StoredEntry>, StoreError> {
        self.inner.entries(seller, after, limit).await
    }

    async fn verify(&self, seller: Option<&TaxpayerNumber>) -> Result<Verified, StoreError> {
        self.inner.verify(seller).await
    }
}

#[tokio::test]
async fn i8_a_failed_commit_answers_nobody_sends_nothing_and_ends_the_ledger() {
    let place = Place::new();
    let store = Failing::open(&place).await;
    let ledger = Ledger::start(store.clone(), Settings::default(), place.clock()).await.unwrap();
    with_seller(&ledger).await;
    let agent = agent(&ledger).await;
    let (_, mut frames) = join(&ledger, &agent, 1).await;
    store.fails.store(true, Ordering::Relaxed);
    assert_eq!(ledger.submit(submission("A1")).await.unwrap_err().code, "not_ready");
    let next = tokio::time::timeout(Duration::from_secs(10), frames.recv()).await;
    assert_eq!(next.expect("the session ends"), None, "no assignment left before it was durable");
    tokio::time::timeout(Duration::from_secs(10), ledger.ended()).await.expect("a failed commit ends the ledger");
    assert!(!ledger.is_ready());
    assert_eq!(ledger.job(&key("A1")).await.unwrap_err().code, "not_found");
}

/// A ledger with a seller, behind a gate that lets nothing through any more.
async fn behind_a_gate(place: &Place) -> (Ledger, Arc<Failing>) {
    let store = Failing::gated(place).await;
    store.pass(1);
    let ledger = Ledger::start(store.clone(), Settings::default(), place.clock()).await.unwrap();
    with_seller(&ledger).await;
    assert_eq!(store.came.lock().unwrap().len(), 1);
    (ledger, store)
}

/// A1 is at the gate, and A2 was decided beside it.
async fn two_under_way(place: &Place) -> (Ledger, Arc<Failing>, [tokio::task::JoinHandle<Result<Submitted, Refusal>>; 2]) {
    let (ledger, store) = behind_a_gate(place).await;
    let first = submits(&ledger, "A1");
    store.came(2).await;
    let second = submits(&ledger, "A2");
    store.asked(2).await;
    (ledger, store, [first, second])
}

fn submits(ledger: &Ledger, serial: &str) -> tokio::task::JoinHandle<Result<Submitted, Refusal>> {
    let (ledger, submission) = (ledger.clone(), submission(serial));
    tokio::spawn(async move { ledger.submit(submission).await })
}

/// Lets everything go on that can.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn i8_what_is_decided_beside_a_commit_is_told_only_after_its_own() {
    let place = Place::new();
    let (ledger, store) = behind_a_gate(&place).await;
    let first = submits(&ledger, "A1");
    store.came(2).await;
    // Decided while the first one is being made durable: a new job, the same question once more, and a look at both.
    let (second, again) = (submits(&ledger, "A2"), submits(&ledger, "A1"));
    let looks = ledger.clone();
    let look = tokio::spawn(async move { looks.figures().await });
    store.asked(2).await;
    let told = [first.is_finished(), second.is_finished(), again.is_finished(), look.is_finished()];
    assert_eq!(told, [false; 4], "nothing is durable");
    assert_eq!(ledger.job(&key("A1")).await.unwrap_err().code, "not_found");
    store.pass(1);
    assert!(matches!(first.await.unwrap(), Ok(Submitted::New(_))));
    store.came(3).await;
    settle().await;
    assert!(!second.is_finished() && !again.is_finished() && !look.is_finished(), "their commit waits");
    store.pass(1);
    assert!(matches!(second.await.unwrap(), Ok(Submitted::New(_))));
    assert!(matches!(again.await.unwrap(), Ok(Submitted::Repeated(_))), "one job, though the store did not know it then");
    assert_eq!(look.await.unwrap().unwrap().queued.iter().map(|(_, jobs)| jobs).sum::<u64>(), 2);
    assert_eq!(store.came.lock().unwrap().len(), 3, "what came meanwhile shares one commit");
}

#[tokio::test]
async fn while_a_commit_is_stuck_no_more_is_decided_than_one_commit_holds() {
    let place = Place::new();
    let store = Failing::gated(&place).await;
    store.pass(1);
    let settings = Settings { batch_inputs: 4, ..Settings::default() };
    let ledger = Ledger::start(store.clone(), settings, place.clock()).await.unwrap();
    with_seller(&ledger).await;
    let first = submits(&ledger, "A1");
    store.came(2).await;
    // Looks wait like submissions do, and hold memory like them.
    let seen = Arc::new(AtomicI64::new(0));
    let looks: Vec<_> = (0..20)
        .map(|_| {
            let (ledger, seen) = (ledger.clone(), seen.clone());
            tokio::spawn(async move { ledger.look(move |_| seen.fetch_add(1, Ordering::Relaxed)).await })
        })
        .collect();
    settle().await;
    assert!(seen.load(Ordering::Relaxed) <= 4, "{} looks were taken beside one commit", seen.load(Ordering::Relaxed));
    store.pass(99);
    first.await.unwrap().unwrap();
    for look in looks {
        look.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn i8_a_failed_commit_takes_what_was_decided_beside_it_along() {
    let place = Place::new();
    let (ledger, store, [first, second]) = two_under_way(&place).await;
    // The one under way went well, the next one does not.
    store.fails.store(true, Ordering::Relaxed);
    store.pass(1);
    assert!(matches!(first.await.unwrap(), Ok(Submitted::New(_))));
    assert_eq!(second.await.unwrap().unwrap_err().code, "not_ready");
    tokio::time::timeout(Duration::from_secs(10), ledger.ended()).await.expect("a failed commit ends the ledger");
    assert_eq!(ledger.job(&key("A2")).await.unwrap_err().code, "not_found");
}

#[tokio::test]
async fn nothing_is_looked_up_while_contents_end() {
    for (what, beside) in [(Change::EndContents(0), false), (Change::Served(7), true)] {
        let place = Place::new();
        let (ledger, store) = behind_a_gate(&place).await;
        let keeps = ledger.clone();
        let kept = tokio::spawn(async move { keeps.keep(vec![what]).await });
        store.came(2).await;
        let submitted = submits(&ledger, "A1");
        settle().await;
        store.pass(9);
        kept.await.unwrap().unwrap();
        submitted.await.unwrap().unwrap();
        assert_eq!(*store.beside.lock().unwrap(), [beside], "what the store says then would be of before");
    }
}

#[tokio::test]
async fn a_ledger_that_stops_commits_what_it_has_taken() {
    let place = Place::new();
    let (ledger, store, [first, second]) = two_under_way(&place).await;
    let stops = ledger.clone();
    let stop = tokio::spawn(async move { stops.stop().await });
    settle().await;
    assert!(!stop.is_finished());
    store.pass(2);
    stop.await.unwrap();
    assert!(matches!(first.await.unwrap(), Ok(Submitted::New(_))));
    assert!(matches!(second.await.unwrap(), Ok(Submitted::New(_))));
}

#[tokio::test]
async fn an_abandoned_ledger_commits_nothing_more() {
    let place = Place::new();
    let (ledger, store, [first, second]) = two_under_way(&place).await;
    ledger.abandon();
    store.pass(9);
    assert_eq!(first.await.unwrap().unwrap_err().code, "not_ready");
    assert_eq!(second.await.unwrap().unwrap_err().code, "not_ready");
    settle().await;
    assert_eq!(ledger.job(&key("A1")).await.unwrap_err().code, "not_found", "it still waited at the gate");
    assert_eq!(store.came.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_may_be_old_is_neither_answered_nor_sent() {
    for looks in [true, false] {
        let place = Place::new();
        let store = Failing::open(&place).await;
        let ledger = Ledger::start(store.clone(), Settings::default(), place.clock()).await.unwrap();
        let agent = agent(&ledger).await;
        let (_, mut frames) = join(&ledger, &agent, 1).await;
        assert!(ledger.figures().await.is_ok() && ledger.agents().await.is_ok());
        store.deposed.store(true, Ordering::Relaxed);
        // Neither changes anything, so no commit would tell.
        let refused = if looks { ledger.figures().await.map(|_| ()) } else { ledger.agents().await.map(|_| ()) };
        assert_eq!(refused.unwrap_err().code, "not_ready", "looks: {looks}");
        tokio::time::timeout(Duration::from_secs(10), ledger.ended()).await.expect("the ledger ends");
        let next = tokio::time::timeout(Duration::from_secs(10), frames.recv()).await;
        assert_eq!(next.expect("the session ends"), None);
    }
}

#[tokio::test]
async fn an_abandoned_ledger_keeps_nobody_waiting() {
    let place = Place::new();
    let store = Failing::open(&place).await;
    let ledger = Ledger::start(store, Settings::default(), place.clock()).await.unwrap();
    with_seller(&ledger).await;
    ledger.submit(submission("A1")).await.unwrap();
    let waiting = ledger.clone();
    let poll = tokio::spawn(async move { waiting.job_when(&key("A1"), Until::Ended, Duration::from_secs(50)).await });
    ledger.abandon();
    let poll = tokio::time::timeout(Duration::from_secs(20), poll).await.expect("the long poll ends").unwrap();
    assert_eq!(poll.unwrap_err().code, "not_ready");
    assert_eq!(ledger.submit(submission("A2")).await.unwrap_err().code, "not_ready");
    assert!(!ledger.is_ready());
}

#[test]
fn a_serial_number_twice_in_a_batch_is_refused() {
    let mut batch = Batch::default();
    batch.enter(&submission("A1")).unwrap();
    batch.enter(&submission("A2")).unwrap();
    assert_eq!(batch.enter(&submission("A1")).unwrap_err().code, "duplicate_in_batch");
}
