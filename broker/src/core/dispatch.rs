//! Dispatch: which job goes to which disk next. Looks at lanes and disks of one seller, never at all jobs.

use taxdisk_protocol::api::{Fault, JobProblem, JobState};
use taxdisk_protocol::ids::{DiskNumber, IssuePoint, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::What;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{Assignment, AttemptRef, BrokerFrame};
use taxdisk_protocol::rules;

use super::change::Change;
use super::disk::{Disk, OpenRef};
use super::queue::LaneKey;
use super::{Core, Job, Seller};

impl Core {
    /// Puts a queued job at its place in the queue. A job that a late outcome names stays out until the disk was read (I4).
    pub(super) fn enqueue(&mut self, key: &JobKey) {
        let Some(open) = self.jobs.get_mut(key) else { return };
        let job = &open.job;
        if job.state != JobState::Queued || !job.is_proven_not_issued() || open.lane.is_some() {
            return;
        }
        let lane = LaneKey { point: job.issue_point.clone(), kind: job.kind, unfit: open.unfit };
        let shop = self.shops.entry(key.seller.clone()).or_default();
        shop.queue.insert(&lane, job.priority, job.place, key.clone());
        open.lane = Some(lane);
    }

    /// Takes a job out of the queue, wherever it stands.
    pub(super) fn dequeue(&mut self, key: &JobKey) {
        let Some(open) = self.jobs.get_mut(key) else { return };
        if let (Some(lane), Some(shop)) = (open.lane.take(), self.shops.get_mut(&key.seller)) {
            shop.queue.remove(&lane, open.job.priority, open.job.place);
        }
    }

    /// Hands out work to every disk of a seller that can take some.
    pub(super) fn pump_seller(&mut self, seller: &TaxpayerNumber) {
        let Some(shop) = self.shops.get(seller) else { return };
        // The least busy first, so that two disks share a queue evenly.
        let mut disks: Vec<(usize, DiskNumber)> = shop
            .disks
            .iter()
            .filter_map(|number| self.disks.get(number).filter(|disk| disk.has_place()).map(|disk| (disk.busy(), number.clone())))
            .collect();
        disks.sort();
        for (_, disk) in disks {
            self.pump(&disk);
        }
    }

    /// Hands out work to one disk while it has a place.
    pub(super) fn pump(&mut self, number: &DiskNumber) {
        while let Some((seller, key, unchecked)) = self.next_for(number) {
            if unchecked && !self.check_at_dispatch(&seller, &key, number) {
                continue;
            }
            if let Err(refusal) = self.assign(&key, number) {
                // The guards of the job's life have the last word; a job that they refuse leaves the queue and stays visible.
                tracing::error!(job = %key, disk = %number, "not assigned: {refusal}");
                self.dequeue(&key);
            }
        }
    }

    /// The next job of a disk, and whether its profile was never checked for it.
    fn next_for(&self, number: &DiskNumber) -> Option<(TaxpayerNumber, JobKey, bool)> {
        let disk = self.disks.get(number)?;
        if !disk.is_enabled() || !disk.has_place() {
            return None;
        }
        let (owner_seller, profile) = (disk.seller.clone()?, disk.profile?);
        let seller = self.sellers.get(&owner_seller)?;
        let shop = self.shops.get(&owner_seller)?;
        let now = self.turn.now;
        let bit = 1_u64 << profile;
        let allowed = |lane: &LaneKey| {
            lane.unfit & bit == 0
                && disk.kinds.contains(&lane.kind)
                && disk.trouble(lane.kind, now).is_none()
                && point_allows(seller, lane.point.as_ref(), disk)
        };
        let (key, _) = shop.queue.next(disk.waiting_run, allowed)?;
        let unchecked = self.jobs.get(&key).is_some_and(|open| open.fit & bit == 0);
        Some((owner_seller, key, unchecked))
    }

    /// A disk that was not known at acceptance: can it express the job? If no licensed disk of the seller can, the job fails,
    /// proven
    /// not issued.
    fn check_at_dispatch(&mut self, seller: &TaxpayerNumber, key: &JobKey, number: &DiskNumber) -> bool {
        let Some(open) = self.jobs.get(key) else { return false };
        let job = open.job.clone();
        let breaches = match rules::parse(&job.submission()) {
            Ok(parsed) => {
                let profile = self.disks.get(number).and_then(|disk| disk.profile);
                let shop = self.shops.get(seller);
                match shop.zip(profile).and_then(|(shop, profile)| shop.profiles.get(profile as usize)) {
                    Some(capabilities) => rules::fits(&parsed, capabilities, job.mark.as_deref()),
                    None => return false,
                }
            }
            // It was valid when it was accepted; a newer broker with stricter rules says so instead of handing it over.
            Err(breaches) => {
                self.fail_queued(key, &breaches);
                return false;
            }
        };
        let bit = self.disks.get(number).and_then(|disk| disk.profile).map_or(0, |profile| 1_u64 << profile);
        if breaches.is_empty() {
            if let Some(open) = self.jobs.get_mut(key) {
                open.fit |= bit;
            }
            return true;
        }
        self.dequeue(key);
        let unfit = match self.jobs.get_mut(key) {
            Some(open) => {
                open.unfit |= bit;
                open.unfit
            }
            None => return false,
        };
        if self.licensed_profiles(seller, job.kind, job.issue_point.as_ref()) & !unfit == 0 {
            self.fail_queued(key, &breaches);
        } else {
            self.enqueue(key);
        }
        false
    }

    fn fail_queued(&mut self, key: &JobKey, breaches: &[taxdisk_protocol::error::Breach]) {
        self.dequeue(key);
        let text = breaches.iter().map(|breach| format!("{}: {}", breach.pointer, breach.detail)).collect::<Vec<_>>().join("; ");
        let problem = JobProblem { code: "not_expressible".to_owned(), fault: Fault::Request, class: None, text };
        if let Err(refusal) = self.record(key, What::Failed { problem }) {
            tracing::error!(job = %key, "not failed: {refusal}");
        }
    }

    /// Hands a job over. Epoch and sequence are durable with the hand-over before the frame leaves (I7, I8).
    fn assign(&mut self, key: &JobKey, number: &DiskNumber) -> Result<(), super::Refusal> {
        let unknown = || super::Refusal::new("internal", "disk or job is gone");
        let disk = self.disks.get(number).ok_or_else(unknown)?;
        let owner = disk.owner.clone().ok_or_else(unknown)?;
        let (epoch, sequence) = (disk.epoch, disk.sequence + 1);
        let attempt = u32::try_from(self.jobs.get(key).ok_or_else(unknown)?.job.attempts.len() + 1).unwrap_or(u32::MAX);
        let what = What::Assigned { attempt, disk: number.clone(), agent: owner.agent.clone(), epoch, sequence };
        let job = self.record(key, what)?;
        self.dequeue(key);
        if let Some(disk) = self.disks.get_mut(number) {
            disk.sequence = sequence;
            disk.waiting_run = match job.priority {
                taxdisk_protocol::api::Priority::Waiting => disk.waiting_run.saturating_add(1),
                taxdisk_protocol::api::Priority::Bulk => 0,
            };
            let open = OpenRef { key: key.clone(), attempt, kind: job.kind, unsettled: false, asked: false };
            disk.open.insert(sequence, open);
            let fence = disk.fence();
            self.turn.changes.push(Change::DiskFence(fence));
        }
        let waited_ms = self.turn.now.since_ms(job.accepted_at).max(0);
        metrics::histogram!("taxdisk_dispatch_wait_milliseconds").record(waited_ms as f64);
        if let Some(assignment) = assignment(&job, attempt) {
            self.send(owner.session, BrokerFrame::Assign { disk: number.clone(), epoch, assignment });
        }
        Ok(())
    }

    /// Profiles (bits) of the seller's disks that are licensed for the kind and may issue for the point.
    pub(super) fn licensed_profiles(&self, seller: &TaxpayerNumber, kind: InvoiceKind, point: Option<&IssuePoint>) -> u64 {
        let (Some(shop), Some(seller)) = (self.shops.get(seller), self.sellers.get(seller)) else { return 0 };
        shop.disks
            .iter()
            .filter_map(|number| self.disks.get(number))
            .filter(|disk| disk.is_enabled() && disk.kinds.contains(&kind) && point_allows(seller, point, disk))
            .filter_map(|disk| disk.profile)
            .fold(0, |bits, profile| bits | (1 << profile))
    }
}

/// May this disk issue for this point? A point without disks may use every disk of the seller.
pub(super) fn point_allows(seller: &Seller, point: Option<&IssuePoint>, disk: &Disk) -> bool {
    let Some(point) = point else { return true };
    seller
        .points
        .get(point)
        .is_none_or(|body| body.disks.is_empty() || body.disks.iter().any(|allowed| allowed == disk.number.as_str()))
}

/// What the agent is told of an attempt. `None` if the body is gone, which an open attempt never loses.
pub(super) fn assignment(job: &Job, attempt: u32) -> Option<Assignment> {
    let found = job.attempt(attempt)?;
    Some(Assignment {
        attempt: AttemptRef { key: job.key.clone(), attempt },
        sequence: found.sequence,
        operation: job.operation,
        kind: job.kind,
        invoice: job.invoice.clone()?,
        content_hash: job.versions.get((found.version as usize).checked_sub(1)?)?.hash.clone(),
        mark: job.mark.clone(),
    })
}
