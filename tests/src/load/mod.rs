//! Load for measurements: callers and agents that cost little themselves, and what they and the programs under test used.
//!
//! One thread carries all callers and agents of a run, with bytes that were made before it began: on a machine of two cores a
//! generator that takes one of them measures itself. Its share is a figure of every run.
//!
//! Read first: [`closed_loop`], [`http::Connection`], [`agents::Agent`].

#![allow(clippy::float_arithmetic, reason = "rates are for people")]

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub mod agents;
pub mod http;
pub mod record;
pub mod target;
pub mod usage;

/// What a run of callers came to.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Calls that were answered.
    pub calls: u64,
    /// From the first call to the last answer.
    pub time: Duration,
    /// Of each call; sorted.
    pub latencies: Vec<Duration>,
}

impl Sample {
    /// Calls a second.
    pub fn rate(&self) -> f64 {
        self.calls as f64 / self.time.as_secs_f64()
    }

    /// The latency that so many of a hundred calls were below; nothing was measured: zero.
    pub fn percentile(&self, percent: usize) -> Duration {
        let index = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(index).copied().unwrap_or_default()
    }
}

/// Lets every caller call, one call after the other, until `time` is over. Each call is counted once it is answered. Runs inside
/// a `LocalSet`.
///
/// # Panics
/// When a caller does: a failed call is no figure.
pub async fn closed_loop<C: 'static>(callers: Vec<C>, time: Duration, call: impl AsyncFn(&mut C) + Clone + 'static) -> Sample {
    let began = Instant::now();
    let mut running = JoinSet::new();
    for mut caller in callers {
        let call = call.clone();
        running.spawn_local(async move {
            let mut latencies = Vec::new();
            while began.elapsed() < time {
                let called = Instant::now();
                call(&mut caller).await;
                latencies.push(called.elapsed());
            }
            latencies
        });
    }
    let mut latencies: Vec<Duration> = running.join_all().await.into_iter().flatten().collect();
    let time = began.elapsed();
    latencies.sort_unstable();
    Sample { calls: latencies.len() as u64, time, latencies }
}

/// Serial numbers as callers make them: unique, and in no order.
#[derive(Debug, Clone)]
pub struct Serials {
    run: u64,
    next: u64,
}

impl Serials {
    /// Those of one caller of one run; `run` and `caller` tell them from all others.
    pub fn new(run: u32, caller: u32) -> Serials {
        Serials { run: u64::from(run) << 32 | u64::from(caller), next: 0 }
    }

    /// The next one, 20 letters and digits.
    pub fn take(&mut self) -> String {
        self.next += 1;
        // A permutation of 64 bits (the finaliser of SplitMix64), so that no two are equal, with four digits of the run.
        let mut mixed = (self.run & 0xffff) << 48 | self.next << 16 | (self.run >> 32 & 0xffff);
        for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb)] {
            mixed = (mixed ^ mixed >> shift).wrapping_mul(factor);
        }
        mixed ^= mixed >> 31;
        format!("{mixed:016X}{:04X}", self.run >> 32 & 0xffff)
    }
}

/// A job as a shop sends it: one line, a buyer who is a person. About 350 bytes.
pub fn toll_of(seller: &str, serial: &str) -> serde_json::Value {
    let mut job = crate::jobs::toll(serial);
    job["seller"] = seller.into();
    job
}

/// The median of some rates; of an even number the higher one of the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The check character of a taxpayer number of 18 characters (GB 32100-2015) behind its first 17.
pub fn taxpayer(first: &str) -> String {
    const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let mut weight = 1;
    let mut sum = 0;
    for character in first.bytes() {
        let value =
            ALPHABET.iter().position(|known| *known == character).expect("digits and capital letters without I, O, S, V, Z");
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    let check = (31 - sum % 31) % 31;
    format!("{first}{}", char::from(ALPHABET[check]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_of_all_runs_and_callers_differ() {
        let mut seen = std::collections::HashSet::new();
        for run in 0..3 {
            for caller in 0..200 {
                let mut serials = Serials::new(run, caller);
                for _ in 0..50 {
                    let serial = serials.take();
                    assert!(serial.len() == 20 && seen.insert(serial));
                }
            }
        }
    }

    #[test]
    fn taxpayer_numbers_are_those_of_the_rules() {
        assert_eq!(taxpayer("91110000MA0000001"), crate::jobs::SELLER);
        for index in 0..500 {
            let number = taxpayer(&format!("9111000{index:010}"));
            assert!(number.parse::<taxdisk_protocol::ids::TaxpayerNumber>().is_ok(), "{number}");
        }
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let latencies: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let sample = Sample { calls: 100, time: Duration::from_secs(2), latencies };
        assert_eq!((sample.percentile(50), sample.percentile(99)), (Duration::from_millis(51), Duration::from_millis(100)));
        assert_eq!(sample.rate(), 50.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
