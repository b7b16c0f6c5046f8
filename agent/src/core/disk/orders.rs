//! Whether an order may begin at all, as far as that is known without reading the disk.
//!
//! What it refuses: everything beside a job that is staged, running or unsettled, or beside an operation that is open.

use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::link::AttemptRef;

use super::{DiskCore, State};
use crate::core::Context;
use crate::core::effect::Told;
use crate::core::operation::{Order, OrderReport, Readings, Refusal, Verdict, What};
use crate::fault::planted;

/// Orders that may wait at a disk: people ask, and one at a time.
const ORDERS_MAX: usize = 4;

/// These may be sent although a job is unsettled, once a person says so.
pub(super) fn goes_on_beside_unsettled(name: DiskOperation) -> bool {
    matches!(name, DiskOperation::Report | DiskOperation::Clear)
}

pub(super) fn unsettled_text(attempt: &AttemptRef) -> String {
    format!("{attempt} is unsettled on this disk: it may have an invoice; settle it first")
}

impl DiskCore {
    pub(super) fn on_order(&mut self, order: Order, context: &Context<'_>) {
        // The same order again is answered from the journal, and never sent again.
        if let Some(known) = context.view.operation_outcome(&order.id).filter(|_| !planted("blank_void_repeated")) {
            return self.told.push_back(Told::Order(Box::new(OrderReport::ended(&known))));
        }
        if self.has_order(&order.id) {
            return;
        }
        let refusal = if self.orders.len() >= ORDERS_MAX {
            Some(Refusal::new(DeviceClass::InProgress, "too many orders wait at this disk: try again in a moment"))
        } else if self.stopping {
            Some(Refusal::new(DeviceClass::InProgress, "the agent is being stopped: try again when it runs"))
        } else {
            self.refusal(&order, context)
        };
        match refusal {
            Some(refusal) => self.refuse(&order, refusal, Readings::default()),
            None => self.orders.push_back(order),
        }
    }

    pub(super) fn has_order(&self, id: &str) -> bool {
        let in_state = match &self.state {
            State::Operating(work) | State::OperatingSurvey(_, work) => work.order.id == id,
            State::Writing(after) => after.outcome.as_ref().is_some_and(|outcome| outcome.intent.id == id),
            _ => false,
        };
        in_state
            || self.work.as_ref().is_some_and(|work| work.order.id == id)
            || self.orders.iter().any(|order| order.id == id)
            || self.writes.iter().any(|(_, after)| after.outcome.as_ref().is_some_and(|outcome| outcome.intent.id == id))
    }

    /// Why an order cannot begin now, as far as that is known without reading the disk.
    pub(super) fn refusal(&self, order: &Order, context: &Context<'_>) -> Option<Refusal> {
        if let Some(text) = &self.password_stop {
            return Some(Refusal::new(
                DeviceClass::BadPassword,
                format!("the disk's password was refused ({text}): run `taxdisk-agent disks secret set`"),
            ));
        }
        let Some(opened) = &self.opened else {
            return Some(Refusal::new(DeviceClass::NotPresent, "no disk answers behind the port: plug it in, then try again"));
        };
        if let Some(kind) = order.what.kind().filter(|kind| !opened.identity.kinds.contains(kind)) {
            return Some(Refusal::new(DeviceClass::Unsupported, format!("the disk has no licence for kind {kind}")));
        }
        let name = order.what.operation()?;
        if !opened.capabilities.can(name) {
            return Some(Refusal::new(DeviceClass::Unsupported, format!("this device cannot do {name}")));
        }
        let disk = &opened.identity.disk;
        if let Some(open) = context.view.open_operation(disk) {
            let name = open.what.operation().map_or("an operation", DiskOperation::as_str);
            return Some(Refusal::new(
                DeviceClass::InProgress,
                format!("{name} ({}) is not settled yet: the disk is being read for it; try again when that is through", open.id),
            ));
        }
        let jobs = self.running().is_some() || !self.staged.is_empty();
        if jobs || !self.opens.is_empty() || matches!(&self.state, State::Surveying(_, opens) if !opens.is_empty()) {
            return Some(Refusal::new(
                DeviceClass::InProgress,
                "a job is staged, runs or is being settled on this disk: try again when `status` shows no job",
            ));
        }
        // The period does not wait, so that a person may go on: asked once what settling needs was read and kept (operate.rs).
        if !goes_on_beside_unsettled(name)
            && let Some(first) = context.view.unsettled(disk).first()
        {
            return Some(Refusal::new(DeviceClass::InProgress, unsettled_text(first)));
        }
        self.refusal_by_journal(order, name, context)
    }

    pub(super) fn refusal_by_journal(&self, order: &Order, name: DiskOperation, context: &Context<'_>) -> Option<Refusal> {
        let disk = self.disk()?;
        if let What::Void { kind, .. } | What::BlankVoid { kind, .. } = &order.what
            && kind.is_electronic()
        {
            let text = format!("invoices of kind {kind} are electronic and never voided: reverse it by a red invoice");
            return Some(Refusal::new(DeviceClass::Unsupported, text));
        }
        if let What::Void { kind, pair, .. } = &order.what
            && let Some(known) = context.view.voided_by(disk, *kind, *pair)
        {
            return Some(Refusal::new(DeviceClass::Duplicate, format!("{pair} was voided already, by operation {known}")));
        }
        if let What::Void { kind, pair, .. } = &order.what
            && let Some(red) = context.view.reversed_by(disk, *kind, *pair)
        {
            let text = format!("{pair} is reversed by the red invoice {red}: what is reversed is never voided too");
            return Some(Refusal::new(DeviceClass::Duplicate, text));
        }
        if let What::BlankVoid { kind, .. } = &order.what
            && context.view.accounting(disk, *kind).is_none()
        {
            let text = "the numbers of this disk are not accounted for yet: start the agent once with its broker";
            return Some(Refusal::new(DeviceClass::NumberMismatch, text));
        }
        // Reading the target first makes a second void harmless; of the others nobody knows whether the last one took effect.
        if name != DiskOperation::Void
            && !order.anyway
            && let Some(id) = context.view.unsettled_operation(disk, name, order.what.kind())
        {
            let text = format!("the last {name} ({id}) is unsettled: it may have taken effect; look at the disk first");
            return Some(Refusal::unless_confirmed(DeviceClass::Duplicate, text));
        }
        None
    }

    pub(super) fn refuse(&mut self, order: &Order, refusal: Refusal, before: Readings) {
        let Refusal { class, text, anyway } = refusal;
        self.tell_order(order, Verdict::Refused { class, text, anyway }, before);
    }

    /// To whoever asked: a person here, or the broker, for which it is made durable first.
    pub(super) fn tell_order(&mut self, order: &Order, verdict: Verdict, before: Readings) {
        let disk = self.disk().or(self.reporter.last_disk()).cloned();
        let report = OrderReport { id: order.id.clone(), disk, verdict, before, after: Readings::default() };
        match order.remote {
            Some(epoch) => self.remote_reports.push_back((report, epoch)),
            None => self.told.push_back(Told::Order(Box::new(report))),
        }
    }

    /// Refuses all that was not begun.
    pub(super) fn refuse_orders(&mut self, class: DeviceClass, text: &str) {
        for order in std::mem::take(&mut self.orders) {
            self.refuse(&order, Refusal::new(class, text), Readings::default());
        }
    }
}
