//! Updates of the agent by itself: taken when they are signed and nothing is open, left when they do not work, killed at every
//! step. After each the agent issues again, and the disk's own ledger says that no job was touched (I1, I2).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minisign::KeyPair;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use taxdisk_drivers::sim::faults::{Fault, FaultKind, When};
use taxdisk_protocol::api::{AgentView, JobState};
use taxdisk_protocol::update::{UpdateState, target};
use taxdisk_tests::drive::Drive;
use taxdisk_tests::jobs::{self, SELLER};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, binary, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig, SimRig};

/// The code of the issuing command.
const ISSUE: u8 = 0x0A;
/// The old version issues again within this time, whatever became of the new one.
const AGAIN: Duration = Duration::from_secs(90);

/// A broker with a folder of releases, a disk, and an agent that trusts their key.
struct Bench {
    rig: Rig,
    disk: SimRig,
    others: Vec<SimRig>,
    agent: AgentRig,
    pair: KeyPair,
    releases: tempfile::TempDir,
    sold: u32,
}

impl Bench {
    fn new() -> Bench {
        let releases = tempfile::Builder::new().prefix("taxdisk-releases-").tempdir().unwrap();
        let rig = Rig::with_broker_config(&format!("[updates]\ndir = {:?}\n", releases.path()));
        let disk = rig.disk("till", |_| ());
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let port = disk.port.display().to_string();
        let entry = format!("port = {port:?}\ndialect = \"zc\"\nspeed = 115200\n");
        let more = format!("[update]\nkeys = [{:?}]\n", pair.pk.to_base64());
        let agent = AgentRig::enroll_disks(&rig, "shop", &more, &[(port, entry)]);
        Bench { rig, disk, others: Vec::new(), agent, pair, releases, sold: 0 }
    }

    /// Starts the agent, perhaps to die at a named point.
    fn start(&mut self, point: Option<&str>) {
        self.agent.start_with(&[("TAXDISK_UPDATE_QUIET_MS", "300")], point);
    }

    /// Puts a program into the broker's folder as this version, signed by this key.
    fn publish(&self, version: &str, program: &[u8], signer: &KeyPair) {
        let file = format!("taxdisk-agent-{version}-{}", target());
        let manifest = json!({
            "format": 1, "product": "taxdisk-agent", "version": version, "channel": "stable", "target": target(), "file": file,
            "size_bytes": program.len(), "sha256": hex::encode(Sha256::digest(program)), "from": "0.1.0",
        })
        .to_string();
        let signature = minisign::sign(Some(&signer.pk), &signer.sk, manifest.as_bytes(), None, None).unwrap();
        let put = |name: String, content: &[u8]| std::fs::write(self.releases.path().join(name), content).unwrap();
        put(file.clone(), program);
        put(format!("{file}.json.minisig"), signature.to_string().as_bytes());
        put(format!("{file}.json"), manifest.as_bytes());
    }

    fn offer(&self, versions: &str) {
        let answer = self.rig.api.put("/v1/updates", &json!({"channel": "stable", "versions": versions}));
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    fn view(&self) -> AgentView {
        self.rig.agents().remove(0)
    }

    /// Waits until the agent is linked and says this.
    fn wait_view(&self, what: &str, wanted: impl Fn(&AgentView) -> bool) -> AgentView {
        wait_for(what, PATIENCE, || {
            let view = self.view();
            if view.online && wanted(&view) { Ok(view) } else { Err(format!("{view:?}\n{}", self.agent.log())) }
        })
    }

    fn wait_version(&self, version: &str) {
        self.wait_view(&format!("version {version}"), |view| view.version == version);
    }

    /// Sells something, and waits for its invoice: one attempt, one more on the disk.
    fn sell(&mut self) {
        self.sold += 1;
        let serial = format!("U{}", self.sold);
        assert_eq!(self.rig.api.submit(&jobs::toll(&serial)).status, 201);
        self.issued(&serial);
    }

    fn issued(&self, serial: &str) {
        let job = wait_for(&format!("job {serial}"), AGAIN, || {
            let job = self.rig.api.try_job(SELLER, serial)?;
            if job.state == JobState::Issued { Ok(job) } else { Err(oracle::summary(&job)) }
        });
        assert_eq!(job.attempts.len(), 1, "no update touches a job: {job:?}");
        // Any disk of the seller may have got it.
        let disks = std::iter::once(&self.disk).chain(&self.others);
        assert_eq!(disks.map(|disk| disk.ledger().len()).sum::<usize>(), self.sold as usize);
    }

    /// A program that starts, with the address of a broker that is not there.
    fn unlinked(&self) -> Vec<u8> {
        let dead = self.rig.path().join("dead.toml");
        let config = std::fs::read_to_string(self.agent.dir.join("agent.toml")).unwrap();
        std::fs::write(&dead, config.replace(&self.rig.broker.url, "http://127.0.0.1:9")).unwrap();
        script(&format!("exec {} run --config {}", binary("taxdisk-agent").display(), dead.display()))
    }

    fn shown(&self) -> Value {
        serde_json::from_str(&self.agent.tool(&["update", "show", "--json"])).unwrap()
    }

    /// Ends what it has started, and sees that nothing was left behind that holds the state folder.
    fn finish(mut self) {
        self.agent.terminate();
        self.start(None);
        self.rig.wait_online(&self.disk.number);
        self.agent.terminate();
    }
}

/// This very program as another version.
fn as_version(version: &str) -> Vec<u8> {
    let mut program = std::fs::read(binary("taxdisk-agent")).unwrap();
    program.extend_from_slice(format!("\ntaxdisk-test-version:{version}\n").as_bytes());
    program
}

fn script(text: &str) -> Vec<u8> {
    format!("#!/bin/sh\n{text}\n").into_bytes()
}

#[test]
fn a_signed_version_is_taken_in_the_same_process_and_stays() {
    let mut bench = Bench::new();
    bench.publish("9.0.0", &as_version("9.0.0"), &bench.pair);
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    let process = bench.agent.running.as_ref().unwrap().pid();
    assert_eq!(bench.wait_view("its word", |view| view.update.is_some()).update.unwrap().state, UpdateState::Current);
    bench.offer("*");
    bench.wait_version("9.0.0");
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    assert_eq!(bench.agent.running.as_mut().unwrap().ended(), None);
    assert_eq!(bench.agent.running.as_ref().unwrap().pid(), process, "the service is the same process to whoever watches it");
    let shown = bench.shown();
    assert_eq!((&shown["version"], &shown["current"], &shown["starts"]), (&"9.0.0".into(), &"9.0.0".into(), &0.into()));
    assert!(bench.rig.metrics().contains("taxdisk_agent_updates{state=\"current\"} 1"), "{}", bench.rig.metrics());
    // Restarted, the installed program starts that version.
    bench.agent.terminate();
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.wait_version("9.0.0");
    bench.sell();
    // Its program is damaged on the drive: the installed version runs, and says why.
    bench.agent.terminate();
    let program = bench.agent.state_dir().join("versions/9.0.0/taxdisk-agent");
    let mut bytes = std::fs::read(&program).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&program, bytes).unwrap();
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    let view = bench.wait_view("the installed version", |view| view.update.as_ref().is_some_and(|one| !one.failed.is_empty()));
    assert_eq!(view.version, env!("CARGO_PKG_VERSION"));
    assert!(view.update.as_ref().unwrap().failed[0].reason.contains("not the one that was signed"), "{view:?}");
    bench.sell();
    bench.finish();
}

#[test]
fn a_job_that_is_open_comes_first() {
    let mut bench = Bench::new();
    bench.publish("9.0.0", &as_version("9.0.0"), &bench.pair);
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.disk.fault(Fault::once(FaultKind::Stall { ms: 6000, when: When::After }).on(ISSUE));
    bench.sold += 1;
    assert_eq!(bench.rig.api.submit(&jobs::toll("U1")).status, 201);
    wait_for("its beginning", PATIENCE, || {
        let job = bench.rig.api.try_job(SELLER, "U1")?;
        if job.attempts.iter().any(|attempt| attempt.started_at.is_some()) { Ok(()) } else { Err(oracle::summary(&job)) }
    });
    bench.offer("*");
    let waiting = |view: &AgentView| view.update.as_ref().is_some_and(|one| one.state == UpdateState::Waiting);
    let view = bench.wait_view("it to wait", |view| waiting(view) && view.update.as_ref().unwrap().text.contains("at work"));
    assert_eq!(view.version, env!("CARGO_PKG_VERSION"));
    assert_ne!(bench.rig.api.try_job(SELLER, "U1").unwrap().state, JobState::Issued, "it waited while the disk was at work");
    bench.issued("U1");
    bench.wait_version("9.0.0");
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    bench.finish();
}

/// Dies at the point, is started again as systemd would do it, and issues what came meanwhile. `old`: the version that was there
/// before runs first.
fn killed_at(point: &str, old: bool) {
    let mut bench = Bench::new();
    bench.publish("9.0.0", &as_version("9.0.0"), &bench.pair);
    bench.start(Some(point));
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    bench.offer("*");
    let died = bench.agent.running.as_mut().unwrap().wait();
    assert_eq!(died.code(), None, "{point}: {died}");
    let began = Instant::now();
    bench.sold += 1;
    assert_eq!(bench.rig.api.submit(&jobs::toll("U2")).status, 201);
    let before = bench.agent.log().len();
    bench.agent.running = None;
    bench.start(None);
    bench.issued("U2");
    assert!(began.elapsed() < AGAIN, "{point}: {:?}", began.elapsed());
    let log = bench.agent.log().split_off(before);
    let first = if old { env!("CARGO_PKG_VERSION") } else { "9.0.0" };
    let started = log.lines().find(|line| line.contains("the agent starts")).unwrap_or_default();
    assert!(started.contains(&format!("version=\"{first}\"")), "{point}: {log}");
    // What was cut off is taken up again.
    bench.wait_version("9.0.0");
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
}

#[test]
fn killed_while_it_is_fetched_the_old_version_runs_and_takes_it_up_again() {
    for point in ["update_offered", "update_begun", "update_fetched", "update_stored"] {
        killed_at(point, true);
    }
}

#[test]
fn killed_before_the_switch_the_old_version_runs_and_takes_it_up_again() {
    for point in ["update_drained", "update_marked", "update_on_trial"] {
        killed_at(point, true);
    }
}

#[test]
fn killed_around_the_switch_one_version_runs_and_issues() {
    killed_at("update_proven", true);
    killed_at("update_switched", false);
}

#[test]
fn a_version_that_dies_on_trial_is_left_and_not_tried_again() {
    let mut bench = Bench::new();
    bench.publish("9.0.0", &as_version("9.0.0"), &bench.pair);
    bench.start(Some("trial_proven"));
    bench.rig.wait_online(&bench.disk.number);
    bench.offer("*");
    left(&mut bench, "9.0.0", "signal 9");
    bench.finish();
}

/// The version was tried, and left for this reason; the old one issues within its time, and does not try it again.
fn left(bench: &mut Bench, version: &str, reason: &str) {
    let began = Instant::now();
    let failed = |view: &AgentView| {
        let update = view.update.as_ref();
        update.and_then(|update| update.failed.iter().find(|failed| failed.version == version).cloned())
    };
    let view = bench.wait_view(&format!("{version} to be left"), |view| failed(view).is_some());
    bench.sell();
    assert!(began.elapsed() < AGAIN, "{version}: {:?}", began.elapsed());
    assert_eq!(view.version, env!("CARGO_PKG_VERSION"));
    let failed = failed(&view).unwrap();
    assert!(failed.reason.contains(reason), "{failed:?}\n{}", bench.agent.log());
    // It joined again after that, and was offered the same again.
    bench.wait_view("its refusal", |view| view.update.as_ref().is_some_and(|one| one.state == UpdateState::Failed));
    let tried = bench.agent.log().matches(&format!("version={version} the new version is on trial")).count()
        + bench.agent.log().matches(&format!("the new version is on trial version={version}")).count();
    assert_eq!(tried, 1, "{}", bench.agent.log());
}

#[test]
fn versions_that_do_not_work_are_left_by_themselves() {
    let mut bench = Bench::new();
    // A minute for each of those that do not end by themselves is for `test-long`.
    let limit_ms = std::env::var("TAXDISK_TEST_TRIAL_MS").unwrap_or_else(|_| "4000".to_owned());
    let limit = format!("not proven within {} s", limit_ms.parse::<u64>().unwrap() / 1000);
    bench.agent.start_with(&[("TAXDISK_UPDATE_QUIET_MS", "300"), ("TAXDISK_UPDATE_TRIAL_MS", &limit_ms)], None);
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    let unlinked = bench.unlinked();
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("9.0.1", b"\x7fELF, and then nothing that a system knows".to_vec(), "cannot be started"),
        ("9.0.2", script("exit 127"), "exit code 127"),
        ("9.0.3", script("exit 0"), "without a proof"),
        ("9.0.4", script("exec sleep 600"), &limit),
        ("9.0.5", unlinked, &limit),
        ("9.0.6", as_version("9.1.0"), "another version (9.1.0)"),
    ];
    for (version, program, reason) in cases {
        bench.publish(version, &program, &bench.pair);
        bench.offer(&format!("={version}"));
        left(&mut bench, version, reason);
    }
    // A person allows one again: it is tried once more.
    bench.agent.tool(&["update", "retry", "9.0.3"]);
    assert!(bench.agent.try_tool(&["update", "retry", "8.0.0"]).unwrap_err().contains("not among those"));
    assert_eq!(bench.shown()["failed"].as_array().unwrap().len(), 5);
    let doctor = bench.agent.try_tool(&["doctor"]).unwrap_or_else(|said| said);
    assert!(doctor.contains("agent.updates") && doctor.contains("9.0.6"), "{doctor}");
    bench.finish();
}

/// The new version reaches the broker and one of two disks: it is not proven, and as long as it is on trial it owns no disk.
#[test]
fn an_agent_on_trial_owns_no_disk_and_every_disk_must_read_well() {
    let mut bench = Bench::new();
    let other = bench.rig.disk("till-2", |config| config.disk_number = "499000999999".to_owned());
    let mut config = std::fs::read_to_string(bench.agent.dir.join("agent.toml")).unwrap();
    config += &format!("[[disk]]\nport = {:?}\ndialect = \"zc\"\nspeed = 115200\n", other.port.display().to_string());
    std::fs::write(bench.agent.dir.join("agent.toml"), config).unwrap();
    bench.agent.set_secret(&other.port);
    bench.agent.start_with(&[("TAXDISK_UPDATE_QUIET_MS", "300"), ("TAXDISK_UPDATE_TRIAL_MS", "12000")], None);
    bench.rig.wait_online(&bench.disk.number);
    bench.rig.wait_online(&other.number);
    bench.publish("9.0.0", &as_version("9.0.0"), &bench.pair);
    bench.offer("*");
    let logged = |bench: &Bench, part: &str| {
        wait_for(part, PATIENCE, || match bench.agent.log().find(part) {
            Some(at) => Ok(at),
            None => Err(bench.agent.log()),
        })
    };
    let began = logged(&bench, "is on trial");
    other.handle.unplug();
    let ended = logged(&bench, "the new version did not work");
    let log = bench.agent.log();
    let trial = &log[began..ended];
    assert!(trial.contains("version=\"9.0.0\"") && trial.contains("the link to the broker is up"), "{trial}");
    assert!(!trial.contains("owns the disk"), "nothing is granted to what is on trial: {trial}");
    other.replug();
    let number = other.number.clone();
    bench.others.push(other);
    left(&mut bench, "9.0.0", "not proven within 12 s");
    bench.rig.wait_online(&number);
    bench.finish();
}

#[test]
fn killed_in_the_middle_of_a_trial_nothing_of_it_stays_in_the_way() {
    let mut bench = Bench::new();
    bench.publish("9.0.0", &bench.unlinked(), &bench.pair);
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.offer("*");
    wait_for("the new version to run beside it", PATIENCE, || match bench.agent.log().matches("the agent starts").count() {
        2 => Ok(()),
        _ => Err(bench.agent.log()),
    });
    bench.agent.kill();
    assert_eq!(bench.rig.api.try_delete("/v1/updates").unwrap().status, 204);
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    assert_eq!(bench.shown()["failed"], json!([]), "a trial that was cut off says nothing about the version");
    bench.finish();
}

#[test]
fn what_is_not_genuine_is_never_tried() {
    let mut bench = Bench::new();
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    let stranger = KeyPair::generate_unencrypted_keypair().unwrap();
    bench.publish("9.0.0", &as_version("9.0.0"), &stranger);
    bench.offer("*");
    let says = |bench: &Bench, part: &str| {
        bench.wait_view(part, |view| view.update.as_ref().is_some_and(|update| update.text.contains(part)))
    };
    says(&bench, "not of a key that this agent trusts");
    // Signed, and then exchanged for another program of the same size.
    let good = as_version("9.0.1");
    bench.publish("9.0.1", &good, &bench.pair);
    let mut bad = good.clone();
    bad[1000] ^= 1;
    std::fs::write(bench.releases.path().join(format!("taxdisk-agent-9.0.1-{}", target())), bad).unwrap();
    bench.offer("=9.0.1");
    says(&bench, "not the program that was signed");
    assert!(!bench.agent.log().contains("on trial"), "{}", bench.agent.log());
    assert!(!bench.agent.state_dir().join("versions/9.0.1").exists());
    assert_eq!(bench.view().version, env!("CARGO_PKG_VERSION"));
    // Programs are for linked agents: without the word that they are told there is nothing.
    let file = format!("taxdisk-agent-9.0.1-{}", target());
    assert_eq!(bench.rig.api.get(&format!("/v1/updates/00000000000000000000000000000000/{file}")).status, 404);
    bench.sell();
    bench.finish();
}

#[test]
fn an_agent_that_is_stopped_during_a_trial_ends_at_once_and_blames_nobody() {
    let mut bench = Bench::new();
    bench.publish("9.0.0", &script("exec sleep 600"), &bench.pair);
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.offer("*");
    wait_for("the trial", PATIENCE, || match bench.agent.log().contains("is on trial") {
        true => Ok(()),
        false => Err(bench.agent.log()),
    });
    let began = Instant::now();
    bench.agent.terminate();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let shown = bench.shown();
    assert_eq!((&shown["failed"], &shown["trial"]), (&json!([]), &Value::Null), "{shown}");
    // Nothing is left that holds the folder; the old version issues.
    assert_eq!(bench.rig.api.try_delete("/v1/updates").unwrap().status, 204);
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    bench.finish();
}

/// An agent in the background, which is nobody's child.
struct Background(PathBuf);

impl Background {
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(std::fs::read_to_string(&self.0).ok()?.trim().parse().ok()?)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[test]
fn in_the_background_too_a_broken_version_is_left_and_a_good_one_taken() {
    let mut bench = Bench::new();
    let (pid_file, log_file) = (bench.rig.path().join("agent.pid"), bench.agent.dir.join("agent.log"));
    let background = Background(pid_file.clone());
    let run = ["run", "--daemon", "--pid-file", &pid_file.display().to_string(), "--log-file", &log_file.display().to_string()];
    let mut start = bench.agent.command(&run);
    start.env("TAXDISK_UPDATE_QUIET_MS", "300");
    assert!(start.status().unwrap().success());
    let process = background.pid().unwrap();
    bench.rig.wait_online(&bench.disk.number);
    bench.publish("9.0.1", b"no program", &bench.pair);
    bench.offer("*");
    left(&mut bench, "9.0.1", "cannot be started");
    bench.publish("9.0.2", &as_version("9.0.2"), &bench.pair);
    bench.offer("^9");
    bench.wait_version("9.0.2");
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    assert_eq!(background.pid(), Some(process));
    let refused = bench.agent.try_tool(&run).unwrap_err();
    assert!(refused.contains(&process.as_raw_pid().to_string()), "a second one is refused: {refused}");
    kill_process(process, Signal::TERM).unwrap();
    wait_for("the pid file to go", PATIENCE, || if pid_file.exists() { Err("it is there".into()) } else { Ok(()) });
    bench.start(None);
    bench.wait_version("9.0.2");
    bench.finish();
}

#[test]
fn what_a_package_manager_installed_is_left_to_it() {
    let mut bench = Bench::new();
    let root = bench.rig.path().join("root");
    installed(&root);
    bench.agent.program = root.join("bin/taxdisk-agent");
    bench.publish("9.0.0", &as_version("9.0.0"), &bench.pair);
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.offer("*");
    let view = bench.wait_view("its word", |view| view.update.is_some());
    let update = view.update.unwrap();
    assert!(update.state == UpdateState::Off && update.text.contains("dpkg"), "{update:?}");
    bench.sell();
    assert!(!bench.agent.state_dir().join("versions").exists(), "nothing was fetched");
    bench.finish();
}

#[test]
fn a_drive_that_is_full_in_the_middle_of_a_program_costs_neither_the_old_version_nor_an_invoice() {
    let mut bench = Bench::new();
    // The state folder has room and says so; what holds the versions is full after some of the program: ENOSPC of the kernel.
    let versions = bench.agent.state_dir().join("versions");
    let drive = Drive::mount(versions.clone(), "8m");
    let program = as_version("9.0.0");
    assert!(program.len() > 16 << 20, "it does not fit, by far");
    bench.publish("9.0.0", &program, &bench.pair);
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    bench.offer("*");
    let full = |view: &AgentView| view.update.as_ref().is_some_and(|update| update.text.contains("the drive is full"));
    let update = bench.wait_view("its word", full).update.unwrap();
    assert!(update.text.contains("No space left on device") && update.text.contains("Make room"), "{update:?}");
    assert!(update.failed.is_empty(), "that is no fault of the version: {update:?}");
    assert_eq!(std::fs::read_dir(&versions).unwrap().count(), 0, "nothing half-installed is left, and no room is held");
    bench.sell();
    assert_eq!(bench.shown()["current"], Value::Null);
    // Restarted on the full drive, the old version issues.
    bench.agent.terminate();
    bench.start(None);
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    // With room it is taken, without anybody's help.
    bench.wait_view("its word again", full);
    drive.remount("size=1g");
    bench.wait_version("9.0.0");
    bench.rig.wait_online(&bench.disk.number);
    bench.sell();
    bench.finish();
}

/// A root with the agent in it, as a package leaves it.
fn installed(root: &Path) {
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::create_dir_all(root.join("share/taxdisk-agent")).unwrap();
    let program = root.join("bin/taxdisk-agent");
    std::fs::copy(binary("taxdisk-agent"), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(root.join("share/taxdisk-agent/installed-by"), "dpkg\n").unwrap();
}
