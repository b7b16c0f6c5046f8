//! A portal in this process, over a store of its own, without a broker: what the broker would say is said by the test. Its clock
//! stands still and its caller's tokens are made here, so everything but a few random texts is the same in every run.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512};
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::BodyExt as _;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use taxdisk_portal::api;
use taxdisk_portal::config::Config;
use taxdisk_portal::core::links::LinkKey;
use taxdisk_portal::core::outcome;
use taxdisk_portal::core::request::Request as Stored;
use taxdisk_portal::layout::NationalLayout;
use taxdisk_portal::ledger::{Clock, Ledger};
use taxdisk_portal::model::{Caller, Directory, Tenant};
use taxdisk_portal::platform_key::PlatformKey;
use taxdisk_portal::portal::{Parts, Portal};
use taxdisk_portal::store;
use taxdisk_protocol::api::{DiskView, JobView};
use taxdisk_web::outbound::{Outbound, Settings};

/// The seller of all documents.
pub(crate) const SELLER: &str = "91110000MA0000001L";
/// Another seller of the same tenant; he has two issue points.
pub(crate) const SECOND_SELLER: &str = "91110000MA0000002P";
/// The caller.
pub(crate) const APPID: &str = "APP1";
/// 2027-01-15T08:00:00Z, as in the published vectors.
pub(crate) const NOW_S: i64 = 1_800_000_000;
/// Code of the invoices that the broker is said to have issued.
pub(crate) const CODE: &str = "011002000111";
/// Code of the paper invoices.
pub(crate) const PAPER_CODE: &str = "1100200320";

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) real_status: String,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("every answer is JSON")
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().expect("`code` is a text").to_owned()
    }
}

/// A portal and what it takes to call it.
pub(crate) struct Platform {
    pub(crate) portal: Arc<Portal>,
    now_ms: Arc<AtomicI64>,
    tokens: AtomicU32,
    numbers: AtomicU32,
    _dir: tempfile::TempDir,
}

/// One key for all tests of this process: making one takes a while.
fn key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).expect("the system makes keys"))
}

fn public_pem() -> String {
    let der: PublicKeyX509Der<'_> = key().public_key().as_der().expect("a public key has a form");
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
}

impl Platform {
    pub(crate) async fn start() -> Platform {
        Platform::start_with(|_| {}, Settings::default()).await
    }

    /// With a configuration that is edited first, and other rules about whom it may call.
    pub(crate) async fn start_with(edit: impl FnOnce(&mut Config), outbound: Settings) -> Platform {
        Platform::start_signing(edit, outbound, None).await
    }

    /// With a key that signs callbacks.
    pub(crate) async fn start_signing(
        edit: impl FnOnce(&mut Config),
        outbound: Settings,
        platform_key: Option<PlatformKey>,
    ) -> Platform {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::default();
        edit(&mut config);
        config.store.url = format!("sqlite:{}", dir.path().join("portal.db").display());
        let opened = store::open(&config.store.url).await.expect("the store opens");
        let now_ms = Arc::new(AtomicI64::new(NOW_S * 1000));
        let shown = now_ms.clone();
        let clock: Clock = Arc::new(move || shown.load(Ordering::SeqCst));
        let portal = Portal::new(Parts {
            config,
            ledger: Ledger::start(opened.writer, clock.clone()),
            readers: opened.readers,
            clock,
            layout: Arc::new(NationalLayout { simulated: true }),
            outbound: Outbound::new(outbound).expect("default settings are good"),
            platform_key,
            links: LinkKey::from_text(&"7a".repeat(32)).expect("a key"),
            public_url: "https://fp.example".to_owned(),
            directory: directory(),
            disks: vec![disk()],
        });
        let (tokens, numbers) = (AtomicU32::new(0), AtomicU32::new(0));
        Platform { portal: Arc::new(portal), now_ms, tokens, numbers, _dir: dir }
    }

    /// The clock goes on.
    pub(crate) fn pass(&self, seconds: i64) {
        self.now_ms.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(crate) fn now_millis(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    pub(crate) fn now_s(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst) / 1000
    }

    /// A token of a plain client: `RS256`, ±300 s, an id of its own.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let id = self.tokens.fetch_add(1, Ordering::SeqCst) + 1;
        let now = self.now_s();
        let mut payload = json!({ "iss": "einvoice", "aud": "einvoice", "sub": "tester", "jti": format!("golden-{id:04}"),
            "iat": now, "nbf": now - 300, "exp": now + 300 });
        payload.as_object_mut().expect("an object").extend(claims.as_object().cloned().unwrap_or_default());
        sign(r#"{"typ":"JWT","alg":"RS256"}"#, payload.to_string().as_bytes())
    }

    /// Claims that a form with these fields needs.
    pub(crate) fn digest(fields: &[(&str, &str)]) -> Value {
        let data = fields.iter().find(|(name, _)| *name == "requestdatas");
        data.map_or_else(|| json!({}), |(_, value)| json!({ "requestdatas": hex::encode(Md5::digest(value)) }))
    }

    /// Calls the portal as a socket would.
    pub(crate) async fn call(&self, path: &str, content_type: Option<&str>, sign: Option<&str>, body: &[u8]) -> Answer {
        let mut request = Request::post(path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(sign) = sign {
            request = request.header("sign", sign);
        }
        let request = request.body(Body::from(body.to_vec())).expect("a request");
        let response = api::answer(self.portal.clone(), request).await;
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (status, real_status, content_type) = (response.status().as_u16(), header("x-real-status"), header("content-type"));
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Answer { status, real_status, content_type, body: String::from_utf8(body.to_vec()).expect("UTF-8") }
    }

    /// A form with a token that fits it.
    pub(crate) async fn form(&self, name: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token(&Platform::digest(fields));
        let path = format!("/output-tax/api/invoiceApply/{name}?appid={APPID}");
        self.call(&path, Some("application/x-www-form-urlencoded"), Some(&token), form(fields).as_bytes()).await
    }

    /// A JSON body with a token.
    pub(crate) async fn json(&self, name: &str, body: &str) -> Answer {
        let token = self.token(&json!({}));
        let path = format!("/output-tax/api/invoiceApply/{name}?appid={APPID}");
        self.call(&path, Some("application/json"), Some(&token), body.as_bytes()).await
    }

    /// The broker says what became of the job of a serial number.
    pub(crate) async fn broker_says(&self, serial: &str, said: &Said) {
        let request = self.stored(serial).await;
        let (view, serial) = (self.view(&request, said, request.job_revision + 1), serial.to_owned());
        let told =
            self.portal.ledger.run(move |session| Box::pin(async move { outcome::shown(session, "shop", &serial, &view).await }));
        told.await.expect("the writer runs");
    }

    /// The broker tells by itself of the job of a serial number, as it is at this revision.
    pub(crate) async fn broker_tells(&self, serial: &str, said: &Said, revision: u64) {
        let request = self.stored(serial).await;
        let view = self.view(&request, said, revision);
        let (seller, job) = (request.seller, request.job_serial);
        let told =
            self.portal.ledger.run(move |session| Box::pin(async move { outcome::told(session, &seller, &job, &view).await }));
        told.await.expect("the writer runs");
    }

    /// The broker does not answer when it is asked about the job of a serial number.
    pub(crate) async fn broker_is_away(&self, serial: &str) {
        let serial = serial.to_owned();
        let noted = self
            .portal
            .ledger
            .run(move |session| Box::pin(async move { outcome::unreachable(session, "shop", &serial, "no answer").await }));
        noted.await.expect("the writer runs");
    }

    /// A request as it is stored.
    pub(crate) async fn stored(&self, serial: &str) -> Stored {
        let request = self.portal.readers.get().await.expect("a reader").request("shop", serial).await.expect("a store");
        request.unwrap_or_else(|| panic!("{serial} is not known"))
    }

    fn view(&self, request: &Stored, said: &Said, revision: u64) -> JobView {
        let mut view = json!({
            "seller": request.seller, "serial": request.job_serial, "operation": request.job.operation,
            "kind": request.job.kind, "state": said.state(), "revision": revision, "version": 1,
            "accepted_at": "2027-01-15T08:00:00Z", "changed_at": "2027-01-15T08:00:00Z",
        });
        match said {
            Said::Issued => {
                let number = self.numbers.fetch_add(1, Ordering::SeqCst) + 1;
                let code = if request.job.kind == "026" { CODE } else { PAPER_CODE };
                view["issued"] = json!({ "code": code, "number": format!("{number:08}"), "issued_at": "20270115160000",
                    "fiscal_code": "0123456789*+-/<>", "disk": "661545600001" });
            }
            Said::Failed { fault, code, text } => view["problem"] = json!({ "fault": fault, "code": code, "text": text }),
            Said::Waits(why) => view["waiting"] = json!(why),
            Said::Unsettled | Said::Voided => {}
        }
        serde_json::from_value(view).expect("a job as the broker shows it")
    }

    /// Inserts a document and has it issued.
    pub(crate) async fn issued(&self, document: &Value) -> Answer {
        let answer = self.form("insertWithArray", &[("requestdatas", &json!([document]).to_string())]).await;
        assert_eq!(answer.code(), "0000", "{}", answer.body);
        self.broker_says(document["FPQQLSH"].as_str().expect("a serial number"), &Said::Issued).await;
        answer
    }
}

/// What the broker says of a job.
pub(crate) enum Said {
    Issued,
    Voided,
    Failed { fault: &'static str, code: &'static str, text: &'static str },
    Waits(&'static str),
    Unsettled,
}

impl Said {
    fn state(&self) -> &'static str {
        match self {
            Said::Issued => "issued",
            Said::Voided => "voided",
            Said::Failed { .. } => "failed",
            Said::Waits(_) => "queued",
            Said::Unsettled => "unsettled",
        }
    }
}

/// `name=value&…`, encoded as browsers do.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A compact JWS over these bytes, with the caller's key. The header says the algorithm.
pub(crate) fn sign(header: &str, payload: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let algorithm = if header.contains("RS512") { &RSA_PKCS1_SHA512 } else { &RSA_PKCS1_SHA256 };
    let mut signature = vec![0; key().public_modulus_len()];
    key().sign(algorithm, &SystemRandom::new(), text.as_bytes(), &mut signature).expect("a signature");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A blue document that is good: 113.00 for one line.
pub(crate) fn blue(serial: &str) -> Value {
    json!({
        "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "GMF_MC": "虚构购方", "JSHJ": "113.00",
        "items": [{ "XMMC": "*纸制品*打印纸", "DW": "包", "XMSL": 2, "XMJSHJ": "113.00", "SL": 0.13, "SPBM": "1060105" }],
    })
}

fn directory() -> Directory {
    let tenant: Tenant = serde_json::from_value(json!({
        "id": "shop", "name": "示例",
        "sellers": [
            { "taxpayer_number": SELLER, "name": "示例商贸有限公司", "address_phone": "北京市示例路1号 010-12345678",
              "bank_account": "示例银行 0200001009000000001", "points": [{ "orgcode": "A", "clerk": "张三" }] },
            { "taxpayer_number": SECOND_SELLER, "name": "示例餐饮有限公司",
              "points": [{ "orgcode": "B", "clerk": "李四" }, { "orgcode": "C", "clerk": "李四" }] },
        ],
    }))
    .expect("a tenant");
    let caller: Caller = serde_json::from_value(json!({
        "appid": APPID, "tenant": "shop", "public_keys": [public_pem()],
        "switches": { "callback_hosts": ["merchant.example"] },
    }))
    .expect("a caller");
    Directory::default().with_tenant(tenant).and_then(|known| known.with_caller(caller)).expect("a directory")
}

/// A disk for electronic and paper invoices: ten lines, 1000.00 net an invoice.
fn disk() -> DiskView {
    let stock = |kind: &str| json!({ "kind": kind, "remaining": 100, "invoice_limit": "1000.00" });
    let view: Result<DiskView, _> = serde_json::from_value(json!({
        "report": {
            "disk": "661545600001", "taxpayer": SELLER, "taxpayer_name": "示例商贸有限公司",
            "kinds": ["026", "007", "004"],
            "capabilities": {
                "characters": "gbk",
                "widths": { "party_name": 100, "taxpayer_number": 20, "address_phone": 100, "bank_account": 100,
                    "item_name": 92, "specification": 40, "unit": 22, "remark": 230, "person": 20, "amount": 18, "price": 21 },
                "max_lines": 10, "discount_lines": true, "goods_codes": true, "price_decimals": 8, "rate_decimals": 4,
                "single_person": false, "remark_readable": true, "carries_pair": true, "red": true, "operations": ["void"],
            },
            "fence": "none", "dialect": "nisec", "port": "http://127.0.0.1:1", "health": { "ready": true },
            "stock": [stock("026"), stock("007"), stock("004")],
        },
        "epoch": 1, "online": true, "backlog": 0, "open_attempts": 0, "enabled": true, "seen_at": "2027-01-15T08:00:00Z",
    }));
    view.expect("a disk as the broker shows it")
}
