//! What went over the wire, written down: one file for each interface, compared byte for byte. Signatures and tokens that are
//! random are replaced; nothing else is.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use taxdisk_portal::wire::form::Form;

use crate::platform::{APPID, Answer, Platform, Said, form};

/// `application/x-www-form-urlencoded` as the official clients write it.
const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";

/// A platform whose traffic is written down.
pub(crate) struct Transcript {
    pub(crate) platform: Platform,
    prefix: &'static str,
    text: String,
}

impl Transcript {
    pub(crate) async fn start(prefix: &'static str) -> Transcript {
        Transcript { platform: Platform::start().await, prefix, text: String::new() }
    }

    /// What comes next, and why.
    pub(crate) fn says(&mut self, text: &str) {
        self.text.push_str(&format!("== {text}\n\n"));
    }

    /// The broker says what became of a job.
    pub(crate) async fn broker(&mut self, serial: &str, said: Said) {
        let what = match &said {
            Said::Issued => "issued".to_owned(),
            Said::Voided => "voided".to_owned(),
            Said::Failed { fault, code, .. } => format!("failed, fault of the {fault}, {code}"),
            Said::Waits(why) => format!("waits, {why}"),
            Said::Unsettled => "unsettled".to_owned(),
        };
        self.text.push_str(&format!("-- the broker on {serial}: {what}\n\n"));
        self.platform.broker_says(serial, &said).await;
    }

    /// The clock goes on.
    pub(crate) fn pass(&mut self, seconds: i64) {
        self.text.push_str(&format!("-- {seconds} s pass\n\n"));
        self.platform.pass(seconds);
    }

    /// A form whose `requestdatas` is this JSON.
    pub(crate) async fn documents(&mut self, name: &str, documents: &Value) -> Answer {
        self.form(name, &[("requestdatas", &documents.to_string())]).await
    }

    pub(crate) async fn form(&mut self, name: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.platform.token(&Platform::digest(fields));
        self.raw(&format!("{name}?appid={APPID}"), Some(FORM), Some(&token), form(fields).as_bytes()).await
    }

    pub(crate) async fn json(&mut self, name: &str, body: &Value) -> Answer {
        let token = self.platform.token(&json!({}));
        let path = format!("{name}?appid={APPID}");
        self.raw(&path, Some("application/json"), Some(&token), body.to_string().as_bytes()).await
    }

    /// Exactly these bytes. `rest`: name and query.
    pub(crate) async fn raw(&mut self, rest: &str, content_type: Option<&str>, sign: Option<&str>, body: &[u8]) -> Answer {
        let path = format!("/{}/api/invoiceApply/{rest}", self.prefix);
        let answer = self.platform.call(&path, content_type, sign, body).await;
        self.text.push_str(&format!("POST /<prefix>/api/invoiceApply/{rest}\n"));
        if let Some(content_type) = content_type {
            self.text.push_str(&format!("content-type: {content_type}\n"));
        }
        if let Some(sign) = sign {
            self.text.push_str(&format!("sign: {}\n", unsigned(sign)));
        }
        self.text.push_str(&format!("\n{}\n\n", String::from_utf8_lossy(body)));
        if !content_type.is_some_and(|kind| kind.starts_with("application/json")) {
            for (name, value) in Form::parse(body).expect("a form").fields() {
                self.text.push_str(&format!("# {name} = {value}\n"));
            }
            self.text.push('\n');
        }
        self.text.push_str(&format!(
            "HTTP {}\ncontent-type: {}\nx-real-status: {}\n\n{}\n\n",
            answer.status,
            answer.content_type,
            answer.real_status,
            without_random(&answer.body)
        ));
        answer
    }

    /// Ends the transcript.
    pub(crate) fn end(self) -> String {
        format!("{}\n", self.text.trim_end())
    }
}

/// The token without its signature, which is of a key that is made anew for every run.
fn unsigned(sign: &str) -> String {
    match sign.rsplit_once('.') {
        Some((text, signature)) if URL_SAFE_NO_PAD.decode(signature).is_ok_and(|bytes| bytes.len() == 256) => {
            format!("{text}.<signature>")
        }
        _ => sign.to_owned(),
    }
}

/// Link and extraction code of a QR request are drawn at random.
fn without_random(body: &str) -> String {
    let body = replaced(body, "https://fp.example/q/", "<token>");
    replaced(&body, r#""invoicecode":""#, "<code>")
}

/// Everything between `before` and the next quote.
fn replaced(text: &str, before: &str, by: &str) -> String {
    let Some(at) = text.find(before).map(|at| at + before.len()) else { return text.to_owned() };
    let (kept, rest) = text.split_at(at);
    let end = rest.find('"').unwrap_or(rest.len());
    format!("{kept}{by}{}", replaced(&rest[end..], before, by))
}

/// The folder of the committed files.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Compares with the committed file; `TAXDISK_BLESS=1` writes it.
pub(crate) fn compare(name: &str, made: &str) {
    let file = folder().join(format!("{name}.txt"));
    if std::env::var_os("TAXDISK_BLESS").is_some() {
        std::fs::write(&file, made).expect("the file can be written");
        return;
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let first = kept.lines().zip(made.lines()).position(|(one, other)| one != other);
    let line = first.unwrap_or_else(|| kept.lines().count().min(made.lines().count()));
    let of = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    assert!(
        kept == made,
        "{} line {}: kept\n  {}\nmade\n  {}\nLook at it; TAXDISK_BLESS=1 writes it anew.",
        file.display(),
        line + 1,
        of(&kept),
        of(made)
    );
}
