//! Long polls, lists, and the calls around a job.

use axum::body::Body;
use axum::http::Request;
use futures_util::FutureExt;
use serde_json::{Value, json};
use taxdisk_broker::http;
use tower::ServiceExt;

use crate::support::{BOUND, Broker, OTHER_SELLER, SELLER, job};

#[tokio::test]
async fn a_long_poll_wakes_when_the_job_changes() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    let path = format!("/v1/jobs/{SELLER}/A1");
    let revision = broker.call("GET", &path, None).await.json()["revision"].as_u64().unwrap();
    let (until_ended, until_changed) = (format!("{path}?wait=30s"), format!("{path}?wait=30s&revision={revision}"));
    let cancel = format!("{path}/cancel");
    let began = std::time::Instant::now();
    let (ended, changed, cancelled) = tokio::join!(
        broker.call("GET", &until_ended, None),
        broker.call("GET", &until_changed, None),
        broker.call("POST", &cancel, None),
    );
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
    assert_eq!(ended.json()["state"], "cancelled");
    assert_eq!(changed.json()["state"], "cancelled");
    assert!(began.elapsed() < BOUND, "woken, not timed out");
    let at_once = broker.call("GET", &format!("{path}?wait=0s&revision=99"), None).await;
    assert_eq!(at_once.json()["state"], "cancelled");
}

#[tokio::test]
async fn a_broker_that_stops_holds_no_caller_up() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    let request = Request::get(format!("/v1/jobs/{SELLER}/A1?wait=50s"))
        .header("authorization", format!("Bearer {}", broker.platform))
        .body(Body::empty())
        .unwrap();
    let began = std::time::Instant::now();
    let mut call = Box::pin(http::router(broker.edge.clone()).oneshot(request));
    assert!((&mut call).now_or_never().is_none(), "the call waits");
    broker.stop.send(true).unwrap();
    let response = call.await.unwrap();
    let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["state"], "queued");
    assert!(began.elapsed() < BOUND);
    broker.serving.await.unwrap();
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let broker = Broker::start().await;
    for serial in ["A1", "A2", "B3"] {
        assert_eq!(broker.submit(serial).await.status, 201);
    }
    let list = |query: &str| {
        let path = format!("/v1/jobs?{query}");
        let broker = &broker;
        async move {
            let page = broker.call("GET", &path, None).await.json();
            let serials: Vec<String> = page["jobs"]
                .as_array()
                .unwrap_or(&Vec::new())
                .iter()
                .map(|job| job["serial"].as_str().unwrap().to_owned())
                .collect();
            (serials, page["cursor"].as_str().map(str::to_owned))
        }
    };
    let (first, cursor) = list("limit=2").await;
    assert_eq!(first, ["B3", "A2"]);
    assert_eq!(list(&format!("limit=2&cursor={}", cursor.unwrap())).await, (vec!["A1".to_owned()], None));
    assert_eq!(list("serial=A").await.0, ["A2", "A1"]);
    assert_eq!(list("state=queued,failed&kind=025").await.0.len(), 3);
    assert_eq!(list("kind=026").await.0.len(), 0);
    assert_eq!(list("disk=661234567890").await.0.len(), 0);
    assert_eq!(list("since=2020-01-01T00:00:00Z").await.0.len(), 3);
    assert_eq!(list("since=2100-01-01T00:00:00Z").await.0.len(), 0);
    assert_eq!(list(&format!("seller={OTHER_SELLER}")).await.0.len(), 0);
}

#[tokio::test]
async fn sellers_and_issue_points_are_written_and_read() {
    let broker = Broker::start().await;
    let seller = format!("/v1/sellers/{OTHER_SELLER}");
    broker.call("GET", &seller, None).await.problem(404, "not_found");
    let put = broker.call_as(&broker.admin, "PUT", &seller, Some(&json!({ "name": "咖啡店", "disk_trouble": "fail" }))).await;
    assert_eq!(put.status, 200, "{put:?}");
    let expected = json!({ "taxpayer_number": OTHER_SELLER, "name": "咖啡店", "disk_trouble": "fail", "mark": true });
    let mut shown = broker.call("GET", &seller, None).await.json();
    assert_eq!(shown["warnings"]["stock_count"], 50, "thresholds that were not set have their defaults");
    shown.as_object_mut().unwrap().remove("warnings");
    assert_eq!(shown, expected);
    broker
        .call_as(&broker.admin, "PUT", &seller, Some(&json!({ "name": "x", "marks": false })))
        .await
        .problem(422, "unknown_field");
    let point = format!("{seller}/issue-points/till-1");
    broker.call("GET", &point, None).await.problem(404, "not_found");
    let put = broker.call_as(&broker.admin, "PUT", &point, Some(&json!({ "name": "Till 1" }))).await;
    assert_eq!(put.status, 200, "{put:?}");
    let expected = json!({ "id": "till-1", "name": "Till 1", "disks": [] });
    assert_eq!(broker.call("GET", &point, None).await.json(), expected);
    assert_eq!(broker.call("GET", &format!("{seller}/issue-points"), None).await.json(), json!([expected]));
}

#[tokio::test]
async fn re_issue_and_unknown_sellers_answer_by_the_rules() {
    let broker = Broker::start().await;
    let mut stranger = job("A1");
    stranger["seller"] = json!(OTHER_SELLER);
    broker.call("POST", "/v1/jobs", Some(&stranger)).await.problem(422, "seller_unknown");
    broker.submit("A1").await;
    let path = format!("/v1/jobs/{SELLER}/A1/reissue");
    let answer = broker.call("POST", &path, Some(&json!({ "reason": "paper jam" }))).await;
    assert_eq!((answer.status, &answer.json()["outcome"]), (200, &json!("in_progress")), "{answer:?}");
    broker.call("POST", &path, Some(&json!({ "why": "x" }))).await.problem(422, "unknown_field");
}

#[tokio::test]
async fn health_and_figures_need_no_key() {
    let broker = Broker::start().await;
    taxdisk_broker::metrics::start();
    broker.submit("A1").await;
    assert_eq!(broker.raw("GET", "/healthz", "", b"").await.status, 200);
    assert_eq!(broker.raw("GET", "/readyz", "", b"").await.json()["ready"], true);
    let figures = String::from_utf8(broker.raw("GET", "/metrics", "", b"").await.body).unwrap();
    for figure in
        ["taxdisk_build_info{version=", "taxdisk_jobs_queued{waiting=\"no_disk\"}", "taxdisk_links ", "taxdisk_disks_online "]
    {
        assert!(figures.contains(figure), "{figure} is missing:\n{figures}");
    }
    assert!(!figures.contains(SELLER) && !figures.contains("A1"), "{figures}");
    let document = broker.raw("GET", "/openapi.json", "", b"").await.json();
    assert!(document["paths"]["/v1/jobs"]["post"].is_object());
    broker.ledger.stop().await;
    let ready = broker.raw("GET", "/readyz", "", b"").await;
    assert_eq!((ready.status, &ready.json()["missing"]), (503, &json!(["ledger"])));
    broker.submit("A2").await.problem(503, "not_ready");
}
