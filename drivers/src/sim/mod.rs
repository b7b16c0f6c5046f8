//! The device side: a persistent simulated tax disk behind a real pseudo-terminal.
//!
//! [`SimDisk`] is the disk whatever dialect is spoken to it, [`zc`] the device side of the serial protocol as a state
//! machine without I/O.
//!
//! It shares no code with the drivers and never looks at them: both are written from the same facts, so that one's mistake
//! shows in the other's tests. Its signatures and passwords are made up; it must never stand where a legal invoice is wanted.

pub mod clock;
pub mod config;
pub mod disk;
pub mod faults;
pub mod issue;
pub mod ledger;
pub mod period;
pub mod refusal;
pub mod zc;

pub use self::config::SimConfig;
pub use self::disk::SimDisk;
pub use self::ledger::{Ledger, LedgerEntry};
