//! The device side of USB/IP: takes URBs from a stream, asks the device, answers. virtual-hardware.md, section 3.
//!
//! What makes it real: a queue of pending URBs for each endpoint (that is NAK), UNLINK that takes one out of it, STALL as
//! -EPIPE. It speaks the phase after the import, as the kernel's vhci_hcd does on a socket that it is given; no device list.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{BulkIn, BulkOut, Setup, UsbDevice, standard};

/// Every message begins with so many bytes, all words big endian.
const HEADER_BYTES: usize = 48;
/// Longest transfer of one URB. usbfs allows 16 MiB in all; our longest payload is 1 MiB.
const MAX_TRANSFER_BYTES: usize = 16 << 20;
/// URBs that wait at once. A host has a handful for each endpoint.
const MAX_PENDING: usize = 1024;
/// How often to look at a device that others can change while URBs wait.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;

const EPIPE: i32 = 32;
const ECONNRESET: i32 = 104;
const EREMOTEIO: i32 = 121;
/// The host takes a short transfer for an error and wants the URBs behind it left alone.
const URB_SHORT_NOT_OK: u32 = 1;

/// A stream that USB/IP can run over.
pub trait UsbStream: Read + Write + AsFd + Send {
    /// Ends both directions for all who hold the stream.
    fn shut(&self);
}

impl UsbStream for UnixStream {
    fn shut(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl UsbStream for TcpStream {
    fn shut(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// Why the serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host's side closed.
    HostLeft,
    /// A fault took the device off the bus.
    DeviceLeft,
}

struct Pending {
    seq: u32,
    /// Address with the direction bit.
    endpoint: u8,
    length: usize,
    short_not_ok: bool,
    data: Vec<u8>,
    /// Behind a short transfer that must not be: waits to be unlinked.
    frozen: bool,
}

/// Serves until one side leaves. The stream is shut down then.
///
/// # Errors
/// The stream fails, or the host says something that is no USB/IP.
pub fn serve_usbip(mut stream: impl UsbStream, device: &mut dyn UsbDevice) -> io::Result<End> {
    device.bus_reset();
    let end = Server { stream: &mut stream, device, input: Vec::new(), pending: Vec::new() }.run();
    stream.shut();
    end
}

struct Server<'a, S> {
    stream: &'a mut S,
    device: &'a mut dyn UsbDevice,
    input: Vec<u8>,
    pending: Vec<Pending>,
}

impl<S: UsbStream> Server<'_, S> {
    fn run(mut self) -> io::Result<End> {
        loop {
            while self.take_message()? {}
            self.pump()?;
            let wake = self.device.wake_in();
            if self.device.leaves_bus() {
                return Ok(End::DeviceLeft);
            }
            // What the device has to say may have become due just now.
            if wake == Some(Duration::ZERO) && self.pump()? {
                continue;
            }
            let look = if self.pending.is_empty() { None } else { Some(LOOK) };
            if self.wait(wake.into_iter().chain(look).min())? && !self.read()? {
                return Ok(End::HostLeft);
            }
        }
    }

    /// Whether there is something to read.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut fds = [PollFd::new(&*self.stream, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; READ_BYTES];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                Ok(count > 0)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes one whole message off the input. `false` = more bytes are needed.
    fn take_message(&mut self) -> io::Result<bool> {
        let Some(header) = self.input.first_chunk::<HEADER_BYTES>().copied() else { return Ok(false) };
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        match word(0) {
            CMD_SUBMIT => {
                let (to_host, length) = (word(12) != 0, word(24) as usize);
                if length > MAX_TRANSFER_BYTES {
                    return Err(io::Error::other(format!("a transfer of {length} bytes")));
                }
                let end = HEADER_BYTES + if to_host { 0 } else { length };
                let Some(data) = self.input.get(HEADER_BYTES..end).map(<[u8]>::to_vec) else { return Ok(false) };
                self.input.drain(..end);
                // The kernel sends numbers of endpoints; the direction stands apart.
                let number = word(16).to_le_bytes()[0] & 0x0F;
                if number == 0 {
                    let setup = Setup::parse([40, 41, 42, 43, 44, 45, 46, 47].map(|at: usize| header[at]));
                    self.control(word(4), setup, to_host, length, &data)?;
                    return Ok(true);
                }
                if self.pending.len() == MAX_PENDING {
                    return Err(io::Error::other("too many transfers wait"));
                }
                let endpoint = if to_host { number | 0x80 } else { number };
                let short_not_ok = word(20) & URB_SHORT_NOT_OK != 0;
                self.pending.push(Pending { seq: word(4), endpoint, length, short_not_ok, data, frozen: false });
            }
            CMD_UNLINK => {
                self.input.drain(..HEADER_BYTES);
                let (before, victim) = (self.pending.len(), word(20));
                self.pending.retain(|urb| urb.seq != victim);
                // An answered URB cannot be taken back: 0 says so.
                let status = if self.pending.len() < before { -ECONNRESET } else { 0 };
                self.reply(RET_UNLINK, word(4), status, 0, &[])?;
            }
            other => return Err(io::Error::other(format!("no USB/IP command: {other:#x}"))),
        }
        Ok(true)
    }

    fn control(&mut self, seq: u32, setup: Setup, to_host: bool, length: usize, data: &[u8]) -> io::Result<()> {
        match standard::control(self.device, setup, data) {
            Ok(mut answer) if to_host => {
                answer.truncate(length.min(setup.length.into()));
                self.reply(RET_SUBMIT, seq, 0, answer.len(), &answer)
            }
            Ok(_) => self.reply(RET_SUBMIT, seq, 0, length, &[]),
            Err(super::Stalled) => self.reply(RET_SUBMIT, seq, -EPIPE, 0, &[]),
        }
    }

    /// Offers every pending URB to the device, in order for each endpoint, until nothing moves any more. Tells whether
    /// anything did.
    fn pump(&mut self) -> io::Result<bool> {
        let mut any = false;
        loop {
            let mut blocked: Vec<u8> = Vec::new();
            let mut moved = false;
            let mut index = 0;
            while let Some(urb) = self.pending.get(index) {
                if urb.frozen || blocked.contains(&urb.endpoint) {
                    index += 1;
                    continue;
                }
                let to_host = urb.endpoint & 0x80 != 0;
                let answer = if to_host {
                    self.device.transfer_in(urb.endpoint, urb.length)
                } else {
                    match self.device.transfer_out(urb.endpoint, &urb.data) {
                        BulkOut::Taken => BulkIn::Data(Vec::new()),
                        BulkOut::Nak => BulkIn::Nak,
                        BulkOut::Stall => BulkIn::Stall,
                    }
                };
                if answer == BulkIn::Nak {
                    blocked.push(urb.endpoint);
                    index += 1;
                    continue;
                }
                let urb = self.pending.remove(index);
                moved = true;
                self.complete(&urb, to_host, answer)?;
                if self.device.leaves_bus() {
                    return Ok(true);
                }
            }
            if !moved {
                return Ok(any);
            }
            any = true;
        }
    }

    fn complete(&mut self, urb: &Pending, to_host: bool, answer: BulkIn) -> io::Result<()> {
        match answer {
            BulkIn::Data(data) if to_host && data.len() < urb.length && urb.short_not_ok => {
                self.pending.iter_mut().filter(|other| other.endpoint == urb.endpoint).for_each(|other| other.frozen = true);
                self.reply(RET_SUBMIT, urb.seq, -EREMOTEIO, data.len(), &data)
            }
            BulkIn::Data(data) if to_host => self.reply(RET_SUBMIT, urb.seq, 0, data.len(), &data),
            BulkIn::Data(_) => self.reply(RET_SUBMIT, urb.seq, 0, urb.length, &[]),
            BulkIn::Nak | BulkIn::Stall => self.reply(RET_SUBMIT, urb.seq, -EPIPE, 0, &[]),
        }
    }

    fn reply(&mut self, command: u32, seq: u32, status: i32, actual: usize, data: &[u8]) -> io::Result<()> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&command.to_be_bytes());
        bytes[4..8].copy_from_slice(&seq.to_be_bytes());
        bytes[20..24].copy_from_slice(&status.to_be_bytes());
        // No transfer is longer than its URB, and that is below 16 MiB.
        bytes[24..28].copy_from_slice(&u32::try_from(actual).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(data);
        self.stream.write_all(&bytes)
    }
}
