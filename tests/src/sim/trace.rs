//! What happened: always as a running hash, as counters of the states that are rare, and as lines for people if they ask.

use std::collections::BTreeMap;

/// Who did something, as the time line shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Merchants and administrators.
    People,
    /// The broker.
    Broker,
    /// Between broker and agents.
    Wire,
    /// An agent, or its PC.
    Agent,
    /// A disk.
    Disk,
    /// What was done to the world.
    Fault,
}

impl Lane {
    fn name(self) -> &'static str {
        match self {
            Lane::People => "people",
            Lane::Broker => "broker",
            Lane::Wire => "wire  ",
            Lane::Agent => "agent ",
            Lane::Disk => "disk  ",
            Lane::Fault => "FAULT ",
        }
    }
}

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// Virtual milliseconds.
    pub at_ms: u64,
    /// Who.
    pub lane: Lane,
    /// What.
    pub text: String,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (s, ms) = (self.at_ms / 1000, self.at_ms % 1000);
        write!(f, "{:>5}.{ms:03} s  {}  {}", s, self.lane.name(), self.text)
    }
}

/// The trace of one world.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    hash: u64,
    /// How often each rare state was reached.
    pub states: BTreeMap<&'static str, u64>,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// Lines, if they are kept.
    pub lines: Option<Vec<Line>>,
}

impl Trace {
    /// An empty one.
    pub fn new(keeps_lines: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, lines: keeps_lines.then(Vec::new), ..Trace::default() }
    }

    /// Everything that was noted, in its order.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes something into the hash.
    pub fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
    }

    /// Takes a text into the hash.
    pub fn mix_text(&mut self, text: &str) {
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// A rare state was reached.
    pub fn state(&mut self, name: &'static str) {
        *self.states.entry(name).or_default() += 1;
    }

    /// A fault happened.
    pub fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    /// A line, made only if somebody wants it.
    pub fn line(&mut self, at_ms: u64, lane: Lane, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at_ms, lane, text: text() });
        }
    }
}

/// States that a run must reach, each at least once, or it has proven nothing about them.
pub const STATES: [&str; 39] = [
    "accepted",
    "repeated",
    "conflict",
    "issued_clean",
    "issued_by_reading",
    "not_issued",
    "given_back",
    "unsettled",
    "lapsed",
    "settled_by_hand",
    "settle_refused",
    "late_outcome",
    "late_claim",
    "recall",
    "cancelled",
    "reissued",
    "voided",
    "red_issued",
    "undo_refused",
    "blank_void",
    "disk_moved",
    "two_claimants",
    "clone_refused",
    "journal_another",
    "journal_went_back",
    "ledger_went_back",
    "recounted",
    "recovered",
    "unknown_number",
    "number_decided",
    "line_decided",
    "foreign_number",
    "withheld",
    "woke",
    "commit_lost",
    "commit_kept_unanswered",
    "write_lost",
    "late_execution",
    "silence_noticed",
];
