//! Dispatch: which job goes to which disk next. Looks at lanes and disks of one seller, never at all jobs.

use taxdisk_protocol::api::{Fault, InvoiceBody, JobProblem, JobState, Operation};
use taxdisk_protocol::ids::{DiskNumber, IssuePoint, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::What;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{Assignment, AttemptRef, BrokerFrame};
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::rules;
use taxdisk_protocol::trace::HAND_OVER;

use super::change::Change;
use super::disk::{Disk, OpenRef};
use super::pause::pauses_of;
use super::queue::LaneKey;
use super::{Core, Job, OpenJob, Seller};

/// Different single-invoice limits among the disks of one seller; a bit each.
const LIMITS: usize = 64;

impl Core {
    /// Puts a queued job at its place in the queue. A job that a late outcome names stays out until the disk was read (I4).
    pub(super) fn enqueue(&mut self, key: &JobKey) {
        let Some(open) = self.jobs.get(key) else { return };
        let job = &open.job;
        if job.state != JobState::Queued || !job.is_proven_not_issued() || open.lane.is_some() {
            return;
        }
        let job = open.job.clone();
        if self.is_held(&job) {
            return;
        }
        let Some(open) = self.jobs.get(key) else { return };
        let lane = self.lane_of(open);
        let shop = self.shops.entry(key.seller.clone()).or_default();
        shop.queue.insert(&lane, job.priority, job.place, key.clone());
        if let Some(open) = self.jobs.get_mut(key) {
            open.lane = Some(lane);
        }
    }

    fn lane_of(&self, open: &OpenJob) -> LaneKey {
        let job = &open.job;
        let Amounts { gross, net } = amounts(job);
        let limits = self.shops.get(&job.key.seller).map(|shop| shop.limits.as_slice()).unwrap_or_default();
        let bits = |amount: Amount| {
            limits.iter().enumerate().filter(|(_, limit)| amount > **limit).fold(0, |bits, (index, _)| bits | 1_u64 << index)
        };
        let (over, over_net) = (bits(gross), bits(net));
        let disk = job.about.as_ref().and_then(|about| about.disk.clone());
        let (point, kind, operation) = (job.issue_point.clone(), job.kind, job.operation);
        LaneKey { point, kind, operation, disk, unfit: open.unfit, over, over_net }
    }

    /// The limits of a seller's disks changed: every lane is named anew. Jobs keep their places.
    pub(super) fn place_limits(&mut self, seller: &TaxpayerNumber) {
        let Some(shop) = self.shops.get(seller) else { return };
        let disks = shop.disks.iter().filter_map(|number| self.disks.get(number));
        let mut limits: Vec<Amount> = disks.flat_map(|disk| disk.limits.values().copied()).collect();
        limits.sort_unstable();
        limits.dedup();
        // More different limits than bits: those beyond are left to the disks themselves, which refuse with a proof.
        limits.truncate(LIMITS);
        if limits == shop.limits {
            return;
        }
        let keys: Vec<JobKey> = shop.queue.lanes().flat_map(|(_, jobs)| jobs.cloned()).collect();
        for key in &keys {
            self.dequeue(key);
        }
        if let Some(shop) = self.shops.get_mut(seller) {
            shop.limits = limits;
        }
        for key in &keys {
            self.enqueue(key);
        }
    }

    /// People let it work, and ask nothing else of it first.
    pub(super) fn may_work(&self, disk: &Disk) -> bool {
        disk.is_enabled() && pauses_of(&self.pauses, disk).next().is_none() && self.operations.first(&disk.number).is_none()
    }

    /// Would the disk take this job now, if it had a place?
    pub(super) fn could_take(&self, disk: &Disk, key: &JobKey) -> bool {
        self.jobs.get(key).is_some_and(|open| self.lane_allowed(disk, &self.lane_of(open)) && self.has_offline_room(disk, key))
    }

    /// Can the disk take jobs of this lane now, as far as the lane says?
    pub(super) fn lane_allowed(&self, disk: &Disk, lane: &LaneKey) -> bool {
        let (Some(number), Some(profile)) = (&disk.seller, disk.profile) else { return false };
        let Some(seller) = self.sellers.get(number) else { return false };
        lane.unfit & (1 << profile) == 0
            && disk.kinds.contains(&lane.kind)
            && point_allows(seller, lane.point.as_ref(), disk)
            && self.limit_allows(number, lane, disk)
            && disk.may_do(lane.operation, lane.disk.as_ref())
            && disk.trouble_for(lane.operation, lane.kind, self.turn.now).is_none()
            // What is at the disk already uses up its last blank invoices. A void takes none.
            && (lane.operation == Operation::Void || disk.busy_of(lane.kind) < disk.left(lane.kind) as usize)
    }

    /// Is the lane within the single-invoice limit of a disk? Whether a disk compares the gross or the net amount is not known of
    /// every make (invoice-rules.md, section 4): what is over by its gross alone goes to a disk where it surely fits, and to this
    /// one only if there is none. The disk's refusal is a proof.
    pub(super) fn limit_allows(&self, seller: &TaxpayerNumber, lane: &LaneKey, disk: &Disk) -> bool {
        let (Some(shop), Some(known)) = (self.shops.get(seller), self.sellers.get(seller)) else { return false };
        let bit = |disk: &Disk| {
            let index = disk.limits.get(&lane.kind).and_then(|limit| shop.limits.binary_search(limit).ok());
            index.map_or(0, |index| 1_u64 << index)
        };
        if lane.over & bit(disk) == 0 {
            return true;
        }
        if lane.over_net & bit(disk) != 0 {
            return false;
        }
        !shop.disks.iter().filter_map(|number| self.disks.get(number)).any(|other| {
            other.is_enabled()
                && other.kinds.contains(&lane.kind)
                && point_allows(known, lane.point.as_ref(), other)
                && other.profile.is_some_and(|profile| lane.unfit & (1 << profile) == 0)
                && lane.over & bit(other) == 0
        })
    }

    /// With this job the disk stays within what it may issue before an upload.
    fn has_offline_room(&self, disk: &Disk, key: &JobKey) -> bool {
        let Some(open) = self.jobs.get(key) else { return false };
        disk.offline_room(open.job.kind).is_none_or(|room| amounts(&open.job).gross <= room)
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
        // The least busy first, so that two disks share a queue evenly; one that will stop soon only when the others are full.
        let mut disks: Vec<(bool, usize, DiskNumber)> = shop
            .disks
            .iter()
            .filter_map(|number| self.disks.get(number).filter(|disk| disk.has_place()))
            .map(|disk| (disk.is_strained(), disk.busy(), disk.number.clone()))
            .collect();
        disks.sort();
        for (_, _, disk) in disks {
            self.pump(&disk);
        }
    }

    /// Hands out work to one disk while it has a place.
    pub(super) fn pump(&mut self, number: &DiskNumber) {
        self.hand_operation(number);
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
        self.attract(number);
    }

    /// The next job of a disk, and whether its profile was never checked for it.
    fn next_for(&self, number: &DiskNumber) -> Option<(TaxpayerNumber, JobKey, bool)> {
        let disk = self.disks.get(number)?;
        if !self.may_work(disk) || !disk.has_place() {
            return None;
        }
        let (owner_seller, profile) = (disk.seller.clone()?, disk.profile?);
        // The ledger went back, and what it forgot is not known yet.
        if self.is_reconciling(&owner_seller) {
            return None;
        }
        let shop = self.shops.get(&owner_seller)?;
        let bit = 1_u64 << profile;
        let allowed = |lane: &LaneKey| self.lane_allowed(disk, lane);
        let (key, _) = shop.queue.next(disk.waiting_run, allowed, |key| self.has_offline_room(disk, key))?;
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
        let attempt = self.next_attempt(&self.jobs.get(key).ok_or_else(unknown)?.job);
        let what = What::Assigned { attempt, disk: number.clone(), agent: owner.agent.clone(), epoch, sequence };
        let job = self.record(key, what)?;
        self.dequeue(key);
        if let Some(disk) = self.disks.get_mut(number) {
            disk.sequence = sequence;
            disk.waiting_run = match job.priority {
                taxdisk_protocol::api::Priority::Waiting => disk.waiting_run.saturating_add(1),
                taxdisk_protocol::api::Priority::Bulk => 0,
            };
            let open = OpenRef { key: key.clone(), attempt, kind: job.kind, unsettled: false, asked: false, recalled: false };
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

/// What limits look at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amounts {
    pub(super) gross: Amount,
    pub(super) net: Amount,
}

/// The sums of a job; zero where it has none. They were checked when it was accepted.
pub(super) fn amounts(job: &Job) -> Amounts {
    let Some(totals) = job.invoice.as_ref().map(|invoice| &invoice.totals) else { return Amounts::default() };
    Amounts { gross: totals.gross.parse().unwrap_or_default(), net: totals.net.parse().unwrap_or_default() }
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
        invoice: match job.operation {
            // An agent of any version reads an invoice here; of a void only the clerk counts.
            Operation::Void => {
                let clerk = job.about.as_ref().map(|about| about.operator.clone()).unwrap_or_default();
                InvoiceBody { clerk, ..InvoiceBody::default() }
            }
            Operation::Issue | Operation::Red => job.invoice.clone()?,
        },
        original: job.original.as_ref().and_then(|original| original.pair()),
        content_hash: job.versions.get((found.version as usize).checked_sub(1)?)?.hash.clone(),
        mark: job.mark.clone(),
        // Made from the job's, not drawn: an assignment that is told again is the same one.
        trace: job.trace.map(|trace| trace.step(HAND_OVER, attempt)),
    })
}
