//! The agent for Windows under Wine, against a broker and simulated disks on Linux. `cargo xtask windows --test` builds
//! the program
//! and runs this.
//!
//! Wine is not Windows: what it shows is that the program's own code does there what it does on Linux. What only a real
//! Windows can
//! show is listed in docs/install-windows.md.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use taxdisk_drivers::sim::component::SKSERVER_PATH;
use taxdisk_drivers::sim::config::{Segment, SimConfig};
use taxdisk_drivers::sim::faults::{Fault, FaultKind};
use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_drivers::sim::{HttpOptions, SimHandle, SimOptions, bridge, serve};
use taxdisk_protocol::api::JobState;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};
use taxdisk_tests::{jobs, oracle};

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
/// Above COM9 a port has a name only in the name space of devices.
const PORT: &str = "COM21";
/// Where Wine shows the root of this PC.
const DRIVE: &str = "Z:";
/// Debian's own wrapper of it complains of 32-bit programs, which are not used.
const LOADER: &str = "/usr/lib/wine/wine64";
const SERVER: &str = "/usr/lib/wine/wineserver64";

fn count(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a count")))
}

fn made(name: &str) -> PathBuf {
    let value = std::env::var_os(name).map(PathBuf::from);
    value.unwrap_or_else(|| panic!("{name} is missing: run `cargo xtask windows --test`, which makes what these tests need"))
}

/// One Windows. Its drive is one folder, so that tests take turns.
struct Wine {
    prefix: PathBuf,
    /// Somebody who is signed in: without any program of a user Wine ends its services. It waits for words that never come.
    user: Option<Child>,
    _turn: MutexGuard<'static, ()>,
}

impl Wine {
    fn start() -> Wine {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wine = Wine { prefix: made("TAXDISK_TEST_WINE"), user: None, _turn: turn };
        std::fs::create_dir_all(&wine.prefix).unwrap();
        let booted = wine.command(&["wineboot", "--init"]).output().unwrap();
        assert!(booted.status.success(), "{booted:?}");
        let user = wine.command(&["cmd"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        wine.user = Some(user.unwrap());
        // What a run that was cut off left would be started again, and hold the port.
        let agent = made("TAXDISK_TEST_WINDOWS_AGENT").display().to_string();
        wine.say(&[&agent, "uninstall"]);
        // A crash is to end a program, not to open a debugger.
        wine.say(&["reg", "add", r"HKLM\Software\Microsoft\Windows NT\CurrentVersion\AeDebug", "/v", "Auto", "/d", "1", "/f"]);
        wine.say(&[
            "reg",
            "add",
            r"HKLM\Software\Microsoft\Windows NT\CurrentVersion\AeDebug",
            "/v",
            "Debugger",
            "/d",
            "false",
            "/f",
        ]);
        wine
    }

    /// A program of Windows with its arguments.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(LOADER);
        command.args(words);
        self.dress(&mut command);
        command
    }

    fn dress(&self, command: &mut Command) {
        command.env("WINEPREFIX", &self.prefix).env("WINELOADER", LOADER).env("WINEDEBUG", "-all").env("WINEARCH", "win64");
    }

    /// Runs one to its good end.
    fn say(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{words:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        text
    }

    /// The port of this name leads to this pseudo-terminal.
    fn port(&self, name: &str, leads_to: &Path) {
        let link = self.prefix.join("dosdevices").join(name.to_lowercase());
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(leads_to, link).unwrap();
    }

    /// A script that is the agent: it becomes the program of Windows, with the same process number, so that a kill hits that.
    fn agent(&self, folder: &Path) -> PathBuf {
        let script = folder.join("taxdisk-agent");
        let text = format!(
            "#!/bin/sh\nWINEPREFIX='{}' WINELOADER={LOADER} WINEDEBUG=-all WINEARCH=win64 exec {LOADER} '{}' \"$@\"\n",
            self.prefix.display(),
            made("TAXDISK_TEST_WINDOWS_AGENT").display()
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        script
    }
}

impl Drop for Wine {
    /// Ends what runs in this Windows, and nothing else.
    fn drop(&mut self) {
        let mut command = Command::new(SERVER);
        command.arg("-k");
        self.dress(&mut command);
        let _ = command.output();
        if let Some(mut user) = self.user.take() {
            let _ = user.kill();
            let _ = user.wait();
        }
    }
}

fn submit(rig: &Rig, batch: &[Value]) {
    for line in rig.api.batch(batch).unwrap() {
        assert!(matches!(line.status, 200 | 201), "{line:?}");
    }
}

/// Waits until the broker has told everything that was submitted, and holds it against the disk.
fn all_issued(rig: &Rig, ledger: &Path, submitted: usize, what: &str) {
    let done = oracle::wait_done(&rig.api, submitted, PATIENCE * 2);
    let other = done.iter().find(|job| job.state != JobState::Issued);
    assert!(other.is_none(), "{what}: {:?}", other.map(oracle::summary));
    let entries = Ledger::read(ledger).unwrap();
    oracle::check_entries(&done, &entries);
    assert_eq!(entries.len(), submitted, "{what}: one number for each job, and no more");
}

#[test]
fn over_a_com_port_no_job_is_issued_twice_whatever_is_killed() {
    let wine = Wine::start();
    let rig = Rig::new();
    let disk = rig.disk("till", |config| config.issue_time_ms = 20);
    wine.port(PORT, &disk.port);
    let entry = format!("port = \"{PORT}\"\ndialect = \"zc\"\nspeed = 115200\n");
    let program = wine.agent(rig.path());
    let mut agent = AgentRig::enroll_on_drive(&program, DRIVE, &rig, "shop", &[(PORT.to_owned(), entry)]);

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
    let doctor = agent.tool(&["doctor", "--json"]);
    println!("{doctor}");
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

/// A disk behind the tax-control server, with a paper roll of its own.
fn served(dir: &Path) -> (SimHandle, PathBuf, SimConfig) {
    let number = |value| taxdisk_protocol::number::InvoiceNumber::new(value).unwrap();
    let segment = Segment {
        kind: InvoiceKind::PaperOrdinary,
        code: "1100200320".parse().unwrap(),
        first: number(1),
        last: number(900_000),
        bought_at: None,
        closed: false,
    };
    let config = SimConfig {
        taxpayer_number: SELLER.to_owned(),
        kinds: vec![InvoiceKind::PaperOrdinary],
        segments: vec![segment],
        ..bridge::fresh_disk()
    };
    let state_dir = dir.join("disk-server");
    let options = SimOptions {
        state_dir: state_dir.clone(),
        link: Some(dir.join("tty-server")),
        http: Some(HttpOptions::default()),
        config: config.clone(),
        ..SimOptions::default()
    };
    (serve(options).unwrap(), state_dir, config)
}

fn paper(serial: &str) -> Value {
    let mut job = jobs::distinct(serial);
    job["kind"] = json!("007");
    job["invoice"]["lines"][0]["name"] = json!("*纸制品*打印纸");
    job["invoice"]["lines"][0]["goods_code"] = json!("1060105000000000000");
    job
}

#[test]
fn over_a_tax_control_server_no_job_is_issued_twice_whatever_is_killed() {
    let wine = Wine::start();
    let rig = Rig::new();
    let (sim, ledger, config) = served(rig.path());
    let url = format!("http://{}{SKSERVER_PATH}", sim.http().unwrap());
    let entry = format!(
        "url = \"{url}\"\nprofile = \"skserver\"\n[disk.skserver]\nterminal = \"1\"\ndisk = \"{}\"\ntaxpayer = \"{SELLER}\"\n\
         taxpayer_name = \"{}\"\nkinds = [\"007\"]\n",
        config.disk_number, config.taxpayer_name
    );
    let program = wine.agent(rig.path());
    let mut agent = AgentRig::enroll_on_drive(&program, DRIVE, &rig, "office", &[(url, entry)]);
    agent.start(None);
    rig.wait_online(&config.disk_number);
    let mut submitted = count("TAXDISK_TEST_WINDOWS_JOBS", 10);
    let batch: Vec<Value> = (0..submitted).map(|index| paper(&format!("S{index:05}"))).collect();
    submit(&rig, &batch);
    all_issued(&rig, &ledger, submitted, "plain");
    agent.kill();
    // Points at which nothing is in doubt: what may still run at a server without a fence is waited for, 120 s for each.
    for point in ["before_intent", "after_outcome"] {
        agent.start(Some(point));
        submit(&rig, &[paper(&format!("S{}", point.replace('_', "")))]);
        submitted += 1;
        agent.wait_death_and_restart();
        all_issued(&rig, &ledger, submitted, point);
        agent.kill();
    }
    sim.stop();
}

#[test]
fn as_a_service_it_starts_issues_stops_in_order_and_is_taken_away() {
    let wine = Wine::start();
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    wine.port(PORT, &disk.port);
    let entry = format!("port = \"{PORT}\"\ndialect = \"zc\"\nspeed = 115200\n");
    let program = wine.agent(rig.path());
    let agent = AgentRig::enroll_on_drive(&program, DRIVE, &rig, "shop", &[(PORT.to_owned(), entry)]);
    agent.tool(&["install", "--service"]);
    rig.wait_online(&disk.number);
    submit(&rig, &[jobs::toll("SERVICE1")]);
    all_issued(&rig, &disk.state_dir, 1, "as a service");
    let shown = agent.tool(&["status", "--json"]);
    assert!(shown.contains(&disk.number), "{shown}");
    let said = agent.tool(&["uninstall"]);
    assert!(said.contains("taken away"), "{said}");
    let log = agent.state_dir().join("logs/agent.log");
    wait_for("its last word", Duration::from_secs(10), || {
        let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        if text.contains("the agent has stopped") { Ok(()) } else { Err(text) }
    });
    assert!(agent.tool(&["uninstall"]).contains("no service"));
    // State and journal stay: it goes on where it was.
    let mut agent = agent;
    agent.start(None);
    submit(&rig, &[jobs::toll("SERVICE2")]);
    all_issued(&rig, &disk.state_dir, 2, "after the service");
    agent.kill();
}
