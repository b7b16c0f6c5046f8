//! The page of a code after it was filled in: its state as it changes, the invoice to another address, a task for the clerk.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::json;
use taxdisk_portal::core::links::{self, Kind};
use taxdisk_portal::core::outbox::Standing;
use taxdisk_portal::core::request::Phase;
use taxdisk_portal::core::task::{CONTACT_MAX, TEXT_MAX, Task, TaskState};
use taxdisk_portal::pages;
use taxdisk_portal::portal::STREAMS;

use crate::platform::{SELLER, Said, form};
use crate::rig::{Page, Rig};
use crate::texts::{self, Provider};

/// A stream that gives nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream of states.
struct Stream(Body);

impl Stream {
    async fn open(rig: &Rig, path: &str) -> Result<Stream, u16> {
        let request = Request::get(format!("{path}/events")).body(Body::empty()).unwrap();
        let response = pages::answer(rig.platform.portal.clone(), request).await;
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Stream(response.into_body()))
    }

    /// The next state; none: it has ended.
    async fn next(&mut self) -> Option<String> {
        let frame = tokio::time::timeout(PATIENCE, self.0.frame()).await.expect("the stream goes on or ends")?;
        let text = String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap();
        let state = text.strip_prefix("event: state\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
        Some(state.unwrap_or_else(|| panic!("{text:?} is no event")).to_owned())
    }
}

async fn state(rig: &Rig, path: &str) -> String {
    rig.browse("192.0.2.1", "GET", &format!("{path}/state"), "").await.text
}

#[tokio::test(flavor = "multi_thread")]
async fn states_arrive_as_they_change_and_the_stream_ends_with_the_invoice() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("SSE1", &json!({})).await;
    rig.fill(&path, &[]).await;
    let mut stream = Stream::open(&rig, &path).await.unwrap();
    assert_eq!(stream.next().await.as_deref(), Some("queued"), "the first one at once");
    for (said, expected) in [(Said::Waits("disk_offline"), "offline"), (Said::Unsettled, "checking"), (Said::Issued, "issued")] {
        rig.platform.broker_says("SSE1", &said).await;
        assert_eq!(stream.next().await.as_deref(), Some(expected));
        assert_eq!(state(&rig, &path).await, expected, "pages without streams ask");
    }
    assert_eq!(stream.next().await, None, "nothing will change any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_after_its_time_and_with_its_code() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("SSE2", &json!({})).await;
    rig.fill(&path, &[]).await;
    let mut stream = Stream::open(&rig, &path).await.unwrap();
    assert_eq!(stream.next().await.as_deref(), Some("queued"));
    rig.platform.pass(121);
    assert_eq!(stream.next().await, None, "a browser connects anew");
    let mut stream = Stream::open(&rig, &path).await.unwrap();
    assert_eq!(stream.next().await.as_deref(), Some("queued"));
    let ledger = &rig.platform.portal.ledger;
    ledger
        .run(|session| Box::pin(async move { links::revoke(session, Kind::Code, "shop", "SSE2", "test").await }))
        .await
        .unwrap();
    assert_eq!(stream.next().await, None);
    assert_eq!(Stream::open(&rig, &path).await.err(), Some(410));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_streams_and_the_rest_asks() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("SSE3", &json!({})).await;
    rig.fill(&path, &[]).await;
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        open.push(Stream::open(&rig, &path).await.unwrap());
    }
    assert_eq!(Stream::open(&rig, &path).await.err(), Some(503));
    assert_eq!(state(&rig, &path).await, "queued", "asking goes on");
    open.pop();
    assert!(Stream::open(&rig, &path).await.is_ok(), "who leaves makes room");
}

/// A code with an invoice, and a provider of short messages.
async fn issued(provider: &Provider, serial: &str) -> (Rig, String, tempfile::TempDir) {
    let (sms, dir) = texts::config(provider).await;
    let rig = Rig::start(|config| config.sms = Some(sms)).await;
    let path = rig.code(serial, &json!({})).await;
    rig.fill(&path, &[]).await;
    rig.platform.broker_says(serial, &Said::Issued).await;
    (rig, path, dir)
}

async fn send(rig: &Rig, path: &str, address: &str) -> Page {
    rig.browse("192.0.2.1", "POST", &format!("{path}/send"), &form(&[("address", address)])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_goes_to_another_address_by_the_outbox_and_so_often_a_day() {
    let provider = Provider::default();
    let (rig, path, _dir) = issued(&provider, "SEND1").await;
    let page = send(&rig, &path, "13900000001").await;
    assert_eq!((page.status, page.location()), (303, format!("{path}?told=sent")));
    let messages = rig.messages("SEND1").await;
    assert_eq!(
        messages.iter().map(|one| (one.address.as_str(), one.cause.as_str())).collect::<Vec<_>>(),
        [("13900000001", "consumer")]
    );
    assert_eq!(send(&rig, &path, "13900000001").await.location(), format!("{path}?told=sent"), "a double tap");
    assert_eq!(rig.send_due().await, 1, "one message");
    assert_eq!(rig.standing("SEND1").await, Standing::Sent);
    assert_eq!(provider.taken.lock().unwrap()[0]["to"], "13900000001");
    // Whoever scans next sees that it was sent, not to whom.
    let told = rig.browse("192.0.2.1", "GET", &format!("{path}?told=sent"), "").await;
    assert!(told.text.contains("已进入发送队列") && !told.text.contains("13900000001"), "{}", told.text);
    for (address, told) in [("no address", "need_email"), ("a@b@c", "need_email"), ("a@buyer.example", "send_off")] {
        assert_eq!(send(&rig, &path, address).await.location(), format!("{path}?told={told}"), "{address}");
    }
    for last in 2..=10 {
        assert_eq!(send(&rig, &path, &format!("139000000{last:02}")).await.location(), format!("{path}?told=sent"));
    }
    assert_eq!(send(&rig, &path, "13900000011").await.location(), format!("{path}?told=send_many"));
    assert_eq!(rig.messages("SEND1").await.len(), 10);
    rig.platform.pass(24 * 3600);
    assert_eq!(send(&rig, &path, "13900000011").await.location(), format!("{path}?told=sent"), "another day");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_s_telephone_is_flooded_through_many_receipts() {
    let provider = Provider::default();
    let (rig, first, _dir) = issued(&provider, "FLOOD0").await;
    let mut paths = vec![first];
    for more in 1..4 {
        let serial = format!("FLOOD{more}");
        let path = rig
            .code(
                &serial,
                &json!({ "JSHJ": format!("11.3{more}"), "items": [{ "XMMC": "*纸制品*打印纸",
            "XMJSHJ": format!("11.3{more}"), "SL": "0.13", "SPBM": "1060105" }] }),
            )
            .await;
        rig.fill(&path, &[]).await;
        rig.platform.broker_says(&serial, &Said::Issued).await;
        paths.push(path);
    }
    let mut sent = 0;
    for path in paths.iter().flat_map(|path| std::iter::repeat_n(path, 10)) {
        let told = send(&rig, path, "13900000001").await.location();
        sent += usize::from(told.ends_with("told=sent"));
        rig.send_due().await;
    }
    assert_eq!((sent, provider.taken.lock().unwrap().len()), (30, 30));
    assert!(send(&rig, &paths[3], "13900000002").await.location().ends_with("told=sent"), "others are not affected");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_of_an_invoice_that_does_not_exist() {
    let (sms, _dir) = texts::config(&Provider::default()).await;
    let rig = Rig::start(|config| config.sms = Some(sms)).await;
    let path = rig.code("SEND2", &json!({})).await;
    assert_eq!(send(&rig, &path, "13900000001").await.location(), path);
    rig.fill(&path, &[]).await;
    rig.platform.broker_says("SEND2", &Said::Unsettled).await;
    assert_eq!(send(&rig, &path, "13900000001").await.location(), path);
    assert!(rig.messages("SEND2").await.is_empty());
}

async fn correct(rig: &Rig, path: &str, text: &str) -> String {
    let fields = form(&[("text", text), ("contact", "13900000001")]);
    rig.browse("192.0.2.1", "POST", &format!("{path}/correct"), &fields).await.location()
}

async fn tasks(rig: &Rig, serial: &str) -> Vec<Task> {
    rig.platform.portal.readers.get().await.unwrap().tasks_of("shop", serial).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_is_asked_for_once_at_a_time_and_changes_no_invoice() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("TASK1", &json!({})).await;
    rig.fill(&path, &[]).await;
    rig.platform.broker_says("TASK1", &Said::Issued).await;
    let before = rig.request("TASK1").await;
    assert_eq!(correct(&rig, &path, "  ").await, format!("{path}?told=need_text"));
    assert_eq!(correct(&rig, &path, &"字".repeat(TEXT_MAX + 1)).await, format!("{path}?told=too_long"));
    let long = form(&[("text", "抬头写错了"), ("contact", &"1".repeat(CONTACT_MAX + 1))]);
    let page = rig.browse("192.0.2.1", "POST", &format!("{path}/correct"), &long).await;
    assert_eq!(page.location(), format!("{path}?told=too_long"));
    assert!(tasks(&rig, "TASK1").await.is_empty());
    assert_eq!(correct(&rig, &path, "抬头写错了").await, format!("{path}?told=corrected"));
    assert_eq!(correct(&rig, &path, "再说一次").await, format!("{path}?told=correct_open"));
    let mut all = tasks(&rig, "TASK1").await;
    assert_eq!(all.len(), 1, "whoever has a receipt does not fill the clerk's list");
    assert_eq!((all[0].text.as_str(), all[0].contact.as_str(), all[0].state), ("抬头写错了", "13900000001", TaskState::Open));
    let page = rig.browse("192.0.2.1", "GET", &format!("{path}?told=corrected"), "").await;
    assert!(page.text.contains("更正申请已交给商户") && !page.text.contains("抬头写错了"), "{}", page.text);
    assert_eq!(rig.request("TASK1").await, before, "a task is a task");
    // Once the clerk is through, another one may come.
    let mut done = all.remove(0);
    done.state = TaskState::Done;
    rig.platform.portal.ledger.run(move |session| Box::pin(async move { session.db.put_task(&done).await })).await.unwrap();
    assert_eq!(correct(&rig, &path, "还有一处").await, format!("{path}?told=corrected"));
    assert_eq!(tasks(&rig, "TASK1").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_issued_cannot_be_corrected() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("TASK2", &json!({})).await;
    assert_eq!(correct(&rig, &path, "抬头写错了").await, path);
    rig.fill(&path, &[]).await;
    for said in [Said::Waits("disk_offline"), Said::Unsettled, Said::Failed { fault: "disk", code: "disk_locked", text: "" }] {
        rig.platform.broker_says("TASK2", &said).await;
        assert_eq!(correct(&rig, &path, "抬头写错了").await, path, "there is only the state to show");
    }
    assert!(tasks(&rig, "TASK2").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_merchant_can_mend_is_said_and_goes_on_when_he_has() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("MERCHANT1", &json!({})).await;
    rig.fill(&path, &[]).await;
    let failed = Said::Failed { fault: "disk", code: "disk_trouble", text: "661545600001 故障 <secret>" };
    rig.platform.broker_says("MERCHANT1", &failed).await;
    assert_eq!(state(&rig, &path).await, "merchant");
    for (lang, title) in [("zh", "等待商户处理"), ("en", "The merchant has to act")] {
        let page = rig.browse("192.0.2.1", "GET", &format!("{path}?lang={lang}"), "").await;
        assert!(page.text.contains(title) && page.text.contains("data-live"), "{lang}: it may go on: {}", page.text);
        assert!(
            !page.text.contains("661545600001") && !page.text.contains("secret"),
            "why is the merchant's business: {}",
            page.text
        );
        assert!(!page.text.contains("/i/") && !page.text.contains("GMF_MC"), "no invoice and no second form: {}", page.text);
    }
    let mut stream = Stream::open(&rig, &path).await.unwrap();
    assert_eq!(stream.next().await.as_deref(), Some("merchant"));
    // The merchant re-issues: the same request, and the open page hears of it.
    let entry = json!([{ "FPQQLSH": "MERCHANT1", "XSF_NSRSBH": SELLER, "JSHJ": "11.30" }]).to_string();
    let answer = rig.platform.form("reissue", &[("requestdatas", &entry)]).await;
    assert_eq!(answer.code(), "0000", "{}", answer.body);
    assert_ne!(stream.next().await.as_deref(), Some("merchant"));
}

/// A consumer has no session: what he may do rests on the address that he was given, and a page of others cannot make his browser
/// do more than its author could do himself.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_sent_from_another_site_does_what_its_address_allows_and_nothing_more() {
    let rig = Rig::start(|_| {}).await;
    let path = rig.code("CROSS1", &json!({})).await;
    let send = async |path: &str, body: String, cookie: &str| {
        let request = Request::post(path)
            .header("accept", "text/html")
            .header("origin", "https://evil.example")
            .header("sec-fetch-site", "cross-site")
            .header("cookie", cookie)
            .body(Body::from(body))
            .unwrap();
        let response = pages::answer(rig.platform.portal.clone(), request).await;
        let cookies = response.headers().get_all("set-cookie").iter().count();
        (response.status().as_u16(), cookies)
    };
    let filled = form(&[("kind", "person"), ("GMF_MC", "跨站"), ("step", "issue"), ("terms", "guessed")]);
    for cookie in ["", "lang=en", "__Host-taxdisk=somebody"] {
        // Without having seen the page nobody knows its terms: the form comes back, and nothing is issued.
        assert_eq!(send(&path, filled.clone(), cookie).await, (409, 0), "no cookie counts for anything: {cookie:?}");
        assert_eq!(send("/q/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", filled.clone(), cookie).await.0, 404);
    }
    assert_eq!(rig.request("CROSS1").await.phase, Phase::Buyer);
}
