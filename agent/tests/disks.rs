//! The shipped binary between a broker of tests and a simulated disk behind a real pseudo-terminal.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod pc;

use std::path::{Path, PathBuf};

use broker::{Broker, Link};
use pc::Pc;
use taxdisk_drivers::sim::{SimConfig, SimHandle, SimOptions, serve};
use taxdisk_protocol::api::{BuyerBody, InvoiceBody, LineBody, Operation, TotalsBody};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::link::{AgentFrame, Assignment, AttemptRef, AttemptResult, BrokerFrame};

const DISK_PASSWORD: &str = "Zq7xW3kP";
const TAXPAYER: &str = "91110000MA0000001L";
const CERTIFICATE_PASSWORD: &str = "Vb9mT2hR";

fn secrets_text() -> String {
    format!("disk_password = \"{DISK_PASSWORD}\"\ncertificate_password = \"{CERTIFICATE_PASSWORD}\"\n")
}

/// A folder of profiles by which a converter is waited for less long, as a section of the configuration.
fn quick(pc: &Pc) -> String {
    let dir = pc.path("profiles.d");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("quick.toml"), "name = \"zc-converter\"\n[timeouts]\nsilence_ms = 100\n").unwrap();
    format!("[profiles]\ndir = {dir:?}")
}

/// A PC with a simulated disk at `disk`, enrolled at this broker.
fn with_disk(broker: &Broker) -> (Pc, SimHandle, String, String) {
    let pc = Pc::new("");
    let port = pc.path("disk").display().to_string();
    pc.configure(&quick(&pc), &format!("[[disk]]\nport = \"{port}\"\n"));
    let config = SimConfig {
        taxpayer_number: TAXPAYER.into(),
        disk_password: DISK_PASSWORD.into(),
        certificate_password: CERTIFICATE_PASSWORD.into(),
        ..SimConfig::default()
    };
    let options = SimOptions { state_dir: pc.path("sim"), link: Some(pc.path("disk")), config, ..SimOptions::default() };
    let sim = serve(options).unwrap();
    let key = pc.enrol(broker);
    (pc, sim, port, key)
}

fn set_secret(pc: &Pc, port: &str) -> String {
    std::fs::write(pc.path("passwords.toml"), secrets_text()).unwrap();
    let said = pc.ends(0, &["disks", "secret", "set", port, "--from-file", "passwords.toml"]);
    std::fs::remove_file(pc.path("passwords.toml")).unwrap();
    said
}

fn coffee(serial: &str, sequence: u64) -> Assignment {
    let invoice = InvoiceBody {
        buyer: BuyerBody { name: "个人".into(), ..BuyerBody::default() },
        lines: vec![LineBody {
            name: "咖啡".into(),
            quantity: Some("1".into()),
            price: Some("10.00".into()),
            net: "10.00".into(),
            rate: "0.13".into(),
            tax: "1.30".into(),
            ..LineBody::default()
        }],
        totals: TotalsBody { net: "10.00".into(), tax: "1.30".into(), gross: "11.30".into() },
        clerk: "张三".into(),
        ..InvoiceBody::default()
    };
    let key = JobKey { seller: TAXPAYER.parse().unwrap(), serial: serial.parse().unwrap() };
    Assignment {
        attempt: AttemptRef { key, attempt: 1 },
        sequence,
        operation: Operation::Issue,
        kind: "025".parse().unwrap(),
        invoice,
        content_hash: "00".repeat(32),
        original: None,
        mark: None,
        trace: None,
    }
}

/// Waits for the report of a ready disk and grants it.
fn granted(link: &Link, epoch: u64) -> DiskNumber {
    // A disk is granted before it is ready: at first contact it gets ready by reading its numbers under the grant.
    let report = link.until(|frame| matches!(frame, AgentFrame::Disks { disks } if !disks.is_empty()));
    let AgentFrame::Disks { disks } = report else { panic!() };
    let disk: DiskNumber = disks[0].disk.parse().unwrap();
    link.say(&BrokerFrame::Grant {
        disk: disk.clone(),
        epoch,
        accounted: Vec::new(),
        open: Vec::new(),
        forgotten: Default::default(),
    });
    disk
}

fn outcome_of(link: &Link, serial: &str) -> (String, AttemptResult) {
    let frame = link.until(|frame| match frame {
        AgentFrame::Outcome { attempt, .. } => attempt.key.serial.as_str() == serial,
        AgentFrame::Accounted { .. } | AgentFrame::Started { .. } | AgentFrame::Disks { .. } => false,
        other => panic!("{other:?}"),
    });
    match frame {
        AgentFrame::Outcome { id, outcome, .. } => (id, outcome),
        other => panic!("{other:?}"),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn one_invoice_is_issued_kept_until_acknowledged_and_no_password_shows_anywhere() {
    let broker = Broker::start();
    let (pc, sim, port, key) = with_disk(&broker);
    let mut said = vec![set_secret(&pc, &port)];
    said.push(pc.ends(0, &["disks"]));
    said.push(pc.ends(0, &["disks", "--json"]));
    assert!(said[1].contains("499000123456") && said[1].contains("025: 913") && said[1].contains("ready"), "{}", said[1]);

    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    let disk = granted(&link, 1);
    link.say(&BrokerFrame::Assign { disk: disk.clone(), epoch: 1, assignment: coffee("A1", 1) });
    let (id, outcome) = outcome_of(&link, "A1");
    assert!(matches!(&outcome, AttemptResult::Issued { pair, .. } if pair.to_string() == "011002000107 00000088"), "{outcome:?}");
    said.push(pc.ends(0, &["status"]));
    assert!(said[3].contains("499000123456"), "{}", said[3]);

    // No ack: the outcome comes again after the next welcome, with the same id, and the disk is not touched again.
    drop(link);
    let link = broker.link();
    link.welcome(&key);
    granted(&link, 2);
    let (again, same) = outcome_of(&link, "A1");
    assert_eq!((&again, &same), (&id, &outcome));
    link.say(&BrokerFrame::Ack { ids: vec![id] });
    // An assignment that comes twice is answered from the index.
    link.say(&BrokerFrame::Assign { disk, epoch: 2, assignment: coffee("A1", 1) });
    // The broker has the signature by now; the index line, which is kept for ever, does not carry it.
    // Until the record of the ack is durable the outbox entry with the signature may still be the one that answers.
    let unsigned = |mut outcome: AttemptResult| {
        if let AttemptResult::Issued { signature, .. } = &mut outcome {
            signature.clear();
        }
        outcome
    };
    assert_eq!(unsigned(outcome_of(&link, "A1").1), unsigned(outcome.clone()));
    assert_eq!(sim.with(|rig| rig.disk.ledger().entries().len()), 1);

    said.push(pc.ends(0, &["doctor", "--json"]));
    assert_eq!(agent.stop(), Some(0));
    said.push(pc.ends(0, &["journal", "show", "--json"]));
    assert!(said[5].contains("00000088"), "{}", said[5]);
    said.push(pc.log());
    for text in &said {
        assert!(!holds(text.as_bytes(), DISK_PASSWORD) && !holds(text.as_bytes(), CERTIFICATE_PASSWORD), "{text}");
    }
    let state = files(&pc.state());
    assert!(state.len() >= 5, "{state:?}");
    for file in state {
        let found = holds(&std::fs::read(&file).unwrap_or_default(), DISK_PASSWORD);
        assert_eq!(found, file.ends_with("secrets.json"), "{}", file.display());
    }
}

#[test]
fn a_disk_without_passwords_waits_and_goes_to_work_once_they_are_set() {
    let broker = Broker::start();
    let (pc, _sim, port, key) = with_disk(&broker);
    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    pc::until("status tells what to do", || pc.ends(0, &["status"]).contains("disks secret set"));
    assert!(set_secret(&pc, &port).contains("running agent uses them"));
    granted(&link, 1);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn an_unplugged_disk_leaves_the_report_and_comes_back() {
    let broker = Broker::start();
    let (pc, sim, port, key) = with_disk(&broker);
    set_secret(&pc, &port);
    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    granted(&link, 1);
    sim.unplug();
    link.until(|frame| matches!(frame, AgentFrame::Disks { disks } if disks.is_empty()));
    pc::until("status counts the recovery by model", || {
        let status: serde_json::Value = serde_json::from_str(&pc.ends(0, &["status", "--json"])).unwrap();
        status["recoveries"]["zc-converter"]["reopens"].as_u64() == Some(1) && status["disks"][0]["class"] == "not_present"
    });
    sim.replug().unwrap();
    granted(&link, 2);
    assert_eq!(agent.stop(), Some(0));
}

/// The disks of the next report that is like this.
fn reported(link: &Link, wanted: impl Fn(&[taxdisk_protocol::api::DiskReport]) -> bool) {
    link.until(|frame| matches!(frame, AgentFrame::Disks { disks } if wanted(disks)));
}

#[test]
fn a_disk_that_moves_to_another_port_is_the_same_disk() {
    let broker = Broker::start();
    let (pc, sim, port, key) = with_disk(&broker);
    let path = |name: &str| pc.path(name).display().to_string();
    pc.configure(&quick(&pc), &format!("[[disk]]\nport = \"{}\"\n[[disk]]\nport = \"{}\"\n", path("left"), path("right")));
    set_secret(&pc, &path("left"));
    set_secret(&pc, &path("right"));
    std::os::unix::fs::symlink(&port, path("left")).unwrap();
    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    let disk = granted(&link, 1);
    sim.unplug();
    std::fs::remove_file(path("left")).unwrap();
    reported(&link, <[_]>::is_empty);
    std::os::unix::fs::symlink(&port, path("right")).unwrap();
    sim.replug().unwrap();
    reported(&link, |disks| disks.len() == 1 && disks[0].port == path("right") && disks[0].disk == disk.as_str());
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn two_ports_that_show_one_disk_number_get_no_work_until_one_is_gone() {
    let broker = Broker::start();
    let (pc, sim, port, key) = with_disk(&broker);
    let copy = pc.path("copy").display().to_string();
    pc.configure(&quick(&pc), &format!("[[disk]]\nport = \"{port}\"\n[[disk]]\nport = \"{copy}\"\n"));
    set_secret(&pc, &port);
    set_secret(&pc, &copy);
    let config = sim.with(|rig| rig.disk.config().clone());
    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    let disk = granted(&link, 1);
    let options = SimOptions { state_dir: pc.path("sim2"), link: Some(pc.path("copy")), config, ..SimOptions::default() };
    let second = serve(options).unwrap();
    reported(&link, <[_]>::is_empty);
    // A grant that crossed the alarm on its way reaches neither, and so does the work under it.
    link.say(&BrokerFrame::Grant {
        disk: disk.clone(),
        epoch: 2,
        accounted: Vec::new(),
        open: Vec::new(),
        forgotten: Default::default(),
    });
    link.say(&BrokerFrame::Assign { disk: disk.clone(), epoch: 2, assignment: coffee("A1", 1) });
    pc::until("status tells of both", || pc.ends(0, &["status"]).matches("same disk number").count() == 2);
    assert_eq!(explained(&pc, &port)["state"], "duplicate");
    assert_eq!(explained(&pc, &copy)["others"][0], port.as_str());
    for sim in [&sim, &second] {
        assert_eq!(sim.with(|rig| rig.disk.ledger().entries().len()), 0);
    }
    second.unplug();
    reported(&link, |disks| disks.len() == 1 && disks[0].port == port);
    assert_eq!(explained(&pc, &port)["state"], "in_use");
    assert_eq!(agent.stop(), Some(0));
}

fn doctor(pc: &Pc) -> serde_json::Value {
    // The broker of tests answers no join here; only the disks' part is looked at.
    let output = pc.run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", pc::text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn outcome(report: &serde_json::Value, code: &str) -> String {
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["code"] == code);
    check.unwrap_or_else(|| panic!("no {code}: {report}"))["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn doctor_tells_an_absent_port_from_a_held_one_and_from_missing_passwords() {
    let broker = Broker::start();
    let (pc, sim, port, _) = with_disk(&broker);
    pc.configure("[broker]\nurl = \"http://127.0.0.1:1\"", &format!("[[disk]]\nport = \"{port}\"\n"));
    let report = doctor(&pc);
    let found =
        ["disk.present", "disk.free", "disk.answers", "disk.passwords", "disk.identity"].map(|code| outcome(&report, code));
    assert_eq!(found, ["good", "good", "good", "failed", "not_made"], "{report}");

    set_secret(&pc, &port);
    let report = doctor(&pc);
    let found = ["disk.passwords", "disk.identity", "disk.stock", "disk.lock"].map(|code| outcome(&report, code));
    assert_eq!(found, ["good"; 4], "{report}");

    let held = taxdisk_drivers::transport::serial::SerialLine::open(&port, 9600).unwrap();
    let report = doctor(&pc);
    assert_eq!((outcome(&report, "disk.present"), outcome(&report, "disk.free")), ("good".into(), "failed".into()));
    assert!(report.to_string().contains(&format!("process {}", std::process::id())), "it says who holds it: {report}");
    drop(held);

    sim.unplug();
    let report = doctor(&pc);
    assert_eq!((outcome(&report, "disk.present"), outcome(&report, "disk.answers")), ("failed".into(), "not_made".into()));
}

/// The candidate of a place, as `disks --explain --json` shows it.
fn explained(pc: &Pc, place: &str) -> serde_json::Value {
    let shown: serde_json::Value = serde_json::from_str(&pc.ends(0, &["disks", "--explain", "--json"])).unwrap();
    let all = shown["candidates"].as_array().unwrap();
    all.iter().find(|one| one["place"] == place).unwrap_or_else(|| panic!("no {place}: {shown}")).clone()
}

#[test]
fn explain_tells_why_a_configured_disk_cannot_be_used_and_stops_a_refused_password() {
    let broker = Broker::start();
    let (pc, sim, port, _) = with_disk(&broker);
    let found = explained(&pc, &port);
    assert_eq!((&found["state"], &found["disk"]), (&"no_password".into(), &"499000123456".into()), "{found}");
    assert_eq!((&found["profiles"][0], &found["configured"]), (&"zc-converter".into(), &true.into()));

    set_secret(&pc, &port);
    let found = explained(&pc, &port);
    assert_eq!((&found["state"], &found["disk"]), (&"usable".into(), &"499000123456".into()), "{found}");
    assert!(pc.ends(0, &["disks", "--explain"]).contains("disk 499000123456 of 91110000MA0000001L answers"));

    let held = taxdisk_drivers::transport::serial::SerialLine::open(&port, 9600).unwrap();
    let found = explained(&pc, &port);
    assert_eq!(found["state"], "held", "{found}");
    assert_eq!(found["by"]["process"]["pid"], std::process::id(), "{found}");
    drop(held);

    std::fs::write(pc.path("bad.toml"), "disk_password = \"11112222\"\ncertificate_password = \"33334444\"\n").unwrap();
    pc.ends(0, &["disks", "secret", "set", &port, "--from-file", "bad.toml"]);
    let found = explained(&pc, &port);
    assert_eq!(found["state"], "wrong_password", "{found}");
    // The refusal is durable: whatever looks next sends that password no more.
    assert!(pc.ends(0, &["journal", "show", "--json"]).contains("password_stop"));
    let again = explained(&pc, &port);
    assert_eq!((&again["state"], &again["tries_left"]), (&"wrong_password".into(), &serde_json::Value::Null), "{again}");
    assert!(pc.ends(0, &["disks"]).contains("disks secret set"));

    sim.unplug();
    assert_eq!(explained(&pc, &port)["state"], "absent");
}

#[test]
fn a_running_agent_explains_its_own_disks() {
    let broker = Broker::start();
    let (pc, _sim, port, key) = with_disk(&broker);
    set_secret(&pc, &port);
    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    granted(&link, 1);
    pc::until("it is in use", || explained(&pc, &port)["state"] == "in_use");
    assert_eq!(explained(&pc, &port)["disk"], "499000123456");
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn the_simulated_disk_says_what_to_do_next_and_ends_on_sigterm() {
    let pc = Pc::new("");
    let link = pc.path("tty").display().to_string();
    let log = std::fs::File::create(pc.path("sim.log")).unwrap();
    let mut command = pc.command(&["sim", "--pty", &link, "--state", "simulated", "--stock", "011002000107:00000001-00000005"]);
    let sim = pc::Running { child: command.stdout(log).spawn().unwrap() };
    pc::until("it has told", || std::fs::read_to_string(pc.path("sim.log")).unwrap().contains("taxdisk-agent doctor"));
    std::fs::write(pc.path("p.toml"), "disk_password = \"88888888\"\ncertificate_password = \"12345678\"\n").unwrap();
    pc.configure("", &format!("[[disk]]\nport = \"{link}\"\n"));
    pc.ends(0, &["disks", "secret", "set", &link, "--from-file", "p.toml"]);
    let shown = pc.ends(0, &["disks"]);
    assert!(shown.contains("025: 5"), "{shown}");
    assert_eq!(sim.stop(), Some(0));
    assert!(!Path::new(&link).exists(), "the link goes with it");
}
