//! How much there is of what, for metrics. Walks over what is in memory; decides nothing.

use std::collections::BTreeMap;

use taxdisk_protocol::api::{JobState, Severity, Waiting, WarningCode};
use taxdisk_protocol::ids::DiskNumber;
use taxdisk_protocol::kind::InvoiceKind;

use super::Core;
use super::pause::pauses_of;
use super::types::Figures;
use super::view::Overlay;

impl Core {
    /// Jobs by state and reason, links and disks, as of now.
    pub fn figures(&self) -> Figures {
        let (operations_queued, operations_running) = self.operations.open();
        let mut figures = Figures {
            operations_queued,
            operations_running,
            sessions: self.sessions.len() as u64,
            disks_known: self.disks.len() as u64,
            disks_online: self.disks.values().filter(|disk| disk.owner.is_some()).count() as u64,
            disks_contested: self.disks.values().filter(|disk| disk.claims.len() > 1).count() as u64,
            disks_paused: self.disks.values().filter(|disk| pauses_of(&self.pauses, disk).next().is_some()).count() as u64,
            disks_troubled: self.disks.values().filter(|disk| self.is_troubled(disk)).count() as u64,
            warnings: self.warning_figures(),
            ..Figures::default()
        };
        let now = self.turn.now;
        let mut queued: BTreeMap<u8, (Waiting, u64)> = BTreeMap::new();
        let nothing = Overlay::default();
        for open in self.jobs.values() {
            match open.job.state {
                JobState::Assigned => figures.assigned += 1,
                JobState::Unsettled => figures.unsettled += 1,
                JobState::Queued => {
                    let waited_s = now.since_ms(open.job.accepted_at).max(0).cast_unsigned() / 1000;
                    figures.oldest_queued_s = figures.oldest_queued_s.max(waited_s);
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

    /// Disks that were ever reported or assigned.
    pub fn disk_numbers(&self) -> Vec<DiskNumber> {
        self.disks.keys().cloned().collect()
    }

    /// Why each disk takes no job of a kind now, by disk; those that take all of theirs are left out.
    pub fn disk_troubles(&self) -> BTreeMap<DiskNumber, Vec<(InvoiceKind, Waiting)>> {
        let now = self.turn.now;
        let troubles = |disk: &super::disk::Disk| {
            disk.kinds.iter().filter_map(|kind| Some((*kind, disk.trouble(*kind, now)?))).collect::<Vec<_>>()
        };
        let all = self.disks.iter().map(|(number, disk)| (number.clone(), troubles(disk)));
        all.filter(|(_, troubles)| !troubles.is_empty()).collect()
    }

    fn is_troubled(&self, disk: &super::disk::Disk) -> bool {
        disk.owner.is_some() && disk.kinds.iter().all(|kind| disk.trouble(*kind, self.turn.now).is_some())
    }

    fn warning_figures(&self) -> Vec<(WarningCode, Severity, u64)> {
        let mut counts: BTreeMap<(WarningCode, Severity), u64> = BTreeMap::new();
        for row in self.disks.values().flat_map(|disk| disk.warnings.values()) {
            *counts.entry((row.code, row.severity)).or_default() += 1;
        }
        counts.into_iter().map(|((code, severity), count)| (code, severity, count)).collect()
    }
}
