//! How an attempt ended, as the disk's present owner proves it.
//!
//! Only the session that owns the disk under the present epoch changes a state. Everything else is evidence ([`super::late`]).

use std::sync::Arc;

use taxdisk_protocol::api::{CLIMB_TEXT_CHARS, DiskTrouble, Fault, IssuedInvoice, JobProblem, JobState, Operation, Waiting};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::job::{EvidenceKind, Job, Next, What};
use taxdisk_protocol::link::{AttemptRef, AttemptResult, Owner, QueryResult, RECORDED_MAX_BYTES, Reading};
use taxdisk_protocol::number::NumberPair;

use super::change::{Change, NumberKey, NumberRow};
use super::disk::{OpenRef, waiting_for};
use super::types::{Refusal, SessionId};
use super::{Core, Known};
use crate::fault::planted;

/// A job with so many pieces of evidence gets no more recorded frames: what is wrong has been told.
const FRAMES_UP_TO: u32 = 40;

/// An `outcome` frame.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) session: SessionId,
    pub(super) disk: DiskNumber,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) attempt: AttemptRef,
    pub(super) expected: Option<NumberPair>,
    pub(super) outcome: AttemptResult,
    pub(super) readings: Vec<Reading>,
    pub(super) disk_ms: u64,
}

impl Report {
    pub(super) fn body(&self) -> serde_json::Value {
        serde_json::json!({
            "disk": self.disk, "epoch": self.epoch, "sequence": self.sequence, "expected": self.expected,
            "outcome": self.outcome, "readings": self.readings,
        })
    }

    /// The number that it says was issued, or voided.
    pub(super) fn pair(&self) -> Option<NumberPair> {
        match &self.outcome {
            AttemptResult::Issued { pair, .. } | AttemptResult::Voided { pair, .. } => Some(*pair),
            _ => None,
        }
    }

    /// Was this number queried with an answer?
    pub(super) fn has_read(&self, pair: NumberPair) -> bool {
        self.readings.iter().any(|reading| {
            matches!(reading, Reading::Query { pair: read, found, .. }
                if *read == pair && !matches!(found, QueryResult::Failed { .. }))
        })
    }

    fn result(&self) -> &'static str {
        match self.outcome {
            AttemptResult::Issued { .. } => "issued",
            AttemptResult::Voided { .. } => "voided",
            AttemptResult::NotIssued { .. } => "not_issued",
            AttemptResult::GivenBack { .. } => "given_back",
            AttemptResult::Unsettled { .. } => "unsettled",
        }
    }
}

/// Waiting changes nothing: the content is at fault, or the original of a void (its period was reported, or it is gone).
fn is_about_content(operation: Operation, class: DeviceClass) -> bool {
    let of_void = operation == Operation::Void
        && matches!(class, DeviceClass::Locked | DeviceClass::Duplicate | DeviceClass::NumberMismatch | DeviceClass::DeviceFault);
    is_request(class) || of_void
}

/// A void job was answered by an invoice, an issue by a void, or a void by that of another number.
fn answers_another_question(job: &Job, outcome: &AttemptResult) -> bool {
    match outcome {
        AttemptResult::Issued { .. } => job.operation == Operation::Void,
        AttemptResult::Voided { pair, .. } => {
            job.operation != Operation::Void || job.original.as_ref().and_then(|original| original.pair()) != Some(*pair)
        }
        _ => false,
    }
}

/// The content is at fault, not the disk.
fn is_request(class: DeviceClass) -> bool {
    matches!(class, DeviceClass::InvalidRequest | DeviceClass::OverInvoiceLimit | DeviceClass::Unsupported)
}

impl Core {
    pub(super) fn outcome(&mut self, report: Report, known: &Known) -> Result<(), Refusal> {
        let from = self.sessions.get(&report.session).map(|live| live.agent.to_string()).unwrap_or_default();
        let Some(job) = self.job(&report.attempt.key, known) else {
            // A ledger that went back, or an agent of another ledger. Nothing is thrown away.
            self.audit(
                Some(&report.attempt.key.seller),
                "outcome_of_unknown_job",
                serde_json::json!({
                    "from": from, "attempt": report.attempt, "report": report.body(),
                }),
            );
            return self.remembered_outcome(&report, known);
        };
        let found = job.attempt(report.attempt.attempt);
        let Some(found) =
            found.filter(|found| found.disk == report.disk && found.epoch == report.epoch && found.sequence == report.sequence)
        else {
            self.audit(
                Some(&job.key.seller),
                "outcome_of_unknown_attempt",
                serde_json::json!({
                    "from": from, "attempt": report.attempt, "report": report.body(),
                }),
            );
            return self.remembered_outcome(&report, known);
        };
        if !self.owns(report.session, &report.disk) && !planted("late_outcome_counts") {
            metrics::counter!("taxdisk_outcomes_total", "result" => "late").increment(1);
            return self.late_outcome(&job, report, &from);
        }
        if !found.state.is_open() {
            return self.outcome_after_end(&job, report, &from, known);
        }
        metrics::counter!("taxdisk_outcomes_total", "result" => report.result()).increment(1);
        self.accepted_outcome(&job, report, &from, known)?;
        Ok(())
    }

    /// The present owner says how an open attempt ended.
    fn accepted_outcome(&mut self, job: &Arc<Job>, report: Report, from: &str, known: &Known) -> Result<(), Refusal> {
        let key = job.key.clone();
        let attempt = report.attempt.attempt;
        let found = job.attempt(attempt).cloned().ok_or_else(|| Refusal::new("internal", "the attempt is gone"))?;
        let epoch = found.epoch;
        if answers_another_question(job, &report.outcome) {
            return self.odd_answer(job, &report, from);
        }
        let settled = match &report.outcome {
            AttemptResult::Voided { voided_at, .. } => {
                let (voided_at, disk_ms) = (voided_at.clone(), report.disk_ms);
                self.record(&key, What::Voided { attempt, epoch, voided_at, disk_ms })?;
                self.free(&report.disk, report.sequence);
                if let Some(disk) = self.disks.get_mut(&report.disk) {
                    disk.troubles = 0;
                }
                true
            }
            AttemptResult::Issued { pair, issued_at, fiscal_code, signature, printed, settled } => {
                let invoice = IssuedInvoice {
                    code: pair.code.to_string(),
                    number: pair.number.to_string(),
                    issued_at: issued_at.clone(),
                    fiscal_code: fiscal_code.clone(),
                    signature: signature.clone(),
                    printed: printed.clone(),
                    disk: report.disk.to_string(),
                };
                if !self.adopt(job, &report, *pair, from, known)? {
                    return Ok(());
                }
                let (expected, disk_ms, settled) = (report.expected, report.disk_ms, *settled);
                self.record(&key, What::Issued { attempt, epoch, invoice, expected, settled, disk_ms })?;
                self.free(&report.disk, report.sequence);
                let now = self.turn.now;
                if let Some(disk) = self.disks.get_mut(&report.disk) {
                    // What was found by reading says nothing of how long an invoice takes.
                    disk.issued(job.kind, *pair, (!settled).then_some(disk_ms), now);
                }
                settled
            }
            AttemptResult::NotIssued { class, text, .. } => {
                let next = self.next_after(job, *class, text);
                let (expected, disk_ms) = (report.expected, report.disk_ms);
                let what = What::NotIssued { attempt, epoch, class: *class, text: text.clone(), expected, disk_ms, next };
                self.record(&key, what)?;
                self.free(&report.disk, report.sequence);
                if !is_about_content(job.operation, *class) {
                    let now = self.turn.now;
                    if let Some(disk) = self.disks.get_mut(&report.disk) {
                        disk.hold(*class, job.kind, now);
                    }
                    self.look_trouble(&report.disk);
                    self.route_away(&report.disk);
                }
                true
            }
            // Its intent was durable once: that it now knows nothing of it proves nothing unless the disk was read.
            AttemptResult::GivenBack { text }
                if found.started_at.is_some() && report.readings.is_empty() && !planted("journal_silence_is_proof") =>
            {
                let text = format!("the agent gave back what it had begun, without reading the disk: {text}");
                self.unsettle(&key, attempt, epoch, None, text, &report)?;
                true
            }
            AttemptResult::GivenBack { text } => {
                let next = if job.cancel_asked { Next::Cancel } else { Next::Queue { waiting: None } };
                self.record(&key, What::GivenBack { attempt, epoch, text: text.clone(), next })?;
                self.free(&report.disk, report.sequence);
                !report.readings.is_empty()
            }
            AttemptResult::Unsettled { class, text } if planted("unsettled_is_failure") => {
                let (next, text) = (self.next_after(job, *class, text), text.clone());
                let (class, expected, disk_ms) = (*class, report.expected, report.disk_ms);
                self.record(&key, What::NotIssued { attempt, epoch, class, text, expected, disk_ms, next })?;
                self.free(&report.disk, report.sequence);
                true
            }
            AttemptResult::Unsettled { class, text } => {
                self.unsettle(&key, attempt, epoch, Some(*class), text.clone(), &report)?;
                true
            }
        };
        if settled && !report.readings.is_empty() {
            self.evidence(&key, attempt, EvidenceKind::Readings, from, None, false, report.body())?;
        }
        // A late outcome named a number that this answer has not read: the job is not handed over before it was.
        if let Some(named) = found.named
            && report.pair() != Some(named)
            && !report.has_read(named)
            && !matches!(report.outcome, AttemptResult::Unsettled { .. })
        {
            self.evidence(
                &key,
                attempt,
                EvidenceKind::LateOutcome,
                from,
                Some(named),
                false,
                serde_json::json!({ "unread": named }),
            )?;
            self.ask_owner(&key, attempt);
        }
        self.apply_line(&key)?;
        self.enqueue(&key);
        if let Some(seller) = self.disks.get(&report.disk).and_then(|disk| disk.seller.clone()) {
            self.touch(&seller);
        }
        self.look_warnings(&report.disk);
        self.pump_seller(&key.seller);
        self.pump(&report.disk);
        self.look_drained();
        Ok(())
    }

    /// Kept, and a person is told: nothing is concluded from it.
    fn odd_answer(&mut self, job: &Arc<Job>, report: &Report, from: &str) -> Result<(), Refusal> {
        let text = "the agent answered another question than the job asks".to_owned();
        let (attempt, epoch) = (report.attempt.attempt, report.epoch);
        self.unsettle(&job.key, attempt, epoch, Some(DeviceClass::DeviceFault), text.clone(), report)?;
        self.evidence(&job.key, attempt, EvidenceKind::Contradiction, from, None, false, report.body())?;
        if let Ok(agent) = from.parse() {
            self.alarm(&agent, format!("{}: {text}", report.attempt));
        }
        Ok(())
    }

    fn unsettle(
        &mut self,
        key: &taxdisk_protocol::ids::JobKey,
        attempt: u32,
        epoch: u64,
        class: Option<DeviceClass>,
        text: String,
        report: &Report,
    ) -> Result<(), Refusal> {
        self.record(key, What::Unsettled { attempt, epoch, class, text, expected: report.expected })?;
        if let Some(open) = self.disks.get_mut(&report.disk).and_then(|disk| disk.open.get_mut(&report.sequence)) {
            open.unsettled = true;
            open.asked = false;
        }
        Ok(())
    }

    /// The attempt has a proof: its place on the disk is free.
    pub(super) fn free(&mut self, disk: &DiskNumber, sequence: u64) {
        if let Some(disk) = self.disks.get_mut(disk) {
            disk.open.remove(&sequence);
        }
    }

    /// Gives a number to a job (I10). If it has another owner, nothing is adopted: the attempt becomes unsettled and people
    /// are told.
    pub(super) fn adopt(
        &mut self,
        job: &Arc<Job>,
        report: &Report,
        pair: NumberPair,
        from: &str,
        known: &Known,
    ) -> Result<bool, Refusal> {
        let number = NumberKey { disk: report.disk.clone(), kind: job.kind, pair };
        let ours = Owner::Ours(report.attempt.clone());
        let status = if job.operation == Operation::Red { "negative" } else { "positive" };
        match self.number_owner(&number, known) {
            None => {
                let row =
                    NumberRow { key: number.clone(), owner: ours.clone(), status: status.to_owned(), digest: String::new() };
                self.turn.changes.push(Change::Number(row));
                self.own(number, ours);
            }
            Some(owner) if super::late::same_job(&owner, &ours) || planted("number_gets_second_owner") => {}
            Some(owner) => {
                let attempt = report.attempt.attempt;
                let text = match &owner {
                    Owner::Ours(other) => format!("number {pair} is already the invoice of {other}"),
                    Owner::Foreign => format!("number {pair} is entered as another program's"),
                };
                if job.attempt(attempt).is_some_and(|found| found.state.is_open()) {
                    let epoch = report.epoch;
                    self.unsettle(&job.key, attempt, epoch, Some(DeviceClass::Duplicate), text.clone(), report)?;
                }
                self.evidence(&job.key, attempt, EvidenceKind::Contradiction, from, None, false, report.body())?;
                if let Ok(agent) = from.parse() {
                    self.alarm(&agent, format!("{}: {text}", report.attempt));
                }
                return Ok(false);
            }
        }
        self.account_issued(&report.disk, job.kind, pair);
        Ok(true)
    }

    /// Whose the number is, as far as it was entered.
    pub(super) fn number_owner(&self, number: &NumberKey, known: &Known) -> Option<Owner> {
        let owner = self.fresh_numbers.get(number).or_else(|| known.numbers.get(number)).cloned();
        // Until a person says whose it is, a number of unknown origin is nobody's to adopt.
        owner.or_else(|| self.is_unknown(number).then_some(Owner::Foreign))
    }

    /// The last accounted pair follows an issue that comes directly after it. A gap is the agent's to account for (I5).
    fn account_issued(&mut self, number: &DiskNumber, kind: taxdisk_protocol::kind::InvoiceKind, pair: NumberPair) {
        let Some(disk) = self.disks.get_mut(number) else { return };
        if disk.accounted.get(&kind).is_some_and(|last| last.successor() == Some(pair)) {
            disk.accounted.insert(kind, pair);
            self.turn.changes.push(Change::Accounted(number.clone(), kind, pair));
        }
    }

    /// Where a job goes that is proven not to have issued.
    fn next_after(&self, job: &Job, class: DeviceClass, text: &str) -> Next {
        if is_about_content(job.operation, class) {
            let (code, fault) = ("disk_refused".to_owned(), Fault::Request);
            return Next::Fail { problem: JobProblem { code, fault, class: Some(class), text: text.to_owned() } };
        }
        if job.cancel_asked {
            return Next::Cancel;
        }
        let policy = self.sellers.get(&job.key.seller).map(|seller| seller.body.disk_trouble).unwrap_or_default();
        match policy {
            DiskTrouble::Wait | DiskTrouble::FailAfter(_) => Next::Queue { waiting: Some(waiting_for(class)) },
            DiskTrouble::Fail => {
                let (code, fault) = ("disk_trouble".to_owned(), Fault::Disk);
                Next::Fail { problem: JobProblem { code, fault, class: Some(class), text: text.to_owned() } }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn evidence(
        &mut self,
        key: &taxdisk_protocol::ids::JobKey,
        attempt: u32,
        kind: EvidenceKind,
        from: &str,
        named: Option<NumberPair>,
        cleared: bool,
        body: serde_json::Value,
    ) -> Result<Arc<Job>, Refusal> {
        let job = self.record(key, What::Evidence { attempt, kind, from: from.to_owned(), named, cleared, body })?;
        if job.is_doubted() {
            self.dequeue(key);
        }
        self.track_doubt(&job, attempt);
        Ok(job)
    }

    /// What went between PC and disk in an attempt. It says what failed to whoever looks at the job, and decides nothing.
    pub(super) fn recorded(
        &mut self,
        session: SessionId,
        disk: &DiskNumber,
        attempt: &AttemptRef,
        why: &str,
        lines: &str,
        known: &Known,
    ) -> Result<(), Refusal> {
        let Some(from) = self.sessions.get(&session).map(|live| live.agent.to_string()) else { return Ok(()) };
        let Some(job) = self.job(&attempt.key, known).filter(|_| self.owns(session, disk)) else { return Ok(()) };
        let fits = job.attempt(attempt.attempt).is_some_and(|found| found.disk == *disk);
        if !fits || job.evidence_count >= FRAMES_UP_TO || lines.len() > RECORDED_MAX_BYTES {
            return Ok(());
        }
        let why: String = why.chars().take(CLIMB_TEXT_CHARS).collect();
        let lines: Vec<serde_json::Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        self.revive(job);
        let body = serde_json::json!({ "why": why, "frames": lines });
        self.evidence(&attempt.key, attempt.attempt, EvidenceKind::Frames, &from, None, false, body)?;
        Ok(())
    }

    /// An attempt that has ended but was named by a late outcome is asked about in every grant, like an unsettled one.
    pub(super) fn track_doubt(&mut self, job: &Arc<Job>, attempt: u32) {
        let Some(found) = job.attempt(attempt).filter(|found| !found.state.is_open()) else { return };
        let Some(disk) = self.disks.get_mut(&found.disk) else { return };
        if found.named.is_some() {
            let (key, kind) = (job.key.clone(), job.kind);
            disk.open.entry(found.sequence).or_insert(OpenRef {
                key,
                attempt,
                kind,
                unsettled: true,
                asked: false,
                recalled: false,
            });
        } else {
            disk.open.remove(&found.sequence);
        }
    }

    /// What a queued job waits for, where no disk says more.
    pub(super) fn waiting_doubted(job: &Job) -> Option<Waiting> {
        (job.state == JobState::Queued && job.is_doubted()).then_some(Waiting::Settling)
    }
}
