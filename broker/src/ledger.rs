//! The ledger: the only door to the broker's state.
//!
//! One writer task drains what callers and agents hand in, lets [`crate::core`] decide on each, commits everything in one
//! transaction of the store and only then answers, sends frames and wakes long polls (I8). A commit that fails is never repeated:
//! the process ends, and the next start reads what is durable.
//!
//! It refuses to check keys' roles, to parse HTTP and to verify signatures: that is the edge's work. It never answers from what
//! is not durable.
//!
//! Read first: [`Ledger`], [`Refusal`], [`Joined`].

use std::time::Duration;

use taxdisk_protocol::api::{
    AgentView, CancelRequest, DiskAssignment, DiskView, EnrollBody, EnrolledBody, EnrollmentCode, EnrollmentRequest,
    IssuePointBody, JobPage, JobSubmission, JobView, KeyRequest, NewKey, ReissueAnswer, ReissueRequest, SellerBody,
    SettleRequest,
};
use taxdisk_protocol::ids::{AgentId, DiskNumber, IssuePoint, JobKey, TaxpayerNumber};
use taxdisk_protocol::link::{AgentFrame, BrokerFrame};
use tokio::sync::mpsc;

pub use crate::core::types::{
    Caller, CancelAnswer, Figures, JobFilter, Join, Joined, KeyView, Left, Refusal, SessionId, Settings, Submitted, Until,
};

/// Reads the clock. Tests hand in their own.
pub type Clock = std::sync::Arc<dyn Fn() -> taxdisk_protocol::time::Timestamp + Send + Sync>;

/// Handle to the ledger; cheap to clone.
#[derive(Clone)]
pub struct Ledger {}

type Answer<T> = Result<T, Refusal>;

fn starting<T>() -> Answer<T> {
    Err(Refusal::new("unavailable", "the ledger is not ready"))
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
    /// Opens the store at `url` (`sqlite:/path/file.db`), rebuilds memory and starts the writer and the timer.
    ///
    /// # Errors
    /// The store cannot be opened, or what it holds contradicts itself.
    pub async fn open(url: &str, settings: Settings, clock: Clock) -> Result<Ledger, StartError> {
        let _ = (url, settings, clock);
        Err(StartError("not built yet".to_owned()))
    }

    /// The clock of this machine.
    pub fn system_clock() -> Clock {
        std::sync::Arc::new(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            taxdisk_protocol::time::Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        })
    }

    /// Random id of this ledger, made with the store: `lg_` and 16 hex digits. For `challenge`.
    pub fn id(&self) -> &str {
        ""
    }

    /// How much there is of what.
    pub fn figures(&self) -> Figures {
        Figures::default()
    }

    /// The writer runs and the last commit went well.
    pub fn is_ready(&self) -> bool {
        false
    }

    /// Ends when the writer has ended: after [`Ledger::stop`], or because a commit failed. In the second case the process must end.
    pub async fn ended(&self) {}

    /// Takes no more, commits what is queued, closes the sessions and ends.
    pub async fn stop(&self) {}

    /// Accepts a job. The key is looked up before anything is validated (I6).
    ///
    /// # Errors
    /// `invalid_submission` (breaches), `content_conflict` (differences, job), `cannot_be_expressed` (breaches), `operation_unsupported`,
    /// `seller_unknown`, `too_many_open_jobs`, `unavailable`.
    pub async fn submit(&self, submission: JobSubmission) -> Answer<Submitted> {
        let _ = submission;
        starting()
    }

    /// A job with its attempts and evidence.
    ///
    /// # Errors
    /// `job_unknown`, `unavailable`.
    pub async fn job(&self, key: &JobKey) -> Answer<JobView> {
        let _ = key;
        starting()
    }

    /// A job, as soon as `until` holds, at the latest after `wait`.
    ///
    /// # Errors
    /// `job_unknown`, `too_many_waits`, `unavailable`.
    pub async fn job_when(&self, key: &JobKey, until: Until, wait: Duration) -> Answer<JobView> {
        let _ = (key, until, wait);
        starting()
    }

    /// A page of jobs, newest first. `limit` is capped at 500.
    ///
    /// # Errors
    /// `invalid_cursor`, `unavailable`.
    pub async fn jobs(&self, filter: &JobFilter, cursor: Option<&str>, limit: u32) -> Answer<JobPage> {
        let _ = (filter, cursor, limit);
        starting()
    }

    /// Asks for the same job again. `by` is the caller's key id, for the audit.
    ///
    /// # Errors
    /// `job_unknown`, `reason_missing`, `reissue_limit`, `content_conflict`, `invalid_submission`, `cannot_be_expressed`, `unavailable`.
    pub async fn reissue(&self, key: &JobKey, request: ReissueRequest, by: &str) -> Answer<ReissueAnswer> {
        let _ = (key, request, by);
        starting()
    }

    /// Withdraws a job.
    ///
    /// # Errors
    /// `job_unknown`, `already_issued` (job), `already_failed` (job), `unavailable`.
    pub async fn cancel(&self, key: &JobKey, request: CancelRequest, by: &str) -> Answer<CancelAnswer> {
        let _ = (key, request, by);
        starting()
    }

    /// An administrator's decision on an unsettled job.
    ///
    /// # Errors
    /// `job_unknown`, `not_unsettled` (job), `revision_stale` (job), `reason_missing`, `readings_contradict`, `number_owned`, `unavailable`.
    pub async fn settle(&self, key: &JobKey, request: SettleRequest, by: &str) -> Answer<JobView> {
        let _ = (key, request, by);
        starting()
    }

    /// Makes or changes a seller.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn put_seller(&self, seller: &TaxpayerNumber, body: SellerBody, by: &str) -> Answer<()> {
        let _ = (seller, body, by);
        starting()
    }

    /// One seller.
    ///
    /// # Errors
    /// `seller_unknown`, `unavailable`.
    pub async fn seller(&self, seller: &TaxpayerNumber) -> Answer<SellerBody> {
        let _ = seller;
        starting()
    }

    /// All sellers, by number.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn sellers(&self) -> Answer<Vec<(TaxpayerNumber, SellerBody)>> {
        starting()
    }

    /// Makes or changes an issue point.
    ///
    /// # Errors
    /// `seller_unknown`, `invalid_submission`, `unavailable`.
    pub async fn put_issue_point(
        &self,
        seller: &TaxpayerNumber,
        point: &IssuePoint,
        body: IssuePointBody,
        by: &str,
    ) -> Answer<()> {
        let _ = (seller, point, body, by);
        starting()
    }

    /// The issue points of a seller, by name.
    ///
    /// # Errors
    /// `seller_unknown`, `unavailable`.
    pub async fn issue_points(&self, seller: &TaxpayerNumber) -> Answer<Vec<(IssuePoint, IssuePointBody)>> {
        let _ = seller;
        starting()
    }

    /// Says to whom a disk belongs and whether it takes jobs.
    ///
    /// # Errors
    /// `seller_unknown`, `disk_of_other_seller` (the number inside the disk says otherwise), `unavailable`.
    pub async fn put_disk_assignment(&self, disk: &DiskNumber, body: DiskAssignment, by: &str) -> Answer<()> {
        let _ = (disk, body, by);
        starting()
    }

    /// All disks that were ever reported, by number.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn disks(&self) -> Answer<Vec<DiskView>> {
        starting()
    }

    /// All agents, by id.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn agents(&self) -> Answer<Vec<AgentView>> {
        starting()
    }

    /// Makes a single-use enrolment code.
    ///
    /// # Errors
    /// `invalid_submission` (longer than 7 days), `unavailable`.
    pub async fn create_enrollment(&self, request: EnrollmentRequest, by: &str) -> Answer<EnrollmentCode> {
        let _ = (request, by);
        starting()
    }

    /// Enrols an agent with a code. The edge has checked that the key is 32 bytes of base64.
    ///
    /// # Errors
    /// `enrollment_refused` (unknown, used or expired code; which one is not said), `unavailable`.
    pub async fn enroll(&self, body: EnrollBody) -> Answer<EnrolledBody> {
        let _ = body;
        starting()
    }

    /// The public key (base64, as enrolled) that an agent must prove.
    ///
    /// # Errors
    /// `agent_unknown`, `agent_revoked`, `unavailable`.
    pub async fn agent_key(&self, agent: &AgentId) -> Answer<String> {
        let _ = agent;
        starting()
    }

    /// Revokes an agent: its session is closed, its key opens no link. What it did stays; late outcomes are evidence.
    ///
    /// # Errors
    /// `agent_unknown`, `unavailable`.
    pub async fn revoke_agent(&self, agent: &AgentId, by: &str) -> Answer<()> {
        let _ = (agent, by);
        starting()
    }

    /// Makes an API key. The key itself is in the answer only.
    ///
    /// # Errors
    /// `invalid_submission`, `unavailable`.
    pub async fn create_key(&self, request: KeyRequest, by: &str) -> Answer<NewKey> {
        let _ = (request, by);
        starting()
    }

    /// Who calls with this key (the text after `Bearer `). Answered from memory.
    ///
    /// # Errors
    /// `key_unknown`, `key_expired`, `key_revoked`.
    pub fn authenticate(&self, key: &str) -> Answer<Caller> {
        let _ = key;
        starting()
    }

    /// All API keys.
    pub fn keys(&self) -> Vec<KeyView> {
        Vec::new()
    }

    /// An administrator's key exists that is neither expired nor revoked.
    pub fn has_admin_key(&self) -> bool {
        false
    }

    /// Revokes an API key by its id.
    ///
    /// # Errors
    /// `key_unknown`, `unavailable`.
    pub async fn revoke_key(&self, id: &str, by: &str) -> Answer<()> {
        let _ = (id, by);
        starting()
    }

    /// An agent joins, its proof checked. Frames for it come out of `frames` after `welcome`. When the ledger ends the session it
    /// drops its sender: the receiver ends, and the edge closes the socket (a last `refused` frame may come before).
    ///
    /// # Errors
    /// `agent_unknown`, `agent_revoked`, `agent_clone` (a join counter that is not above the last one), `unavailable`.
    pub async fn join(&self, join: Join) -> Answer<(Joined, mpsc::Receiver<BrokerFrame>)> {
        let _ = join;
        starting()
    }

    /// Hands in a frame of a joined agent. Waits while the writer's queue is full: the edge stops reading the socket meanwhile.
    /// `hello` and `proof` are the edge's; `goodbye` ends the session here too.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn receive(&self, session: SessionId, frame: AgentFrame) -> Answer<()> {
        let _ = (session, frame);
        starting()
    }

    /// The link of a session ended. Safe to call after a goodbye.
    pub async fn leave(&self, session: SessionId, how: Left) {
        let _ = (session, how);
    }
}
