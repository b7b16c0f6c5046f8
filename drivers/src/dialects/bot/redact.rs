//! Masks passwords in commands, and takes people out of a recording that leaves the PC. Checksums are made to fit, so that it
//! still replays.
//!
//! A command is a wrapper and its data in one or two transfers, an answer one or more transfers that begin with a header; both
//! are put together before anything is looked for in them. What it does not know, it masks whole.

use super::cdb::{HEADER_BYTES, State, parse_header};
use crate::dialects::zc::crc::checksum;
use crate::dialects::zc::mask_fields;
use crate::redact::{MASK, Names, anonymise_document, mask_document, numbers, text};
use crate::transport::record::{Entry, Event};
use crate::transport::usb::bot::CBW_BYTES;

/// Where the descriptor block stands in a wrapper, and in it what a SEND says.
const CDB_AT: usize = 15;
const PAYLOAD_TYPE_AT: usize = CDB_AT + 2;
const COMMAND_AT: usize = CDB_AT + 3;
const TOKEN_AT: usize = CDB_AT + 4;
const CHECKSUM_AT: usize = CDB_AT + 12;

const SEND: u8 = 0xD0;
const FETCH: u8 = 0xD1;
const FIXED: u8 = 0x10;
const XML: u8 = 0x20;

fn is_wrapper(bytes: &[u8], operation: u8) -> bool {
    bytes.len() == CBW_BYTES && bytes.starts_with(b"USBC") && bytes[CDB_AT] == operation
}

fn seal(wrapper: &mut [u8], data: &[u8]) {
    wrapper[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&checksum(data).to_be_bytes());
}

/// Masks the passwords of a whole command, for [`crate::transport::usb::record::RecordedUsb`].
pub fn mask_command(wrapper: &mut [u8], data: &mut [u8]) {
    if !is_wrapper(wrapper, SEND) {
        return data.fill(MASK);
    }
    match wrapper[PAYLOAD_TYPE_AT] {
        FIXED => mask_fields(wrapper[COMMAND_AT], data),
        XML => data.copy_from_slice(&mask_document(data)),
        _ => data.fill(MASK),
    }
    seal(wrapper, data);
}

/// A recording without people in it.
pub fn anonymise(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut names = Names::new();
    let mut at = 0;
    while at < entries.len() {
        let taken = match &entries[at].event {
            Event::Sent(bytes) if is_wrapper(bytes, SEND) => command(&mut entries[at..], &mut names),
            Event::Received(bytes) if bytes.starts_with(b"TD") => answer(&mut entries[at..], &mut names),
            _ => 1,
        };
        at += taken;
    }
    entries
}

fn clean(data: &mut [u8], names: &mut Names) {
    if data.trim_ascii_start().starts_with(b"<") {
        anonymise_document(data, names);
    } else {
        text(data);
        numbers(data, names);
    }
}

/// A wrapper and the transfers behind it. Returns how many entries it is.
fn command(entries: &mut [Entry], names: &mut Names) -> usize {
    let data_of = |entry: &Entry| match &entry.event {
        Event::Sent(bytes) if !bytes.starts_with(b"USBC") => Some(bytes.clone()),
        _ => None,
    };
    let parts: Vec<Vec<u8>> = entries[1..].iter().map_while(data_of).collect();
    let mut data = parts.concat();
    clean(&mut data, names);
    if let Event::Sent(wrapper) = &mut entries[0].event {
        seal(wrapper, &data);
    }
    let mut from = 0;
    for (entry, part) in entries[1..].iter_mut().zip(&parts) {
        entry.event = Event::Sent(data[from..from + part.len()].to_vec());
        from += part.len();
    }
    1 + parts.len()
}

/// The answer whose first part is here. All its parts are changed; the entries between them are looked at in their turn.
fn answer(entries: &mut [Entry], names: &mut Names) -> usize {
    let read = |event: &Event| match event {
        Event::Received(bytes) => parse_header(bytes).ok().map(|header| (header, bytes[HEADER_BYTES..].to_vec())),
        _ => None,
    };
    let Some((header, first)) = read(&entries[0].event) else {
        if let Event::Received(bytes) = &mut entries[0].event {
            bytes.fill(MASK);
        }
        return 1;
    };
    if !matches!(header.state, State::Done { .. }) || first.is_empty() {
        return 1;
    }
    let total = usize::try_from(header.total).unwrap_or(usize::MAX);
    let (mut data, mut places) = (first.clone(), vec![(0, first.len())]);
    for (at, entry) in entries.iter().enumerate().skip(1) {
        if data.len() >= total {
            break;
        }
        match read(&entry.event) {
            Some((again, part)) if again == header => {
                places.push((at, part.len()));
                data.extend(part);
            }
            // Another answer began: this one was given up.
            Some(_) => break,
            None => {}
        }
    }
    if checksum(&data) != header.crc {
        // Damaged, or a part of it is missing: nobody knows what stands where.
        data.fill(MASK);
    } else {
        clean(&mut data, names);
    }
    let crc = checksum(&data).to_be_bytes();
    let mut from = 0;
    for (at, length) in places {
        if let Event::Received(bytes) = &mut entries[at].event {
            // A damaged one stays damaged.
            if !data.iter().all(|byte| *byte == MASK) {
                bytes[10..12].copy_from_slice(&crc);
            }
            bytes[HEADER_BYTES..].copy_from_slice(&data[from..from + length]);
        }
        from += length;
    }
    // A second part stands further on: it is clean, and would be taken for a first one.
    skip(entries, total)
}

/// How many entries until the last part of the answer that begins here.
fn skip(entries: &[Entry], total: usize) -> usize {
    let mut have = 0;
    for (at, entry) in entries.iter().enumerate() {
        if let Event::Received(bytes) = &entry.event
            && let Ok(header) = parse_header(bytes)
            && usize::try_from(header.total) == Ok(total)
        {
            have += bytes.len() - HEADER_BYTES;
            if have >= total {
                return at + 1;
            }
        }
    }
    1
}

/// The floor of tokens under which a recording was made: the driver asked for the one above it when it greeted the disk.
pub fn token_floor(entries: &[Entry]) -> u32 {
    let asked = entries.iter().find_map(|entry| match &entry.event {
        Event::Sent(bytes) if is_wrapper(bytes, FETCH) => {
            let token = bytes[TOKEN_AT..TOKEN_AT + 4].try_into().map(u32::from_be_bytes).unwrap_or(0);
            (token > 0).then_some(token)
        }
        _ => None,
    });
    asked.map_or(0, |token| token - 1)
}
