//! The link to the broker: one WebSocket, opened by the agent, held up for ever.
//!
//! [`session::Session`] decides (when to connect, what to say, what to send again, when a link is dead); it knows no socket
//! and no clock. [`client`] is the thin shell around it. What the link refuses to do: look inside an assignment, decide about a
//! disk, or forget an outbox entry that the broker has not acknowledged.

pub mod client;
pub mod outbox;
pub mod proxy;
pub mod reconnect;
pub mod session;
pub mod trouble;
mod tunnel;
