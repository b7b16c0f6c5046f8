//! The file for whoever helps: what is in it, and what is not.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use taxdisk_drivers::sim::{SimConfig, SimOptions, serve};

use crate::broker::Broker;
use crate::pc::Pc;

#[test]
fn it_says_what_is_in_it_and_holds_no_person_and_no_password() {
    let broker = Broker::start();
    let pc = Pc::new("");
    pc.enrol(&broker);
    let port = pc.path("disk").display().to_string();
    let config = SimConfig {
        taxpayer_number: "91110000MA0000001L".into(),
        taxpayer_name: "示例商贸有限公司".into(),
        disk_password: "Zq7xW3kP".into(),
        certificate_password: "Vb9mT2hR".into(),
        ..SimConfig::default()
    };
    let options = SimOptions { state_dir: pc.path("sim"), link: Some(pc.path("disk")), config, ..SimOptions::default() };
    let _sim = serve(options).unwrap();
    pc.configure(
        "[broker]\nurl = \"https://127.0.0.1:1\"\nproxy = \"http://till:geheim@127.0.0.1:2\"",
        &format!("[[disk]]\nport = \"{port}\"\ntaxpayer = \"91110000MA0000001L\"\n"),
    );
    std::fs::write(pc.path("passwords.toml"), "disk_password = \"Zq7xW3kP\"\ncertificate_password = \"Vb9mT2hR\"\n").unwrap();
    pc.ends(0, &["disks", "secret", "set", &port, "--from-file", "passwords.toml"]);

    let said = pc.ends(0, &["support", "support.json"]);
    assert!(said.contains("doctor: all checks") && said.contains("It does not hold"), "{said}");
    let file = pc.path("support.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let bundle: Value = serde_json::from_str(&text).unwrap();
    let listed: Vec<&str> = bundle["about"]["in_it"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for part in bundle.as_object().unwrap().keys().filter(|part| *part != "about") {
        assert!(listed.iter().any(|line| line.starts_with(&format!("{part}:"))), "{part} is not told");
    }
    let checks = bundle["doctor"]["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["code"] == "disk.identity" && check["outcome"] == "good"), "{text}");
    let key = std::fs::read_to_string(pc.state().join("agent.key")).unwrap();
    let key = key.lines().nth(1).unwrap();
    for secret in ["91110000MA0000001L", "示例商贸", "Zq7xW3kP", "Vb9mT2hR", "geheim", key] {
        assert!(!text.contains(secret), "{secret} is in it");
    }
    assert!(pc.ends(1, &["support", "support.json"]).contains("cannot be written"), "nothing is overwritten");
}
