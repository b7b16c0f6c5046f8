//! Bulk re-issues at work: a slice of jobs at a time, each job through the writer like any other, and the place kept after each
//! slice.
//!
//! One task does one after the other. A broker that stops goes on with the slice that was under way; jobs that it had taken are
//! not
//! taken again.

use taxdisk_protocol::api::{BulkFilter, BulkLine, BulkReissueRequest, BulkView, JobState};
use taxdisk_protocol::ids::TaxpayerNumber;

use super::shared::{unexpected, unreadable};
use super::{Answer, Asked, JobFilter, Ledger, Refusal};
use crate::core::bulk::plan;
use crate::core::change::BulkRow;
use crate::core::{Input, Reply};

/// Jobs of one slice.
const SLICE: u32 = 100;
/// Jobs that a dry run lists.
const LISTED: usize = 1000;
/// Jobs that a dry run looks at.
const LOOKED_AT: u64 = 100_000;

fn parameter(name: &str, error: impl std::fmt::Display) -> Refusal {
    Refusal::new("invalid_parameter", format!("{name}: {error}"))
}

fn parsed<T: std::str::FromStr>(name: &str, text: Option<&String>) -> Answer<Option<T>>
where
    T::Err: std::fmt::Display,
{
    text.map(|text| text.parse().map_err(|error| parameter(name, error))).transpose()
}

/// The store's filter.
fn filter_of(filter: &BulkFilter, sellers: &[TaxpayerNumber]) -> Answer<JobFilter> {
    let seller: Option<TaxpayerNumber> = parsed("filter.seller", filter.seller.as_ref())?;
    let sellers = seller.map_or_else(|| sellers.to_vec(), |seller| vec![seller]);
    let states = if filter.states.is_empty() { vec![JobState::Failed] } else { filter.states.clone() };
    Ok(JobFilter {
        sellers,
        states,
        serial_prefix: filter.serial.clone(),
        kind: parsed("filter.kind", filter.kind.as_ref())?,
        disk: parsed("filter.disk", filter.disk.as_ref())?,
        since: parsed("filter.since", filter.since.as_ref())?,
        until: parsed("filter.until", filter.until.as_ref())?,
        problem: filter.problem.clone(),
        class: filter.class,
        waiting: None,
        serial: None,
    })
}

fn count(view: &mut BulkView, line: &BulkLine) {
    view.jobs += 1;
    *view.totals.entry(line.action).or_default() += 1;
    if let Some(code) = &line.refused {
        *view.refused.entry(code.clone()).or_default() += 1;
    }
}

impl Ledger {
    /// Says what a bulk re-issue would do, or begins it. `sellers`: those that the caller's key is limited to.
    ///
    /// # Errors
    /// `invalid_parameter`, `reissue_reason`, `bulk_key`, `not_ready`.
    pub async fn reissue_bulk(
        &self,
        request: BulkReissueRequest,
        by: &str,
        sellers: &[TaxpayerNumber],
    ) -> Answer<Asked<BulkView>> {
        let decent = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=64).contains(&request.key.len()) || !request.key.bytes().all(decent) {
            return Err(parameter("key", "1 to 64 letters, digits and -_. are expected"));
        }
        let reason: String = request.reason.trim().chars().take(1000).collect();
        if reason.is_empty() {
            return Err(Refusal::new("reissue_reason", "say why the jobs are to be issued again; it is kept with each of them"));
        }
        let filter = filter_of(&request.filter, sellers)?;
        let view = BulkView {
            key: request.key,
            dry_run: request.dry_run,
            done: false,
            filter: request.filter,
            reason,
            by: by.to_owned(),
            at: (self.shared.clock)().to_string(),
            jobs: 0,
            totals: Default::default(),
            refused: Default::default(),
            lines: Vec::new(),
        };
        if request.dry_run {
            return self.dry_run(view, &filter).await.map(Asked::Done);
        }
        let row = BulkRow { view, sellers: sellers.to_vec(), cursor: None };
        match self.ask(Input::StartBulk(Box::new(row))).await? {
            Reply::Bulk(row, begins) => {
                if begins {
                    self.run_bulk(row.view.key.clone());
                }
                Ok(Asked::Done(row.view))
            }
            Reply::Proposed(row) => Ok(Asked::Proposed(Box::new(row.view()))),
            _ => Err(unexpected()),
        }
    }

    /// How far a bulk re-issue has come. `sellers` as in [`Ledger::reissue_bulk`].
    ///
    /// # Errors
    /// `not_found`, `not_ready`.
    pub async fn bulk(&self, key: &str, sellers: &[TaxpayerNumber]) -> Answer<BulkView> {
        let wanted = key.to_owned();
        let row = self.look(move |core| core.bulk(&wanted)).await?;
        let visible = |row: &BulkRow| sellers.is_empty() || row.sellers == sellers;
        let row =
            row.filter(visible).ok_or_else(|| Refusal::new("not_found", format!("no bulk re-issue has the key {key:?}")))?;
        Ok(row.view)
    }

    async fn dry_run(&self, mut view: BulkView, filter: &JobFilter) -> Answer<BulkView> {
        let (mut cursor, now, limit) = (None, (self.shared.clock)(), self.shared.settings.reissues_per_day);
        loop {
            let page = self.shared.store.jobs(filter, cursor.as_deref(), crate::store::PAGE_JOBS).await.map_err(unreadable)?;
            for job in &page.jobs {
                let line = plan(job, limit, now);
                count(&mut view, &line);
                if view.lines.len() < LISTED {
                    view.lines.push(line);
                }
            }
            cursor = page.cursor;
            view.done = cursor.is_none();
            if view.done || view.jobs >= LOOKED_AT {
                return Ok(view);
            }
        }
    }

    /// Goes on with what was under way when the broker stopped.
    pub(super) fn go_on_with_bulks(&self, bulks: Vec<BulkRow>) {
        for row in bulks.into_iter().filter(|row| !row.view.done) {
            self.run_bulk(row.view.key);
        }
    }

    /// Works through a bulk re-issue in a task of its own, as long as the writer runs.
    pub(super) fn run_bulk(&self, key: String) {
        let (shared, queue, writer) = (self.shared.clone(), self.queue.downgrade(), self.writer.clone());
        tokio::spawn(async move {
            loop {
                // Nothing here keeps the writer alive.
                let Some(queue) = queue.upgrade() else { return };
                let ledger = Ledger { shared: shared.clone(), queue, writer: writer.clone(), origin: None };
                match ledger.slice(&key).await {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(refusal) => {
                        tracing::error!(key, %refusal, "the bulk re-issue stopped; the next start goes on with it");
                        return;
                    }
                }
            }
        });
    }

    /// One slice; true: it was the last one.
    async fn slice(&self, key: &str) -> Answer<bool> {
        let wanted = key.to_owned();
        let Some(mut row) = self.look(move |core| core.bulk(&wanted)).await? else { return Ok(true) };
        let filter = filter_of(&row.view.filter, &row.sellers)?;
        let page = self.shared.store.jobs(&filter, row.cursor.as_deref(), SLICE).await.map_err(unreadable)?;
        let by = self.of(&row.view.by, "");
        for job in &page.jobs {
            // If we stop here, the next start takes the slice again: what was taken answers so.
            match by.ask(Input::ReissueOf(job.key.clone(), key.to_owned())).await? {
                Reply::BulkLine(line) => count(&mut row.view, &line),
                _ => return Err(unexpected()),
            }
        }
        row.cursor = page.cursor;
        row.view.done = row.cursor.is_none();
        let done = row.view.done;
        by.done(Input::MoveBulk(Box::new(row))).await?;
        Ok(done)
    }
}
