//! One issuing command: of a red one read the original, read the current pair, make the intent durable, send once, judge the
//! answer (architecture, section 5, rules 1 to 3).
//!
//! What it refuses to do: reverse what is void, send before the intent is durable, send twice, send a pair that does not follow
//! the accounted one, and call anything clean but an OK with the expected pair or a refusal before the last byte was written.

use std::sync::Arc;

use taxdisk_drivers::disk::{DiskError, IssueAnswer, NumberStatus, Signed, Stock};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::link::AttemptResult;
use taxdisk_protocol::number::NumberPair;

use super::Context;
use super::account;
use super::compare::{Doubt, Open};
use super::effect::{Answer, Effect, Found, Issue, Request, Trouble};
use super::records::{Base, Intent, Record};
use crate::fault::planted;

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Of a red one: whether the invoice that it reverses is void. A void may have happened that neither ledger nor journal
    /// remembers, when both were put back; the disk always knows.
    Original(NumberPair),
    Reading,
    Intending(Stock),
    Sending(Stock),
}

/// An attempt under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What is to be issued.
    pub request: Arc<Request>,
    /// Epoch under which it was assigned.
    pub epoch: u64,
    /// Milliseconds of the issuing command.
    pub disk_ms: u64,
    state: State,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Perform this.
    Do(Effect),
    /// The current pair does not follow the accounted one: account first, then start again.
    Gap,
    /// The disk did not answer the first reading. Nothing was written to it for this attempt.
    Unread(Trouble),
    /// The device signed the expected pair. Make the outcome durable.
    Issued(Signed, Stock),
    /// Nothing was sent, or nothing that could run. Make the outcome durable.
    Clean(AttemptResult, Option<NumberPair>),
    /// Only reading the disk tells.
    Doubtful(Box<Open>),
}

impl Attempt {
    /// Begins with a reading: of a red one's original, else of the current pair.
    pub fn start(request: Arc<Request>, epoch: u64) -> (Attempt, Effect) {
        let kind = request.assignment.kind;
        let (state, effect) = match request.assignment.original.filter(|_| !planted("void_is_reversed")) {
            Some(pair) => (State::Original(pair), Effect::Query { kind, pair, against: Vec::new() }),
            None => (State::Reading, Effect::Stock(kind)),
        };
        (Attempt { request, epoch, disk_ms: 0, state }, effect)
    }

    /// Goes on. `bases`: up to where the kind is accounted for. `may_begin`: grant and lease hold.
    pub fn on(&mut self, answer: Answer, bases: &[Base], may_begin: bool, disk: &DiskNumber, context: &Context<'_>) -> Step {
        match (self.state.clone(), answer) {
            (State::Original(original), Answer::Query(answer)) => self.on_original(original, answer),
            (State::Reading, Answer::Stock(answer)) => self.on_stock(answer, bases, may_begin, disk, context),
            // If we stop here, at the next start the intent is found without an outcome, and the disk is read.
            (State::Intending(stock), Answer::Written(Ok(()))) => {
                self.state = State::Sending(stock);
                Step::Do(Effect::Issue { request: Arc::clone(&self.request), expected: stock.current, epoch: self.epoch })
            }
            (State::Intending(_), Answer::Written(Err(text))) => {
                Step::Clean(AttemptResult::Unsettled { class: DeviceClass::Duplicate, text }, None)
            }
            // If we stop here, at the next start the intent is found without an outcome, and the disk is read.
            (State::Sending(stock), Answer::Issue(issue)) => self.on_issue(issue, stock),
            (_, answer) => Step::Doubtful(Box::new(self.open(
                Some(Doubt { class: DeviceClass::DeviceFault, code: None, text: format!("unexpected answer {answer:?}") }),
                None,
                0,
            ))),
        }
    }

    fn on_original(&mut self, original: NumberPair, answer: Result<Option<Found>, Trouble>) -> Step {
        match answer {
            Ok(Some(found)) if !matches!(found.invoice.status, NumberStatus::Positive | NumberStatus::Negative) => {
                let text = format!("the disk says that {original} is void: what is void is never reversed too");
                Step::Clean(AttemptResult::NotIssued { class: DeviceClass::InvalidRequest, code: None, text }, None)
            }
            // An original of another disk, or a disk that cannot tell: the broker's own books are the guard then.
            Ok(_) | Err(Trouble::Disk(DiskError { class: DeviceClass::Unsupported, .. })) => {
                self.state = State::Reading;
                Step::Do(Effect::Stock(self.request.assignment.kind))
            }
            Err(trouble) => Step::Unread(trouble),
        }
    }

    fn on_stock(
        &mut self,
        answer: Result<Stock, Trouble>,
        bases: &[Base],
        may_begin: bool,
        disk: &DiskNumber,
        context: &Context<'_>,
    ) -> Step {
        let stock = match answer {
            Ok(stock) if stock.remaining > 0 => stock,
            Ok(_) => return no_stock(None, "no blank invoice of this kind is left".into()),
            Err(Trouble::Disk(error)) if error.class == DeviceClass::NoStock => return no_stock(error.code, error.text),
            Err(trouble) => return Step::Unread(trouble),
        };
        if !account::follows(bases, stock.current) && !planted("numbers_not_accounted") {
            return Step::Gap;
        }
        if !may_begin {
            return Step::Clean(AttemptResult::GivenBack { text: "the link or the grant was lost before it began".into() }, None);
        }
        let assignment = &self.request.assignment;
        if let Some(original) = assignment.original
            && let Some(void) = context.view.voided_by(disk, assignment.kind, original)
        {
            let text = format!("{original} was voided by {void}: what is void is never reversed too");
            return Step::Clean(AttemptResult::NotIssued { class: DeviceClass::InvalidRequest, code: None, text }, None);
        }
        self.state = State::Intending(stock);
        let intent = Intent {
            attempt: assignment.attempt.clone(),
            content_hash: assignment.content_hash.clone(),
            disk: disk.clone(),
            kind: assignment.kind,
            expected: stock.current,
            mark: assignment.mark.clone(),
            trace: assignment.trace,
            epoch: self.epoch,
            sequence: assignment.sequence,
            undoing: Some(assignment.original.into()),
            at: context.at.to_owned(),
        };
        if planted("send_before_intent") {
            self.state = State::Sending(stock);
            return Step::Do(Effect::Issue { request: Arc::clone(&self.request), expected: stock.current, epoch: self.epoch });
        }
        // If we stop before this is durable, at the next start nothing was sent, and reading the disk shows it.
        Step::Do(Effect::Write(vec![Record::Intent(intent)]))
    }

    fn on_issue(&mut self, issue: Issue, stock: Stock) -> Step {
        if let Issue::Answer(_, disk_ms) | Issue::Trouble(_, disk_ms) = &issue {
            self.disk_ms = *disk_ms;
        }
        let expected = stock.current;
        match issue {
            Issue::Withheld(text) => Step::Clean(AttemptResult::GivenBack { text }, Some(expected)),
            Issue::Answer(IssueAnswer::Signed(signed), _) if signed.pair == expected || planted("stale_answer_taken") => {
                Step::Issued(signed, stock)
            }
            Issue::Answer(IssueAnswer::Signed(signed), disk_ms) => {
                let text = format!("the disk issued {} where {expected} was expected", signed.pair);
                let doubt = Doubt { class: DeviceClass::NumberMismatch, code: None, text };
                Step::Doubtful(Box::new(Open { signed: Some(signed), ..self.open(Some(doubt), Some(expected), disk_ms) }))
            }
            Issue::Answer(IssueAnswer::NotSent(error), _) => {
                Step::Clean(AttemptResult::NotIssued { class: error.class, code: error.code, text: error.text }, Some(expected))
            }
            Issue::Answer(IssueAnswer::Refused(error), disk_ms) => {
                let doubt = Doubt { class: error.class, code: error.code, text: error.text };
                Step::Doubtful(Box::new(Open { ended: true, ..self.open(Some(doubt), Some(expected), disk_ms) }))
            }
            Issue::Answer(IssueAnswer::InDoubt(error), _)
                if error.class == DeviceClass::Link && planted("resend_after_time_out") =>
            {
                Step::Do(Effect::Issue { request: Arc::clone(&self.request), expected, epoch: self.epoch })
            }
            Issue::Answer(IssueAnswer::InDoubt(error), _)
                if error.class == DeviceClass::Duplicate && planted("duplicate_is_failure") =>
            {
                Step::Clean(AttemptResult::NotIssued { class: error.class, code: error.code, text: error.text }, Some(expected))
            }
            Issue::Trouble(trouble, _) if planted("hang_is_failure") => {
                let (class, text) = (trouble.class(), trouble.text());
                Step::Clean(AttemptResult::NotIssued { class, code: None, text }, Some(expected))
            }
            Issue::Answer(IssueAnswer::InDoubt(error), disk_ms) => {
                let doubt = Doubt { class: error.class, code: error.code, text: error.text };
                Step::Doubtful(Box::new(self.open(Some(doubt), Some(expected), disk_ms)))
            }
            Issue::Trouble(trouble, disk_ms) => {
                let doubt = Doubt { class: trouble.class(), code: trouble.code(), text: trouble.text() };
                Step::Doubtful(Box::new(self.open(Some(doubt), Some(expected), disk_ms)))
            }
        }
    }

    fn open(&self, doubt: Option<Doubt>, expected: Option<NumberPair>, disk_ms: u64) -> Open {
        let assignment = &self.request.assignment;
        Open {
            attempt: assignment.attempt.clone(),
            epoch: self.epoch,
            sequence: assignment.sequence,
            kind: assignment.kind,
            request: Some(Arc::clone(&self.request)),
            mark: assignment.mark.clone(),
            expected,
            named: None,
            signed: None,
            begun: true,
            doubt,
            ended: false,
            again: false,
            disk_ms,
        }
    }
}

fn no_stock(code: Option<String>, text: String) -> Step {
    Step::Clean(AttemptResult::NotIssued { class: DeviceClass::NoStock, code, text }, None)
}
