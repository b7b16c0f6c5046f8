//! What administrators ask over HTTP beside the jobs: bulk re-issue, the chains, a ledger that went back.

use serde_json::json;
use taxdisk_protocol::api::Role;
use taxdisk_protocol::proof;

use crate::support::{Broker, OTHER_SELLER, SELLER, until};

#[tokio::test]
async fn a_bulk_re_issue_says_first_what_it_would_do_and_is_one_under_its_key() {
    let broker = Broker::start().await;
    for serial in ["A1", "A2"] {
        assert_eq!(broker.submit(serial).await.status, 201);
    }
    assert_eq!(broker.call("POST", &format!("/v1/jobs/{SELLER}/A1/cancel"), None).await.status, 200);
    let filter = json!({ "seller": SELLER, "states": ["queued", "cancelled"] });
    let ask =
        |key: &str, reason: &str, dry_run: bool| json!({ "key": key, "reason": reason, "dry_run": dry_run, "filter": filter });
    let would = broker.call("POST", "/v1/jobs:reissue", Some(&ask("b1", "paper came", true))).await;
    assert_eq!(would.status, 200, "{would:?}");
    let would = would.json();
    assert_eq!((&would["jobs"], &would["totals"]), (&json!(2), &json!({ "rerun": 1, "in_progress": 1 })), "{would}");
    let lines: Vec<(&str, &str)> = would["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["serial"].as_str().unwrap(), line["action"].as_str().unwrap()))
        .collect();
    assert!(lines.contains(&("A1", "rerun")) && lines.contains(&("A2", "in_progress")), "{lines:?}");
    broker.call("GET", "/v1/jobs:reissue/b1", None).await.problem(404, "not_found");
    assert_eq!(broker.call("GET", &format!("/v1/jobs/{SELLER}/A1"), None).await.json()["state"], "cancelled", "nothing was done");

    let begun = broker.call("POST", "/v1/jobs:reissue", Some(&ask("b1", "paper came", false))).await;
    assert!([200, 202].contains(&begun.status), "{begun:?}");
    until("the end of it", || async { broker.call("GET", "/v1/jobs:reissue/b1", None).await.json()["done"] == json!(true) })
        .await;
    let again = broker.call("POST", "/v1/jobs:reissue", Some(&ask("b1", "paper came", false))).await;
    assert_eq!((again.status, &again.json()["totals"]), (200, &json!({ "rerun": 1, "in_progress": 1 })), "a click twice");
    let job = broker.call("GET", &format!("/v1/jobs/{SELLER}/A1"), None).await.json();
    assert_eq!((&job["state"], &job["revision"]), (&json!("queued"), &json!(3)), "{job}");

    broker.call("POST", "/v1/jobs:reissue", Some(&ask("b1", "something else", false))).await.problem(409, "bulk_key");
    broker.call("POST", "/v1/jobs:reissue", Some(&ask("b2", " ", false))).await.problem(422, "reissue_reason");
    broker.call("POST", "/v1/jobs:reissue", Some(&ask("b 2", "paper came", false))).await.problem(400, "invalid_parameter");
    // Who is limited to another seller neither begins it nor sees it.
    let stranger = broker.key(Role::Platform, &[OTHER_SELLER], None).await;
    let refused = broker.call_as(&stranger, "POST", "/v1/jobs:reissue", Some(&ask("b3", "paper came", false))).await;
    refused.problem(403, "forbidden");
    broker.call_as(&stranger, "GET", "/v1/jobs:reissue/b1", None).await.problem(404, "not_found");
}

#[tokio::test]
async fn chains_are_listed_verified_and_proven_for_one_job() {
    let broker = Broker::start().await;
    for serial in ["A1", "A2", "A3"] {
        broker.submit(serial).await;
    }
    let page = broker.call("GET", &format!("/v1/audit?seller={SELLER}&limit=2"), None).await.json();
    assert_eq!(page["entries"].as_array().unwrap().len(), 2, "{page}");
    let next = broker.call("GET", &format!("/v1/audit?seller={SELLER}&limit=2&after={}", page["after"]), None).await.json();
    assert!(!next["entries"].as_array().unwrap().is_empty(), "{next}");
    let verified = broker.call_as(&broker.admin, "GET", "/v1/audit/verify", None).await;
    assert_eq!(verified.status, 200, "{verified:?}");
    let name = json!({ "seller": SELLER, "serial": "A2" });
    let answer = broker.call("POST", "/v1/audit/proof", Some(&name)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = String::from_utf8(answer.body).unwrap();
    let proven = proof::check(&text).unwrap();
    assert_eq!((proven.job.key.seller.as_str(), proven.job.key.serial.as_str()), (SELLER, "A2"));
    // One letter of what it proves is another one.
    let forged = text.replacen("咖啡", "加非", 1);
    assert!(forged != text && proof::check(&forged).is_err(), "the content is in it");
    let unknown = json!({ "seller": SELLER, "serial": "A9" });
    broker.call("POST", "/v1/audit/proof", Some(&unknown)).await.problem(404, "not_found");
    let stranger = broker.key(Role::Platform, &[OTHER_SELLER], None).await;
    broker.call_as(&stranger, "POST", "/v1/audit/proof", Some(&name)).await.problem(403, "forbidden");
    broker.call_as(&stranger, "GET", "/v1/audit", None).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_ledger_that_did_not_go_back_has_nothing_to_reconcile() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    broker.call("GET", "/v1/reconcile", None).await.problem(403, "forbidden");
    let admin = &broker.admin;
    let view = broker.call_as(admin, "GET", "/v1/reconcile", None).await;
    assert_eq!(view.json(), json!({ "generation": 0, "disks": [], "jobs": [], "numbers": [] }));
    let number = json!({
        "disk": "661234567890", "kind": "025", "pair": { "code": "011002000107", "number": "00000101" },
        "reason": "the paper says so", "job": { "seller": SELLER, "serial": "A1" },
    });
    broker.call_as(admin, "POST", "/v1/reconcile/numbers", Some(&number)).await.problem(404, "not_found");
    let release = json!({ "reason": "the disk burned" });
    let path = "/v1/reconcile/disks/661234567890/release-unread";
    broker.call_as(admin, "POST", path, Some(&release)).await.problem(404, "not_found");
    assert_eq!(
        broker.call("GET", &format!("/v1/jobs/{SELLER}/A1"), None).await.json()["state"],
        "queued",
        "nobody gave it a number"
    );
}
