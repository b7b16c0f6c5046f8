//! The main job on real input: all 830 sample orders become invoices on a serial disk, exactly once (I1, I2, I6).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use taxdisk_protocol::api::JobState;
use taxdisk_tests::jobs::SELLER;
use taxdisk_tests::process::binary;
use taxdisk_tests::rig::{AgentRig, Rig, SimRig};
use taxdisk_tests::{jobs, oracle};

/// Real orders in the sample.
const ORDERS: usize = 830;
const BOUND: Duration = Duration::from_secs(600);

fn orders_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../demo/northwind-orders.jsonl")
}

fn started(rig: &Rig, disk: &SimRig, extra: &str) -> AgentRig {
    let mut agent = AgentRig::enroll(rig, "shop", &[&disk.port], extra);
    agent.start(None);
    rig.wait_online(&disk.number);
    agent
}

/// `taxdisk job import`, as a user runs it. Gives its exit code and its report.
fn import(rig: &Rig, args: &[&str]) -> (i32, Value) {
    let output = Command::new(binary("taxdisk"))
        .args(["--broker", &rig.broker.url, "--key", &rig.api.key, "--json", "job", "import"])
        .arg(orders_file())
        .args(["--map", "northwind", "--seller", SELLER])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}\n{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

#[test]
fn all_orders_become_invoices_once_and_the_longest_is_refused_by_a_ten_line_disk() {
    let rig = Rig::new();
    let disk = rig.disk("till", |config| config.issue_time_ms = 20);
    let _agent = started(&rig, &disk, "");

    let (exit, report) = import(&rig, &["--transliterate"]);
    assert_eq!(exit, 1, "one order cannot be expressed, and the exit code says so: {report}");
    let done = oracle::wait_done(&rig.api, ORDERS - 1, BOUND);
    assert!(done.iter().all(|job| job.state == JobState::Issued), "{:?}", done.iter().find(|job| job.state != JobState::Issued));
    let refused = report["refused"].as_array().unwrap_or_else(|| panic!("{report}"));
    assert_eq!(refused.len(), 1, "{report}");
    assert!(refused[0].to_string().contains("NW11077"), "the order with 25 lines: {report}");
    oracle::check(&done, &[&disk]);
    assert_eq!(disk.ledger().len(), ORDERS - 1);

    // Again, by eight callers at once, each in another order: every answer is `repeated`, the disk hears nothing.
    let submissions: Vec<Value> = done
        .iter()
        .map(|job| serde_json::json!({"seller": job.seller, "serial": job.serial, "kind": job.kind, "invoice": job.invoice}))
        .collect();
    std::thread::scope(|scope| {
        for client in 0..8_usize {
            let (api, submissions) = (rig.api.clone(), &submissions);
            scope.spawn(move || {
                let count = submissions.len();
                // Steps that share no factor with the count visit every job, each client in an order of its own.
                let steps = [1, 2, 4, 5, 7, 8, 10, 11];
                let turned: Vec<Value> =
                    (0..count).map(|index| submissions[(index * steps[client] + client * 97) % count].clone()).collect();
                for lines in turned.chunks(100) {
                    for line in api.batch(lines).unwrap() {
                        assert_eq!(line.status, 200, "{line:?}");
                        assert!(line.job.as_ref().unwrap().repeated, "{line:?}");
                    }
                }
            });
        }
    });
    assert_eq!(disk.ledger().len(), ORDERS - 1, "the same file again issues nothing");

    // One field changed: a conflict that names the field.
    let mut changed = submissions[0].clone();
    changed["invoice"]["buyer"]["name"] = "别人".into();
    let answer = rig.api.submit(&changed);
    assert_eq!(answer.status, 409, "{answer:?}");
    let pointers: Vec<&str> =
        answer.body["differences"].as_array().unwrap().iter().map(|row| row["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/invoice/buyer/name"]);
    assert_eq!(answer.body["issued"], "yes", "the invoice of the first content exists: {answer:?}");
    assert_eq!(disk.ledger().len(), ORDERS - 1);
}

#[test]
fn with_more_lines_allowed_every_order_is_issued() {
    let rig = Rig::new();
    let disk = rig.disk("till", |config| config.max_lines = 25);
    let _agent = started(&rig, &disk, "max_lines = 25");
    let (exit, report) = import(&rig, &["--transliterate"]);
    assert_eq!(exit, 0, "{report}");
    let done = oracle::wait_done(&rig.api, ORDERS, BOUND);
    assert!(done.iter().all(|job| job.state == JobState::Issued));
    oracle::check(&done, &[&disk]);
    assert_eq!(disk.ledger().len(), ORDERS);
}

#[test]
fn without_transliteration_names_that_gbk_cannot_hold_are_refused_and_named() {
    let rig = Rig::new();
    let disk = rig.disk("till", |_| ());
    let _agent = started(&rig, &disk, "");
    // The first 20 orders hold such names.
    let (exit, report) = import(&rig, &["--limit", "20"]);
    assert_eq!(exit, 1, "{report}");
    let refused = report["refused"].as_array().unwrap();
    assert!(!refused.is_empty());
    for row in refused {
        let text = row.to_string();
        assert!(text.contains("/invoice/buyer/name"), "the field is named: {text}");
        assert!(
            text.contains('ä') || text.contains('ö') || text.contains('ç') || text.contains('ã'),
            "the character is named: {text}"
        );
    }
    let accepted = 20 - refused.len();
    let done = oracle::wait_done(&rig.api, accepted, BOUND);
    oracle::check(&done, &[&disk]);
    let _ = jobs::SELLER;
}
