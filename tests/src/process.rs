//! Child processes: found, started, watched, killed by their own id, and their output kept for the failure message.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest that any single condition of a test may take. Generous: the machines of a test run are shared and noisy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `condition` gives something; panics with `what` and the last word of `seen` after `bound`.
pub fn wait_for<T>(what: &str, bound: Duration, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match condition() {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > bound => panic!("waited {bound:?} for {what}; last seen: {seen}"),
            Err(_) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        }
    }
}

/// The workspace's binary of this name, built beside the tests. The tests never build: `cargo xtask test` does, with the fault
/// points switched on. `TAXDISK_TEST_BINARIES` names another folder (release builds, for benchmarks).
pub fn binary(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("TAXDISK_TEST_BINARIES") {
        return PathBuf::from(folder).join(name);
    }
    let mut folder = std::env::current_exe().expect("a test knows its own path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: run `cargo xtask test --only build`", path.display());
    path
}

/// A running child. Dropping it kills it.
pub struct Running {
    child: Child,
    pub name: String,
    pub log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts `command` with its output appended to `log`.
    pub fn start(name: &str, log: &Path, mut command: Command) -> Running {
        let file = File::options().create(true).append(true).open(log).expect("log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("log file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Running { child, name: name.to_owned(), log: log.to_owned(), ended: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it ended by itself?
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be asked for");
        }
        self.ended
    }

    /// `kill -9`, then reaped.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.ended = Some(self.child.wait().expect("a child can be reaped"));
    }

    /// `SIGTERM`, then waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: rustix::process::Signal) {
        if self.ended().is_none() {
            let pid = rustix::process::Pid::from_child(&self.child);
            rustix::process::kill_process(pid, signal).expect("a child of ours can be signalled");
        }
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let name = self.name.clone();
        let log = self.log.clone();
        wait_for(&format!("the end of {name}"), PATIENCE, || self.ended().ok_or_else(|| format!("still running\n{}", tail(&log))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- last of {} ---\n{}", self.name, tail(&self.log));
        }
    }
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
