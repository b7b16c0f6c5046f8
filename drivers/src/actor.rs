//! One thread per disk. It owns the disk; everybody else holds a [`Handle`] and waits no longer than a deadline.
//!
//! It takes one command at a time and queues none: a command that waited behind another could run after its caller had
//! given up (I4). A command that was not begun by its deadline is withdrawn and never runs. One that was begun and does not
//! end is [`ActorError::Hung`]: nothing else goes to this disk until it has come back, other disks do not notice, and its
//! answer is kept as evidence ([`Handle::take_late`]).

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taxdisk_protocol::capabilities::{Capabilities, Fence};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::invoice::Invoice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::{InvoiceCode, InvoiceNumber, NumberPair};

use crate::disk::{
    Comparison, DiskError, FoundInvoice, Identity, IssueAnswer, IssueRequest, Limits, OfflineTotals, Red, Search, Segment, Stock,
    TaxDisk,
};
use crate::operation::{Operation, OperationAnswer, PasswordKind};

/// Late answers that are kept until somebody takes them. Only one command can hang at a time, so more are never needed at once.
const MAX_LATE: usize = 4;

/// How long callers wait. Too short is safe: a command that outlives its caller is settled by reading, never sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Reading commands, a line that has to be brought to silence first included.
    pub read: Duration,
    /// Commands that change the disk.
    pub change: Duration,
    /// Bringing a line in doubt to a known state.
    pub resync: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { read: Duration::from_secs(240), change: Duration::from_secs(480), resync: Duration::from_secs(240) }
    }
}

impl Deadlines {
    /// The same, none of them below the longest call of a driver.
    pub fn covering(self, longest_call: Duration) -> Deadlines {
        let at_least = |deadline: Duration| deadline.max(longest_call);
        Deadlines { read: at_least(self.read), change: at_least(self.change), resync: at_least(self.resync) }
    }
}

/// An issuing command with everything that it needs, owned. See [`IssueRequest`].
#[derive(Debug, Clone)]
pub struct IssueOrder {
    /// Kind to issue.
    pub kind: InvoiceKind,
    /// The pair that was read just before and is journalled.
    pub expected: NumberPair,
    /// Content.
    pub invoice: Invoice,
    /// Remark with our mark in it.
    pub remark: String,
    /// Who issues, as the disk knows him.
    pub seller: Identity,
    /// What a red invoice reverses.
    pub red: Option<Red>,
    /// See [`IssueRequest::request_id`].
    pub request_id: String,
}

impl IssueOrder {
    /// The order as the disk takes it.
    pub fn request(&self) -> IssueRequest<'_> {
        IssueRequest {
            kind: self.kind,
            expected: self.expected,
            invoice: &self.invoice,
            remark: &self.remark,
            seller: &self.seller,
            red: self.red.as_ref(),
            request_id: &self.request_id,
        }
    }
}

/// [`Search`], owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// [`Search::Request`].
    Request(String),
    /// [`Search::Last`].
    Last,
    /// [`Search::Range`].
    Range(InvoiceCode, InvoiceNumber, InvoiceNumber),
}

impl Question {
    fn search(&self) -> Search<'_> {
        match self {
            Question::Request(id) => Search::Request(id),
            Question::Last => Search::Last,
            Question::Range(code, first, last) => Search::Range(*code, *first, *last),
        }
    }
}

/// A call of [`TaxDisk`] as a value.
#[derive(Debug, Clone)]
pub enum Command {
    /// [`TaxDisk::resync`].
    Resync,
    /// [`TaxDisk::handshake`].
    Handshake,
    /// [`TaxDisk::identity`].
    Identity,
    /// [`TaxDisk::stock`].
    Stock(InvoiceKind),
    /// [`TaxDisk::limits`].
    Limits(InvoiceKind),
    /// [`TaxDisk::offline_totals`].
    OfflineTotals,
    /// [`TaxDisk::issue`].
    Issue(Box<IssueOrder>),
    /// [`TaxDisk::query`].
    Query(InvoiceKind, NumberPair),
    /// [`TaxDisk::find`].
    Find(InvoiceKind, Question),
    /// [`TaxDisk::segments`].
    Segments(InvoiceKind),
    /// [`TaxDisk::operate`].
    Operate(Box<Operation>),
    /// [`TaxDisk::compare`].
    Compare(Box<IssueOrder>, Box<FoundInvoice>),
}

impl Command {
    /// Its name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Resync => "resync",
            Command::Handshake => "handshake",
            Command::Identity => "identity",
            Command::Stock(_) => "stock",
            Command::Limits(_) => "limits",
            Command::OfflineTotals => "offline_totals",
            Command::Issue(_) => "issue",
            Command::Query(..) => "query",
            Command::Find(..) => "find",
            Command::Segments(_) => "segments",
            Command::Operate(operation) => operation.name().as_str(),
            Command::Compare(..) => "compare",
        }
    }
}

/// What the disk answered to a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one at a time, and never kept in numbers")]
pub enum Reply {
    /// To resync and handshake.
    Done(Result<(), DiskError>),
    /// To identity.
    Identity(Result<Identity, DiskError>),
    /// To stock.
    Stock(Result<Stock, DiskError>),
    /// To limits.
    Limits(Result<Limits, DiskError>),
    /// To offline totals.
    OfflineTotals(Result<OfflineTotals, DiskError>),
    /// To issue.
    Issue(IssueAnswer),
    /// To query.
    Query(Result<Option<FoundInvoice>, DiskError>),
    /// To find.
    Find(Result<Vec<FoundInvoice>, DiskError>),
    /// To segments.
    Segments(Result<Vec<Segment>, DiskError>),
    /// To operate.
    Operate(OperationAnswer),
    /// To compare.
    Compare(Comparison),
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActorError {
    /// A command was begun and has not come back: this one, or an older one. If it was this one and it changes the disk, its
    /// outcome is unknown.
    #[error("the disk does not come back from a command: look at the device and its cable; nothing else is sent until it does")]
    Hung {
        /// When it was begun.
        since: Instant,
    },
    /// The disk's thread has ended.
    #[error("the disk's driver stopped: restart the program, and report this with its log")]
    Gone {
        /// This command was begun: if it changes the disk, its outcome is unknown. Otherwise it never ran.
        begun: bool,
    },
    /// The disk is at work for somebody else. This command never ran.
    #[error("the disk is at work: try again when it has finished; nothing was sent")]
    Busy,
}

impl From<ActorError> for DiskError {
    fn from(error: ActorError) -> DiskError {
        let class = match error {
            ActorError::Hung { .. } | ActorError::Gone { .. } => DeviceClass::Link,
            ActorError::Busy => DeviceClass::InProgress,
        };
        DiskError { class, code: None, text: error.to_string(), tries_left: None }
    }
}

/// A reply that came after its caller had given up. Evidence; it changes nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Which command.
    pub command: &'static str,
    /// When it was begun.
    pub since: Instant,
    /// What the disk answered.
    pub reply: Reply,
}

/// Starts disk threads.
pub struct DiskActor;

impl DiskActor {
    /// Gives a disk its own thread. The thread ends when the last handle is dropped and the disk has come back.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn spawn(name: &str, disk: Box<dyn TaxDisk>, deadlines: Deadlines) -> io::Result<Handle> {
        let mailbox = Arc::new(Mailbox::default());
        let owner = Owner {
            name: name.to_owned(),
            capabilities: disk.capabilities().clone(),
            fence: disk.fence(),
            dialect: disk.dialect(),
            identity_proves: disk.identity_proves(),
            deadlines,
            mailbox: Arc::clone(&mailbox),
        };
        std::thread::Builder::new().name(format!("disk {name}")).spawn(move || run(&mailbox, disk))?;
        Ok(Handle { owner: Arc::new(owner) })
    }
}

/// A way to a disk. Clones share it; they take turns by getting [`ActorError::Busy`].
#[derive(Clone)]
pub struct Handle {
    owner: Arc<Owner>,
}

struct Owner {
    name: String,
    capabilities: Capabilities,
    fence: Fence,
    dialect: &'static str,
    identity_proves: &'static [PasswordKind],
    deadlines: Deadlines,
    mailbox: Arc<Mailbox>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.mailbox.lock().closed = true;
        self.mailbox.changed.notify_all();
    }
}

#[derive(Default)]
struct Mailbox {
    state: Mutex<State>,
    changed: Condvar,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct State {
    next_id: u64,
    waiting: Option<(u64, Command)>,
    running: Option<Running>,
    done: Option<(u64, Reply)>,
    late: VecDeque<Late>,
    /// As the disk told them after it was asked who it is; `None` before.
    capabilities: Option<Capabilities>,
    closed: bool,
    dead: bool,
}

struct Running {
    id: u64,
    since: Instant,
    /// Its caller has given up.
    hung: bool,
}

impl Handle {
    /// The name that the actor was given.
    pub fn name(&self) -> &str {
        &self.owner.name
    }

    /// See [`TaxDisk::capabilities`]: as they were after the last [`Handle::identity`].
    pub fn capabilities(&self) -> Capabilities {
        self.owner.mailbox.lock().capabilities.clone().unwrap_or_else(|| self.owner.capabilities.clone())
    }

    /// See [`TaxDisk::fence`].
    pub fn fence(&self) -> Fence {
        self.owner.fence
    }

    /// See [`TaxDisk::dialect`].
    pub fn dialect(&self) -> &'static str {
        self.owner.dialect
    }

    /// See [`TaxDisk::identity_proves`].
    pub fn identity_proves(&self) -> &'static [PasswordKind] {
        self.owner.identity_proves
    }

    /// Since when the disk has not come back from a command whose caller gave up; `None` when it is well.
    pub fn hung_since(&self) -> Option<Instant> {
        self.owner.mailbox.lock().running.as_ref().filter(|running| running.hung).map(|running| running.since)
    }

    /// An answer whose caller had given up, oldest first.
    pub fn take_late(&self) -> Option<Late> {
        self.owner.mailbox.lock().late.pop_front()
    }

    /// Runs one command and waits for its reply, at most until the deadline.
    ///
    /// # Errors
    /// No reply. [`ActorError`] says whether the command can have run.
    pub fn call(&self, command: Command, deadline: Duration) -> Result<Reply, ActorError> {
        let mailbox = &self.owner.mailbox;
        let until = Instant::now() + deadline;
        let mut state = mailbox.lock();
        if state.dead {
            return Err(ActorError::Gone { begun: false });
        }
        if let Some(running) = &state.running {
            return Err(if running.hung { ActorError::Hung { since: running.since } } else { ActorError::Busy });
        }
        // A reply that lies there was not taken yet by its caller: his turn is not over.
        if state.waiting.is_some() || state.done.is_some() {
            return Err(ActorError::Busy);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.waiting = Some((id, command));
        mailbox.changed.notify_all();
        loop {
            if let Some((_, reply)) = state.done.take_if(|(done, _)| *done == id) {
                return Ok(reply);
            }
            if state.dead {
                let begun = state.waiting.is_none();
                state.waiting = None;
                return Err(ActorError::Gone { begun });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Self::give_up(&mut state));
            }
            state = mailbox.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The deadline passed: a command that was not begun is withdrawn, one that was begun is hung.
    fn give_up(state: &mut State) -> ActorError {
        match &mut state.running {
            Some(running) => {
                running.hung = true;
                ActorError::Hung { since: running.since }
            }
            None => {
                state.waiting = None;
                ActorError::Busy
            }
        }
    }
}

/// One method per call of [`TaxDisk`], with the deadlines that the actor was given.
macro_rules! calls {
    ($(
        $(#[$doc:meta])*
        $name:ident($($argument:ident: $type:ty),*) -> $reply:ident($result:ty), $deadline:ident, $command:expr;
    )*) => {
        impl Handle {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// See [`Handle::call`].
                pub fn $name(&self, $($argument: $type),*) -> Result<$result, ActorError> {
                    match self.call($command, self.owner.deadlines.$deadline)? {
                        Reply::$reply(result) => Ok(result),
                        // Each command has one kind of reply (`perform`), so this is a fault of the driver.
                        _ => Err(ActorError::Gone { begun: true }),
                    }
                }
            )*
        }
    };
}

calls! {
    /// See [`TaxDisk::resync`].
    resync() -> Done(Result<(), DiskError>), resync, Command::Resync;
    /// See [`TaxDisk::handshake`].
    handshake() -> Done(Result<(), DiskError>), read, Command::Handshake;
    /// See [`TaxDisk::identity`].
    identity() -> Identity(Result<Identity, DiskError>), read, Command::Identity;
    /// See [`TaxDisk::stock`].
    stock(kind: InvoiceKind) -> Stock(Result<Stock, DiskError>), read, Command::Stock(kind);
    /// See [`TaxDisk::limits`].
    limits(kind: InvoiceKind) -> Limits(Result<Limits, DiskError>), read, Command::Limits(kind);
    /// See [`TaxDisk::offline_totals`].
    offline_totals() -> OfflineTotals(Result<OfflineTotals, DiskError>), read, Command::OfflineTotals;
    /// See [`TaxDisk::issue`].
    issue(order: IssueOrder) -> Issue(IssueAnswer), change, Command::Issue(Box::new(order));
    /// See [`TaxDisk::query`].
    query(kind: InvoiceKind, pair: NumberPair)
        -> Query(Result<Option<FoundInvoice>, DiskError>), read, Command::Query(kind, pair);
    /// See [`TaxDisk::find`].
    find(kind: InvoiceKind, question: Question)
        -> Find(Result<Vec<FoundInvoice>, DiskError>), read, Command::Find(kind, question);
    /// See [`TaxDisk::segments`].
    segments(kind: InvoiceKind) -> Segments(Result<Vec<Segment>, DiskError>), read, Command::Segments(kind);
    /// See [`TaxDisk::operate`].
    operate(operation: Operation) -> Operate(OperationAnswer), change, Command::Operate(Box::new(operation));
    /// See [`TaxDisk::compare`].
    compare(order: IssueOrder, found: FoundInvoice) -> Compare(Comparison), read,
        Command::Compare(Box::new(order), Box::new(found));
}

/// Tells the callers when the thread ends, also when a driver panics.
struct Obituary<'a>(&'a Mailbox);

impl Drop for Obituary<'_> {
    fn drop(&mut self) {
        self.0.lock().dead = true;
        self.0.changed.notify_all();
    }
}

fn run(mailbox: &Mailbox, mut disk: Box<dyn TaxDisk>) {
    let _obituary = Obituary(mailbox);
    loop {
        let (id, command, since) = {
            let mut state = mailbox.lock();
            loop {
                if let Some((id, command)) = state.waiting.take() {
                    let since = Instant::now();
                    state.running = Some(Running { id, since, hung: false });
                    break (id, command, since);
                }
                if state.closed {
                    return;
                }
                state = mailbox.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let name = command.name();
        let identifies = matches!(command, Command::Identity);
        let reply = perform(&mut *disk, command);
        let mut state = mailbox.lock();
        if identifies {
            state.capabilities = Some(disk.capabilities().clone());
        }
        let hung = state.running.take().is_some_and(|running| running.id == id && running.hung);
        if hung {
            tracing::warn!(command = name, seconds = since.elapsed().as_secs(), "the disk came back after its caller gave up");
            if state.late.len() == MAX_LATE {
                state.late.pop_front();
            }
            state.late.push_back(Late { command: name, since, reply });
        } else {
            state.done = Some((id, reply));
        }
        mailbox.changed.notify_all();
    }
}

fn perform(disk: &mut dyn TaxDisk, command: Command) -> Reply {
    match command {
        Command::Resync => Reply::Done(disk.resync()),
        Command::Handshake => Reply::Done(disk.handshake()),
        Command::Identity => Reply::Identity(disk.identity()),
        Command::Stock(kind) => Reply::Stock(disk.stock(kind)),
        Command::Limits(kind) => Reply::Limits(disk.limits(kind)),
        Command::OfflineTotals => Reply::OfflineTotals(disk.offline_totals()),
        Command::Issue(order) => Reply::Issue(disk.issue(&order.request())),
        Command::Query(kind, pair) => Reply::Query(disk.query(kind, pair)),
        Command::Find(kind, question) => Reply::Find(disk.find(kind, question.search())),
        Command::Segments(kind) => Reply::Segments(disk.segments(kind)),
        Command::Operate(operation) => Reply::Operate(disk.operate(&operation)),
        Command::Compare(order, found) => Reply::Compare(disk.compare(&order.request(), &found)),
    }
}

#[cfg(test)]
mod tests;
