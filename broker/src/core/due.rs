//! What a disk needs done by when, from what it reported: the monthly calendar, and the moments that early warnings look at.
//!
//! It reads no disk and changes nothing; what a disk does not tell is not in it.

use std::collections::BTreeMap;

use taxdisk_protocol::api::{DiskReport, DueState, DueView, DueWhat, OperationKind, StockView, Thresholds};
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::time::Timestamp;

use super::Core;
use super::disk::Disk;
use super::operations::OperationRow;

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// The end of the last day on which the disk issues (开票截止日期). The day itself is still good.
pub(super) fn lock_end(stock: &StockView) -> Option<Timestamp> {
    Some(stock.issue_deadline.as_deref().and_then(Timestamp::from_disk)?.plus_ms(DAY_MS))
}

/// When the first of what waits for upload was issued.
pub(super) fn first_waiting(report: &DiskReport) -> Option<Timestamp> {
    let held = report.offline.as_ref().filter(|held| held.count > 0)?;
    held.first.as_deref().and_then(Timestamp::from_disk)
}

/// The end of the day by which what waits must be uploaded (上传截止日): what was issued in one month is due in the next one.
pub(super) fn upload_end(report: &DiskReport, stock: &StockView) -> Option<Timestamp> {
    first_waiting(report).zip(stock.upload_day).and_then(|(first, day)| first.end_of_day_next_month(day))
}

/// When the first of what waits has waited as long as is allowed (离线时长).
pub(super) fn offline_end(report: &DiskReport, stock: &StockView) -> Option<Timestamp> {
    let hours = stock.offline_hours.filter(|hours| *hours > 0)?;
    Some(first_waiting(report)?.plus_ms(i64::from(hours).saturating_mul(HOUR_MS)))
}

/// Operations that were done this month, the newest of each.
type Done<'a> = BTreeMap<(&'a DiskNumber, InvoiceKind, OperationKind), &'a OperationRow>;

struct Line<'a> {
    disk: &'a Disk,
    kind: InvoiceKind,
}

impl Line<'_> {
    fn due(&self, what: DueWhat, due: Option<Timestamp>, state: DueState, text: String) -> DueView {
        DueView {
            disk: self.disk.number.to_string(),
            seller: self.disk.seller.as_ref().map(ToString::to_string),
            kind: self.kind.to_string(),
            what,
            // The last moment, not the one after it: people read the day.
            due: due.map(|due| due.plus_ms(-1).to_string()),
            state,
            text,
        }
    }
}

/// Something that must be done before a moment.
fn until(end: Option<Timestamp>, now: Timestamp) -> DueState {
    if end.is_some_and(|end| end <= now) { DueState::Overdue } else { DueState::Due }
}

fn of_kind(
    disk: &Disk,
    report: &DiskReport,
    stock: &StockView,
    kind: InvoiceKind,
    done: &Done<'_>,
    now: Timestamp,
) -> Vec<DueView> {
    let line = Line { disk, kind };
    let mut all = Vec::new();
    let did = |what| done.get(&(&disk.number, kind, what)).map(|row| format!("done by operation {}", row.view.id));
    let lock = lock_end(stock);
    let period_end = stock.period.as_ref().and_then(|(_, end)| Timestamp::from_disk(end).map(|at| (at, end.len())));
    if let Some((end, digits)) = period_end {
        // A date is its first moment, and the day itself still belongs to the period.
        let over = if digits == 8 { end.plus_ms(DAY_MS) } else { end } <= now;
        all.push(match (did(OperationKind::Report), over) {
            (Some(text), _) => line.due(DueWhat::Report, None, DueState::Done, text),
            (None, false) => {
                line.due(DueWhat::Report, None, DueState::Done, format!("the period runs until {}", end.weekday_day()))
            }
            (None, true) => {
                let text = format!("the period that ended on {} is to be reported", end.weekday_day());
                line.due(DueWhat::Report, lock, until(lock, now), text)
            }
        });
    }
    if let Some(end) = lock {
        let last = end.plus_ms(-1);
        // A clear moves the date into a later month.
        let cleared = last.month() > now.month();
        all.push(if cleared {
            let text =
                did(OperationKind::Clear).unwrap_or_else(|| "this month's clear is done: the lock date is later".to_owned());
            line.due(DueWhat::Clear, Some(end), DueState::Done, text)
        } else {
            let text = format!("report and clear before the end of {}", last.weekday_day());
            line.due(DueWhat::Clear, Some(end), until(lock, now), text)
        });
        let state = match (end <= now, cleared) {
            (true, _) => DueState::Overdue,
            (false, true) => DueState::Done,
            (false, false) => DueState::Due,
        };
        all.push(line.due(DueWhat::LockDate, Some(end), state, format!("issues until the end of {}", last.weekday_day())));
    }
    all.extend(uploads(&line, report, stock, now));
    all
}

fn uploads(line: &Line<'_>, report: &DiskReport, stock: &StockView, now: Timestamp) -> Vec<DueView> {
    let mut all = Vec::new();
    let Some(held) = &report.offline else { return all };
    let waits = |what, end: Option<Timestamp>| match held.count {
        0 => line.due(what, None, DueState::Done, "no invoice waits for its upload".to_owned()),
        count => line.due(what, end, until(end, now), format!("{count} invoices wait for their upload, {} in all", held.sum)),
    };
    if stock.upload_day.is_some() {
        all.push(waits(DueWhat::Upload, upload_end(report, stock)));
    }
    if stock.offline_hours.is_some_and(|hours| hours > 0) {
        all.push(waits(DueWhat::OfflineTime, offline_end(report, stock)));
    }
    all
}

/// A limit without a date: due from the part on at which the seller is warned.
fn limit(line: &Line<'_>, what: DueWhat, (used, limit): (i64, i64), warn_percent: u8, text: String) -> DueView {
    let percent = i128::from(used) * 100 / i128::from(limit.max(1));
    let state = match percent {
        100.. => DueState::Overdue,
        percent if percent >= i128::from(warn_percent) => DueState::Due,
        _ => DueState::Done,
    };
    line.due(what, None, state, text)
}

fn limits(line: &Line<'_>, report: &DiskReport, thresholds: &Thresholds) -> Vec<DueView> {
    let mut all = Vec::new();
    let Some(held) = &report.offline else { return all };
    if let (Ok(sum), Some(most)) = (held.sum.parse::<Amount>(), line.disk.offline_amount(line.kind)) {
        let text = format!("{sum} of {most} are issued and not uploaded");
        all.push(limit(line, DueWhat::OfflineAmount, (sum.fen(), most.fen()), thresholds.limit_percent, text));
    }
    if let Some(most) = held.count_limit {
        let text = format!("{} of {most} invoices wait for their upload", held.count);
        all.push(limit(line, DueWhat::OfflineCount, (i64::from(held.count), i64::from(most)), thresholds.limit_percent, text));
    }
    all
}

impl Core {
    /// What is due of a seller's disks, or of all, by disk and kind. `done`: operations that were done this month.
    pub fn calendar(&self, seller: Option<&TaxpayerNumber>, done: &[OperationRow], now: Timestamp) -> Vec<DueView> {
        let mut newest: Done<'_> = BTreeMap::new();
        for row in done.iter().filter(|row| !row.view.dry_run) {
            if let Some(kind) = row.kind {
                newest.entry((&row.disk, kind, row.view.operation)).or_insert(row);
            }
        }
        let mut all = Vec::new();
        for disk in self.disks.values().filter(|disk| seller.is_none_or(|seller| disk.seller.as_ref() == Some(seller))) {
            let Some(report) = &disk.report else { continue };
            let known = disk.seller.as_ref().and_then(|seller| self.sellers.get(seller));
            let thresholds = known.map(|seller| seller.body.warnings).unwrap_or_default();
            for stock in &report.stock {
                let Ok(kind) = stock.kind.parse::<InvoiceKind>() else { continue };
                all.extend(of_kind(disk, report, stock, kind, &newest, now));
                all.extend(limits(&Line { disk, kind }, report, &thresholds));
            }
        }
        all
    }
}
