//! The one writer: takes what waits, decides it inside one transaction, commits once, and only then answers (group commit).
//!
//! If we stop before the commit, nothing happened and nobody was answered: the caller sends the same again. If we stop after it,
//! the effects are durable and the next start goes on with them. A commit that fails ends the writer: nobody knows then what is
//! durable, so nothing more is answered until the next start has read it.
//!
//! Read first: [`Ledger::run`], [`Session`].

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::fault;
use crate::store::{Db, Note, StoreError};

/// Works that wait for the writer at most; more callers wait before the door.
const QUEUE: usize = 1024;
/// Works of one transaction at most: a longer one would let the first caller wait for the last.
const BATCH: usize = 64;

/// Milliseconds since 1970, in UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A future that may borrow from the session.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What a work sees: the store inside the transaction, and the time.
pub struct Session {
    /// The store; writes are seen by everything after them in the same transaction.
    pub db: Box<dyn Db>,
    /// Now, milliseconds.
    pub now: i64,
    wake: Wake,
}

#[derive(Debug, Default, Clone, Copy)]
struct Wake {
    courier: bool,
    callbacks: bool,
    outbox: bool,
}

/// Who is woken after a commit.
struct Wakes {
    courier: Arc<Notify>,
    callbacks: Arc<Notify>,
    outbox: Arc<Notify>,
}

impl Session {
    /// Once this is durable, the courier has something to do.
    pub fn wake_courier(&mut self) {
        self.wake.courier = true;
    }

    /// Once this is durable, a callback is due.
    pub fn wake_callbacks(&mut self) {
        self.wake.callbacks = true;
    }

    /// Once this is durable, a message to somebody is due.
    pub fn wake_outbox(&mut self) {
        self.wake.outbox = true;
    }

    /// Adds to the history of a request.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn note(&mut self, tenant: &str, serial: &str, by: &str, what: &str, body: &str) -> Result<(), StoreError> {
        let note = Note { at: self.now, by: by.to_owned(), what: what.to_owned(), body: body.to_owned() };
        self.db.add_note(tenant, serial, &note).await
    }
}

/// The writer does not answer: whether the work is durable is not known. The same again is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store does not answer")]
pub struct Unavailable;

type Answer = Box<dyn FnOnce() + Send>;
type Work = Box<dyn for<'a> FnOnce(&'a mut Session) -> Step<'a, Answer> + Send>;

/// The door to the writer; cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    queue: mpsc::Sender<Work>,
    ended: watch::Receiver<bool>,
    /// Somebody should look for requests to forward.
    pub courier: Arc<Notify>,
    /// Somebody should look for callbacks to send.
    pub callbacks: Arc<Notify>,
    /// Somebody should look for messages to send.
    pub outbox: Arc<Notify>,
}

impl Ledger {
    /// Starts the writer over its connection.
    pub fn start(db: Box<dyn Db>, clock: Clock) -> Ledger {
        let (queue, works) = mpsc::channel(QUEUE);
        let (ending, ended) = watch::channel(false);
        let ledger = Ledger { queue, ended, courier: Arc::default(), callbacks: Arc::default(), outbox: Arc::default() };
        // Not the door itself: the writer ends when everybody has gone through it.
        let wakes = Wakes { courier: ledger.courier.clone(), callbacks: ledger.callbacks.clone(), outbox: ledger.outbox.clone() };
        tokio::spawn(async move {
            let session = Session { db, now: clock(), wake: Wake::default() };
            if let Err(error) = write(session, works, &clock, &wakes).await {
                tracing::error!(%error, "the store cannot be written; the portal ends here");
            }
            ending.send_replace(true);
        });
        ledger
    }

    /// Runs a work in the writer's next transaction; answers once it is durable.
    ///
    /// # Errors
    /// The writer has ended.
    pub async fn run<T, W>(&self, work: W) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut Session) -> Step<'a, T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |session| {
            let step = work(session);
            Box::pin(async move {
                let value = step.await?;
                Ok(Box::new(move || drop(sender.send(value))) as Answer)
            })
        });
        self.queue.send(work).await.map_err(|_| Unavailable)?;
        receiver.await.map_err(|_| Unavailable)
    }

    /// Returns when the writer has ended.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

async fn write(mut session: Session, mut works: mpsc::Receiver<Work>, clock: &Clock, wakes: &Wakes) -> Result<(), StoreError> {
    while let Some(first) = works.recv().await {
        session.now = clock();
        session.wake = Wake::default();
        session.db.begin().await?;
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some(work) = next.take() {
            answers.push(work(&mut session).await?);
            if answers.len() < BATCH {
                next = works.try_recv().ok();
            }
        }
        fault::point("before_commit");
        session.db.commit().await?;
        fault::point("after_commit");
        if session.wake.courier {
            wakes.courier.notify_one();
        }
        if session.wake.callbacks {
            wakes.callbacks.notify_one();
        }
        if session.wake.outbox {
            wakes.outbox.notify_one();
        }
        for answer in answers {
            answer();
        }
    }
    Ok(())
}
