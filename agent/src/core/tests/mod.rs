//! The core against a disk in memory that is not the simulator, and a broker of a few lines. The disk's ledger is the oracle.

#![allow(clippy::unwrap_used)]

mod crash;
mod fake;
mod found;
mod operations;
mod recount;
mod recovery;
mod remote;
mod scenarios;
mod steps;
mod undoing;
mod world;
