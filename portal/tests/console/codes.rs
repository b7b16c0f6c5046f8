//! 码上开票: a code is made once, printed, scanned, filled in, issued or cancelled; it is never more than one invoice.

use taxdisk_portal::core::request::Phase;

use crate::browser::{Browser, Page, Place};
use crate::platform::{SELLER, Said};

const CLERK: &[&str] = &["clerk"];

/// A line by hand: 2 × 28.50 with tax.
pub(crate) const LINE: [(&str, &str); 6] = [
    ("XMMC.0", "*餐饮服务*咖啡"),
    ("DW.0", "杯"),
    ("XMSL.0", "2"),
    ("price.0", "28.50"),
    ("SL.0", "0.06"),
    ("SPBM.0", "3070401000000000000"),
];

fn org() -> String {
    format!("{SELLER}/A")
}

/// A draft with one line, and more.
pub(crate) fn draft<'a>(org: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![("org", org), ("FPLX", "1")];
    fields.extend(LINE);
    fields.extend(more);
    fields
}

/// Opens a new code's form; its address.
async fn begun(browser: &mut Browser<'_>) -> String {
    let page = browser.get("/console/codes/new").await;
    assert_eq!(page.status, 303);
    let form = browser.get(&page.location).await;
    assert_eq!(form.status, 200, "{}", form.body);
    page.location
}

async fn make(browser: &mut Browser<'_>, at: &str) -> Page {
    browser.post(at, &draft(&org(), &[("step", "make")])).await
}

/// A new code; its page's address and its serial number.
pub(crate) async fn made(browser: &mut Browser<'_>) -> (String, String) {
    let at = begun(browser).await;
    let page = make(browser, &at).await;
    let url = page.location.strip_suffix("?done=made").unwrap_or_else(|| panic!("{} {}", page.status, page.body)).to_owned();
    let serial = url.rsplit('/').next().unwrap().to_owned();
    (url, serial)
}

/// The path that the code of a page leads to.
pub(crate) async fn link(browser: &mut Browser<'_>, url: &str) -> String {
    let page = browser.get(url).await;
    let after = page.body.split_once("<a href=\"https://fp.example/q/").expect("the page names the link").1;
    format!("/q/{}", after.split('"').next().unwrap())
}

async fn phase(place: &Place, serial: &str) -> Phase {
    place.platform.portal.readers.get().await.unwrap().request("shop", serial).await.unwrap().expect("a request").phase
}

/// A consumer fills the form in and confirms; the page that he then sees.
async fn filled(place: &Place, path: &str) -> Page {
    let buyer = [("kind", "person"), ("GMF_MC", "张三丰")];
    let page = place.guest("POST", path, &[buyer[0], buyer[1], ("step", "check")]).await;
    let terms = page.body.split_once("name=\"terms\" value=\"").map(|(_, rest)| rest.split('"').next().unwrap().to_owned());
    let Some(terms) = terms else { return place.guest("GET", path, &[]).await };
    let page = place.guest("POST", path, &[buyer[0], buyer[1], ("step", "issue"), ("terms", &terms)]).await;
    assert_eq!((page.status, page.location.as_str()), (303, path), "{}", page.body);
    place.guest("GET", path, &[]).await
}

#[tokio::test]
async fn a_code_s_form_sent_twice_from_two_tabs_or_after_the_back_button_is_one_code() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let at = begun(&mut browser).await;
    let (mut one, mut two) = (browser.tab(), browser.tab());
    let (first, second) = tokio::join!(make(&mut one, &at), make(&mut two, &at));
    assert_eq!((first.status, second.status), (303, 303), "{}", first.body);
    assert_eq!(first.location, second.location, "a double click is one code");
    assert_eq!(make(&mut browser, &at).await.location, first.location, "the form sent again");
    let back = browser.get(&at).await;
    assert_eq!((back.status, back.location.as_str()), (303, first.location.strip_suffix("?done=made").unwrap()));
    let codes = place.platform.portal.readers.get().await.unwrap().codes("shop", None, (i64::MAX, ""), 10).await.unwrap();
    assert_eq!(codes.len(), 1);
    assert_eq!(codes[0].0.made_by, "console:carl");
    // The serial number was on the form before anything was sent.
    let fresh = begun(&mut browser).await;
    let form = browser.get(&fresh).await;
    let (_, serial) = {
        let page = make(&mut browser, &fresh).await;
        let url = page.location.strip_suffix("?done=made").unwrap().to_owned();
        (url.clone(), url.rsplit('/').next().unwrap().to_owned())
    };
    assert!(form.body.contains(&serial), "fixed before the form is shown");
    // Other content under the same key makes no second code and changes nothing of the first.
    let own = org();
    let other = draft(&own, &[("step", "make"), ("BZ", "别的")]);
    let page = browser.post(&fresh, &other).await;
    assert_eq!(page.location, format!("/console/codes/{serial}?done=made"), "the code that is there answers");
}

#[tokio::test]
async fn a_person_enters_a_sale_and_prints_its_code() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let home = browser.get("/console/codes").await;
    assert!(home.body.contains("企业开票") && home.body.contains("码上开票"), "the menu is named as in the source");
    let at = begun(&mut browser).await;
    let form = browser.get(&at).await;
    assert!(form.body.contains("name=\"FPLX\"") && form.body.contains("name=\"org\""), "kind and organisation are chosen");
    assert!(form.body.contains("增值税电子普通发票"));
    let (url, serial) = made(&mut browser).await;
    let page = browser.get(&url).await;
    assert!(page.body.contains("未使用") && page.body.contains("57.00"), "{}", page.body);
    let svg = browser.get(&format!("{url}/qr.svg")).await;
    assert_eq!((svg.status, svg.kind.as_str()), (200, "image/svg+xml"));
    let path = link(&mut browser, &url).await;
    assert_eq!(svg.body, taxdisk_portal::qr::svg(&format!("https://fp.example{path}")).unwrap(), "the drawing is the link");
    let receipt = browser.get(&format!("{url}/receipt")).await;
    for shown in ["mm58", "示例商贸有限公司", "57.00", serial.as_str(), "发票提取码"] {
        assert!(receipt.body.contains(shown), "{shown}");
    }
    assert!(!receipt.body.contains("data-print-now"), "it prints when it is saved");
}

#[tokio::test]
async fn a_receipt_shows_what_its_organisation_wants_and_always_code_and_serial_number() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let (url, serial) = made(&mut browser).await;
    browser.get(&format!("{url}/receipt")).await;
    let logo = taxdisk_portal::qr::png("logo").unwrap();
    let settings = [("width", "80"), ("heading", "欢迎光临"), ("footer", "谢谢<惠顾>"), ("total", "yes")];
    let page = browser.upload(&format!("{url}/receipt"), &settings, &logo).await;
    assert_eq!(page.location, format!("{url}/receipt?print=1"), "{}", page.body);
    let page = browser.get(&page.location).await;
    let receipt = page.body.split_once("<article").unwrap().1.split_once("</article>").unwrap().0.to_owned();
    for shown in
        ["mm80", "data-print-now", "欢迎光临", "谢谢&#60;惠顾&#62;", "data:image/png;base64,", "57.00", &serial, "/qr.svg"]
    {
        assert!(receipt.contains(shown), "{shown}: {receipt}");
    }
    assert!(!receipt.contains("示例商贸有限公司") && !receipt.contains("发票提取码") && !receipt.contains("*咖啡"), "{receipt}");
    assert!(page.body.contains("data-print-now"));
    // Kept for the next code of the organisation; the logo stays until somebody takes it away.
    let (next, _) = made(&mut browser).await;
    let page = browser.get(&format!("{next}/receipt")).await;
    assert!(page.body.contains("欢迎光临") && page.body.contains("data:image/png;base64,"));
    browser.upload(&format!("{next}/receipt"), &[("width", "58")], b"").await;
    assert!(browser.get(&format!("{next}/receipt")).await.body.contains("data:image/png;base64,"), "no other one came");
    let page = browser.upload(&format!("{next}/receipt"), &[("width", "58"), ("no_logo", "yes")], b"").await;
    assert!(!browser.get(&page.location).await.body.contains("data:image/png;base64,"));
    // What is no logo is refused, and nothing of the form is kept.
    let wrong = browser.upload(&format!("{next}/receipt"), &[("width", "80")], b"<svg onload=alert(1)>").await;
    assert_eq!(wrong.status, 422);
    assert!(browser.get(&format!("{next}/receipt")).await.body.contains("receipt mm58"));
    let long = "长".repeat(61);
    assert_eq!(browser.post(&format!("{next}/receipt"), &[("heading", &long)]).await.status, 422);
    assert_eq!(browser.post(&format!("{next}/receipt"), &[("footer", &"长".repeat(201))]).await.status, 422);
}

#[tokio::test]
async fn whoever_scans_a_code_names_the_buyer_and_every_later_scan_shows_the_invoice() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let (url, serial) = made(&mut browser).await;
    let path = link(&mut browser, &url).await;
    let form = place.guest("GET", &path, &[]).await;
    assert!(form.status == 200 && form.body.contains("57.00") && form.body.contains("GMF_MC"), "{}", form.body);
    assert_eq!(phase(&place, &serial).await, Phase::Buyer, "looking changes nothing");
    for _ in 0..3 {
        let page = filled(&place, &path).await;
        assert!(page.body.contains("排队") && !page.body.contains("张三丰"), "the state, masked: {}", page.body);
    }
    assert_eq!(phase(&place, &serial).await, Phase::Forwarding);
    assert!(browser.get(&url).await.body.contains("已填写"));
    assert_eq!(browser.post(&format!("{url}/cancel"), &[("confirm", "yes")]).await.status, 409, "somebody filled it in before");
    assert_eq!(phase(&place, &serial).await, Phase::Forwarding);
    place.platform.broker_says(&serial, &Said::Issued).await;
    let page = place.guest("GET", &path, &[]).await;
    assert!(page.body.contains("开票成功") && page.body.contains("/i/"), "{}", page.body);
    assert!(browser.get(&url).await.body.contains("已开票"));
    let listed = place.platform.portal.readers.get().await.unwrap().codes("shop", None, (i64::MAX, ""), 10).await.unwrap();
    assert_eq!(listed.len(), 1, "one code, one invoice");
}

#[tokio::test]
async fn a_code_that_nobody_filled_in_is_cancelled_for_ever() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let at = begun(&mut browser).await;
    let page = make(&mut browser, &at).await;
    let url = page.location.strip_suffix("?done=made").unwrap().to_owned();
    let path = link(&mut browser, &url).await;
    assert_eq!(browser.post(&format!("{url}/cancel"), &[]).await.status, 422, "nothing happens unconfirmed");
    for _ in 0..2 {
        let page = browser.post(&format!("{url}/cancel"), &[("confirm", "yes")]).await;
        assert_eq!(page.location, format!("{url}?done=cancelled"), "twice is once");
    }
    let page = browser.get(&url).await;
    assert!(page.body.contains("已取消") && !page.body.contains("qr.svg"), "a cancelled code shows no code to scan");
    assert_eq!(browser.get(&format!("{url}/qr.svg")).await.status, 404);
    assert_eq!(browser.get(&format!("{url}/receipt")).await.status, 409, "nor does a receipt");
    let page = filled(&place, &path).await;
    assert!(page.body.contains("退回"), "who scans it is told: {}", page.body);
    assert_eq!(make(&mut browser, &at).await.status, 303, "the form sent again answers");
    let serial = url.rsplit('/').next().unwrap();
    assert_eq!(phase(&place, serial).await, Phase::Deleted, "and revives nothing");
}

#[tokio::test]
async fn a_code_whose_invoice_failed_is_no_longer_cancelled_as_a_code() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let (url, serial) = made(&mut browser).await;
    let path = link(&mut browser, &url).await;
    filled(&place, &path).await;
    place.platform.broker_says(&serial, &Said::Failed { fault: "request", code: "X", text: "单位不正确" }).await;
    // Somebody waits for it: whether it is sent back is decided where the failure is read, by whoever may.
    assert_eq!(browser.post(&format!("{url}/cancel"), &[("confirm", "yes")]).await.status, 409);
    assert_eq!(phase(&place, &serial).await, Phase::Failed);
}

#[tokio::test]
async fn codes_are_listed_by_their_state_without_gaps() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(made(&mut browser).await);
        place.platform.pass(1);
    }
    let path = link(&mut browser, &codes[1].0).await;
    filled(&place, &path).await;
    let path = link(&mut browser, &codes[2].0).await;
    filled(&place, &path).await;
    place.platform.broker_says(&codes[2].1, &Said::Issued).await;
    browser.post(&format!("{}/cancel", codes[3].0), &[("confirm", "yes")]).await;
    for (place, state) in ["unused", "filled", "issued", "cancelled"].into_iter().enumerate() {
        let page = browser.get(&format!("/console/codes?state={state}")).await;
        let listed: Vec<&str> =
            codes.iter().filter(|(url, _)| page.body.contains(url)).map(|(_, serial)| serial.as_str()).collect();
        assert_eq!(listed, [codes[place].1.as_str()], "{state}");
    }
    let page = browser.get("/console/codes?lang=en").await;
    assert!(codes.iter().all(|(url, _)| page.body.contains(url)) && page.body.contains("Cancelled"));
}

#[tokio::test]
async fn a_draft_that_is_wrong_says_everything_that_is_and_makes_nothing() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", CLERK).await;
    let at = begun(&mut browser).await;
    let hostile = "<script>alert(1)</script>\"'";
    let wrong = [
        ("org", "91110000MA0000009X/A"),
        ("FPLX", "77"),
        ("BZ", hostile),
        ("XMMC.0", hostile),
        ("SL.0", "6"),
        ("SPBM.0", "12"),
        ("XMSL.0", "-1"),
        ("step", "make"),
    ];
    let page = browser.post(&at, &wrong).await;
    assert_eq!(page.status, 422);
    for text in ["请选择开票组织", "请选择发票类型", "税率", "税收分类编码", "数量", "尚未提交"] {
        assert!(page.body.contains(text), "{text}");
    }
    assert!(!page.body.contains("<script>"), "what is written is text");
    assert!(page.body.contains("&#60;script&#62;"), "and stays in the form");
    let page = browser.post(&at, &[("org", org().as_str()), ("FPLX", "1"), ("step", "make")]).await;
    assert!(page.status == 422 && page.body.contains("至少"), "a sale of nothing");
    // What the seller's disk cannot issue is found before there is a code.
    let mut kind = draft("", &[("step", "make")]);
    let own = org();
    (kind[0].1, kind[1].1) = (own.as_str(), "12");
    let page = browser.post(&at, &kind).await;
    assert!(page.status == 422 && page.body.contains("授权"), "{}", page.body);
    let codes = place.platform.portal.readers.get().await.unwrap().codes("shop", None, (i64::MAX, ""), 10).await.unwrap();
    assert!(codes.is_empty());
    assert_eq!(browser.get("/console/codes/new/short").await.status, 404, "a key is one of ours");
    assert_eq!(make(&mut browser, "/console/codes/new/short").await.status, 404, "whatever is sent to it");
}

#[tokio::test]
async fn nobody_sees_a_button_that_he_may_not_press_or_that_does_nothing_any_more() {
    let place = Place::start().await;
    let mut clerk = place.signed_in("shop", "carl", CLERK).await;
    let mut viewer = place.signed_in("shop", "vera", &["viewer"]).await;
    let (url, serial) = made(&mut clerk).await;
    let buttons = |page: &Page| [format!("{url}/cancel\""), format!("{url}/receipt\"")].map(|form| page.body.contains(&form));
    assert_eq!(buttons(&clerk.get(&url).await), [true, true]);
    assert_eq!(buttons(&viewer.get(&url).await), [false, false], "a viewer cancels and prints nothing");
    assert!(clerk.get("/console/codes").await.body.contains("/console/codes/new\""));
    assert!(!viewer.get("/console/codes").await.body.contains("/console/codes/new\""));
    let path = link(&mut clerk, &url).await;
    filled(&place, &path).await;
    assert_eq!(buttons(&clerk.get(&url).await), [false, true], "what somebody filled in is not cancelled");
    place.platform.broker_says(&serial, &Said::Issued).await;
    assert_eq!(buttons(&clerk.get(&url).await), [false, true]);
    // Only what an action of ours did is told; an address that somebody made up says nothing.
    for done in ["made", "cancelled", "too_late", "revoked", "<b>x7"] {
        let page = clerk.get(&format!("{url}?done={}", crate::platform::form(&[("", done)]).trim_start_matches('='))).await;
        let told = page.body.contains("role=\"status\"");
        assert_eq!((page.status, told), (200, ["made", "cancelled"].contains(&done)), "{done}");
    }
}
