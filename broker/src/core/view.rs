//! What people and programs see: jobs with what they wait for now, disks, agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taxdisk_protocol::api::{AgentView, DiskView, IssuePointBody, JobState, JobView, Operation, Waiting};
use taxdisk_protocol::ids::{DiskNumber, IssuePoint, TaxpayerNumber};
use taxdisk_protocol::job::Job;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::fingerprint;
use taxdisk_protocol::money::Amount;

use super::Core;
use super::disk::Disk;
use super::dispatch::{Amounts, amounts, point_allows};
use super::doubts::Doubts;
use super::pause::{PauseRow, Scope, pauses_of};
use super::queue::LaneKey;

/// What readers need to know of a seller's disks to say what a job waits for. A value: readers keep it, the writer makes a new
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlay {
    disks: Vec<DiskLine>,
    points: BTreeMap<IssuePoint, IssuePointBody>,
    /// What makes a job wait because the ledger went back.
    doubts: Doubts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DiskLine {
    number: DiskNumber,
    online: bool,
    enabled: bool,
    takes: Vec<Operation>,
    kinds: BTreeMap<InvoiceKind, KindLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KindLine {
    trouble: Option<Waiting>,
    /// For people; empty without a trouble.
    text: String,
    limit: Option<Amount>,
}

/// Why a job waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) waiting: Waiting,
    pub(super) disk: Option<DiskNumber>,
    pub(super) text: String,
}

impl Overlay {
    /// The job as the API shows it now.
    pub fn view(&self, job: &Job) -> JobView {
        let mut view = job.view();
        match job.state {
            JobState::Queued => {
                let why = self.why(job);
                view.waiting = Some(why.waiting);
                view.waiting_disk = why.disk.map(|disk| disk.to_string());
                view.waiting_text = Some(why.text);
            }
            JobState::Assigned => view.agent_away = self.is_away(job),
            _ => {}
        }
        view
    }

    /// Why a queued job waits, in one word.
    pub fn reason(&self, job: &Job) -> Waiting {
        let forgotten = || self.doubts.hold(job).then_some(Waiting::Reconcile);
        Core::waiting_doubted(job)
            .or_else(forgotten)
            .unwrap_or_else(|| self.best(job).map_or(Waiting::NoDisk, |(waiting, _)| waiting))
    }

    /// Why a queued job waits, with the disk and the numbers.
    pub(super) fn why(&self, job: &Job) -> Why {
        if let Some(waiting) = Core::waiting_doubted(job) {
            let disk = job.attempts.iter().rev().find(|attempt| attempt.named.is_some()).map(|attempt| attempt.disk.clone());
            let text = "a late outcome names a number for it; the disk is read before it is handed over again".to_owned();
            return Why { waiting, disk, text };
        }
        if self.doubts.hold(job) {
            let text = "the ledger went back: it may be done already, and a person decides; see /v1/reconcile".to_owned();
            return Why { waiting: Waiting::Reconcile, disk: None, text };
        }
        let Some((waiting, line)) = self.best(job) else {
            let text = format!("no disk of the seller that issues kind {} here has been seen", job.kind);
            return Why { waiting: Waiting::NoDisk, disk: None, text };
        };
        let disk = Some(line.number.clone());
        let kind = line.kinds.get(&job.kind);
        let text = match (waiting, kind.and_then(|kind| kind.limit)) {
            (Waiting::Backlog, _) => "the disks that can take it are at earlier jobs".to_owned(),
            (Waiting::OverLimit, Some(limit)) if kind.is_some_and(|kind| kind.trouble.is_none()) => {
                let gross = amounts(job).gross;
                format!(
                    "its gross amount {gross} is over the single-invoice limit {limit} of disk {} for kind {}",
                    line.number, job.kind
                )
            }
            _ => kind.map(|kind| kind.text.clone()).unwrap_or_default(),
        };
        Why { waiting, disk, text }
    }

    fn is_away(&self, job: &Job) -> bool {
        job.open_attempt().is_some_and(|open| !self.disks.iter().any(|line| line.number == open.disk && line.online))
    }

    /// The reason that would go away first if somebody acted on the best disk.
    fn best(&self, job: &Job) -> Option<(Waiting, &DiskLine)> {
        let only = job.about.as_ref().and_then(|about| about.disk.as_ref());
        let needs_stock = job.operation != Operation::Void;
        let allowed = job.issue_point.as_ref().and_then(|point| self.points.get(point)).map(|body| &body.disks);
        let suits = |line: &&DiskLine| {
            line.enabled
                && line.takes.contains(&job.operation)
                && only.is_none_or(|only| *only == line.number)
                && line.kinds.contains_key(&job.kind)
                && allowed.is_none_or(|disks| disks.is_empty() || disks.iter().any(|disk| disk == line.number.as_str()))
        };
        let Amounts { gross, net } = amounts(job);
        let limit = |line: &DiskLine| line.kinds.get(&job.kind).and_then(|kind| kind.limit);
        // As dispatch: over by the gross amount alone counts only where another disk surely takes it.
        let surely = |line: &DiskLine| limit(line).is_none_or(|limit| gross <= limit);
        let sure = self.disks.iter().filter(suits).any(surely);
        let over = |line: &DiskLine| !surely(line) && (sure || limit(line).is_some_and(|limit| net > limit));
        self.disks
            .iter()
            .filter(suits)
            .filter_map(|line| {
                let trouble = line.kinds.get(&job.kind)?.trouble.filter(|why| needs_stock || *why != Waiting::NoStock);
                let over = over(line).then_some(Waiting::OverLimit);
                Some((trouble.or(over).unwrap_or(Waiting::Backlog), line))
            })
            .min_by_key(|(waiting, _)| rank(*waiting))
    }
}

fn rank(waiting: Waiting) -> u8 {
    match waiting {
        Waiting::Backlog => 0,
        Waiting::Settling | Waiting::Operation => 1,
        Waiting::Breaker => 2,
        Waiting::Paused => 3,
        Waiting::NoStock => 4,
        Waiting::OverLimit => 5,
        Waiting::Locked => 6,
        Waiting::Password => 7,
        Waiting::DiskFault => 8,
        Waiting::Contested => 9,
        Waiting::DiskOffline => 10,
        Waiting::Reconcile => 11,
        Waiting::NoDisk => 12,
    }
}

/// A disk's trouble for people.
fn trouble_text(disk: &Disk, kind: InvoiceKind, trouble: Waiting) -> String {
    let number = &disk.number;
    let said = disk.report.as_ref().map(|report| report.health.text.as_str()).filter(|text| !text.is_empty());
    match trouble {
        Waiting::NoStock => format!("disk {number} has no blank invoice of kind {kind} left"),
        Waiting::DiskOffline => format!("disk {number} is not connected since {}", disk.ownerless_since),
        Waiting::Contested => format!("disk {number} is claimed by {} agents; nobody issues on it", disk.claims.len()),
        Waiting::Settling => format!("disk {number} is being read for an attempt that is not settled"),
        Waiting::Breaker => {
            let until = disk.hold.as_ref().map(|hold| hold.rest_until.to_string()).unwrap_or_default();
            format!("disk {number} failed {} times in a row and rests until {until}", disk.troubles)
        }
        Waiting::OverLimit if disk.offline_amount(kind).is_some() => {
            let held = disk.report.as_ref().and_then(|report| report.offline.as_ref());
            let sum = held.map(|held| format!("{} in {} invoices", held.sum, held.count)).unwrap_or_default();
            let limit = disk.offline_amount(kind).map(|limit| limit.to_string()).unwrap_or_default();
            format!("disk {number} holds {sum} that are not uploaded; {limit} are allowed")
        }
        Waiting::OverLimit => format!("disk {number} has reached a limit of its own: {}", said.unwrap_or("upload what it holds")),
        Waiting::Locked => format!("disk {number} is locked: {}", said.unwrap_or("report and clear the period")),
        Waiting::Password => format!("disk {number} needs its password set on its PC: {}", said.unwrap_or("one was refused")),
        _ => format!("disk {number} is in trouble: {}", said.unwrap_or("it gave no reason")),
    }
}

impl Core {
    /// The job as the API shows it now, without its evidence.
    pub(super) fn view(&mut self, job: &Arc<Job>) -> JobView {
        self.overlay(&job.key.seller).view(job)
    }

    /// What readers need to know of this seller.
    pub fn overlay(&mut self, seller: &TaxpayerNumber) -> Arc<Overlay> {
        if let Some(made) = self.shops.get(seller).and_then(|shop| shop.overlay.clone()) {
            return made;
        }
        let now = self.turn.now;
        let points = self.sellers.get(seller).map(|seller| seller.points.clone()).unwrap_or_default();
        let doubts = self.doubts(seller);
        let reconciling = self.is_reconciling(seller).then_some(Waiting::Reconcile);
        let (pauses, operations) = (&self.pauses, &self.operations);
        let Some(shop) = self.shops.get_mut(seller) else {
            return Arc::new(Overlay { points, ..Overlay::default() });
        };
        let disks = shop
            .disks
            .iter()
            .filter_map(|number| self.disks.get(number))
            .map(|disk| {
                let pause = pauses_of(pauses, disk).next();
                let ahead = operations.first(&disk.number);
                let line = |kind: &InvoiceKind| {
                    let trouble = match (reconciling, pause) {
                        (Some(waiting), _) => Some(waiting),
                        (None, Some(_)) => Some(Waiting::Paused),
                        (None, None) => disk.trouble(*kind, now).or(ahead.map(|_| Waiting::Operation)),
                    };
                    let text = match (pause, trouble) {
                        (Some(row), _) => row.text(),
                        (None, Some(Waiting::Operation)) => ahead.map(super::operations::ahead_text).unwrap_or_default(),
                        (None, Some(trouble)) => trouble_text(disk, *kind, trouble),
                        (None, None) => String::new(),
                    };
                    (*kind, KindLine { trouble, text, limit: disk.limits.get(kind).copied() })
                };
                DiskLine {
                    number: disk.number.clone(),
                    online: disk.owner.is_some(),
                    enabled: disk.is_enabled(),
                    takes: [Operation::Issue, Operation::Void, Operation::Red]
                        .into_iter()
                        .filter(|what| disk.takes(*what))
                        .collect(),
                    kinds: disk.kinds.iter().map(line).collect(),
                }
            })
            .collect();
        let made = Arc::new(Overlay { disks, points, doubts });
        shop.overlay = Some(made.clone());
        made
    }

    pub(super) fn disk_views(&self) -> Vec<DiskView> {
        self.disks
            .values()
            .filter_map(|disk| {
                let report = disk.report.clone()?;
                let seller = disk.seller.as_ref();
                let seller_number = seller;
                let bit = disk.profile.map_or(0, |profile| 1_u64 << profile);
                let backlog =
                    seller.and_then(|number| self.shops.get(number).zip(self.sellers.get(number))).map_or(0, |(shop, seller)| {
                        shop.queue.count(|lane: &LaneKey| {
                            lane.unfit & bit == 0
                                && disk.kinds.contains(&lane.kind)
                                && seller_number.is_some_and(|number| self.limit_allows(number, lane, disk))
                                && disk.may_do(lane.operation, lane.disk.as_ref())
                                && point_allows(seller, lane.point.as_ref(), disk)
                        })
                    });
                let agents: BTreeSet<String> = disk
                    .claims
                    .iter()
                    .filter_map(|session| self.sessions.get(session))
                    .map(|live| live.agent.to_string())
                    .collect();
                Some(DiskView {
                    online: disk.owner.is_some() && report.health.ready,
                    report,
                    agent: disk.owner.as_ref().map(|owner| owner.agent.to_string()),
                    epoch: disk.epoch,
                    claimants: if agents.len() > 1 { agents.into_iter().collect() } else { Vec::new() },
                    backlog,
                    open_attempts: disk.open.len() as u64,
                    enabled: disk.is_enabled(),
                    pauses: pauses_of(&self.pauses, disk).map(PauseRow::view).collect(),
                    warnings: disk.warning_views(),
                    seen_at: disk.seen_at.to_string(),
                })
            })
            .collect()
    }

    pub(super) fn agent_views(&self) -> Vec<AgentView> {
        self.agents
            .values()
            .map(|agent| AgentView {
                agent: agent.row.agent.to_string(),
                name: agent.row.name.clone(),
                online: agent.session.is_some(),
                version: agent.row.version.clone(),
                disks: self
                    .disks
                    .values()
                    .filter(|disk| disk.owner.as_ref().is_some_and(|owner| owner.agent == agent.row.agent))
                    .map(|disk| disk.number.to_string())
                    .collect(),
                enrolled_at: agent.row.enrolled_at.to_string(),
                seen_at: agent.row.seen_at.map(|at| at.to_string()),
                revoked: agent.row.revoked,
                alarms: agent.row.alarms.clone(),
                pause: self.pauses.get(&Scope::Agent(agent.row.agent.clone())).map(PauseRow::view),
                update: None,
                address: None,
                waiting: agent.row.waiting,
                seller: agent.row.bounds.seller.as_ref().map(ToString::to_string),
                disk: agent.row.bounds.disk.as_ref().map(ToString::to_string),
                fingerprint: fingerprint(&agent.row.public_key),
            })
            .collect()
    }
}
