//! For a broker whose ledger went back: what the index holds is told again, and every number since the last one that the ledger
//! knows is read.
//!
//! Nothing of it is an outcome, so that nothing is written here: the broker asks again with every grant until the last part has
//! reached it. What it refuses to do: issue, or say whose a number is that the index does not hold.

use std::collections::VecDeque;

use taxdisk_drivers::disk::DiskError;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::{Accounted, AgentFrame, IndexLine, RecountedNumbers, SeenNumber};
use taxdisk_protocol::mark::find_mark;
use taxdisk_protocol::number::NumberPair;

use super::{DiskCore, State};
use crate::core::Context;
use crate::core::account::{self, status_text};
use crate::core::effect::{Answer, Effect, Told, Trouble};
use crate::core::records::{Base, Outcome};
use crate::core::settle;
use crate::core::walk::{Plan, Step, Survey, Walk};
use crate::fault::planted;

/// Lines of one frame: half a kilobyte each at most, far below the longest frame.
const LINES: usize = 500;

/// What is left to tell.
#[derive(Debug)]
pub(super) struct Recount {
    epoch: u64,
    after: u64,
    since: Vec<Accounted>,
    /// Kinds that were not read yet; `None`: the index was not told yet.
    kinds: Option<VecDeque<InvoiceKind>>,
}

impl DiskCore {
    pub(super) fn on_recount(&mut self, epoch: u64, after: u64, since: Vec<Accounted>) {
        self.recount = Some(Recount { epoch, after, since, kinds: None });
    }

    /// The next reading for a ledger that went back, once nothing else is open on the disk.
    pub(super) fn next_recount(&mut self, context: &Context<'_>) -> Option<Effect> {
        let disk = self.disk()?.clone();
        let kinds: VecDeque<InvoiceKind> = self.opened.as_ref()?.identity.kinds.iter().copied().collect();
        // Asked under an older grant: the next one asks again.
        let recount = self.recount.take().filter(|recount| Some(recount.epoch) == self.epoch)?;
        if planted("recounted_unread") {
            self.tell_recounted(recount.epoch, None, true);
            return None;
        }
        let Recount { epoch, after, since, kinds: left } = recount;
        let mut left = match left {
            Some(left) => left,
            None => {
                let lines: Vec<IndexLine> = context.view.outcomes_after(&disk, after).into_iter().map(line).collect();
                for lines in lines.chunks(LINES) {
                    let (disk, lines) = (disk.clone(), lines.to_vec());
                    self.told.push_back(Told::Frame(AgentFrame::Recounted { disk, epoch, lines, numbers: None, done: false }));
                }
                kinds
            }
        };
        while let Some(kind) = left.pop_front() {
            let Some(base) = since.iter().find(|accounted| accounted.kind == kind).map(|accounted| Base::Last(accounted.last))
            else {
                // The ledger never knew a number of this kind, so that it never issued one: the index is all there is to tell.
                let numbers = RecountedNumbers { kind, seen: Vec::new(), last: None, complete: true };
                self.tell_recounted(epoch, Some(numbers), false);
                continue;
            };
            left.push_front(kind);
            self.recount = Some(Recount { epoch, after, since, kinds: Some(left) });
            let plan = Plan { recount: true, resync: false, ..settle::plan(kind, &[], vec![base]) };
            let (walk, effect) = Walk::start(plan);
            self.state = State::Recounting(walk);
            return Some(effect);
        }
        self.tell_recounted(epoch, None, true);
        None
    }

    pub(super) fn on_recounting(&mut self, walk: Walk, answer: Answer, context: &Context<'_>) {
        let Some(disk) = self.disk().cloned() else { return };
        match walk.on(answer, &disk, context) {
            (Some(walk), Step::Do(effect)) => {
                self.state = State::Recounting(walk);
                self.pending = Some(effect);
            }
            (_, Step::Done(survey)) => self.on_recounted(&survey, context),
            // Nothing is known that was not known before: the kind is read again.
            (_, Step::Failed(trouble)) => self.trouble(trouble, context),
            (None, Step::Do(_)) => {}
        }
    }

    fn on_recounted(&mut self, survey: &Survey, context: &Context<'_>) {
        self.breaker.answered();
        self.answered_well();
        let kind = survey.plan.kind;
        let base = survey.plan.bases.first().and_then(|base| base.last());
        // The numbers moved, and not one of them is found, nor the last one that the ledger knew, nor one that the index knows:
        // such a conversation finds nothing, and that is no proof. It is read again.
        let moved = base.is_some() && survey.current != base.and_then(|base| base.successor());
        if moved && survey.numbers.values().all(Option::is_none) {
            let text = "the disk's numbers moved, and it says that it has none of them".to_owned();
            let error = DiskError { class: DeviceClass::DeviceFault, code: None, text, tries_left: None };
            return self.trouble(Trouble::Disk(error), context);
        }
        let Some(recount) = &mut self.recount else { return };
        if let Some(kinds) = &mut recount.kinds {
            kinds.retain(|left| *left != kind);
        }
        let epoch = recount.epoch;
        let history = |pair: &NumberPair| base.is_some_and(|base| base.code == pair.code && pair.number <= base.number);
        let found = survey.numbers.iter().filter_map(|(pair, found)| found.as_ref().map(|found| (*pair, found)));
        // The index has told its own.
        let seen = found.filter(|(pair, _)| !history(pair) && !survey.known.contains(pair)).map(|(pair, found)| SeenNumber {
            pair,
            status: status_text(found.invoice.status).to_owned(),
            digest: account::digest(&found.invoice),
            mark: find_mark(&found.invoice.remark).map(str::to_owned),
            reverses: found.invoice.original,
            gross: found.invoice.gross.to_string(),
            buyer: found.invoice.buyer_name.clone(),
        });
        let seen: Vec<SeenNumber> = seen.collect();
        // Cut off: what has no hole from the start is sure, and the rest is asked for from there.
        let sure = base.and_then(|base| base.successor()).map(|start| survey.run(start).0).unwrap_or_default();
        let last = match (survey.cut, survey.current) {
            (false, Some(current)) => current.predecessor().or(base),
            _ => sure.last().copied().or(base),
        };
        self.tell_recounted(epoch, Some(RecountedNumbers { kind, seen, last, complete: !survey.cut }), false);
    }

    fn tell_recounted(&mut self, epoch: u64, numbers: Option<RecountedNumbers>, done: bool) {
        let Some(disk) = self.disk().cloned() else { return };
        self.told.push_back(Told::Frame(AgentFrame::Recounted { disk, epoch, lines: Vec::new(), numbers, done }));
    }
}

fn line(outcome: Outcome) -> IndexLine {
    IndexLine {
        attempt: outcome.attempt,
        kind: outcome.kind,
        epoch: outcome.epoch,
        sequence: outcome.sequence,
        content_hash: outcome.content_hash,
        expected: outcome.expected,
        undoing: outcome.undoing,
        result: outcome.result,
    }
}
