//! What a run shows at `/metrics` is what docs/metrics.md lists, with the same kinds and labels.

use std::path::Path;

use taxdisk_protocol::api::JobState;
use taxdisk_tests::figures::{documented, shown};
use taxdisk_tests::jobs::{self, SELLER};
use taxdisk_tests::oracle;
use taxdisk_tests::process::{PATIENCE, wait_for};
use taxdisk_tests::rig::Rig;

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
