//! Takes people out of a recording that leaves the PC: Chinese text becomes 某, numbers as long as a taxpayer's become made-up
//! ones of the same length, the same one everywhere. Lengths stay and checksums are made to fit, so that it still replays.
//!
//! Passwords are masked before, by [`super::redact_frame`]. What is no frame is masked whole. The text of an error is kept: it
//! names no one.

use super::crc::checksum;
use crate::redact::{MASK, Names, anonymise_document, numbers, text};
use crate::transport::record::{Entry, Event};
use crate::transport::ring::joined;

/// A recording without people in it.
pub fn anonymise(entries: Vec<Entry>) -> Vec<Entry> {
    let mut names = Names::new();
    let clean = |entry: Entry| {
        let event = match entry.event {
            Event::Sent(bytes) => Event::Sent(frames(&bytes, &mut names)),
            Event::Received(bytes) => Event::Received(frames(&bytes, &mut names)),
            other => other,
        };
        Entry { event, ..entry }
    };
    joined(entries).into_iter().map(clean).collect()
}

/// A frame at the beginning of some bytes.
struct Found {
    /// Where its data begins.
    header: usize,
    /// Where it ends.
    end: usize,
    /// It holds a document.
    xml: bool,
}

fn frame(bytes: &[u8]) -> Option<Found> {
    let fits = |header: usize, len: usize, xml: bool| {
        let end = len + 2;
        let body = bytes.get(..end).filter(|_| end >= header + 2)?;
        (checksum(&body[..end - 2]).to_be_bytes() == body[end - 2..]).then_some(Found { header, end, xml })
    };
    let one = |at: usize| bytes.get(at).map(|len| usize::from(*len));
    let two = |at: usize| Some(one(at)? << 8 | one(at + 1)?);
    match bytes.get(..2)? {
        [0x1B, 0x10] => fits(5, one(4)?, false),
        [0x1B, 0x20] => fits(6, two(4)?, true),
        // Answers, and acknowledgements with a packet number; then those of the form with documents.
        b"OK" | b"ER" | b"WT" | b"NP" => {
            fits(4, one(3)?, false).or_else(|| fits(5, one(4)?, false)).or_else(|| fits(5, two(3)?, true))
        }
        _ => None,
    }
}

fn frames(bytes: &[u8], names: &mut Names) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    let mut from = 0;
    while from < copy.len() {
        let Some(Found { header, end: len, xml }) = frame(&copy[from..]) else {
            let keep = (from + 4).min(copy.len());
            copy[keep..].fill(MASK);
            break;
        };
        let (data, end) = (from + header, from + len - 2);
        if &copy[from..from + 2] != b"ER" {
            if xml {
                anonymise_document(&mut copy[data..end], names);
            } else {
                text(&mut copy[data..end]);
                numbers(&mut copy[data..end], names);
            }
            let crc = checksum(&copy[from..end]).to_be_bytes();
            copy[end..end + 2].copy_from_slice(&crc);
        }
        from += len;
    }
    copy
}
