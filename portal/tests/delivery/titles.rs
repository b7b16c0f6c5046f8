//! Titles that a user keeps in WeChat: the server's side, at a fake that refuses as WeChat does. What the page does with WeChat's
//! bridge is tested in a browser.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use taxdisk_portal::pages;

use crate::cards::{Fake, rig_with};
use crate::platform::NOW_S;
use crate::rig::Rig;

/// WeChat's browser, as it names itself.
const WECHAT: &str = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Mobile Safari/537.36 MicroMessenger/8.0.50";

async fn opened(rig: &Rig, agent: &str, path: &str) -> (u16, String) {
    let request = Request::get(path).header("accept", "text/html").header("user-agent", agent).body(Body::empty()).unwrap();
    let (parts, body) = pages::answer(rig.platform.portal.clone(), request).await.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), String::from_utf8_lossy(&bytes).into_owned())
}

async fn signed(rig: &Rig, url: &str) -> (u16, Value) {
    let url: String = url.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (status, text) = opened(rig, WECHAT, &format!("/wechat/signature?url={url}")).await;
    (status, serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_are_offered_inside_wechat_where_they_are_configured() {
    for (configured, agent, offered) in [(true, WECHAT, true), (true, "Mozilla/5.0 Safari/537.36", false), (false, WECHAT, false)]
    {
        let (rig, _dir) = rig_with(&Fake::default(), configured).await;
        let path = rig.code("TITLE1", &json!({})).await;
        let (status, text) = opened(&rig, agent, &path).await;
        assert_eq!((status, text.contains("data-titles")), (200, offered), "{configured} {agent}: {text}");
        assert!(text.contains("name=\"GMF_MC\"") && !text.contains("://"), "the form is there, and nothing of others: {text}");
        let expected = if configured { 200 } else { 404 };
        assert_eq!(signed(&rig, &format!("https://fp.example{path}")).await.0, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_this_portal_are_signed_for_and_no_others() {
    let fake = Fake::default();
    let (rig, _dir) = rig_with(&fake, true).await;
    let path = rig.code("TITLE2", &json!({})).await;
    let (status, sign) = signed(&rig, &format!("https://fp.example{path}?lang=en")).await;
    assert_eq!((status, &sign["appId"], &sign["timestamp"]), (200, &json!("wxplatform"), &json!(NOW_S.to_string())));
    assert_eq!(sign["signature"].as_str().unwrap().len(), 40);
    let (_, again) = signed(&rig, "https://fp.example/qrcode-connector?syscode=TOLL&order=A").await;
    assert_ne!(sign["nonceStr"], again["nonceStr"]);
    assert_eq!(fake.lock().unwrap().tickets, 1, "a ticket is kept");
    for foreign in [
        "",
        "https://evil.example/q/abc",
        "https://fp.example.evil.example/q/abc",
        "https://fp.example@evil.example/q/abc",
        "https://fp.example/console/invoices",
        "https://fp.example/q/abc#x",
        "https://fp.example/q/a b",
        &format!("https://fp.example/q/{}", "a".repeat(3000)),
    ] {
        assert_eq!(signed(&rig, foreign).await.0, 404, "{foreign}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wechat_s_refusals_leave_the_form_as_it_is() {
    let fake = Fake::default();
    let (rig, _dir) = rig_with(&fake, true).await;
    let path = rig.code("TITLE3", &json!({})).await;
    let url = format!("https://fp.example{path}");
    // An access token that ended is renewed, once.
    assert_eq!(signed(&rig, &url).await.0, 200);
    fake.lock().unwrap().tokens += 1;
    rig.platform.pass(7000);
    assert_eq!(signed(&rig, &url).await.0, 200, "the ticket ended with a token that WeChat does not take any more");
    rig.platform.pass(7000);
    for code in [-1, 45009, 40013, 48001] {
        fake.lock().unwrap().refuse = Some(code);
        assert_eq!(signed(&rig, &url).await.0, 502, "{code}");
        assert_eq!(opened(&rig, WECHAT, &path).await.0, 200, "the form needs no WeChat");
    }
    assert_eq!(signed(&rig, &url).await.0, 200, "later it works");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_many_signatures_is_told_to_wait() {
    let (mut rig, _dir) = rig_with(&Fake::default(), true).await;
    let portal = Arc::get_mut(&mut rig.platform.portal).expect("nobody else has it yet");
    let rate = |requests| taxdisk_portal::rate::PerMinute { requests, burst: requests };
    portal.scans = taxdisk_portal::rate::Strangers::new(rate(5), rate(u32::MAX));
    let tried = async || signed(&rig, "https://fp.example/q/abc").await.0;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(tried().await);
    }
    assert!(statuses.contains(&200) && statuses.last() == Some(&429), "{statuses:?}");
}
