//! Takes people out of a recording that leaves the PC: Chinese text becomes 某, numbers as long as a taxpayer's become made-up
//! ones of the same length, the same one everywhere. Lengths stay and checksums are made to fit, so that it still replays.
//!
//! Passwords are masked before, by [`super::redact_frame`]. What is no frame is masked whole. The text of an error is kept: it
//! names no one.

use std::collections::BTreeMap;

use super::crc::checksum;
use crate::transport::record::{Entry, Event};
use crate::transport::ring::joined;

/// 某 in GBK.
const SOMEBODY: [u8; 2] = [0xC4, 0xB3];
/// What stands for a byte of something that is no frame.
const MASK: u8 = b'*';
/// Lengths of taxpayer numbers.
const LENGTHS: [usize; 4] = [15, 17, 18, 20];
/// The longest of them.
const LONGEST: usize = 20;
/// Length of a disk number.
const DISK_BYTES: usize = 12;

/// A recording without people in it.
pub fn anonymise(entries: Vec<Entry>) -> Vec<Entry> {
    let mut names = BTreeMap::new();
    let clean = |entry: Entry| {
        let event = match entry.event {
            Event::Sent(bytes) => Event::Sent(frames(&bytes, &mut names)),
            Event::Received(bytes) => Event::Received(frames(&bytes, &mut names)),
            Event::Reopened => Event::Reopened,
        };
        Entry { event, ..entry }
    };
    joined(entries).into_iter().map(clean).collect()
}

type Names = BTreeMap<Vec<u8>, usize>;

/// Where the first frame's data begins and where the frame ends.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let fits = |header: usize, len: usize| {
        let end = len + 2;
        let body = bytes.get(..end).filter(|_| end >= header + 2)?;
        (checksum(&body[..end - 2]).to_be_bytes() == body[end - 2..]).then_some((header, end))
    };
    let one = |at: usize| bytes.get(at).map(|len| usize::from(*len));
    match bytes.get(..2)? {
        [0x1B, 0x10] => fits(5, one(4)?),
        // Answers, and acknowledgements with a packet number.
        b"OK" | b"ER" | b"WT" | b"NP" => fits(4, one(3)?).or_else(|| fits(5, one(4)?)),
        _ => None,
    }
}

fn frames(bytes: &[u8], names: &mut Names) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    let mut from = 0;
    while from < copy.len() {
        let Some((header, len)) = frame(&copy[from..]) else {
            let keep = (from + 4).min(copy.len());
            copy[keep..].fill(MASK);
            break;
        };
        let (data, end) = (from + header, from + len - 2);
        if &copy[from..from + 2] != b"ER" {
            text(&mut copy[data..end]);
            numbers(&mut copy[data..end], names);
            let crc = checksum(&copy[from..end]).to_be_bytes();
            copy[end..end + 2].copy_from_slice(&crc);
        }
        from += len;
    }
    copy
}

fn text(data: &mut [u8]) {
    let mut at = 0;
    while at < data.len() {
        if data[at] < 0x81 {
            at += 1;
        } else if data.get(at + 1).is_some_and(|low| *low >= 0x40) {
            data[at..at + 2].copy_from_slice(&SOMEBODY);
            at += 2;
        } else {
            data[at] = SOMEBODY[0];
            at += 1;
        }
    }
}

fn numbers(data: &mut [u8], names: &mut Names) {
    let is_part = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let mut at = 0;
    while at < data.len() {
        let length = data[at..].iter().take_while(|byte| is_part(byte)).count();
        let run = &mut data[at..at + length];
        if length > LONGEST {
            long(run, names);
        } else if LENGTHS.contains(&length) {
            replace(run, names);
        }
        at += length.max(1);
    }
}

/// Fields that stand beside each other without a gap.
fn long(run: &mut [u8], names: &mut Names) {
    let known = names.keys().find_map(|name| Some((run.windows(name.len()).position(|part| part == name)?, name.len())));
    match known {
        Some((at, length)) => replace(&mut run[at..at + length], names),
        // The number of the disk, then that of its taxpayer: how the disk tells who it is.
        None if LENGTHS.contains(&(run.len() - DISK_BYTES)) => replace(&mut run[DISK_BYTES..], names),
        // Better not replayable than somebody's.
        None => replace(run, names),
    }
}

fn replace(number: &mut [u8], names: &mut Names) {
    if number.iter().all(|byte| *byte == b'0') {
        return;
    }
    let count = names.len();
    let index = *names.entry(number.to_vec()).or_insert(count);
    let length = number.len();
    let shown = format!("{:0length$}", index + 1);
    number.iter_mut().zip(shown.bytes()).for_each(|(byte, digit)| *byte = if digit == b'0' { b'9' } else { digit });
}
