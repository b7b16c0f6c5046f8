//! What every part of taxdisk agrees on: domain types, invoice rules, the life of a job, the frames of the agent link and
//! the types of the HTTP API.
//!
//! This crate does no I/O, reads no clock and draws no random number. Everything in it is a value or a pure function, so
//! that broker, agent, tests and simulation decide alike.
//!
//! Read first: [`invoice::Invoice`] (what a disk is asked to sign), [`job`] (a job's life) and [`link`] (what broker and
//! agent say to each other). Wire types ([`api`], [`link`]) live apart from domain types: text comes in as wire types, is
//! parsed once at the edge, and after that only valid values exist.
#![forbid(unsafe_code)]

pub mod api;
pub mod calc;
pub mod capabilities;
pub mod chain;
pub mod class;
pub mod error;
pub mod event;
pub mod gbk;
pub mod hash;
pub mod ids;
pub mod invoice;
pub mod job;
pub mod kind;
pub mod link;
pub mod mark;
pub mod money;
pub mod number;
pub mod printed;
pub mod proof;
mod quote;
pub mod rules;
pub mod said;
pub mod support;
pub mod time;
pub mod trace;
pub mod undo;
pub mod update;
