//! The rows of the chain: which change makes one, and what it holds. The hashes themselves are [`taxdisk_protocol::chain`].

use taxdisk_protocol::job::Event;

use crate::core::change::{Audit, Change};

pub use taxdisk_protocol::chain::{Checker, Entry, Hash, ROOT, Row, VERSION, Verified, content_hash, digest, hash, link};

/// A row of the table of events before it has its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Seller; empty for the broker's own chain.
    pub seller: String,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Serial number of the job; empty if it is about none.
    pub serial: String,
    /// Revision that a job's event starts from.
    pub revision: i64,
    /// Name of the event.
    pub what: &'static str,
    /// JSON, without the content.
    pub body: String,
    /// What the retention time may end, JSON.
    pub content: Option<String>,
}

impl Draft {
    /// The row of a change that belongs in a chain; all others are projections.
    pub fn of(change: &Change) -> Option<Draft> {
        match change {
            Change::Job { job, event } => {
                let (bare, content) = event.clone().split();
                Some(Draft {
                    seller: job.key.seller.to_string(),
                    at: event.at.0,
                    serial: job.key.serial.to_string(),
                    revision: i64::try_from(event.revision).unwrap_or(i64::MAX),
                    what: event.what.name(),
                    body: json(&bare),
                    content: content.as_ref().map(json),
                })
            }
            Change::Audit(Audit { seller, at, what, body }) => Some(Draft {
                seller: seller.as_ref().map_or_else(String::new, ToString::to_string),
                at: at.0,
                serial: String::new(),
                revision: 0,
                what,
                body: json(body),
                content: None,
            }),
            _ => None,
        }
    }

    /// Hash of the content, hex; empty if there is none.
    pub fn content_hash(&self) -> String {
        self.content.as_deref().map_or_else(String::new, content_hash)
    }

    /// Its place after `head` (sequence and hash of the last entry).
    pub fn place(&self, head: (i64, Hash)) -> (i64, Hash) {
        let sequence = head.0 + 1;
        let content_hash = self.content_hash();
        let entry = Entry {
            seller: &self.seller,
            sequence,
            at: self.at,
            serial: &self.serial,
            revision: self.revision,
            what: self.what,
            body: &self.body,
            content_hash: &content_hash,
        };
        (sequence, hash(&head.1, &entry))
    }
}

/// An event from its row.
///
/// # Errors
/// Says what cannot be read.
pub fn event(body: &str, content: Option<&str>) -> Result<Event, String> {
    let bare: Event = serde_json::from_str(body).map_err(|error| error.to_string())?;
    match content {
        None => Ok(bare),
        Some(content) => bare.join(serde_json::from_str(content).map_err(|error| error.to_string())?),
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own rows have string keys and no failing serializers")
}
