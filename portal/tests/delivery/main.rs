//! How an issued invoice reaches people: mail through a real SMTP server, short messages and card packs through fakes that
//! refuse as the real ones do, public links, and codes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cards;
mod codes;
mod links;
mod mails;
mod offline;
#[path = "../compatible/platform.rs"]
#[allow(dead_code)]
mod platform;
mod rig;
mod schemes;
mod texts;
