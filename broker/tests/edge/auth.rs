//! Who may do what.

use serde_json::json;
use taxdisk_protocol::api::Role;

use crate::support::{Broker, OTHER_SELLER, SELLER, job, until};

#[tokio::test]
async fn without_a_good_key_nothing_opens() {
    let broker = Broker::start_with(|config| config.limits.failures_per_minute = 40).await;
    let calls = [
        ("POST", "/v1/jobs"),
        ("POST", "/v1/jobs:batch"),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/jobs/911101080000000007/A1"),
        ("POST", "/v1/jobs/911101080000000007/A1/cancel"),
        ("POST", "/v1/jobs/911101080000000007/A1/reissue"),
        ("POST", "/v1/jobs/911101080000000007/A1/settle"),
        ("GET", "/v1/sellers"),
        ("PUT", "/v1/sellers/911101080000000007"),
        ("GET", "/v1/disks"),
        ("PUT", "/v1/disks/661234567890/assignment"),
        ("GET", "/v1/agents"),
        ("POST", "/v1/agents/ag_0123456789abcdef/revoke"),
        ("POST", "/v1/enrollments"),
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys"),
        ("DELETE", "/v1/keys/k_1"),
    ];
    let secretless = broker.platform.rsplit_once('_').unwrap().0.to_owned();
    for (method, path) in calls {
        let answer = broker.raw(method, path, "content-length: 0\r\n", b"").await;
        answer.problem(401, "unauthorized");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        let wrong = format!("authorization: Bearer {secretless}_{}\r\ncontent-length: 0\r\n", "0".repeat(64));
        broker.raw(method, path, &wrong, b"").await.problem(401, "unauthorized");
    }
    let basic = format!("authorization: Basic {}\r\n", broker.platform);
    broker.raw("GET", "/v1/jobs", &basic, b"").await.problem(401, "unauthorized");
    while broker.raw("GET", "/v1/jobs", "", b"").await.status != 429 {}
    assert_eq!(broker.call("GET", "/v1/jobs", None).await.status, 200, "failures of others lock no good key out");
}

#[tokio::test]
async fn roles_open_what_they_are_for() {
    let broker = Broker::start().await;
    let seller = format!("/v1/sellers/{SELLER}");
    let disk = "/v1/disks/661234567890/assignment";
    let admin_only = [
        ("PUT", seller.as_str(), json!({ "name": "x" })),
        ("PUT", disk, json!({ "seller": SELLER })),
        ("POST", "/v1/enrollments", json!({ "name": "pc" })),
        ("POST", "/v1/keys", json!({ "name": "x", "role": "platform" })),
        ("GET", "/v1/keys", json!(null)),
        ("POST", "/v1/agents/ag_0123456789abcdef/revoke", json!(null)),
    ];
    for (method, path, body) in &admin_only {
        let body = (!body.is_null()).then_some(body);
        broker.call(method, path, body).await.problem(403, "forbidden");
        let answer = broker.call_as(&broker.admin, method, path, body).await;
        assert!(answer.status != 403 && answer.status != 401, "{method} {path}: {answer:?}");
    }
    let settle = json!({ "decision": "not_issued", "current": { "code": "011002000107", "number": "00000001" },
        "expected": "absent", "reason": "x", "revision": 1 });
    let path = format!("/v1/jobs/{SELLER}/A1/settle");
    broker.call("POST", &path, Some(&settle)).await.problem(403, "forbidden");
    broker.call_as(&broker.admin, "POST", &path, Some(&settle)).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_key_for_one_seller_sees_no_other() {
    let broker = Broker::start().await;
    broker.submit("A1").await;
    let other = broker.key(Role::Platform, &[OTHER_SELLER], None).await;
    let mine = broker.key(Role::Platform, &[SELLER], None).await;
    let path = format!("/v1/jobs/{SELLER}/A1");
    broker.call_as(&other, "GET", &path, None).await.problem(403, "forbidden");
    broker.call_as(&other, "POST", "/v1/jobs", Some(&job("A2"))).await.problem(403, "forbidden");
    broker.call_as(&other, "POST", &format!("{path}/cancel"), None).await.problem(403, "forbidden");
    broker.call_as(&other, "GET", &format!("/v1/jobs?seller={SELLER}"), None).await.problem(403, "forbidden");
    broker.call_as(&other, "GET", "/v1/agents", None).await.problem(403, "forbidden");
    assert_eq!(broker.call_as(&other, "GET", "/v1/jobs", None).await.json()["jobs"], json!([]));
    assert_eq!(broker.call_as(&other, "GET", "/v1/sellers", None).await.json(), json!([]));
    assert_eq!(broker.call_as(&mine, "GET", "/v1/jobs", None).await.json()["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(broker.call_as(&mine, "GET", "/v1/sellers", None).await.json()[0]["taxpayer_number"], SELLER);
    assert_eq!(broker.stored().await, 1);
}

#[tokio::test]
async fn keys_end_by_time_and_by_hand() {
    let broker = Broker::start().await;
    let short = broker.key(Role::Platform, &[], Some(1)).await;
    until("the key expires", || async { broker.call_as(&short, "GET", "/v1/jobs", None).await.status == 401 }).await;
    broker.call_as(&short, "GET", "/v1/jobs", None).await.problem(401, "key_expired");
    let made = broker.call_as(&broker.admin, "POST", "/v1/keys", Some(&json!({ "name": "till", "role": "platform" }))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(broker.call_as(key, "GET", "/v1/jobs", None).await.status, 200);
    let list = broker.call_as(&broker.admin, "GET", "/v1/keys", None).await;
    let secret = key.rsplit_once('_').unwrap().1;
    assert!(!String::from_utf8_lossy(&list.body).contains(secret), "lists hold no secrets");
    assert_eq!(broker.call_as(&broker.admin, "DELETE", &format!("/v1/keys/{id}"), None).await.status, 204);
    broker.call_as(key, "GET", "/v1/jobs", None).await.problem(401, "unauthorized");
    broker.call_as(&broker.admin, "DELETE", "/v1/keys/k_unknown", None).await.problem(404, "not_found");
}

#[tokio::test]
async fn guessing_is_limited_and_hurts_nobody_else() {
    let broker = Broker::start_with(|config| config.limits.failures_per_minute = 3).await;
    for _ in 0..3 {
        broker.call_as("tdk_wrong", "GET", "/v1/jobs", None).await.problem(401, "unauthorized");
    }
    let answer = broker.call_as("tdk_wrong", "GET", "/v1/jobs", None).await;
    answer.problem(429, "rate_limited");
    assert!(answer.head.contains("retry-after"), "{}", answer.head);
    let body = json!({ "code": "0000", "public_key": "2zKYyEyUzJr1VWDwPpXFH2vvjJBvpfUD6m0lvSKLQ8U=", "version": "1" });
    let answer = broker
        .raw(
            "POST",
            "/v1/agents/enroll",
            &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.to_string().len()),
            body.to_string().as_bytes(),
        )
        .await;
    assert!(matches!(answer.status, 422 | 429), "{answer:?}");
    assert_eq!(broker.call("GET", "/v1/jobs", None).await.status, 200);
}
