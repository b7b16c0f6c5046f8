//! Bad input: each has its own code, and nothing is stored.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::support::{Answer, BOUND, Broker, SELLER, job};

async fn send(broker: &Broker, text: &str) -> Answer {
    let head = format!(
        "authorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        broker.platform,
        text.len()
    );
    broker.raw("POST", "/v1/jobs", &head, text.as_bytes()).await
}

fn pointers(problem: &Value) -> Vec<String> {
    let breaches = problem["breaches"].as_array().cloned().unwrap_or_default();
    breaches.iter().map(|breach| breach["pointer"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_good_job_is_accepted_once_and_known_again() {
    let broker = Broker::start().await;
    let first = broker.submit("A1").await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.json()["state"], "queued");
    let again = broker.submit("A1").await;
    assert_eq!((again.status, &again.json()["repeated"]), (200, &json!(true)));
    let mut other = job("A1");
    other["invoice"]["clerk"] = json!("赵六");
    let conflict = broker.call("POST", "/v1/jobs", Some(&other)).await.problem(409, "conflict");
    assert_eq!(conflict["differences"], json!([{ "pointer": "/invoice/clerk" }]));
    assert_eq!(broker.stored().await, 1);
}

#[tokio::test]
async fn what_is_not_json_or_not_a_job_has_its_own_code() {
    let broker = Broker::start().await;
    let good = job("A1").to_string();
    let problem = send(&broker, &good[..good.len() - 1]).await.problem(400, "malformed_json");
    assert!(problem["detail"].as_str().unwrap().contains("line 1, column"), "{problem}");
    send(&broker, "").await.problem(400, "malformed_json");
    send(&broker, &format!("{good}{good}")).await.problem(400, "malformed_json");
    send(&broker, "[]").await.problem(422, "invalid_body");
    let problem = send(&broker, &good.replace("\"200.00\"", "200.00")).await.problem(422, "invalid_body");
    assert!(pointers(&problem)[0].starts_with("/invoice/"), "{problem}");
    let mut unknown = job("A1");
    unknown["colour"] = json!("red");
    unknown["invoice"]["lines"][0]["weight"] = json!(1);
    let mut found = pointers(&send(&broker, &unknown.to_string()).await.problem(422, "unknown_field"));
    found.sort();
    assert_eq!(found, ["/colour", "/invoice/lines/0/weight"]);
    assert_eq!(broker.stored().await, 0);
}

#[tokio::test]
async fn a_body_of_20_mb_is_answered_and_not_kept() {
    let broker = Broker::start().await;
    let long = format!("{{\"seller\":\"{}\"}}", "x".repeat(20_000_000));
    send(&broker, &long).await.problem(413, "body_too_large");
    let chunked =
        format!("authorization: Bearer {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n", broker.platform);
    let body = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    broker.raw("POST", "/v1/jobs", &chunked, body.as_bytes()).await.problem(413, "body_too_large");
    let expecting = format!(
        "authorization: Bearer {}\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 20000000\r\n",
        broker.platform
    );
    broker.raw("POST", "/v1/jobs", &expecting, b"").await.problem(413, "body_too_large");
    assert_eq!(broker.stored().await, 0);
}

#[tokio::test]
async fn broken_rules_are_listed_with_their_places() {
    let broker = Broker::start().await;
    type Spoil = fn(&mut Value);
    let cases: [(&str, Spoil); 6] = [
        ("/invoice/totals/", |job| job["invoice"]["totals"]["gross"] = json!("227.00")),
        ("/invoice/", |job| job["invoice"]["totals"]["tax"] = json!("26.01")),
        ("/invoice/lines/0/", |job| job["invoice"]["lines"][0]["quantity"] = json!("-1")),
        ("/invoice/buyer/taxpayer_number", |job| job["invoice"]["buyer"]["taxpayer_number"] = json!("911101080000000008")),
        ("/kind", |job| job["kind"] = json!("999")),
        ("/serial", |job| job["serial"] = json!("too-long-and-with-dashes")),
    ];
    for (place, spoil) in cases {
        let mut job = job("A1");
        spoil(&mut job);
        let answer = broker.call("POST", "/v1/jobs", Some(&job)).await;
        assert_eq!(answer.status, 422, "{place}: {answer:?}");
        let problem = answer.json();
        assert!(pointers(&problem).iter().any(|pointer| pointer.starts_with(place)), "{place}: {problem}");
    }
    let mut long = job("A1");
    let line = long["invoice"]["lines"][0].clone();
    long["invoice"]["lines"] = json!(vec![line; 26]);
    let answer = broker.call("POST", "/v1/jobs", Some(&long)).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(broker.stored().await, 0);
}

#[tokio::test]
async fn a_spoilt_repetition_says_that_the_job_may_have_issued() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    let mut spoilt = job("A1");
    spoilt["colour"] = json!("red");
    let key = taxdisk_protocol::ids::JobKey { seller: SELLER.parse().unwrap(), serial: "A1".parse().unwrap() };
    let cancel = taxdisk_protocol::api::CancelRequest::default();
    broker.ledger.cancel(&key, cancel, "test").await.unwrap();
    let problem = broker.call("POST", "/v1/jobs", Some(&spoilt)).await.problem(422, "unknown_field");
    assert_eq!(problem["issued"], "no", "the job is known, and cancelled");
    spoilt["serial"] = json!("A2");
    let problem = broker.call("POST", "/v1/jobs", Some(&spoilt)).await.problem(422, "unknown_field");
    assert_eq!(problem["issued"], "unknown");
}

#[tokio::test]
async fn wrong_types_paths_methods_and_parameters_are_problems_too() {
    let broker = Broker::start().await;
    let key = format!("authorization: Bearer {}\r\n", broker.platform);
    let head = format!("{key}content-type: text/plain\r\ncontent-length: 2\r\n");
    broker.raw("POST", "/v1/jobs", &head, b"{}").await.problem(415, "payload_type");
    broker.raw("POST", "/v1/jobs:batch", &head, b"{}").await.problem(415, "payload_type");
    broker.call("GET", "/v1/nothing", None).await.problem(404, "not_found");
    broker.call("DELETE", "/v1/jobs", None).await.problem(405, "method_not_allowed");
    let path = format!("/v1/jobs/{SELLER}/A1");
    broker.call("GET", &path, None).await.problem(404, "not_found");
    broker.call("GET", &format!("{path}?wiat=3s"), None).await.problem(400, "invalid_parameter");
    broker.call("GET", &format!("{path}?wait=56s"), None).await.problem(400, "invalid_parameter");
    broker.call("GET", "/v1/jobs/short/A1", None).await.problem(400, "invalid_parameter");
    broker.call("GET", "/v1/jobs?state=lost", None).await.problem(400, "invalid_parameter");
    broker.call("GET", "/v1/jobs?limit=501", None).await.problem(400, "invalid_parameter");
    broker.call("GET", "/v1/jobs?cursor=elsewhere", None).await.problem(400, "invalid_parameter");
    let answer = broker.raw("GET", "/v1/agents/link", "", b"").await;
    answer.problem(426, "link_version");
}

#[tokio::test]
async fn a_request_id_is_kept_if_it_is_decent() {
    let broker = Broker::start().await;
    let with = |id: &str| format!("x-request-id: {id}\r\n");
    let answer = broker.raw("GET", "/healthz", &with("till-7.42"), b"").await;
    assert!(answer.head.contains("x-request-id: till-7.42"), "{}", answer.head);
    let answer = broker.raw("GET", "/healthz", &with(&"x".repeat(65)), b"").await;
    assert!(answer.head.contains("x-request-id: ") && !answer.head.contains("xxxx"), "{}", answer.head);
}

#[tokio::test]
async fn a_head_that_does_not_come_and_a_body_that_does_not_end_are_cut_off() {
    let broker = Broker::start_with(|config| config.limits.header_s = 1).await;
    let mut stream = TcpStream::connect(broker.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: b\r\n").await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(BOUND, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the broker closes a connection whose head does not come");

    let mut edge = broker.edge.clone();
    edge.request_time = std::time::Duration::from_millis(50);
    let request = axum::http::Request::post("/v1/jobs")
        .header("authorization", format!("Bearer {}", broker.platform))
        .header("content-type", "application/json")
        .body(axum::body::Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>()))
        .unwrap();
    let response = taxdisk_broker::http::router(edge).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 504);
}
