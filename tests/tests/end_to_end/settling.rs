//! What reading can decide, it decides; what it cannot, stays `unsettled` with evidence (I3, I5, I10).

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use taxdisk_drivers::sim::faults::{Fault, FaultKind};
use taxdisk_drivers::sim::ledger::Origin;
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig, SimRig, segment};
use taxdisk_tests::{jobs, oracle};

const ISSUE: u8 = 0x0A;
const QUICK: &str = "answer_timeout_ms = 1000";

fn wait_state(rig: &Rig, serial: &str, state: JobState) -> JobView {
    wait_for(&format!("{serial} {state:?}"), PATIENCE * 2, || {
        let job = rig.api.try_job(SELLER, serial)?;
        if job.state == state { Ok(job) } else { Err(oracle::summary(&job)) }
    })
}

/// A coffee whose command is swallowed by the disk; while the agent waits for the answer, another program issues the same.
fn lost_while_another_issues(rig: &Rig, disk: &SimRig, serial: &str) {
    let heard = disk.complete_commands(ISSUE);
    disk.fault(Fault::once(FaultKind::LoseAnswerBeforeSigning).on(ISSUE));
    let job = jobs::coffee(serial);
    assert_eq!(rig.api.submit(&job).status, 201);
    wait_for("the command at the disk", PATIENCE, || {
        if disk.complete_commands(ISSUE) > heard { Ok(()) } else { Err("not there yet".to_owned()) }
    });
    disk.foreign_issue(&job, "");
}

/// Copies a stopped agent's state folder.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn two_equal_coffees_one_answer_lost_and_never_sent_the_other_issued() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], QUICK);
    agent.start(None);
    rig.wait_online(&disk.number);
    disk.fault(Fault::once(FaultKind::LoseAnswerBeforeSigning).on(ISSUE));
    for serial in ["COFFEE1", "COFFEE2"] {
        assert_eq!(rig.api.submit(&jobs::coffee(serial)).status, 201);
    }
    let done = oracle::wait_done(&rig.api, 2, PATIENCE);
    assert!(done.iter().all(|job| job.state == JobState::Issued));
    oracle::check(&done, &[&disk]);
    assert_eq!(disk.ledger().len(), 2);
    let first = rig.api.job(SELLER, "COFFEE1");
    assert_eq!(first.attempts[0].result, "not_issued", "nothing was adopted that was not its own: {}", oracle::summary(&first));
}

#[test]
fn an_equal_foreign_invoice_in_between_is_not_adopted() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], QUICK);
    agent.start(None);
    rig.wait_online(&disk.number);
    // Our command never gets through, and another program takes the expected number with an equal invoice.
    lost_while_another_issues(&rig, &disk, "OURS");
    let done = oracle::wait_done(&rig.api, 1, PATIENCE * 2);
    oracle::check(&done, &[&disk]);
    let ledger = disk.ledger();
    let foreign = ledger.iter().filter(|entry| entry.origin == Origin::Foreign).count();
    assert_eq!((ledger.len(), foreign), (2, 1));
    assert_eq!(done[0].attempts.len(), 2, "{}", oracle::summary(&done[0]));
}

#[test]
fn without_a_mark_equality_is_evidence_and_a_person_decides() {
    let rig = Rig::new();
    let answer = rig.api.put(&format!("/v1/sellers/{SELLER}"), &json!({"name": "示例商贸有限公司", "mark": false}));
    assert!(answer.status < 300, "{answer:?}");
    let disk = rig.disk("till", |_| ());
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], QUICK);
    agent.start(None);
    rig.wait_online(&disk.number);
    assert_eq!(rig.api.submit(&jobs::distinct("BEFORE")).status, 201);
    wait_state(&rig, "BEFORE", JobState::Issued);
    lost_while_another_issues(&rig, &disk, "DOUBT");
    let job = wait_state(&rig, "DOUBT", JobState::Unsettled);
    assert_eq!(disk.ledger().len(), 2, "nothing was sent again");
    assert!(!job.evidence.is_empty(), "the readings are kept");

    // A repeated submission and a re-issue change nothing.
    assert_eq!(rig.api.submit(&jobs::coffee("DOUBT")).status, 200);
    let answer = rig.api.post(&format!("/v1/jobs/{SELLER}/DOUBT/reissue"), &json!({"reason": "the customer waits"}));
    assert_eq!((answer.status, answer.body["outcome"].as_str()), (200, Some("unsettled")), "{answer:?}");

    // A person reads the disk: the number belongs to the other program. The agent reads it too, now and then, and who has looked
    // at the job before that is told to look again.
    let pairs: Vec<_> = disk.ledger().iter().map(|entry| entry.pair()).collect();
    let current = pairs[1].successor().unwrap();
    let answer = wait_for("the decision", PATIENCE, || {
        let job = wait_state(&rig, "DOUBT", JobState::Unsettled);
        let settle = json!({
            "decision": "not_issued", "reason": "number 2 belongs to the other till, paper seen", "revision": job.revision,
            "current": {"code": current.code, "number": current.number}, "expected": "present_foreign",
        });
        let answer = rig.api.post(&format!("/v1/jobs/{SELLER}/DOUBT/settle"), &settle);
        if answer.code() == "settle_revision" { Err(format!("{answer:?}")) } else { Ok(answer) }
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(disk.ledger().len(), 2);
    let answer = rig.api.post(&format!("/v1/jobs/{SELLER}/DOUBT/reissue"), &json!({"reason": "settled by hand"}));
    assert_eq!(answer.body["outcome"].as_str(), Some("requeued"), "{answer:?}");
    wait_state(&rig, "DOUBT", JobState::Issued);
    assert_eq!(disk.ledger().len(), 3);
}

#[test]
fn a_truncated_a_rolled_back_and_a_lost_journal_settle_to_the_truth() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], QUICK);
    let backup = agent.dir.join("backup");
    agent.start(None);
    rig.wait_online(&disk.number);
    assert_eq!(rig.api.submit(&jobs::toll("J0")).status, 201);
    let mut count = 1;
    oracle::wait_done(&rig.api, count, PATIENCE);
    let _ = agent.running.as_mut().unwrap().terminate();
    agent.running = None;
    copy_folder(&agent.state_dir(), &backup);

    // Each time the agent dies with an invoice on the disk that the broker has not heard of; then the journal is harmed.
    for (turn, harm) in ["rolled back", "lost", "truncated"].into_iter().enumerate() {
        println!("{harm}");
        agent.start(Some("after_answer"));
        let serial = format!("J{}", turn + 1);
        assert_eq!(rig.api.submit(&jobs::toll(&serial)).status, 201);
        count += 1;
        agent.running.as_mut().unwrap().wait();
        agent.running = None;
        let journal = agent.state_dir().join("journal");
        assert!(journal.is_dir(), "the journal is a folder: {}", journal.display());
        match harm {
            "rolled back" => {
                std::fs::remove_dir_all(&journal).unwrap();
                copy_folder(&backup.join("journal"), &journal);
            }
            "lost" => std::fs::remove_dir_all(&journal).unwrap(),
            _ => {
                let file = std::fs::OpenOptions::new().write(true).open(journal.join("db")).unwrap();
                let length = file.metadata().unwrap().len();
                file.set_len(length / 2).unwrap();
            }
        }
        agent.start(None);
        // A journal that cannot be opened is said, and only a person may put it aside.
        if harm == "truncated" {
            let opened = wait_for("the agent to come up or to say that its journal is harmed", PATIENCE, || {
                if agent.running.as_mut().unwrap().ended().is_some() {
                    return Ok(false);
                }
                if rig.disks().iter().any(|view| view.online) { Ok(true) } else { Err("neither yet".to_owned()) }
            });
            if !opened {
                assert!(agent.log().contains("journal"), "the log says what is wrong:\n{}", agent.log());
                agent.running = None;
                std::fs::rename(&journal, agent.state_dir().join("journal.harmed")).unwrap();
                agent.start(None);
            }
        }
        let done = oracle::wait_done(&rig.api, count, PATIENCE);
        assert!(done.iter().all(|job| job.state == JobState::Issued), "{harm}: {:?}", done.iter().map(oracle::summary).next());
        oracle::check(&done, &[&disk]);
        assert_eq!(disk.ledger().len(), count, "{harm}: nothing was issued again");
        let _ = agent.running.as_mut().unwrap().terminate();
        agent.running = None;
    }
}

#[test]
fn a_cloned_agent_is_noticed_and_does_not_issue_beside_the_other() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut original = AgentRig::enroll(&rig, "shop", &[&disk.port], QUICK);
    let clone_dir = rig.path().join("agent-clone");
    copy_folder(&original.dir, &clone_dir);
    let text = std::fs::read_to_string(clone_dir.join("agent.toml")).unwrap();
    std::fs::write(
        clone_dir.join("agent.toml"),
        text.replace(&original.state_dir().display().to_string(), &clone_dir.join("state").display().to_string()),
    )
    .unwrap();
    let mut clone = AgentRig {
        name: "clone".to_owned(),
        program: original.program.clone(),
        drive: original.drive,
        dir: clone_dir,
        running: None,
    };
    original.start(None);
    rig.wait_online(&disk.number);
    assert_eq!(rig.api.submit(&jobs::toll("K1")).status, 201);
    oracle::wait_done(&rig.api, 1, PATIENCE);
    clone.start(None);
    wait_for("an alarm about the clone", PATIENCE, || {
        let agents = rig.agents();
        if agents.iter().any(|agent| !agent.alarms.is_empty()) { Ok(()) } else { Err(format!("{agents:?}")) }
    });
    clone.kill();
    assert_eq!(rig.api.submit(&jobs::toll("K2")).status, 201);
    let done = oracle::wait_done(&rig.api, 2, PATIENCE + Duration::from_secs(60));
    oracle::check(&done, &[&disk]);
    assert_eq!(disk.ledger().len(), 2);
}

#[test]
fn the_pair_jumps_to_a_new_roll_while_answers_are_lost() {
    let rig = Rig::new();
    let disk = rig.disk("till", |config| {
        config.segments = vec![segment("011002000107", 1, 3), segment("011002000207", 11, 12), segment("011002000307", 21, 40)];
    });
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], QUICK);
    agent.start(None);
    rig.wait_online(&disk.number);
    // The answers that give the last number of each roll are lost; the command was executed.
    disk.fault(Fault::once(FaultKind::LoseAnswerAfterSigning).on(ISSUE).after(2));
    disk.fault(Fault::once(FaultKind::LoseAnswerAfterSigning).on(ISSUE).after(4));
    for index in 0..8 {
        assert_eq!(rig.api.submit(&jobs::toll(&format!("S{index}"))).status, 201);
    }
    let done = oracle::wait_done(&rig.api, 8, PATIENCE * 2);
    assert!(done.iter().all(|job| job.state == JobState::Issued));
    oracle::check(&done, &[&disk]);
    assert_eq!(disk.ledger().len(), 8);
}

#[test]
fn out_of_stock_waits_and_goes_on_when_stock_is_there() {
    let rig = Rig::new();
    let disk = rig.disk("till", |config| config.segments = vec![segment("011002000107", 1, 2)]);
    let mut agent = AgentRig::enroll(&rig, "shop", &[&disk.port], QUICK);
    agent.start(None);
    rig.wait_online(&disk.number);
    for index in 0..4 {
        assert_eq!(rig.api.submit(&jobs::toll(&format!("N{index}"))).status, 201);
    }
    wait_for("two issued and two waiting for stock", PATIENCE, || {
        let jobs = rig.api.try_jobs(SELLER)?;
        let issued = jobs.iter().filter(|job| job.state == JobState::Issued).count();
        let waiting = jobs.iter().filter(|job| job.waiting == Some(taxdisk_protocol::api::Waiting::NoStock)).count();
        if (issued, waiting) == (2, 2) {
            Ok(())
        } else {
            Err(format!("{:?}", jobs.iter().map(oracle::summary).collect::<Vec<_>>()))
        }
    });
    disk.add_stock(segment("011002000207", 1, 50));
    let done = oracle::wait_done(&rig.api, 4, PATIENCE * 2);
    oracle::check(&done, &[&disk]);
    assert_eq!(disk.ledger().len(), 4);
}
