//! What a list of changes comes to, before it is rows: one row for each job, and the places of entries in their chains. The same
//! in every store.

use std::collections::HashMap;
use std::sync::Arc;

use taxdisk_protocol::job::{Event, Job};

use super::{StoreError, chain};

/// Last entry of a chain: its sequence and hash.
pub(super) type Head = (i64, [u8; 32]);

/// What a batch comes to for one job: the revision it starts from and the job after its last event.
#[derive(Debug)]
pub(super) struct JobRow {
    pub(super) base: u64,
    pub(super) job: Arc<Job>,
}

/// Takes one more event of a job. Rows are told apart by their places, each of which is given once.
///
/// # Errors
/// `Stale` if the event does not follow the one before it.
pub(super) fn take_job(rows: &mut HashMap<u64, JobRow>, job: &Arc<Job>, event: &Event) -> Result<(), StoreError> {
    if job.revision != event.revision + 1 {
        return Err(StoreError::Stale(format!("job {} is at {} after an event of {}", job.key, job.revision, event.revision)));
    }
    let Some(row) = rows.get_mut(&job.place) else {
        rows.insert(job.place, JobRow { base: event.revision, job: Arc::clone(job) });
        return Ok(());
    };
    if row.job.key != job.key || row.job.revision != event.revision {
        let (known, at) = (&row.job.key, row.job.revision);
        return Err(StoreError::Stale(format!("job {}: event of {} after {at} of {known}", job.key, event.revision)));
    }
    row.job = Arc::clone(job);
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
