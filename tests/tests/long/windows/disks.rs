//! Orders over a COM port and over a tax-control server, and the agent killed at every named point.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use taxdisk_drivers::sim::component::SKSERVER_PATH;
use taxdisk_drivers::sim::faults::{Fault, FaultKind};
use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_protocol::api::JobState;
use taxdisk_tests::jobs;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

use super::{DRIVE, PORT, Wine, all_issued, count, made, paper, quick_profile, served, submit};

/// Points of the agent, in the order of an attempt.
const POINTS: [&str; 9] = [
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
/// Here nothing has gone out, and nobody can know it: the agent was granted the order, and what it did then it does not know.
const IN_DOUBT: [&str; 3] = ["before_intent", "after_intent", "before_send"];

/// The broker has confirmed all that the agent has to tell: a point of reporting is reached with the next job, and not by what is
/// told once more at the start, while that job is on its way to a disk that has no fence.
fn all_told(agent: &AgentRig) {
    wait_for("an empty outbox", PATIENCE, || {
        // It may have been started a moment ago.
        let shown = agent.try_tool(&["status", "--json"])?;
        let status: Value = serde_json::from_str(shown.trim()).map_err(|error| format!("{error}: {shown}"))?;
        if status["outbox"] == 0 { Ok(()) } else { Err(shown) }
    });
}

/// The agent is killed, and the broker knows it. Wine's server keeps a killed program's connections open for a moment more: an
/// order that is handed over on such a one is lost with it, and whoever has no fence must then say that he does not know.
fn killed(agent: &mut AgentRig, rig: &Rig) {
    agent.kill();
    wait_for("the broker to see that the agent is gone", PATIENCE, || {
        let agents = rig.agents();
        if agents.iter().all(|agent| !agent.online) { Ok(()) } else { Err(format!("{agents:?}")) }
    });
}

#[test]
fn over_a_com_port_no_job_is_issued_twice_whatever_is_killed() {
    let wine = Wine::start();
    let rig = Rig::new();
    let disk = rig.disk("till", |config| config.issue_time_ms = 20);
    wine.port(PORT, &disk.port);
    let entry = format!("port = \"{PORT}\"\ndialect = \"zc\"\nspeed = 115200\n");
    let program = wine.agent(rig.path());
    let mut agent = AgentRig::enroll_on_drive(&program, DRIVE, &rig, "shop", "", &[(PORT.to_owned(), entry)]);

    agent.start(None);
    rig.wait_online(&disk.number);
    let shown = agent.tool(&["status"]);
    assert!(shown.contains(PORT) && shown.contains(&disk.number), "{shown}");
    let refused = agent.try_tool(&["run"]).unwrap_err();
    assert!(refused.contains("running on"), "one instance: {refused}");
    let jobs_wanted = count("TAXDISK_TEST_WINDOWS_JOBS", 10);
    let batch: Vec<Value> = (0..jobs_wanted).map(|index| jobs::distinct(&format!("W{index:05}"))).collect();
    submit(&rig, &batch);
    let mut submitted = jobs_wanted;
    all_issued(&rig, &disk.state_dir, submitted, "plain");
    let doctor = agent.tool(&["doctor"]);
    println!("{doctor}");
    assert!(doctor.contains(&disk.number) && doctor.contains(PORT), "{doctor}");
    // No program of Windows is replaced under itself: the installer does that, and the answer says so.
    let update = agent.tool(&["update", "show"]);
    assert!(update.contains("off: ") && update.contains("the installer updates it"), "{update}");
    agent.kill();

    for round in 0..count("TAXDISK_TEST_WINDOWS_ROUNDS", 1) {
        for (turn, point) in POINTS.into_iter().enumerate() {
            agent.start(Some(&format!("{point}:2")));
            let serial = |index| format!("K{round}{turn}{index}");
            let batch = [jobs::toll(&serial(0)), jobs::distinct(&serial(1)), jobs::toll(&serial(2)), jobs::distinct(&serial(3))];
            submit(&rig, &batch);
            submitted += batch.len();
            agent.wait_death_and_restart();
            all_issued(&rig, &disk.state_dir, submitted, point);
            agent.kill();
        }
    }

    // A disk that signed and whose answer was lost: settled by reading, as on Linux.
    disk.fault(Fault::once(FaultKind::LoseAnswerAfterSigning).on(0x0A));
    agent.start(None);
    submit(&rig, &[jobs::coffee("LOST")]);
    all_issued(&rig, &disk.state_dir, submitted + 1, "an answer that was lost");
    agent.kill();
    println!("{} numbers in the disk's ledger for {} jobs", disk.ledger().len(), submitted + 1);
}

#[test]
fn over_a_tax_control_server_no_job_is_issued_twice_whatever_is_killed() {
    let wine = Wine::start();
    let rig = Rig::new();
    let (sim, ledger, config) = served(rig.path());
    let url = format!("http://{}{SKSERVER_PATH}", sim.http().unwrap());
    let entry = format!(
        "url = \"{url}\"\nprofile = \"quick\"\n[disk.skserver]\nterminal = \"1\"\ndisk = \"{}\"\ntaxpayer = \"{SELLER}\"\n\
         taxpayer_name = \"{}\"\nkinds = [\"007\"]\n",
        config.disk_number, config.taxpayer_name
    );
    let program = wine.agent(rig.path());
    let more = quick_profile(&rig, "skserver");
    let mut agent = AgentRig::enroll_on_drive(&program, DRIVE, &rig, "office", &more, &[(url, entry)]);
    agent.start(None);
    rig.wait_online(&config.disk_number);
    let mut submitted = count("TAXDISK_TEST_WINDOWS_JOBS", 10);
    let batch: Vec<Value> = (0..submitted).map(|index| paper(&format!("S{index:05}"))).collect();
    submit(&rig, &batch);
    all_issued(&rig, &ledger, submitted, "plain");
    all_told(&agent);
    killed(&mut agent, &rig);
    for point in POINTS.into_iter().filter(|point| !IN_DOUBT.contains(point)) {
        agent.start(Some(point));
        submit(&rig, &[paper(&format!("S{}", point.replace('_', "")))]);
        submitted += 1;
        agent.wait_death_and_restart();
        all_issued(&rig, &ledger, submitted, point);
        all_told(&agent);
        killed(&mut agent, &rig);
    }
    // A server has no fence: it may still carry out what it took, so that an order of which nothing is found is never given out
    // again. A person must say what became of it.
    agent.start(Some(IN_DOUBT[2]));
    submit(&rig, &[paper("SDOUBT")]);
    agent.wait_death_and_restart();
    wait_for("the doubt", PATIENCE * 2, || match rig.api.job(SELLER, "SDOUBT") {
        job if job.state == JobState::Unsettled => Ok(()),
        job => Err(format!("{job:?}")),
    });
    assert_eq!(Ledger::read(&ledger).unwrap().len(), submitted, "one number for each job that was settled, and no more");
    agent.kill();
    sim.stop();
}

/// What Wine makes of `FlushFileBuffers` is counted: sled flushes the journal over its handle, and the journal once more over its
/// own. Where the drive says no, the agent ends before anything goes to the disk.
#[test]
fn nothing_is_sent_before_the_journal_is_on_the_drive() {
    let wine = Wine::start();
    let rig = Rig::new();
    let disk = rig.disk("till", |config| config.issue_time_ms = 20);
    wine.port(PORT, &disk.port);
    let program = wine.agent(rig.path());
    let entry = format!("port = \"{PORT}\"\ndialect = \"zc\"\nspeed = 115200\n");
    let mut agent = AgentRig::enroll_on_drive(&program, DRIVE, &rig, "shop", "", &[(PORT.to_owned(), entry)]);
    let (log, broken) = (rig.path().join("flushes"), rig.path().join("broken"));
    let library = made("TAXDISK_TEST_WINE_FLUSHES");
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("TAXDISK_FSYNC_LOG", log.to_str().unwrap()),
        ("TAXDISK_FSYNC_FAIL", broken.to_str().unwrap()),
    ];
    agent.start_with(&variables, None);
    rig.wait_online(&disk.number);
    std::fs::write(&log, "").unwrap();
    const JOBS: usize = 5;
    for index in 0..JOBS {
        submit(&rig, &[jobs::toll(&format!("FLUSH{index}"))]);
        all_issued(&rig, &disk.state_dir, index + 1, "one after the other");
    }
    let mut flushes = std::collections::BTreeMap::<String, usize>::new();
    for line in std::fs::read_to_string(&log).unwrap().lines().filter(|line| line.ends_with("/journal/db")) {
        *flushes.entry(line.to_owned()).or_default() += 1;
    }
    println!("{flushes:?}");
    // An intent and an outcome of each job at least, over each of the two.
    let often = flushes.values().filter(|count| **count >= 2 * JOBS).count();
    assert_eq!(often, 2, "{flushes:?}");

    std::fs::write(&broken, "").unwrap();
    submit(&rig, &[jobs::toll("BROKEN")]);
    wait_for("the agent to end", PATIENCE, || if agent.is_running() { Err(agent.log()) } else { Ok(()) });
    assert_eq!(disk.ledger().len(), JOBS, "nothing was signed without a journal");
    std::fs::remove_file(&broken).unwrap();
    agent.start(None);
    all_issued(&rig, &disk.state_dir, JOBS + 1, "with a drive that is well again");
    agent.kill();
}

/// Wine shows Linux's modes as access lists, and makes modes of those that are set.
#[test]
fn what_is_private_is_made_so_and_refused_where_it_is_not() {
    let wine = Wine::start();
    let rig = Rig::new();
    let program = wine.agent(rig.path());
    let mut agent = AgentRig::enroll_on_drive(&program, DRIVE, &rig, "private", "", &[]);
    let key = agent.state_dir().join("agent.key");
    for path in [&key, &agent.state_dir()] {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        // Wine shows administrators as the group.
        assert_eq!(mode & 0o007, 0, "{}: {mode:o}", path.display());
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    agent.start(None);
    wait_for("it to refuse", PATIENCE, || if agent.is_running() { Err(agent.log()) } else { Ok(()) });
    let refused = agent.log();
    assert!(refused.contains("Other users of this PC can get at") && refused.contains("agent.key"), "{refused}");
}
