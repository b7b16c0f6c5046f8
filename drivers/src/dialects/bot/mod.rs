//! The profile taxdisk-bot: a USB tax disk behind bulk-only mass storage (device-xml-and-usb.md, part C.4).
//!
//! From below: `cdb` makes and reads the bytes, `session` sends one command under a token and fetches its answer, [`BotDisk`]
//! puts them behind [`crate::disk::TaxDisk`]. Contents are NISEC documents for everything that concerns invoices, and the short
//! fixed fields of the serial protocol for the rest. Read `session` first: what may count as "not sent" rests on it.
//!
//! What it refuses to do: send a changing command twice, also under the same token; take an answer that names another token,
//! a lost or an unknown one for "not issued"; adopt an answer about another number; print a password anywhere.

mod cdb;
mod changes;
pub mod config;
pub mod disk;
mod expresses;
mod redact;
mod session;

#[cfg(test)]
mod tests;

pub use config::{BotConfig, Timings};
pub use disk::BotDisk;
pub use redact::{anonymise, mask_command, token_floor};
