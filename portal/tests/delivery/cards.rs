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

use crate::platform::{Said, blue};
use crate::rig::{Rig, served};

#[derive(Default)]
pub(crate) struct State_ {
    pub(crate) tokens: u32,
    authorised: BTreeSet<String>,
    /// Authorisations that were asked for.
    asked: Vec<Value>,
    media: u32,
    pub(crate) tickets: u32,
    /// Order ids, and the invoice of each.
    inserted: BTreeMap<String, Value>,
    /// The next insertion is done, and its answer is no answer.
    lose: bool,
    /// Refuses the next insertion or ticket with this.
    pub(crate) refuse: Option<i64>,
}

pub(crate) type Fake = Arc<Mutex<State_>>;
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

async fn auth_url(State(fake): State<Fake>, args: Args, body: String) -> String {
    let mut fake = fake.lock().unwrap();
    if let Some(stale) = stale(&fake, &args) {
        return stale;
    }
    if let Some(code) = fake.refuse.take() {
        return said(code, "refused");
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    let ticket = body["ticket"].as_str().unwrap();
    if !ticket.starts_with("wx_card-ticket-") || body["s_pappid"] != "pappid" || body["type"] != 2 {
        return said(72031, "invalid params");
    }
    let order = body["order_id"].as_str().unwrap().to_owned();
    fake.asked.push(body);
    json!({ "errcode": 0, "errmsg": "ok", "auth_url": format!("https://mp.weixin.qq.com/bizmall/authinvoice?id={order}") })
        .to_string()
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

async fn ticket(State(fake): State<Fake>, args: Args) -> String {
    let mut fake = fake.lock().unwrap();
    if let Some(stale) = stale(&fake, &args) {
        return stale;
    }
    if let Some(code) = fake.refuse.take() {
        return said(code, "refused");
    }
    let kind = args.get("type").unwrap();
    fake.tickets += 1;
    json!({ "errcode": 0, "errmsg": "ok", "ticket": format!("{kind}-ticket-{}", fake.tickets), "expires_in": 7200 }).to_string()
}

async fn rig(fake: &Fake) -> (Rig, tempfile::TempDir) {
    rig_with(fake, false).await
}

pub(crate) async fn rig_with(fake: &Fake, titles: bool) -> (Rig, tempfile::TempDir) {
    let router = Router::new()
        .route("/cgi-bin/token", get(token))
        .route("/cgi-bin/ticket/getticket", get(ticket))
        .route("/card/invoice/getauthurl", post(auth_url))
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
        titles,
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

const WECHAT: &str = "Mozilla/5.0 Mobile MicroMessenger/8.0.50";

/// A page inside WeChat: status, where it leads, text.
async fn inside(rig: &Rig, path: &str) -> (u16, String, String) {
    let request = axum::http::Request::get(path).header("accept", "text/html").header("user-agent", WECHAT);
    let request = request.body(axum::body::Body::empty()).unwrap();
    let (parts, body) = taxdisk_portal::pages::answer(rig.platform.portal.clone(), request).await.into_parts();
    let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    let there = parts.headers.get("location").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (parts.status.as_u16(), there, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_keeps_his_invoice_in_the_card_pack_once_he_has_authorised_it() {
    let fake = Fake::default();
    let (rig, _dir) = rig(&fake).await;
    let path = rig.code("PACK1", &json!({})).await;
    rig.fill(&path, &[]).await;
    let button = format!("{path}/card?part=1");
    assert!(!inside(&rig, &path).await.2.contains(&button), "there is no invoice yet");
    assert_eq!(inside(&rig, &button).await.1, path);
    rig.platform.broker_says("PACK1", &Said::Issued).await;
    assert!(inside(&rig, &path).await.2.contains(&button));
    let elsewhere = rig.browse("192.0.2.1", "GET", &path, "").await;
    assert!(!elsewhere.text.contains(&button), "outside of WeChat it would lead nowhere");
    let (status, there, _) = inside(&rig, &button).await;
    assert!(status == 303 && there.starts_with("https://mp.weixin.qq.com/bizmall/authinvoice?id=td"), "{there}");
    let asked = fake.lock().unwrap().asked[0].clone();
    assert_eq!(
        (&asked["money"], &asked["redirect_url"]),
        (&json!(1130), &json!(format!("https://fp.example{path}/carded?part=1")))
    );
    // He comes back without having said yes; whoever writes the address himself gets no further.
    let back = format!("{path}/carded?part=1");
    assert_eq!(inside(&rig, &back).await.1, format!("{path}?told=card_no"));
    assert!(rig.messages("PACK1").await.is_empty());
    // He says yes, and presses twice.
    let order = asked["order_id"].as_str().unwrap().to_owned();
    fake.lock().unwrap().authorised.insert(order.clone());
    assert_eq!(inside(&rig, &back).await.1, format!("{path}?told=card_sent"));
    assert_eq!(inside(&rig, &back).await.1, format!("{path}?told=card_sent"));
    assert_eq!(rig.send_due().await, 1, "one card");
    assert_eq!((rig.standing("PACK1").await, fake.lock().unwrap().inserted.len()), (Standing::Sent, 1));
    assert_eq!(inside(&rig, &back).await.1, format!("{path}?told=card_in"), "a card is not inserted twice");
    assert_eq!(rig.messages("PACK1").await.len(), 1);
    assert!(inside(&rig, &format!("{path}?told=card_in")).await.2.contains("该发票已在微信卡包中"));
    for wrong in ["", "?part=0", "?part=2", "?part=x", "?part=99999999999999999999999"] {
        assert_eq!(inside(&rig, &format!("{path}/card{wrong}")).await.1, path, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wechat_s_refusals_of_an_authorisation_touch_no_invoice() {
    let fake = Fake::default();
    let (rig, _dir) = rig(&fake).await;
    let path = rig.code("PACK2", &json!({})).await;
    rig.fill(&path, &[]).await;
    rig.platform.broker_says("PACK2", &Said::Issued).await;
    let before = rig.request("PACK2").await;
    for code in [-1, 45009, 72031, 72038] {
        // Of the page, or of its ticket: one of them is asked first.
        fake.lock().unwrap().refuse = Some(code);
        assert_eq!(inside(&rig, &format!("{path}/card?part=1")).await.1, format!("{path}?told=card_off"), "{code}");
    }
    fake.lock().unwrap().tokens += 1;
    assert!(inside(&rig, &format!("{path}/card?part=1")).await.1.starts_with("https://"), "a token that ended is renewed");
    assert_eq!(rig.request("PACK2").await, before);
    // The merchant's own order id: his page asks for it.
    let path = rig
        .code(
            "PACK3",
            &json!({ "WXORDERID": "ORDER9", "WXAPPID": "wxmerchant", "JSHJ": "22.60",
        "items": [{ "XMMC": "*纸制品*打印纸", "XMJSHJ": "22.60", "SL": "0.13", "SPBM": "1060105" }] }),
        )
        .await;
    rig.fill(&path, &[]).await;
    rig.platform.broker_says("PACK3", &Said::Issued).await;
    assert!(!inside(&rig, &path).await.2.contains("/card?part"));
    assert_eq!(inside(&rig, &format!("{path}/card?part=1")).await.1, path);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_kept_from_its_own_page_too_and_only_one_that_stands() {
    let fake = Fake::default();
    let (rig, _dir) = rig(&fake).await;
    rig.issue(&blue("PACK4"), &[], &[]).await;
    let link = rig.platform.portal.link(&rig.request("PACK4").await).await.unwrap().unwrap();
    let path = link.strip_prefix("https://fp.example").unwrap().to_owned();
    let button = format!("{path}/card?part=1");
    assert!(inside(&rig, &path).await.2.contains(&button));
    assert!(!rig.browse("192.0.2.1", "GET", &path, "").await.text.contains("/card?"), "outside of WeChat it would lead nowhere");
    assert!(inside(&rig, &button).await.1.starts_with("https://mp.weixin.qq.com/"));
    let asked = fake.lock().unwrap().asked[0].clone();
    assert_eq!(asked["redirect_url"], format!("https://fp.example{path}/carded?part=1"));
    let back = format!("{path}/carded?part=1");
    assert_eq!(inside(&rig, &back).await.1, format!("{path}?told=card_no"));
    fake.lock().unwrap().authorised.insert(asked["order_id"].as_str().unwrap().to_owned());
    assert_eq!(inside(&rig, &back).await.1, format!("{path}?told=card_sent"));
    assert_eq!(rig.send_due().await, 1);
    assert_eq!(inside(&rig, &back).await.1, format!("{path}?told=card_in"), "it is there, whichever page is asked");
    assert!(inside(&rig, &format!("{path}?told=card_in")).await.2.contains("该发票已在微信卡包中"));
    // A reversed one is no invoice to keep.
    let mut reversed = rig.request("PACK4").await;
    reversed.reversed = reversed.gross;
    rig.platform
        .portal
        .ledger
        .run(move |session| {
            let reversed = reversed.clone();
            Box::pin(async move { session.db.put_request(&reversed).await })
        })
        .await
        .unwrap();
    assert!(!inside(&rig, &path).await.2.contains("/card?"));
    assert_eq!(inside(&rig, &button).await.1, path);
}
