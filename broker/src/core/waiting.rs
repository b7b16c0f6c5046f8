//! A page of the queued jobs that wait for one reason, the newest first.
//!
//! The reason is of now: it stands in no row. But jobs that the same disks can take share a lane of their seller's queue, and so
//! they share the reason too: it is asked for once a lane, and a page is as much work as it has jobs, however many wait.
//!
//! Only two reasons may be a single job's own: a number that a late outcome named, and a ledger that went back. Such jobs
//! stand in no lane; for these reasons the caller looks through the store.

use std::collections::BinaryHeap;
use std::sync::Arc;

use taxdisk_protocol::api::Waiting;
use taxdisk_protocol::job::Job;

use super::Core;
use super::types::JobFilter;
use super::view::Overlay;

/// Jobs that one page looks at, at most, where other filters leave many out: about as many as fit into a tenth of the time
/// that a page may take.
const LOOKED_MAX: usize = 10_000;

/// A page, and where the next one begins.
#[derive(Debug, Default)]
pub struct WaitingPage {
    /// The jobs.
    pub jobs: Vec<Arc<Job>>,
    /// The next page begins below this place; `None`: there is no more.
    pub before: Option<u64>,
    /// Jobs that were looked at for it.
    pub looked: usize,
}

impl Core {
    /// At most `limit` jobs that wait for `filter.waiting`, of places below `before`. `None`: that reason may be a single
    /// job's own.
    pub fn waiting_page(&self, filter: &JobFilter, before: u64, limit: usize) -> Option<WaitingPage> {
        let waiting = filter.waiting.filter(|waiting| !matches!(waiting, Waiting::Settling | Waiting::Reconcile))?;
        let (mut page, nothing) = (WaitingPage::default(), Overlay::default());
        // One run of places a lane and priority, each from its newest on.
        let mut runs = Vec::new();
        let mut newest = BinaryHeap::new();
        for (seller, shop) in &self.shops {
            if !filter.sellers.is_empty() && !filter.sellers.contains(seller) {
                continue;
            }
            let overlay = shop.overlay.as_deref().unwrap_or(&nothing);
            for run in shop.queue.runs() {
                let first = run.values().next().and_then(|key| self.jobs.get(key));
                if first.is_none_or(|open| overlay.reason(&open.job) != waiting) {
                    continue;
                }
                let mut run = run.range(..before).rev();
                if let Some((place, key)) = run.next() {
                    newest.push((*place, runs.len(), key));
                    runs.push(run);
                }
            }
        }
        while let Some((place, index, key)) = newest.pop() {
            if page.looked == LOOKED_MAX {
                page.before = Some(place + 1);
                return Some(page);
            }
            page.looked += 1;
            let Some(run) = runs.get_mut(index) else { break };
            if let Some((next, key)) = run.next() {
                newest.push((*next, index, key));
            }
            let Some(open) = self.jobs.get(key).filter(|open| passes(filter, &open.job)) else { continue };
            if page.jobs.len() == limit {
                // One more than asked tells that there is a next page.
                page.before = Some(place + 1);
                return Some(page);
            }
            page.jobs.push(open.job.clone());
        }
        Some(page)
    }
}

/// Everything that the filter asks beside seller, state and reason.
fn passes(filter: &JobFilter, job: &Job) -> bool {
    let problem = job.problem.as_ref();
    let serial = job.key.serial.as_str();
    (filter.states.is_empty() || filter.states.contains(&job.state))
        && filter.serial_prefix.as_ref().is_none_or(|prefix| serial.starts_with(prefix.as_str()))
        && filter.serial.as_ref().is_none_or(|wanted| *wanted == job.key.serial)
        && filter.kind.is_none_or(|kind| kind == job.kind)
        && filter.disk.as_ref().is_none_or(|disk| job.attempts.iter().any(|attempt| attempt.disk == *disk))
        && filter.since.is_none_or(|since| job.accepted_at >= since)
        && filter.until.is_none_or(|until| job.accepted_at < until)
        && filter.problem.as_ref().is_none_or(|code| problem.is_some_and(|problem| problem.code == *code))
        && filter.class.is_none_or(|class| problem.is_some_and(|problem| problem.class == Some(class)))
}
