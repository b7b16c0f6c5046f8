//! Steps that must not make a second invoice: approving, sending back, asking again, and what the broker refuses or has lost.

use md5::{Digest as _, Md5};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use taxdisk_portal::core::request::{Phase, Request};
use taxdisk_portal::core::{act, outcome};
use taxdisk_protocol::error::{Code, Problem};

use super::platform::{APPID, Answer, PAPER_CODE, Platform, SELLER, Said, blue, form};

const LOST: Said = Said::Failed { fault: "disk", code: "disk_trouble", text: "the disk is gone" };
const DATA: Said = Said::Failed { fault: "request", code: "disk_refused", text: "税控设备拒绝" };

async fn documents(platform: &Platform, name: &str, documents: &Value) -> Answer {
    platform.form(name, &[("requestdatas", &documents.to_string())]).await
}

/// Twelve lines, 1200.00 net: two invoices of the disk.
fn long(serial: &str, order: &str) -> Value {
    let line = |n: usize| json!({ "XMMC": format!("*纸制品*打印纸{n}"), "XMJSHJ": "113.00", "SL": "0.13", "SPBM": "1060105" });
    let lines: Vec<Value> = (1..=12).map(line).collect();
    json!({ "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "GMF_MC": "虚构购方", "JSHJ": "1356.00", "LYID": order, "items": lines })
}

async fn parts(platform: &Platform, plan: &str) -> Vec<Request> {
    let mut parts = Vec::new();
    for serial in platform.stored(plan).await.parts {
        parts.push(platform.stored(&serial).await);
    }
    assert_eq!(parts.len(), 2, "{plan} is split");
    parts
}

async fn phases(platform: &Platform, plan: &str) -> Vec<Phase> {
    parts(platform, plan).await.iter().map(|part| part.phase).collect()
}

/// What a merchant names a request by when he approves it or asks for it again.
fn named(serial: &str, gross: &str) -> Value {
    json!([{ "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "JSHJ": gross }])
}

async fn released(platform: &Platform, serial: &str) {
    let serial = serial.to_owned();
    let work = platform
        .portal
        .ledger
        .run(move |session| Box::pin(async move { act::release(session, "shop", &serial, "console:anna").await }));
    assert!(work.await.expect("the writer runs").is_some());
}

#[tokio::test]
async fn what_is_held_as_a_duplicate_is_released_by_a_person_and_by_no_approval() {
    let platform = Platform::start().await;
    for serial in ["HELD1", "HELD2"] {
        let mut document = blue(serial);
        document["LYID"] = json!("order-1");
        assert_eq!(documents(&platform, "insertWithArray", &json!([document])).await.code(), "0000");
        assert_eq!(
            documents(&platform, "insertWithSplit", &json!([long(&format!("{serial}S"), "order-2")])).await.code(),
            "0000"
        );
    }
    assert_eq!(platform.stored("HELD2").await.held_for.as_deref(), Some("HELD1"));
    for (serial, gross) in [("HELD2", "113.00"), ("HELD2S", "1356.00")] {
        for _ in 0..2 {
            let answer = documents(&platform, "issue", &named(serial, gross)).await;
            assert!(answer.code() == "1001" && answer.body.contains("SUSPECTED_DUPLICATE"), "{}", answer.body);
        }
    }
    assert_eq!(platform.stored("HELD2").await.phase, Phase::Approval);
    assert_eq!(phases(&platform, "HELD2S").await, [Phase::Approval; 2]);
    released(&platform, "HELD2").await;
    for part in parts(&platform, "HELD2S").await {
        released(&platform, &part.serial).await;
    }
    assert_eq!(platform.stored("HELD2").await.phase, Phase::Forwarding);
    assert_eq!(phases(&platform, "HELD2S").await, [Phase::Forwarding; 2]);
}

#[tokio::test]
async fn a_split_sale_is_approved_whole_and_what_went_on_is_not_approved_again() {
    let platform = Platform::start().await;
    let fields = [("requestdatas", &*json!([long("PLAN1", "")]).to_string()), ("autoAudit", "false")];
    assert_eq!(platform.form("insertWithSplit", &fields).await.code(), "0000");
    assert_eq!(phases(&platform, "PLAN1").await, [Phase::Approval; 2]);
    assert_eq!(documents(&platform, "issue", &named("PLAN1", "1356.01")).await.code(), "1001", "another amount");
    assert_eq!(phases(&platform, "PLAN1").await, [Phase::Approval; 2]);
    assert_eq!(documents(&platform, "issue", &named("PLAN1", "1356.00")).await.code(), "0000");
    assert_eq!(phases(&platform, "PLAN1").await, [Phase::Forwarding; 2]);
    let [first, second] = parts(&platform, "PLAN1").await.try_into().expect("two");
    platform.broker_says(&first.serial, &Said::Issued).await;
    platform.broker_says(&second.serial, &LOST).await;
    let before = parts(&platform, "PLAN1").await;
    assert_eq!(documents(&platform, "issue", &named("PLAN1", "1356.00")).await.code(), "0000");
    assert_eq!(parts(&platform, "PLAN1").await, before, "neither the issued part nor the failed one is handed in again");
}

#[tokio::test]
async fn a_split_sale_is_sent_back_whole_or_not_at_all() {
    let platform = Platform::start().await;
    for plan in ["BACK1", "BACK2"] {
        let fields = [("requestdatas", &*json!([long(plan, "")]).to_string()), ("autoAudit", "false")];
        assert_eq!(platform.form("insertWithSplit", &fields).await.code(), "0000");
    }
    let del = |serial: &str| json!([{ "FPQQLSH": serial, "XSF_NSRSBH": SELLER }]);
    // Only 开票失败 goes by the other road; these wait.
    assert_eq!(platform.form("deleteInvoiceFailData", &[("fpqqlsh", "BACK1")]).await.code(), "9999");
    assert_eq!(phases(&platform, "BACK1").await, [Phase::Approval; 2]);
    for _ in 0..2 {
        assert_eq!(documents(&platform, "del", &del("BACK1")).await.code(), "0000");
    }
    assert_eq!(phases(&platform, "BACK1").await, [Phase::Deleted; 2]);
    assert_eq!(platform.stored("BACK1").await.phase, Phase::Deleted);
    assert!(parts(&platform, "BACK1").await.iter().all(|part| part.due_at == i64::MAX), "the courier takes none of them");
    // One of them is on its way: the other one stays as it is.
    let first = parts(&platform, "BACK2").await.remove(0).serial;
    released(&platform, &first).await;
    assert_eq!(documents(&platform, "del", &del("BACK2")).await.code(), "9999");
    assert_eq!(phases(&platform, "BACK2").await, [Phase::Forwarding, Phase::Approval]);
    // Nor is a part that the broker knows, though it failed there.
    platform.broker_says(&first, &LOST).await;
    assert_eq!(documents(&platform, "del", &del("BACK2")).await.code(), "9999");
    assert_eq!(phases(&platform, "BACK2").await, [Phase::Failed, Phase::Approval]);
}

#[tokio::test]
async fn a_re_issue_hands_in_nothing_that_waits_was_sent_back_or_is_a_plan() {
    let platform = Platform::start().await;
    let waiting = [("requestdatas", &*json!([blue("AGAIN1"), blue("AGAIN2")]).to_string()), ("autoAudit", "false")];
    assert_eq!(platform.form("insertWithArray", &waiting).await.code(), "0000");
    let del = json!([{ "FPQQLSH": "AGAIN2", "XSF_NSRSBH": SELLER }]);
    assert_eq!(documents(&platform, "del", &del).await.code(), "0000");
    assert_eq!(documents(&platform, "insertWithSplit", &json!([long("AGAIN3", "")])).await.code(), "0000");
    for (serial, gross, code, result, phase) in [
        ("AGAIN1", "113.00", "0000", "IN_PROGRESS", Phase::Approval),
        ("AGAIN2", "113.00", "1001", "NOT_ALLOWED", Phase::Deleted),
        ("AGAIN3", "1356.00", "1001", "NOT_ALLOWED", Phase::Plan),
    ] {
        let answer = documents(&platform, "reissue", &named(serial, gross)).await;
        assert!(answer.code() == code && answer.body.contains(result), "{serial}: {}", answer.body);
        let stored = platform.stored(serial).await;
        assert_eq!((stored.phase, stored.attempt), (phase, 0), "{serial}");
    }
}

#[tokio::test]
async fn a_repeat_is_a_re_issue_only_where_the_caller_wants_it_and_the_device_failed() {
    let platform = Platform::start().await;
    let both = json!([blue("REPEAT1"), blue("REPEAT2")]);
    assert_eq!(documents(&platform, "insertWithArray", &both).await.code(), "0000");
    platform.broker_says("REPEAT1", &LOST).await;
    platform.broker_says("REPEAT2", &DATA).await;
    let stands = async |serial: &str| {
        let stored = platform.stored(serial).await;
        (stored.phase, stored.attempt)
    };
    assert_eq!(documents(&platform, "insertWithArray", &both).await.code(), "0000");
    assert_eq!(stands("REPEAT1").await, (Phase::Failed, 0), "it is not switched on");
    let portal = &platform.portal;
    let mut caller = portal.directory().caller(APPID).expect("the caller").caller.clone();
    caller.switches.reissue_on_repeat = true;
    portal.set_directory(portal.directory().with_caller(caller).expect("a directory"));
    for _ in 0..2 {
        assert_eq!(documents(&platform, "insertWithArray", &both).await.code(), "0000");
        assert_eq!(stands("REPEAT1").await, (Phase::Forwarding, 1), "once");
        assert_eq!(stands("REPEAT2").await, (Phase::Failed, 0), "its data are as wrong as before");
    }
    platform.broker_says("REPEAT1", &Said::Issued).await;
    assert_eq!(documents(&platform, "insertWithArray", &both).await.code(), "0000");
    assert_eq!(stands("REPEAT1").await, (Phase::Issued, 1));
}

#[tokio::test]
async fn a_serial_number_that_is_another_ones_job_is_refused() {
    let platform = Platform::start().await;
    assert_eq!(documents(&platform, "insertWithArray", &json!([blue("K-1")])).await.code(), "0000");
    let job = platform.stored("K-1").await.job_serial;
    assert_ne!(job, "K-1", "the broker's alphabet is narrower");
    let answer = documents(&platform, "insertWithArray", &json!([blue(&job)])).await;
    assert!(answer.code() == "1001" && answer.body.contains("SERIAL_COLLISION"), "{}", answer.body);
    let mut db = platform.portal.readers.get().await.expect("a reader");
    assert!(db.request("shop", &job).await.expect("a store").is_none(), "one job is one request");
}

#[tokio::test]
async fn what_follows_a_return_is_the_same_kind_of_job_of_the_same_seller() {
    let platform = Platform::start().await;
    assert_eq!(documents(&platform, "insertWithArray", &json!([blue("REVISE1")])).await.code(), "0000");
    platform.broker_says("REVISE1", &DATA).await;
    let del = json!([{ "FPQQLSH": "REVISE1", "XSF_NSRSBH": SELLER }]);
    assert_eq!(documents(&platform, "del", &del).await.code(), "0000");
    let mut paper = blue("REVISE1");
    paper["FPLX"] = json!("3");
    for (name, other) in [("insertWithArray", paper), ("insertWithSplit", long("REVISE1", ""))] {
        let answer = documents(&platform, name, &json!([other])).await;
        assert!(answer.code() == "1001" && answer.body.contains("REVISION_KIND"), "{}", answer.body);
        assert_eq!(platform.stored("REVISE1").await.phase, Phase::Deleted, "the job at the broker is of another kind");
    }
    let mut corrected = blue("REVISE1");
    corrected["GMF_MC"] = json!("虚构购方二");
    assert_eq!(documents(&platform, "insertWithArray", &json!([corrected])).await.code(), "0000");
    let again = platform.stored("REVISE1").await;
    assert_eq!((again.phase, again.revision, again.job_serial.as_str()), (Phase::Forwarding, 2, "REVISE1"));
    assert!(again.at_broker, "the job that failed there is asked for again, and no other one is made");
}

#[tokio::test]
async fn a_void_that_failed_is_the_same_job_again() {
    let platform = Platform::start().await;
    let mut paper = blue("VOID1");
    paper["FPLX"] = json!("3");
    platform.issued(&paper).await;
    let number = platform.stored("VOID1").await.issued.expect("issued").number;
    let ask = json!({ "fpDm": PAPER_CODE, "fpHm": number });
    let void = format!("*void:{PAPER_CODE}:{number}");
    for _ in 0..2 {
        assert_eq!(documents(&platform, "invalid", &ask).await.code(), "0000");
    }
    let first = platform.stored(&void).await;
    platform.broker_says(&void, &LOST).await;
    for _ in 0..2 {
        assert_eq!(documents(&platform, "invalid", &ask).await.code(), "0000");
        let again = platform.stored(&void).await;
        assert_eq!((again.phase, again.attempt, &again.job_serial), (Phase::Forwarding, 1, &first.job_serial));
    }
    platform.broker_says(&void, &Said::Voided).await;
    assert_eq!(documents(&platform, "invalid", &ask).await.code(), "0000");
    assert_eq!(platform.stored(&void).await.phase, Phase::Issued, "done is done");
}

#[tokio::test]
async fn an_invoice_is_voided_or_reversed_and_never_both() {
    let platform = Platform::start().await;
    for serial in ["PAPER1", "PAPER2"] {
        let mut paper = blue(serial);
        paper["FPLX"] = json!("3");
        platform.issued(&paper).await;
    }
    let [first, second] =
        [platform.stored("PAPER1").await, platform.stored("PAPER2").await].map(|one| one.issued.expect("one").number);
    let pair = |number: &str| json!({ "fpDm": PAPER_CODE, "fpHm": number });
    let red = |serial: &str, number: &str| json!([{ "FPQQLSH": serial, "fpDm": PAPER_CODE, "fpHm": number }]);
    // A red that waits keeps the void away, and so does one that is issued.
    assert_eq!(documents(&platform, "red", &red("RED1", &first)).await.code(), "0000");
    for said in [None, Some(Said::Issued)] {
        if let Some(said) = said {
            released(&platform, "RED1").await;
            platform.broker_says("RED1", &said).await;
        }
        let answer = documents(&platform, "invalid", &pair(&first)).await;
        assert!(answer.code() != "0000" && answer.body.contains("ORIGINAL_REVERSED"), "{}", answer.body);
    }
    let void = |number: &str| format!("*void:{PAPER_CODE}:{number}");
    let stored = async |serial: &str| platform.portal.readers.get().await.expect("a reader").request("shop", serial).await;
    assert!(stored(&void(&first)).await.expect("a store").is_none(), "nothing was asked of the disk");
    // A void that runs, and one that is done, keep every red away.
    assert_eq!(documents(&platform, "invalid", &pair(&second)).await.code(), "0000");
    for (said, why) in [(None, "ORIGINAL_VOIDING"), (Some(Said::Voided), "ORIGINAL_VOID")] {
        if let Some(said) = said {
            platform.broker_says(&void(&second), &said).await;
        }
        let answer = documents(&platform, "red", &red("RED2", &second)).await;
        assert!(answer.code() == "1001" && answer.body.contains(why), "{}", answer.body);
    }
    assert!(stored("RED2").await.expect("a store").is_none());
}

async fn conflicts(platform: &Platform, serial: &str) {
    let serial = serial.to_owned();
    let problem = Problem::new(Code::Conflict, "it stands there with another content");
    let work = platform
        .portal
        .ledger
        .run(move |session| Box::pin(async move { outcome::refused(session, "shop", &serial, &problem).await }));
    work.await.expect("the writer runs");
}

async fn loses(platform: &Platform, serial: &str) {
    let serial = serial.to_owned();
    let work = platform.portal.ledger.run(move |session| Box::pin(async move { outcome::lost(session, "shop", &serial).await }));
    work.await.expect("the writer runs");
}

#[tokio::test]
async fn what_the_broker_refuses_or_has_lost_undoes_nothing_that_is_proven() {
    let platform = Platform::start().await;
    let all = json!([blue("TOLD1"), blue("TOLD2"), blue("TOLD3")]);
    assert_eq!(documents(&platform, "insertWithArray", &all).await.code(), "0000");
    platform.broker_says("TOLD1", &Said::Issued).await;
    let issued = platform.stored("TOLD1").await;
    conflicts(&platform, "TOLD1").await;
    loses(&platform, "TOLD1").await;
    platform.broker_is_away("TOLD1").await;
    assert_eq!(platform.stored("TOLD1").await, issued, "an invoice stays issued, and is not asked about again");
    // A content that the broker has under another document is no failure of the device: nobody re-issues it.
    conflicts(&platform, "TOLD2").await;
    assert_eq!(platform.stored("TOLD2").await.phase, Phase::Failed);
    let answer = documents(&platform, "reissue", &named("TOLD2", "113.00")).await;
    assert!(answer.code() == "1001" && answer.body.contains("NOT_ALLOWED"), "{}", answer.body);
    let del = json!([{ "FPQQLSH": "TOLD2", "XSF_NSRSBH": SELLER }]);
    assert_eq!(documents(&platform, "del", &del).await.code(), "9999", "nor is it sent back and written anew");
    assert_eq!(platform.stored("TOLD2").await.phase, Phase::Failed);
    // What waited there is handed in again, under its own serial number.
    platform.broker_says("TOLD3", &Said::Waits("no_stock")).await;
    loses(&platform, "TOLD3").await;
    let again = platform.stored("TOLD3").await;
    assert_eq!((again.phase, again.at_broker, again.attempt, again.due_at), (Phase::Forwarding, false, 0, platform.now_millis()));
    assert_eq!(again.job_serial, "TOLD3");
}

/// Asks for a request again, as the interface and the console do.
async fn asked_again(platform: &Platform, serial: &str, seller: &str, fen: i64) -> act::Reissued {
    let (serial, seller) = (serial.to_owned(), seller.to_owned());
    let gross = Decimal::new(fen, 2);
    let work = platform.portal.ledger.run(move |session| {
        Box::pin(async move { act::reissue(session, "shop", "console:anna", &serial, &seller, gross).await })
    });
    work.await.expect("the writer runs")
}

#[tokio::test]
async fn a_reissue_that_names_another_seller_or_amount_changes_nothing() {
    let platform = Platform::start().await;
    assert_eq!(documents(&platform, "insertWithArray", &json!([blue("NAMED")])).await.code(), "0000");
    platform.broker_says("NAMED", &LOST).await;
    let before = platform.stored("NAMED").await;
    for (seller, fen) in [("91310000MA00000025", 11_300), (SELLER, 11_301)] {
        let answer = asked_again(&platform, "NAMED", seller, fen).await;
        assert!(matches!(&answer, act::Reissued::NotAllowed(known, _) if known.serial == "NAMED"), "{answer:?}");
        assert_eq!(platform.stored("NAMED").await, before);
    }
    let answer = asked_again(&platform, "NAMED", SELLER, 11_300).await;
    assert!(matches!(&answer, act::Reissued::Requeued(_)), "{answer:?}");
    assert_eq!(platform.stored("NAMED").await.phase, Phase::Forwarding);
}

#[tokio::test]
async fn what_failed_by_its_data_is_sent_back_and_what_is_another_content_s_is_not() {
    let platform = Platform::start().await;
    for (serial, order) in [("DATA", "d"), ("FOREIGN", "f")] {
        let mut document = blue(serial);
        document["LYID"] = json!(order);
        assert_eq!(documents(&platform, "insertWithArray", &json!([document])).await.code(), "0000");
    }
    platform.broker_says("DATA", &DATA).await;
    let problem = Problem::new(Code::Conflict, "another content");
    let work = platform
        .portal
        .ledger
        .run(move |session| Box::pin(async move { outcome::refused(session, "shop", "FOREIGN", &problem).await }));
    work.await.expect("the writer runs");
    for (serial, word) in [("DATA", "退回"), ("FOREIGN", "联系平台")] {
        let answer = asked_again(&platform, serial, SELLER, 11_300).await;
        let act::Reissued::NotAllowed(_, text) = &answer else { panic!("{serial}: {answer:?}") };
        assert!(text.contains(word), "{serial}: {text}");
        assert_eq!(platform.stored(serial).await.phase, Phase::Failed);
    }
}

#[tokio::test]
async fn a_serial_number_is_issued_again_so_often_a_day() {
    let platform = Platform::start().await;
    assert_eq!(documents(&platform, "insertWithArray", &json!([blue("DAILY1")])).await.code(), "0000");
    platform.broker_says("DAILY1", &LOST).await;
    for attempt in 1..=20 {
        assert_eq!(documents(&platform, "reissue", &named("DAILY1", "113.00")).await.code(), "0000");
        assert_eq!(platform.stored("DAILY1").await.attempt, attempt);
        platform.broker_says("DAILY1", &LOST).await;
    }
    let answer = documents(&platform, "reissue", &named("DAILY1", "113.00")).await;
    assert!(answer.code() == "1001" && answer.body.contains("每日最多"), "{}", answer.body);
    platform.pass(24 * 3600);
    let answer = documents(&platform, "reissue", &named("DAILY1", "113.00")).await;
    assert!(answer.code() == "0000" && answer.body.contains("REQUEUED"), "{}", answer.body);
    let stored = platform.stored("DAILY1").await;
    assert_eq!((stored.attempt, stored.reissued_at.len()), (21, 1), "yesterday's are forgotten");
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_whole() {
    let platform = Platform::start().await;
    let long = "x".repeat(platform.portal.config.limits.body_bytes + 1);
    let answer = platform.form("insertWithArray", &[("requestdatas", &long)]).await;
    assert!(answer.code() == "1001" && answer.body.contains("TOO_LARGE"), "{}", answer.body);
}

#[tokio::test]
async fn a_query_whose_token_is_of_another_number_is_refused() {
    let platform = Platform::start().await;
    assert_eq!(documents(&platform, "insertWithArray", &json!([blue("ASKED1")])).await.code(), "0000");
    let digest = |text: &str| hex::encode(Md5::digest(text));
    let fields = [("fpqqlsh", "ASKED1"), ("nsrsbh", SELLER)];
    for (claim, good) in [(digest(SELLER), true), (digest("91110000MA0000002P"), false), (String::new(), false)] {
        let token = platform.token(&json!({ "nsrsbh": claim }));
        let path = format!("/output-tax/api/invoiceApply/queryInvoiceStatus?appid={APPID}");
        let body = form(&fields);
        let answer = platform.call(&path, Some("application/x-www-form-urlencoded"), Some(&token), body.as_bytes()).await;
        assert_eq!(answer.body.contains("SIGN_DIGEST"), !good, "{claim}: {}", answer.body);
        assert_eq!(answer.body.contains("ASKED1"), good, "{claim}: {}", answer.body);
    }
}
