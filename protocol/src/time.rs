//! A moment, as whole milliseconds of UTC. This crate reads no clock: moments are handed in.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 for people, as an integer in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// China has one time, eight hours before UTC, and no summer time. Disks keep it.
const CHINA_HOURS: i8 = 8;

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

    /// As people in China read a moment that is near: `Thursday 15:00`.
    pub fn weekday_text(self) -> String {
        self.in_china().map_or_else(|| self.to_string(), |moment| moment.strftime("%A %H:%M").to_string())
    }

    /// As people in China read a day: `Thursday 2026-11-26`.
    pub fn weekday_day(self) -> String {
        self.in_china().map_or_else(|| self.to_string(), |moment| moment.strftime("%A %Y-%m-%d").to_string())
    }

    /// The end of day `day` of the month after this moment's, in China; a day that the month does not have is its last one.
    pub fn end_of_day_next_month(self, day: u8) -> Option<Timestamp> {
        let next = self.in_china()?.date().first_of_month().checked_add(jiff::Span::new().months(1)).ok()?;
        let day = i8::try_from(day).ok().filter(|day| *day > 0)?.min(next.days_in_month());
        let end = next.with().day(day).build().ok()?.tomorrow().ok()?;
        let moment = end.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(CHINA_HOURS))).ok()?;
        Some(Timestamp(moment.timestamp().as_millisecond()))
    }

    /// Year and month in China.
    pub fn month(self) -> Option<(i16, i8)> {
        let date = self.in_china()?.date();
        Some((date.year(), date.month()))
    }

    /// The first moment of its month in China.
    pub fn start_of_month(self) -> Option<Timestamp> {
        let first = self.in_china()?.date().first_of_month();
        let moment = first.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(CHINA_HOURS))).ok()?;
        Some(Timestamp(moment.timestamp().as_millisecond()))
    }

    fn in_china(self) -> Option<jiff::Zoned> {
        let moment = jiff::Timestamp::from_millisecond(self.0).ok()?;
        Some(moment.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(CHINA_HOURS))))
    }

    /// Reads a date or a time as a disk writes it: `yyyyMMdd` or `yyyyMMddHHmmss`, China's time. A date is its first moment.
    pub fn from_disk(text: &str) -> Option<Timestamp> {
        let digits = text.len() == 8 || text.len() == 14;
        if !digits || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let part = |from: usize, to: usize| text.get(from..to).map_or(Some(0), |part| part.parse::<i8>().ok());
        let (year, month, day) = (text[..4].parse().ok()?, part(4, 6)?, part(6, 8)?);
        let civil = jiff::civil::DateTime::new(year, month, day, part(8, 10)?, part(10, 12)?, part(12, 14)?, 0).ok()?;
        let moment = civil.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(CHINA_HOURS))).ok()?;
        Some(Timestamp(moment.timestamp().as_millisecond()))
    }

    /// Number of the day (UTC) since 1970-01-01.
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }
}

/// How far our clock is ahead of another one at least, milliseconds; negative: behind. The other one was read at some moment
/// between `before` and `after` of ours, and says `said` from then on for `step_ms`: what that can explain is no difference.
pub fn skew_ms(before: Timestamp, said: Timestamp, step_ms: i64, after: Timestamp) -> i64 {
    let ahead = before.since_ms(Timestamp(said.0.saturating_add(step_ms)));
    let behind = said.since_ms(after);
    if ahead > 0 { ahead } else { -behind.max(0) }
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
    fn what_a_disk_writes_is_chinas_time() {
        let moment = Timestamp::from_disk("20231115061320").expect("a time");
        assert_eq!(moment.to_string(), "2023-11-14T22:13:20.000Z");
        assert_eq!(moment.weekday_text(), "Wednesday 06:13");
        let due = |text: &str, day| Timestamp::from_disk(text).and_then(|moment| moment.end_of_day_next_month(day));
        assert_eq!(due("20231115061320", 15), Timestamp::from_disk("20231216"));
        assert_eq!(due("20240131235959", 31), Timestamp::from_disk("20240301"), "February has 29 days");
        assert_eq!(due("20231231000000", 0), None);
        assert_eq!(Timestamp::from_disk("20231115").map(|day| day.weekday_text()), Some("Wednesday 00:00".to_owned()));
        let late = Timestamp::from_disk("20231130235959").expect("a time");
        assert_eq!((late.month(), late.start_of_month()), (Some((2023, 11)), Timestamp::from_disk("20231101")));
        for bad in ["", "2023", "20231315", "2023111506132x", "20231115250000"] {
            assert_eq!(Timestamp::from_disk(bad), None, "{bad}");
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
