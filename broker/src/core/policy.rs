//! A seller's rule on disk trouble: wait, or fail after a time.
//!
//! Time never re-runs (I4) and never proves (I3): it only ends the waiting of a job that stands in the queue, which it does only
//! when nothing was handed over or all of it is proven not to have issued. The guard of [`What::Failed`] has the last word.

use taxdisk_protocol::api::{DiskTrouble, Fault, JobProblem, Waiting};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::{DiskNumber, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::What;
use taxdisk_protocol::time::Timestamp;

use super::Core;
use super::change::{Change, Notice, TroubleRow};
use super::dispatch::point_allows;
use super::pause::pauses_of;
use super::queue::LaneKey;

/// Jobs that one tick fails at most; the rest follow with the next ones.
const FAILS_PER_TICK: usize = 256;

/// The trouble that the seller's rule counts. A person's pause and the jobs before it are none.
fn counts(waiting: Waiting) -> bool {
    !matches!(waiting, Waiting::Paused | Waiting::Backlog | Waiting::Operation)
}

impl Core {
    /// Remembers since when each kind of a disk is in trouble. Trouble ends when the disk issues, or is well without having
    /// failed an attempt: a try between two failures does not set the clock back.
    pub(super) fn look_trouble(&mut self, number: &DiskNumber) {
        let now = self.turn.now;
        let Some(disk) = self.disks.get_mut(number) else { return };
        let mut changed = Vec::new();
        for kind in disk.kinds.clone() {
            let trouble = disk.trouble(kind, now).is_some_and(counts);
            let since = disk.trouble_since.get(&kind).copied();
            match (trouble, since) {
                (true, None) => {
                    disk.trouble_since.insert(kind, now);
                    changed.push((kind, now, true));
                }
                (false, Some(since)) if disk.troubles == 0 => {
                    disk.trouble_since.remove(&kind);
                    changed.push((kind, since, false));
                }
                _ => {}
            }
        }
        // Only a rule that counts time needs it after a restart. Without the row, the time begins anew: later, never earlier.
        let counted = disk.seller.as_ref().and_then(|seller| self.sellers.get(seller));
        if !matches!(counted.map(|seller| seller.body.disk_trouble), Some(DiskTrouble::FailAfter(_))) {
            return;
        }
        for (kind, since, on) in changed {
            let notice = Notice::Trouble(TroubleRow { disk: number.clone(), kind, since });
            self.turn.changes.push(Change::Notice { notice, on });
        }
    }

    /// Fails what has waited for too long in trouble, where the seller wants that.
    pub(super) fn fail_overdue(&mut self) {
        let mut due = Vec::new();
        for (number, seller) in &self.sellers {
            let DiskTrouble::FailAfter(after_s) = seller.body.disk_trouble else { continue };
            // What the ledger forgot may have issued any of them.
            if self.is_reconciling(number) {
                continue;
            }
            let Some(shop) = self.shops.get(number) else { continue };
            for (lane, jobs) in shop.queue.lanes() {
                let Some(since) = self.lane_troubled_since(number, lane) else { continue };
                let over = |from: Timestamp| from.max(since).plus_s(i64::from(after_s)) <= self.turn.now;
                if !over(since) {
                    continue;
                }
                let jobs = jobs.filter(|key| self.jobs.get(key).is_some_and(|open| over(open.queued_at)));
                due.extend(jobs.take(FAILS_PER_TICK - due.len()).map(|key| (key.clone(), since, after_s)));
                if due.len() >= FAILS_PER_TICK {
                    break;
                }
            }
        }
        for (key, since, after_s) in due {
            self.fail_by_policy(&key, since, after_s);
        }
    }

    /// Since when no disk can take the jobs of a lane; `None`: one can, or a person holds one back. The beginning of time: for as
    /// long as the job has waited.
    fn lane_troubled_since(&self, number: &TaxpayerNumber, lane: &LaneKey) -> Option<Timestamp> {
        let (seller, shop) = (self.sellers.get(number)?, self.shops.get(number)?);
        let mut since = Timestamp(0);
        for disk in shop.disks.iter().filter_map(|disk| self.disks.get(disk)) {
            let suits = disk.is_enabled()
                && disk.kinds.contains(&lane.kind)
                && point_allows(seller, lane.point.as_ref(), disk)
                && disk.profile.is_some_and(|profile| lane.unfit & (1 << profile) == 0);
            if !suits {
                continue;
            }
            if pauses_of(&self.pauses, disk).next().is_some() {
                return None;
            }
            if !self.limit_allows(number, lane, disk) {
                continue;
            }
            if !disk.trouble(lane.kind, self.turn.now).is_some_and(counts) {
                return None;
            }
            // A trouble that began within this second is looked at with the next tick.
            since = since.max(disk.trouble_since.get(&lane.kind).copied().unwrap_or(self.turn.now));
        }
        Some(since)
    }

    fn fail_by_policy(&mut self, key: &JobKey, since: Timestamp, after_s: u32) {
        let Some((job, queued_at)) = self.jobs.get(key).map(|open| (open.job.clone(), open.queued_at)) else { return };
        let why = self.overlay(&key.seller).why(&job);
        let since = since.max(queued_at);
        let text = format!(
            "{}; so since {since}, and the seller's rule is to fail after {after_s} s. Nothing was issued for this serial number",
            why.text
        );
        let problem = JobProblem { code: "disk_trouble".to_owned(), fault: Fault::Disk, class: class_of(why.waiting), text };
        self.dequeue(key);
        match self.record(key, What::Failed { problem }) {
            Ok(_) => metrics::counter!("taxdisk_policy_failures_total").increment(1),
            Err(refusal) => tracing::error!(job = %key, "not failed: {refusal}"),
        }
    }
}

fn class_of(waiting: Waiting) -> Option<DeviceClass> {
    match waiting {
        Waiting::NoStock => Some(DeviceClass::NoStock),
        Waiting::Locked => Some(DeviceClass::Locked),
        Waiting::OverLimit => Some(DeviceClass::OverInvoiceLimit),
        Waiting::Password => Some(DeviceClass::BadPassword),
        Waiting::DiskOffline | Waiting::NoDisk => Some(DeviceClass::NotPresent),
        Waiting::DiskFault | Waiting::Breaker => Some(DeviceClass::DeviceFault),
        Waiting::Contested | Waiting::Settling | Waiting::Backlog | Waiting::Paused | Waiting::Reconcile | Waiting::Operation => {
            None
        }
    }
}
