//! Who owns a disk (I7): the disk is its number; one live session owns it, under an epoch that only grows.
//!
//! Several claimants: all are denied, an alarm is shown, nobody issues until one is left. A new agent waits until the former
//! owner
//! cannot begin anything any more, as long as attempts of his are open. Elapsed time decides only who may *ask* the disk, never
//! that nothing was issued: the new owner is handed every open attempt to settle before it gets any work.

use taxdisk_protocol::api::DiskReport;
use taxdisk_protocol::ids::{AgentId, DiskNumber, TaxpayerNumber};
use taxdisk_protocol::job::GENERATION_EPOCHS;
use taxdisk_protocol::link::{Accounted, BrokerFrame, OpenAttempt};

use super::change::{Change, DiskReportRow};
use super::disk::{Disk, DiskOwner, Former};
use super::dispatch::assignment;
use super::types::{Refusal, SessionId};
use super::{Core, Formers, Reply};
use crate::fault::planted;

/// Disks that one agent may report: a PC has a few ports. A report of more is cut off at the door.
const DISKS_PER_AGENT: usize = 64;
/// Distinct capabilities among the disks of one seller; a bit each.
const PROFILES: usize = 64;

impl Core {
    /// All disks that answer at an agent now. One that is missing is released.
    pub(super) fn disks_reported(&mut self, session: SessionId, reports: Vec<DiskReport>) -> Result<Reply, Refusal> {
        let mut seen = std::collections::BTreeSet::new();
        for report in reports.into_iter().take(DISKS_PER_AGENT) {
            let Ok(number) = report.disk.parse::<DiskNumber>() else { continue };
            if let Some(why) = self.out_of_bounds(session, &number, &report) {
                self.refuse_disk(session, &number, why);
                continue;
            }
            if seen.insert(number.clone()) {
                self.claim(session, &number, report);
            }
        }
        let gone: Vec<DiskNumber> = match self.sessions.get_mut(&session) {
            Some(live) => {
                let gone = live.disks.difference(&seen).cloned().collect();
                live.disks = seen.clone();
                gone
            }
            None => Vec::new(),
        };
        for number in &gone {
            self.unclaim(session, number, true);
        }
        // An agent that is back without a disk has released it.
        let agent = self.sessions.get(&session).map(|live| live.agent.clone());
        let former = agent.map(|agent| self.former_disks(&agent)).unwrap_or_default();
        for number in former.into_iter().filter(|number| !seen.contains(number)) {
            if let Some(disk) = self.disks.get_mut(&number)
                && disk.former.take().is_some()
            {
                let fence = disk.fence();
                self.turn.changes.push(Change::DiskFence(fence));
            }
            self.decide(&number);
        }
        for number in &seen {
            self.decide(number);
            self.look_trouble(number);
            self.look_warnings(number);
            self.route_away(number);
            self.pump(number);
        }
        Ok(Reply::Done)
    }

    /// Why this agent may not have this disk. An agent says whose a disk is, so what is known otherwise counts too: else an
    /// agent of one seller could have the jobs of another one by naming his disk.
    fn out_of_bounds(&self, session: SessionId, number: &DiskNumber, report: &DiskReport) -> Option<String> {
        let agent = self.agents.get(&self.sessions.get(&session)?.agent)?;
        let bounds = &agent.row.bounds;
        if bounds.disk.as_ref().is_some_and(|only| only != number) {
            return Some(format!("this agent is enrolled for another disk than {number}"));
        }
        let only = bounds.seller.as_ref()?;
        let said = TaxpayerNumber::from_device(&report.taxpayer).ok();
        let known = self.disks.get(number).and_then(|disk| match &disk.assignment {
            Some(assignment) => assignment.seller.parse().ok(),
            None => disk.seller.clone(),
        });
        let other = said.as_ref() != Some(only) || known.is_some_and(|known| known != *only);
        other.then(|| format!("this agent is enrolled for seller {only}, and disk {number} is another one's"))
    }

    /// Tells an agent once that it may not have a disk, and people too.
    fn refuse_disk(&mut self, session: SessionId, number: &DiskNumber, why: String) {
        let Some(live) = self.sessions.get_mut(&session) else { return };
        if !live.refused.insert(number.clone()) {
            return;
        }
        let agent = live.agent.clone();
        self.alarm(&agent, why.clone());
        self.send(session, BrokerFrame::Deny { disk: number.clone(), reason: why });
    }

    fn claim(&mut self, session: SessionId, number: &DiskNumber, report: DiskReport) {
        let now = self.turn.now;
        let disk = self.disks.entry(number.clone()).or_insert_with(|| Disk::new(number.clone(), now));
        disk.claims.insert(session);
        let heard = report.sequence;
        if heard > disk.sequence {
            let seller = TaxpayerNumber::from_device(&report.taxpayer).ok();
            self.notice_sequence(session, number, seller.as_ref(), heard);
        }
        let disk = self.disks.entry(number.clone()).or_insert_with(|| Disk::new(number.clone(), now));
        if disk.claims.len() > 1 && disk.report.is_some() {
            // What several say of one disk is not believed, until one of them is left.
            if let Some(live) = self.sessions.get_mut(&session) {
                live.said.insert(number.clone(), report);
            }
            return;
        }
        self.believe(number, report);
    }

    fn believe(&mut self, number: &DiskNumber, report: DiskReport) {
        let now = self.turn.now;
        let disk = self.disks.entry(number.clone()).or_insert_with(|| Disk::new(number.clone(), now));
        let seller = TaxpayerNumber::from_device(&report.taxpayer).ok();
        // The clock runs and is no change worth keeping.
        let changed = disk.report.as_ref().is_none_or(|known| {
            let clock = report.clock.clone();
            DiskReport { clock, sequence: report.sequence, ..known.clone() } != report
        });
        let former_seller = std::mem::replace(&mut disk.seller, seller.clone());
        disk.take_report(report.clone(), now);
        if changed {
            self.turn.changes.push(Change::DiskReport(DiskReportRow { disk: number.clone(), report, seen_at: now }));
        }
        if former_seller != seller
            && let Some(former) = former_seller
        {
            if let Some(shop) = self.shops.get_mut(&former) {
                shop.disks.retain(|known| known != number);
            }
            self.touch(&former);
        }
        self.place_in_shop(number);
    }

    /// Enters a disk with its seller and finds the profile of its capabilities.
    pub(super) fn place_in_shop(&mut self, number: &DiskNumber) {
        let Some(disk) = self.disks.get_mut(number) else { return };
        let (Some(seller), Some(report)) = (disk.seller.clone(), &disk.report) else { return };
        let shop = self.shops.entry(seller.clone()).or_default();
        if !shop.disks.contains(number) {
            shop.disks.push(number.clone());
        }
        let index = match shop.profiles.iter().position(|known| *known == report.capabilities) {
            Some(index) => Some(index),
            None if shop.profiles.len() < PROFILES => {
                shop.profiles.push(report.capabilities.clone());
                Some(shop.profiles.len() - 1)
            }
            // Sixty-four different capabilities at one seller are no real shop; the disk stays visible and takes nothing.
            None => None,
        };
        disk.profile = index.and_then(|index| u32::try_from(index).ok());
        self.place_limits(&seller);
        self.touch(&seller);
    }

    /// The disks whose last owner, not released, is this agent.
    pub(super) fn former_disks(&mut self, agent: &AgentId) -> Vec<DiskNumber> {
        let Some(noted) = self.formers.get_mut(agent) else { return Vec::new() };
        let disks = &self.disks;
        noted.retain(|number| {
            let former = disks.get(number).and_then(|disk| disk.former.as_ref());
            former.is_some_and(|former| former.agent == *agent)
        });
        let numbers = noted.iter().cloned().collect();
        if noted.is_empty() {
            self.formers.remove(agent);
        }
        numbers
    }

    /// A session claims the disk no longer. `clean`: nothing that it had can begin any more.
    pub(super) fn unclaim(&mut self, session: SessionId, number: &DiskNumber, clean: bool) {
        let now = self.turn.now;
        let live = self.sessions.get_mut(&session);
        let agent = live.map(|live| {
            live.said.remove(number);
            live.agent.clone()
        });
        let Some(disk) = self.disks.get_mut(number) else { return };
        disk.claims.remove(&session);
        disk.denied.remove(&session);
        let before = disk.fence();
        if disk.owner.as_ref().is_some_and(|owner| owner.session == session) {
            let owner = disk.owner.take();
            disk.ownerless_since = now;
            disk.former = owner.map(|owner| Former { agent: owner.agent, lost_at: None });
            note_former(&mut self.formers, disk);
        }
        if let (Some(former), Some(agent)) = (&mut disk.former, &agent)
            && former.agent == *agent
        {
            if clean {
                disk.former = None;
            } else {
                former.lost_at = Some(now);
            }
        }
        let fence = disk.fence();
        if fence != before {
            self.turn.changes.push(Change::DiskFence(fence));
        }
        if let Some(seller) = self.disks.get(number).and_then(|disk| disk.seller.clone()) {
            self.touch(&seller);
        }
        self.decide(number);
    }

    /// Gives the disk to its sole claimant, or to nobody.
    pub(super) fn decide(&mut self, number: &DiskNumber) {
        let Some(disk) = self.disks.get(number) else { return };
        match disk.claims.len() {
            0 => {}
            1 => self.decide_sole(number),
            _ if planted("two_claimants_granted") => {
                let newest = disk.claims.last().copied();
                let owner = disk.owner.as_ref().map(|owner| owner.session);
                if let Some(session) = newest.filter(|_| newest != owner) {
                    self.grant(number, session);
                }
            }
            _ => self.deny_all(number),
        }
        self.announce_disk(number);
    }

    fn decide_sole(&mut self, number: &DiskNumber) {
        let now = self.turn.now;
        let Some(disk) = self.disks.get(number) else { return };
        let Some(session) = disk.claims.first().copied() else { return };
        let Some(live) = self.sessions.get(&session) else { return };
        if disk.owner.as_ref().is_some_and(|owner| owner.session == session) {
            return;
        }
        if let Some(former) = &disk.former
            && (former.agent != live.agent || live.suspicious)
            && (disk.busy() > 0 || self.operations.is_running(number))
        {
            let free = former.lost_at.is_some_and(|lost| now.since_ms(lost) >= self.settings.silence_ms);
            if !free && !planted("no_silence_before_grant") {
                return;
            }
        }
        self.grant(number, session);
    }

    fn grant(&mut self, number: &DiskNumber, session: SessionId) {
        let Some(live) = self.sessions.get_mut(&session) else { return };
        let (agent, said) = (live.agent.clone(), live.said.remove(number));
        if let Some(report) = said {
            self.believe(number, report);
        }
        let Some(disk) = self.disks.get_mut(number) else { return };
        // A ledger that went back has forgotten epochs. None of them is given a second time: what was said under it stays void.
        disk.epoch = disk.epoch.max(u64::from(self.reconcile.generation()) * GENERATION_EPOCHS) + 1;
        disk.owner = Some(DiskOwner { agent, session });
        disk.former = None;
        disk.denied.clear();
        for open in disk.open.values_mut() {
            open.asked = true;
        }
        let (epoch, fence, seller) = (disk.epoch, disk.fence(), disk.seller.clone());
        let accounted = disk.accounted.iter().map(|(kind, last)| Accounted { kind: *kind, last: *last }).collect();
        let refs: Vec<_> = disk.open.values().map(|open| (open.key.clone(), open.attempt)).collect();
        let open = refs.iter().filter_map(|(key, attempt)| self.open_attempt(key, *attempt)).collect();
        self.turn.changes.push(Change::DiskFence(fence));
        self.audit(
            seller.as_ref(),
            "grant",
            serde_json::json!({ "disk": number, "epoch": epoch, "agent": self.owner_name(number) }),
        );
        let forgotten = self.forgotten(number);
        self.send(session, BrokerFrame::Grant { disk: number.clone(), epoch, accounted, open, forgotten });
        self.ask_recount(number);
        self.ask_operation(number);
        if let Some(seller) = seller {
            self.touch(&seller);
        }
        self.pump(number);
    }

    fn owner_name(&self, number: &DiskNumber) -> Option<String> {
        self.disks.get(number)?.owner.as_ref().map(|owner| owner.agent.to_string())
    }

    /// An attempt as `grant` and `settle` carry it.
    pub(super) fn open_attempt(&self, key: &taxdisk_protocol::ids::JobKey, attempt: u32) -> Option<OpenAttempt> {
        let job = &self.jobs.get(key)?.job;
        let found = job.attempt(attempt)?;
        Some(OpenAttempt {
            assignment: assignment(job, attempt)?,
            epoch: found.epoch,
            agent: found.agent.clone(),
            expected: found.expected,
            named: found.named,
        })
    }

    fn deny_all(&mut self, number: &DiskNumber) {
        let now = self.turn.now;
        let Some(disk) = self.disks.get_mut(number) else { return };
        let fresh: Vec<SessionId> = disk.claims.iter().copied().filter(|session| !disk.denied.contains(session)).collect();
        if fresh.is_empty() {
            return;
        }
        disk.denied.extend(fresh.iter().copied());
        if let Some(owner) = disk.owner.take() {
            disk.ownerless_since = now;
            disk.former = Some(Former { agent: owner.agent, lost_at: None });
            note_former(&mut self.formers, disk);
        }
        let (claims, seller) = (disk.claims.clone(), disk.seller.clone());
        let agents: Vec<_> =
            claims.iter().filter_map(|session| self.sessions.get(session)).map(|live| live.agent.clone()).collect();
        let names = agents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let reason = format!("disk {number} is claimed by {names}; nobody issues on it until one of them is gone");
        for session in fresh {
            self.send(session, BrokerFrame::Deny { disk: number.clone(), reason: reason.clone() });
        }
        for agent in agents {
            self.alarm(&agent, reason.clone());
        }
        if let Some(seller) = seller {
            self.touch(&seller);
        }
    }

    /// What readers see of this shop has changed.
    pub(super) fn touch(&mut self, seller: &TaxpayerNumber) {
        if let Some(shop) = self.shops.get_mut(seller) {
            shop.overlay = None;
        }
        self.dirty.insert(seller.clone());
    }
}

/// Keeps the disk where [`Core::former_disks`] looks: an agent that joins or leaves must not make us look at every disk. Notes
/// that are out of date fall out when they are read.
pub(super) fn note_former(formers: &mut Formers, disk: &Disk) {
    if let Some(former) = &disk.former {
        formers.entry(former.agent.clone()).or_default().insert(disk.number.clone());
    }
}
