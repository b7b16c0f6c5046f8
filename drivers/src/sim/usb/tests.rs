//! The server under a hand-made USB/IP host on a socket pair: enumeration, NAK, UNLINK, STALL, both devices, leaving.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::*;
use crate::sim::SimConfig;
use crate::sim::bot::{BotDevice, BotOptions, real_ticker};
use crate::sim::disk::SimDisk;
use crate::sim::faults::{Fault, FaultKind};
use crate::sim::zc::{ZcOptions, vector};

/// An answer that does not come within this is a failure; no test waits so long when it passes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Host {
    stream: UnixStream,
    seq: u32,
    thread: Option<JoinHandle<std::io::Result<End>>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    command: u32,
    seq: u32,
    status: i32,
    data: Vec<u8>,
}

fn disk() -> SimDisk {
    SimDisk::in_memory(SimConfig::of_the_vectors(), Arc::new(|| "20260302101530".parse().unwrap()))
}

fn bot() -> (Arc<Mutex<BotDevice>>, Host) {
    let device = Arc::new(Mutex::new(BotDevice::open(disk(), BotOptions::default(), real_ticker()).unwrap()));
    let host = Host::plug(UsbBot::new(Arc::clone(&device)));
    (device, host)
}

impl Host {
    fn plug(mut device: impl UsbDevice + 'static) -> Host {
        let (stream, kernel) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let thread = std::thread::spawn(move || serve_usbip(kernel, &mut device));
        Host { stream, seq: 0, thread: Some(thread) }
    }

    fn submit(&mut self, endpoint: u8, flags: u32, length: usize, setup: [u8; 8], data: &[u8]) -> u32 {
        self.seq += 1;
        let words = [1, self.seq, 0x10002, u32::from(endpoint >> 7), u32::from(endpoint & 15), flags, length as u32, 0, 0, 0];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(setup);
        bytes.extend(data);
        self.stream.write_all(&bytes).unwrap();
        self.seq
    }

    fn unlink(&mut self, victim: u32) -> u32 {
        self.seq += 1;
        let mut bytes: Vec<u8> = [2, self.seq, 0x10002, 0, 0, victim].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        bytes.resize(48, 0);
        self.stream.write_all(&bytes).unwrap();
        self.seq
    }

    fn answer(&mut self, to_host: bool) -> Answer {
        let mut header = [0; 48];
        self.stream.read_exact(&mut header).unwrap();
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let count = if to_host && word(0) == 3 { word(24) as usize } else { 0 };
        let mut data = vec![0; count];
        self.stream.read_exact(&mut data).unwrap();
        Answer { command: word(0), seq: word(4), status: word(20) as i32, data }
    }

    fn control(&mut self, setup: [u8; 8], data: &[u8]) -> Result<Vec<u8>, i32> {
        let to_host = setup[0] & 0x80 != 0;
        let length = if to_host { usize::from(u16::from_le_bytes([setup[6], setup[7]])) } else { data.len() };
        self.submit(setup[0] & 0x80, 0, length, setup, data);
        let answer = self.answer(to_host);
        if answer.status == 0 { Ok(answer.data) } else { Err(answer.status) }
    }

    fn out(&mut self, endpoint: u8, data: &[u8]) -> i32 {
        self.submit(endpoint, 0, data.len(), [0; 8], data);
        self.answer(false).status
    }

    fn read(&mut self, endpoint: u8, length: usize) -> Result<Vec<u8>, i32> {
        self.submit(endpoint, 0, length, [0; 8], &[]);
        let answer = self.answer(true);
        if answer.status == 0 { Ok(answer.data) } else { Err(answer.status) }
    }

    fn end(mut self) -> std::io::Result<End> {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.thread.take().unwrap().join().unwrap()
    }
}

const INQUIRY: &[u8] = b"USBC\x01\0\0\0\x24\0\0\0\x80\0\x06\x12\0\0\0\x24\0\0\0\0\0\0\0\0\0\0\0";

#[test]
fn the_disk_is_enumerated_and_answers() {
    let (device, mut host) = bot();
    let descriptor = host.control([0x80, 6, 0, 1, 0, 0, 64, 0], &[]).unwrap();
    assert_eq!((descriptor.len(), &descriptor[8..12]), (18, [0x09, 0x12, 0x01, 0x00].as_slice()));
    let configuration = host.control([0x80, 6, 0, 2, 0, 0, 255, 0], &[]).unwrap();
    assert_eq!((configuration.len(), configuration[2]), (32, 32));
    assert_eq!(configuration[14..17], [0x08, 0x06, 0x50]);
    assert_eq!(host.control([0x80, 6, 0, 2, 0, 0, 9, 0], &[]).unwrap(), configuration[..9]);
    let serial = host.control([0x80, 6, 3, 3, 9, 4, 255, 0], &[]).unwrap();
    let text: String = serial[2..].chunks(2).map(|unit| char::from(unit[0])).collect();
    assert_eq!(text, "499000123456");
    assert_eq!(host.control([0x80, 6, 0, 6, 0, 0, 10, 0], &[]), Err(-32), "no qualifier");
    assert_eq!(host.control([0x00, 9, 1, 0, 0, 0, 0, 0], &[]), Ok(vec![]));
    assert_eq!(host.control([0xA1, 0xFE, 0, 0, 0, 0, 1, 0], &[]), Ok(vec![0]));
    assert_eq!(host.out(2, INQUIRY), 0);
    assert_eq!(host.read(0x81, 512).unwrap()[8..15], *b"TAXDISK");
    assert_eq!(host.read(0x81, 512).unwrap(), b"USBS\x01\0\0\0\0\0\0\0\0");
    assert_eq!(device.lock().unwrap().executed, 0);
    assert_eq!(host.end().unwrap(), End::HostLeft);
}

#[test]
fn a_pending_transfer_waits_and_can_be_taken_back() {
    let (_device, mut host) = bot();
    let waiting = host.submit(0x81, 0, 512, [0; 8], &[]);
    // The answer to another endpoint overtakes it.
    assert_eq!(host.control([0xA1, 0xFE, 0, 0, 0, 0, 1, 0], &[]), Ok(vec![0]));
    let unlink = host.unlink(waiting);
    assert_eq!(host.answer(false), Answer { command: 4, seq: unlink, status: -104, data: vec![] });
    let late = host.unlink(waiting);
    assert_eq!(host.answer(false), Answer { command: 4, seq: late, status: 0, data: vec![] });
    // One that waits is answered as soon as there is something.
    let waiting = host.submit(0x81, 1, 512, [0; 8], &[]);
    let behind = host.submit(0x81, 0, 512, [0; 8], &[]);
    host.submit(2, 0, 31, [0; 8], INQUIRY);
    assert_eq!(host.answer(false).status, 0);
    // Short where the host does not allow it: an error, and what is queued behind stays untouched.
    let short = host.answer(true);
    assert_eq!((short.seq, short.status, short.data.len()), (waiting, -121, 36));
    host.unlink(behind);
    assert_eq!(host.answer(false).status, -104);
    assert_eq!(host.read(0x81, 13).unwrap()[..4], *b"USBS");
}

#[test]
fn a_stall_lasts_until_it_is_cleared() {
    let (_device, mut host) = bot();
    // READ without a medium: the data stage stalls, the status follows.
    assert_eq!(host.out(2, b"USBC\x02\0\0\0\0\x02\0\0\x80\0\x0A\x28\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"), 0);
    assert_eq!((host.read(0x81, 512), host.read(0x81, 512)), (Err(-32), Err(-32)));
    assert_eq!(host.control([0x82, 0, 0, 0, 0x81, 0, 2, 0], &[]), Ok(vec![1, 0]));
    assert_eq!(host.control([2, 1, 0, 0, 0x81, 0, 0, 0], &[]), Ok(vec![]));
    assert_eq!(host.read(0x81, 13).unwrap()[12], 1);
    assert_eq!(host.control([0x21, 0x77, 0, 0, 0, 0, 0, 0], &[]), Err(-32));
}

#[test]
fn the_device_leaves_after_signing_and_comes_back_with_its_answer() {
    let (device, mut host) = bot();
    assert!(device.lock().unwrap().faults.add(Fault::once(FaultKind::UsbUnplug).on(0x01)));
    // SEND 01 (online), no payload, token 5.
    let send = b"USBC\x03\0\0\0\0\0\0\0\0\0\x10\xD0\x01\x10\x01\0\0\0\x05\0\0\0\0\0\0\0\0";
    host.submit(2, 0, 31, [0; 8], send);
    assert_eq!(host.thread.take().unwrap().join().unwrap().unwrap(), End::DeviceLeft);
    let mut rest = Vec::new();
    // The command block may have been answered; then the line is dead.
    host.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() <= 48);
    let mut host = Host::plug(UsbBot::new(Arc::clone(&device)));
    let fetch = b"USBC\x04\0\0\0\0\x02\0\0\x80\0\x10\xD1\x01\0\0\0\0\0\x05\0\0\0\0\0\0\x02\0";
    assert_eq!(host.out(2, fetch), 0);
    assert_eq!(host.read(0x81, 512).unwrap()[..9], *b"TD\x01\x02\0\0\0\x05O");
}

#[test]
fn the_converter_is_a_serial_port() {
    let acm = UsbAcm::new(disk(), ZcOptions::default(), real_ticker());
    let (line, rig) = (acm.line(), acm.rig());
    let mut host = Host::plug(acm);
    let configuration = host.control([0x80, 6, 0, 2, 0, 0, 255, 0], &[]).unwrap();
    assert_eq!(usize::from(configuration[2]), configuration.len());
    assert_eq!(host.control([0x21, 0x20, 0, 0, 0, 0, 7, 0], &[0, 0xC2, 1, 0, 0, 0, 8]), Ok(vec![]));
    assert_eq!(host.control([0xA1, 0x21, 0, 0, 0, 0, 7, 0], &[]), Ok(vec![0, 0xC2, 1, 0, 0, 0, 8]));
    assert_eq!(host.control([0x21, 0x22, 3, 0, 0, 0, 0, 0], &[]), Ok(vec![]));
    let state = *line.lock().unwrap();
    assert_eq!((state.speed_baud, state.terminal_ready), (115_200, true));
    // The host reads before it asks; the answer may come in pieces.
    let waiting = host.submit(0x81, 0, 512, [0; 8], &[]);
    let command = vector("3.1");
    host.submit(2, 0, command.len(), [0; 8], &command);
    let (mut heard, started) = (Vec::new(), Instant::now());
    while heard != vector("3.2") {
        assert!(started.elapsed() < PATIENCE);
        let mut header = [0; 48];
        host.stream.read_exact(&mut header).unwrap();
        if header[4..8] == waiting.to_be_bytes() {
            let mut data = vec![0; u32::from_be_bytes(header[24..28].try_into().unwrap()) as usize];
            host.stream.read_exact(&mut data).unwrap();
            heard.extend(data);
        }
    }
    assert_eq!(rig.lock().unwrap().state().counters.commands.get("08"), Some(&1));
}

#[test]
fn nonsense_ends_the_line_and_not_the_process() {
    for nonsense in [vec![0xFF; 48], [&[0, 0, 0, 1], [0x7F; 44].as_slice()].concat()] {
        let (_device, mut host) = bot();
        host.stream.write_all(&nonsense).unwrap();
        assert!(host.thread.take().unwrap().join().unwrap().is_err());
    }
    let (_device, mut host) = bot();
    host.stream.write_all(&[0, 0, 0, 1, 0, 0]).unwrap();
    assert_eq!(host.end().unwrap(), End::HostLeft);
}
