//! The broker: its production core over a store of a few maps, with the writer's order of things. What was decided is committed,
//! and only then answered and sent; what comes meanwhile is decided and shares the next commit.
//!
//! A mirror of `broker/src/ledger/writer.rs`, without its tasks.

use std::collections::BTreeMap;

use taxdisk_broker::core::change::{AgentRow, Change};
use taxdisk_broker::core::types::{Left, Refusal, SessionId, Settings};
use taxdisk_broker::core::{Core, Cut, Effect, Input, Output, Reply};
use taxdisk_protocol::api::SellerBody;
use taxdisk_protocol::link::BrokerFrame;
use taxdisk_protocol::time::Timestamp;

use super::dice::Dice;
use super::disk::SELLER;
use super::knobs::Fault;
use super::pc::Pc;
use super::store::Store;
use super::trace::Lane;
use super::world::{Event, World};

/// Who waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waiter {
    Nobody,
    /// The connection that wants to join.
    Join(usize),
    /// The merchant of a sale that was handed in. True: with other content than the first time.
    Sale(usize, bool),
    /// Somebody who must be refused, and for what.
    MustBeRefused(String),
    /// An administrator who decided something.
    Person(&'static str),
}

#[derive(Debug, Default)]
struct Decided {
    changes: Vec<Change>,
    waiting: Vec<(Output, Waiter)>,
}

/// The broker.
#[derive(Debug)]
pub(super) struct Broker {
    core: Option<Core>,
    pub(super) store: Store,
    /// An older copy.
    pub(super) copy: Option<Store>,
    pub(super) life: u64,
    pub(super) next_session: u64,
    /// Its clock less true time, milliseconds.
    pub(super) skew_ms: i64,
    sessions: BTreeMap<SessionId, usize>,
    decided: Decided,
    underway: Option<(Decided, Cut)>,
    next_ledger: u64,
    dice: Dice,
}

impl Broker {
    pub(super) fn new(dice: Dice) -> Broker {
        Broker {
            core: None,
            store: Store::new("lg_0000000000000000"),
            copy: None,
            life: 0,
            next_session: 1,
            skew_ms: 0,
            sessions: BTreeMap::new(),
            decided: Decided::default(),
            underway: None,
            next_ledger: 1,
            dice,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.core.is_some()
    }

    pub(super) fn enrol(&mut self, pc: &Pc) {
        let row = AgentRow {
            agent: pc.agent.clone(),
            name: format!("PC {}", pc.index),
            public_key: String::new(),
            version: String::new(),
            enrolled_at: Timestamp(0),
            seen_at: None,
            revoked: false,
            journal: None,
            journal_sequence: 0,
            join: 0,
            alarms: Vec::new(),
            bounds: Default::default(),
            waiting: false,
            code: None,
        };
        self.store.agents.insert(pc.agent.clone(), row);
    }
}

impl World {
    pub(super) fn start_broker(&mut self) {
        if self.broker.is_up() {
            return;
        }
        self.broker.life += 1;
        let life = self.broker.life;
        let core = Core::new(Settings::default(), self.broker.store.restored(), self.broker_time());
        self.broker.core = Some(core);
        self.note(Lane::Broker, || format!("the broker starts (life {life})"));
        self.after(self.knobs.tick_ms, Event::Tick { life });
    }

    pub(super) fn set_up_seller(&mut self) {
        let body = SellerBody {
            name: "示例商贸有限公司".to_owned(),
            disk_trouble: Default::default(),
            mark: self.knobs.mark,
            warnings: Default::default(),
        };
        self.hand_in(Input::PutSeller(SELLER.parse().unwrap(), body, "set up".to_owned()), Waiter::Person("set up"));
    }

    /// The process dies. What is under way became durable in the last moment, or did not.
    pub(super) fn crash_broker(&mut self) -> bool {
        if !self.broker.is_up() {
            return false;
        }
        self.broker.core = None;
        if let Some((decided, _)) = self.broker.underway.take() {
            if self.broker.dice.chance(500) {
                self.trace.state("commit_kept_unanswered");
                self.note(Lane::Fault, || "the broker dies; its commit became durable, nobody was told".to_owned());
                self.keep(&decided.changes);
            } else {
                self.trace.state("commit_lost");
                self.note(Lane::Fault, || "the broker dies; its commit is lost".to_owned());
            }
        } else {
            self.note(Lane::Fault, || "the broker dies".to_owned());
        }
        self.broker.decided = Decided::default();
        self.broker.sessions.clear();
        self.close_all_down();
        true
    }

    /// The ledger becomes an older one. `marked`: by the restore command.
    pub(super) fn put_back(&mut self, marked: bool) -> bool {
        let Some(mut copy) = self.broker.copy.clone() else { return false };
        self.crash_broker();
        if marked {
            let ledger = format!("lg_{:016x}", self.broker.next_ledger);
            self.broker.next_ledger += 1;
            copy.ancestors = self.broker.store.ancestors.clone();
            copy.ledger = self.broker.store.ledger.clone();
            copy.mark_restored(ledger);
        }
        self.note(Lane::Fault, || format!("the ledger is put back to an older copy (marked: {marked})"));
        self.broker.store = copy;
        self.oracle.ledger_went_back(self.now);
        self.forget_acceptances();
        let ms = self.broker.dice.between(500, 20_000);
        self.after(ms, Event::BrokerUp);
        true
    }

    pub(super) fn tick(&mut self, life: u64) {
        if self.broker.life != life || !self.broker.is_up() {
            return;
        }
        self.look_for_silence();
        self.hand_in(Input::Tick, Waiter::Nobody);
        self.after(self.knobs.tick_ms, Event::Tick { life });
    }

    /// Lets the core decide. Nobody hears of it before it is durable.
    pub(super) fn hand_in(&mut self, input: Input, waiter: Waiter) {
        let now = self.broker_time();
        let Some(core) = self.broker.core.as_mut() else { return };
        let known = self.broker.store.known(core, &input);
        let mut output = core.handle(input, &known, now, None);
        self.broker.decided.changes.append(&mut output.changes);
        self.broker.decided.waiting.push((output, waiter));
        if self.broker.underway.is_none() {
            self.begin_commit();
        }
    }

    fn begin_commit(&mut self) {
        let decided = std::mem::take(&mut self.broker.decided);
        let Some(core) = self.broker.core.as_mut() else { return };
        let cut = core.cut();
        // Readers are not part of this world.
        drop(core.take_overlays());
        let empty = decided.changes.is_empty();
        self.broker.underway = Some((decided, cut));
        if empty {
            return self.durable();
        }
        let ms = self.broker.dice.between(1, self.knobs.commit_ms);
        let life = self.broker.life;
        if !self.calm && self.knobs.on(Fault::BrokerCrash) && self.broker.dice.chance(15) {
            let dies = self.broker.dice.below(ms);
            self.after(dies, Event::BrokerDies { life });
        }
        // Most often where it hurts: a ledger that went back is being told what it forgot.
        let often = if self.is_recounting() { 150 } else { 20 };
        if !self.calm && self.knobs.on(Fault::PowerCut) && self.broker.dice.chance(often) {
            let goes = self.broker.dice.below(ms);
            self.after(goes, Event::PowerGoes { life });
        }
        self.after(ms, Event::Commit { life });
    }

    /// In the middle of a commit.
    pub(super) fn broker_dies(&mut self, life: u64) {
        if self.broker.life == life && !self.calm && self.crash_broker() {
            self.trace.fault("broker_crash_at_step");
            let ms = self.broker.dice.between(200, 30_000);
            self.after(ms, Event::BrokerUp);
        }
    }

    /// In the middle of a commit, and everywhere at once.
    pub(super) fn power_goes(&mut self, life: u64) {
        if self.broker.life == life && self.broker.is_up() && !self.calm && self.power_cut() {
            self.trace.fault("power_cut");
        }
    }

    pub(super) fn commit_through(&mut self, life: u64) {
        if self.broker.life == life && self.broker.is_up() {
            self.durable();
        }
    }

    fn durable(&mut self) {
        let Some((decided, cut)) = self.broker.underway.take() else { return };
        self.keep(&decided.changes);
        if let Some(core) = self.broker.core.as_mut() {
            core.committed(cut);
        }
        for (output, waiter) in decided.waiting {
            self.release(output, waiter);
        }
        if self.broker.underway.is_none() && !(self.broker.decided.waiting.is_empty()) {
            self.begin_commit();
        }
    }

    fn keep(&mut self, changes: &[Change]) {
        if let Err(text) = self.broker.store.commit(changes) {
            let invariant = if text.starts_with("I10") {
                "I10"
            } else if text.starts_with("I7") {
                "I7"
            } else {
                "I9"
            };
            return self.violate(invariant, None, text);
        }
        self.look_at_changes(changes);
    }

    fn release(&mut self, output: Output, waiter: Waiter) {
        self.answer(output.reply, waiter);
        for effect in output.effects {
            match effect {
                Effect::Close(session) => {
                    if let Some(conn) = self.broker.sessions.remove(&session) {
                        self.conns[conn].session = None;
                        self.close_down(conn);
                    }
                }
                Effect::Send(session, frame) => self.send_to(session, &frame),
            }
        }
    }

    fn send_to(&mut self, session: SessionId, frame: &BrokerFrame) {
        let Some(conn) = self.broker.sessions.get(&session).copied() else { return };
        if self.conns[conn].session == Some(session) {
            self.look_at_frame(self.conns[conn].pc, frame);
            self.send_frame(conn, frame);
        }
    }

    fn answer(&mut self, reply: Result<Reply, Refusal>, waiter: Waiter) {
        match waiter {
            Waiter::Nobody => {}
            Waiter::Join(conn) => match reply {
                Ok(Reply::Joined(joined)) => {
                    if !self.conns[conn].is_open_at_broker() {
                        // It hung up while it was let in.
                        return self.hand_in(Input::Leave(joined.session, Left::Lost), Waiter::Nobody);
                    }
                    self.broker.sessions.insert(joined.session, conn);
                    self.conns[conn].session = Some(joined.session);
                    let welcome =
                        BrokerFrame::Welcome { protocol: 1, journal_known: joined.journal_known, updates: false, key: None };
                    self.send_frame(conn, &welcome);
                }
                Err(refusal) => {
                    if refusal.code == "agent_clone" {
                        self.trace.state("clone_refused");
                    }
                    let frame = BrokerFrame::Refused { code: refusal.code.to_owned(), reason: refusal.detail };
                    self.send_frame(conn, &frame);
                    self.close_down(conn);
                }
                Ok(other) => self.violate("I9", None, format!("a join was answered {other:?}")),
            },
            Waiter::Sale(sale, other_content) => self.sale_answered(sale, other_content, reply),
            Waiter::MustBeRefused(what) => match reply {
                Err(_) => self.trace.state("settle_refused"),
                Ok(_) => self.violate("I3", None, format!("the broker took what it had to refuse: {what}")),
            },
            Waiter::Person(what) => {
                if let Err(refusal) = reply {
                    self.note(Lane::People, || format!("{what}: refused, {refusal}"));
                }
            }
        }
    }
}
