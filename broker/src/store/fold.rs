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

/// Puts an entry at the end of its chain; gives its sequence and hash. A chain without a head begins here.
pub(super) fn chained(heads: &mut HashMap<String, Head>, draft: &chain::Draft<'_>) -> Head {
    let head = draft.place(heads.get(draft.seller).copied().unwrap_or((0, chain::ROOT)));
    match heads.get_mut(draft.seller) {
        Some(known) => *known = head,
        None => drop(heads.insert(draft.seller.to_owned(), head)),
    }
    head
}
