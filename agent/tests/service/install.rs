//! `install`: from nothing to a proof, or to one sentence.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use taxdisk_drivers::sim::{SimConfig, SimHandle, SimOptions, serve};
use taxdisk_protocol::link::{AgentFrame, BrokerFrame};

use crate::broker::{AGENT, Answer, Broker, LEDGER, Link, Seen};
use crate::pc::{Pc, text, until};

/// A PC with a disk that nobody has configured yet.
fn fresh() -> (Pc, SimHandle, String) {
    let pc = Pc::new("");
    std::fs::create_dir(pc.path("profiles.d")).unwrap();
    let quick = "name = \"zc-converter\"\n[timeouts]\nanswer_ms = 1500\nsilence_ms = 50\n";
    std::fs::write(pc.path("profiles.d/quick.toml"), quick).unwrap();
    pc.configure("# a person's words", &format!("[profiles]\ndir = \"{}\"\n", pc.path("profiles.d").display()));
    let config = SimConfig { taxpayer_number: "91110000MA0000001L".into(), ..SimConfig::default() };
    let options = SimOptions { state_dir: pc.path("sim"), link: Some(pc.path("disk")), config, ..SimOptions::default() };
    let port = pc.path("disk").display().to_string();
    (pc, serve(options).unwrap(), port)
}

fn answers(pc: &Pc, url: &str, port: &str, password: &str) {
    let text = format!(
        "broker = \"{url}\"\ncode = \"CODE-1\"\nname = \"till 4\"\nproxy = \"none\"\n[[disk]]\nport = \"{port}\"\n\
         taxpayer = \"91110000MA0000001L\"\ndisk_password = \"{password}\"\ncertificate_password = \"12345678\"\n"
    );
    std::fs::write(pc.path("answers.toml"), text).unwrap();
    std::fs::set_permissions(pc.path("answers.toml"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// As a broker that knows the agent: welcomes it and grants what it reports.
fn grant(link: &Link) {
    if link.text().is_none() {
        return;
    }
    link.say(&BrokerFrame::Challenge { nonce: "bm9uY2U=".into(), ledger: LEDGER.into(), ancestors: Vec::new() });
    if link.text().is_none() {
        return;
    }
    link.say(&BrokerFrame::Welcome { protocol: 1, journal_known: None, updates: false, key: None });
    let mut granted = false;
    while let Some(text) = link.text() {
        let Ok(AgentFrame::Disks { disks }) = serde_json::from_str(&text) else { continue };
        if let Some(disk) = disks.first().filter(|_| !granted) {
            granted = true;
            let disk = disk.disk.parse().unwrap();
            link.say(&BrokerFrame::Grant {
                disk,
                epoch: 1,
                accounted: Vec::new(),
                open: Vec::new(),
                forgotten: Default::default(),
            });
        }
    }
}

fn granting() -> String {
    let broker = Broker::start();
    let url = broker.url();
    std::thread::spawn(move || {
        while let Ok(seen) = broker.seen.recv() {
            if let Seen::Link(link) = seen {
                std::thread::spawn(move || grant(&link));
            }
        }
    });
    url
}

const INSTALL: [&str; 3] = ["install", "--answers", "answers.toml"];

/// Ends the agent in the background, however the test ends.
struct Background<'a>(&'a Pc);

impl Drop for Background<'_> {
    fn drop(&mut self) {
        let text = std::fs::read_to_string(self.0.path("agent.pid")).unwrap_or_default();
        if let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[test]
fn a_file_of_answers_installs_and_a_running_agent_proves_it() {
    let (pc, sim, port) = fresh();
    let url = granting();
    answers(&pc, &url, &port, "88888888");
    let said = pc.ends(0, &INSTALL);
    assert!(said.contains("Everything was checked and works") && said.contains("run --config"), "{said}");
    assert!(said.contains("--daemon") && !said.contains("88888888"), "{said}");
    let config = std::fs::read_to_string(pc.path("agent.toml")).unwrap();
    assert!(config.starts_with("# a person's words") && config.contains(&port) && !config.contains("88888888"), "{config}");
    let enrolled = std::fs::read(pc.state().join("agent.key")).unwrap();

    // Again: what is done is left.
    let said = pc.ends(0, &INSTALL);
    assert!(said.contains("already"), "{said}");
    assert_eq!(std::fs::read_to_string(pc.path("agent.toml")).unwrap(), config);
    assert_eq!(std::fs::read(pc.state().join("agent.key")).unwrap(), enrolled);

    let _background = Background(&pc);
    pc.ends(0, &["run", "--daemon", "--pid-file", "agent.pid", "--log-file", "service.log"]);
    let output = pc.run(&["--json", INSTALL[0], INSTALL[1], INSTALL[2]]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let proof: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&proof["agent"], &proof["running"], &proof["next"]), (&AGENT.into(), &true.into(), &Value::Null), "{proof}");
    let hops: Vec<&str> = proof["hops"].as_array().unwrap().iter().map(|hop| hop["hop"].as_str().unwrap()).collect();
    for hop in ["broker.tcp", "agent → broker", "broker → agent", "agent → disk"] {
        assert!(hops.contains(&hop), "{hops:?}");
    }
    // The reading is a real one: with the cable out there is no proof.
    sim.unplug();
    until("the agent knows it", || pc.run(&["status", "--json"]).stdout.windows(7).any(|part| part == b"trouble"));
    let output = pc.command(&INSTALL).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

#[test]
fn what_is_missing_without_a_person_is_named_as_in_the_file() {
    let (pc, _sim, _) = fresh();
    let said = pc.ends(2, &["install"]);
    assert!(said.contains("broker = \"…\"") && said.contains("--answers"), "{said}");
    let said = pc.ends(2, &["install", "http://127.0.0.1:1"]);
    assert!(said.contains("code = \"…\""), "{said}");
    std::fs::write(pc.path("answers.toml"), "code = \"secret-code\"\n").unwrap();
    std::fs::set_permissions(pc.path("answers.toml"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = pc.ends(78, &INSTALL);
    assert!(said.contains("chmod 0600") && !said.contains("secret-code"), "{said}");
}

#[test]
fn a_refused_code_and_a_refused_password_end_in_one_sentence_and_are_mended_by_the_next_try() {
    let (pc, _sim, port) = fresh();
    let before = std::fs::read_to_string(pc.path("agent.toml")).unwrap();
    let problem = r#"{"type":"urn:taxdisk:problem:enrollment_code_unknown","title":"x","status":403,"detail":"No such code.","code":"enrollment_code_unknown","issued":"no","retry":"never","who":"administrator"}"#;
    let refusing = Broker::with(Answer { status: 403, body: problem.into() }, None);
    answers(&pc, &refusing.url(), &port, "88888888");
    let said = pc.ends(1, &INSTALL);
    assert!(said.contains("enrollment create"), "{said}");
    assert_eq!(std::fs::read_to_string(pc.path("agent.toml")).unwrap(), before);
    assert!(!pc.state().join("identity.json").exists());

    let url = granting();
    answers(&pc, &url, &port, "87654321");
    let said = pc.ends(1, &INSTALL);
    assert!(said.contains(&port) && said.contains("[disk."), "{said}");
    answers(&pc, &url, &port, "88888888");
    pc.ends(0, &INSTALL);
}

#[test]
fn a_person_is_asked_at_a_terminal_and_passwords_are_not_shown() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::io::{Read as _, Write as _};
    let (pc, _sim, port) = fresh();
    let url = granting();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave = || {
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        std::fs::File::options().read(true).write(true).open(path).unwrap()
    };
    let mut child = pc.command(&["install"]).stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
    let mut terminal = std::fs::File::from(master);
    let mut shown = String::new();
    for (question, answer) in [
        ("Address of the broker", url.as_str()),
        ("Code from", "CODE-1"),
        ("disk", port.as_str()),
        ("Disk password", "88888888"),
        ("Certificate password", "12345678"),
    ] {
        let began = std::time::Instant::now();
        while !shown.contains(question) || !shown.ends_with(": ") {
            assert!(began.elapsed() < Duration::from_secs(20), "{question} was not asked: {shown}");
            let mut bytes = [0; 1024];
            let count = terminal.read(&mut bytes).unwrap();
            shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        writeln!(terminal, "{answer}").unwrap();
        shown.push('|');
    }
    let status = loop {
        let mut bytes = [0; 1024];
        match terminal.read(&mut bytes) {
            Ok(count @ 1..) => shown.push_str(&String::from_utf8_lossy(&bytes[..count])),
            _ => break child.wait().unwrap(),
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success(), "{shown}");
    assert!(!shown.contains("88888888") && !shown.contains("12345678"), "{shown}");
    assert!(std::fs::read_to_string(pc.path("agent.toml")).unwrap().contains(&port));
}
