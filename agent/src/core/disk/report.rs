//! The report of a disk, told when it changed. A falling stock alone is no news for each invoice, nor is a climb by itself.

use taxdisk_drivers::disk::{Limits, OfflineTotals, Stock};
use taxdisk_protocol::api::{DiskHealth, DiskReport, OfflineView, Operation, StockView};
use taxdisk_protocol::capabilities::{Capabilities, DiskOperation};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;

use crate::core::effect::Opened;

/// Between two reports that differ in their stock or climbs only, milliseconds.
const STOCK_EVERY_MS: u64 = 2_000;
/// At or below so many blank invoices each one is told, so that the broker routes elsewhere in time.
const STOCK_LOW: u32 = 5;

/// Remembers what was told.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    told: Option<DiskReport>,
    told_at_ms: u64,
    due_ms: Option<u64>,
    disk: Option<DiskNumber>,
}

impl Reporter {
    /// The report, if it is worth telling now.
    pub(super) fn offer(&mut self, report: DiskReport, now_ms: u64, force: bool) -> Option<DiskReport> {
        self.disk = report.disk.parse().ok().or(self.disk.take());
        let urgent = match &self.told {
            None => true,
            Some(told) => {
                let but_these = DiskReport { stock: told.stock.clone(), climbs: told.climbs.clone(), ..report.clone() };
                let low = |stock: &StockView| stock.remaining <= STOCK_LOW;
                but_these != *told
                    || report.stock.len() != told.stock.len()
                    || (report.stock != told.stock && report.stock.iter().any(low))
            }
        };
        let changed = self.told.as_ref() != Some(&report);
        let at = self.told_at_ms + STOCK_EVERY_MS;
        if force || urgent || (changed && now_ms >= at) {
            self.told = Some(report.clone());
            self.told_at_ms = now_ms;
            self.due_ms = None;
            return Some(report);
        }
        self.due_ms = changed.then_some(at);
        None
    }

    /// When a held-back report is to be offered again.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// The disk went: the next report is told whatever it says.
    pub(super) fn forget(&mut self) {
        self.told = None;
        self.due_ms = None;
    }

    /// The disk that was behind the port last.
    pub(super) fn last_disk(&self) -> Option<&DiskNumber> {
        self.disk.as_ref()
    }
}

pub(super) fn ready() -> DiskHealth {
    DiskHealth { ready: true, class: None, text: String::new() }
}

/// No number is accounted for yet: that comes right after the grant.
pub(super) fn first_contact() -> DiskHealth {
    DiskHealth { ready: false, class: None, text: "first contact: its numbers are read once it is granted".into() }
}

pub(super) fn unready(class: DeviceClass, text: &str) -> DiskHealth {
    DiskHealth { ready: false, class: Some(class), text: text.to_owned() }
}

pub(super) fn stock(kind: InvoiceKind, stock: Option<Stock>, limits: Option<&Limits>) -> StockView {
    StockView {
        kind: kind.to_string(),
        current: stock.map(|stock| stock.current.into()),
        remaining: stock.map_or(0, |stock| stock.remaining),
        invoice_limit: limits.and_then(|limits| limits.invoice_limit).map(|limit| limit.to_string()),
        issue_deadline: limits.and_then(|limits| limits.issue_deadline.clone()),
        upload_day: limits.and_then(|limits| limits.upload_day),
        offline_hours: limits.and_then(|limits| limits.offline_hours),
        offline_amount: limits.and_then(|limits| limits.offline_amount).map(|limit| limit.to_string()),
        period: limits.and_then(|limits| limits.period.clone()),
    }
}

pub(super) fn offline(totals: &OfflineTotals) -> OfflineView {
    // No dialect here tells how many may wait.
    OfflineView { count: totals.count, first: totals.first.clone(), sum: totals.sum.to_string(), count_limit: None }
}

/// What jobs this agent takes for such a disk.
fn takes(can: &Capabilities) -> Vec<Operation> {
    let void = can.can(DiskOperation::Void).then_some(Operation::Void);
    let red = can.red.then_some(Operation::Red);
    [Some(Operation::Issue), void, red].into_iter().flatten().collect()
}

pub(super) fn whole(opened: &Opened, port: &str, health: DiskHealth, stock: Vec<StockView>, sequence: u64) -> DiskReport {
    let identity = &opened.identity;
    DiskReport {
        disk: identity.disk.to_string(),
        taxpayer: identity.taxpayer.to_string(),
        taxpayer_name: identity.taxpayer_name.clone(),
        kinds: identity.kinds.iter().map(ToString::to_string).collect(),
        capabilities: opened.capabilities.clone(),
        fence: opened.fence,
        dialect: opened.dialect.clone(),
        port: port.to_owned(),
        health,
        stock,
        clock: identity.clock.clone(),
        offline: None,
        password_tries: None,
        memory_percent: None,
        clock_offset_s: None,
        takes: takes(&opened.capabilities),
        sequence,
        climbs: Vec::new(),
    }
}
