//! What the broker tells by itself, and when the portal asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::http::Request;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use taxdisk_portal::broker::BrokerClient;
use taxdisk_portal::config::Config;
use taxdisk_portal::core::outcome::is_stale;
use taxdisk_portal::core::request::Phase;
use taxdisk_portal::hooks;
use taxdisk_web::webhook::{Secret, Signers};

use super::platform::{NOW_S, Platform, SELLER, Said, blue};

const LOST: Said = Said::Failed { fault: "disk", code: "disk_timeout", text: "the disk is gone" };

#[tokio::test]
async fn what_the_broker_tells_is_taken_by_its_revision_and_undoes_no_re_issue() {
    let platform = Platform::start().await;
    let documents = json!([blue("TOLD1")]).to_string();
    assert_eq!(platform.form("insertWithArray", &[("requestdatas", &documents)]).await.code(), "0000");
    // Its own answer to the submission may come behind.
    platform.broker_tells("TOLD1", &LOST, 2).await;
    assert_eq!(platform.stored("TOLD1").await.phase, Phase::Failed);
    platform.broker_tells("TOLD1", &Said::Waits("no_stock"), 1).await;
    assert_eq!(platform.stored("TOLD1").await.phase, Phase::Failed, "what is older says nothing");
    let entry = json!([{ "FPQQLSH": "TOLD1", "XSF_NSRSBH": SELLER, "JSHJ": "113.00" }]).to_string();
    assert_eq!(platform.form("reissue", &[("requestdatas", &entry)]).await.code(), "0000");
    let asked = platform.stored("TOLD1").await;
    assert_eq!((asked.phase, asked.due_at), (Phase::Forwarding, platform.now_millis()));
    // The same failure once more, while the re-issue is on its way: it is still due at once.
    platform.broker_tells("TOLD1", &LOST, 2).await;
    assert_eq!(platform.stored("TOLD1").await, asked);
    platform.broker_tells("TOLD1", &Said::Issued, 4).await;
    let issued = platform.stored("TOLD1").await;
    assert_eq!((issued.phase, issued.job_revision), (Phase::Issued, 4));
}

#[tokio::test]
async fn the_longer_a_request_waits_the_less_it_is_asked_about_unless_somebody_looks() {
    let platform = Platform::start().await;
    let documents = json!([blue("WAIT1")]).to_string();
    assert_eq!(platform.form("insertWithArray", &[("requestdatas", &documents)]).await.code(), "0000");
    assert!(!is_stale(&platform.stored("WAIT1").await, platform.now_millis()), "it is handed in first");
    let mut revision = 0;
    // Seconds that go by before it is asked about, and those until it is asked about again.
    for (passed, next) in [(0, 3), (3, 3), (3, 6), (24, 30), (30, 60), (600, 60)] {
        platform.pass(passed);
        revision += 1;
        platform.broker_tells("WAIT1", &Said::Waits("no_stock"), revision).await;
        let stored = platform.stored("WAIT1").await;
        assert_eq!(stored.due_at - platform.now_millis(), next * 1000, "after another {passed} s");
        assert!(!is_stale(&stored, platform.now_millis() + 1_999) && is_stale(&stored, platform.now_millis() + 2_000));
    }
    platform.broker_is_away("WAIT1").await;
    let silent = platform.stored("WAIT1").await;
    assert!(
        silent.due_at > platform.now_millis() && !is_stale(&silent, i64::MAX),
        "asked again when it is due, however many look"
    );
    platform.broker_tells("WAIT1", &Said::Issued, revision + 1).await;
    assert!(!is_stale(&platform.stored("WAIT1").await, i64::MAX), "nothing is left to be asked");
}

/// The secret that the broker of [`a_broker`] signs with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A broker that makes a webhook and shows every job as issued; how often it was asked for one.
async fn a_broker() -> (String, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let hook = json!({ "secret": SECRET, "webhook": { "id": "wh_1", "url": "https://fp.example/hooks/broker", "description": "",
        "events": ["job.*"], "sellers": [], "enabled": true, "signing": "symmetric", "waiting": 0, "created_by": "k1",
        "created_at": "2027-01-15T08:00:00Z" } });
    let job = json!({ "seller": SELLER, "serial": "HOOK1", "operation": "issue", "kind": "026", "state": "issued", "revision": 9,
        "version": 1, "accepted_at": "2027-01-15T08:00:00Z", "changed_at": "2027-01-15T08:00:00Z",
        "issued": { "code": "011002000111", "number": "00000077", "issued_at": "20270115160000",
            "fiscal_code": "0123456789*+-/<>", "disk": "661545600001" } });
    let shown = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let job = job.clone();
        async move { Json(job) }
    };
    let router = Router::new()
        .route("/v1/webhooks", post(move || async move { (axum::http::StatusCode::CREATED, Json(hook)) }))
        .route("/v1/jobs/{seller}/{serial}", get(shown));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[tokio::test]
async fn only_the_brokers_own_messages_are_taken_at_the_door() {
    let platform = Platform::start().await;
    let documents = json!([blue("HOOK1")]).to_string();
    assert_eq!(platform.form("insertWithArray", &[("requestdatas", &documents)]).await.code(), "0000");
    let body = json!({ "id": "msg_1", "type": "job.issued", "timestamp": "2027-01-15T08:00:00Z",
        "data": { "seller": SELLER, "serial": "HOOK1" } })
    .to_string();
    let secret = Secret::parse(SECRET).expect("a secret");
    let signed = |at: i64, body: &str| Signers(vec![secret.clone()]).header("msg_1", at, body.as_bytes());
    let sent = async |at: i64, signature: &str| {
        let request = Request::post(hooks::PATH)
            .header("webhook-id", "msg_1")
            .header("webhook-timestamp", at.to_string())
            .header("webhook-signature", signature)
            .body(Body::from(body.clone()))
            .expect("a request");
        hooks::receive(platform.portal.clone(), request).await.status().as_u16()
    };
    assert_eq!(sent(NOW_S, &signed(NOW_S, &body)).await, 503, "no secret is known yet: it is sent again");
    let (url, asked) = a_broker().await;
    let dir = tempfile::tempdir().expect("a folder");
    let key = dir.path().join("broker.key");
    std::fs::write(&key, "tdk_test").expect("a file");
    let mut config = Config::default();
    (config.broker.url, config.broker.key_file) = (url, key);
    let client = BrokerClient::new(&config.broker).expect("a client");
    hooks::register(platform.portal.clone(), client, "https://fp.example/hooks/broker".to_owned()).await;
    for (what, at, signature) in [
        ("none", NOW_S, String::new()),
        ("of another body", NOW_S, signed(NOW_S, "{}")),
        ("of another time", NOW_S, signed(NOW_S - 1, &body)),
        ("an old one, sent again", NOW_S - 301, signed(NOW_S - 301, &body)),
    ] {
        assert_eq!(sent(at, &signature).await, 401, "{what}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "a stranger makes the portal ask for nothing");
    assert_eq!(platform.stored("HOOK1").await.phase, Phase::Forwarding);
    assert_eq!(sent(NOW_S, &signed(NOW_S, &body)).await, 204);
    assert_eq!((platform.stored("HOOK1").await.phase, asked.load(Ordering::SeqCst)), (Phase::Issued, 1));
}
