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
