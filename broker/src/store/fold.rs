//! What a list of changes comes to, before it is rows: one row for each job, and the places of entries in their chains. The same
//! in every store.

use std::collections::HashMap;

use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::{Event, Job};

use super::{StoreError, chain};

/// Last entry of a chain: its sequence and hash.
pub(super) type Head = (i64, [u8; 32]);

/// What a batch comes to for one job: the revision it starts from and the job after its last event.
pub(super) struct JobRow<'a> {
    pub(super) base: u64,
    pub(super) job: &'a Job,
}

/// Takes one more event of a job.
///
/// # Errors
/// `Stale` if the event does not follow the one before it.
pub(super) fn take_job<'a>(rows: &mut HashMap<&'a JobKey, JobRow<'a>>, job: &'a Job, event: &Event) -> Result<(), StoreError> {
    if job.revision != event.revision + 1 {
        return Err(StoreError::Stale(format!("job {} is at {} after an event of {}", job.key, job.revision, event.revision)));
    }
    match rows.get_mut(&job.key) {
        None => {
            rows.insert(&job.key, JobRow { base: event.revision, job });
        }
        Some(row) if row.job.revision == event.revision => row.job = job,
        Some(row) => {
            let known = row.job.revision;
            return Err(StoreError::Stale(format!("job {}: event of {} after {known}", job.key, event.revision)));
        }
    }
    Ok(())
}

/// An entry before it has its place in the chain.
pub(super) struct Entry<'a> {
    pub(super) seller: &'a str,
    pub(super) at: i64,
    pub(super) serial: &'a str,
    pub(super) revision: i64,
    pub(super) what: &'a str,
    pub(super) body: &'a str,
}

/// Puts an entry at the end of its seller's chain; gives its sequence and hash.
pub(super) fn chained(heads: &mut HashMap<String, Head>, entry: &Entry<'_>) -> Head {
    let Entry { seller, at, serial, revision, what, body } = *entry;
    let head = heads.entry(seller.to_owned()).or_insert((0, chain::ROOT));
    let sequence = head.0 + 1;
    let hash = chain::hash(&head.1, &chain::Entry { seller, sequence, at, serial, revision, what, body });
    *head = (sequence, hash);
    *head
}
