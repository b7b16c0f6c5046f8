//! Monthly statistics of a kind (发票统计), counted from the ledger. Reads only.

use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;

use super::clock::Stamp;
use super::disk::SimDisk;
use super::ledger::EntryStatus;
use super::refusal::Refusal;

/// Most months that one question covers.
const MAX_MONTHS: usize = 120;

/// Amount and tax of one group of invoices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Without tax.
    pub net: Amount,
    /// Tax.
    pub tax: Amount,
}

/// One month of one kind. Counts in the order of device-serial-zc.md, section 6.4.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MonthStats {
    /// First day, `yyyyMMdd`.
    pub first_day: String,
    /// Last day.
    pub last_day: String,
    /// Opening stock, bought, returned, positive, positive voided, negative, negative voided, blank voided, closing stock.
    pub counts: [u64; 9],
    /// Positive, positive voided, negative, negative voided.
    pub sums: [Sums; 4],
}

impl SimDisk {
    /// Statistics of every month that `from..=to` (`yyyyMMdd`) touches.
    ///
    /// # Errors
    /// 223: a date is none, or the period is empty or too long.
    pub fn period_stats(&self, kind: InvoiceKind, from: &str, to: &str) -> Result<Vec<MonthStats>, Refusal> {
        let moment = |date: &str| format!("{date}000000").parse::<Stamp>().map_err(|_| Refusal::jsk(223));
        let (from, to) = (moment(from)?, moment(to)?);
        let mut months = Vec::new();
        let mut month = moment(&format!("{}01", from.month()))?;
        while month.month() <= to.month() {
            if months.len() == MAX_MONTHS {
                return Err(Refusal::jsk(223));
            }
            let next = moment(&format!("{}01", month.plus_seconds(31 * 86_400).month()))?;
            months.push(self.month_stats(kind, month, next));
            if next <= month {
                break;
            }
            month = next;
        }
        if months.is_empty() { Err(Refusal::jsk(223)) } else { Ok(months) }
    }

    fn month_stats(&self, kind: InvoiceKind, from: Stamp, until: Stamp) -> MonthStats {
        let own = || self.ledger().entries().iter().filter(move |entry| entry.kind == kind);
        let segments = || self.config().segments.iter().filter(move |segment| segment.kind == kind);
        let size = |first: u32, last: u32| (u64::from(last) + 1).saturating_sub(u64::from(first));
        let stock_before = |at: Stamp| {
            let bought: u64 = segments()
                .filter(|segment| segment.bought_at.is_none_or(|bought| bought < at))
                .map(|segment| size(segment.first.value(), segment.last.value()))
                .sum();
            bought.saturating_sub(own().filter(|entry| entry.time < at).count() as u64)
        };
        let mut stats = MonthStats { first_day: from.date(), last_day: until.plus_seconds(-1).date(), ..MonthStats::default() };
        stats.counts[0] = stock_before(from);
        stats.counts[1] = segments()
            .filter(|segment| segment.bought_at.is_some_and(|bought| bought >= from && bought < until))
            .map(|segment| size(segment.first.value(), segment.last.value()))
            .sum();
        for entry in own().filter(|entry| entry.time >= from && entry.time < until) {
            let (count, sum) = match entry.status {
                EntryStatus::Positive => (3, Some(0)),
                EntryStatus::PositiveVoid => (4, Some(1)),
                EntryStatus::Negative => (5, Some(2)),
                EntryStatus::NegativeVoid => (6, Some(3)),
                EntryStatus::BlankVoid => (7, None),
            };
            stats.counts[count] += 1;
            if let Some(sums) = sum.and_then(|index: usize| stats.sums.get_mut(index)) {
                sums.net = sums.net.checked_add(entry.net).unwrap_or(sums.net);
                sums.tax = sums.tax.checked_add(entry.tax).unwrap_or(sums.tax);
            }
        }
        stats.counts[8] = stock_before(until);
        stats
    }
}
