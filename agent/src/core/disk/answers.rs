//! What came of an effect, and what follows from it.

use taxdisk_drivers::disk::{Signed, Stock};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::job::GENERATION_EPOCHS;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, AttemptResult};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::time::Timestamp;

use super::{After, DiskCore, Level, OPEN_RETRY_MS, State, Task};
use crate::core::attempt::{Attempt, Step as AttemptStep};
use crate::core::breaker::is_held;
use crate::core::compare::Open;
use crate::core::effect::{Answer, Opened, Told, Trouble};
use crate::core::ladder::{ASK, Failure, Rung};
use crate::core::operation::OrderReport;
use crate::core::outbox::{self, Ending};
use crate::core::records::{Base, Record};
use crate::core::settle::{self, Rules};
use crate::core::walk::{Step as WalkStep, Survey, Walk};
use crate::core::{Context, account};
use crate::fault::planted;

impl DiskCore {
    /// Takes the answer to the effect in flight.
    pub fn answer(&mut self, answer: Answer, context: &Context<'_>) {
        match (std::mem::replace(&mut self.state, State::Idle), answer) {
            (State::Waiting | State::Idle, _) => {}
            (State::Opening, Answer::Opened(answer)) => self.on_opened(answer, context),
            (State::Closing, _) => self.away(DeviceClass::NotPresent, "the port is opened anew", context),
            (State::Resetting, Answer::Done(answer)) => {
                if let Err(trouble) = answer {
                    tracing::warn!(port = self.config.port, "the device was not reset: {}", trouble.text());
                }
            }
            (State::Resyncing, Answer::Done(Ok(()))) => {
                self.resync = false;
                self.breaker.answered();
                // What was true before the trouble may not be true now.
                self.levels.clear();
            }
            (State::Resyncing, Answer::Done(Err(trouble))) => self.trouble(trouble, context),
            (State::Level(kind), Answer::Stock(answer)) => self.on_level(kind, answer, context),
            (State::Limits(kind), Answer::Limits(answer)) => match answer {
                Ok(limits) => drop(self.limits.insert(kind, (limits, context.now_ms))),
                // Limits are for people: a disk that does not tell them issues all the same.
                Err(Trouble::Disk(error))
                    if !matches!(error.class, DeviceClass::Link | DeviceClass::BadPassword | DeviceClass::NotPresent) =>
                {
                    drop(self.limits.insert(kind, (Default::default(), context.now_ms)));
                }
                Err(trouble) => self.trouble(trouble, context),
            },
            (State::Totals, Answer::Totals(answer)) => match answer {
                Ok(totals) => self.offline = Some((Some(totals), context.now_ms)),
                // As with limits: who does not tell is not asked again soon.
                Err(Trouble::Disk(error))
                    if !matches!(error.class, DeviceClass::Link | DeviceClass::BadPassword | DeviceClass::NotPresent) =>
                {
                    self.offline = Some((None, context.now_ms));
                }
                Err(trouble) => self.trouble(trouble, context),
            },
            (State::Surveying(walk, opens), answer) => self.on_survey(walk, opens, answer, context),
            (State::Recounting(walk), answer) => self.on_recounting(walk, answer, context),
            (State::Operating(work), answer) => self.on_operating(work, answer, context),
            (State::OperatingSurvey(walk, work), answer) => self.on_operating_survey(walk, work, answer, context),
            (State::Attempting(attempt), answer) => self.on_attempt(attempt, answer, context),
            (State::Writing(after), Answer::Written(answer)) => self.on_written(after, answer, context),
            (state, answer) => {
                // A shell that answers another question has lost its place; what is in flight is in doubt.
                let text = format!("the disk's core was in {state:?} and got {answer:?}");
                self.trouble(Trouble::Gone(text), context);
            }
        }
    }

    pub(super) fn on_opened(&mut self, answer: Result<Box<Opened>, Trouble>, context: &Context<'_>) {
        match answer {
            Ok(opened) => {
                if self.reporter.last_disk().is_some_and(|last| *last != opened.identity.disk) {
                    // Another disk behind the port: what was granted and open belongs to the other one (I7).
                    self.give_back_staged("another disk is behind the port now", context);
                    self.epoch = None;
                    self.broker_accounted.clear();
                    self.opens.clear();
                    self.void_opens.clear();
                    self.heard_sequence = 0;
                }
                self.breaker.answered();
                self.levels.clear();
                self.limits.clear();
                self.to_account = opened.identity.kinds.iter().copied().collect();
                self.offline = None;
                self.clock_offset_s = clock_offset_s(opened.identity.clock.as_deref(), context.at);
                self.opened = Some(*opened);
                self.opened_at_ms = context.now_ms;
                self.reopen = false;
                self.resync = false;
                self.away = None;
            }
            Err(Trouble::Disk(error)) if error.class == DeviceClass::BadPassword => {
                self.stop_password(&error.text, error.tries_left, context)
            }
            Err(trouble) => {
                self.climb(&trouble, context);
                self.away(trouble.class(), &self.for_people(&trouble), context);
            }
        }
    }

    fn away(&mut self, class: DeviceClass, text: &str, context: &Context<'_>) {
        let news = self.opened.take().is_some() || self.away.as_deref() != Some(text);
        self.away = Some(text.to_owned());
        self.reopen = false;
        // What is open is in the journal, and is settled when the disk is opened again.
        self.work = None;
        self.open_at_ms = context.now_ms + OPEN_RETRY_MS;
        self.levels.clear();
        // The grant is for a disk that answers; the broker grants anew when it is reported again.
        self.epoch = None;
        self.breaker.answered();
        self.reporter.forget();
        if news {
            self.told.push_back(Told::Away { class, text: text.to_owned() });
        }
    }

    /// A reading failed. Nothing is concluded from it.
    pub(super) fn trouble(&mut self, trouble: Trouble, context: &Context<'_>) {
        match trouble {
            Trouble::Disk(error) if error.class == DeviceClass::BadPassword => {
                self.stop_password(&error.text, error.tries_left, context)
            }
            Trouble::Gone(text) => self.away(DeviceClass::NotPresent, &text, context),
            trouble => {
                self.climb(&trouble, context);
                self.breaker.failed(trouble.class(), self.for_people(&trouble), context.now_ms);
                self.resync = true;
                self.report(context, false);
            }
        }
    }

    /// What is done about a failed reading, beyond waiting and reading again.
    fn climb(&mut self, trouble: &Trouble, context: &Context<'_>) {
        let failure = match trouble {
            // The line's own words carry no code of a device. Before opening, nothing went: there was nothing.
            Trouble::Disk(error) if error.class == DeviceClass::NotPresent && error.code.is_none() => match self.opened {
                Some(_) => Failure::Gone,
                None => return,
            },
            Trouble::Disk(error) if matches!(error.class, DeviceClass::Link | DeviceClass::NotPresent) => Failure::Silent,
            Trouble::Hung => Failure::Hung,
            // The device answers well and says what is wrong, or nothing was tried.
            Trouble::Disk(_) | Trouble::Busy | Trouble::Gone(_) => return,
        };
        let rung = self.ladder.failed(failure, context.now_ms);
        self.reopen |= matches!(rung, Rung::Reopen | Rung::Reset) && self.opened.is_some();
        self.reset |= rung == Rung::Reset;
        self.told.push_back(Told::Climbed(rung));
        self.climbs.climbed(rung, trouble.class(), trouble.text(), context.at);
    }

    /// The words of a trouble, and what is left to a person.
    fn for_people(&self, trouble: &Trouble) -> String {
        if self.ladder.asks() { format!("{}; {ASK}", trouble.text()) } else { trouble.text() }
    }

    pub(super) fn stop_password(&mut self, text: &str, tries_left: Option<u8>, context: &Context<'_>) {
        let text = match tries_left {
            Some(tries) => format!("{text} ({tries} tries left)"),
            None => text.to_owned(),
        };
        self.password_stop = Some(text.clone());
        self.password_tries = tries_left;
        self.report(context, true);
        let records = vec![Record::PasswordStop { port: self.config.port.clone(), text }];
        // If we stop before this is durable, at the next start one more try is spent; there is no earlier place to write it.
        self.writes.push_front((records, After::default()));
    }

    fn on_level(&mut self, kind: InvoiceKind, answer: Result<Stock, Trouble>, context: &Context<'_>) {
        let stock = match answer {
            Ok(stock) => Some(stock),
            Err(Trouble::Disk(error)) if matches!(error.class, DeviceClass::NoStock | DeviceClass::Unsupported) => None,
            Err(trouble) => return self.trouble(trouble, context),
        };
        self.breaker.answered();
        self.answered_well();
        let bases = self.bases(kind, context);
        if stock.is_some_and(|stock| !account::follows(&bases, stock.current)) {
            self.to_account.insert(kind);
        }
        self.levels.insert(kind, Level { stock, read_at_ms: context.now_ms });
    }

    fn on_survey(&mut self, walk: Walk, opens: Vec<Open>, answer: Answer, context: &Context<'_>) {
        let Some(disk) = self.disk().cloned() else {
            self.opens.extend(opens.into_iter().filter(|open| !open.again));
            return;
        };
        let (walk, step) = walk.on(answer, &disk, context);
        match (walk, step) {
            (Some(walk), WalkStep::Do(effect)) => {
                self.state = State::Surveying(walk, opens);
                self.pending = Some(effect);
            }
            (_, WalkStep::Done(survey)) => self.on_surveyed(&survey, opens, &disk, context),
            (_, WalkStep::Failed(trouble)) => {
                // Unknown stays unknown: the attempts stay open and are read again. Those that were only looked at beside the
                // accounts are looked at with them.
                self.opens.splice(0..0, opens.into_iter().filter(|open| !open.again));
                self.trouble(trouble, context);
            }
            (None, WalkStep::Do(_)) => self.opens.extend(opens.into_iter().filter(|open| !open.again)),
        }
    }

    fn on_surveyed(&mut self, survey: &Survey, opens: Vec<Open>, disk: &DiskNumber, context: &Context<'_>) {
        let kind = survey.plan.kind;
        self.breaker.answered();
        self.answered_well();
        self.resync = false;
        let Some(opened) = &self.opened else { return };
        let rules = Rules {
            fence: opened.fence,
            mark_readable: opened.capabilities.remark_readable,
            exclusive: self.config.exclusive,
            // Before a grant nobody tells whether the ledger went back.
            ledger_since: self.epoch.map_or(u64::MAX, |epoch| epoch - epoch % GENERATION_EPOCHS),
        };
        let before = context.view.accounting(disk, kind).and_then(|accounting| accounting.remaining);
        let mut decision = settle::decide(survey, &opens, rules, before, disk, context.view);
        let level = survey.current.map(|current| Stock { current, remaining: survey.remaining });
        self.levels.insert(kind, Level { stock: level, read_at_ms: context.now_ms });
        self.to_account.remove(&kind);
        self.keep_what_is_sure(kind, &mut decision.accounts, context);
        if decision.accounts.base.is_some() {
            // The journal knows more than the broker from here on.
            self.broker_accounted.retain(|accounted| accounted.kind != kind);
        }
        // The outcomes first: a broker that hears of the accounts alone looks for an undecided number no more.
        let mut records = Vec::new();
        let mut after = After { opens: opens.clone(), ..After::default() };
        for (open, result) in opens.iter().zip(decision.results) {
            if open.again && matches!(result, AttemptResult::Unsettled { .. }) {
                continue;
            }
            self.learn(&result, context);
            after.report |= matches!(result, AttemptResult::NotIssued { .. });
            // The broker keeps it for an agent that has lost this journal: the accounts go on past a number that is undecided.
            let from_here = || survey.plan.bases.iter().find_map(|base| base.next());
            let is_unsettled = matches!(result, AttemptResult::Unsettled { .. }) && !planted("undecided_is_accounted");
            let expected = open.expected.or_else(|| from_here().filter(|_| is_unsettled));
            let ending = Ending {
                attempt: open.attempt.clone(),
                epoch: open.epoch,
                sequence: open.sequence,
                kind: open.kind,
                expected,
                result,
                readings: survey.readings.clone(),
                disk_ms: open.disk_ms,
                undoing: open.request.as_ref().map(|request| request.assignment.original.into()),
            };
            let (more, frame) = outbox::ended(ending, disk, context);
            records.extend(more);
            after.frames.push(frame);
        }
        let (more, frame) = outbox::accounted(&decision.accounts, kind, survey.remaining, self.epoch.unwrap_or(0), disk, context);
        records.extend(more);
        after.frames.extend(frame);
        if let Some(text) = decision.accounts.contradiction {
            tracing::error!(%disk, text, "the disk contradicts the journal; nothing is issued on it");
            self.breaker.hold(DeviceClass::DeviceFault, text, context.now_ms);
            after.report = true;
        }
        // If we stop before this is durable, at the next start the same attempts are open and the same numbers are read.
        self.writes.push_back((records, after));
    }

    fn on_attempt(&mut self, mut attempt: Attempt, answer: Answer, context: &Context<'_>) {
        let Some(disk) = self.disk().cloned() else { return };
        let kind = attempt.request.assignment.kind;
        if let Answer::Stock(Ok(stock)) = &answer {
            self.levels.insert(kind, Level { stock: Some(*stock), read_at_ms: context.now_ms });
        }
        let bases = self.bases(kind, context);
        let may_begin = self.may_begin(attempt.epoch, context);
        match attempt.on(answer, &bases, may_begin, &disk, context) {
            AttemptStep::Do(effect) => {
                self.pending = Some(effect);
                self.state = State::Attempting(attempt);
            }
            AttemptStep::Gap => {
                self.to_account.insert(kind);
                self.restage(attempt, context);
            }
            AttemptStep::Unread(trouble) => {
                self.restage(attempt, context);
                self.trouble(trouble, context);
            }
            AttemptStep::Issued(signed, stock) => self.on_issued(&attempt, signed, stock, &disk, context),
            AttemptStep::Clean(result, expected) => self.on_clean(&attempt, result, expected, &disk, context),
            AttemptStep::Doubtful(open) => {
                let stop =
                    open.doubt.as_ref().filter(|doubt| doubt.class == DeviceClass::BadPassword).map(|doubt| doubt.text.clone());
                self.opens.insert(0, *open);
                // Reads would carry the password too: the attempt stays open until a person sets it.
                if let Some(text) = stop {
                    self.stop_password(&text, None, context);
                }
            }
        }
    }

    /// Nothing was written for it yet: back to its place.
    fn restage(&mut self, attempt: Attempt, context: &Context<'_>) {
        if self.epoch == Some(attempt.epoch) {
            self.staged.push_front(super::Staged { task: Task::Issue(attempt.request), epoch: attempt.epoch });
        } else {
            self.give_back(&attempt.request.assignment, attempt.epoch, "the disk must be read first", context);
        }
    }

    fn on_issued(&mut self, attempt: &Attempt, signed: Signed, stock: Stock, disk: &DiskNumber, context: &Context<'_>) {
        let kind = attempt.request.assignment.kind;
        let remaining = stock.remaining.saturating_sub(1);
        // The stock is known from the reading before the command; it is read again before the next one.
        let level = signed.pair.successor().filter(|_| remaining > 0).map(|current| Stock { current, remaining });
        self.levels.insert(kind, Level { stock: level, read_at_ms: context.now_ms });
        self.breaker.issued();
        let result = AttemptResult::Issued {
            pair: signed.pair,
            issued_at: signed.issued_at,
            fiscal_code: signed.fiscal_code,
            signature: signed.signature,
            printed: signed.printed,
            settled: false,
        };
        let accounted = Record::Accounted { disk: disk.clone(), kind, base: Base::Last(signed.pair), remaining: Some(remaining) };
        self.end(attempt, result, Some(stock.current), vec![accounted], disk, context);
    }

    fn on_clean(
        &mut self,
        attempt: &Attempt,
        result: AttemptResult,
        expected: Option<NumberPair>,
        disk: &DiskNumber,
        context: &Context<'_>,
    ) {
        let kind = attempt.request.assignment.kind;
        if let AttemptResult::NotIssued { class, code, text } = &result {
            match class {
                DeviceClass::NoStock => drop(self.levels.insert(kind, Level { stock: None, read_at_ms: context.now_ms })),
                DeviceClass::BadPassword => self.stop_password(text, None, context),
                // The line failed or went before the command was out: it must be brought back before the next one.
                DeviceClass::Link | DeviceClass::NotPresent => self.trouble(
                    Trouble::Disk(taxdisk_drivers::disk::DiskError {
                        class: *class,
                        code: code.clone(),
                        text: text.clone(),
                        tries_left: None,
                    }),
                    context,
                ),
                _ => {}
            }
        }
        self.learn(&result, context);
        self.end(attempt, result, expected, Vec::new(), disk, context);
    }

    /// What a proven refusal says about the disk itself.
    fn learn(&mut self, result: &AttemptResult, context: &Context<'_>) {
        match result {
            AttemptResult::NotIssued { class, text, .. } if is_held(*class) => {
                self.breaker.hold(*class, text.clone(), context.now_ms)
            }
            AttemptResult::Issued { .. } => self.breaker.issued(),
            _ => {}
        }
    }

    fn end(
        &mut self,
        attempt: &Attempt,
        result: AttemptResult,
        expected: Option<NumberPair>,
        mut records: Vec<Record>,
        disk: &DiskNumber,
        context: &Context<'_>,
    ) {
        let assignment = &attempt.request.assignment;
        let report = matches!(result, AttemptResult::NotIssued { .. });
        let open = Open {
            attempt: assignment.attempt.clone(),
            epoch: attempt.epoch,
            sequence: assignment.sequence,
            kind: assignment.kind,
            request: None,
            mark: assignment.mark.clone(),
            expected,
            named: None,
            signed: None,
            begun: expected.is_some(),
            doubt: None,
            ended: false,
            again: false,
            disk_ms: attempt.disk_ms,
        };
        let ending = Ending {
            attempt: open.attempt.clone(),
            epoch: open.epoch,
            sequence: open.sequence,
            kind: open.kind,
            expected,
            result,
            readings: Vec::new(),
            disk_ms: attempt.disk_ms,
            undoing: Some(assignment.original.into()),
        };
        let (more, frame) = outbox::ended(ending, disk, context);
        records.extend(more);
        if planted("report_before_durable") {
            self.told.push_back(Told::Frame(frame.clone()));
        }
        // If we stop before this is durable, at the next start the intent is found without an outcome, and the disk is read.
        self.writes.push_back((records, After { frames: vec![frame], opens: vec![open], report, ..After::default() }));
    }

    fn on_written(&mut self, after: After, answer: Result<(), String>, context: &Context<'_>) {
        match answer {
            // If we stop here, at the next grant the outbox is told.
            Ok(()) => {
                // Numbers that were read without a grant wait in the outbox for the next one: told now, the broker would
                // acknowledge them and enter nothing.
                let granted = self.epoch;
                let frames = after.frames.into_iter().filter(|frame| match frame {
                    AgentFrame::Accounted { epoch, .. } => granted == Some(*epoch),
                    _ => true,
                });
                self.told.extend(frames.map(Told::Frame));
                // A job's outcome goes to the broker, and nobody asked here.
                let asked = after.outcome.filter(|outcome| outcome.intent.job.is_none() && outcome.intent.remote.is_none());
                self.told.extend(asked.map(|outcome| Told::Order(Box::new(OrderReport::ended(&outcome)))));
            }
            Err(text) => {
                self.on_refused(&text, &after.opens, context);
                self.on_outcome_refused(&text, after.outcome, context);
            }
        }
        if let Some(stop) = after.password_stop {
            self.password_stop = stop;
            self.reopen = self.opened.is_some();
            self.breaker.answered();
            self.breaker.issued();
            self.open_at_ms = 0;
        }
        if after.report {
            self.report(context, true);
        }
    }

    /// The journal refuses what was decided: a number has another owner, or the job another invoice. For a person.
    fn on_refused(&mut self, text: &str, opens: &[Open], context: &Context<'_>) {
        tracing::error!(text, "the journal refuses an outcome that contradicts it");
        let Some(disk) = self.disk().cloned() else { return };
        for open in opens {
            let ending = Ending {
                attempt: open.attempt.clone(),
                epoch: open.epoch,
                sequence: open.sequence,
                kind: open.kind,
                expected: open.expected,
                result: AttemptResult::Unsettled { class: DeviceClass::Duplicate, text: text.to_owned() },
                readings: Vec::new(),
                disk_ms: open.disk_ms,
                undoing: None,
            };
            let (records, frame) = outbox::ended(ending, &disk, context);
            self.writes.push_back((records, After { frames: vec![frame], ..After::default() }));
        }
    }
}

/// The disk's clock minus the PC's, seconds; `None` where one of them cannot be read. The PC's is that of the answer, a second or
/// two after the disk's.
fn clock_offset_s(disk: Option<&str>, pc: &str) -> Option<i64> {
    let (disk, pc) = (Timestamp::from_disk(disk?)?, pc.parse::<Timestamp>().ok()?);
    Some(disk.since_ms(pc) / 1000)
}
