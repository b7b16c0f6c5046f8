//! Calls that a program makes out of the API's description, good ones and bad ones: none ends in an error of the broker, and each
//! answers what the description says. Afterwards the same broker issues.

use std::process::{Command, Stdio};

use taxdisk_protocol::api::JobState;
use taxdisk_tests::process::{PATIENCE, binary, wait_for};
use taxdisk_tests::rig::Rig;
use taxdisk_tests::{jobs, oracle};

/// What is looked at in each answer. Whether a call without a key is refused is held against the table of calls elsewhere
/// (`broker/tests/edge/surface.rs`).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[test]
fn calls_made_out_of_the_description_are_answered_as_it_says() {
    let examples = std::env::var("TAXDISK_TEST_API_EXAMPLES").unwrap_or_else(|_| "20".to_owned());
    let folder = binary("taxdisk-broker");
    let program = folder.parent().unwrap().parent().unwrap().join("tools/schemathesis/bin/st");
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    let config = rig.path().join("schemathesis.toml");
    let known = format!("[parameters]\n\"path.seller\" = \"{0}\"\n\"path.taxno\" = \"{0}\"\n", jobs::SELLER);
    std::fs::write(&config, known).unwrap();
    let mut run = Command::new(program);
    run.arg("--config-file").arg(&config).args(["run", &format!("{}/openapi.json", rig.broker.url), "--no-color"]);
    run.args(["-H", &format!("Authorization: Bearer {}", rig.broker.admin_key())]);
    run.args(["--max-examples", &examples, "--phases", "examples,coverage,fuzzing", "--generation-database", "none"]);
    run.args(["--checks", CHECKS, "--request-timeout", "20"]);
    // It knows no NDJSON; and it would revoke the key that it calls with, or the agent that issues below.
    run.args(["--exclude-path", "/v1/jobs:batch", "--exclude-path", "/v1/keys/{id}", "--exclude-path", "/v1/agents/{id}/revoke"]);
    run.args(["--exclude-path", "/v1/disks/{number}/assignment"]);
    let output = run.current_dir(rig.path()).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{}", text.split("== SUMMARY").last().unwrap_or_default());
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for what in ["disks", "agents", "sellers"] {
        let name = match what {
            "disks" => disk.number.clone(),
            "agents" => rig.agents().remove(0).agent,
            _ => jobs::SELLER.to_owned(),
        };
        let reason = serde_json::json!({"reason": "it was paused by chance"});
        assert_eq!(rig.api.post(&format!("/v1/{what}/{name}/resume"), &reason).status, 200);
    }
    assert_eq!(rig.api.submit(&jobs::toll("AFTER")).status, 201);
    wait_for("the job afterwards to be issued", PATIENCE, || {
        let job = rig.api.try_job(jobs::SELLER, "AFTER")?;
        if job.state == JobState::Issued { Ok(()) } else { Err(oracle::summary(&job)) }
    });
    let issued = rig.api.try_jobs(jobs::SELLER).unwrap().into_iter().filter(|job| job.state == JobState::Issued).count();
    assert_eq!(disk.ledger().len(), issued, "one invoice for each issued job");
}
