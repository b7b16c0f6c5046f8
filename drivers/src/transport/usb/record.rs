//! A USB device that records its transfers, and a device that does again what a recording says.
//!
//! What goes to a disk is masked by its dialect, command by command: a password may stand in two transfers, so the transfers of
//! one command are kept back until the command is whole. One that broke off is masked altogether.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::bot::CBW_BYTES;
use super::{BulkDevice, Pipe, Setup, UsbError};
use crate::redact::MASK;
use crate::transport::record::{During, Entry, Event, How};

/// Masks the passwords of a command: its command block wrapper, and all its data.
pub type Mask = fn(&mut [u8], &mut [u8]);

/// A device under a recorder.
pub struct RecordedUsb<D, S> {
    device: D,
    mask: Mask,
    sink: S,
    /// The wrapper of a command with data to the device, and the transfers with these data as far as they went.
    waiting: Vec<(Duration, Vec<u8>)>,
}

impl<D: BulkDevice, S: FnMut(Entry) + Send> RecordedUsb<D, S> {
    /// Records what goes to and from a device; `mask` is the dialect's, such as [`crate::dialects::bot::mask_command`].
    pub fn new(device: D, mask: Mask, sink: S) -> RecordedUsb<D, S> {
        RecordedUsb { device, mask, sink, waiting: Vec::new() }
    }

    fn keep(&mut self, event: Event) {
        self.flush(false);
        let at = self.device.now();
        (self.sink)(Entry { at, event });
    }

    /// Lets go what was kept back. Not whole: only the wrapper is, whose data are not known to be safe.
    fn flush(&mut self, whole: bool) {
        let mut waiting = std::mem::take(&mut self.waiting).into_iter();
        let Some((at, mut wrapper)) = waiting.next() else { return };
        let parts: Vec<(Duration, Vec<u8>)> = waiting.collect();
        let mut data: Vec<u8> = parts.iter().flat_map(|(_, part)| part.iter().copied()).collect();
        if whole {
            (self.mask)(&mut wrapper, &mut data);
        } else {
            data.fill(MASK);
        }
        (self.sink)(Entry { at, event: Event::Sent(wrapper) });
        let mut from = 0;
        for (at, part) in parts {
            let to = from + part.len();
            (self.sink)(Entry { at, event: Event::Sent(data[from..to].to_vec()) });
            from = to;
        }
    }

    /// Bytes of data that a wrapper announces to the device.
    fn announced(wrapper: &[u8]) -> Option<usize> {
        let length = wrapper.get(8..12)?.try_into().ok()?;
        let to_device = wrapper.len() == CBW_BYTES && wrapper.starts_with(b"USBC") && wrapper[12] & 0x80 == 0;
        usize::try_from(u32::from_le_bytes(length)).ok().filter(|length| to_device && *length > 0)
    }

    fn sent(&mut self, bytes: &[u8]) {
        let at = self.device.now();
        if Self::announced(bytes).is_some() {
            self.flush(false);
            self.waiting.push((at, bytes.to_vec()));
            return;
        }
        let Some(announced) = self.waiting.first().and_then(|(_, wrapper)| Self::announced(wrapper)) else {
            // Wrappers of commands without data; anything else is nothing that this driver sends.
            let known = bytes.len() == CBW_BYTES && bytes.starts_with(b"USBC");
            let shown = if known { bytes.to_vec() } else { vec![MASK; bytes.len()] };
            return self.keep(Event::Sent(shown));
        };
        self.waiting.push((at, bytes.to_vec()));
        let have: usize = self.waiting.iter().skip(1).map(|(_, part)| part.len()).sum();
        if have >= announced {
            self.flush(have == announced);
        }
    }

    fn failed(&mut self, during: During, error: &UsbError) {
        self.keep(Event::Failed(during, how(error)));
    }
}

fn how(error: &UsbError) -> How {
    match error {
        UsbError::Stall => How::Stall,
        UsbError::Timeout { .. } => How::Timeout,
        UsbError::Overflow => How::Overflow,
        error if error.is_absence() => How::Gone,
        _ => How::Io,
    }
}

fn setup_bytes(setup: Setup) -> [u8; 6] {
    let ([value, value_low], [index, index_low]) = (setup.value.to_be_bytes(), setup.index.to_be_bytes());
    [setup.request_type, setup.request, value, value_low, index, index_low]
}

impl<D: BulkDevice, S: FnMut(Entry) + Send> BulkDevice for RecordedUsb<D, S> {
    fn now(&self) -> Duration {
        self.device.now()
    }

    fn pause(&mut self, time: Duration) {
        self.device.pause(time);
    }

    fn bulk_out(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), UsbError> {
        let outcome = self.device.bulk_out(bytes, timeout);
        match &outcome {
            Ok(()) => self.sent(bytes),
            Err(error) => self.failed(During::Out, error),
        }
        outcome
    }

    fn bulk_in(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        let outcome = self.device.bulk_in(buffer, timeout);
        match &outcome {
            Ok(count) => {
                let bytes = buffer[..*count].to_vec();
                self.keep(Event::Received(bytes));
            }
            Err(error) => self.failed(During::In, error),
        }
        outcome
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], timeout: Duration) -> Result<(), UsbError> {
        let outcome = self.device.control_out(setup, data, timeout);
        match &outcome {
            Ok(()) => self.keep(Event::Control(setup_bytes(setup), Vec::new())),
            Err(error) => self.failed(During::Control, error),
        }
        outcome
    }

    fn control_in(&mut self, setup: Setup, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        let outcome = self.device.control_in(setup, buffer, timeout);
        match &outcome {
            Ok(count) => {
                let data = buffer[..*count].to_vec();
                self.keep(Event::Control(setup_bytes(setup), data));
            }
            Err(error) => self.failed(During::Control, error),
        }
        outcome
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), UsbError> {
        let outcome = self.device.clear_halt(pipe);
        match &outcome {
            Ok(()) => self.keep(Event::ClearHalt(pipe)),
            Err(error) => self.failed(During::Control, error),
        }
        outcome
    }

    fn usb_reset(&mut self) -> Result<(), UsbError> {
        self.device.usb_reset()
    }

    fn reopen(&mut self) -> Result<(), UsbError> {
        let outcome = self.device.reopen();
        match &outcome {
            Ok(()) => self.keep(Event::Reopened),
            Err(error) => self.failed(During::Open, error),
        }
        outcome
    }

    fn is_open(&self) -> bool {
        self.device.is_open()
    }

    fn serial_number(&self) -> Option<String> {
        self.device.serial_number()
    }

    fn packet_bytes(&self) -> usize {
        self.device.packet_bytes()
    }

    fn describe(&self) -> String {
        self.device.describe()
    }
}

/// A device that does what a recording says, as long as it is asked as recorded. Clones share it; it is open, as the recorded
/// one was. Data to the disk are compared by their length, because people were taken out of them; wrappers whole, but for the
/// checksum of the data. What is asked otherwise fails, and is told by [`ReplayedUsb::surprises`].
#[derive(Debug, Clone)]
pub struct ReplayedUsb(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    entries: VecDeque<Entry>,
    now: Duration,
    open: bool,
    packet_bytes: usize,
    surprises: Vec<String>,
}

impl ReplayedUsb {
    /// Of this recording, made over packets of so many bytes.
    pub fn new(entries: impl IntoIterator<Item = Entry>, packet_bytes: usize) -> ReplayedUsb {
        let entries: VecDeque<Entry> = entries.into_iter().collect();
        let now = entries.front().map_or(Duration::ZERO, |entry| entry.at);
        ReplayedUsb(Arc::new(Mutex::new(State { entries, now, open: true, packet_bytes, surprises: Vec::new() })))
    }

    /// What was asked otherwise than recorded.
    pub fn surprises(&self) -> Vec<String> {
        self.lock().surprises.clone()
    }

    /// Entries that were not played.
    pub fn rest(&self) -> usize {
        self.lock().entries.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next event, if it belongs to this; a recorded failure is one.
    fn next<T>(&self, during: During, take: impl FnOnce(&Event) -> Option<T>) -> Result<T, UsbError> {
        let mut state = self.lock();
        let entry = state.entries.pop_front();
        if let Some(entry) = &entry {
            state.now = state.now.max(entry.at);
        }
        match entry.as_ref().map(|entry| &entry.event) {
            Some(Event::Failed(recorded, how)) if *recorded == during => {
                state.open &= *how != How::Gone;
                Err(match how {
                    How::Stall => UsbError::Stall,
                    How::Timeout => UsbError::Timeout { moved: None },
                    How::Overflow => UsbError::Overflow,
                    How::Gone => UsbError::Gone { device: "a recording".to_owned(), detail: "as recorded".to_owned() },
                    _ => UsbError::Io { detail: "as recorded".to_owned() },
                })
            }
            event => match event.and_then(take) {
                Some(taken) => Ok(taken),
                None => {
                    let text = format!("{} came, the recording has {entry:02X?}", during.word());
                    state.surprises.push(text.clone());
                    Err(UsbError::Io { detail: text })
                }
            },
        }
    }
}

/// Where the checksum of a command's data stands in a wrapper.
const CHECKSUM: std::ops::Range<usize> = 27..29;

fn alike(recorded: &[u8], sent: &[u8]) -> bool {
    let wrapper = |bytes: &[u8]| bytes.len() == CBW_BYTES && bytes.starts_with(b"USBC");
    if !wrapper(recorded) {
        return recorded.len() == sent.len() && !wrapper(sent);
    }
    let differs = |(at, (left, right)): (usize, (&u8, &u8))| left != right && !CHECKSUM.contains(&at);
    recorded.len() == sent.len() && !recorded.iter().zip(sent).enumerate().any(differs)
}

impl BulkDevice for ReplayedUsb {
    fn now(&self) -> Duration {
        self.lock().now
    }

    fn pause(&mut self, time: Duration) {
        self.lock().now += time;
    }

    fn bulk_out(&mut self, bytes: &[u8], _timeout: Duration) -> Result<(), UsbError> {
        self.next(During::Out, |event| match event {
            Event::Sent(recorded) if alike(recorded, bytes) => Some(()),
            _ => None,
        })
    }

    fn bulk_in(&mut self, buffer: &mut [u8], _timeout: Duration) -> Result<usize, UsbError> {
        let bytes = self.next(During::In, |event| match event {
            Event::Received(bytes) => Some(bytes.clone()),
            _ => None,
        })?;
        let room = buffer.get_mut(..bytes.len()).ok_or(UsbError::Overflow)?;
        room.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn control_out(&mut self, setup: Setup, _data: &[u8], _timeout: Duration) -> Result<(), UsbError> {
        self.next(During::Control, |event| match event {
            Event::Control(recorded, _) if *recorded == setup_bytes(setup) => Some(()),
            _ => None,
        })
    }

    fn control_in(&mut self, setup: Setup, buffer: &mut [u8], _timeout: Duration) -> Result<usize, UsbError> {
        let data = self.next(During::Control, |event| match event {
            Event::Control(recorded, data) if *recorded == setup_bytes(setup) => Some(data.clone()),
            _ => None,
        })?;
        let room = buffer.get_mut(..data.len()).ok_or(UsbError::Overflow)?;
        room.copy_from_slice(&data);
        Ok(data.len())
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), UsbError> {
        self.next(During::Control, |event| (*event == Event::ClearHalt(pipe)).then_some(()))
    }

    fn usb_reset(&mut self) -> Result<(), UsbError> {
        Err(UsbError::Io { detail: "no driver resets a port by itself".to_owned() })
    }

    fn reopen(&mut self) -> Result<(), UsbError> {
        let outcome = self.next(During::Open, |event| (*event == Event::Reopened).then_some(()));
        self.lock().open = outcome.is_ok();
        outcome
    }

    fn is_open(&self) -> bool {
        self.lock().open
    }

    fn serial_number(&self) -> Option<String> {
        None
    }

    fn packet_bytes(&self) -> usize {
        self.lock().packet_bytes
    }

    fn describe(&self) -> String {
        "a recording".to_owned()
    }
}
