//! The one writer: takes what waits, decides it inside one transaction, commits once, and only then answers (group commit).
//!
//! If we stop before the commit, nothing happened and nobody was answered: the caller sends the same again. If we stop after it,
//! the effects are durable and the next start goes on with them. A commit that fails ends the writer: nobody knows then what is
//! durable, so nothing more is answered until the next start has read it.
//!
//! Two lines lead to it. Whoever has a caller waiting goes first; what goes on by itself (forwarding, outcomes, callbacks,
//! messages: [`Ledger::behind`]) has a sure share, and no more while callers wait. So a caller never waits for their backlog.
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
/// Of the works of one transaction, one in so many is for what goes on by itself, if it waits.
const SHARE: usize = 8;
/// Works of what goes on by itself in one transaction at most.
const BEHIND: usize = 8;

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
    behind: mpsc::Sender<Work>,
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
        let (queue, callers) = mpsc::channel(QUEUE);
        let (behind, others) = mpsc::channel(QUEUE);
        let (ending, ended) = watch::channel(false);
        let (courier, callbacks, outbox) = (Arc::default(), Arc::default(), Arc::default());
        let ledger = Ledger { queue, behind, ended, courier, callbacks, outbox };
        // Not the door itself: the writer ends when everybody has gone through it.
        let wakes = Wakes { courier: ledger.courier.clone(), callbacks: ledger.callbacks.clone(), outbox: ledger.outbox.clone() };
        let writer = async move {
            let session = Session { db, now: clock(), wake: Wake::default() };
            if let Err(error) = write(session, Lines { callers, others }, &clock, &wakes).await {
                tracing::error!(%error, "the store cannot be written; the portal ends here");
            }
            ending.send_replace(true);
        };
        // A thread of its own: between two statements it waits for the database only, not for whoever else has a turn.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
        std::thread::Builder::new().name("ledger".into()).spawn(move || runtime.block_on(writer)).expect("thread");
        ledger
    }

    /// The same door for what nobody waits for: behind all callers, with a share of its own.
    #[must_use]
    pub fn behind(&self) -> Ledger {
        Ledger { queue: self.behind.clone(), ..self.clone() }
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

/// The two lines before the writer.
struct Lines<T> {
    callers: mpsc::Receiver<T>,
    others: mpsc::Receiver<T>,
}

impl<T> Lines<T> {
    /// The first work of a transaction; `None`: nobody is left who could bring one.
    async fn first(&mut self) -> Option<T> {
        tokio::select! {
            biased;
            Some(work) = self.callers.recv() => Some(work),
            Some(work) = self.others.recv() => Some(work),
            else => None,
        }
    }

    /// A further work of a transaction that has `taken` so many, `behind` of them from the line behind.
    fn next(&mut self, taken: usize, behind: &mut usize) -> Option<T> {
        let mut from_behind = |lines: &mut Lines<T>| {
            let work = (*behind < BEHIND).then(|| lines.others.try_recv().ok()).flatten();
            *behind += usize::from(work.is_some());
            work
        };
        if taken >= BATCH {
            return None;
        }
        // Their share is theirs however many callers wait: what is accepted must also get on.
        if taken % SHARE == SHARE - 1
            && let Some(work) = from_behind(self)
        {
            return Some(work);
        }
        self.callers.try_recv().ok().or_else(|| from_behind(self))
    }
}

async fn write(mut session: Session, mut lines: Lines<Work>, clock: &Clock, wakes: &Wakes) -> Result<(), StoreError> {
    while let Some(first) = lines.first().await {
        session.now = clock();
        session.wake = Wake::default();
        session.db.begin().await?;
        let (mut answers, mut behind) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(work) = next.take() {
            answers.push(work(&mut session).await?);
            next = lines.next(answers.len(), &mut behind);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What one transaction takes of so many that wait.
    async fn taken(callers: usize, others: usize) -> Vec<char> {
        let ((caller, callers_line), (other, others_line)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        for (line, count, name) in [(&caller, callers, 'c'), (&other, others, 'o')] {
            for _ in 0..count {
                line.try_send(name).unwrap();
            }
        }
        let mut lines = Lines { callers: callers_line, others: others_line };
        let (mut taken, mut behind) = (vec![lines.first().await.unwrap()], 0);
        while let Some(one) = lines.next(taken.len(), &mut behind) {
            taken.push(one);
        }
        taken
    }

    #[tokio::test]
    async fn callers_go_first_and_what_nobody_waits_for_has_its_share() {
        let of = |taken: &[char], name| taken.iter().filter(|one| **one == name).count();
        let crowded = taken(500, 500).await;
        assert_eq!((crowded.len(), of(&crowded, 'o')), (BATCH, BATCH / SHARE));
        assert_eq!(of(&crowded[..SHARE - 1], 'c'), SHARE - 1, "the first are callers: {crowded:?}");
        let alone = taken(500, 0).await;
        assert_eq!(of(&alone, 'c'), BATCH);
        // A caller that comes now waits for few of them.
        let backlog = taken(0, 500).await;
        assert_eq!(backlog.len(), BEHIND + 1);
        let few = taken(3, 500).await;
        assert_eq!(few[..3], ['c', 'c', 'c']);
        assert_eq!(few.len(), 3 + BEHIND);
    }

    #[tokio::test]
    async fn the_writer_ends_when_nobody_is_left_at_either_line() {
        let ((caller, callers), (other, others)) = (mpsc::channel::<()>(1), mpsc::channel(1));
        let mut lines = Lines { callers, others };
        drop(caller);
        other.try_send(()).unwrap();
        assert!(lines.first().await.is_some(), "one line is left");
        drop(other);
        assert!(lines.first().await.is_none());
    }
}
