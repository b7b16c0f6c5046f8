//! What people decide of a ledger that went back: whose a number is, what became of an attempt that only an agent remembers, and
//! that a disk is read no more.
//!
//! What it refuses to do: give a job a second invoice, or an invoice a second owner (I1, I10); believe what an index contradicts.

use taxdisk_protocol::api::{IssuedInvoice, JobState};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::job::{AttemptState, EvidenceKind, Job, What};
use taxdisk_protocol::link::{AttemptRef, AttemptResult, Owner};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::printed::Printed;
use taxdisk_protocol::undo::Undoing;

use super::change::{NumberKey, OriginalKey};
use super::doubts::Line;
use super::reconcile::{number_key, row};
use super::types::{LineDecision, NumberDecision, Refusal};
use super::{Core, Known, Reply};

fn reason(text: &str) -> Result<String, Refusal> {
    let text: String = text.trim().chars().take(1000).collect();
    if text.is_empty() {
        return Err(Refusal::new("invalid_parameter", "say why; it is kept in the ledger with your name"));
    }
    Ok(text)
}

/// Does the decision name this attempt, or none at all?
fn is_meant(decision: &LineDecision, line: &Line) -> bool {
    decision.attempt.is_none_or(|attempt| attempt == line.line.attempt.attempt)
        && decision.disk.as_ref().is_none_or(|disk| *disk == line.disk)
}

/// Is every attempt proven not to have issued, but for those that are in doubt about this very number? Whose it is, is what a
/// person is asked.
fn may_have(job: &Job, number: &NumberKey) -> bool {
    matches!(job.state, JobState::Queued | JobState::Failed | JobState::Cancelled)
        && job.issued.is_none()
        && job.attempts.iter().all(|attempt| {
            matches!(attempt.state, AttemptState::NotIssued | AttemptState::GivenBack)
                && attempt.named.is_none_or(|named| named == number.pair && attempt.disk == number.disk)
        })
}

impl Core {
    /// A person says whose a number is.
    pub(super) fn decide_number(&mut self, decision: NumberDecision, known: &Known) -> Result<Reply, Refusal> {
        let NumberDecision { number, job, forgotten, reason: why } = decision;
        let why = reason(&why)?;
        let Some(unknown) = self.reconcile.unknown(&number).cloned() else {
            return Err(Refusal::new("not_found", format!("{} is no number of unknown origin", number_key(&number))));
        };
        let found = job.as_ref().and_then(|key| self.job(key, known));
        let is_new = found.is_none();
        let owner = match (&job, found) {
            (None, _) => Owner::Foreign,
            (Some(key), None) => {
                if !forgotten {
                    let then = "if it was lost with the ledger, and will be sent again, say that it is forgotten";
                    return Err(Refusal::new("not_found", format!("job {key} is not known; {then}")));
                }
                if key.seller != unknown.seller || self.reconcile.done(key).is_some() {
                    let text = "this job cannot have that invoice: it is of another seller, or an agent remembers its invoice";
                    return Err(Refusal::new("settle_contradiction", text));
                }
                Owner::Ours(AttemptRef { key: key.clone(), attempt: 0 })
            }
            (Some(key), Some(job)) => {
                if !may_have(&job, &number) || job.kind != number.kind || key.seller != unknown.seller {
                    let view = Some(Box::new(self.view(&job)));
                    let text = "this job cannot have that invoice: it is issued or open, in doubt about another number, or of \
                                another kind or seller";
                    return Err(Refusal { job: view, ..Refusal::new("settle_contradiction", text) });
                }
                self.revive(job);
                Owner::Ours(AttemptRef { key: key.clone(), attempt: 0 })
            }
        };
        self.forget_number(&unknown.seller, &number);
        let body = serde_json::json!({ "number": number_key(&number), "seen": unknown.seen, "job": job, "reason": why });
        self.audit(Some(&unknown.seller), "number_decided", body);
        self.give_number(number.clone(), owner, &unknown.seen.status, &unknown.seen.digest);
        if let Some(key) = &job {
            if is_new {
                self.take_line(unknown.line_of(key.clone()), known)?;
            } else {
                self.dequeue(key);
                self.record_by_person(key, &number, why)?;
                self.forget_lines(key, |line| line.disk == number.disk || line.is_done());
            }
        }
        self.release(&unknown.seller);
        Ok(Reply::Done)
    }

    fn record_by_person(&mut self, key: &JobKey, number: &NumberKey, reason: String) -> Result<(), Refusal> {
        // What a late outcome named is this number: it is the job's, and nothing is in doubt there any more.
        let attempts = self.jobs.get(key).map(|open| open.job.attempts.as_slice()).unwrap_or_default();
        let doubted: Vec<u32> = attempts.iter().filter(|found| found.named.is_some()).map(|found| found.attempt).collect();
        for attempt in doubted {
            let body = serde_json::json!({ "number": number_key(number), "reason": reason });
            self.evidence(key, attempt, EvidenceKind::SettledByHand, "administrator", None, true, body)?;
        }
        let NumberPair { code, number: serial } = number.pair;
        let invoice = IssuedInvoice {
            code: code.to_string(),
            number: serial.to_string(),
            issued_at: String::new(),
            fiscal_code: String::new(),
            signature: String::new(),
            printed: Printed::default(),
            disk: number.disk.to_string(),
        };
        let disk = number.disk.clone();
        self.record(key, What::Recovered { attempt: 0, disk, agent: None, epoch: 0, sequence: 0, invoice, reason })?;
        Ok(())
    }

    /// The number that a person gives to a remembered attempt, whose owner must be looked up first.
    pub(super) fn line_numbers(&self, key: &JobKey, decision: &LineDecision) -> Vec<NumberKey> {
        let lines = self.reconcile.lines(key).iter().filter(|line| is_meant(decision, line));
        let given = lines.filter_map(|line| Some((line.line.kind, decision.issued?)));
        given.flat_map(|(kind, pair)| self.numbers_at(&key.seller, kind, pair)).collect()
    }

    /// The remembered attempt that a person means. Where several are in doubt, it must be named.
    fn meant(&self, key: &JobKey, decision: &LineDecision) -> Result<Line, Refusal> {
        let lines: Vec<&Line> = self.reconcile.lines(key).iter().filter(|line| is_meant(decision, line)).collect();
        let doubts: Vec<&Line> = lines.iter().copied().filter(|line| !line.is_done()).collect();
        match (doubts.as_slice(), lines.as_slice()) {
            ([line], _) | ([], [line, ..]) => Ok((*line).clone()),
            ([], []) => {
                let text = format!("no agent remembers such an attempt of {key} that this ledger does not know");
                Err(Refusal::new("not_found", text))
            }
            (doubts, _) => {
                let name = |line: &&Line| format!("attempt {} at disk {}", line.line.attempt.attempt, line.disk);
                let names: Vec<String> = doubts.iter().map(name).collect();
                let text = format!("{key} has several attempts in doubt; say which one is meant: {}", names.join(", "));
                Err(Refusal::new("invalid_parameter", text))
            }
        }
    }

    /// A person says what became of a forgotten attempt that is unsettled.
    pub(super) fn decide_line(&mut self, key: &JobKey, decision: LineDecision, known: &Known) -> Result<Reply, Refusal> {
        let why = reason(&decision.reason)?;
        let mut line = self.meant(key, &decision)?;
        let issued = decision.issued;
        if line.voided().is_some() {
            let text = "the agent remembers that the original is void; the job hears of it as soon as it is sent again";
            return Err(Refusal::new("settle_contradiction", text));
        }
        let remembered = line.issued();
        if remembered.is_some() && issued != remembered {
            let text = "the agent remembers the invoice; it is the job's as soon as the job is sent again";
            return Err(Refusal::new("settle_contradiction", text));
        }
        if let Some(original) = issued.filter(|pair| line.line.undoing.and_then(Undoing::original) == Some(*pair)) {
            return self.decide_voided(key, line, original, &why);
        }
        let ours = Owner::Ours(line.line.attempt.clone());
        let given = issued.map(|pair| (pair, line.number(pair)));
        let elsewhere = given.as_ref().and_then(|(_, number)| self.stands_elsewhere(&key.seller, number, known));
        if let Some(other) = elsewhere.filter(|_| remembered.is_none()) {
            let text = format!("this number stands on disk {other}, and the attempt was at disk {}", line.disk);
            return Err(Refusal::new("settle_contradiction", text));
        }
        // One of unknown origin was to be decided by a person anyway.
        let claimed = given.as_ref().filter(|(_, number)| !self.is_unknown(number));
        let owner = claimed.and_then(|(_, number)| self.number_owner(number, known));
        if owner.is_some_and(|owner| owner != ours) {
            return Err(Refusal::new("settle_contradiction", "this number already has another owner"));
        }
        // Only what was decided is entered: a refusal keeps what its turn has changed so far.
        self.audit(
            Some(&key.seller),
            "line_decided",
            serde_json::json!({ "job": key, "line": line.line, "issued": issued, "reason": why }),
        );
        self.tell_settled(&line.disk, key, line.line.attempt.attempt, issued);
        match given {
            None => self.forget_lines(key, |known| known.row_key() == line.row_key()),
            Some((pair, number)) => {
                self.forget_number(&key.seller, &number);
                self.give_number(number, ours, "by_hand", "");
                let (issued_at, fiscal_code, signature, printed) = Default::default();
                line.line.result = AttemptResult::Issued { pair, issued_at, fiscal_code, signature, printed, settled: true };
                let job = self.job(key, known);
                if self.is_second(key, job.as_deref(), &line, pair) {
                    self.forget_lines(key, |known| known.row_key() == line.row_key());
                } else {
                    self.turn.changes.push(row("line", line.row_key(), &line));
                    self.reconcile.remember(line);
                    if let Some(job) = job {
                        self.revive(job);
                        self.apply_line(key)?;
                    }
                }
            }
        }
        self.release(&key.seller);
        Ok(Reply::Done)
    }

    /// A person says that the original of a forgotten void is void, by its own number: no red invoice has that. The job hears of
    /// it from the disk when it is sent again, and until then nothing else undoes that invoice.
    fn decide_voided(&mut self, key: &JobKey, mut line: Line, original: NumberPair, why: &str) -> Result<Reply, Refusal> {
        let body = serde_json::json!({ "job": key, "line": line.line, "voided": original, "reason": why });
        self.audit(Some(&key.seller), "line_decided", body);
        self.tell_settled(&line.disk, key, line.line.attempt.attempt, None);
        line.line.result = AttemptResult::Voided { pair: original, voided_at: String::new() };
        let (kind, row_key) = (line.line.kind, line.row_key());
        self.turn.changes.push(row("line", row_key, &line));
        self.reconcile.remember(line);
        self.fail_overtaken(&OriginalKey { seller: key.seller.clone(), kind, pair: original }, Some(key))?;
        self.release(&key.seller);
        Ok(Reply::Done)
    }

    /// A person lets a seller go on although the numbers of this disk were not read.
    pub(super) fn release_disk(&mut self, number: &DiskNumber, why: &str, _known: &Known) -> Result<Reply, Refusal> {
        let why = reason(why)?;
        if self.disks.get(number).is_none_or(|disk| disk.recount.is_none()) {
            return Err(Refusal::new("not_found", format!("disk {number} does not wait to be recounted")));
        }
        self.end_recount(number, &why, "released_unread");
        Ok(Reply::Done)
    }
}
