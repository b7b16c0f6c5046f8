//! One core, one fake disk, one broker, one journal: driven step by step, with a crash before or after any effect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use taxdisk_drivers::disk::NumberStatus;
use taxdisk_protocol::api::{DiskClimb, InvoiceBody, Operation};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::invoice::{Buyer, Invoice, Totals};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{Accounted, AgentFrame, Assignment, AttemptRef, AttemptResult, Forgotten, OpenAttempt};
use taxdisk_protocol::mark::mark;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;

use super::fake::{FakeDisk, KIND};
use crate::core::Context;
use crate::core::disk::commands::Command;
use crate::core::disk::{Config, DiskCore};
use crate::core::effect::{Answer, Effect, Issue, Operated, Told, Trouble};
use crate::core::ladder::{Rules, Rung};
use crate::core::operation::{Order, OrderReport, Verdict, What};
use crate::core::records::{Record, View};
use crate::journal::memory::Memory;

pub(super) fn key(serial: &str) -> JobKey {
    JobKey { seller: "91350100M000100Y43".parse().unwrap(), serial: serial.parse().unwrap() }
}

pub(super) fn parse(body: &InvoiceBody, _kind: InvoiceKind) -> Result<Invoice, String> {
    let gross: Amount = body.totals.gross.parse().map_err(|error| format!("{error}"))?;
    let buyer =
        Buyer { name: body.buyer.name.clone(), taxpayer_number: None, address_phone: String::new(), bank_account: String::new() };
    Ok(Invoice {
        buyer,
        lines: Vec::new(),
        totals: Totals { net: gross, tax: Amount::ZERO, gross },
        remark: body.remark.clone(),
        clerk: String::new(),
        payee: String::new(),
        reviewer: String::new(),
        notice: String::new(),
    })
}

#[derive(Debug, Clone)]
pub(super) struct Job {
    key: JobKey,
    buyer: String,
    gross: String,
    marked: bool,
    attempts: u32,
    operation: Operation,
    original: Option<NumberPair>,
}

/// The broker: as much of it as the agent can tell.
#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) queue: VecDeque<Job>,
    jobs: BTreeMap<JobKey, Job>,
    /// Assigned, no outcome yet.
    pub(super) open: BTreeMap<AttemptKey, OpenAttempt>,
    pub(super) results: BTreeMap<AttemptKey, AttemptResult>,
    pub(super) last: Option<NumberPair>,
    pub(super) epoch: u64,
    sequence: u64,
    granted: bool,
    pub(super) requeue: bool,
    pub(super) notes: Vec<String>,
    /// What its ledger does not know, because it went back.
    pub(super) forgotten: Forgotten,
    /// Numbers that it was told of under the present epoch.
    pub(super) entered: BTreeSet<NumberPair>,
}

fn spent() -> taxdisk_drivers::disk::DiskError {
    let class = taxdisk_protocol::class::DeviceClass::BadPassword;
    taxdisk_drivers::disk::DiskError { class, code: None, text: "tried already".into(), tries_left: None }
}

pub(super) type AttemptKey = (String, u32);

pub(super) fn attempt_key(attempt: &AttemptRef) -> AttemptKey {
    (attempt.key.serial.to_string(), attempt.attempt)
}

pub(super) struct World {
    pub(super) disk: FakeDisk,
    pub(super) journal: Memory,
    pub(super) core: Option<DiskCore>,
    pub(super) broker: Broker,
    pub(super) now_ms: u64,
    pub(super) link: bool,
    pub(super) exclusive: bool,
    /// Acknowledgements reach the agent.
    pub(super) acks: bool,
    pub(super) effects: u64,
    pub(super) lease_dead: bool,
    pub(super) present: bool,
    pub(super) ready: bool,
    pub(super) last_effect: Option<Effect>,
    pub(super) frames: Vec<AgentFrame>,
    pub(super) climbed: Vec<Rung>,
    /// What the last report of the disk said of it.
    pub(super) climbs: Vec<DiskClimb>,
    pub(super) recovery: Rules,
    pub(super) reports: BTreeMap<String, OrderReport>,
    pub(super) secrets: FakeSecrets,
}

/// The secrets file: it survives.
#[derive(Debug, Default)]
pub(super) struct FakeSecrets {
    /// The one that opening uses.
    pub(super) new: bool,
    /// Old and new were tried.
    pub(super) tried: (bool, bool),
    pub(super) kept: Option<bool>,
}

impl FakeSecrets {
    /// As `secrets.rs` does it.
    fn may_try(&mut self, new: bool) -> bool {
        if let Some(kept) = self.kept {
            return kept == new;
        }
        let tried = if new { &mut self.tried.1 } else { &mut self.tried.0 };
        if std::mem::replace(tried, true) {
            return false;
        }
        self.new = new;
        true
    }
}

impl World {
    pub(super) fn new(disk: FakeDisk) -> World {
        World {
            disk,
            journal: Memory::default(),
            core: None,
            broker: Broker { requeue: true, ..Broker::default() },
            now_ms: 1_000_000,
            link: true,
            exclusive: false,
            acks: true,
            effects: 0,
            lease_dead: false,
            present: false,
            ready: false,
            last_effect: None,
            frames: Vec::new(),
            climbed: Vec::new(),
            climbs: Vec::new(),
            recovery: Rules::default(),
            reports: BTreeMap::new(),
            secrets: FakeSecrets::default(),
        }
    }

    pub(super) fn number(&self) -> DiskNumber {
        self.disk.opened().identity.disk
    }

    pub(super) fn submit(&mut self, serial: &str, marked: bool) {
        self.submit_as(serial, marked, "个人", "10.00");
    }

    pub(super) fn submit_as(&mut self, serial: &str, marked: bool, buyer: &str, gross: &str) {
        self.push(serial, marked, buyer, gross, (Operation::Issue, None));
    }

    fn push(&mut self, serial: &str, marked: bool, buyer: &str, gross: &str, about: (Operation, Option<NumberPair>)) {
        let (operation, original) = about;
        let (key, buyer, gross) = (key(serial), buyer.into(), gross.into());
        self.broker.queue.push_back(Job { key, buyer, gross, marked, attempts: 0, operation, original });
    }

    pub(super) fn submit_void(&mut self, serial: &str, original: NumberPair) {
        self.push(serial, false, "", "0.00", (Operation::Void, Some(original)));
    }

    pub(super) fn submit_red(&mut self, serial: &str, marked: bool, original: NumberPair) {
        self.push(serial, marked, "个人", "-1.00", (Operation::Red, Some(original)));
    }

    pub(super) fn context<T>(&mut self, decide: impl FnOnce(&mut DiskCore, &Context<'_>) -> T) -> T {
        let heard_ms = if self.lease_dead { Some(self.now_ms.saturating_sub(46_000)) } else { self.link.then_some(self.now_ms) };
        let context = Context { now_ms: self.now_ms, heard_ms, at: "2026-03-02T10:15:30Z", view: &self.journal };
        let config = Config { port: "ttyS0".into(), exclusive: self.exclusive, parse, recovery: self.recovery };
        let core = self.core.get_or_insert_with(|| DiskCore::new(config, &context));
        decide(core, &context)
    }

    pub(super) fn command(&mut self, command: Command) {
        self.context(|core, context| core.command(command, context));
        self.listen();
    }

    pub(super) fn assignment(&mut self, mut job: Job) -> (Assignment, u64) {
        job.attempts += 1;
        self.broker.sequence += 1;
        let mut invoice = InvoiceBody::default();
        invoice.buyer.name = job.buyer.clone();
        invoice.totals.gross = job.gross.clone();
        let attempt = AttemptRef { key: job.key.clone(), attempt: job.attempts };
        let assignment = Assignment {
            attempt,
            sequence: self.broker.sequence,
            operation: job.operation,
            kind: KIND,
            invoice,
            content_hash: "h".into(),
            original: job.original,
            mark: job.marked.then(|| mark(&job.key)),
            trace: None,
        };
        let open = OpenAttempt {
            assignment: assignment.clone(),
            epoch: self.broker.epoch,
            agent: "ag_0000000000000001".parse().unwrap(),
            expected: None,
            named: None,
        };
        self.broker.open.insert(attempt_key(&assignment.attempt), open);
        self.broker.jobs.insert(job.key.clone(), job);
        (assignment, self.broker.epoch)
    }

    pub(super) fn order(&mut self, id: &str, what: What) {
        self.command(Command::Order(Order { id: id.into(), what, dry_run: false, anyway: false, remote: None }));
    }

    /// The broker acts: grants, then assigns up to two.
    pub(super) fn broker_acts(&mut self) {
        if !self.link || !self.present || self.core.as_ref().and_then(DiskCore::disk).is_none() {
            return;
        }
        let disk = self.number();
        if !self.broker.granted {
            self.broker.granted = true;
            self.broker.epoch += 1;
            let accounted = self.broker.last.map(|last| Accounted { kind: KIND, last }).into_iter().collect();
            let open: Vec<OpenAttempt> = self.broker.open.values().cloned().collect();
            let epoch = self.broker.epoch;
            let forgotten = self.broker.forgotten.clone();
            return self.command(Command::Grant { disk, epoch, accounted, open, forgotten });
        }
        if !self.ready {
            return;
        }
        let old = |open: &OpenAttempt| {
            open.epoch != self.broker.epoch && !self.broker.results.contains_key(&attempt_key(&open.assignment.attempt))
        };
        let unsettled = |key: &AttemptKey| matches!(self.broker.results.get(key), Some(AttemptResult::Unsettled { .. }));
        let busy = self.broker.open.keys().filter(|key| !unsettled(key)).count();
        if busy >= 2 || self.broker.open.values().any(old) {
            return;
        }
        if let Some(job) = self.broker.queue.pop_front() {
            let (assignment, epoch) = self.assignment(job);
            self.command(Command::Assign { disk, epoch, assignment });
        }
    }

    /// The broker noticed that the agent was away.
    pub(super) fn broker_grants_anew(&mut self) {
        self.broker.granted = false;
    }

    fn listen(&mut self) {
        let Some(core) = self.core.as_mut() else { return };
        for told in core.told() {
            match told {
                Told::Climbed(rung) => self.climbed.push(rung),
                Told::Away { .. } => {
                    self.present = false;
                    self.ready = false;
                    self.broker.granted = false;
                }
                Told::Report(report) => {
                    self.present = true;
                    self.ready = report.health.ready;
                    self.climbs = report.climbs.clone();
                }
                Told::Order(report) => {
                    if let Verdict::Ended(_) = report.verdict {
                        let known = self.journal.operation_outcome(&report.id);
                        assert!(known.is_some(), "I8: {} was told before it was durable", report.id);
                    }
                    self.reports.insert(report.id.clone(), *report);
                }
                Told::Frame(frame) => {
                    self.frames.push(frame.clone());
                    if self.link {
                        self.hear(frame);
                    }
                }
            }
        }
    }

    fn hear(&mut self, frame: AgentFrame) {
        let id = match frame {
            AgentFrame::Started { attempt, expected, .. } => {
                if let Some(open) = self.broker.open.get_mut(&attempt_key(&attempt)) {
                    open.expected = Some(expected);
                }
                return;
            }
            AgentFrame::Accounted { id, epoch, entries, last, note, .. } => {
                // Under another epoch it is kept and acknowledged, and enters nothing.
                if self.broker.granted && epoch == self.broker.epoch {
                    self.broker.last = Some(last);
                    self.broker.entered.extend(entries.iter().map(|entry| entry.pair));
                    self.broker.notes.extend(note);
                }
                id
            }
            AgentFrame::Operated { id, disk, .. } => {
                let kept = self.journal.outbox(&disk).iter().any(|(known, _)| *known == id);
                assert!(kept, "I8: {id} was told before it was durable");
                id
            }
            AgentFrame::Outcome { id, attempt, outcome, .. } => {
                assert!(self.journal.outcome(&attempt).is_some(), "I8: {attempt} was told before it was durable");
                let known = attempt_key(&attempt);
                let before = self.broker.results.insert(known.clone(), outcome.clone());
                if let Some(before) = before.filter(|before| !matches!(before, AttemptResult::Unsettled { .. })) {
                    assert_eq!(
                        std::mem::discriminant(&before),
                        std::mem::discriminant(&outcome),
                        "{attempt}: {before:?} then {outcome:?}"
                    );
                }
                match outcome {
                    AttemptResult::Unsettled { .. } => {}
                    AttemptResult::Issued { pair, .. } => {
                        self.broker.last = Some(pair);
                        self.broker.open.remove(&known);
                    }
                    AttemptResult::Voided { .. } => drop(self.broker.open.remove(&known)),
                    AttemptResult::NotIssued { .. } | AttemptResult::GivenBack { .. } => {
                        if self.broker.open.remove(&known).is_some() && self.broker.requeue {
                            let job = self.broker.jobs[&attempt.key].clone();
                            self.broker.queue.push_front(job);
                        }
                    }
                }
                id
            }
            _ => return,
        };
        if self.acks {
            self.journal.append(&[Record::Acked { ids: vec![id] }]).unwrap();
        }
    }

    /// One effect: asks for it, performs it, hands the answer over.
    pub(super) fn step(&mut self) {
        self.broker_acts();
        let effect = self.context(|core, context| core.next(context));
        self.listen();
        self.effects += 1;
        let answer = self.perform(&effect);
        self.last_effect = Some(effect);
        self.context(|core, context| core.answer(answer, context));
        self.listen();
    }

    pub(super) fn perform(&mut self, effect: &Effect) -> Answer {
        self.now_ms += 10;
        match effect {
            Effect::Open if self.disk.bad_password => Answer::Opened(Err(self.disk.stock().unwrap_err())),
            Effect::Open => Answer::Opened(self.disk.open_with(self.secrets.new).map(Box::new)),
            Effect::Try { new, .. } if !self.secrets.may_try(*new) => Answer::Opened(Err(Trouble::Disk(spent()))),
            Effect::Try { new, .. } => Answer::Opened(self.disk.open_with(*new).map(Box::new)),
            Effect::Keep { new, .. } => {
                self.secrets.kept = Some(*new);
                self.secrets.new = *new;
                Answer::Done(Ok(()))
            }
            Effect::Totals => Answer::Totals(self.disk.totals()),
            Effect::Operate(send) => Answer::Operated(match self.disk.operate(send) {
                Ok(answer) => Operated::Answer(answer),
                Err(trouble) => Operated::Trouble(trouble),
            }),
            Effect::Close | Effect::Reset => Answer::Done(Ok(())),
            Effect::Resync => Answer::Done(self.disk.resync()),
            Effect::Stock(_) => Answer::Stock(self.disk.stock()),
            Effect::Limits(_) => Answer::Limits(self.disk.limits()),
            Effect::Query { pair, against, .. } => Answer::Query(self.disk.query(*pair, against)),
            Effect::Find { request, .. } => Answer::Find(self.disk.find(request)),
            Effect::Issue { request, .. } => match self.disk.issue(request) {
                Ok(answer) => Answer::Issue(Issue::Answer(answer, 1)),
                Err(trouble) => Answer::Issue(Issue::Trouble(trouble, 1)),
            },
            Effect::Write(records) => Answer::Written(self.journal.append(records).map_err(|error| error.to_string())),
            Effect::Wait { until_ms } => {
                self.now_ms = until_ms.unwrap_or(self.now_ms + 1_000).min(self.now_ms + 60_000).max(self.now_ms);
                Answer::Woken
            }
            Effect::Stop => Answer::Woken,
        }
    }

    /// The process dies: what is in memory is gone.
    pub(super) fn crash(&mut self) {
        self.core = None;
        self.present = false;
        self.ready = false;
        self.broker.granted = false;
    }

    /// Dies at the effect with this number, before or after it is performed. False if it was not reached.
    pub(super) fn crash_at(&mut self, at: u64, after: bool, limit: u64) -> bool {
        for _ in 0..limit {
            if self.effects == at {
                self.broker_acts();
                let effect = self.context(|core, context| core.next(context));
                self.listen();
                if after {
                    self.perform(&effect);
                }
                self.crash();
                return true;
            }
            if self.is_done() {
                return false;
            }
            self.step();
        }
        panic!("nothing came to an end in {limit} effects; last {:?}", self.last_effect);
    }

    pub(super) fn is_done(&self) -> bool {
        let waits = matches!(self.last_effect, Some(Effect::Wait { .. }));
        let open =
            self.broker.open.keys().any(|key| !matches!(self.broker.results.get(key), Some(AttemptResult::Unsettled { .. })));
        waits
            && self.broker.granted
            && self.broker.queue.is_empty()
            && !open
            && self.core.as_ref().is_some_and(DiskCore::is_quiet)
    }

    /// Runs until all is done.
    pub(super) fn run(&mut self) {
        for _ in 0..5_000 {
            if self.is_done() {
                self.check();
                return;
            }
            self.step();
        }
        panic!(
            "not done after 5000 effects; open {:?}, last effect {:?}, log {:?}",
            self.broker.open.keys(),
            self.last_effect.as_ref().map(|effect| format!("{effect:?}").chars().take(300).collect::<String>()),
            self.disk.log.iter().rev().take(8).collect::<Vec<_>>()
        );
    }

    pub(super) fn result(&self, serial: &str, attempt: u32) -> Option<&AttemptResult> {
        self.broker.results.get(&(serial.to_owned(), attempt))
    }

    /// The pair that a job was issued as, over all its attempts.
    pub(super) fn issued(&self, serial: &str) -> Option<NumberPair> {
        let of = self.broker.results.iter().filter(|((of, _), _)| of == serial);
        of.filter_map(|(_, result)| if let AttemptResult::Issued { pair, .. } = result { Some(*pair) } else { None }).next_back()
    }

    /// What must always hold, by the disk's own ledger.
    pub(super) fn check(&self) {
        let mut owners: BTreeMap<NumberPair, &str> = BTreeMap::new();
        for job in self.broker.jobs.values() {
            let on_disk = self.disk.of(&job.key);
            assert!(on_disk.len() <= 1, "I1: {} was issued as {on_disk:?}", job.key);
            let serial = job.key.serial.as_str();
            let of: Vec<_> = self.broker.results.iter().filter(|((of, _), _)| of == serial).collect();
            let voids = |job: &Job| job.original.filter(|_| job.operation == Operation::Void);
            let is_void =
                |pair: NumberPair| self.disk.ledger.get(&pair).is_some_and(|entry| entry.status == NumberStatus::PositiveVoid);
            for ((_, number), result) in &of {
                match result {
                    AttemptResult::Voided { pair, .. } => {
                        assert_eq!(voids(job), Some(*pair), "{serial}#{number} voided another number");
                        assert!(is_void(*pair), "{serial}#{number} is said to be void, and {pair} is valid");
                    }
                    AttemptResult::Issued { pair, .. } => {
                        assert_eq!(on_disk, vec![*pair], "{serial}#{number} claims a number that is not its own");
                        let other = owners.insert(*pair, serial);
                        assert!(other.is_none_or(|other| other == serial), "I10: {pair} has two owners");
                    }
                    AttemptResult::NotIssued { .. } | AttemptResult::GivenBack { .. } => {
                        let later = of.iter().any(|((_, later), _)| later > number)
                            || self.broker.open.keys().any(|(of, later)| of == serial && later > number);
                        assert!(
                            later || !voids(job).is_some_and(is_void),
                            "I3: {serial}#{number} is said not to have voided, but its original is void"
                        );
                        assert!(
                            on_disk.is_empty() || later,
                            "I3: {serial}#{number} is said not to be issued, but is {on_disk:?}"
                        );
                    }
                    AttemptResult::Unsettled { .. } => {}
                }
            }
        }
    }
}
