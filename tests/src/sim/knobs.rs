//! What can go wrong, how often, and for how long. Each seed switches a random part of it on (swarm): a world where everything
//! fails all the time reaches few states, since nothing ever gets far.

use serde::Serialize;

use super::dice::Dice;

/// Kinds of fault. A switch each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it; `Knobs` says how often")]
pub enum Fault {
    /// Links break; each side notices at a time of its own.
    LinkBreaks,
    /// Nothing passes for a while, one way or both; what was sent arrives afterwards.
    Partition,
    /// Seconds of delay: what an old link still carries is overtaken by a new one.
    SlowNetwork,
    /// A frame of the broker comes a second time, long after.
    FrameTwice,
    /// The agent's process dies.
    AgentCrash,
    /// The broker's process dies.
    BrokerCrash,
    /// The agent's journal is gone after a crash.
    JournalLost,
    /// The agent's journal is one of before, after a crash.
    JournalBack,
    /// The broker's ledger is put back to a copy, with the mark that the restore leaves.
    LedgerRestored,
    /// The ledger lost its end without a mark (a failover that lost what was confirmed).
    LedgerLost,
    /// The answer to a changing command is lost, before or after it took effect.
    AnswerLost,
    /// An error text comes, whether the command took effect or not.
    ErrorText,
    /// The command was not written whole.
    NotSent,
    /// An answer to an earlier command is taken for that of this one.
    StaleAnswer,
    /// The driver does not come back for a while.
    Hung,
    /// The command runs later than its answer was waited for.
    RunsLate,
    /// The disk says that it is busy.
    Busy,
    /// Readings fail.
    BadReadings,
    /// Queries find nothing, whatever is there.
    Blind,
    /// Another program uses numbers of the disk.
    OtherProgram,
    /// The disk is pulled out, also under a command, and plugged in again.
    Unplug,
    /// The disk is moved to another PC.
    Move,
    /// Two PCs reach one disk.
    Shared,
    /// The roll ends.
    OutOfStock,
    /// The disk is locked.
    Locked,
    /// The PC sleeps.
    Sleep,
    /// The broker's clock jumps.
    ClockJump,
    /// A second PC has a copy of an agent's state.
    AgentClone,
    /// People cancel.
    Cancel,
    /// People void and reverse.
    Undo,
    /// People void blanks at the PC, and click twice.
    BlankVoid,
    /// People settle while things are wrong, rightly and in ways that must be refused.
    Settle,
    /// The power of the whole site goes, mostly in the middle of a commit: the broker and all agents die at one moment. Where
    /// journals are lost, one may be lost by that.
    PowerCut,
    /// A blind disk shows its next number as it was when it went blind. Beyond what is claimed, and in no world of a seed: what
    /// rests on the next number has nothing left then but the guards behind it.
    StaleView,
}

impl Fault {
    /// Those that [`Knobs::first`] chooses from.
    pub const FIRST: [Fault; 32] = [
        Fault::LinkBreaks,
        Fault::Partition,
        Fault::SlowNetwork,
        Fault::FrameTwice,
        Fault::AgentCrash,
        Fault::BrokerCrash,
        Fault::JournalLost,
        Fault::JournalBack,
        Fault::LedgerRestored,
        Fault::LedgerLost,
        Fault::AnswerLost,
        Fault::ErrorText,
        Fault::NotSent,
        Fault::StaleAnswer,
        Fault::Hung,
        Fault::RunsLate,
        Fault::Busy,
        Fault::BadReadings,
        Fault::Blind,
        Fault::OtherProgram,
        Fault::Unplug,
        Fault::Move,
        Fault::Shared,
        Fault::OutOfStock,
        Fault::Locked,
        Fault::Sleep,
        Fault::ClockJump,
        Fault::AgentClone,
        Fault::Cancel,
        Fault::Undo,
        Fault::BlankVoid,
        Fault::Settle,
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Fault> {
        Fault::FIRST.into_iter().chain([Fault::PowerCut, Fault::StaleView])
    }

    /// As it is written in records.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// When nothing older can run on a simulated disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A byte stream to one device.
    Ordered,
    /// The device says which command it ran.
    Token,
    /// A component that may still execute what it took.
    Component,
}

/// Everything that a seed decides before its world begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Knobs {
    /// The seed of all that happens in the world.
    pub seed: u64,
    /// PCs with an agent.
    pub pcs: u8,
    /// Disks of the one seller.
    pub disks: u8,
    /// Jobs that merchants hand in.
    pub jobs: u16,
    /// How these disks are reached.
    pub line: Line,
    /// The seller has the mark on.
    pub mark: bool,
    /// The remark can be read back.
    pub mark_readable: bool,
    /// The configuration says that no other program uses the disks.
    pub exclusive: bool,
    /// The faults that happen at all, in order.
    pub faults: Vec<Fault>,
    /// Of a thousand commands to a disk, so many meet one of its faults.
    pub disk_fault_per_mille: u32,
    /// Mean time between two faults of networks, processes and people, milliseconds.
    pub trouble_every_ms: u64,
    /// Time in which faults happen, milliseconds.
    pub chaos_ms: u64,
    /// Between two looks of the broker at the time, milliseconds.
    pub tick_ms: u64,
    /// A commit of the broker takes up to this, milliseconds.
    pub commit_ms: u64,
    /// A write of the journal takes up to this, milliseconds.
    pub sync_ms: u64,
    /// A frame takes up to this, milliseconds.
    pub latency_ms: u64,
    /// An invoice takes up to this on a disk, milliseconds.
    pub issue_ms: u64,
}

impl Knobs {
    /// The world of a seed.
    pub fn of(seed: u64) -> Knobs {
        let mut knobs = Knobs::first(seed);
        // Dice of their own: what is added moves nothing else.
        let mut dice = Dice::new(seed ^ 0x90_3e2c);
        if dice.chance(200) {
            knobs.faults.push(Fault::PowerCut);
        }
        knobs
    }

    /// The world of a seed with the first 32 kinds of fault: what they found happens in these.
    pub fn first(seed: u64) -> Knobs {
        let mut dice = Dice::new(seed);
        let wanted = dice.between(2, 8) as usize;
        let mut faults: Vec<Fault> = Vec::new();
        while faults.len() < wanted {
            if let Some(fault) = dice.pick(&Fault::FIRST).filter(|fault| !faults.contains(fault)) {
                faults.push(*fault);
            }
        }
        // What is lost there is found in the journals, or nowhere: see the page on proof.
        if faults.contains(&Fault::LedgerLost) {
            let beyond =
                [Fault::JournalLost, Fault::JournalBack, Fault::LedgerRestored, Fault::AgentClone, Fault::Shared, Fault::Move];
            faults.retain(|fault| !beyond.contains(fault));
        }
        // Nobody but a journal knows of a roll that was used up between two that are seen.
        let forgets = [Fault::JournalLost, Fault::JournalBack, Fault::AgentClone].iter().any(|fault| faults.contains(fault));
        let several = faults.contains(&Fault::Move) || faults.contains(&Fault::Shared);
        if (forgets || several) && faults.contains(&Fault::LedgerRestored) {
            faults.retain(|fault| *fault != Fault::OutOfStock);
        }
        // Whether a late command ran, only the agent that sent it doubts. A ledger that went back asks the disk's owner of now,
        // and learns nothing where that is another one, or where the journal is lost too.
        if (several || forgets) && faults.contains(&Fault::LedgerRestored) {
            faults.retain(|fault| *fault != Fault::RunsLate);
        }
        // An order that is clicked again after its journal forgot it is a new order: see the page on proof.
        if forgets {
            faults.retain(|fault| *fault != Fault::BlankVoid);
        }
        if faults.contains(&Fault::LedgerLost) {
            faults.retain(|fault| *fault != Fault::Undo || dice.chance(500));
        }
        // Without its journal an agent knows no more which of two equal invoices is another job's; the broker's ledger does.
        let exclusive = !faults.contains(&Fault::OtherProgram) && !forgets && dice.chance(300);
        // A conversation of another PC would move what is found under this one's.
        if faults.contains(&Fault::Shared) {
            faults.retain(|fault| *fault != Fault::Blind);
        }
        let line = *dice.pick(&[Line::Ordered, Line::Ordered, Line::Token, Line::Component]).unwrap_or(&Line::Ordered);
        let several = faults.contains(&Fault::Move) || faults.contains(&Fault::Shared) || faults.contains(&Fault::AgentClone);
        let pcs = if several { dice.between(2, 3) } else { dice.between(1, 3) };
        let disks = if faults.contains(&Fault::LedgerLost) { 1 } else { dice.between(1, 2).min(pcs) };
        let mark = !dice.chance(200);
        let mut knobs = Knobs {
            seed,
            pcs: pcs as u8,
            disks: disks as u8,
            jobs: dice.between(20, 28) as u16,
            line,
            mark,
            mark_readable: !dice.chance(150),
            exclusive,
            faults,
            disk_fault_per_mille: [20, 80, 200, 400][dice.below(4) as usize],
            trouble_every_ms: [8_000, 20_000, 45_000, 90_000][dice.below(4) as usize],
            chaos_ms: dice.between(180_000, 1_500_000),
            tick_ms: [1_000, 1_000, 5_000, 10_000][dice.below(4) as usize],
            commit_ms: [2, 20, 800][dice.below(3) as usize],
            sync_ms: [2, 20, 400][dice.below(3) as usize],
            latency_ms: [2, 30, 300][dice.below(3) as usize],
            issue_ms: [20, 400, 2_500][dice.below(3) as usize],
        };
        knobs.faults.sort_unstable();
        knobs
    }

    /// The same world with these faults on too. `unmarked`: no mark tells whose an invoice is.
    pub fn with(mut self, faults: &[Fault], unmarked: bool) -> Knobs {
        let fresh: Vec<Fault> = faults.iter().copied().filter(|fault| !self.on(*fault)).collect();
        self.faults.extend(fresh);
        self.faults.sort_unstable();
        if self.on(Fault::Move) || self.on(Fault::Shared) {
            self.pcs = self.pcs.max(2);
        }
        if self.on(Fault::OtherProgram) {
            self.exclusive = false;
        }
        self.mark &= !unmarked;
        self
    }

    /// Does this fault happen in this world?
    pub fn on(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Worlds that are a little smaller, the boldest first, for [`super::minimize`].
    pub fn smaller(&self) -> Vec<Knobs> {
        let mut all = Vec::new();
        let mut push = |knobs: Knobs| {
            if knobs != *self {
                all.push(knobs);
            }
        };
        push(Knobs { jobs: (self.jobs / 2).max(1), ..self.clone() });
        push(Knobs { jobs: self.jobs.saturating_sub(1).max(1), ..self.clone() });
        push(Knobs { chaos_ms: (self.chaos_ms / 2).max(1_000), ..self.clone() });
        push(Knobs { disks: 1, ..self.clone() });
        push(Knobs { pcs: self.pcs.saturating_sub(1).max(self.disks), ..self.clone() });
        for index in 0..self.faults.len() {
            let mut faults = self.faults.clone();
            faults.remove(index);
            push(Knobs { faults, ..self.clone() });
        }
        push(Knobs { trouble_every_ms: (self.trouble_every_ms * 2).min(720_000), ..self.clone() });
        all
    }
}
