//! The agent's steps of a job's way as spans: what became durable in the journal, what the disk was asked, the settling by
//! reading, and the report until the broker confirmed it. All are parts of the hand-over, whose place came with the
//! assignment and stands in the intent: whoever goes on after a restart goes on under it.
//!
//! It refuses to decide: the worker's shell tells it what it performed, and goes on as if it were not there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use taxdisk_protocol::link::{AgentFrame, Assignment, AttemptRef};
use taxdisk_protocol::trace::Traceparent;
use taxdisk_telemetry::{Kind, Span};

use crate::core::disk::commands::Command;
use crate::core::effect::Effect;
use crate::core::records::{Record, View};

/// Attempts whose place is remembered at most. A disk has two open ones; a grant may list a few more.
const OPEN_MAX: usize = 64;
/// Reports that wait for the broker at most; of more than these none is timed.
const REPORTS_MAX: usize = 256;

/// Outcomes that were told and not confirmed: by the id of their entry.
static REPORTS: Mutex<BTreeMap<String, (Traceparent, SystemTime)>> = Mutex::new(BTreeMap::new());

/// What one worker knows of the traces of its disk's attempts.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    open: HashMap<AttemptRef, Traceparent>,
    settling: Option<(AttemptRef, SystemTime)>,
}

/// One effect, before it is performed: what it will be called, and which attempt it is for.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    kind: Kind,
    at: Traceparent,
    attempt: AttemptRef,
    ends: bool,
    start: SystemTime,
}

/// What an effect is called. `None`: it is no step of a job's way.
fn named(effect: &Effect) -> Option<(&'static str, Kind, Option<&AttemptRef>)> {
    Some(match effect {
        Effect::Issue { request, .. } => ("disk issue", Kind::Client, Some(&request.assignment.attempt)),
        Effect::Operate(send) => ("disk operate", Kind::Client, send.job.as_ref().map(|job| &job.attempt)),
        Effect::Stock(_) => ("disk stock", Kind::Client, None),
        Effect::Limits(_) => ("disk limits", Kind::Client, None),
        Effect::Query { .. } => ("disk query", Kind::Client, None),
        Effect::Find { .. } => ("disk find", Kind::Client, None),
        Effect::Resync => ("disk resync", Kind::Client, None),
        Effect::Write(records) => {
            let attempt = records.iter().find_map(|record| match record {
                Record::Intent(intent) => Some(&intent.attempt),
                Record::Outcome(outcome) => Some(&outcome.attempt),
                _ => None,
            });
            ("journal", Kind::Internal, attempt)
        }
        _ => return None,
    })
}

impl Traces {
    /// Remembers the places that come with work.
    pub(crate) fn hear(&mut self, command: &Command) {
        match command {
            Command::Assign { assignment, .. } => self.note(assignment),
            Command::Grant { open, .. } => open.iter().for_each(|open| self.note(&open.assignment)),
            Command::Settle { open, .. } => self.note(&open.assignment),
            _ => {}
        }
    }

    fn note(&mut self, assignment: &Assignment) {
        if self.open.len() >= OPEN_MAX {
            // More than a healthy broker ever has open here: the intents know the rest.
            self.open.clear();
        }
        if let Some(trace) = assignment.trace {
            self.open.insert(assignment.attempt.clone(), trace);
        }
    }

    /// Where an attempt stands. Of one that this process has not been told of its intent says so.
    pub(crate) fn of(&self, attempt: &AttemptRef, journal: &dyn View) -> Option<Traceparent> {
        self.open.get(attempt).copied().or_else(|| journal.intent(attempt)?.trace)
    }

    /// An effect is about to be performed. `about`: the attempt that the core is at; `settles`: it reads the disk to know its
    /// end.
    pub(crate) fn begin(
        &mut self,
        effect: &Effect,
        about: Option<&AttemptRef>,
        settles: bool,
        journal: &dyn View,
    ) -> Option<Step> {
        let (name, kind, own) = named(effect)?;
        let attempt = own.or(about)?.clone();
        let at = self.of(&attempt, journal)?;
        let start = SystemTime::now();
        if settles && self.settling.as_ref().is_none_or(|(of, _)| *of != attempt) {
            self.settling = Some((attempt.clone(), start));
        }
        let ends = matches!(effect, Effect::Write(records) if records.iter().any(|record| matches!(record, Record::Outcome(_))));
        Some(Step { name, kind, at, attempt, ends, start })
    }

    /// It was performed.
    pub(crate) fn end(&mut self, step: Option<Step>, failure: Option<String>) {
        let Some(Step { name, kind, at, attempt, ends, start }) = step else { return };
        let end = SystemTime::now();
        part(at, name, kind, start, end, &attempt, failure);
        if ends && let Some((of, since)) = self.settling.take_if(|(of, _)| *of == attempt) {
            part(at, "settle", Kind::Internal, since, start, &of, None);
        }
    }

    /// A frame goes to the link. Gives the trace's id of one that ends an attempt.
    pub(crate) fn told(&mut self, frame: &AgentFrame, journal: &dyn View) -> Option<String> {
        let AgentFrame::Outcome { id, attempt, .. } = frame else { return None };
        let at = self.of(attempt, journal)?;
        self.open.remove(attempt);
        let mut reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
        if reports.len() < REPORTS_MAX {
            reports.insert(id.clone(), (at, SystemTime::now()));
        }
        Some(at.trace_id())
    }
}

/// The broker has made these durable.
pub(crate) fn confirmed(ids: &[String]) {
    let mut reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
    for (at, since) in ids.iter().filter_map(|id| reports.remove(id)) {
        if let Some(own) = at.at(rand::random()) {
            Span::part(own, at, "report", Kind::Client, since, SystemTime::now()).tell();
        }
    }
}

fn part(
    at: Traceparent,
    name: &'static str,
    kind: Kind,
    start: SystemTime,
    end: SystemTime,
    attempt: &AttemptRef,
    failure: Option<String>,
) {
    // A shell draws the ids; zero comes once in 2^64 draws, and then one span is missing.
    let Some(own) = at.at(rand::random()) else { return };
    Span::part(own, at, name, kind, start, end)
        .with("taxdisk.job", &attempt.key)
        .with("taxdisk.attempt", attempt.attempt)
        .failed(failure)
        .tell();
}
