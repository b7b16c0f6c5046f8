//! The portal's pages and the broker's console in a real browser: starts broker, agents, simulated disks and portal, and hands
//! their addresses to the walks in `tests/browser`, which drive Chromium. Each walk is a test and is printed and counted as cargo
//! does it.
//!
//! A walk asks this program for what no page can say and nobody at a page can do (`Asked`): a disk's own ledger; to stop and
//! start agent and broker; to take the disk's blank invoices away; a job that nobody can tell whether it was issued. At the end
//! the ledgers are the oracle: one invoice for each serial number, whatever was clicked.
//!
//! A second seller has a disk of his own, the till: what walks of the broker's console break is not what consumers look at.
//!
//! Nothing is skipped: a missing program is a failure that names it. Arguments: words that names of walks must contain.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::Instant;

use minisign::KeyPair;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use taxdisk_drivers::sim::SimHandle;
use taxdisk_drivers::sim::config::SimConfig;
use taxdisk_drivers::sim::faults::{Fault, FaultKind};
use taxdisk_drivers::sim::ledger::{Ledger, Origin};
use taxdisk_protocol::api::JobState;
use taxdisk_tests::jobs::{self, SELLER};
use taxdisk_tests::oracle;
use taxdisk_tests::portal::{ANY_PORT, HOOKS, PortalRig, agent, disk, target};
use taxdisk_tests::process::{PATIENCE, binary, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig, SimRig};

/// Begins a line of the walks that is a question.
const ASKS: &str = "@ask ";
/// Begins the line with what they came to.
const COUNTS: &str = "@counts ";

/// What a walk asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Asked {
    /// What the disk signed, by its own ledger.
    Ledger,
    /// Pull the plug of the agent.
    StopAgent,
    /// Put it back, if it was pulled; answered when the disk is on line.
    StartAgent,
    /// Pull the plug of the broker.
    StopBroker,
    /// Put it back, if it was pulled; answered when the disk is on line.
    StartBroker,
    /// No blank invoice is left on the disk.
    EmptyDisk,
    /// They are there again.
    FillDisk,
    /// What the till signed.
    TillLedger,
    /// Make a job of this serial number at the till of which nobody can tell whether it was issued; answered with the till's next
    /// number when it is unsettled.
    Doubt(String),
}

/// How many walks there were.
#[derive(Debug, Default, Deserialize)]
struct Counts {
    passed: u64,
    failed: u64,
    filtered_out: u64,
}

fn main() -> ExitCode {
    let started = Instant::now();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut counts = match walks(&words) {
        Ok(counts) => counts,
        Err(text) => {
            println!("test browser ... FAILED\n{text}");
            Counts { failed: 1, ..Counts::default() }
        }
    };
    if counts.passed + counts.failed == 0 {
        println!("no walk has such a name");
        counts.failed = 1;
    }
    let result = if counts.failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s",
        counts.passed,
        counts.failed,
        counts.filtered_out,
        started.elapsed().as_secs_f64(),
    );
    if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Everything that runs while the walks do.
struct Site {
    /// Programs that the broker could offer; its agents take none.
    _releases: tempfile::TempDir,
    rig: Rig,
    agent: AgentRig,
    portal: PortalRig,
    disk: String,
    sim: SimHandle,
    till: SimRig,
    /// Of the till; it runs until the end.
    _till_agent: AgentRig,
    /// By which the first administrator of the console sets his password.
    administrator_link: String,
}

/// The seller of the till.
const SECOND: &str = "91310000MA00000025";
/// 开具 on the wire.
const ISSUE: u8 = 0x0A;
/// A week, seconds.
const WEEK_S: i64 = 7 * 24 * 3600;

/// A disk of the second seller, with a lock date in a week, and its agent.
fn till(rig: &Rig) -> (SimRig, AgentRig) {
    // Without a mark equality is no proof, so that a person must decide.
    let answer = rig.api.put(&format!("/v1/sellers/{SECOND}"), &json!({ "name": "示例零售有限公司", "mark": false }));
    assert!(answer.status < 300, "{answer:?}");
    let till = rig.disk("till", |config| {
        config.taxpayer_number = SECOND.to_owned();
        config.disk_number = "661234567890".to_owned();
    });
    till.handle.with(|rig| {
        let day = rig.disk.now().plus_seconds(WEEK_S).date();
        rig.disk.configure(|config| config.limits.deadline = Some(day)).unwrap();
    });
    let mut agent = AgentRig::enroll(rig, "till", &[&till.port], "answer_timeout_ms = 1000");
    agent.start(None);
    (till, agent)
}

/// Two signed programs, and one of which the program itself is missing.
fn releases_in(folder: &Path) {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    for version in ["0.2.0", "1.0.0", "0.9.9"] {
        let file = format!("taxdisk-agent-{version}-{}", taxdisk_protocol::update::target());
        let program = format!("program {version}");
        let manifest = json!({
            "format": 1, "product": "taxdisk-agent", "version": version, "channel": "stable",
            "target": taxdisk_protocol::update::target(), "file": file, "size_bytes": program.len(),
            "sha256": hex::encode(Sha256::digest(&program)), "from": "0.1.0",
        })
        .to_string();
        let signature = minisign::sign(Some(&pair.pk), &pair.sk, manifest.as_bytes(), None, None).unwrap();
        let put = |name: String, content: &str| std::fs::write(folder.join(name), content).unwrap();
        if version != "0.9.9" {
            put(file.clone(), &program);
        }
        put(format!("{file}.json.minisig"), &signature.to_string());
        put(format!("{file}.json"), &manifest);
    }
}

/// A job of the second seller; the buyer makes it unlike all others.
fn sale(serial: &str) -> Value {
    let mut job = jobs::distinct(serial);
    job["seller"] = json!(SECOND);
    job
}

fn walks(words: &[String]) -> Result<Counts, String> {
    let chromium = found("chromium", &["chromium", "chromium-browser", "google-chrome"])?;
    let node = found("nodejs", &["node", "nodejs"])?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    for package in ["playwright-core", "axe-core"] {
        if !folder.join("node_modules").join(package).is_dir() {
            return Err(format!(
                "{package} is missing: `cargo xtask test --only browser` installs it, or run `npm ci` in tests/browser"
            ));
        }
    }
    let mut site = Site::start();
    let settings = site.settings(&chromium);
    let mut child = Command::new(node)
        .arg(folder.join("main.mjs"))
        .args(words)
        .env("TAXDISK_BROWSER", settings.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("node does not start: {error}"))?;
    let told = site.serve(&mut child);
    let status = child.wait().map_err(|error| format!("node cannot be waited for: {error}"))?;
    let mut counts = told.ok_or_else(|| format!("the walks ended early ({status})"))?;
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| site.judge())) {
        Ok(entries) => {
            println!("test the_disks_own_ledger_has_one_invoice_for_each_serial_number ... ok ({entries} invoices)");
            counts.passed += 1;
        }
        Err(_) => {
            println!("test the_disks_own_ledger_has_one_invoice_for_each_serial_number ... FAILED");
            counts.failed += 1;
        }
    }
    Ok(counts)
}

/// A program of the path.
fn found(package: &str, names: &[&str]) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = || std::env::split_paths(&path).flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    all().find(|program| program.is_file()).ok_or_else(|| {
        format!("{} is missing: `cargo xtask test` installs it, or: apt-get install {package}", names.join(" or "))
    })
}

impl Site {
    fn start() -> Site {
        let releases = tempfile::Builder::new().prefix("taxdisk-releases-").tempdir().unwrap();
        releases_in(releases.path());
        let mut rig = Rig::with_broker_config(&format!(
            "{HOOKS}[updates]\ndir = {:?}\n[two_persons]\nbulk_reissue = true\n",
            releases.path()
        ));
        rig.broker.kill();
        let administrator_link = rig.broker.tool(&["user", "add", "root", "--role", "administrator"]).trim().to_owned();
        rig.broker.start_again(None);
        let (till, till_agent) = till(&rig);
        let sim = disk(rig.path(), ANY_PORT);
        let mut agent = agent(&rig, &sim);
        agent.start(None);
        let disk = sim.with(|rig| rig.disk.config().disk_number.clone());
        rig.wait_online(&disk);
        // The merchant's service is asked over TLS alone.
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(rig.path().join("merchant.pem"), made.cert.pem()).unwrap();
        std::fs::write(rig.path().join("merchant.key"), made.signing_key.serialize_pem()).unwrap();
        let (mail_port, merchant_port) = (free_port(), free_port());
        std::fs::write(rig.path().join("wechat.secret"), "s&cret").unwrap();
        // Every walk comes from one address; the limits of an address have tests of their own.
        let more = format!(
            "ca_file = \"{}\"\n[deliveries]\nschedule_s = [1, 1, 1, 1, 1, 1, 1, 1]\n\
             [mail]\nhost = \"127.0.0.1\"\nport = {mail_port}\nsecurity = \"plain_on_loopback\"\nfrom = \"发票服务 <fp@platform.example>\"\n\
             [wechat]\nbase_url = \"https://127.0.0.1:{merchant_port}\"\napp_id = \"wxplatform\"\nsecret_file = \"{}\"\n\
             s_pappid = \"pappid\"\ncard_id = \"card\"\ntitles = true\n\
             [limits]\nscans_per_min = 60000\nfinds_per_min = 60000\nall_finds_per_min = 60000\n",
            rig.path().join("merchant.pem").display(),
            rig.path().join("wechat.secret").display(),
        );
        std::fs::write(rig.path().join("merchant.port"), merchant_port.to_string()).unwrap();
        std::fs::write(rig.path().join("mail.port"), mail_port.to_string()).unwrap();
        let portal = PortalRig::with_config(&rig, &more);
        portal.set_up();
        rig.wait_online(&till.number);
        Site { _releases: releases, rig, agent, portal, disk, sim, till, _till_agent: till_agent, administrator_link }
    }

    /// What the walks need to know.
    fn settings(&self, chromium: &Path) -> Value {
        let text = |path: PathBuf| std::fs::read_to_string(path).unwrap().trim().to_owned();
        json!({
            "portal": self.portal.url, "operatorKey": text(self.portal.dir.join("operator.key")),
            "broker": self.rig.broker.url, "brokerKey": self.rig.broker.admin_key(),
            "administratorLink": self.administrator_link, "disk": self.disk, "second": SECOND, "tillDisk": self.till.number,
            "seller": SELLER, "appid": "APP1", "callerKey": text(self.portal.dir.join("caller.pem")),
            "certificate": text(self.rig.path().join("merchant.pem")), "certificateKey": text(self.rig.path().join("merchant.key")),
            "mailPort": text(self.rig.path().join("mail.port")).parse::<u16>().unwrap(),
            "merchantPort": text(self.rig.path().join("merchant.port")).parse::<u16>().unwrap(),
            "portalProgram": binary("taxdisk-portal"), "scratch": self.rig.path(), "chromium": chromium,
            "out": target().join("browser"), "pictures": std::env::var_os("TAXDISK_TEST_PICTURES").map(PathBuf::from),
        })
    }

    /// Prints what the walks say and answers what they ask, until they end. `None`: they did not say what they came to.
    fn serve(&mut self, child: &mut Child) -> Option<Counts> {
        let mut answers: ChildStdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut counts = None;
        for line in lines.map_while(Result::ok) {
            if let Some(asked) = line.strip_prefix(ASKS) {
                let answer = self.answer(&serde_json::from_str(asked).unwrap());
                writeln!(answers, "{answer}").unwrap();
            } else if let Some(told) = line.strip_prefix(COUNTS) {
                counts = Some(serde_json::from_str(told).unwrap());
            } else {
                println!("{line}");
            }
        }
        counts
    }

    fn answer(&mut self, asked: &Asked) -> Value {
        match asked {
            Asked::Ledger => json!(Ledger::read(&self.rig.path().join("disk-component")).unwrap()),
            Asked::StopAgent => {
                self.agent.kill();
                json!(true)
            }
            Asked::StartAgent => {
                if !self.agent.is_running() {
                    self.agent.start(None);
                }
                self.rig.wait_online(&self.disk);
                json!(true)
            }
            Asked::StopBroker => {
                self.rig.broker.kill();
                json!(true)
            }
            Asked::StartBroker => {
                if self.rig.broker.running.ended().is_some() {
                    self.rig.broker.start_again(None);
                }
                self.rig.wait_online(&self.disk);
                json!(true)
            }
            Asked::EmptyDisk => self.stocked(false),
            Asked::FillDisk => self.stocked(true),
            Asked::TillLedger => json!(self.till.ledger()),
            Asked::Doubt(serial) => self.doubt(serial),
        }
    }

    /// The command is swallowed by the disk; while its agent waits for the answer, another program issues the same.
    fn doubt(&self, serial: &str) -> Value {
        let heard = self.till.complete_commands(ISSUE);
        self.till.fault(Fault::once(FaultKind::LoseAnswerBeforeSigning).on(ISSUE));
        let job = sale(serial);
        assert_eq!(self.rig.api.submit(&job).status, 201);
        wait_for("the command at the till", PATIENCE, || {
            if self.till.complete_commands(ISSUE) > heard { Ok(()) } else { Err("not there yet".to_owned()) }
        });
        self.till.foreign_issue(&job, "");
        wait_for("an unsettled job", PATIENCE * 2, || {
            let job = self.rig.api.try_job(SECOND, serial)?;
            if job.state == JobState::Unsettled { Ok(()) } else { Err(oracle::summary(&job)) }
        });
        let last = self.till.ledger().last().unwrap().pair();
        let current = last.successor().unwrap();
        json!({ "current": { "code": current.code, "number": current.number } })
    }

    /// Whether the disk has blank invoices. Nobody is told: agents look by themselves.
    fn stocked(&self, stocked: bool) -> Value {
        let close = |config: &mut SimConfig| config.segments.iter_mut().for_each(|segment| segment.closed = !stocked);
        self.sim.with(|rig| rig.disk.configure(close)).unwrap();
        json!(true)
    }

    /// The disk's own ledger against what the broker says of every job; how many invoices there are.
    fn judge(&self) -> usize {
        self.judge_till();
        let jobs = wait_for("the end of every job", PATIENCE, || {
            let jobs = self.rig.api.try_jobs(SELLER)?;
            let open = jobs.iter().filter(|job| !job.state.is_terminal()).count();
            if open == 0 { Ok(jobs) } else { Err(format!("{open} are open")) }
        });
        let entries = Ledger::read(&self.rig.path().join("disk-component")).unwrap();
        oracle::check_entries(&jobs, &entries);
        entries.len()
    }

    /// The till writes no marks, so its numbers are compared: what is called issued is signed by us, and nothing else is.
    fn judge_till(&self) {
        let jobs = wait_for("the end of every job of the till", PATIENCE, || {
            let jobs = self.rig.api.try_jobs(SECOND)?;
            let open = jobs.iter().filter(|job| !job.state.is_terminal()).count();
            if open == 0 { Ok(jobs) } else { Err(format!("{open} are open")) }
        });
        let issued = jobs.iter().filter_map(|job| job.issued.as_ref());
        let issued: BTreeSet<String> = issued.map(|issued| format!("{} {}", issued.code, issued.number)).collect();
        let ours = self.till.ledger().into_iter().filter(|entry| entry.origin == Origin::Host);
        let ours: BTreeSet<String> = ours.map(|entry| format!("{} {}", entry.code, entry.number)).collect();
        assert_eq!(issued, ours);
        assert_eq!(issued.len(), jobs.iter().filter(|job| job.state == JobState::Issued).count());
    }
}

/// A port that nobody has now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
