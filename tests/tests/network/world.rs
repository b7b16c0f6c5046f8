//! What all hosts of a world share, and what outlives them: the store, the PCs' drives and disks, the log, and the first thing
//! that was wrong. Nothing here is sent over the network.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use taxdisk_broker::core::change::{AgentRow, Change, KeyAbout, KeyRow};
use taxdisk_protocol::api::{JobState, Role};
use taxdisk_protocol::ids::{AgentId, JobKey};
use taxdisk_protocol::job::Job;
use taxdisk_protocol::link::{AgentFrame, AttemptRef};
use taxdisk_protocol::number::NumberPair;
use taxdisk_protocol::time::Timestamp;
use taxdisk_tests::sim::dice::Dice;
use taxdisk_tests::sim::disk::{Device, Happened};
use taxdisk_tests::sim::store::Store;

use super::agent::Pc;
use super::plan::Plan;
use super::socket::Sockets;

/// Id of the ledger.
pub(crate) const LEDGER: &str = "lg_0000000000000000";
/// The merchant's key, an administrator's.
pub(crate) const KEY: &str = "tdk_network";

/// Virtual time since the world began, on the host that asks.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// What all hosts share.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    plan: Plan,
    log: Mutex<String>,
    violation: Mutex<Option<String>>,
    store: Mutex<Store>,
    dice: Mutex<Dice>,
    pcs: Vec<Mutex<Pc>>,
    /// Whose links the broker believes in.
    online: Mutex<Vec<bool>>,
    /// The broker's.
    sockets: Sockets,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl World {
    /// Everything at its first day: agents are enrolled, the merchant has a key.
    pub(crate) fn new(plan: Plan) -> World {
        let mut dice = Dice::new(plan.seed);
        let mut store = Store::new(LEDGER);
        let pcs: Vec<Pc> = (0..plan.agents).map(|index| Pc::new(index, &plan.knobs, &mut dice)).collect();
        for pc in &pcs {
            let row = enrolled(pc);
            store.agents.insert(row.agent.clone(), row);
        }
        let key = key();
        store.keys.insert(key.id.clone(), key);
        World(Arc::new(Inner {
            online: Mutex::new(vec![false; plan.agents]),
            plan,
            sockets: Sockets::default(),
            log: Mutex::default(),
            violation: Mutex::default(),
            store: Mutex::new(store),
            dice: Mutex::new(dice),
            pcs: pcs.into_iter().map(Mutex::new).collect(),
        }))
    }

    /// The world's plan.
    pub(crate) fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// What is durable at the broker. Not held over a wait.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.0.store)
    }

    /// A PC. Not held over a wait.
    pub(crate) fn pc(&self, index: usize) -> MutexGuard<'_, Pc> {
        lock(&self.0.pcs[index])
    }

    /// Sockets of the broker.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.0.sockets
    }

    /// A line of the log, at the present time of this host.
    pub(crate) fn note(&self, who: &str, text: &str) {
        self.note_at(now(), who, text);
    }

    /// The same at a given time, for what is on no host.
    pub(crate) fn note_at(&self, at: Duration, who: &str, text: &str) {
        let (s, ms) = (at.as_secs(), at.subsec_millis());
        writeln!(lock(&self.0.log), "{s:>4}.{ms:03}  {who:<9} {text}").unwrap();
    }

    /// Something is wrong. The first one counts.
    pub(crate) fn violate(&self, text: &str) {
        self.note("WRONG", text);
        lock(&self.0.violation).get_or_insert_with(|| text.to_owned());
    }

    /// The first thing that was wrong.
    pub(crate) fn violation(&self) -> Option<String> {
        lock(&self.0.violation).clone()
    }

    /// Everything that happened.
    pub(crate) fn log(&self) -> String {
        lock(&self.0.log).clone()
    }

    /// A commit takes so long before it is durable, and so long after, milliseconds.
    pub(crate) fn commit_takes_ms(&self) -> (u64, u64) {
        let mut dice = lock(&self.0.dice);
        let all = dice.between(1, self.0.plan.commit_ms);
        let before = dice.below(all + 1);
        (before, all - before)
    }

    /// A commit becomes durable.
    ///
    /// # Errors
    /// A guard of the store does not hold.
    pub(crate) fn keep(&self, changes: &[Change]) -> Result<(), String> {
        if let Err(text) = self.store().commit(changes) {
            self.violate(&text);
            return Err(text);
        }
        for change in changes {
            if let Change::Job { job, event } = change {
                self.note("store", &format!("{} {} {:?}", job.key.serial, event.what.name(), job.state));
            }
        }
        Ok(())
    }

    /// What the broker believes of an agent's link.
    pub(crate) fn seen_online(&self, agent: &str, is: bool) {
        let Some(index) = self.0.pcs.iter().position(|pc| lock(pc).agent.to_string() == agent) else { return };
        let was = std::mem::replace(&mut lock(&self.0.online)[index], is);
        if was != is {
            self.note("broker", &format!("agent {index} is {}", if is { "there" } else { "away" }));
        }
    }

    /// The broker is gone, and believes nothing.
    pub(crate) fn broker_gone(&self) {
        lock(&self.0.online).fill(false);
    }

    /// Nothing has come through the link for as long as a link may be silent: both ends must have let go of it.
    pub(crate) fn must_be_apart(&self, agent: usize) {
        let (up, online) = (self.pc(agent).up, lock(&self.0.online)[agent]);
        if up || online {
            let who = if up { format!("agent {agent}") } else { "the broker".to_owned() };
            self.violate(&format!("{who} believes in a link that has been silent for too long"));
        }
    }

    /// The merchant was told that a job is accepted: it is durable.
    pub(crate) fn accepted(&self, key: &JobKey, status: u16) {
        self.note("merchant", &format!("{} is accepted ({status})", key.serial));
        if !self.store().jobs.contains_key(key) {
            self.violate(&format!("{} is accepted and not durable", key.serial));
        }
    }

    /// An agent was told that an outcome is durable: it is.
    pub(crate) fn acknowledged(&self, agent: usize, frame: &AgentFrame) {
        let store = self.store();
        let missing = match frame {
            AgentFrame::Outcome { attempt, .. } => {
                let known = store.jobs.get(&attempt.key).and_then(|job| of(job, attempt));
                known.is_none_or(|attempt| attempt.state.is_open() && attempt.ended_at.is_none()).then(|| attempt.to_string())
            }
            AgentFrame::Accounted { disk, kind, entries, .. } => {
                let unknown = entries.iter().find(|entry| !store.numbers.contains_key(&(disk.clone(), *kind, entry.pair)));
                unknown.map(|entry| entry.pair.to_string())
            }
            _ => None,
        };
        drop(store);
        if let Some(what) = missing {
            self.violate(&format!("agent {agent} got an ack of {what}, which is not durable"));
        }
    }

    /// An agent was handed a job: that is durable.
    pub(crate) fn assigned(&self, agent: usize, attempt: &AttemptRef) {
        let known = self.store().jobs.get(&attempt.key).is_some_and(|job| of(job, attempt).is_some());
        if !known {
            self.violate(&format!("agent {agent} is handed {attempt}, which is not durable"));
        }
    }

    /// What took effect in the disk of a PC.
    pub(crate) fn look_at_disk(&self, index: usize, device: &mut Device) {
        for happened in std::mem::take(&mut device.news) {
            if let Happened::Signed(pair, attempt) = happened {
                self.note("disk", &format!("{index} signs {pair} for {attempt}"));
            }
        }
    }

    /// Where the invoices of a job are, over all disks: the judge.
    fn invoices_of(&self, key: &JobKey) -> Vec<NumberPair> {
        let mut all = Vec::new();
        for pc in &self.0.pcs {
            let pc = lock(pc);
            let ours = pc.device.ledger.iter().filter(|(_, entry)| entry.by.as_ref().is_some_and(|by| by.key == *key));
            all.extend(ours.map(|(pair, _)| *pair));
        }
        all
    }

    /// At the end the merchant is told of a job: issued, and as the one number that a disk signed for it.
    pub(crate) fn told(&self, key: &JobKey, answer: &Value) {
        let invoices = self.invoices_of(key);
        let told = (answer["state"].as_str(), answer["issued"]["code"].as_str(), answer["issued"]["number"].as_str());
        let [pair] = invoices.as_slice() else {
            return self.violate(&format!("{} has {} invoices and is told to be {told:?}", key.serial, invoices.len()));
        };
        let (code, number) = (pair.code.to_string(), pair.number.to_string());
        if told != (Some("issued"), Some(code.as_str()), Some(number.as_str())) {
            self.violate(&format!("{} is {pair} and is told to be {told:?}", key.serial));
        }
        let owner = self.store().numbers.values().filter(|owner| is_of(owner, key)).count();
        if owner != 1 {
            self.violate(&format!("{} owns {owner} numbers at the broker", key.serial));
        }
    }

    /// Why the world does not rest, if it does not.
    pub(crate) fn unrest(&self) -> Option<String> {
        let open = self.store().jobs.values().find(|job| job.state != JobState::Issued).map(|job| (job.key.clone(), job.state));
        if let Some((key, state)) = open {
            return Some(format!("{} is {state:?}", key.serial));
        }
        for (index, pc) in self.0.pcs.iter().enumerate() {
            let pc = lock(pc);
            if !pc.up || !lock(&self.0.online)[index] {
                return Some(format!("agent {index} is away"));
            }
            if let Some((id, ..)) = pc.unconfirmed().first() {
                return Some(format!("agent {index} waits for the ack of {id}"));
            }
        }
        None
    }
}

fn of<'a>(job: &'a Job, attempt: &AttemptRef) -> Option<&'a taxdisk_protocol::job::Attempt> {
    job.attempts.iter().find(|known| known.attempt == attempt.attempt)
}

fn is_of(owner: &taxdisk_protocol::link::Owner, key: &JobKey) -> bool {
    matches!(owner, taxdisk_protocol::link::Owner::Ours(attempt) if attempt.key == *key)
}

fn enrolled(pc: &Pc) -> AgentRow {
    let agent: AgentId = pc.agent.clone();
    AgentRow {
        name: agent.to_string(),
        agent,
        public_key: pc.public_key(),
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
    }
}

fn key() -> KeyRow {
    KeyRow {
        id: "k_network".to_owned(),
        hash: hex::encode(Sha256::digest(KEY)),
        name: "merchant".to_owned(),
        role: Role::Admin,
        sellers: Vec::new(),
        created_at: Timestamp(0),
        expires_at: None,
        revoked_at: None,
        actions: Vec::new(),
        used_at: None,
        about: KeyAbout::default(),
    }
}
