//! Memory after a start, rebuilt from what is durable, before the first answer.
//!
//! Nobody owns a disk after a start. The last owner that has not released it cleanly counts as lost at the moment of the start:
//! it may still run what it had, so that a new agent waits for its silence.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use taxdisk_protocol::api::{DiskAssignment, JobState};
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::job::Job;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::time::Timestamp;

use super::change::{
    AgentRow, BulkRow, DiskFenceRow, DiskReportRow, EnrollmentRow, IssuePointRow, KeyRow, Notice, ReconcileRow, SellerRow,
    SignInRow, UserRow,
};
use super::disk::{Disk, Former, OpenRef};
use super::operations::{OperationRow, Operations};
use super::people::People;
use super::reconcile::Reconcile;
use super::retention::Served;
use super::types::Settings;
use super::{Agent, Core, Formers, OpenJob, Seller, Turn};

/// Everything that the core holds in memory, as the store has it.
#[derive(Debug, Default)]
pub struct Restored {
    /// Jobs that have not ended, or that a late outcome names.
    pub jobs: Vec<Arc<Job>>,
    /// The place after the last one given.
    pub next_place: u64,
    /// Sellers.
    pub sellers: Vec<SellerRow>,
    /// Issue points.
    pub points: Vec<IssuePointRow>,
    /// Last reports.
    pub reports: Vec<DiskReportRow>,
    /// Assignments.
    pub assignments: Vec<(DiskNumber, DiskAssignment)>,
    /// Epochs and sequences.
    pub fences: Vec<DiskFenceRow>,
    /// Last accounted pairs.
    pub accounted: Vec<(DiskNumber, InvoiceKind, NumberPair)>,
    /// Agents.
    pub agents: Vec<AgentRow>,
    /// Codes that were not used.
    pub enrollments: Vec<EnrollmentRow>,
    /// API keys.
    pub keys: Vec<KeyRow>,
    /// What holds until it is taken back.
    pub notices: Vec<Notice>,
    /// What a ledger that went back has to find out.
    pub reconcile: Vec<ReconcileRow>,
    /// Hours that the broker has served.
    pub served: u64,
    /// Bulk re-issues.
    pub bulks: Vec<BulkRow>,
    /// People of the console.
    pub users: Vec<UserRow>,
    /// Their sessions, attempts and links.
    pub sign_ins: Vec<SignInRow>,
    /// Operations that have not ended.
    pub operations: Vec<OperationRow>,
    /// The place after the last one given to an operation.
    pub next_operation: u64,
}

impl Core {
    /// A core over what the store has.
    pub fn new(settings: Settings, restored: Restored, now: Timestamp) -> Core {
        let mut core = Core {
            settings,
            sellers: Default::default(),
            shops: HashMap::new(),
            jobs: HashMap::new(),
            undoing: HashMap::new(),
            disks: Default::default(),
            agents: Default::default(),
            formers: Formers::new(),
            sessions: HashMap::new(),
            enrollments: HashMap::new(),
            keys: Default::default(),
            pauses: Default::default(),
            updates: None,
            next_place: restored.next_place,
            ended: Vec::new(),
            fresh_numbers: HashMap::new(),
            entered: Vec::new(),
            dirty: HashSet::new(),
            reconcile: Reconcile::default(),
            served: Served::new(restored.served),
            people: People::restored(restored.users, restored.sign_ins),
            proposals: Default::default(),
            bulks: restored.bulks.into_iter().map(|row| (row.view.key.clone(), row)).collect(),
            operations: Operations::new(restored.operations, restored.next_operation),
            turn: Turn { now, ..Turn::default() },
            warned_at: now,
            heard_at: now,
        };
        for row in restored.sellers {
            core.sellers.insert(row.seller, Seller { body: row.body, points: Default::default() });
        }
        for row in restored.points {
            if let Some(seller) = core.sellers.get_mut(&row.seller) {
                seller.points.insert(row.point, row.body);
            }
        }
        for (number, body) in restored.assignments {
            core.disk_entry(&number, now).assignment = Some(body);
        }
        for row in restored.fences {
            let disk = core.disk_entry(&row.disk, now);
            (disk.epoch, disk.sequence) = (row.epoch, row.sequence);
            if let Some(agent) = row.owner {
                disk.former = Some(Former { agent: agent.clone(), lost_at: Some(now) });
                core.formers.entry(agent).or_default().insert(row.disk);
            }
        }
        for (number, kind, pair) in restored.accounted {
            core.disk_entry(&number, now).accounted.insert(kind, pair);
        }
        for row in restored.reports {
            let disk = core.disk_entry(&row.disk, now);
            disk.seller = TaxpayerNumber::from_device(&row.report.taxpayer).ok();
            disk.take_report(row.report, row.seen_at);
            core.place_in_shop(&row.disk);
        }
        for notice in restored.notices {
            match notice {
                Notice::Pause(row) => drop(core.pauses.insert(row.scope.clone(), row)),
                Notice::Warning(row) => {
                    drop(core.disk_entry(&row.disk.clone(), now).warnings.insert((row.code, row.kind), row));
                }
                Notice::Proposal(row) => drop(core.proposals.insert(row.id.clone(), *row)),
                Notice::Updates(policy) => core.updates = Some(policy),
                Notice::Trouble(row) => drop(core.disk_entry(&row.disk, now).trouble_since.insert(row.kind, row.since)),
            }
        }
        core.agents = restored.agents.into_iter().map(|row| (row.agent.clone(), Agent { row, session: None })).collect();
        core.enrollments = restored.enrollments.into_iter().map(|row| (row.hash.clone(), row)).collect();
        core.keys = restored.keys.into_iter().map(|row| (row.id.clone(), row)).collect();
        // Before the jobs: what is known to be issued, or may be, is not queued.
        core.restore_reconcile(restored.reconcile, now);
        for job in restored.jobs {
            core.restore_job(job, now);
        }
        core
    }

    pub(super) fn disk_entry(&mut self, number: &DiskNumber, now: Timestamp) -> &mut Disk {
        self.disks.entry(number.clone()).or_insert_with(|| Disk::new(number.clone(), now))
    }

    fn restore_job(&mut self, job: Arc<Job>, now: Timestamp) {
        let key = job.key.clone();
        for attempt in job.attempts.iter().filter(|attempt| attempt.state.is_open() || attempt.named.is_some()) {
            let unsettled = !(job.state == JobState::Assigned && attempt.state == taxdisk_protocol::job::AttemptState::Open);
            let open =
                OpenRef { key: key.clone(), attempt: attempt.attempt, kind: job.kind, unsettled, asked: false, recalled: false };
            self.disk_entry(&attempt.disk, now).open.insert(attempt.sequence, open);
        }
        self.note_undoing(&job);
        let queued_at = job.changed_at;
        self.jobs.insert(key.clone(), OpenJob { job, fit: 0, unfit: 0, lane: None, queued_at });
        self.enqueue(&key);
    }
}
