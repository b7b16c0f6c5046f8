//! Offline codes: from a till's token over the merchant's query service to one invoice, whatever anybody does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use taxdisk_portal::application::{Algorithm, Decrypts, OrgWish, System};
use taxdisk_portal::config::Config;
use taxdisk_portal::merchant::ANSWER_MAX_BYTES;
use taxdisk_portal::model::Tenant;
use taxdisk_portal::order::{self, Nonce, Order, OrderKey};
use taxdisk_portal::pages;
use taxdisk_portal::platform_key::PlatformKey;
use taxdisk_portal::sign::{self, PublicKey};
use taxdisk_portal::store::{Field, Query};

use crate::platform::{APPID, NOW_S, SELLER, Said, blue, form, sign as signed};
use crate::rig::{Rig, served};

/// How the merchant's service behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Manners {
    Good,
    State(&'static str),
    Unsigned,
    OtherOrder,
    OtherRequest,
    OtherBody,
    OthersKey,
    OtherAlgorithm,
    /// Its signature says that something must be understood which nobody knows.
    Critical,
    OtherAudience,
    OtherVersion,
    OtherCode,
    Early,
    Stale,
    Endless,
    OthersSeller,
    PastDate,
    /// The serial number of another sale.
    Names(&'static str),
    Redirects,
    Breaks,
    /// He takes the question and says nothing.
    Stalls,
    Floods,
    /// An answer of so many bytes more than an empty one.
    Long(usize),
    Dearer,
}

struct Merchant {
    manners: Mutex<Manners>,
    /// The key of another tenant's caller, which is good for that tenant's orders.
    stranger: PlatformKey,
    /// Where results go, if he names an address.
    url: Mutex<String>,
    asked: Mutex<Vec<(String, Value)>>,
}

async fn query(State(merchant): State<Arc<Merchant>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let sign = headers["sign"].to_str().unwrap().to_owned();
    let claims = URL_SAFE_NO_PAD.decode(sign.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["body_sha256"], hex::encode(Sha256::digest(&body)).as_str());
    assert_eq!((&claims["aud"], &claims["jti"]), (&asked["syscode"], &asked["requestId"]));
    merchant.asked.lock().unwrap().push((sign, asked.clone()));
    let manners = *merchant.manners.lock().unwrap();
    let status = match manners {
        Manners::Redirects => return Response::builder().status(302).header("location", "/query").body(Body::empty()).unwrap(),
        Manners::Breaks => return Response::builder().status(500).body(Body::empty()).unwrap(),
        Manners::Stalls => std::future::pending().await,
        Manners::State(state) => state,
        _ => "INVOICEABLE",
    };
    let order = if manners == Manners::OtherOrder { json!("another") } else { asked["order"].clone() };
    let seller = if manners == Manners::OthersSeller { "91310000MA00000025" } else { SELLER };
    let total = if manners == Manners::Dearer { "226.00" } else { "113.00" };
    let version = if manners == Manners::OtherVersion { "2" } else { "1" };
    let code = if manners == Manners::OtherCode { "9999" } else { "0000" };
    let mut answer = json!({ "version": version, "code": code, "msg": "ok", "state": status, "order": order,
        "reason": "已退货\u{7}<b>", "data": {
        "XSF_NSRSBH": seller, "ORGCODE": "A", "JSHJ": total, "SHMC": "<b>服务区</b>", "GMF_MC": "商户写的购方",
        "GMF_DZDH": "商户写的地址 1",
        "items": [{ "XMMC": "*经营租赁*<script>通行费", "XMJSHJ": total, "SL": "0.13", "SPBM": "1060105" }] } });
    let url = merchant.url.lock().unwrap().clone();
    if !url.is_empty() {
        answer["data"]["URL"] = url.into();
    }
    match manners {
        Manners::PastDate => answer["data"]["EXPIRE"] = json!(NOW_S - 1),
        Manners::Names(serial) => answer["data"]["FPQQLSH"] = json!(serial),
        _ => {}
    }
    let padding = match manners {
        Manners::Floods => 2 * ANSWER_MAX_BYTES,
        Manners::Long(bytes) => bytes,
        _ => 0,
    };
    if padding > 0 {
        answer["padding"] = "x".repeat(padding).into();
    }
    let text = answer.to_string();
    let about = if manners == Manners::OtherBody { b"another".to_vec() } else { text.clone().into_bytes() };
    let request = if manners == Manners::OtherRequest { json!("another") } else { asked["requestId"].clone() };
    let (from, until) = match manners {
        Manners::Early => (NOW_S + 3600, NOW_S + 3900),
        Manners::Stale => (NOW_S - 7200, NOW_S - 6900),
        Manners::Endless => (NOW_S, NOW_S + 7 * 86_400),
        _ => (NOW_S, NOW_S + 300),
    };
    let audience = if manners == Manners::OtherAudience { "somebody" } else { "einvoice-platform" };
    let claims = json!({ "aud": audience, "jti": request, "iat": from, "exp": until,
        "body_sha256": hex::encode(Sha256::digest(about)) });
    let mut response = Response::new(Body::from(text));
    if manners != Manners::Unsigned {
        let algorithm = if manners == Manners::OtherAlgorithm { "none" } else { "RS256" };
        let mut head = json!({ "typ": "JWT", "alg": algorithm });
        if manners == Manners::Critical {
            head["crit"] = json!(["b64"]);
        }
        let sign = match manners {
            Manners::OthersKey => merchant.stranger.jws(&claims).unwrap(),
            _ => signed(&head.to_string(), claims.to_string().as_bytes()),
        };
        response.headers_mut().insert("sign", sign.parse().unwrap());
    }
    response
}

/// A syscode and its merchant's service.
pub(crate) struct Scheme {
    pub(crate) rig: Rig,
    merchant: Arc<Merchant>,
    platform: PublicKey,
    key: OrderKey,
}

impl Scheme {
    pub(crate) async fn start(wishes: Vec<OrgWish>) -> Scheme {
        Scheme::start_with(|_| {}, wishes).await
    }

    pub(crate) async fn start_with(edit: impl FnOnce(&mut Config), wishes: Vec<OrgWish>) -> Scheme {
        let (manners, url) = (Mutex::new(Manners::Good), Mutex::default());
        let stranger = PlatformKey::generate().unwrap();
        let pem = stranger.public_pem().unwrap();
        let merchant = Arc::new(Merchant { manners, stranger, url, asked: Mutex::default() });
        let url = served(Router::new().route("/query", post(query)).with_state(merchant.clone())).await;
        let mut rig = Rig::start(edit).await;
        let own = PlatformKey::generate().unwrap();
        let platform = PublicKey::from_pem(&own.public_pem().unwrap()).unwrap();
        let portal = Arc::get_mut(&mut rig.platform.portal).expect("nobody else has it yet");
        portal.platform_key = Some(own);
        let mut system = System {
            syscode: "TOLL".to_owned(),
            tenant: "shop".to_owned(),
            query_url: format!("{url}/query"),
            decrypts: Decrypts::Platform,
            keys: Vec::new(),
            wishes,
        };
        let key = system.rotate(Algorithm::default(), 0, NOW_S).unwrap();
        let secret = URL_SAFE_NO_PAD.decode(&key.secret).unwrap();
        let key = OrderKey::new(key.kid, order::Algorithm::Aes256Gcm, &secret).unwrap();
        let mut other = system.clone();
        "OTHER".clone_into(&mut other.syscode);
        let tenant: Tenant = serde_json::from_value(json!({ "id": "other", "name": "别家", "sellers": [] })).unwrap();
        let caller = json!({ "appid": "APP-OTHER", "tenant": "other", "public_keys": [pem] });
        let known = portal.directory().with_system(system).unwrap().with_system(other).unwrap();
        let known = known.with_tenant(tenant).unwrap().with_caller(serde_json::from_value(caller).unwrap()).unwrap();
        portal.set_directory(known);
        Scheme { rig, merchant, platform, key }
    }

    /// The merchant names this address for results.
    pub(crate) fn calls_back(&self, url: &str) {
        url.clone_into(&mut self.merchant.url.lock().unwrap());
    }

    /// A consumer scans, fills the form in, and confirms; the serial number of what became of it. `more`: fields of the form.
    pub(crate) async fn issue(&self, number: &str, more: &[(&str, &str)]) -> String {
        let path = path(&self.token(number, None));
        let (_, _, text) = self.sent("POST", &path, &filled(&[more, &[("step", "check")]].concat())).await;
        let last = filled(&[more, &[("step", "issue"), ("terms", &terms(&text))]].concat());
        let (status, _, text) = self.sent("POST", &path, &last).await;
        assert_eq!(status, 303, "{text}");
        let mut db = self.rig.platform.portal.readers.get().await.unwrap();
        db.order("TOLL", number).await.unwrap().unwrap().1
    }

    fn behaves(&self, manners: Manners) {
        *self.merchant.manners.lock().unwrap() = manners;
    }

    pub(crate) fn asked(&self) -> usize {
        self.merchant.asked.lock().unwrap().len()
    }

    pub(crate) fn token(&self, number: &str, expires_at_s: Option<i64>) -> String {
        let order = Order { number: number.to_owned(), made_at_s: NOW_S, expires_at_s };
        order::make("TOLL", &self.key, &order, Nonce::random()).unwrap()
    }

    pub(crate) async fn sent(&self, method: &str, path: &str, form: &str) -> (u16, Option<String>, String) {
        let request = Request::builder().method(method).uri(path).header("accept", "text/html");
        let request = request.body(Body::from(form.to_owned())).unwrap();
        let (parts, body) = pages::answer(self.rig.platform.portal.clone(), request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let there = parts.headers.get("location").map(|value| value.to_str().unwrap().to_owned());
        (parts.status.as_u16(), there, String::from_utf8_lossy(&body).into_owned())
    }

    async fn stored(&self, number: &str) -> bool {
        let mut db = self.rig.platform.portal.readers.get().await.unwrap();
        db.order("TOLL", number).await.unwrap().is_some()
    }
}

pub(crate) fn path(token: &str) -> String {
    format!("/qrcode-connector?syscode=TOLL&order={token}")
}

fn terms(text: &str) -> String {
    let rest = text.split("name=\"terms\" value=\"").nth(1).unwrap_or_else(|| panic!("it asks once more: {text}"));
    rest.split('"').next().unwrap().to_owned()
}

const FILLED: [(&str, &str); 3] = [("kind", "enterprise"), ("GMF_MC", "<img src=x>甲公司"), ("GMF_NSRSBH", "91310000MA00000025")];

pub(crate) fn filled(more: &[(&str, &str)]) -> String {
    form(&[FILLED.as_slice(), more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_s_code_becomes_one_invoice_however_often_it_is_scanned_and_sent() {
    let scheme = Arc::new(Scheme::start(Vec::new()).await);
    let path = path(&scheme.token("POS42-0007", None));
    let (status, _, text) = scheme.sent("GET", &path, "").await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("¥113.00") && text.contains("企业性单位") && text.contains("非企业性单位") && text.contains("个人"));
    assert!(!text.contains("<b>") && !text.contains("<script>通") && !text.contains("商户写的购方"), "{text}");
    // Another language is the same code.
    let query = path.split_once('?').unwrap().1.replace('&', "&#38;");
    assert!(text.contains(&format!("href=\"?{query}&#38;lang=en\"")), "{text}");
    let (sign, asked) = scheme.merchant.asked.lock().unwrap()[0].clone();
    assert_eq!(asked["order"], "POS42-0007");
    let (signed, signature) = sign.rsplit_once('.').unwrap();
    assert!(scheme.platform.verifies(sign::Algorithm::Rs256, signed, &URL_SAFE_NO_PAD.decode(signature).unwrap()));
    // A company without its number goes no further; nothing is stored before it is confirmed.
    assert_eq!(scheme.sent("POST", &path, &form(&[("kind", "enterprise"), ("GMF_MC", "甲")])).await.0, 422);
    let (status, _, text) = scheme.sent("POST", &path, &filled(&[("step", "check")])).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("91310000MA00000025") && !text.contains("<img src"), "{text}");
    assert!(!scheme.stored("POS42-0007").await);
    let last = filled(&[("step", "issue"), ("terms", &terms(&text))]);
    let all: Vec<_> = (0..100)
        .map(|_| {
            let (scheme, path, last) = (scheme.clone(), path.clone(), last.clone());
            tokio::spawn(async move { scheme.sent("POST", &path, &last).await })
        })
        .collect();
    let mut led_to = std::collections::BTreeSet::new();
    for one in all {
        let (status, there, text) = one.await.unwrap();
        assert_eq!(status, 303, "{text}");
        led_to.insert(there.unwrap());
    }
    assert_eq!(led_to.len(), 1, "a hundred submissions are one request");
    let mut db = scheme.rig.platform.portal.readers.get().await.unwrap();
    let (_, serial) = db.order("TOLL", "POS42-0007").await.unwrap().unwrap();
    let due = db.due_requests(i64::MAX - 1, 1000).await.unwrap();
    assert_eq!(due, [("shop".to_owned(), serial.clone())]);
    let stored = db.request("shop", &serial).await.unwrap().unwrap();
    let stored = format!("{stored:?}");
    assert!(stored.contains("甲公司") && !stored.contains("商户写的"), "the buyer is the consumer's: {stored}");
    // The clerk whom the guest shows his receipt finds it by what is printed there.
    let by_order = Query {
        tenant: "shop".to_owned(),
        from: 0,
        before: (i64::MAX, String::new()),
        phases: Vec::new(),
        orgcode: String::new(),
        fplx: None,
        word: Some((Field::Order, "POS42-0007".to_owned())),
        limit: 10,
    };
    let found = db.list_requests(&by_order).await.unwrap();
    assert_eq!(found.iter().map(|request| request.serial.as_str()).collect::<Vec<_>>(), [serial.as_str()]);
    drop(db);
    // Later scans do not need the merchant, and see the buyer masked.
    scheme.behaves(Manners::Breaks);
    let before = scheme.asked();
    scheme.rig.platform.broker_says(&serial, &Said::Waits("disk_offline")).await;
    let again = self::path(&scheme.token("POS42-0007", None));
    let (status, there, _) = scheme.sent("GET", &again, "").await;
    assert_eq!((status, there.as_ref()), (303, led_to.first()), "another receipt of the same order");
    let (_, _, text) = scheme.sent("GET", &there.unwrap(), "").await;
    assert!(text.contains("税控设备暂时不可用") && !text.contains("甲公司") && !text.contains("91310000MA00000025"), "{text}");
    scheme.rig.platform.broker_says(&serial, &Said::Issued).await;
    let (_, _, text) = scheme.sent("GET", &format!("{}?lang=en", led_to.first().unwrap()), "").await;
    assert!(text.contains("Issued") && text.contains("/i/") && text.contains("lang=\"en\""), "{text}");
    assert_eq!(scheme.asked(), before, "the merchant was not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_token_the_page_is_the_same() {
    let scheme = Scheme::start(Vec::new()).await;
    let good = scheme.token("A1", None);
    let mut altered = good.clone().into_bytes();
    altered[40] ^= 1;
    let wrong = [
        path(&String::from_utf8(altered).unwrap()),
        path(&scheme.token("A1", Some(NOW_S - 1))),
        path("A1"),
        path(&"A".repeat(600)),
        format!("/qrcode-connector?syscode=OTHER&order={good}"),
        format!("/qrcode-connector?syscode=NOBODY&order={good}"),
        "/qrcode-connector".to_owned(),
    ];
    let mut texts = std::collections::BTreeSet::new();
    for path in wrong {
        let (status, _, text) = scheme.sent("GET", &path, "").await;
        assert_eq!(status, 404, "{path}");
        // Both languages are offered at the page's own address; that alone differs.
        texts.insert(text.split("<main").nth(1).unwrap().to_owned());
        assert_eq!(scheme.sent("POST", &path, &filled(&[("step", "issue")])).await.0, 404, "{path}");
    }
    assert_eq!((texts.len(), scheme.asked()), (1, 0), "nobody is asked for a token that is not good");
    assert_eq!(scheme.sent("GET", &path(&good), "").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_who_lies_or_breaks_makes_a_clear_page_and_nothing_else() {
    let scheme = Scheme::start(Vec::new()).await;
    let cases = [
        (Manners::Unsigned, 502),
        (Manners::OtherOrder, 502),
        (Manners::OtherRequest, 502),
        (Manners::OtherBody, 502),
        (Manners::OthersKey, 502),
        (Manners::OtherAlgorithm, 502),
        (Manners::Critical, 502),
        (Manners::OtherAudience, 502),
        (Manners::OtherVersion, 502),
        (Manners::OtherCode, 502),
        (Manners::Early, 502),
        (Manners::Stale, 502),
        (Manners::Endless, 502),
        (Manners::OthersSeller, 502),
        (Manners::PastDate, 410),
        (Manners::Redirects, 502),
        (Manners::Breaks, 502),
        (Manners::Floods, 502),
        (Manners::State("NOT_FOUND"), 404),
        (Manners::State("NOT_INVOICEABLE"), 409),
        (Manners::State("ALREADY_INVOICED"), 409),
        (Manners::State("EXPIRED"), 410),
        (Manners::State("TRY_LATER"), 503),
        (Manners::State("nonsense"), 502),
    ];
    for (index, (manners, expected)) in cases.into_iter().enumerate() {
        scheme.behaves(manners);
        let number = format!("LIE{index}");
        let path = path(&scheme.token(&number, None));
        for (method, form) in [("GET", String::new()), ("POST", filled(&[("step", "issue"), ("terms", "0")]))] {
            let (status, _, text) = scheme.sent(method, &path, &form).await;
            assert_eq!(status, expected, "{manners:?} {method}: {text}");
            assert!(text.contains("<h1>") && !text.contains("<form"), "{manners:?}: {text}");
            let told = manners == Manners::State("NOT_INVOICEABLE");
            assert!(text.contains("已退货") == told && !text.contains('\u{7}') && !text.contains("<b>"), "{manners:?}: {text}");
        }
        assert!(!scheme.stored(&number).await, "{manners:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_names_another_sale_s_serial_number_gets_neither_its_invoice_nor_one_more() {
    let scheme = Scheme::start(Vec::new()).await;
    let platform = &scheme.rig.platform;
    let taken = platform.form("insertWithArray", &[("requestdatas", &json!([blue("ROAD1")]).to_string())]).await;
    assert_eq!(taken.code(), "0000", "{taken:?}");
    let before = scheme.rig.request("ROAD1").await;
    scheme.behaves(Manners::Names("ROAD1"));
    let path = path(&scheme.token("ROAD", None));
    let (_, _, text) = scheme.sent("POST", &path, &filled(&[("step", "check")])).await;
    let (status, _, text) = scheme.sent("POST", &path, &filled(&[("step", "issue"), ("terms", &terms(&text))])).await;
    assert_eq!(status, 409, "{text}");
    assert!(!text.contains("/i/") && !text.contains("<form"), "{text}");
    assert!(!scheme.stored("ROAD").await, "the order leads nowhere");
    assert_eq!(scheme.rig.request("ROAD1").await.job, before.job, "the other sale is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_consumer_confirmed_is_what_is_issued() {
    let scheme = Scheme::start(Vec::new()).await;
    let path = path(&scheme.token("CHANGES", None));
    let (_, _, text) = scheme.sent("POST", &path, &filled(&[("step", "check")])).await;
    let seen = terms(&text);
    // The merchant says something else once his answer is no longer kept.
    scheme.behaves(Manners::Dearer);
    scheme.rig.platform.pass(61);
    let (status, _, text) = scheme.sent("POST", &path, &filled(&[("step", "issue"), ("terms", &seen)])).await;
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("¥226.00") && text.contains("订单内容已更新"), "{text}");
    assert!(!scheme.stored("CHANGES").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_s_answer_is_read_up_to_its_bound() {
    let scheme = Scheme::start(Vec::new()).await;
    // The rest of the answer has less than 1 KiB.
    scheme.behaves(Manners::Long(ANSWER_MAX_BYTES - 1024));
    let (status, _, text) = scheme.sent("GET", &path(&scheme.token("LONG1", None)), "").await;
    assert!(status == 200 && text.contains("¥113.00"), "{text}");
    scheme.behaves(Manners::Long(ANSWER_MAX_BYTES));
    assert_eq!(scheme.sent("GET", &path(&scheme.token("LONG2", None)), "").await.0, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_scans_so_often_and_leaves_others_their_room() {
    let scheme = Scheme::start_with(|config| config.limits.scans_per_min = 20, Vec::new()).await;
    let (good, bad) = (path(&scheme.token("RATE", None)), path("forged"));
    // Forged codes count as well: nobody tries them out at our cost.
    let refused = async |address: &str, path: &str| scheme.rig.browse(address, "GET", path, "").await.status == 429;
    let mut tried = 0;
    while !refused("192.0.2.1", if tried % 2 == 0 { &good } else { &bad }).await {
        tried += 1;
        assert!(tried < 100, "there is no limit");
    }
    assert!(tried >= 20, "{tried}");
    assert!(!refused("192.0.2.2", &good).await, "another address has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_system_s_codes_take_no_room_from_another_s() {
    let scheme = Scheme::start_with(
        |config| (config.limits.appid_requests_per_s, config.limits.appid_burst_requests) = (1, 3),
        Vec::new(),
    )
    .await;
    let good = path(&scheme.token("RATE", None));
    let mut statuses = Vec::new();
    for address in 1..=10 {
        statuses.push(scheme.rig.browse(&format!("192.0.2.{address}"), "GET", &good, "").await.status);
    }
    assert!(statuses[..3] == [200, 200, 200] && statuses.contains(&429), "whatever their addresses: {statuses:?}");
    let elsewhere = good.replace("syscode=TOLL", "syscode=OTHER");
    assert_eq!(scheme.rig.browse("192.0.2.1", "GET", &elsewhere, "").await.status, 404, "no token of its own, and not too many");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_was_disabled_answers_for_no_order() {
    let scheme = Scheme::start(Vec::new()).await;
    assert_eq!(scheme.sent("GET", &path(&scheme.token("KEY1", None)), "").await.0, 200);
    let portal = &scheme.rig.platform.portal;
    let mut caller = portal.directory().caller(APPID).unwrap().caller.clone();
    caller.disabled = true;
    portal.set_directory(portal.directory().with_caller(caller).unwrap());
    assert_eq!(scheme.sent("GET", &path(&scheme.token("KEY2", None)), "").await.0, 502, "his key is no key of the tenant");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_sent_to_no_address_that_callbacks_may_not_reach() {
    let scheme = Scheme::start(Vec::new()).await;
    for (url, count) in [("https://10.0.0.1/hook", 0), ("file:///etc/passwd", 0), ("https://merchant.example/hook", 1)] {
        scheme.calls_back(url);
        let serial = scheme.issue(&format!("HOOK-{}", url.len()), &[]).await;
        assert_eq!(scheme.rig.request(&serial).await.delivery.urls.len(), count, "{url}");
    }
}

/// Fills a code's form in and confirms; status and where it leads.
async fn confirmed(scheme: &Scheme, code: &str) -> (u16, Option<String>) {
    let (status, there, text) = scheme.sent("POST", code, &filled(&[("step", "check")])).await;
    if status != 200 {
        return (status, there);
    }
    let (status, there, _) = scheme.sent("POST", code, &filled(&[("step", "issue"), ("terms", &terms(&text))])).await;
    (status, there)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_who_reads_tokens_himself_names_the_sale() {
    let scheme = Scheme::start(Vec::new()).await;
    let portal = scheme.rig.platform.portal.clone();
    for syscode in ["TOLL", "OTHER"] {
        let mut system = portal.directory().system(syscode).unwrap().as_ref().clone();
        system.decrypts = Decrypts::Merchant;
        portal.set_directory(portal.directory().with_system(system).unwrap());
    }
    for bad in ["A".repeat(order::TOKEN_MIN - 1), "A".repeat(order::TOKEN_MAX + 1), "%E5%8D%95".repeat(100)] {
        assert_eq!(scheme.sent("GET", &path(&bad), "").await.0, 404);
    }
    assert_eq!(scheme.asked(), 0, "nobody is asked about what is no token");
    // Every receipt of a sale bears another token: without its number there would be an invoice for each.
    let (first, second) = (path(&"A".repeat(100)), path(&"B".repeat(100)));
    assert_eq!(scheme.sent("GET", &first, "").await.0, 502);
    scheme.behaves(Manners::Names("OWN1"));
    scheme.rig.platform.pass(61);
    let done = confirmed(&scheme, &first).await;
    assert_eq!(done.0, 303);
    assert_eq!(confirmed(&scheme, &second).await, done, "another receipt of the sale shows the same invoice");
    let due = portal.readers.get().await.unwrap().due_requests(i64::MAX - 1, 10).await.unwrap();
    assert_eq!(due, [("shop".to_owned(), "OWN1".to_owned())]);
    // The number of a sale that another system, or another road, has made: neither its invoice nor one more. The other system's
    // orders are asked for under its own name, which this merchant's service answers as well.
    let inserted = json!([blue("OWN2")]).to_string();
    scheme.rig.platform.form("insertWithArray", &[("requestdatas", &inserted)]).await;
    scheme.behaves(Manners::Names("OWN2"));
    assert_eq!(confirmed(&scheme, &path(&"C".repeat(100))).await, (409, None));
    scheme.behaves(Manners::Names("OWN1"));
    let elsewhere = path(&"D".repeat(100)).replace("syscode=TOLL", "syscode=OTHER");
    assert_eq!(confirmed(&scheme, &elsewhere).await, (409, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orders_of_one_system_that_name_one_sale_are_one_invoice_and_a_refusal() {
    let scheme = Scheme::start(Vec::new()).await;
    scheme.behaves(Manners::Names("SALE1"));
    assert_eq!(confirmed(&scheme, &path(&scheme.token("ONE", None))).await.0, 303);
    assert_eq!(
        confirmed(&scheme, &path(&scheme.token("TWO", None))).await,
        (409, None),
        "the other order's buyer gets nobody's invoice"
    );
    assert!(!scheme.stored("TWO").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_who_stalls_is_waited_for_so_long_and_stores_nothing() {
    let scheme = Scheme::start(Vec::new()).await;
    scheme.behaves(Manners::Stalls);
    let path = path(&scheme.token("STALL", None));
    let began = Instant::now();
    let (status, _, text) = scheme.sent("GET", &path, "").await;
    assert_eq!(status, 502, "{text}");
    assert!(text.contains("没有开具发票，稍后重试是安全的") && !text.contains("<form"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(30), "three tries of five seconds: {:?}", began.elapsed());
    assert_eq!(scheme.asked(), 3);
    assert!(!scheme.stored("STALL").await);
    // He comes round: the same receipt is good.
    scheme.behaves(Manners::Good);
    assert_eq!(scheme.sent("GET", &path, "").await.0, 200);
}
