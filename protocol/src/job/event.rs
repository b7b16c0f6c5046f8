//! What can happen to a job. Events are what the ledger keeps; they are never changed and never taken back.

use serde::{Deserialize, Serialize};

use crate::api::{
    InvoiceBody, IssuedInvoice, JobProblem, Operation, PairBody, Priority, SettleDecision, SettleProposal, Waiting,
};
use crate::class::DeviceClass;
use crate::hash::Fields;
use crate::ids::{AgentId, DiskNumber, IssuePoint, JobKey, SerialNumber};
use crate::kind::InvoiceKind;
use crate::number::NumberPair;
use crate::time::Timestamp;
use crate::trace::Traceparent;
use crate::undo::{About, LinkState};

/// One event of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Revision that it starts from; 0 for the first one. The job has this plus one afterwards.
    pub revision: u64,
    /// When the broker took it.
    pub at: Timestamp,
    /// Who made it happen, and from where. Absent in events of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// Who made something happen, and from where. Why is a matter of the event itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Id of an API key or of an agent; `broker` for what only time brought; `command line`.
    pub by: String,
    /// Network address of the other end, without its port; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
}

/// Where a job goes once an attempt is proven not to have issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "next", rename_all = "snake_case")]
pub enum Next {
    /// Queued again at its old place.
    Queue {
        /// Why it waits, if something must change first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waiting: Option<Waiting>,
    },
    /// Failed.
    Fail {
        /// Whose fault.
        problem: JobProblem,
    },
    /// Cancelled, as was asked before.
    Cancel,
}

/// What a piece of evidence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// An outcome from somebody who does not own the disk, or for an attempt that has ended.
    LateOutcome,
    /// What was read from the disk to come to an outcome.
    Readings,
    /// What went between PC and disk, where that was recorded.
    Frames,
    /// What an administrator saw and decided.
    SettledByHand,
    /// Two things that cannot both be true. A person must look.
    Contradiction,
}

impl EvidenceKind {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            EvidenceKind::LateOutcome => "late_outcome",
            EvidenceKind::Readings => "readings",
            EvidenceKind::Frames => "frames",
            EvidenceKind::SettledByHand => "settled_by_hand",
            EvidenceKind::Contradiction => "contradiction",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// The job was accepted.
    Accepted {
        /// Seller and serial number.
        key: JobKey,
        /// What it asks.
        operation: Operation,
        /// Kind.
        kind: InvoiceKind,
        /// Who issues.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issue_point: Option<IssuePoint>,
        /// How urgent.
        priority: Priority,
        /// The invoice that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        original: Option<PairBody>,
        /// What that was found to be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<About>,
        /// Content.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invoice: Option<InvoiceBody>,
        /// Hash of the content.
        hash: String,
        /// Hash of each field.
        fields: Fields,
        /// Our mark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<String>,
        /// Place in the queue.
        place: u64,
        /// Whose way it is on, for whoever looks on; no decision rests on it. Absent in events of older versions.
        #[serde(default, deserialize_with = "crate::trace::lenient", skip_serializing_if = "Option::is_none")]
        trace: Option<Traceparent>,
    },
    /// Handed to a disk.
    Assigned {
        /// Number of the attempt.
        attempt: u32,
        /// Disk.
        disk: DiskNumber,
        /// Its owner.
        agent: AgentId,
        /// Epoch.
        epoch: u64,
        /// Assign sequence.
        sequence: u64,
    },
    /// The agent's intent is durable.
    Started {
        /// Attempt.
        attempt: u32,
        /// Epoch of the attempt.
        epoch: u64,
        /// Journalled pair.
        expected: NumberPair,
    },
    /// A legal invoice exists.
    Issued {
        /// Attempt.
        attempt: u32,
        /// Epoch of the attempt.
        epoch: u64,
        /// The invoice.
        invoice: IssuedInvoice,
        /// Journalled pair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<NumberPair>,
        /// Found by reading.
        settled: bool,
        /// Milliseconds of the disk's commands.
        disk_ms: u64,
    },
    /// Of a void job: its original is void, as reading it proves.
    Voided {
        /// Attempt.
        attempt: u32,
        /// Epoch of the attempt.
        epoch: u64,
        /// Disk clock, `yyyyMMddHHmmss`, where the disk tells.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        voided_at: String,
        /// Milliseconds of the disk's commands.
        disk_ms: u64,
    },
    /// Of an issued job: a void or red job that is about its invoice began, happened, or is proven not to have happened. Changes
    /// no state.
    Linked {
        /// That job.
        by: SerialNumber,
        /// Void or red.
        operation: Operation,
        /// How it stands.
        state: LinkState,
        /// The red invoice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        red: Option<PairBody>,
        /// Its gross amount, below zero.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gross: Option<String>,
    },
    /// Proven: no invoice exists.
    NotIssued {
        /// Attempt.
        attempt: u32,
        /// Epoch of the attempt.
        epoch: u64,
        /// Class.
        class: DeviceClass,
        /// For people.
        text: String,
        /// Journalled pair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<NumberPair>,
        /// Milliseconds of the disk's commands.
        disk_ms: u64,
        /// Where the job goes.
        next: Next,
    },
    /// Proven: the attempt was never begun.
    GivenBack {
        /// Attempt.
        attempt: u32,
        /// Epoch of the attempt.
        epoch: u64,
        /// For people.
        text: String,
        /// Where the job goes.
        next: Next,
    },
    /// The outcome is unknown, or the agent has been away too long.
    Unsettled {
        /// Attempt.
        attempt: u32,
        /// Epoch of the attempt.
        epoch: u64,
        /// Class; absent when the broker's time limit ran out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<DeviceClass>,
        /// For people.
        text: String,
        /// Journalled pair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<NumberPair>,
    },
    /// A queued job fails before a hand-over.
    Failed {
        /// Why.
        problem: JobProblem,
    },
    /// Withdrawn while it was queued.
    Cancelled {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// To be withdrawn as soon as it is proven not issued.
    CancelAsked {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The same job again, after a proof that it was not issued.
    Reissued {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Other content, if it changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<NewContent>,
        /// Of a void or red job: what its original was found to be now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<About>,
        /// The bulk re-issue that asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bulk: Option<String>,
    },
    /// One person decides by the tax office's record; a second one must confirm it.
    SettleProposed {
        /// Attempt.
        attempt: u32,
        /// Who and what.
        proposal: SettleProposal,
    },
    /// An administrator decided.
    SettledByHand {
        /// Attempt.
        attempt: u32,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// What.
        decision: SettleDecision,
        /// The invoice, if it was issued.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invoice: Option<IssuedInvoice>,
    },
    /// A legal invoice exists that this ledger forgot when it went back: an agent's index, or a person, says so.
    Recovered {
        /// Attempt of the forgotten part; 0 if a person says so.
        attempt: u32,
        /// Disk.
        disk: DiskNumber,
        /// Who says so; absent for a person, who stands in `origin`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentId>,
        /// Epoch of the attempt.
        epoch: u64,
        /// Assign sequence of the attempt.
        sequence: u64,
        /// The invoice.
        invoice: IssuedInvoice,
        /// Why, where a person says so.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Something was read or reported, and is kept.
    Evidence {
        /// Attempt.
        attempt: u32,
        /// What it is.
        kind: EvidenceKind,
        /// From whom.
        from: String,
        /// A pair that must be read before the job may be handed over again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        named: Option<NumberPair>,
        /// The disk's owner has read what was named: it is not this job's.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cleared: bool,
        /// Content.
        #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
        body: serde_json::Value,
    },
}

/// New content of a re-issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewContent {
    /// Body; absent once the retention time has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceBody>,
    /// Hash.
    pub hash: String,
    /// Hash of each field.
    pub fields: Fields,
}

impl Event {
    /// Parts the event from what the retention time may end, as JSON texts: first the event without it, then the invoice that it
    /// brought or the body of a piece of evidence, if there is one. The event without it still folds into the same job, but for
    /// the body.
    pub fn parts(&self) -> (String, Option<String>) {
        let content = match &self.what {
            What::Accepted { invoice, .. } => invoice.as_ref().map(text),
            What::Reissued { content: Some(content), .. } => content.invoice.as_ref().map(text),
            What::Evidence { body, .. } => (!body.is_null()).then(|| text(body)),
            _ => None,
        };
        match content {
            None => (text(self), None),
            content => (text(&self.without_content()), content),
        }
    }

    /// A copy without what [`Event::parts`] parts. The content itself, the larger half, is not copied on the way.
    fn without_content(&self) -> Event {
        let what = match &self.what {
            What::Accepted {
                key,
                operation,
                kind,
                issue_point,
                priority,
                original,
                about,
                invoice: _,
                hash,
                fields,
                mark,
                place,
                trace,
            } => What::Accepted {
                key: key.clone(),
                operation: *operation,
                kind: *kind,
                issue_point: issue_point.clone(),
                priority: *priority,
                original: original.clone(),
                about: about.clone(),
                invoice: None,
                hash: hash.clone(),
                fields: fields.clone(),
                mark: mark.clone(),
                place: *place,
                trace: *trace,
            },
            other => {
                let mut what = other.clone();
                match &mut what {
                    What::Reissued { content: Some(content), .. } => content.invoice = None,
                    What::Evidence { body, .. } => *body = serde_json::Value::Null,
                    _ => {}
                }
                what
            }
        };
        Event { revision: self.revision, at: self.at, origin: self.origin.clone(), what }
    }

    /// Puts back what [`Event::parts`] parted.
    ///
    /// # Errors
    /// The content is not what this event brings.
    pub fn join(mut self, content: serde_json::Value) -> Result<Event, String> {
        match &mut self.what {
            What::Accepted { invoice, .. } => *invoice = serde_json::from_value(content).map_err(|error| error.to_string())?,
            What::Reissued { content: Some(new), .. } => {
                new.invoice = serde_json::from_value(content).map_err(|error| error.to_string())?;
            }
            What::Evidence { body, .. } => *body = content,
            other => return Err(format!("{} brings no content", other.name())),
        }
        Ok(self)
    }
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own events have string keys and no failing serializers")
}

impl What {
    /// Its name, as it is stored.
    pub fn name(&self) -> &'static str {
        match self {
            What::Accepted { .. } => "accepted",
            What::Assigned { .. } => "assigned",
            What::Started { .. } => "started",
            What::Issued { .. } => "issued",
            What::Voided { .. } => "voided",
            What::Linked { .. } => "linked",
            What::NotIssued { .. } => "not_issued",
            What::GivenBack { .. } => "given_back",
            What::Unsettled { .. } => "unsettled",
            What::Failed { .. } => "failed",
            What::Cancelled { .. } => "cancelled",
            What::CancelAsked { .. } => "cancel_asked",
            What::Reissued { .. } => "reissued",
            What::SettleProposed { .. } => "settle_proposed",
            What::SettledByHand { .. } => "settled_by_hand",
            What::Recovered { .. } => "recovered",
            What::Evidence { .. } => "evidence",
        }
    }
}
