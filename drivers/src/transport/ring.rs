//! What went over a line lately, bounded, and its form as JSON Lines: `{"at_us":…,"event":"sent","hex":"…"}`, an entry a line.
//!
//! A dump can be played again against a driver ([`super::record::replay`]). It keeps nothing that the recorder's mask did not
//! pass; names and numbers of people are taken out before it leaves the PC ([`crate::dialects::anonymise`]).

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::{BadEntry, Entry, Event, bytes_of};

/// Entries that are kept: some hundred commands with their packets and acknowledgements.
const ENTRIES_MAX: usize = 4096;
/// Bytes that are kept.
const BYTES_MAX: usize = 512 * 1024;

/// A ring of entries. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Tape(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    bytes: usize,
}

fn size(entry: &Entry) -> usize {
    match &entry.event {
        Event::Sent(bytes) | Event::Received(bytes) | Event::Control(_, bytes) => bytes.len(),
        Event::Reopened | Event::ClearHalt(_) | Event::Failed(..) => 0,
    }
}

impl Tape {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an entry; the oldest ones go.
    pub fn push(&self, entry: Entry) {
        let mut kept = self.lock();
        kept.bytes += size(&entry);
        kept.entries.push_back(entry);
        while kept.entries.len() > ENTRIES_MAX || kept.bytes > BYTES_MAX {
            let Some(old) = kept.entries.pop_front() else { return };
            kept.bytes -= size(&old);
        }
    }

    /// Takes all entries out, oldest first.
    pub fn take(&self) -> Vec<Entry> {
        let mut kept = self.lock();
        kept.bytes = 0;
        kept.entries.drain(..).collect()
    }
}

/// Joins what was read in parts, so that whole answers can be looked at.
pub fn joined(entries: Vec<Entry>) -> Vec<Entry> {
    let mut joined: Vec<Entry> = Vec::new();
    for entry in entries {
        match (joined.last_mut().map(|last| &mut last.event), &entry.event) {
            (Some(Event::Received(before)), Event::Received(more)) => before.extend_from_slice(more),
            _ => joined.push(entry),
        }
    }
    joined
}

/// As JSON Lines.
pub fn to_json_lines(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let (event, bytes) = entry.event.parts();
        let _ = write!(text, "{{\"at_us\":{},\"event\":\"{event}\",\"hex\":\"", entry.at.as_micros());
        bytes.iter().for_each(|byte| text.push_str(&format!("{byte:02X}")));
        text.push_str("\"}\n");
    }
    text
}

#[derive(serde::Deserialize)]
struct Line {
    at_us: u64,
    event: String,
    hex: String,
}

/// Reads what [`to_json_lines`] wrote; lines with other fields, such as a note of a failure, are passed over.
///
/// # Errors
/// A line that is neither.
pub fn from_json_lines(text: &str) -> Result<Vec<Entry>, BadEntry> {
    let mut entries = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let bad = || BadEntry(line.to_owned());
        let value: serde_json::Value = serde_json::from_str(line).map_err(|_| bad())?;
        if value.get("at_us").is_none() && value.is_object() {
            continue;
        }
        let parsed: Line = serde_json::from_value(value).map_err(|_| bad())?;
        let bytes = bytes_of(&parsed.hex).ok_or_else(bad)?;
        let event = Event::of(&parsed.event, bytes).ok_or_else(bad)?;
        entries.push(Entry { at: Duration::from_micros(parsed.at_us), event });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(at_us: u64, event: Event) -> Entry {
        Entry { at: Duration::from_micros(at_us), event }
    }

    #[test]
    fn json_lines_are_read_back_and_notes_are_passed_over() {
        let entries =
            [entry(1, Event::Sent(vec![0x1B, 0x10])), entry(7, Event::Received(vec![0, 255])), entry(9, Event::Reopened)];
        let text = format!("{{\"failure\":\"silence\"}}\n{}", to_json_lines(&entries));
        assert_eq!(from_json_lines(&text).unwrap(), entries);
        for bad in ["x", "{\"at_us\":1,\"event\":\"sent\",\"hex\":\"0\"}", "{\"at_us\":1,\"event\":\"eaten\",\"hex\":\"\"}", "7"]
        {
            assert!(from_json_lines(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ring_forgets_the_oldest_and_stays_small() {
        let tape = Tape::default();
        for at in 0..5000 {
            tape.push(entry(at, Event::Received(vec![0; 200])));
        }
        let kept = tape.take();
        assert!(kept.len() <= ENTRIES_MAX && kept.iter().map(size).sum::<usize>() <= BYTES_MAX);
        assert_eq!(kept.last().unwrap().at, Duration::from_micros(4999));
        assert!(tape.take().is_empty());
    }
}
