//! A PC with an agent: the production link session, one production disk core a port, and a journal that survives the process.
//!
//! A mirror of `agent/src/worker/shell.rs` (one effect after the other) and `agent/src/run/board.rs` (who gets which message),
//! without their threads.

use std::collections::VecDeque;

use ed25519_dalek::SigningKey;
use taxdisk_agent::core::disk::commands::Command;
use taxdisk_agent::core::disk::{Config, DiskCore};
use taxdisk_agent::core::effect::{Answer, Effect, Issue, Operated, Told};
use taxdisk_agent::core::ladder::Rules;
use taxdisk_agent::core::records::Record;
use taxdisk_agent::core::wake::{Clocks, Watch};
use taxdisk_agent::core::{Context, lease_holds};
use taxdisk_agent::journal::memory::Memory;
use taxdisk_agent::link::outbox::Entry;
use taxdisk_agent::link::session::{Input, Session, Speaker};
use taxdisk_agent::worker::COMMANDS_MAX;
use taxdisk_drivers::disk::{IssueAnswer, Limits};
use taxdisk_drivers::operation::OperationAnswer;
use taxdisk_protocol::api::{DiskReport, InvoiceBody};
use taxdisk_protocol::ids::AgentId;
use taxdisk_protocol::invoice::Invoice;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, BrokerFrame, JournalHead};

use super::dice::Dice;
use super::disk::{Begun, nobody};
use super::knobs::Fault;
use super::trace::Lane;
use super::world::{Event, World};

/// What an effect in flight is.
#[derive(Debug)]
enum Flight {
    /// Until a time or a command.
    Waiting,
    /// An effect whose answer is made when its time has come.
    Plain(Effect),
    /// An issuing or other changing command, on this disk.
    Command { effect: Effect, device: usize, begun: Begun },
    /// An effect whose answer is known already.
    Answered(Answer),
}

/// One port with its worker.
#[derive(Debug)]
pub(super) struct Port {
    core: DiskCore,
    commands: VecDeque<Command>,
    flight: Option<Flight>,
    token: u64,
    pub(super) heard_ms: u64,
    /// The disk that is open, as the driver believes.
    open: Option<usize>,
    watch: Watch,
    woke: Option<u64>,
    report: Option<DiskReport>,
    twins: bool,
}

/// A PC.
pub(super) struct Pc {
    pub(super) index: usize,
    pub(super) agent: AgentId,
    /// Counts its processes.
    pub(super) life: u64,
    up: bool,
    pub(super) session: Session,
    pub(super) ports: Vec<Port>,
    pub(super) conn: Option<usize>,
    pub(super) link_alarm: Option<u64>,
    pub(super) asleep_until: u64,
    slept_ms: u64,
    pub(super) up_cut_until: u64,
    pub(super) down_cut_until: u64,
    /// What survives: journal, join counter, the ledger's id.
    pub(super) journal: Memory,
    journal_id: String,
    pub(super) join: u64,
    pub(super) ledger: String,
    /// Acknowledgements that nobody waits for: they become durable with the next write.
    acks: Vec<String>,
    /// An older state of the journal and the join counter.
    pub(super) copy: Option<(Memory, u64)>,
    /// It is a copy of another PC.
    pub(super) is_clone: bool,
    seed: u64,
}

impl std::fmt::Debug for Pc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pc").field("index", &self.index).field("life", &self.life).field("up", &self.up).finish_non_exhaustive()
    }
}

fn parse(body: &InvoiceBody, kind: InvoiceKind) -> Result<Invoice, String> {
    taxdisk_protocol::rules::parse_invoice(body, kind).map_err(|breaches| format!("{breaches:?}"))
}

/// The PC's clock, for people only.
const AT: &str = "2026-03-02T10:15:30Z";

impl Pc {
    pub(super) fn new(index: usize, ports: usize, dice: &mut Dice) -> Pc {
        let agent: AgentId = format!("ag_{index:016x}").parse().unwrap();
        let ledger = "lg_0000000000000000".to_owned();
        let seed = dice.roll();
        let mut pc = Pc {
            index,
            session: session(&agent, &ledger, seed),
            agent,
            life: 0,
            up: false,
            ports: Vec::new(),
            conn: None,
            link_alarm: None,
            asleep_until: 0,
            slept_ms: 0,
            up_cut_until: 0,
            down_cut_until: 0,
            journal: Memory::default(),
            journal_id: format!("{index:032x}"),
            join: 0,
            ledger,
            acks: Vec::new(),
            copy: None,
            is_clone: false,
            seed,
        };
        pc.ports.reserve(ports);
        pc
    }

    /// It runs and does not sleep.
    pub(super) fn is_awake(&self) -> bool {
        self.up && self.asleep_until == 0
    }

    /// When the broker was last known to know of it; all its ports hear the same.
    pub(super) fn heard_ms(&self) -> u64 {
        self.ports.iter().map(|port| port.heard_ms).max().unwrap_or(0)
    }

    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    pub(super) fn head(&self) -> JournalHead {
        JournalHead { id: self.journal_id.clone(), sequence: self.journal.sequence() }
    }

    /// The journal is gone; a new one has another id.
    pub(super) fn lose_journal(&mut self, id: u64) {
        (self.journal, self.join) = (Memory::default(), 0);
        self.journal_id = format!("{id:032x}");
    }

    /// Everything that survives, as the other PC has it.
    pub(super) fn become_copy_of(&mut self, other: &Pc) {
        self.agent = other.agent.clone();
        self.journal = other.journal.clone();
        self.journal_id.clone_from(&other.journal_id);
        (self.join, self.ledger, self.is_clone) = (other.join, other.ledger.clone(), true);
    }

    /// Keeps a copy of what survives.
    pub(super) fn back_up(&mut self) {
        self.copy = Some((self.journal.clone(), self.join));
    }

    /// Nothing that the broker must hear is on its way. Numbers that were read without a grant may wait for one for ever.
    pub(super) fn is_quiet(&self) -> bool {
        self.journal.pending().iter().all(|(_, _, frame)| matches!(frame, AgentFrame::Accounted { .. }))
    }
}

fn session(agent: &AgentId, ledger: &str, seed: u64) -> Session {
    let speaker = Speaker {
        agent: agent.clone(),
        key: SigningKey::from_bytes(&[7; 32]),
        ledger: ledger.to_owned(),
        version: "simulated".to_owned(),
    };
    Session::new(speaker, seed)
}

fn text(frame: &AgentFrame) -> String {
    serde_json::to_string(frame).unwrap()
}

impl World {
    pub(super) fn start_pc(&mut self, at: usize) {
        if self.pcs[at].up {
            return;
        }
        let (now, seed, disks) = (self.now, self.dice.roll(), self.devices.len());
        let exclusive = self.knobs.exclusive;
        let pc = &mut self.pcs[at];
        pc.life += 1;
        (pc.up, pc.asleep_until, pc.link_alarm, pc.conn) = (true, 0, None, None);
        pc.seed = seed;
        pc.session = session(&pc.agent, &pc.ledger, seed);
        for (id, disk, frame) in pc.journal.pending() {
            let entry = Entry { id, disk, text: text(&frame) };
            pc.session.handle(Input::Outbox(entry), std::time::Duration::from_millis(now));
        }
        let ports = (0..disks).map(|port| {
            let context = Context { now_ms: now, heard_ms: None, at: AT, view: &pc.journal };
            let config = Config { port: format!("port{port}"), exclusive, parse, recovery: Rules::default() };
            Port {
                core: DiskCore::new(config, &context),
                commands: VecDeque::new(),
                flight: None,
                token: 0,
                heard_ms: 0,
                open: None,
                watch: Watch::default(),
                woke: None,
                report: None,
                twins: false,
            }
        });
        pc.ports = ports.collect();
        let life = pc.life;
        self.note(Lane::Agent, || format!("PC {at} starts (life {life})"));
        for port in 0..disks {
            self.work(at, port);
        }
        self.link(at, Input::Tick);
    }

    /// The process dies. A write under way became durable in the last moment, or did not.
    pub(super) fn crash_pc(&mut self, at: usize, power: bool) -> bool {
        if !self.pcs[at].up {
            return false;
        }
        self.note(Lane::Fault, || format!("the agent of PC {at} dies{}", if power { ", and the PC with it" } else { "" }));
        for port in 0..self.pcs[at].ports.len() {
            if let Some(Flight::Plain(Effect::Write(records))) = self.pcs[at].ports[port].flight.take() {
                if self.dice.chance(500) {
                    // Refused or kept: nobody hears.
                    let _ = self.pcs[at].journal.append(&records);
                } else {
                    self.trace.state("write_lost");
                }
            }
        }
        if self.dice.chance(500) {
            self.write_acks(at);
        }
        self.pcs[at].acks.clear();
        self.close_up(at, power);
        let pc = &mut self.pcs[at];
        (pc.up, pc.asleep_until) = (false, 0);
        pc.life += 1;
        pc.ports.clear();
        true
    }

    fn write_acks(&mut self, at: usize) {
        let pc = &mut self.pcs[at];
        let ids = std::mem::take(&mut pc.acks);
        if !ids.is_empty() {
            let acked = pc.journal.append(&[Record::Acked { ids }]);
            assert!(acked.is_ok(), "to forget what was confirmed contradicts nothing");
        }
    }

    /// The PC sleeps: nothing of it moves, its boot clock goes on.
    pub(super) fn sleep(&mut self, at: usize, ms: u64) {
        let pc = &mut self.pcs[at];
        pc.asleep_until = self.now + ms;
        pc.slept_ms += ms;
        self.after(ms, Event::Wake { pc: at });
    }

    pub(super) fn wake(&mut self, at: usize) {
        if !self.pcs[at].up || self.pcs[at].asleep_until > self.now {
            return;
        }
        self.pcs[at].asleep_until = 0;
        self.note(Lane::Agent, || format!("PC {at} wakes up"));
        for port in 0..self.pcs[at].ports.len() {
            self.through(at, port);
        }
        self.link(at, Input::Tick);
    }

    fn with_core<T>(&mut self, at: usize, port: usize, decide: impl FnOnce(&mut DiskCore, &Context<'_>) -> T) -> T {
        let now_ms = self.now;
        let Pc { ports, journal, .. } = &mut self.pcs[at];
        let port = &mut ports[port];
        let heard_ms = Some(port.heard_ms).filter(|ms| *ms > 0);
        decide(&mut port.core, &Context { now_ms, heard_ms, at: AT, view: &*journal })
    }

    fn look_at_clocks(&mut self, at: usize, port: usize) {
        let now = self.now;
        let pc = &mut self.pcs[at];
        let clocks = Clocks { boot_ms: now, awake_ms: now - pc.slept_ms.min(now), wall_ms: now };
        let port = &mut pc.ports[port];
        port.woke = port.watch.look(clocks).or(port.woke);
    }

    /// The worker's loop until the next effect takes time.
    fn work(&mut self, at: usize, port: usize) {
        self.look_at_clocks(at, port);
        if let Some(slept) = self.pcs[at].ports[port].woke.take() {
            self.trace.state("woke");
            self.with_core(at, port, |core, context| core.command(Command::Woke(slept), context));
        }
        while let Some(command) = self.pcs[at].ports[port].commands.pop_front() {
            self.with_core(at, port, |core, context| core.command(command, context));
        }
        let effect = self.with_core(at, port, |core, context| core.next(context));
        self.tell(at, port);
        let until = match effect {
            Effect::Stop => return,
            Effect::Wait { until_ms } => {
                self.pcs[at].ports[port].flight = Some(Flight::Waiting);
                self.pcs[at].ports[port].token += 1;
                let Some(until) = until_ms else { return };
                until.max(self.now + 1)
            }
            effect => {
                let (flight, until) = self.begin(at, port, effect);
                self.pcs[at].ports[port].flight = Some(flight);
                self.pcs[at].ports[port].token += 1;
                until
            }
        };
        let (life, token) = (self.pcs[at].life, self.pcs[at].ports[port].token);
        self.at(until, Event::Worker { pc: at, life, port, token });
    }

    pub(super) fn worker_event(&mut self, at: usize, life: u64, port: usize, token: u64) {
        let pc = &self.pcs[at];
        if pc.life == life && pc.up && pc.ports[port].token == token {
            if pc.asleep_until > 0 {
                // It is taken up when the PC wakes.
                return;
            }
            self.through(at, port);
        }
    }

    /// The effect in flight is through.
    fn through(&mut self, at: usize, port: usize) {
        let Some(flight) = self.pcs[at].ports[port].flight.take() else { return };
        let answer = match flight {
            Flight::Waiting => Answer::Woken,
            Flight::Answered(answer) => answer,
            Flight::Plain(effect) => self.perform(at, port, effect),
            Flight::Command { effect, device, begun } => self.command_answer(at, port, &effect, device, &begun),
        };
        self.with_core(at, port, |core, context| core.answer(answer, context));
        self.tell(at, port);
        self.work(at, port);
    }

    /// A command for the worker of a port.
    pub(super) fn command(&mut self, at: usize, port: usize, command: Command) {
        let Some(worker) = self.pcs[at].ports.get_mut(port) else { return };
        if command == Command::LinkDown {
            worker.heard_ms = 0;
        }
        if worker.commands.len() >= COMMANDS_MAX {
            return self.link(at, Input::GiveUp("the disk takes no commands any more".to_owned()));
        }
        worker.commands.push_back(command);
        if matches!(worker.flight, Some(Flight::Waiting)) {
            self.through(at, port);
        }
    }

    fn reach(&self, at: usize, port: usize) -> Option<usize> {
        let open = self.pcs[at].ports[port].open?;
        self.devices[open].reached_from.contains(&(at, port)).then_some(open)
    }

    /// Begins an effect; when its answer is there.
    fn begin(&mut self, at: usize, port: usize, effect: Effect) -> (Flight, u64) {
        let soon = self.now + 1;
        match &effect {
            Effect::Write(_) => {
                let ms = self.dice.between(1, self.knobs.sync_ms);
                self.may_die(at, ms);
                (Flight::Plain(effect), self.now + ms)
            }
            Effect::Issue { .. } => {
                self.look_at_clocks(at, port);
                let worker = &self.pcs[at].ports[port];
                let heard = Some(worker.heard_ms).filter(|ms| *ms > 0);
                if !lease_holds(heard, self.now) || worker.woke.is_some() {
                    self.trace.state("withheld");
                    return (Flight::Answered(Answer::Issue(Issue::Withheld("withheld by the shell".to_owned()))), soon);
                }
                let Some(device) = self.reach(at, port) else {
                    let answer = IssueAnswer::NotSent(trouble_error());
                    return (Flight::Answered(Answer::Issue(Issue::Answer(answer, 1))), soon);
                };
                self.send_issue(at, device, effect)
            }
            Effect::Operate(send) => {
                let worker = &self.pcs[at].ports[port];
                let heard = Some(worker.heard_ms).filter(|ms| *ms > 0);
                if send.job.is_some() && !lease_holds(heard, self.now) {
                    self.trace.state("withheld");
                    return (Flight::Answered(Answer::Operated(Operated::Withheld("withheld by the shell".to_owned()))), soon);
                }
                let Some(device) = self.reach(at, port) else {
                    let answer = OperationAnswer::NotSent(trouble_error());
                    return (Flight::Answered(Answer::Operated(Operated::Answer(answer))), soon);
                };
                self.look_at_operation(at, device, send);
                let (begun, fault) = self.devices[device].operate(send, self.now, &self.knobs, self.calm);
                self.note_fault(fault);
                self.note(Lane::Disk, || format!("PC {at}: operation {} ({:?}) goes out", send.id, begun.reply));
                self.set_disk_alarm(device, &begun);
                let until = begun.answered_at_ms;
                self.may_die(at, until - self.now);
                (Flight::Command { effect, device, begun }, until)
            }
            Effect::Close | Effect::Reset | Effect::Keep { .. } => (Flight::Plain(effect), soon),
            _ => {
                let ms = self.dice.between(2, 40);
                (Flight::Plain(effect), self.now + ms)
            }
        }
    }

    fn send_issue(&mut self, at: usize, device: usize, effect: Effect) -> (Flight, u64) {
        let Effect::Issue { request, expected, epoch } = &effect else {
            return (Flight::Plain(effect), self.now + 1);
        };
        self.look_at_command(at, device, request, *expected, *epoch);
        let (begun, fault) = self.devices[device].issue(request, *expected, self.now, &self.knobs, self.calm);
        self.note_fault(fault);
        let (attempt, expected) = (request.assignment.attempt.clone(), *expected);
        self.note(Lane::Disk, || format!("PC {at}: issue {attempt}, expecting {expected}, goes out ({:?})", begun.reply));
        self.set_disk_alarm(device, &begun);
        let until = begun.answered_at_ms;
        self.may_die(at, until - self.now);
        (Flight::Command { effect, device, begun }, until)
    }

    /// At a durable step or under a command: the process may die before it is through.
    fn may_die(&mut self, at: usize, within_ms: u64) {
        if !self.calm && self.knobs.on(Fault::AgentCrash) && self.dice.chance(15) {
            let (life, ms) = (self.pcs[at].life, self.dice.below(within_ms + 1));
            self.after(ms, Event::PcDies { pc: at, life });
        }
    }

    pub(super) fn pc_dies(&mut self, at: usize, life: u64) {
        if self.pcs[at].life == life && !self.calm && self.crash_pc(at, false) {
            self.trace.fault("agent_crash_at_step");
            let ms = self.dice.between(100, 60_000);
            self.after(ms, Event::PcUp { pc: at });
        }
    }

    fn note_fault(&mut self, fault: Option<Fault>) {
        let name = match fault {
            None => return,
            Some(Fault::AnswerLost) => "answer_lost",
            Some(Fault::ErrorText) => "error_text",
            Some(Fault::NotSent) => "not_sent",
            Some(Fault::StaleAnswer) => "stale_answer",
            Some(Fault::Hung) => "hung",
            Some(_) => "runs_late",
        };
        self.trace.fault(name);
    }

    fn set_disk_alarm(&mut self, device: usize, begun: &Begun) {
        if let Some(at) = begun.runs_at_ms {
            self.at(at, Event::Disk(device));
        }
    }

    fn command_answer(&mut self, at: usize, port: usize, effect: &Effect, device: usize, begun: &Begun) -> Answer {
        self.devices[device].run_due(self.now);
        self.look_at_disk(device);
        let gone = self.reach(at, port) != Some(device);
        match effect {
            Effect::Operate(_) => Answer::Operated(match self.devices[device].operate_answer(begun, gone) {
                Ok(answer) => Operated::Answer(answer),
                Err(trouble) => Operated::Trouble(trouble),
            }),
            _ => {
                let answer = self.devices[device].issue_answer(begun, gone);
                self.note(Lane::Disk, || format!("PC {at} hears {answer:?}"));
                Answer::Issue(match answer {
                    Ok(answer) => Issue::Answer(answer, 1),
                    Err(trouble) => Issue::Trouble(trouble, 1),
                })
            }
        }
    }

    /// An effect whose answer is made now.
    fn perform(&mut self, at: usize, port: usize, effect: Effect) -> Answer {
        let (now, calm) = (self.now, self.calm);
        if let Effect::Write(records) = effect {
            self.write_acks(at);
            let written = self.pcs[at].journal.append(&records).map_err(|error| error.to_string());
            if let Err(text) = &written {
                self.note(Lane::Agent, || format!("PC {at}: the journal refuses: {text}"));
            }
            return Answer::Written(written);
        }
        if effect == Effect::Open {
            let device = self.devices.iter().position(|device| device.reached_from.contains(&(at, port)));
            let Some(device) = device else { return Answer::Opened(Err(nobody())) };
            let opened = self.devices[device].open(now, &self.knobs, calm).map(Box::new);
            self.look_at_disk(device);
            self.pcs[at].ports[port].open = opened.is_ok().then_some(device);
            return Answer::Opened(opened);
        }
        if let Effect::Close = effect {
            self.pcs[at].ports[port].open = None;
            return Answer::Done(Ok(()));
        }
        let device = self.reach(at, port);
        let knobs = &self.knobs;
        let Some(device) = device else {
            return match effect {
                Effect::Stock(_) => Answer::Stock(Err(nobody())),
                Effect::Limits(_) => Answer::Limits(Err(nobody())),
                Effect::Query { .. } => Answer::Query(Err(nobody())),
                Effect::Find { .. } => Answer::Find(Err(nobody())),
                Effect::Totals => Answer::Totals(Err(nobody())),
                _ => Answer::Done(Err(nobody())),
            };
        };
        let disk = &mut self.devices[device];
        let answer = match effect {
            Effect::Resync => Answer::Done(disk.resync(now, knobs, calm)),
            Effect::Stock(_) => Answer::Stock(disk.stock(now, knobs, calm)),
            Effect::Limits(_) => Answer::Limits(disk.read(now, knobs, calm).map(|()| Limits::default())),
            Effect::Query { pair, against, .. } => Answer::Query(disk.query(pair, &against, now, knobs, calm)),
            Effect::Find { request, .. } => Answer::Find(disk.find(&request, now, knobs, calm)),
            _ => Answer::Done(Ok(())),
        };
        self.look_at_disk(device);
        answer
    }

    /// What the core says goes where the board sends it.
    fn tell(&mut self, at: usize, port: usize) {
        for told in self.pcs[at].ports[port].core.told() {
            match told {
                Told::Frame(frame) => self.tell_frame(at, frame),
                Told::Report(report) => {
                    self.pcs[at].ports[port].report = Some(*report);
                    self.find_twins(at);
                    self.report(at);
                }
                Told::Away { text, .. } => {
                    self.note(Lane::Agent, || format!("PC {at}, port {port}: no disk: {text}"));
                    if self.pcs[at].ports[port].report.take().is_some() {
                        self.find_twins(at);
                        self.report(at);
                    }
                }
                Told::Order(report) => self.order_told(*report),
                Told::Climbed(_) => {}
            }
        }
    }

    fn tell_frame(&mut self, at: usize, frame: AgentFrame) {
        let input = match &frame {
            AgentFrame::Outcome { id, disk, .. }
            | AgentFrame::Accounted { id, disk, .. }
            | AgentFrame::Operated { id, disk, .. } => {
                if !self.pcs[at].journal.is_pending(id) {
                    let job = if let AgentFrame::Outcome { attempt, .. } = &frame { Some(attempt.key.clone()) } else { None };
                    self.violate("I8", job, format!("PC {at} tells {id}, which is not durable: {}", text(&frame)));
                }
                Input::Outbox(Entry { id: id.clone(), disk: disk.clone(), text: text(&frame) })
            }
            _ => Input::Send(frame),
        };
        self.link(at, input);
    }

    /// Two ports that show one number: neither gets work until one of them is read as empty.
    fn find_twins(&mut self, at: usize) {
        let numbers: Vec<Option<String>> =
            self.pcs[at].ports.iter().map(|port| port.report.as_ref().map(|report| report.disk.clone())).collect();
        for index in 0..numbers.len() {
            let twins =
                (0..numbers.len()).any(|other| other != index && numbers[index].is_some() && numbers[other] == numbers[index]);
            let was = std::mem::replace(&mut self.pcs[at].ports[index].twins, twins);
            if twins && !was {
                let Some(disk) = numbers[index].as_ref().and_then(|number| number.parse().ok()) else { continue };
                self.command(at, index, Command::Deny { disk, reason: "the same number shows at another port".to_owned() });
                self.command(at, index, Command::Look);
            }
        }
    }

    fn report(&mut self, at: usize) {
        let alone = self.pcs[at].ports.iter().filter(|port| !port.twins);
        let reports = alone.filter_map(|port| port.report.clone()).collect();
        self.link(at, Input::Disks(reports));
    }

    pub(super) fn link_down(&mut self, at: usize) {
        for port in 0..self.pcs[at].ports.len() {
            self.command(at, port, Command::LinkDown);
        }
    }

    pub(super) fn confirm(&mut self, at: usize, ids: Vec<String>) {
        self.pcs[at].acks.extend(ids);
        // Alone, it is written a moment later; with a write, before it.
        if self.dice.chance(500) {
            self.write_acks(at);
        }
    }

    /// A frame of the broker for the worker of its disk.
    pub(super) fn deliver(&mut self, at: usize, frame: BrokerFrame) {
        let (disk, command) = match frame {
            BrokerFrame::Grant { disk, epoch, accounted, open, forgotten } => {
                (disk.clone(), Command::Grant { disk, epoch, accounted, open, forgotten })
            }
            BrokerFrame::Deny { disk, reason } => (disk.clone(), Command::Deny { disk, reason }),
            BrokerFrame::Assign { disk, epoch, assignment } => (disk.clone(), Command::Assign { disk, epoch, assignment }),
            BrokerFrame::Recall { disk, attempt } => (disk, Command::Recall { attempt }),
            BrokerFrame::Settle { disk, epoch, open } => (disk.clone(), Command::Settle { disk, epoch, open }),
            BrokerFrame::Settled { disk, attempt, pair } => (disk.clone(), Command::Settled { disk, attempt, pair }),
            BrokerFrame::Recount { disk, epoch, after, since } => (disk.clone(), Command::Recount { disk, epoch, after, since }),
            BrokerFrame::Operate { disk, epoch, operation } => (disk.clone(), Command::Operate { disk, epoch, operation }),
            BrokerFrame::Challenge { .. }
            | BrokerFrame::Welcome { .. }
            | BrokerFrame::Ack { .. }
            | BrokerFrame::Update { .. }
            | BrokerFrame::Unsupported { .. }
            | BrokerFrame::Refused { .. } => return,
        };
        let is = |port: &Port| !port.twins && port.report.as_ref().is_some_and(|report| report.disk == disk.as_str());
        let Some(port) = self.pcs[at].ports.iter().position(is) else { return };
        self.command(at, port, command);
    }

    /// What is written last: acknowledgements.
    pub(super) fn flush_acks(&mut self) {
        for at in 0..self.pcs.len() {
            self.write_acks(at);
        }
    }
}

fn trouble_error() -> taxdisk_drivers::disk::DiskError {
    taxdisk_drivers::disk::DiskError {
        class: taxdisk_protocol::class::DeviceClass::NotPresent,
        code: None,
        text: "the cable is out".to_owned(),
        tries_left: None,
    }
}
