//! The world: its parts, its clock and the order in which things happen. One thread, no waiting: the next event is the one whose
//! virtual time comes first.

use std::collections::BTreeMap;

use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::time::Timestamp;

use super::broker::Broker;
use super::dice::Dice;
use super::disk::Device;
use super::knobs::{Fault, Knobs};
use super::oracle::Oracle;
use super::pc::Pc;
use super::people::People;
use super::trace::{Lane, Trace};
use super::wire::{Conn, Message};

/// Where virtual time begins.
pub(super) const EPOCH_MS: i64 = 1_772_420_000_000;
/// How long a world may take to come to rest once faults have stopped, virtual milliseconds. The longest wait of the system is
/// that of an agent that is away (15 minutes), and persons look twice a minute.
const REST_MS: u64 = 4 * 3_600_000;
/// Events after which a world is given up: something in it goes round and round.
const EVENTS_MAX: u64 = 300_000;

/// Something that will happen.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// The effect in flight of a disk's worker is through, or its wait is over.
    Worker { pc: usize, life: u64, port: usize, token: u64 },
    /// A deadline of an agent's link.
    Link { pc: usize, life: u64 },
    /// A connection is open.
    Opened { conn: usize },
    /// A try to connect failed.
    NoConnection { pc: usize, life: u64 },
    /// A message reaches the broker.
    ToBroker { conn: usize, message: Message },
    /// A message reaches an agent.
    ToAgent { conn: usize, message: Message },
    /// The agent's side learns that its connection is gone.
    AgentNotices { conn: usize },
    /// The broker's side does.
    BrokerNotices { conn: usize },
    /// A frame that a PC had before reaches it once more.
    Again { pc: usize, text: String },
    /// The broker looks at the time.
    Tick { life: u64 },
    /// A commit is durable.
    Commit { life: u64 },
    /// The broker starts.
    BrokerUp,
    /// A PC starts.
    PcUp { pc: usize },
    /// An agent dies in the middle of something.
    PcDies { pc: usize, life: u64 },
    /// The broker does.
    BrokerDies { life: u64 },
    /// The power of the whole site goes in the middle of a commit.
    PowerGoes { life: u64 },
    /// A PC wakes up.
    Wake { pc: usize },
    /// A merchant looks after a sale.
    Sale(usize),
    /// Administrators look around.
    Person,
    /// Something goes wrong.
    Trouble,
    /// A command's time has come in a disk.
    Disk(usize),
    /// A disk is plugged in at this port.
    Plug { device: usize, pc: usize, port: usize },
    /// From here on nothing goes wrong.
    Calm,
}

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `I1` to `I10`, `live` for a world that does not come to rest, or `panic`.
    pub invariant: &'static str,
    /// What was seen.
    pub text: String,
    /// The job that it is about, if it is about one.
    pub job: Option<JobKey>,
    /// Virtual milliseconds.
    pub at_ms: u64,
}

/// A world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) knobs: Knobs,
    pub(super) now: u64,
    /// Faults have stopped.
    pub(super) calm: bool,
    pub(super) dice: Dice,
    pub(super) pcs: Vec<Pc>,
    pub(super) devices: Vec<Device>,
    pub(super) broker: Broker,
    pub(super) conns: Vec<Conn>,
    pub(super) people: People,
    pub(super) oracle: Oracle,
    pub(super) trace: Trace,
    pub(super) violation: Option<Violation>,
    /// Everything is over.
    pub(super) done: bool,
    queue: BTreeMap<(u64, u64), Event>,
    next_event: u64,
}

impl World {
    pub(super) fn new(knobs: Knobs, keeps_lines: bool) -> World {
        let mut dice = Dice::new(knobs.seed ^ 0xd15c);
        let devices = (0..usize::from(knobs.disks)).map(|index| Device::new(index, &knobs, dice.fork())).collect();
        let people = People::new(&knobs, dice.fork());
        let mut world = World {
            now: 1_000,
            calm: false,
            pcs: Vec::new(),
            devices,
            broker: Broker::new(dice.fork()),
            conns: Vec::new(),
            people,
            oracle: Oracle::default(),
            trace: Trace::new(keeps_lines),
            violation: None,
            done: false,
            queue: BTreeMap::new(),
            next_event: 0,
            dice,
            knobs,
        };
        for index in 0..usize::from(world.knobs.pcs) {
            let pc = Pc::new(index, usize::from(world.knobs.disks), &mut world.dice);
            world.broker.enrol(&pc);
            world.pcs.push(pc);
        }
        world
    }

    /// Runs until everything has come to rest, or something is wrong.
    pub(super) fn run(&mut self) {
        self.start_broker();
        self.set_up_seller();
        // Whoever has a clone's role comes later.
        let at_once = self.pcs.len() - usize::from(self.knobs.on(Fault::AgentClone));
        for pc in 0..at_once {
            self.after(1 + pc as u64, Event::PcUp { pc });
        }
        for sale in 0..self.people.sales.len() {
            let at = self.dice.below(self.knobs.chaos_ms * 2 / 3);
            self.after(at, Event::Sale(sale));
        }
        self.after(30_000, Event::Person);
        self.next_trouble();
        self.after(self.knobs.chaos_ms, Event::Calm);
        let limit = self.knobs.chaos_ms + REST_MS;
        let mut events = 0;
        while self.violation.is_none() && !self.done {
            let Some(((at, _), event)) = self.queue.pop_first() else {
                return self.violate("live", None, "nothing will ever happen again, and jobs are open".to_owned());
            };
            self.now = at;
            events += 1;
            self.trace.mix(at);
            self.happen(event);
            if at > limit || events > EVENTS_MAX {
                let open = self.open_jobs();
                let job = open.first().map(|(key, _)| key.clone());
                let text: Vec<String> = open.into_iter().map(|(key, text)| format!("{} {text}", key.serial)).collect();
                return self.violate(
                    "live",
                    job,
                    format!("no rest after {} s: {}; {}", self.now / 1000, self.unrest().unwrap_or_default(), text.join("; ")),
                );
            }
        }
        if self.violation.is_none() {
            self.check_end();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Worker { pc, life, port, token } => self.worker_event(pc, life, port, token),
            Event::Link { pc, life } => self.link_due(pc, life),
            Event::Opened { conn } => self.opened(conn),
            Event::NoConnection { pc, life } => self.no_connection(pc, life),
            Event::ToBroker { conn, message } => self.reach_broker(conn, message),
            Event::ToAgent { conn, message } => self.reach_agent(conn, message),
            Event::AgentNotices { conn } => self.agent_notices(conn, "the link broke"),
            Event::BrokerNotices { conn } => self.broker_notices(conn),
            Event::Again { pc, text } => self.again(pc, text),
            Event::Tick { life } => self.tick(life),
            Event::Commit { life } => self.commit_through(life),
            Event::BrokerUp => self.start_broker(),
            // A copy of another PC was switched off for good.
            Event::PcUp { pc } if self.calm && self.is_copy(pc) => {}
            Event::PcUp { pc } => self.start_pc(pc),
            Event::PcDies { pc, life } => self.pc_dies(pc, life),
            Event::BrokerDies { life } => self.broker_dies(life),
            Event::PowerGoes { life } => self.power_goes(life),
            Event::Wake { pc } => self.wake(pc),
            Event::Sale(sale) => self.look_after_sale(sale),
            Event::Person => self.people_look(),
            Event::Trouble => self.trouble(),
            Event::Disk(device) => {
                self.devices[device].run_due(self.now);
                self.look_at_disk(device);
            }
            Event::Plug { device, pc, port } => self.plug(device, pc, port),
            Event::Calm => self.become_calm(),
        }
    }

    /// Something will happen after so many milliseconds.
    pub(super) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now + ms, event);
    }

    /// Something will happen then.
    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.next_event += 1;
        self.queue.insert((at.max(self.now), self.next_event), event);
    }

    /// The broker's clock.
    pub(super) fn broker_time(&self) -> Timestamp {
        Timestamp(EPOCH_MS + i64::try_from(self.now).unwrap_or(i64::MAX) + self.broker.skew_ms)
    }

    /// Something is wrong. The first thing counts.
    pub(super) fn violate(&mut self, invariant: &'static str, job: Option<JobKey>, text: String) {
        if self.violation.is_none() {
            self.note(Lane::Fault, || format!("BROKEN {invariant}: {text}"));
            self.violation = Some(Violation { invariant, text, job, at_ms: self.now });
        }
    }

    /// A line of the trace.
    pub(super) fn note(&mut self, lane: Lane, text: impl FnOnce() -> String) {
        let now = self.now;
        self.trace.line(now, lane, text);
    }
}
