//! The agent as a service of Wine's service control manager.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use taxdisk_protocol::api::JobState;
use taxdisk_tests::jobs;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

use super::{DRIVE, PORT, Wine, all_issued, made, submit};

/// Signing takes so long that what comes in between comes in the middle of it.
pub(super) const SIGNING_MS: u64 = 1500;

/// The process of the service, as Linux sees it.
pub(super) fn process() -> Option<u32> {
    let program = made("TAXDISK_TEST_WINDOWS_AGENT");
    let name = program.file_name()?.to_str()?.to_owned();
    let is_it = |folder: &PathBuf| {
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        words.next().is_some_and(|word| word.ends_with(&name)) && words.next().is_some_and(|word| word == "service")
    };
    let folders = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    folders.filter(is_it).find_map(|folder| folder.file_name()?.to_str()?.parse().ok())
}

/// An order with which the disk is at work now.
pub(super) fn at_work(rig: &Rig, serial: &str) {
    submit(rig, &[jobs::toll(serial)]);
    wait_for("the disk to sign", PATIENCE, || match rig.api.job(SELLER, serial).state {
        JobState::Assigned => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn says(log: &Path, word: &str, times: usize) {
    wait_for(word, Duration::from_secs(10), || {
        let text = std::fs::read_to_string(log).map_err(|error| error.to_string())?;
        if text.matches(word).count() >= times { Ok(()) } else { Err(text) }
    });
}

#[test]
fn as_a_service_it_starts_stops_crashes_goes_on_and_is_taken_away() {
    let wine = Wine::start();
    let rig = Rig::new();
    let disk = rig.disk("till", |config| config.issue_time_ms = SIGNING_MS);
    wine.port(PORT, &disk.port);
    let entry = format!("port = \"{PORT}\"\ndialect = \"zc\"\nspeed = 115200\n");
    let program = wine.agent(rig.path());
    let agent = AgentRig::enroll_on_drive(&program, DRIVE, &rig, "shop", "", &[(PORT.to_owned(), entry)]);
    agent.tool(&["install", "--service"]);
    rig.wait_online(&disk.number);
    submit(&rig, &[jobs::toll("SERVICE1")]);
    all_issued(&rig, &disk.state_dir, 1, "as a service");
    let shown = agent.tool(&["status", "--json"]);
    assert!(shown.contains(&disk.number), "{shown}");
    let log = agent.state_dir().join("logs/agent.log");

    // An order to stop with an open intent: it ends first, and well within the limit.
    at_work(&rig, "SERVICE2");
    let begun = Instant::now();
    wine.say(&["net", "stop", "taxdisk-agent"]);
    says(&log, "the agent has stopped", 1);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    wait_for("its end", Duration::from_secs(10), || process().map_or(Ok(()), |process| Err(process.to_string())));
    wine.say(&["net", "start", "taxdisk-agent"]);
    all_issued(&rig, &disk.state_dir, 2, "stopped with an open intent");

    // It crashes in the middle of an order. Windows starts it again by itself, Wine by order only.
    at_work(&rig, "SERVICE3");
    let crashed = process().expect("the service runs");
    let crashed = rustix::process::Pid::from_raw(crashed.cast_signed()).unwrap();
    rustix::process::kill_process(crashed, rustix::process::Signal::KILL).unwrap();
    wait_for("its end", Duration::from_secs(10), || process().map_or(Ok(()), |process| Err(process.to_string())));
    wait_for("the start after a crash", PATIENCE, || {
        let started = wine.command(&["net", "start", "taxdisk-agent"]).output().unwrap();
        if started.status.success() { Ok(()) } else { Err(format!("{started:?}")) }
    });
    all_issued(&rig, &disk.state_dir, 3, "crashed with an open intent");

    let said = agent.tool(&["uninstall", "--keep-key"]);
    assert!(said.contains("taken away") && said.contains("stays good"), "{said}");
    says(&log, "the agent has stopped", 2);
    assert!(agent.tool(&["uninstall", "--keep-key"]).contains("no service"));
    // State and journal stay: it goes on where it was.
    agent.tool(&["install", "--service"]);
    submit(&rig, &[jobs::toll("SERVICE4")]);
    all_issued(&rig, &disk.state_dir, 4, "installed again");
    assert!(!rig.agents()[0].revoked);
    let said = agent.tool(&["uninstall"]);
    assert!(said.contains("revoked agent"), "{said}");
    assert!(rig.agents()[0].revoked, "the broker was asked");
}
