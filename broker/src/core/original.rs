//! Void and red jobs: what they are about, and that one original is undone at most once (I1).
//!
//! The guard looks at the void and red jobs themselves, open ones and done ones, by the number that they name: it holds for an
//! original that this ledger never issued too. What it refuses to do: guess how much of an unknown original is left, or which of
//! several disks issued it.
//!
//! Read first: `Core::check_original`.

use std::sync::Arc;

use taxdisk_protocol::api::{JobState, Operation, PairBody};
use taxdisk_protocol::error::Breach;
use taxdisk_protocol::ids::{DiskNumber, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Job, What};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AgentFrame, Owner};
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::rules::{self, Rule, RuleSet};
use taxdisk_protocol::undo::{About, LinkState, red_sum, void_period};

use super::accept::invalid;
use super::change::{Change, NumberKey, OriginalKey};
use super::dispatch::point_allows;
use super::types::Refusal;
use super::{Core, Input, Known};
use crate::fault::planted;

/// What must be read from the store beside what the input itself names.
#[derive(Debug, Default)]
pub struct More {
    /// Jobs.
    pub keys: Vec<JobKey>,
    /// Owners of numbers.
    pub numbers: Vec<NumberKey>,
    /// Void and red jobs, by what they are about.
    pub originals: Vec<OriginalKey>,
    /// Operations, by id.
    pub operations: Vec<String>,
}

/// What a job is about, if it is a void or red one.
pub(super) fn original_key(job: &Job) -> Option<OriginalKey> {
    let pair = job.original.as_ref().filter(|_| job.operation != Operation::Issue)?.pair()?;
    Some(OriginalKey { seller: job.key.seller.clone(), kind: job.kind, pair })
}

/// With tax, as it was accepted; `None`: the body is not kept any more.
fn gross(job: &Job) -> Option<Amount> {
    job.invoice.as_ref()?.totals.gross.parse().ok()
}

impl Core {
    fn needs_operation(&self, id: &str, known: &Known, more: &mut More) {
        if !self.operations.knows(id) && !known.operations.contains_key(id) {
            more.operations.push(id.to_owned());
        }
    }

    /// Call it twice: what the second call names is found in what the first one named.
    pub fn needs_more(&self, input: &Input, known: &Known, more: &mut More) {
        let job = match input {
            Input::Submit(prepared) if prepared.submission.operation != Operation::Issue => {
                let (submission, Some(key)) = (&prepared.submission, prepared.key()) else { return };
                let Some(pair) = submission.original.as_ref().and_then(PairBody::pair) else { return };
                let Ok(kind) = submission.kind.parse() else { return };
                return self.needs_original(OriginalKey { seller: key.seller.clone(), kind, pair }, known, more);
            }
            Input::Reissue(key, ..) | Input::Cancel(key, ..) | Input::Settle(key, ..) => self.job(key, known),
            Input::Operate(ask, _) => {
                let id = super::operations::operation_id(&ask.disk, &ask.request.key, ask.request.dry_run);
                return self.needs_operation(&id, known, more);
            }
            Input::OperateBulk(request, _) => {
                let ids = self.bulk_ids(request);
                return ids.iter().for_each(|id| self.needs_operation(id, known, more));
            }
            Input::CancelOperation(id, ..) => return self.needs_operation(id, known, more),
            Input::Frame(_, frame) => match frame.as_ref() {
                AgentFrame::Operated { operation, .. } => return self.needs_operation(operation, known, more),
                AgentFrame::Outcome { attempt, .. } => self.job(&attempt.key, known),
                _ => None,
            },
            _ => None,
        };
        let Some(job) = job else { return };
        if let Some(serial) = job.about.as_ref().and_then(|about| about.serial.clone()) {
            self.need_job(JobKey { seller: job.key.seller.clone(), serial }, known, more);
        }
        if let (Input::Reissue(..), Some(original)) = (input, original_key(&job)) {
            self.needs_original(original, known, more);
        }
    }

    fn needs_original(&self, original: OriginalKey, known: &Known, more: &mut More) {
        for number in self.numbers_of(&original) {
            match self.number_owner(&number, known) {
                Some(Owner::Ours(attempt)) => self.need_job(attempt.key, known, more),
                Some(Owner::Foreign) => {}
                None => more.numbers.push(number),
            }
        }
        more.originals.push(original);
    }

    fn need_job(&self, key: JobKey, known: &Known, more: &mut More) {
        if self.job(&key, known).is_none() {
            more.keys.push(key);
        }
    }

    /// Where the number would stand on each disk of the seller.
    fn numbers_of(&self, original: &OriginalKey) -> impl Iterator<Item = NumberKey> {
        self.numbers_at(&original.seller, original.kind, original.pair)
    }

    /// The same number at each disk of the seller.
    pub(super) fn numbers_at(
        &self,
        seller: &TaxpayerNumber,
        kind: InvoiceKind,
        pair: NumberPair,
    ) -> impl Iterator<Item = NumberKey> {
        let disks = self.shops.get(seller).map(|shop| shop.disks.as_slice()).unwrap_or_default();
        disks.iter().map(move |disk| NumberKey { disk: disk.clone(), kind, pair })
    }

    /// The disk that has the number, and the job that issued it.
    fn find_original(&self, original: &OriginalKey, known: &Known) -> (Option<DiskNumber>, Option<Arc<Job>>) {
        for number in self.numbers_of(original) {
            match self.number_owner(&number, known) {
                Some(Owner::Ours(attempt)) => return (Some(number.disk), self.job(&attempt.key, known)),
                // One of unknown origin as well: only its disk can tell whether it was undone.
                Some(Owner::Foreign) => return (Some(number.disk), None),
                None => {}
            }
        }
        (None, None)
    }

    /// Other void and red jobs about the same invoice that may still do it, or did.
    fn others_about(&self, original: &OriginalKey, of: &JobKey, known: &Known) -> Vec<Arc<Job>> {
        let here = self.undoing.get(original).into_iter().flatten();
        let here: Vec<Arc<Job>> = here.filter_map(|key| self.jobs.get(key)).map(|open| open.job.clone()).collect();
        let stored = known.about.get(original).into_iter().flatten();
        // What is in memory is newer than what the store had.
        let stored = stored.filter(|job| !self.jobs.contains_key(&job.key)).cloned();
        here.iter().cloned().chain(stored).filter(|job| job.key != *of && job.counts_against_original()).collect()
    }

    /// What a void or red job is about, or why it is not taken.
    pub(super) fn check_original(&self, key: &JobKey, parsed: &rules::Job, known: &Known) -> Result<About, Refusal> {
        let Some(pair) = parsed.original.filter(|_| parsed.operation != Operation::Issue) else { return Ok(About::default()) };
        let original = OriginalKey { seller: key.seller.clone(), kind: parsed.kind, pair };
        let (disk, job) = self.find_original(&original, known);
        if parsed.operation == Operation::Red && job.as_ref().is_some_and(|job| job.operation == Operation::Red) {
            let detail = format!("{pair} is a red invoice itself: what was reversed by mistake is issued anew");
            return Err(breach(Rule::Original, "/original", detail));
        }
        self.check_others(&original, key, parsed, job.as_deref(), known)?;
        let disk = match (parsed.operation, disk) {
            (Operation::Void, Some(disk)) => Some(disk),
            (Operation::Void, None) => Some(self.sole_disk(&original, parsed).ok_or_else(|| {
                let detail =
                    format!("{pair} was not issued through this broker, and more than one disk may have issued it, or none");
                Refusal::new("original_disk_unknown", detail)
            })?),
            // Many disks reverse only what they issued themselves. Where that disk is gone for good, it is switched off first.
            (_, disk) => disk.filter(|number| self.disks.get(number).is_some_and(|disk| disk.is_enabled())),
        };
        // What was done already is no question of its period any more: the disk finds it void.
        if parsed.operation == Operation::Void
            && !self.is_remembered_done(key)
            && let Some(issued) = job.as_ref().and_then(|job| job.issued.as_ref())
        {
            let report = disk.as_ref().and_then(|number| self.disks.get(number)).and_then(|disk| disk.report.as_ref());
            let clock = report.and_then(|report| report.clock.as_deref());
            if let Some(breach) = void_period(&issued.issued_at, clock, &RuleSet::default()) {
                return Err(invalid(vec![breach]));
            }
        }
        let operator = job.as_ref().and_then(|job| job.invoice.as_ref()).map(|invoice| invoice.clerk.clone()).unwrap_or_default();
        Ok(About { serial: job.map(|job| job.key.serial.clone()), disk, operator })
    }

    /// At most one void or full red of one original, and reds that sum up to it at most.
    pub(super) fn check_others(
        &self,
        original: &OriginalKey,
        key: &JobKey,
        parsed: &rules::Job,
        job: Option<&Job>,
        known: &Known,
    ) -> Result<(), Refusal> {
        // It was done already, in the part that a restored ledger lost: that outweighs whoever asks for the same now.
        if self.is_remembered_done(key) || planted("original_undone_twice") {
            return Ok(());
        }
        let pair = original.pair;
        if let Some(line) = self.remembered_undoing(original, key) {
            let serial = &line.line.attempt.key.serial;
            let what = if line.voided().is_some() { "voided" } else { "reversed" };
            let then = format!("send {serial} again first, if something is left to be reversed");
            let text =
                format!("{pair}: {what} by job {serial}, in the part that this ledger lost, as its agent remembers; {then}");
            return Err(Refusal::new("original_undone", text));
        }
        if parsed.operation == Operation::Red && self.is_found_void(original) {
            return Err(Refusal::new("original_undone", format!("{pair}: its disk says that it is void")));
        }
        let others = self.others_about(original, key, known);
        let undone = |other: &Job, what: &str| {
            let serial = &other.key.serial;
            let state = format!("{:?}", other.state).to_lowercase();
            Err(Refusal::new("original_undone", format!("{pair}: {what} by job {serial}, which is {state}")))
        };
        if let Some(void) = others.iter().find(|other| other.operation == Operation::Void) {
            return undone(void, "voided");
        }
        let Some(red) = parsed.invoice.as_ref().map(|invoice| invoice.totals.gross) else {
            return others.first().map_or(Ok(()), |other| undone(other, "reversed"));
        };
        let amounts: Option<Vec<Amount>> = others.iter().map(|other| gross(other)).collect();
        match (job.and_then(gross), amounts, others.first()) {
            (Some(whole), Some(amounts), first) => match (red_sum(whole, &amounts, red), first) {
                (None, _) => Ok(()),
                (Some(breach), None) => Err(invalid(vec![breach])),
                (Some(breach), Some(other)) => undone(other, &format!("{}; reversed", breach.detail)),
            },
            // How much is left of it nobody knows here: one is taken, and the disk judges it.
            (_, _, None) => Ok(()),
            (_, _, Some(other)) => undone(other, "reversed"),
        }
    }

    /// Was it read as void, when a ledger that went back was recounted? Nobody knows whose it is, and so not who voided it.
    pub(super) fn is_found_void(&self, original: &OriginalKey) -> bool {
        let mut read = self.numbers_of(original).filter_map(|number| self.unknown_number(&original.seller, &number));
        read.any(|seen| seen.status.ends_with("void"))
    }

    /// The only disk that can have issued it: by the issue point, or by the code that it is at.
    fn sole_disk(&self, original: &OriginalKey, parsed: &rules::Job) -> Option<DiskNumber> {
        let (shop, seller) = (self.shops.get(&original.seller)?, self.sellers.get(&original.seller)?);
        let disks = shop.disks.iter().filter_map(|number| self.disks.get(number));
        let able: Vec<_> = disks
            .filter(|disk| disk.is_enabled() && disk.kinds.contains(&parsed.kind))
            .filter(|disk| point_allows(seller, parsed.issue_point.as_ref(), disk))
            .collect();
        if let [one] = able.as_slice() {
            return Some(one.number.clone());
        }
        let passed =
            |last: &taxdisk_protocol::number::NumberPair| last.code == original.pair.code && original.pair.number <= last.number;
        let mut had = able.iter().filter(|disk| disk.accounted.get(&parsed.kind).is_some_and(passed));
        match (had.next(), had.next()) {
            (Some(one), None) => Some(one.number.clone()),
            _ => None,
        }
    }

    /// Enters a job that is in memory with what it is about.
    pub(super) fn note_undoing(&mut self, job: &Job) {
        if let Some(original) = original_key(job) {
            self.undoing.entry(original).or_default().insert(job.key.clone());
        }
    }

    /// It is not in memory any more.
    pub(super) fn forget_undoing(&mut self, job: &Job) {
        let Some(original) = original_key(job) else { return };
        if let Some(keys) = self.undoing.get_mut(&original) {
            keys.remove(&job.key);
            if keys.is_empty() {
                self.undoing.remove(&original);
            }
        }
    }

    /// Tells the originals what this turn did to the void and red jobs that are about them.
    pub(super) fn link_originals(&mut self, known: &Known) {
        let mut touched: Vec<Arc<Job>> = Vec::new();
        for change in &self.turn.changes {
            if let Change::Job { job, .. } = change
                && job.operation != Operation::Issue
            {
                touched.retain(|other| other.key != job.key);
                touched.push(job.clone());
            }
        }
        for job in touched {
            if job.state == JobState::Voided {
                self.forget_lines(&job.key, |_| true);
            }
            let Some(serial) = job.about.as_ref().and_then(|about| about.serial.clone()) else { continue };
            let key = JobKey { seller: job.key.seller.clone(), serial };
            // A job that fails at a dispatch comes without its original: the guard looks at the job itself.
            let Some(original) = self.job(&key, known) else { continue };
            let state = job.link_state();
            let before = original.links.iter().find(|link| link.by == job.key.serial).map(|link| link.state);
            if before == Some(state) || (before.is_none() && state == LinkState::Gone) {
                continue;
            }
            let red = job.issued.as_ref().map(|issued| PairBody { code: issued.code.clone(), number: issued.number.clone() });
            let gross = gross(&job).map(|gross| gross.to_string());
            let what = What::Linked { by: job.key.serial.clone(), operation: job.operation, state, red, gross };
            self.revive(original);
            if let Err(refusal) = self.record(&key, what) {
                tracing::error!(job = %key, "not linked: {refusal}");
            }
        }
    }

    /// The disks' profile of a job that only one disk can do must be able to express it.
    pub(super) fn check_only_disk(
        &self,
        seller: &TaxpayerNumber,
        about: &About,
        parsed: &rules::Job,
        mark: Option<&str>,
    ) -> Result<(), Refusal> {
        let profile = about.disk.as_ref().and_then(|number| self.disks.get(number)).and_then(|disk| disk.profile);
        let capabilities = self.shops.get(seller).zip(profile).and_then(|(shop, profile)| shop.profiles.get(profile as usize));
        let breaches = capabilities.map(|capabilities| rules::fits(parsed, capabilities, mark)).unwrap_or_default();
        if breaches.is_empty() { Ok(()) } else { Err(unfit(breaches)) }
    }
}

fn breach(rule: Rule, pointer: &str, detail: String) -> Refusal {
    invalid(vec![Breach { code: rule.code().to_owned(), pointer: pointer.to_owned(), detail }])
}

/// No disk of the seller that could take it can do it.
pub(super) fn unfit(breaches: Vec<Breach>) -> Refusal {
    if breaches.iter().any(|breach| breach.code == Rule::Operation.code()) {
        let detail = "no disk of this seller that could take it can do this operation";
        return Refusal { breaches, ..Refusal::new("operation_unsupported", detail) };
    }
    Refusal { breaches, ..Refusal::new("not_expressible", "no disk of this seller can express this invoice") }
}
