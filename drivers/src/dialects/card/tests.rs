//! Vectors, scripted conversations and hostile readers. All time is virtual.

#![allow(clippy::unwrap_used)]

mod disk;
mod doubt;
mod others;
mod script;
mod vectors;
