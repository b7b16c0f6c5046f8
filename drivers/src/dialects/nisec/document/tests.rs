//! Documents against the samples of the facts, and hostile answers.

#![allow(clippy::unwrap_used)]

mod answers;
mod hostile;
mod requests;
