//! A disk belongs to one agent (I7): two claimants, a disk that moves, an owner that comes back late.

use std::time::Duration;

use taxdisk_drivers::sim::faults::{Fault, FaultKind, When};
use taxdisk_protocol::api::{JobState, Waiting};
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};
use taxdisk_tests::{jobs, oracle};

/// Short link times, so that a silent link is dead soon; the rules are the same.
const QUICK_LINK: &str = "[link]\nping_s = 1\nsilence_s = 3\n";

#[test]
fn two_claimants_raise_an_alarm_and_nobody_issues_until_one_is_gone() {
    let rig = Rig::with_broker_config(QUICK_LINK);
    let first = rig.disk("one", |_| ());
    // A second device with the same number inside: a clone, as it must not exist.
    let second = rig.disk("two", |_| ());
    assert_eq!(first.number, second.number);
    let mut a = rig.agent("a", &[&first.port]);
    a.start(None);
    rig.wait_online(&first.number);
    assert_eq!(rig.api.submit(&jobs::toll("C1")).status, 201);
    oracle::wait_done(&rig.api, 1, PATIENCE);

    let mut b = rig.agent("b", &[&second.port]);
    b.start(None);
    wait_for("both claimants on the list", PATIENCE, || {
        let disks = rig.disks();
        if disks.iter().any(|disk| disk.claimants.len() == 2) { Ok(()) } else { Err(format!("{disks:?}")) }
    });
    assert_eq!(rig.api.submit(&jobs::toll("C2")).status, 201);
    let job = wait_for("the job to say why it waits", PATIENCE, || {
        let job = rig.api.try_job(SELLER, "C2")?;
        if job.waiting == Some(Waiting::Contested) { Ok(job) } else { Err(oracle::summary(&job)) }
    });
    assert_eq!(job.state, JobState::Queued);
    assert!(job.attempts.is_empty());
    assert_eq!((first.ledger().len(), second.ledger().len()), (1, 0), "nobody issues");

    b.kill();
    let done = oracle::wait_done(&rig.api, 2, PATIENCE);
    oracle::check(&done, &[&first]);
    assert_eq!((first.ledger().len(), second.ledger().len()), (2, 0));
}

#[test]
fn a_moved_disk_is_taken_over_after_settling_and_the_late_outcome_changes_nothing() {
    let rig = Rig::with_broker_config(QUICK_LINK);
    let disk = rig.disk("one", |_| ());
    let number = disk.number.clone();
    let new_port = rig.path().join("tty-elsewhere");
    // A dies right after its outcome is durable and before it is reported: it knows, the broker does not.
    let mut a = AgentRig::enroll(&rig, "a", &[&disk.port], "");
    let mut b = AgentRig::enroll(&rig, "b", &[&new_port], "");
    a.start(Some("after_outcome:2"));
    rig.wait_online(&number);
    assert_eq!(rig.api.submit(&jobs::toll("M1")).status, 201);
    oracle::wait_done(&rig.api, 1, PATIENCE);
    let epoch_before = rig.disks()[0].epoch;
    assert_eq!(rig.api.submit(&jobs::toll("M2")).status, 201);
    a.running.as_mut().unwrap().wait();

    let disk = disk.moved_to(&new_port);
    b.start(None);
    let done = oracle::wait_done(&rig.api, 2, PATIENCE);
    oracle::check(&done, &[&disk]);
    assert!(rig.disks()[0].epoch > epoch_before, "the epoch only grows");
    assert_eq!(disk.ledger().len(), 2, "B read the number; it did not issue again");
    let m2 = rig.api.job(SELLER, "M2");
    assert_eq!(m2.state, JobState::Issued);
    let revision = m2.revision;

    // A comes back, without the disk, and reports what it had in its outbox.
    a.running = None;
    a.start(None);
    let m2 = wait_for("A's late outcome as evidence", PATIENCE, || {
        let job = rig.api.try_job(SELLER, "M2")?;
        if job.evidence.iter().any(|row| row.what == "late_outcome") { Ok(job) } else { Err(format!("{:?}", job.evidence)) }
    });
    assert_eq!(m2.state, JobState::Issued);
    assert_eq!(m2.attempts.len(), 1, "no further attempt");
    assert!(m2.revision >= revision);
    oracle::check(&rig.api.try_jobs(SELLER).unwrap(), &[&disk]);
    assert_eq!(disk.ledger().len(), 2);
}

#[test]
fn a_late_outcome_makes_the_present_owner_read_the_number() {
    let rig = Rig::with_broker_config(QUICK_LINK);
    let disk = rig.disk("one", |_| ());
    let new_port = rig.path().join("tty-elsewhere");
    let mut a = AgentRig::enroll(&rig, "a", &[&disk.port], "answer_timeout_ms = 1000");
    let mut b = AgentRig::enroll(&rig, "b", &[&new_port], "answer_timeout_ms = 1000");
    a.start(Some("after_outcome:2"));
    rig.wait_online(&disk.number);
    assert_eq!(rig.api.submit(&jobs::toll("L1")).status, 201);
    oracle::wait_done(&rig.api, 1, PATIENCE);
    assert_eq!(rig.api.submit(&jobs::toll("L2")).status, 201);
    a.running.as_mut().unwrap().wait();
    // The disk is at B, but for now no query of B's gets through: B cannot settle by itself.
    let disk = disk.moved_to(&new_port);
    disk.fault(Fault::once(FaultKind::Refuse { jsk: Some(4000), text: None, when: When::Before }).on(0x0C).times(1000));
    b.start(None);
    wait_for("B to own the disk", PATIENCE, || {
        let disks = rig.disks();
        if disks.iter().any(|view| view.agent.is_some() && view.epoch > 1) { Ok(()) } else { Err(format!("{disks:?}")) }
    });
    a.running = None;
    a.start(None);
    wait_for("A's late outcome as evidence", PATIENCE, || {
        let job = rig.api.try_job(SELLER, "L2")?;
        if job.state == JobState::Issued {
            panic!("a late outcome alone never changes the state")
        }
        if job.evidence.iter().any(|row| row.what == "late_outcome") { Ok(()) } else { Err(format!("{:?}", job.evidence)) }
    });
    disk.clear_faults();
    let done = oracle::wait_done(&rig.api, 2, PATIENCE + Duration::from_secs(60));
    oracle::check(&done, &[&disk]);
    assert_eq!(disk.ledger().len(), 2);
}
