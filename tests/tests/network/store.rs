//! The broker's store: the simulation's maps, outside of the broker's host, so that they outlive it. A commit takes a while,
//! becomes durable in the midst of it as a whole, and a broker that dies before has lost it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use taxdisk_broker::core::Restored;
use taxdisk_broker::core::change::{Change, NumberKey, OriginalKey};
use taxdisk_broker::core::operations::{OperationFilter, OperationRow};
use taxdisk_broker::core::types::JobFilter;
use taxdisk_broker::core::webhooks::{AnnouncementRow, DeliveryRow, WebhookRow};
use taxdisk_broker::store::chain::Verified;
use taxdisk_broker::store::{DeliveryFilter, Head, Page, Store, StoreError};
use taxdisk_protocol::api::EvidenceView;
use taxdisk_protocol::chain::StoredEntry;
use taxdisk_protocol::ids::{JobKey, TaxpayerNumber};
use taxdisk_protocol::job::{Event, Job};
use taxdisk_protocol::link::Owner;
use taxdisk_tests::sim::store::place;

use super::world::{LEDGER, World};

/// The store as the ledger of one life sees it.
pub(crate) struct Durable(pub(crate) World);

#[async_trait]
impl Store for Durable {
    async fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let (before, after) = self.0.commit_takes_ms();
        tokio::time::sleep(Duration::from_millis(before)).await;
        self.0.keep(changes).map_err(StoreError::Stale)?;
        tokio::time::sleep(Duration::from_millis(after)).await;
        Ok(())
    }

    async fn restore(&self) -> Result<Restored, StoreError> {
        Ok(self.0.store().restored())
    }

    fn ledger(&self) -> &str {
        LEDGER
    }

    async fn jobs_by_key(&self, keys: &[JobKey]) -> Result<HashMap<JobKey, Arc<Job>>, StoreError> {
        let store = self.0.store();
        Ok(keys.iter().filter_map(|key| store.jobs.get(key).map(|job| (key.clone(), job.clone()))).collect())
    }

    async fn number_owners(&self, numbers: &[NumberKey]) -> Result<HashMap<NumberKey, Owner>, StoreError> {
        let store = self.0.store();
        let owner = |key: &NumberKey| store.numbers.get(&place(key)).map(|owner| (key.clone(), owner.clone()));
        Ok(numbers.iter().filter_map(owner).collect())
    }

    async fn jobs_about(&self, originals: &[OriginalKey]) -> Result<HashMap<OriginalKey, Vec<Arc<Job>>>, StoreError> {
        let store = self.0.store();
        let about = originals.iter().map(|original| (original.clone(), store.jobs_about(original)));
        Ok(about.filter(|(_, jobs)| !jobs.is_empty()).collect())
    }

    async fn job(&self, key: &JobKey) -> Result<Option<Arc<Job>>, StoreError> {
        Ok(self.0.store().jobs.get(key).cloned())
    }

    // Operations, pages, events, webhooks and chains are not asked for in this world.

    async fn operations(&self, _: &OperationFilter, _: u32) -> Result<Vec<OperationRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn jobs(&self, _: &JobFilter, _: Option<&str>, _: u32) -> Result<Page, StoreError> {
        Ok(Page::default())
    }

    async fn events(&self, _: &JobKey) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }

    async fn evidence(&self, _: &JobKey) -> Result<Vec<EvidenceView>, StoreError> {
        Ok(Vec::new())
    }

    async fn announcements(&self, _: u64, _: u32) -> Result<Vec<AnnouncementRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn last_announcement(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn webhooks(&self) -> Result<(Vec<WebhookRow>, Vec<DeliveryRow>), StoreError> {
        Ok((Vec::new(), Vec::new()))
    }

    async fn deliveries(&self, _: &str, _: &DeliveryFilter, _: u32) -> Result<Vec<DeliveryRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn chains(&self) -> Result<Vec<Head>, StoreError> {
        Ok(Vec::new())
    }

    async fn entries(&self, _: &str, _: i64, _: u32) -> Result<Vec<StoredEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn verify(&self, _: Option<&TaxpayerNumber>) -> Result<Verified, StoreError> {
        Err(StoreError::Damaged("this store has no chains".to_owned()))
    }
}
