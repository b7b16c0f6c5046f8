//! The worker's thread: one effect after the other, and what came of it back to the core.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use taxdisk_drivers::actor::{ActorError, Deadlines, DiskActor, Handle, IssueOrder, Question};
use taxdisk_drivers::disk::{Identity, Red};
use taxdisk_drivers::operation::Operation;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, Assignment, AttemptRef, AttemptResult};
use taxdisk_protocol::number::NumberPair;

use super::{Command, Events, Opener, Why, WorkerConfig, WorkerEvent, millis};
use crate::clock;
use crate::core::disk::{Config, DiskCore};
use crate::core::effect::{Answer, Effect, Found, Issue, Opened, Operated, Request, Send, Told, Trouble};
use crate::core::operation::What;
use crate::core::records::Record;
use crate::core::wake::Watch;
use crate::core::{Context, lease_holds};
use crate::failure::Failure;
use crate::fault;
use crate::journal::Journal;
use crate::secrets::Secrets;
use crate::traces::Traces;

/// Failures of one attempt whose frames are told.
const RECORDINGS_PER_ATTEMPT: u32 = 4;

/// Everything that the thread owns.
pub(super) struct Shell {
    config: WorkerConfig,
    opener: Box<dyn Opener>,
    journal: Journal,
    events: Events,
    deadlines: Deadlines,
    commands: Receiver<Command>,
    heard_ms: Arc<AtomicU64>,
    disk: Option<(Handle, Identity)>,
    /// A driver that was let go while it hung: it still holds the port and may still write.
    leaving: Option<Handle>,
    sleep: Watch,
    /// The PC slept for so long, milliseconds, and the core was not told yet.
    woke: Option<u64>,
    disconnected: bool,
    traces: Traces,
    /// The attempt whose failures were told last, and how many of them.
    recorded: Option<(AttemptRef, u32)>,
}

fn trouble(error: ActorError) -> Trouble {
    match error {
        ActorError::Hung { .. } => Trouble::Hung,
        ActorError::Busy => Trouble::Busy,
        ActorError::Gone { .. } => Trouble::Gone(error.to_string()),
    }
}

/// What a red job says of its original.
fn red(assignment: &Assignment) -> Option<Red> {
    let original = assignment.original.filter(|_| assignment.operation == taxdisk_protocol::api::Operation::Red)?;
    let notice = Some(assignment.invoice.notice.clone()).filter(|notice| !notice.is_empty());
    Some(Red { original, notice })
}

fn spent(new: bool) -> Trouble {
    let text = format!("the {} password was tried already", if new { "new" } else { "old" });
    let class = DeviceClass::BadPassword;
    Trouble::Disk(taxdisk_drivers::disk::DiskError { class, code: None, text, tries_left: None })
}

fn flat<T>(answer: Result<Result<T, taxdisk_drivers::disk::DiskError>, ActorError>) -> Result<T, Trouble> {
    answer.map_err(trouble)?.map_err(Trouble::Disk)
}

fn parse(body: &taxdisk_protocol::api::InvoiceBody, kind: InvoiceKind) -> Result<taxdisk_protocol::invoice::Invoice, String> {
    taxdisk_protocol::rules::parse_invoice(body, kind).map_err(|breaches| {
        let texts: Vec<String> = breaches.iter().map(|breach| format!("{}: {}", breach.pointer, breach.detail)).collect();
        texts.join("; ")
    })
}

impl Shell {
    pub(super) fn new(
        config: WorkerConfig,
        opener: Box<dyn Opener>,
        journal: Journal,
        events: Events,
        deadlines: Deadlines,
        commands: Receiver<Command>,
        heard_ms: Arc<AtomicU64>,
    ) -> Shell {
        Shell {
            config,
            opener,
            journal,
            events,
            deadlines,
            commands,
            heard_ms,
            disk: None,
            leaving: None,
            sleep: Watch::default(),
            woke: None,
            disconnected: false,
            traces: Traces::default(),
            recorded: None,
        }
    }

    fn now_ms(&self) -> u64 {
        millis(clock::since_boot())
    }

    fn heard(&self) -> Option<u64> {
        Some(self.heard_ms.load(Ordering::SeqCst)).filter(|ms| *ms > 0)
    }

    /// Runs until the core says stop.
    pub(super) fn run(mut self) {
        let config =
            Config { port: self.config.port.clone(), exclusive: self.config.exclusive, parse, recovery: self.config.recovery };
        let mut core = self.with(|context| DiskCore::new(config, context));
        loop {
            // Before the commands: those that waited through a sleep belong to a grant that is over.
            self.look_at_clocks();
            if let Some(slept_ms) = self.woke.take() {
                tracing::info!(port = self.config.port, seconds = slept_ms / 1000, "the PC slept; the disk is looked at anew");
                self.with(|context| core.command(Command::Woke(slept_ms), context));
            }
            self.take_commands(&mut core);
            let effect = self.with(|context| core.next(context));
            self.tell(&mut core);
            if effect == Effect::Stop {
                return;
            }
            let brought_back = effect == Effect::Resync;
            let step = self.traces.begin(&effect, core.about(), core.is_settling(), &self.journal);
            let answer = self.perform(effect, &mut core);
            self.traces.end(step, answer.failure());
            if let Some(why) = answer.failure() {
                let lines = self.opener.keep_recording(&why);
                self.tell_recorded(&core, why, lines);
            } else if brought_back {
                self.opener.keep_recording("the line was brought back");
            }
            self.with(|context| core.answer(answer, context));
            self.tell(&mut core);
        }
    }

    fn with<T>(&self, decide: impl FnOnce(&Context<'_>) -> T) -> T {
        let at = clock::wall_clock();
        decide(&Context { now_ms: self.now_ms(), heard_ms: self.heard(), at: &at, view: &self.journal })
    }

    fn look_at_clocks(&mut self) {
        self.woke = self.sleep.look(clock::all()).or(self.woke);
    }

    fn take_commands(&mut self, core: &mut DiskCore) {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.take(command, core),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.disconnect(core),
            }
        }
    }

    fn take(&mut self, command: Command, core: &mut DiskCore) {
        self.traces.hear(&command);
        self.with(|context| core.command(command, context));
    }

    /// Nobody holds the worker any more: that is a stop.
    fn disconnect(&mut self, core: &mut DiskCore) {
        if !self.disconnected {
            self.disconnected = true;
            self.with(|context| core.command(Command::Stop, context));
        }
    }

    fn tell(&mut self, core: &mut DiskCore) {
        for told in core.told() {
            self.log(&told);
            let reported = matches!(&told, Told::Frame(AgentFrame::Outcome { .. }));
            if reported {
                fault::point("before_report");
            }
            (self.events)(match told {
                Told::Frame(frame) => WorkerEvent::Frame(frame),
                Told::Report(report) => WorkerEvent::Report(report),
                Told::Order(report) => WorkerEvent::Order(report),
                Told::Away { class, text } => WorkerEvent::Away(Why { class, text }),
                Told::Climbed(rung) => WorkerEvent::Climbed(rung),
            });
            if reported {
                fault::point("after_report");
            }
        }
    }

    /// The frames of a failure, to the broker's page of the job. The first failures of an attempt tell what is wrong; a disk that
    /// stays silent tells nothing more.
    fn tell_recorded(&mut self, core: &DiskCore, why: String, lines: Option<String>) {
        let (Some(lines), Some(attempt), Some(disk)) = (lines, core.about(), core.disk()) else { return };
        match &mut self.recorded {
            Some((of, told)) if of == attempt => *told += 1,
            other => *other = Some((attempt.clone(), 1)),
        }
        if self.recorded.as_ref().is_some_and(|(_, told)| *told <= RECORDINGS_PER_ATTEMPT) {
            let (disk, attempt) = (disk.clone(), attempt.clone());
            (self.events)(WorkerEvent::Frame(AgentFrame::Recorded { disk, attempt, why, lines }));
        }
    }

    /// What an attempt came to, with its trace: a line for whoever searches for it at this PC.
    fn log(&mut self, told: &Told) {
        let Told::Frame(frame) = told else { return };
        let trace_id = self.traces.told(frame, &self.journal);
        if let AgentFrame::Outcome { attempt, disk, outcome, disk_ms, .. } = frame {
            // Its text may name people.
            let class = match outcome {
                AttemptResult::NotIssued { class, .. } | AttemptResult::Unsettled { class, .. } => Some(class.as_str()),
                AttemptResult::Issued { .. } | AttemptResult::Voided { .. } | AttemptResult::GivenBack { .. } => None,
            };
            let (result, number) = (outcome.name(), attempt.attempt);
            tracing::info!(job = %attempt.key, attempt = number, %disk, result, class, disk_ms, trace_id, "attempt ended");
        }
    }

    fn perform(&mut self, effect: Effect, core: &mut DiskCore) -> Answer {
        match effect {
            Effect::Open => Answer::Opened(self.open(None).map(Box::new)),
            Effect::Try { id, new } => Answer::Opened(self.open(Some((&id, new))).map(Box::new)),
            Effect::Keep { id, new } => Answer::Done(self.keep(&id, new)),
            Effect::Totals => Answer::Totals(self.handle().and_then(|handle| flat(handle.offline_totals()))),
            Effect::Operate(send) => Answer::Operated(self.operate(&send)),
            Effect::Close => {
                self.close();
                Answer::Done(Ok(()))
            }
            Effect::Reset => Answer::Done(self.opener.reset().map_err(|why| Trouble::Gone(why.text))),
            Effect::Resync => Answer::Done(self.handle().and_then(|handle| flat(handle.resync()))),
            Effect::Stock(kind) => Answer::Stock(self.handle().and_then(|handle| flat(handle.stock(kind)))),
            Effect::Limits(kind) => Answer::Limits(self.handle().and_then(|handle| flat(handle.limits(kind)))),
            Effect::Query { kind, pair, against } => Answer::Query(self.query(kind, pair, &against)),
            Effect::Find { kind, request } => {
                let found = self.handle().and_then(|handle| flat(handle.find(kind, Question::Request(request))));
                Answer::Find(found)
            }
            Effect::Issue { request, expected, .. } => Answer::Issue(self.issue(&request, expected)),
            Effect::Write(records) => Answer::Written(self.write(records)),
            Effect::Wait { until_ms } => {
                self.wait(until_ms, core);
                Answer::Woken
            }
            Effect::Stop => Answer::Woken,
        }
    }

    fn handle(&self) -> Result<&Handle, Trouble> {
        self.disk.as_ref().map(|(handle, _)| handle).ok_or_else(|| Trouble::Gone("the port is not open".into()))
    }

    fn close(&mut self) {
        if let Some((handle, _)) = self.disk.take()
            && handle.hung_since().is_some()
        {
            self.leaving = Some(handle);
        }
    }

    /// `trying`: with one of the two passwords of a change.
    fn open(&mut self, trying: Option<(&str, bool)>) -> Result<Opened, Trouble> {
        self.close();
        if self.leaving.as_ref().is_some_and(|handle| handle.hung_since().is_some()) {
            return Err(Trouble::Hung);
        }
        self.leaving = None;
        let error = |class: DeviceClass, text: String| {
            Trouble::Disk(taxdisk_drivers::disk::DiskError { class, code: None, text, tries_left: None })
        };
        if let Some((id, new)) = trying {
            self.choose(id, new)?;
        }
        // Without a password set, nothing was tried: a durable stop is for a password that a disk refused.
        let disk = self.opener.open().map_err(|why| match why.class {
            DeviceClass::BadPassword => Trouble::Gone(why.text),
            class => error(class, why.text),
        })?;
        // A slow device is not taken for one that hangs.
        let deadlines = self.deadlines.covering(disk.longest_call());
        let handle = DiskActor::spawn(&self.config.port, disk, deadlines).map_err(|failed| Trouble::Gone(failed.to_string()))?;
        if let Some((id, new)) = trying
            && let Err(trouble) = self.spend(id, new)
        {
            return Err(trouble);
        }
        let identity = flat(handle.identity());
        let identity = match identity {
            Ok(identity) => identity,
            Err(trouble) => {
                if handle.hung_since().is_some() {
                    self.leaving = Some(handle);
                }
                return Err(trouble);
            }
        };
        let opened = Opened {
            identity: identity.clone(),
            capabilities: handle.capabilities(),
            fence: handle.fence(),
            dialect: handle.dialect().to_owned(),
            proves: handle.identity_proves().to_vec(),
        };
        self.disk = Some((handle, identity));
        Ok(opened)
    }

    fn order(&self, request: &Request, expected: NumberPair) -> Result<IssueOrder, Trouble> {
        let (_, seller) = self.disk.as_ref().ok_or_else(|| Trouble::Gone("the port is not open".into()))?;
        Ok(IssueOrder {
            kind: request.assignment.kind,
            expected,
            invoice: request.invoice.clone(),
            remark: request.remark.clone(),
            seller: seller.clone(),
            red: red(&request.assignment),
            request_id: request.assignment.attempt.key.serial.to_string(),
        })
    }

    fn query(&self, kind: InvoiceKind, pair: NumberPair, against: &[Arc<Request>]) -> Result<Option<Found>, Trouble> {
        let handle = self.handle()?;
        let Some(invoice) = flat(handle.query(kind, pair))? else { return Ok(None) };
        let compare = |request: &Arc<Request>| handle.compare(self.order(request, pair)?, invoice.clone()).map_err(trouble);
        let comparisons = against.iter().map(compare).collect::<Result<Vec<_>, Trouble>>()?;
        Ok(Some(Found { invoice, comparisons }))
    }

    fn issue(&mut self, request: &Request, expected: NumberPair) -> Issue {
        self.look_at_clocks();
        let (handle, order) = match (self.handle(), self.order(request, expected)) {
            (Ok(handle), Ok(order)) => (handle, order),
            (Err(trouble), _) | (_, Err(trouble)) => return Issue::Withheld(trouble.text()),
        };
        fault::point("before_send");
        // The last look: the write of the intent may have taken long.
        if !lease_holds(self.heard(), self.now_ms()) {
            return Issue::Withheld("the link was silent for too long before the command was written".into());
        }
        if self.woke.is_some() {
            return Issue::Withheld("the PC slept before the command was written".into());
        }
        let begun = Instant::now();
        let answer = handle.issue(order);
        let disk_ms = millis(begun.elapsed());
        fault::point("after_answer");
        match answer {
            Ok(answer) => Issue::Answer(answer, disk_ms),
            Err(error) => Issue::Trouble(trouble(error), disk_ms),
        }
    }

    fn passwords<T>(&self, act: impl FnOnce(&Secrets, &str) -> Result<T, Failure>) -> Result<T, Trouble> {
        let Some((secrets, name)) = self.opener.passwords() else {
            return Err(Trouble::Gone("the passwords of this port are not kept here".into()));
        };
        act(secrets, &name).map_err(|failure| Trouble::Gone(failure.text))
    }

    /// The next opening of the port uses this one.
    fn choose(&self, id: &str, new: bool) -> Result<(), Trouble> {
        if self.passwords(|secrets, name| secrets.choose(name, id, new))? { Ok(()) } else { Err(spent(new)) }
    }

    /// That it is tried is durable before it is.
    fn spend(&self, id: &str, new: bool) -> Result<(), Trouble> {
        if self.passwords(|secrets, name| secrets.spend(name, id, new))? { Ok(()) } else { Err(spent(new)) }
    }

    fn keep(&self, id: &str, new: bool) -> Result<(), Trouble> {
        self.passwords(|secrets, name| secrets.keep(name, id, new))
    }

    fn operate(&self, send: &Send) -> Operated {
        let operation = match self.operation(send) {
            Ok(operation) => operation,
            Err(text) => return Operated::Withheld(text),
        };
        let handle = match self.handle() {
            Ok(handle) => handle,
            Err(trouble) => return Operated::Withheld(trouble.text()),
        };
        fault::point("before_send");
        // The last look, as for an invoice. A person at the disk waits for no broker.
        if (send.job.is_some() || send.remote.is_some()) && !lease_holds(self.heard(), self.now_ms()) {
            return Operated::Withheld("the link was silent for too long before the command was written".into());
        }
        let answer = handle.operate(operation);
        fault::point("after_answer");
        match answer {
            Ok(answer) => Operated::Answer(answer),
            Err(ActorError::Busy | ActorError::Gone { begun: false }) => {
                Operated::Withheld("the disk's driver was at another command: nothing was sent".into())
            }
            Err(error) => Operated::Trouble(trouble(error)),
        }
    }

    /// The driver's form of it; passwords come from the secrets file and go nowhere else.
    fn operation(&self, send: &Send) -> Result<Operation, String> {
        Ok(match &send.what {
            What::Status | What::Stock | What::Query { .. } => return Err("a reading is no operation".into()),
            What::Void { kind, pair, operator } => {
                let net = send.net.ok_or("the invoice was not read")?;
                Operation::Void { kind: *kind, pair: *pair, net, operator: operator.clone() }
            }
            What::BlankVoid { kind, operator } => {
                let expected = send.expected.ok_or("the current number was not read")?;
                Operation::BlankVoid { kind: *kind, expected, operator: operator.clone() }
            }
            What::Report { kind } => Operation::Report { kind: *kind },
            What::Clear { kind } => Operation::Clear { kind: *kind },
            What::Upload { kind } => Operation::Upload { kind: *kind },
            What::RefreshOffline { kind } => Operation::RefreshOffline { kind: *kind },
            What::ChangePassword { which } => {
                let change = self.passwords(|secrets, name| secrets.change(name, &send.id));
                let change = change.map_err(|trouble| trouble.text())?.filter(|change| change.which == *which);
                let change = change.ok_or("the new password was not stored for this order")?;
                Operation::ChangePassword { which: *which, old: change.old, new: change.new }
            }
        })
    }

    fn write(&self, records: Vec<Record>) -> Result<(), String> {
        let intent = records.iter().any(|record| matches!(record, Record::Intent(_) | Record::OperationIntent(_)));
        let outcome = records.iter().any(|record| matches!(record, Record::Outcome(_) | Record::OperationOutcome(_)));
        if intent {
            fault::point("before_intent");
        }
        if outcome {
            fault::point("before_outcome");
        }
        let written = self.journal.append(records).wait().map_err(|error| error.to_string());
        if intent {
            fault::point("after_intent");
        }
        if outcome {
            fault::point("after_outcome");
        }
        written
    }

    fn wait(&mut self, until_ms: Option<u64>, core: &mut DiskCore) {
        let received = match until_ms {
            Some(until) => self.commands.recv_timeout(Duration::from_millis(until.saturating_sub(self.now_ms()).max(1))),
            None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(command) => self.take(command, core),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.disconnect(core),
        }
    }
}
