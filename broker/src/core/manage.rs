//! What administrators set up: sellers, issue points, disks, agents, keys. Each change leaves an entry in the chain.

use taxdisk_protocol::api::{DiskAssignment, DiskTrouble, IssuePointBody, PauseView, SellerBody};
use taxdisk_protocol::ids::{AgentId, DiskNumber, IssuePoint, TaxpayerNumber};
use taxdisk_protocol::link::BrokerFrame;

use super::change::{AgentRow, Change, EnrollmentRow, IssuePointRow, KeyRow, SellerRow};
use super::disk::Disk;
use super::types::{Left, Refusal};
use super::{Agent, Core, Effect, Reply, Seller};

/// Issue points of one seller at most: more is a mistake of a program.
const ISSUE_POINTS: usize = 10_000;

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
        self.audit(None, "enrollment_created", serde_json::json!({ "by": by, "name": row.name, "hash": row.hash }));
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
        row.used_by = Some(agent.clone());
        let row = AgentRow {
            agent: agent.clone(),
            name: row.name.clone(),
            public_key,
            version,
            enrolled_at: now,
            seen_at: None,
            revoked: false,
            journal: None,
            journal_sequence: 0,
            join: 0,
            alarms: Vec::new(),
        };
        self.audit(
            None,
            "agent_enrolled",
            serde_json::json!({ "agent": agent, "enrollment": hash, "public_key": row.public_key }),
        );
        self.turn.changes.push(Change::EnrollmentUsed { hash, agent: agent.clone() });
        self.turn.changes.push(Change::Agent(row.clone()));
        self.agents.insert(agent.clone(), Agent { row, session: None });
        Ok(Reply::Enrolled(agent))
    }

    pub(super) fn revoke_agent(&mut self, agent: &AgentId, by: &str) -> Result<Reply, Refusal> {
        let Some(found) = self.agents.get_mut(agent) else {
            return Err(Refusal::new("agent_unknown", format!("agent {agent} is not enrolled here")));
        };
        found.row.revoked = true;
        let (row, session) = (found.row.clone(), found.session);
        self.turn.changes.push(Change::Agent(row));
        self.audit(None, "agent_revoked", serde_json::json!({ "by": by, "agent": agent }));
        if let Some(session) = session {
            let reason = "this agent was revoked by an administrator".to_owned();
            self.send(session, BrokerFrame::Refused { code: "agent_revoked".to_owned(), reason });
            self.end_session(session, Left::Lost);
            self.turn.effects.push(Effect::Close(session));
        }
        Ok(Reply::Done)
    }

    /// The public key that an agent must prove, as base64.
    ///
    /// # Errors
    /// `agent_unknown`, `agent_revoked`.
    pub fn agent_key(&self, agent: &AgentId) -> Result<String, Refusal> {
        match self.agents.get(agent) {
            None => Err(Refusal::new("agent_unknown", format!("agent {agent} is not enrolled here"))),
            Some(found) if found.row.revoked => Err(Refusal::new("agent_revoked", format!("agent {agent} is revoked"))),
            Some(found) => Ok(found.row.public_key.clone()),
        }
    }

    pub(super) fn create_key(&mut self, row: KeyRow, by: &str) -> Result<Reply, Refusal> {
        let body = serde_json::json!({ "by": by, "id": row.id, "name": row.name, "role": row.role, "sellers": row.sellers });
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
