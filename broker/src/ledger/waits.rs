//! Long polls: who waits for which job. Bounded; a wait that ends leaves nothing behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::Job;
use tokio::sync::watch;

/// The job as it was last committed; `None`: not since the first wait for it began.
type Newest = watch::Sender<Option<Arc<Job>>>;

#[derive(Debug, Default)]
struct Table {
    jobs: HashMap<JobKey, (Newest, usize)>,
    total: usize,
}

/// All long polls under way.
#[derive(Debug, Default)]
pub(super) struct Waits {
    table: Mutex<Table>,
}

/// One long poll; leaves the table when it is dropped.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    waits: &'a Waits,
    key: JobKey,
    pub(super) newest: watch::Receiver<Option<Arc<Job>>>,
}

impl Waits {
    /// Enters a wait; `None` if there are `most` already.
    pub(super) fn enter(&self, key: &JobKey, most: usize) -> Option<Wait<'_>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.total >= most {
            return None;
        }
        table.total += 1;
        let entry = table.jobs.entry(key.clone()).or_insert_with(|| (watch::Sender::new(None), 0));
        entry.1 += 1;
        Some(Wait { waits: self, key: key.clone(), newest: entry.0.subscribe() })
    }

    /// Hands a job that was committed to everybody who waits for it.
    pub(super) fn wake(&self, job: &Arc<Job>) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((newest, _)) = table.jobs.get(&job.key) {
            newest.send_replace(Some(job.clone()));
        }
    }

    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut table = self.waits.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.total = table.total.saturating_sub(1);
        if let Some(entry) = table.jobs.get_mut(&self.key) {
            entry.1 = entry.1.saturating_sub(1);
            if entry.1 == 0 {
                table.jobs.remove(&self.key);
            }
        }
    }
}
