//! `taxdisk-broker support`: what the file for whoever helps holds while a broker runs, and what it does not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use taxdisk_broker::core::people::ConsoleRole;

use crate::console::{Browser, PASSWORD};
use crate::link::{Agent, DISK, disks};
use crate::support::{Broker, SELLER, job, until};

/// Nobody but its buyer is called so.
const BUYER: &str = "青山书店";
const BUYER_NUMBER: &str = "91350100M000100Y43";
const PERSON: &str = "wangxiaoming";

async fn run(store: String, address: String, folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taxdisk-broker"));
    command.env("TAXDISK__STORE__URL", store).env("TAXDISK__LISTEN__ADDRESS", address);
    command.env("TAXDISK__WEBHOOKS__PROXY", "http://bote:geheim@127.0.0.1:1").current_dir(folder);
    command.args(arguments).stdin(Stdio::null());
    // The broker that it asks runs in this thread.
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test]
async fn the_support_file_tells_how_things_stand_and_of_nobody() {
    let broker = Broker::start().await;
    let browser = Browser::of(&broker, PERSON, ConsoleRole::Administrator).await;
    let agent = Agent::enrol(&broker).await;
    for serial in ["SERIALONE", "SERIALTWO", "SERIALTHREE", "SERIALFOUR"] {
        let mut submitted = job(serial);
        submitted["invoice"]["buyer"] =
            json!({ "name": BUYER, "taxpayer_number": BUYER_NUMBER, "address_phone": "长安街一号 5551234" });
        submitted["invoice"]["remark"] = "交给李四".into();
        assert_eq!(broker.call("POST", "/v1/jobs", Some(&submitted)).await.status, 201);
    }
    let cancelled = broker.call("POST", &format!("/v1/jobs/{SELLER}/SERIALFOUR/cancel"), None).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    let mut link = agent.join(&broker, 1).await;
    let mut seen = disks();
    seen["disks"][0]["taxpayer_name"] = "示例商贸有限公司".into();
    link.send(&seen).await;
    let figures = || async { broker.ledger.figures().await.unwrap().assigned == 2 };
    until("the disk has as many jobs as it gets at once", figures).await;

    let folder = tempfile::tempdir().unwrap();
    let (store, address) = (broker.store_url(), broker.address.to_string());
    let (exit, said) = run(store.clone(), address.clone(), folder.path(), &["support", "support.json"]).await;
    assert_eq!(exit, Some(0), "{said}");
    assert!(said.contains("support.json holds:") && said.contains("It does not hold"), "{said}");
    let file = folder.path().join("support.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let bundle: Value = serde_json::from_str(&text).unwrap();
    let in_it: Vec<&str> = bundle["about"]["in_it"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for part in ["host", "configuration", "doctor", "figures", "ledger", "audit"] {
        assert!(bundle[part].is_object() || bundle[part].is_array(), "{part} is missing: {text}");
        assert!(in_it.iter().any(|line| line.starts_with(&format!("{part}: "))), "{part} is not told");
    }
    assert_eq!(bundle.as_object().unwrap().len(), in_it.len() + 1, "{in_it:?}");

    let ledger = &bundle["ledger"];
    assert_eq!(ledger["ledger"], broker.ledger.id());
    assert_eq!(ledger["jobs"], json!({ "assigned": 2, "cancelled": 1, "queued": 1 }));
    for (what, count) in [("sellers", 1), ("agents", 1), ("disks", 1), ("people", 1), ("keys", 2)] {
        assert_eq!(ledger["rows"][what], count, "{what}: {ledger}");
    }
    let open = ledger["oldest_open_jobs"].as_array().unwrap();
    assert_eq!(open[0]["attempts"][0]["disk"], DISK, "{ledger}");
    assert_eq!((&open[0]["state"], &open[2]["state"]), (&"assigned".into(), &"queued".into()));
    assert_eq!(ledger["newest_jobs_that_ended_without_an_invoice"][0]["state"], "cancelled");
    assert_eq!(ledger["agents"][0]["agent"], agent.id.as_str());
    let disk = &ledger["disks"][0];
    assert_eq!((&disk["disk"], &disk["last_agent"], &disk["ready"]), (&DISK.into(), &agent.id.as_str().into(), &true.into()));
    let figures: Vec<&str> = bundle["figures"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(figures.contains(&"taxdisk_jobs_queued{waiting=\"backlog\"} 1"), "{figures:?}");
    let checks = bundle["doctor"]["checks"].as_array().unwrap();
    let outcome = |code: &str| checks.iter().find(|check| check["code"] == code).map(|check| check["outcome"].clone());
    assert_eq!((outcome("clock.right"), outcome("listen.address")), (Some("good".into()), Some("good".into())), "{text}");
    let entries = bundle["audit"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry.as_object().unwrap().keys().eq(["at", "what"])), "{entries:?}");
    assert!(entries.len() > 3, "{entries:?}");

    let secrets = [
        BUYER,
        BUYER_NUMBER,
        "长安街",
        "5551234",
        "李四",
        "王五",
        "咖啡",
        "SERIAL",
        SELLER,
        "示例商贸",
        "测试",
        PERSON,
        PASSWORD,
        "geheim",
        &broker.admin,
        &broker.platform,
        browser.cookie(),
        "226.00",
    ];
    for secret in secrets {
        assert!(!secret.is_empty() && !text.contains(secret), "{secret} is in it");
    }
    let (exit, said) = run(store, address, folder.path(), &["support", "support.json"]).await;
    assert!(exit == Some(1) && said.contains("cannot be written"), "nothing is overwritten: {said}");
}

#[tokio::test]
async fn without_a_broker_and_without_a_ledger_the_support_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let (exit, said) = run(store, "127.0.0.1:1".to_owned(), folder.path(), &["support", "support.json", "--json"]).await;
    assert_eq!(exit, Some(0), "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    assert!(told["in_it"].as_array().unwrap().len() >= 5, "{said}");
    let bundle: Value = serde_json::from_slice(&std::fs::read(folder.path().join("support.json")).unwrap()).unwrap();
    assert!(bundle["ledger"]["trouble"].is_string() && bundle["figures"]["trouble"].is_string(), "{bundle}");
    assert!(!folder.path().join("ledger.db").exists(), "it makes no ledger");
}
