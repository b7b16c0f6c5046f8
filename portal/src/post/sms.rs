//! Short messages through an HTTP provider. One generic provider is here, whose interface is published (docs/delivery.md, "Short
//! messages"), so that a small adapter in front of any real one will do; another one is another [`Carrier`].
//!
//! A request is signed: HMAC-SHA256 of `timestamp "\n" body`. `id` is the same at every attempt; a provider sends it once.

use async_trait::async_trait;
use aws_lc_rs::hmac;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;
use taxdisk_web::outbound::{Answer, CallError, Outbound, Target};

use super::words::{self, Facts};
use super::{Carrier, Letter, Outcome, secret};
use crate::config::{ConfigError, Sms};
use crate::core::outbox::Verdict;
use crate::ledger::Clock;

/// The generic provider.
pub struct SignedProvider {
    outbound: Outbound,
    target: Target,
    key: hmac::Key,
    config: Sms,
    clock: Clock,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    result: String,
    detail: String,
}

impl SignedProvider {
    /// As configured.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(config: &Sms, outbound: Outbound, clock: Clock) -> Result<SignedProvider, ConfigError> {
        let target = outbound.target(&config.url).map_err(|refused| ConfigError(format!("sms.url: {refused}")))?;
        HeaderValue::from_str(&config.key_id).map_err(|_| ConfigError("sms.key_id: only visible ASCII".to_owned()))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret("sms.secret_file", &config.secret_file)?.as_bytes());
        Ok(SignedProvider { outbound, target, key, config: config.clone(), clock })
    }
}

/// The signature of a request, hexadecimal.
fn signature(key: &hmac::Key, timestamp: &str, body: &str) -> String {
    hex::encode(hmac::sign(key, format!("{timestamp}\n{body}").as_bytes()))
}

#[async_trait]
impl Carrier for SignedProvider {
    async fn carry(&self, letter: &Letter) -> Outcome {
        let facts = Facts {
            seller: &letter.seller,
            request: &letter.request,
            link: letter.link.as_deref(),
            attached: false,
            simulated: letter.simulated,
        };
        let text = words::short(&facts, self.config.language, &self.config.signature_name);
        let body = serde_json::json!({ "id": letter.message.id, "to": letter.message.address, "text": text }).to_string();
        let timestamp = ((self.clock)() / 1000).to_string();
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"))];
        let ours = [
            ("x-sms-key", self.config.key_id.clone()),
            ("x-sms-signature", signature(&self.key, &timestamp, &body)),
            ("x-sms-timestamp", timestamp),
        ];
        for (name, value) in ours {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.push((HeaderName::from_static(name), value));
            }
        }
        judged(self.outbound.post(&self.target, &headers, Bytes::from(body)).await)
    }
}

/// Only a word of the provider's is final.
fn judged(answer: Result<Answer, CallError>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ CallError::Connect(_)) => return Outcome::new(Verdict::Later, error.to_string()),
        Err(error) => return Outcome::new(Verdict::Later, error.to_string()).unclear(),
    };
    let reply: Reply = serde_json::from_slice(&answer.body).unwrap_or_default();
    let verdict = match (answer.status, reply.result.as_str()) {
        (200..=299, "accepted" | "duplicate") => Verdict::Sent,
        (200..=299 | 400 | 422, "refused") => Verdict::Never,
        _ => Verdict::Later,
    };
    let text = if reply.detail.is_empty() { reply.result } else { format!("{}: {}", reply.result, reply.detail) };
    Outcome::new(verdict, text).status(answer.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_documentation() {
        // Made with: printf '1800000000\n{"id":"msg_1"}' | openssl dgst -sha256 -hmac secret
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let given = "00c7ddbc700d6b4322effdaaac3621170c9135c119ee894480bf365216aef30e";
        assert_eq!(signature(&key, "1800000000", r#"{"id":"msg_1"}"#), given);
    }

    #[test]
    fn only_a_word_of_the_provider_ends_a_message() {
        let answer = |status: u16, body: &'static str| {
            judged(Ok(Answer { status, headers: hyper::HeaderMap::new(), body: Bytes::from(body), ms: 1 })).verdict
        };
        assert_eq!(answer(200, r#"{"result":"accepted"}"#), Verdict::Sent);
        assert_eq!(answer(200, r#"{"result":"duplicate"}"#), Verdict::Sent);
        assert_eq!(answer(422, r#"{"result":"refused","detail":"no such number"}"#), Verdict::Never);
        for (status, body) in [(200, ""), (200, "<html>"), (500, r#"{"result":"refused"}"#), (429, ""), (401, ""), (302, "")] {
            assert_eq!(answer(status, body), Verdict::Later, "{status} {body}");
        }
        let slow = judged(Err(CallError::Slow(1)));
        assert_eq!((slow.verdict, slow.unclear), (Verdict::Later, true));
    }
}
