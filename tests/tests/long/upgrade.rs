//! An upgrade from the previous version's real programs and data, broker first and agents first, with jobs open in every state.
//! `cargo xtask test-long upgrade` builds the previous version from its commit.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use taxdisk_drivers::sim::faults::{Fault, FaultKind};
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, binary, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig, SimRig, segment};
use taxdisk_tests::{jobs, oracle};

/// Command of a converter that issues.
const ISSUE: u8 = 0x0A;
/// A seller whose invoices carry no mark: what reading finds is evidence and no proof.
const MARKLESS: &str = "911100000000001";
/// Jobs of the ordinary seller before, between and after the two steps.
const JOBS: usize = 24;

/// The previous version's programs.
fn previous() -> PathBuf {
    let folder = std::env::var_os("TAXDISK_TEST_PREVIOUS").map(PathBuf::from);
    let folder = folder.expect(
        "TAXDISK_TEST_PREVIOUS must name the folder with the previous version's programs: run `cargo xtask test-long upgrade`, \
         which builds them",
    );
    assert!(folder.join("taxdisk-broker").is_file(), "{} holds no taxdisk-broker", folder.display());
    folder
}

/// One house of the previous version in the middle of its work.
struct House {
    rig: Rig,
    disks: [SimRig; 2],
    agents: [AgentRig; 2],
    markless: (SimRig, AgentRig),
    sent: usize,
}

impl House {
    fn of(previous: &Path) -> House {
        let rig = Rig::with_programs(previous);
        let answer = rig.api.put(&format!("/v1/sellers/{MARKLESS}"), &json!({"name": "无标记商店", "mark": false}));
        assert!(answer.status < 300, "{answer:?}");
        let disk = |name: &str, seller: &str, place: u32, issue_time_ms: u64| {
            rig.disk(name, |config| {
                config.taxpayer_number = seller.to_owned();
                config.issue_time_ms = issue_time_ms;
                config.disk_number = format!("66120000000{place}");
                config.segments = vec![segment(&format!("01100200010{place}"), 1, 900_000)];
            })
        };
        let disks = [disk("one", SELLER, 1, 1500), disk("two", SELLER, 2, 1500)];
        let doubtful = disk("three", MARKLESS, 3, 20);
        let agent = |name: &str, disk: &SimRig| {
            let mut agent =
                AgentRig::enroll_program(&previous.join("taxdisk-agent"), &rig, name, &[&disk.port], "answer_timeout_ms = 3000");
            agent.start(None);
            rig.wait_online(&disk.number);
            agent
        };
        let agents = [agent("one", &disks[0]), agent("two", &disks[1])];
        let keeper = agent("three", &doubtful);
        let house = House { markless: (doubtful, keeper), rig, disks, agents, sent: 0 };
        house.make_doubt();
        house
    }

    /// A job that only a person can settle: its command was swallowed, and another program issued the same.
    fn make_doubt(&self) {
        let disk = &self.markless.0;
        let of = |mut job: Value| {
            job["seller"] = json!(MARKLESS);
            job
        };
        assert_eq!(self.rig.api.submit(&of(jobs::distinct("BEFORE"))).status, 201);
        self.wait(MARKLESS, "BEFORE", JobState::Issued);
        let heard = disk.complete_commands(ISSUE);
        disk.fault(Fault::once(FaultKind::LoseAnswerBeforeSigning).on(ISSUE));
        let job = of(jobs::coffee("DOUBT"));
        assert_eq!(self.rig.api.submit(&job).status, 201);
        wait_for("the command at the disk", PATIENCE, || {
            if disk.complete_commands(ISSUE) > heard { Ok(()) } else { Err("not there yet".to_owned()) }
        });
        disk.foreign_issue(&job, "");
        self.wait(MARKLESS, "DOUBT", JobState::Unsettled);
    }

    fn wait(&self, seller: &str, serial: &str, state: JobState) -> JobView {
        wait_for(&format!("{serial} {state:?}"), PATIENCE * 2, || {
            let job = self.rig.api.try_job(seller, serial)?;
            if job.state == state { Ok(job) } else { Err(oracle::summary(&job)) }
        })
    }

    /// Sends more, and waits until some are at the disks, some wait, and one more is issued than before.
    fn flow(&mut self) {
        let before = self.issued();
        for _ in 0..JOBS {
            let serial = format!("U{:04}", self.sent);
            let job = if self.sent.is_multiple_of(2) { jobs::toll(&serial) } else { jobs::distinct(&serial) };
            assert_eq!(self.rig.api.submit(&job).status, 201);
            self.sent += 1;
        }
        wait_for("jobs in every state", PATIENCE * 2, || {
            let jobs = self.rig.api.try_jobs(SELLER)?;
            let of = |state: JobState| jobs.iter().filter(|job| job.state == state).count();
            let seen = (of(JobState::Issued), of(JobState::Assigned), of(JobState::Queued));
            if seen.0 > before && seen.1 >= 2 && seen.2 >= 4 { Ok(()) } else { Err(format!("{seen:?}")) }
        });
        self.wait(MARKLESS, "DOUBT", JobState::Unsettled);
    }

    fn issued(&self) -> usize {
        self.rig.api.try_jobs(SELLER).unwrap().iter().filter(|job| job.state == JobState::Issued).count()
    }

    /// The broker of this version over the data of the one before it, at the same address.
    fn upgrade_broker(&mut self) {
        let status = self.rig.broker.running.terminate();
        assert!(status.success(), "{status}");
        self.rig.broker.program = binary("taxdisk-broker");
        self.rig.broker.start_again(None);
    }

    /// The agents of this version, one after the other: one is ended in good order, the others are killed under their jobs.
    fn upgrade_agents(&mut self) {
        let [one, two] = &mut self.agents;
        let status = one.running.as_mut().unwrap().terminate();
        assert!(status.success(), "{status}");
        one.running = None;
        for agent in [one, two, &mut self.markless.1] {
            agent.kill();
            agent.program = binary("taxdisk-agent");
            agent.start(None);
        }
        for disk in self.disks.iter().chain([&self.markless.0]) {
            self.rig.wait_online(&disk.number);
        }
    }

    /// Work went on under this mixture of versions.
    fn goes_on(&self) {
        let before = self.issued();
        wait_for("more invoices", PATIENCE * 2, || {
            let now = self.issued();
            if now > before + 1 { Ok(()) } else { Err(format!("{now}")) }
        });
    }

    fn finish(self) {
        let done = oracle::wait_done(&self.rig.api, self.sent, PATIENCE * 4);
        assert!(done.iter().all(|job| job.state == JobState::Issued), "{:?}", done.iter().map(oracle::summary).next());
        oracle::check(&done, &[&self.disks[0], &self.disks[1]]);
        assert_eq!(self.disks.iter().map(|disk| disk.ledger().len()).sum::<usize>(), self.sent);
        // What the previous version called doubtful is still so, and a person ends it with this version.
        let job = self.wait(MARKLESS, "DOUBT", JobState::Unsettled);
        let pairs: Vec<_> = self.markless.0.ledger().iter().map(|entry| entry.pair()).collect();
        assert_eq!(pairs.len(), 2, "nothing was sent again");
        let current = pairs[1].successor().unwrap();
        let settle = json!({
            "decision": "not_issued", "reason": "number 2 belongs to the other till, paper seen", "revision": job.revision,
            "current": {"code": current.code, "number": current.number}, "expected": "present_foreign",
        });
        let path = format!("/v1/jobs/{MARKLESS}/DOUBT");
        let answer = self.rig.api.post(&format!("{path}/settle"), &settle);
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = self.rig.api.post(&format!("{path}/reissue"), &json!({"reason": "settled by hand"}));
        assert_eq!(answer.body["outcome"].as_str(), Some("requeued"), "{answer:?}");
        self.wait(MARKLESS, "DOUBT", JobState::Issued);
        assert_eq!(self.markless.0.ledger().len(), 3);
        println!("{} jobs across the upgrade, ledger equal to the broker; the doubtful one settled by hand", self.sent + 2);
    }
}

#[test]
fn the_broker_is_upgraded_first() {
    let mut house = House::of(&previous());
    house.flow();
    house.upgrade_broker();
    house.goes_on();
    house.flow();
    house.upgrade_agents();
    house.goes_on();
    house.flow();
    house.finish();
}

#[test]
fn the_agents_are_upgraded_first() {
    let mut house = House::of(&previous());
    house.flow();
    house.upgrade_agents();
    house.goes_on();
    house.flow();
    house.upgrade_broker();
    house.goes_on();
    house.flow();
    house.finish();
}

#[test]
fn both_at_once_over_what_a_crash_left() {
    let mut house = House::of(&previous());
    house.flow();
    house.rig.broker.kill();
    for agent in house.agents.iter_mut().chain([&mut house.markless.1]) {
        agent.kill();
        agent.program = binary("taxdisk-agent");
    }
    house.rig.broker.program = binary("taxdisk-broker");
    house.rig.broker.start_again(None);
    for agent in house.agents.iter_mut().chain([&mut house.markless.1]) {
        agent.start(None);
    }
    house.goes_on();
    house.flow();
    house.finish();
}
