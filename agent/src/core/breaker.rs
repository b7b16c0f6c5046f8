//! Health of one disk: when to try again, and when not to.
//!
//! What it refuses to do: try a password again that was refused (that stop is durable and only a person lifts it), or turn
//! waiting into an outcome: a breaker delays, it decides nothing about an attempt.

use taxdisk_protocol::class::DeviceClass;

/// First wait after a failure, milliseconds.
const FIRST_MS: u64 = 1_000;
/// Longest wait between two readings of a disk that does not answer, milliseconds.
const LONGEST_MS: u64 = 30_000;
/// Wait after a refusal whose end no reading shows (locked, offline limits, clock), milliseconds: then one job may try.
const HOLD_FIRST_MS: u64 = 60_000;
/// Longest such wait, milliseconds.
const HOLD_LONGEST_MS: u64 = 600_000;
/// Failures in a row after which the disk is no longer called ready. One CRC error is no news.
const UNREADY_AFTER: u32 = 2;

/// Why the disk is not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Class.
    pub class: DeviceClass,
    /// For people.
    pub text: String,
}

/// The health of one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    retry_at_ms: u64,
    trouble: Option<Trouble>,
    holds: u32,
    hold_until_ms: u64,
    held: Option<Trouble>,
}

impl Breaker {
    /// A reading failed.
    pub fn failed(&mut self, class: DeviceClass, text: String, now_ms: u64) {
        let wait_ms = FIRST_MS.checked_shl(self.failures).unwrap_or(LONGEST_MS).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        self.retry_at_ms = now_ms.saturating_add(wait_ms);
        self.trouble = Some(Trouble { class, text });
    }

    /// A reading succeeded.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.retry_at_ms = 0;
        self.trouble = None;
    }

    /// An attempt was proven not issued for a trouble of the disk that reading does not show.
    pub fn hold(&mut self, class: DeviceClass, text: String, now_ms: u64) {
        let wait_ms = HOLD_FIRST_MS.checked_shl(self.holds).unwrap_or(HOLD_LONGEST_MS).min(HOLD_LONGEST_MS);
        self.holds = self.holds.saturating_add(1);
        self.hold_until_ms = now_ms.saturating_add(wait_ms);
        self.held = Some(Trouble { class, text });
    }

    /// An invoice was issued, or a person acted: nothing is held.
    pub fn issued(&mut self) {
        self.holds = 0;
        self.held = None;
    }

    /// The time of the next try, if it lies ahead.
    pub fn wait_until_ms(&self, now_ms: u64) -> Option<u64> {
        (self.retry_at_ms > now_ms).then_some(self.retry_at_ms)
    }

    /// The end of a hold, if it lies ahead.
    pub fn held_until_ms(&self, now_ms: u64) -> Option<u64> {
        (self.held.is_some() && self.hold_until_ms > now_ms).then_some(self.hold_until_ms)
    }

    /// Why nothing may begin now.
    pub fn unready(&self, now_ms: u64) -> Option<&Trouble> {
        let failing = self.trouble.as_ref().filter(|_| self.failures >= UNREADY_AFTER);
        failing.or_else(|| self.held.as_ref().filter(|_| self.hold_until_ms > now_ms))
    }
}

/// Does a proven *not issued* of this class say something about the disk, so that the next job would fare no better?
pub fn is_held(class: DeviceClass) -> bool {
    match class {
        DeviceClass::Locked
        | DeviceClass::OverOfflineTime
        | DeviceClass::OverOfflineCount
        | DeviceClass::OverOfflineAmount
        | DeviceClass::Clock
        | DeviceClass::DeviceFault => true,
        // Shown by reading the stock, the content's fault, stopped elsewhere, or of this one exchange only. A disk that was
        // absent is back as soon as it can be opened and read: a till must not wait for a minute that nobody needs.
        DeviceClass::NoStock
        | DeviceClass::NotPresent
        | DeviceClass::OverInvoiceLimit
        | DeviceClass::BadPassword
        | DeviceClass::NumberMismatch
        | DeviceClass::Duplicate
        | DeviceClass::InProgress
        | DeviceClass::Unsupported
        | DeviceClass::InvalidRequest
        | DeviceClass::Link => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_caps_and_end_with_an_answer() {
        let mut breaker = Breaker::default();
        let mut waits = Vec::new();
        for _ in 0..40 {
            breaker.failed(DeviceClass::Link, "silence".into(), 0);
            waits.push(breaker.wait_until_ms(0).unwrap_or(0));
        }
        assert_eq!(waits[..6], [1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
        assert_eq!(waits[39], 30_000);
        assert!(breaker.unready(0).is_some());
        breaker.answered();
        assert_eq!((breaker.wait_until_ms(0), breaker.unready(0)), (None, None));
        breaker.hold(DeviceClass::Locked, "locked".into(), 0);
        assert!(breaker.unready(59_999).is_some(), "a hold was left early");
        assert!(breaker.unready(60_000).is_none(), "a hold does not end");
    }
}
