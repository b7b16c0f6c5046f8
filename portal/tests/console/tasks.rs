//! Corrections that consumers asked for: one clerk at a time, and never two good invoices for one sale.

use taxdisk_portal::core::task::{TaskState, replacement_serial};

use crate::browser::{Browser, Page, Place};
use crate::platform::{Said, blue};

const TASK: &str = "/console/tasks/tk_1";
const NEW_BUYER: [(&str, &str); 3] = [("confirm", "yes"), ("GMF_MC", "正确的购方"), ("line0_name", "*纸制品*复印纸")];

async fn place() -> Place {
    let place = Place::start().await;
    place.platform.issued(&blue("S-1")).await;
    place.task("tk_1", "S-1").await;
    place
}

async fn post(browser: &mut Browser<'_>, what: &str, fields: &[(&str, &str)]) -> Page {
    browser.post(&format!("{TASK}/{what}"), fields).await
}

/// Reverses the invoice whole; the disk has issued the red if `issued`.
async fn reversed(place: &Place, browser: &mut Browser<'_>, issued: bool) {
    let page = browser.post("/console/invoices/S-1/red", &[("confirm", "yes")]).await;
    assert_eq!(page.status, 303, "{}", page.body);
    if issued {
        let red = page.location.trim_start_matches("/console/invoices/").split('?').next().unwrap();
        place.platform.broker_says(red, &Said::Issued).await;
    }
}

#[tokio::test]
async fn a_correction_is_a_red_and_a_linked_invoice_however_often_it_is_clicked() {
    let place = place().await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    let list = browser.get("/console/tasks").await.body;
    assert!(list.contains("抬头写错了 &#60;b&#62;") && list.contains(TASK), "{list}");
    assert_eq!(post(&mut browser, "take", &[]).await.location, format!("{TASK}?done=task_taken"));
    assert!(!browser.get(TASK).await.body.contains("/replace\""), "the invoice stands: no form for another one");
    let page = post(&mut browser, "replace", &NEW_BUYER).await;
    assert!(page.status == 409 && page.body.contains("尚未红冲成功"), "the invoice stands");
    reversed(&place, &mut browser, false).await;
    assert_eq!(post(&mut browser, "replace", &NEW_BUYER).await.status, 409, "a red that is asked for is no red");
    reversed(&place, &mut browser, true).await;
    assert!(browser.get(TASK).await.body.contains("/replace\""));
    assert_eq!(post(&mut browser, "replace", &NEW_BUYER[1..]).await.status, 422, "unconfirmed");
    assert_eq!(post(&mut browser, "replace", &NEW_BUYER).await.location, format!("{TASK}?done=replaced"));
    for _ in 0..3 {
        assert_eq!(post(&mut browser, "replace", &NEW_BUYER).await.location, format!("{TASK}?done=replaced_known"));
    }
    let serial = replacement_serial("shop", "S-1");
    let mut db = place.platform.portal.readers.get().await.unwrap();
    let made = db.request("shop", &serial).await.unwrap().unwrap();
    let wrong = db.request("shop", "S-1").await.unwrap().unwrap();
    drop(db);
    assert_eq!((made.document.text("GMF_MC"), made.gross), ("正确的购方", wrong.gross));
    assert_eq!(made.document.lines[0].name, "*纸制品*复印纸");
    assert_eq!((made.document.net, made.document.tax), (wrong.document.net, wrong.document.tax));
    assert!(browser.get(&format!("/console/invoices/{serial}")).await.body.contains("重开，代替流水号 S-1"), "linked both ways");
    let page = browser.get("/console/invoices/S-1").await.body;
    assert!(page.contains(&format!("重开的发票，流水号 {serial}")) && page.contains(TASK));
    assert!(browser.get(TASK).await.body.contains(&serial));
    // The disk refuses it: the same request is re-issued, and there is no form for another one.
    place.platform.broker_says(&serial, &Said::Failed { fault: "disk", code: "DISK_FULL", text: "无可用发票" }).await;
    assert!(!browser.get(TASK).await.body.contains("/replace\""));
    assert_eq!(post(&mut browser, "end", &[("answer", "")]).await.status, 422);
    assert_eq!(post(&mut browser, "end", &[("answer", &"长".repeat(201))]).await.status, 422);
    let fields = [("answer", "已红冲并重开"), ("how", "done")];
    assert_eq!(post(&mut browser, "end", &fields).await.location, format!("{TASK}?done=task_ended"));
    assert_eq!(post(&mut browser, "end", &fields).await.location, format!("{TASK}?done=task_ended"), "a second click");
    assert!(post(&mut browser, "end", &[("answer", "x"), ("how", "refused")]).await.body.contains("console:anna"));
    let list = browser.get("/console/tasks?state=done").await.body;
    assert!(list.contains("console:anna 已红冲并重开"), "who did it, and what");
    assert!(!browser.get("/console/tasks").await.body.contains(TASK));
}

#[tokio::test]
async fn the_second_of_two_clerks_is_told_and_does_nothing() {
    let place = place().await;
    let mut anna = place.signed_in("shop", "anna", &["manager"]).await;
    let mut carl = place.signed_in("shop", "carl", &["manager"]).await;
    assert_eq!(post(&mut carl, "end", &[("answer", "x")]).await.status, 409, "nobody has taken it");
    assert_eq!(post(&mut anna, "take", &[]).await.status, 303);
    reversed(&place, &mut anna, true).await;
    carl.get(TASK).await;
    for (what, fields) in
        [("take", &[][..]), ("release", &[]), ("replace", &NEW_BUYER), ("end", &[("answer", "不用改"), ("how", "refused")])]
    {
        let page = post(&mut carl, what, fields).await;
        assert!(page.status == 409 && page.body.contains("console:anna"), "{what}: {} {}", page.status, page.body);
    }
    let mut db = place.platform.portal.readers.get().await.unwrap();
    assert_eq!(db.task("shop", "tk_1").await.unwrap().unwrap().state, TaskState::Open);
    assert!(db.request("shop", &replacement_serial("shop", "S-1")).await.unwrap().is_none());
    drop(db);
    // She goes for lunch: after ten minutes it is anybody's.
    place.platform.pass(600);
    let page = post(&mut anna, "end", &[("answer", "x")]).await;
    assert!(page.status == 409 && page.body.contains("保留时间已过"), "{}", page.body);
    assert_eq!(post(&mut carl, "take", &[]).await.status, 303);
    assert_eq!(post(&mut carl, "release", &[]).await.status, 303);
    assert_eq!(post(&mut anna, "take", &[]).await.status, 303);
    assert_eq!(post(&mut anna, "end", &[("answer", "无需更正"), ("how", "refused")]).await.status, 303);
    let page = post(&mut carl, "take", &[]).await;
    assert!(page.status == 409 && page.body.contains("console:anna") && page.body.contains("无需更正"), "{}", page.body);
    let same = [("answer", "无需更正"), ("how", "refused")];
    assert_eq!(post(&mut carl, "end", &same).await.status, 409, "it was not he who ended it");
    assert_eq!(post(&mut anna, "end", &same).await.status, 303, "a second click of hers");
    assert_eq!(post(&mut anna, "end", &[("answer", "别的"), ("how", "refused")]).await.status, 409, "what was said stays");
    let list = anna.get("/console/tasks?state=refused").await.body;
    assert!(list.contains("无需更正"));
}

#[tokio::test]
async fn a_second_task_about_the_same_invoice_makes_no_second_replacement() {
    let place = place().await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    post(&mut browser, "take", &[]).await;
    reversed(&place, &mut browser, true).await;
    assert_eq!(post(&mut browser, "replace", &NEW_BUYER).await.location, format!("{TASK}?done=replaced"));
    let serial = replacement_serial("shop", "S-1");
    place.platform.broker_says(&serial, &Said::Issued).await;
    assert_eq!(post(&mut browser, "end", &[("answer", "已红冲并重开"), ("how", "done")]).await.status, 303);
    // The consumer finds the old receipt again and asks once more; the wrong invoice is as reversed as it was.
    place.task("tk_2", "S-1").await;
    assert_eq!(browser.post("/console/tasks/tk_2/take", &[]).await.status, 303);
    let page = browser.get("/console/tasks/tk_2").await.body;
    assert!(page.contains(&serial) && !page.contains("/replace\""), "it shows what there is, and no form for another one");
    let same = browser.post("/console/tasks/tk_2/replace", &NEW_BUYER).await;
    assert_eq!(same.location, "/console/tasks/tk_2?done=replaced_known", "{}", same.body);
    let other = browser.post("/console/tasks/tk_2/replace", &[("confirm", "yes"), ("GMF_MC", "又一个购方")]).await;
    assert_eq!(other.status, 409, "{}", other.body);
    let mut db = place.platform.portal.readers.get().await.unwrap();
    let mut all = Vec::new();
    for (tenant, serial) in db.due_requests(i64::MAX - 1, 1000).await.unwrap() {
        all.extend(db.request(&tenant, &serial).await.unwrap());
    }
    let good = db.request("shop", &serial).await.unwrap().unwrap();
    drop(db);
    assert_eq!(good.document.text("GMF_MC"), "正确的购方", "{all:?}");
    assert!(all.iter().all(|request| request.document.text("GMF_MC") != "又一个购方"), "nothing else was asked for");
}

#[tokio::test]
async fn a_corrected_amount_is_calculated_anew() {
    let place = place().await;
    let mut browser = place.signed_in("shop", "anna", &["manager"]).await;
    post(&mut browser, "take", &[]).await;
    reversed(&place, &mut browser, true).await;
    let wrong = post(&mut browser, "replace", &[("confirm", "yes"), ("line0_gross", "1e2")]).await;
    assert_eq!(wrong.status, 409, "{}", wrong.body);
    let fields = [("confirm", "yes"), ("line0_gross", "226.00"), ("line0_quantity", "4"), ("GMF_NSRSBH", "")];
    assert_eq!(post(&mut browser, "replace", &fields).await.location, format!("{TASK}?done=replaced"));
    let mut db = place.platform.portal.readers.get().await.unwrap();
    let made = db.request("shop", &replacement_serial("shop", "S-1")).await.unwrap().unwrap();
    let invoice = made.job.invoice.unwrap();
    assert_eq!((invoice.totals.net.as_str(), invoice.totals.tax.as_str()), ("200.00", "26.00"));
    assert_eq!((invoice.lines[0].quantity.as_deref(), invoice.lines[0].price.as_deref()), (Some("4"), Some("50")));
}
