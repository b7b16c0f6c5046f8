//! The walk-through of `docs/portal.md` is run as it stands there.

use std::process::Command;

use taxdisk_drivers::sim::ledger::Ledger;
use taxdisk_tests::oracle;
use taxdisk_tests::process::PATIENCE;
use taxdisk_tests::rig::Rig;

use taxdisk_tests::portal::{ANY_PORT, HOOKS, PortalRig, agent, disk};

/// The `bash` blocks of a page, in their order.
pub(crate) fn script(page: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```bash" => inside = true,
            "```" => inside = false,
            line if inside => script.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    script
}

#[test]
fn the_walk_through_of_the_manual_works_as_it_stands() {
    let rig = Rig::with_broker_config(HOOKS);
    let sim = disk(rig.path(), ANY_PORT);
    let mut agent = agent(&rig, &sim);
    agent.start(None);
    rig.wait_online(&sim.with(|rig| rig.disk.config().disk_number.clone()));
    let portal = PortalRig::empty(&rig);
    let script = script(include_str!("../../../docs/portal.md"));
    let folder = rig.path().join("walk");
    std::fs::create_dir_all(&folder).unwrap();
    // A walk that waits for ever is ended by `timeout`, and seen as failed.
    let output = Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "bash", "-euo", "pipefail", "-c", &script])
        .current_dir(folder)
        .env("PORTAL", &portal.url)
        .env("OPERATOR_KEY_FILE", portal.dir.join("operator.key"))
        .env("no_proxy", "127.0.0.1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let in_order = [
        r#""orgcode":"A""#,
        r#""tenant":"shop""#,
        r#""fpqqlsh":"WALK0001","code":"0000""#,
        r#""statuscode":"4""#,
        "未重复开票",
        r#""subcode":"SERIAL_CONFLICT""#,
        r#""diff":["GMF_MC"]"#,
        r#""fpqqlsh":"WALK0002""#,
        r#""yfpHm":"00000001""#,
        r#""subcode":"VOID_KIND""#,
    ];
    let mut rest = said.as_ref();
    for words in in_order {
        let at = rest.find(words).unwrap_or_else(|| panic!("{words} is missing in order:\n{said}"));
        rest = &rest[at + words.len()..];
    }
    let jobs = oracle::wait_done(&rig.api, 2, PATIENCE);
    let entries = Ledger::read(&rig.path().join("disk-component")).unwrap();
    oracle::check_entries(&jobs, &entries);
    assert_eq!(entries.len(), 2);
}
