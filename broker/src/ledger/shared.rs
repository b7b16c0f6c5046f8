//! What writer and readers share, and how inputs get to the writer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock};

use taxdisk_protocol::api::JobView;
use taxdisk_protocol::ids::TaxpayerNumber;
use taxdisk_protocol::job::Job;
use taxdisk_protocol::link::{AgentFrame, BrokerFrame};
use tokio::sync::{mpsc, oneshot, watch};

use super::feed::Feed;
use super::secrets::Keys;
use super::waits::Waits;
use super::writer::{Command, Tell};
use super::{Answer, Clock, Ledger, Refusal, Settings};
use crate::core::{Core, Input, Overlay, Reply};
use crate::store::{Store, StoreError};

/// What writer and readers share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) ready: AtomicBool,
    pub(super) ended: watch::Sender<bool>,
    pub(super) waits: Waits,
    pub(super) feed: Feed,
    /// Turns with every commit that changes an operation.
    pub(super) operations: watch::Sender<u64>,
    pub(super) anchored: super::audit::Anchored,
    pub(super) keys: RwLock<Keys>,
    pub(super) overlays: RwLock<HashMap<TaxpayerNumber, Arc<Overlay>>>,
    pub(super) next_session: AtomicU64,
}

pub(super) fn not_ready() -> Refusal {
    Refusal::new("not_ready", "the ledger takes nothing now; send the same again, under the same serial number")
}

/// A reply of another kind than the input asks for cannot be: one arm of the core makes each.
pub(super) fn unexpected() -> Refusal {
    Refusal::new("internal", "the ledger answered something else")
}

impl Ledger {
    /// Hands in an input and waits until it is durable.
    pub(super) async fn ask(&self, input: Input) -> Answer<Reply> {
        self.put(input, None).await
    }

    pub(super) async fn put(&self, input: Input, frames: Option<mpsc::Sender<Box<BrokerFrame>>>) -> Answer<Reply> {
        let (reply, answer) = oneshot::channel();
        let bytes = bytes_of(&input);
        let origin = self.origin.clone();
        self.queue.send(Command::Do { input, origin, bytes, reply: Some(reply), frames }).await.map_err(|_| not_ready())?;
        // The writer has ended under way: whether this is durable, the next start says.
        answer.await.map_err(|_| not_ready())?
    }

    pub(super) async fn done(&self, input: Input) -> Answer<()> {
        self.ask(input).await.map(|_| ())
    }

    /// Hands in an input without waiting for what becomes of it.
    pub(super) async fn tell(&self, input: Input) -> Answer<()> {
        let bytes = bytes_of(&input);
        let origin = self.origin.clone();
        self.queue.send(Command::Do { input, origin, bytes, reply: None, frames: None }).await.map_err(|_| not_ready())
    }

    /// Looks at the core after everything that was handed in before.
    pub(super) async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Core) -> T + Send + 'static) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |core: &Core| {
            let seen = look(core);
            Box::new(move || drop(reply.send(seen))) as Tell
        });
        self.queue.send(Command::Look(look)).await.map_err(|_| not_ready())?;
        answer.await.map_err(|_| not_ready())
    }
}

impl Shared {
    pub(super) fn view(&self, job: &Job) -> JobView {
        let overlays = self.overlays.read().unwrap_or_else(PoisonError::into_inner);
        match overlays.get(&job.key.seller) {
            Some(overlay) => overlay.view(job),
            None => Overlay::default().view(job),
        }
    }
}

/// About how much memory an input takes: enough to bound a batch.
fn bytes_of(input: &Input) -> usize {
    /// Text of a line with its fields.
    const LINE: usize = 400;
    /// Everything else of an input.
    const REST: usize = 600;
    match input {
        Input::Submit(prepared) => REST + LINE * prepared.submission.invoice.as_ref().map_or(0, |invoice| invoice.lines.len()),
        Input::Reissue(_, request, _) => REST + LINE * request.invoice.as_ref().map_or(0, |invoice| invoice.lines.len()),
        Input::Frame(_, frame) => match frame.as_ref() {
            AgentFrame::Accounted { entries, .. } => REST + LINE * entries.len(),
            AgentFrame::Recounted { lines, numbers, .. } => {
                REST + LINE * (lines.len() + numbers.as_ref().map_or(0, |numbers| numbers.seen.len()))
            }
            AgentFrame::Outcome { readings, .. } => REST + LINE * readings.len(),
            AgentFrame::Disks { disks } => REST + LINE * disks.len(),
            _ => REST,
        },
        Input::Keep(changes) => REST * changes.len(),
        _ => REST,
    }
}

pub(super) fn unreadable(error: StoreError) -> Refusal {
    match error {
        StoreError::Cursor => Refusal::new("invalid_parameter", "this cursor was not made here"),
        StoreError::Fenced => not_ready(),
        error => {
            tracing::error!(%error, "the ledger cannot be read");
            Refusal::new("internal", "the ledger cannot be read")
        }
    }
}
