//! How an issued invoice reaches people: mail through a real SMTP server, short messages and card packs through fakes that
//! refuse as the real ones do, and public links.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cards;
mod links;
mod mails;
#[path = "../compatible/platform.rs"]
#[allow(dead_code)]
mod platform;
mod rig;
mod texts;
