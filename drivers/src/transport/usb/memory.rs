//! A USB device made of a script, for tests: it expects exactly these transfers in this order, and panics at any other.
//!
//! Time is virtual: a transfer that times out takes its whole timeout, everything else takes none.

use std::collections::VecDeque;
use std::time::Duration;

use super::{BulkDevice, Pipe, Setup, UsbError};

/// What the device expects next, and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These bytes are written to it.
    Out(Vec<u8>),
    /// A write of any bytes fails.
    OutFails(UsbError),
    /// It is read, and sends these bytes.
    In(Vec<u8>),
    /// It is read, and that fails.
    InFails(UsbError),
    /// This control request without data succeeds.
    Control(Setup),
    /// Any control request fails.
    ControlFails(UsbError),
    /// It answers a control read.
    ControlIn(Setup, Vec<u8>),
    /// The halt of an endpoint is cleared.
    ClearHalt(Pipe),
    /// It is opened anew.
    Reopen,
    /// It cannot be opened anew.
    ReopenFails(UsbError),
}

/// The scripted device.
#[derive(Debug)]
pub struct ScriptedDevice {
    steps: VecDeque<Step>,
    now: Duration,
    open: bool,
    packet_bytes: usize,
    serial: Option<String>,
}

impl ScriptedDevice {
    /// A device that is open and expects these steps.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> ScriptedDevice {
        ScriptedDevice {
            steps: steps.into_iter().collect(),
            now: Duration::ZERO,
            open: true,
            packet_bytes: 512,
            serial: Some("499000123456".to_owned()),
        }
    }

    /// The same with another packet size, bytes.
    pub fn with_packet_bytes(mut self, packet_bytes: usize) -> ScriptedDevice {
        self.packet_bytes = packet_bytes;
        self
    }

    /// Adds steps at the end.
    pub fn expect(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.steps.extend(steps);
    }

    /// What was expected and did not happen.
    pub fn rest(&self) -> usize {
        self.steps.len()
    }

    fn next(&mut self, what: &str) -> Step {
        match self.steps.pop_front() {
            Some(step) => step,
            None => panic!("the script is over, but the driver goes on with {what}"),
        }
    }

    fn fails<T>(&mut self, error: UsbError, timeout: Duration) -> Result<T, UsbError> {
        match error {
            UsbError::Timeout { .. } => self.now += timeout,
            UsbError::Gone { .. } => self.open = false,
            _ => {}
        }
        Err(error)
    }
}

impl BulkDevice for ScriptedDevice {
    fn now(&self) -> Duration {
        self.now
    }

    fn pause(&mut self, time: Duration) {
        self.now += time;
    }

    fn bulk_out(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), UsbError> {
        match self.next("a write") {
            Step::Out(expected) => {
                assert_eq!(bytes, expected, "written {bytes:02X?}, expected {expected:02X?}");
                Ok(())
            }
            Step::OutFails(error) => self.fails(error, timeout),
            step => panic!("a write of {bytes:02X?}, but the script has {step:02X?}"),
        }
    }

    fn bulk_in(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        match self.next("a read") {
            Step::In(bytes) if bytes.len() > buffer.len() => Err(UsbError::Overflow),
            Step::In(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Step::InFails(error) => self.fails(error, timeout),
            step => panic!("a read, but the script has {step:02X?}"),
        }
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], timeout: Duration) -> Result<(), UsbError> {
        assert!(data.is_empty(), "no control write of ours has data");
        match self.next("a control request") {
            Step::Control(expected) => {
                assert_eq!(setup, expected);
                Ok(())
            }
            Step::ControlFails(error) => self.fails(error, timeout),
            step => panic!("{setup:02X?}, but the script has {step:02X?}"),
        }
    }

    fn control_in(&mut self, setup: Setup, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        match self.next("a control read") {
            Step::ControlIn(expected, bytes) => {
                assert_eq!(setup, expected);
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Step::ControlFails(error) => self.fails(error, timeout),
            step => panic!("{setup:02X?}, but the script has {step:02X?}"),
        }
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), UsbError> {
        match self.next("clearing a halt") {
            Step::ClearHalt(expected) => {
                assert_eq!(pipe, expected);
                Ok(())
            }
            Step::ControlFails(error) => self.fails(error, Duration::ZERO),
            step => panic!("the halt of {pipe:?} is cleared, but the script has {step:02X?}"),
        }
    }

    fn usb_reset(&mut self) -> Result<(), UsbError> {
        panic!("no part of this crate resets a port by itself")
    }

    fn reopen(&mut self) -> Result<(), UsbError> {
        self.open = false;
        match self.next("opening") {
            Step::Reopen => {
                self.open = true;
                Ok(())
            }
            Step::ReopenFails(error) => Err(error),
            step => panic!("it is opened anew, but the script has {step:02X?}"),
        }
    }

    fn is_open(&self) -> bool {
        self.open
    }

    fn serial_number(&self) -> Option<String> {
        self.serial.clone().filter(|_| self.open)
    }

    fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    fn describe(&self) -> String {
        "a scripted device".to_owned()
    }
}
