//! All of one disk: opens it, keeps its report, settles what is open, and runs one attempt at a time.
//!
//! The shell calls [`DiskCore::command`] at any time, and in turn [`DiskCore::next`] (what to do now; one effect in flight)
//! and [`DiskCore::answer`] (what came of it); [`DiskCore::told`] holds what to pass on.
//!
//! What it refuses to do: begin while anything on the disk is unsettled, before its numbers are accounted for, without a
//! grant of this process or with a lease that ran out; run what was staged when the link or the process went.

mod answers;
mod climbs;
pub mod commands;
mod operate;
mod orders;
mod passwords;
mod recount;
mod remote;
mod report;
mod voiding;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use taxdisk_drivers::disk::{Limits, OfflineTotals, Stock};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{Accounted, AgentFrame, Assignment, AttemptRef, OpenAttempt};
use taxdisk_protocol::time::disk_clock_after;

use super::account::Accounts;
use super::attempt::Attempt;
use super::breaker::Breaker;
use super::compare::{Open, Parse};
use super::effect::{Answer, Effect, Issue, Opened, Operated, Request, Told};
use super::ladder::{self, Ladder};
use super::operation::{OperationOutcome, Order, OrderReport, What};
use super::records::{Base, Owner, Record};
use super::walk::Walk;
use super::{Context, account, lease_holds, settle};
use crate::fault::planted;
use operate::Work;
pub(super) use remote::readings;

/// Between two looks at an idle disk, milliseconds: an unplugged one is noticed, and another program's invoices are entered.
const IDLE_POLL_MS: u64 = 20_000;
/// Limits and dates are read again after this time, milliseconds. They change by a clearing or an upload, not by an invoice,
/// and the disk enforces them itself; only the current pair must be fresh before each command (I5).
const LIMITS_AGE_MS: u64 = 600_000;
/// Between two tries to open a port that has no disk, milliseconds: hot-plug is noticed within a second.
const OPEN_RETRY_MS: u64 = 1_000;
/// Jobs at a disk: one running, one staged, so that the disk never waits for the network.
const JOBS_MAX: usize = 2;
/// Between two looks at the lease while a staged job waits for it, milliseconds.
const LEASE_LOOK_MS: u64 = 1_000;

/// What is configured for a disk.
#[derive(Debug, Clone)]
pub struct Config {
    /// Port, as configured.
    pub port: String,
    /// No other program uses this disk.
    pub exclusive: bool,
    /// Parses an invoice's wire form.
    pub parse: Parse,
    /// What may be tried when the disk stops answering.
    pub recovery: ladder::Rules,
}

#[derive(Debug, Clone)]
struct Staged {
    task: Task,
    epoch: u64,
}

/// What a job asks of the disk.
#[derive(Debug, Clone)]
enum Task {
    /// An invoice, blue or red.
    Issue(Arc<Request>),
    /// The void of one.
    Void(Arc<Assignment>),
}

impl Staged {
    fn assignment(&self) -> &Assignment {
        match &self.task {
            Task::Issue(request) => &request.assignment,
            Task::Void(assignment) => assignment,
        }
    }
}

#[derive(Debug, Clone)]
struct Level {
    stock: Option<Stock>,
    read_at_ms: u64,
}

/// What the effect in flight belongs to.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each disk")]
enum State {
    Idle,
    Waiting,
    Opening,
    Closing,
    Resetting,
    Resyncing,
    Level(InvoiceKind),
    Limits(InvoiceKind),
    Totals,
    Surveying(Walk, Vec<Open>),
    /// Reading for a ledger that went back.
    Recounting(Walk),
    /// An operation that has not ended.
    Operating(Box<Work>),
    /// Its numbers are being read.
    OperatingSurvey(Walk, Box<Work>),
    /// An attempt that has not ended; its next effect is `pending`.
    Attempting(Attempt),
    Writing(After),
}

/// What follows once a write is durable.
#[derive(Debug, Default)]
struct After {
    frames: Vec<AgentFrame>,
    /// If the journal refuses the records: these become unsettled instead.
    opens: Vec<Open>,
    /// What the journal is asked to keep of an operation that ended: told once it is durable.
    outcome: Option<Box<OperationOutcome>>,
    /// The password stop changed to this.
    password_stop: Option<Option<String>>,
    /// A whole report must follow, changed or not.
    report: bool,
    /// Nothing was sent, because grant or lease went: the attempt goes back.
    withheld: bool,
}

/// The core of one disk.
#[derive(Debug)]
pub struct DiskCore {
    config: Config,
    state: State,
    pending: Option<Effect>,
    opened: Option<Opened>,
    /// When it was, by the boot clock.
    opened_at_ms: u64,
    epoch: Option<u64>,
    broker_accounted: Vec<Accounted>,
    /// Assigned and not begun, in the order of their assignment.
    staged: VecDeque<Staged>,
    opens: Vec<Open>,
    /// The grant under which the numbers under way are read.
    survey_epoch: Option<u64>,
    /// Void attempts of which it must be found out whether they voided.
    void_opens: VecDeque<OpenAttempt>,
    to_account: BTreeSet<InvoiceKind>,
    writes: VecDeque<(Vec<Record>, After)>,
    levels: BTreeMap<InvoiceKind, Level>,
    limits: BTreeMap<InvoiceKind, (Limits, u64)>,
    /// What was not uploaded when it was asked last, and when that was; `None` inside: the disk does not tell.
    offline: Option<(Option<OfflineTotals>, u64)>,
    /// The disk's clock minus the PC's when it was opened, seconds.
    clock_offset_s: Option<i64>,
    /// Tries that were left when a password was refused.
    password_tries: Option<u8>,
    breaker: Breaker,
    open_at_ms: u64,
    resync: bool,
    password_stop: Option<String>,
    stopping: bool,
    /// The port is to be opened anew: a person changed the passwords, the line failed for long, or the PC slept.
    reopen: bool,
    /// The device is to be reset once the port is closed.
    reset: bool,
    ladder: Ladder,
    climbs: climbs::Climbs,
    /// Why no disk was there at the last try, as it was told.
    away: Option<String>,
    reporter: report::Reporter,
    told: VecDeque<Told>,
    /// Sequences heard in this process, staged ones included.
    heard_sequence: u64,
    /// Orders that were not begun.
    orders: VecDeque<Order>,
    /// What came of the broker's orders that changed nothing, and the epochs under which it asked: to be made durable.
    remote_reports: VecDeque<(OrderReport, u64)>,
    /// The operation under way, between two effects.
    work: Option<Box<Work>>,
    /// What the broker wants to be told again.
    recount: Option<recount::Recount>,
}

impl DiskCore {
    /// Begins with nothing open.
    pub fn new(config: Config, context: &Context<'_>) -> DiskCore {
        let password_stop = context.view.password_stop(&config.port);
        let away = |text: &String| Told::Away { class: DeviceClass::BadPassword, text: text.clone() };
        let told = password_stop.iter().map(away).collect();
        let ladder = Ladder::new(config.recovery);
        DiskCore {
            config,
            state: State::Idle,
            pending: None,
            opened: None,
            opened_at_ms: 0,
            epoch: None,
            broker_accounted: Vec::new(),
            staged: VecDeque::new(),
            opens: Vec::new(),
            survey_epoch: None,
            void_opens: VecDeque::new(),
            to_account: BTreeSet::new(),
            writes: VecDeque::new(),
            levels: BTreeMap::new(),
            limits: BTreeMap::new(),
            offline: None,
            clock_offset_s: None,
            password_tries: None,
            breaker: Breaker::default(),
            open_at_ms: 0,
            resync: false,
            password_stop,
            stopping: false,
            reopen: false,
            reset: false,
            ladder,
            climbs: climbs::Climbs::default(),
            away: None,
            reporter: report::Reporter::default(),
            told,
            heard_sequence: 0,
            orders: VecDeque::new(),
            remote_reports: VecDeque::new(),
            work: None,
            recount: None,
        }
    }

    /// What to pass on now, in order. Frames with an id are durable.
    pub fn told(&mut self) -> Vec<Told> {
        self.told.drain(..).collect()
    }

    /// The number of the disk that is open.
    pub fn disk(&self) -> Option<&DiskNumber> {
        self.opened.as_ref().map(|opened| &opened.identity.disk)
    }

    /// No attempt is open, staged or running here.
    pub fn is_quiet(&self) -> bool {
        self.opens.is_empty()
            && self.void_opens.is_empty()
            && self.staged.is_empty()
            && self.writes.is_empty()
            && self.orders.is_empty()
            && self.remote_reports.is_empty()
            && self.work.is_none()
            && matches!(self.state, State::Idle | State::Waiting)
    }

    /// What the shell must do now. Call it only when nothing is in flight.
    pub fn next(&mut self, context: &Context<'_>) -> Effect {
        self.ladder.attempts(self.has_open(), context.now_ms);
        if let Some(effect) = self.pending.take() {
            return self.pending_effect(effect, context);
        }
        self.write_remote_reports(context);
        if let Some((records, after)) = self.writes.pop_front() {
            self.state = State::Writing(after);
            return Effect::Write(records);
        }
        if let Some(text) = self.password_stop.clone() {
            self.refuse_orders(DeviceClass::BadPassword, &format!("the disk's password was refused: {text}"));
            self.give_back_staged(&format!("the disk's password was refused: {text}"), context);
            self.write_remote_reports(context);
            return match (self.writes.is_empty(), self.stopping) {
                (false, _) => self.next(context),
                (true, true) => Effect::Stop,
                (true, false) => self.wait(None),
            };
        }
        if self.opened.is_none() {
            return self.next_closed(context);
        }
        if self.reopen {
            self.state = State::Closing;
            return Effect::Close;
        }
        if let Some(until_ms) = self.breaker.wait_until_ms(context.now_ms) {
            self.refuse_orders(DeviceClass::Link, "the disk does not answer now: try again when `status` shows it ready");
            if !self.is_ready(context) {
                self.give_back_staged("the disk does not answer", context);
            }
            self.write_remote_reports(context);
            return if self.writes.is_empty() && !self.stopping { self.wait(Some(until_ms)) } else { self.next_quiet(context) };
        }
        // A survey brings the line back by itself, and so does an operation that is to be settled.
        if self.resync && self.opens.is_empty() && self.void_opens.is_empty() && self.work.is_none() {
            self.state = State::Resyncing;
            return Effect::Resync;
        }
        self.next_open(context)
    }

    /// An attempt may have been sent, and its end is not known.
    fn has_open(&self) -> bool {
        let surveyed = matches!(&self.state, State::Surveying(_, opens) if opens.iter().any(|open| !open.again));
        let operating = self.work.is_some() || matches!(self.state, State::Operating(_) | State::OperatingSurvey(..));
        surveyed
            || operating
            || !self.opens.is_empty()
            || !self.void_opens.is_empty()
            || matches!(self.state, State::Attempting(_))
    }

    fn pending_effect(&mut self, effect: Effect, context: &Context<'_>) -> Effect {
        let (attempt, expected, epoch) = match &effect {
            Effect::Issue { epoch, request, expected } => (request.assignment.attempt.clone(), *expected, *epoch),
            Effect::Operate(send) if send.remote.is_some() => return self.pending_remote(effect, context),
            Effect::Operate(send) => match (&send.job, &send.what) {
                (Some(job), What::Void { pair, .. }) => (job.attempt.clone(), *pair, job.epoch),
                _ => return effect,
            },
            _ => return effect,
        };
        if self.may_begin(epoch, context) {
            if let Some(disk) = self.disk().cloned() {
                self.told.push_back(Told::Frame(AgentFrame::Started { disk, epoch, attempt, expected }));
            }
            return effect;
        }
        // The grant or the lease went while the intent became durable: nothing was sent, and that is certain.
        let withheld = match effect {
            Effect::Operate(_) => Answer::Operated(Operated::Withheld(WITHHELD.into())),
            _ => Answer::Issue(Issue::Withheld(WITHHELD.into())),
        };
        self.answer(withheld, context);
        self.next(context)
    }

    fn next_quiet(&mut self, context: &Context<'_>) -> Effect {
        if !self.writes.is_empty() {
            return self.next(context);
        }
        self.give_back_staged("the agent is being stopped", context);
        if self.writes.is_empty() { Effect::Stop } else { self.next(context) }
    }

    fn next_closed(&mut self, context: &Context<'_>) -> Effect {
        self.give_back_staged("no disk answers behind the port", context);
        self.refuse_orders(DeviceClass::NotPresent, "no disk answers behind the port: plug it in");
        self.write_remote_reports(context);
        if !self.writes.is_empty() {
            return self.next(context);
        }
        if self.stopping {
            return Effect::Stop;
        }
        if std::mem::take(&mut self.reset) {
            self.state = State::Resetting;
            return Effect::Reset;
        }
        if self.open_at_ms > context.now_ms {
            return self.wait(Some(self.open_at_ms));
        }
        // Which of the two passwords is right must be known before one is used.
        if let Some(effect) = self.settle_password(context) {
            return effect;
        }
        self.state = State::Opening;
        Effect::Open
    }

    fn next_open(&mut self, context: &Context<'_>) -> Effect {
        // First of all: until it is known what an operation did, nobody knows whose a number is.
        if let Some(effect) = self.next_operation(context) {
            return effect;
        }
        if let Some(open) = self.opens.first() {
            let kind = open.kind;
            let (opens, rest) = std::mem::take(&mut self.opens).into_iter().partition(|open| open.kind == kind);
            self.opens = rest;
            return self.survey(kind, opens, true, context);
        }
        let kinds = self.opened.as_ref().map(|opened| opened.identity.kinds.clone()).unwrap_or_default();
        if let Some(kind) = kinds.iter().copied().find(|kind| !self.levels.contains_key(kind)) {
            self.state = State::Level(kind);
            return Effect::Stock(kind);
        }
        if let Some(kind) = kinds.iter().copied().find(|kind| !self.limits.contains_key(kind)) {
            self.state = State::Limits(kind);
            return Effect::Limits(kind);
        }
        if let Some(effect) = self.next_order(context) {
            return effect;
        }
        self.report(context, false);
        if self.stopping {
            return self.next_quiet(context);
        }
        if self.holds_disk(context)
            && let Some(kind) = self.to_account.first().copied()
        {
            return self.account(kind, context);
        }
        if let Some(effect) = self.next_recount(context) {
            return effect;
        }
        if let Some(effect) = self.begin(context) {
            return effect;
        }
        self.idle(&kinds, context)
    }

    fn begin(&mut self, context: &Context<'_>) -> Option<Effect> {
        let staged = self.staged.front()?;
        let epoch = staged.epoch;
        if !self.is_ready(context) {
            let text = self.breaker.unready(context.now_ms).map_or_else(String::new, |trouble| trouble.text.clone());
            self.report(context, true);
            self.give_back_staged(&format!("the disk is not ready: {text}"), context);
            return Some(self.next(context));
        }
        if self.epoch != Some(epoch) && !planted("old_epoch_begins") {
            self.give_back_staged("the disk was granted anew", context);
            return Some(self.next(context));
        }
        if !self.may_begin(epoch, context) {
            return Some(self.wait(Some(context.now_ms + LEASE_LOOK_MS)));
        }
        let staged = self.staged.pop_front()?;
        match staged.task {
            Task::Issue(request) => {
                let (attempt, effect) = Attempt::start(request, staged.epoch);
                self.state = State::Attempting(attempt);
                Some(effect)
            }
            Task::Void(assignment) => Some(self.begin_void(assignment, staged.epoch, context)),
        }
    }

    fn idle(&mut self, kinds: &[InvoiceKind], context: &Context<'_>) -> Effect {
        let now = context.now_ms;
        if let Some(kind) = kinds
            .iter()
            .copied()
            .find(|kind| self.limits.get(kind).is_none_or(|(_, at)| now.saturating_sub(*at) >= LIMITS_AGE_MS))
        {
            self.state = State::Limits(kind);
            return Effect::Limits(kind);
        }
        // For the early warning only, and only of a disk that limits it: an idle disk has the time, and no job waits for it.
        let limited = |(limits, _): &(Limits, u64)| limits.offline_hours.is_some() || limits.offline_amount.is_some();
        if self.limits.values().any(limited)
            && self.offline.as_ref().is_none_or(|(_, at)| now.saturating_sub(*at) >= LIMITS_AGE_MS)
        {
            self.state = State::Totals;
            return Effect::Totals;
        }
        let read_at = |kind: &InvoiceKind| self.levels.get(kind).map_or(0, |level| level.read_at_ms);
        let oldest = kinds.iter().copied().min_by_key(|kind| read_at(kind));
        if let Some(kind) = oldest.filter(|kind| now.saturating_sub(read_at(kind)) >= IDLE_POLL_MS) {
            self.state = State::Level(kind);
            return Effect::Stock(kind);
        }
        let poll = oldest.map(|kind| read_at(&kind) + IDLE_POLL_MS);
        let wake =
            [poll, self.breaker.held_until_ms(now), self.reporter.due_ms()].into_iter().flatten().filter(|at| *at > now).min();
        self.wait(wake)
    }

    fn wait(&mut self, until_ms: Option<u64>) -> Effect {
        self.state = State::Waiting;
        Effect::Wait { until_ms }
    }

    /// Brings the accounts of a kind up to the current pair.
    fn account(&mut self, kind: InvoiceKind, context: &Context<'_>) -> Effect {
        let Some(disk) = self.disk().cloned() else { return self.next_closed(context) };
        let bases = self.bases(kind, context);
        let level = self.levels.get(&kind).and_then(|level| level.stock);
        let journal = context.view.accounting(&disk, kind);
        match level {
            // Unread number or none left: the survey reads both.
            Some(stock) if account::follows(&bases, stock.current) && journal.is_some() => {
                self.to_account.remove(&kind);
                self.broker_accounted.retain(|accounted| accounted.kind != kind);
                self.next(context)
            }
            None if bases.is_empty() => {
                // First contact with a kind that has no blank invoice: it begins when stock arrives.
                self.to_account.remove(&kind);
                self.next(context)
            }
            _ => self.survey(kind, Vec::new(), false, context),
        }
    }

    fn unsettled(&self, kind: InvoiceKind, context: &Context<'_>) -> Vec<Open> {
        let Some(disk) = self.disk() else { return Vec::new() };
        if planted("unsettled_not_looked_at") {
            return Vec::new();
        }
        let unsettled = context.view.unsettled(disk).into_iter().filter(|attempt| !self.is_at_work_on(attempt));
        let outcomes = unsettled.filter_map(|attempt| context.view.outcome(&attempt)).filter(|outcome| outcome.kind == kind);
        outcomes.filter_map(Open::unsettled).collect()
    }

    fn survey(&mut self, kind: InvoiceKind, mut opens: Vec<Open>, resync: bool, context: &Context<'_>) -> Effect {
        // A number that was consumed since may be that of an attempt of which nobody knows whether it issued. Entered as another
        // program's, it could be given to its job by nobody any more.
        let doubtful = self.unsettled(kind, context);
        opens.extend(doubtful.into_iter().filter(|one| opens.iter().all(|open| open.attempt != one.attempt)).collect::<Vec<_>>());
        let resync = resync || !opens.is_empty();
        let mut plan = settle::plan(kind, &opens, self.bases(kind, context));
        plan.resync = resync;
        if self.opened.as_ref().is_some_and(|opened| opened.capabilities.finds_request) {
            plan.ask = opens.iter().filter(|open| open.begun).map(|open| open.attempt.key.serial.to_string()).collect();
        }
        let (walk, effect) = Walk::start(plan);
        self.survey_epoch = self.epoch;
        self.state = State::Surveying(walk, opens);
        effect
    }

    /// Of what was read without the grant that holds now, only our own is entered: the attempts of other agents that are open on
    /// this disk came with the grant, and a number that is theirs would be taken for another program's for ever.
    ///
    /// False: something was left out, and the numbers are to be read again.
    fn keep_what_is_sure(&mut self, kind: InvoiceKind, accounts: &mut Accounts, context: &Context<'_>) -> bool {
        let sure = self.holds_disk(context)
            && self.survey_epoch == self.epoch
            // They came while it was read.
            && !self.opens.iter().any(|open| open.kind == kind);
        let only_ours = !accounts.entries.is_empty() && accounts.entries.iter().all(|entry| entry.owner != Owner::Foreign);
        if sure || only_ours || planted("entered_without_a_grant") {
            return true;
        }
        accounts.entries.retain(|entry| entry.owner != Owner::Foreign);
        (accounts.base, accounts.note) = (None, None);
        self.to_account.insert(kind);
        false
    }

    /// Has nobody else the disk? A grant is that only while its broker is heard: after that it may be another agent's.
    fn holds_disk(&self, context: &Context<'_>) -> bool {
        self.epoch.is_some() && (lease_holds(context.heard_ms, context.now_ms) || planted("entered_without_a_lease"))
    }

    /// The disk's own clock now: as it was read at the opening, and what passed since then. It may not be set back (JSK100).
    fn disk_clock(&self, context: &Context<'_>) -> Option<String> {
        let clock = self.opened.as_ref()?.identity.clock.as_deref()?;
        disk_clock_after(clock, context.now_ms.saturating_sub(self.opened_at_ms))
    }

    fn bases(&self, kind: InvoiceKind, context: &Context<'_>) -> Vec<Base> {
        let journal = self.disk().and_then(|disk| context.view.accounting(disk, kind));
        account::bases(journal, &self.broker_accounted, kind)
    }

    fn may_begin(&self, epoch: u64, context: &Context<'_>) -> bool {
        (self.epoch == Some(epoch) || planted("old_epoch_begins")) && lease_holds(context.heard_ms, context.now_ms)
    }

    fn is_ready(&self, context: &Context<'_>) -> bool {
        self.opened.is_some() && self.password_stop.is_none() && self.breaker.unready(context.now_ms).is_none()
    }

    fn is_staged(&self, attempt: &AttemptRef) -> bool {
        self.staged.iter().any(|staged| staged.assignment().attempt == *attempt)
    }

    fn running(&self) -> Option<&AttemptRef> {
        match &self.state {
            State::Attempting(attempt) => Some(&attempt.request.assignment.attempt),
            _ => self.void_at_work(),
        }
    }

    /// Attempts whose outcome this process is about to find out, or to write.
    fn is_at_work_on(&self, attempt: &AttemptRef) -> bool {
        // One that is only looked at beside the accounts is told only if something is known: whoever asks for it gets an answer.
        let is = |open: &Open| open.attempt == *attempt && !open.again;
        let in_survey = matches!(&self.state, State::Surveying(_, opens) if opens.iter().any(is));
        let about = |record: &Record| matches!(record, Record::Outcome(outcome) if outcome.attempt == *attempt);
        let in_writes = self.writes.iter().any(|(records, _)| records.iter().any(about));
        let writing = |after: &After| {
            after.frames.iter().any(|frame| matches!(frame, AgentFrame::Outcome { attempt: of, .. } if of == attempt))
        };
        self.running() == Some(attempt)
            || in_survey
            || in_writes
            || matches!(&self.state, State::Writing(after) if writing(after))
            || self.opens.iter().any(|open| open.attempt == *attempt)
            || self.void_opens.iter().any(|open| open.assignment.attempt == *attempt)
    }

    /// The attempt that the effect in flight is about, for whoever looks on.
    pub fn about(&self) -> Option<&AttemptRef> {
        match &self.state {
            State::Surveying(_, opens) => opens.iter().find(|open| !open.again).map(|open| &open.attempt),
            _ => self.running(),
        }
    }

    /// The disk is read to know how an attempt ended.
    pub fn is_settling(&self) -> bool {
        matches!(&self.state, State::Surveying(_, opens) if opens.iter().any(|open| !open.again))
    }

    fn is_first_contact(&self, context: &Context<'_>) -> bool {
        let Some(opened) = &self.opened else { return true };
        // A kind without stock has nothing to account from, and nothing that could be issued.
        let empty = |kind: &InvoiceKind| self.levels.get(kind).is_some_and(|level| level.stock.is_none());
        let known = |kind: &InvoiceKind| context.view.accounting(&opened.identity.disk, *kind).is_some();
        !opened.identity.kinds.iter().all(|kind| empty(kind) || known(kind))
    }

    /// A reading went well.
    fn answered_well(&mut self) {
        self.ladder.answered();
        self.climbs.answered();
    }

    fn report(&mut self, context: &Context<'_>, force: bool) {
        let Some(opened) = &self.opened else { return };
        let trouble = self.breaker.unready(context.now_ms);
        let health = match (&self.password_stop, trouble) {
            (Some(text), _) => report::unready(DeviceClass::BadPassword, text),
            (None, Some(trouble)) => report::unready(trouble.class, &trouble.text),
            // Work may come only when journal and broker know a number to account from: an attempt whose process died before
            // that could not be settled.
            (None, None) if self.is_first_contact(context) => report::first_contact(),
            (None, None) => report::ready(),
        };
        let stock = self
            .levels
            .iter()
            .map(|(kind, level)| report::stock(*kind, level.stock, self.limits.get(kind).map(|(limits, _)| limits)));
        let sequence = context.view.highest_sequence(&opened.identity.disk);
        let mut report = report::whole(opened, &self.config.port, health, stock.collect(), sequence);
        report.offline = self.offline.as_ref().and_then(|(totals, _)| totals.as_ref()).map(report::offline);
        report.clock_offset_s = self.clock_offset_s;
        report.climbs = self.climbs.told();
        report.password_tries = self.password_tries.filter(|_| self.password_stop.is_some());
        if let Some(report) = self.reporter.offer(report, context.now_ms, force) {
            self.told.push_back(Told::Report(Box::new(report)));
        }
    }
}

const WITHHELD: &str = "the link or the grant was lost before the command was written";
