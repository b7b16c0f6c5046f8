//! How an issued invoice reaches people: mail through a real SMTP server, short messages and card packs through fakes that
//! refuse as the real ones do, public links, codes, and what consumers find and see of it all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cards;
mod codes;
mod find;
mod kiosk;
mod links;
mod mails;
mod offline;
#[path = "../compatible/platform.rs"]
#[allow(dead_code)]
mod platform;
mod rig;
mod schemes;
mod states;
mod texts;
mod titles;
mod wishes;
