//! Being a service: the background without systemd, the guided installation, and what the doctor says of broken installations.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../broker/mod.rs"]
mod broker;
mod daemon;
mod doctor;
mod install;
mod page;
#[path = "../pc/mod.rs"]
mod pc;
mod support;
