//! Scripted conversations: every way in which an exchange can end, and what the disk says about it. All time is virtual.

#![allow(clippy::unwrap_used)]

mod changes;
mod conversations;
mod disk;
mod frames;
mod script;
mod secrecy;
mod wire;
