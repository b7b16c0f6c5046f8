//! When a message is sent again. Pure: status and time in, milliseconds out; chance is handed in.
//!
//! 2xx is success and nothing else is. 410 ends the endpoint. `Retry-After` is honoured within [`MAX_RETRY_AFTER_MS`], and
//! never makes anything earlier. The delays are those that Standard Webhooks 1.0 suggests, over three days, each with a jitter
//! of a fifth so that what failed together does not come back together.

use std::time::{Duration, UNIX_EPOCH};

use taxdisk_protocol::time::Timestamp;

/// Delays between the attempts, milliseconds: 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h.
pub const DELAYS_MS: [i64; 9] = [
    5_000,
    5 * 60_000,
    30 * 60_000,
    2 * 3_600_000,
    5 * 3_600_000,
    10 * 3_600_000,
    14 * 3_600_000,
    20 * 3_600_000,
    24 * 3_600_000,
];

/// The longest `Retry-After` that is honoured, milliseconds: one day.
pub const MAX_RETRY_AFTER_MS: i64 = 24 * 3_600_000;

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx.
    Delivered,
    /// Not delivered. `after_ms`: the receiver asks for so much time.
    Failed {
        /// From now on.
        after_ms: Option<i64>,
    },
    /// 410: the receiver wants nothing any more.
    Gone,
}

/// Reads a status, and the header `Retry-After` where there is one.
pub fn outcome(status: u16, retry_after: Option<&str>, now: Timestamp) -> Outcome {
    match status {
        200..=299 => Outcome::Delivered,
        410 => Outcome::Gone,
        // Without a word about time, a receiver that is overrun gets the time of the schedule.
        429 | 502..=504 => Outcome::Failed { after_ms: retry_after.and_then(|text| wait(text, now)) },
        _ => Outcome::Failed { after_ms: None },
    }
}

/// Seconds or an HTTP date, as milliseconds from now, capped.
fn wait(text: &str, now: Timestamp) -> Option<i64> {
    let text = text.trim();
    let ms = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(1000)
    } else {
        let until = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(until.as_millis()).unwrap_or(i64::MAX).saturating_sub(now.0)
    };
    Some(ms.clamp(0, MAX_RETRY_AFTER_MS))
}

/// The delay after the `tries`-th failed attempt (from 1), with its jitter; `None`: the schedule is at its end. `chance` is any
/// number.
pub fn delay(delays_ms: &[i64], tries: usize, chance: u32) -> Option<i64> {
    delays_ms.get(tries.checked_sub(1)?).map(|ms| jittered(*ms, chance))
}

/// A fifth less to a fifth more.
pub fn jittered(ms: i64, chance: u32) -> i64 {
    let thousandths = 800 + i64::from(chance % 401);
    ms.saturating_mul(thousandths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_is_success_and_410_is_the_end() {
        let now = Timestamp(0);
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(outcome(status, None, now), Outcome::Delivered);
        }
        for status in [100, 199, 300, 301, 302, 304, 307, 308, 400, 401, 404, 409, 418, 500, 501, 505, 999] {
            assert_eq!(outcome(status, Some("60"), now), Outcome::Failed { after_ms: None }, "{status}");
        }
        assert_eq!(outcome(410, Some("60"), now), Outcome::Gone);
        for status in [429, 502, 503, 504] {
            assert_eq!(outcome(status, Some("60"), now), Outcome::Failed { after_ms: Some(60_000) });
            assert_eq!(outcome(status, None, now), Outcome::Failed { after_ms: None });
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        let now = Timestamp(784_111_777_000);
        let after = |text| match outcome(503, Some(text), now) {
            Outcome::Failed { after_ms } => after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(after("120"), Some(120_000));
        assert_eq!(after("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120_000));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "a time that is over asks for nothing");
        for far in ["99999999999999999999999", "604800", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(after(far), Some(MAX_RETRY_AFTER_MS), "{far}");
        }
        for strange in ["", "soon", "-5", "1.5", "5 s"] {
            assert_eq!(after(strange), None, "{strange}");
        }
    }

    #[test]
    fn the_schedule_spans_days_with_jitter_and_ends() {
        let all: Vec<i64> = (1..=9).map(|tries| delay(&DELAYS_MS, tries, 200).unwrap_or_default()).collect();
        assert_eq!(all, DELAYS_MS);
        assert_eq!(all.iter().sum::<i64>(), 272_105_000, "75 h 35 min 5 s, as the standard's table says");
        assert_eq!(delay(&DELAYS_MS, 10, 0), None);
        assert_eq!(delay(&DELAYS_MS, 0, 0), None);
        for chance in [0, 1, 200, 400, 401, u32::MAX] {
            let ms = jittered(1000, chance);
            assert!((800..=1200).contains(&ms), "{ms}");
        }
        assert!(jittered(1000, 0) < jittered(1000, 400));
    }
}
