//! The ZC dialect: the serial protocol between a cash register and a converter with a tax disk inside
//! (device-serial-zc.md).
//!
//! From below: [`crc`] and [`frame`] make frames, [`exchange`] one conversation over a [`crate::transport::ByteLine`],
//! [`fields`] and [`commands`] its content, [`errors`] the meaning of refusals. [`ZcDisk`] puts them behind
//! [`crate::disk::TaxDisk`]. Read [`exchange::Progress`] first: what may count as "not sent" rests on it.
//!
//! What it refuses to do: send a changing command twice, take silence or an unknown text for "not issued", cut or replace
//! content, print a password anywhere.

pub mod anonymise;
mod changes;
pub mod commands;
mod compare;
pub mod config;
pub mod crc;
pub mod disk;
pub mod errors;
pub mod exchange;
mod expresses;
pub mod fields;
pub mod frame;
pub mod redact;
mod xml;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use config::{Framing, ZcConfig};
pub use disk::ZcDisk;
pub(in crate::dialects) use redact::mask_fields;
pub use redact::redact_frame;
