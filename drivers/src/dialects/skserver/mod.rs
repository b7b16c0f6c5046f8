//! The SKServer dialect: a 税控开票服务器 that takes XML documents over HTTP (device-xml-and-usb.md, part B).
//!
//! Its documents are made of the same fields as those of [`super::nisec::document`], in another envelope. Read
//! [`SkServerConfig::request_query`] first: the same digit asks one product for a request serial and another for dates, and
//! "nothing found" to the wrong question would make a second invoice.
//!
//! What it refuses to do: send a changing document twice, send the same serial again, find out by trying what a query
//! means, answer a query by serial before it was proven.

pub mod commands;
pub mod config;
pub mod disk;

#[cfg(test)]
mod tests;

pub use config::{KnownRequest, NumberForm, SkServerConfig};
pub use disk::SkServerDisk;
