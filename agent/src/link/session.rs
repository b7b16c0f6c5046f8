//! What the agent says on the link, as a pure state machine: input and time in, effects out. No socket, clock or thread.
//!
//! Silence is death: nothing heard for [`SILENCE_S`], or a ping unanswered that long, ends the link. *Heard* for the lease of a
//! disk means more than "bytes came in" (they may have lain in a buffer while the PC slept): it is the time at which we sent
//! the ping that the broker has answered, so the broker knew of us at that time or later.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer, SigningKey};
use rand::SeedableRng;
use rand::rngs::StdRng;
use taxdisk_protocol::api::DiskReport;
use taxdisk_protocol::capabilities::DiskOperation;
use taxdisk_protocol::error::Code;
use taxdisk_protocol::ids::{AgentId, DiskNumber};
use taxdisk_protocol::link::{AgentFrame, BrokerFrame, JournalHead, KeyProof, PING_S, SILENCE_S, key_message, proof_message};

use super::outbox::{Entry, Outbox};
use super::reconnect::Schedule;

/// A try to connect ends after this time: names, TCP, TLS and the upgrade together.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// From the open socket to `welcome`.
pub const GREETING_LIMIT: Duration = Duration::from_secs(15);
/// Reports of disks are sent no closer together than this, unless a disk came, went, or changed its health.
pub const REPORT_GAP: Duration = Duration::from_secs(1);
/// Link version that this agent speaks.
pub const PROTOCOL: u32 = 1;
/// The longest foreign text that is repeated in a log or a frame, characters.
const FOREIGN_TEXT_MAX: usize = 200;
const PING: Duration = Duration::from_secs(PING_S);
const SILENCE: Duration = Duration::from_secs(SILENCE_S);

/// Types of frames that a broker of this version sends; anything else is answered by `unsupported`.
const KNOWN: &[&str] = BrokerFrame::TYPES;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
// One at a time passes by value, and none is kept: a box each would only cost an allocation.
#[allow(clippy::large_enum_variant)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The socket is open. The join counter is durable already.
    Opened {
        /// Join counter of this join.
        join: u64,
        /// Head of the journal.
        journal: JournalHead,
        /// Keys beside the one of the speaker.
        others: OtherKeys,
    },
    /// A try to connect failed.
    ConnectFailed(String),
    /// A text frame came.
    Text(String),
    /// A pong came for the ping of this number.
    Pong(u64),
    /// Something else came, such as the broker's ping.
    Heard,
    /// The socket is gone.
    Lost(String),
    /// A durable entry for the broker.
    Outbox(Entry),
    /// A frame that may be lost.
    Send(AgentFrame),
    /// All disks that answer now.
    Disks(Vec<DiskReport>),
    /// Something in this process wants the link to begin anew.
    GiveUp(String),
    /// The agent stops on purpose.
    Leave,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make the join counter durable and open a socket.
    Connect,
    /// Send a text frame.
    Send(String),
    /// Send a ping of this number.
    Ping(u64),
    /// Drop the socket. The text is for the log.
    Close(String),
    /// The ledger of the broker was restored from a backup of ours: this is its id from now on. Make it durable, so that the
    /// ledger of before is never spoken to again.
    Ledger(String),
    /// The broker knows the next key, of this public half, and no other one from now on.
    KeyTaken(String),
    /// The link is up.
    Up {
        /// Highest journal sequence that the broker has heard of.
        journal_known: Option<u64>,
    },
    /// The link is down: no job begins, epochs are void.
    Down(String),
    /// A frame for a disk's worker.
    Deliver(Box<BrokerFrame>),
    /// These outbox entries are durable at the broker.
    Confirm(Vec<String>),
    /// The broker knew of us at this time: the lease counts from it.
    Heard(Duration),
}

/// Who speaks.
pub struct Speaker {
    /// The agent.
    pub agent: AgentId,
    /// Its key.
    pub key: SigningKey,
    /// The ledger at which it enrolled. Another one is not spoken to: its epochs and serial numbers are not ours.
    pub ledger: String,
    /// Version of the program.
    pub version: String,
}

/// Keys of the agent beside its present one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OtherKeys {
    /// That shall take its place.
    pub next: Option<SigningKey>,
    /// Whose place it took: a ledger that went back knows that one.
    pub before: Option<SigningKey>,
}

#[derive(Debug)]
enum Phase {
    Waiting {
        until: Duration,
    },
    Connecting {
        since: Duration,
    },
    /// `hello` is sent (`proof_at`: none), then `proof`.
    Greeting {
        since: Duration,
        join: u64,
        proof_at: Option<Duration>,
    },
    Joined {
        since: Duration,
    },
    Left,
}

/// What people want to know of the link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Joined since, by the same clock as all inputs.
    pub up_since: Option<Duration>,
    /// Last measured round trip.
    pub round_trip: Option<Duration>,
    /// Why it is down, if it is.
    pub trouble: Option<String>,
    /// Entries without an ack.
    pub outbox: usize,
}

/// The state of the link.
pub struct Session {
    speaker: Speaker,
    rng: StdRng,
    phase: Phase,
    schedule: Schedule,
    outbox: Outbox,
    disks: Vec<DiskReport>,
    /// Highest sequence that was assigned over any link of this process, by disk. A worker that hangs in its driver makes no new
    /// report, and a ledger that went back must not hear the sequence of before.
    assigned: BTreeMap<DiskNumber, u64>,
    reported: Option<(Duration, Vec<DiskReport>)>,
    heard_at: Duration,
    ping: Ping,
    round_trip: Option<Duration>,
    trouble: Option<String>,
    /// The broker said that it takes `updating`.
    updates: bool,
    others: OtherKeys,
}

#[derive(Debug, Default)]
struct Ping {
    number: u64,
    sent_at: Duration,
    answered: bool,
}

impl Session {
    /// A session that connects at its first tick. The seed makes the jitter.
    pub fn new(speaker: Speaker, seed: u64) -> Session {
        Session {
            speaker,
            rng: StdRng::seed_from_u64(seed),
            phase: Phase::Waiting { until: Duration::ZERO },
            schedule: Schedule::default(),
            outbox: Outbox::default(),
            disks: Vec::new(),
            assigned: BTreeMap::new(),
            reported: None,
            heard_at: Duration::ZERO,
            ping: Ping::default(),
            round_trip: None,
            trouble: None,
            updates: false,
            others: OtherKeys::default(),
        }
    }

    /// What people want to know.
    pub fn standing(&self) -> Standing {
        let up_since = match self.phase {
            Phase::Joined { since } => Some(since),
            _ => None,
        };
        let trouble = if up_since.is_some() { None } else { self.trouble.clone() };
        Standing { up_since, round_trip: up_since.and(self.round_trip), trouble, outbox: self.outbox.len() }
    }

    /// When [`Input::Tick`] is due next. `None`: only after other input.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Connecting { since } => Some(*since + CONNECT_LIMIT),
            Phase::Greeting { since, .. } => Some(*since + GREETING_LIMIT),
            Phase::Joined { .. } => {
                let ping = self.ping.sent_at + if self.ping.answered { PING } else { silence() };
                [Some(ping), Some(self.heard_at + silence()), self.report_due(), self.outbox.deadline()]
                    .into_iter()
                    .flatten()
                    .min()
            }
            Phase::Left => None,
        }
    }

    /// Takes one input and says what to do.
    pub fn handle(&mut self, input: Input, now: Duration) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Tick => self.tick(now, &mut out),
            Input::Opened { join, journal, others } => {
                self.others = others;
                self.opened(join, journal, now, &mut out);
            }
            Input::ConnectFailed(text) | Input::Lost(text) => self.lost(text, now, &mut out),
            Input::Text(text) => {
                self.heard_at = now;
                self.text(&text, now, &mut out);
            }
            Input::Pong(number) => {
                self.heard_at = now;
                if number == self.ping.number && !self.ping.answered {
                    self.ping.answered = true;
                    self.round_trip = Some(now.saturating_sub(self.ping.sent_at));
                    out.push(Effect::Heard(self.ping.sent_at));
                }
            }
            Input::Heard => self.heard_at = now,
            Input::Outbox(entry) => self.outbox.push(entry),
            Input::Send(frame) => {
                let unknown = matches!(frame, AgentFrame::Updating { .. }) && !self.updates;
                if matches!(self.phase, Phase::Joined { .. }) && !unknown {
                    out.push(send(&frame));
                }
            }
            Input::Disks(disks) => self.disks = disks,
            Input::GiveUp(text) => {
                if matches!(self.phase, Phase::Joined { .. }) {
                    self.drop_link(text, now, &mut out);
                }
            }
            Input::Leave => self.leave(&mut out),
        }
        self.flush(now, &mut out);
        out
    }

    fn tick(&mut self, now: Duration, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Waiting { until } if now >= until => {
                self.phase = Phase::Connecting { since: now };
                out.push(Effect::Connect);
            }
            Phase::Connecting { since } if now >= since + CONNECT_LIMIT => {
                self.drop_link(format!("The broker did not answer within {} s.", CONNECT_LIMIT.as_secs()), now, out);
            }
            Phase::Greeting { since, .. } if now >= since + GREETING_LIMIT => {
                self.drop_link(format!("The broker did not welcome this agent within {} s.", GREETING_LIMIT.as_secs()), now, out);
            }
            Phase::Joined { .. } => {
                let unanswered = !self.ping.answered && now >= self.ping.sent_at + silence();
                if unanswered || now >= self.heard_at + silence() {
                    self.drop_link(format!("The broker was silent for {SILENCE_S} s."), now, out);
                } else if self.ping.answered && now >= self.ping.sent_at + PING {
                    self.send_ping(now, out);
                }
            }
            _ => {}
        }
    }

    fn send_ping(&mut self, now: Duration, out: &mut Vec<Effect>) {
        self.ping = Ping { number: self.ping.number + 1, sent_at: now, answered: false };
        out.push(Effect::Ping(self.ping.number));
    }

    fn opened(&mut self, join: u64, journal: JournalHead, now: Duration, out: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Connecting { .. }) {
            // The try was given up while the socket opened.
            out.push(Effect::Close("opened too late".to_owned()));
            return;
        }
        self.heard_at = now;
        self.phase = Phase::Greeting { since: now, join, proof_at: None };
        let (agent, version) = (self.speaker.agent.clone(), self.speaker.version.clone());
        out.push(send(&AgentFrame::Hello { agent, version, protocol: vec![PROTOCOL], journal, join }));
    }

    /// The signature of the present key, and of all keys where there are others: the broker knows one of them, and takes the
    /// newest.
    fn proof(&self, ledger: &str, join: u64, nonce: &str) -> AgentFrame {
        let Speaker { agent, key: present, .. } = &self.speaker;
        let signature = present.sign(&proof_message(ledger, agent, join, nonce));
        let OtherKeys { next, before } = &self.others;
        let all: Vec<&SigningKey> = next.iter().chain([present]).chain(before).collect();
        let newest = public(all[0]);
        let message = key_message(ledger, agent, join, nonce, &newest);
        let proof =
            |key: &&SigningKey| KeyProof { public_key: public(key), signature: BASE64.encode(key.sign(&message).to_bytes()) };
        let keys = if all.len() > 1 { all.iter().map(proof).collect() } else { Vec::new() };
        AgentFrame::Proof { signature: BASE64.encode(signature.to_bytes()), keys }
    }

    fn text(&mut self, text: &str, now: Duration, out: &mut Vec<Effect>) {
        let frame = match parse(text) {
            Ok(frame) => frame,
            Err(of) => {
                tracing::warn!(of, "the broker sent a frame that this version does not understand; it was left out");
                if matches!(self.phase, Phase::Joined { .. } | Phase::Greeting { .. }) {
                    out.push(send(&AgentFrame::Unsupported { of }));
                }
                return;
            }
        };
        match (frame, &mut self.phase) {
            (BrokerFrame::Refused { code, reason }, Phase::Greeting { .. } | Phase::Joined { .. }) => {
                self.refused(&code, &reason, now, out)
            }
            (BrokerFrame::Challenge { nonce, ledger, ancestors }, Phase::Greeting { join, proof_at: proof_at @ None, .. }) => {
                if ledger != self.speaker.ledger && !ancestors.contains(&self.speaker.ledger) {
                    let text = format!(
                        "This broker keeps ledger {}, this agent enrolled at ledger {}: correct [broker] url, or enrol here with --force.",
                        short(&ledger),
                        self.speaker.ledger
                    );
                    self.refusal(text, now, out);
                    return;
                }
                *proof_at = Some(now);
                if ledger != self.speaker.ledger {
                    tracing::warn!(
                        from = self.speaker.ledger,
                        to = short(&ledger),
                        "the broker's ledger was restored from a backup"
                    );
                    self.speaker.ledger.clone_from(&ledger);
                    out.push(Effect::Ledger(ledger.clone()));
                }
                let join = *join;
                out.push(send(&self.proof(&ledger, join, &nonce)));
            }
            (
                BrokerFrame::Welcome { protocol, journal_known, updates, key },
                Phase::Greeting { proof_at: Some(proof_at), .. },
            ) => {
                if protocol != PROTOCOL {
                    self.refusal(
                        format!(
                            "The broker chose link version {protocol}; this agent speaks {PROTOCOL}: update the older of the two."
                        ),
                        now,
                        out,
                    );
                    return;
                }
                let proof_at = *proof_at;
                self.phase = Phase::Joined { since: now };
                self.outbox.join(now);
                self.reported = None;
                self.trouble = None;
                self.updates = updates;
                if let Some(next) = self.others.next.take_if(|next| key.as_deref() == Some(&*public(next))) {
                    self.speaker.key = next;
                    out.extend(key.map(Effect::KeyTaken));
                }
                out.push(Effect::Up { journal_known });
                out.push(Effect::Heard(proof_at));
                self.send_ping(now, out);
            }
            (BrokerFrame::Ack { ids }, Phase::Joined { .. }) => {
                self.outbox.acknowledge(&ids);
                out.push(Effect::Confirm(ids));
            }
            (BrokerFrame::Unsupported { of }, _) => {
                tracing::warn!(of = short(&of), "the broker does not understand a frame of this agent: update the broker");
            }
            (BrokerFrame::Challenge { .. } | BrokerFrame::Welcome { .. }, _) | (_, Phase::Greeting { .. }) => {
                self.drop_link(
                    "The broker broke the order of the greeting: is another program listening there?".to_owned(),
                    now,
                    out,
                );
            }
            (frame, Phase::Joined { .. }) => {
                if let BrokerFrame::Grant { disk, .. } | BrokerFrame::Deny { disk, .. } = &frame {
                    self.outbox.answer(disk);
                }
                if let BrokerFrame::Assign { disk, assignment, .. } = &frame {
                    let highest = self.assigned.entry(disk.clone()).or_default();
                    *highest = assignment.sequence.max(*highest);
                }
                out.push(Effect::Deliver(Box::new(frame)));
            }
            // Whatever still comes from a socket that was given up.
            _ => {}
        }
    }

    fn refused(&mut self, code: &str, reason: &str, now: Duration, out: &mut Vec<Effect>) {
        if matches!(Code::from_name(code), Some(Code::NotReady | Code::Timeout)) {
            // It stops, or another broker leads: soon somebody is there again, and no person has to act.
            let text = format!("The broker is not ready: {} ({}).", short(reason).trim_end_matches('.'), short(code));
            return self.drop_link(text, now, out);
        }
        self.refusal(
            format!("The broker refused this agent: {} ({}).", short(reason).trim_end_matches('.'), short(code)),
            now,
            out,
        );
    }

    /// Ends the link for a reason that only a person can change.
    fn refusal(&mut self, text: String, now: Duration, out: &mut Vec<Effect>) {
        let wait = self.schedule.after_refusal(&mut self.rng);
        self.end(text, now, wait, out);
        out.insert(0, Effect::Close("refused".to_owned()));
    }

    /// Gives the socket up.
    fn drop_link(&mut self, text: String, now: Duration, out: &mut Vec<Effect>) {
        out.push(Effect::Close(text.clone()));
        self.lost(text, now, out);
    }

    fn lost(&mut self, text: String, now: Duration, out: &mut Vec<Effect>) {
        let wait = match self.phase {
            Phase::Joined { since } => self.schedule.after_link(now.saturating_sub(since), &mut self.rng),
            Phase::Connecting { .. } | Phase::Greeting { .. } => self.schedule.after_failure(&mut self.rng),
            // The loss of a socket that was given up already.
            Phase::Waiting { .. } | Phase::Left => return,
        };
        self.end(text, now, wait, out);
    }

    fn end(&mut self, text: String, now: Duration, wait: Duration, out: &mut Vec<Effect>) {
        self.phase = Phase::Waiting { until: now + wait };
        self.outbox.leave();
        self.trouble = Some(text.clone());
        out.push(Effect::Down(text));
    }

    fn leave(&mut self, out: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Joined { .. }) {
            out.push(send(&AgentFrame::Goodbye));
        }
        self.phase = Phase::Left;
        self.outbox.leave();
        out.push(Effect::Down("The agent stops.".to_owned()));
    }

    /// Sends what has become due: the disks first, so that their grants come before the outcomes are judged.
    fn flush(&mut self, now: Duration, out: &mut Vec<Effect>) {
        if self.report_due().is_some_and(|due| now >= due) {
            self.reported = Some((now, self.disks.clone()));
            let mut disks = self.disks.clone();
            for report in &mut disks {
                let assigned = report.disk.parse().ok().and_then(|disk: DiskNumber| self.assigned.get(&disk).copied());
                report.sequence = assigned.unwrap_or(0).max(report.sequence);
            }
            out.push(send_disks(&disks));
        }
        out.extend(self.outbox.due(now).into_iter().map(Effect::Send));
    }

    fn report_due(&self) -> Option<Duration> {
        let Phase::Joined { since } = self.phase else { return None };
        let Some((at, reported)) = &self.reported else { return Some(since) };
        let same = |one: &DiskReport, other: &DiskReport| {
            DiskReport { clock: None, sequence: 0, ..one.clone() } == DiskReport { clock: None, sequence: 0, ..other.clone() }
        };
        if self.disks.len() == reported.len() && self.disks.iter().zip(reported).all(|(one, other)| same(one, other)) {
            return None;
        }
        let health = |disks: &[DiskReport]| disks.iter().map(|disk| (disk.disk.clone(), disk.health.clone())).collect::<Vec<_>>();
        Some(if health(&self.disks) == health(reported) { *at + REPORT_GAP } else { *at })
    }
}

/// Brokers of version 0.1 know of one thing that a disk does besides issuing, by a field of its own, and understand no report
/// that lacks it. Without this, agents that were upgraded first would have no disks until their broker followed.
fn send_disks(disks: &[DiskReport]) -> Effect {
    let frame = AgentFrame::Disks { disks: disks.to_vec() };
    let mut frame = serde_json::to_value(frame).expect("frames are plain data: maps have text keys and nothing fails");
    for (written, report) in frame["disks"].as_array_mut().into_iter().flatten().zip(disks) {
        written["capabilities"]["void"] = report.capabilities.can(DiskOperation::Void).into();
    }
    Effect::Send(frame.to_string())
}

fn send(frame: &AgentFrame) -> Effect {
    Effect::Send(serde_json::to_string(frame).expect("frames are plain data: maps have text keys and nothing fails"))
}

/// After this a link is dead; with that guard taken out, for tests, as good as never.
fn silence() -> Duration {
    if crate::fault::planted("agent_waits_for_ever") { SILENCE * 1000 } else { SILENCE }
}

fn public(key: &SigningKey) -> String {
    BASE64.encode(key.verifying_key().to_bytes())
}

/// The frame, or the type that is not understood.
fn parse(text: &str) -> Result<BrokerFrame, String> {
    #[derive(serde::Deserialize)]
    struct Tag {
        #[serde(rename = "type")]
        tag: String,
    }
    serde_json::from_str::<BrokerFrame>(text).map_err(|error| match serde_json::from_str::<Tag>(text) {
        Ok(Tag { tag }) => {
            if KNOWN.contains(&tag.as_str()) {
                tracing::error!(tag, %error, "the broker sent a broken frame: this is a fault of the broker's program, or of a very new one");
            }
            short(&tag)
        }
        Err(_) => "no type".to_owned(),
    })
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(FOREIGN_TEXT_MAX).collect()
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
