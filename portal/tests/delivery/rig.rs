//! A portal with channels, and servers on loopback that play the other side.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use taxdisk_portal::config::{Config, Language, Mail, Security};
use taxdisk_portal::core::outbox::{Channel, Message, Standing};
use taxdisk_portal::core::request::Request as Stored;
use taxdisk_portal::pages;
use taxdisk_portal::post::{Channels, send};
use taxdisk_web::outbound::{Outbound, Settings};
use taxdisk_web::serve::Peer;

use crate::platform::{Platform, SELLER, Said, form};

/// A portal and its channels.
pub(crate) struct Rig {
    pub(crate) platform: Platform,
    pub(crate) channels: Channels,
}

/// May call this machine, by plain HTTP.
pub(crate) fn loopback() -> Settings {
    Settings { allow_http: true, allow_networks: vec!["127.0.0.1/32".parse().unwrap()], ..Settings::default() }
}

impl Rig {
    pub(crate) async fn start(edit: impl FnOnce(&mut Config)) -> Rig {
        let platform = Platform::start_with(edit, loopback()).await;
        let portal = &platform.portal;
        let channels = Channels::new(&portal.config, &portal.outbound, &portal.clock).unwrap();
        if let Some(weixin) = channels.weixin() {
            assert!(portal.weixin.set(weixin).is_ok());
        }
        Rig { platform, channels }
    }

    /// An invoice whose request named these receivers.
    pub(crate) async fn issue(&self, document: &Value, emails: &[&str], phones: &[&str]) {
        let serial = document["FPQQLSH"].as_str().unwrap();
        let entries = |list: &[&str]| {
            let entries: Vec<Value> = list.iter().map(|address| json!({ "fpqqlsh": serial, "address": address })).collect();
            Value::from(entries).to_string()
        };
        let fields = [("requestdatas", json!([document]).to_string()), ("email", entries(emails)), ("sms", entries(phones))];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.platform.form("insertWithArray", &fields).await;
        assert_eq!(answer.code(), "0000", "{}", answer.body);
        assert!(self.messages(serial).await.is_empty(), "nothing is owed before there is an invoice");
        self.platform.broker_says(serial, &Said::Issued).await;
    }

    /// Everything that is due now, once each; how many that were.
    pub(crate) async fn send_due(&self) -> usize {
        let portal = &self.platform.portal;
        let mut due = Vec::new();
        for channel in Channel::ALL {
            let mut db = portal.readers.get().await.unwrap();
            due.extend(db.due_messages(channel, (portal.clock)(), 100).await.unwrap());
        }
        for message in &due {
            send::one(portal, &self.channels, &message.id).await;
        }
        due.len()
    }

    pub(crate) async fn messages(&self, serial: &str) -> Vec<Message> {
        self.platform.portal.readers.get().await.unwrap().messages_of("shop", serial).await.unwrap()
    }

    pub(crate) async fn standing(&self, serial: &str) -> Standing {
        self.messages(serial).await.last().expect("a message").standing
    }

    pub(crate) async fn request(&self, serial: &str) -> Stored {
        self.platform.portal.readers.get().await.unwrap().request("shop", serial).await.unwrap().expect("a request")
    }

    /// `emailState` or `smsState`, as a merchant reads it.
    pub(crate) async fn state(&self, serial: &str, member: &str) -> String {
        let answer = self.platform.form("queryInvoiceStatus", &[("fpqqlsh", serial)]).await;
        answer.json()[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", answer.body)).to_owned()
    }
}

/// What a browser gets.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    /// Where it leads.
    pub(crate) fn location(&self) -> String {
        self.headers.get("location").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }
}

impl Rig {
    /// One request of a browser at this address; `form`: `name=value&…`.
    pub(crate) async fn browse(&self, from: &str, method: &str, path: &str, form: &str) -> Page {
        let request = Request::builder().method(method).uri(path).header("accept", "text/html");
        let mut request = request.body(Body::from(form.to_owned())).unwrap();
        request.extensions_mut().insert(Peer((from.parse::<IpAddr>().unwrap(), 40_000).into()));
        let (parts, body) = pages::answer(self.platform.portal.clone(), request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Page { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8_lossy(&body).into_owned() }
    }

    /// A sale whose buyer is not known yet; the path of its code. `more`: of the document.
    pub(crate) async fn code(&self, serial: &str, more: &Value) -> String {
        let mut document = json!({ "FPQQLSH": serial, "XSF_NSRSBH": SELLER, "orgcode": "A", "SHMC": "示例商店", "JSHJ": "11.30",
            "RQSJ": "2027-01-15",
            "items": [{ "XMMC": "*纸制品*打印纸", "XMJSHJ": "11.30", "SL": "0.13", "SPBM": "1060105" }] });
        document.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let answer = self.platform.json("insertForQRInvoice", &document.to_string()).await;
        assert_eq!(answer.code(), "0000", "{}", answer.body);
        let url = answer.json()["data"]["qrcode"].as_str().unwrap().to_owned();
        url.strip_prefix("https://fp.example").unwrap().to_owned()
    }

    /// A consumer fills a code's form in and confirms. `more`: fields beside kind and title.
    pub(crate) async fn fill(&self, path: &str, more: &[(&str, &str)]) {
        let filled = form(&[&[("kind", "person"), ("GMF_MC", "欧阳小明")], more].concat());
        let page = self.browse("192.0.2.77", "POST", path, &format!("{filled}&step=check")).await;
        let terms = page.text.split("name=\"terms\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let terms = terms.unwrap_or_else(|| panic!("it asks once more: {}", page.text));
        let page = self.browse("192.0.2.77", "POST", path, &format!("{filled}&step=issue&terms={terms}")).await;
        assert_eq!(page.status, 303, "{}", page.text);
    }
}

/// An HTTP server of a test; ends with its runtime.
pub(crate) async fn served(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// Python's aiosmtpd, made by `cargo xtask test`.
fn python() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    while !folder.ends_with("debug") && !folder.ends_with("release") {
        assert!(folder.pop(), "the tests are not in a target folder");
    }
    let python = folder.parent().unwrap().join("tools/aiosmtpd/bin/python");
    assert!(python.exists(), "{} is missing: `cargo xtask test` makes it", python.display());
    python
}

/// A mail server.
pub(crate) struct Smtp {
    process: Child,
    pub(crate) port: u16,
    dir: tempfile::TempDir,
}

impl Smtp {
    /// `name`: of its certificate; none: it offers no TLS.
    pub(crate) fn start(name: Option<&str>, more: &Value) -> Smtp {
        let dir = tempfile::tempdir().unwrap();
        let mut options = json!({ "out": dir.path().join("mails.jsonl") });
        if let Some(name) = name {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            std::fs::write(dir.path().join("certificate.pem"), made.cert.pem()).unwrap();
            std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
            options["certificate"] = json!(dir.path().join("certificate.pem"));
            options["key"] = json!(dir.path().join("key.pem"));
        } else {
            // An authority that nobody needs, so that a configuration can name one.
            let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
            std::fs::write(dir.path().join("certificate.pem"), made.cert.pem()).unwrap();
        }
        options.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/delivery/smtp.py");
        let mut process =
            Command::new(python()).arg(script).arg(options.to_string()).stdout(Stdio::piped()).spawn().expect("python runs");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the server prints its port");
        Smtp { process, port, dir }
    }

    /// A configuration for it.
    pub(crate) fn config(&self) -> Mail {
        Mail {
            host: "127.0.0.1".to_owned(),
            port: Some(self.port),
            security: Security::Starttls,
            user: None,
            password_file: None,
            from: "发票服务 <invoice@platform.example>".to_owned(),
            bounce_address: Some("bounce@platform.example".to_owned()),
            ca_file: Some(self.dir.path().join("certificate.pem")),
            limit_s: 60,
            attach_pdf: true,
            link: true,
            language: Language::Both,
            max_bytes: 1 << 20,
        }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    /// What it saw of this kind: `mail` (a sender was named) or `data` (a mail was taken).
    pub(crate) fn saw(&self, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("mails.jsonl")).unwrap_or_default();
        let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|one| one["event"] == event).collect()
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Nothing on this machine may be called.
pub(crate) fn guarded() -> Outbound {
    Outbound::new(Settings { allow_http: true, ..Settings::default() }).unwrap()
}
