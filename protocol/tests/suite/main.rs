//! Tests of the crate from outside, in one binary.
#![allow(clippy::unwrap_used)]

mod api_page;
mod breaches;
mod documents;
mod expressible;
mod frames;
mod hashes;
mod making;
mod round_trip;
mod worked_examples;
