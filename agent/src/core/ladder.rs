//! What is tried when a disk stops answering: read again, open the port anew, reset the USB device, ask a person.
//!
//! Each rung is tried a few times before the next. What it refuses to do: disturb a device that may still be at work. While an
//! attempt is open whose end is not known, the port is neither closed nor reset before the profile's longest time has passed,
//! because a device that is reset in the middle of signing may have signed. Reading again disturbs nothing and settles most; a
//! power-cycle is for a person only.

/// Failed readings on a rung before the next rung is tried. One CRC error is no news.
const FAILURES_A_RUNG: u32 = 3;

/// What to do about a reading that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Read again after a wait.
    Retry,
    /// Close the port and open it anew.
    Reopen,
    /// Reset the USB device, then open it anew.
    Reset,
    /// Nothing here helps: a person must look. Reading goes on, so that he sees at once that it helped.
    AskPerson,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The device does not answer, or not well.
    Silent,
    /// The line itself went: nothing is open that could be disturbed.
    Gone,
    /// The driver did not come back: it holds the port and may still write, so nothing may be opened beside it.
    Hung,
}

/// What a model allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The longest that a command may run in the device, milliseconds.
    pub longest_ms: u64,
    /// The device is on USB and can be reset.
    pub can_reset: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { longest_ms: 180_000, can_reset: false }
    }
}

/// Where one disk stands on the ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    rules: Rules,
    rung: Rung,
    /// Failures on this rung.
    failures: u32,
    /// Since when an attempt is open whose end is not known.
    open_since_ms: Option<u64>,
}

impl Ladder {
    /// At the foot.
    pub fn new(rules: Rules) -> Ladder {
        Ladder { rules, rung: Rung::Retry, failures: 0, open_since_ms: None }
    }

    /// Says whether an attempt is open. To be called before every decision: the time counts from the first call that says so,
    /// which is never before its command was sent.
    pub fn attempts(&mut self, any_open: bool, now_ms: u64) {
        self.open_since_ms = match (any_open, self.open_since_ms) {
            (false, _) => None,
            (true, since) => since.or(Some(now_ms)),
        };
    }

    /// Whether the port may be closed or reset now.
    pub fn may_disturb(&self, now_ms: u64) -> bool {
        self.open_since_ms.is_none_or(|since| now_ms.saturating_sub(since) >= self.rules.longest_ms)
    }

    /// A reading failed; what to do about it.
    pub fn failed(&mut self, failure: Failure, now_ms: u64) -> Rung {
        // Where nothing is open any more, opening disturbs nothing, and says by itself what is missing.
        if failure == Failure::Gone {
            return Rung::Reopen;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_A_RUNG {
            return if self.rung == Rung::AskPerson { Rung::AskPerson } else { Rung::Retry };
        }
        let next = match (self.rung, failure) {
            (Rung::AskPerson, _) | (_, Failure::Hung) => Rung::AskPerson,
            (Rung::Retry, _) => Rung::Reopen,
            (Rung::Reopen, _) if self.rules.can_reset => Rung::Reset,
            (Rung::Reopen | Rung::Reset, _) => Rung::AskPerson,
        };
        if matches!(next, Rung::Reopen | Rung::Reset) && !self.may_disturb(now_ms) {
            // It stays where it is, and climbs at the first failure after the time.
            return Rung::Retry;
        }
        self.rung = next;
        self.failures = 0;
        next
    }

    /// The disk gave a good reading: all is forgotten. Opening alone is none.
    pub fn answered(&mut self) {
        self.rung = Rung::Retry;
        self.failures = 0;
    }

    /// A person must look.
    pub fn asks(&self) -> bool {
        self.rung == Rung::AskPerson
    }
}

/// What to tell a person when nothing else is left.
pub const ASK: &str =
    "reading again and opening it anew did not help: look at cable and power, then switch the device off and on";

/// How often each rung was taken, for one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Read again.
    pub retries: u64,
    /// Opened anew.
    pub reopens: u64,
    /// Reset.
    pub resets: u64,
    /// A person was asked.
    pub asks: u64,
}

impl Counts {
    /// One more.
    pub fn count(&mut self, rung: Rung) {
        let counter = match rung {
            Rung::Retry => &mut self.retries,
            Rung::Reopen => &mut self.reopens,
            Rung::Reset => &mut self.resets,
            Rung::AskPerson => &mut self.asks,
        };
        *counter = counter.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climb(ladder: &mut Ladder, failure: Failure, times: usize, now_ms: u64) -> Vec<Rung> {
        (0..times).map(|_| ladder.failed(failure, now_ms)).collect()
    }

    use Rung::{AskPerson, Reopen, Reset, Retry};

    #[test]
    fn rungs_follow_each_other_and_a_good_reading_goes_back_to_the_foot() {
        let mut usb = Ladder::new(Rules { can_reset: true, ..Rules::default() });
        let all = [Retry, Retry, Reopen, Retry, Retry, Reset, Retry, Retry, AskPerson, AskPerson, AskPerson];
        assert_eq!(climb(&mut usb, Failure::Silent, 11, 0), all);
        assert!(usb.asks());
        usb.answered();
        assert!(!usb.asks());
        assert_eq!(climb(&mut usb, Failure::Silent, 3, 0), [Retry, Retry, Reopen]);
        let mut serial = Ladder::new(Rules::default());
        let all = [Retry, Retry, Reopen, Retry, Retry, AskPerson];
        assert_eq!(climb(&mut serial, Failure::Silent, 6, 0), all, "a serial port cannot be reset");
    }

    #[test]
    fn nothing_is_disturbed_while_a_young_attempt_is_open() {
        let mut ladder = Ladder::new(Rules { longest_ms: 180_000, can_reset: true });
        ladder.attempts(true, 1_000);
        for now_ms in [1_000, 90_000, 180_999] {
            ladder.attempts(true, now_ms);
            assert!(climb(&mut ladder, Failure::Silent, 20, now_ms).iter().all(|rung| *rung == Retry), "at {now_ms}");
        }
        assert_eq!(ladder.failed(Failure::Silent, 181_000), Reopen);
        // Its end became known: the next open attempt has its own time.
        ladder.attempts(false, 182_000);
        ladder.attempts(true, 183_000);
        assert!(climb(&mut ladder, Failure::Silent, 20, 183_001).iter().all(|rung| *rung == Retry));
        assert!(!ladder.may_disturb(362_999) && ladder.may_disturb(363_000));
    }

    #[test]
    fn a_line_that_went_is_opened_at_once_and_a_hung_driver_never_beside_itself() {
        let mut ladder = Ladder::new(Rules { can_reset: true, ..Rules::default() });
        ladder.attempts(true, 0);
        assert_eq!(climb(&mut ladder, Failure::Gone, 5, 0), [Reopen; 5], "nothing is open that could be disturbed");
        let all = [Retry, Retry, AskPerson, AskPerson];
        assert_eq!(climb(&mut ladder, Failure::Hung, 4, 1_000_000), all);
    }

    #[test]
    fn rungs_are_counted() {
        let mut counts = Counts::default();
        for rung in [Retry, Retry, Reopen, Reset, AskPerson] {
            counts.count(rung);
        }
        assert_eq!(counts, Counts { retries: 2, reopens: 1, resets: 1, asks: 1 });
    }
}
