//! What may happen to a job, as a table: the model's own copy of the state machine, which `tests/tests/model.rs` holds
//! against production's `Job::advance`, pair by pair.
//!
//! A job stands here as its guards see it and no finer: [`Standing`] is what is left of a production job when texts,
//! numbers, times and counts are taken away. It refuses to guess: what it does not list, is refused.

use taxdisk_protocol::api::{JobState, Operation, SettleDecision};
use taxdisk_protocol::job::{Job, Next, What};

/// A job as the guards of its life see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standing {
    pub state: JobState,
    /// An attempt was made.
    pub tried: bool,
    /// A late outcome names a number for the attempt that is open.
    pub open_named: bool,
    /// A late outcome names a number for an attempt that has ended.
    pub ended_named: bool,
    /// Its withdrawal was asked for.
    pub cancel_asked: bool,
}

/// What can happen, with the parameters that guards look at. Revision, attempt and epoch are right: that wrong ones are
/// refused everywhere is a test of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Happens {
    Accepted,
    Assigned,
    Started,
    /// The disk's clean answer.
    Issued,
    /// Found by reading.
    Found,
    Voided,
    Linked,
    NotIssued(Then),
    GivenBack(Then),
    Unsettled,
    Failed,
    Cancelled,
    CancelAsked,
    Reissued,
    SettleProposed,
    ByHand {
        done: bool,
    },
    Recovered,
    /// Evidence that names a number.
    Named,
    /// Evidence that the named number was read, and is not this job's.
    Cleared,
    /// Evidence that only is kept.
    Evidence,
}

/// Where a job goes that is proven not issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    Queue,
    Fail,
    Cancel,
}

/// All that can happen.
pub const HAPPENS: [Happens; 25] = [
    Happens::Accepted,
    Happens::Assigned,
    Happens::Started,
    Happens::Issued,
    Happens::Found,
    Happens::Voided,
    Happens::Linked,
    Happens::NotIssued(Then::Queue),
    Happens::NotIssued(Then::Fail),
    Happens::NotIssued(Then::Cancel),
    Happens::GivenBack(Then::Queue),
    Happens::GivenBack(Then::Fail),
    Happens::GivenBack(Then::Cancel),
    Happens::Unsettled,
    Happens::Failed,
    Happens::Cancelled,
    Happens::CancelAsked,
    Happens::Reissued,
    Happens::SettleProposed,
    Happens::ByHand { done: true },
    Happens::ByHand { done: false },
    Happens::Recovered,
    Happens::Named,
    Happens::Cleared,
    Happens::Evidence,
];

impl Standing {
    /// Just accepted.
    pub const NEW: Standing =
        Standing { state: JobState::Queued, tried: false, open_named: false, ended_named: false, cancel_asked: false };

    /// A production job as its guards see it.
    pub fn of(job: &Job) -> Standing {
        let open = job.open_attempt().map(|open| open.attempt);
        let named = |of_open: bool| {
            job.attempts.iter().any(|attempt| attempt.named.is_some() && (Some(attempt.attempt) == open) == of_open)
        };
        Standing {
            state: job.state,
            tried: !job.attempts.is_empty(),
            open_named: named(true),
            ended_named: named(false),
            cancel_asked: job.cancel_asked,
        }
    }

    /// An attempt is open: nobody can say yet whether it issued.
    pub fn is_open(self) -> bool {
        matches!(self.state, JobState::Assigned | JobState::Unsettled)
    }

    /// No invoice, by proof, and no word to the contrary.
    pub fn is_free(self) -> bool {
        matches!(self.state, JobState::Queued | JobState::Failed | JobState::Cancelled) && !self.ended_named
    }

    /// The job afterwards; `None`: refused.
    pub fn after(self, operation: Operation, happens: Happens) -> Option<Standing> {
        let to = |state| Some(Standing { state, ..self });
        // The attempt that was open has ended, and what was said of its number with it.
        let ended = |state| Some(Standing { state, open_named: false, cancel_asked: false, ..self });
        let (open, is_void) = (self.is_open(), operation == Operation::Void);
        let done = if is_void { JobState::Voided } else { JobState::Issued };
        match happens {
            Happens::Accepted => None,
            Happens::Assigned if self.state == JobState::Queued && self.is_free() => {
                Some(Standing { state: JobState::Assigned, tried: true, ..self })
            }
            Happens::Started if open => Some(self),
            Happens::Issued if open && !is_void => ended(done),
            Happens::Found | Happens::Voided if (happens == Happens::Voided) != is_void => None,
            Happens::Found | Happens::Voided if open => ended(done),
            // A late outcome said so, and the disk's owner has now read it.
            Happens::Found | Happens::Voided
                if self.ended_named && !matches!(self.state, JobState::Issued | JobState::Voided) =>
            {
                Some(Standing { state: done, ended_named: false, cancel_asked: false, ..self })
            }
            Happens::Linked if self.state == JobState::Issued => Some(self),
            Happens::NotIssued(then) | Happens::GivenBack(then) if open => match then {
                Then::Queue if !self.cancel_asked => ended(JobState::Queued),
                Then::Cancel if self.cancel_asked => ended(JobState::Cancelled),
                Then::Fail => ended(JobState::Failed),
                Then::Queue | Then::Cancel => None,
            },
            Happens::Unsettled if open => to(JobState::Unsettled),
            Happens::Failed if self.state == JobState::Queued && self.is_free() => ended(JobState::Failed),
            Happens::Cancelled if self.state == JobState::Queued && self.is_free() => ended(JobState::Cancelled),
            Happens::CancelAsked if open || (self.state == JobState::Queued && self.ended_named) => {
                Some(Standing { cancel_asked: true, ..self })
            }
            Happens::Reissued if self.state != JobState::Queued && self.is_free() => ended(JobState::Queued),
            Happens::SettleProposed if self.state == JobState::Unsettled => Some(self),
            Happens::ByHand { done: true } if self.state == JobState::Unsettled => ended(done),
            Happens::ByHand { done: false } if self.state == JobState::Unsettled => ended(JobState::Failed),
            Happens::Recovered if self.is_free() => {
                Some(Standing { state: JobState::Issued, tried: true, cancel_asked: false, ..self })
            }
            Happens::Named if open => Some(Standing { open_named: true, ..self }),
            // What is issued has its number.
            Happens::Named if self.tried && matches!(self.state, JobState::Issued | JobState::Voided) => Some(self),
            Happens::Named if self.tried => Some(Standing { ended_named: true, ..self }),
            Happens::Cleared if open => Some(Standing { open_named: false, ..self }),
            Happens::Cleared if self.tried => Some(Standing { ended_named: false, ..self }),
            Happens::Evidence if self.tried => Some(self),
            _ => None,
        }
    }
}

/// What a production event is to the table. Without a wildcard: an event that production gains does not compile before
/// somebody has thought of it here.
pub fn happens(what: &What) -> Happens {
    let then = |next: &Next| match next {
        Next::Queue { .. } => Then::Queue,
        Next::Fail { .. } => Then::Fail,
        Next::Cancel => Then::Cancel,
    };
    match what {
        What::Accepted { .. } => Happens::Accepted,
        What::Assigned { .. } => Happens::Assigned,
        What::Started { .. } => Happens::Started,
        What::Issued { settled: false, .. } => Happens::Issued,
        What::Issued { settled: true, .. } => Happens::Found,
        What::Voided { .. } => Happens::Voided,
        What::Linked { .. } => Happens::Linked,
        What::NotIssued { next, .. } => Happens::NotIssued(then(next)),
        What::GivenBack { next, .. } => Happens::GivenBack(then(next)),
        What::Unsettled { .. } => Happens::Unsettled,
        What::Failed { .. } => Happens::Failed,
        What::Cancelled { .. } => Happens::Cancelled,
        What::CancelAsked { .. } => Happens::CancelAsked,
        What::Reissued { .. } => Happens::Reissued,
        What::SettleProposed { .. } => Happens::SettleProposed,
        What::SettledByHand { decision: SettleDecision::Issued, .. } => Happens::ByHand { done: true },
        What::SettledByHand { decision: SettleDecision::NotIssued, .. } => Happens::ByHand { done: false },
        What::Recovered { .. } => Happens::Recovered,
        What::Evidence { cleared: true, .. } => Happens::Cleared,
        What::Evidence { named: Some(_), .. } => Happens::Named,
        What::Evidence { .. } => Happens::Evidence,
    }
}

/// Every state of production, in a match without a wildcard for the same reason.
pub fn index(state: JobState) -> usize {
    match state {
        JobState::Queued => 0,
        JobState::Assigned => 1,
        JobState::Unsettled => 2,
        JobState::Issued => 3,
        JobState::Voided => 4,
        JobState::Failed => 5,
        JobState::Cancelled => 6,
    }
}
