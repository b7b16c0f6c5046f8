//! Public links: who has one sees the invoice, until it ends or is revoked; nobody else sees anything.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use taxdisk_portal::core::links::{self, Kind};
use taxdisk_portal::pages;

use crate::platform::blue;
use crate::rig::Rig;

struct Shown {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Shown {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn get(rig: &Rig, path: &str, accept: &str) -> Shown {
    let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
    let response = pages::answer(rig.platform.portal.clone(), request).await;
    let (parts, body) = response.into_parts();
    Shown { status: parts.status.as_u16(), headers: parts.headers, body: body.collect().await.unwrap().to_bytes().to_vec() }
}

async fn link(rig: &Rig, serial: &str) -> Option<String> {
    let url = rig.platform.portal.link(&rig.request(serial).await).await.unwrap()?;
    Some(url.strip_prefix("https://fp.example").unwrap().to_owned())
}

async fn rig(serial: &str) -> Rig {
    let rig = Rig::start(|config| config.links.valid_days = 30).await;
    let mut document = blue(serial);
    document["GMF_MC"] = "欧阳<b>小明".into();
    document["GMF_NSRSBH"] = "91310000MA00000025".into();
    rig.issue(&document, &[], &[]).await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_the_invoice_with_its_files_and_masks_its_buyer() {
    let rig = rig("LINK1").await;
    let path = link(&rig, "LINK1").await.unwrap();
    assert_eq!(link(&rig, "LINK1").await.unwrap(), path, "the same at every attempt");
    assert!(path.len() >= "/i/".len() + 22, "at least 128 bits");
    let page = get(&rig, &path, "text/html,*/*").await;
    let text = page.text();
    assert_eq!(page.status, 200);
    assert!(text.contains("样票 SAMPLE"), "the page says what its PDF says: {text}");
    assert!(text.contains("¥113.00") && text.contains("00000001") && text.contains("示例商贸有限公司"), "{text}");
    assert!(!text.contains("欧阳") && !text.contains("<b>") && !text.contains("91310000MA00000025"), "{text}");
    let header = |name: &str| page.headers[name].to_str().unwrap().to_owned();
    assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'self'; script-src 'self'"));
    assert!(!header("content-security-policy").contains("unsafe"));
    assert_eq!((header("referrer-policy").as_str(), header("cache-control").as_str()), ("no-referrer", "no-store"));
    assert_eq!((header("x-content-type-options").as_str(), header("x-frame-options").as_str()), ("nosniff", "DENY"));
    assert_eq!(header("x-robots-tag"), "noindex, nofollow", "no search engine keeps it");
    assert_eq!(header("cross-origin-resource-policy"), "same-origin");
    assert!(header("permissions-policy").contains("camera=()") && header("permissions-policy").contains("geolocation=()"));
    assert!(!text.contains("://"), "nothing of others is loaded or linked: {text}");
    // What is not a browser gets the file, as callbacks promise.
    for (path, accept, kind, start) in [
        (path.clone(), "*/*", "application/pdf", "%PDF-"),
        (format!("{path}/pdf"), "text/html", "application/pdf", "%PDF-"),
        (format!("{path}/ofd"), "text/html", "application/ofd", "PK"),
        (format!("{path}/qr.svg"), "image/*", "image/svg+xml", "<svg"),
        (format!("{path}/print"), "text/html", "text/html;charset=UTF-8", "<!DOCTYPE"),
    ] {
        let shown = get(&rig, &path, accept).await;
        assert_eq!((shown.status, shown.headers["content-type"].to_str().unwrap()), (200, kind), "{path}");
        assert!(shown.body.starts_with(start.as_bytes()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_ended_was_revoked_or_guessed_opens_nothing() {
    let rig = rig("LINK2").await;
    let path = link(&rig, "LINK2").await.unwrap();
    let mut guess = path.clone().into_bytes();
    *guess.last_mut().unwrap() ^= 1;
    for wrong in
        [String::from_utf8(guess).unwrap(), "/i/".to_owned(), format!("/i/{}", "A".repeat(5_000)), format!("{path}/other")]
    {
        assert_eq!(get(&rig, &wrong, "*/*").await.status, 404, "{wrong}");
    }
    rig.platform.pass(30 * 24 * 3600 - 1);
    assert_eq!(get(&rig, &path, "*/*").await.status, 200);
    rig.platform.pass(1);
    for part in ["", "/pdf", "/ofd", "/qr.svg", "/print"] {
        let shown = get(&rig, &format!("{path}{part}"), "*/*").await;
        assert_eq!(shown.status, 410, "{part}");
        assert!(!shown.text().contains("示例"), "an old link tells nothing");
    }
    let next = link(&rig, "LINK2").await.unwrap();
    assert_ne!(next, path, "one that ended by time is replaced when the invoice is sent again");
    assert_eq!(get(&rig, &next, "*/*").await.status, 200);
    let ledger = &rig.platform.portal.ledger;
    let revoked = ledger
        .run(|session| Box::pin(async move { links::revoke(session, Kind::Invoice, "shop", "LINK2", "operator").await }))
        .await
        .unwrap();
    assert_eq!(revoked, 1);
    assert_eq!(get(&rig, &next, "*/*").await.status, 410);
    assert_eq!(link(&rig, "LINK2").await, None, "no new one is made by itself");
    let (key, day) = (rig.platform.portal.links.clone(), 24 * 3600 * 1000);
    let made = ledger.run(move |session| {
        Box::pin(async move { links::renew(session, &key, Kind::Invoice, "shop", "LINK2", day, "operator").await })
    });
    assert_eq!(made.await.unwrap().generation, 3);
    assert_eq!(get(&rig, &link(&rig, "LINK2").await.unwrap(), "*/*").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_what_is_not_issued_opens_nothing() {
    let rig = Rig::start(|_| {}).await;
    rig.code("LINK5", &serde_json::json!({})).await;
    let portal = &rig.platform.portal;
    let (key, day_ms) = (portal.links.clone(), 24 * 3600 * 1000);
    let made = portal
        .ledger
        .run(move |session| Box::pin(async move { links::current(session, &key, Kind::Invoice, "shop", "LINK5", day_ms).await }));
    let url = portal.url(&made.await.unwrap().unwrap());
    for part in ["", "/pdf", "/ofd", "/print"] {
        let shown = get(&rig, &format!("{}{part}", url.strip_prefix("https://fp.example").unwrap()), "text/html").await;
        assert!(shown.status == 404 && !shown.text().contains("示例"), "{part}: {}", shown.status);
    }
    let scan = crate::platform::form(&[("scan", &url)]);
    let page = rig.browse("192.0.2.5", "POST", "/kiosk", &scan).await;
    assert!(page.status == 404 && !page.text.contains("示例"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_does_not_hold_what_opens_a_link() {
    let rig = rig("LINK3").await;
    let path = link(&rig, "LINK3").await.unwrap();
    let token = path.strip_prefix("/i/").unwrap().as_bytes().to_vec();
    let file = rig.platform.portal.config.store.url.strip_prefix("sqlite:").unwrap().to_owned();
    let hash = links::hash(std::str::from_utf8(&token).unwrap()).into_bytes();
    let holds = |what: &[u8]| {
        [file.clone(), format!("{file}-wal")]
            .iter()
            .any(|file| std::fs::read(file).unwrap_or_default().windows(what.len()).any(|window| window == what))
    };
    assert!(holds(&hash), "the files are the right ones");
    assert!(!holds(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_lost_leaves_no_invoice_with_a_link_that_opens_nothing() {
    let rig = rig("LINK4").await;
    let lost = links::LinkKey::from_text(&"5c".repeat(32)).unwrap();
    let (key, day_ms) = (lost.clone(), 24 * 3600 * 1000);
    let made =
        rig.platform.portal.ledger.run(move |session| {
            Box::pin(async move { links::current(session, &key, Kind::Invoice, "shop", "LINK4", day_ms).await })
        });
    let old = made.await.unwrap().unwrap();
    let path = link(&rig, "LINK4").await.unwrap();
    assert_eq!(get(&rig, &path, "*/*").await.status, 200, "what is named opens");
    let before = format!("/i/{}", lost.token(Kind::Invoice, "shop", "LINK4", old.generation));
    assert_ne!(path, before);
    assert_eq!(get(&rig, &before, "*/*").await.status, 200, "what was sent already opens too");
}
