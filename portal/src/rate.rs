//! How many requests each caller may send: a token bucket for every appid, so that one caller's loop slows no other caller.
//!
//! Kept as the generic cell rate algorithm does (ITU-T I.371): one instant for a caller, at which his bucket will be full again.
//! In memory alone: a restart fills the buckets.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The buckets. There are as many as callers with a good token, so never more than registered appids.
#[derive(Debug)]
pub struct Rates {
    /// A request's share of a second.
    each: Duration,
    /// What a full bucket holds, in time.
    burst: Duration,
    full_at: Mutex<HashMap<String, Instant>>,
}

impl Rates {
    /// So many requests a second in the long run, and so many at once after a rest.
    pub fn new(requests_per_s: u32, burst_requests: u32) -> Rates {
        let each = Duration::from_secs(1) / requests_per_s.max(1);
        Rates { each, burst: each.saturating_mul(burst_requests.max(1)), full_at: Mutex::default() }
    }

    /// Takes one request out of a caller's bucket.
    ///
    /// # Errors
    /// It is empty: he may come again after so many whole seconds. Nothing is taken then.
    pub fn admit(&self, appid: &str, now: Instant) -> Result<(), u64> {
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(appid).copied().unwrap_or(now).max(now) + self.each;
        let over = full_at.duration_since(now).saturating_sub(self.burst);
        if !over.is_zero() {
            return Err(over.as_secs() + 1);
        }
        match buckets.get_mut(appid) {
            Some(bucket) => *bucket = full_at,
            None => drop(buckets.insert(appid.to_owned(), full_at)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_his_burst_then_his_rate_and_takes_nothing_from_others() {
        let (rates, start) = (Rates::new(10, 3), Instant::now());
        let taken =
            |appid: &str, ms: u64| (0..10).take_while(|_| rates.admit(appid, start + Duration::from_millis(ms)).is_ok()).count();
        assert_eq!(taken("A", 0), 3);
        assert_eq!(rates.admit("A", start), Err(1));
        assert_eq!(taken("B", 0), 3, "another caller has a bucket of his own");
        // A refusal takes nothing: the next share comes when it would have come.
        assert_eq!((taken("A", 99), taken("A", 100), taken("A", 350)), (0, 1, 2));
        assert_eq!(taken("A", 60_000), 3, "a rest fills the bucket, and no more");
        let slow = Rates::new(1, 1);
        assert_eq!(slow.admit("A", start), Ok(()));
        assert_eq!(slow.admit("A", start), Err(2), "at least the wait, in whole seconds");
    }
}
