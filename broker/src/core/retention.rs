//! The retention time: contents of jobs that ended long ago are ended too.
//!
//! Time counts as **served hours**: what passes between two ticks, a minute at most, adds up while the broker runs. So a clock
//! that jumps ahead ends nothing, and neither does a stop: a content lives at least as long as it should, never shorter. The
//! serial number's row, the hashes, the events and the evidence are never ended (I6).

use std::collections::BTreeMap;

use serde_json::json;
use taxdisk_protocol::ids::{JobKey, TaxpayerNumber};
use taxdisk_protocol::time::Timestamp;

use super::change::Change;
use super::types::Refusal;
use super::{Core, Reply};

/// The most that one tick adds, milliseconds; ticks come every second.
const TICK_MAX_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// How long the broker has served.
#[derive(Debug, Default)]
pub(super) struct Served {
    hours: u64,
    part_ms: i64,
    last: Option<Timestamp>,
    /// Contents may be left that are due.
    due: bool,
}

impl Served {
    pub(super) fn new(hours: u64) -> Served {
        Served { hours, due: true, ..Served::default() }
    }
}

impl Core {
    /// In the chain of each seller: which of his jobs, and not whose. Who asked for it is named, the buyer nowhere.
    fn audit_buyer(&mut self, what: &'static str, jobs: &[JobKey], by: &str, reason: &str) {
        let mut by_seller: BTreeMap<&TaxpayerNumber, Vec<&str>> = BTreeMap::new();
        for key in jobs {
            by_seller.entry(&key.seller).or_default().push(key.serial.as_str());
        }
        for (seller, serials) in by_seller {
            self.audit(Some(seller), what, json!({ "by": by, "reason": reason, "serials": serials }));
        }
    }

    pub(super) fn buyer_exported(&mut self, jobs: &[JobKey], by: &str) -> Result<Reply, Refusal> {
        self.audit_buyer("buyer_exported", jobs, by, "");
        Ok(Reply::Done)
    }

    /// A job that goes on keeps its content, whoever asked before it did.
    pub(super) fn erase_contents(&mut self, jobs: Vec<JobKey>, reason: &str, by: &str) -> Result<Reply, Refusal> {
        let ended: Vec<JobKey> = jobs.into_iter().filter(|key| !self.jobs.contains_key(key)).collect();
        self.audit_buyer("buyer_erased", &ended, by, reason);
        self.turn.changes.push(Change::EndContentsOf(ended));
        Ok(Reply::Done)
    }

    pub(super) fn count_served(&mut self) {
        let now = self.turn.now;
        let served = &mut self.served;
        if let Some(last) = served.last.replace(now) {
            served.part_ms += now.since_ms(last).clamp(0, TICK_MAX_MS);
        }
        if served.part_ms >= HOUR_MS {
            served.part_ms -= HOUR_MS;
            served.hours += 1;
            served.due = true;
            let hours = served.hours;
            self.turn.changes.push(Change::Served(hours));
        }
        let Some(retain) = self.settings.retain_hours.filter(|_| self.served.due) else { return };
        // A slice an hour would be too slow for a large ledger, and one a tick costs nothing where nothing is due.
        if let Some(until) = self.served.hours.checked_sub(retain) {
            self.turn.changes.push(Change::EndContents(until));
            if self.served.part_ms >= HOUR_MS / 2 {
                self.served.due = false;
            }
        }
    }
}
