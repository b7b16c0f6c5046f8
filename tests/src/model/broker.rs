//! The broker's rules. Each step decides and commits at once; what it sends leaves with the commit.
//!
//! The names are those of `broker/src/core`: `ownership` (who has the disk), `dispatch` (what it gets), `outcome` and
//! `late` (what becomes of an attempt), `session` (links and time).

use taxdisk_protocol::api::{JobState, Operation};

use super::table::{Happens, Then};
use super::world::{AGENTS, AgentId, Attempt, Control, Former, Outcome, Row, Set, TRIES, World, job_of};
use super::{Guard, Model};

/// One attempt runs and one is staged.
const OPEN_ATTEMPTS: usize = 2;

impl Model {
    /// An event of the attempt's job. What the table refuses changes nothing, and is a breach.
    fn record(&self, world: &mut World, attempt: Attempt, happens: Happens) {
        let job = &mut world.ledger.jobs[job_of(attempt)];
        match job.after(Operation::Issue, happens) {
            Some(next) => *job = next,
            None => world.breaches.refused = true,
        }
    }

    fn is_asked_for(world: &World, attempt: Attempt) -> bool {
        world.ledger.rows[usize::from(attempt)].is_open() || world.ledger.named.has(attempt)
    }

    /// Attempts without a proof, and ended ones of which a late outcome named a number.
    fn open(world: &World) -> Set {
        let mut open = Set::default();
        let all = 0..world.ledger.rows.len() as u8;
        all.filter(|attempt| Self::is_asked_for(world, *attempt)).for_each(|attempt| open.add(attempt));
        open
    }

    /// Attempts that run or are staged.
    pub(super) fn busy(world: &World) -> usize {
        world.ledger.rows.iter().filter(|row| **row == Row::Open).count()
    }

    // Ownership.

    /// The agent says whether the disk is with it.
    pub(super) fn reported(&self, world: &mut World, agent: AgentId, has: bool) {
        if has {
            world.broker.claims[usize::from(agent)] = true;
        } else {
            if world.broker.claims[usize::from(agent)] {
                self.unclaim(world, agent, true);
            }
            // Back without the disk: it has released it.
            world.broker.former.take_if(|former| former.agent == agent);
        }
        self.decide(world);
        self.pump(world);
    }

    fn unclaim(&self, world: &mut World, agent: AgentId, clean: bool) {
        let broker = &mut world.broker;
        broker.claims[usize::from(agent)] = false;
        broker.denied[usize::from(agent)] = false;
        if broker.owner == Some(agent) {
            broker.owner = None;
            broker.former = Some(Former { agent, lost: false, silent: false });
        }
        if let Some(former) = broker.former.as_mut().filter(|former| former.agent == agent) {
            (former.lost, former.silent) = (true, false);
            if clean {
                broker.former = None;
            }
        }
        self.decide(world);
    }

    pub(super) fn decide(&self, world: &mut World) {
        let broker = &mut world.broker;
        let claimants: Vec<AgentId> = (0..AGENTS as u8).filter(|agent| broker.claims[usize::from(*agent)]).collect();
        match claimants.as_slice() {
            [] => {}
            [sole] if broker.owner == Some(*sole) => {}
            [sole] => {
                let must_wait = broker.former.is_some_and(|former| former.agent != *sole && !former.silent);
                if !(must_wait && Self::busy(world) > 0 && self.keeps(Guard::SilenceBeforeGrant)) {
                    self.grant(world, *sole);
                }
            }
            _ if !self.keeps(Guard::OneClaimant) => {
                let other = claimants.into_iter().find(|agent| broker.owner != Some(*agent));
                if let Some(newest) = other.filter(|_| broker.owner.is_some()) {
                    self.grant(world, newest);
                }
            }
            _ => {
                if let Some(agent) = broker.owner.take() {
                    broker.former = Some(Former { agent, lost: false, silent: false });
                }
                for agent in claimants {
                    if !std::mem::replace(&mut broker.denied[usize::from(agent)], true)
                        && world.agents[usize::from(agent)].process.link
                    {
                        world.wires[usize::from(agent)].control = Some(Control::Deny);
                    }
                }
            }
        }
    }

    fn grant(&self, world: &mut World, agent: AgentId) {
        world.ledger.epoch += 1;
        let open = Self::open(world);
        let broker = &mut world.broker;
        (broker.owner, broker.former, broker.denied, broker.asked) = (Some(agent), None, [false; AGENTS], open);
        let epoch = world.ledger.epoch;
        // Into a link that only the broker still believes in it goes for nothing.
        if world.agent(agent).process.link {
            world.wire(agent).control = Some(Control::Grant { epoch, open });
        }
        self.pump(world);
    }

    // Dispatch.

    /// Hands jobs to the disk while it has a place.
    pub(super) fn pump(&self, world: &mut World) {
        let Some(owner) = world.broker.owner else { return };
        let contested = world.broker.claims.iter().filter(|claims| **claims).count() > 1 && self.keeps(Guard::OneClaimant);
        if contested || !world.broker.asked.is_empty() {
            return;
        }
        for job in 0..self.bound.jobs {
            if Self::busy(world) >= OPEN_ATTEMPTS {
                return;
            }
            let tries = world.ledger.tries[job];
            let Some(next) = world.ledger.jobs[job].after(Operation::Issue, Happens::Assigned) else { continue };
            if tries >= self.bound.tries {
                continue;
            }
            let attempt = (job * TRIES) as Attempt + tries;
            world.ledger.jobs[job] = next;
            world.ledger.tries[job] += 1;
            world.ledger.rows[usize::from(attempt)] = Row::Open;
            world.ledger.epochs[usize::from(attempt)] = world.ledger.epoch;
            if world.agent(owner).process.link {
                world.wire(owner).assigns.add(attempt);
            }
        }
    }

    // Outcomes.

    pub(super) fn outcome(&self, world: &mut World, agent: AgentId, attempt: Attempt, outcome: Outcome) {
        let owns = world.broker.owner == Some(agent);
        if !owns && self.keeps(Guard::LateOutcomeIgnored) {
            return self.late(world, attempt, outcome);
        }
        let before = world.ledger.jobs[job_of(attempt)].state;
        if world.ledger.rows[usize::from(attempt)].is_open() {
            self.accepted(world, attempt, outcome);
        } else {
            self.after_end(world, attempt, outcome);
        }
        world.breaches.word_of_another |= !owns && world.ledger.jobs[job_of(attempt)].state != before;
        self.pump(world);
    }

    /// The owner says how an open attempt ended.
    fn accepted(&self, world: &mut World, attempt: Attempt, outcome: Outcome) {
        let was_named = world.ledger.named.has(attempt);
        let (happens, row) = match outcome {
            Outcome::None => return,
            Outcome::GivenBack { .. } => (Happens::GivenBack(Then::Queue), Row::GivenBack),
            Outcome::NotIssued { .. } => (Happens::NotIssued(Then::Queue), Row::NotIssued),
            Outcome::Refused => (Happens::NotIssued(Then::Fail), Row::NotIssued),
            Outcome::Unsettled if !self.keeps(Guard::UnsettledIsNotFailure) => (Happens::NotIssued(Then::Queue), Row::NotIssued),
            Outcome::Unsettled => (Happens::Unsettled, Row::Unsettled),
            Outcome::Issued(number) | Outcome::Found(number) if world.ledger.numbers.contains(&Some(number)) => {
                // It has an owner (I10): nothing is adopted, and people are told.
                self.record(world, attempt, Happens::Unsettled);
                self.record(world, attempt, Happens::Evidence);
                world.ledger.rows[usize::from(attempt)] = Row::Unsettled;
                world.broker.asked.remove(attempt);
                return;
            }
            Outcome::Issued(_) => (Happens::Issued, Row::Issued),
            Outcome::Found(_) => (Happens::Found, Row::Found),
        };
        self.record(world, attempt, happens);
        world.ledger.rows[usize::from(attempt)] = row;
        world.broker.asked.remove(attempt);
        if let Some(number) = outcome.number() {
            world.ledger.numbers[job_of(attempt)] = Some(number);
        }
        if outcome == Outcome::Unsettled {
            return;
        }
        world.ledger.named.remove(attempt);
        // A late outcome named a number that this answer has not read.
        if was_named && outcome.number().is_none() && !outcome.has_read() {
            world.ledger.named.add(attempt);
            self.record(world, attempt, Happens::Named);
            self.ask_owner(world, attempt);
        }
    }

    /// Does it only say what is known?
    fn repeats(world: &World, attempt: Attempt, outcome: Outcome) -> bool {
        let (row, named) = (world.ledger.rows[usize::from(attempt)], world.ledger.named.has(attempt));
        if let Some(number) = outcome.number() {
            return !row.is_open() && !named && world.ledger.numbers[job_of(attempt)] == Some(number);
        }
        match outcome {
            Outcome::GivenBack { .. } => row == Row::GivenBack && !named,
            Outcome::NotIssued { .. } | Outcome::Refused => row == Row::NotIssued && !named,
            _ => !row.is_open() && !named,
        }
    }

    /// From somebody who does not own the disk: evidence, and the owner reads.
    fn late(&self, world: &mut World, attempt: Attempt, outcome: Outcome) {
        if Self::repeats(world, attempt, outcome) {
            return;
        }
        let done = matches!(world.ledger.rows[usize::from(attempt)], Row::Issued | Row::Found);
        if outcome.number().is_some() {
            self.record(world, attempt, Happens::Named);
            if !done {
                world.ledger.named.add(attempt);
            }
        } else {
            self.record(world, attempt, Happens::Evidence);
        }
        self.ask_owner(world, attempt);
    }

    /// The owner speaks of an attempt that has ended.
    fn after_end(&self, world: &mut World, attempt: Attempt, outcome: Outcome) {
        world.broker.asked.remove(attempt);
        if Self::repeats(world, attempt, outcome) {
            return;
        }
        let (job, named) = (job_of(attempt), world.ledger.named.has(attempt));
        let is_free = matches!(world.ledger.jobs[job].state, JobState::Queued | JobState::Failed | JobState::Cancelled);
        match outcome {
            Outcome::Found(number) if named && is_free => {
                self.record(world, attempt, Happens::Found);
                world.ledger.rows[usize::from(attempt)] = Row::Found;
                world.ledger.numbers[job] = Some(number);
                world.ledger.named.remove(attempt);
            }
            _ if named && (outcome.has_read() || world.ledger.numbers[job] == outcome.number()) => {
                self.record(world, attempt, Happens::Cleared);
                world.ledger.named.remove(attempt);
            }
            // A proof against a proof: nothing is handed over before the number was read again.
            _ if outcome.number().is_some() && !named => {
                self.record(world, attempt, Happens::Named);
                if !matches!(world.ledger.rows[usize::from(attempt)], Row::Issued | Row::Found) {
                    world.ledger.named.add(attempt);
                }
                self.ask_owner(world, attempt);
            }
            _ => self.record(world, attempt, Happens::Evidence),
        }
    }

    fn ask_owner(&self, world: &mut World, attempt: Attempt) {
        if let Some(owner) = world.broker.owner.filter(|owner| world.agents[usize::from(*owner)].process.link) {
            world.wire(owner).settles.add(attempt);
        }
    }

    // Links and time.

    /// The broker's side of a link ends.
    pub(super) fn end_session(&self, world: &mut World, agent: AgentId) {
        world.broker.sessions[usize::from(agent)] = false;
        let wire = world.wire(agent);
        (wire.report, wire.outcomes) = (None, Default::default());
        if world.broker.claims[usize::from(agent)] {
            self.unclaim(world, agent, false);
        }
        if let Some(former) = world.broker.former.as_mut().filter(|former| former.agent == agent) {
            former.lost = true;
        }
        self.pump(world);
    }

    /// 60 s after the former owner was heard last. Who hears nothing has no lease any more: 45 s are less.
    pub(super) fn silence(&self, world: &mut World) {
        if let Some(former) = &mut world.broker.former {
            former.silent = former.lost;
        }
        for agent in 0..AGENTS {
            world.agents[agent].process.lease &= world.broker.sessions[agent];
        }
        self.decide(world);
    }

    /// The disk has had no owner for too long: what is open on it becomes unsettled (I4).
    pub(super) fn lapse(&self, world: &mut World) {
        self.silence(world);
        if world.broker.owner.is_some() {
            return;
        }
        for attempt in Self::open(world).iter() {
            if world.ledger.rows[usize::from(attempt)] != Row::Open {
                continue;
            }
            let (happens, row) = match self.keeps(Guard::LapseAsks) {
                true => (Happens::Unsettled, Row::Unsettled),
                false => (Happens::GivenBack(Then::Queue), Row::GivenBack),
            };
            self.record(world, attempt, happens);
            world.ledger.rows[usize::from(attempt)] = row;
        }
        self.decide(world);
    }

    /// The process ends and another one begins, with what was committed: who owned the disk, and that the ledger stands.
    pub(super) fn broker_crashes(&self, world: &mut World) {
        let owner = world.broker.owner.or(world.broker.former.map(|former| former.agent));
        world.broker = Default::default();
        world.broker.former = owner.map(|agent| Former { agent, lost: true, silent: false });
        for wire in &mut world.wires {
            (wire.report, wire.outcomes) = (None, Default::default());
        }
    }

    // People.

    /// An administrator decides an unsettled job by what he reads on a disk where nothing of it can run any more.
    pub(super) fn by_hand(&self, world: &mut World, job: usize) {
        let Some(attempt) = Self::open_of(world, job) else { return };
        let number = world.disk.number_of(job);
        self.record(world, attempt, Happens::ByHand { done: number.is_some() });
        world.ledger.numbers[job] = number;
        world.ledger.rows[usize::from(attempt)] = Row::ByHand;
        world.ledger.named.remove(attempt);
        world.broker.asked.remove(attempt);
        self.pump(world);
    }

    /// The open attempt of a job.
    pub(super) fn open_of(world: &World, job: usize) -> Option<Attempt> {
        let first = (job * TRIES) as Attempt;
        (first..first + TRIES as Attempt).find(|attempt| world.ledger.rows[usize::from(*attempt)].is_open())
    }

    pub(super) fn reissue(&self, world: &mut World, job: usize) {
        self.record(world, (job * TRIES) as Attempt, Happens::Reissued);
        self.pump(world);
    }
}
