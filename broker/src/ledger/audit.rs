//! The chains, as the ledger's readers need them, and the anchors, made from time to time.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use taxdisk_protocol::chain::StoredEntry;
use taxdisk_protocol::ids::{JobKey, TaxpayerNumber};
use taxdisk_protocol::proof::{Proof, head_digest};

use super::shared::unreadable;
use super::{Answer, Ledger, Refusal};
use crate::core::Input;
use crate::store::audit::{self, VerifyView};

/// Heads of one anchor at most: 330 KiB of digests.
const HEADS: usize = 5000;

/// What was anchored already, in this process. After a start everything is anchored once more.
#[derive(Debug, Default)]
pub(super) struct Anchored(Mutex<HashMap<String, i64>>);

impl Ledger {
    /// Entries of a chain (`""`: the broker's own), oldest first.
    ///
    /// # Errors
    /// `internal`.
    pub async fn audit_entries(&self, seller: &str, after: i64, limit: u32) -> Answer<Vec<StoredEntry>> {
        self.shared.store.entries(seller, after, limit).await.map_err(unreadable)
    }

    /// Recomputes chains.
    ///
    /// # Errors
    /// `internal`.
    pub async fn verify(&self, seller: Option<&TaxpayerNumber>) -> Answer<VerifyView> {
        audit::verify(&*self.shared.store, seller.map(TaxpayerNumber::as_str)).await.map_err(unreadable)
    }

    /// The proof of a job.
    ///
    /// # Errors
    /// `not_found`, `not_ready`, `internal`.
    pub async fn prove(&self, key: &JobKey) -> Answer<Proof> {
        if self.shared.store.job(key).await.map_err(unreadable)?.is_none() {
            return Err(Refusal::new("not_found", format!("job {key} is not known")));
        }
        let proof = |store| async move { audit::prove(store, key).await.map_err(unreadable) };
        if let Some(proof) = proof(&*self.shared.store).await? {
            return Ok(proof);
        }
        self.anchor().await?;
        let missing = || Refusal::new("not_ready", "the job changes while it is proven; ask again");
        proof(&*self.shared.store).await?.ok_or_else(missing)
    }

    /// Enters the heads of all chains that grew in the broker's own chain.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn anchor(&self) -> Answer<()> {
        let mut heads = self.shared.store.chains().await.map_err(unreadable)?;
        {
            let anchored = self.shared.anchored.0.lock().unwrap_or_else(PoisonError::into_inner);
            heads.retain(|head| !head.seller.is_empty() && anchored.get(&head.seller) != Some(&head.sequence));
        }
        for heads in heads.chunks(HEADS) {
            let mut digests: Vec<String> =
                heads.iter().map(|head| head_digest(&head.seller, head.sequence, &head.hash)).collect();
            digests.sort();
            let ledger = self.id().to_owned();
            self.of("broker", "").done(Input::Anchor { ledger, heads: digests }).await?;
            let mut anchored = self.shared.anchored.0.lock().unwrap_or_else(PoisonError::into_inner);
            anchored.extend(heads.iter().map(|head| (head.seller.clone(), head.sequence)));
        }
        if !heads.is_empty()
            && let Some(own) =
                self.shared.store.chains().await.map_err(unreadable)?.into_iter().find(|head| head.seller.is_empty())
        {
            // Beside the database: what the log keeps, nobody changes there.
            tracing::info!(ledger = self.id(), sequence = own.sequence, hash = own.hash, chains = heads.len(), "chains anchored");
        }
        Ok(())
    }
}
