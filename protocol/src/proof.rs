//! The proof of one job: its events, and the links of the chain from them to heads that were anchored, in one file that is
//! checked
//! without a broker.
//!
//! It shows the job's own entries whole and everybody else's as digests. What it proves: these events, in this order and without
//! a gap, stood in the ledger when the anchor was made; the anchor's hash can be compared with what the broker's log or its next
//! anchors say. What it refuses to do: take a file of which one byte is not as it was written.
//!
//! Versions: 1 — first.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::chain::{self, Hash, StoredEntry};
use crate::job::{Event, Job};

/// Name of the entries that anchor.
pub const ANCHOR: &str = "anchor";

/// The proof of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proof {
    /// Version of this format.
    pub taxdisk_proof: u32,
    /// Id of the ledger.
    pub ledger: String,
    /// Seller.
    pub seller: String,
    /// Serial number.
    pub serial: String,
    /// Parts of the chain, oldest first. Together they hold every event of the job.
    pub segments: Vec<Segment>,
    /// SHA-256 over this file with this field empty, hex: an accident is noticed, whatever it hit.
    pub checksum: String,
}

/// A part of a seller's chain that ends in an anchored head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Segment {
    /// Sequence of the first link.
    pub first: i64,
    /// Link before it, hex.
    pub previous: String,
    /// Links.
    pub links: Vec<Link>,
    /// The entry of the broker's own chain that holds the head.
    pub anchor: StoredEntry,
    /// Link before the anchor, hex.
    pub anchor_previous: String,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// An entry of the job.
    Entry(Box<StoredEntry>),
    /// The digest of another entry, hex.
    Other(String),
}

/// Body of an anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Id of the ledger.
    pub ledger: String,
    /// [`head_digest`] of each chain that grew since the anchor before, sorted.
    pub heads: Vec<String>,
}

/// What a good proof says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The job, folded from its events.
    pub job: Job,
    /// Its events, oldest first.
    pub events: Vec<Event>,
    /// Sequence and hash of the anchors, for comparison with what was noted elsewhere.
    pub anchors: Vec<(i64, String)>,
}

/// Why a file proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this file proves nothing: {0}")]
pub struct ProofError(pub String);

fn wrong<T>(text: impl Into<String>) -> Result<T, ProofError> {
    Err(ProofError(text.into()))
}

/// Digest of a head: an anchor shows nobody whose chains there are.
pub fn head_digest(seller: &str, sequence: i64, hash: &str) -> String {
    let mut hasher = Sha256::new_with_prefix("taxdisk head v1");
    hasher.update(sequence.to_be_bytes());
    for text in [seller, hash] {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hex::encode(hasher.finalize())
}

impl Proof {
    /// A proof with its checksum.
    pub fn new(ledger: String, seller: String, serial: String, segments: Vec<Segment>) -> Proof {
        let mut proof = Proof { taxdisk_proof: 1, ledger, seller, serial, segments, checksum: String::new() };
        proof.checksum = proof.sum();
        proof
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string(self).expect("plain data with text keys");
        text.push('\n');
        text
    }

    fn sum(&self) -> String {
        let bare = Proof { checksum: String::new(), ..self.clone() };
        hex::encode(Sha256::digest(bare.text()))
    }
}

/// Checks a file.
///
/// # Errors
/// Says what does not fit.
pub fn check(text: &str) -> Result<Proven, ProofError> {
    let proof: Proof = serde_json::from_str(text).map_err(|error| ProofError(format!("it cannot be read: {error}")))?;
    if proof.taxdisk_proof != 1 {
        return wrong(format!("version {} is not known to this program", proof.taxdisk_proof));
    }
    if proof.text() != text || proof.sum() != proof.checksum {
        return wrong("it is not as it was written (checksum)");
    }
    let (mut events, mut anchors, mut after) = (Vec::new(), Vec::new(), 0);
    for segment in &proof.segments {
        if segment.first <= after {
            return wrong("its parts overlap");
        }
        after = check_segment(&proof, segment, &mut events)?;
        anchors.push((segment.anchor.sequence, segment.anchor.hash.clone()));
    }
    let Some((first, rest)) = events.split_first() else { return wrong("it holds no event of the job") };
    // Every event names the revision that it starts from: a gap does not fold.
    let mut job = Job::accept(first).map_err(|error| ProofError(format!("its events do not add up: {error}")))?;
    for event in rest {
        job.advance(event).map_err(|error| ProofError(format!("its events do not add up: {error}")))?;
    }
    if job.key.seller.as_str() != proof.seller || job.key.serial.as_str() != proof.serial {
        return wrong("its events are another job's");
    }
    Ok(Proven { job, events, anchors })
}

fn hash_of(text: &str) -> Result<Hash, ProofError> {
    let mut hash = chain::ROOT;
    hex::decode_to_slice(text, &mut hash).map_err(|_| ProofError("a hash in it is none".to_owned()))?;
    Ok(hash)
}

/// Checks one part; gives the sequence of its head.
fn check_segment(proof: &Proof, segment: &Segment, events: &mut Vec<Event>) -> Result<i64, ProofError> {
    let (mut head, mut sequence) = (hash_of(&segment.previous)?, segment.first - 1);
    for link in &segment.links {
        sequence += 1;
        match link {
            Link::Other(digest) => head = chain::link(&head, &hash_of(digest)?),
            Link::Entry(entry) => {
                if entry.seller != proof.seller || entry.serial != proof.serial || entry.sequence != sequence {
                    return wrong(format!("entry {sequence} is not this job's at this place"));
                }
                if entry.content.as_deref().is_some_and(|content| chain::content_hash(content) != entry.content_hash) {
                    return wrong(format!("the content of entry {sequence} is not what was written"));
                }
                head = chain::hash(&head, &entry.entry());
                if hex::encode(head) != entry.hash {
                    return wrong(format!("entry {sequence} is not what was written"));
                }
                let event: Result<Event, _> = serde_json::from_str(&entry.body);
                let event = event.map_err(|error| ProofError(format!("entry {sequence} cannot be read: {error}")))?;
                let content = entry.content.as_deref().map(serde_json::from_str).transpose();
                let content = content.map_err(|error| ProofError(format!("entry {sequence} cannot be read: {error}")))?;
                events.push(match content {
                    Some(content) => event.join(content).map_err(ProofError)?,
                    None => event,
                });
            }
        }
    }
    let anchor = &segment.anchor;
    let link = chain::hash(&hash_of(&segment.anchor_previous)?, &anchor.entry());
    if anchor.what != ANCHOR || !anchor.seller.is_empty() || hex::encode(link) != anchor.hash {
        return wrong(format!("anchor {} is not what was written", anchor.sequence));
    }
    let body: Anchor =
        serde_json::from_str(&anchor.body).map_err(|error| ProofError(format!("an anchor cannot be read: {error}")))?;
    let head = head_digest(&proof.seller, sequence, &hex::encode(head));
    if body.ledger != proof.ledger || !body.heads.contains(&head) {
        return wrong(format!("anchor {} does not hold this chain", anchor.sequence));
    }
    Ok(sequence)
}
