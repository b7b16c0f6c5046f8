//! An agent's host: the production link with its outbox over a simulated socket, and the production core of a disk behind it,
//! over a journal in memory and a simulated disk, which both outlive the process.
//!
//! A mirror of `agent/src/run/board.rs` (who gets which message) and `agent/src/worker/shell.rs` (one effect after the other),
//! without their threads.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use taxdisk_agent::config::BrokerUrl;
use taxdisk_agent::core::disk::commands::Command;
use taxdisk_agent::core::disk::{Config, DiskCore};
use taxdisk_agent::core::effect::{Answer, Effect, Issue, Operated, Told};
use taxdisk_agent::core::ladder::Rules;
use taxdisk_agent::core::records::{Record, View};
use taxdisk_agent::core::{Context, lease_holds};
use taxdisk_agent::journal::memory::Memory;
use taxdisk_agent::link::client::{Connector, Dial, INPUTS_MAX, Joins, LinkEvent, Stream, drive};
use taxdisk_agent::link::outbox::Entry;
use taxdisk_agent::link::session::{Input, OtherKeys, Session, Speaker, Standing};
use taxdisk_agent::link::trouble::Stage;
use taxdisk_drivers::disk::Limits;
use taxdisk_protocol::ids::{AgentId, DiskNumber};
use taxdisk_protocol::link::{AgentFrame, BrokerFrame, JournalHead};
use taxdisk_tests::sim::dice::Dice;
use taxdisk_tests::sim::disk::{Begun, Device};
use taxdisk_tests::sim::knobs::Knobs;
use tokio::sync::mpsc;
use turmoil::net::TcpStream;

use super::broker::PORT;
use super::socket::Sockets;
use super::world::{LEDGER, World, now};

/// The PC's clock, for people only.
const AT: &str = "2026-03-02T10:15:30Z";

/// What outlives the agent's process.
pub(crate) struct Pc {
    /// The agent.
    pub(crate) agent: AgentId,
    /// The agent believes in its link.
    pub(crate) up: bool,
    /// The disk.
    pub(crate) device: Device,
    /// Sockets of its process.
    pub(crate) sockets: Sockets,
    index: usize,
    life: u64,
    journal: Memory,
    join: u64,
    /// Acknowledgements that become durable with the next write.
    acks: Vec<String>,
    /// Attempts whose command went to the disk.
    sent: BTreeSet<String>,
    dice: Dice,
}

impl Pc {
    /// A PC with its disk, enrolled.
    pub(crate) fn new(index: usize, knobs: &Knobs, dice: &mut Dice) -> Pc {
        Pc {
            agent: format!("ag_{index:016x}").parse().unwrap(),
            up: false,
            sockets: Sockets::default(),
            device: Device::new(index, knobs, dice.fork()),
            index,
            life: 0,
            journal: Memory::default(),
            join: 0,
            acks: Vec::new(),
            sent: BTreeSet::new(),
            dice: dice.fork(),
        }
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_bytes(&[self.index as u8 + 1; 32])
    }

    /// Public half of its key, base64.
    pub(crate) fn public_key(&self) -> String {
        STANDARD.encode(self.key().verifying_key().to_bytes())
    }

    fn head(&self) -> JournalHead {
        JournalHead { id: format!("{:032x}", self.index), sequence: self.journal.sequence() }
    }

    /// What the broker has not confirmed.
    pub(crate) fn unconfirmed(&self) -> Vec<(String, DiskNumber, AgentFrame)> {
        let pending = self.journal.pending().into_iter();
        pending.filter(|(id, ..)| !self.acks.contains(id)).collect()
    }

    fn write_acks(&mut self) {
        let ids = std::mem::take(&mut self.acks);
        if !ids.is_empty() {
            self.journal.append(&[Record::Acked { ids }]).unwrap();
        }
    }

    /// The process is gone, and what it had not written with it.
    pub(crate) fn gone(&mut self) {
        self.up = false;
        self.acks.clear();
    }
}

fn text(frame: &AgentFrame) -> String {
    serde_json::to_string(frame).unwrap()
}

fn connector(sockets: Sockets) -> Connector {
    Arc::new(move |host, port| {
        let sockets = sockets.clone();
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await.map_err(|error| (Stage::Tcp, error))?;
            Ok(Box::new(sockets.open(stream)) as Box<dyn Stream>)
        })
    })
}

/// One life of the agent.
pub(crate) async fn run(world: World, index: usize) -> turmoil::Result {
    let (inputs, link_inputs) = mpsc::channel(INPUTS_MAX);
    let (tell, told) = mpsc::unbounded_channel();
    let (session, core, sockets) = {
        let mut pc = world.pc(index);
        pc.life += 1;
        world.note(&format!("agent {index}"), &format!("starts (life {})", pc.life));
        let speaker =
            Speaker { agent: pc.agent.clone(), key: pc.key(), ledger: LEDGER.to_owned(), version: "simulated".to_owned() };
        let mut session = Session::new(speaker, pc.dice.roll());
        for (id, disk, frame) in pc.journal.pending() {
            session.handle(Input::Outbox(Entry { id, disk, text: text(&frame) }), now());
        }
        let context = Context { now_ms: now_ms(), heard_ms: None, at: AT, view: &pc.journal };
        let parse =
            |body: &_, kind| taxdisk_protocol::rules::parse_invoice(body, kind).map_err(|breaches| format!("{breaches:?}"));
        let config = Config { port: "port0".to_owned(), exclusive: false, parse, recovery: Rules::default() };
        pc.sockets.live();
        (session, DiskCore::new(config, &context), pc.sockets.clone())
    };
    let url = BrokerUrl { tls: false, host: "broker".to_owned(), port: PORT };
    let joins: Joins = {
        let world = world.clone();
        Arc::new(move || {
            let mut pc = world.pc(index);
            pc.join += 1;
            let joined = (pc.join, pc.head(), OtherKeys::default());
            Box::pin(async move { Ok(joined) })
        })
    };
    tokio::spawn(drive(
        Dial::over(url, connector(sockets)).into(),
        session,
        joins,
        now,
        link_inputs,
        Arc::new(Mutex::new(Standing::default())),
        Box::new(move |event| drop(tell.send(event))),
    ));
    let worker = Worker { world, index, core, inputs, told, commands: VecDeque::new(), heard_ms: None, disk: None };
    worker.run().await;
    Ok(())
}

fn now_ms() -> u64 {
    u64::try_from(now().as_millis()).unwrap_or(u64::MAX)
}

/// The one disk's worker.
struct Worker {
    world: World,
    index: usize,
    core: DiskCore,
    inputs: mpsc::Sender<Input>,
    told: mpsc::UnboundedReceiver<LinkEvent>,
    commands: VecDeque<Command>,
    heard_ms: Option<u64>,
    /// The number that the disk was read to have.
    disk: Option<String>,
}

/// An effect in flight.
enum Flight {
    Plain(Effect),
    Issue(Begun),
    Answered(Box<Answer>),
}

impl Worker {
    fn with_core<T>(&mut self, decide: impl FnOnce(&mut DiskCore, &Context<'_>) -> T) -> T {
        let pc = self.world.pc(self.index);
        decide(&mut self.core, &Context { now_ms: now_ms(), heard_ms: self.heard_ms, at: AT, view: &pc.journal })
    }

    fn note(&self, text: &str) {
        self.world.note(&format!("agent {}", self.index), text);
    }

    async fn run(mut self) {
        loop {
            while let Some(command) = self.commands.pop_front() {
                self.with_core(|core, context| core.command(command, context));
            }
            let effect = self.with_core(|core, context| core.next(context));
            self.tell();
            let answer = match effect {
                Effect::Stop => return,
                Effect::Wait { until_ms } => {
                    let until = until_ms.map(|until| until.max(now_ms() + 1));
                    self.wait(until, true).await;
                    Answer::Woken
                }
                Effect::Write(records) => self.write(&records).await,
                effect => {
                    let (flight, until) = self.begin(effect);
                    self.wait(Some(until), false).await;
                    self.end(flight)
                }
            };
            self.with_core(|core, context| core.answer(answer, context));
            self.tell();
        }
    }

    /// Until a time, or a command where one may wake it. The link goes on meanwhile.
    async fn wait(&mut self, until_ms: Option<u64>, for_command: bool) {
        loop {
            if for_command && !self.commands.is_empty() {
                return;
            }
            let sleep = async {
                match until_ms {
                    Some(until) => tokio::time::sleep(Duration::from_millis(until).saturating_sub(now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                event = self.told.recv() => match event {
                    Some(event) => self.link(event),
                    None => std::future::pending().await,
                },
                () = sleep => return,
            }
        }
    }

    /// A write becomes durable in the midst of its time, as a whole.
    async fn write(&mut self, records: &[Record]) -> Answer {
        let (before, after) = {
            let mut pc = self.world.pc(self.index);
            (pc.dice.between(1, self.world.plan().knobs.sync_ms), pc.dice.between(1, 5))
        };
        self.wait(Some(now_ms() + before), false).await;
        let written = {
            let mut pc = self.world.pc(self.index);
            pc.write_acks();
            pc.journal.append(records).map_err(|error| error.to_string())
        };
        self.wait(Some(now_ms() + after), false).await;
        Answer::Written(written)
    }

    /// Begins an effect; when its answer is there.
    fn begin(&mut self, effect: Effect) -> (Flight, u64) {
        let soon = now_ms() + 1;
        let world = self.world.clone();
        let mut pc = world.pc(self.index);
        match &effect {
            Effect::Issue { request, expected, .. } => {
                if !lease_holds(self.heard_ms, now_ms()) {
                    let withheld = Answer::Issue(Issue::Withheld("withheld by the shell".to_owned()));
                    return (Flight::Answered(Box::new(withheld)), soon);
                }
                let attempt = &request.assignment.attempt;
                if !pc.sent.insert(attempt.to_string()) {
                    world.violate(&format!("{attempt} goes to a disk a second time"));
                }
                if pc.journal.intent(attempt).is_none_or(|intent| intent.expected != *expected) {
                    world.violate(&format!("{attempt} goes to a disk, and no intent with {expected} is durable"));
                }
                self.note(&format!("issues {attempt}, expecting {expected}"));
                let (begun, _) = pc.device.issue(request, *expected, now_ms(), &world.plan().knobs, true);
                let until = begun.answered_at_ms;
                (Flight::Issue(begun), until)
            }
            Effect::Operate(_) => {
                let withheld = Answer::Operated(Operated::Withheld("there are no operations here".to_owned()));
                (Flight::Answered(Box::new(withheld)), soon)
            }
            Effect::Close | Effect::Reset | Effect::Keep { .. } => (Flight::Plain(effect), soon),
            _ => {
                let ms = pc.dice.between(2, 40);
                (Flight::Plain(effect), now_ms() + ms)
            }
        }
    }

    fn end(&mut self, flight: Flight) -> Answer {
        let world = self.world.clone();
        let pc = &mut *world.pc(self.index);
        let disk = &mut pc.device;
        let (ms, knobs) = (now_ms(), &world.plan().knobs);
        disk.run_due(ms);
        let answer = match flight {
            Flight::Answered(answer) => *answer,
            Flight::Issue(begun) => Answer::Issue(match disk.issue_answer(&begun, false) {
                Ok(answer) => Issue::Answer(answer, 1),
                Err(trouble) => Issue::Trouble(trouble, 1),
            }),
            Flight::Plain(Effect::Open) => Answer::Opened(disk.open(ms, knobs, true).map(Box::new)),
            Flight::Plain(Effect::Resync) => Answer::Done(disk.resync(ms, knobs, true)),
            Flight::Plain(Effect::Stock(_)) => Answer::Stock(disk.stock(ms, knobs, true)),
            Flight::Plain(Effect::Limits(_)) => Answer::Limits(disk.read(ms, knobs, true).map(|()| Limits::default())),
            Flight::Plain(Effect::Query { pair, against, .. }) => Answer::Query(disk.query(pair, &against, ms, knobs, true)),
            Flight::Plain(Effect::Find { request, .. }) => Answer::Find(disk.find(&request, ms, knobs, true)),
            Flight::Plain(_) => Answer::Done(Ok(())),
        };
        world.look_at_disk(self.index, disk);
        answer
    }

    /// What the core says goes where the board sends it.
    fn tell(&mut self) {
        for told in self.core.told() {
            let input = match told {
                Told::Frame(frame) => self.frame_up(frame),
                Told::Report(report) => {
                    self.disk = Some(report.disk.clone());
                    Input::Disks(vec![*report])
                }
                Told::Away { text, .. } => {
                    self.note(&format!("has no disk: {text}"));
                    self.disk = None;
                    Input::Disks(Vec::new())
                }
                Told::Order(_) | Told::Climbed(_) => continue,
            };
            if self.inputs.try_send(input).is_err() {
                self.world.violate(&format!("the link of agent {} takes no more inputs", self.index));
            }
        }
    }

    fn frame_up(&self, frame: AgentFrame) -> Input {
        match &frame {
            AgentFrame::Outcome { id, disk, .. }
            | AgentFrame::Accounted { id, disk, .. }
            | AgentFrame::Operated { id, disk, .. } => {
                if !self.world.pc(self.index).journal.outbox(disk).iter().any(|(known, _)| known == id) {
                    self.world.violate(&format!("agent {} tells {id}, which is not durable", self.index));
                }
                Input::Outbox(Entry { id: id.clone(), disk: disk.clone(), text: text(&frame) })
            }
            _ => Input::Send(frame),
        }
    }

    fn link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(_) => {
                self.note("the link is up");
                self.world.pc(self.index).up = true;
            }
            LinkEvent::Down(text) => {
                self.note(&format!("the link is down: {text}"));
                self.world.pc(self.index).up = false;
                self.heard_ms = None;
                self.commands.push_back(Command::LinkDown);
            }
            LinkEvent::Heard(at) => {
                let ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
                self.heard_ms = self.heard_ms.max(Some(ms));
            }
            LinkEvent::Confirm(ids) => self.confirm(ids),
            LinkEvent::Frame(frame) => self.frame(*frame),
            LinkEvent::Ledger(ledger) => self.world.violate(&format!("the ledger calls itself {ledger}")),
            LinkEvent::KeyTaken(_) => {}
        }
    }

    fn confirm(&mut self, ids: Vec<String>) {
        let pending = self.world.pc(self.index).journal.pending();
        for (id, _, frame) in pending.iter().filter(|(id, ..)| ids.contains(id)) {
            self.note(&format!("{id} is confirmed"));
            self.world.acknowledged(self.index, frame);
        }
        let mut pc = self.world.pc(self.index);
        pc.acks.extend(ids);
        // Alone, it is written a moment later; with a write, before it.
        if pc.dice.chance(500) {
            pc.write_acks();
        }
    }

    /// A frame of the broker for the worker.
    fn frame(&mut self, frame: BrokerFrame) {
        let (disk, command) = match frame {
            BrokerFrame::Grant { disk, epoch, accounted, open, forgotten } => {
                self.note(&format!("is granted {disk} under epoch {epoch}, {} open", open.len()));
                (disk.clone(), Command::Grant { disk, epoch, accounted, open, forgotten })
            }
            BrokerFrame::Deny { disk, reason } => {
                self.note(&format!("is denied {disk}: {reason}"));
                (disk.clone(), Command::Deny { disk, reason })
            }
            BrokerFrame::Assign { disk, epoch, assignment } => {
                self.note(&format!("is handed {}", assignment.attempt));
                self.world.assigned(self.index, &assignment.attempt);
                (disk.clone(), Command::Assign { disk, epoch, assignment })
            }
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
        if self.disk.as_deref() == Some(disk.as_str()) {
            self.commands.push_back(command);
        }
    }
}
