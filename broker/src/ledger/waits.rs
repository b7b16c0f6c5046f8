//! Long polls: who waits for which job. Bounded; a wait that ends leaves nothing behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use taxdisk_protocol::ids::JobKey;
use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Table {
    jobs: HashMap<JobKey, (Arc<Notify>, usize)>,
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
    pub(super) notify: Arc<Notify>,
}

impl Waits {
    /// Enters a wait; `None` if there are `most` already.
    pub(super) fn enter(&self, key: &JobKey, most: usize) -> Option<Wait<'_>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.total >= most {
            return None;
        }
        table.total += 1;
        let entry = table.jobs.entry(key.clone()).or_insert_with(|| (Arc::new(Notify::new()), 0));
        entry.1 += 1;
        Some(Wait { waits: self, key: key.clone(), notify: entry.0.clone() })
    }

    /// Wakes everybody who waits for this job.
    pub(super) fn wake(&self, key: &JobKey) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((notify, _)) = table.jobs.get(key) {
            notify.notify_waiters();
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
