//! The broker: the durable queue and ledger of issuing jobs.
//!
//! Three layers, each refusing what the others do. [`core`] decides and knows no socket, file, clock or task. [`store`] keeps and
//! decides nothing. [`ledger`] is the shell between them: one writer that commits many callers' requests together and answers
//! only
//! afterwards. The edge (HTTP, agent link, TLS) talks to [`ledger::Ledger`] alone.
//!
//! Read first: [`ledger::Ledger`].
#![forbid(unsafe_code)]

pub mod cli;
pub mod cluster;
pub mod config;
pub mod console;
pub mod core;
pub mod fault;
pub mod hooks;
pub mod http;
pub mod hub;
pub mod ledger;
pub mod logging;
pub mod metrics;
pub mod ready;
pub mod serve;
pub mod store;
pub mod tls;
pub mod traces;
pub mod updates;
