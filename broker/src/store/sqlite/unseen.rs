//! What is committed and not in the tables yet: what others look up of it, and the rows that are still to be written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::Job;
use taxdisk_protocol::link::Owner;

use super::super::StoreError;
use super::super::chain::Draft;
use super::super::fold::Head;
use super::commit::Rows;
use crate::core::change::{Change, NumberKey, NumberRow};

/// The tables take what waits after this time at the latest.
pub(super) const WAITS: Duration = Duration::from_millis(250);
/// …and at once when so much waits, bytes of the log: memory is bounded, and nobody runs away from them.
const MUCH: usize = 16 << 20;

/// For those who look up single jobs and numbers.
#[derive(Debug, Default)]
struct Found {
    jobs: HashMap<JobKey, Arc<Job>>,
    numbers: HashMap<NumberKey, Owner>,
}

/// Shared by the one that commits, the one that brings the tables on, and all who read.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    waiting: Found,
    /// Rows of what waits.
    rows: Rows,
    /// When the first of it came.
    since: Option<Instant>,
    bytes: usize,
    /// The last entry of the log that waits, or that the tables hold.
    last: i64,
    /// What the tables are taking at this moment.
    going: Found,
    /// The last entry of the log that others see in the tables.
    seen: i64,
    /// Something failed, or was broken off, half-way: nobody knows what is durable, and nothing more is written or told.
    failed: bool,
}

impl Unseen {
    /// Of tables that hold all entries of the log up to this one.
    pub(super) fn after(applied: i64) -> Unseen {
        Unseen { last: applied, seen: applied, ..Unseen::default() }
    }

    /// # Errors
    /// Something failed half-way before.
    pub(super) fn whole(&self) -> Result<(), StoreError> {
        if self.failed { Err(StoreError::Stale("an earlier commit was not completed".to_owned())) } else { Ok(()) }
    }

    /// There is something.
    pub(super) fn any(&self) -> bool {
        self.last != self.seen
    }

    /// It has waited as long as it may.
    pub(super) fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= WAITS)
    }

    /// So much of it that whoever commits must wait for the tables.
    pub(super) fn is_much(&self) -> bool {
        self.bytes >= MUCH
    }

    /// A job as it was committed last, if the tables may not show it.
    pub(super) fn job(&self, key: &JobKey) -> Option<&Arc<Job>> {
        self.waiting.jobs.get(key).or_else(|| self.going.jobs.get(key))
    }

    /// The owner of a number, likewise.
    pub(super) fn owner(&self, number: &NumberKey) -> Option<&Owner> {
        self.waiting.numbers.get(number).or_else(|| self.going.numbers.get(number))
    }

    /// Takes a commit that the log holds as its entry `id` of so many bytes.
    ///
    /// # Errors
    /// It does not follow from what waits: its guards were not asked. A part of it was taken.
    pub(super) fn take(
        &mut self,
        (id, bytes): (i64, usize),
        changes: &[Change],
        drafts: Vec<Option<Draft<'_>>>,
        heads: &mut HashMap<String, Head>,
    ) -> Result<(), StoreError> {
        self.since.get_or_insert_with(Instant::now);
        (self.last, self.bytes) = (id, self.bytes + bytes);
        self.rows.chain(drafts, heads);
        for change in changes {
            self.rows.take(change)?;
            match change {
                Change::Job { job, .. } => drop(self.waiting.jobs.insert(job.key.clone(), job.clone())),
                Change::Number(NumberRow { key, owner, .. }) => drop(self.waiting.numbers.insert(key.clone(), owner.clone())),
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives what waits to the tables, with its last entry of the log. It can still be looked up.
    pub(super) fn give(&mut self) -> Option<(Rows, i64)> {
        self.since.take()?;
        self.bytes = 0;
        self.going = std::mem::take(&mut self.waiting);
        Some((std::mem::take(&mut self.rows), self.last))
    }

    /// The tables show all entries up to this one.
    pub(super) fn shown(&mut self, applied: i64) {
        self.going = Found::default();
        self.seen = applied;
        self.last = self.last.max(applied);
    }
}

/// What must not be left half-way: dropped before it is [`HalfWay::passed`], it ends everything.
#[derive(Debug)]
pub(super) struct HalfWay(Option<Arc<Mutex<Unseen>>>);

impl HalfWay {
    pub(super) fn on(unseen: &Arc<Mutex<Unseen>>) -> HalfWay {
        HalfWay(Some(Arc::clone(unseen)))
    }

    /// It was done, or taken back, as a whole.
    pub(super) fn passed(mut self) {
        self.0 = None;
    }
}

impl Drop for HalfWay {
    fn drop(&mut self) {
        if let Some(unseen) = &self.0 {
            lock(unseen).failed = true;
        }
    }
}

/// Nothing that panics happens behind this lock.
pub(super) fn lock(unseen: &Mutex<Unseen>) -> MutexGuard<'_, Unseen> {
    unseen.lock().unwrap_or_else(PoisonError::into_inner)
}
