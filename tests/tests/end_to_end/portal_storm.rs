//! The whole chain under kills: portal, broker and agent die at random while a merchant sends requests with repeats. The disk's
//! own ledger has one invoice for each serial number, and every result is told (I1, I2, I3, I8).
//!
//! Behind the agent stands a component whose link has no fence: a document that it took when the agent died may be carried out at
//! any later time, so an invoice that is not found is never called absent by the agent. A person decides then, here as in a shop:
//! restarts the component, reads the disk, and says what he saw. The portal tells the merchant that no invoice exists, and he has
//! the same serial number issued again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use taxdisk_drivers::sim::SimHandle;
use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_protocol::api::{JobState, JobView};
use taxdisk_protocol::ids::JobKey;
use taxdisk_protocol::mark::{find_mark, mark};
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, Running, tail, wait_for};
use taxdisk_tests::rig::Rig;

use taxdisk_tests::portal::{ANY_PORT, HOOKS, PortalRig, agent, disk};

/// What is killed in turn: each of them at least once, the rest as the seed says.
const PARTS: usize = 3;

fn count(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a count")))
}

/// What a person does about a job that reading cannot decide; how many were decided.
fn decide(rig: &Rig, sim: &SimHandle) -> usize {
    let unsettled = |job: &JobView| job.state == JobState::Unsettled;
    let Ok(jobs) = rig.api.try_jobs(SELLER) else { return 0 };
    if !jobs.iter().any(unsettled) {
        return 0;
    }
    // What waited in the component is never carried out after this: only now does the disk say what will stand.
    sim.restart_component(Duration::from_millis(50));
    let entries = Ledger::read(&rig.path().join("disk-component")).unwrap();
    let mut decided = 0;
    for job in jobs.iter().filter(|job| unsettled(job)) {
        let key = JobKey { seller: job.seller.parse().unwrap(), serial: job.serial.parse().unwrap() };
        let ours = entries.iter().any(|entry| find_mark(&entry.remark) == Some(mark(&key).as_str()));
        let last = entries.iter().filter(|entry| entry.kind.to_string() == job.kind).map(|entry| entry.pair()).next_back();
        // An invoice that is there is found by its mark, without anybody's help.
        let Some(current) = last.and_then(|pair| pair.successor()).filter(|_| !ours) else { continue };
        // The number that it was to get: unused still, or another invoice's by now.
        let expected = job.attempts.last().and_then(|attempt| attempt.expected.clone());
        let is_it = |code: &str, number: &str| expected.as_ref().is_some_and(|pair| pair.code == code && pair.number == number);
        let used = entries.iter().map(|entry| entry.pair()).any(|pair| is_it(&pair.code.to_string(), &pair.number.to_string()));
        let said = json!({
            "decision": "not_issued", "expected": if used { "present_foreign" } else { "absent" }, "revision": job.revision,
            "current": { "code": current.code.to_string(), "number": current.number.to_string() },
            "reason": "the component was restarted, and the disk read: no invoice there is this job's",
        });
        let path = format!("/v1/jobs/{SELLER}/{}/settle", job.serial);
        // Refused if the job changed meanwhile; then it is looked at again.
        let answer = rig.api.try_send("POST", &path, "application/json", said.to_string().as_bytes());
        decided += usize::from(answer.is_ok_and(|answer| answer.status == 200));
    }
    decided
}

#[test]
fn killed_at_random_every_serial_has_one_invoice_and_every_result_is_told() {
    let requests = count("TAXDISK_TEST_STORM_REQUESTS", 60);
    let most = count("TAXDISK_TEST_STORM_KILLS", 12);
    let seed = u64::try_from(count("TAXDISK_TEST_SEED", 20_261_129)).unwrap();
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::with_broker_config(HOOKS);
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    let number = sim.with(|rig| rig.disk.config().disk_number.clone());
    rig.wait_online(&number);
    let mut portal = PortalRig::start(&rig);
    let log = portal.dir.join("storm.log");
    let mut storm = Running::start("storm", &log, portal.script("storm.py", &[&requests.to_string()]));
    let (mut kills, mut decided) = ([0_usize; PARTS], 0);
    while storm.ended().is_none() && kills.iter().sum::<usize>() < most && !tail(&log).contains("all accepted") {
        let until = Instant::now() + Duration::from_millis(random.gen_range(300..1500));
        wait_for("the next kill", PATIENCE, || if Instant::now() >= until { Ok(()) } else { Err(String::new()) });
        let turn = kills.iter().sum::<usize>();
        let part = if turn < PARTS { turn } else { random.gen_range(0..PARTS) };
        match part {
            0 => portal.kill_and_restart(),
            1 => {
                rig.broker.kill();
                rig.broker.start_again(None);
            }
            _ => {
                agent.kill();
                agent.start(None);
            }
        }
        kills[part] += 1;
        decided += decide(&rig, &sim);
    }
    assert!(kills.iter().all(|kills| *kills > 0), "the storm was over too soon to prove anything: {kills:?} {}", tail(&log));
    wait_for("the storm's end", PATIENCE * 4, || {
        decided += decide(&rig, &sim);
        storm.ended().ok_or_else(|| tail(&log))
    });
    assert!(storm.ended().is_some_and(|status| status.success()), "{}", tail(&log));
    println!("seed {seed}, {requests} requests, killed {kills:?} (portal, broker, agent), {decided} decided by a person");
    // The disk's own ledger: one invoice for each serial number, and nothing else.
    let jobs = oracle::wait_done(&rig.api, requests, PATIENCE);
    let entries = Ledger::read(&rig.path().join("disk-component")).unwrap();
    oracle::check_entries(&jobs, &entries);
    assert_eq!(entries.len(), requests, "one invoice for each serial number");
    assert_eq!(jobs.iter().map(|job| &job.serial).collect::<BTreeSet<_>>().len(), requests);
}
