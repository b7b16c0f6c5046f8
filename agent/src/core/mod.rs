//! The decisions of the agent, sans I/O. Nothing here knows a socket, file, thread or clock: input and time come in, the one
//! next effect comes out.
//!
//! Read first: `disk::DiskCore` (all of one disk), `attempt` (one changing command), `walk` and `settle` (reading the
//! disk until it is known what happened).

pub mod effect;
pub mod records;
