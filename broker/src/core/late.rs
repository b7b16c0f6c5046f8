//! What comes late or twice: outcomes from somebody who does not own the disk, outcomes of attempts that have ended, and numbers
//! that were read. Nothing of it changes a state by itself and nothing is thrown away; the disk's present owner is made to read.

use std::sync::Arc;

use taxdisk_protocol::api::{IssuedInvoice, JobState, PairBody};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::job::{AttemptState, EvidenceKind, Job, What};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AttemptResult, BrokerFrame, NumberEntry, Owner};
use taxdisk_protocol::number::NumberPair;

use super::change::{Change, NumberKey, NumberRow};
use super::original::original_key;
use super::outcome::Report;
use super::types::{Refusal, SessionId};
use super::{Core, Known};
use crate::fault::planted;

/// An `accounted` frame.
#[derive(Debug, Clone)]
pub(super) struct AccountedReport {
    pub(super) disk: DiskNumber,
    pub(super) epoch: u64,
    pub(super) kind: InvoiceKind,
    pub(super) entries: Vec<NumberEntry>,
    pub(super) last: NumberPair,
    pub(super) note: Option<String>,
}

/// Does a report only repeat what is known?
fn repeats(job: &Job, report: &Report) -> bool {
    let Some(found) = job.attempt(report.attempt.attempt) else { return false };
    match (&report.outcome, found.state) {
        (AttemptResult::Issued { pair, .. }, AttemptState::Issued) => is_pair(job.issued.as_ref(), *pair),
        // An index answers for every attempt of a job with the job's one invoice.
        (AttemptResult::Issued { pair, .. }, state) if !state.is_open() && is_pair(job.issued.as_ref(), *pair) => {
            found.named.is_none()
        }
        (AttemptResult::Voided { .. }, AttemptState::Voided) => true,
        (AttemptResult::Voided { pair, .. }, state) if !state.is_open() && has_voided(job, *pair) => found.named.is_none(),
        (AttemptResult::NotIssued { .. }, AttemptState::NotIssued) => found.named.is_none(),
        (AttemptResult::GivenBack { .. }, AttemptState::GivenBack) => found.named.is_none(),
        // It was not known then, and it is known now.
        (AttemptResult::Unsettled { .. }, state) if !state.is_open() => found.named.is_none(),
        _ => false,
    }
}

/// The attempt's own agent had a clean answer and was overtaken by an owner who found the number by reading. Both say the same;
/// that the first one says it too is worth keeping.
fn is_first_word_of_its_agent(job: &Job, report: &Report, from: &str) -> bool {
    let clean = matches!(report.outcome, AttemptResult::Issued { settled: false, .. });
    clean && job.attempt(report.attempt.attempt).is_some_and(|found| found.settled && found.agent.as_str() == from)
}

/// Did the job void this invoice, by whichever attempt?
fn has_voided(job: &Job, pair: NumberPair) -> bool {
    job.state == JobState::Voided && original_key(job).is_some_and(|original| original.pair == pair)
}

fn is_pair(issued: Option<&IssuedInvoice>, pair: NumberPair) -> bool {
    issued.is_some_and(|issued| PairBody { code: issued.code.clone(), number: issued.number.clone() } == PairBody::from(pair))
}

impl Core {
    /// From somebody who does not own the disk: evidence, and the owner reads the number that it names.
    pub(super) fn late_outcome(&mut self, job: &Arc<Job>, report: Report, from: &str) -> Result<(), Refusal> {
        if repeats(job, &report) {
            if is_first_word_of_its_agent(job, &report, from) {
                // The owner has read this very number already.
                self.revive(job.clone());
                let attempt = report.attempt.attempt;
                self.evidence(&job.key, attempt, EvidenceKind::LateOutcome, from, None, false, report.body())?;
            }
            return Ok(());
        }
        self.revive(job.clone());
        let (key, attempt) = (job.key.clone(), report.attempt.attempt);
        let pair = report.pair().filter(|_| !planted("late_claim_ignored"));
        let contradicts = job.issued.is_some() && pair.is_some_and(|pair| !is_pair(job.issued.as_ref(), pair));
        // A claim to have issued keeps the job from being handed over until the number was read (I4); other claims prove nothing.
        self.evidence(&key, attempt, EvidenceKind::LateOutcome, from, pair, false, report.body())?;
        if contradicts && let Ok(agent) = from.parse() {
            self.alarm(&agent, format!("{} is issued, and a late outcome names another number", report.attempt));
        }
        self.ask_owner(&key, attempt);
        Ok(())
    }

    /// The disk's owner speaks of an attempt that has ended.
    pub(super) fn outcome_after_end(&mut self, job: &Arc<Job>, report: Report, from: &str, known: &Known) -> Result<(), Refusal> {
        let (number, sequence) = (report.disk.clone(), report.sequence);
        self.take_after_end(job, report, from, known)?;
        // It was asked and has answered. What is still in doubt is asked again with the next grant, and keeps nobody else
        // waiting.
        if let Some(open) = self.disks.get_mut(&number).and_then(|disk| disk.open.get_mut(&sequence)) {
            open.asked = false;
        }
        self.pump(&number);
        Ok(())
    }

    fn take_after_end(&mut self, job: &Arc<Job>, report: Report, from: &str, known: &Known) -> Result<(), Refusal> {
        if repeats(job, &report) {
            return Ok(());
        }
        self.revive(job.clone());
        let (key, attempt) = (job.key.clone(), report.attempt.attempt);
        let named = job.attempt(attempt).and_then(|found| found.named);
        match (&report.outcome, named) {
            // It has read what a late outcome named: this job's invoice does exist.
            (AttemptResult::Issued { pair, issued_at, fiscal_code, signature, printed, settled: true }, Some(_))
                if matches!(job.state, JobState::Queued | JobState::Failed | JobState::Cancelled) =>
            {
                let invoice = IssuedInvoice {
                    code: pair.code.to_string(),
                    number: pair.number.to_string(),
                    issued_at: issued_at.clone(),
                    fiscal_code: fiscal_code.clone(),
                    signature: signature.clone(),
                    printed: printed.clone(),
                    disk: report.disk.to_string(),
                };
                if self.adopt(job, &report, *pair, from, known)? {
                    self.dequeue(&key);
                    let (epoch, expected, disk_ms) = (report.epoch, report.expected, report.disk_ms);
                    self.record(&key, What::Issued { attempt, epoch, invoice, expected, settled: true, disk_ms })?;
                    self.free(&report.disk, report.sequence);
                    self.evidence(&key, attempt, EvidenceKind::Readings, from, None, false, report.body())?;
                }
                Ok(())
            }
            // It has read the original that a late outcome said was voided: it is.
            (AttemptResult::Voided { pair, voided_at }, Some(named))
                if *pair == named && matches!(job.state, JobState::Queued | JobState::Failed | JobState::Cancelled) =>
            {
                self.dequeue(&key);
                let (epoch, voided_at, disk_ms) = (report.epoch, voided_at.clone(), report.disk_ms);
                self.record(&key, What::Voided { attempt, epoch, voided_at, disk_ms })?;
                self.free(&report.disk, report.sequence);
                self.evidence(&key, attempt, EvidenceKind::Readings, from, None, false, report.body())?;
                Ok(())
            }
            // The number in doubt is the job's own, by another attempt.
            (AttemptResult::Issued { pair, .. }, Some(named)) if *pair == named && is_pair(job.issued.as_ref(), named) => {
                self.evidence(&key, attempt, EvidenceKind::Readings, from, None, true, report.body())?;
                Ok(())
            }
            // The job has its invoice, and what is in doubt is known to be another job's: for people, and nothing to wait for.
            (AttemptResult::Issued { pair, .. }, Some(named))
                if *pair == named && job.issued.is_some() && self.is_of_another(job, &report, named, known) =>
            {
                self.evidence(&key, attempt, EvidenceKind::Contradiction, from, None, true, report.body())?;
                Ok(())
            }
            // The job has voided it, by another attempt.
            (AttemptResult::Voided { pair, .. }, Some(named)) if *pair == named && has_voided(job, named) => {
                self.evidence(&key, attempt, EvidenceKind::Readings, from, None, true, report.body())?;
                Ok(())
            }
            // It has read it, and it is not this job's.
            (AttemptResult::NotIssued { .. } | AttemptResult::GivenBack { .. }, Some(named)) if report.has_read(named) => {
                let job = self.evidence(&key, attempt, EvidenceKind::Readings, from, None, true, report.body())?;
                if job.state == JobState::Queued && job.cancel_asked && job.is_proven_not_issued() {
                    let (by, reason) = (from.to_owned(), "asked before; now proven".to_owned());
                    self.record(&key, What::Cancelled { by, reason })?;
                } else {
                    self.enqueue(&key);
                    self.pump_seller(&key.seller);
                }
                Ok(())
            }
            (_, Some(_)) => {
                self.evidence(&key, attempt, EvidenceKind::Readings, from, None, false, report.body())?;
                Ok(())
            }
            // A proof against a proof: people must look, and nothing is handed over before the number was read again.
            (outcome, None) => {
                let claims = matches!(outcome, AttemptResult::Issued { .. } | AttemptResult::Voided { .. });
                let claim = claims.then(|| report.pair()).flatten();
                self.evidence(&key, attempt, EvidenceKind::Contradiction, from, claim, false, report.body())?;
                if let Ok(agent) = from.parse() {
                    self.alarm(&agent, format!("{}: an outcome contradicts the one that is known", report.attempt));
                }
                if claim.is_some() {
                    self.recall_open(&key);
                    self.ask_owner(&key, attempt);
                }
                Ok(())
            }
        }
    }

    /// Is this number another job's invoice, by the ledger?
    fn is_of_another(&self, job: &Job, report: &Report, pair: NumberPair, known: &Known) -> bool {
        let number = NumberKey { disk: report.disk.clone(), kind: job.kind, pair };
        matches!(self.number_owner(&number, known), Some(Owner::Ours(owner)) if owner.key != job.key)
    }

    /// Makes the present owner of the attempt's disk read and answer. Without an owner the next grant asks, as long as it is
    /// open.
    pub(super) fn ask_owner(&mut self, key: &JobKey, attempt: u32) {
        let Some(open) = self.open_attempt(key, attempt) else { return };
        let Some(found) = self.jobs.get(key).and_then(|open| open.job.attempt(attempt)) else { return };
        let number = found.disk.clone();
        let Some(disk) = self.disks.get(&number) else { return };
        let (Some(owner), epoch) = (disk.owner.clone(), disk.epoch) else { return };
        self.send(owner.session, BrokerFrame::Settle { disk: number, epoch, open });
    }

    /// Tells the owner of the disk that a person has settled this attempt, and which number he said is its own: until then it
    /// does nothing beside it that people ask for.
    pub(super) fn tell_settled(&mut self, number: &DiskNumber, key: &JobKey, attempt: u32, pair: Option<NumberPair>) {
        let Some(owner) = self.disks.get(number).and_then(|disk| disk.owner.clone()) else { return };
        let attempt = taxdisk_protocol::link::AttemptRef { key: key.clone(), attempt };
        self.send(owner.session, BrokerFrame::Settled { disk: number.clone(), attempt, pair });
    }

    /// Asks for the open attempt of a job back, if it has not begun.
    pub(super) fn recall_open(&mut self, key: &JobKey) {
        let Some(found) = self.jobs.get(key).and_then(|open| open.job.open_attempt()) else { return };
        let (number, attempt) = (found.disk.clone(), found.attempt);
        let Some(owner) = self.disks.get(&number).and_then(|disk| disk.owner.clone()) else { return };
        let attempt = taxdisk_protocol::link::AttemptRef { key: key.clone(), attempt };
        self.send(owner.session, BrokerFrame::Recall { disk: number, attempt });
    }

    /// Numbers that were read. From the owner they are entered, each once (I10); from anybody else they are kept in the chain.
    pub(super) fn accounted(&mut self, session: SessionId, report: AccountedReport, known: &Known) {
        let AccountedReport { disk: number, epoch, kind, entries, last, note } = report;
        let agent = self.sessions.get(&session).map(|live| live.agent.clone());
        let seller = self.disks.get(&number).and_then(|disk| disk.seller.clone());
        let present = self.owns(session, &number) && self.disks.get(&number).is_some_and(|disk| disk.epoch == epoch);
        let body = serde_json::json!({
            "disk": number, "kind": kind, "epoch": epoch, "from": agent, "present_owner": present,
            "entries": entries, "last": last, "note": note,
        });
        self.audit(seller.as_ref(), "accounted", body);
        if !present {
            return;
        }
        let recounting = self.disks.get(&number).is_some_and(|disk| disk.recount.is_some());
        for entry in entries {
            let key = NumberKey { disk: number.clone(), kind, pair: entry.pair };
            match self.number_owner(&key, known) {
                // The recount says more of it, and a person whose it is.
                _ if entry.owner == Owner::Foreign && (recounting || self.is_unknown(&key)) => {}
                // An attempt that the ledger forgot. If its index is told, the number is its; if not, nobody's.
                _ if recounting && !self.knows(&entry.owner, known) && !planted("forgotten_owner_entered") => {}
                None => {
                    let owner = entry.owner.clone();
                    let row = NumberRow { key: key.clone(), owner, status: entry.status, digest: entry.digest };
                    self.turn.changes.push(Change::Number(row));
                    self.own(key, entry.owner);
                }
                Some(owner) if same_job(&owner, &entry.owner) => {}
                Some(_) => {
                    if let Some(agent) = &agent {
                        self.alarm(
                            agent,
                            format!("number {} of disk {number} was entered for two owners; the first one stays", entry.pair),
                        );
                    }
                }
            }
        }
        if let Some(disk) = self.disks.get_mut(&number)
            // What the ledger knew when it went back is where the recount begins.
            && !recounting
            && disk.accounted.get(&kind) != Some(&last)
            // Within one code the accounted number only rises; a late frame does not take it back.
            && disk.accounted.get(&kind).is_none_or(|known| known.code != last.code || known.number < last.number)
        {
            disk.accounted.insert(kind, last);
            self.turn.changes.push(Change::Accounted(number, kind, last));
        }
    }
}

impl Core {
    /// Is it an attempt of a job of this ledger?
    fn knows(&self, owner: &Owner, known: &Known) -> bool {
        let Owner::Ours(attempt) = owner else { return false };
        self.job(&attempt.key, known).is_some_and(|job| job.attempt(attempt.attempt).is_some())
    }
}

/// One invoice per serial number: two attempts of one job mean the same owner.
pub(super) fn same_job(known: &Owner, said: &Owner) -> bool {
    match (known, said) {
        (Owner::Foreign, Owner::Foreign) => true,
        (Owner::Ours(known), Owner::Ours(said)) => known.key == said.key,
        _ => false,
    }
}
