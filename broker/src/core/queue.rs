//! The queue of one seller: lanes in the order of acceptance, those who wait at a till first.
//!
//! Jobs that the same disks can take share a lane, so that finding the next job of a disk looks at the lanes and never at the
//! jobs.

use std::collections::BTreeMap;

use taxdisk_protocol::api::{Operation, Priority};
use taxdisk_protocol::ids::{DiskNumber, IssuePoint, JobKey};
use taxdisk_protocol::kind::InvoiceKind;

/// After so many jobs of waiting people one bulk job is taken, so that bulk work never starves.
pub(crate) const WAITING_RUN: u8 = 4;

/// What makes jobs equal for the choice of a disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    /// Who issues.
    pub(crate) point: Option<IssuePoint>,
    /// Kind.
    pub(crate) kind: InvoiceKind,
    /// What is asked.
    pub(crate) operation: Operation,
    /// The only disk that can do it.
    pub(crate) disk: Option<DiskNumber>,
    /// Profiles (bits) that cannot express these jobs.
    pub(crate) unfit: u64,
    /// Single-invoice limits of the seller's disks (bits) that their gross amount is over.
    pub(crate) over: u64,
    /// The same for the net amount: over these under every reading of the rule.
    pub(crate) over_net: u64,
}

/// Jobs at one priority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Accepted before.
    pub(crate) before: u64,
    /// All.
    pub(crate) all: u64,
}

/// Jobs of a lane that are looked at behind one that does not fit into what a disk may still issue off line.
const LOOK_AHEAD: usize = 32;

#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeMap<u64, JobKey>,
    bulk: BTreeMap<u64, JobKey>,
}

impl Lane {
    fn of(&mut self, priority: Priority) -> &mut BTreeMap<u64, JobKey> {
        match priority {
            Priority::Waiting => &mut self.waiting,
            Priority::Bulk => &mut self.bulk,
        }
    }
}

/// All queued jobs of one seller.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: BTreeMap<LaneKey, Lane>,
}

impl Queue {
    pub(crate) fn insert(&mut self, lane: &LaneKey, priority: Priority, place: u64, key: JobKey) {
        if !self.lanes.contains_key(lane) {
            self.lanes.insert(lane.clone(), Lane::default());
        }
        if let Some(found) = self.lanes.get_mut(lane) {
            found.of(priority).insert(place, key);
        }
    }

    pub(crate) fn remove(&mut self, lane: &LaneKey, priority: Priority, place: u64) {
        if let Some(found) = self.lanes.get_mut(lane) {
            found.of(priority).remove(&place);
            if found.waiting.is_empty() && found.bulk.is_empty() {
                self.lanes.remove(lane);
            }
        }
    }

    /// The next job over all lanes that `allowed` lets pass, and of a lane the first that `fits`. `run` counts the waiting ones
    /// since the last bulk one.
    pub(crate) fn next(
        &self,
        run: u8,
        allowed: impl Fn(&LaneKey) -> bool,
        fits: impl Fn(&JobKey) -> bool,
    ) -> Option<(JobKey, Priority)> {
        let mut waiting: Option<(u64, &JobKey)> = None;
        let mut bulk: Option<(u64, &JobKey)> = None;
        for (lane, jobs) in &self.lanes {
            if !allowed(lane) {
                continue;
            }
            for (best, jobs) in [(&mut waiting, &jobs.waiting), (&mut bulk, &jobs.bulk)] {
                if let Some((place, key)) = jobs.iter().take(LOOK_AHEAD).find(|(_, key)| fits(key))
                    && best.is_none_or(|(known, _)| *place < known)
                {
                    *best = Some((*place, key));
                }
            }
        }
        match (waiting, bulk) {
            (Some(_), Some((_, key))) if run >= WAITING_RUN => Some((key.clone(), Priority::Bulk)),
            (Some((_, key)), _) => Some((key.clone(), Priority::Waiting)),
            (None, Some((_, key))) => Some((key.clone(), Priority::Bulk)),
            (None, None) => None,
        }
    }

    /// The jobs of each lane at each priority, by their places.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &BTreeMap<u64, JobKey>> {
        self.lanes.values().flat_map(|jobs| [&jobs.waiting, &jobs.bulk])
    }

    /// Every lane with its jobs, those of waiting people first.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (&LaneKey, impl Iterator<Item = &JobKey>)> {
        self.lanes.iter().map(|(lane, jobs)| (lane, jobs.waiting.values().chain(jobs.bulk.values())))
    }

    /// How many waiting and bulk jobs the allowed lanes hold, and how many of them were accepted before `place`.
    pub(crate) fn before(&self, place: u64, allowed: impl Fn(&LaneKey) -> bool) -> (Count, Count) {
        let (mut waiting, mut bulk) = (Count::default(), Count::default());
        for (_, jobs) in self.lanes.iter().filter(|(lane, _)| allowed(lane)) {
            for (count, jobs) in [(&mut waiting, &jobs.waiting), (&mut bulk, &jobs.bulk)] {
                count.before += jobs.range(..place).count() as u64;
                count.all += jobs.len() as u64;
            }
        }
        (waiting, bulk)
    }

    /// Jobs in the lanes that `allowed` lets pass.
    pub(crate) fn count(&self, allowed: impl Fn(&LaneKey) -> bool) -> u64 {
        self.lanes.iter().filter(|(lane, _)| allowed(lane)).map(|(_, jobs)| (jobs.waiting.len() + jobs.bulk.len()) as u64).sum()
    }
}
