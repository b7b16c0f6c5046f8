//! The folder and the processes of a demonstration. Whatever is started here is ended here, by its own id.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use taxdisk_drivers::sim::bridge;
use taxdisk_drivers::sim::config::{Segment, SimConfig};
use taxdisk_protocol::kind::InvoiceKind;

use super::{DemoArgs, SELLER, SELLER_NAME};
use crate::workspace;

/// A program that has not said that it is ready by then never will.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// A program that was asked to end gets so long: the agent finishes the command that is on the disk.
const END_LIMIT: Duration = Duration::from_secs(15);
/// How often a file or a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Lines of each log that are shown when something failed.
const LAST_LINES: usize = 15;
/// Passwords of the simulated disk. It guards nothing.
const PASSWORDS: &str = "disk_password = \"88888888\"\ncertificate_password = \"12345678\"\n";

/// Processes by name.
type Processes = Arc<Mutex<BTreeMap<&'static str, Child>>>;

/// A demonstration's folder and processes.
pub(super) struct Site {
    dir: PathBuf,
    temporary: Option<tempfile::TempDir>,
    processes: Processes,
    url: String,
    args: DemoArgs,
}

/// What another thread needs to kill the agent and start it again.
#[derive(Clone)]
pub(super) struct AgentControl {
    dir: PathBuf,
    processes: Processes,
}

impl Site {
    /// Makes the folder. What stands in it from an earlier run is used again.
    pub(super) fn prepare(args: &DemoArgs) -> Result<Site, String> {
        let (dir, temporary) = match &args.state {
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
                (dir.canonicalize().map_err(|error| format!("{}: {error}", dir.display()))?, None)
            }
            None => {
                let folder = tempfile::Builder::new().prefix("taxdisk-demo-").tempdir();
                let folder = folder.map_err(|error| format!("no temporary folder: {error}"))?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        Ok(Site { dir, temporary, processes: Processes::default(), url: String::new(), args: args.clone() })
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The broker's URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The administrator's key.
    pub(super) fn key(&self) -> Result<String, String> {
        read(&self.path("admin.key")).map(|key| key.trim().to_owned())
    }

    /// What the command line must know of the broker.
    pub(super) fn client_environment(&self) -> [(&'static str, String); 2] {
        [("TAXDISK_BROKER", self.url.clone()), ("TAXDISK_KEY_FILE", self.path("admin.key").display().to_string())]
    }

    /// On Ctrl-C or SIGTERM: ends what was started, and says so to whoever looks at the flag.
    pub(super) fn on_interrupt(&self) -> Arc<AtomicBool> {
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, processes) = (Arc::clone(&stop), Arc::clone(&self.processes));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                use tokio::signal::unix::{SignalKind, signal};
                let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
            });
            flag.store(true, Ordering::SeqCst);
            for child in lock(&processes).values() {
                signal(child, Signal::TERM);
            }
        });
        stop
    }

    /// Starts the broker; afterwards [`Site::url`] is known.
    pub(super) fn start_broker(&mut self) -> Result<(), String> {
        let ready = self.path("broker.ready");
        let mut command = Command::new(workspace::binary("taxdisk-broker"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready);
        command.arg("--bootstrap-key-file").arg(self.path("admin.key"));
        command.env("TAXDISK__STORE__URL", format!("sqlite:{}", self.path("ledger.db").display()));
        self.start("broker", command, &ready)?;
        let urls: serde_json::Value =
            serde_json::from_str(&read(&ready)?).map_err(|error| format!("{}: {error}", ready.display()))?;
        self.url = urls["url"].as_str().ok_or("the broker's ready file names no url")?.to_owned();
        Ok(())
    }

    /// Makes the simulated disk and starts it.
    pub(super) fn start_disk(&mut self) -> Result<(), String> {
        let folder = self.path("disk");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let config = folder.join("disk.json");
        if !config.exists() {
            let disk = serde_json::json!({
                "taxpayer_number": SELLER, "taxpayer_name": SELLER_NAME, "max_lines": self.args.max_lines,
            });
            write(&config, &disk.to_string())?;
        }
        let link = self.path("disk.tty");
        let mut command = Command::new(workspace::binary("taxdisk-agent"));
        command.arg("sim").arg("--pty").arg(&link).arg("--state").arg(&folder).arg("--control").arg(self.path("disk.sock"));
        command.arg("--issue-time-ms").arg(self.args.issue_time_ms.to_string());
        self.start("disk", command, &link)
    }

    /// Where the component of the disk for electronic invoices answers. It keeps its port: the agent's passwords stand under it.
    fn component(&self) -> Result<SocketAddr, String> {
        let file = self.path("component.address");
        if !file.exists() {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            write(&file, &free.map_err(|error| format!("no free port: {error}"))?.to_string())?;
        }
        read(&file)?.parse().map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Makes the disk for electronic invoices and starts it behind its maker's component.
    pub(super) fn start_electronic_disk(&mut self) -> Result<(), String> {
        self.make_electronic_disk()?;
        let link = self.path("electronic.tty");
        let mut command = Command::new(workspace::binary("taxdisk-agent"));
        command.arg("sim").arg("--pty").arg(&link).arg("--state").arg(self.path("disk-electronic"));
        command.arg("--http").arg(self.component()?.to_string());
        self.start("component", command, &link)
    }

    fn make_electronic_disk(&self) -> Result<(), String> {
        let folder = self.path("disk-electronic");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let config = folder.join("disk.json");
        if config.exists() {
            return Ok(());
        }
        let kind = InvoiceKind::ElectronicOrdinary;
        let stock = |first: &str, last: &str| -> Result<Segment, String> {
            let pair = |_| "the stock of the demonstration has no numbers".to_owned();
            Ok(Segment {
                kind,
                code: "011002000111".parse().map_err(|_| pair(()))?,
                first: first.parse().map_err(|_| pair(()))?,
                last: last.parse().map_err(|_| pair(()))?,
                bought_at: None,
                closed: false,
            })
        };
        let disk = SimConfig {
            disk_number: "661500000026".to_owned(),
            taxpayer_number: SELLER.to_owned(),
            taxpayer_name: SELLER_NAME.to_owned(),
            kinds: vec![kind],
            segments: vec![stock("00000001", "00090000")?],
            issue_time_ms: self.args.issue_time_ms,
            ..bridge::fresh_disk()
        };
        disk.save(&folder).map_err(|error| format!("{}: {error}", folder.display()))
    }

    /// Starts the portal.
    pub(super) fn start_portal(&mut self) -> Result<(), String> {
        let command = super::portal::command(self);
        self.start("portal", command, &self.path("portal.ready"))
    }

    /// The portal's URL.
    pub(super) fn portal_url(&self) -> Result<String, String> {
        let ready = self.path("portal.ready");
        let urls: serde_json::Value =
            serde_json::from_str(&read(&ready)?).map_err(|error| format!("{}: {error}", ready.display()))?;
        Ok(urls["url"].as_str().ok_or("the portal's ready file names no url")?.to_owned())
    }

    /// The key of the portal's operator.
    pub(super) fn operator_key(&self) -> Result<String, String> {
        read(&self.path("operator.key")).map(|key| key.trim().to_owned())
    }

    /// Creates the seller; enrols the agent and gives it the disk's passwords, unless an earlier run has done so.
    pub(super) fn enroll(&self) -> Result<(), String> {
        self.client(&["seller", "set", SELLER, "--name", SELLER_NAME])?;
        let config = format!(
            "[broker]\nurl = \"{}\"\n\n[state]\ndir = \"{}\"\n\n[[disk]]\nport = \"{}\"\ndialect = \"zc\"\nmax_lines = {}\n\n\
             [[disk]]\nurl = \"http://{}{}\"\nprofile = \"nisec-bridge\"\n",
            self.url,
            self.path("agent").display(),
            self.path("disk.tty").display(),
            self.max_lines()?,
            self.component()?,
            bridge::BRIDGE_PATH,
        );
        write(&self.path("agent.toml"), &config)?;
        let enrolled = self.path("enrolled");
        if enrolled.exists() {
            return Ok(());
        }
        let code = self.client(&["--json", "enrollment", "create", "--name", "demo"])?;
        let code: serde_json::Value = serde_json::from_str(&code).map_err(|error| format!("enrollment create: {error}"))?;
        let code = code["code"].as_str().ok_or("enrollment create gave no code")?.to_owned();
        workspace::output(self.agent(&["enroll", &self.url, &code]))?;
        write(&self.path("passwords.toml"), PASSWORDS)?;
        let (port, passwords) = (self.path("disk.tty"), self.path("passwords.toml"));
        for disk in [text(&port), format!("http://{}{}", self.component()?, bridge::BRIDGE_PATH)] {
            workspace::output(self.agent(&["disks", "secret", "set", &disk, "--from-file", &text(&passwords)]))?;
        }
        write(&enrolled, "")
    }

    /// The most lines of one invoice, as the disk was made: a disk of an earlier run keeps what it had.
    fn max_lines(&self) -> Result<u64, String> {
        let path = self.path("disk").join("disk.json");
        let disk: serde_json::Value =
            serde_json::from_str(&read(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        disk["max_lines"].as_u64().ok_or_else(|| format!("{}: no max_lines", path.display()))
    }

    /// Starts the agent.
    pub(super) fn start_agent(&mut self) -> Result<(), String> {
        let ready = self.path("agent.ready");
        let command = agent_run(&self.dir);
        self.start("agent", command, &ready)
    }

    /// Id of the agent's process, and the command that starts it again.
    pub(super) fn agent_process(&self) -> Option<(u32, String)> {
        let id = lock(&self.processes).get("agent")?.id();
        let program = workspace::binary("taxdisk-agent");
        Some((id, format!("{} run --config {} &", program.display(), self.path("agent.toml").display())))
    }

    /// What a thread of faults works with.
    pub(super) fn agent_control(&self) -> AgentControl {
        AgentControl { dir: self.dir.clone(), processes: Arc::clone(&self.processes) }
    }

    /// Ids of everything that runs.
    pub(super) fn processes(&self) -> Vec<u32> {
        lock(&self.processes).values().map(Child::id).collect()
    }

    /// Runs a program of ours to its end, its output in a file, and looks whether broker and disk live meanwhile.
    pub(super) fn run_to_end(
        &mut self,
        name: &'static str,
        mut command: Command,
        output: &str,
        stop: &AtomicBool,
    ) -> Result<ExitStatus, String> {
        let file = File::create(self.path(output)).map_err(|error| format!("{output}: {error}"))?;
        // It stays in this process group: it writes its progress to the terminal.
        let child = command.stdin(Stdio::null()).stdout(file).spawn().map_err(|error| format!("{command:?}: {error}"))?;
        lock(&self.processes).insert(name, child);
        loop {
            let mut processes = lock(&self.processes);
            let child = processes.get_mut(name).ok_or("the process is gone")?;
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                processes.remove(name);
                return Ok(status);
            }
            if stop.load(Ordering::SeqCst) {
                return Err("Interrupted.".to_owned());
            }
            for needed in ["broker", "disk"] {
                let ended = processes.get_mut(needed).map(Child::try_wait);
                if let Some(Ok(Some(status))) = ended {
                    return Err(format!("The {needed} ended ({status})."));
                }
            }
            drop(processes);
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The end of each log.
    pub(super) fn last_words(&self) -> String {
        let mut said = String::new();
        for name in ["broker.log", "disk.log", "agent.log", "portal.log"] {
            if let Ok(log) = read(&self.path(name)) {
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
                said.push_str(&format!("── end of {name}\n  {last}\n"));
            }
        }
        said
    }

    /// Asks every process to end, waits, and ends those that do not. The temporary folder goes with them.
    pub(super) fn end(&mut self) {
        end_all(&self.processes);
        self.temporary = None;
    }

    /// Leaves everything running, and the folder where it is.
    pub(super) fn leave(&mut self) {
        lock(&self.processes).clear();
        if let Some(folder) = self.temporary.take() {
            let _ = folder.keep();
        }
    }

    fn client(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(workspace::binary("taxdisk"));
        command.args(arguments).envs(self.client_environment());
        workspace::output(command)
    }

    fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(workspace::binary("taxdisk-agent"));
        command.arg("--config").arg(self.path("agent.toml")).args(arguments);
        command
    }

    fn start(&self, name: &'static str, command: Command, ready: &Path) -> Result<(), String> {
        start(&self.dir, &self.processes, name, command, ready)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        end_all(&self.processes);
    }
}

impl AgentControl {
    /// kill -9, then a new one. Comes back when it is up.
    pub(super) fn kill_and_restart(&self) -> Result<(), String> {
        if let Some(mut agent) = lock(&self.processes).remove("agent") {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        start(&self.dir, &self.processes, "agent", agent_run(&self.dir), &self.dir.join("agent.ready"))
    }

    /// The disk's control socket.
    pub(super) fn disk_socket(&self) -> PathBuf {
        self.dir.join("disk.sock")
    }
}

fn agent_run(dir: &Path) -> Command {
    let mut command = Command::new(workspace::binary("taxdisk-agent"));
    command.arg("run").arg("--config").arg(dir.join("agent.toml")).arg("--ready-file").arg(dir.join("agent.ready"));
    command
}

/// Starts a program with its output in a log, and waits until its ready file is there.
fn start(dir: &Path, processes: &Processes, name: &'static str, mut command: Command, ready: &Path) -> Result<(), String> {
    if ready.symlink_metadata().is_ok() {
        std::fs::remove_file(ready).map_err(|error| format!("{}: {error}", ready.display()))?;
    }
    let log_path = dir.join(format!("{name}.log"));
    let failed = |error: std::io::Error| format!("{}: {error}", log_path.display());
    let log = OpenOptions::new().create(true).append(true).open(&log_path).map_err(failed)?;
    // A process group of its own: Ctrl-C comes to us, and we end it.
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    let child = command.spawn().map_err(|error| format!("{command:?} does not start: {error}"))?;
    lock(processes).insert(name, child);
    let limit = Instant::now() + READY_LIMIT;
    while ready.symlink_metadata().is_err() {
        let ended = match lock(processes).get_mut(name) {
            Some(child) => child.try_wait().map_err(|error| error.to_string())?,
            None => return Err(format!("The {name} was ended.")),
        };
        if let Some(status) = ended {
            return Err(format!("The {name} ended before it was ready ({status}): {}", log_path.display()));
        }
        if Instant::now() > limit {
            return Err(format!("The {name} is not ready after {} s: {}", READY_LIMIT.as_secs(), log_path.display()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn end_all(processes: &Processes) {
    // The agent first, while disk and broker can still answer it.
    let mut all = std::mem::take(&mut *lock(processes));
    for name in ["import", "portal", "agent", "component", "disk", "broker"] {
        let Some(mut child) = all.remove(name) else { continue };
        signal(&child, Signal::TERM);
        let limit = Instant::now() + END_LIMIT;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < limit {
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Sends a signal to a child that has not been waited for, so that its id cannot be another's.
fn signal(child: &Child, signal: Signal) {
    if let Some(id) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(id, signal);
    }
}

fn lock(processes: &Processes) -> MutexGuard<'_, BTreeMap<&'static str, Child>> {
    processes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file that only its owner can read.
pub(super) fn write(path: &Path, content: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(content.as_bytes()).map_err(failed)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
