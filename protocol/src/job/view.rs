//! A job as the API shows it.

use super::{Attempt, Job};
use crate::api::{AttemptView, EvidenceView, JobState, JobSubmission, JobView, Operation, PairBody, UndoneView};
use crate::undo::LinkState;

impl Job {
    /// What void or red jobs did to its invoice.
    fn undone(&self, operation: Operation) -> impl Iterator<Item = UndoneView> {
        let done = self.links.iter().filter(move |link| link.operation == operation && link.state == LinkState::Done);
        done.map(|link| UndoneView {
            serial: link.by.to_string(),
            at: link.at.to_string(),
            red: link.red.clone(),
            gross: link.gross.clone(),
        })
    }

    /// The view without evidence, not repeated, with the waiting reason of the last event. The broker adds what only it knows
    /// now.
    pub fn view(&self) -> JobView {
        JobView {
            seller: self.key.seller.to_string(),
            serial: self.key.serial.to_string(),
            operation: self.operation,
            kind: self.kind.to_string(),
            state: self.state,
            revision: self.revision,
            version: u32::try_from(self.versions.len()).unwrap_or(u32::MAX),
            waiting: if self.state == JobState::Queued { self.waiting } else { None },
            waiting_disk: None,
            waiting_text: None,
            estimate: None,
            agent_away: false,
            repeated: false,
            issued: self.issued.clone(),
            original: self.original.clone(),
            original_serial: self.about.as_ref().and_then(|about| about.serial.as_ref()).map(ToString::to_string),
            disk: self.about.as_ref().and_then(|about| about.disk.as_ref()).map(ToString::to_string),
            voided: self.undone(Operation::Void).next(),
            reversed_by: self.undone(Operation::Red).collect(),
            problem: self.problem.clone(),
            proposal: self.proposal.clone(),
            invoice: self.invoice.clone(),
            mark: self.mark.clone(),
            attempts: self.attempts.iter().map(Attempt::view).collect(),
            evidence: Vec::<EvidenceView>::new(),
            trace_id: self.trace.map(|trace| trace.trace_id()),
            accepted_at: self.accepted_at.to_string(),
            changed_at: self.changed_at.to_string(),
        }
    }
}

impl Attempt {
    /// The attempt as the API shows it.
    pub fn view(&self) -> AttemptView {
        AttemptView {
            attempt: self.attempt,
            disk: self.disk.to_string(),
            agent: self.agent.to_string(),
            epoch: self.epoch,
            assigned_at: self.assigned_at.to_string(),
            started_at: self.started_at.map(|at| at.to_string()),
            ended_at: self.ended_at.map(|at| at.to_string()),
            expected: self.expected.map(PairBody::from),
            result: self.state.as_str().to_owned(),
            class: self.class,
            text: self.text.clone(),
            disk_ms: self.disk_ms,
        }
    }
}

impl Job {
    /// The submission as it stands now, for the rules and for the hash of a changed content.
    pub fn submission(&self) -> JobSubmission {
        JobSubmission {
            seller: self.key.seller.to_string(),
            serial: self.key.serial.to_string(),
            operation: self.operation,
            kind: self.kind.to_string(),
            issue_point: self.issue_point.as_ref().map(ToString::to_string),
            priority: self.priority,
            original: self.original.clone(),
            invoice: self.invoice.clone(),
        }
    }
}
