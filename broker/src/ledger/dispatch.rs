//! What people see and change of dispatch: pauses, warnings, estimates, and lists by the reason that jobs wait for.

use std::collections::BTreeMap;

use taxdisk_protocol::api::{JobPage, PauseMode, PauseRequest, PauseView, Waiting, WarningView};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::update::UpdatePolicy;

use super::shared::unreadable;
use super::{Answer, Ledger};
use crate::core::types::JobFilter;
use crate::core::{BurnDown, Core, Input, Scope};
use crate::store::StoreError::Cursor;

/// Pages of the store that one request by reason looks through at most: the reason is not in the store, it is of now.
const PAGES: usize = 20;

impl Ledger {
    /// Keeps a disk, an agent's or a seller's disks from work. `by` is the caller's key id.
    ///
    /// # Errors
    /// `not_found`, `invalid_parameter` (no reason), `not_ready`.
    pub async fn pause(&self, scope: Scope, mode: PauseMode, request: PauseRequest, by: &str) -> Answer<()> {
        self.done(Input::Pause(scope, mode, request, by.to_owned())).await
    }

    /// Lets it work again.
    ///
    /// # Errors
    /// `not_found`, `not_ready`.
    pub async fn resume(&self, scope: Scope, request: PauseRequest, by: &str) -> Answer<()> {
        self.done(Input::Resume(scope, request, by.to_owned())).await
    }

    /// Says which updates agents are offered, or none. `by` is the caller's key id.
    ///
    /// # Errors
    /// `invalid_parameter`, `not_ready`.
    pub async fn set_update_policy(&self, policy: Option<UpdatePolicy>, by: &str) -> Answer<()> {
        self.done(Input::SetUpdates(policy, by.to_owned())).await
    }

    /// Which updates agents are offered.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn update_policy(&self) -> Answer<Option<UpdatePolicy>> {
        self.look(Core::update_policy).await
    }

    /// All pauses in force.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn pauses(&self) -> Answer<Vec<PauseView>> {
        self.look(Core::pauses).await
    }

    /// Why each disk takes no job of a kind now; those that take all of theirs are left out.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn troubles(&self) -> Answer<BTreeMap<DiskNumber, Vec<(InvoiceKind, Waiting)>>> {
        self.look(Core::disk_troubles).await
    }

    /// How the stock of each kind of a disk goes, as far as this broker has counted.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn burn_downs(&self, disk: &DiskNumber) -> Answer<Vec<BurnDown>> {
        let (disk, now) = (disk.clone(), self.now());
        self.look(move |core| core.burn_downs(&disk, now)).await
    }

    /// All early warnings that are up.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn warnings(&self) -> Answer<Vec<WarningView>> {
        self.look(Core::warnings).await
    }

    /// When a queued job is likely to begin; `None` where nobody can say.
    ///
    /// # Errors
    /// `not_ready`.
    pub async fn estimate(&self, key: &JobKey) -> Answer<Option<taxdisk_protocol::api::Estimate>> {
        let key = key.clone();
        self.look(move |core| core.estimate(&key)).await
    }

    /// A page of queued jobs that wait for `filter.waiting`. It may be short, or empty, with a cursor all the same.
    pub(super) async fn jobs_waiting(&self, filter: &JobFilter, cursor: Option<&str>, limit: u32) -> Answer<JobPage> {
        let before = match cursor {
            None => u64::MAX,
            Some(cursor) => cursor.strip_prefix('p').and_then(|place| place.parse().ok()).ok_or_else(|| unreadable(Cursor))?,
        };
        let asked = filter.clone();
        let found = self.look(move |core| core.waiting_page(&asked, before, limit as usize)).await?;
        if let Some(found) = found {
            // Shown out here: the writer has better things to do.
            let jobs = found.jobs.iter().map(|job| self.shared.view(job)).collect();
            return Ok(JobPage { jobs, cursor: found.before.map(|place| format!("p{place}")) });
        }
        self.jobs_waiting_alone(filter, cursor, limit).await
    }

    /// The same for reasons that may be a single job's own: through the store, a bounded number of pages at a time.
    async fn jobs_waiting_alone(&self, filter: &JobFilter, cursor: Option<&str>, limit: u32) -> Answer<JobPage> {
        let mut page = JobPage { jobs: Vec::new(), cursor: cursor.map(str::to_owned) };
        for _ in 0..PAGES {
            // No more is read than may be answered: the cursor stands behind the last job that was looked at.
            let room = limit.saturating_sub(u32::try_from(page.jobs.len()).unwrap_or(u32::MAX));
            if room == 0 {
                break;
            }
            let found = self.shared.store.jobs(filter, page.cursor.as_deref(), room).await.map_err(unreadable)?;
            let views = found.jobs.iter().map(|job| self.shared.view(job));
            page.jobs.extend(views.filter(|view| view.waiting == filter.waiting));
            page.cursor = found.cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        Ok(page)
    }
}
