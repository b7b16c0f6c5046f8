//! Production and test: two portals with stores of their own and one registry. Every kind of credential is good in its own
//! environment and refused in the other one, in both directions.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../../tests/src/postgres.rs"]
#[allow(dead_code, unreachable_pub)]
mod postgres;

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::BodyExt as _;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use taxdisk_portal::admin::{self, OperatorKey};
use taxdisk_portal::application::{User, minted};
use taxdisk_portal::config::{Config, Environment};
use taxdisk_portal::core::links::LinkKey;
use taxdisk_portal::core::outcome;
use taxdisk_portal::layout::NationalLayout;
use taxdisk_portal::ledger::{Clock, Ledger};
use taxdisk_portal::model::Directory;
use taxdisk_portal::portal::{Parts, Portal};
use taxdisk_portal::registry::{Claimed, Credential, Registry};
use taxdisk_portal::{api, pages, store};
use taxdisk_protocol::api::JobView;
use taxdisk_web::outbound::{Outbound, Settings};
use tower::ServiceExt as _;

const NOW_S: i64 = 1_800_000_000;

struct Side {
    portal: Arc<Portal>,
    admin: Router,
    operator: String,
    seller: &'static str,
}

struct Both {
    production: Side,
    test: Side,
    _dir: tempfile::TempDir,
}

struct Key(KeyPair);

impl Key {
    fn new() -> Key {
        Key(KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    fn sign(&self, data: Option<&str>, id: &str) -> String {
        let mut claims = json!({ "jti": id, "iat": NOW_S, "exp": NOW_S + 300 });
        if let Some(data) = data {
            claims["requestdatas"] = json!(hex::encode(Md5::digest(data)));
        }
        let head = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256"}"#);
        let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Both {
    async fn start() -> Both {
        let dir = tempfile::tempdir().unwrap();
        let registry = format!("sqlite:{}", dir.path().join("credentials.db").display());
        let side = async |environment: Environment, seller| {
            let mut config = Config { environment, ..Config::default() };
            config.limits.appid_burst_requests = 5;
            config.limits.appid_requests_per_s = 1;
            config.store.url = format!("sqlite:{}", dir.path().join(format!("{}.db", environment.as_str())).display());
            let opened = store::open(&config.store.url).await.unwrap();
            let clock: Clock = Arc::new(|| NOW_S * 1000);
            let portal = Portal::new(Parts {
                config,
                ledger: Ledger::start(opened.writer, clock.clone()),
                readers: opened.readers,
                clock,
                layout: Arc::new(NationalLayout { simulated: environment == Environment::Test }),
                outbound: Outbound::new(Settings::default()).unwrap(),
                platform_key: None,
                links: LinkKey::from_text(&"7a".repeat(32)).unwrap(),
                public_url: "https://fp.example".to_owned(),
                directory: Directory::default(),
                disks: Vec::new(),
            });
            let portal = Arc::new(portal.with_registry(Some(Registry::open(&registry, environment).await.unwrap())));
            let operator = minted("tpo", environment);
            let admin = admin::router(portal.clone(), OperatorKey::of(&operator));
            Side { portal, admin, operator, seller }
        };
        let production = side(Environment::Production, "91110000MA0000001L").await;
        let test = side(Environment::Test, "91110000MA0000001L").await;
        Both { production, test, _dir: dir }
    }

    /// Each side with the other one.
    fn directions(&self) -> [(&Side, &Side); 2] {
        [(&self.production, &self.test), (&self.test, &self.production)]
    }
}

impl Side {
    async fn send(&self, method: &str, path: &str, key: &str, body: &Value) -> (u16, Value) {
        send(&self.admin, method, path, key, body).await
    }

    /// A tenant with its seller, and the key of its first user.
    async fn tenant(&self, id: &str) -> String {
        let seller = json!({ "taxpayer_number": self.seller, "name": "示例", "points": [{ "orgcode": "A", "clerk": "张三" }] });
        let tenant = json!({ "name": "示例", "sellers": [seller] });
        let (status, answer) = self.send("PUT", &format!("/admin/v1/tenants/{id}"), &self.operator, &tenant).await;
        assert_eq!(status, 200, "{answer}");
        let path = format!("/admin/v1/tenants/{id}/users");
        let (status, user) = self.send("POST", &path, &self.operator, &json!({ "name": "王五" })).await;
        assert_eq!(status, 200, "{user}");
        user["key"].as_str().unwrap().to_owned()
    }

    async fn apply(&self, user: &str, appid: &str, syscode: &str, key: &Key) -> String {
        let wish = json!({ "name": "ERP", "appid": appid, "syscode": syscode, "public_keys": [key.pem()],
            "query_url": if syscode.is_empty() { "" } else { "https://merchant.example/order" } });
        let (status, answer) = self.send("POST", "/tenant/v1/applications", user, &wish).await;
        assert_eq!((status, &answer["decision"]["state"]), (200, &json!("waiting")), "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    async fn approve(&self, id: &str) -> (u16, Value) {
        self.send("POST", &format!("/admin/v1/applications/{id}/approve"), &self.operator, &json!({})).await
    }

    /// A call of the compatible interface; the whole answer.
    async fn call(&self, name: &str, appid: &str, data: Option<&str>, sign: &str) -> (Response<()>, Value) {
        let body = data.map(|data| format!("requestdatas={}", encoded(data))).unwrap_or_default();
        let request = Request::post(format!("/output-tax/api/invoiceApply/{name}?appid={appid}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sign", sign)
            .body(Body::from(if body.is_empty() { "fpqqlsh=NOBODY&nsrsbh=X".to_owned() } else { body }))
            .unwrap();
        let (parts, body) = api::answer(self.portal.clone(), request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap())
    }

    /// Issues an invoice; its public token.
    async fn issued(&self, tenant: &'static str, appid: &str, key: &Key) -> String {
        let serial = format!("ENV{}", self.portal.config.environment.as_str());
        let document = json!([{
            "FPQQLSH": serial, "XSF_NSRSBH": self.seller, "GMF_MC": "虚构购方", "JSHJ": "113.00",
            "items": [{ "XMMC": "*纸制品*打印纸", "DW": "包", "XMSL": 2, "XMJSHJ": "113.00", "SL": 0.13, "SPBM": "1060105" }],
        }])
        .to_string();
        self.issue(tenant, appid, key, &serial, &document).await
    }

    /// Has a document issued; the public token of its invoice.
    async fn issue(&self, tenant: &'static str, appid: &str, key: &Key, serial: &str, document: &str) -> String {
        let (_, answer) = self.call("insertWithArray", appid, Some(document), &key.sign(Some(document), serial)).await;
        assert_eq!(answer["code"], "0000", "{answer}");
        let serial = serial.to_owned();
        let stored = self.portal.readers.get().await.unwrap().request(tenant, &serial).await.unwrap().unwrap();
        let view: JobView = serde_json::from_value(json!({
            "seller": stored.seller, "serial": stored.job_serial, "operation": "issue", "kind": stored.job.kind,
            "state": "issued", "revision": 2, "version": 1, "accepted_at": "2027-01-15T08:00:00Z",
            "changed_at": "2027-01-15T08:00:00Z",
            "issued": { "code": "011002000111", "number": "00000001", "issued_at": "20270115160000", "disk": "661545600001",
                "printed": { "check_code": "12345678901234567890", "cipher": "03*<81->6", "qr_text": "01,10,011002000111" } },
        }))
        .unwrap();
        let told =
            self.portal.ledger.run(move |session| Box::pin(async move { outcome::shown(session, tenant, &serial, &view).await }));
        told.await.unwrap();
        let link = self.portal.link(&stored).await.unwrap().unwrap();
        link.strip_prefix("https://fp.example/i/").unwrap().to_owned()
    }

    async fn file(&self, token: &str) -> (u16, Vec<u8>) {
        let request = Request::get(format!("/i/{token}")).body(Body::empty()).unwrap();
        let (parts, body) = pages::answer(self.portal.clone(), request).await.into_parts();
        (parts.status.as_u16(), body.collect().await.unwrap().to_bytes().to_vec())
    }
}

async fn send(router: &Router, method: &str, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(if method == "GET" { String::new() } else { body.to_string() }))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[tokio::test]
async fn an_operators_key_is_of_one_environment() {
    let both = Both::start().await;
    for (own, other) in both.directions() {
        assert_eq!(own.send("GET", "/admin/v1/tenants", &own.operator, &Value::Null).await.0, 200);
        assert_eq!(other.send("GET", "/admin/v1/tenants", &own.operator, &Value::Null).await.0, 401);
        // Not even where somebody copied its digest into the other store.
        let copied = admin::router(other.portal.clone(), OperatorKey::of(&own.operator));
        let (status, answer) = send(&copied, "GET", "/admin/v1/tenants", &own.operator, &Value::Null).await;
        assert_eq!(status, 401);
        assert!(answer["detail"].as_str().unwrap().contains("other environment"), "{answer}");
    }
}

#[tokio::test]
async fn a_users_key_is_of_one_environment_and_one_tenant() {
    let both = Both::start().await;
    for (own, other) in both.directions() {
        let key = own.tenant("one").await;
        assert_eq!(own.send("GET", "/tenant/v1/applications", &key, &Value::Null).await.0, 200);
        assert_eq!(own.send("GET", "/tenant/v1/applications", "tpu_nobody", &Value::Null).await.0, 401);
        assert_eq!(own.send("GET", "/admin/v1/tenants", &key, &Value::Null).await.0, 401, "a user is no operator");
        assert_eq!(own.send("GET", "/tenant/v1/applications", &own.operator, &Value::Null).await.0, 401);
        assert_eq!(other.send("GET", "/tenant/v1/applications", &key, &Value::Null).await.0, 401);
    }
    for (own, other) in both.directions() {
        let key = own.tenant("one").await;
        let copied = json!({ "id": "us_1", "tenant": "one", "name": "x", "key_hash": OperatorKey::of(&key).0 });
        let copied: User = serde_json::from_value(copied).unwrap();
        other.portal.set_directory(other.portal.directory().with_user(copied).unwrap());
        let (status, answer) = other.send("GET", "/tenant/v1/applications", &key, &Value::Null).await;
        assert_eq!(status, 401);
        assert!(answer["detail"].as_str().unwrap().contains("other environment"), "{answer}");
    }
}

#[tokio::test]
async fn a_persons_key_reaches_what_his_roles_do_and_ends_with_his_account() {
    let both = Both::start().await;
    let side = &both.production;
    let system = side.tenant("one").await;
    let person = async |login: &str, roles: &[&str]| {
        let new = json!({ "name": login, "login": login, "roles": roles });
        let (status, user) = side.send("POST", "/admin/v1/tenants/one/users", &side.operator, &new).await;
        assert_eq!(status, 200, "{user}");
        user["key"].as_str().unwrap().to_owned()
    };
    let may = async |key: &str| side.send("GET", "/tenant/v1/systems", key, &Value::Null).await.0;
    assert_eq!(may(&system).await, 200, "a system that does not sign in");
    for (login, roles, status) in [
        ("vera", &["viewer"][..], 403),
        ("carl", &["clerk"], 403),
        ("mara", &["clerk", "manager"], 403),
        ("adam", &["admin"], 200),
        ("olga", &["viewer", "admin"], 200),
    ] {
        assert_eq!(may(&person(login, roles).await).await, status, "{roles:?}");
    }
    let key = person("anna", &["admin"]).await;
    let applied = side.apply(&key, "ERP9", "TILL1", &Key::new()).await;
    assert_eq!(may(&key).await, 200);
    let mut user = side.portal.directory().user_by_login("one", "anna").unwrap().as_ref().clone();
    user.disabled = true;
    side.portal.set_directory(side.portal.directory().with_user(user).unwrap());
    for (method, path) in [
        ("GET", "/tenant/v1/systems"),
        ("GET", "/tenant/v1/applications"),
        ("PUT", "/tenant/v1/callers/APP1/public-keys"),
        ("POST", "/tenant/v1/systems/TILL1/keys"),
    ] {
        assert_eq!(side.send(method, path, &key, &json!({})).await.0, 401, "{method} {path}");
    }
    assert!(side.portal.directory().application(&applied).is_some(), "what he applied for stays");
}

#[tokio::test]
async fn appids_keys_and_tokens_are_of_one_environment() {
    let both = Both::start().await;
    for (own, other) in both.directions() {
        let (tenant, stranger) = (own.tenant("one").await, other.tenant("one").await);
        let name = own.portal.config.environment.as_str();
        let (appid, key, fresh) = (format!("APP-{name}"), Key::new(), Key::new());
        let sign = |id: &str| key.sign(None, &format!("{name}-{id}"));
        let (_, early) = own.call("queryInvoiceStatus", &appid, None, &sign("early")).await;
        assert_eq!(early["subcode"], "APPID", "nothing is given before the operator has approved");
        let id = own.apply(&tenant, &appid, "", &key).await;
        assert_eq!(own.approve(&id).await.0, 200);
        let (status, again) = own.approve(&id).await;
        assert_eq!((status, &again["decision"]["state"]), (200, &json!("approved")), "a second click changes nothing");
        // The token is taken here.
        let (_, answer) = own.call("queryInvoiceStatus", &appid, None, &sign("own")).await;
        assert_ne!(answer["code"], "1001", "{answer}");
        // There it is not: the appid is not known, and no other appid can be given its key.
        let (_, answer) = other.call("queryInvoiceStatus", &appid, None, &sign("there")).await;
        assert_eq!((&answer["code"], &answer["subcode"]), (&json!("1001"), &json!("APPID")), "{answer}");
        for (wanted, pem) in [(&*appid, &fresh), (&*format!("OTHER-{name}"), &key)] {
            let id = other.apply(&stranger, wanted, "", pem).await;
            let (status, answer) = other.approve(&id).await;
            assert_eq!(status, 409, "{answer}");
            assert!(answer["detail"].as_str().unwrap().contains(name), "{answer}");
            let caller = json!({ "tenant": "one", "public_keys": [pem.pem()] });
            let path = format!("/admin/v1/callers/{wanted}");
            assert_eq!(other.send("PUT", &path, &other.operator, &caller).await.0, 409);
            assert!(other.portal.directory().caller(wanted).is_none());
        }
        // A caller of the other environment cannot take the key as his next one.
        let (there, spare) = (format!("THERE-{name}"), Key::new());
        let id = other.apply(&stranger, &there, "", &spare).await;
        assert_eq!(other.approve(&id).await.0, 200);
        let path = format!("/tenant/v1/callers/{there}/public-keys");
        let (status, _) = other.send("PUT", &path, &stranger, &json!({ "public_keys": [key.pem()] })).await;
        assert_eq!(status, 409);
        let (_, answer) = other.call("queryInvoiceStatus", &there, None, &sign("moved")).await;
        assert_eq!(answer["subcode"], "SIGN_SIGNATURE", "{answer}");
        // His own new key he can.
        let keys = json!({ "public_keys": [spare.pem(), Key::new().pem()] });
        assert_eq!(other.send("PUT", &path, &stranger, &keys).await.0, 200);
    }
}

#[tokio::test]
async fn syscodes_and_their_order_keys_are_of_one_environment() {
    let both = Both::start().await;
    for (own, other) in both.directions() {
        let (tenant, stranger) = (own.tenant("one").await, other.tenant("one").await);
        let name = own.portal.config.environment.as_str();
        let syscode = format!("SYS-{name}");
        let id = own.apply(&tenant, &format!("A-{name}"), &syscode, &Key::new()).await;
        assert_eq!(own.approve(&id).await.0, 200);
        let path = format!("/tenant/v1/systems/{syscode}/keys");
        let (status, first) = own.send("POST", &path, &tenant, &json!({})).await;
        assert_eq!((status, &first["kid"]), (200, &json!(1)), "{first}");
        let (_, second) = own.send("POST", &path, &tenant, &json!({ "algorithm": "sm4-gcm", "overlap_s": 60 })).await;
        assert_eq!((&second["kid"], second["secret"].as_str().unwrap().len()), (&json!(2), 22), "{second}");
        let (_, shown) = own.send("GET", "/tenant/v1/systems", &tenant, &Value::Null).await;
        assert_eq!(shown[0]["keys"][0]["read_until_s"], NOW_S + 60);
        assert!(!shown.to_string().contains(first["secret"].as_str().unwrap()), "a secret is shown once");
        // There neither the syscode nor its keys exist, and nobody can have the name.
        assert!(other.portal.directory().system(&syscode).is_none());
        assert_eq!(other.send("POST", &path, &stranger, &json!({})).await.0, 404);
        let id = other.apply(&stranger, &format!("B-{name}"), &syscode, &Key::new()).await;
        let (status, answer) = other.approve(&id).await;
        assert_eq!(status, 409, "{answer}");
    }
}

#[tokio::test]
async fn public_links_are_of_one_environment_and_what_a_simulated_disk_signed_says_so() {
    let both = Both::start().await;
    for (own, other) in both.directions() {
        let user = own.tenant("one").await;
        let name = own.portal.config.environment.as_str();
        let (appid, key) = (format!("L-{name}"), Key::new());
        let id = own.apply(&user, &appid, "", &key).await;
        assert_eq!(own.approve(&id).await.0, 200);
        let token = own.issued("one", &appid, &key).await;
        let (status, pdf) = own.file(&token).await;
        assert_eq!((status, pdf.starts_with(b"%PDF")), (200, true));
        assert_eq!(other.file(&token).await.0, 404);
        // What the disk gave for the printed form stands in the answer to a query too.
        let serial = format!("ENV{name}");
        let stored = own.portal.readers.get().await.unwrap().request("one", &serial).await.unwrap().unwrap();
        let data = taxdisk_portal::callback::body::data(&stored, None).to_string();
        for told in [r#""jym":"12345678901234567890""#, r#""fpMw":"03*<81->6""#, r#""ewm":"01,10,011002000111""#] {
            assert!(data.contains(told), "{data}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_sends_too_much_waits_and_nobody_else_does() {
    let both = Both::start().await;
    let side = &both.production;
    let user = side.tenant("one").await;
    let (loud, quiet) = (Key::new(), Key::new());
    for (appid, key) in [("LOUD", &loud), ("QUIET", &quiet)] {
        let id = side.apply(&user, appid, "", key).await;
        assert_eq!(side.approve(&id).await.0, 200);
    }
    // Anybody can read an appid: without its key nobody uses up its rate.
    for at in 0..20 {
        side.call("queryInvoiceStatus", "LOUD", None, &quiet.sign(None, &format!("false-{at}"))).await;
    }
    let mut refused = None;
    for at in 0..500 {
        let (response, answer) = side.call("queryInvoiceStatus", "LOUD", None, &loud.sign(None, &format!("loud-{at}"))).await;
        if answer["subcode"] == "RATE_LIMITED" {
            refused = Some((at, response, answer));
            break;
        }
    }
    let (at, response, answer) = refused.expect("the burst ends");
    assert!(at >= 5, "the whole burst was there: {at}");
    assert_eq!((response.status().as_u16(), &answer["code"]), (200, &json!("9999")));
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(response.headers()["x-real-status"], "429");
    let (_, answer) = side.call("queryInvoiceStatus", "QUIET", None, &quiet.sign(None, "quiet")).await;
    assert_ne!(answer["subcode"], "RATE_LIMITED");
}

#[tokio::test]
async fn a_refused_application_gives_nothing_and_says_why() {
    let both = Both::start().await;
    let side = &both.test;
    let user = side.tenant("one").await;
    let id = side.apply(&user, "APP", "", &Key::new()).await;
    let path = format!("/admin/v1/applications/{id}/refuse");
    assert_eq!(side.send("POST", &path, &side.operator, &json!({ "reason": " " })).await.0, 422);
    assert_eq!(side.send("POST", &path, &side.operator, &json!({ "reason": "合同未签" })).await.0, 200);
    assert_eq!(side.approve(&id).await.0, 409);
    let (_, list) = side.send("GET", "/tenant/v1/applications", &user, &Value::Null).await;
    assert_eq!(list[0]["decision"]["reason"], "合同未签");
    assert!(side.portal.directory().caller("APP").is_none());
}

/// The suite that the registry passes over both databases.
async fn never_both_get_it(url: &str) {
    let production = Registry::open(url, Environment::Production).await.unwrap();
    let test = Registry::open(url, Environment::Test).await.unwrap();
    for round in 0..20 {
        let wanted = [Credential::Appid(format!("APP{round}"))];
        let (one, two) = tokio::join!(production.claim("one", &wanted), test.claim("one", &wanted));
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        assert!(matches!(one.and(two), Err(Claimed::Environment(..))));
    }
    let wanted = [Credential::Syscode("TOLL".to_owned())];
    production.claim("one", &wanted).await.unwrap();
    production.claim("one", &wanted).await.unwrap();
    assert!(matches!(production.claim("two", &wanted).await, Err(Claimed::Tenant(_))));
    // What was claimed outlives whoever claimed it.
    drop((production, test));
    let again = Registry::open(url, Environment::Test).await.unwrap();
    let refused = again.claim("one", &wanted).await.unwrap_err();
    assert!(matches!(&refused, Claimed::Environment(_, of) if of == "production"), "{refused}");
}

#[tokio::test]
async fn two_portals_that_claim_at_once_never_both_get_it() {
    let dir = tempfile::tempdir().unwrap();
    never_both_get_it(&format!("sqlite:{}", dir.path().join("credentials.db").display())).await;
}

#[tokio::test]
async fn over_postgres_they_never_both_get_it_either() {
    let server = tokio::task::spawn_blocking(postgres::Server::shared).await.unwrap();
    never_both_get_it(&server.database()).await;
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

/// A store from before there was a registry, or from a backup, may hold what belongs to the other environment by now.
#[tokio::test]
async fn a_portal_that_holds_what_is_the_other_environments_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let key = Key::new();
    let opened = store::open(&format!("sqlite:{}", path("portal.db"))).await.unwrap();
    let mut db = opened.writer;
    let seller = json!({ "taxpayer_number": "91110000MA0000001L", "name": "示例", "points": [{ "orgcode": "A" }] });
    db.put_setting("tenant", "one", &json!({ "id": "one", "name": "示例", "sellers": [seller] }).to_string()).await.unwrap();
    let caller = json!({ "appid": "APP", "tenant": "one", "public_keys": [key.pem()] });
    db.put_setting("caller", "APP", &caller.to_string()).await.unwrap();
    drop((db, opened.readers));
    let registry = format!("sqlite:{}", path("credentials.db"));
    let other = Registry::open(&registry, Environment::Production).await.unwrap();
    other.claim("one", &[Credential::Appid("APP".to_owned())]).await.unwrap();
    std::fs::write(path("broker.key"), "tdk_test\n").unwrap();
    let text = format!(
        "environment = \"test\"\n[store]\nurl = \"sqlite:{}\"\n[registry]\nurl = \"{registry}\"\n[broker]\n\
         url = \"http://127.0.0.1:9\"\nkey_file = \"{}\"\n",
        path("portal.db"),
        path("broker.key")
    );
    std::fs::write(path("portal.toml"), text).unwrap();
    let log = std::fs::File::create(path("log")).unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_taxdisk-portal"))
        .args(["serve", "--config", &path("portal.toml"), "--listen", "127.0.0.1:0", "--ready-file", &path("ready.json")])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let serves = std::path::Path::new(&path("ready.json")).exists();
        if serves || std::time::Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it serves: {serves}");
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let said = std::fs::read_to_string(path("log")).unwrap();
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("registry.url") && said.contains("production"), "{said}");
}

#[tokio::test]
async fn a_red_special_invoice_takes_its_information_table_to_the_disk_and_is_refused_without() {
    let both = Both::start().await;
    let side = &both.test;
    let user = side.tenant("one").await;
    let key = Key::new();
    let id = side.apply(&user, "SPECIAL", "", &key).await;
    assert_eq!(side.approve(&id).await.0, 200);
    let document = json!([{
        "FPQQLSH": "SP1", "FPLX": "4", "XSF_NSRSBH": side.seller, "GMF_MC": "虚构购方", "GMF_NSRSBH": "91310000MA00000025",
        "GMF_DZDH": "上海 1", "GMF_YHZH": "银行 1", "JSHJ": "113.00",
        "items": [{ "XMMC": "*纸制品*打印纸", "DW": "包", "XMSL": 2, "XMJSHJ": "113.00", "SL": 0.13, "SPBM": "1060105" }],
    }])
    .to_string();
    side.issue("one", "SPECIAL", &key, "SP1", &document).await;
    let red = |extra: Value| {
        let mut entry = json!({ "FPQQLSH": "SP2", "fpDm": "011002000111", "fpHm": "00000001" });
        entry.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap());
        json!([entry]).to_string()
    };
    let without = red(json!({}));
    let (_, answer) = side.call("red", "SPECIAL", Some(&without), &key.sign(Some(&without), "red-1")).await;
    assert_eq!(answer["code"], "1001", "{answer}");
    assert!(answer.to_string().contains("hzxxbbh"), "{answer}");
    let with = red(json!({ "hzxxbbh": "1100000000000001" }));
    let (_, answer) = side.call("red", "SPECIAL", Some(&with), &key.sign(Some(&with), "red-2")).await;
    assert_eq!(answer["code"], "0000", "{answer}");
    let stored = side.portal.readers.get().await.unwrap().request("one", "SP2").await.unwrap().unwrap();
    assert_eq!(stored.job.invoice.unwrap().notice, "1100000000000001");
}

#[tokio::test]
async fn a_buyers_data_is_the_operators_to_hand_out_and_to_remove() {
    let both = Both::start().await;
    let side = &both.production;
    let user = side.tenant("one").await;
    let buyer = json!({ "name": "张三" });
    let call = async |path: &str, key: &str, body: &Value| side.send("POST", path, key, body).await;
    let (export, erase) = ("/admin/v1/tenants/one/buyers/export", "/admin/v1/tenants/one/buyers/erase");
    for path in [export, erase] {
        assert_eq!(call(path, &user, &buyer).await.0, 401, "not a merchant's: {path}");
    }
    let (status, copy) = call(export, &side.operator, &buyer).await;
    assert_eq!((status, &copy), (200, &json!({ "requests": [], "reservations": [], "customers": [], "cursor": null })));
    let removal = json!({ "buyer": buyer, "reason": "letter 12" });
    assert_eq!(call(erase, &side.operator, &removal).await, (200, json!({ "rows": [], "cursor": null })));
    for (path, body, status) in [
        (export, json!({}), 422),
        (export, json!({ "contact": "138" }), 422),
        (erase, json!({ "buyer": buyer }), 422),
        ("/admin/v1/tenants/two/buyers/export", buyer.clone(), 404),
    ] {
        let (got, said) = call(path, &side.operator, &body).await;
        assert!(got == status && said["detail"].is_string(), "{path} {body}: {got} {said}");
    }
}
