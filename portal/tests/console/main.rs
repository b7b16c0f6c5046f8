//! The console, over a real portal: who gets in, who may do what, and what pages say.
#![allow(clippy::unwrap_used, dead_code)]

#[path = "../compatible/platform.rs"]
mod platform;

mod browser;
mod codes;
mod files;
mod issue;
mod pages;
mod reservations;
mod rights;
mod sign_in;
