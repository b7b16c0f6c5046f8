//! The portal: the platform in front of the broker, compatible with the open API of 用友税务云.
//!
//! A merchant who is integrated with that API changes one host name and keeps working, with duplicates no longer possible. The
//! portal knows merchants and callbacks; it knows no disk, and of the broker only the public API ([`broker`]).
//!
//! From the outside in: [`serve`] takes connections, [`api`] has one file for each interface and [`sign`] says who calls;
//! [`document`] turns a request into a job; [`core`] decides inside the one writer ([`ledger`]) over the [`store`]; [`courier`]
//! carries requests to the broker and results back; [`callback`] tells the merchant; [`console`] is for
//! his people. What is answered is durable before.
//!
//! Read first: [`api::INTERFACES`], [`core::insert`], [`core::outcome`].
#![forbid(unsafe_code)]

pub mod admin;
pub mod api;
pub mod application;
pub mod assets;
pub mod broker;
pub mod buyers;
pub mod callback;
pub mod cli;
pub mod config;
pub mod console;
pub mod core;
pub mod courier;
pub mod disks;
pub mod document;
mod english;
pub mod factors;
mod fault;
pub mod files;
pub mod hooks;
pub mod layout;
pub mod ledger;
pub mod making;
pub mod merchant;
pub mod model;
pub mod pages;
pub mod platform_key;
pub mod portal;
pub mod post;
pub mod qr;
pub use taxdisk_web::rate;
pub mod registry;
pub mod sellers;
pub mod serve;
pub mod sign;
pub mod store;
pub mod surface;
pub mod wire;

/// The token of an offline code, which tills make too: a crate of its own.
pub use taxdisk_order as order;
