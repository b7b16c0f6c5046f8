//! What callers and administrators ask of a job that exists: the same again, withdraw it, decide it.

use taxdisk_protocol::api::{
    CancelRequest, IssuedInvoice, JobState, Operation, PairBody, ReissueAnswer, ReissueOutcome, ReissueRequest, SettleDecision,
    SettleProposal, SettleReading, SettleRequest,
};
use taxdisk_protocol::hash;
use taxdisk_protocol::ids::{DiskNumber, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{EvidenceKind, Job, NewContent, What};
use taxdisk_protocol::link::{AttemptRef, Owner};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;
use taxdisk_protocol::rules;

use super::accept::invalid;
use super::change::{Change, NumberKey, NumberRow};
use super::types::{CancelAnswer, Refusal};
use super::{Core, Known, Reply};
use crate::fault::planted;

/// The longest reason that is kept, characters: a paragraph.
const REASON_CHARACTERS: usize = 1000;

fn unknown(key: &JobKey) -> Refusal {
    Refusal::new("not_found", format!("job {key} is not known"))
}

fn cut(reason: &str) -> String {
    reason.trim().chars().take(REASON_CHARACTERS).collect()
}

fn pair(body: &PairBody) -> Option<NumberPair> {
    Some(NumberPair { code: body.code.parse().ok()?, number: body.number.parse().ok()? })
}

impl Core {
    pub(super) fn reissue(
        &mut self,
        key: &JobKey,
        request: ReissueRequest,
        by: String,
        bulk: Option<String>,
        known: &Known,
    ) -> Result<Reply, Refusal> {
        let job = self.job(key, known).ok_or_else(|| unknown(key))?;
        let mut submission = job.submission();
        let mut content = None;
        if let Some(invoice) = request.invoice {
            submission.invoice = Some(invoice);
            content = Some(hash::content(&submission));
        }
        let proven = job.is_proven_not_issued() && matches!(job.state, JobState::Failed | JobState::Cancelled);
        if let Some(content) = &content
            && !proven
            && !job.had_content(&content.hash)
        {
            return Err(self.conflict(&job, content));
        }
        let outcome = match job.state {
            JobState::Issued | JobState::Voided => Some(ReissueOutcome::AlreadyIssued),
            JobState::Queued | JobState::Assigned => Some(ReissueOutcome::InProgress),
            JobState::Unsettled => Some(ReissueOutcome::Unsettled),
            // A late outcome says that it was issued after all; the disk is being asked.
            JobState::Failed | JobState::Cancelled if !proven => Some(ReissueOutcome::Unsettled),
            JobState::Failed | JobState::Cancelled => None,
        };
        if let Some(outcome) = outcome {
            if outcome == ReissueOutcome::Unsettled {
                self.ask_all(&job);
            }
            return Ok(Reply::Reissued(ReissueAnswer { outcome, job: self.view(&job) }));
        }
        let reason = cut(&request.reason);
        if reason.is_empty() {
            return Err(Refusal::new("reissue_reason", "say why the job is to be issued again; it is kept in the ledger"));
        }
        let today = self.turn.now.day();
        if job.reissues.day == today && job.reissues.count >= self.settings.reissues_per_day {
            let detail = format!("job {key} was re-issued {} times today; find out why it fails", job.reissues.count);
            return Err(Refusal::new("reissue_limit", detail));
        }
        if submission.invoice.is_none() && job.operation != Operation::Void {
            return Err(Refusal::new("body_ended", format!("the content of job {key} has ended after the retention time")));
        }
        let parsed = rules::parse(&submission).map_err(invalid)?;
        // Another job may have undone the original meanwhile.
        let about = self.check_original(key, &parsed, known)?;
        let (fit, unfit) = self.check_fit(&key.seller, &parsed, job.mark.as_deref())?;
        self.check_only_disk(&key.seller, &about, &parsed, job.mark.as_deref())?;
        let about = (parsed.operation != Operation::Issue).then_some(about);
        let content = content
            .filter(|content| content.hash != job.version().hash || job.invoice.is_none())
            .zip(submission.invoice)
            .map(|(content, invoice)| NewContent { invoice: Some(invoice), hash: content.hash, fields: content.fields });
        self.revive(job);
        let job = self.record(key, What::Reissued { by, reason, content, about, bulk })?;
        if let Some(open) = self.jobs.get_mut(key) {
            (open.fit, open.unfit) = (fit, unfit);
            open.queued_at = self.turn.now;
        }
        drop(job);
        self.apply_line(key)?;
        self.enqueue(key);
        self.pump_seller(&key.seller);
        let job = self.job(key, known).ok_or_else(|| unknown(key))?;
        Ok(Reply::Reissued(ReissueAnswer { outcome: ReissueOutcome::Requeued, job: self.view(&job) }))
    }

    /// Makes the disks' owners read every attempt of the job that is not proven.
    fn ask_all(&mut self, job: &Job) {
        let asked: Vec<u32> = job
            .attempts
            .iter()
            .filter(|attempt| attempt.state.is_open() || attempt.named.is_some())
            .map(|attempt| attempt.attempt)
            .collect();
        for attempt in asked {
            self.ask_owner(&job.key, attempt);
        }
    }

    pub(super) fn cancel(&mut self, key: &JobKey, request: &CancelRequest, by: String, known: &Known) -> Result<Reply, Refusal> {
        let job = self.job(key, known).ok_or_else(|| unknown(key))?;
        let reason = cut(&request.reason);
        let refused = |core: &mut Core, code, text: String| {
            let view = core.view(&job);
            Err(Refusal { job: Some(Box::new(view)), ..Refusal::new(code, text) })
        };
        match job.state {
            JobState::Cancelled => Ok(Reply::Cancelled(CancelAnswer::Cancelled(self.view(&job)))),
            JobState::Issued => {
                refused(self, "job_issued", format!("job {key} is issued; an issued invoice is voided or reversed"))
            }
            JobState::Voided => refused(self, "job_issued", format!("job {key} is done: the invoice that it names is void")),
            JobState::Failed => refused(self, "job_failed", format!("job {key} failed; there is nothing to withdraw")),
            JobState::Queued if !job.is_doubted() => {
                let job = self.record(key, What::Cancelled { by, reason })?;
                self.dequeue(key);
                Ok(Reply::Cancelled(CancelAnswer::Cancelled(self.view(&job))))
            }
            JobState::Queued | JobState::Assigned | JobState::Unsettled => {
                let job = if job.cancel_asked { job.clone() } else { self.record(key, What::CancelAsked { by, reason })? };
                self.recall_open(key);
                Ok(Reply::Cancelled(CancelAnswer::Asked(self.view(&job))))
            }
        }
    }

    /// The number that a decision by hand would give to a job, to be looked up first.
    pub(super) fn settle_numbers(&self, key: &JobKey, request: &SettleRequest) -> Vec<NumberKey> {
        let pair = request.pair.as_ref().and_then(pair);
        let Some((open, pair)) = self.jobs.get(key).zip(pair) else { return Vec::new() };
        self.numbers_at(&key.seller, open.job.kind, pair).collect()
    }

    /// The disk of the seller, other than this one, on which the number is known to stand. A person took it from the wrong disk.
    pub(super) fn stands_elsewhere(&self, seller: &TaxpayerNumber, number: &NumberKey, known: &Known) -> Option<DiskNumber> {
        let others = self.numbers_at(seller, number.kind, number.pair).filter(|other| other.disk != number.disk);
        let mut stands = others.filter(|other| self.number_owner(other, known).is_some());
        stands.next().map(|other| other.disk)
    }

    pub(super) fn settle_by_hand(
        &mut self,
        key: &JobKey,
        request: SettleRequest,
        by: String,
        known: &Known,
    ) -> Result<Reply, Refusal> {
        let job = self.job(key, known).ok_or_else(|| unknown(key))?;
        let view = self.view(&job);
        let refuse = |code, text: &str| Err(Refusal { job: Some(Box::new(view.clone())), ..Refusal::new(code, text) });
        let Some(open) = job.open_attempt().filter(|_| job.state == JobState::Unsettled).cloned() else {
            return refuse("settle_not_unsettled", "only an unsettled job is decided by hand");
        };
        if request.revision != job.revision && !planted("settle_any_revision") {
            return refuse("settle_revision", "the job has changed since you looked at it; look again");
        }
        let reason = cut(&request.reason);
        if reason.is_empty() {
            return refuse("settle_needs_readings", "say why; it is kept in the ledger with your name");
        }
        let Some(current) = pair(&request.current) else {
            return refuse("settle_needs_readings", "the disk's current code and number, as read now, are needed");
        };
        let contradiction = "the readings contradict the decision";
        let void = job.operation == Operation::Void;
        let record: Option<String> = request.tax_office.as_deref().map(cut);
        if record.as_ref().is_some_and(String::is_empty) {
            return refuse("settle_needs_readings", "say where the tax office's record was looked up, and what it says");
        }
        let mut give = None;
        let invoice = match (request.decision, request.expected) {
            // The second reading of a void is that of its original.
            (SettleDecision::Issued, SettleReading::Void) | (SettleDecision::NotIssued, SettleReading::Valid) if void => None,
            _ if void => return refuse("settle_contradiction", "a void is decided by its original: read whether that is void"),
            (SettleDecision::Issued, SettleReading::PresentOurs) => {
                let Some(pair) = request.pair.as_ref().and_then(pair) else {
                    return refuse("settle_needs_readings", "the code and number that were issued are needed");
                };
                // The current pair is the next blank one: it cannot be issued already.
                let blank = current == pair || (current.code == pair.code && current.number < pair.number);
                if blank && !planted("settle_a_blank") {
                    return refuse("settle_contradiction", contradiction);
                }
                let number = NumberKey { disk: open.disk.clone(), kind: job.kind, pair };
                if let Some(other) = self.stands_elsewhere(&key.seller, &number, known) {
                    let text = format!("{pair} stands on disk {other}, and this attempt was at disk {}", open.disk);
                    return refuse("settle_contradiction", &text);
                }
                let ours = Owner::Ours(AttemptRef { key: key.clone(), attempt: open.attempt });
                match self.number_owner(&number, known) {
                    // After a ledger went back: whose it is was asked of people, and here one says so.
                    Some(_) if self.is_unknown(&number) => give = Some((number, ours)),
                    Some(owner) if !super::late::same_job(&owner, &ours) && !planted("settle_an_owned_number") => {
                        return refuse("settle_contradiction", "this number already has another owner");
                    }
                    Some(_) => {}
                    None => give = Some((number, ours)),
                }
                Some(IssuedInvoice {
                    code: pair.code.to_string(),
                    number: pair.number.to_string(),
                    issued_at: String::new(),
                    fiscal_code: String::new(),
                    signature: String::new(),
                    printed: Printed::default(),
                    disk: open.disk.to_string(),
                })
            }
            (SettleDecision::NotIssued, SettleReading::Absent) => {
                // Absent although the disk is past it: one of the two was misread.
                if open.expected.is_some_and(|expected| expected.code == current.code && expected.number < current.number) {
                    return refuse("settle_contradiction", contradiction);
                }
                None
            }
            (SettleDecision::NotIssued, SettleReading::PresentForeign) => {
                // Somebody else's although the disk has not passed it: one of the two was misread.
                if open.expected.is_some_and(|expected| expected.code == current.code && current.number <= expected.number) {
                    return refuse("settle_contradiction", contradiction);
                }
                None
            }
            _ => return refuse("settle_contradiction", contradiction),
        };
        let (attempt, decision) = (open.attempt, request.decision);
        let first = job.proposal.clone().filter(|first| (first.decision, &first.pair) == (decision, &request.pair));
        let body = serde_json::json!({
            "decision": request.decision, "pair": request.pair, "current": request.current, "expected": request.expected,
            "tax_office": record, "first": first, "reason": reason, "by": by,
        });
        // The record of an office is copied by hand: it takes two who looked.
        if let Some(tax_office) = record
            && first.as_ref().is_none_or(|first| !self.people_of(&first.by).is_disjoint(&self.people_of(&by)))
        {
            let text = match first {
                Some(_) => "you have noted this decision already; another person must confirm it with a key of their own",
                None => {
                    let at = self.turn.now.to_string();
                    let proposal = SettleProposal { by, at, decision, pair: request.pair, tax_office, reason };
                    self.record(key, What::SettleProposed { attempt, proposal })?;
                    "the decision is noted; another person must confirm it with a key of their own"
                }
            };
            let view = self.job(key, known).map(|job| Box::new(self.view(&job)));
            return Err(Refusal { job: view, ..Refusal::new("settle_second_person", text) });
        }
        let pair = give.as_ref().map(|(number, _)| number.pair);
        if let Some((number, ours)) = give {
            let (status, digest) = ("by_hand".to_owned(), String::new());
            self.forget_number(&key.seller, &number);
            self.turn.changes.push(Change::Number(NumberRow { key: number.clone(), owner: ours.clone(), status, digest }));
            self.own(number, ours);
        }
        self.evidence(key, attempt, EvidenceKind::SettledByHand, "administrator", None, false, body)?;
        self.record(key, What::SettledByHand { attempt, by, reason, decision, invoice })?;
        self.free(&open.disk, open.sequence);
        self.tell_settled(&open.disk, key, attempt, pair);
        // This attempt did not issue, and an index may remember another one that did: then the job is not free to be issued.
        self.apply_line(key)?;
        let job = self.job(key, known).ok_or_else(|| unknown(key))?;
        self.pump(&open.disk);
        self.release(&key.seller);
        Ok(Reply::Job(Box::new(self.view(&job))))
    }
}
