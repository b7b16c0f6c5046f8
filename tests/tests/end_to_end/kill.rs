//! `kill -9` of agent and broker, at named points and at random: the disk's ledger is the oracle (I1, I2, I4, I8, I10).

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use taxdisk_protocol::api::JobState;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};
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
/// Points and the passage at which it dies. The log is cut once all is at rest.
const BROKER_POINTS: [(&str, u32); 10] = [
    ("before_commit", 3),
    ("before_log", 3),
    ("after_commit", 3),
    ("before_settle", 3),
    ("after_settle", 3),
    ("before_assign_send", 3),
    ("after_outcome_commit", 3),
    ("before_ack", 3),
    ("before_cut", 1),
    ("after_cut", 1),
];

fn count(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a count")))
}

/// Half of them are equal but for the serial number.
fn mixed(prefix: &str, index: u32) -> Value {
    let serial = format!("{prefix}{index:05}");
    if index.is_multiple_of(2) { jobs::toll(&serial) } else { jobs::distinct(&serial) }
}

/// Sends until an answer comes, as a platform would: the same serial number again and again.
fn submit_all(rig: &Rig, batch: &[Value]) {
    for lines in batch.chunks(50) {
        wait_for("an answer to the submission", PATIENCE, || {
            let answers = rig.api.batch(lines)?;
            if answers.len() < lines.len() {
                return Err("the answer broke off".to_owned());
            }
            match answers.iter().find(|line| line.status != 200 && line.status != 201) {
                Some(line) if line.status >= 500 => Err(format!("{line:?}")),
                Some(line) => panic!("{line:?}"),
                None => Ok(()),
            }
        });
    }
}

#[test]
fn the_agent_dies_at_every_named_point() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    let mut submitted = 0;
    for (turn, point) in AGENT_POINTS.into_iter().enumerate() {
        // At the second passing of the point, so that another job is staged or just done.
        agent.start(Some(&format!("{point}:2")));
        let batch: Vec<Value> = (0..4).map(|index| mixed(&format!("P{turn}"), index)).collect();
        submit_all(&rig, &batch);
        submitted += batch.len();
        agent.wait_death_and_restart();
        let jobs = oracle::wait_done(&rig.api, submitted, PATIENCE);
        assert!(jobs.iter().all(|job| job.state == JobState::Issued), "{point}: {:?}", jobs.iter().map(oracle::summary).next());
        oracle::check(&jobs, &[&disk]);
        agent.kill();
    }
    assert_eq!(disk.ledger().len(), submitted);
}

#[test]
fn the_broker_dies_at_every_named_point() {
    let mut rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    let mut submitted = 0;
    for (turn, (point, passage)) in BROKER_POINTS.into_iter().enumerate() {
        rig.broker.kill();
        rig.broker.start_again(Some(&format!("{point}:{passage}")));
        let batch: Vec<Value> = (0..6).map(|index| mixed(&format!("B{turn}"), index)).collect();
        // It dies somewhere in here; a caller whose answer is lost sends the same again.
        let api = rig.api.clone();
        let sender = {
            let batch = batch.clone();
            std::thread::spawn(move || {
                wait_for("all to be accepted", PATIENCE, || {
                    for job in &batch {
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
        submitted += batch.len();
        let jobs = oracle::wait_done(&rig.api, submitted, PATIENCE);
        assert!(jobs.iter().all(|job| job.state == JobState::Issued), "{point}");
        oracle::check(&jobs, &[&disk]);
    }
    assert_eq!(disk.ledger().len(), submitted);
}

#[test]
fn both_die_at_random_during_500_jobs() {
    let agent_kills = count("TAXDISK_TEST_AGENT_KILLS", 12);
    let broker_kills = count("TAXDISK_TEST_BROKER_KILLS", 6);
    let total = count("TAXDISK_TEST_KILL_JOBS", 500);
    let seed = u64::from(count("TAXDISK_TEST_SEED", 20_261_123));
    println!("seed {seed}, {agent_kills} kills of the agent, {broker_kills} of the broker, {total} jobs");
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new();
    let disk = rig.disk("till", |config| config.issue_time_ms = 20);
    let mut agent: AgentRig = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);

    let start = Instant::now();
    let (mut agent_left, mut broker_left) = (agent_kills, broker_kills);
    let mut sent = 0_u32;
    let share = (total / (agent_kills + broker_kills).max(1)).max(1);
    while agent_left + broker_left > 0 {
        if sent < total {
            let batch: Vec<Value> = (sent..(sent + share).min(total)).map(|index| mixed("R", index)).collect();
            submit_all(&rig, &batch);
            sent += u32::try_from(batch.len()).unwrap();
        }
        // Somewhere inside a join, a settling, an issue: a point in time drawn by the seed, not a wait for something.
        std::thread::sleep(Duration::from_millis(random.gen_range(0..2500)));
        if random.gen_range(0..agent_left + broker_left) < agent_left {
            agent_left -= 1;
            agent.kill();
            agent.start(None);
        } else {
            broker_left -= 1;
            rig.broker.kill();
            rig.broker.start_again(None);
        }
    }
    if sent < total {
        let batch: Vec<Value> = (sent..total).map(|index| mixed("R", index)).collect();
        submit_all(&rig, &batch);
    }
    let jobs = oracle::wait_done(&rig.api, total as usize, PATIENCE * 5);
    assert!(jobs.iter().all(|job| job.state == JobState::Issued), "{:?}", jobs.iter().find(|job| job.state != JobState::Issued));
    oracle::check(&jobs, &[&disk]);
    assert_eq!(disk.ledger().len(), total as usize);
    println!("{total} jobs, {agent_kills} + {broker_kills} kills, {} s", start.elapsed().as_secs());
}
