//! Reversing a part of an invoice from the console.

use rust_decimal::Decimal;
use serde_json::json;
use taxdisk_portal::core::request::Phase;

use crate::browser::{Browser, Place};
use crate::platform::{Said, blue};

const FORM: &str = "/console/invoices/S-1/part-red";

/// The number that a form names.
fn nth(html: &str) -> String {
    html.split("name=\"nth\" value=\"").nth(1).expect("a form").split('"').next().expect("a value").to_owned()
}

/// Where an action led, or its status and page.
async fn send(browser: &mut Browser<'_>, nth: &str, gross: &str) -> String {
    let page = browser.post(FORM, &[("confirm", "yes"), ("nth", nth), ("line0_gross", gross)]).await;
    if page.status == 303 { page.location } else { format!("{} {}", page.status, page.body) }
}

fn serial(location: &str) -> String {
    location.trim_start_matches("/console/invoices/").split('?').next().expect("a serial number").to_owned()
}

async fn reds(place: &Place) -> Vec<(String, Decimal, Phase)> {
    let mut db = place.platform.portal.readers.get().await.unwrap();
    let pair = db.request("shop", "S-1").await.unwrap().unwrap().pair().unwrap();
    let about = db.about("shop", &pair.code, &pair.number).await.unwrap();
    about.into_iter().map(|red| (red.serial, red.gross, red.phase)).collect()
}

#[tokio::test]
async fn a_double_click_two_tabs_and_the_back_button_make_one_red() {
    let place = Place::start().await;
    place.platform.issued(&blue("S-1")).await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    assert!(browser.get("/console/invoices/S-1").await.body.contains(FORM), "there is a way to it");
    let page = browser.get(FORM).await;
    assert!(page.body.contains("只能红冲尚未红冲的部分"), "the rules are explained");
    let (first_tab, second_tab) = (nth(&page.body), nth(&browser.get(FORM).await.body));
    let made = send(&mut browser, &first_tab, "13.00").await;
    assert!(made.ends_with("?done=red"), "{made}");
    for _ in 0..3 {
        assert_eq!(send(&mut browser, &first_tab, "13.00").await, made.replace("done=red", "done=red_known"));
    }
    assert_eq!(send(&mut browser, &second_tab, "13").await, made.replace("done=red", "done=red_known"), "another tab");
    let other = send(&mut browser, &second_tab, "14.00").await;
    assert!(other.starts_with("409 ") && other.contains(&serial(&made)), "another amount under this number is told: {other}");
    assert_eq!(reds(&place).await, [(serial(&made), Decimal::new(-1300, 2), Phase::Forwarding)]);
}

#[tokio::test]
async fn parts_add_up_to_the_invoice_and_no_further() {
    let place = Place::start().await;
    place.platform.issued(&blue("S-1")).await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    for (gross, left) in [("13.00", "100.00"), ("60.00", "40.00")] {
        let form = nth(&browser.get(FORM).await.body);
        let made = send(&mut browser, &form, gross).await;
        assert!(made.ends_with("?done=red"), "{made}");
        place.platform.broker_says(&serial(&made), &Said::Issued).await;
        assert!(browser.get(FORM).await.body.contains(&format!("<strong>{left}</strong>")));
    }
    let form = nth(&browser.get(FORM).await.body);
    let over = send(&mut browser, &form, "40.01").await;
    assert!(over.starts_with("409 ") && over.contains("40.00"), "{over}");
    // A number that no form has named yet, and amounts that are none.
    assert!(send(&mut browser, "3", "1").await.starts_with("422 "));
    assert!(send(&mut browser, "x", "1").await.starts_with("422 "));
    for wrong in ["", "0", "-1", "1.001", "113.01", "1e1"] {
        assert!(send(&mut browser, &form, wrong).await.starts_with("422 "), "{wrong}");
    }
    assert_eq!(browser.post(FORM, &[("nth", &form), ("line0_gross", "1")]).await.status, 422, "unconfirmed");
    let last = send(&mut browser, &form, "40.00").await;
    place.platform.broker_says(&serial(&last), &Said::Issued).await;
    assert!(!browser.get("/console/invoices/S-1").await.body.contains(FORM), "nothing is left");
    assert_eq!(reds(&place).await.len(), 3);
}

#[tokio::test]
async fn a_discount_counts_in_its_line() {
    let place = Place::start().await;
    let mut document = blue("S-1");
    document["items"] = json!([
        { "XMMC": "*纸制品*打印纸", "XMJSHJ": "150.00", "SL": 0.13, "SPBM": "1060105", "FPHXZ": 2 },
        { "XMMC": "*纸制品*打印纸", "XMJSHJ": "-37.00", "SL": 0.13, "SPBM": "1060105", "FPHXZ": 1 },
    ]);
    place.platform.issued(&document).await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    let page = browser.get(FORM).await.body;
    assert!(page.contains("<td class=\"sum\">113.00</td>") && !page.contains("line1_gross"), "one line of 113.00");
    assert!(send(&mut browser, &nth(&page), "113.01").await.starts_with("422 "));
    assert!(send(&mut browser, &nth(&page), "113.00").await.ends_with("?done=red"));
}

/// A special invoice for a company, issued.
async fn special(place: &Place) {
    let mut document = blue("S-1");
    document["FPLX"] = json!("4");
    for (name, value) in [
        ("GMF_MC", "示例采购有限公司"),
        ("GMF_NSRSBH", "91110000MA0000001L"),
        ("GMF_DZDH", "北京市示例路2号 010-1"),
        ("GMF_YHZH", "示例银行 1"),
    ] {
        document[name] = json!(value);
    }
    place.platform.issued(&document).await;
}

/// The job of a red as it goes to the broker.
async fn job(place: &Place, location: &str) -> taxdisk_protocol::api::JobSubmission {
    let mut db = place.platform.portal.readers.get().await.unwrap();
    db.request("shop", &serial(location)).await.unwrap().expect("a request").job
}

#[tokio::test]
async fn a_special_invoice_is_reversed_with_the_number_of_its_information_table_or_not_at_all() {
    const NOTICE: &str = "1100002701000001";
    let place = Place::start().await;
    special(&place).await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    let page = browser.get("/console/invoices/S-1").await.body;
    assert!(page.contains("name=\"notice\""), "the form asks for it: {page}");
    for without in [&[("confirm", "yes")][..], &[("confirm", "yes"), ("notice", "  ")]] {
        let refused = browser.post("/console/invoices/S-1/red", without).await;
        assert!(refused.status == 409 && refused.body.contains("红字信息表编号"), "{} {}", refused.status, refused.body);
    }
    let form = browser.get(FORM).await.body;
    assert!(form.contains("name=\"notice\""), "and that of a part: {form}");
    let part = [("confirm", "yes"), ("nth", "0"), ("line0_gross", "13.00")];
    let refused = browser.post(FORM, &part).await;
    assert!(refused.status == 409 && refused.body.contains("红字信息表编号"), "{} {}", refused.status, refused.body);
    assert!(reds(&place).await.is_empty(), "nothing was asked for");
    // In part, then the rest in part: each with its own number, as it goes to the disk.
    let made = browser.post(FORM, &[part[0], part[1], part[2], ("notice", NOTICE)]).await;
    assert!(made.location.ends_with("?done=red"), "{}", made.body);
    assert_eq!(job(&place, &made.location).await.invoice.unwrap().notice, NOTICE);
    place.platform.broker_says(&serial(&made.location), &Said::Issued).await;
    assert_eq!(reds(&place).await.len(), 1);
}

#[tokio::test]
async fn a_special_invoice_is_reversed_whole_with_that_number() {
    const NOTICE: &str = "1100002701000002";
    let place = Place::start().await;
    special(&place).await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    browser.get("/console/invoices/S-1").await;
    let made = browser.post("/console/invoices/S-1/red", &[("confirm", "yes"), ("notice", NOTICE)]).await;
    assert!(made.location.ends_with("?done=red"), "{}", made.body);
    let job = job(&place, &made.location).await;
    let invoice = job.invoice.unwrap();
    assert_eq!((invoice.notice.as_str(), invoice.totals.gross.as_str()), (NOTICE, "-113.00"));
    let again = browser.post("/console/invoices/S-1/red", &[("confirm", "yes"), ("notice", "1100002701000009")]).await;
    assert_ne!(again.location.split('?').nth(1), Some("done=red"), "another number makes no second red");
    assert_eq!(reds(&place).await.len(), 1);
    // An ordinary invoice is not asked for one.
    place.platform.issued(&blue("S-2")).await;
    assert!(!browser.get("/console/invoices/S-2").await.body.contains("name=\"notice\""));
}

#[tokio::test]
async fn a_deduction_is_reversed_whole_and_never_in_part() {
    let place = Place::start().await;
    let mut document = blue("S-1");
    document["items"][0]["KCE"] = json!("50.00");
    place.platform.issued(&document).await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    let page = browser.get("/console/invoices/S-1").await.body;
    assert!(!page.contains(FORM) && page.contains("/red\""), "a deduction cannot be shared out: {page}");
    let shown = browser.get(FORM).await;
    assert!(shown.status == 409 && shown.body.contains("差额征税"), "it says why: {}", shown.body);
    let part = browser.post(FORM, &[("confirm", "yes"), ("nth", "0"), ("line0_gross", "13.00")]).await;
    assert_eq!(part.status, 409, "{}", part.body);
    assert!(reds(&place).await.is_empty());
    let made = browser.post("/console/invoices/S-1/red", &[("confirm", "yes")]).await;
    assert!(made.location.ends_with("?done=red"), "{}", made.body);
    let invoice = job(&place, &made.location).await.invoice.unwrap();
    assert_eq!(invoice.lines[0].deduction.as_deref(), Some("-50.00"));
    // (113.00 - 50.00) / 1.13 × 0.13 = 7.25, turned.
    assert_eq!((invoice.totals.net.as_str(), invoice.totals.tax.as_str()), ("-105.75", "-7.25"));
}
