//! A ledger that went back (architecture, section 5): a backup was restored, or a failover lost what was confirmed.
//!
//! It is noticed in two ways: the restore itself leaves a mark in the store, and an agent that reports a higher assign sequence
//! than the ledger ever gave knows more than the ledger. From then on:
//!
//! * Nothing is assigned for a seller until each of his disks was *recounted*: its agent has told again what its index holds, and
//!   has read every number since the last one that the ledger knows. A person may release a disk that will never answer.
//! * An invoice that the index names becomes its job's ([`What::Recovered`]): at once, or when the serial number is submitted
//!   again.
//! * A number that no index names is of *unknown origin*. It belongs to nobody, and a job that asks for the same (the mark, or
//!   kind, amount and buyer) waits until a person has decided whose it is.
//! * Attempts of the new generation are numbered from the next thousand, so that no agent takes a new one for an old one.
//!
//! It refuses to: decide by time, or take over a number because it is equal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use taxdisk_protocol::api::{
    Fault, IssuedInvoice, JobProblem, JobState, PairBody, ReconcileDisk, ReconcileJob, ReconcileNumber, ReconcileView,
};
use taxdisk_protocol::ids::{DiskNumber, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{GENERATION_ATTEMPTS, Job, What};
use taxdisk_protocol::link::{Accounted, AttemptResult, BrokerFrame, Forgotten, IndexLine, Owner, RecountedNumbers, SeenNumber};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::rules;
use taxdisk_protocol::time::Timestamp;

use super::change::{Change, NumberKey, NumberRow, OriginalKey, ReconcileRow};
use super::doubts::{Doubts, Line, Unknown};
use super::original::original_key;
use super::outcome::Report;
use super::types::{Refusal, SessionId};
use super::{Core, Known};
use crate::fault::planted;

/// What is to be found out.
#[derive(Debug, Default)]
pub(super) struct Reconcile {
    generation: u32,
    /// The store was restored, and nothing was begun yet: why.
    restored: Option<String>,
    /// By seller.
    doubts: BTreeMap<TaxpayerNumber, Doubts>,
    /// Rows of remembered attempts whose key is that of 0.1: the job alone.
    outdated: Vec<String>,
}

/// A disk that was not recounted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recount {
    /// The highest assign sequence that the ledger knew.
    after: u64,
    /// What it knew as accounted.
    since: Vec<Accounted>,
}

pub(super) fn number_key(number: &NumberKey) -> String {
    format!("{}/{}/{}", number.disk, number.kind, number.pair)
}

pub(super) fn row<T: Serialize>(what: &'static str, key: String, body: &T) -> Change {
    Change::Reconcile(ReconcileRow { what, key, body: serde_json::to_string(body).ok() })
}

pub(super) fn gone(what: &'static str, key: String) -> Change {
    Change::Reconcile(ReconcileRow { what, key, body: None })
}

impl Reconcile {
    /// How often the ledger went back.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn of(&self, seller: &TaxpayerNumber) -> Option<&Doubts> {
        self.doubts.get(seller)
    }

    /// What is remembered of a job.
    pub(super) fn lines(&self, key: &JobKey) -> &[Line] {
        self.of(&key.seller).map_or(&[], |doubts| doubts.of(key))
    }

    /// That it was done, and by which attempt.
    pub(super) fn done(&self, key: &JobKey) -> Option<&Line> {
        self.lines(key).iter().find(|line| line.is_done())
    }

    /// The number of unknown origin at this place.
    pub(super) fn unknown(&self, number: &NumberKey) -> Option<&Unknown> {
        self.doubts.values().find_map(|doubts| doubts.number(number))
    }

    pub(super) fn remember(&mut self, line: Line) {
        self.doubts.entry(line.line.attempt.key.seller.clone()).or_default().remember(line);
    }

    pub(super) fn forget(&mut self, key: &JobKey, which: impl Fn(&Line) -> bool) -> Vec<Line> {
        self.doubts.get_mut(&key.seller).map_or(Vec::new(), |doubts| doubts.forget(key, which))
    }
}

impl Core {
    /// Takes over what the store holds. Nothing is decided here.
    pub(super) fn restore_reconcile(&mut self, rows: Vec<ReconcileRow>, now: Timestamp) {
        fn read<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
            let read = serde_json::from_str(text);
            read.map_err(|error| tracing::error!(%error, "a row of reconcile cannot be read")).ok()
        }
        for row in rows {
            let body = row.body.unwrap_or_default();
            match row.what {
                "restored" => self.reconcile.restored = Some(body),
                "generation" => self.reconcile.generation = read(&body).unwrap_or(0),
                "disk" => {
                    // What cannot be read keeps its disk from issuing, rather than let it.
                    let recount = read(&body).unwrap_or(Recount { after: 0, since: Vec::new() });
                    if let Ok(disk) = row.key.parse::<DiskNumber>() {
                        self.disk_entry(&disk, now).recount = Some(recount);
                    }
                }
                "line" => {
                    if let Some(line) = read::<Line>(&body) {
                        if row.key != line.row_key() {
                            self.reconcile.outdated.push(row.key);
                        }
                        self.reconcile.remember(line);
                    }
                }
                _ => {
                    if let Some(number) = read::<Unknown>(&body) {
                        self.reconcile.doubts.entry(number.seller.clone()).or_default().numbers.push(number);
                    }
                }
            }
        }
    }

    /// After a restore: before anything else is decided, every disk is to be recounted.
    pub(super) fn begin_reconcile(&mut self) {
        if !self.reconcile.outdated.is_empty() {
            let outdated = std::mem::take(&mut self.reconcile.outdated);
            self.turn.changes.extend(outdated.into_iter().map(|key| gone("line", key)));
            let lines = self.reconcile.doubts.values().flat_map(Doubts::lines);
            self.turn.changes.extend(lines.map(|line| row("line", line.row_key(), line)));
        }
        let restored = self.reconcile.restored.take().filter(|_| !planted("restore_unnoticed"));
        let Some(why) = restored else { return };
        self.turn.changes.push(gone("restored", String::new()));
        // One that was only ever named by an administrator has issued nothing.
        let used = self.disks.values().filter(|disk| disk.report.is_some() || disk.sequence > 0);
        let disks: Vec<DiskNumber> = used.map(|disk| disk.number.clone()).collect();
        self.went_back(&disks, &format!("the store was restored: {why}"));
    }

    /// This agent has a higher sequence than the ledger ever gave to the disk: the ledger went back.
    pub(super) fn notice_sequence(
        &mut self,
        session: SessionId,
        number: &DiskNumber,
        seller: Option<&TaxpayerNumber>,
        heard: u64,
    ) {
        let Some(known) = self.disks.get(number).map(|disk| disk.sequence).filter(|known| *known < heard) else { return };
        if self.disks.get(number).is_some_and(|disk| disk.recount.is_none()) && !planted("restore_unnoticed") {
            let of_seller = |disk: &&DiskNumber| seller.is_some() && self.disks[*disk].seller.as_ref() == seller;
            let mut disks: Vec<DiskNumber> = self.disks.keys().filter(of_seller).cloned().collect();
            if !disks.contains(number) {
                disks.push(number.clone());
            }
            let text = format!("disk {number} was given sequence {heard}, and this ledger knows of {known} only");
            self.went_back(&disks, &text);
            if let Some(agent) = self.sessions.get(&session).map(|live| live.agent.clone()) {
                self.alarm(&agent, text);
            }
        }
        // What is assigned from here on is new to every agent.
        if let Some(disk) = self.disks.get_mut(number) {
            disk.sequence = heard;
            let fence = disk.fence();
            self.turn.changes.push(Change::DiskFence(fence));
        }
    }

    fn went_back(&mut self, disks: &[DiskNumber], why: &str) {
        tracing::error!(disks = disks.len(), "the ledger went back: {why}");
        self.reconcile.generation += 1;
        let generation = self.reconcile.generation;
        self.turn.changes.push(row("generation", String::new(), &generation));
        self.audit(None, "ledger_went_back", serde_json::json!({ "why": why, "generation": generation, "disks": disks }));
        for number in disks {
            let Some(disk) = self.disks.get_mut(number) else { continue };
            let since = disk.accounted.iter().map(|(kind, last)| Accounted { kind: *kind, last: *last }).collect();
            let recount = disk.recount.get_or_insert(Recount { after: disk.sequence, since }).clone();
            let seller = disk.seller.clone();
            self.turn.changes.push(row("disk", number.to_string(), &recount));
            self.ask_recount(number);
            if let Some(seller) = seller {
                self.touch(&seller);
            }
        }
    }

    /// The number that the next attempt of a job gets.
    pub(super) fn next_attempt(&self, job: &Job) -> u32 {
        let last = job.attempts.last().map_or(0, |last| last.attempt);
        if planted("attempts_numbered_alike") {
            return last.saturating_add(1);
        }
        last.max(self.reconcile.generation.saturating_mul(GENERATION_ATTEMPTS)).saturating_add(1)
    }

    /// A disk of this seller was not recounted: nothing is assigned for him.
    pub(super) fn is_reconciling(&self, seller: &TaxpayerNumber) -> bool {
        let unread = |number: &DiskNumber| self.disks.get(number).is_some_and(|disk| disk.recount.is_some());
        self.shops.get(seller).is_some_and(|shop| shop.disks.iter().any(unread))
    }

    /// The job may be done already, in the part that the ledger forgot.
    pub(super) fn is_held(&self, job: &Job) -> bool {
        self.reconcile.of(&job.key.seller).is_some_and(|doubts| doubts.hold(job)) && !planted("unknown_holds_nothing")
    }

    /// What makes jobs of this seller wait, for readers.
    pub(super) fn doubts(&self, seller: &TaxpayerNumber) -> Doubts {
        self.reconcile.of(seller).cloned().unwrap_or_default()
    }

    /// Is the number of unknown origin? Then it has no owner, and nobody adopts it but a person.
    pub(super) fn is_unknown(&self, number: &NumberKey) -> bool {
        self.reconcile.doubts.values().any(|doubts| doubts.number(number).is_some())
    }

    /// What a grant of this disk must not let its agent take for settled.
    pub(super) fn forgotten(&self, number: &DiskNumber) -> Forgotten {
        let Some(disk) = self.disks.get(number) else { return Forgotten::default() };
        let doubts = disk.seller.as_ref().and_then(|seller| self.reconcile.of(seller));
        let lines = doubts.into_iter().flat_map(Doubts::lines);
        let unsettled = lines.filter(|line| line.disk == *number && !line.is_done()).map(|line| line.line.attempt.clone());
        Forgotten { recounting: disk.recount.is_some(), unsettled: unsettled.collect() }
    }

    /// The disk's owner says how an attempt ended that the ledger knows from an index only, and as unsettled.
    pub(super) fn remembered_outcome(&mut self, report: &Report, known: &Known) -> Result<(), Refusal> {
        let key = &report.attempt.key;
        let of = |line: &Line| {
            (&line.line.attempt, &line.disk, line.line.sequence) == (&report.attempt, &report.disk, report.sequence)
        };
        let found = self.reconcile.lines(key).iter().find(|line| of(line) && !line.is_done());
        let Some(mut line) = found.cloned() else { return Ok(()) };
        if !self.owns(report.session, &report.disk) {
            return Ok(());
        }
        line.line.result = report.outcome.clone();
        match report.outcome {
            AttemptResult::Unsettled { .. } => Ok(()),
            AttemptResult::Issued { .. } | AttemptResult::Voided { .. } => {
                let seller = key.seller.clone();
                self.take_line(line, known)?;
                self.pump_seller(&seller);
                Ok(())
            }
            // Proven: what the line held back may go on.
            AttemptResult::NotIssued { .. } | AttemptResult::GivenBack { .. } => {
                let (key, proven) = (key.clone(), line.row_key());
                self.forget_lines(&key, |line| line.row_key() == proven);
                self.enqueue(&key);
                self.pump_seller(&key.seller);
                Ok(())
            }
        }
    }

    /// Asks the owner of a disk, if there is one. The next grant asks too.
    pub(super) fn ask_recount(&mut self, number: &DiskNumber) {
        let Some(disk) = self.disks.get(number) else { return };
        let (Some(recount), Some(owner), epoch) = (disk.recount.clone(), disk.owner.clone(), disk.epoch) else { return };
        let Recount { after, since } = recount;
        self.send(owner.session, BrokerFrame::Recount { disk: number.clone(), epoch, after, since });
    }

    /// A part of the answer. Only the present owner's counts.
    pub(super) fn recounted(
        &mut self,
        session: SessionId,
        (number, epoch): (DiskNumber, u64),
        lines: Vec<IndexLine>,
        numbers: Option<RecountedNumbers>,
        done: bool,
        known: &Known,
    ) -> Result<(), Refusal> {
        let Some(agent) = self.sessions.get(&session).map(|live| live.agent.clone()) else { return Ok(()) };
        let present = self.owns(session, &number)
            && self.disks.get(&number).is_some_and(|disk| disk.epoch == epoch && disk.recount.is_some());
        if !present {
            return Ok(());
        }
        for line in lines {
            self.take_line(Line { disk: number.clone(), agent: Some(agent.clone()), line }, known)?;
        }
        let mut more = false;
        if let Some(numbers) = numbers {
            more = !numbers.complete;
            self.take_numbers(&number, numbers, known)?;
        }
        if more {
            self.ask_recount(&number);
        } else if done {
            self.end_recount(&number, "every number since the last known one was read", "recounted");
        }
        Ok(())
    }

    pub(super) fn end_recount(&mut self, number: &DiskNumber, why: &str, what: &'static str) {
        let Some(disk) = self.disks.get_mut(number) else { return };
        if disk.recount.take().is_none() {
            return;
        }
        let (seller, accounted) = (disk.seller.clone(), disk.accounted.clone());
        self.turn.changes.push(gone("disk", number.to_string()));
        self.audit(seller.as_ref(), what, serde_json::json!({ "disk": number, "why": why, "accounted": accounted }));
        if let Some(seller) = seller {
            self.dequeue_held(&seller);
            self.touch(&seller);
            self.pump_seller(&seller);
        }
    }

    /// What an index remembers of an attempt that the ledger may have forgotten.
    pub(super) fn take_line(&mut self, line: Line, known: &Known) -> Result<(), Refusal> {
        let key = line.line.attempt.key.clone();
        let job = self.job(&key, known);
        let attempt = job.as_ref().and_then(|job| job.attempt(line.line.attempt.attempt));
        // The ledger has this attempt: its outcome takes the way of all outcomes.
        if attempt.is_some_and(|found| found.disk == line.disk && found.sequence == line.line.sequence) {
            return Ok(());
        }
        // Proven, so that there is nothing to take care of.
        if matches!(line.line.result, AttemptResult::NotIssued { .. } | AttemptResult::GivenBack { .. }) {
            return Ok(());
        }
        let is_known = job.as_ref().is_some_and(|job| job.state == JobState::Voided);
        if line.voided().is_some() && (is_known || planted("void_forgotten")) {
            return Ok(());
        }
        let pair = line.issued();
        let body = serde_json::json!({ "disk": line.disk, "agent": line.agent, "line": line.line });
        self.audit(Some(&key.seller), "remembered", body);
        if let Some(pair) = pair {
            let number = NumberKey { disk: line.disk.clone(), kind: line.line.kind, pair };
            let ours = Owner::Ours(line.line.attempt.clone());
            match self.number_owner(&number, known) {
                Some(owner) if !super::late::same_job(&owner, &ours) => {
                    self.alarm_of(
                        line.agent.as_ref(),
                        format!("{} remembers number {pair}, which has another owner", line.line.attempt),
                    );
                    return Ok(());
                }
                Some(_) => {}
                None => self.give_number(number, ours, "positive", ""),
            }
            if self.is_second(&key, job.as_deref(), &line, pair) {
                // The attempt is known now, and nobody need look for it any more.
                self.forget_lines(&key, |known| known.row_key() == line.row_key());
                return Ok(());
            }
        }
        // What is known of an attempt as done stays so.
        let is_done = |known: &Line| known.is_done() && known.row_key() == line.row_key();
        if !self.reconcile.lines(&key).iter().any(is_done) {
            self.turn.changes.push(row("line", line.row_key(), &line));
            self.reconcile.remember(line.clone());
        }
        if let Some(pair) = line.undid() {
            self.fail_overtaken(&OriginalKey { seller: key.seller.clone(), kind: line.line.kind, pair }, Some(&key))?;
        }
        if let Some(job) = job {
            let held = self.is_held(&job);
            if line.voided().is_none() {
                self.revive(job);
                if held {
                    self.dequeue(&key);
                }
                self.apply_line(&key)?;
            }
            // A void job that was done goes on, whatever else is remembered of it: nobody else tells it so.
            if !held {
                self.enqueue(&key);
            }
        }
        self.touch(&key.seller);
        Ok(())
    }

    /// Has the job an invoice already? If it is another one, people must hear of it: one sale has two.
    pub(super) fn is_second(&mut self, key: &JobKey, job: Option<&Job>, line: &Line, pair: NumberPair) -> bool {
        let issued = job.and_then(|job| job.issued.as_ref()).map(|issued| (issued.code.clone(), issued.number.clone()));
        let other = |known: &&Line| known.row_key() != line.row_key();
        let remembered = self.reconcile.done(key).filter(other).and_then(Line::issued);
        let remembered = remembered.map(|pair| (pair.code.to_string(), pair.number.to_string()));
        let Some((code, number)) = issued.or(remembered) else { return false };
        if (&code, &number) != (&pair.code.to_string(), &pair.number.to_string()) {
            let text = format!("{key} has the invoice {code} {number}, and attempt {} on disk", line.line.attempt.attempt);
            self.alarm_of(line.agent.as_ref(), format!("{text} {} issued another one: {pair}", line.disk));
        }
        true
    }

    pub(super) fn give_number(&mut self, number: NumberKey, owner: Owner, status: &str, digest: &str) {
        let (status, digest) = (status.to_owned(), digest.to_owned());
        self.turn.changes.push(Change::Number(NumberRow { key: number.clone(), owner: owner.clone(), status, digest }));
        self.own(number, owner);
    }

    /// If an index remembers the invoice of a job, and no attempt of it is open here: that is the job's invoice.
    pub(super) fn apply_line(&mut self, key: &JobKey) -> Result<(), Refusal> {
        let Some(Line { disk, agent, line }) = self.reconcile.done(key).cloned() else { return Ok(()) };
        let AttemptResult::Issued { pair, issued_at, fiscal_code, signature, printed, .. } = line.result else { return Ok(()) };
        let Some(job) = self.jobs.get(key).map(|open| open.job.clone()) else { return Ok(()) };
        let settled =
            matches!(job.state, JobState::Queued | JobState::Failed | JobState::Cancelled) && job.is_proven_not_issued();
        if !settled || job.attempt(line.attempt.attempt).is_some() {
            return Ok(());
        }
        self.dequeue(key);
        let invoice = IssuedInvoice {
            code: pair.code.to_string(),
            number: pair.number.to_string(),
            issued_at,
            fiscal_code,
            signature,
            printed,
            disk: disk.to_string(),
        };
        let (attempt, epoch, sequence) = (line.attempt.attempt, line.epoch, line.sequence);
        let job = self.record(key, What::Recovered { attempt, disk, agent, epoch, sequence, invoice, reason: String::new() })?;
        if let Some(original) = original_key(&job) {
            self.fail_overtaken(&original, Some(key))?;
        }
        // An attempt that is still in doubt may have issued as well: it is looked at until that is known.
        self.forget_lines(key, Line::is_done);
        Ok(())
    }

    /// What this job did was forgotten (or what somebody did: the invoice is void), and other jobs were taken meanwhile that
    /// would undo the same invoice once more. They have waited, and end here: at most one void or full red of an original (I1).
    pub(super) fn fail_overtaken(&mut self, original: &OriginalKey, by: Option<&JobKey>) -> Result<(), Refusal> {
        let others: Vec<JobKey> = self.undoing.get(original).into_iter().flatten().cloned().collect();
        for key in others.into_iter().filter(|key| Some(key) != by) {
            let Some(waiting) = self.jobs.get(&key).map(|open| open.job.clone()) else { continue };
            if waiting.state != JobState::Queued || !waiting.is_proven_not_issued() {
                continue;
            }
            // As if it were handed in now; where the ledger knows too little to count, it fails and may be asked for again.
            let Ok(parsed) = rules::parse(&waiting.submission()) else { continue };
            if let Err(refusal) = self.check_others(original, &key, &parsed, None, &Known::default()) {
                self.dequeue(&key);
                let (code, text) = (refusal.code.to_owned(), refusal.detail);
                let problem = JobProblem { code, fault: Fault::Request, class: None, text };
                self.record(&key, What::Failed { problem })?;
            }
        }
        Ok(())
    }

    /// An index remembers that this job was done, and the ledger does not know it.
    pub(super) fn is_remembered_done(&self, key: &JobKey) -> bool {
        self.reconcile.done(key).is_some()
    }

    /// Which other job undid this invoice, in the part that the ledger lost.
    pub(super) fn remembered_undoing(&self, original: &OriginalKey, than: &JobKey) -> Option<&Line> {
        self.reconcile.of(&original.seller)?.undone_by(original.kind, original.pair, than)
    }

    /// What was read of a number of unknown origin.
    pub(super) fn unknown_number(&self, seller: &TaxpayerNumber, number: &NumberKey) -> Option<&SeenNumber> {
        Some(&self.reconcile.of(seller)?.number(number)?.seen)
    }

    /// The job knows itself what these lines told.
    pub(super) fn forget_lines(&mut self, key: &JobKey, which: impl Fn(&Line) -> bool) {
        let forgotten = self.reconcile.forget(key, which);
        if forgotten.is_empty() {
            return;
        }
        self.turn.changes.extend(forgotten.iter().map(|line| gone("line", line.row_key())));
        self.touch(&key.seller);
        // Only jobs that undo something may have waited for another job's line.
        if self.undoing.keys().any(|original| original.seller == key.seller) {
            self.release(&key.seller);
        }
    }

    /// A serial number that the ledger has forgotten is submitted with other content than an agent remembers (I6).
    pub(super) fn contradicts_line(&self, key: &JobKey, hash: &str) -> Option<Refusal> {
        // Attempts of an amended job had different contents. What was done says which one counts.
        let lines = self.reconcile.done(key).map_or(self.reconcile.lines(key), std::slice::from_ref);
        let mut hashes = lines.iter().map(|line| line.line.content_hash.as_deref());
        if hashes.clone().any(|remembered| remembered.is_none_or(|remembered| remembered == hash)) {
            return None;
        }
        let remembered = hashes.next()?;
        tracing::warn!(job = %key, remembered, "submitted with other content than an agent remembers");
        let detail = format!(
            "serial number {} of seller {} was used for other content, in the part that this ledger lost; send what was sent then",
            key.serial, key.seller
        );
        Some(Refusal::new("conflict", detail))
    }

    fn take_numbers(&mut self, number: &DiskNumber, numbers: RecountedNumbers, known: &Known) -> Result<(), Refusal> {
        let seller = self.disks.get(number).and_then(|disk| disk.seller.clone());
        let RecountedNumbers { kind, seen, last, .. } = numbers;
        let body = serde_json::json!({ "disk": number, "kind": kind, "last": last, "seen": seen });
        self.audit(seller.as_ref(), "numbers_recounted", body);
        let Some(disk) = self.disks.get_mut(number) else { return Ok(()) };
        if let Some(last) = last {
            disk.accounted.insert(kind, last);
            if let Some(recount) = &mut disk.recount {
                recount.since.retain(|accounted| accounted.kind != kind);
                recount.since.push(Accounted { kind, last });
                let recount = recount.clone();
                self.turn.changes.push(row("disk", number.to_string(), &recount));
            }
            self.turn.changes.push(Change::Accounted(number.clone(), kind, last));
        }
        let Some(seller) = seller else { return Ok(()) };
        for seen in seen {
            let unknown = Unknown { seller: seller.clone(), disk: number.clone(), kind, seen };
            if self.number_owner(&unknown.key(), known).is_some() {
                continue;
            }
            self.turn.changes.push(row("number", number_key(&unknown.key()), &unknown));
            let original = OriginalKey { seller: seller.clone(), kind, pair: unknown.seen.pair };
            self.reconcile.doubts.entry(seller.clone()).or_default().numbers.push(unknown);
            // A red of it may have been taken before anybody knew where it stands.
            if self.is_found_void(&original) {
                self.fail_overtaken(&original, None)?;
            }
        }
        self.touch(&seller);
        Ok(())
    }

    /// Who asks for what was remembered or found does not stand in the queue any more.
    fn dequeue_held(&mut self, seller: &TaxpayerNumber) {
        let queued = self.jobs.values().filter(|open| open.lane.is_some() && open.job.key.seller == *seller);
        let held: Vec<JobKey> = queued.filter(|open| self.is_held(&open.job)).map(|open| open.job.key.clone()).collect();
        for key in held {
            self.dequeue(&key);
        }
    }

    /// Its origin is known from now on.
    pub(super) fn forget_number(&mut self, seller: &TaxpayerNumber, number: &NumberKey) {
        let Some(doubts) = self.reconcile.doubts.get_mut(seller) else { return };
        let before = doubts.numbers.len();
        doubts.numbers.retain(|other| other.key() != *number);
        if doubts.numbers.len() != before {
            self.turn.changes.push(gone("number", number_key(number)));
        }
    }

    /// Jobs of a seller that nothing holds any more go back into the queue.
    pub(super) fn release(&mut self, seller: &TaxpayerNumber) {
        let waiting: Vec<JobKey> = self
            .jobs
            .values()
            .filter(|open| open.job.key.seller == *seller && open.job.state == JobState::Queued && open.lane.is_none())
            .map(|open| open.job.key.clone())
            .collect();
        for key in waiting {
            self.enqueue(&key);
        }
        self.touch(seller);
        self.pump_seller(seller);
    }

    pub(super) fn reconcile_view(&self) -> ReconcileView {
        let disks = self.disks.values().filter_map(|disk| {
            let recount = disk.recount.as_ref()?;
            Some(ReconcileDisk {
                disk: disk.number.to_string(),
                seller: disk.seller.as_ref().map(ToString::to_string),
                online: disk.owner.is_some(),
                since: recount.since.iter().map(|one| (one.kind.to_string(), PairBody::from(one.last))).collect(),
            })
        });
        let lines = self.reconcile.doubts.values().flat_map(Doubts::lines).map(|line| {
            let (result, pair) = match (line.issued(), line.voided()) {
                (Some(pair), _) => ("issued", Some(pair)),
                (None, Some(pair)) => ("voided", Some(pair)),
                (None, None) => ("unsettled", None),
            };
            ReconcileJob {
                seller: line.line.attempt.key.seller.to_string(),
                serial: line.line.attempt.key.serial.to_string(),
                attempt: line.line.attempt.attempt,
                disk: line.disk.to_string(),
                kind: line.line.kind.to_string(),
                result: result.to_owned(),
                pair: pair.map(PairBody::from),
                agent: line.agent.as_ref().map(ToString::to_string),
            }
        });
        let numbers = self.reconcile.doubts.values().flat_map(|doubts| &doubts.numbers).map(|unknown| ReconcileNumber {
            disk: unknown.disk.to_string(),
            seller: unknown.seller.to_string(),
            kind: unknown.kind.to_string(),
            pair: PairBody::from(unknown.seen.pair),
            status: unknown.seen.status.clone(),
            mark: unknown.seen.mark.clone(),
            gross: unknown.seen.gross.clone(),
            buyer: unknown.seen.buyer.clone(),
            waiting: self
                .jobs
                .values()
                .filter(|open| open.job.state == JobState::Queued && unknown.fits(&open.job))
                .map(|open| open.job.key.serial.to_string())
                .collect(),
        });
        let mut jobs: Vec<ReconcileJob> = lines.collect();
        jobs.sort_by(|a, b| (&a.seller, &a.serial, a.attempt).cmp(&(&b.seller, &b.serial, b.attempt)));
        ReconcileView { generation: self.reconcile.generation, disks: disks.collect(), jobs, numbers: numbers.collect() }
    }
}
