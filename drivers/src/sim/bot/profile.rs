//! The profile's own two commands: SEND COMMAND with its token rules, execution, and FETCH ANSWER. C.4.1 to C.4.4.

use std::time::Duration;

use super::memory::{Answer, Fingerprint};
use super::wire::{self, Cbw, FETCH_HEADER_BYTES, Fetch, Send, Sense, Status, TokenState};
use super::{BotDevice, Phase, Running, work};
use crate::sim::faults::FaultKind;
use crate::sim::issue::IssueOrder;
use crate::sim::zc::content::{Outcome, Work, crc16};

/// What the other host's tokens look like (fault `other_host`).
const OTHER_HOSTS_TOKEN: u32 = 0xFEED_0001;

impl BotDevice {
    pub(super) fn take_send(&mut self, cbw: Cbw) {
        let send = match Send::parse(&cbw) {
            Ok(send) => send,
            Err(sense) => return self.refuse(&cbw, sense),
        };
        if cbw.length > 0 && cbw.to_host {
            return self.finish_stalled(&cbw, Status::PhaseError);
        }
        if cbw.length == 0 {
            return self.end_of_data(&cbw, Some(send), Vec::new(), Sense::default());
        }
        self.phase = Phase::DataOut { cbw, job: Some(send), got: Vec::new(), sense: Sense::default() };
    }

    /// All announced data are here: the token rules, in the order of C.4.2 but the damage first, for damaged data prove
    /// nothing about what was meant.
    pub(super) fn end_of_data(&mut self, cbw: &Cbw, job: Option<Send>, payload: Vec<u8>, sense: Sense) {
        let refusal = match job {
            None => Some(sense),
            Some(send) => self.judge(&send, payload).err(),
        };
        match refusal {
            Some(sense) => {
                self.sense = sense;
                self.finish(cbw, cbw.length, Status::Failed);
            }
            None => self.finish(cbw, 0, Status::Passed),
        }
    }

    fn judge(&mut self, send: &Send, payload: Vec<u8>) -> Result<(), Sense> {
        if payload.len() != send.length as usize || crc16(&payload) != send.crc {
            return Err(Sense::DAMAGED_DATA);
        }
        let fingerprint = Fingerprint::of(send.xml, send.cmd, &payload);
        if let Some(known) = self.memory.find(send.token) {
            // The same command again: nothing is executed, whether it runs, is done, or was lost.
            return if known.fingerprint == fingerprint { Ok(()) } else { Err(Sense::BAD_PARAMETER) };
        }
        if self.running.is_some() {
            return Err(Sense::BUSY);
        }
        let cmd = work::effective(send.cmd, &payload);
        let faults = self.faults.at_command(cmd);
        let changing = work::is_changing(send.cmd, &payload);
        let is_document = send.xml && send.cmd == work::CMD_DOCUMENT;
        let work = Work::new(send.xml, send.cmd, payload, faults);
        if work.refuses_crc() {
            return Err(Sense::DAMAGED_DATA);
        }
        // Durable before the first effect (C.4.4). If the power goes just after, the token is known and nothing was done.
        self.memory.accept(send.token, fingerprint, changing).map_err(|_| Sense::MEMORY_FAILED)?;
        if work.is_swallowed() {
            return Ok(());
        }
        let signing = if work::is_signing(cmd) { self.disk.config().issue_time_ms } else { 0 };
        let at = self.now() + work.delays().0 + Duration::from_millis(signing);
        self.running = Some(Running::Until { at, token: send.token, work: Box::new(work), is_document, cmd });
        Ok(())
    }

    pub(super) fn execute(&mut self, token: u32, work: &Work, is_document: bool, cmd: u8, now: Duration) {
        self.executed += 1;
        let outcome = if is_document { work.run_document(&mut self.disk) } else { work.run(&mut self.zc, &mut self.disk) };
        tracing::debug!(cmd, token, "executed");
        if work.cuts_power() {
            self.memory.power_cut();
            self.leaves_bus = true;
            return;
        }
        if work.has(&FaultKind::UsbUnplug) {
            self.leaves_bus = true;
        }
        if work.has(&FaultKind::OtherHost) {
            let _ = self.disk.issue_foreign(&IssueOrder::default());
            let fingerprint = Fingerprint::of(false, 0x0A, b"another host's");
            let _ = self.memory.accept(OTHER_HOSTS_TOKEN, fingerprint, true);
            return;
        }
        if work.loses_answer() {
            return;
        }
        self.crc_damaged = work.damages_crc();
        let answer = match outcome {
            Outcome::Good(payload) => Answer { good: true, link: 0, payload },
            Outcome::Refused(payload) => Answer { good: false, link: 0, payload },
            Outcome::Link(link) => Answer { good: false, link, payload: Vec::new() },
        };
        self.running = Some(Running::Settling { at: now + work.delays().1, token, answer });
    }

    pub(super) fn take_fetch(&mut self, cbw: &Cbw) {
        let fetch = match Fetch::parse(cbw) {
            Ok(fetch) => fetch,
            Err(sense) => return self.refuse(cbw, sense),
        };
        if cbw.length < fetch.allocation || !cbw.to_host {
            return self.finish_stalled(cbw, Status::PhaseError);
        }
        let known = if fetch.token == 0 { self.memory.last_changing() } else { self.memory.find(fetch.token) };
        let token = known.map_or(fetch.token, |known| known.token);
        let busy = self.running.as_ref().is_some_and(|running| match running {
            Running::Until { token: running, .. } | Running::Settling { token: running, .. } => *running == token,
        });
        let (state, answer) = match known {
            None => (TokenState::Unknown, None),
            Some(_) if busy => (TokenState::Busy, None),
            Some(known) => (if known.answer.is_some() { TokenState::Done } else { TokenState::Lost }, known.answer.as_ref()),
        };
        let empty = Vec::new();
        let payload = answer.map_or(&empty, |answer| &answer.payload);
        let Some(rest) = payload.get(fetch.offset as usize..) else { return self.refuse(cbw, Sense::BAD_BLOCK) };
        let kind = answer.map_or(0, |answer| if answer.good { b'O' } else { b'E' });
        let mut crc = if payload.is_empty() { 0 } else { crc16(payload) };
        let damages = answer.is_some() && self.crc_damaged;
        if damages {
            crc ^= 0x0101;
        }
        // No payload is near 4 GiB: the longest answer is a query's, a few megabytes at most.
        let total = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut data = wire::fetch_header(state, token, kind, answer.map_or(0, |answer| answer.link), crc, total);
        let room = (fetch.allocation as usize).saturating_sub(FETCH_HEADER_BYTES);
        data.extend_from_slice(&rest[..rest.len().min(room)]);
        if damages {
            self.crc_damaged = false;
        }
        self.give(cbw, data, fetch.allocation as usize);
    }
}
