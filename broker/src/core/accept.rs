//! Acceptance: the key is looked up before anything is validated (I6).

use std::sync::Arc;

use taxdisk_protocol::api::{JobSubmission, Operation};
use taxdisk_protocol::error::Breach;
use taxdisk_protocol::hash;
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::{Event, Job, What};
use taxdisk_protocol::mark::mark;
use taxdisk_protocol::rules;
use taxdisk_protocol::trace::Traceparent;

use super::change::Change;
use super::types::{Refusal, Submitted};
use super::{Core, Known, OpenJob, Reply};
use crate::fault::planted;

/// A submission with all that can be said of it without looking at anything else: callers' tasks make it, so that the one writer
/// need not.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// As it was sent.
    pub submission: JobSubmission,
    /// The acceptance in the trace that it came with, or in one of its own. Nothing is decided by it.
    pub trace: Option<Traceparent>,
    key: Result<JobKey, Vec<Breach>>,
    content: hash::Content,
    /// Used only once the key was looked up (I6).
    parsed: Result<rules::Job, Vec<Breach>>,
}

impl From<JobSubmission> for Prepared {
    fn from(submission: JobSubmission) -> Prepared {
        let (key, content) = (rules::parse_key(&submission), hash::content(&submission));
        let parsed = rules::parse(&submission);
        Prepared { submission, trace: None, key, content, parsed }
    }
}

impl Prepared {
    /// The same, on its way in a trace.
    pub fn traced(self, trace: Option<Traceparent>) -> Prepared {
        Prepared { trace, ..self }
    }

    /// Its key, if it has one.
    pub(super) fn key(&self) -> Option<&JobKey> {
        self.key.as_ref().ok()
    }
}

/// All broken rules.
pub(super) fn invalid(breaches: Vec<Breach>) -> Refusal {
    let detail = match breaches.as_slice() {
        [one] => one.detail.clone(),
        many => format!("{} rules are broken", many.len()),
    };
    let red_only = breaches.iter().any(|breach| breach.code == rules::Rule::VoidKind.code());
    let code = if red_only { "operation_unsupported" } else { "invalid_invoice" };
    Refusal { breaches, ..Refusal::new(code, detail) }
}

impl Core {
    pub(super) fn submit(&mut self, prepared: Prepared, known: &Known) -> Result<Reply, Refusal> {
        let Prepared { submission, trace, key, content, parsed } = prepared;
        let key = key.map_err(invalid)?;
        if let Some(job) = self.job(&key, known) {
            return self.answer_known(&job, &content);
        }
        if let Some(refusal) = self.contradicts_line(&key, &content.hash) {
            return Err(refusal);
        }
        let Some(seller) = self.sellers.get(&key.seller) else {
            return Err(Refusal::new("seller_unknown", format!("seller {} is not known here", key.seller)));
        };
        let parsed = parsed.map_err(invalid)?;
        if let Some(point) = &parsed.issue_point
            && !seller.points.contains_key(point)
        {
            return Err(invalid(vec![Breach {
                code: "issue_point_unknown".to_owned(),
                pointer: "/issue_point".to_owned(),
                detail: format!("seller {} has no issue point {point}", key.seller),
            }]));
        }
        if self.jobs.len() >= self.settings.max_open_jobs {
            return Err(Refusal::new("not_ready", "too many jobs wait; send the same again later, under the same serial number"));
        }
        // A void writes no remark that could carry a mark.
        let mark = (seller.body.mark && parsed.operation != Operation::Void).then(|| mark(&key));
        let about = self.check_original(&key, &parsed, known)?;
        let (fit, unfit) = self.check_fit(&key.seller, &parsed, mark.as_deref())?;
        self.check_only_disk(&key.seller, &about, &parsed, mark.as_deref())?;
        let place = self.next_place;
        self.next_place += 1;
        let event = Event {
            revision: 0,
            at: self.turn.now,
            origin: self.turn.origin.clone(),
            what: What::Accepted {
                key: key.clone(),
                operation: parsed.operation,
                kind: parsed.kind,
                issue_point: parsed.issue_point,
                priority: parsed.priority,
                original: submission.original,
                about: (parsed.operation != Operation::Issue).then_some(about),
                invoice: submission.invoice,
                hash: content.hash,
                fields: content.fields,
                mark,
                place,
                trace,
            },
        };
        let job = Job::accept(&event).map_err(|error| Refusal::new("internal", error.to_string()))?;
        let job = Arc::new(job);
        self.turn.changes.push(Change::Job { job: job.clone(), event });
        self.note_undoing(&job);
        self.jobs.insert(key.clone(), OpenJob { job, fit, unfit, lane: None, queued_at: self.turn.now });
        // The ledger may have forgotten that it was issued.
        self.apply_line(&key)?;
        self.enqueue(&key);
        self.pump_seller(&key.seller);
        let job = self.job(&key, known).expect("the job was just put there");
        Ok(Reply::Submitted(Submitted::New(self.view(&job))))
    }

    /// The same question gets the same answer, whatever version it asked; another one is told what differs.
    fn answer_known(&mut self, job: &Arc<Job>, content: &hash::Content) -> Result<Reply, Refusal> {
        if job.had_content(&content.hash) || planted("other_content_repeated") {
            let mut view = self.view(job);
            view.repeated = true;
            return Ok(Reply::Submitted(Submitted::Repeated(view)));
        }
        Err(self.conflict(job, content))
    }

    pub(super) fn conflict(&mut self, job: &Arc<Job>, content: &hash::Content) -> Refusal {
        let differences = hash::differences(&job.version().fields, &content.fields);
        let detail = format!(
            "serial number {} of seller {} is already used for other content ({:?})",
            job.key.serial, job.key.seller, job.state
        );
        Refusal { differences, job: Some(Box::new(self.view(job))), ..Refusal::new("conflict", detail) }
    }

    /// Which profiles can express the job, and which cannot. Refused if disks licensed for the kind are known and none of them
    /// can.
    pub(super) fn check_fit(
        &mut self,
        seller: &taxdisk_protocol::ids::TaxpayerNumber,
        parsed: &rules::Job,
        mark: Option<&str>,
    ) -> Result<(u64, u64), Refusal> {
        let licensed = self.licensed_profiles(seller, parsed.kind, parsed.issue_point.as_ref());
        let (mut fit, mut unfit, mut first) = (0, 0, Vec::new());
        let Some(shop) = self.shops.get(seller) else { return Ok((0, 0)) };
        for (index, capabilities) in shop.profiles.iter().enumerate() {
            let bit = 1_u64 << index;
            if licensed & bit == 0 {
                continue;
            }
            let breaches = rules::fits(parsed, capabilities, mark);
            if breaches.is_empty() {
                fit |= bit;
            } else {
                unfit |= bit;
                if first.is_empty() {
                    first = breaches;
                }
            }
        }
        if fit == 0 && unfit != 0 {
            return Err(super::original::unfit(first));
        }
        Ok((fit, unfit))
    }
}
