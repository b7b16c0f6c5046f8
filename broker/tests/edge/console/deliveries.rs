//! The delivery log of a webhook in the console.

use serde_json::json;
use taxdisk_broker::core::people::ConsoleRole;

use super::{Browser, after, location};
use crate::receiver::{Manner, Receiver};
use crate::support::{Broker, SELLER, until};
use crate::webhooks::{id, on_loopback};

#[tokio::test(flavor = "multi_thread")]
async fn one_event_or_all_that_were_given_up_are_sent_again_under_their_ids() {
    let broker = Broker::start_with(|config| {
        on_loopback(config);
        config.webhooks.schedule_s = vec![1];
    })
    .await;
    // What is told of D1 and D2 is refused until the receiver is mended; the rest is taken, so that these are given up.
    let receiver = Receiver::start(|got| match got.serial() {
        "D1" | "D2" => Manner::Status(500, ""),
        _ => Manner::Take,
    })
    .await;
    let hook = broker.hook(json!({ "url": receiver.url(), "events": ["job.cancelled"] })).await;
    let path = format!("/console/webhooks/{}", id(&hook));
    let mut browser = Browser::of(&broker, "olaf", ConsoleRole::Operator).await;
    for serial in ["D1", "D2"] {
        broker.cancelled(serial).await;
    }
    let mut more = 0;
    let failed = format!("{path}?state=failed");
    until("both are given up", || {
        more += 1;
        let (mut other, failed, serial) = (browser.again(), failed.clone(), format!("E{more}"));
        let broker = &broker;
        async move {
            broker.cancelled(&serial).await;
            let text = other.get(&failed).await.text();
            text.contains(">D1<") && text.contains(">D2<")
        }
    })
    .await;
    let text = browser.get(&failed).await.text();
    assert!(text.contains("Given up") && text.contains("500") && !text.contains(">E1<"), "{text}");
    assert!(text.contains(&format!("/console/jobs/{SELLER}/D1")), "{text}");
    let row = text.split("<tr>").find(|row| row.contains(">D1<")).unwrap();
    let event = after(row, "name=\"event\" value=\"", "\"").unwrap().to_owned();
    receiver.behave(|_| Manner::Take);
    let before = receiver.got().len();
    let replay = format!("{path}/replay");
    assert!(location(&browser.post(&replay, &[("event", &event)]).await).contains("done_replayed"));
    until("it is taken", async || receiver.got()[before..].iter().any(|got| got.id() == event)).await;
    assert!(browser.get(&failed).await.text().contains(">D2<"), "the other one was not asked for");
    location(&browser.post(&replay, &[]).await);
    until("the other one too", async || receiver.got()[before..].iter().any(|got| got.serial() == "D2")).await;
    for none in ["evt_1_0", "evt_1_000000000000", "evt"] {
        let answer = browser.post(&replay, &[("event", none)]).await;
        assert!(matches!(answer.status, 400 | 404), "{none} is none of its own: {}", answer.text());
    }
    for (wrong, status) in [("state=lost", 400), ("cursor=q", 400)] {
        assert_eq!(browser.get(&format!("{path}?{wrong}")).await.status, status, "{wrong}");
    }
    assert_eq!(browser.get("/console/webhooks/wh_none").await.status, 404);
    let mut viewer = Browser::of(&broker, "vera", ConsoleRole::Viewer).await;
    let text = viewer.get(&path).await.text();
    assert!(text.contains("job.cancelled") && !text.contains("/replay"), "who may not has no button: {text}");
}
