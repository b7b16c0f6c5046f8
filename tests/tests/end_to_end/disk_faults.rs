//! Every disk fault, alone and in pairs: the right state, the right class, and never a second issuing command for one attempt
//! (asserted on the bytes that reached the disk). I1, I3, I4.

use std::time::Duration;

use taxdisk_drivers::sim::faults::{Direction, Fault, FaultKind, ForeignContent, ForeignTime, When};
use taxdisk_drivers::sim::ledger::Origin;
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_protocol::class::DeviceClass;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::wait_for;
use taxdisk_tests::rig::{AgentRig, Rig, SimRig};
use taxdisk_tests::{jobs, oracle};

const ISSUE: u8 = 0x0A;
const BOUND: Duration = Duration::from_secs(90);

/// What must come of a job whose issuing met the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// Issued in the end; the number of attempts does not matter.
    Issued,
    /// Issued by its first attempt: the disk had signed, and reading found it.
    IssuedByFirst,
    /// Open until a person sets the password: nothing that carries it is sent, not even to read.
    NeedsPassword,
}

fn refuse(jsk: u32, when: When) -> FaultKind {
    FaultKind::Refuse { jsk: Some(jsk), text: None, when }
}

/// Each fault of the simulator on the issuing command, and what must come of it.
fn faults() -> Vec<(&'static str, FaultKind, Expect)> {
    use Expect::{Issued, IssuedByFirst, NeedsPassword};
    vec![
        ("lose_answer_after_signing", FaultKind::LoseAnswerAfterSigning, IssuedByFirst),
        ("lose_answer_before_signing", FaultKind::LoseAnswerBeforeSigning, Issued),
        ("wt_storm", FaultKind::WtStorm { count: 5, interval_ms: 50, when: When::After }, IssuedByFirst),
        ("crc_error", FaultKind::CrcError, IssuedByFirst),
        ("refuse_crc", FaultKind::RefuseCrc { packet: None }, Issued),
        ("refuse_crc_early", FaultKind::RefuseCrc { packet: Some(1) }, Issued),
        ("split", FaultKind::Split { delay_ms: 1 }, IssuedByFirst),
        ("stall", FaultKind::Stall { ms: 700, when: When::After }, IssuedByFirst),
        ("break_command", FaultKind::BreakAfterPacket { packet: 2, direction: Direction::Command }, Issued),
        ("break_answer", FaultKind::BreakAfterPacket { packet: 1, direction: Direction::Answer }, IssuedByFirst),
        ("garbage", FaultKind::Garbage { hex: "00ff4b4f".to_owned() }, Issued),
        ("echo", FaultKind::Echo, Issued),
        ("power_cut_before", FaultKind::PowerCut { when: When::Before, off_ms: 200 }, Issued),
        ("power_cut_after", FaultKind::PowerCut { when: When::After, off_ms: 200 }, IssuedByFirst),
        ("784_after", refuse(784, When::After), IssuedByFirst),
        ("784_before", refuse(784, When::Before), Issued),
        ("120_after", refuse(120, When::After), IssuedByFirst),
        ("121_after", refuse(121, When::After), IssuedByFirst),
        ("240_after", refuse(240, When::After), IssuedByFirst),
        ("3001_after", refuse(3001, When::After), IssuedByFirst),
        ("120_before", refuse(120, When::Before), Issued),
        ("clock", FaultKind::ClockFault, Issued),
        (
            "foreign_takes_the_number",
            FaultKind::ForeignIssue { at: ForeignTime::BeforeIssue, content: ForeignContent::default() },
            Issued,
        ),
        (
            "foreign_equal_takes_the_number",
            FaultKind::ForeignIssue { at: ForeignTime::BeforeIssue, content: ForeignContent::SameAsNext(Some(String::new())) },
            Issued,
        ),
        ("roll_jump", FaultKind::RollJump { kind: None }, Issued),
        ("out_of_stock", refuse(176, When::Before), Issued),
        ("locked", FaultKind::Locked { jsk: 702 }, Issued),
        ("password", FaultKind::WrongPassword, NeedsPassword),
    ]
}

struct Bench {
    rig: Rig,
    disk: SimRig,
    agent: AgentRig,
    submitted: usize,
}

impl Bench {
    fn new() -> Bench {
        let rig = Rig::new();
        let disk = rig.disk("till", |config| {
            config.segments = vec![
                taxdisk_tests::rig::segment("011002000107", 1, 400),
                taxdisk_tests::rig::segment("011002000207", 1, 900),
                taxdisk_tests::rig::segment("011002000307", 1, 900),
                taxdisk_tests::rig::segment("011002000407", 1, 900),
            ];
            config.password_tries = 100;
        });
        let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], "answer_timeout_ms = 1500");
        agent.start(None);
        rig.wait_online(&disk.number);
        let mut bench = Bench { rig, disk, agent, submitted: 0 };
        // A first invoice, so that there is a number which must be found.
        bench.submit("FIRST", &[]);
        bench.wait_issued("FIRST");
        bench
    }

    fn submit(&mut self, serial: &str, faults: &[&FaultKind]) {
        for kind in faults {
            self.disk.fault(Fault::once((*kind).clone()).on(ISSUE));
        }
        let answer = self.rig.api.submit(&jobs::toll(serial));
        assert_eq!(answer.status, 201, "{answer:?}");
        self.submitted += 1;
    }

    fn wait_issued(&self, serial: &str) -> JobView {
        self.wait(serial, |job| job.state == JobState::Issued)
    }

    fn wait(&self, serial: &str, condition: impl Fn(&JobView) -> bool) -> JobView {
        wait_for(&format!("{serial} as expected"), BOUND, || {
            let job = self.rig.api.try_job(SELLER, serial)?;
            if condition(&job) {
                Ok(job)
            } else {
                Err(format!("{}\n{}", oracle::summary(&job), serde_json::to_string(&job).unwrap()))
            }
        })
    }

    /// Issuing commands that reached the disk complete, by their last packet: never more than attempts that began.
    fn assert_no_blind_resend(&self) {
        let jobs = self.rig.api.try_jobs(SELLER).unwrap();
        let began: usize =
            jobs.iter().map(|job| job.attempts.iter().filter(|attempt| attempt.started_at.is_some()).count()).sum();
        let complete = self.disk.complete_commands(ISSUE);
        assert!(complete <= began, "{complete} complete issuing commands reached the disk for {began} attempts");
    }

    fn check(&self) {
        oracle::check(&self.rig.api.try_jobs(SELLER).unwrap(), &[&self.disk]);
        self.assert_no_blind_resend();
    }
}

#[test]
fn frames_of_a_failure_stand_at_their_job_where_they_are_recorded() {
    let mut bench = Bench::new();
    let frames = |job: &JobView| -> Vec<serde_json::Value> {
        job.evidence.iter().filter(|one| one.what == "frames").map(|one| one.body.clone()).collect()
    };
    bench.submit("OFF", &[&FaultKind::LoseAnswerBeforeSigning]);
    assert!(frames(&bench.wait_issued("OFF")).is_empty(), "a person has switched nothing on");
    bench.agent.terminate();
    taxdisk_agent::recording::Recordings::of(&bench.agent.state_dir()).switch(true).unwrap();
    bench.agent.start(None);
    bench.submit("ON", &[&FaultKind::LoseAnswerBeforeSigning]);
    let job = bench.wait("ON", |job| job.state == JobState::Issued && !frames(job).is_empty());
    let told = frames(&job);
    assert!(told.iter().all(|one| one["why"].as_str().is_some_and(|why| !why.is_empty())), "{told:?}");
    let sent = told.iter().flat_map(|one| one["frames"].as_array().unwrap()).any(|entry| entry["event"] == "sent");
    assert!(sent, "what went to the disk is in it: {told:?}");
    // 张三 the clerk and 个人 the buyer, as the disk's text (GBK) has them.
    for name in ["d5c5c8fd", "b8f6c8cb"] {
        assert!(!serde_json::to_string(&told).unwrap().to_lowercase().contains(name), "{name} is in it: {told:?}");
    }
    bench.check();
}

#[test]
fn each_fault_alone() {
    // A few disks side by side: most faults cost the silence time of a line in doubt.
    let all = faults();
    std::thread::scope(|scope| {
        for share in all.chunks(4) {
            scope.spawn(move || one_after_the_other(share));
        }
    });
}

fn one_after_the_other(faults: &[(&'static str, FaultKind, Expect)]) {
    let mut bench = Bench::new();
    for (turn, (name, kind, expect)) in faults.iter().cloned().enumerate() {
        let serial = format!("A{turn:02}");
        println!("{name}");
        bench.submit(&serial, &[&kind]);
        match expect {
            Expect::Issued => {
                bench.wait_issued(&serial);
            }
            Expect::IssuedByFirst => {
                let job = bench.wait_issued(&serial);
                assert_eq!(job.attempts.len(), 1, "{name}: the first attempt had issued: {}", oracle::summary(&job));
            }
            Expect::NeedsPassword => {
                wait_for("the disk to say that a person must set its password", BOUND, || {
                    let disks = bench.rig.disks();
                    let class = disks.iter().find_map(|disk| disk.report.health.class);
                    if class == Some(DeviceClass::BadPassword) { Ok(()) } else { Err(format!("{disks:?}")) }
                });
                let job = bench.rig.api.job(SELLER, &serial);
                assert!(!job.state.is_terminal(), "no guess: {}", oracle::summary(&job));
                assert_eq!(bench.disk.handle.state().password_tries, 99, "one try is gone, and no more");
                bench.agent.set_secret(&bench.disk.port);
                bench.wait_issued(&serial);
            }
        }
        bench.check();
    }
}

#[test]
fn the_line_dies_in_mid_frame_and_comes_back() {
    let mut bench = Bench::new();
    for (turn, after_bytes) in [0_usize, 1, 4, 100, 256].into_iter().enumerate() {
        let serial = format!("D{turn}");
        bench.submit(&serial, &[&FaultKind::DieMidFrame { after_bytes }]);
        let number = bench.disk.number.clone();
        wait_for("the disk shown as away or the attempt still open", BOUND, || {
            let job = bench.rig.api.try_job(SELLER, &serial)?;
            if job.state == JobState::Assigned || job.state == JobState::Unsettled {
                Ok(())
            } else {
                Err(format!("{:?}", job.state))
            }
        });
        wait_for("the command to reach the disk", BOUND, || {
            if bench.disk.ledger().len() > turn + 1 { Ok(()) } else { Err("not signed yet".to_owned()) }
        });
        bench.disk.replug();
        let job = bench.wait_issued(&serial);
        assert_eq!(job.attempts.len(), 1, "{}", oracle::summary(&job));
        bench.rig.wait_online(&number);
        bench.check();
    }
}

#[test]
fn faults_in_pairs() {
    // On the issuing command first, then on what the agent reads to settle: stock (08), query (0C), handshake (01).
    let first = [
        FaultKind::LoseAnswerAfterSigning,
        FaultKind::LoseAnswerBeforeSigning,
        FaultKind::CrcError,
        refuse(784, When::After),
        refuse(120, When::Before),
        FaultKind::ForeignIssue { at: ForeignTime::BeforeIssue, content: ForeignContent::SameAsNext(Some(String::new())) },
    ];
    let second: [(u8, FaultKind); 6] = [
        (0x08, FaultKind::LoseAnswerBeforeSigning),
        (0x0C, FaultKind::LoseAnswerBeforeSigning),
        (0x0C, FaultKind::CrcError),
        (0x01, FaultKind::Garbage { hex: "4f4b".to_owned() }),
        (0x0C, refuse(120, When::Before)),
        (0x08, refuse(3001, When::Before)),
    ];
    std::thread::scope(|scope| {
        // Twelve small benches side by side: each pair costs the silence time of a line in doubt, and nothing else.
        for kind in &first {
            for share in second.chunks(3) {
                scope.spawn(|| with_each(kind, share));
            }
        }
    });
}

fn with_each(kind: &FaultKind, second: &[(u8, FaultKind)]) {
    let mut bench = Bench::new();
    for (turn, (command, reading)) in second.iter().enumerate() {
        let serial = format!("Q{turn:03}");
        // A reading fault must meet the settling, not the reading before the command: the first matching one passes.
        let skip = u32::from(*command != 0x0C);
        bench.disk.fault(Fault::once(reading.clone()).on(*command).after(skip));
        println!("{serial}: {kind:?} then {command:02X} {reading:?}");
        bench.submit(&serial, &[kind]);
        bench.wait_issued(&serial);
        bench.disk.clear_faults();
    }
    bench.check();
    assert_eq!(bench.disk.ledger().iter().filter(|entry| entry.origin == Origin::Host).count(), second.len() + 1);
}
