//! Void and red jobs through the real binaries: at most one of one original, whatever is killed (I1, I3, I4).

use serde_json::{Value, json};
use taxdisk_drivers::sim::ledger::EntryStatus;
use taxdisk_protocol::api::{JobState, JobView, PairBody};
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{Rig, SimRig};
use taxdisk_tests::{jobs, oracle};

const AGENT_POINTS: [&str; 9] = [
    "before_intent",
    "after_intent",
    "before_send",
    "after_answer",
    "before_outcome",
    "after_outcome",
    "before_report",
    "after_report",
    "after_confirm",
];
const BROKER_POINTS: [&str; 5] = ["before_commit", "after_commit", "before_assign_send", "after_outcome_commit", "before_ack"];

fn number(job: &JobView) -> PairBody {
    let issued = job.issued.as_ref().unwrap_or_else(|| panic!("not issued: {}", oracle::summary(job)));
    PairBody { code: issued.code.clone(), number: issued.number.clone() }
}

fn void(serial: &str, original: &PairBody) -> Value {
    json!({"seller": SELLER, "serial": serial, "kind": "025", "operation": "void", "original": original})
}

/// Reverses all of [`jobs::toll`].
fn red(serial: &str, original: &PairBody) -> Value {
    let mut job = jobs::job(serial, "个人", "通行费", "-9.17", "0.09", "-0.83", "-10.00");
    job["operation"] = "red".into();
    job["original"] = json!(original);
    job["invoice"]["lines"][0]["quantity"] = "-1".into();
    job["invoice"]["lines"][0]["price"] = "9.17".into();
    job
}

fn done(rig: &Rig, serial: &str) -> JobView {
    wait_for(&format!("the end of {serial}"), PATIENCE, || {
        let job = rig.api.try_job(SELLER, serial)?;
        if job.state.is_terminal() { Ok(job) } else { Err(oracle::summary(&job)) }
    })
}

/// Issues one toll.
fn issue(rig: &Rig, serial: &str) -> PairBody {
    let answer = rig.api.submit(&jobs::toll(serial));
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    number(&done(rig, serial))
}

/// Sends until an answer comes, as a platform would.
fn submit(rig: &Rig, job: &Value) {
    let text = serde_json::to_vec(job).unwrap();
    wait_for("an answer to the submission", PATIENCE, || {
        let answer = rig.api.try_send("POST", "/v1/jobs", "application/json", &text)?;
        if answer.status >= 500 {
            return Err(format!("{answer:?}"));
        }
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        Ok(())
    });
}

fn status(disk: &SimRig, original: &PairBody) -> EntryStatus {
    let pair = original.pair().unwrap();
    disk.ledger().iter().find(|entry| entry.pair() == pair).unwrap_or_else(|| panic!("{pair} is not there")).status
}

fn reds_of(disk: &SimRig, original: &PairBody) -> usize {
    disk.ledger().iter().filter(|entry| entry.original == original.pair()).count()
}

fn check(rig: &Rig, disk: &SimRig) {
    oracle::check(&rig.api.try_jobs(SELLER).unwrap(), &[disk]);
}

#[test]
fn void_and_red_once_each_and_the_jobs_name_each_other() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    let (first, second, third) = (issue(&rig, "A1"), issue(&rig, "A2"), issue(&rig, "A3"));

    let accepted = rig.api.submit(&void("V1", &first));
    assert_eq!(accepted.status, 201, "{accepted:?}");
    assert_eq!(done(&rig, "V1").state, JobState::Voided);
    assert_eq!(status(&disk, &first), EntryStatus::PositiveVoid);
    let original = rig.api.job(SELLER, "A1");
    assert_eq!((original.state, original.voided.map(|by| by.serial)), (JobState::Issued, Some("V1".to_owned())));

    assert_eq!(rig.api.submit(&red("R1", &second)).status, 201);
    let reversal = done(&rig, "R1");
    assert_eq!((reversal.state, reversal.original_serial.as_deref()), (JobState::Issued, Some("A2")));
    let original = rig.api.job(SELLER, "A2");
    assert_eq!(original.reversed_by.len(), 1, "{original:?}");
    assert_eq!((original.reversed_by[0].serial.as_str(), &original.reversed_by[0].red), ("R1", &Some(number(&reversal))));
    assert_eq!(reds_of(&disk, &second), 1);

    // Once is all: under another serial number, whichever way, and under the same one it is the same job.
    for job in [void("V2", &first), red("R2", &first), void("V2", &second), red("R2", &second)] {
        let answer = rig.api.submit(&job);
        assert_eq!((answer.status, answer.code()), (409, "original_undone"), "{answer:?}");
    }
    for job in [void("V1", &first), red("R1", &second)] {
        let answer = rig.api.submit(&job);
        assert!(answer.status == 200 && answer.job().repeated, "{answer:?}");
    }
    // A red beyond its original, and a void of an electronic kind.
    let mut more = red("R3", &third);
    more["invoice"]["lines"][0]["tax"] = "-0.84".into();
    more["invoice"]["totals"]["tax"] = "-0.84".into();
    more["invoice"]["totals"]["gross"] = "-10.01".into();
    let answer = rig.api.submit(&more);
    assert_eq!((answer.status, answer.body["breaches"][0]["code"].as_str()), (422, Some("red_sum")), "{answer:?}");
    let mut electronic = void("V3", &third);
    electronic["kind"] = "026".into();
    let answer = rig.api.submit(&electronic);
    assert_eq!((answer.status, answer.code()), (422, "operation_unsupported"), "{answer:?}");

    // Issued by another program, so that the broker knows nothing of it: once all the same.
    disk.foreign_issue(&jobs::toll("X1"), "");
    let foreign = disk.ledger().last().map(|entry| PairBody::from(entry.pair())).unwrap();
    assert_eq!(rig.api.submit(&void("V4", &foreign)).status, 201);
    assert_eq!(done(&rig, "V4").state, JobState::Voided);
    assert_eq!(status(&disk, &foreign), EntryStatus::PositiveVoid);
    assert_eq!(rig.api.submit(&void("V5", &foreign)).code(), "original_undone");
    // A number that the disk does not have fails, and says so.
    let absent = PairBody { number: "09999999".to_owned(), ..first.clone() };
    assert_eq!(rig.api.submit(&void("V6", &absent)).status, 201);
    let failed = done(&rig, "V6");
    assert_eq!(failed.state, JobState::Failed, "{failed:?}");
    check(&rig, &disk);
}

#[test]
fn the_agent_dies_at_every_named_point_of_a_void_and_of_a_red() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    for (turn, point) in AGENT_POINTS.into_iter().enumerate() {
        for what in ["V", "R"] {
            agent.start(None);
            let original = issue(&rig, &format!("A{what}{turn}"));
            agent.kill();
            agent.start(Some(&format!("{point}:1")));
            let serial = format!("{what}{turn}");
            submit(&rig, &if what == "V" { void(&serial, &original) } else { red(&serial, &original) });
            agent.wait_death_and_restart();
            let job = done(&rig, &serial);
            let wanted = if what == "V" { JobState::Voided } else { JobState::Issued };
            assert_eq!(job.state, wanted, "{point}: {}", oracle::summary(&job));
            if what == "V" {
                assert_eq!(status(&disk, &original), EntryStatus::PositiveVoid, "{point}");
            } else {
                assert_eq!(reds_of(&disk, &original), 1, "{point}");
            }
            check(&rig, &disk);
            agent.kill();
        }
    }
}

#[test]
fn the_broker_dies_at_every_named_point_of_a_void_and_a_red() {
    let mut rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    for (turn, point) in BROKER_POINTS.into_iter().enumerate() {
        let (first, second) = (issue(&rig, &format!("A{turn}")), issue(&rig, &format!("B{turn}")));
        rig.broker.kill();
        rig.broker.start_again(Some(&format!("{point}:2")));
        let jobs = [void(&format!("V{turn}"), &first), red(&format!("R{turn}"), &second)];
        let api = rig.api.clone();
        let sender = {
            let jobs = jobs.clone();
            std::thread::spawn(move || {
                wait_for("both to be accepted", PATIENCE, || {
                    for job in &jobs {
                        let text = serde_json::to_vec(job).unwrap();
                        let answer = api.try_send("POST", "/v1/jobs", "application/json", &text)?;
                        if answer.status >= 500 {
                            return Err(format!("{answer:?}"));
                        }
                        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
                    }
                    Ok(())
                });
            })
        };
        rig.broker.running.wait();
        rig.broker.start_again(None);
        sender.join().unwrap();
        assert_eq!(done(&rig, &format!("V{turn}")).state, JobState::Voided, "{point}");
        assert_eq!(done(&rig, &format!("R{turn}")).state, JobState::Issued, "{point}");
        assert_eq!(status(&disk, &first), EntryStatus::PositiveVoid, "{point}");
        assert_eq!(reds_of(&disk, &second), 1, "{point}");
        let original = rig.api.job(SELLER, &format!("A{turn}"));
        assert_eq!(original.voided.map(|by| by.serial), Some(format!("V{turn}")), "{point}");
        check(&rig, &disk);
    }
}
