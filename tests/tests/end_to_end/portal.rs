//! The portal in front of broker, agent and simulated disk: an integrator written in another language.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use taxdisk_drivers::sim::config::{Segment, SimConfig};
use taxdisk_drivers::sim::{HttpOptions, SimHandle, SimOptions, bridge, serve};
use taxdisk_protocol::kind::InvoiceKind;
use taxdisk_tests::api::Api;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::{PATIENCE, Running, binary, tail, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

/// A free port of this machine.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";
pub(crate) const HOOKS: &str =
    "[webhooks]\nallow_http = true\nallow_networks = [\"127.0.0.1/32\"]\nschedule_s = [1, 1, 1, 1, 1, 1, 1, 1]\n";

/// Python with the package `PyJWT`, made by `cargo xtask test`.
fn python() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    while !folder.ends_with("debug") && !folder.ends_with("release") {
        assert!(folder.pop(), "the tests are not in a target folder");
    }
    let python = folder.parent().unwrap().join("tools/jws/bin/python");
    assert!(python.exists(), "{} is missing: `cargo xtask test` makes it", python.display());
    python
}

/// A disk licensed for every kind that a merchant asks a portal for, behind its maker's component. `address`: where that listens.
pub(crate) fn disk(dir: &Path, address: &str) -> SimHandle {
    let segment = |kind, code: &str| Segment {
        kind,
        code: code.parse().unwrap(),
        first: "00000001".parse().unwrap(),
        last: "00090000".parse().unwrap(),
        bought_at: None,
        closed: false,
    };
    let config = SimConfig {
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
        issue_time_ms: 5,
        ..bridge::fresh_disk()
    };
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
pub(crate) fn agent(rig: &Rig, sim: &SimHandle) -> AgentRig {
    let url = format!("http://{}{}", sim.http().unwrap(), bridge::BRIDGE_PATH);
    let entry = format!("url = \"{url}\"\nprofile = \"nisec-bridge\"\n");
    AgentRig::enroll_disks(rig, "component", "", &[(url, entry)])
}

/// A portal's process, its folder, and a caller of it.
pub(crate) struct PortalRig {
    pub(crate) running: Running,
    pub(crate) url: String,
    pub(crate) dir: PathBuf,
}

impl PortalRig {
    /// A portal with one tenant and one caller.
    pub(crate) fn start(rig: &Rig) -> PortalRig {
        let portal = PortalRig::empty(rig);
        portal.set_up();
        portal
    }

    /// A portal that knows nobody yet.
    pub(crate) fn empty(rig: &Rig) -> PortalRig {
        let dir = rig.path().join("portal");
        std::fs::create_dir_all(&dir).unwrap();
        let key = dir.join("broker.key");
        std::fs::write(&key, rig.broker.admin_key()).unwrap();
        let text = format!(
            "environment = \"test\"\n[store]\nurl = \"sqlite:{}\"\n[broker]\nurl = \"{}\"\nkey_file = \"{}\"\ndisks_s = 1\n\
             [callbacks]\nallow_http = true\nallow_networks = [\"127.0.0.1/32\"]\nschedule_s = [{}]\n",
            dir.join("portal.db").display(),
            rig.broker.url,
            key.display(),
            ["1"; 60].join(","),
        );
        std::fs::write(dir.join("portal.toml"), text).unwrap();
        let (running, url) = Self::spawn(&dir, ANY_PORT, None);
        PortalRig { running, url, dir }
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
    pub(crate) fn set_up(&self) {
        let api = self.operator();
        let run = |args: &[&str]| {
            let output = Command::new("openssl").args(args).current_dir(&self.dir).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run(&["genrsa", "-out", "caller.pem", "2048"]);
        run(&["rsa", "-in", "caller.pem", "-pubout", "-out", "caller.pub"]);
        let public = std::fs::read_to_string(self.dir.join("caller.pub")).unwrap();
        let seller =
            json!({ "taxpayer_number": SELLER, "name": "示例商贸有限公司", "points": [{ "orgcode": "A", "clerk": "张三" }] });
        let tenant = api.put("/admin/v1/tenants/shop", &json!({ "name": "示例", "sellers": [seller] }));
        assert_eq!(tenant.status, 200, "{tenant:?}");
        let caller = api.put("/admin/v1/callers/APP1", &json!({ "tenant": "shop", "public_keys": [public] }));
        assert_eq!(caller.status, 200, "{caller:?}");
        let stranger = Api::new(&self.url, "nobody").try_get("/admin/v1/tenants").unwrap();
        assert_eq!(stranger.status, 401);
    }

    /// `kill -9`, then again at the same address.
    pub(crate) fn kill_and_restart(&mut self) {
        self.running.kill();
        self.start_again(None);
    }

    /// Starts it again at the same address, perhaps to die at a named point.
    pub(crate) fn start_again(&mut self, point: Option<&str>) {
        let address = self.url.trim_start_matches("http://").to_owned();
        (self.running, _) = Self::spawn(&self.dir, &address, point);
    }

    /// What the operator sees.
    pub(crate) fn operator(&self) -> Api {
        let key = std::fs::read_to_string(self.dir.join("operator.key")).unwrap();
        Api::new(&self.url, key.trim())
    }

    pub(crate) fn script(&self, name: &str, more: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("portal").join(name);
        let mut command = Command::new(python());
        command.arg(script).args([&self.url, "APP1"]).arg(self.dir.join("caller.pem")).arg(SELLER).args(more);
        command
    }
}

#[test]
fn an_integrator_of_another_language_issues_queries_reverses_and_voids() {
    let rig = Rig::with_broker_config(HOOKS);
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    let number = sim.with(|rig| rig.disk.config().disk_number.clone());
    rig.wait_online(&number);
    let portal = PortalRig::start(&rig);
    let output = portal.script("integrator.py", &[]).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("done"), "{text}");
    assert!(portal.dir.join("portal.log").exists());
}
