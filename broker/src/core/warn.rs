//! Early warning: what will stop a disk if nobody acts. Each warning is raised once and cleared once, with a gap between the two
//! thresholds, and both are entries of the broker's own chain.
//!
//! It stops nothing by itself: dispatch prefers disks without a critical warning, and stops at the limit itself.

use serde_json::json;
use taxdisk_protocol::api::{Severity, Thresholds, WarningCode, WarningView};
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;
use taxdisk_protocol::time::Timestamp;

use super::Core;
use super::change::{Change, Notice, WarningRow};
use super::disk::Disk;
use super::due::{DAY_MS, HOUR_MS, first_waiting, lock_end, upload_end};

/// At this part of a limit a warning is critical, percent.
const CRITICAL_PERCENT: i64 = 95;
/// Between two looks at what only time changes, milliseconds.
pub(super) const LOOK_EVERY_MS: i64 = 10_000;

/// Which warning of a disk.
pub(super) type WarningKey = (WarningCode, Option<InvoiceKind>);

/// How a thing stands against its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// A warning that is up stays; none is raised.
    Between,
    Over(Severity),
}

struct Finding {
    key: WarningKey,
    level: Level,
    text: String,
}

/// Everything that is over or near its threshold. What is not listed is well, or not told.
fn findings(disk: &Disk, thresholds: &Thresholds, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(report) = &disk.report else { return found };
    for stock in &report.stock {
        let Ok(kind) = stock.kind.parse::<InvoiceKind>() else { continue };
        if disk.kinds.contains(&kind) {
            found.extend(stock_low(disk, kind, thresholds, now));
        }
        if let Some(end) = lock_end(stock)
            && let Some(level) = days_level(end.since_ms(now), thresholds)
        {
            let text = format!("issues kind {kind} until the end of {} only", end.plus_ms(-1).weekday_day());
            found.push(Finding { key: (WarningCode::LockDateNear, Some(kind)), level, text });
        }
        found.extend(offline(disk, kind, thresholds, now));
    }
    if let Some(tries) = report.password_tries
        && tries <= thresholds.password_tries
    {
        let text = format!("a password was refused; {tries} tries are left");
        found.push(Finding { key: (WarningCode::PasswordTries, None), level: Level::Over(Severity::Critical), text });
    }
    if let Some(used) = report.memory_percent
        && let Some(level) = percent_level(i64::from(used), 100, thresholds.memory_percent)
    {
        let text = format!("{used} % of the disk's memory is used");
        found.push(Finding { key: (WarningCode::DiskMemory, None), level, text });
    }
    if let Some(offset_s) = report.clock_offset_s {
        let (off, limit) = (offset_s.unsigned_abs(), u64::from(thresholds.clock_s));
        let text = format!("its clock is {off} s {} the PC's", if offset_s < 0 { "behind" } else { "ahead of" });
        let key = (WarningCode::ClockOff, None);
        if off >= limit {
            found.push(Finding { key, level: Level::Over(Severity::Warning), text });
        } else if off.saturating_mul(10) >= limit.saturating_mul(8) {
            found.push(Finding { key, level: Level::Between, text });
        }
    }
    found
}

fn stock_low(disk: &Disk, kind: InvoiceKind, thresholds: &Thresholds, now: Timestamp) -> Option<Finding> {
    let left = disk.left(kind);
    let out_ms = disk.burn.get(&kind).and_then(|burn| burn.lasts_ms(left, now));
    let (count, hours_ms) = (thresholds.stock_count, i64::from(thresholds.stock_hours).saturating_mul(HOUR_MS));
    let within = |ms: i64| out_ms.is_some_and(|out| out <= ms);
    let level = if left == 0 || left <= count / 5 || within(hours_ms / 6) {
        Level::Over(Severity::Critical)
    } else if left <= count || within(hours_ms) {
        Level::Over(Severity::Warning)
    } else if left <= count.saturating_mul(2) || within(hours_ms.saturating_mul(3) / 2) {
        Level::Between
    } else {
        return None;
    };
    let text = match out_ms {
        _ if left == 0 => format!("no blank invoice of kind {kind} is left"),
        Some(ms) => {
            format!(
                "{left} blank invoices of kind {kind} are left; at the present rate it runs out {}",
                now.plus_ms(ms).weekday_text()
            )
        }
        None => format!("{left} blank invoices of kind {kind} are left"),
    };
    Some(Finding { key: (WarningCode::StockLow, Some(kind)), level, text })
}

fn offline(disk: &Disk, kind: InvoiceKind, thresholds: &Thresholds, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(report) = &disk.report else { return found };
    let Some(stock) = report.stock.iter().find(|stock| stock.kind == kind.to_string()) else { return found };
    let Some(held) = report.offline.as_ref().filter(|held| held.count > 0) else { return found };
    let percent = thresholds.limit_percent;
    let first = first_waiting(report);
    if let (Some(first), Some(hours)) = (first, stock.offline_hours)
        && let Some(level) = percent_level(now.since_ms(first), i64::from(hours) * HOUR_MS, percent)
    {
        let text = format!("{} invoices wait for their upload since {}; {hours} h are allowed", held.count, first.weekday_text());
        found.push(Finding { key: (WarningCode::OfflineTime, Some(kind)), level, text });
    }
    if let (Ok(sum), Some(limit)) = (held.sum.parse::<Amount>(), disk.offline_amount(kind))
        && let Some(level) = percent_level(sum.fen(), limit.fen(), percent)
    {
        let text = format!("{sum} of {limit} are issued and not uploaded");
        found.push(Finding { key: (WarningCode::OfflineAmount, Some(kind)), level, text });
    }
    if let Some(limit) = held.count_limit
        && let Some(level) = percent_level(i64::from(held.count), i64::from(limit), percent)
    {
        let text = format!("{} of {limit} invoices wait for their upload", held.count);
        found.push(Finding { key: (WarningCode::OfflineCount, Some(kind)), level, text });
    }
    if let Some(due) = upload_end(report, stock)
        && let Some(level) = days_level(due.since_ms(now), thresholds)
    {
        let text = format!("{} invoices must be uploaded by the end of {}", held.count, due.plus_ms(-1).weekday_day());
        found.push(Finding { key: (WarningCode::UploadDue, Some(kind)), level, text });
    }
    found
}

fn days_level(left_ms: i64, thresholds: &Thresholds) -> Option<Level> {
    let warn_ms = i64::from(thresholds.date_days).saturating_mul(DAY_MS);
    match left_ms {
        left if left <= DAY_MS => Some(Level::Over(Severity::Critical)),
        left if left <= warn_ms => Some(Level::Over(Severity::Warning)),
        left if left <= warn_ms.saturating_add(HOUR_MS) => Some(Level::Between),
        _ => None,
    }
}

fn percent_level(used: i64, limit: i64, warn: u8) -> Option<Level> {
    if limit <= 0 {
        return None;
    }
    let percent = i128::from(used) * 100 / i128::from(limit);
    let warn = i128::from(warn);
    if percent >= i128::from(CRITICAL_PERCENT) {
        Some(Level::Over(Severity::Critical))
    } else if percent >= warn {
        Some(Level::Over(Severity::Warning))
    } else if percent >= warn - 10 {
        Some(Level::Between)
    } else {
        None
    }
}

impl Core {
    /// Raises and clears the warnings of a disk.
    pub(super) fn look_warnings(&mut self, number: &DiskNumber) {
        let now = self.turn.now;
        let Some(disk) = self.disks.get_mut(number) else { return };
        let thresholds = disk
            .seller
            .as_ref()
            .and_then(|seller| self.sellers.get(seller))
            .map(|seller| seller.body.warnings)
            .unwrap_or_default();
        let findings = findings(disk, &thresholds, now);
        let mut turned = Vec::new();
        // Raised, or more urgent than before. A warning that becomes less urgent stays as it is until it is cleared.
        for Finding { key, level, text } in &findings {
            let known = disk.warnings.get_mut(key);
            match (known, level) {
                (Some(row), Level::Over(severity)) if *severity > row.severity => {
                    row.severity = *severity;
                    row.text.clone_from(text);
                    turned.push((row.clone(), true));
                }
                // The numbers that are shown are those of now; the entry in the chain keeps those of then.
                (Some(row), _) => row.text.clone_from(text),
                (None, Level::Over(severity)) => {
                    let (code, kind) = *key;
                    let row =
                        WarningRow { disk: number.clone(), code, kind, severity: *severity, text: text.clone(), since: now };
                    disk.warnings.insert(*key, row.clone());
                    turned.push((row, true));
                }
                (None, Level::Between) => {}
            }
        }
        disk.warnings.retain(|key, row| {
            let stays = findings.iter().any(|finding| finding.key == *key);
            if !stays {
                turned.push((row.clone(), false));
            }
            stays
        });
        let seller = disk.seller.clone();
        for (row, on) in turned {
            let what = if on { "warning_raised" } else { "warning_cleared" };
            metrics::counter!("taxdisk_warnings_turned_total", "code" => row.code.as_str(), "to" => if on { "raised" } else { "cleared" })
                .increment(1);
            self.audit(None, what, serde_json::to_value(&row).unwrap_or_default());
            let (disk, kind) = (&row.disk, row.kind);
            let body = json!({
                "disk": disk, "warning": row.code, "kind": kind, "severity": row.severity, "text": row.text,
                "since": row.since.to_string(), "cleared": !on,
            });
            self.announce("disk.warning", seller.clone(), body);
            self.turn.changes.push(Change::Notice { notice: Notice::Warning(row), on });
        }
    }

    /// All warnings, the most urgent first.
    pub fn warnings(&self) -> Vec<WarningView> {
        let mut rows: Vec<_> = self.disks.values().flat_map(|disk| disk.warning_views()).collect();
        rows.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.since.cmp(&b.since)));
        rows
    }
}

/// How the stock of a kind goes on one disk, as far as this process has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BurnDown {
    /// Kind.
    pub kind: InvoiceKind,
    /// Blank invoices left.
    pub left: u32,
    /// First moment of an hour, and the invoices that were issued in it; oldest first, of the last 24 hours. Hours without one
    /// are left out.
    pub hours: Vec<(Timestamp, u32)>,
    /// The first invoice that was counted; `None`: none was since this process began.
    pub since: Option<Timestamp>,
    /// It runs out then, at the rate of the last day; `None` where nobody can say.
    pub out: Option<Timestamp>,
}

impl Core {
    /// How the stock of each licensed kind of a disk goes. A disk that is not known has none.
    pub fn burn_downs(&self, number: &DiskNumber, now: Timestamp) -> Vec<BurnDown> {
        let Some(disk) = self.disks.get(number) else { return Vec::new() };
        let nothing = Burn::default();
        let of_kind = |kind: &InvoiceKind| {
            let (burn, left) = (disk.burn.get(kind).unwrap_or(&nothing), disk.left(*kind));
            BurnDown {
                kind: *kind,
                left,
                hours: burn.recent(now).map(|(hour, count)| (Timestamp(hour.saturating_mul(HOUR_MS)), count)).collect(),
                since: burn.first,
                out: burn.lasts_ms(left, now).map(|ms| now.plus_ms(ms)),
            }
        };
        disk.kinds.iter().map(of_kind).collect()
    }
}

impl Disk {
    pub(super) fn warning_views(&self) -> Vec<WarningView> {
        self.warnings.values().map(|row| row.view(self.seller.as_ref())).collect()
    }

    /// It will stop soon: others come first.
    pub(super) fn is_strained(&self) -> bool {
        self.warnings.values().any(|row| row.severity == Severity::Critical)
    }
}

impl WarningRow {
    fn view(&self, seller: Option<&TaxpayerNumber>) -> WarningView {
        WarningView {
            code: self.code,
            severity: self.severity,
            disk: self.disk.to_string(),
            seller: seller.map(ToString::to_string),
            kind: self.kind.map(|kind| kind.to_string()),
            text: self.text.clone(),
            since: self.since.to_string(),
        }
    }
}

/// How fast the stock of a kind goes: issued invoices by the hour, the last day of them.
#[derive(Debug, Default)]
pub(super) struct Burn {
    hours: std::collections::VecDeque<(i64, u32)>,
    first: Option<Timestamp>,
}

impl Burn {
    /// Hours that are looked at.
    const HOURS: i64 = 24;
    /// Less than this says nothing: invoices, and milliseconds since the first of them.
    const LEAST: (u64, i64) = (3, 10 * 60_000);

    pub(super) fn count(&mut self, now: Timestamp) {
        let hour = now.0.div_euclid(HOUR_MS);
        self.first.get_or_insert(now);
        match self.hours.back_mut() {
            Some((last, count)) if *last == hour => *count = count.saturating_add(1),
            _ => self.hours.push_back((hour, 1)),
        }
        while self.hours.front().is_some_and(|(oldest, _)| hour - oldest >= Self::HOURS) {
            self.hours.pop_front();
        }
    }

    /// The hours of the last day, as numbers since the epoch, each with its count.
    fn recent(&self, now: Timestamp) -> impl Iterator<Item = (i64, u32)> {
        let hour = now.0.div_euclid(HOUR_MS);
        self.hours.iter().copied().filter(move |(at, _)| hour - at < Self::HOURS)
    }

    /// How long so many last at the rate of the last day; `None` where nobody can say.
    fn lasts_ms(&self, left: u32, now: Timestamp) -> Option<i64> {
        let count: u64 = self.recent(now).map(|(_, count)| u64::from(count)).sum();
        let span = now.since_ms(self.first?).min(Self::HOURS * HOUR_MS);
        if count < Self::LEAST.0 || span < Self::LEAST.1 {
            return None;
        }
        i64::try_from(i128::from(left) * i128::from(span) / i128::from(count)).ok()
    }
}
