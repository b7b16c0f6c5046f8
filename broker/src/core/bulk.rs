//! Bulk re-issue: many jobs by a filter, each exactly as if it had been asked for alone.
//!
//! What each job would do is a pure function of the job ([`plan`]); doing it is `Core::reissue_of`, which takes a job once for
//! each bulk re-issue, however often its slice is repeated after a crash. It refuses to take other content: that is for one job.

use taxdisk_protocol::api::{BulkAction, BulkLine, JobState, ReissueOutcome, ReissueRequest};
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::job::Job;
use taxdisk_protocol::time::Timestamp;

use super::change::{BulkRow, Change};
use super::types::Refusal;
use super::{Core, Known, Reply};

/// What a re-issue would do with this job. The limits of the disks are looked at when it is done.
pub fn plan(job: &Job, reissues_per_day: u32, now: Timestamp) -> BulkLine {
    let line = |action, refused: Option<&str>| BulkLine {
        seller: job.key.seller.to_string(),
        serial: job.key.serial.to_string(),
        state: job.state,
        action,
        refused: refused.map(str::to_owned),
    };
    match job.state {
        JobState::Issued | JobState::Voided => line(BulkAction::Redeliver, None),
        JobState::Queued | JobState::Assigned => line(BulkAction::InProgress, None),
        JobState::Unsettled => line(BulkAction::NeedsSettling, None),
        JobState::Failed | JobState::Cancelled if !job.is_proven_not_issued() => line(BulkAction::NeedsSettling, None),
        JobState::Failed | JobState::Cancelled => {
            let today = if job.reissues.day == now.day() { job.reissues.count } else { 0 };
            if today >= reissues_per_day {
                line(BulkAction::Refused, Some("reissue_limit"))
            } else if job.invoice.is_none() {
                line(BulkAction::Refused, Some("body_ended"))
            } else {
                line(BulkAction::Rerun, None)
            }
        }
    }
}

fn action(outcome: ReissueOutcome) -> BulkAction {
    match outcome {
        ReissueOutcome::Requeued => BulkAction::Rerun,
        ReissueOutcome::AlreadyIssued => BulkAction::Redeliver,
        ReissueOutcome::InProgress => BulkAction::InProgress,
        ReissueOutcome::Unsettled => BulkAction::NeedsSettling,
    }
}

impl Core {
    /// Begins, or answers with the one that has this key: a click twice does it once.
    pub(super) fn start_bulk(&mut self, row: BulkRow) -> Result<Reply, Refusal> {
        if let Some(known) = self.bulks.get(&row.view.key) {
            let same =
                known.view.filter == row.view.filter && known.view.reason == row.view.reason && known.view.by == row.view.by;
            if !same {
                return Err(Refusal::new("bulk_key", format!("{:?} is the key of another bulk re-issue", row.view.key)));
            }
            return Ok(Reply::Bulk(Box::new(known.clone()), false));
        }
        let view = &row.view;
        let body = serde_json::json!({ "key": view.key, "by": view.by, "filter": view.filter, "reason": view.reason });
        self.audit(None, "bulk_reissue", body);
        self.turn.changes.push(Change::Bulk(row.clone()));
        self.bulks.insert(row.view.key.clone(), row.clone());
        Ok(Reply::Bulk(Box::new(row), true))
    }

    /// One job, as its bulk re-issue asks.
    pub(super) fn reissue_of(&mut self, key: &JobKey, bulk: &str, known: &Known) -> Result<Reply, Refusal> {
        let row = self.bulks.get(bulk).ok_or_else(|| Refusal::new("internal", "the bulk re-issue is gone"))?;
        let (by, reason) = (row.view.by.clone(), row.view.reason.clone());
        let job = self.job(key, known).ok_or_else(|| Refusal::new("not_found", format!("job {key} is not known")))?;
        let state = job.state;
        let (seller, serial) = (key.seller.to_string(), key.serial.to_string());
        let line = |action, refused| BulkLine { seller, serial, state, action, refused };
        // Its slice is repeated after a crash, and this job was taken already.
        if job.bulk.as_deref() == Some(bulk) {
            return Ok(Reply::BulkLine(line(BulkAction::Rerun, None)));
        }
        let request = ReissueRequest { reason, invoice: None };
        match self.reissue(key, request, by, Some(bulk.to_owned()), known) {
            Ok(Reply::Reissued(answer)) => {
                let action = action(answer.outcome);
                if action == BulkAction::Redeliver {
                    self.tell_again(&job);
                }
                Ok(Reply::BulkLine(line(action, None)))
            }
            Ok(_) => Err(Refusal::new("internal", "a re-issue answered something else")),
            Err(refusal) => Ok(Reply::BulkLine(line(BulkAction::Refused, Some(refusal.code.to_owned())))),
        }
    }

    /// A slice is done.
    pub(super) fn move_bulk(&mut self, row: BulkRow) -> Result<Reply, Refusal> {
        if row.view.done {
            let body = serde_json::json!({ "key": row.view.key, "jobs": row.view.jobs, "totals": row.view.totals });
            self.audit(None, "bulk_reissue_done", body);
        }
        self.turn.changes.push(Change::Bulk(row.clone()));
        self.bulks.insert(row.view.key.clone(), row);
        Ok(Reply::Done)
    }

    /// Bulk re-issues, by key.
    pub fn bulks(&self) -> Vec<BulkRow> {
        self.bulks.values().cloned().collect()
    }

    /// One of them.
    pub fn bulk(&self, key: &str) -> Option<BulkRow> {
        self.bulks.get(key).cloned()
    }
}
