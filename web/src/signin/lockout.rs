//! How long somebody who guesses waits: the first failures are free, then the wait doubles with each.
//!
//! An attempt is counted before the password is looked at and forgotten when it was right, so that a hundred attempts at once are
//! a hundred attempts. An attempt that comes too early is refused and not counted: a locked account opens again by itself.

/// A failure is forgotten after so long without another one, milliseconds.
pub const FORGOTTEN_MS: i64 = 24 * 3600 * 1000;
/// The longest wait, milliseconds: whoever is kept out by another's guessing is let in again within a coffee.
pub const WAIT_MAX_MS: i64 = 15 * 60 * 1000;
/// The first wait, milliseconds.
const WAIT_FIRST_MS: i64 = 1000;

/// Attempts that were not proven right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// How many in a row.
    pub count: u32,
    /// When the latest was, milliseconds.
    pub last_at: i64,
}

/// Whose attempts are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Of one account, whoever tries.
    Account,
    /// Of one address, whatever it tries. Many people may stand behind one address, so more is free.
    Address,
}

impl Whose {
    fn free(self) -> u32 {
        match self {
            Whose::Account => 5,
            Whose::Address => 30,
        }
    }
}

impl Failures {
    /// With one more attempt, if it may be made now.
    ///
    /// # Errors
    /// Milliseconds until it may.
    pub fn attempt(self, whose: Whose, now: i64) -> Result<Failures, i64> {
        if now.saturating_sub(self.last_at) >= FORGOTTEN_MS {
            return Ok(Failures { count: 1, last_at: now });
        }
        let over = self.count.checked_sub(whose.free());
        let wait = over.map_or(0, |over| WAIT_FIRST_MS.saturating_mul(1 << over.min(20)).min(WAIT_MAX_MS));
        let left = self.last_at.saturating_add(wait).saturating_sub(now);
        // A clock that was set back must not lock anybody out for longer than the wait itself.
        if left > 0 {
            return Err(left.min(wait));
        }
        Ok(Failures { count: self.count.saturating_add(1), last_at: now })
    }

    /// With one attempt fewer: it was right. Those of others from the same address stay, or one good password would pay for
    /// guesses at all the rest; and an office whose people all sign in well is never made to wait.
    #[must_use]
    pub fn right(self) -> Failures {
        Failures { count: self.count.saturating_sub(1), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_free_then_the_wait_doubles_to_its_end() {
        let mut failures = Failures::default();
        for _ in 0..5 {
            failures = failures.attempt(Whose::Account, 1).unwrap_or_default();
        }
        assert_eq!(failures.count, 5);
        assert_eq!(failures.attempt(Whose::Account, 1), Err(1000));
        let sixth = failures.attempt(Whose::Account, 1001).unwrap_or_default();
        assert_eq!((sixth.count, sixth.attempt(Whose::Account, 1001)), (6, Err(2000)));
        let many = Failures { count: 400, last_at: 0 };
        assert_eq!(many.attempt(Whose::Account, 0), Err(WAIT_MAX_MS));
        assert!(many.attempt(Whose::Account, WAIT_MAX_MS).is_ok());
        assert_eq!(failures.attempt(Whose::Address, 1).map(|known| known.count), Ok(6), "an address has more");
    }

    #[test]
    fn a_right_attempt_is_taken_back_and_pays_for_no_other() {
        let mut address = Failures::default();
        for now in 0..100 {
            address = address.attempt(Whose::Address, now).unwrap_or(Failures { count: u32::MAX, last_at: now }).right();
        }
        assert_eq!(address.count, 0, "a hundred people who sign in well");
        let guessed = Failures { count: 40, last_at: 0 };
        let later = guessed.attempt(Whose::Address, WAIT_MAX_MS).unwrap_or_default().right();
        assert_eq!(later.count, 40, "a good password in between opens no way for guesses");
        assert_eq!(Failures::default().right().count, 0);
    }

    #[test]
    fn a_day_later_it_is_forgotten_and_a_clock_set_back_locks_nobody_out() {
        let known = Failures { count: 9, last_at: 1_000_000 };
        assert_eq!(known.attempt(Whose::Account, 1_000_000 + FORGOTTEN_MS).map(|known| known.count), Ok(1));
        assert_eq!(known.attempt(Whose::Account, 0), Err(16_000));
    }
}
