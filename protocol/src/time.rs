//! A moment, as whole milliseconds of UTC. This crate reads no clock: moments are handed in.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 for people, as an integer in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Timestamp {
    /// So many milliseconds later; stays at the end of time instead of running over.
    pub fn plus_ms(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// So many seconds later.
    pub fn plus_s(self, s: i64) -> Timestamp {
        self.plus_ms(s.saturating_mul(1000))
    }

    /// Milliseconds since `earlier`; negative if that lies ahead.
    pub fn since_ms(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Number of the day (UTC) since 1970-01-01.
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }
}

/// A disk's clock (`yyyyMMddHHmmss`, the time of its place) so many milliseconds later, in the same form. `None`: it is no time.
pub fn disk_clock_after(clock: &str, ms: u64) -> Option<String> {
    const FORM: &str = "%Y%m%d%H%M%S";
    let then = jiff::civil::DateTime::strptime(FORM, clock).ok()?;
    let passed = jiff::SignedDuration::from_millis(i64::try_from(ms).ok()?);
    Some(then.checked_add(passed).ok()?.strftime(FORM).to_string())
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| format!("{text:?} is not a time: RFC 3339 is expected"))?;
        Ok(Timestamp(moment.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_clock_runs_over_the_end_of_a_month() {
        assert_eq!(disk_clock_after("20260228235959", 1_000).as_deref(), Some("20260301000000"));
        assert_eq!(disk_clock_after("20260228235959", 999).as_deref(), Some("20260228235959"));
        for bad in ["", "2026-02-28", "20260230000000", "时"] {
            assert_eq!(disk_clock_after(bad, 0), None, "{bad}");
        }
    }

    #[test]
    fn a_moment_is_written_and_read_back() {
        let moment = Timestamp(1_700_000_000_123);
        assert_eq!(moment.to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(moment.to_string().parse(), Ok(moment));
        assert_eq!(Timestamp(-1).day(), -1);
        assert_eq!(Timestamp(0).plus_s(86_400).day(), 1);
    }
}
