//! The shipped binary with disks behind components: a NISEC bridge and an invoicing server, over HTTP.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod pc;

use broker::{Broker, Link};
use pc::Pc;
use taxdisk_drivers::sim::component::SKSERVER_PATH;
use taxdisk_drivers::sim::skserver::{CxfsOne, SkServerOptions};
use taxdisk_drivers::sim::{HttpOptions, SimConfig, SimHandle, SimOptions, bridge, serve};
use taxdisk_protocol::api::{BuyerBody, InvoiceBody, LineBody, Operation, TotalsBody};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::link::{AgentFrame, Assignment, AttemptRef, AttemptResult, BrokerFrame};

/// A number whose check character is right.
const TAXPAYER: &str = "91110000MA0000001L";

/// A simulated disk with both components in front of it.
fn served(pc: &Pc) -> SimHandle {
    served_by(pc, SkServerOptions::default())
}

fn served_by(pc: &Pc, skserver: SkServerOptions) -> SimHandle {
    let options = SimOptions {
        state_dir: pc.path("sim"),
        link: Some(pc.path("tty")),
        http: Some(HttpOptions { skserver, ..HttpOptions::default() }),
        config: SimConfig { taxpayer_number: TAXPAYER.into(), ..bridge::fresh_disk() },
        ..SimOptions::default()
    };
    serve(options).unwrap()
}

fn configure(pc: &Pc, sim: &SimHandle, name: &str, disk: &str) {
    pc.configure("", disk);
    let config = sim.with(|rig| rig.disk.config().clone());
    let text =
        format!("disk_password = \"{}\"\ncertificate_password = \"{}\"\n", config.disk_password, config.certificate_password);
    std::fs::write(pc.path("passwords.toml"), text).unwrap();
    pc.ends(0, &["disks", "secret", "set", name, "--from-file", "passwords.toml"]);
}

fn paper(serial: &str, sim: &SimHandle) -> Assignment {
    let config = sim.with(|rig| rig.disk.config().clone());
    let invoice = InvoiceBody {
        buyer: BuyerBody { name: "个人".into(), ..BuyerBody::default() },
        lines: vec![LineBody {
            name: "*纸制品*打印纸".into(),
            goods_code: Some("1060105000000000000".into()),
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
    let key = JobKey { seller: config.taxpayer_number.parse().unwrap(), serial: serial.parse().unwrap() };
    Assignment {
        attempt: AttemptRef { key, attempt: 1 },
        sequence: 1,
        operation: Operation::Issue,
        kind: "007".parse().unwrap(),
        invoice,
        content_hash: "00".repeat(32),
        original: None,
        mark: None,
        trace: None,
    }
}

fn issued(link: &Link) -> AttemptResult {
    let frame = link.until(|frame| matches!(frame, AgentFrame::Outcome { .. }));
    let AgentFrame::Outcome { outcome, .. } = frame else { panic!() };
    outcome
}

fn runs(pc: &Pc, broker: &Broker, key: &str, sim: &SimHandle) {
    let agent = pc.start();
    let link = broker.link();
    link.welcome(key);
    let report = link.until(|frame| matches!(frame, AgentFrame::Disks { disks } if !disks.is_empty()));
    let AgentFrame::Disks { disks } = report else { panic!() };
    let disk: DiskNumber = disks[0].disk.parse().unwrap();
    let before = sim.with(|rig| rig.disk.ledger().entries().len());
    link.say(&BrokerFrame::Grant {
        disk: disk.clone(),
        epoch: 1,
        accounted: Vec::new(),
        open: Vec::new(),
        forgotten: Default::default(),
    });
    link.say(&BrokerFrame::Assign { disk, epoch: 1, assignment: paper("A1", sim) });
    let outcome = issued(&link);
    assert!(matches!(outcome, AttemptResult::Issued { .. }), "{outcome:?}: {}", pc.log());
    assert_eq!(sim.with(|rig| rig.disk.ledger().entries().len()), before + 1);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_disk_behind_a_nisec_bridge_is_explained_and_issues() {
    let broker = Broker::start();
    let pc = Pc::new("");
    let key = pc.enrol(&broker);
    let sim = served(&pc);
    let url = format!("http://{}{}", sim.http().unwrap(), bridge::BRIDGE_PATH);
    configure(&pc, &sim, &url, &format!("[[disk]]\nurl = \"{url}\"\nprofile = \"nisec-bridge\"\n"));
    let shown = pc.ends(0, &["disks", "--explain"]);
    assert!(shown.contains(&format!("+ {url}")) && shown.contains("answers"), "{shown}");
    let several = pc.ends(2, &["disks", "report", "--dry-run"]);
    assert!(several.contains("--kind") && several.contains("007"), "{several}");
    runs(&pc, &broker, &key, &sim);
}

/// The disk behind the server, configured. Returns its address.
fn configure_server(pc: &Pc, sim: &SimHandle, more: &str) -> String {
    let url = format!("http://{}{SKSERVER_PATH}", sim.http().unwrap());
    let config = sim.with(|rig| rig.disk.config().clone());
    let kinds: Vec<String> = config.kinds.iter().map(ToString::to_string).collect();
    let section = format!(
        "[disk.skserver]\nterminal = \"1\"\ndisk = \"{}\"\ntaxpayer = \"{}\"\ntaxpayer_name = \"{}\"\nkinds = {kinds:?}\n{more}",
        config.disk_number, config.taxpayer_number, config.taxpayer_name
    );
    configure(pc, sim, &url, &format!("[[disk]]\nurl = \"{url}\"\nprofile = \"skserver\"\n{section}"));
    url
}

/// Starts the agent once more, and says whether its disk can be asked by serial.
fn finds_request(pc: &Pc, broker: &Broker, key: &str) -> bool {
    let agent = pc.start();
    let link = broker.link();
    link.welcome(key);
    let report = link.until(|frame| matches!(frame, AgentFrame::Disks { disks } if !disks.is_empty()));
    let AgentFrame::Disks { disks } = report else { panic!() };
    assert_eq!(agent.stop(), Some(0));
    disks[0].capabilities.finds_request
}

#[test]
fn a_server_is_asked_by_serial_once_it_has_proven_it_on_an_invoice_of_ours() {
    for (means, proven) in [(CxfsOne::Request, true), (CxfsOne::Dates, false)] {
        let broker = Broker::start();
        let pc = Pc::new("");
        let key = pc.enrol(&broker);
        let sim = served_by(&pc, SkServerOptions { cxfs_one: means, ..SkServerOptions::default() });
        configure_server(&pc, &sim, "request_query = 1\n");
        assert!(!finds_request(&pc, &broker, &key), "nothing is known yet that could prove it");
        runs(&pc, &broker, &key, &sim);
        assert_eq!(finds_request(&pc, &broker, &key), proven, "cxfs 1 means {means:?}: {}", pc.log());
    }
}

#[test]
fn a_disk_behind_an_invoicing_server_is_explained_and_issues() {
    let broker = Broker::start();
    let pc = Pc::new("");
    let key = pc.enrol(&broker);
    let sim = served(&pc);
    let url = configure_server(&pc, &sim, "");
    let shown = pc.ends(0, &["disks", "--explain"]);
    assert!(shown.contains(&format!("+ {url}")) && shown.contains("answers"), "{shown}");
    runs(&pc, &broker, &key, &sim);
}
