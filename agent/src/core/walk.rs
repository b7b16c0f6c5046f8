//! Reads a disk until it is known which numbers were consumed since the last accounted one: one survey, in one conversation.
//!
//! Order: bring the line back (if asked) → what a component that knows requests says of ours → current pair → a known invoice
//! (positive control) → every number upward from each start until the current one or until absent → on another roll, or after
//! a jump, downward from the current one until absent or known → current pair again, so that nothing moved in between.
//!
//! What it refuses to do: take a failing query for an absence, or judge whose a number is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{QueryResult, Reading};
use taxdisk_protocol::mark::find_mark;
use taxdisk_protocol::number::NumberPair;

use super::Context;
use super::effect::{Answer, Effect, Found, Request, Trouble};
use super::records::{Base, Owner};
use crate::fault::planted;

/// Numbers read in one survey. At 1.2 s a query of a slow line this is about 40 minutes; a jump beyond it is for a person.
pub const NUMBERS_MAX: usize = 2000;
/// Readings that are kept as evidence: enough for a person, and far below the longest frame.
const READINGS_MAX: usize = 60;
/// How often the current pair may move under a survey before it is given up for now.
const MOVES_MAX: u32 = 5;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Kind.
    pub kind: InvoiceKind,
    /// Up to where numbers are accounted for; two if journal and broker know different rolls; none at first contact.
    pub bases: Vec<Base>,
    /// Expected pairs of open attempts: read from there upward too.
    pub starts: Vec<NumberPair>,
    /// Read these too.
    pub also: Vec<NumberPair>,
    /// Requests to compare every found number with.
    pub against: Vec<Arc<Request>>,
    /// Requests that the component is asked for first. What it names is read like every other number; that it names nothing
    /// proves nothing here, for it may not have executed yet.
    pub ask: Vec<String>,
    /// The line is in doubt, or something that was sent may still run: bring it back first.
    pub resync: bool,
    /// For a ledger that went back: what the journal knows of a number does not end the way downward.
    pub recount: bool,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// What was asked.
    pub plan: Plan,
    /// The current pair; `None`: no stock, which means that the last number was consumed.
    pub current: Option<NumberPair>,
    /// Blank invoices left.
    pub remaining: u32,
    /// Every number that was read; `None`: the disk itself says that it has no such invoice.
    pub numbers: BTreeMap<NumberPair, Option<Found>>,
    /// Numbers that were passed over: the journal has them as other attempts' own.
    pub known: BTreeSet<NumberPair>,
    /// More numbers than [`NUMBERS_MAX`]: the survey is not complete.
    pub cut: bool,
    /// Evidence.
    pub readings: Vec<Reading>,
}

impl Survey {
    /// A number that is there.
    pub fn present(&self, pair: NumberPair) -> Option<&Found> {
        self.numbers.get(&pair).and_then(Option::as_ref)
    }

    /// The disk itself said that it has no such invoice.
    pub fn absent(&self, pair: NumberPair) -> bool {
        matches!(self.numbers.get(&pair), Some(None))
    }

    /// The numbers from `start` upward that are there without a hole, and whether they reach the current pair.
    pub fn run(&self, start: NumberPair) -> (Vec<NumberPair>, bool) {
        let mut run = Vec::new();
        let mut next = Some(start);
        while let Some(pair) = next {
            if self.current == Some(pair) {
                return (run, true);
            }
            if self.present(pair).is_none() && !self.known.contains(&pair) {
                break;
            }
            run.push(pair);
            next = pair.successor();
        }
        (run, false)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Resyncing,
    /// Asking for the request at this place of [`Plan::ask`].
    Asking(usize),
    Stock,
    Querying(NumberPair),
    Rechecking,
}

/// A survey under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    survey: Survey,
    state: State,
    moves: u32,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Perform this.
    Do(Effect),
    /// Everything was read.
    Done(Box<Survey>),
    /// The disk did not answer; nothing is known that was not known before.
    Failed(Trouble),
}

impl Walk {
    /// Begins.
    pub fn start(plan: Plan) -> (Walk, Effect) {
        let (state, effect) = if plan.resync { (State::Resyncing, Effect::Resync) } else { after_resync(&plan, 0) };
        let survey = Survey {
            plan,
            current: None,
            remaining: 0,
            numbers: BTreeMap::new(),
            known: BTreeSet::new(),
            cut: false,
            readings: Vec::new(),
        };
        (Walk { survey, state, moves: 0 }, effect)
    }

    /// Goes on.
    pub fn on(mut self, answer: Answer, disk: &DiskNumber, context: &Context<'_>) -> (Option<Walk>, Step) {
        match (self.state.clone(), answer) {
            (State::Resyncing, Answer::Done(Ok(()))) => {
                let (state, effect) = after_resync(&self.survey.plan, 0);
                self.state = state;
                (Some(self), Step::Do(effect))
            }
            (State::Asking(index), Answer::Find(answer)) => {
                match answer {
                    Ok(found) => self.survey.plan.also.extend(found.iter().map(|invoice| invoice.pair)),
                    // It cannot be asked, or does not know: then the numbers alone must tell.
                    Err(Trouble::Disk(error)) if error.class != DeviceClass::Link => {}
                    Err(trouble) => return (None, Step::Failed(trouble)),
                }
                let (state, effect) = after_resync(&self.survey.plan, index + 1);
                self.state = state;
                (Some(self), Step::Do(effect))
            }
            (State::Stock | State::Rechecking, Answer::Stock(answer)) => self.on_stock(answer, disk, context),
            (State::Querying(pair), Answer::Query(Ok(found))) => {
                self.note_query(pair, found.as_ref(), context);
                self.survey.numbers.insert(pair, found);
                self.read_on(disk, context)
            }
            (State::Querying(pair), Answer::Query(Err(_))) if planted("failed_query_is_absent") => {
                self.survey.numbers.insert(pair, None);
                self.read_on(disk, context)
            }
            (_, Answer::Done(Err(trouble)) | Answer::Query(Err(trouble))) => (None, Step::Failed(trouble)),
            (state, answer) => (None, Step::Failed(busy(format!("the survey was in {state:?} and got {answer:?}")))),
        }
    }

    fn on_stock(
        mut self,
        answer: Result<taxdisk_drivers::disk::Stock, Trouble>,
        disk: &DiskNumber,
        context: &Context<'_>,
    ) -> (Option<Walk>, Step) {
        let (current, remaining) = match answer {
            Ok(stock) => (Some(stock.current), stock.remaining),
            // The last number was consumed: that is a reading, not a failure.
            Err(Trouble::Disk(error)) if error.class == DeviceClass::NoStock => (None, 0),
            Err(trouble) => return (None, Step::Failed(trouble)),
        };
        self.survey.readings.push(Reading::Current {
            kind: self.survey.plan.kind,
            pair: current,
            remaining: Some(remaining),
            at: context.at.to_owned(),
        });
        let rechecked = self.state == State::Rechecking;
        let moved = current != self.survey.current;
        self.survey.current = current;
        self.survey.remaining = remaining;
        if rechecked && !moved {
            return (None, Step::Done(Box::new(self.survey)));
        }
        if rechecked {
            self.moves += 1;
            if self.moves > MOVES_MAX {
                return (None, Step::Failed(busy("another program issues on this disk without a pause".to_owned())));
            }
            // What was read as absent may be there by now.
            self.survey.numbers.retain(|_, found| found.is_some());
        }
        self.read_on(disk, context)
    }

    fn read_on(mut self, disk: &DiskNumber, context: &Context<'_>) -> (Option<Walk>, Step) {
        let mut wanted = self.wanted(disk, context);
        // What is another attempt's already needs no reading; a foreign number is read again, for it was only inferred.
        while let Some(pair) = wanted.filter(|pair| self.passable(*pair, disk, context)) {
            self.survey.known.insert(pair);
            wanted = self.wanted(disk, context);
        }
        let wanted = wanted.or_else(|| self.control()).filter(|_| {
            self.survey.numbers.len() < NUMBERS_MAX || {
                self.survey.cut = true;
                false
            }
        });
        let kind = self.survey.plan.kind;
        let effect = match wanted {
            Some(pair) => {
                self.state = State::Querying(pair);
                Effect::Query { kind, pair, against: self.survey.plan.against.clone() }
            }
            None => {
                self.state = State::Rechecking;
                Effect::Stock(kind)
            }
        };
        (Some(self), Step::Do(effect))
    }

    /// The next number to read, if any is left.
    fn wanted(&self, disk: &DiskNumber, context: &Context<'_>) -> Option<NumberPair> {
        let survey = &self.survey;
        let unread = |pair: &NumberPair| !survey.numbers.contains_key(pair) && !survey.known.contains(pair);
        let plan = &survey.plan;
        // The positive control first, and what was named.
        let controls = plan.bases.iter().filter_map(|base| base.last());
        let first = controls.chain(plan.also.iter().copied()).chain(plan.starts.iter().copied());
        if let Some(pair) = first.into_iter().find(unread) {
            return Some(pair);
        }
        let mut reached = plan.bases.is_empty() && plan.starts.is_empty();
        let nexts = plan.bases.iter().filter_map(|base| base.next());
        for start in nexts.chain(plan.starts.iter().copied()) {
            let (run, reaches) = survey.run(start);
            reached |= reaches;
            let end = run.last().map_or(Some(start), |last| last.successor());
            if !reaches && let Some(end) = end.filter(unread) {
                return Some(end);
            }
        }
        let current = survey.current.filter(|_| !reached)?;
        // Another roll, or a jump on the same one: the current number must be blank, and the ones before it are read too.
        if unread(&current) {
            return Some(current);
        }
        let mut next = current.predecessor();
        while let Some(pair) = next {
            let known = plan.bases.iter().any(|base| base.last() == Some(pair))
                || (!plan.recount && context.view.owner(disk, plan.kind, pair).is_some());
            if known || survey.absent(pair) {
                break;
            }
            if unread(&pair) {
                return Some(pair);
            }
            next = pair.predecessor();
        }
        None
    }

    /// For a ledger that went back, what was passed over is all there may be, and none of it was read: one that is known to be
    /// there shows whether this conversation finds anything at all.
    fn control(&self) -> Option<NumberPair> {
        let survey = &self.survey;
        let blind = survey.plan.recount && survey.numbers.values().all(Option::is_none);
        survey.known.last().copied().filter(|pair| blind && !survey.numbers.contains_key(pair))
    }

    fn passable(&self, pair: NumberPair, disk: &DiskNumber, context: &Context<'_>) -> bool {
        let plan = &self.survey.plan;
        let asked =
            plan.also.contains(&pair) || plan.starts.contains(&pair) || plan.bases.iter().any(|base| base.last() == Some(pair));
        !asked
            && self.survey.current != Some(pair)
            && matches!(context.view.owner(disk, plan.kind, pair), Some(Owner::Ours(_) | Owner::Operation(_)))
    }

    fn note_query(&mut self, pair: NumberPair, found: Option<&Found>, context: &Context<'_>) {
        if self.survey.readings.len() >= READINGS_MAX {
            return;
        }
        let found = match found {
            None => QueryResult::Absent,
            Some(found) => QueryResult::Present {
                different: match found.comparisons.first() {
                    Some(taxdisk_drivers::disk::Comparison::Different(fields)) => {
                        fields.iter().map(|&field| field.to_owned()).collect()
                    }
                    _ => Vec::new(),
                },
                mark: find_mark(&found.invoice.remark).map(str::to_owned),
                status: super::account::status_text(found.invoice.status).to_owned(),
                gross: found.invoice.gross.to_string(),
                buyer: found.invoice.buyer_name.clone(),
            },
        };
        self.survey.readings.push(Reading::Query { pair, found, at: context.at.to_owned() });
    }
}

/// The request at `index` of those to ask for, or the current pair when all were asked.
fn after_resync(plan: &Plan, index: usize) -> (State, Effect) {
    match plan.ask.get(index) {
        Some(request) => (State::Asking(index), Effect::Find { kind: plan.kind, request: request.clone() }),
        None => (State::Stock, Effect::Stock(plan.kind)),
    }
}

fn busy(text: String) -> Trouble {
    Trouble::Disk(taxdisk_drivers::disk::DiskError { class: DeviceClass::InProgress, code: None, text, tries_left: None })
}
