//! The agent in the background on a host without systemd: it issues, ends what it has begun on SIGTERM, and starts again over
//! what `kill -9` left. The disk's ledger is the oracle (I1, I3).

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use taxdisk_drivers::sim::faults::{Fault, FaultKind, When};
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_tests::jobs::{self, SELLER};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, tail, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

const ISSUE: u8 = 0x0A;

/// An agent in the background, which is nobody's child.
struct Background<'a> {
    agent: &'a AgentRig,
    pid_file: PathBuf,
    log_file: PathBuf,
}

impl<'a> Background<'a> {
    fn of(rig: &Rig, agent: &'a AgentRig) -> Background<'a> {
        Background { agent, pid_file: rig.path().join("agent.pid"), log_file: rig.path().join("background.log") }
    }

    fn start(&self) -> Pid {
        let (pid, log) = (self.pid_file.display().to_string(), self.log_file.display().to_string());
        self.agent.tool(&["run", "--daemon", "--pid-file", &pid, "--log-file", &log]);
        self.pid().expect("the starter ends when the service has its pid file")
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(std::fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()?)
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
        if std::thread::panicking() {
            eprintln!("{}", tail(&self.log_file));
        }
    }
}

fn wait_job(rig: &Rig, serial: &str, wanted: impl Fn(&JobView) -> bool) -> JobView {
    wait_for(&format!("job {serial}"), PATIENCE, || {
        let job = rig.api.try_job(SELLER, serial)?;
        if wanted(&job) { Ok(job) } else { Err(oracle::summary(&job)) }
    })
}

/// Whether every thread of `pid` has ended, and with the last of them its lock is free. Nobody may ever collect it, so that it
/// stays as a zombie; and its first thread is a zombie while others still end.
fn has_ended(pid: Pid) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())) else { return true };
    threads.flatten().all(|thread| match std::fs::read_to_string(thread.path().join("stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    })
}

#[test]
fn an_agent_in_the_background_issues_and_ends_what_it_has_begun() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let agent = rig.agent("shop", &[&disk.port]);
    let background = Background::of(&rig, &agent);
    let killed = background.start();
    rig.wait_online(&disk.number);
    assert_eq!(rig.api.submit(&jobs::toll("B1")).status, 201);
    wait_job(&rig, "B1", |job| job.state == JobState::Issued);

    kill_process(killed, Signal::KILL).unwrap();
    wait_for("its end", PATIENCE, || if has_ended(killed) { Ok(()) } else { Err("it is there".into()) });
    let second = background.start();
    rig.wait_online(&disk.number);
    // It is signing when the order to end comes.
    disk.fault(Fault::once(FaultKind::Stall { ms: 3000, when: When::After }).on(ISSUE));
    assert_eq!(rig.api.submit(&jobs::toll("B2")).status, 201);
    wait_job(&rig, "B2", |job| job.attempts.iter().any(|attempt| attempt.started_at.is_some()));
    kill_process(second, Signal::TERM).unwrap();
    let job = wait_job(&rig, "B2", |job| job.state == JobState::Issued);
    assert_eq!(job.attempts.len(), 1, "ended by the agent that had begun it: {job:?}");
    wait_for("the pid file to go", PATIENCE, || if background.pid_file.exists() { Err("it is there".into()) } else { Ok(()) });
    assert_eq!(disk.ledger().len(), 2);
    let log = std::fs::read_to_string(&background.log_file).unwrap();
    assert_eq!(log.matches("the agent has stopped").count(), 1, "{log}");
}
