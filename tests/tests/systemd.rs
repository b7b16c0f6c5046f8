//! The systemd files: systemd itself must find nothing to say about the units, and rate their exposure low.
//!
//! Nothing is installed and nothing is skipped: a machine without the tools fails with the name of the package.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use taxdisk_tests::figures::{documented, faults};

const UNITS: [&str; 3] = ["taxdisk-broker.service", "taxdisk-agent.service", "taxdisk-portal.service"];
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
fn all_units_are_rated_below_the_limit() {
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
    let commands = [
        "serve --config /etc/taxdisk/broker.toml",
        "run --config /etc/taxdisk/agent.toml",
        "serve --config /etc/taxdisk/portal.toml",
    ];
    for (unit, own) in UNITS.into_iter().zip(commands) {
        let text = std::fs::read_to_string(folder().join(unit)).unwrap();
        for line in
            ["Type=notify", "NotifyAccess=main", "ProtectSystem=strict", "DevicePolicy=closed", "RestartPreventExitStatus=78"]
        {
            assert!(text.lines().any(|l| l == line), "{unit} lacks {line}");
        }
        assert!(text.contains(own), "{unit} does not start {own}");
        // The portal does not tell systemd that it lives.
        assert_eq!(text.contains("WatchdogSec=60"), unit != UNITS[2], "{unit}");
    }
    let devices = |unit| {
        let text = std::fs::read_to_string(folder().join(unit)).unwrap();
        text.lines().filter(|l| l.starts_with("DeviceAllow=")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(devices(UNITS[0]).is_empty() && devices(UNITS[2]).is_empty(), "broker and portal need no device");
    assert_eq!(
        devices(UNITS[1]),
        ["char-ttyS", "char-ttyUSB", "char-ttyACM", "char-rfcomm", "char-usb_device"]
            .map(|class| format!("DeviceAllow={class} rw"))
    );
}

#[test]
fn the_accounts_of_the_units_are_made() {
    for unit in UNITS {
        let name = unit.trim_end_matches(".service");
        let file = folder().join(format!("sysusers.d/{name}.conf"));
        let output = run("systemd-sysusers", &["--dry-run", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let accounts = std::fs::read_to_string(file).unwrap();
        let text = std::fs::read_to_string(folder().join(unit)).unwrap();
        let user = text.lines().find_map(|line| line.strip_prefix("User=")).expect("the unit names its account");
        assert!(accounts.lines().any(|line| line.starts_with(&format!("u {user} "))), "{user} is not made");
    }
}

/// Lines `#key = value` of the shipped configurations are what the programs do without them, word for word.
#[test]
fn the_shipped_configurations_show_the_true_defaults() {
    for (program, command, name) in [
        ("taxdisk-agent", &["config", "check", "--json"][..], "agent"),
        ("taxdisk-broker", &["config", "check", "--json"], "broker"),
        ("taxdisk-portal", &["config-check"], "portal"),
    ] {
        let shipped = std::fs::read_to_string(folder().join(format!("config/{name}.toml"))).unwrap();
        let is_default = |line: &&str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase());
        assert!(shipped.lines().filter(is_default).count() > 3, "{name}");
        let said = shipped.lines().map(|line| if is_default(&line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let shown = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let mut check = Command::new(taxdisk_tests::process::binary(program));
            let output = check.args(command).arg("--config").arg(&file).env_clear().output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            let mut value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            // The broker also says where each value comes from, which is what differs.
            if let Some(lines) = value.as_array_mut() {
                lines.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("source")));
            }
            value
        };
        let (nothing, all) = (shown(""), shown(&said));
        assert_eq!(nothing, all, "{name}");
        assert_eq!(nothing, shown(&shipped), "{name}: as it is shipped, nothing is set");
    }
}

/// The table of docs/metrics.md, and every metric that the broker's source counts, with its labels.
#[test]
fn every_metric_of_the_source_is_documented_with_its_labels() {
    let root = folder().parent().unwrap().to_owned();
    let table = documented(&std::fs::read_to_string(root.join("docs/metrics.md")).unwrap());
    let mut seen = BTreeSet::new();
    let mut folders = vec![root.join("broker/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for macro_name in ["counter!(", "gauge!(", "histogram!("] {
                for (at, _) in text.match_indices(macro_name) {
                    let inner = text[at + macro_name.len()..].split(')').next().unwrap();
                    let Some(name) = inner.split('"').nth(1).filter(|name| name.starts_with("taxdisk_")) else { continue };
                    let row = table.get(name).unwrap_or_else(|| panic!("{}: {name} is not documented", path.display()));
                    let kind = macro_name.trim_end_matches("!(");
                    assert!(row.kind == kind || (kind, row.kind.as_str()) == ("histogram", "summary"), "{name} is a {kind}");
                    for (label, _) in inner.split('"').skip(3).step_by(2).zip(inner.split("=>").skip(1)) {
                        assert!(row.labels.contains(label), "{name} has no label {label} in the table");
                    }
                    seen.insert(name.to_owned());
                }
            }
        }
    }
    let documented: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(documented.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "nobody counts these");
}

#[test]
fn rules_and_dashboard_name_only_what_is_measured() {
    let root = folder().parent().unwrap().to_owned();
    let table = documented(&std::fs::read_to_string(root.join("docs/metrics.md")).unwrap());
    let rules = std::fs::read_to_string(folder().join("alerts/taxdisk.rules.yml")).unwrap();
    let mut queries: Vec<(String, String)> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .map(|query| ("taxdisk.rules.yml".to_owned(), query.to_owned()))
        .collect();
    assert!(queries.len() >= 15, "{queries:?}");
    assert_eq!(queries.len(), rules.matches("- alert: ").count(), "every rule has its query on one line");
    let text = std::fs::read_to_string(folder().join("grafana/taxdisk.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another panel's");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} shows nothing");
        queries.extend(targets.iter().map(|target| (title.to_owned(), target["expr"].as_str().unwrap().to_owned())));
    }
    for (place, query) in queries {
        assert_eq!(faults(&query, &table), Vec::<String>::new(), "{place}: {query}");
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
        if rule.contains("idVendor") && !rule.contains("power/control") {
            assert!(rule.contains("ID_MM_DEVICE_IGNORE}=\"1\"") || rule.contains("ID_MM_PORT_IGNORE}=\"1\""), "{rule}");
        }
    }
    assert!(rules.iter().any(|rule| rule.contains("GROUP=\"dialout\"")));
}
