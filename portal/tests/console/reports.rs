//! Reports say what the list says, and exports are whole or not made.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::json;
use taxdisk_portal::console;
use taxdisk_portal::core::request::{Phase, Voiding};
use taxdisk_portal::store::Query;

use crate::browser::{Browser, Place};
use crate::platform::{SECOND_SELLER, Said, blue};

/// Rows of a CSV without its heading.
fn rows(csv: &str) -> Vec<Vec<String>> {
    csv.trim_start_matches('\u{FEFF}').lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn dec(text: &str) -> Decimal {
    text.parse().expect("a decimal number")
}

/// Invoices of two rates and kinds over two organisations, some reversed, one void, one only waiting.
async fn issue_many(place: &Place, browser: &mut Browser<'_>) {
    for number in 0..30_u32 {
        let mut document = blue(&format!("S-{number}"));
        document["LYID"] = json!(format!("{number}"));
        if number % 3 == 0 {
            document["FPLX"] = json!(3);
        }
        if number % 5 == 0 {
            document["XSF_NSRSBH"] = json!(SECOND_SELLER);
            document["ORGCODE"] = json!("B");
        }
        let one = format!("{}.{:02}", 10 + number * 7, (number * 13) % 100);
        let two = format!("0.{:02}", 1 + number);
        document["JSHJ"] = json!((dec(&one) + dec(&two)).to_string());
        document["items"] = json!([
            { "XMMC": "*纸制品*打印纸", "XMJSHJ": one, "SL": 0.13, "SPBM": "1060105" },
            { "XMMC": "*餐饮服务*餐费", "XMJSHJ": two, "SL": if number % 2 == 0 { 0.06 } else { 0.13 }, "SPBM": "3070401" },
        ]);
        place.platform.issued(&document).await;
    }
    for serial in ["S-1", "S-4", "S-5"] {
        let page = browser.post(&format!("/console/invoices/{serial}/red"), &[("confirm", "yes")]).await;
        let red = page.location.trim_start_matches("/console/invoices/").split('?').next().unwrap().to_owned();
        // The last one is asked for and not issued: it takes nothing away.
        if serial != "S-5" {
            place.platform.broker_says(&red, &Said::Issued).await;
        }
    }
    assert_eq!(browser.post("/console/invoices/S-3/void", &[("confirm", "yes")]).await.status, 303);
    let mut db = place.platform.portal.readers.get().await.unwrap();
    let pair = db.request("shop", "S-3").await.unwrap().unwrap().pair().unwrap();
    drop(db);
    place.platform.broker_says(&format!("*void:{}:{}", pair.code, pair.number), &Said::Voided).await;
}

#[tokio::test]
async fn sums_are_those_of_the_list_to_the_fen() {
    let place = Place::start().await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    issue_many(&place, &mut browser).await;
    // Independently: every invoice of the list, line by line.
    let mut db = place.platform.portal.readers.get().await.unwrap();
    let query = Query {
        tenant: "shop".to_owned(),
        from: 0,
        before: (i64::MAX, String::new()),
        phases: vec!["issued"],
        orgcode: String::new(),
        fplx: None,
        word: None,
        limit: 1000,
    };
    let all = db.list_requests(&query).await.unwrap();
    drop(db);
    let good = |request: &&taxdisk_portal::core::request::Request| {
        request.phase == Phase::Issued && request.voiding != Voiding::Void && !request.serial.starts_with('*')
    };
    let mut expected: BTreeMap<(&str, String), (Decimal, Decimal, Decimal)> = BTreeMap::new();
    for request in all.iter().filter(good) {
        let kind = taxdisk_protocol::kind::InvoiceKind::from_yonyou(request.fplx).unwrap().name();
        for line in &request.document.lines {
            let rate = format!("{}%", (line.rate * Decimal::ONE_HUNDRED).normalize());
            for key in [("day", "2027-01-15".to_owned()), ("rate", rate), ("kind", kind.to_owned())] {
                let sum = expected.entry(key).or_default();
                sum.0 += line.net.unwrap();
                sum.1 += line.tax.unwrap();
                sum.2 += line.gross;
            }
        }
    }
    assert_eq!(expected.keys().filter(|(by, _)| *by == "rate").count(), 2);
    assert_eq!(expected.keys().filter(|(by, _)| *by == "kind").count(), 2);
    let mut seen = BTreeMap::new();
    for by in ["day", "rate", "kind"] {
        let csv = browser.get(&format!("/console/reports.csv?by={by}&from=2027-01-01&to=2027-01-31")).await;
        assert_eq!(csv.status, 200);
        for row in rows(&csv.body) {
            seen.insert((by, row[0].clone()), (dec(&row[3]), dec(&row[4]), dec(&row[5])));
        }
    }
    assert_eq!(seen, expected);
    let day = rows(&browser.get("/console/reports.csv").await.body);
    assert_eq!((day[0][1].as_str(), day[0][2].as_str()), ("29", "2"), "30 less one void; two reds are issued");
    let page = browser.get("/console/reports").await;
    assert!(page.body.contains(&day[0][5]) && page.body.contains("<svg") && !page.body.contains("<script"), "plot and table");
    assert!(!page.body.contains("style="), "the policy lets no style through that is written into a page");
    assert!(page.body.contains("未计入合计的发票张数： 1"));
    let one = rows(&browser.get("/console/reports.csv?org=B").await.body);
    assert_eq!(one[0][1], "6", "of one organisation");
    let book = browser.get("/console/reports.xlsx?by=kind").await;
    assert!(book.status == 200 && book.body.starts_with("PK"));
    assert!(rows(&browser.get("/console/reports.csv?from=2027-01-16&to=2027-02-16").await.body).is_empty());
    assert_eq!(browser.get("/console/reports?from=2026-01-01&to=2027-01-02").await.status, 422, "more than 366 days");
    assert_eq!(browser.get("/console/reports.csv?by=buyer").await.status, 404);
}

#[tokio::test]
async fn an_export_that_would_lack_rows_is_refused() {
    let mut place = Place::start().await;
    place.router = console::router_with(place.platform.portal.clone(), 3);
    let mut browser = place.signed_in("shop", "anna", &["viewer"]).await;
    for number in 0..3 {
        place.platform.issued(&blue(&format!("S-{number}"))).await;
    }
    for form in ["csv", "xlsx"] {
        assert_eq!(browser.get(&format!("/console/invoices.{form}")).await.status, 200, "as many as there may be");
    }
    place.platform.issued(&blue("S-3")).await;
    for form in ["csv", "xlsx"] {
        let page = browser.get(&format!("/console/invoices.{form}")).await;
        assert_eq!(page.status, 422);
        assert!(page.body.contains("未导出") && page.body.contains("(3)") && !page.body.contains("S-0"), "{}", page.body);
    }
    assert_eq!(browser.get("/console/invoices.csv?by=serial&word=S-3").await.status, 200, "narrower goes");
}
