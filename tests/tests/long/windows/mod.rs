//! The agent for Windows under Wine, against a broker and simulated disks on Linux. `cargo xtask windows --test` builds the
//! programs and runs this.
//!
//! Wine is not Windows: what it shows is that the program's own code does there what it does on Linux. What only a real Windows
//! can show is listed in docs/install-windows.md.

mod component;
mod disks;
mod installer;
mod service;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use taxdisk_drivers::sim::config::{Segment, SimConfig};
use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_drivers::sim::{HttpOptions, SimHandle, SimOptions, bridge, serve};
use taxdisk_protocol::api::JobState;
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::PATIENCE;
use taxdisk_tests::rig::Rig;
use taxdisk_tests::{jobs, oracle};

/// Above COM9 a port has a name only in the name space of devices.
const PORT: &str = "COM21";
/// Where Wine shows the root of this PC.
const DRIVE: &str = "Z:";
/// Debian's own wrapper of it complains of 32-bit programs, which are not used.
const LOADER: &str = "/usr/lib/wine/wine64";
const SERVER: &str = "/usr/lib/wine/wineserver64";

/// What Windows does when a program crashed.
const AFTER_A_CRASH: &str = r"HKLM\Software\Microsoft\Windows NT\CurrentVersion\AeDebug";
const AFTER_A_CRASH_DO_NOTHING: [(&str, &str); 2] = [("Auto", "1"), ("Debugger", "false")];

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
        Wine::start_on(made("TAXDISK_TEST_WINE"))
    }

    /// One on a drive of its own.
    fn start_on(prefix: PathBuf) -> Wine {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wine = Wine { prefix, user: None, _turn: turn };
        std::fs::create_dir_all(&wine.prefix).unwrap();
        let booted = wine.command(&["wineboot", "--init"]).output().unwrap();
        assert!(booted.status.success(), "{booted:?}");
        let user = wine.command(&["cmd"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let user = wine.user.insert(user.unwrap());
        // Whoever is first starts Wine's own processes, which keep his output open for ever: it has to be this one.
        user.stdin.as_mut().unwrap().write_all(b"echo signed in\r\n").unwrap();
        let mut said = BufReader::new(user.stdout.as_mut().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().contains("signed in")));
        // What a run that was cut off left would be started again, and hold the port.
        let agent = made("TAXDISK_TEST_WINDOWS_AGENT").display().to_string();
        wine.say(&[&agent, "uninstall"]);
        // A crash is to end a program, not to open a debugger.
        for (name, value) in AFTER_A_CRASH_DO_NOTHING {
            wine.say(&["reg", "add", AFTER_A_CRASH, "/v", name, "/d", value, "/f"]);
        }
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
        // The next Windows on this drive begins when this one is down.
        for word in ["-k", "-w"] {
            let mut command = Command::new(SERVER);
            command.arg(word);
            self.dress(&mut command);
            let _ = command.output();
        }
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

/// A disk behind its components, with a paper roll of its own: a tax-control server, and the documents of the disk's own one.
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

/// A device whose commands end sooner than the shipped profile allows for: what was killed and cannot be proven is waited for
/// as long. All else is as shipped. Gives what goes into the configuration before its disks.
fn quick_profile(rig: &Rig, extends: &str) -> String {
    let folder = rig.path().join("profiles.d");
    std::fs::create_dir_all(&folder).unwrap();
    let times = "[timeouts]\nanswer_ms = 3000\nnetwork_ms = 4000\nlongest_ms = 4000\n";
    std::fs::write(folder.join("quick.toml"), format!("name = \"quick\"\nextends = \"{extends}\"\n{times}")).unwrap();
    format!("[profiles]\ndir = \"{DRIVE}{}\"\n", folder.display())
}
