//! What a status word or a fault of the link means (part D.3). A class never proves that nothing was issued.

use taxdisk_protocol::class::DeviceClass;

use super::frame::{FrameFault, ReaderFault};
use super::link::Fault;
use crate::disk::DiskError;
use crate::transport::LineError;

/// F2, the only command for which 9401 speaks of the amount.
const ISSUE: u8 = 0xF2;

/// 9000, or 61xx with the data at once.
pub(super) fn is_good(status: u16) -> bool {
    status == 0x9000 || status >> 8 == 0x61
}

/// The error of a status word that is not good.
pub(super) fn refused(status: u16, instruction: u8) -> DiskError {
    let (class, text, tries_left) = match status {
        0x6A82 => (DeviceClass::Unsupported, "the card has no such file: it is another kind of card", None),
        0x6A83 | 0x6A86 => (DeviceClass::InvalidRequest, "the card has no such record", None),
        0x6983 | 0x9303 => (DeviceClass::BadPassword, "the card's PIN is locked: take the card to the tax office", Some(0)),
        0x6A81 => (DeviceClass::Locked, "the card is locked: take it to the tax office", None),
        0x63C0..=0x63CF => (DeviceClass::BadPassword, "the card's PIN is wrong", Some((status & 0x0F) as u8)),
        0x9401 if instruction == ISSUE => (DeviceClass::OverInvoiceLimit, "the amount is above what the card allows", None),
        0x9401 => (DeviceClass::NoStock, "the card has no further roll", None),
        _ => (DeviceClass::DeviceFault, "the card refused the command", None),
    };
    DiskError { class, code: Some(format!("SW{status:04X}")), text: text.to_owned(), tries_left }
}

impl From<Fault> for DiskError {
    fn from(fault: Fault) -> DiskError {
        let class = match &fault {
            Fault::Line(LineError::Gone { .. } | LineError::NotFound { .. }) => DeviceClass::NotPresent,
            Fault::Frame(FrameFault::Reader(ReaderFault::CardAbsent)) => DeviceClass::NotPresent,
            Fault::Frame(FrameFault::Reader(ReaderFault::Other(_))) => DeviceClass::DeviceFault,
            _ => DeviceClass::Link,
        };
        let code = match &fault {
            Fault::Frame(FrameFault::Reader(ReaderFault::CardAbsent)) => Some("F6".to_owned()),
            Fault::Frame(FrameFault::Reader(ReaderFault::Other(code))) => Some(format!("{code:02X}")),
            _ => None,
        };
        DiskError { class, code, text: fault.to_string(), tries_left: None }
    }
}

/// An error of ours in a class of the device's.
pub(super) fn own_error(class: DeviceClass, text: impl Into<String>) -> DiskError {
    DiskError { class, code: None, text: text.into(), tries_left: None }
}
