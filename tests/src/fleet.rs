//! A fleet: brokers on one PostgreSQL database, each behind a wire that can be cut ([`crate::cutter`]), many sellers with disks
//! of their own, and a real agent process for every disk.
//!
//! Read first: [`Fleet`], [`Fleet::submit_all`] (a platform that sends every job until it has an answer, and some again), and
//! [`Fleet::check`] (the disks' ledgers against the broker's list).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use taxdisk_drivers::sim::ledger::LedgerEntry;
use taxdisk_protocol::api::{JobState, JobView};

use crate::api::Api;
use crate::cutter::{Cutter, Fate};
use crate::process::{PATIENCE, wait_for};
use crate::rig::{AgentRig, BrokerRig, SimRig, segment};
use crate::{jobs, oracle};

/// Disks of one seller.
const DISKS_OF_A_SELLER: usize = 5;
/// A caller gives up a call after this time and sends the same again.
const CALL: Duration = Duration::from_secs(20);
/// Threads that enrol agents at the same time.
const ENROLLERS: usize = 4;
/// Jobs of one call at most.
const BATCH: usize = 25;

/// How large, and how hard.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub agents: usize,
    pub jobs: usize,
    pub seed: u64,
    /// Threads of the platform.
    pub callers: usize,
    /// Between two calls of a thread at most; what makes the jobs last as long as the trouble.
    pub pause: Duration,
}

/// Everything that plays.
pub struct Fleet {
    pub brokers: Vec<BrokerRig>,
    pub wires: Vec<Cutter>,
    /// Callers, each through the wire of one broker.
    pub apis: Vec<Api>,
    pub disks: Vec<SimRig>,
    pub agents: Vec<AgentRig>,
    pub size: Size,
    dir: tempfile::TempDir,
}

/// What the callers saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Answers by status; 0 is none at all.
    pub answers: BTreeMap<u16, usize>,
    /// Between two accepted batches at most.
    pub longest_pause: Duration,
}

/// What was done to the fleet.
#[derive(Debug, Default)]
pub struct Done(BTreeMap<&'static str, usize>);

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(what, count)| format!("{count} {what}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// A seller's number; the older form of 15 characters has no check.
fn seller(disk: usize) -> String {
    format!("9111000000{:05}", disk / DISKS_OF_A_SELLER)
}

impl Fleet {
    /// `brokers` brokers on the database `store`, with agents that run and disks on line.
    pub fn start(store: &str, brokers: usize, config: &str, size: Size) -> Fleet {
        let dir = tempfile::Builder::new().prefix("taxdisk-fleet-").tempdir().expect("temporary folder");
        let mut fleet =
            Fleet { brokers: Vec::new(), wires: Vec::new(), apis: Vec::new(), disks: Vec::new(), agents: Vec::new(), size, dir };
        for index in 0..brokers {
            fleet.brokers.push(BrokerRig::start_on(fleet.dir.path(), &format!("broker-{index}"), store, config));
        }
        let key = fleet.brokers[0].admin_key();
        fleet.wires = fleet.brokers.iter().map(|broker| Cutter::before(&broker.url)).collect();
        fleet.apis = fleet.wires.iter().map(|wire| Api::with_patience(&wire.url, &key, CALL)).collect();
        for first in (0..size.agents).step_by(DISKS_OF_A_SELLER) {
            let answer = fleet.apis[0].put(&format!("/v1/sellers/{}", seller(first)), &json!({"name": "示例商贸有限公司"}));
            assert!(answer.status < 300, "{answer:?}");
        }
        fleet.disks = (0..size.agents).map(|index| fleet.disk(index)).collect();
        fleet.enroll();
        fleet.wait_online();
        fleet
    }

    fn disk(&self, index: usize) -> SimRig {
        SimRig::unrecorded(self.dir.path(), &index.to_string(), |config| {
            config.taxpayer_number = seller(index);
            config.issue_time_ms = 100;
            config.disk_number = format!("6612{index:08}");
            config.segments = vec![segment(&format!("0110{index:08}"), 1, 900_000)];
        })
    }

    /// Every agent knows all brokers, in an order of its own.
    fn enroll(&mut self) {
        let next = AtomicUsize::new(0);
        let made = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..ENROLLERS {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(disk) = self.disks.get(index) else { return };
                        let at = index % self.apis.len();
                        let others: Vec<&str> =
                            (1..self.wires.len()).map(|step| self.wires[(at + step) % self.wires.len()].url.as_str()).collect();
                        let name = index.to_string();
                        let ports: [&Path; 1] = [&disk.port];
                        let mut agent = AgentRig::enroll_among(self.dir.path(), &self.apis[at], &others, &name, &ports);
                        agent.start(None);
                        made.lock().expect("no enroller panicked").push((index, agent));
                    }
                });
            }
        });
        let mut made = made.into_inner().expect("no enroller panicked");
        made.sort_by_key(|(index, _)| *index);
        self.agents = made.into_iter().map(|(_, agent)| agent).collect();
    }

    /// Waits until every disk can be used.
    pub fn wait_online(&self) {
        wait_for("all disks on line", PATIENCE * 4, || {
            let answer = self.apis[0].try_get("/v1/disks")?;
            let rows = if answer.body.is_array() { &answer.body } else { &answer.body["disks"] };
            let rows = rows.as_array().ok_or_else(|| format!("{answer:?}"))?;
            let ready = rows.iter().filter(|row| row["online"] == true && row["report"]["health"]["ready"] == true).count();
            if ready == self.size.agents { Ok(()) } else { Err(format!("{ready} of {}", rows.len())) }
        });
    }

    /// The job of this number: its seller, and content that is every second time equal but for the serial number.
    fn job(index: usize, agents: usize) -> Value {
        let serial = format!("F{index:06}");
        let mut job = if index.is_multiple_of(2) { jobs::toll(&serial) } else { jobs::distinct(&serial) };
        job["seller"] = json!(seller(index % agents));
        job
    }

    /// Sends every job until it is accepted, in batches to brokers by chance, and one in ten again after that. Every serial
    /// number is new once at most, and never after it was known: otherwise something accepted was lost.
    pub fn submit_all(apis: &[Api], size: Size) -> Seen {
        let seen = Mutex::new(Seen::default());
        let last = Mutex::new(Instant::now());
        std::thread::scope(|scope| {
            for caller in 0..size.callers {
                let (seen, last) = (&seen, &last);
                scope.spawn(move || {
                    let mut random = StdRng::seed_from_u64(size.seed ^ (caller as u64 + 1) << 32);
                    let mut open: Vec<usize> = (caller..size.jobs).step_by(size.callers).rev().collect();
                    let mut known = vec![false; size.jobs];
                    let mut accepted = Vec::new();
                    while !open.is_empty() {
                        let mut batch = open.split_off(open.len() - random.gen_range(1..=BATCH.min(open.len())));
                        let repeats = batch.len().div_ceil(10);
                        batch.extend(accepted.choose_multiple(&mut random, repeats));
                        let api = apis.choose(&mut random).expect("a broker");
                        let texts: Vec<Value> = batch.iter().map(|index| Fleet::job(*index, size.agents)).collect();
                        let lines = api.batch(&texts).unwrap_or_default();
                        let mut seen = seen.lock().expect("no caller panicked");
                        for (place, index) in batch.into_iter().enumerate() {
                            let status = lines.get(place).map_or(0, |line| line.status);
                            *seen.answers.entry(status).or_default() += 1;
                            match status {
                                200 | 201 => {
                                    assert!(!(status == 201 && known[index]), "I2: F{index:06} was accepted, and is new again");
                                    if !std::mem::replace(&mut known[index], true) {
                                        accepted.push(index);
                                    }
                                }
                                0 | 429 | 500.. if known[index] => {}
                                0 | 429 | 500.. => open.push(index),
                                _ => panic!("{:?}", lines[place]),
                            }
                        }
                        if lines.iter().any(|line| matches!(line.status, 200 | 201)) {
                            let pause =
                                std::mem::replace(&mut *last.lock().expect("no caller panicked"), Instant::now()).elapsed();
                            seen.longest_pause = seen.longest_pause.max(pause);
                        }
                        drop(seen);
                        // A platform has its own pace; the seed draws it.
                        std::thread::sleep(size.pause.mul_f64(random.r#gen()));
                    }
                });
            }
        });
        seen.into_inner().expect("no caller panicked")
    }

    /// Harms brokers, wires and agents by the seed as long as `more` says so, then mends everything.
    pub fn trouble(&mut self, random: &mut StdRng, mut more: impl FnMut(usize) -> bool) -> Done {
        let mut done = Done::default();
        let mut turns = 0;
        while more(turns) {
            turns += 1;
            let at = random.gen_range(0..self.brokers.len());
            // Moments and lengths are drawn, they wait for nothing.
            let pause =
                |random: &mut StdRng, most_ms: u64| std::thread::sleep(Duration::from_millis(random.gen_range(0..most_ms)));
            let (broker, wire) = (&mut self.brokers[at], &self.wires[at]);
            let mut note = |what: &'static str, count: usize| *done.0.entry(what).or_default() += count;
            match random.gen_range(0..100) {
                0..25 => {
                    broker.kill();
                    pause(random, 3000);
                    broker.start_again(None);
                    note("brokers killed", 1);
                }
                25..33 => {
                    broker.running.terminate();
                    broker.start_again(None);
                    note("brokers stopped in good order", 1);
                }
                33..41 => {
                    broker.running.signal(rustix::process::Signal::STOP);
                    pause(random, 9000);
                    broker.running.signal(rustix::process::Signal::CONT);
                    note("brokers frozen for a while", 1);
                }
                41..58 => note("links cut", wire.strike(Fate::Cut, random.gen_range(10..100), random)),
                58..66 => note("links deaf both ways", wire.strike(Fate::Deaf, random.gen_range(5..40), random)),
                66..72 => note("links deaf to the client", wire.strike(Fate::DeafToClient, random.gen_range(5..40), random)),
                72..78 => note("links deaf to the server", wire.strike(Fate::DeafToServer, random.gen_range(5..40), random)),
                78..84 => {
                    wire.refuse(true);
                    pause(random, 5000);
                    wire.refuse(false);
                    note("wires closed for a while", 1);
                }
                84..90 => {
                    wire.delay(Duration::from_millis(random.gen_range(10..400)));
                    pause(random, 8000);
                    wire.delay(Duration::ZERO);
                    note("wires slow for a while", 1);
                }
                _ => {
                    let agent = random.gen_range(0..self.agents.len());
                    self.agents[agent].kill();
                    self.agents[agent].start(None);
                    note("agents killed", 1);
                }
            }
            pause(random, 3000);
        }
        done
    }

    /// Waits until no job is open.
    pub fn wait_settled(&self, bound: Duration) {
        wait_for("all jobs to end", bound, || {
            let open = self.apis[0].try_get("/v1/jobs?state=queued,assigned,unsettled&limit=3")?;
            let jobs = open.body["jobs"].as_array().ok_or_else(|| format!("{open:?}"))?;
            if jobs.is_empty() { Ok(()) } else { Err(open.body.to_string()) }
        });
    }

    /// Nothing lost, nothing twice: of every seller all jobs are known and issued, and the disks' ledgers hold exactly them.
    pub fn check(&self) -> usize {
        let mut issued = 0;
        for first in (0..self.size.agents).step_by(DISKS_OF_A_SELLER) {
            let disks = &self.disks[first..(first + DISKS_OF_A_SELLER).min(self.size.agents)];
            let sent = (0..self.size.jobs).filter(|job| seller(job % self.size.agents) == seller(first)).count();
            let known: Vec<JobView> = self.apis[0].try_jobs(&seller(first)).expect("the broker's list");
            assert_eq!(known.len(), sent, "I2: jobs of {}", seller(first));
            let other = known.iter().find(|job| job.state != JobState::Issued);
            assert!(other.is_none(), "{:?}", other.map(oracle::summary));
            let entries: Vec<LedgerEntry> = disks.iter().flat_map(SimRig::ledger).collect();
            oracle::check_entries(&known, &entries);
            assert_eq!(entries.len(), sent, "I1: invoices of {}", seller(first));
            issued += entries.len();
        }
        issued
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }
}

/// What a failed test leaves is kept for whoever looks into it.
impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("--- kept: {} ---", self.dir.path().display());
        }
    }
}
