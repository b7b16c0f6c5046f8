//! A model of hand-over, settling and a disk that moves, small enough to look at every state that it can ever reach.
//!
//! Two agents, one disk, up to three jobs; links that break on either side, so that each side may believe in a link that
//! is none; crashes of agent and broker; frames that come twice, late or overtake each other; commands that are executed
//! after nobody waits for them any more; a disk that is carried from one PC to the other and back, noticed or not.
//! `stateright` walks through all of it, breadth first, and holds every state against the properties of [`properties`].
//!
//! What it refuses to do: know a byte, a clock or a store. Time is what may happen next; a commit is a step. The rules are
//! written once more here, by hand and shorter, and [`table`] is held against production. Read first: [`world::World`],
//! then [`Action`].
//!
//! [Decision 43](../../../docs/decisions/0043-the-model.md) says why it is cut like this.

mod agent;
mod broker;
pub mod calm;
pub mod properties;
pub mod table;
pub mod world;

use taxdisk_protocol::api::JobState;

use world::{AGENTS, AgentId, Attempt, Outcome, Row, Run, World, job_of};

/// When nothing older can run on the disk any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fence {
    /// A byte line to one device: after silence and a handshake.
    Ordered,
    /// A component behind documents: never, as long as it was not seen to restart.
    None,
}

/// How much may happen. Every count is of one run of the world, not of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bound {
    /// At most [`world::JOBS`].
    pub jobs: usize,
    /// Attempts of a job, at most [`world::TRIES`].
    pub tries: u8,
    /// Crashes of agents and broker.
    pub crashes: u8,
    /// Links that break, on one side.
    pub breaks: u8,
    /// Times that the disk is carried to the other PC.
    pub moves: u8,
    /// Assignments that come twice.
    pub repeats: u8,
    /// Contents that the disk refuses.
    pub refusals: u8,
}

/// A rule that can be taken out, to see that a property misses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// What is staged belongs to the grant under which it was assigned.
    EpochCheck,
    /// Nothing begins once the broker was not heard for 45 s.
    BeginLease,
    /// The intent is durable before the command.
    IntentBeforeCommand,
    /// An outcome is durable before it is told.
    DurableBeforeTold,
    /// A command is never sent again.
    NeverSentAgain,
    /// An absence counts only if nothing older can run.
    FenceRespected,
    /// What the journal does not know is read from the disk.
    JournalSilenceProvesNothing,
    /// What is not confirmed is kept and told again.
    OutboxKept,
    /// The word of an agent that does not own the disk changes no state.
    LateOutcomeIgnored,
    /// A disk with open attempts changes hands 60 s after its owner was heard last.
    SilenceBeforeGrant,
    /// Of two claimants nobody gets the disk.
    OneClaimant,
    /// An unknown outcome is no failure.
    UnsettledIsNotFailure,
    /// An agent that is away too long leaves its jobs unsettled, not free.
    LapseAsks,
}

/// All of them.
pub const GUARDS: [Guard; 13] = [
    Guard::EpochCheck,
    Guard::BeginLease,
    Guard::IntentBeforeCommand,
    Guard::DurableBeforeTold,
    Guard::NeverSentAgain,
    Guard::FenceRespected,
    Guard::JournalSilenceProvesNothing,
    Guard::OutboxKept,
    Guard::LateOutcomeIgnored,
    Guard::SilenceBeforeGrant,
    Guard::OneClaimant,
    Guard::UnsettledIsNotFailure,
    Guard::LapseAsks,
];

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    // What goes on by itself.
    Join(AgentId),
    Look(AgentId),
    Report(AgentId),
    Control(AgentId),
    Assign(AgentId, Attempt),
    Settle(AgentId, Attempt),
    Begin(AgentId),
    Send(AgentId),
    Execute(Attempt),
    Answer(AgentId),
    Survey(AgentId),
    Outcome(AgentId, Attempt),
    // What time and people do.
    /// A link that only the agent still believes in: nothing answers its pings.
    LinkDies(AgentId),
    Silence,
    Reissue(u8),
    ByHand(u8),
    TimeOut(AgentId),
    Lapse,
    // Faults.
    Refuse(Attempt),
    Repeat(AgentId, Attempt),
    AckLost(AgentId, Attempt),
    AgentLosesLink(AgentId),
    BrokerLosesLink(AgentId),
    AgentCrashes(AgentId),
    BrokerCrashes,
    Move,
}

impl Action {
    /// Nobody can count on it, and nobody can keep it from happening.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Action::Refuse(_)
                | Action::Repeat(..)
                | Action::AckLost(..)
                | Action::AgentLosesLink(_)
                | Action::BrokerLosesLink(_)
                | Action::AgentCrashes(_)
                | Action::BrokerCrashes
                | Action::Move
        )
    }
}

/// The model: its rules, how much may happen, and the rule that is missing.
#[derive(Debug, Clone)]
pub struct Model {
    pub bound: Bound,
    pub fence: Fence,
    pub without: Option<Guard>,
    /// From every state, too, all must come to an end once faults stop ([`calm`]). Costs a run for each state.
    pub ends: bool,
}

impl Model {
    /// With all rules.
    pub fn new(bound: Bound, fence: Fence) -> Model {
        Model { bound, fence, without: None, ends: false }
    }

    /// Is this rule in force?
    fn keeps(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// An administrator may decide: it is unsettled, and nothing of it can run any more, here or there.
    fn may_decide(world: &World, job: usize) -> bool {
        let is_of = |attempt: Attempt| job_of(attempt) == job;
        let at_work = |agent: &world::Agent| {
            let process = &agent.process;
            process.run.attempt().is_some_and(is_of) || process.staged.iter().any(is_of)
        };
        world.ledger.jobs[job].state == JobState::Unsettled
            && !world.disk.pending.iter().any(is_of)
            && !world.agents.iter().any(at_work)
    }

    fn of_agent(&self, world: &World, agent: AgentId, actions: &mut Vec<Action>) {
        let index = usize::from(agent);
        let (process, wire) = (&world.agents[index].process, &world.wires[index]);
        if !process.link {
            actions.push(Action::Join(agent));
        }
        if process.sees != (world.disk.at == agent) {
            actions.push(Action::Look(agent));
        }
        let hears = world.broker.sessions[index];
        if wire.report.is_some() && hears {
            actions.push(Action::Report(agent));
        }
        if wire.control.is_some() && process.link {
            actions.push(Action::Control(agent));
        }
        // What follows a grant on the same line does not overtake it.
        for attempt in wire.assigns.iter().filter(|_| wire.control.is_none() && process.link) {
            actions.push(Action::Assign(agent, attempt));
            if world.spent.repeats < self.bound.repeats {
                actions.push(Action::Repeat(agent, attempt));
            }
        }
        actions.extend(wire.settles.iter().filter(|_| process.link).map(|attempt| Action::Settle(agent, attempt)));
        if self.next_to_begin(world, agent).is_some() {
            actions.push(Action::Begin(agent));
        }
        match process.run {
            Run::Idle => {}
            Run::Intended(_) => actions.push(Action::Send(agent)),
            Run::Sent(attempt) => {
                if world.disk.at == agent && Self::answer_of(world, attempt).is_some() {
                    actions.push(Action::Answer(agent));
                }
                actions.push(Action::TimeOut(agent));
            }
        }
        if process.sees && world.disk.at == agent && process.run == Run::Idle && !process.opens.is_empty() {
            actions.push(Action::Survey(agent));
        }
        let breaks = world.spent.breaks < self.bound.breaks;
        for (attempt, _) in (0..).zip(&wire.outcomes).filter(|(_, outcome)| hears && **outcome != Outcome::None) {
            actions.push(Action::Outcome(agent, attempt));
            if breaks && process.link {
                actions.push(Action::AckLost(agent, attempt));
            }
        }
        if process.link && !world.broker.sessions[index] {
            actions.push(Action::LinkDies(agent));
        } else if breaks && process.link {
            actions.push(Action::AgentLosesLink(agent));
        }
        if breaks && world.broker.sessions[index] {
            actions.push(Action::BrokerLosesLink(agent));
        }
        if world.spent.crashes < self.bound.crashes && *process != Default::default() {
            actions.push(Action::AgentCrashes(agent));
        }
    }

    fn of_others(&self, world: &World, actions: &mut Vec<Action>) {
        for attempt in world.disk.pending.iter() {
            actions.push(Action::Execute(attempt));
            if world.spent.refusals < self.bound.refusals {
                actions.push(Action::Refuse(attempt));
            }
        }
        let busy = Self::busy(world) > 0;
        if busy && world.broker.former.is_some_and(|former| former.lost && !former.silent) {
            actions.push(Action::Silence);
        }
        for job in 0..self.bound.jobs {
            let has_tries = world.ledger.tries[job] < self.bound.tries;
            if has_tries && world.ledger.jobs[job].state == JobState::Failed && world.ledger.jobs[job].is_free() {
                actions.push(Action::Reissue(job as u8));
            }
            if Self::may_decide(world, job) {
                actions.push(Action::ByHand(job as u8));
            }
        }
        // That takes longer than any frame of a link that lives.
        let on_its_way = |agent: usize| world.agents[agent].process.link && world.wires[agent].control.is_some();
        if busy && world.broker.owner.is_none() && !(0..AGENTS).any(on_its_way) {
            actions.push(Action::Lapse);
        }
        if world.spent.crashes < self.bound.crashes && world.broker != Default::default() {
            actions.push(Action::BrokerCrashes);
        }
        if world.spent.moves < self.bound.moves {
            actions.push(Action::Move);
        }
    }

    /// The world after a step that is possible in it.
    pub fn step(&self, before: &World, action: Action) -> World {
        let mut after = *before;
        let world = &mut after;
        match action {
            Action::Join(agent) => self.join(world, agent),
            Action::Look(agent) => self.look(world, agent),
            Action::Report(agent) => {
                if let Some(has) = world.wire(agent).report.take() {
                    self.reported(world, agent, has);
                }
            }
            Action::Control(agent) => {
                if let Some(control) = world.wire(agent).control.take() {
                    self.control(world, agent, control);
                }
            }
            Action::Assign(agent, attempt) => {
                world.wire(agent).assigns.remove(attempt);
                self.assign(world, agent, attempt);
            }
            Action::Repeat(agent, attempt) => {
                world.spent.repeats += 1;
                self.assign(world, agent, attempt);
            }
            Action::Settle(agent, attempt) => {
                world.wire(agent).settles.remove(attempt);
                self.settle(world, agent, attempt);
            }
            Action::Begin(agent) => {
                if let Some(attempt) = self.next_to_begin(world, agent) {
                    self.begin(world, agent, attempt);
                }
            }
            Action::Send(agent) => {
                if let Run::Intended(attempt) = world.agent(agent).process.run {
                    self.send(world, agent, attempt);
                }
            }
            Action::Execute(attempt) => self.execute(world, attempt, true),
            Action::Refuse(attempt) => {
                world.spent.refusals += 1;
                self.execute(world, attempt, false);
            }
            Action::Answer(agent) => {
                if let Run::Sent(attempt) = world.agent(agent).process.run
                    && let Some(answer) = Self::answer_of(world, attempt)
                {
                    self.answer(world, agent, attempt, answer);
                }
            }
            Action::TimeOut(agent) => {
                if let Run::Sent(attempt) = world.agent(agent).process.run {
                    self.time_out(world, agent, attempt);
                }
            }
            Action::Survey(agent) => self.survey(world, agent),
            Action::Outcome(agent, attempt) => {
                let outcome = self.take_outcome(world, agent, attempt);
                let agent = world.agent(agent);
                // The confirmation is of what was told, and not of what was found out since.
                if agent.process.link && agent.journal.outcomes[usize::from(attempt)] == outcome {
                    agent.journal.outbox.remove(attempt);
                }
            }
            Action::AckLost(agent, attempt) => {
                world.spent.breaks += 1;
                self.take_outcome(world, agent, attempt);
                self.lose_link(world, agent);
            }
            Action::LinkDies(agent) => self.lose_link(world, agent),
            Action::Silence => self.silence(world),
            Action::Lapse => self.lapse(world),
            Action::Reissue(job) => self.reissue(world, usize::from(job)),
            Action::ByHand(job) => self.by_hand(world, usize::from(job)),
            Action::AgentLosesLink(agent) => {
                world.spent.breaks += 1;
                self.lose_link(world, agent);
            }
            Action::BrokerLosesLink(agent) => {
                world.spent.breaks += 1;
                self.end_session(world, agent);
            }
            Action::AgentCrashes(agent) => {
                world.spent.crashes += 1;
                self.agent_crashes(world, agent);
            }
            Action::BrokerCrashes => {
                world.spent.crashes += 1;
                self.broker_crashes(world);
            }
            Action::Move => {
                world.spent.moves += 1;
                self.moves(world);
            }
        }
        after
    }

    fn take_outcome(&self, world: &mut World, agent: AgentId, attempt: Attempt) -> Outcome {
        let outcome = std::mem::take(&mut world.wire(agent).outcomes[usize::from(attempt)]);
        self.outcome(world, agent, attempt, outcome);
        outcome
    }
}

impl stateright::Model for Model {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        // Both have joined, and the first has the disk: the way there is gone again after every crash.
        let joined =
            [Action::Look(0), Action::Join(0), Action::Report(0), Action::Control(0), Action::Join(1), Action::Report(1)];
        vec![joined.into_iter().fold(World::new(), |world, action| self.step(&world, action))]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        (0..AGENTS as AgentId).for_each(|agent| self.of_agent(world, agent, actions));
        self.of_others(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        Some(self.step(world, action)).filter(|after| after != world)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        properties::all(self)
    }
}

/// How attempts ended, for the properties.
fn any_row(world: &World, row: Row) -> bool {
    world.ledger.rows.contains(&row)
}
