//! When a queued job is likely to begin: the median time of an invoice on the disks that can take it, times the jobs before it.

use taxdisk_protocol::api::{Estimate, JobState, Priority};
use taxdisk_protocol::ids::JobKey;

use super::Core;
use super::disk::Disk;
use super::queue::WAITING_RUN;

/// The least measured invoices of a disk for which its median says something.
const MEASURED: usize = 3;

impl Core {
    /// `None` where nobody can say: the job is not in the queue, no disk can take it now, or none was measured since the start.
    pub fn estimate(&self, key: &JobKey) -> Option<Estimate> {
        let open = self.jobs.get(key)?;
        if open.job.state != JobState::Queued {
            return None;
        }
        open.lane.as_ref()?;
        let shop = self.shops.get(&key.seller)?;
        let disks: Vec<&Disk> = shop
            .disks
            .iter()
            .filter_map(|number| self.disks.get(number))
            .filter(|disk| self.may_work(disk) && self.could_take(disk, key))
            .collect();
        let mut medians: Vec<u64> = disks.iter().filter_map(|disk| disk.median_ms()).collect();
        if medians.is_empty() || medians.len() < disks.len() {
            return None;
        }
        medians.sort_unstable();
        let median_ms = medians[medians.len() / 2];
        // A lane counts if one of these disks serves it: its jobs take the same turns.
        let (waiting, bulk) = shop.queue.before(open.job.place, |lane| disks.iter().any(|disk| self.lane_allowed(disk, lane)));
        let run = u64::from(WAITING_RUN);
        let queued = match open.job.priority {
            Priority::Waiting => waiting.before + bulk.all.min(waiting.before / run),
            Priority::Bulk => bulk.before + waiting.all.min((bulk.before + 1) * run),
        };
        let at_disks: u64 = disks.iter().map(|disk| disk.busy() as u64).sum();
        let (jobs_ahead, count) = (queued + at_disks, disks.len() as u64);
        let wait_ms = jobs_ahead.checked_mul(median_ms)? / count;
        let start = self.turn.now.plus_ms(i64::try_from(wait_ms).ok()?);
        let basis = format!("{jobs_ahead} jobs before it, {median_ms} ms an invoice (median), {count} disk(s)");
        Some(Estimate { start: start.to_string(), jobs_ahead, median_ms, disks: count, basis })
    }
}

impl Disk {
    /// Median time of its last invoices, milliseconds.
    pub(super) fn median_ms(&self) -> Option<u64> {
        if self.durations_ms.len() < MEASURED {
            return None;
        }
        let mut sorted: Vec<u64> = self.durations_ms.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}
