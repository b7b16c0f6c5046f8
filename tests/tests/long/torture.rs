//! Broker and agent as processes, on a drive of their own, while a seed draws what happens to them: `kill -9`, SIGSTOP, a drive
//! that is full or read-only, a clock that goes back a day or on a year, no file descriptor left. The disk's ledger is the
//! oracle.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::process::Signal;
use taxdisk_protocol::api::JobState;
use taxdisk_tests::api::Api;
use taxdisk_tests::drive::Drive;
use taxdisk_tests::process::{PATIENCE, binary, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig, SimRig};
use taxdisk_tests::{jobs, oracle};

/// Open files that a program of this test may have.
const FILES: usize = 200;
/// Where Debian's package `faketime` puts its library.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

const TROUBLES: [&str; 9] = [
    "broker killed",
    "agent killed",
    "both killed",
    "broker stopped",
    "agent stopped",
    "drive full",
    "drive read-only",
    "clock",
    "no file descriptor",
];

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// The programs with few file descriptors, and with the clock that the file says.
fn programs(folder: &Path, clock: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for name in ["taxdisk-broker", "taxdisk-agent"] {
        let text = format!(
            "#!/bin/sh\nulimit -n {FILES}\nexport LD_PRELOAD={FAKETIME} FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 \
             FAKETIME_DONT_FAKE_MONOTONIC=1\nexec {} \"$@\"\n",
            clock.display(),
            binary(name).display()
        );
        let program = folder.join(name);
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

struct Bench {
    rig: Rig,
    agent: AgentRig,
    disk: SimRig,
    drive: Drive,
    clock: std::path::PathBuf,
    random: StdRng,
    /// How often a program ended because of what happened to it, and was started again as systemd does.
    ended: BTreeMap<&'static str, u32>,
}

impl Bench {
    fn pause(&mut self, most_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.random.gen_range(0..most_ms)));
    }

    /// What systemd does.
    fn up(&mut self) {
        if self.rig.broker.running.ended().is_some() {
            self.rig.broker.start_again(None);
        }
        if !self.agent.is_running() {
            self.agent.kill();
            self.agent.start(None);
        }
    }

    fn note_ends(&mut self) {
        if self.rig.broker.running.ended().is_some() {
            *self.ended.entry("broker").or_default() += 1;
        }
        if !self.agent.is_running() {
            *self.ended.entry("agent").or_default() += 1;
        }
    }

    fn trouble(&mut self, what: &str) {
        match what {
            "broker killed" => self.rig.broker.kill(),
            "agent killed" => self.agent.kill(),
            "both killed" => {
                self.rig.broker.kill();
                self.pause(300);
                self.agent.kill();
            }
            "broker stopped" => {
                self.rig.broker.running.signal(Signal::STOP);
                self.pause(12_000);
                self.rig.broker.running.signal(Signal::CONT);
            }
            "agent stopped" => {
                self.agent.running.as_mut().unwrap().signal(Signal::STOP);
                self.pause(12_000);
                self.agent.running.as_mut().unwrap().signal(Signal::CONT);
            }
            "drive full" => {
                let ballast = self.drive.fill();
                self.pause(4000);
                drop(ballast);
                self.note_ends();
            }
            "drive read-only" => self.read_only(),
            "clock" => {
                let clock = ["-1d", "+365d", "+0"][self.random.gen_range(0..3)];
                std::fs::write(&self.clock, clock).unwrap();
            }
            "no file descriptor" => {
                let address = self.rig.broker.address().to_owned();
                let held: Vec<TcpStream> = (0..FILES * 2).filter_map(|_| TcpStream::connect(&address).ok()).collect();
                assert!(held.len() > FILES / 2, "{} connections", held.len());
                self.pause(2000);
                drop(held);
                self.note_ends();
            }
            other => panic!("{other}"),
        }
    }

    /// Both are down when the drive turns read-only; neither starts on it, and each says why.
    fn read_only(&mut self) {
        self.rig.broker.kill();
        self.agent.kill();
        self.drive.remount("ro");
        let mut broker = Command::new(binary("taxdisk-broker"));
        broker.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(self.rig.path().join("broker/broker.toml"));
        for mut command in [broker, self.agent.command(&["run"])] {
            let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let output = child.wait_with_output().unwrap();
            let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(!output.status.success(), "it runs on a drive that holds nothing: {said}");
            assert!(said.to_lowercase().contains("read-only") || said.to_lowercase().contains("readonly"), "{said}");
        }
        self.drive.remount("rw");
    }
}

/// Sends one job after the other until told to stop, each until it is accepted.
fn sell(api: &Api, stop: &AtomicBool, sent: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let number = sent.load(Ordering::Relaxed);
        let serial = format!("T{number:06}");
        let job = if number.is_multiple_of(2) { jobs::toll(&serial) } else { jobs::distinct(&serial) };
        let text = serde_json::to_vec(&job).unwrap();
        wait_for(&format!("{serial} to be accepted"), PATIENCE * 4, || {
            let answer = api.try_send("POST", "/v1/jobs", "application/json", &text)?;
            match answer.status {
                200 | 201 => Ok(()),
                status if status >= 500 || status == 429 => Err(format!("{answer:?}")),
                _ => panic!("{answer:?}"),
            }
        });
        sent.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(40));
    }
}

#[test]
fn nothing_is_lost_and_nothing_doubled_whatever_happens_to_processes_drive_and_clock() {
    let length = Duration::from_secs(60 * variable("TAXDISK_TEST_TORTURE_MINUTES", 2));
    let seed = variable("TAXDISK_TEST_SEED", 20_261_130);
    println!("seed {seed}, {} s", length.as_secs());
    let root = tempfile::Builder::new().prefix("taxdisk-torture-").tempdir().unwrap();
    let drive = Drive::mount(root.path().join("drive"), "256m");
    let clock = root.path().join("clock");
    std::fs::write(&clock, "+0").unwrap();
    let folder = root.path().join("programs");
    programs(&folder, &clock);
    let rig = Rig::within(tempfile::tempdir_in(drive.path()).unwrap(), &folder);
    // The disk is no part of the PC: its files are elsewhere.
    let disk = SimRig::start(root.path(), "till", |config| config.issue_time_ms = 20);
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], "");
    agent.program = folder.join("taxdisk-agent");
    agent.start(None);
    rig.wait_online(&disk.number);
    let mut bench = Bench { rig, agent, disk, drive, clock, random: StdRng::seed_from_u64(seed), ended: BTreeMap::new() };

    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let api = bench.rig.api.clone();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let seller = scope.spawn(|| sell(&api, &stop, &sent));
        let mut order: Vec<&str> = Vec::new();
        while began.elapsed() < length || counts.len() < TROUBLES.len() {
            if seller.is_finished() {
                break;
            }
            if order.is_empty() {
                order = TROUBLES.to_vec();
            }
            let what = order.swap_remove(bench.random.gen_range(0..order.len()));
            bench.trouble(what);
            *counts.entry(what).or_default() += 1;
            bench.pause(500);
            bench.up();
            bench.pause(4000);
        }
        stop.store(true, Ordering::Relaxed);
        seller.join().unwrap();
    });
    std::fs::write(&bench.clock, "+0").unwrap();
    bench.up();
    let total = sent.load(Ordering::Relaxed);
    let done = oracle::wait_done(&bench.rig.api, total, PATIENCE * 10);
    assert!(done.iter().all(|job| job.state == JobState::Issued), "{:?}", done.iter().find(|job| job.state != JobState::Issued));
    oracle::check(&done, &[&bench.disk]);
    assert_eq!(bench.disk.ledger().len(), total, "one invoice for each job");
    println!("{total} jobs, {counts:?}, ended by it {:?}, {} s", bench.ended, began.elapsed().as_secs());
    bench.agent.terminate();
}
