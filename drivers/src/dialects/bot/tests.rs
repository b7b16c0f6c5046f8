//! The driver against a double of the device, written for these tests alone: vectors, calls, and every point of failure.

#![allow(clippy::unwrap_used)]

mod calls;
mod double;
mod failures;
mod operations;
mod tokens;
mod vectors;
