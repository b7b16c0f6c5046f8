//! The heart of the agent: where exactly-once is decided.
//!
//! [`core`] decides and touches nothing (no socket, file, clock or thread); [`journal`] makes records durable; [`worker`] is
//! the one thread per disk that performs what the core asks for, one effect at a time. Around them is the program: [`cli`]
//! and [`commands`], [`link`] to the broker, [`run`] which joins link and workers, [`doctor`], [`update`].
//!
//! What this crate refuses to do: hand a job to a disk twice, take silence for an answer, or tell the broker anything that is
//! not durable here. Read first: `core::disk::DiskCore`, `core::settle`, [`journal::Journal`], [`worker::Worker`].
#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod core;
pub mod daemon;
pub mod doctor;
pub mod enroll;
pub mod failure;
pub mod fault;
pub mod hotplug;
pub mod identity;
pub mod install;
pub mod journal;
pub mod known;
pub mod link;
pub mod logging;
pub mod platform;
pub mod ports;
pub mod probe;
pub mod ready;
pub mod recording;
pub mod retire;
pub mod rotate;
pub mod run;
pub mod secrets;
pub mod status;
pub mod tls;
mod traces;
pub mod update;
pub mod version;
pub mod worker;
