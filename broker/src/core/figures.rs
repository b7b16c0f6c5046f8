//! How much there is of what, for metrics. Walks over what is in memory; decides nothing.

use std::collections::BTreeMap;

use taxdisk_protocol::api::{JobState, Waiting};

use super::Core;
use super::types::Figures;
use super::view::Overlay;

impl Core {
    /// Jobs by state and reason, links and disks, as of now.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            sessions: self.sessions.len() as u64,
            disks_known: self.disks.len() as u64,
            disks_online: self.disks.values().filter(|disk| disk.owner.is_some()).count() as u64,
            disks_contested: self.disks.values().filter(|disk| disk.claims.len() > 1).count() as u64,
            ..Figures::default()
        };
        let mut queued: BTreeMap<u8, (Waiting, u64)> = BTreeMap::new();
        let nothing = Overlay::default();
        for open in self.jobs.values() {
            match open.job.state {
                JobState::Assigned => figures.assigned += 1,
                JobState::Unsettled => figures.unsettled += 1,
                JobState::Queued => {
                    let overlay = self.shops.get(&open.job.key.seller).and_then(|shop| shop.overlay.as_deref());
                    let waiting = overlay.unwrap_or(&nothing).reason(&open.job);
                    queued.entry(waiting as u8).or_insert((waiting, 0)).1 += 1;
                }
                _ => {}
            }
        }
        figures.queued = queued.into_values().collect();
        figures
    }
}
