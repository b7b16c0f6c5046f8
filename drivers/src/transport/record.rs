//! A line that records what goes over it, passwords masked, in a text that a person can read and a test can replay.
//!
//! It never keeps a byte that the dialect's mask did not pass. The mask sees whole writes: a dialect writes one frame at a time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::memory::Step;
use super::{BrokenWrite, ByteLine, LineError};

/// One write, one read, or a reopening. As text: `> 3500.000 1B10…`, time in milliseconds, bytes in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Time of the line.
    pub at: Duration,
    /// What happened.
    pub event: Event,
}

/// What happened on a recorded line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The host wrote this (`>`), masked.
    Sent(Vec<u8>),
    /// The host read this (`<`).
    Received(Vec<u8>),
    /// The line was opened again (`=`).
    Reopened,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, bytes): (_, &[u8]) = match &self.event {
            Event::Sent(bytes) => ('>', bytes),
            Event::Received(bytes) => ('<', bytes),
            Event::Reopened => ('=', &[]),
        };
        write!(f, "{sign} {}.{:03} ", self.at.as_millis(), self.at.subsec_micros() % 1000)?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// A line of a recording that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a line of a recording: `>`, `<` or `=`, milliseconds, hex bytes")]
pub struct BadEntry(pub String);

impl FromStr for Entry {
    type Err = BadEntry;

    fn from_str(text: &str) -> Result<Entry, BadEntry> {
        let parse = || {
            let mut words = text.splitn(3, ' ');
            let (sign, time, hex) = (words.next()?, words.next()?, words.next()?.trim());
            let (ms, us) = time.split_once('.')?;
            let at = Duration::from_millis(ms.parse().ok()?) + Duration::from_micros(us.parse().ok()?);
            let digits = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
            let bytes = (0..hex.len()).step_by(2).map(digits).collect::<Option<Vec<u8>>>()?;
            let event = match sign {
                ">" => Event::Sent(bytes),
                "<" => Event::Received(bytes),
                "=" => Event::Reopened,
                _ => return None,
            };
            Some(Entry { at, event })
        };
        parse().ok_or_else(|| BadEntry(text.to_owned()))
    }
}

/// A script that plays a recording again. Masked bytes are expected as they were masked.
pub fn replay(entries: &[Entry]) -> Vec<Step> {
    let mut before = Duration::ZERO;
    let step = |entry: &Entry| {
        let delay = entry.at.saturating_sub(before);
        before = entry.at;
        match &entry.event {
            Event::Sent(bytes) => Some(Step::Expect(bytes.clone())),
            Event::Received(bytes) => Some(Step::Reply(delay, bytes.clone())),
            Event::Reopened => None,
        }
    };
    entries.iter().filter_map(step).collect()
}

/// A line under a recorder.
pub struct Recorded<L, S> {
    line: L,
    mask: fn(&[u8]) -> Vec<u8>,
    sink: S,
}

impl<L: ByteLine, S: FnMut(Entry) + Send> Recorded<L, S> {
    /// Records what goes over a line; `mask` is the dialect's, such as [`crate::dialects::zc::redact_frame`].
    pub fn new(line: L, mask: fn(&[u8]) -> Vec<u8>, sink: S) -> Recorded<L, S> {
        Recorded { line, mask, sink }
    }

    fn keep(&mut self, event: Event) {
        let at = self.line.now();
        (self.sink)(Entry { at, event });
    }
}

impl<L: ByteLine, S: FnMut(Entry) + Send> ByteLine for Recorded<L, S> {
    fn now(&self) -> Duration {
        self.line.now()
    }

    fn write(&mut self, bytes: &[u8], deadline: Duration) -> Result<(), BrokenWrite> {
        let outcome = self.line.write(bytes, deadline);
        // The mask needs the whole frame; what of it was written is cut off afterwards.
        let mut masked = (self.mask)(bytes);
        if let Err(broken) = &outcome {
            masked.truncate(broken.written);
        }
        self.keep(Event::Sent(masked));
        outcome
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<usize, LineError> {
        let count = self.line.read(buffer, deadline)?;
        if count > 0 {
            self.keep(Event::Received(buffer[..count].to_vec()));
        }
        Ok(count)
    }

    fn drop_output(&mut self) {
        self.line.drop_output();
    }

    fn reopen(&mut self) -> Result<(), LineError> {
        let outcome = self.line.reopen();
        self.keep(Event::Reopened);
        outcome
    }

    fn set_speed(&mut self, speed_baud: u32) -> Result<(), LineError> {
        let outcome = self.line.set_speed(speed_baud);
        self.keep(Event::Reopened);
        outcome
    }

    fn is_open(&self) -> bool {
        self.line.is_open()
    }

    fn describe(&self) -> String {
        self.line.describe()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn entries_are_text_and_back() {
        for event in [Event::Sent(vec![0x1B, 0x10]), Event::Received(vec![0, 255]), Event::Reopened] {
            let entry = Entry { at: Duration::from_micros(3_500_042), event };
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
        for bad in ["", ">", "> 1.000", "? 1.000 00", "> x.000 00", "> 1.000 0", "> 1.000 é", "> 1 00"] {
            assert!(bad.parse::<Entry>().is_err(), "{bad:?}");
        }
    }
}
