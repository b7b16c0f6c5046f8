//! Between agents and broker: connections that keep their order, lose their end, stand still, or live on one side only.

use taxdisk_agent::link::session::{Effect, Input, OtherKeys};
use taxdisk_broker::core::Input as BrokerInput;
use taxdisk_broker::core::types::{Join, Left, SessionId};
use taxdisk_protocol::link::{AgentFrame, BrokerFrame, SILENCE_S};

use super::broker::Waiter;
use super::knobs::Fault;
use super::trace::Lane;
use super::world::{Event, World};

/// A try to connect that meets nobody fails after this, milliseconds.
const REFUSED_MS: u64 = 300;
/// The longest extra delay of a slow network, milliseconds.
const SLOW_MS: u64 = 25_000;

/// What goes over a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Text(String),
    Ping(u64),
    Pong(u64),
    Closed,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) pc: usize,
    pc_life: u64,
    broker_life: u64,
    /// The agent uses it.
    agent_open: bool,
    /// The broker does.
    broker_open: bool,
    /// Nothing passes it any more.
    dead: bool,
    /// Who said hello, until the proof.
    join: Option<Join>,
    pub(super) session: Option<SessionId>,
    heard_ms: u64,
    broker_clock: u64,
    agent_clock: u64,
}

impl Conn {
    /// The broker has not let go of it.
    pub(super) fn is_open_at_broker(&self) -> bool {
        self.broker_open
    }
}

impl World {
    fn latency(&mut self) -> u64 {
        let mut ms = self.dice.between(1, self.knobs.latency_ms);
        if !self.calm && self.knobs.on(Fault::SlowNetwork) && self.dice.chance(60) {
            self.trace.fault("slow_network");
            ms += self.dice.below(SLOW_MS);
        }
        ms
    }

    /// The agent wants a connection.
    pub(super) fn connect(&mut self, pc: usize) {
        let life = self.pcs[pc].life;
        let cut = self.pcs[pc].up_cut_until.max(self.pcs[pc].down_cut_until) > self.now;
        if !self.broker.is_up() || cut {
            return self.after(REFUSED_MS, Event::NoConnection { pc, life });
        }
        self.conns.push(Conn {
            pc,
            pc_life: life,
            broker_life: self.broker.life,
            agent_open: true,
            broker_open: true,
            dead: false,
            join: None,
            session: None,
            heard_ms: self.now,
            broker_clock: 0,
            agent_clock: 0,
        });
        let ms = self.latency() * 2;
        self.after(ms, Event::Opened { conn: self.conns.len() - 1 });
    }

    pub(super) fn no_connection(&mut self, pc: usize, life: u64) {
        if self.pcs[pc].life == life && self.pcs[pc].is_awake() {
            self.link(pc, Input::ConnectFailed("nobody there".to_owned()));
        }
    }

    pub(super) fn opened(&mut self, conn: usize) {
        let (pc, life) = (self.conns[conn].pc, self.conns[conn].pc_life);
        if self.pcs[pc].life != life || !self.pcs[pc].is_awake() {
            return;
        }
        if self.conns[conn].broker_life != self.broker.life || !self.broker.is_up() {
            self.conns[conn].agent_open = false;
            return self.no_connection(pc, life);
        }
        self.pcs[pc].conn = Some(conn);
        let journal = self.pcs[pc].head();
        self.pcs[pc].join += 1;
        let join = self.pcs[pc].join;
        self.link(pc, Input::Opened { join, journal, others: OtherKeys::default() });
    }

    /// A message of the agent goes out.
    pub(super) fn send_up(&mut self, conn: usize, message: Message) {
        if !self.conns[conn].agent_open {
            return;
        }
        let (pc, ms) = (self.conns[conn].pc, self.latency());
        let at = (self.now.max(self.pcs[pc].up_cut_until) + ms).max(self.conns[conn].broker_clock);
        self.conns[conn].broker_clock = at;
        self.at(at, Event::ToBroker { conn, message });
    }

    /// A message of the broker goes out.
    pub(super) fn send_down(&mut self, conn: usize, message: Message) {
        if !self.conns[conn].broker_open {
            return;
        }
        let (pc, ms) = (self.conns[conn].pc, self.latency());
        let at = (self.now.max(self.pcs[pc].down_cut_until) + ms).max(self.conns[conn].agent_clock);
        self.conns[conn].agent_clock = at;
        self.at(at, Event::ToAgent { conn, message });
    }

    /// The agent lets go of its connection.
    pub(super) fn close_up(&mut self, pc: usize, quietly: bool) {
        let Some(conn) = self.pcs[pc].conn.take() else { return };
        if !quietly {
            self.send_up(conn, Message::Closed);
        }
        self.conns[conn].agent_open = false;
    }

    /// The broker lets go of a connection.
    pub(super) fn close_down(&mut self, conn: usize) {
        self.send_down(conn, Message::Closed);
        self.conns[conn].broker_open = false;
    }

    /// All connections end at the broker: its process is gone. The machine says so to some of them.
    pub(super) fn close_all_down(&mut self) {
        for conn in 0..self.conns.len() {
            if self.conns[conn].broker_open {
                if self.dice.chance(700) {
                    self.send_down(conn, Message::Closed);
                }
                (self.conns[conn].broker_open, self.conns[conn].session) = (false, None);
            }
        }
    }

    /// The connection of a PC breaks: what is under way is lost, and each side learns of it when it does.
    pub(super) fn break_link(&mut self, pc: usize) -> bool {
        let Some(conn) = self.pcs[pc].conn else { return false };
        self.conns[conn].dead = true;
        let (agent, broker) = (self.dice.chance(600), self.dice.chance(600));
        self.note(Lane::Fault, || {
            format!("link of PC {pc} breaks; agent notices at once: {agent}, broker notices at once: {broker}")
        });
        if agent {
            let ms = self.dice.below(2_000);
            self.after(ms, Event::AgentNotices { conn });
        }
        if broker {
            let ms = self.dice.below(2_000);
            self.after(ms, Event::BrokerNotices { conn });
        }
        true
    }

    pub(super) fn agent_notices(&mut self, conn: usize, why: &str) {
        let pc = self.conns[conn].pc;
        if self.pcs[pc].conn == Some(conn) && self.pcs[pc].is_awake() {
            self.conns[conn].agent_open = false;
            self.pcs[pc].conn = None;
            self.link(pc, Input::Lost(why.to_owned()));
        }
    }

    pub(super) fn broker_notices(&mut self, conn: usize) {
        if self.conns[conn].broker_open {
            self.conns[conn].broker_open = false;
            if let Some(session) = self.conns[conn].session.take() {
                self.hand_in(BrokerInput::Leave(session, Left::Lost), Waiter::Nobody);
            }
        }
    }

    /// Sides that have heard nothing for too long.
    pub(super) fn look_for_silence(&mut self) {
        for conn in 0..self.conns.len() {
            let known = &self.conns[conn];
            if known.broker_open && self.now.saturating_sub(known.heard_ms) > SILENCE_S * 1000 {
                self.trace.state("silence_noticed");
                self.close_down(conn);
                if let Some(session) = self.conns[conn].session.take() {
                    self.hand_in(BrokerInput::Leave(session, Left::Lost), Waiter::Nobody);
                }
            }
        }
    }

    pub(super) fn reach_broker(&mut self, conn: usize, message: Message) {
        let known = &mut self.conns[conn];
        if known.dead || !known.broker_open || known.broker_life != self.broker.life {
            return;
        }
        known.heard_ms = self.now;
        match message {
            Message::Ping(number) => self.send_down(conn, Message::Pong(number)),
            Message::Pong(_) => {}
            Message::Closed => self.broker_notices(conn),
            Message::Text(text) => match serde_json::from_str::<AgentFrame>(&text) {
                Ok(frame) => self.frame_of_agent(conn, frame),
                Err(error) => self.violate("I9", None, format!("the broker cannot read a frame of the agent: {error}: {text}")),
            },
        }
    }

    fn frame_of_agent(&mut self, conn: usize, frame: AgentFrame) {
        let session = self.conns[conn].session;
        match (frame, session) {
            (AgentFrame::Hello { agent, version, journal, join, .. }, None) => {
                self.conns[conn].join = Some(Join { agent, version, journal, join, key: None });
                let (ledger, ancestors) = (self.broker.store.ledger.clone(), self.broker.store.ancestors.clone());
                let nonce = format!("{:016x}", self.dice.roll());
                self.send_frame(conn, &BrokerFrame::Challenge { nonce, ledger, ancestors });
            }
            // Who he is, is the edge's affair; here everybody is who he says.
            (AgentFrame::Proof { .. }, None) => {
                let Some(join) = self.conns[conn].join.take() else { return };
                let session = SessionId(self.broker.next_session);
                self.broker.next_session += 1;
                self.hand_in(BrokerInput::Join(join, session), Waiter::Join(conn));
            }
            (AgentFrame::Goodbye, Some(session)) => {
                self.conns[conn].session = None;
                self.close_down(conn);
                self.hand_in(BrokerInput::Leave(session, Left::Goodbye), Waiter::Nobody);
            }
            (frame, Some(session)) => self.hand_in(BrokerInput::Frame(session, Box::new(frame)), Waiter::Nobody),
            (_, None) => {}
        }
    }

    /// A frame to an agent.
    pub(super) fn send_frame(&mut self, conn: usize, frame: &BrokerFrame) {
        let text = serde_json::to_string(frame).unwrap();
        if !self.calm
            && self.knobs.on(Fault::FrameTwice)
            && matches!(frame, BrokerFrame::Assign { .. } | BrokerFrame::Settle { .. } | BrokerFrame::Recall { .. })
            && self.dice.chance(300)
        {
            let (pc, ms) = (self.conns[conn].pc, self.dice.between(100, 200_000));
            self.after(ms, Event::Again { pc, text: text.clone() });
        }
        self.send_down(conn, Message::Text(text));
    }

    /// A frame comes once more, on whatever link there is then.
    pub(super) fn again(&mut self, pc: usize, text: String) {
        if !self.calm && self.pcs[pc].is_awake() && self.pcs[pc].session.standing().up_since.is_some() {
            self.trace.fault("frame_twice");
            self.note(Lane::Wire, || format!("broker -> PC {pc}, once more: {text}"));
            self.link(pc, Input::Text(text));
        }
    }

    pub(super) fn reach_agent(&mut self, conn: usize, message: Message) {
        let pc = self.conns[conn].pc;
        if self.conns[conn].dead || self.pcs[pc].conn != Some(conn) || self.pcs[pc].life != self.conns[conn].pc_life {
            return;
        }
        if !self.pcs[pc].is_awake() {
            let at = self.pcs[pc].asleep_until + 1;
            return self.at(at, Event::ToAgent { conn, message });
        }
        match message {
            Message::Text(text) => {
                self.note(Lane::Wire, || format!("broker -> PC {pc}: {text}"));
                self.link(pc, Input::Text(text));
            }
            Message::Pong(number) => self.link(pc, Input::Pong(number)),
            Message::Ping(_) => self.link(pc, Input::Heard),
            Message::Closed => self.agent_notices(conn, "the broker closed the link"),
        }
    }

    /// The agent's link takes an input and says what to do.
    pub(super) fn link(&mut self, pc: usize, input: Input) {
        let now = std::time::Duration::from_millis(self.now);
        let effects = self.pcs[pc].session.handle(input, now);
        for effect in effects {
            match effect {
                Effect::Connect => self.connect(pc),
                Effect::Send(text) => {
                    if let Some(conn) = self.pcs[pc].conn {
                        self.trace.mix_text(&text);
                        self.note(Lane::Wire, || format!("PC {pc} -> broker: {text}"));
                        self.send_up(conn, Message::Text(text));
                    }
                }
                Effect::Ping(number) => {
                    if let Some(conn) = self.pcs[pc].conn {
                        self.send_up(conn, Message::Ping(number));
                    }
                }
                Effect::Close(_) => self.close_up(pc, false),
                Effect::Ledger(ledger) => self.pcs[pc].ledger = ledger,
                // Keys are none of the simulation's: nobody proves anything here.
                Effect::KeyTaken(_) => {}
                Effect::Up { .. } => self.note(Lane::Agent, || format!("PC {pc}: the link is up")),
                Effect::Down(text) => {
                    self.close_up(pc, false);
                    self.note(Lane::Agent, || format!("PC {pc}: the link is down: {text}"));
                    self.link_down(pc);
                }
                Effect::Deliver(frame) => self.deliver(pc, *frame),
                Effect::Confirm(ids) => self.confirm(pc, ids),
                Effect::Heard(at) => {
                    let ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
                    self.pcs[pc].ports.iter_mut().for_each(|port| port.heard_ms = port.heard_ms.max(ms));
                }
            }
        }
        self.set_link_alarm(pc);
    }

    fn set_link_alarm(&mut self, pc: usize) {
        let Some(deadline) = self.pcs[pc].session.deadline() else { return };
        let at = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX).max(self.now + 1);
        if self.pcs[pc].link_alarm.is_none_or(|set| at < set || set <= self.now) {
            self.pcs[pc].link_alarm = Some(at);
            let life = self.pcs[pc].life;
            self.at(at, Event::Link { pc, life });
        }
    }

    pub(super) fn link_due(&mut self, pc: usize, life: u64) {
        if self.pcs[pc].life != life || !self.pcs[pc].is_awake() {
            return;
        }
        if self.pcs[pc].link_alarm == Some(self.now) {
            self.pcs[pc].link_alarm = None;
        }
        if self.pcs[pc].session.deadline().is_some_and(|at| at.as_millis() <= u128::from(self.now)) {
            self.link(pc, Input::Tick);
        } else {
            self.set_link_alarm(pc);
        }
    }
}
