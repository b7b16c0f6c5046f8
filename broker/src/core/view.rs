//! What people and programs see: jobs with what they wait for now, disks, agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taxdisk_protocol::api::{AgentView, DiskView, IssuePointBody, JobState, JobView, Waiting};
use taxdisk_protocol::ids::{DiskNumber, IssuePoint, TaxpayerNumber};
use taxdisk_protocol::job::Job;
use taxdisk_protocol::kind::InvoiceKind;

use super::Core;
use super::dispatch::point_allows;
use super::queue::LaneKey;

/// What readers need to know of a seller's disks to say what a job waits for. A value: readers keep it, the writer makes a new
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlay {
    disks: Vec<DiskLine>,
    points: BTreeMap<IssuePoint, IssuePointBody>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DiskLine {
    number: DiskNumber,
    online: bool,
    enabled: bool,
    kinds: BTreeMap<InvoiceKind, Option<Waiting>>,
}

impl Overlay {
    /// The job as the API shows it now.
    pub fn view(&self, job: &Job) -> JobView {
        let mut view = job.view();
        match job.state {
            JobState::Queued => view.waiting = Some(self.reason(job)),
            JobState::Assigned => view.agent_away = self.is_away(job),
            _ => {}
        }
        view
    }

    /// Why a queued job waits.
    pub(super) fn reason(&self, job: &Job) -> Waiting {
        Core::waiting_doubted(job).unwrap_or_else(|| self.waiting(job))
    }

    fn is_away(&self, job: &Job) -> bool {
        job.open_attempt().is_some_and(|open| !self.disks.iter().any(|line| line.number == open.disk && line.online))
    }

    /// The reason that would go away first if somebody acted on the best disk.
    fn waiting(&self, job: &Job) -> Waiting {
        let allowed = job.issue_point.as_ref().and_then(|point| self.points.get(point)).map(|body| &body.disks);
        self.disks
            .iter()
            .filter(|line| line.enabled)
            .filter(|line| allowed.is_none_or(|disks| disks.is_empty() || disks.iter().any(|disk| disk == line.number.as_str())))
            .filter_map(|line| line.kinds.get(&job.kind))
            .map(|trouble| trouble.unwrap_or(Waiting::Backlog))
            .min_by_key(|waiting| rank(*waiting))
            .unwrap_or(Waiting::NoDisk)
    }
}

fn rank(waiting: Waiting) -> u8 {
    match waiting {
        Waiting::Backlog => 0,
        Waiting::Settling => 1,
        Waiting::NoStock => 2,
        Waiting::OverLimit => 3,
        Waiting::Locked => 4,
        Waiting::Password => 5,
        Waiting::DiskFault => 6,
        Waiting::Contested => 7,
        Waiting::DiskOffline => 8,
        Waiting::NoDisk => 9,
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
        let Some(shop) = self.shops.get_mut(seller) else { return Arc::new(Overlay { disks: Vec::new(), points }) };
        let disks = shop
            .disks
            .iter()
            .filter_map(|number| self.disks.get(number))
            .map(|disk| DiskLine {
                number: disk.number.clone(),
                online: disk.owner.is_some(),
                enabled: disk.is_enabled(),
                kinds: disk.kinds.iter().map(|kind| (*kind, disk.trouble(*kind, now))).collect(),
            })
            .collect();
        let made = Arc::new(Overlay { disks, points });
        shop.overlay = Some(made.clone());
        made
    }

    pub(super) fn disk_views(&self) -> Vec<DiskView> {
        self.disks
            .values()
            .filter_map(|disk| {
                let report = disk.report.clone()?;
                let seller = disk.seller.as_ref();
                let bit = disk.profile.map_or(0, |profile| 1_u64 << profile);
                let backlog =
                    seller.and_then(|number| self.shops.get(number).zip(self.sellers.get(number))).map_or(0, |(shop, seller)| {
                        shop.queue.count(|lane: &LaneKey| {
                            lane.unfit & bit == 0
                                && disk.kinds.contains(&lane.kind)
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
            })
            .collect()
    }
}
