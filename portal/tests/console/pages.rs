//! What lists find, what actions do, and what pages say of it.

use serde_json::{Value, json};
use taxdisk_portal::core::callback::{Attempt, Callback};
use taxdisk_portal::core::outbox;
use taxdisk_portal::core::request::Phase;

use crate::browser::{Browser, Place};
use crate::platform::{Said, blue};

const MANAGER: &[&str] = &["manager"];

async fn insert(place: &Place, document: &Value, audited: bool) {
    let documents = json!([document]).to_string();
    let fields = [("requestdatas", documents.as_str()), ("autoAudit", if audited { "true" } else { "false" })];
    let answer = place.platform.form("insertWithArray", &fields).await;
    assert_eq!(answer.code(), "0000", "{}", answer.body);
}

async fn phase(place: &Place, serial: &str) -> Phase {
    place.platform.portal.readers.get().await.unwrap().request("shop", serial).await.unwrap().unwrap().phase
}

async fn act(browser: &mut Browser<'_>, serial: &str, what: &str) -> String {
    let path = format!("/console/invoices/{serial}/{what}");
    browser.get(&format!("/console/invoices/{serial}")).await;
    assert_eq!(browser.post(&path, &[]).await.status, 422, "nothing happens unconfirmed");
    let page = browser.post(&path, &[("confirm", "yes")]).await;
    if page.status == 303 { page.location } else { format!("{} {}", page.status, page.body) }
}

#[tokio::test]
async fn lists_find_by_everything_and_page_without_gaps() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["viewer"]).await;
    for number in 0..120 {
        let mut document = blue(&format!("S-{number:03}"));
        document["LYID"] = json!(format!("ORDER-{number}"));
        document["GMF_MC"] = json!(format!("购方{}", number % 3));
        insert(&place, &document, true).await;
        if number % 7 == 0 {
            // Several of one instant: the serial number goes on where the time does not.
            place.platform.pass(1);
        }
    }
    place.platform.broker_says("S-100", &Said::Issued).await;
    let mut seen = Vec::new();
    let mut path = "/console/invoices".to_owned();
    for _ in 0..4 {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200);
        seen.extend(serials(&page.body));
        let Some((before, _)) = page.body.split_once("\" rel=\"next\"") else { break };
        let query = before.rsplit_once("href=\"").unwrap().1.replace("&#38;", "&").replace("&amp;", "&");
        path = format!("/console/invoices{query}");
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!((seen.len(), once.len()), (120, 120), "every one once");
    for (query, count) in [
        ("by=serial&word=S-042", 1),
        ("by=order&word=ORDER-42", 1),
        ("by=number&word=00000001", 1),
        ("by=buyer&word=%E8%B4%AD%E6%96%B91&state=QUEUED", 39),
        ("by=order&word=ORDER", 0),
        ("state=ISSUED", 1),
        ("state=FAILED", 0),
        ("org=A&state=ISSUED", 1),
        ("org=B", 0),
        ("from=2027-01-16", 0),
        ("to=2027-01-14", 0),
        ("from=2027-01-15&to=2027-01-15&by=order&word=ORDER-1", 1),
    ] {
        let page = browser.get(&format!("/console/invoices?{query}")).await;
        assert_eq!(serials(&page.body).len(), count, "{query}");
    }
    assert_eq!(browser.get("/console/invoices?from=yesterday").await.status, 422);
    let csv = browser.get("/console/invoices.csv").await.body;
    assert!(csv.starts_with('\u{FEFF}'));
    assert_eq!(csv.lines().count(), 121);
}

#[tokio::test]
async fn a_request_of_any_scheme_is_found_by_code_number_telephone_and_mail() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["viewer"]).await;
    let mut document = blue("S-1");
    document["GMF_NSRSBH"] = json!("91310000MA00000025");
    let address = |address: &str| json!([{ "fpqqlsh": "S-1", "address": address }]).to_string();
    let (documents, mail, phone) = (json!([document]).to_string(), address("a@b.example"), address("13800000000"));
    let fields = [("requestdatas", documents.as_str()), ("email", mail.as_str()), ("sms", phone.as_str())];
    let answer = place.platform.form("insertWithArray", &fields).await;
    assert_eq!(answer.code(), "0000", "{}", answer.body);
    insert(&place, &blue("S-2"), true).await;
    let mut code = blue("S-3");
    code.as_object_mut().unwrap().retain(|name, _| !name.starts_with("GMF_"));
    (code["ORGCODE"], code["SHMC"]) = (json!("A"), json!("示例商店"));
    let asked = place.platform.json("insertForQRInvoice", &code.to_string()).await;
    let extraction = asked.json()["data"]["invoicecode"].as_str().unwrap_or_else(|| panic!("{}", asked.body)).to_owned();
    for (by, word, found) in [
        ("taxpayer", "91310000MA00000025", "S-1"),
        ("telephone", "13800000000", "S-1"),
        ("mail", "a@b.example", "S-1"),
        ("extraction", extraction.as_str(), "S-3"),
    ] {
        let page = browser.get(&format!("/console/invoices?by={by}&word={}", word.replace('@', "%40"))).await;
        assert_eq!(serials(&page.body), [found], "{by}");
        // Each word in its own field, whole.
        let less = &word[..word.len() - 1];
        for query in [format!("by=order&word={word}"), format!("by={by}&word={less}")] {
            assert!(serials(&browser.get(&format!("/console/invoices?{query}")).await.body).is_empty(), "{query}");
        }
    }
}

/// Serial numbers of a list, in its order.
fn serials(html: &str) -> Vec<String> {
    html.split("<a href=\"/console/invoices/").skip(1).map(|after| after.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn another_language_keeps_what_was_searched_for() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", MANAGER).await;
    insert(&place, &blue("S-1"), true).await;
    let page = browser.get("/console/invoices?state=QUEUED&lang=zh&by=buyer&word=a%26b").await;
    assert!(page.body.contains("href=\"?state=QUEUED&#38;by=buyer&#38;word=a%26b&#38;lang=en\""), "{}", page.body);
    let page = browser.get("/console/invoices/S-1").await;
    assert!(page.body.contains("href=\"?lang=en\""), "{}", page.body);
    // What answers a form has no address of its own: its link would lead nowhere.
    let page = browser.post("/console/invoices/S-1/void", &[]).await;
    assert!(page.status == 422 && !page.body.contains("lang=en"), "{}", page.body);
    let page = browser.post("/console/customers", &[("c0", "x")]).await;
    assert!(page.status == 422 && page.body.contains("href=\"?lang=en\""), "{}", page.body);
}

#[tokio::test]
async fn what_buyers_write_is_text_everywhere() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["viewer"]).await;
    let mut document = blue("S-1");
    document["GMF_MC"] = json!("=<script>alert(1)</script>\"'");
    insert(&place, &document, true).await;
    for path in ["/console/invoices", "/console/invoices/S-1", "/console/invoices?by=buyer&word=%22%3E%3Cscript%3E"] {
        let page = browser.get(path).await;
        assert!(!page.body.contains("<script"), "{path}");
        assert!(page.policy.starts_with("default-src 'none'"), "{path}");
    }
    let csv = browser.get("/console/invoices.csv").await.body;
    assert!(csv.contains("\"'=<script>alert(1)</script>\"\"'\""), "{csv}");
    let book = browser.get("/console/invoices.xlsx").await;
    assert!(book.status == 200 && book.body.starts_with("PK"), "a workbook");
}

#[tokio::test]
async fn what_waits_is_approved_or_returned_once() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", MANAGER).await;
    insert(&place, &blue("S-1"), false).await;
    let mut other = blue("S-2");
    other["LYID"] = json!("2");
    insert(&place, &other, false).await;
    assert_eq!(serials(&browser.get("/console/approval").await.body), ["S-2", "S-1"]);
    assert_eq!(act(&mut browser, "S-1", "release").await, "/console/invoices/S-1?done=released");
    assert_eq!(phase(&place, "S-1").await, Phase::Forwarding);
    assert_eq!(act(&mut browser, "S-1", "release").await, "/console/invoices/S-1?done=progress");
    assert_eq!(act(&mut browser, "S-2", "return").await, "/console/invoices/S-2?done=returned");
    assert_eq!(phase(&place, "S-2").await, Phase::Deleted);
    assert!(serials(&browser.get("/console/approval").await.body).is_empty());
    let page = browser.get("/console/invoices/S-1?done=released").await;
    assert!(page.body.contains("console:anna"), "the history names who did it");
}

#[tokio::test]
async fn a_re_issue_tells_the_truth_and_makes_one_invoice() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", MANAGER).await;
    insert(&place, &blue("S-1"), true).await;
    assert_eq!(act(&mut browser, "S-1", "reissue").await, "/console/invoices/S-1?done=progress");
    place.platform.broker_says("S-1", &Said::Unsettled).await;
    assert_eq!(act(&mut browser, "S-1", "reissue").await, "/console/invoices/S-1?done=settling");
    place.platform.broker_says("S-1", &Said::Failed { fault: "disk", code: "DISK_FULL", text: "无可用发票" }).await;
    let page = browser.get("/console/invoices/S-1").await;
    assert!(page.body.contains("无可用发票") && page.body.contains("税控设备原因"), "the reason in words");
    assert_eq!(act(&mut browser, "S-1", "reissue").await, "/console/invoices/S-1?done=requeued");
    assert_eq!(act(&mut browser, "S-1", "reissue").await, "/console/invoices/S-1?done=progress");
    place.platform.broker_says("S-1", &Said::Issued).await;
    assert_eq!(act(&mut browser, "S-1", "reissue").await, "/console/invoices/S-1?done=already");
    insert(
        &place,
        &{
            let mut one = blue("S-2");
            one["LYID"] = json!("2");
            one
        },
        true,
    )
    .await;
    place.platform.broker_says("S-2", &Said::Failed { fault: "request", code: "X", text: "税率不正确" }).await;
    assert!(act(&mut browser, "S-2", "reissue").await.starts_with("409 "), "the content must be corrected first");
}

#[tokio::test]
async fn a_red_is_one_however_often_it_is_asked_for_and_electronic_ones_are_never_void() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", MANAGER).await;
    place.platform.issued(&blue("S-1")).await;
    let page = browser.get("/console/invoices/S-1").await;
    assert!(page.body.contains("只能红冲") && !page.body.contains("S-1/void\""), "the rule is explained, the button absent");
    assert!(act(&mut browser, "S-1", "void").await.starts_with("409 "));
    let first = act(&mut browser, "S-1", "red").await;
    assert!(first.ends_with("?done=red"), "{first}");
    let second = act(&mut browser, "S-1", "red").await;
    assert_eq!(second, first.replace("done=red", "done=red_known"));
    let red = first.trim_start_matches("/console/invoices/").split('?').next().unwrap().to_owned();
    place.platform.broker_says(&red, &Said::Issued).await;
    let page = browser.get(&format!("/console/invoices/{red}")).await;
    assert!(page.body.contains("-113.00"));
    assert!(!browser.get("/console/invoices/S-1").await.body.contains("S-1/red\""), "nothing is left to reverse");
}

#[tokio::test]
async fn a_paper_invoice_is_void_once() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", MANAGER).await;
    let mut document = blue("S-1");
    document["FPLX"] = json!(3);
    place.platform.issued(&document).await;
    assert_eq!(act(&mut browser, "S-1", "void").await, "/console/invoices/S-1?done=voiding");
    assert_eq!(act(&mut browser, "S-1", "void").await, "/console/invoices/S-1?done=voiding");
    assert!(act(&mut browser, "S-1", "red").await.starts_with("409 "), "one or the other");
}

#[tokio::test]
async fn an_invoice_is_sent_again_and_only_an_invoice() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", &["clerk"]).await;
    insert(&place, &blue("S-1"), true).await;
    browser.get("/console/account").await;
    let fields = [("channel", "mail"), ("address", "buyer@example.com")];
    assert_eq!(browser.post("/console/invoices/S-1/send", &fields).await.status, 409);
    place.platform.broker_says("S-1", &Said::Issued).await;
    assert_eq!(browser.post("/console/invoices/S-1/send", &fields).await.location, "/console/invoices/S-1?done=sent");
    assert_eq!(browser.post("/console/invoices/S-1/send", &[("address", "nobody")]).await.status, 422);
    let page = browser.get("/console/invoices/S-1?lang=en").await;
    assert!(page.body.contains("buyer@example.com") && page.body.contains("<html lang=\"en\">"));
}

#[tokio::test]
async fn what_did_not_arrive_is_listed_over_all_requests_until_it_does() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "carl", &["clerk"]).await;
    assert!(browser.get("/console/deliveries").await.body.contains("没有未送达的推送"));
    let mut document = blue("S-1");
    document["LYID"] = json!("1");
    let address = json!([{ "fpqqlsh": "S-1", "address": "a@b.example" }]).to_string();
    let url = json!([{ "fpqqlsh": "S-1", "url": "https://merchant.example/cb" }]).to_string();
    let documents = json!([document]).to_string();
    let fields = [("requestdatas", documents.as_str()), ("email", address.as_str()), ("url", url.as_str())];
    assert_eq!(place.platform.form("insertWithArray", &fields).await.code(), "0000");
    place.platform.broker_says("S-1", &Said::Issued).await;
    let listed = browser.get("/console/deliveries").await;
    assert!(!listed.body.contains("S-1"), "nothing was tried yet: {}", listed.body);
    let portal = &place.platform.portal;
    let attempt = |text: &str| Attempt { at: (portal.clock)(), status: Some(500), ms: 7, text: text.to_owned() };
    let (mut callback, mut mail) = {
        let mut db = portal.readers.get().await.unwrap();
        (db.callbacks_of("shop", "S-1").await.unwrap().remove(0), db.messages_of("shop", "S-1").await.unwrap().remove(0))
    };
    callback.attempted(attempt("<b>商户系统出错"), false, &[60], (portal.clock)());
    let never = outbox::Report { verdict: outbox::Verdict::Never, attempt: attempt("550 no such user"), unclear: false };
    mail.attempted(never, &[60], (portal.clock)());
    put(&place, &callback, &mail).await;
    let page = browser.get("/console/deliveries").await;
    for shown in
        ["/console/invoices/S-1", "https://merchant.example/cb", "a@b.example", "550 no such user", "&#60;b&#62;商户系统出错"]
    {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let mut other = place.signed_in("other", "olga", &["clerk"]).await;
    assert!(!other.get("/console/deliveries").await.body.contains("S-1"), "another tenant's");
    // The callback arrives; the mail is asked for again.
    callback.attempted(attempt(""), true, &[60], (portal.clock)());
    put(&place, &callback, &mail).await;
    let page = browser.get("/console/deliveries?lang=en").await;
    assert!(
        !page.body.contains("merchant.example/cb") && page.body.contains("a@b.example") && page.body.contains("Not delivered")
    );
}

async fn put(place: &Place, callback: &Callback, mail: &outbox::Message) {
    let (callback, mail) = (callback.clone(), mail.clone());
    let work = place.platform.portal.ledger.run(move |session| {
        let (callback, mail) = (callback.clone(), mail.clone());
        Box::pin(async move {
            session.db.put_callback(&callback).await?;
            session.db.put_message(&mail).await
        })
    });
    work.await.unwrap();
}
