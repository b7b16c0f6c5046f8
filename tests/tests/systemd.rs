//! The systemd files: systemd itself must find nothing to say about the units, and rate their exposure low.
//!
//! Nothing is installed and nothing is skipped: a machine without the tools fails with the name of the package.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNITS: [&str; 2] = ["taxdisk-broker.service", "taxdisk-agent.service"];
/// Tenths. systemd calls up to 2.5 "OK", from 4.0 on "exposed".
const EXPOSURE_LIMIT_TENTHS: u32 = 25;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("systemd")
}

fn run(tool: &str, arguments: &[&str]) -> Output {
    match Command::new(tool).args(arguments).env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "").output() {
        Ok(output) => output,
        Err(error) => panic!("{tool} does not run ({error}): install the package systemd (apt-get install systemd)"),
    }
}

/// A copy whose program exists on every machine: whether ours is installed is not what systemd is asked.
fn runnable_copy(unit: &str) -> (tempfile::TempDir, PathBuf) {
    let text = std::fs::read_to_string(folder().join(unit)).unwrap();
    let (before, after) = text.split_once("ExecStart=/usr/bin/taxdisk-").expect("the unit starts a program of ours");
    let rest = after.split_once(' ').expect("the program has arguments").1;
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join(unit);
    std::fs::write(&path, format!("{before}ExecStart=/bin/true {rest}")).unwrap();
    (copy, path)
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    for unit in UNITS {
        let (_copy, path) = runnable_copy(unit);
        let output = run("systemd-analyze", &["verify", "--man=no", path.to_str().unwrap()]);
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{unit}:\n{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn both_units_are_rated_below_the_limit() {
    for unit in UNITS {
        let (_copy, path) = runnable_copy(unit);
        let output = run("systemd-analyze", &["security", "--offline=true", "--no-pager", path.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let level = text.lines().find_map(|line| line.split_once("Overall exposure level for ")).map(|(_, rest)| rest);
        let level = level.and_then(|rest| rest.split_once(": ")).map(|(_, rest)| rest.split(' ').next().unwrap());
        let (whole, tenth) =
            level.and_then(|level| level.split_once('.')).unwrap_or_else(|| panic!("{unit} has no rating:\n{text}"));
        let tenths = whole.parse::<u32>().unwrap() * 10 + tenth.parse::<u32>().unwrap();
        assert!(tenths < EXPOSURE_LIMIT_TENTHS, "{unit} is rated {tenths} tenths:\n{text}");
    }
}

#[test]
fn the_units_say_what_the_programs_rely_on() {
    for (unit, own) in UNITS.into_iter().zip(["serve --config /etc/taxdisk/broker.toml", "run --config /etc/taxdisk/agent.toml"])
    {
        let text = std::fs::read_to_string(folder().join(unit)).unwrap();
        for line in [
            "Type=notify",
            "NotifyAccess=main",
            "WatchdogSec=60",
            "ProtectSystem=strict",
            "DevicePolicy=closed",
            "RestartPreventExitStatus=78",
        ] {
            assert!(text.lines().any(|l| l == line), "{unit} lacks {line}");
        }
        assert!(text.contains(own), "{unit} does not start {own}");
    }
    let devices = |unit| {
        let text = std::fs::read_to_string(folder().join(unit)).unwrap();
        text.lines().filter(|l| l.starts_with("DeviceAllow=")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(devices(UNITS[0]).is_empty(), "the broker needs no device");
    assert_eq!(
        devices(UNITS[1]),
        ["char-ttyS", "char-ttyUSB", "char-ttyACM", "char-rfcomm", "char-usb_device"]
            .map(|class| format!("DeviceAllow={class} rw"))
    );
}

#[test]
fn the_accounts_of_the_units_are_made() {
    let accounts = folder().join("sysusers.d/taxdisk.conf");
    let output = run("systemd-sysusers", &["--dry-run", accounts.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let accounts = std::fs::read_to_string(accounts).unwrap();
    for unit in UNITS {
        let text = std::fs::read_to_string(folder().join(unit)).unwrap();
        let user = text.lines().find_map(|line| line.strip_prefix("User=")).expect("the unit names its account");
        assert!(accounts.lines().any(|line| line.starts_with(&format!("u {user} "))), "{user} is not made");
    }
}

/// udev is not asked: its `verify` came with systemd 254, and Debian 12 has 252. What can go wrong unseen is checked here.
#[test]
fn the_udev_rules_jump_to_labels_that_exist_and_keep_modem_manager_away() {
    let text = std::fs::read_to_string(folder().join("udev/60-taxdisk.rules")).unwrap();
    let rules: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let named = |key: &str| {
        let marker = format!("{key}=\"");
        rules
            .iter()
            .filter_map(|rule| Some(rule.split_once(&marker)?.1.split('"').next().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let labels = named("LABEL");
    for target in named("GOTO") {
        assert!(labels.contains(&target), "no label {target}");
    }
    for rule in &rules {
        assert_eq!(rule.matches('"').count() % 2, 0, "{rule}");
        if rule.contains("idVendor") {
            assert!(rule.contains("ID_MM_DEVICE_IGNORE}=\"1\"") || rule.contains("ID_MM_PORT_IGNORE}=\"1\""), "{rule}");
        }
    }
    assert!(rules.iter().any(|rule| rule.contains("GROUP=\"dialout\"")));
}
