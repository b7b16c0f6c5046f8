//! Who works on something that one person at a time shall work on: reservations and tasks.
//!
//! A hold ends by itself, so that nobody who went home keeps the others away. It protects from double work, not from a second
//! invoice: that is what serial numbers do.

use serde::{Deserialize, Serialize};

/// Somebody has it for so long without renewing, milliseconds.
pub const HOLD_MS: i64 = 10 * 60 * 1000;

/// Who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The person's account.
    pub person: String,
    /// Until then, milliseconds.
    pub until: i64,
}

impl Hold {
    /// This person's, from now on.
    pub fn of(person: &str, now: i64) -> Hold {
        Hold { person: person.to_owned(), until: now + HOLD_MS }
    }

    /// It has not ended by itself.
    pub fn lasts(&self, now: i64) -> bool {
        now < self.until
    }

    /// This person has it now.
    pub fn is_of(&self, person: &str, now: i64) -> bool {
        self.person == person && self.lasts(now)
    }

    /// Somebody else has it now.
    pub fn is_of_another(&self, person: &str, now: i64) -> bool {
        self.person != person && self.lasts(now)
    }
}
