//! The broker's decisions, as a pure machine: an input and the time go in, changes and effects come out.
//!
//! It holds the open jobs, the disks, the agents and the live sessions; jobs that ended live in the store alone and are handed in
//! by the shell with the input that names them ([`Known`]). It knows no task, socket, file, clock or random number. The shell
//! commits the changes first and only then releases replies and effects (I8); if the commit fails, the whole core is thrown away.
//!
//! Read first: [`Core`], [`Input`], [`Output`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use taxdisk_protocol::api::{
    AgentView, BulkLine, BulkOperationLine, BulkOperationRequest, CancelRequest, DiskAssignment, DiskReport, DiskView,
    IssuePointBody, JobView, OperationCancel, OperationView, PauseMode, PauseRequest, ReconcileView, ReissueAnswer,
    ReissueRequest, SellerBody, SettleRequest,
};
use taxdisk_protocol::capabilities::Capabilities;
use taxdisk_protocol::ids::{AgentId, DiskNumber, IssuePoint, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Event, Job, Origin, What};
use taxdisk_protocol::link::{AgentFrame, BrokerFrame, Owner};
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::proof::{ANCHOR, Anchor};
use taxdisk_protocol::time::Timestamp;
use taxdisk_protocol::update::UpdatePolicy;

pub(crate) mod accept;
pub mod announcement;
pub mod bulk;
pub mod change;
mod decide;
mod disk;
mod dispatch;
mod doubts;
mod due;
mod estimate;
mod figures;
mod late;
mod manage;
pub mod operations;
pub mod original;
mod outcome;
mod ownership;
mod pause;
pub mod people;
mod policy;
pub mod proposals;
mod queue;
mod reconcile;
mod reissue;
mod restore;
mod retention;
mod session;
pub mod types;
mod updates;
mod view;
mod waiting;
mod warn;
pub mod webhooks;

#[cfg(test)]
pub(crate) mod tests;

use change::{AgentRow, Audit, BulkRow, Change, EnrollmentRow, KeyRow, NumberKey, OriginalKey};
use disk::Disk;
pub(crate) use manage::KEY_USE_MS;
use operations::{OperationAsk, OperationRow, Operations};
use queue::{LaneKey, Queue};
use reconcile::Reconcile;
use retention::Served;
use types::{CancelAnswer, Join, Joined, Left, LineDecision, NumberDecision, Refusal, SessionId, Settings, Submitted};

pub use accept::Prepared;
pub use pause::{PauseRow, Scope};
pub use proposals::ProposalRow;
pub use restore::Restored;
pub use view::Overlay;
pub use warn::BurnDown;

/// What is handed to the core.
#[derive(Debug, Clone)]
pub enum Input {
    /// A submission.
    Submit(Box<Prepared>),
    /// The same job again.
    Reissue(JobKey, ReissueRequest, String),
    /// Begin a bulk re-issue, or look at the one that has this key.
    StartBulk(Box<BulkRow>),
    /// The same job again, as a bulk re-issue asks.
    ReissueOf(JobKey, String),
    /// A bulk re-issue has come so far.
    MoveBulk(Box<BulkRow>),
    /// Withdraw.
    Cancel(JobKey, CancelRequest, String),
    /// An administrator's decision.
    Settle(JobKey, SettleRequest, String),
    /// Another person confirms what waits: its id, and who.
    Confirm(String, String),
    /// Or declines it: its id, why, and who.
    Decline(String, String, String),
    /// Whoever proposed it takes it back: its id, why, and who.
    Withdraw(String, String, String),
    /// Make or change a seller.
    PutSeller(TaxpayerNumber, SellerBody, String),
    /// Make or change an issue point.
    PutIssuePoint(TaxpayerNumber, IssuePoint, IssuePointBody, String),
    /// To whom a disk belongs.
    PutDisk(DiskNumber, DiskAssignment, String),
    /// A new enrolment code.
    CreateEnrollment(EnrollmentRow, String),
    /// A code is used; `agent` holds a fresh id.
    Enroll {
        /// Hash of the code.
        hash: String,
        /// Fresh id.
        agent: AgentId,
        /// Public key, base64.
        public_key: String,
        /// Version of the program.
        version: String,
    },
    /// Revoke an agent.
    RevokeAgent(AgentId, String),
    /// Approve an agent that enrolled by a code for many; perhaps under another name.
    ApproveAgent(AgentId, Option<String>, String),
    /// Call an agent something else.
    RenameAgent(AgentId, String, String),
    /// A key was used.
    UseKey(String),
    /// A new API key.
    CreateKey(KeyRow, String),
    /// Revoke an API key.
    RevokeKey(String, String),
    /// An agent joins under a fresh session id; its proof was checked.
    Join(Join, SessionId),
    /// A link ended.
    Leave(SessionId, Left),
    /// A frame of a joined agent.
    Frame(SessionId, Box<AgentFrame>),
    /// Keep from work.
    Pause(Scope, PauseMode, PauseRequest, String),
    /// Let work again.
    Resume(Scope, PauseRequest, String),
    /// Say which updates agents are offered, or none; and who says it.
    SetUpdates(Option<UpdatePolicy>, String),
    /// Ask a disk for something besides issuing.
    Operate(Box<OperationAsk>, String),
    /// The same of many disks.
    OperateBulk(Box<BulkOperationRequest>, String),
    /// Withdraw that: its id, why, and who.
    CancelOperation(String, OperationCancel, String),
    /// A person says whose a number of unknown origin is.
    DecideNumber(Box<NumberDecision>),
    /// A person says what became of a forgotten attempt that is unsettled.
    DecideLine(JobKey, LineDecision),
    /// A person lets a seller go on although this disk was not recounted: the reason.
    ReleaseDisk(DiskNumber, String),
    /// What a ledger that went back has to find out.
    Reconcile,
    /// Heads of chains, for the broker's own chain.
    Anchor {
        /// Id of the ledger.
        ledger: String,
        /// Their digests, sorted.
        heads: Vec<String>,
    },
    /// All disks, for lists.
    Disks,
    /// All agents, for lists.
    Agents,
    /// A step at the door of the console, or about its people; who takes it.
    People(Box<people::Act>, String),
    /// Somebody was handed a copy of what is kept about a buyer: of which jobs, and who asked.
    BuyerExported {
        /// Jobs.
        jobs: Vec<JobKey>,
        /// Who.
        by: String,
    },
    /// Contents of a buyer's jobs end.
    EraseContents {
        /// Jobs.
        jobs: Vec<JobKey>,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// Changes that others decided on and that share the commit: those of [`webhooks`].
    Keep(Vec<Change>),
    /// Time passed.
    Tick,
}

/// What the store knows of the keys and numbers that an input names, read in the writer's own task.
#[derive(Debug, Default)]
pub struct Known {
    /// Jobs by key.
    pub jobs: HashMap<JobKey, Arc<Job>>,
    /// Owners of numbers.
    pub numbers: HashMap<NumberKey, Owner>,
    /// Void and red jobs, by what they are about.
    pub about: HashMap<OriginalKey, Vec<Arc<Job>>>,
    /// Operations by id.
    pub operations: HashMap<String, OperationRow>,
}

/// What an input was answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Submission.
    Submitted(Submitted),
    /// Re-issue.
    Reissued(ReissueAnswer),
    /// Bulk re-issue; true: it begins now.
    Bulk(Box<BulkRow>, bool),
    /// What a bulk re-issue did with one job.
    BulkLine(BulkLine),
    /// It waits for a second person.
    Proposed(Box<ProposalRow>),
    /// Withdrawal.
    Cancelled(CancelAnswer),
    /// The job as it is now.
    Job(Box<JobView>),
    /// Join.
    Joined(Joined),
    /// Enrolled.
    Enrolled(AgentId, bool),
    /// What a ledger that went back has to find out.
    Reconcile(Box<ReconcileView>),
    /// An operation as it is now.
    Operation(Box<OperationView>),
    /// What is done with each disk.
    Operations(Vec<BulkOperationLine>),
    /// Disks.
    Disks(Vec<DiskView>),
    /// Agents.
    Agents(Vec<AgentView>),
    /// An attempt may be made, or milliseconds until one may.
    Wait(Result<(), i64>),
    /// It held, or it did not and nothing was done.
    Held(bool),
    /// Done.
    Done,
}

/// What the shell does once the changes are durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send a frame.
    Send(SessionId, Box<BrokerFrame>),
    /// End a session.
    Close(SessionId),
}

/// What one input made.
#[derive(Debug)]
pub struct Output {
    /// Answer to whoever asked.
    pub reply: Result<Reply, Refusal>,
    /// To be committed whole.
    pub changes: Vec<Change>,
    /// To be done after the commit, in order.
    pub effects: Vec<Effect>,
}

/// An open job with what the queue needs of it.
#[derive(Debug)]
struct OpenJob {
    job: Arc<Job>,
    /// Profiles (bits) that were found to be able to express it.
    fit: u64,
    /// Profiles (bits) that cannot.
    unfit: u64,
    /// Where it stands in the queue, if it does.
    lane: Option<LaneKey>,
    /// Accepted or issued again; after a restart its last event. Attempts that come back do not change it.
    queued_at: Timestamp,
}

#[derive(Debug)]
struct Seller {
    body: SellerBody,
    points: BTreeMap<IssuePoint, IssuePointBody>,
}

/// Everything about one taxpayer number that is not its row: it exists as soon as a disk or a seller does.
#[derive(Debug, Default)]
struct Shop {
    queue: Queue,
    disks: Vec<DiskNumber>,
    /// Distinct capabilities of its disks; a bit of `fit` and `unfit` is an index into it.
    profiles: Vec<Capabilities>,
    /// Distinct single-invoice limits of its disks, ascending; a bit of a lane is an index into it.
    limits: Vec<Amount>,
    overlay: Option<Arc<Overlay>>,
}

#[derive(Debug)]
struct Session {
    agent: AgentId,
    /// In their order: the same frame always comes to the same decisions, in the same order.
    disks: BTreeSet<DiskNumber>,
    /// What it said of disks that others claim too: not believed, and not said again when the others are gone.
    said: BTreeMap<DiskNumber, DiskReport>,
    /// Disks that it may not have, and was told so.
    refused: BTreeSet<DiskNumber>,
    /// Its journal went back: it counts as a new agent when a disk changes hands.
    suspicious: bool,
}

#[derive(Debug)]
struct Agent {
    row: AgentRow,
    session: Option<SessionId>,
}

/// What the input under way has made so far.
#[derive(Debug, Default)]
struct Turn {
    now: Timestamp,
    origin: Option<Origin>,
    changes: Vec<Change>,
    effects: Vec<Effect>,
}

/// What ended or was entered between two moments, until the store knows it ([`Core::cut`]).
#[derive(Debug)]
pub struct Cut {
    /// With the revision that it ended at.
    jobs: Vec<(JobKey, u64)>,
    numbers: Vec<NumberKey>,
    operations: Vec<(String, u64)>,
}

/// Disks by the agent that was their last owner; it may name some that have gone over to others since.
type Formers = HashMap<AgentId, BTreeSet<DiskNumber>>;

/// The broker's state and its decisions.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    sellers: BTreeMap<TaxpayerNumber, Seller>,
    shops: HashMap<TaxpayerNumber, Shop>,
    jobs: HashMap<JobKey, OpenJob>,
    /// Void and red jobs in memory, by what they are about.
    undoing: HashMap<OriginalKey, BTreeSet<JobKey>>,
    disks: BTreeMap<DiskNumber, Disk>,
    agents: BTreeMap<AgentId, Agent>,
    formers: Formers,
    sessions: HashMap<SessionId, Session>,
    enrollments: HashMap<String, EnrollmentRow>,
    keys: BTreeMap<String, KeyRow>,
    /// What people keep from work.
    pauses: BTreeMap<Scope, PauseRow>,
    /// Which updates agents are offered.
    updates: Option<UpdatePolicy>,
    next_place: u64,
    /// Ended since the last cut: kept until that is durable, since the store does not know them yet.
    ended: Vec<(JobKey, u64)>,
    /// Numbers that got an owner, until that is durable.
    fresh_numbers: HashMap<NumberKey, Owner>,
    /// Those of them that were entered since the last cut.
    entered: Vec<NumberKey>,
    /// Shops whose overlay the readers must get anew.
    dirty: HashSet<TaxpayerNumber>,
    reconcile: Reconcile,
    bulks: BTreeMap<String, BulkRow>,
    /// What waits for a second person.
    proposals: BTreeMap<String, ProposalRow>,
    people: people::People,
    operations: Operations,
    served: Served,
    turn: Turn,
    /// Warnings were last looked at, since only time had passed.
    warned_at: Timestamp,
    /// The time of the input before.
    heard_at: Timestamp,
}

impl Core {
    /// Decides on one input of `origin`. `known` must hold what the store has for [`Core::needs`] of this input.
    pub fn handle(&mut self, input: Input, known: &Known, now: Timestamp, origin: Option<Origin>) -> Output {
        let origin = self.origin(&input, origin);
        self.turn = Turn { now, origin, ..Turn::default() };
        self.look_at_clock();
        self.begin_reconcile();
        let reply = match input {
            Input::Submit(prepared) => self.submit(*prepared, known),
            Input::Reissue(key, request, by) => self.reissue(&key, request, by, None, known),
            Input::StartBulk(row) => self.bulk_asked(*row),
            Input::ReissueOf(key, bulk) => self.reissue_of(&key, &bulk, known),
            Input::MoveBulk(row) => self.move_bulk(*row),
            Input::Cancel(key, request, by) => self.cancel(&key, &request, by, known),
            Input::Settle(key, request, by) => self.settle(&key, request, by, known),
            Input::Confirm(id, by) => self.confirm(&id, &by, known),
            Input::Decline(id, reason, by) => self.decline(&id, &reason, &by),
            Input::Withdraw(id, reason, by) => self.withdraw(&id, &reason, &by),
            Input::PutSeller(seller, body, by) => self.put_seller(seller, body, &by),
            Input::PutIssuePoint(seller, point, body, by) => self.put_issue_point(seller, point, body, &by),
            Input::PutDisk(disk, body, by) => self.put_disk(disk, body, &by),
            Input::CreateEnrollment(row, by) => self.create_enrollment(row, &by),
            Input::Enroll { hash, agent, public_key, version } => self.enroll(hash, agent, public_key, version),
            Input::RevokeAgent(agent, by) => self.revoke_agent(&agent, &by),
            Input::ApproveAgent(agent, name, by) => self.approve_agent(&agent, name, &by),
            Input::RenameAgent(agent, name, by) => self.rename_agent(&agent, name, &by),
            Input::UseKey(id) => self.use_key(&id),
            Input::CreateKey(row, by) => self.create_key(row, &by),
            Input::RevokeKey(id, by) => self.revoke_key(&id, &by),
            Input::Join(join, session) => self.join(join, session),
            Input::Leave(session, how) => self.leave(session, how),
            Input::Frame(session, frame) => self.frame(session, *frame, known),
            Input::Pause(scope, mode, request, by) => self.pause(scope, mode, &request.reason, by),
            Input::SetUpdates(policy, by) => self.set_updates(policy, &by),
            Input::Resume(scope, request, by) => self.resume(scope, &request.reason, &by),
            Input::Operate(ask, by) => self.operate(*ask, &by, known),
            Input::OperateBulk(request, by) => self.operate_bulk(&request, &by, known),
            Input::CancelOperation(id, cancel, by) => self.cancel_operation(&id, &cancel, &by, known),
            Input::DecideNumber(decision) => self.reconcile_asked(proposals::What::Number(decision), known),
            Input::DecideLine(key, decision) => self.reconcile_asked(proposals::What::Line(key, decision), known),
            Input::ReleaseDisk(disk, reason) => self.reconcile_asked(proposals::What::Release(disk, reason), known),
            Input::Anchor { ledger, heads } => {
                self.audit(None, ANCHOR, serde_json::json!(Anchor { ledger, heads }));
                Ok(Reply::Done)
            }
            Input::Reconcile => Ok(Reply::Reconcile(Box::new(self.reconcile_view()))),
            Input::Disks => Ok(Reply::Disks(self.disk_views())),
            Input::Agents => Ok(Reply::Agents(self.agent_views())),
            Input::People(act, by) => self.people(*act, &by),
            Input::BuyerExported { jobs, by } => self.buyer_exported(&jobs, &by),
            Input::EraseContents { jobs, reason, by } => self.erase_contents(jobs, &reason, &by),
            Input::Keep(changes) => {
                self.turn.changes = changes;
                Ok(Reply::Done)
            }
            Input::Tick => self.tick(),
        };
        self.link_originals(known);
        // The time stays, for what readers are told between inputs.
        let turn = std::mem::replace(&mut self.turn, Turn { now, ..Turn::default() });
        Output { reply, changes: turn.changes, effects: turn.effects }
    }

    /// Keys and numbers that the store must be asked for before this input is handled.
    pub fn needs(&self, input: &Input, keys: &mut Vec<JobKey>, numbers: &mut Vec<NumberKey>) {
        let mut key = |key: &JobKey| {
            if !self.jobs.contains_key(key) {
                keys.push(key.clone());
            }
        };
        match input {
            Input::Submit(prepared) => {
                if let Some(of) = prepared.key() {
                    key(of);
                }
            }
            Input::Reissue(of, ..) | Input::Cancel(of, ..) | Input::ReissueOf(of, _) => key(of),
            Input::DecideLine(of, decision) => {
                key(of);
                numbers.extend(self.line_numbers(of, decision));
            }
            Input::DecideNumber(decision) => {
                if let Some(of) = &decision.job {
                    key(of);
                }
                numbers.push(decision.number.clone());
            }
            Input::Settle(of, request, _) => {
                key(of);
                numbers.extend(self.settle_numbers(of, request));
            }
            Input::Confirm(id, _) => match self.proposals.get(id).map(|row| &row.what) {
                Some(proposals::What::Settle(of, request)) => {
                    key(of);
                    numbers.extend(self.settle_numbers(of, request));
                }
                Some(proposals::What::Line(of, decision)) => {
                    key(of);
                    numbers.extend(self.line_numbers(of, decision));
                }
                Some(proposals::What::Number(decision)) => {
                    if let Some(of) = &decision.job {
                        key(of);
                    }
                    numbers.push(decision.number.clone());
                }
                Some(proposals::What::Bulk(_) | proposals::What::Release(..)) | None => {}
            },
            Input::Frame(_, frame) => match frame.as_ref() {
                AgentFrame::Started { attempt, .. } | AgentFrame::Recorded { attempt, .. } => key(&attempt.key),
                AgentFrame::Outcome { attempt, disk, outcome, .. } => {
                    key(&attempt.key);
                    if let taxdisk_protocol::link::AttemptResult::Issued { pair, .. } = outcome {
                        // The kind is the job's; a finished job's is not in memory, so that all kinds are asked for.
                        let kinds = match self.jobs.get(&attempt.key) {
                            Some(open) => vec![open.job.kind],
                            None => taxdisk_protocol::kind::InvoiceKind::ALL.to_vec(),
                        };
                        numbers.extend(kinds.into_iter().map(|kind| NumberKey { disk: disk.clone(), kind, pair: *pair }));
                    }
                }
                AgentFrame::Recounted { disk, lines, numbers: seen, .. } => {
                    for line in lines {
                        key(&line.attempt.key);
                        if let taxdisk_protocol::link::AttemptResult::Issued { pair, .. } = line.result {
                            numbers.push(NumberKey { disk: disk.clone(), kind: line.kind, pair });
                        }
                    }
                    if let Some(seen) = seen {
                        let number = |pair| NumberKey { disk: disk.clone(), kind: seen.kind, pair };
                        numbers.extend(seen.seen.iter().map(|one| number(one.pair)));
                    }
                }
                AgentFrame::Accounted { disk, kind, entries, .. } => {
                    for entry in entries {
                        if let taxdisk_protocol::link::Owner::Ours(attempt) = &entry.owner {
                            key(&attempt.key);
                        }
                    }
                    numbers.extend(entries.iter().map(|entry| NumberKey { disk: disk.clone(), kind: *kind, pair: entry.pair }))
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// What the store has to know before memory may forget it: everything since the last cut. The shell commits what was decided
    /// until now as one, and hands the cut back when that is durable; it may go on deciding meanwhile.
    pub fn cut(&mut self) -> Cut {
        Cut {
            jobs: std::mem::take(&mut self.ended),
            numbers: std::mem::take(&mut self.entered),
            operations: self.operations.cut(),
        }
    }

    /// Everything before this cut is durable: what ended is forgotten here and lives in the store. What has gone on since
    /// belongs to a later cut and stays.
    pub fn committed(&mut self, cut: Cut) {
        for (key, revision) in cut.jobs {
            if self.jobs.get(&key).is_some_and(|open| !open.job.is_live() && open.job.revision == revision)
                && let Some(ended) = self.jobs.remove(&key)
            {
                self.forget_undoing(&ended.job);
            }
        }
        for number in cut.numbers {
            self.fresh_numbers.remove(&number);
        }
        self.operations.committed(cut.operations);
    }

    /// A number has an owner from now on, also for those that ask before the store knows.
    fn own(&mut self, number: NumberKey, owner: Owner) {
        self.entered.push(number.clone());
        self.fresh_numbers.insert(number, owner);
    }

    /// Shops whose disks changed since the last call, with what readers need to know of them.
    pub fn take_overlays(&mut self) -> Vec<(TaxpayerNumber, Arc<Overlay>)> {
        let dirty: Vec<_> = self.dirty.drain().collect();
        dirty.into_iter().map(|seller| (seller.clone(), self.overlay(&seller))).collect()
    }

    /// API keys, for the check of callers.
    pub fn keys(&self) -> impl Iterator<Item = &KeyRow> {
        self.keys.values()
    }

    /// Open jobs in memory.
    pub fn open_jobs(&self) -> usize {
        self.jobs.len()
    }

    /// The job as it is now: in memory, or as the store knows it.
    fn job(&self, key: &JobKey, known: &Known) -> Option<Arc<Job>> {
        self.jobs.get(key).map(|open| &open.job).or_else(|| known.jobs.get(key)).cloned()
    }

    /// Brings a job that had ended back into memory.
    fn revive(&mut self, job: Arc<Job>) {
        self.note_undoing(&job);
        let queued_at = self.turn.now;
        self.jobs.entry(job.key.clone()).or_insert(OpenJob { job, fit: 0, unfit: 0, lane: None, queued_at });
    }

    /// Records one event of a job in memory. The guards of [`Job::advance`] are the last word (I9).
    fn record(&mut self, key: &JobKey, what: What) -> Result<Arc<Job>, Refusal> {
        let open = self.jobs.get_mut(key).ok_or_else(|| Refusal::new("not_found", format!("job {key} is not known")))?;
        let event = Event { revision: open.job.revision, at: self.turn.now, origin: self.turn.origin.clone(), what };
        Arc::make_mut(&mut open.job).advance(&event).map_err(|error| Refusal::new("internal", format!("job {key}: {error}")))?;
        let job = open.job.clone();
        if job.state.is_terminal() {
            self.ended.push((key.clone(), job.revision));
            self.free_ended(&job);
        }
        let told = announcement::of_job(&job, &event);
        self.turn.changes.push(Change::Job { job: job.clone(), event });
        self.turn.changes.extend(told.map(Change::Announcement));
        Ok(job)
    }

    /// The job has ended, and with it a doubt of an earlier attempt may have. An attempt that is neither open nor in doubt has no
    /// place at its disk: once its job is forgotten, nobody would be asked about it, and the disk would wait for the answer.
    fn free_ended(&mut self, job: &Job) {
        for ended in job.attempts.iter().filter(|attempt| !attempt.state.is_open() && attempt.named.is_none()) {
            let Some(disk) = self.disks.get_mut(&ended.disk) else { continue };
            if disk.open.get(&ended.sequence).is_some_and(|open| open.key == job.key && open.attempt == ended.attempt) {
                disk.open.remove(&ended.sequence);
            }
        }
    }

    /// Who made this input happen. What an agent says is its own, whoever carries the frame; what only time brings is ours.
    fn origin(&self, input: &Input, given: Option<Origin>) -> Option<Origin> {
        let from = || given.as_ref().map(|given| given.from.clone()).unwrap_or_default();
        match input {
            Input::Frame(session, _) | Input::Leave(session, _) => {
                let by = self.sessions.get(session).map(|live| live.agent.to_string());
                by.map(|by| Origin { by, from: from() }).or(given)
            }
            Input::Join(join, _) => Some(Origin { by: join.agent.to_string(), from: from() }),
            Input::Tick => Some(Origin { by: "broker".to_owned(), from: String::new() }),
            _ => given,
        }
    }

    /// Adds to the chain what is not a job's event.
    fn audit(&mut self, seller: Option<&TaxpayerNumber>, what: &'static str, mut body: serde_json::Value) {
        if let (Some(origin), Some(body)) = (&self.turn.origin, body.as_object_mut()) {
            body.entry("origin").or_insert_with(|| serde_json::json!(origin));
        }
        self.turn.changes.push(Change::Audit(Audit { seller: seller.cloned(), at: self.turn.now, what: what.into(), body }));
    }

    fn send(&mut self, session: SessionId, frame: BrokerFrame) {
        self.turn.effects.push(Effect::Send(session, Box::new(frame)));
    }

    /// Adds a text that an administrator should read, once.
    fn alarm(&mut self, agent: &AgentId, text: String) {
        self.alarm_of(Some(agent), text);
    }

    /// Of an agent, or of nobody in particular.
    fn alarm_of(&mut self, agent: Option<&AgentId>, text: String) {
        /// The newest alarms that are shown; all of them are in the chain.
        const ALARMS: usize = 20;
        let now = self.turn.now;
        if let Some((agent, found)) = agent.and_then(|agent| Some((agent, self.agents.get_mut(agent)?))) {
            tracing::warn!(%agent, "{text}");
            found.row.alarms.push(format!("{now} {text}"));
            if found.row.alarms.len() > ALARMS {
                found.row.alarms.remove(0);
            }
            let row = found.row.clone();
            self.turn.changes.push(Change::Agent(row));
        }
        self.audit(None, "alarm", serde_json::json!({ "agent": agent, "text": text }));
    }
}
