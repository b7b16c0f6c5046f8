//! The one writer: drains the queue, lets the core decide, commits what was decided at once, and only then answers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Instant, SystemTime};

use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::job::Origin;
use taxdisk_protocol::link::BrokerFrame;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Shared;
use super::secrets::Keys;
use crate::core::change::Change;
use crate::core::operations::OperationFilter;
use crate::core::original::More;
use crate::core::types::{Left, Refusal, SessionId};
use crate::core::{Core, Cut, Effect, Input, Known, Output, Overlay, Reply};
use crate::fault;
use crate::store::{Store, StoreError};
use crate::traces;

/// Looks at the core and comes back with the answer, to be told once everything before it is durable.
type Look = Box<dyn FnOnce(&Core) -> Tell + Send>;
/// Tells what was seen.
pub(super) type Tell = Box<dyn FnOnce() + Send>;

/// What waits for the writer.
// Nearly all commands are inputs; a box each would only cost an allocation.
#[allow(clippy::large_enum_variant)]
pub(super) enum Command {
    /// Decide on an input.
    Do {
        /// What.
        input: Input,
        /// Who hands it in.
        origin: Option<Origin>,
        /// About how large it is.
        bytes: usize,
        /// Who waits for the answer.
        reply: Option<oneshot::Sender<Result<Reply, Refusal>>>,
        /// Where frames of a session that joins go.
        frames: Option<mpsc::Sender<Box<BrokerFrame>>>,
    },
    /// Look at everything that was handed in before.
    Look(Look),
    /// Commit what is queued and end.
    Stop,
}

struct Waiting {
    output: Output,
    reply: Option<oneshot::Sender<Result<Reply, Refusal>>>,
    frames: Option<mpsc::Sender<Box<BrokerFrame>>>,
}

/// What was decided and is not durable: nobody hears of it yet.
#[derive(Default)]
struct Decided {
    changes: Vec<Change>,
    waiting: Vec<Waiting>,
    tells: Vec<Tell>,
    /// For readers, as of the last decision in here.
    overlays: Vec<(TaxpayerNumber, Arc<Overlay>)>,
    keys: Option<Keys>,
    /// About how large it is.
    bytes: usize,
    /// Contents end with it: nothing is read for a further decision before the store has done that.
    ends_contents: bool,
}

impl Decided {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait for it.
    fn len(&self) -> usize {
        self.waiting.len() + self.tells.len()
    }
}

/// A commit under way, and whom it will be told.
struct Underway {
    changes: Arc<Vec<Change>>,
    cut: Cut,
    rest: Decided,
}

pub(super) struct WriterTask {
    core: Core,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Command>,
    /// Frames are boxed: a channel keeps room for 32 of them, and an idle link has none.
    sessions: HashMap<SessionId, mpsc::Sender<Box<BrokerFrame>>>,
    /// What the writer itself has to hand in: sessions that were too slow.
    own: VecDeque<Input>,
    /// What the next commit will hold.
    decided: Decided,
    /// What the commit under way holds.
    underway: Option<Underway>,
    /// Its task, one at most; it is aborted with the writer.
    commit: JoinSet<Result<(), StoreError>>,
    /// No more is taken.
    stops: bool,
}

impl WriterTask {
    pub(super) fn new(core: Core, shared: Arc<Shared>, queue: mpsc::Receiver<Command>) -> WriterTask {
        let (sessions, own, decided, commit) = (HashMap::new(), VecDeque::new(), Decided::default(), JoinSet::new());
        WriterTask { core, shared, queue, sessions, own, decided, underway: None, commit, stops: false }
    }

    /// Runs until it is stopped or a commit fails.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.work().await {
            // Nobody knows what is durable now: nothing is answered and nothing repeated. The next start reads it.
            tracing::error!(%error, "the ledger cannot be written, or is another broker's by now; it ends here");
        }
        self.shared.ready.store(false, Ordering::Release);
        self.sessions.clear();
        self.queue.close();
        self.shared.ended.send_replace(true);
    }

    /// While one commit is under way, the next is decided: what one waits for is the disk, the other the processor.
    async fn work(&mut self) -> Result<(), StoreError> {
        loop {
            if self.underway.is_none() && !self.decided.is_empty() {
                self.begin()?;
            }
            if self.stops && self.underway.is_none() && self.decided.is_empty() {
                return Ok(());
            }
            let takes = self.takes();
            if takes && let Some(input) = self.own.pop_front() {
                let own = Command::Do { input, origin: None, bytes: 0, reply: None, frames: None };
                self.take(Some(own)).await?;
                continue;
            }
            tokio::select! {
                biased;
                Some(done) = self.commit.join_next() => {
                    done.map_err(|error| StoreError::Stale(format!("a commit was cut off: {error}")))??;
                    self.durable()?;
                }
                command = self.queue.recv(), if takes => self.take(command).await?,
            }
        }
    }

    /// There is room for further decisions.
    fn takes(&self) -> bool {
        let settings = &self.shared.settings;
        let ends_contents = self.decided.ends_contents || self.underway.as_ref().is_some_and(|one| one.rest.ends_contents);
        let full = self.decided.len() >= settings.batch_inputs || self.decided.bytes >= settings.batch_bytes;
        !self.stops && !ends_contents && !full
    }

    /// Decides on this command and on what else is there; no delay is added. `None`: nobody is left who could hand in more.
    async fn take(&mut self, first: Option<Command>) -> Result<(), StoreError> {
        let (mut batch, mut looks) = (Vec::new(), Vec::new());
        let room = self.shared.settings.batch_inputs.saturating_sub(self.decided.len());
        let mut next = first;
        self.stops |= next.is_none();
        while let Some(command) = next.take() {
            match command {
                Command::Stop => self.stops = true,
                Command::Look(look) => looks.push(look),
                Command::Do { bytes, .. } => {
                    self.decided.bytes += bytes;
                    batch.push(command);
                }
            }
            if !self.stops && batch.len() + looks.len() < room && self.decided.bytes < self.shared.settings.batch_bytes {
                next = self.queue.try_recv().ok();
            }
        }
        if !batch.is_empty() {
            self.decide(batch).await?;
        }
        self.decided.tells.extend(looks.into_iter().map(|look| look(&self.core)));
        Ok(())
    }

    /// What the store is asked for here may be older than the commit under way. All that this commit changes is in memory until
    /// [`Core::committed`], which is not called between the question and the decision.
    async fn decide(&mut self, batch: Vec<Command>) -> Result<(), StoreError> {
        let (mut keys, mut numbers) = (Vec::new(), Vec::new());
        for command in &batch {
            if let Command::Do { input, .. } = command {
                self.core.needs(input, &mut keys, &mut numbers);
            }
        }
        let mut known = Known::default();
        if !keys.is_empty() {
            known.jobs = self.shared.store.jobs_by_key(&keys).await?;
        }
        if !numbers.is_empty() {
            known.numbers = self.shared.store.number_owners(&numbers).await?;
        }
        // What void and red jobs are about: a number, and then the job that has it.
        for _ in 0..2 {
            let more = self.more(&batch, &known);
            read_more(self.shared.store.as_ref(), more, &mut known).await?;
        }
        let now = (self.shared.clock)();
        let from = self.decided.changes.len();
        for command in batch {
            let Command::Do { input, origin, reply, frames, .. } = command else { continue };
            let mut output = self.core.handle(input, &known, now, origin);
            self.decided.changes.append(&mut output.changes);
            self.decided.waiting.push(Waiting { output, reply, frames });
        }
        self.decided.overlays.extend(self.core.take_overlays());
        let changes = &self.decided.changes[from..];
        if changes.iter().any(|change| matches!(change, Change::Key(_))) {
            self.decided.keys = Some(Keys::new(self.core.keys()));
        }
        self.decided.ends_contents |=
            changes.iter().any(|change| matches!(change, Change::EndContents(_) | Change::EndContentsOf(_)));
        Ok(())
    }

    /// Begins the commit of what was decided.
    fn begin(&mut self) -> Result<(), StoreError> {
        let mut rest = std::mem::take(&mut self.decided);
        let changes = Arc::new(std::mem::take(&mut rest.changes));
        let (inputs, store, written) = (rest.waiting.len(), self.shared.store.clone(), changes.clone());
        self.underway = Some(Underway { changes, cut: self.core.cut(), rest });
        if written.is_empty() {
            return self.durable();
        }
        self.commit.spawn(async move { commit(store.as_ref(), &written, inputs).await });
        if fault::planted("told_before_commit") {
            return self.durable();
        }
        Ok(())
    }

    /// The commit under way is durable: everybody hears of it.
    fn durable(&mut self) -> Result<(), StoreError> {
        let Some(Underway { changes, cut, rest }) = self.underway.take() else { return Ok(()) };
        // Answers and frames without a change come from memory alone: they are as good as our lead.
        if !self.shared.store.leads() {
            return Err(StoreError::Fenced);
        }
        self.core.committed(cut);
        self.publish(&changes, rest.overlays, rest.keys);
        for one in rest.waiting {
            self.release(one);
        }
        for tell in rest.tells {
            tell();
        }
        Ok(())
    }

    fn more(&self, batch: &[Command], known: &Known) -> More {
        let mut more = More::default();
        for command in batch {
            if let Command::Do { input, .. } = command {
                self.core.needs_more(input, known, &mut more);
            }
        }
        more
    }

    /// What readers and waiters may know now.
    fn publish(&mut self, changes: &[Change], overlays: Vec<(TaxpayerNumber, Arc<Overlay>)>, keys: Option<Keys>) {
        self.shared.overlays.write().unwrap_or_else(PoisonError::into_inner).extend(overlays);
        if let Some(keys) = keys {
            *self.shared.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
        if changes.iter().any(|change| matches!(change, Change::Announcement(_))) {
            self.shared.feed.committed();
        }
        if changes.iter().any(|change| matches!(change, Change::Operation(_))) {
            self.shared.operations.send_modify(|turns| *turns += 1);
        }
        let durable = SystemTime::now();
        for change in changes {
            if let Change::Job { job, event } = change {
                traces::tell(job, event, durable);
                metrics::counter!("taxdisk_job_events_total", "event" => event.what.name()).increment(1);
                self.shared.waits.wake(job);
            }
        }
        metrics::gauge!("taxdisk_open_jobs").set(self.core.open_jobs() as f64);
    }

    fn release(&mut self, one: Waiting) {
        let Waiting { output, reply, frames } = one;
        if let (Ok(Reply::Joined(joined)), Some(frames)) = (&output.reply, frames) {
            self.sessions.insert(joined.session, frames);
        }
        if let Some(reply) = reply {
            // Whoever asked may have hung up; what was decided stays.
            let _ = reply.send(output.reply);
        }
        for effect in output.effects {
            match effect {
                Effect::Close(session) => {
                    self.sessions.remove(&session);
                }
                Effect::Send(session, frame) => self.send(session, frame),
            }
        }
    }

    fn send(&mut self, session: SessionId, frame: Box<BrokerFrame>) {
        match frame.as_ref() {
            BrokerFrame::Assign { .. } => fault::point("before_assign_send"),
            BrokerFrame::Operate { .. } => fault::point("before_operate_send"),
            BrokerFrame::Ack { .. } => fault::point("before_ack"),
            _ => {}
        }
        let Some(frames) = self.sessions.get(&session) else { return };
        if let Err(error) = frames.try_send(frame) {
            // Too slow or gone. What it was not told is told again in the grants of its next session.
            tracing::warn!(
                session = session.0,
                "session closed: {}",
                match error {
                    mpsc::error::TrySendError::Full(_) => "the agent does not take its frames",
                    mpsc::error::TrySendError::Closed(_) => "the link is gone",
                }
            );
            self.sessions.remove(&session);
            self.own.push_back(Input::Leave(session, Left::Lost));
        }
    }
}

async fn read_more(store: &dyn Store, more: More, known: &mut Known) -> Result<(), StoreError> {
    if !more.keys.is_empty() {
        known.jobs.extend(store.jobs_by_key(&more.keys).await?);
    }
    if !more.numbers.is_empty() {
        known.numbers.extend(store.number_owners(&more.numbers).await?);
    }
    if !more.operations.is_empty() {
        let limit = u32::try_from(more.operations.len()).unwrap_or(u32::MAX);
        let filter = OperationFilter { ids: more.operations, ..OperationFilter::default() };
        let rows = store.operations(&filter, limit).await?;
        known.operations.extend(rows.into_iter().map(|row| (row.view.id.clone(), row)));
    }
    if !more.originals.is_empty() {
        known.about.extend(store.jobs_about(&more.originals).await?);
    }
    Ok(())
}

async fn commit(store: &dyn Store, changes: &[Change], inputs: usize) -> Result<(), StoreError> {
    fault::point("before_commit");
    let begun = Instant::now();
    store.commit(changes).await?;
    metrics::histogram!("taxdisk_commit_seconds").record(begun.elapsed().as_secs_f64());
    metrics::histogram!("taxdisk_commit_inputs").record(inputs as f64);
    fault::point("after_commit");
    if changes.iter().any(|change| matches!(change, Change::Job { event, .. } if is_outcome(event.what.name()))) {
        fault::point("after_outcome_commit");
    }
    Ok(())
}

fn is_outcome(name: &str) -> bool {
    matches!(name, "issued" | "voided" | "not_issued" | "given_back" | "unsettled")
}
