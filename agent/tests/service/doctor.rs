//! Installations that are broken in one way each: the doctor names it, in one line, with the remedy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use taxdisk_drivers::sim::{SimConfig, SimHandle, SimOptions, serve};
use taxdisk_drivers::transport::serial::SerialLine;
use taxdisk_protocol::link::BrokerFrame;

use crate::broker::{Answer, Broker, LEDGER, Link, Seen};
use crate::pc::{Pc, text};

const SECRETS: &str = "disk_password = \"88888888\"\ncertificate_password = \"12345678\"\n";

/// A PC on which everything is good: enrolled, a broker that welcomes it, a disk that answers.
struct Site {
    pc: Pc,
    port: PathBuf,
    /// Replaces the broker's address, and more of `[broker]`.
    broker: String,
    /// More of `[[disk]]`.
    disk: String,
    config: Option<&'static str>,
    /// Commands before the doctor, in a namespace of its own.
    before: Option<String>,
    sim: SimHandle,
    held: Vec<SerialLine>,
    cables: Vec<std::os::fd::OwnedFd>,
}

impl Site {
    fn good(change: impl FnOnce(&mut SimConfig)) -> Site {
        let broker = Broker::start();
        let pc = Pc::new("");
        pc.enrol(&broker);
        let url = broker.url();
        std::thread::spawn(move || {
            while let Ok(seen) = broker.seen.recv() {
                if let Seen::Link(link) = seen {
                    std::thread::spawn(move || greet(&link));
                }
            }
        });
        let mut config = SimConfig { taxpayer_number: "91110000MA0000001L".into(), ..SimConfig::default() };
        change(&mut config);
        let port = pc.path("disk");
        let options = SimOptions { state_dir: pc.path("sim"), link: Some(port.clone()), config, ..SimOptions::default() };
        let sim = serve(options).unwrap();
        std::fs::create_dir(pc.path("profiles.d")).unwrap();
        let quick = "name = \"zc-converter\"\n[timeouts]\nanswer_ms = 1500\nsilence_ms = 50\n";
        std::fs::write(pc.path("profiles.d/quick.toml"), quick).unwrap();
        let broker = format!("url = \"{url}\"\nproxy = \"none\"");
        let site =
            Site { pc, port, broker, disk: String::new(), config: None, before: None, sim, held: Vec::new(), cables: Vec::new() };
        site.configure();
        site.passwords(SECRETS);
        site
    }

    fn configure(&self) {
        let (profiles, port) = (self.pc.path("profiles.d"), &self.port);
        let disk =
            format!("[profiles]\ndir = \"{}\"\n[[disk]]\nport = \"{}\"\n{}\n", profiles.display(), port.display(), self.disk);
        self.pc.configure(&format!("[broker]\n{}", self.broker), &disk);
    }

    fn passwords(&self, secrets: &str) {
        std::fs::write(self.pc.path("passwords.toml"), secrets).unwrap();
        let port = self.port.display().to_string();
        self.pc.ends(0, &["disks", "secret", "set", &port, "--from-file", "passwords.toml"]);
    }

    fn in_state(&self, name: &str) -> PathBuf {
        self.pc.state().join(name)
    }

    fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.in_state(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn examine(&self) -> (Option<i32>, Value, String) {
        let mut args = vec!["doctor", "--json"];
        args.extend(self.config.iter().flat_map(|file| ["--config", file]));
        let plain = self.pc.command(&args);
        let mut command = match &self.before {
            None => plain,
            Some(script) => {
                let mut inside = Command::new("unshare");
                inside.args(["--user", "--map-root-user", "--mount", "sh", "-c", &format!("{script} && exec \"$0\" \"$@\"")]);
                inside.arg(plain.get_program()).args(plain.get_args()).current_dir(self.pc.path("."));
                inside.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
                inside
            }
        };
        let output = command.output().unwrap();
        let said = text(&output);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        (output.status.code(), report, said)
    }
}

/// As a broker does; an agent that only looks hangs up.
fn greet(link: &Link) {
    if link.text().is_none() {
        return;
    }
    link.say(&BrokerFrame::Challenge { nonce: "bm9uY2U=".into(), ledger: LEDGER.into(), ancestors: Vec::new() });
    if link.text().is_some() {
        link.say(&BrokerFrame::Welcome { protocol: 1, journal_known: None, updates: false, key: None });
        link.ends();
    }
}

/// A server that answers everything by this.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 2048]);
                let _ = stream.write_all(answer);
            });
        }
    });
    address
}

fn tls(names: &[&str], issuer: &str) -> (String, rustls::ServerConfig) {
    tls_from(names, issuer, 1975)
}

/// With a certificate that is valid from the beginning of this year on.
fn tls_from(names: &[&str], issuer: &str, year: i32) -> (String, rustls::ServerConfig) {
    let mut parameters = rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, issuer);
    parameters.not_before = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], rustls_pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (certificate.pem(), config)
}

/// One broken installation: what is wrong, the check that must fail first, words of its line.
type Case = (&'static str, &'static str, &'static [&'static str], fn(&mut Site));

fn names_each(cases: &[Case], change: fn(&mut SimConfig)) {
    for (what, code, words, breaks) in cases {
        let mut site = Site::good(change);
        breaks(&mut site);
        let (exit, report, said) = site.examine();
        let checks = report["checks"].as_array().unwrap();
        let failed = checks.iter().find(|check| check["outcome"] == "failed");
        let failed = failed.unwrap_or_else(|| panic!("{what}: nothing failed: {said}"));
        assert_eq!(failed["code"], *code, "{what}: {said}");
        assert_eq!(exit, Some(if code.starts_with("config.") { 78 } else { 1 }), "{what}: {said}");
        let line = format!("{} {}", failed["text"].as_str().unwrap(), failed["hint"].as_str().unwrap_or_default());
        assert!(!line.contains('\n'), "{what}: {line}");
        for word in *words {
            assert!(line.contains(word), "{what}: {word:?} is not in {line:?}");
        }
        site.held.clear();
        site.sim.stop();
    }
}

#[test]
fn a_good_installation_passes_every_check() {
    let site = Site::good(|_| ());
    let (exit, report, said) = site.examine();
    assert_eq!(exit, Some(0), "{said}");
    let checks = report["checks"].as_array().unwrap();
    let outcome = |code: &str| checks.iter().find(|check| check["code"] == code).map(|check| check["outcome"].clone());
    for code in [
        "config.readable",
        "config.state_dir",
        "config.private_files",
        "pc.room",
        "journal.health",
        "pc.disturbers",
        "usb.power",
        "enrolment.present",
        "enrolment.machine",
        "broker.names",
        "broker.tcp",
        "broker.tls",
        "clock.right",
        "broker.version",
        "broker.websocket",
        "enrolment.accepted",
        "disk.present",
        "disk.free",
        "disk.answers",
        "disk.passwords",
        "disk.identity",
        "disk.stock",
        "disk.lock",
    ] {
        let found = outcome(code).unwrap_or_else(|| panic!("{code} is missing: {said}"));
        // What runs on this machine beside the test is not the test's.
        assert!(found == "good" || ["pc.room", "pc.disturbers", "usb.power"].contains(&code), "{code}: {said}");
    }
    assert!(checks.iter().enumerate().all(|(index, check)| check["number"] == index + 1));
}

#[test]
fn of_a_pc_that_is_set_up_wrongly() {
    names_each(
        &[
            ("no configuration", "config.readable", &["/nowhere.toml", "cannot be read", "--config"], |site| {
                site.config = Some("/nowhere.toml");
            }),
            ("a misspelt key", "config.readable", &["brokr", "agent.toml"], |site| {
                let file = site.pc.path("agent.toml");
                let text = std::fs::read_to_string(&file).unwrap();
                std::fs::write(file, format!("{text}\n[brokr]\nurl = 1\n")).unwrap();
            }),
            ("a state folder for all", "config.state_dir", &["chmod 0700"], |site| site.mode("", 0o755)),
            ("a key for all", "config.private_files", &["chmod 0600", "agent.key"], |site| site.mode("agent.key", 0o644)),
            ("a full drive", "pc.room", &["MiB are free", "make room"], |site| {
                site.before = Some(format!("mount -t tmpfs -o size=1m,mode=700 tmpfs '{}'", site.pc.state().display()));
            }),
            ("a damaged journal", "journal.health", &["damaged", "support"], |site| {
                // The last run's threads may still be closing it.
                let mut opened = None;
                crate::pc::until("the journal is free", || {
                    opened = sled::open(site.in_state("journal")).ok();
                    opened.is_some()
                });
                let journal = opened.unwrap();
                journal.insert("o/499000123456", "no record of ours").unwrap();
                journal.flush().unwrap();
            }),
            ("never enrolled", "enrolment.present", &["not enrolled", "enroll"], |site| {
                std::fs::remove_file(site.in_state("identity.json")).unwrap();
                std::fs::remove_file(site.in_state("agent.key")).unwrap();
            }),
            ("half an enrolment", "enrolment.present", &["key", "missing", "--force"], |site| {
                std::fs::remove_file(site.in_state("agent.key")).unwrap();
            }),
            ("a damaged enrolment", "enrolment.present", &["identity.json", "damaged", "--force"], |site| {
                std::fs::write(site.in_state("identity.json"), "{").unwrap();
            }),
            ("a cloned machine", "enrolment.machine", &["another machine", "--force"], |site| {
                let file = site.in_state("identity.json");
                let mut identity: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
                assert!(identity["machine"].is_string(), "this machine has no /etc/machine-id");
                identity["machine"] = "0000000000000000".into();
                std::fs::write(&file, identity.to_string()).unwrap();
            }),
        ],
        |_| (),
    );
}

#[test]
fn of_a_way_to_the_broker_that_is_blocked() {
    names_each(
        &[
            ("a dead name", "broker.names", &["broker.invalid", "no address", "DNS"], |site| {
                site.broker = "url = \"https://broker.invalid\"\nproxy = \"none\"".into();
                site.configure();
            }),
            ("a broker that is down", "broker.tcp", &["127.0.0.1:1", "the broker is down"], |site| {
                site.broker = "url = \"http://127.0.0.1:1\"".into();
                site.configure();
            }),
            ("a proxy that wants a password", "broker.tcp", &["proxy", "password"], |site| {
                let proxy = answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
                site.broker = format!("url = \"https://broker.example\"\nproxy = \"http://{proxy}\"");
                site.configure();
            }),
            ("a box that rewrites TLS", "broker.tls", &["not trust", "Office Proxy CA", "reads along"], |site| {
                let (_, config) = tls(&["localhost"], "Office Proxy CA");
                let broker = Broker::with(Answer::enrolled(), Some(config));
                let (pem, _) = tls(&["localhost"], "The broker's own");
                std::fs::write(site.pc.path("ca.pem"), pem).unwrap();
                site.broker =
                    format!("url = \"{}\"\nproxy = \"none\"\nca_file = \"{}\"", broker.url(), site.pc.path("ca.pem").display());
                site.configure();
            }),
            ("a certificate of another name", "broker.tls", &["another name", "localhost"], |site| {
                let (pem, config) = tls(&["other.example"], "The broker's own");
                let broker = Broker::with(Answer::enrolled(), Some(config));
                std::fs::write(site.pc.path("ca.pem"), pem).unwrap();
                site.broker =
                    format!("url = \"{}\"\nproxy = \"none\"\nca_file = \"{}\"", broker.url(), site.pc.path("ca.pem").display());
                site.configure();
            }),
            ("a port without TLS", "broker.tls", &["does not speak TLS", "port"], |site| {
                let plain = answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                site.broker = format!("url = \"https://localhost:{}\"\nproxy = \"none\"", plain.port());
                site.configure();
            }),
            ("a wrong time", "clock.right", &["ahead of", "timedatectl"], |site| {
                let broker = Broker::at_time(Answer::enrolled(), None, Some("Sat, 01 Jan 2022 00:00:00 GMT"));
                site.broker = format!("url = \"{}\"", broker.url());
                site.configure();
                std::thread::spawn(move || while broker.seen.recv().is_ok() {});
            }),
            ("a clock that lost its time", "clock.right", &["valid from 2090-01-01", "timedatectl"], |site| {
                let (pem, config) = tls_from(&["localhost"], "The broker's own", 2090);
                let broker = Broker::with(Answer::enrolled(), Some(config));
                std::fs::write(site.pc.path("ca.pem"), pem).unwrap();
                site.broker =
                    format!("url = \"{}\"\nproxy = \"none\"\nca_file = \"{}\"", broker.url(), site.pc.path("ca.pem").display());
                site.configure();
            }),
            ("a clock that is late", "clock.right", &["behind the broker's", "timedatectl"], |site| {
                let broker = Broker::at_time(Answer::enrolled(), None, Some("Sun, 01 Jan 2090 00:00:00 GMT"));
                site.broker = format!("url = \"{}\"", broker.url());
                site.configure();
                std::thread::spawn(move || while broker.seen.recv().is_ok() {});
            }),
            ("another server at that address", "broker.websocket", &["not a taxdisk broker"], |site| {
                let other = answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                site.broker = format!("url = \"http://{other}\"");
                site.configure();
            }),
            ("an agent that was revoked", "broker.websocket", &["refuses this agent", "revoked"], |site| {
                let broker = answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                site.broker = format!("url = \"http://{broker}\"");
                site.configure();
            }),
        ],
        |_| (),
    );
}

#[test]
fn of_a_disk_that_cannot_be_used() {
    names_each(
        &[
            ("no disk", "disk.present", &["/dev/ttyUSB99"], |site| {
                site.port = "/dev/ttyUSB99".into();
                site.configure();
            }),
            ("a port that is held", "disk.free", &["process"], |site| {
                site.held.push(SerialLine::open(&site.port.display().to_string(), 9600).unwrap());
            }),
            ("a cable without a disk", "disk.answers", &["does not answer", "cable"], |site| {
                use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
                let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
                grantpt(&master).unwrap();
                unlockpt(&master).unwrap();
                site.port = ptsname(&master, Vec::new()).unwrap().into_string().unwrap().into();
                site.cables.push(master);
                site.configure();
            }),
            ("no passwords", "disk.passwords", &["disks secret set"], |site| {
                std::fs::remove_file(site.in_state("secrets.json")).unwrap();
            }),
            ("a password that was refused", "disk.passwords", &["disks secret set"], |site| {
                site.passwords(&SECRETS.replace("88888888", "87654321"));
                let (exit, _, said) = site.examine();
                assert_eq!(exit, Some(1), "{said}");
            }),
            ("a disk of another seller", "disk.seller", &["91110000MA0000001L", "91350100M000100Y43", "right disk"], |site| {
                site.disk = "taxpayer = \"91350100M000100Y43\"".into();
                site.configure();
            }),
        ],
        |_| (),
    );
    names_each(&[("no blank invoices", "disk.stock", &["0 blank invoices", "tax office"], |_| ())], |config| {
        config.segments.clear();
    });
    names_each(&[("a locked disk", "disk.lock", &["locked since 20200101", "抄报"], |_| ())], |config| {
        config.limits.deadline = Some("20200101".to_owned());
    });
}
