//! Looks up jobs by what people have in their hands: a serial number, or the number of an invoice, without the seller.

use std::collections::BTreeSet;
use std::sync::Arc;

use taxdisk_protocol::api::JobView;
use taxdisk_protocol::ids::{JobKey, SerialNumber};
use taxdisk_protocol::job::{Event, Job};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::link::Owner;
use taxdisk_protocol::number::NumberPair;

use super::shared::unreadable;
use super::{Answer, Ledger};
use crate::core::Core;
use crate::core::change::NumberKey;

/// Keys that the store is asked for at once: each is one step in an index.
const AT_ONCE: usize = 2000;
/// Jobs that are shown.
const FOUND: usize = 100;

impl Ledger {
    /// All events of a job, oldest first, as they stand in its chain.
    ///
    /// # Errors
    /// `not_ready`, `internal`.
    pub async fn history(&self, key: &JobKey) -> Answer<Vec<Event>> {
        self.shared.store.events(key).await.map_err(unreadable)
    }

    /// Jobs of any seller with exactly this serial number.
    ///
    /// # Errors
    /// `not_ready`, `internal`.
    pub async fn jobs_of_serial(&self, serial: &SerialNumber) -> Answer<Vec<JobView>> {
        let sellers = self.look(Core::sellers).await?;
        let keys: Vec<JobKey> = sellers.into_iter().map(|(seller, _)| JobKey { seller, serial: serial.clone() }).collect();
        self.known(&keys).await
    }

    /// Jobs that own this number on any disk.
    ///
    /// # Errors
    /// `not_ready`, `internal`.
    pub async fn jobs_of_number(&self, pair: NumberPair) -> Answer<Vec<JobView>> {
        let disks = self.look(|core| core.disk_numbers()).await?;
        let of = |disk| InvoiceKind::ALL.into_iter().map(move |kind| (disk, kind));
        let numbers: Vec<NumberKey> =
            disks.iter().flat_map(of).map(|(disk, kind)| NumberKey { disk: disk.clone(), kind, pair }).collect();
        let mut keys = BTreeSet::new();
        for numbers in numbers.chunks(AT_ONCE) {
            let owners = self.shared.store.number_owners(numbers).await.map_err(unreadable)?;
            keys.extend(owners.into_values().filter_map(|owner| match owner {
                Owner::Ours(attempt) => Some(attempt.key),
                Owner::Foreign => None,
            }));
        }
        let keys: Vec<JobKey> = keys.into_iter().collect();
        self.known(&keys).await
    }

    async fn known(&self, keys: &[JobKey]) -> Answer<Vec<JobView>> {
        let mut jobs: Vec<Arc<Job>> = Vec::new();
        for keys in keys.chunks(AT_ONCE) {
            jobs.extend(self.shared.store.jobs_by_key(keys).await.map_err(unreadable)?.into_values());
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.place));
        Ok(jobs.iter().take(FOUND).map(|job| self.shared.view(job)).collect())
    }
}
