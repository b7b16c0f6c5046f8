//! Reading the chains for people: verification with the anchors, and the proof of one job.
//!
//! An **anchor** is an entry of the broker's own chain that holds the heads of all chains that grew since the one before. So a
//! chain that lost its end, which by itself looks whole, is noticed; and one hash that somebody noted stands for all chains.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;
use taxdisk_protocol::chain::{Checker, StoredEntry, digest};
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::proof::{ANCHOR, Anchor, Link, Proof, Segment, head_digest};
use utoipa::ToSchema;

use super::{Store, StoreError};

/// Entries read at a time.
const STEP: u32 = 1000;
/// Links of one part of a proof at most: about 70 MiB of digests.
const LINKS: usize = 1_000_000;

/// What was found of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChainView {
    /// Seller; empty for the broker's own chain.
    pub seller: String,
    /// Entries that are as they were written.
    pub entries: i64,
    /// Contents that the retention time has ended.
    pub ended: u64,
    /// Link of the last one, hex.
    pub head: String,
    /// The first entry that is not as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<i64>,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct VerifyView {
    /// Everything is as it was written.
    pub whole: bool,
    /// Each chain.
    pub chains: Vec<ChainView>,
    /// Anchored heads that were looked for.
    pub anchored: u64,
    /// Anchored heads that no chain has: a chain lost its end, or is gone. Told only where all chains were verified.
    pub missing: u64,
}

/// Verifies the chain of one seller, or all of them with their anchors.
///
/// # Errors
/// The store cannot be read.
pub async fn verify(store: &dyn Store, seller: Option<&str>) -> Result<VerifyView, StoreError> {
    let mut view = VerifyView::default();
    // The sellers that the anchors stand for are not named in them: only all chains together hold all heads.
    let mut wanted = HashSet::new();
    let names: BTreeSet<String> = match seller {
        Some(seller) => BTreeSet::from([seller.to_owned()]),
        None => {
            wanted = anchored(store).await?;
            store.chains().await?.into_iter().map(|head| head.seller).collect()
        }
    };
    view.anchored = wanted.len() as u64;
    for name in names {
        view.chains.push(walk(store, name, &mut wanted).await?);
    }
    view.missing = wanted.len() as u64;
    view.whole = view.missing == 0 && view.chains.iter().all(|chain| chain.broken_at.is_none());
    Ok(view)
}

async fn anchored(store: &dyn Store) -> Result<HashSet<String>, StoreError> {
    let (mut found, mut after) = (HashSet::new(), 0);
    loop {
        let entries = store.entries("", after, STEP).await?;
        let Some(last) = entries.last() else { return Ok(found) };
        after = last.sequence;
        for entry in entries.iter().filter(|entry| entry.what == ANCHOR) {
            found.extend(heads_of(entry)?);
        }
    }
}

fn heads_of(entry: &StoredEntry) -> Result<Vec<String>, StoreError> {
    let anchor: Result<Anchor, _> = serde_json::from_str(&entry.body);
    anchor.map(|anchor| anchor.heads).map_err(|error| StoreError::Damaged(format!("an anchor: {error}")))
}

async fn walk(store: &dyn Store, seller: String, wanted: &mut HashSet<String>) -> Result<ChainView, StoreError> {
    let mut checker = Checker::default();
    let view = |checker: &Checker, broken_at| ChainView {
        seller: seller.clone(),
        entries: checker.head.0,
        ended: checker.ended,
        head: hex::encode(checker.head.1),
        broken_at,
    };
    loop {
        let entries = store.entries(&seller, checker.head.0, STEP).await?;
        if entries.is_empty() {
            return Ok(view(&checker, None));
        }
        for entry in &entries {
            if !checker.fits(&entry.row()) {
                return Ok(view(&checker, Some(checker.head.0 + 1)));
            }
            if !wanted.is_empty() {
                wanted.remove(&head_digest(&seller, entry.sequence, &entry.hash));
            }
        }
    }
}

/// The proof of a job. `None`: an event of it is not anchored yet.
///
/// # Errors
/// The store cannot be read, or a part would be longer than a million links.
pub async fn prove(store: &dyn Store, key: &JobKey) -> Result<Option<Proof>, StoreError> {
    let anchors = Anchors::read(store).await?;
    let seller = key.seller.as_str();
    let (mut segments, mut after, mut previous) = (Vec::new(), 0_i64, hex::encode(taxdisk_protocol::chain::ROOT));
    let mut open: Option<Segment> = None;
    loop {
        let entries = store.entries(seller, after, STEP).await?;
        if entries.is_empty() {
            let waits = open.is_some_and(|segment| segment.links.iter().any(|link| matches!(link, Link::Entry(_))));
            let (ledger, serial) = (store.ledger().to_owned(), key.serial.to_string());
            return Ok((!waits).then(|| Proof::new(anchors.ledger.unwrap_or(ledger), seller.to_owned(), serial, segments)));
        }
        for entry in entries {
            after = entry.sequence;
            let is_ours = entry.serial == key.serial.as_str();
            let hash = entry.hash.clone();
            let head = head_digest(seller, entry.sequence, &hash);
            if is_ours || open.is_some() {
                let segment = open.get_or_insert_with(|| Segment {
                    first: entry.sequence,
                    previous: previous.clone(),
                    links: Vec::new(),
                    anchor: entry.clone(),
                    anchor_previous: String::new(),
                });
                let link = if is_ours { Link::Entry(Box::new(entry)) } else { Link::Other(hex::encode(digest(&entry.entry()))) };
                segment.links.push(link);
                if segment.links.len() > LINKS {
                    return Err(StoreError::Damaged(format!("no head was anchored within {LINKS} entries")));
                }
                if let Some((anchor_previous, anchor)) = anchors.by_head.get(&head)
                    && let Some(mut segment) = open.take()
                {
                    segment.anchor = anchor.clone();
                    segment.anchor_previous.clone_from(anchor_previous);
                    segments.push(segment);
                }
            }
            previous = hash;
        }
    }
}

/// All anchors of the ledger as it is called now, by the heads that they hold.
struct Anchors {
    ledger: Option<String>,
    by_head: HashMap<String, (String, StoredEntry)>,
}

impl Anchors {
    async fn read(store: &dyn Store) -> Result<Anchors, StoreError> {
        let mut anchors = Anchors { ledger: None, by_head: HashMap::new() };
        let (mut after, mut previous) = (0, hex::encode(taxdisk_protocol::chain::ROOT));
        loop {
            let entries = store.entries("", after, STEP).await?;
            if entries.is_empty() {
                return Ok(anchors);
            }
            for entry in entries {
                after = entry.sequence;
                if entry.what == ANCHOR {
                    let anchor: Result<Anchor, _> = serde_json::from_str(&entry.body);
                    let anchor = anchor.map_err(|error| StoreError::Damaged(format!("an anchor: {error}")))?;
                    // A proof names one ledger: what was anchored before a restore is anchored anew after it.
                    if anchor.ledger == store.ledger() {
                        for head in anchor.heads {
                            anchors.by_head.entry(head).or_insert_with(|| (previous.clone(), entry.clone()));
                        }
                        anchors.ledger = Some(anchor.ledger);
                    }
                }
                previous.clone_from(&entry.hash);
            }
        }
    }
}
