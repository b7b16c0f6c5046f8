//! Joins, links that end, the frames of an agent, and what only time brings.
//!
//! A join counter that is not above the known one is a copy of an agent, or its state from a backup. While the agent is linked it
//! is refused, with an alarm: the link that stands stays. Otherwise it may join, with an alarm: the broker cannot tell a copy
//! from
//! a restored PC, and it need not. The disk's number says who can reach the disk, every open attempt is proven by reading the
//! disk
//! and not by what a journal lacks, and who joined so counts as a new agent when a disk changes hands, so that a copy waits
//! for the
//! original's silence. A journal that went back or is a new one is treated alike.

use taxdisk_protocol::ids::{AgentId, DiskNumber};
use taxdisk_protocol::job::What;
use taxdisk_protocol::link::{AgentFrame, BrokerFrame};

use super::change::Change;
use super::types::{Join, Joined, Left, Refusal, SessionId};
use super::{Core, Effect, Known, Reply, Session};
use crate::fault::planted;

/// An agent that enrolled by a code for many.
pub(super) fn not_approved(agent: &AgentId) -> Refusal {
    Refusal::new("agent_waiting", format!("agent {agent} waits until an administrator approves it"))
}

impl Core {
    pub(super) fn join(&mut self, join: Join, session: SessionId) -> Result<Reply, Refusal> {
        let Some(agent) = self.agents.get(&join.agent) else {
            return Err(Refusal::new("agent_unknown", format!("agent {} is not enrolled here", join.agent)));
        };
        if agent.row.revoked {
            return Err(Refusal::new("agent_revoked", format!("agent {} is revoked", join.agent)));
        }
        if agent.row.waiting {
            return Err(not_approved(&join.agent));
        }
        // Whoever was asked for a key that meanwhile is another one has proven nothing.
        if join.key.as_ref().is_some_and(|key| key.known != agent.row.public_key) {
            return Err(Refusal::new("agent_proof", "this agent's key was exchanged while it joined; join again"));
        }
        let counter_back = join.join <= agent.row.join;
        if counter_back && agent.session.is_some() {
            let text = format!(
                "a join with counter {} came after {} while the agent is linked: there are two copies of this agent",
                join.join, agent.row.join
            );
            self.alarm(&join.agent, text.clone());
            return Err(Refusal::new("agent_clone", text));
        }
        let counter_known = agent.row.join;
        let same_journal = agent.row.journal.as_ref() == Some(&join.journal.id);
        let journal_known = same_journal.then_some(agent.row.journal_sequence);
        let went_back = journal_known.is_some_and(|known| join.journal.sequence < known);
        let replaced = agent.row.journal.is_some() && !same_journal;
        let (old, public_key) = (agent.session, agent.row.public_key.clone());
        if let Some(old) = old {
            self.end_session(old, Left::Lost);
            self.turn.effects.push(Effect::Close(old));
        }
        let now = self.turn.now;
        let newest = join.key.map(|key| key.newest).filter(|newest| *newest != public_key);
        let suspicious = went_back || replaced || counter_back;
        if let Some(agent) = self.agents.get_mut(&join.agent) {
            agent.session = Some(session);
            let row = &mut agent.row;
            row.join = join.join;
            if let Some(newest) = &newest {
                row.public_key.clone_from(newest);
            }
            row.version.clone_from(&join.version);
            row.journal = Some(join.journal.id.clone());
            row.journal_sequence = join.journal.sequence;
            row.seen_at = Some(now);
            let row = row.clone();
            self.turn.changes.push(Change::Agent(row));
        }
        if suspicious {
            self.doubt_operations(&join.agent);
        }
        self.sessions.insert(
            session,
            Session {
                agent: join.agent.clone(),
                disks: Default::default(),
                said: Default::default(),
                refused: Default::default(),
                suspicious,
            },
        );
        self.announce_agent(&join.agent, true);
        if went_back {
            let known = journal_known.unwrap_or_default();
            let text = format!("its journal went back from record {known} to {}", join.journal.sequence);
            self.alarm(&join.agent, text);
        }
        if replaced {
            self.alarm(&join.agent, "it has another journal than before".to_owned());
        } else if counter_back {
            let text =
                format!("its join counter went back from {counter_known} to {}: a copy, or a state from a backup", join.join);
            self.alarm(&join.agent, text);
        }
        if let Some(newest) = &newest {
            let body = serde_json::json!({ "agent": join.agent, "from": public_key, "to": newest });
            self.audit(None, "agent_key_exchanged", body);
        }
        Ok(Reply::Joined(Joined { session, journal_known, public_key: newest.unwrap_or(public_key) }))
    }

    pub(super) fn leave(&mut self, session: SessionId, how: Left) -> Result<Reply, Refusal> {
        self.end_session(session, how);
        Ok(Reply::Done)
    }

    pub(super) fn end_session(&mut self, session: SessionId, how: Left) {
        let Some(live) = self.sessions.get(&session) else { return };
        let (agent, disks) = (live.agent.clone(), live.disks.clone());
        for number in &disks {
            self.unclaim(session, number, how == Left::Goodbye);
        }
        self.sessions.remove(&session);
        let now = self.turn.now;
        if let Some(found) = self.agents.get_mut(&agent)
            && found.session == Some(session)
        {
            found.session = None;
            found.row.seen_at = Some(now);
            let row = found.row.clone();
            self.turn.changes.push(Change::Agent(row));
            self.announce_agent(&agent, false);
        }
        // Who was denied and went without a word may have been the former owner.
        for number in self.former_disks(&agent) {
            if let Some(former) = self.disks.get_mut(&number).and_then(|disk| disk.former.as_mut()) {
                former.lost_at.get_or_insert(now);
            }
        }
    }

    pub(super) fn frame(&mut self, session: SessionId, frame: AgentFrame, known: &Known) -> Result<Reply, Refusal> {
        if !self.sessions.contains_key(&session) {
            // A frame that was under way when its session ended. What matters in it is sent again until it is acknowledged.
            return Err(Refusal::new("link_order", "this link has ended; join again"));
        }
        match frame {
            AgentFrame::Disks { disks } => self.disks_reported(session, disks),
            AgentFrame::Started { disk, epoch, attempt, expected } => {
                let owns = self.owns(session, &disk);
                let fits = self.job(&attempt.key, known).is_some_and(|job| {
                    job.open_attempt().is_some_and(|open| {
                        open.attempt == attempt.attempt
                            && open.epoch == epoch
                            && open.disk == disk
                            && open.expected != Some(expected)
                    })
                });
                if owns && fits && self.jobs.contains_key(&attempt.key) {
                    self.record(&attempt.key, What::Started { attempt: attempt.attempt, epoch, expected })?;
                }
                Ok(Reply::Done)
            }
            AgentFrame::Recorded { disk, attempt, why, lines } => {
                self.recorded(session, &disk, &attempt, &why, &lines, known)?;
                Ok(Reply::Done)
            }
            AgentFrame::Outcome { id, disk, epoch, sequence, attempt, expected, outcome, readings, disk_ms } => {
                let report =
                    super::outcome::Report { session, disk, epoch, sequence, attempt, expected, outcome, readings, disk_ms };
                self.outcome(report, known)?;
                self.send(session, BrokerFrame::Ack { ids: vec![id] });
                Ok(Reply::Done)
            }
            AgentFrame::Accounted { id, disk, epoch, kind, entries, last, note } => {
                let report = super::late::AccountedReport { disk, epoch, kind, entries, last, note };
                self.accounted(session, report, known);
                self.send(session, BrokerFrame::Ack { ids: vec![id] });
                Ok(Reply::Done)
            }
            AgentFrame::Recounted { disk, epoch, lines, numbers, done } => {
                self.recounted(session, (disk, epoch), lines, numbers, done, known)?;
                Ok(Reply::Done)
            }
            AgentFrame::Operating { disk, operation, .. } => {
                self.operating(session, &disk, &operation);
                Ok(Reply::Done)
            }
            AgentFrame::Operated { id, disk, operation, result, .. } => {
                self.operated(session, &disk, &operation, *result, known);
                self.send(session, BrokerFrame::Ack { ids: vec![id] });
                Ok(Reply::Done)
            }
            AgentFrame::Goodbye => {
                self.end_session(session, Left::Goodbye);
                self.turn.effects.push(Effect::Close(session));
                Ok(Reply::Done)
            }
            AgentFrame::Unsupported { of } => {
                tracing::warn!(of, "the agent does not know a frame of ours");
                if of == "operate" {
                    self.operations_unsupported(session);
                }
                Ok(Reply::Done)
            }
            // Kept by the hub: it is about no disk and no job.
            AgentFrame::Updating { .. } => Ok(Reply::Done),
            AgentFrame::Hello { .. } | AgentFrame::Proof { .. } => {
                Err(Refusal::new("link_order", "this link has joined already"))
            }
        }
    }

    /// Does this session own the disk, under the present epoch?
    pub(super) fn owns(&self, session: SessionId, disk: &DiskNumber) -> bool {
        self.disks.get(disk).and_then(|disk| disk.owner.as_ref()).is_some_and(|owner| owner.session == session)
    }

    /// What only time brings: a quarantine ends, a rest ends, an agent was away too long. Looks at disks, not at jobs.
    pub(super) fn tick(&mut self) -> Result<Reply, Refusal> {
        self.count_served();
        let now = self.turn.now;
        let numbers: Vec<DiskNumber> = self.disks.keys().cloned().collect();
        let look = now.since_ms(self.warned_at) >= super::warn::LOOK_EVERY_MS;
        if look {
            self.warned_at = now;
        }
        for number in numbers {
            self.decide(&number);
            let Some(disk) = self.disks.get(&number) else { continue };
            let away = disk.owner.is_none() && now.since_ms(disk.ownerless_since) >= self.settings.away_limit_ms;
            if away && disk.busy() > 0 {
                self.lapse(&number)?;
            }
            self.look_trouble(&number);
            if look {
                self.look_warnings(&number);
            }
            let Some(disk) = self.disks.get_mut(&number) else { continue };
            let held = (disk.hold.is_some(), disk.sold_out.len());
            disk.hold.take_if(|hold| !hold.holds(now));
            disk.sold_out.retain(|_, hold| hold.holds(now));
            if held != (disk.hold.is_some(), disk.sold_out.len()) {
                if let Some(seller) = disk.seller.clone() {
                    self.touch(&seller);
                }
                self.pump(&number);
            }
        }
        self.fail_overdue();
        self.tick_operations();
        self.look_drained();
        // A used one stays as long as it would have been valid: whoever tries it again is told that it was used.
        self.enrollments.retain(|_, row| row.expires_at >= now);
        Ok(Reply::Done)
    }

    /// A clock that was set back would make everything that rests wait for the whole way again: what was begun before is taken to
    /// have begun by the new clock.
    pub(super) fn look_at_clock(&mut self) {
        let back_ms = self.heard_at.since_ms(self.turn.now);
        self.heard_at = self.turn.now;
        if back_ms > 0 {
            self.warned_at = self.warned_at.plus_ms(-back_ms);
            self.disks.values_mut().for_each(|disk| disk.clock_set_back(back_ms));
        }
    }

    /// Open attempts of a disk that nobody has become `unsettled`: time asks, it never runs again (I4).
    fn lapse(&mut self, number: &DiskNumber) -> Result<(), Refusal> {
        let Some(disk) = self.disks.get_mut(number) else { return Ok(()) };
        let mut lapsed = Vec::new();
        for open in disk.open.values_mut().filter(|open| !open.unsettled) {
            open.unsettled = true;
            lapsed.push((open.key.clone(), open.attempt));
        }
        for (key, attempt) in lapsed {
            let Some(epoch) = self.jobs.get(&key).and_then(|open| open.job.attempt(attempt)).map(|found| found.epoch) else {
                continue;
            };
            if planted("lapse_requeues") {
                let next = taxdisk_protocol::job::Next::Queue { waiting: None };
                self.record(&key, What::GivenBack { attempt, epoch, text: "away".to_owned(), next })?;
                self.enqueue(&key);
                continue;
            }
            let text = "the agent has been away too long; the disk is read wherever it appears next".to_owned();
            self.record(&key, What::Unsettled { attempt, epoch, class: None, text, expected: None })?;
        }
        Ok(())
    }
}
