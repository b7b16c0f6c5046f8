//! WeChat card packs, at a fake that refuses as WeChat does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use serde_json::{Value, json};
use taxdisk_portal::config::Wechat;
use taxdisk_portal::core::outbox::{Delivered, Standing};
use taxdisk_portal::core::request::Request;

use crate::platform::blue;
use crate::rig::{Rig, served};

#[derive(Default)]
struct State_ {
    tokens: u32,
    authorised: BTreeSet<String>,
    media: u32,
    /// Order ids, and the invoice of each.
    inserted: BTreeMap<String, Value>,
    /// The next insertion is done, and its answer is no answer.
    lose: bool,
    /// Refuses the next insertion with this.
    refuse: Option<i64>,
}

type Fake = Arc<Mutex<State_>>;
type Args = Query<BTreeMap<String, String>>;

fn said(code: i64, text: &str) -> String {
    json!({ "errcode": code, "errmsg": text }).to_string()
}

/// Is this the latest token?
fn stale(fake: &State_, args: &Args) -> Option<String> {
    (args.get("access_token") != Some(&format!("token-{}", fake.tokens))).then(|| said(42001, "access_token expired"))
}

async fn token(State(fake): State<Fake>, Query(args): Args) -> String {
    if args.get("appid").map(String::as_str) != Some("wxplatform") || args.get("secret").map(String::as_str) != Some("s&cret") {
        return said(40125, "invalid appsecret");
    }
    let mut fake = fake.lock().unwrap();
    fake.tokens += 1;
    json!({ "access_token": format!("token-{}", fake.tokens), "expires_in": 7200 }).to_string()
}

async fn auth_data(State(fake): State<Fake>, args: Args, body: String) -> String {
    let fake = fake.lock().unwrap();
    if let Some(stale) = stale(&fake, &args) {
        return stale;
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    if !fake.authorised.contains(body["order_id"].as_str().unwrap()) {
        return said(72038, "invoice order never auth");
    }
    json!({ "errcode": 0, "errmsg": "ok", "invoice_status": "auth success", "auth_time": 1_800_000_000 }).to_string()
}

async fn set_pdf(State(fake): State<Fake>, args: Args, body: Bytes) -> String {
    let mut fake = fake.lock().unwrap();
    if let Some(stale) = stale(&fake, &args) {
        return stale;
    }
    let text = String::from_utf8_lossy(&body);
    if !text.contains("name=\"pdf\"") || !text.contains("%PDF-") {
        return said(40007, "invalid media");
    }
    fake.media += 1;
    json!({ "errcode": 0, "errmsg": "ok", "s_media_id": format!("media-{}", fake.media) }).to_string()
}

async fn insert(State(fake): State<Fake>, args: Args, body: String) -> String {
    let mut fake = fake.lock().unwrap();
    if let Some(stale) = stale(&fake, &args) {
        return stale;
    }
    if let Some(code) = fake.refuse.take() {
        return said(code, "refused");
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    let order = body["order_id"].as_str().unwrap().to_owned();
    let data = body["card_ext"]["user_card"]["invoice_user_data"].clone();
    if fake.inserted.contains_key(&order) {
        return said(72056, "order_id repeated, please check order_id");
    }
    if fake.inserted.values().any(|other| other["billing_code"] == data["billing_code"]) {
        return said(72042, "billing_code and billing_no repeated");
    }
    fake.inserted.insert(order, data);
    if std::mem::take(&mut fake.lose) { String::new() } else { json!({ "errcode": 0, "errmsg": "ok", "code": "c" }).to_string() }
}

async fn rig(fake: &Fake) -> (Rig, tempfile::TempDir) {
    let router = Router::new()
        .route("/cgi-bin/token", get(token))
        .route("/card/invoice/getauthdata", post(auth_data))
        .route("/card/invoice/platform/setpdf", post(set_pdf))
        .route("/card/invoice/insert", post(insert))
        .with_state(fake.clone());
    let url = served(router).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "s&cret\n").unwrap();
    let wechat = Wechat {
        base_url: url,
        app_id: "wxplatform".to_owned(),
        secret_file: dir.path().join("secret"),
        s_pappid: "pappid".to_owned(),
        card_id: "pCard".to_owned(),
    };
    (Rig::start(|config| config.wechat = Some(wechat)).await, dir)
}

fn with_order(serial: &str, order: &str) -> Value {
    let mut document = blue(serial);
    document["WXORDERID"] = json!(order);
    document["WXAPPID"] = json!("wxmerchant");
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_waits_for_its_user_and_a_token_that_ended_is_renewed() {
    let fake = Fake::default();
    let (rig, _dir) = rig(&fake).await;
    rig.issue(&with_order("CARD1", "ORDER1"), &[], &[]).await;
    let before = rig.request("CARD1").await;
    rig.send_due().await;
    assert_eq!(rig.standing("CARD1").await, Standing::Waiting, "the user has not pressed the button: 72038");
    {
        let mut fake = fake.lock().unwrap();
        fake.authorised.insert("ORDER1".to_owned());
        // Somebody else asked for a token: ours is no longer taken.
        fake.tokens += 1;
    }
    rig.platform.pass(60);
    rig.send_due().await;
    assert_eq!(rig.standing("CARD1").await, Standing::Sent, "{:?}", rig.messages("CARD1").await);
    let data = fake.lock().unwrap().inserted["ORDER1"].clone();
    assert_eq!(
        (&data["fee"], &data["fee_without_tax"], &data["tax"], &data["title"]),
        (&json!(11300), &json!(10000), &json!(1300), &json!("虚构购方"))
    );
    assert_eq!((&data["billing_code"], &data["billing_time"]), (&json!("00000001"), &json!(1_800_000_000)));
    assert_eq!(data["s_pdf_media_id"], "media-1");
    let after = rig.request("CARD1").await;
    assert_eq!(after.delivered.card, 2);
    assert_eq!(Request { delivered: Delivered::default(), ..after }, before, "the invoice is not touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_id_is_one_invoice_and_a_lost_answer_is_no_second_card() {
    let fake = Fake::default();
    fake.lock().unwrap().authorised.extend(["ORDER2".to_owned(), "ORDER3".to_owned(), "ORDER4".to_owned()]);
    let (rig, _dir) = rig(&fake).await;
    fake.lock().unwrap().lose = true;
    rig.issue(&with_order("CARD2", "ORDER2"), &[], &[]).await;
    rig.send_due().await;
    let message = rig.messages("CARD2").await.remove(0);
    assert_eq!((message.standing, message.unclear), (Standing::Waiting, true));
    rig.platform.pass(60);
    rig.send_due().await;
    assert_eq!(rig.standing("CARD2").await, Standing::Sent, "72056 after a lost answer is ours");
    // Another sale's invoice under an order id that is used: final, and the invoice stands.
    rig.issue(&with_order("CARD3", "ORDER2"), &[], &[]).await;
    rig.send_due().await;
    assert_eq!(rig.standing("CARD3").await, Standing::Failed);
    assert_eq!(rig.request("CARD3").await.status(), Some(4));
    fake.lock().unwrap().refuse = Some(72031);
    rig.issue(&with_order("CARD4", "ORDER4"), &[], &[]).await;
    rig.send_due().await;
    assert_eq!(rig.standing("CARD4").await, Standing::Failed);
    assert_eq!(fake.lock().unwrap().inserted.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_account_nothing_happens() {
    let rig = Rig::start(|_| {}).await;
    rig.issue(&with_order("CARD5", "ORDER5"), &[], &[]).await;
    rig.send_due().await;
    assert_eq!((rig.standing("CARD5").await, rig.request("CARD5").await.delivered.card), (Standing::Unavailable, 0));
    let answer = rig.platform.form("queryInvoiceStatus", &[("fpqqlsh", "CARD5")]).await;
    assert!(!answer.body.contains("cardState"), "{}", answer.body);
}
