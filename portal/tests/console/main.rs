//! The console, over a real portal: who gets in, who may do what, and what pages say.
#![allow(clippy::unwrap_used, dead_code)]

#[path = "../compatible/platform.rs"]
mod platform;

mod abuse;
mod browser;
mod codes;
mod factor;
mod files;
mod issue;
mod pages;
mod part_red;
mod reports;
mod reservations;
mod rights;
mod settings;
mod sign_in;
mod tasks;
