//! A PC of a test: a folder with configuration and state, and the shipped binary in it.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::broker::Broker;

pub struct Pc {
    dir: tempfile::TempDir,
}

impl Pc {
    pub fn new(disks: &str) -> Pc {
        let pc = Pc { dir: tempfile::tempdir().unwrap() };
        pc.configure("", disks);
        pc
    }

    pub fn configure(&self, broker: &str, disks: &str) {
        let state = self.state().display().to_string();
        std::fs::write(
            self.path("agent.toml"),
            format!("{broker}\n[state]\ndir = \"{state}\"\n[log]\nlevel = \"trace\"\n{disks}"),
        )
        .unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taxdisk-agent"));
        command.env("TAXDISK_AGENT_CONFIG", self.path("agent.toml")).args(args).current_dir(self.dir.path());
        for key in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"] {
            command.env_remove(key);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs, and wants this exit code.
    pub fn ends(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        text
    }

    /// Enrols at this broker; the public key that it sent.
    pub fn enrol(&self, broker: &Broker) -> String {
        self.ends(0, &["enroll", &broker.url(), "CODE-1"]);
        broker.enrolment()["public_key"].as_str().unwrap().to_owned()
    }

    /// Starts the agent; its log goes to `agent.log`.
    pub fn start(&self) -> Running {
        let log = std::fs::File::create(self.path("agent.log")).unwrap();
        let ready = self.path("ready.json");
        let _ = std::fs::remove_file(&ready);
        let child = self
            .command(&["run", "--ready-file", &ready.display().to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let running = Running { child };
        wait_for(&ready);
        running
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("agent.log")).unwrap()
    }
}

/// All that a command said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Until the file is there.
pub fn wait_for(path: &Path) {
    until("the file is there", || path.exists());
}

/// Until it is so; looks again often, gives up loudly.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < super::broker::LIMIT, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub struct Running {
    pub child: Child,
}

impl Running {
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
