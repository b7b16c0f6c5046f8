//! What a ledger that went back does not know of a seller: attempts that only an agent's index remembers, and numbers of unknown
//! origin. Both hold back the jobs that may ask for the same thing, and the void and red jobs that may do it a second time (I1).
//!
//! It refuses to: decide whose something is. It only says what may not go on meanwhile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use taxdisk_protocol::ids::{AgentId, DiskNumber, JobKey, TaxpayerNumber};
use taxdisk_protocol::job::Job;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{AttemptRef, AttemptResult, IndexLine, SeenNumber};
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::undo::Undoing;

use super::change::NumberKey;
use super::original::original_key;

/// Of one seller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Doubts {
    /// What agents remember and the jobs do not know yet: of each job what was done, and every attempt that is in doubt. The
    /// doubts of two disks are two, and neither is decided by the other (I1).
    lines: BTreeMap<JobKey, Vec<Line>>,
    /// Numbers of unknown origin.
    pub(super) numbers: Vec<Unknown>,
}

/// An attempt that an agent remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) disk: DiskNumber,
    /// Who remembers it; `None`: a person said so.
    pub(super) agent: Option<AgentId>,
    pub(super) line: IndexLine,
}

/// A number of unknown origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unknown {
    pub(super) seller: TaxpayerNumber,
    pub(super) disk: DiskNumber,
    pub(super) kind: InvoiceKind,
    pub(super) seen: SeenNumber,
}

impl Doubts {
    /// May the job not go on, because what it asks for may be done already, in the part that the ledger forgot?
    pub(super) fn hold(&self, job: &Job) -> bool {
        let own = self.of(&job.key);
        // The disk of a void job that was done finds its original void, and voids nothing: the job may go on and hear of it.
        let held = !own.is_empty() && own.iter().all(|line| line.voided().is_none());
        let Some(undone) = original_key(job) else {
            return held || self.numbers.iter().any(|number| number.fits(job));
        };
        held || self.others(&job.key).any(|line| line.line.kind == undone.kind && line.line.may_undo(undone.pair))
            || self.numbers.iter().any(|number| number.fits(job) || number.may_reverse(undone.kind, undone.pair))
    }

    /// What is remembered of this job.
    pub(super) fn of(&self, key: &JobKey) -> &[Line] {
        self.lines.get(key).map_or(&[], Vec::as_slice)
    }

    /// What is remembered of all jobs.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.values().flatten()
    }

    fn others<'a, 'k>(&'a self, than: &'k JobKey) -> impl Iterator<Item = &'a Line> + use<'a, 'k> {
        self.lines.iter().filter(move |(key, _)| *key != than).flat_map(|(_, lines)| lines)
    }

    /// Puts it beside the others of its job, or in the place of what was known of the same attempt.
    pub(super) fn remember(&mut self, line: Line) {
        let lines = self.lines.entry(line.line.attempt.key.clone()).or_default();
        match lines.iter_mut().find(|known| known.row_key() == line.row_key()) {
            Some(known) => *known = line,
            None => lines.push(line),
        }
    }

    /// Takes out which of a job are meant.
    pub(super) fn forget(&mut self, key: &JobKey, which: impl Fn(&Line) -> bool) -> Vec<Line> {
        let Some(lines) = self.lines.get_mut(key) else { return Vec::new() };
        let gone = lines.extract_if(.., |line| which(line)).collect();
        if lines.is_empty() {
            self.lines.remove(key);
        }
        gone
    }

    /// Another job that voided or reversed this invoice, as an index proves.
    pub(super) fn undone_by(&self, kind: InvoiceKind, original: NumberPair, than: &JobKey) -> Option<&Line> {
        let undid = |line: &&Line| line.line.kind == kind && line.undid() == Some(original);
        self.others(than).find(undid)
    }

    /// The number of unknown origin at this place.
    pub(super) fn number(&self, number: &NumberKey) -> Option<&Unknown> {
        self.numbers.iter().find(|unknown| unknown.key() == *number)
    }
}

impl Line {
    /// Its key in the store. An attempt is numbered anew after each restore, so that its number alone is not enough.
    pub(super) fn row_key(&self) -> String {
        format!("{}/{}/{}", self.line.attempt.key, self.line.attempt.attempt, self.disk)
    }

    /// Where this pair stands, if the attempt issued it.
    pub(super) fn number(&self, pair: NumberPair) -> NumberKey {
        NumberKey { disk: self.disk.clone(), kind: self.line.kind, pair }
    }

    /// The invoice that it issued.
    pub(super) fn issued(&self) -> Option<NumberPair> {
        match &self.line.result {
            AttemptResult::Issued { pair, .. } => Some(*pair),
            _ => None,
        }
    }

    /// The invoice that it voided.
    pub(super) fn voided(&self) -> Option<NumberPair> {
        match &self.line.result {
            AttemptResult::Voided { pair, .. } => Some(*pair),
            _ => None,
        }
    }

    /// The invoice that it undid.
    pub(super) fn undid(&self) -> Option<NumberPair> {
        let reversed = || self.line.undoing.filter(|_| self.issued().is_some()).and_then(Undoing::original);
        self.voided().or_else(reversed)
    }

    /// Did it do what its job asks for?
    pub(super) fn is_done(&self) -> bool {
        self.issued().or(self.voided()).is_some()
    }
}

impl Unknown {
    pub(super) fn key(&self) -> NumberKey {
        NumberKey { disk: self.disk.clone(), kind: self.kind, pair: self.seen.pair }
    }

    /// What is remembered once a person says that it is the invoice of this job, which the ledger has forgotten.
    pub(super) fn line_of(&self, key: JobKey) -> Line {
        let (pair, settled) = (self.seen.pair, true);
        let (issued_at, fiscal_code, signature, printed) = Default::default();
        let line = IndexLine {
            attempt: AttemptRef { key, attempt: 0 },
            kind: self.kind,
            epoch: 0,
            sequence: 0,
            content_hash: None,
            expected: None,
            undoing: Some(self.seen.reverses.map_or(Undoing::Nothing, Undoing::Of)),
            result: AttemptResult::Issued { pair, issued_at, fiscal_code, signature, printed, settled },
        };
        Line { disk: self.disk.clone(), agent: None, line }
    }

    /// Does this job ask for what the number holds? A mark that can be compared decides alone; without one the same kind, amount
    /// and buyer are enough to make a person look.
    pub(super) fn fits(&self, job: &Job) -> bool {
        if job.kind != self.kind || job.key.seller != self.seller {
            return false;
        }
        match (&job.mark, &self.seen.mark) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => job.invoice.as_ref().is_some_and(|invoice| {
                let gross = self.gross();
                gross.is_some()
                    && invoice.totals.gross.parse::<Amount>().ok() == gross
                    && invoice.buyer.name.trim() == self.seen.buyer.trim()
            }),
        }
    }

    /// Is it a red invoice of this original, or one of which the disk does not tell what it reverses?
    fn may_reverse(&self, kind: InvoiceKind, original: NumberPair) -> bool {
        let is_red = self.seen.status.starts_with("negative") || self.gross().is_none_or(|gross| gross < Amount::ZERO);
        self.kind == kind && self.seen.reverses.map_or(is_red, |reversed| reversed == original)
    }

    fn gross(&self) -> Option<Amount> {
        self.seen.gross.parse().ok()
    }
}
