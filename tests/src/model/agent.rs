//! The agents' rules, and what disk, links and cables do to them.
//!
//! The names are those of `agent/src/core`: `disk/commands` (what the broker asks), `attempt` (one command), `settle`
//! (reading). A write to the journal is durable within its step: a crash before it is a crash before the step.

use super::world::{AgentId, Attempt, Control, Outcome, Run, World, job_of};
use super::{Fence, Guard, Model};

/// Jobs at a disk: one running, one staged.
const JOBS_AT_A_DISK: usize = 2;

impl Model {
    // What becomes durable, and is told.

    /// Writes what became of an attempt, and tells it if there is a link.
    fn end(&self, world: &mut World, agent: AgentId, attempt: Attempt, outcome: Outcome) {
        let journal = &mut world.agent(agent).journal;
        journal.outcomes[usize::from(attempt)] = outcome;
        journal.outbox.add(attempt);
        self.tell(world, agent, attempt);
    }

    fn tell(&self, world: &mut World, agent: AgentId, attempt: Attempt) {
        let outcome = world.agent(agent).journal.outcomes[usize::from(attempt)];
        // Into a link that only the agent still believes in it goes for nothing.
        if world.agent(agent).process.link && world.broker.sessions[usize::from(agent)] {
            world.wire(agent).outcomes[usize::from(attempt)] = outcome;
        }
    }

    /// What was not confirmed is told again.
    fn tell_outbox(&self, world: &mut World, agent: AgentId) {
        let outbox = world.agent(agent).journal.outbox;
        outbox.iter().for_each(|attempt| self.tell(world, agent, attempt));
    }

    fn give_back_staged(&self, world: &mut World, agent: AgentId) {
        if !self.keeps(Guard::EpochCheck) {
            return;
        }
        let staged = std::mem::take(&mut world.agent(agent).process.staged);
        staged.iter().for_each(|attempt| self.end(world, agent, attempt, Outcome::GivenBack { read: false }));
    }

    // Links.

    /// A new link, both sides at once; the broker ends the one that it still had.
    pub(super) fn join(&self, world: &mut World, agent: AgentId) {
        if world.broker.sessions[usize::from(agent)] {
            self.end_session(world, agent);
        }
        *world.wire(agent) = Default::default();
        world.broker.sessions[usize::from(agent)] = true;
        let process = &mut world.agent(agent).process;
        (process.link, process.lease) = (true, true);
        let sees = process.sees;
        self.tell_outbox(world, agent);
        world.wire(agent).report = Some(sees);
    }

    /// The agent's side of a link ends.
    pub(super) fn lose_link(&self, world: &mut World, agent: AgentId) {
        let process = &mut world.agent(agent).process;
        (process.link, process.epoch) = (false, None);
        self.give_back_staged(world, agent);
        let wire = world.wire(agent);
        (wire.control, wire.assigns, wire.settles) = Default::default();
        if !self.keeps(Guard::OutboxKept) {
            world.agent(agent).journal.outbox = Default::default();
        }
    }

    /// The process ends and another one begins. What it sent may still arrive.
    pub(super) fn agent_crashes(&self, world: &mut World, agent: AgentId) {
        world.agent(agent).process = Default::default();
        let wire = world.wire(agent);
        (wire.control, wire.assigns, wire.settles) = Default::default();
    }

    // What the broker asks.

    pub(super) fn control(&self, world: &mut World, agent: AgentId, control: Control) {
        let process = &mut world.agent(agent).process;
        // It is for a disk that is not behind the port any more.
        if !process.sees {
            return;
        }
        let (epoch, open) = match control {
            Control::Deny => {
                process.epoch = None;
                return self.give_back_staged(world, agent);
            }
            Control::Grant { epoch, open } => (epoch, open),
        };
        if process.epoch != Some(epoch) {
            self.give_back_staged(world, agent);
        }
        world.agent(agent).process.epoch = Some(epoch);
        self.tell_outbox(world, agent);
        for attempt in open.iter() {
            world.agent(agent).process.heard.add(attempt);
            self.take_open(world, agent, attempt, false);
        }
        // What the journal holds and the broker does not list.
        let agent = world.agent(agent);
        for attempt in agent.journal.intents.iter() {
            let begun = agent.journal.outcomes[usize::from(attempt)] == Outcome::None;
            if begun && agent.process.run.attempt() != Some(attempt) {
                agent.process.opens.add(attempt);
            }
        }
    }

    /// An attempt that the broker wants to know about. Nothing is ever run for it. `again`: a number is to be read,
    /// whatever the journal says.
    fn take_open(&self, world: &mut World, agent: AgentId, attempt: Attempt, again: bool) {
        let found = world.agent(agent);
        if found.process.staged.has(attempt) || found.process.run.attempt() == Some(attempt) {
            return;
        }
        let known = found.journal.outcomes[usize::from(attempt)];
        let of_job = |other: &Attempt| job_of(*other) == job_of(attempt);
        let all = 0..found.journal.outcomes.len() as Attempt;
        let number = all.filter(of_job).find_map(|other| found.journal.outcomes[usize::from(other)].number());
        match number {
            _ if known.is_final() && !again => self.end(world, agent, attempt, known),
            // Another attempt of the same job issued, and the index has it.
            Some(number) if !known.is_final() => self.end(world, agent, attempt, Outcome::Found(number)),
            _ if !found.journal.intents.has(attempt) && !self.keeps(Guard::JournalSilenceProvesNothing) => {
                self.end(world, agent, attempt, Outcome::GivenBack { read: false });
            }
            _ => found.process.opens.add(attempt),
        }
    }

    pub(super) fn settle(&self, world: &mut World, agent: AgentId, attempt: Attempt) {
        let process = &mut world.agent(agent).process;
        if process.sees && process.epoch.is_some() {
            self.take_open(world, agent, attempt, true);
        }
    }

    pub(super) fn assign(&self, world: &mut World, agent: AgentId, attempt: Attempt) {
        let of = world.ledger.epochs[usize::from(attempt)];
        let found = world.agent(agent);
        let process = &mut found.process;
        if !process.sees || process.staged.has(attempt) || process.run.attempt() == Some(attempt) {
            return;
        }
        let known = found.journal.outcomes[usize::from(attempt)];
        if known.is_final() {
            return self.end(world, agent, attempt, known);
        }
        // Heard before, and not in the index: it may have begun. Never run, always read.
        if process.heard.has(attempt) {
            return process.opens.add(attempt);
        }
        process.heard.add(attempt);
        let jobs = process.staged.iter().count() + usize::from(process.run != Run::Idle);
        let is_granted = process.epoch == Some(of) || !self.keeps(Guard::EpochCheck);
        if !is_granted || jobs >= JOBS_AT_A_DISK {
            return self.end(world, agent, attempt, Outcome::GivenBack { read: false });
        }
        process.staged.add(attempt);
    }

    // One command.

    /// Grant and lease hold. A frame that comes late renews no lease: what counts is when the ping was sent that the
    /// broker has answered, so that a lease can only be as young as the session (`agent/src/link/session.rs`).
    fn may_begin(&self, world: &World, agent: AgentId, attempt: Attempt) -> bool {
        let process = &world.agents[usize::from(agent)].process;
        let granted = process.epoch == Some(world.ledger.epochs[usize::from(attempt)]);
        (granted || !self.keeps(Guard::EpochCheck)) && (process.lease || !self.keeps(Guard::BeginLease))
    }

    /// The attempt that the agent would begin now. Nothing begins while anything on the disk is to be read.
    pub(super) fn next_to_begin(&self, world: &World, agent: AgentId) -> Option<Attempt> {
        let process = &world.agents[usize::from(agent)].process;
        let free = process.sees && world.disk.at == agent && process.run == Run::Idle && process.opens.is_empty();
        process.staged.first().filter(|attempt| free && self.may_begin(world, agent, *attempt))
    }

    /// The current pair was read, and the intent is durable.
    pub(super) fn begin(&self, world: &mut World, agent: AgentId, attempt: Attempt) {
        let keeps = self.keeps(Guard::IntentBeforeCommand);
        let agent = world.agent(agent);
        agent.process.staged.remove(attempt);
        agent.process.run = Run::Intended(attempt);
        if keeps {
            agent.journal.intents.add(attempt);
        }
    }

    /// Grant and lease are looked at once more; then the command is written.
    pub(super) fn send(&self, world: &mut World, agent: AgentId, attempt: Attempt) {
        let not_sent = if !self.may_begin(world, agent, attempt) {
            Some(Outcome::GivenBack { read: false })
        } else {
            // No port: the last byte was never written.
            (world.disk.at != agent).then_some(Outcome::NotIssued { read: false })
        };
        if let Some(outcome) = not_sent {
            world.agent(agent).process.run = Run::Idle;
            return self.end(world, agent, attempt, outcome);
        }
        world.agent(agent).process.run = Run::Sent(attempt);
        self.reaches_disk(world, agent, attempt);
    }

    /// The oracle looks at the command as it reaches the disk.
    fn reaches_disk(&self, world: &mut World, agent: AgentId, attempt: Attempt) {
        let has_intent = world.agent(agent).journal.intents.has(attempt);
        let epoch = world.ledger.epochs[usize::from(attempt)];
        let (disk, breaches) = (&mut world.disk, &mut world.breaches);
        let runs = disk.pending.iter().any(|other| job_of(other) == job_of(attempt));
        let is_proven = world.ledger.rows[usize::from(attempt)].has_ended();
        breaches.ran_again |= disk.got.has(attempt) || runs || is_proven || disk.number_of(job_of(attempt)).is_some();
        breaches.epoch_back |= epoch < disk.epoch;
        breaches.not_durable |= !has_intent;
        disk.epoch = disk.epoch.max(epoch);
        disk.got.add(attempt);
        disk.pending.add(attempt);
    }

    /// The disk does what it was told, now or late.
    pub(super) fn execute(&self, world: &mut World, attempt: Attempt, signs: bool) {
        world.disk.pending.remove(attempt);
        if !signs {
            world.disk.refused.add(attempt);
        } else if let Some(next) = world.disk.signed.iter_mut().find(|number| number.is_none()) {
            *next = Some(attempt);
        }
    }

    /// What the disk's answer to an attempt would be, if it has one.
    pub(super) fn answer_of(world: &World, attempt: Attempt) -> Option<Outcome> {
        let number = world.disk.signed.iter().position(|signed| *signed == Some(attempt));
        let refused = world.disk.refused.has(attempt).then_some(Outcome::Refused);
        number.map(|number| Outcome::Issued(number as u8)).or(refused)
    }

    /// The answer comes. Only OK is taken at its word; an error text is read after.
    pub(super) fn answer(&self, world: &mut World, agent: AgentId, attempt: Attempt, answer: Outcome) {
        let process = &mut world.agent(agent).process;
        process.run = Run::Idle;
        if answer == Outcome::Refused {
            process.opens.add(attempt);
            process.ended.add(attempt);
        } else if self.keeps(Guard::DurableBeforeTold) {
            self.end(world, agent, attempt, answer);
        } else if process.link {
            world.wire(agent).outcomes[usize::from(attempt)] = answer;
            world.breaches.not_durable = true;
        }
    }

    /// No answer in time. The command may still run.
    pub(super) fn time_out(&self, world: &mut World, agent: AgentId, attempt: Attempt) {
        if !self.keeps(Guard::NeverSentAgain) && world.disk.at == agent {
            return self.reaches_disk(world, agent, attempt);
        }
        let process = &mut world.agent(agent).process;
        process.run = Run::Idle;
        process.opens.add(attempt);
    }

    // Reading.

    /// The line is brought to a known state, every number since is read, and each attempt in question is decided.
    pub(super) fn survey(&self, world: &mut World, agent: AgentId) {
        if self.fence == Fence::Ordered {
            // After the silence and a good handshake nothing older can run.
            world.disk.pending = Default::default();
        }
        let process = &mut world.agent(agent).process;
        let (opens, ended) = (std::mem::take(&mut process.opens), std::mem::take(&mut process.ended));
        for attempt in opens.iter() {
            let begun = world.agent(agent).journal.intents.has(attempt);
            let may_still_run = self.fence == Fence::None && !ended.has(attempt) && self.keeps(Guard::FenceRespected);
            let outcome = match world.disk.number_of(job_of(attempt)) {
                Some(number) => Outcome::Found(number),
                None if may_still_run => Outcome::Unsettled,
                None if ended.has(attempt) => Outcome::Refused,
                None if begun => Outcome::NotIssued { read: true },
                None => Outcome::GivenBack { read: true },
            };
            self.end(world, agent, attempt, outcome);
        }
    }

    // Cables.

    /// The disk is unplugged and plugged in at the other PC. On a byte line a command that was not executed by then is gone.
    pub(super) fn moves(&self, world: &mut World) {
        world.disk.at = 1 - world.disk.at;
        if self.fence == Fence::Ordered {
            world.disk.pending = Default::default();
        }
    }

    /// The agent notices that the disk came, or went.
    pub(super) fn look(&self, world: &mut World, agent: AgentId) {
        let sees = world.disk.at == agent;
        let process = &mut world.agent(agent).process;
        process.sees = sees;
        if !sees {
            process.epoch = None;
            if let Run::Sent(attempt) = process.run {
                process.run = Run::Idle;
                process.opens.add(attempt);
            }
            self.give_back_staged(world, agent);
        }
        if world.agent(agent).process.link && world.broker.sessions[usize::from(agent)] {
            world.wire(agent).report = Some(sees);
        }
    }
}
