//! What went over a line, a USB device or a document link, passwords masked, in a text that a person can read and a test can
//! replay; and the recorder of a line. Those of the other transports are [`super::usb::record`] and
//! [`super::document::record`].
//!
//! It never keeps a byte that the dialect's mask did not pass. The mask sees whole writes: a dialect writes one frame at a time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::memory::Step;
use super::usb::Pipe;
use super::{BrokenWrite, ByteLine, LineError};

/// One thing that happened. As text: `> 3500.000 1B10…`, time in milliseconds, bytes in hex or a word.
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
    /// A control transfer of USB (`!`): request type, request, value and index, big endian, and what came from the device.
    Control([u8; 6], Vec<u8>),
    /// The halt of an endpoint of USB was cleared (`~`).
    ClearHalt(Pipe),
    /// It did not come to an end (`?`).
    Failed(During, How),
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// As it is written.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }

            /// What the word says.
            pub fn of(word: &str) -> Option<$name> {
                match word {
                    $($word => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// What failed.
    During {
        /// Opening it anew.
        Open = "open",
        /// A transfer to the device.
        Out = "out",
        /// A transfer from the device.
        In = "in",
        /// A control transfer, or clearing a halt.
        Control = "control",
        /// A document and its answer.
        Call = "call",
    }
}

words! {
    /// How it failed.
    How {
        /// The device refused.
        Stall = "stall",
        /// In time.
        Timeout = "timeout",
        /// The device went away, or is not there.
        Gone = "gone",
        /// It sent too much.
        Overflow = "overflow",
        /// Anything else on the bus.
        Io = "io",
        /// The document certainly did not leave.
        NotSent = "not_sent",
        /// It may have.
        MaybeSent = "maybe_sent",
    }
}

impl Event {
    /// Its kind, as a word of JSON Lines, and its bytes.
    pub(super) fn parts(&self) -> (String, Vec<u8>) {
        match self {
            Event::Sent(bytes) => ("sent".to_owned(), bytes.clone()),
            Event::Received(bytes) => ("received".to_owned(), bytes.clone()),
            Event::Reopened => ("reopened".to_owned(), Vec::new()),
            Event::Control(setup, data) => ("control".to_owned(), [setup.as_slice(), data].concat()),
            Event::ClearHalt(Pipe::In) => ("clear_in".to_owned(), Vec::new()),
            Event::ClearHalt(Pipe::Out) => ("clear_out".to_owned(), Vec::new()),
            Event::Failed(during, how) => (format!("{}:{}", during.word(), how.word()), Vec::new()),
        }
    }

    /// The event of this kind with these bytes.
    pub(super) fn of(kind: &str, bytes: Vec<u8>) -> Option<Event> {
        let empty = bytes.is_empty();
        Some(match kind {
            "sent" => Event::Sent(bytes),
            "received" => Event::Received(bytes),
            "reopened" if empty => Event::Reopened,
            "control" => {
                let (setup, data) = bytes.split_first_chunk::<6>()?;
                Event::Control(*setup, data.to_vec())
            }
            "clear_in" if empty => Event::ClearHalt(Pipe::In),
            "clear_out" if empty => Event::ClearHalt(Pipe::Out),
            failed if empty => {
                let (during, how) = failed.split_once(':')?;
                Event::Failed(During::of(during)?, How::of(how)?)
            }
            _ => return None,
        })
    }

    fn sign(&self) -> char {
        match self {
            Event::Sent(_) => '>',
            Event::Received(_) => '<',
            Event::Reopened => '=',
            Event::Control(..) => '!',
            Event::ClearHalt(_) => '~',
            Event::Failed(..) => '?',
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, bytes) = self.event.parts();
        write!(f, "{} {}.{:03} ", self.event.sign(), self.at.as_millis(), self.at.subsec_micros() % 1000)?;
        match self.event {
            Event::ClearHalt(_) | Event::Failed(..) => f.write_str(&kind),
            _ => bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}")),
        }
    }
}

/// A line of a recording that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a line of a recording: a sign (`>`, `<`, `=`, `!`, `~` or `?`), milliseconds, hex bytes or a word")]
pub struct BadEntry(pub String);

/// The longest time of an entry, milliseconds: a hundred years.
pub(super) const MAX_TIME_MS: u64 = 100 * 366 * 24 * 3_600_000;

/// Bytes of hex digits, two each.
pub(super) fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let digits = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(digits).collect()
}

impl FromStr for Entry {
    type Err = BadEntry;

    fn from_str(text: &str) -> Result<Entry, BadEntry> {
        let parse = || {
            let mut words = text.splitn(3, ' ');
            let (sign, time, hex) = (words.next()?, words.next()?, words.next()?.trim());
            let (ms, us) = time.split_once('.')?;
            // Half an hour is a long call; this is a long life.
            let ms = ms.parse().ok().filter(|ms| *ms <= MAX_TIME_MS)?;
            let us = us.parse().ok().filter(|us| *us < 1000)?;
            let at = Duration::from_millis(ms) + Duration::from_micros(us);
            let event = match sign {
                ">" => Event::of("sent", bytes_of(hex)?),
                "<" => Event::of("received", bytes_of(hex)?),
                "=" => Event::of("reopened", bytes_of(hex)?),
                "!" => Event::of("control", bytes_of(hex)?),
                "~" | "?" => Event::of(hex, Vec::new()).filter(|event| event.sign().to_string() == sign),
                _ => None,
            }?;
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
            // A line has none of the others.
            _ => None,
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
        let usb = [
            Event::Control([0x21, 0xFF, 0, 0, 0, 0], vec![1]),
            Event::ClearHalt(Pipe::In),
            Event::ClearHalt(Pipe::Out),
            Event::Failed(During::Out, How::Stall),
            Event::Failed(During::Call, How::MaybeSent),
        ];
        for event in [Event::Sent(vec![0x1B, 0x10]), Event::Received(vec![0, 255]), Event::Reopened].into_iter().chain(usb) {
            let entry = Entry { at: Duration::from_micros(3_500_042), event };
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
        for bad in [
            "",
            ">",
            "> 1.000",
            "? 1.000 00",
            "> x.000 00",
            "> 1.000 0",
            "> 1.000 é",
            "> 1 00",
            "> 1.000 +1",
            "~ 1.000 out:stall",
            "! 1.000 00",
        ] {
            assert!(bad.parse::<Entry>().is_err(), "{bad:?}");
        }
    }
}
