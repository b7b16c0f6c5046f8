//! The retention time: contents of jobs that ended long ago are ended too.
//!
//! Time counts as **served hours**: what passes between two ticks, a minute at most, adds up while the broker runs. So a clock
//! that jumps ahead ends nothing, and neither does a stop: a content lives at least as long as it should, never shorter. The
//! serial number's row, the hashes, the events and the evidence are never ended (I6).

use taxdisk_protocol::time::Timestamp;

use super::Core;
use super::change::Change;

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
