//! What administrators set up: sellers, issue points, disks, agents, keys. Each change leaves an entry in the chain.

use taxdisk_protocol::api::{DiskAssignment, DiskTrouble, IssuePointBody, PauseView, SellerBody};
use taxdisk_protocol::ids::{AgentId, DiskNumber, IssuePoint, TaxpayerNumber};
use taxdisk_protocol::link::BrokerFrame;

use super::change::{AgentRow, Change, EnrollmentRow, IssuePointRow, KeyRow, SellerRow};
use super::disk::Disk;
use super::session::not_approved;
use super::types::{Left, Refusal, SessionId};
use super::{Agent, Core, Effect, Reply, Seller};

/// Issue points of one seller at most: more is a mistake of a program.
const ISSUE_POINTS: usize = 10_000;

/// A key's use is noted so often, milliseconds.
pub(crate) const KEY_USE_MS: i64 = 3_600_000;

fn unknown_agent(agent: &AgentId) -> Refusal {
    Refusal::new("agent_unknown", format!("agent {agent} is not enrolled here"))
}

impl Core {
    pub(super) fn put_seller(&mut self, seller: TaxpayerNumber, body: SellerBody, by: &str) -> Result<Reply, Refusal> {
        if let DiskTrouble::FailAfter(after_s) = body.disk_trouble
            && !(1..=DiskTrouble::FAIL_AFTER_MAX_S).contains(&after_s)
        {
            let text = format!("disk_trouble: fail_after_s is 1 to {} (30 days)", DiskTrouble::FAIL_AFTER_MAX_S);
            return Err(Refusal::new("invalid_parameter", text));
        }
        self.turn.changes.push(Change::Seller(SellerRow { seller: seller.clone(), body: body.clone() }));
        self.audit(Some(&seller), "seller_put", serde_json::json!({ "by": by, "seller": body }));
        match self.sellers.get_mut(&seller) {
            Some(known) => known.body = body,
            None => {
                self.sellers.insert(seller.clone(), Seller { body, points: Default::default() });
            }
        }
        self.touch(&seller);
        self.pump_seller(&seller);
        Ok(Reply::Done)
    }

    pub(super) fn put_issue_point(
        &mut self,
        seller: TaxpayerNumber,
        point: IssuePoint,
        body: IssuePointBody,
        by: &str,
    ) -> Result<Reply, Refusal> {
        let Some(known) = self.sellers.get_mut(&seller) else {
            return Err(Refusal::new("seller_unknown", format!("seller {seller} is not known here")));
        };
        if known.points.len() >= ISSUE_POINTS && !known.points.contains_key(&point) {
            return Err(Refusal::new("invalid_parameter", format!("a seller has at most {ISSUE_POINTS} issue points")));
        }
        if let Some(bad) = body.disks.iter().find(|disk| disk.parse::<DiskNumber>().is_err()) {
            return Err(Refusal::new("invalid_parameter", format!("{bad:?} is not a disk number")));
        }
        known.points.insert(point.clone(), body.clone());
        self.audit(Some(&seller), "issue_point_put", serde_json::json!({ "by": by, "point": point, "body": body }));
        self.turn.changes.push(Change::IssuePoint(IssuePointRow { seller: seller.clone(), point, body }));
        self.touch(&seller);
        self.pump_seller(&seller);
        Ok(Reply::Done)
    }

    pub(super) fn put_disk(&mut self, number: DiskNumber, body: DiskAssignment, by: &str) -> Result<Reply, Refusal> {
        let Ok(seller) = body.seller.parse::<TaxpayerNumber>() else {
            return Err(Refusal::new("invalid_parameter", format!("{:?} is not a taxpayer number", body.seller)));
        };
        if !self.sellers.contains_key(&seller) {
            return Err(Refusal::new("seller_unknown", format!("seller {seller} is not known here")));
        }
        let now = self.turn.now;
        let disk = self.disks.entry(number.clone()).or_insert_with(|| Disk::new(number.clone(), now));
        if let Some(inside) = &disk.seller
            && *inside != seller
        {
            return Err(Refusal::new("disk_seller", format!("disk {number} says that it belongs to {inside}")));
        }
        disk.assignment = Some(body.clone());
        self.audit(Some(&seller), "disk_put", serde_json::json!({ "by": by, "disk": number, "body": body }));
        self.turn.changes.push(Change::DiskAssignment(number.clone(), body));
        self.touch(&seller);
        self.pump(&number);
        Ok(Reply::Done)
    }

    pub(super) fn create_enrollment(&mut self, row: EnrollmentRow, by: &str) -> Result<Reply, Refusal> {
        if let Some(agent) = row.what.agent.as_ref().filter(|agent| !self.agents.contains_key(*agent)) {
            return Err(unknown_agent(agent));
        }
        let body = serde_json::json!({ "by": by, "name": row.name, "hash": row.hash, "what": row.what });
        self.audit(None, "enrollment_created", body);
        self.turn.changes.push(Change::Enrollment(row.clone()));
        self.enrollments.insert(row.hash.clone(), row);
        Ok(Reply::Done)
    }

    pub(super) fn enroll(&mut self, hash: String, agent: AgentId, public_key: String, version: String) -> Result<Reply, Refusal> {
        let now = self.turn.now;
        let Some(row) = self.enrollments.get_mut(&hash) else {
            return Err(Refusal::new("enrollment_invalid", "this enrolment code is not known, was used, or ended long ago"));
        };
        if row.used_by.is_some() {
            return Err(Refusal::new("enrollment_used", "this enrolment code was used already; make a new one"));
        }
        if row.expires_at < now {
            return Err(Refusal::new("enrollment_expired", "this enrolment code has ended; make a new one"));
        }
        let (name, what) = (row.name.clone(), row.what.clone());
        if let Some(most) = what.many {
            let used = self.agents.values().filter(|agent| agent.row.code.as_ref() == Some(&hash)).count();
            if used >= most as usize {
                return Err(Refusal::new(
                    "enrollment_used",
                    format!("this enrolment code was good for {most} agents; make a new one"),
                ));
            }
        } else {
            row.used_by = Some(what.agent.clone().unwrap_or_else(|| agent.clone()));
        }
        if let Some(known) = what.agent {
            return self.enroll_again(hash, known, public_key, version);
        }
        let waiting = what.many.is_some();
        let row = AgentRow {
            agent: agent.clone(),
            name,
            public_key,
            version,
            enrolled_at: now,
            seen_at: None,
            revoked: false,
            journal: None,
            journal_sequence: 0,
            join: 0,
            alarms: Vec::new(),
            bounds: what.bounds,
            waiting,
            code: waiting.then(|| hash.clone()),
        };
        let body = serde_json::json!({ "agent": agent, "enrollment": hash, "public_key": row.public_key, "waiting": waiting });
        self.audit(None, "agent_enrolled", body);
        if !waiting {
            self.turn.changes.push(Change::EnrollmentUsed { hash, agent: agent.clone() });
        }
        self.turn.changes.push(Change::Agent(row.clone()));
        self.agents.insert(agent.clone(), Agent { row, session: None });
        Ok(Reply::Enrolled(agent, waiting))
    }

    /// An agent that was there gets another key; what it was and did stays its own. What is known of its journal stays too, so
    /// that one that lost it is treated like one that may have lost it.
    fn enroll_again(&mut self, hash: String, agent: AgentId, public_key: String, version: String) -> Result<Reply, Refusal> {
        let Some(found) = self.agents.get_mut(&agent) else {
            return Err(Refusal::new("enrollment_invalid", "the agent of this enrolment code is not known here"));
        };
        let before = std::mem::replace(&mut found.row.public_key, public_key);
        found.row.revoked = false;
        found.row.version = version;
        let (row, session) = (found.row.clone(), found.session);
        let body = serde_json::json!({ "agent": agent, "enrollment": hash, "from": before, "to": row.public_key });
        self.turn.changes.push(Change::EnrollmentUsed { hash, agent: agent.clone() });
        self.turn.changes.push(Change::Agent(row));
        self.audit(None, "agent_enrolled_again", body);
        self.shut_out(session, "agent_proof", "this agent was enrolled again and has another key");
        Ok(Reply::Enrolled(agent, false))
    }

    /// Approves an agent that enrolled by a code for many. One that waits no longer is approved already.
    pub(super) fn approve_agent(&mut self, agent: &AgentId, name: Option<String>, by: &str) -> Result<Reply, Refusal> {
        let found = self.agents.get_mut(agent).ok_or_else(|| unknown_agent(agent))?;
        found.row.waiting = false;
        if let Some(name) = name {
            found.row.name = name;
        }
        let row = found.row.clone();
        let body = serde_json::json!({ "by": by, "agent": agent, "name": row.name, "public_key": row.public_key });
        self.turn.changes.push(Change::Agent(row));
        self.audit(None, "agent_approved", body);
        Ok(Reply::Done)
    }

    pub(super) fn rename_agent(&mut self, agent: &AgentId, name: String, by: &str) -> Result<Reply, Refusal> {
        let found = self.agents.get_mut(agent).ok_or_else(|| unknown_agent(agent))?;
        let before = std::mem::replace(&mut found.row.name, name);
        let row = found.row.clone();
        let body = serde_json::json!({ "by": by, "agent": agent, "from": before, "to": row.name });
        self.turn.changes.push(Change::Agent(row));
        self.audit(None, "agent_renamed", body);
        Ok(Reply::Done)
    }

    /// Ends the link of an agent that may not have one any more.
    fn shut_out(&mut self, session: Option<SessionId>, code: &str, reason: &str) {
        let Some(session) = session else { return };
        self.send(session, BrokerFrame::Refused { code: code.to_owned(), reason: reason.to_owned() });
        self.end_session(session, Left::Lost);
        self.turn.effects.push(Effect::Close(session));
    }

    pub(super) fn revoke_agent(&mut self, agent: &AgentId, by: &str) -> Result<Reply, Refusal> {
        let found = self.agents.get_mut(agent).ok_or_else(|| unknown_agent(agent))?;
        found.row.revoked = true;
        let (row, session) = (found.row.clone(), found.session);
        self.turn.changes.push(Change::Agent(row));
        self.audit(None, "agent_revoked", serde_json::json!({ "by": by, "agent": agent }));
        self.shut_out(session, "agent_revoked", "this agent was revoked by an administrator");
        Ok(Reply::Done)
    }

    /// The public key that an agent must prove, as base64.
    ///
    /// # Errors
    /// `agent_unknown`, `agent_revoked`, `agent_waiting`.
    pub fn agent_key(&self, agent: &AgentId) -> Result<String, Refusal> {
        match self.agents.get(agent) {
            None => Err(unknown_agent(agent)),
            Some(found) if found.row.waiting => Err(not_approved(agent)),
            Some(found) if found.row.revoked => Err(Refusal::new("agent_revoked", format!("agent {agent} is revoked"))),
            Some(found) => Ok(found.row.public_key.clone()),
        }
    }

    pub(super) fn create_key(&mut self, mut row: KeyRow, by: &str) -> Result<Reply, Refusal> {
        if let Some(owner) = row.about.people.iter().find(|owner| self.user(owner).is_none()) {
            return Err(Refusal::new("invalid_parameter", format!("owner: there is no user {owner:?} of the console")));
        }
        // Whoever makes a key has seen it. The command line is whoever has the machine, and no person.
        if by.starts_with("console:") || self.keys.contains_key(by) {
            row.about.people.extend(self.people_of(by));
            row.about.people.sort_unstable();
            row.about.people.dedup();
        }
        let body = serde_json::json!({ "by": by, "id": row.id, "name": row.name, "role": row.role, "sellers": row.sellers,
            "actions": row.actions, "people": row.about.people });
        self.audit(None, "key_created", body);
        self.turn.changes.push(Change::Key(row.clone()));
        self.keys.insert(row.id.clone(), row);
        Ok(Reply::Done)
    }

    pub(super) fn revoke_key(&mut self, id: &str, by: &str) -> Result<Reply, Refusal> {
        let now = self.turn.now;
        let Some(row) = self.keys.get_mut(id) else {
            return Err(Refusal::new("not_found", format!("key {id} is not known")));
        };
        row.revoked_at.get_or_insert(now);
        let row = row.clone();
        self.turn.changes.push(Change::Key(row));
        self.audit(None, "key_revoked", serde_json::json!({ "by": by, "id": id }));
        Ok(Reply::Done)
    }

    /// A key was used. Noted once an hour: it says whether anybody has the key, and no call waits for it.
    pub(super) fn use_key(&mut self, id: &str) -> Result<Reply, Refusal> {
        let now = self.turn.now;
        if let Some(row) = self.keys.get_mut(id)
            && row.used_at.is_none_or(|at| now.since_ms(at) >= KEY_USE_MS)
        {
            row.used_at = Some(now);
            let row = row.clone();
            self.turn.changes.push(Change::Key(row));
        }
        Ok(Reply::Done)
    }

    /// All pauses in force.
    pub fn pauses(&self) -> Vec<PauseView> {
        self.pauses.values().map(super::PauseRow::view).collect()
    }

    /// Sellers by number, for lists.
    pub fn sellers(&self) -> Vec<(TaxpayerNumber, SellerBody)> {
        self.sellers.iter().map(|(number, seller)| (number.clone(), seller.body.clone())).collect()
    }

    /// Issue points of a seller; `None`: the seller is not known.
    pub fn issue_points(&self, seller: &TaxpayerNumber) -> Option<Vec<(IssuePoint, IssuePointBody)>> {
        let seller = self.sellers.get(seller)?;
        Some(seller.points.iter().map(|(point, body)| (point.clone(), body.clone())).collect())
    }
}
