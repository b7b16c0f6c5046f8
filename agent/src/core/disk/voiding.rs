//! Void jobs of the broker: the void of [`super::operate`] under an assignment, its lease and its outcome.
//!
//! A void takes no number and is proven by the status of its target alone. What it refuses to do: send one for an attempt that
//! was heard before (its target is read instead), and call a target void because a command said so.

use std::sync::Arc;

use taxdisk_drivers::disk::NumberStatus;
use taxdisk_protocol::capabilities::Fence;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::link::{Assignment, AttemptRef, AttemptResult, OpenAttempt, QueryResult, Reading};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::undo::Undoing;

use super::operate::{Stage, Work};
use super::{After, DiskCore, Staged, State, Task};
use crate::core::account::status_text;
use crate::core::effect::Effect;
use crate::core::operation::{JobLink, OperationIntent, OperationResult, Order, Read, Readings, Refusal, Target, What};
use crate::core::outbox::{self, Ending};
use crate::core::{Context, operation};

/// 作废人 where the broker names nobody: devices want one, and this is what their own programs write.
const OPERATOR: &str = "管理员";

/// A void job at work.
#[derive(Debug, Clone)]
pub(super) struct VoidJob {
    pub(super) assignment: Arc<Assignment>,
    pub(super) epoch: u64,
}

impl VoidJob {
    pub(super) fn link(&self) -> JobLink {
        let Assignment { attempt, sequence, .. } = &*self.assignment;
        JobLink { attempt: attempt.clone(), epoch: self.epoch, sequence: *sequence }
    }
}

/// The id of the operation of an attempt: never another's, and found again after a restart.
pub(super) fn order_id(attempt: &AttemptRef) -> String {
    format!("job {attempt}")
}

/// What a target's status says, as a job's result. `None`: it is not void.
fn voided(target: &Target) -> Option<AttemptResult> {
    operation::is_void(target.status)
        .then(|| AttemptResult::Voided { pair: target.pair, voided_at: target.voided_at.clone().unwrap_or_default() })
}

/// A target that was read, as evidence.
pub(super) fn evidence(pair: NumberPair, target: Option<&Target>, at: &str) -> Reading {
    let found = match target {
        None => QueryResult::Absent,
        Some(target) => QueryResult::Present {
            different: Vec::new(),
            mark: target.mark.clone(),
            status: status_text(target.status).to_owned(),
            gross: target.gross.to_string(),
            buyer: String::new(),
        },
    };
    Reading::Query { pair, found, at: at.to_owned() }
}

impl DiskCore {
    /// Begins with reading the target.
    pub(super) fn begin_void(&mut self, assignment: Arc<Assignment>, epoch: u64, context: &Context<'_>) -> Effect {
        let Some(pair) = assignment.original else {
            let text = "a void job names its original".to_owned();
            let result = AttemptResult::NotIssued { class: DeviceClass::InvalidRequest, code: None, text };
            self.end_unbegun(&assignment, epoch, result, context);
            return self.next(context);
        };
        let operator = match assignment.invoice.clerk.as_str() {
            "" => OPERATOR.to_owned(),
            clerk => clerk.to_owned(),
        };
        let what = What::Void { kind: assignment.kind, pair, operator };
        let reads = what.reads(&[]);
        let order = Order { id: order_id(&assignment.attempt), what, dry_run: false, anyway: false, remote: None };
        let mut work = Work::new(order, Stage::Before, reads);
        work.job = Some(VoidJob { assignment, epoch });
        self.go_on(work, context)
    }

    /// Why the disk is not asked to void it, before anything is read.
    pub(super) fn void_refusal(&self, job: &VoidJob, context: &Context<'_>) -> Option<Refusal> {
        let opened = self.opened.as_ref()?;
        let (kind, pair) = (job.assignment.kind, job.assignment.original?);
        if kind.is_electronic() {
            let text = format!("invoices of kind {kind} are electronic and never voided: reverse it by a red invoice");
            return Some(Refusal::new(DeviceClass::Unsupported, text));
        }
        let red = context.view.reversed_by(&opened.identity.disk, kind, pair)?;
        let text = format!("{pair} is reversed by the red invoice {red}: what is reversed is never voided too");
        Some(Refusal::new(DeviceClass::InvalidRequest, text))
    }

    /// Nothing was sent for it, and what was read says why.
    pub(super) fn decline_void(&mut self, job: &VoidJob, refusal: Refusal, readings: &Readings, context: &Context<'_>) {
        // Somebody voided it already: what the job asks for is so, and reading proves it.
        let result = readings.target.as_ref().and_then(voided).unwrap_or(AttemptResult::NotIssued {
            class: refusal.class,
            code: None,
            text: refusal.text,
        });
        let read = job.assignment.original.map(|pair| evidence(pair, readings.target.as_ref(), context.at));
        self.end_attempt(job, result, read.into_iter().collect(), context);
    }

    fn end_attempt(&mut self, job: &VoidJob, result: AttemptResult, readings: Vec<Reading>, context: &Context<'_>) {
        let Some(disk) = self.disk().cloned() else { return };
        let Assignment { attempt, sequence, kind, original, .. } = &*job.assignment;
        let ending = Ending {
            attempt: attempt.clone(),
            epoch: job.epoch,
            sequence: *sequence,
            kind: *kind,
            expected: *original,
            result,
            readings,
            disk_ms: 0,
            undoing: Some((*original).into()),
        };
        let (records, frame) = outbox::ended(ending, &disk, context);
        self.writes.push_back((records, After { frames: vec![frame], report: true, ..After::default() }));
    }

    /// Nothing was written for it yet: back to its place.
    pub(super) fn restage_void(&mut self, job: VoidJob, context: &Context<'_>) {
        if self.epoch == Some(job.epoch) {
            self.staged.push_front(Staged { task: Task::Void(job.assignment), epoch: job.epoch });
        } else {
            let result = AttemptResult::GivenBack { text: "the disk must be read first".into() };
            self.end_unbegun(&job.assignment, job.epoch, result, context);
        }
    }

    /// Record and frame of an operation that ended, where it was a job's.
    pub(super) fn void_ended(
        &self,
        intent: &OperationIntent,
        result: &OperationResult,
        after: &Readings,
        withheld: bool,
        context: &Context<'_>,
    ) -> Option<(Vec<crate::core::records::Record>, taxdisk_protocol::link::AgentFrame)> {
        let JobLink { attempt, epoch, sequence } = intent.job.clone()?;
        let What::Void { kind, pair, .. } = &intent.what else { return None };
        let result = match result {
            OperationResult::Done { .. } => {
                let voided_at = after.target.as_ref().and_then(|target| target.voided_at.clone()).unwrap_or_default();
                AttemptResult::Voided { pair: *pair, voided_at }
            }
            OperationResult::NotDone { text, .. } if withheld => AttemptResult::GivenBack { text: text.clone() },
            OperationResult::NotDone { class, text } => {
                AttemptResult::NotIssued { class: *class, code: None, text: text.clone() }
            }
            OperationResult::Unsettled { class, text } => AttemptResult::Unsettled { class: *class, text: text.clone() },
        };
        let targets = [&intent.before.target, &after.target];
        let readings = targets.into_iter().flatten().map(|target| evidence(*pair, Some(target), context.at)).collect();
        let (expected, undoing) = (Some(*pair), Some(Undoing::Of(*pair)));
        let ending = Ending { attempt, epoch, sequence, kind: *kind, expected, result, readings, disk_ms: 0, undoing };
        Some(outbox::ended(ending, &intent.disk, context))
    }

    /// A void attempt that the broker lists and of which this process knows nothing: its target is read, and nothing is sent.
    pub(super) fn look_at_void(&mut self, open: OpenAttempt) -> Option<Box<Work>> {
        let (kind, pair) = (open.assignment.kind, open.assignment.original?);
        let what = What::Query { kind, pair };
        let order = Order { id: order_id(&open.assignment.attempt), what, dry_run: false, anyway: false, remote: None };
        Some(Work::new(order, Stage::Looking { open: Box::new(open), resync: true }, vec![Read::Target(kind, pair)]))
    }

    /// The target of such an attempt is read.
    pub(super) fn judge_look(&mut self, open: OpenAttempt, target: Option<&Target>, context: &Context<'_>) {
        let Some(fence) = self.opened.as_ref().map(|opened| opened.fence) else { return };
        let Some(pair) = open.assignment.original else { return };
        let class = DeviceClass::Link;
        let began = open.expected.is_some();
        let result = match target {
            None => AttemptResult::Unsettled { class, text: format!("{pair} cannot be found on this disk") },
            Some(target) => match voided(target) {
                Some(result) => result,
                None if !matches!(target.status, NumberStatus::Positive | NumberStatus::Negative) => {
                    AttemptResult::Unsettled { class, text: format!("{pair} is {}", status_text(target.status)) }
                }
                None if fence == Fence::None => {
                    let text = "the invoice is not void, but on this line the command may still run".to_owned();
                    AttemptResult::Unsettled { class, text }
                }
                None if began => AttemptResult::NotIssued {
                    class,
                    code: None,
                    text: "it was cut off; the disk was read, and the invoice is not void".into(),
                },
                None => AttemptResult::GivenBack { text: "it was never begun; the invoice was read and is not void".into() },
            },
        };
        let read = evidence(pair, target, context.at);
        let job = VoidJob { epoch: open.epoch, assignment: Arc::new(open.assignment) };
        self.end_attempt(&job, result, vec![read], context);
    }

    /// The attempt that an operation under way belongs to.
    pub(super) fn void_at_work(&self) -> Option<&AttemptRef> {
        let work = match &self.state {
            State::Operating(work) | State::OperatingSurvey(_, work) => Some(work),
            _ => self.work.as_ref(),
        }?;
        work.attempt()
    }
}
