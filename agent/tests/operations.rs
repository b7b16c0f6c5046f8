//! Orders by the command line, against a simulated disk behind a real pseudo-terminal: with a running agent and without one.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod pc;

use broker::Broker;
use pc::Pc;
use taxdisk_drivers::sim::faults::ForeignTime;
use taxdisk_drivers::sim::{Fault, FaultKind, SimConfig, SimHandle, SimOptions, serve};
use taxdisk_protocol::link::{AgentFrame, BrokerFrame};

const DISK_PASSWORD: &str = "Zq7xW3kP";
const NEW_PASSWORD: &str = "Nw5cR8tL";
const CERTIFICATE_PASSWORD: &str = "Vb9mT2hR";
/// 发票作废, issued and blank.
const VOID: u8 = 0x0B;
/// 口令更改.
const CHANGE_PASSWORD: u8 = 0x09;
const CODE: &str = "011002000107";

/// A PC with a simulated disk, accounted for once under a broker's grant, the agent stopped again.
fn with_disk() -> (Pc, SimHandle, String) {
    let broker = Broker::start();
    let pc = Pc::new("");
    let port = pc.path("disk").display().to_string();
    // What is waited out is silence of a line; the rules are those of a slow one.
    std::fs::create_dir(pc.path("profiles.d")).unwrap();
    let quick = "name = \"zc-converter\"\n[timeouts]\nanswer_ms = 4000\nsilence_ms = 100\n";
    std::fs::write(pc.path("profiles.d/quick.toml"), quick).unwrap();
    let profiles = pc.path("profiles.d").display().to_string();
    pc.configure("", &format!("[profiles]\ndir = \"{profiles}\"\n[[disk]]\nport = \"{port}\"\n"));
    let config = SimConfig {
        taxpayer_number: "91110000MA0000001L".into(),
        disk_password: DISK_PASSWORD.into(),
        certificate_password: CERTIFICATE_PASSWORD.into(),
        ..SimConfig::default()
    };
    let options = SimOptions { state_dir: pc.path("sim"), link: Some(pc.path("disk")), config, ..SimOptions::default() };
    let sim = serve(options).unwrap();
    let key = pc.enrol(&broker);
    let secrets = format!("disk_password = \"{DISK_PASSWORD}\"\ncertificate_password = \"{CERTIFICATE_PASSWORD}\"\n");
    std::fs::write(pc.path("passwords.toml"), secrets).unwrap();
    pc.ends(0, &["disks", "secret", "set", &port, "--from-file", "passwords.toml"]);
    let agent = pc.start();
    let link = broker.link();
    link.welcome(&key);
    let report = link.until(|frame| matches!(frame, AgentFrame::Disks { disks } if !disks.is_empty()));
    let AgentFrame::Disks { disks } = report else { panic!() };
    let disk = disks[0].disk.parse().unwrap();
    link.say(&BrokerFrame::Grant { disk, epoch: 1, accounted: Vec::new(), open: Vec::new(), forgotten: Default::default() });
    link.until(|frame| matches!(frame, AgentFrame::Disks { disks } if disks.iter().any(|disk| disk.health.ready)));
    assert_eq!(agent.stop(), Some(0));
    (pc, sim, port)
}

/// The entries of the disk's ledger as text: what is there, by the disk itself.
fn ledger(sim: &SimHandle) -> Vec<String> {
    sim.with(|rig| rig.disk.ledger().entries().iter().map(|entry| format!("{entry:?}")).collect())
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text.split("\ntaxdisk-agent:").next().unwrap()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_blank_is_voided_once_also_when_its_answer_is_lost() {
    let (pc, sim, _) = with_disk();
    let args = ["disks", "void-blank", "--kind", "025", "--operator", "张三"];
    let dry = pc.ends(0, &[&args[..], &["--dry-run"]].concat());
    assert!(dry.contains("Allowed") && dry.contains("Nothing was sent"), "{dry}");
    let asked = pc.ends(2, &args);
    assert!(asked.contains("--yes"), "{asked}");
    assert!(ledger(&sim).is_empty(), "nothing was sent yet");

    sim.fault(Fault::once(FaultKind::LoseAnswerAfterSigning).on(VOID));
    let said = pc.ends(0, &[&args[..], &["--yes", "--json"]].concat());
    let said = json(&said);
    assert_eq!((&said["verdict"], &said["result"], &said["read"]), (&"ended".into(), &"done".into(), &true.into()), "{said}");
    assert_eq!(ledger(&sim).len(), 1, "one blank is gone, and not two");
    let journal = pc.ends(0, &["journal", "show", "--json"]);
    assert!(journal.contains("operation_outcome") && journal.contains("00000088"), "{journal}");

    // The number is void, and a blank is no invoice.
    // The disk is licensed for one kind, so nobody has to name it.
    let query = pc.ends(0, &["disks", "query", CODE, "00000088"]);
    assert!(query.contains("blank_void"), "{query}");
    let refused = pc.ends(1, &["disks", "void", CODE, "00000088", "--kind", "025", "--operator", "张三", "--yes"]);
    assert!(refused.contains("voided blank") && refused.contains("nothing has changed"), "{refused}");
    let absent = pc.ends(1, &["disks", "void", CODE, "00000500", "--kind", "025", "--operator", "张三", "--yes"]);
    assert!(absent.contains("no invoice"), "{absent}");
    let electronic = pc.ends(1, &["disks", "void-blank", "--kind", "026", "--operator", "张三", "--yes"]);
    assert!(electronic.contains("Refused"), "{electronic}");
}

#[test]
fn an_issued_invoice_is_voided_by_the_running_agent() {
    let (pc, sim, _) = with_disk();
    // Another program issues, right after the next reading of the stock.
    sim.fault(Fault::once(FaultKind::ForeignIssue { at: ForeignTime::AfterStock, content: Default::default() }));
    let agent = pc.start();
    pc::until("the number is there", || !ledger(&sim).is_empty());
    pc::until("the agent takes orders", || pc.run(&["disks", "stock"]).status.code() == Some(0));
    let number = sim.with(|rig| rig.disk.ledger().entries()[0].number.to_string());
    let args = ["disks", "void", CODE, &number, "--kind", "025", "--operator", "张三", "--yes"];
    let said = pc.ends(0, &args);
    assert!(said.contains("Done") && said.contains("reading the disk"), "{said}");
    let again = pc.ends(1, &args);
    assert!(again.contains("already"), "{again}");
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_password_change_whose_answer_is_lost_keeps_the_right_one() {
    for (fault, right) in [(FaultKind::LoseAnswerAfterSigning, NEW_PASSWORD), (FaultKind::LoseAnswerBeforeSigning, DISK_PASSWORD)]
    {
        let (pc, sim, _) = with_disk();
        std::fs::write(pc.path("new"), NEW_PASSWORD).unwrap();
        sim.fault(Fault::once(fault.clone()).on(CHANGE_PASSWORD));
        let output = pc.run(&["disks", "password", "disk", "--from-file", "new", "--yes"]);
        let said = pc::text(&output);
        let done = right == NEW_PASSWORD;
        assert_eq!(output.status.code(), Some(i32::from(!done)), "{said}");
        assert!(said.contains(if done { "Done" } else { "Not done" }), "{said}");
        assert!(!said.contains(NEW_PASSWORD) && !said.contains(DISK_PASSWORD), "{said}");
        // The disk still answers to what is kept.
        let status = pc.ends(0, &["disks", "status"]);
        assert!(status.contains("025"), "{fault:?}: {status}");
        let journal = pc.ends(0, &["journal", "show", "--json"]);
        assert!(!journal.contains(NEW_PASSWORD) && !journal.contains(DISK_PASSWORD), "{journal}");
    }
}

#[test]
fn while_a_password_change_is_open_or_after_a_stop_no_look_spends_a_try() {
    let (pc, sim, port) = with_disk();
    std::fs::write(pc.path("new"), NEW_PASSWORD).unwrap();
    // The disk took the new one, and the program died before it could write that down.
    let mut change = pc.command(&["disks", "password", "disk", "--from-file", "new", "--yes"]);
    let died = change.env("TAXDISK_FAULT_POINT", "after_answer").stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(died.status.code(), None, "{}", pc::text(&died));
    let tries = |sim: &SimHandle| sim.with(|rig| rig.disk.tries_left(taxdisk_drivers::sim::disk::Secret::Disk));
    let all = tries(&sim);
    for look in [&["disks", "--explain"][..], &["doctor"], &["disks"]] {
        let said = pc::text(&pc.run(look));
        assert_eq!(tries(&sim), all, "{look:?}: {said}");
    }
    let said = pc::text(&pc.run(&["doctor"]));
    assert!(said.contains("not settled yet"), "{said}");
    // The worker tries each once, and keeps the right one.
    pc.ends(0, &["disks", "status"]);
    // A person sets a wrong one: the first refusal stops everything that would carry it.
    std::fs::write(pc.path("wrong.toml"), "disk_password = \"wrong\"\ncertificate_password = \"wrong\"\n").unwrap();
    pc.ends(0, &["disks", "secret", "set", &port, "--from-file", "wrong.toml"]);
    pc.run(&["disks"]);
    let left = tries(&sim);
    assert_eq!(left + 1, all, "it was tried once");
    for look in [&["disks", "--explain"][..], &["doctor"], &["disks"]] {
        let said = pc::text(&pc.run(look));
        assert_eq!(tries(&sim), left, "{look:?}: {said}");
    }
}
