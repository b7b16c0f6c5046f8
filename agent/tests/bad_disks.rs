//! One good disk and several bad ones in one agent: the good one keeps issuing, the bad ones get no work and say why.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod pc;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::{Broker, Link};
use pc::Pc;
use taxdisk_drivers::sim::clock::ClockSetting;
use taxdisk_drivers::sim::faults::{Fault, FaultKind};
use taxdisk_drivers::sim::{SimConfig, SimHandle, SimOptions, serve};
use taxdisk_protocol::api::{BuyerBody, DiskReport, InvoiceBody, LineBody, Operation, TotalsBody};
use taxdisk_protocol::ids::{DiskNumber, JobKey};
use taxdisk_protocol::link::{AgentFrame, Assignment, AttemptRef, AttemptResult, BrokerFrame};

const TAXPAYER: &str = "91110000MA0000001L";
const GOOD: &str = "499000123456";
/// Invoices of the good disk while the others are bad.
const INVOICES: u64 = 8;

fn disk(pc: &Pc, name: &str, number: &str, change: impl FnOnce(&mut SimConfig)) -> SimHandle {
    let mut config = SimConfig { disk_number: number.into(), taxpayer_number: TAXPAYER.into(), ..SimConfig::default() };
    change(&mut config);
    let (state_dir, link) = (pc.path(&format!("{name}-state")), Some(pc.path(name)));
    serve(SimOptions { state_dir, link, config, ..SimOptions::default() }).unwrap()
}

/// A terminal with nobody behind it but this: it says what it likes, or what it is told.
struct BadTerminal {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl BadTerminal {
    fn new(link: &Path, echoes: bool) -> BadTerminal {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        std::os::unix::fs::symlink(&path, link).unwrap();
        // Held open, so that it has a reader from the beginning; raw, so that the kernel adds nothing.
        let slave = File::options().read(true).write(true).open(&path).unwrap();
        let mut settings = tcgetattr(&slave).unwrap();
        settings.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &settings).unwrap();
        rustix::fs::fcntl_setfl(&master, rustix::fs::OFlags::NONBLOCK).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut master, _slave) = (File::from(master), slave);
            let (mut buffer, mut noise) = ([0; 256], 1_u8);
            while !ended.load(Ordering::SeqCst) {
                let heard = master.read(&mut buffer).unwrap_or(0);
                if echoes {
                    let _ = master.write(&buffer[..heard]);
                } else {
                    noise = noise.wrapping_mul(5).wrapping_add(113);
                    let _ = master.write(&[noise; 40]);
                }
                // About the speed of such a line.
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        BadTerminal { stop, thread: Some(thread) }
    }
}

impl Drop for BadTerminal {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
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

fn reported(link: &Link, wanted: impl Fn(&[DiskReport]) -> bool) {
    link.until(|frame| matches!(frame, AgentFrame::Disks { disks } if wanted(disks)));
}

fn issue(link: &Link, disk: &DiskNumber, sequence: u64) {
    let serial = format!("A{sequence}");
    link.say(&BrokerFrame::Assign { disk: disk.clone(), epoch: 1, assignment: coffee(&serial, sequence) });
    let frame = link.until(|frame| matches!(frame, AgentFrame::Outcome { attempt, .. } if attempt.key.serial.as_str() == serial));
    let AgentFrame::Outcome { id, outcome, .. } = frame else { panic!() };
    assert!(matches!(outcome, AttemptResult::Issued { .. }), "{outcome:?}");
    link.say(&BrokerFrame::Ack { ids: vec![id] });
}

#[test]
fn a_good_disk_issues_beside_bad_ones() {
    let broker = Broker::start();
    let pc = Pc::new("");
    let good = disk(&pc, "good", GOOD, |_| ());
    let damaged = disk(&pc, "damaged", "499000000002", |_| ());
    assert!(damaged.fault(Fault::once(FaultKind::CrcError).times(u32::MAX)));
    // Clock in 1970, and a number that changes later on.
    let old = disk(&pc, "old", "499000000003", |config| {
        config.clock = ClockSetting::Fixed("19700101000000".parse().unwrap());
    });
    let _babbling = BadTerminal::new(&pc.path("babbling"), false);
    let _echoing = BadTerminal::new(&pc.path("echoing"), true);
    let names = ["babbling", "echoing", "damaged", "old", "good"];
    let ports = names.map(|name| pc.path(name).display().to_string());
    let dir = pc.path("profiles.d");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("quick.toml"), "name = \"zc-converter\"\n[timeouts]\nsilence_ms = 100\n").unwrap();
    let disks: String = ports.iter().map(|port| format!("[[disk]]\nport = \"{port}\"\n")).collect();
    pc.configure(&format!("[profiles]\ndir = {dir:?}"), &disks);
    let key = pc.enrol(&broker);
    std::fs::write(pc.path("passwords.toml"), "disk_password = \"88888888\"\ncertificate_password = \"12345678\"\n").unwrap();
    for port in &ports {
        pc.ends(0, &["disks", "secret", "set", port, "--from-file", "passwords.toml"]);
    }

    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    let number: DiskNumber = GOOD.parse().unwrap();
    reported(&link, |disks| disks.iter().any(|disk| disk.disk == GOOD));
    link.say(&BrokerFrame::Grant {
        disk: number.clone(),
        epoch: 1,
        accounted: Vec::new(),
        open: Vec::new(),
        forgotten: Default::default(),
    });
    for sequence in 1..=INVOICES / 2 {
        issue(&link, &number, sequence);
    }
    // Another disk answers where the old one was: it is not taken for it.
    old.with(|rig| rig.disk.configure(|config| config.disk_number = "499000000009".into()).unwrap());
    for sequence in INVOICES / 2 + 1..=INVOICES {
        issue(&link, &number, sequence);
    }

    let entries = good.with(|rig| rig.disk.ledger().entries().len() as u64);
    assert_eq!(entries, INVOICES);
    for other in [&damaged, &old] {
        assert_eq!(other.with(|rig| rig.disk.ledger().entries().len()), 0);
    }
    // Each bad one is told, none of them as usable.
    pc::until("status tells of every bad disk", || {
        let status: serde_json::Value = serde_json::from_str(&pc.ends(0, &["status", "--json"])).unwrap();
        let of = |port: &String| status["disks"].as_array().unwrap().iter().find(|disk| disk["port"] == port.as_str()).cloned();
        // Of one that babbles nothing is known until it was given a minute to fall silent.
        assert!(of(&ports[0]).is_some_and(|disk| disk["report"].is_null()), "{status}");
        let told =
            ports[1..3].iter().all(|port| of(port).is_some_and(|disk| disk["class"] == "link" && disk["report"].is_null()));
        if !told {
            println!("{status:#}");
        }
        told
    });
    // Ended hard: a polite stop waits for the look at the babbling one, a minute in all.
    drop(agent);
}
