//! The NISEC dialect: XML documents for the local component of a Baiwang 税控盘 (device-xml-and-usb.md, part A).
//!
//! [`document`] makes and reads the documents; it does no I/O, so that other ways to a disk that speak them can use it.
//!
//! What it refuses to do: send a changing document twice, take an unknown or missing code for "not issued" or "absent", cut
//! or replace content, print a password anywhere.

pub mod config;
pub mod disk;
pub mod document;

#[cfg(test)]
mod tests;

pub use config::NisecConfig;
pub use disk::NisecDisk;
