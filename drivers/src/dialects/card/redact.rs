//! Masks PINs in frames, so that traffic can be recorded, and takes people out of a recording that leaves the PC. What it does
//! not know, it masks whole.

use super::files::IDENTITY;
use super::frame::sum;
use crate::redact::{MASK, Names, numbers, text};
use crate::transport::record::{Entry, Event};
use crate::transport::ring::joined;

/// Where the instruction byte of a command stands in a frame, and where its data begins.
const INSTRUCTION_AT: usize = 7;
const DATA_AT: usize = 11;

/// VERIFY carries a PIN, F9 the fiscal PIN.
const WITH_PIN: [u8; 2] = [0x20, 0xF9];

/// A copy of a frame with the PIN masked and the sum made to fit. Answers stay as they are; parts of requests are masked.
pub fn redact_frame(frame: &[u8]) -> Vec<u8> {
    let mut copy = frame.to_vec();
    let says = |at: usize, rest: usize| frame.get(at).is_some_and(|len| usize::from(*len) + rest == frame.len());
    if matches!(frame.first(), Some(0x05 | 0x50)) && says(1, 2) {
        return copy;
    }
    if frame.first() != Some(&0x02) || !says(4, 5) {
        copy.fill(MASK);
        return copy;
    }
    if frame[5] == 0x50 && frame.get(INSTRUCTION_AT).is_some_and(|instruction| WITH_PIN.contains(instruction)) {
        let end = copy.len() - 1;
        copy[DATA_AT.min(end)..end].fill(MASK);
        copy[end] = sum(&copy[..end]);
    }
    copy
}

/// Start, length and type before the data of an answer; its status word and sum behind.
const ANSWER_DATA_AT: usize = 3;
const ANSWER_END_BYTES: usize = 3;

/// A recording without people in it: only the file with the card's owner names any. What is no frame is masked whole.
pub fn anonymise(entries: Vec<Entry>) -> Vec<Entry> {
    let mut names = Names::new();
    let mut clean = |entry: Entry| {
        let event = match entry.event {
            Event::Received(bytes) => Event::Received(answers(&bytes, &mut names)),
            other => other,
        };
        Entry { event, ..entry }
    };
    joined(entries).into_iter().map(&mut clean).collect()
}

fn answers(bytes: &[u8], names: &mut Names) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    let mut from = 0;
    while from < copy.len() {
        let rest = &copy[from..];
        let whole = rest.get(1).map(|len| usize::from(*len) + 2).and_then(|end| rest.get(..end));
        let Some(frame) = whole.filter(|frame| frame.len() > ANSWER_DATA_AT && matches!(frame[0], 0x05 | 0x50)) else {
            copy[from..].fill(MASK);
            break;
        };
        let end = from + frame.len();
        let is_good = sum(&frame[..frame.len() - 1]) == frame[frame.len() - 1];
        if !is_good {
            copy[from..end].fill(MASK);
        } else if frame.len() == ANSWER_DATA_AT + usize::from(IDENTITY.bytes) + ANSWER_END_BYTES {
            let data = &mut copy[from + ANSWER_DATA_AT..end - ANSWER_END_BYTES];
            text(&mut data[NAME]);
            numbers(&mut data[TAXPAYER], names);
            copy[end - 1] = sum(&copy[from..end - 1]);
        }
        from = end;
    }
    copy
}

/// Where EF02 holds its owner's number and name; the rest is binary.
const TAXPAYER: std::ops::Range<usize> = 26..46;
const NAME: std::ops::Range<usize> = 57..97;
