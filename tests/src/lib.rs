//! The rig of the end-to-end tests: real binaries, a real pseudo-terminal, real sockets, and the simulated disk's own ledger
//! as the oracle.
//!
//! Read first: [`rig::Rig`] (one broker, one disk, agents) and [`oracle`] (what must hold at the end of every test). Nothing
//! here waits for a fixed time: every wait polls a condition under a generous bound and says what it saw when it gives up.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs)]

pub mod api;
pub mod cluster;
pub mod cutter;
pub mod drive;
pub mod figures;
pub mod fleet;
pub mod hot;
pub mod jobs;
pub mod load;
pub mod model;
pub mod oracle;
pub mod otlp;
pub mod patroni;
pub mod portal;
pub mod postgres;
pub mod power;
pub mod process;
pub mod rig;
pub mod sim;
