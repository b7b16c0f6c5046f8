//! Orders of people: readings, and one changing command at a time that is no issuing (architecture, section 5; I1–I10).
//!
//! Readings before → intent durable → command once → readings after → outcome durable → told. After a restart an open intent is
//! settled by reading alone. What it refuses to do: begin while a job is staged, running or unsettled here; send anything for an
//! open intent that it finds; try a password twice.

use std::collections::VecDeque;

use taxdisk_drivers::operation::OperationAnswer;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::link::{AttemptRef, AttemptResult, OpenAttempt};

use super::orders::{goes_on_beside_unsettled, unsettled_text};
use super::voiding::VoidJob;
use super::{After, DiskCore, State};
use crate::core::compare::Doubt;
use crate::core::effect::{Answer, Effect, Operated, Send, Trouble};
use crate::core::operation::{
    ExpectedReading, Heard, OperationEvidence, OperationIntent, OperationOutcome, OperationResult, Order, OrderReport, Read,
    Readings, Refusal, Target, Verdict, What, judge_after, judge_before, judge_blank,
};
use crate::core::records::{Owner, Record};
use crate::core::walk::{Plan, Step, Survey, Walk};
use crate::core::{Context, account, outbox};

/// Failed rounds of readings after a command, until it is left to a person.
const ROUNDS_MAX: u32 = 5;
/// Rounds of accounting before a blank void, until another program's pace is too much.
const ACCOUNTINGS_MAX: u32 = 3;

/// An order under way.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) order: Order,
    /// The void job that it is done for, unless a person asked.
    pub(super) job: Option<VoidJob>,
    stage: Stage,
    reads: VecDeque<Read>,
    readings: Readings,
    rounds: u32,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Readings before.
    Before,
    /// Nothing more is to be read; the numbers are accounted for first.
    Accounting,
    /// What was read becomes durable; then a person is asked.
    Asking(Refusal),
    /// The target of a void attempt is read of which this process knows nothing. `resync`: the line must be brought back first.
    Looking {
        open: Box<OpenAttempt>,
        resync: bool,
    },
    Intending(OperationIntent),
    Sending(OperationIntent),
    /// Readings after. `resync`: the line must be brought back first.
    After {
        intent: OperationIntent,
        heard: Heard,
        resync: bool,
    },
    /// A password is being tried.
    Trying {
        intent: OperationIntent,
        new: bool,
    },
    /// A password is being kept.
    Keeping {
        intent: OperationIntent,
        result: OperationResult,
    },
}

impl Work {
    pub(super) fn new(order: Order, stage: Stage, reads: Vec<Read>) -> Box<Work> {
        Box::new(Work { order, job: None, stage, reads: reads.into(), readings: Readings::default(), rounds: 0 })
    }

    /// An open intent of a process that is gone. Nothing is ever sent for it.
    pub(super) fn found(intent: OperationIntent, stage: impl FnOnce(OperationIntent) -> Stage) -> Box<Work> {
        let (id, what, remote) = (intent.id.clone(), intent.what.clone(), intent.remote);
        let order = Order { id, what, dry_run: false, anyway: false, remote };
        Work::new(order, stage(intent), Vec::new())
    }

    /// The attempt that it is done for.
    pub(super) fn attempt(&self) -> Option<&AttemptRef> {
        match (&self.job, &self.stage) {
            (Some(job), _) => Some(&job.assignment.attempt),
            (None, Stage::Looking { open, .. }) => Some(&open.assignment.attempt),
            (None, Stage::Intending(intent) | Stage::Sending(intent) | Stage::After { intent, .. }) => {
                intent.job.as_ref().map(|job| &job.attempt)
            }
            _ => None,
        }
    }
}

fn gone() -> Heard {
    let text = "the agent was ended before it had written down the answer".into();
    Heard::Doubt(Doubt { class: DeviceClass::Link, code: None, text })
}

impl DiskCore {
    /// What an operation under way, or one that the journal has open, needs next.
    pub(super) fn next_operation(&mut self, context: &Context<'_>) -> Option<Effect> {
        let disk = self.disk()?.clone();
        let work = match self.work.take() {
            Some(work) => work,
            None => {
                let Some(intent) = context.view.open_operation(&disk) else {
                    let open = self.void_opens.pop_front()?;
                    return Some(match self.look_at_void(open) {
                        Some(work) => self.go_on(work, context),
                        None => self.next(context),
                    });
                };
                if let What::ChangePassword { .. } = intent.what {
                    return Some(self.password_found_open(intent, context));
                }
                Work::found(intent, |intent| Stage::After { intent, heard: gone(), resync: true })
            }
        };
        Some(self.go_on(work, context))
    }

    /// Takes the next order, if one waits.
    pub(super) fn next_order(&mut self, context: &Context<'_>) -> Option<Effect> {
        let order = self.orders.pop_front()?;
        // It may have waited, and something may have happened.
        if let Some(refusal) = self.refusal(&order, context) {
            self.refuse(&order, refusal, Readings::default());
            return Some(self.next(context));
        }
        let kinds = self.opened.as_ref().map(|opened| opened.identity.kinds.clone()).unwrap_or_default();
        let mut reads = order.what.reads(&kinds);
        if order.what.operation().is_some_and(goes_on_beside_unsettled) {
            reads.extend(self.expected_of_unsettled(context));
        }
        Some(self.go_on(Work::new(order, Stage::Before, reads), context))
    }

    /// The numbers that settling must be able to read: those that unsettled jobs expected.
    fn expected_of_unsettled(&self, context: &Context<'_>) -> Vec<Read> {
        let Some(disk) = self.disk() else { return Vec::new() };
        let outcomes = context.view.unsettled(disk).into_iter().filter_map(|attempt| context.view.outcome(&attempt));
        outcomes.filter_map(|outcome| Some(Read::Expected(outcome.kind, outcome.expected?))).collect()
    }

    pub(super) fn go_on(&mut self, mut work: Box<Work>, context: &Context<'_>) -> Effect {
        if let Stage::Looking { resync, .. } = &mut work.stage
            && std::mem::take(resync)
        {
            self.state = State::Operating(work);
            return Effect::Resync;
        }
        if let Stage::After { intent, resync, .. } = &mut work.stage {
            if let (What::BlankVoid { kind, .. }, Some(expected)) = (&intent.what, intent.expected) {
                let (kind, resync) = (*kind, *resync);
                let bases = self.bases(kind, context);
                let plan = Plan { starts: vec![expected], resync, ..crate::core::settle::plan(kind, &[], bases) };
                return self.survey_for(work, plan);
            }
            if std::mem::take(resync) {
                // A new round reads everything again.
                work.reads = intent.what.reads(&[]).into();
                work.readings = Readings::default();
                self.state = State::Operating(work);
                return Effect::Resync;
            }
        }
        if let Stage::Accounting = work.stage
            && let Some(kind) = work.order.what.kind()
        {
            let plan = crate::core::settle::plan(kind, &[], self.bases(kind, context));
            return self.survey_for(work, plan);
        }
        let effect = match work.reads.front() {
            Some(Read::Stock(kind)) => Effect::Stock(*kind),
            Some(Read::Limits(kind)) => Effect::Limits(*kind),
            Some(Read::Totals) => Effect::Totals,
            Some(Read::Target(kind, pair) | Read::Expected(kind, pair)) => {
                Effect::Query { kind: *kind, pair: *pair, against: Vec::new() }
            }
            None => return self.judge(work, context),
        };
        self.state = State::Operating(work);
        effect
    }

    /// All is read.
    fn judge(&mut self, work: Box<Work>, context: &Context<'_>) -> Effect {
        match work.stage {
            Stage::Before => self.judge_begin(work, context),
            Stage::Looking { open, .. } => {
                self.judge_look(*open, work.readings.target.as_ref(), context);
                self.next(context)
            }
            Stage::After { intent, heard, .. } => {
                let Some(fence) = self.opened.as_ref().map(|opened| opened.fence) else { return self.next(context) };
                let result = judge_after(&intent, &work.readings, &heard, fence);
                self.end_operation(intent, result, work.readings, (Vec::new(), After::default()), context);
                self.next(context)
            }
            _ => self.next(context),
        }
    }

    fn judge_begin(&mut self, mut work: Box<Work>, context: &Context<'_>) -> Effect {
        let Some(opened) = self.opened.clone() else { return self.next(context) };
        let disk = opened.identity.disk.clone();
        let order = work.order.clone();
        let readings = work.readings.clone();
        if order.what.operation().is_none() {
            self.tell_order(&order, Verdict::Read, readings);
            return self.next(context);
        }
        let clock = self.disk_clock(context);
        let warnings = match judge_before(&order.what, &readings, clock.as_deref()) {
            Err(refusal) if !(refusal.anyway && order.anyway) => {
                self.decline(&work, refusal, readings, context);
                return self.next(context);
            }
            Err(refusal) => vec![refusal.text],
            Ok(warnings) => warnings,
        };
        let mut expected = None;
        if let What::BlankVoid { kind, .. } = order.what {
            let stock = readings.kinds.iter().find(|reading| reading.kind == kind).and_then(|reading| reading.stock);
            let Some(stock) = stock.filter(|stock| stock.remaining > 0) else {
                self.refuse(&order, Refusal::new(DeviceClass::NoStock, "no blank invoice of this kind is left"), readings);
                return self.next(context);
            };
            if !account::follows(&self.bases(kind, context), stock.current) {
                return self.account_first(work, context);
            }
            expected = Some(stock.current);
        }
        if let Some(job) = work.job.clone() {
            if let Some(refusal) = self.void_refusal(&job, context) {
                self.decline_void(&job, refusal, &readings, context);
                return self.next(context);
            }
            if !self.may_begin(job.epoch, context) {
                self.give_back(&job.assignment, job.epoch, "the link or the grant was lost before it began", context);
                return self.next(context);
            }
        }
        let unsettled = context.view.unsettled(&disk);
        if !order.anyway
            && work.job.is_none()
            && let Some(first) = unsettled.first()
        {
            let refusal = Refusal::unless_confirmed(DeviceClass::InProgress, unsettled_text(first));
            let readings = Readings { unsettled, ..readings };
            work.readings = readings.clone();
            work.stage = Stage::Asking(refusal);
            let (id, what, at) = (order.id, order.what, context.at.to_owned());
            self.state = State::Operating(work);
            // If we stop before this is durable, nobody was asked, and nothing was sent.
            return Effect::Write(vec![Record::OperationEvidence(Box::new(OperationEvidence { id, disk, what, readings, at }))]);
        }
        if order.dry_run {
            self.tell_order(&order, Verdict::Allowed { warnings }, readings);
            return self.next(context);
        }
        if let Some(epoch) = order.remote
            && !self.may_begin(epoch, context)
        {
            // Grant or lease went while it was read. The next grant asks for it again, and another owner of the disk may have it.
            return self.next(context);
        }
        let mut before = readings;
        before.unsettled = unsettled;
        let provable = matches!(&order.what, What::ChangePassword { which } if opened.proves.contains(which));
        let intent = OperationIntent {
            id: order.id.clone(),
            disk,
            port: self.config.port.clone(),
            what: order.what.clone(),
            expected,
            provable,
            before,
            job: work.job.as_ref().map(VoidJob::link),
            remote: order.remote,
            at: context.at.to_owned(),
        };
        work.stage = Stage::Intending(intent.clone());
        self.state = State::Operating(work);
        // If we stop before this is durable, at the next start nothing was sent.
        Effect::Write(vec![Record::OperationIntent(intent)])
    }

    fn survey_for(&mut self, work: Box<Work>, plan: Plan) -> Effect {
        let (walk, effect) = Walk::start(plan);
        self.survey_epoch = self.epoch;
        self.state = State::OperatingSurvey(walk, work);
        effect
    }

    /// The current pair does not follow the accounted one (I5).
    fn account_first(&mut self, mut work: Box<Work>, context: &Context<'_>) -> Effect {
        work.rounds += 1;
        if work.rounds > ACCOUNTINGS_MAX {
            let text = "another program issues on this disk without a pause: stop it, then try again; nothing was sent";
            self.refuse(&work.order, Refusal::new(DeviceClass::InProgress, text), Readings::default());
            return self.next(context);
        }
        work.stage = Stage::Accounting;
        self.go_on(work, context)
    }

    pub(super) fn on_operating(&mut self, mut work: Box<Work>, answer: Answer, context: &Context<'_>) {
        match (work.stage, answer) {
            (Stage::Intending(intent), Answer::Written(Ok(()))) => {
                let net = intent.before.target.as_ref().map(|target| target.net);
                let (id, what, job, remote) = (intent.id.clone(), intent.what.clone(), intent.job.clone(), intent.remote);
                let send = Send { id, what, expected: intent.expected, net, job, remote };
                work.stage = Stage::Sending(intent);
                // If we stop here, at the next start the intent is found without an outcome, and the disk is read.
                self.pending = Some(Effect::Operate(Box::new(send)));
                self.state = State::Operating(work);
            }
            (Stage::Asking(refusal), Answer::Written(written)) => {
                let refusal = match written {
                    Ok(()) => refusal,
                    Err(text) => Refusal::new(refusal.class, format!("{}; the readings could not be kept: {text}", refusal.text)),
                };
                self.refuse(&work.order, refusal, work.readings);
            }
            (Stage::Intending(_), Answer::Written(Err(text))) => match &work.job {
                // The journal has another void of it, and the disk says that it is valid: for a person.
                Some(job) => {
                    let result = AttemptResult::Unsettled { class: DeviceClass::Duplicate, text };
                    self.end_unbegun(&job.assignment, job.epoch, result, context);
                }
                None => self.refuse(&work.order, Refusal::new(DeviceClass::Duplicate, text), work.readings),
            },
            (Stage::Sending(intent), Answer::Operated(operated)) => self.on_operated(intent, operated, context),
            (Stage::Trying { intent, new }, Answer::Opened(answer)) => self.on_tried(intent, new, answer, context),
            (Stage::Keeping { intent, result }, Answer::Done(answer)) => self.on_kept(intent, result, answer, context),
            (stage @ (Stage::Before | Stage::Looking { .. } | Stage::After { .. }), answer) => {
                work.stage = stage;
                self.on_read(work, answer, context);
            }
            (stage, answer) => {
                // What was sent, if anything, is in the journal, and is settled by reading.
                self.trouble(Trouble::Gone(format!("the operation was at {stage:?} and got {answer:?}")), context);
            }
        }
    }

    fn on_read(&mut self, mut work: Box<Work>, answer: Answer, context: &Context<'_>) {
        let readings = &mut work.readings;
        let failed = match (work.reads.front().copied(), answer) {
            // Brought back.
            (_, Answer::Done(Ok(()))) => {
                self.resync = false;
                self.work = Some(work);
                return;
            }
            (_, Answer::Done(Err(trouble))) => Some(trouble),
            (Some(Read::Stock(kind)), Answer::Stock(answer)) => told(answer).map(|stock| readings.kind(kind).stock = stock).err(),
            (Some(Read::Limits(kind)), Answer::Limits(answer)) => {
                told(answer).map(|limits| readings.kind(kind).limits = limits).err()
            }
            (Some(Read::Totals), Answer::Totals(answer)) => told(answer).map(|totals| readings.offline = totals).err(),
            (Some(Read::Target(..)), Answer::Query(answer)) => {
                answer.map(|found| readings.target = found.map(|found| Target::from(&found.invoice))).err()
            }
            (Some(Read::Expected(kind, pair)), Answer::Query(answer)) => {
                let reading = |found, failed| ExpectedReading { kind, pair, found, failed };
                match answer {
                    Ok(found) => {
                        readings.expected.push(reading(found.map(|found| Target::from(&found.invoice)), None));
                        None
                    }
                    // The device's own word: it may be just why the job is unsettled, and keeps nobody from reporting.
                    Err(Trouble::Disk(error))
                        if !matches!(error.class, DeviceClass::Link | DeviceClass::NotPresent | DeviceClass::BadPassword) =>
                    {
                        readings.expected.push(reading(None, Some(error.text)));
                        None
                    }
                    Err(trouble) => Some(trouble),
                }
            }
            (read, answer) => Some(Trouble::Gone(format!("the operation was at {read:?} and got {answer:?}"))),
        };
        match failed {
            None => {
                work.reads.pop_front();
                self.breaker.answered();
                self.work = Some(work);
            }
            Some(trouble) => self.on_unread(work, trouble, context),
        }
    }

    /// A reading failed: before the command that ends the order, after it nothing is concluded and it is read again.
    fn on_unread(&mut self, mut work: Box<Work>, trouble: Trouble, context: &Context<'_>) {
        match &mut work.stage {
            Stage::After { intent, heard, resync } => {
                *resync = true;
                work.rounds += 1;
                if work.rounds >= ROUNDS_MAX {
                    let (class, text) = (trouble.class(), format!("{}; the disk cannot be read", doubt_text(heard)));
                    let (intent, result) = (intent.clone(), OperationResult::Unsettled { class, text });
                    self.end_operation(intent, result, work.readings, (Vec::new(), After::default()), context);
                } else {
                    self.work = Some(work);
                }
            }
            Stage::Looking { open, .. } => {
                // Unknown stays unknown: it is read again.
                let open = (**open).clone();
                self.void_opens.push_front(open);
            }
            _ => match work.job.take() {
                Some(job) => self.restage_void(job, context),
                None => {
                    let text = format!("the disk cannot be read ({}): nothing was sent", trouble.text());
                    self.refuse(&work.order, Refusal::new(trouble.class(), text), work.readings);
                }
            },
        }
        match trouble {
            // An answer of the device, not a failure of its line.
            Trouble::Disk(error)
                if !matches!(error.class, DeviceClass::Link | DeviceClass::NotPresent | DeviceClass::BadPassword) => {}
            trouble => self.trouble(trouble, context),
        }
    }

    fn on_operated(&mut self, intent: OperationIntent, operated: Operated, context: &Context<'_>) {
        // Stock, dates and limits may be others now.
        self.levels.clear();
        self.limits.clear();
        let heard = match operated {
            Operated::Withheld(text) => return self.not_sent(intent, DeviceClass::NotPresent, text, true, context),
            Operated::Answer(OperationAnswer::NotSent(error)) => {
                let (class, text) = (error.class, error.text.clone());
                if matches!(class, DeviceClass::BadPassword | DeviceClass::Link) {
                    self.trouble(Trouble::Disk(error), context);
                }
                return self.not_sent(intent, class, text, false, context);
            }
            Operated::Answer(OperationAnswer::Done { pair, .. }) => match (pair, about(&intent)) {
                (Some(pair), Some(asked)) if pair != asked => {
                    let text = format!("the disk says that it did it to {pair} where {asked} was asked for");
                    Heard::Doubt(Doubt { class: DeviceClass::NumberMismatch, code: None, text })
                }
                _ => Heard::Clean,
            },
            Operated::Answer(OperationAnswer::InDoubt(error)) => {
                Heard::Doubt(Doubt { class: error.class, code: error.code, text: error.text })
            }
            Operated::Trouble(trouble) => {
                Heard::Doubt(Doubt { class: trouble.class(), code: trouble.code(), text: trouble.text() })
            }
        };
        if let What::ChangePassword { .. } = intent.what {
            return self.on_password_heard(intent, &heard, context);
        }
        let reads = intent.what.reads(&[]);
        let resync = heard != Heard::Clean;
        let mut work = Work::found(intent, |intent| Stage::After { intent, heard, resync });
        work.reads = reads.into();
        self.work = Some(work);
    }

    /// Nothing of it can run: that is certain.
    fn not_sent(&mut self, intent: OperationIntent, class: DeviceClass, text: String, withheld: bool, context: &Context<'_>) {
        let result = OperationResult::NotDone { class, text };
        if let What::ChangePassword { .. } = intent.what {
            return self.keep_password(intent, false, result);
        }
        let then = After { withheld, ..After::default() };
        self.end_operation(intent, result, Readings::default(), (Vec::new(), then), context);
    }

    /// Not begun: told to whoever asked.
    fn decline(&mut self, work: &Work, refusal: Refusal, readings: Readings, context: &Context<'_>) {
        match &work.job {
            Some(job) => self.decline_void(job, refusal, &readings, context),
            None => self.refuse(&work.order, refusal, readings),
        }
    }

    /// The outcome, with what belongs to it, in one write; it is told once that is durable.
    pub(super) fn end_operation(
        &mut self,
        intent: OperationIntent,
        result: OperationResult,
        after: Readings,
        with: (Vec<Record>, After),
        context: &Context<'_>,
    ) {
        let (mut records, mut then) = with;
        if let Some((more, frame)) = self.void_ended(&intent, &result, &after, then.withheld, context) {
            records.extend(more);
            then.frames.push(frame);
        }
        let outcome = Box::new(OperationOutcome { intent, result, after, at: context.at.to_owned() });
        if let Some(epoch) = outcome.intent.remote {
            let (record, frame) = outbox::operated(&OrderReport::ended(&outcome), epoch, &outcome.intent.disk, context);
            records.push(record);
            then.frames.push(frame);
        }
        records.push(Record::OperationOutcome(outcome.clone()));
        then.outcome = Some(outcome);
        then.report = true;
        // What held the disk may be over, and a lock that a report lifted is asked for again.
        self.levels.clear();
        self.limits.clear();
        self.work = None;
        // If we stop before this is durable, at the next start the intent is found without an outcome, and the disk is read.
        self.writes.push_back((records, then));
    }

    pub(super) fn on_outcome_refused(&mut self, text: &str, outcome: Option<Box<OperationOutcome>>, context: &Context<'_>) {
        let Some(outcome) = outcome else { return };
        // An outcome that is refused once more would be refused for ever.
        if matches!(&outcome.result, OperationResult::Unsettled { class: DeviceClass::Duplicate, .. }) {
            return;
        }
        let result = OperationResult::Unsettled { class: DeviceClass::Duplicate, text: text.to_owned() };
        self.end_operation(outcome.intent, result, outcome.after, (Vec::new(), After::default()), context);
    }

    pub(super) fn on_operating_survey(&mut self, walk: Walk, mut work: Box<Work>, answer: Answer, context: &Context<'_>) {
        let Some(disk) = self.disk().cloned() else { return };
        match walk.on(answer, &disk, context) {
            (Some(walk), Step::Do(effect)) => {
                self.state = State::OperatingSurvey(walk, work);
                self.pending = Some(effect);
            }
            (_, Step::Done(survey)) => self.on_operating_surveyed(*survey, work, context),
            (_, Step::Failed(trouble)) => {
                if let Stage::Accounting = work.stage {
                    work.stage = Stage::Before;
                }
                self.on_unread(work, trouble, context);
            }
            (None, Step::Do(_)) => {}
        }
    }

    fn on_operating_surveyed(&mut self, survey: Survey, mut work: Box<Work>, context: &Context<'_>) {
        let Some(opened) = self.opened.clone() else { return };
        let disk = opened.identity.disk;
        let kind = survey.plan.kind;
        self.breaker.answered();
        self.resync = false;
        let ending = match work.stage {
            Stage::After { intent, heard, .. } => {
                let Some(expected) = intent.expected else { return };
                let (result, own) = judge_blank(expected, &survey, &heard, opened.fence);
                Some((intent, result, own.then_some(expected)))
            }
            _ => None,
        };
        let own = ending.as_ref().and_then(|(intent, _, own)| own.map(|pair| (pair, Owner::Operation(intent.id.clone()))));
        let before = context.view.accounting(&disk, kind).and_then(|accounting| accounting.remaining);
        let own: Vec<_> = own.into_iter().collect();
        let mut accounts = account::enter(&survey, &own, &[], before, &disk, context.view);
        let entered = self.keep_what_is_sure(kind, &mut accounts, context);
        let (records, frame) = outbox::accounted(&accounts, kind, survey.remaining, self.epoch.unwrap_or(0), &disk, context);
        let then = After { frames: frame.into_iter().collect(), ..After::default() };
        if let Some(text) = &accounts.contradiction {
            tracing::error!(%disk, text, "the disk contradicts the journal; nothing is issued on it");
            self.breaker.hold(DeviceClass::DeviceFault, text.clone(), context.now_ms);
        }
        self.broker_accounted.retain(|accounted| accounted.kind != kind);
        match ending {
            Some((intent, result, _)) => {
                let mut readings = Readings::default();
                let stock = survey.current.map(|current| taxdisk_drivers::disk::Stock { current, remaining: survey.remaining });
                readings.kind(kind).stock = stock;
                readings.target = intent.expected.and_then(|pair| survey.present(pair)).map(|found| Target::from(&found.invoice));
                self.end_operation(intent, result, readings, (records, then), context);
            }
            None if accounts.contradiction.is_some() => {
                let text = accounts.contradiction.unwrap_or_default();
                self.refuse(&work.order, Refusal::new(DeviceClass::DeviceFault, text), Readings::default());
            }
            None if !entered => {
                self.writes.push_back((records, then));
                let text = "numbers of this disk were used of which it is not known whose they are: an attempt may be open at another \
                            agent. Link this agent to its broker, then try again; nothing was sent";
                self.refuse(&work.order, Refusal::new(DeviceClass::InProgress, text), Readings::default());
            }
            None => {
                self.writes.push_back((records, then));
                // From the start: the pair is read again right before the intent.
                work.stage = Stage::Before;
                work.reads = work.order.what.reads(&[]).into();
                work.readings = Readings::default();
                self.work = Some(work);
            }
        }
    }
}

/// The number that an operation was about.
fn about(intent: &OperationIntent) -> Option<taxdisk_protocol::number::NumberPair> {
    match &intent.what {
        What::Void { pair, .. } => Some(*pair),
        _ => intent.expected,
    }
}

fn doubt_text(heard: &Heard) -> String {
    match heard {
        Heard::Clean => "the disk said that it was done".into(),
        Heard::Doubt(doubt) => doubt.text.clone(),
    }
}

/// What a disk does not tell is `None`; a line that fails, or a password that is refused, is a failure.
fn told<T>(answer: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Trouble::Disk(error)) if matches!(error.class, DeviceClass::Unsupported | DeviceClass::NoStock) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}
