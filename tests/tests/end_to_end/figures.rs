//! What a run shows at `/metrics` is what docs/metrics.md lists, with the same kinds and labels; and the fields of its log
//! lines are those of docs/logs.md.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use taxdisk_protocol::api::JobState;
use taxdisk_tests::figures::{documented, shown};
use taxdisk_tests::jobs::{self, SELLER};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::{AgentRig, Rig};

#[test]
fn every_metric_of_a_run_is_documented() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let mut agent = rig.agent("shop", &[&disk.port]);
    agent.start(None);
    rig.wait_online(&disk.number);
    assert_eq!(rig.api.submit(&jobs::toll("F1")).status, 201);
    wait_for("the invoice", PATIENCE, || {
        let job = rig.api.try_job(SELLER, "F1")?;
        if job.state == JobState::Issued { Ok(()) } else { Err(oracle::summary(&job)) }
    });
    // A call without a key and one that is refused have figures of their own.
    assert_eq!(rig.api.with_key("nothing").get("/v1/jobs").status, 401);
    let text = rig.metrics();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md")).unwrap();
    let (table, run) = (documented(&page), shown(&text));
    assert!(run.len() >= 20, "{text}");
    for (name, figure) in &run {
        let row = table.get(name).unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(row.kind, figure.kind, "{name}");
        assert!(figure.labels.is_subset(&row.labels), "{name} has the labels {:?}", figure.labels);
    }
    for secret in [SELLER, "F1", disk.number.as_str()] {
        assert!(!text.contains(secret), "{secret} is shown to everybody");
    }
}

/// Names of fields as docs/logs.md lists them.
fn documented_fields(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split_once('|')).flat_map(|(names, _)| names.split(','));
    names.map(|name| name.trim().trim_matches('`').to_owned()).collect()
}

/// Names of fields of JSON lines, those of their spans included.
fn fields(log: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let mut groups = vec![&line, &line["span"], &line["fields"]];
        groups.extend(line["spans"].as_array().into_iter().flatten());
        names.extend(groups.into_iter().filter_map(Value::as_object).flat_map(|group| group.keys().cloned()));
    }
    names
}

/// Every field of these lines stands in docs/logs.md. Gives those that were seen.
pub(super) fn assert_documented(program: &str, log: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/logs.md")).unwrap();
    let (known, seen) = (documented_fields(&page), fields(log));
    let unknown: Vec<_> = seen.difference(&known).collect();
    assert!(unknown.is_empty(), "{program} writes {unknown:?}, which docs/logs.md does not list");
    assert!(!seen.is_empty(), "{program} writes no JSON lines: {log}");
    seen
}

#[test]
fn every_field_of_the_log_lines_of_a_run_is_documented() {
    let rig = Rig::with_broker_config("[log]\nformat = \"json\"\nfilter = \"taxdisk_broker=debug,info\"\n");
    let disk = rig.disk("till", |_| ());
    let port = disk.port.display().to_string();
    let entry = format!("port = {port:?}\ndialect = \"zc\"\nspeed = 115200\n");
    let more = "[log]\nformat = \"json\"\nlevel = \"taxdisk_agent=debug,info\"\n";
    let mut agent = AgentRig::enroll_disks(&rig, "shop", more, &[(port, entry)]);
    agent.start(None);
    rig.wait_online(&disk.number);
    assert_eq!(rig.api.submit(&jobs::toll("F1")).status, 201);
    wait_for("the invoice", PATIENCE, || {
        let job = rig.api.try_job(SELLER, "F1")?;
        if job.state == JobState::Issued { Ok(()) } else { Err(oracle::summary(&job)) }
    });
    // What goes wrong has lines of its own.
    assert_eq!(rig.api.with_key("nothing").get("/v1/jobs").status, 401);
    agent.terminate();
    for (program, log) in [("broker", rig.broker.log()), ("agent", agent.log())] {
        let seen = assert_documented(program, &log);
        assert!(seen.contains("job") && seen.contains("trace_id") && seen.contains("disk"), "{program}: {seen:?}\n{log}");
    }
}
