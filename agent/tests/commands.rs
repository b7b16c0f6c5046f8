//! What a person types: enrolment, service, doctor, help, exit codes.
#![allow(clippy::unwrap_used, missing_docs)]

mod broker;
mod pc;

use std::os::unix::fs::PermissionsExt;

use broker::{Answer, Broker};
use pc::Pc;

#[test]
fn the_help_is_as_agreed() {
    let pc = Pc::new("");
    let mut help = String::new();
    let pages: [&[&str]; 27] = [
        &[],
        &["run"],
        &["install"],
        &["enroll"],
        &["retire"],
        &["rotate-key"],
        &["disks"],
        &["disks", "secret"],
        &["disks", "secret", "set"],
        &["disks", "query"],
        &["disks", "void"],
        &["disks", "void-blank"],
        &["disks", "report"],
        &["disks", "password"],
        &["status"],
        &["sim"],
        &["sim", "conformance"],
        &["sim", "component"],
        &["journal", "show"],
        &["record"],
        &["record", "export"],
        &["doctor"],
        &["support"],
        &["update"],
        &["update", "retry"],
        &["config"],
        &["config", "check"],
    ];
    for page in pages {
        let mut args = page.to_vec();
        args.push("--help");
        help.push_str(&format!("$ taxdisk-agent {}\n{}\n", args.join(" "), pc.ends(0, &args)));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, &help).unwrap();
    }
    assert_eq!(help, std::fs::read_to_string(file).unwrap(), "UPDATE_GOLDEN=1 writes it anew");
}

#[test]
fn exit_codes_say_what_kind_of_trouble_it_is() {
    let pc = Pc::new("");
    pc.ends(0, &["config", "check"]);
    pc.ends(0, &["--version"]);
    pc.ends(2, &["dance"]);
    pc.ends(2, &["run", "--daemon"]);
    pc.ends(2, &["disks", "secret", "set", "/dev/nothing"]);
    assert!(pc.ends(1, &["status"]).contains("No agent runs"));
    assert!(pc.ends(78, &["run"]).contains("not enrolled"));
    assert!(pc.ends(78, &["--config", "/nowhere.toml", "config", "check"]).contains("cannot be read"));
    std::fs::write(pc.path("agent.toml"), "[state]\nfolder = 1\n").unwrap();
    let text = pc.ends(78, &["run", "--json"]);
    assert!(text.starts_with("{\"error\":") && text.contains("folder"), "{text}");
}

#[test]
fn an_environment_variable_comes_before_the_file() {
    let pc = Pc::new("");
    let output =
        pc.command(&["config", "check", "--json"]).env("TAXDISK__BROKER__URL", "https://other.example").output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["broker"]["url"], "https://other.example");
    let output = pc.command(&["config", "check"]).env("TAXDISK__BROKER__URL", "http://other.example").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn enrolment_keeps_its_key_private_and_is_done_once() {
    let broker = Broker::start();
    let pc = Pc::new("");
    std::fs::write(pc.path("code"), "CODE-1\n").unwrap();
    let text = pc.ends(0, &["enroll", &broker.url(), "--code-file", "code", "--name", "till 4"]);
    assert!(text.contains(broker::AGENT), "{text}");
    let body = broker.enrolment();
    assert_eq!(body["code"], "CODE-1");
    assert_eq!(body.as_object().unwrap().len(), 3, "code, public key and version, nothing else: {body}");
    let key = std::fs::read(pc.state().join("agent.key")).unwrap();
    let mode = |name: &str| std::fs::metadata(pc.state().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("agent.key"), mode("identity.json")), (0o700, 0o600, 0o600));

    assert!(pc.ends(1, &["enroll", &broker.url(), "CODE-2"]).contains("--force"));
    assert_eq!(std::fs::read(pc.state().join("agent.key")).unwrap(), key);
    pc.ends(0, &["enroll", &broker.url(), "CODE-2", "--force"]);
    assert_ne!(std::fs::read(pc.state().join("agent.key")).unwrap(), key);
}

#[test]
fn a_failed_enrolment_says_what_to_do_and_leaves_the_old_identity() {
    let good = Broker::start();
    let pc = Pc::new("");
    pc.enrol(&good);
    let before = std::fs::read(pc.state().join("agent.key")).unwrap();
    let problem = r#"{"type":"urn:taxdisk:problem:enrollment_code_unknown","title":"x","status":403,"detail":"No such code.","code":"enrollment_code_unknown","issued":"no","retry":"never","who":"administrator"}"#;
    for (status, body, part) in [
        (403, problem, "enrollment create"),
        (500, problem, "the same code can be tried again"),
        (429, problem, "wait a minute"),
        (404, "<html>", "not a taxdisk broker"),
        (201, "{}", "not a taxdisk broker"),
    ] {
        let broker = Broker::with(Answer { status, body: body.into() }, None);
        let text = pc.ends(1, &["enroll", &broker.url(), "CODE", "--force"]);
        assert!(text.contains(part), "{status}: {text}");
    }
    assert!(pc.ends(1, &["enroll", "http://127.0.0.1:1", "CODE", "--force"]).contains("127.0.0.1:1"));
    assert!(pc.ends(2, &["enroll", "http://broker.example", "CODE", "--force"]).contains("https://"));
    assert!(pc.ends(2, &["enroll", &good.url(), " ", "--force"]).contains("code"));
    assert_eq!(std::fs::read(pc.state().join("agent.key")).unwrap(), before, "a refused code costs no key");
}

#[test]
fn one_agent_runs_on_a_state_folder() {
    let broker = Broker::start();
    let pc = Pc::new("");
    pc.enrol(&broker);
    let agent = pc.start();
    assert_eq!(std::fs::read_to_string(pc.path("ready.json")).unwrap(), "{\"status\":\"up\"}\n");
    assert!(pc.ends(1, &["run"]).contains("running"));
    assert!(pc.ends(1, &["journal", "show"]).contains("status"));
    assert_eq!(agent.stop(), Some(0));
    assert!(pc.ends(0, &["journal", "show"]).contains("journal"));
}

#[test]
fn systemd_is_told() {
    let broker = Broker::start();
    let pc = Pc::new("");
    pc.enrol(&broker);
    let socket = std::os::unix::net::UnixDatagram::bind(pc.path("notify")).unwrap();
    socket.set_read_timeout(Some(broker::LIMIT)).unwrap();
    let mut command = pc.command(&["run"]);
    command.env("NOTIFY_SOCKET", pc.path("notify")).env("WATCHDOG_USEC", "200000");
    let agent = pc::Running { child: command.stderr(std::process::Stdio::null()).spawn().unwrap() };
    let heard = || {
        let mut buffer = [0; 256];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    assert!(heard().contains("READY=1"));
    assert!(heard().contains("WATCHDOG=1"));
    assert!(heard().contains("WATCHDOG=1"), "again and again");
    agent.signal(rustix::process::Signal::TERM);
    while !heard().contains("STOPPING=1") {}
}

fn checks(pc: &Pc, code: i32) -> serde_json::Value {
    let output = pc.run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(code), "{}", pc::text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn outcome(report: &serde_json::Value, code: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["code"] == code).unwrap_or_else(|| panic!("no {code} in {report}"));
    check["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn doctor_finds_a_missing_configuration_a_wide_folder_and_an_absent_broker() {
    let pc = Pc::new("");
    let output = pc.run(&["--config", "/nowhere.toml", "doctor", "--json"]);
    assert_eq!(output.status.code(), Some(78));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((outcome(&report, "config.readable"), outcome(&report, "broker.tcp")), ("failed".into(), "not_made".into()));

    let broker = Broker::start();
    pc.enrol(&broker);
    pc.configure("[broker]\nurl = \"http://127.0.0.1:1\"", "");
    let report = checks(&pc, 1);
    assert_eq!((outcome(&report, "broker.tcp"), outcome(&report, "broker.tls")), ("failed".into(), "not_made".into()));

    std::fs::set_permissions(pc.state(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(outcome(&checks(&pc, 78), "config.state_dir"), "failed");
}

#[test]
fn doctor_tries_every_broker_that_the_agent_may_turn_to() {
    let (broker, other) = (Broker::start(), Broker::start());
    let pc = Pc::new("");
    pc.enrol(&broker);
    pc.configure(&format!("[broker]\nurl = \"http://127.0.0.1:1\"\nothers = [\"{}\", \"http://127.0.0.1:2\"]", other.url()), "");
    let report = checks(&pc, 1);
    let of = |code: &str| {
        let checks = report["checks"].as_array().unwrap().iter();
        checks.filter(|check| check["code"] == code).map(|check| check["outcome"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("broker.others"), ["good", "warning"], "one of them is enough when the first is away");
    assert_eq!(of("broker.tcp"), ["failed"]);
}

#[test]
fn doctor_joins_once_and_says_that_all_is_good() {
    let broker = Broker::start();
    let pc = Pc::new("");
    let key = pc.enrol(&broker);
    let address = pc.path("agent.toml");
    let child = std::thread::spawn({
        let binary = env!("CARGO_BIN_EXE_taxdisk-agent");
        move || std::process::Command::new(binary).arg("--config").arg(address).args(["doctor", "--json"]).output().unwrap()
    });
    // The first link is only opened and closed, the second joins.
    broker.link().ends();
    broker.link().welcome(&key);
    let output = child.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", pc::text(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for code in ["config.readable", "broker.names", "broker.tcp", "clock.right", "broker.websocket", "enrolment.accepted"] {
        assert_eq!(outcome(&report, code), "good", "{code}: {report}");
    }
}

fn certificate() -> (rcgen::CertifiedKey<rcgen::KeyPair>, rustls::ServerConfig, rustls::ServerConfig) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let config = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap()
    };
    let (new, old) = (config(&[&rustls::version::TLS13]), config(&[&rustls::version::TLS12]));
    (made, new, old)
}

#[test]
fn only_the_named_authority_and_only_tls_1_3_are_spoken_to() {
    let (made, new, old) = certificate();
    let broker = Broker::with(Answer::enrolled(), Some(new));
    let pc = Pc::new("");
    std::fs::write(pc.path("ca.pem"), made.cert.pem()).unwrap();
    let (other, _, _) = certificate();
    std::fs::write(pc.path("other.pem"), other.cert.pem()).unwrap();

    let text = pc.ends(1, &["enroll", &broker.url(), "CODE", "--ca-file", "other.pem"]);
    assert!(text.contains("localhost"), "{text}");
    assert!(!pc.state().join("identity.json").exists());
    pc.ends(0, &["enroll", &broker.url(), "CODE", "--ca-file", "ca.pem"]);
    let agent = pc.start();
    let key = broker.enrolment()["public_key"].as_str().unwrap().to_owned();
    broker.link().welcome(&key);
    assert_eq!(agent.stop(), Some(0));

    let other = pc.path("other.pem").display().to_string();
    pc.configure(&format!("[broker]\nurl = \"{}\"\nca_file = \"{other}\"", broker.url()), "");
    assert_eq!(outcome(&checks(&pc, 1), "broker.tls"), "failed");

    let aged = Broker::with(Answer::enrolled(), Some(old));
    let text = pc.ends(1, &["enroll", &aged.url(), "CODE", "--ca-file", "ca.pem", "--force"]);
    assert!(text.contains("TLS 1.3"), "{text}");
}
