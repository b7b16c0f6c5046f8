//! What needs more than the ladder has: servers of other makers, or programs of an older version. `cargo xtask test-long` runs it
//! and makes what it needs.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs)]

mod api;
mod packages;
mod patroni;
mod torture;
mod upgrade;
mod windows;
