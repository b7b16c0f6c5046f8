//! The bulk-only transport of USB mass storage (device-xml-and-usb.md, part C.2): one command block, its data, one status.
//!
//! It resends nothing. What it says about a command that broke off is [`Progress`]: whether the last byte of command and data
//! can have left this computer. To be certain of that, data to the device goes out in two transfers, everything but the last
//! packet and then the last packet: a failure of the first proves that the device never had the whole. After a failure it
//! brings the transport back to its beginning ([`Bot::recover`]); until that worked no further command goes out.

use std::time::Duration;

use super::{BulkDevice, Pipe, Setup, UsbError};

/// Bytes of a command block wrapper.
pub const CBW_BYTES: usize = 31;
/// Bytes of a command status wrapper.
pub const CSW_BYTES: usize = 13;
/// The longest command descriptor block.
pub const MAX_CDB_BYTES: usize = 16;
/// No profile moves more in one command: 1 MiB and a header.
pub const MAX_DATA_BYTES: usize = 1024 * 1024 + 64;

const CBW_SIGNATURE: [u8; 4] = *b"USBC";
const CSW_SIGNATURE: [u8; 4] = *b"USBS";

/// For a command block, a status and a control transfer.
const SHORT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a data stage.
const DATA_TIMEOUT: Duration = Duration::from_secs(10);
/// A device that was reset has nothing more to say; what comes within this time belongs to a cancelled command.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(50);
/// More waiting transfers than this are no rest of one cancelled command.
const MAX_DRAIN_READS: u32 = 64;
const DRAIN_BYTES: usize = 64 * 1024;

/// Bulk-Only Mass Storage Reset of interface 0.
const RESET: Setup = Setup { request_type: 0x21, request: 0xFF, value: 0, index: 0 };
/// Get Max LUN of interface 0.
const MAX_LUN: Setup = Setup { request_type: 0xA1, request: 0xFE, value: 0, index: 0 };

/// How far a broken command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The last byte of command and data was never given to the bus: the device cannot have had the whole command.
    BeforeLastByte,
    /// It was: the device may have the command.
    LastByteBegun,
}

/// What the device said about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 00.
    Passed,
    /// 01: REQUEST SENSE tells why.
    Failed,
}

/// A command that went through its three stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Passed or failed.
    pub status: Status,
    /// dCSWDataResidue: bytes announced and not processed.
    pub residue: u32,
    /// What the device sent.
    pub data: Vec<u8>,
    /// [`Progress::BeforeLastByte`] if the device stalled the data before their last byte was sent.
    pub progress: Progress,
}

/// Why a command did not go through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A transfer failed.
    #[error("{0}")]
    Usb(UsbError),
    /// What came as status is none of this command.
    #[error("the USB device answered with something that is no status of this command ({0}): another program may use it")]
    BadStatus(String),
    /// 02: host and device do not agree about the data.
    #[error("the USB device reports a phase error: it lost track of the transfer")]
    Phase,
    /// An earlier failure is not yet mended; nothing was sent.
    #[error("an older transfer to the USB device is not cleared; nothing was sent")]
    NotRecovered,
    /// The command does not fit.
    #[error("a command of {cdb} bytes with {data} bytes of data does not fit into a USB transfer; nothing was sent")]
    TooLong {
        /// Bytes of the descriptor block.
        cdb: usize,
        /// Bytes of the data.
        data: usize,
    },
}

/// A command that broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Whether the device can have the command.
    pub progress: Progress,
    /// What happened.
    pub fault: Fault,
}

/// The data stage of a command.
enum Stage<'a> {
    Out(&'a [u8]),
    In(usize),
}

/// Data from the device, and the status if that came in place of data.
type Received = (Vec<u8>, Option<(Status, u32)>);

/// The transport over a device. Begins unrecovered: the program before may have been ended in the middle of a transfer.
pub struct Bot<D> {
    device: D,
    tag: u32,
    recovered: bool,
}

impl<D: BulkDevice> Bot<D> {
    /// The transport over this device. Nothing is sent; [`Self::recover`] first.
    pub fn new(device: D) -> Bot<D> {
        Bot { device, tag: 0, recovered: false }
    }

    /// The device under it.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device, to wait on or to ask; transfers beside this transport leave it unrecovered.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Whether a command may go out.
    pub fn is_ready(&self) -> bool {
        self.recovered && self.device.is_open()
    }

    /// Lets the tags begin after this one, for vectors.
    #[cfg(test)]
    pub(crate) fn count_tags_from(&mut self, tag: u32) {
        self.tag = tag - 1;
    }

    /// Lets the device go, finds it anew and begins from the beginning. What is found may be another device.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn reopen(&mut self) -> Result<(), UsbError> {
        self.recovered = false;
        self.device.reopen()?;
        self.recover()
    }

    /// Reset recovery: the class reset, both endpoints cleared, what still comes thrown away. Does not reset the device
    /// itself: what runs in it goes on.
    ///
    /// # Errors
    /// The device does not take part; it has to be opened anew, or plugged in anew.
    pub fn recover(&mut self) -> Result<(), UsbError> {
        self.recovered = false;
        self.device.control_out(RESET, &[], SHORT_TIMEOUT)?;
        self.device.clear_halt(Pipe::In)?;
        self.device.clear_halt(Pipe::Out)?;
        self.drain()?;
        self.recovered = true;
        Ok(())
    }

    /// The highest logical unit; a device that does not know the question has one.
    ///
    /// # Errors
    /// The transfer failed.
    pub fn max_lun(&mut self) -> Result<u8, UsbError> {
        let mut answer = [0];
        match self.device.control_in(MAX_LUN, &mut answer, SHORT_TIMEOUT) {
            Ok(1) => Ok(answer[0]),
            Ok(_) | Err(UsbError::Stall) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// One command with data to the device, or without data.
    ///
    /// # Errors
    /// It broke off, and whether the device can have it.
    pub fn command_out(&mut self, cdb: &[u8], data: &[u8]) -> Result<Reply, Broken> {
        self.command(cdb, Stage::Out(data))
    }

    /// One command with at most so many bytes of data from the device.
    ///
    /// # Errors
    /// It broke off.
    pub fn command_in(&mut self, cdb: &[u8], length: usize) -> Result<Reply, Broken> {
        self.command(cdb, Stage::In(length))
    }

    fn command(&mut self, cdb: &[u8], stage: Stage<'_>) -> Result<Reply, Broken> {
        let not_begun = |fault| Broken { progress: Progress::BeforeLastByte, fault };
        let length = match stage {
            Stage::Out(data) => data.len(),
            Stage::In(length) => length,
        };
        if cdb.is_empty() || cdb.len() > MAX_CDB_BYTES || length > MAX_DATA_BYTES {
            return Err(not_begun(Fault::TooLong { cdb: cdb.len(), data: length }));
        }
        if !self.recovered {
            return Err(not_begun(Fault::NotRecovered));
        }
        // 0 is skipped, so that memory full of zeros is never a status of ours.
        self.tag = self.tag.checked_add(1).unwrap_or(1);
        let outcome = self.stages(cdb, stage, length);
        if let Err(broken) = &outcome {
            self.recovered = false;
            if !matches!(&broken.fault, Fault::Usb(error) if error.is_absence()) {
                // Its failure is seen by the next command: nothing goes out before a recovery that worked.
                let _ = self.recover();
            }
        }
        outcome
    }

    fn stages(&mut self, cdb: &[u8], stage: Stage<'_>, length: usize) -> Result<Reply, Broken> {
        let to_device = matches!(stage, Stage::Out(_));
        let block = command_block(self.tag, cdb, length as u32, !to_device);
        if let Err(error) = self.device.bulk_out(&block, SHORT_TIMEOUT) {
            // Data that were not sent are a command that is not whole.
            let whole = !(to_device && length > 0) && may_have_ended(&error, CBW_BYTES);
            let progress = if whole { Progress::LastByteBegun } else { Progress::BeforeLastByte };
            return Err(Broken { progress, fault: Fault::Usb(error) });
        }
        match stage {
            Stage::Out(data) => {
                let progress = self.send(data)?;
                let (status, residue) = self.status(length).map_err(|fault| Broken { progress, fault })?;
                Ok(Reply { status, residue, data: Vec::new(), progress })
            }
            Stage::In(_) => {
                let broken = |fault| Broken { progress: Progress::LastByteBegun, fault };
                let (data, early) = self.receive(length).map_err(broken)?;
                let (status, residue) = match early {
                    Some(status) => status,
                    None => self.status(length).map_err(broken)?,
                };
                Ok(Reply { status, residue, data, progress: Progress::LastByteBegun })
            }
        }
    }

    /// The data stage to the device. A stall ends it early and is no failure yet: the status tells.
    fn send(&mut self, data: &[u8]) -> Result<Progress, Broken> {
        if data.is_empty() {
            return Ok(Progress::LastByteBegun);
        }
        let packet = self.device.packet_bytes().max(1);
        let (head, tail) = data.split_at((data.len() - 1) / packet * packet);
        let parts = [(head, Progress::BeforeLastByte), (tail, Progress::LastByteBegun)];
        for (part, progress) in parts.into_iter().filter(|(part, _)| !part.is_empty()) {
            match self.device.bulk_out(part, DATA_TIMEOUT) {
                Ok(()) => {}
                Err(UsbError::Stall) => {
                    self.device.clear_halt(Pipe::Out).map_err(|error| Broken { progress, fault: Fault::Usb(error) })?;
                    return Ok(progress);
                }
                Err(error) => {
                    let begun = may_have_ended(&error, part.len());
                    let progress = if begun { progress } else { Progress::BeforeLastByte };
                    return Err(Broken { progress, fault: Fault::Usb(error) });
                }
            }
        }
        Ok(Progress::LastByteBegun)
    }

    /// The data stage from the device; with it the status, if that came in place of data.
    fn receive(&mut self, length: usize) -> Result<Received, Fault> {
        let mut data = vec![0; length];
        if length == 0 {
            return Ok((data, None));
        }
        match self.device.bulk_in(&mut data, DATA_TIMEOUT) {
            Ok(count) => data.truncate(count),
            Err(UsbError::Stall) => {
                self.device.clear_halt(Pipe::In).map_err(Fault::Usb)?;
                data.clear();
            }
            Err(error) => return Err(Fault::Usb(error)),
        }
        if data.len() == CSW_BYTES && data.starts_with(&CSW_SIGNATURE) && data[4..8] == self.tag.to_le_bytes() {
            let status = parse_status(&data, self.tag, length)?;
            return Ok((Vec::new(), Some(status)));
        }
        Ok((data, None))
    }

    /// The status stage. A stall, or an empty packet that closed the data, is passed over once.
    fn status(&mut self, length: usize) -> Result<(Status, u32), Fault> {
        let mut buffer = vec![0; self.device.packet_bytes().max(64)];
        let first = match self.device.bulk_in(&mut buffer, SHORT_TIMEOUT) {
            Err(UsbError::Stall) => {
                self.device.clear_halt(Pipe::In).map_err(Fault::Usb)?;
                None
            }
            Ok(0) => None,
            Ok(count) => Some(count),
            Err(error) => return Err(Fault::Usb(error)),
        };
        let count = match first {
            Some(count) => count,
            None => self.device.bulk_in(&mut buffer, SHORT_TIMEOUT).map_err(Fault::Usb)?,
        };
        parse_status(&buffer[..count], self.tag, length)
    }

    /// Throws away what a cancelled command left on its way here.
    fn drain(&mut self) -> Result<(), UsbError> {
        let mut scratch = vec![0; DRAIN_BYTES];
        for _ in 0..MAX_DRAIN_READS {
            match self.device.bulk_in(&mut scratch, DRAIN_TIMEOUT) {
                Ok(_) | Err(UsbError::Timeout { moved: Some(1..) }) => {}
                Err(UsbError::Timeout { .. }) => return Ok(()),
                // Its way of saying that it has nothing.
                Err(UsbError::Stall) => return self.device.clear_halt(Pipe::In),
                Err(error) => return Err(error),
            }
        }
        Err(UsbError::Io { detail: "the device never falls silent".to_owned() })
    }
}

/// Whether a transfer of so many bytes that failed may have reached the device to its last byte.
fn may_have_ended(error: &UsbError, bytes: usize) -> bool {
    match error {
        UsbError::Timeout { moved: Some(moved) } => *moved >= bytes,
        UsbError::Closed { .. } | UsbError::NotFound { .. } | UsbError::NoUsb { .. } => false,
        _ => true,
    }
}

/// A command block wrapper for LUN 0.
pub fn command_block(tag: u32, cdb: &[u8], length: u32, from_device: bool) -> [u8; CBW_BYTES] {
    let mut block = [0; CBW_BYTES];
    block[..4].copy_from_slice(&CBW_SIGNATURE);
    block[4..8].copy_from_slice(&tag.to_le_bytes());
    block[8..12].copy_from_slice(&length.to_le_bytes());
    block[12] = if from_device { 0x80 } else { 0 };
    block[14] = cdb.len() as u8;
    block[15..15 + cdb.len()].copy_from_slice(cdb);
    block
}

/// Reads a command status wrapper: it must be valid (length, signature, tag) and meaningful (status, residue).
fn parse_status(bytes: &[u8], tag: u32, length: usize) -> Result<(Status, u32), Fault> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if bytes.len() != CSW_BYTES {
        return Err(Fault::BadStatus(format!("{} bytes instead of {CSW_BYTES}", bytes.len())));
    }
    if !bytes.starts_with(&CSW_SIGNATURE) {
        return Err(Fault::BadStatus("no signature".to_owned()));
    }
    if word(4) != tag {
        return Err(Fault::BadStatus(format!("tag {:08X} instead of {tag:08X}", word(4))));
    }
    let residue = word(8);
    match bytes[12] {
        2 => Err(Fault::Phase),
        status @ (0 | 1) if residue as usize <= length => {
            Ok((if status == 0 { Status::Passed } else { Status::Failed }, residue))
        }
        0 | 1 => Err(Fault::BadStatus(format!("residue {residue} of {length} bytes"))),
        other => Err(Fault::BadStatus(format!("status {other:02X}"))),
    }
}

#[cfg(test)]
#[path = "bot_tests.rs"]
mod tests;
