//! What stands between a driver and its device and makes a bad one of a good one, byte for byte: on a line, on a document link,
//! on a USB cable. Time is the line's own, so that hours of babbling cost nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taxdisk_drivers::dialects::zc::crc::checksum;
use taxdisk_drivers::transport::document::{DocumentError, DocumentLink, MAX_ANSWER_BYTES};
use taxdisk_drivers::transport::usb::{BulkDevice, Pipe, Setup, UsbError};
use taxdisk_drivers::transport::{BrokenWrite, ByteLine, LineError};

/// One byte at 9600 baud.
const BYTE_TIME: Duration = Duration::from_micros(1042);
/// Read from the device at once: more than any frame.
const CHUNK_BYTES: usize = 70_000;
/// A run of so many bytes above ASCII is a text in GBK.
const TEXT_BYTES: usize = 6;

/// How bad the device is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Good,
    /// It talks all the time, whatever it is asked.
    Babble,
    /// What is sent comes back, and reaches nobody.
    Echo,
    /// Every checksum that it sends is wrong.
    WrongCheck,
    /// It answers well in form, and does not come to an end before 1 MiB.
    Endless,
    /// Its texts are no GBK, and everything else is right.
    NotGbk,
}

/// What test and tamper share.
#[derive(Debug)]
pub(crate) struct Control {
    mode: Mutex<Mode>,
    /// Bytes that the driver took: what it buffers is among them.
    taken: AtomicU64,
    noise: AtomicU64,
    /// What the line has babbled and echoed away, nanoseconds.
    extra_ns: AtomicU64,
}

impl Control {
    pub(crate) fn new() -> Arc<Control> {
        let [taken, noise, extra_ns] = [0, 1, 0].map(AtomicU64::new);
        Arc::new(Control { mode: Mutex::new(Mode::Good), taken, noise, extra_ns })
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    fn took(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    /// Time of the line that went into babble and into waiting for what never came.
    pub(crate) fn extra(&self) -> Duration {
        Duration::from_nanos(self.extra_ns.load(Ordering::SeqCst))
    }

    fn pass(&self, time: Duration) {
        self.extra_ns.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
    }

    /// Bytes that look random and are the same in every run.
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.noise.load(Ordering::SeqCst);
        for byte in buffer {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        self.noise.store(state, Ordering::SeqCst);
    }
}

/// Makes every text in these bytes one that no GBK decoder takes; whether there was any.
fn spoil(bytes: &mut [u8]) -> bool {
    let mut start = 0;
    let mut spoilt = false;
    while start < bytes.len() {
        let run = bytes[start..].iter().take_while(|byte| **byte >= 0x80).count();
        if run >= TEXT_BYTES {
            bytes[start..start + run].fill(0xFF);
            spoilt = true;
        }
        start += run.max(1);
    }
    spoilt
}

/// Which frames are on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frames {
    Zc,
    ZcXml,
    Card,
}

impl Frames {
    /// Puts the right checksum to a frame.
    fn seal(self, frame: &mut [u8]) {
        let end = frame.len();
        match self {
            Frames::Zc | Frames::ZcXml => {
                let crc = checksum(&frame[..end - 2]).to_be_bytes();
                frame[end - 2..].copy_from_slice(&crc);
            }
            Frames::Card => frame[end - 1] = frame[..end - 1].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)),
        }
    }

    /// A packet of an answer that never ends.
    fn endless(self, number: u8) -> Vec<u8> {
        let mut frame = match self {
            Frames::Zc => [b"OK".as_slice(), &[number, 253], &[b'A'; 251]].concat(),
            Frames::ZcXml => [b"OK".as_slice(), &[number, 0xFF, 0xFD], &[b'A'; 65_530]].concat(),
            Frames::Card => [[0x05, 0xFF, 0x50].as_slice(), &[b'A'; 255]].concat(),
        };
        self.seal(&mut frame);
        frame
    }
}

/// A line with a bad device.
pub(crate) struct BadLine {
    pub(crate) inner: Box<dyn ByteLine>,
    pub(crate) control: Arc<Control>,
    pub(crate) frames: Frames,
    pub(crate) waiting: VecDeque<u8>,
    pub(crate) packet: u8,
}

impl ByteLine for BadLine {
    fn now(&self) -> Duration {
        self.inner.now() + self.control.extra()
    }

    fn write(&mut self, bytes: &[u8], deadline: Duration) -> Result<(), BrokenWrite> {
        match self.control.mode() {
            Mode::Echo => self.waiting.extend(bytes),
            Mode::Endless => {
                // A new command begins a new answer; an acknowledgement brings the next packet.
                self.packet = if matches!(bytes[0], 0x1B | 0x02) { 1 } else { self.packet.saturating_add(1) };
                self.waiting.extend(self.frames.endless(self.packet));
            }
            Mode::Babble => {}
            _ => return self.inner.write(bytes, deadline.saturating_sub(self.control.extra())),
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, LineError> {
        let mode = self.control.mode();
        match mode {
            Mode::Babble => {
                // Nobody waits longer than to the deadline, and nothing comes faster than the line is.
                let now = self.now();
                let room = deadline.saturating_sub(now).as_nanos() / BYTE_TIME.as_nanos() + 1;
                let count = buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                self.control.fill(&mut buffer[..count]);
                self.control.pass(BYTE_TIME * count as u32);
                self.control.took(count);
                return Ok(count);
            }
            Mode::Echo | Mode::Endless => {}
            _ if self.waiting.is_empty() => {
                let mut chunk = vec![0; CHUNK_BYTES];
                let count = self.inner.read(&mut chunk, deadline.saturating_sub(self.control.extra()))?;
                chunk.truncate(count);
                // The device in memory gives a whole frame at once.
                if mode == Mode::WrongCheck && count > 0 {
                    chunk[count - 1] ^= 0x55;
                }
                if mode == Mode::NotGbk && count > 8 && spoil(&mut chunk) {
                    self.frames.seal(&mut chunk);
                }
                self.waiting.extend(chunk);
            }
            _ => {}
        }
        let count = buffer.len().min(self.waiting.len());
        for (to, from) in buffer.iter_mut().zip(self.waiting.drain(..count)) {
            *to = from;
        }
        if count == 0 {
            self.control.pass(deadline.saturating_sub(self.now()));
        }
        self.control.took(count);
        Ok(count)
    }

    fn reopen(&mut self) -> Result<(), LineError> {
        self.waiting.clear();
        self.inner.reopen()
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// A link with a bad component.
pub(crate) struct BadLink {
    pub(crate) inner: Box<dyn DocumentLink>,
    pub(crate) control: Arc<Control>,
}

impl DocumentLink for BadLink {
    fn call(&mut self, document: &[u8], within: Duration) -> Result<Vec<u8>, DocumentError> {
        let answer = match self.control.mode() {
            Mode::Babble => {
                let mut noise = vec![0; 100_000];
                self.control.fill(&mut noise);
                noise
            }
            Mode::Echo => document.to_vec(),
            Mode::Endless => {
                // As long as a link lets through, and whole.
                let (head, tail) =
                    ("<business><body yylxdm=\"1\"><output><returnmsg>", "</returnmsg></output></body></business>");
                let filler = "A".repeat(MAX_ANSWER_BYTES - head.len() - tail.len());
                [head, &filler, tail].concat().into_bytes()
            }
            mode => {
                let mut answer = self.inner.call(document, within)?;
                if mode == Mode::NotGbk {
                    spoil(&mut answer);
                }
                answer
            }
        };
        self.control.took(answer.len());
        Ok(answer)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Bytes of a FETCH's header, and of a command block.
const FETCH_HEADER: usize = 16;
const BLOCK: usize = 31;

/// A cable with a bad USB device.
pub(crate) struct BadPort {
    pub(crate) inner: Box<dyn BulkDevice>,
    pub(crate) control: Arc<Control>,
    /// What the tamper itself answers, transfer by transfer.
    pub(crate) instead: VecDeque<Vec<u8>>,
    pub(crate) echo: Vec<u8>,
}

impl BadPort {
    /// Data and status of a FETCH whose answer has 1 MiB.
    fn endless(&mut self, block: &[u8]) {
        let allocation = u32::from_le_bytes(block[8..12].try_into().unwrap()) as usize;
        let mut data = b"TD\x01\x02".to_vec();
        data.extend(&block[15 + 4..15 + 8]);
        data.extend([b'O', 0, 0x12, 0x34]);
        data.extend(1_048_576_u32.to_be_bytes());
        data.resize(allocation.max(FETCH_HEADER), b'A');
        let status = [b"USBS".as_slice(), &block[4..8], &[0; 5]].concat();
        self.instead = VecDeque::from([data, status]);
    }

    fn damaged(&self, data: &mut [u8], mode: Mode) {
        let is_answer = data.starts_with(b"TD") && data.len() > FETCH_HEADER;
        if !is_answer {
            return;
        }
        if mode == Mode::WrongCheck {
            data[10] ^= 0x55;
        }
        if mode == Mode::NotGbk && spoil(&mut data[FETCH_HEADER..]) {
            let crc = checksum(&data[FETCH_HEADER..]).to_be_bytes();
            data[10..12].copy_from_slice(&crc);
        }
    }
}

impl BulkDevice for BadPort {
    fn now(&self) -> Duration {
        self.inner.now() + self.control.extra()
    }

    fn pause(&mut self, time: Duration) {
        self.inner.pause(time);
    }

    fn bulk_out(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), UsbError> {
        match self.control.mode() {
            Mode::Babble => Ok(()),
            Mode::Echo => {
                self.echo = bytes.to_vec();
                Ok(())
            }
            Mode::Endless if bytes.len() == BLOCK && bytes[15] == 0xD1 => {
                self.endless(bytes);
                Ok(())
            }
            _ => self.inner.bulk_out(bytes, timeout),
        }
    }

    fn bulk_in(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        let mode = self.control.mode();
        let count = match mode {
            Mode::Babble => {
                self.control.fill(buffer);
                self.control.pass(Duration::from_micros(125));
                buffer.len()
            }
            Mode::Echo => {
                let count = buffer.len().min(self.echo.len());
                buffer[..count].copy_from_slice(&self.echo[..count]);
                self.control.pass(Duration::from_micros(125));
                count
            }
            _ => match self.instead.pop_front() {
                Some(data) => {
                    let count = buffer.len().min(data.len());
                    buffer[..count].copy_from_slice(&data[..count]);
                    count
                }
                None => {
                    let count = self.inner.bulk_in(buffer, timeout)?;
                    self.damaged(&mut buffer[..count], mode);
                    count
                }
            },
        };
        self.control.took(count);
        Ok(count)
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], timeout: Duration) -> Result<(), UsbError> {
        self.instead.clear();
        self.inner.control_out(setup, data, timeout)
    }

    fn control_in(&mut self, setup: Setup, buffer: &mut [u8], timeout: Duration) -> Result<usize, UsbError> {
        self.inner.control_in(setup, buffer, timeout)
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), UsbError> {
        self.inner.clear_halt(pipe)
    }

    fn usb_reset(&mut self) -> Result<(), UsbError> {
        self.inner.usb_reset()
    }

    fn reopen(&mut self) -> Result<(), UsbError> {
        self.inner.reopen()
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }

    fn serial_number(&self) -> Option<String> {
        self.inner.serial_number()
    }

    fn packet_bytes(&self) -> usize {
        self.inner.packet_bytes()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
