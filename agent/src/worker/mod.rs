//! One thread per disk: performs what the core asks for, against the disk's driver and the journal, one effect at a time.
//!
//! What this module refuses to do: decide. It opens, reads, writes, waits and passes on; [`crate::core::disk::DiskCore`] says
//! what comes next.

mod shell;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use taxdisk_drivers::actor::Deadlines;
use taxdisk_drivers::disk::TaxDisk;
use taxdisk_protocol::api::DiskReport;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::link::AgentFrame;

use crate::core::ladder::{Rules, Rung};
use crate::core::operation::OrderReport;
use crate::journal::Journal;
use crate::secrets::Secrets;
use shell::Shell;

/// Commands that may wait at a worker. Two assignments, their recalls and a grant are the most that a healthy broker sends
/// at once; a full queue means that the worker's disk hangs and the link must not wait for it.
pub const COMMANDS_MAX: usize = 64;

pub use crate::core::disk::commands::Command;

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

    /// Resets the device behind the closed port, where there is a way to. It may come back under another name.
    ///
    /// # Errors
    /// Why it was not reset.
    fn reset(&mut self) -> Result<(), Why> {
        Err(Why { class: DeviceClass::Unsupported, text: "this device has no reset".to_owned() })
    }

    /// Something went wrong on the line, or is good again: what was recorded of it is kept, where that is wished. Gives the last
    /// of it, people taken out.
    fn keep_recording(&mut self, why: &str) -> Option<String> {
        let _ = why;
        None
    }

    /// Where the passwords of this port are kept, and under which name. `None`: nowhere; then they cannot be changed.
    fn passwords(&self) -> Option<(&Secrets, String)> {
        None
    }
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "passed on one at a time and never kept in numbers")]
pub enum WorkerEvent {
    /// For the broker. May be dropped while the link is down: durable ones are told again after the next grant.
    Frame(AgentFrame),
    /// The disk's report changed; all present disks' reports together make the `disks` frame.
    Report(Box<DiskReport>),
    /// What came of an order.
    Order(Box<OrderReport>),
    /// No disk answers behind the port.
    Away(Why),
    /// A reading failed, and this is done about it.
    Climbed(Rung),
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
    /// What may be tried when the disk stops answering.
    pub recovery: Rules,
}

/// The queue to the worker is full, or the worker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the disk's worker takes no commands now")]
pub struct NotTaken;

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    commands: SyncSender<Command>,
    /// Milliseconds since boot; 0: not heard since the link went.
    heard_ms: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl Worker {
    /// Starts the thread. It opens the port by itself, again and again.
    pub fn spawn(config: WorkerConfig, opener: Box<dyn Opener>, journal: Journal, events: Events) -> Worker {
        Worker::spawn_with(config, opener, journal, events, Deadlines::default())
    }

    /// As [`Worker::spawn`], with other deadlines for the disk's driver.
    pub fn spawn_with(
        config: WorkerConfig,
        opener: Box<dyn Opener>,
        journal: Journal,
        events: Events,
        deadlines: Deadlines,
    ) -> Worker {
        let (commands, received) = sync_channel(COMMANDS_MAX);
        let (ending, ended) = sync_channel(1);
        let heard_ms = Arc::new(AtomicU64::new(0));
        let shell = Shell::new(config.clone(), opener, journal, events, deadlines, received, Arc::clone(&heard_ms));
        let run = move || {
            shell.run();
            drop(ending);
        };
        let thread = std::thread::Builder::new().name(format!("worker {}", config.port)).spawn(run);
        let thread =
            thread.inspect_err(|error| tracing::error!(port = config.port, %error, "no thread for the disk's worker")).ok();
        Worker { commands, heard_ms, thread, ended }
    }

    /// Hands a command over without waiting.
    ///
    /// # Errors
    /// [`NotTaken`]: close the link; the grant after the next join repeats everything.
    pub fn send(&self, command: Command) -> Result<(), NotTaken> {
        if command == Command::LinkDown {
            self.heard_ms.store(0, Ordering::SeqCst);
        }
        self.commands.try_send(command).map_err(|_| NotTaken)
    }

    /// The broker knew of this agent at this time since boot (`CLOCK_BOOTTIME`); it is what the begin lease rests on. Not the
    /// time at which bytes came in: they may have lain in a buffer while the PC slept, and the broker may have given the disk
    /// away.
    pub fn heard(&self, at: Duration) {
        self.heard_ms.fetch_max(millis(at), Ordering::SeqCst);
    }

    /// Sends [`Command::Stop`] and waits until the running attempt is through (at most `wait`). True if the thread has ended.
    pub fn stop(mut self, wait: Duration) -> bool {
        // A full queue still ends: the sender is dropped below, which means the same.
        let _ = self.commands.try_send(Command::Stop);
        let (unused, _) = sync_channel(1);
        drop(std::mem::replace(&mut self.commands, unused));
        let ended = matches!(self.ended.recv_timeout(wait), Err(RecvTimeoutError::Disconnected));
        if ended && let Some(thread) = self.thread.take() {
            return thread.join().is_ok();
        }
        ended
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
