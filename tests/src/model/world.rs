//! The state of the model: a ledger, a broker, two agents with their journals, the wires between them, and one disk.
//!
//! Everything is a small number, so that a state is a few hundred bytes without a pointer and is copied, compared and
//! hashed as such. Read first: [`World`].

use super::table::Standing;

/// PCs with an agent each.
pub const AGENTS: usize = 2;
/// The most jobs; a [`super::Bound`] says how many there are.
pub const JOBS: usize = 3;
/// The most attempts of one job.
pub const TRIES: usize = 3;
/// All attempts that can be.
pub const ATTEMPTS: usize = JOBS * TRIES;

/// An attempt: [`job_of`] says of which job.
pub type Attempt = u8;
/// An agent: 0 or 1.
pub type AgentId = u8;

/// The job of an attempt.
pub fn job_of(attempt: Attempt) -> usize {
    usize::from(attempt) / TRIES
}

/// A set of attempts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Set(u16);

impl Set {
    pub fn has(self, attempt: Attempt) -> bool {
        self.0 & (1 << attempt) != 0
    }

    pub fn add(&mut self, attempt: Attempt) {
        self.0 |= 1 << attempt;
    }

    pub fn remove(&mut self, attempt: Attempt) {
        self.0 &= !(1 << attempt);
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn first(self) -> Option<Attempt> {
        self.iter().next()
    }

    pub fn iter(self) -> impl Iterator<Item = Attempt> {
        (0..ATTEMPTS as u8).filter(move |attempt| self.has(*attempt))
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set().entries(self.iter()).finish()
    }
}

/// What an agent's journal says became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Outcome {
    #[default]
    None,
    /// It was never begun. `read`: the disk was read for it.
    GivenBack {
        read: bool,
    },
    /// Begun, and nothing was issued.
    NotIssued {
        read: bool,
    },
    /// The disk refused the content; reading shows that nothing was issued.
    Refused,
    Unsettled,
    /// The disk's clean answer: this number.
    Issued(u8),
    /// Reading found this number.
    Found(u8),
}

impl Outcome {
    /// Nothing that is found out later changes it.
    pub fn is_final(self) -> bool {
        !matches!(self, Outcome::None | Outcome::Unsettled)
    }

    pub fn number(self) -> Option<u8> {
        match self {
            Outcome::Issued(number) | Outcome::Found(number) => Some(number),
            _ => None,
        }
    }

    /// The disk was read for it.
    pub fn has_read(self) -> bool {
        matches!(
            self,
            Outcome::GivenBack { read: true } | Outcome::NotIssued { read: true } | Outcome::Refused | Outcome::Found(_)
        )
    }
}

/// How an attempt stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Row {
    #[default]
    None,
    Open,
    Unsettled,
    GivenBack,
    NotIssued,
    Issued,
    /// Issued, as reading proves.
    Found,
    ByHand,
}

impl Row {
    pub fn is_open(self) -> bool {
        matches!(self, Row::Open | Row::Unsettled)
    }

    pub fn has_ended(self) -> bool {
        self != Row::None && !self.is_open()
    }
}

/// What the broker has committed: it survives everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ledger {
    pub jobs: [Standing; JOBS],
    pub tries: [u8; JOBS],
    /// The invoice of a job.
    pub numbers: [Option<u8>; JOBS],
    pub rows: [Row; ATTEMPTS],
    /// Epoch of each attempt.
    pub epochs: [u8; ATTEMPTS],
    /// Attempts of which a late outcome named a number.
    pub named: Set,
    /// Epoch of the disk.
    pub epoch: u8,
}

/// The last owner that has not released the disk cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Former {
    pub agent: AgentId,
    /// Its link broke without a goodbye.
    pub lost: bool,
    /// And that was 60 s ago.
    pub silent: bool,
}

/// What a broker's process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Broker {
    /// The link of an agent, as the broker sees it.
    pub sessions: [bool; AGENTS],
    /// Who says that the disk is with him.
    pub claims: [bool; AGENTS],
    pub denied: [bool; AGENTS],
    pub owner: Option<AgentId>,
    pub former: Option<Former>,
    /// Attempts that the owner was told of in his grant and has not answered.
    pub asked: Set,
}

/// What an agent does at its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Run {
    #[default]
    Idle,
    /// The intent is durable, nothing was sent.
    Intended(Attempt),
    /// The command was written, and is waited for.
    Sent(Attempt),
}

impl Run {
    pub fn attempt(self) -> Option<Attempt> {
        match self {
            Run::Idle => None,
            Run::Intended(attempt) | Run::Sent(attempt) => Some(attempt),
        }
    }
}

/// What an agent's process knows; gone with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Process {
    /// The link, as the agent sees it.
    pub link: bool,
    /// The disk is open behind its port, as far as it has noticed.
    pub sees: bool,
    /// Epoch that was granted in this process.
    pub epoch: Option<u8>,
    /// The broker was heard within 45 s.
    pub lease: bool,
    /// Assigned and not begun.
    pub staged: Set,
    pub run: Run,
    /// Attempts for which the disk must be read.
    pub opens: Set,
    /// Of these the device has answered: nothing of them runs any more.
    pub ended: Set,
    /// Assigned to this process before.
    pub heard: Set,
}

/// What an agent's journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Journal {
    pub intents: Set,
    pub outcomes: [Outcome; ATTEMPTS],
    /// Outcomes that the broker has not confirmed.
    pub outbox: Set,
}

/// An agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Agent {
    pub process: Process,
    pub journal: Journal,
}

/// The newest word about the disk itself that is on its way to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Control {
    Grant { epoch: u8, open: Set },
    Deny,
}

/// What is on its way between the broker and one agent. The two directions end when their receiver's side of the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Wire {
    pub control: Option<Control>,
    pub assigns: Set,
    pub settles: Set,
    /// To the broker: whether the disk is there.
    pub report: Option<bool>,
    pub outcomes: [Outcome; ATTEMPTS],
}

/// The disk. It alone knows what is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Disk {
    /// The PC where it is.
    pub at: AgentId,
    /// Commands that it has got and neither executed nor lost.
    pub pending: Set,
    /// Which attempt each number was signed for.
    pub signed: [Option<Attempt>; ATTEMPTS],
    /// Attempts that it refused.
    pub refused: Set,
    /// The oracle's note: attempts whose command it has got.
    pub got: Set,
    /// The oracle's note: the highest epoch of a command.
    pub epoch: u8,
}

impl Disk {
    /// The number that was signed for a job; the mark in the remark tells.
    pub fn number_of(&self, job: usize) -> Option<u8> {
        let is_of = |signed: &Option<Attempt>| signed.is_some_and(|attempt| job_of(attempt) == job);
        self.signed.iter().position(is_of).map(|number| number as u8)
    }

    /// How many invoices a job has.
    pub fn count(&self, job: usize) -> usize {
        self.signed.iter().flatten().filter(|attempt| job_of(**attempt) == job).count()
    }
}

/// Faults that have happened; a [`super::Bound`] says how many may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Spent {
    pub crashes: u8,
    pub breaks: u8,
    pub moves: u8,
    pub repeats: u8,
    pub refusals: u8,
}

/// Rules that a step broke; a property looks at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Breaches {
    /// An attempt went to the disk twice, after its proof, or while an earlier one may have issued or may run (I4).
    pub ran_again: bool,
    /// A command of a lower epoch came after one of a higher (I7).
    pub epoch_back: bool,
    /// A command went out before its intent was durable, or something was told before it was (I8).
    pub not_durable: bool,
    /// An event that the table refuses (I9).
    pub refused: bool,
    /// The word of an agent that does not own the disk changed a job's state (I7).
    pub word_of_another: bool,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    pub ledger: Ledger,
    pub broker: Broker,
    pub agents: [Agent; AGENTS],
    pub wires: [Wire; AGENTS],
    pub disk: Disk,
    pub spent: Spent,
    pub breaches: Breaches,
}

impl World {
    /// Jobs are accepted, the disk is at the first PC, and nobody has joined.
    pub fn new() -> World {
        World {
            ledger: Ledger {
                jobs: [Standing::NEW; JOBS],
                tries: [0; JOBS],
                numbers: [None; JOBS],
                rows: [Row::None; ATTEMPTS],
                epochs: [0; ATTEMPTS],
                named: Set::default(),
                epoch: 0,
            },
            broker: Broker::default(),
            agents: [Agent::default(); AGENTS],
            wires: [Wire::default(); AGENTS],
            disk: Disk {
                at: 0,
                pending: Set::default(),
                signed: [None; ATTEMPTS],
                refused: Set::default(),
                got: Set::default(),
                epoch: 0,
            },
            spent: Spent::default(),
            breaches: Breaches::default(),
        }
    }

    pub fn agent(&mut self, agent: AgentId) -> &mut Agent {
        &mut self.agents[usize::from(agent)]
    }

    pub fn wire(&mut self, agent: AgentId) -> &mut Wire {
        &mut self.wires[usize::from(agent)]
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}
