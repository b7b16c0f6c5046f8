//! Who leads a database: one row whose term only grows.
//!
//! The holder renews the row while it lives; the database's own clock says when it is over. A commit locks the row and checks the
//! term, so that a takeover waits for the commit that runs and no later one of the old holder succeeds. What the holder answers
//! from memory or by reading is judged by [`Lease::holds`]: by its own clock, and earlier than the database would.
//!
//! Time decides here who may *speak*; it never proves that nothing was issued (I4).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Of the lease's length, the holder counts on so much only: its clock and the database's may run apart a little.
const TRUSTED_PERCENT: u64 = 90;

/// Who wants to lead.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Random name of this process.
    pub holder: String,
    /// Where the other brokers reach it; absent for a command that only writes.
    pub url: Option<String>,
    /// What the other brokers show there.
    pub secret: String,
    /// Without a renewal for so long, another may lead.
    pub length: Duration,
}

/// Who leads, as the row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its term.
    pub term: i64,
    /// Its name; nobody if absent.
    pub holder: Option<String>,
    /// Where it is reached.
    pub url: Option<String>,
    /// What to show there.
    pub secret: Option<String>,
    /// Released, or not renewed in time: anybody may take it.
    pub free: bool,
}

/// A lease that was taken.
#[derive(Debug)]
pub struct Lease {
    term: i64,
    holder: String,
    /// The server that gave it, by its place in the URL.
    server: usize,
    length: Duration,
    /// Counted on until then, milliseconds of [`now_ms`].
    until_ms: AtomicU64,
    lost: AtomicBool,
}

impl Lease {
    /// A lease taken on this server by a statement that was sent at `sent_ms`.
    pub(super) fn taken(term: i64, candidate: &Candidate, server: usize, sent_ms: u64) -> Lease {
        let lease = Lease {
            term,
            holder: candidate.holder.clone(),
            server,
            length: candidate.length,
            until_ms: AtomicU64::new(0),
            lost: AtomicBool::new(false),
        };
        lease.renewed(sent_ms);
        lease
    }

    /// A renewal that was sent at `sent_ms` went well.
    pub(super) fn renewed(&self, sent_ms: u64) {
        let trusted = u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX).saturating_mul(TRUSTED_PERCENT) / 100;
        self.until_ms.fetch_max(sent_ms.saturating_add(trusted), Ordering::AcqRel);
    }

    /// It is over for good.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// May the holder still speak for the ledger?
    pub fn holds(&self) -> bool {
        self.holds_at(now_ms())
    }

    fn holds_at(&self, now_ms: u64) -> bool {
        !self.lost.load(Ordering::Acquire) && now_ms < self.until_ms.load(Ordering::Acquire)
    }

    /// Its term.
    pub fn term(&self) -> i64 {
        self.term
    }

    /// Its holder.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The server that gave it.
    pub(super) fn server(&self) -> usize {
        self.server
    }
}

/// A clock that only grows and counts sleep, milliseconds.
pub(super) fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.unsigned_abs().saturating_mul(1000).saturating_add(now.tv_nsec.unsigned_abs() / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_counts_on_less_than_it_was_given() {
        let length = Duration::from_secs(5);
        let candidate = Candidate { holder: "h".to_owned(), url: None, secret: String::new(), length };
        let lease = Lease::taken(3, &candidate, 0, 1000);
        assert!(lease.holds_at(1000) && lease.holds_at(5499));
        assert!(!lease.holds_at(5500), "nine tenths of the length from the moment of sending");
        lease.renewed(4000);
        assert!(lease.holds_at(8499) && !lease.holds_at(8500));
        lease.renewed(2000);
        assert!(lease.holds_at(8499), "an older renewal takes nothing back");
        lease.lose();
        assert!(!lease.holds_at(4000));
        lease.renewed(9000);
        assert!(!lease.holds_at(9001), "what is lost stays lost");
    }
}
