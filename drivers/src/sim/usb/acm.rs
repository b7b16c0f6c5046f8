//! The serial converter on the bus: a CDC-ACM port around the ZC machine. What a host sets of the line (speed, DTR) is kept for
//! whoever asks; a USB line has no speed of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{BulkIn, BulkOut, ControlReply, Descriptors, Setup, Stalled, UsbDevice};
use crate::sim::bot::Ticker;
use crate::sim::disk::SimDisk;
use crate::sim::rig::Rig;
use crate::sim::zc::{ZcDevice, ZcOptions};

pub(super) const ENDPOINT_IN: u8 = 0x81;
pub(super) const ENDPOINT_OUT: u8 = 0x02;
pub(super) const ENDPOINT_NOTIFY: u8 = 0x83;
/// Answers that the host does not read: beyond this the oldest bytes are lost, as on a small device.
const MAX_UNREAD_BYTES: usize = 1 << 20;
/// What one OUT transfer may bring: more is held off by no real device.
const LINE_CODING_BYTES: usize = 7;

/// What the host has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineState {
    /// dwDTERate.
    pub speed_baud: u32,
    /// Stop bits, parity, data bits as the request codes them.
    pub format: [u8; 3],
    /// DTR: somebody has the port open.
    pub terminal_ready: bool,
    /// RTS.
    pub request_to_send: bool,
}

/// The port.
pub struct UsbAcm {
    rig: Arc<Mutex<Rig>>,
    line: Arc<Mutex<LineState>>,
    ticker: Ticker,
    descriptors: Descriptors,
    output: VecDeque<u8>,
}

impl UsbAcm {
    /// A converter with this disk.
    pub fn new(disk: SimDisk, options: ZcOptions, ticker: Ticker) -> UsbAcm {
        UsbAcm::of_rig(Arc::new(Mutex::new(Rig::new(disk, ZcDevice::new(options), None))), ticker)
    }

    /// The converter of a rig that was there before: the same disk, plugged in again. The ticker is the one that the rig has
    /// lived by.
    pub fn of_rig(rig: Arc<Mutex<Rig>>, ticker: Ticker) -> UsbAcm {
        let descriptors = Descriptors::acm(&lock(&rig).disk.config().disk_number);
        let line = LineState { speed_baud: 9600, format: [0, 0, 8], terminal_ready: false, request_to_send: false };
        UsbAcm { rig, line: Arc::new(Mutex::new(line)), ticker, descriptors, output: VecDeque::new() }
    }

    /// The disk, the faults and the device, for whoever watches and steers.
    pub fn rig(&self) -> Arc<Mutex<Rig>> {
        Arc::clone(&self.rig)
    }

    /// The line as the host has set it.
    pub fn line(&self) -> Arc<Mutex<LineState>> {
        Arc::clone(&self.line)
    }

    fn turn(&mut self, input: &[u8]) {
        let now = (self.ticker)();
        let said = lock(&self.rig).turn(input, now);
        self.output.extend(said);
        if self.output.len() > MAX_UNREAD_BYTES {
            self.output.clear();
        }
    }
}

/// Whole or not begun, whatever panicked elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UsbDevice for UsbAcm {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn class_request(&mut self, setup: Setup, data: &[u8]) -> ControlReply {
        let mut line = lock(&self.line);
        match (setup.request_type, setup.request) {
            (0x21, 0x20) if data.len() == LINE_CODING_BYTES => {
                line.speed_baud = u32::from_le_bytes([data[0], data[1], data[2], data[3]]);
                line.format = [data[4], data[5], data[6]];
                Ok(Vec::new())
            }
            (0xA1, 0x21) => Ok([line.speed_baud.to_le_bytes().as_slice(), &line.format].concat()),
            (0x21, 0x22) => {
                line.terminal_ready = setup.value & 1 != 0;
                line.request_to_send = setup.value & 2 != 0;
                if !line.terminal_ready {
                    // Nobody listens: what was not read is lost, as on a cable.
                    self.output.clear();
                }
                Ok(Vec::new())
            }
            // SEND_BREAK means nothing to the converter.
            (0x21, 0x23) => Ok(Vec::new()),
            _ => Err(Stalled),
        }
    }

    fn is_halted(&self, _endpoint: u8) -> bool {
        false
    }

    fn clear_halt(&mut self, _endpoint: u8) {}

    fn transfer_out(&mut self, endpoint: u8, data: &[u8]) -> BulkOut {
        if endpoint != ENDPOINT_OUT {
            return BulkOut::Stall;
        }
        self.turn(data);
        BulkOut::Taken
    }

    fn transfer_in(&mut self, endpoint: u8, max: usize) -> BulkIn {
        match endpoint {
            ENDPOINT_NOTIFY => BulkIn::Nak,
            ENDPOINT_IN => {
                self.turn(&[]);
                if self.output.is_empty() {
                    return BulkIn::Nak;
                }
                let count = max.min(self.output.len());
                BulkIn::Data(self.output.drain(..count).collect())
            }
            _ => BulkIn::Stall,
        }
    }

    fn bus_reset(&mut self) {
        self.output.clear();
        let mut rig = lock(&self.rig);
        rig.line_lost(None);
        rig.line_back();
    }

    fn wake_in(&mut self) -> Option<Duration> {
        self.turn(&[]);
        let at = lock(&self.rig).wake_at()?;
        Some(at.saturating_sub((self.ticker)()))
    }

    fn leaves_bus(&self) -> bool {
        lock(&self.rig).device.is_dead()
    }
}
