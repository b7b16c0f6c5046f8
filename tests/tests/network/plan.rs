//! What a seed decides before its world begins: who is there, how slow everything is, and what breaks when.

use taxdisk_tests::sim::dice::Dice;
use taxdisk_tests::sim::knobs::{Knobs, Line};

/// Faults begin after this, milliseconds: links are up then.
const QUIET_MS: u64 = 3_000;

/// Who is at the other end of a link to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// This agent.
    Agent(usize),
    /// The merchant.
    Merchant,
}

/// A direction on a link to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the broker.
    Up,
    /// From it.
    Down,
}

/// What breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Nothing passes, and what was under way is lost.
    Cut(Peer),
    /// The same one way only: one side still hears the other.
    CutOneWay(Peer, Way),
    /// Everything waits, and arrives afterwards.
    Hold(Peer),
    /// The same one way only.
    HoldOneWay(Peer, Way),
    /// Everything takes so many milliseconds.
    Slow(Peer, u64),
    /// The broker's process dies; the system closes its sockets.
    BrokerDies,
    /// The broker's machine loses power: nobody is told, and all others believe in their links.
    BrokerVanishes,
    /// An agent's process dies.
    AgentDies(usize),
    /// A PC loses power: the broker believes in the link, and the agent comes back beside it.
    AgentVanishes(usize),
}

impl What {
    /// For counting.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            What::Cut(_) => "cut",
            What::CutOneWay(_, Way::Up) => "cut up",
            What::CutOneWay(_, Way::Down) => "cut down",
            What::Hold(_) => "hold",
            What::HoldOneWay(_, Way::Up) => "hold up",
            What::HoldOneWay(_, Way::Down) => "hold down",
            What::Slow(..) => "slow",
            What::BrokerDies => "broker dies",
            What::BrokerVanishes => "broker vanishes",
            What::AgentDies(_) => "agent dies",
            What::AgentVanishes(_) => "agent vanishes",
        }
    }

    /// The links through which nothing comes, one way at least, by agent.
    pub(crate) fn silenced(&self, agents: usize) -> Vec<usize> {
        match self {
            What::Cut(Peer::Agent(agent))
            | What::CutOneWay(Peer::Agent(agent), _)
            | What::Hold(Peer::Agent(agent))
            | What::HoldOneWay(Peer::Agent(agent), _)
            | What::AgentVanishes(agent) => vec![*agent],
            What::BrokerVanishes => (0..agents).collect(),
            _ => Vec::new(),
        }
    }

    /// What it needs for itself: links by agent, then the merchant's, then the broker's process.
    fn needs(&self, agents: usize) -> Vec<usize> {
        match self {
            What::Cut(peer) | What::CutOneWay(peer, _) | What::Hold(peer) | What::HoldOneWay(peer, _) | What::Slow(peer, _) => {
                vec![match peer {
                    Peer::Agent(agent) => *agent,
                    Peer::Merchant => agents,
                }]
            }
            What::AgentDies(agent) | What::AgentVanishes(agent) => vec![*agent],
            What::BrokerDies => vec![agents + 1],
            What::BrokerVanishes => (0..agents + 2).collect(),
        }
    }
}

/// Something that breaks and is mended.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Begins, virtual milliseconds.
    pub(crate) from_ms: u64,
    /// Is mended.
    pub(crate) until_ms: u64,
    /// What.
    pub(crate) what: What,
}

/// The world of a seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The seed.
    pub(crate) seed: u64,
    /// Agents, each with a disk of its own.
    pub(crate) agents: usize,
    /// When each job is handed in, virtual milliseconds.
    pub(crate) jobs_ms: Vec<u64>,
    /// A frame takes up to this, milliseconds.
    pub(crate) latency_ms: u64,
    /// A commit of the broker takes up to this, milliseconds.
    pub(crate) commit_ms: u64,
    /// What breaks, in order.
    pub(crate) troubles: Vec<Trouble>,
    /// How the disks behave: well, and at a speed of their own.
    pub(crate) knobs: Knobs,
}

impl Plan {
    /// The world of this seed.
    pub(crate) fn of(seed: u64) -> Plan {
        let mut dice = Dice::new(seed ^ 0x6e65_7477_6f72_6b00);
        let agents = dice.between(1, 3) as usize;
        let chaos_ms = dice.between(60_000, 150_000);
        let jobs = dice.between(10, 30);
        let mut jobs_ms: Vec<u64> = (0..jobs).map(|_| dice.between(500, chaos_ms)).collect();
        jobs_ms.sort_unstable();
        // Disks that fail are the simulation's: here only the network and the processes do.
        // Without readable marks a person decides which of two equal invoices is whose, and there is no person.
        let knobs = Knobs {
            faults: Vec::new(),
            line: Line::Ordered,
            exclusive: false,
            mark: true,
            mark_readable: true,
            ..Knobs::of(seed)
        };
        Plan {
            seed,
            agents,
            jobs_ms,
            latency_ms: [10, 60, 300][dice.below(3) as usize],
            commit_ms: [2, 30, 800][dice.below(3) as usize],
            troubles: troubles(agents, chaos_ms, &mut dice),
            knobs,
        }
    }

    /// From here on nothing is broken, virtual milliseconds.
    pub(crate) fn mended_ms(&self) -> u64 {
        let last = self.troubles.iter().map(|trouble| trouble.until_ms).max();
        last.max(self.jobs_ms.last().copied()).unwrap_or_default()
    }
}

fn troubles(agents: usize, chaos_ms: u64, dice: &mut Dice) -> Vec<Trouble> {
    let mean_ms = [3_000, 8_000, 20_000][dice.below(3) as usize];
    let mut free_ms = vec![QUIET_MS; agents + 2];
    let mut all = Vec::new();
    let mut from_ms = QUIET_MS;
    loop {
        from_ms += dice.between(mean_ms / 3, mean_ms * 5 / 3);
        if from_ms >= chaos_ms {
            return all;
        }
        let what = draw(agents, dice);
        // Short: nobody need notice. Longer: one side may. Longest: both must.
        let lasts_ms = match dice.below(10) {
            0..5 => dice.between(200, 12_000),
            5..8 => dice.between(12_000, 70_000),
            _ => dice.between(88_000, 110_000),
        };
        let needs = what.needs(agents);
        if needs.iter().all(|one| free_ms[*one] <= from_ms) {
            let until_ms = from_ms + lasts_ms;
            needs.iter().for_each(|one| free_ms[*one] = until_ms + 500);
            all.push(Trouble { from_ms, until_ms, what });
        }
    }
}

fn draw(agents: usize, dice: &mut Dice) -> What {
    let agent = dice.below(agents as u64) as usize;
    let peer = if dice.chance(150) { Peer::Merchant } else { Peer::Agent(agent) };
    let way = if dice.chance(500) { Way::Up } else { Way::Down };
    match dice.below(16) {
        0..2 => What::Cut(peer),
        2..5 => What::CutOneWay(peer, way),
        5..7 => What::Hold(peer),
        7..10 => What::HoldOneWay(peer, way),
        10 => What::Slow(peer, dice.between(500, 6_000)),
        11..13 => What::BrokerDies,
        13 => What::BrokerVanishes,
        14 => What::AgentDies(agent),
        _ => What::AgentVanishes(agent),
    }
}
