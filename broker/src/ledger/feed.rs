//! The end of the stream of announcements, in memory: who listens reads the newest from here and the rest from the store.
//!
//! One task reads what was committed and hands it to everybody; a listener that is slow costs nothing, since nobody keeps
//! anything for it: it asks for what comes after the last position that it saw. Nothing here is the truth; the store is.
//!
//! Read first: [`Feed::after`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use serde_json::Value;
use taxdisk_protocol::event::EventBody;
use taxdisk_protocol::ids::JobKey;
use tokio::sync::watch;

use super::shared::Shared;
use crate::core::announcement;
use crate::core::webhooks::AnnouncementRow;
use crate::store::{Store, StoreError};

/// Announcements that are held in memory; about 1 KiB each.
const HELD: usize = 2048;
/// Announcements that are read at once.
const PAGE: u32 = 256;
/// After the store could not be read.
const PAUSE: Duration = Duration::from_secs(1);
/// Looked at also without a word of the writer: another broker on the same database may have written.
const POLL: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Ring {
    /// In order, without a gap.
    rows: VecDeque<Arc<AnnouncementRow>>,
    /// Everything after this position is in `rows`.
    after: u64,
    /// The newest announcement of each job in `rows`.
    latest: HashMap<JobKey, Arc<AnnouncementRow>>,
}

/// The end of the stream.
#[derive(Debug)]
pub struct Feed {
    ring: RwLock<Ring>,
    commits: watch::Sender<u64>,
    tip: watch::Sender<u64>,
}

/// An announcement, and the newest one of the same job if that is another.
#[derive(Debug, Clone)]
pub struct SeenAnnouncement {
    /// The announcement.
    pub row: Arc<AnnouncementRow>,
    /// `None`: this is the newest. Otherwise what the job came to since.
    pub current: Option<Value>,
}

impl SeenAnnouncement {
    /// As it is sent.
    pub fn body(&self) -> EventBody {
        let announcement = &self.row.announcement;
        let mut data = announcement.body.clone();
        if announcement.serial.is_some() {
            data["superseded"] = self.current.is_some().into();
            if let Some(current) = &self.current {
                data["current"] = current.clone();
            }
        }
        EventBody { id: self.row.id(), kind: announcement.kind.clone(), timestamp: announcement.at.to_string(), data }
    }
}

fn job(row: &AnnouncementRow) -> Option<JobKey> {
    Some(JobKey { seller: row.announcement.seller.clone()?, serial: row.announcement.serial.clone()? })
}

impl Feed {
    pub(super) fn at(last: u64) -> Feed {
        let ring = Ring { after: last, ..Ring::default() };
        Feed { ring: RwLock::new(ring), commits: watch::Sender::new(0), tip: watch::Sender::new(last) }
    }

    /// Something was committed.
    pub(super) fn committed(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    /// The position of the newest announcement that listeners may know, now and whenever it grows.
    pub fn tip(&self) -> watch::Receiver<u64> {
        self.tip.subscribe()
    }

    /// Announcements after a position, oldest first, at most `limit` (256). Empty: there are none yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn after(&self, store: &dyn Store, after: u64, limit: usize) -> Result<Vec<Arc<AnnouncementRow>>, StoreError> {
        let limit = limit.min(PAGE as usize);
        {
            let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
            if after >= ring.after {
                let start = ring.rows.partition_point(|row| row.position <= after);
                return Ok(ring.rows.iter().skip(start).take(limit).cloned().collect());
            }
        }
        // Not beyond what the ring knows of: what is newer is told by the next call, with what it says of the jobs.
        let tip = *self.tip.borrow();
        let rows = store.announcements(after, limit as u32).await?;
        Ok(rows.into_iter().filter(|row| row.position <= tip).map(Arc::new).collect())
    }

    /// One announcement, with what overtook it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn seen(&self, store: &dyn Store, row: Arc<AnnouncementRow>) -> Result<SeenAnnouncement, StoreError> {
        let Some(key) = job(&row) else { return Ok(SeenAnnouncement { row, current: None }) };
        {
            let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(latest) = ring.latest.get(&key)
                && (latest.position > row.position || row.position > ring.after)
            {
                let current = (latest.position > row.position).then(|| latest.announcement.body.clone());
                return Ok(SeenAnnouncement { row, current });
            }
        }
        let Some(job) = store.job(&key).await? else { return Ok(SeenAnnouncement { row, current: None }) };
        let is_overtaken = job.revision > row.announcement.revision
            && announcement::overtaken(&store.events(&key).await?, row.announcement.revision).map_err(StoreError::Damaged)?;
        Ok(SeenAnnouncement { row, current: is_overtaken.then(|| announcement::body(&job)) })
    }

    fn push(&self, rows: Vec<AnnouncementRow>) {
        let Some(tip) = rows.last().map(|row| row.position) else { return };
        {
            let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
            for row in rows.into_iter().map(Arc::new) {
                if let Some(key) = job(&row) {
                    ring.latest.insert(key, row.clone());
                }
                ring.rows.push_back(row);
            }
            while ring.rows.len() > HELD {
                let Some(old) = ring.rows.pop_front() else { break };
                ring.after = old.position;
                if let Some(key) = job(&old)
                    && ring.latest.get(&key).is_some_and(|latest| latest.position == old.position)
                {
                    ring.latest.remove(&key);
                }
            }
        }
        self.tip.send_replace(tip);
    }
}

/// Reads what was committed, until the ledger is gone.
pub(super) async fn follow(shared: Weak<Shared>) {
    let Some(mut commits) = shared.upgrade().map(|shared| shared.feed.commits.subscribe()) else { return };
    loop {
        let Some(held) = shared.upgrade() else { return };
        let last = *held.feed.tip.borrow();
        match held.store.announcements(last, PAGE).await {
            Ok(rows) if !rows.is_empty() => {
                held.feed.push(rows);
                continue;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "the stream of events cannot be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
        // Not held while it waits: the last handle of the ledger ends this.
        drop(held);
        if let Ok(Err(_)) = tokio::time::timeout(POLL, commits.changed()).await {
            return;
        }
    }
}
