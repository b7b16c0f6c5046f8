//! Documents against the samples of the facts, and hostile answers.

#![allow(clippy::unwrap_used)]
