//! Pause, drain and the seller's rule on disk trouble, on real binaries. The disk's ledger is the oracle (I1, I3, I4).

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use taxdisk_drivers::sim::faults::{Fault, FaultKind, When};
use taxdisk_protocol::api::{JobPage, JobState, JobView, Waiting};
use taxdisk_tests::jobs::{self, SELLER};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, binary, wait_for};
use taxdisk_tests::rig::Rig;

const ISSUE: u8 = 0x0A;
const BOUND: Duration = Duration::from_secs(120);

fn taxdisk(rig: &Rig, args: &[&str]) -> Value {
    let mut command = Command::new(binary("taxdisk"));
    command.args(["--json", "--broker", &rig.api.url]).args(args).env("TAXDISK_KEY", &rig.api.key);
    let output = command.output().expect("the command line starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "taxdisk {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("taxdisk {args:?}: {error}: {text}"))
}

fn wait_state(rig: &Rig, serial: &str, wanted: impl Fn(&JobView) -> bool) -> JobView {
    wait_for(&format!("job {serial}"), BOUND, || {
        let job = rig.api.try_job(SELLER, serial)?;
        if wanted(&job) { Ok(job) } else { Err(oracle::summary(&job)) }
    })
}

#[test]
fn a_drained_disk_finishes_what_it_has_begun_and_gets_nothing_more() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    // The first invoice takes so long that the drain finds it begun; what follows does not depend on how long.
    disk.fault(Fault::once(FaultKind::Stall { ms: 3000, when: When::After }).on(ISSUE));
    for n in 1..=4 {
        assert_eq!(rig.api.submit(&jobs::toll(&format!("D{n}"))).status, 201);
    }
    wait_state(&rig, "D1", |job| job.attempts.iter().any(|attempt| attempt.started_at.is_some()));
    let pauses = taxdisk(&rig, &["disk", "drain", &disk.number, "--reason", "new printer", "--wait"]);
    assert!(pauses[0]["drained_at"].is_string(), "{pauses}");
    // The broker is killed and comes back: the drain stands.
    let mut rig = rig;
    rig.broker.kill();
    rig.broker.start_again(None);
    rig.wait_online(&disk.number);
    let jobs = rig.api.try_jobs(SELLER).unwrap();
    let issued = jobs.iter().filter(|job| job.state == JobState::Issued).count();
    let waiting: Vec<&JobView> = jobs.iter().filter(|job| job.state == JobState::Queued).collect();
    assert_eq!(
        (issued + waiting.len(), disk.ledger().len()),
        (4, issued),
        "{:?}",
        jobs.iter().map(oracle::summary).collect::<Vec<_>>()
    );
    assert!(issued >= 1 && !waiting.is_empty());
    for job in &waiting {
        assert_eq!(job.waiting, Some(Waiting::Paused));
        let text = job.waiting_text.as_deref().unwrap_or_default();
        assert!(text.contains("new printer") && text.contains(&disk.number), "{text}");
    }
    let page: JobPage = serde_json::from_value(rig.api.get("/v1/jobs?waiting=paused").body).unwrap();
    assert_eq!(page.jobs.len(), waiting.len());
    let page: JobPage = serde_json::from_value(rig.api.get("/v1/jobs?waiting=locked").body).unwrap();
    assert!(page.jobs.is_empty());
    let view = rig.disks().into_iter().find(|view| view.report.disk == disk.number).unwrap();
    assert_eq!((view.open_attempts, view.pauses.len(), view.pauses[0].reason.as_str()), (0, 1, "new printer"));

    assert_eq!(taxdisk(&rig, &["disk", "resume", &disk.number]), json!([]));
    let jobs = oracle::wait_done(&rig.api, 4, PATIENCE);
    assert!(jobs.iter().all(|job| job.state == JobState::Issued));
    oracle::check(&jobs, &[&disk]);
    assert_eq!(disk.ledger().len(), 4);
}

#[test]
fn when_its_time_is_over_a_job_fails_only_if_it_is_proven_not_issued() {
    let rig = Rig::new();
    let rule = json!({"name": "示例商贸有限公司", "disk_trouble": {"fail_after_s": 2}});
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(Some("after_answer"));
    rig.wait_online(&disk.number);
    for n in 1..=4 {
        assert_eq!(rig.api.submit(&jobs::toll(&format!("F{n}"))).status, 201);
    }
    agent.running.as_mut().unwrap().wait();
    // The disk has issued and nobody was told. The rule is new, and holds for the jobs that wait.
    assert_eq!(disk.ledger().len(), 1);
    assert_eq!(rig.api.put(&format!("/v1/sellers/{SELLER}"), &rule).status, 200);
    for serial in ["F3", "F4"] {
        let failed = wait_state(&rig, serial, |job| job.state == JobState::Failed);
        let problem = failed.problem.unwrap();
        assert_eq!(problem.code, "disk_trouble");
        assert!(problem.text.contains("2 s") && problem.text.contains(&disk.number), "{}", problem.text);
    }
    for serial in ["F1", "F2"] {
        let job = rig.api.job(SELLER, serial);
        assert!(matches!(job.state, JobState::Assigned | JobState::Unsettled), "{}", oracle::summary(&job));
    }
    agent.running = None;
    agent.start(None);
    for serial in ["F1", "F2"] {
        wait_state(&rig, serial, |job| job.state == JobState::Issued || job.state == JobState::Failed);
    }
    assert_eq!(rig.api.job(SELLER, "F1").state, JobState::Issued, "the disk was read");
    for serial in ["F3", "F4"] {
        let answer = rig.api.post(&format!("/v1/jobs/{SELLER}/{serial}/reissue"), &json!({"reason": "the disk is back"}));
        assert_eq!(answer.body["outcome"], "requeued", "{answer:?}");
    }
    let jobs = oracle::wait_done(&rig.api, 4, PATIENCE);
    oracle::check(&jobs, &[&disk]);
}

#[test]
fn a_seller_is_changed_and_an_agent_revoked_from_the_command_line() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    let rule = json!({"name": "示例商贸有限公司", "disk_trouble": {"fail_after_s": 600}, "mark": false});
    assert_eq!(rig.api.put(&format!("/v1/sellers/{SELLER}"), &rule).status, 200);
    taxdisk(&rig, &["seller", "set", SELLER, "--warn", "stock_count=100"]);
    let seller = taxdisk(&rig, &["seller", "show", SELLER]);
    assert_eq!(seller["disk_trouble"], rule["disk_trouble"], "{seller}");
    assert_eq!((&seller["name"], &seller["mark"]), (&rule["name"], &rule["mark"]));
    assert_eq!(seller["warnings"]["stock_count"], 100);

    let agents = taxdisk(&rig, &["agent", "list"]);
    let id = agents[0]["agent"].as_str().expect("an id");
    assert_eq!(taxdisk(&rig, &["agent", "revoke", id])["revoked"], true);
    wait_for("a disk without its agent", PATIENCE, || {
        let disks = rig.disks();
        if disks.iter().any(|view| view.online) { Err(format!("{disks:?}")) } else { Ok(()) }
    });
    assert_eq!(taxdisk(&rig, &["agent", "list"])[0]["revoked"], true);
}
