//! `/find`: what a receipt says leads to its request, and a stranger learns nothing by trying.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use taxdisk_portal::config::Config;
use taxdisk_portal::core::links::{self, Kind};

use crate::offline::Scheme;
use crate::platform::{Said, blue, form};
use crate::rig::{Page, Rig};

/// As published in `pages::find`: no answer that found nothing comes sooner.
const MISS_TAKES: Duration = Duration::from_millis(400);

async fn rig(edit: impl FnOnce(&mut Config)) -> Rig {
    Rig::start(|config| {
        // Tests that are not about the limits search often.
        (config.limits.finds_per_min, config.limits.all_finds_per_min) = (1000, 1000);
        edit(config);
    })
    .await
}

async fn find(rig: &Rig, fields: &[(&str, &str)]) -> Page {
    rig.browse("192.0.2.1", "POST", "/find", &form(fields)).await
}

fn three<'a>(serial: &'a str, total: &'a str, date: &'a str) -> [(&'static str, &'a str); 3] {
    [("serial", serial), ("total", total), ("date", date)]
}

async fn extraction(rig: &Rig, serial: &str) -> String {
    rig.request(serial).await.qr.unwrap().code
}

/// The page without what its reader wrote himself.
fn plain(page: &Page) -> String {
    page.text.split(" value=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receipt_says_leads_to_its_request() {
    let rig = rig(|_| {}).await;
    let page = rig.browse("192.0.2.1", "GET", "/find?lang=en", "").await;
    assert!(page.status == 200 && page.text.contains("Find your invoice") && page.text.contains("name=\"extraction\""));
    let path = rig.code("FIND1", &json!({})).await;
    let code = extraction(&rig, "FIND1").await;
    for fields in [
        vec![("extraction", code.as_str())],
        three("FIND1", "11.30", "2027-01-15").to_vec(),
        three(" FIND1 ", "¥11.3", "2027/01/15").to_vec(),
    ] {
        let page = find(&rig, &fields).await;
        assert_eq!((page.status, page.location()), (303, path.clone()), "a damaged code's form is found: {fields:?}");
    }
    rig.fill(&path, &[]).await;
    rig.platform.broker_says("FIND1", &Said::Issued).await;
    let page = find(&rig, &[("extraction", &format!("{} {}", &code[..6], &code[6..]))]).await;
    assert_eq!((page.status, page.location()), (303, path.clone()), "as a scan");
    // What can be guessed shows the state alone: the buyer masked, no file, no code that opens one.
    let page = find(&rig, &three("FIND1", "11.30", "2027-01-15")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("开票成功") && page.text.contains("欧＊＊明") && page.text.contains("¥11.30"), "{}", page.text);
    for hidden in ["欧阳小明", code.as_str(), "/i/", "/q/", path.as_str()] {
        assert!(!page.text.contains(hidden), "{hidden}: {}", page.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_code_is_found_by_the_serial_number_on_its_receipt() {
    let rig = rig(|_| {}).await;
    let mut document = blue("FIND2");
    document["GMF_MC"] = "欧阳<b>小明".into();
    document["GMF_NSRSBH"] = "91310000MA00000025".into();
    rig.issue(&document, &[], &[]).await;
    // The day of the invoice and of the request is the fifteenth in Beijing.
    let page = find(&rig, &three("FIND2", "113.00", "2027-01-15")).await;
    assert!(page.status == 200 && page.text.contains("开票成功") && page.text.contains("示例商贸有限公司"), "{}", page.text);
    assert!(
        !page.text.contains("欧阳") && !page.text.contains("91310000MA00000025") && !page.text.contains("/i/"),
        "{}",
        page.text
    );
    rig.platform.form("insertWithArray", &[("requestdatas", &json!([blue("FIND3")]).to_string())]).await;
    rig.platform.broker_says("FIND3", &Said::Failed { fault: "disk", code: "disk_locked", text: "锁死期" }).await;
    let page = find(&rig, &three("FIND3", "113.00", "2027-01-15")).await;
    assert!(page.status == 200 && page.text.contains("发票尚未开具") && !page.text.contains("锁死期"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_nothing_learns_nothing() {
    let rig = rig(|_| {}).await;
    rig.code("MISS1", &json!({})).await;
    rig.issue(&blue("MISS2"), &[], &[]).await;
    rig.code("MISS3", &json!({})).await;
    let (good, revoked) = (extraction(&rig, "MISS1").await, extraction(&rig, "MISS3").await);
    let ledger = &rig.platform.portal.ledger;
    let done = ledger.run(|session| Box::pin(async move { links::revoke(session, Kind::Code, "shop", "MISS3", "test").await }));
    assert_eq!(done.await.unwrap(), 1);
    let mut next = good.clone().into_bytes();
    next[11] = if next[11] == b'9' { b'0' } else { next[11] + 1 };
    let next = String::from_utf8(next).unwrap();
    let misses: Vec<Vec<(&str, &str)>> = vec![
        vec![("extraction", &next)],
        vec![("extraction", &revoked)],
        vec![("extraction", "1")],
        vec![("extraction", "%' OR 1=1 --")],
        three("MISS1", "11.31", "2027-01-15").to_vec(),
        three("MISS1", "11.30", "2027-01-16").to_vec(),
        three("MISS1", "", "").to_vec(),
        three("MISS1", "11.30", "").to_vec(),
        three("NOBODY", "11.30", "2027-01-15").to_vec(),
        three("MISS2", "112.99", "2027-01-15").to_vec(),
        three("MISS2", "nonsense", "2027-01-15").to_vec(),
        three("MISS3", "11.30", "2027-01-15").to_vec(),
        // A wrong extraction code is not made good by the rest.
        [vec![("extraction", next.as_str())], three("MISS2", "113.00", "2027-01-15").to_vec()].concat(),
        vec![],
    ];
    let mut seen = BTreeSet::new();
    for fields in misses {
        let began = Instant::now();
        let page = find(&rig, &fields).await;
        assert!(began.elapsed() >= MISS_TAKES, "{fields:?} was answered sooner than the others");
        assert_eq!(page.location(), "", "{fields:?}");
        let headers: Vec<String> = page.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        seen.insert((page.status, headers, plain(&page)));
        assert_eq!(seen.len(), 1, "{fields:?} differs: {seen:#?}");
    }
    assert_eq!(seen.first().unwrap().0, 404);
    assert_eq!(find(&rig, &[("extraction", &good)]).await.status, 303, "the one beside it is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_two_receipts_bear_leads_to_neither() {
    let rig = rig(|_| {}).await;
    rig.code("TWIN1", &json!({})).await;
    rig.code("TWIN2", &json!({})).await;
    let code = extraction(&rig, "TWIN1").await;
    assert_eq!(find(&rig, &[("extraction", &code)]).await.status, 303);
    let mut twin = rig.request("TWIN2").await;
    twin.qr.as_mut().unwrap().code.clone_from(&code);
    let ledger = &rig.platform.portal.ledger;
    ledger.run(move |session| Box::pin(async move { session.db.put_request(&twin).await })).await.unwrap();
    assert_eq!(find(&rig, &[("extraction", &code)]).await.status, 404);
    assert_eq!(find(&rig, &three("TWIN1", "11.30", "2027-01-15")).await.status, 303, "the other way is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_brings_no_ended_code_back() {
    let rig = rig(|config| config.links.code_valid_days = 10).await;
    rig.code("ENDED1", &json!({})).await;
    let code = extraction(&rig, "ENDED1").await;
    rig.platform.pass(10 * 24 * 3600 - 1);
    assert_eq!(find(&rig, &[("extraction", &code)]).await.status, 303);
    rig.platform.pass(1);
    assert_eq!(find(&rig, &[("extraction", &code)]).await.status, 404);
    assert_eq!(find(&rig, &three("ENDED1", "11.30", "2027-01-15")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_searches_faster_than_the_limits_of_his_address_and_of_all() {
    let rig = rig(|config| (config.limits.finds_per_min, config.limits.all_finds_per_min) = (1, 25)).await;
    rig.code("RATE1", &json!({})).await;
    let code = form(&[("extraction", &extraction(&rig, "RATE1").await)]);
    let tries = async |address: &str| {
        for found in 0..100 {
            let page = rig.browse(address, "POST", "/find", &code).await;
            match page.status {
                303 => {}
                429 => return found,
                other => panic!("{other}: {}", page.text),
            }
        }
        panic!("there is no limit")
    };
    // Ten minutes' worth at once; a minute has room for all of the test.
    let first = tries("192.0.2.1").await;
    assert!((10..=11).contains(&first), "{first}");
    let second = tries("192.0.2.2").await;
    assert!((10..=11).contains(&second), "another one has his own: {second}");
    let third = tries("2001:db8::1").await;
    assert!(third < 10 && (25..=30).contains(&(first + second + third)), "all together: {first} + {second} + {third}");
    assert_eq!(rig.browse("192.0.2.9", "GET", "/find", "").await.status, 200, "the form itself costs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_s_receipt_is_found_by_the_number_of_its_order() {
    let scheme =
        Scheme::start_with(|config| (config.limits.finds_per_min, config.limits.all_finds_per_min) = (1000, 1000), Vec::new())
            .await;
    let missed = find(&scheme.rig, &three("POS42-0099", "113.00", "2027-01-15")).await;
    assert_eq!(missed.status, 404, "nobody has asked for its invoice");
    let serial = scheme.issue("POS42-0099", &[]).await;
    assert_ne!(serial, "POS42-0099");
    scheme.rig.platform.broker_says(&serial, &Said::Issued).await;
    let page = find(&scheme.rig, &three("POS42-0099", "113.00", "2027-01-15")).await;
    assert!(page.status == 200 && page.text.contains("开票成功"), "{}", page.text);
    for hidden in ["甲公司", "/i/", "/q/"] {
        assert!(!page.text.contains(hidden), "{hidden}: an order's number can be guessed: {}", page.text);
    }
    // Of another amount or day, or a part of it: like one that never was.
    for (number, total, date) in
        [("POS42-0099", "113.01", "2027-01-15"), ("POS42-0099", "113.00", "2027-01-16"), ("POS42-009", "113.00", "2027-01-15")]
    {
        assert_eq!(plain(&find(&scheme.rig, &three(number, total, date)).await), plain(&missed), "{number} {total} {date}");
    }
}
