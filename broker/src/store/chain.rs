//! The chain of hashes over a seller's events: a row that was changed, removed or put in between is noticed.

use sha2::{Digest, Sha256};

/// What the first entry of a chain is chained to.
pub const ROOT: [u8; 32] = [0; 32];

/// One entry, as its hash covers it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Seller; empty for the broker's own chain.
    pub seller: &'a str,
    /// Counts from 1 in its chain.
    pub sequence: i64,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Serial number of the job; empty if it is about none.
    pub serial: &'a str,
    /// Revision that a job's event starts from.
    pub revision: i64,
    /// Name of the event.
    pub what: &'a str,
    /// JSON.
    pub body: &'a str,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Every entry is as it was written.
    Whole {
        /// Entries.
        entries: u64,
        /// Hash of the last one.
        head: [u8; 32],
    },
    /// This is the first entry that does not fit.
    Broken {
        /// Its sequence.
        sequence: i64,
    },
}

/// Hash of an entry.
pub fn hash(previous: &[u8; 32], entry: &Entry<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new_with_prefix("taxdisk chain v1");
    hasher.update(previous);
    for number in [entry.sequence, entry.at, entry.revision] {
        hasher.update(number.to_be_bytes());
    }
    for text in [entry.seller, entry.serial, entry.what, entry.body] {
        // Lengths first, so that two entries never run together into the same bytes.
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().into()
}
