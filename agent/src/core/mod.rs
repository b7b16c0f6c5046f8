//! The decisions of the agent, sans I/O. Nothing here knows a socket, file, thread or clock: input and time come in, the one
//! next effect comes out.
//!
//! Read first: [`disk::DiskCore`] (all of one disk), [`attempt`] (one changing command), [`walk`] (reading until it is known
//! what the disk holds) and [`settle`] (whose it is).

pub mod account;
pub mod attempt;
pub mod breaker;
pub mod compare;
pub mod disk;
pub mod effect;
pub mod ladder;
pub mod operation;
pub mod outbox;
pub mod records;
pub mod settle;
pub mod wake;
pub mod walk;

#[cfg(test)]
mod tests;

use records::View;
use taxdisk_protocol::link::BEGIN_LEASE_S;

/// What a decision may look at: the time and what is durable.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Boot clock, milliseconds: monotonic, counts sleep.
    pub now_ms: u64,
    /// When the broker was last heard, same clock; `None` while the link is down.
    pub heard_ms: Option<u64>,
    /// Clock of the PC, RFC 3339. For people only; nothing is decided by it.
    pub at: &'a str,
    /// The journal.
    pub view: &'a dyn View,
}

/// The begin lease: a job begins only while the broker was heard within [`BEGIN_LEASE_S`]. Checked before the intent, and by
/// the shell once more right before the command is written.
pub fn lease_holds(heard_ms: Option<u64>, now_ms: u64) -> bool {
    if crate::fault::planted("no_begin_lease") {
        return true;
    }
    heard_ms.is_some_and(|heard| now_ms.saturating_sub(heard) < BEGIN_LEASE_S * 1000)
}
