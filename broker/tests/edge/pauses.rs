//! Pauses, warnings and the list of jobs by what they wait for.

use serde_json::json;

use super::support::{Broker, OTHER_SELLER, SELLER};

#[tokio::test]
async fn a_seller_is_paused_shown_and_resumed() {
    let broker = Broker::start().await;
    let reason = json!({ "reason": "stocktaking" });
    let path = |what: &str| format!("/v1/sellers/{SELLER}/{what}");
    assert_eq!(broker.call("POST", &path("pause"), Some(&reason)).await.status, 403);
    let refused = broker.call_as(&broker.admin, "POST", &path("pause"), Some(&json!({}))).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("invalid_parameter")));
    let paused = broker.call_as(&broker.admin, "POST", &path("pause"), Some(&reason)).await;
    assert_eq!((paused.status, paused.json()[0]["reason"].as_str()), (200, Some("stocktaking")));
    assert_eq!(paused.json()[0]["mode"], "pause");
    let shown = broker.call("GET", &format!("/v1/sellers/{SELLER}"), None).await.json();
    assert_eq!((shown["pause"]["of"].as_str(), shown["pause"]["id"].as_str()), (Some("seller"), Some(SELLER)));
    let resumed = broker.call_as(&broker.admin, "POST", &path("resume"), Some(&json!({}))).await;
    assert_eq!((resumed.status, resumed.json()), (200, json!([])));
    assert!(broker.call("GET", &format!("/v1/sellers/{SELLER}"), None).await.json()["pause"].is_null());
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_paused() {
    let broker = Broker::start().await;
    let reason = json!({ "reason": "why" });
    for path in [
        "/v1/disks/661234567890/pause".to_owned(),
        "/v1/agents/ag_aaaaaaaaaaaaaaaa/drain".to_owned(),
        format!("/v1/sellers/{OTHER_SELLER}/drain"),
    ] {
        assert_eq!(broker.call_as(&broker.admin, "POST", &path, Some(&reason)).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn jobs_are_listed_by_what_they_wait_for_over_pages() {
    let broker = Broker::start().await;
    for n in 1..=5 {
        assert_eq!(broker.submit(&format!("A{n}")).await.status, 201);
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = broker.call("GET", &format!("/v1/jobs?waiting=no_disk&limit=2{cursor}"), None).await.json();
        for job in page["jobs"].as_array().unwrap() {
            assert_eq!(job["waiting"], "no_disk");
            assert!(job["waiting_text"].as_str().unwrap().contains("025"));
            found.push(job["serial"].as_str().unwrap().to_owned());
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, ["A5", "A4", "A3", "A2", "A1"]);
    let none = broker.call("GET", "/v1/jobs?waiting=locked", None).await.json();
    assert_eq!(none["jobs"], json!([]));
    for wrong in ["/v1/jobs?waiting=lunch", "/v1/jobs?waiting=locked&state=issued"] {
        assert_eq!(broker.call("GET", wrong, None).await.status, 400, "{wrong}");
    }
    // Nobody can say when it begins.
    assert!(broker.call("GET", &format!("/v1/jobs/{SELLER}/A1"), None).await.json()["estimate"].is_null());
}

#[tokio::test]
async fn a_rule_with_a_time_is_written_read_and_checked_and_there_are_no_warnings_without_a_disk() {
    let broker = Broker::start().await;
    let path = format!("/v1/sellers/{SELLER}");
    let body = json!({ "name": "测试", "disk_trouble": { "fail_after_s": 600 }, "warnings": { "stock_count": 100 } });
    let put = broker.call_as(&broker.admin, "PUT", &path, Some(&body)).await;
    assert_eq!(put.status, 200);
    let shown = broker.call("GET", &path, None).await.json();
    assert_eq!((&shown["disk_trouble"], &shown["warnings"]["stock_count"]), (&json!({ "fail_after_s": 600 }), &json!(100)));
    assert_eq!(shown["warnings"]["stock_hours"], 24);
    let body = json!({ "name": "测试", "disk_trouble": { "fail_after_s": 0 } });
    assert_eq!(broker.call_as(&broker.admin, "PUT", &path, Some(&body)).await.status, 400);
    assert_eq!(broker.call("GET", "/v1/warnings", None).await.json(), json!([]));
}
