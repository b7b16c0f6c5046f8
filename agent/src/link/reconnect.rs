//! When to try the broker again: soon after a link that worked, then ever later up to a minute, always with jitter, so that
//! ten thousand agents do not come back in the same second after a restart of the broker.

use std::time::Duration;

use rand::Rng;

/// The longest wait between two tries.
pub const MAX_DELAY: Duration = Duration::from_secs(60);
/// A link that was up this long counts as good: the schedule begins anew.
pub const GOOD_AFTER: Duration = Duration::from_secs(10);
/// A link that came up and broke at once raises the wait no further than this step, so that a broker that is being restarted
/// often is found again within seconds.
const JOINED_STEP_MAX: u32 = 3;

/// The schedule's memory.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    step: u32,
}

impl Schedule {
    /// The wait after a try that never joined. The first is short: most failures are a broker that restarts.
    pub fn after_failure<R: Rng>(&mut self, rng: &mut R) -> Duration {
        self.step = self.step.saturating_add(1);
        delay(self.step, rng)
    }

    /// The wait after a link that had joined and was up this long.
    pub fn after_link<R: Rng>(&mut self, up: Duration, rng: &mut R) -> Duration {
        self.step = if up >= GOOD_AFTER { 1 } else { self.step.saturating_add(1).min(JOINED_STEP_MAX) };
        delay(self.step, rng)
    }

    /// The wait after the broker refused this agent: a person has to act, so no hurry.
    pub fn after_refusal<R: Rng>(&mut self, rng: &mut R) -> Duration {
        self.step = u32::MAX;
        delay(self.step, rng)
    }
}

/// Step 1: up to 0.5 s; then 1, 2, 4 … 60 s; between half of it and all of it.
fn delay<R: Rng>(step: u32, rng: &mut R) -> Duration {
    let doubled = 500u64.checked_shl(step.saturating_sub(1).min(20)).unwrap_or(u64::MAX);
    let full_ms = doubled.min(MAX_DELAY.as_millis() as u64);
    let least_ms = if step <= 1 { full_ms / 5 } else { full_ms / 2 };
    Duration::from_millis(rng.gen_range(least_ms..=full_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn waits_double_up_to_a_minute_and_never_beyond() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut schedule = Schedule::default();
            let full = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
            for (index, full_ms) in full.into_iter().enumerate() {
                let wait = schedule.after_failure(&mut rng).as_millis();
                let least = if index == 0 { full_ms / 5 } else { full_ms / 2 };
                assert!((least..=full_ms).contains(&wait), "try {index}: {wait} ms");
            }
            assert!(schedule.after_refusal(&mut rng) >= MAX_DELAY / 2);
            assert!(schedule.after_link(GOOD_AFTER, &mut rng) <= Duration::from_millis(500), "a good link starts anew");
            for _ in 0..10 {
                assert!(
                    schedule.after_link(Duration::ZERO, &mut rng) <= Duration::from_secs(2),
                    "a link that flaps is tried again soon"
                );
            }
        }
    }

    #[test]
    fn two_agents_do_not_wait_alike() {
        let waits: std::collections::BTreeSet<_> =
            (0..50).map(|seed| delay(8, &mut StdRng::seed_from_u64(seed)).as_millis()).collect();
        assert!(waits.len() > 40, "{waits:?}");
    }
}
