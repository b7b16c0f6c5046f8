//! The clocks of the agent's shell. Decisions take time as a value; this is where the value comes from.

use std::time::Duration;

use crate::core::wake::Clocks;
use crate::platform;

/// Time since boot, sleep of the machine counted: a laptop that slept an hour has not heard from its broker
/// for an hour. The plain monotonic clock would say that no time passed, and a job could begin under a dead lease.
pub fn since_boot() -> Duration {
    platform::since_boot()
}

/// All clocks by which a sleep is noticed.
pub fn all() -> Clocks {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Clocks {
        boot_ms: millis(since_boot()),
        awake_ms: millis(platform::awake()),
        wall_ms: u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0),
    }
}

/// Wall clock, RFC 3339 in UTC, whole seconds. For people only; no decision rests on it.
pub fn wall_clock() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
