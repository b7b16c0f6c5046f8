//! The one writer: drains the queue, lets the core decide, commits once, and only then answers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use taxdisk_protocol::job::Origin;
use taxdisk_protocol::link::BrokerFrame;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::secrets::Keys;
use crate::core::change::Change;
use crate::core::operations::OperationFilter;
use crate::core::original::More;
use crate::core::types::{Left, Refusal, SessionId};
use crate::core::{Core, Effect, Input, Known, Output, Reply};
use crate::fault;
use crate::store::StoreError;

/// Looks at the core once everything before it is durable.
type Look = Box<dyn FnOnce(&Core) + Send>;

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
    /// Look at what is durable.
    Look(Look),
    /// Commit what is queued and end.
    Stop,
}

struct Waiting {
    output: Output,
    reply: Option<oneshot::Sender<Result<Reply, Refusal>>>,
    frames: Option<mpsc::Sender<Box<BrokerFrame>>>,
}

pub(super) struct WriterTask {
    core: Core,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Command>,
    /// Frames are boxed: a channel keeps room for 32 of them, and an idle link has none.
    sessions: HashMap<SessionId, mpsc::Sender<Box<BrokerFrame>>>,
    /// What the writer itself has to hand in: sessions that were too slow.
    own: VecDeque<Input>,
}

impl WriterTask {
    pub(super) fn new(core: Core, shared: Arc<Shared>, queue: mpsc::Receiver<Command>) -> WriterTask {
        WriterTask { core, shared, queue, sessions: HashMap::new(), own: VecDeque::new() }
    }

    /// Runs until it is stopped or a commit fails.
    pub(super) async fn run(mut self) {
        loop {
            let mut batch = Vec::new();
            let mut looks = Vec::new();
            let stop = self.drain(&mut batch, &mut looks).await;
            if let Err(error) = self.batch(batch).await {
                // Nobody knows what is durable now: nothing is answered and nothing repeated. The next start reads it.
                tracing::error!(%error, "the ledger cannot be written; it ends here");
                break;
            }
            if !looks.is_empty() && !self.shared.store.leads() {
                tracing::error!(error = %StoreError::Fenced, "what is in memory may be old; the ledger ends here");
                break;
            }
            for look in looks {
                look(&self.core);
            }
            if stop {
                break;
            }
        }
        self.shared.ready.store(false, Ordering::Release);
        self.sessions.clear();
        self.queue.close();
        self.shared.ended.send_replace(true);
    }

    /// Waits for the first input and takes what else is there; no delay is added. True: stop after it.
    async fn drain(&mut self, batch: &mut Vec<Command>, looks: &mut Vec<Look>) -> bool {
        let mut bytes = 0;
        batch.extend(self.own.drain(..).map(|input| Command::Do { input, origin: None, bytes: 0, reply: None, frames: None }));
        let first = if batch.is_empty() { self.queue.recv().await } else { self.queue.try_recv().ok() };
        let mut next = match first {
            Some(command) => Some(command),
            None if batch.is_empty() => return true,
            None => None,
        };
        while let Some(command) = next.take() {
            match command {
                Command::Stop => return true,
                Command::Look(look) => looks.push(look),
                Command::Do { bytes: more, .. } => {
                    bytes += more;
                    batch.push(command);
                }
            }
            if batch.len() < self.shared.settings.batch_inputs && bytes < self.shared.settings.batch_bytes {
                next = self.queue.try_recv().ok();
            }
        }
        false
    }

    async fn batch(&mut self, batch: Vec<Command>) -> Result<(), StoreError> {
        let (mut keys, mut numbers) = (Vec::new(), Vec::new());
        for command in &batch {
            if let Command::Do { input, .. } = command {
                self.core.needs(input, &mut keys, &mut numbers);
            }
        }
        let mut known = Known {
            jobs: self.shared.store.jobs_by_key(&keys).await?,
            numbers: self.shared.store.number_owners(&numbers).await?,
            ..Known::default()
        };
        // What void and red jobs are about: a number, and then the job that has it.
        for _ in 0..2 {
            let more = self.more(&batch, &known);
            self.read_more(more, &mut known).await?;
        }
        let now = (self.shared.clock)();
        let (mut waiting, mut changes) = (Vec::with_capacity(batch.len()), Vec::new());
        for command in batch {
            let Command::Do { input, origin, reply, frames, .. } = command else { continue };
            let mut output = self.core.handle(input, &known, now, origin);
            changes.append(&mut output.changes);
            waiting.push(Waiting { output, reply, frames });
        }
        self.commit(&changes, waiting.len()).await?;
        // Answers and frames without a change come from memory alone: they are as good as our lead.
        if !self.shared.store.leads() {
            return Err(StoreError::Fenced);
        }
        self.core.committed();
        self.publish(&changes);
        for one in waiting {
            self.release(one);
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

    async fn read_more(&self, more: More, known: &mut Known) -> Result<(), StoreError> {
        let store = &self.shared.store;
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

    async fn commit(&self, changes: &[Change], inputs: usize) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        fault::point("before_commit");
        let begun = Instant::now();
        self.shared.store.commit(changes).await?;
        metrics::histogram!("taxdisk_commit_seconds").record(begun.elapsed().as_secs_f64());
        metrics::histogram!("taxdisk_commit_inputs").record(inputs as f64);
        fault::point("after_commit");
        if changes.iter().any(|change| matches!(change, Change::Job { event, .. } if is_outcome(event.what.name()))) {
            fault::point("after_outcome_commit");
        }
        Ok(())
    }

    /// What readers and waiters may know now.
    fn publish(&mut self, changes: &[Change]) {
        for (seller, overlay) in self.core.take_overlays() {
            self.shared.overlays.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(seller, overlay);
        }
        if changes.iter().any(|change| matches!(change, Change::Key(_))) {
            *self.shared.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Keys::new(self.core.keys());
        }
        if changes.iter().any(|change| matches!(change, Change::Announcement(_))) {
            self.shared.feed.committed();
        }
        if changes.iter().any(|change| matches!(change, Change::Operation(_))) {
            self.shared.operations.send_modify(|turns| *turns += 1);
        }
        for change in changes {
            if let Change::Job { job, event } = change {
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

fn is_outcome(name: &str) -> bool {
    matches!(name, "issued" | "voided" | "not_issued" | "given_back" | "unsettled")
}
