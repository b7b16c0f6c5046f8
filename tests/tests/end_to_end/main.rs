//! The real binaries from end to end. One test binary, so that these tests, which wait for devices most of the time, wait side by
//! side.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs)]

mod buyers;
mod certificates;
mod claims;
mod cluster;
mod daemon;
mod disk_faults;
mod figures;
mod first_light;
mod fleet;
mod kill;
mod networks;
mod operations;
mod pauses;
mod portal;
mod portal_faults;
mod portal_storm;
mod portal_walk;
mod restore;
mod samples;
mod security;
mod settling;
mod traces;
mod undoing;
mod updates;
mod webhooks;
