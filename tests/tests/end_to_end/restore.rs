//! A backup is put back while the fleet lives: agents were confirmed results that the ledger has forgotten, and merchants send
//! today's submissions again. No invoice twice: the gap is told again by the agents, or waits for a person.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use taxdisk_protocol::api::{JobState, JobView, ReconcileView, Waiting};
use taxdisk_tests::api::Api;
use taxdisk_tests::cluster::ClusterRig;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, binary, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig, SimRig};
use taxdisk_tests::{jobs, oracle};

/// Yesterday's, today's.
const YESTERDAY: [&str; 3] = ["Y1", "Y2", "Y3"];
const TODAY: [&str; 4] = ["T1", "T2", "T3", "T4"];

fn broker_tool(rig: &Rig, args: &[&str]) -> Value {
    try_tool(&rig.path().join("broker/broker.toml"), args).unwrap()
}

fn try_tool(config: &Path, args: &[&str]) -> Result<Value, String> {
    let output = Command::new(binary("taxdisk-broker")).args(args).arg("--json").arg("--config").arg(config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(serde_json::from_str(&text).unwrap());
    }
    Err(format!("{args:?}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn numbers(jobs: &[JobView]) -> BTreeMap<String, String> {
    jobs.iter().map(|job| (job.serial.clone(), job.issued.as_ref().unwrap().number.clone())).collect()
}

/// A day's work with a backup in the middle; then the backup is put back, and the broker starts again.
fn gone_back(change: impl FnOnce(&mut AgentRig)) -> (Rig, SimRig, AgentRig, BTreeMap<String, String>) {
    let mut rig = Rig::new();
    let disk = rig.disk("one", |_| ());
    let mut agent = rig.agent("a", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    for serial in YESTERDAY {
        assert_eq!(rig.api.submit(&jobs::toll(serial)).status, 201);
    }
    oracle::wait_done(&rig.api, 3, PATIENCE);
    let copy = rig.path().join("backup.db");
    broker_tool(&rig, &["backup", copy.to_str().unwrap()]);
    for serial in TODAY {
        assert_eq!(rig.api.submit(&jobs::toll(serial)).status, 201);
    }
    let issued = numbers(&oracle::wait_done(&rig.api, 7, PATIENCE));
    let checked = broker_tool(&rig, &["check", copy.to_str().unwrap()]);
    assert_eq!((checked["jobs"].as_u64(), checked["found"].as_u64()), (Some(3), Some(0)), "{checked}");
    assert_eq!(broker_tool(&rig, &["check"])["jobs"], 7, "of the ledger itself, while the broker serves");
    agent.kill();
    rig.broker.kill();
    let put = broker_tool(&rig, &["restore", "--replace", copy.to_str().unwrap()]);
    assert_ne!(put["ledger"], put["was"]);
    change(&mut agent);
    rig.broker.start_again(None);
    (rig, disk, agent, issued)
}

fn reconcile(rig: &Rig) -> ReconcileView {
    reconcile_at(&rig.api)
}

fn reconcile_at(api: &Api) -> ReconcileView {
    serde_json::from_value(api.get("/v1/reconcile").body).unwrap()
}

#[test]
fn i1_what_a_backup_does_not_know_is_told_again_by_the_agents() {
    let (rig, disk, mut agent, issued) = gone_back(|_| ());
    // The merchant is faster than the agent.
    for serial in &TODAY[..2] {
        let answer = rig.api.submit(&jobs::toll(serial));
        assert_eq!((answer.status, answer.job().waiting), (201, Some(Waiting::Reconcile)));
    }
    assert_eq!(reconcile(&rig).disks.len(), 1);
    agent.start(None);
    wait_for("the recount", PATIENCE, || {
        let left = reconcile(&rig);
        if left.disks.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    // And slower.
    for serial in &TODAY[2..] {
        assert_eq!(rig.api.submit(&jobs::toll(serial)).job().state, JobState::Issued, "{serial}");
    }
    assert_eq!(rig.api.submit(&jobs::toll("N1")).status, 201);
    let done = oracle::wait_done(&rig.api, 8, PATIENCE);
    oracle::check(&done, &[&disk]);
    let now = numbers(&done);
    for (serial, number) in &issued {
        assert_eq!(now.get(serial), Some(number), "{serial} keeps its invoice");
    }
    assert_eq!(disk.ledger().len(), 8, "seven, and the new one");
    let left = reconcile(&rig);
    assert!(left.jobs.is_empty() && left.numbers.is_empty(), "{left:?}");
}

#[test]
fn i1_what_no_index_remembers_waits_for_a_person() {
    let (rig, disk, mut agent, issued) = gone_back(|agent| std::fs::remove_dir_all(agent.state_dir().join("journal")).unwrap());
    agent.start(None);
    wait_for("the recount", PATIENCE, || {
        let left = reconcile(&rig);
        if left.disks.is_empty() && left.numbers.len() == 4 { Ok(()) } else { Err(format!("{left:?}")) }
    });
    for serial in TODAY {
        assert_eq!(rig.api.submit(&jobs::toll(serial)).job().waiting, Some(Waiting::Reconcile), "{serial}");
    }
    // Equal in content, of another serial number: its mark tells it apart, and it is issued.
    assert_eq!(rig.api.submit(&jobs::toll("N1")).status, 201);
    wait_for("the new job", PATIENCE, || {
        let job = rig.api.try_job(SELLER, "N1")?;
        if job.state == JobState::Issued { Ok(()) } else { Err(oracle::summary(&job)) }
    });
    assert_eq!(disk.ledger().len(), 8);
    // The person has looked at the paper.
    for number in reconcile(&rig).numbers {
        let [serial] = number.waiting.as_slice() else { panic!("{number:?}") };
        assert_eq!(issued[serial], number.pair.number);
        let body = json!({
            "disk": number.disk, "kind": number.kind, "pair": number.pair, "reason": "the paper says so",
            "job": {"seller": SELLER, "serial": serial},
        });
        let answer = rig.api.post("/v1/reconcile/numbers", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let done = oracle::wait_done(&rig.api, 8, PATIENCE);
    oracle::check(&done, &[&disk]);
    assert_eq!(disk.ledger().len(), 8, "no invoice twice");
}

/// The same with PostgreSQL: its own tools copy and put back, and one command says so.
#[test]
fn i1_a_database_that_its_own_tools_put_back_is_recounted() {
    let mut rig = ClusterRig::new(1);
    let config = rig.path().join("broker-0/broker.toml");
    let database = std::fs::read_to_string(&config).unwrap();
    let database = database.split("localhost/").nth(1).unwrap().split('?').next().unwrap().to_owned();
    let disk = rig.disk("one", |_| ());
    let mut agent = rig.agent(0, "a", &disk);
    agent.start(None);
    rig.wait_online(0, &disk.number);
    for serial in YESTERDAY {
        assert_eq!(rig.submit(0, &jobs::toll(serial)), 201);
    }
    oracle::wait_done(&rig.apis[0], 3, PATIENCE);
    let copy = rig.path().join("yesterday.dump");
    rig.server.dump(&database, &copy);
    for serial in TODAY {
        assert_eq!(rig.submit(0, &jobs::toll(serial)), 201);
    }
    let issued = numbers(&oracle::wait_done(&rig.apis[0], 7, PATIENCE));
    agent.kill();
    let refused = try_tool(&config, &["store", "was-put-back", "--reason", "a test"]).unwrap_err();
    assert!(refused.contains("a broker leads this database"), "{refused}");
    rig.brokers[0].kill();
    rig.server.put_back(&database, &copy);
    let put = wait_for_tool(&config, &["store", "was-put-back", "--reason", "the server burned"]);
    assert_ne!(put["ledger"], put["was"]);
    assert_eq!((&put["checked"]["jobs"], &put["checked"]["found"]), (&json!(3), &json!(0)), "{put}");
    assert_eq!(wait_for_tool(&config, &["check"])["ledger"], put["ledger"]);
    rig.brokers[0].start_again(None);
    rig.wait_serving(0);
    // The merchant is faster than the agent.
    for serial in TODAY {
        assert_eq!(rig.submit(0, &jobs::toll(serial)), 201);
        assert_eq!(rig.apis[0].job(SELLER, serial).waiting, Some(Waiting::Reconcile));
    }
    agent.start(None);
    let done = oracle::wait_done(&rig.apis[0], 7, PATIENCE);
    oracle::check(&done, &[&disk]);
    assert_eq!(numbers(&done), issued, "every serial keeps its invoice");
    assert_eq!(disk.ledger().len(), 7);
    let left = reconcile_at(&rig.apis[0]);
    assert!(left.disks.is_empty() && left.jobs.is_empty() && left.numbers.is_empty(), "{left:?}");
}

/// A broker that was killed leads until its lease is over.
fn wait_for_tool(config: &Path, args: &[&str]) -> Value {
    let mut answer = Value::Null;
    wait_for("the lead", PATIENCE, || {
        answer = try_tool(config, args)?;
        Ok::<(), String>(())
    });
    answer
}
