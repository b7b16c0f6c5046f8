//! The chain of hashes over a seller's events: a row that was changed, removed or put in between is noticed.
//!
//! Two levels. An entry's digest covers its fields, but of its content (an invoice, the body of a piece of evidence) only the
//! hash: so the retention time can end a content and the chain still verifies. A link covers the link before it and the digest:
//! so a proof shows somebody else's entries as digests alone.
//!
//! What it refuses to do: read or write rows. **The format never changes under a name**: a new form needs a new tag, and a step
//! that brings old chains to it.
//!
//! Versions: 1 — one hash over all fields, content included. 2 — as said here.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// What the first entry of a chain is chained to.
pub const ROOT: [u8; 32] = [0; 32];
/// The version that is written.
pub const VERSION: &str = "2";

/// A hash.
pub type Hash = [u8; 32];

/// One entry, as its digest covers it.
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
    /// JSON, without the content.
    pub body: &'a str,
    /// Hash of the content, hex; empty if there is none.
    pub content_hash: &'a str,
}

/// One entry, as it is stored, shown and proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredEntry {
    /// Seller; empty for the broker's own chain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seller: String,
    /// Counts from 1 in its chain.
    pub sequence: i64,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Serial number of the job; empty if it is about none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Revision that a job's event starts from.
    pub revision: i64,
    /// Name of the event.
    pub what: String,
    /// JSON text, without the content; its very bytes are hashed.
    pub body: String,
    /// What the retention time may end, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Hash of the content, hex; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_hash: String,
    /// Link, hex.
    pub hash: String,
}

impl StoredEntry {
    /// As it is hashed.
    pub fn entry(&self) -> Entry<'_> {
        Entry {
            seller: &self.seller,
            sequence: self.sequence,
            at: self.at,
            serial: &self.serial,
            revision: self.revision,
            what: &self.what,
            body: &self.body,
            content_hash: &self.content_hash,
        }
    }

    /// As it is checked.
    pub fn row(&self) -> Row<'_> {
        Row { entry: self.entry(), content: self.content.as_deref(), hash: &self.hash }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Every entry is as it was written.
    Whole {
        /// Entries.
        entries: u64,
        /// Hash of the last one.
        head: Hash,
        /// Contents that the retention time has ended.
        ended: u64,
    },
    /// This is the first entry that does not fit.
    Broken {
        /// Its sequence.
        sequence: i64,
    },
}

/// Hash of a content, hex.
pub fn content_hash(content: &str) -> String {
    hex::encode(Sha256::new_with_prefix("taxdisk content of an event v1").chain_update(content).finalize())
}

/// Digest of an entry.
pub fn digest(entry: &Entry<'_>) -> Hash {
    let mut hasher = Sha256::new_with_prefix("taxdisk entry v2");
    for number in [entry.sequence, entry.at, entry.revision] {
        hasher.update(number.to_be_bytes());
    }
    for text in [entry.seller, entry.serial, entry.what, entry.body, entry.content_hash] {
        // Lengths first, so that two entries never run together into the same bytes.
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().into()
}

/// The link after `previous` for an entry of this digest.
pub fn link(previous: &Hash, digest: &Hash) -> Hash {
    Sha256::new_with_prefix("taxdisk chain v2").chain_update(previous).chain_update(digest).finalize().into()
}

/// The link after `previous` for this entry.
pub fn hash(previous: &Hash, entry: &Entry<'_>) -> Hash {
    link(previous, &digest(entry))
}

/// A row as it was read, to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The entry.
    pub entry: Entry<'a>,
    /// Its content, as long as it is there.
    pub content: Option<&'a str>,
    /// Hash of the link, hex.
    pub hash: &'a str,
}

/// Walks along a chain, entry by entry.
#[derive(Debug, Clone)]
pub struct Checker {
    /// Sequence and hash of the last entry that fitted.
    pub head: (i64, Hash),
    /// Contents that have ended.
    pub ended: u64,
}

impl Default for Checker {
    fn default() -> Checker {
        Checker { head: (0, ROOT), ended: 0 }
    }
}

impl Checker {
    /// Does the next row fit?
    pub fn fits(&mut self, row: &Row<'_>) -> bool {
        let (sequence, previous) = self.head;
        let whole = match row.content {
            Some(content) => content_hash(content) == row.entry.content_hash,
            None => {
                self.ended += u64::from(!row.entry.content_hash.is_empty());
                true
            }
        };
        let link = hash(&previous, &row.entry);
        if !whole || row.entry.sequence != sequence + 1 || hex::encode(link) != row.hash {
            return false;
        }
        self.head = (sequence + 1, link);
        true
    }

    /// What was found, at the end of a chain.
    pub fn whole(&self) -> Verified {
        Verified::Whole { entries: self.head.0.unsigned_abs(), head: self.head.1, ended: self.ended }
    }

    /// What was found, at a row that does not fit.
    pub fn broken(&self) -> Verified {
        Verified::Broken { sequence: self.head.0 + 1 }
    }
}
