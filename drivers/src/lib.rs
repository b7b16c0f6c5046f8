//! Tax disk drivers.
//!
//! [`disk::TaxDisk`] is what the agent sees of a disk; [`dialects`] holds one folder per command language, [`transport`] the
//! byte streams under them, [`actor`] the one thread that owns a disk. [`sim`] is the device side: a persistent simulated
//! disk and, per dialect, what the device would answer.
//!
//! What this crate refuses to do: decide whether a job may be issued, retried or adopted. It says what the device said and
//! what is certain about it; the agent's core decides.
//!
//! [`system`] is all that differs between operating systems. `sim`, and the suites over it, stand on pseudo-terminals and
//! are built
//! on Unix only.
//!
//! The driver side and `sim` are written from the same facts and share no code: neither may use the other.
#![forbid(unsafe_code)]

pub mod actor;
#[cfg(unix)]
pub mod conformance;
pub mod dialects;
pub mod discover;
pub mod disk;
#[cfg(unix)]
pub mod hostile;
pub mod operation;
pub mod profile;
mod redact;
pub mod secret;
#[cfg(unix)]
pub mod sim;
pub mod system;
pub mod transport;
