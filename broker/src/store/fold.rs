//! What a list of changes comes to, before it is rows: one row for each job, and the places of entries in their chains. The same
//! in every store.

use std::collections::HashMap;

use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::{Event, Job};

use super::{StoreError, chain};
use crate::core::change::Change;

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

/// Puts a change that belongs in a chain at the end of its seller's; gives its row, sequence and hash. A
/// chain without a head begins here.
pub(super) fn chained<'a>(heads: &mut HashMap<String, Head>, change: &'a Change) -> Option<(chain::Draft<'a>, Head)> {
    let draft = chain::Draft::of(change)?;
    let after = heads.get(draft.seller).copied().unwrap_or((0, chain::ROOT));
    let head = draft.place(after);
    match heads.get_mut(draft.seller) {
        Some(known) => *known = head,
        None => drop(heads.insert(draft.seller.to_owned(), head)),
    }
    Some((draft, head))
}
