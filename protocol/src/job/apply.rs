//! The guards and the transitions: every event is checked whole before anything changes.

use super::{Attempt, AttemptState, Event, GENERATION_ATTEMPTS, Job, Next, ReissueCount, Version, What};
use crate::api::{Fault, IssuedInvoice, JobProblem, JobState, Operation, PairBody, SettleDecision};
use crate::undo::Link;

/// Why an event was refused. The job is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// Somebody else was faster: the event starts from a revision that is not the job's.
    #[error("event starts from revision {given}, the job is at {known}")]
    Revision {
        /// In the event.
        given: u64,
        /// Of the job.
        known: u64,
    },
    /// The state does not allow it.
    #[error("{what} is not possible while the job is {state:?}")]
    State {
        /// Name of the event.
        what: &'static str,
        /// State of the job.
        state: JobState,
    },
    /// The attempt does not exist, or it is not the one that is open.
    #[error("attempt {attempt} is not open")]
    Attempt {
        /// Number in the event.
        attempt: u32,
    },
    /// The epoch is not the attempt's.
    #[error("event names epoch {given}, the attempt has {known}")]
    Epoch {
        /// In the event.
        given: u64,
        /// Of the attempt.
        known: u64,
    },
    /// An earlier attempt may still have issued (I4).
    #[error("an earlier attempt is not proven")]
    NotProven,
    /// The event contradicts itself.
    #[error("{0}")]
    Content(&'static str),
}

impl Job {
    /// Makes a job from its first event.
    ///
    /// # Errors
    /// The event is not an acceptance, or does not start from revision 0.
    pub fn accept(event: &Event) -> Result<Job, TransitionError> {
        if event.revision != 0 {
            return Err(TransitionError::Revision { given: event.revision, known: 0 });
        }
        let What::Accepted {
            key,
            operation,
            kind,
            issue_point,
            priority,
            original,
            about,
            invoice,
            hash,
            fields,
            mark,
            place,
            trace,
        } = &event.what
        else {
            return Err(TransitionError::Content("a job begins with its acceptance"));
        };
        Ok(Job {
            key: key.clone(),
            operation: *operation,
            kind: *kind,
            issue_point: issue_point.clone(),
            priority: *priority,
            original: original.clone(),
            about: about.clone(),
            links: Vec::new(),
            place: *place,
            state: JobState::Queued,
            revision: 1,
            versions: vec![Version { hash: hash.clone(), fields: fields.clone() }],
            invoice: invoice.clone(),
            mark: mark.clone(),
            trace: *trace,
            waiting: None,
            cancel_asked: false,
            proposal: None,
            attempts: Vec::new(),
            issued: None,
            problem: None,
            evidence_count: 0,
            reissues: ReissueCount::default(),
            bulk: None,
            accepted_at: event.at,
            changed_at: event.at,
        })
    }

    /// The job after one more event.
    ///
    /// # Errors
    /// State, revision, attempt or epoch do not allow it; then nothing has happened.
    pub fn apply(&self, event: &Event) -> Result<Job, TransitionError> {
        let mut job = self.clone();
        job.advance(event)?;
        Ok(job)
    }

    /// As [`Job::apply`], in place. On an error the job is as it was.
    ///
    /// # Errors
    /// As [`Job::apply`].
    pub fn advance(&mut self, event: &Event) -> Result<(), TransitionError> {
        self.check(event)?;
        self.change(event);
        self.revision += 1;
        self.changed_at = event.at;
        Ok(())
    }

    /// All guards in one place; changes nothing.
    fn check(&self, event: &Event) -> Result<(), TransitionError> {
        if event.revision != self.revision {
            return Err(TransitionError::Revision { given: event.revision, known: self.revision });
        }
        let state = self.state;
        let refused = Err(TransitionError::State { what: event.what.name(), state });
        match &event.what {
            What::Accepted { .. } => refused,
            What::Assigned { attempt, .. } => {
                if state != JobState::Queued {
                    return refused;
                }
                if !self.is_proven_not_issued() {
                    return Err(TransitionError::NotProven);
                }
                // Not always by one: a ledger that went back leaves out the numbers that it may have given already.
                let last = self.attempts.last().map_or(0, |last| last.attempt);
                if *attempt != last + 1 && (*attempt <= last || *attempt % GENERATION_ATTEMPTS != 1) {
                    return Err(TransitionError::Attempt { attempt: *attempt });
                }
                Ok(())
            }
            What::Started { attempt, epoch, .. } => match state {
                JobState::Assigned | JobState::Unsettled => self.check_open(*attempt, *epoch),
                _ => refused,
            },
            What::Issued { .. } if self.operation == Operation::Void => {
                Err(TransitionError::Content("a void job issues nothing"))
            }
            What::Voided { .. } if self.operation != Operation::Void => Err(TransitionError::Content("only a void job voids")),
            What::Voided { attempt, epoch, .. } => match state {
                JobState::Assigned | JobState::Unsettled => self.check_open(*attempt, *epoch),
                // A late outcome said so, and the disk's owner has now read it.
                JobState::Queued | JobState::Failed | JobState::Cancelled => match self.attempt(*attempt) {
                    Some(found) if found.epoch != *epoch => Err(TransitionError::Epoch { given: *epoch, known: found.epoch }),
                    Some(found) if found.named.is_some() => Ok(()),
                    _ => refused,
                },
                JobState::Issued | JobState::Voided => refused,
            },
            What::Linked { operation: Operation::Issue, .. } => {
                Err(TransitionError::Content("an issue job is about no other invoice"))
            }
            What::Linked { .. } if state == JobState::Issued => Ok(()),
            What::Linked { .. } => refused,
            What::Issued { attempt, epoch, settled, .. } => match state {
                JobState::Assigned | JobState::Unsettled => self.check_open(*attempt, *epoch),
                // An invoice that a late outcome named and that the disk's owner has now read does exist, whatever was proven
                // before.
                JobState::Queued | JobState::Failed | JobState::Cancelled => match self.attempt(*attempt) {
                    Some(found) if found.epoch != *epoch => Err(TransitionError::Epoch { given: *epoch, known: found.epoch }),
                    Some(found) if found.named.is_some() && *settled => Ok(()),
                    _ => refused,
                },
                JobState::Issued | JobState::Voided => refused,
            },
            What::NotIssued { attempt, epoch, next, .. } | What::GivenBack { attempt, epoch, next, .. } => match state {
                JobState::Assigned | JobState::Unsettled => {
                    self.check_open(*attempt, *epoch)?;
                    if matches!(next, Next::Cancel) != self.cancel_asked && !matches!(next, Next::Fail { .. }) {
                        return Err(TransitionError::Content("cancelled if and only if that was asked for"));
                    }
                    Ok(())
                }
                _ => refused,
            },
            What::Unsettled { attempt, epoch, .. } => match state {
                JobState::Assigned | JobState::Unsettled => self.check_open(*attempt, *epoch),
                _ => refused,
            },
            What::Failed { .. } | What::Cancelled { .. } => {
                if state != JobState::Queued {
                    return refused;
                }
                self.check_proven()
            }
            What::CancelAsked { .. } => match state {
                JobState::Assigned | JobState::Unsettled => Ok(()),
                // A doubted job cannot be cancelled at once: the pair that a late outcome named must be read first.
                JobState::Queued if self.is_doubted() => Ok(()),
                _ => refused,
            },
            What::Reissued { .. } => match state {
                JobState::Failed | JobState::Cancelled => self.check_proven(),
                _ => refused,
            },
            What::SettleProposed { attempt, .. } => {
                if state != JobState::Unsettled {
                    return refused;
                }
                match self.open_attempt() {
                    Some(open) if open.attempt == *attempt => Ok(()),
                    _ => Err(TransitionError::Attempt { attempt: *attempt }),
                }
            }
            What::SettledByHand { attempt, decision, invoice, .. } => {
                if state != JobState::Unsettled {
                    return refused;
                }
                if self.open_attempt().is_none_or(|open| open.attempt != *attempt) {
                    return Err(TransitionError::Attempt { attempt: *attempt });
                }
                let has_number = *decision == SettleDecision::Issued && self.operation != Operation::Void;
                if has_number != invoice.is_some() {
                    return Err(TransitionError::Content("an invoice belongs to the decision `issued` and to no other"));
                }
                Ok(())
            }
            // An attempt that is open here may have issued too: it is proven first.
            What::Recovered { attempt, .. } => match state {
                JobState::Queued | JobState::Failed | JobState::Cancelled if self.attempt(*attempt).is_none() => {
                    self.check_proven()
                }
                JobState::Queued | JobState::Failed | JobState::Cancelled => Err(TransitionError::Attempt { attempt: *attempt }),
                _ => refused,
            },
            What::Evidence { attempt, .. } => match self.attempt(*attempt) {
                Some(_) => Ok(()),
                None => Err(TransitionError::Attempt { attempt: *attempt }),
            },
        }
    }

    fn check_open(&self, attempt: u32, epoch: u64) -> Result<(), TransitionError> {
        match self.open_attempt() {
            Some(open) if open.attempt != attempt => Err(TransitionError::Attempt { attempt }),
            Some(open) if open.epoch != epoch => Err(TransitionError::Epoch { given: epoch, known: open.epoch }),
            Some(_) => Ok(()),
            None => Err(TransitionError::Attempt { attempt }),
        }
    }

    fn check_proven(&self) -> Result<(), TransitionError> {
        if self.is_proven_not_issued() { Ok(()) } else { Err(TransitionError::NotProven) }
    }

    /// Changes what the event says. Everything was checked.
    fn change(&mut self, event: &Event) {
        match &event.what {
            What::Accepted { .. } => {}
            What::Assigned { attempt, disk, agent, epoch, sequence } => {
                let version = u32::try_from(self.versions.len()).unwrap_or(u32::MAX);
                self.attempts.push(Attempt {
                    attempt: *attempt,
                    disk: disk.clone(),
                    agent: agent.clone(),
                    epoch: *epoch,
                    sequence: *sequence,
                    version,
                    assigned_at: event.at,
                    started_at: None,
                    ended_at: None,
                    expected: None,
                    named: None,
                    state: AttemptState::Open,
                    settled: false,
                    class: None,
                    text: String::new(),
                    disk_ms: None,
                });
                self.state = JobState::Assigned;
                self.waiting = None;
            }
            What::Started { attempt, expected, .. } => {
                let found = self.attempt_mut(*attempt);
                found.started_at.get_or_insert(event.at);
                found.expected = Some(*expected);
            }
            What::Issued { attempt, invoice, expected, disk_ms, settled, .. } => {
                let found = self.attempt_mut(*attempt);
                found.settled = *settled;
                found.end(AttemptState::Issued, event, expected.or(found.expected));
                found.disk_ms = Some(*disk_ms);
                found.class = None;
                found.text.clear();
                self.have(invoice);
            }
            What::Voided { attempt, disk_ms, .. } => {
                let found = self.attempt_mut(*attempt);
                found.settled = true;
                found.end(AttemptState::Voided, event, found.expected);
                found.disk_ms = Some(*disk_ms);
                found.class = None;
                found.text.clear();
                self.finish(JobState::Voided, None);
            }
            What::Linked { by, operation, state, red, gross } => {
                let link = Link {
                    by: by.clone(),
                    operation: *operation,
                    state: *state,
                    red: red.clone(),
                    gross: gross.clone(),
                    at: event.at,
                };
                match self.links.iter_mut().find(|link| link.by == *by) {
                    Some(known) => *known = link,
                    None => self.links.push(link),
                }
            }
            What::NotIssued { attempt, class, text, expected, disk_ms, next, .. } => {
                let found = self.attempt_mut(*attempt);
                found.end(AttemptState::NotIssued, event, expected.or(found.expected));
                found.class = Some(*class);
                found.text.clone_from(text);
                found.disk_ms = Some(*disk_ms);
                self.go(next);
            }
            What::GivenBack { attempt, text, next, .. } => {
                let found = self.attempt_mut(*attempt);
                found.end(AttemptState::GivenBack, event, found.expected);
                found.text.clone_from(text);
                self.go(next);
            }
            What::Unsettled { attempt, class, text, expected, .. } => {
                let found = self.attempt_mut(*attempt);
                let named = found.named;
                found.end(AttemptState::Unsettled, event, expected.or(found.expected));
                found.named = named;
                found.class = *class;
                found.text.clone_from(text);
                self.state = JobState::Unsettled;
                self.problem = Some(JobProblem {
                    code: "outcome_unknown".to_owned(),
                    fault: Fault::Disk,
                    class: *class,
                    text: text.clone(),
                });
            }
            What::Failed { problem } => self.finish(JobState::Failed, Some(problem.clone())),
            What::Cancelled { .. } => self.finish(JobState::Cancelled, None),
            What::CancelAsked { .. } => self.cancel_asked = true,
            What::Reissued { content, about, bulk, .. } => {
                self.bulk.clone_from(bulk);
                if about.is_some() {
                    self.about.clone_from(about);
                }
                if let Some(new) = content {
                    // The newest version again: its body had ended and was sent once more.
                    if new.hash != self.version().hash {
                        self.versions.push(Version { hash: new.hash.clone(), fields: new.fields.clone() });
                    }
                    self.invoice.clone_from(&new.invoice);
                }
                let day = event.at.day();
                let count = if self.reissues.day == day { self.reissues.count + 1 } else { 1 };
                self.reissues = ReissueCount { day, count };
                self.queue(None);
            }
            What::SettleProposed { proposal, .. } => self.proposal = Some(proposal.clone()),
            What::SettledByHand { attempt, reason, invoice, decision, .. } => {
                let done = *decision == SettleDecision::Issued;
                let found = self.attempt_mut(*attempt);
                let state = match (done, invoice.is_some()) {
                    (true, true) => AttemptState::Issued,
                    (true, false) => AttemptState::Voided,
                    (false, _) => AttemptState::NotIssued,
                };
                found.end(state, event, found.expected);
                found.text.clone_from(reason);
                match invoice {
                    Some(invoice) => {
                        self.have(invoice);
                    }
                    None if done => self.finish(JobState::Voided, None),
                    // A person's word frees the serial number but hands nothing over by itself: somebody asks for the re-issue.
                    None => {
                        let text = format!("settled by hand as not issued: {reason}");
                        let code = "disk_trouble".to_owned();
                        self.finish(JobState::Failed, Some(JobProblem { code, fault: Fault::Disk, class: None, text }));
                    }
                }
            }
            What::Recovered { attempt, disk, agent, epoch, sequence, invoice, .. } => {
                if let Some(agent) = agent {
                    self.attempts.push(Attempt {
                        attempt: *attempt,
                        disk: disk.clone(),
                        agent: agent.clone(),
                        epoch: *epoch,
                        sequence: *sequence,
                        version: u32::try_from(self.versions.len()).unwrap_or(u32::MAX),
                        assigned_at: event.at,
                        started_at: None,
                        ended_at: Some(event.at),
                        expected: None,
                        named: None,
                        state: AttemptState::Issued,
                        settled: true,
                        class: None,
                        text: "told again by the agent after the ledger went back".to_owned(),
                        disk_ms: None,
                    });
                    self.attempts.sort_by_key(|attempt| attempt.attempt);
                }
                self.have(invoice);
            }
            What::Evidence { attempt, named, cleared, .. } => {
                let found = self.attempt_mut(*attempt);
                if *cleared {
                    found.named = None;
                }
                // What is issued has its number; a claim beside it is a contradiction for people, not something to wait for.
                if named.is_some() && !matches!(found.state, AttemptState::Issued | AttemptState::Voided) {
                    found.named = *named;
                }
                self.evidence_count = self.evidence_count.saturating_add(1);
            }
        }
    }

    fn attempt_mut(&mut self, attempt: u32) -> &mut Attempt {
        let found = self.attempts.iter_mut().find(|found| found.attempt == attempt);
        found.expect("the guards found this attempt")
    }

    fn go(&mut self, next: &Next) {
        match next {
            Next::Queue { waiting } => self.queue(*waiting),
            Next::Fail { problem } => self.finish(JobState::Failed, Some(problem.clone())),
            Next::Cancel => self.finish(JobState::Cancelled, None),
        }
    }

    fn queue(&mut self, waiting: Option<crate::api::Waiting>) {
        self.state = JobState::Queued;
        self.waiting = waiting;
        self.problem = None;
        self.proposal = None;
        self.cancel_asked = false;
    }

    /// The job has its invoice. An attempt of it that named this very number named the job's own: nothing is in doubt there
    /// any more.
    fn have(&mut self, invoice: &IssuedInvoice) {
        self.finish(JobState::Issued, None);
        let own = PairBody { code: invoice.code.clone(), number: invoice.number.clone() };
        for attempt in &mut self.attempts {
            attempt.named = attempt.named.filter(|named| PairBody::from(*named) != own);
        }
        self.issued = Some(invoice.clone());
    }

    fn finish(&mut self, state: JobState, problem: Option<JobProblem>) {
        self.state = state;
        self.waiting = None;
        self.problem = problem;
        self.proposal = None;
        self.cancel_asked = false;
    }
}

impl Attempt {
    fn end(&mut self, state: AttemptState, event: &Event, expected: Option<crate::number::NumberPair>) {
        self.state = state;
        self.ended_at = Some(event.at);
        self.expected = expected;
        self.named = None;
    }
}
