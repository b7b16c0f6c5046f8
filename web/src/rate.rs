//! How many requests each caller may send: a token bucket for every appid, so that one caller's loop slows no other caller.
//!
//! Kept as the generic cell rate algorithm does (ITU-T I.371): one instant for a caller, at which his bucket will be full again.
//! In memory alone: a restart fills the buckets.

use std::collections::HashMap;
use std::net::IpAddr;
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

/// Addresses that are counted at the same time. Beyond that nobody new is let in, until buckets are full again and forgotten.
const ADDRESSES_MAX: usize = 64 * 1024;

/// What people may call without a key: a bucket for every client address, and one for all addresses together.
#[derive(Debug)]
pub struct Strangers {
    each: Rates,
    all: Rates,
}

impl Strangers {
    /// Requests a minute in the long run, and so many at once after a rest, from one address and from all of them.
    pub fn new(each: PerMinute, all: PerMinute) -> Strangers {
        let rates = |rate: PerMinute| Rates {
            each: Duration::from_secs(60) / rate.requests.max(1),
            burst: Duration::from_secs(60) / rate.requests.max(1) * rate.burst.max(1),
            full_at: Mutex::default(),
        };
        Strangers { each: rates(each), all: rates(all) }
    }

    /// Takes one request out of the bucket of an address, then out of the one of all: whoever has used up his own takes nothing
    /// from others.
    ///
    /// # Errors
    /// One of them is empty: come again after so many whole seconds.
    pub fn admit(&self, address: Option<IpAddr>, now: Instant) -> Result<(), u64> {
        let address = address.map(network).unwrap_or_default();
        self.each.forget_full(&address, now)?;
        self.each.admit(&address, now)?;
        self.all.admit("", now)
    }
}

/// A rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerMinute {
    /// In the long run, a minute.
    pub requests: u32,
    /// At once, after a rest.
    pub burst: u32,
}

/// What is counted as one address: of IPv6 the network of 64 bits, which one subscriber has whole.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

impl Rates {
    /// Room for one more caller: full buckets say nothing, so they are forgotten.
    fn forget_full(&self, caller: &str, now: Instant) -> Result<(), u64> {
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() < ADDRESSES_MAX || buckets.contains_key(caller) {
            return Ok(());
        }
        buckets.retain(|_, full_at| *full_at > now);
        if buckets.len() < ADDRESSES_MAX { Ok(()) } else { Err(self.each.as_secs() + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_own_bucket_under_one_for_all_and_no_list_grows_for_ever() {
        let rate = |requests, burst| PerMinute { requests, burst };
        let (few, start) = (Strangers::new(rate(6, 2), rate(60, 5)), Instant::now());
        let from = |text: &str| text.parse().ok();
        let taken =
            |text: &str, s: u64| (0..10).take_while(|_| few.admit(from(text), start + Duration::from_secs(s)).is_ok()).count();
        assert_eq!((taken("192.0.2.1", 0), taken("::ffff:192.0.2.1", 0)), (2, 0), "written in two ways, one address");
        assert_eq!((taken("2001:db8:0:1::1", 0), taken("2001:db8:0:1::2", 0)), (2, 0), "one subscriber");
        assert_eq!((taken("2001:db8:0:2::1", 0), taken("192.0.2.3", 0)), (1, 0), "five of all");
        assert_eq!(taken("192.0.2.1", 10), 1, "ten seconds later one more");
        let many = Strangers::new(rate(1, 1), rate(u32::MAX, u32::MAX));
        for address in 0..u32::try_from(ADDRESSES_MAX).unwrap_or(u32::MAX) {
            assert_eq!(many.admit(Some(IpAddr::from(address.to_be_bytes())), start), Ok(()));
        }
        assert!(many.admit(from("203.0.113.9"), start).is_err(), "there is a bound");
        assert_eq!(many.admit(from("203.0.113.9"), start + Duration::from_secs(61)), Ok(()));
        assert_eq!(many.each.full_at.lock().map(|buckets| buckets.len()).unwrap_or_default(), 1, "full buckets are forgotten");
    }

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
