//! Operations of administrators: ask for one, look at them, withdraw one.

use std::time::Duration;

use taxdisk_protocol::api::{
    BulkOperationRequest, BulkOperationView, DueView, OperationCancel, OperationKind, OperationPage, OperationRequest,
    OperationState, OperationView,
};
use taxdisk_protocol::ids::{DiskNumber, TaxpayerNumber};

use super::shared::{not_ready, unexpected, unreadable};
use super::{Answer, Ledger, Refusal, WAIT_MAX_S};
use crate::core::operations::{OperationAsk, OperationFilter};
use crate::core::{Input, Reply};

/// Operations of one month that the calendar looks at, of each sort.
const DONE_MAX: u32 = 20_000;

impl Ledger {
    /// Asks a disk for something besides issuing. Durable when it answers; the same key again answers with that one (`repeated`).
    ///
    /// # Errors
    /// `invalid_parameter`, `operation_key`, `operation_impossible`, `disk_unknown`, `rate_limited`, `not_ready`.
    pub async fn operate(&self, disk: &DiskNumber, request: OperationRequest, by: &str) -> Answer<OperationView> {
        let ask = OperationAsk { disk: disk.clone(), request, bulk: None };
        match self.ask(Input::Operate(Box::new(ask), by.to_owned())).await? {
            Reply::Operation(view) => Ok(*view),
            _ => Err(unexpected()),
        }
    }

    /// Withdraws an operation that was not handed over, or stops waiting for one whose disk will not come back.
    ///
    /// # Errors
    /// `not_found`, `operation_begun`, `operation_ended`, `not_ready`.
    pub async fn cancel_operation(&self, id: &str, cancel: &OperationCancel, by: &str) -> Answer<OperationView> {
        match self.ask(Input::CancelOperation(id.to_owned(), cancel.clone(), by.to_owned())).await? {
            Reply::Operation(view) => Ok(*view),
            _ => Err(unexpected()),
        }
    }

    /// An operation as it is now.
    ///
    /// # Errors
    /// `not_found`, `not_ready`.
    pub async fn operation(&self, id: &str) -> Answer<OperationView> {
        let filter = OperationFilter { ids: vec![id.to_owned()], ..OperationFilter::default() };
        let page = self.operations(&filter, 1).await?;
        let found = page.operations.into_iter().next();
        found.ok_or_else(|| Refusal::new("not_found", format!("operation {id} is not known here")))
    }

    /// An operation, as soon as it has ended, at the latest after `wait`.
    ///
    /// # Errors
    /// `not_found`, `not_ready`.
    pub async fn operation_when_ended(&self, id: &str, wait: Duration) -> Answer<OperationView> {
        let end = tokio::time::Instant::now() + wait.min(Duration::from_secs(WAIT_MAX_S));
        // Subscribed before it reads, so that nothing is missed in between.
        let mut turns = self.shared.operations.subscribe();
        loop {
            let view = self.operation(id).await?;
            if view.state.is_ended() {
                return Ok(view);
            }
            tokio::select! {
                _ = turns.changed() => {}
                () = tokio::time::sleep_until(end) => return Ok(view),
                () = self.ended() => return Err(not_ready()),
            }
        }
    }

    /// Operations, newest first. `limit` is that of one page.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn operations(&self, filter: &OperationFilter, limit: u32) -> Answer<OperationPage> {
        let mut rows = self.shared.store.operations(filter, limit.saturating_add(1)).await.map_err(unreadable)?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let cursor = rows.last().filter(|_| more).map(|row| format!("o{}", row.place));
        let operations = self.look(move |core| rows.iter().map(|row| core.operation_view(row)).collect()).await?;
        Ok(OperationPage { operations, cursor })
    }

    /// Asks many disks, or says what would be done with each. Every operation is durable when it answers.
    ///
    /// # Errors
    /// `invalid_parameter`, `not_ready`.
    pub async fn operate_bulk(&self, request: BulkOperationRequest, by: &str) -> Answer<BulkOperationView> {
        let (key, dry_run) = (request.key.clone(), request.dry_run);
        match self.ask(Input::OperateBulk(Box::new(request), by.to_owned())).await? {
            Reply::Operations(lines) => Ok(BulkOperationView { key, dry_run, lines }),
            _ => Err(unexpected()),
        }
    }

    /// What is due of a seller's disks, or of all.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn calendar(&self, seller: Option<TaxpayerNumber>) -> Answer<Vec<DueView>> {
        let now = self.now();
        let mut done = Vec::new();
        for what in [OperationKind::Report, OperationKind::Clear] {
            let filter = OperationFilter {
                sellers: seller.iter().cloned().collect(),
                state: Some(OperationState::Done),
                what: Some(what),
                since: now.start_of_month(),
                ..OperationFilter::default()
            };
            done.extend(self.shared.store.operations(&filter, DONE_MAX).await.map_err(unreadable)?);
        }
        self.look(move |core| core.calendar(seller.as_ref(), &done, now)).await
    }
}
