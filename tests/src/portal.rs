//! A portal in front of a broker, as tests start it: its process, one tenant with one caller, and the disk of a component that is
//! licensed for every kind that merchants ask a portal for.
//!
//! Read first: [`PortalRig`].

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use taxdisk_drivers::sim::config::{Segment, SimConfig};
use taxdisk_drivers::sim::{HttpOptions, SimHandle, SimOptions, bridge, serve};
use taxdisk_protocol::kind::InvoiceKind;

use crate::api::Api;
use crate::jobs::SELLER;
use crate::process::{PATIENCE, Running, binary, tail, wait_for};
use crate::rig::{AgentRig, Rig};

/// A free port of this machine.
pub const ANY_PORT: &str = "127.0.0.1:0";
/// A broker that may call webhooks on this machine, and calls again after a second.
pub const HOOKS: &str =
    "[webhooks]\nallow_http = true\nallow_networks = [\"127.0.0.1/32\"]\nschedule_s = [1, 1, 1, 1, 1, 1, 1, 1]\n";

/// The folder that cargo builds to.
pub fn target() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    while !folder.ends_with("debug") && !folder.ends_with("release") {
        assert!(folder.pop(), "the tests are not in a target folder");
    }
    folder.parent().unwrap().to_owned()
}

/// Python with the package `PyJWT`, made by `cargo xtask test`.
fn python() -> PathBuf {
    let python = target().join("tools/jws/bin/python");
    assert!(python.exists(), "{} is missing: `cargo xtask test` makes it", python.display());
    python
}

/// A disk licensed for every kind that a merchant asks a portal for, behind its maker's component. `address`: where that listens.
pub fn disk(dir: &Path, address: &str) -> SimHandle {
    disk_with(dir, address, |config| config.issue_time_ms = 5)
}

/// The same, changed. Each in a folder of its own.
pub fn disk_with(dir: &Path, address: &str, change: impl FnOnce(&mut SimConfig)) -> SimHandle {
    let segment = |kind, code: &str| Segment {
        kind,
        code: code.parse().unwrap(),
        first: "00000001".parse().unwrap(),
        last: "00090000".parse().unwrap(),
        bought_at: None,
        closed: false,
    };
    let mut config = SimConfig {
        taxpayer_number: SELLER.to_owned(),
        kinds: vec![
            InvoiceKind::PaperOrdinary,
            InvoiceKind::PaperSpecial,
            InvoiceKind::Roll,
            InvoiceKind::ElectronicOrdinary,
            InvoiceKind::ElectronicSpecial,
        ],
        segments: vec![
            segment(InvoiceKind::PaperOrdinary, "1100200320"),
            segment(InvoiceKind::PaperSpecial, "1100200130"),
            segment(InvoiceKind::Roll, "011002000107"),
            segment(InvoiceKind::ElectronicOrdinary, "011002000111"),
            segment(InvoiceKind::ElectronicSpecial, "011002000113"),
        ],
        ..bridge::fresh_disk()
    };
    change(&mut config);
    let options = SimOptions {
        state_dir: dir.join("disk-component"),
        link: Some(dir.join("tty-component")),
        http: Some(HttpOptions { listen: address.parse().unwrap(), ..HttpOptions::default() }),
        config,
        ..SimOptions::default()
    };
    serve(options).unwrap()
}

/// An agent of that disk. Not started.
pub fn agent(rig: &Rig, sim: &SimHandle) -> AgentRig {
    agent_named("component", rig, sim)
}

/// The same, where there are several.
pub fn agent_named(name: &str, rig: &Rig, sim: &SimHandle) -> AgentRig {
    AgentRig::enroll_disks(rig, name, "", &[component(sim)])
}

/// The disk as an agent's configuration has it.
pub fn component(sim: &SimHandle) -> (String, String) {
    let url = format!("http://{}{}", sim.http().unwrap(), bridge::BRIDGE_PATH);
    let entry = format!("url = \"{url}\"\nprofile = \"nisec-bridge\"\n");
    (url, entry)
}

/// The broker behind a portal.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    /// Its address for callers.
    pub url: &'a str,
    /// A key of it.
    pub key: &'a str,
    /// More lines of the section `[broker]`.
    pub lines: &'a str,
}

/// A portal's process, its folder, and a caller of it.
pub struct PortalRig {
    /// The process.
    pub running: Running,
    /// Where it is reached.
    pub url: String,
    /// Its files, and the caller's keys.
    pub dir: PathBuf,
}

impl PortalRig {
    /// A portal with one tenant and one caller.
    pub fn start(rig: &Rig) -> PortalRig {
        let portal = PortalRig::empty(rig);
        portal.set_up();
        portal
    }

    /// A portal that knows nobody yet.
    pub fn empty(rig: &Rig) -> PortalRig {
        PortalRig::with_config(rig, "")
    }

    /// As [`PortalRig::empty`]. `more`: lines of the section `[callbacks]`, and sections after it.
    pub fn with_config(rig: &Rig, more: &str) -> PortalRig {
        let broker = Before { url: &rig.broker.url, key: &rig.broker.admin_key(), lines: "" };
        let dir = rig.path().join("portal");
        PortalRig::of(&dir, &format!("sqlite:{}", dir.join("portal.db").display()), &broker, more)
    }

    /// A portal in this folder, with its store at this URL.
    pub fn of(dir: &Path, store: &str, broker: &Before<'_>, more: &str) -> PortalRig {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("broker.key"), broker.key).unwrap();
        std::fs::write(dir.join("portal.toml"), PortalRig::config(dir, store, broker, more)).unwrap();
        let (running, url) = Self::spawn(dir, ANY_PORT, None);
        PortalRig { running, url, dir: dir.to_owned() }
    }

    /// The text of its configuration.
    pub fn config(dir: &Path, store: &str, broker: &Before<'_>, more: &str) -> String {
        format!(
            "environment = \"test\"\n[store]\nurl = \"{store}\"\n[broker]\nurl = \"{}\"\nkey_file = \"{}\"\ndisks_s = 1\n{}\
             [callbacks]\nallow_http = true\nallow_networks = [\"127.0.0.1/32\"]\nschedule_s = [{}]\n{more}",
            broker.url,
            dir.join("broker.key").display(),
            broker.lines,
            ["1"; 60].join(","),
        )
    }

    fn spawn(dir: &Path, address: &str, point: Option<&str>) -> (Running, String) {
        let ready = dir.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let mut command = Command::new(binary("taxdisk-portal"));
        command.arg("serve").arg("--config").arg(dir.join("portal.toml")).args(["--listen", address]);
        command.arg("--ready-file").arg(&ready).arg("--operator-key-file").arg(dir.join("operator.key"));
        command.env_remove("TAXDISK_FAULT_POINT");
        if let Some(point) = point {
            command.env("TAXDISK_FAULT_POINT", point);
        }
        let log = dir.join("portal.log");
        let mut running = Running::start("portal", &log, command);
        let url = wait_for("the portal to be ready", PATIENCE, || {
            assert!(running.ended().is_none(), "it ended: {}", tail(&log));
            let text = std::fs::read_to_string(&ready).map_err(|error| error.to_string())?;
            let ready: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            ready["url"].as_str().map(str::to_owned).ok_or(text)
        });
        (running, url)
    }

    /// A tenant with the tests' seller, and a caller with a key of its own.
    pub fn set_up(&self) {
        self.set_up_for(&[("A", SELLER)]);
    }

    /// The same with sellers by their organisations.
    pub fn set_up_for(&self, sellers: &[(&str, &str)]) {
        let api = self.operator();
        let run = |args: &[&str]| {
            let output = Command::new("openssl").args(args).current_dir(&self.dir).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run(&["genrsa", "-out", "caller.pem", "2048"]);
        run(&["rsa", "-in", "caller.pem", "-pubout", "-out", "caller.pub"]);
        let public = std::fs::read_to_string(self.dir.join("caller.pub")).unwrap();
        let sellers: Vec<Value> = sellers
            .iter()
            .map(|(orgcode, number)| {
                let point = json!({ "orgcode": orgcode, "clerk": "张三" });
                json!({ "taxpayer_number": number, "name": "示例商贸有限公司", "points": [point] })
            })
            .collect();
        let tenant = api.put("/admin/v1/tenants/shop", &json!({ "name": "示例", "sellers": sellers }));
        assert_eq!(tenant.status, 200, "{tenant:?}");
        let caller = api.put("/admin/v1/callers/APP1", &json!({ "tenant": "shop", "public_keys": [public] }));
        assert_eq!(caller.status, 200, "{caller:?}");
        let stranger = Api::new(&self.url, "nobody").try_get("/admin/v1/tenants").unwrap();
        assert_eq!(stranger.status, 401);
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("portal.log")).unwrap_or_default()
    }

    /// `kill -9`, then again at the same address.
    pub fn kill_and_restart(&mut self) {
        self.running.kill();
        self.start_again(None);
    }

    /// Starts it again at the same address, perhaps to die at a named point.
    pub fn start_again(&mut self, point: Option<&str>) {
        let address = self.url.trim_start_matches("http://").to_owned();
        (self.running, _) = Self::spawn(&self.dir, &address, point);
    }

    /// What the operator sees.
    pub fn operator(&self) -> Api {
        let key = std::fs::read_to_string(self.dir.join("operator.key")).unwrap();
        Api::new(&self.url, key.trim())
    }

    /// A script of the folder `portal`, told where the portal is and who calls it.
    pub fn script(&self, name: &str, more: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("portal").join(name);
        let mut command = Command::new(python());
        command.arg(script).args([&self.url, "APP1"]).arg(self.dir.join("caller.pem")).arg(SELLER).args(more);
        command
    }

    /// One call; an error is one of the connection.
    pub fn try_call(&self, name: &str, fields: &[(&str, &str)]) -> Result<Value, String> {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let more: Vec<&str> = [name].into_iter().chain(fields.iter().map(String::as_str)).collect();
        let output = self.script("call.py", &more).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    /// The same, answered.
    pub fn call(&self, name: &str, fields: &[(&str, &str)]) -> Value {
        self.try_call(name, fields).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Sends a document until it is answered with anything but "the same again".
    pub fn insert(&self, document: &Value, callback: &str) {
        let url = json!([{ "fpqqlsh": document["FPQQLSH"], "url": callback }]).to_string();
        self.insert_with(document, &[("url", &url)]);
    }

    /// The same with these fields beside it.
    pub fn insert_with(&self, document: &Value, more: &[(&str, &str)]) {
        let documents = json!([document]).to_string();
        let fields = [&[("requestdatas", documents.as_str())], more].concat();
        wait_for("the document to be taken", PATIENCE, || {
            let reply = self.try_call("insertWithArray", &fields)?;
            match reply["code"].as_str() {
                Some("0000") => Ok(()),
                Some("9999") => Err(reply.to_string()),
                _ => panic!("{reply}"),
            }
        });
    }

    /// The answer once a request has that status code.
    pub fn wait_status(&self, serial: &str, code: &str) -> Value {
        wait_for(&format!("{serial} to have status {code}"), PATIENCE, || {
            let reply = self.try_call("queryInvoiceStatus", &[("fpqqlsh", serial)])?;
            if reply["statuscode"] == code { Ok(reply) } else { Err(reply.to_string()) }
        })
    }
}
