//! The ledger: the only door to the broker's state.
//!
//! One writer task drains what callers and agents hand in, lets [`crate::core`] decide on each, commits everything in one
//! transaction of the store and only then answers, sends frames and wakes long polls (I8). A commit that fails is never repeated:
//! the ledger ends, and the next one (of the next process, or of the broker that leads then) reads what is durable.
//!
//! It refuses to check keys' roles, to parse HTTP and to verify signatures: that is the edge's work. It never answers from what
//! is not durable.
//!
//! Read first: [`Ledger`], [`Refusal`], [`Joined`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use taxdisk_protocol::api::{
    AgentView, CancelRequest, DiskAssignment, DiskView, EnrollBody, EnrolledBody, EnrollmentCode, EnrollmentRequest,
    IssuePointBody, JobPage, JobState, JobSubmission, JobView, KeyRequest, NewKey, ProposalView, ReconcileView, ReissueAnswer,
    ReissueRequest, SellerBody, SettleRequest,
};
use taxdisk_protocol::ids::{AgentId, DiskNumber, IssuePoint, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Job, Origin};
use taxdisk_protocol::link::{AgentFrame, BrokerFrame};
use taxdisk_protocol::time::Timestamp;
use taxdisk_protocol::trace::Traceparent;
use tokio::sync::{mpsc, watch};

use crate::core::accept::Prepared;
use crate::core::change::{Bounds, Change, CodeFor, EnrollmentRow, KeyAbout, KeyRow};
use crate::core::{Core, Input, Reply};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;

mod audit;
mod bulk;
mod buyers;
mod dispatch;
mod feed;
mod find;
mod operations;
mod people;
mod proposals;
mod secrets;
mod shared;
#[cfg(test)]
mod tests;
mod waits;
mod writer;

pub use feed::{Feed, SeenAnnouncement};
pub use proposals::Confirmed;
use secrets::Keys;
use shared::{Shared, unexpected, unreadable};
use waits::Waits;
use writer::{Command, WriterTask};

pub use crate::core::operations::OperationFilter;
pub use crate::core::types::{
    Caller, CancelAnswer, Figures, JobFilter, Join, Joined, KeyView, Left, LineDecision, NumberDecision, Proven, Refusal,
    SessionId, Settings, Submitted, TwoPersons, Until,
};
pub use crate::core::{BurnDown, Scope};

/// An enrolment code is good for so long if nothing is asked, seconds.
const ENROLLMENT_S: u64 = 3600;
/// The longest life of an enrolment code, seconds: 7 days.
const ENROLLMENT_MAX_S: u64 = 7 * 24 * 3600;
/// The same of a code for many, seconds: it lies on an installation server meanwhile.
const ENROLLMENT_MANY_MAX_S: u64 = 24 * 3600;
/// Agents of one code for many, at most.
const ENROLLMENT_MANY: u32 = 10_000;
/// How often time is looked at, milliseconds. What depends on it counts in seconds and minutes.
const TICK_MS: u64 = 1000;
/// The longest long poll, seconds. Proxies cut idle requests at 60.
const WAIT_MAX_S: u64 = 55;

/// Reads the clock. Tests hand in their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Handle to the ledger; cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Command>,
    writer: tokio::task::AbortHandle,
    origin: Option<Origin>,
}

type Answer<T> = Result<T, Refusal>;

/// What was asked for is done, or waits for a second person ([`crate::core::proposals`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked<T> {
    /// Done.
    Done(T),
    /// Nothing is done yet.
    Proposed(Box<ProposalView>),
}

/// Why the ledger could not start.
#[derive(Debug, thiserror::Error)]
#[error("the ledger cannot start: {0}")]
pub struct StartError(pub String);

/// Keys seen in one batch request, so that a serial number twice in one batch is refused with `duplicate_in_batch`.
#[derive(Debug, Default)]
pub struct Batch {
    seen: std::collections::HashSet<(String, String)>,
}

impl Batch {
    /// Enters a line.
    ///
    /// # Errors
    /// `duplicate_in_batch` if an earlier line of this batch had the same seller and serial number.
    pub fn enter(&mut self, submission: &JobSubmission) -> Answer<()> {
        if self.seen.insert((submission.seller.clone(), submission.serial.clone())) {
            return Ok(());
        }
        Err(Refusal::new(
            "duplicate_in_batch",
            format!("serial number {} of seller {} stands twice in this batch", submission.serial, submission.seller),
        ))
    }
}

impl Ledger {
    /// Opens the embedded store at `url` (`sqlite:/path/file.db`), rebuilds memory and starts the writer and the timer.
    ///
    /// # Errors
    /// The store cannot be opened, or what it holds contradicts itself.
    pub async fn open(url: &str, settings: Settings, clock: Clock) -> Result<Ledger, StartError> {
        let store = SqliteStore::open_with(url, settings.vault.clone()).await.map_err(|error| StartError(error.to_string()))?;
        Ledger::start(Arc::new(store), settings, clock).await
    }

    /// As [`Ledger::open`], over a store that is open.
    ///
    /// # Errors
    /// What the store holds cannot be read.
    pub async fn start(store: Arc<dyn Store>, settings: Settings, clock: Clock) -> Result<Ledger, StartError> {
        let restored = store.restore().await.map_err(|error| StartError(error.to_string()))?;
        let last = store.last_announcement().await.map_err(|error| StartError(error.to_string()))?;
        let mut core = Core::new(settings.clone(), restored, clock());
        let bulks = core.bulks();
        let (queue, receiver) = mpsc::channel(settings.queue_inputs);
        let shared = Arc::new(Shared {
            keys: RwLock::new(Keys::new(core.keys())),
            overlays: RwLock::new(core.take_overlays().into_iter().collect()),
            store,
            settings,
            clock,
            ready: AtomicBool::new(true),
            ended: watch::Sender::new(false),
            waits: Waits::default(),
            feed: Feed::at(last),
            operations: watch::Sender::new(0),
            anchored: audit::Anchored::default(),
            next_session: AtomicU64::new(1),
        });
        let writer = tokio::spawn(WriterTask::new(core, shared.clone(), receiver).run()).abort_handle();
        tokio::spawn(feed::follow(Arc::downgrade(&shared)));
        let timer = queue.downgrade();
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(Duration::from_millis(TICK_MS));
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                // The timer ends with the last handle.
                let Some(queue) = timer.upgrade() else { return };
                if queue
                    .send(Command::Do { input: Input::Tick, origin: None, bytes: 0, reply: None, frames: None })
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
        let ledger = Ledger { shared, queue, writer, origin: None };
        ledger.keep_anchoring();
        ledger.go_on_with_bulks(bulks);
        Ok(ledger)
    }

    /// Anchors the chains from time to time, as long as the writer runs.
    fn keep_anchoring(&self) {
        // It keeps nothing open: a ledger that has ended gives its store back.
        let (shared, queue, writer) = (Arc::downgrade(&self.shared), self.queue.downgrade(), self.writer.clone());
        let every = Duration::from_secs(self.shared.settings.anchor_s);
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(every);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            // The first one ends at once: nothing new is in the chains at a start.
            interval.tick().await;
            loop {
                interval.tick().await;
                let (Some(shared), Some(queue)) = (shared.upgrade(), queue.upgrade()) else { return };
                let ledger = Ledger { shared, queue, writer: writer.clone(), origin: None };
                if let Err(refusal) = ledger.anchor().await {
                    tracing::warn!(%refusal, "the chains were not anchored");
                }
            }
        });
    }

    /// The same ledger for one caller or link: what it hands in is entered as done by it, from there.
    pub fn of(&self, by: &str, from: &str) -> Ledger {
        Ledger { origin: Some(Origin { by: by.to_owned(), from: from.to_owned() }), ..self.clone() }
    }

    /// The clock of this machine.
    pub fn system_clock() -> Clock {
        Arc::new(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        })
    }

    /// Random id of this ledger, made with the store: `lg_` and 16 hex digits. For `challenge`.
    pub fn id(&self) -> &str {
        self.shared.store.ledger()
    }

    /// Commits changes that others decided on, with whatever else is committed then.
    ///
    /// # Errors
    /// `not_ready`.
    pub(crate) async fn keep(&self, changes: Vec<Change>) -> Answer<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.done(Input::Keep(changes)).await
    }

    /// The stream of what outsiders are told.
    pub fn feed(&self) -> &Feed {
        &self.shared.feed
    }

    /// The store, to read.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// The ledger's clock.
    pub(crate) fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }

    /// Ids that this ledger had before it was restored, oldest first. For `challenge`.
    pub fn ancestors(&self) -> &[String] {
        self.shared.store.ancestors()
    }

    /// How much there is of what.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn figures(&self) -> Answer<Figures> {
        self.look(Core::figures).await
    }

    /// The writer runs and the last commit went well.
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    /// Ends when the writer has ended: after [`Ledger::stop`], or because a commit failed. In the second case the process must
    /// end.
    pub async fn ended(&self) {
        let mut ended = self.shared.ended.subscribe();
        // An error would mean that the sender is gone; we hold it.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Takes no more, commits what is queued, closes the sessions and ends.
    pub async fn stop(&self) {
        if self.queue.send(Command::Stop).await.is_ok() {
            self.ended().await;
        }
    }

    /// Throws everything away at once: nothing more is committed, answered or sent. For a broker that does not lead any more, or
    /// may not. What was handed in and not answered may be durable or not; whoever reads the store next knows.
    pub fn abandon(&self) {
        self.shared.ready.store(false, Ordering::Release);
        self.writer.abort();
        self.shared.ended.send_replace(true);
    }

    /// Accepts a job. The key is looked up before anything is validated (I6).
    ///
    /// # Errors
    /// `invalid_invoice` (breaches), `conflict` (differences, job), `not_expressible` (breaches), `operation_unsupported`,
    /// `seller_unknown`, `not_ready`.
    pub async fn submit(&self, submission: JobSubmission) -> Answer<Submitted> {
        self.submit_traced(submission, None).await
    }

    /// As [`Ledger::submit`], with the acceptance in a trace. One that is known keeps the trace of its first submission.
    ///
    /// # Errors
    /// As [`Ledger::submit`].
    pub async fn submit_traced(&self, submission: JobSubmission, trace: Option<Traceparent>) -> Answer<Submitted> {
        let prepared = Prepared::from(submission).traced(trace);
        let answer = self.ask(Input::Submit(Box::new(prepared))).await;
        let name = match &answer {
            Ok(Reply::Submitted(Submitted::New(_))) => "new",
            Ok(_) => "repeated",
            Err(refusal) => refusal.code,
        };
        metrics::counter!("taxdisk_submissions_total", "answer" => name).increment(1);
        match answer? {
            Reply::Submitted(submitted) => Ok(submitted),
            _ => Err(unexpected()),
        }
    }

    /// A job with its attempts and evidence.
    ///
    /// # Errors
    /// `not_found`, `not_ready`.
    pub async fn job(&self, key: &JobKey) -> Answer<JobView> {
        let job = self.read(key).await?;
        self.view(&job).await
    }

    async fn read(&self, key: &JobKey) -> Answer<Arc<Job>> {
        let job = self.shared.store.job(key).await.map_err(unreadable)?;
        job.ok_or_else(|| Refusal::new("not_found", format!("job {key} is not known")))
    }

    async fn view(&self, job: &Job) -> Answer<JobView> {
        let mut view = self.shared.view(job);
        if job.evidence_count > 0 {
            view.evidence = self.shared.store.evidence(&job.key).await.map_err(unreadable)?;
        }
        if view.state == taxdisk_protocol::api::JobState::Queued {
            view.estimate = self.estimate(&job.key).await?;
        }
        Ok(view)
    }

    /// A job, as soon as `until` holds, at the latest after `wait`.
    ///
    /// # Errors
    /// `not_found`, `rate_limited`, `not_ready`.
    pub async fn job_when(&self, key: &JobKey, until: Until, wait: Duration) -> Answer<JobView> {
        let end = tokio::time::Instant::now() + wait.min(Duration::from_secs(WAIT_MAX_S));
        // Enters before it reads, so that nothing is missed in between.
        let Some(mut entered) = self.shared.waits.enter(key, self.shared.settings.max_waits) else {
            return Err(Refusal::new("rate_limited", "too many requests wait for jobs; ask again without waiting"));
        };
        let mut job = self.read(key).await?;
        loop {
            let holds = match until {
                Until::After(revision) => job.revision > revision,
                Until::Ended => job.state.is_terminal(),
            };
            if holds {
                break;
            }
            tokio::select! {
                // The sender is in the table as long as we are.
                _ = entered.newest.changed() => {}
                () = tokio::time::sleep_until(end) => break,
                () = self.ended() => return Err(shared::not_ready()),
            }
            if let Some(newest) = entered.newest.borrow_and_update().clone().filter(|newest| newest.revision > job.revision) {
                job = newest;
            }
        }
        // What came from memory is as good as our lead.
        if !self.shared.store.leads() {
            return Err(shared::not_ready());
        }
        self.view(&job).await
    }

    /// A page of jobs, newest first. `limit` is capped at 500.
    ///
    /// # Errors
    /// `invalid_parameter`, `not_ready`.
    pub async fn jobs(&self, filter: &JobFilter, cursor: Option<&str>, limit: u32) -> Answer<JobPage> {
        if filter.waiting.is_some() {
            return self.jobs_waiting(filter, cursor, limit).await;
        }
        let page = self.shared.store.jobs(filter, cursor, limit).await.map_err(unreadable)?;
        let mut jobs: Vec<JobView> = page.jobs.iter().map(|job| self.shared.view(job)).collect();
        // Who lists what must be decided needs what it is decided by.
        if filter.states == [JobState::Unsettled] {
            for (view, job) in jobs.iter_mut().zip(&page.jobs).filter(|(_, job)| job.evidence_count > 0) {
                view.evidence = self.shared.store.evidence(&job.key).await.map_err(unreadable)?;
            }
        }
        Ok(JobPage { jobs, cursor: page.cursor })
    }

    /// Asks for the same job again. `by` is the caller's key id, for the audit.
    ///
    /// # Errors
    /// `not_found`, `reissue_reason`, `reissue_limit`, `conflict`, `invalid_parameter`, `not_expressible`, `not_ready`.
    pub async fn reissue(&self, key: &JobKey, request: ReissueRequest, by: &str) -> Answer<ReissueAnswer> {
        match self.ask(Input::Reissue(key.clone(), request, by.to_owned())).await? {
            Reply::Reissued(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    /// Withdraws a job.
    ///
    /// # Errors
    /// `not_found`, `job_issued` (job), `job_failed` (job), `not_ready`.
    pub async fn cancel(&self, key: &JobKey, request: CancelRequest, by: &str) -> Answer<CancelAnswer> {
        match self.ask(Input::Cancel(key.clone(), request, by.to_owned())).await? {
            Reply::Cancelled(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    /// An administrator's decision on an unsettled job.
    ///
    /// # Errors
    /// `not_found`, `settle_not_unsettled`, `settle_revision`, `settle_needs_readings`, `settle_contradiction` (all with the
    /// job), `not_ready`.
    pub async fn settle(&self, key: &JobKey, request: SettleRequest, by: &str) -> Answer<Asked<JobView>> {
        match self.ask(Input::Settle(key.clone(), request, by.to_owned())).await? {
            Reply::Job(view) => Ok(Asked::Done(*view)),
            Reply::Proposed(row) => Ok(Asked::Proposed(Box::new(row.view()))),
            _ => Err(unexpected()),
        }
    }

    /// What a ledger that went back has still to find out.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn reconcile(&self) -> Answer<ReconcileView> {
        match self.ask(Input::Reconcile).await? {
            Reply::Reconcile(view) => Ok(*view),
            _ => Err(unexpected()),
        }
    }

    /// A person says whose a number of unknown origin is.
    ///
    /// # Errors
    /// `not_found`, `settle_contradiction`, `invalid_parameter` (no reason), `not_ready`.
    pub async fn decide_number(&self, decision: NumberDecision) -> Answer<Asked<()>> {
        self.asked(Input::DecideNumber(Box::new(decision))).await
    }

    /// A person says what became of an attempt that an agent remembers as unsettled.
    ///
    /// # Errors
    /// As [`Ledger::decide_number`].
    pub async fn decide_line(&self, key: &JobKey, decision: LineDecision) -> Answer<Asked<()>> {
        self.asked(Input::DecideLine(key.clone(), decision)).await
    }

    /// A person lets a seller go on although this disk was not read.
    ///
    /// # Errors
    /// `not_found`, `invalid_parameter` (no reason), `not_ready`.
    pub async fn release_disk(&self, disk: &DiskNumber, reason: &str) -> Answer<Asked<()>> {
        self.asked(Input::ReleaseDisk(disk.clone(), reason.to_owned())).await
    }

    /// What is done, or waits for a second person.
    async fn asked(&self, input: Input) -> Answer<Asked<()>> {
        match self.ask(input).await? {
            Reply::Done => Ok(Asked::Done(())),
            Reply::Proposed(row) => Ok(Asked::Proposed(Box::new(row.view()))),
            _ => Err(unexpected()),
        }
    }

    /// Makes or changes a seller.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn put_seller(&self, seller: &TaxpayerNumber, body: SellerBody, by: &str) -> Answer<()> {
        self.done(Input::PutSeller(seller.clone(), body, by.to_owned())).await
    }

    /// One seller.
    ///
    /// # Errors
    /// `seller_unknown`, `not_ready`.
    pub async fn seller(&self, seller: &TaxpayerNumber) -> Answer<SellerBody> {
        let wanted = seller.clone();
        let found = self.look(move |core| core.sellers().into_iter().find(|(number, _)| *number == wanted)).await?;
        found.map(|(_, body)| body).ok_or_else(|| Refusal::new("seller_unknown", format!("seller {seller} is not known here")))
    }

    /// All sellers, by number.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn sellers(&self) -> Answer<Vec<(TaxpayerNumber, SellerBody)>> {
        self.look(Core::sellers).await
    }

    /// Makes or changes an issue point.
    ///
    /// # Errors
    /// `seller_unknown`, `invalid_parameter`, `not_ready`.
    pub async fn put_issue_point(
        &self,
        seller: &TaxpayerNumber,
        point: &IssuePoint,
        body: IssuePointBody,
        by: &str,
    ) -> Answer<()> {
        self.done(Input::PutIssuePoint(seller.clone(), point.clone(), body, by.to_owned())).await
    }

    /// The issue points of a seller, by name.
    ///
    /// # Errors
    /// `seller_unknown`, `not_ready`.
    pub async fn issue_points(&self, seller: &TaxpayerNumber) -> Answer<Vec<(IssuePoint, IssuePointBody)>> {
        let wanted = seller.clone();
        let found = self.look(move |core| core.issue_points(&wanted)).await?;
        found.ok_or_else(|| Refusal::new("seller_unknown", format!("seller {seller} is not known here")))
    }

    /// Says to whom a disk belongs and whether it takes jobs.
    ///
    /// # Errors
    /// `seller_unknown`, `disk_seller` (the number inside the disk says otherwise), `not_ready`.
    pub async fn put_disk_assignment(&self, disk: &DiskNumber, body: DiskAssignment, by: &str) -> Answer<()> {
        self.done(Input::PutDisk(disk.clone(), body, by.to_owned())).await
    }

    /// All disks that were ever reported, by number.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn disks(&self) -> Answer<Vec<DiskView>> {
        match self.ask(Input::Disks).await? {
            Reply::Disks(disks) => Ok(disks),
            _ => Err(unexpected()),
        }
    }

    /// All agents, by id.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn agents(&self) -> Answer<Vec<AgentView>> {
        match self.ask(Input::Agents).await? {
            Reply::Agents(agents) => Ok(agents),
            _ => Err(unexpected()),
        }
    }

    /// Makes an enrolment code.
    ///
    /// # Errors
    /// `invalid_parameter` (too long a life, no such seller or disk number, for many and for one that is there), `agent_unknown`,
    /// `not_ready`.
    pub async fn create_enrollment(&self, request: EnrollmentRequest, by: &str) -> Answer<EnrollmentCode> {
        let wrong = |text: String| Refusal::new("invalid_parameter", text);
        let most_s = if request.many.is_some() { ENROLLMENT_MANY_MAX_S } else { ENROLLMENT_MAX_S };
        let valid_s = request.valid_s.unwrap_or(ENROLLMENT_S);
        if !(1..=most_s).contains(&valid_s) {
            return Err(wrong(format!("valid_s is 1 to {most_s}")));
        }
        if request.many.is_some_and(|many| !(1..=ENROLLMENT_MANY).contains(&many)) {
            return Err(wrong(format!("many is 1 to {ENROLLMENT_MANY}")));
        }
        if request.agent.is_some() && (request.many.is_some() || request.seller.is_some() || request.disk.is_some()) {
            return Err(wrong("a code for an agent that is there changes its key and nothing else".to_owned()));
        }
        let parsed = |error: &dyn std::fmt::Display| wrong(error.to_string());
        let bounds = Bounds {
            seller: request.seller.map(|text| text.parse()).transpose().map_err(|error| parsed(&error))?,
            disk: request.disk.map(|text| text.parse()).transpose().map_err(|error| parsed(&error))?,
        };
        let agent = request.agent.map(|text| text.parse()).transpose().map_err(|error| parsed(&error))?;
        let what = CodeFor { bounds, agent, many: request.many };
        let code = secrets::code();
        let expires_at = (self.shared.clock)().plus_s(valid_s.cast_signed());
        let row = EnrollmentRow { hash: secrets::hash(&code), name: request.name, expires_at, used_by: None, what };
        self.done(Input::CreateEnrollment(row, by.to_owned())).await?;
        Ok(EnrollmentCode { code, expires_at: expires_at.to_string() })
    }

    /// Enrols an agent with a code. The edge has checked that the key is 32 bytes of base64.
    ///
    /// # Errors
    /// `enrollment_invalid`, `enrollment_used`, `enrollment_expired`, `not_ready`.
    pub async fn enroll(&self, body: EnrollBody) -> Answer<EnrolledBody> {
        let agent: AgentId = secrets::agent().parse().map_err(|_| unexpected())?;
        let hash = secrets::hash(body.code.trim());
        match self.ask(Input::Enroll { hash, agent, public_key: body.public_key, version: body.version }).await? {
            Reply::Enrolled(agent, waiting) => {
                Ok(EnrolledBody { agent: agent.to_string(), ledger: self.id().to_owned(), waiting })
            }
            _ => Err(unexpected()),
        }
    }

    /// Approves an agent that enrolled by a code for many; perhaps under a name of its own.
    ///
    /// # Errors
    /// `agent_unknown`, `not_ready`.
    pub async fn approve_agent(&self, agent: &AgentId, name: Option<String>, by: &str) -> Answer<()> {
        self.done(Input::ApproveAgent(agent.clone(), name, by.to_owned())).await
    }

    /// Calls an agent something else.
    ///
    /// # Errors
    /// `agent_unknown`, `not_ready`.
    pub async fn rename_agent(&self, agent: &AgentId, name: String, by: &str) -> Answer<()> {
        self.done(Input::RenameAgent(agent.clone(), name, by.to_owned())).await
    }

    /// The public key (base64, as enrolled) that an agent must prove.
    ///
    /// # Errors
    /// `agent_unknown`, `agent_revoked`, `agent_waiting`, `not_ready`.
    pub async fn agent_key(&self, agent: &AgentId) -> Answer<String> {
        let agent = agent.clone();
        self.look(move |core| core.agent_key(&agent)).await?
    }

    /// Revokes an agent: its session is closed, its key opens no link. What it did stays; late outcomes are evidence.
    ///
    /// # Errors
    /// `agent_unknown`, `not_ready`.
    pub async fn revoke_agent(&self, agent: &AgentId, by: &str) -> Answer<()> {
        self.done(Input::RevokeAgent(agent.clone(), by.to_owned())).await
    }

    /// Makes an API key. The key itself is in the answer only.
    ///
    /// # Errors
    /// `invalid_parameter`, `not_ready`.
    pub async fn create_key(&self, request: KeyRequest, by: &str) -> Answer<NewKey> {
        let mut sellers = Vec::new();
        for seller in &request.sellers {
            sellers.push(seller.parse().map_err(|error| Refusal::new("invalid_parameter", format!("{error}")))?);
        }
        let created_at = (self.shared.clock)();
        let expires_at = request.valid_s.map(|s| created_at.plus_s(i64::try_from(s).unwrap_or(i64::MAX)));
        let (id, key) = secrets::key();
        let (hash, name, role) = (secrets::hash(&key), request.name, request.role);
        let about = KeyAbout { people: request.owner.into_iter().collect() };
        let mut actions = request.actions;
        actions.sort_unstable();
        actions.dedup();
        let row = KeyRow {
            id: id.clone(),
            hash,
            name,
            role,
            sellers,
            created_at,
            expires_at,
            revoked_at: None,
            actions,
            used_at: None,
            about,
        };
        self.done(Input::CreateKey(row, by.to_owned())).await?;
        Ok(NewKey { id, key, expires_at: expires_at.map(|at| at.to_string()) })
    }

    /// Who calls with this key (the text after `Bearer `). Answered from memory.
    ///
    /// # Errors
    /// `unauthorized`, `key_expired`.
    pub fn authenticate(&self, key: &str) -> Answer<Caller> {
        let now = (self.shared.clock)();
        self.shared.keys.read().unwrap_or_else(PoisonError::into_inner).authenticate(key, now)
    }

    /// Notes that a key was used, where that was not done for an hour. Nobody waits for it: a call is as good without.
    pub fn note_use(&self, caller: &Caller) {
        if caller.unnoted {
            let (ledger, id) = (self.clone(), caller.id.clone());
            tokio::spawn(async move { ledger.done(Input::UseKey(id)).await });
        }
    }

    /// All API keys.
    pub fn keys(&self) -> Vec<KeyView> {
        self.shared.keys.read().unwrap_or_else(PoisonError::into_inner).views()
    }

    /// An administrator's key exists that is neither expired nor revoked.
    pub fn has_admin_key(&self) -> bool {
        let now = (self.shared.clock)();
        self.keys().iter().any(|key| {
            key.caller.role == taxdisk_protocol::api::Role::Admin
                && key.revoked_at.is_none()
                && key.expires_at.is_none_or(|until| until > now)
        })
    }

    /// Revokes an API key by its id.
    ///
    /// # Errors
    /// `key_unknown`, `not_ready`.
    pub async fn revoke_key(&self, id: &str, by: &str) -> Answer<()> {
        self.done(Input::RevokeKey(id.to_owned(), by.to_owned())).await
    }

    /// An agent joins, its proof checked. Frames for it come out of `frames` after `welcome`. When the ledger ends the session it
    /// drops its sender: the receiver ends, and the edge closes the socket (a last `refused` frame may come before).
    ///
    /// # Errors
    /// `agent_unknown`, `agent_revoked`, `agent_clone` (a join counter that is not above the last one), `not_ready`.
    pub async fn join(&self, join: Join) -> Answer<(Joined, mpsc::Receiver<Box<BrokerFrame>>)> {
        let session = SessionId(self.shared.next_session.fetch_add(1, Ordering::Relaxed));
        let (frames, receiver) = mpsc::channel(self.shared.settings.session_frames);
        match self.put(Input::Join(join, session), Some(frames)).await? {
            Reply::Joined(joined) => Ok((joined, receiver)),
            _ => Err(unexpected()),
        }
    }

    /// Hands in a frame of a joined agent. Waits while the writer's queue is full: the edge stops reading the socket meanwhile.
    /// `hello` and `proof` are the edge's; `goodbye` ends the session here too.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn receive(&self, session: SessionId, frame: AgentFrame) -> Answer<()> {
        self.tell(Input::Frame(session, Box::new(frame))).await
    }

    /// The link of a session ended. Safe to call after a goodbye.
    pub async fn leave(&self, session: SessionId, how: Left) {
        // Without a writer there is no session to end.
        let _ = self.tell(Input::Leave(session, how)).await;
    }
}
