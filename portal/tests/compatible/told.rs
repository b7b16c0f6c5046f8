//! What the broker tells by itself, and when the portal asks.

use serde_json::json;
use taxdisk_portal::core::outcome::is_stale;
use taxdisk_portal::core::request::Phase;

use super::platform::{Platform, SELLER, Said, blue};

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
