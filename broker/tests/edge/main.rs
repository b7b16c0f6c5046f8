//! The broker's edge over real sockets: a broker in this process with a ledger of its own, a plain HTTP client and agents that
//! are played by hand.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod administration;
mod auth;
mod batch;
mod bundle;
mod buyers;
mod console;
mod enrolling;
mod events;
mod hostile;
mod input;
mod jobs;
mod link;
mod metrics;
mod operations;
mod pauses;
mod process;
mod receiver;
mod support;
mod surface;
mod tls;
mod tokens;
mod tunnel;
mod two_persons;
mod updates;
mod webhooks;
