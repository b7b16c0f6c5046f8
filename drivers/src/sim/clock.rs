//! The disk's clock: local time without a zone, as it is printed on invoices (`yyyyMMddHHmmss`).
//!
//! Nothing else of the simulated disk asks the time. The source of time is a closure, so that tests are deterministic.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

/// Seconds of an hour, for offline hours.
const HOUR_S: i64 = 3600;

/// A moment on the disk's clock, to the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(DateTime);

impl Stamp {
    /// `yyyyMMdd`.
    pub fn date(self) -> String {
        let date = self.0.date();
        format!("{:04}{:02}{:02}", date.year(), date.month(), date.day())
    }

    /// `HHmmss`.
    pub fn time(self) -> String {
        format!("{:02}{:02}{:02}", self.0.hour(), self.0.minute(), self.0.second())
    }

    /// Day of the month.
    pub fn day(self) -> u8 {
        self.0.day().unsigned_abs()
    }

    /// `yyyyMM`.
    pub fn month(self) -> String {
        format!("{:04}{:02}", self.0.year(), self.0.month())
    }

    /// Last day of the next month, `yyyyMMdd`: where clearing moves the deadline to.
    pub fn last_day_of_next_month(self) -> String {
        let next = self.0.date().last_of_month().tomorrow().unwrap_or(Date::MAX).last_of_month();
        format!("{:04}{:02}{:02}", next.year(), next.month(), next.day())
    }

    /// Seconds from `earlier` to this moment; negative when the clock went back.
    pub fn seconds_since(self, earlier: Stamp) -> i64 {
        self.0.duration_since(earlier.0).as_secs()
    }

    /// Whole hours from `earlier` to this moment.
    pub fn hours_since(self, earlier: Stamp) -> i64 {
        self.seconds_since(earlier) / HOUR_S
    }

    /// The moment so many seconds later (or earlier); stays within the years that the clock can show.
    pub fn plus_seconds(self, seconds: i64) -> Stamp {
        let end = if seconds < 0 { DateTime::MIN } else { DateTime::MAX };
        Stamp(self.0.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(end))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.date(), self.time())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({self})")
    }
}

/// Not 14 digits that name a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a moment: yyyyMMddHHmmss is expected")]
pub struct StampError(String);

impl FromStr for Stamp {
    type Err = StampError;
    fn from_str(text: &str) -> Result<Stamp, StampError> {
        let bad = || StampError(text.to_owned());
        if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let part = |from: usize, to: usize| text[from..to].parse::<i16>().map_err(|_| bad());
        let small = |from: usize| text[from..from + 2].parse::<i8>().map_err(|_| bad());
        DateTime::new(part(0, 4)?, small(4)?, small(6)?, small(8)?, small(10)?, small(12)?, 0).map(Stamp).map_err(|_| bad())
    }
}

impl Serialize for Stamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where the disk takes the time from before its own setting is applied.
pub type TimeSource = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// The machine's clock in China's time (UTC+8, no summer time).
pub fn real_time() -> TimeSource {
    Arc::new(|| {
        let now = jiff::tz::Offset::constant(8).to_datetime(jiff::Timestamp::now());
        // Sub-second parts do not exist on the disk; a clock outside the representable years is not a case.
        Stamp(now.with().subsec_nanosecond(0).build().unwrap_or(now))
    })
}

/// How the disk's clock stands to the source of time. A setting of its own, so that tests can let the clock jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockSetting {
    /// The source, moved by so many seconds.
    OffsetS(i64),
    /// Stands still.
    Fixed(Stamp),
}

impl ClockSetting {
    /// The time that the disk shows.
    pub fn read(self, source: &TimeSource) -> Stamp {
        match self {
            ClockSetting::OffsetS(seconds) => source().plus_seconds(seconds),
            ClockSetting::Fixed(at) => at,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn stamps_parse_print_and_count() {
        let at: Stamp = "20260302101530".parse().unwrap();
        assert_eq!((at.date().as_str(), at.time().as_str(), at.day()), ("20260302", "101530", 2));
        assert_eq!(at.to_string(), "20260302101530");
        assert_eq!(at.plus_seconds(3600 * 73).hours_since(at), 73);
        assert_eq!("20260131000000".parse::<Stamp>().unwrap().last_day_of_next_month(), "20260228");
        for bad in ["", "2026030210153", "20260230101530", "2026030210153x", "20260302246060"] {
            assert!(bad.parse::<Stamp>().is_err(), "{bad:?} was taken for a moment");
        }
    }

    #[test]
    fn the_setting_moves_or_stops_the_clock() {
        let at: Stamp = "20260302101530".parse().unwrap();
        let source: TimeSource = Arc::new(move || at);
        assert_eq!(ClockSetting::OffsetS(-30).read(&source).to_string(), "20260302101500");
        let fixed = ClockSetting::Fixed("20990101000000".parse().unwrap());
        assert_eq!(fixed.read(&source).to_string(), "20990101000000");
        assert_eq!(serde_json::to_string(&fixed).unwrap(), r#"{"fixed":"20990101000000"}"#);
    }
}
