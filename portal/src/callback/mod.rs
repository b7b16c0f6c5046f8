//! Tells merchants: what a callback says ([`body`]), and how it is sent ([`send`]).

pub mod body;
pub mod send;
