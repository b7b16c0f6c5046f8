//! What is decided: when requests are taken, what becomes of them, and who is told.
//!
//! Everything here runs inside the one writer's transaction ([`crate::ledger`]) or is a pure function. A step that refuses has
//! written nothing; a step that answers has its effects in the same commit. No network, no clock: the time comes in.
//!
//! Read first: [`request::Request`], [`insert`], [`outcome`].

pub mod act;
pub mod buyers;
pub mod callback;
pub mod claim;
pub mod codes;
pub mod hold;
pub mod insert;
pub mod links;
pub mod outbox;
pub mod outcome;
pub mod reasons;
pub mod red;
pub mod replay;
pub mod request;
pub mod reservations;
pub mod task;
pub mod void;

#[cfg(test)]
mod tests_buyers;
#[cfg(test)]
mod tests_codes;
