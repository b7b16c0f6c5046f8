//! Operations that the broker asks for: the same orders as those of a person at the PC, begun only under the grant and within the
//! lease, and answered durably.
//!
//! What it refuses to do: begin one of which the broker says that it may have been sent already; answer twice from anything but
//! the journal.

use taxdisk_protocol::api::{OperationKind, OperationReadings};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::link::{AgentFrame, OperationOrder};

use super::{After, DiskCore, State, WITHHELD, report};
use crate::core::effect::{Answer, Effect, Operated};
use crate::core::operation::{OperationResult, Order, OrderReport, Readings, Refusal, Verdict, What};
use crate::core::{Context, outbox};

/// What the broker asks for, as it is judged here. `None`: a changing one without its kind.
fn what(order: &OperationOrder) -> Option<What> {
    Some(match order.what {
        OperationKind::Stock => What::Stock,
        OperationKind::SelfTest => What::Status,
        OperationKind::Upload => What::Upload { kind: order.kind? },
        OperationKind::Report => What::Report { kind: order.kind? },
        OperationKind::Clear => What::Clear { kind: order.kind? },
    })
}

impl DiskCore {
    pub(super) fn on_operate(&mut self, disk: &DiskNumber, epoch: u64, asked: OperationOrder, context: &Context<'_>) {
        if self.epoch != Some(epoch) {
            // The grant that comes next asks again.
            return;
        }
        let of = |frame: &AgentFrame| matches!(frame, AgentFrame::Operated { operation, .. } if *operation == asked.id);
        // It lies in the outbox: the grant told it, and the link tells it until it is acknowledged.
        if context.view.outbox(disk).iter().any(|(_, frame)| of(frame)) || self.is_about_to_tell(&asked.id) {
            return;
        }
        let what = what(&asked);
        let (id, dry_run, anyway) = (asked.id.clone(), asked.dry_run, asked.anyway);
        let order = Order { id, what: what.clone().unwrap_or(What::Status), dry_run, anyway, remote: Some(epoch) };
        if what.is_none() {
            let refusal = Refusal::new(DeviceClass::InvalidRequest, "the operation names no invoice kind");
            return self.refuse(&order, refusal, Readings::default());
        }
        if let Some(known) = context.view.operation_outcome(&asked.id) {
            if Some(&known.intent.what) != what.as_ref() {
                let text = "this id is that of another operation in the agent's journal";
                return self.refuse(&order, Refusal::new(DeviceClass::Duplicate, text), Readings::default());
            }
            return self.remote_reports.push_back((OrderReport::ended(&known), epoch));
        }
        // Being settled: its end is told.
        if context.view.open_operation(disk).is_some_and(|open| open.id == asked.id) || self.renew(&asked.id, epoch) {
            return;
        }
        if asked.settle_only {
            let text = "it was handed over before, and this agent's journal knows nothing of it: whether it was sent cannot be \
                        proven; look at the disk";
            let result = OperationResult::Unsettled { class: DeviceClass::Link, text: text.to_owned() };
            return self.tell_order(&order, Verdict::Ended(result), self.known_readings());
        }
        if asked.what == OperationKind::SelfTest && self.opened.is_some() {
            // A fresh handshake is part of the test.
            self.resync = true;
        }
        self.on_order(order, context);
    }

    /// What was read of the disk last, for people.
    fn known_readings(&self) -> Readings {
        let mut readings = Readings::default();
        for (kind, level) in &self.levels {
            readings.kind(*kind).stock = level.stock;
        }
        for (kind, (limits, _)) in &self.limits {
            readings.kind(*kind).limits = Some(limits.clone());
        }
        readings.offline = self.offline.as_ref().and_then(|(totals, _)| totals.clone());
        readings
    }

    /// One that waits, or is being judged, is asked for again under a newer grant.
    fn renew(&mut self, id: &str, epoch: u64) -> bool {
        if let Some(order) = self.orders.iter_mut().find(|order| order.id == id) {
            order.remote = Some(epoch);
            return true;
        }
        let work = match &mut self.state {
            State::Operating(work) | State::OperatingSurvey(_, work) => Some(work),
            _ => self.work.as_mut(),
        };
        if let Some(work) = work.filter(|work| work.order.id == id) {
            work.order.remote = Some(epoch);
            return true;
        }
        self.has_order(id)
    }

    fn is_about_to_tell(&self, id: &str) -> bool {
        let of = |frame: &AgentFrame| matches!(frame, AgentFrame::Operated { operation, .. } if operation == id);
        let about = |after: &After| after.frames.iter().any(of);
        self.remote_reports.iter().any(|(report, _)| report.id == id)
            || self.writes.iter().any(|(_, after)| about(after))
            || matches!(&self.state, State::Writing(after) if about(after))
    }

    /// The link or the grant is gone: what was not begun is asked for again by whoever has the disk then.
    pub(super) fn drop_remote_orders(&mut self) {
        self.orders.retain(|order| order.remote.is_none());
    }

    /// Answers to the broker become durable like any outcome.
    pub(super) fn write_remote_reports(&mut self, context: &Context<'_>) {
        while let Some((report, epoch)) = self.remote_reports.pop_front() {
            let Some(disk) = report.disk.clone() else { continue };
            let (record, frame) = outbox::operated(&report, epoch, &disk, context);
            // If we stop before this is durable, the broker asks again, and nothing was sent for it.
            self.writes.push_back((vec![record], After { frames: vec![frame], ..After::default() }));
        }
    }

    /// The last look before the command of an operation that the broker asked for.
    pub(super) fn pending_remote(&mut self, effect: Effect, context: &Context<'_>) -> Effect {
        let Effect::Operate(send) = &effect else { return effect };
        let (Some(epoch), Some(disk)) = (send.remote, self.disk().cloned()) else { return effect };
        if self.may_begin(epoch, context) {
            self.told.push_back(crate::core::effect::Told::Frame(AgentFrame::Operating {
                disk,
                epoch,
                operation: send.id.clone(),
            }));
            return effect;
        }
        // The grant or the lease went while the intent became durable: nothing was sent, and that is certain.
        self.answer(Answer::Operated(Operated::Withheld(WITHHELD.into())), context);
        self.next(context)
    }
}

/// What was read, as the broker shows it.
pub(in crate::core) fn readings(read: &Readings) -> OperationReadings {
    OperationReadings {
        stock: read.kinds.iter().map(|of| report::stock(of.kind, of.stock, of.limits.as_ref())).collect(),
        offline: read.offline.as_ref().map(report::offline),
        unsettled: read.unsettled.iter().map(ToString::to_string).collect(),
    }
}
