//! The two-person rule: what one person proposes and another one confirms.
//!
//! A broker that asks for it (`[two_persons]`) does nothing when somebody decides on an unsettled job, begins a bulk
//! re-issue, or says of a ledger that went back what nobody could read: it notes what was asked, and does it when another
//! person confirms it in time, as it stands. What is looked at, is looked at again then: a job that has changed since is not
//! decided.
//!
//! Who is one person: a person of the console by his name; a key counts as everybody who has held it in his hands, its owner
//! and whoever made it, and a key that was made on the command line for nobody as a person of its own. That two names are two
//! people is up to who adds people; `user_added` and `key_created` in the chain say who did.
//!
//! What it refuses to do: let anybody confirm what he proposed, whatever key he takes for it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use taxdisk_protocol::api::{
    JobName, JobState, PairBody, ProposalView, Proposed, ReconcileJobRequest, ReconcileNumberRequest, SettleDecision,
    SettleRequest,
};
use taxdisk_protocol::ids::{DiskNumber, JobKey, TaxpayerNumber};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::time::Timestamp;

use super::change::{BulkRow, Change, KeyRow, Notice, NumberKey};
use super::types::{LineDecision, NumberDecision, Refusal};
use super::{Core, Known, Reply};

/// Proposals that wait at most; more are refused.
const PROPOSALS: usize = 1000;
/// Characters of a reason that are kept.
const REASON: usize = 1000;

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A decision on an unsettled job.
    Settle(JobKey, SettleRequest),
    /// A bulk re-issue.
    Bulk(Box<BulkRow>),
    /// Whose a number of unknown origin is.
    Number(Box<NumberDecision>),
    /// What became of an attempt that an agent remembers as unsettled.
    Line(JobKey, LineDecision),
    /// A disk is let go unread; with the reason.
    Release(DiskNumber, String),
}

/// A proposal that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalRow {
    /// Its id.
    pub id: String,
    /// What.
    pub what: What,
    /// Who proposed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Until when it can be confirmed.
    pub expires_at: Timestamp,
}

impl ProposalRow {
    /// As the API shows it.
    pub fn view(&self) -> ProposalView {
        let (reason, what) = match &self.what {
            What::Settle(key, request) => {
                let (seller, serial) = (key.seller.to_string(), key.serial.to_string());
                (request.reason.clone(), Proposed::Settle { seller, serial, request: request.clone() })
            }
            What::Bulk(row) => {
                let (key, filter) = (row.view.key.clone(), row.view.filter.clone());
                (row.view.reason.clone(), Proposed::BulkReissue { key, filter })
            }
            What::Number(decision) => {
                let NumberKey { disk, kind, pair } = &decision.number;
                let job = decision.job.as_ref();
                let job = job.map(|key| JobName { seller: key.seller.to_string(), serial: key.serial.to_string() });
                let request = ReconcileNumberRequest {
                    disk: disk.to_string(),
                    kind: kind.to_string(),
                    pair: pair_body(pair),
                    job,
                    forgotten: decision.forgotten,
                    reason: decision.reason.clone(),
                };
                (decision.reason.clone(), Proposed::ReconcileNumber { request })
            }
            What::Line(key, decision) => {
                let (seller, serial) = (key.seller.to_string(), key.serial.to_string());
                let request = ReconcileJobRequest {
                    decision: if decision.issued.is_some() { SettleDecision::Issued } else { SettleDecision::NotIssued },
                    attempt: decision.attempt,
                    disk: decision.disk.as_ref().map(ToString::to_string),
                    pair: decision.issued.as_ref().map(pair_body),
                    reason: decision.reason.clone(),
                };
                (decision.reason.clone(), Proposed::ReconcileJob { seller, serial, request })
            }
            What::Release(disk, reason) => (reason.clone(), Proposed::ReleaseUnread { disk: disk.to_string() }),
        };
        let (at, expires_at) = (self.at.to_string(), self.expires_at.to_string());
        ProposalView { id: self.id.clone(), by: self.by.clone(), at, expires_at, reason, what }
    }

    fn seller(&self) -> Option<&TaxpayerNumber> {
        match &self.what {
            What::Settle(key, _) | What::Line(key, _) => Some(&key.seller),
            What::Bulk(_) | What::Number(_) | What::Release(..) => None,
        }
    }
}

fn pair_body(pair: &NumberPair) -> PairBody {
    PairBody { code: pair.code.to_string(), number: pair.number.to_string() }
}

fn cut(text: &str) -> String {
    text.trim().chars().take(REASON).collect()
}

impl Core {
    /// A decision on an unsettled job: noted, where two persons are asked for, and done elsewhere.
    pub(super) fn settle(&mut self, key: &JobKey, request: SettleRequest, by: String, known: &Known) -> Result<Reply, Refusal> {
        if !self.settings.two_persons.settle {
            return self.settle_by_hand(key, request, by, known);
        }
        let job = self.job(key, known).ok_or_else(|| Refusal::new("not_found", format!("job {key} is not known")))?;
        let view = self.view(&job);
        let refuse = |code, text: &str| Refusal { job: Some(Box::new(view.clone())), ..Refusal::new(code, text) };
        // What stands now already is said now; all else is looked at when it is done.
        if job.state != JobState::Unsettled {
            return Err(refuse("settle_not_unsettled", "only an unsettled job is decided by hand"));
        }
        if request.revision != job.revision {
            return Err(refuse("settle_revision", "the job has changed since you looked at it; look again"));
        }
        let request = SettleRequest { reason: cut(&request.reason), ..request };
        if request.reason.is_empty() {
            return Err(refuse("settle_needs_readings", "say why; it is kept in the ledger with your name"));
        }
        self.propose(What::Settle(key.clone(), request), by)
    }

    /// A bulk re-issue: noted, where two persons are asked for, and begun elsewhere. One that has begun answers as it stands.
    pub(super) fn bulk_asked(&mut self, row: BulkRow) -> Result<Reply, Refusal> {
        if !self.settings.two_persons.bulk_reissue || self.bulks.contains_key(&row.view.key) {
            return self.start_bulk(row);
        }
        let by = row.view.by.clone();
        self.propose(What::Bulk(Box::new(row)), by)
    }

    /// A person's word on what a ledger that went back does not know: noted, where two persons are asked for, and done elsewhere.
    pub(super) fn reconcile_asked(&mut self, mut what: What, known: &Known) -> Result<Reply, Refusal> {
        if !self.settings.two_persons.reconcile {
            return self.reconcile_by_hand(what, known);
        }
        // What is wrong with it besides is said when it is done: the ledger still learns from its disks meanwhile.
        let reason = match &mut what {
            What::Number(decision) => &mut decision.reason,
            What::Line(_, decision) => &mut decision.reason,
            What::Release(_, reason) => reason,
            What::Settle(_, request) => &mut request.reason,
            What::Bulk(row) => &mut row.view.reason,
        };
        *reason = cut(reason);
        if reason.is_empty() {
            return Err(Refusal::new("invalid_parameter", "reason: say why; it is kept in the ledger with your name"));
        }
        let by = self.turn.origin.as_ref().map(|origin| origin.by.clone()).unwrap_or_default();
        self.propose(what, by)
    }

    fn reconcile_by_hand(&mut self, what: What, known: &Known) -> Result<Reply, Refusal> {
        match what {
            What::Number(decision) => self.decide_number(*decision, known),
            What::Line(key, decision) => self.decide_line(&key, decision, known),
            What::Release(disk, reason) => self.release_disk(&disk, &reason, known),
            What::Settle(..) | What::Bulk(_) => Err(Refusal::new("invalid_parameter", "this is no decision of a recount")),
        }
    }

    fn propose(&mut self, what: What, by: String) -> Result<Reply, Refusal> {
        self.end_proposals();
        // The same again is the same proposal; when a bulk re-issue was asked for is no part of what it is.
        let same = |row: &&ProposalRow| match (&row.what, &what) {
            (What::Bulk(one), What::Bulk(other)) => {
                row.by == by && one.view.key == other.view.key && one.view.filter == other.view.filter
            }
            (one, other) => row.by == by && one == other,
        };
        if let Some(row) = self.proposals.values().find(same) {
            return Ok(Reply::Proposed(Box::new(row.clone())));
        }
        if self.proposals.len() >= PROPOSALS {
            let text = format!("{PROPOSALS} proposals wait for a second person; confirm or decline some first");
            return Err(Refusal::new("proposals_full", text));
        }
        let now = self.turn.now;
        let digest = Sha256::digest(format!("{}\n{by}\n{}", json!(what), now.0));
        let id = format!("pr_{}", hex::encode(digest).get(..16).unwrap_or_default());
        let expires_at = now.plus_s(self.settings.two_persons.valid_s);
        let row = ProposalRow { id: id.clone(), what, by, at: now, expires_at };
        self.audit(row.seller().cloned().as_ref(), "proposed", json!({ "by": row.by, "proposal": row.view() }));
        self.turn.changes.push(Change::Notice { notice: Notice::Proposal(Box::new(row.clone())), on: true });
        self.proposals.insert(id, row.clone());
        Ok(Reply::Proposed(Box::new(row)))
    }

    /// Another person confirms, and it is done in the same commit. What is refused stays, so that it can be seen and declined.
    pub(super) fn confirm(&mut self, id: &str, by: &str, known: &Known) -> Result<Reply, Refusal> {
        let row = self.waiting(id)?;
        if self.is_own(&row, by) {
            let text = format!("{} proposed this; another person must confirm it, with a name or key of their own", row.by);
            return Err(Refusal::new("second_person", text));
        }
        let reply = match row.what.clone() {
            What::Settle(key, request) => self.settle_by_two(&key, request, (&row.by, by), known)?,
            What::Bulk(bulk) => self.start_bulk(*bulk)?,
            other => self.reconcile_by_hand(other, known)?,
        };
        self.drop_proposal(row, "confirmed", by, "");
        Ok(reply)
    }

    /// By the tax office's record two persons decide anyway: the two of the proposal are those.
    fn settle_by_two(
        &mut self,
        key: &JobKey,
        request: SettleRequest,
        (first, second): (&str, &str),
        known: &Known,
    ) -> Result<Reply, Refusal> {
        let noted = self.job(key, known).and_then(|job| job.proposal.clone()).is_some();
        let by_record = request.tax_office.is_some() && !noted;
        match self.settle_by_hand(key, request.clone(), first.to_owned(), known) {
            Err(refusal) if by_record && refusal.code == "settle_second_person" => {
                let revision = refusal.job.as_ref().map_or(request.revision, |job| job.revision);
                self.settle_by_hand(key, SettleRequest { revision, ..request }, second.to_owned(), known)
            }
            answer => answer,
        }
    }

    /// Somebody declines it; a reason is kept.
    pub(super) fn decline(&mut self, id: &str, reason: &str, by: &str) -> Result<Reply, Refusal> {
        let row = self.waiting(id)?;
        self.end_by_word(row, "declined", reason, by)
    }

    /// Whoever proposed it takes it back; a reason is kept. To decline what others proposed takes more than to propose.
    pub(super) fn withdraw(&mut self, id: &str, reason: &str, by: &str) -> Result<Reply, Refusal> {
        let row = self.waiting(id)?;
        if !self.is_own(&row, by) {
            let text = format!("{} proposed this, and takes it back; an administrator may decline it", row.by);
            return Err(Refusal::new("forbidden", text));
        }
        self.end_by_word(row, "withdrawn", reason, by)
    }

    fn end_by_word(&mut self, row: ProposalRow, what: &'static str, reason: &str, by: &str) -> Result<Reply, Refusal> {
        let reason = cut(reason);
        if reason.is_empty() {
            return Err(Refusal::new("invalid_parameter", "reason: say why; it is kept in the ledger with your name"));
        }
        self.drop_proposal(row, what, by, &reason);
        Ok(Reply::Done)
    }

    /// Is one of those who are behind this name the person who proposed it? He takes it back, and another one confirms it.
    pub fn is_own(&self, row: &ProposalRow, by: &str) -> bool {
        !self.people_of(&row.by).is_disjoint(&self.people_of(by))
    }

    fn waiting(&mut self, id: &str) -> Result<ProposalRow, Refusal> {
        self.end_proposals();
        let unknown = || {
            Refusal::new(
                "not_found",
                format!("no proposal {id:?} waits: it was done, declined or withdrawn, or its time is over"),
            )
        };
        self.proposals.get(id).cloned().ok_or_else(unknown)
    }

    fn drop_proposal(&mut self, row: ProposalRow, what: &'static str, by: &str, reason: &str) {
        let body = json!({ "by": by, "id": row.id, "of": row.by, "reason": reason });
        self.audit(row.seller().cloned().as_ref(), what, body);
        self.proposals.remove(&row.id);
        self.turn.changes.push(Change::Notice { notice: Notice::Proposal(Box::new(row)), on: false });
    }

    /// Those whose time is over are forgotten, and the chain says so.
    pub(super) fn end_proposals(&mut self) {
        let now = self.turn.now;
        let over: Vec<ProposalRow> = self.proposals.values().filter(|row| row.expires_at <= now).cloned().collect();
        for row in over {
            self.drop_proposal(row, "proposal_expired", "broker", "");
        }
    }

    /// The proposals that wait, the oldest first.
    pub fn proposals(&self, now: Timestamp) -> Vec<ProposalRow> {
        let mut rows: Vec<ProposalRow> = self.proposals.values().filter(|row| row.expires_at > now).cloned().collect();
        rows.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        rows
    }

    /// The persons behind a name of the chain.
    pub(super) fn people_of(&self, by: &str) -> BTreeSet<String> {
        // Whom the login service names by this name is the person of the console of this name.
        match (by.strip_prefix("console:").or(by.strip_prefix("token:")), self.keys.get(by)) {
            (Some(name), _) => BTreeSet::from([name.to_owned()]),
            (None, Some(KeyRow { about, .. })) if !about.people.is_empty() => about.people.iter().cloned().collect(),
            // No name of a person has a space.
            _ => BTreeSet::from([format!("key {by}")]),
        }
    }
}
