//! The heart of the agent: where exactly-once is decided.
//!
//! [`core`] decides and touches nothing (no socket, file, clock or thread); [`journal`] makes records durable; [`worker`] is
//! the one thread per disk that performs what the core asks for, one effect at a time. The program around it (link,
//! configuration, commands) is in the binary.
//!
//! What this crate refuses to do: hand a job to a disk twice, take silence for an answer, or tell the broker anything that is
//! not durable here. Read first: `core::disk::DiskCore`, `core::settle`, [`journal::Journal`], [`worker::Worker`].
#![forbid(unsafe_code)]

pub mod core;
pub mod fault;
pub mod journal;
pub mod worker;
