//! USB/IP before the transfers: which device is there, and may I have it (the kernel's Documentation/usb/usbip_protocol.rst,
//! version 1.1.1). Messages only; who gets the device is decided by the line that serves it. All words are big endian.

use std::io::{self, Read};

use super::Descriptors;

/// How the device is named to `usbip attach --busid`.
pub const BUS_ID: &str = "1-1";

const VERSION: u16 = 0x0111;
const OP_REQ_DEVLIST: u16 = 0x8005;
const OP_REP_DEVLIST: u16 = 0x0005;
const OP_REQ_IMPORT: u16 = 0x8003;
const OP_REP_IMPORT: u16 = 0x0003;

/// Only shown: the device hangs on no bus.
const PATH: &str = "/sys/devices/taxdisk/usb1/1-1";
const BUS: u32 = 1;
const DEVICE: u32 = 2;
/// `USB_SPEED_HIGH` of the kernel; the descriptors are made for it.
const SPEED_HIGH: u32 = 3;
const PATH_BYTES: usize = 256;
const BUS_ID_BYTES: usize = 32;
/// Type of an interface descriptor.
const INTERFACE: u8 = 4;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The devices that there are.
    List,
    /// To have the device of this name.
    Import(String),
}

/// Why he does not get it; the value is the status in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Somebody has it.
    Busy = 2,
    /// It is not there, or there is none of that name.
    NoDevice = 4,
}

/// Reads one request.
///
/// # Errors
/// The stream ends or fails, or what comes is no request of this version.
pub fn read_request(stream: &mut impl Read) -> io::Result<Asked> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    match (word(0), word(2)) {
        (VERSION, OP_REQ_DEVLIST) => Ok(Asked::List),
        (VERSION, OP_REQ_IMPORT) => {
            let mut name = [0; BUS_ID_BYTES];
            stream.read_exact(&mut name)?;
            let name: Vec<u8> = name.into_iter().take_while(|byte| *byte != 0).collect();
            Ok(Asked::Import(String::from_utf8_lossy(&name).into_owned()))
        }
        (version, code) => Err(io::Error::other(format!("no USB/IP request of version 1.1.1: {version:04x} {code:04x}"))),
    }
}

/// The answer to [`Asked::List`]; `None` = nothing is plugged in.
pub fn list(device: Option<&Descriptors>) -> Vec<u8> {
    let mut bytes = head(OP_REP_DEVLIST, 0);
    bytes.extend(u32::from(device.is_some()).to_be_bytes());
    if let Some(device) = device {
        bytes.extend(about(device));
        for interface in interfaces(device) {
            // Class, subclass, protocol, padding.
            bytes.extend([interface[0], interface[1], interface[2], 0]);
        }
    }
    bytes
}

/// The answer to [`Asked::Import`].
pub fn import(device: Result<&Descriptors, Refused>) -> Vec<u8> {
    match device {
        Ok(device) => [head(OP_REP_IMPORT, 0), about(device)].concat(),
        Err(refused) => head(OP_REP_IMPORT, refused as u32),
    }
}

fn head(code: u16, status: u32) -> Vec<u8> {
    [VERSION.to_be_bytes().as_slice(), &code.to_be_bytes(), &status.to_be_bytes()].concat()
}

/// The 312 bytes about a device.
fn about(device: &Descriptors) -> Vec<u8> {
    let mut bytes = padded(PATH, PATH_BYTES);
    bytes.extend(padded(BUS_ID, BUS_ID_BYTES));
    for word in [BUS, DEVICE, SPEED_HIGH] {
        bytes.extend(word.to_be_bytes());
    }
    let (own, configuration) = (&device.device, &device.configuration);
    // idVendor, idProduct, bcdDevice: little endian in the descriptor.
    for at in [8, 10, 12] {
        bytes.extend([own[at + 1], own[at]]);
    }
    bytes.extend(&own[4..7]);
    // bConfigurationValue, bNumConfigurations, bNumInterfaces.
    bytes.extend([configuration[5], own[17], configuration[4]]);
    bytes
}

/// Class, subclass and protocol of each interface.
fn interfaces(device: &Descriptors) -> Vec<[u8; 3]> {
    let (mut found, mut rest) = (Vec::new(), device.configuration.as_slice());
    while let Some((length, kind)) = rest.first().zip(rest.get(1)) {
        if *kind == INTERFACE
            && let Some([class, subclass, protocol]) = rest.get(5..8)
        {
            found.push([*class, *subclass, *protocol]);
        }
        rest = rest.get(usize::from(*length).max(2)..).unwrap_or_default();
    }
    found
}

fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, 0);
    bytes
}
