//! The rows of the chain: which change makes one, and what it holds. The hashes themselves are [`taxdisk_protocol::chain`].

use taxdisk_protocol::job::Event;

use crate::core::change::{Audit, Change};

pub use taxdisk_protocol::chain::{Checker, Entry, Hash, ROOT, Row, VERSION, Verified, content_hash, digest, hash, link};

/// A row of the table of events before it has its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft<'a> {
    /// Seller; empty for the broker's own chain.
    pub seller: &'a str,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Serial number of the job; empty if it is about none.
    pub serial: &'a str,
    /// Revision that a job's event starts from.
    pub revision: i64,
    /// Name of the event.
    pub what: &'a str,
    /// JSON, without the content.
    pub body: String,
    /// What the retention time may end, JSON.
    pub content: Option<String>,
    /// Hash of the content, hex; empty if there is none.
    pub content_hash: String,
}

impl<'a> Draft<'a> {
    /// The row of a change that belongs in a chain; all others are projections.
    pub fn of(change: &'a Change) -> Option<Draft<'a>> {
        match change {
            Change::Job { job, event } => {
                let (body, content) = event.parts();
                Some(Draft {
                    seller: job.key.seller.as_str(),
                    at: event.at.0,
                    serial: job.key.serial.as_str(),
                    revision: i64::try_from(event.revision).unwrap_or(i64::MAX),
                    what: event.what.name(),
                    body,
                    content_hash: content.as_deref().map_or_else(String::new, content_hash),
                    content,
                })
            }
            Change::Audit(Audit { seller, at, what, body }) => Some(Draft {
                seller: seller.as_ref().map_or("", |seller| seller.as_str()),
                at: at.0,
                serial: "",
                revision: 0,
                what,
                body: body.to_string(),
                content: None,
                content_hash: String::new(),
            }),
            _ => None,
        }
    }

    /// Its place after `head` (sequence and hash of the last entry).
    pub fn place(&self, head: (i64, Hash)) -> (i64, Hash) {
        let sequence = head.0 + 1;
        let entry = Entry {
            seller: self.seller,
            sequence,
            at: self.at,
            serial: self.serial,
            revision: self.revision,
            what: self.what,
            body: &self.body,
            content_hash: &self.content_hash,
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
