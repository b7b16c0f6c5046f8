//! Keys and secrets of real programs: a key that is exchanged while its owner is killed at every step, and logs that tell no
//! secret.

use std::process::Command;

use serde_json::json;
use taxdisk_protocol::api::JobState;
use taxdisk_tests::jobs::{self, SELLER};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

fn fingerprint(rig: &Rig) -> String {
    rig.agents().remove(0).fingerprint
}

/// The agent is linked, and the broker knows this key.
fn wait_key(rig: &Rig, wanted: &str, agent: &AgentRig) {
    wait_for("the agent on line with its key", PATIENCE, || {
        let view = rig.agents().remove(0);
        if view.online && view.fingerprint == wanted { Ok(()) } else { Err(format!("{view:?}\n{}", agent.log())) }
    });
}

fn sell(rig: &Rig, serial: &str) {
    assert_eq!(rig.api.submit(&jobs::toll(serial)).status, 201);
    wait_for(serial, PATIENCE, || {
        let job = rig.api.try_job(SELLER, serial)?;
        if job.state == JobState::Issued { Ok(()) } else { Err(oracle::summary(&job)) }
    });
}

#[test]
fn an_agent_that_retires_is_revoked_and_only_once_all_is_told() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(Some("after_intent"));
    rig.wait_online(&disk.number);
    rig.api.submit(&jobs::toll("R0"));
    wait_for("death with an open intent", PATIENCE, || if agent.is_running() { Err(agent.log()) } else { Ok(()) });
    let refused = agent.try_tool(&["retire"]).unwrap_err();
    assert!(refused.contains("not finished"), "{refused}");
    assert!(!rig.agents()[0].revoked);

    agent.start(None);
    sell(&rig, "R1");
    assert!(agent.try_tool(&["retire"]).unwrap_err().contains("running on"), "an agent that runs holds its state");
    agent.terminate();
    assert!(agent.tool(&["retire"]).contains("revoked agent"));
    assert!(rig.agents()[0].revoked);
    assert!(agent.tool(&["retire"]).contains("revoked agent"), "asked twice it is as good");
}

/// Killed at each step, and away meanwhile: the next start joins, the broker knows one key, and the folder holds it.
#[test]
fn a_key_exchange_that_is_killed_at_any_step_leaves_one_key_that_works() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    sell(&rig, "K0");
    for (index, point) in ["key_made", "key_taken", "key_kept", "key_adopted"].into_iter().enumerate() {
        let before = fingerprint(&rig);
        agent.terminate();
        if point == "key_made" {
            // The command itself dies, after the key is kept and before it says so.
            let died = agent.command(&["rotate-key"]).env("TAXDISK_FAULT_POINT", point).output().unwrap();
            assert!(!died.status.success(), "{died:?}");
        } else {
            agent.tool(&["rotate-key"]);
            agent.start(Some(point));
            wait_for(&format!("death at {point}"), PATIENCE, || if agent.is_running() { Err(agent.log()) } else { Ok(()) });
        }
        let said: serde_json::Value = serde_json::from_str(&agent.tool(&["rotate-key", "--json"])).unwrap();
        // After the last step the exchange is over, and the command begins another one.
        let next = said["fingerprint"].as_str().unwrap().to_owned();
        let known = fingerprint(&rig);
        assert_eq!(known == before, point == "key_made", "{point}: the broker has taken it once it was proven");
        agent.start(None);
        wait_key(&rig, &next, &agent);
        rig.wait_online(&disk.number);
        sell(&rig, &format!("K{}", index + 1));
        assert!(!agent.state_dir().join("agent.key.next").exists(), "{point}: the exchange has ended");
    }
    // A folder that was copied before the last exchange opens nothing: its keys are not the broker's.
    let copied = std::fs::read(agent.state_dir().join("agent.key.before")).unwrap();
    agent.terminate();
    let present = std::fs::read(agent.state_dir().join("agent.key")).unwrap();
    std::fs::write(agent.state_dir().join("agent.key"), &copied).unwrap();
    agent.start(None);
    wait_for("the copy to be refused", PATIENCE, || if agent.log().contains("agent_proof") { Ok(()) } else { Err(agent.log()) });
    agent.terminate();
    std::fs::write(agent.state_dir().join("agent.key"), &present).unwrap();
    agent.start(None);
    rig.wait_online(&disk.number);
    assert_eq!(disk.ledger().len(), 5);
}

/// Everything that is secret is used in a run with the most talkative logs; none of it is in them. What belongs to buyers is
/// not in the logs either, as they are written when nothing else is asked.
#[test]
fn logs_hold_no_secret_and_nothing_of_buyers() {
    let rig = Rig::with_broker_config("[log]\nfilter = \"trace\"\nformat = \"json\"\n");
    let disk = rig.disk("till", |_| ());
    let port = disk.port.display().to_string();
    let entry = format!("port = {port:?}\ndialect = \"zc\"\nspeed = 115200\n");
    let mut agent = AgentRig::enroll_disks(&rig, "shop", "[log]\nlevel = \"trace\"\n", &[(port, entry)]);
    agent.start(None);
    rig.wait_online(&disk.number);
    let mut secrets = vec![("the administrator's key", rig.broker.admin_key())];
    let made = rig.api.post("/v1/keys", &json!({"name": "till", "role": "platform"}));
    secrets.push(("a platform's key", made.body["key"].as_str().unwrap().to_owned()));
    assert_eq!(rig.api.with_key(&secrets[1].1).get("/v1/jobs").status, 200);
    let code = rig.api.post("/v1/enrollments", &json!({"name": "another"}));
    secrets.push(("an enrolment code", code.body["code"].as_str().unwrap().to_owned()));
    rig.api.with_key("tdk_wrong_0000111122223333").get("/v1/jobs");
    secrets.push(("a wrong key", "0000111122223333".to_owned()));
    let hook = rig.api.post("/v1/webhooks", &json!({"url": "https://hooks.example.invalid/in", "signing": "symmetric"}));
    if let Some(secret) = hook.body["secret"].as_str() {
        secrets.push(("a webhook's secret", secret.to_owned()));
    }
    let key = std::fs::read_to_string(agent.state_dir().join("agent.key")).unwrap();
    secrets.push(("the agent's key", key.lines().nth(1).unwrap().to_owned()));
    let stored: serde_json::Value =
        serde_json::from_slice(&std::fs::read(agent.state_dir().join("secrets.json")).unwrap()).unwrap();
    let mut open = vec![&stored];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(fields) => open.extend(fields.values()),
            serde_json::Value::Array(rows) => open.extend(rows),
            serde_json::Value::String(text) if text.len() >= 6 && !text.starts_with('/') => {
                secrets.push(("a password of the disk", text.clone()))
            }
            _ => {}
        }
    }
    let mut sale = jobs::toll("L1");
    sale["invoice"]["buyer"]["name"] = json!("买方甲乙丙丁有限公司");
    assert_eq!(rig.api.submit(&sale).status, 201);
    wait_for("L1", PATIENCE, || {
        let job = rig.api.try_job(SELLER, "L1")?;
        if job.state == JobState::Issued { Ok(()) } else { Err(oracle::summary(&job)) }
    });
    agent.tool(&["rotate-key"]);
    agent.terminate();
    let first_run = agent.log();
    agent.start(None);
    rig.wait_online(&disk.number);
    let next = std::fs::read_to_string(agent.state_dir().join("agent.key")).unwrap();
    secrets.push(("the agent's next key", next.lines().nth(1).unwrap().to_owned()));
    let logs = [("the broker", rig.broker.log()), ("the agent", format!("{first_run}{}", agent.log()))];
    for (who, log) in &logs {
        assert!(log.len() > 1000, "{who} wrote nothing: {log}");
        for (what, secret) in &secrets {
            assert!(secret.len() >= 6, "{what} is too short to be looked for");
            assert!(!log.contains(secret.as_str()), "{what} is in the log of {who}");
        }
    }
    assert!(
        logs[0].1.contains("\"level\":\"TRACE\"") || logs[0].1.contains("\"level\":\"DEBUG\""),
        "the broker was not talkative"
    );

    // As it is written when nothing is said.
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    let mut sale = jobs::toll("L2");
    sale["invoice"]["buyer"]["name"] = json!("买方甲乙丙丁有限公司");
    assert_eq!(rig.api.submit(&sale).status, 201);
    wait_for("L2", PATIENCE, || {
        let job = rig.api.try_job(SELLER, "L2")?;
        if job.state == JobState::Issued { Ok(()) } else { Err(oracle::summary(&job)) }
    });
    sale["serial"] = json!("L3");
    sale["invoice"]["totals"]["gross"] = json!("1.00");
    assert_eq!(rig.api.submit(&sale).status, 422, "a refusal is logged too");
    for (who, log) in [("the broker", rig.broker.log()), ("the agent", agent.log())] {
        assert!(log.contains("L2"), "{who} wrote nothing of the job: {log}");
        assert!(!log.contains("买方甲乙丙丁"), "the buyer is in the log of {who}");
    }
}

/// The list that `cargo xtask audit-surface` shows is what the shipped programs say.
#[test]
fn programs_say_what_they_show_to_others() {
    for (name, least, some) in [("taxdisk-broker", 110, "/v1/jobs:batch"), ("taxdisk-portal", 140, "/admin/v1/tenants")] {
        let output = Command::new(taxdisk_tests::process::binary(name)).arg("surface").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert!(lines.len() >= least, "{name}: {}", lines.len());
        assert!(lines.iter().any(|line| line["path"] == some), "{name} lacks {some}");
        assert!(lines.iter().all(|line| line["needs"].as_str().is_some_and(|needs| !needs.is_empty())), "{name}");
    }
}
