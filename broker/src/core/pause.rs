//! What people keep from work: a disk, an agent's disks, a seller's disks; and asking back what was not begun.
//!
//! A pause hands over nothing and asks back what the agent has not begun. What has begun is never taken away: it stays with its
//! disk until it is proven (I4). `recall` is a wish and not a proof; only the agent's outcome frees the job.

use serde::{Deserialize, Serialize};
use taxdisk_protocol::api::{PauseMode, PauseOf, PauseView, Waiting};
use taxdisk_protocol::ids::{AgentId, DiskNumber, TaxpayerNumber};
use taxdisk_protocol::link::{AttemptRef, BrokerFrame};
use taxdisk_protocol::time::Timestamp;

use super::change::{Change, Notice};
use super::disk::{Disk, OpenRef};
use super::types::Refusal;
use super::{Core, Reply};

/// The longest reason that is kept, characters: a paragraph.
const REASON_CHARACTERS: usize = 1000;

/// What is paused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", content = "id", rename_all = "snake_case")]
pub enum Scope {
    /// A disk.
    Disk(DiskNumber),
    /// All disks of an agent.
    Agent(AgentId),
    /// All disks of a seller.
    Seller(TaxpayerNumber),
}

impl Scope {
    /// What it is, and its number or id.
    pub fn parts(&self) -> (PauseOf, String) {
        match self {
            Scope::Disk(number) => (PauseOf::Disk, number.to_string()),
            Scope::Agent(agent) => (PauseOf::Agent, agent.to_string()),
            Scope::Seller(seller) => (PauseOf::Seller, seller.to_string()),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scope::Disk(number) => write!(f, "disk {number}"),
            Scope::Agent(agent) => write!(f, "agent {agent}"),
            Scope::Seller(seller) => write!(f, "seller {seller}"),
        }
    }
}

/// A pause in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRow {
    /// What.
    #[serde(flatten)]
    pub scope: Scope,
    /// How.
    pub mode: PauseMode,
    /// Key id.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since.
    pub since: Timestamp,
    /// Nothing was open any more; a drain records it.
    pub drained_at: Option<Timestamp>,
}

impl PauseRow {
    pub(super) fn view(&self) -> PauseView {
        let (of, id) = self.scope.parts();
        PauseView {
            of,
            id,
            mode: self.mode,
            by: self.by.clone(),
            reason: self.reason.clone(),
            since: self.since.to_string(),
            drained_at: self.drained_at.map(|at| at.to_string()),
        }
    }

    /// As the jobs that wait for it are told.
    pub(super) fn text(&self) -> String {
        let how = match self.mode {
            PauseMode::Pause => "paused",
            PauseMode::Drain => "drained",
        };
        format!("{} is {how} by {} since {}: {}", self.scope, self.by, self.since, self.reason)
    }
}

/// The pauses of a disk: its own, its agent's, its seller's. The pauses are handed in, so that callers may hold other parts.
pub(super) fn pauses_of<'a>(
    pauses: &'a std::collections::BTreeMap<Scope, PauseRow>,
    disk: &Disk,
) -> impl Iterator<Item = &'a PauseRow> {
    let scopes = if pauses.is_empty() {
        [None, None, None]
    } else {
        // A disk that is away may come back at the agent that had it; another agent's pause is not about it.
        let agent = disk.owner.as_ref().map(|owner| &owner.agent).or(disk.former.as_ref().map(|former| &former.agent));
        [Some(Scope::Disk(disk.number.clone())), agent.cloned().map(Scope::Agent), disk.seller.clone().map(Scope::Seller)]
    };
    scopes.into_iter().flatten().filter_map(|scope| pauses.get(&scope))
}

impl Core {
    pub(super) fn pause(&mut self, scope: Scope, mode: PauseMode, reason: &str, by: String) -> Result<Reply, Refusal> {
        let reason: String = reason.trim().chars().take(REASON_CHARACTERS).collect();
        if reason.is_empty() {
            return Err(Refusal::new("invalid_parameter", "reason: say why; it is kept in the ledger and shown with the jobs"));
        }
        self.check_scope(&scope)?;
        let now = self.turn.now;
        // The same again changes nothing, so that a repeated call leaves no second entry.
        let known = self.pauses.get(&scope);
        if known.is_some_and(|known| known.mode == mode && known.reason == reason) {
            return Ok(Reply::Done);
        }
        let since = known.map_or(now, |known| known.since);
        let row = PauseRow { scope: scope.clone(), mode, by, reason, since, drained_at: None };
        self.audit_pause(if mode == PauseMode::Drain { "drain" } else { "pause" }, &row);
        self.turn.changes.push(Change::Notice { notice: Notice::Pause(row.clone()), on: true });
        self.pauses.insert(scope.clone(), row);
        for number in self.disks_of(&scope) {
            self.recall(&number, "pause", |_| true);
            self.touch_disk(&number);
        }
        if let Scope::Seller(seller) = &scope {
            self.touch(seller);
        }
        self.look_drained();
        Ok(Reply::Done)
    }

    pub(super) fn resume(&mut self, scope: Scope, reason: &str, by: &str) -> Result<Reply, Refusal> {
        self.check_scope(&scope)?;
        let Some(row) = self.pauses.remove(&scope) else { return Ok(Reply::Done) };
        let reason: String = reason.trim().chars().take(REASON_CHARACTERS).collect();
        self.audit_pause("resume", &PauseRow { by: by.to_owned(), reason, since: self.turn.now, ..row.clone() });
        self.turn.changes.push(Change::Notice { notice: Notice::Pause(row), on: false });
        let disks = self.disks_of(&scope);
        for number in &disks {
            self.touch_disk(number);
        }
        for number in &disks {
            self.pump(number);
        }
        Ok(Reply::Done)
    }

    fn audit_pause(&mut self, what: &'static str, row: &PauseRow) {
        let seller = match &row.scope {
            Scope::Disk(number) => self.disks.get(number).and_then(|disk| disk.seller.clone()),
            Scope::Agent(_) => None,
            Scope::Seller(seller) => Some(seller.clone()),
        };
        let body = serde_json::to_value(row).unwrap_or_default();
        self.audit(seller.as_ref(), what, body);
    }

    fn check_scope(&self, scope: &Scope) -> Result<(), Refusal> {
        let known = match scope {
            Scope::Disk(number) => self.disks.contains_key(number),
            Scope::Agent(agent) => self.agents.contains_key(agent),
            Scope::Seller(seller) => self.sellers.contains_key(seller),
        };
        if known { Ok(()) } else { Err(Refusal::new("not_found", format!("{scope} is not known here"))) }
    }

    fn disks_of(&self, scope: &Scope) -> Vec<DiskNumber> {
        let at = |disk: &&Disk, agent: &AgentId| {
            disk.owner.as_ref().map(|owner| &owner.agent).or(disk.former.as_ref().map(|former| &former.agent)) == Some(agent)
        };
        match scope {
            Scope::Disk(number) => vec![number.clone()],
            Scope::Agent(agent) => self.disks.values().filter(|disk| at(disk, agent)).map(|disk| disk.number.clone()).collect(),
            Scope::Seller(seller) => self.shops.get(seller).map(|shop| shop.disks.clone()).unwrap_or_default(),
        }
    }

    /// Records once that a drain has come to its end.
    pub(super) fn look_drained(&mut self) {
        let drained: Vec<Scope> = self
            .pauses
            .values()
            .filter(|row| row.mode == PauseMode::Drain && row.drained_at.is_none())
            .filter(|row| {
                let disks = self.disks_of(&row.scope);
                // What is not settled is not done: the disk must still be read for it.
                let is_through = |disk: &Disk| disk.open.is_empty() && !self.operations.is_running(&disk.number);
                disks.iter().filter_map(|number| self.disks.get(number)).all(is_through)
            })
            .map(|row| row.scope.clone())
            .collect();
        let now = self.turn.now;
        for scope in drained {
            let Some(row) = self.pauses.get_mut(&scope) else { continue };
            row.drained_at = Some(now);
            let row = row.clone();
            self.audit_pause("drained", &row);
            self.turn.changes.push(Change::Notice { notice: Notice::Pause(row), on: true });
        }
    }

    /// Asks the owner to give back what it has not begun, each once. What has begun is left alone here and at the agent.
    pub(super) fn recall(&mut self, number: &DiskNumber, why: &'static str, only: impl Fn(&OpenRef) -> bool) {
        let Some(disk) = self.disks.get_mut(number) else { return };
        let Some(session) = disk.owner.as_ref().map(|owner| owner.session) else { return };
        let mut wanted = Vec::new();
        for open in disk.open.values_mut().filter(|open| !open.unsettled && !open.asked && !open.recalled && only(open)) {
            let attempt = self.jobs.get(&open.key).and_then(|found| found.job.attempt(open.attempt));
            if attempt.is_some_and(|attempt| attempt.started_at.is_none()) {
                open.recalled = true;
                wanted.push(AttemptRef { key: open.key.clone(), attempt: open.attempt });
            }
        }
        for attempt in wanted {
            metrics::counter!("taxdisk_recalls_total", "why" => why).increment(1);
            self.send(session, BrokerFrame::Recall { disk: number.clone(), attempt });
        }
    }

    /// A disk that got into trouble gives back what it has not begun, so that it can go elsewhere or be seen to wait.
    pub(super) fn route_away(&mut self, number: &DiskNumber) {
        let now = self.turn.now;
        let Some(disk) = self.disks.get(number) else { return };
        if disk.owner.is_none() || disk.busy() == 0 {
            return;
        }
        let troubled: Vec<_> = disk
            .kinds
            .iter()
            .copied()
            .filter(|kind| disk.trouble(*kind, now).is_some_and(|waiting| waiting != Waiting::Settling))
            .collect();
        if !troubled.is_empty() {
            self.recall(number, "trouble", |open| troubled.contains(&open.kind));
        }
    }

    /// An idle disk asks for the job of a waiting person that stands behind another job at another disk.
    pub(super) fn attract(&mut self, number: &DiskNumber) {
        let Some(disk) = self.disks.get(number) else { return };
        if disk.busy() > 0 || !self.may_work(disk) {
            return;
        }
        let Some(shop) = disk.seller.as_ref().and_then(|seller| self.shops.get(seller)) else { return };
        let found =
            shop.disks.iter().filter(|other| *other != number).filter_map(|other| self.disks.get(other)).find_map(|other| {
                let behind = other.open.values().filter(|open| !open.unsettled).nth(1)?;
                let job = &self.jobs.get(&behind.key)?.job;
                let wanted = !behind.recalled
                    && !behind.asked
                    && job.priority == taxdisk_protocol::api::Priority::Waiting
                    && job.attempt(behind.attempt).is_some_and(|attempt| attempt.started_at.is_none())
                    && self.could_take(disk, &behind.key);
                wanted.then(|| (other.number.clone(), behind.key.clone()))
            });
        if let Some((other, key)) = found {
            self.recall(&other, "sooner_elsewhere", |open| open.key == key);
        }
    }

    /// Readers see this disk's seller anew.
    pub(super) fn touch_disk(&mut self, number: &DiskNumber) {
        if let Some(seller) = self.disks.get(number).and_then(|disk| disk.seller.clone()) {
            self.touch(&seller);
        }
    }
}
