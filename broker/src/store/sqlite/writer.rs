//! The one that commits: first the guards, then the log, durably, then the answer; the tables take it behind that.
//!
//! A commit whose guards hold for certain ([`Guard`]) waits beside many others for the tables ([`Unseen`], decision 0055). Any
//! other one is written into them at once, and refused by them.
//!
//! What it refuses to do: to go on after anything failed half-way. Nobody knows then what is durable; the next start reads it.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::super::StoreError;
use super::super::vault::Vault;
use super::commit;
use super::guard::Guard;
use super::log::{self, Log};
use super::tables::Tables;
use super::unseen::{HalfWay, Unseen, lock};
use crate::core::change::Change;
use crate::fault;

#[derive(Debug)]
pub(super) struct Writer {
    log: Log,
    guard: Guard,
    tables: Arc<Mutex<Tables>>,
    unseen: Arc<std::sync::Mutex<Unseen>>,
    vault: Vault,
}

impl Writer {
    /// Over tables that hold all of the log.
    pub(super) fn new(
        log: Log,
        guard: Guard,
        tables: Arc<Mutex<Tables>>,
        unseen: Arc<std::sync::Mutex<Unseen>>,
        vault: Vault,
    ) -> Writer {
        Writer { log, guard, tables, unseen, vault }
    }

    /// All or nothing, durable when it returns.
    ///
    /// # Errors
    /// `Stale`: a guard does not hold, and nothing was kept. Anything else: nobody knows.
    pub(super) async fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        lock(&self.unseen).whole()?;
        let drafts = commit::drafts(changes, &self.vault)?;
        let entry = log::encode(changes, &drafts, &self.vault)?;
        let mut heads = self.guard.heads(&drafts).await?;
        if self.guard.holds(changes, &self.unseen).await? {
            let half_way = HalfWay::on(&self.unseen);
            fault::point("before_log");
            self.log.append(&entry).await?;
            lock(&self.unseen).take((self.log.last(), entry.len()), changes, drafts, &mut heads)?;
            half_way.passed();
        } else {
            self.tables.lock().await.write(changes, drafts, &mut heads, (&mut self.log, &entry)).await?;
        }
        self.guard.note(changes, heads);
        if lock(&self.unseen).is_much() {
            self.tables.lock().await.settle().await?;
        }
        Ok(())
    }

    /// Bytes of the log since it was last cut, about.
    pub(super) fn bytes(&self) -> usize {
        self.log.bytes()
    }

    /// Takes away what the tables hold on the medium.
    pub(super) async fn cut(&mut self, applied: i64) -> Result<(), StoreError> {
        fault::point("before_cut");
        self.log.cut(applied).await?;
        fault::point("after_cut");
        Ok(())
    }

    pub(super) fn into_parts(self) -> (Guard, Log) {
        (self.guard, self.log)
    }

    /// Whether these changes may wait for the tables.
    #[cfg(test)]
    pub(super) async fn holds(&mut self, changes: &[Change]) -> Result<bool, StoreError> {
        self.guard.holds(changes, &self.unseen).await
    }

    /// `synchronous` and journal of the log.
    #[cfg(test)]
    pub(super) async fn log_mode(&mut self) -> (i64, String) {
        self.log.mode().await
    }
}
