//! The broker's store: a few maps with the guards of the real ones. A copy of it is a backup.

use std::collections::BTreeMap;
use std::sync::Arc;

use taxdisk_broker::core::change::Notice;
use taxdisk_broker::core::change::{
    AgentRow, Change, DiskFenceRow, DiskReportRow, KeyRow, NumberKey, OriginalKey, ReconcileRow, SellerRow,
};
use taxdisk_broker::core::{Core, Input, Known, Restored, original::More};
use taxdisk_protocol::api::Operation;
use taxdisk_protocol::ids::{AgentId, DiskNumber, JobKey};
use taxdisk_protocol::job::Job;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::Owner;
use taxdisk_protocol::number::NumberPair;

/// What is durable at the broker.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// Id of the ledger.
    pub ledger: String,
    /// Ids that it had before.
    pub ancestors: Vec<String>,
    /// Jobs.
    pub jobs: BTreeMap<JobKey, Arc<Job>>,
    /// Owners of numbers.
    pub numbers: BTreeMap<(DiskNumber, InvoiceKind, NumberPair), Owner>,
    /// Agents.
    pub agents: BTreeMap<AgentId, AgentRow>,
    /// Epochs and sequences.
    /// API keys.
    pub keys: BTreeMap<String, KeyRow>,
    fences: BTreeMap<DiskNumber, DiskFenceRow>,
    sellers: Vec<SellerRow>,
    reports: BTreeMap<DiskNumber, DiskReportRow>,
    accounted: BTreeMap<(DiskNumber, InvoiceKind), NumberPair>,
    notices: BTreeMap<String, Notice>,
    /// What a ledger that went back has to find out.
    pub reconcile: BTreeMap<(&'static str, String), String>,
    served: u64,
}

fn original_of(job: &Job) -> Option<OriginalKey> {
    let pair = job.original.as_ref().filter(|_| job.operation != Operation::Issue)?.pair()?;
    Some(OriginalKey { seller: job.key.seller.clone(), kind: job.kind, pair })
}

/// Where a number stands.
pub fn place(key: &NumberKey) -> (DiskNumber, InvoiceKind, NumberPair) {
    (key.disk.clone(), key.kind, key.pair)
}

impl Store {
    /// An empty ledger of this id.
    pub fn new(ledger: &str) -> Store {
        Store { ledger: ledger.to_owned(), ..Store::default() }
    }

    /// What the store knows that this input needs, as the writer asks for it.
    pub(super) fn known(&self, core: &Core, input: &Input) -> Known {
        let (mut keys, mut numbers) = (Vec::new(), Vec::new());
        core.needs(input, &mut keys, &mut numbers);
        let mut known = Known::default();
        self.read(&keys, &numbers, &mut known);
        for _ in 0..2 {
            let mut more = More::default();
            core.needs_more(input, &known, &mut more);
            self.read(&more.keys, &more.numbers, &mut known);
            for original in more.originals {
                let about = self.jobs_about(&original);
                known.about.insert(original, about);
            }
        }
        known
    }

    /// Void and red jobs about an invoice.
    pub fn jobs_about(&self, original: &OriginalKey) -> Vec<Arc<Job>> {
        self.jobs.values().filter(|job| original_of(job).as_ref() == Some(original)).cloned().collect()
    }

    fn read(&self, keys: &[JobKey], numbers: &[NumberKey], known: &mut Known) {
        known.jobs.extend(keys.iter().filter_map(|key| self.jobs.get(key).map(|job| (key.clone(), job.clone()))));
        let owners = numbers.iter().filter_map(|key| self.numbers.get(&place(key)).map(|owner| (key.clone(), owner.clone())));
        known.numbers.extend(owners);
    }

    /// Keeps all of it. The error names the guard that does not hold.
    ///
    /// # Errors
    /// A guard of the real stores does not hold.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), String> {
        changes.iter().try_for_each(|change| self.keep(change))
    }

    fn keep(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Job { job, event } => {
                let base = self.jobs.get(&job.key).map_or(0, |job| job.revision);
                if base != event.revision {
                    return Err(format!("I9: job {} is at {base}, and an event starts from {}", job.key, event.revision));
                }
                self.jobs.insert(job.key.clone(), job.clone());
            }
            Change::Number(row) => {
                let known = self.numbers.entry(place(&row.key)).or_insert_with(|| row.owner.clone());
                if *known != row.owner {
                    return Err(format!("I10: {} has the owner {known:?} and gets {:?}", row.key.pair, row.owner));
                }
            }
            Change::DiskFence(row) => {
                let known = self.fences.entry(row.disk.clone()).or_insert_with(|| row.clone());
                if row.epoch < known.epoch || row.sequence < known.sequence {
                    return Err(format!("I7: epoch or sequence of disk {} falls", row.disk));
                }
                *known = row.clone();
            }
            Change::DiskReport(row) => drop(self.reports.insert(row.disk.clone(), row.clone())),
            Change::Accounted(disk, kind, pair) => drop(self.accounted.insert((disk.clone(), *kind), *pair)),
            Change::Seller(row) => {
                self.sellers.retain(|known| known.seller != row.seller);
                self.sellers.push(row.clone());
            }
            Change::Key(row) => drop(self.keys.insert(row.id.clone(), row.clone())),
            Change::Agent(row) => drop(self.agents.insert(row.agent.clone(), row.clone())),
            Change::Notice { notice, on: true } => drop(self.notices.insert(notice.name(), notice.clone())),
            Change::Notice { notice, on: false } => drop(self.notices.remove(&notice.name())),
            Change::Reconcile(row) => {
                let key = (row.what, row.key.clone());
                match &row.body {
                    Some(body) => drop(self.reconcile.insert(key, body.clone())),
                    None => drop(self.reconcile.remove(&key)),
                }
            }
            Change::Served(hours) => self.served = *hours,
            // Chains, announcements and people have no part here.
            _ => {}
        }
        Ok(())
    }

    /// A number of this disk is accounted for.
    pub(super) fn knows_numbers_of(&self, disk: &DiskNumber) -> bool {
        self.accounted.keys().any(|(known, _)| known == disk)
    }

    /// Memory of a new process.
    pub fn restored(&self) -> Restored {
        let mut jobs: Vec<Arc<Job>> = self.jobs.values().filter(|job| job.is_live()).cloned().collect();
        jobs.sort_by_key(|job| job.place);
        let reconcile = self.reconcile.iter();
        Restored {
            jobs,
            next_place: self.jobs.values().map(|job| job.place + 1).max().unwrap_or(1),
            sellers: self.sellers.clone(),
            reports: self.reports.values().cloned().collect(),
            fences: self.fences.values().cloned().collect(),
            accounted: self.accounted.iter().map(|((disk, kind), pair)| (disk.clone(), *kind, *pair)).collect(),
            agents: self.agents.values().cloned().collect(),
            keys: self.keys.values().cloned().collect(),
            notices: self.notices.values().cloned().collect(),
            reconcile: reconcile
                .map(|((what, key), body)| ReconcileRow { what, key: key.clone(), body: Some(body.clone()) })
                .collect(),
            served: self.served,
            next_operation: 1,
            ..Restored::default()
        }
    }

    /// The mark of a restore, as `taxdisk-broker restore` leaves it: a new id, the old ones as ancestors.
    pub(super) fn mark_restored(&mut self, ledger: String) {
        let old = std::mem::replace(&mut self.ledger, ledger);
        self.ancestors.push(old);
        self.reconcile.insert(("restored", String::new()), "a copy was put back".to_owned());
    }
}
