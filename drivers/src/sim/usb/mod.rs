//! USB, device side: what a device is to the bus, the standard requests, and a USB/IP server that puts it on one.
//!
//! Start with [`UsbDevice`], [`serve_usbip`] and [`attach_vhci`]. A device is a machine without I/O: the server asks it, keeps
//! what it does not take yet (that is NAK), and is the only one that waits. No host side is here, and no kernel but Linux.
//! Source: virtual-hardware.md, section 3.

mod acm;
mod bot;
mod descriptors;
pub mod import;
pub(super) mod line;
mod standard;
#[cfg(test)]
mod tests;
mod usbip;
mod vhci;

use std::time::Duration;

pub use self::acm::{LineState, UsbAcm};
pub use self::bot::UsbBot;
pub use self::descriptors::Descriptors;
pub use self::usbip::{End, UsbStream, serve_usbip};
pub use self::vhci::{Plugged, Speed, attach_vhci};

/// A setup packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// bmRequestType.
    pub request_type: u8,
    /// bRequest.
    pub request: u8,
    /// wValue.
    pub value: u16,
    /// wIndex.
    pub index: u16,
    /// wLength.
    pub length: u16,
}

impl Setup {
    /// Reads the eight bytes of a setup packet.
    pub fn parse(bytes: [u8; 8]) -> Setup {
        let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Setup { request_type: bytes[0], request: bytes[1], value: word(2), index: word(4), length: word(6) }
    }
}

/// The request is stalled: the device does not do this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalled;

/// Answer to a control request: the data of an IN request, nothing for an OUT.
pub type ControlReply = Result<Vec<u8>, Stalled>;

/// Answer to an IN transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkIn {
    /// These bytes; fewer than asked end the transfer.
    Data(Vec<u8>),
    /// Nothing yet.
    Nak,
    /// The endpoint is halted.
    Stall,
}

/// Answer to an OUT transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkOut {
    /// All bytes were taken.
    Taken,
    /// Not yet: offer them again.
    Nak,
    /// The endpoint is halted.
    Stall,
}

/// A device on the bus.
pub trait UsbDevice: Send {
    /// What it says of itself.
    fn descriptors(&self) -> &Descriptors;
    /// A class or vendor request.
    fn class_request(&mut self, setup: Setup, data: &[u8]) -> ControlReply;
    /// Whether an endpoint answers STALL.
    fn is_halted(&self, endpoint: u8) -> bool;
    /// CLEAR_FEATURE(ENDPOINT_HALT).
    fn clear_halt(&mut self, endpoint: u8);
    /// An OUT transfer on an endpoint address.
    fn transfer_out(&mut self, endpoint: u8, data: &[u8]) -> BulkOut;
    /// An IN transfer of at most so many bytes.
    fn transfer_in(&mut self, endpoint: u8, max: usize) -> BulkIn;
    /// It was plugged in, or the bus was reset.
    fn bus_reset(&mut self);
    /// How long until something happens in it without input. `None` = nothing will.
    fn wake_in(&mut self) -> Option<Duration>;
    /// It leaves the bus now.
    fn leaves_bus(&self) -> bool;
}
