//! What outsiders are told: an announcement is made in the same turn as the change that it tells of, so both are durable
//! together or not at all.
//!
//! Which events of a job are told is decided here and nowhere else. Evidence, hand-overs and beginnings are not: they change
//! nothing that a caller could act on.
//!
//! Read first: [`Announcement`], [`told`].

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use taxdisk_protocol::api::JobState;
use taxdisk_protocol::ids::{AgentId, DiskNumber, SerialNumber, TaxpayerNumber};
use taxdisk_protocol::job::{Event, Job, What};
use taxdisk_protocol::time::Timestamp;

use super::Core;
use super::change::Change;

/// One thing that outsiders are told of. The store gives it its position in the one stream of all announcements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// When it happened.
    pub at: Timestamp,
    /// Type (`taxdisk_protocol::event::EVENT_TYPES`).
    pub kind: String,
    /// Whom it concerns; nobody in particular: only who sees all sellers is told.
    pub seller: Option<TaxpayerNumber>,
    /// Of a job.
    pub serial: Option<SerialNumber>,
    /// Of the job, after the event; 0 if it is about none.
    pub revision: u64,
    /// `data` of the event.
    pub body: Value,
}

impl Announcement {
    /// About no job.
    pub fn of(at: Timestamp, kind: &str, seller: Option<TaxpayerNumber>, body: Value) -> Announcement {
        Announcement { at, kind: kind.to_owned(), seller, serial: None, revision: 0, body }
    }

    /// A short hash over all of it. With the position it makes the id of the event: positions repeat after a restore from a
    /// backup, ids must not.
    pub fn tag(&self) -> String {
        self.tag_of(&self.body.to_string())
    }

    /// As [`Announcement::tag`], for who has the body as text already.
    pub(crate) fn tag_of(&self, body: &str) -> String {
        let mut hasher = Sha256::new_with_prefix("taxdisk announcement v1");
        hasher.update(self.at.0.to_be_bytes());
        hasher.update(self.revision.to_be_bytes());
        let (seller, serial) = (self.seller.as_ref().map(|s| s.as_str()), self.serial.as_ref().map(|s| s.as_str()));
        for text in [self.kind.as_str(), seller.unwrap_or(""), serial.unwrap_or(""), body] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hex::encode(&hasher.finalize()[..6])
    }
}

/// The type of event that a job's event is told as, if it is told.
pub fn told(what: &What, after: JobState) -> Option<&'static str> {
    match what {
        // A first acceptance is answered to the caller himself; the others say nothing that anybody could act on.
        What::Accepted { .. }
        | What::Assigned { .. }
        | What::Started { .. }
        | What::CancelAsked { .. }
        | What::SettleProposed { .. }
        | What::Evidence { .. }
        // The void or red job tells it itself.
        | What::Linked { .. } => None,
        What::Issued { .. }
        | What::Voided { .. }
        | What::NotIssued { .. }
        | What::GivenBack { .. }
        | What::Unsettled { .. }
        | What::Failed { .. }
        | What::Cancelled { .. }
        | What::Reissued { .. }
        | What::Recovered { .. }
        | What::SettledByHand { .. } => match after {
            JobState::Queued => Some("job.queued"),
            JobState::Unsettled => Some("job.unsettled"),
            JobState::Issued => Some("job.issued"),
            JobState::Voided => Some("job.voided"),
            JobState::Failed => Some("job.failed"),
            JobState::Cancelled => Some("job.cancelled"),
            JobState::Assigned => None,
        },
    }
}

/// A job as an event shows it: what became of it, without the buyer and the lines.
pub fn body(job: &Job) -> Value {
    let mut body = json!({
        "seller": job.key.seller, "serial": job.key.serial, "operation": job.operation, "kind": job.kind.to_string(),
        "state": job.state, "revision": job.revision, "changed_at": job.changed_at.to_string(),
    });
    if let Some(issued) = &job.issued {
        body["issued"] = json!(issued);
    }
    if let Some(problem) = &job.problem {
        body["problem"] = json!(problem);
    }
    if let Some(trace) = &job.trace {
        // The one for people, the other for whoever goes on with the trace.
        body["trace_id"] = json!(trace.trace_id());
        body["traceparent"] = json!(trace);
    }
    if job.state == JobState::Queued
        && let Some(waiting) = job.waiting
    {
        body["waiting"] = json!(waiting);
    }
    body
}

/// The announcement of a job's event, if it is told. `job` is the job after it.
pub fn of_job(job: &Job, event: &Event) -> Option<Announcement> {
    let kind = told(&event.what, job.state)?;
    Some(Announcement {
        at: event.at,
        kind: kind.to_owned(),
        seller: Some(job.key.seller.clone()),
        serial: Some(job.key.serial.clone()),
        revision: job.revision,
        body: body(job),
    })
}

/// Is an event of this job that came after `revision` told? Then what was told of that revision is overtaken.
///
/// # Errors
/// The events are not this job's: the text says which one does not fit.
pub fn overtaken(events: &[Event], revision: u64) -> Result<bool, String> {
    let Some((first, rest)) = events.split_first() else { return Ok(false) };
    let mut job = Job::accept(first).map_err(|error| error.to_string())?;
    for event in rest {
        job.advance(event).map_err(|error| error.to_string())?;
        if job.revision > revision && told(&event.what, job.state).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Core {
    /// Tells once more what became of a job, as an event of its own: who has lost the first one asks for that. Same revision,
    /// another id.
    pub(super) fn tell_again(&mut self, job: &Job) {
        let kind = if job.state == JobState::Voided { "job.voided" } else { "job.issued" };
        self.turn.changes.push(Change::Announcement(Announcement {
            at: self.turn.now,
            kind: kind.to_owned(),
            seller: Some(job.key.seller.clone()),
            serial: Some(job.key.serial.clone()),
            revision: job.revision,
            body: body(job),
        }));
    }

    pub(super) fn announce(&mut self, kind: &str, seller: Option<TaxpayerNumber>, body: Value) {
        let announcement = Announcement::of(self.turn.now, kind, seller, body);
        self.turn.changes.push(Change::Announcement(announcement));
    }

    pub(super) fn announce_agent(&mut self, agent: &AgentId, up: bool) {
        let name = self.agents.get(agent).map(|found| found.row.name.clone()).unwrap_or_default();
        self.announce(if up { "agent.up" } else { "agent.down" }, None, json!({ "agent": agent, "name": name }));
    }

    /// Tells of a disk whose readiness is another one than was told last. What was told is memory only: after a start a disk
    /// that is ready is told once more.
    pub(super) fn announce_disk(&mut self, number: &DiskNumber) {
        let Some(disk) = self.disks.get_mut(number) else { return };
        let health = disk.report.as_ref().map(|report| &report.health);
        let ready = disk.owner.is_some() && health.is_some_and(|health| health.ready);
        if ready == disk.told_ready {
            return;
        }
        disk.told_ready = ready;
        let mut body = json!({ "disk": number, "agent": disk.owner.as_ref().map(|owner| &owner.agent) });
        if let Some(health) = health.filter(|_| !ready) {
            let (class, text) = match (&disk.owner, disk.claims.len()) {
                (None, 0) => (None, "its agent is away, or it was unplugged".to_owned()),
                (None, 1) => (None, "its agent waits until the former owner is silent".to_owned()),
                (None, _) => (None, "several agents claim it; nobody issues".to_owned()),
                (Some(_), _) => (health.class, health.text.clone()),
            };
            body["class"] = json!(class);
            body["text"] = json!(text);
        }
        let seller = disk.seller.clone();
        self.announce(if ready { "disk.up" } else { "disk.down" }, seller, body);
    }
}
