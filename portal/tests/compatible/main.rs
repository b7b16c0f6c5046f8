//! The compatible interfaces as clients of 用友税务云 see them: golden traffic, every rule broken once, and no word of another
//! serial number.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod golden;
mod phrases;
mod platform;
mod rules;
mod steps;
mod told;
mod transcript;
mod variants;
