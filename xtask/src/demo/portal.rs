//! The portal of the demonstration: a merchant with a key of his own, and a few orders that he sends through the compatible API
//! as electronic invoices (kind 026). They are signed by a second simulated disk, behind its maker's component.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::site::Site;
use super::{SELLER, SELLER_NAME};

/// The merchant's appid.
const APPID: &str = "DEMO";
/// The issued invoices and codes are there within this time.
const ISSUE_LIMIT: Duration = Duration::from_secs(60);
/// How often a status is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// One answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// A token is good for so long.
const TOKEN_S: u64 = 300;
/// What the orders are about: serial number, buyer, item, total with tax.
const ORDERS: [(&str, &str, &str, &str); 3] = [
    ("DEMO-0001", "示例科技有限公司", "*纸制品*打印纸", "113.00"),
    ("DEMO-0002", "个人", "*餐饮服务*咖啡", "33.90"),
    ("DEMO-0003", "示例学校", "*文具*白板笔", "56.50"),
];

/// The merchant's side.
struct Merchant {
    url: String,
    key: KeyPair,
    agent: ureq::Agent,
}

/// Sets the merchant up, has his orders issued, and says where to look at them.
pub(super) fn play(site: &Site, stop: &AtomicBool) -> Result<String, String> {
    let merchant = Merchant { url: site.portal_url()?, key: key(&site.path("merchant.key"))?, agent: agent() };
    set_up(site, &merchant)?;
    let documents: Vec<Value> = ORDERS.iter().map(document).collect();
    let reply = merchant.form("insertWithArray", "requestdatas", &json!(documents).to_string())?;
    taken(&reply)?;
    let mut lines =
        vec!["Issued through the portal, as a merchant's system would (kind 026, a disk behind its component):".to_owned()];
    for (serial, buyer, _, gross) in ORDERS {
        let data = issued(&merchant, serial, stop)?;
        let (code, number) = (text(&data["fpDm"]), text(&data["fpHm"]));
        lines.push(format!("  {serial}  {buyer}  ¥{gross}  {code} {number}"));
    }
    // The consumer names the buyer of this one.
    let qr = json!({ "FPQQLSH": "DEMO-QR-01", "XSF_NSRSBH": SELLER, "ORGCODE": "A", "SHMC": SELLER_NAME, "JSHJ": "11.30",
        "items": [line("*餐饮服务*咖啡", "11.30")] });
    let reply = merchant.json("insertForQRInvoice", &qr.to_string())?;
    taken(&reply)?;
    lines.push("Links to look at while it runs (--keep):".to_owned());
    for (serial, ..) in ORDERS {
        let shown = operator(site, &merchant, "GET", &format!("/admin/v1/requests/demo/{serial}"), None)?;
        if let Some(link) = shown["request"]["share_url"].as_str() {
            lines.push(format!("  {serial} as a page:  {link}"));
        }
    }
    lines.push(format!("  a code that waits for its buyer:  {}", text(&reply["data"]["qrcode"])));
    Ok(lines.join("\n"))
}

fn document((serial, buyer, item, gross): &(&str, &str, &str, &str)) -> Value {
    json!({ "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "GMF_MC": buyer, "JSHJ": gross, "items": [line(item, gross)] })
}

fn line(item: &str, gross: &str) -> Value {
    json!({ "XMMC": item, "XMSL": 1, "XMJSHJ": gross, "SL": "0.13", "SPBM": "1060105010000000000" })
}

/// A tenant with the demonstration's seller, and a caller with the merchant's key. Written again it is the same.
fn set_up(site: &Site, merchant: &Merchant) -> Result<(), String> {
    let point = json!({ "orgcode": "A", "clerk": "张三" });
    let seller = json!({ "taxpayer_number": SELLER, "name": SELLER_NAME, "points": [point] });
    operator(site, merchant, "PUT", "/admin/v1/tenants/demo", Some(json!({ "name": SELLER_NAME, "sellers": [seller] })))?;
    let der: PublicKeyX509Der<'_> = merchant.key.public_key().as_der().map_err(|_| "the merchant's key has no form")?;
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()));
    let caller = json!({ "tenant": "demo", "public_keys": [pem] });
    operator(site, merchant, "PUT", &format!("/admin/v1/callers/{APPID}"), Some(caller)).map(|_| ())
}

fn operator(site: &Site, merchant: &Merchant, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
    let url = format!("{}{path}", merchant.url);
    let failed = |error: &dyn std::fmt::Display| format!("{url}: {error}");
    let bearer = format!("Bearer {}", site.operator_key()?);
    let done = match (method, body) {
        ("PUT", Some(body)) => {
            let request = merchant.agent.put(&url).header("authorization", &bearer).header("content-type", "application/json");
            request.send(body.to_string())
        }
        _ => merchant.agent.get(&url).header("authorization", &bearer).call(),
    };
    let text = done.map_err(|error| failed(&error))?.body_mut().read_to_string().map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

fn taken(reply: &Value) -> Result<(), String> {
    if reply["code"] == "0000" { Ok(()) } else { Err(format!("The portal does not take it: {reply}")) }
}

fn issued(merchant: &Merchant, serial: &str, stop: &AtomicBool) -> Result<Value, String> {
    let limit = Instant::now() + ISSUE_LIMIT;
    loop {
        let reply = merchant.form("queryInvoiceStatus", "fpqqlsh", serial)?;
        if reply["statuscode"] == "4" {
            return Ok(reply["data"].clone());
        }
        if stop.load(Ordering::SeqCst) {
            return Err("Interrupted.".to_owned());
        }
        if Instant::now() > limit || reply["statuscode"] == "3" {
            return Err(format!("{serial} is not issued: {reply}"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

impl Merchant {
    fn form(&self, name: &str, field: &str, value: &str) -> Result<Value, String> {
        let mut claims = BTreeMap::new();
        if field == "requestdatas" {
            let digest: String = Md5::digest(value).iter().map(|byte| format!("{byte:02x}")).collect();
            claims.insert("requestdatas", json!(digest));
        }
        self.call(name, claims, "application/x-www-form-urlencoded; charset=UTF-8", format!("{field}={}", encoded(value)))
    }

    fn json(&self, name: &str, body: &str) -> Result<Value, String> {
        self.call(name, BTreeMap::new(), "application/json", body.to_owned())
    }

    fn call(&self, name: &str, claims: BTreeMap<&str, Value>, content_type: &str, body: String) -> Result<Value, String> {
        let url = format!("{}/output-tax/api/invoiceApply/{name}?appid={APPID}", self.url);
        let failed = |error: &dyn std::fmt::Display| format!("{url}: {error}");
        let request = self.agent.post(&url).header("content-type", content_type).header("sign", self.sign(claims)?);
        let mut response = request.send(body).map_err(|error| failed(&error))?;
        let text = response.body_mut().read_to_string().map_err(|error| failed(&error))?;
        serde_json::from_str(&text).map_err(|error| failed(&error))
    }

    /// A compact JWS with an id of its own.
    fn sign(&self, mut claims: BTreeMap<&str, Value>) -> Result<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = digest::digest(&digest::SHA256, now.as_nanos().to_string().as_bytes());
        claims.insert("jti", json!(URL_SAFE_NO_PAD.encode(&id.as_ref()[..16])));
        claims.insert("iat", json!(now.as_secs()));
        claims.insert("exp", json!(now.as_secs() + TOKEN_S));
        let head = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256"}"#);
        let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(json!(claims).to_string()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
        signed.map_err(|_| "the merchant's key does not sign")?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The key of an earlier run, or a new one.
fn key(file: &Path) -> Result<KeyPair, String> {
    let broken = |what: &str| format!("{}: {what}", file.display());
    if file.exists() {
        let text = std::fs::read_to_string(file).map_err(|error| broken(&error.to_string()))?;
        let der = STANDARD.decode(text.trim()).map_err(|error| broken(&error.to_string()))?;
        return KeyPair::from_pkcs8(&der).map_err(|error| broken(&error.to_string()));
    }
    let made = KeyPair::generate(KeySize::Rsa2048).map_err(|_| broken("no key can be made"))?;
    let der: Pkcs8V1Der<'_> = made.as_der().map_err(|_| broken("the key has no form"))?;
    super::site::write(file, &STANDARD.encode(der.as_ref()))?;
    Ok(made)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(ANSWER_LIMIT)).proxy(None).build().into()
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// The portal's command.
pub(super) fn command(site: &Site) -> Command {
    let mut command = Command::new(crate::workspace::binary("taxdisk-portal"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--ready-file"]).arg(site.path("portal.ready"));
    command.arg("--operator-key-file").arg(site.path("operator.key"));
    command.env("TAXDISK__ENVIRONMENT", "test");
    command.env("TAXDISK__STORE__URL", format!("sqlite:{}", site.path("portal.db").display()));
    command.env("TAXDISK__BROKER__URL", site.url()).env("TAXDISK__BROKER__KEY_FILE", site.path("admin.key"));
    command.env("TAXDISK__BROKER__DISKS_S", "1");
    command
}
