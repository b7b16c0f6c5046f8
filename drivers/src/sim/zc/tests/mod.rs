//! A bench for the device: a disk in memory, virtual time, and a small host made of hand-built bytes.
#![allow(clippy::unwrap_used)]

mod faults;
mod golden;
mod hostile;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use super::frame::crc16;
use super::{ZcDevice, ZcOptions};
use crate::sim::config::SimConfig;
use crate::sim::disk::SimDisk;
use crate::sim::faults::{Fault, Faults};
use crate::sim::ledger::LedgerEntry;

pub(super) struct Bench {
    pub(super) disk: SimDisk,
    pub(super) faults: Faults,
    pub(super) device: ZcDevice,
    pub(super) now: Duration,
}

impl Bench {
    pub(super) fn new() -> Bench {
        Bench::with(SimConfig::of_the_vectors(), ZcOptions::default())
    }

    pub(super) fn with(config: SimConfig, options: ZcOptions) -> Bench {
        let never = Arc::new(|| "20000101000000".parse().unwrap());
        let disk = SimDisk::in_memory(config, never);
        Bench { disk, faults: Faults::default(), device: ZcDevice::new(options), now: Duration::from_secs(1) }
    }

    pub(super) fn fault(&mut self, fault: Fault) -> &mut Bench {
        assert!(self.faults.add(fault));
        self
    }

    /// Sends bytes and takes what is answered at once.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.device.receive(bytes, self.now);
        self.device.advance(&mut self.disk, &mut self.faults, self.now);
        self.device.take_output(self.now)
    }

    /// Lets virtual time pass, wake-up by wake-up, and takes what is answered in it.
    pub(super) fn wait(&mut self, ms: u64) -> Vec<u8> {
        let end = self.now + Duration::from_millis(ms);
        let mut heard = Vec::new();
        let mut rounds = 0;
        while let Some(at) = self.device.wake_at().filter(|at| *at <= end) {
            // A wake-up in the past would be a busy loop of the shell.
            self.now = self.now.max(at);
            self.device.advance(&mut self.disk, &mut self.faults, self.now);
            heard.extend(self.device.take_output(self.now));
            rounds += 1;
            assert!(rounds < 100_000, "the device keeps waking up without doing anything");
        }
        self.now = end;
        heard
    }

    /// A command of any length, packet by packet, with the NPs in between; gives all that is heard after the last packet.
    pub(super) fn command(&mut self, packets: &[Vec<u8>]) -> Vec<u8> {
        let (last, first) = packets.split_last().unwrap();
        for packet in first {
            assert_eq!(self.send(packet), host_answer(b"NP", &[packet[3]]));
        }
        self.send(last)
    }

    /// Takes the rest of a long answer, of which `heard` is the first frame; gives all data.
    pub(super) fn whole_answer(&mut self, heard: Vec<u8>) -> Vec<u8> {
        let (mut frame, mut data) = (heard, Vec::new());
        let long = frame[2] != 0;
        loop {
            assert_eq!(&frame[..2], b"OK", "{frame:02X?}");
            assert_eq!(frame.len(), usize::from(frame[3]) + 2);
            data.extend_from_slice(&frame[4..frame.len() - 2]);
            if frame[2] == 0 {
                break;
            }
            frame = self.send(&host_answer(b"NP", &[frame[2]]));
        }
        if long {
            assert_eq!(self.send(&host_answer(b"OK", &[])), b"");
        }
        data
    }

    pub(super) fn entries(&self) -> &[LedgerEntry] {
        self.disk.ledger().entries()
    }

    /// The handshake answers: the line is in a known state.
    pub(super) fn assert_alive(&mut self) {
        assert_eq!(self.send(&vector("1.1")), vector("1.2"));
    }
}

/// A frame of section 10, by item and place.
pub(in crate::sim) fn vector(name: &str) -> Vec<u8> {
    let line = include_str!("vectors.txt").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    let mut text = String::new();
    for part in line.split('{') {
        match part.strip_prefix("00*").and_then(|part| part.split_once('}')) {
            Some((count, rest)) => {
                text += &"00".repeat(count.parse().unwrap());
                text += rest;
            }
            None => text += part,
        }
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(super) fn vectors(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| vector(name)).collect()
}

/// 0A of one line, in its three packets.
pub(super) fn issue() -> Vec<Vec<u8>> {
    vectors(&["4.1", "4.2", "4.3"])
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc16(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

/// One packet of type 0x10.
pub(super) fn packet(cmd: u8, number: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(5 + data.len()).unwrap();
    sealed([&[0x1B, 0x10, cmd, number, length], data].concat())
}

/// A command of type 0x10 in its packets.
pub(super) fn packets(cmd: u8, data: &[u8]) -> Vec<Vec<u8>> {
    let count = data.chunks(248).count().max(1);
    if data.is_empty() {
        return vec![packet(cmd, 0, data)];
    }
    let number = |index: usize| if index + 1 == count { 0 } else { u8::try_from(index + 1).unwrap() };
    data.chunks(248).enumerate().map(|(index, data)| packet(cmd, number(index), data)).collect()
}

/// The data of a command in its packets.
pub(super) fn data_of(packets: &[Vec<u8>]) -> Vec<u8> {
    packets.iter().flat_map(|packet| packet[5..packet.len() - 2].to_vec()).collect()
}

pub(super) fn host_answer(letters: &[u8; 2], data: &[u8]) -> Vec<u8> {
    sealed([letters, [0, u8::try_from(4 + data.len()).unwrap()].as_slice(), data].concat())
}

pub(super) fn error_text(text: &str) -> Vec<u8> {
    host_answer(b"ER", &super::fields::gbk(text))
}

/// The host's NP for a packet.
pub(in crate::sim) fn host_next(number: u8) -> Vec<u8> {
    host_answer(b"NP", &[number])
}
