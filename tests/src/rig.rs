//! One broker, simulated disks behind real pseudo-terminals, and agents, all in one temporary folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use taxdisk_drivers::sim::config::{Segment, SimConfig};
use taxdisk_drivers::sim::control::ControlRequest;
use taxdisk_drivers::sim::faults::Fault;
use taxdisk_drivers::sim::issue::IssueOrder;
use taxdisk_drivers::sim::ledger::{EntryLine, Ledger, LedgerEntry};
use taxdisk_drivers::sim::rig::WireRecord;
use taxdisk_drivers::sim::serve::WIRE_FILE;
use taxdisk_drivers::sim::zc::WireDirection;
use taxdisk_drivers::sim::{SimHandle, SimOptions, serve};
use taxdisk_protocol::api::{AgentView, DiskView};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_protocol::money::Amount;

use crate::api::Api;
use crate::jobs::SELLER;
use crate::process::{PATIENCE, Running, binary, wait_for};

/// Everything that a test plays with.
pub struct Rig {
    pub broker: BrokerRig,
    pub api: Api,
    dir: tempfile::TempDir,
}

impl Rig {
    /// A broker with the tests' seller.
    pub fn new() -> Rig {
        Rig::with_broker_config("")
    }

    /// A broker with more lines of configuration.
    pub fn with_broker_config(config: &str) -> Rig {
        let dir = tempfile::Builder::new().prefix("taxdisk-").tempdir().expect("temporary folder");
        let broker = BrokerRig::start(dir.path(), binary("taxdisk-broker"), config);
        Rig::with_broker(dir, broker)
    }

    /// As [`Rig::new`], with the broker of another version, from this folder.
    pub fn with_programs(folder: &Path) -> Rig {
        let dir = tempfile::Builder::new().prefix("taxdisk-").tempdir().expect("temporary folder");
        let broker = BrokerRig::start(dir.path(), folder.join("taxdisk-broker"), "");
        Rig::with_broker(dir, broker)
    }

    /// As [`Rig::with_programs`], in this folder.
    pub fn within(dir: tempfile::TempDir, programs: &Path) -> Rig {
        let broker = BrokerRig::start(dir.path(), programs.join("taxdisk-broker"), "");
        Rig::with_broker(dir, broker)
    }

    fn with_broker(dir: tempfile::TempDir, broker: BrokerRig) -> Rig {
        let api = Api::new(&broker.url, &broker.admin_key());
        let rig = Rig { broker, api, dir };
        let answer = rig.api.put(&format!("/v1/sellers/{SELLER}"), &json!({"name": "示例商贸有限公司"}));
        assert!(answer.status < 300, "{answer:?}");
        rig
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A simulated disk at `port`, with the stock of 900,000 numbers unless `config` says otherwise.
    pub fn disk(&self, name: &str, change: impl FnOnce(&mut SimConfig)) -> SimRig {
        SimRig::start(self.dir.path(), name, change)
    }

    /// An enrolled agent that knows the disk at `port`. Not started.
    pub fn agent(&self, name: &str, ports: &[&Path]) -> AgentRig {
        AgentRig::enroll(self, name, ports, "")
    }

    pub fn disks(&self) -> Vec<DiskView> {
        let answer = self.api.get("/v1/disks");
        list(&answer.body, "disks")
    }

    /// What the broker shows to Prometheus.
    pub fn metrics(&self) -> String {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build();
        let agent: ureq::Agent = config.into();
        let mut answer = agent.get(format!("{}/metrics", self.broker.url)).call().expect("figures need no key");
        answer.body_mut().read_to_string().expect("figures are text")
    }

    pub fn agents(&self) -> Vec<AgentView> {
        let answer = self.api.get("/v1/agents");
        list(&answer.body, "agents")
    }

    /// Waits until the broker says that the disk can be used.
    pub fn wait_online(&self, disk: &str) {
        wait_for(&format!("disk {disk} on line"), PATIENCE, || {
            let disks = self.disks();
            let found = disks.iter().find(|view| view.report.disk == disk);
            match found {
                Some(view) if view.online && view.report.health.ready => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
}

impl Default for Rig {
    fn default() -> Self {
        Rig::new()
    }
}

/// What a failed test leaves is kept for whoever looks into it.
impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("--- kept: {} ---", self.dir.path().display());
        }
    }
}

fn list<T: serde::de::DeserializeOwned>(body: &Value, field: &str) -> Vec<T> {
    let rows = if body.is_array() { body.clone() } else { body[field].clone() };
    serde_json::from_value(rows).unwrap_or_else(|error| panic!("not a list: {error}: {body}"))
}

/// The broker's process.
pub struct BrokerRig {
    pub running: Running,
    pub url: String,
    /// What is started at the next start.
    pub program: PathBuf,
    dir: PathBuf,
    point: Option<String>,
}

impl BrokerRig {
    fn start(dir: &Path, program: PathBuf, config: &str) -> BrokerRig {
        let store = format!("sqlite:{}", dir.join("broker/ledger.db").display());
        BrokerRig::start_program(program, dir, "broker", &store, config)
    }

    /// A broker with the ledger at this URL. `config`: lines of the section `[listen]`, and sections after it.
    pub fn start_on(dir: &Path, name: &str, store: &str, config: &str) -> BrokerRig {
        BrokerRig::start_program(binary("taxdisk-broker"), dir, name, store, config)
    }

    fn start_program(program: PathBuf, dir: &Path, name: &str, store: &str, config: &str) -> BrokerRig {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).expect("folder");
        let text = format!("[store]\nurl = \"{store}\"\n[listen]\naddress = \"127.0.0.1:0\"\n{config}");
        std::fs::write(dir.join("broker.toml"), text).expect("configuration");
        let running = Self::spawn(&program, &dir, None, None);
        let mut broker = BrokerRig { running, url: String::new(), program, dir, point: None };
        broker.url = broker.wait_ready();
        broker
    }

    fn spawn(program: &Path, dir: &Path, address: Option<&str>, point: Option<&str>) -> Running {
        let _ = std::fs::remove_file(dir.join("ready.json"));
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(dir.join("broker.toml"));
        command.arg("--ready-file").arg(dir.join("ready.json"));
        command.arg("--bootstrap-key-file").arg(dir.join("admin.key"));
        command.args(["--listen", address.unwrap_or("127.0.0.1:0")]);
        command.env_remove("TAXDISK_FAULT_POINT");
        if let Some(point) = point {
            command.env("TAXDISK_FAULT_POINT", point);
        }
        Running::start("broker", &dir.join("broker.log"), command)
    }

    fn wait_ready(&mut self) -> String {
        let file = self.dir.join("ready.json");
        let log = self.running.log.clone();
        wait_for("the broker to be ready", PATIENCE, || {
            if let Some(status) = self.running.ended() {
                return Err(format!("it ended with {status}: {}", crate::process::tail(&log)));
            }
            let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
            let ready: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            ready["url"].as_str().map(str::to_owned).ok_or(text)
        })
    }

    /// What its ready file says under this name, as `open_url`.
    pub fn told(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.dir.join("ready.json")).expect("the broker is ready");
        let ready: Value = serde_json::from_str(&text).expect("JSON");
        ready[name].as_str().unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, address)| address)
    }

    pub fn admin_key(&self) -> String {
        std::fs::read_to_string(self.dir.join("admin.key")).expect("the first key").trim().to_owned()
    }

    /// `kill -9`; it stays down.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// A command of its program with its configuration; the output. For those that want the ledger it must be down.
    pub fn tool(&self, args: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        let output = command.args(args).arg("--config").arg(self.dir.join("broker.toml")).output().expect("the broker's program");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{args:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Starts it again on the same address, perhaps to die at a named point.
    pub fn start_again(&mut self, point: Option<&str>) {
        let address = self.address().to_owned();
        self.point = point.map(str::to_owned);
        // A port of a killed process may be held for a moment by its last connections.
        wait_for("the broker to start again", PATIENCE, || {
            self.running = Self::spawn(&self.program, &self.dir, Some(&address), point);
            let file = self.dir.join("ready.json");
            loop {
                if let Some(status) = self.running.ended() {
                    return Err(format!("it ended with {status}: {}", crate::process::tail(&self.running.log)));
                }
                if file.exists() {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("broker.log")).unwrap_or_default()
    }
}

/// A simulated disk, in this process, behind a pseudo-terminal.
pub struct SimRig {
    pub handle: SimHandle,
    pub port: PathBuf,
    pub state_dir: PathBuf,
    pub number: String,
}

impl SimRig {
    pub fn start(dir: &Path, name: &str, change: impl FnOnce(&mut SimConfig)) -> SimRig {
        Self::make(dir, name, true, change)
    }

    /// As [`SimRig::start`], for the many disks of a fleet: what passes on the wire is not written down.
    pub fn unrecorded(dir: &Path, name: &str, change: impl FnOnce(&mut SimConfig)) -> SimRig {
        Self::make(dir, name, false, change)
    }

    fn make(dir: &Path, name: &str, record_wire: bool, change: impl FnOnce(&mut SimConfig)) -> SimRig {
        let state_dir = dir.join(format!("disk-{name}"));
        std::fs::create_dir_all(&state_dir).expect("folder");
        let mut config = SimConfig {
            taxpayer_number: SELLER.to_owned(),
            segments: vec![segment("011002000107", 1, 900_000)],
            ..SimConfig::default()
        };
        change(&mut config);
        let number = config.disk_number.clone();
        config.save(&state_dir).expect("the disk's configuration");
        let port = dir.join(format!("tty-{name}"));
        Self::serve(state_dir, port, number, record_wire)
    }

    fn serve(state_dir: PathBuf, port: PathBuf, number: String, record_wire: bool) -> SimRig {
        let options =
            || SimOptions { state_dir: state_dir.clone(), link: Some(port.clone()), record_wire, ..SimOptions::default() };
        // A lock that was just given up is held a moment longer by a child that another test starts meanwhile: until it runs its
        // program it has all open files of this one.
        let handle = wait_for("the lock of the simulated disk", PATIENCE, || match serve(options()) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => Err(error.to_string()),
            served => Ok(served.expect("the simulated disk starts")),
        });
        SimRig { handle, port, state_dir, number }
    }

    /// The same disk, plugged in elsewhere.
    pub fn moved_to(self, port: &Path) -> SimRig {
        let SimRig { handle, state_dir, number, .. } = self;
        handle.stop();
        SimRig::serve(state_dir, port.to_owned(), number, true)
    }

    /// Plans a fault.
    pub fn fault(&self, fault: Fault) {
        assert!(self.handle.fault(fault), "too many faults wait");
    }

    pub fn clear_faults(&self) {
        self.handle.with(|rig| rig.faults.clear());
    }

    /// Plugs the line in again after it died or was pulled.
    pub fn replug(&self) {
        self.handle.unplug();
        self.handle.replug().expect("a new pseudo-terminal");
    }

    /// Reads more stock in.
    pub fn add_stock(&self, segment: Segment) {
        let answer = self.handle.ask(ControlRequest::Set { patch: serde_json::Map::new(), stock_add: vec![segment] });
        assert!(answer.ok, "{answer:?}");
    }

    /// Another program issues what `job` asks for, with this remark.
    pub fn foreign_issue(&self, job: &Value, remark: &str) {
        let amount = |value: &Value| value.as_str().expect("text").parse::<Amount>().expect("an amount");
        let three =
            |value: &Value| format!("{:.3}", value.as_str().expect("text").parse::<rust_decimal::Decimal>().expect("decimal"));
        let content = &job["invoice"];
        let line = &content["lines"][0];
        let totals = &content["totals"];
        let gross = amount(&totals["gross"]);
        let invoice = IssueOrder {
            buyer_name: content["buyer"]["name"].as_str().expect("a name").to_owned(),
            lines: vec![EntryLine {
                name: line["name"].as_str().expect("a name").to_owned(),
                price: three(&line["price"]),
                quantity: three(&line["quantity"]),
                net: amount(&line["net"]),
                rate: line["rate"].as_str().expect("a rate").to_owned(),
                tax: amount(&line["tax"]),
                gross_price: format!("{:.3}", gross.decimal()),
                gross,
                ..EntryLine::default()
            }],
            net: amount(&totals["net"]),
            tax: amount(&totals["tax"]),
            gross,
            remark: remark.to_owned(),
            clerk: content["clerk"].as_str().expect("a clerk").to_owned(),
            ..IssueOrder::default()
        };
        let answer = self.handle.ask(ControlRequest::ForeignIssue { invoice });
        assert!(answer.ok, "{answer:?}");
    }

    /// Commands of this code that reached the disk whole: their last packet (packet number 00) came in.
    pub fn complete_commands(&self, code: u8) -> usize {
        let cmd = format!("{code:02X}");
        let text = std::fs::read_to_string(self.state_dir.join(WIRE_FILE)).expect("the recording");
        text.lines()
            .map(|line| serde_json::from_str::<WireRecord>(line).expect("a recorded frame"))
            // 1B, type, command, packet number.
            .filter(|record| record.direction == WireDirection::ToDevice && record.hex.get(4..6) == Some(cmd.as_str()))
            .filter(|record| record.hex.starts_with("1B") && record.hex.get(6..8) == Some("00"))
            .count()
    }

    /// The disk's own ledger, as its file has it.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        Ledger::read(&self.state_dir).expect("the disk's ledger can be read")
    }
}

/// A piece of stock for the tests' kind.
pub fn segment(code: &str, first: u32, last: u32) -> Segment {
    let number = |value| taxdisk_protocol::number::InvoiceNumber::new(value).expect("8 digits");
    Segment {
        kind: InvoiceKind::Roll,
        code: code.parse().expect("a code"),
        first: number(first),
        last: number(last),
        bought_at: None,
        closed: false,
    }
}

const AGENT: &str = "taxdisk-agent";

/// An agent: its state folder, and its process while it runs.
pub struct AgentRig {
    pub name: String,
    /// What is started at the next start.
    pub program: PathBuf,
    /// Makes a path of this PC one that the program understands: `Z:` for a program of Windows.
    pub drive: &'static str,
    pub dir: PathBuf,
    pub running: Option<Running>,
}

/// How an agent reaches its broker.
#[derive(Default)]
pub struct Way<'a> {
    pub url: &'a str,
    pub others: &'a [&'a str],
    /// PEM: the authority that is trusted.
    pub ca_file: Option<&'a Path>,
}

impl<'a> Way<'a> {
    fn to(api: &'a Api) -> Way<'a> {
        Way { url: &api.url, ..Way::default() }
    }
}

impl AgentRig {
    /// Enrols with a single-use code and sets the passwords of its disks. `extra` goes into every `[[disk]]`.
    pub fn enroll(rig: &Rig, name: &str, ports: &[&Path], extra: &str) -> AgentRig {
        AgentRig::enroll_at(rig.path(), &rig.api, name, ports, extra)
    }

    /// As [`AgentRig::enroll`], with its folder in `dir` and its link to the broker that `api` asks.
    pub fn enroll_at(dir: &Path, api: &Api, name: &str, ports: &[&Path], extra: &str) -> AgentRig {
        Self::enroll_with((binary(AGENT), ""), dir, (api, &Way::to(api)), name, "", &serial_disks(ports, extra))
    }

    /// As [`AgentRig::enroll_at`]; it also knows these addresses of other brokers of the same ledger.
    pub fn enroll_among(dir: &Path, api: &Api, others: &[&str], name: &str, ports: &[&Path]) -> AgentRig {
        let way = Way { others, ..Way::to(api) };
        Self::enroll_with((binary(AGENT), ""), dir, (api, &way), name, "", &serial_disks(ports, ""))
    }

    /// As [`AgentRig::enroll_disks`], where agents go another way than callers: its code is asked for with `api`.
    pub fn enroll_by(dir: &Path, api: &Api, way: &Way<'_>, name: &str, disks: &[(String, String)]) -> AgentRig {
        Self::enroll_with((binary(AGENT), ""), dir, (api, way), name, "", disks)
    }

    /// As [`AgentRig::enroll`], with the program of another version.
    pub fn enroll_program(program: &Path, rig: &Rig, name: &str, ports: &[&Path], extra: &str) -> AgentRig {
        Self::enroll_with(
            (program.to_owned(), ""),
            rig.path(),
            (&rig.api, &Way::to(&rig.api)),
            name,
            "",
            &serial_disks(ports, extra),
        )
    }

    /// The same for disks of any kind: the name under which the agent keeps the passwords of each, and its `[[disk]]`. `more`
    /// comes before them.
    pub fn enroll_disks(rig: &Rig, name: &str, more: &str, disks: &[(String, String)]) -> AgentRig {
        Self::enroll_with((binary(AGENT), ""), rig.path(), (&rig.api, &Way::to(&rig.api)), name, more, disks)
    }

    /// The same with a program of Windows, which sees the folders of this PC below this drive.
    pub fn enroll_on_drive(
        program: &Path,
        drive: &'static str,
        rig: &Rig,
        name: &str,
        more: &str,
        disks: &[(String, String)],
    ) -> AgentRig {
        Self::enroll_with((program.to_owned(), drive), rig.path(), (&rig.api, &Way::to(&rig.api)), name, more, disks)
    }

    fn enroll_with(
        (program, drive): (PathBuf, &'static str),
        dir: &Path,
        (api, way): (&Api, &Way<'_>),
        name: &str,
        more: &str,
        disks: &[(String, String)],
    ) -> AgentRig {
        let dir = dir.join(format!("agent-{name}"));
        std::fs::create_dir_all(&dir).expect("folder");
        let state = dir.join("state");
        // The version before this one knows no `others`.
        let mut broker = if way.others.is_empty() { String::new() } else { format!("others = {:?}\n", way.others) };
        let mut enroll = vec!["enroll".to_owned(), way.url.to_owned()];
        if let Some(file) = way.ca_file {
            broker += &format!("ca_file = {file:?}\n");
            enroll.extend(["--ca-file".to_owned(), file.display().to_string()]);
        }
        let mut text = format!("[broker]\nurl = \"{}\"\n{broker}[state]\ndir = \"{drive}{}\"\n{more}", way.url, state.display());
        for (_, entry) in disks {
            text += &format!("[[disk]]\n{entry}\n");
        }
        std::fs::write(dir.join("agent.toml"), text).expect("configuration");
        let agent = AgentRig { name: name.to_owned(), program, drive, dir, running: None };
        let answer = api.post("/v1/enrollments", &json!({"name": name}));
        enroll.push(answer.body["code"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned());
        let enroll: Vec<&str> = enroll.iter().map(String::as_str).collect();
        // A code that a broker had no time for is as good as before.
        wait_for("the enrolment", PATIENCE, || match agent.try_tool(&enroll) {
            Err(said) if said.contains("not_ready") => Err(said),
            done => Ok(done.unwrap_or_else(|said| panic!("{said}"))),
        });
        for (disk, _) in disks {
            agent.set_secret(Path::new(disk));
        }
        agent
    }

    /// Sets the passwords of the disk at `port`, as a person would.
    pub fn set_secret(&self, port: &Path) {
        let secret = self.dir.join("secret.toml");
        std::fs::write(&secret, "disk_password = \"88888888\"\ncertificate_password = \"12345678\"\n").expect("secret");
        restrict(&secret);
        self.tool(&["disks", "secret", "set", &port.display().to_string(), "--from-file", &self.seen(&secret)]);
    }

    /// A command of the agent's program with this agent's configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).arg("--config").arg(self.seen(&self.dir.join("agent.toml"))).env_remove("TAXDISK_FAULT_POINT");
        command
    }

    /// A path as the program sees it.
    pub fn seen(&self, path: &Path) -> String {
        format!("{}{}", self.drive, path.display())
    }

    /// Runs such a command to its good end and gives its output.
    pub fn tool(&self, args: &[&str]) -> String {
        self.try_tool(args).unwrap_or_else(|said| panic!("{said}"))
    }

    /// Runs such a command; `Err` says how it ended and what it said.
    pub fn try_tool(&self, args: &[&str]) -> Result<String, String> {
        let output = self.command(args).output().expect("the agent's program starts");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(text) } else { Err(format!("taxdisk-agent {args:?}: {}\n{text}", output.status)) }
    }

    /// Starts it, perhaps to die at a named point (`after_intent`, `after_intent:3`).
    pub fn start(&mut self, point: Option<&str>) {
        self.start_with(&[], point);
    }

    /// As [`AgentRig::start`], with these variables.
    pub fn start_with(&mut self, variables: &[(&str, &str)], point: Option<&str>) {
        assert!(self.running.as_mut().is_none_or(|running| running.ended().is_some()), "{} runs already", self.name);
        let mut command = self.command(&["run"]);
        command.envs(variables.iter().copied());
        if let Some(point) = point {
            command.env("TAXDISK_FAULT_POINT", point);
        }
        self.running = Some(Running::start(&format!("agent {}", self.name), &self.dir.join("agent.log"), command));
    }

    /// It was started, and did not end.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| running.ended().is_none())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            running.kill();
        }
        self.running = None;
    }

    /// Asks it to stop, and waits: what it was told last is in its journal.
    pub fn terminate(&mut self) {
        let status = self.running.take().expect("it was started").terminate();
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// Waits until it died by itself (at its point), then starts it without one.
    pub fn wait_death_and_restart(&mut self) {
        self.running.as_mut().expect("it was started").wait();
        self.running = None;
        self.start(None);
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default()
    }
}

/// `[[disk]]` sections of converters at these ports.
fn serial_disks(ports: &[&Path], extra: &str) -> Vec<(String, String)> {
    let entry = |port: &&Path| {
        let lines = format!("port = \"{}\"\ndialect = \"zc\"\nspeed = 115200\n{extra}", port.display());
        (port.display().to_string(), lines)
    };
    ports.iter().map(entry).collect()
}

/// Makes a file its owner's alone.
pub fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("mode");
}
