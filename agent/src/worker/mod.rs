//! One thread per disk: performs what the core asks for, against the disk's driver and the journal, one effect at a time.
//!
//! What this module refuses to do: decide. It opens, reads, writes, waits and passes on; `core::disk::DiskCore` says
//! what comes next.

use std::sync::Arc;

use taxdisk_drivers::disk::TaxDisk;
use taxdisk_protocol::api::DiskReport;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::link::{Accounted, AgentFrame, Assignment, AttemptRef, OpenAttempt};

use crate::journal::Journal;

/// Commands that may wait at a worker. Two assignments, their recalls and a grant are the most that a healthy broker sends
/// at once; a full queue means that the worker's disk hangs and the link must not wait for it.
pub const COMMANDS_MAX: usize = 64;

/// What the worker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The broker granted this worker's disk.
    Grant {
        /// Epoch.
        epoch: u64,
        /// What the broker knows as accounted.
        accounted: Vec<Accounted>,
        /// Attempts without an outcome at the broker.
        open: Vec<OpenAttempt>,
    },
    /// Nothing may be issued on the disk.
    Deny {
        /// For people.
        reason: String,
    },
    /// Do this.
    Assign {
        /// Epoch.
        epoch: u64,
        /// What.
        assignment: Assignment,
    },
    /// Give it back if it has not begun.
    Recall {
        /// Which.
        attempt: AttemptRef,
    },
    /// Read the disk and say what became of it.
    Settle {
        /// Epoch.
        epoch: u64,
        /// What.
        open: OpenAttempt,
    },
    /// The link is down: nothing begins until the next grant.
    LinkDown,
    /// A person set the passwords of this port.
    SecretChanged,
    /// Finish what runs, give back what is staged, and end.
    Stop,
}

/// Why no disk could be opened behind a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// Class ([`DeviceClass::NotPresent`] for an unplugged one; [`DeviceClass::BadPassword`] where no password was set).
    pub class: DeviceClass,
    /// For people: what is wrong and what to do.
    pub text: String,
}

/// Opens the port of a worker. Called again after each failure.
pub trait Opener: Send {
    /// Opens the port and returns the disk's driver. Must come back within seconds.
    ///
    /// # Errors
    /// Why there is no disk.
    fn open(&mut self) -> Result<Box<dyn TaxDisk>, Why>;
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerEvent {
    /// For the broker. May be dropped while the link is down: durable ones are told again after the next grant.
    Frame(AgentFrame),
    /// The disk's report changed; all present disks' reports together make the `disks` frame.
    Report(Box<DiskReport>),
    /// No disk answers behind the port.
    Away(Why),
}

/// Called from the worker's thread; must not block.
pub type Events = Arc<dyn Fn(WorkerEvent) + Send + Sync>;

/// What a worker needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// Port as configured: the name under which passwords and password stops are kept, and what people see.
    pub port: String,
    /// No other program uses this disk: equal content may then prove whose an invoice is (I10).
    pub exclusive: bool,
}

/// The queue to the worker is full, or the worker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the disk's worker takes no commands now")]
pub struct NotTaken;

/// A running worker.
#[derive(Debug)]
pub struct Worker {}

impl Worker {
    /// Starts the thread. It opens the port by itself, again and again.
    pub fn spawn(_config: WorkerConfig, _opener: Box<dyn Opener>, _journal: Journal, _events: Events) -> Worker {
        Worker {}
    }

    /// Hands a command over without waiting.
    ///
    /// # Errors
    /// [`NotTaken`]: close the link; the grant after the next join repeats everything.
    pub fn send(&self, _command: Command) -> Result<(), NotTaken> {
        Err(NotTaken)
    }

    /// The broker knew of this agent at this time since boot (`CLOCK_BOOTTIME`); it is what the begin lease rests on. Not the
    /// time at which bytes came in: they may have lain in a buffer while the PC slept, and the broker may have given the disk away.
    pub fn heard(&self, _at: std::time::Duration) {}

    /// Sends [`Command::Stop`] and waits until the running attempt is through (at most `wait`). True if the thread has ended.
    pub fn stop(self, _wait: std::time::Duration) -> bool {
        true
    }
}
