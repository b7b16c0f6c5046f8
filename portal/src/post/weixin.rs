//! The platform's account at WeChat: calls of its published interface, with an access token and tickets that are kept and
//! renewed.
//!
//! There is one of these for a portal: WeChat ends an access token soon after another one was given, so two that do not know of
//! each other would take each other's away.
//!
//! Read first: [`Weixin`], [`PageSignature`].

use aws_lc_rs::digest;
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

use super::secret;
use crate::config::{ConfigError, Wechat};
use crate::core::request::Request;
use crate::ledger::Clock;

/// A token is renewed so long before its end, seconds.
const EARLY_S: i64 = 300;
/// No token is believed to last longer, seconds (published: 7200).
const TOKEN_MAX_S: i64 = 7200;

/// The account.
pub struct Weixin {
    outbound: Outbound,
    pub(super) config: Wechat,
    secret: String,
    pub(super) clock: Clock,
    token: Mutex<Option<Token>>,
    cards: Mutex<Option<Token>>,
    pages: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: String,
    until_s: i64,
}

/// `invoice_status` of an order id that its user authorised.
pub(super) const AUTHORISED: &str = "auth success";

/// What a ticket is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ticket {
    /// Cards.
    Cards,
    /// Calls that pages make inside WeChat.
    Pages,
}

impl Ticket {
    fn kind(self) -> &'static str {
        match self {
            Ticket::Cards => "wx_card",
            Ticket::Pages => "jsapi",
        }
    }
}

/// By which WeChat knows that a page may use its bridge (developers.weixin.qq.com, JS-SDK, appendix 1).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageSignature {
    /// Of the account.
    pub app_id: String,
    /// Seconds, as text.
    pub timestamp: String,
    /// Random.
    pub nonce_str: String,
    /// SHA-1, hexadecimal.
    pub signature: String,
}

/// Why a call has no result.
pub(super) enum Refused {
    /// There was no answer, or none that can be read.
    Call(CallError),
    /// WeChat says no.
    Code(i64, String),
    /// What came is not what is published.
    Odd(String),
}

impl Weixin {
    /// As configured. Nothing is asked yet.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(config: &Wechat, outbound: Outbound, clock: Clock) -> Result<Weixin, ConfigError> {
        outbound.target(&config.base_url).map_err(|refused| ConfigError(format!("wechat.base_url: {refused}")))?;
        let secret = secret("wechat.secret_file", &config.secret_file)?;
        let (token, cards, pages) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Weixin { outbound, config: config.clone(), secret, clock, token, cards, pages })
    }

    /// Forms offer the titles that users keep in WeChat.
    pub fn offers_titles(&self) -> bool {
        self.config.titles
    }

    /// WeChat's page on which the user takes this invoice (`getauthurl`, type 2: it is issued already). `back`: where he goes
    /// afterwards, whatever he decided.
    ///
    /// # Errors
    /// For the log.
    pub async fn authorisation(&self, request: &Request, order: &str, back: &str) -> Result<String, String> {
        let ticket = self.ticket(Ticket::Cards).await.map_err(|refused| refused.text())?;
        let body = json!({
            "s_pappid": self.config.s_pappid, "order_id": order, "money": fen(request.gross), "timestamp": (self.clock)() / 1000,
            "source": "web", "redirect_url": back, "ticket": ticket, "type": 2,
        });
        let reply = self.post("/card/invoice/getauthurl", &body).await.map_err(|refused| refused.text())?;
        let url = reply["auth_url"].as_str().unwrap_or_default();
        if url.starts_with("https://") { Ok(url.to_owned()) } else { Err("WeChat gave no page".to_owned()) }
    }

    /// Has the user authorised this order id (`getauthdata`)?
    ///
    /// # Errors
    /// For the log.
    pub async fn is_authorised(&self, order: &str) -> Result<bool, String> {
        match self.authorised_order(order).await {
            Ok(status) => Ok(status == AUTHORISED),
            Err(Refused::Code(72038, _)) => Ok(false),
            Err(refused) => Err(refused.text()),
        }
    }

    /// `invoice_status` of an order id.
    pub(super) async fn authorised_order(&self, order: &str) -> Result<String, Refused> {
        let asked = json!({ "order_id": order, "s_pappid": self.config.s_pappid });
        let reply = self.post("/card/invoice/getauthdata", &asked).await?;
        Ok(reply["invoice_status"].as_str().unwrap_or_default().to_owned())
    }

    /// Signs for a page. `url`: as the browser has it, without what follows `#`.
    ///
    /// # Errors
    /// For the log.
    pub async fn page_signature(&self, url: &str) -> Result<PageSignature, String> {
        let ticket = self.ticket(Ticket::Pages).await.map_err(|refused| refused.text())?;
        let (nonce_str, timestamp) = (nonce(), ((self.clock)() / 1000).to_string());
        let signature = page_signature(&ticket, &nonce_str, &timestamp, url);
        Ok(PageSignature { app_id: self.config.app_id.clone(), timestamp, nonce_str, signature })
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.authorised(path, "application/json;charset=UTF-8", body.to_string().into()).await
    }

    /// Posts with the access token; with a new one if WeChat does not take the one at hand.
    pub(super) async fn authorised(&self, path: &str, content_type: &str, body: Bytes) -> Result<Value, Refused> {
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

    /// A ticket, renewed before it ends.
    pub(super) async fn ticket(&self, ticket: Ticket) -> Result<String, Refused> {
        let kept = match ticket {
            Ticket::Cards => &self.cards,
            Ticket::Pages => &self.pages,
        };
        let mut kept = kept.lock().await;
        if let Some(ticket) = self.fresh(kept.as_ref(), None) {
            return Ok(ticket);
        }
        let mut token = self.token(None).await?;
        let path = |token: &str| format!("/cgi-bin/ticket/getticket?access_token={token}&type={}", ticket.kind());
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
    pub(super) fn text(&self) -> String {
        match self {
            Refused::Call(error) => error.to_string(),
            Refused::Code(code, text) => format!("{code} {text}"),
            Refused::Odd(text) => text.clone(),
        }
    }
}

fn page_signature(ticket: &str, nonce_str: &str, timestamp: &str, url: &str) -> String {
    let text = format!("jsapi_ticket={ticket}&noncestr={nonce_str}&timestamp={timestamp}&url={url}");
    // What WeChat asks for; nothing of ours rests on it.
    hex::encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// An amount in fen. Amounts have two decimals and fit.
pub(super) fn fen(amount: Decimal) -> i64 {
    (amount * Decimal::ONE_HUNDRED).to_i64().unwrap_or_default()
}

pub(super) fn nonce() -> String {
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
    fn a_page_is_signed_as_published() {
        // The example of the documentation.
        let ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg";
        let signature = page_signature(ticket, "Wm3WZYTPz0wzccnW", "1414587457", "http://mp.weixin.qq.com?params=value");
        assert_eq!(signature, "0f9de62fce790f9a083d5c99e95740ceb90c27ed");
        assert_eq!(fen(Decimal::new(10_600, 2)), 10_600);
        assert_eq!(encoded("a b&c=é"), "a%20b%26c%3D%C3%A9");
    }
}
