//! WeChat card packs: puts an issued invoice where the user who authorised it keeps his invoices. A client of WeChat's published
//! interface for invoicing platforms (developers.weixin.qq.com, 微信电子发票, 开票平台接口).
//!
//! The order: is the order id authorised (`getauthdata`) → upload the PDF (`platform/setpdf`) → insert (`insert`). The user
//! authorises on WeChat's own page ([`CardPack::authorisation`]), before or after the invoice is issued; until then the message
//! waits. One order id is one invoice. Whatever WeChat says, the invoice stands.
//!
//! | errcode | meaning | here |
//! |---|---|---|
//! | 40001, 40014, 42001 | access token wrong or ended | a new one, once an attempt |
//! | -1, 45009, 45011 | busy, asked too often | later |
//! | 72038 | the order id was never authorised | later: the user may still press the button |
//! | 72042 | this code and number are in a card pack | done: an answer of ours was lost |
//! | 72056 | the order id was used | done if an earlier attempt may have arrived, else final |
//! | everything else | 72031 wrong parameters and the like | final |

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use rand::RngCore as _;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Value, json};
use taxdisk_web::outbound::{CallError, Outbound};
use tokio::sync::Mutex;

use super::{Carrier, Letter, Outcome, secret};
use crate::config::{ConfigError, Wechat};
use crate::core::outbox::Verdict;
use crate::core::request::Request;
use crate::ledger::Clock;

/// A token is renewed so long before its end, seconds.
const EARLY_S: i64 = 300;
/// No token is believed to last longer, seconds (published: 7200).
const TOKEN_MAX_S: i64 = 7200;

/// The client.
pub struct CardPack {
    outbound: Outbound,
    config: Wechat,
    secret: String,
    clock: Clock,
    token: Mutex<Option<Token>>,
    ticket: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: String,
    until_s: i64,
}

/// Why a call has no result.
enum Refused {
    /// There was no answer, or none that can be read.
    Call(CallError),
    /// WeChat says no.
    Code(i64, String),
    /// What came is not what is published.
    Odd(String),
}

impl CardPack {
    /// As configured. Nothing is asked yet.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(config: &Wechat, outbound: Outbound, clock: Clock) -> Result<CardPack, ConfigError> {
        outbound.target(&config.base_url).map_err(|refused| ConfigError(format!("wechat.base_url: {refused}")))?;
        let secret = secret("wechat.secret_file", &config.secret_file)?;
        let (token, ticket) = (Mutex::default(), Mutex::default());
        Ok(CardPack { outbound, config: config.clone(), secret, clock, token, ticket })
    }

    /// WeChat's page on which the user takes this invoice (`getauthurl`, type 2: it is issued already).
    ///
    /// # Errors
    /// For the log.
    pub async fn authorisation(&self, request: &Request, order: &str, back: &str) -> Result<String, String> {
        let ticket = self.ticket().await.map_err(|refused| refused.text())?;
        let body = json!({
            "s_pappid": self.config.s_pappid, "order_id": order, "money": fen(request.gross), "timestamp": (self.clock)() / 1000,
            "source": "web", "redirect_url": back, "ticket": ticket, "type": 2,
        });
        let reply = self.post("/card/invoice/getauthurl", &body).await.map_err(|refused| refused.text())?;
        let url = reply["auth_url"].as_str().unwrap_or_default();
        if url.starts_with("https://") { Ok(url.to_owned()) } else { Err("WeChat gave no page".to_owned()) }
    }

    async fn insert(&self, letter: &Letter) -> Result<(), Refused> {
        let order = &letter.message.address;
        let asked = json!({ "order_id": order, "s_pappid": self.config.s_pappid });
        let authorised = self.post("/card/invoice/getauthdata", &asked).await?;
        let status = authorised["invoice_status"].as_str().unwrap_or_default();
        if status != "auth success" {
            return Err(Refused::Code(72038, format!("not authorised: {status}")));
        }
        let media = match &letter.pdf {
            Some(pdf) => Some(self.upload(pdf).await?),
            None => None,
        };
        let mut data = card(&letter.request, &letter.seller);
        if let Some(media) = media {
            data["s_pdf_media_id"] = json!(media);
        }
        // Of WXAPPID: for which the order id was authorised.
        let appid = match letter.request.document.text("WXAPPID") {
            "" => self.config.app_id.as_str(),
            given => given,
        };
        let body = json!({
            "order_id": order, "card_id": self.config.card_id, "appid": appid,
            "card_ext": { "nonce_str": nonce(), "user_card": { "invoice_user_data": data } },
        });
        self.post("/card/invoice/insert", &body).await.map(|_| ())
    }

    async fn upload(&self, pdf: &[u8]) -> Result<String, Refused> {
        let boundary = nonce();
        let mut body = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"pdf\"; filename=\"invoice.pdf\"\r\n\
             content-type: application/pdf\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(pdf);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let kind = format!("multipart/form-data; boundary={boundary}");
        let reply = self.authorised("/card/invoice/platform/setpdf", &kind, body.into()).await?;
        let media =
            reply["s_media_id"].as_str().map(str::to_owned).or_else(|| reply["s_media_id"].as_u64().map(|id| id.to_string()));
        media.ok_or_else(|| Refused::Odd("setpdf gave no s_media_id".to_owned()))
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.authorised(path, "application/json;charset=UTF-8", body.to_string().into()).await
    }

    /// Posts with the access token; with a new one if WeChat does not take the one at hand.
    async fn authorised(&self, path: &str, content_type: &str, body: Bytes) -> Result<Value, Refused> {
        let token = self.token(None).await?;
        let post = |token: String| {
            let path = format!("{path}?access_token={token}");
            let body = body.clone();
            async move { self.call(Method::POST, &path, content_type, body).await }
        };
        match post(token.clone()).await {
            Err(Refused::Code(40001 | 40014 | 42001, _)) => post(self.token(Some(&token)).await?).await,
            done => done,
        }
    }

    /// The access token; `refused`: one that WeChat does not take any more.
    async fn token(&self, refused: Option<&str>) -> Result<String, Refused> {
        let mut kept = self.token.lock().await;
        if let Some(token) = self.fresh(kept.as_ref(), refused) {
            return Ok(token);
        }
        let (id, secret) = (encoded(&self.config.app_id), encoded(&self.secret));
        let path = format!("/cgi-bin/token?grant_type=client_credential&appid={id}&secret={secret}");
        let token = self.renewed(&path, "access_token").await?;
        Ok(kept.insert(token).text.clone())
    }

    async fn ticket(&self) -> Result<String, Refused> {
        let mut kept = self.ticket.lock().await;
        if let Some(ticket) = self.fresh(kept.as_ref(), None) {
            return Ok(ticket);
        }
        let mut token = self.token(None).await?;
        let path = |token: &str| format!("/cgi-bin/ticket/getticket?access_token={token}&type=wx_card");
        let ticket = match self.renewed(&path(&token), "ticket").await {
            Err(Refused::Code(40001 | 40014 | 42001, _)) => {
                token = self.token(Some(&token)).await?;
                self.renewed(&path(&token), "ticket").await?
            }
            done => done?,
        };
        Ok(kept.insert(ticket).text.clone())
    }

    fn fresh(&self, kept: Option<&Token>, refused: Option<&str>) -> Option<String> {
        let now_s = (self.clock)() / 1000;
        let good = |token: &&Token| now_s < token.until_s - EARLY_S && refused != Some(token.text.as_str());
        kept.filter(good).map(|token| token.text.clone())
    }

    async fn renewed(&self, path: &str, member: &str) -> Result<Token, Refused> {
        let reply = self.call(Method::GET, path, "application/json", Bytes::new()).await?;
        let text = reply[member].as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'&'));
        let text = text.ok_or_else(|| Refused::Odd(format!("WeChat gave no {member}")))?.to_owned();
        let lasts_s = reply["expires_in"].as_i64().unwrap_or_default().clamp(0, TOKEN_MAX_S);
        Ok(Token { text, until_s: (self.clock)() / 1000 + lasts_s })
    }

    async fn call(&self, method: Method, path: &str, content_type: &str, body: Bytes) -> Result<Value, Refused> {
        let url = format!("{}{path}", self.config.base_url.trim_end_matches('/'));
        let target = self.outbound.target(&url).map_err(|refused| Refused::Odd(refused.to_string()))?;
        let kind = HeaderValue::from_str(content_type).map_err(|error| Refused::Odd(error.to_string()))?;
        let answer = self.outbound.call(method, &target, &[(CONTENT_TYPE, kind)], body).await.map_err(Refused::Call)?;
        let reply: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status, reply["errcode"].as_i64()) {
            (200, None | Some(0)) if reply.is_object() => Ok(reply),
            (_, Some(code)) if code != 0 => Err(Refused::Code(code, reply["errmsg"].as_str().unwrap_or_default().to_owned())),
            (status, _) => Err(Refused::Odd(format!("HTTP {status} without a result"))),
        }
    }
}

impl Refused {
    fn text(&self) -> String {
        match self {
            Refused::Call(error) => error.to_string(),
            Refused::Code(code, text) => format!("{code} {text}"),
            Refused::Odd(text) => text.clone(),
        }
    }
}

#[async_trait]
impl Carrier for CardPack {
    async fn carry(&self, letter: &Letter) -> Outcome {
        let refused = match self.insert(letter).await {
            Ok(()) => return Outcome::new(Verdict::Sent, "in the card pack"),
            Err(refused) => refused,
        };
        let verdict = match &refused {
            Refused::Call(_) | Refused::Odd(_) => Verdict::Later,
            Refused::Code(-1 | 40001 | 40014 | 42001 | 45009 | 45011 | 72038, _) => Verdict::Later,
            Refused::Code(72042, _) => Verdict::Sent,
            Refused::Code(72056, _) if letter.message.unclear => Verdict::Sent,
            Refused::Code(..) => Verdict::Never,
        };
        let unclear = matches!(&refused, Refused::Call(CallError::Slow(_) | CallError::Broken(_)) | Refused::Odd(_));
        let outcome = Outcome::new(verdict, refused.text());
        if unclear { outcome.unclear() } else { outcome }
    }
}

/// `invoice_user_data`, amounts in fen.
fn card(request: &Request, seller: &str) -> Value {
    let document = &request.document;
    let pair = request.pair().unwrap_or_default();
    let issued_at = request.issued.as_ref().map_or("", |issued| issued.issued_at.as_str());
    let net = document.net.unwrap_or_default();
    let mut data = json!({
        "fee": fen(request.gross), "title": document.text("GMF_MC"), "billing_time": seconds(issued_at),
        "billing_no": pair.code, "billing_code": pair.number, "fee_without_tax": fen(net),
        "tax": fen(request.gross - net), "seller_number": request.seller, "seller_name": seller,
    });
    // WeChat wants it; without one that the disk gave, it is left out and WeChat says no. None is made up.
    let check_code = request.issued.as_ref().map_or("", |issued| issued.printed.check_code.as_str());
    let texts = [("check_code", check_code), ("buyer_number", document.text("GMF_NSRSBH")), ("remarks", document.text("BZ"))];
    for (name, text) in texts {
        if !text.is_empty() {
            data[name] = json!(text);
        }
    }
    data
}

/// An amount in fen. Amounts have two decimals and fit.
fn fen(amount: Decimal) -> i64 {
    (amount * Decimal::ONE_HUNDRED).to_i64().unwrap_or_default()
}

/// Seconds since 1970 of a disk's `yyyyMMddHHmmss`, which is Beijing's time (UTC+8, no summer time); 0 of anything else.
fn seconds(issued_at: &str) -> i64 {
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", issued_at).ok();
    let beijing = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    time.and_then(|time| time.to_zoned(beijing).ok()).map_or(0, |time| time.timestamp().as_second())
}

fn nonce() -> String {
    let mut bytes = [0_u8; 16];
    rand::rngs::OsRng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes).replace(['-', '_'], "x")
}

/// For a query.
fn encoded(text: &str) -> String {
    let letter = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_beijings_and_amounts_are_fen() {
        assert_eq!(seconds("20270115160000"), 1_800_000_000);
        assert_eq!(seconds("19700101080000"), 0);
        assert_eq!(seconds("20240229120000"), 1_709_179_200);
        assert_eq!(fen(Decimal::new(10_600, 2)), 10_600);
        assert_eq!(encoded("a b&c=é"), "a%20b%26c%3D%C3%A9");
    }
}
